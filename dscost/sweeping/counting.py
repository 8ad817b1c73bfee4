"""Every layer of a grid and its variants, counted: one by one, or many at once by columns."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from dscost.errors import SpecError
from dscost.layers.variants import STANDARD
from dscost.notation.units import dtype_bytes
from dscost.reports.figures import COST_FIGURES, Cost
from dscost.sweeping.grids import AXES, Grid
from dscost.sweeping.tables import COLUMNS, ON_REQUEST
from dscost.sweeping.units import Lacking, units_of

GRID, REDUCTION = "grid", "macs_reduction"
"""Of which grid a row is, where there are several; how many times fewer MACs a variant has."""
COUNTED = (
    GRID,
    *(name for name in COLUMNS if name in (*AXES, "dtype", "variant", *COST_FIGURES, REDUCTION)),
)
"""The columns of what is counted, in their order."""


def counted(values: Mapping[str, Any], grid: Grid) -> Iterator[tuple[str, Cost] | Lacking]:
    """Yield what a layer of a grid costs, then each of its variants, by label.

    A variant whose stages do not fit each other is lacking.

    Args:
        values: By the name of the axis; numbers may be columns.
        grid: Its grid; of its variants those that are to be counted.

    Raises:
        SpecError: The layer cannot exist.
    """
    element_bytes = dtype_bytes(grid.dtype)
    units = units_of(values, grid.variants, operation=grid.operation, dims=grid.dims)
    for at, unit in enumerate(units):
        if isinstance(unit, Lacking):
            yield unit
            continue
        try:
            cost = unit.cost(element_bytes)
        except SpecError as error:
            if at == 0:
                raise
            yield Lacking(unit.label, str(error))
        else:
            yield unit.label, cost


def variants_of(grid: Grid) -> tuple[str, ...]:
    """Return the labels of what may be counted beside the layers themselves."""
    if grid.operation != "convolution":
        return ()
    return tuple(asked.label for asked in grid.variants if asked.label != STANDARD)


def columns_of_grids(grids: Sequence[Grid]) -> tuple[str, ...]:
    """Return the columns that a table of grids has unless others are asked for.

    It has no figures that are there on request, and no column that no row has.
    """
    has = {name for grid in grids for name in grid.names}
    for name, is_there in (
        (GRID, any(grid.name for grid in grids)),
        (REDUCTION, any(map(variants_of, grids))),
    ):
        if is_there:
            has.add(name)
    others = (GRID, REDUCTION, *AXES, *ON_REQUEST)
    return tuple(name for name in COUNTED if name in has or name not in others)
