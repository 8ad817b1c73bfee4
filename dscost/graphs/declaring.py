"""What a file says itself of the types of its values: for what nobody else can tell."""

from collections.abc import Sequence

from onnx import ValueInfoProto

from dscost.graphs.nodes import MAIN, Node
from dscost.graphs.scopes import Scope
from dscost.graphs.tensors import DTYPES
from dscost.graphs.values import Shape, Value

BY_DATA = frozenset(
    f"{MAIN}::{name}"
    for name in ("NonZero", "NonMaxSuppression", "Unique", "Compress", "StringSplit")
)
"""How much these write depends on what they read: a size in the file was that of one example."""


def declared_types(node: Node, types: Sequence[Value], scope: Scope) -> list[Value]:
    """Return what a node writes with the types that the file declares, where nothing is known.

    They are taken where the shapes of all that the node reads are known, and are those that the
    file declares of them, if it does; all sizes must be numbers.
    """
    known = {one.name: one for one in scope.place.declared}
    found = list(types)
    if node.operator in BY_DATA:
        return found
    for name, value in zip(node.proto.input, node.inputs, strict=True):
        if value is not None and (value.shape is None or not _agrees(known.get(name), value)):
            return found
    for at, (name, value) in enumerate(zip(node.proto.output, types, strict=True)):
        if value.shape is None and name in known:
            dtype, shape = _declared(known[name])
            is_same = not value.dtype or not dtype or value.dtype == dtype
            if shape is not None and is_same:
                found[at] = value._replace(dtype=dtype or value.dtype, shape=shape)
    return found


def _declared(info: ValueInfoProto) -> tuple[str, Shape | None]:
    tensor = info.type.tensor_type
    dtype = DTYPES.get(tensor.elem_type, "")
    axes = tensor.shape.dim
    if not tensor.HasField("shape") or not all(one.dim_value > 0 for one in axes):
        return dtype, None
    return dtype, tuple(one.dim_value for one in axes)


def _agrees(info: ValueInfoProto | None, value: Value) -> bool:
    """Whether a value has the sizes that a file declares of it, as far as these are numbers."""
    if info is None or not info.type.tensor_type.HasField("shape"):
        return True
    axes, shape = info.type.tensor_type.shape.dim, value.shape or ()
    return len(axes) == len(shape) and all(
        not axis.HasField("dim_value") or axis.dim_value in (size, -1)
        for axis, size in zip(axes, shape, strict=True)
    )
