"""Calibration inputs as what an ONNX model is given. No torch."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from onnx import GraphProto

from dscost.converting.recovering.arrays import AT_ONCE, Arrays, Wanted, checked_values
from dscost.converting.recovering.counting import Batching
from dscost.converting.recovering.inputs import Given
from dscost.errors import InputError, UnknownNameError
from dscost.graphs.binding import inputs_of
from dscost.graphs.values import Value
from dscost.notation.units import format_shape

Feeds = Mapping[str, np.ndarray]


def wanted_by(
    graph: GraphProto, given: Mapping[str, Value], images: int | None = None
) -> list[Wanted]:
    """Return the inputs of a graph, by what it was counted on and which axes it leaves open.

    Args:
        graph: What has them.
        given: What it was counted on.
        images: How many of that its convolutions saw: one alone is no batch, whatever has more
            along its first axis has channels there, unless that is open.
    """
    found = []
    for one in inputs_of(graph):
        value, axes = given[one.name], one.type.tensor_type.shape.dim
        open_axes = frozenset(
            at
            for at, axis in enumerate(axes)
            if not (axis.HasField("dim_value") and axis.dim_value > 0)
        )
        is_needed = value.content is None
        shape = value.shape or ()
        is_batched = images != 1 or 0 in open_axes or shape[:1] <= (1,)
        found.append(Wanted(one.name, shape, value.dtype, open_axes, is_needed, is_batched))
    return found


def batches_of(wanted: Sequence[Wanted], given: Given, known: Mapping[str, Value]) -> list[Feeds]:
    """Return what a model is run on.

    Args:
        wanted: Its inputs.
        given: Inputs as they were given.
        known: What it was counted on; those that have values keep them.

    Raises:
        InputError: They are none that it takes.
    """
    own = {name: value.content for name, value in known.items() if value.content is not None}
    if given.arrays is not None:
        found = _of_arrays(wanted, given.arrays, given.source)
    else:
        found = []
        for number, one in enumerate(given.batches, 1):
            what = f"{given.source}: batch {number}"
            found += _split(wanted, _batch(wanted, one, what), given.batching)
    if not found:
        size = next(one.at_once for one in wanted if one.at_once)
        fewer = "there are fewer" if given.arrays is not None else "no batch has as many"
        raise InputError(f"{given.source}: the model takes {size} inputs at once, {fewer}")
    return [{**own, **batch} for batch in found]


def _of_arrays(wanted: Sequence[Wanted], arrays: Arrays, source: str) -> list[Feeds]:
    sizes = [one.at_once for one in wanted if one.name in arrays.values]
    fixed = next((size for size in sizes if size is not None), None)
    batches = arrays.batches(AT_ONCE if fixed is None else fixed)
    found = [
        batch
        for batch in batches
        if fixed is None or _size(batch) == fixed or not arrays.is_batched
    ]
    return list(found)


def _size(batch: Feeds) -> int:
    return len(next(iter(batch.values())))


def _batch(wanted: Sequence[Wanted], batch: Any, what: str) -> Feeds:
    """Return a batch by the names of inputs, labels behind it left out."""
    needed = [one for one in wanted if one.is_needed]
    if isinstance(batch, Mapping):
        for name in batch:
            if name not in [one.name for one in wanted]:
                raise UnknownNameError(
                    "input", str(name), [one.name for one in wanted], f" in {what}"
                )
        values = dict(batch)
    else:
        several = list(batch) if isinstance(batch, list | tuple) else [batch]
        values = dict(zip((one.name for one in needed), several, strict=False))
    found = {}
    for one in wanted:
        if one.name not in values and one.is_needed:
            raise InputError(f"{what} has no '{one.name}', which the model takes")
        if one.name in values:
            found[one.name] = _array(values[one.name], one, what)
    return found


def _array(value: Any, one: Wanted, what: str) -> np.ndarray:
    if hasattr(value, "detach"):
        value = value.detach().cpu().numpy()
    array = np.asarray(value)
    if array.ndim == len(one.shape) - 1:  # one image
        array = array[None]
    own = one.shape[:1] if array.ndim and not one.open_axes & {0} else array.shape[:1]
    if array.dtype.kind not in "fiub" or not one.takes((*own, *array.shape[1:])):
        shape = format_shape(one.shape)
        raise InputError(
            f"{what} is {format_shape(array.shape) or repr(value)[:60]}, the model takes {shape}"
        )
    return checked_values(array, one, what)


def _split(wanted: Sequence[Wanted], batch: Feeds, batching: Batching) -> list[Feeds]:
    """Return a batch as the model takes it, in several where its own is fixed and smaller."""
    fixed = next((one.at_once for one in wanted if one.name == batching.name), None)
    size = batching.inputs_in(batch)
    if fixed is None or size == fixed:
        return [batch]
    shared = {name: array for name, array in batch.items() if array.shape[:1] == (size,)}
    parts = Arrays(shared).batches(fixed)
    return [{**batch, **part} for part in parts if _size(part) == fixed]
