"""A figure as people write it → what it may stand for: `4.11G`, `320M`, `320,300,008`, `0.32`."""

import re
from collections.abc import Iterator, Mapping
from fractions import Fraction
from typing import NamedTuple

from dscost.errors import InputError, did_you_mean
from dscost.printable import shortened

EXAMPLES = "4.11G, 320M, 320300008 or 0.32"
MAX_CHARACTERS = 60
LARGEST = 10**30
"""No model counts as much."""

PREFIXES: Mapping[str, int] = {"": 1, "k": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}
_SPELLED = {
    **PREFIXES,
    "K": 10**3,
    "B": 10**9,
    "million": 10**6,
    "billion": 10**9,
    "trillion": 10**12,
}
_OPERATIONS = frozenset(
    "flop flops mac macs fma fmas op ops madd madds multadds mult-adds muladds multiply-adds "
    "multiply-accumulates".split()
)
_PARAMETERS = frozenset("param params parameter parameters weights".split())
_NOUNS = _OPERATIONS | _PARAMETERS

_GROUPED = re.compile(r"[0-9]{1,3}([,_' ][0-9]{3})+")
_NUMBER = re.compile(
    r"(?P<digits>[0-9]+(?:\.[0-9]*)?|\.[0-9]+)"
    r"(?:[eE](?P<exponent>[-+]?[0-9]{1,3}))?\s*(?P<unit>[a-zA-Z][a-zA-Z -]*)?"
)


class Reading(NamedTuple):
    """What a figure may stand for: every count from the lowest to the highest.

    Args:
        low: The lowest.
        high: The highest.
        how: How the figure came of the count: `exact`, `rounded`, `rounded to tens`, `cut off`.
    """

    low: Fraction
    high: Fraction
    how: str

    def holds(self, count: Fraction) -> bool:
        """Whether a count may have been written as the figure."""
        return self.low <= count <= self.high


class Written(NamedTuple):
    """A figure as somebody wrote it.

    Args:
        text: As it was written.
        readings: What it may stand for, the likeliest first.
        is_of: `operations` or `parameters` where its unit says so.
    """

    text: str
    readings: tuple[Reading, ...]
    is_of: str | None = None

    def reading_of(self, count: Fraction) -> Reading | None:
        """Return the likeliest reading that holds a count."""
        return next((reading for reading in self.readings if reading.holds(count)), None)

    def distance(self, count: Fraction) -> Fraction:
        """Return how far a count is off, as a share of the figure; 0 where a reading holds it."""
        if self.reading_of(count):
            return Fraction()
        middles = [(one.low + one.high) / 2 for one in self._plain]
        return min((abs(count - middle) / middle for middle in middles), default=Fraction(1))

    def nearest_value(self, count: Fraction) -> Fraction:
        """Return what the figure stands for in the unit that comes nearest to a count."""
        middles = [(one.low + one.high) / 2 for one in self._plain]
        return min(middles, key=lambda middle: abs(count - middle) / middle)

    @property
    def has_one_digit(self) -> bool:
        """Whether it says so little that much fits: a second digit would leave a tenth of it.

        >>> [parse_figure(one).has_one_digit for one in ("5G", "0.3", "5.0G", "300M")]
        [True, True, False, False]
        """
        widest = max(2 * (one.high - one.low) / (one.high + one.low) for one in self._plain)
        return widest > Fraction(1, 10)

    @property
    def _plain(self) -> list[Reading]:
        return [one for one in self.readings if one.how in PLAIN]


PLAIN = ("exact", "rounded")


def parse_figure(figure: object) -> Written:
    """Return what a figure may stand for.

    A number with decimals, or with a unit, stands for all that rounds to it, half up; less likely
    for what was cut off after its last digit, or, if it ends in 0, rounded to tens. Without a unit
    it may be of thousands, millions, …; a whole one without is exact as well.

    Raises:
        InputError: It is no figure above 0.

    >>> reading = parse_figure("4.11G").readings[0]
    >>> float(reading.low), float(reading.high), reading.how
    (4105000000.0, 4115000000.0, 'rounded')
    >>> [one.how for one in parse_figure("320,300,008").readings][:1]
    ['exact']
    """
    text = _as_text(figure)
    plain = text.strip()
    if _GROUPED.fullmatch(plain.partition(".")[0]):
        plain = re.sub(r"[,_' ]", "", plain)
    found = _NUMBER.fullmatch(plain) if len(plain) <= MAX_CHARACTERS else None
    if found is None:
        raise _no_figure(text)
    scale, is_of = _unit(found["unit"] or "", text)
    exponent = int(found["exponent"] or 0)
    if abs(exponent) > 30:
        raise InputError(f"no model counts as much, or as little, as '{shortened(text)}'")
    decimals = len(found["digits"].partition(".")[2]) - exponent
    value = Fraction(found["digits"].rstrip(".")) * Fraction(10) ** exponent
    if not value:
        raise InputError(f"expected a figure above 0, found '{shortened(text)}'")
    if value * (scale or 1) > LARGEST:
        raise InputError(f"no model counts as much as '{shortened(text)}'")
    units = [scale] if scale else list(PREFIXES.values())
    readings = [one for unit in units for one in _readings(value, decimals, unit, scale)]
    order = ("exact", "rounded", "rounded to tens", "cut off")
    return Written(text.strip(), tuple(sorted(readings, key=lambda r: order.index(r.how))), is_of)


def _as_text(figure: object) -> str:
    if isinstance(figure, bool) or not isinstance(figure, str | int | float):
        raise InputError(f"expected a figure such as {EXAMPLES}, found {figure!r:.60}")
    if isinstance(figure, int) and abs(figure) > LARGEST:  # Python refuses to write the longest
        raise InputError(f"no model counts as much as a number of {figure.bit_length()} bits")
    return str(figure)


def _no_figure(text: str) -> InputError:
    expected = f"expected a figure such as {EXAMPLES}, found '{shortened(text)}'"
    plain = text.strip()
    if re.match(r"[-−]\s*[0-9.]", plain):
        return InputError(f"expected a figure above 0, found '{shortened(text)}'")
    if re.fullmatch(r"[0-9]+,[0-9]+\s*[a-zA-Z]*", plain):
        return InputError(f"{expected}: decimals stand behind a point")
    return InputError(expected)


def _unit(text: str, whole: str) -> tuple[int | None, str | None]:
    """Return what a unit multiplies by, `None` where that is not said, and what it is of."""
    words = text.strip()
    if not words:
        return None, None
    for prefix in sorted(_SPELLED, key=len, reverse=True):
        if not words.startswith(prefix):
            continue
        noun = words[len(prefix) :].strip().lower()
        scale = _SPELLED[prefix] if prefix else None
        if not noun and prefix:
            return scale, None
        if noun in _PARAMETERS:
            return scale, "parameters"
        if noun in _OPERATIONS:
            return scale, "operations"
    known = [*filter(None, _SPELLED), "GFLOPs", "GMACs", "params"]
    hint = did_you_mean(words, known)
    raise InputError(
        f"unknown unit '{shortened(words)}'{hint} in '{shortened(whole)}', "
        f"expected a figure such as {EXAMPLES}"
    )


def _readings(value: Fraction, decimals: int, unit: int, scale: int | None) -> Iterator[Reading]:
    """Yield what a number may stand for in a unit; `scale` is that which was written, if any."""
    step, count = Fraction(unit) / Fraction(10) ** decimals, value * unit
    is_whole_count = unit == 1 and step == 1
    if unit == 1 and scale is None and not is_whole_count and decimals > 0:
        return  # no model counts parts
    if is_whole_count:
        yield Reading(count, count, "exact")
    else:
        yield Reading(count - step / 2, count + step / 2, "rounded")
    zeros = len(str(count / step)) - len(str(count / step).rstrip("0"))
    if is_whole_count and zeros >= 3:  # a rounded figure, written out
        step *= 10**zeros
        yield Reading(count - step / 2, count + step / 2, "rounded")
        yield Reading(count, count + step, "cut off")
    elif zeros and decimals <= 0 and not is_whole_count:
        yield Reading(count - 5 * step, count + 5 * step, "rounded to tens")
    if not is_whole_count:
        yield Reading(count, count + step, "cut off")
