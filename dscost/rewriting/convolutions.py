"""What a convolution module of torch is like: a convolution and nothing else? how it pads, where its weights lie."""

from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd
from torch.nn.modules.lazy import LazyModuleMixin
from torch.nn.parameter import is_lazy
from torch.nn.utils.prune import BasePruningMethod
from torch.nn.utils.spectral_norm import SpectralNorm
from torch.nn.utils.weight_norm import WeightNorm

from dscost.foreign.parts import each_parameter, each_tensor
from dscost.layers.convolution import ConvSpec, Shape
from dscost.modules.building import CONV_CLASSES
from dscost.modules.copying import copied, deep_copied
from dscost.nn.separable import SEPARABLE_CONVS

CONVOLUTIONS = tuple(CONV_CLASSES.values())
"""torch's classes, over one to three spatial dimensions."""

OF_WEIGHTS = (WeightNorm, SpectralNorm, BasePruningMethod)
"""Hooks of a forward that compute weights."""


def is_plain(module: nn.Module) -> bool:
    """Whether a module computes what its class in torch computes, whatever its weights are made of; hooks left out."""
    kind = type(module)
    torchs = next((one for one in CONVOLUTIONS if issubclass(kind, one)), None)
    return (
        torchs is not None
        and module.__dict__.keys().isdisjoint(_OF_A_CALL)
        and all(getattr(kind, name, None) is getattr(torchs, name, None) for name in _OF_A_CALL)
        and torchs.forward.__module__
        == torchs._conv_forward.__module__
        == _ConvNd.__module__  # not patched for all
    )


_OF_A_CALL = (
    "forward", "_conv_forward", "_call_impl", "_wrapped_call_impl", "__call__", "__getattr__", "__getattribute__"
)  # fmt: skip
"""Methods that decide on what a call computes."""


# -- hooks


def own_hooks(module: nn.Module) -> list[Any]:
    """Return what sees the input or the result of a module when it runs, but for hooks that compute weights."""
    return [
        hook
        for name in ("_forward_pre_hooks", "_forward_hooks")
        for hook in _kept_hooks(module, name).values()
    ]


def carry_hooks(new: Mapping[Any, nn.Module], copied_by: Callable[[Any], Any]) -> None:
    """Give modules in place of others the hooks of their forward, but for those that compute weights.

    Args:
        new: By the old ones.
        copied_by: Returns a copy of hooks that knows the new modules.
    """
    for old, replacement in new.items():
        for name in _FORWARD_HOOKS:
            getattr(replacement, name).update(copied_by(_kept_hooks(old, name)))


def _kept_hooks(old: nn.Module, name: str) -> dict[Any, Any]:
    """Return hooks of a forward, without those that compute weights, or give a lazy module the shapes of its own."""
    return {
        key: hook
        for key, hook in getattr(old, name).items()
        if not isinstance(hook, OF_WEIGHTS)
        and getattr(hook, "__func__", None) is not LazyModuleMixin._infer_parameters
    }


_FORWARD_HOOKS = tuple(name for name in vars(nn.Module()) if name.startswith("_forward_"))


# -- padding


class SamePadding(nn.Module):
    """Zeros around an input, so that a window takes `ceil(size / stride)` positions, whatever the size.

    Args:
        conv: The convolution to come, itself without padding.
    """

    def __init__(self, conv: ConvSpec) -> None:
        super().__init__()
        self.conv = conv

    def forward(self, x: Tensor) -> Tensor:
        """Return `x`, `(B, C, H, W)`, with its spatial dimensions padded; one more at the end if it is uneven."""
        return nn.functional.pad(x, on_both_sides(same_padding(tuple(x.shape), self.conv)))


class FixedPadding(nn.Module):
    """Zeros around an input.

    Args:
        sides: How many before and after, last dimension first, as `torch.nn.functional.pad` takes
            them.
    """

    def __init__(self, sides: Sequence[int]) -> None:
        super().__init__()
        self.sides = tuple(sides)

    def forward(self, x: Tensor) -> Tensor:
        """Return `x`, `(B, C, H, W)`, with its spatial dimensions padded."""
        return nn.functional.pad(x, self.sides)


def same_padding(shape: Shape, conv: ConvSpec) -> Shape:
    """Return what `SamePadding` adds to an input, both sides together, per spatial dimension."""
    dims = len(conv.kernel_size)
    sizes = zip(shape[-dims:], conv.kernel_size, conv.stride, conv.dilation, strict=True)
    return tuple(
        max(0, (-(-size // s) - 1) * s + d * (k - 1) + 1 - size) for size, k, s, d in sizes
    )


def on_both_sides(totals: Sequence[int]) -> list[int]:
    """Return the argument of `pad`, last dimension first; of an uneven total one more comes at the end."""
    return [side for total in reversed(totals) for side in (total // 2, total - total // 2)]


def padding_of_operator(module: _ConvNd) -> Shape | Literal["same"]:
    """Return the `padding` of a module, `valid` as zeros."""
    if isinstance(module.padding, str):
        return "same" if module.padding == "same" else (0,) * len(module.kernel_size)
    return tuple(module.padding)


def describe(module: nn.Module, conv: Any, padding: Shape | str) -> None:
    """Give a module in place of a convolution the attributes that tell its shape."""
    for name in ("in_channels", "out_channels", "kernel_size", "stride", "dilation", "groups"):
        setattr(module, name, getattr(conv, name))
    module.padding = padding  # type: ignore[assignment]


# -- what takes the place of one


class Kernel(NamedTuple):
    """What a convolution applies.

    Args:
        conv: With the padding that torch's convolution can do.
        weight: `(N, M/G, Kh, Kw)`: the parameter itself, or what is computed in its place.
        bias: `(N,)`, likewise.
        before: Pads the input first, where torch's convolution cannot.
        trains_weight: Whether gradients reach what the weights are made of.
        trains_bias: Likewise.
    """

    conv: ConvSpec
    weight: Tensor
    bias: Tensor | None
    before: nn.Module | None
    trains_weight: bool
    trains_bias: bool

    def padded(self, x: Tensor) -> Tensor:
        """Return an input `(B, M, H, W)` with everything around it that the kernel passes over."""
        if self.before is not None:
            x = self.before(x)
        mode = "constant" if self.conv.padding_mode == "zeros" else self.conv.padding_mode
        return nn.functional.pad(x, on_both_sides(self.conv.padding_total), mode=mode)


def in_place_of(
    old: nn.Module, kernel: Kernel, rank: int, *, device: Any = None
) -> tuple[nn.Module, Any]:
    """Return what takes the place of a convolution: a depthwise-separable one, and a padding if need be.

    Args:
        old: Whose mode and shape it is to have.
        kernel: What `old` applies; the weights of the new one are not set.
        rank: T.
        device: Another device than that of the kernel.

    Returns:
        What takes its place, and the depthwise-separable convolution in it.
    """
    conv, weight = kernel.conv, kernel.weight
    separable = SEPARABLE_CONVS[len(conv.kernel_size)](
        conv.in_channels,
        conv.out_channels,
        conv.kernel_size,
        stride=conv.stride,
        padding=conv.padding,
        dilation=conv.dilation,
        groups=conv.groups,
        bias=conv.bias,
        padding_mode=conv.padding_mode,
        depth_multiplier=rank,
        device=weight.device if device is None else device,
        dtype=weight.dtype,
    )
    new: nn.Module = separable
    if kernel.before is not None:
        new = PaddedFirst(OrderedDict(pad=kernel.before, convolution=separable))
        describe(new, separable, getattr(old, "padding", conv.padding))
    return new.train(old.training), separable


class PaddedFirst(nn.Sequential):
    """A padding that torch's convolution cannot do, then what takes the place of a convolution."""

    @property
    def weight(self) -> Tensor:
        """Of the convolution."""
        weight: Tensor = self._modules["convolution"].weight  # type: ignore[assignment]
        return weight

    @property
    def bias(self) -> Tensor | None:
        """Of the convolution."""
        bias: Tensor | None = self._modules["convolution"].bias  # type: ignore[assignment]
        return bias


def with_others(
    root: nn.Module, new: Mapping[Any, nn.Module], kept: Mapping[Any, Any]
) -> tuple[nn.Module, dict[int, Any]]:
    """Return a copy of a model with other convolutions in place of some, and the copy's memo.

    Args:
        root: Left as it is.
        new: What takes the place of convolutions; it gets the hooks of their forward.
        kept: What else stands for something of the model in the copy.

    Raises:
        InputError: It cannot be copied.
    """
    copy, memo = copied(root, {**kept, **new})
    carry_hooks(new, lambda hooks: deep_copied(hooks, memo, of=root))
    return copy, memo


# -- where the weights lie


LAYOUTS = {2: torch.channels_last, 3: torch.channels_last_3d}
"""The other memory format of an input of so many spatial dimensions."""


def tensor_of(module: _ConvNd) -> Tensor:
    """Return some tensor that the weights of a convolution are made of."""
    for tensor in each_tensor(module):
        return tensor
    return module.weight


def layout_of(module: _ConvNd) -> torch.memory_format | None:
    """Return the memory format of a convolution's weights where it is another than torch's first choice."""
    layout = LAYOUTS.get(len(module.kernel_size))
    if layout is not None and any(_has_layout(tensor, layout) for tensor in each_parameter(module)):
        return layout
    return None


def _has_layout(tensor: Tensor, layout: torch.memory_format) -> bool:
    """Whether a kernel is laid out so; `is_contiguous` says yes to both layouts of a single channel."""
    if (
        is_lazy(tensor)
        or tensor.layout != torch.strided
        or tensor.dim() != (4 if layout is torch.channels_last else 5)
    ):
        return False
    return (
        tensor.stride() == torch.empty(tensor.shape, device="meta", memory_format=layout).stride()
    )
