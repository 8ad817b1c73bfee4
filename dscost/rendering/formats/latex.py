"""What is said, as LaTeX for a paper: tables of booktabs, whose figures siunitx aligns."""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

from dscost.pages import Said, View
from dscost.pages.page import DECIDES, Column, Page, Row, Sheet
from dscost.printable import printable_line
from dscost.rendering import register_renderer
from dscost.rendering.figures_of_cells import Figures, figures_of
from dscost.rendering.narrowing import below, keeps_columns, narrowed, telling
from dscost.version import __version__

PREAMBLE = r"% \usepackage{booktabs,siunitx,longtable} \sisetup{retain-explicit-plus}"
"""What a document needs, above everything."""
MOST_ROWS = 40
"""A table with more breaks across pages."""
TEXT_WIDTH = 345.0
"""Points of a line of the class `article` at 10 pt."""
_GAP = 12.0
"""Points between columns, twice `\\tabcolsep`; outside of the first and the last is none."""
_QUAD = 10.0
_LONGEST_PART = 40
"""Characters of a label that say what a table is about, or what its rows are."""
_INTERVAL = "95 %"


@register_renderer(
    "latex", meaning="Tables for a paper, with booktabs and siunitx.", endings=(".tex",)
)
def latex(said: Said, view: View) -> str:
    r"""Return the tables of every page, the figures of a column in one unit.

    A table has the columns that fit on a page, unless some are asked for or the view is wide.
    Its caption has what it is about, and on which machine it was measured by what; its label
    is `tab:dscost-`, what it is about and, where that has several tables, what its rows are.
    Sentences are comments, unless they are all that there is. What is drawn in characters is
    left out: fonts of LaTeX lack them.

    Source:
        Fear 2020, booktabs; Wright 2024, siunitx, section 3.10 (columns of type S, `table-format`).
    """
    pages = said.pages(view._replace(width=None))
    if not any(page.sheets for page in pages):
        return "\n\n".join([PREAMBLE, *(part for page in pages for part in _text(page))]) + "\n"
    parts, labels = [PREAMBLE], Counter[str]()
    for page in pages:
        parts += _parts(page, view, labels)
    return "\n\n".join(parts) + "\n"


def _text(page: Page) -> Iterator[str]:
    yield rf"\paragraph{{{escaped(page.heading)}}}"
    yield from (escaped(line) for line in (*page.lines, *page.closing) if line)


def _parts(page: Page, view: View, labels: Counter[str]) -> Iterator[str]:
    """Yield what is to be said of a page: comments, and tables with their captions."""
    if not page.is_list and not any(column.header for one in page.sheets for column in one.columns):
        in_rows = (_in_a_line(one, row) for one in page.sheets for row in one.rows)
        yield from _comments([page.heading, *page.lines, *in_rows, *page.closing])
        return
    yield from _comments(page.lines)
    for sheet in page.sheets:
        fitted, dropped = _fitted(sheet, view)
        rows_are = sheet.columns[0].header if len(page.sheets) > 1 else ""
        yield _table(fitted, _caption(page, rows_are), _label(page.heading, rows_are, labels))
        yield from _comments(_left_out(sheet, dropped))
    yield from _comments(page.closing)


def _in_a_line(sheet: Sheet, row: Row) -> str:
    """Return a row of what is no table, since its columns have no heads, as a line."""
    return "   ".join(filter(None, (row.cells.get(one.key, "") for one in sheet.columns)))


def _comments(lines: Iterable[str]) -> Iterator[str]:
    """Yield lines as comments: they are for who writes the paper, and no text of it."""
    if told := [f"% {escaped(line)}" for line in lines if line]:
        yield "\n".join(told)


def _caption(page: Page, rows_are: str) -> str:
    how = rows_are if rows_are.startswith("the ") else f"by {rows_are}"
    caption = escaped(page.heading.removesuffix(".")) + (f", {escaped(how)}" if rows_are else "")
    if page.measured:
        caption += f". Measured on {escaped(page.measured)}; written by dscost {__version__}"
    return caption


def _label(heading: str, rows_are: str, labels: Counter[str]) -> str:
    """Return the label of a table: letters, digits and dashes, and none twice in a document."""
    about = re.split(r", input |: ", heading)[0]
    words = (re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-") for text in (about, rows_are))
    parts = [part for word in words if (part := word[:_LONGEST_PART].rstrip("-"))]
    label = "-".join(["tab:dscost", *(parts or ["table"])])
    labels[label] += 1
    return label if labels[label] == 1 else f"{label}-{labels[label]}"


# -- what fits on a page


def _fitted(sheet: Sheet, view: View) -> tuple[Sheet, list[Column]]:
    """Return a table with the columns that fit on a page, and those that do not."""
    if keeps_columns(view, sheet):
        return sheet, []
    kept = _fitting(sheet)
    if any(one.priority <= DECIDES and one not in kept for one in sheet.columns):
        sheet = narrowed(sheet)
        kept = _fitting(sheet)
    dropped = [column for column in sheet.columns if column not in kept]
    rows = telling(sheet, kept) if dropped else sheet.rows
    return sheet._replace(columns=kept, rows=rows), dropped


def _fitting(sheet: Sheet) -> list[Column]:
    """Return the columns that there is room for, those that matter most first."""
    room = TEXT_WIDTH + _GAP
    kept: list[Column] = []
    first, *others = sheet.columns
    # of equals the last ones tell most, as on a terminal
    others.reverse()
    for column in (first, *sorted(others, key=lambda one: (one.priority, one.rank))):
        width = _Part(column, sheet).points + _GAP
        if width <= room or column is first or column.priority == 0:
            kept.append(column)
            room -= width
    return [column for column in sheet.columns if column in kept]


def _left_out(sheet: Sheet, dropped: Sequence[Column]) -> Iterator[str]:
    """Yield what the columns that were dropped say, or how to see them."""
    hidden = []
    for column in dropped:
        if column.goes_below:
            yield from below(sheet, column)
        else:
            hidden.append(column.header)
    if hidden:
        names = ", ".join(dict.fromkeys(hidden))
        yield f"Not shown at this width: {names} (see them with --wide or --columns)."


_POINTS: dict[str, float] = {
    **dict.fromkeys("il.,:;'!|[]", 2.78),
    **dict.fromkeys("fjI- ", 3.4),
    **dict.fromkeys("rst()", 3.95),
    **dict.fromkeys("cez", 4.45),
    **dict.fromkeys("ago0123456789/", 5.0),
    **dict.fromkeys("kqvxy", 5.3),
    **dict.fromkeys("bdhnpuS", 5.57),
    **dict.fromkeys("wCTEFLP", 7.23),
    **dict.fromkeys("m%", 8.34),
    **dict.fromkeys("MW→…", 10.3),
}
"""Points of characters of Computer Modern at 10 pt."""
_OTHER_POINTS = 7.9


def _points(text: str) -> float:
    """Return how wide a text is set at 10 pt."""
    return sum(_POINTS.get(one, _OTHER_POINTS) for one in text)


# -- tables


def _table(sheet: Sheet, caption: str, label: str) -> str:
    parts = [_Part(column, sheet) for column in sheet.columns]
    aligned = f"@{{}}{''.join(part.aligned for part in parts)}@{{}}"
    head = _row([cell for part in parts for cell in part.headers])
    rows = [
        _row([cell for part in parts for cell in part.cells(at)]) for at in range(len(sheet.rows))
    ]
    title, label = rf"\caption{{{caption}.}}", rf"\label{{{label}}}"
    if len(rows) > MOST_ROWS:
        lines = [
            rf"\begin{{longtable}}{{{aligned}}}",
            rf"  {title}{label} \\",
            *(f"  {line}" for line in (r"\toprule", head, r"\midrule", r"\endhead")),
            *(f"  {line}" for line in (r"\bottomrule", r"\endfoot", *rows)),
            r"\end{longtable}",
        ]
        return "\n".join(lines)
    lines = [
        r"\begin{table}",
        r"  \centering",
        f"  {title}",
        f"  {label}",
        rf"  \begin{{tabular}}{{{aligned}}}",
        *(f"    {line}" for line in (r"\toprule", head, r"\midrule", *rows, r"\bottomrule")),
        r"  \end{tabular}",
        r"\end{table}",
    ]
    return "\n".join(lines)


def _row(cells: Sequence[str]) -> str:
    return " & ".join(cells) + r" \\"


class _Part:
    """A column of a sheet: of figures, maybe with the column of their intervals, or of words."""

    def __init__(self, column: Column, sheet: Sheet) -> None:
        self._texts = [row.cells.get(column.key, "") for row in sheet.rows]
        self._figures: Figures | None = None
        if column.align == "right":
            self._figures = figures_of(self._texts)
        self._header = column.header

    @property
    def aligned(self) -> str:
        """How LaTeX aligns it."""
        if self._figures is None:
            return "l"
        beside = "l" if self._figures.intervals else ""
        return f"S[table-format={self._figures.table_format}]{beside}"

    @property
    def headers(self) -> list[str]:
        """What stands above it; what is no figure in a column of figures stands in braces."""
        if self._figures is None:
            return [escaped(self._header)]
        beside = [r"{95\,\%}"] if self._figures.intervals else []
        return [f"{{{escaped(self._titled)}}}", *beside]

    @property
    def _titled(self) -> str:
        """What stands above its figures, with their unit."""
        unit = self._figures.unit if self._figures else ""
        return self._header.removesuffix(f" [{_INTERVAL}]") + (f" ({unit})" if unit else "")

    @property
    def points(self) -> float:
        """How wide it is, its intervals too."""
        if self._figures is None:
            indents = (_QUAD * _quads(text) for text in self._texts)
            widths = map(_points, map(str.lstrip, self._texts))
            return max(_points(self._header), *map(sum, zip(indents, widths, strict=True)))
        whole, _, digits = self._figures.table_format.partition(".")
        widest = "+" * whole.startswith("-") + "0" * abs(int(whole)) + "." + "0" * int(digits or 0)
        width = max(_points(widest), _points(self._titled))
        if not self._figures.intervals:
            return width
        return width + _GAP + max(map(_points, (_INTERVAL, *self._figures.intervals)))

    def cells(self, at: int) -> list[str]:
        """Return the cells of a row."""
        if self._figures is None:
            text = self._texts[at]
            return [r"\quad " * _quads(text) + escaped(text.lstrip(" "))]
        number = self._figures.numbers[at]
        cell = f"{{{escaped(self._texts[at])}}}" if number is None else number
        if not self._figures.intervals:
            return [cell]
        return [cell, escaped(self._figures.intervals[at])]


def _quads(text: str) -> int:
    """Return how far in a cell begins."""
    return (len(text) - len(text.lstrip(" ")) + 1) // 2


# -- text


_SPECIAL = {
    **{character: rf"\{character}" for character in "&%$#_{}"},
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': r"{\char34}",
    "[": "{[}",
    "]": "{]}",
    "*": "{*}",
    "-": "-{}",
    "`": r"\textasciigrave{}",
    "×": r"$\times$",
    "→": r"$\rightarrow$",
    "−": r"$-$",
    "·": r"$\cdot$",
    "²": r"$^2$",
    "³": r"$^3$",
    "µ": r"$\mu$",
    "α": r"$\alpha$",
    "ρ": r"$\rho$",
    "≥": r"$\geq$",
    "≤": r"$\leq$",
    "≈": r"$\approx$",
    "±": r"$\pm$",
    "√": r"$\surd$",
    "★": r"$\star$",
    "–": "--",
    "…": r"\dots{}",
    "“": "``",
    "”": "''",
    "′": "$'$",
    "✓": r"$\surd$",
    "✗": r"$\times$",
    "‖": r"$\|$",
    "│": r"$\mid$",
    "├": r"$\vdash$",
    "└": r"$\lfloor$",
    "─": "--",
}
"""What LaTeX would act upon, or its standard fonts lack. A `[` or `*` after the end of a row would
be an argument of it, and two dashes would be one."""
_TO_ESCAPE = re.compile("-(?=-)|[" + re.escape("".join({*_SPECIAL} - {"-"})) + "]")


def escaped(text: str) -> str:
    r"""Return text as LaTeX sets it, whatever is in it.

    >>> escaped("layer_1 & 5 % of #2"), escaped("3×3 --fast")
    ('layer\\_1 \\& 5 \\% of \\#2', '3$\\times$3 -{}-fast')
    """
    return _TO_ESCAPE.sub(lambda found: _SPECIAL[found[0]], printable_line(text))
