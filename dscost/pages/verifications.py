"""A model counted twice: where the two counts differ, and whether it is known why."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from dscost.analysis.verification import FLOP_COUNTER_MODE
from dscost.pages import Said
from dscost.pages.layer_table import ROOT
from dscost.pages.page import Page, Toned, View

if TYPE_CHECKING:
    from dscost.analysis.verification import Verification
    from dscost.analysis.verifying_against import AgainstPeer, PeerDifference, PeerVerification


class VerificationSaid(Said):
    """What is to be said of two counts of one model."""

    what = "a verification"
    row_columns = ("target", "module", "type", "ours", "theirs", "reason")
    _result: "Verification"

    def pages(self, view: View) -> list[Page]:
        """Return one page, a line per module or node on which the counts differ."""
        found = self._result
        method, ours = found.method.name, f"dscost {found.ours:,} MACs"
        counts = f"{ours}, {method} {found.theirs:,} MACs"
        if found.is_cut_short:
            counts = f"{ours}, of which {found.theirs:,} are counted {method} as well"
        lines = [*self._differences(), _verdict(found)]
        return [Page(f"{found.target}: {counts}", lines)]

    def _differences(self) -> Iterator[str]:
        for one in self._result.differences:
            counts = f"{one.ours:,} against {one.theirs:,}"
            line = f"  {one.module or ROOT} ({one.type}): {counts}: {one.reason}"
            yield line if one.is_explained else Toned(line, "bad")

    def data(self, view: View) -> dict[str, Any]:
        """Return both counts and every difference."""
        return self._result.to_dict()

    def rows(self) -> Iterator[dict[str, Any]]:
        """Yield a row for the whole model and one per module on which the counts differ."""
        found = self._result
        yield {"target": found.target, "ours": found.ours, "theirs": found.theirs}
        for one in found.differences:
            yield {"target": found.target, **one._asdict()}


def _verdict(found: "Verification") -> str:
    if found.agrees:
        part = found.method.part
        return Toned(f"Both agree, {part} by {part}.", "good")
    if found.partial:
        partial = "; ".join(found.partial).rstrip(".")
        is_of_torch = found.method == FLOP_COUNTER_MODE
        what = "Neither count is whole" if is_of_torch else "Not all of it was counted twice"
        what = f"Both agree on these. {what}" if found.is_cut_short else what
        return Toned(f"{what}: {partial}.", "unclear")
    if found.is_explained and found.method != FLOP_COUNTER_MODE:
        return Toned("They differ only where it is known why.", "good")
    if found.is_explained:
        return Toned("They differ only by what FlopCounterMode is known to miscount.", "good")
    return Toned("They differ.", "bad")


class PeerVerificationSaid(Said):
    """What is to be said of what peers say of a model."""

    what = "a verification"
    row_columns = ("target", "peer", "release", "convention", "module", "type", "ours", "theirs")
    _result: "PeerVerification"

    def pages(self, view: View) -> list[Page]:
        """Return one page, a line per peer and per module on which it differs from its rules."""
        found = self._result
        lines = [line for one in found.against for line in _of_peer(one)]
        return [Page(f"{found.target}: dscost counts {found.macs:,} MACs", lines)]

    def data(self, view: View) -> dict[str, Any]:
        """Return every figure and difference."""
        return self._result.to_dict()

    def rows(self) -> Iterator[dict[str, Any]]:
        """Yield a row for each peer and one per module on which it differs."""
        for one in self._result.against:
            known = {"target": self._result.target, "peer": one.peer, "release": one.release}
            known["convention"] = one.convention
            yield {**known, "ours": one.ours, "theirs": one.theirs}
            for difference in one.differences:
                yield {**known, **difference._asdict()}


def _of_peer(one: "AgainstPeer") -> Iterator[str]:
    name = f"{one.peer} {one.release}"
    by_rules = f"by its rules as dscost has them ({one.convention}) it is {one.ours:,}"
    if one.theirs is None:
        yield Toned(f"{name} cannot count it: {one.failure.rstrip('.')}; {by_rules}.", "unclear")
        return
    said = f"{name} says {one.theirs:,} {one.counts}"
    if one.agrees:
        rules = f"its rules as dscost has them ({one.convention})"
        yield Toned(f"{said}, and so do {rules}.", "good")
        return
    yield Toned(f"{said}; {by_rules}.", "bad")
    yield from map(_difference, one.differences)


def _difference(one: "PeerDifference") -> str:
    if one.is_of_no_module:
        return f"  {one.theirs:+,} is told of no module"
    return f"  {one.module or ROOT} ({one.type}): {one.theirs:,}, by the rules {one.ours:,}"
