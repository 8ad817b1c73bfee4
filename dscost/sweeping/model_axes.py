"""What people say of settings and inputs of models → their values: `0.25:1.0:0.25`, `128,160`.

>>> setting_values("0.25:1.0:0.25,1.3"), setting_values("relu, hswish"), setting_values("[1, 2]")
((0.25, 0.5, 0.75, 1.0, 1.3), ('relu', 'hswish'), ((1, 2),))
"""

import re
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from dscost.errors import FileProblems, InputError
from dscost.layers.convolution import MAX_EXTENT
from dscost.sweeping.ranges import MOST_VALUES, check_number, range_of

INPUT_EXAMPLE = "128,160,192,224, 160x224 or 1,3,224,224"


class Sides(NamedTuple):
    """The spatial size of an input, whose batch and channels are the model's own.

    Args:
        sizes: One for a square or a cube, else one for each dimension.
    """

    sizes: tuple[int, ...]


Whole = tuple[int, ...]
"""The shape of an input, batch first."""


class Numbers(NamedTuple):
    """Four numbers, which are sides, or a shape where the second are the model's own channels."""

    numbers: tuple[int, ...]


InputSaid = Sides | Whole | Numbers


# -- settings


def setting_values(given: object) -> tuple[Any, ...]:
    """Return the values of a setting, each once; what is a list is a tuple, which can be a key.

    Args:
        given: A text as on the command line, a value, or a list or range of such.

    Raises:
        InputError: It is none, or there is none.
    """
    entries: Sequence[object] = given if isinstance(given, list | tuple | range) else [given]
    if isinstance(given, range) and len(given) > MOST_VALUES:
        raise InputError(f"a range of {len(given):,} values: at most {MOST_VALUES:,}")
    found: dict[tuple[str, str], Any] = {}
    for entry in entries:
        for value in _values_of(entry) if isinstance(entry, str) else (entry,):
            one = _unchanging(value)
            found.setdefault((type(one).__name__, repr(one)), one)
    if not found:
        raise InputError("no value is given")
    return tuple(found.values())


def _unchanging(value: Any) -> Any:
    return tuple(map(_unchanging, value)) if isinstance(value, list | tuple) else value


def as_said(value: Any) -> Any:
    """Return the value of a setting as a model takes it: what is a tuple was said as a list."""
    return list(map(as_said, value)) if isinstance(value, tuple) else value


def _values_of(text: str) -> Iterator[Any]:
    from dscost.notation.marked_yaml import parse_scalar

    for part in _parts(text):
        spread = range_of(part)
        if spread is not None:
            check_number(part, len(spread))
            yield from spread
            continue
        if not part:
            raise InputError(f"expected a value such as 0.5 or 0.25:1.0:0.25, found '{text:.60}'")
        try:
            yield parse_scalar(part)
        except FileProblems as error:
            raise InputError(f"'{part:.60}': {error.problems[0].message}") from error


def _parts(text: str) -> list[str]:
    """Return what stands between the commas of a text that stand in no brackets."""
    parts, depth = [""], 0
    for sign in text:
        depth += (sign in "([{") - (sign in ")]}")
        if sign == "," and depth == 0:
            parts.append("")
        else:
            parts[-1] += sign
    return [part.strip() for part in parts]


# -- inputs


def input_values(given: object) -> tuple[InputSaid, ...]:
    """Return what is said of inputs, each once.

    Args:
        given: A side, a text such as `128,160`, `128:224:32`, `160x224` or `1,3,224,224`, several
            of them with blanks between; a tuple is two sides, or a whole shape; or a list of all.

    Raises:
        InputError: It is none of that.
    """
    entries = given if isinstance(given, list | range) else [given]
    found: list[InputSaid] = []
    for entry in entries:
        found += _inputs_of(entry)
    if not found:
        raise InputError(f"no input is given: expected something like {INPUT_EXAMPLE}")
    return tuple(dict.fromkeys(found))


def _inputs_of(entry: object) -> Iterator[InputSaid]:
    if isinstance(entry, str):
        if not entry.strip():
            raise InputError(f"no input is given: expected something like {INPUT_EXAMPLE}")
        for text in entry.split():
            yield from _of_text(text)
    elif isinstance(entry, tuple) and entry and all(type(one) is int for one in entry):
        sizes = tuple(_within(one) for one in entry)
        yield Sides(sizes) if len(sizes) <= 2 else sizes
    elif type(entry) is int:
        yield Sides((_within(entry),))
    else:
        raise InputError(f"expected something like {INPUT_EXAMPLE}, found {entry!r:.60}")


def _of_text(text: str) -> Iterator[InputSaid]:
    parts = text.split(",")
    if all(re.fullmatch(r"[0-9]{1,18}", part) for part in parts):
        numbers = tuple(_within(int(part)) for part in parts)
        if len(numbers) == 4:
            yield Numbers(numbers)
            return
        if len(set(numbers)) < len(numbers):  # a size twice: a shape that lacks something
            hint = f" (did you mean 1,{text}?)" if len(numbers) == 3 else ""
            raise InputError(f"expected something like {INPUT_EXAMPLE}, found '{text:.60}'{hint}")
        yield from (Sides((one,)) for one in numbers)
        return
    for part in parts:
        spread = range_of(part)
        pair = re.fullmatch(r"([0-9]{1,9})(?:[xX×]([0-9]{1,9})){1,2}", part)
        if isinstance(spread, range):
            check_number(part, len(spread))
            yield from (Sides((_within(one),)) for one in spread)
        elif pair:
            yield Sides(tuple(_within(int(one)) for one in re.split("[xX×]", part)))
        elif re.fullmatch(r"[0-9]{1,18}", part):
            yield Sides((_within(int(part)),))
        else:
            raise InputError(f"expected something like {INPUT_EXAMPLE}, found '{text:.60}'")


def _within(size: int) -> int:
    if not 1 <= size <= MAX_EXTENT:
        raise InputError(f"a size must be 1 to {MAX_EXTENT:,}, found {size:,}")
    return size
