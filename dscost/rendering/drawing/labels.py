"""Where names stand beside points: where there is room, and best where no line is crossed."""

from collections.abc import Iterator, Sequence
from itertools import pairwise
from math import hypot
from typing import NamedTuple

from dscost.rendering.drawing.canvas import Place
from dscost.rendering.drawing.frame import SMALL
from dscost.rendering.drawing.lettering import width_of

STEP = 5.0
"""A line is seen as places so far from each other."""


class _Box(NamedTuple):
    left: float
    top: float
    right: float
    bottom: float

    def meets(self, other: "_Box") -> bool:
        """Whether two have anything in common."""
        return (
            self.left < other.right
            and other.left < self.right
            and self.top < other.bottom
            and other.top < self.bottom
        )


class Labels:
    """What room is taken within a plot.

    Args:
        left: Its edge.
        top: Its edge.
        right: Its edge.
        bottom: Its edge.
    """

    def __init__(self, left: float, top: float, right: float, bottom: float) -> None:
        self.left, self.top, self.right, self.bottom = left, top, right, bottom
        self._taken: list[_Box] = []
        self._lines: list[_Box] = []

    def take(self, x: float, y: float, width: float, height: float) -> None:
        """Take room from others."""
        self._taken.append(_Box(x, y, x + width, y + height))

    def avoid(self, line: Sequence[Place], *, always: bool = False) -> None:
        """Keep names off a line where they have room elsewhere, or in any case."""
        boxes = self._taken if always else self._lines
        for (x, y), (to_x, to_y) in pairwise(line):
            steps = max(1, round(hypot(to_x - x, to_y - y) / STEP))
            for at in range(steps + 1):
                share = at / steps
                here = x + share * (to_x - x), y + share * (to_y - y)
                boxes.append(_Box(here[0] - 1, here[1] - 1, here[0] + 1, here[1] + 1))

    def room_for(self, text: str, x: float, y: float, radius: float) -> Place | None:
        """Return where a name beside a point begins, its base line; `None` where it has no room."""
        width, height = width_of(text, SMALL), SMALL
        free = [box for box in _beside(x, y, radius + 4, width, height) if self._is_free(box)]
        for box in (*(one for one in free if not self._crosses(one)), *free):
            self._taken.append(box)
            return box.left, box.top + height * 0.85
        return None

    def _is_free(self, box: _Box) -> bool:
        if box.left < self.left + 2 or box.right > self.right:
            return False
        if box.top < self.top or box.bottom > self.bottom:
            return False
        return not any(box.meets(other) for other in self._taken)

    def _crosses(self, box: _Box) -> bool:
        return any(box.meets(other) for other in self._lines)


def _beside(x: float, y: float, beside: float, width: float, height: float) -> Iterator[_Box]:
    """Yield places about a point, the best first."""
    for left, top in (
        (x + beside, y - height / 2),
        (x - beside - width, y - height / 2),
        (x - width / 2, y - beside - height),
        (x - width / 2, y + beside),
        (x + beside * 0.9, y - beside - height * 0.8),
        (x + beside * 0.9, y + beside * 0.6),
        (x - beside * 0.9 - width, y - beside - height * 0.8),
        (x - beside * 0.9 - width, y + beside * 0.6),
    ):
        yield _Box(left, top, left + width, top + height)
