"""A/A gates: how often a limit on a ratio of latencies is broken by a model and its copy, beside busy processes.

Method: an architecture file and a copy of it under another name, so that the true ratio is 1; each gate is a
`dscost.check` of a budget with `latency_ratio: {max: 1x, max_increase: 5%, against: copy.yaml}`, one thread, some
seconds for each measurement, beside processes that compute all the time. A limit of 1x is the hardest that there is:
half of all errors would break it. Then gates against a file with fewer channels in its middle, so that the model has
1.44 times its MACs: what was really lost has to be found. Printed: how many checks would exit 1 and 2 with
`level: error`, false alarms by limit, how many gates seemed broken at first and were measured again, how many are left
undecided, and how wide the intervals are.
Run: `python benchmarks/ratio_gates.py [GATES [BUSY [SECONDS [RUNTIME:CLOCK ...]]]]`, by default 200 gates of each kind
beside 2 busy processes, 3 s for each measurement: about an hour on two cores, of which nothing else should take any.
"""

import platform
import sys
from collections.abc import Sequence
from datetime import date
from importlib.metadata import version
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import NamedTuple

from busy import busy_processes

import dscost
from dscost.budgets.findings import Finding, Passed, Ratio
from dscost.timing.machine import load

HERE = Path(__file__).parent.resolve()
RUNTIMES = ("onnxruntime", "torch")
KINDS = (("onnxruntime", "wall"), ("onnxruntime", "cpu"), ("torch", "wall"))
FALSE_ALARMS = {"max": "1x", "max_increase": "5 %"}
SLOWER_GATES = 20
NETWORK = """input: [16, 28, 28]
layers:
  - {{conv: 3, out_channels: 32, norm: batch, act: relu}}
  - {{conv: 3, out_channels: {middle}, norm: batch, act: relu}}
  - {{conv: 3, out_channels: 32, norm: batch, act: relu}}
"""
BUDGET = """version: 1
models:
  - name: net
    target: net.yaml
    limits:
      latency_ratio:
        {{max: 1x, max_increase: 5%, against: {against}, runtime: {runtime}, clock: {clock}, threads: 1, time_budget: {seconds} s, level: error}}
"""


class Gate(NamedTuple):
    """What one check said.

    Args:
        code: How the command would exit: 1 where a limit is broken, 2 where nothing was measured.
        measured: The ratio; `None` where the time did not suffice.
        alarms: The bounds that were broken.
        undecided: Those that were neither kept nor broken for sure.
        seconds: That it took.
    """

    code: int
    measured: Ratio | None
    alarms: Sequence[str]
    undecided: int
    seconds: float


def gate(folder: Path, against: str, runtime: str, clock: str, seconds: int) -> Gate:
    """Return what a check says."""
    path = folder / "dscost.yaml"
    given = {"against": against, "runtime": runtime, "clock": clock, "seconds": seconds}
    path.write_text(BUDGET.format(**given))
    before = perf_counter()
    result = dscost.check(path)
    took_s = perf_counter() - before
    judged: list[Finding | Passed] = [*result.findings, *result.passed]
    measured = next((one.measured for one in judged if one.measured), None)
    alarms = [str(one.bound) for one in result.findings if one.is_violation]
    undecided = sum(one.kind == "undecided" for one in result.findings)
    return Gate(result.exit_code, measured, alarms, undecided, took_s)


def row(name: str, found: Sequence[Gate]) -> str:
    """Return a line of the table."""
    gates = [one for one in found if one.measured]
    ratios = [one.measured for one in gates if one.measured]
    failed, unjudged = (sum(one.code == code for one in found) for code in (1, 2))
    head = f"| {name} | {len(found)} | {len(found) - len(gates)} | {failed} | {unjudged} |"
    if not ratios:
        return f"{head} | | | | | | |"
    widths = [float(one.high / one.low) ** 0.5 - 1 for one in ratios]
    alarms = [sum(bound in one.alarms for one in gates) for bound in FALSE_ALARMS]
    again = sum(one.runs > 1 for one in ratios)
    undecided = sum(one.undecided for one in gates) / (2 * len(gates))
    return (
        f"{head} {alarms[0]} | {alarms[1]} | {again} | "
        f"{undecided:.0%} | ± {median(widths):.1%} | {median(float(one.value) for one in ratios):.3f} | "
        f"{median(one.seconds for one in gates):.1f} s |"
    )


def main() -> None:
    """Print the table."""
    # `onnx.py` beside this file is not the library that is to be imported
    sys.path[:] = [one for one in sys.path if Path(one or ".").resolve() != HERE]
    gates, processes, seconds, *_ = (*map(int, sys.argv[1:4]), *(200, 2, 3)[len(sys.argv[1:4]) :])
    kinds = [tuple(one.split(":")) for one in sys.argv[4:]] or KINDS
    versions = ", ".join(f"{name} {version(name)}" for name in RUNTIMES)
    print(f"{date.today()}, {versions}, Python {platform.python_version()}, load {load()}\n")
    limits = " | ".join(f"over {text}" for text in FALSE_ALARMS.values())
    print(
        f"| gates | number | not measured | exit 1 | exit 2 | {limits} | measured twice | undecided | interval | ratio | each |"
    )
    print("| :-- | --: | --: | --: | --: | --: | --: | --: | --: | --: | --: | --: |")
    with TemporaryDirectory() as scratch:
        folder = Path(scratch)
        (folder / "net.yaml").write_text(NETWORK.format(middle=96))
        (folder / "copy.yaml").write_text(NETWORK.format(middle=96))
        (folder / "fewer.yaml").write_text(NETWORK.format(middle=64))
        for runtime, clock in kinds:
            told = f"{runtime}, {clock} clock, beside {processes} busy processes, {seconds} s"
            with busy_processes(processes):
                equal = [gate(folder, "copy.yaml", runtime, clock, seconds) for _ in range(gates)]
                print(row(f"equal models, {told}", equal), flush=True)
                slower = [
                    gate(folder, "fewer.yaml", runtime, clock, seconds) for _ in range(SLOWER_GATES)
                ]
                print(row(f"1.44 × the MACs, {told}", slower), flush=True)


if __name__ == "__main__":
    main()
