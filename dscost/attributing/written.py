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
    "bn": 10**9,
    "million": 10**6,
    "billion": 10**9,
    "trillion": 10**12,
}
_OPERATIONS = frozenset(
    "flop flops mac macs fma fmas op ops madd madds multadds mult-adds muladds multiply-adds "
    "multiply-accumulates".split()
)
_PARAMETERS = frozenset("param params parameter parameters weights".split())
_IS_OF = {
    **dict.fromkeys(_OPERATIONS, "operations"),
    **dict.fromkeys(_PARAMETERS, "parameters"),
}
_PREFIX = {scale: prefix for prefix, scale in PREFIXES.items()}

SHORTEST_COUNT = 10**6
"""From here on a number without a unit that a program wrote, `4110000000.0` or `4.11e9`, is one."""
ROUNDED_TO = (
    *("rounded to tens", "rounded to hundreds", "rounded to thousands"),
    "rounded to ten thousands",
)
"""What the last zeros of a number may be, by how many they are; two digits are left before them."""
HOW = ("exact", "rounded", *ROUNDED_TO, "cut off")
"""How a figure may come of a count, the likeliest first."""

WHOLE_FLOATS = 100

_ABOUT = re.compile(r"(~|≈|≃|∼|about\b|approx(imately|\.)?|ca(\.|\b)|circa\b)\s*")
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
        how: How the figure came of the count, one of `HOW`.
        read_as: The figure with the unit that it is taken to be in, where it was written with none.
    """

    low: Fraction
    high: Fraction
    how: str
    read_as: str | None = None

    @property
    def middle(self) -> float:
        """What it stands for where one number is to be named."""
        return float(self.low + self.high) / 2

    def holds(self, count: Fraction) -> bool:
        """Whether a count may have been written as the figure."""
        return self.low <= count <= self.high


class Written(NamedTuple):
    """A figure as somebody wrote it.

    Args:
        text: As it was written.
        readings: What it may stand for, the likeliest first.
        is_of: `operations` or `parameters` where its unit says so.
        digits: What of it is no unit.
        unit: Its unit, one of `PREFIXES`; `None` where it has none.
    """

    text: str
    readings: tuple[Reading, ...]
    is_of: str | None = None
    digits: str = ""
    unit: str | None = None

    def reading_of(self, count: Fraction) -> Reading | None:
        """Return the likeliest reading that holds a count."""
        return next((reading for reading in self.readings if reading.holds(count)), None)

    def distance(self, count: Fraction) -> float:
        """Return how far a count is off that no reading holds, as a share of the figure."""
        off = (abs(float(count) / one.middle - 1) for one in self.readings if one.how in PLAIN)
        return min(off, default=1.0)

    def nearest_value(self, count: Fraction) -> float:
        """Return what the figure stands for in the unit that comes nearest to a count."""
        middles = [one.middle for one in self._plain]
        return min(middles, key=lambda middle: abs(float(count) / middle - 1))

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

    def in_other_units(self) -> Iterator["Written"]:
        """Yield the same digits with each other unit; nothing where none was written.

        >>> [other.text for other in parse_figure("4.1T params").in_other_units()]
        ['4.1k', '4.1M', '4.1G']
        """
        for unit in filter(None, PREFIXES if self.unit else ()):
            if unit != self.unit:
                yield parse_figure(f"{self.digits}{unit}")._replace(is_of=self.is_of)


PLAIN = ("exact", "rounded")


def parse_figure(figure: object) -> Written:
    """Return what a figure may stand for.

    A number with decimals, or with a unit, stands for all that rounds to it, half up; less likely
    for what was rounded to tens, hundreds, …, if it ends in zeros, or cut off after its last digit.
    Without a unit it may be of thousands, millions, …; a whole one without is exact as well, and
    a float that is large enough is a count.

    Raises:
        InputError: It is no figure above 0.

    >>> reading = parse_figure("4.11G").readings[0]
    >>> float(reading.low), float(reading.high), reading.how
    (4105000000.0, 4115000000.0, 'rounded')
    >>> [one.how for one in parse_figure("320,300,008").readings][:1]
    ['exact']
    >>> parse_figure("4100M").reading_of(Fraction(4_089_184_256)).how
    'rounded to hundreds'
    """
    text = _as_text(figure)
    plain = _ABOUT.sub("", text.strip(), count=1) if _ABOUT.match(text.strip()) else text.strip()
    if _GROUPED.fullmatch(plain.partition(".")[0]):
        plain = re.sub(r"[,_' ]", "", plain)
    found = _NUMBER.fullmatch(plain) if len(plain) <= MAX_CHARACTERS else None
    if found is None:
        raise _no_figure(text)
    unit, is_of = _unit(found["unit"] or "", text)
    exponent = int(found["exponent"] or 0)
    if abs(exponent) > 30:
        raise InputError(f"no model counts as much, or as little, as '{shortened(text)}'")
    number = _Number(found["digits"].rstrip("."), exponent)
    if not number.value:
        raise InputError(f"expected a figure above 0, found '{shortened(text)}'")
    if number.value * PREFIXES[unit or ""] > LARGEST:
        raise InputError(f"no model counts as much as '{shortened(text)}'")
    prefixes = [unit] if unit else list(PREFIXES)
    if unit is None and number.value >= SHORTEST_COUNT and _is_of_a_float(found):
        number, prefixes = number._replace(digits=re.sub(r"\.0*$", "", number.digits)), [""]
    readings = [
        one for prefix in prefixes for one in _readings(number, prefix, is_guessed=unit is None)
    ]
    readings.sort(key=lambda reading: HOW.index(reading.how))
    return Written(text.strip(), tuple(readings), is_of, number.text, unit)


class _Number(NamedTuple):
    """The number of a figure, as it is written.

    Args:
        digits: Without an exponent.
        exponent: Of ten.
    """

    digits: str
    exponent: int

    @property
    def text(self) -> str:
        """Return it with its exponent."""
        return f"{self.digits}e{self.exponent}" if self.exponent else self.digits

    @property
    def decimals(self) -> int:
        """How many digits stand behind the point; below 0 where the last is of tens or more."""
        return len(self.digits.partition(".")[2]) - self.exponent

    @property
    def value(self) -> Fraction:
        """What it is."""
        return Fraction(self.digits) * Fraction(10) ** self.exponent


def _as_text(figure: object) -> str:
    if isinstance(figure, bool) or not isinstance(figure, str | int | float):
        raise InputError(f"expected a figure such as {EXAMPLES}, found {figure!r:.60}")
    if isinstance(figure, int) and abs(figure) > LARGEST:  # Python refuses to write the longest
        raise InputError(f"no model counts as much as a number of {figure.bit_length()} bits")
    if isinstance(figure, float) and figure >= WHOLE_FLOATS and figure.is_integer():
        return str(int(figure))  # a float does not tell how it was written
    return str(figure)


def _is_of_a_float(found: re.Match[str]) -> bool:
    """Whether a number is written as programs write floats: with an exponent, or a part of 0."""
    return found["exponent"] is not None or bool(re.search(r"\.0*$", found["digits"]))


def _no_figure(text: str) -> InputError:
    expected = f"expected a figure such as {EXAMPLES}, found '{shortened(text)}'"
    plain = text.strip()
    if re.match(r"[-−]\s*[0-9.]", plain):
        return InputError(f"expected a figure above 0, found '{shortened(text)}'")
    if re.fullmatch(r"[0-9]+,[0-9]+\s*[a-zA-Z]*", plain):
        return InputError(f"{expected}: decimals stand behind a point")
    return InputError(expected)


def _unit(text: str, whole: str) -> tuple[str | None, str | None]:
    """Return the prefix that a unit has, `None` where that is not said, and what it is of."""
    words = text.strip()
    if not words:
        return None, None
    for prefix in sorted(_SPELLED, key=len, reverse=True):
        noun = words[len(prefix) :].strip().lower()
        is_of = _IS_OF.get(noun)
        begins = words.startswith(prefix)
        if not begins and (is_of is None or not words.lower().startswith(prefix.lower())):
            continue  # a small g or m is a prefix only before what it is of: gflops
        if prefix and (is_of or not noun):
            return _PREFIX[_SPELLED[prefix]], is_of
        if is_of:
            return None, is_of
    known = [*filter(None, _SPELLED), "GFLOPs", "GMACs", "params"]
    hint = did_you_mean(words, known)
    raise InputError(
        f"unknown unit '{shortened(words)}'{hint} in '{shortened(whole)}', "
        f"expected a figure such as {EXAMPLES}"
    )


def _readings(figure: "_Number", prefix: str, *, is_guessed: bool) -> Iterator[Reading]:
    """Yield what a number may stand for with a prefix."""
    unit = PREFIXES[prefix]
    step, count = Fraction(unit) / Fraction(10) ** figure.decimals, figure.value * unit
    is_whole_count = unit == 1 and step == 1
    if unit == 1 and is_guessed and figure.decimals > 0 and count < SHORTEST_COUNT:
        return  # no model counts parts
    written = str(figure.value * Fraction(10) ** figure.decimals)
    zeros = len(written) - len(written.rstrip("0"))
    if is_whole_count:
        yield Reading(count, count, "exact")
        if zeros < 3:
            return
        step, zeros = step * 10**zeros, 0  # a rounded figure, written out
    read_as = None
    if is_guessed:
        read_as = f"{figure.digits}{prefix}" if prefix else _shortened(count, step)
    yield Reading(count - step / 2, count + step / 2, "rounded", read_as)
    yield Reading(count, count + step, "cut off", read_as)
    if "." in figure.digits:
        return
    for at, how in enumerate(ROUNDED_TO[: max(0, min(zeros, len(written) - 2))]):
        within = 5 * 10**at * step
        yield Reading(count - within, count + within, how, read_as)


def _shortened(count: Fraction, step: Fraction) -> str:
    """Return a count with the prefix that suits it, by the digits that it has.

    >>> _shortened(Fraction(4_110_000_000), Fraction(10_000_000))
    '4.11G'
    """
    prefix = max((one for one in PREFIXES if PREFIXES[one] <= count), key=PREFIXES.__getitem__)
    decimals = len(str(PREFIXES[prefix] / step)) - 1 if step < PREFIXES[prefix] else 0
    return f"{float(count / PREFIXES[prefix]):.{decimals}f}{prefix}"
