"""Which of its libraries torch computes a convolution with."""

from typing import Any

import torch
from torch import Tensor, nn


def backend_of(conv: nn.Module, x: Tensor) -> str | None:
    """Return the backend that torch selects, such as `Mkldnn`; `None` where it does not tell.

    Args:
        conv: `nn.Conv1d`, `Conv2d` or `Conv3d`.
        x: Its input, placed as it will run.
    """
    select: Any = getattr(torch._C, "_select_conv_backend", None)
    if select is None or not isinstance(conv, nn.Conv1d | nn.Conv2d | nn.Conv3d):
        return None
    # padding by another mode, or unequal padding of an even kernel, is done before the convolution
    plain = conv.padding_mode == "zeros" and not isinstance(conv.padding, str)
    padding = list(conv.padding) if plain else [0] * len(conv.kernel_size)
    if (
        conv.padding == "same"
        and conv.padding_mode == "zeros"
        and all(k % 2 for k in conv.kernel_size)
    ):
        padding = [d * (k - 1) // 2 for k, d in zip(conv.kernel_size, conv.dilation, strict=True)]
    stride, dilation = list(conv.stride), list(conv.dilation)
    try:
        chosen = select(
            x,
            conv.weight,
            conv.bias,
            stride,
            padding,
            dilation,
            False,
            [0] * len(stride),
            conv.groups,
        )
    except (RuntimeError, TypeError):  # another torch, another signature
        return None
    return str(chosen).rpartition(".")[2]
