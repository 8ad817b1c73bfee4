"""A table where there is little room: shorter forms of its cells, and no rows that say nothing."""

from collections.abc import Iterator, Sequence

from dscost.pages.page import Column, Row, Sheet, View, in_tone_of


def keeps_columns(view: View, sheet: Sheet) -> bool:
    """Whether the user asked for columns by name or for all, so that none may be dropped."""
    return view.wide or (view.columns is not None and not sheet.gives_way)


def narrowed(sheet: Sheet) -> Sheet:
    """Return a sheet with the shorter forms of what has some."""
    shorter = {column.key: column.narrow for column in sheet.columns if column.narrow}
    columns = [
        column._replace(header=column.narrow(column.header)) if column.narrow else column
        for column in sheet.columns
    ]
    rows = [
        row._replace(
            cells={
                key: shorter[key](cell) if key in shorter else cell
                for key, cell in row.cells.items()
            }
        )
        for row in sheet.rows
    ]
    return sheet._replace(columns=columns, rows=rows)


def telling(sheet: Sheet, columns: Sequence[Column]) -> list[Row]:
    """Return the rows that say something without the columns that were dropped.

    What goes below the table is still said.
    """
    every = sheet.columns[1:]
    shown = [column for column in every if column in columns or column.goes_below]
    return [
        row
        for row in sheet.rows
        if any(row.cells.get(column.key) for column in shown)
        or not any(row.cells.get(column.key) for column in every)
    ]


def below(sheet: Sheet, column: Column) -> Iterator[str]:
    """Yield what the cells of a column say, each once, after the names of its rows."""
    name = sheet.columns[0].key
    told: dict[str, list[str]] = {}
    for row in sheet.rows:
        if cell := row.cells.get(column.key):
            told.setdefault(cell, []).append(row.cells.get(name, ""))
    if told:
        yield f"{column.header}:"
        for cell, names in told.items():
            yield in_tone_of(f"  {', '.join(names)}: {cell}", cell)
