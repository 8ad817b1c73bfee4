"""The rows of reports: every figure of every layer and variant, exact."""

from collections.abc import Iterator, Sequence
from typing import Any

from dscost.layers.convolution import Shape
from dscost.layers.variants import SEPARABLE, STANDARD
from dscost.pages.page import known
from dscost.reports.figures import COST_FIGURES, Cost
from dscost.reports.records import Latency, Layer, Report, Speedup, Timing

CSV_COLUMNS = (
    *("target", "layer", "type", "op", "variant", "stage", "calls", "input_shape", "output_shape"),
    *(*COST_FIGURES, "reduction", "setting"),
    *("latency_median_s", "latency_ci95_low_s", "latency_ci95_high_s", "latency_samples"),
    *("speedup_median", "speedup_ci95_low", "speedup_ci95_high", "verdict"),
)


def rows_of(reports: Sequence[Report]) -> Iterator[dict[str, Any]]:
    """Yield one row per layer and variant, and per stage of a variant.

    Rows of variant `as_is` without a stage add up to the model.
    """
    for report in reports:
        for layer in report.layers:
            yield from _layer_rows(report, layer)


def _layer_rows(report: Report, layer: Layer) -> Iterator[dict[str, Any]]:
    setting, timing = next(iter(layer.latency.items()), ("", Timing()))
    whole = {
        "target": report.target,
        "layer": layer.name,
        "type": layer.type,
        "op": layer.op,
        "calls": layer.calls,
        "setting": setting,
    }
    ends = _ends(layer.input_shape, layer.output_shape)
    yield {**whole, **ends, "variant": "as_is", **_figures(layer.cost, timing.as_is)}
    for name, cost in layer.variants.items():
        whole["variant"] = name
        ends = _ends(layer.input_shape, layer.stages[name][-1].output_shape)
        row = {**whole, **ends, **_figures(cost, timing.of(name))}
        if name != STANDARD:
            speedup = timing.speedup_of(name)
            verdict = speedup.verdict if speedup else None
            row |= {"reduction": layer.reduction_of(name).macs, **_speedup(speedup)}
            row["verdict"] = layer.verdict if name == SEPARABLE else verdict
        yield known(row)
        for stage in layer.parts_of(name):
            ends = _ends(stage.input_shape, stage.output_shape)
            figures = _figures(stage.cost, timing.part(name, stage.name))
            yield {**whole, **ends, "stage": stage.name, **figures}


def _ends(inputs: Shape, output: Shape) -> dict[str, str]:
    return {"input_shape": "x".join(map(str, inputs)), "output_shape": "x".join(map(str, output))}


def _figures(cost: Cost, latency: Latency | None) -> dict[str, Any]:
    figures = cost.to_dict()
    if latency:
        figures |= {"latency_median_s": latency.median_s, "latency_samples": latency.samples}
        if latency.ci95_s:
            figures["latency_ci95_low_s"], figures["latency_ci95_high_s"] = latency.ci95_s
    return known(figures)


def _speedup(speedup: Speedup | None) -> dict[str, float]:
    if speedup is None:
        return {}
    low, high = speedup.ci95
    return {"speedup_median": speedup.median, "speedup_ci95_low": low, "speedup_ci95_high": high}
