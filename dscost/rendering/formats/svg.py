"""A picture of a result, as a file that a browser, a page or a paper takes."""

from dscost.pages import Said, View
from dscost.rendering import register_renderer
from dscost.rendering.drawing import svg_of
from dscost.rendering.picturing import picture_of


@register_renderer("svg", meaning="A picture, see --plot.", endings=(".svg",), says="pictures")
def svg(said: Said, view: View) -> str:
    """Return the picture that is asked for, or the most telling one."""
    return svg_of(picture_of(said, view))
