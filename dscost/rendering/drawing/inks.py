"""The colours of pictures: of light pages as they are drawn, of dark ones by a style.

Every pair of a colour and its ground has a contrast of 3 or more (WCAG 2.2, 1.4.11), text one of
4.5 or more; what series mean is told by their shapes too, since colours are lost in print.
"""

from collections.abc import Collection, Mapping
from typing import NamedTuple


class Ink(NamedTuple):
    """A colour on a light page and on a dark one."""

    light: str
    dark: str


INKS: Mapping[str, Ink] = {
    "ground": Ink("#ffffff", "#15181c"),
    "ink": Ink("#1b1f24", "#e7eaee"),
    "faint": Ink("#5b636d", "#a3abb5"),
    "grid": Ink("#e2e5e9", "#2c3138"),
    "s0": Ink("#0a5aa6", "#6cb2f2"),
    "s1": Ink("#c24a00", "#f59b5c"),
    "s2": Ink("#12745a", "#52cba3"),
    "s3": Ink("#8d3f8f", "#dd9be0"),
    "s4": Ink("#6d5d00", "#d8c34a"),
    "s5": Ink("#44505e", "#b9c4d0"),
    "bad": Ink("#a5173b", "#ff8a9e"),
    "warned": Ink("#7d5a00", "#e3b341"),
    "better": Ink("#cfe3f7", "#123d63"),
    "best": Ink("#9fc8ee", "#1a5a92"),
    "worse": Ink("#fbdcc6", "#6b3410"),
    "even": Ink("#eef0f2", "#2c3138"),
    "unclear": Ink("#f4f0dc", "#423d1f"),
}
"""By class. Of a mark `s0` fills it, of a line it is its stroke: see `style`."""
SERIES = ("s0", "s1", "s2", "s3", "s4", "s5")


def style(used: Collection[str] = tuple(INKS)) -> str:
    """Return the style of a file: the colours on dark screens of those that it uses.

    A class that begins with `l-` colours a line, one with `f-` an area or a text.
    """
    rules = "".join(
        f".f-{name}{{fill:{ink.dark}}}.l-{name}{{stroke:{ink.dark}}}"
        for name, ink in INKS.items()
        if name in used
    )
    return f"@media (prefers-color-scheme:dark){{{rules}}}"
