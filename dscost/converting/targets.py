"""A target → the same model depthwise-separable, with its plan and what came of it."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from dscost.analysis import count, module_source
from dscost.analysis.choice_timing import AS_IS, ChoiceTimes, Seconds, Timeable, time_choices
from dscost.building import with_values
from dscost.converting.candidates import Candidate, candidates
from dscost.converting.conversion import LayerConversion, conversion
from dscost.converting.outcome import Converted, Latency, LayerOutcome, Outcome
from dscost.converting.planning import (
    Figures,
    Goal,
    LayerOffers,
    Offer,
    Planned,
    applied,
    figure_text,
    parse_goal,
    reached,
    trade_off,
)
from dscost.converting.plans import KEEP, Decision, Plan, plan_of, plan_text
from dscost.converting.surveying import MIN_CHANNELS, Where
from dscost.converting.weights import load_weights
from dscost.errors import InputError
from dscost.inputs import TensorSpec, inputs_of
from dscost.results import Cost, Environment, Input
from dscost.timing import TimingOptions
from dscost.tracing import Arguments, same_random_state
from dscost.units import format_count

Progress = Callable[[float, str], None]

MADE_BY_DSCOST = ("builtin", "yaml")
RANDOM = ("builtin", "yaml", "torchvision", "timm")
"""Sources whose models have random weights unless a file gives others."""
RANDOM_NOTE = (
    "The weights are random, so there is nothing to exploit: errors at rank 1 are near sqrt(1 − (1 + K/√N)²/K²). "
    "Those of trained weights (--weights) are smaller."
)


class Subject(NamedTuple):
    """A model to be converted.

    Args:
        target: What the user calls it.
        source: Where it was found.
        module: With values.
        arguments: Of its forward.
        cost: Of the whole.
        inputs: What it was counted on.
        weights: The file that its weights are from.
        notes: What the reader must know.
    """

    target: str
    source: str
    module: nn.Module
    arguments: Arguments
    cost: Cost
    inputs: tuple[Input, ...]
    weights: str | None
    notes: tuple[str, ...]


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
    """A plan, and what it was chosen from."""

    plan: Plan
    planned: Planned
    layers: tuple[LayerOffers, ...]
    goal: Goal | None
    as_is: Figures
    environment: Environment | None = None
    notes: tuple[str, ...] = ()


def plan(
    target: "str | PathLike[str] | nn.Module",
    goal: str,
    *,
    where: Where = None,
    min_channels: int = MIN_CHANNELS,
    input: Any = None,
    weights: str | PathLike[str] | None = None,
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
        time_budget_s: Seconds that measuring may take, for a goal of latency.

    Raises:
        InputError: The goal is none or cannot be reached, the target or an argument is wrong.
        UnavailableError: Something that is needed is not installed, or cannot be timed.

    >>> from torch import nn
    >>> layers = nn.Sequential(nn.Conv2d(64, 64, 3), nn.Conv2d(64, 64, 3))
    >>> sorted(map(str, plan(layers, "macs=0.6x", input=(1, 64, 8, 8)).layers.values()))
    ['1', 'keep']
    """
    subject = load_subject(target, input=input, weights=weights)
    timing = TimingOptions(budget_s=time_budget_s)
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
    if given is not None and input is None and given.inputs:
        input = inputs_of(given.inputs)
    timing = timing or TimingOptions()
    subject = load_subject(
        target, input=input, batch=batch, settings=settings, kwargs=kwargs, weights=weights, seed=timing.seed
    )
    fewest = MIN_CHANNELS if min_channels is None else min_channels
    if progress:
        progress(0.0, "looking at weights")
    if given is not None:
        decided = _by_plan(subject, given)
    elif wanted is not None:
        decided = _for_goal(subject, wanted, where, fewest, timing, progress)
    else:
        decided = _at_rank(subject, rank or 1, where, fewest)
    return _converted(subject, decided, where, fewest if given is None else 1, every_layer=every_layer)


def load_subject(
    target: "str | PathLike[str] | nn.Module",
    *,
    input: Any = None,
    batch: int | None = None,
    settings: Mapping[str, Any] | None = None,
    kwargs: Mapping[str, Any] | None = None,
    weights: str | PathLike[str] | None = None,
    seed: int = 0,
) -> Subject:
    """Return a target as a module with values: those of a file, those that its code gives it, or random ones.

    Raises:
        InputError: The target or an argument is wrong, or the weights do not fit.
        UnavailableError: Something that is needed is not installed.
    """
    source, arguments, name = module_source(target, input=input, batch=batch, settings=settings, kwargs=kwargs)
    with same_random_state():
        torch.manual_seed(seed)
        if source.make_real is not None:
            module = source.make_real()
        elif source.kind == "module" and weights is None:
            module = source.module  # it is not changed
        else:
            module = with_values(source.module)
    notes = [*source.notes]
    if weights is not None:
        hint = ""
        if source.kind in MADE_BY_DSCOST:
            hint = "; a model of dscost names its tensors in its own way: those of torchvision fit torchvision:NAME"
        notes += load_weights(module, Path(weights), hint=hint)
    elif source.kind in RANDOM:
        notes.append(RANDOM_NOTE)
    report = count(module, input=arguments).report
    return Subject(
        name,
        source.kind,
        module,
        arguments,
        report.totals.as_is,
        report.inputs,
        None if weights is None else str(weights),
        (*notes, *report.warnings),
    )


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
        before_s, after_s, _ = outcome.latency
        head.append(f"{figure_text('latency_s', before_s)} → {figure_text('latency_s', after_s)}, {PREDICTED}")
    return plan_text(result.plan, figures=figures, head=head)


PREDICTED = "predicted from the layers' times"


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
        raise InputError(f"give one of --goal, --rank and --plan, found {' and '.join(f'--{way}' for way in ways)}")
    if given["plan"] is not None:
        for name, option in (("where", "--where"), ("min_channels", "--min-channels")):
            if given[name] is not None:
                raise InputError(f"{option} has no meaning with --plan: the plan says which layers are converted")


# -- deciding


def _by_plan(subject: Subject, given: Plan) -> _Decided:
    found = candidates(subject.module, min_channels=1, input=subject.arguments)
    able = {one.name: one for one in found if one.reason is None}
    given.check(able, {one.name: one.reason for one in found if one.reason is not None})
    layers = tuple(_offers(one, METRIC_BY_DEFAULT) for name, one in able.items() if name in given.layers)
    as_is = Figures(subject.cost.params, subject.cost.macs)
    planned = applied(given.layers, layers, as_is)
    notes = []
    if given.target not in (None, subject.target):
        notes.append(f"The plan was made for {given.target}.")
    return _Decided(_plan(subject, planned, given.goal), planned, layers, None, as_is, notes=tuple(notes))


METRIC_BY_DEFAULT = "macs"


def _at_rank(subject: Subject, rank: int, where: Where, min_channels: int) -> _Decided:
    able = _able(subject, where, min_channels)
    layers = tuple(_offers(one, METRIC_BY_DEFAULT) for one in able)
    as_is = Figures(subject.cost.params, subject.cost.macs)
    planned = applied({one.name: rank for one in able}, layers, as_is)
    return _Decided(_plan(subject, planned, None), planned, layers, None, as_is)


def _for_goal(
    subject: Subject,
    goal: Goal,
    where: Where,
    min_channels: int,
    timing: TimingOptions,
    progress: Progress | None,
) -> _Decided:
    able = _able(subject, where, min_channels)
    as_is = Figures(subject.cost.params, subject.cost.macs)
    environment, notes, times = None, [], None
    if goal.metric == "latency_s":
        times = _times(subject, able, timing, progress)
        as_is = as_is._replace(latency_s=times.whole_s)
        environment, notes = times.environment, list(times.warnings)
    layers = tuple(_offers(one, goal.cost_metric, times) for one in able)
    if times is not None:
        layers, note = _scaled(layers, times.whole_s)
        notes += note
    planned = reached(goal, layers, as_is)
    if not planned.converted:
        notes.append(f"{goal.text} is met by the model as it is: every layer is kept.")
    return _Decided(_plan(subject, planned, goal.text), planned, layers, goal, as_is, environment, tuple(notes))


def _able(subject: Subject, where: Where, min_channels: int) -> list[Candidate]:
    found = candidates(subject.module, where=where, min_channels=min_channels, input=subject.arguments)
    return [one for one in found if one.reason is None]


def _plan(subject: Subject, planned: Planned, goal: str | None) -> Plan:
    return Plan(planned.decisions, subject.target, tuple(_specs(subject)), goal)


def _specs(subject: Subject) -> Iterator[TensorSpec]:
    """Yield the inputs as a plan file has them; nothing where they are no plain tensors."""
    args, kwargs = subject.arguments
    if not all(isinstance(value, Tensor) for value in (*args, *kwargs.values())):
        return
    own = next((tensor.dtype for tensor in subject.module.parameters() if tensor.is_floating_point()), torch.float32)
    for name, tensor in [*((None, arg) for arg in args), *kwargs.items()]:
        dtype = None if tensor.dtype == own else str(tensor.dtype).removeprefix("torch.")
        yield TensorSpec(tuple(tensor.shape), dtype, name)


def _offers(one: Candidate, metric: str, times: ChoiceTimes | None = None) -> LayerOffers:
    """Return every rank of a layer; with times, those alone that have fewer MACs and whose time is known."""
    assert one.params is not None
    kept_macs = one.cost.macs if one.cost else 0
    macs = [cost.macs for cost in one.rank_costs] or [0] * len(one.ranks)
    keep = Offer(KEEP, 0.0, one.params, kept_macs)
    ranks = [
        Offer(rank, error, params, cost)
        for rank, error, params, cost in zip(one.ranks, one.errors, one.rank_params, macs, strict=True)
    ]
    if times is None:
        return LayerOffers(one.name, (keep, *ranks))
    known = _seconds(one, AS_IS, times)
    if known is None:
        return LayerOffers(one.name, (keep._replace(latency_s=0.0, is_predicted=True),))
    timed = [keep._replace(latency_s=known.seconds, is_predicted=known.is_predicted)]
    for offer in ranks:
        found = _seconds(one, int(offer.decision), times) if offer.macs < kept_macs else None
        if found is not None:
            timed.append(offer._replace(latency_s=found.seconds, is_predicted=found.is_predicted))
    return LayerOffers(one.name, tuple(timed))


# -- times


def _times(
    subject: Subject, able: Sequence[Candidate], timing: TimingOptions, progress: Progress | None
) -> ChoiceTimes:
    convs: dict[object, Timeable] = {}
    for one in able:
        assert one.conv is not None
        kept_macs = one.cost.macs if one.cost else 0
        ranks = tuple(rank for rank, cost in zip(one.ranks, one.rank_costs, strict=False) if cost.macs < kept_macs)
        for shape in one.input_shapes if ranks else ():
            new = Timeable(one.name, one.conv, shape, ranks, 0)
            known = convs.setdefault(new.key, new)
            convs[new.key] = known._replace(calls=known.calls + 1)
    dtype = next((one.dtype for one in able if one.dtype), "float32")
    return time_choices(
        subject.module, subject.arguments, subject.cost, list(convs.values()), timing, dtype=dtype, progress=progress
    )


def _seconds(one: Candidate, rank: int, times: ChoiceTimes) -> Seconds | None:
    """Return the time of all calls of a layer at a rank, or `None` where one of them is unknown."""
    assert one.conv is not None
    found = [times.of.get((one.conv, shape), {}).get(rank) for shape in one.input_shapes]
    known = [one for one in found if one is not None]
    if len(known) < len(found):
        return None
    return Seconds(sum(one.seconds for one in known), any(one.is_predicted for one in known))


def _scaled(layers: tuple[LayerOffers, ...], whole_s: float) -> tuple[tuple[LayerOffers, ...], list[str]]:
    """Return times that do not exceed that of the model: layers alone may take longer than within it."""
    total_s = sum(layer.offers[0].latency_s or 0.0 for layer in layers)
    if total_s <= whole_s:
        return layers, []
    factor = whole_s / total_s
    scaled = tuple(
        layer._replace(
            offers=tuple(
                offer._replace(latency_s=None if offer.latency_s is None else offer.latency_s * factor)
                for offer in layer.offers
            )
        )
        for layer in layers
    )
    return scaled, [f"The layers alone took {1 / factor:.2f} times as long as the whole model; scaled to it."]


# -- doing it


def _converted(subject: Subject, decided: _Decided, where: Where, min_channels: int, *, every_layer: bool) -> Result:
    done = conversion(subject.module, plan=decided.plan, input=subject.arguments)
    after = count(done.module, input=subject.arguments).report.totals.as_is
    metric = METRIC_BY_DEFAULT if decided.goal is None else decided.goal.cost_metric
    chosen = decided.planned.chosen
    kept = {layer.name: layer.offers[0] for layer in decided.layers}
    # a layer that was not the plan's to decide says why in the words of what was asked
    asked = candidates(subject.module, where=where, min_channels=min_channels, input=None)
    reasons = {one.name: one.reason for one in asked}
    outcome = Outcome(
        target=subject.target,
        source=subject.source,
        inputs=subject.inputs,
        weights=subject.weights,
        goal=decided.plan.goal,
        plan=decided.plan.layers,
        error=decided.planned.error,
        gap=decided.planned.gap,
        before=subject.cost,
        after=after,
        latency=_whole_latency(decided),
        layers=tuple(
            _layer_outcome(one, reasons.get(one.name), kept.get(one.name), chosen.get(one.name)) for one in done.layers
        ),
        curve_metric=metric,
        curve=trade_off(decided.layers, decided.as_is, metric, decided.planned),
        notes=(*subject.notes, *decided.notes),
    )
    return Result(done.module, decided.plan, Converted(outcome, decided.environment, every_layer))


def _whole_latency(decided: _Decided) -> Latency | None:
    before_s, after_s = decided.as_is.latency_s, decided.planned.figures.latency_s
    if before_s is None or after_s is None:
        return None
    return Latency(before_s, after_s, is_predicted=decided.planned.converted > 0)


def _layer_outcome(one: LayerConversion, reason: str | None, kept: Offer | None, chosen: Offer | None) -> LayerOutcome:
    latency = None
    if kept and chosen and kept.latency_s and chosen.latency_s is not None:
        latency = Latency(kept.latency_s, chosen.latency_s, kept.is_predicted or chosen.is_predicted)
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
