"""The rows of reports: every figure of every layer and variant, exact."""

from collections.abc import Iterator, Sequence
from typing import Any

from dscost.layers.variants import SEPARABLE, STANDARD
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
        "input_shape": _shape(layer.input_shape),
        "output_shape": _shape(layer.output_shape),
        "setting": setting,
    }
    yield {**whole, "variant": "as_is", **_cost(layer.cost), **_latency(timing.as_is)}
    for name, cost in layer.variants.items():
        output_shape = {"output_shape": _shape(layer.stages[name][-1].output_shape)}
        row = {**whole, **output_shape, "variant": name, **_cost(cost), **_latency(timing.of(name))}
        if name != STANDARD:
            speedup = timing.speedup_of(name)
            verdict = speedup.verdict if speedup else None
            if name == SEPARABLE:
                verdict = layer.verdict
            row |= {"reduction": layer.reduction_of(name).macs, **_speedup(speedup)}
            row["verdict"] = verdict
        yield row
        stages = layer.stages[name]
        for stage in stages if len(stages) > 1 else ():
            yield {
                **whole,
                "input_shape": _shape(stage.input_shape),
                "output_shape": _shape(stage.output_shape),
                "variant": name,
                "stage": stage.name,
                **_cost(stage.cost),
                **_latency(timing.part(name, stage.name)),
            }


def _cost(cost: Cost) -> dict[str, Any]:
    return {name: "" if value is None else value for name, value in cost.to_dict().items()}


def _latency(latency: Latency | None) -> dict[str, Any]:
    if latency is None:
        return {}
    low, high = latency.ci95_s or ("", "")
    return {
        "latency_median_s": latency.median_s,
        "latency_ci95_low_s": low,
        "latency_ci95_high_s": high,
        "latency_samples": latency.samples,
    }


def _speedup(speedup: Speedup | None) -> dict[str, Any]:
    if speedup is None:
        return {}
    low, high = speedup.ci95
    return {"speedup_median": speedup.median, "speedup_ci95_low": low, "speedup_ci95_high": high}


def _shape(shape: tuple[int, ...]) -> str:
    return "x".join(map(str, shape))
