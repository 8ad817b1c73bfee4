"""A target → the same model depthwise-separable, with its plan and what came of it."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, nullcontext
from os import PathLike
from typing import Any, NamedTuple

from torch import nn

from dscost.analysis import AS_STATED, Request, count
from dscost.analysis.choice_timing import time_both
from dscost.converting.applying import Conversion, applied, undisturbed
from dscost.converting.choosing import Figures, Goal, meets, parse_goal, trade_off
from dscost.converting.deciding import Decided, at_rank, by_plan, for_goal
from dscost.converting.loading import (
    Subject,
    arguments_for,
    class_names,
    gives_several,
    load_subject,
)
from dscost.converting.plan_file import Decision, Plan, plan_of
from dscost.converting.rehearsing import guessed_arguments, without_needed
from dscost.converting.results import Converted, Latency, LayerOutcome, Outcome, commented
from dscost.converting.sites import MIN_CHANNELS, Site, Where, survey, traced_on
from dscost.errors import InputError, UnknownNameError
from dscost.foreign.parts import unwrapped
from dscost.layers.convolution import not_within, require
from dscost.notation.inputs import inputs_of
from dscost.notation.units import format_seconds
from dscost.reports.figures import Cost
from dscost.reports.records import Speedup
from dscost.timing import Progress, TimingOptions
from dscost.tracing import Arguments, Trace

METHODS = ("svd", "random")

Target = str | PathLike[str] | nn.Module
Planning = Plan | Mapping[str, Decision] | str | PathLike[str]


class Result(NamedTuple):
    """A converted model.

    Args:
        module: A new one.
        plan: What was done.
        converted: What came of it.
    """

    module: nn.Module
    plan: Plan
    converted: Converted

    def plan_text(self) -> str:
        """Return the plan as YAML, with its figures as comments."""
        return commented(self.plan, self.converted.outcome)


def convert(
    target: Target,
    input: Any = None,
    *,
    rank: int = 1,
    method: str = "svd",
    where: Where = None,
    plan: Planning | None = None,
    min_channels: int = MIN_CHANNELS,
    trust: bool = False,
) -> nn.Module:
    """Return a copy of a model with its convolutions made depthwise-separable, as near as can be.

    Each becomes a `dscost.nn.DepthwiseSeparableConv2d` (1d, 3d) on its device, of its dtype,
    layout, mode and need of gradients, with the hooks of its forward. A module that the model holds
    more than once is converted once; weights that modules share stay shared. Transposed, 1×1 and
    depthwise convolutions stay as they are. So does one that does more than pad and convolve, in its
    class, a patched forward or a hook that would do something else to what takes its place; and one
    of which the model reads what a replacement has not, such as its weights. `conversion` has the
    reasons.

    At full rank the model returns what it did: with an input, copies of both are run on it and
    compared, in the mode of inference; on random values if only a shape is given, unless it is
    large. Without an input they are run on what the model states (`example_input_array`,
    `dummy_inputs`) or on what its first layer takes, if that works.

    Args:
        target: An `nn.Module`, which is left as it is; of torch.compile's wrapper, what it wraps is
            converted. Or any target of the command line, made with the initial weights that the
            command gives it.
        input: As `dscost.analyze` takes it: a shape, for costs; or tensors, whose values the
            weights are fitted to as well. For several inputs to fit to, something to iterate over
            that is no list: a generator, or a `torch.utils.data.DataLoader`; of its batches of
            images and labels the first entry is taken, where the forward takes that and not all of
            them. By default that of the plan, or what the target states; a module states none.
        rank: T, the spatial filters per input channel. At `min(Kh·Kw, N/G)` a layer is reproduced;
            more means that.
        method: `svd` for the best weights in the Frobenius norm, or `random` for initial ones,
            drawn from torch's random state, which is left as it is.
        where: Names of layers, globs such as `"layer1.*"`, a list of them, or a function of name
            and module; all layers if nothing is given.
        plan: What to do by layer: a `Plan`, ranks or `"keep"` by name, or the path of a plan file;
            a layer that it does not name is kept. In place of `rank`, `where` and `min_channels`.
        min_channels: A convolution of fewer channels in or out is left alone.
        trust: Whether code that a `program.pt2` holds or names may run, where it cannot be read
            without.

    Raises:
        InputError: An argument is wrong, weights or what layers see are missing or not finite, or
            the model cannot be copied or run; or it would do something else once converted,
            whatever the rank, or run a convolution as before, since it holds one where a copy
            cannot replace it, as in a closure.
        UnavailableError: A target needs a library that is not installed.

    >>> model = nn.Conv2d(64, 64, 3, padding=1, bias=False)
    >>> sum(weight.numel() for weight in convert(model).parameters()) == 64 * 9 + 64 * 64
    True
    """
    return conversion(
        target,
        input,
        rank=rank,
        method=method,
        where=where,
        plan=plan,
        min_channels=min_channels,
        trust=trust,
    ).module


def conversion(
    target: Target,
    input: Any = None,
    *,
    rank: int = 1,
    method: str = "svd",
    where: Where = None,
    plan: Planning | None = None,
    min_channels: int = MIN_CHANNELS,
    trust: bool = False,
) -> Conversion:
    """Return what `convert` returns, with what became of each convolution: kept or not, error, costs.

    Args:
        target: An `nn.Module`, which is left as it is, or any target of the command line; this and
            all below as of `convert`.
        input: A shape, tensors, or something that gives several; of a module without it costs are
            unknown, but for params.
        rank: T, the spatial filters per input channel.
        method: `svd` for the best weights, or `random` for initial ones.
        where: Names of layers, globs, a list of them, or a function of name and module.
        plan: What to do by layer, in place of `rank`, `where` and `min_channels`.
        min_channels: A convolution of fewer channels in or out is left alone.
        trust: Whether code that a `program.pt2` holds or names may run, where it cannot be read
            without.

    Raises:
        InputError: An argument is wrong, or the model cannot be converted; `convert` lists how.
        UnavailableError: A target needs a library that is not installed.
    """
    _check(target, rank, method, where, plan)
    given = None if plan is None else plan_of(plan)
    with ExitStack() as stack:
        stack.enter_context(undisturbed())
        root, input, importing = _made(target, input, given, trust=trust)
        stack.enter_context(importing())
        arguments, batches = arguments_for(root, input)
        traced = None if arguments is None else traced_on(root, arguments)
        tried = guessed_arguments(root) if arguments is None else arguments
        if given is None:
            sites = _surveyed(root, traced, tried, where, min_channels)
            decisions: Mapping[str, Decision] = {site.name: rank for site in sites}
        else:
            sites = _surveyed(root, traced, tried)
            given.check({site.name: site.reason for site in sites}, class_names(root))
            decisions = given.layers
        decided = [site.decided(decisions) for site in sites]
        return applied(root, decided, tried=tried, batches=batches, method=method)


def plan(
    target: Target,
    goal: str,
    *,
    where: Where = None,
    min_channels: int = MIN_CHANNELS,
    input: Any = None,
    weights: str | PathLike[str] | None = None,
    trust: bool = False,
    time_budget_s: float | None = None,
) -> Plan:
    """Return the plan of least error that meets a goal, for `dscost.convert(…, plan=…)`.

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
    subject = load_subject(target, Request(input, trust=trust), weights=weights)
    timing = TimingOptions(budget_s=time_budget_s)
    with subject.importing():
        sites = _surveyed_subject(subject, where, min_channels)
        return for_goal(subject, sites, parse_goal(goal), timing, None).plan


def convert_target(
    target: Target,
    request: Request = AS_STATED,
    *,
    goal: str | None = None,
    rank: int | None = None,
    plan: Planning | None = None,
    where: Where = None,
    min_channels: int | None = None,
    weights: str | PathLike[str] | None = None,
    ignore_extra: bool = False,
    timing: TimingOptions | None = None,
    every_layer: bool = False,
    progress: Progress | None = None,
) -> Result:
    """Return a target depthwise-separable: by a goal, by a plan, or every layer at one rank.

    Args:
        target: As of `plan`.
        request: How it is to be counted; without an input it is that of the plan, or what the
            target states.
        goal: As of `plan`.
        rank: Of every layer; 1 where neither a goal nor a plan is given.
        plan: As of `dscost.convert`.
        where: As of `dscost.convert`; a plan says it itself.
        min_channels: As of `dscost.convert`; a plan says it itself.
        weights: As of `plan`.
        ignore_extra: Whether weights that the target does not have are left out.
        timing: How to measure, for a goal of latency; its seed is that of random weights.
        every_layer: Whether tables show the layers that could not be converted one by one.
        progress: Told what is done.

    Raises:
        InputError: Something that was given is wrong, or the goal cannot be reached.
        UnavailableError: Something that is needed is not installed, or cannot be timed.
    """
    _check_one_way(goal=goal, rank=rank, plan=plan, where=where, min_channels=min_channels)
    wanted = None if goal is None else parse_goal(goal)
    given = None if plan is None else plan_of(plan)
    naming_input: AbstractContextManager[None] = nullcontext()
    if given is not None and request.input is None and given.inputs:
        request = request._replace(input=inputs_of(given.inputs))
        naming_input = given.naming_its_input()
    timing = timing or TimingOptions()
    with naming_input:
        subject = load_subject(
            target, request, weights=weights, ignore_extra=ignore_extra, seed=timing.seed
        )
    if progress:
        progress(0.0, "looking at weights")
    with subject.importing():
        if given is not None:
            sites = _surveyed_subject(subject)
            decided = by_plan(subject, sites, given)
        else:
            fewest = MIN_CHANNELS if min_channels is None else min_channels
            sites = _surveyed_subject(subject, where, fewest)
            if wanted is None:
                decided = at_rank(subject, sites, rank or 1)
            else:
                decided = for_goal(subject, sites, wanted, timing, progress)
        result = _done(subject, sites, decided, every_layer=every_layer)
        if wanted is None or wanted.metric != "latency_s":
            return result
        return _measured(subject, result, wanted, timing, progress)


# -- what was given


def _check_one_way(**given: Any) -> None:
    """Refuse a goal, a rank and a plan at once, and with a plan what the plan says itself."""
    ways = [f"--{name}" for name in ("goal", "rank", "plan") if given[name] is not None]
    if len(ways) > 1:
        raise InputError(f"give one of --goal, --rank and --plan, found {' and '.join(ways)}")
    if given["plan"] is not None:
        for name, option in (("where", "--where"), ("min_channels", "--min-channels")):
            if given[name] is not None:
                raise InputError(
                    f"{option} has no meaning with --plan: the plan says which layers are converted"
                )


def _check(target: object, rank: int, method: str, where: Where, plan: object) -> None:
    """Refuse arguments that cannot be meant.

    Raises:
        InputError: Some of them.
    """
    if not isinstance(target, nn.Module | str | PathLike):
        raise InputError(
            "what is converted is an nn.Module, or the name or path of a model, "
            f"found {target!r:.60}"
        )
    if method not in METHODS:
        raise UnknownNameError("method", str(method), METHODS)
    require(not_within("rank", rank))
    if plan is None:
        return
    others = (("rank", rank != 1), ("where", where is not None))
    given = [name for name, is_given in others if is_given]
    if given:
        raise InputError(
            f"a plan says which layers and ranks, so {' and '.join(given)} cannot be given with it"
        )
    if not isinstance(plan, Plan | Mapping | str | PathLike):
        raise InputError(
            f"a plan is a Plan, ranks by layer, or the path of a plan file, found {plan!r:.60}"
        )


def _made(
    target: Target, input: Any, plan: Plan | None, *, trust: bool
) -> tuple[nn.Module, Any, Callable[[], AbstractContextManager[None]]]:
    """Return the module that a target is, its input, and what is entered while it runs.

    Raises:
        InputError: There is no such target, or it does not take the input.
        UnavailableError: It needs a library that is not installed.
    """
    if isinstance(target, nn.Module):
        return unwrapped(target), input, nullcontext
    stated = None if gives_several(input) else input
    naming_input: AbstractContextManager[None] = nullcontext()
    if stated is None and plan is not None and plan.inputs:
        stated, naming_input = inputs_of(plan.inputs), plan.naming_its_input()
    with naming_input:
        subject = load_subject(target, Request(stated, trust=trust))
    return subject.module, input if gives_several(input) else subject.arguments, subject.importing


# -- looking


def _surveyed(
    root: nn.Module,
    traced: Trace | None,
    tried: Arguments | None,
    where: Where = None,
    min_channels: int = 1,
) -> tuple[Site, ...]:
    sites = survey(root, where=where, min_channels=min_channels, traced=traced)
    return without_needed(root, sites, tried)


def _surveyed_subject(
    subject: Subject, where: Where = None, min_channels: int = 1
) -> tuple[Site, ...]:
    with undisturbed():
        return _surveyed(subject.module, subject.traced, subject.arguments, where, min_channels)


# -- doing it, and what came of it


def _done(
    subject: Subject, sites: Sequence[Site], decided: Decided, *, every_layer: bool
) -> Result:
    plan, planned = decided.plan, decided.planned
    with undisturbed():
        done = applied(
            subject.module,
            [site.decided(plan.layers) for site in sites],
            tried=subject.arguments,
            batches=subject.batches,
            keeps_tensors=subject.is_own,
        )
    after = count(done.module, Request(subject.arguments)).report.totals.as_is
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
        layers=tuple(_with_plan(one, decided) for one in done.layers),
        curve_metric=decided.metric,
        curve=trade_off(decided.layers, decided.as_is, decided.metric, planned),
        notes=(*subject.notes, *decided.notes, *_dearer(done.layers), *_unexpected(decided, after)),
        explanations=subject.explanations,
    )
    return Result(done.module, plan, Converted(outcome, decided.environment, every_layer))


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


def _dearer(layers: Sequence[LayerOutcome]) -> Iterator[str]:
    """Yield how many converted layers cost more than before, if some do."""
    done = [one for one in layers if one.converted]
    macs = sum(bool(one.before and one.after and one.after.macs > one.before.macs) for one in done)
    params = sum((one.params_after or 0) > (one.params_before or 0) for one in done)
    counts = {"MACs": macs, "params": params}
    for number in dict.fromkeys(filter(None, counts.values())):
        figures = " and ".join(figure for figure, dearer in counts.items() if dearer == number)
        layer = "layer" if len(done) == 1 else "layers"
        costs = "costs" if number == 1 else "cost"
        yield f"{number} of {len(done)} converted {layer} {costs} more {figures} than before."


def _unexpected(decided: Decided, after: Cost) -> Iterator[str]:
    """Yield that the converted model costs something else than planned for a goal, if so."""
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
    result: Result,
    goal: Goal,
    timing: TimingOptions,
    progress: Progress | None,
) -> Result:
    """Return the result with the time of the converted model itself, beside what was promised."""
    outcome = result.converted.outcome
    latency = outcome.latency
    assert latency is not None
    if not latency.is_predicted:
        return result
    found = time_both(
        (subject.module, result.module),
        subject.arguments,
        subject.cost,
        timing,
        dtype=subject.dtype,
        progress=progress,
    )
    if found is None:
        return result
    before_s, speedup = found
    after_s = before_s / speedup.median
    promised = latency.after_s / latency.before_s
    note = (
        f"Timed by turns, the whole model takes {format_seconds(before_s)} as it is and "
        f"{format_seconds(after_s)} converted, {after_s / before_s:.3f} times as long; "
        f"its layers promised {promised:.3f}."
    )
    outcome = outcome._replace(
        latency=Latency(before_s, after_s, is_predicted=False),
        is_met=_is_met_by(goal, before_s, speedup, outcome),
        notes=(*outcome.notes, note),
    )
    return result._replace(converted=result.converted._replace(outcome=outcome))


def _is_met_by(goal: Goal, before_s: float, speedup: Speedup, outcome: Outcome) -> bool | None:
    """Return whether a goal of latency is met; unknown where the speedup's interval leaves it open."""
    as_is = Figures(outcome.before.params, outcome.before.macs, before_s)
    usual, best = (
        meets(goal, as_is._replace(latency_s=before_s / factor), as_is, outcome.error)
        for factor in (speedup.median, speedup.ci95[1])
    )
    return True if usual else None if best else False
