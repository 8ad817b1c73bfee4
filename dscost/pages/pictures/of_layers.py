"""What each layer costs, before and after, as bars."""

from collections.abc import Sequence
from typing import NamedTuple

from dscost.layers.variants import SEPARABLE
from dscost.notation.units import format_count, format_factor
from dscost.pages.pictures.picture import Axis, Bar, Bars, NotDrawn
from dscost.reports.records import Layer, Report

MOST_BARS = 30
"""The largest have a bar each; the others share one."""


class _Sum(NamedTuple):
    name: str
    before: int
    after: int

    @property
    def bar(self) -> Bar:
        told = f"{self.name}: {format_count(self.before)} MACs as it is"
        if self.after != self.before:
            factor = format_factor(self.before / self.after if self.after else None)
            told += f", {format_count(self.after)} depthwise-separable, {factor} fewer"
        texts = [format_count(self.before, 3), format_count(self.after, 3)]
        return Bar(self.name, [self.before, self.after], f"{told}.", texts=texts)


def layers_picture(report: Report) -> Bars | NotDrawn:
    """Return the MACs of each layer as it is and depthwise-separable, in the order of the model."""
    sums = [_sum_of(layer) for layer in report.layers if layer.cost.macs]
    if not sums:
        return NotDrawn("layers", "no layer has multiply-accumulates")
    largest = sorted(sums, key=lambda one: -one.before)[:MOST_BARS]
    shown = [one for one in sums if one in largest][:MOST_BARS]
    others = [one for one in sums if one not in shown]
    if others:
        before, after = sum(one.before for one in others), sum(one.after for one in others)
        shown.append(_Sum(f"({len(others)} more)", before, after))
    return Bars(
        name="layers",
        title=f"{report.target}: MACs of each layer",
        told=_told(report, shown),
        axis=Axis("MACs", "count"),
        series=["as it is", "depthwise-separable"],
        bars=[one.bar for one in shown],
    )


def _sum_of(layer: Layer) -> _Sum:
    after = layer.variants.get(SEPARABLE, layer.cost)
    return _Sum(layer.name or "(root)", layer.cost.macs or 0, after.macs or 0)


def _told(report: Report, shown: Sequence[_Sum]) -> str:
    totals, largest = report.totals, max(shown, key=lambda one: one.before)
    before, after = (format_count(one.macs) for one in (totals.as_is, totals.depthwise_separable))
    return (
        f"Bars of {len(shown)} layers: {before} MACs in all as it is, {after} depthwise-separable; "
        f"the largest is {largest.name} with {format_count(largest.before)}."
    )
