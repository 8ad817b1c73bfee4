"""The rows of a result as JSON, one a line."""

import json

from dscost.pages import Said, View, check_columns
from dscost.rendering import register_renderer


@register_renderer(
    "jsonl",
    meaning="The figures as rows, each a line of JSON.",
    endings=(".jsonl",),
    says="rows",
)
def jsonl(said: Said, view: View) -> str:
    """Return the rows as JSON lines, each with every column; what is unknown is null.

    Raises:
        UnknownNameError: The view asks for a column that there is not.
    """
    check_columns(view, (*said.row_columns, *said.further_columns))
    columns = view.columns or said.row_columns
    lines = (
        json.dumps({name: row.get(name) for name in columns}, allow_nan=False)
        for row in said.rows_in(view)
    )
    return "".join(f"{line}\n" for line in lines)
