"""Sweeps of more rows than are held: written as they are counted, told by their ends."""

import csv
import json
import subprocess
import sys
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from program import run

import dscost
from dscost.cli import sweep as command
from dscost.sweeping.chunks import count_grids
from dscost.sweeping.grids import Axis
from dscost.sweeping.making_grids import Setup, grid_of
from dscost.sweeping.row_tables import table_of
from dscost.sweeping.spreading import spread_sweep
from dscost.sweeping.swept import layers_of
from dscost.sweeping.writing import write_tables

AXES = ("--cin", "1:60", "--cout", "1:60", "-k", "3")
LARGE = ("sweep", *AXES)
"""3,600 convolutions and as many depthwise-separable ones, but of the one that is depthwise: 1 → 1."""
ROWS = 2 * 3600 - 1
LACKING = (
    "1 layer has no depthwise-separable and no row for it, such as: "
    "it is depthwise already (groups = in_channels = 1)"
)


def read(path: Path) -> list[dict[str, Any]]:
    if path.suffix == ".csv":
        return list(csv.DictReader(StringIO(path.read_text())))
    if path.suffix == ".jsonl":
        return [json.loads(line) for line in path.read_text().splitlines()]
    parquet = pytest.importorskip("pyarrow.parquet")
    rows: list[dict[str, Any]] = parquet.read_table(path).to_pylist()
    return rows


@pytest.mark.parametrize("ending", ["csv", "jsonl", "parquet"])
def test_a_large_sweep_is_written_as_it_is_counted(ending: str, tmp_path: Path) -> None:
    ran = run(*LARGE, "-o", f"t.{ending}", cwd=tmp_path)
    assert (ran.returncode, ran.stdout) == (0, "")
    rows = read(tmp_path / f"t.{ending}")
    assert ran.stderr == f"wrote t.{ending} ({len(rows):,} rows)\n{LACKING}\n"
    assert {row["variant"] for row in rows} == {"standard", "depthwise_separable"}
    last = rows[-1]
    assert int(last["macs"]) == (60 * 9 + 60 * 60) * 14 * 14
    assert float(last["macs_reduction"]) == pytest.approx(1 / (1 / 60 + 1 / 9))


@pytest.mark.parametrize("format_name", ["csv", "jsonl"])
def test_a_small_sweep_has_the_same_rows_as_a_large_one(
    format_name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    grid = (
        *("sweep", "--cin", "8,9,12", "--cout", "2 * cin", "-k", "1,3,5x3", "--groups", "1,3"),
        *("--variant", "ghost,depthwise_separable,grouped:4", "--padding", "same,1", "--bias", "yes,no"),
        *("--format", format_name),
    )  # fmt: skip
    small = run(*grid)
    monkeypatch.setattr(command, "HELD_ROWS", 1)
    large = run(*grid)
    assert small.returncode == large.returncode == 0
    assert small.stdout == large.stdout
    assert small.stderr == large.stderr
    assert (
        "cannot exist, such as cin 8, cout 16, k 1, padding same, groups 3, bias True"
        in small.stderr
    )


GRID = ("sweep", "--cin", "8,16", "--cout", "8", "-k", "3")


@pytest.mark.parametrize("ending", ["csv", "parquet"])
@pytest.mark.parametrize(
    ("asked", "told"),
    [
        ("--sort macs", "--sort has no meaning for --format {ending}"),
        ("--top 1", "--top has no meaning for --format {ending}"),
        ("--columns latency_s", "unknown column 'latency_s'"),
        ("--columns macs,host", "unknown column 'host'"),
        ("--columns grid", "unknown column 'grid'"),
        ("--columns note", "unknown column 'note'"),
    ],
)
def test_parquet_is_refused_what_csv_is(ending: str, asked: str, told: str, tmp_path: Path) -> None:
    ran = run(*GRID, *asked.split(), "-o", f"t.{ending}", cwd=tmp_path)
    assert (ran.returncode, ran.stdout) == (2, "")
    assert ran.stderr.startswith(f"dscost: {told.format(ending=ending)}")
    assert list(tmp_path.iterdir()) == []


def test_many_rows_are_sorted_in_no_format(tmp_path: Path) -> None:
    ran = run(*LARGE, "--sort", "macs", "-o", "t.csv", cwd=tmp_path)
    assert (ran.returncode, ran.stderr) == (2, "dscost: --sort has no meaning for --format csv\n")


@pytest.mark.parametrize("format_name", ["csv", "table"])
def test_the_grids_of_a_file_are_a_column_that_can_be_chosen(format_name: str) -> None:
    ran = run("sweep", "heads", "--columns", "grid,macs", "--format", format_name)
    assert (ran.returncode, ran.stderr) == (0, "")
    assert "last convolution" in ran.stdout


def test_columns_are_chosen_by_name() -> None:
    text = run(*LARGE, "--format", "csv", "--columns", "macs,flops,in_channels").stdout
    assert text.splitlines()[:2] == ["macs,flops,in_channels", f"{9 * 196},{2 * 9 * 196},1"]
    ran = run(*LARGE, "--format", "csv", "--columns", "mcas")
    assert (ran.returncode, ran.stderr) == (
        2,
        "dscost: unknown column 'mcas' (did you mean 'macs'?)\n",
    )


def test_to_a_terminal_a_large_sweep_says_how_many_and_how_they_are_had() -> None:
    ran = run(*LARGE)
    assert ran.returncode == 0
    first, *lines = ran.stdout.splitlines()
    assert first == "3,600 convolutions: cin 1–60 (60), cout 1–60 (60), k 3, size 14"
    assert any(line.startswith("standard") and "3,600" in line for line in lines)
    assert len(lines) < 12
    assert "-o TABLE.parquet" in lines[-1]


def test_its_ends_are_those_of_its_rows_in_whatever_part_they_are() -> None:
    grid = grid_of(
        {"in_channels": "4:12", "out_channels": "4,8", "kernel_size": "1,3", "groups": "1,4"},
        Setup(dscost_variants("depthwise_separable", "grouped:4")),
    )
    parts = [
        grid,
        *(
            grid._replace(axes=(axis, *grid.axes[1:]))
            for axis in (Axis("in_channels", (1,)), Axis("in_channels", (40, 64)))
        ),
    ]
    found, held = spread_sweep(parts), layers_of(parts).counted()
    assert (found.size, found.impossible) == (held.size, held.impossible)
    for one in found.spreads:
        rows = [row for row in held.rows if row.variant == one.variant]
        there = [row for row in rows if not row.note]
        assert one.rows == len(there)
        assert (one.least_macs, one.most_macs) == (
            min(row.cost.macs for row in there), max(row.cost.macs for row in there),
        )  # fmt: skip
        known = [row.reduction.macs for row in there if row.reduction and row.reduction.macs]
        ends = (min(known), max(known)) if known else (None, None)
        assert (one.least_reduction, one.most_reduction) == ends
        assert (one.lacking.number if one.lacking else 0) == len(rows) - len(there)


def dscost_variants(*names: str) -> Any:
    from dscost.layers.choosing import parse_variants

    return parse_variants(names)


def test_several_files_and_the_summary_at_once(tmp_path: Path) -> None:
    ran = run(
        *LARGE, "--export", "a.csv", "--export", "parquet=b", "--export", "c.md", cwd=tmp_path
    )
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.startswith("3,600 convolutions")
    assert [line.split(" (")[0] for line in ran.stderr.splitlines()] == [
        "wrote a.csv",
        "wrote b",
        LACKING.partition(" (")[0],
        "wrote c.md",
    ]
    assert len(read(tmp_path / "a.csv")) == ROWS


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ("--json", "json: 7,200 rows are too many for one document, at most 5,000; use csv, jsonl or parquet"),
        ("--export json=x.json", "json: 7,200 rows are too many for one document"),
        ("--format latex --top 3", "--top: 7,200 rows are too many to be shown, at most 5,000; --format csv or -o"),
        ("--sort macs", "--sort: 7,200 rows are too many to be shown"),
        ("--columns macs", "--columns: 7,200 rows are too many to be shown"),
        ("-o x.csv --export x.md", "--export markdown: 7,200 rows are written as csv, jsonl, parquet"),
        ("--format parquet", "Parquet is written to a file: -o TABLE.parquet"),
        ("-o x.csv --export csv=x.csv", "two results would be written to one file: x.csv"),
        ("-o nowhere/x.csv", "cannot write nowhere/x.csv: there is no folder nowhere"),
        ("--groups 61 -o x.csv", "none of 3,600 layers can exist, such as cin 1, cout 1: groups=61 does not"),
    ],
)  # fmt: skip
def test_what_needs_rows_that_are_not_held_is_refused(
    arguments: str, told: str, tmp_path: Path
) -> None:
    ran = run(*LARGE, *arguments.split(), cwd=tmp_path)
    assert (ran.returncode, ran.stdout) == (2, "")
    assert ran.stderr.startswith(f"dscost: {told}")
    assert list(tmp_path.iterdir()) == []


def test_a_reader_that_has_seen_enough_ends_it() -> None:
    code = f"from dscost.cli import main; import sys; sys.argv = ['dscost', *{[*LARGE, '--format', 'csv']!r}]; main()"
    process = subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert process.stdout
    assert process.stderr
    process.stdout.readline()
    process.stdout.close()
    assert process.stderr.read() == b""
    assert process.wait() == 0
    process.stderr.close()


def test_a_large_sweep_without_numpy_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.startswith("dscost.sweeping.")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "numpy", None)
    ran = run(*LARGE)
    assert (ran.returncode, ran.stdout) == (2, "")
    assert ran.stderr == "dscost: 7,200 rows: numpy is not installed: pip install 'dscost[sweep]'\n"


def test_from_python_more_rows_than_can_be_held_are_refused() -> None:
    with pytest.raises(
        dscost.DscostError, match=r"^200,000 rows are too many to be held, at most 1"
    ):
        dscost.sweep("1:1000", "1:100", 3)


@pytest.mark.parametrize("ending", ["csv", "jsonl", "parquet"])
def test_from_python_any_number_is_written_to_a_table(ending: str, tmp_path: Path) -> None:
    table = tmp_path / f"t.{ending}"
    found = dscost.sweep("1:60", "1:60", 3, table=table)
    assert (found.size, list(found.rows), [one.rows for one in found.spreads]) == (
        3600,
        [],
        [3600, 3599],
    )
    assert len(read(table)) == ROWS
    assert str(found) == run(*LARGE).stdout.rstrip("\n")
    assert repr(found) == f"<Sweep {found.title}: 7,199 rows>"
    small = dscost.sweep(8, 8, 3, table=table)
    assert (len(small.rows), len(read(table))) == (2, 2)
    dscost.sweep(model="mobilenet_v1", table=table)
    assert [row["variant"] for row in read(table)] == ["as_is", "standard", "depthwise_separable"]


def test_from_python_a_table_is_a_file_of_rows(tmp_path: Path) -> None:
    with pytest.raises(
        dscost.DscostError,
        match=r"^table: expected a file that ends in \.csv, \.jsonl, \.parquet, found 'x\.md'$",
    ):
        dscost.sweep(8, 8, 3, table="x.md")
    with pytest.raises(dscost.DscostError, match="there is no folder"):
        dscost.sweep(8, 8, 3, table=tmp_path / "nowhere" / "x.csv")


# -- rows that are held, as a table


@pytest.mark.parametrize("ending", ["csv", "jsonl", "parquet"])
def test_held_rows_are_written_as_parquet_too(ending: str, tmp_path: Path) -> None:
    arguments = "sweep --model mobilenet_v1 --set width=0.5,1.0 --input 128,160".split()
    ran = run(*arguments, "-o", f"t.{ending}", cwd=tmp_path)
    assert (ran.returncode, ran.stdout) == (0, "")
    rows = read(tmp_path / f"t.{ending}")
    assert list(rows[0])[:3] == ["model", "width", "input"]
    assert [float(row["width"]) for row in rows[::6]] == [0.5, 1.0]
    assert (rows[0]["macs_reduction"] or None) is None
    assert int(rows[9]["macs"]) > 10**8


def test_a_table_of_rows_is_that_of_their_grid(tmp_path: Path) -> None:
    grid = grid_of(
        {"in_channels": "8,16", "out_channels": "8", "kernel_size": "1,5x3"},
        Setup(dscost_variants("depthwise_separable")),
    )
    held = layers_of([grid]).counted()
    one, other = tmp_path / "one.csv", tmp_path / "other.csv"
    write_tables([table_of(held.rows)], one, "csv")
    write_tables(count_grids([grid]), other, "csv")
    assert one.read_text() == other.read_text()
