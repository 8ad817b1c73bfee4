"""Reports held against the first of them: what differs of the whole, and layer by layer.

Differences are exact: `value - reference`. Nothing is timed.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from dscost.comparing.notes import notes_on, place_of
from dscost.reports.figures import ALWAYS_KNOWN, FIGURES, NOTHING, Cost
from dscost.reports.records import Layer, Report, plain_fields
from dscost.reports.result import Result

METRICS = tuple(name for name, figure in FIGURES.items() if figure.is_compared)
"""What is compared of a whole model, besides measured latency."""
LAYER_METRICS = tuple(name for name in METRICS if FIGURES[name].is_of_layers)


class Difference(NamedTuple):
    """One figure of two models or layers; `None` where it is unknown.

    Args:
        metric: Its name, with the unit: `params`, `weight_bytes`, `latency_s`.
        reference: The figure of the reference.
        value: The figure of the other model.
        setting: What a latency was measured under, such as `cpu`.
    """

    metric: str
    reference: float | None
    value: float | None
    setting: str | None = None

    @property
    def change(self) -> float | None:
        """`value - reference`; of counts a whole number."""
        return None if self.reference is None or self.value is None else self.value - self.reference

    @property
    def percent(self) -> float | None:
        """The change in percent of the reference; `None` where the reference has none of it."""
        if self.reference is None or self.change is None:
            return None
        if self.reference == 0:
            return 0.0 if self.change == 0 else None
        return 100 * self.change / self.reference

    @property
    def is_new(self) -> bool:
        """Whether the reference has none of it, and the other some."""
        return self.reference == 0 and bool(self.value)

    def to_dict(self) -> dict[str, Any]:
        """Return both figures, their difference and its percentage."""
        return plain_fields(self, DIFFERENCE_KEYS)


DIFFERENCE_KEYS = ("reference", "value", "change", "percent")


def difference(metric: str, reference: Cost, other: Cost) -> Difference:
    """Return one figure of two costs."""
    return Difference(metric, getattr(reference, metric), getattr(other, metric))


class LayerPair(NamedTuple):
    """A layer of the reference and the one of the other model that it is held against.

    Args:
        reference: `None` where only the other model has it.
        other: `None` where only the reference has it.
        status: `same`, `changed`, `only_reference` or `only_other`; a layer may be the same under
            another name.
    """

    reference: Layer | None
    other: Layer | None
    status: str

    @property
    def layer(self) -> Layer:
        """The layer of the other model, or else that of the reference."""
        found = self.other or self.reference
        assert found is not None
        return found

    @property
    def is_renamed(self) -> bool:
        """Whether both models have it, under different names."""
        if self.reference is None or self.other is None:
            return False
        return self.reference.name != self.other.name

    @property
    def costs(self) -> tuple[Cost, Cost]:
        """What it costs in the reference and in the other; a layer that is not there, nothing."""
        return (
            self.reference.cost if self.reference else NOTHING,
            self.other.cost if self.other else NOTHING,
        )

    def difference(self, metric: str) -> Difference:
        """Return one of `LAYER_METRICS`."""
        return difference(metric, *self.costs)

    def to_dict(self) -> dict[str, Any]:
        """Return the names, what became of the layer, and every figure."""
        return {
            "name": self.other.name if self.other else None,
            "reference_name": self.reference.name if self.reference else None,
            "status": self.status,
            "type": self.layer.type,
            **{metric: self.difference(metric).to_dict() for metric in LAYER_METRICS},
        }


STATUSES = ("same", "changed", "only_reference", "only_other")


class Versus(NamedTuple):
    """One model, by its label, against the reference, with every layer of both as they run.

    Latencies are of the whole model, where both were measured under a setting on the same device
    with as many threads. They come from separate runs: no speedup follows from them. It is
    reordered if layers that both have run in another order.
    """

    label: str
    totals: tuple[Difference, ...]
    latencies: tuple[Difference, ...]
    layers: tuple[LayerPair, ...]
    is_reordered: bool

    @property
    def differing(self) -> tuple[LayerPair, ...]:
        """The layers that are not the same."""
        return tuple(pair for pair in self.layers if pair.status != "same")

    @property
    def renamed(self) -> int:
        """How many layers are the same under another name."""
        return sum(pair.status == "same" and pair.is_renamed for pair in self.layers)

    def count_of(self, status: str) -> int:
        """Return the number of layers of a status."""
        return sum(pair.status == status for pair in self.layers)

    def to_dict(self, layers: Sequence[LayerPair]) -> dict[str, Any]:
        """Return all of it as plain JSON values, of the layers those that are to be shown."""
        return {
            "label": self.label,
            "totals": {one.metric: one.to_dict() for one in self.totals},
            "latency_s": {
                str(one.setting): {**one.to_dict(), "side_by_side": False} for one in self.latencies
            },
            "layer_counts": {status: self.count_of(status) for status in STATUSES}
            | {"renamed": self.renamed},
            "reordered": self.is_reordered,
            "layers": [pair.to_dict() for pair in layers],
        }


CONTENDER_KEYS = ("target", "source", "inputs", "settings", "environment")
"""What the JSON of a comparison has of the report of each model."""


class Contender(NamedTuple):
    """A model that is compared.

    Args:
        label: What it is called, unlike all others.
        report: Its figures.
        saved: Whether they were counted before.
    """

    label: str
    report: Report
    saved: bool = False


class Comparison(Result):
    """Models held against the first of them.

    Args:
        contenders: All of them, the reference first.
        versus: Each of the others against the reference.
        every_layer: Whether layers that are the same are to be shown as well.
        notes: What the reader must know about the figures.
    """

    contenders: tuple[Contender, ...]
    versus: tuple[Versus, ...]
    every_layer: bool = False
    notes: tuple[str, ...] = ()

    def in_a_line(self) -> str:
        """Return what was held against what."""
        return f"{', '.join(one.label for one in self.versus)} against {self.reference.label}"

    @property
    def reference(self) -> Contender:
        """What the others are held against."""
        return self.contenders[0]

    def layers_of(self, versus: Versus) -> tuple[LayerPair, ...]:
        """Return the layers to be shown."""
        return versus.layers if self.every_layer else versus.differing

    def to_dict(self) -> dict[str, Any]:
        """Return the comparison as plain JSON values; counts are exact."""
        return {
            "reference": self.reference.label,
            "compared": [
                {
                    "label": one.label,
                    "saved": one.saved,
                    **plain_fields(one.report, CONTENDER_KEYS),
                }
                for one in self.contenders
            ],
            "differences": [one.to_dict(self.layers_of(one)) for one in self.versus],
            "notes": list(self.notes),
        }


def held_against_first(
    contenders: Sequence[Contender], options: Sequence[str] = (), *, every_layer: bool = False
) -> Comparison:
    """Return what differs between models; `options` are what those not saved were counted with."""
    reference, *others = contenders
    versus = tuple(_versus(reference.report, other) for other in others)
    return Comparison(
        tuple(contenders), versus, every_layer, tuple(notes_on(contenders, versus, options))
    )


# -- the whole


def _versus(reference: Report, other: Contender) -> Versus:
    ours, theirs = reference.layers, other.report.layers
    partner = _partners(ours, theirs)
    # what is only alike may stand anywhere
    order = [at for our, at in sorted(partner.items()) if ours[our].name == theirs[at].name]
    return Versus(
        other.label,
        tuple(
            Difference(name, _figure(reference, name), _figure(other.report, name))
            for name in METRICS
        ),
        tuple(_latencies(reference, other.report)),
        tuple(_pair(*sides) for sides in _in_order(ours, theirs, partner)),
        is_reordered=order != sorted(order),
    )


def _figure(report: Report, metric: str) -> int | None:
    owner = report if metric == "peak_activation_bytes" else report.totals.as_is
    figure: int | None = getattr(owner, metric)
    return figure


def _latencies(reference: Report, other: Report) -> Iterator[Difference]:
    if place_of(reference) is None or place_of(reference) != place_of(other):
        return
    for setting, timing in reference.latency.items():
        same = other.latency.get(setting)
        before, now = timing.as_is, same and same.as_is
        if before and now:
            yield Difference("latency_s", before.median_s, now.median_s, setting)


# -- layers


def _partners(reference: Sequence[Layer], other: Sequence[Layer]) -> dict[int, int]:
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


def _nature(layer: Layer) -> tuple[Any, ...]:
    """Return what a layer is, whatever it is called, and what every report tells of its cost."""
    return *layer[1:_COST], layer.cost[:ALWAYS_KNOWN]


_LIKENESSES: tuple[Callable[[Layer], Any], ...] = (
    lambda layer: (layer.name, layer.op),
    _nature,
    lambda layer: layer.conv,
    lambda layer: (layer.type, layer.output_shape),
    lambda layer: layer.name,
)
"""What makes two layers belong together, strongest first. A name counts last where it is of another
operation."""


def _in_order(
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


def _pair(before: Layer | None, now: Layer | None) -> LayerPair:
    if before is None or now is None:
        return LayerPair(before, now, "only_other" if before is None else "only_reference")
    same = _nature(before) == _nature(now) and before.cost.agrees_with(now.cost)
    return LayerPair(before, now, "same" if same else "changed")
