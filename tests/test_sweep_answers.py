"""From where on a variant pays, and which layers it slows down: answers to tables made by hand."""

from collections.abc import Mapping
from typing import Any

import pytest
from swept import HERE, grid_of, near, rows_of, sweep_of

from dscost.pages import View
from dscost.rendering import render
from dscost.reports.records import Speedup
from dscost.sweeping.answers import Crossover, by_place, crossovers, losses, outlines, standings
from dscost.sweeping.records import Row

UNCLEAR = Speedup(1.05, (0.9, 1.2))
SAME = Speedup(1.0, (0.99, 1.01))
CHANNELS = (8, 16, 32, 64)


def along(*speedups: float | Speedup | None, axis: str = "out_channels", **axes: Any) -> list[Row]:
    """Return rows whose speedups are given by the value of an axis."""
    by_value = dict(zip(CHANNELS, speedups, strict=True))
    grid = grid_of(**{axis: CHANNELS, **axes})
    return list(rows_of(grid, lambda of, variant: by_value[of[axis]]))


def only(rows: list[Row]) -> Crossover:
    (found,) = crossovers(rows)
    return found


@pytest.mark.parametrize(
    ("speedups", "outcome", "begins"),
    [
        ((0.5, 0.8, 0.9, 0.95), "never", None),
        ((0.5, 0.8, 1.5, 2.0), "from", 32),
        ((0.5, 0.8, 0.9, 2.0), "from", 64),
        ((1.2, 1.3, 1.5, 2.0), "always", 8),
        ((1.2, 0.8, 1.5, 2.0), "from", 32),
        ((0.5, 1.3, 1.5, 0.9), "in_part", None),
        ((0.5, 1.3, UNCLEAR, 2.0), "from", 64),
        ((0.5, 1.3, 2.0, UNCLEAR), "in_part", None),
        ((0.5, SAME, SAME, SAME), "never", None),
    ],
)
def test_a_variant_pays_from_where_it_is_faster_for_all_larger_values(
    speedups: tuple[float | Speedup, ...], outcome: str, begins: int | None
) -> None:
    found = only(along(*speedups))
    assert found.along == "out_channels"
    assert (found.outcome, found.begins) == (outcome, begins)


def test_what_is_between_is_told() -> None:
    found = only(along(1.3, UNCLEAR, 0.9, 2.0))
    assert (found.before, found.unclear, found.slower) == ((8,), (16,), (32,))


def test_a_gain_within_the_noise_is_none() -> None:
    assert only(along(0.5, 0.8, 1.02, 1.5)).begins == 64
    wide = Speedup(1.08, (1.07, 1.09), noise_floor=0.1)
    assert only(along(0.5, 0.8, wide, 1.5)).begins == 64


def test_a_layer_that_was_not_timed_is_none_of_the_values() -> None:
    assert list(only(along(0.5, None, 1.4, 1.5)).verdicts) == [8, 32, 64]


def test_each_size_and_number_of_input_channels_has_an_answer_of_its_own() -> None:
    grid = grid_of(in_channels=(3, 16), out_channels=(8, 16, 32), input_size=(7, 14))
    first = {(3, 7): 99, (3, 14): 32, (16, 7): 16, (16, 14): 8}

    def speedup(of: Mapping[str, Any], variant: str) -> float:
        return 2.0 if of["out_channels"] >= first[of["in_channels"], of["input_size"]] else 0.5

    found = {
        (one.of["in_channels"], one.of["input_size"]): one.begins
        for one in crossovers(list(rows_of(grid, speedup)))
    }
    assert found == {(3, 7): None, (3, 14): 32, (16, 7): 16, (16, 14): 8}


@pytest.mark.parametrize("ties", [{"out_channels": "cin"}, {"out_channels": "2 * cin"}])
def test_where_output_channels_follow_from_input_channels_those_are_asked_about(
    ties: Mapping[str, str],
) -> None:
    grid = grid_of(ties=ties, in_channels=CHANNELS, input_size=(7, 14))
    rows = list(rows_of(grid, lambda of, variant: of["in_channels"] / of["input_size"]))
    found = crossovers(rows)
    assert [(one.along, dict(one.of), one.begins) for one in found] == [
        ("in_channels", {"input_size": 7}, 8),
        ("in_channels", {"input_size": 14}, 16),
    ]


def test_where_there_is_one_number_of_output_channels_input_channels_are_asked_about() -> None:
    found = only(along(0.5, 1.3, 1.5, 2.0, axis="in_channels"))
    assert (found.along, found.begins) == ("in_channels", 16)


def test_padding_that_follows_from_the_kernel_is_no_axis_of_its_own() -> None:
    grid = grid_of(in_channels=CHANNELS, kernel_size=(3, 5), ties={"padding": "k // 2"})
    found = crossovers(list(rows_of(grid, lambda of, variant: 2.0)))
    assert [dict(one.of) for one in found] == [{"kernel_size": 3}, {"kernel_size": 5}]


def test_variants_and_places_are_held_apart() -> None:
    variants = ("depthwise_separable", "ghost")
    grid = grid_of(variants, out_channels=(16, 32))
    there = HERE._replace(threads=2)
    rows = [
        *rows_of(grid, lambda of, variant: 2.0 if variant == "ghost" else 0.5),
        *rows_of(grid, lambda of, variant: 1.5, where=there),
    ]
    found = {(one.where.threads, one.variant): one.outcome for one in crossovers(rows) if one.where}
    assert found == {
        (1, "depthwise_separable"): "never",
        (1, "ghost"): "always",
        (2, "depthwise_separable"): "always",
        (2, "ghost"): "always",
    }


def test_machines_of_one_kind_are_one_place() -> None:
    rows = [
        *rows_of(grid_of(out_channels=(8, 16)), lambda of, variant: 0.5),
        *rows_of(
            grid_of(out_channels=(32, 64)), lambda of, variant: 2.0, where=HERE._replace(host="b")
        ),
    ]
    assert len(by_place(rows)) == 1
    assert only(rows).begins == 32


def test_losses_are_worst_first_and_only_what_is_surely_slower() -> None:
    found = losses(along(0.9, UNCLEAR, 0.6, 2.0))
    assert [row.of["out_channels"] for row in found] == [32, 8]


def test_an_outline_wants_every_layer_of_a_size_to_be_faster() -> None:
    grid = grid_of(in_channels=(3, 16, 32), kernel_size=(3, 5), input_size=(7, 14))

    def speedup(of: Mapping[str, Any], variant: str) -> float:
        is_slow = of["in_channels"] == 16 and of["kernel_size"] == 5 and of["input_size"] == 7
        return 0.5 if of["in_channels"] == 3 or is_slow else 2.0

    found = outlines(list(rows_of(grid, speedup)))
    assert [(one.of["input_size"], one.begins) for one in found] == [(7, 32), (14, 16)]


def test_how_much_of_the_promise_arrives_is_a_median_over_layers() -> None:
    # 16→32, 3×3: 16·32·9 / (16·9 + 16·32) = 4608 / 656 = 7.02× fewer MACs
    (one,) = standings(along(1.0, 2.0, 2.0, 2.0, axis="in_channels"))
    assert one.arrives == pytest.approx(2 / (4608 / 656))


# -- in words


def first_line(rows: list[Row]) -> str:
    sweep = sweep_of(grid_of())._replace(rows=rows)
    _, *lines = render(sweep, "table", View(width=None)).splitlines()
    return lines[0]


def test_the_first_sentence_says_from_where_on_it_pays_where_it_loses_and_what_arrives() -> None:
    grid = grid_of(in_channels=(3, 16, 32), input_size=(7, 14, 28))
    table = {
        (3, 7): 0.3, (16, 7): 0.8, (32, 7): 1.5, (3, 14): 0.62, (16, 14): 1.2, (32, 14): 2.0,
        (3, 28): 0.7, (16, 28): UNCLEAR, (32, 28): 0.9,
    }  # fmt: skip
    rows = list(rows_of(grid, lambda of, variant: table[of["in_channels"], of["input_size"]]))
    assert first_line(rows) == (
        "On Xeon, ONNX Runtime, 1 thread: separable pays from Cin 32 at size 7, from Cin 16 at size 14, "
        "never at size 28; it is faster in 3 of 9 layers, slower in 5 (worst 0.30× at 3→32, size 7), "
        "unclear in 1. The median is 0.90× as fast for 7.02× fewer MACs: 13 % of what the MACs promise arrives."
    )


def test_what_pays_everywhere_or_nowhere_is_said_in_a_word() -> None:
    assert "separable pays in all 4 layers. " in first_line(
        along(9.0, 9.0, 9.0, 9.0, axis="in_channels")
    )
    assert "is surely faster in none of 4 layers, slower in 4 (worst 0.50× at 8→32)" in first_line(
        along(0.5, 0.6, 0.7, 0.8, axis="in_channels")
    )
    assert "separable is not surely faster in the one layer, slower in 1" in first_line(
        list(rows_of(grid_of(), lambda of, variant: 0.5))
    )
    assert "separable pays in the one layer" in first_line(
        list(rows_of(grid_of(), lambda of, variant: 9.0))
    )


def test_where_the_clock_keeps_the_promise_no_share_is_told() -> None:
    assert "of what the MACs promise" not in first_line(
        along(7.0, 7.0, 7.0, 7.0, axis="in_channels")
    )


def test_equal_answers_are_said_once_in_the_order_of_sizes() -> None:
    grid = grid_of(in_channels=(3, 16), input_size=(28, 7, 14, 56))
    rows = rows_of(
        grid, lambda of, variant: 2.0 if of["in_channels"] == 16 and of["input_size"] > 7 else 0.5
    )
    assert "pays never at size 7, from Cin 16 at size 14 to 56;" in first_line(list(rows))


def test_a_sweep_that_is_only_counted_tells_the_range_of_what_is_saved() -> None:
    # 16→32, 3×3: 4608 / 656; 5×5: 12800 / 912
    rows = list(rows_of(grid_of(in_channels=(8, 16), kernel_size=(3, 5))))
    assert first_line(rows) == (
        "Separable takes 7.02× (k 3) to 14.0× fewer MACs (k 5) over 4 layers; the median is 10.5× fewer."
    )
    # 32 → 32, k 3: 6 · 32 · (32 + 9 + 32) against 32 · 32 · 9; k 5: 6 · 32 · (32 + 25 + 32) against 32 · 32 · 25
    rows = list(rows_of(grid_of(("inverted_residual:6",), in_channels=(32,), kernel_size=(3, 5))))
    assert first_line(rows) == (
        "Inverted-residual:6 takes 1.52× more MACs (k 3) to 1.50× fewer MACs (k 5) over 2 layers; "
        "it takes more in 1 of them; the median is 1.08× fewer."
    )
    more = list(rows_of(grid_of(("inverted_residual:6",))))
    assert first_line(more).startswith("Inverted-residual:6 takes ")
    assert "more MACs in the layer." in first_line(more)


def test_a_crossover_is_plain_in_json() -> None:
    assert only(along(1.3, UNCLEAR, 0.9, 2.0)).to_dict() == {
        "runtime": "onnxruntime",
        "threads": 1,
        "clock": "wall",
        "device": "Xeon",
        "versions": None,
        "dtype": "float32",
        "variant": "depthwise_separable",
        "of": {},
        "along": "out_channels",
        "values": [8, 16, 32, 64],
        "outcome": "from",
        "begins": 64,
        "before": [8],
        "unclear": [16],
        "slower": [32],
    }


def test_an_interval_too_wide_to_tell_is_unclear() -> None:
    assert only(along(0.5, 0.6, Speedup(5.0, (1.2, 20.0)), near(2.0))).unclear == (32,)


def test_where_the_clock_cannot_tell_a_variant_is_not_said_never_to_pay() -> None:
    page = render(sweep_of(grid_of())._replace(rows=along(0.5, 0.8, UNCLEAR, UNCLEAR)))
    assert "never surely, up to Cout 64   at 32 and 64" in page
    page = render(sweep_of(grid_of())._replace(rows=along(0.5, 0.8, 0.9, 0.95)))
    assert "never, up to Cout 64" in page


def test_where_most_is_unclear_no_median_is_told() -> None:
    said = first_line(along(0.5, UNCLEAR, UNCLEAR, UNCLEAR))
    assert said.endswith(
        "unclear in 3. Of most the clock cannot tell: a quieter machine or a longer time may."
    )


def test_an_interval_too_wide_to_tell_is_no_part_of_the_median() -> None:
    wide = Speedup(90.0, (1.0, 900.0))
    (one,) = standings(along(2.0, 2.0, 2.0, wide, axis="in_channels"))
    assert one.median_speedup == 2.0
    assert one.arrives == pytest.approx(2 / (4608 / 656))
