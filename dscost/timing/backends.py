"""Which of its libraries torch computes a convolution with."""

from typing import Any

import torch
from torch import Tensor, nn

_CONVS = (
    *(nn.Conv1d, nn.Conv2d, nn.Conv3d),
    *(nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d),
)


def backend_of(conv: nn.Module, x: Tensor) -> str | None:
    """Return the backend that torch selects for an input, such as `Mkldnn`, where it tells."""
    select: Any = getattr(torch._C, "_select_conv_backend", None)
    if select is None or not isinstance(conv, _CONVS):
        return None
    stride, dilation, kernel_size = list(conv.stride), list(conv.dilation), conv.kernel_size
    # padding by another mode, or unequal padding of an even kernel, is done before the convolution
    padding = none = [0] * len(stride)
    if conv.padding_mode == "zeros":
        if not isinstance(conv.padding, str):
            padding = list(conv.padding)
        elif conv.padding == "same" and all(k % 2 for k in kernel_size):
            padding = [d * (k - 1) // 2 for k, d in zip(kernel_size, dilation, strict=True)]
    sides = list(conv.output_padding) if conv.transposed else none
    geometry = stride, padding, dilation, conv.transposed, sides, conv.groups
    try:
        chosen = select(x, conv.weight, conv.bias, *geometry)
    except (RuntimeError, TypeError):  # another torch, another signature
        return None
    name = str(chosen).rpartition(".")[2]
    return None if "?" in name else name  # torch has no name for some of transposed convolutions
