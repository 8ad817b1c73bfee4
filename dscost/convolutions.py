"""What a convolution module of torch is like: a convolution and nothing else? how it pads, where its weights lie."""

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd
from torch.nn.parameter import is_lazy
from torch.nn.utils.prune import BasePruningMethod
from torch.nn.utils.spectral_norm import SpectralNorm
from torch.nn.utils.weight_norm import WeightNorm

from dscost.building import CONV_CLASSES
from dscost.specs import ConvSpec, Shape

CONVOLUTIONS = tuple(CONV_CLASSES.values())
"""torch's classes, over one to three spatial dimensions."""

OF_WEIGHTS = (WeightNorm, SpectralNorm, BasePruningMethod)
"""Hooks of a forward that compute weights."""


def is_plain(module: nn.Module) -> bool:
    """Whether a module computes what its class in torch computes, whatever its weights are made of."""
    kind = type(module)
    return "forward" not in module.__dict__ and any(
        kind.forward is torchs.forward and getattr(kind, "_conv_forward", None) is torchs._conv_forward
        for torchs in CONVOLUTIONS
    )


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
        sides: How many before and after, last dimension first, as `torch.nn.functional.pad` takes them.
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
    return tuple(max(0, (-(-size // s) - 1) * s + d * (k - 1) + 1 - size) for size, k, s, d in sizes)


def on_both_sides(totals: Sequence[int]) -> list[int]:
    """Return the argument of `pad`, last dimension first; of an uneven total one more comes at the end."""
    return [side for total in reversed(totals) for side in (total // 2, total - total // 2)]


def padding_of_operator(module: _ConvNd) -> Shape | Literal["same"]:
    """Return the `padding` of a module, `valid` as zeros."""
    if isinstance(module.padding, str):
        return "same" if module.padding == "same" else (0,) * len(module.kernel_size)
    return tuple(module.padding)


def describe(module: nn.Module, conv: ConvSpec, padding: Shape | str) -> None:
    """Give a module in place of a convolution the attributes that tell its shape."""
    for name in ("in_channels", "out_channels", "kernel_size", "stride", "dilation", "groups"):
        setattr(module, name, getattr(conv, name))
    module.padding = padding  # type: ignore[assignment]


# -- where the weights lie


LAYOUTS = {2: torch.channels_last, 3: torch.channels_last_3d}
"""The other memory format of an input of so many spatial dimensions."""


def tensor_of(module: _ConvNd) -> Tensor:
    """Return some tensor that the weights of a convolution are made of."""
    for tensor in (*module.parameters(), *module.buffers()):
        return tensor
    return module.weight


def layout_of(module: _ConvNd) -> torch.memory_format | None:
    """Return the memory format of a convolution's weights where it is another than torch's first choice."""
    layout = LAYOUTS.get(len(module.kernel_size))
    if layout is not None and any(_has_layout(tensor, layout) for tensor in module.parameters()):
        return layout
    return None


def _has_layout(tensor: Tensor, layout: torch.memory_format) -> bool:
    """Whether a kernel is laid out so; `is_contiguous` says yes to both layouts of a single channel."""
    if is_lazy(tensor) or tensor.layout != torch.strided or tensor.dim() != (4 if layout is torch.channels_last else 5):
        return False
    return tensor.stride() == torch.empty(tensor.shape, device="meta", memory_format=layout).stride()
