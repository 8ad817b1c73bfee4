"""Attention over channels: a weight per channel, from the mean of every channel."""

from math import log2
from typing import Any

import torch
from torch import Tensor, nn

from dscost.errors import InputError, SpecError
from dscost.layers.convolution import not_within, require
from dscost.modules.convs import torch_conv
from dscost.nn.stages import Activation, Device, activation_of, checked_conv


class SqueezeExcite(nn.Module):
    """Each channel times a gate, computed from the means of all channels by two 1×1 convolutions.

    With C channels and S squeezed ones: params `2·C·S + S + C`, MACs `B·2·C·S` whatever the size of
    the map.

    Shapes: `(B, C, H, W)` or `(C, H, W)`, the same out.

    Args:
        channels: C.
        squeeze_channels: S; C / 16, at least 1, when not given, as in the paper. MobileNetV3 has C
            / 4 rounded to a multiple of 8, EfficientNet a quarter of the channels that enter its
            block.
        activation: After the first convolution: a name such as `"relu"`, a class or function, or
            none.
        gate: After the second: `"sigmoid"`, or `"hard_sigmoid"` as in MobileNetV3.
        device: As torch's modules take it.
        dtype: As torch's modules take it.

    Raises:
        SpecError: The channels are no numbers above 0.
        InputError: `activation` or `gate` names or makes no module.

    Source:
        Hu et al. 2018, Squeeze-and-Excitation Networks (arXiv:1709.01507).

    >>> gate = SqueezeExcite(64, 16)
    >>> sum(weight.numel() for weight in gate.parameters()) == 2 * 64 * 16 + 16 + 64
    True
    """

    def __init__(
        self,
        channels: int,
        squeeze_channels: int | None = None,
        *,
        activation: Activation = "relu",
        gate: Activation = "sigmoid",
        device: Device = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        factory_kwargs: dict[str, Any] = {"device": device, "dtype": dtype}
        require(not_within("channels", channels))
        if squeeze_channels is None:
            squeeze_channels = max(1, channels // 16)
        require(not_within("squeeze_channels", squeeze_channels))
        self.channels, self.squeeze_channels = channels, squeeze_channels
        self.pool = nn.AdaptiveAvgPool2d(1)
        reduce = checked_conv(channels, squeeze_channels, 1, bias=True)
        expand = checked_conv(squeeze_channels, channels, 1, bias=True)
        self.reduce = torch_conv(reduce, **factory_kwargs)
        self.activation = activation_of(activation, 2, factory_kwargs)
        self.expand = torch_conv(expand, **factory_kwargs)
        self.gate = activation_of(gate, 2, factory_kwargs)

    def forward(self, x: Tensor) -> Tensor:
        """Return the gated channels, of the shape of `x`."""
        gate: Tensor = self.reduce(self.pool(x))
        if self.activation is not None:
            gate = self.activation(gate)
        gate = self.expand(gate)
        if self.gate is not None:
            gate = self.gate(gate)
        return x * gate

    def extra_repr(self) -> str:
        """Return C and S."""
        return f"{self.channels}, {self.squeeze_channels}"


class EfficientChannelAttention(nn.Module):
    """Each channel times a gate: a 1-D convolution over the means of its K nearest channels.

    It has K weights and nothing else; MACs `B·K·C` whatever the size of the map.

    Shapes: `(B, C, H, W)` or `(C, H, W)`, the same out.

    Args:
        channels: C.
        kernel_size: K, odd; when not given the odd number nearest to `|log2(C)/gamma + b/gamma|`.
        gamma: How slowly K grows with C.
        b: What K starts from.
        device: As torch's modules take it.
        dtype: As torch's modules take it.

    Raises:
        SpecError: The channels or the kernel are no numbers above 0, or the kernel is even.
        InputError: `gamma` is 0.

    Source:
        Wang et al. 2020, ECA-Net, eq. 12 (arXiv:1910.03151).

    >>> [EfficientChannelAttention(channels).kernel_size for channels in (16, 64, 256, 512)]
    [3, 3, 5, 5]
    """

    def __init__(
        self,
        channels: int,
        kernel_size: int | None = None,
        *,
        gamma: float = 2,
        b: float = 1,
        device: Device = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        require(not_within("channels", channels))
        if kernel_size is None:
            kernel_size = nearest_channels(channels, gamma, b)
        require(not_within("kernel_size", kernel_size))
        if kernel_size % 2 == 0:
            raise SpecError(f"kernel_size must be odd, found {kernel_size}")
        self.channels, self.kernel_size = channels, kernel_size
        self.pool = nn.AdaptiveAvgPool2d(1)
        conv = checked_conv(1, 1, kernel_size, padding=kernel_size // 2, dims=1)
        self.conv = torch_conv(conv, device=device, dtype=dtype)

    def forward(self, x: Tensor) -> Tensor:
        """Return the gated channels, of the shape of `x`."""
        means = self.pool(x).flatten(-3).unsqueeze(-2)
        gate = torch.sigmoid(self.conv(means))
        return x * gate.transpose(-1, -2).unsqueeze(-1)

    def extra_repr(self) -> str:
        """Return C and K."""
        return f"{self.channels}, kernel_size={self.kernel_size}"


def nearest_channels(channels: int, gamma: float = 2, b: float = 1) -> int:
    """Return how many neighbours a channel's gate sees, `|log2(C)/γ + b/γ|`, made odd.

    Of two odd numbers equally near it is the larger, as in the authors' code.

    Raises:
        InputError: `gamma` is 0.

    >>> nearest_channels(128)
    5
    """
    if gamma == 0:
        raise InputError("gamma must not be 0")
    neighbours = int(abs((log2(channels) + b) / gamma))
    return neighbours if neighbours % 2 else neighbours + 1
