"""A timed report → the sites that it pays to convert: those that measured faster. No torch."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from os import PathLike, fspath
from typing import TYPE_CHECKING, NamedTuple

from dscost.analysis import Request, count, measure_model
from dscost.analysis.advising import estimated_s, readvised, times_of
from dscost.analysis.choice_timing import CHECKING_SHARES
from dscost.converting.asking import Asked
from dscost.converting.deciding import Decided, by_plan
from dscost.converting.outcomes import Told
from dscost.converting.plan_file import Plan
from dscost.converting.results import MEASURED, Latency
from dscost.converting.sites import Site
from dscost.errors import InputError, first_of
from dscost.layers.convolution import ConvSpec
from dscost.layers.variants import MIN_CHANNELS
from dscost.notation.inputs import TensorSpec
from dscost.notation.units import format_layer
from dscost.reports.records import Advice, Layer, Report, inputs_text
from dscost.reports.report_file import read_saved
from dscost.runtimes import TORCH
from dscost.timing import Progress, TimingOptions, runtime_of

if TYPE_CHECKING:
    from dscost.converting.loading import Target

Evidence = Report | str | PathLike[str]
"""A timed report of the model, or the path of a saved one."""
NAMES_SHOWN = 3

_WHY_KEPT = {
    "slower": "it measured slower when swapped",
    "same": "it measured no faster when swapped",
    "unclear": "the clock could not tell whether it is faster",
    "not_timed": "it was not timed",
    "whole_slower": "the whole model measured slower with it",
}
"""Why layers are kept, where the advice has no words of its own."""
_NEVER_RAN = "it is not in the report, so it was not timed"


class Proof(NamedTuple):
    """What tells which swaps pay.

    Args:
        report: Timed, with advice.
        origin: `measured`, or where the report was saved.
    """

    report: Report
    origin: str

    @property
    def advice(self) -> Advice:
        """What the report advises."""
        assert self.report.advice is not None
        return self.report.advice

    def as_plan(self) -> Plan | None:
        """Return a plan without layers that knows the input, where that can be told as one."""
        if len(self.report.inputs) != 1:
            return None
        (one,) = self.report.inputs
        dtype = None if one.dtype == "float32" else one.dtype
        return Plan({}, inputs=(TensorSpec(one.shape, dtype),))


def proof_of(target: "Target", request: Request, asked: Asked) -> Proof | None:
    """Return what tells which swaps pay: a report, or measuring now; nothing if nobody asks.

    Raises:
        InputError: It tells nothing, or there is nothing to measure.
        UnavailableError: The model cannot be timed here.
    """
    if asked.fastest is False:
        return None
    if asked.fastest is not True:
        return saved_proof(asked.fastest, asked.min_channels)
    more: dict[str, object] = {"min_channels": asked.fewest}
    budget_s = asked.timing.budget_s
    if budget_s and asked.timing.runtimes[0] != TORCH:  # the converted model is timed as well
        more["budget_s"] = (1 - CHECKING_SHARES[0]) * budget_s
    options = TimingOptions(**{**asked.timing._asdict(), **more})
    return measured_proof(target, request, options, asked.progress)


def saved_proof(evidence: Evidence, min_channels: int | None) -> Proof:
    """Return what a report tells; by default of as many channels as it was made with.

    Raises:
        InputError: There is none, or it has no times of layers that could be swapped.
    """
    if isinstance(evidence, Report):
        report, origin = evidence, evidence.target
    else:
        origin = fspath(evidence)
        report = read_saved(origin)
    if report.source == "layer":
        raise InputError(f"{origin}: a report of one layer, expected one of a model")
    own = report.advice.min_channels if report.advice else MIN_CHANNELS
    least = own if min_channels is None else min_channels
    report = _answered(readvised(report, least), least)
    if report.advice is None:
        why = "no layer was timed in it that could be swapped"
        raise InputError(f"{origin}: {why}; dscost model … -o {origin} measures and saves one")
    return Proof(report, origin)


def measured_proof(
    target: "Target", request: Request, timing: TimingOptions, progress: Progress | None
) -> Proof:
    """Return what measuring a model now tells.

    Raises:
        InputError: The model cannot be counted, or none of its layers could be timed.
        UnavailableError: It cannot be timed here.
    """
    counted = count(target, request, progress=progress)
    if counted.saved:
        raise InputError(f"{target} is a saved report: name the model, and the report by --from")
    report = _answered(measure_model(counted, timing, progress), timing.min_channels)
    if report.advice is None:
        why = first_of([one.text for one in report.untimed], NAMES_SHOWN, " ")
        raise InputError(f"which swaps pay could not be measured: {why or 'nothing was timed'}")
    return Proof(report, MEASURED)


def _answered(report: Report, min_channels: int) -> Report:
    """Return a report with the advice to keep all, where it was timed and nothing can be swapped.

    That is an answer, other than that nothing is known.
    """
    is_timed = report.advice is not None or report.environment is not None
    if report.advice is not None or any(layer.swappable for layer in report.layers) or not is_timed:
        return report
    setting = next(iter(report.latency), "cpu")
    return report._replace(advice=Advice(setting, (), (), 0, 0, min_channels))


def told_by(proof: Proof, sites: Sequence[Site]) -> tuple[Site, ...]:
    """Return the sites, each that it does not pay to convert with the reason.

    Raises:
        InputError: The report is of another model.
    """
    if proof.origin != MEASURED:
        _require_same(sites, proof)
    reasons = {one.name: one.detail or _WHY_KEPT.get(one.why, one.why) for one in proof.advice.kept}
    return tuple(_with_reason(site, proof.advice.swaps, reasons) for site in sites)


def by_proof(
    subject: Told, sites: Sequence[Site], proof: Proof
) -> tuple[tuple[Site, ...], Decided]:
    """Return the sites, with why they are kept, and what is done to them.

    Raises:
        InputError: The report is of another model or input.
    """
    told = told_by(proof, sites)
    if proof.origin != MEASURED and proof.report.inputs != subject.inputs:
        raise InputError(
            f"{proof.origin}: measured on {inputs_text(proof.report.inputs)}, "
            f"not on {inputs_text(subject.inputs)}: give the same --input, or measure again"
        )
    plan = Plan({site.name: 1 for site in told if site.reason is None})
    decided = by_plan(subject, told, plan)
    layers = {layer.name: layer for layer in proof.report.layers}
    key = proof.advice.setting
    runtime = runtime_of(key)
    return told, decided._replace(
        plan=replace(decided.plan, runtime=None if runtime == TORCH else runtime),
        runtime=runtime,
        clock="wall",
        proof=proof.origin,
        advice=proof.advice,
        environment=proof.report.environment,
        latency=_of_whole(proof, plan.layers),
        layer_latencies={
            name: found for name in plan.layers if (found := _of_layer(layers[name], key))
        },
        notes=(*decided.notes, *_short_of(proof, told)),
    )


def _with_reason(site: Site, swaps: Sequence[str], reasons: Mapping[str, str]) -> Site:
    if site.reason is not None or site.name in swaps:
        return site
    return site._replace(reason=reasons.get(site.name, _NEVER_RAN))


def _short_of(proof: Proof, sites: Sequence[Site]) -> list[str]:
    """Return that some swaps that pay cannot be done, if so."""
    able = {site.name for site in sites if site.reason is None}
    left = [format_layer(name) for name in proof.advice.swaps if name not in able]
    if not left:
        return []
    return [f"Kept although faster when swapped: {first_of(left, NAMES_SHOWN)}; see why."]


# -- times


def _of_whole(proof: Proof, converted: Mapping[str, object]) -> Latency | None:
    """Return the times of the model as it is and converted, measured of just these swaps or not.

    Of a model that stays as it is there is nothing to tell: what was measured may be of swaps that
    lose.
    """
    advice = proof.advice
    if not converted or advice.latency_s is None or advice.advised_latency_s is None:
        return None
    if set(converted) == set(advice.swaps):
        return Latency(advice.latency_s, advice.advised_latency_s, advice.speedup is None)
    fewer = advice._replace(swaps=tuple(converted))
    return Latency(advice.latency_s, estimated_s(fewer, proof.report, advice.latency_s), True)


def _of_layer(layer: Layer, key: str) -> Latency | None:
    found = times_of(layer, key)
    return None if found is None else Latency(*found, is_predicted=False)


# -- whether the report is of the model


def _require_same(sites: Sequence[Site], proof: Proof) -> None:
    theirs = {layer.name: layer.conv for layer in proof.report.layers if layer.swappable}
    ours = {site.name: site.conv for site in sites if site.swappable}
    for name in (*ours, *theirs):
        why = None
        if name not in theirs:
            why = f"the model has the convolution '{name}', the report has not"
        elif name not in ours:
            why = f"the report has the convolution '{name}', the model has not"
        elif not _alike(theirs[name], ours[name]):
            why = f"the convolution '{name}' is another one there"
        if why:
            raise InputError(f"{proof.origin}: a report of another model: {why}")


def _alike(one: ConvSpec | None, other: ConvSpec | None) -> bool:
    return one is None or other is None or _shape(one) == _shape(other)


def _shape(conv: ConvSpec) -> tuple[object, ...]:
    channels = conv.in_channels, conv.out_channels, conv.groups
    return (*channels, conv.kernel_size, conv.stride, conv.dilation)
