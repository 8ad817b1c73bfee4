"""A step of recovering a model: done, held against what it was, and undone where it loses."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

from dscost.converting.recovering.records import RecoveryStep

Judge = Callable[[Any], float]
"""How good a model is: higher is better."""


class Standing(NamedTuple):
    """How a model stands.

    Args:
        error: Of its outputs on the calibration inputs, relative.
        score: By the judge, where there is one.
    """

    error: float | None
    score: float | None

    def loses_to(self, before: "Standing", tolerance: float) -> bool:
        """Whether a model that stood so is worse than it was.

        By the judge, where its scores differ by more than they can tell; else by its error.
        """
        if self.score is not None and before.score is not None:
            gain = self.score - before.score
            if not abs(gain) <= tolerance:  # NaN is no score, and loses
                return not gain > 0
        if before.error is None:
            return False
        return self.error is None or self.error > before.error


class Doing:
    """A step while it is done: what is told of it, and how many layers it has changed."""

    def __init__(self) -> None:
        self.notes: list[str] = []
        self.changed = 0


class Steps:
    """The steps of a model, one after the other.

    Args:
        error: Tells the error of the model.
        score: Tells its score, where there is a judge.
        standing: How the model stands before the first step.
        tolerance: By how much two scores may differ that are as good as equal.
    """

    def __init__(
        self,
        error: Callable[[], float | None],
        score: Callable[[], float] | None,
        standing: Standing,
        tolerance: float = 0.0,
    ) -> None:
        self._error, self._score = error, score
        self._standing, self._tolerance = standing, tolerance
        self.done: list[RecoveryStep] = []

    @contextmanager
    def step(self, name: str, undo: Callable[[], None]) -> Iterator[Doing]:
        """Take a step: what is done meanwhile is undone if the model is worse for it."""
        doing = Doing()
        yield doing
        before = after = self._standing
        kept = False
        if doing.changed:
            after = Standing(self._error(), self._score() if self._score else None)
            kept = not after.loses_to(before, self._tolerance)
            if kept:
                self._standing = after
            else:
                undo()
        self.done.append(
            RecoveryStep(
                name,
                before.error,
                after.error,
                before.score,
                after.score,
                kept,
                tuple(doing.notes),
                doing.changed,
            )
        )
