"""The rows of a model's layers → their sum beside the model as a whole, and where that differs.

Both stand in units of the reference layer, in turns with which both were timed: what the machine
did meanwhile is in neither.
"""

from collections.abc import Iterable, Mapping, Sequence
from math import hypot
from typing import NamedTuple

from dscost.analysis.running import work_of
from dscost.analysis.whole_models import WHOLE
from dscost.notation.units import dtype_bytes
from dscost.runtimes import RUNTIMES, TORCH, How
from dscost.sweeping.measuring import measure_case
from dscost.sweeping.model_layers import ModelLayers
from dscost.sweeping.records import Case, Kernels, Row, Sum, Visit
from dscost.timing import Setting, TimingOptions


def sums_of(model: ModelLayers, rows: Sequence[Row]) -> tuple[Sum, ...]:
    """Return the sums, one for each place where the whole was timed.

    Args:
        model: Its layers and the whole.
        rows: Of both, as timed; a layer without a latency is missing from the sum.
    """
    return tuple(
        _sum_of(model, row, [one for one in rows if _is_beside(one, row)])
        for row in rows
        if row.variant == WHOLE and row.latency_s is not None
    )


def layers_among(rows: Iterable[Row]) -> list[Row]:
    """Return the rows without the whole, as a table has them."""
    return [row for row in rows if row.variant != WHOLE]


def _is_beside(row: Row, whole: Row) -> bool:
    if row.variant == WHOLE or row.where is None or whole.where is None:
        return False
    return row.where.key == whole.where.key


def _sum_of(model: ModelLayers, whole: Row, rows: Sequence[Row]) -> Sum:
    """Return one sum.

    Intervals of what was timed apart are independent; that of a layer counts for all its calls.
    """
    assert whole.where is not None
    assert whole.latency_s is not None
    timed = [(row, row.latency_s) for row in rows if row.latency_s is not None]
    untimed = [row.variant for row in rows if row.latency_s is None]
    sum_s = sum(row.calls * seconds for row, seconds in timed)
    ratio = sum_s / whole.latency_s
    spread = hypot(*(row.calls * _half_s(row) for row, _ in timed)) / sum_s if sum_s else 0.0
    half = ratio * hypot(spread, _half_s(whole) / whole.latency_s)
    return Sum(
        model.name,
        whole.where,
        layers=len(timed),
        calls=sum(row.calls for row, _ in timed),
        sum_s=sum_s,
        whole_s=whole.latency_s,
        ci95=(ratio - half - 1, ratio + half - 1),
        missing=(*model.missing, *untimed),
        free=model.free,
    )


def _half_s(row: Row) -> float:
    if row.ci95_s is None:
        return 0.0
    low, high = row.ci95_s
    return (high - low) / 2


# -- what a runtime ran


class Ran(NamedTuple):
    """What a runtime runs of something.

    Args:
        kernels: How often, by its own words for what it made of the nodes.
        ops: How often, and how long together, by the operator of its profile; empty without one.
    """

    kernels: Mapping[str, int]
    ops: Mapping[str, tuple[int, float]] = {}


def with_kernels(found: Sum, model: ModelLayers, setting: Setting, *, seed: int = 0) -> Sum:
    """Return a sum with what the runtime ran: each layer, and the whole, made again.

    Torch runs a model as it runs its layers, one after the other.

    Args:
        found: Of that model.
        model: Its layers.
        setting: Under which both were timed.
        seed: Of weights and inputs.
    """
    if setting.runtime == TORCH:
        return found
    how = How(found.where.threads, setting.dtype, seed)
    layers = together((case.calls, _ran(case, setting, how)) for case in model.layers)
    return compared(found, layers, _ran(model.whole, setting, how))


def together(ran: Iterable[tuple[int, Ran]]) -> Ran:
    """Return what ran of several things, each so many times."""
    kernels: dict[str, int] = {}
    ops: dict[str, tuple[int, float]] = {}
    for calls, one in ran:
        for name, number in one.kernels.items():
            kernels[name] = kernels.get(name, 0) + calls * number
        for name, (number, seconds) in one.ops.items():
            before, before_s = ops.get(name, (0, 0.0))
            ops[name] = before + calls * number, before_s + calls * seconds
    return Ran(kernels, ops)


def compared(found: Sum, layers: Ran, whole: Ran) -> Sum:
    """Return a sum with the kernels that its sides ran differently often, and every operator."""
    kernels = [
        Kernels(name, layers.kernels.get(name, 0), whole.kernels.get(name, 0))
        for name in dict.fromkeys([*layers.kernels, *whole.kernels])
    ]
    ops = []
    for name in dict.fromkeys([*layers.ops, *whole.ops]):
        (in_layers, layers_s), (in_whole, whole_s) = (
            side.ops.get(name, (0, 0.0)) for side in (layers, whole)
        )
        ops.append(Kernels(name, in_layers, in_whole, layers_s, whole_s))
    return found._replace(
        kernels=tuple(one for one in kernels if one.in_layers != one.in_whole),
        ops=tuple(sorted(ops, key=lambda one: -abs(one.more_s))),
    )


def _ran(case: Case, setting: Setting, how: How) -> Ran:
    """Return what a runtime runs of a case."""
    from dscost.runtimes.checking import checked

    unit = case.units[0]
    stages = unit.stages(dtype_bytes(setting.dtype))
    program = work_of(stages, setting, unit.parts, seed=how.seed).program()
    running = checked(RUNTIMES[setting.runtime], program, how).running
    nodes = running.nodes() if running.nodes else ()
    return together(
        [
            (1, Ran(dict(map(_counted, running.fused)))),
            *((1, Ran({}, {node.op: (1, node.seconds)})) for node in nodes),
        ]
    )


def _counted(text: str) -> tuple[str, int]:
    """Return a kernel and how often it is there.

    >>> _counted("Conv (NCHWc) + Add ×10"), _counted("Flatten")
    (('Conv (NCHWc) + Add', 10), ('Flatten', 1))
    """
    name, times, number = text.rpartition(" ×")
    return (name, int(number)) if times else (text, 1)


# -- timing


WHOLE_S = 3.0
"""The whole is compared with the reference layer for so long: a call of it takes as long as all
layers together, and half of the gap is its own."""


def measure_layer(case: Case, options: TimingOptions, setting: Setting) -> Visit:
    """Return what was measured of a layer of a model, or of the whole, see `measure_case`."""
    is_whole = case.units[0].label == WHOLE
    return measure_case(case, options, setting, WHOLE_S if is_whole else None)
