from fractions import Fraction
from math import sqrt

import pytest

from dscost.converting.choosing import (
    Figures,
    Option,
    applied,
    meets,
    parse_goal,
    reached,
    total_error,
    trade_off,
    unreachable,
)
from dscost.converting.knapsack import Selection
from dscost.converting.plan_file import KEEP, Decision
from dscost.errors import InputError

# two layers of 1000 and 800 MACs in a model of 2000; rank 1 costs a tenth of the first, a quarter of the second
FIRST = (
    Option(("a",), KEEP, 0.0, 500, 1000, 8e-3),
    Option(("a",), 1, 0.6, 50, 100, 4e-3),
    Option(("a",), 2, 0.2, 100, 200, 6e-3),
)
SECOND = (Option(("b",), KEEP, 0.0, 80, 800, 2e-3), Option(("b",), 1, 0.8, 20, 200, 3e-3))
LAYERS = (FIRST, SECOND)
AS_IS = Figures(params=1000, macs=2000, latency_s=12e-3)


@pytest.mark.parametrize(
    ("text", "metric", "value", "relative"),
    [
        ("macs=0.5x", "macs", Fraction(1, 2), True),
        ("macs = 0.5×", "macs", Fraction(1, 2), True),
        (" error = 0.3 ", "error", Fraction(3, 10), False),
        ("params=60%", "params", Fraction(3, 5), True),
        ("params=4M", "params", Fraction(4_000_000), False),
        ("macs=900_000", "macs", Fraction(900_000), False),
        ("latency_s=20ms", "latency_s", Fraction(1, 50), False),
        ("latency_s=0.8x", "latency_s", Fraction(4, 5), True),
        ("error=0.3", "error", Fraction(3, 10), False),
        ("error=30%", "error", Fraction(3, 10), False),
    ],
)
def test_goals_are_read_exactly(text: str, metric: str, value: Fraction, relative: bool) -> None:
    goal = parse_goal(text)
    assert (goal.metric, goal.value, goal.relative, goal.text) == (
        metric,
        value,
        relative,
        text.strip(),
    )


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("macs", "goal: expected something like macs=0.5x"),
        ("mac=1M", r"unknown goal 'mac' \(did you mean 'macs'\?\)"),
        ("macs=", "goal macs: expected a quantity such as 600M"),
        ("macs=half", "goal macs: expected a quantity such as 600M"),
        ("macs=-1x", "goal macs: expected a quantity"),
        (
            "latency_s=20",
            "goal latency_s: expected a quantity such as 12 ms, found '20': it lacks a unit",
        ),
        ("error=1.5", "goal error: expected a number from 0 to 1 such as 0.3, found '1.5'"),
        ("error=0.5x", "goal error: expected a number from 0 to 1"),
        ("macs=0.5", "goal macs: 0.5 is less than one: a share of what it is now is written 0.5x"),
        ("params=4 MiB", "goal params: .*unknown unit 'MiB'"),
    ],
)
def test_what_is_no_goal_says_what_would_be(text: str, said: str) -> None:
    with pytest.raises(InputError, match=said):
        parse_goal(text)


def test_the_total_error_is_the_root_of_the_mean_square() -> None:
    assert total_error([0.6, 0.0]) == pytest.approx(0.6 / sqrt(2))
    assert total_error([1.0, 1.0, 1.0]) == 1.0
    assert total_error([]) == 0.0


@pytest.mark.parametrize(
    ("goal", "decisions", "macs"),
    [
        ("macs=2000", {"a": KEEP, "b": KEEP}, 2000),
        ("macs=1x", {"a": KEEP, "b": KEEP}, 2000),
        ("macs=1999", {"a": 2, "b": KEEP}, 1200),
        ("macs=0.6x", {"a": 2, "b": KEEP}, 1200),
        ("macs=1199", {"a": 1, "b": KEEP}, 1100),
        ("macs=1000", {"a": 2, "b": 1}, 600),
        ("macs=0.25x", {"a": 1, "b": 1}, 500),
        ("params=0.6x", {"a": 2, "b": KEEP}, 1200),
        ("params=550", {"a": 1, "b": KEEP}, 1100),
        ("latency_s=12ms", {"a": KEEP, "b": KEEP}, 2000),
        ("latency_s=10ms", {"a": 2, "b": KEEP}, 1200),
        ("latency_s=0.7x", {"a": 1, "b": KEEP}, 1100),
        ("error=0", {"a": KEEP, "b": KEEP}, 2000),
        ("error=0.2", {"a": 2, "b": KEEP}, 1200),  # 0.2 / √2 = 0.14; rank 1 would be 0.42
        ("error=0.43", {"a": 1, "b": KEEP}, 1100),
        ("error=0.6", {"a": 2, "b": 1}, 600),  # √((0.04 + 0.64) / 2) = 0.583
        ("error=1", {"a": 1, "b": 1}, 500),
    ],
)
def test_goals_are_reached_with_the_least_error(
    goal: str, decisions: dict[str, object], macs: int
) -> None:
    planned = reached(parse_goal(goal), LAYERS, AS_IS)
    assert planned.decisions == decisions
    assert planned.figures.macs == macs
    assert planned.gap == 0


@pytest.mark.parametrize("metric", ["macs", "params", "latency_s", "error"])
@pytest.mark.parametrize("at", [{"a": 1}, {"a": 2}, {"a": 2, "b": 1}, {"a": 1, "b": 1}], ids=str)
def test_what_a_plan_comes_to_can_be_its_goal_and_is_met(metric: str, at: dict[str, int]) -> None:
    planned = applied(at, LAYERS, AS_IS)
    figure = planned.error if metric == "error" else planned.figures.of(metric)  # type: ignore[arg-type]
    goal = parse_goal(f"{metric}={figure!r}{' s' if metric == 'latency_s' else ''}")
    assert meets(goal, planned.figures, AS_IS, planned.error)
    best = reached(goal, LAYERS, AS_IS)
    assert meets(goal, best.figures, AS_IS, best.error)
    if metric == "error":
        assert best.figures.macs <= planned.figures.macs
    else:
        assert best.error <= planned.error
    below = goal._replace(value=goal.value * Fraction(999, 1000))
    assert not meets(below, planned.figures, AS_IS, planned.error)


def test_a_count_is_met_to_the_last_one() -> None:
    at = applied({"a": 2}, LAYERS, AS_IS).figures  # 600 params
    assert meets(parse_goal("params=600"), at, AS_IS, 0.1)
    assert not meets(parse_goal("params=599"), at, AS_IS, 0.1)
    assert reached(parse_goal("params=600"), LAYERS, AS_IS).figures.params == 600
    assert reached(parse_goal("params=599"), LAYERS, AS_IS).figures.params == 550


def test_what_a_plan_comes_to_is_what_its_layers_save() -> None:
    planned = applied({"a": 2, "b": 9}, LAYERS, AS_IS)
    assert planned.decisions == {"a": 2, "b": 1}  # the largest rank of b is 1
    assert planned.figures.params == 1000 - 400 - 60
    assert planned.figures.macs == 2000 - 800 - 600
    assert planned.figures.latency_s == pytest.approx(12e-3 - 2e-3 + 1e-3)
    assert planned.error == pytest.approx(sqrt((0.2**2 + 0.8**2) / 2))
    assert applied({}, LAYERS, AS_IS).figures == AS_IS


@pytest.mark.parametrize(
    ("goal", "decisions", "said"),
    [
        (
            "macs=0.2x",
            {"a": 1, "b": 1},
            "macs=0.2x cannot be reached: the least is 0.25x (500 MACs), every layer at rank 1",
        ),
        (
            "params=400",
            {"a": 1, "b": 1},
            "params=400 cannot be reached: the least is 490 params (0.49x), every layer at rank 1",
        ),
        (
            "latency_s=7ms",
            {"a": 1, "b": KEEP},
            "latency_s=7ms cannot be reached: the least is 8.00 ms (0.667x), 1 of 2 layers converted",
        ),
    ],
)
def test_a_goal_out_of_reach_comes_with_the_nearest_plan(
    goal: str, decisions: dict[str, Decision], said: str
) -> None:
    planned = reached(parse_goal(goal), LAYERS, AS_IS)
    assert unreachable(parse_goal(goal), planned) == said
    assert planned.decisions == decisions


def test_the_nearest_goal_can_be_reached_though_it_is_rounded() -> None:
    layers = ((Option(("a",), KEEP, 0.0, 1, 900_000), Option(("a",), 1, 0.5, 1, 123_456)),)
    as_is = Figures(1, 1_000_000)
    nearest = reached(parse_goal("macs=0.1x"), layers, as_is).nearest
    assert nearest == "0.224x (223.5k MACs), every layer at rank 1"
    for goal in ("macs=0.224x", "macs=223.5k"):
        assert reached(parse_goal(goal), layers, as_is).figures.macs == 223_456


def test_a_model_without_layers_to_convert_reaches_only_what_it_is() -> None:
    assert reached(parse_goal("macs=1x"), (), AS_IS).figures == AS_IS
    nearest = reached(parse_goal("macs=0.9x"), (), AS_IS)
    assert (nearest.decisions, nearest.figures) == ({}, AS_IS)
    assert nearest.nearest == "1x (2,000 MACs), no layer can be converted"


def test_a_goal_is_tightened_by_what_the_clock_took_more() -> None:
    assert parse_goal("latency_s=0.6x").tightened(0.5) == (
        "latency_s",
        Fraction(3, 10),
        True,
        "latency_s=0.3x",
    )
    assert parse_goal("latency_s=20ms").tightened(0.75).text == "latency_s=15.0 ms"
    assert parse_goal(parse_goal("latency_s=20ms").tightened(0.75).text).value == Fraction(3, 200)


def test_the_trade_off_runs_from_the_model_as_it_is_to_the_least_cost() -> None:
    curve = trade_off(LAYERS, AS_IS, "macs")
    assert (curve[0].cost, curve[0].share, curve[0].error, curve[0].converted) == (
        2000,
        1.0,
        0.0,
        0,
    )
    assert (curve[-1].cost, curve[-1].share, curve[-1].converted) == (500, 0.25, 2)
    costs, errors = [point.cost for point in curve], [point.error for point in curve]
    assert costs == sorted(set(costs), reverse=True)
    assert errors == sorted(set(errors))
    assert not any(point.is_chosen for point in curve)


def test_the_goal_is_marked_on_the_curve_once() -> None:
    for goal in ("macs=0.6x", "macs=0.55x", "macs=1x"):
        planned = reached(parse_goal(goal), LAYERS, AS_IS)
        marked = [
            point
            for point in trade_off(LAYERS, AS_IS, "macs", planned)
            if point.cost == planned.figures.macs
        ]
        assert [point.is_chosen for point in marked] == [True]


def test_a_curve_of_nothing_is_one_point() -> None:
    (point,) = trade_off((), AS_IS, "params")
    assert (point.cost, point.error, point.converted) == (1000, 0.0, 0)


def test_layers_that_share_their_weights_share_their_fate_and_count_one_by_one() -> None:
    together = (Option(("a", "b"), KEEP, 0.0, 500, 1500), Option(("a", "b"), 1, 0.6, 50, 150))
    alone = (Option(("c",), KEEP, 0.0, 500, 1000), Option(("c",), 1, 0.7, 50, 100))
    planned = reached(parse_goal("params=550"), (together, alone), Figures(1000, 2500))
    # 0.7² is more than 0.6² but less than twice that
    assert planned.decisions == {"a": KEEP, "b": KEEP, "c": 1}
    assert planned.error == pytest.approx(0.7 / sqrt(3))
    assert reached(parse_goal("error=0.5"), (together, alone), Figures(1000, 2500)).decisions == {
        "a": 1,
        "b": 1,
        "c": KEEP,
    }  # √(2 · 0.36 / 3) = 0.49; all three would be 0.63


def test_how_far_the_least_error_may_be_is_told_of_the_total_error(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # a sum of squares of 0.36 where 0.16 may be the least
    found = Selection(chosen=(1, 0), cost=900, error=0.36, gap=0.2)
    monkeypatch.setattr("dscost.converting.choosing.least_error", lambda *_: found)
    planned = reached(parse_goal("macs=0.6x"), LAYERS, AS_IS)
    assert planned.error == pytest.approx(sqrt(0.36 / 2))
    assert planned.gap == pytest.approx(sqrt(0.36 / 2) - sqrt(0.16 / 2))
