"""Bare words that would silently be text though they are a value elsewhere, or a slip of the pen.

`yes` and `nil`, `inf`, `3,5`, `1/16` and `1j`, `Flase`, `b'x'`, `relu(`: each has a line that says
what to write instead.
"""

import json
import re
from collections.abc import Callable

_INSTEAD = {
    **dict.fromkeys(("yes", "on"), "true"),
    **dict.fromkeys(("no", "off"), "false"),
    **dict.fromkeys(("none", "nil", "nul", "null", "undefined", "nothing"), "None"),
    **dict.fromkeys(("true", "false")),
}
"""Words of other languages, in lower case, and what they are here."""


def _slips(word: str) -> set[str]:
    """Return what a word becomes by two letters the other way round, or one of them twice.

    Letters that are missing are none of these: `tree` and `one` are words of their own.
    """
    places = range(len(word) - 1)
    swapped = {f"{word[:at]}{word[at + 1]}{word[at]}{word[at + 2 :]}" for at in places}
    doubled = {f"{word[: at + 1]}{word[at:]}" for at in range(len(word))}
    return (swapped | doubled) - {word}


_SLIPS = {slip: word for word in ("true", "false", "none", "null") for slip in _slips(word)}

_NAME = r"[^\W\d]\w*(?:\.[^\W\d]\w*)*"
_NOT_FINITE = re.compile(r"[-+]?\.?(?:inf|infinity|nan)", re.IGNORECASE)
_SUM = re.compile(r"[-+]?[0-9._]+(?:\s*(?:\*\*|//|[*/+])\s*[-+]?[0-9._]+)+")
_COMPLEX = re.compile(r"[-+]?[0-9.]+(?:[-+][0-9.]+)?[jJ]")
_CALL = re.compile(rf"{_NAME}\s*\(.*\)|lambda\b.*", re.DOTALL)
_OF_TORCH = re.compile(r"(?:torch(?:\.nn)?|nn)\.[^\W\d]\w*(?:\.\w+)*")
_PREFIXED = re.compile(r"[bBfFrRuU]{1,2}(?:'.*'|\".*\")", re.DOTALL)
_MAPPING = re.compile(r"[\w.'\"-]+:\s+\S.*", re.DOTALL)
_BRACKETS = {"(": ")", "[": "]", "{": "}"}


def excerpt(text: str, at_most: int = 80) -> str:
    """Return a text as a line of an error has it: without control characters, and not too long.

    >>> excerpt("x" * 9, at_most=5)
    'xxxx…'
    """
    line = text if text.isprintable() else repr(text)[1:-1]
    return line if len(line) <= at_most else f"{line[: at_most - 1]}…"


def instead_of(text: str, is_value: Callable[[str], bool]) -> str | None:
    """Return why a word is no text, and what to write; nothing where it is text.

    Args:
        text: The word, which is no value by itself.
        is_value: Whether a part of it would be one.
    """
    folded, quotes = text.casefold(), f"{excerpt(quoted(text))} for the text"
    if folded in _INSTEAD:
        return f"could mean two things: write {_INSTEAD[folded] or folded}, or {quotes}"
    if folded in _SLIPS:
        meant = _INSTEAD[_SLIPS[folded]] or _SLIPS[folded]
        return f"could mean two things: write {meant}, or {quotes}"
    several = _several(text, is_value)
    if several:
        return f"could mean two things: write {several}, or {quotes}"
    if _OF_TORCH.fullmatch(text):
        module, _, name = text.rpartition(".")
        module = "torch.nn" if module == "nn" else module
        return f"could mean two things: write {module}:{name} for what Python calls so, or {quotes}"
    if _MAPPING.fullmatch(text):
        return f"could mean two things: write {{{excerpt(text)}}} for a mapping, or {quotes}"
    reason = next((why for is_so, why in _REFUSED if is_so(text)), None)
    return f"{reason} {quotes}" if reason else None


def _is_unbalanced(text: str) -> bool:
    """Whether a bracket is not closed, or not open where it is closed."""
    awaited: list[str] = []
    for character in text:
        if character in _BRACKETS:
            awaited.append(_BRACKETS[character])
        elif character in _BRACKETS.values() and (not awaited or awaited.pop() != character):
            return True
    return bool(awaited)


_REFUSED: tuple[tuple[Callable[[str], object], str], ...] = (
    (_NOT_FINITE.fullmatch, "is no finite number: write"),
    (_SUM.fullmatch, "is not computed: write the number, or"),
    (_COMPLEX.fullmatch, "is a complex number, which cannot be given: write"),
    (_CALL.fullmatch, "is not run: write package.module:name for a Python object, or"),
    (_PREFIXED.fullmatch, "has a letter before its quotes: leave it out, or write"),
    (_is_unbalanced, "has a bracket that is open or closed alone: close it, or write"),
    (lambda text: text[-1] in "'\"", "ends in a quote that is not opened: open it, or write"),
    (lambda text: text == "...", "is nothing that can be given: write"),
)
"""What is no text, and what to do; the text in quotes follows."""


def _several(text: str, is_value: Callable[[str], bool]) -> str | None:
    """Return how several values are written, where a text is nothing but those."""
    parts = [part for part in re.split(r"[\s,]+", text) if part]
    is_list = len(parts) > 1 or text.rstrip().endswith(",")
    if not (is_list and parts and all(map(is_value, parts))):
        return None
    entries = excerpt(text.rstrip(", ") if "," in text else ", ".join(parts))
    return f"[{entries}] for a list, ({entries}{'' if ',' in entries else ','}) for a tuple"


def quoted(text: str) -> str:
    """Return a text in quotes as `dscost.notation.literals` reads it."""
    return "'" + text.replace("'", "''") + "'" if text.isprintable() else json.dumps(text)
