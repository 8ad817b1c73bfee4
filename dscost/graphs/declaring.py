"""What a file says itself of the types of its values: for what nobody else can tell."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from onnx import GraphProto, ValueInfoProto

from dscost.graphs.nodes import MAIN, Node
from dscost.graphs.scopes import Scope
from dscost.graphs.tensors import DTYPES
from dscost.graphs.values import Shape, Value

BY_DATA = frozenset(
    f"{MAIN}::{name}"
    for name in ("NonZero", "NonMaxSuppression", "Unique", "Compress", "StringSplit")
)
"""How much these write depends on what they read: a size in the file was that of one example."""


def named_sizes(graph: GraphProto, values: Mapping[str, Value]) -> dict[str, int]:
    """Return the sizes of the axes that have names in what a network is given."""
    sizes: dict[str, int] = {}
    for one in graph.input:
        value = values.get(one.name)
        axes = one.type.tensor_type.shape.dim
        if value is not None and value.shape is not None and len(axes) == len(value.shape):
            named = zip(axes, value.shape, strict=True)
            sizes.update({axis.dim_param: size for axis, size in named if axis.dim_param})
    return sizes


def is_fixed(graph: GraphProto) -> bool:
    """Whether a file says of all inputs of a network, in numbers, how large they are."""
    kinds = [one.type.tensor_type for one in graph.input]
    return all(one.HasField("shape") and not _is_open(one.shape.dim) for one in kinds)


def declared_types(node: Node, types: Sequence[Value], scope: Scope) -> list[Value]:
    """Return what a node writes with the types that the file declares, where nothing is known.

    They are taken where what the node reads is of the sizes that the file declares of it. An axis
    with a name has the size that an input of the network gives that name. Where what is read may be
    of any size, numbers alone are those of one example.
    """
    place, found = scope.place, list(types)
    known = {one.name: one for one in place.declared}
    if node.operator in BY_DATA:
        return found
    is_open = False
    for name, value in zip(node.proto.input, node.inputs, strict=True):
        if value is None:
            continue
        info = known.get(name)
        if value.shape is None or not _agrees(info, value, place.sizes):
            return found
        if info is None or not info.type.tensor_type.HasField("shape"):
            is_open |= not value.is_constant and not place.is_fixed
        else:
            is_open |= _is_open(info.type.tensor_type.shape.dim)
    for at, (name, value) in enumerate(zip(node.proto.output, types, strict=True)):
        if value.shape is None and name in known:
            dtype, shape = _declared(known[name], place.sizes, must_be_named=is_open)
            is_same = not value.dtype or not dtype or value.dtype == dtype
            if shape is not None and is_same:
                found[at] = value._replace(dtype=dtype or value.dtype, shape=shape)
    return found


def _declared(
    info: ValueInfoProto, sizes: Mapping[str, int], *, must_be_named: bool
) -> tuple[str, Shape | None]:
    tensor = info.type.tensor_type
    dtype = DTYPES.get(tensor.elem_type, "")
    axes = tensor.shape.dim
    if not tensor.HasField("shape") or (must_be_named and not _is_open(axes)):
        return dtype, None
    shape = tuple(sizes.get(axis.dim_param, axis.dim_value) for axis in axes)
    return dtype, shape if min(shape, default=1) > 0 else None


def _is_open(axes: Iterable[Any]) -> bool:
    return any(axis.dim_value < 1 for axis in axes)


def _agrees(info: ValueInfoProto | None, value: Value, sizes: Mapping[str, int]) -> bool:
    """Whether a value has the sizes that a file declares of it, as far as these are known."""
    if info is None or not info.type.tensor_type.HasField("shape"):
        return True
    axes, shape = info.type.tensor_type.shape.dim, value.shape or ()
    told = [sizes.get(axis.dim_param, axis.dim_value) for axis in axes]
    return len(axes) == len(shape) and all(
        one in (size, -1) or not (one or axis.HasField("dim_value"))
        for axis, one, size in zip(axes, told, shape, strict=True)
    )
