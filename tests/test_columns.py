"""Columns of numbers compute what ints of Python do, one by one."""

import math
import operator
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from properties import law

from dscost.layers.convolution import ConvSpec
from dscost.layers.formulas import conv_weights
from dscost.layers.variants import depthwise_separable
from dscost.sweeping.columns import Box, Column, Lazy, Split
from dscost.sweeping.intervals import bounds_of, known
from dscost.sweeping.pieces import Piece, going_one_way

ARITHMETIC = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "//": operator.floordiv,
    "%": operator.mod,
    "/": operator.truediv,
}
COMPARISONS = {
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
numbers = (
    st.integers(-20, 20)
    | st.integers(-(2**70), 2**70)
    | st.sampled_from((2**63 - 1, -(2**63), 2**53 + 1))
)
several = st.lists(numbers, min_size=2, max_size=4)


def listed(value: Any, shape: tuple[int, ...]) -> list[Any]:
    """Return what each layer of a box has of a column or of a number."""
    array = value.array if isinstance(value, Lazy) else np.array(value, dtype=object)
    return [
        one.item() if isinstance(one, np.generic) else one
        for one in np.broadcast_to(array, shape).reshape(-1)
    ]


# -- arithmetic


@pytest.mark.parametrize("sign", ARITHMETIC)
def test_arithmetic_is_that_of_ints_of_python(sign: str) -> None:
    compute = ARITHMETIC[sign]

    @law
    @given(several, several | numbers)
    def of_columns(left: list[int], right: list[int] | int) -> None:
        rights = right if isinstance(right, list) else [right]
        assume(sign in "+-*" or 0 not in rights)
        box = Box((len(left), len(rights)))
        a, b = box.along(0, left), box.along(1, right) if isinstance(right, list) else right
        assert listed(compute(a, b), box.shape) == [
            compute(one, other) for one in left for other in rights
        ]
        if 0 not in left or sign in "+-*":
            assert listed(compute(b, a), box.shape) == [
                compute(other, one) for one in left for other in rights
            ]

    of_columns()


@law
@given(several, several, several)
def test_chains_of_arithmetic_come_to_the_same(
    first: list[int], second: list[int], third: list[int]
) -> None:
    def formula(a: Any, b: Any, c: Any) -> Any:
        return (
            (a * b - c) // 7 % 1000
            + a * c * b // (c * c + 1)
            - -a
            + abs(b * b)
            + a**3
            + (b > b)
            + 0 * c
        )

    box = Box((len(first), len(second), len(third)))
    columns = [box.along(axis, one) for axis, one in enumerate((first, second, third))]
    expected = [formula(a, b, c) for a in first for b in second for c in third]
    assert listed(formula(*columns), box.shape) == expected


@law
@given(several, st.floats(-1e6, 1e6))
def test_floats_come_to_what_python_has(left: list[int], real: float) -> None:
    assume(real != 0)
    box = Box((len(left),))
    column = box.along(0, left)
    found = [column * real, real + column, real - column, column / real, 1 / real * column + 2]
    expected = [[n * real, real + n, real - n, n / real, 1 / real * n + 2] for n in left]
    assert [
        list(one) for one in zip(*(listed(one, box.shape) for one in found), strict=True)
    ] == expected


def test_small_numbers_stay_in_64_bits_and_large_ones_are_exact() -> None:
    box = Box((2,))
    column = box.along(0, [10**6, 3])
    assert (column**3).array.dtype == np.int64
    assert (column**4).array.dtype == object
    assert listed(column**4, (2,)) == [10**24, 81]
    assert (column**4 // 10**18).array.dtype == np.int64


def test_the_quotient_of_large_numbers_is_rounded_once() -> None:
    box = Box((2,))
    left, right = box.along(0, [2**53 + 1, 3 * (2**60 + 1)]), 3
    assert listed(left / right, (2,)) == [(2**53 + 1) / 3, (3 * (2**60 + 1)) / 3]


def test_nothing_is_computed_twice_nor_before_it_is_needed() -> None:
    box = Box((2, 2))
    a, b = box.along(0, [2, 3]), box.along(1, [5, 7])
    assert a * b is a * b
    assert (a * b)._array is None
    assert a + 0 is a
    assert 1 * a is a
    assert a // 1 is a
    assert a * 0 == 0
    assert type(a * 0) is int


def test_what_depends_on_one_axis_is_as_long_as_that() -> None:
    box = Box((100, 200))
    a, b = box.along(0, range(1, 101)), box.along(1, range(1, 201))
    assert (a * a + 1).array.shape == (100, 1)
    assert (a * b).array.shape == (100, 200)


def test_an_axis_of_one_value_is_an_int() -> None:
    assert type(Box((3,)).along(0, [4, 4, 4])) is int


SMALL = [(low, high) for low in range(-4, 5) for high in range(low, 5)]
"""All intervals of small numbers."""


@pytest.mark.parametrize("sign", ["+", "-", "*", "//", "%"])
def test_bounds_hold_and_those_of_sums_and_products_are_reached(sign: str) -> None:
    for left in SMALL:
        for right in SMALL:
            divisors = [b for b in range(right[0], right[1] + 1) if b or sign in "+-*"]
            found = [ARITHMETIC[sign](a, b) for a in range(left[0], left[1] + 1) for b in divisors]
            low, high = bounds_of(sign, left, right)
            if found:
                assert low <= min(found) <= max(found) <= high
            assert sign in "//%" or (low, high) == (min(found), max(found))


@pytest.mark.parametrize("sign", COMPARISONS)
def test_what_bounds_tell_is_so(sign: str) -> None:
    for left in SMALL:
        for right in SMALL:
            found = {
                COMPARISONS[sign](a, b)
                for a in range(left[0], left[1] + 1)
                for b in range(right[0], right[1] + 1)
            }
            told = known(sign, left, right)
            assert told is None or found == {told}
            # where it is the same of all, bounds tell so, unless both are one and the same number
            assert told is not None or len(found) == 2 or (left == right and left[0] == left[1])


# -- what is decided


@pytest.mark.parametrize("sign", COMPARISONS)
def test_a_comparison_is_true_or_false_where_all_agree(sign: str) -> None:
    compare = COMPARISONS[sign]

    @law
    @given(several, several | numbers | st.floats(-30, 30))
    def of_columns(left: list[int], right: Any) -> None:
        rights = right if isinstance(right, list) else [right]
        box = Box((len(left), len(rights)))
        a, b = box.along(0, left), box.along(1, right) if isinstance(right, list) else right
        expected = [compare(one, other) for one in left for other in rights]
        if len(set(expected)) == 1:
            assert bool(compare(a, b)) == expected[0]
        else:
            with pytest.raises(Split) as split:
                bool(compare(a, b))
            assert split.value.mask is not None
            assert np.broadcast_to(split.value.mask, box.shape).reshape(-1).tolist() == expected

    of_columns()


def test_only_layers_that_count_decide() -> None:
    live = np.array([[True, False], [False, True]])
    box = Box((2, 2), live)
    a, b = box.along(0, [3, 8]), box.along(1, [3, 8])
    assert a == b
    assert bool(a != b) is False
    with pytest.raises(Split):
        bool(a < 5)
    assert str(a * b) == "9"


def test_zero_among_divisors_that_do_not_count_does_no_harm() -> None:
    box = Box((3,), np.array([False, True, True]))
    divisor = box.along(0, [0, 2, 5])
    assert listed(100 // divisor, (3,))[1:] == [50, 20]
    assert listed(101 % divisor, (3,))[1:] == [1, 1]
    assert listed((100 + 10**20 * divisor) // divisor, (3,))[1:] == [50 + 10**20, 20 + 10**20]
    with pytest.raises(Split):  # here one counts, which is a division by zero, and others do not
        7 // Box((3,)).along(0, [0, 2, 5])


def test_text_is_that_of_the_first_layer() -> None:
    box = Box((2,))
    column = box.along(0, [1200, 3])
    assert f"{column} {column:,} {column!r}" == "1200 1,200 1200"


@pytest.mark.parametrize(
    "ask", [hash, int, range, lambda one: math.gcd(one, 4), lambda one: [0] * one, {1: 2}.get]
)
def test_what_needs_one_number_parts_the_values(ask: Callable[[Any], Any]) -> None:
    with pytest.raises(Split) as split:
        ask(Box((2, 3)).along(1, [1, 2, 3]))
    assert (split.value.mask, split.value.shape) == (None, (1, 3))


def test_no_cache_keeps_columns() -> None:
    spec = ConvSpec(8, 16, (3, 3), (1, 1), (1, 1), (1, 1))
    box = Box((2,))
    many = ConvSpec(box.along(0, [8, 24]), 16, (3, 3), (1, 1), (1, 1), (1, 1))  # type: ignore[arg-type]
    (_, depthwise), _ = depthwise_separable(many)
    assert isinstance(depthwise.in_channels, Column)
    assert depthwise_separable(spec) is depthwise_separable(spec)
    assert type(depthwise_separable(spec)[0][1].in_channels) is int


# -- parting


def ways_of(shape: tuple[int, ...], function: Callable[..., Any]) -> list[tuple[int, ...]]:
    """Return the sizes of the parts that go one way; of each layer the function is checked."""
    axes = [range(1, size + 1) for size in shape]
    seen = np.zeros(shape, int)
    found = np.zeros(shape, object)
    sizes = []

    def at(piece: Piece) -> Any:
        box = Box(piece.shape, piece.live)
        picked = [[axes[axis][one] for one in places] for axis, places in enumerate(piece.picks)]
        result = function(*(box.along(axis, one) for axis, one in enumerate(picked)))
        return result.array if isinstance(result, Lazy) else np.array(result, dtype=object)

    for piece, result in going_one_way(Piece(tuple(np.arange(size) for size in shape)), at):
        where = np.ix_(*piece.picks)
        live = np.broadcast_to(True if piece.live is None else piece.live, piece.shape)
        seen[where] += live
        found[where] = np.where(live, result, found[where])
        sizes.append(piece.shape)
    assert (seen == 1).all()
    expected = [function(*(one + 1 for one in place)) for place in np.ndindex(*shape)]
    assert found.reshape(-1).tolist() == expected
    return sizes


def test_what_depends_on_one_axis_parts_its_values() -> None:
    assert sorted(ways_of((9, 7), lambda a, b: a * b if a % 3 else a - b)) == [(3, 7), (6, 7)]


def test_what_depends_on_several_axes_divides_the_layers_that_count() -> None:
    assert ways_of((9, 7), lambda a, b: a * b if a == b else a - b) == [(9, 7), (9, 7)]


def test_loops_branches_and_functions_for_ints_go_their_own_ways() -> None:
    def halved(a: Any, b: Any) -> Any:
        while a % 2 == 0 and a > b:
            a //= 2
        return max(a, b, 3) + math.gcd(a, 6) * (b.bit_length() if b > 5 else 1)

    ways_of((12, 8), halved)


def test_what_python_refuses_of_each_layer_is_refused() -> None:
    with pytest.raises(TypeError, match="unsupported operand"):
        ways_of((2, 2), lambda a, b: a + b + "1")


def test_weights_of_many_convolutions_at_once() -> None:
    box = Box((2, 2))
    found = conv_weights(box.along(0, [8, 16]), box.along(1, [32, 64]), 9, 2)  # type: ignore[arg-type]
    assert listed(found, box.shape) == [32 * 4 * 9, 64 * 4 * 9, 32 * 8 * 9, 64 * 8 * 9]
