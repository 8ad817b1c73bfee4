"""`dscost layer`."""

from typing import Annotated

import typer

from dscost.analysis import count_layer, measure_layer
from dscost.cli import measuring as how
from dscost.cli import options as opt
from dscost.cli.geometry import NOTHING, Geometry
from dscost.cli.model_files import Content, contents
from dscost.cli.output_options import DEFAULTS, OfLayer, Stages
from dscost.cli.places import device_files
from dscost.cli.printing import Output
from dscost.errors import InputError
from dscost.pages import View
from dscost.reports.records import Report


def layer(
    geometry: Geometry = NOTHING,
    batch: opt.Batch = None,
    depth_multiplier: Annotated[
        int | None, typer.Option(help="Depthwise outputs per input channel, T  [default: 1]")
    ] = None,
    variant: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME[:VALUE]",
            help="Compare with this variant instead of depthwise-separable; see dscost list "
            "variants; repeatable.",
        ),
    ] = None,
    measuring: how.Measuring = how.AS_USUAL,
    with_norm: Annotated[
        bool,
        typer.Option(
            "--with-norm",
            help="Time each convolution with BatchNorm and ReLU after it, as networks have them.",
        ),
    ] = False,
    on: opt.On = None,
    convention: opt.Convention = None,
    explain: opt.Explain = False,
    stages: Stages = False,
    asked: OfLayer = DEFAULTS,
    verbose: opt.Verbose = False,
) -> None:
    """Compare a convolution with its depthwise-separable variant, or others: counted and timed."""
    out = asked.output("layer", View(explain=explain, stages=stages), read=device_files(on))
    sources = opt.check_devices(on)
    cases = how.parse_cases(measuring.dtype, batch)
    if not measuring.time:
        how.check_untimed(measuring, cases)
        if with_norm:
            raise InputError("--with-norm needs timing: what is counted are the convolutions")
    timing = measuring.options(cases, with_norm=with_norm, profile=explain)
    report = count_layer(
        **geometry.arguments(),
        batch=cases.batch,
        depth_multiplier=depth_multiplier,
        dtype=cases.dtype,
        variants=tuple(variant or ()),
        conventions=tuple(convention or ()),
    )
    report = opt.with_bounds(report, on or (), explain=explain, timed=measuring.time)
    for source in sources if verbose else ():
        out.note(source)
    models = _models(out, report)
    if not measuring.time:
        opt.check_columns(out.view.columns, report)
        out.write([report], models)
        return
    out.check([report])
    with how.only_measuring(), out.meanwhile([report], shown=True), out.progress() as progress:
        report = measure_layer(report, timing, progress)
    timed, untimed = bool(report.latency), [one.text for one in report.untimed]
    out.lacks(how.told_of(untimed, measuring, timed=timed))
    out.write([report], models)
    how.check_timed(measuring, timed=timed, untimed=untimed)


def _models(out: Output, report: Report) -> list[Content]:
    """Return the layer as files are to hold it."""
    if not out.models:
        return []
    from dscost.converting.writing import layer_as_onnx

    return contents(out.models, lambda variant: layer_as_onnx(report, variant))
