"""`dscost compare`."""

from typing import Annotated

import typer

from dscost.cli import options as opt
from dscost.cli.places import target_files
from dscost.cli.printing import output
from dscost.cli.streams import foreign_code
from dscost.rendering import View


def compare(
    targets: Annotated[
        list[str],
        typer.Argument(
            metavar="TARGET...",
            help="Two or more of what dscost model takes, saved reports too; the first is what the others are held "
            "against.",
        ),
    ],
    setting: Annotated[
        list[str] | None,
        typer.Option(
            "--set", metavar="NAME=VALUE", help="Change a setting of the architectures; repeatable."
        ),
    ] = None,
    inputs: Annotated[
        list[str] | None,
        typer.Option(
            "--input", metavar="[NAME=]SHAPE[:DTYPE]", help="Of all but saved reports; repeatable."
        ),
    ] = None,
    kwargs: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=VALUE", help="For the factories of torch models; repeatable."),
    ] = None,
    batch: Annotated[int | None, typer.Option(help="Inputs at once  [default: 1]")] = None,
    trust: opt.Trust = False,
    dtype: Annotated[
        str | None, typer.Option(help="Of weights and activations  [default: float32]")
    ] = None,
    every_layer: Annotated[
        bool, typer.Option("--all", help="Show layers that are the same as well.")
    ] = False,
    depth: Annotated[
        int | None, typer.Option(min=1, help="Add up layers whose names agree in that many parts.")
    ] = None,
    sort: Annotated[
        str | None,
        typer.Option(
            help="Sort layers by the change of a figure, by layer or order  [default: macs]"
        ),
    ] = None,
    top: Annotated[
        int | None, typer.Option("-n", "--top", min=1, help="Show only that many layers.")
    ] = None,
    format_name: opt.Format = None,
    json: opt.Json = False,
    path: opt.OutputPath = None,
    export: opt.Export = None,
    columns: opt.Columns = None,
    wide: opt.Wide = False,
    color: opt.Color = "auto",
    quiet: opt.Quiet = False,
) -> None:
    """Say what differs between models, in total and layer by layer. Nothing is timed."""
    from dscost.comparing.targets import compare as compare_models
    from dscost.pages.comparisons import COMPARISON_RENDERERS, check_view

    out = output(
        command="compare",
        format_name=format_name,
        json=json,
        path=path,
        export=export,
        color=color,
        quiet=quiet,
        view=View(columns=opt.parse_columns(columns), wide=wide, depth=depth, sort=sort, top=top),
        formats=COMPARISON_RENDERERS,
        read=target_files(targets),
    )
    check_view(out.view, out.format_name)
    with foreign_code(*targets), out.progress() as progress:
        found = compare_models(
            targets,
            input=opt.parse_inputs(inputs or []),
            batch=batch,
            dtype=dtype,
            settings=opt.parse_settings(setting or []),
            kwargs=opt.parse_kwargs(kwargs or []),
            trust=trust,
            every_layer=every_layer,
            progress=progress,
        )
    out.write(found)
