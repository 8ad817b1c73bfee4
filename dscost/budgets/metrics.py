"""The figures of a report as a budget judges them: exact, so that no limit is met by rounding."""

from collections.abc import Iterable, Sequence
from fractions import Fraction

from dscost.reports.figures import FIGURES, Cost, convention_of, summed
from dscost.reports.records import Layer, Report

STATIC = tuple(name for name, figure in FIGURES.items() if not figure.is_measured)
"""The figures of a model that a baseline knows."""

KEPT = tuple(name for name, figure in FIGURES.items() if figure.is_kept)
"""The figures of a whole model that a baseline keeps; the others follow from them."""

KEPT_OF_LAYERS = tuple(name for name, figure in FIGURES.items() if figure.is_kept_of_layers)

OF_LAYERS = (*KEPT_OF_LAYERS, "flops")
"""The figures of a layer that a baseline knows; FLOPs follow from MACs. It knows those by the
conventions that a budget names, too."""


def is_kept_of_layers(metric: str) -> bool:
    """Whether a baseline knows a figure of every layer."""
    return metric in OF_LAYERS or convention_of(metric) is not None


def cost_figure(cost: Cost, metric: str) -> Fraction | None:
    """Return an exact figure of a cost; `None` where it has none of it, or it is unknown."""
    if metric == "flops_per_byte":
        return Fraction(cost.flops, cost.traffic_bytes) if cost.traffic_bytes else None
    value: int | None = getattr(cost, metric)
    return None if value is None else Fraction(value)


def layer_figure(layer: Layer, metric: str) -> Fraction | None:
    """Return an exact figure of a layer; `None` where it is unknown."""
    convention = convention_of(metric)
    if convention is None:
        return cost_figure(layer.cost, metric)
    value = layer.by_convention.get(convention)
    return None if value is None else Fraction(value)


def sum_of_layers(layers: Sequence[Layer], metric: str) -> Fraction | None:
    """Return an exact figure of layers together; `None` where it is unknown of one."""
    if convention_of(metric) is None:
        return cost_figure(summed(layer.cost for layer in layers), metric)
    return sum_of_known(layer_figure(layer, metric) for layer in layers)


def sum_of_known(values: Iterable[Fraction | None]) -> Fraction | None:
    """Return a sum; `None` where a part of it is unknown."""
    total = Fraction(0)
    for value in values:
        if value is None:
            return None
        total += value
    return total


def model_figure(report: Report, cost: Cost, metric: str) -> Fraction | None:
    """Return a figure of a whole model, its cost as given; `None` where it is unknown.

    By a convention it is that of the whole report. A ratio of latencies is of two models, and so is
    unknown.
    """
    convention = convention_of(metric)
    if convention is not None:
        value = report.by_convention.get(convention, {}).get("as_is")
        return None if value is None else Fraction(value)
    if FIGURES[metric].is_ratio:
        return None
    if metric == "peak_activation_bytes":
        peak = report.peak_activation_bytes
        return None if peak is None else Fraction(peak)
    if metric == "latency_s":
        timing = report.timing
        # as it is written, so that 0.012 is 12 ms
        return Fraction(str(timing.as_is.median_s)) if timing and timing.as_is else None
    return cost_figure(cost, metric)
