"""Reports as GitHub-flavoured Markdown."""

import re
from collections.abc import Sequence

from dscost.rendering.pages import Page, Sheet, View
from dscost.rendering.views import page_of
from dscost.results import Report

_RULES = {"left": ":--", "right": "--:"}


def render_markdown(reports: Sequence[Report], view: View) -> str:
    """Return the reports as Markdown, every column shown."""
    return "\n".join(markdown_page(page_of(report, view)) for report in reports)


def markdown_page(page: Page) -> str:
    """Return one page as Markdown."""
    parts = [f"### {_escaped(page.heading)}", *map(_escaped, page.lines)]
    parts += [_sheet(sheet) for sheet in page.sheets]
    parts += map(_escaped, page.closing)
    return "\n\n".join(parts) + "\n"


def _sheet(sheet: Sheet) -> str:
    lines = [
        _row([column.header for column in sheet.columns]),
        _row([_RULES[column.align] for column in sheet.columns]),
    ]
    for row in sheet.rows:
        cells = [row.cells.get(column.key, "") for column in sheet.columns]
        lines.append(_row([_indented(cell) for cell in cells]))
    return "\n".join(lines)


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _indented(cell: str) -> str:
    stripped = cell.lstrip(" ")
    return "&nbsp;" * (len(cell) - len(stripped)) + _escaped(stripped)


def _escaped(text: str) -> str:
    """Return the text with everything that Markdown would take for markup escaped; a `_` inside a word is none."""
    return re.sub(r"[\\|*<>`]|(?<!\w)_|_(?!\w)", r"\\\g<0>", text).replace("\n", " ")
