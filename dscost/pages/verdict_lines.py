"""What a budget says in lines: why models are over it and the ways out, what else, what holds."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from textwrap import wrap

from dscost.budgets.findings import CheckResult, Finding
from dscost.budgets.records import Entry
from dscost.encodable import encodable
from dscost.errors import some_of
from dscost.notation.units import counted
from dscost.pages.finding_words import change, finding_sentence, glanced, reasons
from dscost.pages.layer_table import ROOT
from dscost.pages.overruns import Explained, explained, together
from dscost.pages.page import Labelled, Tone, Toned, Typed, View
from dscost.pages.verdict_data import level_of
from dscost.reports.figures import figure_of

MARKS = {"fail": "could not judge", "error": "over budget", "warn": "warning", "note": "note"}
"""What a table calls the levels; an error other than a broken limit is called “error”."""


def word_of(result: CheckResult, finding: Finding) -> str:
    """Return what a table calls the level of a finding."""
    level = level_of(result, finding)
    return "error" if level == "error" and not finding.is_violation else MARKS[level]


_STATUS: Mapping[str, tuple[str, str, Tone]] = {
    "fail": ("✗", "❌", "bad"),
    "error": ("✗", "❌", "bad"),
    "warn": ("!", "⚠", "unclear"),
    "ok": ("✓", "✅", "good"),
}
"""By level: what marks it, what does so in a comment, and its tone."""


def mark_of(level: str, view: View) -> str:
    """Return what marks a level, `ok` among them."""
    return _STATUS[level][1 if view.posted else 0]


def tone_of(level: str) -> Tone:
    """Return the tone of a level."""
    return _STATUS[level][2]


def explanations(result: CheckResult, view: View) -> list[str]:
    """Return why models are over their limits and what to do, a model after the other."""
    broken = together([one for one in result.findings if one.is_violation])
    names = list(dict.fromkeys(one.first.entry for one in broken))
    lines: list[str] = []
    for name in names:
        own = [one for one in broken if one.first.entry == name]
        lines += ["", name] if len(names) > 1 and not view.posted else []
        prefix = f"{name}: " if len(names) > 1 and view.posted else ""
        for one in explained(result, own):
            lines += _posted(one, prefix) if view.posted else _laid_out(one, view)
        if view.verbose:
            findings = [each for one in own for each in one.limits if isinstance(each, Finding)]
            lines += each_once(sentences(result, findings))
    return lines[1:] if lines[:1] == [""] else lines


def each_once(lines: Iterable[str]) -> Iterator[str]:
    """Yield sentences, and below them the reasons that no other one has had."""
    seen: set[str] = set()
    for line in lines:
        if not line.startswith(" ") or line not in seen:
            yield line
        seen.add(line)


INDENT, LABEL = 4, 11
"""Blanks before the explanations below a table, and the room of their labels."""


def _laid_out(one: Explained, view: View) -> Iterator[str]:
    """Yield an explanation beside its label; a command is not broken."""
    lead = f"{'':{INDENT}}{one.label:<{LABEL}}"
    if view.paged:
        said = one.text or f"Run this, {one.note}."
        yield Labelled(f"{one.label}: {said} {one.command}".rstrip(), one.label, said, one.command)
        return
    if one.command:
        line = f"{lead}{one.command}   ({one.note})"
        if view.width is None or len(line) <= view.width:
            yield Typed(line)
        else:
            yield f"{lead}{one.note}"
            yield Typed(f"{'':{INDENT}}{one.command}")
        return
    text = encodable(one.text, view.encoding)
    room = max(MIN_ROOM, (view.width or len(text) + len(lead)) - len(lead))
    first, *others = wrap(text, room, break_on_hyphens=False, break_long_words=False) or [""]
    yield lead + first
    yield from (f"{'':{INDENT + LABEL}}{line}" for line in others)


MIN_ROOM = 24
"""Characters of an explanation in a line, however narrow the terminal."""


def _posted(one: Explained, prefix: str) -> Iterator[str]:
    """Yield an explanation as a comment has it: a paragraph, and a command as code."""
    label = f"{prefix}{one.label}" if prefix else one.label.capitalize()
    yield f"{label}: {one.text}" if one.text else f"{label} Run this, {one.note}."
    if one.command:
        yield Typed(one.command)


def others(result: CheckResult, view: View) -> list[str]:
    """Return what else is wrong, or to be known, a line each; what many models lack once."""
    findings = [
        one
        for one in result.findings
        if not one.is_violation and not (view.brief and one.level == "note")
    ]
    lines: list[str] = []
    for alike in _once(findings):
        if alike[0].kind == "improvement":
            lines.append(_improved(result, alike, exactly=view.verbose))
        else:
            whose = counted(len(alike), "model") if alike[1:] else ""
            lines += sentences(result, alike[:1], whose)
    return lines


def _improved(result: CheckResult, alike: Sequence[Finding], *, exactly: bool) -> str:
    """Return in a line what a model costs less of."""
    first, said = alike[0], []
    for one in alike:
        assert one.metric is not None
        assert one.value is not None
        assert one.before is not None
        texts = glanced(one.metric, [one.before, one.value], exactly=exactly)
        less = f"{texts[one.before]} → {texts[one.value]} ({change(one.value, one.before)})"
        said.append(f"{figure_of(one.metric).in_words} {less}")
    update = "dscost baseline update keeps it"
    where = f"{result.path}:{first.line}:{first.column}"
    return f"{word_of(result, first)}: {where}: {first.entry}: {', '.join(said)}: {update}."


def _once(findings: Sequence[Finding]) -> list[list[Finding]]:
    """Return findings, those that say the same of several models together."""
    groups: dict[object, list[Finding]] = {}
    for at, one in enumerate(findings):
        key: object = at
        if one.kind == "missing_baseline" and one.detail is not None:
            key = one.level, one.detail
        elif one.kind == "improvement":
            key = one.entry
        groups.setdefault(key, []).append(one)
    return list(groups.values())


def sentences(result: CheckResult, findings: Sequence[Finding], whose: str = "") -> Iterator[str]:
    """Yield what findings say in full, with their places; of several models in one line."""
    for finding in findings:
        place = f"{result.path}:{finding.line}:{finding.column}"
        entry = f"{whose or finding.entry}: " if finding.entry else ""
        word = word_of(result, finding)
        said = f"{word}: {place}: {entry}{finding_sentence(finding)}"
        tone: Tone | None = _LINE_TONES.get(word)
        yield Toned(said, tone) if tone else said
        yield from (f"  {reason}" for reason in reasons(finding))


_LINE_TONES: Mapping[str, Tone] = {"could not judge": "bad", "error": "bad", "warning": "unclear"}


def spaced(lines: Sequence[str]) -> list[str]:
    """Return lines and an empty one after them, if there are any."""
    return [*lines, ""] if lines else []


def held_line(result: CheckResult, view: View) -> Iterator[str]:
    """Yield in a line which models keep all their limits, and how many hold of others."""
    if not result.passed or view.posted:
        return
    wrong = {one.entry for one in result.findings if one.level != "note"}
    numbers = Counter(one.entry for one in result.passed)
    within = [one for one in numbers if one not in wrong]
    partly = [one for one in numbers if one in wrong]
    said = [
        f"{some_of(names, MOST_NAMES)}: {holding(sum(numbers[one] for one in names))}"
        for names in (within, partly)
        if names
    ]
    more = "" if view.verbose else "   dscost check -v shows them"
    yield Toned(f"{mark_of('ok', view)} {'; '.join(said)}{more}", "good")


MOST_NAMES = 5
"""Of models that a line names."""


def holding(number: int) -> str:
    """Return how many limits hold.

    >>> holding(1), holding(2)
    ('1 limit holds', '2 limits hold')
    """
    return f"{counted(number, 'limit')} {'holds' if number == 1 else 'hold'}"


def told(result: CheckResult) -> Iterator[str]:
    """Yield since when growth is, and what of models is held to nothing."""
    if result.since is not None:
        first, dots, second = (result.against or "").partition("...")
        where = f"where this branch left {first}"
        if dots:
            where = f"where {first or 'HEAD'} and {second or 'HEAD'} parted"
        yield f"growth since {result.since}, {where}"
    for subject in result.subjects:
        yield from _not_held(subject.entry)


def _not_held(entry: Entry) -> Iterator[str]:
    """Yield what of a model is held to nothing."""
    if not entry.limits and not entry.layers:
        yield f"{entry.name}: nothing is limited"
    for one in entry.exclude:
        yield f"{entry.name}: without {one.selector.text} ({' '.join(one.reason.split())})"


def remarks(result: CheckResult) -> Iterator[str]:
    """Yield what else there is to say of the limits that hold, once for all of a rule."""
    yield from dict.fromkeys(
        f"ok: {one.entry}: {one.layer or ROOT}: {one.note}." for one in result.passed if one.note
    )
