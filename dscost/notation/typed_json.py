"""JSON values → what the types of records say they are, and the keys that lead to one that is not.

Keys that a record does not know are passed over; fields that have a default may be missing.
"""

import json
from collections.abc import Callable, Collection, Mapping, Sequence
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


def excerpt(value: Any) -> str:
    """Return a JSON value as an error shows it, containers by name alone."""
    if isinstance(value, dict | list):
        return "an object" if isinstance(value, dict) else "a list"
    return f"{json.dumps(value, ensure_ascii=False):.40}"


_SCALARS: Mapping[type, tuple[tuple[type, ...], str]] = {
    bool: ((bool,), "true or false"),
    int: ((int,), "a whole number"),
    float: ((int, float), "a number"),
    str: ((str,), "text"),
    NoneType: ((NoneType,), "null"),
}
"""What JSON may hold for a type, and how that is called; true is no number."""


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
        origin, arguments = get_origin(kind), get_args(kind)
        if kind in _SCALARS:
            return _scalar_reader(kind)
        if origin in (Union, UnionType):
            several = [self.of(one) for one in arguments if one is not NoneType]
            return _choice_reader(several, may_be_none=NoneType in arguments)
        if origin is Literal:
            return _literal_reader(arguments)
        if origin is tuple and arguments[-1] is Ellipsis:
            return _list_reader(self.of(arguments[0]))
        if origin is tuple:
            return _tuple_reader([self.of(one) for one in arguments])
        if origin is Mapping:
            return _mapping_reader(self.of(arguments[1]))
        return self._record_reader(kind)

    def _record_reader(self, kind: Any) -> Reader:
        """Return what reads a record, from an object with its fields as keys."""
        hints, elsewhere = get_type_hints(kind), self._elsewhere.get(kind, ())
        # specs, which have slots alone, are written with every field
        fields = getattr(kind, "_fields", None) or kind.__slots__
        defaults = getattr(kind, "_field_defaults", ())
        readers = {name: self.of(hints[name]) for name in fields if name not in elsewhere}
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
    types, words = _SCALARS[kind]

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
