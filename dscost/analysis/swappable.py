"""A counted model that can be written anew with some of its swaps done."""

from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

from dscost.analysis.counting import ROOT
from dscost.errors import first_of
from dscost.networks.swaps import Swap
from dscost.reports.figures import Cost
from dscost.reports.records import Report

if TYPE_CHECKING:
    from dscost.analysis.counting import Versions
    from dscost.conventions import Convention


LEFT_SHOWN = 3


def left_in_words(left: Mapping[str, str]) -> str:
    """Return a sentence on the layers of a version that could not be replaced, given why."""
    told = [f"{name or ROOT}: {reason}" for name, reason in left.items()]
    are = "1 layer left as it is" if len(left) == 1 else f"{len(left)} layers left as they are"
    return f"Timed with {are}, though counted as swapped: {first_of(told, LEFT_SHOWN, '; ')}."


class SwappableModel(NamedTuple):
    """A counted model, its swaps, what writes it anew, and by whose conventions it is counted."""

    report: Report
    swaps: Sequence[Swap]
    versions: "Versions"
    conventions: Sequence["Convention"] = ()

    def layer_of(self, swap: Swap) -> str:
        """Return the name of the layer that a swap stands with."""
        return self.versions.layer_of(swap)[0]

    def cost_with(self, names: Collection[str]) -> Cost:
        """Return what it costs with the convolutions of some layers swapped, and no others."""
        swaps = (swap for swap in self.swaps if not swap.is_pair)
        done = [swap for swap in swaps if self.layer_of(swap) in names]
        return self.versions.totals(done).depthwise_separable

    def without_losing(self) -> "SwappableModel":
        """Return it without the swaps that make a layer slower; pairs stay."""
        layers = (layer for layer in self.report.layers if layer.pair is None)
        losing = tuple(layer.name for layer in layers if layer.verdict == "slower")
        kept = [swap for swap in self.swaps if self.layer_of(swap) not in losing]
        report = self.report._replace(totals=self.versions.totals(kept), skipped=losing)
        if self.conventions:
            from dscost.analysis.by_convention import totals_by

            totals = totals_by(report, self.conventions, self.versions, kept)
            report = report._replace(by_convention=totals)
        return self._replace(report=report, swaps=kept)
