"""The rows of a result as CSV, every figure exact."""

from dscost.pages import Said, View, check_columns
from dscost.rendering.printable import csv_text


def write(said: Said, view: View) -> str:
    """Return the rows as CSV; what is unknown is empty.

    Raises:
        UnknownNameError: The view asks for a column that there is not.
    """
    check_columns(view, said.row_columns)
    return csv_text(view.columns or said.row_columns, said.rows())
