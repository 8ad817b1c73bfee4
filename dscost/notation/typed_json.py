"""JSON values → what the types of records say they are, and the keys that lead to one that is not.

Keys that a record does not know are passed over; fields that have a default may be missing.
"""

import json
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from dscost.errors import SpecError

Reader = Callable[[Any], Any]


class Misfit(Exception):
    """A value that does not fit its type, with the keys that lead to it, outermost first."""

    def __init__(self, message: str, *path: str | int) -> None:
        super().__init__(message)
        self.path = list(path)

    def __str__(self) -> str:
        keys = [f"[{key}]" if isinstance(key, int) else f".{key}" for key in self.path]
        place = "".join(keys).removeprefix(".")
        return f"{place}: {self.args[0]}" if place else str(self.args[0])


def within(key: str | int, reader: Reader, value: Any) -> Any:
    """Read what stands under a key."""
    try:
        return reader(value)
    except Misfit as misfit:
        misfit.path.insert(0, key)
        raise


@contextmanager
def below(*keys: str | int) -> Iterator[None]:
    """Say of what does not fit where it stands, as `within` does for a single value."""
    try:
        yield
    except Misfit as misfit:
        misfit.path[:0] = keys
        raise


def excerpt(value: Any) -> str:
    """Return a JSON value as an error shows it, containers by name alone."""
    if isinstance(value, dict | list):
        return "an object" if isinstance(value, dict) else "a list"
    return f"{json.dumps(value, ensure_ascii=False):.40}"


SCALARS: Mapping[type, tuple[tuple[type, ...], str, str]] = {
    bool: ((bool,), "true or false", "boolean"),
    int: ((int,), "a whole number", "integer"),
    float: ((int, float), "a number", "number"),
    str: ((str,), "text", "string"),
    NoneType: ((NoneType,), "null", "null"),
}
"""By type: what JSON may hold for it, in Python, in words, in a schema; true is no number."""


def form_of(kind: Any) -> tuple[str, Sequence[Any]]:
    """Return what values of a type are in JSON, in a word, and the types or values in it.

    >>> form_of(tuple[int, ...]), form_of(tuple[int, str])[0], form_of(str | None)[0]
    (('list', (<class 'int'>,)), 'tuple', 'choice')
    """
    origin, arguments = get_origin(kind), get_args(kind)
    if kind is Any or kind in SCALARS:
        return "scalar", ()
    if origin in (Union, UnionType):
        return "choice", arguments
    if origin is Literal:
        return "literal", arguments
    if origin is tuple and arguments[-1] is Ellipsis:
        return "list", arguments[:1]
    if origin is tuple:
        return "tuple", arguments
    return ("mapping", arguments[1:]) if origin is Mapping else ("record", ())


def fields_of(record: Any) -> tuple[str, ...]:
    """Return the fields of a record; a spec has slots alone."""
    names: tuple[str, ...] = getattr(record, "_fields", None) or record.__slots__
    return names


class Readers:
    """What reads JSON, by type.

    Args:
        never_negative: By record, fields whose numbers are at least 0.
        above_zero: By record, fields whose numbers are above 0.
        elsewhere: By record, fields that do not stand under their own name.
        finish: By record, what makes the whole of one of what was read and the JSON that it is in.
    """

    def __init__(
        self,
        *,
        never_negative: Mapping[type, Collection[str]],
        above_zero: Mapping[type, Collection[str]],
        elsewhere: Mapping[type, Collection[str]] | None = None,
        finish: Mapping[type, Callable[[Any, Mapping[str, Any]], Any]] | None = None,
    ) -> None:
        self._never_negative, self._above_zero = never_negative, above_zero
        self._elsewhere, self._finish = elsewhere or {}, finish or {}
        self._known: dict[Any, Reader] = {Any: lambda value: value}

    def of(self, kind: Any) -> Reader:
        """Return what reads the values of a type."""
        if kind not in self._known:
            self._known[kind] = self._made(kind)
        return self._known[kind]

    def _made(self, kind: Any) -> Reader:
        form, inner = form_of(kind)
        if form == "scalar":
            return _scalar_reader(kind)
        if form == "literal":
            return _literal_reader(inner)
        if form == "record":
            return self._record_reader(kind)
        readers = [self.of(one) for one in inner if one is not NoneType]
        if form == "choice":
            return _choice_reader(readers, may_be_none=NoneType in inner)
        if form == "tuple":
            return _tuple_reader(readers)
        return _list_reader(*readers) if form == "list" else _mapping_reader(*readers)

    def _record_reader(self, kind: Any) -> Reader:
        """Return what reads a record, from an object with its fields as keys."""
        hints, elsewhere = get_type_hints(kind), self._elsewhere.get(kind, ())
        defaults = getattr(kind, "_field_defaults", ())
        readers = {name: self.of(hints[name]) for name in fields_of(kind) if name not in elsewhere}
        for name in self._never_negative.get(kind, ()):
            readers[name] = _bounded(readers[name], "of at least 0", lambda number: number >= 0)
        for name in self._above_zero.get(kind, ()):
            readers[name] = _bounded(readers[name], "above 0", lambda number: number > 0)
        finish = self._finish.get(kind)

        def read(value: Any) -> Any:
            given = {}
            _expect(value, (dict,), "an object")
            for name, reader in readers.items():
                if name in value:
                    given[name] = within(name, reader, value[name])
                elif name not in defaults:
                    raise Misfit(f"missing key '{name}'")
            try:
                found = kind(**given)
            except SpecError as error:
                raise Misfit(str(error)) from None
            return finish(found, value) if finish else found

        return read


def _expect(value: Any, types: Collection[type], words: str) -> None:
    if type(value) not in types:
        raise Misfit(f"expected {words}, found {excerpt(value)}")


def _scalar_reader(kind: type) -> Reader:
    types, words, _ = SCALARS[kind]

    def read(value: Any) -> Any:
        _expect(value, types, words)
        if kind is int and value < 0:
            raise Misfit(f"expected {words} of at least 0, found {excerpt(value)}")
        return value

    return read


def _choice_reader(readers: Sequence[Reader], *, may_be_none: bool) -> Reader:
    def read(value: Any) -> Any:
        if value is None and may_be_none:
            return None
        for reader in readers[:-1]:
            try:
                return reader(value)
            except Misfit:
                continue
        return readers[-1](value)

    return read


def _literal_reader(allowed: Sequence[Any]) -> Reader:
    def read(value: Any) -> Any:
        if value not in allowed:
            raise Misfit(f"expected {' or '.join(map(excerpt, allowed))}, found {excerpt(value)}")
        return value

    return read


def _list_reader(entry: Reader) -> Reader:
    def read(value: Any) -> Any:
        _expect(value, (list,), "a list")
        return tuple([within(at, entry, one) for at, one in enumerate(value)])

    return read


def _tuple_reader(entries: Sequence[Reader]) -> Reader:
    def read(value: Any) -> Any:
        _expect(value, (list,), "a list")
        if len(value) != len(entries):
            raise Misfit(f"expected {len(entries)} entries, found {len(value)}")
        both = zip(entries, value, strict=True)
        return tuple([within(at, entry, one) for at, (entry, one) in enumerate(both)])

    return read


def _mapping_reader(entry: Reader) -> Reader:
    def read(value: Any) -> Any:
        _expect(value, (dict,), "an object")
        return {key: within(key, entry, one) for key, one in value.items()}

    return read


def _bounded(reader: Reader, expected: str, is_right: Callable[[float], bool]) -> Reader:
    """Return a reader that refuses numbers out of bounds."""

    def read(value: Any) -> Any:
        found = reader(value)
        for number in found if isinstance(found, tuple) else (found,):
            if isinstance(number, int | float) and not is_right(number):
                raise Misfit(f"expected a number {expected}, found {excerpt(number)}")
        return found

    return read
