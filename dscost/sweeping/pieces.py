"""Parts of a grid on which all layers go one way: found by trying; where they differ, it parts."""

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple, TypeVar

import numpy as np

from dscost.sweeping.columns import Array, Split

R = TypeVar("R")


class Piece(NamedTuple):
    """Of every axis some values, and which of their combinations count.

    Args:
        picks: Positions of the values, rising, by axis.
        live: Which combinations count, broadcast over the picks; `None` means all.
    """

    picks: tuple[Array, ...]
    live: Array | None = None

    @property
    def shape(self) -> tuple[int, ...]:
        """How many values each axis has."""
        return tuple(len(one) for one in self.picks)

    @property
    def number(self) -> int:
        """How many layers count."""
        if self.live is None:
            return int(np.prod(self.shape))
        return int(np.count_nonzero(np.broadcast_to(self.live, self.shape)))

    @property
    def first(self) -> tuple[int, ...]:
        """Where the first layer that counts is."""
        at: Sequence[int] = [0] * len(self.picks)
        if self.live is not None:
            at = [int(one) for one in np.unravel_index(np.argmax(self.live), self.live.shape)]
        return tuple(int(picked[one]) for picked, one in zip(self.picks, at, strict=True))

    def parted(self, split: Split) -> Iterator["Piece"]:
        """Yield the parts that differ.

        What depends on one axis parts the values of that. What depends on several divides the
        combinations that count: both parts are computed whole, and of each only its own is taken.
        """
        axes = [axis for axis, size in enumerate(split.shape) if size > 1]
        if split.mask is None:
            yield from self.by_value(min(axes, key=lambda axis: split.shape[axis]))
        elif len(axes) == 1:
            held = split.mask.reshape(-1)
            for some in (held, ~held):
                yield from self._taking(axes[0], np.flatnonzero(some))
        else:
            for mask in (split.mask, ~split.mask):
                live = mask if self.live is None else mask & self.live
                if live.any():
                    yield self._replace(live=live)

    def by_value(self, axis: int) -> Iterator["Piece"]:
        """Yield a part for each value of an axis."""
        for at in range(len(self.picks[axis])):
            yield from self._taking(axis, np.array([at]))

    def by_kind(self, axis: int, kinds: Sequence[object]) -> Iterator["Piece"]:
        """Yield a part for each kind of value that an axis has, by the kind of each position."""
        own = [kinds[at] for at in self.picks[axis]]
        for kind in dict.fromkeys(own):
            yield from self._taking(
                axis, np.array([at for at, one in enumerate(own) if one == kind])
            )

    def _taking(self, axis: int, places: Array) -> Iterator["Piece"]:
        picks = (*self.picks[:axis], self.picks[axis][places], *self.picks[axis + 1 :])
        live = self.live
        if live is not None and live.shape[axis] > 1:
            live = live.take(places, axis=axis)
        if live is None or live.any():
            yield Piece(picks, None if live is None or live.all() else live)


def going_one_way(piece: Piece, found: Callable[[Piece], R]) -> Iterator[tuple[Piece, R]]:
    """Yield parts of a piece with what a function finds for all layers of each.

    What cannot be computed with columns at all is computed layer by layer.

    Args:
        piece: All of them.
        found: Called with parts of it; raises `Split` where their layers differ.
    """
    waiting = [piece]
    while waiting:
        one = waiting.pop()
        try:
            result = found(one)
        except Split as split:
            waiting += one.parted(split)
        except (TypeError, AttributeError):  # of functions that ask for ints of Python
            sizes = [(size, axis) for axis, size in enumerate(one.shape) if size > 1]
            if not sizes:
                raise
            waiting += one.by_value(min(sizes)[1])
        else:
            yield one, result
