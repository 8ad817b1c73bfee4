"""What a budget can limit: the figures of a report, with the unit each is written in."""

from collections.abc import Mapping
from fractions import Fraction
from typing import NamedTuple

from dscost.reports.records import COST_FIGURES, Cost, Report


class Metric(NamedTuple):
    """A figure that a budget can limit.

    Args:
        kind: How it is written: a key of `dscost.notation.quantities.QUANTITIES`.
        of_layers: Whether layers have it too, and it adds up.
        measured: Whether it comes from a clock, and has noise.
        excludable: Whether layers that do not count can be taken off that of the whole model.
    """

    kind: str
    of_layers: bool = True
    measured: bool = False
    excludable: bool = True


METRICS: Mapping[str, Metric] = {
    "params": Metric("count"),
    "macs": Metric("count"),
    "flops": Metric("count"),
    "weight_bytes": Metric("bytes"),
    "input_bytes": Metric("bytes", excludable=False),
    "output_bytes": Metric("bytes", excludable=False),
    "traffic_bytes": Metric("bytes"),
    "flops_per_byte": Metric("factor"),
    "peak_activation_bytes": Metric("bytes", of_layers=False, excludable=False),
    "latency_s": Metric("seconds", of_layers=False, measured=True, excludable=False),
}

STATIC = tuple(name for name, metric in METRICS.items() if not metric.measured)
"""The figures of a model that a baseline knows."""

OF_LAYERS = ("params", "macs", "flops")
"""The figures of a layer that it knows."""


def cost_figure(cost: Cost, metric: str) -> Fraction | None:
    """Return an exact figure of a cost; `None` where it has none of it."""
    if metric == "flops_per_byte":
        return Fraction(cost.flops, cost.traffic_bytes) if cost.traffic_bytes else None
    value: int = getattr(cost, metric)
    return Fraction(value)


def model_figure(report: Report, cost: Cost, metric: str) -> Fraction | None:
    """Return a figure of a whole model; `None` where it is unknown.

    Args:
        report: Of the model.
        cost: Its totals, without what the budget excludes.
        metric: A key of `METRICS`.
    """
    if metric == "peak_activation_bytes":
        peak = report.peak_activation_bytes
        return None if peak is None else Fraction(peak)
    if metric == "latency_s":
        timing = report.timing
        # as it is written, so that 0.012 is 12 ms
        return Fraction(str(timing.as_is.median_s)) if timing and timing.as_is else None
    assert metric in COST_FIGURES
    return cost_figure(cost, metric)
