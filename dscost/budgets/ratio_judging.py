"""Limits on ratios of latencies, judged by the whole interval of what was measured."""

from fractions import Fraction

from dscost.budgets.findings import Ratio
from dscost.budgets.records import Limit

UNDECIDED = "undecided"
_KINDS = {"min": "under_min", "max": "over_max", "max_increase": "grew"}


def passing(limit: Limit) -> Fraction:
    """Return the ratio that just passes."""
    return 1 + limit.value if limit.bound == "max_increase" else limit.value


def grown_from(limit: Limit) -> Fraction | None:
    """Return what growth is since: a model is as fast as itself."""
    return Fraction(1) if limit.bound == "max_increase" else None


def verdict_on(limit: Limit, ratio: Ratio) -> str | None:
    """Return the kind of finding that a ratio is; `None` where it keeps its limit.

    A limit is broken only where the whole interval is beyond it, and kept only where the whole
    interval is within; else it is `undecided`.
    """
    if is_broken(limit, ratio):
        return _KINDS[limit.bound]
    least = limit.bound == "min"
    is_kept = ratio.low >= passing(limit) if least else ratio.high <= passing(limit)
    return None if is_kept else UNDECIDED


def is_broken(limit: Limit, ratio: Ratio) -> bool:
    """Whether a limit is broken for sure.

    Where equal models would keep it, they have to differ by more than a model from itself.
    """
    most, least = passing(limit), limit.bound == "min"
    if not (ratio.high < most if least else ratio.low > most):
        return False
    equal_keep_it = most <= 1 if least else most >= 1
    return not equal_keep_it or _is_called(ratio)


def _is_called(ratio: Ratio) -> bool:
    """Whether the difference of two models is above the noise floor."""
    most = 1 + ratio.noise_floor
    return ratio.value > most or ratio.value * most < 1


def together(first: Ratio, second: Ratio) -> Ratio:
    """Return what two measurements of one ratio say: their middle, and an interval of both."""
    middle = Fraction(str((float(first.value) * float(second.value)) ** 0.5))
    return second._replace(
        value=middle,
        low=min(first.low, second.low),
        high=max(first.high, second.high),
        noise_floor=max(first.noise_floor, second.noise_floor),
        runs=first.runs + second.runs,
    )
