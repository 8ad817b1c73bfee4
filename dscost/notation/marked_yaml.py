"""The one door to YAML: text in, values that remember their place in the file out.

Scalars mean what YAML 1.2 says: `off` is a word, `1e6` a million, `010` ten, `1:30` a word.
Duplicate keys, tags, numbers that are not finite, several documents, alias bombs and oversized
files are refused.
"""

import json
import re
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from math import inf, isinf
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import yaml

from dscost.errors import FileProblems, InputError, Place, Problem
from dscost.files import read_text

T = TypeVar("T")

MAX_FILE_BYTES = 1_000_000
MAX_NODES = 50_000
"""More values than this, aliases expanded, is not a file that a person wrote."""
MAX_DEPTH = 40
MAX_NUMBER_LENGTH = 40

_NULLS = frozenset(("", "~", "null", "Null", "NULL"))
_BOOLS = {
    "true": True, "True": True, "TRUE": True,
    "false": False, "False": False, "FALSE": False,
}  # fmt: skip
_INT = re.compile(r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_NOT_FINITE = re.compile(r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")
_UNTAGGED = "?"
_SUSPICIOUS = 1_000
"""More brackets, or a longer line, and the depth is looked at before libyaml recurses into it."""


@dataclass(frozen=True, slots=True)
class Node:
    """A value and where it stands.

    Args:
        value: A scalar, a list of nodes, or a dict of nodes by key.
        place: Where the value starts.
        key_place: Where its key starts, if it is the value of one; else where the value starts.
        is_quoted: Whether it is text in quotes, or in a block, which means nothing but itself.
    """

    value: Any
    place: Place
    key_place: Place
    is_quoted: bool = field(default=False, compare=False)

    @property
    def plain(self) -> Any:
        """The value without places, nested ones too."""
        if isinstance(self.value, dict):
            return {key: child.plain for key, child in self.value.items()}
        if isinstance(self.value, list):
            return [child.plain for child in self.value]
        return self.value

    @property
    def kind(self) -> str:
        """What it is, in words for an error."""
        kinds = {
            dict: "a mapping",
            list: "a list",
            str: "text",
            bool: "true or false",
            type(None): "nothing",
        }
        return kinds.get(type(self.value), "a number")

    def at_value(self, message: str) -> Problem:
        """Return a problem placed at the value."""
        return Problem(*self.place, message)

    def at_key(self, message: str) -> Problem:
        """Return a problem placed at the key."""
        return Problem(*self.key_place, message)


class Problems(list[Problem]):
    """What is wrong with one file so far."""

    def __init__(self) -> None:
        super().__init__()
        self._misread: set[Problem] = set()

    def misread(self, problems: Collection[Problem]) -> None:
        """Add what is wrong with the YAML itself."""
        self._misread.update(problems)
        self += problems

    def at(self, node: Node, message: str) -> None:
        """Add a problem with a value."""
        self.append(node.at_value(message))

    def at_key(self, node: Node, message: str) -> None:
        """Add a problem with the key of a value."""
        self.append(node.at_key(message))

    def kept(self, node: Node, make: Callable[..., T], *arguments: Any) -> T | None:
        """Return what a function makes of a value; `None` where it refuses, which is a problem."""
        try:
            return make(*arguments)
        except InputError as error:
            self.at(node, str(error))
            return None

    def refuse(self, name: str) -> None:
        """Refuse the file of that name, unless nothing is wrong with it."""
        # whatever else is said of a place where the YAML is wrong follows from that
        places = {problem[:2] for problem in self._misread}
        found = [one for one in self if one in self._misread or one[:2] not in places]
        if found:
            raise FileProblems(name, found)


class _Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    """Composes nodes with every scalar left as text."""

    yaml_implicit_resolvers: ClassVar[dict[str, Any]] = {}
    DEFAULT_SCALAR_TAG = DEFAULT_SEQUENCE_TAG = DEFAULT_MAPPING_TAG = _UNTAGGED


def read_yaml(path: Path, problems: Problems | None = None) -> Node:
    """Read a file, as `parse_yaml` does its text."""
    return parse_yaml(read_text(path, MAX_FILE_BYTES), str(path), problems)


def parse_yaml(text: str, name: str, problems: Problems | None = None) -> Node:
    """Parse a document; `name` stands for its file in errors.

    Where problems are given, those that leave the rest readable (such as a duplicate key) are added
    to them and not raised, so that they can be reported with others.

    >>> parse_yaml("{a: off, b: 1e6, c: 010, d: 1:30}", "x").plain
    {'a': 'off', 'b': 1000000.0, 'c': 10, 'd': '1:30'}
    """
    found: list[Problem] = []
    try:
        text.encode("utf-8")
        _check_depth(text)
        root = yaml.compose(text, Loader=_Loader)
        if root is None:
            raise _Unread("the file is empty")
        node = _Reader(found).read(root, None, 0)
    except UnicodeEncodeError as error:
        raise FileProblems(name, [Problem(1, 1, "not UTF-8 text")]) from error
    except _Unread as error:
        raise FileProblems(name, [*found, Problem(1, 1, str(error))]) from error
    except yaml.YAMLError as error:
        raise FileProblems(name, [_syntax_problem(error, text)]) from error
    if problems is not None:
        problems.misread(found)
    elif found:
        raise FileProblems(name, found)
    return node


def rewritten(text: str, anew: Mapping[Place, Callable[[str], str]]) -> str:
    r"""Return a document with some scalars written anew, every other character as it was.

    `anew` has, by the place of a scalar, what its text becomes; quotes around it stay.

    >>> rewritten("a: [1, '2'] # two\r\n", {(1, 8): lambda text: f"{text}0"})
    "a: [1, '20'] # two\r\n"

    Raises:
        FileProblems: A scalar is written in a way that cannot be kept, such as with escapes.
    """
    edits = {}
    for node in _scalars(yaml.compose(text, Loader=_Loader)):
        place = _place_of(node)
        if place in anew:
            end = node.end_mark.index - (node.style not in (None, ""))
            start = end - len(node.value)
            before = text[node.start_mark.index : start]
            if text[start:end] != node.value or not _BEFORE_A_VALUE.fullmatch(before):
                raise FileProblems("text", [Problem(*place, "cannot be written anew")])
            edits[start, end] = anew[place](node.value)
    for (start, end), after in sorted(edits.items(), reverse=True):
        text = text[:start] + after + text[end:]
    return text


_BEFORE_A_VALUE = re.compile(r"(&\S+\s+)?['\"]?")
"""What a scalar begins with, unless it is a block: its anchor, a quote."""


def _scalars(node: yaml.Node | None) -> Iterator[yaml.ScalarNode]:
    """Yield the scalars of a document that are values."""
    if isinstance(node, yaml.MappingNode):
        for _, value in node.value:
            yield from _scalars(value)
    elif isinstance(node, yaml.SequenceNode):
        for value in node.value:
            yield from _scalars(value)
    elif isinstance(node, yaml.ScalarNode):
        yield node


def parse_scalar(text: str) -> Any:
    """Return a plain scalar or a flow list as YAML 1.2 reads it, typed on a command line."""
    return parse_yaml(text, "value").plain if text.strip() else ""


def quoted(text: str) -> str:
    """Return a text as YAML writes it: in quotes where it would be read as something else.

    >>> quoted("layer1.0.conv1"), quoted("010"), quoted("a: b"), quoted("café")
    ('layer1.0.conv1', '"010"', '"a: b"', 'café')
    """
    if re.fullmatch(r"[\w./:@+,= -]+", text):
        try:
            if parse_yaml(f"- {text}\n- {text}: x", "text").plain == [text, {text: "x"}]:
                return text
        except FileProblems:
            pass
    return flow(text)


def flow(value: Any) -> str:
    r"""Return what JSON can hold as YAML on one line.

    >>> flow({"a": ["\x7f", 1]})
    '{"a": ["\\u007f", 1]}'
    """
    return escaped(json.dumps(value, ensure_ascii=False))


def escaped(text: str) -> str:
    """Return a line of YAML in double quotes with what YAML does not allow as escapes."""
    return _NOT_IN_YAML.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


_NOT_IN_YAML = re.compile("[\x7f-\x9f\u2028\u2029\ufeff\ufffe\uffff]")
"""What JSON leaves as it is and YAML does not allow, or takes for the end of a line."""


class _Unread(Exception):
    """The document is empty, too deep or too large; it is not read any further."""


class _Reader:
    def __init__(self, problems: list[Problem]) -> None:
        self._problems = problems
        self._nodes = 0

    def read(self, node: yaml.Node, key: yaml.Node | None, depth: int) -> Node:
        self._nodes += 1
        if self._nodes > MAX_NODES:
            raise _Unread(f"more than {MAX_NODES:,} values once aliases are expanded, refused")
        if depth > MAX_DEPTH:
            raise _Unread(_TOO_DEEP)
        self._refuse_tag(node)
        value: Any = None
        if isinstance(node, yaml.MappingNode):
            value = dict(self._entries(node, depth))
        elif isinstance(node, yaml.SequenceNode):
            value = [self.read(child, None, depth + 1) for child in node.value]
        elif isinstance(node, yaml.ScalarNode):
            value = self._scalar(node)
        is_quoted = isinstance(node, yaml.ScalarNode) and node.style not in (None, "")
        return Node(value, _place_of(node), _place_of(key or node), is_quoted)

    def _entries(self, node: yaml.MappingNode, depth: int) -> Iterator[tuple[str, Node]]:
        first: dict[str, yaml.Node] = {}
        for key, child in node.value:
            self._refuse_tag(key)
            if not isinstance(key, yaml.ScalarNode):
                self._refuse(key, "a key must be a word")
            elif key.value in first:
                line, _ = _place_of(first[key.value])
                self._refuse(key, f"duplicate key '{key.value}' (first on line {line})")
            else:
                first[key.value] = key
                yield key.value, self.read(child, key, depth + 1)

    def _refuse(self, node: yaml.Node, message: str) -> None:
        self._problems.append(Problem(*_place_of(node), message))

    def _refuse_tag(self, node: yaml.Node) -> None:
        if node.tag != _UNTAGGED:
            self._refuse(node, f"tags are not supported, found '{node.tag}'")

    def _scalar(self, node: yaml.ScalarNode) -> Any:
        text: str = node.value
        if node.style not in (None, ""):
            return text
        if text in _NULLS:
            return None
        if text in _BOOLS:
            return _BOOLS[text]
        whole = _INT.fullmatch(text)
        if not (whole or _FLOAT.fullmatch(text) or _NOT_FINITE.fullmatch(text)):
            return text
        if len(text) > MAX_NUMBER_LENGTH:
            longest = f"a number of more than {MAX_NUMBER_LENGTH} characters, refused"
            return self._refuse(node, f"{longest}; quote it if it is text")
        if whole:
            return int(text, 0) if text[:2] in ("0o", "0x") else int(text)
        number = inf if _NOT_FINITE.fullmatch(text) else float(text)
        if isinf(number):
            return self._refuse(node, f"numbers must be finite, found {text}")
        return number


_TOO_DEEP = f"nested deeper than {MAX_DEPTH} levels, refused"


def _check_depth(text: str) -> None:
    """Refuse text so deep that it would exhaust the stack; ordinary files are not looked at."""
    brackets = text.count("[") + text.count("{")
    if brackets <= _SUSPICIOUS and max(map(len, text.splitlines()), default=0) <= _SUSPICIOUS:
        return
    depth = 0
    for event in yaml.parse(text, Loader=_Loader):
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
            if depth > MAX_DEPTH:
                raise _Unread(_TOO_DEEP)
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1


def _place_of(node: yaml.Node) -> Place:
    return node.start_mark.line + 1, node.start_mark.column + 1


def _syntax_problem(error: yaml.YAMLError, text: str) -> Problem:
    mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    if mark is not None:
        said = (getattr(error, "context", None), getattr(error, "problem", None))
        what = ", ".join(filter(None, said))
        return Problem(mark.line + 1, mark.column + 1, f"not valid YAML: {what}")
    position = getattr(error, "position", 0)  # in bytes
    line = text.encode("utf-8")[:position].count(b"\n") + 1
    return Problem(line, 1, "not valid YAML: a character that YAML does not allow")
