"""Least squares from sums: what is added to weights so that less is left of a target.

With features z and what the weights of now leave of the target, r, the correction C and shift s
minimise `Σ ‖r − C z − s‖² + λ ‖C‖²` over all positions. It is the correction that is held small,
not the weights: where the inputs say nothing, the weights stay what they are.

Sums are kept in two halves of the inputs. λ is that of `RIDGES` with which each half tells best
what is left in the other one, and so is whether there is a shift: few positions, or positions that
are all alike, do no harm. All in float64.

Source:
    Hoerl and Kennard 1970, Ridge regression, for λ; Stone 1974, for its choice by the other half.
"""

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

RIDGES = (1e-9, 1e-5, 1e-3, 1e-2, 1e-1, 1.0, 10.0)
"""λ as shares of the mean of what is on the diagonal of the features' second moments: from what
only keeps the solution finite in float64 (1e-16 times a condition of 1e9 is no harm) to where
hardly anything is corrected. Tenths in between, since what is left is flat about the best λ."""

LARGE = RIDGES[-3:]
"""Those that are tried without a shift, where one is possible: what it harms is little known."""

Pair = tuple["Equations", "Equations"]
"""The sums of both halves."""


class Equations(NamedTuple):
    """What least squares needs to know of features and residuals, summed up over positions.

    Args:
        positions: How many.
        z: Features, `(P,)`.
        zz: Their products, `(P, P)`.
        r: Residuals, `(n,)`.
        rz: Their products with features, `(n, P)`.
        rr: Their squares, `(n,)`.
    """

    positions: float
    z: np.ndarray
    zz: np.ndarray
    r: np.ndarray
    rz: np.ndarray
    rr: np.ndarray

    def scale(self) -> float:
        """Return the mean variance of a feature, times the positions; 0 of features that are 0."""
        centred = self.zz.diagonal() - np.square(self.z) / max(self.positions, 1.0)
        return max(0.0, float(centred.mean()))

    def of_outputs(self, some: slice) -> "Equations":
        """Return what is known of some of the outputs."""
        return self._replace(r=self.r[some], rz=self.rz[some], rr=self.rr[some])

    def correction(self, ridge: float, *, shifts: bool) -> tuple[np.ndarray, np.ndarray]:
        """Return the best correction `(n, P)` and shift `(n,)`, the latter zeros unless `shifts`.

        Args:
            ridge: λ, above 0.
            shifts: Whether a constant may be added: the features are taken about their mean then.
        """
        zz, rz = self.zz, self.rz
        if shifts:
            zz = zz - np.outer(self.z, self.z) / self.positions
            rz = rz - np.outer(self.r, self.z) / self.positions
        found = np.linalg.solve(zz + ridge * np.eye(len(zz)), rz.T).T
        shift = (self.r - found @ self.z) / self.positions if shifts else np.zeros(len(self.r))
        return found, shift

    def left(self, correction: np.ndarray, shift: np.ndarray) -> np.ndarray:
        """Return the squares `(n,)` that a correction and a shift leave of the residuals."""
        of_features = (correction @ self.zz * correction).sum(1) - 2 * (correction * self.rz).sum(1)
        of_shift = shift * (self.positions * shift - 2 * self.r + 2 * correction @ self.z)
        left: np.ndarray = np.maximum(self.rr + of_features + of_shift, 0.0)
        return left


def together(pair: Pair) -> Equations:
    """Return the sums over both halves."""
    one, other = pair
    return Equations(
        one.positions + other.positions,
        one.z + other.z,
        one.zz + other.zz,
        one.r + other.r,
        one.rz + other.rz,
        one.rr + other.rr,
    )


class Choice(NamedTuple):
    """How a correction is found.

    Args:
        share: λ, as a share of the features' scale.
        shifts: Whether a constant is added.
    """

    share: float
    shifts: bool


def best_choice(pairs: Iterable[Pair], *, shifts: bool) -> Choice | None:
    """Return the choice with which each half tells most of the other, of all pairs.

    Nothing where each does best to leave the weights alone. Where all positions are in one half
    none is told by the other: then it is the most careful one.

    Args:
        pairs: Sums.
        shifts: Whether a constant may be added.
    """
    ways = (True, False) if shifts else (False,)
    choices = [Choice(share, way) for way in ways for share in (RIDGES if way == shifts else LARGE)]
    left = np.zeros(len(choices))
    untouched = 0.0
    for first, second in pairs:
        if not (first.positions and second.positions):
            return Choice(RIDGES[-1], shifts=False)
        whole = float((first.rr + second.rr).sum())
        untouched += whole
        scale = together((first, second)).scale()
        if not scale:
            left += whole
            continue
        for at, (share, way) in enumerate(choices):
            for one, other in ((first, second), (second, first)):
                left[at] += float(other.left(*one.correction(share * scale, shifts=way)).sum())
    at = int(left.argmin())
    return choices[at] if left[at] < untouched else None


class Sums:
    """Sums over positions as they come, by group and half.

    Args:
        groups: G; features and residuals of different groups have nothing to do with each other.
        features: P of each group.
        outputs: n of each group.
    """

    def __init__(self, groups: int, features: int, outputs: int) -> None:
        self._count = np.zeros(2)
        self._z = np.zeros((2, groups, features))
        self._zz = np.zeros((2, groups, features, features))
        self._r = np.zeros((2, groups, outputs))
        self._rz = np.zeros((2, groups, outputs, features))
        self._rr = np.zeros((2, groups, outputs))

    @staticmethod
    def bytes_of(groups: int, features: int) -> int:
        """Return how many bytes the products of features take."""
        return 2 * groups * features * features * 8

    def add(self, z: np.ndarray, r: np.ndarray, half: int) -> None:
        """Take in features `(G, P, positions)` and residuals `(G, n, positions)` of a half."""
        self._count[half] += z.shape[-1]
        self._z[half] += z.sum(-1)
        self._zz[half] += z @ z.swapaxes(1, 2)
        self._r[half] += r.sum(-1)
        self._rz[half] += r @ z.swapaxes(1, 2)
        self._rr[half] += np.square(r).sum(-1)

    @property
    def are_finite(self) -> bool:
        """Whether all that was taken in is finite, and so are its squares."""
        return all(bool(np.isfinite(one).all()) for one in (self._zz, self._rz, self._rr))

    def pair(self, group: int) -> Pair:
        """Return the sums of a group, of both halves."""
        first, second = (
            Equations(
                float(self._count[half]),
                self._z[half, group],
                self._zz[half, group],
                self._r[half, group],
                self._rz[half, group],
                self._rr[half, group],
            )
            for half in (0, 1)
        )
        return first, second
