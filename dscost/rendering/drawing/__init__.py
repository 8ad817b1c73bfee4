"""A picture → SVG, the same for pages, files and pixels.

What is drawn has no element that a browser would fetch, and no script. Colours stand beside every
shape as its attributes, so that nothing else is needed to see it; a style may change them by the
classes of `dscost.rendering.drawing.inks`, as for dark pages.
"""

from collections.abc import Callable
from typing import Any

from dscost.pages.pictures import Bars, Grid, Picture, Plot
from dscost.rendering.drawing.bars import draw_bars
from dscost.rendering.drawing.canvas import Canvas
from dscost.rendering.drawing.grids import draw_grid
from dscost.rendering.drawing.inks import style
from dscost.rendering.drawing.plots import draw_plot

__all__ = ["svg_of"]

_DRAWN_BY: dict[type, Callable[[Any], Canvas]] = {
    Plot: draw_plot,
    Bars: draw_bars,
    Grid: draw_grid,
}


def svg_of(
    picture: Picture,
    key: str | None = "",
    *,
    is_alone: bool = True,
    is_dark_too: bool = True,
    is_coloured: bool = True,
) -> str:
    """Return a picture as SVG.

    Args:
        picture: What to draw.
        key: What tells its ids from those of others on one page; of `None` it has no ids.
        is_alone: Whether it is a file of its own, with its background and its own style for dark
            screens, and not part of a page that has those.
        is_dark_too: Whether such a file has that style.
        is_coloured: Whether colours stand beside the shapes; not in a page whose style has all.
    """
    canvas = _DRAWN_BY[type(picture)](picture)
    if not is_coloured:
        canvas.leave_colours_to_a_style()
    own_style = style(canvas.inks) if is_alone and is_dark_too else ""
    named = None if key is None else key or picture.name
    return canvas.text(named, picture.title, picture.told, own_style, is_alone=is_alone)
