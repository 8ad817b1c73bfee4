"""`dscost verify`."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

import typer

from dscost.cli import options as opt
from dscost.cli.printing import tell, write_out, write_text
from dscost.cli.streams import foreign_code
from dscost.rendering.printable import json_text

if TYPE_CHECKING:
    from dscost.analysis.verifying import Verification

DISAGREES = 1


def verify(
    target: Annotated[str, typer.Argument(help="Any target of dscost model.")],
    setting: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="NAME=VALUE", help="Change a setting of an architecture."),
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
    batch: Annotated[int | None, typer.Option(help="Inputs at once  [default: 1]")] = None,
    trust: opt.Trust = False,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Count a model by two independent methods; exit 0 when they agree or it is known why not, else 1."""
    from dscost.analysis.verifying import verify as count_twice

    with foreign_code(target):
        found = count_twice(
            target,
            input=opt.parse_inputs(inputs or []),
            batch=batch,
            settings=opt.parse_settings(setting or []),
            kwargs=opt.parse_kwargs(kwargs or []),
            trust=trust,
        )
    if json:
        write_out(json_text(found.to_dict()), format_name="json")
    else:
        write_text("\n".join(_said(found)) + "\n")
    for note in found.notes:
        tell(note)
    if not (found.agrees or found.is_explained):
        raise typer.Exit(DISAGREES)


def _said(found: "Verification") -> Iterator[str]:
    yield f"{found.target}: dscost {found.ours:,} MACs, FlopCounterMode {found.theirs:,} MACs"
    for one in found.differences:
        yield f"  {one.module or '(root)'} ({one.type}): {one.ours:,} against {one.theirs:,}: {one.reason}"
    yield _verdict(found)


def _verdict(found: "Verification") -> str:
    if found.agrees:
        return "Both agree, module by module."
    if found.partial:
        return f"Neither count is whole: {'; '.join(found.partial).rstrip('.')}."
    return (
        "They differ only by what FlopCounterMode is known to miscount."
        if found.is_explained
        else "They differ."
    )
