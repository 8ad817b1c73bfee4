"""What a check of a budget finds, as records."""

from collections.abc import Mapping
from fractions import Fraction
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

from dscost.budgets.records import Entry, Pairing
from dscost.errors import DscostError
from dscost.notation.units import counted
from dscost.reports.records import Report
from dscost.reports.result import Result
from dscost.sources.defined import Defined


class Contribution(NamedTuple):
    """A layer's part in a figure that is over its limit.

    Args:
        layer: Its name.
        value: Now; nothing of one that is gone.
        before: The figure in the baseline; `None` where that is not known.
        change: What else it is now, such as `256 → 288 channels`, as far as a baseline tells.
    """

    layer: str
    value: Fraction
    before: Fraction | None
    change: str | None = None


class SuggestedFix(NamedTuple):
    """Layers to make depthwise-separable, the one that saves most first, and the figure then."""

    layers: tuple[str, ...]
    value: Fraction


class WayBack(NamedTuple):
    """The fewest layers to make depthwise-separable for a model to keep its limits again.

    Args:
        entry: The model.
        layers: Those layers, the one first that does most.
        figures: What it costs then, of the figures that are over a limit on the whole.
        is_complete: Whether no other limit of it stays broken, such as one on layers.
    """

    entry: str
    layers: tuple[str, ...]
    figures: Mapping[str, Fraction]
    is_complete: bool = True


class Ratio(NamedTuple):
    """A ratio of two latencies that were measured in turns.

    Args:
        value: The ratio.
        low: The lower end of its 95 % interval.
        high: The upper end.
        noise_floor: No smaller difference from 1 is called, 0.03 for 3 %.
        between: What it is of, in words: `standard over depthwise-separable`.
        runtime: What ran both, with its version.
        threads: How many it computed with; 0 where nothing had to be timed.
        clock: `wall`, or `cpu` for processor time.
        runs: How often it was measured, each time with models made anew: what seems to break a
            limit is measured twice, and the interval then spans those of both.
        look: The command that shows where the time goes, if it is known.
    """

    value: Fraction
    low: Fraction
    high: Fraction
    noise_floor: Fraction
    between: str
    runtime: str
    threads: int
    clock: str = "wall"
    runs: int = 1
    look: str = ""


class NoRatio(NamedTuple):
    """Why there is none.

    Args:
        reason: In words.
        is_missing: Whether a commit does not have the model, which is no fault of it.
    """

    reason: str
    is_missing: bool = False


_BROKEN = {
    "over_max": "max",
    "under_min": "min",
    "grew": "max_increase",
    "new_cost": "max_increase",
    "shrank": "max_decrease",
}
"""The bound that each kind of violation breaks."""


class Finding(NamedTuple):
    """Something that the user must know.

    Args:
        kind: `over_max`, `under_min`, `grew`, `shrank`, `new_cost`, `unmatched_rule`,
            `missing_baseline`, `stale_baseline`, `not_comparable`, `unknown_cost`, `unseen_work`,
            `value_dependent`, `unused_weights`, `other_doubt`, `unknown_figure`, `undecided`,
            `unloadable_model`, `inexact_exclusion`, `improvement`.
        level: `error`, `warn`, `note`, or `fail` where nothing could be judged.
        entry: The model and choice it is about; empty for the whole file.
        line: Where in the budget file that is asked for.
        column: Where in that line.
        metric: Which figure is limited.
        layer: The layer, or the pattern of a group of layers; `None` for the whole model.
        value: What was found.
        limit: What would just have passed, a whole number of what there are no fractions of.
        before: The figure in the baseline.
        detail: What else there is to say: the user's message, an error, a reason.
        contributions: The largest layers, or those that grew most, or shrank most where too
            little is left.
        suggested_fix: What would help.
        tolerance: Share that `limit` has on top of what the budget says, of a measured figure.
        measured: Of a ratio of latencies, its interval and what it was measured between.
    """

    kind: str
    level: str
    entry: str
    line: int
    column: int
    metric: str | None = None
    layer: str | None = None
    value: Fraction | None = None
    limit: Fraction | None = None
    before: Fraction | None = None
    detail: str | None = None
    contributions: tuple[Contribution, ...] = ()
    suggested_fix: SuggestedFix | None = None
    tolerance: Fraction = Fraction(0)
    measured: Ratio | None = None

    @property
    def bound(self) -> str | None:
        """The bound that is broken, if one is: one of `budgets.records.BOUNDS`."""
        return _BROKEN.get(self.kind)

    @property
    def is_violation(self) -> bool:
        """Whether a limit is broken."""
        return self.kind in _BROKEN


class Passed(NamedTuple):
    """A limit that holds, with how much is left: `limit` is what would just pass.

    `bound` is one of `budgets.records.BOUNDS`; the other fields are as in `Finding`.
    """

    entry: str
    metric: str
    bound: str
    value: Fraction
    limit: Fraction
    layer: str | None = None
    note: str | None = None
    tolerance: Fraction = Fraction(0)
    before: Fraction | None = None
    measured: Ratio | None = None


class Subject(NamedTuple):
    """An entry with what was counted of it, the excluded layers taken off.

    Args:
        entry: The model as the budget has it.
        report: What the model costs; `None` where it could not be loaded.
        error: Why it could not be, or why it could not be timed.
        defined: Where its code is defined, if it is code, and something was found about it.
        ratios: What was measured of ratios of latencies, by figure and what each is taken between.
    """

    entry: Entry
    report: Report | None
    error: str | None = None
    defined: Defined | None = None
    ratios: Mapping[tuple[str, Pairing], Ratio | NoRatio] = MappingProxyType({})

    @property
    def why_unloadable(self) -> str:
        """Why it could not be loaded, without the name of the entry, which stands before it."""
        error, name = self.error or "", self.entry.name
        rest = error.removeprefix(name).removeprefix(":")
        return rest[1:] if rest != error and rest.startswith(" ") else error


class Judgement(NamedTuple):
    """What a budget says of everything it names."""

    findings: tuple[Finding, ...]
    passed: tuple[Passed, ...]


class CheckResult(Result):
    """What a budget says.

    Args:
        path: The budget file.
        findings: What the user must know, in the order of the file.
        passed: Limits that hold.
        subjects: What was counted.
        strict: Whether a warning is an error.
        exit_zero: Whether a broken limit exits 0.
        ways_back: What would help models that are over limits on the whole.
        baseline: Where the budget keeps what its models cost, if it does.
        against: The commit whose baseline was compared with, if not that of the working tree.
        is_nearest: Whether a command that names no budget means this one.
        since: The hash of the commit that growth is since, where it is one.
    """

    path: Path
    findings: tuple[Finding, ...]
    passed: tuple[Passed, ...]
    subjects: tuple[Subject, ...]
    strict: bool = False
    exit_zero: bool = False
    ways_back: tuple[WayBack, ...] = ()
    baseline: Path | None = None
    against: str | None = None
    is_nearest: bool = False
    since: str | None = None

    def in_a_line(self) -> str:
        """Return which budget it is, how many models were judged, and the verdict."""
        code = self._replace(exit_zero=False).exit_code
        verdict = ("within budget", "over budget", "not all could be judged")[code]
        return f"{self.path}: {counted(len(self.subjects), 'model')}, {verdict}"

    def count_of(self, level: str) -> int:
        """Return the number of findings of a level."""
        return sum(finding.level == level for finding in self.findings)

    @property
    def exit_code(self) -> int:
        """0 within the budget, 1 where it is violated, 2 where something could not be judged."""
        if self.count_of("fail"):
            return 2
        violated = self.count_of("error") or (self.strict and self.count_of("warn"))
        return 1 if violated and not self.exit_zero else 0


class CheckResults(Result):
    """What several budgets say.

    Args:
        results: What each says, in the order that they were named; or why it could not be judged.
    """

    results: tuple[CheckResult | DscostError, ...]

    def in_a_line(self) -> str:
        """Return what each budget says, in a line."""
        said = [
            str(one) if isinstance(one, DscostError) else one.in_a_line() for one in self.results
        ]
        return "; ".join(said)

    @property
    def exit_code(self) -> int:
        """The worst of all: 2 where a budget could not be judged."""
        return max(2 if isinstance(one, DscostError) else one.exit_code for one in self.results)
