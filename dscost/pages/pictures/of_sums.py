"""How time and MACs of a model add up, layer by layer: where one is and the other is not."""

from collections.abc import Callable, Iterator, Sequence
from itertools import accumulate
from typing import NamedTuple

from dscost.layers.variants import SEPARABLE
from dscost.notation.units import format_bytes, format_count, format_percent, format_seconds
from dscost.pages.pictures.parts import Part, named, parts_of, timed_notes, unknown_notes
from dscost.pages.pictures.picture import Axis, NotDrawn, Plot, Point, Series
from dscost.pages.pictures.places import measured_at
from dscost.pages.pictures.short import short
from dscost.pages.runs import setting_title
from dscost.reports.one_setting import setting_of_layers
from dscost.reports.records import Report

NAME = "cumulative"
MOST_NAMED = 4
"""So many of the largest steps of the last line have the name of their layer."""
WITHOUT_TIMES = "No layer was timed: bytes moved stand in place of times."


class _Line(NamedTuple):
    """A figure that adds up.

    Args:
        title: What the legend calls it.
        value: Returns that of a part.
        text: Returns it in words.
        whole: Its sum in the model as it is, which the line is a share of.
    """

    title: str
    value: Callable[[Part], float]
    text: Callable[[float], str]
    whole: float


def cumulative_picture(report: Report) -> Plot | NotDrawn:
    """Return lines of MACs and of time from the first layer to the last; of bytes without times."""
    setting = setting_of_layers(report)
    every = parts_of(report, setting)
    if not every:
        return NotDrawn(NAME, "no layer has multiply-accumulates")
    timed = [part for part in every if part.seconds]
    if timed and setting is not None:
        parts, what, notes = timed, f"MACs and time, {setting_title(setting)},", timed_notes(every)
        lines = [_macs(parts), *_times(parts)]
    else:
        parts, what, notes = every, "MACs and bytes moved", [WITHOUT_TIMES]
        lines = [_macs(parts), _bytes(parts)]
    return Plot(
        name=NAME,
        title=f"{short(report.target)}: how {what} add up",
        told=_told(parts, lines),
        x=Axis("layers, in the order in which they run", "number", includes=(0.0,)),
        y=Axis("share of the sum as it is", "share", includes=(0.0, 1.0)),
        series=[*_series(lines, parts)],
        notes=[*notes, *unknown_notes(report)],
        measured=measured_at(report.environment, [setting]) if timed and setting else "",
    )


def _macs(parts: Sequence[Part]) -> _Line:
    return _line(
        "MACs", lambda part: part.macs["as_is"], lambda sum_: format_count(int(sum_)), parts
    )


def _bytes(parts: Sequence[Part]) -> _Line:
    return _line(
        "bytes moved", lambda part: part.traffic_bytes, lambda sum_: format_bytes(int(sum_)), parts
    )


def _times(parts: Sequence[Part]) -> Iterator[_Line]:
    """Yield that of the model as it is, and of depthwise-separable layers if they are others."""
    itself = _line("time", lambda part: part.seconds["as_is"], format_seconds, parts)
    yield itself
    if any(part.seconds["as_is"] != part.seconds[SEPARABLE] for part in parts):
        title = "time, depthwise-separable"
        yield itself._replace(title=title, value=lambda part: part.seconds[SEPARABLE])


def _line(
    title: str,
    value: Callable[[Part], float],
    text: Callable[[float], str],
    parts: Sequence[Part],
) -> _Line:
    return _Line(title, value, text, sum(map(value, parts)) or 1.0)


def _series(lines: Sequence[_Line], parts: Sequence[Part]) -> Iterator[Series]:
    """Yield a series for each line; the second has names, and tells of all."""
    for line in lines:
        told, names = [""] * len(parts), [""] * len(parts)
        if line is lines[1]:
            told, names = list(_sentences(lines, parts)), _names(line, parts)
        points = [Point(0.0, 0.0)]
        for at, sum_ in enumerate(_sums(line, parts)):
            weight = line.value(parts[at]) / line.whole
            points.append(Point(at + 1.0, sum_ / line.whole, names[at], told[at], weight=weight))
        yield Series(line.title, points, "steps")


def _sums(line: _Line, parts: Sequence[Part]) -> Iterator[float]:
    return accumulate(map(line.value, parts))


def _sentences(lines: Sequence[_Line], parts: Sequence[Part]) -> Iterator[str]:
    for part, *sums in zip(parts, *(_sums(line, parts) for line in lines), strict=True):
        shares = [sum_ / line.whole for line, sum_ in zip(lines, sums, strict=True)]
        said = [
            f"{line.title} {line.text(line.value(part))} ({format_percent(share)} so far)"
            for line, share in zip(lines, shares, strict=True)
        ]
        yield f"{named(part)}: {', '.join(said)}."


def _names(line: _Line, parts: Sequence[Part]) -> list[str]:
    """Return the names of the largest steps of a line; of a pair that of its first layer."""
    largest = sorted(range(len(parts)), key=lambda at: -line.value(parts[at]))[:MOST_NAMED]
    return [part.name.partition(" + ")[0] if at in largest else "" for at, part in enumerate(parts)]


def _told(parts: Sequence[Part], lines: Sequence[_Line]) -> str:
    """Return after which layers half of each sum is reached."""
    said = []
    for line in lines[:2]:
        half = next(at for at, sum_ in enumerate(_sums(line, parts), 1) if 2 * sum_ >= line.whole)
        said.append(f"half of the {line.title} is reached at layer {half} of {len(parts)}")
    return f"Sums from the first layer to the last: {', '.join(said)}."
