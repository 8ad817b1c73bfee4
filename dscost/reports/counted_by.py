"""Figures of conventions in reports: whether those of one name were counted by the same rules."""

from collections.abc import Collection, Mapping, Sequence
from typing import TypeVar

from dscost.reports.records import Report

_Value = TypeVar("_Value")

NOT_COMPARED = (
    "Its figure by {} was counted by other rules than that of {}, or does not say by which, and is "
    "left out."
)


def without_figures(report: Report, names: Collection[str]) -> Report:
    """Return a report in which the figures of some conventions are unknown."""
    layers = tuple(
        layer._replace(by_convention=_without(layer.by_convention, names))
        for layer in report.layers
    )
    return report._replace(layers=layers, by_convention=_without(report.by_convention, names))


def by_the_same_rules(labels: Sequence[str], reports: Sequence[Report]) -> list[Report]:
    """Return reports without the figures that other rules counted than that of the first with it.

    What was left out has a warning, which calls the first by its label.
    """
    first: dict[str, tuple[str, Report]] = {}
    found = []
    for label, report in zip(labels, reports, strict=True):
        others: dict[str, str] = {}
        for name in report.by_convention:
            of, before = first.setdefault(name, (label, report))
            if before is not report and not _agree(before, report, name):
                others[name] = of
        found.append(_without_others(report, others) if others else report)
    return found


def _without_others(report: Report, others: Mapping[str, str]) -> Report:
    told = [NOT_COMPARED.format(report.conventions[one].title, of) for one, of in others.items()]
    found = without_figures(report, others)
    return found._replace(warnings=(*report.warnings, *told))


def _agree(one: Report, other: Report, name: str) -> bool:
    return one.conventions[name].is_by(other.conventions[name].rules)


def _without(amounts: Mapping[str, _Value], names: Collection[str]) -> dict[str, _Value]:
    return {name: value for name, value in amounts.items() if name not in names}
