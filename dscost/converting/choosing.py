"""Which layers to convert, and to which rank, so that a goal is met with the least error. No torch.

The total error of a plan is `sqrt(mean ε²)` over the layers that can be converted, where ε is the
relative error of a layer's kernel and 0 for one that is kept: between 0 and 1, and no accuracy. The
least total error is the least sum of ε², which a multiple-choice knapsack finds.
"""

from collections.abc import Mapping, Sequence
from fractions import Fraction
from math import ceil, floor, log10, sqrt
from typing import Literal, NamedTuple, get_args

from dscost.converting.decisions import KEEP, Decision, form_of
from dscost.converting.knapsack import Amount, Choice, Selection, least_cost, least_error
from dscost.errors import InputError, UnknownNameError
from dscost.layers.orders import Form
from dscost.notation.quantities import parse_quantity
from dscost.notation.units import format_count, format_seconds
from dscost.reports.figures import FIGURES

Metric = Literal["macs", "params", "latency_s"]
METRICS: Mapping[str, str] = {name: FIGURES[name].kind for name in get_args(Metric)}
"""What a goal may bound besides the error, and the kind of its quantities."""
ERROR = "error"
SCORE = "score"
OF_ANOTHER_KIND = (ERROR, SCORE)
"""What is bounded and no cost; then the MACs are what is to be few."""
GOAL_EXAMPLES = "macs=0.5x, params=4M, latency_s=20ms, error=0.3 or score=0.98x"
CURVE_POINTS = 12
SAME = 1 + Fraction(1, 10**9)
"""Seconds and errors are floats, and a goal is a decimal: so little more is the same."""


class Goal(NamedTuple):
    """What a plan is to reach.

    Args:
        metric: What is bounded: a key of `METRICS`, `ERROR`, or from below `SCORE`.
        value: The bound; of the cost as it is, if `relative`.
        relative: Whether `value` is a share of the cost as it is.
        text: As it was given.
    """

    metric: str
    value: Fraction
    relative: bool
    text: str

    def tightened(self, by: float) -> "Goal":
        """Return the goal of a share of what this one allows, for a plan that has to aim lower."""
        value = self.value * Fraction(by)
        unit = f"{float(value):.3g}x" if self.relative else format_seconds(float(value))
        return Goal(self.metric, value, self.relative, f"{self.metric}={unit}")

    @property
    def cost_metric(self) -> Metric:
        """What the layers are chosen by: MACs where no cost is bounded."""
        is_other = self.metric in OF_ANOTHER_KIND
        return "macs" if is_other else self.metric  # type: ignore[return-value]

    def bound(self, as_is: "Figures") -> Fraction:
        """Return what the cost of a whole model may be at most."""
        whole = Fraction(as_is.of(self.cost_metric))
        bound = self.value * whole if self.relative else self.value
        return bound * SAME if self.metric == "latency_s" else bound


class Option(NamedTuple):
    """One way to treat a layer, or several that share their weights and so their fate.

    Args:
        names: Paths of the layers.
        decision: `KEEP`, a rank, or a rank with its order.
        error: Relative error of the kernel, 0 to 1.
        params: Weights of all of the layers together.
        macs: MACs of all of their calls.
        latency_s: Seconds of all of their calls, where times were asked for.
        is_predicted: Whether that is a prediction.
    """

    names: tuple[str, ...]
    decision: Decision
    error: float
    params: int
    macs: int
    latency_s: float | None = None
    is_predicted: bool = False

    @property
    def form(self) -> Form | None:
        """What they become; nothing where they are kept."""
        return form_of(self.decision)


Options = Sequence[Option]
"""The ways to treat the same layers; the first is to keep them."""


class Figures(NamedTuple):
    """What a model or a layer costs."""

    params: int
    macs: int
    latency_s: float | None = None

    def of(self, metric: Metric) -> Amount:
        """Return one figure; a time that was asked for is known."""
        value: Amount | None = getattr(self, metric)
        assert value is not None
        return value


class Planned(NamedTuple):
    """Options that were chosen, and what the whole model then costs.

    Args:
        chosen: The option by layer, in the order of the model.
        figures: Cost of the whole model once converted.
        error: Total error, 0 to 1.
        gap: By how much the total error, or the MACs where the error is the goal, may be above the
            least; 0 where it is proven to be the least.
        nearest: Where a goal cannot be reached: the nearest one that can, written as goals are, and
            by what.
    """

    chosen: Mapping[str, Option]
    figures: Figures
    error: float
    gap: float = 0.0
    nearest: str | None = None

    @property
    def decisions(self) -> dict[str, Decision]:
        """What to do by layer."""
        return {name: option.decision for name, option in self.chosen.items()}

    @property
    def converted(self) -> int:
        """How many layers are not kept."""
        return sum(option.decision != KEEP for option in self.chosen.values())


class CurvePoint(NamedTuple):
    """The least error that a cost allows.

    Args:
        cost: What the whole model costs then.
        share: That cost as a share of the original one.
        error: Total error, 0 to 1.
        converted: How many layers are.
        is_chosen: Whether it is what was chosen.
    """

    cost: Amount
    share: float
    error: float
    converted: int
    is_chosen: bool = False


def parse_goal(text: str) -> Goal:
    """Return the goal that `metric=value` stands for.

    Raises:
        InputError: It is none.

    >>> parse_goal("macs=0.5x")
    Goal(metric='macs', value=Fraction(1, 2), relative=True, text='macs=0.5x')
    >>> parse_goal("latency_s=20ms").value
    Fraction(1, 50)
    """
    text = text.strip()
    metric, equals, quantity = (part.strip() for part in text.partition("="))
    if not equals:
        raise InputError(f"goal: expected something like {GOAL_EXAMPLES}, found '{text}'")
    known = (*METRICS, *OF_ANOTHER_KIND)
    if metric not in known:
        example = f"; expected something like {GOAL_EXAMPLES}"
        raise UnknownNameError("goal", metric, known, example)
    try:
        return _goal(metric, quantity, text)
    except InputError as error:
        raise InputError(f"goal {metric}: {error}") from error


def _goal(metric: str, quantity: str, text: str) -> Goal:
    is_share, is_factor = quantity.endswith("%"), quantity.endswith(("x", "×"))
    if is_share:
        kind = "share"
    else:
        kind = "factor" if is_factor or metric in OF_ANOTHER_KIND else METRICS[metric]
    is_below = metric == SCORE and kind == "factor" and not is_factor and quantity[:1] == "-"
    value = -parse_quantity(quantity[1:], kind) if is_below else parse_quantity(quantity, kind)
    if metric == ERROR and (value > 1 or is_factor):
        raise InputError(f"expected a number from 0 to 1 such as 0.3, found '{quantity}'")
    if kind == "count" and 0 < value < 1:
        raise InputError(
            f"{quantity} is less than one: a share of what it is now is written {quantity}x"
        )
    return Goal(metric, value, metric != ERROR and (is_share or is_factor), text)


def total_error(errors: Sequence[float]) -> float:
    """Return the total error of layers that can be converted: the root of the mean of the squares.

    >>> total_error([0.6, 0.0, 0.0, 0.8])
    0.5
    """
    return sqrt(sum(error * error for error in errors) / len(errors)) if errors else 0.0


def reached(goal: Goal, layers: Sequence[Options], as_is: Figures) -> Planned:
    """Return the choice of least error that meets a goal, or of the fewest MACs within an error.

    Where none meets it, it is the one that comes nearest, of several the one of least error. As it
    is the whole model has every layer kept. Times are known where one is the goal.
    """
    metric = goal.cost_metric
    choices = _choices(layers, metric)
    number = sum(len(options[0].names) for options in layers)
    if goal.metric == ERROR:
        found = least_cost(choices, (goal.value * SAME) ** 2 * number)
    else:
        elsewhere = Fraction(as_is.of(metric)) - _kept(choices)
        found = least_error(choices, goal.bound(as_is) - elsewhere)
    if found is None:
        return nearest_to(goal, layers, as_is)
    planned = _selected(found, layers, as_is)
    if not found.gap or goal.metric == ERROR:
        return planned._replace(gap=found.gap)
    least = sqrt(max(0.0, found.error - found.gap) / number)
    return planned._replace(gap=planned.error - least)


def meets(goal: Goal, figures: Figures, as_is: Figures, error: float) -> bool:
    """Return whether a converted model of some figures and total error meets a goal."""
    if goal.metric == ERROR:
        return Fraction(error) <= goal.value * SAME
    return Fraction(figures.of(goal.cost_metric)) <= goal.bound(as_is)


def applied(
    decisions: Mapping[str, Decision], layers: Sequence[Options], as_is: Figures
) -> Planned:
    """Return what decisions come to; a rank above the largest means that one."""
    chosen = []
    for options in layers:
        form = form_of(decisions.get(options[0].names[0], KEEP))
        chosen.append(options[0] if form is None else _in_form(form, options))
    return planned_of(chosen, layers, as_is)


def _in_form(form: Form, options: Options) -> Option:
    """Return the option of a form, or of the largest rank below it in the same order."""
    found = options[0]
    for option in options:
        other = option.form
        if other is not None and other.order == form.order and other.rank <= form.rank:
            found = option
    return found


def trade_off(
    layers: Sequence[Options], as_is: Figures, metric: Metric, mark: Planned | None = None
) -> tuple[CurvePoint, ...]:
    """Return the least error for costs from that of the model as it is down to the least there is.

    Budgets are evenly spaced; those that lead to the same choice are one point. What was chosen,
    the `mark`, is a point of its own.
    """
    choices = _choices(layers, metric)
    full = _kept(choices)
    least = sum(Fraction(min(cost for cost, _ in options)) for options in choices)
    found: dict[tuple[int, ...], Planned] = {}
    for step in range(CURVE_POINTS):
        selection = least_error(choices, full - (full - least) * Fraction(step, CURVE_POINTS - 1))
        assert selection is not None  # the least cost is affordable
        found.setdefault(selection.chosen, _selected(selection, layers, as_is))
    curve = [_point(one, as_is, metric) for one in found.values()]
    if mark is not None:
        goal = _point(mark, as_is, metric)._replace(is_chosen=True)
        curve = [point for point in curve if (point.cost, point.error) != (goal.cost, goal.error)]
        curve.append(goal)
    return tuple(sorted(curve, key=lambda point: (-point.cost, point.error)))


def _point(planned: Planned, as_is: Figures, metric: Metric) -> CurvePoint:
    cost, whole = planned.figures.of(metric), as_is.of(metric)
    return CurvePoint(cost, cost / whole if whole else 1.0, planned.error, planned.converted)


def _choices(layers: Sequence[Options], metric: Metric) -> list[list[Choice]]:
    """Return the cost of every option, and the sum of the squared errors of its layers."""
    return [
        [(figures_of(one).of(metric), len(one.names) * one.error**2) for one in options]
        for options in layers
    ]


def figures_of(option: Option) -> Figures:
    """Return what the layers of an option cost."""
    return Figures(option.params, option.macs, option.latency_s)


def _kept(choices: Sequence[Sequence[Choice]]) -> Fraction:
    """Return what all layers cost as they are, which is the first choice of each."""
    return sum((Fraction(options[0][0]) for options in choices), Fraction(0))


def _selected(selection: Selection, layers: Sequence[Options], as_is: Figures) -> Planned:
    chosen = [options[at] for options, at in zip(layers, selection.chosen, strict=True)]
    return planned_of(chosen, layers, as_is)


def planned_of(chosen: Sequence[Option], layers: Sequence[Options], as_is: Figures) -> Planned:
    """Return what the whole model comes to with one option for each layer."""
    before = [figures_of(options[0]) for options in layers]
    after = [figures_of(option) for option in chosen]

    def total(metric: Metric) -> Amount:
        changes = (new.of(metric) - old.of(metric) for old, new in zip(before, after, strict=True))
        return as_is.of(metric) + sum(changes)

    latency_s = None if as_is.latency_s is None else total("latency_s")
    by_name = {name: option for option in chosen for name in option.names}
    error = total_error([one.error for one in by_name.values()])
    return Planned(by_name, Figures(int(total("params")), int(total("macs")), latency_s), error)


# -- what is said of goals


def figure_text(metric: Metric, value: Amount) -> str:
    """Return a figure with its unit: `907.0M MACs`.

    >>> figure_text("macs", 907_036_672), figure_text("latency_s", 0.02)
    ('907.0M MACs', '20.0 ms')
    """
    if metric == "latency_s":
        return format_seconds(float(value))
    return f"{format_count(int(value))} {'MACs' if metric == 'macs' else 'params'}"


def unreachable(goal: Goal, planned: Planned) -> str:
    """Return that a goal cannot be met, with the nearest one that can."""
    end = "most" if goal.metric == SCORE else "least"
    return f"{goal.text} cannot be reached: the {end} is {planned.nearest}"


def nearest_to(goal: Goal, layers: Sequence[Options], as_is: Figures) -> Planned:
    """Return the choice of least cost, which a goal is below, and what goal it would meet."""
    metric = goal.cost_metric
    choices = _choices(layers, metric)
    both = zip(layers, choices, strict=True)
    lightest = [options[choice.index(min(choice))] for options, choice in both]
    least = planned_of(lightest, layers, as_is)
    value, whole = Fraction(least.figures.of(metric)), Fraction(as_is.of(metric))
    value = value / SAME if metric == "latency_s" else value
    share = f"{float(rounded_up(value / whole, 3)) if whole else 1:g}x"
    figure = figure_text(metric, float(rounded_up(value, 3 if metric == "latency_s" else 4)))
    nearest = f"{share} ({figure})" if goal.relative else f"{figure} ({share})"
    return least._replace(nearest=f"{nearest}, {_how(least)}")


def _how(planned: Planned) -> str:
    forms = {option.form for option in planned.chosen.values()}
    if not forms:
        return "no layer can be converted"
    if forms == {None}:
        return "the model as it is"
    if all(form is not None and form.rank == 1 for form in forms):
        return "every layer at rank 1"
    return f"{planned.converted} of {len(planned.chosen)} layers converted"


def rounded_up(value: Fraction, digits: int) -> Fraction:
    """Return the least number of so many digits that is not below a value, to be reached as a goal.

    >>> rounded_up(Fraction(6183, 10000), 3), rounded_up(Fraction(4_231_976), 4)
    (Fraction(619, 1000), Fraction(4232000, 1))
    """
    if value <= 0:
        return Fraction(0)
    unit = Fraction(10) ** (floor(log10(value)) + 1 - digits)
    return ceil(value / unit) * unit
