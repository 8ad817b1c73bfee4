"""`dscost check`."""

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

from dscost.cli import options as opt
from dscost.cli.places import Read, budget_files
from dscost.cli.printing import Output, output, write_out
from dscost.cli.streams import foreign_code
from dscost.errors import DscostError, InputError
from dscost.files import write_whole
from dscost.rendering import View

Budget = Annotated[
    Path | None, typer.Argument(help="The budget  [default: the nearest dscost.yaml, up to the repository's root]")
]
Config = Annotated[Path | None, typer.Option("--config", help="Likewise; DSCOST_CONFIG names one as well.")]


def check(
    budget: Budget = None,
    config: Config = None,
    model: Annotated[list[str] | None, typer.Option("--model", help="Check that model only; repeatable.")] = None,
    against: Annotated[
        str | None, typer.Option(metavar="REF", help="Compare with the baseline of that commit or branch.")
    ] = None,
    strict: Annotated[bool, typer.Option("--strict", help="Warnings are errors.")] = False,
    isolate: opt.Isolate = True,
    load_timeout: opt.LoadTimeout = None,
    exit_zero: Annotated[
        bool, typer.Option("--exit-zero", help="Exit 0 over budget too; what cannot be judged exits 2.")
    ] = False,
    format_name: Annotated[
        str | None, typer.Option("--format", help="table, json, markdown, github, gitlab, junit or sarif.")
    ] = None,
    json: opt.Json = False,
    path: opt.OutputPath = None,
    export: opt.Export = None,
    wide: opt.Wide = False,
    color: opt.Color = "auto",
    quiet: Annotated[
        bool,
        typer.Option("-q", "--quiet", help="Show only what is broken, warned of or not judged; no notes, no progress."),
    ] = False,
) -> None:
    """Hold models against their budget; exit 0 within it, 1 over it, 2 where something could not be judged."""
    from dscost.budgets.checking import check as check_budget
    from dscost.rendering.verdicts import VERDICT_RENDERERS

    out = output(
        command="check",
        format_name=format_name,
        json=json,
        path=path,
        export=export,
        color=color,
        quiet=quiet,
        view=View(wide=wide, brief=quiet),
        formats=VERDICT_RENDERERS,
        read=_read_files(opt.one_file(budget, config)),
    )
    try:
        with foreign_code("a model of the budget"), out.progress() as progress:
            result = check_budget(
                opt.one_file(budget, config),
                against=against,
                strict=strict,
                exit_zero=exit_zero,
                only=model or (),
                progress=progress,
                isolate=isolate,
                load_timeout_s=opt.parse_load_timeout(load_timeout, isolate=isolate),
            )
    except DscostError as error:
        _annotate(error, out)
        raise
    out.write(result)
    if result.exit_code:
        raise typer.Exit(result.exit_code)


def _read_files(named: Path | None) -> Iterator[Read]:
    """Yield the files that must not be written over; read when there is something to write."""
    from dscost.budgets.checking import find_budget

    try:
        yield from budget_files(find_budget(named))
    except InputError:  # there is none, which is told when it is needed
        return


def _annotate(error: DscostError, out: Output) -> None:
    """Write why nothing was judged where annotations are written; no other format has a place for that."""
    from dscost.rendering.ci import github_failure

    for name, path in ((out.format_name, out.path), *out.exports):
        if name == "github" and path:
            write_whole(path, github_failure(error))
        elif name == "github":
            write_out(github_failure(error), format_name="github")
