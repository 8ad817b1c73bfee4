"""Whether more work takes longer: neighbours of a timed table that are out of order, and those that are not."""

from collections.abc import Callable, Mapping
from typing import Any

import pytest
from swept import HERE, grid_of, near, rows_of, sweep_of

from dscost.pages import View
from dscost.rendering import render
from dscost.reports.records import Speedup
from dscost.sweeping.monotone import neighbours, order_of, suspicious_keys, violations
from dscost.sweeping.records import Row

Times = Callable[[Mapping[str, Any]], float]


def timed(latency_us: Times, variants: tuple[str, ...] = (), **axes: Any) -> list[Row]:
    """Return rows that take so many microseconds, with intervals of 1 %."""
    grid = grid_of(variants, **axes)
    return list(
        rows_of(grid, lambda of, variant: near(2.0), lambda of, variant: latency_us(of) * 1e-6)
    )


def test_a_kernel_of_3_that_is_slower_than_one_of_7_is_told() -> None:
    # as in public tables of a Jetson GPU, up to 1.42 times
    (found,) = violations(
        timed(lambda of: {3: 142.0, 7: 100.0}[of["kernel_size"]], kernel_size=(3, 7))
    )
    assert (found.along, found.values, found.keys) == ("kernel_size", (3, 7), ("0", "1"))
    assert found.factor == pytest.approx(1.42)


def test_more_work_that_takes_longer_is_in_order() -> None:
    rows = timed(
        lambda of: of["kernel_size"] * of["in_channels"], kernel_size=(3, 5, 7), in_channels=(8, 16)
    )
    found = order_of(rows)
    # 2 steps of the kernel for 2 numbers of channels, 1 step of channels for 3 kernels
    assert (found.checked, found.violations) == (2 * 2 + 1 * 3, ())


@pytest.mark.parametrize(("factor", "is_told"), [(1.02, False), (1.029, False), (1.031, True)])
def test_what_is_within_the_noise_is_not_told(factor: float, is_told: bool) -> None:
    rows = timed(lambda of: {3: 100 * factor, 5: 100.0}[of["kernel_size"]], kernel_size=(3, 5))
    assert bool(violations(rows)) is is_told


def test_the_noise_of_either_case_counts() -> None:
    rows = timed(
        lambda of: {3: 110.0, 5: 100.0}[of["kernel_size"]],
        ("depthwise_separable",),
        kernel_size=(3, 5),
    )
    assert len(violations(rows)) == 2
    noisy = [
        row._replace(speedup=Speedup(2.0, (1.9, 2.1), noise_floor=0.12))
        if row.key == "1" and row.speedup
        else row
        for row in rows
    ]
    found = order_of(noisy)
    assert (found.violations, found.noise_floor) == ((), 0.12)


def test_intervals_that_meet_tell_nothing() -> None:
    rows = timed(lambda of: {3: 110.0, 5: 100.0}[of["kernel_size"]], kernel_size=(3, 5))
    wide = [
        row._replace(ci95_s=(row.latency_s * 0.9, row.latency_s * 1.1))
        for row in rows
        if row.latency_s
    ]
    assert violations(wide) == ()
    assert order_of(wide).checked == 1


def test_a_row_without_an_interval_is_not_compared() -> None:
    rows = timed(lambda of: 100.0 / of["kernel_size"], kernel_size=(3, 5))
    assert order_of([rows[0]._replace(ci95_s=None), rows[1]]).checked == 0


@pytest.mark.parametrize("axis", ["in_channels", "out_channels", "input_size", "batch"])
def test_more_of_each_axis_is_more_work(axis: str) -> None:
    (found,) = violations(timed(lambda of: 100.0 / of[axis], **{axis: (8, 16)}))
    assert (found.along, found.values) == (axis, (8, 16))


def test_a_smaller_stride_is_more_work() -> None:
    (found,) = violations(timed(lambda of: 100.0 * of["stride"], stride=(1, 2)))
    assert found.values == (2, 1)
    assert violations(timed(lambda of: 100.0 / of["stride"], stride=(1, 2))) == ()


def test_a_larger_expansion_of_an_inverted_residual_is_more_work() -> None:
    grid = grid_of(("inverted_residual:6", "inverted_residual:3", "ghost"))
    times = {
        "standard": 50.0,
        "inverted_residual:6": 100.0,
        "inverted_residual:3": 120.0,
        "ghost": 20.0,
    }
    rows = list(
        rows_of(grid, lambda of, variant: near(0.5), lambda of, variant: times[variant] * 1e-6)
    )
    (found,) = violations(rows)
    assert found.values == (3, 6)
    assert found.factor == pytest.approx(1.2)
    assert suspicious_keys(rows) == ("0",)


def test_channels_that_follow_from_others_are_one_step() -> None:
    grid = grid_of((), ties={"out_channels": "2 * cin"}, in_channels=(8, 16, 32))
    assert len(list(neighbours(list(rows_of(grid, lambda of, variant: 1.0))))) == 2


def test_what_differs_in_two_axes_is_no_neighbour() -> None:
    rows = timed(lambda of: 100.0, kernel_size=(3, 5), input_size=(7, 14))
    crossed = [
        row for row in rows if (row.of["kernel_size"], row.of["input_size"]) in ((3, 14), (5, 7))
    ]
    assert list(neighbours(crossed)) == []


def test_a_larger_kernel_without_padding_that_computes_less_is_no_neighbour() -> None:
    # on 7 × 7, 7·7 weights of one position against 3·3 of 25: 49 against 225
    grid = grid_of((), ties={"padding": "0 * k"}, kernel_size=(3, 7), input_size=(7,))
    assert list(neighbours(list(rows_of(grid, lambda of, variant: 1.0)))) == []


def test_places_are_not_compared_with_each_other() -> None:
    grid = grid_of((), kernel_size=(3,))
    fast = rows_of(grid, lambda of, variant: 1.0, lambda of, variant: 1e-4)
    larger = grid_of((), kernel_size=(5,))
    slow = rows_of(
        larger, lambda of, variant: 1.0, lambda of, variant: 1e-6, where=HERE._replace(threads=2)
    )
    assert order_of([*fast, *slow]).checked == 0


def test_cases_out_of_order_are_measured_again_each_once() -> None:
    times = {3: 150.0, 5: 120.0, 7: 100.0}
    rows = timed(lambda of: times[of["kernel_size"]], kernel_size=(3, 5, 7))
    assert suspicious_keys(rows) == ("0", "1", "2")
    assert [one.factor for one in violations(rows)] == pytest.approx([1.25, 1.2])


# -- in words


def page(rows: list[Row]) -> str:
    return render(sweep_of(grid_of())._replace(rows=rows), "table", View())


def test_that_nothing_is_out_of_order_is_said_with_the_noise() -> None:
    rows = timed(lambda of: of["kernel_size"], kernel_size=(3, 5))
    assert "1 neighbour checked, more work against less: none out of order beyond 3 %." in page(
        rows
    )


def test_noise_beyond_the_usual_is_said() -> None:
    noisy = Speedup(2.0, (1.9, 2.1), noise_floor=0.27)
    grid = grid_of(kernel_size=(3, 5))
    rows = list(
        rows_of(grid, lambda of, variant: noisy, lambda of, variant: of["kernel_size"] * 1e-6)
    )
    assert (
        "2 neighbours checked, more work against less: none out of order beyond the noise, here up to 27 %."
        in page(rows)
    )


def test_what_is_out_of_order_is_said_and_that_it_may_be_real() -> None:
    rows = timed(lambda of: {3: 107.0, 5: 100.0}[of["kernel_size"]], kernel_size=(3, 5))
    text = page(rows)
    assert (
        "1 of 1 neighbour is out of order beyond 3 %, less work taking longer: "
        "k 3 took 1.07× as long as k 5 at 16→32 (standard)."
    ) in text
    assert "may be real" in text


def test_of_a_stride_the_larger_has_less_work() -> None:
    rows = timed(lambda of: 100.0 * of["stride"], stride=(1, 2), input_size=(14,))
    assert "stride 2 took 2.00× as long as stride 1" in page(rows)


def test_where_nothing_was_timed_nothing_is_said_of_order() -> None:
    assert "neighbour" not in page(list(rows_of(grid_of(kernel_size=(3, 5)))))
