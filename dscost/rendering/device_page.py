"""What a device can do: a page with its roofline drawn, JSON, CSV, Markdown. Without torch."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from math import ceil, floor, log10
from typing import Any, NamedTuple

from dscost.devices.roofline import Ceilings, bound_of
from dscost.errors import UnknownNameError
from dscost.notation.units import dtype_bytes, format_bytes, format_seconds
from dscost.rendering.pages import Column, Page, Row, Sheet, View, filled
from dscost.rendering.printable import csv_text, json_text
from dscost.reports.figures import FIGURES, Cost
from dscost.reports.records import SCHEMA_VERSION

CHART_WIDTH = 100
"""A roofline gets no wider than that, however wide the terminal."""
NATURAL_CHART_WIDTH = 72
CHART_LINES = 12


class Landmark(NamedTuple):
    """A convolution that a roofline is known by.

    Args:
        mark: What stands for it in the chart.
        name: In words.
        cost: In the dtype of the ceilings.
    """

    mark: str
    name: str
    cost: Cost


def render_device(ceilings: Ceilings, kept: str | None, format_name: str, view: View) -> str:
    """Return the ceilings of a device in one of the formats of `FORMATS`.

    Args:
        ceilings: Of the device.
        kept: Where they are kept, if they are.
        format_name: One of `FORMATS`.
        view: Width and colour of a table.

    Raises:
        UnknownNameError: There is no such format, or none for a device.
    """
    if format_name not in FORMATS:
        raise UnknownNameError("format of a device", format_name, FORMATS)
    return FORMATS[format_name](ceilings, kept, view)


def _table(ceilings: Ceilings, kept: str | None, view: View) -> str:
    from dscost.rendering.terminal import render_pages

    width = view.width or NATURAL_CHART_WIDTH
    chart = "\n".join(roofline_chart(ceilings, min(CHART_WIDTH, width)))
    page = device_page(ceilings, kept)
    head = render_pages([page._replace(closing=())], view).rstrip()
    notes = render_pages([Page(heading="", closing=page.closing)], view).strip("\n")
    return f"{head}\n\n{chart}\n\n{notes}\n"


def _markdown(ceilings: Ceilings, kept: str | None, view: View) -> str:
    from dscost.rendering.markdown import markdown_page, paragraph

    page = device_page(ceilings, kept)
    chart = "\n".join(roofline_chart(ceilings, NATURAL_CHART_WIDTH))
    head = markdown_page(page._replace(closing=()))
    notes = "\n\n".join(map(paragraph, page.closing))
    return f"{head}\n```text\n{chart}\n```\n\n{notes}\n"


def _json(ceilings: Ceilings, kept: str | None, view: View) -> str:
    from dscost import __version__

    document = {
        "schema_version": SCHEMA_VERSION,
        "tool": {"name": "dscost", "version": __version__},
        "command": "device",
        "ceilings": ceilings.to_dict(),
    }
    return json_text(document)


def _csv(ceilings: Ceilings, kept: str | None, view: View) -> str:
    columns = ("device", "dtype", "figure", "of", "value", "unit")
    rows = ((ceilings.device, ceilings.dtype, *figure) for figure in _figures(ceilings))
    return csv_text(columns, (dict(zip(columns, row, strict=True)) for row in rows))


def _figures(ceilings: Ceilings) -> Iterator[tuple[str, str | int, Any, str]]:
    yield "peak", "", ceilings.flops_per_s, "FLOP/s"
    yield "bandwidth", "", ceilings.bytes_per_s, "byte/s"
    yield "ridge", "", ceilings.ridge_flops_per_byte, "FLOP/byte"
    for size, speed in ceilings.curve:
        yield "bandwidth", size, speed, "byte/s"
    for name, rate in ceilings.rates.items():
        for field, unit in _RATE_UNITS.items():
            value = getattr(rate, field)
            yield field, name, "" if value is None else value, unit


_RATE_UNITS = {
    "t0_s": "s",
    "flops_per_s": "FLOP/s",
    "activation_bytes_per_s": "byte/s",
    "weight_bytes_per_s": "byte/s",
    "least_channels": "channels",
}

FORMATS: Mapping[str, Callable[[Ceilings, str | None, View], str]] = {
    "table": _table,
    "json": _json,
    "csv": _csv,
    "markdown": _markdown,
}
"""How a device can be shown."""


# -- the page


def device_page(ceilings: Ceilings, kept: str | None) -> Page:
    """Return the page of a device; its roofline is drawn apart, since that depends on the width."""
    threads = (
        ""
        if ceilings.threads is None
        else f", {ceilings.threads} thread{'s' * (ceilings.threads != 1)}"
    )
    sheets = [
        _ceilings_sheet(ceilings),
        _landmark_sheet(ceilings),
        _curve_sheet(ceilings),
        _rates_sheet(ceilings),
    ]
    return Page(
        heading=f"{ceilings.name}{threads}, {ceilings.dtype}",
        sheets=[sheet for sheet in sheets if sheet.rows],
        unhide="--wide",
        closing=list(_closing(ceilings, kept)),
    )


def _ceilings_sheet(ceilings: Ceilings) -> Sheet:
    cells = {
        "peak": format_speed(ceilings.flops_per_s, "FLOP/s"),
        "bandwidth": format_speed(ceilings.bytes_per_s, "B/s"),
        "ridge": f"{ceilings.ridge_flops_per_byte:.3g} FLOP/byte",
    }
    columns = [
        Column(key, header, 0)
        for key, header in zip(cells, ("peak", "memory", "ridge"), strict=True)
    ]
    return Sheet(columns, [Row(cells, "strong")])


def _landmark_sheet(ceilings: Ceilings) -> Sheet:
    columns = [
        Column("layer", "layer", 0, "left"),
        Column("flops_per_byte", FIGURES["flops_per_byte"].title, 2),
        Column("most", "at most", 0),
        Column("share", "of peak", 3),
        Column("bound", "bound", 0, "left"),
        Column("near", "note", 4, "left"),
    ]
    rows = []
    for landmark in landmarks(ceilings):
        found = bound_of(landmark.cost, ceilings)
        most = landmark.cost.flops / found.roofline_s
        rows.append(
            Row(
                {
                    "layer": landmark.name,
                    "flops_per_byte": f"{landmark.cost.flops_per_byte:.3g}",
                    "most": format_speed(most, "FLOP/s"),
                    "share": f"{most / ceilings.flops_per_s:.0%}",
                    "bound": found.bound,
                    "near": "near the ridge" if found.balanced else "",
                }
            )
        )
    return Sheet(filled(columns, rows), rows)


def _curve_sheet(ceilings: Ceilings) -> Sheet:
    columns = [
        Column("size", "working set", 0),
        Column("speed", "bandwidth", 0),
        Column("bar", "", 1, "left"),
    ]
    most = max((speed for _, speed in ceilings.curve), default=1.0)
    rows = [
        Row(
            {
                "size": format_bytes(size),
                "speed": format_speed(speed, "B/s"),
                "bar": "━" * round(20 * speed / most),
            }
        )
        for size, speed in ceilings.curve
    ]
    return Sheet(columns, rows)


def _rates_sheet(ceilings: Ceilings) -> Sheet:
    columns = [
        Column("operator", "convolution", 0, "left"),
        Column("layout", "layout", 0, "left"),
        Column("t0", "fitted: per call", 0),
        Column("flops", "+ FLOPs at", 1),
        Column("activations", "+ activations at", 2),
        Column("weights", "+ weights at", 3),
    ]
    rows = []
    for name, rate in ceilings.rates.items():
        operator, _, layout = name.partition(":")
        speeds = {
            "flops": (rate.flops_per_s, "FLOP/s"),
            "activations": (rate.activation_bytes_per_s, "B/s"),
            "weights": (rate.weight_bytes_per_s, "B/s"),
        }
        cells = {
            key: format_speed(value, unit)
            for key, (value, unit) in speeds.items()
            if value is not None
        }
        rows.append(
            Row({"operator": operator, "layout": layout, "t0": format_seconds(rate.t0_s), **cells})
        )
    return Sheet(filled(columns, rows), rows)


def _closing(ceilings: Ceilings, kept: str | None) -> Iterator[str]:
    if ceilings.source is not None:
        yield f"By its data sheet, not measured: {ceilings.source}."
        return
    versions = ", ".join(f"{name} {version}" for name, version in ceilings.versions.items())
    yield f"Measured on {ceilings.measured_on} with {versions}" + (
        f", kept in {kept}." if kept else "."
    )
    if ceilings.rates:
        yield (
            "A layer is predicted to take the time per call and then, one after the other, those of its FLOPs, its "
            "activations and its weights at these speeds"
            + (
                f"; usually off by a factor of {ceilings.usual_error:.2f}."
                if ceilings.usual_error
                else "."
            )
            + " They are coefficients of a fit: nothing runs at one of them alone, so that it may be above the peak "
            "or the memory."
        )


def format_speed(per_s: float, unit: str) -> str:
    """Return a speed above 0 with three digits and a decimal prefix.

    >>> format_speed(26.94e9, "B/s"), format_speed(1.979e15, "FLOP/s")
    ('26.9 GB/s', '1.98 PFLOP/s')
    """
    value, prefixes = per_s, ["", "k", "M", "G", "T", "P", "E"]
    while float(f"{value:.3g}") >= 1000 and len(prefixes) > 1:
        value /= 1000
        prefixes.pop(0)
    value = float(f"{value:.3g}")
    digits = max(0, 2 - floor(log10(value)))
    return f"{value:.{digits}f} {prefixes[0]}{unit}"


# -- the roofline


def landmarks(ceilings: Ceilings) -> tuple[Landmark, Landmark]:
    """Return a depthwise 3×3 convolution at any size and a dense one of 256 channels at 14×14."""
    size = dtype_bytes(ceilings.dtype)
    activations, positions, weights = 256 * 14 * 14, 14 * 14, 256 * 256 * 9
    depthwise = Cost(
        0, activations * 9, 0, activations * size, activations * size, 2 * activations * size
    )
    dense = Cost(
        params=weights,
        macs=weights * positions,
        weight_bytes=weights * size,
        input_bytes=activations * size,
        output_bytes=activations * size,
        traffic_bytes=(2 * activations + weights) * size,
    )
    return Landmark("●", "depthwise 3×3", depthwise), Landmark("■", "256→256, 3×3 at 14×14", dense)


_RIDGE = "◆"
_DOTS = ((0x01, 0x02, 0x04, 0x40), (0x08, 0x10, 0x20, 0x80))
"""Bits of a braille character, by column and row of its dots."""


def roofline_chart(ceilings: Ceilings, width: int, lines: int = CHART_LINES) -> list[str]:
    """Return the roofline drawn in characters, both axes logarithmic, and a legend of its marks.

    Args:
        ceilings: Of the device.
        width: Characters per line.
        lines: Of the plot itself.
    """
    marks = [(one.mark, one.name, one.cost.flops_per_byte or 1.0) for one in landmarks(ceilings)]
    marks.append((_RIDGE, "ridge", ceilings.ridge_flops_per_byte))
    labels, axis = 12, 1
    columns = max(20, width - labels - axis)
    low = min(0.5, *(x / 2 for _, _, x in marks))
    plot = _Plot(
        columns=columns,
        lines=lines,
        x=(log10(low), log10(max(x for _, _, x in marks) * 4)),
        y=(log10(_attainable(low, ceilings)), log10(ceilings.flops_per_s * 1.3)),
    )
    grid = _roof(plot, ceilings)
    for mark, _, x in marks:
        column, line = plot.column(x), plot.line(_attainable(x, ceilings))
        for below in range(line + 1, lines):
            grid[below][column] = "┊"
        grid[line][column] = mark
    heights = _labels(plot, ceilings)
    drawn = ["Attainable speed by FLOP/byte, both logarithmic"]
    for line, cells in enumerate(grid):
        drawn.append(
            f"{heights.get(line, ''):>{labels}}{'┤' if line in heights else '│'}{''.join(cells)}".rstrip()
        )
    drawn += _foot(plot, labels)
    drawn += [f"  {mark} {name}: {_place(x, ceilings)}" for mark, name, x in marks]
    return drawn


class _Plot(NamedTuple):
    """Where values stand; `x` and `y` are decimal logarithms of the edges."""

    columns: int
    lines: int
    x: tuple[float, float]
    y: tuple[float, float]

    def column(self, value: float) -> int:
        low, high = self.x
        return min(
            self.columns - 1,
            max(0, round((log10(value) - low) / (high - low) * (self.columns - 1))),
        )

    def line(self, value: float) -> int:
        low, high = self.y
        return min(
            self.lines - 1,
            max(0, self.lines - 1 - floor((log10(value) - low) / (high - low) * self.lines)),
        )


def _attainable(flops_per_byte: float, ceilings: Ceilings) -> float:
    return min(ceilings.flops_per_s, flops_per_byte * ceilings.bytes_per_s)


def _roof(plot: _Plot, ceilings: Ceilings) -> list[list[str]]:
    """Return the roof in braille: two by four dots a character."""
    bits = [[0] * plot.columns for _ in range(plot.lines)]
    low, high = plot.x
    bottom, top = plot.y
    dots, last = 4 * plot.lines, None
    for step in range(2 * plot.columns):
        x = 10 ** (low + (high - low) * step / (2 * plot.columns - 1))
        height = (log10(_attainable(x, ceilings)) - bottom) / (top - bottom)
        dot = dots - 1 - min(dots - 1, max(0, round(height * (dots - 1))))
        for row in range(*((dot, dot + 1) if last is None or dot == last else (dot, last))):
            bits[row // 4][step // 2] |= _DOTS[step % 2][row % 4]
        last = dot
    return [[chr(0x2800 + cell) if cell else " " for cell in line] for line in bits]


def _labels(plot: _Plot, ceilings: Ceilings) -> dict[int, str]:
    """Return the labels of the vertical axis by line: the peak, and round values that keep away from it."""
    low, high = plot.y
    steps = (1, 2, 5) if high - low < _FEW_DECADES else (1,)
    values = [step * 10.0**power for power in range(floor(low), ceil(high)) for step in steps]
    peak = plot.line(ceilings.flops_per_s)
    found = {
        plot.line(value): value
        for value in values
        if low <= log10(value) and plot.line(value) > peak + 1
    }
    return {**{line: _round_speed(value) for line, value in found.items()}, peak: _peak(ceilings)}


_FEW_DECADES = 1.5


def _round_speed(per_s: float) -> str:
    number, _, unit = format_speed(per_s, "FLOP/s").partition(" ")
    return f"{float(number):g} {unit}"


def _peak(ceilings: Ceilings) -> str:
    return format_speed(ceilings.flops_per_s, "FLOP/s")


def _foot(plot: _Plot, labels: int) -> Sequence[str]:
    axis, names = ["─"] * plot.columns, [" "] * plot.columns
    for power in range(ceil(plot.x[0]), floor(plot.x[1]) + 1):
        column, text = plot.column(10.0**power), f"{10.0**power:g}"
        axis[column] = "┬"
        if column + len(text) <= plot.columns:
            names[column : column + len(text)] = text
    return [f"{'':{labels}}└{''.join(axis)}", f"{'':{labels}} {''.join(names)}".rstrip()]


def _place(flops_per_byte: float, ceilings: Ceilings) -> str:
    return f"{flops_per_byte:.3g} FLOP/byte, {format_speed(_attainable(flops_per_byte, ceilings), 'FLOP/s')}"
