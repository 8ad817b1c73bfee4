"""Swaps that bring a model back under the limits that it breaks."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from fractions import Fraction
from itertools import islice
from typing import NamedTuple

from dscost.analysis.counting import CountedModel
from dscost.budgets.excluding import rest_of
from dscost.budgets.findings import Finding, Passed, SuggestedFix, WayBack
from dscost.budgets.metrics import cost_figure, model_figure
from dscost.budgets.records import Entry
from dscost.errors import InputError
from dscost.layers.variants import SEPARABLE, STANDARD
from dscost.reports.figures import Cost, convention_of, figure_of

FIXABLE = ("over_max", "grew", "new_cost")
"""Kinds of findings."""
MOST_TRIED = 3
"""Choices of layers whose sums promise what the whole model may not keep."""

Figures = Mapping[str, Fraction]
"""Of a whole model, by metric."""


class Swapped:
    """What a model costs with some of its layers made depthwise-separable."""

    def __init__(self, entry: Entry, model: CountedModel) -> None:
        self._model, self._rest = model, rest_of(entry, model.report)
        self._layers = [
            layer
            for layer in model.report.layers
            if model.versions and layer.variants and layer.could_be_separable
            if not entry.excludes(layer)
        ]
        self._totals: dict[frozenset[str], Cost] = {}
        self._by_convention: dict[frozenset[str], Mapping[str, Mapping[str, int]]] = {}

    def tells(self, metric: str) -> bool:
        """Whether a figure is known of the model whose layers were swapped."""
        return metric in _OF_COSTS or convention_of(metric) in self._model.report.by_convention

    def savings(self, metric: str) -> dict[str, int]:
        """Return by layer how much less it has of a figure where it is made so.

        By a convention it is taken for that of our own MACs, which make up most of it: what the
        whole model has then is counted by its rules.
        """
        found = {}
        metric = "macs" if convention_of(metric) is not None else metric
        for layer in self._layers:
            assert layer.variants is not None
            standard, separable = layer.variants[STANDARD], layer.variants[SEPARABLE]
            saving = getattr(standard, metric) - getattr(separable, metric)
            if saving > 0:
                found[layer.name] = saving
        return found

    def figure(self, layers: Collection[str], metric: str) -> Fraction | None:
        """Return a figure of the whole model with these layers made so; `None` where unknown.

        Raises:
            InputError: The process that has the model has died, twice.
        """
        now, counted = self._rest.figure(metric), self._counted(metric)
        after = self._after(frozenset(layers), metric)
        if now is None or counted is None or after is None:
            return None
        return after + now - counted  # what does not count of the model is not swapped

    def _counted(self, metric: str) -> Fraction | None:
        report = self._model.report
        return model_figure(report, report.totals.as_is, metric)

    def _after(self, layers: frozenset[str], metric: str) -> Fraction | None:
        versions = self._model.versions
        assert versions is not None
        swaps = [one for one in self._model.swaps if versions.layer_of(one)[0] in layers]
        convention = convention_of(metric)
        if convention is not None:
            if layers not in self._by_convention:
                from dscost.analysis.by_convention import totals_with_swaps

                self._by_convention[layers] = totals_with_swaps(self._model, swaps)
            total = self._by_convention[layers].get(convention, {}).get(SEPARABLE)
            return None if total is None else Fraction(total)
        if layers not in self._totals:
            self._totals[layers] = versions.totals(swaps).depthwise_separable
        return cost_figure(self._totals[layers], metric)


def with_fix(finding: Finding, models: Mapping[str, Swapped]) -> Finding:
    """Return a finding with the fewest swaps that bring its model under the limit, if any do."""
    metric, most, value = finding.metric, finding.limit, finding.value
    if not _is_fixable(finding) or metric is None or most is None or value is None:
        return finding
    if finding.entry not in models:
        return finding
    model = models[finding.entry]
    if not model.tells(metric):
        return finding
    for layers in _choices({metric: value - most}, {metric: model.savings(metric)}):
        try:
            after = model.figure(layers, metric)
        except InputError:  # its process has died, twice: the verdict stands without a way out
            break
        if after is not None and after <= most:
            return finding._replace(suggested_fix=SuggestedFix(tuple(layers), after))
    return finding


def _is_fixable(finding: Finding) -> bool:
    """Whether it is about a figure of the whole model that swaps can lessen."""
    is_kind = finding.kind in FIXABLE and finding.layer is None and finding.metric is not None
    return is_kind and figure_of(finding.metric or "").is_fixable


def ways_back(
    findings: Sequence[Finding], passed: Sequence[Passed], models: Mapping[str, Swapped]
) -> Iterator[WayBack]:
    """Yield for each model the fewest swaps that bring it within all limits on the whole of it."""
    for name in dict.fromkeys(one.entry for one in findings if _is_fixable(one)):
        if name in models:
            own = [one for one in findings if one.entry == name and one.is_violation]
            held = [one for one in passed if one.entry == name]
            yield from _way_back(own, held, models[name])


class _Bounds(NamedTuple):
    """What figures of a whole model have to keep."""

    most: Figures
    least: Figures

    @classmethod
    def of(cls, limits: Sequence[Finding | Passed]) -> "_Bounds":
        """Return the closest of some limits."""
        most: dict[str, Fraction] = {}
        least: dict[str, Fraction] = {}
        for one in limits:
            if one.layer is not None or one.limit is None or one.metric is None:
                continue
            if one.bound in ("max", "max_increase"):
                most[one.metric] = min(one.limit, most.get(one.metric, one.limit))
            else:
                least[one.metric] = max(one.limit, least.get(one.metric, one.limit))
        return cls(most, least)

    def are_kept(self, figures: Mapping[str, Fraction | None]) -> bool:
        """Whether they are, as far as figures are known."""
        known = {name: value for name, value in figures.items() if value is not None}
        return all(
            self.least.get(name, value) <= value <= self.most.get(name, value)
            for name, value in known.items()
        )


def _way_back(
    broken: Sequence[Finding], held: Sequence[Passed], model: Swapped
) -> Iterator[WayBack]:
    bounds = _Bounds.of([*broken, *held])
    fixable = [one for one in broken if _is_fixable(one) and model.tells(one.metric or "")]
    now = {one.metric: one.value for one in fixable}
    over = {name: value - bounds.most[name] for name, value in now.items() if name and value}
    checked = [name for name in {**bounds.most, **bounds.least} if model.tells(name)]
    choices = _choices(over, {metric: model.savings(metric) for metric in over}) if over else ()
    for layers in islice(choices, MOST_TRIED):
        try:
            after = {name: model.figure(layers, name) for name in checked}
        except InputError:  # as above
            return
        if bounds.are_kept(after) and all(after[name] is not None for name in over):
            known = {name: after[name] for name in over}
            figures = {name: value for name, value in known.items() if value is not None}
            is_complete = len(fixable) == len(broken)
            yield WayBack(broken[0].entry, tuple(layers), figures, is_complete)
            return


_OF_COSTS = (*Cost._fields, "flops")
"""The figures that are known of a model whose layers were swapped."""


def _choices(over: Figures, savings: Mapping[str, Mapping[str, int]]) -> Iterator[list[str]]:
    """Yield layers that save enough of each figure, by their own sums, ever more of them.

    The one goes first that does most about what is left, then the one that saves most.
    """
    left = dict(over)
    chosen: list[str] = []
    names = list(dict.fromkeys(name for saved in savings.values() for name in saved))
    while names:
        best = max(names, key=lambda name: _worth(name, over, left, savings))
        names.remove(best)
        chosen.append(best)
        for metric in left:
            left[metric] -= savings[metric].get(best, 0)
        if all(one <= 0 for one in left.values()):
            yield list(chosen)


def _worth(
    name: str, over: Figures, left: Figures, savings: Mapping[str, Mapping[str, int]]
) -> tuple[float, float]:
    """Return how much of what is left a layer saves, then of all; in floats, to be compared."""
    saved = {metric: savings[metric].get(name, 0) for metric in left}
    done = (min(saved[metric] / float(one), 1.0) for metric, one in left.items() if one > 0)
    return sum(done), sum(saved[metric] / float(over[metric]) for metric in over)
