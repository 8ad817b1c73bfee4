"""Rows of a table as text: lines of CSV, JSON lines.

Each line is put together of parts, one or more for a column.
"""

import csv
import json
from collections.abc import Callable, Iterator
from functools import lru_cache
from io import StringIO
from itertools import product
from typing import Any, NamedTuple

import numpy as np

from dscost.sweeping.column_tables import Labels, Table
from dscost.sweeping.columns import Array
from dscost.sweeping.packed_text import Part, joined, labelled, numbered

MOST_TOGETHER = 4096
"""Combinations of values of neighbouring columns whose text is put together beforehand."""


class _Written(NamedTuple):
    """How a format writes a row.

    Args:
        first: What stands before the name of the first column, or its cell.
        next: The same of others.
        end: What stands behind a row.
        is_named: Whether each cell has the name of its column before it.
        told: Returns a cell.
    """

    first: bytes
    next: bytes
    end: bytes
    is_named: bool
    told: Callable[[Any], str]

    def starts(self, names: list[str]) -> list[bytes]:
        """Return what stands before each cell."""
        told = [f"{json.dumps(name)}: ".encode() if self.is_named else b"" for name in names]
        return [(self.next if at else self.first) + name for at, name in enumerate(told)]


def _csv_cell(value: Any) -> str:
    """Return a cell as the csv module writes it, among others."""
    text = StringIO()
    csv.writer(text, lineterminator="").writerow(["", value])
    return text.getvalue()[1:]


_CSV = _Written(b"", b",", b"\n", False, _csv_cell)
_JSON = _Written(b"{", b", ", b"}\n", True, json.dumps)


def csv_header(table: Table) -> bytes:
    """Return the line above the rows."""
    return ",".join(map(_csv_cell, table.columns)).encode() + b"\n"


def csv_lines(table: Table) -> bytes:
    """Return the rows as lines of CSV; what is unknown is empty."""
    return _lines(table, _CSV)


def json_lines(table: Table) -> bytes:
    """Return the rows as JSON, one a line; what is unknown is null."""
    return _lines(table, _JSON)


def _lines(table: Table, written: _Written) -> bytes:
    if not table.number:
        return b""
    parts: list[Part] = []
    together: list[tuple[bytes, Labels]] = []
    starts = written.starts(list(table.columns))
    for start, column in zip(starts, table.columns.values(), strict=True):
        if isinstance(column, Labels):
            together.append((start, column))
        elif column.dtype == np.int64 and column.min() >= 0:
            parts += [*_labelled(together, written, start[:-1]), *numbered(column, start[-1:])]
            together = []
        else:
            together.append((start, _as_labels(column)))
    parts += _labelled(together, written, written.end)
    return joined(parts, table.number)


def _as_labels(column: Array) -> Labels:
    """Return a column of which many rows may have one value."""
    if column.dtype != np.float64:
        return Labels(np.arange(len(column)), tuple(column.tolist()), float)
    values, which = np.unique(column, return_inverse=True)
    told: Any = tuple(None if one != one else one for one in values.tolist())
    return Labels(which, told, float)


def _labelled(
    together: list[tuple[bytes, Labels]], written: _Written, end: bytes
) -> Iterator[Part]:
    """Yield columns of few values, as few parts.

    Args:
        together: Neighbours, with what stands before each.
        written: How they are written.
        end: What stands behind the last.
    """
    group: list[tuple[bytes, Labels]] = []
    number = 1
    for start, column in together:
        number *= len(column.values)
        if group and number > MOST_TOGETHER:
            yield _one_part(group, written, b"")
            group, number = [], len(column.values)
        group.append((start, column))
    if group or end:
        yield _one_part(group, written, end)


def _one_part(group: list[tuple[bytes, Labels]], written: _Written, end: bytes) -> Part:
    which: Any = 0
    for _, column in group:
        which = which * len(column.values) + column.which if len(column.values) > 1 else which
    told = tuple((start, column.values, column.kind) for start, column in group)
    is_of_grid = all(column.kind is not float for _, column in group)
    return labelled(which, (_kept_texts if is_of_grid else _texts)(told, written, end))


_Told = tuple[tuple[bytes, tuple[Any, ...], type], ...]
"""Of columns: what stands before each, its values, and what kind they are: True is not 1."""


def _texts(told: _Told, written: _Written, end: bytes) -> tuple[bytes, ...]:
    """Return the text of each combination of values."""
    cells = ([start + _cell(one, written) for one in values] for start, values, _ in told)
    return tuple(b"".join(one) + end for one in product(*cells))


_kept_texts = lru_cache(maxsize=64)(_texts)


def _cell(value: Any, written: _Written) -> bytes:
    told = repr(value) if type(value) in (int, float) else written.told(value)
    return told.encode()
