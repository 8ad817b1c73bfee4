"""What is said, as GitHub-flavoured Markdown."""

import re
from collections.abc import Sequence

from dscost.notation.units import ARROW
from dscost.pages import Said
from dscost.pages.page import Column, Page, Row, Sheet, Typed, View
from dscost.printable import printable, printable_line

_RULES = {"left": ":--", "right": "--:"}


def write(said: Said, view: View) -> str:
    """Return what is said as Markdown, every column shown, and long pages folded away."""
    pages = said.pages(view._replace(posted=True))
    return "\n".join(_folded(page) if page.is_long else _page(page) for page in pages)


def _page(page: Page) -> str:
    return "\n\n".join([f"### {inert(page.heading)}", *_parts(page)]) + "\n"


def _folded(page: Page) -> str:
    summary, body = as_entities(page.heading), "\n\n".join(_parts(page))
    return f"<details>\n<summary>{summary}</summary>\n\n{body}\n\n</details>\n"


def _parts(page: Page) -> list[str]:
    """Return all that stands below the heading."""
    parts = [*map(paragraph, page.lines), *map(_sheet, page.sheets)]
    if page.drawing:
        parts.append("\n".join(["```text", *page.drawing(None), "```"]))
    return [*parts, *map(paragraph, filter(None, page.closing))]


def _sheet(sheet: Sheet) -> str:
    lines = [
        _row([inert(column.header) for column in sheet.columns]),
        _row([_RULES[column.align] for column in sheet.columns]),
    ]
    for row in sheet.rows:
        lines.append(_row([_cell(row, column) for column in sheet.columns]))
    return "\n".join(lines)


def _cell(row: Row, column: Column) -> str:
    text = row.cells.get(column.key, "")
    if not column.is_of_names:
        return _indented(text)
    return ARROW.join(map(_name, text.split(ARROW)))


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _name(text: str) -> str:
    """Return a name between backticks; one that could be taken for more is text like any other.

    Sums, such as `(3 more)`, are no names.
    """
    if _PLAIN_NAME.fullmatch(text) and inert(text.replace("_", "")) == text.replace("_", ""):
        return f"`{text}`"
    return _indented(text)


def _indented(cell: str) -> str:
    stripped = cell.lstrip(" ")
    blanks = "&nbsp;" * (len(cell) - len(stripped))
    return blanks + inert(stripped).replace("  ", "&nbsp;&nbsp;")  # as in the branches of a tree


_PLAIN_NAME = re.compile(r"[\w./:+-]+(?: \(\d+\))?")
"""What may stand between backticks in a table: nothing there ends them, the cell or the line."""
_JOINER = "&#8288;"
"""A word joiner, which nobody sees: between `@` and a name it keeps GitHub and GitLab from telling
somebody."""
_MARKUP = r"[\\|*<>`]|(?<!\w)_|_(?!\w)"
_LINKING = (
    r"\[(?=[^\[\]]*\][(\[:])|\](?=[(\[:])|[~$&]|@(?=\w)|\#(?=\d)|!(?=\[)"
    r"|(?<=\bGH)-(?=\d)|:(?=//)|(?<=\bwww)\."
)
_ACTING = re.compile(f"(?P<markup>{_MARKUP})|(?P<linking>{_LINKING})", re.IGNORECASE)
_BLOCK = re.compile(r"[-+](?=\s|$)|#(?=#*(\s|$))|[-=](?=[-=])|\d(?=\d*[.)](\s|$))")
"""What makes a heading, a list or a rule of the line that begins with it."""


def inert(text: str) -> str:
    r"""Return the text on one line, with nothing left that Markdown or its hosts would act upon.

    That is markup (a `_` inside a word is none), links and images, bare addresses, mentions,
    references to issues, entities, formulas. Brackets that make no link stay: `[806, 819]`.

    >>> inert("a*b"), inert("[x](http://y)"), inert("812 [806, 819]")
    ('a\\*b', '&#91;x&#93;(http&#58;&#8288;//y)', '812 [806, 819]')
    """
    return _ACTING.sub(_disarmed, printable(text).replace("\n", " ").replace("\t", " "))


def paragraph(text: str) -> str:
    """Return a line that is a paragraph of its own, whatever it begins with."""
    if isinstance(text, Typed):
        return code(text)
    line = inert(text.lstrip())
    return f"&#{ord(line[0])};{line[1:]}" if _BLOCK.match(line) else line


def code(text: str) -> str:
    r"""Return a line as code, in a fence that it cannot end.

    >>> code("dscost check")
    '```sh\ndscost check\n```'
    """
    ticks = max((len(run) for run in re.findall("`+", text)), default=0)
    fence = "`" * max(3, ticks + 1)
    return f"{fence}sh\n{printable_line(text)}\n{fence}"


def _disarmed(found: re.Match[str]) -> str:
    if found["markup"]:
        return f"\\{found[0]}"
    return f"&#{ord(found[0])};{_JOINER if found[0] in '@#-:.' else ''}"


def as_entities(text: str) -> str:
    """Return text as HTML shows it, where Markdown does not reach."""
    line = printable(text).replace("\n", " ")
    acting = r"[&\[\]@#~\\|*<>`]|(?<!\w)_|_(?!\w)"
    entities = re.sub(acting, lambda found: f"&#{ord(found[0])};", line)
    return entities.replace("&#64;", f"&#64;{_JOINER}")
