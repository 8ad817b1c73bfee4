"""The rows of a result as CSV, every figure exact."""

import csv
from collections.abc import Iterable, Mapping, Sequence
from io import StringIO
from typing import Any

from dscost.pages import Said, View, check_columns
from dscost.printable import printable


def write(said: Said, view: View) -> str:
    """Return the rows as CSV; what is unknown is empty.

    Raises:
        UnknownNameError: The view asks for a column that there is not.
    """
    check_columns(view, (*said.row_columns, *said.further_columns))
    return csv_text(view.columns or said.row_columns, said.rows_in(view))


def csv_text(columns: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> str:
    """Return rows as CSV under a line with the columns; keys that are none of them are left out."""
    text = StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows([csv_cell(row.get(column, "")) for column in columns] for row in rows)
    return text.getvalue()


def csv_cell(value: object) -> object:
    r"""Return a cell that no spreadsheet takes for a formula: it has a `'` before it then.

    Numbers are left as they are, negative ones too.

    Source:
        OWASP, CSV Injection.

    >>> csv_cell("=1+1"), csv_cell("conv1"), csv_cell(-5)
    ("'=1+1", 'conv1', -5)
    """
    if not isinstance(value, str):
        return value
    quote = "'" if value.startswith(("=", "+", "-", "@", "\t", "\r")) else ""
    return quote + printable(value)
