"""The rows of a result as a table of pandas, which nothing else here needs."""

from importlib import import_module
from typing import Any

from dscost.errors import UnavailableError, first_line
from dscost.pages import Said


def frame_of(said: Said) -> Any:
    """Return the rows as a `pandas.DataFrame`, what is unknown missing.

    Raises:
        UnavailableError: pandas is not installed, or cannot be imported.
    """
    pandas = _pandas()
    rows = [dict(row) for row in said.rows()]
    frame = pandas.DataFrame(rows, columns=list(said.row_columns))
    for column in said.row_columns:
        known = [row[column] for row in rows if row.get(column) is not None]
        if known and all(type(value) is int for value in known):
            # of its own accord pandas makes floats of counts where one is missing
            cells = [row.get(column) for row in rows]
            frame[column] = pandas.array(
                cells, dtype="Int64" if len(known) < len(rows) else "int64"
            )
    return frame


def _pandas() -> Any:
    try:
        return import_module("pandas")
    except ModuleNotFoundError as error:
        if error.name != "pandas":
            raise UnavailableError(f"pandas cannot be imported: {first_line(error)}") from error
        raise UnavailableError("pandas is not installed: pip install pandas") from error
    except ImportError as error:
        raise UnavailableError(f"pandas cannot be imported: {first_line(error)}") from error
