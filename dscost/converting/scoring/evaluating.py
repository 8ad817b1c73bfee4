"""Models, each converted by a plan → what the user's function says of them, within a budget."""

from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager, suppress
from time import perf_counter
from types import MappingProxyType
from typing import Any, NamedTuple, Protocol

from dscost.converting.decisions import Decision
from dscost.converting.scoring.calling import Score, called, next_limit_s
from dscost.converting.scoring.journal import (
    Asked,
    Journal,
    Kept,
    key_of,
    recovered_key,
    ruined_key,
)
from dscost.converting.scoring.losses import Evaluation, Loss, Noise, loss_of, noise_of
from dscost.errors import InputError
from dscost.notation.quantities import kind_of, parse_quantity
from dscost.notation.units import counted, format_seconds
from dscost.timing import Progress

DEFAULT_BUDGET = 100
REPEATS = 5
"""How often the model as it is is scored where two calls differ."""
LEAST_TO_REPEAT = 8
"""Evaluations that the budget must have for a second one of the model as it is."""
AS_IS: Mapping[str, Decision] = MappingProxyType({})


class Budget(NamedTuple):
    """How much evaluating may be done.

    Args:
        evaluations: At most so many.
        seconds: Or so long in all.
    """

    evaluations: int | None = DEFAULT_BUDGET
    seconds: float | None = None


def parse_budget(text: str | int | float | Budget | None) -> Budget:
    """Return the budget that `60` evaluations stand for, or `10min`.

    Raises:
        InputError: It is none.

    >>> parse_budget("60"), parse_budget("10min")
    (Budget(evaluations=60, seconds=None), Budget(evaluations=None, seconds=600.0))
    """
    if isinstance(text, Budget):
        return text
    if text is None:
        return Budget()
    given = str(text).strip()
    expected = "expected evaluations such as 100, or a time such as 10min"
    try:
        if kind_of(given) == "seconds":
            seconds = float(parse_quantity(given, "seconds"))
            if seconds <= 0:
                raise InputError(f"score budget: {expected}, found '{given}'")
            return Budget(None, seconds)
        evaluations = parse_quantity(given, "count")
    except InputError as error:
        raise InputError(f"score budget: {expected}, found '{given:.40}'") from error
    if evaluations < 2 or evaluations.denominator != 1:
        raise InputError(
            f"score budget: {expected}, found '{given}': the model as it is and converted are two"
        )
    return Budget(int(evaluations))


class Maker(Protocol):
    """Makes what a score is asked about."""

    def converted(self, decisions: Mapping[str, Decision]) -> Any:
        """Return the model converted by a plan, as the function takes it."""

    @property
    def recovers_by(self) -> str | None:
        """A fingerprint of the inputs that it recovers models by, if it has any."""

    def recovered(self, decisions: Mapping[str, Decision]) -> Any:
        """Return the model converted by a plan and recovered."""

    def ruined(self) -> Any:
        """Return it with every convolution that can be converted set to zero."""

    def given(self, model: Any) -> Any:
        """Return a model that was converted elsewhere as the function takes it."""

    def running(self) -> AbstractContextManager[None]:
        """Return what is entered while the function runs."""


class SpentError(Exception):
    """The budget of evaluations is spent."""


class Evaluator:
    """Scores of a model converted in many ways, each evaluated once.

    Args:
        maker: Makes the models.
        score: The function.
        journal: Where evaluations are kept; those that it has count in the budget, so that what is
            done does not depend on how often it was interrupted.
        budget: How much may be evaluated.
        timeout_s: Seconds that a single call may take.
        progress: Told what is done.
    """

    def __init__(
        self,
        maker: Maker,
        score: Score,
        journal: Journal | None = None,
        budget: Budget | None = None,
        timeout_s: float | None = None,
        progress: Progress | None = None,
    ) -> None:
        self._maker, self.score = maker, score
        self.journal = Journal() if journal is None else journal
        self.budget = budget or Budget()
        self._timeout_s, self._progress = timeout_s, progress
        self._used: dict[Asked, Kept] = {}
        self.base: tuple[Evaluation, ...] = ()
        """What was said of the model as it is."""

    @property
    def used(self) -> int:
        """How many evaluations were used, from the journal or not."""
        return len(self._used)

    @property
    def known(self) -> int:
        """How many of them were known from before."""
        return sum(tried in self.journal.found for tried in self._used)

    def left(self, reserve: float = 0.0, spared: int = 0) -> bool:
        """Whether another evaluation is within the budget, less a share of it and some more."""
        evaluations, seconds = self.budget
        wanted = 1 + spared
        if evaluations is not None:
            return self.used + wanted <= max(1, round(evaluations * (1 - reserve)))
        assert seconds is not None
        spent = sum(kept.seconds for kept in self._used.values())
        typical = spent / len(self._used) if self._used else 0.0
        return not self._used or spent + wanted * typical <= seconds * (1 - reserve)

    def of(
        self,
        decisions: Mapping[str, Decision],
        what: str,
        *,
        repetition: int = 0,
        recovered: bool = False,
        reserve: float = 0,
        spared: int = 0,
    ) -> Evaluation:
        """Return what is said of the model converted by a plan.

        Args:
            decisions: The plan.
            what: The same in words.
            repetition: Which call with this model it is.
            recovered: Whether it is recovered before; the maker has inputs for that.
            reserve: Share of the budget that is to be left afterwards.
            spared: Evaluations that are to be left besides.

        Raises:
            SpentError: There is no budget left.
            InputError: The function fails, takes too long, or returns no number.
        """
        key, by = key_of(decisions), self.recovers_by
        tried = recovered_key(key, by) if recovered and by else key, repetition
        if tried in self._used:
            return self._used[tried].evaluation
        if not self.left(reserve, spared):
            raise SpentError
        kept = self.journal.get(tried)
        if kept is None:
            self._say(what)
            kept = self._evaluated(decisions, what, recovered=recovered)
            self.journal.put(tried, kept)
        self._used[tried] = kept
        return kept.evaluation

    def ruined(self, names: Iterable[str], spared: int = 0) -> float | None:
        """Return the score of a ruined model; nothing where that fails or there is no budget.

        Args:
            names: The layers that are set to zero: all that can be converted.
            spared: Evaluations that are to be left afterwards.
        """
        tried = ruined_key(names), 0
        if tried not in self._used and not self.left(spared=spared):
            return None
        kept = self.journal.get(tried)
        if kept is None:
            self._say("the model with its convolutions set to zero")
            with suppress(InputError):  # zeros may be too much for a function
                limit_s = next_limit_s(self._timeout_s, self._slowest_s)
                kept = self._asked(self._maker.ruined(), limit_s, "the model set to zero")
        if kept is None:
            return None
        self.journal.put(tried, kept)
        self._used[tried] = kept
        return kept.evaluation.score

    @property
    def _slowest_s(self) -> float | None:
        return max((kept.seconds for kept in self._used.values()), default=None)

    def judge(self, model: Any) -> float:
        """Return the score of a model that was converted elsewhere; it is not kept.

        Raises:
            InputError: The function fails, takes too long, or returns no number.
        """
        limit_s = next_limit_s(self._timeout_s, self._slowest_s)
        what = "the converted model as it is recovered"
        return self._asked(self._maker.given(model), limit_s, what).evaluation.score

    @property
    def tolerance(self) -> float:
        """By how much two scores may differ that are as good as equal, with room for rounding."""
        return self.noise.resolution * (1 + 1e-9)

    def measure_base(self) -> float:
        """Score the model as it is, more often where two calls differ; return the mean.

        Raises:
            InputError: The function fails, takes too long, or returns no number.
        """
        found = [self.of(AS_IS, "the model as it is")]
        least = self.budget.evaluations
        if least is None or least >= LEAST_TO_REPEAT:
            for repetition in range(1, REPEATS):
                if not self.left(spared=1) or (
                    repetition > 1 and len({one.score for one in found}) == 1
                ):
                    break
                found.append(self.of(AS_IS, "the model as it is", repetition=repetition))
        self.base = tuple(found)
        return self.base_score

    @property
    def base_score(self) -> float:
        """The score of the model as it is."""
        return sum(one.score for one in self.base) / len(self.base)

    @property
    def noise(self) -> Noise:
        """How noisy the score is, as all evaluations so far tell."""
        return noise_of(self.base, (kept.evaluation for kept in self._used.values()))

    def loss(self, evaluation: Evaluation, calls: int = 1) -> Loss:
        """Return what a converted model lost, by the mean of some calls."""
        return loss_of(self.base, evaluation, self.noise, calls)

    @property
    def recovers_by(self) -> str | None:
        """A fingerprint of the inputs that models can be recovered by, if there are any."""
        return self._maker.recovers_by

    def _evaluated(self, decisions: Mapping[str, Decision], what: str, *, recovered: bool) -> Kept:
        make = self._maker.recovered if recovered else self._maker.converted
        began = perf_counter()
        model = make(decisions)
        making_s = perf_counter() - began
        try:
            kept = self._asked(model, next_limit_s(self._timeout_s, self._slowest_s), what)
            return kept._replace(seconds=round(kept.seconds + making_s, 6))
        except InputError as error:
            raise InputError(f"{error}{self.kept_in_words()}") from error

    def _asked(self, model: Any, limit_s: float, what: str) -> Kept:
        began = perf_counter()
        with self._maker.running():
            said = called(self.score, model, limit_s, what)
        # as the journal has it: what is within a budget does not depend on where it is from
        return Kept(said, round(perf_counter() - began, 6))

    def kept_in_words(self) -> str:
        """Return where evaluations are kept, for the end of an error; nothing if nowhere."""
        if not len(self.journal) or self.journal.path is None:
            return ""
        kept = counted(len(self.journal), "evaluation")
        return f"; {kept} kept in {self.journal.path}"

    def _say(self, what: str) -> None:
        if self._progress is None:
            return
        most = self.budget.evaluations
        share = None if most is None else self.used / most
        of = "" if most is None else f" of at most {most}"
        typical_s = sum(kept.seconds for kept in self._used.values()) / max(1, self.used)
        each = f", {format_seconds(typical_s)} each" if self._used else ""
        self._progress(share, f"scoring {what}, evaluation {self.used + 1}{of}{each}")
