"""A target → the same model depthwise-separable, with its plan and what came of it."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from os import PathLike
from pathlib import Path
from typing import Any, NamedTuple

from torch import nn

from dscost.analysis import Request, count
from dscost.analysis.choice_timing import time_both
from dscost.converting.applying import LayerConversion, conversion, conversion_of_own
from dscost.converting.choosing import (
    Figures,
    Goal,
    LayerOffers,
    Metric,
    Offer,
    Planned,
    applied,
    meets,
    parse_goal,
    reached,
    trade_off,
)
from dscost.converting.loading import Subject, class_names, load_subject
from dscost.converting.options import (
    Progress,
    able_layers,
    every_offer,
    layer_times,
    scaled_to_whole,
)
from dscost.converting.plan_file import Decision, Plan, plan_of, plan_text
from dscost.converting.results import Converted, Latency, LayerOutcome, Outcome
from dscost.converting.sites import MIN_CHANNELS, Where
from dscost.errors import InputError
from dscost.notation.inputs import inputs_of
from dscost.notation.units import format_count, format_seconds
from dscost.reports.figures import Cost
from dscost.reports.records import Environment, Speedup
from dscost.timing import TimingOptions

METRIC_BY_DEFAULT: Metric = "macs"


class Result(NamedTuple):
    """A converted model.

    Args:
        module: A new one.
        plan: What was done, to be written by `plan_file`.
        converted: What came of it.
    """

    module: nn.Module
    plan: Plan
    converted: Converted


class _Decided(NamedTuple):
    """A plan, what it was chosen from, and why the other layers stay."""

    plan: Plan
    planned: Planned
    layers: Sequence[LayerOffers]
    reasons: Mapping[str, str]
    as_is: Figures
    goal: Goal | None = None
    environment: Environment | None = None
    notes: tuple[str, ...] = ()

    @property
    def metric(self) -> Metric:
        """Which cost the curve has."""
        return self.goal.cost_metric if self.goal else METRIC_BY_DEFAULT


def plan(
    target: "str | PathLike[str] | nn.Module",
    goal: str,
    *,
    where: Where = None,
    min_channels: int = MIN_CHANNELS,
    input: Any = None,
    weights: str | PathLike[str] | None = None,
    trust: bool = False,
    time_budget_s: float | None = None,
) -> Plan:
    """Return the plan of least error that meets a goal, to be given to `dscost.convert(…, plan=…)`.

    Args:
        target: An `nn.Module`, which is left as it is, or any target of the command line.
        goal: `macs=0.5x`, `params=4M`, `latency_s=20ms` or `error=0.3`.
        where: As of `dscost.convert`.
        min_channels: As of `dscost.convert`.
        input: As `dscost.analyze` takes it.
        weights: A safetensors file or a state dict for the target.
        trust: As of `dscost.analyze`.
        time_budget_s: Seconds that measuring may take, for a goal of latency.

    Raises:
        InputError: The goal is none or cannot be reached, the target or an argument is wrong.
        UnavailableError: Something that is needed is not installed, or cannot be timed.

    >>> from torch import nn
    >>> layers = nn.Sequential(nn.Conv2d(64, 64, 3), nn.Conv2d(64, 64, 3))
    >>> plan(layers, "macs=0.6x", input=(1, 64, 8, 8)).layers
    {'0': 3, '1': 'keep'}
    """
    subject = load_subject(target, input=input, weights=weights, trust=trust)
    timing = TimingOptions(budget_s=time_budget_s)
    with subject.importing():
        return _for_goal(subject, parse_goal(goal), where, min_channels, timing, None).plan


def convert_target(
    target: "str | PathLike[str] | nn.Module",
    *,
    goal: str | None = None,
    rank: int | None = None,
    plan: Plan | Mapping[str, Decision] | str | PathLike[str] | None = None,
    where: Where = None,
    min_channels: int | None = None,
    input: Any = None,
    batch: int | None = None,
    settings: Mapping[str, Any] | None = None,
    kwargs: Mapping[str, Any] | None = None,
    weights: str | PathLike[str] | None = None,
    ignore_extra: bool = False,
    trust: bool = False,
    timing: TimingOptions | None = None,
    every_layer: bool = False,
    progress: Progress | None = None,
) -> Result:
    """Return a target depthwise-separable: by a goal, by a plan, or every layer at one rank.

    Args:
        target: As of `plan`.
        goal: As of `plan`.
        rank: Of every layer; 1 where neither a goal nor a plan is given.
        plan: As of `dscost.convert`.
        where: As of `dscost.convert`; a plan says it itself.
        min_channels: Likewise.
        input: As `dscost.analyze` takes it; by default that of the plan, or what the target states.
        batch: Replaces the batch of the first input.
        settings: Of an architecture.
        kwargs: Of the factory of a torch model.
        weights: As of `plan`.
        ignore_extra: Whether weights that the target does not have are left out.
        trust: As of `plan`.
        timing: How to measure, for a goal of latency; its seed is that of random weights.
        every_layer: Whether tables show the layers that could not be converted one by one.
        progress: Told what is done.

    Raises:
        InputError: Something that was given is wrong, or the goal cannot be reached.
        UnavailableError: Something that is needed is not installed, or cannot be timed.
    """
    _check_one_way(goal=goal, rank=rank, plan=plan, where=where, min_channels=min_channels)
    wanted = None if goal is None else parse_goal(goal)
    given = None if plan is None else plan_of(Path(plan) if isinstance(plan, PathLike) else plan)
    naming_input: AbstractContextManager[None] = nullcontext()
    if given is not None and input is None and given.inputs:
        input, naming_input = inputs_of(given.inputs), given.naming_its_input()
    timing = timing or TimingOptions()
    with naming_input:
        subject = load_subject(
            target,
            input=input,
            batch=batch,
            settings=settings,
            kwargs=kwargs,
            weights=weights,
            ignore_extra=ignore_extra,
            trust=trust,
            seed=timing.seed,
        )
    fewest = MIN_CHANNELS if min_channels is None else min_channels
    if progress:
        progress(0.0, "looking at weights")
    with subject.importing():
        if given is not None:
            decided = _by_plan(subject, given)
        elif wanted is not None:
            decided = _for_goal(subject, wanted, where, fewest, timing, progress)
        else:
            decided = _at_rank(subject, rank or 1, where, fewest)
        result = _converted(subject, decided, every_layer=every_layer)
        if wanted is None or wanted.metric != "latency_s":
            return result
        return _measured(subject, result, wanted, timing, progress)


def plan_file(result: Result) -> str:
    """Return the plan of a result as YAML, with its figures as comments."""
    outcome = result.converted.outcome
    figures = {layer.name: _figures_of(layer) for layer in outcome.layers if layer.planned}
    before, after = outcome.before, outcome.after
    head = [
        f"total error {outcome.error:.4f} of kernels, no accuracy: the root mean square over these layers, 0 if kept",
        f"{format_count(before.macs)} → {format_count(after.macs)} MACs, "
        f"{format_count(before.params)} → {format_count(after.params)} params",
    ]
    if outcome.latency:
        before_s, after_s, predicted = outcome.latency
        how = "predicted from the layers' times" if predicted else "measured"
        head.append(f"{format_seconds(before_s)} → {format_seconds(after_s)}, {how}")
    return plan_text(result.plan, figures=figures, head=head)


def _figures_of(layer: LayerOutcome) -> str:
    parts = [] if layer.error is None else [f"error {layer.error:.3f}"]
    for before, after, unit in (
        (layer.before and layer.before.macs, layer.after and layer.after.macs, "MACs"),
        (layer.params_before, layer.params_after, "params"),
    ):
        if before is not None and after is not None:
            shown = dict.fromkeys((format_count(before), format_count(after)))
            parts.append(f"{' → '.join(shown)} {unit}")
    return ", ".join(parts)


def _check_one_way(**given: Any) -> None:
    """Refuse a goal, a rank and a plan at once, and with a plan what the plan says itself."""
    ways = [name for name in ("goal", "rank", "plan") if given[name] is not None]
    if len(ways) > 1:
        raise InputError(
            f"give one of --goal, --rank and --plan, found {' and '.join(f'--{way}' for way in ways)}"
        )
    if given["plan"] is not None:
        for name, option in (("where", "--where"), ("min_channels", "--min-channels")):
            if given[name] is not None:
                raise InputError(
                    f"{option} has no meaning with --plan: the plan says which layers are converted"
                )


# -- deciding


def _by_plan(subject: Subject, given: Plan) -> _Decided:
    able, reasons = able_layers(subject, None, 1)
    given.check([one.name for one in able], reasons, class_names(subject.module))
    offers = every_offer(subject, able, decisions=given.layers)
    layers = [layer for layer in offers if layer.names[0] in given.layers]
    as_is = Figures(subject.cost.params, subject.cost.macs)
    planned = applied(given.layers, layers, as_is)
    made_for = [f"to reach {given.goal}"] if given.goal else []
    made_for += [f"for {given.target}"] if given.target not in (None, subject.target) else []
    notes = [f"The plan was made {', '.join(made_for)}."] if made_for else []
    notes += _capped(given.ranks, planned)
    return _Decided(
        _plan(subject, planned, given.goal), planned, layers, reasons, as_is, notes=tuple(notes)
    )


def _at_rank(subject: Subject, rank: int, where: Where, min_channels: int) -> _Decided:
    able, reasons = able_layers(subject, where, min_channels)
    layers = every_offer(subject, able)
    as_is = Figures(subject.cost.params, subject.cost.macs)
    ranks = {one.name: rank for one in able}
    planned = applied(ranks, layers, as_is)
    notes = tuple(_capped(ranks, planned))
    return _Decided(_plan(subject, planned, None), planned, layers, reasons, as_is, notes=notes)


def _capped(asked: Mapping[str, int], planned: Planned) -> Iterator[str]:
    """Yield that some ranks are more than their layers have, if so."""
    full = {
        name: planned.chosen[name].decision
        for name in asked
        if planned.chosen[name].decision != asked[name]
    }
    if not full:
        return
    ranks = sorted({asked[name] for name in full})
    above = f"Rank {ranks[0]} is" if len(ranks) == 1 else f"Ranks of {ranks[0]} to {ranks[-1]} are"
    least, most = min(full.values(), key=int), max(full.values(), key=int)
    had = f"{least}" if least == most else f"{least} to {most}"
    layers, have = ("1 layer", "it has") if len(full) == 1 else (f"{len(full)} layers", "they have")
    yield f"{above} more than the full rank of {layers}: {have} that, {had}."


def _dearer(layers: Sequence[LayerConversion]) -> Iterator[str]:
    """Yield how many converted layers cost more than before, if some do."""
    done = [one for one in layers if one.converted]
    counts = {
        "MACs": sum(
            bool(one.before and one.after and one.after.macs > one.before.macs) for one in done
        ),
        "params": sum((one.params_after or 0) > (one.params_before or 0) for one in done),
    }
    for number in dict.fromkeys(filter(None, counts.values())):
        figures = " and ".join(figure for figure, dearer in counts.items() if dearer == number)
        layer, cost = "layer" if len(done) == 1 else "layers", "costs" if number == 1 else "cost"
        yield f"{number} of {len(done)} converted {layer} {cost} more {figures} than before."


def _for_goal(
    subject: Subject,
    goal: Goal,
    where: Where,
    min_channels: int,
    timing: TimingOptions,
    progress: Progress | None,
) -> _Decided:
    able, reasons = able_layers(subject, where, min_channels)
    as_is = Figures(subject.cost.params, subject.cost.macs)
    environment, notes, times = None, [], None
    if goal.metric == "latency_s":
        times = layer_times(subject, able, timing, progress)
        as_is = as_is._replace(latency_s=times.whole_s)
        environment, notes = times.environment, [*times.warnings]
    layers = every_offer(subject, able, times=times)
    if times is not None:
        layers, scaled = scaled_to_whole(layers, times.whole_s)
        notes += scaled
    planned = reached(goal, layers, as_is)
    if not planned.converted:
        notes.append(f"{goal.text} is met by the model as it is: every layer is kept.")
    decided = _plan(subject, planned, goal.text)
    return _Decided(decided, planned, layers, reasons, as_is, goal, environment, tuple(notes))


def _plan(subject: Subject, planned: Planned, goal: str | None) -> Plan:
    return Plan(planned.decisions, subject.target, tuple(subject.input_specs()), goal)


# -- doing it


def _converted(subject: Subject, decided: _Decided, *, every_layer: bool) -> Result:
    convert = conversion_of_own if subject.is_own else conversion
    done = convert(subject.module, plan=decided.plan, input=subject.arguments)
    after = count(done.module, Request(subject.arguments)).report.totals.as_is
    expected = decided.planned.figures
    notes = [*subject.notes, *decided.notes, *_dearer(done.layers)]
    if decided.goal and (after.params, after.macs) != (expected.params, expected.macs):
        notes.append(
            f"The plan expected {expected.params:,} params and {expected.macs:,} MACs, the converted model has "
            f"{after.params:,} and {after.macs:,}: layers compute their weights, or share them with others that stay."
        )
    chosen = decided.planned.chosen
    kept = {name: layer.offers[0] for layer in decided.layers for name in layer.names[:1]}
    outcome = Outcome(
        target=subject.target,
        source=subject.source,
        inputs=subject.inputs,
        weights=subject.weights,
        goal=decided.goal and decided.goal.text,
        is_met=_is_met(decided, after),
        plan=decided.plan.layers,
        error=decided.planned.error,
        gap=decided.planned.gap,
        before=subject.cost,
        after=after,
        latency=_whole_latency(decided),
        layers=tuple(
            _layer_outcome(
                one, decided.reasons.get(one.name), kept.get(one.name), chosen.get(one.name)
            )
            for one in done.layers
        ),
        curve_metric=decided.metric,
        curve=trade_off(decided.layers, decided.as_is, decided.metric, decided.planned),
        notes=tuple(notes),
        explanations=subject.explanations,
    )
    return Result(done.module, decided.plan, Converted(outcome, decided.environment, every_layer))


def _is_met(decided: _Decided, after: Cost) -> bool | None:
    """Return whether the converted model meets the goal; unknown of a time that was not measured."""
    planned = decided.planned
    if decided.goal is None or (decided.metric == "latency_s" and planned.converted):
        return None
    figures = planned.figures._replace(params=after.params, macs=after.macs)
    return meets(decided.goal, figures, decided.as_is, planned.error)


def _measured(
    subject: Subject, result: Result, goal: Goal, timing: TimingOptions, progress: Progress | None
) -> Result:
    """Return the result with the time of the converted model itself, beside what its layers promised."""
    outcome = result.converted.outcome
    latency = outcome.latency
    assert latency is not None
    if not latency.is_predicted:
        return result
    modules = (subject.module, result.module)
    found = time_both(
        modules, subject.arguments, subject.cost, timing, dtype=subject.dtype, progress=progress
    )
    if found is None:
        return result
    before_s, speedup = found
    after_s = before_s / speedup.median
    promised = latency.after_s / latency.before_s
    note = (
        f"Timed by turns, the whole model takes {format_seconds(before_s)} as it is and {format_seconds(after_s)} "
        f"converted, {after_s / before_s:.3f} times as long; its layers promised {promised:.3f}."
    )
    outcome = outcome._replace(
        latency=Latency(before_s, after_s, is_predicted=False),
        is_met=_is_met_by(goal, before_s, speedup, outcome),
        notes=(*outcome.notes, note),
    )
    return result._replace(converted=result.converted._replace(outcome=outcome))


def _is_met_by(goal: Goal, before_s: float, speedup: Speedup, outcome: Outcome) -> bool | None:
    """Return whether a goal of latency is met; unknown where the interval of the speedup leaves it open."""
    as_is = Figures(outcome.before.params, outcome.before.macs, before_s)
    usual, best = (
        meets(goal, as_is._replace(latency_s=before_s / factor), as_is, outcome.error)
        for factor in (speedup.median, speedup.ci95[1])
    )
    return True if usual else None if best else False


def _whole_latency(decided: _Decided) -> Latency | None:
    before_s, after_s = decided.as_is.latency_s, decided.planned.figures.latency_s
    if before_s is None or after_s is None:
        return None
    return Latency(before_s, after_s, is_predicted=decided.planned.converted > 0)


def _layer_outcome(
    one: LayerConversion, reason: str | None, kept: Offer | None, chosen: Offer | None
) -> LayerOutcome:
    latency = None
    if kept and chosen and kept.latency_s and chosen.latency_s is not None:
        latency = Latency(
            kept.latency_s, chosen.latency_s, kept.is_predicted or chosen.is_predicted
        )
    return LayerOutcome(
        name=one.name,
        rank=one.rank,
        reason=None if one.converted else reason or one.reason,
        planned=chosen is not None,
        error=one.error,
        calls=one.calls,
        params_before=one.params_before,
        params_after=one.params_after,
        before=one.before,
        after=one.after,
        latency=latency,
        conv=one.conv,
    )
