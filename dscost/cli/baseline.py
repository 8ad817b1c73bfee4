"""`dscost baseline`."""

from pathlib import Path
from typing import Annotated

import typer

from dscost.cli import options as opt
from dscost.cli.check import Config


def baseline(
    action: Annotated[str, typer.Argument(help="save, update or show.")],
    budget: Annotated[
        Path | None, typer.Argument(help="The budget  [default: the nearest dscost.yaml]")
    ] = None,
    config: Config = None,
    model: Annotated[
        list[str] | None,
        typer.Option("--model", help="Only that model, the others stay as they are; repeatable."),
    ] = None,
    accept: Annotated[
        list[str] | None,
        typer.Option(
            metavar="PATTERN",
            help="What update may take over: growth as NAME/METRIC, such as 'mobilenet_v1*/macs'; "
            "another target or input as NAME, such as 'mobilenet_v1*'; repeatable.",
        ),
    ] = None,
    quiet: opt.Quiet = False,
) -> None:
    """Keep what models cost now, to judge growth by: save all, update improvements, or show what is kept."""
    from dscost.cli.baseline_actions import act

    act(action, opt.one_file(budget, config), accept or [], only=model or (), quiet=quiet)
