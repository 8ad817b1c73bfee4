"""The map of a sweep: a cell for each layer, how many times as fast a variant of it is."""

from collections.abc import Iterator, Mapping, Sequence
from math import ceil
from typing import Any, NamedTuple

from dscost.notation.units import UNKNOWN, counted
from dscost.pages.page import Column, Page, Row, Sheet, Toned, View, in_tone_of, judged_as
from dscost.pages.sweep_words import (
    base_of,
    header_of,
    ordered,
    room_of,
    said_values,
    value_text,
    variant_title,
)
from dscost.sweeping.answers import named, tied_to, value_key
from dscost.sweeping.records import Row as Measured
from dscost.sweeping.tables import is_there

MOST_BLOCKS, MOST_LINES = 6, 48
"""More blocks are not drawn, nor more rows of all; a file holds their cells."""
MOST_ROWS, MOST_COLUMNS = 24, 16
"""Of a map with more values some are drawn, evenly among them."""
MARKS = {"faster": "", "slower": "!", "unclear": "?", "same": "="}
"""What stands behind a figure for its verdict."""
_MARKED = frozenset(filter(None, MARKS.values()))
_GAP = 3
_LEAST_SAID = 0.1
_ROW_KEY = "row"
_ValueKey = tuple[int, float, str]
_NAME = value_key("")[0]


class Map(NamedTuple):
    """What a map is of.

    Args:
        down: The axes whose values stand beside its rows.
        across: The axis whose values stand above its columns.
        apart: The axes that a block has one value each of.
        rows: What has a cell.
        base: What variants are compared with.
        is_timed: Whether cells are speedups, and not what is saved in MACs.
        flat: The axes that vary without a difference to any cell.
    """

    down: tuple[str, ...]
    across: str
    apart: tuple[str, ...]
    rows: Sequence[Measured]
    base: str
    is_timed: bool
    flat: tuple[str, ...] = ()


def map_of(rows: Sequence[Measured], varying: Sequence[str]) -> Map | None:
    """Return the map of a table: input channels down, sizes across, where both vary.

    Otherwise the two axes that have most values. Output channels stand beside the input channels
    where there is room for all pairs, and else have blocks of their own.
    """
    told = [row for row in rows if row.reduction or (row.note and not is_there(row))]
    base, is_timed = base_of(rows), any(row.where or row.speedup for row in told)
    flat = [] if is_timed else _flat_axes(told, varying)
    told = [row for row in told if all(row.of.get(name) == told[0].of.get(name) for name in flat)]
    varying = named([name for name in varying if name not in flat], told)
    tied = tied_to("in_channels", told)
    varying = [name for name in varying if name not in tied]
    if not varying or not any(row.reduction for row in told):
        return None
    numbers = {name: len({value_key(row.of.get(name)) for row in told}) for name in varying}
    down, across = _two_of(numbers)
    axes = (down, *(name for name in tied if name == "out_channels" and down == "in_channels"))
    pair = {"in_channels", "out_channels"} - {down, across}
    if down in ("in_channels", "out_channels") and pair & numbers.keys():
        (other,) = pair
        if numbers[down] * numbers[other] <= MOST_ROWS:
            axes = ("in_channels", "out_channels")
    apart = [name for name in varying if name not in (*axes, across)]
    blocks = {tuple(value_key(row.of.get(name)) for name in apart) for row in told}
    if len(told) < 2 * len(blocks):  # a list of layers, of which no two differ in one thing only
        return None
    return Map(
        tuple(ordered(axes)), across, tuple(ordered(apart)), told, base, is_timed, tuple(flat)
    )


def _flat_axes(rows: Sequence[Measured], varying: Sequence[str]) -> list[str]:
    """Return the axes that no cell depends on, as what is saved in MACs on no batch.

    Every cell must stand beside that of the first value, all else equal: nothing can be said of
    what another axis follows from.
    """
    flat: list[str] = []
    for axis in varying:
        first = value_key(rows[0].of.get(axis)) if rows else None
        others = [name for name in varying if name not in (axis, *flat)]
        cells: dict[tuple[Any, ...], set[str]] = {}
        values: dict[tuple[Any, ...], set[_ValueKey]] = {}
        for row in rows:
            at = (row.variant, *map(row.of.get, others))
            cells.setdefault(at, set()).add(cell_of(row))
            values.setdefault(at, set()).add(value_key(row.of.get(axis)))
        are_alike = all(len(found) == 1 for found in cells.values())
        if are_alike and all(first in found for found in values.values()):
            flat.append(axis)
    return flat


def _two_of(numbers: Mapping[str, int]) -> tuple[str, str]:
    """Return the axis down and the one across; the latter is a variant where only one varies."""
    order = sorted(numbers, key=lambda name: -numbers[name])
    preferred = [name for name in ("in_channels", "input_size") if name in numbers]
    others = [name for name in order if name not in preferred]
    down, across, *_ = *preferred, *others, "", ""
    if down == "input_size" and across in ("in_channels", "out_channels"):
        down, across = across, down
    return down, across


def map_pages(found: Map, view: View) -> Iterator[Page]:
    """Yield a page for each block of a map, the last with what the cells mean."""
    blocks = blocks_of(found)
    downs = min(MOST_ROWS, len({_down_of(found, row) for _, rows in blocks for row in rows}))
    drawn = blocks[: max(1, min(MOST_BLOCKS, MOST_LINES // max(1, downs)))]
    told = [row for _, rows in drawn for row in rows]
    for at, (title, rows) in enumerate(drawn):
        is_last = at == len(drawn) - 1
        closing = _legend(found, told, len(blocks) - len(drawn)) if is_last else []
        yield Page(title, sheets=_sheets(found, rows, view), closing=closing, is_map=True)


def blocks_of(found: Map) -> list[tuple[str, list[Measured]]]:
    """Return the rows of each block of a map, with its title."""
    blocks: dict[tuple[str, tuple[_ValueKey, ...]], list[Measured]] = {}
    for row in found.rows:
        apart = tuple(value_key(row.of.get(name)) for name in found.apart)
        variant = "" if not found.across else row.variant
        blocks.setdefault((variant, apart), []).append(row)
    blocks = {at: rows for at, rows in blocks.items() if any(row.reduction for row in rows)}
    return [(_title(found, rows[0]), rows) for rows in blocks.values()]


def _title(found: Map, row: Measured) -> str:
    """Return what a block is of: `Times as fast as standard: separable, k 3`."""
    what = f"Times {'as fast as' if found.is_timed else 'fewer MACs than'} {found.base}"
    variant = variant_title(row.variant) if found.across else ""
    values = said_values(row.of, found.apart)
    return f"{what}: {', '.join(filter(None, (variant, values)))}".removesuffix(": ")


class Laid(NamedTuple):
    """A block of a map, laid out.

    Args:
        down: What stands beside its rows, from top to bottom, as many as are drawn.
        across: What stands above its columns, likewise.
        cells: By those two, what has a cell.
    """

    down: Sequence[str]
    across: Sequence[str]
    cells: Mapping[tuple[str, str], Measured]


def laid_out(found: Map, rows: Sequence[Measured]) -> Laid:
    """Return the rows of a block by where they stand, smallest values first."""
    cells: dict[tuple[str, str], Measured] = {}
    downs: dict[str, tuple[_ValueKey, ...]] = {}
    acrosses: dict[str, tuple[_ValueKey, ...]] = {}
    for row in rows:
        down = "→".join(value_text(row.of.get(name)) for name in found.down)
        across = (
            value_text(row.of.get(found.across)) if found.across else variant_title(row.variant)
        )
        downs.setdefault(down, _down_of(found, row))
        acrosses.setdefault(across, (value_key(row.of.get(found.across)),))
        cells[down, across] = row
    return Laid(
        some_of(_in_order(downs), MOST_ROWS), some_of(_in_order(acrosses), MOST_COLUMNS), cells
    )


def _sheets(found: Map, rows: Sequence[Measured], view: View) -> list[Sheet]:
    """Return the cells of a block: as many columns in each sheet as there is room for."""
    laid = laid_out(found, rows)
    cells = {at: cell_of(row) for at, row in laid.cells.items()}
    if any(cell[-1:] in _MARKED for cell in cells.values()):
        cells = {at: _beside_marks(cell) for at, cell in cells.items()}
    has_names = any(isinstance(row.of.get(name), str) for row in rows for name in found.down)
    first = Column(_ROW_KEY, _corner(found), 0, "left" if has_names else "right")
    columns = [Column(across, across, 0) for across in laid.across]
    lines = [
        Row({_ROW_KEY: down, **{one: cells.get((down, one), "") for one in laid.across}})
        for down in laid.down
    ]
    return [Sheet([first, *part], lines) for part in _parts(first, columns, lines, view)]


def _in_order(keys: Mapping[str, tuple[_ValueKey, ...]]) -> list[str]:
    """Return texts from the smallest value to the largest, names as they come."""
    names = {key: at for at, key in enumerate(dict.fromkeys(keys.values()))}
    is_name = any(kind == _NAME for key in names for kind, *_ in key)
    return sorted(keys, key=lambda text: (names[keys[text]] if is_name else 0, keys[text]))


def _beside_marks(cell: str) -> str:
    """Return a figure without a mark as wide as with one, so that all stand below each other."""
    return in_tone_of(f"{cell} ", cell) if cell.endswith("×") else cell


def _corner(found: Map) -> str:
    down = "→".join(map(header_of, found.down))
    return f"{down} \\ {header_of(found.across)}" if found.across else down


def _parts(
    first: Column, columns: Sequence[Column], rows: Sequence[Row], view: View
) -> Iterator[Sequence[Column]]:
    """Yield columns that fit beside the names of the rows, about as many each time."""

    def width(column: Column) -> int:
        return max(map(len, [column.header, *(row.cells[column.key] for row in rows)]))

    room = room_of(view)
    if room is None:
        yield columns
        return
    widest = max(map(width, columns)) + _GAP
    most = max(1, (room - width(first)) // widest)
    each = ceil(len(columns) / ceil(len(columns) / most))
    for at in range(0, len(columns), each):
        yield columns[at : at + each]


def some_of(values: Sequence[str], most: int) -> list[str]:
    """Return as many values as there is room for, evenly among them, both ends included.

    >>> some_of(["8", "16", "24", "32", "40"], 3)
    ['8', '24', '40']
    """
    if len(values) <= most:
        return list(values)
    last = len(values) - 1
    return [values[round(at * last / (most - 1))] for at in range(most)]


def cell_of(row: Measured) -> str:
    """Return a cell: a figure, and a mark where that is no gain."""
    if row.speedup:
        verdict = row.speedup.verdict
        if row.speedup.is_wide:
            return Toned(MARKS["unclear"], "unclear")
        return judged_as(f"{short_factor(row.speedup.median)}{MARKS[verdict]}", verdict)
    if row.where or not row.reduction or row.reduction.macs is None:
        return UNKNOWN
    factor = row.reduction.macs
    verdict = "same" if factor == 1 else "faster" if factor > 1 else "slower"
    return judged_as(f"{short_factor(factor)}{MARKS[verdict]}", verdict)


def short_factor(factor: float) -> str:
    """Return a factor in as few characters as tell it.

    >>> short_factor(3.42), short_factor(0.618), short_factor(0.0123), short_factor(131.2)
    ('3.4×', '0.62×', '0.012×', '131×')
    """
    if factor < _LEAST_SAID:
        return f"{factor:.2g}×"
    return f"{factor:.{2 if factor < 2 else 1 if factor < 100 else 0}f}×"


def _legend(found: Map, drawn: Sequence[Measured], hidden: int) -> list[str]:
    """Return what the marks mean that stand in some cell, and what is not drawn."""
    told = {cell_of(row)[-1:] for row in drawn}
    meanings = {
        "!": "slower" if found.is_timed else "more MACs",
        "?": "unclear",
        "=": "no difference",
        UNKNOWN: "not timed, or no such variant" if found.is_timed else "no such variant",
    }
    parts = [f"{mark} {meaning}" for mark, meaning in meanings.items() if mark in told]
    lines: list[str] = []
    if parts:
        lines.append(Toned(f"In the map: {', '.join(parts)}.", "method"))
    if hidden:
        more = f"{counted(hidden, 'map')} more of this kind: a file holds every cell."
        lines.append(Toned(more, "method"))
    return [*lines, *(Toned(note, "method") for note in notes_of(found))]


def notes_of(found: Map) -> list[str]:
    """Return on what no cell depends, and which values are not drawn."""
    lines: list[str] = []
    if found.flat:
        *others, last = map(header_of, found.flat)
        axes = " or ".join(filter(None, (", ".join(others), last)))
        lines.append(f"That does not depend on {axes}.")
    if left := _left_out(found):
        lines.append(f"Drawn are {' and '.join(left)}; a file holds all.")
    return lines


def _down_of(found: Map, row: Measured) -> tuple[_ValueKey, ...]:
    return tuple(value_key(row.of.get(name)) for name in found.down)


def _left_out(found: Map) -> list[str]:
    downs = len({_down_of(found, row) for row in found.rows})
    acrosses = len({value_key(row.of.get(found.across)) for row in found.rows})
    axes = [(downs, MOST_ROWS, "→".join(map(header_of, found.down)))]
    axes += [(acrosses, MOST_COLUMNS, header_of(found.across))] if found.across else []
    return [f"{most} of {number} values of {name}" for number, most, name in axes if number > most]
