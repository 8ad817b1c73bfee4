"""Where results may be written: never over what they are made from, and no two to one place."""

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from dscost.errors import DscostError, InputError
from dscost.files import check_folder

if TYPE_CHECKING:
    from dscost.budgets.records import Budget

Read = tuple[str, Path]
"""What a file is read as, and the file."""


def check_places(named: Iterable[Path | None], read: Iterable[Read] = ()) -> None:
    """Refuse files that cannot be written or are read, or are one, before any work is done."""
    outputs = [file for file in named if file is not None]
    check_not_read(outputs, read)
    for at, file in enumerate(outputs):
        check_folder(file)
        if any(is_same(file, other) for other in outputs[:at]) and not _is_device(file):
            raise InputError(f"two results would be written to one file: {file}")


def check_not_read(outputs: Sequence[Path], read: Iterable[Read]) -> None:
    """Refuse to write over what is read."""
    for what, path in read if outputs else ():
        for file in outputs:
            if is_same(file, path):
                raise InputError(f"{file} is read as {what}, a result would be written over it")


def target_files(targets: Iterable[str], what: str = "the target") -> Iterator[Read]:
    """Yield the files that targets are read from, as far as their names tell."""
    from dscost.sources import split_file

    for target in targets:
        found = split_file(target)
        module, colon, _ = target.partition(":")
        if found:
            yield what, Path(found[0])
        elif colon and (parts := [part for part in module.split(".") if part]):
            yield what, Path(*parts[:-1], f"{parts[-1]}.py")
            yield what, Path(*parts, "__init__.py")


def device_files(devices: Iterable[str] | None) -> Iterator[Read]:
    """Yield the data sheets that are read."""
    from dscost.devices.sheets import ENDINGS

    for name in devices or ():
        if name.endswith(ENDINGS):
            yield "--on", Path(name)


def budget_files(budget: Path) -> Iterator[Read]:
    """Yield a budget, and what it names: its baseline and the files of its models.

    One that is wrong names nothing.
    """
    from dscost.budgets.reading import read_budget

    yield "the budget", budget
    try:
        found = read_budget(budget)
    except DscostError:  # it is told when the budget is needed
        return
    if found.baseline is not None:
        yield "the baseline", found.baseline
    yield from model_files(found)


def model_files(budget: "Budget") -> Iterator[Read]:
    """Yield the files of the models of a budget."""
    from dscost.budgets.requests import placed

    targets = (placed(entry.target, budget.path.parent) for entry in budget.entries)
    yield from target_files(targets, f"a model of {budget.path.name}")


def is_same(one: Path, other: Path) -> bool:
    """Whether two paths mean one file, by whatever name, be it there or not."""
    try:
        return one.samefile(other)
    except (OSError, ValueError):
        return _resolved(one) == _resolved(other)


def _resolved(path: Path) -> Path:
    try:
        return path.resolve()
    except (OSError, RuntimeError, ValueError):  # a link to itself, a name too long, a NUL
        return path.absolute()


def _is_device(path: Path) -> bool:
    return path.exists() and not path.is_file()
