"""A speedup as people say it: one word, one factor, an interval in the same direction."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from properties import law

from dscost.pages.wording import format_speedup
from dscost.reports.records import Speedup


@pytest.mark.parametrize(
    ("median", "interval", "floor", "said"),
    [
        (3.6, (3.5, 3.7), 0.03, "3.6× faster [3.5, 3.7]"),
        (0.119, (0.0930, 0.153), 0.03, "8.4× slower [6.5, 10.8]"),  # 1/0.119, 1/0.153, 1/0.093
        (1.25, (1.2, 1.3), 0.03, "1.25× faster [1.20, 1.30]"),
        (0.8, (0.79, 0.81), 0.03, "1.25× slower [1.23, 1.27]"),
        (131.04, (128.2, 134.9), 0.03, "131× faster [128, 135]"),
        (5.0, (4.98, 5.02), 0.03, "5.00× faster [4.98, 5.02]"),
        (1.01, (0.97, 1.03), 0.05, "no difference [0.97, 1.03]"),
        (1.02, (0.97, 1.06), 0.03, "1.02× [0.97, 1.06]"),
        (0.93, (0.81, 1.05), 0.03, "0.93× [0.81, 1.05]"),
        (1.4, (1.3, 1.5), 0.53, "1.40× [1.30, 1.50]"),  # less than the machine was off by
        (4.47, (0.163, 122.0), 0.03, "cannot tell"),
        (4.0, (2.0, 6.1), 0.03, "cannot tell"),  # surely faster, but from 2 to 6 is no answer
        (0.2, (0.1, 0.31), 0.03, "cannot tell"),
        (1.0, (0.0, 2.0), 0.03, "cannot tell"),
    ],
)
def test_a_speedup_is_said_as_people_say_it(
    median: float, interval: tuple[float, float], floor: float, said: str
) -> None:
    assert format_speedup(Speedup(median, interval, floor)) == said


def test_a_speedup_that_was_not_measured_is_unknown() -> None:
    assert format_speedup(None) == "–"


@pytest.mark.parametrize(
    ("interval", "verdict"),
    [((2.0, 6.0), "faster"), ((2.0, 6.01), "unclear"), ((0.1, 0.31), "unclear")],
)
def test_an_interval_wider_than_three_times_is_no_verdict(
    interval: tuple[float, float], verdict: str
) -> None:
    low, high = interval
    assert Speedup((low + high) / 2, interval).verdict == verdict


@law
@given(st.floats(0.01, 200.0), st.floats(1.0, 2.0), st.floats(1.0, 2.0), st.floats(0.0, 0.6))
def test_what_is_said_agrees_with_the_verdict_and_with_itself(
    median: float, below: float, above: float, floor: float
) -> None:
    speedup = Speedup(median, (median / below, median * above), floor)
    said, verdict = format_speedup(speedup), speedup.verdict
    figures = [float(figure) for figure in re.findall(r"[\d.]+", said)]
    if said == "cannot tell":
        assert verdict == "unclear"
        assert below * above > 2.999
        return
    word = {"same": "no difference", "unclear": ""}.get(verdict, verdict)
    assert word in said
    assert ("×" in said) == (verdict != "same")
    factor, low, high = figures if verdict != "same" else (figures[0], *figures)
    assert low <= factor <= high
    if verdict in ("faster", "slower"):
        assert low >= 1
    true = 1 / median if verdict == "slower" else median
    assert verdict == "same" or factor == pytest.approx(true, rel=0.05, abs=0.006)
