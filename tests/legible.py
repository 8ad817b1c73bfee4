"""What every picture must be, read off its SVG: whole, finite, no text upon another or cut."""

import re
from itertools import combinations
from xml.etree import ElementTree

from dscost.pages.pictures import Picture
from dscost.rendering.drawing import svg_of
from dscost.rendering.drawing.lettering import SIZE, width_of

SVG = "{http://www.w3.org/2000/svg}"
Box = tuple[float, float, float, float]


def boxes_of(svg: str) -> list[tuple[str, Box]]:
    """Return every text of a picture with its left, top, right and bottom."""
    found = []
    for one in ElementTree.fromstring(svg).iter(f"{SVG}text"):
        text, size = one.text or "", float(one.get("font-size", SIZE))
        x, y, width = float(one.get("x", 0)), float(one.get("y", 0)), width_of(text, size)
        left = x - {"middle": width / 2, "end": width}.get(one.get("text-anchor", ""), 0.0)
        found.append((text, (left, y - 0.73 * size, left + width, y + 0.1 * size)))
    return found


def assert_legible(picture: Picture) -> str:
    """Return a picture as SVG in which all can be read."""
    svg = svg_of(picture)
    assert svg == svg_of(picture)
    root = ElementTree.fromstring(svg)
    height = float(root.get("height", 0))
    for one in root.iter():
        for key in ("d", "x", "y", "width", "height"):
            numbers = re.findall(r"[-\d.a-z%]+", one.get(key, ""))
            assert not {"nan", "inf", "-inf"} & set(numbers), one.attrib
    for text, (left, top, right, bottom) in boxes_of(svg):
        assert left >= -0.5, text
        assert right <= 720.5, text
        assert top >= 0, text
        assert bottom <= height, text
    for (text, one), (other_text, other) in combinations(boxes_of(svg), 2):
        meets = (
            one[0] < other[2] - 1
            and other[0] < one[2] - 1
            and one[1] < other[3]
            and other[1] < one[3]
        )
        assert not meets, (text, other_text)
    return svg
