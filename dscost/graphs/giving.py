"""What an ONNX file is given to be counted on: shapes, tensors, numbers, with or without names."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from dscost.errors import InputError
from dscost.graphs.values import MOST_KNOWN, Shape
from dscost.notation.inputs import TensorSpec, check_fill, fill_shape, is_shape

MOST_GIVEN = 64
"""A tensor of more elements is an example of what is given; of fewer, such as sizes, it is what is
given."""


class Gift(NamedTuple):
    """What is given for one input.

    Args:
        name: Of the input, or `None` for the next one.
        shape: Its sizes; those of the first of several.
        dtype: `None` for that of the file.
        fill: Its values as they are written, or `None` where any will do.
        items: What a sequence holds.
    """

    name: str | None
    shape: Shape
    dtype: str | None = None
    fill: Any = None
    items: "tuple[Gift, ...] | None" = None

    def content(self, dtype: str) -> np.ndarray | None:
        """Return its values in a dtype, where they are said and few.

        Raises:
            InputError: They do not fit.
        """
        if self.fill is None:
            return None
        check_fill(TensorSpec(self.shape, dtype, self.name, self.fill))
        try:
            values = np.array(
                list(self.fill) if isinstance(self.fill, range) else self.fill, np.dtype(dtype)
            )
        except TypeError:  # numpy has no such dtype
            return None
        if np.prod(self.shape) > MOST_KNOWN:
            return None
        is_same = bool(fill_shape(self.fill)) and values.size == np.prod(self.shape)
        return values.reshape(self.shape) if is_same else np.broadcast_to(values, self.shape).copy()


def gifts(given: Any) -> list[Gift]:
    """Return what is given, one by one.

    Args:
        given: Nothing; a shape, a tensor, a `TensorSpec`; a sequence of them, or a mapping of the
            names of inputs to them.

    Raises:
        InputError: It is something else.
    """
    if given is None:
        return []
    if isinstance(given, Mapping):
        if set(given) == {"args", "kwargs"}:
            return [*gifts(tuple(given["args"])), *gifts(given["kwargs"])]
        return [_gift(value, str(name)) for name, value in given.items()]
    is_one = isinstance(given, TensorSpec) or hasattr(given, "shape") or is_shape(given)
    if is_one:
        return [_gift(given)]
    if isinstance(given, list | tuple):
        return [_gift(one) for one in given]
    raise _refused(given)


def _gift(value: Any, name: str | None = None) -> Gift:
    if isinstance(value, TensorSpec):
        return Gift(name or value.name, value.shape, value.dtype, value.fill)
    if is_shape(value):
        return Gift(name, tuple(value))
    if isinstance(value, bool | int | float):
        return Gift(name, (), None, value)
    if hasattr(value, "shape") and hasattr(value, "dtype"):
        shape = tuple(int(size) for size in value.shape)
        return Gift(name, shape, str(value.dtype).rpartition(".")[2], _said(value, shape))
    if isinstance(value, list | tuple) and value:
        items = tuple(_gift(one) for one in value)
        return Gift(name, items[0].shape, items[0].dtype, None, items)
    raise _refused(value)


def _said(tensor: Any, shape: Shape) -> Any:
    """Return the values of a small tensor of whole numbers: a size, a rate, a choice."""
    if len(shape) > 1 or np.prod(shape) > MOST_GIVEN or "float" in str(tensor.dtype):
        return None
    try:
        values = tensor.tolist()
    except (NotImplementedError, RuntimeError):  # a tensor without values
        return None
    return tuple(values) or None if isinstance(values, list) else values


def _refused(found: object) -> InputError:
    return InputError(
        f"an input is a shape, a tensor, or a tuple or dict of them, found {found!r:.60}"
    )


def written(sizes: Sequence[object]) -> str:
    """Return sizes as they are read in a sentence."""
    return " × ".join("?" if size is None else str(size) for size in sizes) or "a single number"
