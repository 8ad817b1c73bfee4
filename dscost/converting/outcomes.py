"""What was decided and done → what is to be said of it. No torch."""

from collections.abc import Iterator, Sequence
from typing import Protocol

from dscost.converting.choosing import SCORE, meets, trade_off
from dscost.converting.deciding import Decided, Subject
from dscost.converting.results import ErrorOf, Latency, LayerOutcome, Outcome
from dscost.converting.sites import Site
from dscost.reports.figures import Cost
from dscost.reports.records import Input


class Told(Subject, Protocol):
    """What was converted, as far as it is told of."""

    @property
    def source(self) -> str:
        """Where it was found."""

    @property
    def inputs(self) -> tuple[Input, ...]:
        """What it was counted on."""

    @property
    def weights(self) -> str | None:
        """The file that its weights are from, where that is another one."""

    @property
    def notes(self) -> tuple[str, ...]:
        """What the reader must know."""

    @property
    def explanations(self) -> tuple[str, ...]:
        """What helps to read the errors."""


def layer_outcome(
    site: Site, error: float | None = None, error_of: ErrorOf | None = None
) -> LayerOutcome:
    """Return what became of a site, with the error of its weights where they were decomposed."""
    return LayerOutcome(
        name=site.name,
        rank=site.form and site.form.rank,
        order=site.form and site.form.order,
        reason=site.reason,
        planned=False,
        error=error,
        calls=site.calls,
        params_before=site.params(),
        params_after=site.params(site.form),
        before=site.cost(),
        after=site.cost(site.form),
        latency=None,
        conv=site.conv,
        error_of=error_of,
        swappable=site.swappable,
    )


def outcome_of(
    subject: Told, decided: Decided, layers: Sequence[LayerOutcome], after: Cost
) -> Outcome:
    """Return what became of a model, which costs so much now."""
    planned = decided.planned
    return Outcome(
        target=subject.target,
        source=subject.source,
        inputs=subject.inputs,
        weights=subject.weights,
        goal=decided.goal and decided.goal.text,
        is_met=_is_met(decided, after),
        plan=decided.plan.layers,
        error=planned.error,
        gap=planned.gap,
        before=subject.cost,
        after=after,
        latency=_whole_latency(decided),
        layers=tuple(_with_plan(one, decided) for one in layers),
        curve_metric=decided.metric,
        curve=trade_off(decided.layers, decided.as_is, decided.metric, planned),
        notes=(*subject.notes, *decided.notes, *_surprising(layers, decided, after)),
        explanations=subject.explanations,
        nearest=planned.nearest,
        aimed=decided.aimed and decided.aimed.text,
        advice=decided.advice,
        proof=decided.proof,
        runtime=decided.runtime,
        clock=decided.clock,
        scored=decided.scored,
    )


def _with_plan(layer: LayerOutcome, decided: Decided) -> LayerOutcome:
    """Return what became of a layer, with what the plan had to do with it."""
    layer = layer._replace(latency=decided.layer_latencies.get(layer.name))
    chosen = decided.planned.chosen.get(layer.name)
    if chosen is None:
        return layer
    keeping = {options[0].names[0]: options[0] for options in decided.layers}
    kept, latency = keeping.get(layer.name), layer.latency
    if kept and kept.latency_s and chosen.latency_s is not None:
        predicted = kept.is_predicted or chosen.is_predicted
        latency = Latency(kept.latency_s, chosen.latency_s, predicted)
    return layer._replace(planned=True, latency=latency)


def _surprising(layers: Sequence[LayerOutcome], decided: Decided, after: Cost) -> Iterator[str]:
    """Yield how many converted layers cost more than before, and what was planned for a goal."""
    done = [one for one in layers if one.converted]
    macs = sum(bool(one.before and one.after and one.after.macs > one.before.macs) for one in done)
    params = sum((one.params_after or 0) > (one.params_before or 0) for one in done)
    counts = {"MACs": macs, "params": params}
    for number in dict.fromkeys(filter(None, counts.values())):
        figures = " and ".join(figure for figure, dearer in counts.items() if dearer == number)
        layer = "layer" if len(done) == 1 else "layers"
        costs = "costs" if number == 1 else "cost"
        yield f"{number} of {len(done)} converted {layer} {costs} more {figures} than before."
    expected = decided.planned.figures
    if decided.goal and (after.params, after.macs) != (expected.params, expected.macs):
        yield (
            f"The plan expected {expected.params:,} params and {expected.macs:,} MACs, "
            f"the converted model has {after.params:,} and {after.macs:,}: "
            "layers compute their weights, or share them with others that stay."
        )


def _is_met(decided: Decided, after: Cost) -> bool | None:
    """Return whether the converted model meets the goal; unknown of a time not measured."""
    planned, scored = decided.planned, decided.scored
    if decided.goal is not None and decided.goal.metric == SCORE:
        return scored is not None and scored.is_kept
    if decided.goal is None or (decided.metric == "latency_s" and planned.converted):
        return None  # a time has to be measured
    figures = planned.figures._replace(params=after.params, macs=after.macs)
    return meets(decided.goal, figures, decided.as_is, planned.error)


def _whole_latency(decided: Decided) -> Latency | None:
    if decided.latency is not None:
        return decided.latency
    before_s, after_s = decided.as_is.latency_s, decided.planned.figures.latency_s
    if before_s is None or after_s is None:
        return None
    return Latency(before_s, after_s, is_predicted=decided.planned.converted > 0)
