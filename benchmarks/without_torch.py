"""How long a layer takes by ONNX Runtime where there is no torch, from process start to exit.

Method: an environment is made in FOLDER with `dscost[onnxruntime]` and nothing else, unless it is there. Whole processes
of `dscost layer 256 256 3 --runtime onnxruntime` are started by turns in that and in the environment that runs this,
where torch is installed and not loaded; beside them the same layer by torch. Medians of ROUNDS, the first of each left
out; the processor seconds are those of the process and do not count what it waited for. The first is to take no more
than 4 s on two cores. Run: `python benchmarks/without_torch.py FOLDER [ROUNDS]`, a minute and a half.
"""

import json
import os
import platform
import subprocess
import sys
import time
import venv
from collections.abc import Sequence
from datetime import date
from pathlib import Path
from statistics import median
from typing import NamedTuple

from dscost.foreign.processor import cpu_name
from dscost.timing.machine import load

ROOT = Path(__file__).parent.parent
LAYER = ["layer", "256", "256", "3", "--json"]
BY_ONNXRUNTIME = [*LAYER, "--runtime", "onnxruntime"]
LIMIT_S = 4.0
WITHOUT, BESIDE, TORCH = "no torch installed", "torch installed", "torch, which runs it"


class Took(NamedTuple):
    """One process: seconds on the wall and of the processor, and the speedup that it found."""

    wall_s: float
    cpu_s: float
    speedup: float


def environment(folder: Path) -> Path:
    """Return the program of an environment without torch, made where it is not there."""
    program = folder / "bin" / "dscost"
    if not program.exists():
        venv.EnvBuilder(with_pip=True).create(folder)
        wanted = ["-c", str(ROOT / "constraints.txt"), f"{ROOT}[onnxruntime]"]
        pip = [str(folder / "bin" / "python"), "-m", "pip", "install", "-q", *wanted]
        subprocess.run(pip, check=True)
    return program


def took(program: Path, words: Sequence[str]) -> Took:
    """Run a process to its end."""
    before, cpu_before = time.perf_counter(), os.times()
    ran = subprocess.run([program, *words], capture_output=True, text=True, check=True)
    wall_s, cpu = time.perf_counter() - before, os.times()
    cpu_s = sum(cpu[at] - cpu_before[at] for at in (2, 3))  # of children, in user and system mode
    (timing,) = json.loads(ran.stdout)["subjects"][0]["latency"].values()
    return Took(wall_s, cpu_s, timing["speedup"]["median"])


def main(folder: str, rounds: int) -> bool:
    """Print the table and return whether the limit is exceeded."""
    # a program that may not keep its bytecode compiles its modules at each of its starts
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    light, own = environment(Path(folder)), Path(sys.executable).parent / "dscost"
    commands = {
        WITHOUT: (light, BY_ONNXRUNTIME),
        BESIDE: (own, BY_ONNXRUNTIME),
        TORCH: (own, [*LAYER, "--memory-format", "contiguous"]),
    }
    found: dict[str, list[Took]] = {name: [] for name in commands}
    loads = [load()]
    for _ in range(rounds):
        for name, command in commands.items():
            found[name].append(took(*command))
        loads.append(load())
    told = ", ".join(f"{one:.1f}" for one in loads if one is not None)
    print(
        f"{date.today()}, {cpu_name()}, {os.cpu_count()} cores, Python {platform.python_version()}, "
        f"{rounds} rounds, load {told}\n"
    )
    print("| environment | wall | processor | speedup of separable |\n| :-- | --: | --: | --: |")
    walls: dict[str, float] = {}
    for name, several in found.items():
        kept = several[1:] or several
        wall_s, cpu_s, _ = map(median, zip(*kept, strict=True))
        walls[name] = wall_s
        speedups = ", ".join(f"{one.speedup:.2f}" for one in kept)
        print(f"| {name} | {wall_s:.2f} s | {cpu_s:.2f} s | {speedups} |")
    over = walls[WITHOUT] > LIMIT_S
    print(f"\n{WITHOUT}: {walls[WITHOUT]:.2f} s (limit {LIMIT_S:g} s{', exceeded' * over})")
    return over


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 7))
