"""The baseline of a budget, kept: saved, updated and read."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from os import PathLike
from pathlib import Path
from typing import Literal, NamedTuple

from dscost.analysis.isolated import Worker
from dscost.budgets.accepting import Accepting
from dscost.budgets.baseline import Baseline, Known, baseline_text, known_of, read_baseline
from dscost.budgets.checking import chosen, counted, find_budget, is_nearest, meant
from dscost.budgets.findings import Subject
from dscost.budgets.raising import RaisedLimit, raised_limits
from dscost.budgets.reading import parse_budget, read_budget
from dscost.budgets.records import Budget
from dscost.budgets.updating import Kept, Update, updated
from dscost.errors import InputError
from dscost.files import alone_with, read_text, write_whole
from dscost.notation.marked_yaml import MAX_FILE_BYTES
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
    raise_limits: bool = False,
    only: Sequence[str] = (),
    progress: Progress | None = None,
    isolate: bool = False,
) -> Kept:
    """Count the models of a budget and keep what they cost, if it is not more, or accepted.

    Args:
        budget: Path of the budget; by default as of `baseline`.
        accept: What may be taken over: all of a model as `NAME`, also where its target or input is
            another now; the growth of a figure as `NAME/METRIC`; or patterns of those, such as
            `mobilenet_v1*/macs`.
        raise_limits: Whether to raise the absolute limits that what is accepted breaks, in the text
            of the budget, all else of which stays as it is. Of a `min`, that is to lower it.
        only: Names of models to update, by default all; the others stay as they are.
        progress: Called with the share that is done and the model that is next.
        isolate: Whether a model's own code runs in a process of its own, which may die.

    Raises:
        InputError: The budget is wrong, or names no baseline and no limit is to be raised; a model
            cannot be counted; a limit cannot be raised; or it is not said whose limits to raise.
        OutputError: The baseline or the budget cannot be written; both are as they were then.
    """
    if raise_limits and not accept:
        raise InputError("raising limits needs to know whose: accept a model, --accept NAME")
    return _kept("update", budget, accept, only, progress, isolate, raise_limits=raise_limits)


def _kept(
    action: Literal["save", "update"],
    budget: str | PathLike[str] | None,
    accept: Sequence[str],
    only: Sequence[str],
    progress: Progress | None,
    isolate: bool,
    *,
    raise_limits: bool = False,
) -> Kept:
    before = _Text.of(find_budget(budget))
    found = parse_budget(before.text, before.path)
    path = found.path if raise_limits and found.baseline is None else baseline_path(found)
    now, unloadable, subjects = count_all(found, only, progress, isolate=isolate)
    accepting = Accepting(accept)
    with alone_with(path):
        known = {} if found.baseline is None else _known(path, action)
        left = [name for name in known if name in unloadable or (only and name not in now)]
        if found.baseline is None:
            update = Update({}, accepted=(), refused=(), added=(), removed=())
        elif action == "update":
            update = updated(known, now, accepting, left)
        else:
            models = {**{name: known[name] for name in left}, **now}
            update = Update(models, accepted=(), refused=(), added=(), removed=())
        text, raised = before.text, tuple[RaisedLimit, ...]()
        if raise_limits:
            staying = {*update.changed, *(one.rpartition("/")[0] for one in update.refused)}
            text, raised = raised_limits(found, before.text, subjects, accepting, staying)
            update = update._replace(unused=accepting.unused)
        is_written = action == "save" or update.models != known
        with before.replaced(text):
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
        budget=found.path,
        raised=raised,
        is_nearest=is_nearest(found.path),
    )


def _known(path: Path, action: str) -> Mapping[str, Known]:
    """Return what a baseline has, nothing where there is none."""
    try:
        known = read_baseline(path)
    except InputError as error:  # it may be anything: the budget itself, or half of a merge
        if action == "update":
            raise
        raise InputError(f"{error}; remove it first if it is to be overwritten") from error
    return known.models if known else {}


class _Text(NamedTuple):
    """The text of a file, and the mark of byte order that may stand before it."""

    path: Path
    mark: str
    text: str

    @classmethod
    def of(cls, path: Path) -> "_Text":
        """Read it."""
        text = read_text(path, MAX_FILE_BYTES)
        with path.open("rb") as file:
            mark = BYTE_ORDER_MARK if file.read(3) == BYTE_ORDER_MARK.encode() else ""
        return cls(path, mark, text)

    @contextmanager
    def replaced(self, text: str) -> Iterator[None]:
        """Write another text; what was there comes back where what follows fails."""
        if text == self.text:
            yield
            return
        if read_text(self.path, MAX_FILE_BYTES) != self.text:
            raise InputError(f"{self.path}: somebody has changed it meanwhile; nothing was written")
        write_whole(self.path, self.mark + text)
        try:
            yield
        except BaseException:
            write_whole(self.path, self.mark + self.text)
            raise


BYTE_ORDER_MARK = "\ufeff"


def baseline_path(budget: Budget) -> Path:
    """Return where the baseline of a budget is; one that names none is refused."""
    if budget.baseline is None:
        raise InputError(f"{budget.path}: names no baseline; add 'baseline: dscost-baseline.json'")
    return budget.baseline


class Counted(NamedTuple):
    """What a baseline keeps of each entry, why the others could not be counted, and all of them."""

    known: Mapping[str, Known]
    unloadable: Mapping[str, str]
    subjects: Sequence[Subject]


def count_all(
    budget: Budget,
    only: Sequence[str] = (),
    progress: Progress | None = None,
    *,
    isolate: bool = False,
) -> Counted:
    """Return what a baseline keeps of each entry, and why the others could not be counted.

    Raises:
        InputError: One cannot be counted, and the policy is that this fails; or there is no such
            model.
    """
    known, unloadable = {}, {}
    with Worker() as worker:
        wanted = chosen(budget, only)
        pairs = list(counted(wanted, progress, worker if isolate else None))
    subjects = [subject for subject, _ in pairs]
    for subject in subjects:
        entry, name = subject.entry, subject.entry.name
        if subject.report is None:
            unloadable[name] = f"{budget.path}:{entry.place[0]}: {name}: {subject.why_unloadable}"
            if budget.policy_of(entry)["on_unloadable_model"] == "fail":
                raise InputError(unloadable[name])
        else:
            known[name] = known_of(entry, subject.report)
    return Counted(known, unloadable, subjects)


def read(budget: str | PathLike[str] | None) -> Budget:
    """Return what a budget says: the one given, or the nearest."""
    return read_budget(find_budget(budget))
