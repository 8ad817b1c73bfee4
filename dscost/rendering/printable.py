r"""What others have named or said, made fit to be shown, whole.

`errors.printable` does so for one line of an error.
Names of layers and models, keys and messages of files, errors of models are text that others have
written. An escape sequence in it would clear a screen, a bidirectional mark turn a line around, a
`\r` hide what stands before it.
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache
from math import isfinite
from typing import Any

_CONTROLS = "\x00-\x08\x0b-\x1f\x7f-\x9f"
"""C0 but for tab and line feed, DEL, C1."""
_INVISIBLE = "\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb"
"""Bidirectional marks, line separators, what has no width and no part in any script."""
_SURROGATES = "\ud800-\udfff\ufffe\uffff"
"""Bytes that were no text, and what XML forbids."""

UNPRINTABLE = re.compile(f"[{_CONTROLS}{_INVISIBLE}{_SURROGATES}]")
_NOT_IN_A_LINE = re.compile(f"[\t\n{_CONTROLS}{_INVISIBLE}{_SURROGATES}]")


def printable(text: str) -> str:
    r"""Return the text with what is no text written out; lines and tabs stay.

    >>> printable("a\x1b[31mb\u202e")
    'a\\x1b[31mb\\u202e'
    """
    return UNPRINTABLE.sub(_written_out, text)


def printable_line(text: str) -> str:
    r"""Return the text on one line, as a cell of a table holds it.

    >>> printable_line("a\nb\tc")
    'a\\nb\\tc'
    """
    return _NOT_IN_A_LINE.sub(_written_out, text)


def printable_json(text: str) -> str:
    r"""Return JSON that means the same, in which strings hold nothing unprintable.

    >>> printable_json('["\x9b2J"]')
    '["\\u009b2J"]'
    """
    return UNPRINTABLE.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def json_text(document: Any) -> str:
    """Return a document as JSON for programs and eyes: numbers exact, text readable and printable.

    Raises:
        ValueError: It holds what is no number.
    """
    parts: list[str] = []
    _write(document, _scalars(), parts.append)
    parts.append("\n")
    return "".join(parts)


_TextOf = Mapping[type, Callable[[Any], str]]


def _write(
    value: Any,
    text_of: _TextOf,
    add: Callable[[str], object],
    inner: str = "\n  ",
    outer: str = "\n",
) -> None:
    """Write what `json.dumps(value, indent=2)` returns, for 100 MB in a third of the time.

    Args:
        value: What JSON can hold.
        text_of: As `_scalars` returns it.
        add: Takes the next piece.
        inner: What stands before each entry of a list or an object, whose keys are text.
        outer: What stands before its end.
    """
    further, between = f"{inner}  ", f",{inner}"
    if isinstance(value, dict) and value:
        before, quoted = f"{{{inner}", text_of[str]
        for key, one in value.items():
            text = text_of.get(type(one))
            add(f"{before}{quoted(key)}: {text(one)}" if text else f"{before}{quoted(key)}: ")
            if not text:
                _write(one, text_of, add, further, inner)
            before = between
        add(f"{outer}}}")
    elif isinstance(value, list | tuple) and value:
        before = f"[{inner}"
        for one in value:
            text = text_of.get(type(one))
            add(f"{before}{text(one)}" if text else before)
            if not text:
                _write(one, text_of, add, further, inner)
            before = between
        add(f"{outer}]")
    else:
        add(printable_json(_encoder()(value)))


def _scalars() -> _TextOf:
    """Return what writes values of the types that most are of."""
    other = _encoder()
    return {
        int: int.__repr__,
        str: _Quoted().__getitem__,
        float: lambda number: repr(number) if isfinite(number) else other(number),
        bool: other,
        type(None): other,
    }


class _Quoted(dict[str, str]):
    """Strings as JSON has them: most are keys, and the same again and again."""

    def __missing__(self, text: str) -> str:
        self[text] = made = printable_json(_encoder()(text))
        return made


@cache
def _encoder() -> Callable[[Any], str]:
    import json

    return json.JSONEncoder(ensure_ascii=False, allow_nan=False).encode


def csv_text(columns: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> str:
    """Return rows as CSV under a line with the columns; keys that are none of them are left out."""
    import csv
    from io import StringIO

    text = StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows([csv_cell(row.get(column, "")) for column in columns] for row in rows)
    return text.getvalue()


def csv_cell(value: object) -> object:
    r"""Return a cell that no spreadsheet takes for a formula: it has a `'` before it then.

    Numbers are left as they are, negative ones too.

    Source:
        OWASP, CSV Injection.

    >>> csv_cell("=1+1"), csv_cell("conv1"), csv_cell(-5)
    ("'=1+1", 'conv1', -5)
    """
    if not isinstance(value, str):
        return value
    return (
        f"'{printable(value)}"
        if value.startswith(("=", "+", "-", "@", "\t", "\r"))
        else printable(value)
    )


def _written_out(found: re.Match[str]) -> str:
    return found[0].encode("unicode_escape").decode("ascii")
