"""Every figure of a report: its name in JSON, its heading in a table, how it is printed, what it means."""

from collections.abc import Callable
from typing import Any, NamedTuple

from dscost.notation.units import (
    UNKNOWN,
    format_bytes,
    format_count,
    format_factor,
    format_seconds_with_interval,
)
from dscost.reports.records import MEANINGS, Latency, Speedup


class Metric(NamedTuple):
    """A figure."""

    header: str
    text: Callable[[Any], str]
    unit: str
    meaning: str


def format_intensity(value: float | None) -> str:
    """Return an arithmetic intensity with one decimal."""
    return UNKNOWN if value is None else f"{value:.1f}"


def format_latency(latency: Latency | None) -> str:
    """Return a median with its interval, `812 µs [806, 819]`."""
    return (
        UNKNOWN
        if latency is None
        else format_seconds_with_interval(latency.median_s, latency.ci95_s)
    )


def format_speedup(speedup: Speedup | None) -> str:
    """Return a speedup with its interval, `3.60× [3.55, 3.66]`."""
    if speedup is None:
        return UNKNOWN
    low, high = (format_factor(bound).removesuffix("×") for bound in speedup.ci95)
    return f"{format_factor(speedup.median)} [{low}, {high}]"


METRICS = {
    "params": Metric("params", format_count, "count", MEANINGS["params"]),
    "macs": Metric("MACs", format_count, "count", MEANINGS["macs"]),
    "flops": Metric("FLOPs", format_count, "count", MEANINGS["flops"]),
    "weight_bytes": Metric("weights", format_bytes, "bytes", MEANINGS["weight_bytes"]),
    "input_bytes": Metric("input", format_bytes, "bytes", MEANINGS["input_bytes"]),
    "output_bytes": Metric("output", format_bytes, "bytes", MEANINGS["output_bytes"]),
    "traffic_bytes": Metric("traffic", format_bytes, "bytes", MEANINGS["traffic_bytes"]),
    "flops_per_byte": Metric(
        "FLOP/byte", format_intensity, "FLOP/byte", MEANINGS["flops_per_byte"]
    ),
    "latency": Metric("latency [95 %]", format_latency, "s", MEANINGS["latency"]),
    "reduction": Metric("fewer MACs", format_factor, "×", MEANINGS["reduction"]),
    "speedup": Metric("speedup [95 %]", format_speedup, "×", MEANINGS["speedup"]),
}
