"""The table of large grids, a chunk of rows at a time."""

from collections.abc import Iterator, Sequence
from itertools import product

import numpy as np

from dscost.errors import UnknownNameError
from dscost.sweeping.column_tables import Table, kind_of
from dscost.sweeping.columns import Array
from dscost.sweeping.counting import COUNTED, columns_of_grids
from dscost.sweeping.counting_at_once import CountingAtOnce
from dscost.sweeping.grids import Grid
from dscost.sweeping.pieces import Piece

CHUNK_ROWS = 131_072
"""Rows that are counted at once: few enough for the caches of a processor."""


def count_grid(
    grid: Grid, columns: Sequence[str] | None = None, *, chunk_rows: int = CHUNK_ROWS
) -> Iterator[Table]:
    """Yield the table of a grid, see `count_grids`."""
    return count_grids([grid], columns, chunk_rows=chunk_rows)


def count_grids(
    grids: Sequence[Grid], columns: Sequence[str] | None = None, *, chunk_rows: int = CHUNK_ROWS
) -> Iterator[Table]:
    """Yield the table of some grids, some rows at a time, in the order of the grids.

    Behind the row of each layer stand those of its variants. Layers that cannot exist and variants
    that a layer does not have are left out and counted. What is not asked for is not computed.

    Args:
        grids: Of any size.
        columns: Those of `dscost.sweeping.counting.COUNTED` that the table is to have, in its
            order; without them, those of `columns_of_grids`. What a grid does not have is unknown.
        chunk_rows: How many rows a table has, at most, though at least those of one layer.

    Raises:
        UnknownNameError: There is no such column.
    """
    wanted = tuple(columns_of_grids(grids) if columns is None else columns)
    for name in wanted:
        if name not in COUNTED:
            raise UnknownNameError("column", name, COUNTED)
    countings = [CountingAtOnce(grid, wanted) for grid in grids]
    told = {name: [one.told(name) for one in countings] for name in wanted}
    kinds = {
        name: kind_of(value for values in one for value in values) for name, one in told.items()
    }
    return _tables(countings, kinds, chunk_rows)


def _tables(
    countings: Sequence[CountingAtOnce], kinds: dict[str, type], chunk_rows: int
) -> Iterator[Table]:
    for counting in countings:
        sizes = [len(axis.values) for axis in counting.grid.axes]
        for picks in _chunks(sizes, max(1, chunk_rows // len(counting.units))):
            yield counting.table(Piece(picks), kinds)


def _chunks(sizes: Sequence[int], most: int) -> Iterator[tuple[Array, ...]]:
    """Yield parts of a grid of so many layers at most, each of which is a box, in running order."""
    axis, inner = len(sizes), 1
    while axis and inner * sizes[axis - 1] <= most:
        axis -= 1
        inner *= sizes[axis]
    whole = tuple(np.arange(size) for size in sizes[axis:])
    if not axis:
        yield whole
        return
    step = max(1, most // inner)
    for outer in product(*map(range, sizes[: axis - 1])):
        fixed = tuple(np.array([at]) for at in outer)
        for begin in range(0, sizes[axis - 1], step):
            yield (*fixed, np.arange(begin, min(begin + step, sizes[axis - 1])), *whole)
