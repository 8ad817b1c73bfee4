"""The rows of comparisons: every figure of every model and layer beside that of the reference."""

from collections.abc import Iterable, Iterator
from typing import Any

from dscost.comparing.differences import LAYER_METRICS, METRICS, Comparison, Difference, Versus
from dscost.pages.page import known

_PARTS = ("_reference", "", "_change")

CSV_COLUMNS = (
    *("reference", "model", "what", "setting", "reference_layer", "layer", "type"),
    *(f"{metric}{part}" for metric in (*METRICS, "latency_s") for part in _PARTS),
)


def rows_of(comparison: Comparison) -> Iterator[dict[str, Any]]:
    """Yield a row for each whole model, latency and layer."""
    for versus in comparison.versus:
        labels = {"reference": comparison.reference.label, "model": versus.label}
        yield from ({**labels, **row} for row in _rows(comparison, versus))


def _rows(comparison: Comparison, versus: Versus) -> Iterator[dict[str, Any]]:
    yield {"what": "total", **_figures(versus.totals)}
    for one in versus.latencies:
        yield {"what": "latency of separate runs", "setting": one.setting, **_figures([one])}
    for pair in comparison.layers_of(versus):
        yield {
            "what": pair.status,
            "reference_layer": pair.reference.name if pair.reference else "",
            "layer": pair.other.name if pair.other else "",
            "type": pair.layer.type,
            **_figures([pair.difference(metric) for metric in LAYER_METRICS]),
        }


def _figures(found: Iterable[Difference]) -> dict[str, float]:
    cells: dict[str, float | None] = {}
    for one in found:
        figures = (one.reference, one.value, one.change)
        cells |= {f"{one.metric}{part}": value for part, value in zip(_PARTS, figures, strict=True)}
    return known(cells)
