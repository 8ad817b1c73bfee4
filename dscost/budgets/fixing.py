"""Swaps that bring a model back under a limit that it breaks."""

from collections.abc import Mapping

from dscost.analysis.counting import CountedModel
from dscost.budgets.findings import Finding, SuggestedFix
from dscost.budgets.metrics import model_figure
from dscost.budgets.records import Entry
from dscost.errors import InputError
from dscost.layers.variants import SEPARABLE, STANDARD
from dscost.reports.figures import FIGURES

FIXABLE = ("over_max", "grew", "new_cost")
"""Kinds of findings."""


def with_fix(finding: Finding, models: Mapping[str, tuple[Entry, CountedModel]]) -> Finding:
    """Return a finding with the fewest swaps that bring its model under the limit, if any do."""
    metric, most, value = finding.metric, finding.limit, finding.value
    if finding.kind not in FIXABLE or finding.layer is not None or finding.entry not in models:
        return finding
    entry, model = models[finding.entry]
    if metric is None or most is None or value is None or model.versions is None:
        return finding
    if not FIGURES[metric].is_fixable:
        return finding
    savings = _savings(entry, model, metric)
    excluded = value - (model_figure(model.report, model.report.totals.as_is, metric) or 0)
    chosen: list[str] = []
    left = value
    for name in sorted(savings, key=lambda name: -savings[name]):
        chosen.append(name)
        left -= savings[name]
        if left > most:
            continue
        # what the sum of the layers promises, the whole has to keep
        swaps = [swap for swap in model.swaps if model.versions.layer_of(swap)[0] in chosen]
        try:
            totals = model.versions.totals(swaps)
        except InputError:  # its process has died, twice: the verdict stands without a way out
            break
        after = (model_figure(model.report, totals.depthwise_separable, metric) or 0) + excluded
        if after <= most:
            return finding._replace(suggested_fix=SuggestedFix(tuple(chosen), after))
    return finding


def _savings(entry: Entry, model: CountedModel, metric: str) -> dict[str, int]:
    """Return by layer how much less it has of a figure where it is made depthwise-separable."""
    found = {}
    for layer in model.report.layers:
        if layer.variants and layer.could_be_separable and not entry.excludes(layer):
            standard, separable = layer.variants[STANDARD], layer.variants[SEPARABLE]
            saving = getattr(standard, metric) - getattr(separable, metric)
            if saving > 0:
                found[layer.name] = saving
    return found
