"""How far the speedup of one layer differs between processes, and how long a process takes.

Method: six processes in a row of `dscost layer --cin 256 --cout 256 -k 3`, the machine otherwise idle; the spread
is the largest speedup less the smallest, over the median. Run: `python benchmarks/layer_spread.py [RUNS]`.
"""

import json
import statistics
import subprocess
import sys
import time
from datetime import date
from pathlib import Path

COMMAND = ["layer", "--cin", "256", "--cout", "256", "-k", "3", "--json"]


def main(runs: int) -> None:
    """Print each run and the spread."""
    dscost = str(Path(sys.executable).parent / "dscost")
    speedups, walls = [], []
    print(
        f"{date.today()}\n\n| run | wall | speedup [95 %] | load before |\n| --: | --: | --: | --: |"
    )
    for run in range(1, runs + 1):
        before = time.perf_counter()
        text = subprocess.run([dscost, *COMMAND], capture_output=True, text=True, check=True).stdout
        walls.append(time.perf_counter() - before)
        report = json.loads(text)
        speedup = report["subjects"][0]["layers"][0]["latency"]["cpu"]["speedup"]
        speedups.append(speedup["median"])
        low, high = speedup["ci95"]
        load = report["environment"]["load_before"]
        print(
            f"| {run} | {walls[-1]:.1f} s | {speedup['median']:.2f} [{low:.2f}, {high:.2f}] | {load:.2f} |"
        )
    spread = (max(speedups) - min(speedups)) / statistics.median(speedups)
    print(
        f"\nspread {spread:.1%} of {statistics.median(speedups):.2f}; median wall {statistics.median(walls):.1f} s"
    )


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 6)
