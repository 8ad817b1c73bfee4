"""FasterNet's ten-layer case: depthwise against dense convolutions, 96 times fewer MACs.

Method: ten 3×3 convolutions of 96 channels on 56×56, dense and depthwise, batch 1, random weights, one thread, both
memory formats; the engine of `dscost.timing`, interleaved. MACs are counted by `dscost.analyze`. The published
speedups are 4.0 on an RTX 2080 Ti, 9.9 on one thread of an i9-9900K and 7.2 on a Cortex-A72 (Chen et al. 2023, Run,
Don't Walk, table 1). Run: `python benchmarks/fasternet.py`.
"""

import platform
from collections.abc import Iterator
from datetime import date

import torch
from torch import nn

import dscost
from dscost.foreign.processor import cpu_name
from dscost.timing.counters import process_counters
from dscost.timing.cuda import CudaTimer
from dscost.timing.engine import Case, compare
from dscost.timing.machine import keep_freed_memory, load
from dscost.timing.quiet_torch import quiet_torch
from dscost.timing.statistics import speedup_of, summarize

CHANNELS, SIZE, LAYERS = 96, 56, 10


def ten_layers(groups: int) -> nn.Module:
    """Return ten convolutions, one after the other."""
    convs = (
        nn.Conv2d(CHANNELS, CHANNELS, 3, padding=1, groups=groups, bias=False)
        for _ in range(LAYERS)
    )
    return nn.Sequential(*convs).eval().requires_grad_(False)


def lines(device: str = "cpu", batch: int = 1) -> Iterator[str]:
    """Yield the lines of the table."""
    shape = (batch, CHANNELS, SIZE, SIZE)
    dense_macs, depthwise_macs = (
        dscost.analyze(ten_layers(groups), input=shape).totals.as_is.macs
        for groups in (1, CHANNELS)
    )
    fewer = dense_macs / depthwise_macs
    yield f"{dense_macs:,} MACs dense, {depthwise_macs:,} depthwise: {fewer:g} times fewer.\n"
    yield "| memory format | dense | depthwise | times faster [95 %] |\n| :-- | --: | --: | --: |"
    timer = CudaTimer() if device == "cuda" else None
    for name, layout in (
        ("contiguous", torch.contiguous_format),
        ("channels_last", torch.channels_last),
    ):
        sides = [ten_layers(groups).to(device, memory_format=layout) for groups in (1, CHANNELS)]
        x = torch.randn(shape, device=device).to(memory_format=layout)
        case = Case(name, lambda: sides[0](x), lambda: sides[1](x), timer)  # noqa: B023 - called before the next turn
        (result,) = compare([case], budget_s=20.0, counters=process_counters())
        dense, depthwise, speedup = (
            summarize(result.first_s),
            summarize(result.second_s),
            speedup_of(result.log_ratios),
        )
        low, high = speedup.ci95
        yield (
            f"| {name} | {dense.median_s * 1e3:.2f} ms | {depthwise.median_s * 1e3:.2f} ms | "
            f"{speedup.median:.1f} [{low:.1f}, {high:.1f}] |"
        )


def main() -> None:
    """Print the table."""
    keep_freed_memory()
    print(
        f"{date.today()}, {cpu_name()}, torch {torch.__version__}, Python {platform.python_version()}, load {load()}\n"
    )
    with quiet_torch(1, 0):
        for line in lines():
            print(line)


if __name__ == "__main__":
    main()
