"""What a budget excludes, taken off a report: layers, their costs, their unknown operators."""

from collections.abc import Iterator, Mapping, Sequence
from fractions import Fraction
from typing import NamedTuple

from dscost.budgets.metrics import model_figure, sum_of_layers
from dscost.budgets.records import Entry
from dscost.notation.units import format_count
from dscost.reports.figures import (
    NOTHING,
    Cost,
    convention_of,
    figure_of,
    made_of,
    summed,
    weights_cost,
)
from dscost.reports.records import Layer, Report, unknown_operators


class Rest(NamedTuple):
    """What of a model counts.

    Args:
        report: The whole model.
        layers: Those that are not excluded; weights that they share with one that is are theirs.
        cost: What the whole model costs without what is excluded.
        unknown: Operators of unknown cost that they run.
        gone: The layers that are excluded.
    """

    report: Report
    layers: tuple[Layer, ...]
    cost: Cost
    unknown: tuple[str, ...]
    gone: tuple[Layer, ...] = ()

    def figure(self, metric: str) -> Fraction | None:
        """Return an exact figure; `None` where it is unknown."""
        found = model_figure(self.report, self.cost, metric)
        if found is None or convention_of(metric) is None:
            return found
        excluded = sum_of_layers(self.gone, metric)
        return None if excluded is None else found - excluded


def rest_of(entry: Entry, report: Report) -> Rest:
    """Return what of a report an entry does not exclude."""
    excluded = tuple(layer for layer in report.layers if entry.excludes(layer))
    gone = {layer.name: layer.cost for layer in excluded}
    if not gone:
        return Rest(report, report.layers, report.totals.as_is, report.coverage.unknown)
    inherited = _inherited(report, gone)
    layers = tuple(
        layer._replace(cost=layer.cost + inherited.get(layer.name, NOTHING))
        for layer in report.layers
        if layer.name not in gone
    )
    total = report.totals.as_is
    cost = total - summed(gone.values()) + summed(inherited.values())
    cost = made_of(calls=cost, weights=cost, ends=total)
    return Rest(report, layers, cost, _unknown(report, gone), excluded)


def why_inexact(entry: Entry, report: Report) -> str | None:
    """Return in words which limited figures still have what is excluded; `None` where none has."""
    gone = [layer for layer in report.layers if entry.excludes(layer)]
    limited = list(dict.fromkeys(limit.metric for limit in entry.limits if limit.level != "ignore"))
    reasons = []
    whole = [metric for metric in limited if not figure_of(metric).is_excludable]
    if gone and whole:
        reasons.append(f"{', '.join(whole)} of the whole model, excluded layers too")
    weighed = [metric for metric in limited if figure_of(metric).summed_over == "weights"]
    if weighed and report.shared_weights is None and any(layer.cost.params for layer in gone):
        why = "since this report does not say which of them other layers share"
        reasons.append(f"{', '.join(weighed)} without all weights of excluded layers, {why}")
    reasons += _of_no_layer(report, limited) if gone else []
    return "; ".join(reasons) or None


def _of_no_layer(report: Report, limited: Sequence[str]) -> Iterator[str]:
    """Yield which limited figures have parts that belong to no layer, excluded or not."""
    for metric in limited:
        if convention_of(metric) is None:
            continue
        total = model_figure(report, report.totals.as_is, metric)
        of_layers = sum_of_layers(report.layers, metric)
        if total is not None and of_layers is not None and total > of_layers:
            rest = format_count(int(total - of_layers))
            yield f"{figure_of(metric).in_words} with {rest} that belong to no layer"


def _inherited(report: Report, gone: Mapping[str, Cost]) -> Mapping[str, Cost]:
    """Return the weights that excluded layers hand on to the first layer that uses them as well."""
    inherited: dict[str, Cost] = {}
    for shared in report.shared_weights or ():
        first, *others = shared.layers
        heir = next((name for name in others if name not in gone), None)
        if first in gone and heir is not None:
            weights = weights_cost(shared.params, shared.weight_bytes)
            inherited[heir] = inherited.get(heir, NOTHING) + weights
    return inherited


def _unknown(report: Report, gone: Mapping[str, Cost]) -> tuple[str, ...]:
    coverage = report.coverage
    if not coverage.unknown_in:  # an older report: any layer may have run them
        return coverage.unknown
    times = {
        operator: sum(number for layer, number in layers.items() if layer not in gone)
        for operator, layers in coverage.unknown_in.items()
    }
    return unknown_operators({operator: number for operator, number in times.items() if number})
