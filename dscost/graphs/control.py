"""Nodes that run other graphs: branches and loops.

A branch whose condition is known is the only one that runs. Else both count. What a loop runs is
evaluated until an iteration is like the one before; all that are left cost the same. A loop whose
number of iterations nobody can know is of unknown cost, and counts one of them.
"""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from onnx import GraphProto, ModelProto

from dscost.errors import InputError
from dscost.graphs.checking import graphs_in
from dscost.graphs.nodes import MAIN, Node
from dscost.graphs.scopes import Scope
from dscost.graphs.sequences import Special
from dscost.graphs.values import Value
from dscost.networks.network import NETWORK_INPUT

if TYPE_CHECKING:
    from dscost.graphs.evaluating import Evaluation

BRANCHES = ("then_branch", "else_branch")

MOST_TURNS = 2000
"""How many iterations of a loop are evaluated one by one."""

MOST_TRIES = 3
"""How often an iteration is taken for what all that follow do, before each is evaluated."""


# -- branches


def _if(evaluation: "Evaluation", node: Node, scope: Scope) -> Sequence[Value]:
    condition = truth(node.input(0))
    if condition is None:
        return _both(evaluation, node, scope)
    taken, other = BRANCHES if condition else BRANCHES[::-1]
    found = evaluation.inner(node, taken, scope)
    params = _params_aside(evaluation, node, other, scope)
    if params:
        evaluation.books.note(
            f"{node.name} takes its {taken}: {params:,} params of its {other} are in the file all "
            f"the same."
        )
    return found


def truth(value: Value | None) -> bool | None:
    """Return a single truth value, `None` where it is not known."""
    if value is None or value.content is None or value.content.size != 1:
        return None
    return bool(value.content.reshape(()).item())


def _params_aside(evaluation: "Evaluation", node: Node, name: str, scope: Scope) -> int:
    """Take what a graph that does not run reads as weights for parameters; return how many."""
    books = evaluation.books
    before, kept = set(books.parameters), books.kept()
    evaluation.inner(node, name, scope)
    added = {name: one for name, one in books.parameters.items() if name not in before}
    books.restore(kept)
    books.parameters.update(added)
    books.unseen.update(added)
    return sum(one.numel for one in added.values())


def _both(evaluation: "Evaluation", node: Node, scope: Scope) -> Sequence[Value]:
    books, found, macs = evaluation.books, [], []
    for name in BRANCHES:
        start = len(books.events)
        found.append(evaluation.inner(node, name, scope))
        macs.append(sum(event.macs * event.times for event in books.events[start:]))
    first, second = found
    if len(first) != len(second):
        raise InputError(f"the branches of node '{node.name}' put out different numbers of values")
    costs = ", ".join(f"{name} {own:,} MACs" for name, own in zip(BRANCHES, macs, strict=True))
    decided = _decided(evaluation, node)
    books.note(f"Both branches of {node.name} are counted: {costs}.{decided}")
    evaluation.open_branches += 1
    condition = node.input(0) or Value()
    merged = [_either(*pair, condition) for pair in zip(first, second, strict=True)]
    if any(value.shape is None and value.items is None for value in merged):
        books.met_unknown(node)
        return books.record(node, merged, op="other")
    return merged


def _decided(evaluation: "Evaluation", node: Node) -> str:
    """Return a sentence on the input that decides which branch runs, if that can be told."""
    deciding = deciding_inputs(evaluation.model, node)
    if len(deciding) != 1:
        return ""
    (name,) = deciding
    value = evaluation.inputs.get(name)
    how = ""
    if value is not None and value.shape == () and not value.is_floating:
        example = "true" if value.dtype == "bool" else "1"
        how = f": give its value, as in --input '{name}=():{value.dtype}={example}'"
    return f" The input '{name}' decides which of them runs{how}."


def _either(one: Value, other: Value, condition: Value) -> Value:
    """Return what is known of a value that is one of two."""
    if _same_content(one, other) and one.dtype == other.dtype:
        return one
    items = None
    if one.items is not None and other.items is not None and len(one.items) == len(other.items):
        items = tuple(
            _either(*pair, condition) for pair in zip(one.items, other.items, strict=True)
        )
    merged = one._replace(
        dtype=one.dtype if one.dtype == other.dtype else "",
        shape=one.shape if one.shape == other.shape else None,
        content=None,
        items=items,
    )
    if not merged.is_constant:
        return merged
    source = condition if other.is_constant else other
    return merged._replace(source=source.source, home=source.home, stored=(), name=source.name)


def deciding_inputs(model: ModelProto, node: Node) -> list[str]:
    """Return the inputs of a model that the condition of a node is computed from."""
    makers = {
        name: one for graph in graphs_in(model.graph) for one in graph.node for name in one.output
    }
    stored = {one.name for one in model.graph.initializer}
    inputs = {one.name for one in model.graph.input} - stored
    waiting, seen, found = [*node.proto.input[:1]], set[str](), []
    while waiting:
        name = waiting.pop()
        if name in seen:
            continue
        seen.add(name)
        if name in inputs:
            found.append(name)
        maker = makers.get(name)
        if maker is not None and maker.op_type not in ("Shape", "Size"):
            waiting += maker.input
    return sorted(found)


# -- loops


class _Turn(NamedTuple):
    """What one iteration began with and left.

    Args:
        state: What is carried on to the next.
        scans: What is kept of it.
        goes_on: Whether there is a next; `None` if nobody can know.
    """

    state: list[Value]
    scans: list[Value]
    goes_on: bool | None


class _Turns:
    """The iterations of a loop.

    Args:
        run: Runs one, of a number that is `None` where any might be meant, on what is carried.
        most: How many there are at most; `None` if nobody can know.
    """

    def __init__(
        self,
        evaluation: "Evaluation",
        node: Node,
        run: Callable[[int | None, list[Value]], _Turn],
        most: int | None,
    ) -> None:
        self._evaluation, self._node = evaluation, node
        self._run, self._most = run, most
        self.done, self.is_known, self._tries = 0, True, MOST_TRIES

    def all(self, state: list[Value]) -> _Turn:
        """Run all of them; return what the last one leaves, or what is sure of it."""
        books, first = self._evaluation.books, state
        turn = _Turn(state, [], True)
        while self._most is None or self.done < self._most:
            start = self._evaluation.steps
            signs = self._signs()
            turn, before = self._run(self.done, turn.state), turn
            self.done += 1
            cost = start - self._evaluation.steps
            now = self._signs()
            delta = (now[0] - signs[0], now[1] - signs[1])
            if turn.goes_on is False or self.done == self._most:
                break
            if turn.goes_on is None or self.done >= MOST_TURNS:
                return self._unsure(first, turn)
            if self._most is not None:
                rest = self._rest(before.state, turn, delta)
                if rest is not None:
                    return rest
            if not self._evaluation.may_run(cost):
                return self._unsure(first, turn)
        if not self.done:  # of what never runs only the types are looked at
            kept, parameters = books.kept(), books.parameters
            types = self._run(None, state)
            books.restore(kept)
            books.unseen.update(name for name in parameters if name not in books.parameters)
            books.parameters.update(parameters)
            turn = _Turn(state, types.scans, False)
        return turn

    def _signs(self) -> tuple[int, int]:
        """Return by what is noticed that an iteration met something unknown."""
        evaluation = self._evaluation
        return sum(evaluation.books.unknown.values()), evaluation.open_branches

    def _rest(self, began: list[Value], turn: _Turn, delta: tuple[int, int]) -> _Turn | None:
        """Run one iteration for all that are left, if all are alike; else nothing has happened."""
        books, left = self._evaluation.books, (self._most or 0) - self.done
        if not self._tries or not all(map(_is_alike, began, turn.state)):
            return None
        given = list(map(_in_common, turn.state, began))
        while self._tries:
            self._tries -= 1
            kept, start, signs = books.kept(), len(books.events), self._signs()
            found = self._run(None, given)
            is_same = self._signs() == (signs[0] + delta[0], signs[1] + delta[1])
            if found.goes_on and is_same and all(map(_holds_for, given, found.state)):
                books.repeat(start, kept, left)
                self.done += left
                return found
            books.restore(kept)
            if not all(map(_is_alike, given, found.state)):
                break
            given = list(map(_in_common, given, found.state))
        return None

    def _unsure(self, first: list[Value], turn: _Turn) -> _Turn:
        """Take the loop for one of unknown cost; return what is sure of what it leaves."""
        self.is_known = False
        books, node = self._evaluation.books, self._node
        times = "one iteration of it is" if self.done == 1 else f"{self.done} iterations of it are"
        books.note(f"How often {node.name} runs is not known: {times} counted.")
        state = [
            now._replace(
                content=None, items=None, shape=now.shape if _is_alike(then, now) else None
            )
            for then, now in zip(first, turn.state, strict=True)
        ]
        return _Turn(state, [one._replace(content=None, shape=None) for one in turn.scans], None)


def _is_alike(one: Value, other: Value) -> bool:
    """Whether two values are of the same type, as far as that is known."""
    if (one.items is None) != (other.items is None) or len(one.all) != len(other.all):
        return False
    if one.items is not None:
        return all(map(_is_alike, one.all, other.all))
    return one.dtype == other.dtype and one.shape == other.shape


def _holds_for(one: Value, other: Value) -> bool:
    """Whether all that is known of one value is true of another."""
    if not _is_alike(one, other):
        return False
    if one.items is not None:
        return all(map(_holds_for, one.all, other.all))
    return one.content is None or _same_content(one, other)


def _same_content(one: Value, other: Value) -> bool:
    if one.content is None or other.content is None:
        return False
    return np.array_equal(one.content, other.content)


def _in_common(one: Value, other: Value) -> Value:
    """Return one value with no more known of it than is true of another one of its type."""
    if one.items is not None:
        return one._replace(items=tuple(map(_in_common, one.all, other.all)))
    return one if _same_content(one, other) else one._replace(content=None)


def _loop(evaluation: "Evaluation", node: Node, scope: Scope) -> Sequence[Value]:
    most_value, condition = node.input(0), node.input(1)
    most: int | None = None
    begins: bool | None = True if condition is None else truth(condition)
    if most_value is not None and most_value.content is not None and most_value.content.size == 1:
        most = max(0, int(most_value.content.reshape(()).item()))
    if begins is False:
        most = 0
    state = [value or Value() for value in node.inputs[2:]]
    carried = len(state)

    def run(number: int | None, given: list[Value]) -> _Turn:
        content = None if number is None else np.array(number, np.int64)
        source = CHANGING if number is None else Value()
        count = source._replace(dtype="int64", shape=(), content=content)
        going = Value("bool", (), np.array(True))
        found = evaluation.inner(node, "body", scope, [count, going, *given])
        if len(found) < carried + 1:
            raise InputError(f"the body of node '{node.name}' puts out too few values")
        return _Turn(found[1 : carried + 1], found[carried + 1 :], truth(found[0]))

    turns = _Turns(evaluation, node, run, most)
    is_counted = most_value is not None and most is None  # by a number that is not known
    end = turns.all(state) if not is_counted and begins is not None else None
    if end is None:
        turns.done = 1
        end = turns._unsure(state, run(None, state))
    scans = [_stacked(evaluation, one, 0, turns.done) for one in end.scans]
    return _left(evaluation, node, turns, [*end.state, *scans])


CHANGING = Value(source=NETWORK_INPUT)
"""What is another one in each iteration."""


def _left(
    evaluation: "Evaluation", node: Node, turns: _Turns, values: Sequence[Value]
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
        return value._replace(shape=None, content=None)
    at = axis if axis >= 0 else axis + len(value.shape) + 1
    shape = (*value.shape[:at], times, *value.shape[at:])
    return evaluation.books.held(value._replace(shape=shape, content=None, stored=(), name=""))


def _scan(evaluation: "Evaluation", node: Node, scope: Scope) -> Sequence[Value]:
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
        elements.append(value._replace(shape=shape, content=None))
    if len(sizes) != 1:
        return evaluation.unknown(node, [Value()] * len(node.proto.output))

    def run(_: int | None, state: list[Value]) -> _Turn:
        found = evaluation.inner(node, "body", scope, [*state, *elements])
        if len(found) < first:
            raise InputError(f"the body of node '{node.name}' puts out too few values")
        return _Turn(found[:first], found[first:], True)

    turns = _Turns(evaluation, node, run, sizes.pop())
    end = turns.all(given[:first])
    to = node.attributes.get("scan_output_axes") or (0,) * len(end.scans)
    scans = [_stacked(evaluation, *pair, turns.done) for pair in zip(end.scans, to, strict=False)]
    return _left(evaluation, node, turns, [*end.state, *scans])


CONTROL: dict[str, Special] = {f"{MAIN}::If": _if, f"{MAIN}::Loop": _loop, f"{MAIN}::Scan": _scan}
"""Those that run other graphs, by `domain::name`."""
