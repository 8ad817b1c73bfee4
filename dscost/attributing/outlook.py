"""How near another version of a model may come to a figure, judged by its MACs and parameters.

To count a version in every way takes ten times as long as to count those; and what stands beside
MACs grows nearly as they do.
"""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from dscost.attributing.figures import OF_MODEL, Figure
from dscost.attributing.fitting import divisors_of
from dscost.attributing.seen import Seen
from dscost.attributing.written import PLAIN, Written

FAR = 1.0
"""How near nothing comes that has no such figure."""
OF_ROUNDING = 0.01
LEAST_BESIDE, MOST_BESIDE = 0.25, 3.0
"""How much of what it has beside MACs another version may have: MobileNetV2 made standard has half,
what becomes separable has another stage."""
FEW = 4
"""How many times as much of what is beside MACs may be another as of the MACs themselves."""


def on_other_images(beside: float) -> float:
    """Return how far a figure on other images may be from its MACs times what it was per MAC.

    Args:
        beside: What it has beside MACs, as a share of these. Of the built-in models an eighth of
            that came or went at most, from 96 by 96 to 640 by 640.
    """
    return OF_ROUNDING + beside / 4


class _Share(NamedTuple):
    """A figure of the model as it stands.

    Args:
        per_mac: All of it, for each MAC.
        of_macs: What it counts for the MAC itself.
        beside: What it counts beside all MACs; below 0 where it leaves some out.
        off: How far it may be from `per_mac` on other images, as a share.
    """

    per_mac: float
    of_macs: float
    beside: float
    off: float


class Outlook:
    """What figures of a model are per MAC, held against one that is stated.

    Args:
        own: The model as it stands.
        figures: Its figures, in every way of counting.
        stated: The figure that is looked for.
    """

    def __init__(self, own: Seen, figures: Iterable[Figure], stated: Written) -> None:
        is_of_macs = stated.is_of != "parameters" and own.macs > 0
        self._macs = own.macs
        self._shares = set(_shares(own, figures)) if is_of_macs else set()
        self._may_be_params = stated.is_of != "operations"
        self._readings = [(float(one.low), float(one.high)) for one in stated.readings]
        self._middles = [one.middle for one in stated.readings if one.how in PLAIN]

    def about(self, macs: float) -> float:
        """Return how near it comes with so many MACs if the rest stays as it is per MAC.

        As a share of the stated figure; 0 where it is that.
        """
        return self._least(macs * one.per_mac for one in self._shares)

    def on_scaled_images(self, macs: float, off: float) -> float:
        """Return how near it may come on images on which MACs are off these by a share at most."""
        return self._least((macs * one.per_mac for one in self._shares), off)

    def on_other_images(self, macs: int) -> float:
        """Return how near it may come on images on which it has so many MACs."""
        each = (self._least([macs * one.per_mac], one.off) for one in self._shares)
        return min(each, default=FAR)

    def in_other_version(self, macs: int, params: int) -> float:
        """Return how near a version of so many MACs and parameters may come."""
        found = [self._off(params, params)] if self._may_be_params else []
        changed = min(1.0, FEW * abs(macs / self._macs - 1)) if self._macs else 1.0
        shares = [1 + changed * (most - 1) for most in (LEAST_BESIDE, MOST_BESIDE)]
        for one in self._shares:
            ends = [macs * one.of_macs + one.beside * share for share in shares]
            found.append(self._off(min(ends) * (1 - OF_ROUNDING), max(ends) * (1 + OF_ROUNDING)))
        return min(found, default=FAR)

    def _least(self, counts: Iterable[float], off: float = 0.0) -> float:
        return min((self._off(one * (1 - off), one * (1 + off)) for one in counts), default=FAR)

    def _off(self, low: float, high: float) -> float:
        """Return how far a count is off at least that is somewhere between two."""
        if any(low <= most and least <= high for least, most in self._readings):
            return 0.0
        beyond = (max(low - middle, middle - high, 0) / middle for middle in self._middles)
        return min(beyond, default=FAR)


def _shares(own: Seen, figures: Iterable[Figure]) -> Iterator[_Share]:
    for figure in figures:
        if figure.key in OF_MODEL:
            continue
        share, of_mac = float(figure.amount) / own.macs, float(figure.per_mac)
        if share < of_mac / 2:  # it does not count MACs, or but few of them
            of_mac = 0.0
        off = on_other_images(abs(share / of_mac - 1) if of_mac else 1.0)
        for factor in figure.factors:
            for divisor in divisors_of(figure, own):
                times = factor / divisor
                beside = (share - of_mac) * own.macs
                yield _Share(share * times, of_mac * times, beside * times, off)
