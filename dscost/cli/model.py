"""`dscost model`."""

from typing import Annotated

import typer

from dscost.analysis import CountedModel, count, measure_model, why_not_timed
from dscost.analysis.isolated import Worker
from dscost.cli import measuring as how
from dscost.cli import options as opt
from dscost.cli.getting import Own, command_for
from dscost.cli.model_files import Content, contents
from dscost.cli.output_options import DEFAULTS, OfModel, Stages, Totals
from dscost.cli.places import device_files, target_files
from dscost.cli.printing import Output
from dscost.cli.streams import foreign_code
from dscost.errors import InputError
from dscost.pages import View
from dscost.reports.records import Report
from dscost.timing import Progress, TimingOptions


def model(
    target: Annotated[
        str,
        typer.Argument(
            help="A built-in name (dscost list models), torchvision:NAME, timm:NAME, hf:TYPE, "
            "net.yaml, package.module:factory, path/file.py:factory, model.onnx, "
            "program.pt2 or a saved report.json (dscost list targets)."
        ),
    ],
    asking: opt.Asking = opt.AS_IT_IS,
    batch: opt.Batch = None,
    trust: opt.Trust = False,
    strict: Annotated[
        bool, typer.Option("--strict", help="Fail on operators of unknown cost.")
    ] = False,
    train: Annotated[
        bool, typer.Option("--train", help="Count the backward pass as well.")
    ] = False,
    measuring: how.Measuring = how.AS_USUAL,
    skip_losing: Annotated[
        bool,
        typer.Option(
            "--skip-losing/--keep-losing",
            help="Keep a layer as it is where the separable version measured slower.",
        ),
    ] = False,
    min_channels: opt.MinChannels = None,
    on: opt.On = None,
    convention: opt.Convention = None,
    explain: opt.Explain = False,
    depth: opt.Depth = None,
    sort: Annotated[
        str | None, typer.Option(help="Sort layers by a figure, largest first.")
    ] = None,
    top: opt.Top = None,
    tree: opt.Tree = False,
    stages: Stages = False,
    totals: Totals = False,
    asked: OfModel = DEFAULTS,
    verbose: opt.Verbose = False,
    isolate: opt.Isolate = False,
    load_timeout: opt.LoadTimeout = None,
) -> None:
    """Count a model layer by layer: as it is, standard, and depthwise-separable; and time it."""
    from dscost.pages.reports import ReportsSaid

    view = View(
        depth=depth, sort=sort, top=top, tree=tree, explain=explain, stages=stages, totals=totals
    )
    _refuse_both(view)
    out = asked.output("model", view, read=[*target_files([target]), *device_files(on)])
    ReportsSaid.check(out.view, out.says)
    sources = opt.check_devices(on)
    cases = how.parse_cases(measuring.dtype, batch)
    timing = measuring.options(
        cases, skip_losing=skip_losing, min_channels=min_channels, profile=explain
    )
    if not measuring.time:
        how.check_untimed(measuring, cases)
        how.check_undecided(skip_losing=skip_losing, min_channels=min_channels)
    (target,) = asking.models([target], out.note)
    from dscost.sources import runs_code  # help needs none of what reads models

    if out.models:
        _require_exporter(target)
    with Worker(opt.parse_load_timeout(load_timeout, isolate=isolate)) as worker:
        with out.progress() as progress, foreign_code(target):
            request = asking.request(cases.batch, cases.dtype, trust=trust)
            by_runtime = measuring.time and timing.is_by_another
            request = request._replace(by_runtime=by_runtime, conventions=tuple(convention or ()))
            counting = worker.count if isolate and runs_code(target) else count
            counted = counting(target, request, strict=strict, train=train, progress=progress)
            models = _models(out, counted, progress)
        report = counted.report
        for source in (f"{target}: {report.source}", *sources) if verbose else ():
            out.note(source)
        if measuring.time:
            _refuse_measuring(counted, timing, measuring, skip_losing, min_channels)
            out.check([report])
            with (
                out.meanwhile([report]),
                out.progress() as progress,
                foreign_code(target),
                how.only_measuring(),
            ):
                report = measure_model(counted, timing, progress)
            out.lacks(how.told_of(_untimed(report), measuring, timed=_is_timed(report)))
        else:
            opt.check_columns(out.view.columns, report)
    if report.advice:
        own = Own(batch, trust, min_channels)
        out = out.getting(command_for(report, target, asking, measuring, own, out))
    out.write([opt.with_bounds(report, on or (), explain=explain, timed=measuring.time)], models)
    how.check_timed(measuring, timed=_is_timed(report), untimed=_untimed(report))


def _untimed(report: Report) -> list[str]:
    return [one.text for one in report.untimed]


def _is_timed(report: Report) -> bool:
    return bool(report.latency) or any(layer.latency for layer in report.layers)


def _refuse_both(view: View) -> None:
    """Refuse what has no meaning beside what else is to be shown."""
    if view.tree and (view.sort is not None or view.top is not None):
        raise InputError(
            "--tree shows every module in its place: --sort and --top have no meaning with it"
        )
    if view.stages and view.totals:
        raise InputError("--stages tells of parts of layers, which --totals leaves out")


def _refuse_measuring(
    counted: CountedModel,
    timing: TimingOptions,
    measuring: how.Measuring,
    skip_losing: bool,
    min_channels: int | None,
) -> None:
    """Refuse what is said of a measurement of a model that cannot be timed."""
    why = why_not_timed(counted, timing)
    if not why:
        return
    given = {**measuring._asdict(), "dtype": None, "time": True}
    usual = how.AS_USUAL._asdict()
    changed = [name for name, value in given.items() if value not in (None, usual[name])]
    changed += ["skip_losing"] if skip_losing else []
    # a saved report that was timed is advised on anew
    if min_channels is not None and not counted.report.environment:
        changed.append("min_channels")
    if changed:
        options = ", ".join(f"--{name.replace('_', '-')}" for name in changed)
        raise InputError(f"{options} cannot be heeded. {why}")


def _require_exporter(target: str) -> None:
    """Refuse to write a model before it is counted, where that is going to be in vain."""
    from dscost.converting.writing import require_onnx
    from dscost.sources import runs_code

    require_onnx(of_torch=runs_code(target))


def _models(out: Output, counted: CountedModel, progress: Progress | None) -> list[Content]:
    """Return the model as files are to hold it."""
    if not out.models:
        return []
    from dscost.converting.writing import model_as_onnx

    return contents(out.models, lambda version: model_as_onnx(counted, version), progress)
