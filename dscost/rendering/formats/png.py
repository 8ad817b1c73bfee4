"""A picture of a result as pixels."""

from dscost.pages import Said, View
from dscost.rendering import register_renderer
from dscost.rendering.picturing import picture_of


@register_renderer(
    "png", meaning="A picture as pixels (dscost[png]).", endings=(".png",), says="pictures"
)
def png(said: Said, view: View) -> bytes:
    """Return the picture that is asked for, or the most telling one, as `svg` draws it."""
    from dscost.rendering.drawing.pixels import png_of

    return png_of(picture_of(said, view))
