"""Nodes whose result is known while they are counted: sizes, axes, conditions."""

from typing import Any

import numpy as np
import onnx
from onnx import TensorProto

from dscost.graphs.nodes import MAIN, Node
from dscost.graphs.values import MOST_KNOWN, Value


def known_results(node: Node, types: list[Value]) -> list[Value] | None:
    """Return what a node writes where that is small and known, else `None`."""
    if node.operator == f"{MAIN}::Shape":
        return _shape(node)
    given = [value for value in node.inputs if value is not None]
    if not given or any(value.content is None for value in given):
        return None
    if any(one.shape is None or one.elements > MOST_KNOWN for one in types):
        return None
    return _evaluated(node, types)


def _shape(node: Node) -> list[Value] | None:
    shape = node.shape(0)
    if shape is None:
        return None
    sizes = shape[node.attributes.get("start", 0) : node.attributes.get("end", None)]
    return [Value("int64", (len(sizes),), np.array(sizes, np.int64))]


def _evaluated(node: Node, types: list[Value]) -> list[Value] | None:
    from onnx.reference import ReferenceEvaluator

    read = {
        name: value.content
        for name, value in zip(node.proto.input, node.inputs, strict=True)
        if value is not None
    }
    graph = onnx.helper.make_graph(
        [node.proto],
        "one",
        [onnx.helper.make_tensor_value_info(name, TensorProto.UNDEFINED, None) for name in read],
        [
            onnx.helper.make_tensor_value_info(name, TensorProto.UNDEFINED, None)
            for name in node.proto.output
        ],
    )
    model = onnx.helper.make_model(
        graph, opset_imports=[onnx.helper.make_opsetid(node.proto.domain, node.opset)]
    )
    try:
        results: Any = ReferenceEvaluator(model).run(None, read)
    except (RuntimeError, ValueError, TypeError, IndexError, NotImplementedError):
        return None
    return [
        one._replace(content=np.asarray(result), dtype=one.dtype or str(np.asarray(result).dtype))
        for one, result in zip(types, results, strict=False)
    ]
