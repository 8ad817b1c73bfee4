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
LONGEST_CELL, LONGEST_LINE = 80, 600
MOST_PAGES, MOST_LINES = 3, 20
HOW_TO_SEE_ALL = 'All of it: .save("all.html").'


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
    for most_rows, is_drawn in ((MANY + 2, True), (MANY + 2, False), (FEW // 2, False), (0, False)):
        parts = list(_parts(pages, most_rows, note, is_drawn=is_drawn))
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


def _parts(pages: Sequence[Page], most_rows: int, note: str, *, is_drawn: bool) -> Iterator[Part]:
    for page in pages[:MOST_PAGES]:
        found = page.pictures() if page.pictures and is_drawn else ()
        drawn = [one for one in found if not isinstance(one, NotDrawn)]
        is_drawn = is_drawn and not drawn
        yield Part(
            _line(page.heading).text,
            [_line(line) for line in page.lines[:MOST_LINES] if line],
            svg_of(drawn[0], None, is_alone=False) if drawn else "",
            [_table(sheet, most_rows, note) for sheet in page.sheets[:MOST_PAGES] if sheet.columns],
            [_line(line) for line in page.closing[:MOST_LINES] if line],
        )


def _table(sheet: Sheet, most_rows: int, note: str) -> Table:
    heads = [Cell(_cut(one.header), one.align == "right", "") for one in sheet.columns]
    rows = [
        (row.style, [_cell(row.cells.get(one.key, ""), one.align) for one in sheet.columns])
        for row in sheet.rows[:most_rows]
    ]
    if len(rows) < len(sheet.rows):
        return Table(heads, rows, f"{len(rows)} of {len(sheet.rows):,} rows. {HOW_TO_SEE_ALL}")
    return Table(heads, rows, note if len(rows) > FEW else "")


def _cell(text: str, align: str) -> Cell:
    tone = text.tone if isinstance(text, Toned) else ""
    stripped = text.lstrip(" ")
    shown = "\u00a0" * (len(text) - len(stripped)) + _cut(stripped)
    return Cell(shown.replace("  ", "\u00a0\u00a0"), align == "right", tone)


def _line(text: str) -> Cell:
    tone = "typed" if isinstance(text, Typed) else text.tone if isinstance(text, Toned) else ""
    return Cell(_cut(text.strip(), LONGEST_LINE), False, tone)


def _cut(text: str, most: int = LONGEST_CELL) -> str:
    shown = printable_line(text)
    return without_middle(shown, most) if len(shown) > most else shown
