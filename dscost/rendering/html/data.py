"""The rows of a result as JSON within a page, every figure exact."""

import json
from collections.abc import Mapping, Sequence
from itertools import islice
from math import isfinite
from typing import Any

from dscost.pages import Said, View
from dscost.rendering.json import printable_json
from dscost.version import __version__

MOST_ROWS = 5_000
"""A page with more would be slow to open: they stand in a CSV."""

_ESCAPED = {ord(one): f"\\u{ord(one):04x}" for one in "<>&\u2028\u2029"}


def data_of(said: Said, view: View) -> str:
    """Return rows as columns, of which those that say something are there.

    What all rows have alike stands once; a column in which little differs has its values once, and
    for each row which of them it has. What two columns share stands in the first of them.
    """
    rows = list(islice(said.rows_in(view._replace(columns=None)), MOST_ROWS + 1))
    document: dict[str, Any] = {"tool": "dscost", "version": __version__, "command": view.command}
    document["rows"] = min(len(rows), MOST_ROWS)
    if len(rows) > MOST_ROWS:
        document["note"] = "there are more rows, see the format csv"
    names = list(said.row_columns) or list(dict.fromkeys(name for row in rows for name in row))
    columns = {name: _column([_cell(row.get(name)) for row in rows[:MOST_ROWS]]) for name in names}
    document["columns"] = _shared({name: one for name, one in columns.items() if one})
    return embedded(document)


def _cell(value: Any) -> Any:
    """Return what JSON can hold: what is no number, which a file may say, is not known."""
    return None if isinstance(value, float) and not isfinite(value) else value


def _column(cells: Sequence[Any]) -> Mapping[str, Any]:
    """Return a column: its `value`, its `values`, or those that there are and `at` which."""
    # 1, 1.0 and True are equal, and are not the same
    found: dict[str, Any] = {}
    keys = [json.dumps(cell) for cell in cells]
    for key, cell in zip(keys, cells, strict=True):
        found.setdefault(key, cell)
    if len(found) < 2:
        return {"value": cells[0]} if cells and cells[0] not in (None, "") else {}
    if 2 * len(found) > len(cells):
        return {"values": cells}
    places = {key: at for at, key in enumerate(found)}
    return {"values": list(found.values()), "at": [places[key] for key in keys]}


def _shared(columns: Mapping[str, Mapping[str, Any]]) -> dict[str, Mapping[str, Any]]:
    """Return columns, of which one names the column that it is `like`, or whose `at` it has.

    >>> halves = {"values": [1, 2], "at": [0, 1, 1]}
    >>> _shared({"a": halves, "b": {**halves, "values": [3]}, "c": halves})
    {'a': {'values': [1, 2], 'at': [0, 1, 1]}, 'b': {'values': [3], 'at': 'a'}, 'c': {'like': 'a'}}
    """
    first_like: dict[str, str] = {}
    first_at: dict[str, str] = {}
    found: dict[str, Mapping[str, Any]] = {}
    for name, column in columns.items():
        like = first_like.setdefault(json.dumps(column), name)
        if like != name and "value" not in column:
            found[name] = {"like": like}
            continue
        at = first_at.setdefault(json.dumps(column["at"]), name) if "at" in column else name
        found[name] = column if at == name else {**column, "at": at}
    return found


def embedded(document: Any) -> str:
    r"""Return a document as JSON that stands in an element of HTML whatever is in it.

    >>> embedded({"a": "</script>"})
    '{"a":"\\u003c/script\\u003e"}'
    """
    text = json.dumps(document, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return printable_json(text).translate(_ESCAPED)
