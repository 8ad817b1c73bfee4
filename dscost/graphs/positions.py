"""What attention adds to its weights: tables of relative positions written out, and masks.

Attention in windows of `s × s` positions adds, for every head, what a table holds for the distance
of two of them: `(2s - 1)²` parameters. Exporters look it up once and store what comes out: `s⁴`
numbers for every head, of which only as many are different. A mask is 0 where one position may look
at another, and one large negative number where it may not: no parameter.
"""

from collections.abc import Iterable
from math import isqrt, prod

import numpy as np
from onnx import ModelProto, TensorProto

LARGEST = 2**20
"""Bytes of a tensor that is looked at for it: 109 heads or windows of 7 × 7."""
_LEAST_MASKED = 16
"""Positions that attend to each other, of what is taken for a mask."""


def may_be_added(tensor: TensorProto) -> bool:
    """Whether a tensor has the shape of such a table or mask: cheap, and true of others."""
    dims = tuple(tensor.dims)
    is_float = bool(tensor.data_type == TensorProto.FLOAT)
    return is_float and (_side(dims) > 1 or _is_square(dims))


def is_mask(tensor: TensorProto) -> bool:
    """Whether a stored tensor is a mask."""
    if not may_be_added(tensor) or not _is_square(tuple(tensor.dims)):
        return False
    values = _values(tensor)
    if values is None:
        return False
    least = values.min()
    return bool(least <= -1 and ((values == 0) | (values == least)).all())


def params_in(tensor: TensorProto) -> int:
    """Return how many parameters a stored tensor is: those of its table, if it is written out."""
    stored: int = prod(tensor.dims)
    dims = tuple(tensor.dims)
    values = _values(tensor) if may_be_added(tensor) and _side(dims) > 1 else None
    return stored if values is None else _params(values, dims)


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


def _values(tensor: TensorProto) -> np.ndarray | None:
    """Return the numbers of a tensor, `None` where they were not read."""
    is_here = tensor.raw_data and len(tensor.raw_data) == 4 * prod(tensor.dims)
    return np.frombuffer(tensor.raw_data, "<f4") if is_here else None


def _is_square(dims: tuple[int, ...]) -> bool:
    """Whether it may be a mask: `(…, N, N)` of windows, heads and batches, one of them single."""
    most = 3 <= len(dims) <= 5 and dims[-1] == dims[-2] >= _LEAST_MASKED
    return most and (len(dims) == 3 or 1 in dims[:-2])


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
