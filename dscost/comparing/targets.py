"""Two or more targets → what differs between them."""

from collections.abc import Mapping, Sequence
from os import PathLike
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

from dscost.analysis import AS_STATED, Request, count
from dscost.comparing.differences import Comparison, Contender, held_against_first
from dscost.errors import InputError
from dscost.notation.units import dtype_bytes
from dscost.reports.records import Report
from dscost.sources import is_saved
from dscost.timing import Progress, part_of

if TYPE_CHECKING:
    from torch import nn

    Target = str | PathLike[str] | nn.Module | Report


def compare(
    targets: "Target | Sequence[Target]",
    *others: "Target",
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
        targets: The reference, or a list of all: what `dscost.analyze` takes, saved reports and
            `Report`s included.
        others: The models that are held against the reference, at least one.
        input: What the forward of every target takes that is not a report already, as in
            `dscost.analyze`: a shape, batch first, or tensors.
        batch: Replaces the batch of the first input.
        dtype: Data type of weights and activations; by default float32, or what an `nn.Module` has.
        settings: What to change of the architectures' own settings, such as `{"width": 0.5}`.
        kwargs: For the factories that make torch models.
        trust: Whether code that a `program.pt2` holds or names may run, where it cannot be read
            without.
        every_layer: Whether layers that are the same are to be shown as well.
        progress: Called with the share that is done and the target that is next.

    Raises:
        InputError: There are fewer than two targets, or one cannot be read or counted.
        UnavailableError: A target needs a library that is not installed.

    >>> found = compare("resnet18", "resnet34").versus[0]
    >>> found.totals[0].change, found.count_of("changed")
    (10108160, 0)
    """
    if isinstance(targets, str) or not isinstance(targets, Sequence):
        targets = [targets]
    chosen: list[Target] = [*targets, *others]
    if len(chosen) < 2:
        raise InputError(f"a comparison takes two targets or more, found {len(chosen)}")
    if dtype is not None:
        dtype_bytes(dtype)  # refused before any model is made
    request = Request(input, batch, dtype, settings, kwargs, trust)
    reports = []
    for at, target in enumerate(chosen):
        told = None
        if progress:
            told = part_of(progress, at / len(chosen), (at + 1) / len(chosen))
        reports.append(_report(target, request, told))
    contenders = [
        Contender(label, report, isinstance(target, Report) or is_saved(target))
        for label, report, target in zip(_labels(chosen, reports), reports, chosen, strict=True)
    ]
    return held_against_first(contenders, request.changes, every_layer=every_layer)


def _report(target: "Target", request: Request, progress: Progress | None) -> Report:
    if isinstance(target, Report):
        return target
    if not isinstance(target, str | PathLike):  # a module is made; the factories are the others
        request = request._replace(kwargs=None)
    return count(target, AS_STATED if is_saved(target) else request, progress=progress).report


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
