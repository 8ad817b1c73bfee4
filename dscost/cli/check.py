"""`dscost check`."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dscost.cli import FAILED
from dscost.cli import options as opt
from dscost.cli.output_options import DEFAULTS, Asked, Offered
from dscost.cli.places import Read, budget_files
from dscost.cli.printing import Output, tell_error, write_out
from dscost.cli.streams import foreign_code
from dscost.errors import DscostError, InputError
from dscost.files import write_whole
from dscost.pages import View
from dscost.rendering import render

if TYPE_CHECKING:
    from dscost.budgets.findings import CheckResult

Budgets = Annotated[
    list[Path] | None,
    typer.Argument(
        metavar="[BUDGET]...",
        help="Budgets  [default: the nearest dscost.yaml, up to the repository's root]",
    ),
]
Config = Annotated[
    Path | None, typer.Option("--config", help="Same as BUDGET; also read from $DSCOST_CONFIG.")
]

Wanted = Annotated[
    Asked,
    Offered(
        without=("columns",),
        judges=True,
        quiet="Show only what is broken, warned of or not judged; no notes, no progress.",
    ),
]


def check(
    budget: Budgets = None,
    config: Config = None,
    model: Annotated[
        list[str] | None,
        typer.Option("--model", help="Check only this model of the budget; repeatable."),
    ] = None,
    against: Annotated[
        str | None,
        typer.Option(metavar="REF", help="Compare with the baseline of this commit or branch."),
    ] = None,
    strict: Annotated[bool, typer.Option("--strict", help="Warnings are errors.")] = False,
    isolate: opt.Isolate = True,
    load_timeout: opt.LoadTimeout = None,
    exit_zero: Annotated[
        bool,
        typer.Option(
            "--exit-zero", help="Exit 0 even when over budget; what cannot be judged still exits 2."
        ),
    ] = False,
    verbose: Annotated[
        bool,
        typer.Option(
            "-v", "--verbose", help="Show limits that hold as well, and every figure exactly."
        ),
    ] = False,
    asked: Wanted = DEFAULTS,
) -> None:
    """Judge models by their budget; exit 0 within it, 1 over it, 2 where something is not judged.

    Of several budgets all are judged, and the worst code is that of the command.
    """
    from dscost.budgets.checking import check as check_budget

    paths = opt.files(budget, config)
    out = asked.output(
        "check", View(brief=asked.quiet, verbose=verbose), judges=True, read=_read_files(paths)
    )
    limit_s = opt.parse_load_timeout(load_timeout, isolate=isolate)
    found: list[CheckResult | DscostError] = []
    for one in paths or (None,):
        try:
            with out.progress() as progress, foreign_code("a model of the budget"):
                result = check_budget(
                    one,
                    against=against,
                    strict=strict,
                    exit_zero=exit_zero,
                    only=model or (),
                    progress=progress,
                    isolate=isolate,
                    load_timeout_s=limit_s,
                )
            found.append(result)
        except DscostError as error:
            if len(paths) < 2:
                _annotate(error, out)
                raise
            tell_error(error)
            found.append(error)
    out.write(found)
    code = max(FAILED if isinstance(each, DscostError) else each.exit_code for each in found)
    if code:
        raise typer.Exit(code)


def _read_files(named: Sequence[Path]) -> Iterator[Read]:
    """Yield the files that must not be written over; read when there is something to write."""
    from dscost.budgets.checking import find_budget

    for one in named or (None,):
        try:
            yield from budget_files(find_budget(one))
        except InputError:  # there is none, which is told when it is needed
            continue


def _annotate(error: DscostError, out: Output) -> None:
    """Write why nothing was judged where annotations are written; no other format has a place."""
    for name, path in ((out.format_name, out.path), *out.exports):
        if name == "github" and path:
            write_whole(path, render(error, name))
        elif name == "github":
            write_out(render(error, name), format_name=name)
