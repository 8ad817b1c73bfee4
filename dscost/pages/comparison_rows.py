"""The rows of comparisons: a model each, or a layer each where those are asked for."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from dscost.comparing.differences import (
    METRICS,
    Comparison,
    Contender,
    Difference,
    Versus,
    metrics_of,
)
from dscost.pages.page import known

_PARTS = ("_reference", "", "_change")

CSV_COLUMNS = (
    *("reference", "model", "what", "setting", "reference_layer", "layer", "type"),
    *(f"{metric}{part}" for metric in (*METRICS, "latency_s") for part in _PARTS),
    *("latency_ci95_low_s", "latency_ci95_high_s", "latency_samples", "throughput_per_s"),
    *("speedup_median", "speedup_ci95_low", "speedup_ci95_high", "verdict"),
)


def columns_of(comparison: Comparison) -> Sequence[str]:
    """Return the columns of the rows: those of every comparison, and of its conventions."""
    further = set(metrics_of(one.report for one in comparison.contenders)) - set(METRICS)
    return (*CSV_COLUMNS, *(f"{metric}{part}" for metric in sorted(further) for part in _PARTS))


def rows_of(comparison: Comparison) -> Iterator[dict[str, Any]]:
    """Yield a row for each model, the reference first; where layers were asked for, those instead.

    A model that was timed under further settings has a row more for each, with its latency only.
    """
    if comparison.layers:
        for versus in comparison.versus:
            labels = {"reference": comparison.reference.label, "model": versus.label}
            yield from ({**labels, **row} for row in _layer_rows(comparison, versus))
        return
    reference, *others = comparison.contenders
    own = {metric: reference.figure(metric) for metric in metrics_of([reference.report])}
    first = {"model": reference.label, "what": "reference", **known(own)}
    yield from _with_latencies(reference, first, None)
    for one, versus in zip(others, comparison.versus, strict=True):
        row = {"reference": reference.label, "model": one.label, "what": "total"}
        yield from _with_latencies(one, {**row, **_figures(versus.totals)}, versus)


def _with_latencies(
    one: Contender, row: dict[str, Any], versus: Versus | None
) -> Iterator[dict[str, Any]]:
    """Yield the row of a model with its first latency, and a row for each further one."""
    whole = row
    labels: dict[str, Any] = {key: row[key] for key in ("reference", "model") if key in row}
    differences = {each.setting: each for each in versus.latencies} if versus else {}
    for setting, latency in one.latencies.items():
        cells: dict[str, Any] = {"setting": setting, "latency_s": latency.median_s}
        if setting in differences:
            cells |= _figures([differences[setting]])
        if latency.ci95_s:
            cells["latency_ci95_low_s"], cells["latency_ci95_high_s"] = latency.ci95_s
        cells |= {"latency_samples": latency.samples, "throughput_per_s": one.per_s(setting)}
        speedup = versus.speedups.get(setting) if versus else None
        if speedup:
            cells["speedup_median"], cells["verdict"] = speedup.median, speedup.verdict
            cells["speedup_ci95_low"], cells["speedup_ci95_high"] = speedup.ci95
        yield {**row, **cells}
        row = {**labels, "what": "latency"}
    if row is whole:
        yield whole


def _layer_rows(comparison: Comparison, versus: Versus) -> Iterator[dict[str, Any]]:
    for pair in comparison.layers_of(versus):
        yield {
            "what": pair.status,
            "reference_layer": pair.reference.name if pair.reference else "",
            "layer": pair.other.name if pair.other else "",
            "type": pair.layer.type,
            **_figures(map(pair.difference, pair.metrics)),
        }


def _figures(found: Iterable[Difference]) -> dict[str, float]:
    cells: dict[str, float | None] = {}
    for one in found:
        figures = (one.reference, one.value, one.change)
        cells |= {f"{one.metric}{part}": value for part, value in zip(_PARTS, figures, strict=True)}
    return known(cells)
