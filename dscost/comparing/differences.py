"""Reports held against the first of them: what differs of the whole, and layer by layer.

Differences are exact: `value - reference`. Nothing is timed here.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from itertools import combinations
from types import MappingProxyType
from typing import Any, NamedTuple

from dscost.comparing.exported import ONNX, folded, held_as, is_kept
from dscost.comparing.matching import are_related, in_order, nature, partners
from dscost.comparing.notes import place_of
from dscost.reports.figures import FIGURES, NOTHING, Cost, convention_of, metric_of
from dscost.reports.records import (
    Environment,
    Latency,
    Layer,
    Report,
    Speedup,
    plain,
    plain_fields,
)
from dscost.reports.result import Result
from dscost.timing import batch_of

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
            another name. `folded` is a normalisation that an export has made part of the layer
            before it, and that layer.
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
    def is_in_both(self) -> bool:
        """Whether both models have it."""
        return self.reference is not None and self.other is not None

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

    @property
    def metrics(self) -> tuple[str, ...]:
        """What is compared of it: `LAYER_METRICS`, and what conventions of others count."""
        sides = (one.by_convention for one in (self.reference, self.other) if one)
        return (*LAYER_METRICS, *dict.fromkeys(metric_of(name) for one in sides for name in one))

    def difference(self, metric: str) -> Difference:
        """Return one of its metrics; what others count is unknown where one was not asked."""
        name = convention_of(metric)
        if name is None:
            return difference(metric, *self.costs)
        before, now = (
            one.by_convention.get(name) if one else 0 for one in (self.reference, self.other)
        )
        return Difference(metric, before, now)

    def to_dict(self) -> dict[str, Any]:
        """Return the names, what became of the layer, and every figure."""
        return {
            "name": self.other.name if self.other else None,
            "reference_name": self.reference.name if self.reference else None,
            "status": self.status,
            "type": self.layer.type,
            **{metric: self.difference(metric).to_dict() for metric in self.metrics},
        }


STATUSES = ("same", "changed", "only_reference", "only_other", "folded")


class Versus(NamedTuple):
    """One model, by its label, against the reference, with every layer of both as they run.

    Latencies are of the whole model, where both were measured under a setting on the same device
    with as many threads. Where they come from separate runs, no speedup follows from them. It is
    reordered if layers that both have run in another order.

    Args:
        speedups: Latency of the reference over its own, by setting, where both were timed in turns.
        cpu_speedups: The same of their processor times, where these were read.
    """

    label: str
    totals: tuple[Difference, ...]
    latencies: tuple[Difference, ...]
    layers: tuple[LayerPair, ...]
    is_reordered: bool
    speedups: Mapping[str, Speedup] = MappingProxyType({})
    cpu_speedups: Mapping[str, Speedup] = MappingProxyType({})

    @property
    def differing(self) -> tuple[LayerPair, ...]:
        """The layers that are not the same."""
        return tuple(pair for pair in self.layers if pair.status != "same")

    @property
    def folded(self) -> int:
        """How many normalisations have become part of the layer before them."""
        return sum(pair.status == "folded" and None in pair[:2] for pair in self.layers)

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
                str(one.setting): {
                    **one.to_dict(),
                    "side_by_side": one.setting in self.speedups,
                    "speedup": plain(self.speedups.get(str(one.setting))),
                    "cpu_speedup": plain(self.cpu_speedups.get(str(one.setting))),
                }
                for one in self.latencies
            },
            "layer_counts": {status: self.count_of(status) for status in STATUSES}
            | {"renamed": self.renamed},
            "reordered": self.is_reordered,
            "layers": [pair.to_dict() for pair in layers],
        }


CONTENDER_KEYS = (
    *("target", "source", "inputs", "settings", "environment", "peak_activation_bytes"),
    *("by_convention", "conventions"),
)
"""What the JSON of a comparison has of the report of each model."""


def metrics_of(reports: Iterable[Report]) -> tuple[str, ...]:
    """Return what is compared of reports: `METRICS`, and behind MACs what others count."""
    names = dict.fromkeys(name for report in reports for name in report.by_convention)
    behind = METRICS.index("macs") + 1
    return (*METRICS[:behind], *map(metric_of, names), *METRICS[behind:])


class Contender(NamedTuple):
    """A model that is compared.

    Args:
        label: What it is called, unlike all others.
        report: Its figures.
        saved: Whether they were counted before.
        timed: Whether its latencies are of this run, in which all models took turns.
    """

    label: str
    report: Report
    saved: bool = False
    timed: bool = False

    @property
    def latencies(self) -> dict[str, Latency]:
        """Its latencies as it is, by setting."""
        return {key: one.as_is for key, one in self.report.latency.items() if one.as_is}

    @property
    def place(self) -> str | None:
        """Where it was measured, if it was: `cpu with 2 threads`."""
        return place_of(self.report)

    def figure(self, metric: str) -> int | None:
        """Return one of `METRICS`, or what a convention counts, `None` where it was not asked."""
        name = convention_of(metric)
        if name is not None:
            return self.report.by_convention.get(name, {}).get("as_is")
        owner = self.report if metric == "peak_activation_bytes" else self.report.totals.as_is
        figure: int | None = getattr(owner, metric)
        return figure

    def per_s(self, setting: str) -> float:
        """Return how many inputs it takes in a second under a setting that it was measured in."""
        return batch_of(setting, self.report.batch) / self.latencies[setting].median_s

    def to_dict(self) -> dict[str, Any]:
        """Return what it is, what it costs as a whole, and how long it takes."""
        return {
            "label": self.label,
            "saved": self.saved,
            "timed": self.timed,
            **plain_fields(self.report, CONTENDER_KEYS),
            "cost": plain(self.report.totals.as_is),
            "latency": {
                key: {**plain(one), "throughput_per_s": self.per_s(key)}
                for key, one in self.latencies.items()
            },
        }


class Comparison(Result):
    """Models held against the first of them.

    Args:
        contenders: All of them, the reference first.
        versus: Each of the others against the reference.
        every_layer: Whether layers that are the same are to be shown as well.
        notes: What the reader must know about the figures.
        layers: Whether layers are to be shown; by default those of related models are.
        environment: Where the models were timed in turns, if they were.
        untimed: Those of the notes that tell what was to be timed and was not.
    """

    contenders: tuple[Contender, ...]
    versus: tuple[Versus, ...]
    every_layer: bool = False
    notes: tuple[str, ...] = ()
    layers: bool | None = None
    environment: Environment | None = None
    untimed: tuple[str, ...] = ()

    def in_a_line(self) -> str:
        """Return what was held against what."""
        return f"{', '.join(one.label for one in self.versus)} against {self.reference.label}"

    @property
    def reference(self) -> Contender:
        """What the others are held against."""
        return self.contenders[0]

    @property
    def are_related(self) -> bool:
        """Whether each two of the models share a fifth of their layers or more."""
        reports = (one.report for one in self.contenders)
        return all(
            are_related(held_as(one, another), held_as(another, one))
            for one, another in combinations(reports, 2)
        )

    def layers_of(self, versus: Versus) -> tuple[LayerPair, ...]:
        """Return the layers to be shown, where layers are."""
        return versus.layers if self.every_layer else versus.differing

    def to_dict(self) -> dict[str, Any]:
        """Return the comparison as plain JSON values; counts are exact."""
        return {
            "reference": self.reference.label,
            "environment": plain(self.environment),
            "related": self.are_related,
            "compared": [one.to_dict() for one in self.contenders],
            "differences": [
                one.to_dict(() if self.layers is False else self.layers_of(one))
                for one in self.versus
            ],
            "notes": list(self.notes),
        }


def held_against(reference: Contender, other: Contender) -> Versus:
    """Return what differs between two models."""
    ours = held_as(reference.report, other.report)
    theirs = held_as(other.report, reference.report)
    partner = partners(ours, theirs)
    # what is only alike may stand anywhere
    order = [at for our, at in sorted(partner.items()) if ours[our].name == theirs[at].name]
    metrics = metrics_of((reference.report, other.report))
    return Versus(
        other.label,
        tuple(Difference(name, reference.figure(name), other.figure(name)) for name in metrics),
        tuple(_latencies(reference, other)),
        tuple(_pairs(reference, other, ours, theirs, partner)),
        is_reordered=order != sorted(order),
    )


def _pairs(
    reference: Contender,
    other: Contender,
    ours: Sequence[Layer],
    theirs: Sequence[Layer],
    partner: Mapping[int, int],
) -> Iterator[LayerPair]:
    """Yield all layers in pairs, each with what became of it."""
    sources = {one.report.source for one in (reference, other)}
    gone: set[int] = set()
    if ONNX in sources:
        mine, its = folded(ours, theirs, partner)
        back = {at: our for our, at in partner.items()}
        gone = {id(ours[at]) for our in mine for at in (our - 1, our)}
        gone |= {id(theirs[at]) for at in its} | {id(ours[back[at - 1]]) for at in its}
    for before, now in in_order(ours, theirs, partner):
        pair = _pair(before, now, sources)
        is_folded = id(before) in gone or id(now) in gone
        has_changed = bool(pair.difference("params").change)
        yield pair._replace(status="folded") if is_folded and has_changed else pair


def _latencies(reference: Contender, other: Contender) -> Iterator[Difference]:
    if reference.place is None or reference.place != other.place:
        return
    for setting, before in reference.latencies.items():
        now = other.latencies.get(setting)
        if now:
            yield Difference("latency_s", before.median_s, now.median_s, setting)


def _pair(before: Layer | None, now: Layer | None, sources: Set[str]) -> LayerPair:
    if before is None or now is None:
        return LayerPair(before, now, "only_other" if before is None else "only_reference")
    # frameworks, and exporters, have classes and names of their own, and move other bytes
    if ONNX in sources and (len(sources) > 1 or before.name != now.name):
        same = is_kept(before, now)
    else:
        same = nature(before) == nature(now) and before.cost.agrees_with(now.cost)
    return LayerPair(before, now, "same" if same else "changed")
