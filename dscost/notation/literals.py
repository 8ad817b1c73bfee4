"""Values as people write them: in the spellings of YAML 1.2 and of Python alike. No torch.

`None`, `null`, `True`, `true`, `-1`, `1e-3`, `(3, 5)`, `[3, 5]`, `{a: 1}`, nested ones, text bare
or in quotes, and references to Python objects, `package.module:name`. What would silently be text
though it is a value elsewhere, or a slip of the pen, is refused: see `dscost.notation.bare_words`.
"""

import ast
import re
import warnings
from collections.abc import Callable, Iterable, Mapping
from math import isinf
from typing import TYPE_CHECKING, Any, NamedTuple

from dscost.errors import InputError
from dscost.notation.bare_words import excerpt, instead_of, quoted

if TYPE_CHECKING:
    from dscost.notation.marked_yaml import Node


class BareWordError(InputError):
    """A bare word that would be a value elsewhere; `as_text` is it in quotes, as text."""

    def __init__(self, message: str, as_text: str) -> None:
        super().__init__(message)
        self.as_text = as_text


MAX_DEPTH = 40
MAX_NUMBER_LENGTH = 40


class Reference(NamedTuple):
    """A Python object that is named; whoever uses it imports it.

    Args:
        module: Dotted name of a module.
        attribute: Dotted name in it.
        is_called: Whether `()` stands behind it.
        parts: Keyword arguments that it is to be called with.
    """

    module: str
    attribute: str
    is_called: bool = False
    parts: Mapping[str, Any] = {}

    def __str__(self) -> str:
        """Return it as it is written, `transformers:BertConfig`."""
        return f"{self.module}:{self.attribute}{'()' if self.is_called else ''}"


_WORDS: Mapping[str, Any] = {
    **dict.fromkeys(("None", "null", "Null", "NULL", "~")),
    **dict.fromkeys(("True", "true", "TRUE"), True),
    **dict.fromkeys(("False", "false", "FALSE"), False),
}
_DIGITS = "[0-9]+(?:_[0-9]+)*"
_INT = re.compile(rf"[-+]?{_DIGITS}|[-+]?0[xX][0-9a-fA-F]+|[-+]?0[oO][0-7]+|[-+]?0[bB][01]+")
_FLOAT = re.compile(rf"[-+]?(?:\.{_DIGITS}|{_DIGITS}(?:\.(?:{_DIGITS})?)?)(?:[eE][-+]?[0-9]+)?")
_NAME = r"[^\W\d]\w*(?:\.[^\W\d]\w*)*"
_REFERENCE = re.compile(rf"({_NAME}):({_NAME})(\(\))?")


def parse_value(text: str) -> Any:
    """Return what a text stands for; a word that is nothing else is text.

    >>> values = ("None", "(3, 5)", "{a: [1e-3, true], b: 'no'}", "relu")
    >>> tuple(map(parse_value, values))
    (None, (3, 5), {'a': [0.001, True], 'b': 'no'}, 'relu')
    """
    text = text.strip()
    if not text.startswith(_OPENING):
        return parse_word(text) if text else ""
    reader = _Reader(text)
    value = reader.value(0)
    reader.end()
    return value


def parse_word(text: str) -> Any:
    """Return what a text without brackets and quotes stands for."""
    if text in _WORDS:
        return _WORDS[text]
    if _INT.fullmatch(text) or _FLOAT.fullmatch(text):
        return _number(text)
    reference = _REFERENCE.fullmatch(text)
    if reference:
        return Reference(reference[1], reference[2], reference[3] is not None)
    instead = instead_of(text, _is_value)
    if instead:
        raise BareWordError(f"'{excerpt(text)}' {instead}", quoted(text))
    return text


def _is_value(word: str) -> bool:
    """Whether a word is a value of its own: no text, and nothing that is refused."""
    return word in _WORDS or bool(_INT.fullmatch(word) or _FLOAT.fullmatch(word))


def _number(text: str) -> int | float:
    if len(text) > MAX_NUMBER_LENGTH:
        longest = f"a number of more than {MAX_NUMBER_LENGTH} characters"
        raise InputError(f"{longest}; put it in quotes if it is text")
    if _INT.fullmatch(text):
        return int(text, 0) if re.match("[-+]?0[xXoObB]", text) else int(text)
    number = float(text)
    if isinf(number):
        raise InputError(f"numbers must be finite, found {text}")
    return number


def read_node(node: "Node") -> Any:
    """Return a value of YAML as Python code takes it: bare words as `parse_value` reads them."""
    value = node.value
    if isinstance(value, dict):
        return {key: read_node(child) for key, child in value.items()}
    if isinstance(value, list):
        return [read_node(child) for child in value]
    return parse_value(value) if isinstance(value, str) and not node.is_quoted else value


def with_parts(given: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    """Return named values with those of dotted names put into the ones that they are parts of.

    >>> with_parts([("a.b", 1), ("c", 2), ("a.d.e", 3)])
    {'a': {'b': 1, 'd': {'e': 3}}, 'c': 2}
    """
    whole: dict[str, Any] = {}
    pairs = list(given)
    # what parts belong to first, whatever the order in which they were written
    for name, value in sorted(pairs, key=lambda pair: pair[0].count(".")):
        *outer, last = name.split(".")
        place = whole
        for part in outer:
            place = _inside(place, part, name)
        if last in place:
            raise InputError(f"'{name}' is given twice")
        place[last] = value
    order = list(dict.fromkeys(name.partition(".")[0] for name, _ in pairs))
    return {name: whole[name] for name in order}


def _inside(place: dict[str, Any], part: str, name: str) -> dict[str, Any]:
    """Return what holds the parts of an entry."""
    found = place.setdefault(part, {})
    if isinstance(found, Reference):
        found = place[part] = found._replace(parts=dict(found.parts))
        return found.parts  # type: ignore[return-value]  # the copy made a line above
    if isinstance(found, dict):
        return found
    raise InputError(f"'{name}': {part} is {found!r:.60}, which has no parts")


def written(value: Any) -> str:
    """Return a value as `parse_value` reads it.

    >>> written({"a": (3, 5), "b": [None, "no", "relu"]})
    "{a: (3, 5), b: [None, 'no', relu]}"
    """
    if isinstance(value, Mapping):
        entries = [f"{written(key)}: {written(entry)}" for key, entry in value.items()]
        return "{" + ", ".join(entries) + "}"
    if isinstance(value, list):
        return f"[{', '.join(map(written, value))}]"
    if isinstance(value, tuple) and not isinstance(value, Reference):
        return f"({', '.join(map(written, value))}{',' if len(value) == 1 else ''})"
    if isinstance(value, str):
        return value if re.fullmatch(r"[\w./-]+", value) and _is_text(value) else quoted(value)
    return str(value)


def _is_text(word: str) -> bool:
    try:
        return bool(parse_word(word) == word)
    except InputError:
        return False


# -- lists, tuples, mappings and quotes

_OPENING = ("[", "(", "{", "'", '"')
_CLOSING: Mapping[str, str] = {"[": "]", "(": ")", "{": "}"}
_QUOTED = re.compile(r"'(?:[^']|'')*'" r'|"(?:[^"\\]|\\.)*"', re.DOTALL)
_BARE = re.compile(r"(?:\(\)|[^\[\](){},'\"])+")
_BARE_KEY = re.compile(r"[^\[\](){},'\":]+")


class _Reader:
    """Reads one value after the other from a text."""

    def __init__(self, text: str) -> None:
        self._text, self._at = text, 0
        self._shown = excerpt(text, 60)

    def value(self, depth: int) -> Any:
        if depth > MAX_DEPTH:
            raise InputError(f"nested deeper than {MAX_DEPTH} levels, refused")
        match self._next():
            case "[":
                return self._entries("[", lambda: self.value(depth + 1))
            case "(":
                return self._in_parentheses(depth)
            case "{":
                return self._mapping(depth)
            case "'" | '"':
                return self._quoted_text()
        return parse_word(self._bare(_BARE))

    def end(self) -> None:
        if self._next():
            rest = excerpt(self._text[self._at :], 40)
            raise InputError(f"expected nothing behind a value, found '{rest}'")

    def _next(self) -> str:
        while self._text[self._at : self._at + 1].isspace():
            self._at += 1
        return self._text[self._at : self._at + 1]

    def _entries(self, opening: str, read: Callable[[], Any]) -> list[Any]:
        self._at += 1
        closing, entries = _CLOSING[opening], []
        while self._next() != closing:
            entries.append(read())
            if self._next() == ",":
                self._at += 1
            elif self._next() != closing:
                raise InputError(f"expected ',' or '{closing}' {self._here()}")
        self._at += 1
        return entries

    def _in_parentheses(self, depth: int) -> Any:
        """Return a tuple; as in Python, a single value without a comma is that value."""
        entries = self._entries("(", lambda: self.value(depth + 1))
        before = self._text[: self._at - 1].rstrip()
        return entries[0] if len(entries) == 1 and not before.endswith(",") else tuple(entries)

    def _mapping(self, depth: int) -> dict[Any, Any]:
        found: dict[Any, Any] = {}

        def entry() -> None:
            is_quoted = self._next() in ("'", '"')
            key = self._quoted_text() if is_quoted else parse_word(self._bare(_BARE_KEY))
            if self._next() != ":":
                raise InputError(f"expected ':' behind {key!r:.40} in '{self._shown}'")
            self._at += 1
            if key in found:
                raise InputError(f"'{excerpt(str(key))}' is given twice in '{self._shown}'")
            found[key] = self.value(depth + 1)

        self._entries("{", entry)
        return found

    def _bare(self, pattern: re.Pattern[str]) -> str:
        found = pattern.match(self._text, self._at)
        if found is None or not found[0].strip():
            raise InputError(f"expected a value {self._here()}")
        self._at = found.end()
        return found[0].strip()

    def _here(self) -> str:
        """Return in words where the reader stands, and what it found there."""
        what = f"found '{excerpt(self._next())}'" if self._next() else "it ends there"
        return f"at character {self._at + 1} of '{self._shown}', {what}"

    def _quoted_text(self) -> str:
        """Return a text in quotes: single ones as in YAML, double ones as in Python."""
        found = _QUOTED.match(self._text, self._at)
        if found is None:
            raise InputError(f"quotes are not closed in '{self._shown}'")
        self._at = found.end()
        if found[0][0] == "'":
            return found[0][1:-1].replace("''", "'")
        try:
            with warnings.catch_warnings(action="error"):
                # Python only warns of an escape that it does not know
                text: str = ast.literal_eval(found[0].replace("\n", "\\n"))
        except (SyntaxError, ValueError) as error:
            sequence = "an escape sequence that means nothing"
            raise InputError(f"{excerpt(found[0], 60)} has {sequence}") from error
        return text
