"""The layers of a box counted at once, whatever way each of them goes: one table of their rows."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from dscost.errors import SpecError
from dscost.layers.choosing import Asked
from dscost.layers.variants import STANDARD
from dscost.reports.figures import COST_FIGURES
from dscost.sweeping.axes import OF_SIZES
from dscost.sweeping.cases import impossibility
from dscost.sweeping.column_tables import Labels, Table, Told
from dscost.sweeping.columns import Array, Box
from dscost.sweeping.counting import GRID, REDUCTION, counted, variants_of
from dscost.sweeping.filling import Filling, computed
from dscost.sweeping.following import Following, following_padding, following_tie
from dscost.sweeping.grids import Axis, Grid, Value
from dscost.sweeping.pieces import Piece, going_one_way
from dscost.sweeping.records import Impossible
from dscost.sweeping.tables import plain_value
from dscost.sweeping.units import Lacking


class _Named(NamedTuple):
    """Which of some values the layers of a grid have; as many axes as the grid, 1 long or whole."""

    which: Array
    values: tuple[Told, ...]


def _named(found: Array) -> _Named:
    """Return values as labels."""
    told = list(map(plain_value, found.reshape(-1).tolist()))
    places = {one: place for place, one in enumerate(dict.fromkeys(told))}
    which = np.array([places[one] for one in told], np.int32).reshape(found.shape)
    return _Named(which, tuple(places))


class CountingAtOnce:
    """What of a grid is counted, and how.

    Args:
        grid: The grid.
        columns: Of a table, see `dscost.sweeping.chunks.count_grids`.
    """

    def __init__(self, grid: Grid, columns: Sequence[str]) -> None:
        self.grid, self._columns = grid, columns
        self._figures = [name for name in COST_FIGURES if name in columns]
        if REDUCTION in columns and "macs" not in columns:
            self._figures.append("macs")
        self._tied = {tie.name: following_tie(grid, tie) for tie in grid.ties}
        asked = {one.label: one for one in grid.variants}
        first = STANDARD if grid.operation == "convolution" else grid.operation
        self.units: dict[str, Asked | None] = {
            first: None,
            **{label: asked[label] for label in variants_of(grid)},
        }
        self._kinds = [[self._kind(axis.name, one) for one in axis.values] for axis in grid.axes]
        self._padding = self._following_padding()
        self._named = {name: self._naming(name) for name in columns if name in grid.names}

    def told(self, name: str) -> Sequence[Told]:
        """Return the values that a column may have; of one of figures or numbers, one of them."""
        if name in self._tied:
            return (1,)
        if self._labels_by_chunk(name):
            return (0, "same")
        return self._label_values(name)

    def table(self, chunk: Piece, kinds: Mapping[str, type]) -> Table:
        """Return the rows of some layers that are a box.

        Args:
            chunk: The layers, all of which count.
            kinds: Of each column of labels, see `Labels`.
        """
        filling = Filling(chunk, tuple(self.units), self._figures)
        for alike in self._alike(chunk):
            for piece, costs in going_one_way(alike, partial(self._costs, asked=None)):
                filling.take(0, piece, costs)
                if not isinstance(costs, str):
                    self._count_variants(piece, filling)
        return self._finished(chunk, filling, kinds)

    # -- counting

    def _kind(self, name: str, value: Value) -> object:
        """Return what values have in common that columns may stand for; others stand alone."""
        if type(value) is int:
            return int
        is_sizes = isinstance(value, tuple) and name in OF_SIZES and len(value) == self.grid.dims
        if is_sizes and all(type(one) is int for one in value):  # type: ignore[union-attr]
            return int
        return type(value), value

    def _alike(self, chunk: Piece) -> list[Piece]:
        """Return parts of which each axis has values of one kind."""
        pieces = [chunk]
        for at, kinds in enumerate(self._kinds):
            pieces = [one for piece in pieces for one in piece.by_kind(at, kinds)]
        return pieces

    def _count_variants(self, piece: Piece, filling: Filling) -> None:
        for at, asked in enumerate(self.units.values()):
            if asked is not None:
                for part, costs in going_one_way(piece, partial(self._costs, asked=asked)):
                    filling.take(at, part, costs)

    def _costs(self, piece: Piece, asked: Asked | None) -> Mapping[str, Any] | str:
        """Return the figures of all layers of a piece, or why they cannot be."""
        with closing(Box(piece.shape, piece.live)) as box:
            try:
                return self._costs_in(box, piece, asked)
            except SpecError as error:
                return str(error)

    def _costs_in(self, box: Box, piece: Piece, asked: Asked | None) -> Mapping[str, Any] | str:
        values = {
            axis.name: _values_of(axis, at, piece, box, self.grid.dims)
            for at, axis in enumerate(self.grid.axes)
        }
        values |= {name: tie.column(piece, box) for name, tie in self._tied.items()}
        found = counted(values, self.grid._replace(variants=(asked,) if asked else ()))
        one = next(found)
        if asked:
            one = next(found)
        if isinstance(one, Lacking):
            return one.why
        _, cost = one
        return {name: computed(getattr(cost, name)) for name in self._figures}

    # -- the table

    def _following_padding(self) -> Following | None:
        """Return the paddings, where they are to be told and some are those that keep the size."""
        own = (axis.values for axis in self.grid.axes if axis.name == "padding")
        is_told = "padding" in self._columns and None in next(own, ())
        return following_padding(self.grid) if is_told else None

    def _labels_by_chunk(self, name: str) -> bool:
        """Whether the labels of a column are too many to be known before its rows."""
        return name == "padding" and self._padding is not None and self._padding.whole is None

    def _naming(self, name: str) -> _Named | None:
        """Return the labels of an axis; none if its numbers follow from others, chunk by chunk."""
        if name in self._tied or self._labels_by_chunk(name):
            return None
        if name == "padding" and self._padding and self._padding.whole:
            return _named(self._padding.whole[0])
        at = next(at for at, axis in enumerate(self.grid.axes) if axis.name == name)
        values = self.grid.axes[at].values
        shape = [len(values) if one == at else 1 for one in range(len(self.grid.axes))]
        which = np.arange(len(values), dtype=np.int32).reshape(shape)
        return _Named(which, tuple(map(plain_value, values)))

    def _label_values(self, name: str) -> tuple[Told, ...]:
        named = self._named.get(name)
        if named is not None:
            return named.values
        if name == "variant":
            return tuple(self.units)
        return ({"dtype": self.grid.dtype, GRID: self.grid.name or None}.get(name),)

    def _finished(self, chunk: Piece, filling: Filling, kinds: Mapping[str, type]) -> Table:
        """Return the table of what was counted."""
        number = int(np.count_nonzero(filling.present))
        is_whole = number == filling.present.size

        def rows(array: Array) -> Array:
            full = np.broadcast_to(array, filling.present.shape)
            return full.reshape(-1) if is_whole else full[filling.present]

        columns = {
            name: self._column(name, chunk, filling, rows, kinds[name]) for name in self._columns
        }
        first, *others = self.units
        lacking = {label: filling.missing(label) for label in others}
        return Table(
            columns,
            number,
            self._impossible(filling.missing(first)),
            {label: Impossible(*one[1:]) for label, one in lacking.items() if one},
        )

    def _column(
        self,
        name: str,
        chunk: Piece,
        filling: Filling,
        rows: Callable[[Array], Array],
        kind: type,
    ) -> Labels | Array:
        if name == REDUCTION:
            return rows(filling.reduction())
        if name in filling.figures:
            return rows(filling.figures[name])
        if name in self._tied:
            numbers, _ = self._tied[name].of(chunk)
            found = rows(numbers[..., np.newaxis])
            if kind is int:
                return found
            values, which = np.unique(found, return_inverse=True)
            return Labels(which.astype(np.int32), tuple(values.tolist()), kind)
        if self._padding and self._labels_by_chunk(name):
            own = _named(self._padding.of(chunk)[0])
            return Labels(rows(own.which[..., np.newaxis]), own.values, kind)
        return Labels(rows(self._places(name, chunk)), self._label_values(name), kind)

    def _places(self, name: str, chunk: Piece) -> Array:
        """Return which of its labels each row has."""
        if name == "variant":
            return np.arange(len(self.units), dtype=np.int32)
        named = self._named.get(name)
        if named is None:
            return np.zeros((), np.int32)
        once = np.zeros(1, int)
        sizes = zip(chunk.picks, named.which.shape, strict=True)
        return named.which[np.ix_(*(one if size > 1 else once for one, size in sizes))][
            ..., np.newaxis
        ]

    def _impossible(self, missing: tuple[tuple[int, ...], int, str] | None) -> Impossible | None:
        """Return how many layers cannot exist, and which is the first, told as one layer is."""
        if missing is None:
            return None
        at, number, _ = missing
        place = 0
        for one, axis in zip(at, self.grid.axes, strict=True):
            place = place * len(axis.values) + one
        return Impossible(number, impossibility(self.grid, place))


def _values_of(axis: Axis, at: int, piece: Piece, box: Box, dims: int) -> Any:
    """Return what all layers of a piece have of an axis: values of one kind, as columns."""
    own = [axis.values[one] for one in piece.picks[at].tolist()]
    if len(own) == 1:
        return own[0]
    if not any(isinstance(one, tuple) for one in own):
        return box.along(at, own)
    spread = (one if isinstance(one, tuple) else (one,) * dims for one in own)
    return tuple(box.along(at, numbers) for numbers in zip(*spread, strict=True))
