"""Tables of sweeps as files: what is read is what was written, and nothing is left of what failed."""

import csv
import errno
import importlib.util
import io
import json
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from test_sweep_counting import cells, grid_of

from dscost.errors import OutputError, UnavailableError, UnknownNameError
from dscost.sweeping import FORMATS
from dscost.sweeping.ahead import ahead
from dscost.sweeping.chunks import count_grid
from dscost.sweeping.column_tables import Table
from dscost.sweeping.counting import COUNTED
from dscost.sweeping.grids import Grid
from dscost.sweeping.writing import write_tables

SMALL = grid_of(
    ["depthwise_separable", "grouped:8"],
    in_channels=(8, 100, 24),
    out_channels=(8, 1024),
    kernel_size=(1, 3, (5, 3)),
    padding=(None, "same", 1),
    bias=(False, True),
    groups=(1, 3),
)
"""Pairs, words, nothing, true and false; impossible layers and variants that are lacking."""


def written(
    grid: Grid, format: str, columns: list[str] | None = None, chunk_rows: int = 50
) -> bytes:
    """Return what is written to a stream."""
    stream = io.BytesIO()
    write_tables(count_grid(grid, columns, chunk_rows=chunk_rows), stream, format)
    return stream.getvalue()


def expected(grid: Grid, columns: list[str] | None = None) -> list[dict[str, Any]]:
    return cells(count_grid(grid, columns))


@pytest.mark.parametrize(
    "columns", [None, list(COUNTED), ["macs"], ["flops_per_byte", "kernel_size"]]
)
def test_the_csv_module_reads_what_it_would_have_written(columns: list[str] | None) -> None:
    rows = expected(SMALL, columns)
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    assert written(SMALL, "csv", columns).decode() == text.getvalue()


@pytest.mark.parametrize(
    "columns", [None, list(COUNTED), ["macs"], ["flops_per_byte", "kernel_size"]]
)
def test_each_line_is_the_json_of_a_row(columns: list[str] | None) -> None:
    lines = written(SMALL, "jsonl", columns).decode().splitlines()
    assert lines == [json.dumps(row) for row in expected(SMALL, columns)]


def test_counts_of_all_lengths_are_written_to_the_last_digit() -> None:
    grid = grid_of(
        in_channels=[1, *(10**n - d for n in range(1, 7) for d in (1, 0))], input_size=(1, 9, 10**6)
    )
    rows = expected(grid, ["macs", "params"])
    assert len({len(str(row["macs"])) for row in rows}) > 12
    lines = written(grid, "csv", ["macs", "params"]).decode().splitlines()
    assert lines[1:] == [f"{row['macs']},{row['params']}" for row in rows]


@pytest.mark.parametrize("format", ["csv", "jsonl"])
def test_counts_beyond_64_bits_are_written_exactly(format: str) -> None:
    grid = grid_of(
        in_channels=(10**6, 2), out_channels=(10**6,), input_size=(10**6,), batch=(1, 10**6)
    )
    lines = written(grid, format, ["macs"]).decode().splitlines()
    assert str(9 * 10**30) in lines[1 if format == "jsonl" else 2]


def test_parquet_is_refused_numbers_beyond_64_bits_in_a_line(tmp_path: Path) -> None:
    grid = grid_of(in_channels=(10**6,), out_channels=(10**6,), input_size=(10**6,), batch=(10**6,))
    with pytest.raises(
        OutputError, match=r"^cannot write .*macs 9,000,.* is more than the 64 bits of Parquet hold"
    ) as error:
        write_tables(count_grid(grid), tmp_path / "table.parquet", "parquet")
    assert "\n" not in str(error.value)
    assert list(tmp_path.iterdir()) == []


def test_what_is_left_out_is_told_for_all_tables_together() -> None:
    found = write_tables(count_grid(SMALL, chunk_rows=10), io.BytesIO(), "csv")
    (whole,) = count_grid(SMALL)
    assert found == (whole.number, whole.impossible, whole.lacking)
    assert whole.impossible
    assert set(whole.lacking) == {"depthwise_separable", "grouped:8"}


# -- Parquet


@pytest.fixture(params=["pyarrow", "duckdb"])
def parquet_package(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Have Parquet written by one of the packages that can, as where the other is not installed."""
    if request.param == "duckdb":
        pytest.importorskip(
            "duckdb", reason="CI does not install duckdb, which takes the place of pyarrow"
        )
        find_spec = importlib.util.find_spec
        monkeypatch.setattr(
            "dscost.sweeping.parquet.find_spec",
            lambda name: None if name == "pyarrow" else find_spec(name),
        )
    return str(request.param)


@pytest.mark.usefixtures("parquet_package")
@pytest.mark.parametrize("columns", [None, list(COUNTED)])
def test_parquet_holds_the_rows(tmp_path: Path, columns: list[str] | None) -> None:
    from pyarrow import parquet

    path = tmp_path / "table.parquet"
    write_tables(count_grid(SMALL, columns, chunk_rows=50), path, "parquet")
    texts = ("kernel_size", "padding")  # a column has one type, which pairs and `same` decide
    assert parquet.read_table(path).to_pylist() == [
        {**row, **{name: str(row[name]) for name in texts}} for row in expected(SMALL, columns)
    ]


@pytest.mark.usefixtures("parquet_package")
def test_numbers_are_numbers_in_parquet(tmp_path: Path) -> None:
    from pyarrow import parquet

    path = tmp_path / "it's a table.parquet"
    grid = grid_of(kernel_size=(1, 3), bias=(True, False), ties={"out_channels": "2 * cin"})
    write_tables(count_grid(grid, chunk_rows=1), path, "parquet")
    kinds = {one.name: str(one.type) for one in parquet.read_schema(path)}
    numbers = ("kernel_size", "padding", "out_channels", "macs")
    assert {kinds[name] for name in numbers} == {"int64"}
    assert kinds["bias"] == "bool"
    assert parquet.read_table(path).to_pylist() == expected(grid)
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.usefixtures("parquet_package")
def test_parquet_takes_counts_whose_bounds_alone_leave_64_bits(tmp_path: Path) -> None:
    from pyarrow import parquet

    path = tmp_path / "table.parquet"
    grid = grid_of(
        in_channels=(1000, 10**6),
        input_size=(5000, 95_000),
        ties={"out_channels": "cin", "groups": "cin"},
    )
    write_tables(count_grid(grid), path, "parquet")
    assert str(parquet.read_schema(path).field("macs").type) == "int64"
    rows = parquet.read_table(path).to_pylist()
    assert [row["macs"] for row in rows] == [
        cin * 9 * size * size for cin in (1000, 10**6) for size in (5000, 95_000)
    ]


@pytest.mark.usefixtures("parquet_package")
@pytest.mark.skipif(
    not Path("/dev/full").exists(), reason="only Linux has a device that is always full"
)
def test_a_full_disk_is_told_in_a_line_by_either_package() -> None:
    with pytest.raises(
        OutputError, match=r"^cannot write /dev/full: .*No space left on device"
    ) as error:
        write_tables(count_grid(SMALL), Path("/dev/full"), "parquet")
    assert "\n" not in str(error.value)


def test_parquet_needs_a_file() -> None:
    with pytest.raises(OutputError, match="to a file, not to a stream"):
        write_tables(count_grid(SMALL), io.BytesIO(), "parquet")


def test_a_format_that_there_is_not() -> None:
    with pytest.raises(
        UnknownNameError, match=r"unknown format 'xlsx' \(known: csv, jsonl, parquet\)"
    ):
        write_tables(count_grid(SMALL), io.BytesIO(), "xlsx")


# -- whole or not at all


class Interrupted(BaseException):
    """What nobody catches."""


def failing(error: BaseException) -> Iterator[Table]:
    """Yield some tables and fail."""
    tables = count_grid(SMALL, chunk_rows=50)
    yield next(tables)
    yield next(tables)
    raise error


@pytest.mark.parametrize("format", FORMATS)
def test_nothing_is_left_of_what_was_interrupted(tmp_path: Path, format: str) -> None:
    path = tmp_path / f"table.{format}"
    with pytest.raises(Interrupted):
        write_tables(failing(Interrupted()), path, format)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("format", FORMATS)
def test_what_was_there_before_stays_where_writing_fails(tmp_path: Path, format: str) -> None:
    path = tmp_path / f"table.{format}"
    path.write_text("before")
    with pytest.raises(OutputError, match=f"cannot write {path}: No space left on device"):
        write_tables(failing(OSError(errno.ENOSPC, "No space left on device")), path, format)
    assert path.read_text() == "before"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("format", FORMATS)
def test_a_table_takes_the_place_of_another(tmp_path: Path, format: str) -> None:
    path = tmp_path / f"table.{format}"
    path.write_text("before")
    path.chmod(0o640)
    write_tables(count_grid(SMALL), path, format)
    assert path.stat().st_mode & 0o777 == 0o640
    assert path.read_bytes()[:6] != b"before"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.skipif(
    not Path("/dev/full").exists(), reason="only Linux has a device that is always full"
)
@pytest.mark.parametrize("format", FORMATS)
def test_a_full_disk_is_told_in_a_line(format: str) -> None:
    with pytest.raises(OutputError, match="No space left on device") as error:
        write_tables(count_grid(SMALL), Path("/dev/full"), format)
    assert "\n" not in str(error.value)


def test_a_stream_that_cannot_take_more_is_told_in_a_line() -> None:
    class Full(io.BytesIO):
        def write(self, data: Any) -> int:
            raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(OutputError, match=r"^cannot write: No space left on device$"):
        write_tables(count_grid(SMALL), Full(), "csv")


def test_a_folder_that_there_is_not(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="No such file or directory"):
        write_tables(count_grid(SMALL), tmp_path / "nowhere" / "table.csv", "csv")


def test_a_link_to_itself(tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    path.symlink_to(path)
    with pytest.raises(OutputError, match="Too many levels of symbolic links"):
        write_tables(count_grid(SMALL), path, "csv")


def test_a_link_is_followed(tmp_path: Path) -> None:
    path = tmp_path / "table.csv"
    path.symlink_to(tmp_path / "elsewhere.csv")
    write_tables(count_grid(SMALL), path, "csv")
    assert path.is_symlink()
    assert (tmp_path / "elsewhere.csv").read_bytes().startswith(b"in_channels,")


def test_parquet_without_a_package_says_how_to_install_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("pyarrow", "duckdb"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(UnavailableError, match=r"pip install 'dscost\[sweep\]'"):
        write_tables(count_grid(SMALL), tmp_path / "table.parquet", "parquet")
    assert list(tmp_path.iterdir()) == []


# -- counted ahead


def test_what_is_counted_ahead_comes_in_order_and_ends() -> None:
    before = threading.active_count()
    assert list(ahead(iter(range(100)))) == list(range(100))
    assert threading.active_count() == before


def test_what_fails_ahead_is_raised_where_it_is_waited_for() -> None:
    found = ahead(failing(ZeroDivisionError("counting")))
    assert len([next(found), next(found)]) == 2
    with pytest.raises(ZeroDivisionError, match="counting"):
        next(found)


def test_nothing_is_counted_on_for_nobody() -> None:
    begun: list[int] = []

    def endless() -> Iterator[int]:
        while True:
            begun.append(len(begun))
            yield begun[-1]

    before = threading.active_count()
    found = ahead(endless(), most=2)
    assert next(found) == 0
    found.close()
    assert len(begun) <= 5
    assert threading.active_count() == before
