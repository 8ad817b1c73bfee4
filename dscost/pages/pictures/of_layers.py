"""What each layer of a model costs, before and after, as bars: its MACs, and its time."""

from collections.abc import Sequence
from typing import NamedTuple

from dscost.layers.variants import SEPARABLE, STANDARD
from dscost.notation.units import counted, format_count, format_factor, format_seconds
from dscost.pages.pictures.parts import Part, in_blocks, named, parts_of, timed_notes, unknown_notes
from dscost.pages.pictures.picture import Axis, Bar, Bars, NotDrawn
from dscost.pages.pictures.places import measured_at
from dscost.pages.pictures.short import short
from dscost.pages.runs import setting_title
from dscost.pages.wording import VARIANT_TITLES
from dscost.reports.one_setting import setting_of_layers
from dscost.reports.records import Report

MOST_BARS = 30
"""Of so many parts each has its own bars."""
NOT_TIMED = (
    "no layer was timed: leave out --no-time, or say time=True from Python; or give it longer"
)
SUMS_NOTE = "Times of several layers are sums, of which no interval is known."
SEEN = 1.02
"""A version whose total differs by less has no bars of its own."""


class _Versions(NamedTuple):
    before: str
    after: str | None


def layers_picture(report: Report) -> Bars | NotDrawn:
    """Return the MACs of each layer in the order of the model, before and after.

    That is as it is and depthwise-separable; of a model that is separable already, standard and as
    it is.
    """
    parts = parts_of(report)
    if not parts:
        return NotDrawn("layers", "no layer has multiply-accumulates")
    shown, is_by_block = in_blocks(parts, MOST_BARS)
    versions = _versions(report)
    return Bars(
        name="layers",
        title=f"{short(report.target)}: MACs of each {'block' if is_by_block else 'layer'}",
        told=_told(shown, versions, len(parts)),
        axis=Axis("MACs", "count"),
        series=[VARIANT_TITLES[one] for one in versions if one] if versions.after else [""],
        bars=[_bar(part, versions) for part in shown],
        notes=unknown_notes(report),
    )


def _versions(report: Report) -> _Versions:
    """Return which versions of a model say most beside each other."""
    totals = report.totals
    own, standard, separable = (
        one.macs for one in (totals.as_is, totals.standard, totals.depthwise_separable)
    )
    if standard > SEEN * own:
        return _Versions(STANDARD, "as_is")
    return _Versions("as_is", SEPARABLE if own > SEEN * separable else None)


def _bar(part: Part, versions: _Versions) -> Bar:
    values = [part.macs[one] for one in versions if one]
    said = [f"{format_count(part.macs[one])} MACs {VARIANT_TITLES[one]}" for one in versions if one]
    if versions.after and values[1] and values[0] != values[1]:
        said.append(f"{format_factor(values[0] / values[1])} fewer")
    texts = [format_count(value, 3) for value in values]
    return Bar(part.name, values, f"{named(part)}: {', '.join(said)}.", texts=texts)


def _told(shown: Sequence[Part], versions: _Versions, parts: int) -> str:
    largest = max(shown, key=lambda part: part.macs[versions.before])
    totals = [
        f"{format_count(sum(part.macs[one] for part in shown))} {VARIANT_TITLES[one]}"
        for one in versions
        if one
    ]
    return (
        f"Bars of the MACs of {counted(parts, 'layer')}: {', '.join(totals)} in all; the largest "
        f"is {named(largest)} with {format_count(largest.macs[versions.before])}."
    )


def times_picture(report: Report) -> Bars | NotDrawn:
    """Return the time of each layer that was timed, standard and depthwise-separable."""
    setting = setting_of_layers(report)
    every = parts_of(report, setting)
    parts = [part for part in every if part.seconds]
    if not parts or setting is None:
        return NotDrawn("times", NOT_TIMED)
    shown, is_by_block = in_blocks(parts, MOST_BARS)
    both = [STANDARD, SEPARABLE]
    return Bars(
        name="times",
        title=f"{short(report.target)}: time of each {'block' if is_by_block else 'layer'}, "
        f"{setting_title(setting)}",
        told=f"Bars of the time of {counted(len(parts), 'layer')}: "
        + ", ".join(f"{format_seconds(_sum(parts, one))} {VARIANT_TITLES[one]}" for one in both)
        + ".",
        axis=Axis("time of all calls, each layer timed alone", "seconds"),
        series=[VARIANT_TITLES[one] for one in both],
        bars=[_time_bar(part) for part in shown],
        notes=[*([SUMS_NOTE] if is_by_block else []), *timed_notes(every)],
        measured=measured_at(report.environment, [setting]),
    )


def _sum(parts: Sequence[Part], version: str) -> float:
    return sum(part.seconds[version] for part in parts)


def _time_bar(part: Part) -> Bar:
    both = [part.seconds[STANDARD], part.seconds[SEPARABLE]]
    before, after = map(format_seconds, both)
    said = f"{before} standard, {after} depthwise-separable"
    return Bar(
        part.name,
        both,
        f"{named(part)}: {said}.",
        intervals=[part.within.get(STANDARD), part.within.get(SEPARABLE)],
        texts=[before, after],
    )
