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

    def loses_to(self, before: "Standing") -> bool:
        """Whether a model that stood so is worse than it was: by the judge, else by its error."""
        if self.score is not None and before.score is not None:
            return not self.score >= before.score
        if before.error is None:
            return False
        return self.error is None or self.error > before.error


class Steps:
    """The steps of a model, one after the other.

    Args:
        error: Tells the error of the model.
        score: Tells its score, where there is a judge.
        standing: How the model stands before the first step.
    """

    def __init__(
        self,
        error: Callable[[], float | None],
        score: Callable[[], float] | None,
        standing: Standing,
    ) -> None:
        self._error, self._score = error, score
        self._standing = standing
        self.done: list[RecoveryStep] = []

    @contextmanager
    def step(self, name: str, undo: Callable[[], None]) -> Iterator[list[str]]:
        """Take a step: what is done meanwhile is undone if the model is worse for it.

        What is put in the list is told of the step.
        """
        notes: list[str] = []
        yield notes
        before = self._standing
        after = Standing(self._error(), self._score() if self._score else None)
        kept = not after.loses_to(before)
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
                tuple(notes),
            )
        )
