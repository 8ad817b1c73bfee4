"""Budgets: what models cost now, in shares of their limits, beside what they did cost."""

from collections.abc import Iterator, Mapping, Sequence
from fractions import Fraction
from typing import NamedTuple

from dscost.budgets.findings import CheckResult, Finding, Passed
from dscost.errors import some_of
from dscost.notation.units import counted, format_percent
from dscost.pages.finding_words import change, glanced
from dscost.pages.layer_table import ROOT
from dscost.pages.overruns import Together, is_least, margin, together, use
from dscost.pages.page import View
from dscost.pages.pictures.picture import Axis, Bar, Bars, Interval, NotDrawn
from dscost.pages.pictures.short import short
from dscost.pages.ratio_words import ratio_texts
from dscost.pages.verdict_data import level_of
from dscost.pages.verdict_lines import mark_of
from dscost.pages.verdicts import summary
from dscost.reports.figures import figure_of

MOST_BARS = 30
MOST_SHARE = 3.0
"""Of its limit: a figure that is further over it would leave no room for the others."""
_MARKS = {"broken": "", "undecided": "? ", "held": ""}
_MEANINGS = {
    "✗": "beyond its limit",
    "!": "beyond its limit, a warning",
    "?": "not decided",
}
_ORDER = ("broken", "undecided", "held")


class _Held(NamedTuple):
    """A figure against the limit of it that the table has the margin of.

    Args:
        one: The limit, broken or not.
        outcome: `broken`, `undecided` or `held`.
        mark: What stands before its name.
        value: The figure now.
        limit: What would just pass.
        before: The figure in the baseline, where it is known.
    """

    one: Finding | Passed
    outcome: str
    mark: str
    value: Fraction
    limit: Fraction
    before: Fraction | None

    @property
    def is_warning(self) -> bool:
        """Whether it is broken, and that is a warning."""
        return self.mark.strip() == "!"

    @property
    def is_least(self) -> bool:
        """Whether the limit is from below."""
        return is_least(self.one)

    def named(self, *, with_entry: bool = True) -> str:
        """Return what it is of: the model, unless it is clear, the layer and the metric."""
        metric = figure_of(self.one.metric or "").in_words
        layer = None if self.one.layer is None else self.one.layer or ROOT
        of = [self.one.entry if with_entry or layer is None else None, layer, metric]
        least = ", least" if self.is_least else ""
        return f"{': '.join(part for part in of if part is not None)}{least}"


def growth_picture(result: CheckResult, name: str = "growth") -> Bars | NotDrawn:
    """Return each figure that is limited, in shares of its limit: those that break it first."""
    held = sorted(_figures(result), key=lambda one: (_ORDER.index(one.outcome), -_pressing(one)))
    if not held:
        if any(subject.report is None for subject in result.subjects):
            return NotDrawn(name, "no model could be judged: dscost check says why")
        return NotDrawn(name, "no figure is limited: give the budget limits")
    shown, others = held[:MOST_BARS], held[MOST_BARS:]
    has_baseline = any(one.before is not None for one in shown)
    with_entry = len({one.one.entry for one in shown}) > 1
    return Bars(
        name=name,
        title=f"{short(str(result.path))}: figures in shares of their limits",
        told=_told(result, held),
        axis=Axis("share of the limit", "share", includes=(1.0,)),
        series=["now", "baseline"] if has_baseline else ["now"],
        bars=[_bar(one, has_baseline=has_baseline, with_entry=with_entry) for one in shown],
        limits=[1.0 if one.limit else None for one in shown],
        notes=list(_notes(result, shown, others)),
    )


def _figures(result: CheckResult) -> Iterator[_Held]:
    """Yield every figure of a model or a layer that has a limit, with that which says most."""
    found: list[Finding | Passed] = [
        one for one in result.findings if one.is_violation or one.kind == "undecided"
    ]
    found = [one for one in (*found, *result.passed) if _has_both(one)]
    for group in together(found):
        outcome = min(map(_outcome, group.limits), key=_ORDER.index)
        alike = tuple(one for one in group.limits if _outcome(one) == outcome)
        worst = Together(alike).first
        assert worst.value is not None
        assert worst.limit is not None
        level = level_of(result, worst) if isinstance(worst, Finding) else "ok"
        mark = f"{mark_of(level, View())} " if outcome == "broken" else _MARKS[outcome]
        yield _Held(worst, outcome, mark, worst.value, worst.limit, group.before)


def _has_both(one: Finding | Passed) -> bool:
    return one.metric is not None and one.value is not None and one.limit is not None


def _outcome(one: Finding | Passed) -> str:
    if isinstance(one, Passed):
        return "held"
    return "broken" if one.is_violation else "undecided"


def _pressing(one: _Held) -> Fraction:
    return use(one.one)


# -- bars


def _bar(one: _Held, *, has_baseline: bool, with_entry: bool) -> Bar:
    values = [_share(one, one.value)]
    texts = [_text(one)]
    if has_baseline:
        values.append(None if one.before is None else _share(one, one.before))
        texts.append("–" if one.before is None else _glanced(one)[one.before])
    return Bar(
        f"{one.mark}{one.named(with_entry=with_entry)}",
        values,
        _tells(one),
        intervals=[_interval(one)],
        texts=texts,
        is_bad=one.outcome == "broken" and not one.is_warning,
        is_warned=one.is_warning,
        is_endless=_is_endless(one),
    )


def _share(one: _Held, figure: Fraction) -> float | None:
    """Return a figure over its limit, as far as there is room; there is no share of no limit."""
    return float(min(figure / one.limit, Fraction(MOST_SHARE))) if one.limit > 0 else None


def _is_endless(one: _Held) -> bool:
    """Whether there is no share that a figure has of its limit, as of a ban, and it is broken."""
    return one.outcome == "broken" and one.limit <= 0 and not one.is_least


def _interval(one: _Held) -> Interval:
    measured = one.one.measured
    if measured is None or one.limit <= 0:
        return None
    low, high = (min(float(end / one.limit), MOST_SHARE) for end in (measured.low, measured.high))
    return low, high


def _glanced(one: _Held) -> Mapping[Fraction, str]:
    """Return the figures of a bar as short as they are told apart."""
    figures = [one.value, one.limit, *(() if one.before is None else (one.before,))]
    return glanced(one.one.metric or "", figures)


def _text(one: _Held) -> str:
    """Return the figure, its limit, and by how much it is beyond that."""
    texts = _glanced(one)
    now, limit = texts[one.value], texts[one.limit]
    if one.one.measured is not None:
        now, limit = ratio_texts(one.one.measured, one.limit)
    if one.outcome != "broken":
        return f"{now} of {limit}"
    return f"{now} of {limit}, {margin(one.one)}"


def _tells(one: _Held) -> str:
    outcomes = {"broken": "breaks its limit", "undecided": "not decided", "held": "holds"}
    grown = "" if one.before is None else f", {change(one.value, one.before)} from the baseline"
    return f"{short(one.named())}: {_text(one)}{grown}: {outcomes[one.outcome]}."


# -- sentences


def _told(result: CheckResult, held: Sequence[_Held]) -> str:
    broken = [one for one in held if one.outcome == "broken"]
    first = f" The furthest: {_tells(broken[0])}" if broken else f" The closest: {_tells(held[0])}"
    return f"{summary(result)}{first}"


def _notes(result: CheckResult, shown: Sequence[_Held], others: Sequence[_Held]) -> Iterator[str]:
    failed = [one.entry for one in result.findings if one.level == "fail"]
    names = [short(name) for name in dict.fromkeys(failed) if name]
    if names:
        yield f"Could not be judged: {some_of(names, 3)}. dscost check says why."
    marks = {one.mark.strip() for one in shown}
    meant = [f"{mark} = {meaning}" for mark, meaning in _MEANINGS.items() if mark in marks]
    if meant:
        yield f"{', '.join(meant)}."
    if any(_is_endless(one) for one in shown):
        yield "A bar that is broken off is of a limit of 0, and beyond any share of it."
    if any(one.limit > 0 and one.value / one.limit > MOST_SHARE for one in shown):
        yield f"Bars end at {format_percent(MOST_SHARE)} of the limit."
    if any(one.is_least for one in shown):
        yield "least = a figure that is to be at least 100 % of its limit."
    for outcome, what in (
        ("broken", "beyond their limits"),
        ("undecided", "not decided"),
        ("held", "within their limits"),
    ):
        number = sum(one.outcome == outcome for one in others)
        if number:
            yield f"{counted(number, 'figure')} more: {what}."
