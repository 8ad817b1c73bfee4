"""What a sweep says on a page and in files: its rows, exact and in one order."""

import csv
import json
from io import StringIO

import pytest
from swept import grid_of, sweep_of

from dscost.errors import DscostError, InputError
from dscost.pages import View
from dscost.rendering import render

COUNTED = sweep_of(grid_of(in_channels=(3, 16), input_size=(7, 14)))
TIMED = sweep_of(
    grid_of(in_channels=(3, 16), input_size=(7, 14)),
    lambda of, variant: of["in_channels"] / 8,
    latency_s=lambda of, variant: of["input_size"] * 1e-5,
)


def test_rows_have_the_columns_of_every_table_of_a_sweep_and_only_those_that_some_row_has() -> None:
    first, *_ = render(COUNTED, "csv").splitlines()
    assert first == (
        "in_channels,out_channels,kernel_size,stride,input_size,batch,dtype,variant,"
        "params,macs,weight_bytes,input_bytes,output_bytes,traffic_bytes,macs_reduction"
    )
    first, *_ = render(TIMED, "csv").splitlines()
    assert first.partition("macs_reduction,")[2] == (
        "runtime,threads,clock,device,latency_s,latency_low_s,latency_high_s,"
        "speedup,speedup_low,speedup_high,verdict,visits"
    )


def test_figures_are_exact_in_csv_and_json_and_the_same() -> None:
    document = json.loads(render(TIMED, "json"))
    rows = list(csv.DictReader(StringIO(render(TIMED, "csv"))))
    assert len(rows) == len(document["rows"]) == 8
    for row, cells in zip(rows, document["rows"], strict=True):
        assert {name: "" if cell is None else str(cell) for name, cell in cells.items()} == row
    macs = [row["macs"] for row in document["rows"][:2]]
    assert macs == [3 * 32 * 9 * 7 * 7, (3 * 9 + 3 * 32) * 7 * 7]
    assert document["rows"][1]["macs_reduction"] == 3 * 32 * 9 / (3 * 9 + 3 * 32)


def test_what_a_layer_does_not_have_is_unknown_and_no_zero() -> None:
    sweep = sweep_of(grid_of(kernel_size=(1,)))
    document = json.loads(render(sweep, "json"))
    lacking = document["rows"][1]
    assert lacking["macs"] is lacking["params"] is None
    assert lacking["note"]


def test_figures_that_follow_from_others_are_written_where_they_are_asked_for() -> None:
    rows = render(COUNTED, "csv", View(columns=("variant", "flops")))
    assert rows.splitlines()[:2] == ["variant,flops", f"standard,{2 * 3 * 32 * 9 * 7 * 7}"]
    with pytest.raises(DscostError, match="column"):
        render(COUNTED, "csv", View(columns=("speed",)))


def test_a_page_shows_columns_that_are_asked_for_after_what_rows_differ_in() -> None:
    page = render(COUNTED, "table", View(columns=("macs", "traffic_bytes")))
    header = next(line for line in page.splitlines() if "traffic" in line)
    assert header.split() == ["Cin", "size", "variant", "MACs", "traffic"]


def test_rows_are_sorted_largest_first_and_cut() -> None:
    page = render(TIMED, "table", View(columns=("latency_s",), sort="latency_s", top=2))
    rows = [line.split()[:2] for line in page.splitlines() if "µs" in line]
    assert rows == [["3", "14"], ["3", "14"]]
    assert "6 rows more" in page
    with pytest.raises(InputError, match="cannot sort by speedup: no row has it without --time"):
        render(COUNTED, "table", View(sort="speedup"))


def test_what_all_rows_have_in_common_is_told_once() -> None:
    assert "all with float32, Cout 32, k 3, stride 1, batch 1" in render(COUNTED)
