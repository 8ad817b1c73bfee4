"""The table of what works out the types of operators' outputs, and how it reads a node."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

from dscost.errors import SpecError
from dscost.graphs.nodes import MAIN, Node
from dscost.graphs.values import Shape

Type = tuple[str, Shape | None]
"""A dtype, and the shape where it is known."""

Typing = Callable[[Node], Sequence[Type]]

SHAPED: dict[str, Typing] = {}
"""By operator; each raises a `SpecError` that says why at a node that does not fit what it reads,
and `Unknowable` where nobody can know."""


class Unknowable(SpecError):
    """What a node writes depends on values that are not known."""


class Read(NamedTuple):
    """The type of what a node reads, known."""

    dtype: str
    shape: Shape


def shaped(names: str, *, domain: str = MAIN) -> Callable[[Typing], Typing]:
    """Return a decorator that makes a function tell the types of some operators."""

    def add(function: Typing) -> Typing:
        for name in names.split():
            SHAPED[f"{domain}::{name}"] = function
        return function

    return add


def has(node: Node, at: int) -> bool:
    """Whether a node reads something at a place."""
    return node.input(at) is not None


def read(node: Node, at: int = 0) -> Read:
    """Return the type of an input.

    Raises:
        SpecError: It has no such input, or nobody knows its shape.
    """
    value = node.input(at)
    if value is None:
        raise SpecError(f"it has no input {at + 1}")
    if value.shape is None:
        raise Unknowable("nobody knows what it reads")
    return Read(value.dtype, value.shape)


def feature_map(node: Node, at: int = 0) -> Read:
    """Return the type of an input that has a batch, channels and positions.

    Raises:
        SpecError: It has fewer axes.
    """
    found = read(node, at)
    if len(found.shape) < 3:
        raise SpecError(f"an input {found.shape} has no positions")
    return found


def numbers(node: Node, at: int, name: str = "") -> tuple[int, ...] | None:
    """Return whole numbers that a node is told by an input or, in older opsets, an attribute.

    `None` where it is told none.

    Raises:
        SpecError: They are no whole numbers.
        Unknowable: They are computed.
    """
    value = node.input(at) if at >= 0 else None
    if value is not None:
        if value.content is None:
            raise Unknowable(f"input {at + 1} is computed")
        if value.content.dtype.kind not in "iub":
            raise SpecError(f"its input {at + 1} is {value.dtype}, no whole numbers")
        return tuple(int(one) for one in value.content.reshape(-1))
    given = node.attributes.get(name) if name else None
    return None if given is None else tuple(given)


def axis_of(axis: int, rank: int) -> int:
    """Return an axis counted from the front.

    Raises:
        SpecError: There is no such axis.
    """
    if not -rank <= axis < rank:
        raise SpecError(f"there is no axis {axis} of {rank}")
    return axis % rank if rank else 0


def axes_of(axes: Sequence[int], rank: int) -> tuple[int, ...]:
    """Return axes counted from the front.

    Raises:
        SpecError: There is no such axis, or it is named twice.
    """
    found = tuple(axis_of(axis, rank) for axis in axes)
    if len(set(found)) < len(found):
        raise SpecError(f"an axis is named twice in {tuple(axes)}")
    return found


def broadcast(shapes: Sequence[Shape]) -> Shape:
    """Return the shape that several have together.

    Raises:
        SpecError: They have none.
    """
    if len(set(shapes)) == 1:
        return shapes[0]
    rank = max(map(len, shapes))
    rows = [(1,) * (rank - len(shape)) + shape for shape in shapes]
    found = []
    for column in zip(*rows, strict=True):
        sizes = {size for size in column if size != 1}
        if len(sizes) > 1:
            raise SpecError(f"shapes {' and '.join(map(str, shapes))} do not broadcast")
        found.append(sizes.pop() if sizes else 1)
    return tuple(found)
