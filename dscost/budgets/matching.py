"""Which layers the rules of a budget are about, and which rule has the last word."""

from collections.abc import Mapping, Sequence, Set

from dscost.budgets.kinds import Kind
from dscost.budgets.records import LayerRule
from dscost.budgets.selectors import Selector
from dscost.reports.figures import summed
from dscost.reports.records import Layer


def meant_by(rules: Sequence[LayerRule], layers: Sequence[Layer]) -> list[list[Layer]]:
    """Return for each rule the layers that it means, with the cost of what it means of them."""
    if not rules:
        return []
    kinds = [Kind.of(layer) for layer in layers]
    names = [layer.name for layer in layers]
    return [
        [_part_of(rule.selector, layers[at], kinds[at]) for at in rule.selector.among(names, kinds)]
        for rule in rules
    ]


def _part_of(selector: Selector, layer: Layer, kind: Kind) -> Layer:
    """Return a layer with the cost of those of its operators that a selector means."""
    meant = selector.parts_meant(kind)
    if meant is None:
        return layer
    cost = summed(layer.operators[at].cost for at in meant)
    # nobody has told what an operator by itself counts by a convention
    return layer._replace(cost=cost, by_convention={})


Bounds = Mapping[tuple[str, str], Set[str]]
"""Layers by metric and one of `budgets.records.BOUNDS`."""


def last_words(rules: Sequence[LayerRule], meant: Sequence[Sequence[str]]) -> list[Bounds]:
    """Return for each rule the layers, by bound of its `each`, that no later rule sets it of."""
    taken: dict[tuple[str, str], set[str]] = {}
    found: list[Bounds] = []
    for rule, names in zip(reversed(rules), reversed(meant), strict=True):
        bounds = {(limit.metric, limit.bound) for limit in rule.each}
        left = {
            bound: {name for name in names if name not in taken.get(bound, ())} for bound in bounds
        }
        found.append(left)
        for bound in bounds:
            taken.setdefault(bound, set()).update(left[bound])
    return found[::-1]
