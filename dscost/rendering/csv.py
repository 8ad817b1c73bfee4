"""The rows of a result as CSV, every figure exact."""

from dscost.errors import UnknownNameError
from dscost.pages import Said, View
from dscost.rendering.printable import csv_text


def write(said: Said, view: View) -> str:
    """Return the rows as CSV; what is unknown is empty.

    Raises:
        UnknownNameError: The view asks for a column that there is not.
    """
    rows = said.rows()
    columns = view.columns or rows.columns
    for column in columns:
        if column not in rows.columns:
            raise UnknownNameError("column", column, rows.columns)
    return csv_text(columns, rows.cells)
