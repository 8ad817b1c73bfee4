"""A decided subject → its conversion, done, and what is to be said of it."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from torch import nn

from dscost.analysis import Request, count
from dscost.analysis.choice_timing import time_both
from dscost.converting.applying import applied, undisturbed
from dscost.converting.choosing import Figures, Goal, meets, trade_off
from dscost.converting.deciding import Decided
from dscost.converting.exporting import Exported, as_program
from dscost.converting.loading import Subject
from dscost.converting.plan_file import Plan
from dscost.converting.results import Converted, Latency, LayerOutcome, Outcome, commented
from dscost.converting.sites import Site
from dscost.notation.units import format_seconds
from dscost.reports.figures import Cost
from dscost.reports.records import Speedup
from dscost.timing import Progress, TimingOptions


class ConvertedModel(NamedTuple):
    """A converted model.

    Args:
        module: A new one.
        plan: What was done.
        converted: What came of it.
        subject: What it was made of.
    """

    module: nn.Module
    plan: Plan
    converted: Converted
    subject: Subject

    def plan_text(self) -> str:
        """Return the plan as YAML, with its figures as comments."""
        return commented(self.plan, self.converted.outcome)

    def exported(self) -> Exported:
        """Return it as a program of torch.export.

        Raises:
            InputError: torch cannot export it.
        """
        with self.subject.importing():
            return as_program(self.module, self.subject.arguments, self.subject.dtype)


def done(
    subject: Subject,
    sites: Sequence[Site],
    decided: Decided,
    timing: TimingOptions,
    progress: Progress | None,
    *,
    every_layer: bool,
) -> ConvertedModel:
    """Return a subject converted as it was decided; timed, if a time was promised.

    Raises:
        InputError: It would do something else once converted, or its weights cannot be converted.
    """
    plan, planned = decided.plan, decided.planned
    with undisturbed():
        conversion = applied(
            subject.module,
            [site.decided(plan.layers) for site in sites],
            tried=subject.arguments,
            batches=subject.batches,
            keeps_tensors=subject.is_own,
        )
    after = count(conversion.module, Request(subject.arguments)).report.totals.as_is
    outcome = Outcome(
        target=subject.target,
        source=subject.source,
        inputs=subject.inputs,
        weights=subject.weights,
        goal=decided.goal and decided.goal.text,
        is_met=_is_met(decided, after),
        plan=plan.layers,
        error=planned.error,
        gap=planned.gap,
        before=subject.cost,
        after=after,
        latency=_whole_latency(decided),
        layers=tuple(_with_plan(one, decided) for one in conversion.layers),
        curve_metric=decided.metric,
        curve=trade_off(decided.layers, decided.as_is, decided.metric, planned),
        notes=(*subject.notes, *decided.notes, *_surprising(conversion.layers, decided, after)),
        explanations=subject.explanations,
    )
    if decided.goal and outcome.latency and outcome.latency.is_predicted:
        models = (subject.module, conversion.module)
        outcome = _measured(subject, models, outcome, decided.goal, timing, progress)
    converted = Converted(outcome, decided.environment, every_layer)
    return ConvertedModel(conversion.module, plan, converted, subject)


def _with_plan(layer: LayerOutcome, decided: Decided) -> LayerOutcome:
    """Return what became of a layer, with what the plan had to do with it."""
    chosen = decided.planned.chosen.get(layer.name)
    if chosen is None:
        return layer
    keeping = {options[0].names[0]: options[0] for options in decided.layers}
    kept, latency = keeping.get(layer.name), None
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
    planned = decided.planned
    if decided.goal is None or (decided.metric == "latency_s" and planned.converted):
        return None
    figures = planned.figures._replace(params=after.params, macs=after.macs)
    return meets(decided.goal, figures, decided.as_is, planned.error)


def _whole_latency(decided: Decided) -> Latency | None:
    before_s, after_s = decided.as_is.latency_s, decided.planned.figures.latency_s
    if before_s is None or after_s is None:
        return None
    return Latency(before_s, after_s, is_predicted=decided.planned.converted > 0)


def _measured(
    subject: Subject,
    models: tuple[nn.Module, nn.Module],
    outcome: Outcome,
    goal: Goal,
    timing: TimingOptions,
    progress: Progress | None,
) -> Outcome:
    """Return the outcome with the time of the converted model beside what was promised."""
    arguments, cost, dtype = subject.arguments, subject.cost, subject.dtype
    found = time_both(models, arguments, cost, timing, dtype=dtype, progress=progress)
    if found is None:
        return outcome
    before_s, speedup = found
    after_s = before_s / speedup.median
    assert outcome.latency is not None
    promised = outcome.latency.after_s / outcome.latency.before_s
    note = (
        f"Timed by turns, the whole model takes {format_seconds(before_s)} as it is and "
        f"{format_seconds(after_s)} converted, {after_s / before_s:.3f} times as long; "
        f"its layers promised {promised:.3f}."
    )
    return outcome._replace(
        latency=Latency(before_s, after_s, is_predicted=False),
        is_met=_is_met_by(goal, before_s, speedup, outcome),
        notes=(*outcome.notes, note),
    )


def _is_met_by(goal: Goal, before_s: float, speedup: Speedup, outcome: Outcome) -> bool | None:
    """Return whether a goal of latency is met; unknown where the speedup leaves it open."""
    as_is = Figures(outcome.before.params, outcome.before.macs, before_s)
    usual, best = (
        meets(goal, as_is._replace(latency_s=before_s / factor), as_is, outcome.error)
        for factor in (speedup.median, speedup.ci95[1])
    )
    return True if usual else None if best else False
