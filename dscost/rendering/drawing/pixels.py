"""A picture → PNG, equal on every machine: by resvg, with the font that ships and no other."""

from importlib import import_module
from typing import Any

from dscost.errors import UnavailableError, first_line
from dscost.pages.pictures import Picture
from dscost.rendering.drawing import svg_of
from dscost.rendering.drawing.lettering import FONT

NO_PIXELS = "resvg-py is not installed: pip install 'dscost[png]'"
ZOOM = 2
"""Pixels for each of SVG, so that text is sharp on the screens of today."""


def png_of(picture: Picture) -> bytes:
    """Return a picture as PNG, on a white ground.

    Raises:
        UnavailableError: resvg-py is not installed, or cannot be imported.
    """
    made: bytes = _resvg().svg_to_bytes(
        svg_string=svg_of(picture, is_dark_too=False),
        font_files=[str(FONT)],
        skip_system_fonts=True,
        font_family="DejaVu Sans",
        zoom=ZOOM,
    )
    return bytes(made)


def _resvg() -> Any:
    try:
        return import_module("resvg_py")
    except ModuleNotFoundError as error:
        if error.name != "resvg_py":
            raise UnavailableError(f"resvg-py cannot be imported: {first_line(error)}") from error
        raise UnavailableError(NO_PIXELS) from error
    except ImportError as error:
        raise UnavailableError(f"resvg-py cannot be imported: {first_line(error)}") from error
