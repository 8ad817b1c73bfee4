"""A convolution over one, two or three dimensions from numbers, as people and torch give them."""

from collections.abc import Mapping, Sequence
from typing import Any

from dscost.errors import SpecError
from dscost.layers.convolution import ConvSpec, Shape, size_keeping_padding, spread
from dscost.layers.whole import Whole
from dscost.notation.units import format_shape

Extent = int | Sequence[int]

DIMS = (1, 2, 3)
"""So many spatial dimensions torch has convolutions over."""


def dims_of(given: int | None, **extents: object) -> int:
    """Return over how many dimensions a convolution goes: as given, as there are sizes, else 2.

    Args:
        given: The number, if somebody said it.
        extents: Kernel, stride and the like by name: a number for all dimensions, or one for each.

    Raises:
        SpecError: They do not agree, or torch has no such convolution.
    """
    if given is not None and given not in DIMS:
        raise SpecError(f"dims must be 1, 2 or 3, found {given!r:.40}")
    told = "" if given is None else f"dims is {given}"
    dims = given
    for name, value in extents.items():
        if isinstance(value, str | None) or not isinstance(value, Sequence):
            continue
        sizes = f"{name} {format_shape(tuple(value))} has {len(value)} sizes"
        if len(value) not in DIMS:
            raise SpecError(f"{sizes}: expected 1, 2 or 3")
        if dims is not None and len(value) != dims:
            raise SpecError(f"{sizes}, but {told}")
        dims, told = len(value), sizes
    return dims or 2


def extent(name: str, value: object, dims: int) -> Shape:
    """Return a number for each dimension; else raise `SpecError`."""
    if isinstance(value, (int, Whole)):
        number: Any = value
        return (number,) * dims
    if isinstance(value, str) or not isinstance(value, Sequence) or len(value) != dims:
        raise SpecError(f"{name} must be a whole number or {dims} of them, found {value!r:.60}")
    return tuple(value)


def conv(
    in_channels: int,
    out_channels: int,
    kernel_size: Extent,
    *,
    dims: int,
    stride: Extent = 1,
    padding: Extent | str | None = 0,
    dilation: Extent = 1,
    groups: int = 1,
    bias: bool = False,
    transposed: bool = False,
    output_padding: Extent | None = None,
) -> ConvSpec:
    """Return a convolution over `dims` dimensions, as torch takes its arguments.

    A padding of `None` is the one that keeps the size at stride 1; that of a transposed convolution
    makes the output as many times the input as the stride says. Without a padding nor an output
    padding, the latter is what that takes; else it is 0.

    Raises:
        SpecError: No such convolution exists.

    >>> conv(8, 8, 3, dims=1, stride=2, padding=None, transposed=True).output_padding
    (1,)
    """
    kernel, steps, gaps = (
        extent(name, value, dims)
        for name, value in (
            ("kernel_size", kernel_size),
            ("stride", stride),
            ("dilation", dilation),
        )
    )
    more: Mapping[str, Any] = {}
    if padding is None and not transposed:
        padding = size_keeping_padding(kernel, steps, gaps)
    elif padding is None:
        padding, fitting = _size_multiplying_padding(kernel, steps, gaps)
        output_padding = fitting if output_padding is None else output_padding
    if transposed or output_padding is not None:
        sizes = extent("output_padding", output_padding or 0, dims)
        more = {"transposed": transposed, "output_padding": sizes}
    # any other string is refused by ConvSpec itself
    sides: Any = padding if isinstance(padding, str) else extent("padding", padding, dims)
    return ConvSpec(
        in_channels=in_channels,
        out_channels=out_channels,
        kernel_size=kernel,
        stride=steps,
        padding=sides,
        dilation=gaps,
        groups=groups,
        bias=bias,
        **more,
    )


def _size_multiplying_padding(kernel: Shape, stride: Shape, dilation: Shape) -> tuple[Shape, Shape]:
    """Return padding and output padding of a transposed convolution whose output is stride × input.

    Where torch has no output padding that large, as of an even kernel at stride 1, the output is
    one smaller.
    """
    sides = []
    for reach, step, gap in zip(spread(kernel, dilation), stride, dilation, strict=True):
        surplus = reach + 1 - step
        padding = max(0, (surplus + 1) // 2)
        missing = 2 * padding - surplus
        sides.append((padding, missing if missing < max(step, gap) else 0))
    paddings, outputs = zip(*sides, strict=True)
    return paddings, outputs
