"""Whether more work takes longer: neighbours in a timed table, of which one is more of the other.

Public tables were timed one layer after the other, and hold layers that are slower with a 3×3
kernel than with a 7×7. Some of what is found here is real: a kernel that a runtime has a faster
algorithm for, a number of channels that its vectors do not fit. The rest is a machine that was
disturbed.
"""

from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

from dscost.reports.records import SAME_WITHIN
from dscost.sweeping.answers import (
    place_of,
    settings_of,
    tied_to,
    value_key,
    varying_axes,
)
from dscost.sweeping.pooling import place_key
from dscost.sweeping.records import Row, Where
from dscost.sweeping.tables import plain_value

EXPANSION = "expansion"
"""The number behind the colon of a variant that expands its input, as an axis."""
_GROWING = ("in_channels", "out_channels", "kernel_size", "input_size", "batch", EXPANSION)
_AXES = (*_GROWING, "stride")
"""Along which there are neighbours: more of each is more work, of stride less."""
_EXPANDING = "inverted_residual"


class Violation(NamedTuple):
    """Two neighbours of which the one with more work is faster, beyond the noise.

    Args:
        along: The axis in which they differ.
        less: The row with less work.
        more: The row with more work.
        factor: How many times as long the one with less work takes.
        noise_floor: Differences under it are noise there: 0.03 for 3 %.
    """

    along: str
    less: Row
    more: Row
    factor: float
    noise_floor: float

    @property
    def where(self) -> Where | None:
        """In which place."""
        return self.less.where

    @property
    def values(self) -> tuple[Any, Any]:
        """What the two have of the axis, that with less work first."""
        return _value(self.less, self.along), _value(self.more, self.along)

    @property
    def keys(self) -> tuple[str, str]:
        """The keys of both cases, that with less work first."""
        return self.less.key, self.more.key

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain JSON values."""
        same = {name: value for name, value in self.less.of.items() if name != self.along}
        less, more = map(plain_value, self.values)
        return {
            **place_of(self.where),
            "variant": self.less.variant,
            "of": {name: plain_value(value) for name, value in same.items()},
            "along": self.along,
            "less": less,
            "more": more,
            "less_latency_s": self.less.latency_s,
            "more_latency_s": self.more.latency_s,
            "factor": self.factor,
            "noise_floor": self.noise_floor,
        }


class Order(NamedTuple):
    """How a timed table stands to the rule that more work takes longer.

    Args:
        checked: How many pairs of neighbours were compared.
        violations: Those that are out of order, the worst first.
        noise_floor: The largest difference that was taken for noise in one of them.
    """

    checked: int
    violations: tuple[Violation, ...]
    noise_floor: float = SAME_WITHIN

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain JSON values."""
        return {
            "checked": self.checked,
            "noise_floor": self.noise_floor,
            "violations": [one.to_dict() for one in self.violations],
        }


def order_of(rows: Sequence[Row]) -> Order:
    """Return how many neighbours were compared, and which are out of order."""
    floors = _floors(rows)
    checked, widest, found = 0, SAME_WITHIN, []
    for along, less, more in neighbours(rows):
        floor = max(floors[less.key], floors[more.key])
        checked, widest = checked + 1, max(widest, floor)
        violation = _violation(along, less, more, floor)
        found += [violation] if violation else []
    found.sort(key=lambda one: -one.factor)
    return Order(checked, tuple(found), widest)


def violations(rows: Sequence[Row]) -> tuple[Violation, ...]:
    """Return the neighbours that are out of order beyond the noise, the worst first.

    Their intervals do not meet, and they differ by more than what is noise for either.
    """
    return order_of(rows).violations


def suspicious_keys(rows: Sequence[Row]) -> tuple[str, ...]:
    """Return the keys of the cases that are out of order, each once: to be measured again."""
    return tuple(dict.fromkeys(key for one in violations(rows) for key in one.keys if key))


def neighbours(rows: Sequence[Row]) -> Iterator[tuple[str, Row, Row]]:
    """Yield pairs that differ in one axis by one step: the axis, less work, and more of it.

    Only those are yielded that have latencies with intervals, and of which the second has more
    MACs: a larger kernel without padding may have fewer.
    """
    timed = [row for row in rows if row.latency_s is not None and row.ci95_s is not None]
    varying = varying_axes(timed)
    stepped: set[str] = set()
    axes = (*_AXES, *settings_of(timed), "input")
    for along in (name for name in axes if name in (*varying, EXPANSION)):
        if along in stepped:  # it follows from an axis that was
            continue
        together = (along, *tied_to(along, timed))
        stepped.update(together)
        same = [name for name in varying if name not in together]
        lines: dict[Hashable, list[Row]] = {}
        for row in timed:
            if _value(row, along) is not None:
                lines.setdefault(_others(row, along, same), []).append(row)
        for line in lines.values():
            line.sort(key=lambda row: value_key(_value(row, along)), reverse=along == "stride")
            for less, more in pairwise(line):
                is_step = value_key(_value(less, along)) != value_key(_value(more, along))
                if is_step and more.cost.macs > less.cost.macs:
                    yield along, less, more


def _violation(along: str, less: Row, more: Row, floor: float) -> Violation | None:
    if not (less.latency_s and more.latency_s and less.ci95_s and more.ci95_s):
        return None
    factor = less.latency_s / more.latency_s
    if factor > 1 + floor and less.ci95_s[0] > more.ci95_s[1]:
        return Violation(along, less, more, factor, floor)
    return None


def _floors(rows: Iterable[Row]) -> Mapping[str, float]:
    """Return what is noise in each case, by its key."""
    found: dict[str, float] = {}
    for row in rows:
        own = row.speedup.noise_floor if row.speedup else SAME_WITHIN
        found[row.key] = max(found.get(row.key, SAME_WITHIN), own)
    return found


def _value(row: Row, axis: str) -> Any:
    """Return what a row has of an axis; of the expansion, where its variant is written with one."""
    if axis != EXPANSION:
        return row.of.get(axis)
    name, _, number = row.variant.partition(":")
    return int(number) if name == _EXPANDING and number.isdecimal() else None


def _others(row: Row, along: str, same: Sequence[str]) -> Hashable:
    variant = row.variant.partition(":")[0] if along == EXPANSION else row.variant
    return (place_key(row.where), variant, *map(row.of.get, same))
