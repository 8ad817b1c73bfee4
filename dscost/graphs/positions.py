"""Tables of relative positions that an exporter wrote out: how many parameters they have.

Attention in windows of `s × s` positions adds, for every head, what a table holds for the distance
of two of them: `(2s - 1)²` parameters. Exporters look it up once and store what comes out: `s⁴`
numbers for every head, of which only as many are different.
"""

from collections.abc import Iterable
from math import isqrt, prod

import numpy as np
from onnx import ModelProto, TensorProto

LARGEST = 2**19
"""Bytes of a tensor that is looked at for it: 54 heads in windows of 7 × 7."""


def may_be_written_out(tensor: TensorProto) -> bool:
    """Whether a tensor has the shape of a table that was written out: cheap, and true of others."""
    return bool(tensor.data_type == TensorProto.FLOAT) and _side(tuple(tensor.dims)) > 1


def params_in(tensor: TensorProto) -> int:
    """Return how many parameters a stored tensor is: those of its table, if it is written out."""
    stored: int = prod(tensor.dims)
    if not may_be_written_out(tensor) or len(tensor.raw_data) != 4 * stored:
        return stored
    return _params(np.frombuffer(tensor.raw_data, "<f4"), tuple(tensor.dims))


def written_out(model: ModelProto) -> Iterable[str]:
    """Yield what to say of the tables of a model that are written out."""
    tables = [(prod(one.dims), params_in(one)) for one in model.graph.initializer]
    tables = [(stored, params) for stored, params in tables if params < stored]
    if tables:
        stored, params = map(sum, zip(*tables, strict=True))
        yield (
            f"Tables of relative positions are written out in the file: {stored:,} numbers, "
            f"{params:,} of them parameters."
        )


def _side(dims: tuple[int, ...]) -> int:
    """Return the s of `(1, heads, s², s²)`, with or without the 1, or of `(s⁴, heads)`; or 0."""
    if len(dims) in (3, 4) and dims[-2] == dims[-1] and (len(dims) == 3 or dims[0] == 1):
        side = isqrt(max(dims[-1], 0))
        return side if side**2 == dims[-1] else 0
    if len(dims) == 2:
        side = isqrt(isqrt(max(dims[0], 0)))
        return side if side**4 == dims[0] else 0
    return 0


def _params(values: np.ndarray, dims: tuple[int, ...]) -> int:
    """Return the parameters of a table if all pairs of one distance have one value, else all."""
    side = _side(dims)
    rows = values.reshape(dims[-3], -1) if len(dims) > 2 else values.reshape(dims).T
    apart = _distances(side)
    _, first = np.unique(apart, return_index=True)
    table = rows[:, first]
    if not np.array_equal(table[:, apart], rows) or (table == table[:, :1]).all():
        return int(rows.size)
    return int(table.size)


def _distances(side: int) -> np.ndarray:
    """Return for each pair of positions in a window which of its `(2s - 1)²` distances it has."""
    at = np.arange(side)
    along = at[:, None] - at + side - 1
    down, across = along[:, None, :, None], along[None, :, None, :]
    return (down * (2 * side - 1) + across).reshape(-1)
