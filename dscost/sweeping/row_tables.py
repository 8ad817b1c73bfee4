"""Rows that are held → the table that they are, for the formats that take columns."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from dscost.sweeping.column_tables import Labels, Table, kind_of
from dscost.sweeping.columns import Array
from dscost.sweeping.records import Row
from dscost.sweeping.tables import cells_of, columns_of, is_there


def table_of(rows: Sequence[Row], columns: Sequence[str] | None = None) -> Table:
    """Return rows as a table, without variants that a layer does not have.

    Args:
        rows: Of a sweep.
        columns: Which of its columns, in their order; by default those that some row has.
    """
    rows = [row for row in rows if is_there(row)]
    cells = [cells_of(row) for row in rows]
    names = columns_of(rows) if columns is None else columns
    found = {name: _column([one.get(name) for one in cells]) for name in names}
    return Table(found, len(rows))


def _column(values: Sequence[Any]) -> Labels | Array:
    """Return a column: of numbers where all are, or all that are known are no whole ones."""
    kinds = {type(one) for one in values}
    if kinds == {int}:
        return np.array(values, object if max(map(abs, values)) >= 2**63 else np.int64)
    if float in kinds and kinds <= {int, float, type(None)}:
        return np.array([np.nan if one is None else one for one in values], np.float64)
    known = {(type(one), one): one for one in map(_plain, values)}
    places = {key: at for at, key in enumerate(known)}
    which = np.array([places[type(one), one] for one in map(_plain, values)], np.int32)
    return Labels(which, tuple(known.values()), kind_of(known.values()))


def _plain(value: Any) -> Any:
    """Return a value that can be told from others; a list, as a setting may be, as text."""
    return value if isinstance(value, int | str | bool | None) else str(value)
