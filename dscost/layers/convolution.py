"""A convolution as plain data. A spec that exists is valid: it checks itself once, at birth.

Shapes are `(B, C, H, W)`; pairs are height then width. Parameter names are those of `torch.nn`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod
from typing import Any, ClassVar, Literal

from dscost.errors import SpecError, UnknownNameError
from dscost.layers.formulas import (
    conv_macs,
    conv_out_size,
    conv_transposed_size,
    conv_weights,
)
from dscost.layers.whole import Whole
from dscost.notation.units import format_extent, format_shape

Shape = tuple[int, ...]

MAX_EXTENT = 1_000_000
"""No channel count, extent, kernel, stride or batch may be larger: it would be a typing error."""

PADDING_MODES = ("zeros", "reflect", "replicate", "circular")


class LayerSpec:
    """What every layer says of itself; here what one says that keeps its shape and costs no MAC."""

    __slots__ = ()

    op: ClassVar[str] = "elementwise"
    params: ClassVar[int] = 0
    buffers: ClassVar[int] = 0
    moves_data: ClassVar[bool] = True
    can_overwrite: ClassVar[bool] = False

    def output_shape(self, *inputs: Shape) -> Shape:
        """Return the shape of what it makes of inputs of these shapes.

        Raises:
            SpecError: They do not fit the layer, or each other.
        """
        return inputs[0]

    def macs(self, inputs: Sequence[Shape], output: Shape) -> int:
        """Return the multiply-accumulates that make `output`."""
        return 0


@dataclass(frozen=True, slots=True)
class ConvSpec(LayerSpec):
    """A convolution over any number of spatial dimensions.

    Args:
        in_channels: M of the input `(B, M, H, W)`.
        out_channels: N of the output `(B, N, H', W')`.
        kernel_size: Taps per spatial dimension.
        stride: One per spatial dimension, as the fields below.
        padding: Added on each side, or `"same"` (stride 1 only).
        dilation: Distance between two taps.
        groups: Independent groups of channels; divides both channel counts.
        bias: Whether a bias is added per output channel.
        padding_mode: One of `PADDING_MODES`.
        transposed: Whether each input value is spread over the kernel's taps, so that strides make
            the output larger, as `torch.nn.ConvTranspose2d` does.
        output_padding: Added to one side of the output of a transposed one; else empty.

    Raises:
        SpecError: No such convolution exists; the text names every reason.
    """

    _field_defaults: ClassVar[Mapping[str, Any]] = {"transposed": False, "output_padding": ()}
    """What JSON need not tell: nothing but a transposed convolution has it."""

    in_channels: int
    out_channels: int
    kernel_size: Shape
    stride: Shape
    padding: Shape | Literal["same"]
    dilation: Shape
    groups: int = 1
    bias: bool = False
    padding_mode: str = "zeros"
    transposed: bool = False
    output_padding: Shape = ()

    def __post_init__(self) -> None:
        problems = [
            *not_within("in_channels", self.in_channels),
            *not_within("out_channels", self.out_channels),
            *not_within("groups", self.groups),
            *not_within("kernel_size", *self.kernel_size),
            *not_within("stride", *self.stride),
            *not_within("dilation", *self.dilation),
        ]
        problems += not_alike(self.kernel_size, stride=self.stride, dilation=self.dilation)
        if type(self.bias) is not bool:
            problems.append(f"bias must be true or false, found {self.bias!r}")
        if self.padding == "same":
            if any(step != 1 for step in self.stride):
                problems.append(
                    f"padding 'same' needs stride 1, found stride {format_shape(self.stride)}"
                )
        elif isinstance(self.padding, str):
            problems.append(f"padding must be whole numbers or 'same', found '{self.padding}'")
        else:
            problems += not_within("padding", *self.padding, least=0)
            problems += not_alike(self.kernel_size, padding=self.padding)
        if self.padding_mode not in PADDING_MODES:
            problems.append(str(UnknownNameError("padding_mode", self.padding_mode, PADDING_MODES)))
        problems += self._transposed_problems()
        if not problems:
            channels = {"in_channels": self.in_channels, "out_channels": self.out_channels}
            problems += [
                f"groups={self.groups} does not divide {name}={count}"
                for name, count in channels.items()
                if count % self.groups
            ]
        require(problems)

    def _transposed_problems(self) -> list[str]:
        """Return what a transposed convolution cannot have, or one that is not."""
        if not self.transposed:
            return ["output_padding is for transposed convolutions"] if self.output_padding else []
        problems = []
        if self.padding == "same":
            problems.append("a transposed convolution has no padding 'same'")
        if self.padding_mode != "zeros":
            problems.append(f"a transposed convolution has no padding_mode '{self.padding_mode}'")
        wrong = not_within("output_padding", *self.output_padding, least=0)
        wrong = wrong or not_alike(self.kernel_size, output_padding=self.output_padding)
        if wrong:
            return problems + wrong
        for padding, stride, dilation in zip(
            self.output_padding, self.stride, self.dilation, strict=False
        ):
            if padding >= max(stride, dilation):
                problems.append(
                    f"output_padding {format_shape(self.output_padding)} must be smaller "
                    "than stride or dilation"
                )
                break
        return problems

    @property
    def type(self) -> str:
        """What torch calls it, such as `Conv2d` or `ConvTranspose1d`."""
        return f"Conv{'Transpose' if self.transposed else ''}{len(self.kernel_size)}d"

    @property
    def op(self) -> str:  # type: ignore[override]
        """`convolution`, or `transposed_convolution`."""
        return "transposed_convolution" if self.transposed else "convolution"

    @property
    def given(self) -> Mapping[str, Any]:
        """Its fields by name, without those that only a transposed convolution has."""
        return {
            name: getattr(self, name)
            for name in self.__slots__
            if self.transposed or name not in self._field_defaults
        }

    @property
    def kernel_area(self) -> int:
        """`Kh * Kw`."""
        return prod(self.kernel_size)

    @property
    def is_depthwise(self) -> bool:
        """Whether every input channel is filtered on its own; a single one makes one output."""
        return self.groups == self.in_channels and (self.in_channels > 1 or self.out_channels == 1)

    @property
    def is_pointwise(self) -> bool:
        """Whether it mixes channels at one position: 1×1, undilated by nature, no padding.

        A transposed one is none, which with strides writes positions that have no input.
        """
        return not (self.transposed or self.kernel_area > 1 or any(self.padding_total))

    @property
    def padding_total(self) -> Shape:
        """Padding of both sides together, per spatial dimension."""
        if isinstance(self.padding, str):
            return spread(self.kernel_size, self.dilation)
        return tuple(2 * p for p in self.padding)

    @property
    def params(self) -> int:  # type: ignore[override]
        """Weights and, where there is one, the bias."""
        weights = conv_weights(self.in_channels, self.out_channels, self.kernel_area, self.groups)
        return weights + self.out_channels * self.bias

    def output_shape(self, *inputs: Shape) -> Shape:
        """Return `(B, N, H', W')` for an input `(B, M, H, W)`."""
        (shape,) = inputs
        check_extents(shape)
        wanted = len(self.kernel_size) + 2
        if len(shape) != wanted:
            raise SpecError(f"a convolution needs {wanted} dimensions, found {format_shape(shape)}")
        batch, channels, *extents = shape
        if channels != self.in_channels:
            raise SpecError(
                f"in_channels={self.in_channels}, but the input has {channels} channels"
            )
        if self.transposed:
            positions = self._spread_positions(extents)
        else:
            positions = window_positions(
                extents, self.kernel_size, self.stride, self.padding_total, self.dilation
            )
        return (batch, self.out_channels, *positions)

    def _spread_positions(self, extents: Sequence[int]) -> Shape:
        """Return how many positions a transposed convolution writes per spatial dimension.

        Raises:
            SpecError: Its padding takes all of them.
        """
        reach = spread(self.kernel_size, self.dilation)
        sides = zip(
            extents, self.stride, reach, self.padding_total, self.output_padding, strict=True
        )
        sizes = tuple(conv_transposed_size(*side) for side in sides)
        if min(sizes) < 1:
            padding = format_extent(self.padding)
            raise SpecError(f"padding {padding} leaves nothing of the output of {self.type}")
        return sizes

    def macs(self, inputs: Sequence[Shape], output: Shape) -> int:
        """Return its weights times its positions, of the whole batch: those of its output.

        A transposed convolution applies its weights at each position that it reads.
        """
        if self.transposed:
            return conv_macs(prod(inputs[0]), self.out_channels // self.groups, self.kernel_area)
        return conv_macs(prod(output), self.in_channels // self.groups, self.kernel_area)


def conv2d(
    in_channels: int,
    out_channels: int,
    kernel_size: int | Sequence[int],
    *,
    stride: int | Sequence[int] = 1,
    padding: int | Sequence[int] | str | None = 0,
    dilation: int | Sequence[int] = 1,
    groups: int = 1,
    bias: bool = False,
    padding_mode: str = "zeros",
) -> ConvSpec:
    """Return a 2-D convolution from numbers or pairs, as `torch.nn.Conv2d` takes them.

    Args:
        in_channels: M.
        out_channels: N.
        kernel_size: K, or `(Kh, Kw)`.
        stride: Step of the kernel, or of height and width.
        padding: Zeros on each side, those of height and width, or `same`; `None` means what keeps
            the size at stride 1.
        dilation: Distance between taps, or of height and width.
        groups: G; the channels are divided among them.
        bias: Whether each output channel has one.
        padding_mode: `zeros`, `reflect`, `replicate` or `circular`.

    Raises:
        SpecError: No such convolution exists.

    >>> conv2d(3, 32, 3, stride=2, padding=1).output_shape((1, 3, 224, 224))
    (1, 32, 112, 112)
    """
    kernel, steps, gaps = pair(kernel_size), pair(stride), pair(dilation)
    if padding is None:
        padding = size_keeping_padding(kernel, steps, gaps)
    return ConvSpec(
        in_channels=in_channels,
        out_channels=out_channels,
        kernel_size=kernel,
        stride=steps,
        # any other string is refused by ConvSpec itself
        padding=padding if isinstance(padding, str) else pair(padding),  # type: ignore[arg-type]
        dilation=gaps,
        groups=groups,
        bias=bias,
        padding_mode=padding_mode,
    )


def size_keeping_padding(kernel: Shape, stride: Shape, dilation: Shape) -> Shape | Literal["same"]:
    """Half the effective kernel; an even one at stride 1 needs the uneven sides of `same`."""
    needed = spread(kernel, dilation)
    if any(n % 2 for n in needed) and all(s == 1 for s in stride):
        return "same"
    return tuple(max(0, n // 2) for n in needed)


def spread(kernel_size: Shape, dilation: Shape) -> Shape:
    """Return how far a kernel reaches beyond its first tap: the padding that keeps the size."""
    return tuple(d * (k - 1) for d, k in zip(dilation, kernel_size, strict=True))


def pair(value: int | Sequence[int]) -> Shape:
    """Return height and width from a number or a pair; else raise `SpecError`."""
    if isinstance(value, (int, Whole)):
        number: Any = value
        return (number, number)
    if not isinstance(value, Sequence) or isinstance(value, str) or len(value) != 2:
        raise SpecError(f"expected a whole number or a pair of them, found {value!r}")
    return tuple(value)


def not_within(name: str, *values: int, least: int = 1, most: int = MAX_EXTENT) -> list[str]:
    """Return why the values of one parameter are out of bounds, or an empty list."""
    for value in values:
        if type(value) is not int and not isinstance(value, Whole):
            return [f"{name} must be whole numbers, found {format_shape(values)}"]
        if value < least:
            return [f"{name} must be at least {least}, found {format_shape(values)}"]
        if value > most:
            return [f"{name} must be at most {most:,}, found {format_shape(values)}"]
    return []


def not_alike(kernel_size: Shape, **others: Shape) -> list[str]:
    """Return which parameters of a window have other dimensions than its kernel."""
    return [
        f"{name} {format_shape(value)} has other dimensions "
        f"than kernel_size {format_shape(kernel_size)}"
        for name, value in others.items()
        if len(value) != len(kernel_size)
    ]


def require(problems: list[str]) -> None:
    """Raise `SpecError` with all problems, if there are any."""
    if problems:
        raise SpecError("; ".join(problems))


def check_extents(shape: Shape) -> None:
    """Refuse a shape `(B, C, H, W)` with an extent below 1 or absurdly large, as `require` does."""
    batch, channels, *extents = shape
    require(
        not_within("batch", batch)
        + not_within("channels", channels)
        + not_within("input size", *extents)
    )


def window_positions(
    extents: Sequence[int],
    kernel_size: Shape,
    stride: Shape,
    padding: Shape,
    dilation: Shape,
    *,
    ceil: bool = False,
) -> Shape:
    """Return how many positions a window takes per spatial dimension.

    Padding is that of both sides together. With `ceil`, a last window that is cut off at the end
    counts if it starts inside the input or its leading padding, as in torch.

    Raises:
        SpecError: The window is larger than the padded input.
    """
    sizes = []
    for size, k, s, p, d in zip(extents, kernel_size, stride, padding, dilation, strict=True):
        out = conv_out_size(size, k, s, p, d)
        if ceil and (size + p - d * (k - 1) - 1) % s and out * s < size + p // 2:
            out += 1
        if out < 1:
            dilated = f" (dilated to {d * (k - 1) + 1})" if d > 1 else ""
            padded = tuple(e + q for e, q in zip(extents, padding, strict=True))
            raise SpecError(
                f"kernel {format_shape(kernel_size)}{dilated} is larger "
                f"than the padded input {format_shape(padded)}"
            )
        sizes.append(out)
    return tuple(sizes)
