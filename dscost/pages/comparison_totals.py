"""What differs between whole models, figure by figure, and how a change is written."""

from collections.abc import Mapping

from dscost.comparing.differences import Comparison, Difference
from dscost.notation.units import UNKNOWN
from dscost.pages.model_table import shortened
from dscost.pages.page import Column, Row, Sheet, Toned, View, words
from dscost.reports.figures import figure_of

HEADER_WIDTHS = (16, 32)
"""How long a label may be above a column, on a terminal under `NARROW` and elsewhere."""
NARROW = 100
MORE_IS_NO_COST = ("flops_per_byte",)
"""Figures whose growth is no loss."""


def change_text(one: Difference) -> str:
    """Return a change with its sign, in as few digits as tell it.

    >>> change_text(Difference("macs", 3_628_146_688, 3_628_146_687))
    '−1'
    >>> change_text(Difference("params", 10, 10))
    '0'
    """
    if one.change is None:
        return UNKNOWN
    if not one.change:
        return "0"
    return f"{'+' if one.change > 0 else '−'}{figure_of(one.metric).text(abs(one.change))}"


def percent_text(one: Difference) -> str:
    """Return a change in percent, never rounded to nothing.

    >>> percent_text(Difference("macs", 300, 303)), percent_text(Difference("macs", 0, 5))
    ('+1.0 %', 'new')
    >>> percent_text(Difference("macs", 3_628_146_688, 3_628_146_687))
    '−<0.1 %'
    """
    if one.is_new:
        return "new"
    if one.percent is None:
        return UNKNOWN
    if not one.percent:
        return "0 %"
    sign, size = "+" if one.percent > 0 else "−", abs(one.percent)
    text = f"{sign}<0.1 %" if size < 0.05 else f"{sign}{size:,.1f} %"
    if one.metric in MORE_IS_NO_COST:
        return text
    return Toned(text, "bad" if one.percent > 0 else "good")


def totals_sheet(comparison: Comparison, view: View) -> Sheet:
    """Return a row for each figure: that of the reference, and of each other with its change."""
    first, *others = (one.label for one in comparison.contenders)
    narrow = view.width is not None and view.width < NARROW
    width = HEADER_WIDTHS[0 if narrow else 1]
    columns = [words("figure", header=""), Column(first, shortened(first, width), 0)]
    # where space is short, changes go first, and those of the last model before
    for at, name in enumerate(others):
        columns += [
            Column(name, shortened(name, width), at),
            Column(f"change of {name}", "±", 2 * len(others) + at),
            Column(f"percent of {name}", "± %", len(others) + at),
        ]
    found: dict[tuple[str, str | None], dict[str, Difference]] = {}
    for versus in comparison.versus:
        separate = (one for one in versus.latencies if one.setting not in versus.speedups)
        for one in (*versus.totals, *separate):
            if view.wide or not figure_of(one.metric).is_on_request:
                found.setdefault((one.metric, one.setting), {})[versus.label] = one
    rows = [_totals_row(first, differences) for differences in found.values()]
    return Sheet(columns, rows)


def _totals_row(reference: str, found: Mapping[str, Difference]) -> Row:
    """Return the row of one figure; a model that does not have it has empty cells."""
    first = next(iter(found.values()))
    where = f" {first.setting}, separate runs" if first.setting else ""
    cells = {
        "figure": figure_of(first.metric).title + where,
        reference: figure_of(first.metric).text(first.reference),
    }
    for name, one in found.items():
        cells[name] = figure_of(one.metric).text(one.value)
        cells[f"change of {name}"] = change_text(one)
        cells[f"percent of {name}"] = percent_text(one)
    return Row(cells)
