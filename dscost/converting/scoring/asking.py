"""How a score is asked for: which function, how often, how long, and where answers are kept."""

from os import PathLike
from pathlib import Path
from typing import Any, NamedTuple

from dscost.converting.scoring.calling import Score, Scoring, score_of
from dscost.converting.scoring.evaluating import Budget, parse_budget
from dscost.errors import InputError
from dscost.notation.quantities import parse_quantity

USUAL = "usual"
"""In place of a path: the journal is in the user's cache folder."""


class Scorer(NamedTuple):
    """What is asked of a score.

    Args:
        score: The function.
        budget: How much may be evaluated.
        timeout_s: Seconds that a call may take; by default as `next_limit_s` tells.
        journal: The file of the journal, `USUAL`, or none.
    """

    score: Score
    budget: Budget = Budget()
    timeout_s: float | None = None
    journal: Path | str | None = None


def scorer_of(
    score: "Scoring | Score | str | PathLike[str] | None",
    budget: str | int | float | Budget | None = None,
    timeout: str | float | None = None,
    journal: str | PathLike[str] | None = None,
) -> Scorer | None:
    """Return what was asked of a score, checked; nothing where there is none.

    Raises:
        InputError: Something that was given is wrong, or has no meaning without a score.
    """
    if score is None:
        options: dict[str, Any] = {"budget": budget, "timeout": timeout, "journal": journal}
        given = next((name for name, value in options.items() if value is not None), None)
        if given is not None:
            raise InputError(f"a score's {given} has no meaning without a score: give --score")
        return None
    kept = None if journal is None else USUAL if journal == USUAL else Path(journal)
    return Scorer(score_of(score), parse_budget(budget), _seconds(timeout), kept)


def _seconds(timeout: str | float | None) -> float | None:
    if timeout is None:
        return None
    if isinstance(timeout, int | float):
        seconds = float(timeout)
    else:
        try:
            seconds = float(parse_quantity(timeout, "seconds"))
        except InputError as error:
            raise InputError(f"score timeout: {error}") from error
    if not seconds > 0:
        raise InputError(
            f"score timeout: expected a time above zero such as 90s, found '{timeout}'"
        )
    return seconds
