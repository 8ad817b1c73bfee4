"""What others count, beside our own MACs: columns, cells, and what such a figure consists of."""

import re
from collections.abc import Iterator, Mapping, Sequence
from fractions import Fraction

from dscost.errors import first_of
from dscost.notation.units import format_count
from dscost.pages.page import DECIDES, Column, Toned, View
from dscost.reports.figures import convention_of, metric_of
from dscost.reports.records import CountedBy, Report, WithoutRule

MOST_NAMED = 3
"""Operators without a rule that a sentence names."""
MACS = "MACs"
"""How a share of multiply-accumulates without anything else is called."""


def convention_columns(reports: Sequence[Report], priority: int = DECIDES) -> list[Column]:
    """Return a column for each convention that one of some reports has."""
    named = {name: report.conventions[name] for report in reports for name in report.by_convention}
    return [
        Column(metric_of(name), one.title, priority, rank=at)
        for at, (name, one) in enumerate(named.items())
    ]


def with_conventions(
    columns: Sequence[Column], report: Report, behind: str, asked: Sequence[str] = ()
) -> Sequence[Column]:
    """Return columns with those of the conventions of a report behind one.

    These were asked for, so parameters give way before them, and the last of them before the first.

    Args:
        columns: The others.
        report: Whose conventions.
        behind: The key of the column that they follow.
        asked: Keys of columns that were asked for by name, which come first, in that order.
    """
    if not report.by_convention:
        return columns
    places = {key: at for at, key in enumerate(asked)}
    of_others = sorted(
        convention_columns([report]), key=lambda one: places.get(one.key, len(places))
    )
    ranked = [one._replace(rank=at) for at, one in enumerate(of_others, 1)]
    first = next(at for at, one in enumerate(columns, 1) if one.key == behind)
    both = (*columns[:first], *ranked, *columns[first:])
    return [one._replace(priority=DECIDES + 1) if one.key == "params" else one for one in both]


def convention_cells(amounts: Mapping[str, int]) -> dict[str, str]:
    """Return a cell for each convention, given what it counts."""
    return {metric_of(name): format_count(amount) for name, amount in amounts.items()}


def of_version(report: Report, version: str) -> dict[str, int]:
    """Return what a version of a model, or a variant of a layer, counts by each convention."""
    found = report.by_convention.items()
    return {name: amounts[version] for name, amounts in found if version in amounts}


def outside_layers(report: Report) -> dict[str, int]:
    """Return what counts in no layer, such as a function that the model itself calls."""
    whole = of_version(report, "as_is")
    found = {
        name: total - sum(layer.by_convention.get(name, 0) for layer in report.layers)
        for name, total in whole.items()
    }
    return {name: amount for name, amount in found.items() if amount}


def added(amounts: Sequence[Mapping[str, int]]) -> dict[str, int]:
    """Return what several layers count together."""
    names = dict.fromkeys(name for one in amounts for name in one)
    return {name: sum(one.get(name, 0) for one in amounts) for name in names}


def convention_notes(report: Report) -> Iterator[str]:
    """Yield of each convention what its figure of the model as it is consists of."""
    for name, total in of_version(report, "as_is").items():
        if name in report.conventions:
            one = report.conventions[name]
            told = f"{one.title} {one.counts}: {_sum(report, one, total)}"
            of_one = "; what modules count is of one input of the batch"
            told += of_one if _is_divided(report, one) else ""
            yield Toned(f"{told}{_lacking(report, one)}.", "method")


def _lacking(report: Report, one: CountedBy) -> str:
    """Return what has MACs and no rule, in a sentence that goes on; nothing where all has one."""
    if not one.without_rule:
        return ""
    macs = format_count(sum(found.macs for found in one.without_rule))
    of = format_count(report.totals.as_is.macs)
    named = [_named(found) for found in one.without_rule]
    return f"; {macs} of {of} MACs have no rule: {first_of(named, MOST_NAMED)}"


def _named(found: WithoutRule) -> str:
    """Return what has no rule, and in which modules it ran.

    >>> _named(WithoutRule("aten::linear", 6, ("a", "b", "c")))
    'aten::linear of a and 2 more'
    """
    where = first_of([path or "the model itself" for path in found.paths], 1)
    return f"{found.name} of {where}"


def _is_divided(report: Report, one: CountedBy) -> bool:
    return one.per_sample and report.batch > 1


def _sum(report: Report, one: CountedBy, total: int) -> str:
    """Return a figure as the sum that it is; where not all MACs are counted, that is told."""
    macs = None if _is_divided(report, one) else report.totals.as_is.macs
    parts = [_part(called, amount, macs) for called, amount in one.shares.items()]
    told = format_count(total)
    return f"{told} = {' + '.join(parts)}" if parts else told


def _part(called: str, amount: int, macs: int | None) -> str:
    """Return a part of a sum; of MACs at more than 1 each how many MACs those are.

    >>> _part("MACs at 2", 3_628_146_688, 1_814_073_344)
    '1.814G MACs at 2'
    >>> _part("MACs at 2 and bias", 3_628_147_688, 1_814_073_344)
    '3.628G for 1.814G MACs at 2 and bias'
    """
    found = _AT.fullmatch(called)
    if found is None:
        is_part = called == MACS and macs is not None and amount < macs
        return f"{format_count(amount)}{f' of {format_count(macs)}' if is_part else ''} {called}"
    each, beside = Fraction(found[1]), found[2]
    if not beside:
        return _part(MACS, int(amount / each), macs) + called.removeprefix(MACS)
    of_all = macs is not None and amount >= each * macs
    return f"{format_count(amount)} for {f'{format_count(macs)} ' if of_all else ''}{called}"


_AT = re.compile(rf"{MACS} at ([0-9]+(?:\.[0-9]+)?)((?: .+)?)")
"""How a share is called that counts each multiply-accumulate at more, or less, than 1."""


def is_of_convention(key: str) -> bool:
    """Whether a column or a sort key is that of a convention, which only a report can tell."""
    return convention_of(key) is not None


def without_conventions(view: View) -> View:
    """Return a view without the columns and the sort key that only a report can tell of."""
    columns = view.columns and tuple(one for one in view.columns if not is_of_convention(one))
    sort = None if view.sort and is_of_convention(view.sort) else view.sort
    return view._replace(columns=columns, sort=sort)
