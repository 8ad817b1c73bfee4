"""Rooflines: what a device can do at most, and where layers stand below it."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from dscost.devices.roofline import Ceilings
from dscost.notation.units import counted, format_intensity, format_percent
from dscost.pages.pictures.picture import Axis, Plot, Point, Rule, Series, has_place
from dscost.pages.roofline_chart import format_speed, landmarks
from dscost.reports.figures import Cost

NAME = "roofline"
_FAR = 1e9
"""Roofs run from an intensity of one over that to it: the plot shows the part of them within."""
ABOVE = 1.03
"""So many times the roof is above it."""
CACHES_NOTE = (
    "What stands above the roof has data in caches, which are faster than the memory of the roof."
)


class Roof(NamedTuple):
    """What a device can do at most.

    Args:
        name: As people call it.
        flops_per_s: Its peak.
        bytes_per_s: The bandwidth of its memory.
    """

    name: str
    flops_per_s: float
    bytes_per_s: float

    @property
    def ridge(self) -> float:
        """Below this intensity, in FLOP/byte, memory is the bound, above it arithmetic."""
        return self.flops_per_s / self.bytes_per_s

    @property
    def has_place(self) -> bool:
        """Whether it can be drawn."""
        return has_place(self.flops_per_s, self.bytes_per_s) and has_place(self.ridge)

    def attainable(self, flops_per_byte: float) -> float:
        """Return the most FLOP/s at an intensity."""
        return min(self.flops_per_s, flops_per_byte * self.bytes_per_s)


def point_below(
    cost: Cost, seconds: float | None, roof: Roof, name: str, said: str, weight: float = 0.0
) -> Point | None:
    """Return where something stands; `None` where it computes or moves nothing, as far as is known.

    Args:
        cost: What it computes and moves.
        seconds: How long that takes; `None` puts it on the roof.
        roof: What it is held against.
        name: What stands beside it.
        said: What it is, for who points at it.
        weight: As of a `Point`.
    """
    if not cost.macs or not cost.traffic_bytes or (seconds is not None and seconds <= 0):
        return None
    x = cost.flops / cost.traffic_bytes
    most = roof.attainable(x)
    y = most if seconds is None else cost.flops / seconds
    if not has_place(x, y, most):
        return None
    bound = "memory" if x < roof.ridge else "arithmetic"
    speed = f"at most {format_speed(most, 'FLOP/s')} by its {bound}"
    if seconds is not None:
        speed = f"{format_speed(y, 'FLOP/s')}, {format_percent(y / most)} of the {speed}"
    return Point(x, y, name, f"{said}: {format_intensity(x)} FLOP/byte, {speed}.", weight=weight)


def roofline_plot(
    title: str,
    roofs: Sequence[Roof],
    series: Sequence[Series],
    *,
    is_measured: bool,
    notes: Iterable[str] = (),
    measured: str = "",
) -> Plot:
    """Return layers below one roof or several.

    Args:
        title: What stands above it.
        roofs: One at least.
        series: Points by `point_below`, one at least.
        is_measured: Whether points stand where they were measured, and not on a roof.
        notes: As of a `Plot`.
        measured: As of a `Plot`.
    """
    points = [point for one in series for point in one.points]
    notes = list(notes)
    left = sum(point.x < roofs[0].ridge for point in points)
    told = (
        f"{left} of {counted(len(points), 'point')} lie left of the ridge of {roofs[0].name}, "
        "where memory is the bound and not arithmetic"
    )
    if is_measured:
        shares = [point.y / roofs[0].attainable(point.x) for point in points]
        least, most = map(format_percent, (min(shares), max(shares)))
        told += f"; all reach {least} to {most} of its roof"
        notes += [CACHES_NOTE] if max(shares) > ABOVE else []
    ridges = [roof.ridge for roof in roofs]
    return Plot(
        name=NAME,
        title=title,
        told=f"{told}.",
        x=Axis(
            "arithmetic intensity in FLOP/byte", "flops_per_byte", is_log=True, includes=(*ridges,)
        ),
        y=Axis(
            "FLOP/s reached" if is_measured else "FLOP/s at most",
            "flops_per_s",
            is_log=True,
            includes=tuple(roof.flops_per_s for roof in roofs),
        ),
        series=series,
        rules=[rule for roof in roofs for rule in _rules(roof, is_alone=len(roofs) == 1)],
        notes=notes,
        measured=measured,
    )


def _rules(roof: Roof, *, is_alone: bool) -> list[Rule]:
    peak, memory = format_speed(roof.flops_per_s, "FLOP/s"), format_speed(roof.bytes_per_s, "B/s")
    ridge = f"ridge at {format_intensity(roof.ridge)} FLOP/byte"
    line = [
        (1 / _FAR, roof.bytes_per_s / _FAR),
        (roof.ridge, roof.flops_per_s),
        (_FAR * max(1.0, roof.ridge), roof.flops_per_s),
    ]
    if not is_alone:
        return [Rule(f"roof of {roof.name}: {peak}, {memory}, {ridge}", line)]
    least = roof.flops_per_s / _FAR
    return [
        Rule(f"roof of {peak}, {memory}", line),
        Rule(ridge, [(roof.ridge, least), (roof.ridge, roof.flops_per_s)]),
    ]


def roofline_of_device(ceilings: Ceilings) -> Plot:
    """Return the roof of a device, with two convolutions that it is known by."""
    roof = Roof(ceilings.name, ceilings.flops_per_s, ceilings.bytes_per_s)
    points = [point_below(one.cost, None, roof, one.name, one.name) for one in landmarks(ceilings)]
    threads = "" if ceilings.threads is None else f", {counted(ceilings.threads, 'thread')}"
    versions = [f"{name} {version}" for name, version in ceilings.versions.items()]
    by_sheet = f"By its data sheet, not measured: {ceilings.source}."
    return roofline_plot(
        f"{ceilings.name}{threads}, {ceilings.dtype}: its roofline",
        [roof],
        [Series("", [point for point in points if point])],
        is_measured=False,
        notes=[] if ceilings.source is None else [by_sheet],
        measured=", ".join([f"{ceilings.name}{threads}", *versions])
        if ceilings.source is None
        else "",
    )
