"""Quantities as people write them: dtypes, counts, bytes, times, pairs.

Everywhere else counts are ints, sizes are bytes and times are seconds.
"""

import re
from collections.abc import Collection, Iterable
from math import isinf
from typing import Self

from dscost.errors import InputError, UnknownNameError

DTYPE_BYTES = {"float64": 8, "float32": 4, "float16": 2, "bfloat16": 2, "int8": 1}
"""Bytes per element of the dtypes a layer can be costed in."""

EXACT_BELOW = 10_000
"""Smaller counts are printed to the last digit."""

UNKNOWN = "–"
"""How an unknown quantity is printed."""
ARROW = " → "
"""Between what was and what is now."""


class Exact(str):
    """A figure as people read it, which knows its exact value: what tables are sorted by.

    What is made of it, such as a longer text, is a text like any other.

    >>> Exact("115.6M", 115_605_504), Exact("115.6M", 115_605_504).value
    ('115.6M', 115605504)
    """

    __slots__ = ("value",)
    value: float

    def __new__(cls, text: str, value: float) -> Self:
        """Return the text, and what it stands for."""
        exact = super().__new__(cls, text)
        exact.value = value
        return exact

    def __getnewargs__(self) -> tuple[str, float]:  # type: ignore[override]
        """Return what a copy is made of."""
        return str(self), self.value


def dtype_bytes(dtype: str) -> int:
    """Return the bytes of one element; of a dtype that a layer can be costed in."""
    if dtype not in DTYPE_BYTES:
        raise UnknownNameError("dtype", str(dtype), DTYPE_BYTES)
    return DTYPE_BYTES[dtype]


def format_count(count: int | None, digits: int = 4) -> str:
    """Return a count below 10,000 as it is, larger ones with some digits and a decimal prefix.

    >>> format_count(1_728), format_count(589_824), format_count(115_605_504), format_count(999_999)
    ('1,728', '589.8k', '115.6M', '1.000M')
    """
    if count is not None and abs(count) < EXACT_BELOW:
        return Exact(f"{count:,}", count)
    return _scaled(count, 1000, ("", "k", "M", "G", "T", "P", "E", "Z", "Y"), digits)


def format_bytes(size: int | None, digits: int = 4) -> str:
    """Return a size with some significant digits, usually four, and a binary prefix.

    >>> format_bytes(512), format_bytes(2_359_296), format_bytes(1_048_575)
    ('512 B', '2.250 MiB', '1.000 MiB')
    """
    prefixes = (" B", " KiB", " MiB", " GiB", " TiB", " PiB", " EiB", " ZiB")
    return _scaled(size, 1024, prefixes, digits)


def format_seconds(seconds: float | None) -> str:
    """Return a time with three significant digits.

    >>> tuple(map(format_seconds, (0.000_812, 0.0449, 2.5, 9.996e-6)))
    ('812 µs', '44.9 ms', '2.50 s', '10.0 µs')
    """
    if seconds is None:
        return UNKNOWN
    factor, unit = _time_unit(seconds)
    return Exact(f"{_significant(seconds * factor, 3)} {unit}", seconds)


def format_duration(seconds: float) -> str:
    """Return how long something takes in whole seconds, minutes or hours.

    >>> tuple(map(format_duration, (0.4, 45.2, 80, 3600, 7512)))
    ('1 s', '45 s', '1 min 20 s', '1 h', '2 h 5 min')
    """
    whole = max(1, round(seconds))
    for unit_s, unit, part_s, part in ((3600, "h", 60, "min"), (60, "min", 1, "s")):
        number, rest = divmod(whole, unit_s)
        if number:
            parts = rest // part_s
            return f"{number} {unit} {parts} {part}" if parts else f"{number} {unit}"
    return f"{whole} s"


def format_seconds_with_interval(seconds: float, interval: tuple[float, float] | None) -> str:
    """Return a time and, where there is one, its interval in one unit.

    >>> format_seconds_with_interval(0.000_996, (0.000_991, 0.001_002))
    '996 µs [991, 1002]'
    """
    if interval is None:
        return format_seconds(seconds)
    factor, unit = _time_unit(seconds)
    low, high = (_significant(bound * factor, 3) for bound in interval)
    return Exact(f"{_significant(seconds * factor, 3)} {unit} [{low}, {high}]", seconds)


def format_factor(factor: float | None) -> str:
    """Return a reduction or speedup.

    >>> format_factor(8.6943), format_factor(0.7981), format_factor(131.04)
    ('8.69×', '0.798×', '131×')
    """
    return UNKNOWN if factor is None else Exact(f"{_significant(factor, 3)}×", factor)


def format_intensity(flops_per_byte: float | None) -> str:
    """Return an arithmetic intensity with one decimal."""
    return UNKNOWN if flops_per_byte is None else Exact(f"{flops_per_byte:.1f}", flops_per_byte)


def format_share(part: int, whole: int) -> str:
    """Return how much of the whole a part is.

    >>> format_share(1, 8), format_share(0, 0)
    ('12.5%', '–')
    """
    return Exact(f"{part / whole:.1%}", part / whole) if whole else UNKNOWN


def format_percent(share: float, digits: int = 0) -> str:
    """Return a share as a sentence has it.

    >>> format_percent(0.5149), format_percent(0.5149, 1)
    ('51 %', '51.5 %')
    """
    return f"{100 * share:,.{digits}f} %"


def counted(number: int, noun: str) -> str:
    """Return a number of things, `1 layer` or `2 layers`."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


def format_layer(name: str) -> str:
    """Return the name of a layer as a sentence has it; a model itself has none among its modules.

    >>> format_layer("conv1"), format_layer("")
    ("'conv1'", '(root)')
    """
    return f"'{name}'" if name else "(root)"


def format_rate(per_s: float) -> str:
    """Return inputs per second, in as few digits as tell them apart.

    >>> format_rate(4.6812), format_rate(68.2), format_rate(12345.6)
    ('4.68', '68.2', '12,346')
    """
    digits = 2 if per_s < 10 else 1 if per_s < 100 else 0
    return Exact(f"{per_s:,.{digits}f}", per_s)


def arrow(texts: Iterable[str]) -> str:
    """Return what was and what is now, or one of the two where they agree; its value is what was.

    >>> arrow(["9", "4"]), arrow(["9", "9"])
    ('9 → 4', '9')
    """
    told = list(dict.fromkeys(texts))
    text, value = ARROW.join(told), getattr(told[0], "value", None) if told else None
    return text if value is None else Exact(text, value)


def format_shape(shape: tuple[int, ...]) -> str:
    """Return a shape or a pair, `3×224×224`."""
    return "×".join(map(str, shape))


def format_extent(extent: tuple[int, ...] | str) -> str:
    """Return a pair as one number where both agree.

    >>> format_extent((3, 3)), format_extent((5, 3)), format_extent("same")
    ('3', '5×3', 'same')
    """
    if isinstance(extent, str):
        return extent
    return str(extent[0]) if len(set(extent)) == 1 else format_shape(extent)


def parse_ints(
    text: str, what: str, separator: str, lengths: Collection[int], *, example: str
) -> tuple[int, ...]:
    """Parse whole numbers, of which there may be so many, such as `5x3` or `1,8,32`.

    Where they are sizes, with an `x` between them, so may be whatever else people write there.

    >>> parse_ints("5x3", "--kernel", "x", (1, 2), example="3 or 5x3")
    (5, 3)
    >>> parse_ints("31 × 40", "--size", "x", (2,), example="31x40")
    (31, 40)
    """
    parts = (
        re.split(r"\s*[xX×*,]\s*|\s+", text.strip()) if separator == "x" else text.split(separator)
    )
    try:
        numbers = tuple(int(part) for part in parts)
    except ValueError:
        numbers = ()
    if len(numbers) not in lengths:
        raise InputError(f"{what}: expected something like {example}, found '{text}'")
    return numbers


def _time_unit(seconds: float) -> tuple[float, str]:
    """Return factor and name of the unit in which a time has one to three whole digits."""
    for factor, unit in ((1e9, "ns"), (1e6, "µs"), (1e3, "ms")):
        if float(_significant(seconds * factor, 3)) < 1000:
            return factor, unit
    return 1.0, "s"


def _scaled(number: int | None, base: int, prefixes: tuple[str, ...], digits: int) -> str:
    if number is None:
        return UNKNOWN
    if abs(number) < base:
        return Exact(f"{number}{prefixes[0]}", number)
    power = 1
    value = float(number) / base
    while power < len(prefixes) - 1 and float(_significant(value, digits)) >= base:
        value /= base
        power += 1
    return Exact(_significant(value, digits) + prefixes[power], number)


def _significant(value: float, digits: int) -> str:
    """Return `value` with that many digits, but every digit before the point."""
    if value == 0:
        return "0"
    if isinf(value):  # of figures that a file may have, but no device
        return "inf"
    rounded = f"{value:.{digits - 1}e}"
    exponent = int(rounded.partition("e")[2])
    return f"{value:.{max(0, digits - 1 - exponent)}f}"
