"""What breaks a budget, to be read in five seconds: how much, why, and the ways out.

Limits of one figure are one thing here, be they on the figure itself or on its growth.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from fractions import Fraction
from typing import NamedTuple

from dscost.budgets.baseline import Known, read_baseline
from dscost.budgets.findings import CheckResult, Contribution, Finding, Passed
from dscost.budgets.raising import ABSOLUTE, limits_of
from dscost.budgets.records import NOWHERE, Entry, Limit
from dscost.errors import DscostError, some_of
from dscost.notation.units import counted
from dscost.pages.baselines import accept_command
from dscost.pages.finding_words import bounded, change, glance, glanced
from dscost.pages.layer_table import ROOT
from dscost.pages.ratio_words import how, ratio_texts
from dscost.pages.verdict_data import level_of
from dscost.reports.figures import figure_of

Judged = Finding | Passed

FEW = 6
"""Layers that explain why a model is over its limits."""


class Together(NamedTuple):
    """All limits of one figure of a model, or of its layers, that are broken; or that hold."""

    limits: tuple[Judged, ...]

    @property
    def first(self) -> Judged:
        """The one that says most, which its margin is of: `in_order`."""
        return min(self.limits, key=in_order)

    @property
    def before(self) -> Fraction | None:
        """The figure in the baseline."""
        return next((one.before for one in self.limits if one.before is not None), None)


def in_order(one: Judged) -> tuple[bool, Fraction]:
    """Return a key of limits of one figure: on itself before on its growth, the nearest first."""
    return one.bound not in ABSOLUTE, -use(one)


def is_least(one: Judged) -> bool:
    """Whether a limit is from below."""
    is_speedup = one.metric is not None and one.metric.startswith("speedup")
    return one.bound in ("min", "max_decrease") or (one.bound is None and is_speedup)


def use(one: Judged) -> Fraction:
    """Return how much of its limit a figure takes: above 1 it breaks it."""
    assert one.value is not None
    assert one.limit is not None
    taken, room = (one.limit, one.value) if is_least(one) else (one.value, one.limit)
    if room <= 0:
        return Fraction(10**30) if taken > 0 else Fraction(1)
    return taken / room


def together(limits: Sequence[Judged]) -> list[Together]:
    """Return limits by model and figure, models in the order of the first of each."""
    models = {name: at for at, name in enumerate(dict.fromkeys(one.entry for one in limits))}
    found: dict[tuple[str, str | None, str | None], list[Judged]] = {}
    for one in sorted(limits, key=lambda one: models[one.entry]):
        found.setdefault((one.entry, one.metric, one.layer), []).append(one)
    return [Together(tuple(one)) for one in found.values()]


def worst_of_alike(broken: Sequence[Together]) -> list[tuple[Together, int]]:
    """Return of layers that one rule is broken by the worst, with how many there are."""
    groups: dict[object, list[Together]] = {}
    for one in broken:
        rules = frozenset(
            (each.bound, getattr(each, "line", 0), getattr(each, "column", 0))
            for each in one.limits
        )
        key = one.first.entry, one.first.metric, rules
        groups.setdefault(key, []).append(one)
    return [(max(alike, key=_excess), len(alike)) for alike in groups.values()]


def _excess(one: Together) -> Fraction:
    """Return by how much a figure is over its limit, or under its least."""
    value, limit = one.first.value, one.first.limit
    return abs((value or Fraction(0)) - (limit or Fraction(0)))


# -- cells


def cells(one: Together, entries: Mapping[str, Entry], *, exactly: bool = False) -> dict[str, str]:
    """Return what a row says of limits: figures exactly, or as short as can be told apart."""
    first = one.first
    assert first.metric is not None
    assert first.value is not None
    figures = [first.value, *(each.limit for each in one.limits if each.limit is not None)]
    if one.before is not None:
        figures.append(one.before)
    texts = glanced(first.metric, figures, exactly=exactly)
    limits = sorted(one.limits, key=in_order)
    layer = "" if first.layer is None else f" of {first.layer or ROOT}"
    now = texts[first.value]
    if first.measured is not None and first.limit is not None:
        now = ratio_texts(first.measured, first.limit)[0]
    return {
        "model": first.entry,
        "what": f"{figure_of(first.metric).in_words}{layer}",
        "before": "" if one.before is None else texts[one.before],
        "now": now,
        "change": "" if one.before is None else change(first.value, one.before),
        "limit": ", ".join(_limit(each, entries, texts) for each in limits),
        "margin": margin(first),
        "line": ", ".join(str(each.line) for each in limits if isinstance(each, Finding)),
    }


def _limit(one: Judged, entries: Mapping[str, Entry], texts: Mapping[Fraction, str]) -> str:
    """Return a limit, as short as it can be told apart from the figure, growth as it is written."""
    assert one.metric is not None
    assert one.limit is not None
    match one.bound:
        case "max" | "min":
            least = "at least " if one.bound == "min" else ""
            if one.tolerance and one.value is not None:
                return (
                    least + bounded(one.metric, one.value, one.limit, one.tolerance, one.bound)[1]
                )
            return least + texts[one.limit]
        case _:
            word = "growth" if one.bound == "max_increase" else "decline"
            limit = _written(one, entries)
            if limit is None or one.before is None:
                return f"{word} to {texts[one.limit]}"
            room = one.before * limit.value if limit.relative else limit.value
            if room < limit.ignore_below:
                return f"{word} under {glance(one.metric, limit.ignore_below)}"
            if limit.relative:
                return f"{word} {float(100 * limit.value):g} %"
            return f"{word} {glance(one.metric, limit.value)}"


def _written(one: Judged, entries: Mapping[str, Entry]) -> Limit | None:
    """Return the limit as the budget has it."""
    if one.entry not in entries:
        return None
    for limit, layer in limits_of(entries[one.entry]):
        is_it = (limit.metric, limit.bound) == (one.metric, one.bound)
        if isinstance(one, Finding):
            is_it = is_it and limit.place == (one.line, one.column)
        elif layer != one.layer:
            is_it = False
        if is_it:
            return limit
    return None


MOST_IN_PERCENT = 10
"""Times that a figure is over its limit of which a percentage can be imagined."""


def margin(one: Judged) -> str:
    """Return how far a figure is over its limit, or how much is left; exactly where that is little.

    Of a decline that passes nothing is said.
    """
    assert one.metric is not None
    assert one.value is not None
    assert one.limit is not None
    is_upper = one.bound in ("max", "max_increase")
    left = one.limit - one.value if is_upper else one.value - one.limit
    word = ("left" if left >= 0 else "over") if is_upper else ("above" if left >= 0 else "short")
    if word == "above":
        return ""
    share = abs(left / one.limit) if one.limit else None
    if share is not None and (Fraction(5, 10_000) <= share < MOST_IN_PERCENT or not left):
        return f"{float(share):.1%} {word}".replace("%", " %")
    return f"{glance(one.metric, abs(left))} {word}"


def headline(finding: Finding, entry: Entry) -> str:
    """Return a finding in a few words, its figures at a glance: what a line has room for.

    A limit on growth is told with what the figure was.
    """
    found = cells(Together((finding,)), {entry.name: entry})
    change_of = f", {found['change']} from {found['before']}" if found["before"] else ""
    what = found["what"].removeprefix(figure_of(finding.metric or "").in_words)
    figure = _named(finding.metric or "", found["now"]) + what
    limit = f", limit {found['limit']}"
    if finding.bound in ABSOLUTE:
        return f"{figure}{limit} ({found['margin']}){change_of}"
    return f"{figure}{change_of}{limit}"


# -- explanations


class Explained(NamedTuple):
    """A line that explains why a model is over its budget, or what to do.

    Args:
        label: What it is about, in a word or two.
        text: What it says.
        command: A command that does it, after the text.
        note: What else to say, after the command.
    """

    label: str
    text: str
    command: str = ""
    note: str = ""


def explained(result: CheckResult, broken: Sequence[Together]) -> Iterator[Explained]:
    """Yield why a model is over its limits, and the ways out: cheaper, or meant."""
    findings = [each for one in broken for each in one.limits if isinstance(each, Finding)]
    for message in dict.fromkeys(one.detail for one in findings if one.detail):
        yield Explained("rule", message)
    yield from _measured(findings)
    yield from _why(findings)
    yield from _way_back(result, findings)
    yield from _meant(result, findings)


def _measured(findings: Sequence[Finding]) -> Iterator[Explained]:
    """Yield what ratios were measured between, and the commands that show why they are so."""
    measured = [one.measured for one in findings if one.measured is not None]
    yield from (Explained("measured", text) for text in dict.fromkeys(map(how, measured)))
    for command in dict.fromkeys(one.look for one in measured if one.look):
        yield Explained("look", "", command, "shows where the time goes")


def _why(findings: Sequence[Finding]) -> Iterator[Explained]:
    """Yield the layers that explain it: those that changed, each once; or the largest."""
    changed: dict[str, dict[str, Contribution]] = {}
    largest: dict[str, dict[str, Contribution]] = {}
    for one in findings:
        for part in one.contributions:
            is_changed = part.before is not None and part.before != part.value
            metric = one.metric or ""
            if is_changed:
                changed.setdefault(part.layer, {}).setdefault(metric, part)
            else:
                largest.setdefault(metric, {}).setdefault(part.layer, part)
    if changed:
        yield Explained("why", _grouped([(name, _changed(of)) for name, of in changed.items()]))
        return
    said = [
        ", ".join(f"{name or ROOT} {glance(metric, of[name].value)}" for name in of)
        for metric, of in largest.items()
    ]
    if len(said) > 1:
        said = [
            f"{figure_of(one).in_words}: {text}" for one, text in zip(largest, said, strict=True)
        ]
    if said:
        yield Explained("largest", "; ".join(dict.fromkeys(said)))


def _changed(of: Mapping[str, Contribution]) -> str:
    """Return how a layer has changed: what of it, and by how much in each figure."""
    parts = list(of.values())
    what = next((one.change for one in parts if one.change), None)
    if all(one.before == 0 for one in parts):
        figures = " and ".join(_figure(metric, one.value) for metric, one in of.items())
        return f"new, {figures}"
    if all(one.value == 0 for one in parts):
        return "gone"
    grown = {metric: change(one.value, one.before or Fraction(0)) for metric, one in of.items()}
    if len(set(grown.values())) == 1:
        said = next(iter(grown.values()))
    else:
        said = ", ".join(f"{figure_of(metric).in_words} {text}" for metric, text in grown.items())
    return ", ".join(filter(None, (what, said)))


def _grouped(said: Sequence[tuple[str, str]]) -> str:
    """Return what is said of layers, of those that are alike once."""
    by_text: dict[str, list[str]] = {}
    for name, text in said[:FEW]:
        by_text.setdefault(text, []).append(name or ROOT)
    parts = [
        f"{', '.join(names)}: {text}{' each' if len(names) > 1 else ''}"
        for text, names in by_text.items()
    ]
    return "; ".join(parts)


def _figure(metric: str, value: Fraction) -> str:
    return _named(metric, glance(metric, value))


def _named(metric: str, figure: str) -> str:
    """Return a figure and what it is of; one in MiB says that it is of bytes."""
    what = figure_of(metric).in_words
    return f"{figure} {what.removeprefix('bytes ') if figure.endswith('B') else what}"


def _way_back(result: CheckResult, findings: Sequence[Finding]) -> Iterator[Explained]:
    """Yield the swaps that bring all figures within; else those that do so for one of them."""
    way = next((one for one in result.ways_back if one.entry == findings[0].entry), None)
    if way is not None:
        figures = ", ".join(_figure(metric, value) for metric, value in way.figures.items())
        within = {1: "within the limit", 2: "both within"}.get(len(way.figures), "all within")
        more = "" if way.is_complete else "; the other limits need more"
        names = some_of([name or ROOT for name in way.layers], 3)
        yield Explained("way back", f"make {names} depthwise-separable: {figures}, {within}{more}")
        return
    fixes = {one.metric: one.suggested_fix for one in findings if one.suggested_fix and one.metric}
    for metric, fix in fixes.items():
        names = some_of([name or ROOT for name in fix.layers], 3)
        figure = _figure(metric, fix.value)
        yield Explained(
            "way back", f"make {names} depthwise-separable: {figure}, within that limit"
        )


def _meant(result: CheckResult, findings: Sequence[Finding]) -> Iterator[Explained]:
    """Yield the command that agrees to what a model costs now, and what is to be committed."""
    by_hand = [one for one in findings if _is_measured(one)]
    for line in dict.fromkeys(one.line for one in by_hand):
        yield Explained("meant it?", f"edit line {line} of {result.path}: time is not raised")
    raised = [one for one in findings if one.bound in ABSOLUTE and not _is_measured(one)]
    grown = [one for one in findings if one.bound not in ABSOLUTE and not _is_measured(one)]
    if not raised and not grown:
        return
    if result.against is not None and not raised and _is_accepted(result, grown):
        kept = result.baseline.name if result.baseline else "the baseline"
        told = f"accepted in {kept}; growth since {result.against} stays over until that is merged"
        yield Explained("meant it?", told)
        return
    budget = None if result.is_nearest else result.path
    command = accept_command(findings[0].entry, budget, raise_limits=bool(raised))
    files = [result.path.name] if raised else []
    is_kept_otherwise = any(one.before != one.value for one in findings)
    if result.baseline is not None and is_kept_otherwise:
        files.append(result.baseline.name)
    note = f"then commit {counted(len(files), 'file')}"
    shared = _sharing(result, raised)
    if shared:
        note += f"; the limit holds for {some_of(shared, 3)} too"
    if result.against is not None and grown:
        note += f"; growth since {result.against} stays over until that is merged"
    yield Explained("meant it?", "", command, note)


def _is_accepted(result: CheckResult, grown: Sequence[Finding]) -> bool:
    """Whether the baseline of the working tree has the figures that are growth elsewhere."""
    kept = None
    if result.baseline is not None:
        with suppress(DscostError):  # what is wrong with it is told where it is judged by
            kept = read_baseline(result.baseline)
    known = kept.models.get(grown[0].entry) if kept and grown else None
    return known is not None and all(
        one.metric is not None and one.value is not None and _kept(known, one) == one.value
        for one in grown
    )


def _kept(known: Known, one: Finding) -> Fraction | None:
    """Return what a baseline has of what a finding is about."""
    assert one.metric is not None
    if one.layer is None:
        return known.figure(one.metric)
    return known.layer_figure(one.layer, one.metric)


def _sharing(result: CheckResult, raised: Sequence[Finding]) -> list[str]:
    """Return the other models that limits hold for, since these stand in one place."""
    entries = {subject.entry.name: subject.entry for subject in result.subjects}
    limits = [_written(one, entries) for one in raised]
    places = {limit.written_at for limit in limits if limit} - {NOWHERE}
    own = {one.entry for one in raised}
    return [
        name
        for name, entry in entries.items()
        if name not in own and any(limit.written_at in places for limit, _ in limits_of(entry))
    ]


def _is_measured(one: Finding) -> bool:
    return one.metric is not None and figure_of(one.metric).is_measured


def worst_level(result: CheckResult, one: Together) -> str:
    """Return the level of the worst of several findings."""
    levels = [level_of(result, each) for each in one.limits if isinstance(each, Finding)]
    return "error" if "error" in levels or "fail" in levels else "warn"
