"""`dscost baseline`."""

from pathlib import Path
from typing import Annotated, Any

import typer

from dscost.cli import options as opt
from dscost.cli.check import Config
from dscost.cli.output_options import DEFAULTS, Plain
from dscost.cli.places import budget_files, check_not_read, model_files
from dscost.cli.printing import tell
from dscost.cli.streams import foreign_code
from dscost.errors import InputError, UnknownNameError

ACTIONS = ("save", "update", "show")


def baseline(
    action: Annotated[str, typer.Argument(help="save, update or show.")],
    budget: Annotated[
        Path | None, typer.Argument(help="The budget  [default: the nearest dscost.yaml]")
    ] = None,
    config: Config = None,
    model: Annotated[
        list[str] | None,
        typer.Option("--model", help="Only this model, the others stay as they are; repeatable."),
    ] = None,
    accept: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME[/METRIC]",
            help="What update may take over: all of a model by its NAME, or the growth of one "
            "figure; patterns such as 'mobilenet_v1*/macs' too; repeatable.",
        ),
    ] = None,
    raise_limits: Annotated[
        bool,
        typer.Option(
            "--raise-limits",
            help="Also raise the absolute limits that what is accepted breaks, in the budget file; "
            "all else of it stays as it is.",
        ),
    ] = False,
    asked: Plain = DEFAULTS,
) -> None:
    """Keep what models cost now, to judge growth by: save all, update what improved, or show it."""
    from dscost.budgets import keeping  # all of counting, which help does not need
    from dscost.pages.baselines import notes, problems, tone_of_problem

    if action not in ACTIONS:
        raise UnknownNameError("action", action, ACTIONS)
    if accept and action != "update":
        raise InputError(f"--accept has no meaning for baseline {action}")
    if raise_limits and action != "update":
        raise InputError(f"--raise-limits has no meaning for baseline {action}")
    if raise_limits and not accept:
        raise InputError("--raise-limits needs --accept NAME: whose limits to raise")
    found = keeping.read(opt.one_file(budget, config))
    path = found.baseline if raise_limits else keeping.baseline_path(found)
    only = model or ()
    out = asked.output("baseline", read=budget_files(found.path))
    if action == "show":
        out.write(keeping.baseline(found.path, only=only))
        return
    check_not_read([path] if path else [], model_files(found))
    with out.progress() as progress, foreign_code(str(found.path)):
        given: Any = {"only": only, "progress": progress, "isolate": True}
        if action == "save":
            kept = keeping.save_baseline(found.path, **given)
        else:
            kept = keeping.update_baseline(
                found.path, accept=accept or (), raise_limits=raise_limits, **given
            )
    for note in notes(kept):
        out.note(note)
    for problem in problems(kept):
        tell(problem, tone_of_problem(problem))
    # its file is the result; another is written where one is asked for
    if asked._replace(quiet=False, color="auto") != DEFAULTS:
        out.write(kept)
    if kept.exit_code:
        raise typer.Exit(kept.exit_code)
