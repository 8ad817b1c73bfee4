"""How sure a loss is: intervals worked out once more by the textbook, in exact fractions."""

import random
import struct
from collections.abc import Sequence
from fractions import Fraction
from math import isclose, sqrt
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from properties import law

from dscost.converting.scoring.losses import Evaluation, Loss, Noise, loss_of, noise_of

Z = 1.96
T = {2: 4.303, 3: 3.182, 4: 2.776, 7: 2.365}
"""Student's t at 0.975 by degrees of freedom, from a printed table."""


def shares(*right: int, of: int) -> list[Evaluation]:
    return [Evaluation(one / of) for one in right]


def single(value: float) -> float:
    """Return a number as single precision has it."""
    (found,) = struct.unpack("f", struct.pack("f", value))
    return float(found)


def agresti_min(worse: int, better: int, same: int) -> tuple[float, float]:
    """Return their interval: Wald's for matched pairs, with half a pair in each of the four cells.

    With cells p11 p12 p21 p22 its variance is (p12 + p21 − (p12 − p21)²) / N; which of the two cells of those that agree
    gets how much does not matter.
    """
    half = Fraction(1, 2)
    total = worse + better + same + 4 * half
    p12, p21 = (worse + half) / total, (better + half) / total
    middle, variance = p12 - p21, (p12 + p21 - (p12 - p21) ** 2) / total
    return float(middle) - Z * sqrt(variance), float(middle) + Z * sqrt(variance)


def agresti_caffo(before: int, after: int, samples: int) -> tuple[float, float]:
    """Return the interval of two shares of other samples, with one more of either kind in each."""
    one, other = ((count + 1) / (samples + 2) for count in (before, after))
    half = Z * sqrt((one * (1 - one) + other * (1 - other)) / (samples + 2))
    return one - other - half, one - other + half


# -- shares of samples


@pytest.mark.parametrize(
    ("before", "after", "samples"),
    [(80, 73, 80), (79, 80, 80), (470, 470, 500), (900, 450, 1000), (1, 0, 3)],
)
def test_a_share_has_the_interval_of_two_shares_of_other_samples(
    before: int, after: int, samples: int
) -> None:
    low, high = agresti_caffo(before, after, samples)
    found = loss_of(shares(before, of=samples), *shares(after, of=samples), Noise(samples))
    assert found.loss == pytest.approx((before - after) / samples)
    lost = (before - after) / samples
    assert (found.low, found.high) == pytest.approx((min(low, lost), max(high, lost)), abs=1e-9)


def test_an_interval_by_hand() -> None:
    # 80 of 80 and 73 of 80: 81/82 − 74/82 = 0.08537; 81·1/82³ + 74·8/82³ = 0.0012206
    found = loss_of(shares(80, of=80), *shares(73, of=80), Noise(80))
    assert found.low == pytest.approx(0.08537 - 1.96 * 0.0349374, abs=1e-5)
    assert found.high == pytest.approx(0.08537 + 1.96 * 0.0349374, abs=1e-5)
    assert found.standard_error == pytest.approx(0.0349374, abs=1e-5)


@pytest.mark.parametrize("samples", [80, 1000])
def test_of_a_share_that_chance_alone_changes_19_of_20_intervals_hold_none(samples: int) -> None:
    # a tenth of the samples is wrong either way, of which neither model knows of the other's
    draw, held = random.Random(1), 0
    for _ in range(400):
        one, other = (sum(draw.random() < 0.9 for _ in range(samples)) for _ in range(2))
        found = loss_of(shares(one, of=samples), *shares(other, of=samples), Noise(samples))
        held += found.low <= 0 <= found.high
    assert held >= 0.92 * 400


def test_values_of_other_samples_have_the_interval_of_two_means() -> None:
    before, after = Evaluation(2.0, (1.0, 2.0, 3.0)), Evaluation(1.5, (1.0, 2.0))
    found = loss_of([before], after, Noise())
    # variances 1 and 0.5 of 3 and 2
    assert (found.low, found.high) == pytest.approx(
        (0.5 - 1.96 * sqrt(1 / 3 + 0.25), 0.5 + 1.96 * sqrt(1 / 3 + 0.25))
    )


def test_percent_are_shares_a_hundred_times_as_large() -> None:
    one = loss_of([Evaluation(78 / 80)], Evaluation(71 / 80), Noise(80))
    hundred = loss_of([Evaluation(97.5)], Evaluation(88.75), Noise(80, 100.0))
    assert hundred == pytest.approx([100 * part for part in one])


@law
@given(st.integers(1, 500), st.data())
def test_an_interval_holds_its_loss_and_narrows_with_samples(
    samples: int, data: st.DataObject
) -> None:
    before, after = (data.draw(st.integers(0, samples)) for _ in range(2))
    found = loss_of(shares(before, of=samples), *shares(after, of=samples), Noise(samples))
    assert -1.5 < found.low <= found.loss <= found.high < 1.5
    several = loss_of(shares(before, of=samples), *shares(after, of=samples), Noise(16 * samples))
    assert several.high - several.low < found.high - found.low


# -- one value for each sample


def test_right_and_wrong_by_sample_count_the_pairs_both_ways() -> None:
    before = Evaluation(0.6, (1.0,) * 6 + (0.0,) * 4)
    after = Evaluation(0.4, (1.0, 1.0, 1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0))
    low, high = agresti_min(3, 1, 6)
    found = loss_of([before], after, noise_of([before]))
    assert found == pytest.approx((0.2, low, high))


def test_values_that_are_no_shares_are_compared_sample_by_sample_by_students_t() -> None:
    before, after = (1.0, 2.0, 3.0, 4.0, 5.0), (0.5, 2.0, 2.0, 3.5, 5.5)
    # differences 0.5 0 1 0.5 −0.5: mean 0.3, squares about it 0.04 0.09 0.49 0.04 0.64 = 1.3
    half = T[4] * sqrt(1.3 / 4) / sqrt(5)
    found = loss_of(
        [Evaluation(3.0, before)], Evaluation(2.7, after), noise_of([Evaluation(3.0, before)])
    )
    assert found == pytest.approx((0.3, 0.3 - half, 0.3 + half), abs=2e-3)


def test_what_varies_between_samples_but_not_between_models_is_no_noise() -> None:
    random = Random(3)
    before = [random.gauss(10, 5) for _ in range(40)]
    after = [one - 0.1 for one in before]
    found = loss_of(
        [Evaluation(sum(before) / 40, tuple(before))],
        Evaluation(sum(after) / 40, tuple(after)),
        Noise(),
    )
    assert found == pytest.approx((0.1, 0.1, 0.1))


def test_a_single_value_is_a_score() -> None:
    found = loss_of([Evaluation(2.0, (2.0,))], Evaluation(1.5, (1.5,)), Noise())
    assert found == (0.5, 0.5, 0.5)


# -- calls that differ


def test_calls_that_differ_widen_every_interval_by_students_t() -> None:
    said = [Evaluation(one) for one in (0.71234, 0.73211, 0.72123)]
    mean = sum(one.score for one in said) / 3
    spread = sqrt(sum((one.score - mean) ** 2 for one in said) / 2)
    noise = noise_of(said, [Evaluation(0.5)])
    assert noise == (None, 1.0, pytest.approx(spread), 3)
    # the mean of three calls against one more: the standard error is s·√(1 + 1/3)
    half = T[2] * spread * sqrt(1 + 1 / 3)
    found = loss_of(said, Evaluation(0.70001), noise)
    assert found == pytest.approx(
        (mean - 0.70001, mean - 0.70001 - half, mean - 0.70001 + half), rel=1e-3
    )


def test_calls_that_agree_are_not_noisy() -> None:
    assert noise_of([Evaluation(0.3)] * 5).spread == 0
    assert noise_of([Evaluation(0.3)] * 5).resolution == pytest.approx(0.1)


def test_noise_of_samples_and_of_calls_adds_up_in_squares() -> None:
    values = (1.0, 0.0, 1.0, 1.0, 0.0)
    said = [Evaluation(0.6, values), Evaluation(0.7, values), Evaluation(0.8, values)]
    noise = noise_of(said)
    assert (noise.samples, noise.spread) == (None, pytest.approx(0.1))
    found = loss_of(said, Evaluation(0.6, values), noise)
    low, high = agresti_min(0, 0, 5)
    half = sqrt(((high - low) / 2) ** 2 + (T[2] * 0.1 * sqrt(4 / 3)) ** 2)
    assert found.high - (low + high) / 2 == pytest.approx(half, rel=1e-3)


@pytest.mark.parametrize(
    ("noise", "words"),
    [
        (Noise(), None),
        (
            Noise(10_000),
            "it is taken for a share of 10,000 samples, as its values are multiples of 1/10,000",
        ),
        (Noise(None, 1.0, 0.0123, 5), "it differs by ±0.012 between 5 calls with one model"),
    ],
)
def test_where_intervals_are_from_is_told(noise: Noise, words: str | None) -> None:
    assert noise.in_words() == words


# -- of how many samples


@pytest.mark.parametrize("precision", [float, single], ids=["double", "single"])
@pytest.mark.parametrize("scale", [1, 100], ids=["share", "percent"])
@pytest.mark.parametrize("samples", [2, 3, 64, 80, 500, 1000, 4096, 5000, 7919, 10_000])
def test_shares_tell_of_how_many_samples_they_are(
    samples: int, scale: int, precision: type
) -> None:
    random = Random(samples)
    right = [samples, *(random.randrange(samples // 2, samples) for _ in range(5)), 1]
    scores = [precision(scale * precision(one / samples)) for one in right]
    noise = noise_of([Evaluation(scores[0])], map(Evaluation, scores[1:]))
    assert (noise.samples, noise.scale) == (samples, scale)


@pytest.mark.parametrize(
    "scores",
    [
        [0.7345123987, 0.1234098712, 0.3398712345],
        [-1.25, -1.5, -2.75],
        [31.4159, 29.9791, 27.1828],
        [120.5, 110.25],
        [0.5, 101.0],
        [1.0, 1.0],
        [1.0, 0.0],
        [1 - 1 / 10_007, 1 - 2 / 10_007, 1 - 5 / 10_007, 1.0],
    ],
    ids=[
        "reals",
        "negative",
        "decibels",
        "large",
        "one_large",
        "all",
        "all_or_nothing",
        "more_than_are_looked_for",
    ],
)
def test_other_scores_are_taken_for_exact(scores: Sequence[float]) -> None:
    noise = noise_of([Evaluation(scores[0])], map(Evaluation, scores[1:]))
    assert (noise.samples, noise.resolution) == (None, 0)
    if scores[0] != scores[1]:
        found = loss_of([Evaluation(scores[0])], Evaluation(scores[1]), noise)
        assert found == (scores[0] - scores[1],) * 3


@law
@given(st.lists(st.floats(0.01, 0.99), min_size=4, max_size=8, unique=True))
def test_any_four_reals_are_of_no_number_of_samples_or_of_one_that_has_them_all(
    scores: list[float],
) -> None:
    samples = noise_of([Evaluation(scores[0])], map(Evaluation, scores[1:])).samples
    if samples is not None:
        assert all(
            isclose(one * samples, round(one * samples), abs_tol=2e-7 * samples) for one in scores
        )


# -- verdicts


@pytest.mark.parametrize(
    ("loss", "score", "verdict"),
    [
        (Loss(0.0, 0.0, 0.0), 1.0, "safe"),
        (Loss(-0.3, -0.4, -0.2), 1.0, "safe"),
        (Loss(0.01, 0.005, 0.015), 1.0, "safe"),
        (Loss(0.011, 0.005, 0.015), 1.0, "costly"),
        (Loss(0.05, -0.01, 0.11), 1.0, "safe"),
        (Loss(0.051, -0.01, 0.11), 1.0, "unclear"),
        (Loss(0.051, 0.0, 0.11), 1.0, "unclear"),
        (Loss(0.9, 0.1, 1.7), 100.0, "safe"),
        (Loss(0.02, 0.02, 0.02), -2.0, "safe"),
        (Loss(0.03, 0.03, 0.03), -2.0, "costly"),
        (Loss(0.0, 0.0, 0.0), 0.0, "safe"),
        (Loss(0.001, 0.001, 0.001), 0.0, "costly"),
    ],
    ids=str,
)
def test_a_verdict_goes_by_the_share_of_the_score_and_by_chance(
    loss: Loss, score: float, verdict: str
) -> None:
    assert loss.verdict(score) == verdict


def test_one_percent_of_single_precision_is_one_percent() -> None:
    lost = single(0.5) - single(0.495)
    assert Loss(lost, lost, lost).verdict(single(0.5)) == "safe"
