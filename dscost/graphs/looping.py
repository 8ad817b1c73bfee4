"""Loops and scans: what they run, on what, and what they keep of each iteration."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from onnx import GraphProto

from dscost.errors import InputError
from dscost.graphs.nodes import Node
from dscost.graphs.scopes import Scope
from dscost.graphs.turning import Turn, Turns
from dscost.graphs.values import Value, truth
from dscost.networks.network import NETWORK_INPUT

if TYPE_CHECKING:
    from dscost.graphs.evaluating import Evaluation

CHANGING = Value(source=NETWORK_INPUT)
"""What is another one in each iteration."""


def looped(evaluation: "Evaluation", node: Node, scope: Scope) -> Sequence[Value]:
    """Return what a `Loop` writes."""
    most_value, condition = node.input(0), node.input(1)
    most: int | None = None
    begins: bool | None = True if condition is None else truth(condition)
    number = None if most_value is None else most_value.content
    if number is not None and number.size == 1 and number.dtype.kind in "iu":
        most = max(0, int(number.reshape(()).item()))
    if begins is False:
        most = 0
    state = [value or Value() for value in node.inputs[2:]]
    carried = len(state)

    def run(number: int | None, given: list[Value]) -> Turn:
        content = None if number is None else np.array(number, np.int64)
        source = CHANGING if number is None else Value()
        count = source._replace(dtype="int64", shape=(), content=content)
        going = Value("bool", (), np.array(True))
        found = evaluation.inner(node, "body", scope, [count, going, *given])
        if len(found) < carried + 1:
            raise InputError(f"the body of node '{node.name}' puts out too few values")
        return Turn(found[1 : carried + 1], found[carried + 1 :], truth(found[0]))

    turns = Turns(evaluation, node, run, most)
    if begins is None:
        end = turns.one(state, may_not_start=most is not None)
    elif most_value is not None and most is None:  # as often as a number says that is not known
        end = turns.one(state)
    else:
        end = turns.all(state)
    scans = [_stacked(evaluation, one, 0, turns.done) for one in end.scans]
    return _left(evaluation, node, turns, [*end.state, *scans])


def _left(
    evaluation: "Evaluation", node: Node, turns: Turns, values: Sequence[Value]
) -> Sequence[Value]:
    wanted = [*values[: len(node.proto.output)]]
    if turns.is_known and all(
        value.shape is not None or value.items is not None for value in wanted
    ):
        return wanted
    return evaluation.unknown(node, wanted)


def _stacked(evaluation: "Evaluation", value: Value, axis: int, times: int) -> Value:
    """Return what is kept of all iterations, one behind the other along a new axis."""
    if value.shape is None or not -len(value.shape) - 1 <= axis <= len(value.shape):
        return value.unread(None)
    at = axis if axis >= 0 else axis + len(value.shape) + 1
    shape = (*value.shape[:at], times, *value.shape[at:])
    return evaluation.books.held(value.unread(shape)._replace(stored=(), name=""))


def scanned(evaluation: "Evaluation", node: Node, scope: Scope) -> Sequence[Value]:
    """Return what a `Scan` writes."""
    number = node.attributes.get("num_scan_inputs", 0)
    body = node.attributes.get("body")
    first = len(node.inputs) - number
    given = [value or Value() for value in node.inputs]
    axes = node.attributes.get("scan_input_axes") or (0,) * number
    if node.opset < 9 or first < 0 or len(axes) != number or not isinstance(body, GraphProto):
        return evaluation.unknown(node, [Value()] * len(node.proto.output))
    elements, sizes = [], set[int]()
    for value, axis in zip(given[first:], axes, strict=True):
        if value.shape is None or not -len(value.shape) <= axis < len(value.shape):
            return evaluation.unknown(node, [Value()] * len(node.proto.output))
        at = axis % len(value.shape)
        sizes.add(value.shape[at])
        shape = (*value.shape[:at], *value.shape[at + 1 :])
        elements.append(value.unread(shape))
    if len(sizes) != 1:
        return evaluation.unknown(node, [Value()] * len(node.proto.output))

    def run(_: int | None, state: list[Value]) -> Turn:
        found = evaluation.inner(node, "body", scope, [*state, *elements])
        if len(found) < first:
            raise InputError(f"the body of node '{node.name}' puts out too few values")
        return Turn(found[:first], found[first:], True)

    turns = Turns(evaluation, node, run, sizes.pop())
    end = turns.all(given[:first])
    to = node.attributes.get("scan_output_axes") or (0,) * len(end.scans)
    scans = [_stacked(evaluation, *pair, turns.done) for pair in zip(end.scans, to, strict=False)]
    return _left(evaluation, node, turns, [*end.state, *scans])
