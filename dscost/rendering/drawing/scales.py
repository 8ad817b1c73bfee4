"""Where values of an axis stand, and which of them are written beside it."""

from collections.abc import Iterable, Sequence
from math import ceil, floor, isfinite, log2, log10
from typing import NamedTuple

from dscost.pages.pictures import Axis
from dscost.pages.pictures.picture import Quantity

_PREFIXES = ("", "k", "M", "G", "T", "P", "E", "Z", "Y")
_BYTES = ("B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB")
MOST_TICKS = 8
LEAST_DECADES = 0.4
"""Of a logarithmic axis, so that equal values stand in the middle of one that can be read."""


class Scale(NamedTuple):
    """An axis on the page: `low` stands at `start`, `high` at `end`, in pixels."""

    axis: Axis
    low: float
    high: float
    start: float
    end: float

    def at(self, value: float) -> float:
        """Return where a value stands."""
        share = (self._of(value) - self._of(self.low)) / (self._of(self.high) - self._of(self.low))
        return self.start + share * (self.end - self.start)

    def _of(self, value: float) -> float:
        return log10(value) if self.axis.is_log else value

    @property
    def ticks(self) -> list[float]:
        """The values that are written beside it, from low to high."""
        steps = _log_ticks(self) if self.axis.is_log else _even_ticks(self)
        return [one for one in steps if self.low * (1 - 1e-9) <= one <= self.high * (1 + 1e-9)]


def scale_of(axis: Axis, values: Iterable[float], start: float, end: float) -> Scale:
    """Return a scale that has room for all values, and for what the axis must include.

    Raises:
        ValueError: A value is not finite, or not above 0 where the axis is logarithmic.
    """
    found = [*values, *axis.includes]
    if not all(isfinite(one) and (one > 0 or not axis.is_log) for one in found):
        raise ValueError(f"{axis.title}: values that have no place on its axis")
    low, high = min(found, default=1.0), max(found, default=1.0)
    if axis.is_log:
        spread = log10(high) - log10(low)
        beside = max(0.06 * spread, (LEAST_DECADES - spread) / 2)
        return Scale(axis, low / 10**beside, high * 10**beside, start, end)
    low = min(low, 0.0) if low < 0 or axis.quantity != "number" or low < 0.5 * high else low
    if low == high:
        low, high = (low, high + 1.0) if low == 0 else (low - abs(low) / 2, high + abs(low) / 2)
    spread = high - low
    return Scale(axis, low if low == 0 else low - 0.05 * spread, high + 0.06 * spread, start, end)


def _log_ticks(scale: Scale) -> list[float]:
    """Return powers of ten, and what stands between them where those are few."""
    if scale.axis.quantity == "bytes":
        return _byte_ticks(scale)
    powers = range(floor(log10(scale.low)) - 1, ceil(log10(scale.high)) + 1)
    found: list[float] = []
    for steps in ((1,), (1, 3), (1, 2, 5), (1, 1.5, 2, 3, 4, 5, 6, 8)):
        ticks = [float(f"{step}e{power}") for power in powers for step in steps]
        inside = [one for one in ticks if scale.low <= one <= scale.high]
        if len(inside) > MOST_TICKS and found:
            return found
        found = inside
        if len(inside) > MOST_TICKS:
            return inside[:: ceil(len(inside) / MOST_TICKS)]
        if len(inside) > MOST_TICKS // 2:
            return inside
    return found if len(found) > 1 else _even_ticks(scale)


def _byte_ticks(scale: Scale) -> list[float]:
    """Return powers of two, as many as there is room for."""
    powers = range(64)
    inside = [2.0**power for power in powers if scale.low <= 2**power <= scale.high]
    return inside[:: max(1, ceil(len(inside) / MOST_TICKS))] or _even_ticks(scale)


def _even_ticks(scale: Scale) -> list[float]:
    """Return multiples of a round number."""
    base = 2.0 if scale.axis.quantity == "bytes" else 10.0
    rough = (scale.high - scale.low) / (MOST_TICKS - 2)
    if base == 2.0:
        step = 2.0 ** ceil(log2(rough))
    else:
        power = 10.0 ** floor(log10(rough))
        step = next(one * power for one in (1, 2, 2.5, 5, 10) if one * power >= rough * 0.999)
    if scale.axis.quantity in ("count", "bytes"):
        step = max(1.0, step)
    first = ceil(scale.low / step - 1e-9)
    last = floor(scale.high / step + 1e-9)
    return [float(f"{at * step:.12g}") for at in range(first, last + 1)]


def tick_texts(ticks: Sequence[float], quantity: Quantity) -> list[str]:
    """Return values as they stand beside an axis.

    >>> tick_texts([0.0, 5e8, 1e9], "count"), tick_texts([1e-4, 1e-3], "seconds")
    (['0', '500M', '1G'], ['100 µs', '1 ms'])
    >>> tick_texts([0.5, 1.0], "factor"), tick_texts([0, 1048576.0], "bytes")
    (['0.5×', '1×'], ['0 B', '1 MiB'])
    """
    return [tick_text(one, quantity) for one in ticks]


def tick_text(value: float, quantity: Quantity) -> str:
    """Return a value as it stands beside an axis, in as few digits as it has."""
    if quantity == "count":
        return "".join(_scaled(value, 1000.0, _PREFIXES))
    if quantity == "bytes":
        return " ".join(_scaled(value, 1024.0, _BYTES))
    if quantity == "flops_per_s":
        number, prefix = _scaled(value, 1000.0, _PREFIXES)
        return f"{number} {prefix}FLOP/s"
    if quantity == "seconds":
        return _seconds(value)
    if quantity == "factor":
        return f"{value:.9g}×"
    if quantity == "share":
        return f"{100 * value:.9g} %"
    return f"{value:.9g}"


def _scaled(value: float, base: float, prefixes: Sequence[str]) -> tuple[str, str]:
    power = 0
    while abs(value) >= base * (1 - 1e-9) and power < len(prefixes) - 1:
        value /= base
        power += 1
    return f"{value:.4g}", prefixes[power]


def _seconds(value: float) -> str:
    if not value:
        return "0 s"
    for factor, unit in ((1e9, "ns"), (1e6, "µs"), (1e3, "ms")):
        if abs(value) * factor < 1000 * (1 - 1e-9):
            return f"{value * factor:.4g} {unit}"
    return f"{value:,.0f} s" if 1e4 <= abs(value) < 1e9 else f"{value:.4g} s"
