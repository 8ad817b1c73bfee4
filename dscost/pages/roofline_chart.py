"""A roofline drawn in characters: both axes logarithmic, with the layers that it is known by."""

from collections.abc import Sequence
from math import ceil, floor, log10
from typing import NamedTuple

from dscost.devices.roofline import Ceilings
from dscost.notation.units import dtype_bytes
from dscost.reports.figures import Cost

CHART_WIDTH = 100
"""A roofline gets no wider than that, however wide the terminal."""
NATURAL_CHART_WIDTH = 72
CHART_LINES = 12


class Landmark(NamedTuple):
    """A convolution that a roofline is known by; the mark stands for it in the chart."""

    mark: str
    name: str
    cost: Cost


def landmarks(ceilings: Ceilings) -> tuple[Landmark, Landmark]:
    """Return a depthwise 3×3 convolution at any size and a dense one of 256 channels at 14×14."""
    size = dtype_bytes(ceilings.dtype)
    activations, positions, weights = 256 * 14 * 14, 14 * 14, 256 * 256 * 9
    end, kernels = activations * size, weights * size
    depthwise = Cost(0, activations * 9, 0, end, end, 2 * end)
    dense = Cost(weights, weights * positions, kernels, end, end, 2 * end + kernels)
    return Landmark("●", "depthwise 3×3", depthwise), Landmark("■", "256→256, 3×3 at 14×14", dense)


_RIDGE = "◆"
_DOTS = ((0x01, 0x02, 0x04, 0x40), (0x08, 0x10, 0x20, 0x80))
"""Bits of a braille character, by column and row of its dots."""


def roofline_chart(
    ceilings: Ceilings, width: int | None = None, lines: int = CHART_LINES
) -> list[str]:
    """Return the roofline drawn in characters, both axes logarithmic, and a legend of its marks.

    There is room for `width` characters per line, if anybody knows; the plot itself has `lines`.
    """
    marks = [(one.mark, one.name, one.cost.flops_per_byte or 1.0) for one in landmarks(ceilings)]
    marks.append((_RIDGE, "ridge", ceilings.ridge_flops_per_byte))
    labels, axis = 12, 1
    taken = min(CHART_WIDTH, width or NATURAL_CHART_WIDTH)
    low = min(0.5, *(x / 2 for _, _, x in marks))
    plot = _Plot(
        columns=max(20, taken - labels - axis),
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
        axis_mark = "┤" if line in heights else "│"
        drawn.append(f"{heights.get(line, ''):>{labels}}{axis_mark}{''.join(cells)}".rstrip())
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
        last = self.columns - 1
        return _inside(round(_share(value, self.x) * last), last)

    def line(self, value: float) -> int:
        last = self.lines - 1
        return _inside(last - floor(_share(value, self.y) * self.lines), last)


def _share(value: float, axis: tuple[float, float]) -> float:
    """Return how far along an axis a value stands, from 0 to 1 where it is on it."""
    low, high = axis
    return (log10(value) - low) / (high - low)


def _inside(at: int, last: int) -> int:
    return min(last, max(0, at))


def _attainable(flops_per_byte: float, ceilings: Ceilings) -> float:
    return min(ceilings.flops_per_s, flops_per_byte * ceilings.bytes_per_s)


def _roof(plot: _Plot, ceilings: Ceilings) -> list[list[str]]:
    """Return the roof in braille: two by four dots a character."""
    bits = [[0] * plot.columns for _ in range(plot.lines)]
    low, high = plot.x
    lowest, last = 4 * plot.lines - 1, None
    for step in range(2 * plot.columns):
        x = 10 ** (low + (high - low) * step / (2 * plot.columns - 1))
        dot = lowest - _inside(round(_share(_attainable(x, ceilings), plot.y) * lowest), lowest)
        for row in range(*((dot, dot + 1) if last is None or dot == last else (dot, last))):
            bits[row // 4][step // 2] |= _DOTS[step % 2][row % 4]
        last = dot
    return [[chr(0x2800 + cell) if cell else " " for cell in line] for line in bits]


def _labels(plot: _Plot, ceilings: Ceilings) -> dict[int, str]:
    """Return the labels of the vertical axis by line: the peak, and round values away from it."""
    low, high = plot.y
    steps = (1, 2, 5) if high - low < _FEW_DECADES else (1,)
    values = [step * 10.0**power for power in range(floor(low), ceil(high)) for step in steps]
    peak = plot.line(ceilings.flops_per_s)
    labels = {}
    for value in values:
        if low <= log10(value) and plot.line(value) > peak + 1:
            number, _, unit = format_speed(value, "FLOP/s").partition(" ")
            labels[plot.line(value)] = f"{float(number):g} {unit}"
    return {**labels, peak: format_speed(ceilings.flops_per_s, "FLOP/s")}


_FEW_DECADES = 1.5


def _foot(plot: _Plot, labels: int) -> Sequence[str]:
    axis, names = ["─"] * plot.columns, [" "] * plot.columns
    for power in range(ceil(plot.x[0]), floor(plot.x[1]) + 1):
        column, text = plot.column(10.0**power), f"{10.0**power:g}"
        axis[column] = "┬"
        if column + len(text) <= plot.columns:
            names[column : column + len(text)] = text
    return [f"{'':{labels}}└{''.join(axis)}", f"{'':{labels}} {''.join(names)}".rstrip()]


def _place(flops_per_byte: float, ceilings: Ceilings) -> str:
    speed = format_speed(_attainable(flops_per_byte, ceilings), "FLOP/s")
    return f"{flops_per_byte:.3g} FLOP/byte, {speed}"


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
