"""Promise against clock, of a layer and its variants or of a model layer by layer."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from dscost.layers.variants import SEPARABLE, STANDARD
from dscost.pages.pictures.picture import NotDrawn, Plot, Point, Series
from dscost.pages.pictures.places import measured_at
from dscost.pages.pictures.promises import NAME, left_out, promise_of, promise_plot, why_none
from dscost.pages.pictures.short import short
from dscost.pages.runs import setting_title
from dscost.pages.wording import variant_titles
from dscost.reports.records import Layer, Report, Speedup

NOT_TIMED = "nothing was timed: leave out --no-time, or say time=True from Python"
CANNOT_TELL = "the clock cannot tell how fast anything is: give it longer by --time-budget"
SIZES_NOTE = "The larger the point of a layer, the more of the MACs of the standard model it has."


class Held(NamedTuple):
    """A promise that was held against the clock.

    Args:
        name: What was made cheaper.
        setting: Under which key it was timed.
        reduction: How many times fewer MACs than standard it has.
        speedup: How many times as fast it measured.
        weight: Its part of the whole, from 0 to 1.
        more: How many others are equal to it, and were timed as one with it.
    """

    name: str
    setting: str
    reduction: float | None
    speedup: Speedup
    weight: float = 0.0
    more: int = 0


def promise_of_report(report: Report) -> Plot | NotDrawn:
    """Return the picture of a layer and its variants, or of a model and its layers."""
    keys = dict.fromkeys([*report.latency, *(key for one in report.layers for key in one.latency)])
    measured = measured_at(report.environment, keys)
    title = f"{short(report.target)}: promise against clock"
    if report.source == "layer":
        return picture_of_held(title, held_by_variants(report), measured)
    held = [*held_by_whole(report), *held_by_layers(report.layers)]
    if not held and not any(layer.variants for layer in report.layers):
        return NotDrawn(NAME, "no layer could be depthwise-separable, or is")
    return picture_of_held(title, held, measured, is_sized=True, notes=[SIZES_NOTE])


def picture_of_held(
    title: str,
    held: Iterable[Held],
    measured: str,
    *,
    is_sized: bool = False,
    notes: Sequence[str] = (),
) -> Plot | NotDrawn:
    """Return what was held against the clock as a series for each setting.

    Args:
        title: As of a `Plot`.
        held: What was.
        measured: As of a `Plot`.
        is_sized: As of a `Series`.
        notes: As of a `Plot`.
    """
    every = list(held)
    if not every:
        return NotDrawn(NAME, NOT_TIMED)
    points: dict[str, list[Point]] = {}
    for one in every:
        point = _point(one)
        if point:
            points.setdefault(one.setting, []).append(point)
    if not points:
        return NotDrawn(NAME, CANNOT_TELL)
    several = len({one.setting for one in every}) > 1
    missing = [
        (
            f"{one.name or '(root)'} ({setting_title(one.setting)})" if several else one.name,
            why_none(one.reduction, one.speedup),
        )
        for one in every
    ]
    if len(points) == 1:
        title = f"{title}, {setting_title(next(iter(points)))}"
    return promise_plot(
        title,
        [Series(*one, is_sized=is_sized) for one in _titled(points).items()],
        than="standard",
        notes=[*notes, *left_out(missing)],
        measured=measured,
    )


def _titled(points: Mapping[str, Sequence[Point]]) -> dict[str, Sequence[Point]]:
    """Return points by the title of their setting; a single one stands in that of the picture."""
    if len(points) == 1:
        return {"": next(iter(points.values()))}
    return {setting_title(key): these for key, these in points.items()}


def _point(one: Held) -> Point | None:
    more = f" and {one.more} more that are equal" if one.more else ""
    said = f"{short(one.name)}{more}, {setting_title(one.setting)}"
    return promise_of(one.reduction, one.speedup, one.name, said, one.weight)


def held_by_variants(report: Report) -> Iterator[Held]:
    """Yield every variant of a layer under every setting that it was timed under."""
    (layer,) = report.layers
    titles = variant_titles(report)
    for key, timing in layer.latency.items():
        for name in layer.variants:
            speedup = timing.speedup_of(name)
            if speedup and name != STANDARD:
                yield Held(titles[name], key, layer.reduction_of(name).macs, speedup)


def held_by_whole(report: Report) -> Iterator[Held]:
    """Yield a whole model under every setting that both its versions were timed under."""
    for key, timing in report.latency.items():
        if timing.speedup:
            reduction = report.totals.reduction.macs
            yield Held("whole model", key, reduction, timing.speedup, weight=1.0)


def held_by_layers(layers: Sequence[Layer]) -> Iterator[Held]:
    """Yield every convolution of a model that was timed, once where several are equal.

    Its weight is their part of the MACs of the standard model.
    """
    found: dict[tuple[str, float | None, Speedup], list[Layer]] = {}
    for layer in layers:
        for key, timing in layer.latency.items():
            if timing.speedup and SEPARABLE in layer.variants:
                found.setdefault((key, layer.reduction, timing.speedup), []).append(layer)
    whole = sum(map(_standard_macs, layers)) or 1
    for (key, reduction, speedup), these in found.items():
        weight = sum(map(_standard_macs, these)) / whole
        yield Held(these[0].name, key, reduction, speedup, weight, len(these) - 1)


def _standard_macs(layer: Layer) -> int:
    """Return what a layer has in the standard model; the first of a pair has that of both."""
    if layer.variants:
        return layer.variants[STANDARD].macs
    return 0 if layer.ends_pair else layer.cost.macs
