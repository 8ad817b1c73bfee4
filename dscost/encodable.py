"""Text for streams that lack some of its characters, as on Windows (cp1252) or in the C locale.

Every character that dscost writes by itself has a stand-in of ASCII. Some are longer, so they are
put in before anything is laid out in columns. A letter of others loses its accent, or is written
out.
"""

import codecs
import re
from unicodedata import normalize

STAND_INS = {
    **dict.fromkeys("–−—─╌", "-"),
    **dict.fromkeys("━═", "="),
    **dict.fromkeys("│┤├┊", "|"),
    **dict.fromkeys("┌┐└┘┬┴┼╭╮╰╯", "+"),
    **dict.fromkeys("“”", '"'),
    **dict.fromkeys("‘’′", "'"),
    **dict.fromkeys("µμ", "u"),
    **dict.fromkeys("·●•★", "*"),
    **dict.fromkeys("▉█■", "#"),
    **dict(zip("×÷▊▋▌▍▎▏", "x/++=::.", strict=True)),
    **dict(zip("▁▂▃▄▅▆▇", "_.,-=+*", strict=True)),
    **dict.fromkeys("✗❌", "x"),
    "⚠": "!",
    **dict.fromkeys("✓✔✅", "ok"),
    "◆": "o",
    "→": "->",
    "←": "<-",
    "↑": "^",
    "↓": "v",
    "⇒": "=>",
    "≥": ">=",
    "≤": "<=",
    "≠": "!=",
    **dict.fromkeys("≈≃∼", "~"),
    "±": "+-",
    "…": "...",
    "√": "sqrt ",
    "∞": "inf",
    "‖": "||",
    "Σ": "sum",
    "Δ": "delta ",
    "ε": "eps",
    "γ": "gamma",
    "α": "alpha",
    "ρ": "rho",
}
ERRORS = "dscost.stand_in"
"""What streams are told to do with a character that they lack."""

_SUPERSCRIPTS = re.compile("[⁻⁺]?[⁰¹²³⁴⁵⁶⁷⁸⁹]+|[ᵀ⁻⁺]")
_BRAILLE = range(0x2800, 0x2900)
_LEFT, _RIGHT = (0x01, 0x02, 0x04, 0x40), (0x08, 0x10, 0x20, 0x80)
"""Bits of a braille character by row, from the top."""


def encodable(text: str, encoding: str | None) -> str:
    r"""Return the text as a stream of an encoding shows it; `None` stands for one that shows all.

    >>> encodable("3×3 → 1/K²", "cp1252"), encodable("3×3 → 1/K²", "ascii")
    ('3×3 -> 1/K²', '3x3 -> 1/K^2')
    >>> encodable("Müller 層", "ascii")
    'Muller \\u5c64'
    """
    if encoding is None or text.isascii():
        return text
    return text.encode(encoding, ERRORS).decode(encoding)


def lacking(encoding: str | None) -> str | None:
    """Return an encoding that lacks characters; `None` for one that has all, or is not known.

    >>> lacking("UTF-8"), lacking("cp1252")
    (None, 'cp1252')
    """
    return None if encoding is None or encoding.lower().startswith("utf") else encoding


def _stand_in(error: UnicodeError) -> tuple[str, int]:
    assert isinstance(error, UnicodeEncodeError)
    text = error.object[error.start : error.end]
    raised = _SUPERSCRIPTS.sub(lambda found: f"^{normalize('NFKC', found[0])}", text)
    return "".join(map(_for, raised)), error.end


def _for(character: str) -> str:
    if character.isascii():
        return character
    if character in STAND_INS:
        return STAND_INS[character]
    if ord(character) in _BRAILLE:
        return _stroke(ord(character) - _BRAILLE.start)
    letters = normalize("NFKD", character).replace("\u2044", "/").encode("ascii", "ignore")
    return letters.decode() or character.encode("unicode_escape").decode("ascii")


def _stroke(dots: int) -> str:
    """Return the stroke of ASCII that is most like a braille character, given its eight dots."""
    left = [row for row in range(4) if dots & _LEFT[row]]
    right = [row for row in range(4) if dots & _RIGHT[row]]
    rows = left + right
    if not rows:
        return " "
    if left and right and min(left) != min(right):
        return "/" if min(right) < min(left) else "\\"
    if max(rows) - min(rows) > 1:
        return "|"
    return "'--."[round(sum(rows) / len(rows))]


codecs.register_error(ERRORS, _stand_in)
