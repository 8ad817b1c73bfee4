"""Models held against each other: as points, layer by layer, and what of the promise arrives."""

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from dscost.comparing.differences import LAYER_METRICS, Comparison, Contender, Versus
from dscost.errors import some_of
from dscost.notation.units import UNKNOWN, arrow, counted, format_count
from dscost.pages.comparison_totals import percent_text
from dscost.pages.comparisons import DEFAULT_SORT, Line, lines_to_show, shows_layers
from dscost.pages.model_table import VERSUS_WIDTH, settings_of, shortened, where_timed
from dscost.pages.page import View
from dscost.pages.pictures.picture import (
    Axis,
    Bar,
    Bars,
    Interval,
    NotDrawn,
    Picture,
    Plot,
    Point,
    Quantity,
    Series,
    has_place,
)
from dscost.pages.pictures.places import measured_at
from dscost.pages.pictures.promises import left_out, promise_of, promise_plot, why_none
from dscost.pages.pictures.short import short
from dscost.pages.runs import setting_title
from dscost.pages.wording import format_latency
from dscost.reports.figures import figure_of

MOST_BARS = 30
MOST_PICTURES = 6
"""Of layers: a picture for each further model, up to so many."""
MANY = 12
"""Of more models not every name has room."""
NAMES_NOTE = (
    "Names stand where they have room, that of the first model and of those that no other betters "
    "in both before others."
)
NOT_TIMED = "nothing was timed in turns: add --time, or time=True from Python"
SEPARATE_NOTE = "The latencies are of separate runs: no ratio of them is known."


def comparison_pictures(comparison: Comparison, view: View) -> list[Picture | NotDrawn]:
    """Return models as points, a picture of the layers of each further one, and the promise."""
    return [_models(comparison), *_layers(comparison, view), _promise(comparison)]


# -- models as points


def _models(comparison: Comparison) -> Plot | NotDrawn:
    settings = settings_of(comparison)
    series = _timed(comparison, settings) if settings else _counted(comparison)
    if not series:
        return NotDrawn("models", "no model has multiply-accumulates: compare others")
    y = Axis("latency" if settings else "params", "seconds" if settings else "count", is_log=True)
    number = len(comparison.contenders)
    under = f", {setting_title(settings[0])}" if len(settings) == 1 else ""
    return Plot(
        name="models",
        title=f"{counted(number, 'model')}: {y.title} against MACs{under}",
        told=_told(series, y.title),
        x=Axis("MACs", "count", is_log=True),
        y=y,
        series=series,
        notes=list(_notes(comparison, settings, series)),
        measured=measured_at(comparison.environment, settings),
    )


class _At(NamedTuple):
    """A model and where it stands: what it costs across and up, and how that is told."""

    one: Contender
    macs: int
    y: float
    said: str
    interval: Interval = None


def _timed(comparison: Comparison, settings: Sequence[str]) -> list[Series]:
    """Return the models that were timed in one place, by setting."""
    here = where_timed(comparison)
    named: set[str] = set()
    series = []
    for key in settings:
        found = [
            _At(one, macs, latency.median_s, format_latency(latency), latency.ci95_s)
            for one in comparison.contenders
            if one.place == here and (latency := one.latencies.get(key))
            if (macs := one.figure("macs"))
            if has_place(latency.median_s, *(latency.ci95_s or ()))
        ]
        title = setting_title(key)
        points = list(_points(comparison, found, named, title))
        if points:
            series.append(Series(title if len(settings) > 1 else "", points))
    return series


def _counted(comparison: Comparison) -> list[Series]:
    found = [
        _At(one, macs, params, f"{format_count(params)} params")
        for one in comparison.contenders
        if (macs := one.figure("macs")) and (params := one.figure("params"))
    ]
    return [Series("", list(_points(comparison, found, set(), "")))] if found else []


def _points(
    comparison: Comparison, found: Sequence[_At], named: set[str], under: str
) -> Iterator[Point]:
    """Yield points; a name stands once, where it is first."""
    for at in found:
        is_first = at.one is comparison.reference
        is_bettered = any(
            other.macs <= at.macs and other.y <= at.y and (other.macs, other.y) != (at.macs, at.y)
            for other in found
        )
        name = "" if at.one.label in named else short(at.one.label)
        named.add(at.one.label)
        said = f"{at.said} under {under}" if under else at.said
        yield Point(
            at.macs,
            at.y,
            name,
            f"{short(at.one.label)}: {format_count(at.macs)} MACs, {said}.",
            y_interval=at.interval,
            weight=2.0 if is_first else 0.0 if is_bettered else 1.0,
        )


def _told(series: Sequence[Series], what: str) -> str:
    """Return which model has fewest MACs, and which has least of what stands upward."""
    points = [point for one in series for point in one.points]
    fewest = min(points, key=lambda point: point.x).tells.removesuffix(".")
    least = min(points, key=lambda point: point.y).tells.removesuffix(".")
    return f"Points of {what} against MACs. Fewest MACs: {fewest}. Least {what}: {least}."


def _notes(
    comparison: Comparison, settings: Sequence[str], series: Sequence[Series]
) -> Iterator[str]:
    shown = {point.name for one in series for point in one.points}
    labels = [short(one.label) for one in comparison.contenders]
    missing = [label for label in labels if label not in shown]
    if missing:
        lacking = "MACs, or latency measured there" if settings else "MACs, or params"
        yield f"Without {some_of(missing, 3)}: no {lacking}."
    partial = [short(one.label) for one in comparison.contenders if one.report.coverage.unknown]
    if partial:
        yield f"Operators of unknown cost are in no figure of {some_of(partial, 3)}."
    if settings and comparison.environment is None:
        yield SEPARATE_NOTE
    if len(labels) > MANY:
        yield NAMES_NOTE


# -- layer by layer


def _layers(comparison: Comparison, view: View) -> Iterator[Picture | NotDrawn]:
    if not shows_layers(comparison, view):
        yield NotDrawn(
            "layers", "the models share less than a fifth of their layers: add --layers to see them"
        )
        return
    for at, versus in enumerate(comparison.versus[:MOST_PICTURES], 1):
        name = "layers" if at == 1 else f"layers-{at}"
        yield _layers_of(comparison, versus, view)._replace(name=name)


def _layers_of(comparison: Comparison, versus: Versus, view: View) -> Bars | NotDrawn:
    """Return the layers of the table, each as it is in either model."""
    metric = view.sort if view.sort in LAYER_METRICS else DEFAULT_SORT
    top = MOST_BARS if view.top is None else min(view.top, MOST_BARS)
    found = lines_to_show(comparison, versus, view._replace(top=top))
    lines = [line for line in found[:top] if any(_values(line, metric))]
    others = [line for line in found[top:] if any(_values(line, metric))]
    if not lines:
        return NotDrawn("layers", "no layer differs: add --all to see those that are the same")
    figure = figure_of(metric)
    largest = lines[0]
    labels = [short(comparison.reference.label), short(versus.label)]
    return Bars(
        name="layers",
        title=f"{labels[1]} against {labels[0]}: {figure.title} of each layer",
        told=f"Bars of {counted(len(lines), 'layer')} in both models. First: "
        f"{_tells(largest, metric)}",
        axis=Axis(figure.title, _QUANTITIES.get(figure.kind, "number")),
        series=labels,
        bars=[_bar(line, metric) for line in lines],
        notes=[_tells(line, metric) for line in others],
    )


_QUANTITIES: Mapping[str, Quantity] = {"count": "count", "bytes": "bytes", "seconds": "seconds"}


def _values(line: Line, metric: str) -> tuple[float | None, float | None]:
    found = line.difference(metric)
    return found.reference, found.value


def _bar(line: Line, metric: str) -> Bar:
    found = line.difference(metric)
    before, now = map(figure_of(metric).text, (found.reference, found.value))
    percent = percent_text(found)
    changed = f"{now} ({percent})" if found.change and percent != UNKNOWN else now
    return Bar(
        line.name, [found.reference, found.value], _tells(line, metric), texts=[before, changed]
    )


def _tells(line: Line, metric: str) -> str:
    found, figure = line.difference(metric), figure_of(metric)
    what = f" ({line.what})" if line.what else ""
    both = arrow(map(figure.text, (found.reference, found.value)))
    return f"{short(line.name)}{what}: {both} {figure.in_words}."


# -- the promise


def _promise(comparison: Comparison) -> Plot | NotDrawn:
    reference = comparison.reference
    points: dict[str, list[Point]] = {}
    missing: list[tuple[str, str]] = []
    for versus in comparison.versus:
        ours = next(one for one in versus.totals if one.metric == "macs")
        reduction = ours.reference / ours.value if ours.reference and ours.value else None
        for key, speedup in versus.speedups.items():
            said = f"{short(versus.label)}, {setting_title(key)}"
            point = promise_of(reduction, speedup, short(versus.label), said)
            missing.append((said, why_none(reduction, speedup)))
            if point:
                points.setdefault(key, []).append(point)
    if not missing:
        return NotDrawn("promise", NOT_TIMED)
    if not points:
        return NotDrawn(
            "promise", "the clock cannot tell how fast a model is: give it longer by --time-budget"
        )
    several = len(points) > 1
    return promise_plot(
        f"Against {short(reference.label)}: promise against clock"
        + ("" if several else f", {setting_title(next(iter(points)))}"),
        [Series(setting_title(key) if several else "", these) for key, these in points.items()],
        than=shortened(short(reference.label), VERSUS_WIDTH),
        notes=left_out(missing),
        measured=measured_at(comparison.environment, list(points)),
    )
