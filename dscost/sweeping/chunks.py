"""The table of a large grid, a chunk of rows at a time: columns of numpy."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from itertools import product
from typing import Any, NamedTuple

import numpy as np

from dscost.errors import SpecError, UnknownNameError
from dscost.layers.choosing import Asked
from dscost.layers.variants import STANDARD
from dscost.sweeping.columns import Array, Box
from dscost.sweeping.counting import (
    COUNTED,
    ON_REQUEST,
    REDUCTION,
    USUAL,
    columns_of_grid,
    counted,
    variants_of,
)
from dscost.sweeping.filling import Filling, computed
from dscost.sweeping.grids import Axis, Grid, Value
from dscost.sweeping.pieces import Piece, going_one_way
from dscost.sweeping.records import Impossible
from dscost.sweeping.ties import TiedTable
from dscost.sweeping.units import Lacking

CHUNK_ROWS = 131_072
"""Rows that are counted at once: few enough for the caches of a processor."""
_OF_SIZES = ("kernel_size", "stride", "padding", "dilation", "input_size")
"""Axes whose values may be a number for each dimension."""


class Labels(NamedTuple):
    """A column of few different values.

    Args:
        which: Which of them each row has.
        values: As tables have them: pairs as `5x3`, what is unknown as `None`.
    """

    which: Array
    values: tuple[int | str | bool | None, ...]


class Table(NamedTuple):
    """Rows of a sweep, as columns in the order of a table.

    Args:
        columns: By name; arrays of int64, of ints of Python where those do not hold them, or of
            float64, where what is unknown is no number.
        number: How many rows there are.
        impossible: Layers that would be among them and cannot exist.
        lacking: Variants that would be among them and that a layer does not have, by label.
    """

    columns: Mapping[str, Labels | Array]
    number: int
    impossible: Impossible | None = None
    lacking: Mapping[str, Impossible] = {}


def count_grid(
    grid: Grid, columns: Sequence[str] | None = None, *, chunk_rows: int = CHUNK_ROWS
) -> Iterator[Table]:
    """Yield the table of a grid, some rows at a time, in the order of the grid.

    Behind the row of each layer stand those of its variants. Layers that cannot exist and variants
    that a layer does not have are left out and counted. What is not asked for is not computed.

    Args:
        grid: Of any size.
        columns: Those of `dscost.sweeping.counting.COUNTED` that the table is to have; without
            them, those of `columns_of_grid`. What the grid does not have is unknown.
        chunk_rows: How many rows a table has, at most, though at least those of one layer.

    Raises:
        UnknownNameError: There is no such column.
    """
    wanted = tuple(columns_of_grid(grid) if columns is None else columns)
    for name in wanted:
        if name not in COUNTED:
            raise UnknownNameError("column", name, COUNTED)
    counting = _Counting(grid, wanted)
    sizes = [len(axis.values) for axis in grid.axes]
    for picks in _chunks(sizes, max(1, chunk_rows // len(counting.units))):
        yield counting.table(Piece(picks))


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


class _Counting:
    """What of a grid is counted, and how.

    Args:
        grid: The grid.
        columns: Of a table.
    """

    def __init__(self, grid: Grid, columns: Sequence[str]) -> None:
        self.grid, self.columns = grid, columns
        self.figures = [name for name in (*USUAL, *ON_REQUEST) if name in columns]
        if REDUCTION in columns and "macs" not in columns:
            self.figures.append("macs")
        self.tied = {tie.name: TiedTable(grid, tie) for tie in grid.ties}
        labels = variants_of(grid)
        asked = {one.label: one for one in grid.variants}
        first = STANDARD if grid.operation == "convolution" else grid.operation
        self.units: dict[str, Asked | None] = {first: None, **{one: asked[one] for one in labels}}
        self.kinds = [[self._kind(axis.name, one) for one in axis.values] for axis in grid.axes]

    def _kind(self, name: str, value: Value) -> object:
        """Return what values have in common that columns may stand for; others stand alone."""
        if type(value) is int:
            return int
        is_sizes = isinstance(value, tuple) and name in _OF_SIZES and len(value) == self.grid.dims
        if is_sizes and all(type(one) is int for one in value):  # type: ignore[union-attr]
            return int
        return type(value), value

    def table(self, chunk: Piece) -> Table:
        """Return the rows of some layers that are a box."""
        filling = Filling(chunk, tuple(self.units), self.figures)
        for alike in self._alike(chunk):
            for piece, costs in going_one_way(alike, partial(self._costs, asked=None)):
                filling.take(0, piece, costs)
                if not isinstance(costs, str):
                    self._count_variants(piece, filling)
        return self._finished(chunk, filling)

    def _count_variants(self, piece: Piece, filling: Filling) -> None:
        for at, asked in enumerate(self.units.values()):
            if asked is not None:
                for part, costs in going_one_way(piece, partial(self._costs, asked=asked)):
                    filling.take(at, part, costs)

    def _alike(self, chunk: Piece) -> list[Piece]:
        """Return parts of which each axis has values of one kind."""
        pieces = [chunk]
        for at, kinds in enumerate(self.kinds):
            pieces = [one for piece in pieces for one in piece.by_kind(at, kinds)]
        return pieces

    def _costs(self, piece: Piece, asked: Asked | None) -> Mapping[str, Any] | str:
        """Return the figures of all layers of a piece, or why they cannot be."""
        box = Box(piece.shape, piece.live)
        try:
            values = {
                axis.name: _values_of(axis, at, piece, box, self.grid.dims)
                for at, axis in enumerate(self.grid.axes)
            }
            values |= {name: table.column(piece, box) for name, table in self.tied.items()}
            found = counted(values, self.grid._replace(variants=(asked,) if asked else ()))
            one = next(found)
            if asked:
                one = next(found)
        except SpecError as error:
            return str(error)
        if isinstance(one, Lacking):
            return one.why
        _, cost = one
        return {name: computed(getattr(cost, name)) for name in self.figures}

    def _finished(self, chunk: Piece, filling: Filling) -> Table:
        """Return the table of what was counted."""
        number = int(np.count_nonzero(filling.present))
        whole = number == filling.present.size

        def rows(array: Array) -> Array:
            full = np.broadcast_to(array, filling.present.shape)
            return full.reshape(-1) if whole else full[filling.present]

        columns = {name: self._column(name, chunk, filling, rows) for name in self.columns}
        first, *others = self.units
        lacking = {label: filling.missing(label) for label in others}
        return Table(
            columns,
            number,
            filling.missing(first),
            {label: one for label, one in lacking.items() if one},
        )

    def _column(
        self, name: str, chunk: Piece, filling: Filling, rows: Callable[[Array], Array]
    ) -> Labels | Array:
        if name == REDUCTION:
            return rows(filling.reduction())
        if name in filling.figures:
            return rows(filling.figures[name])
        dimensions = filling.present.ndim
        if name == "variant":
            return Labels(rows(np.arange(len(self.units), dtype=np.int32)), tuple(self.units))
        for at, axis in enumerate(self.grid.axes):
            if axis.name == name:
                places = chunk.picks[at].astype(np.int32)
                shape = [len(places) if one == at else 1 for one in range(dimensions)]
                return Labels(rows(places.reshape(shape)), tuple(map(_told, axis.values)))
        if name in self.tied:
            numbers, _ = self.tied[name].of(chunk)
            return rows(numbers[..., np.newaxis])
        value = self.grid.dtype if name == "dtype" else None
        return Labels(rows(np.zeros((), np.int32)), (value,))


def _values_of(axis: Axis, at: int, piece: Piece, box: Box, dims: int) -> Any:
    """Return what all layers of a piece have of an axis: values of one kind, as columns."""
    own = [axis.values[one] for one in piece.picks[at].tolist()]
    if len(own) == 1:
        return own[0]
    if not any(isinstance(one, tuple) for one in own):
        return box.along(at, own)
    spread = (one if isinstance(one, tuple) else (one,) * dims for one in own)
    return tuple(box.along(at, numbers) for numbers in zip(*spread, strict=True))


def _told(value: Value) -> int | str | bool | None:
    """Return a value as tables for programs have it."""
    return "x".join(map(str, value)) if isinstance(value, tuple) else value
