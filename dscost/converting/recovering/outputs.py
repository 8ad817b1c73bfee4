"""How far the outputs of a model are from those of the original. No torch."""

from collections.abc import Callable

import numpy as np

MOST_KEPT_BYTES = 2**28
"""Of outputs of the original model, which are little unless they are images; more are computed
anew where they are needed."""

Run = Callable[[int], list[np.ndarray]]
"""Runs a model on a batch, by its number; returns its outputs that are fractions."""


class Outputs:
    """What the original model returns on each batch, kept where that is little.

    Args:
        run: Runs it.
        batches: How many there are.
    """

    def __init__(self, run: Run, batches: int) -> None:
        self._run, self._batches = run, batches
        self._kept: dict[int, list[np.ndarray]] = {}
        self._bytes = 0

    def error(self, run: Run) -> float | None:
        """Return how far another model's outputs are from these, relative to their norm.

        Nothing where they are of other shapes, or no finite numbers. It is run on every batch.
        """
        off = whole = 0.0
        is_alike = True
        for at in range(self._batches):
            expected, found = self._of(at), run(at)
            is_alike &= [one.shape for one in found] == [one.shape for one in expected]
            if not is_alike:
                continue
            with np.errstate(all="ignore"):  # what is too large is no number in the end
                for one, other in zip(expected, found, strict=True):
                    off += float(np.square(other.astype(np.float64) - one).sum())
                    whole += float(np.square(one.astype(np.float64)).sum())
        error = (off / whole) ** 0.5 if whole else float("nan")
        return error if is_alike and error < float("inf") else None

    def _of(self, at: int) -> list[np.ndarray]:
        if at in self._kept:
            return self._kept[at]
        found = self._run(at)
        size = sum(one.nbytes for one in found)
        if self._bytes + size <= MOST_KEPT_BYTES:
            self._kept[at] = found
            self._bytes += size
        return found
