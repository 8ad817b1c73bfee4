"""What `dscost baseline` does: apart from its options, so that help does not load budgets."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from shlex import quote

import typer

from dscost.budgets.baseline import Known, Update, baseline_text, read_baseline, updated
from dscost.budgets.checking import Counted, count_all, find_budget, is_of
from dscost.budgets.reading import read_budget
from dscost.cli.places import check_not_read, model_files
from dscost.cli.printing import tell, write_text
from dscost.cli.streams import foreign_code
from dscost.errors import InputError, UnknownNameError, some_of
from dscost.files import alone_with, write_whole
from dscost.notation.units import format_bytes, format_count
from dscost.reports.figures import FIGURES

ACTIONS = ("save", "update", "show")
NOT_TAKEN_OVER = 1
"""Something grew, or is not comparable, or could not be counted, and was not taken over."""


def act(
    action: str, path: Path | None, accept: Sequence[str], *, only: Sequence[str], quiet: bool
) -> None:
    """Save, update or show the baseline of a budget.

    Args:
        action: One of `ACTIONS`.
        path: Of the budget; by default the nearest.
        accept: Patterns of what an update may take over.
        only: Names of models to save, update or show; by default all.
        quiet: Whether notes are silenced.

    Raises:
        InputError: There is no such action, or the budget, its models or its baseline cannot be
            read.
    """
    if action not in ACTIONS:
        raise UnknownNameError("action", action, ACTIONS)
    if accept and action != "update":
        raise InputError(f"--accept has no meaning for baseline {action}")
    found = read_budget(find_budget(path))
    if found.baseline is None:
        raise InputError(f"{found.path}: names no baseline; add 'baseline: dscost-baseline.json'")
    if action == "show":
        _show(found.baseline, only)
        return
    check_not_read([found.baseline], model_files(found))
    with foreign_code(str(found.path)):
        counted = count_all(found, only, isolate=True)
    with alone_with(found.baseline):
        if action == "save":
            _save(found.baseline, counted, is_part=bool(only), quiet=quiet)
            all_taken = True
        else:
            all_taken = _update(found.baseline, counted, accept, is_part=bool(only), quiet=quiet)
    if not (_tell_unloadable(counted, found.policy["on_unloadable_model"]) and all_taken):
        raise typer.Exit(NOT_TAKEN_OVER)


def _show(path: Path, only: Sequence[str]) -> None:
    kept = read_baseline(path)
    if kept is None:
        raise InputError(f"there is no baseline at {path}: dscost baseline save writes it")
    lines = []
    for name, known in sorted(_chosen(kept.models, only).items()):
        lines.append(
            f"{name}: {', '.join(f'{key} {text}' for key, text in sorted(known.fingerprint.items()))}"
        )
        for metric, value in sorted(known.figures.items()):
            rounded = (
                format_bytes(int(value))
                if FIGURES[metric].kind == "bytes"
                else format_count(int(value))
            )
            lines.append(f"  {metric} {int(value):,} ({rounded})")
    write_text("\n".join(lines) + "\n")


def _chosen(models: Mapping[str, Known], only: Sequence[str]) -> Mapping[str, Known]:
    for name in only:
        if not any(is_of(entry, name) for entry in models):
            raise UnknownNameError("model of the baseline", name, models)
    return {
        entry: known
        for entry, known in models.items()
        if not only or any(is_of(entry, name) for name in only)
    }


def _before(path: Path) -> Mapping[str, Known]:
    kept = read_baseline(path)
    return kept.models if kept else {}


def _left_alone(before: Mapping[str, Known], counted: Counted, *, is_part: bool) -> list[str]:
    """Return the entries that stay as they are: those not asked for, and those that could not be counted."""
    return [
        name
        for name in before
        if name in counted.unloadable or (is_part and name not in counted.known)
    ]


def _save(path: Path, counted: Counted, *, is_part: bool, quiet: bool) -> None:
    try:
        before = _before(path)
    except (
        InputError
    ) as error:  # what is no baseline may be anything: the budget itself, or half of a merge
        raise InputError(f"{error}; remove it first if it is to be overwritten") from error
    left = {name: before[name] for name in _left_alone(before, counted, is_part=is_part)}
    write_whole(path, baseline_text({**left, **counted.known}))
    number = len(counted.known)
    _note(quiet, f"wrote {path}: {number} model{'' if number == 1 else 's'}")


def _update(
    path: Path, counted: Counted, accept: Sequence[str], *, is_part: bool, quiet: bool
) -> bool:
    """Write what may be taken over, and return whether that is all."""
    before = _before(path)
    found = updated(before, counted.known, accept, _left_alone(before, counted, is_part=is_part))
    if found.unused:
        _note(quiet, f"nothing to accept matches {', '.join(found.unused)}")
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
    for name, layers in found.shifted.items():
        _note(quiet, f"{name}: no more in total, though layers grew: {some_of(layers)}")
    _tell_refused(found)
    return not (found.changed or found.refused)


def _tell_refused(found: Update) -> None:
    for name, differences in found.changed.items():
        tell(
            f"{name}: {'; '.join(differences)}: dscost baseline update --accept {_quoted(name)} takes it over"
        )
    for one in found.refused:
        tell(f"{one} grew: dscost baseline update --accept {_quoted(one)} takes it over")


def _quoted(pattern: str) -> str:
    """Return a pattern as a shell takes it whole; in quotes also where it has no wildcard yet."""
    return quote(pattern) if "'" in pattern else f"'{pattern}'"


def _tell_unloadable(counted: Counted, level: str) -> bool:
    """Say which models stay as they were, and return whether that is no error."""
    for error in counted.unloadable.values() if level != "ignore" else ():
        tell(f"{'warning' if level == 'warn' else 'error'}: {error}")
    return not counted.unloadable or level != "error"


def _note(quiet: bool, text: str) -> None:
    if not quiet:
        tell(text)
