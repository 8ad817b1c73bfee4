"""A budget, what was counted, and what was known before → findings. Exact: no rounding."""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from fractions import Fraction
from functools import partial
from math import ceil, floor
from typing import Any

from dscost.budgets.baseline import Baseline, Known, fingerprint_of, known_of
from dscost.budgets.excluding import Rest, rest_of, why_inexact
from dscost.budgets.findings import Contribution, Finding, Judgement, Passed, Subject
from dscost.budgets.matching import Meant, last_words, meant_by
from dscost.budgets.metrics import STATIC, cost_figure, model_figure
from dscost.budgets.past import Past, contributions
from dscost.budgets.records import CHANGES, WHOLE, Budget, Entry, Exclusion, LayerRule, Limit
from dscost.reports.figures import FIGURES, Cost, summed
from dscost.reports.records import Layer, Report

MOST_HINTS = 5
"""Patterns of an entry that match nothing for which a near one is looked for, among all names of
its layers."""

OF_DOUBTS: Mapping[str, tuple[str, str]] = {
    "unseen": ("unseen_work", "on_unseen_work"),
    "value_dependent": ("value_dependent", "on_value_dependent"),
    "unused": ("unused_weights", "on_unused_weights"),
}
"""The finding and the policy of each kind of doubt that a report may have."""

NO_KINDS = "it does not say of what type its layers were; dscost baseline update adds that"

_Place = Entry | Limit | LayerRule | Exclusion
"""What stands at a line and a column of the budget."""


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
    judges = [_Judge(budget, subject, baseline, every_layer) for subject in subjects]
    somewhere = {place for one in judges for place in one.matched_rules()}
    for judge_of_entry in judges:
        for one in judge_of_entry.judged(somewhere):
            if isinstance(one, Finding):
                findings.append(one)
            else:
                passed.append(one)
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

    def __init__(
        self,
        budget: Budget,
        subject: Subject,
        baseline: Baseline | None,
        every_layer: Sequence[Layer],
    ) -> None:
        self.entry, self.subject, self.baseline = subject.entry, subject, baseline
        self.policy, self.every_layer = budget.policy_of(subject.entry), every_layer
        self._rest = None if subject.report is None else rest_of(subject.entry, subject.report)
        self._meant = [] if self._rest is None else meant_by(self.entry.layers, self._rest.layers)
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
        report, rest = self.subject.report, self._rest
        if report is None or rest is None:
            detail = self.subject.why_unloadable
            yield from self._case("unloadable_model", "on_unloadable_model", detail=detail)
            return
        yield from self._exclusions(report)
        if rest.unknown:
            yield from self._case("unknown_cost", "on_unknown_cost", detail=", ".join(rest.unknown))
        for doubt in report.doubts:
            kind, policy = OF_DOUBTS.get(doubt.kind, ("other_doubt", "on_value_dependent"))
            yield from self._case(kind, policy, detail=doubt.text)
        known = self.baseline.models.get(self.entry.name) if self.baseline else None
        differences = known.differs_from(fingerprint_of(self.entry, report)) if known else []
        yield from self._without_baseline(known, differences)
        before = None if differences else known
        past = None
        if before is not None:
            past = Past(before, known_of(self.entry, report, rest.cost), rest.layers)
        shrunk = set()
        for one in self._limits(report, rest, before, past):
            if isinstance(one, Finding) and one.kind in ("shrank", "under_min"):
                shrunk.add(one.metric)
            yield one
        yield from self._rules(rest.layers, past, somewhere)
        for improvement in self._improvements(report, rest.cost, before):
            if improvement.metric not in shrunk:  # else it is no news, and not welcome
                yield improvement

    # -- what cannot be judged

    def _exclusions(self, report: Report) -> Iterator[Finding]:
        for one in self.entry.exclude:
            if not any(map(one.selector.means_all_of, report.layers)):
                yield from self._unmatched(one, report.layers)
        reason = why_inexact(self.entry, report)
        if reason:
            yield self._finding("inexact_exclusion", "note", self.entry.exclude[0], detail=reason)

    def _unmatched(
        self, rule: LayerRule | Exclusion, layers: Sequence[Layer], detail: str | None = None
    ) -> Iterator[Finding]:
        if self.policy["on_unmatched_rule"] == "ignore":
            return
        text = rule.selector.text
        detail = detail or rule.selector.leaves_out(layers)
        detail = detail or self._hint(rule, layers).strip(" ()") or None
        yield from self._case(
            "unmatched_rule", "on_unmatched_rule", rule, layer=text, detail=detail
        )

    def _hint(self, rule: LayerRule | Exclusion, layers: Sequence[Layer]) -> str:
        """Return what a pattern nearly matches, in brackets; of the first few patterns only."""
        self._hints -= 1
        return rule.selector.nearest(layers) if self._hints >= 0 else ""

    def _without_baseline(
        self, known: Known | None, differences: Sequence[str]
    ) -> Iterator[Finding]:
        """Yield why limits on growth cannot be judged, if there is nothing to compare with."""
        if differences:
            detail = "; ".join(differences)
            yield from self._case("not_comparable", "on_missing_baseline", detail=detail)
        rules = self.entry.layers
        of_layers = (limit for rule in rules for limit in (*rule.each, *rule.total))
        if known is None and any(map(_is_relative, (*self.entry.limits, *of_layers))):
            missing = None
            if self.baseline is None:
                missing = "the budget names no baseline"
            elif not self.baseline.is_there:
                missing = f"there is no {self.baseline.origin}. dscost baseline save writes one"
            yield from self._case("missing_baseline", "on_missing_baseline", detail=missing)

    # -- limits on the whole

    def _limits(
        self, report: Report, rest: Rest, before: Known | None, past: Past | None
    ) -> Iterator[Finding | Passed]:
        for limit in self.entry.limits:
            if limit.level == "ignore":
                continue
            value = model_figure(report, rest.cost, limit.metric)
            old = None if before is None else before.figure(limit.metric)
            is_compared = before is not None and limit.bound in CHANGES
            if is_compared and old is None and value is not None:
                metric = limit.metric
                yield from self._case(
                    "missing_baseline", "on_missing_baseline", limit, metric=metric
                )
                continue
            why = partial(contributions, rest.layers, limit, past, rest.layers)
            yield from self._held(limit, value, old, why=why)

    def _held(
        self,
        limit: Limit,
        value: Fraction | None,
        before: Fraction | None,
        layer: str | None = None,
        why: Callable[[], Iterable[Contribution]] = tuple,
        note: str | None = None,
    ) -> Iterator[Finding | Passed]:
        """Yield whether a limit holds.

        Args:
            limit: The limit.
            value: What was found.
            before: In the baseline; `None` where it has none, which is said once for all limits.
            layer: The layer, or the pattern of a group of layers; `None` for the whole model.
            why: Returns the layers that explain it where the limit is broken.
            note: What else there is to say where it holds.
        """
        metric, tolerance = limit.metric, limit.tolerance
        if value is None:
            detail = self.subject.error if FIGURES[metric].is_measured else None
            about = {"metric": metric, "layer": layer, "detail": detail}
            yield self._finding("unknown_figure", limit.level, limit, **about)
            return
        if limit.bound in CHANGES and before is None:
            return
        kind, most = _boundary(limit, before or Fraction(0))
        is_upper = limit.bound in ("max", "max_increase")
        fails = value > most if is_upper else value < most
        if FIGURES[metric].kind in WHOLE:
            most = Fraction(floor(most) if is_upper else ceil(most))
        if not fails:
            name = self.entry.name
            yield Passed(name, metric, limit.bound, value, most, layer, note, tolerance)
            return
        yield self._finding(
            kind,
            limit.level,
            limit,
            metric=metric,
            layer=layer,
            value=value,
            limit=most,
            before=before,
            detail=limit.message,
            contributions=tuple(why()),
            tolerance=tolerance,
        )

    # -- rules on layers

    def _rules(
        self, layers: Sequence[Layer], past: Past | None, somewhere: Collection[tuple[int, int]]
    ) -> Iterator[Finding | Passed]:
        rules = self.entry.layers
        each = last_words(rules, [[layer.name for layer in meant] for meant in self._meant])
        gone = last_words(rules, [past.gone(rule.selector) if past else [] for rule in rules])
        for rule, meant, of_each, of_gone in zip(rules, self._meant, each, gone, strict=True):
            yield from self._rule(rule, Meant(meant, of_each, of_gone, layers), past, somewhere)

    def _rule(
        self,
        rule: LayerRule,
        about: Meant,
        past: Past | None,
        somewhere: Collection[tuple[int, int]],
    ) -> Iterator[Finding | Passed]:
        meant, layers, selector = about.layers, about.every_layer, rule.selector
        if past is not None and past.members(selector) is None:
            past = None
            if any(map(_is_relative, (*rule.each, *rule.total))):
                about_it = {"layer": selector.text, "detail": NO_KINDS}
                yield from self._case("not_comparable", "on_missing_baseline", rule, **about_it)
        note = selector.leaves_out(layers)
        if not meant:
            yield from self._nothing_meant(rule, layers, note, somewhere)
        yield from self._each(rule, about, past)
        for limit in rule.total:
            if limit.level == "ignore" or (not meant and limit.bound != "max_decrease"):
                continue
            value = cost_figure(summed(layer.cost for layer in meant), limit.metric)
            was = None if past is None else past.figures(limit.metric, selector)
            old = None if was is None else sum(was.values(), start=Fraction(0))
            why = partial(contributions, meant, limit, past, layers, selector)
            yield from self._held(limit, value, old, selector.text, why, note)

    def _each(self, rule: LayerRule, about: Meant, past: Past | None) -> Iterator[Finding | Passed]:
        limits = [limit for limit in rule.each if limit.level != "ignore"]
        open_ones = [limit for limit in limits if about.each[limit.metric, limit.bound]]
        for layer in about.layers if open_ones else ():
            for limit in open_ones:
                if layer.name in about.each[limit.metric, limit.bound]:
                    old = past.figure(layer.name, limit.metric, rule.selector) if past else None
                    value = cost_figure(layer.cost, limit.metric)
                    yield from self._held(limit, value, old, layer.name)
        # what is gone is the most that a layer can shrink
        for limit in limits if past else ():
            if past and limit.bound == "max_decrease":
                for name in sorted(about.gone[limit.metric, limit.bound]):
                    old = past.known.layer_figure(name, limit.metric, rule.selector)
                    yield from self._held(limit, Fraction(0), old, name)

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
        hint = self._hint(rule, layers) if rule.selector.by == "name" else ""
        for limit in rule.total:
            if limit.level != "ignore" and limit.bound not in CHANGES:
                note = f"no layer matches{hint}"
                yield from self._held(limit, Fraction(0), None, rule.selector.text, note=note)

    def _improvements(self, report: Report, cost: Cost, before: Known | None) -> Iterator[Finding]:
        if before is None:
            return
        for metric in STATIC:
            value, old = model_figure(report, cost, metric), before.figure(metric)
            if FIGURES[metric].is_noted and value is not None and old is not None and value < old:
                about: dict[str, Any] = {"metric": metric, "value": value, "before": old}
                yield from self._case("improvement", "on_improvement", **about)

    # -- findings

    def _case(
        self, kind: str, policy: str, place: _Place | None = None, **about: Any
    ) -> Iterator[Finding]:
        """Yield a finding, unless the policy is to ignore such."""
        level = self.policy[policy]
        if level != "ignore":
            yield self._finding(kind, level, place, **about)

    def _finding(self, kind: str, level: str, place: _Place | None = None, **about: Any) -> Finding:
        place = place or self.entry
        return Finding(kind, level, self.entry.name, place.line, place.column, **about)


def _is_relative(limit: Limit) -> bool:
    """Whether a limit is judged by the baseline."""
    return limit.bound in CHANGES and limit.level != "ignore"


def _boundary(limit: Limit, before: Fraction) -> tuple[str, Fraction]:
    """Return how breaking a bound is called, and what would just pass.

    Args:
        limit: With the bound.
        before: In the baseline, where the bound is on a change.
    """
    if limit.bound == "max":
        return "over_max", limit.value * (1 + limit.tolerance)
    if limit.bound == "min":
        return "under_min", limit.value / (1 + limit.tolerance)
    room = before * limit.value if limit.relative else limit.value
    # of whole numbers, those below are at most one less; of fractions none is the largest, so that
    # itself passes
    is_whole = FIGURES[limit.metric].kind != "factor"
    room = max(room, Fraction(ceil(limit.ignore_below) - 1) if is_whole else limit.ignore_below)
    if limit.bound == "max_increase":
        return "new_cost" if before == 0 else "grew", before + room
    return "shrank", before - room
