r"""What others have named or said, made fit to be shown.

Names of layers and models, keys and messages of files, errors of models are text that others have
written. An escape sequence in it would clear a screen, a bidirectional mark turn a line around, a
`\r` hide what stands before it.
"""

import re

_CONTROLS = "\x00-\x08\x0b-\x1f\x7f-\x9f"
"""C0 but for tab and line feed, DEL, C1."""
_INVISIBLE = "\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb"
"""Bidirectional marks, line separators, what has no width and no part in any script."""
_SURROGATES = "\ud800-\udfff\ufffe\uffff"
"""Bytes that were no text, and what XML forbids."""

UNPRINTABLE = f"[{_CONTROLS}{_INVISIBLE}{_SURROGATES}]"
"""As a pattern, which is compiled where it is needed: few texts hold anything of it."""
_NOT_IN_A_LINE = f"[\t\n{UNPRINTABLE[1:]}"

MOST_OF_A_LINE = 300
"""Characters of a foreign error that are shown: some hold a whole file in a single line."""


def printable(text: str) -> str:
    r"""Return the text with what is no text written out; lines and tabs stay.

    >>> printable("a\x1b[31mb\u202e")
    'a\\x1b[31mb\\u202e'
    """
    return text if text.isprintable() else re.sub(UNPRINTABLE, _written_out, text)


def printable_line(text: str) -> str:
    r"""Return the text on one line, as a cell of a table holds it.

    >>> printable_line("a\nb\tc")
    'a\\nb\\tc'
    """
    return text if text.isprintable() else re.sub(_NOT_IN_A_LINE, _written_out, text)


def shortened(text: str) -> str:
    """Return the text on one line, or as much of it as says enough."""
    shown = printable_line(text[:MOST_OF_A_LINE].replace("\t", " "))
    return shown if len(text) <= MOST_OF_A_LINE else f"{shown}…"


def without_middle(text: str, width: int, mark: str = "…") -> str:
    """Return a text that is too long with a mark in place of its middle.

    >>> without_middle("layer1.0.depthwise1", 12)
    'layer…hwise1'
    """
    head = (width - len(mark)) // 2
    tail = width - len(mark) - head
    return f"{text[:head]}{mark}{text[-tail:]}"


def _written_out(found: re.Match[str]) -> str:
    return found[0].encode("unicode_escape").decode("ascii")
