"""A node of a graph with its attributes as plain values."""

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any, NamedTuple

from onnx import AttributeProto, NodeProto

from dscost.graphs.values import Value

MAIN = "ai.onnx"
"""How the domain is written whose name is empty in files."""
MICROSOFT = "com.microsoft"
"""The domain of what ONNX Runtime adds."""


class Node(NamedTuple):
    """A node, and what it reads.

    Args:
        name: Unique in the network.
        operator: `domain::type`, such as `ai.onnx::Conv`.
        attributes: Numbers, text and lists of them; graphs and tensors as onnx has them.
        inputs: What it reads; `None` for one that is left out.
        proto: The node itself.
        opset: The version of its domain.
        fits: Whether it is written as its operator wants it, as far as ONNX knows that.
        refers: In a function, which of its attributes are which ones of the call.
    """

    name: str
    operator: str
    attributes: Mapping[str, Any]
    inputs: tuple[Value | None, ...]
    proto: NodeProto
    opset: int
    fits: bool = True
    refers: Mapping[str, str] = {}

    @property
    def base(self) -> str:
        """Its type without the domain."""
        return _base(self.operator)

    @property
    def draws(self) -> bool:
        """Whether what it writes is drawn by chance, and so no constant whatever it reads."""
        return _draws(self.operator)

    def input(self, at: int) -> Value | None:
        """Return one of its inputs, `None` where it has not so many."""
        return self.inputs[at] if at < len(self.inputs) else None

    def shape(self, at: int) -> tuple[int, ...] | None:
        """Return the shape of one of its inputs, `None` where it is not known or not there."""
        value = self.input(at)
        return None if value is None else value.shape


@cache
def _base(operator: str) -> str:
    return operator.rpartition("::")[2]


@cache
def _draws(operator: str) -> bool:
    base = _base(operator)
    return base.startswith("Random") or base in ("Bernoulli", "Multinomial")


def operator_of(proto: NodeProto) -> str:
    """Return the operator of a node, as `ai.onnx::Conv`."""
    return f"{proto.domain or MAIN}::{proto.op_type}"


_READ: Mapping[int, Callable[[Any], Any]] = {
    AttributeProto.FLOAT: lambda one: one.f,
    AttributeProto.INT: lambda one: one.i,
    AttributeProto.STRING: lambda one: one.s.decode(errors="replace"),
    AttributeProto.TENSOR: lambda one: one.t,
    AttributeProto.GRAPH: lambda one: one.g,
    AttributeProto.FLOATS: lambda one: tuple(one.floats),
    AttributeProto.INTS: lambda one: tuple(one.ints),
    AttributeProto.STRINGS: lambda one: tuple(s.decode(errors="replace") for s in one.strings),
    AttributeProto.GRAPHS: lambda one: tuple(one.graphs),
    AttributeProto.SPARSE_TENSOR: lambda one: one.sparse_tensor,
    AttributeProto.TYPE_PROTO: lambda one: one.tp,
}


def attributes_of(proto: NodeProto) -> dict[str, Any]:
    """Return the attributes of a node by name; those of rare types are left out."""
    return {one.name: read(one) for one in proto.attribute if (read := _READ.get(one.type))}


def resolved(proto: NodeProto, given: Mapping[str, AttributeProto]) -> NodeProto:
    """Return a node of a function with what its attributes refer to, of those that are given."""
    if not any(one.ref_attr_name for one in proto.attribute):
        return proto
    found = NodeProto()
    found.CopyFrom(proto)
    del found.attribute[:]
    for one in proto.attribute:
        source = given.get(one.ref_attr_name) if one.ref_attr_name else one
        if source is not None:
            own = found.attribute.add()
            own.CopyFrom(source)
            own.name = one.name
    return found


def without_missing(proto: NodeProto, inputs: Sequence[Value | None]) -> NodeProto:
    """Return a node of a function without those inputs that its call has left out."""
    if all(value is not None or not name for name, value in zip(proto.input, inputs, strict=True)):
        return proto
    found = NodeProto()
    found.CopyFrom(proto)
    del found.input[:]
    found.input.extend(
        "" if value is None else name for name, value in zip(proto.input, inputs, strict=True)
    )
    return found


def padded(values: Sequence[Value], node: Node) -> list[Value]:
    """Return values, one for each output of a node."""
    wanted = len(node.proto.output)
    return [*values[:wanted], *[Value()] * (wanted - len(values))]
