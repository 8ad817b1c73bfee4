"""The baseline of a budget, kept: saved, updated and read."""

from collections.abc import Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import Literal

from dscost.analysis.isolated import Worker
from dscost.budgets.baseline import Baseline, Known, baseline_text, known_of, read_baseline
from dscost.budgets.checking import chosen, counted, find_budget, meant
from dscost.budgets.reading import read_budget
from dscost.budgets.records import Budget
from dscost.budgets.updating import Kept, Update, updated
from dscost.errors import InputError
from dscost.files import alone_with, write_whole
from dscost.timing import Progress


def baseline(budget: str | PathLike[str] | None = None, *, only: Sequence[str] = ()) -> Baseline:
    """Return what the baseline of a budget keeps: what models cost when it was saved.

    Args:
        budget: Path of the budget; by default the one that `DSCOST_CONFIG` names, or the nearest
            `dscost.yaml`, here or above.
        only: Names of models, by default all.

    Raises:
        InputError: The budget cannot be read or names no baseline; or there is none yet, or no such
            model in it.
    """
    path = baseline_path(read(budget))
    found = read_baseline(path)
    if found is None:
        raise InputError(f"there is no baseline at {path}: dscost baseline save writes it")
    wanted = meant(found.models, only, "baseline") if only else found.models
    return found._replace(models={name: found.models[name] for name in wanted})


def save_baseline(
    budget: str | PathLike[str] | None = None,
    *,
    only: Sequence[str] = (),
    progress: Progress | None = None,
    isolate: bool = False,
) -> Kept:
    """Count the models of a budget and keep what they cost, whatever was kept before.

    Args:
        budget: Path of the budget; by default as of `baseline`.
        only: Names of models to save, by default all; the others stay as they are.
        progress: Called with the share that is done and the model that is next.
        isolate: Whether models that are code are counted in a process of their own, which may die
            without us.

    Raises:
        InputError: The budget cannot be read or names no baseline, a model cannot be counted where
            its policy is that this fails, or what is there is no baseline.
        OutputError: The baseline cannot be written.
    """
    return _kept("save", budget, (), only, progress, isolate)


def update_baseline(
    budget: str | PathLike[str] | None = None,
    *,
    accept: Sequence[str] = (),
    only: Sequence[str] = (),
    progress: Progress | None = None,
    isolate: bool = False,
) -> Kept:
    """Count the models of a budget and keep what they cost, if it is not more, or accepted.

    Args:
        budget: Path of the budget; by default as of `baseline`.
        accept: Patterns of what may be taken over: growth as `NAME/METRIC`, such as
            `mobilenet_v1*/macs`; a model of another target or input now as `NAME`.
        only: Names of models to update, by default all; the others stay as they are.
        progress: Called with the share that is done and the model that is next.
        isolate: Whether a model's own code runs in a process of its own, which may die.

    Raises:
        InputError: The budget is wrong, or names no baseline; or a model cannot be counted.
        OutputError: The baseline cannot be written.
    """
    return _kept("update", budget, accept, only, progress, isolate)


def _kept(
    action: Literal["save", "update"],
    budget: str | PathLike[str] | None,
    accept: Sequence[str],
    only: Sequence[str],
    progress: Progress | None,
    isolate: bool,
) -> Kept:
    found = read(budget)
    path = baseline_path(found)
    now, unloadable = count_all(found, only, progress, isolate=isolate)
    with alone_with(path):
        try:
            known = read_baseline(path)
        except InputError as error:  # it may be anything: the budget itself, or half of a merge
            if action == "update":
                raise
            raise InputError(f"{error}; remove it first if it is to be overwritten") from error
        before = known.models if known else {}
        left = [name for name in before if name in unloadable or (only and name not in now)]
        if action == "update":
            update = updated(before, now, accept, left)
        else:
            models = {**{name: before[name] for name in left}, **now}
            update = Update(models, accepted=(), refused=(), added=(), removed=())
        is_written = action == "save" or update.models != before
        if is_written:
            write_whole(path, baseline_text(update.models))
    return Kept(
        path=path,
        action=action,
        update=update,
        counted=tuple(now),
        unloadable=unloadable,
        on_unloadable=found.policy["on_unloadable_model"],
        is_written=is_written,
    )


def baseline_path(budget: Budget) -> Path:
    """Return where the baseline of a budget is; one that names none is refused."""
    if budget.baseline is None:
        raise InputError(f"{budget.path}: names no baseline; add 'baseline: dscost-baseline.json'")
    return budget.baseline


def count_all(
    budget: Budget,
    only: Sequence[str] = (),
    progress: Progress | None = None,
    *,
    isolate: bool = False,
) -> tuple[Mapping[str, Known], Mapping[str, str]]:
    """Return what a baseline keeps of each entry, and why the others could not be counted.

    Raises:
        InputError: One cannot be counted, and the policy is that this fails; or there is no such
            model.
    """
    known, unloadable = {}, {}
    with Worker() as worker:
        wanted = chosen(budget, only)
        pairs = list(counted(wanted, progress, worker if isolate else None, timed=False))
    for subject, _ in pairs:
        entry, name = subject.entry, subject.entry.name
        if subject.report is None:
            unloadable[name] = f"{budget.path}:{entry.place[0]}: {name}: {subject.why_unloadable}"
            if budget.policy_of(entry)["on_unloadable_model"] == "fail":
                raise InputError(unloadable[name])
        else:
            known[name] = known_of(entry, subject.report)
    return known, unloadable


def read(budget: str | PathLike[str] | None) -> Budget:
    """Return what a budget says: the one given, or the nearest."""
    return read_budget(find_budget(budget))
