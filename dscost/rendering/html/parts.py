"""Texts, cells and tables as templates take them: plain data, escaped by the template."""

import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from itertools import groupby
from typing import Any, NamedTuple

from dscost.notation.units import UNKNOWN
from dscost.pages import sheet_titles
from dscost.pages.page import Column, Labelled, Row, Sheet, Toned, Typed, View, in_tone_of
from dscost.printable import printable, printable_line, without_middle
from dscost.rendering.figures_of_cells import figures_of

LONGEST = 160
"""Characters of a cell or a title; of one with more the middle is folded away."""
ROOMS = (10, 20, 30, 40)
"""Characters that names may have before they wrap, as the style has them."""
LONGEST_LINE = 1_000
"""Of a sentence, which wraps."""


class Text(NamedTuple):
    """A text as it is shown.

    Args:
        text: All of it.
        brief: Its beginning and end, where it is too long to stand there.
        tone: How it is said.
    """

    text: str
    brief: str = ""
    tone: str = ""


class Term(NamedTuple):
    """What explains: what it is about, what it says, and a command that belongs to it."""

    label: str
    text: Text
    command: str


class Line(NamedTuple):
    """A sentence, or commands to be copied, or a list of explanations.

    Args:
        text: What it says.
        is_typed: Whether it is commands.
        is_below: Whether it belongs to the line above it.
        terms: The explanations.
    """

    text: Text
    is_typed: bool = False
    is_below: bool = False
    terms: Sequence[Term] = ()


class Cell(NamedTuple):
    """A cell of a table: its text, and its exact value where the text does not say all of it."""

    text: Text
    value: str = ""


class Head(NamedTuple):
    """The head of a column; a further one is hidden until it is asked for."""

    text: str
    is_figure: bool
    is_name: bool
    is_further: bool
    is_sentence: bool


class Cells(NamedTuple):
    """A row of a table."""

    style: str
    cells: Sequence[Cell]


class Table(NamedTuple):
    """A table.

    Args:
        caption: What it is.
        heads: Of its columns.
        rows: From top to bottom.
        is_sortable: Whether a script may put its rows into another order.
        room: Characters that its names have before they wrap, one of `ROOMS`.
        note: What is to be said of it.
        number: Which one of its page it is.
    """

    caption: str
    heads: Sequence[Head]
    rows: Sequence[Cells]
    is_sortable: bool
    room: int
    note: str = ""
    number: int = 0

    @property
    def is_headless(self) -> bool:
        """Whether nothing stands above any of its columns."""
        return not any(head.text.strip() for head in self.heads)


def text_of(text: str, most: int = LONGEST) -> Text:
    """Return a text that others may have named, on one line."""
    tone = text.tone if isinstance(text, Toned) else ""
    shown = _blanks(printable_line(text))
    return Text(shown, without_middle(shown, most) if len(shown) > most else "", tone)


_BESIDE = re.compile(r"(?P<before>\S.*?) {2,}(?P<command>dscost .*?)(?P<behind> {3}\(.*\))?")
"""A command between words, as it stands in a terminal."""


def lines_of(lines: Iterable[str]) -> Iterator[Line]:
    """Yield lines, commands that follow each other as one, and so explanations.

    Words beside a command stand above it.
    """
    for is_labelled, own in groupby(lines, lambda line: isinstance(line, Labelled)):
        if is_labelled:
            yield Line(Text(""), terms=[_term(one) for one in own if isinstance(one, Labelled)])
        else:
            yield from _lines_of(own)


def _term(line: Labelled) -> Term:
    return Term(
        printable_line(line.label), text_of(line.text, LONGEST_LINE), printable_line(line.command)
    )


def _lines_of(lines: Iterable[str]) -> Iterator[Line]:
    typed: list[str] = []
    for line in lines:
        found = _BESIDE.fullmatch(line.strip()) if isinstance(line, Typed) else None
        if typed and (found or not isinstance(line, Typed)):
            yield Line(Text("\n".join(typed)), is_typed=True)
            typed = []
        if found:
            yield Line(text_of(f"{found['before']} {(found['behind'] or '').strip()}".strip()))
        if isinstance(line, Typed):
            typed.append(printable_line(found["command"] if found else line.strip()))
        elif line.strip():
            stripped = in_tone_of(line.strip(), line)
            yield Line(text_of(stripped, LONGEST_LINE), is_below=line.startswith(" "))
    if typed:
        yield Line(Text("\n".join(typed)), is_typed=True)


def table_of(sheet: Sheet, usual: Collection[str] | None = None, note: str = "") -> Table:
    """Return a table.

    Args:
        sheet: What is in it.
        usual: Keys of the columns that are seen at first; by default all.
        note: What is to be said of it.
    """
    columns = [_column(column, sheet.rows) for column in sheet.columns]
    rows = [
        Cells(_style(row, sheet), [column[at] for column in columns])
        for at, row in enumerate(sheet.rows)
    ]
    heads = [_head(column, usual) for column in sheet.columns]
    names = [row.cells.get(sheet.columns[0].key, "") for row in sheet.rows]
    is_nested = any(name[:1] in (" ", "├", "└", "│") for name in names)
    title = printable_line(sheet_titles.title_of(sheet))
    caption = f"{title}, {len(rows):,} row{'' if len(rows) == 1 else 's'}"
    longest = max(map(len, names), default=0)
    room = next((one for one in ROOMS if longest <= one), ROOMS[-1])
    return Table(caption, heads, rows, len(rows) > 2 and not is_nested, room, note)


def _style(row: Row, sheet: Sheet) -> str:
    """Return how a row is shown; what others add up to, `(3 more)`, stays below when they move."""
    name = row.cells.get(sheet.columns[0].key, "")
    return "sum" if row.style == "faint" and name.startswith("(") else row.style


def _head(column: Column, usual: Collection[str] | None) -> Head:
    return Head(
        printable_line(column.header),
        column.align == "right",
        column.is_of_names,
        usual is not None and column.key not in usual,
        column.goes_below,
    )


def _column(column: Column, rows: Sequence[Row]) -> list[Cell]:
    """Return the cells of a column; what is no exact figure may be one by its text."""
    texts = [row.cells.get(column.key, "") for row in rows]
    values: list[float | str | None] = [getattr(text, "value", None) for text in texts]
    if column.align == "right" and all(value is None for value in values):
        figures = figures_of(texts)
        values = [*figures.numbers] if figures else values
    return [
        Cell(text_of(text), _beyond(text, value)) for text, value in zip(texts, values, strict=True)
    ]


def _beyond(text: str, value: float | str | None) -> str:
    """Return a value, if it is more than its text says; of what is no count nine digits."""
    if value is None or text == UNKNOWN or text.replace(",", "") == str(value):
        return ""
    return f"{value:.9g}" if isinstance(value, float) else str(value)


_NESTED = re.compile(r"^ +|  +|(?<=[│├└─]) ")


def _blanks(text: str) -> str:
    """Return a text whose blanks stay where they are its shape, as in the branches of a tree."""
    if not text.startswith((" ", "│", "├", "└")):
        return text
    return _NESTED.sub(lambda found: "\u00a0" * len(found[0]), text)


def title_of(command: str, sections: Sequence[Any]) -> str:
    """Return the title of a page: what was asked, of what."""
    head = "dscost" if command == "analyze" else f"dscost {command}"
    heading = printable(sections[0].heading.text) if sections else ""
    return f"{head}: {without_middle(heading, 120) if len(heading) > 120 else heading}"


def shown_line(view: View) -> str:
    """Return what a view asks for beside the usual, for who reads the page without having asked."""
    parts = [
        view.sort and f"sorted by {view.sort}",
        view.top is not None and f"the first {view.top}",
        view.depth is not None and f"added up to depth {view.depth}",
        view.columns is not None and f"columns {', '.join(view.columns)}",
        view.explain and "explained",
    ]
    return printable_line("; ".join(part for part in parts if part))
