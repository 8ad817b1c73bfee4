"""A result as part of a page that is not ours: what a notebook shows of it.

It stands between what others have written, so its style is scoped by one class, it has no ids and
no script, and takes the colours of the text and the ground that it finds.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from dscost.errors import InputError
from dscost.pages import Page, Said, Sheet, View
from dscost.pages.page import Toned, Typed
from dscost.pages.pictures import NotDrawn
from dscost.printable import printable_line, without_middle
from dscost.rendering.drawing import svg_of

MOST_BYTES = 50_000
MANY = 40
"""Rows of a table that is shown whole."""
FEW = 20
MOST_PAGES = 3
HOW_TO_SEE_ALL = 'All of it: .save("all.html").'


class Room(NamedTuple):
    """How much is shown: of a table so many rows, of a cell or a line so many characters."""

    rows: int
    is_drawn: bool = False
    cell: int = 80
    line: int = 600
    lines: int = 20


ROOMS = (
    *(Room(MANY + 2, is_drawn=True), Room(MANY + 2), Room(FEW // 2)),
    *(Room(FEW // 2, cell=24, line=100), Room(0, cell=16, line=60, lines=5)),
)
"""From the most to the least, whatever there is to be shown."""


class Cell(NamedTuple):
    """A cell, as a template takes it."""

    text: str
    is_figure: bool
    tone: str


class Table(NamedTuple):
    """A table, as a template takes it."""

    heads: Sequence[Cell]
    rows: Sequence[tuple[str, Sequence[Cell]]]
    note: str


class Part(NamedTuple):
    """A page, as a template takes it."""

    heading: str
    lines: Sequence[Cell]
    picture: str
    tables: Sequence[Table]
    closing: Sequence[Cell]


def notebook_of(said: Said) -> str:
    """Return a result as HTML of less than `MOST_BYTES`, with its most telling picture.

    Of many layers the largest are shown, and how to see the others.
    """
    from dscost.rendering.html import template

    pages, note = _pages(said)
    for room in ROOMS:
        parts = list(_parts(pages, room, note))
        left_out = len(pages) - len(parts)
        text = template("notebook.html").render(parts=parts, left_out=left_out, how=HOW_TO_SEE_ALL)
        if len(text.encode()) < MOST_BYTES:
            break
    return text


def _pages(said: Said) -> tuple[Sequence[Page], str]:
    """Return pages with no more rows than a reader looks at, and what is to be said of that."""
    pages = said.pages(View())
    longest = max((len(sheet.rows) for page in pages for sheet in page.sheets), default=0)
    if longest > MANY and "macs" in said.sort_keys:
        try:
            return said.pages(View(sort="macs", top=FEW)), f"The {FEW} largest. {HOW_TO_SEE_ALL}"
        except InputError:  # no layer has MACs
            pass
    return pages, ""


def _parts(pages: Sequence[Page], room: Room, note: str) -> Iterator[Part]:
    is_drawn = room.is_drawn
    for page in pages[:MOST_PAGES]:
        found = page.pictures() if page.pictures and is_drawn else ()
        drawn = [one for one in found if not isinstance(one, NotDrawn)]
        is_drawn = is_drawn and not drawn
        yield Part(
            _line(page.heading, room).text,
            [_line(line, room) for line in page.lines[: room.lines] if line],
            svg_of(drawn[0], None, is_alone=False) if drawn else "",
            [_table(sheet, room, note) for sheet in page.sheets[:MOST_PAGES] if sheet.columns],
            [_line(line, room) for line in page.closing[: room.lines] if line],
        )


def _table(sheet: Sheet, room: Room, note: str) -> Table:
    heads = [Cell(_cut(one.header, room.cell), one.align == "right", "") for one in sheet.columns]
    rows = [
        (row.style, [_cell(row.cells.get(one.key, ""), one.align, room) for one in sheet.columns])
        for row in sheet.rows[: room.rows]
    ]
    if len(rows) < len(sheet.rows):
        return Table(heads, rows, f"{len(rows)} of {len(sheet.rows):,} rows. {HOW_TO_SEE_ALL}")
    return Table(heads, rows, note if len(rows) > FEW else "")


def _cell(text: str, align: str, room: Room) -> Cell:
    tone = text.tone if isinstance(text, Toned) else ""
    stripped = text.lstrip(" ")
    shown = "\u00a0" * (len(text) - len(stripped)) + _cut(stripped, room.cell)
    return Cell(shown.replace("  ", "\u00a0\u00a0"), align == "right", tone)


def _line(text: str, room: Room) -> Cell:
    tone = "typed" if isinstance(text, Typed) else text.tone if isinstance(text, Toned) else ""
    return Cell(_cut(text.strip(), room.line), False, tone)


def _cut(text: str, most: int) -> str:
    shown = printable_line(text)
    return without_middle(shown, most) if len(shown) > most else shown
