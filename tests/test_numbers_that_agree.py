"""On a machine that is not quiet, the latencies of a row and its speedup are from the same pairs."""

from collections.abc import Callable
from math import exp
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from properties import law

from dscost.analysis.bench import Bench
from dscost.analysis.timed import timing_of
from dscost.reports.records import Timing
from dscost.timing import Setting, TimingOptions
from dscost.timing.engine import Case, compare
from dscost.timing.samples import Block, Measurement, Quartet, Round

SEPARABLE = "depthwise_separable"


def agrees(timing: Timing) -> bool:
    """Whether every latency is, beside that of standard, what its speedup says."""
    standard = timing.standard
    assert standard is not None
    for name, speedup in timing.ratios.items():
        variant = timing.of(name)
        assert variant is not None
        low, high = speedup.ci95
        ratio = standard.median_s / variant.median_s
        if not low * (1 - 1e-9) <= ratio <= high * (1 + 1e-9):
            return False
    return True


def place() -> Bench:
    return Bench(TimingOptions(threads=1), (Setting(),), 1.0)


# what a block took beyond its call, and whether the system took the processor away meanwhile
blocks = st.tuples(st.floats(0.0, 3.5), st.booleans())
quartets = st.tuples(blocks, blocks, blocks, blocks)
rounds = st.lists(st.lists(quartets, min_size=1, max_size=4), min_size=2, max_size=8)


def measurement(found: list[list[tuple[tuple[float, bool], ...]]], speedup: float) -> Measurement:
    def block(call_s: float, disturbed: tuple[float, bool]) -> Block:
        slower, is_switched = disturbed
        return Block(call_s * exp(slower), switches=int(is_switched), faults=0.0)

    return Measurement(
        [
            Round.of(
                [
                    Quartet(
                        (block(1e-3, one), block(1e-3, two)),
                        (block(1e-3 / speedup, three), block(1e-3 / speedup, four)),
                    )
                    for one, two, three, four in quartets
                ]
            )
            for quartets in found
        ]
    )


@law
@given(rounds, rounds, st.floats(0.1, 10.0))
def test_latencies_of_a_row_have_the_ratio_of_its_pairs(
    one: list[list[tuple[tuple[float, bool], ...]]],
    two: list[list[tuple[tuple[float, bool], ...]]],
    speedup: float,
) -> None:
    compared = {SEPARABLE: measurement(one, speedup), "ghost:2": measurement(two, 1.5)}
    timing = timing_of(place(), compared, Setting())
    assert agrees(timing)
    assert timing.as_is == timing.standard
    for latency in timing.latencies.values():
        assert latency.min_s <= latency.median_s <= latency.p95_s <= latency.p99_s


class Machine:
    """A clock and two calls on a machine whose speed changes, mostly while the first one runs."""

    def __init__(self, first_s: float, second_s: float, seed: int) -> None:
        self.now, self.random = 0.0, Random(seed)
        self.first, self.second = self._call(first_s), self._call(second_s)
        self.slow = 1.0

    def clock(self) -> float:
        return self.now

    def _call(self, seconds: float) -> Callable[[], None]:
        def call() -> None:
            if self.random.random() < 0.02:
                self.slow = self.random.choice((1.0, 1.0, 2.5, 9.0))
            self.now += seconds * self.slow * exp(self.random.gauss(0.0, 0.05))

        return call


@pytest.mark.parametrize("seed", range(40))
def test_a_machine_of_two_speeds_gives_latencies_and_speedup_that_agree(seed: int) -> None:
    machine = Machine(984e-6, 588e-6, seed)
    (found,) = compare(
        [Case("", machine.first, machine.second)],
        budget_s=0.4,
        clock=machine.clock,
        random=Random(seed),
    )
    assert agrees(timing_of(place(), {SEPARABLE: found}, Setting()))


def test_on_a_quiet_machine_latencies_are_the_medians_of_their_blocks() -> None:
    quiet = [[((0.01 * at, False),) * 4 for at in range(4)]] * 8
    timing = timing_of(place(), {SEPARABLE: measurement(quiet, 4.0)}, Setting())
    assert timing.standard is not None
    assert timing.depthwise_separable is not None
    assert timing.standard.median_s == pytest.approx(1e-3 * (exp(0.01) + exp(0.02)) / 2)
    assert timing.depthwise_separable.median_s == pytest.approx(timing.standard.median_s / 4)
