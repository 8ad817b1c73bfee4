"""The arithmetic of a convolution's cost, ints in, ints out; no layer and no tensor.

Letters as in the papers: M input channels, N output channels, G groups, T depth multiplier,
`kernel_area = Kh * Kw`, `out_positions = B * H' * W'`. A MAC is one multiply and one add;
padding counts like any other position, a bias does not count.
"""

from collections.abc import Mapping


def conv_out_size(size: int, kernel: int, stride: int, padding: int, dilation: int) -> int:
    """Return one output extent of a convolution or a pooling; 0 or less means it does not fit.

    Padding is that of both sides together.

    >>> conv_out_size(224, kernel=7, stride=2, padding=6, dilation=1)
    112
    """
    return (size + padding - dilation * (kernel - 1) - 1) // stride + 1


def conv_transposed_size(
    size: int, stride: int, spread: int, padding: int, output_padding: int
) -> int:
    """Return one output extent of a transposed convolution; below 1 nothing is left.

    Spread is how far the kernel reaches beyond its first tap, padding that of both sides together.

    >>> conv_transposed_size(14, stride=2, spread=2, padding=2, output_padding=1)
    28
    """
    return (size - 1) * stride - padding + spread + output_padding + 1


def conv_weights(in_channels: int, out_channels: int, kernel_area: int, groups: int) -> int:
    """Return the weights of a convolution, without bias: `N · M/G · Kh·Kw`.

    >>> conv_weights(256, 256, kernel_area=9, groups=1)
    589824
    """
    return out_channels * (in_channels // groups) * kernel_area


def conv_macs(outputs: int, group_channels: int, kernel_area: int) -> int:
    """Return the multiply-accumulates of a convolution: `B·H'·W'·N · M/G · Kh·Kw`.

    Each value that it writes is a dot product over the taps of one group's channels. Transposed,
    each value that it reads meets those of one group's output channels.

    Args:
        outputs: Values that it writes, `out_positions · N`; that it reads where it is transposed.
        group_channels: Input channels of a group, `M/G`; output channels where it is transposed.
        kernel_area: `Kh * Kw`.

    Source:
        Howard et al. 2017, MobileNets, eq. 2 (arXiv:1704.04861).
    """
    return outputs * group_channels * kernel_area


def linear_macs(in_features: int, out_features: int, rows: int) -> int:
    """Return the multiply-accumulates of a linear layer applied to `rows` vectors."""
    return rows * in_features * out_features


def separable_ratio(
    out_channels: int, kernel_area: int, groups: int = 1, depth_multiplier: int = 1
) -> float:
    """Return the cost of the depthwise-separable layer, in units of the standard one.

    It holds for weights and, where both stages see the same output positions, for MACs:
    `T · (G/N + 1/(Kh·Kw))`, which is `1/N + 1/K²` for T = G = 1 and a square kernel.

    >>> separable_ratio(256, 9) == 265 / 2304
    True

    Source:
        Howard et al. 2017, MobileNets, section 3.1 (arXiv:1704.04861); the general form by
        division.
    """
    return depth_multiplier * (groups * kernel_area + out_channels) / (out_channels * kernel_area)


def formula_value(formula: str, letters: Mapping[str, int]) -> float | None:
    """Return what a formula comes to that stands before the first comma; `None` where it is words.

    Its signs are those of papers, `·`, `−` and `²`; `K²` is the kernel area.

    >>> formula_value("G/N + 1/(g·K²), about a sixth", {"N": 64, "G": 1, "g": 2, "K²": 9})
    0.07118055555555555
    """
    text = formula.partition(",")[0].replace("K²", f"({letters.get('K²')})")
    for sign, operator in (("·", "*"), ("−", "-"), ("²", "**2")):
        text = text.replace(sign, operator)
    try:
        # it comes from whoever registers a variant, and that is code that runs anyway
        return float(eval(text, {"__builtins__": {}}, dict(letters)))
    except (SyntaxError, NameError, TypeError, ValueError, ArithmeticError):
        return None
