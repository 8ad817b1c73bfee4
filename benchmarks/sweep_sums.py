"""Does a latency table add up? The layers of a model, each timed alone, summed up beside the model timed whole.

Method: every distinct layer and the whole, each in turns with the reference layer, in a shuffled order (what
`dscost sweep --layers-of MODEL --time` does), one thread. Under torch each layer is timed twice: as copies that take
turns on one input, so that it finds of its weights what a pass of the model leaves in the caches and its input as if it
was just written, and alone in a loop, where it finds all. Under other runtimes the kernels that they ran of layers and whole are told beside, with their own
clock. Run: `python benchmarks/sweep_sums.py [MODEL …]`; a few minutes.
"""

import platform
import sys
from collections.abc import Iterator
from datetime import date

from dscost.foreign.processor import cpu_name
from dscost.pages.sweep_sums import lines_of_sum
from dscost.runtimes import RUNTIMES, TORCH
from dscost.sweeping.layer_sweep import find_layers
from dscost.sweeping.model_layers import ModelLayers
from dscost.sweeping.records import Sum
from dscost.sweeping.timed_sweep import timed_sweep
from dscost.timing import TimingOptions
from dscost.timing.machine import load

MODELS = ("mobilenet_v2", "mobilenet_v3_small", "resnet18")
FIRST = "mobilenet_v2"
"""Whose sum has to be within `BAR` of the whole under torch."""
BAR = 0.10
WANTED = (TORCH, "onnxruntime", "openvino")
ROUNDS = 3


def alone(model: ModelLayers) -> ModelLayers:
    """Return a model whose layers are timed in a loop, each finding in the caches all that it uses."""
    layers = [
        case._replace(units=tuple(unit._replace(between_elements=0) for unit in case.units))
        for case in model.layers
    ]
    return model._replace(layers=tuple(layers))


def measured(name: str, runtimes: tuple[str, ...]) -> Iterator[tuple[str, Sum]]:
    """Yield how layers were called, and their sum."""
    model = find_layers(name)
    if TORCH in runtimes:
        loop = TimingOptions(threads=1)
        for found in timed_sweep(alone(model), loop).sums:
            yield "in a loop", found
    for found in timed_sweep(model, TimingOptions(threads=1, runtimes=runtimes)).sums:
        yield "in turns" if found.where.runtime == TORCH else "", found


def main() -> None:
    """Print a table for each model, and the reasons below it."""
    runtimes = tuple(name for name in WANTED if name == TORCH or not RUNTIMES[name].missing)
    versions = {key: value for name in runtimes for key, value in RUNTIMES[name].versions.items()}
    told = ", ".join(f"{name} {version}" for name, version in versions.items())
    print(
        f"{date.today()}, {cpu_name()}, one thread, {told}, Python {platform.python_version()}, load {load()}\n"
    )
    worst = 0.0
    for name in sys.argv[1:] or MODELS:
        print("| model | runtime | layers | sum | whole | sum over whole, less 1 | 95 % interval |")
        print("| :-- | :-- | :-- | --: | --: | --: | :-- |")
        reasons = {}
        for _ in range(ROUNDS):
            for how, one in measured(name, runtimes):
                low, high = one.ci95
                print(
                    f"| {name} | {one.where.runtime} | {how} | {one.sum_s * 1e3:.2f} ms | {one.whole_s * 1e3:.2f} ms | "
                    f"{one.gap:+.1%} | {low:+.1%} to {high:+.1%} |",
                    flush=True,
                )
                if name == FIRST and how == "in turns":
                    worst = max(worst, abs(one.gap))
                reasons[one.where.runtime] = list(lines_of_sum(one))
        for lines in reasons.values():
            print("", *(f"- {line}" for line in lines), sep="\n")
        print(flush=True)
    if worst:
        print(
            f"{FIRST} under torch: off by {worst:.1%} at most, the bar is {BAR:.0%}: {verdict(worst)}"
        )


def verdict(worst: float) -> str:
    """Return whether the bar is met."""
    return "met" if worst <= BAR else "missed"


if __name__ == "__main__":
    main()
