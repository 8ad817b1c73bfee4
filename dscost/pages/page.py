"""A page: headings, sentences and sheets of cells, which every format lays out in its own way."""

import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Self, TypeVar

from dscost.errors import InputError, UnknownNameError
from dscost.notation.units import Exact
from dscost.reports.figures import ON_REQUEST, convention_of, metric_of

if TYPE_CHECKING:
    from dscost.pages.pictures import NotDrawn, Picture

Line = TypeVar("Line")
InCharacters = Callable[[int | None], Sequence[str]]
"""Returns lines of characters that are no wider than there is room, or of their natural width."""
Pictures = Callable[[], "Sequence[Picture | NotDrawn]"]
"""Returns what can be drawn of a page, the most telling first, and what cannot, each with why."""


Tone = Literal["good", "bad", "unclear", "verdict", "method"]
"""What a text is to its reader: well, wrong, not known or warned of, the answer, or how it was
found."""


class Toned(str):
    """A cell or a line that is said in a tone; only a terminal in colour shows it.

    Every other format sees plain text, so the words must say all that the tone does.

    Args:
        text: The text; of an `Exact` figure its value is kept.
        tone: How it is said.
    """

    tone: Tone
    value: float | None

    def __new__(cls, text: str, tone: Tone) -> Self:
        """Return the text, said in that tone."""
        toned = super().__new__(cls, text)
        toned.tone = tone
        toned.value = getattr(text, "value", None)
        return toned

    def __getnewargs__(self) -> tuple[str, Tone]:  # type: ignore[override]
        """Return what a copy is made of."""
        return str(self), self.tone


OF_VERDICTS: Mapping[str | None, Tone] = {"faster": "good", "slower": "bad", "unclear": "unclear"}
"""What a verdict of the clock is to its reader; that there is no difference is neither."""


def judged_as(text: str, verdict: str | None) -> str:
    """Return a text in the tone of a verdict, plainly where that has none."""
    return Toned(text, OF_VERDICTS[verdict]) if verdict in OF_VERDICTS else text


class Typed(str):
    """A line that is a command to be copied: it is never broken, and is code in Markdown."""

    __slots__ = ()


class Labelled(str):
    """A line that explains: what it is about stands apart from what it says.

    Args:
        line: All of it, for who lays it out as any other line.
        label: What it is about, in a word or two.
        text: What it says.
        command: A command that belongs to it.
    """

    label: str
    text: str
    command: str

    def __new__(cls, line: str, label: str, text: str, command: str = "") -> Self:
        """Return the line, which knows its parts."""
        labelled = super().__new__(cls, line)
        labelled.label, labelled.text, labelled.command = label, text, command
        return labelled

    def __getnewargs__(self) -> tuple[str, str, str, str]:  # type: ignore[override]
        """Return what a copy is made of."""
        return str(self), self.label, self.text, self.command


def in_tone_of(text: str, like: str) -> str:
    """Return a text said as another one is, such as a shorter form of it."""
    if isinstance(like, Typed):
        return Typed(text)
    value: float | None = getattr(like, "value", None)
    exact = text if value is None else Exact(text, value)
    return Toned(exact, like.tone) if isinstance(like, Toned) else exact


DECIDES = 1
"""The highest priority of a column that decides: names are shortened before it is dropped."""


class Column(NamedTuple):
    """A column of a sheet.

    Args:
        key: How `--columns` and `--sort` call it.
        header: What stands above it.
        priority: Columns of the highest number are dropped first where space is short; 0 never is.
            One of `ON_REQUEST` is shown only if asked for, or with `--wide`.
        align: Names to the left, figures to the right.
        goes_below: Whether its cells are sentences, which stand below the table where there is no
            room beside it.
        narrow: Returns the shorter form of a cell or a header, which is taken where there would be
            no room for all figures that decide.
        is_of_names: Whether its cells are names of layers or models, which Markdown has as code.
        rank: Of columns of one priority, that of the highest number is dropped first.
    """

    key: str
    header: str
    priority: int
    align: Literal["left", "right"] = "right"
    goes_below: bool = False
    narrow: Callable[[str], str] | None = None
    is_of_names: bool = False
    rank: int = 0


def without_interval(text: str) -> str:
    """Return a figure, or what stands above it, without the interval behind it.

    >>> without_interval("3.6× faster [3.5, 3.7]"), without_interval("latency [95 %]")
    ('3.6× faster', 'latency')
    """
    return in_tone_of(_INTERVAL.sub("", text), text)


_INTERVAL = re.compile(r" \[[^]]*\]$")


def words(key: str, priority: int = 0, header: str | None = None) -> Column:
    """Return a column of names or words, which stand to the left, under their key or a header."""
    return Column(key, key if header is None else header, priority, "left")


def name_column(key: str) -> Column:
    """Return a column of names of layers or models, under its key."""
    return words(key)._replace(is_of_names=True)


class Row(NamedTuple):
    """One row; a cell that is missing is empty, one that is `Toned` is in colour."""

    cells: Mapping[str, str]
    style: Literal["plain", "strong", "faint"] = "plain"


class Sheet(NamedTuple):
    """A table.

    Args:
        columns: What it shows, the names of its rows first.
        rows: Its rows from top to bottom.
        yielding: Keys of two columns of names that are shortened, and told apart, before a figure
            of priority 0 or 1 is left out.
        gives_way: Whether columns are dropped where space is short although some were asked for by
            name, which are those of another table.
    """

    columns: Sequence[Column]
    rows: Sequence[Row]
    yielding: tuple[str, str] | None = None
    gives_way: bool = False


class Page(NamedTuple):
    """What is said of one thing, from top to bottom.

    A format that knows the first four fields says it all; the others are for what some do better.

    Args:
        heading: What it is about.
        lines: Sentences above the sheets.
        sheets: The figures.
        closing: Sentences below them.
        drawing: Returns a picture in characters, as wide as there is room for; between the two.
        is_long: Whether it may be folded away, under its heading.
        is_list: Whether it is names and their meanings, which a terminal shows without headings.
        measured: On what machine its figures were measured, and by what, if they were.
        pictures: Returns what can be drawn of it, if anything can.
        answers: What a page of its own begins with, in place of the lines that have the tone of a
            verdict. Those that are lines or closing sentences as well are not said there again.
        is_map: Whether its sheets are a map that a picture shows as well.
    """

    heading: str
    lines: Sequence[str] = ()
    sheets: Sequence[Sheet] = ()
    closing: Sequence[str] = ()
    drawing: InCharacters | None = None
    is_long: bool = False
    is_list: bool = False
    measured: str = ""
    pictures: Pictures | None = None
    answers: Sequence[str] = ()
    is_map: bool = False


class View(NamedTuple):
    """How a result is to be shown.

    Args:
        columns: Keys of the columns to show, in order; by default those that have something to say.
        sort: Key of the figure to sort layers by, largest first; by default the order of the model.
        top: Show only that many layers.
        depth: Add layers up whose names agree in that many parts.
        tree: Show modules as a tree, each with the sums of what it holds.
        wide: Never drop a column.
        width: Characters per line, or `None` for as many as needed.
        color: Whether to colour the text.
        encoding: What a terminal shows, or `None` where it is everything: other characters have
            stand-ins, which are as wide as they are when a table is laid out.
        pending: Whether measured figures are still to come.
        explain: Whether to show bounds, backends and causes.
        command: The command that made the report, for the formats that carry it.
        brief: Whether to leave out what is as it should be.
        verbose: Whether to show that in full, too, and figures with every digit.
        posted: Whether it is read among other things, such as the comments of a pull request: the
            first page says what all must know, and long ones are cut.
        get_it: The command that does what is advised, if there is one.
        stages: Whether rows for programs tell of the stages of variants as well.
        totals: Whether they tell of the whole instead of its layers.
        plot: Which picture is drawn, where there is room for one only.
        paged: Whether it is a page of its own, which begins with the answer, draws all pictures and
            has room to fold away what is as it should be.
    """

    columns: tuple[str, ...] | None = None
    sort: str | None = None
    top: int | None = None
    depth: int | None = None
    tree: bool = False
    wide: bool = False
    width: int | None = None
    color: bool = False
    encoding: str | None = None
    pending: bool = False
    explain: bool = False
    command: str = "analyze"
    brief: bool = False
    verbose: bool = False
    posted: bool = False
    get_it: str | None = None
    stages: bool = False
    totals: bool = False
    plot: str | None = None
    paged: bool = False


def filled_sheet(columns: Sequence[Column], rows: Sequence[Row]) -> Sheet:
    """Return a table of those columns in which some row has a cell."""
    shown = [column for column in columns if any(row.cells.get(column.key) for row in rows)]
    return Sheet(shown, rows)


def chosen_sheet(columns: Sequence[Column], rows: Sequence[Row], view: View) -> Sheet:
    """Return a table of the columns that are asked for after the first, or of those with cells.

    Of the latter, those that are shown on request only are left out unless the view is wide.

    Raises:
        UnknownNameError: A column was asked for that the sheet does not have.
    """
    if view.columns is None:
        shown = [column for column in columns if view.wide or column.priority < ON_REQUEST]
        return filled_sheet(shown, rows)
    by_key = {column.key: column for column in columns}
    check_columns(view, by_key)
    first = columns[0]
    return Sheet([first, *(by_key[key] for key in view.columns if key != first.key)], rows)


def check_columns(view: View, columns: Collection[str]) -> None:
    """Refuse columns that there are not.

    Raises:
        UnknownNameError: The view asks for one.
    """
    for key in view.columns or ():
        if key not in columns:
            raise unknown_key("column", key, columns)


def unknown_key(what: str, key: str, known: Collection[str]) -> InputError:
    """Return the error of a column or a sort key that there is not."""
    convention = convention_of(key)
    if convention is None and key not in known and _is_convention(key):
        return UnknownNameError(what, key, [metric_of(key)])
    if convention is None or any(map(convention_of, known)):
        return UnknownNameError(what, key, known)
    return InputError(f"there is no {what} '{key}': it needs --convention {convention}")


def _is_convention(name: str) -> bool:
    """Whether there is a convention of that name, or whose name begins so."""
    from dscost.conventions import convention_names

    return any(name in (one, one.partition("-")[0]) for one in convention_names())


def most_of(
    lines: Sequence[Line], top: int | None, added: Callable[[str, Sequence[Line]], Line]
) -> tuple[Sequence[Line], list[Line]]:
    """Return as many lines of a table as are asked for, and one that the others add up to."""
    if top is None or len(lines) <= top:
        return lines, []
    return lines[:top], [added(f"({len(lines) - top} more)", lines[top:])]


def grouped(named: Iterable[tuple[str, Line]], depth: int) -> dict[str, list[Line]]:
    """Return what stands below one module together, by the first parts of the dotted names."""
    groups: dict[str, list[Line]] = {}
    for name, one in named:
        groups.setdefault(".".join(name.split(".")[:depth]), []).append(one)
    return groups


def known(cells: Mapping[str, Any]) -> dict[str, Any]:
    """Return the cells of a row for programs: one that is unknown is missing."""
    return {key: value for key, value in cells.items() if value is not None}
