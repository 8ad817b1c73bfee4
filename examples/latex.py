"""A format of one's own, in every command: LaTeX that needs no package, in place of dscost's.

In a package, an entry point names the function, under a name that is new:

[project.entry-points."dscost.renderers"]
plain_latex = "latex:latex"
"""

import re

import dscost
from dscost.pages import Said, Sheet, View


@dscost.register_renderer("latex", meaning="Tables for a paper.", endings=(".tex",))
def latex(said: Said, view: View) -> str:
    """Return every page as a paragraph, its sheets as tables, and its sentences."""
    parts = []
    for page in said.pages(view):
        lines = [*page.lines, *page.closing]
        parts += [rf"\paragraph{{{_escaped(page.heading)}}}", *map(_table, page.sheets)]
        parts += [_escaped(line) for line in lines]
    return "\n\n".join(parts) + "\n"


def _table(sheet: Sheet) -> str:
    rows = [[row.cells.get(column.key, "") for column in sheet.columns] for row in sheet.rows]
    lines = [" & ".join(map(_escaped, cells)) + r" \\" for cells in rows]
    head = " & ".join(_escaped(column.header) for column in sheet.columns) + r" \\ \hline"
    aligned = "".join(column.align[0] for column in sheet.columns)
    return "\n".join([rf"\begin{{tabular}}{{{aligned}}}", head, *lines, r"\end{tabular}"])


def _escaped(text: str) -> str:
    return re.sub(r"([&%$#_{}])", r"\\\1", text.replace("\\", "/"))
