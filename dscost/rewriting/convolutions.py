"""What a convolution of torch is like: what it applies, how it pads, where its weights lie."""

from collections.abc import Sequence
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd
from torch.nn.parameter import is_lazy
from torch.nn.utils.prune import BasePruningMethod
from torch.nn.utils.spectral_norm import SpectralNorm
from torch.nn.utils.weight_norm import WeightNorm

from dscost.errors import SpecError
from dscost.foreign.parts import each_parameter, each_tensor
from dscost.layers.convolution import ConvSpec, Shape
from dscost.modules.convs import CONVS

CONVOLUTIONS = tuple(CONVS.values())
"""torch's classes, over one to three spatial dimensions."""

OF_WEIGHTS = (WeightNorm, SpectralNorm, BasePruningMethod)
"""Hooks of a forward that compute weights."""


def is_plain(module: nn.Module) -> bool:
    """Whether a module computes what its class in torch does, whatever its weights are made of.

    Hooks are left out.
    """
    kind = type(module)
    torchs = next((one for one in CONVOLUTIONS if issubclass(kind, one)), None)
    return (
        torchs is not None
        and module.__dict__.keys().isdisjoint(_OF_A_CALL)
        and all(getattr(kind, name, None) is getattr(torchs, name, None) for name in _OF_A_CALL)
        # nobody has patched torch's own class
        and torchs.forward.__module__ == torchs._conv_forward.__module__ == _ConvNd.__module__
    )


_OF_A_CALL = (
    *("forward", "_conv_forward", "_call_impl", "_wrapped_call_impl"),
    *("__call__", "__getattr__", "__getattribute__"),
)
"""Methods that decide on what a call computes."""


# -- padding


class SamePadding(nn.Module):
    """Zeros around an input, so that a window takes `ceil(size / stride)` positions.

    Args:
        conv: The convolution to come, itself without padding.
    """

    def __init__(self, conv: ConvSpec) -> None:
        super().__init__()
        self.conv = conv

    def forward(self, x: Tensor) -> Tensor:
        """Return `x`, `(B, C, H, W)`, padded; of an uneven number one more at the end."""
        conv, dims = self.conv, len(self.conv.kernel_size)
        sizes = zip(x.shape[-dims:], conv.kernel_size, conv.stride, conv.dilation, strict=True)
        totals = [
            max(0, (-(-size // s) - 1) * s + d * (k - 1) + 1 - size) for size, k, s, d in sizes
        ]
        return nn.functional.pad(x, on_both_sides(totals))


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


def on_both_sides(totals: Sequence[int]) -> list[int]:
    """Return the argument of `pad`, last dimension first; of uneven totals one more at the end."""
    return [side for total in reversed(totals) for side in (total // 2, total - total // 2)]


def padding_of_operator(module: _ConvNd) -> Shape | Literal["same"]:
    """Return the `padding` of a module, `valid` as zeros."""
    if isinstance(module.padding, str):
        return "same" if module.padding == "same" else (0,) * len(module.kernel_size)
    return tuple(module.padding)


# -- what it applies


def spec_of(module: nn.Module) -> ConvSpec | None:
    """Return the convolution that the attributes of a module tell, `None` where they tell none."""
    if not isinstance(module, CONVOLUTIONS):
        return None
    try:
        return ConvSpec(
            in_channels=module.in_channels,
            out_channels=module.out_channels,
            kernel_size=tuple(module.kernel_size),
            stride=tuple(module.stride),
            padding=padding_of_operator(module),
            dilation=tuple(module.dilation),
            groups=module.groups,
            bias=module.__dict__.get("bias", module._parameters.get("bias", True)) is not None,
            padding_mode=module.padding_mode,
        )
    except SpecError:
        return None


class Kernel(NamedTuple):
    """What a convolution applies.

    Args:
        conv: With the padding that torch's convolution can do.
        weight: `(N, M/G, Kh, Kw)`: the parameter itself, or what is computed in its place.
        bias: `(N,)`, the parameter itself or what is computed; none where none is added.
        before: Pads the input first, where torch's convolution cannot.
        trains_weight: Whether gradients reach what the weights are made of.
        trains_bias: Whether they reach what the bias is made of.
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


# -- where the weights lie


LAYOUTS = {2: torch.channels_last, 3: torch.channels_last_3d}
"""The other memory format of an input of so many spatial dimensions."""


def tensor_of(module: _ConvNd) -> Tensor:
    """Return some tensor that the weights of a convolution are made of."""
    for tensor in each_tensor(module):
        return tensor
    return module.weight


def layout_of(module: _ConvNd) -> torch.memory_format | None:
    """Return the memory format of a convolution's weights where it is not torch's first choice."""
    layout = LAYOUTS.get(len(module.kernel_size))
    if layout is not None and any(_has_layout(tensor, layout) for tensor in each_parameter(module)):
        return layout
    return None


def _has_layout(tensor: Tensor, layout: torch.memory_format) -> bool:
    """Whether a kernel is laid out so: of a single channel `is_contiguous` says yes to both."""
    dims = 4 if layout is torch.channels_last else 5
    if is_lazy(tensor) or tensor.layout != torch.strided or tensor.dim() != dims:
        return False
    so_laid_out = torch.empty(tensor.shape, device="meta", memory_format=layout)
    return tensor.stride() == so_laid_out.stride()
