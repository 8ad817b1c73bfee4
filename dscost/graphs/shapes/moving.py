"""Operators that move values: reshaped, joined, cut out, looked up."""

from collections.abc import Sequence
from math import prod
from typing import TYPE_CHECKING

from onnx import TensorProto

from dscost.errors import SpecError
from dscost.graphs.nodes import Node
from dscost.graphs.shapes.reducing import without
from dscost.graphs.shapes.table import (
    Read,
    Type,
    Unknowable,
    axes_of,
    axis_of,
    broadcast,
    has,
    numbers,
    read,
    shaped,
)
from dscost.graphs.tensors import DTYPES
from dscost.graphs.values import Shape

if TYPE_CHECKING:
    import numpy as np

# -- the same values in another shape


@shaped("Reshape")
def _reshaped(node: Node) -> Sequence[Type]:
    dtype, shape = read(node)
    wanted = numbers(node, 1, "shape") or ()
    keeps_zeros = bool(node.attributes.get("allowzero", 0))
    return [(dtype, reshaped(shape, wanted, keeps_zeros=keeps_zeros))]


def reshaped(shape: Shape, wanted: Shape, *, keeps_zeros: bool = False) -> Shape:
    """Return a shape of as many values, in which -1 is what is left and 0 as it was before.

    Raises:
        SpecError: There is none.
    """
    if any(size < -1 for size in wanted) or wanted.count(-1) > 1:
        raise SpecError(f"there is no shape {wanted}")
    sizes = list(wanted)
    if not keeps_zeros:
        if any(size == 0 and at >= len(shape) for at, size in enumerate(wanted)):
            raise SpecError(f"{wanted} keeps an axis that {shape} does not have")
        sizes = [shape[at] if size == 0 else size for at, size in enumerate(wanted)]
    elif 0 in wanted and -1 in wanted:
        raise SpecError(f"what is left of {wanted} is not determined")
    values = prod(shape)
    if -1 in sizes:
        others = prod(size for size in sizes if size != -1)
        sizes[sizes.index(-1)] = values // others if others else 0
    if prod(sizes) != values:
        raise SpecError(f"{shape} has {values} values, {wanted} has other ones")
    return tuple(sizes)


@shaped("Flatten")
def _flattened(node: Node) -> Sequence[Type]:
    dtype, shape = read(node)
    axis = node.attributes.get("axis", 1)
    if axis != len(shape):
        axis = axis_of(axis, len(shape))
    return [(dtype, (prod(shape[:axis]), prod(shape[axis:])))]


@shaped("Squeeze")
def _squeezed(node: Node) -> Sequence[Type]:
    dtype, shape = read(node)
    axes = numbers(node, 1, "axes")
    if not axes:  # an empty list is none: ONNX leaves that open, ONNX Runtime takes all that are 1
        return [(dtype, tuple(size for size in shape if size != 1))]
    gone = axes_of(axes, len(shape))
    if any(shape[axis] != 1 for axis in gone):
        raise SpecError(f"axes {axes} of {shape} are not all 1")
    return [(dtype, without(shape, gone, keep=False))]


@shaped("Unsqueeze")
def _unsqueezed(node: Node) -> Sequence[Type]:
    dtype, shape = read(node)
    axes = numbers(node, 1, "axes") or ()
    rank = len(shape) + len(axes)
    new, rest = axes_of(axes, rank), iter(shape)
    return [(dtype, tuple(1 if at in new else next(rest) for at in range(rank)))]


@shaped("Transpose")
def _transposed(node: Node) -> Sequence[Type]:
    dtype, shape = read(node)
    order = node.attributes.get("perm") or tuple(reversed(range(len(shape))))
    if sorted(order) != list(range(len(shape))):
        raise SpecError(f"perm {order} is no order of the axes of {shape}")
    return [(dtype, tuple(shape[axis] for axis in order))]


@shaped("DepthToSpace")
def _to_space(node: Node) -> Sequence[Type]:
    dtype, (batch, channels, height, width) = _feature_map(node)
    size = _block(node)
    if channels % size**2:
        raise SpecError(f"{channels} channels are not {size}² of them")
    return [(dtype, (batch, channels // size**2, height * size, width * size))]


@shaped("SpaceToDepth")
def _to_depth(node: Node) -> Sequence[Type]:
    dtype, (batch, channels, height, width) = _feature_map(node)
    size = _block(node)
    if height % size or width % size:
        raise SpecError(f"{height}×{width} positions are not blocks of {size}")
    return [(dtype, (batch, channels * size**2, height // size, width // size))]


def _feature_map(node: Node) -> Read:
    first = read(node)
    if len(first.shape) != 4:
        raise SpecError(f"an input {first.shape} is no feature map")
    return first


def _block(node: Node) -> int:
    size: int = node.attributes.get("blocksize", 0)
    if size < 1:
        raise SpecError(f"a block is at least 1, found {size}")
    return size


# -- repeated, joined, cut


@shaped("Expand")
def _expanded(node: Node) -> Sequence[Type]:
    dtype, shape = read(node)
    return [(dtype, broadcast([shape, numbers(node, 1) or ()]))]


@shaped("Tile")
def _tiled(node: Node) -> Sequence[Type]:
    dtype, shape = read(node)
    repeats = numbers(node, 1) or ()
    if has(node, 2):  # before opset 6: how often, and along which axis
        axis = axis_of((numbers(node, 2) or (0,))[0], len(shape))
        times = repeats[0] if repeats else 1
        repeats = tuple(times if at == axis else 1 for at in range(len(shape)))
    if len(repeats) != len(shape):
        raise SpecError(f"repeats {repeats} are not those of {shape}")
    return [(dtype, tuple(a * b for a, b in zip(shape, repeats, strict=True)))]


@shaped("Concat")
def _joined(node: Node) -> Sequence[Type]:
    shapes = [read(node, at).shape for at in range(len(node.inputs))]
    return [(read(node).dtype, joined(shapes, node.attributes.get("axis", 1)))]


def joined(shapes: Sequence[Shape], axis: int) -> Shape:
    """Return several shapes one after the other along an axis.

    Raises:
        SpecError: They differ in another one.
    """
    first = shapes[0]
    axis = axis_of(axis, len(first))
    rest = without(first, (axis,), keep=True)
    for shape in shapes:
        if len(shape) != len(first) or without(shape, (axis,), keep=True) != rest:
            raise SpecError(f"shapes {first} and {shape} cannot be joined along axis {axis}")
    return (*first[:axis], sum(shape[axis] for shape in shapes), *first[axis + 1 :])


@shaped("Split")
def _split(node: Node) -> Sequence[Type]:
    dtype, shape = read(node)
    axis = axis_of(node.attributes.get("axis", 0), len(shape))
    count, size = len(node.proto.output), shape[axis]
    parts = numbers(node, 1, "split")
    if parts is None:
        if node.attributes.get("num_outputs", count) != count:
            raise SpecError(f"it has {count} outputs, but says otherwise")
        if node.opset < 18 and size % count:
            raise SpecError(f"axis {axis} of {shape} is not {count} equal parts")
        each = -(-size // count)
        parts = (each,) * (count - 1) + (size - each * (count - 1),)
    if len(parts) != count or sum(parts) != size or min(parts) < 0:
        raise SpecError(f"axis {axis} of {shape} has no parts of {parts}")
    return [(dtype, (*shape[:axis], part, *shape[axis + 1 :])) for part in parts]


@shaped("Slice")
def _sliced(node: Node) -> Sequence[Type]:
    dtype, shape = read(node)
    starts, ends = numbers(node, 1, "starts") or (), numbers(node, 2, "ends") or ()
    axes = numbers(node, 3, "axes") or tuple(range(len(starts)))
    steps = numbers(node, 4) or (1,) * len(starts)
    if not len(starts) == len(ends) == len(axes) == len(steps):
        raise SpecError("starts, ends, axes and steps are not as many")
    sizes = list(shape)
    for axis, start, end, step in zip(axes_of(axes, len(shape)), starts, ends, steps, strict=True):
        if not step:
            raise SpecError("a step is not 0")
        sizes[axis] = _taken(shape[axis], start, end, step)
    return [(dtype, tuple(sizes))]


def _taken(size: int, start: int, end: int, step: int) -> int:
    """Return how many a slice takes; one that runs backwards begins at the first at the least."""
    if not size:
        return 0
    least, most = (0, size) if step > 0 else (-1, size - 1)
    start, end = (one + size if one < 0 else one for one in (start, end))
    begin, stop = min(max(start, 0), most), min(max(end, least), most)
    return max(0, -((begin - stop) // step))


@shaped("Pad")
def _padded(node: Node) -> Sequence[Type]:
    dtype, shape = read(node)
    pads = numbers(node, 1, "pads" if "pads" in node.attributes else "paddings")
    return [(dtype, with_padding(shape, pads or (), numbers(node, 3)))]


def with_padding(shape: Shape, pads: Shape, axes: Shape | None = None) -> Shape:
    """Return a shape with something added, or cut off, before and behind all or some axes.

    Raises:
        SpecError: Nothing is left, or they are not the pads of these axes.
    """
    axes = axes_of(range(len(shape)) if axes is None else axes, len(shape))
    if len(pads) != 2 * len(axes):
        raise SpecError(f"pads {pads} are not those of {len(axes)} axes")
    sizes = list(shape)
    for at, axis in enumerate(axes):
        sizes[axis] += pads[at] + pads[at + len(axes)]
    if min(sizes, default=0) < 0:
        raise SpecError(f"pads {pads} leave nothing of {shape}")
    return tuple(sizes)


# -- looked up


@shaped("Gather")
def _gathered(node: Node) -> Sequence[Type]:
    (dtype, shape), (_, indices) = read(node), read(node, 1)
    axis = axis_of(node.attributes.get("axis", 0), len(shape))
    places = node.inputs[1]
    known = None if places is None else places.content
    if known is not None and known.size and not _are_in(known, shape[axis : axis + 1]):
        raise SpecError(f"it gathers from beyond the ends of axis {axis} of {shape}")
    return [(dtype, shape[:axis] + indices + shape[axis + 1 :])]


def _are_in(places: "np.ndarray", sizes: Shape) -> bool:
    """Whether places are those of an axis, counted from its front or its end."""
    return all(-size <= places.min() and places.max() < size for size in sizes)


@shaped("GatherElements")
def _picked(node: Node) -> Sequence[Type]:
    return [(read(node).dtype, read(node, 1).shape)]


@shaped("GatherND")
def _gathered_nd(node: Node) -> Sequence[Type]:
    (dtype, shape), (_, indices) = read(node), read(node, 1)
    given = node.attributes.get("batch_dims", 0)
    if not indices or given + indices[-1] > len(shape):
        raise SpecError(f"indices {indices} are not those of {shape}")
    return [(dtype, indices[:-1] + shape[given + indices[-1] :])]


@shaped("Scatter ScatterElements ScatterND TensorScatter")
def _scattered(node: Node) -> Sequence[Type]:
    return [read(node)]


@shaped("Shape")
def _shape(node: Node) -> Sequence[Type]:
    _, shape = read(node)
    part = shape[node.attributes.get("start", 0) : node.attributes.get("end", None)]
    return [("int64", (len(part),))]


@shaped("Size")
def _size(node: Node) -> Sequence[Type]:
    return [("int64", ())]


@shaped("ConstantOfShape")
def _filled(node: Node) -> Sequence[Type]:
    value = node.attributes.get("value")
    dtype = DTYPES.get(value.data_type, "") if isinstance(value, TensorProto) else "float32"
    return [(dtype, numbers(node, 0) or ())]


@shaped("OneHot")
def _one_hot(node: Node) -> Sequence[Type]:
    (_, indices), (dtype, _) = read(node), read(node, 2)
    depth = numbers(node, 1) or (0,)
    axis = axis_of(node.attributes.get("axis", -1), len(indices) + 1)
    return [(dtype, (*indices[:axis], depth[0], *indices[axis:]))]


@shaped("NonZero NonMaxSuppression Unique Compress")
def _unknowable(node: Node) -> Sequence[Type]:
    raise Unknowable("how many there are depends on values")
