"""The iterations of a loop, which are evaluated until one is like all that follow.

That costs as often as it runs. A loop whose number of iterations nobody can know is of unknown
cost, and counts those that were evaluated.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

from dscost.graphs.branching import decided_by
from dscost.graphs.nodes import Node
from dscost.graphs.values import Value, same_content
from dscost.networks.network import NETWORK_INPUT

if TYPE_CHECKING:
    from dscost.graphs.evaluating import Evaluation

MOST_TURNS = 2000
"""How many iterations of a loop are evaluated one by one."""

MOST_TRIES = 3
"""How often an iteration is taken for what all that follow do, before each is evaluated."""


class Turn(NamedTuple):
    """What one iteration began with and left.

    Args:
        state: What is carried on to the next.
        scans: What is kept of it.
        goes_on: Whether there is a next; `None` if nobody can know.
    """

    state: list[Value]
    scans: list[Value]
    goes_on: bool | None


class Turns:
    """The iterations of a loop.

    Args:
        run: Runs one, of a number that is `None` where any might be meant, on what is carried.
        most: How many there are at most; `None` if nobody can know.
    """

    def __init__(
        self,
        evaluation: "Evaluation",
        node: Node,
        run: Callable[[int | None, list[Value]], Turn],
        most: int | None,
    ) -> None:
        self._evaluation, self._node = evaluation, node
        self._run, self._most = run, most
        self.done, self.is_known, self._tries = 0, True, MOST_TRIES

    def all(self, state: list[Value]) -> Turn:
        """Run all of them; return what the last one leaves, or what is sure of it."""
        first = self._detached(state)
        turn = Turn(first, [], True)
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
        return turn if self.done else self._never(state)

    def one(self, state: list[Value], *, may_not_start: bool = False) -> Turn:
        """Run one of a number that nobody can know; return what is sure of what the last leaves."""
        first, self.done = self._detached(state), 1
        with self._evaluation.perhaps():
            turn = self._run(None, first)
        return self._unsure(first, turn, may_not_start=may_not_start)

    def _never(self, state: list[Value]) -> Turn:
        """Look at the types and the weights of what never runs: it has them all the same."""
        books = self._evaluation.books
        kept, parameters = books.kept(), books.parameters
        with self._evaluation.perhaps():
            types = self._run(None, state)
        books.restore(kept)
        books.unseen.update(name for name in parameters if name not in books.parameters)
        books.parameters.update(parameters)
        return Turn(state, types.scans, False)

    def _detached(self, state: list[Value]) -> list[Value]:
        """Return what is carried, as no constant where that is only what it begins as."""
        if self._most == 0 or not any(one.is_constant and one.is_floating for one in state):
            return state
        books = self._evaluation.books
        kept = books.kept()
        after = self._run(0, state).state
        books.restore(kept)
        return [
            one
            if not one.is_constant or not one.is_floating or then.is_constant
            else books.held(one)._replace(source=NETWORK_INPUT, stored=())
            for one, then in zip(state, after, strict=True)
        ]

    def _signs(self) -> tuple[int, int]:
        """Return by what is noticed that an iteration met something unknown."""
        evaluation = self._evaluation
        return sum(evaluation.books.unknown.values()), evaluation.open_branches

    def _rest(self, began: list[Value], turn: Turn, delta: tuple[int, int]) -> Turn | None:
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

    def _unsure(self, first: list[Value], turn: Turn, *, may_not_start: bool = False) -> Turn:
        """Take the loop for one of unknown cost; return what is sure of what it leaves."""
        self.is_known = False
        books, node = self._evaluation.books, self._node
        many = "one iteration" if self.done == 1 else f"{self.done:,} iterations"
        counted = f"{many} of it {'is' if self.done == 1 else 'are'} counted."
        if may_not_start:
            decided = decided_by(self._evaluation, node.proto.input[1:2], "that")
            books.note(f"Whether {node.name} starts is not known: {counted}{decided}")
        elif self._most is None:
            decided = decided_by(self._evaluation, node.proto.input[:2], "that")
            books.note(f"How often {node.name} runs is not known: {counted}{decided}")
        elif turn.goes_on is None:
            books.note(f"{node.name} may end before {self._most:,} iterations: {counted}")
        else:
            books.note(f"{node.name} may run {self._most:,} times, each in another way: {counted}")
        state = [
            now.unread(now.shape if _is_alike(then, now) else None)
            for then, now in zip(first, turn.state, strict=True)
        ]
        return Turn(state, [one.unread(None) for one in turn.scans], None)


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
    return one.content is None or same_content(one, other)


def _in_common(one: Value, other: Value) -> Value:
    """Return one value with no more known of it than is true of another one of its type."""
    if one.items is not None:
        return one._replace(items=tuple(map(_in_common, one.all, other.all)))
    return one if same_content(one, other) else one.unread(one.shape)
