"""`dscost model`."""

from typing import Annotated

import typer

from dscost.analysis import count, measure_model, predicted
from dscost.analysis.isolated import Worker
from dscost.cli import options as opt
from dscost.cli.output_options import DEFAULTS, All
from dscost.cli.places import device_files, target_files
from dscost.cli.streams import foreign_code
from dscost.errors import InputError
from dscost.pages import View


def model(
    target: Annotated[
        str,
        typer.Argument(
            help="A built-in name (dscost list models), torchvision:NAME, timm:NAME, hf:TYPE, "
            "net.yaml, package.module:factory, path/file.py:factory, program.pt2 "
            "or a saved report.json (dscost list targets)."
        ),
    ],
    setting: Annotated[
        list[str] | None,
        typer.Option(
            "--set", metavar="NAME=VALUE", help="Change a setting, width=0.5; repeatable."
        ),
    ] = None,
    inputs: Annotated[
        list[str] | None,
        typer.Option(
            "--input",
            metavar="[NAME=]SHAPE[:DTYPE]",
            help="1,3,224,224, ids=1,128:int64 or lengths=1:int64=200; repeatable.",
        ),
    ] = None,
    kwargs: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=VALUE", help="For the factory of a torch model; repeatable."),
    ] = None,
    batch: opt.Batch = None,
    trust: opt.Trust = False,
    strict: Annotated[
        bool, typer.Option("--strict", help="Fail on operators of unknown cost.")
    ] = False,
    train: Annotated[
        bool, typer.Option("--train", help="Count the backward pass as well.")
    ] = False,
    dtype: opt.Dtype = None,
    device: opt.Device = None,
    threads: opt.Threads = None,
    memory_format: opt.MemoryFormat = None,
    mode: opt.Mode = None,
    time: opt.Time = True,
    time_budget: opt.TimeBudget = None,
    precision: opt.Precision = None,
    allocator: opt.Allocator = "tuned",
    seed: opt.Seed = 0,
    skip_losing: Annotated[
        bool,
        typer.Option(
            "--skip-losing/--keep-losing", help="Leave layers standard that the swap makes slower."
        ),
    ] = False,
    on: opt.On = None,
    explain: opt.Explain = False,
    depth: Annotated[
        int | None, typer.Option(min=1, help="Add up layers whose names agree in that many parts.")
    ] = None,
    sort: Annotated[
        str | None, typer.Option(help="Sort layers by a figure, largest first.")
    ] = None,
    top: Annotated[
        int | None, typer.Option("-n", "--top", min=1, help="Show only that many layers.")
    ] = None,
    asked: All = DEFAULTS,
    verbose: opt.Verbose = False,
    isolate: opt.Isolate = False,
    load_timeout: opt.LoadTimeout = None,
) -> None:
    """Count a model layer by layer: as it is, standard, and depthwise-separable; and time it."""
    from dscost.pages.reports import ReportsSaid

    view = View(depth=depth, sort=sort, top=top, explain=explain)
    out = asked.output("model", view, read=[*target_files([target]), *device_files(on)])
    ReportsSaid.check(out.view, out.says)
    opt.check_devices(on)
    cases = opt.parse_cases(dtype, batch)
    timing = opt.timing_options(
        cases,
        device=device,
        memory_format=memory_format,
        mode=mode,
        threads=threads,
        allocator=allocator,
        time_budget=time_budget,
        precision=precision,
        seed=seed,
        skip_losing=skip_losing,
    )
    if not time:
        opt.check_untimed(cases, explain=explain)
    if skip_losing and not time:
        raise InputError("--skip-losing needs timing: which layers lose is measured")
    limit_s = opt.parse_load_timeout(load_timeout, isolate=isolate)
    from dscost.sources import runs_code  # help needs none of what reads models

    with Worker(limit_s) as worker:
        with foreign_code(target):
            request = opt.parse_request(
                inputs, setting, kwargs, batch=cases.batch, dtype=cases.dtype, trust=trust
            )
            counting = worker.count if isolate and runs_code(target) else count
            counted = counting(target, request, strict=strict, train=train)
        if verbose:
            out.note(f"{target}: {counted.report.source}")
        report = counted.report
        if time:
            out.check([report])
            with foreign_code(target), opt.only_measuring(), out.progress() as progress:
                report = measure_model(counted, timing, progress)
        else:
            opt.check_columns(out.view.columns, report)
    out.write([predicted(report, on or ())])
