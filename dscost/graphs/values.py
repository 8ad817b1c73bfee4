"""What is known of a value in a graph while its nodes are evaluated, without computing it."""

from collections.abc import Sequence
from math import prod
from typing import TYPE_CHECKING, NamedTuple

from dscost.traces.parameters import Parameter

if TYPE_CHECKING:
    import numpy as np

Shape = tuple[int, ...]

CONSTANT = -2
"""The source of what is stored in the file, or made of that alone."""

MOST_KNOWN = 4096
"""Values of more elements than that are followed by their type alone."""

BITS = {
    "float32": 32,
    "float16": 16,
    "bfloat16": 16,
    "float64": 64,
    "int64": 64,
    "int32": 32,
    "int16": 16,
    "int8": 8,
    "int4": 4,
    "int2": 2,
    "uint64": 64,
    "uint32": 32,
    "uint16": 16,
    "uint8": 8,
    "uint4": 4,
    "uint2": 2,
    "bool": 8,
    "complex64": 64,
    "complex128": 128,
    "float8e4m3fn": 8,
    "float8e4m3fnuz": 8,
    "float8e5m2": 8,
    "float8e5m2fnuz": 8,
    "float8e8m0": 8,
    "float4e2m1": 4,
}
"""How many bits an element of each dtype takes where it is stored; text has no size."""


class Value(NamedTuple):
    """A value of a graph: its type, and its content where that is small and known.

    Args:
        dtype: Such as `float32`; empty where it is unknown, or no tensor.
        shape: `None` where it is unknown.
        content: Its elements, where they are known.
        source: The event that made it, `NETWORK_INPUT`, or `CONSTANT`.
        name: Of an input (`input:0`), or of what is stored; else empty.
        stored: All parameters that it is made of, as they are stored, where nothing else is.
        home: The storage that holds it, which a view shares with what it is a view of.
        items: Of a sequence what is in it, where that is known.
        parts: Of a list of sizes those that are known, where not all are; see `graphs.partial`.
        whole: The dtype of the numbers that it was dequantised from; a runtime may compute with
            those. Empty where it was not.
    """

    dtype: str = ""
    shape: Shape | None = None
    content: "np.ndarray | None" = None
    source: int = CONSTANT
    name: str = ""
    stored: tuple[Parameter, ...] = ()
    home: int = -1
    items: "tuple[Value, ...] | None" = None
    parts: "np.ndarray | None" = None
    whole: str = ""

    @property
    def is_constant(self) -> bool:
        """Whether no input has a part in it."""
        return self.source == CONSTANT

    @property
    def all(self) -> "tuple[Value, ...]":
        """Itself, or what is in it."""
        return (self,) if self.items is None else self.items

    def unread(self, shape: Shape | None) -> "Value":
        """Return a value of which no more is known than its type, of some shape."""
        return self._replace(shape=shape, content=None, parts=None, items=None)

    @property
    def elements(self) -> int:
        """How many it has, as far as is known."""
        return 0 if self.shape is None else prod(self.shape)

    @property
    def nbytes(self) -> int:
        """Its size; elements of less than a byte share one."""
        return -(-self.elements * BITS.get(self.dtype, 0) // 8)

    @property
    def is_floating(self) -> bool:
        """Whether its elements are floating-point numbers."""
        return "float" in self.dtype


def made_of(
    stored: tuple[Parameter, ...], values: Sequence[Value], *, whole: str = ""
) -> list[Value]:
    """Return values that are made of what is stored, and were dequantised from such numbers."""
    if not stored and not whole:
        return list(values)
    return [value._replace(stored=stored, whole=whole) for value in values]


def truth(value: Value | None) -> bool | None:
    """Return a single truth value, `None` where it is not known."""
    if value is None or value.content is None or value.content.size != 1:
        return None
    return bool(value.content.reshape(()).item())


def same_content(one: Value, other: Value) -> bool:
    """Whether two values are known, and are the same."""
    if one.content is None or other.content is None or one.content.shape != other.content.shape:
        return False
    return bool((one.content == other.content).all())
