"""An ONNX graph while it is written: nodes, and what is stored beside them."""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from onnx import ModelProto, TensorProto, helper

from dscost.layers.convolution import Shape
from dscost.networks.network import Operation

Array = np.ndarray[Any, Any]

FLOATS = {
    "float16": TensorProto.FLOAT16,
    "bfloat16": TensorProto.BFLOAT16,
    "float32": TensorProto.FLOAT,
    "float64": TensorProto.DOUBLE,
}
"""The dtypes that networks are written in, by their number in files."""

OPSET = 17
"""The version of the operators where none needs a later one: every runtime knows it."""


class Draft:
    """A graph that grows.

    Args:
        dtype: Of weights and activations, one of `FLOATS`.
        seed: Of its random weights.
    """

    def __init__(self, dtype: str, seed: int) -> None:
        self.dtype = dtype
        self.opset = 22 if dtype == "bfloat16" else OPSET
        self.model = ModelProto()  # weights are large: they are put where they stay
        self.graph = self.model.graph
        self._random = np.random.default_rng(seed)

    def store(self, name: str, values: Array) -> str:
        """Store floating-point values in the dtype of the graph; return their name."""
        self.graph.initializer.add(
            name=name,
            dims=values.shape,
            data_type=FLOATS[self.dtype],
            raw_data=raw_bytes(values, self.dtype),
        )
        return name

    def store_whole(self, name: str, values: Sequence[int]) -> str:
        """Store whole numbers, such as a shape."""
        self.graph.initializer.add(
            name=name, dims=[len(values)], data_type=TensorProto.INT64, int64_data=values
        )
        return name

    def drawn(self, shape: Shape, deviation: float, around: float) -> Array:
        """Return normally distributed values."""
        values = self._random.standard_normal(shape, dtype=np.float32)
        values *= np.float32(deviation)
        if around:
            values += np.float32(around)
        return values


class Pen:
    """Writes one operation: its own node is called as it is, those beside it by a part behind.

    Args:
        draft: Where it is written.
        operation: What is written.
        reads: The values that it reads.
        square: The mean square of the first of them, about.
        writes: The value that it has to write.
    """

    def __init__(
        self, draft: Draft, operation: Operation, reads: Sequence[str], square: float, writes: str
    ) -> None:
        self.draft, self.operation, self.reads = draft, operation, reads
        self.square, self.writes = square, writes

    @property
    def shape(self) -> Shape:
        """Of the first value that it reads."""
        return self.operation.input_shapes[0]

    def node(
        self,
        operator: str,
        reads: Iterable[str] | None = None,
        part: str = "",
        *,
        is_last: bool | None = None,
        **attributes: Any,
    ) -> str:
        """Add a node and return what it writes.

        Args:
            operator: Its type.
            reads: By default what the operation reads.
            part: What stands behind the name of the operation; the node that is counted has none.
            is_last: Whether it writes what the operation writes; by default what has no part does.
            attributes: Its attributes; `None` for one that is left out.
        """
        name = self.named(part)
        if is_last is None:
            is_last = not part
        writes = self.writes if is_last else f"{self.named(part or operator)}/output"
        given = {key: value for key, value in attributes.items() if value is not None}
        read = list(self.reads if reads is None else reads)
        self.draft.graph.node.append(helper.make_node(operator, read, [writes], name, **given))
        return writes

    def named(self, part: str) -> str:
        """Return what a part of the operation is called."""
        return f"{self.operation.name}/{part}" if part else self.operation.name

    def weight(self, key: str, shape: Shape, deviation: float, around: float = 0.0) -> str:
        """Store random values under the name that torch's state dict has for them."""
        values = self.draft.drawn(shape, deviation, around)
        return self.draft.store(f"{self.operation.name}.{key}", values)

    def number(self, part: str, value: float) -> str:
        """Store one number that is no weight."""
        return self.draft.store(self.named(part), np.array(value, np.float32))

    def whole(self, part: str, values: Sequence[int]) -> str:
        """Store whole numbers, such as a shape."""
        return self.draft.store_whole(self.named(part), values)


def raw_bytes(values: Array, dtype: str) -> bytes:
    """Return values as a file has them; numpy has no bfloat16, whose ties go to even."""
    if dtype != "bfloat16":
        return values.astype(dtype, copy=False).tobytes()
    bits = np.ascontiguousarray(values, np.float32).view(np.uint32)
    rounded = (bits + 0x7FFF + ((bits >> 16) & 1)) >> 16
    return rounded.astype(np.uint16).tobytes()
