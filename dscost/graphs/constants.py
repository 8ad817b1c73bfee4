"""Nodes whose result is known while they are counted: sizes, axes, conditions.

What most of them are made of is computed here by numpy; onnx's evaluator, which takes a while to
import, does the rest of what is small and harmless.
"""

from functools import cache
from math import prod
from typing import Any

import numpy as np
import onnx
from onnx import AttributeProto, NodeProto, SparseTensorProto, TensorProto

from dscost.graphs.arithmetic import KNOWN, UndefinedError
from dscost.graphs.nodes import MAIN, Node
from dscost.graphs.shapes import types_of
from dscost.graphs.tensors import sparse_value, stored_value
from dscost.graphs.values import BITS, MOST_KNOWN, Value
from dscost.traces import Parameter

_OTHERS = frozenset(
    "ArgMax ArgMin BitShift BitwiseAnd BitwiseNot BitwiseOr BitwiseXor CastLike Compress CumSum "
    "DepthToSpace DequantizeLinear Elu Exp EyeLike GatherElements GatherND Hardmax HardSigmoid "
    "IsInf IsNaN LeakyRelu Log Mean OneHot Pad QuantizeLinear ReduceL1 ReduceL2 ReduceSumSquare "
    "Relu ReverseSequence ScatterElements Shrink Sigmoid Softmax Softplus SpaceToDepth "
    "Tanh ThresholdedRelu TopK Trilu Unique Sin Cos".split()
)
"""Operators of `ai.onnx` that its evaluator may run on what is small."""

_MADE_OF_DATA = frozenset(("Unique", "Compress"))
"""Those that write no more than they read, whatever the types say."""


def tensor_of(proto: NodeProto) -> TensorProto | None:
    """Return the tensor that a node is, if it is a `Constant` as most are: half of many files."""
    if proto.op_type != "Constant" or proto.domain not in ("", MAIN):
        return None
    if proto.input or len(proto.output) != 1 or len(proto.attribute) != 1 or not proto.output[0]:
        return None
    (one,) = proto.attribute
    is_tensor = one.name == "value" and one.type == AttributeProto.TENSOR
    return one.t if is_tensor else None


def constant_of(node: Node, name: str) -> Value:
    """Return what a `Constant` node writes, stored under some name."""
    read = node.attributes
    tensor = read.get("value")
    if isinstance(tensor, TensorProto):
        return stored_value(tensor, name)
    sparse = read.get("sparse_value")
    if isinstance(sparse, SparseTensorProto):
        return sparse_value(sparse, name)
    for key, dtype in (("value_int", np.int64), ("value_float", np.float32)):
        if key in read or f"{key}s" in read:
            content = np.array(read[key] if key in read else read[f"{key}s"], dtype)
            stored = Parameter(name, content.size, content.nbytes)
            known = content if content.size <= MOST_KNOWN else None
            return Value(str(content.dtype), content.shape, known, name=name, stored=(stored,))
    if "value_string" in read:
        return Value("string", (), None, name=name)
    if "value_strings" in read:
        return Value("string", (len(read["value_strings"]),), None, name=name)
    return Value()


def known_results(node: Node) -> list[Value] | None:
    """Return what a node writes where that is small and known, else `None`."""
    domain, _, base = node.operator.partition("::")
    if domain != MAIN:
        return None
    if base in ("Shape", "Size"):
        return _size(node)
    if not node.inputs or node.draws:
        return None
    for value in node.inputs:
        if value is not None and value.content is None:
            return None
    function = KNOWN.get(base)
    if function is not None:
        return _computed(node, function)
    return _evaluated(node) if base in _OTHERS else None


def _size(node: Node) -> list[Value] | None:
    shape = node.shape(0)
    if shape is None:
        return None
    if node.base == "Size":
        return [_value(np.array(prod(shape), np.int64))]
    sizes = shape[node.attributes.get("start", 0) : node.attributes.get("end", None)]
    return [_value(np.array(sizes, np.int64))]


def _value(content: np.ndarray) -> Value:
    known = content if content.size <= MOST_KNOWN else None
    return Value(_name_of(content.dtype), content.shape, known)


@cache
def _name_of(dtype: np.dtype) -> str:
    """Return the name of a dtype, which numpy puts together anew whenever it is asked."""
    return str(dtype)


def _computed(node: Node, function: Any) -> list[Value] | None:
    contents = [None if value is None else value.content for value in node.inputs]
    if any(one is not None and one.dtype.kind not in "iufb" for one in contents):
        return _evaluated(node)
    try:
        with np.errstate(all="ignore"):
            results = function(node, *contents)
    except (UndefinedError, ValueError, IndexError, TypeError, OverflowError, MemoryError):
        return None
    return [_value(np.asarray(one)) for one in results]


def _evaluated(node: Node) -> list[Value] | None:
    """Return what onnx's own evaluator makes of one node, where its types say that it is small."""
    types = types_of(node)
    shapes = [shape for _, shape in types]
    if node.base not in _MADE_OF_DATA and None in shapes:
        return None
    if any(prod(shape) > MOST_KNOWN for shape in shapes if shape is not None):
        return None
    read = {
        name: value.content
        for name, value in zip(node.proto.input, node.inputs, strict=True)
        if value is not None
    }
    results = _by_evaluator(node, read)
    if results is None:
        return None
    contents = [np.asarray(result) for result in results]
    if any(one.dtype.kind not in "iufb" for one in contents):
        return None
    return [
        _value(one)._replace(dtype=dtype if dtype in BITS else str(one.dtype))
        for one, (dtype, _) in zip(contents, types, strict=False)
    ]


def _by_evaluator(node: Node, read: dict[str, Any]) -> list[Any] | None:
    from onnx.reference import ReferenceEvaluator

    def infos(names: Any) -> list[Any]:
        make = onnx.helper.make_tensor_value_info
        return [make(name, TensorProto.UNDEFINED, None) for name in names if name]

    graph = onnx.helper.make_graph([node.proto], "one", infos(read), infos(node.proto.output))
    opsets = [onnx.helper.make_opsetid("", node.opset)]
    try:
        model = onnx.helper.make_model(graph, opset_imports=opsets)
        found = iter(ReferenceEvaluator(model).run(None, read))
    except Exception:  # noqa: BLE001 - it fails in many ways at what does not fit
        return None
    return [next(found) if name else np.zeros(0) for name in node.proto.output]
