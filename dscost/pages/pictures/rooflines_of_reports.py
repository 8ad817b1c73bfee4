"""The layers of a report below the roof of what they were timed on, or of named devices."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from math import isclose

from dscost.analysis.advising import times_of
from dscost.analysis.predicting import dtype_of as dtype_of_report
from dscost.devices.sheets import find_device
from dscost.errors import DscostError
from dscost.layers.variants import SEPARABLE, STANDARD
from dscost.pages.pictures.picture import NotDrawn, Plot, Point, Series
from dscost.pages.pictures.places import measured_at
from dscost.pages.pictures.rooflines import NAME, Roof, point_below, roofline_plot
from dscost.pages.pictures.short import short
from dscost.pages.runs import setting_title
from dscost.pages.wording import variant_titles
from dscost.reports.figures import Cost
from dscost.reports.one_setting import setting_of_layers
from dscost.reports.records import Layer, Report
from dscost.timing import dtype_of

MOST_DEVICES = 3
MOST_NAMED = 12
"""So many of the points have names: more would hide the roof."""
UNKNOWN = "no ceilings are known: time it (time=True), or name a device by --on (on='t4')"
NOT_MEASURED = "no ceilings of what it was timed on are known: dscost device measures them"
STAGES = "stages of depthwise-separable"


def roofline_of_report(report: Report) -> Plot | NotDrawn:
    """Return where layers stand as they were timed; on the roofs of named devices if none was."""
    setting = setting_of_layers(report)
    if setting is not None:
        found = _as_timed(report, setting)
        if isinstance(found, Plot) or not report.predictions:
            return found
    roofs = [roof for roof in _roofs(report) if roof.has_place][:MOST_DEVICES]
    if not roofs and report.predictions:
        devices = ", ".join(map(short, report.predictions))
        return NotDrawn(
            NAME, f"the bounds on {devices} do not tell its roof: with --explain they do"
        )
    if not roofs:
        return NotDrawn(NAME, UNKNOWN)
    series = [one for one in _at_most(report, roofs) if one.points]
    if not series:
        return NotDrawn(NAME, "no layer has multiply-accumulates")
    where = f"on {roofs[0].name}" if len(roofs) == 1 else "on named devices"
    reach = "it reaches" if report.source == "layer" else "its layers reach"
    over = len(report.predictions) - len(roofs)
    return roofline_plot(
        f"{short(report.target)} {where}: what {reach} at most",
        roofs,
        _named_sparsely(series),
        is_measured=False,
        notes=[f"{over} of the devices are left out."] if over > 0 else [],
    )


# -- timed


def _as_timed(report: Report, setting: str) -> Plot | NotDrawn:
    where = report.environment
    device, dtype = setting.partition(":")[0], dtype_of(setting)
    ceiling = where.ceilings.get(f"{device}:{dtype}") if where else None
    if ceiling is None or where is None:
        return NotDrawn(NAME, NOT_MEASURED)
    roof = Roof(f"{device} {dtype}", ceiling.flops_per_s, ceiling.bytes_per_s)
    if not roof.has_place:
        return NotDrawn(NAME, NOT_MEASURED)
    points: dict[str, dict[tuple[float, float], Point]] = {}
    whole = _whole(report)
    for title, name, cost, seconds in _timed(report, setting):
        point = point_below(
            cost, seconds, roof, name, f"{short(name)}, {title}", cost.flops / whole
        )
        if point:
            points.setdefault(title, {}).setdefault((point.x, point.y), point)
    if not points:
        return NotDrawn(NAME, "no layer that was timed has multiply-accumulates")
    return roofline_plot(
        f"{short(report.target)} below the roof of {roof.name}: {setting_title(setting)}",
        [roof],
        _named_sparsely(Series(title, [*these.values()]) for title, these in points.items()),
        is_measured=True,
        measured=measured_at(where, [setting]),
    )


def _timed(report: Report, setting: str) -> Iterator[tuple[str, str, Cost, float]]:
    """Yield what was timed: of which kind it is, its name, cost and time."""
    if report.source == "layer":
        yield from _timed_variants(report, setting)
        return
    for layer in report.layers:
        times = times_of(layer, setting)
        if times and SEPARABLE in layer.variants:
            name = layer.name or "(root)"
            yield "standard", name, layer.variants[STANDARD], times[0]
            separable = layer.variants[SEPARABLE]
            yield "depthwise-separable", f"{name}, separable", separable, times[1]


def _timed_variants(report: Report, setting: str) -> Iterator[tuple[str, str, Cost, float]]:
    (layer,) = report.layers
    timing, titles = layer.latency[setting], variant_titles(report)
    for name, cost in layer.variants.items():
        latency = timing.of(name)
        if latency:
            yield titles[name], titles[name], cost, latency.median_s
        for stage in layer.parts_of(name):
            part = timing.part(name, stage.name)
            if part:
                yield STAGES, stage.name, stage.cost, part.median_s


# -- on named devices


def _at_most(report: Report, roofs: Sequence[Roof]) -> Iterator[Series]:
    """Yield layers and the stages of what they could be, on one roof; all of them on several."""
    kinds = dict(_counted(report))
    whole = _whole(report)
    if len(roofs) == 1:
        for title, these in kinds.items():
            yield Series(title, _on(roofs[0], these, whole))
        return
    for roof in roofs:
        every = [one for these in kinds.values() for one in these]
        yield Series(roof.name, _on(roof, every, whole))


def _counted(report: Report) -> Iterator[tuple[str, list[tuple[str, Cost]]]]:
    if report.source == "layer":
        (layer,) = report.layers
        titles = variant_titles(report)
        for name in layer.stages:
            if layer.parts_of(name):
                yield f"stages of {titles[name]}", _stages(layer, name, "")
            else:
                yield titles[name], [(titles[name], layer.variants[name])]
        return
    yield "as it is", [(layer.name or "(root)", layer.cost) for layer in report.layers]
    swapped = [layer for layer in report.layers if layer.variants and layer.pair is None]
    yield STAGES, [one for layer in swapped for one in _stages(layer, SEPARABLE, f"{layer.name}.")]


def _stages(layer: Layer, variant: str, before: str) -> list[tuple[str, Cost]]:
    return [(f"{before}{stage.name}", stage.cost) for stage in layer.stages.get(variant, ())]


def _on(roof: Roof, these: Iterable[tuple[str, Cost]], whole: float) -> list[Point]:
    """Return points on a roof, one where several have one intensity: the first of them."""
    found: dict[float, Point] = {}
    for name, cost in these:
        point = point_below(cost, None, roof, name, short(name), cost.flops / whole)
        if point:
            found.setdefault(point.x, point)
    return list(found.values())


def _roofs(report: Report) -> Iterator[Roof]:
    """Yield the devices that bounds are known of, as far as their peaks can be told.

    A report has no peaks; bounds tell them: FLOPs over the time of a layer that arithmetic bounds,
    and bytes over that of one that memory bounds. What none tells is asked of the data sheet of
    that name, unless that is another one.
    """
    for device in report.predictions:
        peak, bandwidth = _told_by_bounds(report.layers, device)
        sheet = None
        with suppress(DscostError):  # a device of somebody else, or this machine
            sheet = find_device(device, dtype_of_report(report))
        if sheet and _agree(peak, sheet.flops_per_s) and _agree(bandwidth, sheet.bytes_per_s):
            yield Roof(sheet.name, sheet.flops_per_s, sheet.bytes_per_s)
        elif peak and bandwidth:
            yield Roof(device, peak, bandwidth)


def _agree(told: float | None, sheet: float) -> bool:
    return told is None or isclose(told, sheet, rel_tol=1e-6)


def _told_by_bounds(layers: Iterable[Layer], device: str) -> tuple[float | None, float | None]:
    peak = bandwidth = ridge = None
    for layer in layers:
        bound = layer.predictions.get(device, {}).get("as_is")
        if bound is None or bound.roofline_s <= 0 or layer.dtype is not None:
            continue
        ridge = bound.ridge_flops_per_byte or ridge
        if bound.without_peak is None and bound.bound == "compute" and layer.cost.macs:
            peak = layer.cost.flops / bound.roofline_s
        if bound.bound == "memory" and layer.cost.traffic_bytes:
            bandwidth = layer.cost.traffic_bytes / bound.roofline_s
    if ridge and peak:
        bandwidth = bandwidth or peak / ridge
    elif ridge and bandwidth:
        peak = ridge * bandwidth
    return peak, bandwidth


# -- both


def _whole(report: Report) -> float:
    """Return the FLOPs of the model as it is or standard, whichever has more."""
    return max(1, report.totals.as_is.flops, report.totals.standard.flops)


def _named_sparsely(series: Iterable[Series]) -> list[Series]:
    """Return series of which only the outermost points and those of most FLOPs have names."""
    every = [one._replace(points=[*_outermost_first(one.points)]) for one in series]
    places = [(at, place) for at, one in enumerate(every) for place in range(len(one.points))]
    named = sorted(places, key=lambda place: -every[place[0]].points[place[1]].weight)[:MOST_NAMED]
    return [
        one._replace(
            points=[
                point if (at, place) in named else point._replace(name="")
                for place, point in enumerate(one.points)
            ]
        )
        for at, one in enumerate(every)
    ]


def _outermost_first(points: Sequence[Point]) -> Iterator[Point]:
    """Yield points; those at either end of an axis have room for their names before all others."""
    places = range(len(points))
    outermost = {
        end(places, key=key, default=0)
        for end in (min, max)
        for key in (lambda at: points[at].x, lambda at: points[at].y)
    }
    for at, point in enumerate(points):
        yield point._replace(weight=point.weight + (at in outermost))
