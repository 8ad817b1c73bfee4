"""Every layer of a grid and its variants, counted: one by one, or many at once by columns."""

from collections.abc import Iterator, Mapping
from typing import Any

from dscost.errors import SpecError
from dscost.layers.variants import STANDARD
from dscost.notation.units import dtype_bytes
from dscost.reports.figures import Cost
from dscost.reports.records import Reduction
from dscost.sweeping.grids import AXES, Grid
from dscost.sweeping.records import Impossible, Row
from dscost.sweeping.units import Lacking, units_of


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


def rows_of_grid(grid: Grid) -> tuple[list[Row], Impossible | None]:
    """Return a row for each layer of a grid and each of its variants, in the order of the grid.

    Layers that cannot exist, and variants that a layer does not have, are left out. It takes 0.1 ms
    a row; `dscost.sweeping.chunks.count_grid` is for grids that are not small.
    """
    rows: list[Row] = []
    number, example = 0, ""
    for at in range(grid.size):
        try:
            values = grid.values(at)
            of = {name: values[name] for name in AXES if name in values}
            rows += _rows(of, grid)
        except SpecError as error:
            number, example = number + 1, example or str(error)
    return rows, Impossible(number, example) if number else None


def _rows(of: dict[str, Any], grid: Grid) -> list[Row]:
    rows: list[Row] = []
    for one in counted(of, grid):
        if not isinstance(one, Lacking):
            label, cost = one
            reduction = Reduction.between(rows[0].cost, cost) if rows else None
            rows.append(Row({**of, "dtype": grid.dtype}, label, cost, reduction))
    return rows


def variants_of(grid: Grid) -> tuple[str, ...]:
    """Return the labels of what may be counted beside the layers themselves."""
    if grid.operation != "convolution":
        return ()
    return tuple(asked.label for asked in grid.variants if asked.label != STANDARD)


USUAL = ("params", "macs", "weight_bytes", "input_bytes", "output_bytes", "traffic_bytes")
"""Figures that every table has."""
ON_REQUEST = ("flops", "flops_per_byte", "activations")
"""Figures that a table has where they are asked for."""
REDUCTION = "macs_reduction"
"""How many times fewer MACs a variant has than the layer as it is."""
COUNTED = (*AXES, "dtype", "variant", *USUAL, *ON_REQUEST, REDUCTION)
"""The columns of what is counted, in their order."""


def columns_of_grid(grid: Grid) -> tuple[str, ...]:
    """Return the columns that a table of a grid has unless others are asked for."""
    unknown = {axis.name for axis in grid.axes if axis.values == (None,)}
    has = {axis.name for axis in grid.axes} | {tie.name for tie in grid.ties}
    axes = (name for name in AXES if name in has - unknown)
    return (*axes, "dtype", "variant", *USUAL, *((REDUCTION,) if variants_of(grid) else ()))
