"""Conversions: the trade-off that a goal was met by, and what each layer costs before and after."""

from collections.abc import Iterator, Mapping, Sequence
from math import isfinite
from typing import NamedTuple, TypeVar

from dscost.converting.choosing import ERROR, CurvePoint, Metric, figure_text, parse_goal
from dscost.converting.plan_file import Plan
from dscost.converting.results import Conversion, Converted, Outcome
from dscost.converting.scoring.results import LayerLoss, Scored, ScorePoint, Sensitivity
from dscost.notation.units import counted, format_count, format_seconds
from dscost.pages.pictures.layers_of_conversions import NO_TIMES, layers_picture, times_picture
from dscost.pages.pictures.picture import (
    Axis,
    Interval,
    NotDrawn,
    Picture,
    Plot,
    Point,
    Quantity,
    Rule,
    Series,
)
from dscost.pages.pictures.places import measured_at
from dscost.pages.pictures.short import short
from dscost.pages.scores import least_losses, loss_text, score_text
from dscost.reports.figures import FIGURES
from dscost.runtimes import TORCH
from dscost.timing import Setting

NO_GOAL = "no goal was given, so that there is no trade-off: give a --goal, such as macs=0.5x"
NO_CHOICE = "no layer can be converted, so that there is no trade-off: convert another model"
_QUANTITIES: Mapping[Metric, Quantity] = {
    "macs": "count",
    "params": "count",
    "latency_s": "seconds",
}
_Tried = TypeVar("_Tried", CurvePoint, ScorePoint)
_BEYOND = 10.0
"""So many times as far as any point a rule runs: the plot shows the part of it within."""


def converted_pictures(converted: Converted) -> list[Picture | NotDrawn]:
    """Return the trade-off and the layers of a converted model."""
    outcome = converted.outcome
    where = converted.environment
    keys = [Setting(runtime=outcome.runtime or TORCH).key]
    curve, times = _curve(outcome), times_picture(outcome, measured_at(where, keys))
    if isinstance(curve, Plot) and outcome.curve_metric == "latency_s":
        curve = curve._replace(measured=measured_at(where, keys))
    layers = layers_picture(short(outcome.target), outcome.layers)
    return [curve, layers, times] if isinstance(times, NotDrawn) else [times, curve, layers]


def conversion_pictures(conversion: Conversion) -> list[Picture | NotDrawn]:
    """Return the layers of a converted module; what else could be drawn is not known of it."""
    why = "of a module that is converted no trade-off is known: dscost convert TARGET --goal has it"
    name = type(conversion.module).__name__
    layers = layers_picture(short(name), conversion.layers)
    return [NotDrawn("curve", why), layers, NotDrawn("times", NO_TIMES)]


def plan_pictures(plan: Plan) -> list[Picture | NotDrawn]:
    """Return the scores of a plan by cost, where it was chosen by them."""
    if plan.scored is None or not plan.scored.curve:
        why = "a plan holds no costs: dscost convert TARGET --goal draws those that it was made of"
        return [NotDrawn("curve", why)]
    metric: Metric = "macs" if plan.goal is None else parse_goal(plan.goal).cost_metric
    title = "latency" if metric == "latency_s" else FIGURES[metric].title
    found = _Trade(short(plan.target or "a plan"), metric, title, plan.goal)
    return [_scored_curve(found, plan.scored)]


# -- the trade-off


class _Trade(NamedTuple):
    """What a trade-off is of: a model, which cost, how that is called, and the goal."""

    target: str
    metric: Metric
    title: str
    goal: str | None

    def cost(self, amount: float) -> str:
        """Return a cost with its name."""
        text = figure_text(self.metric, amount)
        return f"{text} of {self.title}" if self.metric == "latency_s" else text

    @property
    def x(self) -> Axis:
        """The axis of costs."""
        return Axis(self.title, _QUANTITIES[self.metric])

    def bound(self, beside: CurvePoint | ScorePoint) -> float | None:
        """Return what the goal allows of the cost, where it bounds that and it can be told.

        Args:
            beside: What tells how much the model costs as it is: a cost, and its share of that.
        """
        if self.goal is None:
            return None
        goal = parse_goal(self.goal)
        if goal.metric != self.metric:
            return None
        if not goal.relative:
            return float(goal.value)
        return float(goal.value) * beside.cost / beside.share if beside.share else None


def _curve(outcome: Outcome) -> Plot | NotDrawn:
    title = (
        outcome.time_title
        if outcome.curve_metric == "latency_s"
        else FIGURES[outcome.curve_metric].title
    )
    trade = _Trade(short(outcome.target), outcome.curve_metric, title, outcome.goal)
    if outcome.scored is not None and outcome.scored.curve:
        return _scored_curve(trade, outcome.scored)
    if outcome.goal is None:
        return NotDrawn("curve", NO_GOAL)
    if len(outcome.curve) < 2:
        return NotDrawn("curve", NO_CHOICE)
    points = sorted(outcome.curve, key=lambda one: (one.cost, one.error))
    series = [
        Series(
            "least total error by cost",
            [_error_point(trade, one) for one in points],
            joined="steps",
        ),
        *_marked(trade, points),
        *_measured(outcome, points),
    ]
    return _plot(trade, "total error", series, list(_rules(trade, points, outcome)))


def _as_is(points: Sequence[_Tried]) -> _Tried | None:
    """Return the model as it is, unless that was chosen."""
    return next((one for one in points if not one.converted and not one.is_chosen), None)


def _chosen(points: Sequence[_Tried]) -> _Tried | None:
    return next((one for one in points if one.is_chosen), None)


def _choice(chosen: CurvePoint | ScorePoint) -> str:
    return f"chosen, {chosen.share:.3g}×" if chosen.converted else "chosen: as it is"


def _error_point(trade: _Trade, one: CurvePoint, name: str = "") -> Point:
    return Point(
        float(one.cost),
        one.error,
        name,
        f"{trade.cost(one.cost)}, {one.share:.3f}× of as it is: total error {one.error:.4f}, "
        f"{counted(one.converted, 'layer')} converted.",
        weight=1.0 if name else 0.0,
    )


def _marked(trade: _Trade, points: Sequence[CurvePoint]) -> Iterator[Series]:
    """Yield the model as it is and what was chosen, each as points of their own."""
    as_is, chosen = _as_is(points), _chosen(points)
    if as_is is not None:
        yield Series("as it is", [_error_point(trade, as_is, "as it is")])
    if chosen is not None:
        yield Series("chosen", [_error_point(trade, chosen, _choice(chosen))])


def _measured(outcome: Outcome, points: Sequence[CurvePoint]) -> Iterator[Series]:
    """Yield what the chosen model took, where that was measured and not planned."""
    latency = outcome.latency
    chosen = _chosen(points)
    if outcome.curve_metric != "latency_s" or latency is None or latency.is_predicted:
        return
    if chosen is not None and chosen.converted:
        tells = f"The converted model, measured: {format_seconds(latency.after_s)}."
        point = Point(latency.after_s, chosen.error, "measured", tells, weight=0.5)
        yield Series("chosen, measured as a whole", [point])


def _rules(trade: _Trade, points: Sequence[CurvePoint], outcome: Outcome) -> Iterator[Rule]:
    """Yield the line of the goal: what it allows of the cost, or of the error."""
    assert outcome.goal is not None
    most = float(points[-1].cost)
    missed = ", missed" if outcome.is_met is False else ""
    goal = parse_goal(outcome.goal)
    if goal.metric == ERROR:
        level = float(goal.value)
        yield _level(f"goal {outcome.goal}{missed}", level, most)
        return
    bound = trade.bound(points[-1])
    if bound is not None:
        yield _upright(f"goal {outcome.goal}{missed}", bound, max(one.error for one in points))


def _level(name: str, y: float, most: float) -> Rule:
    """Return a rule across a plot whose points lie between 0 and so much."""
    return Rule(name, [(-_BEYOND * most, y), (_BEYOND * most, y)])


def _upright(name: str, x: float, most: float) -> Rule:
    """Return a rule up a plot whose points are no further from 0 than so much."""
    far = _BEYOND * (most + 1.0)
    return Rule(name, [(x, -far), (x, far)])


def _plot(trade: _Trade, what: str, series: Sequence[Series], rules: Sequence[Rule]) -> Plot:
    said = " ".join(point.tells for one in series for point in one.points if point.name)
    upright = [rule.points[0][0] for rule in rules if rule.points[0][0] == rule.points[1][0]]
    level = [rule.points[0][1] for rule in rules if rule.points[0][1] == rule.points[1][1]]
    return Plot(
        name="curve",
        title=f"{trade.target}: {what} against {trade.title}",
        told=f"{what.capitalize()} against {trade.title}. {said}",
        x=trade.x._replace(includes=tuple(upright)),
        y=Axis(what, "number", includes=tuple(level) if what == "score" else (0.0, *level)),
        series=series,
        rules=rules,
    )


def _scored_curve(trade: _Trade, scored: Scored) -> Plot:
    """Return what a score says of whole models, by what they cost."""
    points = sorted(scored.curve, key=lambda one: (one.cost, one.score))
    as_is, chosen = _as_is(points), _chosen(points)
    series = [Series("scored", [_score_point(trade, one) for one in points], joined="line")]
    if as_is is not None:
        series.append(Series("as it is", [_score_point(trade, as_is, "as it is")]))
    if chosen is not None:
        point = _score_point(trade, chosen, _choice(chosen))._replace(
            y_interval=_score_interval(scored)
        )
        series.append(Series("chosen", [point]))
        if scored.recovered is not None:
            tells = f"After what was lost was recovered: {score_text(scored.recovered)}."
            recovered = Point(float(chosen.cost), scored.recovered, "recovered", tells, weight=0.5)
            series.append(Series("recovered", [recovered]))
    rules = []
    most, furthest = float(points[-1].cost), max(abs(one.score) for one in points)
    bound = trade.bound(points[-1])
    if bound is not None:
        rules.append(_upright(f"goal {trade.goal}", bound, furthest))
    if scored.target is not None:
        name = f"the least to be kept, {score_text(scored.target)}"
        rules.append(_level(name, scored.target, most))
    return _plot(trade, "score", series, rules)._replace(
        title=f"{trade.target}: score by {short(scored.name)} against {trade.title}"
    )


def _score_point(trade: _Trade, one: ScorePoint, name: str = "") -> Point:
    return Point(
        float(one.cost),
        one.score,
        name,
        f"{trade.cost(one.cost)}, {one.share:.3f}× of as it is: score {score_text(one.score)}, "
        f"{counted(one.converted, 'layer')} converted.",
        weight=1.0 if name else 0.0,
    )


def _score_interval(scored: Scored) -> Interval:
    """Return between which scores that of more samples lies; `None` where it is but one number."""
    low, high = scored.before - scored.lost.high, scored.before - scored.lost.low
    return (low, high) if low < high and isfinite(low) and isfinite(high) else None


# -- of layers alone


def sensitivity_pictures(found: Sensitivity) -> list[Picture | NotDrawn]:
    """Return what the score loses of each layer that is converted alone, against what it saves."""
    best = [one for (_, rank), one in least_losses(found.layers).items() if rank == 1]
    if not best:
        return [NotDrawn("curve", "no layer was scored at rank 1: score more by a larger budget")]
    series = []
    for verdict, title in (("safe", "safe"), ("unclear", "unclear"), ("costly", "costly")):
        points = [_loss_point(one) for one in best if one.verdict == verdict]
        if points:
            series.append(Series(title, points))
    worst = max(best, key=lambda one: one.loss)
    return [
        Plot(
            name="curve",
            title=f"{short(found.target)}: what {short(found.name)} loses by each layer alone",
            told=f"Loss of the score against MACs saved, of {counted(len(best), 'layer')} at rank "
            f"1: {sum(one.verdict == 'safe' for one in best)} safe. The largest loss: "
            f"{_loss_point(worst).tells}",
            x=Axis("MACs saved", "count", includes=(0.0,)),
            y=Axis("score lost", "number", includes=(0.0,)),
            series=series,
            rules=[_level("nothing lost", 0.0, max(abs(one.macs_before) for one in best))],
        )
    ]


def _loss_point(one: LayerLoss) -> Point:
    saved = one.macs_before - one.macs_after
    return Point(
        saved,
        one.loss,
        short(one.name),
        f"{short(one.name)}: {format_count(saved)} MACs saved, "
        f"{loss_text(one.loss, one.low, one.high)} of the score lost, {one.verdict}.",
        y_interval=(one.low, one.high) if one.low < one.high else None,
        weight=one.loss,
    )
