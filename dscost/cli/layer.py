"""`dscost layer`."""

from typing import Annotated

import typer

from dscost.analysis import count_layer, measure_layer, predicted
from dscost.cli import options as opt
from dscost.cli.output_options import DEFAULTS, All
from dscost.cli.places import device_files
from dscost.cli.printing import Output
from dscost.pages import View, said
from dscost.reports.records import Report
from dscost.timing import TimingOptions


def layer(
    in_channels: Annotated[int, typer.Option("--cin", "--in-channels", help="Input channels M.")],
    out_channels: Annotated[
        int, typer.Option("--cout", "--out-channels", help="Output channels N.")
    ],
    kernel: Annotated[
        str, typer.Option("-k", "--kernel", help="Kernel size, 3 or 5x3 (height x width).")
    ],
    stride: Annotated[str | None, typer.Option(help="Step, 2 or 2x1  [default: 1]")] = None,
    padding: Annotated[
        str | None, typer.Option(help="1, 2x1 or same  [default: keeps the size at stride 1]")
    ] = None,
    dilation: Annotated[
        str | None, typer.Option(help="Distance between taps, 2 or 2x1  [default: 1]")
    ] = None,
    groups: Annotated[int | None, typer.Option(help="Groups of channels  [default: 1]")] = None,
    size: Annotated[
        str | None, typer.Option(help="Input height and width, 56 or 31x40  [default: 14]")
    ] = None,
    batch: opt.Batch = None,
    bias: Annotated[
        bool | None,
        typer.Option("--bias/--no-bias", help="A bias per output channel  [default: no-bias]"),
    ] = None,
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
    measuring: opt.Measuring = opt.AS_USUAL,
    on: opt.On = None,
    explain: opt.Explain = False,
    asked: All = DEFAULTS,
    verbose: opt.Verbose = False,
) -> None:
    """Compare a convolution with its depthwise-separable variant, or others: counted and timed."""
    out = asked.output("layer", View(explain=explain), read=device_files(on))
    sources = opt.check_devices(on)
    cases = opt.parse_cases(measuring.dtype, batch)
    if not measuring.time:
        opt.check_untimed(cases, explain=explain)
    timing = measuring.options(cases)
    report = count_layer(
        in_channels=in_channels,
        out_channels=out_channels,
        kernel_size=opt.parse_extent(kernel, "--kernel") or 0,
        stride=opt.parse_extent(stride, "--stride"),
        padding=opt.parse_padding(padding),
        dilation=opt.parse_extent(dilation, "--dilation"),
        groups=groups,
        bias=bias,
        input_size=opt.parse_extent(size, "--size"),
        batch=cases.batch,
        depth_multiplier=depth_multiplier,
        dtype=cases.dtype,
        variants=tuple(variant or ()),
    )
    report = predicted(report, on or ())
    for source in sources if verbose else ():
        out.note(source)
    if not measuring.time:
        opt.check_columns(out.view.columns, report)
        out.write([report])
        return
    out.check([report])
    with opt.only_measuring():
        if out.fills_in:
            report = _filled_in(report, timing, out)
        else:
            with out.progress() as progress:
                report = measure_layer(report, timing, progress)
    out.write([report])


def _filled_in(report: Report, timing: TimingOptions, out: Output) -> Report:
    """Show the counted figures at once, while the others are measured."""
    from dscost.rendering.terminal import live_page

    with live_page(color=out.view.color) as show:
        show(said(report), out.view._replace(pending=True))
        return measure_layer(report, timing)
