"""A node that convolves → the `ConvSpec` that it is, and the input that it sees."""

from collections.abc import Sequence
from math import prod
from typing import Any

from dscost.errors import SpecError
from dscost.graphs.nodes import Node
from dscost.layers.convolution import ConvSpec, Shape, spread


def conv_of(node: Node, shape: Shape, weight: Shape, *, bias: bool) -> tuple[ConvSpec, Shape]:
    """Return a convolution and the shape of the input that a symmetric padding is added to.

    Where its own is not, the input is larger by what is padded on one side more.

    Raises:
        SpecError: No such convolution exists.
    """
    read = node.attributes
    extents, kernel = shape[2:], tuple(weight[2:])
    dims = len(kernel)
    if len(shape) != dims + 2 or not dims:
        raise SpecError(f"an input {shape} does not fit weights {weight}")
    stride, dilation = (_each(read, name, dims) for name in ("strides", "dilations"))
    groups = read.get("group", 1)
    if not prod(stride) or min(dilation) < 1 or groups < 1:
        raise SpecError("strides, dilations and groups are at least 1")
    padding = _paddings(node, extents, kernel, stride, dilation)
    sides = list(zip(padding[:dims], padding[dims:], strict=True))
    total = [sum(pair) for pair in sides]
    if any(side < 0 for pair in sides for side in pair):
        raise SpecError("a padding is at least 0")
    is_same = tuple(total) == spread(kernel, dilation) and set(stride) == {1}
    sized: Any = tuple(size // 2 for size in total)
    uneven = [size % 2 for size in total]
    if any(uneven) and is_same:
        sized, uneven = "same", [0] * dims
    spec = ConvSpec(
        in_channels=weight[1] * groups,
        out_channels=weight[0],
        kernel_size=kernel,
        stride=stride,
        padding=sized,
        dilation=dilation,
        groups=groups,
        bias=bias,
    )
    seen = (*shape[:2], *(size + more for size, more in zip(extents, uneven, strict=True)))
    return spec, seen


def _each(read: Any, name: str, dims: int) -> Shape:
    values: Shape = tuple(read.get(name) or (1,) * dims)
    if len(values) != dims:
        raise SpecError(f"{name} {values} are not of {dims} dimensions")
    return values


def _paddings(
    node: Node, extents: Sequence[int], kernel: Shape, stride: Shape, dilation: Shape
) -> Shape:
    """Return what is added before every axis, and then behind each."""
    dims, way = len(kernel), node.attributes.get("auto_pad", "NOTSET")
    if way in ("NOTSET", ""):
        pads: Shape = tuple(node.attributes.get("pads") or (0,) * 2 * dims)
        if len(pads) != 2 * dims:
            raise SpecError(f"pads {pads} are not of {dims} dimensions")
        return pads
    if way == "VALID":
        return (0,) * 2 * dims
    if way not in ("SAME_UPPER", "SAME_LOWER"):
        raise SpecError(f"there is no auto_pad {way}")
    reach = spread(kernel, dilation)
    total = [
        max(0, (-(-size // step) - 1) * step + taps + 1 - size)
        for size, step, taps in zip(extents, stride, reach, strict=True)
    ]
    less, more = [size // 2 for size in total], [size - size // 2 for size in total]
    return (*less, *more) if way == "SAME_UPPER" else (*more, *less)
