"""The types of a node's outputs as onnx infers them, for operators that have no function here."""

import onnx
from onnx import TypeProto, checker, defs, helper, shape_inference

from dscost.graphs.nodes import MAIN, Node
from dscost.graphs.shapes.table import Type
from dscost.graphs.tensors import DTYPES, NUMBERS


def inferred(node: Node) -> list[Type]:
    """Return the types that onnx infers for one node; none where it cannot."""
    domain = node.operator.partition("::")[0]
    domain = "" if domain == MAIN else domain
    try:
        schema = defs.get_schema(node.base, node.opset, domain)
    except defs.SchemaError:
        return []
    types: dict[str, TypeProto] = {}
    data: dict[str, onnx.TensorProto] = {}
    for name, value in zip(node.proto.input, node.inputs, strict=True):
        if value is None:
            continue
        if value.shape is None or value.dtype not in NUMBERS:
            return []
        types[name] = helper.make_tensor_type_proto(NUMBERS[value.dtype], value.shape)
        if value.content is not None:
            data[name] = onnx.numpy_helper.from_array(value.content, name)
    try:
        found = shape_inference.infer_node_outputs(
            schema,
            node.proto,
            types,
            data,
            opset_imports=[helper.make_opsetid(domain, node.opset)],
        )
    except (shape_inference.InferenceError, checker.ValidationError, ValueError, RuntimeError):
        return []
    return [_type(found[name]) if name in found else ("", None) for name in node.proto.output]


def _type(proto: TypeProto) -> Type:
    tensor = proto.tensor_type
    dtype = DTYPES.get(tensor.elem_type, "")
    if not tensor.HasField("shape"):
        return dtype, None
    axes = tensor.shape.dim
    if not all(axis.HasField("dim_value") for axis in axes):
        return dtype, None
    return dtype, tuple(axis.dim_value for axis in axes)
