"""The sites of a subject → what is done to each by what a score says. No torch."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from statistics import fmean
from typing import Any, Protocol

from dscost.converting import layer_times
from dscost.converting.asking import Asked
from dscost.converting.choosing import ERROR, SCORE, Goal
from dscost.converting.deciding import (
    Clock,
    Decided,
    Subject,
    at_rank,
    by_plan,
    choices_for,
    for_goal,
    plan_of_chosen,
)
from dscost.converting.scoring.asking import USUAL, Scorer
from dscost.converting.scoring.estimating import Tried, expected_losses
from dscost.converting.scoring.evaluating import Evaluator, Maker, SpentError
from dscost.converting.scoring.journal import Journal, usual_path
from dscost.converting.scoring.losses import Evaluation, Loss
from dscost.converting.scoring.results import Scored, ScorePoint, Sensitivity, layer_losses, reaches
from dscost.converting.scoring.searching import Search
from dscost.converting.scoring.sweeping import in_turn, tried_alone
from dscost.converting.sites import Site
from dscost.errors import InputError
from dscost.journals import can_be_written
from dscost.layers.orders import Order
from dscost.timing import Progress
from dscost.version import __version__

FOR_PLANS = 0.5
"""Share of the budget that the sweep leaves for plans: what layers lose alone is where the search
begins, and most of what it gains comes of whole plans (benchmarks/results/accuracy-2026-11-30.md).
"""


def evaluator_for(
    scorer: Scorer, maker: Maker, of: Mapping[str, Any], progress: Progress | None
) -> Evaluator:
    """Return what asks a score about models, of which `of` tells the one from others.

    Raises:
        InputError: The journal that was named is one of something else.
    """
    told = {
        **of,
        "score": scorer.score.name,
        "function": scorer.score.made_of,
        "dscost": __version__,
    }
    path = usual_path(told) if scorer.journal == USUAL else scorer.journal
    if path is not None and not can_be_written(Path(path)):
        raise InputError(f"cannot write {path}: name another file for the journal")
    journal = Journal(None if path is None else Path(path), told)
    return Evaluator(maker, scorer.score, journal, scorer.budget, scorer.timeout_s, progress)


class Timeable(Subject, layer_times.Subject, Protocol):
    """What is to be converted, and can be timed where a time is the goal."""


def decided_by(
    subject: Timeable, sites: Sequence[Site], asked: Asked, evaluator: Evaluator | None
) -> Decided:
    """Return what is done: for a goal or as was said; with a score, by what it says.

    Raises:
        InputError: Something that was asked for makes no sense, or the function fails.
        UnavailableError: A time is the goal, and the model could not be timed.
    """
    goal = asked.goal
    if goal is None:
        given = asked.plan or at_rank(sites, asked.rank or 1, asked.orders)
        decided = by_plan(subject, sites, given)
        return decided if evaluator is None else with_score(decided, evaluator)
    clock = layer_times.clock_of(subject, asked.timing, asked.progress)
    if evaluator is None:
        return for_goal(subject, sites, goal, clock, asked.orders)
    return by_score(subject, sites, goal, evaluator, asked.orders, clock)


def by_score(
    subject: Subject,
    sites: Sequence[Site],
    goal: Goal,
    evaluator: Evaluator,
    orders: Sequence[Order],
    clock: Clock | None = None,
) -> Decided:
    """Return what reaches a goal with the best score that was found within the budget.

    Raises:
        InputError: The function fails or its score tells nothing; or the goal makes no sense.
        UnavailableError: A time is the goal, and the model could not be timed.
    """
    if goal.metric == ERROR:
        raise InputError(
            f"goal {goal.text} bounds errors of kernels: with a score, bound that, by score=0.98x"
        )
    choices = choices_for(subject, sites, goal, clock, orders)
    score = evaluator.measure_base()
    target = _target(goal, score) if goal.metric == SCORE else None
    metric = goal.cost_metric
    is_out_of_reach = target is not None and not reaches(score, target)
    tried: list[Tried] = []
    if not is_out_of_reach:
        tried = tried_alone(choices.layers, evaluator, metric, reserve=FOR_PLANS)
    losses = expected_losses(choices.layers, tried, score, evaluator.noise.resolution)
    search = Search(choices.layers, choices.as_is, metric, losses, evaluator)
    try:
        found = search.within(goal) if target is None else search.keeping(target)
    except SpentError as error:
        raise _spent(evaluator) from error
    planned, said, recovered = found.planned, found.evaluations, None
    if found.is_recovered:
        recovered = fmean(one.score for one in said)
        with suppress(SpentError):  # recovering took longer than models did before
            said = (evaluator.of(planned.decisions, "the plan that was chosen, before recovering"),)
    scored = _scored(evaluator, said)._replace(
        layers=layer_losses(choices.layers, _surer(evaluator, tried), score),
        curve=found.curve,
        target=target,
        is_final=found.is_final,
        recovered=recovered,
    )
    if target is not None and not planned.converted:
        nearest = None if score >= target else f"{score:.4g}, the model as it is"
        planned = planned._replace(nearest=nearest)
    plan = plan_of_chosen(subject, planned, goal.text, choices.runtime)
    plan = replace(plan, scored=scored)
    notes = [*choices.notes, *_notes(scored)]
    decided = Decided(
        plan, planned, choices.layers, choices.as_is, goal, choices.environment, tuple(notes)
    )
    return decided._replace(runtime=choices.runtime, clock=choices.clock, scored=scored)


def with_score(decided: Decided, evaluator: Evaluator) -> Decided:
    """Return a plan that was made without a score, with what a score says of it.

    Raises:
        InputError: The function fails.
    """
    evaluator.measure_base()
    try:
        said = evaluator.of(decided.plan.layers, "the converted model")
    except SpentError as error:  # a time
        raise _spent(evaluator) from error
    figures, metric = decided.planned.figures, decided.metric
    whole = decided.as_is.of(metric)
    share = float(figures.of(metric)) / float(whole) if whole else 1.0
    curve = (
        ScorePoint(whole, 1.0, evaluator.base_score, 0),
        ScorePoint(figures.of(metric), share, said.score, decided.planned.converted, True),
    )
    scored = _scored(evaluator, [said])._replace(curve=curve)
    notes = (*decided.notes, *_notes(scored))
    return decided._replace(scored=scored, notes=notes)


def swept(
    subject: Subject, sites: Sequence[Site], evaluator: Evaluator, orders: Sequence[Order]
) -> Sensitivity:
    """Return what every layer loses that is converted alone.

    Raises:
        InputError: The function fails, or its score tells nothing.
    """
    choices = choices_for(subject, sites, None, None, orders)
    score = evaluator.measure_base()
    tried = _surer(evaluator, tried_alone(choices.layers, evaluator))
    reached = {one.layer for one in tried}
    journal = evaluator.journal
    return Sensitivity(
        target=subject.target,
        name=evaluator.score.name,
        score=score,
        layers=layer_losses(choices.layers, tried, score),
        untried=tuple(
            choices.layers[at][0].names[0]
            for at in dict.fromkeys(at for at, _ in in_turn(choices.layers))
            if at not in reached
        ),
        noise=evaluator.noise.in_words(),
        evaluations=evaluator.used,
        from_journal=evaluator.known,
        journal=None if journal.path is None else str(journal.path),
    )


def _surer(evaluator: Evaluator, tried: Sequence[Tried]) -> list[Tried]:
    """Return what was tried with intervals by all that is known of the noise by now."""
    return [one._replace(loss=evaluator.loss(one.said)) for one in tried]


def _scored(evaluator: Evaluator, said: Sequence[Evaluation]) -> Scored:
    """Return what a score said of a converted model, in one call or several."""
    journal, before = evaluator.journal, evaluator.base_score
    after, loss = before, Loss(0.0, 0.0, 0.0)
    if said and tuple(said) != evaluator.base:
        after = fmean(one.score for one in said)
        loss = evaluator.loss(said[0]._replace(score=after), len(said))
    return Scored(
        name=evaluator.score.name,
        before=before,
        after=after,
        lost=loss,
        noise=evaluator.noise.in_words(),
        layers=(),
        curve=(),
        evaluations=evaluator.used,
        from_journal=evaluator.known,
        journal=None if journal.path is None else str(journal.path),
    )


def _spent(evaluator: Evaluator) -> InputError:
    kept = evaluator.kept_in_words()
    return InputError(
        f"the score's budget is spent before a converted model is scored: give it more{kept}"
    )


def _target(goal: Goal, score: float) -> float:
    """Return the score that is to be kept."""
    value = float(goal.value)
    if not goal.relative:
        return value
    if score <= 0:
        raise InputError(
            f"goal {goal.text} is a share of the score as it is, which is {score:g}: "
            "give a number, such as score=-1.5"
        )
    return value * score


def _notes(scored: Scored) -> Iterator[str]:
    """Yield how sure scores are."""
    if scored.noise is not None:
        yield f"{scored.name}: {scored.noise}; intervals are of 95 %."
    width = scored.lost.high - scored.lost.loss
    lowest, target = scored.last - width, scored.target
    if target is not None and width and lowest < target <= scored.last:
        yield (
            f"Whether it keeps {target:.4g} on more samples than these is not sure: "
            f"by its interval it may be {lowest:.4g}."
        )
    if not scored.is_final and scored.layers and scored.converted:
        yield (
            "The plan was chosen by this score on these samples, so it flatters the plan: "
            "measure it once on others."
        )
