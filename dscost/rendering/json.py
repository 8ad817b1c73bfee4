"""The data of a result as JSON."""

from dscost.pages import Said, View
from dscost.rendering.printable import json_text


def write(said: Said, view: View) -> str:
    """Return the whole document."""
    return json_text(said.data(view))
