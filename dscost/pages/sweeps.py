"""What a sweep says: its answers, its map, its rows."""

from collections.abc import Iterator, Sequence
from typing import Any

from dscost.pages import Said
from dscost.pages.page import Page, Toned, View
from dscost.pages.sweep_rows import (
    PAGE_COLUMNS,
    SORT_KEYS,
    constants_words,
    more_line,
    rows_sheet,
    varying_axes,
)
from dscost.reports.figures import CONVENTIONS
from dscost.reports.records import head, plain
from dscost.sweeping.records import Sweep
from dscost.sweeping.tables import COLUMNS, ON_REQUEST, cells_of, columns_of


class SweepSaid(Said):
    """What is to be said of a sweep."""

    what = "a sweep"
    columns = PAGE_COLUMNS
    sort_keys = SORT_KEYS
    row_columns: Sequence[str] = COLUMNS
    further_columns = ON_REQUEST
    _result: Sweep

    def __init__(self, sweep: Sweep) -> None:
        super().__init__(sweep)
        self.row_columns = columns_of(sweep.rows)

    def pages(self, view: View) -> list[Page]:
        """Return the answers, and below them the rows."""
        sweep = self._result
        varying = varying_axes(sweep.rows)
        common = constants_words(sweep.rows, varying)
        lines = [Toned(f"all with {common}", "method")] if common else []
        sheets = [rows_sheet(sweep.rows, varying, view)] if sweep.rows else []
        more = more_line(len(sweep.rows), view)
        closing = [*([Toned(more, "method")] if more else []), *_notes(sweep)]
        return [Page(sweep.title, lines, sheets, closing)]

    def data(self, view: View) -> dict[str, Any]:
        """Return the whole, every figure exact."""
        sweep = self._result
        return {
            **head("sweep"),
            "conventions": CONVENTIONS,
            "title": sweep.title,
            "size": sweep.size,
            "impossible": plain(sweep.impossible),
            "unfinished": sweep.unfinished,
            "rows": [
                {name: cells.get(name) for name in self.row_columns}
                for cells in map(cells_of, sweep.rows)
            ],
            "drift": plain(sweep.drift),
            "journal": sweep.journal,
            "warnings": list(sweep.warnings),
        }

    def rows(self) -> Iterator[dict[str, Any]]:
        """Yield the rows of the table, what is unknown missing."""
        for row in self._result.rows:
            yield {name: value for name, value in cells_of(row).items() if value is not None}


def _notes(sweep: Sweep) -> Iterator[str]:
    if sweep.impossible:
        yield (
            f"{sweep.impossible.number:,} of {sweep.size:,} layers cannot exist, such as: "
            f"{sweep.impossible.example}"
        )
    yield from (Toned(warning, "unclear") for warning in sweep.warnings)
