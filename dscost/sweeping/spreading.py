"""Tables that are not held → what their rows come to: least and most, by variant."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from dscost.sweeping.chunks import count_grids
from dscost.sweeping.column_tables import Labels, Table
from dscost.sweeping.grids import Grid
from dscost.sweeping.records import Impossible, Spread, Sweep
from dscost.sweeping.swept import require_some, rows_in, title_of
from dscost.sweeping.writing import Written, write_tables
from dscost.timing import Progress

COLUMNS = ("variant", "macs", "macs_reduction")
"""What is looked at."""


class Spreading:
    """What the rows of tables come to that go through it."""

    def __init__(self) -> None:
        self._spreads: dict[str, Spread] = {}

    def through(self, tables: Iterable[Table]) -> Iterator[Table]:
        """Yield tables that have `COLUMNS`, each once it was looked at."""
        for table in tables:
            for one in _spreads_of(table):
                self._spreads[one.variant] = _joined(self._spreads.get(one.variant), one)
            yield table

    def found(self, lacking: Mapping[str, Impossible]) -> tuple[Spread, ...]:
        """Return it by variant, with the layers that do not have them."""
        labels = dict.fromkeys([*self._spreads, *lacking])
        return tuple(
            self._spreads.get(label, Spread(label, 0))._replace(lacking=lacking.get(label))
            for label in labels
        )


def spread_sweep(grids: Sequence[Grid], progress: Progress | None = None) -> Sweep:
    """Return what the layers of grids of any size cost at least and at most, without their rows.

    Raises:
        InputError: No layer can exist.
    """
    spreading, written = Spreading(), Written()
    tables = watched(count_grids(grids, COLUMNS), grids, progress, "counting")
    for table in spreading.through(tables):
        written = written.with_table(table)
    return unheld(grids, written)._replace(spreads=spreading.found(written.lacking))


def written_sweep(grids: Sequence[Grid], path: Path, format: str) -> Sweep:
    """Write the layers of grids of any size, and return what they cost at least and at most.

    Args:
        grids: Of any size.
        path: The file.
        format: As `dscost.sweeping.writing.write_tables` takes it.

    Raises:
        InputError: No layer can exist.
        OutputError: It cannot be written.
        UnavailableError: What it takes is not installed.
    """
    spreading = Spreading()
    tables = watched(spreading.through(count_grids(grids)), grids, None, "writing")
    written = write_tables(tables, path, format)
    return unheld(grids, written)._replace(spreads=spreading.found(written.lacking))


def unheld(grids: Sequence[Grid], written: Written) -> Sweep:
    """Return a sweep whose rows were written and are not held."""
    size = sum(grid.size for grid in grids)
    return Sweep(title_of(grids), size, (), written.impossible)


def watched(
    tables: Iterable[Table], grids: Sequence[Grid], progress: Progress | None, doing: str
) -> Iterator[Table]:
    """Yield the tables of grids, and tell how far they are.

    Raises:
        InputError: They come to an end without a row: no layer can exist.
    """
    most = rows_in(grids)
    gone, found, impossible = 0, 0, None
    for table in tables:
        yield table
        found += table.number
        if table.impossible:
            impossible = impossible or table.impossible
            gone += table.impossible.number
        gone += table.number + sum(one.number for one in table.lacking.values())
        if progress:
            progress(min(1.0, gone / most), f"{doing} {most:,} rows")
    require_some(sum(grid.size for grid in grids), found, impossible)


def _spreads_of(table: Table) -> Iterator[Spread]:
    variants: Any = table.columns["variant"]
    assert isinstance(variants, Labels)
    macs: Any = table.columns["macs"]
    reductions: Any = table.columns["macs_reduction"]
    for at, label in enumerate(variants.values):
        which = variants.which == at
        number = int(which.sum())
        if not number:
            continue
        some = macs[which]
        known = reductions[which]
        known = known[~np.isnan(known)]
        ends = (float(known.min()), float(known.max())) if len(known) else (None, None)
        yield Spread(str(label), number, int(some.min()), int(some.max()), *ends)


def _joined(one: Spread | None, other: Spread) -> Spread:
    if one is None:
        return other
    least, most = _ends(one.least_macs, other.least_macs), _ends(one.most_macs, other.most_macs)
    lower = _ends(one.least_reduction, other.least_reduction)
    upper = _ends(one.most_reduction, other.most_reduction)
    return Spread(other.variant, one.rows + other.rows, least[0], most[1], lower[0], upper[1])


def _ends(one: Any, other: Any) -> tuple[Any, Any]:
    """Return the smaller and the larger of two numbers, either of which may be unknown."""
    known = [number for number in (one, other) if number is not None]
    return (min(known), max(known)) if known else (None, None)
