"""How far the prediction of a layer's time is from its measurement, and whether anything beats the roofline.

Method: one process, one thread; 18 convolutions from stems to 7×7 and their depthwise-separable variants, in both
layouts. Each round measures the ceilings anew, predicts every layer, then times standard against separable with
`dscost.timing.engine` (interleaved blocks, 1 s a layer). The error of a prediction is the factor by which it is
off, either way; a table shows its geometric mean over the layers, and the median over the rounds. `plain` is the
roofline alone, `calibrated` the prediction that `dscost layer` shows. A layer that ran more than 3 % faster than
its roofline is warned of. Run: `python benchmarks/prediction.py [ROUNDS]`.
"""

import platform
import sys
from collections.abc import Iterable, Sequence
from datetime import date
from math import exp, log
from statistics import fmean, median
from time import perf_counter
from typing import NamedTuple

import torch

from dscost.analysis import count_layer
from dscost.devices.roofline import Ceilings, Prediction, predict
from dscost.foreign.processor import cpu_name
from dscost.modules.building import build_stages, placed, random_input
from dscost.reports.records import Layer, Stage
from dscost.timing.calibration import measured
from dscost.timing.engine import Call, Case, compare
from dscost.timing.live_device import live_device
from dscost.timing.machine import keep_freed_memory, load
from dscost.timing.quiet_torch import quiet_torch

SHAPES = [  # channels in and out, kernel, stride, size
    (3, 32, 3, 2, 224),
    (3, 32, 3, 1, 224),
    (32, 64, 3, 1, 112),
    (64, 64, 3, 1, 56),
    (64, 128, 3, 2, 56),
    (96, 96, 3, 1, 56),
    (48, 96, 5, 2, 56),
    (64, 64, 7, 1, 56),
    (128, 128, 3, 1, 28),
    (128, 256, 3, 2, 28),
    (192, 192, 5, 1, 28),
    (256, 256, 3, 1, 14),
    (240, 240, 5, 1, 14),
    (256, 512, 3, 2, 14),
    (512, 512, 3, 1, 14),
    (512, 512, 3, 1, 7),
    (512, 1024, 3, 2, 14),
    (1024, 1024, 3, 1, 7),
]
LAYOUTS = ("contiguous", "channels_last")
SECONDS_PER_LAYER = 1.0
OVER = 1.03


class Found(NamedTuple):
    """One variant of one layer in one layout."""

    layer: Layer
    variant: str
    layout: str
    prediction: Prediction
    measured_s: float


def call_of(stages: Sequence[Stage], layout: str) -> Call:
    """Return what runs the stages on a random input."""
    settings = {"device": "cpu", "dtype": "float32", "memory_format": layout}
    module = placed(build_stages([(stage.name, stage.conv) for stage in stages]), **settings)
    x = random_input(stages[0].input_shape, **settings)
    return lambda: module(x)


def one_round(layers: Sequence[Layer]) -> tuple[Ceilings, float, list[Found]]:
    """Return the ceilings, the seconds that they took, and what was predicted and measured of every layer."""
    with quiet_torch(threads=1, seed=0):
        before = perf_counter()
        ceilings = measured(live_device("cpu", "float32", 1, perf_counter), LAYOUTS)
        took_s = perf_counter() - before
        both = [(layer, layout) for layout in LAYOUTS for layer in layers]
        cases = [
            Case(layer.name, *(call_of(stages, layout) for stages in layer.stages.values()))
            for layer, layout in both
        ]
        results = compare(cases, budget_s=SECONDS_PER_LAYER * len(cases))
    found = []
    for (layer, layout), result in zip(both, results, strict=True):
        for (variant, stages), times in zip(
            layer.stages.items(), (result.first_s, result.second_s), strict=True
        ):
            found.append(
                Found(
                    layer,
                    variant,
                    layout,
                    predict(stages, ceilings, memory_format=layout),
                    median(times),
                )
            )
    return ceilings, took_s, found


def mean_error(ratios: Iterable[float]) -> float:
    """Return the geometric mean of the factors by which predictions are off."""
    return exp(fmean(abs(log(ratio)) for ratio in ratios))


def errors(found: Sequence[Found]) -> dict[tuple[str, str, str], float]:
    """Return the mean error by method, layout and what is predicted."""
    table = {}
    for layout in LAYOUTS:
        own = [one for one in found if one.layout == layout]
        for method in ("plain", "calibrated"):
            ratios = [seconds(one, method) / one.measured_s for one in own]
            standard, separable = ratios[::2], ratios[1::2]
            table[method, layout, "standard"] = mean_error(standard)
            table[method, layout, "separable"] = mean_error(separable)
            table[method, layout, "speedup"] = mean_error(
                a / b for a, b in zip(standard, separable, strict=True)
            )
    return table


def seconds(one: Found, method: str) -> float:
    """Return the time that a method predicts."""
    predicted_s = one.prediction.roofline_s if method == "plain" else one.prediction.predicted_s
    assert predicted_s is not None
    return predicted_s


def describe(in_channels: int, out_channels: int, kernel: int, stride: int, size: int) -> str:
    """Return a layer in a few characters."""
    step = "" if stride == 1 else f"/{stride}"
    return f"{in_channels}→{out_channels}, {kernel}×{kernel}{step} at {size}"


def main(rounds: int) -> None:
    """Print the tables."""
    keep_freed_memory()
    layers = [
        count_layer(in_channels=m, out_channels=n, kernel_size=k, stride=s, input_size=size).layers[
            0
        ]
        for m, n, k, s, size in SHAPES
    ]
    print(
        f"{date.today()}, {cpu_name()}, one thread, torch {torch.__version__}, Python {platform.python_version()}"
    )
    print(f"load before {load()}\n")
    tables, everything = [], []
    for number in range(rounds):
        ceilings, took_s, found = one_round(layers)
        tables.append(errors(found))
        everything.append(found)
        print(
            f"round {number + 1}: {ceilings.flops_per_s / 1e9:.0f} GFLOP/s, {ceilings.bytes_per_s / 1e9:.1f} GB/s,"
            f" measured in {took_s:.2f} s; calibrated error"
            f" {mean_error(seconds(one, 'calibrated') / one.measured_s for one in found):.2f}",
            flush=True,
        )
        for one in found:
            over = one.prediction.roofline_s / one.measured_s
            if over > OVER:
                shape_text = describe(*SHAPES[layers.index(one.layer)])
                print(
                    f"WARNING: {shape_text}, {one.variant}, {one.layout}: {over:.3f} times as fast as its roofline"
                )
    print(
        "\n| error, geometric mean | layout | standard | separable | speedup |\n| :-- | :-- | --: | --: | --: |"
    )
    for method in ("plain", "calibrated"):
        for layout in LAYOUTS:
            cells = (
                f"{median(table[method, layout, what] for table in tables):.2f}"
                for what in ("standard", "separable", "speedup")
            )
            print(f"| {method} | {layout} | {' | '.join(cells)} |")
    print(
        "\n| layer | layout | standard | predicted | separable | predicted | speedup | predicted |"
    )
    print("| :-- | :-- | --: | --: | --: | --: | --: | --: |")
    last = everything[-1]
    for shape, standard, separable in zip(SHAPES * 2, last[::2], last[1::2], strict=True):
        measured_s = [standard.measured_s, separable.measured_s]
        predicted_s = [seconds(standard, "calibrated"), seconds(separable, "calibrated")]
        times = [
            f"{t * 1e6:.0f} µs" for pair in zip(measured_s, predicted_s, strict=True) for t in pair
        ]
        ratios = [f"{a / b:.2f}" for a, b in (measured_s, predicted_s)]
        print(f"| {describe(*shape)} | {standard.layout} | {' | '.join([*times, *ratios])} |")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 5)
