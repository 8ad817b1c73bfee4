"""`dscost which`."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated

import typer

from dscost.cli import options as opt
from dscost.cli.output_options import DEFAULTS, Plain
from dscost.cli.places import target_files
from dscost.cli.streams import foreign_code
from dscost.errors import InputError
from dscost.pages import View

NOTHING_FITS = 1
NOT_KNOWN = 2
"""Nothing fits, but not all of the model could be counted."""


def which(
    target: Annotated[str, typer.Argument(help="Any target of dscost model.")],
    number: Annotated[
        list[str],
        typer.Argument(
            metavar="NUMBER",
            help="The figure as it is written: 4.11G, 4.11 GFLOPs, 0.32, 4111512576.",
        ),
    ],
    asking: opt.Asking = opt.AS_IT_IS,
    batch: opt.OneBatch = None,
    trust: opt.Trust = False,
    convention: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME|FILE", help="Another way to count, beside the known ones; repeatable."
        ),
    ] = None,
    every: Annotated[
        bool,
        typer.Option("--all", help="Look for less likely readings as well, and show every one."),
    ] = False,
    top: Annotated[
        int | None,
        typer.Option("-n", "--top", min=1, metavar="N", help="Show N readings  [default: 4]"),
    ] = None,
    asked: Plain = DEFAULTS,
) -> None:
    """Tell by whose way of counting a model has a figure that is stated of it.

    Exit 1 if nothing gives that figure; 2 if that is so, but not all of the model is counted.
    """
    from dscost.attributing.searching import which as whose

    if every and top is not None:
        raise InputError("--all shows every reading: --top has no meaning with it")
    out = asked.output("which", View(top=top, brief=asked.quiet), read=target_files([target]))
    (target,) = asking.models([target], out.note)
    request = asking.request(batch, trust=trust)
    further = convention or ()
    with out.progress() as progress, foreign_code(target), _images_of(request.input):
        found = whose(
            target,
            " ".join(number),
            **request.arguments,
            convention=further,
            exhaustive=every,
            progress=progress,
        )
    out.write(found)
    if not found.fits:
        raise typer.Exit(NOT_KNOWN if found.unknown else NOTHING_FITS)


@contextmanager
def _images_of(given: object) -> Iterator[None]:
    """Say how to write images of a size where the size alone was given, and does not do."""
    shape = getattr(given, "shape", given)
    try:
        yield
    except InputError as error:
        if not isinstance(shape, tuple) or len(shape) != 1:
            raise
        (side,) = shape
        raise InputError(
            f"{error}; for images of {side} by {side} write --input 1,3,{side},{side}"
        ) from error
