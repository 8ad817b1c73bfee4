"""Which visits of a case count, what they say together, and which cases are visited once more."""

from math import exp, log, sqrt
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from properties import law
from visits import HERE, USUAL_S, near, visit

from dscost.reports.records import Speedup
from dscost.sweeping.pooling import MOST_VISITS, Levels, drifts_of, due_again, pooled
from dscost.sweeping.records import Visit

Cases = dict[str, tuple[Visit, ...]]

STEADY: Cases = {f"s{number}": (visit(f"s{number}"),) for number in range(12)}
"""Cases during which the reference layer took what it usually does."""


def levels_of(cases: Cases) -> Levels:
    return Levels(one for of_case in cases.values() for one in of_case)


# -- what the reference layer usually takes


def test_the_level_is_the_median_of_all_visits_on_a_machine() -> None:
    over = [1.0, 1.5, 0.9, 1.02, 1.0]
    levels = Levels([visit(str(number), over=one) for number, one in enumerate(over)])
    assert levels.usual_s(HERE) == USUAL_S
    assert levels.over(visit("x", over=1.5)) == pytest.approx(1.5)


def test_machines_of_one_kind_have_levels_of_their_own_but_one_latency() -> None:
    other = HERE._replace(host="b")
    levels = Levels([visit("1"), visit("2"), visit("3"), visit("4", over=2.0, where=other)])
    assert levels.off(visit("4", over=2.0, where=other)) == 0
    assert levels.usual_s(other) == levels.usual_s(HERE) == USUAL_S


def test_other_places_do_not_count() -> None:
    other = HERE._replace(runtime="onnxruntime")
    levels = Levels([visit("1"), visit("2", over=0.5, where=other)])
    assert (levels.usual_s(HERE), levels.usual_s(other)) == (USUAL_S, USUAL_S / 2)


@pytest.mark.parametrize(
    ("over", "moved", "off"),
    [(1.0, 0.0, 0.0), (1.25, 0.0, 0.25), (0.8, 0.0, 0.25), (1.01, 0.1, 0.1), (1.3, 0.1, 0.3)],
)
def test_a_visit_is_off_by_its_level_or_by_what_moved_within(
    over: float, moved: float, off: float
) -> None:
    levels = levels_of(STEADY)
    assert levels.off(visit("x", over=over, moved=moved)) == pytest.approx(off)
    assert levels.is_steady(visit("x", over=over, moved=moved)) == (off <= 0.03)


def test_steady_visits_count_and_else_all() -> None:
    levels = levels_of(STEADY)
    good, also, off, worse = (visit("x", over=over) for over in (1.0, 0.99, 1.1, 0.5))
    assert levels.counting([worse, good, off, also]) == [good, also]
    assert levels.counting([worse, off]) == [worse, off]
    assert levels.counting([]) == []


def test_a_visit_in_which_nothing_was_timed_says_nothing() -> None:
    nothing = visit("x", {}, over=0.0)
    levels = levels_of({**STEADY, "x": (nothing,)})
    assert levels.usual_s(HERE) == USUAL_S
    assert levels.counting([nothing]) == []
    off = visit("x", over=1.2)
    assert levels.counting([nothing, off]) == [off]


# -- what is visited once more


def test_where_all_is_steady_nothing_is_done_again() -> None:
    assert due_again(STEADY) == []


def test_what_was_never_steady_is_done_again_the_least_steady_first() -> None:
    cases = {
        **STEADY,
        "a": (visit("a", over=1.05),),
        "b": (visit("b", moved=0.5),),
        "c": (visit("c", over=0.9),),
        "d": (visit("d", over=1.5), visit("d")),  # once was good
    }
    assert due_again(cases) == ["b", "c", "a"]


def test_what_contradicts_its_neighbours_goes_before_all_others() -> None:
    cases = {**STEADY, "a": (visit("a", over=1.5),)}
    assert due_again(cases, {"s3", "elsewhere"}) == ["s3", "a"]


def test_a_case_has_three_visits_at_most() -> None:
    off = visit("a", over=1.5)
    assert due_again({**STEADY, "a": (off, off._replace(moved=0.1))}) == ["a"]
    assert due_again({**STEADY, "a": (off,) * MOST_VISITS}, {"a"}) == []


def test_a_third_of_the_cases_is_done_again_in_all_the_worst_of_them() -> None:
    # of 30 cases one in two is off, each by more than those before; two were done again already
    cases: Cases = {
        str(number): (visit(str(number), over=1 + (number % 2) * number / 10),)
        for number in range(30)
    }
    assert due_again(cases) == [str(number) for number in range(29, 9, -2)]
    cases["29"] *= 2
    cases["27"] *= 2
    assert due_again(cases) == [str(number) for number in range(29, 13, -2)]


def test_what_cannot_be_timed_is_not_tried_again() -> None:
    assert due_again({**STEADY, "a": (visit("a", {}, over=0.0),)}, {"a"}) == []


def test_what_contradicts_its_neighbours_is_done_again_where_a_third_was_for_want_of_a_steady_visit() -> (
    None
):
    cases: Cases = {str(number): (visit(str(number), moved=0.5),) * 2 for number in range(4)}
    cases |= {str(number): (visit(str(number)),) for number in range(4, 12)}
    assert due_again(cases) == []  # 4 of 12 were
    assert due_again(cases, {"0", "5"}) == ["0", "5"]
    assert len(due_again(cases, set(cases))) == 8 - 4


@law
@given(st.lists(st.floats(0.5, 2.0), min_size=1, max_size=40), st.randoms())
def test_it_comes_to_an_end_with_at_most_two_thirds_more_visits_whatever_is_measured(
    overs: list[float], random: Random
) -> None:
    cases: Cases = {
        str(number): (visit(str(number), over=one),) for number, one in enumerate(overs)
    }
    while due := due_again(cases, {"0", "1"}):
        for key in due:
            cases[key] = (*cases[key], visit(key, over=random.uniform(0.5, 2.0)))
    visits = [len(of_case) for of_case in cases.values()]
    assert max(visits) <= MOST_VISITS
    assert sum(visits) - len(cases) <= -(-2 * len(cases) // 3)
    assert due_again(cases, {"0", "1"}) == []


# -- what they say together


def test_one_visit_says_what_it_says_and_none_nothing() -> None:
    assert pooled([near(2.0)]) == near(2.0)
    assert pooled([]) is None


def test_visits_that_agree_are_surer_together_by_the_root_of_their_number() -> None:
    found = pooled([near(2.0, 0.04)] * 4)
    assert found is not None
    assert found.median == pytest.approx(2.0)
    assert log(found.ci95[1] / found.median) == pytest.approx(log(1.04) / sqrt(4))


def test_a_visit_weighs_by_its_width() -> None:
    # half-widths of 0.01 and 0.03: weights of 9 to 1
    narrow, wide = (
        Speedup(1.0, (exp(-0.01), exp(0.01))),
        Speedup(exp(0.01), (exp(-0.02), exp(0.04))),
    )
    found = pooled([narrow, wide])
    assert found is not None
    assert log(found.median) == pytest.approx(0.01 / 10)
    assert log(found.ci95[1] / found.median) == pytest.approx(1 / sqrt(1 / 0.01**2 + 1 / 0.03**2))


def test_visits_that_contradict_each_other_are_as_unsure_as_they_differ() -> None:
    # ln 2 apart, each within 1 %: chi squared is 2 · (ln 2 / 2 / (0.01 / 2))², of one degree
    one, other = (
        Speedup(1.0, (exp(-0.01), exp(0.01))),
        Speedup(2.0, (2 * exp(-0.01), 2 * exp(0.01))),
    )
    found = pooled([one, other])
    assert found is not None
    assert found.median == pytest.approx(sqrt(2))
    scale = sqrt(2) * (log(2) / 2) / 0.005
    assert log(found.ci95[1] / found.median) == pytest.approx(scale * 0.01 / sqrt(2))
    assert found.ci95[0] < 1
    assert found.ci95[1] > 2


def test_the_noisiest_says_what_is_called_a_difference() -> None:
    found = pooled([near(1.05), near(1.05)._replace(noise_floor=0.08)])
    assert found is not None
    assert found.verdict == "same"


def test_an_interval_without_width_does_not_divide_by_zero() -> None:
    found = pooled([Speedup(2.0, (2.0, 2.0)), near(2.0)])
    assert found is not None
    assert found.median == pytest.approx(2.0)


# -- what is said of it


def test_drift_is_told_for_each_place() -> None:
    other = HERE._replace(runtime="onnxruntime")
    cases = {
        **STEADY,
        "a": (visit("a", over=1.25), visit("a")),
        "b": (visit("b", over=0.8), visit("b", over=0.9)),
        "c": (visit("c", over=0.5, where=other),),
        "d": (visit("d", {}, over=0.0, where=other),),
    }
    here, there = drifts_of(cases)
    assert here._replace(lowest=0, highest=0) == (HERE, USUAL_S, 0, 0, 2, 1)
    assert (here.lowest, here.highest) == pytest.approx((0.8, 1.25))
    assert there == (other, USUAL_S / 2, 1.0, 1.0, 0, 0)
    assert drifts_of({}) == ()
