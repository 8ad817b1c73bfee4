"""A result as one page for browsers."""

from dscost.pages import Said, View
from dscost.rendering import register_renderer


@register_renderer(
    "html", meaning="A page for browsers, its pictures in it.", endings=(".html", ".htm")
)
def html(said: Said, view: View) -> str:
    """Return the result as a page that needs nothing besides itself."""
    from dscost.rendering.html import page_of

    return page_of(said, view)
