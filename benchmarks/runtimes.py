"""How much faster is separable? The same layers and models under every runtime that is installed.

Method: five convolutions, each with BatchNorm and ReLU behind every convolution as networks have them, against their
depthwise-separable form; ResNet-18 against MobileNetV2; ResNet-18 against itself with every convolution separable, that
of the stem too. All of it by dscost's own library, as `dscost layer --with-norm`, `dscost compare --time` and `dscost
model` measure: one thread, interleaved quartets, outputs held against a reference before anything is timed, a 95 %
interval over rounds. What passes on the wall and the processor time of this process are of the same pairs of blocks.

A run is the mean of several processes, each of which makes everything anew: where weights and buffers lie, and what
others leave of a shared cache, is another thing in each, by several percent. Its interval is over them, and no narrower than 1 %. By default there
are two runs of three processes, which take turns so that a slow change of the machine is part of both, and the last
tables hold the runs against each other. torch.compile chooses kernels and a layout anew in each process, and is told
apart there. int8 is timed beside float32 in the same pairs of layers; of the models it has a run of its own.

Run: `python benchmarks/runtimes.py`, half an hour with all runtimes, most of it for what ExecuTorch and torch.compile
take to make programs; `--quick` tries it with little time, `--runtimes torch,onnxruntime` and names such as `256 int8`
take fewer. Prints Markdown, which is kept in `benchmarks/results/`, and on stderr how far it is.
"""

import argparse
import json
import platform
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import date
from functools import partial
from math import log
from statistics import geometric_mean
from time import perf_counter
from typing import NamedTuple

import dscost
from dscost.analysis.bench import Bench
from dscost.analysis.counting import CountedModel
from dscost.analysis.swap_timing import Layers
from dscost.analysis.swappable import SwappableModel
from dscost.analysis.targets import Request, count
from dscost.analysis.whole_timing import Whole
from dscost.foreign.processor import cpu_name
from dscost.notation.units import format_seconds
from dscost.pages.runs import title_of
from dscost.reports.records import Speedup, Timing
from dscost.runtimes import RUNTIMES
from dscost.timing import Setting, TimingOptions
from dscost.timing.machine import load
from dscost.timing.statistics import speedup_of

LAYERS = {  # channels in and out, stride, size
    "256→256 @14": (256, 256, 1, 14),
    "128→128 @28": (128, 128, 1, 28),
    "64→64 @56": (64, 64, 1, 56),
    "512→512 @7": (512, 512, 1, 7),
    "3→32 /2 @224": (3, 32, 2, 224),
}
QUANTISED = ("256→256 @14", "64→64 @56", "512→512 @7")
LARGE, SMALL = "resnet18", "mobilenet_v2"
PAIR, ITSELF = "ResNet-18 → MobileNetV2", "ResNet-18 → itself separable"
CASES = (*LAYERS, PAIR, ITSELF)

LAYER_S, MODEL_S = 2.0, 6.0
"""For each runtime."""
QUICK = 0.4
CLOCKS = {"wall": "Wall time", "cpu": "Processor time"}
AGREE = 0.05
"""Two runs are to differ by no more."""
WILD = ("torch-compile",)
"""Not held to that."""


class Figures(NamedTuple):
    """A case under one setting.

    Args:
        fewer_macs: Of standard over separable.
        ratios: Median, low and high by clock.
        seconds: Standard and separable.
        error: The largest of the outputs; nothing of torch.
    """

    fewer_macs: float
    ratios: Mapping[str, tuple[float, float, float]]
    seconds: tuple[float, float]
    error: float | None


Run = dict[str, dict[str, Figures]]
"""By case, then by the key of the setting."""

# -- one run


class Runner:
    """Measures cases under runtimes, with so much time that `scale` is 1 for the usual."""

    def __init__(self, names: Sequence[str], scale: float) -> None:
        self._names, self._scale = names, scale
        self._with_int8 = [name for name in names if "int8" in RUNTIMES[name].dtypes]

    def cases(self) -> Iterator[tuple[str, Callable[[], dict[str, Figures]]]]:
        """Yield every case by name with what measures it."""
        for name, layer in LAYERS.items():
            yield name, partial(self._layer, layer, self._names, ("float32",))
        yield PAIR, partial(self._pair, "float32", self._names)
        yield ITSELF, self._itself
        if self._with_int8:
            both = ("float32", "int8")
            for name in QUANTISED:
                yield f"{name}, int8", partial(self._layer, LAYERS[name], self._with_int8, both)
            yield f"{PAIR}, int8", partial(self._pair, "int8", self._with_int8)

    def _options(self, names: Sequence[str], seconds: float, **more: object) -> TimingOptions:
        return TimingOptions(
            runtimes=tuple(names),
            threads=1,
            clock="cpu",
            budget_s=self._scale * seconds * len(names),
            **more,
        )

    def _layer(
        self, layer: tuple[int, int, int, int], names: Sequence[str], dtypes: Sequence[str]
    ) -> dict[str, Figures]:
        channels, filters, stride, size = layer
        budget_s = LAYER_S * len(dtypes)
        options = self._options(names, budget_s, with_norm=True, dtypes=tuple(dtypes))
        report = dscost.layer(
            channels,
            filters,
            3,
            stride=stride,
            input_size=size,
            time=True,
            threads=1,
            time_budget_s=options.budget_s,
            timing={
                name: getattr(options, name)
                for name in ("runtimes", "clock", "with_norm", "dtypes")
            },
        )
        _tell(report.untimed)
        fewer = report.totals.reduction.macs or 0.0
        return {key: _figures(timing, fewer) for key, timing in report.latency.items()}

    def _pair(self, dtype: str, names: Sequence[str]) -> dict[str, Figures]:
        options = self._options(names, MODEL_S)
        found = dscost.compare(
            LARGE,
            SMALL,
            dtype=dtype,
            time=True,
            threads=1,
            runtime=list(names),
            clock=options.clock,
            time_budget_s=options.budget_s,
            layers=False,
        )
        _tell(found.untimed)
        large, small = (one.report for one in found.contenders)
        fewer = large.totals.as_is.macs / small.totals.as_is.macs
        figures = {}
        for key, speedup in found.versus[0].speedups.items():
            timings = large.latency[key], small.latency[key]
            first, second = (one.latencies["as_is"].median_s for one in timings)
            error = max((ran.error for one in timings for ran in one.ran.values()), default=None)
            by_clock = {"wall": speedup, "cpu": found.versus[0].cpu_speedups.get(key)}
            ratios = {clock: _ratio(one) for clock, one in by_clock.items() if one}
            figures[key] = Figures(fewer, ratios, (first, second), error)
        return figures

    def _itself(self) -> dict[str, Figures]:
        """Time the whole model both ways, without its layers, each of which `analyze` times too."""
        counted = count(LARGE, Request())
        report = counted.report
        options = self._options(self._names, MODEL_S)
        settings = options.settings(dtype="float32", batch=1, memory_formats=("contiguous",))
        assert options.budget_s is not None
        bench = Bench(options, settings, options.budget_s)
        figures = {}
        with bench.open():
            for setting in settings:
                whole = Whole(bench, _swappable(counted), setting)
                share_s = options.budget_s / len(settings)
                whole.measure(share_s, 2 * share_s, against_itself=True)
                timing = whole.timing(Layers())
                if timing:
                    figures[setting.key] = _figures(timing, report.totals.reduction.macs or 0.0)
        _tell(bench.untimed)
        return figures


def _swappable(counted: CountedModel) -> SwappableModel:
    assert counted.runnable is not None
    return SwappableModel(counted.report, counted.swaps, counted.runnable)


def _figures(timing: Timing, fewer_macs: float) -> Figures:
    standard, separable, speedup = timing.standard, timing.depthwise_separable, timing.speedup
    assert standard
    assert separable
    assert speedup
    ratios = {"wall": _ratio(speedup)}
    if timing.cpu_clock and timing.cpu_clock.speedup:
        ratios["cpu"] = _ratio(timing.cpu_clock.speedup)
    error = max((one.error for one in timing.ran.values()), default=None)
    return Figures(fewer_macs, ratios, (standard.median_s, separable.median_s), error)


def _ratio(speedup: Speedup) -> tuple[float, float, float]:
    return speedup.median, *speedup.ci95


def _tell(untimed: Sequence[object]) -> None:
    for one in untimed:
        print(getattr(one, "text", one), file=sys.stderr)


def one_run(names: Sequence[str], scale: float, only: Sequence[str]) -> None:
    """Measure everything once and print it as JSON, a line for each case."""
    for case, measure in Runner(names, scale).cases():
        if only and not any(part in case for part in only):
            continue
        before = perf_counter()
        found = measure()
        took_s = perf_counter() - before
        print(json.dumps([case, found, took_s, load()]), flush=True)


def together(processes: Sequence[Run]) -> Run:
    """Return one run: the means of what several processes measured, with intervals over them."""
    found: Run = {}
    for case, key in dict.fromkeys(
        (case, key) for one in processes for case, keys in one.items() for key in keys
    ):
        each = [one[case][key] for one in processes if key in one.get(case, {})]
        if len(each) < len(processes):
            told = f"{len(each)} of {len(processes)} processes"
            print(f"{case}, {key}: measured by {told}", file=sys.stderr)
        found.setdefault(case, {})[key] = _mean(each) if len(each) > 1 else each[0]
    return found


def _mean(each: Sequence[Figures]) -> Figures:
    ratios = {}
    for clock in CLOCKS:
        found = [one.ratios[clock] for one in each if clock in one.ratios]
        if found:
            logs = [log(one[0]) for one in found]
            ratios[clock] = _ratio(speedup_of(logs)) if len(found) > 1 else found[0]
    seconds = zip(*(one.seconds for one in each), strict=True)
    first, second = map(geometric_mean, seconds)
    errors = [one.error for one in each if one.error is not None]
    return Figures(each[0].fewer_macs, ratios, (first, second), max(errors, default=None))


def run_elsewhere(
    names: Sequence[str], only: Sequence[str], *, quick: bool
) -> tuple[Run, list[float]]:
    """Return what a process of its own measures, and the loads meanwhile."""
    command = [sys.executable, __file__, "--one", "--runtimes", ",".join(names), *only]
    found: Run = {}
    loads = []
    with subprocess.Popen(
        [*command, *(["--quick"] if quick else [])], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            case, figures, took_s, load_then = json.loads(line)
            found[case] = {key: Figures(*each) for key, each in figures.items()}
            loads.append(load_then or 0.0)
            print(f"{case}: {took_s:.0f} s, load {load_then:.1f}", file=sys.stderr, flush=True)
    if process.returncode:
        raise SystemExit(f"a run ended with {process.returncode}")
    return found, loads


# -- tables


def print_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print rows as Markdown, all columns but the first to the right; those with nothing are left out."""
    print("| " + " | ".join(head) + " |")
    print("| :-- |" + " --: |" * (len(head) - 1))
    for row in rows:
        if any(cell != "–" for cell in row[1:]):
            print("| " + " | ".join(row) + " |")
    print()


def _keys(names: Sequence[str], dtype: str = "float32") -> dict[str, str]:
    return {Setting(runtime=name, dtype=dtype).key: title_of(name) for name in names}


def _cell(figures: Figures | None, clock: str) -> str:
    ratio = figures and figures.ratios.get(clock)
    return f"{ratio[0]:.2f} [{ratio[1]:.2f}, {ratio[2]:.2f}]" if ratio else "–"


def _fewer(run: Run, case: str) -> str:
    return next((f"{one.fewer_macs:.2f}" for one in run.get(case, {}).values()), "–")


def print_speedups(run: Run, names: Sequence[str], clock: str) -> None:
    """Print the speedup of separable under every runtime by one clock."""
    keys = _keys(names)
    rows = [
        [case, _fewer(run, case), *(_cell(run.get(case, {}).get(key), clock) for key in keys)]
        for case in CASES
    ]
    if all(cell == "–" for row in rows for cell in row[2:]):
        return
    print(f"## {CLOCKS[clock]}: how many times as fast separable is [95 %]\n")
    print_table(["standard → separable", "fewer MACs", *keys.values()], rows)


def print_latencies(run: Run, names: Sequence[str]) -> None:
    """Print the latencies of both, and the largest error of each runtime."""
    keys = _keys(names)
    rows = []
    for case in CASES:
        found = [run.get(case, {}).get(key) for key in keys]
        rows.append(
            [case, *(" → ".join(map(format_seconds, one.seconds)) if one else "–" for one in found)]
        )
    errors = [
        max(
            (e for case in run.values() if key in case and (e := case[key].error) is not None),
            default=None,
        )
        for key in keys
    ]
    rows.append(["largest error of an output", *("–" if e is None else f"{e:.1e}" for e in errors)])
    print("## Latency: standard → separable\n")
    print_table(["", *keys.values()], rows)


def print_int8(run: Run, names: Sequence[str]) -> None:
    """Print int8 beside float32 by the clock that is less disturbed, where it is there."""
    both = [name for name in names if "int8" in RUNTIMES[name].dtypes]
    keys = {**_keys(both), **_keys(both, "int8")}
    rows = []
    for case in (*QUANTISED, PAIR):
        # of layers both dtypes took turns in one run
        found = {**run.get(case, {}), **run.get(f"{case}, int8", {})}
        cells = []
        for key in keys:
            one = found.get(key)
            cells.append(_cell(one, "cpu" if one and "cpu" in one.ratios else "wall"))
        rows.append([case, *cells])
    if both and any(f"{case}, int8" in run for case in CASES):
        titles = [f"{title_of(name)} {dtype}" for dtype in ("float32", "int8") for name in both]
        print("## int8 beside float32: how many times as fast separable is [95 %]\n")
        print_table(["standard → separable", *titles], rows)


def print_agreement(runs: Sequence[Run], names: Sequence[str], clock: str) -> None:
    """Print the ratios of all runs beside each other, and how many differ by little."""
    keys = _keys(names)
    rows = []
    apart: dict[str, list[float]] = {key: [] for key in keys}
    for case in CASES:
        row = [case]
        for key in keys:
            found = [run[case][key].ratios for run in runs if key in run.get(case, {})]
            ratios = [one[clock][0] for one in found if clock in one]
            if len(ratios) < 2:
                row.append("–")
                continue
            apart[key].append(max(ratios) / min(ratios) - 1)
            row.append(f"{', '.join(f'{one:.2f}' for one in ratios)} ({apart[key][-1]:.1%})")
        rows.append(row)
    if not any(apart.values()):
        return
    print(f"## {CLOCKS[clock]}: {len(runs)} runs, and how far apart they are\n")
    print_table(["", *keys.values()], rows)
    held = [
        one for name, key in zip(names, keys, strict=True) if name not in WILD for one in apart[key]
    ]
    close = sum(one <= AGREE for one in held)
    print(
        f"Within {AGREE:.0%}: {close} of {len(held)}; the furthest {max(held, default=0.0):.1%} apart.",
        end="",
    )
    for name, key in zip(names, keys, strict=True):
        if name in WILD and apart[key]:
            print(f" Not held to it: {title_of(name)}, up to {max(apart[key]):.1%} apart.", end="")
    print("\n")


def main(arguments: Sequence[str]) -> None:
    """Run, and print all tables."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("only", nargs="*", help="cases by a part of their names; by default all")
    parser.add_argument("--runtimes", help="names with commas; by default all that are installed")
    parser.add_argument("--runs", type=int, default=2, help="how many, held against each other")
    parser.add_argument("--processes", type=int, default=3, help="of each run")
    parser.add_argument("--quick", action="store_true", help="with little time: figures are rough")
    parser.add_argument("--one", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    here = [name for name in RUNTIMES if not RUNTIMES[name].missing]
    names = options.runtimes.split(",") if options.runtimes else here
    if options.one:
        one_run(names, QUICK if options.quick else 1.0, options.only)
        return
    versions = {k: v for name in names for k, v in RUNTIMES[name].versions.items()}
    told = ", ".join(f"{name} {version}" for name, version in versions.items())
    print(
        f"{date.today()}, {cpu_name()}, one thread, Python {platform.python_version()}, {told}; load before {load()}\n"
    )
    for name in RUNTIMES:
        if RUNTIMES[name].missing:
            print(f"{title_of(name)} is not installed: left out ({RUNTIMES[name].pip_line})\n")
    processes: list[list[Run]] = [[] for _ in range(options.runs)]
    loads = []
    for turn in range(options.processes):
        for run in processes[:: 1 if turn % 2 == 0 else -1]:
            found, meanwhile = run_elsewhere(names, options.only, quick=options.quick)
            run.append(found)
            loads += meanwhile
    runs = [together(run) for run in processes]
    print(
        f"{options.runs} runs of {options.processes} processes; load meanwhile {min(loads):.1f} to {max(loads):.1f}.\n"
    )
    for clock in CLOCKS:
        print_speedups(runs[0], names, clock)
    print_latencies(runs[0], names)
    print_int8(runs[0], names)
    for clock in CLOCKS:
        print_agreement(runs, names, clock)


if __name__ == "__main__":
    main(sys.argv[1:])
