"""Reports as GitHub-flavoured Markdown."""

import re
from collections.abc import Sequence

from dscost.pages.page import Page, Sheet, View
from dscost.rendering.printable import printable
from dscost.pages.reports import page_of
from dscost.reports.records import Report

_RULES = {"left": ":--", "right": "--:"}


def render_markdown(reports: Sequence[Report], view: View) -> str:
    """Return the reports as Markdown, every column shown."""
    return "\n".join(markdown_page(page_of(report, view)) for report in reports)


def markdown_page(page: Page) -> str:
    """Return one page as Markdown."""
    parts = [f"### {inert(page.heading)}", *map(paragraph, page.lines)]
    parts += [_sheet(sheet) for sheet in page.sheets]
    parts += map(paragraph, page.closing)
    return "\n\n".join(parts) + "\n"


def _sheet(sheet: Sheet) -> str:
    lines = [
        _row([inert(column.header) for column in sheet.columns]),
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
    return "&nbsp;" * (len(cell) - len(stripped)) + inert(stripped)


_JOINER = "&#8288;"
"""A word joiner, which nobody sees: between `@` and a name it keeps GitHub and GitLab from telling
somebody."""
_MARKUP = r"[\\|*<>`]|(?<!\w)_|_(?!\w)"
_LINKING = r"\[(?=[^\[\]]*\][(\[:])|\](?=[(\[:])|[~$&]|@(?=\w)|\#(?=\d)|!(?=\[)|(?<=\bGH)-(?=\d)|:(?=//)|(?<=\bwww)\."
_ACTING = re.compile(f"(?P<markup>{_MARKUP})|(?P<linking>{_LINKING})", re.IGNORECASE)
_BLOCK = re.compile(r"[-+](?=\s|$)|#(?=#*(\s|$))|[-=](?=[-=])|\d(?=\d*[.)](\s|$))")
"""What makes a heading, a list or a rule of the line that begins with it."""


def inert(text: str) -> str:
    r"""Return the text on one line, with nothing left that Markdown, GitHub or GitLab would act upon.

    That is markup (a `_` inside a word is none), links and images, bare addresses, mentions,
    references to issues, entities, formulas. Brackets that make no link stay: `[806, 819]`.

    >>> inert("a*b"), inert("[x](http://y)"), inert("812 [806, 819]")
    ('a\\*b', '&#91;x&#93;(http&#58;&#8288;//y)', '812 [806, 819]')
    """
    return _ACTING.sub(_disarmed, printable(text).replace("\n", " ").replace("\t", " "))


def paragraph(text: str) -> str:
    """Return a line that is a paragraph of its own, whatever it begins with."""
    line = inert(text.lstrip())
    return f"&#{ord(line[0])};{line[1:]}" if _BLOCK.match(line) else line


def _disarmed(found: re.Match[str]) -> str:
    if found["markup"]:
        return f"\\{found[0]}"
    return f"&#{ord(found[0])};{_JOINER if found[0] in '@#-:.' else ''}"
