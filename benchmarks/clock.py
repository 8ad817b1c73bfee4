"""Intervals by processor time on a busy machine: whether they hold the truth, and see a real slowdown.

Method, all of it on one thread, by the engine and the noise floor that `dscost layer --clock cpu` uses (`analysis.bench`),
each repeat with weights, sessions and an order of its own, beside so many processes that compute all the time:

- Nothing differs: a 3×3 convolution 32→32 on 14×14 against itself, and against one with other weights. The ratio is 1.
  Counted: 95 % intervals that hold 1, by either clock over the same pairs, and verdicts of a difference, which are false.
- A slowdown of 10 %: ten calls of such a convolution against eleven of it, so that 10 % more work is done whatever the
  machine does. The ratio is 10/11. Counted: verdicts "slower", and intervals that hold 10/11.

torch in eager mode and ONNX Runtime. Loads take turns, so that what else the machine does falls on all of them alike.
Run: `python benchmarks/clock.py` (up to an hour), or with `--repeats 5 --seconds 2` for a look.
"""

import argparse
import platform
from collections.abc import Callable, Sequence
from datetime import date
from importlib.metadata import version
from math import exp, expm1, log
from statistics import median
from typing import NamedTuple

import torch
from busy import busy_processes
from torch import nn

from dscost.analysis.bench import Bench
from dscost.reports.records import Speedup
from dscost.runtimes import RUNTIMES, How
from dscost.runtimes.programs import ModuleProgram
from dscost.timing import Setting, TimingOptions
from dscost.timing.engine import Call, Case
from dscost.timing.machine import load, usable_cores

CHANNELS, SIZE = 32, 14
PIECES, MORE = 10, 11
"""Calls of either side of a slowdown."""
BUSY = (0, 2, 4)
CLOCKS = ("cpu", "wall")


class Outcome(NamedTuple):
    """A repeat by one clock."""

    speedup: Speedup
    truth: float

    @property
    def holds(self) -> bool:
        """Whether the interval contains the truth."""
        low, high = self.speedup.ci95
        return low <= self.truth <= high

    @property
    def half_width(self) -> float:
        """Of the interval, as a share of the ratio."""
        low, high = self.speedup.ci95
        return expm1(log(high / low) / 2)


def torch_call(seed: int) -> Call:
    """Return a convolution of torch as a call."""
    module, x = _convolution(seed)
    return lambda: module(x)


def onnxruntime_call(seed: int) -> Call:
    """Return a convolution as a call of ONNX Runtime."""
    module, x = _convolution(seed)
    program = ModuleProgram("convolution", module, (x,), {}, macs=1)
    return RUNTIMES["onnxruntime"].load(program, How(threads=1)).call


def _convolution(seed: int) -> tuple[nn.Module, torch.Tensor]:
    torch.manual_seed(seed)
    conv = nn.Conv2d(CHANNELS, CHANNELS, 3, padding=1, bias=False)
    return conv.eval(), torch.randn(1, CHANNELS, SIZE, SIZE)


MAKERS = {"torch": torch_call, "onnxruntime": onnxruntime_call}


def repeated(call: Call, times: int) -> Call:
    """Return a call that makes another one so many times."""

    def calls() -> None:
        for _ in range(times):
            call()

    return calls


def sides(what: str, make: Callable[[int], Call], seed: int) -> tuple[Call, Call, float]:
    """Return what is compared, and the ratio that is true."""
    first = make(2 * seed)
    if what == "itself":
        return first, first, 1.0
    if what == "an equal one":
        return first, make(2 * seed + 1), 1.0
    return repeated(first, PIECES), repeated(first, MORE), PIECES / MORE


def measured(what: str, runtime: str, seed: int, seconds: float) -> dict[str, Outcome]:
    """Return one repeat by either clock; nothing where the time did not suffice."""
    setting = Setting()
    options = TimingOptions(clock="cpu", seed=seed)
    bench = Bench(options, [setting], seconds)
    with bench.open():
        first, second, truth = sides(what, MAKERS[runtime], seed)
        result = bench.compare([Case(what, first, second)], seconds).get(what)
        by_cpu = result and result.by_cpu
        if result is None or by_cpu is None:
            return {}
        return {
            "wall": Outcome(bench.speedup(result, setting), truth),
            "cpu": Outcome(bench.cpu_speedup(by_cpu, setting), truth),
        }


def share(found: Sequence[bool]) -> str:
    """Return how many of how many."""
    return f"{sum(found)} of {len(found)} ({sum(found) / len(found):.0%})" if found else "none"


def row(labels: Sequence[str], outcomes: dict[str, list[Outcome]], verdicts: Sequence[str]) -> str:
    """Return a line of a table: by either clock what holds the truth, how wide, what was called."""
    cells = [*labels]
    for clock in CLOCKS:
        own = outcomes[clock]
        cells.append(share([one.holds for one in own]))
        cells.append(f"{median(one.half_width for one in own):.1%}" if own else "")
        cells.append(share([one.speedup.verdict in verdicts for one in own]))
    return f"| {' | '.join(cells)} |"


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=25)
    parser.add_argument("--seconds", type=float, default=8.0, help="of a repeat at most")
    parser.add_argument("--runtimes", default=",".join(MAKERS))
    given = parser.parse_args()
    runtimes = given.runtimes.split(",")
    print(
        f"{date.today()}, Python {platform.python_version()}, torch {torch.__version__}, "
        f"ONNX Runtime {version('onnxruntime')}, {usable_cores()} cores, load before {load()}, "
        f"{given.repeats} repeats of at most {given.seconds:g} s\n"
    )
    whats = ("itself", "an equal one", "slower by 10 %")
    found: dict[tuple[str, str, int], dict[str, list[Outcome]]] = {
        (what, runtime, busy): {clock: [] for clock in CLOCKS}
        for what in whats
        for runtime in runtimes
        for busy in BUSY
    }
    for seed in range(given.repeats):
        for busy in BUSY:
            with busy_processes(busy):
                for what in whats:
                    for runtime in runtimes:
                        one = measured(what, runtime, seed, given.seconds)
                        for clock, outcome in one.items():
                            found[what, runtime, busy][clock].append(outcome)
    for null, truth, called in ((True, "1", "a difference"), (False, "10/11", "slower")):
        heads = (f"{clock}: holds {truth} | half-width | called {called}" for clock in CLOCKS)
        print(f"| against | runtime | busy | {' | '.join(heads)} |")
        print("| :-- | :-- | --: | --: | --: | --: | --: | --: | --: |")
        verdicts = ("faster", "slower") if null else ("slower",)
        rows = {key: own for key, own in found.items() if (key[0] != whats[2]) is null}
        for (what, runtime, busy), own in rows.items():
            print(row((what, runtime, str(busy)), own, verdicts))
        every = {clock: [one for own in rows.values() for one in own[clock]] for clock in CLOCKS}
        print(row(("all", "", ""), every, verdicts))
        spread = exp(median(log(one.speedup.median) for one in every["cpu"]))
        print(f"\nThe median of the ratios by processor time is {spread:.3f}.\n")


if __name__ == "__main__":
    main()
