"""Scores → what a change lost, and how sure that is. No torch, no numpy.

Of few samples a score says little: 78 right of 80 may be chance. What is known of its noise comes
from what it gives: one number per sample is compared sample by sample; a share is taken for one of
as many samples as its scores are multiples of, and since which of them changed is not known, the
two shares are compared as if of different samples, which is wider; and a score that differs between
two calls with the same model is called more often.

Source:
    Agresti and Min 2005, Simple improved confidence intervals for comparing matched proportions
    (Statistics in Medicine 24): half a pair is added to each of the four cells.
    Agresti and Caffo 2000, Simple and effective confidence intervals for proportions and
    differences of proportions (The American Statistician 54): one more of either kind in each
    share.
"""

from collections.abc import Iterable, Sequence
from functools import lru_cache
from math import sqrt
from statistics import fmean, stdev, variance
from typing import Literal, NamedTuple

from dscost.timing.statistics import t_quantile

CERTAIN = 1.96
"""Standard errors on each side of an interval that holds the truth in 95 of 100 cases."""
TOLERATED = 0.01
"""Share of the score that a safe layer may lose for sure."""
TOLERATED_IF_UNSURE = 0.05
"""Share that it may seem to lose where chance explains that as well."""
MOST_SAMPLES = 10_000
"""A share of more samples than this is taken for exact."""
MOST_BY_VALUES = {0: 1, 1: 300, 2: 9_000}
"""Samples up to which so few different shares tell their number: of more, a number that is no share
would be taken for one in over 1 % of the cases, by the sum of `(2e-7·n)^values` over n."""
SCALES = (1, 100)
"""What the largest score of a share may be: one, or a hundred percent."""

_ROUNDING = 1e-6

Verdict = Literal["safe", "unclear", "costly"]


class Evaluation(NamedTuple):
    """What the user's function said of a model.

    Args:
        score: Higher is better.
        values: One per sample, whose mean the score is, where it gave those.
    """

    score: float
    values: tuple[float, ...] = ()


class Noise(NamedTuple):
    """How far a score may be off by chance.

    Args:
        samples: Of how many samples a share is; unknown of other scores.
        scale: What the score is where all of them are right.
        spread: Standard deviation between calls with the same model, 0 where they agree.
        repeats: How many calls told so.
    """

    samples: int | None = None
    scale: float = 1.0
    spread: float = 0.0
    repeats: int = 1

    @property
    def resolution(self) -> float:
        """The least loss that the score could tell, as one standard error; 0 if it is exact."""
        by_chance = self.scale / self.samples if self.samples else 0.0
        return sqrt(by_chance**2 + self.spread**2)

    def in_words(self) -> str | None:
        """Return what its intervals are from; nothing of a score that is taken for exact."""
        if self.spread:
            return f"it differs by ±{self.spread:.2g} between {self.repeats} calls with one model"
        if self.samples:
            return (
                f"it is taken for a share of {self.samples:,} samples, "
                f"as its values are multiples of 1/{self.samples:,}"
            )
        return None


class Loss(NamedTuple):
    """What a change of the model lost.

    Args:
        loss: Score before less score after; below zero where it gained.
        low: Between this and `high` the loss of more samples lies, in 95 of 100 cases.
        high: The other end.
    """

    loss: float
    low: float
    high: float

    @property
    def standard_error(self) -> float:
        """Half the interval, in standard errors."""
        return (self.high - self.low) / (2 * CERTAIN)

    def verdict(self, score: float) -> Verdict:
        """Return whether so much may be lost of a score.

        `safe` is a loss of at most `TOLERATED` of it, or one that chance explains and that is at
        most `TOLERATED_IF_UNSURE`; `unclear` a larger one that chance explains.

        >>> Loss(0.0, -0.02, 0.02).verdict(1.0), Loss(0.09, 0.02, 0.15).verdict(1.0)
        ('safe', 'costly')
        """
        whole = abs(score)
        lost = self.loss - _ROUNDING * whole
        if lost <= TOLERATED * whole:
            return "safe"
        if self.low > 0:
            return "costly"
        return "safe" if lost <= TOLERATED_IF_UNSURE * whole else "unclear"


def noise_of(repeated: Sequence[Evaluation], others: Iterable[Evaluation] = ()) -> Noise:
    """Return how noisy a score is.

    Args:
        repeated: What it said of one model, call by call.
        others: What it said of other models.

    >>> noise_of([Evaluation(1.0)], [Evaluation(79 / 80), Evaluation(0.925)]).samples
    80
    """
    scores = [one.score for one in repeated]
    spread = stdev(scores) if len(set(scores)) > 1 else 0.0
    if any(one.values for one in repeated):
        return Noise(None, 1.0, spread, len(scores))
    samples, scale = _samples_of(frozenset([*scores, *(one.score for one in others)]))
    return Noise(None if spread else samples, scale, spread, len(scores))


def loss_of(before: Sequence[Evaluation], after: Evaluation, noise: Noise, calls: int = 1) -> Loss:
    """Return what was lost from a model, seen in one call or several, to another.

    Args:
        before: What was said of the one.
        after: Of the other, the mean of some calls.
        noise: How noisy the score is.
        calls: How many.

    >>> shares = noise_of([Evaluation(1.0)], [Evaluation(79 / 80)])
    >>> found = loss_of([Evaluation(1.0)], Evaluation(73 / 80), shares)
    >>> f"{found.loss:.4f} [{found.low:.3f}, {found.high:.3f}]"
    '0.0875 [0.017, 0.154]'
    """
    was = fmean(one.score for one in before)
    lost = was - after.score
    middle, error = lost, 0.0
    if after.values and len(after.values) == len(before[0].values):
        middle, error = _of_pairs(before[0].values, after.values)
    elif len(after.values) > 1 and len(before[0].values) > 1:
        error = sqrt(sum(variance(one) / len(one) for one in (before[0].values, after.values)))
    elif noise.samples:
        shares = was / noise.scale, after.score / noise.scale
        middle, error = (one * noise.scale for one in _of_shares(*shares, noise.samples))
    width = CERTAIN * error
    if noise.spread:
        between = noise.spread * sqrt(1 / calls + 1 / len(before))
        width = sqrt(width**2 + (t_quantile(0.975, noise.repeats - 1) * between) ** 2)
    return Loss(lost, min(lost, middle - width), max(lost, middle + width))


def _of_matched(worse: float, better: float, samples: int) -> tuple[float, float]:
    """Return the difference of two matched shares, and its standard error."""
    lost, won, count = worse + 0.5, better + 0.5, samples + 2
    difference = (lost - won) / count
    return difference, sqrt(lost + won - (lost - won) ** 2 / count) / count


def _of_shares(before: float, after: float, samples: int) -> tuple[float, float]:
    """Return the difference of two shares of other samples, and its standard error."""
    one, other = ((share * samples + 1) / (samples + 2) for share in (before, after))
    spread = sum(share * (1 - share) for share in (one, other))
    return one - other, sqrt(spread / (samples + 2))


def _of_pairs(before: Sequence[float], after: Sequence[float]) -> tuple[float, float]:
    """Return the mean difference of two scores of each sample, and its standard error."""
    differences = [one - other for one, other in zip(before, after, strict=True)]
    count = len(differences)
    if set(before) | set(after) <= {0.0, 1.0}:
        return _of_matched(differences.count(1.0), differences.count(-1.0), count)
    if count == 1:
        return differences[0], 0.0
    # of few samples the spread itself is unsure: as wide as Student's t is
    wider = t_quantile(0.975, count - 1) / CERTAIN
    return fmean(differences), wider * stdev(differences) / sqrt(count)


@lru_cache(maxsize=4)
def _samples_of(scores: frozenset[float]) -> tuple[int | None, float]:
    """Return of how many samples scores are shares, if that can be told, and what the whole is.

    It is the least number of which all of them are multiples.
    """
    for scale in SCALES:
        shares = [score / scale for score in scores]
        if min(shares) < 0 or max(shares) > 1:
            continue
        telling = [share for share in shares if 0 < share < 1]
        counts: Sequence[int] = range(1, MOST_BY_VALUES.get(len(telling), MOST_SAMPLES) + 1)
        for share in telling:  # the first leaves few
            counts = [
                count
                for count in counts
                if abs(share * count - round(share * count)) <= _EXACT * count
            ]
        if counts:
            return (counts[0] if counts[0] > 1 else None), float(scale)
    return None, 1.0


_EXACT = 1e-7
"""By so much a share may be off, from single precision."""
