"""Sweeps by hand: rows of a grid whose speedups and latencies a test says."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from dscost.layers.choosing import parse_variants
from dscost.networks.expressions import Expression
from dscost.reports.figures import NOTHING
from dscost.reports.records import Reduction, Speedup
from dscost.sweeping.grids import Axis, Grid, Tie
from dscost.sweeping.records import Row, Sweep, Where
from dscost.sweeping.units import Lacking, units_of

HERE = Where("Xeon", 1, "onnxruntime", host="a")
VALUES: Mapping[str, tuple[Any, ...]] = {
    "in_channels": (16,),
    "out_channels": (32,),
    "kernel_size": (3,),
    "stride": (1,),
    "input_size": (14,),
    "batch": (1,),
}

SpeedupOf = Callable[[Mapping[str, Any], str], float | Speedup | None]
LatencyOf = Callable[[Mapping[str, Any], str], float | None]


def grid_of(
    variants: Sequence[str] = ("depthwise_separable",), ties: Mapping[str, str] = {}, **axes: Any
) -> Grid:
    """Return a grid of convolutions; what is not said has one value."""
    values = {name: axes.get(name, one) for name, one in VALUES.items() if name not in ties}
    return Grid(
        tuple(Axis(name, tuple(of)) for name, of in values.items()),
        tuple(Tie(name, Expression(text)) for name, text in ties.items()),
        parse_variants(variants),
    )


def near(median: float, within: float = 0.01) -> Speedup:
    """Return a speedup whose interval is narrow, 1 % to either side."""
    return Speedup(median, (median / (1 + within), median * (1 + within)))


def rows_of(
    grid: Grid,
    speedup: SpeedupOf | None = None,
    latency_s: LatencyOf = lambda of, variant: 1e-3,
    where: Where | None = HERE,
) -> Iterator[Row]:
    """Yield the rows of a grid; timed ones where a speedup is said, with intervals of 1 %."""
    for number in range(grid.size):
        of = {**grid.values(number), "dtype": grid.dtype}
        first = None
        for unit in units_of(of, grid.variants):
            if isinstance(unit, Lacking):
                yield Row(of, unit.label, NOTHING, note=unit.why)
                continue
            cost = unit.cost(4)
            row = Row(of, unit.label, cost, first and Reduction.between(first, cost))
            if speedup is not None:
                row = row._replace(key=str(number), where=where, visits=1)
                seconds = latency_s(of, unit.label)
                if seconds:
                    row = row._replace(latency_s=seconds, ci95_s=(seconds / 1.01, seconds * 1.01))
                found = None if first is None else speedup(of, unit.label)
                row = row._replace(speedup=near(found) if isinstance(found, float) else found)
            first = first or cost
            yield row


def sweep_of(grid: Grid, speedup: SpeedupOf | None = None, **further: Any) -> Sweep:
    """Return the sweep of a grid."""
    timing = {name: further.pop(name) for name in ("latency_s", "where") if name in further}
    rows = list(rows_of(grid, speedup, **timing))
    return Sweep("convolutions", grid.size, rows, **further)
