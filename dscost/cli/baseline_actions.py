"""What `dscost baseline` does: apart from its options, so that help does not load budgets."""

from pathlib import Path

import typer

from dscost.budgets.baseline import Known, baseline_text, read_baseline, updated
from dscost.budgets.checking import count_all, find_budget
from dscost.budgets.language import Budget, read_budget
from dscost.budgets.metrics import METRICS
from dscost.cli.printing import tell, write_out
from dscost.errors import InputError, UnknownNameError
from dscost.files import write_whole
from dscost.units import format_bytes, format_count

ACTIONS = ("save", "update", "show")
GREW = 1


def act(action: str, path: Path | None, accept: list[str], *, quiet: bool) -> None:
    """Save, update or show the baseline of a budget.

    Raises:
        InputError: There is no such action, or the budget, its models or its baseline cannot be read.
    """
    if action not in ACTIONS:
        raise UnknownNameError("action", action, ACTIONS)
    if accept and action != "update":
        raise InputError(f"--accept has no meaning for baseline {action}")
    found = read_budget(find_budget(path))
    if found.baseline is None:
        raise InputError(f"{found.path}: names no baseline; add 'baseline: dscost-baseline.json'")
    if action == "show":
        _show(found.baseline)
    elif action == "save":
        models = count_all(found)
        write_whole(found.baseline, baseline_text(models))
        _note(quiet, f"wrote {found.baseline}: {len(models)} model{'' if len(models) == 1 else 's'}")
    else:
        _update(found, found.baseline, accept, quiet=quiet)


def _show(path: Path) -> None:
    kept = read_baseline(path)
    if kept is None:
        raise InputError(f"there is no baseline at {path}: dscost baseline save writes it")
    lines = []
    for name, known in sorted(kept.models.items()):
        lines.append(f"{name}: {', '.join(f'{key} {text}' for key, text in sorted(known.fingerprint.items()))}")
        for metric, value in sorted(known.figures.items()):
            rounded = format_bytes(int(value)) if METRICS[metric].kind == "bytes" else format_count(int(value))
            lines.append(f"  {metric} {int(value):,} ({rounded})")
    write_out("\n".join(lines) + "\n")


def _update(budget: Budget, path: Path, accept: list[str], *, quiet: bool) -> None:
    kept = read_baseline(path)
    before: dict[str, Known] = dict(kept.models) if kept else {}
    now = count_all(budget)
    found = updated(before, now, accept)
    if found.unused:
        _note(quiet, f"nothing that grew matches {', '.join(found.unused)}")
    if found.models != before:
        write_whole(path, baseline_text(found.models))
        _note(quiet, f"wrote {path}")
    for word, names in (
        ("added", found.added),
        ("removed", found.removed),
        ("accepted", found.accepted),
        ("not comparable, replaced", found.replaced),
    ):
        if names:
            _note(quiet, f"{word}: {', '.join(names)}")
    if found.refused:
        for one in found.refused:
            tell(f"{one} grew: dscost baseline update --accept '{one}' takes it over")
        raise typer.Exit(GREW)


def _note(quiet: bool, text: str) -> None:
    if not quiet:
        tell(text)
