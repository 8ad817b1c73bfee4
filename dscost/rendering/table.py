"""Text for people: tables by `rendering.terminal`, and lists without the time that rich takes."""

from textwrap import fill

from dscost.encodable import encodable
from dscost.pages import Page, Said, Sheet, View
from dscost.printable import printable

LEAST_MEANING = 30
"""Characters that a list has beside its names, however narrow the terminal."""


def write(said: Said, view: View) -> str:
    """Return what is said as tables, fitted to the width of the view."""
    pages = said.pages(view)
    if not pages:
        return ""
    if all(page.is_list for page in pages):
        return "\n".join(_list(page, view) for page in pages)
    from dscost.rendering.terminal import render_pages

    return render_pages(pages, view)


def _list(page: Page, view: View) -> str:
    return "".join(_meanings(sheet, view) for sheet in page.sheets)


def _meanings(sheet: Sheet, view: View) -> str:
    """Return names and their meanings, a line each, longer ones indented below."""
    name, meaning = (column.key for column in sheet.columns)
    rows = [
        [encodable(row.cells[key], view.encoding) for key in (name, meaning)] for row in sheet.rows
    ]
    widest = max((len(named) for named, _ in rows), default=0)
    indent = " " * (widest + 2)
    text = ""
    for named, meant in rows:
        line = f"{named:{widest}}  {meant}".rstrip()
        if view.width is not None:
            line = fill(line, max(view.width, widest + LEAST_MEANING), subsequent_indent=indent)
        text += f"{printable(line)}\n"
    return text
