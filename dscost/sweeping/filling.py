"""Where the parts of a box of layers come together again: arrays of all its rows."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from dscost.sweeping.columns import Array, Lazy, is_exact
from dscost.sweeping.intervals import EXACT_REAL
from dscost.sweeping.pieces import Piece

REAL = ("flops_per_byte",)
"""Figures that are no whole numbers."""


class Filling:
    """The figures of the rows of a box: its layers as they are and in variants.

    Args:
        chunk: All its layers.
        labels: Of what is counted of each; the layer as it is stands first.
        figures: What is counted, by name.
    """

    def __init__(self, chunk: Piece, labels: Sequence[str], figures: Sequence[str]) -> None:
        shape = (*chunk.shape, len(labels))
        self.present = np.zeros(shape, bool)
        self.figures: dict[str, Array] = {
            name: np.full(shape, np.nan) if name in REAL else np.zeros(shape, np.int64)
            for name in figures
        }
        self._labels = labels
        self._begin = [int(one[0]) for one in chunk.picks]
        self._missing: dict[str, list[tuple[tuple[int, ...], int, str]]] = {}

    def take(self, unit: int, piece: Piece, found: Mapping[str, Any] | str) -> None:
        """Take what was found of some layers, as one of their units: figures, or why not."""
        if isinstance(found, str):
            told = (piece.first, piece.number, found)
            self._missing.setdefault(self._labels[unit], []).append(told)
            return
        where = self._where(piece)
        _put(self.present[..., unit], where, piece, True)
        for name, value in found.items():
            if value is None:
                continue
            numbers = self.figures[name]
            if numbers.dtype != object and is_exact(value):
                numbers = self.figures[name] = numbers.astype(object)
            _put(numbers[..., unit], where, piece, value)

    def _where(self, piece: Piece) -> Any:
        """Return where the layers of a piece are: by slices, if they can be told so."""
        places = [one - begin for one, begin in zip(piece.picks, self._begin, strict=True)]
        slices = [_slice(one) for one in places]
        return tuple(slices) if all(slices) else np.ix_(*places)

    def missing(self, label: str) -> tuple[tuple[int, ...], int, str] | None:
        """Return the first layer that has no such unit, how many have none, and why the first."""
        found = self._missing.get(label)
        if not found:
            return None
        first, _, why = min(found)
        return first, sum(number for _, number, _ in found), why

    def reduction(self) -> Array:
        """Return how many times fewer MACs each unit has than the first; not a number for that."""
        macs = self.figures["macs"]
        ratios = np.full(macs.shape, np.nan)
        before, after = np.broadcast_arrays(macs[..., :1], macs[..., 1:])
        known = self.present[..., 1:] & (after != 0).astype(bool)
        if macs.dtype != object and macs.max() <= EXACT_REAL:
            np.divide(before, after, out=ratios[..., 1:], where=known)
        else:  # ints of Python are divided without being rounded before
            pairs = zip(before[known].tolist(), after[known].tolist(), strict=True)
            ratios[..., 1:][known] = [one / another for one, another in pairs]
        return ratios


def _slice(places: Array) -> slice | None:
    first, last = int(places[0]), int(places[-1])
    if len(places) == 1:
        return slice(first, first + 1)
    step = int(places[1]) - first
    return slice(first, last + 1, step) if (np.diff(places) == step).all() else None


def _put(target: Array, where: Any, piece: Piece, value: Any) -> None:
    """Write a value, or one for each layer, where those are that count."""
    if piece.live is None:
        target[where] = value
        return
    block = target[where]
    np.copyto(block, value, where=piece.live)
    if block.base is not target:
        target[where] = block


def computed(value: Any) -> Any:
    """Return the numbers that a figure comes to."""
    return value.array if isinstance(value, Lazy) else value
