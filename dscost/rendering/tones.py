"""What a tone is on a terminal: a style of rich, and the code of ECMA-48 that it comes to."""

from collections.abc import Mapping
from typing import NamedTuple

from dscost.pages.page import Tone


class Look(NamedTuple):
    """How a tone is shown: in what rich lays out, and in what is laid out already."""

    style: str
    code: str


LOOKS: Mapping[Tone, Look] = {
    "good": Look("green", "32"),
    "bad": Look("red", "31"),
    "unclear": Look("yellow", "33"),
    "verdict": Look("bold", "1"),
    "method": Look("dim", "2"),
}


def painted(text: str, tone: Tone | None) -> str:
    r"""Return a text as a terminal in colour shows it.

    >>> painted("slower", "bad"), painted("", "bad"), painted("as it is", None)
    ('\x1b[31mslower\x1b[0m', '', 'as it is')
    """
    return f"\x1b[{LOOKS[tone].code}m{text}\x1b[0m" if tone and text else text
