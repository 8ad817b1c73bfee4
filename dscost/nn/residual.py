"""Residual blocks that are wide inside and narrow outside."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from dscost.errors import InputError
from dscost.layers.convolution import ConvSpec, not_within, require
from dscost.nn.stages import (
    Activation,
    Device,
    Norm,
    checked_conv,
    conv_stage,
    made,
    same_size_conv,
)

Attention = Callable[[int], nn.Module] | None
"""A class or function that makes attention over so many channels, such as `SqueezeExcite`, or
none."""


class _Residual(nn.Module):
    """What both blocks know of themselves."""

    def _note(
        self, in_channels: int, out_channels: int, hidden_channels: int, filters: ConvSpec
    ) -> None:
        self.in_channels, self.out_channels = in_channels, out_channels
        self.hidden_channels = hidden_channels
        self.kernel_size, self.stride = filters.kernel_size, filters.stride
        self.dilation = filters.dilation
        self.has_skip = in_channels == out_channels and set(self.stride) == {1}

    def extra_repr(self) -> str:
        """Return what the block was made of."""
        text = (
            f"{self.in_channels}, {self.out_channels}, "
            f"kernel_size={self.kernel_size}, stride={self.stride}"
        )
        if set(self.dilation) != {1}:
            text += f", dilation={self.dilation}"
        return f"{text}, hidden_channels={self.hidden_channels}"


class InvertedResidual(_Residual):
    """A 1×1 convolution to E channels, a depthwise K×K one, and a linear 1×1 one to N channels.

    `expand` is missing where E = M. `depthwise` takes the stride. `project` has no activation. With
    stride 1 and M = N the input is added to the output. A convolution has a bias only where no
    normalisation follows it.

    Conv weights `M·E + E·Kh·Kw + E·N`, MACs `B·H·W·M·E + B·H'·W'·(E·Kh·Kw + E·N)`, the terms with M
    only where E ≠ M.

    Shapes: `(B, M, H, W)` to `(B, N, H', W')`; H' = H / stride, rounded up. One map `(M, H, W)`
    works where the normalisation takes it (torch's batch normalisation does not).

    Args:
        in_channels: M.
        out_channels: N.
        kernel_size: Kernel of the depthwise stage; odd, a number or a pair.
        stride: Step of the depthwise stage.
        dilation: Distance between taps of the depthwise stage.
        expansion: E / M; E is rounded to a whole number.
        hidden_channels: E itself, in place of `expansion`.
        attention: Makes what comes after the depthwise stage for E channels, such as
            `SqueezeExcite`.
        norm: After each convolution: `"batch"`, a class or function that makes it for so many
            channels, or none.
        activation: After `expand` and `depthwise`: a name, a class or function. MobileNetV3 has
            `"hard_swish"`.
        device: As torch's modules take it.
        dtype: As torch's modules take it.

    Raises:
        SpecError: No such block exists.
        InputError: `norm`, `activation` or `attention` names or makes no module.

    Source:
        Sandler et al. 2018, MobileNetV2, table 1 (arXiv:1801.04381); with attention and hard-swish
        Howard et al. 2019, Searching for MobileNetV3 (arXiv:1905.02244).

    >>> block = InvertedResidual(24, 24, expansion=6, norm=None)
    >>> [name for name, _ in block.named_children()], block.has_skip
    (['expand', 'depthwise', 'project'], True)
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int | Sequence[int] = 3,
        stride: int | Sequence[int] = 1,
        dilation: int | Sequence[int] = 1,
        *,
        expansion: float = 6,
        hidden_channels: int | None = None,
        attention: Attention = None,
        norm: Norm = "batch",
        activation: Activation = "relu6",
        device: Device = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        factory_kwargs = {"device": device, "dtype": dtype}
        hidden = _hidden_channels(in_channels, expansion, hidden_channels)
        bias = norm is None
        filters = same_size_conv(
            hidden, hidden, kernel_size, stride=stride, dilation=dilation, groups=hidden, bias=bias
        )
        self.expand: nn.Module | None = None
        if hidden != in_channels:
            self.expand = conv_stage(
                checked_conv(in_channels, hidden, 1, bias=bias), norm, activation, factory_kwargs
            )
        self.depthwise = conv_stage(filters, norm, activation, factory_kwargs)
        self.attention = _attention_of(attention, hidden, factory_kwargs)
        self.project = conv_stage(
            checked_conv(hidden, out_channels, 1, bias=bias), norm, None, factory_kwargs
        )
        self._note(in_channels, out_channels, hidden, filters)

    def forward(self, x: Tensor) -> Tensor:
        """Return `(B, N, H', W')` for an input `(B, M, H, W)`."""
        out: Tensor = x
        if self.expand is not None:
            out = self.expand(out)
        out = self.depthwise(out)
        if self.attention is not None:
            out = self.attention(out)
        out = self.project(out)
        return x + out if self.has_skip else out


class FusedInvertedResidual(_Residual):
    """A dense K×K convolution to E channels (no 1×1 and depthwise), then a linear 1×1 one to N.

    Where E = M a single K×K convolution with an activation goes from M to N. With stride 1 and M =
    N the input is added to the output. A convolution has a bias only where no normalisation follows
    it.

    Conv weights `M·E·Kh·Kw + E·N`, or `M·N·Kh·Kw` where E = M; MACs `B·H'·W'` times as many.

    Shapes: `(B, M, H, W)` to `(B, N, H', W')`; H' = H / stride, rounded up. One map `(M, H, W)`
    works where the normalisation takes it (torch's batch normalisation does not).

    Args:
        in_channels: M.
        out_channels: N.
        kernel_size: Kernel of the first stage; odd, a number or a pair.
        stride: Step of the first stage.
        dilation: Distance between taps of the first stage.
        expansion: E / M; E is rounded to a whole number.
        hidden_channels: E itself, in place of `expansion`.
        attention: Makes what comes after the first stage for its channels, such as `SqueezeExcite`.
        norm: After each convolution: `"batch"`, a class or function that makes it for so many
            channels, or none.
        activation: After the first stage: a name, a class or function.
        device: As torch's modules take it.
        dtype: As torch's modules take it.

    Raises:
        SpecError: No such block exists.
        InputError: `norm`, `activation` or `attention` names or makes no module.

    Source:
        Tan and Le 2021, EfficientNetV2, figure 2 (arXiv:2104.00298); without expansion as in its
        code.

    >>> block = FusedInvertedResidual(24, 48, stride=2, norm=None)
    >>> sum(weight.numel() for weight in block.parameters()) == (24 * 9 + 1) * 96 + (96 + 1) * 48
    True
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int | Sequence[int] = 3,
        stride: int | Sequence[int] = 1,
        dilation: int | Sequence[int] = 1,
        *,
        expansion: float = 4,
        hidden_channels: int | None = None,
        attention: Attention = None,
        norm: Norm = "batch",
        activation: Activation = "silu",
        device: Device = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        factory_kwargs = {"device": device, "dtype": dtype}
        hidden = _hidden_channels(in_channels, expansion, hidden_channels)
        bias = norm is None
        expands = hidden != in_channels
        middle = hidden if expands else out_channels
        filters = same_size_conv(
            in_channels, middle, kernel_size, stride=stride, dilation=dilation, bias=bias
        )
        self.fused = conv_stage(filters, norm, activation, factory_kwargs)
        self.attention = _attention_of(attention, middle, factory_kwargs)
        self.project: nn.Module | None = None
        if expands:
            self.project = conv_stage(
                checked_conv(hidden, out_channels, 1, bias=bias), norm, None, factory_kwargs
            )
        self._note(in_channels, out_channels, hidden, filters)

    def forward(self, x: Tensor) -> Tensor:
        """Return `(B, N, H', W')` for an input `(B, M, H, W)`."""
        out: Tensor = self.fused(x)
        if self.attention is not None:
            out = self.attention(out)
        if self.project is not None:
            out = self.project(out)
        return x + out if self.has_skip else out


def _hidden_channels(in_channels: int, expansion: float, hidden_channels: int | None) -> int:
    """Return E.

    Raises:
        SpecError: It is below 1.
        InputError: `expansion` is no number above 0.
    """
    require(not_within("in_channels", in_channels))
    if hidden_channels is None:
        if not isinstance(expansion, int | float) or not 0 < expansion < float("inf"):
            raise InputError(f"expansion must be a number above 0, found {expansion!r}")
        hidden_channels = max(1, round(in_channels * expansion))
    require(not_within("hidden_channels", hidden_channels))
    return hidden_channels


def _attention_of(
    attention: Attention, channels: int, factory_kwargs: dict[str, Any]
) -> nn.Module | None:
    if attention is None:
        return None
    return made("attention", attention, channels, factory_kwargs=factory_kwargs)
