"""A target → the same model depthwise-separable, with its plan and what came of it."""

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, ExitStack, nullcontext
from os import PathLike
from typing import Any

from torch import nn

from dscost.analysis import AS_STATED, Request
from dscost.converting.applying import Conversion, applied, undisturbed
from dscost.converting.choosing import parse_goal, unreachable
from dscost.converting.deciding import at_rank, by_plan, check_plan, for_goal
from dscost.converting.fastest import (
    Evidence,
    Proof,
    by_proof,
    measured_proof,
    saved_proof,
    told_by,
)
from dscost.converting.loading import Subject, Target, arguments_for, gives_several, load_subject
from dscost.converting.plan_file import Plan, Planning, plan_of
from dscost.converting.rehearsing import guessed_arguments, without_needed
from dscost.converting.reporting import ConvertedModel, done
from dscost.converting.sites import Site, Where, survey, traced_on
from dscost.errors import InputError, UnknownNameError
from dscost.foreign.parts import unwrapped
from dscost.layers.convolution import not_within, require
from dscost.layers.variants import MIN_CHANNELS
from dscost.reports.records import Report
from dscost.timing import Progress, TimingOptions

METHODS = ("svd", "random")

Fastest = bool | Evidence
"""Whether just what pays is to be converted: measured now, or as a report tells."""


def convert(
    target: Target,
    input: Any = None,
    *,
    rank: int = 1,
    method: str = "svd",
    where: Where = None,
    plan: Planning | None = None,
    min_channels: int | None = None,
    fastest: Fastest = False,
    trust: bool = False,
) -> nn.Module:
    """Return a copy of a model with its convolutions made depthwise-separable, as near as can be.

    Each becomes a `dscost.nn.DepthwiseSeparableConv2d` (1d, 3d) on its device, of its dtype,
    layout, mode and need of gradients, with the hooks of its forward. A module that the model holds
    more than once is converted once; weights that modules share stay shared. Transposed, 1×1 and
    depthwise convolutions stay as they are. So does one that does more than pad and convolve, in
    its class, a patched forward or a hook that would do something else to what takes its place; and
    one of which the model reads what a replacement has not, such as its weights. `conversion` has
    the reasons.

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
        min_channels: A convolution of fewer channels in or out is left alone; by default of fewer
            than 32, or of what a report was made with.
        fastest: Whether to convert just the layers that run faster converted, measured now on the
            input; or a timed report, or the path of a saved one, that tells which those are.
        trust: Whether code that a `program.pt2` holds or names may run, where it cannot be read
            without.

    Raises:
        InputError: An argument is wrong, weights or what layers see are missing or not finite, or
            the model cannot be copied or run; or it would do something else once converted,
            whatever the rank, or run a convolution as before, since it holds one where a copy
            cannot replace it, as in a closure.
        UnavailableError: A target needs a library that is not installed.

    >>> from torch import nn
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
        fastest=fastest,
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
    min_channels: int | None = None,
    fastest: Fastest = False,
    trust: bool = False,
) -> Conversion:
    """Return what `convert` does, with what became of each convolution: its error and costs.

    Args:
        target: An `nn.Module`, which is left as it is, or any target of the command line; this and
            all below as of `convert`.
        input: A shape, tensors, or something that gives several; of a module without it costs are
            unknown, but for params.
        rank: T, the spatial filters per input channel.
        method: `svd` for the best weights, or `random` for initial ones.
        where: Names of layers, globs, a list of them, or a function of name and module.
        plan: What to do by layer, in place of `rank`, `where` and `min_channels`.
        min_channels: A convolution of fewer channels in or out is left alone; by default of fewer
            than 32, or of what a report was made with.
        fastest: Whether to convert just what runs faster converted, or a timed report that tells.
        trust: Whether code that a `program.pt2` holds or names may run, where it cannot be read
            without.

    Raises:
        InputError: An argument is wrong, or the model cannot be converted; `convert` lists how.
        UnavailableError: A target needs a library that is not installed.
    """
    _check(target, rank, method, where, plan, fastest)
    request = Request(input, trust=trust)
    timing = TimingOptions()
    proof = _proof(fastest, target, request, timing, min_channels, None)
    given = None if plan is None else plan_of(plan)
    with ExitStack() as stack:
        stack.enter_context(undisturbed())
        root, input, importing = _made(target, input, given, trust=trust)
        stack.enter_context(importing())
        arguments, batches = arguments_for(root, input)
        traced = None if arguments is None else traced_on(root, arguments)
        tried = guessed_arguments(root) if arguments is None else arguments
        least = 1 if given or proof else _least(min_channels)
        sites = survey(root, where=where, min_channels=least, traced=traced)
        sites = without_needed(root, sites, tried)
        if proof:
            sites = told_by(proof, sites)
        given = given or at_rank(sites, rank)
        check_plan(given, root, sites)
        decided = [site.decided(given.layers) for site in sites]
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
    strict: bool = False,
) -> Plan:
    """Return the plan of least error that meets a goal, for `dscost.convert(…, plan=…)`.

    Where no plan meets it, it is the one that comes nearest, whose `missed` says how near.

    Args:
        target: An `nn.Module`, which is left as it is, or any target of the command line.
        goal: `macs=0.5x`, `params=4M`, `latency_s=20ms` or `error=0.3`.
        where: Names of layers, globs, a list of them, or a function of name and module.
        min_channels: A convolution of fewer channels in or out is left alone.
        input: As `dscost.analyze` takes it.
        weights: A safetensors file or a state dict for the target.
        trust: Whether code that a `program.pt2` holds or names may run, where it cannot be read
            without.
        time_budget_s: Seconds that measuring may take, for a goal of latency.
        strict: Whether a goal that cannot be reached is an error.

    Raises:
        InputError: The goal is none, the target or an argument is wrong; or the goal cannot be
            reached, if `strict`.
        UnavailableError: Something that is needed is not installed, or cannot be timed.

    >>> from torch import nn
    >>> layers = nn.Sequential(nn.Conv2d(64, 64, 3), nn.Conv2d(64, 64, 3))
    >>> plan(layers, "macs=0.6x", input=(1, 64, 8, 8)).layers
    {'0': 3, '1': 'keep'}
    """
    subject = load_subject(target, Request(input, trust=trust), weights=weights)
    timing, wanted = TimingOptions(budget_s=time_budget_s), parse_goal(goal)
    with subject.importing():
        sites = _surveyed(subject, where, min_channels)
        decided = for_goal(subject, sites, wanted, timing, None)
    if strict and decided.planned.nearest is not None:
        raise InputError(unreachable(wanted, decided.planned))
    return decided.plan


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
    fastest: Fastest = False,
    every_layer: bool = False,
    progress: Progress | None = None,
) -> ConvertedModel:
    """Return a target depthwise-separable: by a goal, a plan, what pays, or all at one rank.

    Args:
        target: As of `plan`, as are `goal`, `where`, `min_channels` and `weights`.
        request: Without an input it is that of the plan, or what the target states.
        goal: What to reach.
        rank: T of every layer; 1 where neither a goal nor a plan is given.
        plan: What to do by layer, or a file that says it.
        where: Which layers.
        min_channels: The fewest channels of those.
        weights: A file of them.
        ignore_extra: Whether weights that the target does not have are left out.
        timing: How to measure, for a goal of latency or what is fastest; its seed is that of random
            weights.
        fastest: Whether to convert just what measures faster; or a timed report that tells.
        every_layer: Whether tables show the layers that could not be converted one by one.
        progress: Told what is done.

    Raises:
        InputError: Something that was given is wrong.
        UnavailableError: Something that is needed is not installed, or cannot be timed.
    """
    way = {"goal": goal, "rank": rank, "plan": plan, "fastest": fastest or None}
    _check_one_way(way, where=where, min_channels=min_channels)
    wanted = None if goal is None else parse_goal(goal)
    given = None if plan is None else plan_of(plan)
    timing = timing or TimingOptions()
    say = progress or (lambda share, doing: None)
    say(None, f"loading {target if isinstance(target, str | PathLike) else type(target).__name__}")
    proof = _proof(fastest, target, request, timing, min_channels, progress)
    naming_input = proof.as_plan() if proof else given
    subject = load_subject(
        target,
        request,
        plan=naming_input,
        weights=weights,
        ignore_extra=ignore_extra,
        seed=timing.seed,
    )
    say(None, "looking at weights")
    least = 1 if given or proof else _least(min_channels)
    with subject.importing():
        sites = _surveyed(subject, where, least)
        if proof:
            sites, decided = by_proof(subject, sites, proof)
        elif wanted is None:
            decided = by_plan(subject, sites, given or at_rank(sites, rank or 1))
        else:
            decided = for_goal(subject, sites, wanted, timing, progress)
        return done(subject, sites, decided, timing, progress, every_layer=every_layer)


# -- what was given


def _check_one_way(ways: Mapping[str, object], **given: Any) -> None:
    """Refuse two ways to choose at once, and with a plan what the plan says itself."""
    found = [f"--{name}" for name, one in ways.items() if one is not None]
    if len(found) > 1:
        raise InputError(
            f"give one of --goal, --rank, --plan and --fastest, found {' and '.join(found)}"
        )
    if ways["plan"] is not None:
        for name, option in (("where", "--where"), ("min_channels", "--min-channels")):
            if given[name] is not None:
                raise InputError(
                    f"{option} has no meaning with --plan: the plan says which layers are converted"
                )


def _proof(
    fastest: Fastest,
    target: Target,
    request: Request,
    timing: TimingOptions,
    min_channels: int | None,
    progress: Progress | None,
) -> Proof | None:
    """Return what tells which swaps pay: a report, or measuring now; nothing if nobody asks."""
    if fastest is False:
        return None
    if fastest is not True:
        return saved_proof(fastest, min_channels)
    options = TimingOptions(**{**timing._asdict(), "min_channels": _least(min_channels)})
    return measured_proof(target, request, options, progress)


def _least(min_channels: int | None) -> int:
    return MIN_CHANNELS if min_channels is None else min_channels


def _check(
    target: object, rank: int, method: str, where: Where, plan: object, fastest: object
) -> None:
    """Refuse arguments of `conversion` that cannot be meant."""
    if not isinstance(target, nn.Module | str | PathLike):
        raise InputError(
            "what is converted is an nn.Module, or the name or path of a model, "
            f"found {target!r:.60}"
        )
    if method not in METHODS:
        raise UnknownNameError("method", str(method), METHODS)
    require(not_within("rank", rank))
    if fastest is not False:
        both = [name for name, is_given in (("rank", rank != 1), ("plan", plan)) if is_given]
        if both:
            raise InputError(f"fastest decides what is converted, so {both[0]} cannot be given too")
        if not isinstance(fastest, bool | Report | str | PathLike):
            raise InputError(
                f"fastest is True, a timed report, or the path of one, found {fastest!r:.60}"
            )
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
    """Return the module that a target is, its input, and what is entered while it runs."""
    if isinstance(target, nn.Module):
        return unwrapped(target), input, nullcontext
    several = gives_several(input)
    subject = load_subject(target, Request(None if several else input, trust=trust), plan=plan)
    return subject.module, input if several else subject.arguments, subject.importing


# -- looking


@undisturbed()
def _surveyed(subject: Subject, where: Where, min_channels: int) -> tuple[Site, ...]:
    root = subject.module
    sites = survey(root, where=where, min_channels=min_channels, traced=subject.traced)
    return without_needed(root, sites, subject.arguments)
