"""A budget, what was counted, and what was known before → findings. Exact: integers and fractions, no rounding."""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence, Set
from fractions import Fraction
from functools import partial
from math import ceil, floor
from pathlib import Path
from typing import NamedTuple

from dscost.budgets.baseline import (
    Baseline,
    Known,
    fingerprint_of,
    known_of,
    renamed_layers,
)
from dscost.budgets.excluding import rest_of, why_inexact
from dscost.budgets.metrics import KEPT_OF_LAYERS, OF_LAYERS, STATIC, cost_figure, model_figure
from dscost.budgets.records import CHANGES, WHOLE, Budget, Entry, Exclusion, LayerRule, Limit
from dscost.budgets.selectors import Kind, Selector
from dscost.reports.figures import FIGURES, Cost, summed
from dscost.reports.records import Layer, Report
from dscost.reports.result import Result

CONTRIBUTORS = 3
"""Layers named where a limit is violated."""


class Contribution(NamedTuple):
    """A layer's part in a figure that is over its limit.

    Args:
        layer: Its name.
        value: Now; nothing of one that is gone.
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
        kind: `over_max`, `under_min`, `grew`, `shrank`, `new_cost`, `unmatched_rule`,
            `missing_baseline`, `stale_baseline`, `not_comparable`, `unknown_cost`, `unseen_work`,
            `value_dependent`, `unused_weights`, `other_doubt`, `unknown_figure`,
            `unloadable_model`, `inexact_exclusion`, `improvement`.
        level: `error`, `warn`, `note`, or `fail` where nothing could be judged.
        entry: The model and choice it is about; empty for the whole file.
        line: Of the budget file.
        column: Likewise.
        metric: Of the limit.
        layer: The layer, or the pattern of a group of layers; `None` for the whole model.
        value: What was found.
        limit: What would just have passed, a whole number of what there are no fractions of.
        before: In the baseline.
        detail: What else there is to say: the user's message, an error, a reason.
        contributions: Layers that weigh most, or grew most, or shrank most where too little is
            left.
        rescue: What would help.
        tolerance: Share that `limit` has on top of what the budget says, of a measured figure.
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
    tolerance: Fraction = Fraction(0)

    @property
    def is_violation(self) -> bool:
        """Whether a limit is broken."""
        return self.kind in ("over_max", "under_min", "grew", "shrank", "new_cost")


class Passed(NamedTuple):
    """A limit that holds, with how much is left.

    Args:
        entry: The model and choice.
        metric: Of the limit.
        bound: One of `budgets.records.BOUNDS`.
        value: What was found.
        limit: What would just pass, see `Finding`.
        layer: Likewise.
        note: What else there is to say.
        tolerance: See `Finding`.
    """

    entry: str
    metric: str
    bound: str
    value: Fraction
    limit: Fraction
    layer: str | None = None
    note: str | None = None
    tolerance: Fraction = Fraction(0)


class Subject(NamedTuple):
    """An entry with what was counted of it, the excluded layers taken off.

    Args:
        entry: Of the budget.
        report: Of the model; `None` where it could not be loaded.
        error: Why it could not be, or why it could not be timed.
    """

    entry: Entry
    report: Report | None
    error: str | None = None

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

    def in_a_line(self) -> str:
        """Return which budget it is, how many models were judged, and the verdict on all of them."""
        code = self._replace(exit_zero=False).exit_code
        verdict = ("within budget", "over budget", "not all could be judged")[code]
        models = "1 model" if len(self.subjects) == 1 else f"{len(self.subjects)} models"
        return f"{self.path}: {models}, {verdict}"

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
    every_layer = [
        layer for subject in subjects if subject.report for layer in subject.report.layers
    ]
    missing = _without_baseline(baseline)
    judges = [
        _Judge(
            budget,
            subject,
            baseline.models.get(subject.entry.name) if baseline else None,
            missing,
            every_layer,
        )
        for subject in subjects
    ]
    somewhere = {place for one in judges for place in one.matched_rules()}
    for judge_of_entry in judges:
        for one in judge_of_entry.judged(somewhere):
            (findings if isinstance(one, Finding) else passed).append(one)  # type: ignore[arg-type]
    findings += _stale(budget, baseline)
    return Judgement(tuple(findings), tuple(passed))


def _without_baseline(baseline: Baseline | None) -> str | None:
    """Return why no model has a baseline; `None` where there is one, whatever it has."""
    if baseline is None:
        return "the budget names no baseline"
    return (
        None
        if baseline.is_there
        else f"there is no {baseline.origin}. dscost baseline save writes one"
    )


def _stale(budget: Budget, baseline: Baseline | None) -> Iterator[Finding]:
    level = budget.policy["on_stale_baseline"]
    names = {entry.name for entry in budget.entries}
    for name in baseline.models if baseline and level != "ignore" else ():
        if name not in names:
            yield Finding("stale_baseline", level, name, 1, 1)


class _Judge:
    """Judges one entry."""

    def __init__(
        self,
        budget: Budget,
        subject: Subject,
        known: Known | None,
        missing: str | None,
        every_layer: Sequence[Layer],
    ) -> None:
        self.policy, self.entry, self.subject = (
            budget.policy_of(subject.entry),
            subject.entry,
            subject,
        )
        self.known, self.missing, self.every_layer = known, missing, every_layer
        self._rest = None if subject.report is None else rest_of(subject.entry, subject.report)
        self._meant = [] if self._rest is None else _meant_by(self.entry.layers, self._rest.layers)
        self._hints = MOST_HINTS

    def matched_rules(self) -> Iterator[tuple[int, int]]:
        """Yield the places of the rules that some layer matches."""
        for rule, meant in zip(self.entry.layers, self._meant, strict=False):
            if meant:
                yield rule.line, rule.column

    def judged(self, somewhere: Collection[tuple[int, int]]) -> Iterator[Finding | Passed]:
        """Yield what there is to say.

        Args:
            somewhere: Places of rules that some layer matches, be it of another choice of the
                model's settings.
        """
        report = self.subject.report
        if report is None or self._rest is None:
            level = self.policy["on_unloadable_model"]
            if level != "ignore":
                yield self._finding("unloadable_model", level, detail=self.subject.why_unloadable)
            return
        layers, cost, unknown = self._rest
        yield from self._exclusions(report)
        yield from self._unknown(unknown)
        yield from self._doubts(report)
        comparable = self._baseline_findings(report)
        yield from comparable.findings
        before = comparable.known
        past = None if before is None else _Past(before, known_of(self.entry, report, cost), layers)
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
            why = partial(_contributions, layers, limit, past, layers)
            for one in self._held(limit, value, old, None, why):
                if isinstance(one, Finding) and one.kind in ("shrank", "under_min"):
                    unwelcome.add(limit.metric)
                yield one
        rules = self.entry.layers
        held = _last_words(rules, [[layer.name for layer in meant] for meant in self._meant])
        gone = [[] if past is None else past.gone(rule.selector) for rule in rules]
        held_of_gone = _last_words(rules, gone)
        for rule, meant, of_each, of_gone in zip(
            rules, self._meant, held, held_of_gone, strict=True
        ):
            yield from self._rule(rule, _Meant(meant, of_each, of_gone, layers), past, somewhere)
        yield from (
            one for one in self._improvements(report, cost, before) if one.metric not in unwelcome
        )

    # -- what cannot be judged

    def _exclusions(self, report: Report) -> Iterator[Finding]:
        for one in self.entry.exclude:
            if not any(map(one.selector.means_all_of, report.layers)):
                yield from self._unmatched(one, report.layers)
        reason = why_inexact(self.entry, report)
        if reason:
            place = self.entry.exclude[0]
            yield self._finding("inexact_exclusion", "note", detail=reason)._replace(
                line=place.line, column=place.column
            )

    def _unmatched(
        self, rule: LayerRule | Exclusion, layers: Sequence[Layer], detail: str | None = None
    ) -> Iterator[Finding]:
        level = self.policy["on_unmatched_rule"]
        if level != "ignore":
            said = (
                detail
                or rule.selector.leaves_out(layers)
                or self._hint(rule, layers).strip(" ()")
                or None
            )
            finding = self._finding("unmatched_rule", level, layer=rule.selector.text, detail=said)
            yield finding._replace(line=rule.line, column=rule.column)

    def _unknown(self, operators: Sequence[str]) -> Iterator[Finding]:
        level = self.policy["on_unknown_cost"]
        if operators and level != "ignore":
            yield self._finding("unknown_cost", level, detail=", ".join(operators))

    def _hint(self, rule: LayerRule | Exclusion, layers: Sequence[Layer]) -> str:
        """Return what a pattern nearly matches, in brackets, while there are not too many to look for."""
        self._hints -= 1
        return rule.selector.nearest(layers) if self._hints >= 0 else ""

    def _doubts(self, report: Report) -> Iterator[Finding]:
        for doubt in report.doubts:
            kind, policy = OF_DOUBTS.get(doubt.kind, ("other_doubt", "on_value_dependent"))
            level = self.policy[policy]
            if level != "ignore":
                yield self._finding(kind, level, detail=doubt.text)

    def _baseline_findings(self, report: Report) -> "_Comparable":
        needed = any(_is_relative(limit) for limit in self._all_limits())
        if self.known is None:
            level = self.policy["on_missing_baseline"]
            if not needed or level == "ignore":
                return _Comparable(None, ())
            return _Comparable(
                None, (self._finding("missing_baseline", level, detail=self.missing),)
            )
        differences = self.known.differs_from(fingerprint_of(self.entry, report))
        if differences:
            level = self.policy["on_missing_baseline"]
            if level == "ignore":
                return _Comparable(None, ())
            return _Comparable(
                None, (self._finding("not_comparable", level, detail="; ".join(differences)),)
            )
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
        note: str | None = None,
    ) -> Iterator[Finding | Passed]:
        if value is None:
            why_not = self.subject.error if FIGURES[limit.metric].is_measured else None
            yield self._finding(
                "unknown_figure", limit.level, limit=limit, layer=layer, detail=why_not
            )
            return
        if limit.bound in ("max", "min"):
            most = (
                limit.value * (1 + limit.tolerance)
                if limit.bound == "max"
                else limit.value / (1 + limit.tolerance)
            )
            fails = value > most if limit.bound == "max" else value < most
            kind = "over_max" if limit.bound == "max" else "under_min"
        elif before is None:  # said once for the whole model
            return
        else:
            most, fails, kind = _grown(limit, value, before)
        if FIGURES[limit.metric].kind in WHOLE:
            most = Fraction(floor(most) if limit.bound in ("max", "max_increase") else ceil(most))
        if not fails:
            yield Passed(
                self.entry.name,
                limit.metric,
                limit.bound,
                value,
                most,
                layer,
                note,
                limit.tolerance,
            )
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
            tolerance=limit.tolerance,
        )

    def _rule(
        self,
        rule: LayerRule,
        about: "_Meant",
        past: "_Past | None",
        somewhere: Collection[tuple[int, int]],
    ) -> Iterator[Finding | Passed]:
        meant, layers = about.layers, about.every_layer
        if past is not None and past.members(rule.selector) is None:
            yield from self._without_kinds(rule)
            past = None
        note = rule.selector.leaves_out(layers)
        if not meant:
            yield from self._nothing_meant(rule, layers, note, somewhere)
        yield from self._each(rule, about, past)
        for limit in rule.total:
            if limit.level == "ignore" or (not meant and limit.bound != "max_decrease"):
                continue
            value = cost_figure(summed(layer.cost for layer in meant), limit.metric)
            was = None if past is None else past.figures(limit.metric, rule.selector)
            old = None if was is None else sum(was.values(), start=Fraction(0))
            why = partial(_contributions, meant, limit, past, layers, rule.selector)
            yield from self._held(limit, value, old, rule.selector.text, why, note)

    def _each(
        self, rule: LayerRule, about: "_Meant", past: "_Past | None"
    ) -> Iterator[Finding | Passed]:
        limits = [limit for limit in rule.each if limit.level != "ignore"]
        open_ones = [limit for limit in limits if about.each[limit.metric, limit.bound]]
        for layer in about.layers if open_ones else ():
            for limit in open_ones:
                if layer.name in about.each[limit.metric, limit.bound]:
                    old = (
                        None
                        if past is None
                        else past.figure(layer.name, limit.metric, rule.selector)
                    )
                    yield from self._held(
                        limit, cost_figure(layer.cost, limit.metric), old, layer.name, None
                    )
        if past is None:
            return
        for limit in limits:  # what is gone is the most that a layer can shrink
            for name in (
                sorted(about.gone[limit.metric, limit.bound])
                if limit.bound == "max_decrease"
                else ()
            ):
                old = past.known.layer_figure(name, limit.metric, rule.selector)
                yield from self._held(limit, Fraction(0), old, name, None)

    def _nothing_meant(
        self,
        rule: LayerRule,
        layers: Sequence[Layer],
        note: str | None,
        somewhere: Collection[tuple[int, int]],
    ) -> Iterator[Finding | Passed]:
        """Tell of a rule without layers, or hold it where that is meant.

        A slip of the pen never is, nor a ban on a class of torch where convolutions of other
        classes fit it.
        """
        wrong = rule.selector.unknown_name(self.every_layer) or note
        is_meant = rule.allow_empty or (rule.is_ban and (rule.line, rule.column) in somewhere)
        if wrong or not is_meant:
            found = list(self._unmatched(rule, layers, wrong))
            yield from found
            if found or not rule.is_ban:
                return
        nothing = (
            f"no layer matches{self._hint(rule, layers) if rule.selector.by == 'name' else ''}"
        )
        for limit in rule.total:
            if limit.level != "ignore" and limit.bound not in CHANGES:
                yield from self._held(limit, Fraction(0), None, rule.selector.text, None, nothing)

    def _without_kinds(self, rule: LayerRule) -> Iterator[Finding]:
        level = self.policy["on_missing_baseline"]
        if level != "ignore" and any(_is_relative(limit) for limit in (*rule.each, *rule.total)):
            finding = self._finding(
                "not_comparable", level, layer=rule.selector.text, detail=NO_KINDS
            )
            yield finding._replace(line=rule.line, column=rule.column)

    def _improvements(self, report: Report, cost: Cost, before: Known | None) -> Iterator[Finding]:
        if before is None or self.policy["on_improvement"] == "ignore":
            return
        for metric in STATIC:
            value, old = model_figure(report, cost, metric), before.figure(metric)
            if FIGURES[metric].is_noted and value is not None and old is not None and value < old:
                yield self._finding("improvement", "note")._replace(
                    metric=metric, value=value, before=old
                )

    def _finding(
        self,
        kind: str,
        level: str,
        *,
        limit: Limit | None = None,
        layer: str | None = None,
        detail: str | None = None,
    ) -> Finding:
        line, column = (limit.line, limit.column) if limit else (self.entry.line, self.entry.column)
        return Finding(
            kind,
            level,
            self.entry.name,
            line,
            column,
            limit.metric if limit else None,
            layer,
            detail=detail,
        )


class _Comparable(NamedTuple):
    known: Known | None
    findings: tuple[Finding, ...]


NO_KINDS = "it does not say of what type its layers were; dscost baseline update adds that"


def _is_relative(limit: Limit) -> bool:
    """Whether a limit is judged by the baseline."""
    return limit.bound in CHANGES and limit.level != "ignore"


MOST_HINTS = 5
"""Patterns of an entry that match nothing for which a near one is looked for, among all names of
its layers."""

OF_DOUBTS: Mapping[str, tuple[str, str]] = {
    "unseen": ("unseen_work", "on_unseen_work"),
    "value_dependent": ("value_dependent", "on_value_dependent"),
    "unused": ("unused_weights", "on_unused_weights"),
}
"""The finding and the policy of each kind of doubt that a report may have."""


def _meant_by(rules: Sequence[LayerRule], layers: Sequence[Layer]) -> list[list[Layer]]:
    """Return for each rule the layers that it means, with the cost of what it means of them."""
    if not rules:
        return []
    kinds = [Kind.of(layer) for layer in layers]
    names = [layer.name for layer in layers]
    return [
        [
            _part_of(rule.selector, layers[at], kinds[at]) if kinds[at].parts else layers[at]
            for at in rule.selector.among(names, kinds)
        ]
        for rule in rules
    ]


def _part_of(selector: Selector, layer: Layer, kind: Kind) -> Layer:
    """Return a layer with the cost of those of its operators that a selector means."""
    meant = selector.parts_meant(kind) if kind.parts else None
    if meant is None:
        return layer
    return layer._replace(cost=summed(layer.operators[at].cost for at in meant))


_Bound = tuple[str, str]
"""A metric, and one of `budgets.records.BOUNDS`."""


def _last_words(
    rules: Sequence[LayerRule], meant: Sequence[Sequence[str]]
) -> list[Mapping[_Bound, Set[str]]]:
    """Return for each rule and bound of its `each` the layers of which no later rule sets the same bound."""
    taken: dict[_Bound, set[str]] = {}
    found: list[Mapping[_Bound, Set[str]]] = []
    for rule, names in zip(reversed(rules), reversed(meant), strict=True):
        bounds = {(limit.metric, limit.bound) for limit in rule.each}
        left = {
            bound: {name for name in names if name not in taken.get(bound, ())} for bound in bounds
        }
        found.append(left)
        for bound in bounds:
            taken.setdefault(bound, set()).update(left[bound])
    return found[::-1]


class _Meant(NamedTuple):
    """What a rule is about.

    Args:
        layers: That it means, with the cost of what it means of them.
        each: The names of those that a bound of its `each` is on.
        gone: Likewise of layers that were meant and are not there any more.
        every_layer: Of the model.
    """

    layers: Sequence[Layer]
    each: Mapping[_Bound, Set[str]]
    gone: Mapping[_Bound, Set[str]]
    every_layer: Sequence[Layer]


class _Past:
    """What was known of a model, seen from what its layers are called now.

    Args:
        known: Of the baseline.
        now: Today's figures.
        layers: Today's layers.
    """

    def __init__(self, known: Known, now: Known, layers: Sequence[Layer]) -> None:
        self._before = renamed_layers(known, now)
        self.known = known._replace(kinds={**known.kinds, **self._of_what_is_the_same(known, now)})
        self._now = {before: name for name, before in self._before.items()}
        self._still_there = {layer.name for layer in layers}.union(self._before.values())
        self._members: dict[str, list[str] | None] = {}

    def _of_what_is_the_same(self, known: Known, now: Known) -> Mapping[str, Kind]:
        """Return the kinds of layers that a baseline of before operators were kept has, and which have not changed."""
        found = {}
        for name, kind in now.kinds.items():
            before = self._before.get(name, name)
            if (
                kind.parts
                and known.kinds.get(before) == kind._replace(parts=())
                and all(
                    known.layer_figure(before, metric) == now.layer_figure(name, metric)
                    for metric in KEPT_OF_LAYERS
                )
            ):
                found[before] = kind
        return found

    def members(self, selector: Selector) -> list[str] | None:
        """Return the layers that a selector meant; `None` where that is not known."""
        if selector.text not in self._members:
            self._members[selector.text] = self.known.members(selector)
        return self._members[selector.text]

    def figure(self, layer: str, metric: str, selector: Selector | None = None) -> Fraction:
        """Return what a layer of today had, or what a selector means of it; nothing of a new one."""
        return self.known.layer_figure(self._before.get(layer, layer), metric, selector)

    def figures(
        self, metric: str, selector: Selector | None = None
    ) -> Mapping[str, Fraction] | None:
        """Return what the layers had that a selector meant, or all, by today's name; `None` where that is not kept."""
        members = sorted(self.known.names) if selector is None else self.members(selector)
        if members is None or metric not in OF_LAYERS:
            return None
        return {
            self._now.get(name, name): self.known.layer_figure(name, metric, selector)
            for name in members
        }

    def gone(self, selector: Selector) -> list[str]:
        """Return the layers that a selector meant which are not there any more, under whatever name."""
        return [name for name in self.members(selector) or () if name not in self._still_there]


def _grown(limit: Limit, value: Fraction, before: Fraction) -> tuple[Fraction, bool, str]:
    """Return the largest (or smallest) figure that would pass, whether this one fails, and how that is called."""
    room = before * limit.value if limit.relative else limit.value
    # of whole numbers, those below are at most one less; of fractions none is the largest, so that
    # itself passes
    is_whole = FIGURES[limit.metric].kind != "factor"
    room = max(room, Fraction(ceil(limit.ignore_below) - 1) if is_whole else limit.ignore_below)
    grows = limit.bound == "max_increase"
    change = value - before if grows else before - value
    most = before + room if grows else before - room
    kind = ("new_cost" if before == 0 else "grew") if grows else "shrank"
    return most, change > room, kind


def without_excluded(entry: Entry, report: Report) -> Cost:
    """Return the totals of a report without the layers that an entry excludes."""
    return rest_of(entry, report).cost


def _contributions(
    meant: Sequence[Layer],
    limit: Limit,
    past: _Past | None,
    layers: Sequence[Layer],
    selector: Selector | None = None,
) -> Sequence[Contribution]:
    """Return the layers that explain a broken limit.

    Those that grew most since the baseline; where there is too little, those that shrank most, the
    ones that are gone included. Where none did, those that weigh most. A layer that came to a group
    or left it counts in full there, and is told with its own figures.

    Args:
        meant: The layers that the limit is about.
        limit: The broken one.
        past: What was known of the model.
        layers: All of today's.
        selector: Of the group.
    """
    metric = limit.metric
    if not FIGURES[metric].is_of_layers or FIGURES[metric].kind == "factor":
        return []
    values = _figures(layers, metric)
    now, was = _figures(meant, metric), past.figures(metric, selector) if past else None

    def told(names: Iterable[str]) -> list[Contribution]:
        before = None if past is None or was is None else past.figure
        return [
            Contribution(name, values.get(name, Fraction(0)), before and before(name, metric))
            for name in names
        ]

    if was is not None:
        sign = -1 if limit.bound in ("min", "max_decrease") else 1
        changes = {name: sign * (now.get(name, 0) - was.get(name, 0)) for name in {**now, **was}}
        most = sorted(
            (name for name, change in changes.items() if change > 0),
            key=lambda name: -changes[name],
        )
        if most:
            return told(most[:CONTRIBUTORS])
    return told(
        sorted((name for name in now if now[name]), key=lambda name: -now[name])[:CONTRIBUTORS]
    )


def _figures(layers: Iterable[Layer], metric: str) -> dict[str, Fraction]:
    return {layer.name: cost_figure(layer.cost, metric) or Fraction(0) for layer in layers}
