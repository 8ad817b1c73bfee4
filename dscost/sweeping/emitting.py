"""The timed rows of a sweep → latency tables in the formats of others. No torch.

A format is a function of rows to a `Table`, registered here; ours are in `table_formats`.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from dscost.errors import InputError, SpecError, UnknownNameError
from dscost.files import check_folder, write_whole
from dscost.layers.choosing import parse_variants
from dscost.layers.variants import STANDARD
from dscost.registries import Registry
from dscost.sweeping.grids import Operation
from dscost.sweeping.kinds import slug_of
from dscost.sweeping.records import Emitted, Row, Where
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
        rows: As counted.
        asked: The tables.

    Raises:
        InputError: The text says what these are.
    """
    if not asked:
        return
    by_dtype: dict[object, list[Entry]] = {}
    for row in rows:
        unit = unit_of(row)
        if unit:
            by_dtype.setdefault(row.of.get("dtype"), []).append(Entry(row, unit, 1.0, None))
    for entries in by_dtype.values():
        for one in asked:
            TABLE_FORMATS[one.name].write(entries)


def emit(rows: Iterable[Row], asked: Sequence[Asked]) -> tuple[Emitted, ...]:
    """Write latency tables: where rows are of several places, one file for each.

    Args:
        rows: Those that were timed are taken.
        asked: Formats and files; what places differ in is told behind the name of a file.

    Raises:
        InputError: Nothing was timed, or a format has one place for two rows.
        OutputError: A file cannot be written.
    """
    if not asked:
        return ()
    entries: dict[str, list[Entry]] = {}
    places: dict[str, Where] = {}
    unknown: dict[str, Counter[str]] = {}
    untimed = 0
    for row in rows:
        if row.where is None or row.latency_s is None:
            untimed += 1
            continue
        key, unit = repr(row.where.key), unit_of(row)
        places.setdefault(key, row.where)
        own = entries.setdefault(key, [])
        strange = unknown.setdefault(key, Counter())
        if unit is None:
            strange[row.variant] += 1
        else:
            own.append(Entry(row, unit, row.latency_s, _deviation_s(row)))
    if not places:
        raise InputError(
            "--emit: a latency table is of what was timed, and nothing was: add --time"
        )
    made = []
    for one in asked:
        table_format = TABLE_FORMATS[one.name]
        for apart, key in zip(_apart([*places.values()]), places, strict=True):
            table = table_format.write(entries[key])
            path = one.path.with_name(f"{one.path.stem}{apart}{one.path.suffix}")
            write_whole(path, table.text)
            left_out = Counter(table.left_out) + unknown[key]
            timed = len(entries[key]) + sum(unknown[key].values())
            made.append(Emitted(path, table_format.title, table.keys, timed, untimed, left_out))
    return tuple(made)


_PLACES = ("device", "threads", "runtime", "dtype", "clock", "with_norm")


def _apart(places: Sequence[Where]) -> list[str]:
    """Return what tells places apart, as parts of the names of files; nothing of one alone."""
    names = [name for name in _PLACES if len({getattr(one, name) for one in places}) > 1]
    told = ["".join(f"-{slug_of(str(getattr(one, name)))}" for name in names) for one in places]
    if len(set(told)) == len(told):
        return told
    return [f"{one}-{number}" for number, one in enumerate(told, start=1)]


def unit_of(row: Row) -> Unit | None:
    """Return what a row is of; `None` where that cannot be made of what the row tells.

    A row does not tell how many dimensions it has: what costs as much is it.
    """
    for dims in DIMENSIONS:
        try:
            unit = _made(row, dims)
        except (SpecError, UnknownNameError, KeyError):
            continue  # its sizes are of other dimensions, or it is of no layer that we know
        if unit:
            cost = unit.cost(1)
            if (cost.params, cost.macs) == (row.cost.params, row.cost.macs):
                return unit
    return None


def _made(row: Row, dims: int) -> Unit | None:
    from dscost.sweeping.model_layers import unit_as_told

    told = unit_as_told(row.variant, row.of, dims)
    if told:
        return told
    operation: Operation = "convolution"
    if row.variant in ("linear", "global_pooling"):
        operation = row.variant  # type: ignore[assignment]
    is_variant = operation == "convolution" and row.variant != STANDARD
    asked = parse_variants([row.variant]) if is_variant else ()
    last = list(units_of(row.of, asked, operation=operation, dims=dims))[-1]
    return last if isinstance(last, Unit) else None


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
