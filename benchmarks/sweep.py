"""How long it takes to count a large grid of layers and write it, from process start to exit, and in how much memory.

A million: 983,040 convolutions (128 input channels, 64 output channels, kernels 1, 3 and 5, strides 1 and 2, 20 input
sizes), as they are and with their depthwise-separable variants, as CSV and as Parquet; at most 1.5 s as they are, in
one of the two. Fifty million: 50,331,648 of them, streamed as Parquet; at most 75 s and 400 MB.

Method: whole processes of `dscost sweep … -o FILE`, one of each kind in turn, so that a slow moment of the machine
hits all alike; best and median of the rounds, and the seconds that processors worked, which others on the machine
change less. Memory is the largest resident set that the kernel saw of the process. What it costs to start, and to
import what is needed, is measured likewise. Files are written to the folder of temporary files, flushed but not synced.

Run: `python benchmarks/sweep.py [ROUNDS]`; it prints what `benchmarks/results/` has.
"""

import os
import platform
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from datetime import date
from importlib.metadata import version
from pathlib import Path
from typing import NamedTuple

ONE_MILLION = (
    *("--cin", "8:1024:8", "--cout", "16:1024:16"),
    *("-k", "1,3,5", "--stride", "1,2", "--size", "7:26"),
)
FIFTY_MILLION = (
    *("--cin", "8:1024:8", "--cout", "8:1024:8"),
    *("-k", "1,3,5", "--stride", "1,2", "--size", "7:70", "--batch", "1:8"),
)
STANDARD, SEPARABLE = "standard", "depthwise_separable"
LIMIT_S, LIMIT_FIFTY_S, LIMIT_FIFTY_MB = 1.5, 75.0, 400.0

DSCOST = str(Path(sys.executable).parent / "dscost")
STARTS = {
    "python -c pass": "pass",
    "import numpy": "import numpy",
    "import pyarrow.parquet": "import pyarrow.parquet",
    "import of all that counts and writes": "import dscost.sweeping.chunks, dscost.sweeping.writing, pyarrow.parquet",
}


class Run(NamedTuple):
    """A process: how long it took, what of that processors worked, its largest resident set, and what it printed."""

    took_s: float
    worked_s: float
    memory_mb: float
    said: str


def run(*command: str) -> Run:
    """Run a command to its end."""
    before = time.perf_counter()
    with tempfile.TemporaryFile() as said:
        process = subprocess.Popen(command, stdout=said, stderr=said)
        _, status, used = os.wait4(process.pid, 0)
        took_s = time.perf_counter() - before
        process.returncode = os.waitstatus_to_exitcode(status)
        said.seek(0)
        told = said.read().decode().strip()
        if process.returncode:
            raise SystemExit(told)
        return Run(took_s, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024, told)


def write(path: Path, grid: Sequence[str], variant: str) -> tuple[Run, float]:
    """Count a grid into a file, and return with it the size of that in megabytes."""
    found = run(DSCOST, "sweep", *grid, "--variant", variant, "-o", str(path))
    size = path.stat().st_size / 1e6
    path.unlink()
    return found, size


def rows_of(found: Run) -> int:
    """Return how many rows a command says that it has written."""
    (rows,) = re.findall(r"\(([\d,]+) rows\)", found.said)
    return int(rows.replace(",", ""))


def main(rounds: int) -> int:
    """Print the tables and return 1 if a limit is exceeded."""
    # a program that may not keep its bytecode compiles its modules at each of its starts
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    versions = ", ".join(f"{name} {version(name)}" for name in ("numpy", "pyarrow"))
    print(
        f"{date.today()}, Python {platform.python_version()}, {versions}, {os.cpu_count()} cores, {rounds} rounds"
    )
    with tempfile.TemporaryDirectory() as folder:
        million = _million(Path(folder), rounds)
        starts = {
            name: [run(sys.executable, "-c", code).took_s for _ in range(rounds)]
            for name, code in STARTS.items()
        }
        fifty, size = write(Path(folder) / "table.parquet", FIFTY_MILLION, STANDARD)
    print("\n## Fifty million\n")
    print("| rows | seconds | of processors | million rows/s | peak memory | file | limit |")
    print("| --: | --: | --: | --: | --: | --: | --: |")
    rows = rows_of(fifty)
    print(
        f"| {rows:,} | {fifty.took_s:.1f} | {fifty.worked_s:.1f} | {rows / fifty.took_s / 1e6:.2f} | {fifty.memory_mb:.0f} MB | {size:.0f} MB "
        f"| {LIMIT_FIFTY_S:g} s, {LIMIT_FIFTY_MB:g} MB |"
    )
    print("\n## Start\n\n| process | best | median |\n| :-- | --: | --: |")
    for name, times in starts.items():
        print(f"| {name} | {min(times) * 1e3:.0f} ms | {statistics.median(times) * 1e3:.0f} ms |")
    return million > LIMIT_S or fifty.took_s > LIMIT_FIFTY_S or fifty.memory_mb > LIMIT_FIFTY_MB


def _million(folder: Path, rounds: int) -> float:
    """Print the table of a million, and return the least median of the layers as they are."""
    kinds = [
        (variants, ending) for variants in (STANDARD, SEPARABLE) for ending in ("csv", "parquet")
    ]
    found: dict[tuple[str, str], list[tuple[Run, float]]] = {kind: [] for kind in kinds}
    for _ in range(rounds):
        for variants, ending in kinds:
            found[variants, ending].append(write(folder / f"table.{ending}", ONE_MILLION, variants))
    print("\n## A million\n")
    print("| layers | file | rows | best | median | of processors | peak memory | size | limit |")
    print("| :-- | :-- | --: | --: | --: | --: | --: | --: | --: |")
    for (variants, ending), runs in found.items():
        times = [one.took_s for one, _ in runs]
        beside = "as they are" if variants == STANDARD else "and separable"
        limit = f"{LIMIT_S:g} s in one" if variants == STANDARD else ""
        print(
            f"| {beside} | {ending} | {rows_of(runs[0][0]):,} | {min(times):.2f} s | {statistics.median(times):.2f} s "
            f"| {statistics.median(one.worked_s for one, _ in runs):.2f} s | {max(one.memory_mb for one, _ in runs):.0f} MB | {runs[0][1]:.1f} MB | {limit} |"
        )
    return min(
        statistics.median([one.took_s for one, _ in found[STANDARD, ending]])
        for ending in ("csv", "parquet")
    )


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else 7))
