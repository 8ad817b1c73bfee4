"""What people say of an axis → its values, or what it is computed by. No numpy, no torch.

>>> parse_axis("out_channels", "8:32:8,64"), parse_axis("kernel_size", "1,3,5x3")
((8, 16, 24, 32, 64), (1, 3, (5, 3)))
>>> parse_axis("out_channels", "2 * in_channels").text
'2 * cin'
"""

import re
from collections.abc import Iterable, Iterator, Sequence

from dscost.errors import InputError, did_you_mean
from dscost.layers.convolution import MAX_EXTENT
from dscost.networks.expressions import FUNCTIONS, Expression
from dscost.sweeping.grids import AXES, SHORT, Value
from dscost.sweeping.ranges import range_of

Said = tuple[Value, ...] | Expression
"""What is said of an axis: its values, each once, or what it follows by from others."""

OF_SIZES = ("kernel_size", "stride", "padding", "dilation", "input_size")
"""Axes that may have a number for each dimension."""
LEAST = {"padding": 0}
"""The smallest number of an axis, where that is not 1."""
WORDS: dict[str, dict[str, Value]] = {
    "padding": {"same": "same", "valid": 0},
    "bias": {"true": True, "false": False, "yes": True, "no": False},
}
"""What stands for a value of an axis."""
EXAMPLES = {
    "in_channels": "8:1024:8 or 16,32,64",
    "out_channels": "8:1024:8, 16,32,64 or 2 * cin",
    "kernel_size": "3, 1,3,5 or 5x3",
    "stride": "1,2 or 2x1",
    "padding": "0,1 or same",
    "dilation": "1,2 or 2x1",
    "groups": "1,2,4 or cin",
    "bias": "true, false or true,false",
    "input_size": "7,14,28 or 31x40",
    "batch": "1,8,32",
}
"""What may be said of each axis."""

NAMES = {
    **{name: SHORT.get(name, name) for name in AXES if name != "bias"},
    **{SHORT.get(name, name): SHORT.get(name, name) for name in AXES if name != "bias"},
    "kernel": "k",
}
"""How an expression may call an axis that has numbers, and how it is called in the end."""

MOST_SHOWN = 60
"""Characters of a text that an error repeats."""

_WORD = re.compile(r"(?<![0-9A-Za-z_.])[^\W\d]\w*")
"""What is no number, nor the x of 5x3."""
_NUMBER = re.compile(r"[-+]?[0-9]{1,18}")
_SIZES = re.compile(r"([0-9]{1,18})(?:\s*[xX×]\s*([0-9]{1,18}))+")


def parse_axis(name: str, given: object) -> Said:
    """Return what is said of an axis, each value once.

    Args:
        name: Of `AXES`.
        given: A text such as `8:64:8`, `16,32`, `5x3`, `same` or `2 * cin`; a number; or a list or
            a range of such. A tuple is a number for each dimension, where an axis may have them.

    Raises:
        InputError: It is none of that, is empty, or a number is out of bounds.
    """
    if isinstance(given, str):
        if _is_expression(name, given):
            return _expression(name, given)
        return once(_of_text(name, given))
    if isinstance(given, range) and len(given) > MAX_EXTENT:
        raise InputError(f"a range of {len(given):,} values: at most {MAX_EXTENT:,}")
    if not isinstance(given, range | list) and not _is_list(name, given):
        return (_value(name, given),)
    entries: Sequence[object] = given  # type: ignore[assignment]
    if len(entries) == 1 and isinstance(entries[0], str):
        return parse_axis(name, entries[0])
    return once(value for entry in entries for value in values_of_entry(name, entry))


def values_of_entry(name: str, entry: object) -> Iterator[Value]:
    """Yield the values that an entry of a list stands for.

    Raises:
        InputError: It is no value of the axis, or an expression, which stands alone.
    """
    if isinstance(entry, range):
        yield from parse_axis(name, entry)  # type: ignore[misc]
        return
    if not isinstance(entry, str):
        yield _value(name, entry)
        return
    if _is_expression(name, entry):
        _expression(name, entry)  # what else is wrong with it is told first
        raise InputError(f"an expression stands alone, found '{_shown(entry)}' in a list")
    yield from _of_text(name, entry)


def _is_list(name: str, given: object) -> bool:
    """Whether a tuple is several values."""
    return isinstance(given, tuple) and name not in OF_SIZES


def once(values: Iterable[Value]) -> tuple[Value, ...]:
    """Return each value of an axis once; none has both numbers and true or false.

    Raises:
        InputError: There is no value.
    """
    found = tuple(dict.fromkeys(values))
    if not found:
        raise InputError("no value is given")
    return found


# -- single values


def _value(name: str, given: object) -> Value:
    """Return a value that is no text."""
    if name == "bias":
        if isinstance(given, bool):
            return given
        raise _unexpected(name, given)
    if given is None and name == "padding":
        return None
    if isinstance(given, tuple) and name in OF_SIZES and 1 <= len(given) <= 3:
        return tuple(_number(name, one) for one in given)
    return _number(name, given)


def _number(name: str, given: object) -> int:
    if isinstance(given, bool) or not hasattr(given, "__index__"):
        raise _unexpected(name, given)
    return _within(name, given.__index__())


def _within(name: str, number: int) -> int:
    least = LEAST.get(name, 1)
    if number < least:
        raise InputError(f"must be at least {least}, found {number:,}")
    if number > MAX_EXTENT:
        raise InputError(f"must be at most {MAX_EXTENT:,}, found {number:,}")
    return number


def _unexpected(name: str, found: object) -> InputError:
    shown = f"'{_shown(found)}'" if isinstance(found, str) else f"{found!r:.{MOST_SHOWN}}"
    return InputError(f"expected something like {EXAMPLES[name]}, found {shown}")


def _shown(text: str) -> str:
    return text if len(text) <= MOST_SHOWN else f"{text[:MOST_SHOWN]}…"


# -- texts


def _of_text(name: str, text: str) -> Iterator[Value]:
    if not text.strip():
        raise InputError(f"no value is given: expected something like {EXAMPLES[name]}")
    for part in text.split(","):
        yield from _of_part(name, part.strip(), text)


def _of_part(name: str, part: str, text: str) -> Sequence[Value]:
    words = WORDS.get(name, {})
    if part.lower() in words:
        return (words[part.lower()],)
    if name == "bias":
        raise _unexpected(name, text)
    if _NUMBER.fullmatch(part):
        return (_within(name, int(part)),)
    spread = range_of(part)
    if isinstance(spread, range):
        _within(name, spread.start)
        _within(name, spread.stop - 1)
        return spread
    if name in OF_SIZES and _SIZES.fullmatch(part):
        sizes = tuple(_within(name, int(one)) for one in re.split(r"\s*[xX×]\s*", part))
        if len(sizes) <= 3:
            return (sizes,)
    raise _unexpected(name, text)


# -- expressions


def _is_expression(name: str, text: str) -> bool:
    """Whether a text has names in it, of which something is computed."""
    words = WORDS.get(name, {})
    return name != "bias" and any(word.lower() not in words for word in _WORD.findall(text))


def _expression(name: str, text: str) -> Expression:
    """Return what an axis is computed by, in short names."""
    if any(depth == 0 for depth in _commas(text)):
        parts = [part.strip() for part in text.split(",")]
        if all(re.fullmatch(r"[\w:×]+", part) for part in parts):
            raise _unexpected(name, text)
        raise InputError(f"an expression stands alone, found '{_shown(text)}'")
    short = _WORD.sub(lambda found: NAMES.get(found[0], found[0]), text.strip())
    expression = Expression(short)
    for called in expression.functions():
        if called not in FUNCTIONS:
            raise InputError(f"unknown function '{called}'{did_you_mean(called, FUNCTIONS)}")
    known = [*NAMES, *WORDS.get(name, {})]
    for used in expression.names():
        if used not in NAMES:
            raise InputError(_unknown(name, used, known))
    return expression


def _unknown(name: str, used: str, known: Sequence[str]) -> str:
    shown = _shown(used)
    nearest = did_you_mean(used, known)
    names = ", ".join(dict.fromkeys(NAMES.values()))
    return f"unknown name '{shown}'{nearest or f' (an expression has {names})'}"


def _commas(text: str) -> Iterator[int]:
    """Yield how deep in parentheses each comma stands."""
    depth = 0
    for sign in text:
        depth += (sign in "([") - (sign in ")]")
        if sign == ",":
            yield depth
