"""Losses of layers → a plan for the whole, tried and corrected as long as the budget lasts.

What layers lose alone does not add up: many that seem to be free are not free together. So the plan
that a knapsack makes of the losses is only where the search begins. Around the best plan so far a
few layers are chosen anew, the losses shaken a little, and what comes of it is scored: a large
neighbourhood search. For a cost that is bounded, a better score is better; for a score that is to
be kept, a lower cost.

Source:
    Shaw 1998, Using Constraint Programming and Local Search Methods to Solve Vehicle Routing
    Problems, for the search.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from fractions import Fraction
from itertools import islice
from math import exp
from random import Random
from statistics import fmean
from types import MappingProxyType
from typing import NamedTuple

from dscost.converting.choosing import (
    Figures,
    Goal,
    Metric,
    Options,
    Planned,
    figures_of,
    nearest_to,
    planned_of,
)
from dscost.converting.decisions import Decision
from dscost.converting.knapsack import least_error
from dscost.converting.scoring.evaluating import Evaluator, SpentError
from dscost.converting.scoring.losses import Evaluation
from dscost.converting.scoring.results import ScorePoint, reaches

CHANGED = (2, 2, 3, 4)
"""How many layers are chosen anew at a time, one of these: fewer than two cannot trade one cost for
another, and more seldom lead to something better."""
SHAKEN = 0.5
"""Standard deviation of the logarithm of a loss that is shaken: about as far as losses of layers
alone are from what they are together."""
FRUITLESS = 200
"""Changes that are thought of in a row, and lead to nothing new, before the search ends."""
STEPS = 32
"""Costs between the least and that of the model as it is, on which a plan for a score is sought."""
ON_THE_WAY = 3
"""Plans of costs between the model as it is and the goal that are scored, for the curve."""
LEAST_FOR_CURVE = 30
"""Evaluations that the budget must have for those."""
MOST_SUMS = 400
"""What the knapsack keeps at a time: a plan that is only to be tried may be beside the best."""
APART = Fraction(1, 50)
"""Share of the cost as it is by which points of the curve lie apart."""
RECOVERED_CHANGES = 8
"""How many changes of a plan are tried where each model has to be recovered first."""
AGAIN = 3
"""How often the plan that was chosen is scored once more where the score differs by itself."""
FOR_AGAIN = 0.1
"""Share of the budget that the search leaves for that."""

_Chosen = tuple[int, ...]
"""The option of each layer."""


class Found(NamedTuple):
    """The plan that was chosen.

    Args:
        planned: It, with its costs.
        evaluations: What was said of it.
        curve: Whole models that were scored, each the best of its cost.
        is_final: Whether those had no part in the choice.
        is_recovered: Whether all of this is of recovered models.
    """

    planned: Planned
    evaluations: tuple[Evaluation, ...]
    curve: tuple[ScorePoint, ...]
    is_final: bool = False
    is_recovered: bool = False


class Search:
    """The search for a plan.

    Args:
        layers: What can be done.
        as_is: What the whole model costs.
        metric: Which cost counts.
        losses: What every option is likely to lose.
        evaluator: What is asked; it has scored the model as it is.
    """

    def __init__(
        self,
        layers: Sequence[Options],
        as_is: Figures,
        metric: Metric,
        losses: Sequence[Sequence[float]],
        evaluator: Evaluator,
    ) -> None:
        self._layers, self._as_is, self._metric = layers, as_is, metric
        self._losses, self._evaluator = losses, evaluator
        self._costs = [
            [Fraction(figures_of(one).of(metric)) for one in options] for options in layers
        ]
        self._kept = sum((costs[0] for costs in self._costs), Fraction(0))
        self._scores: dict[_Chosen, float] = {}
        self._random = Random(0)
        self._reserve = FOR_AGAIN if evaluator.noise.spread else 0.0
        self._best: _Chosen = (0,) * len(layers)
        self._recovered = False
        self._twice: set[_Chosen] = set()

    # -- for a cost, for a score

    def within(self, goal: Goal) -> Found:
        """Return the best plan found of at most the cost that a goal allows.

        Where none is as cheap as that, it is the cheapest.

        Raises:
            SpentError: The budget is spent before one is scored.
        """
        elsewhere = Fraction(self._as_is.of(self._metric)) - self._kept
        bound = goal.bound(self._as_is) - elsewhere
        start = self._solved(self._losses, bound)
        if start is None:
            nearest = nearest_to(goal, self._layers, self._as_is)
            with suppress(SpentError):
                self._score(self._chosen(nearest))
            return self._found(self._chosen(nearest), nearest.nearest)
        self._best = start
        with suppress(SpentError):
            self._score(start)
            by_error = [[one.error**2 for one in options] for options in self._layers]
            other = self._solved(by_error, bound)
            assert other is not None
            self._best = max((start, other), key=lambda one: (self._score(one), one == start))
            self._look_on_the_way(bound)
            for one in self._changes(bound):
                if self._sure_score(one, self._scores[self._best]) >= self._scores[self._best]:
                    self._best = one
                if self._scores[self._best] >= self._evaluator.base_score:
                    break
        affordable = [one for one in self._scores if self._cost(one) <= bound]
        return self._found(max(affordable, key=self._worth, default=start))

    def keeping(self, target: float) -> Found:
        """Return the cheapest plan found whose score is at least a target.

        It is the score of the recovered model, where it can be recovered. Where none keeps the
        target, the plan is the model as it is.
        """
        full = (0,) * len(self._layers)
        self._scores[full] = self._evaluator.base_score
        self._recovered = self._evaluator.recovers_by is not None
        if not reaches(self._evaluator.base_score, target):
            return self._found(full)
        least = sum((min(costs) for costs in self._costs), Fraction(0))
        span = self._kept - least
        self._best = full
        with suppress(SpentError):
            keeps, fails = 0, STEPS + 1
            while fails - keeps > 1:
                middle = (keeps + fails) // 2
                one = self._solved(self._losses, self._kept - span * Fraction(middle, STEPS))
                assert one is not None
                if reaches(self._sure_score(one, target), target):
                    keeps, self._best = middle, min(self._best, one, key=self._cost)
                else:
                    fails = middle
            changes = self._changes(None, step=span / (2 * STEPS))
            for one in islice(changes, RECOVERED_CHANGES) if self._recovered else changes:
                if reaches(self._sure_score(one, target), target):
                    self._best = one
        return self._found(self._best)

    # -- plans

    def _changes(self, bound: Fraction | None, step: Fraction = Fraction(0)) -> Iterator[_Chosen]:
        """Yield plans near the best one that were not scored; without a bound cheaper by a step."""
        fruitless = 0
        while fruitless < FRUITLESS:
            centre, anew = self._best, self._drawn()
            limit = self._cost(centre) - step if bound is None else bound
            losses = [
                [self._shaken(loss) for loss in losses] if at in anew else losses
                for at, losses in enumerate(self._losses)
            ]
            rest = {at: option for at, option in enumerate(centre) if at not in anew}
            one = self._solved(losses, limit, rest)
            if one is None or one in self._scores:
                fruitless += 1
                continue
            fruitless = 0
            yield one

    def _drawn(self) -> set[int]:
        number = min(self._random.choice(CHANGED), len(self._layers))
        return set(self._random.sample(range(len(self._layers)), number))

    def _shaken(self, loss: float) -> float:
        return loss * exp(self._random.gauss(0, SHAKEN))

    def _solved(
        self,
        losses: Sequence[Sequence[float]],
        bound: Fraction,
        fixed: Mapping[int, int] = MappingProxyType({}),
    ) -> _Chosen | None:
        """Return the options of least loss within a cost, those of some layers given."""
        able = [
            [fixed[at]] if at in fixed else list(range(len(options)))
            for at, options in enumerate(self._layers)
        ]
        choices = [
            [(float(self._costs[at][one]), losses[at][one]) for one in ones]
            for at, ones in enumerate(able)
        ]
        found = least_error(choices, bound, most_sums=MOST_SUMS)
        if found is None:
            return None
        return tuple(able[at][one] for at, one in enumerate(found.chosen))

    def _look_on_the_way(self, bound: Fraction) -> None:
        """Score plans of costs between the model as it is and a bound."""
        budget = self._evaluator.budget.evaluations
        if budget is not None and budget < LEAST_FOR_CURVE:
            return
        for at in range(1, ON_THE_WAY + 1):
            share = Fraction(at, ON_THE_WAY + 1)
            one = self._solved(self._losses, self._kept - (self._kept - bound) * share)
            assert one is not None
            self._score(one)

    # -- scores

    def _score(self, chosen: _Chosen) -> float:
        if chosen not in self._scores:
            self._scores[chosen] = self._said(chosen, reserve=self._reserve).score
        return self._scores[chosen]

    def _sure_score(self, chosen: _Chosen, wanted: float) -> float:
        """Return a score; the mean of two calls where the first may have reached it by chance."""
        score = self._score(chosen)
        is_new = chosen not in self._twice
        if self._evaluator.noise.spread and score >= wanted and is_new:
            said = self._said(chosen, repetition=1, reserve=self._reserve)
            self._twice.add(chosen)
            self._scores[chosen] = (score + said.score) / 2
        return self._scores[chosen]

    def _said(self, chosen: _Chosen, *, repetition: int = 0, reserve: float = 0.0) -> Evaluation:
        decisions, what = self._decisions(chosen), self._in_words(chosen)
        return self._evaluator.of(
            decisions,
            f"{what} again" if repetition else what,
            repetition=repetition,
            recovered=self._recovered,
            reserve=reserve,
            spared=int(self._recovered),  # what it is without that is to be told as well
        )

    def _worth(self, chosen: _Chosen) -> tuple[float, float]:
        """Return what a plan is worth: its score; of equal ones that of less expected loss."""
        losses = (losses[at] for losses, at in zip(self._losses, chosen, strict=True))
        return self._scores[chosen], -sum(losses)

    def _decisions(self, chosen: _Chosen) -> dict[str, Decision]:
        picked = [options[at] for options, at in zip(self._layers, chosen, strict=True)]
        return {name: one.decision for one in picked for name in one.names}

    def _cost(self, chosen: _Chosen) -> Fraction:
        return sum((costs[at] for costs, at in zip(self._costs, chosen, strict=True)), Fraction(0))

    def _planned(self, chosen: _Chosen) -> Planned:
        picked = [options[at] for options, at in zip(self._layers, chosen, strict=True)]
        return planned_of(picked, self._layers, self._as_is)

    def _chosen(self, planned: Planned) -> _Chosen:
        decisions = planned.decisions
        return tuple(
            next(at for at, one in enumerate(options) if one.decision == decisions[one.names[0]])
            for options in self._layers
        )

    def _in_words(self, chosen: _Chosen) -> str:
        planned = self._planned(chosen)
        whole = self._as_is.of(self._metric)
        share = float(planned.figures.of(self._metric)) / float(whole) if whole else 1.0
        kind = {"macs": "the MACs", "params": "the params"}.get(self._metric, "the time")
        return f"a plan of {share:.3f}× {kind}{', recovered' if self._recovered else ''}"

    def _found(self, best: _Chosen, nearest: str | None = None) -> Found:
        """Return what is known of the plan that was chosen, scored once more if need be.

        Raises:
            SpentError: Nothing is known of it.
        """
        planned, again = self._planned(best)._replace(nearest=nearest), []
        if self._evaluator.noise.spread and any(best):
            with suppress(SpentError):
                for repetition in range(2, AGAIN + 2):  # the second may have led to the choice
                    again.append(self._said(best, repetition=repetition))
        said = again or list(self._known(best))
        if not said:
            raise SpentError
        curve = self._curve(best, said)
        return Found(planned, tuple(said), curve, bool(again), self._recovered and any(best))

    def _known(self, chosen: _Chosen) -> Iterator[Evaluation]:
        if not any(chosen):
            yield from self._evaluator.base
        elif chosen in self._scores:
            yield self._said(chosen)

    def _curve(self, best: _Chosen, said: Sequence[Evaluation]) -> tuple[ScorePoint, ...]:
        """Return the plans that were scored and are the best of their costs, dearest first."""
        full = (0,) * len(self._layers)
        scores = {**self._scores, full: self._evaluator.base_score}
        if said:
            scores[best] = fmean(one.score for one in said)
        efficient: list[_Chosen] = []
        highest = float("-inf")
        for one in sorted(scores, key=lambda one: (self._cost(one), -scores[one])):
            if scores[one] > highest or one in (best, full):
                efficient.append(one)
                highest = max(highest, scores[one])
        shown = [full, best] if best != full else [full]
        apart = Fraction(self._as_is.of(self._metric)) * APART
        for one in sorted(efficient, key=lambda one: -scores[one]):
            distances = (abs(self._cost(one) - self._cost(other)) for other in shown)
            if min(distances) >= apart:
                shown.append(one)
        shown.sort(key=self._cost, reverse=True)
        return tuple(self._point(one, scores[one], is_chosen=one == best) for one in shown)

    def _point(self, chosen: _Chosen, score: float, *, is_chosen: bool) -> ScorePoint:
        planned = self._planned(chosen)
        cost, whole = planned.figures.of(self._metric), self._as_is.of(self._metric)
        share = float(cost) / float(whole) if whole else 1.0
        return ScorePoint(cost, share, score, planned.converted, is_chosen)
