"""What a sweep says: its answers, its map, its rows."""

from collections.abc import Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from dscost.errors import UnknownNameError
from dscost.pages import Said
from dscost.pages.page import Page, Toned, View, check_columns
from dscost.pages.sweep_answers import answer_lines, crossover_sheet
from dscost.pages.sweep_maps import map_of, map_pages
from dscost.pages.sweep_notes import drift_line, lacking_lines, method_line, order_lines
from dscost.pages.sweep_rows import (
    PAGE_COLUMNS,
    SORT_KEYS,
    rows_page,
)
from dscost.pages.sweep_spreads import spreads_page
from dscost.pages.sweep_sums import lines_of_sum
from dscost.pages.sweep_words import place_words
from dscost.reports.figures import CONVENTIONS
from dscost.reports.records import head, plain
from dscost.sweeping.answers import by_place, crossovers, losses, varying_axes
from dscost.sweeping.monotone import order_of
from dscost.sweeping.pooling import place_key
from dscost.sweeping.records import Drift, Row, Sweep, Where
from dscost.sweeping.tables import (
    COLUMNS,
    HOST,
    ON_REQUEST,
    TIMED,
    cells_of,
    columns_of,
    is_there,
)

if TYPE_CHECKING:
    from dscost.pages.pictures import NotDrawn, Picture


class SweepSaid(Said):
    """What is to be said of a sweep."""

    what = "a sweep"
    columns = PAGE_COLUMNS
    sort_keys = SORT_KEYS
    row_columns: Sequence[str] = COLUMNS
    further_columns: Sequence[str] = ON_REQUEST
    _result: Sweep

    def __init__(self, sweep: Sweep) -> None:
        super().__init__(sweep)
        self._there = [row for row in sweep.rows if is_there(row)]
        self.row_columns = columns_of(self._there)
        if any(row.where for row in self._there):
            self.further_columns = (*ON_REQUEST, HOST)

    @classmethod
    def check(
        cls, view: View, says: str, first: Sequence[str] = (), *, is_timed: bool = True
    ) -> None:
        """Refuse a view that asks for what there is not, before the work that comes to the sweep.

        Args:
            view: As asked for.
            says: What is shown: `rows` have other columns than `pages`.
            first: What stands before the columns of every sweep, such as settings of models.
            is_timed: Whether anything is.

        Raises:
            UnknownNameError: There is no such column or sort key.
        """
        own: Sequence[str] = cls.columns
        if says == "rows":
            own = [name for name in cls.row_columns if is_timed or name not in TIMED]
        check_columns(view, (*first, *own))
        keys = (*first, *cls.sort_keys)
        if view.sort is not None and view.sort not in keys:
            raise UnknownNameError("sort key", view.sort, keys)

    def check_rows(self, view: View) -> None:
        """Refuse columns that no row has.

        Raises:
            UnknownNameError: The view asks for one.
        """
        check_columns(view, (*self.row_columns, *self.further_columns))

    def pages(self, view: View) -> list[Page]:
        """Return the answers, the map and the rows of each place, one after the other."""
        sweep = self._result
        if sweep.spreads:
            return [spreads_page(sweep)._replace(pictures=partial(_pictures_of, sweep))]
        found = [
            page
            for where, rows in by_place(sweep.rows)
            for page in _of(where, rows, drift_of(sweep.drift, where), view)
        ]
        first, *others = _folded(sweep, found) if view.paged else found
        lines = [*(line for one in sweep.sums for line in lines_of_sum(one)), *first.lines]
        closing = [*first.closing, *_notes(sweep)]
        first = first._replace(
            heading=sweep.title,
            lines=lines,
            closing=closing,
            pictures=partial(_pictures_of, sweep),
        )
        return [first, *others]

    def data(self, view: View) -> dict[str, Any]:
        """Return the whole, every figure exact."""
        sweep = self._result
        columns = columns_of(sweep.rows)
        return {
            **head("sweep"),
            "conventions": CONVENTIONS,
            "title": sweep.title,
            "size": sweep.size,
            "impossible": plain(sweep.impossible),
            "unfinished": sweep.unfinished,
            "crossovers": plain(crossovers(sweep.rows)),
            "losses": [_loss(row) for row in losses(sweep.rows)],
            "order": plain(order_of(sweep.rows)),
            "rows": [
                {name: cells.get(name) for name in columns} for cells in map(cells_of, sweep.rows)
            ],
            "sums": [{**plain(one), "gap": one.gap} for one in sweep.sums],
            "drift": plain(sweep.drift),
            "journal": sweep.journal,
            "spreads": plain(sweep.spreads),
            "warnings": list(sweep.warnings),
        }

    def rows(self) -> Iterator[dict[str, Any]]:
        """Yield the rows of the table, what is unknown missing.

        A variant that a layer does not have is no row, as where tables are too large to be held.
        """
        for row in self._there:
            yield {name: value for name, value in cells_of(row).items() if value is not None}


def _pictures_of(sweep: Sweep) -> "Sequence[Picture | NotDrawn]":
    from dscost.pages.pictures.of_sweeps import sweep_pictures

    return sweep_pictures(sweep)


def _folded(sweep: Sweep, pages: Sequence[Page]) -> list[Page]:
    """Return pages whose maps are folded away where a picture shows them."""
    from dscost.pages.pictures import Grid

    is_drawn = any(isinstance(one, Grid) for one in _pictures_of(sweep))
    return [
        one._replace(heading=f"{one.heading}, as a table", is_long=True)
        if is_drawn and one.is_map
        else one
        for one in pages
    ]


def headlines(sweep: Sweep) -> list[str]:
    """Return what a timed sweep answers in a few sentences, for whoever writes it to a file."""
    lines = [line for one in sweep.sums for line in lines_of_sum(one)]
    for where, rows in by_place(sweep.rows):
        varying = varying_axes(rows)
        drift = drift_of(sweep.drift, where)
        lines += answer_lines(rows, varying)
        lines += order_lines(order_of(rows), varying)[:1]
        lines += [drift_line(drift)] if drift else []
    return lines


def drift_of(drifts: Sequence[Drift], where: Where | None) -> Drift | None:
    """Return how far the reference layer moved in a place, if that is known."""
    return next((one for one in drifts if place_key(one.where) == place_key(where)), None)


def _of(
    where: Where | None, rows: Sequence[Row], drift: Drift | None, view: View
) -> Iterator[Page]:
    """Yield what one place comes to, its map, and its rows."""
    varying = varying_axes(rows)
    measured = place_words(where, with_version=True) if where else ""
    method = [method_line(where)] if where else []
    method += [drift_line(drift)] if drift else []
    lines = answer_lines(rows, varying)
    sheet, more = crossover_sheet(crossovers(rows), view)
    order = order_lines(order_of(rows), varying)
    sheets = [sheet] if sheet.rows else []
    yield Page(measured or "Not timed", lines, sheets, [*more, *order, *method], measured=measured)
    found = map_of(rows, varying)
    for page in map_pages(found, view) if found else ():
        yield page._replace(measured=measured)
    if rows:
        yield rows_page(rows, varying, view)._replace(measured=measured)


def _notes(sweep: Sweep) -> Iterator[str]:
    """Yield what is to be known of the whole."""
    yield from lacking_lines(sweep)
    yield from (Toned(warning, "unclear") for warning in sweep.warnings)


def _loss(row: Row) -> dict[str, Any]:
    """Return which layer is slower, and by how much."""
    cells = cells_of(row)
    timed = (name for name in TIMED if name != HOST)
    kept = [*row.of, "variant", *timed, "macs_reduction"]
    return {name: cells[name] for name in dict.fromkeys(kept) if cells[name] is not None}
