"""`dscost init`."""

import os
from pathlib import Path
from typing import Annotated

import typer

from dscost.cli import options as opt
from dscost.cli.printing import tell
from dscost.cli.streams import foreign_code
from dscost.errors import InputError
from dscost.files import check_folder, write_whole
from dscost.notation.quantities import parse_quantity


def init(
    models: Annotated[
        list[str], typer.Argument(metavar="MODEL...", help="Whatever dscost model takes.")
    ],
    path: Annotated[Path, typer.Option("-o", "--output", help="The budget to write.")] = Path(
        "dscost.yaml"
    ),
    headroom: Annotated[
        str, typer.Option(help="How far limits are above what is counted; 0% is exact.")
    ] = "5%",
    inputs: Annotated[
        list[str] | None,
        typer.Option(
            "--input",
            metavar="[NAME=]SHAPE[:DTYPE]",
            help="Of every model, 1,3,224,224, ids=1,128:int64 or lengths=1:int64=200; repeatable.",
        ),
    ] = None,
    batch: Annotated[int | None, typer.Option(help="Inputs at once.")] = None,
    dtype: Annotated[str | None, typer.Option(help="Of weights and activations.")] = None,
    setting: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="NAME=VALUE", help="Of architectures; repeatable."),
    ] = None,
    kwargs: Annotated[
        list[str] | None, typer.Option(metavar="NAME=VALUE", help="Of factories; repeatable.")
    ] = None,
    quiet: opt.Quiet = False,
) -> None:
    """Write a first budget: what models cost now, with headroom. Nothing that exists is overwritten."""
    from dscost.budgets.starting import starter_budget  # all of counting, which help does not need

    if os.path.lexists(path):  # a link to nothing is there as well; a name too long is told below
        raise InputError(
            f"{path} exists and is not overwritten: edit it, or write elsewhere by -o FILE"
        )
    check_folder(path)
    request = opt.parse_request(inputs, setting, kwargs, batch=batch, dtype=dtype)
    try:
        room = parse_quantity(headroom, "share")
    except InputError as error:
        raise InputError(f"--headroom: {error}") from error
    with foreign_code(*models):
        text = starter_budget(models, path, room, request)
    write_whole(path, text)
    if not quiet:
        tell(
            f"wrote {path}: edit its limits; "
            "dscost baseline save keeps what they judge growth by, dscost check judges"
        )
