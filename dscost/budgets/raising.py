"""Limits that were meant to be broken, raised in the text of a budget; all else stays as it is."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from fractions import Fraction
from functools import partial
from typing import NamedTuple

from dscost.budgets.accepting import Accepting
from dscost.budgets.findings import Finding, Subject
from dscost.budgets.judging import judge
from dscost.budgets.reading import parse_budget
from dscost.budgets.records import Budget, Entry, Limit
from dscost.errors import FileProblems, InputError, Place
from dscost.notation.marked_yaml import rewritten
from dscost.notation.quantities import rewritten_quantity
from dscost.reports.figures import figure_of

ABSOLUTE = ("max", "min")
"""The bounds that do not follow the baseline."""


class RaisedLimit(NamedTuple):
    """A limit that was written anew.

    Args:
        line: Where its figure stands in the budget.
        column: Where in that line.
        metric: Which figure is limited.
        bound: `max`, or `min`, which was lowered.
        layer: The pattern of the layers that it is on; `None` for the whole model.
        before: What was written.
        after: What is written now.
        entries: The models that needed it.
        shared_by: The other models that it holds for.
    """

    line: int
    column: int
    metric: str
    bound: str
    layer: str | None
    before: str
    after: str
    entries: tuple[str, ...]
    shared_by: tuple[str, ...]


class _Broken(NamedTuple):
    """A limit that accepted models break, with what of each would just pass."""

    limit: Limit
    layer: str | None
    needed: Mapping[str, Fraction]

    @property
    def value(self) -> Fraction:
        """What passes for all of them."""
        furthest = max if self.limit.bound == "max" else min
        return furthest(self.needed.values())


def raised_limits(
    budget: Budget,
    text: str,
    subjects: Sequence[Subject],
    accepting: Accepting,
    staying: Collection[str] = (),
) -> tuple[str, tuple[RaisedLimit, ...]]:
    """Return the text of a budget whose absolute limits the accepted models keep, and what changed.

    Every limit keeps its notation as far as it can say the figure, and is no further than it has to
    be in that: at least three digits. Comments and layout stay, character by character.

    Args:
        budget: What the text says.
        text: As it is.
        subjects: The models, counted.
        accepting: Which of them may cost more.
        staying: Entries that are not taken over whole, and so keep their limits.

    Raises:
        InputError: A limit cannot be raised where it stands; nothing of the text is changed then.
    """
    findings = [
        one
        for one in judge(budget, subjects, None).findings
        if one.bound in ABSOLUTE
        and one.metric
        and one.entry not in staying
        and accepting.takes(one.entry, one.metric)
    ]
    broken = _broken(subjects, findings)
    if not broken:
        return text, ()
    written: dict[Place, tuple[str, str]] = {}
    anew = {place: partial(_noted, written, place, one) for place, one in broken.items()}
    try:
        after = rewritten(text, anew)
        again = parse_budget(after, budget.path)
    except FileProblems as error:
        raise InputError(
            f"{budget.path}: its limits cannot be raised: edit them by hand"
        ) from error
    _check(findings, again, subjects)
    return after, tuple(
        RaisedLimit(
            *place,
            one.limit.metric,
            one.limit.bound,
            one.layer,
            *written[place],
            entries=tuple(one.needed),
            shared_by=_others(budget, place, one.needed),
        )
        for place, one in sorted(broken.items())
    )


def _broken(subjects: Sequence[Subject], findings: Sequence[Finding]) -> dict[Place, _Broken]:
    """Return the limits to raise, by where their figures stand: several models may share one."""
    entries = {subject.entry.name: subject.entry for subject in subjects}
    found: dict[Place, _Broken] = {}
    for one in findings:
        for limit, layer in limits_of(entries[one.entry]):
            is_meant = limit.place == (one.line, one.column) and limit.bound == one.bound
            if is_meant and limit.metric == one.metric and one.value is not None:
                known = found.get(limit.written_at, _Broken(limit, layer, {}))
                pick = max if limit.bound == "max" else min
                value = pick(one.value, known.needed.get(one.entry, one.value))
                needed = {**known.needed, one.entry: value}
                found[limit.written_at] = known._replace(needed=needed)
    return found


def limits_of(entry: Entry) -> Iterator[tuple[Limit, str | None]]:
    """Yield all limits of an entry, each with the pattern of the layers that it is on."""
    yield from ((limit, None) for limit in entry.limits)
    for rule in entry.layers:
        yield from ((limit, rule.selector.text) for limit in rule.limits)


def _noted(written: dict[Place, tuple[str, str]], place: Place, one: _Broken, text: str) -> str:
    """Return the figure of a limit written anew, and keep both."""
    kind, is_up = figure_of(one.limit.metric).kind, one.limit.bound == "max"
    after = rewritten_quantity(text, one.value, kind, is_up=is_up)
    written[place] = text.strip(), after.strip()
    return after


def _check(broken: Sequence[Finding], budget: Budget, subjects: Sequence[Subject]) -> None:
    """Refuse a budget in which one of the limits is broken still."""
    entries = {entry.name: entry for entry in budget.entries}
    judged = [one._replace(entry=entries[one.entry.name]) for one in subjects]
    left = {_identity(one) for one in judge(budget, judged, None).findings}
    for one in broken:
        if _identity(one) in left:
            place = f"{budget.path}:{one.line}:{one.column}"
            raise InputError(f"{place}: this limit cannot be raised here: edit it by hand")


def _identity(one: Finding) -> tuple[str | None, ...]:
    return one.entry, one.kind, one.metric, one.layer


def _others(budget: Budget, place: Place, needing: Collection[str]) -> tuple[str, ...]:
    """Return the other models that a limit holds for."""
    return tuple(
        entry.name
        for entry in budget.entries
        if entry.name not in needing
        and any(limit.written_at == place for limit, _ in limits_of(entry))
    )
