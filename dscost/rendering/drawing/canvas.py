"""What is drawn so far: shapes with their colours, as elements of SVG."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from xml.etree import ElementTree

from dscost.printable import printable
from dscost.rendering.drawing.inks import INKS
from dscost.rendering.drawing.lettering import FAMILY, SIZE

WIDTH = 720.0
"""Of every picture, in pixels."""
Place = tuple[float, float]
LEAST_SHAPE = 2.0
"""Half as wide as a point is whose shape can be seen."""
DASHES = ("", "7 4", "2 3", "9 3 2 3", "5 3", "1 4")
"""Of lines that are told apart."""


def number(value: float) -> str:
    """Return a coordinate with as many digits as can be seen.

    >>> number(12.04), number(3.0), number(-0.04)
    ('12', '3', '0')
    """
    text = f"{value:.1f}"
    return "0" if text == "-0.0" else text.removesuffix(".0")


class Canvas:
    """Shapes from back to front.

    Args:
        height: In pixels; the width is always `WIDTH`.
    """

    def __init__(self, height: float) -> None:
        self.height = height
        self._root = ElementTree.Element("g")
        self._into = [self._root]

    @property
    def inks(self) -> set[str]:
        """The colours that are used so far, and that of the ground."""
        classes = (name for one in self._root.iter() for name in one.get("class", "").split())
        return {"ground", *(name[2:] for name in classes if name[:2] in ("f-", "l-"))}

    @contextmanager
    def told(self, text: str) -> Iterator[None]:
        """Answer a pointer over what is drawn meanwhile with a sentence, if there is one."""
        if not text:
            yield
            return
        group = ElementTree.SubElement(self._into[-1], "g", {"class": "m"})
        ElementTree.SubElement(group, "title").text = printable(text)
        self._into.append(group)
        try:
            yield
        finally:
            self._into.pop()

    def _add(self, tag: str, attributes: dict[str, str]) -> ElementTree.Element:
        return ElementTree.SubElement(self._into[-1], tag, attributes)

    def line(
        self,
        points: Sequence[Place],
        ink: str = "faint",
        width: float = 1.0,
        dash: str = "",
    ) -> None:
        """Draw a line through points."""
        path = "M" + "L".join(f"{number(x)} {number(y)}" for x, y in points)
        attributes = {
            "d": path,
            "fill": "none",
            "stroke": INKS[ink].light,
            "class": f"l-{ink}",
            "stroke-width": number(width),
        }
        if dash:
            attributes["stroke-dasharray"] = dash
        self._add("path", attributes)

    def area(self, x: float, y: float, width: float, height: float, ink: str) -> None:
        """Fill a rectangle."""
        attributes = {
            "x": number(x),
            "y": number(y),
            "width": number(max(0.0, width)),
            "height": number(max(0.0, height)),
            "fill": INKS[ink].light,
            "class": f"f-{ink}",
        }
        self._add("rect", attributes)

    def outline(self, x: float, y: float, width: float, height: float, ink: str) -> None:
        """Draw the border of a rectangle."""
        corners = [(x, y), (x + width, y), (x + width, y + height), (x, y + height), (x, y)]
        self.line(corners, ink)

    def mark(self, shape: int, x: float, y: float, ink: str, radius: float = 4.5) -> None:
        """Draw a point: a circle, a square, a triangle, a diamond, one upside down, a cross.

        One that is too small to show its shape has no border.
        """
        r = radius
        paths = (
            f"M{number(x - r)} {number(y)}a{number(r)} {number(r)} 0 1 0 {number(2 * r)} 0"
            f"a{number(r)} {number(r)} 0 1 0 {number(-2 * r)} 0z",
            _closed([(x - r, y - r), (x + r, y - r), (x + r, y + r), (x - r, y + r)]),
            _closed([(x, y - r * 1.2), (x + r * 1.15, y + r), (x - r * 1.15, y + r)]),
            _closed([(x, y - r * 1.3), (x + r * 1.3, y), (x, y + r * 1.3), (x - r * 1.3, y)]),
            _closed([(x, y + r * 1.2), (x + r * 1.15, y - r), (x - r * 1.15, y - r)]),
            _closed(_cross(x, y, r)),
        )
        attributes = {
            "d": paths[shape % len(paths)],
            "fill": INKS[ink].light,
            "class": f"f-{ink}",
        }
        if r >= LEAST_SHAPE:
            attributes["stroke"] = INKS["ground"].light
            attributes["class"] += " l-ground"
        self._add("path", attributes)

    def write(
        self,
        text: str,
        x: float,
        y: float,
        ink: str = "ink",
        anchor: str = "start",
        size: float = SIZE,
        *,
        is_upward: bool = False,
        is_over: bool = False,
    ) -> None:
        """Write a text; `y` is its base line, `anchor` says which end of it stands at `x`.

        One that is over something else has a border in the colour of the ground.
        """
        attributes = {"x": number(x), "y": number(y), "fill": INKS[ink].light, "class": f"f-{ink}"}
        if is_over:
            attributes["class"] += " l-ground"
            attributes |= {"stroke": INKS["ground"].light, "stroke-width": "3"}
            attributes |= {"stroke-linejoin": "round", "paint-order": "stroke"}
        if anchor != "start":
            attributes["text-anchor"] = anchor
        if size != SIZE:
            attributes["font-size"] = number(size)
        if is_upward:
            attributes["transform"] = f"rotate(-90 {number(x)} {number(y)})"
        self._add("text", attributes).text = printable(text)

    def leave_colours_to_a_style(self) -> None:
        """Take the colours from what is drawn; its classes tell a style which they are.

        So they do that a line is not filled, and how the border of a text is drawn.
        """
        for one in self._root.iter():
            own = one.get("class", "").split()
            if one.tag == "path" and own[0].startswith("l-"):
                del one.attrib["fill"]
            if one.tag == "text" and "l-ground" in own:
                for name in ("stroke-width", "stroke-linejoin", "paint-order"):
                    del one.attrib[name]
            for name in ("fill", "stroke"):
                if one.get(name, "").startswith("#"):
                    del one.attrib[name]

    def text(self, key: str | None, title: str, told: str, style: str, *, is_alone: bool) -> str:
        """Return all of it as SVG.

        Args:
            key: What the ids of its title and description begin with; of `None` they have none.
            title: What it is.
            told: What it shows.
            style: Its own style, if it has one.
            is_alone: Whether it is a document of its own, with a ground.
        """
        root = ElementTree.Element("svg", {"viewBox": f"0 0 {number(WIDTH)} {number(self.height)}"})
        if is_alone:
            root.set("xmlns", "http://www.w3.org/2000/svg")
            root.set("width", number(WIDTH))
            root.set("height", number(self.height))
        root.set("role", "img")
        if key is None:
            root.set("aria-label", printable(title))
        else:
            root.set("aria-labelledby", f"{key}-title {key}-told")
        root.set("font-family", FAMILY)
        root.set("font-size", number(SIZE))
        for tag, name, said in (("title", "title", title), ("desc", "told", told)):
            own = {} if key is None else {"id": f"{key}-{name}"}
            ElementTree.SubElement(root, tag, own).text = printable(said)
        if style:
            ElementTree.SubElement(root, "style").text = style
        if is_alone:
            ground = {"width": "100%", "height": "100%", "fill": INKS["ground"].light}
            ElementTree.SubElement(root, "rect", {**ground, "class": "f-ground"})
        root.extend(self._root)
        return ElementTree.tostring(root, encoding="unicode") + ("\n" if is_alone else "")


def _closed(corners: Sequence[Place]) -> str:
    return "M" + "L".join(f"{number(x)} {number(y)}" for x, y in corners) + "z"


def _cross(x: float, y: float, r: float) -> list[Place]:
    thin = r * 0.4
    return [
        *((x - thin, y - r), (x + thin, y - r), (x + thin, y - thin), (x + r, y - thin)),
        *((x + r, y + thin), (x + thin, y + thin), (x + thin, y + r), (x - thin, y + r)),
        *((x - thin, y + thin), (x - r, y + thin), (x - r, y - thin), (x - thin, y - thin)),
    ]
