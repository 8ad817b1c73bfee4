from math import exp, expm1, log, sqrt
from random import Random
from statistics import fmean

import pytest
from hypothesis import given
from hypothesis import strategies as st
from properties import law

from dscost.reports.records import Speedup
from dscost.timing.statistics import (
    median_interval,
    noise_of,
    quantile,
    regime_spread,
    speedup_of,
    summarize,
    t_half_width,
    t_quantile,
)


@pytest.mark.parametrize(
    ("degrees", "published"),
    [
        (1, 12.706),
        (2, 4.303),
        (3, 3.182),
        (4, 2.776),
        (5, 2.571),
        (7, 2.365),
        (10, 2.228),
        (30, 2.042),
        (120, 1.980),
    ],
)
def test_t_quantiles_agree_with_the_printed_tables(degrees: int, published: float) -> None:
    # two-sided 95 %, Abramowitz and Stegun, table 26.10
    assert t_quantile(0.975, degrees) == pytest.approx(published, rel=0.002)


def test_the_interval_of_a_mean_is_computed_by_hand() -> None:
    # mean 2, standard deviation 1, n = 3: 4.303 * 1 / sqrt(3)
    assert t_half_width([1.0, 2.0, 3.0]) == pytest.approx(4.303 / 3**0.5, rel=1e-3)


def test_the_median_interval_takes_the_ranks_of_the_binomial_distribution() -> None:
    # two-sided sign test tables: the 2nd and 9th of 10, the 40th and 61st of 100; 1st and 6th of 6; none of 5
    assert median_interval([float(i) for i in range(1, 11)]) == (2.0, 9.0)
    assert median_interval([float(i) for i in range(1, 101)]) == (40.0, 61.0)
    assert median_interval([float(i) for i in range(1, 7)]) == (1.0, 6.0)
    assert median_interval([1.0] * 5) is None


def test_the_median_interval_holds_the_median_in_about_95_percent_of_samples() -> None:
    random = Random(1)
    hits = 0
    for _ in range(500):
        low, high = median_interval(sorted(random.expovariate(1.0) for _ in range(60))) or (0, 0)
        hits += low <= 0.693147 <= high
    assert 0.92 <= hits / 500 <= 0.985


def test_a_single_sample_has_no_interval() -> None:
    latency = summarize([0.25])
    assert latency.median_s == 0.25
    assert latency.ci95_s is None
    assert latency.samples == 1


def test_quartiles_and_tails_are_interpolated() -> None:
    values = [float(i) for i in range(101)]
    latency = summarize(values)
    assert latency.iqr_s == 50.0
    assert latency.p95_s == 95.0
    assert latency.p99_s == 99.0
    assert quantile([1.0, 2.0], 0.5) == 1.5


def test_a_speedup_is_the_geometric_mean_of_the_rounds() -> None:
    speedup = speedup_of([0.0, 0.6931471805599453 * 2])  # ratios 1 and 4
    assert speedup.median == pytest.approx(2.0)
    low, high = speedup.ci95
    assert low * high == pytest.approx(4.0)  # symmetric on the logarithmic scale
    assert low < fmean([1, 4]) < high


def test_no_interval_is_narrower_than_what_copies_of_one_thing_differ_by() -> None:
    low, high = speedup_of([log(2)] * 8).ci95
    assert (low, high) == pytest.approx((2 / 1.01, 2 * 1.01))
    # 0.0300 by the rounds and 0.00995 by the copies add up as 3² and 0.995²
    d = 0.0300 * 7**0.5 / 2.3646
    low, high = speedup_of([-d, d] * 4).ci95
    assert log(high) == pytest.approx(0.0316, abs=1e-4)


def test_the_fastest_block_is_told_wherever_it_stands() -> None:
    assert summarize([3.0, 1.0, 2.0]).min_s == 1.0
    assert summarize([0.25]).min_s == 0.25


# -- verdicts


@pytest.mark.parametrize(
    ("median", "interval", "floor", "verdict"),
    [
        (1.05, (1.02, 1.08), 0.03, "faster"),
        (1.02, (1.01, 1.04), 0.03, "unclear"),
        (1.05, (0.99, 1.11), 0.03, "unclear"),
        (1.02, (1.01, 1.029), 0.03, "same"),
        (1.00, (0.98, 1.02), 0.03, "same"),
        (0.95, (0.92, 0.99), 0.03, "slower"),
        (0.98, (0.95, 0.995), 0.03, "unclear"),
        (0.95, (0.90, 1.01), 0.03, "unclear"),
        (0.98, (0.972, 0.995), 0.03, "same"),  # 1 / 1.03 = 0.9709
        (0.98, (0.970, 0.995), 0.03, "unclear"),
        (1.08, (1.05, 1.09), 0.10, "same"),
        (1.08, (1.05, 1.12), 0.10, "unclear"),
        (1.20, (1.05, 1.40), 0.10, "faster"),
        (0.80, (0.70, 0.95), 0.10, "slower"),
        (0.92, (0.91, 0.95), 0.10, "same"),
    ],
)
def test_nothing_under_the_noise_floor_is_called(
    median: float, interval: tuple[float, float], floor: float, verdict: str
) -> None:
    assert Speedup(median, interval, floor).verdict == verdict


def test_by_default_no_difference_under_three_percent_is_called() -> None:
    assert Speedup(1.029, (1.028, 1.0299)).verdict == "same"
    assert Speedup(1.031, (1.028, 1.034)).verdict == "faster"


@pytest.mark.parametrize("interval", [(3.48, 6.52), (0.15, 0.29)], ids=["above", "below"])
def test_a_machine_too_noisy_to_tell_does_not_make_far_from_1_the_same(
    interval: tuple[float, float],
) -> None:
    # two rounds of a thing against itself on a busy machine give a floor of several hundred percent
    low, high = interval
    assert Speedup(sqrt(low * high), interval, noise_floor=8.637).verdict == "unclear"


@law
@given(st.floats(0.2, 5.0), st.floats(0.0, 0.5), st.floats(0.0, 0.3))
def test_the_verdict_of_the_inverse_is_the_inverse(ratio: float, half: float, floor: float) -> None:
    around = Speedup(ratio, (ratio * exp(-half), ratio * exp(half)), floor)
    inverse = Speedup(1 / ratio, (1 / ratio * exp(-half), 1 / ratio * exp(half)), floor)
    mirrored = {"faster": "slower", "slower": "faster", "same": "same", "unclear": "unclear"}
    edges = [
        abs(abs(log(ratio) + shift) - edge)
        for shift in (-half, 0, half)
        for edge in (0, log(1 + floor))
    ]
    if min(edges) > 1e-9:  # on an edge rounding decides
        assert inverse.verdict == mirrored[around.verdict]


def test_a_speedup_carries_the_noise_floor_that_judges_it() -> None:
    rounds = [log(1.045)] * 8
    assert speedup_of(rounds).verdict == "faster"
    assert speedup_of(rounds, 0.06).verdict == "same"
    assert speedup_of(rounds, 0.06).noise_floor == 0.06


def test_the_figures_of_a_speedup_stand_beside_its_verdict() -> None:
    assert Speedup(1.2, (1.1, 1.3), 0.05).to_dict() == {
        "median": 1.2,
        "ci95": [1.1, 1.3],
        "noise_floor": 0.05,
        "verdict": "faster",
    }
    assert Speedup(1.2, (1.1, 1.3), 0.25).to_dict()["verdict"] == "unclear"


# -- noise


@pytest.mark.parametrize(
    ("rounds", "noise"),
    [
        ([0.0] * 8, 0.0),
        ([0.01] * 8, expm1(0.01)),
        ([-0.01] * 8, expm1(0.01)),
        # mean 0.01, standard deviation 0.01, n = 3: 0.01 + 4.303 * 0.01 / sqrt(3)
        ([0.0, 0.01, 0.02], expm1(0.01 + 4.303 * 0.01 / sqrt(3))),
        ([0.0, -0.01, -0.02], expm1(0.01 + 4.303 * 0.01 / sqrt(3))),
    ],
    ids=["none", "faster than itself", "slower than itself", "spread above", "spread below"],
)
def test_noise_is_how_far_the_interval_of_a_thing_against_itself_reaches(
    rounds: list[float], noise: float
) -> None:
    assert noise_of(rounds) == pytest.approx(noise, rel=1e-3, abs=1e-12)


@pytest.mark.parametrize(
    ("quartets", "spread"),
    [
        # variance of the median of n standard normal values: 1/2, 0.4487, 0.2982, 0.2868 (Harter 1961; pi / 2n is near)
        ([[0, 2], [4, 6]], sqrt(8 / (2 * 0.5))),
        ([[-1, 0, 1], [9, 10, 11]], sqrt(50 / (1 * 0.4487))),
        ([[-3, -1, 1, 3], [7, 9, 11, 13]], sqrt(50 / (20 / 3 * 0.2982))),
        ([[-2, -1, 0, 1, 2], [8, 9, 10, 11, 12]], sqrt(50 / (2.5 * 0.2868))),
    ],
    ids=["two quartets", "three", "four", "five"],
)
def test_the_spread_between_rounds_is_held_against_what_quartets_explain(
    quartets: list[list[float]], spread: float
) -> None:
    assert regime_spread(quartets) == pytest.approx(
        spread, rel=0.06 if len(quartets[0]) == 5 else 2e-3
    )


def test_rounds_of_single_quartets_say_nothing_of_regimes() -> None:
    assert regime_spread([]) is None
    assert regime_spread([[0.1, 0.2]]) is None
    assert regime_spread([[0.1], [0.2], [5.0]]) is None
    assert regime_spread([[0.1, 0.2], [9.0]]) is None
    assert (
        regime_spread([[0.1, 0.1], [0.2, 0.2]]) is None
    )  # a clock too coarse to see any spread within


def test_steady_noise_has_about_one_regime() -> None:
    random = Random(11)
    found = [
        regime_spread([[random.gauss(log(3), 0.02) for _ in range(4)] for _ in range(30)]) or 0.0
        for _ in range(300)
    ]
    assert fmean(value**2 for value in found) == pytest.approx(1.0, abs=0.06)
    assert max(found) < 1.7


def test_a_speed_that_flips_between_plateaus_shows() -> None:
    random = Random(12)
    for _ in range(50):  # plateaus of 2.54 and 3.11, several rounds on each
        rounds = [
            [random.gauss(log(2.54 if round // 4 % 2 else 3.11), 0.02) for _ in range(4)]
            for round in range(16)
        ]
        assert (regime_spread(rounds) or 0.0) > 3


def test_the_interval_of_a_speedup_holds_the_truth_in_about_95_percent_of_runs() -> None:
    random, hits = Random(13), 0
    for _ in range(1000):
        low, high = speedup_of([random.gauss(log(2), 0.05) for _ in range(8)]).ci95
        hits += low <= 2.0 <= high
    assert 0.93 <= hits / 1000 <= 0.97
