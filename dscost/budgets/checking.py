"""A budget file → what it says of the models it names."""

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import replace
from os import PathLike, environ
from pathlib import Path
from typing import Any, overload

from dscost.analysis import count, measure_model
from dscost.analysis.counting import CountedModel
from dscost.analysis.isolated import LIMIT_S, Worker
from dscost.budgets.baseline import Baseline, read_baseline
from dscost.budgets.findings import CheckResult, CheckResults, Subject
from dscost.budgets.fixing import Swapped, ways_back, with_fix
from dscost.budgets.from_git import baseline_from_git
from dscost.budgets.hints import in_yaml
from dscost.budgets.judging import judge
from dscost.budgets.ratios import Ratios, require_runtimes
from dscost.budgets.reading import read_budget
from dscost.budgets.records import Budget, Entry
from dscost.budgets.requests import side_of
from dscost.errors import DscostError, InputError, UnknownNameError
from dscost.foreign.containing import contained
from dscost.sources.defined import defined_at
from dscost.timing import Progress, part_of

FILE_NAMES = ("dscost.yaml", "dscost.yml")
VARIABLE = "DSCOST_CONFIG"


def find_budget(given: str | PathLike[str] | None = None, start: Path | None = None) -> Path:
    """Return the budget file: the one given, the one `DSCOST_CONFIG` names, or the nearest upwards.

    The search ends at the root of the repository, or of the file system.
    """
    if given is not None:
        return Path(given)
    named = environ.get(VARIABLE)
    if named:
        return Path(named)
    try:
        folder = (start or Path.cwd()).resolve()
    except FileNotFoundError as error:
        gone = "the working directory is gone: name the budget by its whole path"
        raise InputError(gone) from error
    for place in (folder, *folder.parents):
        for name in FILE_NAMES:
            if (place / name).is_file():
                return _from_here(place / name)
        if (place / ".git").exists():
            break
    raise InputError(
        f"no {FILE_NAMES[0]} here or above, up to the root of the repository; "
        "dscost init MODEL writes one"
    )


def is_nearest(path: Path) -> bool:
    """Whether a command that names no budget means this one."""
    try:
        return find_budget().resolve() == path.resolve()
    except InputError:
        return False


def _from_here(path: Path) -> Path:
    """Return a path as one would name it in the working folder, where it lies below that."""
    here = Path.cwd().resolve()
    return path.relative_to(here) if path.is_relative_to(here) else path


@overload
def check(
    path: str | PathLike[str] | None = None,
    *,
    against: str | None = None,
    strict: bool = False,
    exit_zero: bool = False,
    only: Sequence[str] = (),
    progress: Progress | None = None,
    isolate: bool = False,
    load_timeout_s: float = LIMIT_S,
) -> CheckResult: ...


@overload
def check(
    path: str | PathLike[str],
    second: str | PathLike[str],
    /,
    *more: str | PathLike[str],
    against: str | None = None,
    strict: bool = False,
    exit_zero: bool = False,
    only: Sequence[str] = (),
    progress: Progress | None = None,
    isolate: bool = False,
    load_timeout_s: float = LIMIT_S,
) -> CheckResults: ...


def check(
    path: str | PathLike[str] | None = None,
    *more: str | PathLike[str],
    against: str | None = None,
    strict: bool = False,
    exit_zero: bool = False,
    only: Sequence[str] = (),
    progress: Progress | None = None,
    isolate: bool = False,
    load_timeout_s: float = LIMIT_S,
) -> CheckResult | CheckResults:
    """Return what a budget says of the models it names, or what several do.

    Of several, one that cannot be judged has its error among the results, and the others are.

    Args:
        path: The budget file; by default the one that `DSCOST_CONFIG` names, or the nearest
            `dscost.yaml`, here or above.
        more: More budget files.
        against: A commit or branch whose baseline is to be compared with, where this branch left
            it, instead of the one in the working tree; `A...B` is where those two parted.
        strict: Whether a warning is an error.
        exit_zero: Whether a broken limit exits 0; what could not be judged exits 2 all the same.
        only: Names of models to check, by default all.
        progress: Called with the share that is done and the model that is next.
        isolate: Whether models that are code are counted in a process of their own, which may die
            without us.
        load_timeout_s: How long a model may take there.

    Raises:
        InputError: The only budget, or its baseline, cannot be read or is wrong.

    Example::

        result = dscost.check("dscost.yaml")
        print(result)
        sys.exit(result.exit_code)
    """
    options: dict[str, Any] = {
        "against": against,
        "strict": strict,
        "exit_zero": exit_zero,
        "only": only,
        "isolate": isolate,
        "load_timeout_s": load_timeout_s,
    }
    if not more:
        return _checked(path, progress=progress, **options)
    results: list[CheckResult | DscostError] = []
    paths = (path, *more)
    for at, one in enumerate(paths):
        part = progress and part_of(progress, at / len(paths), (at + 1) / len(paths))
        try:
            results.append(_checked(one, progress=part, **options))
        except DscostError as error:
            results.append(error)
    return CheckResults(tuple(results))


def _checked(
    path: str | PathLike[str] | None,
    *,
    against: str | None,
    strict: bool,
    exit_zero: bool,
    only: Sequence[str],
    progress: Progress | None,
    isolate: bool,
    load_timeout_s: float,
) -> CheckResult:
    """Return what one budget says."""
    path = find_budget(path)
    budget = read_budget(path)
    wanted = chosen(budget, only)
    require_runtimes(wanted)
    baseline = _baseline(budget, against)
    with (
        Worker(load_timeout_s) as worker,
        Ratios(budget, against, worker if isolate else None) as ratios,
    ):
        pairs = list(counted(wanted, progress, worker if isolate else None, ratios))
        subjects = [subject for subject, _ in pairs]
        found = judge(budget, subjects, baseline)
        models = {one.entry.name: Swapped(one.entry, model) for one, model in pairs if model}
        findings = tuple(with_fix(finding, models) for finding in found.findings)
        ways = tuple(ways_back(findings, found.passed, models))
        told = {one.entry for one in findings}
        subjects = [_seen(one, path.parent, told) for one in subjects]
    return CheckResult(
        path,
        findings,
        found.passed,
        tuple(subjects),
        strict,
        exit_zero,
        ways_back=ways,
        baseline=budget.baseline,
        against=against,
        since=baseline.since if baseline else None,
        is_nearest=is_nearest(path),
    )


def _seen(subject: Subject, folder: Path, told: Collection[str]) -> Subject:
    """Return a subject with where its code is defined, if something is told about it."""
    if subject.entry.name not in told:
        return subject
    return subject._replace(defined=defined_at(subject.entry.target, folder))


def meant(entries: Iterable[str], names: Sequence[str], whose: str) -> list[str]:
    """Return the entries that names mean: `mobilenet_v1[width=0.5]`, or all of `mobilenet_v1`.

    Raises:
        UnknownNameError: Whoever has the entries has no such model.
    """
    called = {entry: {entry, entry.partition("[")[0]} for entry in entries}
    for name in names:
        if not any(name in alike for alike in called.values()):
            raise UnknownNameError(f"model of the {whose}", name, called)
    return [entry for entry, alike in called.items() if not alike.isdisjoint(names)]


def chosen(budget: Budget, names: Sequence[str]) -> Budget:
    """Return a budget with the entries of some models alone; with no names, of all."""
    if not names:
        return budget
    wanted = meant([entry.name for entry in budget.entries], names, "budget")
    return replace(budget, entries=tuple(one for one in budget.entries if one.name in wanted))


def _baseline(budget: Budget, against: str | None) -> Baseline | None:
    if budget.baseline is None:
        if against is not None:
            raise InputError(f"--against {against}: {budget.path} names no baseline")
        return None
    if against is not None:
        return baseline_from_git(budget.baseline, against)
    found, where = read_baseline(budget.baseline), budget.baseline.name
    return found or Baseline({}, where, is_there=False)


def counted(
    budget: Budget,
    progress: Progress | None,
    worker: Worker | None = None,
    ratios: Ratios | None = None,
) -> Iterator[tuple[Subject, CountedModel | None]]:
    """Yield the entries of a budget, each with its model; `None` where it could not be counted.

    Those that have a limit on time, or on a ratio of times, are timed, unless nothing is given that
    measures such ratios. Models that are code are counted by the worker, if there is one.
    """
    every = len(budget.entries)
    for at, entry in enumerate(budget.entries):
        told = None
        if progress:
            told = part_of(progress, at / every, (at + 1) / every)
            told(None, f"counting {entry.name}")
        try:
            with contained(entry.target):
                model = _count(entry, budget.path.parent, worker, told)
        except DscostError as error:
            yield Subject(entry, None, in_yaml(str(error))), None
            continue
        if ratios is None:
            yield Subject(entry, model.report), model
            continue
        model, reason = _timed(model, told) if entry.needs_time else (model, None)
        found = ratios.of(entry, model.report, told)
        yield Subject(entry, model.report, reason, ratios=found), model


def _timed(model: CountedModel, progress: Progress | None) -> tuple[CountedModel, str | None]:
    """Return the model with measured times, or why it has none: what was counted is judged."""
    try:
        from dscost.timing import TimingOptions

        model = model._replace(report=measure_model(model, TimingOptions(), progress))
    except (DscostError, ImportError) as error:
        return model, str(error)
    return model, None if model.report.timing else " ".join(model.report.warnings)


def _count(
    entry: Entry, folder: Path, worker: Worker | None = None, progress: Progress | None = None
) -> CountedModel:
    side = side_of(entry, folder)
    conventions = tuple(one.name for one in entry.conventions.values())
    request = side.request._replace(conventions=conventions)
    counting = worker.count if worker is not None and side.runs_code else count
    # a folder is for the path of a module, which names no file
    return counting(side.target, request, folder=folder, progress=progress)
