"""Where the weights of a convolution are stored in an ONNX file, who else reads them, their values.

They are an initializer or a `Constant` node, with nodes of `Identity` between or not. What is
computed by anything else is not followed.
"""

from collections import Counter
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from onnx import GraphProto, ModelProto, NodeProto, TensorProto, numpy_helper

from dscost.errors import InputError
from dscost.graphs.checking import graphs_in
from dscost.graphs.tensors import DTYPES

FLOATS = ("float32", "float64", "float16", "bfloat16")
"""What weights may be of that are decomposed."""


class Stored(NamedTuple):
    """A stored tensor that a node reads.

    Args:
        name: Of the tensor, as its first reader has it.
        tensor: Its type and values.
        node: The `Constant` node that it is in, if it is no initializer.
    """

    name: str
    tensor: TensorProto
    node: NodeProto | None


class Weights:
    """The stored tensors of a model."""

    def __init__(self, model: ModelProto) -> None:
        graph = model.graph
        self._makers = {name: node for node in graph.node for name in node.output if name}
        self._initializers = {one.name: one for one in graph.initializer}
        self._sparse = {one.values.name for one in graph.sparse_initializer}
        self._inputs = {one.name for one in graph.input}
        self._arrays: dict[str, np.ndarray] = {}
        self.readers = Counter(self.root(name) for name in names_read(graph))

    def root(self, name: str) -> str:
        """Return the name of what a value is the same as, where nodes of `Identity` pass it on."""
        seen: set[str] = set()
        while name not in seen and (maker := self._makers.get(name)) is not None:
            if maker.op_type != "Identity" or maker.domain:
                break
            seen.add(name)
            name = maker.input[0]
        return name

    def find(self, name: str) -> Stored | str:
        """Return the weights that a node reads by a name, or why they cannot be converted."""
        name = self.root(name)
        maker = self._makers.get(name)
        if name in self._initializers:
            found = Stored(name, self._initializers[name], None)
        elif name in self._sparse:
            return "its weights are sparse"
        elif maker is None:
            return "its weights are an input of the network"
        elif maker.op_type == "DequantizeLinear":
            return "its weights are quantised"
        elif maker.op_type == "Constant" and maker.attribute and maker.attribute[0].name == "value":
            found = Stored(name, maker.attribute[0].t, maker)
        else:
            return f"its weights are computed, by {maker.op_type}"
        dtype = DTYPES.get(found.tensor.data_type, "")
        return found if dtype in FLOATS else f"its weights are of {dtype or 'an unknown dtype'}"

    def array(self, stored: Stored) -> np.ndarray:
        """Return the values of a tensor, always the same array.

        Raises:
            InputError: The file has not as many as its shape says.
        """
        if stored.name not in self._arrays:
            try:
                self._arrays[stored.name] = numpy_helper.to_array(stored.tensor)
            except (ValueError, TypeError, RuntimeError) as error:
                raise InputError(f"the weights '{stored.name}' cannot be read: {error}") from error
        return self._arrays[stored.name]


def names_read(graph: GraphProto) -> Iterator[str]:
    """Yield what is read in a graph and those inside of it, once for each reader.

    What an `Identity` of the graph itself reads is left out: its own readers are told.
    """
    for at, one in enumerate(graphs_in(graph)):
        for node in one.node:
            if at or node.op_type != "Identity":
                yield from (name for name in node.input if name)
        yield from (output.name for output in one.output)
    for annotation in graph.quantization_annotation:
        yield annotation.tensor_name
