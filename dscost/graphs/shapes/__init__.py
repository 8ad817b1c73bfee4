"""The types of what a node writes, by those of what it reads.

Those that make up most networks are worked out here, one function for each family, all others by
onnx, which is slower and returns dimensions below zero for what does not fit: such a node is
unknown.
"""

from math import prod
from typing import NamedTuple

from dscost.errors import SpecError
from dscost.graphs.attributes import wrong_attribute
from dscost.graphs.nodes import Node
from dscost.graphs.shapes import (  # noqa: F401 - they register themselves
    attention,
    elementwise,
    microsoft,
    moving,
    products,
    reducing,
    windows,
)
from dscost.graphs.shapes.inferred import inferred
from dscost.graphs.shapes.table import SHAPED, Type, Unknowable, broadcast
from dscost.graphs.tensors import MOST_ELEMENTS

__all__ = ["Type", "Typed", "broadcast", "typed", "types_of"]


class Typed(NamedTuple):
    """What a node writes.

    Args:
        types: One for each of its outputs.
        misfit: Why it does not fit what it reads, if that is so; else empty.
    """

    types: list[Type]
    misfit: str = ""


def types_of(node: Node) -> list[Type]:
    """Return the types of what a node writes, one for each of its outputs."""
    return typed(node).types


def typed(node: Node) -> Typed:
    """Return what a node writes, and why not where it does not fit what it reads."""
    known = SHAPED.get(node.operator)
    found: list[Type] = []
    misfit = wrong_attribute(node.proto)
    try:
        if misfit:
            pass
        elif known is None:
            found = inferred(node)
        elif all(one is None or one.shape is not None for one in node.inputs):
            found = list(known(node))
    except Unknowable:
        pass
    except SpecError as error:
        misfit = str(error)
    wanted = len(node.proto.output)
    found = [_checked(one) for one in found[:wanted]]
    return Typed(found + [("", None)] * (wanted - len(found)), misfit)


def _checked(one: Type) -> Type:
    dtype, shape = one
    if shape is not None and (min(shape, default=0) < 0 or prod(shape) > MOST_ELEMENTS):
        return dtype, None
    return one
