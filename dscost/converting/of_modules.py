"""A torch model converted: by a goal, a plan, what pays, or all of it at one rank."""

from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack, nullcontext
from os import PathLike
from typing import Any

from torch import nn

from dscost.analysis import Request
from dscost.converting.applying import applied, undisturbed
from dscost.converting.asking import Asked
from dscost.converting.choosing import Goal
from dscost.converting.deciding import Decided, at_rank, check_plan
from dscost.converting.fastest import by_proof, proof_of, told_by
from dscost.converting.loading import (
    Subject,
    Target,
    arguments_for,
    gives_several,
    kinds_of,
    load_subject,
)
from dscost.converting.plan_file import Plan
from dscost.converting.recovering.calibrated_modules import Calibration, calibration_for
from dscost.converting.rehearsing import guessed_arguments, without_needed
from dscost.converting.reporting import ConvertedModel, done
from dscost.converting.results import Conversion
from dscost.converting.scoring.deciding import decided_by, swept
from dscost.converting.scoring.evaluating import Evaluator
from dscost.converting.scoring.of_modules import evaluator_of
from dscost.converting.scoring.results import Sensitivity
from dscost.converting.scoring.watching import load_scored
from dscost.converting.sites import Site
from dscost.converting.surveying import survey, traced_on
from dscost.foreign.parts import unwrapped


def conversion_of(target: Target, request: Request, asked: Asked, method: str) -> Conversion:
    """Return a copy of a model converted, and what became of each of its convolutions.

    Raises:
        InputError: Something that was given is wrong, or the model cannot be converted.
        UnavailableError: A target needs a library that is not installed.
    """
    proof = proof_of(target, request, asked)
    with ExitStack() as stack:
        stack.enter_context(undisturbed())
        root, input, importing = _made(target, request, asked.plan)
        stack.enter_context(importing())
        arguments, batches = arguments_for(root, input)
        traced = None if arguments is None else traced_on(root, arguments)
        tried = guessed_arguments(root) if arguments is None else arguments
        sites = survey(root, where=asked.where, min_channels=asked.least, traced=traced)
        sites = without_needed(root, sites, tried)
        if proof:
            sites = told_by(proof, sites)
        given = asked.plan or at_rank(sites, asked.rank or 1, asked.orders)
        check_plan(given, kinds_of(root), sites)
        decided = [site.decided(given.layers) for site in sites]
        calibration = calibration_for(asked.calibrate, root, arguments)
        found = applied(root, decided, tried=tried, batches=batches, method=method)
        return found if calibration is None else found.recovered_by(calibration)


def decided_for(
    target: Target, request: Request, asked: Asked, goal: Goal, weights: str | PathLike[str] | None
) -> Decided:
    """Return what reaches a goal.

    Raises:
        InputError: Something that was given is wrong.
        UnavailableError: Something that is needed is not installed, or cannot be timed.
    """
    subject = load_scored(target, request, asked.scorer, weights=weights)
    with subject.importing():
        calibration = calibration_for(asked.calibrate, subject.module, subject.arguments)
        sites, evaluator = _scoring(subject, _surveyed(subject, asked), asked, calibration)
        return decided_by(subject, sites, asked, evaluator)


def converted(
    target: Target,
    request: Request,
    asked: Asked,
    *,
    weights: str | PathLike[str] | None,
    ignore_extra: bool,
    every_layer: bool,
) -> ConvertedModel:
    """Return a target converted, with all that is told of it.

    Raises:
        InputError: Something that was given is wrong.
        UnavailableError: Something that is needed is not installed, or cannot be timed.
    """
    timing, say = asked.timing, asked.progress or (lambda share, doing: None)
    say(None, f"loading {target if isinstance(target, str | PathLike) else type(target).__name__}")
    proof = proof_of(target, request, asked)
    subject = load_scored(
        target,
        request,
        asked.scorer,
        plan=proof.as_plan() if proof else asked.plan,
        weights=weights,
        ignore_extra=ignore_extra,
        seed=timing.seed,
    )
    say(None, "looking at weights")
    with subject.importing():
        calibration = calibration_for(asked.calibrate, subject.module, subject.arguments)
        sites = _surveyed(subject, asked)
        evaluator = None
        if proof:
            sites, decided = by_proof(subject, sites, proof)
        else:
            sites, evaluator = _scoring(subject, sites, asked, calibration)
            decided = decided_by(subject, sites, asked, evaluator)
        made = done(subject, sites, decided, timing, asked.progress, every_layer=every_layer)
        if calibration is None:
            return made
        judged = (None, 0.0) if evaluator is None else (evaluator.judge, evaluator.tolerance)
        told = made.converted.recovered_by(calibration, made.module, asked.progress, *judged)
        return made.with_converted(told)


def sensitivity_of(
    target: Target, request: Request, asked: Asked, weights: str | PathLike[str] | None
) -> Sensitivity:
    """Return what every layer loses of a score that is converted alone.

    Raises:
        InputError: Something that was given is wrong, or the function fails.
    """
    assert asked.scorer is not None
    subject = load_scored(target, request, asked.scorer, weights=weights)
    with subject.importing():
        sites = _surveyed(subject, asked)
        able, evaluator = evaluator_of(subject, sites, asked.scorer, asked.progress)
        return swept(subject, able, evaluator, asked.orders)


def _scoring(
    subject: Subject,
    sites: tuple[Site, ...],
    asked: Asked,
    calibration: Calibration | None,
) -> tuple[tuple[Site, ...], Evaluator | None]:
    """Return the sites, and what scores the model converted at them, if a score is asked."""
    if asked.scorer is None:
        return sites, None
    return evaluator_of(subject, sites, asked.scorer, asked.progress, calibration)


def _made(
    target: Target, request: Request, plan: Plan | None
) -> tuple[nn.Module, Any, Callable[[], AbstractContextManager[None]]]:
    """Return the module that a target is, its input, and what is entered while it runs."""
    input = request.input
    if isinstance(target, nn.Module):
        return unwrapped(target), input, nullcontext
    several = gives_several(input)
    subject = load_subject(target, request._replace(input=None) if several else request, plan=plan)
    return subject.module, input if several else subject.arguments, subject.importing


@undisturbed()
def _surveyed(subject: Subject, asked: Asked) -> tuple[Site, ...]:
    root = subject.module
    sites = survey(root, where=asked.where, min_channels=asked.least, traced=subject.traced)
    return without_needed(root, sites, subject.arguments)
