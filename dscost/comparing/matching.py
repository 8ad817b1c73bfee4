"""Which layers of two models belong together, and whether the models are related at all."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from dscost.comparing.exported import essence
from dscost.reports.figures import ALWAYS_KNOWN
from dscost.reports.records import Layer

LEAST_SHARED = 0.2
"""Of the layers of the larger of two models, for them to be of one kind."""


def partners(reference: Sequence[Layer], other: Sequence[Layer]) -> dict[int, int]:
    """Return the partner of each layer of the reference in the other model, by position.

    Layers of one name belong together; of the rest those of one shape, in their order.
    """
    partner: dict[int, int] = {}
    for likeness in _LIKENESSES:
        waiting: dict[Any, list[int]] = {}
        taken = set(partner.values())
        for at, layer in enumerate(other):
            if at not in taken:
                waiting.setdefault(likeness(layer), []).append(at)
        for at, layer in enumerate(reference):
            key = likeness(layer)
            if at not in partner and key is not None and waiting.get(key):
                partner[at] = waiting[key].pop(0)
    return partner


_COST = Layer._fields.index("cost")
"""The fields before it say what a layer is; those that follow, what could be made of it."""


def nature(layer: Layer) -> tuple[Any, ...]:
    """Return what a layer is, whatever it is called, and what every report tells of its cost."""
    return *layer[1:_COST], layer.cost[:ALWAYS_KNOWN]


_LIKENESSES: tuple[Callable[[Layer], Any], ...] = (
    lambda layer: (layer.name, layer.origin, layer.op),
    lambda layer: None if layer.origin is None else (layer.origin, layer.op),
    lambda layer: (layer.name, layer.op),
    nature,
    lambda layer: essence(layer) if layer.cost.macs else None,
    lambda layer: layer.conv,
    lambda layer: (layer.type, layer.output_shape),
    lambda layer: layer.name,
    lambda layer: (layer.op, layer.output_shape),
)
"""What makes two layers belong together, strongest first. A name counts little where it is of
another operation, and that of a node less than the module that it came from: torch numbers nodes
anew in every file."""


def in_order(
    ours: Sequence[Layer], theirs: Sequence[Layer], partner: Mapping[int, int]
) -> Iterator[tuple[Layer | None, Layer | None]]:
    """Yield pairs of layers as the reference has them, what is new after its neighbour."""
    home = {at: our for our, at in partner.items()}
    after: dict[int, list[Layer]] = {}
    last = -1
    for at, layer in enumerate(theirs):
        if at in home:
            last = home[at]
        else:
            after.setdefault(last, []).append(layer)
    for our in range(-1, len(ours)):
        if our >= 0:
            yield ours[our], theirs[partner[our]] if our in partner else None
        for layer in after.get(our, ()):
            yield None, layer


def are_related(reference: Sequence[Layer], other: Sequence[Layer]) -> bool:
    """Whether two models share enough layers for what differs of each to mean something.

    Shared is a layer that is the same under whatever name, or the same operation of one name. Those
    without MACs are left out, unless there are no others: a ReLU of one size is in every network.
    """
    ours, theirs = ([one for one in side if one.cost.macs] for side in (reference, other))
    ours, theirs = ours or list(reference), theirs or list(other)
    pairs = ((ours[our], theirs[at]) for our, at in partners(ours, theirs).items())
    shared = sum(
        (one.name, one.op) == (another.name, another.op) or essence(one) == essence(another)
        for one, another in pairs
    )
    return shared >= LEAST_SHARED * max(len(ours), len(theirs))
