"""Whether more work takes longer in a latency table: 60 layers and their variants, beside a busy process.

Two grids of 60 layers: `configs/sweeps/separable_pays.yaml`, and the blocks of a search space for phones, where public
tables have 3×3 kernels slower than 7×7 ones. Each is timed twice while one process computes on one of the cores:

* one after the other, in the order of the grid, as such tables are made: 10 calls to warm up, then the mean of 50;
* by `dscost sweep --time`: shuffled, each layer in turns with its variants and the reference layer, what is doubtful
  again.

Neighbours are two rows that differ in one axis by one step, all else equal. They are out of order if the one with fewer
MACs takes longer by more than the noise: 3 %, and for dscost what it takes for noise where that is more, intervals
apart. For a fair count its latencies are also judged as the others are, by the 3 % alone.

Run: `python benchmarks/sweep_order.py [RUNTIME ...]`, by default torch and onnxruntime: some minutes each on two cores,
of which nothing else should take any.
"""

import platform
import sys
from collections.abc import Iterator, Sequence
from datetime import date
from importlib.metadata import version
from pathlib import Path
from time import perf_counter

from busy import busy_processes

from dscost.analysis.making import Making
from dscost.analysis.running import prepared
from dscost.layers.choosing import parse_variants
from dscost.sweeping.grid_files import read_grids
from dscost.sweeping.grids import Grid
from dscost.sweeping.making_grids import Setup, grid_of
from dscost.sweeping.measuring import settings_of, where_of, work_of_unit
from dscost.sweeping.monotone import Order, order_of
from dscost.sweeping.records import Case, Row
from dscost.sweeping.swept import layers_of, rows_of_case
from dscost.sweeping.timed_sweep import timed_sweep
from dscost.timing import TimingOptions
from dscost.timing.machine import load

HERE = Path(__file__).parent.resolve()
RUNTIMES = ("torch", "onnxruntime")
WARM_CALLS, CALLS = 10, 50
BLOCKS = {
    "in_channels": [16, 24, 40, 80, 96],
    "out_channels": "cin",
    "kernel_size": [3, 5, 7],
    "input_size": [14, 28],
    "stride": [1, 2],
}


def grids() -> dict[str, Sequence[Grid]]:
    """Return what is swept, by name."""
    variants = parse_variants(["inverted_residual:3", "inverted_residual:6"])
    return {
        "separable_pays": read_grids("separable_pays"),
        "blocks of 3×3 to 7×7": [grid_of(BLOCKS, Setup(variants))],
    }


def one_after_the_other(cases: Sequence[Case], options: TimingOptions) -> Iterator[Row]:
    """Yield the rows of a table whose latencies are means of calls in a row."""
    import torch

    (setting,) = settings_of(options, "float32")
    where = where_of(options, setting)
    torch.set_num_threads(where.threads)
    for case in cases:
        rows = {row.variant: row for row in rows_of_case(case, 4)}
        for unit in case.units:
            work = work_of_unit(unit, options, setting)
            with torch.inference_mode():
                call = prepared(work, Making(), threads=where.threads, seed=0).call
                for _ in range(WARM_CALLS):
                    call()
                before = perf_counter()
                for _ in range(CALLS):
                    call()
                mean_s = (perf_counter() - before) / CALLS
            key = case.key(where)
            yield rows[unit.label]._replace(
                key=key, where=where, latency_s=mean_s, ci95_s=(mean_s, mean_s)
            )


def certain(rows: Sequence[Row]) -> list[Row]:
    """Return rows whose latencies are taken for exact, so that the 3 % alone decide."""
    return [
        row._replace(ci95_s=(row.latency_s, row.latency_s), speedup=None)
        for row in rows
        if row.latency_s
    ]


def line(name: str, how: str, order: Order, took_s: float, more: str = "") -> str:
    """Return a line of the table."""
    found = order.violations
    worst = f"{found[0].factor:.2f}×" if found else "–"
    return f"| {name} | {how} | {order.checked} | {len(found)} | {worst} | {order.noise_floor:.1%} | {took_s:.0f} s | {more} |"


def main() -> None:
    """Print the table."""
    # `onnx.py` beside this file is not the library that is to be imported
    sys.path[:] = [one for one in sys.path if Path(one or ".").resolve() != HERE]
    runtimes = tuple(sys.argv[1:]) or RUNTIMES
    versions = ", ".join(f"{name} {version(name)}" for name in RUNTIMES)
    print(f"{date.today()}, {versions}, Python {platform.python_version()}, load {load()}\n")
    print(
        "| grid | timed | neighbours | out of order | worst | noise | took | the reference layer |"
    )
    print("| :-- | :-- | --: | --: | --: | --: | --: | :-- |")
    for runtime in runtimes:
        options = TimingOptions(runtimes=(runtime,), threads=1)
        for name, swept in grids().items():
            cases = layers_of(swept, are_timed=True)
            with busy_processes(1):
                before = perf_counter()
                plain = list(one_after_the_other(cases.cases, options))
                took_s = perf_counter() - before
                told = f"{runtime}, one after the other"
                print(line(name, told, order_of(plain), took_s), flush=True)
                before = perf_counter()
                found = timed_sweep(cases, options, journal=None)
                took_s = perf_counter() - before
            (drift,) = found.drift
            more = f"{drift.lowest:.2f} to {drift.highest:.2f} of its median, {drift.again} cases again"
            print(line(name, f"{runtime}, dscost sweep", order_of(found.rows), took_s, more))
            bare = order_of(certain(found.rows))
            print(line(name, f"{runtime}, dscost sweep, by 3 % alone", bare, took_s), flush=True)
            for one in order_of(found.rows).violations:
                print(f"\n{one.to_dict()}\n", flush=True)


if __name__ == "__main__":
    main()
