from fractions import Fraction
from itertools import product
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from properties import law

from dscost.converting.knapsack import (
    Choice,
    Selection,
    _extended,
    _Item,
    _Price,
    _Sums,
    least_cost,
    least_error,
)

ERRORS = st.one_of(st.sampled_from((0.0, 0.1, 0.25, 1.0)), st.floats(0, 1, allow_subnormal=False))
COUNTS = st.one_of(st.integers(0, 4), st.integers(0, 10**12))
SECONDS = st.floats(0, 1e-2, allow_subnormal=False)


def _layers(costs: st.SearchStrategy[float]) -> st.SearchStrategy[list[list[Choice]]]:
    choices = st.lists(st.tuples(costs, ERRORS), min_size=1, max_size=4)
    return st.lists(choices, min_size=1, max_size=6)


CASES = st.one_of(_layers(COUNTS), _layers(SECONDS))


def _sums(layers: list[list[Choice]], chosen: tuple[int, ...]) -> tuple[Fraction, Fraction]:
    """Return exact cost and error."""
    taken = [layer[at] for layer, at in zip(layers, chosen, strict=True)]
    return sum((Fraction(cost) for cost, _ in taken), Fraction()), sum(
        (Fraction(error) for _, error in taken), Fraction()
    )


def _every(layers: list[list[Choice]]) -> list[tuple[Fraction, Fraction]]:
    return [_sums(layers, chosen) for chosen in product(*(range(len(layer)) for layer in layers))]


BOUNDS = st.one_of(st.floats(-0.1, 1.1), st.integers(0, 4**6))
"""A share of the range that there is, or one of the sums, which must then just fit."""


def _bound(sums: list[Fraction], chosen: float) -> Fraction:
    low, high = min(sums), max(sums)
    return (
        sums[chosen % len(sums)]
        if isinstance(chosen, int)
        else low + Fraction(chosen) * (high - low)
    )


@given(CASES, BOUNDS)
@law
def test_the_least_error_within_a_budget_is_that_of_brute_force(
    layers: list[list[Choice]], chosen: float
) -> None:
    every = _every(layers)
    budget = _bound([cost for cost, _ in every], chosen)
    found = least_error(layers, budget)
    within = [(error, cost) for cost, error in every if cost <= budget]
    if not within:
        assert found is None
        return
    assert found is not None
    assert found.gap == 0
    assert _sums(layers, found.chosen)[::-1] == min(within)


@given(CASES, BOUNDS)
@law
def test_the_least_cost_within_an_error_is_that_of_brute_force(
    layers: list[list[Choice]], chosen: float
) -> None:
    every = _every(layers)
    bound = _bound([error for _, error in every], chosen)
    found = least_cost(layers, bound)
    within = [(cost, error) for cost, error in every if error <= bound]
    if not within:
        assert found is None
        return
    assert found is not None
    assert found.gap == 0
    assert _sums(layers, found.chosen) == min(within)


@given(_layers(COUNTS), st.floats(0, 1), st.integers(1, 3))
@law
def test_what_is_left_out_for_want_of_room_widens_the_gap(
    layers: list[list[Choice]], share: float, most_sums: int
) -> None:
    every = _every(layers)
    low, high = min(cost for cost, _ in every), max(cost for cost, _ in every)
    budget = low + Fraction(share) * (high - low)
    found = least_error(layers, budget, most_sums=most_sums)
    assert found is not None
    cost, error = _sums(layers, found.chosen)
    best = min(other for spent, other in every if spent <= budget)
    assert cost <= budget
    assert best <= error
    assert float(error - best) <= found.gap * (1 + 1e-12)


def test_a_gap_is_told_where_the_best_answer_was_left_out() -> None:
    random = Random(1)
    layers = [
        [(0, 1.0), *((c, 1 - c / 100 + random.random() / 1000) for c in (31, 47, 53))]
        for _ in "a" * 30
    ]
    narrow, wide = least_error(layers, 700, most_sums=2), least_error(layers, 700)
    assert narrow is not None
    assert wide is not None
    assert wide.gap == 0
    assert narrow.error > wide.error
    assert narrow.gap >= narrow.error - wide.error


@pytest.mark.parametrize(
    ("layers", "budget", "expected"),
    [
        # by hand: 3 of 5 + 5 must go; the second gives them up for the smaller error
        ([[(5, 0.0), (2, 0.5)], [(5, 0.0), (2, 0.4)]], 7, ((0, 1), 7, 0.4)),
        ([[(5, 0.0), (2, 0.5)], [(5, 0.0), (2, 0.4)]], 4, ((1, 1), 4, 0.9)),
        ([[(5, 0.0), (2, 0.5)], [(5, 0.0), (2, 0.4)]], 10, ((0, 0), 10, 0.0)),
        # of equal errors the cheapest, also where everything fits
        ([[(5, 0.0), (2, 0.0)]], 9, ((1,), 2, 0.0)),
        # a choice off the hull is the best one: the relaxation alone would not find it
        ([[(0, 1.0), (6, 0.5), (10, 0.0)]], 7, ((1,), 6, 0.5)),
        # greedy steps miss the pair that just fits: 5 of the first leaves room for neither of the others
        (
            [[(0, 10.0), (5, 3.0)], [(0, 6.0), (4, 1.0)], [(0, 6.0), (4, 1.0)]],
            8,
            ((0, 1, 1), 8, 12.0),
        ),
        # of two that are as good as the bound allows the cheaper one is taken
        ([[(0, 2.0), (3, 1.0), (4, 1.0)], [(0, 2.0), (2, 1.0)]], 4, ((0, 1), 2, 3.0)),
        # what costs nothing is always affordable
        ([[(0, 0.3)], [(4, 0.0), (0, 0.1)]], 0, ((0, 1), 0, 0.4)),
        ([], 0, ((), 0, 0.0)),
    ],
)
def test_choices_worked_out_by_hand(
    layers: list[list[tuple[int, float]]], budget: int, expected: tuple[tuple[int, ...], int, float]
) -> None:
    found = least_error(layers, budget)
    assert found == Selection(*expected)
    assert type(found.cost) is int


def test_a_budget_below_the_cheapest_choices_cannot_be_met() -> None:
    layers = [[(5, 0.0), (2, 0.5)], [(3, 0.0)]]
    assert least_error(layers, 4) is None
    assert least_cost([[(1, 0.5)]], 0.4999) is None


def test_counts_beyond_what_a_float_holds_stay_exact() -> None:
    huge = 2**70
    layers = [[(huge + 1, 0.0), (huge, 0.5)], [(1, 0.0), (0, 0.5)]]
    found = least_error(layers, huge + 1)
    assert found is not None
    assert found.cost == huge + 1


def test_tenths_are_what_the_floats_are_and_not_rounded_while_they_are_summed() -> None:
    layers = [[(0.1, 0.0), (0.0, 1.0)]] * 3
    exact = 3 * Fraction(0.1)
    within, below = least_error(layers, exact), least_error(layers, exact - Fraction(1, 10**30))
    assert within is not None
    assert below is not None
    assert (within.error, below.error) == (0.0, 1.0)


@pytest.mark.parametrize("kind", [int, float], ids=["counts", "seconds"])
def test_fifty_layers_of_ten_choices_are_solved_to_the_end(kind: type) -> None:
    random = Random(7)
    layers = []
    for _ in range(53):
        full = random.choice((64, 128, 256, 512)) ** 2 * 9 * random.choice((49, 196, 784))
        energy = sorted((random.expovariate(1) for _ in range(9)), reverse=True)
        ranks = [
            (kind(full * rank // 8.7), sum(energy[rank:]) / sum(energy)) for rank in range(1, 10)
        ]
        layers.append([(kind(full), 0.0), *ranks])
    low, high = sum(layer[1][0] for layer in layers), sum(layer[0][0] for layer in layers)
    for step in range(1, 12):
        found = least_error(layers, low + (high - low) * step / 12)
        assert found is not None
        assert found.gap == 0


def test_a_sum_beyond_room_or_limit_or_dominated_is_not_carried_on() -> None:
    items = [
        _Item(weight=2, value=3, at=0),  # comes to 2·2 + 3·3, the limit
        _Item(weight=1, value=4, at=1),  # 2·1 + 3·4, above it
        _Item(weight=3, value=1, at=2),  # just within the room
        _Item(weight=3, value=2, at=3),  # no lighter and dearer than the last
        _Item(weight=4, value=0, at=4),  # beyond the room
    ]
    sums = _Sums([0], [0], [-1], [-1])
    found = _extended(sums, items, room=3, price=_Price(2, 3), limit=13)
    assert found == _Sums([2, 3], [3, 1], [0, 0], [0, 2])
