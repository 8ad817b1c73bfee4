"""Convolutions as a spatial stage and a channel stage."""

from collections.abc import Sequence
from dataclasses import replace
from math import ceil
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from dscost.errors import InputError
from dscost.layers.convolution import not_within, require
from dscost.modules.convs import torch_conv
from dscost.nn.stages import (
    Activation,
    Device,
    Norm,
    activation_of,
    checked_conv,
    conv_stage,
    norm_of,
)


class _DepthwiseSeparableConv(nn.Module):
    """The same over any number of spatial dimensions; see `DepthwiseSeparableConv2d`."""

    dims: ClassVar[int]

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int | Sequence[int],
        stride: int | Sequence[int] = 1,
        padding: int | Sequence[int] | str = 0,
        dilation: int | Sequence[int] = 1,
        groups: int = 1,
        bias: bool = True,
        padding_mode: str = "zeros",
        *,
        depth_multiplier: int = 1,
        norm: Norm = None,
        activation: Activation = None,
        device: Device = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        factory_kwargs = {"device": device, "dtype": dtype}
        window = (kernel_size, stride, padding, dilation)
        standard = checked_conv(
            in_channels, out_channels, *window, groups, bias, padding_mode, dims=self.dims
        )
        require(not_within("depth_multiplier", depth_multiplier))
        middle = in_channels * depth_multiplier
        depthwise = replace(standard, out_channels=middle, groups=in_channels, bias=False)
        self.depthwise = torch_conv(depthwise, **factory_kwargs)
        self.norm = norm_of(norm, middle, self.dims, factory_kwargs)
        self.activation = activation_of(activation, self.dims, factory_kwargs)
        pointwise = checked_conv(middle, out_channels, 1, groups=groups, bias=bias, dims=self.dims)
        self.pointwise = torch_conv(pointwise, **factory_kwargs)
        self.in_channels, self.out_channels, self.groups = in_channels, out_channels, groups
        self.kernel_size, self.stride = standard.kernel_size, standard.stride
        self.padding, self.padding_mode = standard.padding, padding_mode
        self.dilation = standard.dilation
        self.depth_multiplier = depth_multiplier

    @property
    def weight(self) -> Tensor:
        """The kernel `(N, M/G, Kh, Kw)` of the convolution that both stages are, norms left out."""
        filters, mixing = self.depthwise.weight, self.pointwise.weight
        taps = filters.reshape(self.groups, -1, self.depth_multiplier, filters[0].numel())
        filters_of_group = self.out_channels // self.groups
        mixes = mixing.reshape(self.groups, filters_of_group, -1, self.depth_multiplier)
        kernel = torch.einsum("gnmt,gmtk->gnmk", mixes, taps)
        return kernel.reshape(self.out_channels, -1, *self.kernel_size)

    @property
    def bias(self) -> Tensor | None:
        """Of the pointwise stage."""
        bias: Tensor | None = self.pointwise.bias
        return bias

    @property
    def stages(self) -> tuple[Any, Any]:
        """The depthwise convolution, then the pointwise one."""
        return self.depthwise, self.pointwise

    def forward(self, input: Tensor) -> Tensor:
        """Return `(B, N, H', W')` for an input `(B, M, H, W)`, with the module's extents."""
        x = self.depthwise(input)
        if self.norm is not None:
            x = self.norm(x)
        if self.activation is not None:
            x = self.activation(x)
        out: Tensor = self.pointwise(x)
        return out

    def extra_repr(self) -> str:
        """Return the arguments that differ from the defaults of torch's convolution."""
        text = conv_repr(self)
        if self.pointwise.bias is None:
            text += ", bias=False"
        if self.depth_multiplier != 1:
            text += f", depth_multiplier={self.depth_multiplier}"
        return text


def conv_repr(module: Any) -> str:
    """Return channels, kernel and stride, and what else differs from torch's defaults."""
    text = (
        f"{module.in_channels}, {module.out_channels}, "
        f"kernel_size={module.kernel_size}, stride={module.stride}"
    )
    dims = len(module.kernel_size)
    defaults = {"padding": (0,) * dims, "dilation": (1,) * dims, "groups": 1}
    for name, default in {**defaults, "padding_mode": "zeros"}.items():
        value = getattr(module, name, default)
        if value != default:
            text += f", {name}={value!r}"
    return text


class DepthwiseSeparableConv2d(_DepthwiseSeparableConv):
    """A depthwise K×K convolution, then a pointwise 1×1 one, in place of a `torch.nn.Conv2d`.

    `depthwise` maps each of the M input channels to T channels by filters of its own: channel `m·T
    + t` belongs to input channel `m`. It takes stride, padding, dilation and padding mode, and has
    no bias. `pointwise` mixes the M·T channels to N; it takes the groups and the bias. The
    attributes are those of the convolution it stands for.

    Weights `T·M·Kh·Kw + N·T·M/G`, MACs `B·H'·W'` times as many.

    Shapes: `(B, M, H, W)` or `(M, H, W)` to `(B, N, H', W')` or `(N, H', W')`, as of the
        convolution.

    Args:
        in_channels: M.
        out_channels: N.
        kernel_size: A number or one per spatial dimension, like `stride`, `padding` and `dilation`.
        stride: Step of the depthwise stage.
        padding: Also `"same"` (stride 1 only) or `"valid"`.
        dilation: Distance between two taps.
        groups: G of the pointwise stage.
        bias: Whether the pointwise stage has one.
        padding_mode: `zeros`, `reflect`, `replicate` or `circular`.
        depth_multiplier: T.
        norm: Between the stages: `"batch"`, a class or function that makes it for M·T channels, or
            none.
        activation: Between the stages, after `norm`: a name such as `"relu6"`, a class or function,
            or none.
        device: As torch's modules take it.
        dtype: As torch's modules take it.

    Raises:
        SpecError: No such convolution exists.
        InputError: `norm` or `activation` names or makes no module.

    Source:
        Howard et al. 2017, MobileNets, section 3.1 (arXiv:1704.04861).

    >>> module = DepthwiseSeparableConv2d(256, 256, 3, padding=1, bias=False)
    >>> sum(weight.numel() for weight in module.parameters()) == 256 * 9 + 256 * 256
    True
    >>> module(torch.zeros(1, 256, 14, 14)).shape
    torch.Size([1, 256, 14, 14])
    """

    dims = 2


class DepthwiseSeparableConv1d(_DepthwiseSeparableConv):
    """`DepthwiseSeparableConv2d` over `(B, M, L)`; takes the place of a `torch.nn.Conv1d`."""

    dims = 1


class DepthwiseSeparableConv3d(_DepthwiseSeparableConv):
    """`DepthwiseSeparableConv2d` over `(B, M, D, H, W)`; takes the place of a `torch.nn.Conv3d`."""

    dims = 3


SEPARABLE_CONVS = {
    1: DepthwiseSeparableConv1d,
    2: DepthwiseSeparableConv2d,
    3: DepthwiseSeparableConv3d,
}
"""The depthwise-separable module over so many spatial dimensions."""


class _BlueprintSeparableConv(nn.Module):
    """The same over any number of spatial dimensions; see `BlueprintSeparableConv2d`."""

    dims: ClassVar[int]
    __jit_unused_properties__: ClassVar[Sequence[str]] = ["weight", "stages"]

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int | Sequence[int],
        stride: int | Sequence[int] = 1,
        padding: int | Sequence[int] | str = 0,
        dilation: int | Sequence[int] = 1,
        bias: bool = True,
        padding_mode: str = "zeros",
        *,
        groups: int = 1,
        depth_multiplier: int = 1,
        bottleneck: float | None = None,
        norm: Norm = None,
        device: Device = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        factory_kwargs = {"device": device, "dtype": dtype}
        window = (kernel_size, stride, padding, dilation)
        standard = checked_conv(
            in_channels, out_channels, *window, groups, bias, padding_mode, dims=self.dims
        )
        require(not_within("depth_multiplier", depth_multiplier))
        mixed = in_channels
        self.reduce: nn.Module | None = None
        if bottleneck is not None:
            _require_one(groups=groups, depth_multiplier=depth_multiplier)
            mixed = _bottleneck_channels(in_channels, bottleneck)
            reduce = checked_conv(in_channels, mixed, 1, dims=self.dims)
            self.reduce = conv_stage(reduce, norm, None, factory_kwargs)
        middle = out_channels * depth_multiplier
        pointwise = checked_conv(mixed, middle, 1, groups=groups, dims=self.dims)
        self.pointwise = conv_stage(pointwise, norm, None, factory_kwargs)
        depthwise = replace(standard, in_channels=middle, groups=out_channels)
        self.depthwise = torch_conv(depthwise, **factory_kwargs)
        self.in_channels, self.out_channels, self.groups = in_channels, out_channels, groups
        self.kernel_size, self.stride = standard.kernel_size, standard.stride
        self.padding, self.padding_mode = standard.padding, padding_mode
        self.dilation = standard.dilation
        self.depth_multiplier = depth_multiplier

    @property
    def weight(self) -> Tensor:
        """The kernel `(N, M/G, Kh, Kw)` of the convolution that all stages are, norms left out."""
        mixing, blueprints = self.stages[0].weight.flatten(1), self.depthwise.weight.flatten(2)
        if self.reduce is not None:
            reducing: Any = self.reduce.get_submodule("conv")
            mixing = mixing @ reducing.weight.flatten(1)
        mixes = mixing.reshape(self.out_channels, self.depth_multiplier, -1)
        kernel = torch.einsum("ntm,ntk->nmk", mixes, blueprints)
        return kernel.reshape(self.out_channels, -1, *self.kernel_size)

    @property
    def bias(self) -> Tensor | None:
        """Of the depthwise stage."""
        bias: Tensor | None = self.depthwise.bias
        return bias

    @property
    def stages(self) -> tuple[Any, Any]:
        """The pointwise convolution to the channels of the depthwise one, then that."""
        return self.pointwise.get_submodule("conv"), self.depthwise

    def forward(self, input: Tensor) -> Tensor:
        """Return `(B, N, H', W')` for an input `(B, M, H, W)`, with the module's extents."""
        x = input if self.reduce is None else self.reduce(input)
        out: Tensor = self.depthwise(self.pointwise(x))
        return out

    def extra_repr(self) -> str:
        """Return the arguments that differ from the defaults of torch's convolution."""
        text = conv_repr(self)
        if self.depthwise.bias is None:
            text += ", bias=False"
        if self.depth_multiplier != 1:
            text += f", depth_multiplier={self.depth_multiplier}"
        return text


class BlueprintSeparableConv2d(_BlueprintSeparableConv):
    """A pointwise 1×1 convolution, then a depthwise K×K one: the other order of the two stages.

    Every filter of the convolution it stands for is made of T blueprints of K×K (`depthwise`), each
    scaled per input channel (`pointwise`): channel `n·T + t` between the stages belongs to output
    channel `n`. With `bottleneck`, the pointwise stage is two of them, M → P → N: `reduce` and
    `pointwise`.

    Weights `N·T·M/G + N·T·Kh·Kw` (BSConv-U for T = G = 1) or `M·P + P·N + N·Kh·Kw` (BSConv-S); MACs
    `B·H·W` times the pointwise ones, at the size of the input, plus `B·H'·W'` times the depthwise
    ones.

    Shapes: `(B, M, H, W)` or `(M, H, W)` to `(B, N, H', W')` or `(N, H', W')`.

    Args:
        in_channels: M.
        out_channels: N.
        kernel_size: A number or one per spatial dimension, like `stride`, `padding` and `dilation`.
        stride: Step of the depthwise stage.
        padding: Also `"same"` (stride 1 only) or `"valid"`.
        dilation: Distance between two taps.
        bias: Whether the depthwise stage, the last, has one.
        padding_mode: `zeros`, `reflect`, `replicate` or `circular`.
        groups: G of the pointwise stage.
        depth_multiplier: T.
        bottleneck: P / M, above 0 and at most 1, for BSConv-S, without groups and for T = 1; P is
            rounded up, and at least 4 or M. None is BSConv-U.
        norm: After each pointwise convolution: `"batch"`, a class or function that makes it, or
            none.
        device: As torch's modules take it.
        dtype: As torch's modules take it.

    Raises:
        SpecError: No such convolution exists.
        InputError: `bottleneck` is out of bounds, or `norm` names or makes no module.

    Source:
        Haase and Amthor 2020, Rethinking Depthwise Separable Convolutions, sections 3.2 and 3.3
        (arXiv:2003.13549); P as in the authors' code, without the loss that keeps the rows of
        BSConv-S's first stage orthonormal.

    >>> module = BlueprintSeparableConv2d(64, 128, 3, stride=2, padding=1, bias=False)
    >>> sum(weight.numel() for weight in module.parameters()) == 64 * 128 + 128 * 9
    True
    """

    dims = 2


class BlueprintSeparableConv1d(_BlueprintSeparableConv):
    """`BlueprintSeparableConv2d` over `(B, M, L)`; takes the place of a `torch.nn.Conv1d`."""

    dims = 1


class BlueprintSeparableConv3d(_BlueprintSeparableConv):
    """`BlueprintSeparableConv2d` over `(B, M, D, H, W)`; takes the place of a `torch.nn.Conv3d`."""

    dims = 3


BLUEPRINT_CONVS = {
    1: BlueprintSeparableConv1d,
    2: BlueprintSeparableConv2d,
    3: BlueprintSeparableConv3d,
}
"""The blueprint-separable module over so many spatial dimensions."""


def _bottleneck_channels(in_channels: int, bottleneck: float) -> int:
    if not isinstance(bottleneck, int | float) or not 0 < bottleneck <= 1:
        raise InputError(f"bottleneck must be above 0 and at most 1, found {bottleneck!r}")
    return min(in_channels, max(4, ceil(in_channels * bottleneck)))


def _require_one(**given: int) -> None:
    for name, value in given.items():
        if value != 1:
            raise InputError(f"bottleneck is for {name}=1, found {name}={value}")
