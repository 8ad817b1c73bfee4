"""Lists of sizes of which some are known: what is sure of a shape that is made of them.

One size may be a number that the network is given, and the others those of a feature map; what is
reshaped to all of them has as many elements as before, which tells the one that is missing.
"""

from collections.abc import Callable, Sequence
from math import prod
from typing import Any

import numpy as np

from dscost.graphs.arithmetic import KNOWN, UndefinedError
from dscost.graphs.nodes import MAIN, Node
from dscost.graphs.values import Shape, Value

MOST_PARTS = 64
"""Longer lists are no sizes."""

_WHOLE = ("int64", "int32")

_MOVING = {"Identity": 1, "Squeeze": 1, "Unsqueeze": 1, "Gather": 1, "Slice": 1, "Concat": None}
"""Operators that leave numbers as they are, and how many of their inputs these are in."""


def _either_way(function: Callable[[Any, Any], Any]) -> Any:
    """Return a function of arrays whose result is unknown wherever one of two numbers is."""
    return np.frompyfunc(lambda a, b: None if a is None or b is None else function(a, b), 2, 1)


_COMPUTING = {
    "Add": _either_way(lambda a, b: a + b),
    "Sub": _either_way(lambda a, b: a - b),
    "Mul": _either_way(lambda a, b: a * b),
}

PARTLY = frozenset(f"{MAIN}::{name}" for name in (*_MOVING, *_COMPUTING, "Cast"))
"""Operators of whose result some numbers may be known, if of what they read some are."""


def parts_of(value: Value | None) -> "np.ndarray | None":
    """Return the numbers in a list of sizes, `None` for each that is unknown."""
    if value is None or value.dtype not in _WHOLE:
        return None
    if value.content is not None and value.content.size <= MOST_PARTS:
        return value.content.astype(object)
    if value.parts is not None or value.shape is None:
        return value.parts
    if len(value.shape) > 1 or value.elements > MOST_PARTS:
        return None
    return np.full(value.shape, None, object)


def partly_known(node: Node) -> "np.ndarray | None":
    """Return which numbers of the result of a node are known, if any are, see `PARTLY`."""
    if not any(one is not None and (one.parts is not None or one.content is not None)
               for one in node.inputs):  # fmt: skip
        return None
    try:
        found = _moved(node)
    except (UndefinedError, ValueError, IndexError, TypeError):
        return None
    return found if found is not None and any(one is not None for one in found.flat) else None


def _moved(node: Node) -> "np.ndarray | None":
    number = 1 if node.base == "Cast" else 2 if node.base in _COMPUTING else _MOVING[node.base]
    sizes = [parts_of(value) for value in node.inputs[:number]]
    if not sizes or any(one is None for one in sizes):
        return None
    if node.base == "Cast":
        return sizes[0]
    if node.base in _COMPUTING:
        return np.asarray(_COMPUTING[node.base](*sizes), object)
    others = [None if one is None else one.content for one in node.inputs[len(sizes) :]]
    if any(one is None for one in others):
        return None
    (found,) = KNOWN[node.base](node, *sizes, *others)
    return np.asarray(found, object)


def shape_by_parts(node: Node) -> Shape | None:
    """Return the shape that a node gives what it reads, where some sizes are enough to tell it."""
    shape, wanted = node.shape(0), parts_of(node.input(1))
    if shape is None or wanted is None or wanted.ndim != 1:
        return None
    if node.operator == f"{MAIN}::Reshape":
        return _reshaped(shape, wanted.tolist(), copies=not node.attributes.get("allowzero"))
    if node.operator == f"{MAIN}::Expand":
        return _expanded(shape, wanted.tolist())
    return None


def _reshaped(shape: Shape, wanted: Sequence[int | None], *, copies: bool) -> Shape | None:
    """Return a shape of as many elements, of which one size at most is open."""
    sizes = list(wanted)
    for at, size in enumerate(sizes):
        if size == 0 and copies:
            sizes[at] = shape[at] if at < len(shape) else None
        elif size is not None and size < 0:
            sizes[at] = None
    known = prod(size for size in sizes if size is not None)
    if sizes.count(None) > 1 or not known or prod(shape) % known:
        return None
    left = prod(shape) // known
    return tuple(left if size is None else size for size in sizes)


def _expanded(shape: Shape, wanted: Sequence[int | None]) -> Shape | None:
    """Return a shape as it is broadcast: a size that is not 1 stays what it is."""
    rank = max(len(shape), len(wanted))
    own = (1,) * (rank - len(shape)) + shape
    other = [1] * (rank - len(wanted)) + list(wanted)
    found = []
    for size, to in zip(own, other, strict=True):
        if size == 1 and to is None:
            return None
        if to not in (None, 1, size) and size != 1:
            return None
        found.append(to if size == 1 and to is not None else size)
    return tuple(found)
