"""What MACs promise against what the clock says: a plot that several results have."""

from collections.abc import Iterable, Sequence

from dscost.errors import first_of
from dscost.notation.units import counted, format_factor
from dscost.pages.pictures.picture import Axis, Plot, Point, Rule, Series, has_place
from dscost.pages.pictures.short import short
from dscost.pages.wording import format_speedup
from dscost.reports.records import Speedup

_FAR = 1e9
"""Rules run from one over that to it: the plot shows the part of them within."""
NAME = "promise"
APART_NOTE = (
    "Points of the same MACs stand beside each other, so that all are seen; their middle is exact."
)
MOST_NAMED = 3
"""Of those that are left out for one reason."""


def promise_of(
    reduction: float | None, speedup: Speedup, name: str = "", said: str = "", weight: float = 0.0
) -> Point | None:
    """Return the point of something that was timed; `None` where it has no place.

    Args:
        reduction: How many times fewer MACs it has than what it is compared with; `None` where
            that is not known.
        speedup: How many times as fast it is, measured.
        name: What stands beside it.
        said: What it is, for who points at it.
        weight: As of a `Point`.
    """
    if reduction is None or why_none(reduction, speedup):
        return None
    tells = f"{said or name}: {format_factor(reduction)} fewer MACs, {format_speedup(speedup)}."
    return Point(reduction, speedup.median, name, tells, y_interval=speedup.ci95, weight=weight)


def why_none(reduction: float | None, speedup: Speedup) -> str:
    """Return what keeps something that was timed from having a point; nothing where it has one."""
    if reduction is None:
        return "MACs that are not known"
    if speedup.is_wide:
        return "times that vary too much to tell a speedup"
    if not has_place(reduction, speedup.median, *speedup.ci95):
        return "figures that no machine has"
    return ""


def promise_plot(
    title: str,
    series: Sequence[Series],
    *,
    than: str,
    notes: Sequence[str] = (),
    measured: str = "",
) -> Plot:
    """Return how many times fewer MACs things have against how many times as fast they are.

    Args:
        title: What stands above it.
        series: Points by `promise_of`, one at least.
        than: What the points are compared with, such as `standard`.
        notes: As of a `Plot`.
        measured: As of a `Plot`.
    """
    points = [point for one in series for point in one.points]
    kept = sum(point.y >= point.x for point in points)
    slower = sum(point.y < 1 for point in points)
    most = max(point.x for point in points)
    found = (
        f"Of {counted(len(points), 'point')}, by their medians: "
        f"{kept} as fast as the MACs promise, {slower} slower than {than}."
    )
    of_each = [{point.x for point in one.points} for one in series]
    is_apart = sum(map(len, of_each)) > len(set().union(*of_each))
    return Plot(
        name=NAME,
        title=title,
        told=f"Times fewer MACs against times as fast, measured. {found}",
        x=Axis(f"times fewer MACs than {than}", "factor", is_log=True),
        y=Axis(f"times as fast as {than}, measured", "factor", is_log=True, includes=(1.0, most)),
        series=series,
        rules=[
            Rule("as the MACs promise", [(1 / _FAR, 1 / _FAR), (_FAR, _FAR)]),
            Rule("no faster", [(1 / _FAR, 1.0), (_FAR, 1.0)]),
        ],
        notes=[*([APART_NOTE] if is_apart else []), *notes],
        measured=measured,
        is_apart=is_apart,
    )


def left_out(those: Iterable[tuple[str, str]]) -> list[str]:
    """Return a note for each reason that points have no place for: which, and why.

    Args:
        those: Names of things that were timed, each with what `why_none` says of it; nothing is
            said of those that have a point.
    """
    named: dict[str, list[str]] = {}
    for name, why in those:
        if why:
            named.setdefault(why, []).append(short(name))
    return [
        f"Left out: {first_of(names, MOST_NAMED, '; ')}: {why}." for why, names in named.items()
    ]
