"""Feature maps of which most are cheap copies of a few."""

from collections.abc import Sequence
from math import ceil

import torch
from torch import Tensor, nn

from dscost.errors import SpecError
from dscost.layers.convolution import not_within, require
from dscost.nn.separable import conv_repr
from dscost.nn.stages import Activation, Device, Norm, checked_conv, conv_stage, same_size_conv


class GhostConv2d(nn.Module):
    """A convolution to a few channels, and a depthwise one that makes the rest of them.

    `primary` is a K×K convolution to I = N / s channels, rounded up; `cheap` makes s − 1 ghosts of
    each by a depthwise d×d convolution. Both stand side by side in the output, primary ones first;
    where s does not divide N, I·s − N channels too many are computed and cut off, as in the
    authors' code.

    Weights `I·M·Kh·Kw + I·(s − 1)·d²`, MACs `B·H'·W'` times as many.

    Shapes: `(B, M, H, W)` or, without batch normalisation, `(M, H, W)` to `(B, N, H', W')` or `(N,
        H', W')`.

    Args:
        in_channels: M.
        out_channels: N.
        kernel_size: Of `primary`, a number or a pair, like `stride`, `padding` and `dilation`.
        stride: Step of `primary`.
        padding: Of `primary`; also `"same"` (stride 1 only) or `"valid"`.
        dilation: Distance between taps of `primary`.
        groups: Groups of `primary`; divides M and I.
        bias: Whether both stages have one.
        padding_mode: Of `primary`: `zeros`, `reflect`, `replicate` or `circular`.
        ratio: s, at least 2.
        cheap_kernel_size: d, odd.
        norm: After each stage: `"batch"` (as in the paper), a class or function that makes it, or
            none.
        activation: After each stage: a name (`"relu"` in the paper), a class or function, or none.
        device: As torch's modules take it.
        dtype: As torch's modules take it.

    Raises:
        SpecError: No such convolution exists.
        InputError: `norm` or `activation` names or makes no module.

    Source:
        Han et al. 2020, GhostNet, section 3.1 (arXiv:1911.11907).

    >>> GhostConv2d(16, 33, 3, padding=1)(torch.zeros(1, 16, 8, 8)).shape
    torch.Size([1, 33, 8, 8])
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int | Sequence[int] = 1,
        stride: int | Sequence[int] = 1,
        padding: int | Sequence[int] | str = 0,
        dilation: int | Sequence[int] = 1,
        groups: int = 1,
        bias: bool = True,
        padding_mode: str = "zeros",
        *,
        ratio: int = 2,
        cheap_kernel_size: int = 3,
        norm: Norm = None,
        activation: Activation = None,
        device: Device = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        factory_kwargs = {"device": device, "dtype": dtype}
        require(not_within("ratio", ratio, least=2) + not_within("out_channels", out_channels))
        require(not_within("cheap_kernel_size", cheap_kernel_size))
        if cheap_kernel_size % 2 == 0:
            raise SpecError(f"cheap_kernel_size must be odd, found {cheap_kernel_size}")
        few = ceil(out_channels / ratio)
        window = (kernel_size, stride, padding, dilation)
        primary = checked_conv(in_channels, few, *window, groups, bias, padding_mode)
        cheap = same_size_conv(few, few * (ratio - 1), cheap_kernel_size, groups=few, bias=bias)
        self.primary = conv_stage(primary, norm, activation, factory_kwargs)
        self.cheap = conv_stage(cheap, norm, activation, factory_kwargs)
        self.in_channels, self.out_channels, self.groups = in_channels, out_channels, groups
        self.kernel_size, self.stride = primary.kernel_size, primary.stride
        self.dilation = primary.dilation
        self.padding, self.padding_mode = primary.padding, padding_mode
        self.ratio, self.cheap_kernel_size = ratio, cheap_kernel_size

    def forward(self, x: Tensor) -> Tensor:
        """Return `(B, N, H', W')` for an input `(B, M, H, W)`."""
        few = self.primary(x)
        both = torch.cat([few, self.cheap(few)], dim=-3)
        return both.narrow(-3, 0, self.out_channels)

    def extra_repr(self) -> str:
        """Return the arguments of `primary`, and what makes the ghosts."""
        return f"{conv_repr(self)}, ratio={self.ratio}, cheap_kernel_size={self.cheap_kernel_size}"
