"""Pictures of conversions: the trade-off, its goal and what was chosen; layers before and after."""

from fractions import Fraction
from typing import Any

import pytest
from legible import assert_legible

from dscost.converting.choosing import CurvePoint
from dscost.converting.plan_file import Plan
from dscost.converting.results import Conversion, Converted, Latency, LayerOutcome, Outcome
from dscost.converting.scoring.losses import Loss
from dscost.converting.scoring.results import LayerLoss, Scored, ScorePoint, Sensitivity
from dscost.pages import View
from dscost.pages.pictures import Bars, NotDrawn, Picture, Plot, Point, Rule
from dscost.rendering import said
from dscost.rendering.drawing import svg_of
from dscost.rendering.picturing import pictures_of
from dscost.reports.figures import NOTHING, Cost

CURVE = (
    CurvePoint(1000, 1.0, 0.0, 0),
    CurvePoint(700, 0.7, 0.1, 1),
    CurvePoint(500, 0.5, 0.25, 2, is_chosen=True),
    CurvePoint(300, 0.3, 0.6, 3),
)
SCORED = Scored(
    name="accuracy",
    before=0.9,
    after=0.8,
    lost=Loss(0.1, 0.05, 0.2),
    noise=None,
    layers=(),
    curve=(
        ScorePoint(1000, 1.0, 0.9, 0),
        ScorePoint(600, 0.6, 0.8, 2, is_chosen=True),
        ScorePoint(400, 0.4, 0.3, 3),
    ),
    evaluations=3,
    from_journal=0,
    journal=None,
)


def cost_of(macs: int) -> Cost:
    return NOTHING._replace(macs=macs)


def layer(name: str, before: int, after: int | None) -> LayerOutcome:
    """Return a layer that was converted to so many MACs, or kept."""
    is_kept = after is None
    return LayerOutcome(
        name=name,
        rank=None if is_kept else 1,
        order=None if is_kept else "depthwise-first",
        reason="few channels" if is_kept else None,
        planned=True,
        error=None if is_kept else 0.5,
        calls=1,
        params_before=None,
        params_after=None,
        before=cost_of(before),
        after=cost_of(before if after is None else after),
        latency=None,
        conv=None,
    )


def converted(**further: Any) -> Converted:
    known: dict[str, Any] = {
        "target": "net",
        "source": "builtin",
        "inputs": (),
        "weights": None,
        "goal": "macs=0.5x",
        "is_met": True,
        "plan": {},
        "error": 0.25,
        "gap": 0.0,
        "before": cost_of(1000),
        "after": cost_of(500),
        "latency": None,
        "layers": (layer("stem", 100, None), layer("body", 900, 400)),
        "curve_metric": "macs",
        "curve": CURVE,
    }
    return Converted(Outcome(**{**known, **further}))


def drawn_of(result: Any) -> dict[str, Picture | NotDrawn]:
    return {one.name: one for one in pictures_of(said(result), View())}


def curve_in(result: Any) -> Plot:
    found = drawn_of(result)["curve"]
    assert isinstance(found, Plot)
    assert_legible(found)
    return found


def named(plot: Plot) -> dict[str, Point]:
    return {point.name: point for one in plot.series for point in one.points if point.name}


def the_rule(plot: Plot) -> Rule:
    (found,) = plot.rules
    return found


def test_a_trade_off_runs_from_the_cheapest_to_as_it_is_and_marks_what_was_chosen() -> None:
    plot = curve_in(converted())
    assert plot.title == "net: total error against MACs"
    line = plot.series[0]
    assert line.joined == "steps"
    assert [(point.x, point.y) for point in line.points] == [
        (300, 0.6),
        (500, 0.25),
        (700, 0.1),
        (1000, 0.0),
    ]
    assert {name: (point.x, point.y) for name, point in named(plot).items()} == {
        "as it is": (1000, 0.0),
        "chosen, 0.5×": (500, 0.25),
    }
    assert "2 layers converted" in named(plot)["chosen, 0.5×"].tells


@pytest.mark.parametrize(
    ("goal", "across"),
    [("macs=0.5x", 500.0), ("macs=0.2k", 200.0), ("error=0.3", None), ("params=0.5x", None)],
)
def test_the_goal_is_a_line_at_what_it_allows(goal: str, across: float | None) -> None:
    plot = curve_in(converted(goal=goal))
    if goal.startswith("params"):  # whose cost is not the axis
        assert plot.rules == []
        return
    (first, second) = the_rule(plot).points
    if across is None:
        assert first[1] == second[1] == 0.3
    else:
        assert first[0] == second[0] == across
        assert plot.x.includes == (across,)
    assert the_rule(plot).name == f"goal {goal}"
    assert 'stroke-dasharray="6 4"' in svg_of(plot)  # that it is drawn, not only in the legend
    assert svg_of(plot).count('stroke-dasharray="6 4"') == 2


def test_a_goal_that_was_missed_says_so() -> None:
    assert the_rule(curve_in(converted(is_met=False))).name == "goal macs=0.5x, missed"


def test_a_latency_that_was_measured_stands_beside_the_one_that_was_planned() -> None:
    curve = [one._replace(cost=Fraction(one.cost) / 10**6) for one in CURVE]
    latency = Latency(1e-3, 6e-4, is_predicted=False)
    outcome = converted(
        goal="latency_s=0.5x", curve_metric="latency_s", curve=curve, latency=latency
    )
    found = named(curve_in(outcome))
    assert found["chosen, 0.5×"].x == pytest.approx(5e-4)
    assert (found["measured"].x, found["measured"].y) == (6e-4, 0.25)
    predicted = latency._replace(is_predicted=True)
    planned = outcome._replace(outcome=outcome.outcome._replace(latency=predicted))
    assert "measured" not in named(curve_in(planned))


def test_a_score_takes_the_place_of_the_error_with_its_interval() -> None:
    plot = curve_in(converted(scored=SCORED))
    assert plot.title == "net: score by accuracy against MACs"
    chosen = named(plot)["chosen, 0.6×"]
    assert (chosen.x, chosen.y) == (600, 0.8)
    # what is lost is 0.05 to 0.2 of 0.9
    assert chosen.y_interval == pytest.approx((0.7, 0.85))
    assert named(plot)["as it is"].y == 0.9


def test_the_least_score_and_what_was_recovered_are_drawn() -> None:
    scored = SCORED._replace(target=0.85, recovered=0.88)
    plot = curve_in(converted(goal="score=0.85", scored=scored))
    assert named(plot)["recovered"].y == 0.88
    rule = the_rule(plot)
    assert rule.name == "the least to be kept, 0.85"
    assert {y for _, y in rule.points} == {0.85}


@pytest.mark.parametrize(
    ("further", "why"),
    [
        ({"goal": None, "is_met": None}, "no goal was given, so that there is no trade-off: give"),
        ({"curve": CURVE[:1]}, "no layer can be converted, so that there is no trade-off"),
    ],
)
def test_what_has_no_trade_off_says_what_has_one(further: dict[str, Any], why: str) -> None:
    found = drawn_of(converted(**further))["curve"]
    assert isinstance(found, NotDrawn)
    assert found.why.startswith(why)


def test_layers_are_bars_before_and_after_in_the_order_of_the_model() -> None:
    bars = drawn_of(converted())["layers"]
    assert isinstance(bars, Bars)
    assert_legible(bars)
    assert [(bar.name, bar.values) for bar in bars.bars] == [
        ("stem", [100, None]),
        ("body", [900, 400]),
    ]
    assert [list(bar.texts) for bar in bars.bars] == [["100", "kept"], ["900", "400"]]
    assert "1 of 2 convolutions converted: 1,000 → 500 MACs." in bars.told
    assert bars.bars[0].tells.endswith("is kept as it is: few channels.")
    assert "2.25× fewer" in bars.bars[1].tells


def test_of_many_layers_the_largest_thirty_are_drawn_and_the_others_summed() -> None:
    layers = tuple(layer(f"l{at}", at, at // 2) for at in range(1, 41))
    bars = drawn_of(converted(layers=layers))["layers"]
    assert isinstance(bars, Bars)
    assert_legible(bars)
    assert [bar.name for bar in bars.bars] == [f"l{at}" for at in range(11, 41)]
    # 1 + … + 10, and their halves rounded down
    assert bars.notes == ["10 smaller convolutions: 55 → 25 MACs."]


def test_convolutions_that_never_ran_are_counted_and_not_taken_for_free() -> None:
    unseen = layer("unseen", 100, 50)._replace(calls=None, before=None, after=None)
    bars = drawn_of(converted(layers=(layer("a", 10, 5), unseen)))["layers"]
    assert isinstance(bars, Bars)
    assert [bar.name for bar in bars.bars] == ["a"]
    assert bars.notes == ["1 convolution more: the cost is not known."]


def test_a_module_that_was_converted_has_its_layers_alone() -> None:
    found = drawn_of(Conversion(object(), "svd", (layer("a", 10, 5),)))
    assert isinstance(found["curve"], NotDrawn)
    assert isinstance(found["layers"], Bars)


def test_a_plan_that_was_scored_has_its_scores_and_another_says_what_has() -> None:
    plan = Plan({"conv": 1}, target="net", goal="macs=0.6x", scored=SCORED)
    plot = curve_in(plan)
    assert named(plot)["chosen, 0.6×"].y == 0.8
    assert the_rule(plot).points[0][0] == 600
    found = drawn_of(Plan({"conv": 1}))["curve"]
    assert isinstance(found, NotDrawn)
    assert "dscost convert TARGET --goal" in found.why


def lost(name: str, loss: float, verdict: Any, order: Any = "depthwise-first") -> LayerLoss:
    return LayerLoss(name, 1, order, loss, loss - 0.01, loss + 0.02, verdict, 0.5, 100, 30)


def test_a_sensitivity_is_loss_against_saving_layer_by_layer() -> None:
    layers = (
        lost("a", 0.0, "safe"),
        lost("b", 0.2, "costly"),
        lost("b", 0.1, "costly", "pointwise-first"),
        lost("c", 0.0, "safe")._replace(rank=2),
    )
    plot = curve_in(Sensitivity("net", "accuracy", 0.9, layers))
    assert [one.name for one in plot.series] == ["safe", "costly"]
    (safe,), (costly,) = (one.points for one in plot.series)
    assert (safe.name, safe.x, safe.y, safe.y_interval) == ("a", 70, 0.0, (-0.01, 0.02))
    assert (costly.name, costly.y) == ("b", 0.1)  # in the order that loses less
    assert "The largest loss: b:" in plot.told
    nothing = drawn_of(Sensitivity("net", "accuracy", 0.9, ()))["curve"]
    assert isinstance(nothing, NotDrawn)


def test_a_hostile_name_of_a_layer_is_cut_and_escaped() -> None:
    hostile = "<b>&\"'\n‮" + "x" * 10_000
    timed = layer(hostile, 100, 50)._replace(latency=Latency(2e-3, 1e-3, False))
    outcome = converted(target=hostile, layers=(timed,))
    for one in drawn_of(outcome).values():
        assert not isinstance(one, NotDrawn)
        svg = assert_legible(one)
        assert "‮" not in svg
        assert "<b>" not in svg
        assert len(svg) < 10_000


def test_times_before_and_after_stand_first_where_layers_were_timed() -> None:
    layers = (
        layer("stem", 100, None)._replace(latency=Latency(2e-3, 2e-3, False)),
        layer("body", 900, 400)._replace(latency=Latency(6e-3, 3e-3, False)),
        layer("head", 900, 400)._replace(latency=Latency(4e-3, 1e-3, True)),
        layer("tail", 900, 400),
    )
    result = converted(goal=None, curve=(), latency=Latency(9e-3, 5e-3, False), layers=layers)
    names = [one.name for one in pictures_of(said(result), View())]
    assert names == ["times", "curve", "layers"]
    bars = drawn_of(result)["times"]
    assert isinstance(bars, Bars)
    svg = assert_legible(bars)
    assert [(bar.name, bar.values) for bar in bars.bars] == [
        ("stem", [2e-3, None]),
        ("body", [6e-3, 3e-3]),
        ("head", [4e-3, 1e-3]),
    ]
    assert "12.0 ms → 6.00 ms in all" in bars.told
    assert bars.bars[2].texts == ["4.00 ms", "1.00 ms (predicted)"]
    assert "marked as predicted" in svg
    untimed = drawn_of(converted())
    assert list(untimed) == ["curve", "layers", "times"]
    assert isinstance(untimed["times"], NotDrawn)
    assert "give --goal latency_s=0.8x or --fastest" in untimed["times"].why


def test_of_many_times_the_longest_are_drawn_and_the_others_counted() -> None:
    layers = tuple(
        layer(f"conv{at}", 900, 400)._replace(latency=Latency(at * 1e-3, 1e-3, False))
        for at in range(1, 36)
    )
    bars = drawn_of(converted(layers=layers))["times"]
    assert isinstance(bars, Bars)
    assert_legible(bars)
    assert [bar.name for bar in bars.bars] == [f"conv{at}" for at in range(6, 36)]
    assert bars.notes == ["5 shorter convolutions left out."]
