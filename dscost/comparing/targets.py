"""Two or more targets → what differs between them, and how long each takes."""

from collections.abc import Mapping, Sequence
from os import PathLike
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

from dscost.analysis import AS_STATED, CountedModel, Request, count, timing_options
from dscost.analysis.counting import INSTEAD
from dscost.analysis.sharing_inputs import requests_for
from dscost.analysis.targets import convention_texts, counted_already
from dscost.comparing.differences import Comparison, Contender, held_against
from dscost.comparing.notes import notes_on
from dscost.errors import InputError
from dscost.notation.units import dtype_bytes
from dscost.reports.counted_by import by_the_same_rules
from dscost.reports.records import Report
from dscost.sources import is_saved
from dscost.timing import Progress, TimingOptions, part_of

if TYPE_CHECKING:
    from torch import nn

    from dscost.analysis.side_by_side import SideBySide

    Target = str | PathLike[str] | nn.Module | Report

COUNTING_SHARE = 0.1
"""Of all that is to be done, where models are timed as well."""


def compare(
    targets: "Target | Sequence[Target]",
    *others: "Target",
    input: Any = None,
    batch: int | None = None,
    dtype: str | None = None,
    settings: Mapping[str, Any] | None = None,
    kwargs: Mapping[str, Any] | None = None,
    trust: bool = False,
    convention: "str | PathLike[str] | Sequence[str | PathLike[str]]" = (),
    every_layer: bool = False,
    layers: bool | None = None,
    time: bool = False,
    device: str | Sequence[str] = "cpu",
    runtime: str | Sequence[str] | None = None,
    threads: int | None = None,
    clock: str | None = None,
    memory_format: str | Sequence[str] | None = None,
    time_budget_s: float | None = None,
    timing: Mapping[str, Any] | None = None,
    progress: Progress | None = None,
) -> Comparison:
    """Return what differs between models, the first being the reference, and how fast each is.

    Args:
        targets: The reference, or a list of all: what `dscost.analyze` takes, saved reports and
            `Report`s included.
        others: The models that are held against the reference, at least one.
        input: What the forward of every target takes that is not a report already, as in
            `dscost.analyze`: a shape, batch first, or tensors.
        batch: Replaces the batch of the first input.
        dtype: Data type of weights and activations; by default float32, or what an `nn.Module` has.
        settings: What to change of the architectures' own settings, such as `{"width": 0.5}`.
        kwargs: For the factories that make torch models.
        trust: Whether code that a `program.pt2` holds or names may run, where it cannot be read
            without.
        convention: By whose rules to count as well, such as `fvcore`, or several
            (`dscost list conventions`).
        every_layer: Whether layers that are the same are to be shown as well.
        layers: Whether layers are to be shown at all; by default those of related models are, which
            share at least a fifth of them.
        time: Whether to measure as well: all models that are no saved reports take turns in one
            run, so that ratios of their latencies mean something.
        device: Where to measure: `cpu`, `cuda` or both.
        runtime: What runs it, such as `onnxruntime`, or several (`dscost list runtimes`); by
            default `torch`.
        threads: How many to measure with; by default one less than the physical cores.
        clock: `wall`, which is the default, or `cpu` to time by processor time as well.
        memory_format: `contiguous`, which is the default, `channels_last` or both.
        time_budget_s: Seconds that the measurement of all models together may take.
        timing: More fields of `dscost.timing.TimingOptions`, such as `{"precision": 0.01}`.
        progress: Called with the share that is done and the target that is next.

    Raises:
        InputError: There are fewer than two targets, or one cannot be read or counted; or all are
            saved reports and are to be timed; or `timing` has dtypes.
        UnavailableError: A target needs a library that is not installed.

    >>> found = compare("resnet18", "resnet34").versus[0]
    >>> found.totals[0].change, found.count_of("changed")
    (10108160, 0)
    """
    if isinstance(targets, str) or not isinstance(targets, Sequence):
        targets = [targets]
    conventions = convention_texts(convention)
    options = None
    if time:
        options = timing_options(
            device, threads, memory_format, time_budget_s, timing, runtime=runtime, clock=clock
        )
        if options.dtypes:
            told = f"found {options.dtypes}: give dtype={options.dtypes[0]!r}"
            raise InputError(f"timing: each model is timed in the dtype it is counted in, {told}")
    return compared(
        [*targets, *others],
        Request(input, batch, dtype, settings, kwargs, trust, conventions=conventions),
        options,
        every_layer=every_layer,
        layers=layers,
        progress=progress,
    )


def compared(
    targets: "Sequence[Target]",
    request: Request,
    options: TimingOptions | None = None,
    *,
    every_layer: bool = False,
    layers: bool | None = None,
    progress: Progress | None = None,
) -> Comparison:
    """Return what `compare` does; with timing where there are options for it.

    Raises:
        InputError: As `compare` does.
        UnavailableError: A target needs a library that is not installed, or the device is missing.
    """
    if len(targets) < 2:
        raise InputError(f"a comparison takes two targets or more, found {len(targets)}")
    if options is not None:
        request = request._replace(by_runtime=options.is_by_another)
    if request.dtype is not None:
        dtype_bytes(request.dtype)  # refused before any model is made
    saved = [isinstance(target, Report) or is_saved(target) for target in targets]
    if options is not None and all(saved):
        raise InputError("there is nothing to time: all targets are saved reports")
    models = _all_counted(targets, request, progress, COUNTING_SHARE if options else 1.0)
    labels = _labels(targets, [one.report for one in models])
    named = list(zip(labels, models, strict=True))
    reports = by_the_same_rules(labels, [one.report for one in models])
    contenders = list(map(Contender, labels, reports, saved))
    measured = None
    if options is not None:
        measured = _in_turns(labels, models, options, progress)
        reasons = [
            (name, one.why_not_by(*options.runtimes, instead=INSTEAD)) for name, one in named
        ]
        why = [f"{name} is not timed: {reason}." for name, reason in reasons if reason]
        measured = measured._replace(
            warnings=(*measured.warnings, *why), untimed=(*measured.untimed, *why)
        )
        contenders = [_with_latency(one, measured) for one in contenders]
    found = _held_against_first(contenders, request, measured, every_layer=every_layer)
    return found._replace(layers=layers)


def _all_counted(
    targets: "Sequence[Target]", request: Request, progress: Progress | None, share: float
) -> list[CountedModel]:
    models, each = [], share / len(targets)
    for at, (target, own) in enumerate(zip(targets, requests_for(targets, request), strict=True)):
        told = part_of(progress, at * each, (at + 1) * each) if progress else None
        models.append(_counted(target, own, told))
    return models


def _in_turns(
    labels: Sequence[str],
    models: Sequence[CountedModel],
    options: TimingOptions,
    progress: Progress | None,
) -> "SideBySide":
    runnable = [
        model.runnable is not None and not model.why_not_by(*options.runtimes) for model in models
    ]
    if not any(runnable):
        reasons = (model.why_not_by(*options.runtimes, instead=INSTEAD) for model in models)
        why = next(filter(None, reasons))
        raise InputError(f"there is nothing to time: {why}")
    from dscost.analysis.side_by_side import Entry, time_side_by_side

    three = zip(labels, models, runnable, strict=True)
    entries = [Entry(label, model) for label, model, runs in three if runs]
    told = part_of(progress, COUNTING_SHARE, 1.0) if progress else None
    return time_side_by_side(entries, options, told)


def _held_against_first(
    contenders: Sequence[Contender],
    request: Request,
    measured: "SideBySide | None",
    *,
    every_layer: bool,
) -> Comparison:
    reference, *rest = contenders
    versus = [held_against(reference, one) for one in rest]
    notes = list(notes_on(contenders, versus, request.changes))
    if measured is None:
        return Comparison(tuple(contenders), tuple(versus), every_layer, tuple(notes))
    if reference.timed:
        versus = [
            one._replace(
                speedups=measured.speedups.get(one.label, {}),
                cpu_speedups=measured.cpu_speedups.get(one.label, {}),
            )
            for one in versus
        ]
    return Comparison(
        tuple(contenders),
        tuple(versus),
        every_layer,
        (*notes, *measured.warnings),
        environment=measured.environment,
        untimed=measured.untimed,
    )


def _with_latency(contender: Contender, measured: "SideBySide") -> Contender:
    """Return a model with what was measured of it in this run; a saved one keeps its own."""
    latency = measured.latencies.get(contender.label)
    if not latency:
        return contender
    report = contender.report._replace(latency=latency, environment=measured.environment)
    return contender._replace(report=report, timed=True)


def _counted(target: "Target", request: Request, progress: Progress | None) -> CountedModel:
    by_others = AS_STATED._replace(conventions=request.conventions)
    if isinstance(target, Report):
        return counted_already(target, by_others)
    if not isinstance(target, str | PathLike):  # a module is made; the factories are the others
        request = request._replace(kwargs=None)
    return count(target, by_others if is_saved(target) else request, progress=progress)


def _labels(targets: "Sequence[Target]", reports: Sequence[Report]) -> list[str]:
    """Return a name for each, as short as tells them apart."""
    whole = [
        str(target) if isinstance(target, str | PathLike) else report.target
        for target, report in zip(targets, reports, strict=True)
    ]
    short = [PurePath(label).name or label for label in whole]
    labels = short if len(set(short)) == len(set(whole)) else whole
    seen: dict[str, int] = {}
    for at, label in enumerate(labels):
        seen[label] = seen.get(label, 0) + 1
        if seen[label] > 1:
            labels[at] = f"{label} ({seen[label]})"
    return labels
