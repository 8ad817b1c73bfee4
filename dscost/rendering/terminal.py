"""The one door to rich: pages for people, with tables that never cut a number."""

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from io import StringIO
from itertools import groupby, zip_longest
from textwrap import wrap
from typing import NamedTuple

from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, Group, RenderableType
from rich.constrain import Constrain
from rich.segment import Segment
from rich.text import Text

from dscost.encodable import encodable
from dscost.pages.page import (
    DECIDES,
    Column,
    Page,
    Row,
    Sheet,
    Toned,
    Typed,
    View,
    in_tone_of,
)
from dscost.printable import printable, printable_line, without_middle
from dscost.rendering.encoding import in_encoding
from dscost.rendering.narrowing import below, keeps_columns, narrowed, telling
from dscost.rendering.tones import LOOKS

NATURAL_WIDTH = 10_000
"""Wide enough for every table; a pipe has no edge."""

GAP = 3
"""Blanks between columns."""
_LEAST_NAME = 12
SHORT_NAME = 16
"""Characters that names give way to before a column is dropped that decides."""
LEAST_FOLDED = 8
"""Characters that the lines of a name have in any case."""
_STYLES = {"plain": "", "strong": "bold", "faint": "dim"}
_END_OF_LINE = re.compile(r"(?:\s|\x1b\[[\d;]*m)+$")
"""Blanks that nobody sees, and codes of colours among them."""


def render_pages(pages: Sequence[Page], view: View) -> str:
    """Return pages as text as wide as the view, or as the tables that must stay whole."""
    pages = [in_encoding(page, view.encoding) for page in pages]
    widths = [view.width or NATURAL_WIDTH]
    sheets = (sheet for page in pages for sheet in page.sheets if keeps_columns(view, sheet))
    widths += [table_width(sheet.columns, sheet.rows) for sheet in sheets]
    console = Console(
        file=StringIO(),
        width=max(widths),
        height=100,  # rich ignores the width of a dumb terminal unless a height is given
        color_system="standard" if view.color else None,
        force_terminal=view.color,
        no_color=False,
        legacy_windows=False,
        highlight=False,
    )
    text = ""
    for page in pages:
        with console.capture() as capture:
            console.print(_page_body(page, view), crop=False)
        before = f"{text.rstrip()}\n\n" if text else ""
        lines = (_END_OF_LINE.sub(_only_codes, line) for line in capture.get().splitlines())
        text = before + "".join(f"{line}\n" for line in lines)
    return f"{text.rstrip()}\n" if text else ""


def _only_codes(found: re.Match[str]) -> str:
    return re.sub(r"\s", "", found[0])


def _page_body(page: Page, view: View) -> RenderableType:
    width = view.width or NATURAL_WIDTH
    parts: list[RenderableType] = [_wrapped(page.heading, width, "bold")]
    parts += [_wrapped(line, width) for line in page.lines]
    hidden: list[str] = []
    for sheet in page.sheets:
        laid_out, dropped = _laid_out(sheet, view)
        parts += [Text(), laid_out]
        for column in dropped:
            if column.goes_below:
                parts += [_wrapped(line, width) for line in below(sheet, column)]
            elif column.header:
                hidden.append(column.header)
    if page.sheets or page.closing:
        parts.append(Text())
    if hidden:
        names = ", ".join(dict.fromkeys(hidden))  # two columns may have one heading
        text = f"Not shown at this width: {names} (see them with --wide)."
        parts.append(_wrapped(text, width, "dim"))
    if page.drawing:
        lines = page.drawing(view.width)
        parts += [Text()] if hidden else []
        parts += [*(Text(line, no_wrap=True, overflow="ignore") for line in lines), Text()]
    parts += [_wrapped(line, width) for line in page.closing]
    return Group(*parts)


def _wrapped(text: str, width: int, style: str = "") -> RenderableType:
    if isinstance(text, Typed):
        return Text(printable(text), no_wrap=True, overflow="ignore")
    return Constrain(Text(printable(text), style=_styled(text, style)), width)


def _styled(text: str, style: str = "") -> str:
    """Return a style together with the one of the tone that a text is said in."""
    return f"{style} {LOOKS[text.tone].style}".strip() if isinstance(text, Toned) else style


def _laid_out(sheet: Sheet, view: View) -> "tuple[_Table, list[Column]]":
    """Return a table and the columns that were dropped to make it fit."""
    width = view.width or NATURAL_WIDTH
    if keeps_columns(view, sheet):
        width = NATURAL_WIDTH
    elif sheet.yielding and view.width:
        sheet = _with_short_names(sheet, *sheet.yielding, width, view.encoding)
    columns, widths = _fitted(sheet, width)
    kept = {column.key for column in columns}
    if any(one.priority <= DECIDES and one.key not in kept for one in sheet.columns):
        sheet = narrowed(sheet)
        columns, widths = _fitted(sheet, width)
    dropped = [column for column in sheet.columns if column not in columns]
    room = _rooms(columns, widths, width)
    rows = telling(sheet, columns) if dropped else sheet.rows
    return _Table(columns, rows, room, view.encoding), dropped


def _fitted(sheet: Sheet, width: int) -> tuple[list[Column], dict[str, int]]:
    """Return the columns of a sheet that there is room for, and how wide each would be."""
    widths = {column.key: _column_width(column, sheet.rows) for column in sheet.columns}
    return _fitting(sheet.columns, widths, width), widths


class _Table(NamedTuple):
    """A table, written line by line: rich's own takes a third of a millisecond for each cell."""

    columns: Sequence[Column]
    rows: Sequence[Row]
    room: Mapping[str, int]
    """Characters of each column."""
    encoding: str | None

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> Iterator[Segment]:
        rule = encodable("─", self.encoding)
        headers = {column.key: printable_line(column.header) for column in self.columns}
        if any(headers.values()):
            yield from self._row(Row(headers, "strong"), console)
            yield from (Segment(rule * _total(self.columns, self.room)), Segment.line())
        for row in self.rows:
            yield from self._row(row, console)

    def _row(self, row: Row, console: Console) -> Iterator[Segment]:
        styles = [_styled(row.cells.get(one.key, ""), _STYLES[row.style]) for one in self.columns]
        cells = [
            elided(_cell(row, one), self.room[one.key], self.encoding).split("\n")
            for one in self.columns
        ]
        for line in zip_longest(*cells, fillvalue=""):
            padded = list(map(self._padded, line, self.columns))
            yield from _segments(padded, styles, console)
            yield Segment.line()

    def _padded(self, text: str, column: Column) -> str:
        blanks = " " * (self.room[column.key] - cell_len(text))
        return text + blanks if column.align == "left" else blanks + text


def _segments(cells: Sequence[str], styles: Sequence[str], console: Console) -> Iterator[Segment]:
    """Yield the cells of a line with the gaps between them, those of one style together."""
    gap = ""
    styled = zip(cells, styles, strict=True)
    for style, together in groupby(styled, key=lambda cell: cell[1]):
        text = (" " * GAP).join(cell for cell, _ in together)
        yield Segment(gap + text, console.get_style(style) if style else None)
        gap = " " * GAP


def _fitting(columns: Sequence[Column], widths: Mapping[str, int], width: int) -> list[Column]:
    """Return the columns that there is room for: what matters least goes first.

    It stays where it fits after all, once something wider is gone. The names of rows give way
    before, down to half the width. What decides goes only where names that have given way leave no
    room for it.
    """
    kept = list(columns)
    for first in columns[:1]:
        if first.align == "left":
            half = max(SHORT_NAME, width // 2)
            widths = {**widths, first.key: min(widths[first.key], half)}
    names = [one.key for one in columns if one.align == "left" and not one.goes_below]
    short = {**widths, **{key: min(widths[key], SHORT_NAME) for key in names}}
    for column in sorted(columns[1:], key=lambda one: (-one.priority, -one.rank)):
        needed = _total(kept, short if column.priority <= DECIDES else widths)
        if column.priority and needed > width:
            kept.remove(column)
    for column in sorted(columns, key=lambda column: column.priority):
        if column not in kept and _total([*kept, column], widths) <= width:
            kept.append(column)
    return [column for column in columns if column in kept]


def _rooms(columns: Sequence[Column], widths: Mapping[str, int], width: int) -> dict[str, int]:
    """Return the width of each column: names give way to figures, which are never cut."""
    room = {column.key: widths[column.key] for column in columns}
    excess = _total(columns, widths) - width
    names = [column for column in columns if column.align == "left"] or columns[:1]
    for key in sorted([column.key for column in names], key=lambda key: -room[key]):
        given = max(0, min(excess, room[key] - _LEAST_NAME))
        room[key] -= given
        excess -= given
    return room


def _total(columns: Sequence[Column], widths: Mapping[str, int]) -> int:
    return sum(widths[column.key] + GAP for column in columns) - GAP


def elided(text: str, width: int, encoding: str | None = None) -> str:
    """Return the text with its middle left out, so that it fits.

    >>> elided("layer1.0.depthwise1", 12), elided("layer1.0.depthwise1", 12, "ascii")
    ('layer…hwise1', 'laye...wise1')
    """
    if max(map(cell_len, text.split("\n"))) <= width:
        return text
    return without_middle(text, width, encodable("…", encoding))


def _column_width(column: Column, rows: Sequence[Row]) -> int:
    lines = (line for row in rows for line in _cell(row, column).split("\n"))
    return max([cell_len(printable_line(column.header)), *map(cell_len, lines)])


def _cell(row: Row, column: Column) -> str:
    return printable(row.cells.get(column.key, "")).replace("\t", "\\t")


def table_width(columns: Sequence[Column], rows: Sequence[Row]) -> int:
    """Return the width of a table of which nothing is left out."""
    return sum(_column_width(column, rows) + GAP for column in columns)


# -- names that give way to figures


def _with_short_names(
    sheet: Sheet, first: str, second: str, width: int, encoding: str | None
) -> Sheet:
    """Return a sheet whose two columns of names leave room for the figures that decide.

    The first stays whole the longest; both share the column of the second where there is hardly
    any room.
    """
    columns, rows = sheet.columns, sheet.rows
    deciding = [one for one in columns if one.key not in (first, second) and one.priority < 2]
    room = width - table_width(deciding, rows) - 2 * GAP
    if room < 2 * LEAST_FOLDED:  # two columns of fragments could not be read: one of whole names
        wrap_at = max(LEAST_FOLDED, room + GAP)
        both = [
            in_tone_of(f"{row.cells[first]}: {row.cells[second]}", row.cells[second])
            for row in rows
        ]
        names = [{second: in_tone_of(_folded(text, wrap_at), text)} for text in both]
        columns = [one for one in columns if one.key != first]
    else:
        widest = max(len(row.cells[second]) for row in rows)
        (header,) = (one.header for one in columns if one.key == first)
        firsts = _told_apart(
            [row.cells[first] for row in rows], max(room // 2, room - widest), encoding
        )
        taken = max(len(line) for text in (header, *firsts) for line in text.splitlines())
        seconds = _told_apart([row.cells[second] for row in rows], room - taken, encoding)
        names = [{first: one, second: other} for one, other in zip(firsts, seconds, strict=True)]
    named = zip(rows, names, strict=True)
    return Sheet(columns, [row._replace(cells={**row.cells, **own}) for row, own in named])


def _told_apart(texts: Sequence[str], room: int, encoding: str | None = None) -> list[str]:
    r"""Return texts that fit: their middle left out, but folded where two would look alike.

    >>> texts = ["MACs of layer1.conv", "MACs of layer2.conv", "MACs of a.pointwise"]
    >>> _told_apart(texts, 8)
    ['MACs of\nlayer1.c\nonv', 'MACs of\nlayer2.c\nonv', 'MAC…wise']
    """
    short = {text: elided(text, room, encoding) for text in texts}
    seen = Counter(short.values())
    return [
        in_tone_of(short[text] if seen[short[text]] == 1 else _folded(text, room), text)
        for text in texts
    ]


def _folded(text: str, room: int) -> str:
    return "\n".join(line.rstrip() for line in wrap(text, room, break_on_hyphens=False))
