"""What may be done to a target: a plan for a goal, what every layer costs of a score. No torch."""

from os import PathLike
from typing import TYPE_CHECKING, Any

from dscost.analysis import Request
from dscost.converting.asking import Asked, check_goal, require_onnx, usual_order
from dscost.converting.choosing import parse_goal, unreachable
from dscost.converting.decisions import BEST, orders_of
from dscost.converting.plan_file import Plan
from dscost.converting.scoring.asking import scorer_of
from dscost.converting.scoring.calling import Scoring
from dscost.converting.scoring.results import Sensitivity
from dscost.errors import InputError
from dscost.runtimes import TORCH
from dscost.sources import is_graph
from dscost.timing import Progress, TimingOptions

if TYPE_CHECKING:
    from dscost.converting.loading import Target
    from dscost.converting.sites import Where


def plan(
    target: "Target",
    goal: str,
    *,
    where: "Where" = None,
    min_channels: int | None = None,
    order: str | None = None,
    input: Any = None,
    weights: str | PathLike[str] | None = None,
    trust: bool = False,
    runtime: str = TORCH,
    clock: str = "wall",
    time_budget_s: float | None = None,
    strict: bool = False,
    score: "Scoring | str | PathLike[str] | None" = None,
    score_budget: str | int | None = None,
    score_timeout_s: float | None = None,
    journal: str | PathLike[str] | None = None,
    calibrate: Any = None,
    progress: Progress | None = None,
) -> Plan:
    """Return the plan of least error that meets a goal, for `dscost.convert(…, plan=…)`.

    With a score it is the plan of the best score that was found. Where no plan meets the goal, it
    is the one that comes nearest, whose `missed` says how near.

    Args:
        target: An `nn.Module`, which is left as it is, or any target of the command line.
        goal: `macs=0.5x`, `params=4M`, `latency_s=20ms` or `error=0.3`; with a score also
            `score=0.98x`, for the cheapest plan that keeps so much of it.
        where: Names of layers, globs, a list of them, or a function of name and module.
        min_channels: A convolution of fewer channels in or out is left alone; by default of fewer
            than 32, with a score of fewer than 16.
        order: In which the two stages of a layer may run: `depthwise-first`, `pointwise-first`, or
            `best`, of every layer the one that suits the goal. By default depthwise-first, with a
            score the best.
        input: As `dscost.analyze` takes it.
        weights: A safetensors file or a state dict for the target.
        trust: Whether code that a `program.pt2` holds or names may run, where it cannot be read
            without.
        runtime: What runs what is measured, of `dscost list runtimes`, for a goal of latency.
        clock: `wall`, or `cpu` to choose by the processor time of one thread, for such a goal.
        time_budget_s: Seconds that measuring may take, for a goal of latency.
        strict: Whether a goal that cannot be reached is an error.
        score: As of `sensitivity`, as are `score_budget`, `score_timeout_s` and `journal`.
        score_budget: How much may be evaluated.
        score_timeout_s: Seconds that one call may take.
        journal: A file in which evaluations are kept.
        calibrate: As of `convert`: a goal such as `score=0.98x` then is of the model recovered by
            these inputs, as `convert(…, plan=plan, calibrate=…)` recovers it.
        progress: Called with a share that is done, or `None`, and what is being done.

    Raises:
        InputError: The goal is none, the target or an argument is wrong; or the goal cannot be
            reached, if `strict`.
        UnavailableError: Something that is needed is not installed, or cannot be timed.

    >>> from torch import nn
    >>> layers = nn.Sequential(nn.Conv2d(64, 64, 3), nn.Conv2d(64, 64, 3))
    >>> plan(layers, "macs=0.6x", input=(1, 64, 8, 8)).layers
    {'0': 3, '1': 'keep'}
    """
    wanted, request = parse_goal(goal), Request(input, trust=trust)
    for name, is_given in (("runtime", runtime != TORCH), ("clock", clock != "wall")):
        if is_given and wanted.metric != "latency_s":
            raise InputError(f"{name} is for a goal of latency_s: nothing else is measured")
    timing = TimingOptions(runtimes=(runtime,), clock=clock, budget_s=time_budget_s)
    asked = Asked(
        wanted,
        where=where,
        min_channels=min_channels,
        timing=timing,
        progress=progress,
        orders=orders_of(order or usual_order(score)),
        calibrate=calibrate,
        scorer=scorer_of(score, score_budget, score_timeout_s, journal),
    )
    check_goal(wanted, asked)
    if is_graph(target):
        require_onnx()
        from dscost.converting import of_graphs

        decided = of_graphs.decided_for(str(target), request, asked, wanted, weights)
    else:
        from dscost.converting import of_modules

        decided = of_modules.decided_for(target, request, asked, wanted, weights)
    if strict and decided.planned.nearest is not None:
        raise InputError(unreachable(wanted, decided.planned))
    return decided.plan


def sensitivity(
    target: "Target",
    score: "Scoring | str | PathLike[str]",
    *,
    input: Any = None,
    where: "Where" = None,
    min_channels: int | None = None,
    order: str = BEST,
    weights: str | PathLike[str] | None = None,
    score_budget: str | int | None = None,
    score_timeout_s: float | None = None,
    journal: str | PathLike[str] | None = None,
    trust: bool = False,
    progress: Progress | None = None,
) -> Sensitivity:
    """Return how much of a score every layer costs that is made depthwise-separable alone.

    Every layer is converted at a few ranks, one at a time, and the model is scored; the most
    telling ones first. Of few samples a score says little, so every loss has an interval: a score
    of one number per sample is compared sample by sample, a share is taken for one of as many
    samples as its values are multiples of, and one that differs between two calls with the same
    model is called more often.

    Args:
        target: An `nn.Module`, which is left as it is, or any target of the command line.
        score: A function that takes a module, or of an ONNX file an `onnxruntime.InferenceSession`,
            and returns a number, the higher the better, or one number per sample; or
            `eval.py:accuracy`. The module is a copy in the mode of inference, without gradients.
        input: As `dscost.analyze` takes it; by default what the target states, or else what the
            function gives it.
        where: Names of layers, globs, a list of them, or a function of name and module.
        min_channels: A convolution of fewer channels in or out is left alone; by default of fewer
            than 16.
        order: In which the two stages may run: both, or only one of them.
        weights: A safetensors file or a state dict for the target.
        score_budget: How much may be evaluated: so many times, by default 100, or `"10min"`.
        score_timeout_s: Seconds that one call may take; by default ten minutes for the first, then
            ten times as long as the slowest so far.
        journal: A file in which every evaluation is kept as it comes; what it has is not evaluated
            again. By default nothing is kept.
        trust: Whether code that a `program.pt2` holds or names may run, where it cannot be read
            without.
        progress: Called with a share that is done, or `None`, and what is being done.

    Raises:
        InputError: The target or an argument is wrong; or the function raises, returns no finite
            number, takes too long, or does not depend on the model.
        UnavailableError: Something that is needed is not installed.

    >>> from torch import nn
    >>> layers = nn.Sequential(nn.Conv2d(64, 64, 3), nn.Conv2d(64, 64, 3))
    >>> found = sensitivity(layers, lambda model: -model[0].weight.norm(), input=(1, 64, 8, 8))
    >>> len(found.at_rank_one)
    2
    """
    asked = Asked(
        where=where,
        min_channels=min_channels,
        progress=progress,
        orders=orders_of(order),
        scorer=scorer_of(score, score_budget, score_timeout_s, journal),
    )
    if asked.scorer is None:
        raise InputError("sensitivity needs a score: a function of a model, or file.py:NAME")
    request = Request(input, trust=trust)
    if is_graph(target):
        require_onnx()
        from dscost.converting import of_graphs

        of_graphs.refuse(str(target), asked, weights)
        return of_graphs.sensitivity_of(str(target), request, asked)
    from dscost.converting import of_modules

    return of_modules.sensitivity_of(target, request, asked, weights)
