"""What is said, as LaTeX for a paper: tables of booktabs, whose figures siunitx aligns."""

import re
from collections.abc import Iterator, Sequence

from dscost.pages import Said, View
from dscost.pages.page import Column, Page, Sheet, Toned, Typed
from dscost.printable import printable_line
from dscost.rendering import register_renderer
from dscost.rendering.figures_of_cells import Figures, figures_of

PREAMBLE = r"% \usepackage{booktabs,siunitx,longtable} \sisetup{retain-explicit-plus}"
"""What a document needs, above everything."""
MOST_ROWS = 40
"""A table with more breaks across pages."""


@register_renderer(
    "latex", meaning="Tables for a paper, with booktabs and siunitx.", endings=(".tex",)
)
def latex(said: Said, view: View) -> str:
    """Return every page as its sentences and its tables, the figures of a column in one unit.

    A caption has what the page is about, and on which machine it was measured by what. What
    is drawn in characters is left out: fonts of LaTeX lack them.

    Source:
        Fear 2020, booktabs; Wright 2024, siunitx, section 3.10 (columns of type S, `table-format`).
    """
    parts = [PREAMBLE]
    for page in said.pages(view._replace(width=None)):
        parts += _parts(page)
    return "\n\n".join(parts) + "\n"


def _parts(page: Page) -> Iterator[str]:
    sentences = [escaped(line) for line in page.lines if line]
    closing = [_closing(line) for line in page.closing if line]
    if not page.sheets:
        yield "\n\n".join([rf"\paragraph{{{escaped(page.heading)}}}", *sentences, *closing])
        return
    caption = escaped(page.heading)
    if page.measured:
        caption += f". Measured on {escaped(page.measured)}"
    yield from sentences
    for at, sheet in enumerate(page.sheets):
        yield _table(sheet, caption if at == 0 else "")
    yield from closing


def _closing(line: str) -> str:
    """Return a line below the tables; how it was measured is a comment and no text of a paper."""
    if isinstance(line, Typed):
        return rf"\texttt{{{escaped(line)}}}"
    if isinstance(line, Toned) and line.tone in ("method", "unclear"):
        return f"% {escaped(line)}"
    return escaped(line)


# -- tables


def _table(sheet: Sheet, caption: str) -> str:
    parts = [_Part(column, sheet) for column in sheet.columns]
    aligned = "".join(part.aligned for part in parts)
    head = _row([cell for part in parts for cell in part.headers])
    rows = [
        _row([cell for part in parts for cell in part.cells(at)]) for at in range(len(sheet.rows))
    ]
    title = rf"\caption{{{caption}.}}" if caption else ""
    if len(rows) > MOST_ROWS:
        lines = [
            rf"\begin{{longtable}}{{{aligned}}}",
            *([rf"  {title} \\"] if title else []),
            *(f"  {line}" for line in (r"\toprule", head, r"\midrule", r"\endhead")),
            *(f"  {line}" for line in (r"\bottomrule", r"\endfoot", *rows)),
            r"\end{longtable}",
        ]
        return "\n".join(lines)
    lines = [
        r"\begin{table}",
        r"  \centering",
        *([f"  {title}"] if title else []),
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
        header = escaped(self._header.removesuffix(" [95 %]"))
        unit = f" ({escaped(self._figures.unit)})" if self._figures.unit else ""
        beside = [r"{95\,\%}"] if self._figures.intervals else []
        return [f"{{{header}{unit}}}", *beside]

    def cells(self, at: int) -> list[str]:
        """Return the cells of a row."""
        if self._figures is None:
            text = self._texts[at]
            stripped = text.lstrip(" ")
            return [r"\quad " * ((len(text) - len(stripped) + 1) // 2) + escaped(stripped)]
        number = self._figures.numbers[at]
        cell = f"{{{escaped(self._texts[at])}}}" if number is None else number
        if not self._figures.intervals:
            return [cell]
        return [cell, escaped(self._figures.intervals[at])]


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
