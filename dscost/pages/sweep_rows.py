"""The table of a sweep: its rows, sorted and cut as a view says."""

from collections.abc import Callable, Mapping, Sequence
from math import inf
from typing import Any, Literal

from dscost.errors import InputError, UnknownNameError
from dscost.notation.units import format_factor, format_seconds_with_interval
from dscost.pages.page import (
    DECIDES,
    Column,
    Page,
    Row,
    Sheet,
    Toned,
    View,
    check_columns,
    filled_sheet,
    without_interval,
    words,
)
from dscost.pages.sweep_words import (
    header_of,
    narrow_header,
    ordered,
    room_of,
    said_values,
    variant_title,
)
from dscost.pages.wording import LATENCY, REDUCTION, SPEEDUP, format_speedup
from dscost.reports.figures import FIGURES, ON_REQUEST
from dscost.sweeping.answers import named
from dscost.sweeping.grids import AXES
from dscost.sweeping.records import Row as Measured
from dscost.sweeping.tables import HOST, PLACE, cells_of, is_there, text_of

LONG = 30
"""A table of more rows is folded away where it is read among other things."""
SHOWN = 30
"""A terminal shows no more rows of a table unless they are asked for; files hold all."""

_AXIS_COLUMNS = [Column(name, header_of(name), ON_REQUEST) for name in (*AXES, "dtype")]
_COST_PRIORITIES = {"params": 4, "macs": 2, "traffic_bytes": 6}
_COLUMNS = [
    words("variant", ON_REQUEST),
    Column("calls", "calls", 5),
    *(
        Column(name, FIGURES[name].title, _COST_PRIORITIES.get(name, ON_REQUEST))
        for name in (*FIGURES,)
        if FIGURES[name].is_of_layers and not FIGURES[name].is_measured
    ),
    Column("macs_reduction", REDUCTION, 2),
    words("runtime", ON_REQUEST),
    Column("threads", "threads", ON_REQUEST),
    words("clock", ON_REQUEST),
    words("device", ON_REQUEST),
    words("versions", ON_REQUEST),
    words(HOST, ON_REQUEST),
    Column("latency_s", LATENCY, DECIDES, narrow=without_interval),
    Column("speedup", SPEEDUP, DECIDES, narrow=without_interval),
    words("verdict", ON_REQUEST),
    Column("visits", "visits", ON_REQUEST),
    words("note", ON_REQUEST),
]
PAGE_COLUMNS = (*(column.key for column in _AXIS_COLUMNS), *(column.key for column in _COLUMNS))
"""What `--columns` takes."""
SORT_KEYS = tuple(
    name
    for name in PAGE_COLUMNS
    if name not in ("padding", "bias", "device", "versions", HOST, "note", "verdict")
)
"""What `--sort` takes."""


def rows_page(rows: Sequence[Measured], varying: Sequence[str], view: View) -> Page:
    """Return the table with what all of it have in common, and how the rest of it is had.

    Raises:
        UnknownNameError: The view asks for a column or a sort key that there is not.
        InputError: No row has what it is to be sorted by.
    """
    common = constants_words(rows, varying)
    more = more_line(len(rows), view)
    below = [f"All with {common}."] if common else []
    below += [more] if more else []
    return Page(
        f"The table: {len(rows):,} row{'' if len(rows) == 1 else 's'}",
        sheets=[rows_sheet(rows, varying, view)],
        closing=[Toned(line, "method") for line in below],
        is_long=len(rows) > LONG,
    )


def rows_sheet(rows: Sequence[Measured], varying: Sequence[str], view: View) -> Sheet:
    """Return the table as a view wants it, what its rows differ in first.

    Raises:
        UnknownNameError: The view asks for a column or a sort key that there is not.
        InputError: No row has what it is to be sorted by.
    """
    shown = sorted_rows(rows, view.sort) if view.sort else list(rows)
    found = [Row(_cells(row)) for row in shown[: rows_shown(len(rows), view)]]
    columns = _columns(rows, varying, view)
    if view.columns is not None:
        return Sheet(columns, found)
    return filled_sheet(columns, found)


def rows_shown(number: int, view: View) -> int:
    """Return how many rows of a table a view shows."""
    if view.top is not None:
        return min(number, view.top)
    return min(number, SHOWN) if room_of(view) else number


def _columns(rows: Sequence[Measured], varying: Sequence[str], view: View) -> list[Column]:
    telling = named(varying, rows)
    names = [_axis_column(name, rows, is_telling=name in telling) for name in ordered(varying)]
    if len({row.variant for row in rows}) > 1 or not names:
        names.append(words("variant"))
    by_key = {column.key: column for column in (*_AXIS_COLUMNS, *_COLUMNS)}
    if not any(row.where for row in rows):  # what is counted decides
        by_key["macs"] = by_key["macs"]._replace(priority=DECIDES)
    known = {column.key for column in names}
    if view.columns is not None:
        also = dict.fromkeys(name for row in rows for name in row.of if name not in by_key)
        by_key |= {name: _axis_column(name, rows, is_telling=False) for name in also}
        check_columns(view, by_key)
        return [*names, *(by_key[key] for key in view.columns if key not in known)]
    others = [column for column in by_key.values() if column.key not in (*known, HOST)]
    return [*names, *(one for one in others if view.wide or one.priority < ON_REQUEST)]


def _axis_column(name: str, rows: Sequence[Measured], *, is_telling: bool) -> Column:
    """Return the column of what rows differ in; what follows from the name of a grid may go."""
    is_name = any(isinstance(row.of.get(name), str) for row in rows)
    align: Literal["left", "right"] = "left" if is_name else "right"
    return Column(name, header_of(name), 0 if is_telling else 3, align, narrow=narrow_header)


def _cells(row: Measured) -> dict[str, str]:
    """Return the cells of a row as people read it."""
    cells = {name: text_of(value) for name, value in row.of.items() if value is not None}
    if is_there(row):
        cells |= {
            name: FIGURES[name].text(value)
            for name, value in row.cost.to_dict().items()
            if value is not None
        }
    exact = cells_of(row)
    for name in ("dtype", *PLACE, HOST, "verdict", "visits"):
        if exact[name] is not None:
            cells[name] = str(exact[name])
    cells |= {"variant": variant_title(row.variant), "note": row.note}
    cells["calls"] = "" if row.calls == 1 else str(row.calls)
    if row.reduction:
        cells["macs_reduction"] = format_factor(row.reduction.macs)
    if row.latency_s is not None:
        cells["latency_s"] = format_seconds_with_interval(row.latency_s, row.ci95_s)
    if row.speedup:
        cells["speedup"] = format_speedup(row.speedup)
    return cells


def sorted_rows(rows: Sequence[Measured], key: str) -> list[Measured]:
    """Return rows with the largest figure first, names by the alphabet; those without it last.

    Raises:
        UnknownNameError: There is no such sort key.
        InputError: No row has it.
    """
    values = [cells_of(row).get(key) for row in rows]
    if key not in SORT_KEYS and not any(key in row.of for row in rows):
        raise UnknownNameError("sort key", key, SORT_KEYS)
    if all(value is None for value in values):
        untimed = " without --time" if not any(row.where for row in rows) else ""
        raise InputError(f"cannot sort by {key}: no row has it{untimed}")
    rank = _rank_of(values)
    order = sorted(range(len(rows)), key=lambda at: rank(values[at]))
    return [rows[at] for at in order]


def _rank_of(values: Sequence[Any]) -> Callable[[Any], Any]:
    if any(isinstance(value, str) for value in values):
        return lambda value: (value is None, "" if value is None else str(value))
    return lambda value: inf if value is None else -value


def constants_words(rows: Sequence[Measured], varying: Sequence[str]) -> str:
    """Return what all rows have in common, in a line."""
    if not rows:
        return ""
    first: Mapping[str, Any] = rows[0].of
    same = [name for name in ordered(first) if name not in varying and first[name] is not None]
    same = [name for name in same if all(row.of.get(name) == first[name] for row in rows)]
    return said_values({name: first[name] for name in same})


def more_line(number: int, view: View) -> str:
    """Return how the rows are had that are not shown; empty where all are."""
    hidden = number - rows_shown(number, view)
    if hidden <= 0:
        return ""
    rows = f"{hidden:,} row{'' if hidden == 1 else 's'}"
    return f"{rows} more: --top {number} shows all, a file holds all columns."
