"""The rows of reports, every figure exact: a layer each of a model, a variant each of a layer.

The rows of a model add up: the sum of a column of figures is the total that is printed.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from dscost.layers.convolution import Shape
from dscost.layers.variants import BOTH_WAYS, SEPARABLE, STANDARD, VERSIONS
from dscost.pages.conventions import of_version, outside_layers
from dscost.pages.layer_table import IN_NO_LAYER, costs_in_versions
from dscost.pages.page import View, known
from dscost.reports.figures import COST_FIGURES, SUMMED, Cost, metric_of, summed
from dscost.reports.records import Latency, Layer, Report, Speedup, Stage, Timing

CSV_COLUMNS = (
    *("target", "layer", "type", "op", "variant", "stage", "calls", "input_shape", "output_shape"),
    *COST_FIGURES,
    *(f"{figure}_{version}" for version in BOTH_WAYS for figure in SUMMED),
    *("peak_activation_bytes", "reduction", "setting"),
    *("latency_median_s", "latency_ci95_low_s", "latency_ci95_high_s", "latency_samples"),
    *(f"latency_{version}_s" for version in BOTH_WAYS),
    *("speedup_median", "speedup_ci95_low", "speedup_ci95_high", "verdict"),
)
_OF_VERSIONS = ("", *(f"_{version}" for version in BOTH_WAYS))
SHARED = "(shared weights)"
"""The row of what layers have in common: it stands with each of them, and the whole has it once."""

_Cells = dict[str, Any]


def columns_of(reports: Iterable[Report]) -> Sequence[str]:
    """Return the columns of the rows of reports: those of every one, and of their conventions."""
    names = dict.fromkeys(name for report in reports for name in report.by_convention)
    keys = [f"{metric_of(name)}{version}" for name in names for version in _OF_VERSIONS]
    return (*CSV_COLUMNS, *keys) if keys else CSV_COLUMNS


def rows_of(reports: Sequence[Report], view: View) -> Iterator[_Cells]:
    """Yield the rows that a view asks for: the totals instead of layers, or stages as well."""
    for report in reports:
        if view.totals:
            yield _total_row(report)
            yield from _further_totals(report)
        elif report.source == "layer":
            for layer in report.layers:
                yield from _variant_rows(report, layer, stages=view.stages)
        else:
            yield from _layer_rows(report, stages=view.stages)


# -- a model


def _layer_rows(report: Report, *, stages: bool) -> Iterator[_Cells]:
    """Yield a row for each layer, as it is and with its part of both pure versions."""
    parts = [
        {**dict.fromkeys(VERSIONS, layer.cost), **costs_in_versions(layer, report.skipped)}
        for layer in report.layers
    ]
    for layer, part in zip(report.layers, parts, strict=True):
        timing, whole = layer.timing or Timing(), _labels(report, layer)
        yield {
            **whole,
            **_ends(layer.input_shape, layer.output_shape),
            "variant": "as_is",
            **_figures(layer.cost, timing.as_is),
            **_in_versions(part),
            **_by_convention(layer.by_convention),
            **_compared(layer, timing, SEPARABLE),
        }
        for name in layer.variants if stages else ():
            for stage in layer.parts_of(name):
                yield _stage_row({**whole, "variant": name}, stage, timing)
    yield from _shared_row(report, parts)
    elsewhere = outside_layers(report) if report.by_convention else {}
    if elsewhere:
        cells = _by_convention(elsewhere)
        yield {"target": report.target, "layer": IN_NO_LAYER, "variant": "as_is", **cells}


def _shared_row(report: Report, parts: Sequence[Mapping[str, Cost]]) -> Iterator[_Cells]:
    """Yield what the layers have too much or too little of, where they share weights."""
    cells: _Cells = {}
    for version in VERSIONS:
        total = getattr(report.totals, version)
        of_layers = summed(part[version] for part in parts)
        suffix = "" if version == "as_is" else f"_{version}"
        for figure in SUMMED:
            whole, found = getattr(total, figure), getattr(of_layers, figure)
            if whole is not None and found is not None:
                cells[f"{figure}{suffix}"] = whole - found
    if any(cells.values()):
        yield {"target": report.target, "layer": SHARED, "variant": "as_is", **cells}


def _total_row(report: Report) -> _Cells:
    """Return the row of a whole model, or of a single layer."""
    totals, timing = report.totals, report.timing or Timing()
    cells = {
        "target": report.target,
        "variant": "as_is",
        **_figures(totals.as_is, timing.as_is),
        **_in_versions({name: getattr(totals, name) for name in VERSIONS}),
        **_by_convention(of_version(report, "as_is")),
        **_by_convention(of_version(report, STANDARD), f"_{STANDARD}"),
        **_by_convention(of_version(report, SEPARABLE), f"_{SEPARABLE}"),
        "peak_activation_bytes": report.peak_activation_bytes,
        "reduction": totals.reduction.macs,
        "setting": next(iter(report.latency), ""),
        **_latencies(timing),
        **_speedup(timing.speedup),
    }
    if timing.speedup:
        cells["verdict"] = timing.speedup.verdict
    return known(cells)


def _further_totals(report: Report) -> Iterator[_Cells]:
    """Yield the times of the whole under every setting but the first, a row each."""
    for setting, timing in list(report.latency.items())[1:]:
        row: _Cells = {"target": report.target, "variant": "as_is", "setting": setting}
        row |= _times(timing.as_is) if timing.as_is else {}
        row |= {**_latencies(timing), **_speedup(timing.speedup)}
        yield row | ({"verdict": timing.speedup.verdict} if timing.speedup else {})


def _in_versions(costs: Mapping[str, Cost]) -> _Cells:
    """Return the figures of both pure versions that add up."""
    cells = {
        f"{figure}_{version}": getattr(costs[version], figure)
        for version in BOTH_WAYS
        for figure in SUMMED
    }
    return known(cells)


def _by_convention(amounts: Mapping[str, int], suffix: str = "") -> _Cells:
    """Return what is counted by conventions, of a version that has a suffix."""
    return {f"{metric_of(name)}{suffix}": amount for name, amount in amounts.items()}


# -- a layer


def _variant_rows(report: Report, layer: Layer, *, stages: bool) -> Iterator[_Cells]:
    """Yield a row for a layer as it is, and one for each of its variants."""
    timing, whole = layer.timing or Timing(), _labels(report, layer)
    ends = _ends(layer.input_shape, layer.output_shape)
    as_is = _by_convention(of_version(report, "as_is"))
    yield {**whole, **ends, "variant": "as_is", **_figures(layer.cost, timing.as_is), **as_is}
    for name, cost in layer.variants.items():
        own = {**whole, "variant": name}
        ends = _ends(layer.input_shape, layer.stages[name][-1].output_shape)
        row = {**own, **ends, **_figures(cost, timing.of(name))}
        row |= _by_convention(of_version(report, name))
        yield row if name == STANDARD else {**row, **_compared(layer, timing, name)}
        for stage in layer.parts_of(name) if stages else ():
            yield _stage_row(own, stage, timing)
    yield from _further_rows(report, layer)


def _further_rows(report: Report, layer: Layer) -> Iterator[_Cells]:
    """Yield the times of variants under every setting but the first, which is the counted one."""
    for setting, timing in list(layer.latency.items())[1:]:
        for name in layer.variants:
            latency, speedup = timing.of(name), timing.speedup_of(name)
            if latency is None:
                continue
            row = {**_labels(report, layer), "setting": setting, "variant": name}
            row |= _times(latency)
            if speedup is not None:
                row |= {**_latencies(timing), **_speedup(speedup), "verdict": speedup.verdict}
            yield row


# -- what both have


def _labels(report: Report, layer: Layer) -> _Cells:
    return {
        "target": report.target,
        "layer": layer.name,
        "type": layer.type,
        "op": layer.op,
        "calls": layer.calls,
        "setting": next(iter(layer.latency), ""),
    }


def _stage_row(labels: _Cells, stage: Stage, timing: Timing) -> _Cells:
    ends = _ends(stage.input_shape, stage.output_shape)
    figures = _figures(stage.cost, timing.part(labels["variant"], stage.name))
    return {**labels, **ends, "stage": stage.name, **figures}


def _compared(layer: Layer, timing: Timing, variant: str) -> _Cells:
    """Return how a variant of a layer stands to standard."""
    if variant not in layer.variants:
        return {}
    speedup = timing.speedup_of(variant)
    verdict = layer.verdict if variant == SEPARABLE else speedup and speedup.verdict
    return known(
        {
            "reduction": layer.reduction_of(variant).macs,
            **_latencies(timing),
            **_speedup(speedup),
            "verdict": verdict,
        }
    )


def _ends(inputs: Shape, output: Shape) -> dict[str, str]:
    return {"input_shape": "x".join(map(str, inputs)), "output_shape": "x".join(map(str, output))}


def _figures(cost: Cost, latency: Latency | None) -> _Cells:
    return known(cost.to_dict() | (_times(latency) if latency else {}))


def _times(latency: Latency) -> _Cells:
    times = {"latency_median_s": latency.median_s, "latency_samples": latency.samples}
    if latency.ci95_s:
        times["latency_ci95_low_s"], times["latency_ci95_high_s"] = latency.ci95_s
    return times


def _latencies(timing: Timing) -> _Cells:
    found = {name: timing.of(name) for name in BOTH_WAYS}
    return {f"latency_{name}_s": one.median_s for name, one in found.items() if one}


def _speedup(speedup: Speedup | None) -> dict[str, float]:
    if speedup is None:
        return {}
    low, high = speedup.ci95
    return {"speedup_median": speedup.median, "speedup_ci95_low": low, "speedup_ci95_high": high}
