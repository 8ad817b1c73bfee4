"""A grid → its cases: the layers that can exist, one by one, each with its variants. No numpy.

>>> from dscost.sweeping.making_grids import Setup, grid_of
>>> given = {"in_channels": 8, "out_channels": 8, "kernel_size": 3, "groups": "1,3"}
>>> grid = grid_of(given, Setup())
>>> [type(one).__name__ for one in cases_of(grid)]
['Case', 'Impossibility']
"""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from dscost.errors import SpecError
from dscost.layers.convolution import ConvSpec
from dscost.notation.units import format_extent
from dscost.sweeping.grids import SHORT, Grid
from dscost.sweeping.records import Case
from dscost.sweeping.units import Lacking, Unit, units_of


class Impossibility(NamedTuple):
    """A layer of a grid that cannot exist, and why.

    Args:
        text: Which layer it is, and the reason.
    """

    text: str


def cases_of(grid: Grid) -> Iterator[Case | Impossibility]:
    """Yield the layers of a grid in its order, or why one cannot exist.

    Raises:
        InputError: The function of a variant returns no stages.
    """
    varying = _varying(grid)
    for number in range(grid.size):
        yield _case(grid, number, varying)


def impossibility(grid: Grid, number: int) -> str:
    """Return which layer of a grid cannot exist, by its number, and why."""
    found = _case(grid._replace(variants=()), number, _varying(grid))
    return found.text if isinstance(found, Impossibility) else ""


def _varying(grid: Grid) -> list[str]:
    return [axis.name for axis in grid.axes if len(axis.values) > 1]


def _case(grid: Grid, number: int, varying: list[str]) -> Case | Impossibility:
    values: dict[str, Any] = {}
    try:
        values |= grid.values(number)
        found = list(units_of(values, grid.variants, operation=grid.operation, dims=grid.dims))
    except SpecError as error:
        values = values or grid.untied(number)
        return Impossibility(f"{_named(values, varying, grid)}{error}")
    units = tuple(one for one in found if isinstance(one, Unit))
    lacking = {one.label: one.why for one in found if isinstance(one, Lacking)}
    return Case(_of(values, units[0], grid), units, lacking)


def _of(values: Mapping[str, Any], unit: Unit, grid: Grid) -> dict[str, Any]:
    """Return what a table says of a layer; a padding that keeps the size is told as what it is."""
    (_, spec, *_), *_ = unit.parts
    found = {name: values[name] for name in grid.names}
    if isinstance(spec, ConvSpec) and found.get("padding") is None:
        sides = spec.padding
        is_one = not isinstance(sides, str) and len(set(sides)) == 1
        found["padding"] = sides[0] if is_one else sides
    found["dtype"] = grid.dtype
    return {"grid": grid.name, **found} if grid.name else found


def _named(values: Mapping[str, Any], varying: list[str], grid: Grid) -> str:
    """Return which layer of a grid it is, by what differs from others; nothing if there is one."""
    names = [*varying, *(tie.name for tie in grid.ties)] if varying else []
    told = [
        f"{SHORT.get(name, name)} {_text(values[name])}"
        for name in grid.names
        if name in names
        if name in values
    ]
    return f"{', '.join(told)}: " if told else ""


def _text(value: Any) -> str:
    return format_extent(value) if isinstance(value, tuple) else str(value)
