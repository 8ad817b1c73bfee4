"""`dscost verify`."""

from typing import TYPE_CHECKING, Annotated

import typer

from dscost.cli import options as opt
from dscost.cli.output_options import DEFAULTS, Plain
from dscost.cli.places import target_files
from dscost.cli.streams import foreign_code

if TYPE_CHECKING:
    from dscost.analysis.verification import Verification
    from dscost.analysis.verifying_against import PeerVerification

DIFFERS = 1
NOT_ALL = 2
"""Nothing is known to differ, but not everything could be counted twice."""


def verify(
    target: Annotated[str, typer.Argument(help="Any target of dscost model.")],
    asking: opt.Asking = opt.AS_IT_IS,
    against: Annotated[
        list[str] | None,
        typer.Option(
            metavar="PEER",
            help="Run fvcore, ptflops, thop or torchinfo, and hold it against its rules; "
            "repeatable.",
        ),
    ] = None,
    batch: opt.OneBatch = None,
    trust: opt.Trust = False,
    asked: Plain = DEFAULTS,
) -> None:
    """Count a model by two independent methods, or hold other counters against their rules.

    Exit 1 if they differ and it is not known why; 2 if not all of it could be counted twice.
    """
    from dscost.analysis.verifying import verify as count_twice

    out = asked.output("verify", read=target_files([target]))
    (target,) = asking.models([target], out.note)
    request = asking.request(batch, trust=trust)
    with out.progress() as progress, foreign_code(target):
        found: Verification | PeerVerification = (
            count_twice(target, **request.arguments, against=against, progress=progress)
            if against
            else count_twice(target, **request.arguments, progress=progress)
        )
    out.write(found)
    for note in found.notes:
        out.note(note)
    if found.differs:
        raise typer.Exit(DIFFERS)
    if found.partial:
        raise typer.Exit(NOT_ALL)
