"""`dscost verify`."""

import json as json_text
import sys
from contextlib import redirect_stdout
from typing import TYPE_CHECKING, Annotated

import typer

from dscost.cli import options as opt

if TYPE_CHECKING:
    from dscost.analysis.verifying import Verification

DISAGREES = 1


def verify(
    target: Annotated[str, typer.Argument(help="Any target of dscost model.")],
    setting: Annotated[
        list[str] | None, typer.Option("--set", metavar="NAME=VALUE", help="Change a setting of an architecture.")
    ] = None,
    inputs: Annotated[
        list[str] | None,
        typer.Option("--input", metavar="[NAME=]SHAPE[:DTYPE]", help="1,3,224,224 or ids=1,128:int64; repeatable."),
    ] = None,
    kwargs: Annotated[
        list[str] | None, typer.Option(metavar="NAME=VALUE", help="For the factory of a torch model; repeatable.")
    ] = None,
    batch: Annotated[int | None, typer.Option(help="Inputs at once  [default: 1]")] = None,
    trust: opt.Trust = False,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Count a model by two independent methods; exit 0 when they agree or it is known why not, else 1."""
    from dscost.analysis.verifying import verify as count_twice

    with redirect_stdout(sys.stderr):  # a model's own code may print
        found = count_twice(
            target,
            input=opt.parse_inputs(inputs or []),
            batch=batch,
            settings=opt.parse_settings(setting or []),
            kwargs=opt.parse_settings(kwargs or [], "--kwargs"),
            trust=trust,
        )
    if json:
        print(json_text.dumps(found.to_dict(), indent=2))
    else:
        print(f"{found.target}: dscost {found.ours:,} MACs, FlopCounterMode {found.theirs:,} MACs")
        for one in found.differences:
            print(f"  {one.module or '(root)'} ({one.type}): {one.ours:,} against {one.theirs:,}: {one.reason}")
        print(_verdict(found))
    for note in found.notes:
        print(note, file=sys.stderr)
    if not (found.agrees or found.is_explained):
        raise typer.Exit(DISAGREES)


def _verdict(found: "Verification") -> str:
    if found.agrees:
        return "Both agree, module by module."
    if found.partial:
        return f"Neither count is whole: {'; '.join(found.partial).rstrip('.')}."
    return "They differ only by what FlopCounterMode is known to miscount." if found.is_explained else "They differ."
