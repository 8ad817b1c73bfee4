"""The timed rows of a sweep → latency tables in the formats of others. No torch.

A format is a function of rows to a `Table`, registered here; ours are in `table_formats`.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from dscost.errors import InputError, SpecError
from dscost.files import check_folder, write_whole
from dscost.layers.choosing import parse_variants
from dscost.layers.variants import STANDARD
from dscost.registries import Registry
from dscost.sweeping.grids import Operation
from dscost.sweeping.records import Row, Where
from dscost.sweeping.units import Unit, units_of

NORMAL_95 = 1.96
"""Half of a 95 % interval, in standard deviations of what it is of."""
DIMENSIONS = (2, 1, 3)
"""Of a row, which does not tell: those that suit its size, images first."""


class Entry(NamedTuple):
    """A row that was timed, and what it is of.

    Args:
        row: With its latency.
        unit: Its stages.
        mean_s: What it takes.
        std_s: How sure that is: half the 95 % interval over 1.96; `None` where there is none.
    """

    row: Row
    unit: Unit
    mean_s: float
    std_s: float | None


class Table(NamedTuple):
    """A latency table as text.

    Args:
        text: What a file holds.
        keys: How many entries it has.
        left_out: How many rows have no place in it, by what they are.
    """

    text: str
    keys: int
    left_out: Mapping[str, int] = {}


class TableFormat(NamedTuple):
    """A format of latency tables.

    Args:
        title: Whose it is, as errors say it.
        meaning: What it is for, in a line.
        write: Makes it, of rows that were timed in one place.
    """

    title: str
    meaning: str
    write: Callable[[Sequence[Entry]], Table]


TABLE_FORMATS: Registry[TableFormat] = Registry(
    "table format", "table_formats", more="dscost.sweeping.table_formats"
)
"""By the name that `--emit` takes; the entry points of other packages are `TableFormat`s too."""


def register_table_format(
    name: str, *, title: str = "", meaning: str = ""
) -> Callable[[Callable[[Sequence[Entry]], Table]], TableFormat]:
    """Return a decorator that makes a function a format, for `dscost sweep --emit NAME=FILE`.

    Args:
        name: A later one of the same name replaces it.
        title: Whose format it is.
        meaning: What it is for, in a line.
    """
    return lambda write: TABLE_FORMATS.register(name)(TableFormat(title or name, meaning, write))


class Asked(NamedTuple):
    """A table that was asked for: its format by name, and its file."""

    name: str
    path: Path


class Emitted(NamedTuple):
    """A file that was written.

    Args:
        path: The file.
        title: Whose format it is in.
        keys: How many entries it has.
        rows: How many were timed in its place.
        untimed: How many were not timed, in any place.
        left_out: How many of those timed have no place in the format, by what they are.
    """

    path: Path
    title: str
    keys: int
    rows: int
    untimed: int = 0
    left_out: Mapping[str, int] = {}


def parse_emissions(texts: Iterable[str]) -> tuple[Asked, ...]:
    """Return the tables that `FORMAT=FILE` stand for.

    Raises:
        InputError: One is written otherwise, or two go to one file.
        UnknownNameError: There is no such format.
        OutputError: A file cannot be written.
    """
    found: list[Asked] = []
    for text in texts:
        name, equals, file = text.partition("=")
        if not (equals and name and file):
            raise InputError(f"--emit takes FORMAT=FILE such as ofa=lut.yaml, found '{text}'")
        TABLE_FORMATS[name]
        path = Path(file)
        if any(path == other.path for other in found):
            raise InputError(f"--emit: two tables go to {path}")
        check_folder(path)
        found.append(Asked(name, path))
    return tuple(found)


def check_emissions(rows: Iterable[Row], asked: Sequence[Asked]) -> None:
    """Refuse a table that two of the rows would share a place of, before anything is timed.

    Args:
        rows: As counted, of one dtype.
        asked: The tables.

    Raises:
        InputError: The text says what these are.
    """
    if asked:
        entries = [Entry(row, unit, 1.0, None) for row in rows if (unit := unit_of(row))]
        for one in asked:
            TABLE_FORMATS[one.name].write(entries)


def emit(rows: Iterable[Row], asked: Sequence[Asked]) -> tuple[Emitted, ...]:
    """Write latency tables: where rows are of several places, one file for each, numbered.

    Args:
        rows: Those that were timed are taken.
        asked: Formats and files.

    Raises:
        InputError: Nothing was timed, or a format has one place for two rows.
        OutputError: A file cannot be written.
    """
    if not asked:
        return ()
    places: dict[str, list[Entry]] = {}
    untimed = 0
    for row in rows:
        unit = None if row.latency_s is None else unit_of(row)
        if unit is None or row.where is None or row.latency_s is None:
            untimed += 1
            continue
        of_one = places.setdefault(repr(row.where.key), [])
        of_one.append(Entry(row, unit, row.latency_s, _deviation_s(row)))
    if not places:
        raise InputError(
            "--emit: a latency table is of what was timed, and nothing was: add --time"
        )
    made = []
    for one in asked:
        table_format = TABLE_FORMATS[one.name]
        for number, entries in enumerate(places.values(), start=1):
            table = table_format.write(entries)
            path = one.path if len(places) == 1 else _numbered(one.path, number)
            write_whole(path, table.text)
            told = (table_format.title, table.keys, len(entries), untimed, table.left_out)
            made.append(Emitted(path, *told))
    return tuple(made)


def unit_of(row: Row) -> Unit | None:
    """Return what a row is of; `None` where it is of nothing: a variant that a layer lacks.

    A row does not tell how many dimensions it has: what costs as much is it.
    """
    operation: Operation = "convolution"
    if row.variant in ("linear", "global_pooling"):
        operation = row.variant  # type: ignore[assignment]
    is_variant = operation == "convolution" and row.variant != STANDARD
    asked = parse_variants([row.variant]) if is_variant else ()
    for dims in DIMENSIONS:
        try:
            last = list(units_of(row.of, asked, operation=operation, dims=dims))[-1]
        except SpecError:
            continue  # its sizes are of other dimensions
        if isinstance(last, Unit):
            cost = last.cost(1)
            if (cost.params, cost.macs) == (row.cost.params, row.cost.macs):
                return last
    return None


def place_in_words(where: Where) -> str:
    """Return where a table is of: processor, threads, runtime, numbers, and what was timed.

    >>> place_in_words(Where("a processor", 1, versions={"torch": "2.9.0"}))
    'a processor, 1 thread, torch (torch 2.9.0), float32, wall clock, convolutions alone'
    """
    threads = f"{where.threads} thread{'s' if where.threads > 1 else ''}"
    versions = ", ".join(f"{name} {version}" for name, version in sorted(where.versions.items()))
    runtime = f"{where.runtime} ({versions})" if versions else where.runtime
    what = "convolutions with normalisation and ReLU" if where.with_norm else "convolutions alone"
    return f"{where.device}, {threads}, {runtime}, {where.dtype}, {where.clock} clock, {what}"


def _deviation_s(row: Row) -> float | None:
    if row.ci95_s is None:
        return None
    low, high = row.ci95_s
    return (high - low) / 2 / NORMAL_95


def _numbered(path: Path, number: int) -> Path:
    return path.with_name(f"{path.stem}-{number}{path.suffix}")
