"""The rows of a result as JSON within a page, every figure exact."""

import json
from collections.abc import Mapping, Sequence
from itertools import islice
from typing import Any

from dscost.pages import Said, View
from dscost.rendering.json import printable_json
from dscost.version import __version__

MOST_ROWS = 5_000
"""A page with more would be slow to open: they stand in a CSV."""

_ESCAPED = {ord(one): f"\\u{ord(one):04x}" for one in "<>&\u2028\u2029"}


def data_of(said: Said, view: View) -> str:
    r"""Return rows as columns: what all have alike once, the others as a list each.

    Nothing in it can end the element that it stands in.
    """
    rows = list(islice(said.rows_in(view._replace(columns=None)), MOST_ROWS + 1))
    document: dict[str, Any] = {"tool": "dscost", "version": __version__, "command": view.command}
    document["rows"] = min(len(rows), MOST_ROWS)
    if len(rows) > MOST_ROWS:
        document["note"] = "there are more rows, see the format csv"
    columns = {name: [row.get(name) for row in rows[:MOST_ROWS]] for name in _names(said, rows)}
    alike = {name: cells[0] for name, cells in columns.items() if _is_alike(cells)}
    document["alike"] = {name: cell for name, cell in alike.items() if cell not in (None, "")}
    document["columns"] = {name: cells for name, cells in columns.items() if name not in alike}
    return embedded(document)


def embedded(document: Any) -> str:
    r"""Return a document as JSON that stands in an element of HTML whatever is in it.

    >>> embedded({"a": "</script>"})
    '{"a":"\\u003c/script\\u003e"}'
    """
    text = json.dumps(document, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return printable_json(text).translate(_ESCAPED)


def _names(said: Said, rows: Sequence[Mapping[str, Any]]) -> Sequence[str]:
    """Return the columns that have something to say."""
    found = dict.fromkeys(said.row_columns)
    return list(found) or list(dict.fromkeys(name for row in rows for name in row))


def _is_alike(cells: Sequence[Any]) -> bool:
    return not cells or all(type(one) is type(cells[0]) and one == cells[0] for one in cells)
