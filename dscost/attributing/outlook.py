"""How near another version of a model may come to a figure, judged by its MACs and parameters.

To count a version in every way takes ten times as long as to count those; and what stands beside
MACs grows nearly as they do.
"""

from collections.abc import Iterable, Iterator, Mapping

from dscost.attributing.figures import OF_MODEL, Figure
from dscost.attributing.fitting import divisors_of
from dscost.attributing.seen import Seen
from dscost.attributing.written import PLAIN, Written

OF_OTHER_VERSION = 0.1
"""How far figures of a version may be from its MACs times what they were per MAC, as a share; less
where few of the MACs are others."""
OF_ROUNDING = 0.01


def on_other_images(beside: float) -> float:
    """Return how far a figure on other images may be from its MACs times what it was per MAC.

    Args:
        beside: What it has beside MACs, as a share of these. Of the built-in models an eighth of
            that came or went at most, from 96 by 96 to 640 by 640.
    """
    return OF_ROUNDING + beside / 4


class Outlook:
    """What figures of a model are per MAC, held against one that is stated.

    Args:
        own: The model as it stands.
        figures: Its figures, in every way of counting.
        stated: The figure that is looked for.
    """

    def __init__(self, own: Seen, figures: Iterable[Figure], stated: Written) -> None:
        self._per_mac = dict(_per_mac(own, figures)) if stated.is_of != "parameters" else {}
        self._macs = own.macs
        self._may_be_params = stated.is_of != "operations"
        self._readings = [(float(one.low), float(one.high)) for one in stated.readings]
        self._middles = [one.middle for one in stated.readings if one.how in PLAIN]

    def about(self, macs: float) -> float:
        """Return how near it comes with so many MACs if the rest stays as it is per MAC.

        As a share of the stated figure; 0 where it is that.
        """
        return self._least(macs, dict.fromkeys(self._per_mac, 0.0))

    def on_scaled_images(self, macs: float, off: float) -> float:
        """Return how near it may come on images on which MACs are off these by a share at most."""
        return self._least(macs, dict.fromkeys(self._per_mac, off))

    def on_other_images(self, macs: int) -> float:
        """Return how near it may come on images on which it has so many MACs."""
        return self._least(macs, self._per_mac)

    def in_other_version(self, macs: int, params: int) -> float:
        """Return how near a version of so many MACs and parameters may come."""
        changed = 2 * abs(macs / self._macs - 1) if self._macs else 1.0
        off = {
            share: min(by + changed, max(by, OF_OTHER_VERSION))
            for share, by in self._per_mac.items()
        }
        of_macs = self._least(macs, off)
        return min(of_macs, self._off(params, params)) if self._may_be_params else of_macs

    def _least(self, macs: float, off: Mapping[float, float]) -> float:
        found = (
            self._off(macs * share * (1 - by), macs * share * (1 + by)) for share, by in off.items()
        )
        return min(found, default=1.0)

    def _off(self, low: float, high: float) -> float:
        """Return how far a count is off at least that is somewhere between two."""
        if any(low <= most and least <= high for least, most in self._readings):
            return 0.0
        beyond = (max(low - middle, middle - high, 0) / middle for middle in self._middles)
        return min(beyond, default=1.0)


def _per_mac(own: Seen, figures: Iterable[Figure]) -> Iterator[tuple[float, float]]:
    """Yield figures per MAC, and how far they may be from that on other images."""
    for figure in figures:
        if figure.key in OF_MODEL or not own.macs:
            continue
        share = float(figure.amount) / own.macs
        off = on_other_images(abs(share / float(figure.per_mac) - 1))
        for factor in figure.factors:
            for divisor in divisors_of(figure, own):
                yield share * factor / divisor, off
