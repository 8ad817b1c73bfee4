"""What a list of times or ratios says, and how surely."""

from collections.abc import Sequence
from math import comb, exp, expm1, floor, hypot, log1p, pi, sqrt, tan
from statistics import NormalDist, fmean, median, stdev, variance

from dscost.reports.records import SAME_WITHIN, Latency, Speedup

COPIES_DIFFER = 0.01
"""So much, with 95 %, by where their weights and buffers lie: two equal convolutions that are made
one after the other in a process, under ONNX Runtime on a CPU; under torch less. The rounds of a
comparison, which all have the same copies, cannot show it.

Source:
    benchmarks/results/clock-2026-11-30.md: 0.62 % by root mean square, of which 0.30 % by rounds.
"""


def summarize(seconds_per_call: Sequence[float]) -> Latency:
    """Return the latency that blocks of calls show, at least one."""
    ordered = sorted(seconds_per_call)
    return Latency(
        median_s=median(ordered),
        ci95_s=median_interval(ordered),
        iqr_s=quantile(ordered, 0.75) - quantile(ordered, 0.25),
        p95_s=quantile(ordered, 0.95),
        p99_s=quantile(ordered, 0.99),
        min_s=ordered[0],
        samples=len(ordered),
    )


def speedup_of(log_ratios: Sequence[float], noise_floor: float = SAME_WITHIN) -> Speedup:
    """Return the speedup that rounds of paired blocks show.

    Its interval is a t-interval over the rounds and, since both sides are copies of what is
    compared, what copies of one thing differ by.

    Args:
        log_ratios: One value per round, at least two: the logarithm of first over second.
        noise_floor: No smaller difference is called, 0.03 for 3 %.
    """
    center, half = fmean(log_ratios), with_copies(t_half_width(log_ratios))
    return Speedup(exp(center), (exp(center - half), exp(center + half)), noise_floor)


def with_copies(half_width: float) -> float:
    """Return half the width of an interval of logarithms with what copies of one thing differ by.

    >>> round(with_copies(0.0), 4), round(with_copies(0.02), 4)
    (0.01, 0.0223)
    """
    return hypot(half_width, log1p(COPIES_DIFFER))


def noise_of(log_ratios: Sequence[float]) -> float:
    """Return how far from 1 the interval of a thing against itself reaches: 0.02 for 2 %."""
    center, half = fmean(log_ratios), t_half_width(log_ratios)
    return expm1(abs(center) + half)


def regime_spread(quartets_by_round: Sequence[Sequence[float]]) -> float | None:
    """Return how many times wider rounds spread than the quartets within them explain.

    The median of n normal values has a variance of about `pi / 2n` of theirs, that of four 0.30 of
    it.

    Args:
        quartets_by_round: Logarithms of ratios; rounds of a single quartet say nothing of the
            spread within.
    """
    several = [quartets for quartets in quartets_by_round if len(quartets) > 1]
    if len(several) < 2:
        return None
    within = fmean(variance(quartets) for quartets in several)
    of_median = within * fmean(
        _MEDIAN_VARIANCE.get(len(quartets), pi / (2 * len(quartets))) for quartets in several
    )
    between = variance([median(quartets) for quartets in several])
    return sqrt(between / of_median) if of_median > 0 else None


_MEDIAN_VARIANCE = {2: 0.5, 3: 0.449, 4: 0.298}
"""Of the median of so few standard normal values; a test simulates them."""


def t_half_width(values: Sequence[float]) -> float:
    """Return half the width of the 95 % t-interval of the mean of at least two values."""
    return t_quantile(0.975, len(values) - 1) * stdev(values) / sqrt(len(values))


def median_interval(ordered: Sequence[float]) -> tuple[float, float] | None:
    """Return an interval that holds the median with at least 95 %; `None` for under six values.

    The bounds are the innermost pair of order statistics whose binomial coverage suffices; above
    100 values their ranks come from the normal approximation.

    Source:
        Conover 1999, Practical Nonparametric Statistics, section 3.2.
    """
    n = len(ordered)
    if n > 100:
        rank = floor((n - 1.96 * sqrt(n)) / 2)
    else:
        rank = 0  # so many values on either side may be left out
        outside = 0
        while (outside := outside + comb(n, rank)) <= 0.025 * 2**n:
            rank += 1
    return (ordered[rank - 1], ordered[n - rank]) if rank else None


def quantile(ordered: Sequence[float], share: float) -> float:
    """Return a quantile of sorted values, interpolated between the two nearest.

    >>> quantile([1.0, 2.0, 3.0, 4.0, 5.0], 0.75)
    4.0
    """
    place = share * (len(ordered) - 1)
    below = floor(place)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (place - below) * (ordered[above] - ordered[below])


def t_quantile(probability: float, degrees: int) -> float:
    """Return a quantile of Student's t distribution, accurate to 0.2 % at 0.975.

    Args:
        probability: Above one half.
        degrees: Degrees of freedom, at least 1.

    Source:
        Exact for 1 and 2; else the expansion of Abramowitz and Stegun 1964, 26.7.5.

    >>> round(t_quantile(0.975, 7), 3)
    2.365
    """
    if degrees == 1:
        return tan(pi * (probability - 0.5))
    if degrees == 2:
        a = 2 * probability - 1
        return a * sqrt(2 / (1 - a * a))
    z: float = NormalDist().inv_cdf(probability)
    terms = (
        (z**3 + z) / 4,
        (5 * z**5 + 16 * z**3 + 3 * z) / 96,
        (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384,
        (79 * z**9 + 776 * z**7 + 1482 * z**5 - 1920 * z**3 - 945 * z) / 92160,
    )
    return z + sum((term / degrees**power for power, term in enumerate(terms, start=1)), start=0.0)
