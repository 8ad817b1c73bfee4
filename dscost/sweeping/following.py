"""What follows from the axes of a grid, for many layers at once: ties, and paddings that fit."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import product
from math import prod
from operator import is_not
from typing import Any

import numpy as np

from dscost.errors import SpecError
from dscost.layers.convolution import size_keeping_padding
from dscost.layers.making import extent
from dscost.sweeping.columns import Array, Box, Column, Split
from dscost.sweeping.grids import SHORT, Grid, Tie, Value
from dscost.sweeping.intervals import fits
from dscost.sweeping.pieces import Piece

MOST_KEPT = 2**20
"""Values that are worked out once for a whole grid; of more, those that are needed."""


class Following:
    """What follows from some axes of a grid, for every combination of their values.

    Args:
        grid: The grid.
        names: Axes and ties that it follows from.
        found: Returns it, given the values of these; may raise `SpecError`.
    """

    def __init__(
        self, grid: Grid, names: Iterable[str], found: Callable[[Mapping[str, Value]], Any]
    ) -> None:
        ties, needed = _needed(grid.ties, names)
        self._grid, self._found = grid._replace(ties=ties), found
        self.axes = [at for at, axis in enumerate(grid.axes) if axis.name in needed]
        self.whole: tuple[Array, Array | None] | None = None
        """It for the whole grid; nothing where that has too many combinations to be kept."""
        self._last: tuple[Sequence[Array], tuple[Array, Array | None]] = ((), (np.ones(0), None))
        if prod(len(grid.axes[at].values) for at in self.axes) <= MOST_KEPT:
            self.whole = self._worked_out([range(len(axis.values)) for axis in grid.axes])

    def column(self, piece: Piece, box: Box) -> Column | int:
        """Return numbers for the layers of a piece.

        Raises:
            SpecError: All of them have none.
            Split: Some have none.
        """
        numbers, errors = self.of(piece)
        if errors is None:
            return box.column(numbers)
        wrong = errors.astype(bool)
        live = np.ones((1,) * wrong.ndim, bool) if box.live is None else box.live
        if (wrong & live).any():
            if not (wrong | ~live).all():
                raise Split(wrong, wrong.shape)
            raise SpecError(errors[box.place(wrong.shape)])
        return box.column(numbers)

    def of(self, piece: Piece) -> tuple[Array, Array | None]:
        """Return it for the combinations of a piece, and why there is none.

        The arrays broadcast over the piece. Where nothing is missing, the second is `None`.
        """
        if self.whole is None:
            before, last = self._last
            if len(before) != len(piece.picks) or any(map(is_not, before, piece.picks)):
                last = self._worked_out(piece.picks)
                self._last = piece.picks, last  # parts by a mask have the same picks
            return last
        found, errors = self.whole
        once = np.zeros(1, int)
        picks = (one if at in self.axes else once for at, one in enumerate(piece.picks))
        places = np.ix_(*picks)
        return found[places], None if errors is None else errors[places]

    def _worked_out(self, picks: Sequence[Sequence[int] | Array]) -> tuple[Array, Array | None]:
        shape = [len(one) if at in self.axes else 1 for at, one in enumerate(picks)]
        found, errors = np.ones(prod(shape), object), np.full(prod(shape), "", object)
        names = [self._grid.axes[at].name for at in self.axes]
        values = ([self._grid.axes[at].values[int(one)] for one in picks[at]] for at in self.axes)
        for number, combination in enumerate(product(*values)):
            given = dict(zip(names, combination, strict=True))
            try:
                found[number] = self._found({**given, **self._grid.tied(given)})
            except SpecError as error:
                errors[number] = str(error)
        if all(type(one) is int for one in found) and fits((min(found), max(found))):
            found = found.astype(np.int64)
        is_right = not errors.any()
        return found.reshape(shape), None if is_right else errors.reshape(shape)


def following_tie(grid: Grid, tie: Tie) -> Following:
    """Return the numbers of a tie."""
    return Following(grid, (tie.name,), lambda values: values[tie.name])


def following_padding(grid: Grid) -> Following:
    """Return the padding of every convolution, also where it is the one that keeps the size."""

    def found(values: Mapping[str, Value]) -> Value:
        if values["padding"] is not None:
            return values["padding"]
        kernel, stride, dilation = (
            extent(name, values[name], grid.dims) for name in ("kernel_size", "stride", "dilation")
        )
        sides = size_keeping_padding(kernel, stride, dilation)
        return sides[0] if not isinstance(sides, str) and len(set(sides)) == 1 else sides

    return Following(grid, ("padding", "kernel_size", "stride", "dilation"), found)


def _needed(ties: Sequence[Tie], names: Iterable[str]) -> tuple[tuple[Tie, ...], set[str]]:
    """Return the ties among some names and those that they follow from, and all names."""
    long = {short: name for name, short in SHORT.items()}
    needed, found = set(names), list[Tie]()
    for one in reversed(ties):
        if one.name in needed:
            found.append(one)
            needed.update(long.get(name, name) for name in one.expression.names())
    return tuple(reversed(found)), needed
