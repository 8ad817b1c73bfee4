"""Does the interval hold the truth? A thing timed against itself, quiet and beside one busy process.

Method: a 3×3 convolution 64→64 on 28×28, one thread, against itself, so that the true ratio is 1. Each repeat
measures by the engine of `dscost.timing` (interleaved quartets, rounds, an interval over rounds with the 1 % that
copies differ by) and, for comparison, one after the other: as many blocks of A as of B in the same time, and Welch's
interval of the difference of the logarithms. 30 repeats of each, the two methods taking turns; then the same beside a
process that computes all the time on one core. Printed: how many intervals hold 1, how wide they are, how far the
ratios spread.
Run: `python benchmarks/noise.py`.
"""

import platform
from collections.abc import Callable, Iterator
from datetime import date
from math import exp, log, sqrt
from random import Random
from statistics import fmean, median, stdev, variance
from time import perf_counter
from typing import NamedTuple

import torch
from busy import busy_processes
from torch import nn

from dscost.timing.counters import process_counters
from dscost.timing.engine import BLOCK_S, Case, compare
from dscost.timing.machine import keep_freed_memory, load
from dscost.timing.quiet_torch import quiet_torch
from dscost.timing.statistics import speedup_of

REPEATS, BUDGET_S = 30, 1.0


class Outcome(NamedTuple):
    """One repeat: a ratio and its 95 % interval."""

    ratio: float
    low: float
    high: float

    @property
    def holds_1(self) -> bool:
        """Whether the interval contains the truth."""
        return self.low <= 1 <= self.high


def interleaved(call: Callable[[], object], seed: int) -> Outcome:
    """Return what the engine says of a call against itself."""
    (result,) = compare(
        [Case("A/A", call, call)],
        budget_s=BUDGET_S,
        counters=process_counters(),
        random=Random(seed),
    )
    speedup = speedup_of(result.log_ratios)
    return Outcome(speedup.median, *speedup.ci95)


def sequential(call: Callable[[], object]) -> Outcome:
    """Return what one loop after the other says of a call against itself."""
    sides = [[log(seconds) for seconds in _blocks(call, BUDGET_S / 2)] for _ in range(2)]
    difference = fmean(sides[0]) - fmean(sides[1])
    half = 1.96 * sqrt(sum(variance(side) / len(side) for side in sides))
    return Outcome(exp(difference), exp(difference - half), exp(difference + half))


def _blocks(call: Callable[[], object], seconds: float) -> Iterator[float]:
    before = perf_counter()
    call()
    count = max(1, round(BLOCK_S / (perf_counter() - before)))
    end = perf_counter() + seconds
    while perf_counter() < end:
        before = perf_counter()
        for _ in range(count):
            call()
        yield (perf_counter() - before) / count


def row(name: str, outcomes: list[Outcome]) -> str:
    """Return a line of the table."""
    held = sum(outcome.holds_1 for outcome in outcomes)
    width = median(outcome.high / outcome.low - 1 for outcome in outcomes)
    ratios = [outcome.ratio for outcome in outcomes]
    return (
        f"| {name} | {held} of {len(outcomes)} ({held / len(outcomes):.0%}) | {width:.1%} | "
        f"{min(ratios):.3f} to {max(ratios):.3f} | {stdev(ratios):.2%} |"
    )


def main() -> None:
    """Print the table."""
    keep_freed_memory()
    print(
        f"{date.today()}, torch {torch.__version__}, Python {platform.python_version()}, load {load()}\n"
    )
    print("| method | intervals that hold 1 | median width | ratios | deviation of the ratios |")
    print("| :-- | --: | --: | --: | --: |")
    with quiet_torch(1, 0):
        conv = nn.Conv2d(64, 64, 3, padding=1, bias=False).eval()
        x = torch.randn(1, 64, 28, 28)
        call = lambda: conv(x)  # noqa: E731
        for beside in ("quiet", "beside one busy process"):
            ours: list[Outcome] = []
            loops: list[Outcome] = []
            with busy_processes(1) if beside != "quiet" else quiet_torch(1, 0):
                for repeat in range(REPEATS):
                    ours.append(interleaved(call, repeat))
                    loops.append(sequential(call))
            print(row(f"interleaved quartets, {beside}", ours))
            print(row(f"one after the other, {beside}", loops), flush=True)


if __name__ == "__main__":
    main()
