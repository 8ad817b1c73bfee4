from pathlib import Path

import pytest
from swept import HERE, grid_of, rows_of

from dscost.cli.kind_files import each_kind
from dscost.cli.output_options import Asked
from dscost.cli.printing import Output
from dscost.cli.table_files import Split, TableFile
from dscost.pages import View
from dscost.sweeping.records import Sweep

XEON, ARM = HERE, HERE._replace(device="Cortex A72")


def output(path: Path | None, *exports: tuple[str, Path]) -> Output:
    return Output("csv", path, exports, View(), quiet=True)


def swept(*places: object) -> Sweep:
    grid = grid_of(in_channels=(8, 16))
    rows = [row for where in places for row in rows_of(grid, lambda of, variant: 2.0, where=where)]
    return Sweep("2 convolutions", 2, rows)


def parted(*tables: TableFile, has_result: bool = False) -> Split:
    return Split(Asked(), tables, has_result)


def test_one_kind_of_device_keeps_the_file_that_was_named() -> None:
    out, found = output(Path("lut.csv")), swept(XEON, XEON._replace(host="b"))
    assert [one[0].path for one in each_kind(out, parted(), found)] == [Path("lut.csv")]


def test_two_kinds_have_a_file_each_and_nothing_goes_to_stdout() -> None:
    out = output(Path("out/lut.csv"), ("json", Path("all.json")))
    written = list(each_kind(out, parted(), swept(XEON, ARM)))
    assert [one.path for one, _, _ in written] == [
        Path("out/lut-xeon.csv"),
        Path("out/lut-cortex-a72.csv"),
    ]
    assert [one.exports for one, _, _ in written] == [
        (("json", Path("all-xeon.json")),),
        (("json", Path("all-cortex-a72.json")),),
    ]
    assert all(one.is_silent for one, _, _ in written)
    assert [{row.where.device for row in found.rows if row.where} for _, _, found in written] == [
        {"Xeon"},
        {"Cortex A72"},
    ]


def test_what_goes_to_stdout_is_of_all_kinds(capsys: pytest.CaptureFixture[str]) -> None:
    found = swept(XEON, ARM)
    first, *others = each_kind(output(None, ("json", Path("all.json"))), parted(), found)
    assert (first[0].path, first[0].exports, first[2]) == (None, (), found)
    assert [one.exports[0][1].name for one, _, _ in others] == [
        "all-xeon.json",
        "all-cortex-a72.json",
    ]
    first[0].write(first[2])
    printed = capsys.readouterr().out
    assert "Xeon" in printed
    assert "Cortex A72" in printed


def test_tables_that_are_no_text_have_a_file_of_each_kind_too() -> None:
    table = TableFile("parquet", Path("lut.parquet"))
    written = list(each_kind(output(None), parted(table, has_result=True), swept(XEON, ARM)))
    assert [split.tables[0].path for _, split, _ in written] == [
        Path("lut-xeon.parquet"),
        Path("lut-cortex-a72.parquet"),
    ]
