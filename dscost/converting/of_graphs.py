"""An ONNX file converted: by a goal, a plan, or all of it at one rank. No torch."""

from os import PathLike
from typing import NamedTuple

import numpy as np
from onnx import ModelProto

from dscost.analysis import Request
from dscost.analysis.choice_timing import BothTimes, time_both
from dscost.converting.asking import Asked
from dscost.converting.choosing import Goal
from dscost.converting.deciding import Decided, at_rank, check_plan
from dscost.converting.decomposing import Factors, as_array, composed
from dscost.converting.fastest import by_proof, proof_of, told_by
from dscost.converting.graph_checking import check_full_rank, check_valid
from dscost.converting.graph_loading import GraphSubject, load_graph
from dscost.converting.graph_rewriting import rewritten
from dscost.converting.graph_sites import survey_graph
from dscost.converting.outcomes import layer_outcome, outcome_of
from dscost.converting.plan_file import Plan
from dscost.converting.proving import proved
from dscost.converting.recovering.calibrated_graphs import Calibration, calibration_for
from dscost.converting.reproducing import require_reproduced
from dscost.converting.results import Conversion, Converted, LayerOutcome, commented
from dscost.converting.scoring.deciding import decided_by, swept
from dscost.converting.scoring.evaluating import Evaluator
from dscost.converting.scoring.of_graphs import evaluator_of, load_scored
from dscost.converting.scoring.results import Sensitivity
from dscost.converting.sites import Key, Site
from dscost.errors import InputError
from dscost.runtimes import RUNTIMES


class ConvertedGraph(NamedTuple):
    """A converted ONNX file.

    Args:
        model: A new one.
        plan: What was done.
        converted: What came of it.
    """

    model: ModelProto
    plan: Plan
    converted: Converted

    def with_converted(self, converted: Converted) -> "ConvertedGraph":
        """Return the same model, with something else told of it."""
        return self._replace(converted=converted)

    def plan_text(self) -> str:
        """Return the plan as YAML, with its figures as comments."""
        return commented(self.plan, self.converted.outcome)


def conversion_of(target: str, request: Request, asked: Asked, method: str) -> Conversion:
    """Return a copy of a model converted, and what became of each of its convolutions.

    Raises:
        InputError: Something that was given is wrong, or the model cannot be converted.
    """
    refuse(target, asked, None)
    if method != "svd":
        raise InputError(f"{target} is an ONNX file, whose weights it keeps: there is no {method=}")
    proof = proof_of(target, request, asked)
    subject = load_graph(target, request, proof.as_plan() if proof else asked.plan)
    calibration = calibration_for(asked.calibrate, subject)
    sites = _surveyed(subject, asked)
    if proof:
        sites = told_by(proof, sites)
    given = asked.plan or at_rank(sites, asked.rank or 1, asked.orders)
    check_plan(given, subject.kinds(), sites)
    made = _done(subject, [site.decided(given.layers) for site in sites])
    found = Conversion(made.model, method, made.layers)
    return found if calibration is None else found.recovered_by(calibration)


def decided_for(
    target: str,
    request: Request,
    asked: Asked,
    goal: Goal,
    weights: str | PathLike[str] | None,
) -> Decided:
    """Return what reaches a goal.

    Raises:
        InputError: Something that was given is wrong.
    """
    refuse(target, asked, weights)
    subject = load_scored(target, request, asked.scorer)
    sites = _surveyed(subject, asked)
    calibration = calibration_for(asked.calibrate, subject)
    return decided_by(subject, sites, asked, _scoring(subject, sites, asked, calibration))


def sensitivity_of(target: str, request: Request, asked: Asked) -> Sensitivity:
    """Return what every layer loses of a score that is converted alone.

    Raises:
        InputError: Something that was given is wrong, or the function fails.
    """
    assert asked.scorer is not None
    subject = load_scored(target, request, asked.scorer)
    sites = _surveyed(subject, asked)
    evaluator = evaluator_of(subject, sites, asked.scorer, asked.progress)
    return swept(subject, sites, evaluator, asked.orders)


def _scoring(
    subject: GraphSubject,
    sites: tuple[Site, ...],
    asked: Asked,
    calibration: Calibration | None,
) -> Evaluator | None:
    """Return what scores a file converted at its sites, if a score is asked."""
    if asked.scorer is None:
        return None
    return evaluator_of(subject, sites, asked.scorer, asked.progress, calibration)


def converted(
    target: str,
    request: Request,
    asked: Asked,
    weights: str | PathLike[str] | None,
    *,
    every_layer: bool,
) -> ConvertedGraph:
    """Return an ONNX file converted, with all that is told of it.

    Raises:
        InputError: Something that was given is wrong, or the file cannot be converted.
    """
    refuse(target, asked, weights)
    say = asked.progress or (lambda share, doing: None)
    say(None, f"loading {target}")
    proof = proof_of(target, request, asked)
    plan = proof.as_plan() if proof else asked.plan
    subject = load_scored(target, request, asked.scorer, plan)
    calibration = calibration_for(asked.calibrate, subject)
    say(None, "looking at weights")
    sites = _surveyed(subject, asked)
    evaluator = None
    if proof:
        sites, decided = by_proof(subject, sites, proof)
    else:
        evaluator = _scoring(subject, sites, asked, calibration)
        decided = decided_by(subject, sites, asked, evaluator)

    def convert(decided: Decided) -> ConvertedGraph:
        say(None, "running it beside what it was made of")
        made = _done(subject, [site.decided(decided.plan.layers) for site in sites])
        outcome = outcome_of(subject, decided, made.layers, subject.cost_of(made.model))
        outcome = outcome._replace(notes=(*outcome.notes, *made.notes))
        told = Converted(outcome, decided.environment, every_layer)
        return ConvertedGraph(made.model, decided.plan, told)

    def timed(made: ConvertedGraph, turn: int) -> BothTimes:
        models = subject.whole_model(), subject.whole_model(made.model)
        return time_both(models, asked.timing, asked.progress, turn=turn)

    found = proved(subject, decided, convert, timed)
    if calibration is None:
        return found
    judged = (None, 0.0) if evaluator is None else (evaluator.judge, evaluator.tolerance)
    told = found.converted.recovered_by(calibration, found.model, asked.progress, *judged)
    return found.with_converted(told)


def refuse(target: str, asked: Asked, weights: object) -> None:
    """Refuse what makes no sense of an ONNX file.

    Raises:
        InputError: It was asked for.
    """
    runtime = RUNTIMES[asked.timing.runtimes[0]]
    is_timed = asked.fastest is True or (asked.goal and asked.goal.metric == "latency_s")
    wrong = {
        "its weights are in it: --weights has no meaning": weights is not None,
        f"--runtime {runtime.name} does not run it, onnxruntime does": (
            is_timed and runtime.takes == "torch"
        ),
    }
    for why, is_asked in wrong.items():
        if is_asked:
            raise InputError(f"{target} is an ONNX file: {why}")


def _surveyed(subject: GraphSubject, asked: Asked) -> tuple[Site, ...]:
    return survey_graph(
        subject.model,
        subject.traced,
        subject.nodes,
        subject.stored,
        where=asked.where,
        min_channels=asked.least,
    )


class _Made(NamedTuple):
    """A converted model, what became of its layers, and what the reader must know."""

    model: ModelProto
    layers: tuple[LayerOutcome, ...]
    notes: tuple[str, ...]


def _done(subject: GraphSubject, sites: list[Site]) -> _Made:
    """Return a subject with what was decided done to it, and seen to be right."""
    due = [site for site in sites if site.form is not None]
    for site in due:
        site.require_values()
    factors: dict[Key, Factors] = {}
    for site in due:
        if site.key not in factors:
            factors[site.key] = site.factors()
            _require_fitting(site, factors[site.key])
    model = rewritten(subject.model, due, factors)
    notes = check_valid(subject, model)
    if due:
        full = [site.at_full_rank() for site in due]
        notes += check_full_rank(subject, full, {site.key: site.factors() for site in full})
    layers = (
        layer_outcome(site, *((factors[site.key].error, "kernel") if site.form else ()))
        for site in sites
    )
    return _Made(model, tuple(layers), tuple(notes))


def _require_fitting(site: Site, factors: Factors) -> None:
    """Refuse weights that do not fit into the dtype of the old ones."""
    kernel = site.kernel
    dtype = kernel.weight.dtype
    with np.errstate(all="ignore"):
        made = composed(factors.rounded(dtype), kernel.weight.shape, kernel.conv.groups)
    given = as_array(kernel.weight)
    require_reproduced(site.name, given, made, kernel.dtype, is_full=site.is_full)
