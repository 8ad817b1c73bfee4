"""Which layers the rules of a budget are about, and which rule has the last word."""

from collections.abc import Mapping, Sequence, Set
from typing import NamedTuple

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
        [
            _part_of(rule.selector, layers[at], kinds[at]) if kinds[at].parts else layers[at]
            for at in rule.selector.among(names, kinds)
        ]
        for rule in rules
    ]


def _part_of(selector: Selector, layer: Layer, kind: Kind) -> Layer:
    """Return a layer with the cost of those of its operators that a selector means."""
    meant = selector.parts_meant(kind) if kind.parts else None
    if meant is None:
        return layer
    return layer._replace(cost=summed(layer.operators[at].cost for at in meant))


Bound = tuple[str, str]
"""A metric, and one of `budgets.records.BOUNDS`."""


def last_words(
    rules: Sequence[LayerRule], meant: Sequence[Sequence[str]]
) -> list[Mapping[Bound, Set[str]]]:
    """Return for each rule the layers, by bound of its `each`, that no later rule sets it of."""
    taken: dict[Bound, set[str]] = {}
    found: list[Mapping[Bound, Set[str]]] = []
    for rule, names in zip(reversed(rules), reversed(meant), strict=True):
        bounds = {(limit.metric, limit.bound) for limit in rule.each}
        left = {
            bound: {name for name in names if name not in taken.get(bound, ())} for bound in bounds
        }
        found.append(left)
        for bound in bounds:
            taken.setdefault(bound, set()).update(left[bound])
    return found[::-1]


class Meant(NamedTuple):
    """What a rule is about.

    Args:
        layers: Those that it means, with the cost of what it means of them.
        each: The names of those that a bound of its `each` is on.
        gone: The names of those that were meant, are not there any more, and that a bound is on.
        every_layer: All layers of the model, the candidates.
    """

    layers: Sequence[Layer]
    each: Mapping[Bound, Set[str]]
    gone: Mapping[Bound, Set[str]]
    every_layer: Sequence[Layer]
