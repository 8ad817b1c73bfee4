"""What was known of a model, seen from today, and the layers that explain a change."""

from collections.abc import Iterable, Mapping, Sequence
from fractions import Fraction

from dscost.budgets.baseline import Known, renamed_layers
from dscost.budgets.findings import Contribution
from dscost.budgets.kinds import Kind, difference
from dscost.budgets.metrics import layer_figure
from dscost.budgets.records import Limit
from dscost.budgets.selectors import Selector
from dscost.reports.figures import figure_of
from dscost.reports.records import Layer

NONE = Fraction(0)
CONTRIBUTORS = 3
"""Layers named where a limit is violated."""


class Past:
    """What was known of a model, seen from what its layers are called now."""

    def __init__(self, known: Known, now: Known, layers: Sequence[Layer]) -> None:
        self._before = renamed_layers(known, now)
        self.known = known._replace(kinds={**known.kinds, **self._of_what_is_the_same(known, now)})
        self._now = {before: name for name, before in self._before.items()}
        self._kinds = now.kinds
        self._still_there = {layer.name for layer in layers}.union(self._before.values())
        self._members: dict[str, list[str] | None] = {}

    def _of_what_is_the_same(self, known: Known, now: Known) -> Mapping[str, Kind]:
        """Return the kinds of unchanged layers that an old baseline has without their operators."""
        found = {}
        for name, kind in now.kinds.items():
            before = self._before.get(name, name)
            is_alike = kind.parts and known.kinds.get(before) == kind._replace(parts=())
            if is_alike and known.layer_figures(before) == now.layer_figures(name):
                found[before] = kind
        return found

    def members(self, selector: Selector) -> list[str] | None:
        """Return the layers that a selector meant; `None` where that is not known."""
        if selector.text not in self._members:
            self._members[selector.text] = self.known.members(selector)
        return self._members[selector.text]

    def figure(self, layer: str, metric: str, selector: Selector | None = None) -> Fraction | None:
        """Return what a layer of today had, or what a selector means of it; 0 of a new one.

        It is `None` of a figure that is not kept of layers.
        """
        if not self.known.has_of_layers(metric):
            return None
        return self.known.layer_figure(self._before.get(layer, layer), metric, selector)

    def figures(
        self, metric: str, selector: Selector | None = None
    ) -> Mapping[str, Fraction] | None:
        """Return what the layers meant, or all, had, by today's name; `None` if it is not kept."""
        members = sorted(self.known.names) if selector is None else self.members(selector)
        if members is None or not self.known.has_of_layers(metric):
            return None
        return {
            self._now.get(name, name): self.known.layer_figure(name, metric, selector)
            for name in members
        }

    def change(self, layer: str) -> str | None:
        """Return what a layer of today is that it was not; `None` where nothing tells."""
        was, now = self.known.kinds.get(self._before.get(layer, layer)), self._kinds.get(layer)
        return None if was is None or now is None else difference(was, now)

    def gone(self, selector: Selector) -> list[str]:
        """Return the layers that a selector meant and that are gone, under whatever name."""
        return [name for name in self.members(selector) or () if name not in self._still_there]


def contributions(
    meant: Sequence[Layer],
    limit: Limit,
    past: Past | None,
    layers: Sequence[Layer],
    selector: Selector | None = None,
) -> Sequence[Contribution]:
    """Return the layers that explain a broken limit on those meant, which a selector may choose.

    Those that grew most since the baseline; where there is too little, those that shrank most, the
    ones that are gone included. Where none did, the largest. A layer that came to a group
    or left it counts in full there, and is told with its own figures.
    """
    metric = limit.metric
    if not figure_of(metric).is_of_layers or figure_of(metric).kind == "factor":
        return []
    values = _figures(layers, metric)
    weights = now = _figures(meant, metric)
    was = past.figures(metric, selector) if past else None
    if was is not None:
        sign = -1 if limit.bound in ("min", "max_decrease") else 1
        both = {**now, **was}
        changes = {name: sign * (now.get(name, NONE) - was.get(name, NONE)) for name in both}
        if any(change > 0 for change in changes.values()):
            weights = changes
    counting = [name for name in weights if weights[name] > 0]
    found = []
    for name in sorted(counting, key=lambda name: -weights[name])[:CONTRIBUTORS]:
        before = past.figure(name, metric) if past and was is not None else None
        change = past.change(name) if past and before is not None else None
        found.append(Contribution(name, values.get(name, NONE), before, change))
    return found


def _figures(layers: Iterable[Layer], metric: str) -> dict[str, Fraction]:
    return {layer.name: layer_figure(layer, metric) or NONE for layer in layers}
