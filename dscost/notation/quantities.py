"""Quantities as a budget writes them, read exactly: `600M`, `4_231_976`, `17 MiB`, `5%`."""

import re
from collections.abc import Mapping
from fractions import Fraction
from math import ceil, floor

from dscost.errors import InputError, did_you_mean

_COUNT_UNITS = {"": 1, "k": 10**3, "K": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}
_BYTE_UNITS = {
    "B": 1,
    **{f"{prefix}B": 1000**power for power, prefix in enumerate(("k", "M", "G", "T"), start=1)},
    "KB": 1000,
    **{f"{prefix}iB": 1024**power for power, prefix in enumerate(("K", "M", "G", "T"), start=1)},
}
_TIME_UNITS = {
    "ns": Fraction(1, 10**9),
    "µs": Fraction(1, 10**6),
    "μs": Fraction(1, 10**6),  # the Greek letter, which keyboards have; above the micro sign
    "us": Fraction(1, 10**6),
    "ms": Fraction(1, 1000),
    "s": Fraction(1),
    "min": Fraction(60),
    "h": Fraction(3600),
}
QUANTITIES: Mapping[str, tuple[Mapping[str, int | Fraction], str]] = {
    "count": (_COUNT_UNITS, "600M, 1.5G or 4_231_976"),
    "bytes": (_BYTE_UNITS, "17 MiB or 17 MB"),
    "seconds": (_TIME_UNITS, "12 ms"),
    "share": ({"%": Fraction(1, 100)}, "5%"),
    "factor": ({"": 1, "×": 1, "x": 1}, "2.5"),
}
"""Units by what is measured, and examples for errors."""

_DIGITS = r"[0-9]+(?:_[0-9]+)*(?:\.[0-9]+)?|\.[0-9]+"
_EXPONENT = r"e[-+]?[0-9]{1,2}"  # no more than a float can still hold when it is printed
_QUANTITY = re.compile(rf"({_DIGITS})({_EXPONENT})?\s*([a-zA-Zµμ%×]*)")
MAX_QUANTITY = 60
"""Characters of a quantity."""


def quantity_pattern(kind: str) -> str:
    """Return the pattern of what `parse_quantity` takes, as Python and JSON Schema read it.

    >>> pattern = quantity_pattern("bytes")
    >>> bool(re.search(pattern, "17 MiB")), bool(re.search(pattern, "17"))
    (True, False)
    """
    units = "|".join(QUANTITIES[kind][0])
    return rf"^\s*(?:{_DIGITS})(?:{_EXPONENT})?\s*(?:{units})\s*$"


def kind_of(text: str) -> str | None:
    """Return what a quantity is of by its unit; `None` where it has none or is no quantity.

    >>> kind_of("12 MB"), kind_of("+5%"), kind_of("12")
    ('bytes', 'share', None)
    """
    text = text.strip().removeprefix("+")
    found = _QUANTITY.fullmatch(text) if len(text) <= MAX_QUANTITY else None
    unit = found[3] if found else ""
    return next((kind for kind, (units, _) in QUANTITIES.items() if unit and unit in units), None)


def parse_quantity(value: object, kind: str) -> Fraction:
    """Return an exact quantity in counts, bytes, seconds or as a number; a percentage as a share.

    It is text such as `600M`, `17 MiB` or `5%`, or a number where no unit is needed. The error of
    what is none, or lacks its unit, gives an example.

    >>> parse_quantity("1.5G", "count"), parse_quantity("1 %", "share")
    (Fraction(1500000000, 1), Fraction(1, 100))
    >>> parse_quantity("17 MiB", "bytes")
    Fraction(17825792, 1)
    """
    units, example = QUANTITIES[kind]
    expected = f"expected a quantity such as {example}"
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        found_instead = "nothing" if value is None else f"{value!r:.{MAX_QUANTITY}}"
        raise InputError(f"{expected}, found {found_instead}")
    text = str(value).strip()
    found = _QUANTITY.fullmatch(text) if len(text) <= MAX_QUANTITY else None
    if found is None:
        signed = ": write it without the sign" if text.startswith("+") and kind_of(text) else ""
        raise InputError(f"{expected}, found '{text:.{MAX_QUANTITY}}'{signed}")
    digits, exponent, unit = found.groups()
    if unit not in units:
        nearest = did_you_mean(unit, filter(None, units))
        missing = f"unknown unit '{unit}'{nearest}" if unit else "it lacks a unit"
        raise InputError(f"{expected}, found '{text}': {missing}")
    return Fraction(digits.replace("_", "") + (exponent or "")) * units[unit]


DIGITS_ANEW = 3
"""That a quantity which is written anew has at least, where it had fewer."""


def rewritten_quantity(text: str, value: Fraction, kind: str, *, is_up: bool) -> str:
    """Return another value as a quantity was written: its unit, exponent, underscores and blanks.

    It has as many digits behind the point as before, or three digits in all if that is more, and is
    rounded up, or else down. Whole numbers that have no unit stay whole.

    >>> rewritten_quantity("3.85M", Fraction(4_279_752), "count", is_up=True)
    '4.28M'
    >>> rewritten_quantity("3_850_000", Fraction(4_279_752), "count", is_up=True)
    '4_279_752'
    >>> rewritten_quantity("9 MiB", Fraction(1_900_001), "bytes", is_up=False)
    '1.81 MiB'
    """
    found = _QUANTITY.fullmatch(text.strip())
    digits, exponent, unit = found.groups() if found else ("", "", "")
    factor = QUANTITIES[kind][0].get(unit, 1) * Fraction(f"1{exponent or ''}")
    scaled = value / factor
    is_whole = not exponent and (unit == "B" or (kind == "count" and not unit))
    places = 0 if is_whole else _places(digits, scaled)
    round_off = ceil if is_up else floor
    grouping = "_" if "_" in digits else ""
    whole, rest = divmod(round_off(scaled * 10**places), 10**places)
    behind = f".{rest:0{places}}".rstrip("0").rstrip(".") if places else ""
    written = f"{whole:{grouping}}{behind}{exponent or ''}"
    return text.replace(f"{digits}{exponent or ''}", written, 1) if found else written


def _places(digits: str, scaled: Fraction) -> int:
    """Return how many digits a number has behind the point: as before, or three in all."""
    places = len(digits.partition(".")[2])
    while 0 < scaled * 10**places < 10 ** (DIGITS_ANEW - 1):
        places += 1
    return places


def parse_seconds(text: str, *, what: str) -> float:
    """Parse a positive duration such as `10`, `2.5s` or `500 ms`.

    >>> parse_seconds("500ms", what="--time-budget")
    0.5
    """
    seconds = _number(text.lower(), "seconds", without_unit="s")
    if not 0 < seconds < 86_400:
        expected = "expected a duration under a day, like 10s or 500ms"
        raise InputError(f"{what}: {expected}, found '{text}'")
    return seconds


def parse_share(text: str, *, what: str) -> float:
    """Parse a share above 0 and at most 1, such as `2%` or `0.02`.

    >>> parse_share("2%", what="--precision")
    0.02
    """
    share = _number(text, "share" if text.strip().endswith("%") else "factor")
    if not 0 < share <= 1:
        raise InputError(f"{what}: expected a share like 2% or 0.02, found '{text}'")
    return share


def _number(text: str, kind: str, without_unit: str = "") -> float:
    """Return an option's quantity, which may lack its unit; 0 where it is none."""
    text = text.strip()
    if text[-1:].isdigit():
        text += without_unit
    try:
        return float(parse_quantity(text, kind))
    except InputError:
        return 0.0
