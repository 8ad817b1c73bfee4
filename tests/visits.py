"""Visits of cases by hand: what was measured is said, nothing is timed."""

from collections.abc import Mapping
from typing import Any

from dscost.reports.records import Speedup
from dscost.sweeping.records import Visit, Where

HERE = Where("Xeon", 1, versions={"torch": "2.13.0"}, host="a")
USUAL_S = 1e-3
"""What the reference layer takes."""


def near(median: float, within: float = 0.01) -> Speedup:
    """Return a ratio whose interval reaches as far to either side."""
    return Speedup(median, (median / (1 + within), median * (1 + within)))


def visit(
    key: str,
    beside: Mapping[str, float | Speedup] | None = None,
    over: float = 1.0,
    where: Where = HERE,
    **further: Any,
) -> Visit:
    """Return a visit during which the reference layer took so many times what it usually takes."""
    found = {
        label: one if isinstance(one, Speedup) else near(one)
        for label, one in ({"standard": 2.0} if beside is None else beside).items()
    }
    return Visit(key, where, found, further.pop("speedups", {}), over * USUAL_S, **further)
