"""A report of a model → its parts as pictures show them: a layer each, or a pair, or a block."""

from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple

from dscost.analysis.advising import times_of
from dscost.errors import some_of
from dscost.layers.variants import SEPARABLE, STANDARD, VERSIONS
from dscost.notation.units import counted
from dscost.pages.page import grouped
from dscost.pages.pictures.picture import has_place
from dscost.pages.pictures.short import short
from dscost.reports.records import Layer, Report, Timing

LEAST_BLOCKS = 4
"""Fewer blocks than that say little of a model, and its largest layers more."""


ALIKE = 0.01
"""Calls of a layer that together take nearly a whole number of times what one does are equal."""


class Part(NamedTuple):
    """What has a place of its own in a picture of a model.

    Args:
        name: Of the layer, or of what it is made of.
        macs: By version: as it is, standard, depthwise-separable.
        traffic_bytes: Of it as it is.
        seconds: By version, of all its calls, where all of it that has MACs was timed.
        within: By version, between which times that lies, where it is one thing that was timed.
        layers: How many layers with MACs it is.
    """

    name: str
    macs: Mapping[str, int]
    traffic_bytes: int
    seconds: Mapping[str, float]
    layers: int = 1
    within: Mapping[str, tuple[float, float]] = MappingProxyType({})


def parts_of(report: Report, setting: str | None = None) -> list[Part]:
    """Return what has MACs in the order in which it runs; the two layers of a pair are one.

    Args:
        report: Of a model.
        setting: The key of the setting whose times are meant, if any are.
    """
    members: dict[str, list[Layer]] = {}
    for layer in report.layers:
        if layer.cost.macs:
            first = layer.pair if layer.pair in members else layer.name
            members.setdefault(first or layer.name, []).append(layer)
    return [_part(layers, setting) for layers in members.values()]


def _part(layers: Sequence[Layer], setting: str | None) -> Part:
    first = layers[0]
    own = sum(layer.cost.macs for layer in layers)
    macs = dict.fromkeys(VERSIONS, own)
    for name in (STANDARD, SEPARABLE):
        if name in first.variants:
            macs[name] = first.variants[name].macs
    seconds = {}
    times = times_of(first, setting) if setting else None
    if times and has_place(*times):
        itself = times[0] if first.pair is None else times[1]
        seconds = {"as_is": itself, STANDARD: times[0], SEPARABLE: times[1]}
    ends = [layer.name.rpartition(".")[2] for layer in layers[1:]]
    return Part(
        name=" + ".join([first.name or "(root)", *ends]),
        macs=macs,
        traffic_bytes=sum(layer.cost.traffic_bytes for layer in layers),
        seconds=seconds,
        layers=len(layers),
        within=_within(first.latency[setting], seconds) if times and setting else {},
    )


def _within(timing: Timing, seconds: Mapping[str, float]) -> Mapping[str, tuple[float, float]]:
    """Return the interval of all calls of a layer: that of the call timed, as much longer as they.

    Calls on other shapes have times of their own, whose intervals a report does not hold.
    """
    found = {}
    for version in (STANDARD, SEPARABLE):
        latency = timing.of(version)
        if latency is None or latency.ci95_s is None or not has_place(latency.median_s):
            continue
        calls = seconds[version] / latency.median_s
        if abs(calls - round(calls)) < ALIKE:
            found[version] = (calls * latency.ci95_s[0], calls * latency.ci95_s[1])
    return found


def in_blocks(parts: Sequence[Part], most: int) -> tuple[list[Part], bool]:
    """Return parts in the order of the model, no more than there is room for, and whether by block.

    Modules that hold several stand for them, as small ones as leave few enough; where a model has
    no such modules, its largest parts stand for themselves and one for all others.
    """
    if len(parts) <= most:
        return list(parts), False
    deepest = max(part.name.count(".") for part in parts)
    for depth in range(deepest, 0, -1):
        blocks = grouped(((part.name.partition(" + ")[0], part) for part in parts), depth)
        if LEAST_BLOCKS <= len(blocks) <= most:
            return [_together(*one) for one in blocks.items()], True
    largest = sorted(range(len(parts)), key=lambda at: -max(parts[at].macs.values()))[:most]
    shown = [parts[at] for at in sorted(largest)]
    others = [part for at, part in enumerate(parts) if at not in set(largest)]
    return [*shown, _together(f"({len(others)} more)", others)], False


def _together(name: str, parts: Sequence[Part]) -> Part:
    layers = sum(part.layers for part in parts)
    return Part(
        name=name,
        macs={version: sum(part.macs[version] for part in parts) for version in VERSIONS},
        traffic_bytes=sum(part.traffic_bytes for part in parts),
        seconds=dict(_sums(parts)),
        layers=layers,
    )


def _sums(parts: Sequence[Part]) -> Iterator[tuple[str, float]]:
    """Yield the time of several by version; none where one of them was not timed."""
    if all(part.seconds for part in parts):
        for version in VERSIONS:
            yield version, sum(part.seconds[version] for part in parts)


def named(part: Part) -> str:
    """Return what a sentence calls a part, with how many layers it has."""
    return f"{short(part.name)}{f' ({part.layers} layers)' if part.layers > 1 else ''}"


def unknown_notes(report: Report) -> list[str]:
    """Return which operators have no part in the MACs of a model, since nobody knows theirs."""
    unknown = some_of(report.coverage.unknown, 3)
    return [f"Operators of unknown cost are in no figure: {unknown}."] if unknown else []


def timed_notes(parts: Sequence[Part]) -> list[str]:
    """Return how much of a model those of its parts are that were timed, unless all were."""
    timed = [part for part in parts if part.seconds]
    if len(timed) == len(parts):
        return []
    share = sum(part.macs["as_is"] for part in timed) / sum(part.macs["as_is"] for part in parts)
    return [
        f"{len(timed)} of {counted(len(parts), 'layer')} were timed one by one, with "
        f"{100 * share:.3g} % of the MACs: those that could be swapped, as far as there was time."
    ]
