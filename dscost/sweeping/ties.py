"""What follows from the axes of a grid, for many layers at once."""

from collections.abc import Sequence
from itertools import product
from math import prod

import numpy as np

from dscost.errors import SpecError
from dscost.sweeping.columns import Array, Box, Column, Split
from dscost.sweeping.grids import SHORT, Grid, Tie
from dscost.sweeping.intervals import fits
from dscost.sweeping.pieces import Piece

MOST_KEPT = 2**20
"""Values of a tie that are worked out once for a whole grid; of more, those that are needed."""


class TiedTable:
    """The values of a tie, for every combination of the axes that it depends on.

    Args:
        grid: Its grid.
        tie: One of its ties.
    """

    def __init__(self, grid: Grid, tie: Tie) -> None:
        self._needed, names = _needed(grid.ties, tie)
        self._grid = grid._replace(ties=self._needed)
        self._name = tie.name
        self.axes = [at for at, axis in enumerate(grid.axes) if axis.name in names]
        self._whole: tuple[Array, Array | None] | None = None
        if prod(len(grid.axes[at].values) for at in self.axes) <= MOST_KEPT:
            everything = [range(len(axis.values)) for axis in grid.axes]
            self._whole = self._worked_out(everything)

    def column(self, piece: Piece, box: Box) -> Column | int:
        """Return its values for the layers of a piece.

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
        """Return its values for the combinations of a piece, and why there are none.

        The arrays broadcast over the piece. Where no value is missing, the second is `None`.
        """
        if self._whole is None:
            return self._worked_out(piece.picks)
        numbers, errors = self._whole
        once = np.zeros(1, int)
        picks = (one if at in self.axes else once for at, one in enumerate(piece.picks))
        places = np.ix_(*picks)
        return numbers[places], None if errors is None else errors[places]

    def _worked_out(self, picks: Sequence[Sequence[int] | Array]) -> tuple[Array, Array | None]:
        """Return the values of some layers, and why there are none; 1 stands for those."""
        shape = [len(one) if at in self.axes else 1 for at, one in enumerate(picks)]
        numbers, errors = np.ones(prod(shape), object), np.full(prod(shape), "", object)
        names = [self._grid.axes[at].name for at in self.axes]
        values = ([self._grid.axes[at].values[int(one)] for one in picks[at]] for at in self.axes)
        for number, combination in enumerate(product(*values)):
            try:
                tied = self._grid.tied(dict(zip(names, combination, strict=True)))
                numbers[number] = tied[self._name]
            except SpecError as error:
                errors[number] = str(error)
        if fits((int(numbers.min()), int(numbers.max()))):
            numbers = numbers.astype(np.int64)
        is_right = not errors.any()
        return numbers.reshape(shape), None if is_right else errors.reshape(shape)


def _needed(ties: Sequence[Tie], tie: Tie) -> tuple[tuple[Tie, ...], set[str]]:
    """Return a tie behind those that it follows from, and the names of all that takes part."""
    long = {short: name for name, short in SHORT.items()}
    names: set[str] = {tie.name}
    found: list[Tie] = []
    for one in reversed(ties[: ties.index(tie) + 1]):
        if one.name in names:
            found.append(one)
            names.update(long.get(name, name) for name in one.expression.names())
    return tuple(reversed(found)), names
