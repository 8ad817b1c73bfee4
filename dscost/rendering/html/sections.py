"""The pages of a result as sections of one page: answers first, long tables last or folded away."""

from collections.abc import Iterator, Sequence
from itertools import count
from typing import NamedTuple, Self

from dscost.pages import Page, Said, Sheet, View
from dscost.pages.page import Toned
from dscost.pages.pictures import NotDrawn
from dscost.printable import printable_line
from dscost.rendering.drawing import svg_of
from dscost.rendering.html.parts import LONGEST_LINE, Line, Table, Text, lines_of, table_of, text_of

MEASURED = "Measured on "
"""How a sentence begins that says on what machine, and how."""
SHORT = 12
"""Rows of a table that stands before pictures."""
MOST_AT_FIRST = 1_000
"""Rows of a table that is shown whole; of one with more, sums are shown at first."""
ROOM_FOR_SUMS = 150
MOST_FOLDED = 5_000
"""Rows that a page has at all: with more it would be slow to open."""


class Drawn(NamedTuple):
    """A picture as SVG."""

    name: str
    title: str
    svg: str


class Section(NamedTuple):
    """What is said of one thing.

    Args:
        heading: What it is about.
        is_folded: Whether it opens when it is asked for.
        lines: Sentences above all.
        answers: The answer.
        tone: How the first sentence of it is said, if no other one says otherwise.
        short: Tables of a few rows.
        pictures: Pictures.
        characters: A picture in characters, where there is no other.
        tables: Longer tables.
        folded: The rows of tables that are too long to stand there.
        closing: Sentences below.
        measured: On what machine its figures were measured, and by what.
    """

    heading: Text
    is_folded: bool
    lines: Sequence[Line]
    answers: Sequence[Line]
    tone: str
    short: Sequence[Table]
    pictures: Sequence[Drawn]
    characters: str
    tables: Sequence[Table]
    folded: Sequence[Table]
    closing: Sequence[Line]
    measured: str

    def numbered(self, numbers: Iterator[int]) -> Self:
        """Return it with a number for each table, which tells those of one page apart."""
        short, tables, folded = (
            [one._replace(number=next(numbers)) for one in these]
            for these in (self.short, self.tables, self.folded)
        )
        return self._replace(short=short, tables=tables, folded=folded)


def sections_of(said: Said, view: View) -> list[Section]:
    """Return the pages of a result as sections."""
    is_whole = view.columns is None
    wide = said.pages(view._replace(wide=True) if is_whole else view)
    usual = said.pages(view) if is_whole and not view.wide else None
    sums = _sums(said, view, wide)
    sections = [
        _section(at, page, usual[at] if usual else None, sums[at] if sums else None)
        for at, page in enumerate(wide)
    ]
    numbers = count(1)
    return [one.numbered(numbers) for one in sections]


def _section(at: int, page: Page, usual: Page | None, sums: Page | None) -> Section:
    short: list[Table] = []
    tables: list[Table] = []
    folded: list[Table] = []
    for nth, sheet in enumerate(page.sheets):
        keys = {column.key for column in usual.sheets[nth].columns} if usual else None
        if not sheet.columns:
            continue
        if len(sheet.rows) > MOST_AT_FIRST:
            tables.append(_summed(sheet, sums.sheets[nth] if sums else None, keys))
            folded.append(_cut(sheet, keys))
        else:
            (short if len(sheet.rows) <= SHORT else tables).append(table_of(sheet, keys))
    answers = page.answers or [line for line in (*page.lines, *page.closing) if _is_answer(line)]
    pictures = list(_pictures(at, page))
    drawn = [one for one in pictures if isinstance(one, Drawn)]
    return Section(
        heading=text_of(page.heading),
        is_folded=page.is_long,
        lines=list(lines_of(_others(page.lines, answers))),
        answers=list(lines_of(answers)),
        tone=_tone(answers),
        short=short,
        pictures=drawn,
        characters="" if drawn or page.drawing is None else "\n".join(page.drawing(None)),
        tables=tables,
        folded=folded,
        closing=[
            *lines_of(_others(page.closing, answers)),
            *(one for one in pictures if isinstance(one, Line)),
        ],
        measured="" if any(line.startswith(MEASURED) for line in page.closing) else page.measured,
    )


def _is_answer(line: str) -> bool:
    return isinstance(line, Toned) and line.tone == "verdict"


def _tone(answers: Sequence[str]) -> str:
    tones = [getattr(one, "tone", "") for one in answers]
    judged = {tone for tone in tones if tone in ("good", "bad", "unclear")}
    return tones[0] if len(judged) == 1 and tones[0] in judged else ""


def _others(lines: Sequence[str], answers: Sequence[str]) -> list[str]:
    """Return the lines that are no answer and are not among them."""
    return [line for line in lines if not _is_answer(line) and line not in answers]


def _pictures(at: int, page: Page) -> Iterator[Drawn | Line]:
    for nth, one in enumerate(page.pictures() if page.pictures else ()):
        if isinstance(one, NotDrawn):
            said = Toned(f"No picture “{one.name}”: {one.why}.", "method")
            yield Line(text_of(said, LONGEST_LINE))
        else:
            key = f"s{at}-{nth}-{one.name}"
            title = printable_line(one.title)
            yield Drawn(one.name, title, svg_of(one, key, is_alone=False, is_coloured=False))


# -- tables that are too long


def _sums(said: Said, view: View, pages: Sequence[Page]) -> Sequence[Page] | None:
    """Return pages whose long tables have sums, by blocks or of all but the largest."""
    if _longest(pages) <= MOST_AT_FIRST:
        return None
    wide = view._replace(wide=view.columns is None)
    if view.depth is None and view.top is None and not view.tree:
        for depth in (4, 3, 2, 1):
            added = said.pages(wide._replace(depth=depth))
            if _longest(added) <= ROOM_FOR_SUMS:
                return added
    cut = said.pages(wide._replace(top=ROOM_FOR_SUMS))
    return cut if _longest(cut) <= 2 * ROOM_FOR_SUMS else None


def _longest(pages: Sequence[Page]) -> int:
    return max((len(sheet.rows) for page in pages for sheet in page.sheets), default=0)


def _summed(sheet: Sheet, sums: Sheet | None, keys: set[str] | None) -> Table:
    """Return what is seen of a table that is too long."""
    number = f"{len(sheet.rows):,}"
    if sums is None:
        first = sheet._replace(rows=sheet.rows[:ROOM_FOR_SUMS])
        return table_of(first, keys, f"The first {ROOM_FOR_SUMS} of {number} rows.")
    return table_of(sums, keys, f"{number} rows, added up; every one stands below.")


def _cut(sheet: Sheet, keys: set[str] | None) -> Table:
    if len(sheet.rows) <= MOST_FOLDED:
        return table_of(sheet, keys)
    note = f"The first {MOST_FOLDED:,} of {len(sheet.rows):,} rows; the format csv has all."
    return table_of(sheet._replace(rows=sheet.rows[:MOST_FOLDED]), keys, note)
