"""ONNX's operators on small arrays, as far as sizes and conditions are made of them.

Each takes the node and its inputs, `None` for one that is left out, and returns its outputs. What
does not fit raises `UndefinedError`, or what numpy raises; so does what would come out large.
"""

from collections.abc import Callable, Mapping, Sequence
from math import prod
from typing import Any

import numpy as np
from onnx import TensorProto, numpy_helper

from dscost.graphs.nodes import Node
from dscost.graphs.tensors import DTYPES
from dscost.graphs.values import MOST_KNOWN

Array = Any
"""A numpy array, or `None`: numpy says itself what does not go together."""

Computing = Callable[..., Sequence[Array]]


class UndefinedError(Exception):
    """A node has no result that is small and defined."""


KNOWN: dict[str, Computing] = {}
"""Operators of `ai.onnx`, by name."""


def _computes(*names: str) -> Callable[[Computing], Computing]:
    def add(function: Computing) -> Computing:
        for name in names:
            KNOWN[name] = function
        return function

    return add


def _small(shape: Sequence[int]) -> tuple[int, ...]:
    """Return a shape of a result.

    Raises:
        UndefinedError: It holds too much, or has a size below zero.
    """
    if any(size < 0 for size in shape) or prod(map(int, shape)) > MOST_KNOWN:
        raise UndefinedError
    return tuple(map(int, shape))


# -- elementwise


def _quotient(a: Array, b: Array) -> Array:
    """Return `a / b`, of integers cut off towards zero, exactly."""
    if a.dtype.kind == "f":
        return a / b
    if not np.all(b):
        raise UndefinedError
    floor = a // b
    is_cut_up = (floor * b != a) & ((a < 0) != (b < 0))
    return floor + is_cut_up


def _power(a: Array, b: Array) -> Array:
    if a.dtype.kind != "f" and np.any(b < 0):
        raise UndefinedError
    return np.power(a, b).astype(a.dtype)


_ONE: dict[str, Callable[[Array], Array]] = {
    "Identity": lambda a: a,
    "Neg": np.negative,
    "Abs": np.abs,
    "Floor": np.floor,
    "Ceil": np.ceil,
    "Round": np.rint,
    "Sign": np.sign,
    "Sqrt": np.sqrt,
    "Reciprocal": lambda a: 1 / a,
    "Not": np.logical_not,
}

_TWO: dict[str, Callable[[Array, Array], Array]] = {
    "Add": np.add,
    "Sub": np.subtract,
    "Mul": np.multiply,
    "Div": _quotient,
    "Pow": _power,
    "Equal": np.equal,
    "Less": np.less,
    "LessOrEqual": np.less_equal,
    "Greater": np.greater,
    "GreaterOrEqual": np.greater_equal,
    "And": np.logical_and,
    "Or": np.logical_or,
    "Xor": np.logical_xor,
}
_KEEPS_DTYPE = frozenset("Neg Abs Floor Ceil Round Sign Sqrt Reciprocal Add Sub Mul Div".split())

_MANY: dict[str, Callable[[Array, Array], Array]] = {
    "Max": np.maximum,
    "Min": np.minimum,
    "Sum": np.add,
}


@_computes(*_ONE)
def _one(node: Node, a: Array) -> Sequence[Array]:
    found = np.asarray(_ONE[node.base](a))
    return [found.astype(a.dtype) if node.base in _KEEPS_DTYPE else found]


@_computes(*_TWO)
def _two(node: Node, a: Array, b: Array) -> Sequence[Array]:
    if node.opset < 7 and a.shape != b.shape:  # axes were given, or nothing was broadcast
        raise UndefinedError
    _small(np.broadcast_shapes(a.shape, b.shape))
    found = np.asarray(_TWO[node.base](a, b))
    return [found.astype(a.dtype) if node.base in _KEEPS_DTYPE else found]


@_computes(*_MANY)
def _many(node: Node, first: Array, *others: Array) -> Sequence[Array]:
    found = first
    for one in others:
        _small(np.broadcast_shapes(found.shape, one.shape))
        found = _MANY[node.base](found, one)
    return [np.asarray(found, first.dtype)]


@_computes("Mod")
def _mod(node: Node, a: Array, b: Array) -> Sequence[Array]:
    _small(np.broadcast_shapes(a.shape, b.shape))
    if a.dtype.kind != "f" and not np.all(b):
        raise UndefinedError
    return [np.asarray((np.fmod if node.attributes.get("fmod") else np.mod)(a, b))]


@_computes("Where")
def _where(node: Node, condition: Array, a: Array, b: Array) -> Sequence[Array]:
    _small(np.broadcast_shapes(condition.shape, a.shape, b.shape))
    found: Array = np.where(condition, a, b)
    return [found.astype(a.dtype)]


@_computes("Clip")
def _clip(node: Node, a: Array, least: Array = None, most: Array = None) -> Sequence[Array]:
    if node.opset < 11:
        least, most = node.attributes.get("min"), node.attributes.get("max")
    found = a if least is None else np.maximum(a, least)
    return [np.asarray(found if most is None else np.minimum(found, most)).astype(a.dtype)]


@_computes("Cast")
def _cast(node: Node, a: Array) -> Sequence[Array]:
    name = DTYPES.get(node.attributes.get("to", 0), "")
    try:
        dtype = np.dtype(name)
    except TypeError:
        raise UndefinedError from None
    if dtype.kind not in "iufb":
        raise UndefinedError
    return [a.astype(dtype)]


# -- what moves values


def _axes(node: Node, given: Array, rank: int) -> tuple[int, ...] | None:
    """Return the axes that a node is given, as an input or in older versions as an attribute.

    Raises:
        UndefinedError: There is no such axis, or one twice.
    """
    axes = node.attributes.get("axes") if given is None else given.reshape(-1).tolist()
    if axes is None:
        return None
    found = tuple(axis + rank if axis < 0 else axis for axis in axes)
    if len(set(found)) != len(found) or any(not 0 <= axis < rank for axis in found):
        raise UndefinedError
    return found


@_computes("Unsqueeze")
def _unsqueeze(node: Node, a: Array, axes: Array = None) -> Sequence[Array]:
    number = len(node.attributes.get("axes", ())) if axes is None else axes.size
    found = _axes(node, axes, a.ndim + number)
    if found is None:
        raise UndefinedError
    return [np.expand_dims(a, found)]


@_computes("Squeeze")
def _squeeze(node: Node, a: Array, axes: Array = None) -> Sequence[Array]:
    return [np.squeeze(a, _axes(node, axes, a.ndim) or None)]  # no axes are all, see shapes.moving


@_computes("Concat")
def _concat(node: Node, *parts: Array) -> Sequence[Array]:
    found = np.concatenate(parts, node.attributes.get("axis", 1))
    return [found]


@_computes("Gather")
def _gather(node: Node, a: Array, at: Array) -> Sequence[Array]:
    axis = node.attributes.get("axis", 0)
    _small((a.size // max(1, a.shape[axis]), at.size))
    return [np.take(a, at.astype(np.int64), axis)]


_SCATTERED: Mapping[str, Any] = {
    "add": np.add,
    "mul": np.multiply,
    "max": np.maximum,
    "min": np.minimum,
}


@_computes("ScatterND")
def _scatter(node: Node, a: Array, at: Array, given: Array) -> Sequence[Array]:
    if not at.shape[-1] or given.shape != at.shape[:-1] + a.shape[at.shape[-1] :]:
        raise UndefinedError
    found, places = a.copy(), tuple(np.moveaxis(at, -1, 0))
    reduction = node.attributes.get("reduction", "none")
    if reduction == "none":
        found[places] = given
    elif reduction in _SCATTERED:
        _SCATTERED[reduction].at(found, places, given)
    else:
        raise UndefinedError
    return [found]


@_computes("Slice")
def _slice(
    node: Node, a: Array, starts: Array = None, ends: Array = None, *rest: Array
) -> Sequence[Array]:
    axes, steps = (*rest, None, None)[:2]
    if node.opset < 10:
        starts, ends = (np.array(node.attributes[name]) for name in ("starts", "ends"))
    if starts is None or ends is None:
        raise UndefinedError
    along = _axes(node, axes, a.ndim) or tuple(range(starts.size))
    by = [1] * starts.size if steps is None else steps.reshape(-1).tolist()
    cut = [slice(None)] * a.ndim
    for axis, start, end, step in zip(along, starts.tolist(), ends.tolist(), by, strict=True):
        backwards = step < 0 and end < -a.shape[axis]  # to the first, included
        cut[axis] = slice(start, None if backwards else end, step)
    return [a[tuple(cut)]]


@_computes("Split")
def _split(node: Node, a: Array, sizes: Array = None) -> Sequence[Array]:
    axis, parts = node.attributes.get("axis", 0), len(node.proto.output)
    given = node.attributes.get("split") if sizes is None else sizes.tolist()
    if given is None:
        each, left = -(-a.shape[axis] // parts), a.shape[axis] % parts
        if left and node.opset < 18:
            raise UndefinedError
        given = [min(each, max(0, a.shape[axis] - each * at)) for at in range(parts)]
    if sum(given) != a.shape[axis] or min(given, default=0) < 0:
        raise UndefinedError
    return np.split(a, np.cumsum(given)[:-1], axis)


@_computes("Reshape")
def _reshape(node: Node, a: Array, shape: Array = None) -> Sequence[Array]:
    given = node.attributes.get("shape", ()) if shape is None else shape.tolist()
    copies = not node.attributes.get("allowzero")
    if min(given, default=0) < -1:
        raise UndefinedError
    return [a.reshape([a.shape[at] if not n and copies else n for at, n in enumerate(given)])]


@_computes("Flatten")
def _flatten(node: Node, a: Array) -> Sequence[Array]:
    axis = node.attributes.get("axis", 1)
    axis += a.ndim if axis < 0 else 0
    return [a.reshape(prod(a.shape[:axis]), prod(a.shape[axis:]))]


@_computes("Transpose")
def _transpose(node: Node, a: Array) -> Sequence[Array]:
    return [np.transpose(a, node.attributes.get("perm") or None)]


@_computes("Expand")
def _expand(node: Node, a: Array, shape: Array) -> Sequence[Array]:
    given = _small(shape.tolist())
    return [np.broadcast_to(a, _small(np.broadcast_shapes(a.shape, given)))]


@_computes("Tile")
def _tile(node: Node, a: Array, repeats: Array) -> Sequence[Array]:
    if node.opset < 6 or repeats.size != a.ndim:
        raise UndefinedError
    _small([size * times for size, times in zip(a.shape, repeats.tolist(), strict=True)])
    return [np.tile(a, repeats)]


@_computes("ConstantOfShape")
def _constant_of_shape(node: Node, shape: Array) -> Sequence[Array]:
    tensor = node.attributes.get("value")
    filled = np.zeros(1, np.float32)
    if isinstance(tensor, TensorProto):
        if prod(tensor.dims) != 1:
            raise UndefinedError
        filled = numpy_helper.to_array(tensor)
    if filled.dtype.kind not in "iufb":
        raise UndefinedError
    return [np.full(_small(shape.tolist()), filled.reshape(()), filled.dtype)]


@_computes("Range")
def _range(node: Node, start: Array, limit: Array, delta: Array) -> Sequence[Array]:
    first, last, step = (one.reshape(()).item() for one in (start, limit, delta))
    if not step or not abs((last - first) / step) <= MOST_KNOWN:
        raise UndefinedError
    number = max(0, int(-((first - last) // step)))
    return [(np.arange(number) * step + first).astype(start.dtype)]


@_computes("NonZero")
def _nonzero(node: Node, a: Array) -> Sequence[Array]:
    if not a.ndim:
        raise UndefinedError
    return [np.array(np.nonzero(a), np.int64)]


# -- what brings values together

_REDUCED: dict[str, Callable[..., Array]] = {
    "ReduceProd": np.prod,
    "ReduceSum": np.sum,
    "ReduceMin": np.min,
    "ReduceMax": np.max,
    "ReduceMean": np.mean,
}


@_computes(*_REDUCED)
def _reduce(node: Node, a: Array, axes: Array = None) -> Sequence[Array]:
    along = _axes(node, axes, a.ndim)
    if not along:
        if node.attributes.get("noop_with_empty_axes"):
            return [a]
        along = tuple(range(a.ndim))
    if node.base == "ReduceMean" and a.dtype.kind != "f":
        raise UndefinedError
    found = _REDUCED[node.base](a, axis=along, keepdims=bool(node.attributes.get("keepdims", 1)))
    return [np.asarray(found).astype(a.dtype)]
