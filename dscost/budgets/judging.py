"""A budget, what was counted, and what was known before → findings. Exact: integers and fractions, no rounding."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from fractions import Fraction
from math import ceil
from pathlib import Path
from typing import NamedTuple

from dscost.budgets.baseline import Baseline, Known, fingerprint_of
from dscost.budgets.language import Budget, Entry, LayerRule, Limit
from dscost.budgets.metrics import METRICS, OF_LAYERS, STATIC, cost_figure, model_figure
from dscost.results import Cost, Layer, Report

CONTRIBUTORS = 3
"""Layers named where a limit is violated."""


class Contribution(NamedTuple):
    """A layer's part in a figure that is over its limit.

    Args:
        layer: Its name.
        value: Now.
        before: In the baseline; `None` where that is not known.
    """

    layer: str
    value: Fraction
    before: Fraction | None


class Rescue(NamedTuple):
    """Swaps that bring a model back under its limit.

    Args:
        layers: To be made depthwise-separable, the one that saves most first.
        value: The figure after them.
    """

    layers: tuple[str, ...]
    value: Fraction


class Finding(NamedTuple):
    """Something that the user must know.

    Args:
        kind: `over_max`, `under_min`, `grew`, `shrank`, `new_cost`, `unmatched_rule`, `missing_baseline`,
            `stale_baseline`, `not_comparable`, `unknown_cost`, `unknown_figure`, `unloadable_model`, `improvement`.
        level: `error`, `warn`, `note`, or `fail` where nothing could be judged.
        entry: The model and choice it is about; empty for the whole file.
        line: Of the budget file.
        column: Likewise.
        metric: Of the limit.
        layer: The layer, or the pattern of a group of layers; `None` for the whole model.
        value: What was found.
        limit: What would just have passed.
        before: In the baseline.
        detail: What else there is to say: the user's message, an error, a reason.
        contributions: Layers that weigh most, or grew most.
        rescue: What would help.
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
    rescue: Rescue | None = None

    @property
    def is_violation(self) -> bool:
        """Whether a limit is broken."""
        return self.kind in ("over_max", "under_min", "grew", "shrank", "new_cost")


class Passed(NamedTuple):
    """A limit that holds, with how much is left."""

    entry: str
    metric: str
    bound: str
    value: Fraction
    limit: Fraction
    layer: str | None = None


class Subject(NamedTuple):
    """An entry with what was counted of it, the excluded layers taken off.

    Args:
        entry: Of the budget.
        report: Of the model; `None` where it could not be loaded.
        error: Why it could not be.
    """

    entry: Entry
    report: Report | None
    error: str | None = None


class Judgement(NamedTuple):
    """What a budget says of everything it names."""

    findings: tuple[Finding, ...]
    passed: tuple[Passed, ...]


class CheckResult(NamedTuple):
    """What a budget says.

    Args:
        path: Of the budget file.
        findings: What the user must know, in the order of the file.
        passed: Limits that hold.
        subjects: What was counted.
        strict: Whether a warning is an error.
        exit_zero: Whether a broken limit exits 0.
    """

    path: Path
    findings: tuple[Finding, ...]
    passed: tuple[Passed, ...]
    subjects: tuple[Subject, ...]
    strict: bool = False
    exit_zero: bool = False

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


def judge(budget: Budget, subjects: Sequence[Subject], baseline: Baseline | None) -> Judgement:
    """Return what the budget says.

    Args:
        budget: Policies, and every name that the baseline may have.
        subjects: Its entries, counted; some of them where only some are to be judged.
        baseline: What was known before; `None` where the budget names none.
    """
    findings: list[Finding] = []
    passed: list[Passed] = []
    for subject in subjects:
        known = baseline.models.get(subject.entry.name) if baseline else None
        missing = (
            "the budget names no baseline" if baseline is None else baseline.origin if not baseline.models else None
        )
        for one in _Judge(budget, subject, known, missing).judged():
            (findings if isinstance(one, Finding) else passed).append(one)  # type: ignore[arg-type]
    findings += _stale(budget, baseline)
    return Judgement(tuple(findings), tuple(passed))


def _stale(budget: Budget, baseline: Baseline | None) -> Iterator[Finding]:
    level = budget.policy["on_stale_baseline"]
    names = {entry.name for entry in budget.entries}
    for name in baseline.models if baseline and level != "ignore" else ():
        if name not in names:
            yield Finding("stale_baseline", level, name, 1, 1)


class _Judge:
    """Judges one entry."""

    def __init__(self, budget: Budget, subject: Subject, known: Known | None, missing: str | None) -> None:
        self.policy, self.entry, self.subject = budget.policy, subject.entry, subject
        self.known, self.missing = known, missing

    def judged(self) -> Iterator[Finding | Passed]:
        report = self.subject.report
        if report is None:
            level = self.policy["on_unloadable_model"]
            if level != "ignore":
                yield self._finding("unloadable_model", level, detail=self.subject.error)
            return
        excluded, unmatched = self._excluded(report)
        layers = [layer for at, layer in enumerate(report.layers) if at not in excluded]
        cost = _without(report.totals.as_is, [report.layers[at] for at in excluded])
        yield from unmatched
        yield from self._unknown(report)
        comparable = self._baseline_findings(report)
        yield from comparable.findings
        before = comparable.known
        unwelcome: set[str] = set()
        for limit in self.entry.limits:
            if limit.level == "ignore":
                continue
            value = model_figure(report, cost, limit.metric)
            old = None if before is None else before.figure(limit.metric)
            compares = before is not None and limit.bound in ("max_increase", "max_decrease")
            if compares and old is None and value is not None:
                level = self.policy["on_missing_baseline"]
                if level != "ignore":
                    yield self._finding("missing_baseline", level, limit=limit)
                continue
            why = lambda limit=limit: _contributions(layers, limit.metric, before)  # noqa: E731
            for one in self._held(limit, value, old, None, why):
                if isinstance(one, Finding) and one.kind in ("shrank", "under_min"):
                    unwelcome.add(limit.metric)
                yield one
        for at, rule in enumerate(self.entry.layers):
            yield from self._rule(rule, self.entry.layers[at + 1 :], layers, before)
        yield from (one for one in self._improvements(report, cost, before) if one.metric not in unwelcome)

    # -- what cannot be judged

    def _excluded(self, report: Report) -> tuple[set[int], list[Finding]]:
        found: set[int] = set()
        unmatched = []
        for exclusion in self.entry.exclude:
            meant = {at for at, layer in enumerate(report.layers) if exclusion.selector.matches(layer)}
            found |= meant
            if not meant:
                unmatched += self._unmatched(exclusion.selector.text, exclusion.line, exclusion.column)
        return found, unmatched

    def _unmatched(self, pattern: str, line: int, column: int) -> list[Finding]:
        level = self.policy["on_unmatched_rule"]
        return (
            []
            if level == "ignore"
            else [Finding("unmatched_rule", level, self.entry.name, line, column, None, pattern)]
        )

    def _unknown(self, report: Report) -> Iterator[Finding]:
        level = self.policy["on_unknown_cost"]
        if report.coverage.unknown and level != "ignore":
            yield self._finding("unknown_cost", level, detail=", ".join(report.coverage.unknown))

    def _baseline_findings(self, report: Report) -> "_Comparable":
        needed = any(
            limit.bound in ("max_increase", "max_decrease") and limit.level != "ignore" for limit in self._all_limits()
        )
        if self.known is None:
            level = self.policy["on_missing_baseline"]
            if not needed or level == "ignore":
                return _Comparable(None, ())
            return _Comparable(None, (self._finding("missing_baseline", level, detail=self.missing),))
        differences = self.known.differs_from(fingerprint_of(self.entry, report))
        if differences:
            level = self.policy["on_missing_baseline"]
            if level == "ignore":
                return _Comparable(None, ())
            return _Comparable(None, (self._finding("not_comparable", level, detail="; ".join(differences)),))
        return _Comparable(self.known, ())

    def _all_limits(self) -> Iterator[Limit]:
        yield from self.entry.limits
        for rule in self.entry.layers:
            yield from (*rule.each, *rule.total)

    # -- limits

    def _held(
        self,
        limit: Limit,
        value: Fraction | None,
        before: Fraction | None,
        layer: str | None,
        why: "Callable[[], Iterable[Contribution]] | None",
    ) -> Iterator[Finding | Passed]:
        if value is None:
            yield self._finding("unknown_figure", limit.level, limit=limit, layer=layer, detail=self.subject.error)
            return
        if limit.bound in ("max", "min"):
            most = limit.value * (1 + limit.tolerance) if limit.bound == "max" else limit.value / (1 + limit.tolerance)
            fails = value > most if limit.bound == "max" else value < most
            kind = "over_max" if limit.bound == "max" else "under_min"
        elif before is None:  # said once for the whole model
            return
        else:
            most, fails, kind = _grown(limit, value, before)
        if not fails:
            yield Passed(self.entry.name, limit.metric, limit.bound, value, most, layer)
            return
        contributions = why() if why else ()
        yield Finding(
            kind,
            limit.level,
            self.entry.name,
            limit.line,
            limit.column,
            limit.metric,
            layer,
            value,
            most,
            before,
            limit.message,
            tuple(contributions),
        )

    def _rule(
        self, rule: LayerRule, later: Sequence[LayerRule], layers: Sequence[Layer], before: Known | None
    ) -> Iterator[Finding | Passed]:
        meant = [layer for layer in layers if rule.selector.matches(layer)]
        if not meant:
            # a total of at most nothing is what one writes to keep such layers out
            if not rule.each and all(limit.bound == "max" and limit.value == 0 for limit in rule.total):
                for limit in rule.total:
                    if limit.level != "ignore":
                        yield from self._held(limit, Fraction(0), None, rule.selector.text, None)
            else:
                yield from self._unmatched(rule.selector.text, rule.line, rule.column)
            return
        for layer in meant:
            for limit in rule.each:
                if limit.level != "ignore" and not _is_set_later(later, limit, layer):
                    old = None if before is None else before.layer_figure(layer.name, limit.metric)
                    yield from self._held(limit, cost_figure(layer.cost, limit.metric), old, layer.name, None)
        for limit in rule.total:
            if limit.level == "ignore":
                continue
            cost = _summed(layer.cost for layer in meant)
            old = None if before is None else _total_before(rule, limit.metric, meant, layers, before)
            why = lambda limit=limit: _contributions(meant, limit.metric, before)  # noqa: E731
            yield from self._held(limit, cost_figure(cost, limit.metric), old, rule.selector.text, why)

    def _improvements(self, report: Report, cost: Cost, before: Known | None) -> Iterator[Finding]:
        if before is None or self.policy["on_improvement"] == "ignore":
            return
        for metric in STATIC:
            value, old = model_figure(report, cost, metric), before.figure(metric)
            if metric in _WORTH_A_NOTE and value is not None and old is not None and value < old:
                yield self._finding("improvement", "note")._replace(metric=metric, value=value, before=old)

    def _finding(
        self, kind: str, level: str, *, limit: Limit | None = None, layer: str | None = None, detail: str | None = None
    ) -> Finding:
        line, column = (limit.line, limit.column) if limit else (self.entry.line, self.entry.column)
        return Finding(
            kind, level, self.entry.name, line, column, limit.metric if limit else None, layer, detail=detail
        )


_WORTH_A_NOTE = ("params", "macs", "weight_bytes", "peak_activation_bytes")


class _Comparable(NamedTuple):
    known: Known | None
    findings: tuple[Finding, ...]


def _is_set_later(later: Sequence[LayerRule], limit: Limit, layer: Layer) -> bool:
    """Whether a later rule sets the same bound of the same figure for this layer."""
    return any(
        other.metric == limit.metric and other.bound == limit.bound
        for one in later
        if one.selector.matches(layer)
        for other in one.each
    )


def _total_before(
    rule: LayerRule, metric: str, meant: Sequence[Layer], layers: Sequence[Layer], before: Known
) -> Fraction:
    """Return what the layers of a rule summed up to, those by that name that are gone now included."""
    present = {layer.name for layer in layers}
    gone = {name for name, _ in before.layers if name not in present and rule.selector.matches_name(name)}
    names = {layer.name for layer in meant} | gone
    return sum((before.layer_figure(name, metric) for name in names), start=Fraction(0))


def _grown(limit: Limit, value: Fraction, before: Fraction) -> tuple[Fraction, bool, str]:
    """Return the largest (or smallest) figure that would pass, whether this one fails, and how that is called."""
    room = before * limit.value if limit.relative else limit.value
    if METRICS[limit.metric].kind != "factor":  # of whole numbers, that below is at most one less
        room = max(room, Fraction(ceil(limit.ignore_below) - 1))
    grows = limit.bound == "max_increase"
    change = value - before if grows else before - value
    most = before + room if grows else before - room
    fails = change > room and change >= limit.ignore_below
    kind = ("new_cost" if before == 0 else "grew") if grows else "shrank"
    return most, fails, kind


def _summed(costs: Iterable[Cost]) -> Cost:
    return Cost(*(sum(figures) for figures in zip(*costs, strict=True)))


def without_excluded(entry: Entry, report: Report) -> Cost:
    """Return the totals of a report without the layers that an entry excludes."""
    gone = [layer for layer in report.layers if any(one.selector.matches(layer) for one in entry.exclude)]
    return _without(report.totals.as_is, gone)


def _without(total: Cost, excluded: Sequence[Layer]) -> Cost:
    if not excluded:
        return total
    gone = _summed(layer.cost for layer in excluded)
    return total._replace(
        params=total.params - gone.params,
        macs=total.macs - gone.macs,
        weight_bytes=total.weight_bytes - gone.weight_bytes,
        traffic_bytes=total.traffic_bytes - gone.traffic_bytes,
    )


def _contributions(layers: Sequence[Layer], metric: str, before: Known | None) -> list[Contribution]:
    """Return the layers that grew most since the baseline, or that weigh most where none is known."""
    if not METRICS[metric].of_layers or metric == "flops_per_byte":
        return []
    found = []
    for layer in layers:
        value = cost_figure(layer.cost, metric)
        if value:
            old = before.layer_figure(layer.name, metric) if before and metric in OF_LAYERS else None
            found.append(Contribution(layer.name, value, old))
    grown = [one for one in found if one.before is not None and one.value > one.before]
    if grown:
        return sorted(grown, key=lambda one: one.before - one.value)[:CONTRIBUTORS]  # type: ignore[operator]
    return sorted(found, key=lambda one: -one.value)[:CONTRIBUTORS]
