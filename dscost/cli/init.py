"""`dscost init`."""

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from dscost.cli import options as opt
from dscost.cli.printing import tell
from dscost.cli.progress import progress_line
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
    inputs: opt.Shapes = None,
    batch: opt.OneBatch = None,
    dtype: opt.OneDtype = None,
    setting: opt.Setting = None,
    kwargs: opt.Kwargs = None,
    quiet: opt.Quiet = False,
) -> None:
    """Write a first budget: what models cost now, with headroom. No file is overwritten.

    Inputs hold for all models; those by name for the ONNX files that have them.
    """
    from dscost.budgets.starting import starter_budget  # all of counting, which help does not need

    if os.path.lexists(path):  # a link to nothing is there as well; a name too long is told below
        raise InputError(
            f"{path} exists and is not overwritten: edit it, or write elsewhere by -o FILE"
        )
    check_folder(path)
    asking = opt.Asking(setting, inputs, kwargs)
    request = asking.request(batch, dtype)
    models = asking.models(models, (lambda _: None) if quiet else tell)
    try:
        room = parse_quantity(headroom, "share")
    except InputError as error:
        raise InputError(f"--headroom: {error}") from error
    with progress_line(sys.stderr, quiet=quiet) as progress, foreign_code(*models):
        text = starter_budget(models, path, room, request, progress)
    write_whole(path, text)
    if not quiet:
        tell(
            f"wrote {path}: edit its limits; "
            "dscost baseline save keeps what they judge growth by, dscost check judges"
        )
