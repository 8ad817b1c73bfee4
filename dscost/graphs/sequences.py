"""Sequences and optional values, followed while it is known how many tensors are in them.

A sequence moves nothing: what is in it stays what it was. An optional value that is there is the
value itself.
"""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from dscost.graphs.nodes import MAIN, Node
from dscost.graphs.scopes import Scope
from dscost.graphs.values import Value

if TYPE_CHECKING:
    from dscost.graphs.evaluating import Evaluation

MOST_ITEMS = 4096
"""A longer sequence is one of unknown length."""

NOTHING = Value("optional")
"""An optional value that is not there."""

Special = Callable[["Evaluation", Node, Scope], Sequence[Value]]
"""Returns what a node writes that is no plain operator."""

SEQUENCES: dict[str, Special] = {}
"""Those that make, change or read sequences and optional values, by `domain::name`."""


def _special(name: str) -> Callable[[Special], Special]:
    def add(function: Special) -> Special:
        SEQUENCES[f"{MAIN}::{name}"] = function
        return function

    return add


def _items(node: Node, at: int = 0) -> list[Value] | None:
    value = node.input(at)
    return None if value is None or value.items is None else list(value.items)


def _index(node: Node, at: int, default: int | None = None) -> int | None:
    value = node.input(at)
    if value is None:
        return default
    if value.content is None or value.content.size != 1:
        return None
    return int(value.content.reshape(()).item())


def sequence_of(items: Sequence[Value]) -> Value:
    """Return a sequence."""
    return Value(items=tuple(items))


@_special("SequenceEmpty")
def _empty(evaluation: "Evaluation", node: Node, _: Scope) -> Sequence[Value]:
    return [sequence_of(())]


@_special("SequenceConstruct")
def _construct(evaluation: "Evaluation", node: Node, _: Scope) -> Sequence[Value]:
    return [sequence_of([value for value in node.inputs if value is not None])]


@_special("SequenceInsert")
def _insert(evaluation: "Evaluation", node: Node, _: Scope) -> Sequence[Value]:
    items, tensor = _items(node), node.input(1)
    at = None if items is None else _index(node, 2, len(items))
    if items is None or at is None or tensor is None or not -len(items) <= at <= len(items):
        return evaluation.unknown(node, [Value()])
    items.insert(at, tensor)
    return [sequence_of(items)]


@_special("SequenceErase")
def _erase(evaluation: "Evaluation", node: Node, _: Scope) -> Sequence[Value]:
    items = _items(node)
    at = _index(node, 1, -1)
    if items is None or at is None or not -len(items) <= at < len(items):
        return evaluation.unknown(node, [Value()])
    del items[at]
    return [sequence_of(items)]


@_special("SequenceAt")
def _at(evaluation: "Evaluation", node: Node, _: Scope) -> Sequence[Value]:
    items, at = _items(node), _index(node, 1)
    if not items:
        return evaluation.unknown(node, [Value()])
    if at is None and len({(one.dtype, one.shape) for one in items}) == 1:
        return [items[0].unread(items[0].shape)]  # whichever it is, it is like the first
    if at is None or not -len(items) <= at < len(items):
        return evaluation.unknown(node, [Value()])
    return [items[at]]


@_special("SequenceLength")
def _length(evaluation: "Evaluation", node: Node, _: Scope) -> Sequence[Value]:
    items = _items(node)
    if items is None:
        return evaluation.unknown(node, [Value("int64", ())])
    return [Value("int64", (), np.array(len(items), np.int64))]


@_special("SplitToSequence")
def _split(evaluation: "Evaluation", node: Node, _: Scope) -> Sequence[Value]:
    value, axis = node.input(0), node.attributes.get("axis", 0)
    if value is None or value.shape is None or not -len(value.shape) <= axis < len(value.shape):
        return evaluation.unknown(node, [Value()])
    axis %= len(value.shape)
    sizes = _sizes(node, value.shape[axis])
    if sizes is None:
        return evaluation.unknown(node, [Value()])
    drops = node.input(1) is None and not node.attributes.get("keepdims", 1)
    shapes = [
        (*value.shape[:axis], *(() if drops else (size,)), *value.shape[axis + 1 :])
        for size in sizes
    ]
    written = [Value(value.dtype, shape) for shape in shapes]
    if value.is_constant:
        return [sequence_of([one._replace(stored=value.stored) for one in written])]
    return [sequence_of(evaluation.books.record(node, written, op="copy"))]


def _sizes(node: Node, size: int) -> list[int] | None:
    given = node.input(1)
    if given is None:
        return [1] * size if size <= MOST_ITEMS else None
    if given.content is None:
        return None
    if given.content.ndim:
        sizes = [int(one) for one in given.content.reshape(-1).tolist()]
        return sizes if sum(sizes) == size and min(sizes, default=0) >= 0 else None
    each = int(given.content.item())
    if each < 1 or size // each > MOST_ITEMS:
        return None
    return [min(each, size - start) for start in range(0, size, each)]


@_special("ConcatFromSequence")
def _concat(evaluation: "Evaluation", node: Node, _: Scope) -> Sequence[Value]:
    items, axis = _items(node), node.attributes.get("axis", 0)
    shape = _joined(items, axis, is_new=bool(node.attributes.get("new_axis")))
    inner = node._replace(inputs=tuple(items or ()))
    dtype = items[0].dtype if items else ""
    written: Any = [Value(dtype, shape)]
    if shape is None:
        return evaluation.unknown(inner, written)
    if all(one.is_constant for one in items or ()):
        return list(written)
    return evaluation.books.record(inner, written, op="concatenation")


def _joined(items: list[Value] | None, axis: int, *, is_new: bool) -> tuple[int, ...] | None:
    shapes = [one.shape for one in items or ()]
    if not shapes or shapes[0] is None:
        return None
    first = shapes[0]
    rank = len(first) + is_new
    if not -rank <= axis < rank:
        return None
    axis %= rank
    if is_new:
        same = all(one == first for one in shapes)
        return (*first[:axis], len(shapes), *first[axis:]) if same else None
    total = 0
    for one in shapes:
        if one is None or len(one) != rank:
            return None
        if (*one[:axis], *one[axis + 1 :]) != (*first[:axis], *first[axis + 1 :]):
            return None
        total += one[axis]
    return (*first[:axis], total, *first[axis + 1 :])


def mapped(evaluation: "Evaluation", node: Node, scope: Scope) -> Sequence[Value]:
    """Return what a `SequenceMap` writes, which runs a graph on every item."""
    lists = [value is not None and value.items is not None for value in node.inputs]
    items = _items(node)
    if items is None:
        return evaluation.unknown(node, [Value()] * len(node.proto.output))
    columns = []
    for value, is_list in zip(node.inputs, lists, strict=True):
        own = list(value.items or ()) if is_list and value is not None else [value] * len(items)
        if len(own) != len(items):
            return evaluation.unknown(node, [Value()] * len(node.proto.output))
        columns.append(own)
    if len(items) * 10 > evaluation.steps:
        return evaluation.unknown(node, [Value()] * len(node.proto.output))
    rows = [evaluation.inner(node, "body", scope, row) for row in zip(*columns, strict=True)]
    return [
        sequence_of([row[at] for row in rows if at < len(row)])
        for at in range(len(node.proto.output))
    ]


# -- what may be there or not


@_special("Optional")
def _optional(evaluation: "Evaluation", node: Node, _: Scope) -> Sequence[Value]:
    return [node.input(0) or NOTHING]


@_special("OptionalHasElement")
def _has_element(evaluation: "Evaluation", node: Node, _: Scope) -> Sequence[Value]:
    value = node.input(0)
    if value is not None and value != NOTHING and value.shape is None and value.items is None:
        return evaluation.unknown(node, [Value("bool", ())])
    return [Value("bool", (), np.array(value is not None and value != NOTHING))]


@_special("OptionalGetElement")
def _get_element(evaluation: "Evaluation", node: Node, _: Scope) -> Sequence[Value]:
    value = node.input(0)
    if value is None or value == NOTHING:
        return evaluation.unknown(node, [Value()])
    return [value]
