"""What pictures show of results: points, bars and cells with their figures, to be drawn elsewhere.

A picture knows its figures, units and intervals, and says in a sentence what it shows; how many
pixels that takes is known to `dscost.rendering.drawing` alone. Every kind of result has the module
that makes its pictures here.
"""

from dscost.pages.pictures.picture import (
    Axis,
    Bar,
    Bars,
    Cell,
    Contour,
    Grid,
    NotDrawn,
    Picture,
    Plot,
    Point,
    Rule,
    Series,
)

__all__ = [
    "Axis",
    "Bar",
    "Bars",
    "Cell",
    "Contour",
    "Grid",
    "NotDrawn",
    "Picture",
    "Plot",
    "Point",
    "Rule",
    "Series",
]
