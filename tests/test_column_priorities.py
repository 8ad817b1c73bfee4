"""What decides is what stays of a table where space is short."""

import re
from functools import cache

import pytest
from properties import timing_with

import dscost
from dscost.converting.results import LayerOutcome
from dscost.layers.convolution import conv2d
from dscost.pages.conversions import _layer_sheets
from dscost.pages.page import Column, Page, Row, Sheet, words
from dscost.rendering import View, render
from dscost.rendering.terminal import render_pages
from dscost.reports.records import Cause, Latency, Layer, Report, Speedup

DECIDING = ("kind", "standard → separable", "speedup [95 %]", "verdict")
SPEEDUPS = (Speedup(3.55, (3.4, 3.7)), Speedup(1.1, (0.8, 1.4)))
CAUSES = (Cause("overhead", "cpu", {}), Cause("depthwise_kernel", "cpu", {}))


def latency(seconds: float) -> Latency:
    return Latency(seconds, (seconds, seconds), 0.0, seconds, seconds, seconds, 40)


def timed(layer: Layer, at: int) -> Layer:
    """Return a layer that took 1.64 ms, and 463 µs or 1.49 ms separable."""
    speedup = SPEEDUPS[at % 2]
    separable = {3.55: 463e-6, 1.1: 1.49e-3}[speedup.median]
    timing = timing_with(speedup, standard=latency(1.64e-3), depthwise_separable=latency(separable))
    return layer._replace(
        latency={"cpu": timing}, verdict=speedup.verdict, causes=(CAUSES[at % 2],)
    )


@cache
def report(prefix: str = "") -> Report:
    counted = dscost.analyze("resnet18")
    layers = [
        timed(layer, at) if layer.variants else layer for at, layer in enumerate(counted.layers)
    ]
    named = tuple(layer._replace(name=prefix + layer.name) for layer in layers)
    return counted._replace(layers=named)


def table(of: Report, width: int | None, **view: object) -> tuple[str, list[str]]:
    """Return the header of the table of layers, and what stands below it up to the next table."""
    lines = render([of], "table", View(width=width, **view)).splitlines()  # type: ignore[arg-type]
    rule = next(at for at, line in enumerate(lines) if line.startswith("──"))
    return lines[rule - 1], lines[rule + 1 : lines.index("", rule)]


def test_at_100_columns_nothing_that_decides_is_lost() -> None:
    header, rows = table(report(), 100)
    assert [name for name in DECIDING if name in header] == list(DECIDING)
    (row,) = (line for line in rows if line.startswith("layer1.0.conv1 "))
    (other,) = (line for line in rows if line.startswith("layer1.0.conv2 "))
    told = [other, row] if "463 µs" in other else [row, other]
    assert "conv 3×3" in told[0]
    assert "1.64 ms → 463 µs   3.5× faster [3.4, 3.7]" in told[0].replace("3.6×", "3.5×")
    assert told[1].rstrip().endswith("unclear")


@pytest.mark.parametrize("prefix", ["", "backbone.features.denseblock.inner."])
@pytest.mark.parametrize("width", [60, 80, 100, 140, 200])
def test_a_timed_table_fits_and_keeps_the_speedup(width: int, prefix: str) -> None:
    header, rows = table(report(prefix), width)
    assert max(len(line) for line in (header, *rows)) <= width
    assert "speedup" in header  # with its interval from 100 columns on
    assert ("speedup [95 %]" in header) == (width >= 100)
    assert "verdict" in header
    assert ("standard → separable" in header) == (width >= 100)
    assert ("std. → sep." in header) == (width < 100)
    assert ("kind" in header) == (width >= 80)


def test_at_60_columns_times_and_speedups_stay_where_all_is_decided() -> None:
    decided = tuple(timed(layer, 0) if layer.latency else layer for layer in report().layers)
    header, rows = table(report()._replace(layers=decided), 60)
    assert header.split()[1:] == ["std.", "→", "sep.", "speedup"]
    assert any(re.search(r"1\.64 ms → 463 µs +3\.[56]× faster", row) for row in rows)
    assert max(len(line) for line in (header, *rows)) <= 60


def test_names_give_way_before_what_decides() -> None:
    header, rows = table(report("backbone.features.denseblock.inner."), 100)
    assert all(name in header for name in DECIDING)
    assert rows[0].startswith("backbon")
    assert "…" in rows[0]
    header, rows = table(report("backbone.features.denseblock.inner."), None)
    assert rows[0].startswith("backbone.features.denseblock.inner.conv1 ")


def test_counts_come_first_where_nothing_is_timed() -> None:
    header, _ = table(dscost.analyze("resnet18"), 60)
    assert ["params" in header, "MACs" in header, "speedup" in header] == [True, True, False]


def test_both_times_stand_apart_where_every_column_is_shown() -> None:
    header, _ = table(report(), 60, wide=True)
    assert " standard   separable " in header
    assert "→" not in header
    header, rows = table(report(), 60, columns=("separable_latency", "speedup"))
    assert header.split() == ["layer", "separable", "speedup", "[95", "%]"]
    assert any("463 µs" in row for row in rows)


def test_what_holds_layers_back_stands_below_once_for_each_reason() -> None:
    _, rows = table(report(), 100)
    below = rows[rows.index("held back by:") + 1 :]
    told = " ".join(line.strip() for line in below)
    assert told.count(": call overhead") == 1
    assert told.count(": slow depthwise kernel") == 1
    swappable = [layer.name for layer in report().layers if layer.variants]
    assert all(f"{name}," in told or f"{name}:" in told for name in swappable)
    header, rows = table(report(), None)
    assert header.split()[-3:] == ["held", "back", "by"]
    assert "held back by:" not in rows


def test_a_sentence_below_a_table_stands_once_for_all_rows_that_say_it() -> None:
    columns = [words("layer"), Column("why", "why kept", 5, "left", goes_below=True)]
    said = {"a": "few channels", "b": "in no plan", "c": "few channels", "d": ""}
    rows = [Row({"layer": name, "why": text}) for name, text in said.items()]
    text = render_pages([Page("x", sheets=[Sheet(columns, rows)])], View(width=19))
    assert "why kept: a, c: few channels b: in no plan" in " ".join(text.split())


@pytest.mark.parametrize("width", [60, 100])
def test_of_a_conversion_rank_error_and_times_stay(width: int) -> None:
    cost = dscost.layer(in_channels=64, out_channels=64, kernel_size=3).totals.as_is
    conv = conv2d(64, 64, 3)
    converted = LayerOutcome(
        "features.block1.conv1", 1, "pointwise-first", None, True, 0.123, 1, 36_864, 4_672, cost, cost,
        (1.64e-3, 463e-6, False), conv,
    )  # fmt: skip
    kept = converted._replace(name="stem", rank=None, order=None, error=None, planned=False,
                              reason="fewer than 32 input channels", latency=None)  # fmt: skip
    text = render_pages(
        [Page("x", sheets=_layer_sheets([converted, kept], View()))], View(width=width)
    )
    assert all(cell in text for cell in ("rank", "1 pw-first", "0.123", "1.64 ms → 463 µs"))
    assert "fewer than 32 input channels" in text
    assert max(map(len, text.splitlines())) <= width
