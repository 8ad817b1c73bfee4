"""Ranges as people write them, `8:64:8` or `0.25:1.0:0.25` → their numbers.

>>> list(range_of("8:24:8")), range_of("0.25:1.0:0.25"), range_of("8")
([8, 16, 24], [0.25, 0.5, 0.75, 1.0], None)
"""

import re
from decimal import Decimal

from dscost.errors import InputError

MOST_VALUES = 10_000
"""Values of a setting or an input, and decimals of any range."""

_DECIMAL = r"[-+]?(?:[0-9]{1,18}(?:\.[0-9]{0,18})?|\.[0-9]{1,18})"
_RANGE = re.compile(rf"({_DECIMAL})\s*:\s*({_DECIMAL})(?:\s*:\s*({_DECIMAL}))?")


def range_of(text: str) -> range | list[float] | None:
    """Return the numbers from the first to the last, which is among them if the steps hit it.

    Decimals add up exactly.

    Args:
        text: `FIRST:LAST` or `FIRST:LAST:STEP`; of anything else the result is `None`.

    Raises:
        InputError: It never gets on, falls, or has decimals and no step or too many of them.
    """
    found = _RANGE.fullmatch(text)
    if not found:
        return None
    first, last, step = found.groups()
    told = f"{first}:{last}" if step is None else f"{first}:{last}:{step}"
    are_whole = not any("." in one for one in (first, last, step or "1"))
    if step is None and not are_whole:
        raise InputError(f"{told} has no step: write it as in {told}:0.25")
    start, stop, stride = Decimal(first), Decimal(last), Decimal(step or "1")
    if stride == 0:
        raise InputError(f"{told} never gets on: its step is 0")
    if stride < 0 or stop < start:
        low, high = sorted((start, stop))
        by = "" if abs(stride) == 1 else f":{abs(stride)}"
        raise InputError(f"{told} is empty: a range rises, as in {low}:{high}{by}")
    if are_whole:
        return range(int(start), int(stop) + 1, int(stride))
    number = int((stop - start) / stride) + 1
    check_number(told, number)
    return [float(start + at * stride) for at in range(number)]


def check_number(told: str, number: int) -> None:
    """Refuse more values than may be said by one range.

    Raises:
        InputError: There are more.
    """
    if number > MOST_VALUES:
        raise InputError(f"{told} has {number:,} values: at most {MOST_VALUES:,}")
