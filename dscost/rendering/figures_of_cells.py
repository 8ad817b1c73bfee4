"""Cells that are figures with units → the same figures in one unit, for what aligns them."""

import re
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import NamedTuple

from dscost.notation.units import UNKNOWN

_IEC = tuple(f"{letter}i" for letter in "KMGTPEZY")
_DECIMAL = {prefix: Decimal(1000) ** at for at, prefix in enumerate(("", *"kMGTPEZY"))}
_BINARY = {f"{prefix}B": Decimal(1024) ** at for at, prefix in enumerate(("", *_IEC))}
_FAMILIES: Sequence[Mapping[str, Decimal]] = (
    _DECIMAL,
    _BINARY,
    {"ns": Decimal("1e-9"), "µs": Decimal("1e-6"), "ms": Decimal("1e-3"), "s": Decimal(1)},
    *({f"{prefix}{unit}": size for prefix, size in _DECIMAL.items()} for unit in ("FLOP/s", "B/s")),
    *({unit: Decimal(1)} for unit in ("×", "%", "FLOP/byte")),
)
"""The units of each kind of figure, and what they stand for."""
_NUMBER = r"\d[\d,]*(?:\.\d+)?"
_CELL = re.compile(
    rf"(?P<sign>[−+-]?)(?P<number>{_NUMBER}) ?(?P<unit>[a-zA-Zµ×%/]*)"
    rf"(?: \[(?P<low>{_NUMBER}), (?P<high>{_NUMBER})\])?"
)
_DIGITS = 4
"""Significant digits of a figure whose new unit is no power of ten of the old."""


class Figures(NamedTuple):
    """The figures of a column in one unit.

    Args:
        unit: Of all; of counts the prefix.
        numbers: One for each cell, as siunitx reads it; `None` of a cell that has none.
        intervals: One for each cell, in the same unit; none at all where no cell has one.
    """

    unit: str
    numbers: Sequence[str | None]
    intervals: Sequence[str]

    @property
    def table_format(self) -> str:
        """The most digits before and after the point, as siunitx wants it: `2.3`, `-1.1`."""
        known = [number for number in self.numbers if number is not None]
        sign = "-" if any(number[0] in "+-" for number in known) else ""
        whole = max(len(number.lstrip("+-").partition(".")[0]) for number in known)
        digits = max(len(number.partition(".")[2]) for number in known)
        return f"{sign}{whole}.{digits}" if digits else f"{sign}{whole}"


def figures_of(cells: Sequence[str]) -> Figures | None:
    """Return cells as figures in the largest of their units; `None` where one is something else.

    >>> figures_of(["11.69M", "–", "589.8k"])
    Figures(unit='M', numbers=['11.69', None, '0.5898'], intervals=[])
    >>> figures_of(["1.20 ms [1.10, 1.30]", "812 µs [806, 819]"]).intervals
    ['[1.10, 1.30]', '[0.806, 0.819]']
    """
    found = [_CELL.fullmatch(cell.strip()) for cell in cells]
    told = [one for one in found if one]
    if not told or any(
        one is None and cell.strip() not in ("", UNKNOWN)
        for one, cell in zip(found, cells, strict=True)
    ):
        return None
    units = {one["unit"] for one in told}
    family = next((one for one in _FAMILIES if units <= one.keys()), None)
    if family is None:
        return None
    largest = max(units, key=lambda unit: family[unit])
    scales = {unit: family[unit] / family[largest] for unit in units}
    has_intervals = any(one["low"] for one in told)
    return Figures(
        largest,
        [
            one and _signed(one["sign"], _scaled(one["number"], scales[one["unit"]]))
            for one in found
        ],
        [_interval(one, scales) for one in found] if has_intervals else [],
    )


def _signed(sign: str, number: str) -> str:
    return f"{'-' if sign in ('−', '-') and sign else sign}{number}"


def _interval(found: re.Match[str] | None, scales: Mapping[str, Decimal]) -> str:
    if not found or not found["low"]:
        return ""
    low, high = (_scaled(found[name], scales[found["unit"]]) for name in ("low", "high"))
    return f"[{low}, {high}]"


def _scaled(number: str, scale: Decimal) -> str:
    """Return a number in another unit, with the digits that it had."""
    value = Decimal(number.replace(",", ""))
    if scale == 1 or not value:
        return str(value)
    _sign, digits, exponent = scale.as_tuple()
    if digits == (1,) and isinstance(exponent, int):  # a power of ten
        return f"{value.scaleb(exponent):f}"
    return f"{_significant(value * scale):f}"


def _significant(value: Decimal) -> Decimal:
    return value.quantize(Decimal(1).scaleb(value.adjusted() - _DIGITS + 1))
