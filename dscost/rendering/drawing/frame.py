"""What all pictures have: a title and a legend above, notes below."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

from dscost.rendering.drawing.canvas import WIDTH, Canvas
from dscost.rendering.drawing.lettering import LINE, SIZE, fitting, width_of, wrapped

MARGIN = 16.0
ROOM = WIDTH - 2 * MARGIN
TITLE_SIZE = 15.0
SMALL = 11.0
SWATCH = 26.0
"""How wide a mark of the legend is, with the space behind it."""
_GAP = 18.0


class Entry(NamedTuple):
    """A line of the legend: a name, and what draws its mark in the middle of a place."""

    name: str
    draw: Callable[[Canvas, float, float], None]


class Head(NamedTuple):
    """The lines above a picture, laid out: how high they are, and what draws them."""

    height: float
    title: Sequence[str]
    rows: Sequence[Sequence[Entry]]

    def draw(self, canvas: Canvas) -> None:
        """Draw title and legend."""
        y = MARGIN + TITLE_SIZE - 3
        for line in self.title:
            canvas.write(line, MARGIN, y, size=TITLE_SIZE)
            y += TITLE_SIZE + 5
        for row in self.rows:
            x = MARGIN
            for entry in row:
                entry.draw(canvas, x + SWATCH / 2 - 4, y - 4)
                text = fitting(entry.name, ROOM - SWATCH)
                canvas.write(text, x + SWATCH, y)
                x += SWATCH + width_of(text) + _GAP
            y += LINE + 2


def head_of(title: str, entries: Sequence[Entry]) -> Head:
    """Return title and legend laid out; a picture of one unnamed series has no legend."""
    rows: list[list[Entry]] = []
    taken = ROOM
    for entry in (one for one in entries if one.name):
        width = SWATCH + width_of(fitting(entry.name, ROOM - SWATCH)) + _GAP
        if taken + width - _GAP > ROOM:
            rows.append([])
            taken = 0.0
        rows[-1].append(entry)
        taken += width
    lines = wrapped(title, ROOM, TITLE_SIZE)
    height = MARGIN + len(lines) * (TITLE_SIZE + 5) + len(rows) * (LINE + 2)
    return Head(height, lines, rows)


class Foot(NamedTuple):
    """The lines below a picture."""

    lines: Sequence[str]

    @property
    def height(self) -> float:
        """How high they are, with what is free below them."""
        return len(self.lines) * (SMALL + 4) + MARGIN * 0.75

    def draw(self, canvas: Canvas) -> None:
        """Draw them at the lower end."""
        y = canvas.height - self.height + SMALL
        for line in self.lines:
            canvas.write(line, MARGIN, y, "faint", size=SMALL)
            y += SMALL + 4


def foot_of(notes: Sequence[str], measured: str) -> Foot:
    """Return notes, and on what machine it was measured, laid out."""
    said = [*notes, *([f"Measured on {measured}"] if measured else [])]
    return Foot([line for one in said for line in wrapped(one, ROOM, SMALL)])


def text_base(y: float) -> float:
    """Return the base line of a text whose middle stands somewhere."""
    return y + SIZE * 0.36
