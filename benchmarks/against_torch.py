"""The latency that dscost prints, held against `torch.utils.benchmark` on the same layer.

Method: five standard convolutions, one thread, the system's allocator on both sides. Each round runs
`dscost layer … --threads 1 --allocator system --memory-format contiguous --json` in a process of its own, then
`torch.utils.benchmark.Timer.blocked_autorange(min_run_time=1)` on the same convolution here; the median of the
ratios of five rounds is printed. Run: `python benchmarks/against_torch.py`.
"""

import json
import platform
import subprocess
import sys
from datetime import date
from statistics import median

import torch
from torch import nn
from torch.utils.benchmark import Timer

from dscost.foreign.processor import cpu_name
from dscost.timing.machine import load

LAYERS = [(64, 3, 56), (128, 3, 28), (256, 3, 14), (512, 3, 7), (1024, 3, 7)]
"""Channels in and out, kernel, size."""
ROUNDS = 5


def ours_s(channels: int, kernel: int, size: int) -> float:
    """Return the median that a process of dscost prints."""
    options = f"--cin {channels} --cout {channels} -k {kernel} --size {size} --threads 1 --allocator system --json"
    command = [
        sys.executable,
        "-m",
        "dscost",
        "layer",
        *options.split(),
        "--memory-format",
        "contiguous",
    ]
    report = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    return float(report["subjects"][0]["layers"][0]["latency"]["cpu"]["standard"]["median_s"])


def theirs_s(channels: int, kernel: int, size: int) -> float:
    """Return the median that torch's own timer finds."""
    conv = nn.Conv2d(channels, channels, kernel, padding=kernel // 2, bias=False).eval()
    x = torch.randn(1, channels, size, size)
    with torch.inference_mode():
        timer = Timer("f(x)", globals={"f": conv, "x": x}, num_threads=1)
        return float(timer.blocked_autorange(min_run_time=1.0).median)


def main() -> None:
    """Print the table."""
    print(
        f"{date.today()}, {cpu_name()}, torch {torch.__version__}, Python {platform.python_version()}, load {load()}\n"
    )
    print("| layer | dscost | torch.utils.benchmark | ratio, median of rounds | rounds |")
    print("| :-- | --: | --: | --: | :-- |")
    for layer in LAYERS:
        rounds = [(ours_s(*layer), theirs_s(*layer)) for _ in range(ROUNDS)]
        ratios = [ours / theirs for ours, theirs in rounds]
        ours, theirs = (median(side) for side in zip(*rounds, strict=True))
        channels, kernel, size = layer
        name = f"{channels}→{channels}, {kernel}×{kernel}, {size}×{size}"
        print(
            f"| {name} | {ours * 1e3:.3f} ms | {theirs * 1e3:.3f} ms | "
            f"{median(ratios):.3f} | {', '.join(f'{ratio:.2f}' for ratio in ratios)} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
