"""Pictures of budgets: every figure in shares of its limit, those beyond it first and marked."""

import re
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from legible import assert_legible, boxes_of
from program import run

import dscost
from dscost.budgets.findings import CheckResult, CheckResults, Finding, Passed, Ratio, Subject
from dscost.budgets.records import Entry
from dscost.pages import View
from dscost.pages.pictures import Bar, Bars, NotDrawn
from dscost.rendering import said
from dscost.rendering.drawing import svg_of
from dscost.rendering.picturing import pictures_of

BRIEF = View(brief=True)


def broken(entry: str, value: int, limit: int, kind: str = "over_max", **more: Any) -> Finding:
    known: dict[str, Any] = {"metric": "params", "level": "error", "line": 1, "column": 1, **more}
    return Finding(kind, entry=entry, value=Fraction(value), limit=Fraction(limit), **known)


def held(entry: str, value: int, limit: int, bound: str = "max", **more: Any) -> Passed:
    known: dict[str, Any] = {"metric": "params", **more}
    return Passed(entry, bound=bound, value=Fraction(value), limit=Fraction(limit), **known)


def result_of(*said_of: Finding | Passed, subjects: tuple[Subject, ...] = ()) -> CheckResult:
    return CheckResult(
        Path("dscost.yaml"),
        tuple(one for one in said_of if isinstance(one, Finding)),
        tuple(one for one in said_of if isinstance(one, Passed)),
        subjects,
    )


def drawn(result: CheckResult | CheckResults, view: View = BRIEF) -> list[Bars | NotDrawn]:
    found = pictures_of(said(result), view)
    assert all(isinstance(one, Bars | NotDrawn) for one in found)
    return found  # type: ignore[return-value]


def bars_of(*said_of: Finding | Passed) -> Bars:
    (found,) = drawn(result_of(*said_of))
    assert isinstance(found, Bars)
    assert_legible(found)
    return found


def the_bar(*said_of: Finding | Passed) -> Bar:
    (found,) = bars_of(*said_of).bars
    return found


def test_figures_are_shares_of_their_limits_those_beyond_them_first() -> None:
    bars = bars_of(
        held("a", 500, 1000),
        held("b", 900, 1000),
        broken("c", 1200, 1000),
        broken("d", 1500, 1000),
    )
    assert [(bar.name, bar.values) for bar in bars.bars] == [
        ("✗ d: params", [1.5]),
        ("✗ c: params", [1.2]),
        ("b: params", [0.9]),
        ("a: params", [0.5]),
    ]
    assert [bar.is_bad for bar in bars.bars] == [True, True, False, False]
    assert bars.limits == [1.0] * 4
    assert bars.series == ["now"]  # of none is known what it was
    assert ">now<" in svg_of(bars)
    assert bars.bars[0].texts == ["1,500 of 1,000, 50.0 % over"]
    assert "The furthest: d: params: 1,500 of 1,000" in bars.told


def test_what_it_was_stands_beside_what_it_is() -> None:
    bars = bars_of(broken("a", 1200, 1010, "grew", before=Fraction(1000)), held("b", 10, 20))
    assert bars.series == ["now", "baseline"]
    assert bars.bars[0].values == [pytest.approx(1200 / 1010), pytest.approx(1000 / 1010)]
    assert bars.bars[0].texts[1] == "1,000"
    assert "+20.0 % from the baseline" in bars.bars[0].tells
    assert bars.bars[1].values == [0.5, None]
    assert bars.bars[1].texts[1] == "–"  # unknown, and not 0


def test_of_several_limits_of_a_figure_that_which_presses_most_counts() -> None:
    both = held("a", 900, 1000), broken("a", 900, 808, "grew", before=Fraction(800))
    bar = the_bar(*both)
    assert bar.name.startswith("✗ ")
    assert bar.values == [pytest.approx(900 / 808), pytest.approx(800 / 808)]
    assert the_bar(held("a", 900, 1000), held("a", 900, 950)).values == [pytest.approx(900 / 950)]


def test_a_least_is_to_be_reached_and_says_so() -> None:
    bars = bars_of(broken("a", 500, 1000, "under_min"), held("b", 1100, 1000, "min"))
    assert [bar.name for bar in bars.bars] == ["✗ a: params, least", "b: params, least"]
    assert bars.bars[0].texts == ["500 of 1,000, 50.0 % short"]
    assert bars.bars[1].values == [1.1]
    assert "least = a figure that is to be at least 100 % of its limit." in bars.notes


def test_of_two_that_fall_short_the_further_one_is_first() -> None:
    bars = bars_of(broken("a", 500, 1000, "under_min"), broken("b", 100, 1000, "under_min"))
    assert [bar.name for bar in bars.bars] == ["✗ b: params, least", "✗ a: params, least"]


def ratio_of(value: str, low: str, high: str) -> Ratio:
    ends = (Fraction(one) for one in (value, low, high, "0.03"))
    return Ratio(*ends, "standard over depthwise-separable", "torch 2.13", 1)


def test_a_measured_ratio_has_its_interval_and_may_be_undecided() -> None:
    measured = ratio_of("2.1", "1.9", "2.3")
    finding = Finding("undecided", "note", "a", 1, 1, metric="speedup", value=measured.value,
                      limit=Fraction(2), measured=measured)  # fmt: skip
    bar = the_bar(finding)
    assert bar.name == "? a: speedup, least"
    assert bar.values == [pytest.approx(1.05)]
    assert bar.intervals == [pytest.approx((0.95, 1.15))]
    assert bar.texts == ["2.10× [1.90, 2.30] of 2×"]
    assert not bar.is_bad
    assert bar.tells.endswith("not decided.")


def test_a_limit_of_nothing_has_no_share_and_huge_figures_end_in_time() -> None:
    bars = bars_of(broken("a", 5, 0), broken("b", 10**12, 1), held("c", 0, 0))
    assert [(bar.name, bar.values) for bar in bars.bars] == [
        ("✗ a: params", [None]),
        ("✗ b: params", [3.0]),
        ("c: params", [None]),
    ]
    assert bars.bars[0].texts == ["5 of 0, 5 over"]
    assert bars.limits == [None, 1.0, None]
    assert [bar.is_endless for bar in bars.bars] == [True, False, False]
    assert "Bars end at 300 % of the limit." in bars.notes
    assert bars.bars[1].texts == ["1.00T of 1, 1.00T over"]


def test_a_ban_that_is_broken_is_drawn_as_the_longest_of_all() -> None:
    bars = bars_of(broken("a", 5, 0), held("b", 900, 1000), held("c", 0, 0))
    svg = svg_of(bars).partition("</desc>")[2]
    rects = r'<rect x="([\d.]+)" y="[\d.]+" width="([\d.]+)" height="11" fill="#\w+" class="f-%s"'
    shown = [float(width) for _, width in re.findall(rects % "(?:bad|s0)", svg) if width != "18"]
    assert len(shown) == 2  # nothing of what is banned is no bar
    assert shown[0] > shown[1] / 0.9  # it goes beyond 100 %
    assert ">beyond any share<" in svg
    assert "A bar that is broken off is of a limit of 0, and beyond any share of it." in bars.notes
    assert ">beyond any share<" not in svg_of(bars_of(held("c", 0, 0)))


def test_texts_stand_clear_of_the_mark_of_a_limit() -> None:
    svg = svg_of(bars_of(held("a", 985, 1000), held("b", 1000, 1000), held("c", 700, 1000)))
    marks = re.findall(
        r'd="M([\d.]+) [\d.]+L\1 [\d.]+" fill="none" stroke="#\w+" class="l-ink"', svg
    )
    (limit,) = {float(x) for x in marks} - {float(marks[0])}  # that of the legend is first
    texts = [(box[0], box[2]) for text, box in boxes_of(svg) if re.match(r"[\d,]+ of ", text)]
    assert len(texts) == 3
    assert all(right < limit - 1 or left > limit + 1 for left, right in texts)


def test_thirty_figures_are_drawn_and_the_others_counted() -> None:
    bars = bars_of(
        *(broken(f"x{at}", 2000 + at, 1000) for at in range(31)),
        *(held(f"m{at}", at, 1000) for at in range(5)),
    )
    assert len(bars.bars) == 30
    assert bars.bars[0].name == "✗ x30: params"
    assert "1 figure more: beyond their limits." in bars.notes
    assert "5 figures more: within their limits." in bars.notes


def test_layers_of_one_model_are_named_without_it() -> None:
    layer = broken("net", 2, 1, layer="stem.conv")
    assert the_bar(layer).name == "✗ stem.conv: params"
    both = bars_of(layer, held("other", 1, 2))
    assert [bar.name for bar in both.bars] == ["✗ net: stem.conv: params", "other: params"]


def test_long_names_are_shortened_so_that_they_are_told_apart() -> None:
    start, end = "a_very_long_name_of_a_model[width=", "]: features.conv.of.some.long.block"
    svg = svg_of(bars_of(*(broken(f"{start}{at}{end}", 2, 1) for at in range(3))))
    named = re.findall(r">(✗ [^<]*: params)<", svg)
    assert len(set(named)) == 3
    assert all(f"={at}]" in "".join(named) for at in range(3))


def test_a_warning_is_marked_as_one_and_as_an_error_where_it_is_one() -> None:
    warned = broken("a", 2, 1, level="warn")
    assert the_bar(warned).name == "! a: params"
    assert "! = beyond its limit, a warning." in bars_of(warned).notes
    assert (the_bar(warned).is_bad, the_bar(warned).is_warned) == (False, True)
    (strict,) = drawn(result_of(warned)._replace(strict=True))
    assert isinstance(strict, Bars)
    assert strict.bars[0].name == "✗ a: params"
    assert (strict.bars[0].is_bad, strict.bars[0].is_warned) == (True, False)


def test_what_is_now_and_errors_and_warnings_are_told_apart_in_grey() -> None:
    """Each has strokes of its own over its bar; what is within its limit has none."""
    svg = svg_of(bars_of(broken("a", 2, 1), broken("b", 2, 1, level="warn"), held("c", 1, 2)))
    area = (
        r'<rect [^>]*width="(?!18")[^>]* height="11" fill="#\w+" class="f-(\w+)" ?/>(<path [^>]*>)?'
    )
    strokes = {
        kind: re.findall(r'l-ground" stroke-width="([\d.]+)"(?: stroke-dasharray="([^"]+)")?', path)
        for kind, path in re.findall(area, svg)
    }
    assert strokes.keys() == {"bad", "warned", "s0"}
    assert not strokes["s0"]
    assert strokes["bad"] != strokes["warned"]
    assert strokes["bad"]
    assert strokes["warned"]


def test_what_could_not_be_judged_is_named() -> None:
    gone = Finding("unloadable_model", "fail", "gone", 1, 1, detail="no such file")
    bars = bars_of(gone, held("a", 1, 2))
    assert "Could not be judged: gone. dscost check says why." in bars.notes
    subject = Subject(Entry("gone", "gone.py:Net"), None, "no such file")
    (nothing,) = drawn(result_of(gone, subjects=(subject,)))
    assert nothing == NotDrawn("growth", "no model could be judged: dscost check says why")
    (unlimited,) = drawn(result_of())
    assert unlimited == NotDrawn("growth", "no figure is limited: give the budget limits")


def test_every_budget_has_a_picture_of_its_own() -> None:
    both = CheckResults((result_of(held("a", 1, 2)), result_of(held("b", 1, 4))))
    assert [one.name for one in drawn(both)] == ["growth", "growth-2"]


def test_a_hostile_name_changes_no_markup() -> None:
    hostile = "<b>&\"'\n‮" + "x" * 10_000
    svg = svg_of(bars_of(broken(hostile, 2, 1, layer=hostile)))
    assert "<b>" not in svg
    assert "‮" not in svg
    assert len(svg) < 10_000


BUDGET = """\
version: 1
baseline: kept.json
models:
  - {name: net, target: net.yaml, limits: {params: {max_increase: 1%}, macs: 1M}}
"""


def network(width: int) -> None:
    Path("net.yaml").write_text(
        f"input: [3, 8, 8]\nlayers: [{{conv: 3, out_channels: {width}, bias: false, name: a}}]\n"
    )


def test_a_real_budget_is_drawn_within_and_beyond_its_limits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DSCOST_CONFIG", raising=False)
    network(100)
    Path("dscost.yaml").write_text(BUDGET)
    dscost.save_baseline()
    ran = run("check", "-q", "--plot", "growth=g.svg")
    assert (ran.returncode, ran.stdout) == (0, "")
    svg = Path("g.svg").read_text()
    assert "✗" not in svg
    # 3·9·100 params, of which 1 % more pass; 64 times as many MACs, of a million
    assert "2,700 of 2,727" in svg
    assert "173k of 1.00M" in svg
    network(110)
    ran = run("check", "-q", "--plot", "growth=g.svg")
    assert ran.returncode == 1
    svg = Path("g.svg").read_text()
    assert "✗ net: params" in svg
    assert "2,970 of 2,727, 8.9 % over" in svg
