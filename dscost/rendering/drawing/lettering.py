"""How wide text is in the font that ships, so that nothing overlaps on any machine."""

import json
from collections.abc import Mapping, Sequence
from functools import cache
from itertools import zip_longest
from pathlib import Path

from dscost.printable import printable_line, without_middle

FONT = Path(__file__).parent / "font" / "DejaVuSans-dscost.ttf"
FAMILY = "DejaVu Sans, Verdana, sans-serif"
SIZE = 12.0
"""Of text, in pixels."""
LINE = 16.0
"""From one line of text to the next."""
_UNKNOWN_WIDTH = 1000
"""Of a character that the font lacks, in thousandths of the size; those of Chinese are so wide."""


@cache
def _widths() -> Mapping[str, int]:
    """Return how wide characters are, in thousandths of the size."""
    table = json.loads((FONT.parent / "widths.json").read_text(encoding="utf-8"))
    return {character: int(width) for width, these in table.items() for character in these}


def width_of(text: str, size: float = SIZE) -> float:
    """Return how wide a text is, in pixels.

    >>> round(width_of("MACs"), 1)
    33.2
    """
    widths = _widths()
    return sum(widths.get(character, _UNKNOWN_WIDTH) for character in text) * size / 1000


def fitting(text: str, most: float, size: float = SIZE) -> str:
    """Return a text that others have named on one line, its middle left out if it is too wide.

    >>> fitting("layer1.0.depthwise_convolution", 100)
    'layer1.…olution'
    """
    shown = printable_line(text[:_LONGEST]) + ("…" if len(text) > _LONGEST else "")
    width = width_of(shown, size)
    characters = len(shown)
    while width > most and characters > 1:
        characters = max(1, min(characters - 1, int(characters * most / width)))
        cut = without_middle(shown, characters)
        width = width_of(cut, size)
        if width <= most:
            return cut
    return shown


_LONGEST = 400


def fitting_apart(texts: Sequence[str], most: float, size: float = SIZE) -> list[str]:
    """Return texts as `fitting` does; those that would look alike without what they begin with.

    >>> fitting_apart(["a_block_of_layers.0.conv.weight", "a_block_of_layers.1.conv.weight"], 100)
    ['a_…s.0….weight', 'a_…s.1….weight']
    """
    shown = {text: fitting(text, most, size) for text in texts}
    alike: dict[str, list[str]] = {}
    for text, cut in shown.items():
        alike.setdefault(cut, []).append(text)
    for these in alike.values():
        if len(these) > 1:
            pairs = enumerate(zip_longest(min(these), max(these)))
            alike_for = next(at for at, (one, other) in pairs if one != other)
            rest = max(_HEAD, alike_for - _HEAD)
            for text in these:
                shown[text] = fitting(f"{text[:_HEAD]}…{text[rest:]}", most, size)
    return [shown[text] for text in texts]


_HEAD = 2
"""Characters that are kept of what texts have in common, at either end of it."""


def wrapped(text: str, most: float, size: float = SIZE) -> list[str]:
    """Return a sentence as lines that are not wider than there is room for."""
    lines: list[str] = []
    for word in printable_line(text).split(" "):
        longer = f"{lines[-1]} {word}" if lines else word
        if lines and width_of(longer, size) <= most:
            lines[-1] = longer
        else:
            lines.append(fitting(word, most, size))
    return lines
