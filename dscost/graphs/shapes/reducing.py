"""Operators that bring values along axes together."""

from collections.abc import Sequence

from dscost.errors import SpecError
from dscost.graphs.convolutions import BLOCKED
from dscost.graphs.nodes import Node
from dscost.graphs.shapes.table import Type, axes_of, axis_of, numbers, read, shaped
from dscost.graphs.values import Shape


@shaped(
    """
ReduceMean ReduceSum ReduceMax ReduceMin ReduceProd ReduceL1 ReduceL2 ReduceSumSquare ReduceLogSum
ReduceLogSumExp
"""
)
def _reduced(node: Node) -> Sequence[Type]:
    dtype, shape = read(node)
    axes = numbers(node, 1, "axes")
    if not axes and node.attributes.get("noop_with_empty_axes", 0):
        return [(dtype, shape)]
    gone = axes_of(axes or range(len(shape)), len(shape))
    return [(dtype, without(shape, gone, keep=bool(node.attributes.get("keepdims", 1))))]


@shaped("ArgMax ArgMin")
def _found(node: Node) -> Sequence[Type]:
    _, shape = read(node)
    axis = axis_of(node.attributes.get("axis", 0), len(shape))
    return [("int64", without(shape, (axis,), keep=bool(node.attributes.get("keepdims", 1))))]


@shaped("GlobalAveragePool GlobalMaxPool", domain=BLOCKED)
@shaped("GlobalAveragePool GlobalMaxPool GlobalLpPool")
def _pooled(node: Node) -> Sequence[Type]:
    dtype, shape = read(node)
    if len(shape) < 2:
        raise SpecError(f"an input {shape} has no positions")
    return [(dtype, shape[:2] + (1,) * (len(shape) - 2))]


@shaped("TopK")
def _best(node: Node) -> Sequence[Type]:
    dtype, shape = read(node)
    axis = axis_of(node.attributes.get("axis", -1), len(shape))
    given = numbers(node, 1) or (node.attributes.get("k", 0),)
    if len(given) != 1 or not 0 <= given[0] <= shape[axis]:
        raise SpecError(f"there are no {given[0]} best of {shape[axis]}")
    best = (*shape[:axis], given[0], *shape[axis + 1 :])
    return [(dtype, best), ("int64", best)]


def without(shape: Shape, axes: Sequence[int], *, keep: bool) -> Shape:
    """Return a shape without some axes, or with 1 in their place."""
    return tuple(
        1 if at in axes else size for at, size in enumerate(shape) if keep or at not in axes
    )
