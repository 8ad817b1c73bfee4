"""A row of a sweep as the columns of a table, every figure exact: one order for every format."""

from collections.abc import Iterable, Mapping, Sequence
from itertools import chain
from typing import Any

from dscost.notation.units import format_shape
from dscost.sweeping.grids import AXES
from dscost.sweeping.records import Impossible, Row, Where

ON_REQUEST = ("flops", "flops_per_byte", "activations")
"""Columns that a table has only where they are asked for: they follow from others, or are long."""

_COSTS = (
    *("params", "macs", "weight_bytes", "input_bytes", "output_bytes", "traffic_bytes"),
    *ON_REQUEST,
)
_SPEEDUPS = ("speedup", "speedup_low", "speedup_high", "verdict")
PLACE = ("runtime", "threads", "clock", "device", "versions")
"""Columns that tell where a row was timed, and by what."""
HOST = "host"
"""The name of the machine, which a table has only where it is asked for: it may be private."""
TIMED = (
    *(*PLACE, HOST),
    *("latency_s", "latency_low_s", "latency_high_s"),
    *_SPEEDUPS,
    "visits",
)
"""Columns that only a row has that was timed."""
COLUMNS = (*AXES, "dtype", "variant", "calls", *_COSTS, "macs_reduction", *TIMED, "note")
"""All columns, in their order."""


def cells_of(row: Row) -> dict[str, Any]:
    """Return all columns of a row, in their order; what is unknown is `None`.

    What it is of that is no column of layers stands first, such as a setting of a model.
    """
    of = {name: plain_value(value) for name, value in row.of.items()}
    first = {name: value for name, value in of.items() if name not in COLUMNS}
    own = {
        "dtype": of.get("dtype", row.where.dtype if row.where else None),
        "variant": row.variant,
        "calls": row.calls,
        **{name: getattr(row.cost, name) if is_there(row) else None for name in _COSTS},
        "macs_reduction": row.reduction.macs if row.reduction else None,
        **_timed(row),
        "note": row.note or None,
    }
    return {**first, **{name: of.get(name) for name in AXES}, **own}


def columns_of(rows: Sequence[Row]) -> tuple[str, ...]:
    """Return the columns that some row has, without those that are there on request.

    How often a model has a layer is one of them where that is more than once.
    """
    axes = dict.fromkeys(chain.from_iterable(row.of for row in rows))
    of = [name for name in axes if any(row.of.get(name) is not None for row in rows)]
    first = [name for name in of if name not in COLUMNS]
    own = [*of, "variant"] if rows else []
    timed = [row for row in rows if row.where]
    shown = {
        "dtype": bool(timed),
        "calls": any(row.calls != 1 for row in rows),
        **dict.fromkeys(_COSTS[: -len(ON_REQUEST)], any(map(is_there, rows))),
        "macs_reduction": any(row.reduction and row.reduction.macs for row in rows),
        **dict.fromkeys((*PLACE, "visits"), bool(timed)),
        "latency_s": any(row.latency_s is not None for row in rows),
        **dict.fromkeys(("latency_low_s", "latency_high_s"), any(row.ci95_s for row in rows)),
        **dict.fromkeys(_SPEEDUPS, any(row.speedup for row in rows)),
        "note": any(row.note for row in rows),
    }
    found = {*own, *(name for name, is_shown in shown.items() if is_shown)}
    return (*first, *(name for name in COLUMNS if name in found))


def text_of(value: Any) -> str:
    """Return a value of an axis as people write it, `5×3`.

    >>> text_of(3), text_of((5, 3)), text_of("same"), text_of(True)
    ('3', '5×3', 'same', 'yes')
    """
    if isinstance(value, bool):
        return "yes" if value else "no"
    return format_shape(tuple(value)) if isinstance(value, tuple | list) else str(value)


def plain_value(value: Any) -> Any:
    """Return a value of an axis as a table for programs has it, a pair as `5x3`."""
    return "x".join(map(str, value)) if isinstance(value, tuple | list) else value


def _timed(row: Row) -> Mapping[str, Any]:
    where, speedup = row.where, row.speedup
    latency_ends = row.ci95_s or (None, None)
    speedup_ends = speedup.ci95 if speedup else (None, None)
    return {
        **dict.fromkeys((*PLACE, HOST)),
        **(place_of(where) if where else {}),
        "latency_s": row.latency_s,
        **dict(zip(("latency_low_s", "latency_high_s"), latency_ends, strict=True)),
        "speedup": speedup.median if speedup else None,
        **dict(zip(("speedup_low", "speedup_high"), speedup_ends, strict=True)),
        "verdict": speedup.verdict if speedup else None,
        "visits": row.visits if where else None,
    }


def place_of(where: Where) -> dict[str, Any]:
    """Return the columns that tell of a place; versions as text, `dscost 1.0; torch 2.13.0+cpu`."""
    versions = "; ".join(f"{name} {version}" for name, version in sorted(where.versions.items()))
    own = {name: getattr(where, name) for name in (*PLACE, HOST)}
    return {**own, "versions": versions or None, HOST: where.host or None}


def lacking_of(rows: Iterable[Row]) -> dict[str, Impossible]:
    """Return the variants that layers do not have, by label: how many, and why one has not."""
    found: dict[str, Impossible] = {}
    for row in rows:
        if not is_there(row):
            number, example = found.get(row.variant, Impossible(0, row.note))
            found[row.variant] = Impossible(number + 1, example)
    return found


def lacking_in_words(lacking: Mapping[str, Impossible]) -> list[str]:
    """Return which variants have no rows for some layers, a sentence each.

    >>> lacking_in_words({"ghost:9": Impossible(2, "s=9 does not divide out_channels=8")})
    ['2 layers have no ghost:9 and no row for it, such as: s=9 does not divide out_channels=8']
    """
    return [
        f"{number:,} layer{' has' if number == 1 else 's have'} no {label.replace('_', '-')} "
        f"and no row for it, such as: {example}"
        for label, (number, example) in lacking.items()
    ]


def is_there(row: Row) -> bool:
    """Whether the layer has that variant: one that it has not moves no byte."""
    return any(row.cost)
