"""A budget, what was counted, and what was known before → findings. Exact: no rounding."""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from fractions import Fraction
from functools import partial
from math import ceil, floor
from typing import Any

from dscost.budgets.baseline import Baseline, fingerprint_of, known_of
from dscost.budgets.excluding import Rest, rest_of, why_inexact
from dscost.budgets.findings import Contribution, Finding, Judgement, Passed, Ratio, Subject
from dscost.budgets.hints import deciding, why_not_counted
from dscost.budgets.matching import Bounds, last_words, meant_by
from dscost.budgets.metrics import STATIC, layer_figure, sum_of_layers
from dscost.budgets.past import Past, contributions
from dscost.budgets.ratio_judging import UNDECIDED, grown_from, passing, verdict_on
from dscost.budgets.records import CHANGES, WHOLE, Budget, Entry, Exclusion, LayerRule, Limit
from dscost.budgets.selectors import Selector
from dscost.errors import Place
from dscost.reports.figures import figure_of
from dscost.reports.records import Layer

MOST_HINTS = 5
"""Patterns of an entry that match nothing for which a near one is looked for, among all names of
its layers."""

OF_DOUBTS: Mapping[str, tuple[str, str]] = {
    "unseen": ("unseen_work", "on_unseen_work"),
    "value_dependent": ("value_dependent", "on_value_dependent"),
    "unused": ("unused_weights", "on_unused_weights"),
}
"""The finding and the policy of each kind of doubt that a report may have."""

NOT_KEPT = (
    "{} are not in the baseline, so their growth cannot be judged: dscost baseline update adds them"
)
OTHER_RULES = "{} were counted by other rules"
NO_KINDS = "it does not say of what type its layers were; dscost baseline update adds that"

_Spot = Entry | Limit | LayerRule | Exclusion
"""What has a place in the budget, which a finding names."""
_Said = Iterator[Finding | Passed]


def judge(budget: Budget, subjects: Sequence[Subject], baseline: Baseline | None) -> Judgement:
    """Return what the budget says of its entries, or of some of them, once they are counted."""
    every_layer = [layer for one in subjects if one.report for layer in one.report.layers]
    judges = [_Judge(budget, subject, baseline, every_layer) for subject in subjects]
    somewhere = {place for one in judges for place in one.matched_rules()}
    said = [one for each in judges for one in each.judged(somewhere)]
    level = budget.policy["on_stale_baseline"]
    names = {entry.name for entry in budget.entries}
    for name in baseline.models if baseline and level != "ignore" else ():
        if name not in names:
            said.append(Finding("stale_baseline", level, name, 1, 1))
    findings = tuple(one for one in said if isinstance(one, Finding))
    return Judgement(findings, tuple(one for one in said if isinstance(one, Passed)))


class _Judge:
    """Judges one entry."""

    def __init__(
        self,
        budget: Budget,
        subject: Subject,
        baseline: Baseline | None,
        every_layer: Sequence[Layer],
    ) -> None:
        self._entry, self._subject, self._baseline = subject.entry, subject, baseline
        self._policy, self._every_layer = budget.policy_of(subject.entry), every_layer
        self._rest = None if subject.report is None else rest_of(subject.entry, subject.report)
        self._layers = self._rest.layers if self._rest else ()
        self._meant = meant_by(self._entry.layers, self._layers)
        self._past: Past | None = None
        self._other_rules: Collection[str] = ()
        self._hints = MOST_HINTS

    def matched_rules(self) -> Iterator[Place]:
        """Yield the places of the rules that some layer matches."""
        for rule, meant in zip(self._entry.layers, self._meant, strict=True):
            if meant:
                yield rule.place

    def judged(self, somewhere: Collection[Place]) -> _Said:
        """Yield what there is to say.

        `somewhere` are the places of rules that some layer matches, be it of another choice.
        """
        rest = self._rest
        if rest is None:
            detail = self._subject.why_unloadable
            yield from self._case("unloadable_model", "on_unloadable_model", detail=detail)
            return
        yield from self._exclusions(rest)
        if rest.unknown:
            detail = f"{', '.join(rest.unknown)}{deciding(rest.report.warnings)}"
            yield from self._case("unknown_cost", "on_unknown_cost", detail=detail)
        for doubt in rest.report.doubts:
            kind, policy = OF_DOUBTS.get(doubt.kind, ("other_doubt", "on_value_dependent"))
            yield from self._case(kind, policy, detail=doubt.text)
        yield from self._compared(rest)
        shrunk = set()
        for one in self._limits(rest):
            if isinstance(one, Finding) and one.kind in ("shrank", "under_min"):
                shrunk.add(one.metric)
            yield one
        yield from self._rules(somewhere)
        for improvement in self._improvements(rest):
            if improvement.metric not in shrunk:  # else it is no news, and not welcome
                yield improvement

    # -- what cannot be judged

    def _exclusions(self, rest: Rest) -> Iterator[Finding]:
        layers = rest.report.layers
        for one in self._entry.exclude:
            if not any(map(one.selector.means_all_of, layers)):
                yield from self._unmatched(one, layers)
        reason = why_inexact(self._entry, rest.report)
        if reason:
            yield self._finding("inexact_exclusion", "note", self._entry.exclude[0], detail=reason)

    def _unmatched(
        self, rule: LayerRule | Exclusion, layers: Sequence[Layer], detail: str | None = None
    ) -> Iterator[Finding]:
        case = "on_unmatched_rule"
        if self._policy[case] == "ignore":
            return
        detail = detail or rule.selector.leaves_out(layers)
        detail = detail or self._hint(rule, layers).strip(" ()") or None
        about = {"layer": rule.selector.text, "detail": detail}
        yield from self._case("unmatched_rule", case, rule, **about)

    def _hint(self, rule: LayerRule | Exclusion, layers: Sequence[Layer]) -> str:
        """Return what a pattern nearly matches, in brackets; of the first few patterns only."""
        self._hints -= 1
        return rule.selector.nearest(layers) if self._hints >= 0 else ""

    def _compared(self, rest: Rest) -> Iterator[Finding]:
        """Look up what was known; yield why limits on growth cannot be judged, where it is not."""
        known = self._baseline.models.get(self._entry.name) if self._baseline else None
        if known is not None:
            differences = known.differs_from(fingerprint_of(self._entry, rest.report))
            if not differences:
                now = known_of(self._entry, rest.report)
                self._past = Past(known.comparable(now.rules), now, rest.layers)
                self._other_rules = known.rules.keys() - self._past.known.figures.keys()
                return
            detail = "; ".join(differences)
            yield from self._case("not_comparable", "on_missing_baseline", detail=detail)
        elif _are_relative(
            *self._entry.limits, *(one for rule in self._entry.layers for one in rule.limits)
        ):
            missing = _missing(self._baseline)
            yield from self._case("missing_baseline", "on_missing_baseline", detail=missing)

    # -- limits on the whole

    def _limits(self, rest: Rest) -> _Said:
        for limit in self._entry.limits:
            if limit.pairing:
                yield from self._ratio(limit)
                continue
            value, metric = rest.figure(limit.metric), limit.metric
            old = self._past.known.figure(metric) if self._past else None
            if self._past and _are_relative(limit) and old is None and value is not None:
                yield from self._unknown_before(limit)
            else:
                yield from self._held(limit, value, old, why=self._why(limit, rest.layers))

    def _unknown_before(self, limit: Limit) -> Iterator[Finding]:
        """Yield that a baseline which has the model does not have a figure to compare with."""
        kind, about = "missing_baseline", {"metric": limit.metric}
        if limit.metric in self._other_rules:
            kind = "not_comparable"
            about["detail"] = OTHER_RULES.format(figure_of(limit.metric).in_words)
        elif limit.convention is not None:
            about["detail"] = NOT_KEPT.format(figure_of(limit.metric).in_words)
        yield from self._case(kind, "on_missing_baseline", limit, **about)

    def _ratio(self, limit: Limit) -> _Said:
        """Yield what a limit on a ratio of latencies comes to."""
        if limit.level == "ignore" or limit.pairing is None:
            return
        found = self._subject.ratios.get((limit.metric, limit.pairing))
        about: dict[str, Any] = {"metric": limit.metric}
        if not isinstance(found, Ratio):
            about["detail"] = found and found.reason
            if found and found.is_missing:
                yield from self._case("missing_baseline", "on_missing_baseline", limit, **about)
            else:
                # broken it is only where the whole interval is beyond: here there is none
                level = "fail" if limit.level == "error" else limit.level
                yield self._finding("unknown_figure", level, limit, **about)
            return
        about |= {"value": found.value, "limit": passing(limit), "before": grown_from(limit)}
        about["measured"] = found
        kind = verdict_on(limit, found)
        if kind is None:
            yield Passed(self._entry.name, bound=limit.bound, **about)
        elif kind == UNDECIDED:
            yield self._finding(kind, "note", limit, **about)
        else:
            yield self._finding(kind, limit.level, limit, detail=limit.message, **about)

    def _why(
        self, limit: Limit, meant: Sequence[Layer], selector: Selector | None = None
    ) -> Callable[[], Iterable[Contribution]]:
        return partial(contributions, meant, limit, self._past, self._layers, selector)

    def _held(
        self,
        limit: Limit,
        value: Fraction | None,
        before: Fraction | None,
        layer: str | None = None,
        why: Callable[[], Iterable[Contribution]] = tuple,
        note: str | None = None,
    ) -> _Said:
        """Yield whether a limit holds.

        `before` is the figure in the baseline; where it has none, that is said once for all limits.
        `layer` may be the pattern of a group of layers; none is the whole model. `why` returns the
        layers that explain why a limit is broken, `note` is said where it holds.
        """
        if limit.level == "ignore":
            return
        about: dict[str, Any] = {"metric": limit.metric, "layer": layer}
        if value is None:
            detail = self._subject.error if figure_of(limit.metric).is_measured else None
            if limit.convention is not None and self._rest is not None:
                detail = why_not_counted(self._entry, self._rest.report, limit.metric)
            yield self._finding("unknown_figure", limit.level, limit, **about, detail=detail)
            return
        if limit.bound in CHANGES and before is None:
            return
        kind, most = _boundary(limit, before or Fraction(0))
        is_upper = limit.bound in ("max", "max_increase")
        fails = value > most if is_upper else value < most
        if figure_of(limit.metric).kind in WHOLE:
            most = Fraction(floor(most) if is_upper else ceil(most))
        about |= {"value": value, "limit": most, "tolerance": limit.tolerance, "before": before}
        if not fails:
            yield Passed(self._entry.name, bound=limit.bound, note=note, **about)
            return
        about |= {"detail": limit.message, "contributions": tuple(why())}
        yield self._finding(kind, limit.level, limit, **about)

    # -- rules on layers

    def _rules(self, somewhere: Collection[Place]) -> _Said:
        rules, past = self._entry.layers, self._past
        each = last_words(rules, [[layer.name for layer in meant] for meant in self._meant])
        gone = last_words(rules, [past.gone(rule.selector) if past else [] for rule in rules])
        for rule, meant, of_each, of_gone in zip(rules, self._meant, each, gone, strict=True):
            compared = past
            if past and past.members(rule.selector) is None:
                compared = None
                if _are_relative(*rule.limits):
                    about = {"layer": rule.selector.text, "detail": NO_KINDS}
                    yield from self._case("not_comparable", "on_missing_baseline", rule, **about)
            note = rule.selector.leaves_out(self._layers)
            if not meant:
                yield from self._nothing_meant(rule, note, somewhere)
            for limit in rule.limits if compared else ():
                if _are_relative(limit) and not (past and past.known.has_of_layers(limit.metric)):
                    yield from self._unknown_before(limit)
            yield from self._each(rule, meant, of_each, compared)
            yield from self._gone(rule, of_gone, compared)
            yield from self._total(rule, meant, note, compared)

    def _each(
        self, rule: LayerRule, meant: Sequence[Layer], judged: Bounds, past: Past | None
    ) -> _Said:
        for layer in meant:
            for limit in rule.each:
                if layer.name in judged[limit.metric, limit.bound]:
                    old = past.figure(layer.name, limit.metric, rule.selector) if past else None
                    value = layer_figure(layer, limit.metric)
                    yield from self._held(limit, value, old, layer.name)

    def _gone(self, rule: LayerRule, judged: Bounds, past: Past | None) -> _Said:
        """Yield whether layers may be gone, which is the most that one can shrink."""
        for limit in rule.each if past else ():
            is_known = past is not None and past.known.has_of_layers(limit.metric)
            if past and is_known and limit.bound == "max_decrease":
                for name in sorted(judged[limit.metric, limit.bound]):
                    old = past.known.layer_figure(name, limit.metric, rule.selector)
                    yield from self._held(limit, Fraction(0), old, name)

    def _total(
        self, rule: LayerRule, meant: Sequence[Layer], note: str | None, past: Past | None
    ) -> _Said:
        for limit in rule.total:
            if meant or limit.bound == "max_decrease":
                value = sum_of_layers(meant, limit.metric)
                was = past.figures(limit.metric, rule.selector) if past else None
                old = None if was is None else sum(was.values(), start=Fraction(0))
                why = self._why(limit, meant, rule.selector)
                yield from self._held(limit, value, old, rule.selector.text, why, note)

    def _nothing_meant(
        self, rule: LayerRule, note: str | None, somewhere: Collection[Place]
    ) -> _Said:
        """Tell of a rule without layers, or hold it where that is meant.

        A slip of the pen never is, nor a ban on a class of torch where convolutions of other
        classes fit it.
        """
        wrong = rule.selector.unknown_name(self._every_layer) or note
        is_meant = rule.allow_empty or (rule.is_ban and rule.place in somewhere)
        if wrong or not is_meant:
            found = list(self._unmatched(rule, self._layers, wrong))
            yield from found
            if found or not rule.is_ban:
                return
        hint = self._hint(rule, self._layers) if rule.selector.by == "name" else ""
        for limit in rule.total:
            if limit.bound not in CHANGES:
                note = f"no layer matches{hint}"
                yield from self._held(limit, Fraction(0), None, rule.selector.text, note=note)

    def _improvements(self, rest: Rest) -> Iterator[Finding]:
        past = self._past
        for metric in (*STATIC, *self._entry.conventions) if past else ():
            value, old = rest.figure(metric), past.known.figure(metric) if past else None
            if figure_of(metric).is_noted and value is not None and old is not None and value < old:
                about: dict[str, Any] = {"metric": metric, "value": value, "before": old}
                yield from self._case("improvement", "on_improvement", **about)

    # -- findings

    def _case(
        self, kind: str, policy: str, place: _Spot | None = None, **about: Any
    ) -> Iterator[Finding]:
        """Yield a finding, unless the policy is to ignore such."""
        level = self._policy[policy]
        if level != "ignore":
            yield self._finding(kind, level, place, **about)

    def _finding(self, kind: str, level: str, place: _Spot | None = None, **about: Any) -> Finding:
        return Finding(kind, level, self._entry.name, *(place or self._entry).place, **about)


def _missing(baseline: Baseline | None) -> str | None:
    """Return why no model can be compared with a baseline; `None` where there is one."""
    so = "so growth cannot be judged"
    if baseline is None:
        return f"the budget names no baseline, {so}"
    if baseline.is_there:
        return None
    if baseline.commit is not None:
        return (
            f"{baseline.commit} has no {baseline.origin.removeprefix(f'{baseline.commit}:')}, {so}"
        )
    return f"no baseline yet, {so}: dscost baseline save writes {baseline.origin}"


def _are_relative(*limits: Limit) -> bool:
    """Whether one of some limits is judged by the baseline."""
    return any(one.follows_baseline and one.level != "ignore" for one in limits)


def _boundary(limit: Limit, before: Fraction) -> tuple[str, Fraction]:
    """Return how breaking a bound is called, and what would just pass."""
    if limit.bound == "max":
        return "over_max", limit.value * (1 + limit.tolerance)
    if limit.bound == "min":
        return "under_min", limit.value / (1 + limit.tolerance)
    room = before * limit.value if limit.relative else limit.value
    # of whole numbers, those below are at most one less; of fractions none is the largest, so that
    # itself passes
    is_whole = figure_of(limit.metric).kind != "factor"
    room = max(room, Fraction(ceil(limit.ignore_below) - 1) if is_whole else limit.ignore_below)
    if limit.bound == "max_increase":
        return "new_cost" if before == 0 else "grew", before + room
    return "shrank", before - room
