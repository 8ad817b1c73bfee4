"""What a tone is on a terminal, by ECMA-48; for text that is laid out already."""

from collections.abc import Mapping

from dscost.pages.page import Tone

_CODES: Mapping[Tone, str] = {
    "good": "32",
    "bad": "31",
    "unclear": "33",
    "verdict": "1",
    "method": "2",
}


def painted(text: str, tone: Tone | None) -> str:
    r"""Return a text as a terminal in colour shows it.

    >>> painted("slower", "bad"), painted("", "bad"), painted("as it is", None)
    ('\x1b[31mslower\x1b[0m', '', 'as it is')
    """
    return f"\x1b[{_CODES[tone]}m{text}\x1b[0m" if tone and text else text
