"""What a sweep says on a page and in files: its rows, exact and in one order."""

import csv
import json
import re
from io import StringIO
from itertools import pairwise
from pathlib import Path

import pytest
from jsonschema import Draft7Validator
from swept import HERE, grid_of, rows_of, sweep_of

from dscost import sweep
from dscost.errors import DscostError, InputError, UnknownNameError
from dscost.pages import View
from dscost.pages.sweeps import headlines
from dscost.rendering import render
from dscost.reports.records import Speedup
from dscost.schemas import schema
from dscost.sweeping.records import NOT_YET, Drift, Impossible, Kernels, Row, Spread, Sum, Sweep

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
        "runtime,threads,clock,device,versions,latency_s,latency_low_s,latency_high_s,"
        "speedup,speedup_low,speedup_high,verdict,visits"
    )


def test_rows_tell_versions_always_and_the_machine_where_it_is_asked_for() -> None:
    where = HERE._replace(versions={"torch": "2.13.0+cpu", "dscost": "0.1.0"}, host="desk")
    sweep = sweep_of(grid_of(in_channels=(3,)), lambda of, variant: 2.0, where=where)
    row, *_ = csv.DictReader(StringIO(render(sweep, "csv")))
    assert row["versions"] == "dscost 0.1.0; torch 2.13.0+cpu"
    document = json.loads(render(sweep, "json"))
    assert document["rows"][0]["versions"] == row["versions"]
    for text in (render(sweep, "csv"), json.dumps(document), render(sweep)):
        assert "desk" not in text
    asked = View(columns=("host", "versions"))
    assert render(sweep, "csv", asked).splitlines()[1] == f"desk,{row['versions']}"
    page = render(sweep, view=asked)
    assert "desk" in page
    assert row["versions"] in page
    assert "desk" not in render(sweep, view=View(wide=True))
    with pytest.raises(UnknownNameError, match="unknown column 'host'"):
        render(COUNTED, "csv", asked)


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
    assert "All with Cout 32, k 3, stride 1, batch 1, float32." in render(COUNTED)


def test_padding_that_keeps_the_size_is_neither_common_nor_a_column() -> None:
    page = render(sweep("8,16", 32, "1,3"))
    assert (
        "All with Cout 32, stride 1, dilation 1, groups 1, no bias, size 14, batch 1, float32."
        in page
    )
    assert "Cin   k   variant" in page


# -- the map


def blocks(page: str) -> list[list[str]]:
    """Return the lines of each sheet of the map of a page, its header first."""
    lines = page.splitlines()
    starts = [at for at, line in enumerate(lines) if " \\ " in line]
    found = []
    for at in starts:
        end = next(place for place in range(at, len(lines)) if not lines[place].strip())
        found.append([lines[at], *lines[at + 2 : end]])
    return found


def cells(page: str) -> list[list[str]]:
    (block,) = blocks(page)
    return [line.split() for line in block[1:]]


def test_the_map_has_input_channels_down_sizes_across_and_marks_what_is_no_gain() -> None:
    table = {(3, 7): 0.62, (3, 14): 1.0, (16, 7): Speedup(1.05, (0.9, 1.2)), (16, 14): 3.42}
    grid = grid_of(in_channels=(3, 16), input_size=(7, 14))
    page = render(sweep_of(grid, lambda of, variant: table[of["in_channels"], of["input_size"]]))
    (block,) = blocks(page)
    assert block[0].split() == ["Cin", "\\", "size", "7", "14"]
    assert cells(page) == [["3", "0.62×!", "1.00×="], ["16", "1.05×?", "3.4×"]]
    assert "In the map: ! slower, ? unclear, = no difference." in page


def test_the_map_is_coloured_by_what_the_clock_says() -> None:
    grid = grid_of(in_channels=(3, 16), input_size=(7, 14))
    page = render(
        sweep_of(grid, lambda of, variant: 0.5 if of["in_channels"] == 3 else 2.5),
        "table",
        View(width=100, color=True),
    )
    first, second = blocks(re.sub("\x1b\\[1m|\x1b\\[0m", "", page))[0][1:]
    assert first.split("\x1b[31m")[1].split() == ["0.50×!", "0.50×!"]
    assert second.split("\x1b[32m")[1].split() == ["2.5×", "2.5×"]


def test_the_map_of_a_sweep_that_is_only_counted_has_what_is_saved_in_macs() -> None:
    # 1 / (1/N + 1/k²): 32 · 9 / (32 + 9), 32 · 25 / (32 + 25), and the same for 128
    page = render(sweep_of(grid_of(out_channels=(32, 128), kernel_size=(3, 5))))
    assert "Times fewer MACs than standard: separable" in page
    assert cells(page) == [["32", "7.0×", "14.0×"], ["128", "8.4×", "20.9×"]]


def test_a_variant_that_costs_more_is_marked() -> None:
    # 16 → 96 → 96 → 16 on 3 × 3: 96 · (16 + 9 + 16) against 16 · 16 · 9
    page = render(
        sweep_of(grid_of(("inverted_residual:6",), out_channels=(16, 64), kernel_size=(3, 5)))
    )
    assert cells(page)[0][1] == f"{16 * 16 * 9 / (96 * (16 + 9 + 16)):.2f}×!"
    assert "In the map: ! more MACs." in page


def test_what_no_saving_depends_on_is_no_axis_of_its_map() -> None:
    page = render(
        sweep_of(
            grid_of(
                in_channels=(3, 16), out_channels=(8, 32), kernel_size=(3, 5), input_size=(7, 14)
            )
        )
    )
    (block,) = blocks(page)
    assert block[0].split() == ["Cout", "\\", "k", "3", "5"]
    assert "That does not depend on Cin or size." in page


def test_several_output_channels_stand_beside_the_input_channels() -> None:
    grid = grid_of(in_channels=(3, 16), out_channels=(8, 32), input_size=(7, 14))
    page = render(sweep_of(grid, lambda of, variant: 2.0))
    assert [line[0] for line in cells(page)] == ["3→8", "3→32", "16→8", "16→32"]


def test_where_there_are_too_many_pairs_each_number_of_output_channels_has_its_map() -> None:
    grid = grid_of(in_channels=tuple(range(8, 80, 8)), out_channels=(8, 16, 32), input_size=(7, 14))
    page = render(sweep_of(grid, lambda of, variant: 2.0))
    assert [f"separable, Cout {cout}" in page for cout in (8, 16, 32)] == [True] * 3
    assert [len(block) for block in blocks(page)] == [1 + 9] * 3


def test_output_channels_that_follow_stand_beside_the_input_channels() -> None:
    grid = grid_of(ties={"out_channels": "2 * cin"}, in_channels=(8, 16), input_size=(7, 14))
    page = render(sweep_of(grid, lambda of, variant: 2.0))
    assert [line[0] for line in cells(page)] == ["8→16", "16→32"]


def test_what_else_varies_has_a_map_each_and_it_is_said_how_many_more_there_are() -> None:
    grid = grid_of(in_channels=(3, 16), input_size=(7, 14), kernel_size=(3, 5), batch=(1, 2, 4, 8))
    page = render(sweep_of(grid, lambda of, variant: 2.0))
    assert len(blocks(page)) == 6
    assert "2 maps more of this kind: a file holds every cell." in page


def test_of_many_values_some_are_drawn_evenly_with_both_ends() -> None:
    grid = grid_of(in_channels=tuple(range(8, 520, 8)), input_size=(7, 14))
    page = render(sweep_of(grid, lambda of, variant: 2.0))
    found = [int(line[0]) for line in cells(page)]
    assert (len(found), found[0], found[-1]) == (24, 8, 512)
    assert {later - earlier for earlier, later in pairwise(found)} <= {16, 24}
    assert "Drawn are 24 of 64 values of Cin; a file holds all." in page


def test_a_list_of_layers_that_are_no_grid_has_no_map() -> None:
    rows = [
        row
        for cin, size in ((3, 112), (32, 56), (64, 28))
        for row in rows_of(
            grid_of(in_channels=(cin,), input_size=(size,), kernel_size=(3 + 2 * (cin % 5),))
        )
    ]
    assert blocks(render(COUNTED._replace(rows=rows))) == []


WIDE = sweep_of(
    grid_of(in_channels=(3, 16, 512), input_size=tuple(range(7, 112, 7))),
    lambda of, variant: of["in_channels"] * of["input_size"] / 700,
)


@pytest.mark.parametrize("width", [46, 60, 100, 200])
def test_no_figure_is_cut_and_no_line_is_wider_than_the_terminal(width: int) -> None:
    page = render(WIDE, "table", View(width=width))
    assert max(map(len, page.splitlines())) <= width
    assert "…" not in page
    drawn = [line.split()[1:] for block in blocks(page) for line in block[1:]]
    every = [line.split()[1:] for block in blocks(render(WIDE)) for line in block[1:]]
    of_each = [[cell for row in drawn[at::3] for cell in row] for at in range(3)]
    assert of_each == every
    assert len(every[0]) == 15


def test_markdown_has_the_same_cells_in_one_table() -> None:
    text = render(WIDE, "markdown", View(width=60))
    rows = [line for line in text.splitlines() if line.startswith("| 3 |") and "×" in line]
    expected = blocks(render(WIDE))[0][1].split()
    assert [cell.strip() for cell in rows[0].strip("|").split("|")] == expected


# -- what a sweep lacks, and what moved


def test_what_cannot_be_and_what_is_still_to_come_is_said() -> None:
    page = render(
        TIMED._replace(
            size=60,
            impossible=Impossible(12, "groups 2, cin 3: no whole number"),
            unfinished=1,
            journal="sweep.jsonl",
            warnings=("Noisy: load 3.",),
        )
    )
    assert "12 of 60 layers cannot exist, such as groups 2, cin 3: no whole number" in page
    assert (
        "1 case is still to be timed. What was measured is in sweep.jsonl: the same command goes on from there."
        in page
    )
    assert "Noisy: load 3." in page


def test_drift_is_told_and_what_was_measured_again() -> None:
    drift = Drift(HERE, 1.234e-3, 0.985, 1.04, again=3, still=1)
    page = render(TIMED._replace(drift=(drift,)))
    assert (
        "The reference layer took 1.23 ms, from −1.5 % to +4.0 % along the way; 3 cases were measured again; "
        "during 1 case it was off, or moved, by more than 3 % each time: the column note tells which."
    ) in page
    assert json.loads(render(TIMED._replace(drift=(drift,)), "json"))["drift"][0]["highest"] == 1.04


def test_one_note_more_is_told_as_one() -> None:
    first, *_ = TIMED.rows
    rows = [first._replace(variant=f"v{n}", note=f"why {n}") for n in range(5)]
    assert "1 more note is in the column note." in render(TIMED._replace(rows=(first, *rows)))


def test_why_layers_have_no_variant_is_said_once() -> None:
    page = render(sweep_of(grid_of(kernel_size=(1, 3), in_channels=(8, 16))))
    assert page.count("no spatial part") == 1
    assert "separable, 2 layers, such as 8→32, k 1: " in page


def test_a_variant_that_a_layer_has_not_stands_where_the_layer_was_timed() -> None:
    there = HERE._replace(threads=2)
    grid = grid_of(kernel_size=(1, 3), in_channels=(8, 16))
    rows = [
        row if row.cost.macs else row._replace(where=None)
        for where in (HERE, there)
        for row in rows_of(grid, lambda of, variant: 2.0, where=where)
    ]
    page = render(TIMED._replace(rows=rows))
    assert page.count("The table: 8 rows") == 2
    assert "Not timed" not in page


MODELS = [
    row._replace(
        of={"model": "net", "width": width, "input": size, "batch": 1, "dtype": "float32"},
        variant=variant,
    )
    for width in (0.25, 0.5, 1.0)
    for size in (128, 224)
    for row, variant in zip(
        rows_of(
            grid_of(in_channels=(int(64 * width),), input_size=(size // 8,)),
            lambda of, variant: 2.0 if of["in_channels"] > 16 else 0.5,
            lambda of, variant: of["in_channels"] * 1e-5,
        ),
        ("as_is", "depthwise_separable"),
        strict=True,
    )
]
"""What is said of models, whose rows are those of layers here."""


def test_models_are_called_models_and_compared_with_what_they_are() -> None:
    page = render(TIMED._replace(rows=MODELS))
    assert (
        "separable pays from width 0.5 at every size; it is faster in 4 of 6 models, slower in 2"
        in page
    )
    assert "Times as fast as the model: separable" in page
    (block,) = blocks(page)
    assert block[0].split() == ["width", "\\", "input", "128", "224"]
    assert cells(page)[0] == ["0.25", "0.50×!", "0.50×!"]
    assert "more work against less: none out of order" in page
    document = json.loads(render(TIMED._replace(rows=MODELS), "json"))
    # 4 steps of the width and 3 of the input, of the model and of its variant
    assert document["order"]["checked"] == 2 * (2 * 2 + 3)
    assert [(one["along"], one["of"], one["begins"]) for one in document["crossovers"]] == [
        ("width", {"input": 128}, 0.5),
        ("width", {"input": 224}, 0.5),
    ]


def test_what_is_still_to_be_timed_is_no_note_of_each_row() -> None:
    rows = [
        row._replace(latency_s=None, ci95_s=None, speedup=None, note=NOT_YET) for row in TIMED.rows
    ]
    page = render(TIMED._replace(rows=rows, unfinished=4))
    assert NOT_YET not in page
    assert "4 cases are still to be timed." in page
    assert render(TIMED._replace(rows=rows), "csv").count(NOT_YET) == 8


def test_how_it_was_timed_is_said_with_versions() -> None:
    where = HERE._replace(versions={"onnxruntime": "1.23.2"})
    page = render(
        TIMED._replace(rows=list(rows_of(grid_of(), lambda of, variant: 2.0, where=where)))
    )
    assert "Measured on Xeon, ONNX Runtime 1.23.2, 1 thread: random weights and inputs" in page


def test_each_kind_of_device_has_pages_of_its_own() -> None:
    there = HERE._replace(device="Jetson", threads=4)
    grid = grid_of(in_channels=(3, 16), input_size=(7, 14))
    rows = [*TIMED.rows, *rows_of(grid, lambda of, variant: 0.5, where=there)]
    drifts = (Drift(HERE, 1e-3, 0.98, 1.02), Drift(there, 2e-3, 0.98, 1.02))
    page = render(TIMED._replace(rows=rows, drift=drifts))
    first, second = page.split("\nJetson, ONNX Runtime, 4 threads\n")
    assert "The reference layer took 1.00 ms" in first
    assert "The reference layer took 2.00 ms" in second
    assert page.count("The reference layer") == 2
    assert page.count("On Xeon, ONNX Runtime, 1 thread: separable") == 1
    assert page.count("On Jetson, ONNX Runtime, 4 threads: separable") == 1
    assert "Jetson, ONNX Runtime, 4 threads" in page.splitlines()
    assert len(blocks(page)) == 2
    header = render(TIMED._replace(rows=rows), "csv").splitlines()[0]
    assert "runtime,threads,clock,device" in header


def test_json_carries_answers_losses_and_order_beside_the_rows() -> None:
    document = json.loads(render(TIMED, "json"))
    assert [one["outcome"] for one in document["crossovers"]] == ["from", "from"]
    assert [(one["in_channels"], one["speedup"]) for one in document["losses"]] == [
        (3, 0.375),
        (3, 0.375),
    ]
    assert document["order"] == {"checked": 8, "noise_floor": 0.03, "violations": []}
    assert document["command"] == "sweep"
    assert "macs" in document["conventions"]


def test_a_sweep_of_nothing_timed_has_neither_losses_nor_order() -> None:
    document = json.loads(render(COUNTED, "json"))
    assert document["crossovers"] == document["losses"] == []
    assert document["order"]["checked"] == 0


def test_characters_have_stand_ins_of_the_same_width() -> None:
    page = render(WIDE, "table", View(width=60, encoding="ascii"))
    assert page.isascii()
    assert max(map(len, page.splitlines())) <= 60


# -- the schema of the JSON


def out_of_order(row: Row) -> Row:
    """Return a row of 14 × 14 as fast as none of 7 × 7 is."""
    return row._replace(latency_s=1e-6, ci95_s=(1e-6, 1e-6)) if row.of["input_size"] == 14 else row


SAID = {
    "counted": COUNTED,
    "timed": TIMED,
    "all there is": TIMED._replace(
        rows=list(map(out_of_order, TIMED.rows)),
        impossible=Impossible(12, "groups 2, cin 3: no whole number"),
        unfinished=1,
        journal="sweep.jsonl",
        warnings=("Noisy.",),
        spreads=(Spread("ghost", 5, 1, 2, 1.5, 2.5, Impossible(1, "k 1")),),
        drift=(Drift(HERE._replace(versions={"onnxruntime": "1.23"}), 1e-3, 0.98, 1.02),),
        sums=(
            Sum("net", HERE, 2, 5, 3e-3, 2e-3, (0.4, 0.6), ("concat",), 1)._replace(
                kernels=(Kernels("Conv + Add", 0, 2),), ops=(Kernels("Conv", 5, 5, 2e-3, 1e-3),)
            ),
        ),
    ),
    "lacking": sweep("8,16", 32, "1,5x3", padding="same"),
    "models": TIMED._replace(rows=MODELS),
}


@pytest.mark.parametrize("said", SAID.values(), ids=SAID)
def test_the_json_of_a_sweep_has_the_keys_of_its_schema(said: Sweep) -> None:
    document = json.loads(render(said, "json"))
    known = schema("swept")
    Draft7Validator(known).validate(document)
    assert document.keys() == known["properties"].keys()
    for name, found in (
        ("Crossover", document["crossovers"]),
        ("Violation", document["order"]["violations"]),
    ):
        for one in found:
            assert one.keys() == known["definitions"][name]["properties"].keys()
    if said is not SAID["models"]:
        columns = known["definitions"]["Row"]["properties"].keys()
        assert all(row.keys() <= columns for row in (*document["rows"], *document["losses"]))


def test_the_examples_of_the_schema_have_all_there_is() -> None:
    document = json.loads(render(SAID["all there is"], "json"))
    assert all(document[key] for key in document if key != "conventions")
    assert document["order"]["violations"]


# -- grids with names


def of_named_grids(speedup: float = 2.0) -> Sweep:
    rows = [
        row._replace(of={"grid": name, **row.of}, key=f"{name} {row.key}")
        for name, cin, size in (("stem", 3, 112), ("body", 32, 56), ("a head", 64, 28))
        for row in rows_of(
            grid_of(in_channels=(cin,), input_size=(size,), kernel_size=(3, 5)),
            lambda of, variant: speedup if of["kernel_size"] == 5 else 0.5,
        )
    ]
    return TIMED._replace(rows=rows)


def test_the_map_of_named_grids_has_their_names_down_as_they_come() -> None:
    page = render(of_named_grids())
    (block,) = blocks(page)
    assert block[0].split() == ["grid", "\\", "k", "3", "5"]
    assert [line[:6].rstrip() for line in block[1:]] == ["stem", "body", "a head"]


def test_where_no_layers_differ_in_channels_alone_another_axis_is_asked_about() -> None:
    document = json.loads(render(of_named_grids(), "json"))
    assert [(one["along"], one["begins"], one["of"]["grid"]) for one in document["crossovers"]] == [
        ("kernel_size", 5, "stem"),
        ("kernel_size", 5, "body"),
        ("kernel_size", 5, "a head"),
    ]
    header = next(
        line for line in render(of_named_grids()).splitlines() if line.startswith("grid  ")
    )
    assert header.split() == ["grid", "pays"]  # channels and size follow from the name


def test_a_table_that_differs_in_everything_has_short_headers_where_there_is_little_room() -> None:
    said = sweep(
        "8,16",
        "16,32",
        "3,5",
        stride="1,2",
        dilation="1,2",
        groups="1,2",
        bias="true,false",
        batch="1,16",
    )
    page = render(said, "table", View(width=60, top=2))
    assert max(map(len, page.splitlines())) <= 60
    header = next(line for line in page.splitlines() if "variant" in line)
    assert header.split()[:9] == ["Cin", "Cout", "k", "s", "d", "g", "bias", "B", "variant"]


def test_a_map_has_all_channels_where_those_of_the_output_follow_from_those_of_the_input() -> None:
    grid = grid_of(ties={"out_channels": "2 * cin"}, in_channels=(16, 64, 256), kernel_size=(3, 5))
    page = render(sweep_of(grid), "table")
    assert re.findall(r"^ *(\d+→\d+) .*×$", page, re.MULTILINE) == ["16→32", "64→128", "256→512"]
    assert "does not depend" not in page


def test_a_map_leaves_out_what_its_cells_do_not_depend_on() -> None:
    page = render(sweep_of(grid_of(in_channels=(16, 64), out_channels=(16, 32))), "table")
    assert "That does not depend on Cin." in page


def test_a_timed_sweep_has_its_answers_in_a_few_sentences() -> None:
    drift = Drift(HERE, 1e-3, 0.9, 1.2, again=1, still=1)
    said = headlines(TIMED._replace(drift=(drift,)))
    assert said[0].startswith("On Xeon, ONNX Runtime, 1 thread: separable pays")
    assert any("neighbours checked" in line for line in said)
    assert said[-1].startswith("The reference layer took 1.00 ms, from −10.0 % to +20.0 %")


def test_a_sweep_saves_itself_as_parquet_too(tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet", reason="pyarrow is an extra")
    path = tmp_path / "table.parquet"
    COUNTED.save(path)
    macs = [16 * 32 * 9 * 14 * 14, (16 * 9 + 16 * 32) * 14 * 14]
    assert parquet.read_table(path).column("macs").to_pylist()[-2:] == macs
    COUNTED.save(tmp_path / "table.csv")
    assert (tmp_path / "table.csv").read_text().startswith("in_channels,")
