"""Two or more targets → what differs between them."""

from collections.abc import Mapping, Sequence
from os import PathLike
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

from dscost.analysis import count
from dscost.comparing.differences import Comparison, Contender, held_against_first
from dscost.errors import InputError
from dscost.notation.units import dtype_bytes
from dscost.reports.records import Report
from dscost.sources import is_saved
from dscost.timing import Progress

if TYPE_CHECKING:
    from torch import nn

    Target = str | PathLike[str] | nn.Module | Report


def compare(
    targets: "Sequence[Target]",
    *,
    input: Any = None,
    batch: int | None = None,
    dtype: str | None = None,
    settings: Mapping[str, Any] | None = None,
    kwargs: Mapping[str, Any] | None = None,
    trust: bool = False,
    every_layer: bool = False,
    progress: Progress | None = None,
) -> Comparison:
    """Return what differs between models, the first being the reference. Nothing is timed.

    Args:
        targets: Two or more of what `dscost.analyze` takes, saved reports and `Report`s included.
        input: As in `dscost.analyze`, as are those below: for every target that is not a report
            already.
        batch: Replaces the batch of the first input.
        dtype: Of weights and activations.
        settings: What to change of the architectures' own settings.
        kwargs: For the factories that make torch models.
        trust: Whether code that a `program.pt2` holds or names may run.
        every_layer: Whether layers that are the same are to be shown as well.
        progress: Called with the share that is done and the target that is next.

    Raises:
        InputError: There are fewer than two targets, or one cannot be read or counted.
        UnavailableError: A target needs a library that is not installed.

    >>> found = compare(["resnet18", "resnet34"]).versus[0]
    >>> found.totals[0].change, found.count_of("changed")
    (10108160, 0)
    """
    if isinstance(targets, str | PathLike | Report) or not isinstance(targets, Sequence):
        targets = [targets]
    if len(targets) < 2:
        raise InputError(f"a comparison takes two targets or more, found {len(targets)}")
    if dtype is not None:
        dtype_bytes(dtype)  # refused before any model is made
    options = {
        "input": input,
        "batch": batch,
        "dtype": dtype,
        "settings": settings,
        "kwargs": kwargs,
    }
    reports = []
    for at, target in enumerate(targets):
        if progress:
            progress(
                at / len(targets),
                str(target) if isinstance(target, str | PathLike) else type(target).__name__,
            )
        reports.append(_report(target, {**options, "trust": trust}))
    contenders = [
        Contender(label, report, _is_report(target))
        for label, report, target in zip(_labels(targets, reports), reports, targets, strict=True)
    ]
    given = [name for name, value in options.items() if value not in (None, {})]
    return held_against_first(contenders, given, every_layer=every_layer)


def _report(target: "Target", options: Mapping[str, Any]) -> Report:
    if isinstance(target, Report):
        return target
    return count(target).report if is_saved(target) else count(target, **options).report


def _is_report(target: "Target") -> bool:
    return isinstance(target, Report) or is_saved(target)


def _labels(targets: "Sequence[Target]", reports: Sequence[Report]) -> list[str]:
    """Return a name for each, as short as tells them apart."""
    whole = [
        str(target) if isinstance(target, str | PathLike) else report.target
        for target, report in zip(targets, reports, strict=True)
    ]
    short = [PurePath(label).name or label for label in whole]
    labels = short if len(set(short)) == len(set(whole)) else whole
    seen: dict[str, int] = {}
    for at, label in enumerate(labels):
        seen[label] = seen.get(label, 0) + 1
        if seen[label] > 1:
            labels[at] = f"{label} ({seen[label]})"
    return labels
