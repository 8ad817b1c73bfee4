"""`dscost compare`."""

from typing import Annotated

import typer

from dscost.cli import measuring as how
from dscost.cli import options as opt
from dscost.cli.output_options import DEFAULTS, All, Without
from dscost.cli.places import target_files
from dscost.cli.streams import foreign_code
from dscost.errors import InputError
from dscost.pages import View


def compare(
    targets: Annotated[
        list[str],
        typer.Argument(
            metavar="TARGET...",
            help="Two or more of what dscost model takes, saved reports too; "
            "the first is what the others are held against.",
        ),
    ],
    asking: opt.Asking = opt.AS_IT_IS,
    batch: opt.OneBatch = None,
    trust: opt.Trust = False,
    dtype: opt.OneDtype = None,
    convention: opt.Convention = None,
    time: Annotated[
        bool,
        typer.Option("--time/--no-time", help="Measure all models in turns, in one run."),
    ] = False,
    measuring: Annotated[how.Measuring, Without("time", "dtype")] = how.AS_USUAL,
    layers: Annotated[
        bool | None,
        typer.Option(
            "--layers/--no-layers",
            help="Show how layers differ  [default: those of models that share a fifth of them]",
        ),
    ] = None,
    every_layer: Annotated[
        bool, typer.Option("--all", help="Show layers that are the same as well.")
    ] = False,
    depth: opt.Depth = None,
    sort: Annotated[
        str | None,
        typer.Option(
            help="Sort layers by the change of a figure, by layer or order  [default: macs]"
        ),
    ] = None,
    top: opt.Top = None,
    asked: All = DEFAULTS,
) -> None:
    """Say what models cost side by side, and layer by layer where they are related; time them.

    Settings, inputs and the like hold for every target that is no saved report; an input by name
    for those ONNX files that have it.
    """
    from dscost.comparing.targets import compared
    from dscost.pages.comparisons import ComparisonSaid

    view = View(depth=depth, sort=sort, top=top)
    out = asked.output("compare", view, read=target_files(targets))
    ComparisonSaid.check(out.view, out.says)
    if layers is False:
        _refuse_layers_options(view, every_layer=every_layer)
    if not time and measuring != how.AS_USUAL:
        given = zip(measuring._fields, measuring, how.AS_USUAL, strict=True)
        changed = next(name for name, value, usual in given if value != usual)
        raise InputError(f"--{changed.replace('_', '-')} needs --time: nothing is measured without")
    if dtype is not None and "," in dtype:
        raise InputError(f"--dtype: models are compared in one at a time, found '{dtype}'")
    options = measuring.options() if time else None
    request = asking.request(batch, dtype, trust=trust)
    request = request._replace(conventions=tuple(convention or ()))
    targets = asking.models(targets, out.note)
    with out.progress() as progress, foreign_code(*targets):
        found = compared(
            targets, request, options, every_layer=every_layer, layers=layers, progress=progress
        )
    timed = not time or any(one.report.latency for one in found.contenders)
    out.lacks(how.told_of(found.untimed, measuring, timed=timed))
    out.write(found)
    how.check_timed(measuring, timed=timed, untimed=found.untimed)


def _refuse_layers_options(view: View, *, every_layer: bool) -> None:
    """Refuse what speaks of layers where none are to be shown."""
    given = {"all": every_layer or None, "depth": view.depth, "sort": view.sort, "top": view.top}
    for name, value in given.items():
        if value is not None:
            raise InputError(f"--{name} speaks of layers, which --no-layers leaves out")
