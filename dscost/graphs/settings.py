"""The settings of the nodes of a graph as plain values, those among their inputs too."""

from collections.abc import Mapping
from functools import cached_property
from typing import Any

from onnx import ModelProto, NodeProto, TensorProto

from dscost.graphs.constants import tensor_of
from dscost.graphs.nodes import MAIN, attributes_of
from dscost.graphs.tensors import stored_value

_BOUNDS = {1: "min", 2: "max"}
"""Inputs of a `Clip`, which were attributes once."""
_SOFTMAX = ("Softmax", "LogSoftmax")
_SOFTMAX_OF_ONE_AXIS = 13
"""The opset since which it is along one axis; before it was over all from an axis on."""
_SIMPLE = (bool, int, float, str, tuple)


class NodeSettings:
    """Gives the settings of nodes by their names in a trace.

    Args:
        model: Whose nodes they are.
        nodes: By their names in the trace.
    """

    def __init__(self, model: ModelProto, nodes: Mapping[str, NodeProto]) -> None:
        self._model, self._nodes = model, nodes
        self._stored: dict[str, TensorProto] | None = None

    def __call__(self, name: str) -> Mapping[str, Any]:
        """Return the settings of a node; none of what is no node."""
        node = self._nodes.get(name)
        if node is None:
            return {}
        found = {
            key: value for key, value in attributes_of(node).items() if isinstance(value, _SIMPLE)
        }
        if node.op_type == "Clip" and node.domain in ("", MAIN):
            bounds = {key: self._number(node, at) for at, key in _BOUNDS.items()}
            found.update((key, value) for key, value in bounds.items() if value is not None)
        if node.op_type in _SOFTMAX and node.domain in ("", MAIN):
            found["flattens"] = self._opset < _SOFTMAX_OF_ONE_AXIS
            found.setdefault("axis", 1 if found["flattens"] else -1)
        return found

    @cached_property
    def _opset(self) -> int:
        versions = (one.version for one in self._model.opset_import if one.domain in ("", MAIN))
        return next(versions, 1)

    def _number(self, node: NodeProto, at: int) -> float | None:
        """Return a number that is among the inputs of a node, where it is stored in the file."""
        name = node.input[at] if at < len(node.input) else ""
        if self._stored is None:
            self._stored = {one.name: one for one in self._model.graph.initializer}
            for one in self._nodes.values():
                tensor = tensor_of(one)
                if tensor is not None:
                    self._stored[one.output[0]] = tensor
        tensor = self._stored.get(name)
        content = None if tensor is None else stored_value(tensor, name).content
        return float(content.item()) if content is not None and content.size == 1 else None
