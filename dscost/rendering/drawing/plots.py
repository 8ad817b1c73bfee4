"""Points and lines between two axes."""

from collections.abc import Iterator, Sequence
from functools import partial
from itertools import pairwise
from math import sqrt

from dscost.pages.pictures import Plot, Point, Series
from dscost.rendering.drawing.canvas import DASHES, LEAST_SHAPE, WIDTH, Canvas, Place
from dscost.rendering.drawing.frame import (
    MARGIN,
    SMALL,
    Entry,
    Foot,
    Head,
    foot_of,
    head_of,
    text_base,
)
from dscost.rendering.drawing.inks import SERIES
from dscost.rendering.drawing.labels import Labels
from dscost.rendering.drawing.lettering import LINE, fitting, width_of
from dscost.rendering.drawing.scales import Scale, scale_of, tick_texts

PLOT_HEIGHT = 320.0
"""Between the axes."""
MOST_NAME = 200.0
"""Of what stands beside a point, in pixels."""
NEAR = 2.5
"""So far from a point the name of another looks like its own."""
MOST_MARKS = 60
"""Of a line; where there are more they would hide it, and are dots."""
DOT = 1.2
APART = 8.0
"""How far from each other points of several series stand that have one x, where they do."""
MOST_TOLD = 200
"""Marks that answer a pointer; where there are more, those that weigh most do."""
LEAST_RADIUS, RADIUS, MOST_RADIUS = 2.5, 4.5, 10.0


def draw_plot(picture: Plot) -> Canvas:
    """Return a plot drawn."""
    return _Plotting(_telling_of_few(picture)).canvas


def _telling_of_few(picture: Plot) -> Plot:
    """Return a plot of which few enough points tell what they are; files would grow with all."""
    told = [
        (-point.weight, at, nth)
        for at, series in enumerate(picture.series)
        for nth, point in enumerate(series.points)
        if point.tells
    ]
    silent = {(at, nth) for _, at, nth in sorted(told)[MOST_TOLD:]}
    if not silent:
        return picture
    series = [
        one._replace(
            points=[
                point._replace(tells="") if (at, nth) in silent else point
                for nth, point in enumerate(one.points)
            ]
        )
        for at, one in enumerate(picture.series)
    ]
    return picture._replace(series=series)


class _Plotting:
    def __init__(self, picture: Plot) -> None:
        self._picture = picture
        head = head_of(picture.title, list(_legend(picture)))
        foot = foot_of(picture.notes, picture.measured)
        top = head.height + LINE + 6  # the title of the axis to the left stands above it
        bottom = top + PLOT_HEIGHT
        self.canvas = Canvas(bottom + 2 * LINE + 12 + foot.height)
        self._y = scale_of(picture.y, _values(picture, 1), bottom, top)
        labels = tick_texts(self._y.ticks, picture.y.quantity)
        left = MARGIN + max(map(width_of, labels), default=0.0) + 8
        self._x = scale_of(picture.x, _values(picture, 0), left, WIDTH - MARGIN)
        self._labels = Labels(left, top, WIDTH - MARGIN, bottom)
        self._silent: set[tuple[int, int, int, int]] = set()
        self._draw(head, foot, labels)

    def _draw(self, head: Head, foot: Foot, labels: Sequence[str]) -> None:
        head.draw(self.canvas)
        self._axes(labels)
        for at, rule in enumerate(self._picture.rules):
            inside = _clipped([self._place(one) for one in rule.points], self._labels)
            if len(inside) > 1:
                with self.canvas.told(rule.name):
                    self.canvas.line(inside, "faint", 1.4, _rule_dash(at))
                self._labels.avoid(inside, always=True)
        for at, series in enumerate(self._picture.series):
            self._joined(at, series)
        for at, series in enumerate(self._picture.series):
            for point in series.points:
                self._point(at, series, point)
        self._names()
        foot.draw(self.canvas)

    def _place(self, point: tuple[float, float]) -> Place:
        return self._x.at(point[0]), self._y.at(point[1])

    def _place_of(self, at: int, point: Point) -> Place:
        """Return where a point of a series stands, off its x where series stand apart."""
        x, y = self._place((point.x, point.y))
        middle = (len(self._picture.series) - 1) / 2
        return (x + (at - middle) * APART if self._picture.is_apart else x), y

    def _axes(self, labels: Sequence[str]) -> None:
        canvas, x, y = self.canvas, self._x, self._y
        for value, text in zip(y.ticks, labels, strict=True):
            at = y.at(value)
            canvas.line([(x.start, at), (x.end, at)], "grid")
            canvas.write(text, x.start - 8, text_base(at), "faint", "end")
        for value, text in _spaced(x, tick_texts(x.ticks, self._picture.x.quantity)):
            at = x.at(value)
            canvas.line([(at, y.start), (at, y.end)], "grid")
            canvas.write(text, at, y.start + LINE + 1, "faint", "middle")
        canvas.line([(x.start, y.end), (x.start, y.start), (x.end, y.start)], "faint")
        canvas.write(_axis_title(self._picture.y.title, y), MARGIN, y.end - 10, "ink")
        title = _axis_title(self._picture.x.title, x)
        canvas.write(title, x.end, y.start + 2 * LINE + 4, "ink", "end")

    def _joined(self, at: int, series: Series) -> None:
        if not series.joined or len(series.points) < 2:
            return
        places = [self._place((one.x, one.y)) for one in series.points]
        if series.joined == "steps":
            places = [
                place
                for before, after in pairwise(places)
                for place in (before, (after[0], before[1]))
            ] + places[-1:]
        seen = _seen(places)
        self.canvas.line(seen, SERIES[at % len(SERIES)], 2.0, DASHES[at % len(DASHES)])
        self._labels.avoid(places)

    def _point(self, at: int, series: Series, point: Point) -> None:
        if not _has_mark(series, point):
            return
        x, y = self._place_of(at, point)
        ink, radius = SERIES[at % len(SERIES)], _radius(series, point)
        if not (point.tells or point.name or point.x_interval or point.y_interval):
            here = (at, round(x), round(y), round(radius))
            if here in self._silent:  # nobody would see that it is there twice
                return
            self._silent.add(here)
        with self.canvas.told(point.tells):
            if point.y_interval:
                low, high = (self._y.at(one) for one in point.y_interval)
                self._interval([(x, low), (x, high)], ink, (3.0, 0.0))
            if point.x_interval:
                low, high = (self._x.at(one) for one in point.x_interval)
                self._interval([(low, y), (high, y)], ink, (0.0, 3.0))
            self.canvas.mark(_shape(at), x, y, ink, radius)
        if radius >= LEAST_SHAPE:  # what is smaller is a part of its line
            half = radius + NEAR
            self._labels.take(x - half, y - half, 2 * half, 2 * half)

    def _interval(self, ends: Sequence[Place], ink: str, cap: Place) -> None:
        self.canvas.line(ends, ink, 1.5)
        self._labels.avoid(ends)
        for x, y in ends:
            self.canvas.line([(x - cap[0], y - cap[1]), (x + cap[0], y + cap[1])], ink, 1.5)

    def _names(self) -> None:
        named = [
            (point, self._place_of(at, point), _radius(series, point))
            for at, series in enumerate(self._picture.series)
            for point in series.points
            if point.name
        ]
        for point, (x, y), radius in sorted(named, key=lambda one: -one[0].weight):
            text = fitting(point.name, MOST_NAME, SMALL)
            place = self._labels.room_for(text, x, y, radius)
            if place is not None:
                self.canvas.write(text, *place, "ink", size=SMALL, is_over=True)


def _seen(places: Sequence[Place]) -> list[Place]:
    """Return the corners of a line but those less than a pixel from the one before."""
    found = [places[0]]
    for x, y in places[1:-1]:
        if abs(x - found[-1][0]) >= 1 or abs(y - found[-1][1]) >= 1:
            found.append((x, y))
    return [*found, places[-1]]


def _radius(series: Series, point: Point) -> float:
    if series.is_sized:
        return LEAST_RADIUS + (MOST_RADIUS - LEAST_RADIUS) * sqrt(min(1.0, max(0.0, point.weight)))
    if not series.joined or point.name:
        return RADIUS
    return RADIUS - 1.5 if len(series.points) <= MOST_MARKS else DOT


def _shape(at: int) -> int:
    """Return a shape that the colour of a series has not yet had."""
    return at + at // len(SERIES)


def _rule_dash(at: int) -> str:
    return ("6 4", "2 3", "9 3 2 3", "")[at % 4]


def _legend(picture: Plot) -> Iterator[Entry]:
    for at, series in enumerate(picture.series):
        has_mark = any(_has_mark(series, point) for point in series.points)
        draw = partial(_draw_swatch, at, is_joined=bool(series.joined), has_mark=has_mark)
        yield Entry(series.name, draw)
    for at, rule in enumerate(picture.rules):
        yield Entry(rule.name, partial(_draw_rule, at))


def _has_mark(series: Series, point: Point) -> bool:
    """Whether a point is more than a corner of its line."""
    return not series.joined or bool(
        point.name or point.tells or point.x_interval or point.y_interval
    )


def _draw_swatch(
    at: int, canvas: Canvas, x: float, y: float, *, is_joined: bool, has_mark: bool
) -> None:
    ink = SERIES[at % len(SERIES)]
    if is_joined:
        canvas.line([(x - 9, y), (x + 9, y)], ink, 2.0, DASHES[at % len(DASHES)])
    if has_mark:
        canvas.mark(_shape(at), x, y, ink)


def _draw_rule(at: int, canvas: Canvas, x: float, y: float) -> None:
    canvas.line([(x - 10, y), (x + 10, y)], "faint", 1.4, _rule_dash(at))


def _values(picture: Plot, which: int) -> Iterator[float]:
    for series in picture.series:
        for point in series.points:
            yield (point.x, point.y)[which]
            yield from (point.x_interval, point.y_interval)[which] or ()


def _axis_title(title: str, scale: Scale) -> str:
    said = f"{title} (logarithmic)" if scale.axis.is_log else title
    return fitting(said, WIDTH - 2 * MARGIN)


def _spaced(scale: Scale, texts: Sequence[str]) -> Iterator[tuple[float, str]]:
    """Yield the ticks whose texts have room beside each other, and within the picture."""
    end = MARGIN * 0.5
    for value, text in zip(scale.ticks, texts, strict=True):
        half = width_of(text) / 2
        at = scale.at(value)
        if at - half > end and at + half < WIDTH - 2:
            end = at + half + 8
            yield value, text


def _clipped(places: Sequence[Place], frame: Labels) -> list[Place]:
    """Return the part of a line that lies within the plot."""
    found: list[Place] = []
    for start, end in pairwise(places):
        part = _clipped_part(start, end, frame)
        if part is not None:
            found += [one for one in part if not found or one != found[-1]]
    return found


def _clipped_part(start: Place, end: Place, frame: Labels) -> tuple[Place, Place] | None:
    """Return the part of a straight line within the plot (Liang and Barsky 1984)."""
    first, last = 0.0, 1.0
    dx, dy = end[0] - start[0], end[1] - start[1]
    for step, room in (
        (-dx, start[0] - frame.left),
        (dx, frame.right - start[0]),
        (-dy, start[1] - frame.top),
        (dy, frame.bottom - start[1]),
    ):
        if step == 0:
            if room < 0:
                return None
        elif step < 0:
            first = max(first, room / step)
        else:
            last = min(last, room / step)
    if first > last:
        return None
    return (
        (start[0] + first * dx, start[1] + first * dy),
        (start[0] + last * dx, start[1] + last * dy),
    )
