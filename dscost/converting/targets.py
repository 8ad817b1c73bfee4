"""A target → the same model depthwise-separable, with its plan and what came of it."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from dscost.analysis import count, module_source
from dscost.analysis.choice_timing import AS_IS, ChoiceTimes, Seconds, Timeable, time_both, time_choices
from dscost.building import with_values
from dscost.converting.candidates import Candidate, candidates
from dscost.converting.conversion import LayerConversion, conversion
from dscost.converting.outcome import Converted, Latency, LayerOutcome, Outcome
from dscost.converting.planning import (
    Figures,
    Goal,
    LayerOffers,
    Metric,
    Offer,
    Planned,
    applied,
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
from dscost.units import format_count, format_seconds

Progress = Callable[[float, str], None]

METRIC_BY_DEFAULT: Metric = "macs"
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
    """A plan, what it was chosen from, and why the other layers stay."""

    plan: Plan
    planned: Planned
    layers: Sequence[LayerOffers]
    reasons: Mapping[str, str]
    as_is: Figures
    goal: str | None = None
    metric: Metric = METRIC_BY_DEFAULT
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
    >>> plan(layers, "macs=0.6x", input=(1, 64, 8, 8)).layers
    {'0': 3, '1': 'keep'}
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
    result = _converted(subject, decided, every_layer=every_layer)
    return _measured(subject, result, timing, progress) if result.converted.outcome.latency else result


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
    elif source.make_real is not None:
        notes.append(f"The weights are those that {name} makes: --weights reads others.")
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
        raise InputError(f"give one of --goal, --rank and --plan, found {' and '.join(f'--{way}' for way in ways)}")
    if given["plan"] is not None:
        for name, option in (("where", "--where"), ("min_channels", "--min-channels")):
            if given[name] is not None:
                raise InputError(f"{option} has no meaning with --plan: the plan says which layers are converted")


# -- deciding


def _by_plan(subject: Subject, given: Plan) -> _Decided:
    able, reasons = _able(subject, None, 1)
    given.check([one.name for one in able], reasons)
    offers = _every_offer(subject, able, decisions=given.layers)
    layers = [layer for layer in offers if layer.names[0] in given.layers]
    as_is = Figures(subject.cost.params, subject.cost.macs)
    planned = applied(given.layers, layers, as_is)
    made_for = [f"to reach {given.goal}"] if given.goal else []
    made_for += [f"for {given.target}"] if given.target not in (None, subject.target) else []
    notes = (f"The plan was made {', '.join(made_for)}.",) if made_for else ()
    return _Decided(_plan(subject, planned, given.goal), planned, layers, reasons, as_is, notes=notes)


def _at_rank(subject: Subject, rank: int, where: Where, min_channels: int) -> _Decided:
    able, reasons = _able(subject, where, min_channels)
    layers = _every_offer(subject, able)
    as_is = Figures(subject.cost.params, subject.cost.macs)
    planned = applied({one.name: rank for one in able}, layers, as_is)
    return _Decided(_plan(subject, planned, None), planned, layers, reasons, as_is)


def _for_goal(
    subject: Subject,
    goal: Goal,
    where: Where,
    min_channels: int,
    timing: TimingOptions,
    progress: Progress | None,
) -> _Decided:
    able, reasons = _able(subject, where, min_channels)
    as_is = Figures(subject.cost.params, subject.cost.macs)
    environment, notes, times = None, [], None
    if goal.metric == "latency_s":
        times = _times(subject, able, timing, progress)
        as_is = as_is._replace(latency_s=times.whole_s)
        environment, notes = times.environment, [*times.warnings]
    layers = _every_offer(subject, able, times=times)
    if times is not None:
        layers, scaled = _scaled(layers, times.whole_s)
        notes += scaled
    planned = reached(goal, layers, as_is)
    if not planned.converted:
        notes.append(f"{goal.text} is met by the model as it is: every layer is kept.")
    decided = _plan(subject, planned, goal.text)
    return _Decided(decided, planned, layers, reasons, as_is, goal.text, goal.cost_metric, environment, tuple(notes))


def _able(subject: Subject, where: Where, min_channels: int) -> tuple[list[Candidate], dict[str, str]]:
    """Return the layers that can be converted, and why the others cannot."""
    found = candidates(subject.module, where=where, min_channels=min_channels, input=subject.arguments)
    able = [one for one in found if one.reason is None]
    for one in able:
        if not one.errors:
            raise InputError(f"'{one.name}' is on meta, without weights to decompose")
    return able, {one.name: one.reason for one in found if one.reason is not None}


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


def _every_offer(
    subject: Subject,
    able: Sequence[Candidate],
    *,
    times: ChoiceTimes | None = None,
    decisions: Mapping[str, Decision] | None = None,
) -> list[LayerOffers]:
    """Return every layer kept and at every rank; those that share their weights go together, unless decided apart."""
    sharing: dict[object, list[Candidate]] = {}
    for one in able:
        assert one.conv is not None
        weight = getattr(subject.module.get_submodule(one.name), "weight", None)
        key = one.name if weight is None else (id(weight), one.conv.groups, (decisions or {}).get(one.name))
        sharing.setdefault(key, []).append(one)
    return [
        LayerOffers(
            tuple(one.name for one in group),
            tuple(map(_together, zip(*(_offers(one, times) for one in group), strict=False))),
        )
        for group in sharing.values()
    ]


def _together(offers: Sequence[Offer]) -> Offer:
    """Return what the same decision on layers that share their weights comes to."""
    first = offers[0]
    known = [offer.latency_s for offer in offers if offer.latency_s is not None]
    return first._replace(
        macs=sum(offer.macs for offer in offers),
        latency_s=sum(known) if known else None,
        is_predicted=any(offer.is_predicted for offer in offers),
    )


def _offers(one: Candidate, times: ChoiceTimes | None) -> list[Offer]:
    """Return a layer kept and at every rank; one that never runs has no MACs.

    With times, only the ranks that have fewer MACs are offered, and none where a time is unknown.
    """
    assert one.params is not None
    macs = [cost.macs for cost in one.rank_costs] or [0] * len(one.ranks)
    keep = Offer(KEEP, 0.0, one.params, _macs(one))
    ranks = [*map(Offer, one.ranks, one.errors, one.rank_params, macs)]
    if times is None:
        return [keep, *ranks]
    timed = []
    for offer in (keep, *(rank for rank in ranks if rank.macs < keep.macs)):
        found = _seconds(one, AS_IS if offer is keep else int(offer.decision), times)
        if found is None:
            return [keep._replace(latency_s=0.0, is_predicted=True)]
        timed.append(offer._replace(latency_s=found.seconds, is_predicted=found.is_predicted))
    return timed


def _macs(one: Candidate) -> int:
    return one.cost.macs if one.cost else 0


# -- times


def _times(
    subject: Subject, able: Sequence[Candidate], timing: TimingOptions, progress: Progress | None
) -> ChoiceTimes:
    convs: dict[object, Timeable] = {}
    for one in able:
        assert one.conv is not None
        ranks = tuple(rank for rank, cost in zip(one.ranks, one.rank_costs, strict=False) if cost.macs < _macs(one))
        for shape in one.input_shapes if ranks else ():
            new = Timeable(one.name, one.conv, shape, ranks, 0)
            known = convs.setdefault(new.key, new)
            convs[new.key] = known._replace(calls=known.calls + 1)
    found = list(convs.values())
    return time_choices(
        subject.module, subject.arguments, subject.cost, found, timing, dtype=_dtype(subject), progress=progress
    )


def _seconds(one: Candidate, rank: int, times: ChoiceTimes) -> Seconds | None:
    """Return the time of all calls of a layer at a rank, or `None` where one of them is unknown."""
    assert one.conv is not None
    found = [times.of.get((one.conv, shape), {}).get(rank) for shape in one.input_shapes]
    known = [one for one in found if one is not None]
    if len(known) < len(found):
        return None
    return Seconds(sum(one.seconds for one in known), any(one.is_predicted for one in known))


def _scaled(layers: list[LayerOffers], whole_s: float) -> tuple[list[LayerOffers], list[str]]:
    """Return times that do not exceed that of the model: layers alone may take longer than within it."""
    total_s = sum(layer.offers[0].latency_s or 0.0 for layer in layers)
    if total_s <= whole_s:
        return layers, []
    factor = whole_s / total_s
    scaled = [
        layer._replace(
            offers=tuple(
                offer._replace(latency_s=None if offer.latency_s is None else offer.latency_s * factor)
                for offer in layer.offers
            )
        )
        for layer in layers
    ]
    return scaled, [f"The layers alone took {1 / factor:.2f} times as long as the whole model; scaled to it."]


# -- doing it


def _converted(subject: Subject, decided: _Decided, *, every_layer: bool) -> Result:
    done = conversion(subject.module, plan=decided.plan, input=subject.arguments)
    after = count(done.module, input=subject.arguments).report.totals.as_is
    expected = decided.planned.figures
    notes = [*subject.notes, *decided.notes]
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
        goal=decided.goal,
        plan=decided.plan.layers,
        error=decided.planned.error,
        gap=decided.planned.gap,
        before=subject.cost,
        after=after,
        latency=_whole_latency(decided),
        layers=tuple(
            _layer_outcome(one, decided.reasons.get(one.name), kept.get(one.name), chosen.get(one.name))
            for one in done.layers
        ),
        curve_metric=decided.metric,
        curve=trade_off(decided.layers, decided.as_is, decided.metric, decided.planned),
        notes=tuple(notes),
    )
    return Result(done.module, decided.plan, Converted(outcome, decided.environment, every_layer))


def _measured(subject: Subject, result: Result, timing: TimingOptions, progress: Progress | None) -> Result:
    """Return the result with the time of the converted model itself, beside what its layers promised."""
    outcome = result.converted.outcome
    latency = outcome.latency
    assert latency is not None
    if not latency.is_predicted:
        return result
    modules = (subject.module, result.module)
    found = time_both(modules, subject.arguments, subject.cost, timing, dtype=_dtype(subject), progress=progress)
    if found is None:
        return result
    before_s, after_s = found
    promised = latency.after_s / latency.before_s
    note = (
        f"Timed by turns, the whole model takes {format_seconds(before_s)} as it is and {format_seconds(after_s)} "
        f"converted, {after_s / before_s:.3f} times as long; its layers promised {promised:.3f}."
    )
    outcome = outcome._replace(latency=Latency(before_s, after_s, is_predicted=False), notes=(*outcome.notes, note))
    return result._replace(converted=result.converted._replace(outcome=outcome))


def _dtype(subject: Subject) -> str:
    kinds = (tensor.dtype for tensor in subject.module.parameters() if tensor.is_floating_point())
    return str(next(kinds, torch.float32)).removeprefix("torch.")


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
