"""The three kinds of pictures: plots of points and lines, bars, and grids of cells."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Literal, NamedTuple

Quantity = Literal[
    "count", "bytes", "seconds", "factor", "flops_per_byte", "flops_per_s", "share", "number"
]
"""What an axis has, which decides how its values are written: 1.5M, 2 KiB, 3 ms, 4×, 5 GFLOP/s,
6 %."""
Interval = tuple[float, float] | None
Tint = Literal["better", "best", "worse", "even", "unclear", "none"]
"""What the value of a cell is to its reader."""


LEAST, MOST = 1e-30, 1e30
"""Figures beyond are mistakes of a file, and quotients of them no numbers any more."""


def has_place(*values: float) -> bool:
    """Whether all of some values have a place on a logarithmic axis.

    >>> has_place(1e-9, 8.7), has_place(0.0), has_place(float("inf"))
    (True, False, False)
    """
    return all(LEAST <= value <= MOST for value in values)


class Axis(NamedTuple):
    """An axis.

    Args:
        title: What it has, with what the unit does not say: `measured speedup`.
        quantity: How its values are written.
        is_log: Whether it is logarithmic: no value may be 0 then.
        includes: Values that it reaches to although nothing stands there.
    """

    title: str
    quantity: Quantity = "number"
    is_log: bool = False
    includes: tuple[float, ...] = ()


class Point(NamedTuple):
    """A point of a plot.

    Args:
        x: Where.
        y: Where.
        name: What stands beside it where there is room.
        tells: The sentence that a pointer over it is answered with.
        x_interval: Between which values it may lie.
        y_interval: Between which values it may lie.
        weight: Of points that have no room for both their names, the heavier has its own; and
            where `Series.is_sized`, how large it is drawn, from 0 to 1.
    """

    x: float
    y: float
    name: str = ""
    tells: str = ""
    x_interval: Interval = None
    y_interval: Interval = None
    weight: float = 0.0


class Series(NamedTuple):
    """Points that belong together: they share a colour, a shape and a line of the legend.

    Args:
        name: What the legend calls them; nothing where there is but one series.
        points: In the order in which a line joins them.
        joined: `line` or `steps` where one does; a point of it that has neither a name nor a
            sentence nor an interval is no more than its corner.
        is_sized: Whether the weight of points shows in their size.
    """

    name: str
    points: Sequence[Point]
    joined: Literal["", "line", "steps"] = ""
    is_sized: bool = False


class Rule(NamedTuple):
    """A line that points are held against, such as a roof or a diagonal.

    Args:
        name: What the legend calls it.
        points: Where it runs, x and y; between two it is straight in the plot as drawn.
    """

    name: str
    points: Sequence[tuple[float, float]]


class Plot(NamedTuple):
    """Points and lines between two axes.

    Args:
        name: What `--plot` calls it.
        title: What stands above it.
        told: What it shows, in a sentence, for who cannot see it.
        x: The axis below.
        y: The axis to the left.
        series: What is drawn.
        rules: What that is held against.
        notes: Sentences below it, such as what was left out.
        measured: On what machine its figures were measured, and by what, if they were.
        is_apart: Whether points of several series stand beside each other where they have one x,
            each a little off it.
    """

    name: str
    title: str
    told: str
    x: Axis
    y: Axis
    series: Sequence[Series]
    rules: Sequence[Rule] = ()
    notes: Sequence[str] = ()
    measured: str = ""
    is_apart: bool = False


class Bar(NamedTuple):
    """The bars of one thing, side by side: one for each series, `None` where it has none.

    Args:
        name: What stands beside them.
        values: Their lengths.
        tells: The sentence that a pointer over them is answered with.
        intervals: Between which values each may lie; nothing where none is known.
        texts: What stands at the end of each; by default its value.
        is_bad: Whether the first breaks its limit, which its colour shows beside its words.
        is_warned: Whether it does and that is a warning.
        is_endless: Whether the first, which has no value, is longer than any length.
    """

    name: str
    values: Sequence[float | None]
    tells: str = ""
    intervals: Sequence[Interval] = ()
    texts: Sequence[str] = ()
    is_bad: bool = False
    is_warned: bool = False
    is_endless: bool = False


class Bars(NamedTuple):
    """Horizontal bars from 0, one below the other.

    Args:
        name: As of a `Plot`.
        title: As of a `Plot`.
        told: As of a `Plot`.
        axis: What their lengths are.
        series: What the legend calls the bars of one thing; one empty name where there is one.
        bars: From top to bottom.
        limits: A value for each that it must not exceed, which is marked; nothing where none has
            one.
        notes: As of a `Plot`.
        measured: As of a `Plot`.
    """

    name: str
    title: str
    told: str
    axis: Axis
    series: Sequence[str]
    bars: Sequence[Bar]
    limits: Sequence[float | None] = ()
    notes: Sequence[str] = ()
    measured: str = ""


class Cell(NamedTuple):
    """A cell of a grid.

    Args:
        column: Its place among the columns.
        row: Its place among the rows.
        value: What decides on which side of a contour it lies; `None` where that is not known.
        text: What stands in it.
        tint: What its value is to the reader.
        tells: The sentence that a pointer over it is answered with.
    """

    column: int
    row: int
    value: float | None
    text: str
    tint: Tint = "none"
    tells: str = ""


class Contour(NamedTuple):
    """A line between cells whose values lie on either side of a level.

    Args:
        level: The level: a value above it lies on one side, any other on the other.
        name: What the legend calls it.
        is_fine: Whether it is drawn thin and dashed, as one that is of less weight.
    """

    level: float
    name: str
    is_fine: bool = False


class Grid(NamedTuple):
    """Cells by two things that vary, with contours where their values cross a level.

    Args:
        name: As of a `Plot`.
        title: As of a `Plot`.
        told: As of a `Plot`.
        across: What varies from left to right.
        columns: Its values.
        down: What varies from top to bottom.
        rows: Its values.
        cells: In any order; there may be gaps.
        contours: The lines between them; where two run together the first is seen.
        meanings: What the legend calls the tints.
        notes: As of a `Plot`.
        measured: As of a `Plot`.
    """

    name: str
    title: str
    told: str
    across: str
    columns: Sequence[str]
    down: str
    rows: Sequence[str]
    cells: Sequence[Cell]
    contours: Sequence[Contour] = ()
    meanings: Mapping[Tint, str] = MappingProxyType({})
    notes: Sequence[str] = ()
    measured: str = ""


Picture = Plot | Bars | Grid


class NotDrawn(NamedTuple):
    """A picture that a result could have and has not.

    Args:
        name: What `--plot` calls it.
        why: Why not, and what has it drawn.
    """

    name: str
    why: str
