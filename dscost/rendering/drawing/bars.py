"""Horizontal bars from 0, those of one thing below each other."""

from collections.abc import Iterator
from functools import partial

from dscost.pages.pictures import Bar, Bars
from dscost.rendering.drawing.canvas import WIDTH, Canvas
from dscost.rendering.drawing.frame import MARGIN, SMALL, Entry, foot_of, head_of, text_base
from dscost.rendering.drawing.inks import SERIES
from dscost.rendering.drawing.lettering import LINE, fitting, fitting_apart, width_of
from dscost.rendering.drawing.scales import Scale, scale_of, tick_text, tick_texts

THICK = 13.0
GAP = 9.0
"""Between the bars of two things."""
CLEAR = 4.0
"""Between the mark of a limit and a text."""
LIMIT_DASH = "4 2"
MOST_NAME = 250.0
MOST_TEXT = 180.0
"""Of what stands at the end of a bar."""


def draw_bars(picture: Bars) -> Canvas:
    """Return bars drawn."""
    head = head_of(picture.title, list(_legend(picture)))
    foot = foot_of(picture.notes, picture.measured)
    names = fitting_apart([bar.name for bar in picture.bars], MOST_NAME)
    left = MARGIN + max(map(width_of, names), default=0.0) + 8
    top = head.height + 8
    step = len(picture.series) * THICK + GAP
    bottom = top + step * len(picture.bars)
    canvas = Canvas(bottom + 2 * LINE + 12 + foot.height)
    texts = [[_text(picture, bar, at) for at in range(len(bar.values))] for bar in picture.bars]
    beside = max((width_of(text, SMALL) for row in texts for text in row), default=0.0) + 10
    scale = scale_of(picture.axis, [0.0, *_values(picture)], left, WIDTH - MARGIN - beside)
    head.draw(canvas)
    _axis(canvas, picture, scale, top, bottom)
    for at, (bar, name) in enumerate(zip(picture.bars, names, strict=True)):
        y = top + at * step + GAP / 2
        with canvas.told(bar.tells):
            middle = y + len(picture.series) * THICK / 2
            canvas.write(name, left - 8, text_base(middle), anchor="end")
            ends = _bar(canvas, bar, scale, y)
            _limit(canvas, picture, at, scale, y)
            for row, (text, end) in enumerate(zip(texts[at], ends, strict=True)):
                base = y + (row + 0.5) * THICK + SMALL * 0.36
                x = _beyond_limit(picture, at, scale, end + 5, width_of(text, SMALL))
                canvas.write(text, x, base, size=SMALL, is_over=True)
    foot.draw(canvas)
    return canvas


def _bar(canvas: Canvas, bar: Bar, scale: Scale, y: float) -> list[float]:
    """Draw the bars of one thing; return where each ends."""
    zero, ends = scale.at(0.0), []
    for at, value in enumerate(bar.values):
        middle = y + (at + 0.5) * THICK
        end = zero
        if value is not None:
            end = scale.at(value)
            start, width = min(zero, end), abs(end - zero)
            _area(canvas, bar, at, start, middle, width)
        elif bar.is_endless and at == 0:
            end = scale.end
            _area(canvas, bar, at, zero, middle, end - zero)
            _broken_off(canvas, end - 12, middle)
        interval = bar.intervals[at] if at < len(bar.intervals) else None
        if interval is not None:
            low, high = map(scale.at, interval)
            canvas.line([(low, middle), (high, middle)], "ground", 4.0)
            canvas.line([(low, middle), (high, middle)], "ink", 1.5)
            for x in (low, high):
                canvas.line([(x, middle - 3), (x, middle + 3)], "ink", 1.5)
            end = max(end, high)
        ends.append(max(zero, end))
    return ends


def _area(canvas: Canvas, bar: Bar, at: int, start: float, middle: float, width: float) -> None:
    """Draw a bar in the colour and with the strokes of its series, or of what it breaks."""
    kind = ("bad" if bar.is_bad else "warned" if bar.is_warned else "") if at == 0 else ""
    ink = kind or SERIES[at % len(SERIES)]
    canvas.area(start, middle - THICK / 2 + 1, max(width, 0.8), THICK - 2, ink)
    _hatched(canvas, _BROKEN.get(kind, at), start, middle, width)


def _broken_off(canvas: Canvas, x: float, middle: float) -> None:
    """Draw two strokes across a bar that is longer than there is room for."""
    for left in (x, x + 5):
        canvas.line([(left - 2, middle + 7), (left + 2, middle - 7)], "ground", 2.0)


_HATCHES = (None, (THICK - 5, "1.3 4.7"), (2.0, ""), (THICK - 5, "4 4"))
"""How thick a line is drawn along the bars of a series, and its dashes, which tell it in grey."""
_BROKEN = {"bad": 2, "warned": 3}
"""Which of them those have that break a limit."""


def _hatched(canvas: Canvas, at: int, start: float, middle: float, width: float) -> None:
    """Draw over a bar what tells its series without colour."""
    hatch = _HATCHES[at % len(_HATCHES)]
    if hatch and width > 9:
        canvas.line([(start + 5, middle), (start + width - 2, middle)], "ground", *hatch)


def _beyond_limit(picture: Bars, at: int, scale: Scale, x: float, width: float) -> float:
    """Return where a text begins: beyond the mark of a limit that would run through it."""
    limit = picture.limits[at] if at < len(picture.limits) else None
    if limit is None or not x - CLEAR < scale.at(limit) < x + width + CLEAR:
        return x
    return scale.at(limit) + CLEAR + 1


def _limit(canvas: Canvas, picture: Bars, at: int, scale: Scale, y: float) -> None:
    limit = picture.limits[at] if at < len(picture.limits) else None
    if limit is not None:
        x, height = scale.at(limit), len(picture.series) * THICK
        canvas.line([(x, y - 3), (x, y + height + 3)], "ink", 2.0, LIMIT_DASH)


def _axis(canvas: Canvas, picture: Bars, scale: Scale, top: float, bottom: float) -> None:
    end = 0.0
    for value, text in zip(
        scale.ticks, tick_texts(scale.ticks, picture.axis.quantity), strict=True
    ):
        at, half = scale.at(value), width_of(text) / 2
        canvas.line([(at, top), (at, bottom)], "grid")
        if at - half > end:
            canvas.write(text, at, bottom + LINE, "faint", "middle")
            end = at + half + 8
    zero = scale.at(0.0)
    canvas.line([(zero, top), (zero, bottom)], "faint")
    title = fitting(picture.axis.title, WIDTH - 2 * MARGIN)
    x = max(scale.end, MARGIN + width_of(title))
    canvas.write(title, x, bottom + 2 * LINE + 2, anchor="end")


def _text(picture: Bars, bar: Bar, at: int) -> str:
    if at < len(bar.texts):
        return fitting(bar.texts[at], MOST_TEXT, SMALL)
    value = bar.values[at]
    return "–" if value is None else tick_text(value, picture.axis.quantity)


def _values(picture: Bars) -> Iterator[float]:
    for bar in picture.bars:
        yield from (one for one in bar.values if one is not None)
        yield from (end for one in bar.intervals if one is not None for end in one)
    yield from (one for one in picture.limits if one is not None)


def _legend(picture: Bars) -> Iterator[Entry]:
    for at, name in enumerate(picture.series):
        yield Entry(name, partial(_draw_swatch, at))
    for kind, name in (("bad", "beyond its limit"), ("warned", "beyond its limit, a warning")):
        if any(bar.is_bad if kind == "bad" else bar.is_warned for bar in picture.bars):
            yield Entry(name, partial(_broken_swatch, kind))
    if any(bar.is_endless for bar in picture.bars):
        yield Entry("beyond any share", _endless_swatch)
    if any(limit is not None for limit in picture.limits):
        yield Entry("limit", _limit_swatch)


def _draw_swatch(at: int, canvas: Canvas, x: float, y: float) -> None:
    canvas.area(x - 9, y - 5, 18, THICK - 2, SERIES[at % len(SERIES)])
    _hatched(canvas, at, x - 9, y + 0.5, 18)


def _broken_swatch(kind: str, canvas: Canvas, x: float, y: float) -> None:
    canvas.area(x - 9, y - 5, 18, THICK - 2, kind)
    _hatched(canvas, _BROKEN[kind], x - 9, y + 0.5, 18)


def _endless_swatch(canvas: Canvas, x: float, y: float) -> None:
    canvas.area(x - 9, y - 5, 18, THICK - 2, "faint")
    _broken_off(canvas, x - 2, y + 0.5)


def _limit_swatch(canvas: Canvas, x: float, y: float) -> None:
    canvas.line([(x, y - 7), (x, y + 7)], "ink", 2.0, LIMIT_DASH)
