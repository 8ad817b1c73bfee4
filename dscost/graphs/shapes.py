"""The types of what a node writes, by those of what it reads.

Those that make up most networks are worked out here, all others by onnx, which is slower and
returns dimensions below zero for what does not fit: such a node is unknown.
"""

from collections.abc import Callable, Sequence

import onnx
from onnx import TypeProto, defs, helper, shape_inference

from dscost.errors import SpecError
from dscost.graphs.convolutions import conv_of
from dscost.graphs.nodes import MAIN, Node
from dscost.graphs.reading import DTYPES
from dscost.graphs.values import Shape

Type = tuple[str, Shape | None]
"""A dtype, and the shape where it is known."""

_NUMBERS = {name: number for number, name in DTYPES.items()}

_Typing = Callable[[Node], Sequence[Type]]

_SHAPED: dict[str, _Typing] = {}
"""What works out the types of operators' outputs; it raises a `SpecError` at what cannot be."""


def types_of(node: Node) -> list[Type]:
    """Return the types of what a node writes, one for each of its outputs."""
    known = _SHAPED.get(node.operator)
    try:
        if known is not None and all(one is None or one.shape is not None for one in node.inputs):
            found = list(known(node))
        else:
            found = _by_onnx(node)
    except SpecError:
        found = []
    wanted = len(node.proto.output)
    found = [_checked(one) for one in found[:wanted]]
    return found + [("", None)] * (wanted - len(found))


def _checked(one: Type) -> Type:
    dtype, shape = one
    if shape is not None and any(size < 0 for size in shape):
        return dtype, None
    return one


def _by_onnx(node: Node) -> list[Type]:
    """Return the types that onnx infers for one node."""
    domain = node.operator.partition("::")[0]
    try:
        schema = defs.get_schema(node.base, node.opset, "" if domain == MAIN else domain)
    except defs.SchemaError:
        return []
    types: dict[str, TypeProto] = {}
    data: dict[str, onnx.TensorProto] = {}
    for name, value in zip(node.proto.input, node.inputs, strict=True):
        if value is None:
            continue
        if value.shape is None or value.dtype not in _NUMBERS:
            return []
        types[name] = helper.make_tensor_type_proto(_NUMBERS[value.dtype], value.shape)
        if value.content is not None:
            data[name] = onnx.numpy_helper.from_array(value.content, name)
    try:
        found = shape_inference.infer_node_outputs(
            schema,
            node.proto,
            types,
            data,
            opset_imports=[helper.make_opsetid("" if domain == MAIN else domain, node.opset)],
        )
    except (shape_inference.InferenceError, ValueError, RuntimeError):
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


# -- operators


def _of(*names: str) -> Callable[[_Typing], _Typing]:
    def add(function: _Typing) -> _Typing:
        for name in names:
            _SHAPED[f"{MAIN}::{name}"] = function
        return function

    return add


def _first(node: Node) -> tuple[str, Shape]:
    value = node.input(0)
    if value is None or value.shape is None:
        raise SpecError(f"{node.name} reads nothing")
    return value.dtype, value.shape


@_of(*"Relu Sigmoid Tanh Clip LeakyRelu Elu Selu Gelu HardSigmoid HardSwish Erf Sqrt Exp".split())
@_of(*"Softmax LogSoftmax LayerNormalization Identity Neg Abs Mish PRelu Softplus Celu".split())
@_of(*"BatchNormalization InstanceNormalization LRN Dropout Log Floor Ceil Reciprocal".split())
def _same(node: Node) -> Sequence[Type]:
    return [_first(node)]


@_of(*"Add Sub Mul Div Max Min Sum Mean".split())
def _broadcast(node: Node) -> Sequence[Type]:
    dtype, _ = _first(node)
    shapes = [value.shape for value in node.inputs if value is not None and value.shape is not None]
    return [(dtype, broadcast(shapes))]


def broadcast(shapes: Sequence[Shape]) -> Shape:
    """Return the shape that several have together.

    Raises:
        SpecError: They have none.
    """
    rank = max(map(len, shapes))
    rows = [(1,) * (rank - len(shape)) + shape for shape in shapes]
    found = []
    for column in zip(*rows, strict=True):
        sizes = {size for size in column if size != 1}
        if len(sizes) > 1:
            raise SpecError(f"shapes {shapes} do not broadcast")
        found.append(sizes.pop() if sizes else 1)
    return tuple(found)


@_of("Conv")
def _conv(node: Node) -> Sequence[Type]:
    dtype, shape = _first(node)
    weight = node.shape(1)
    if weight is None:
        raise SpecError("no weights")
    spec, seen = conv_of(node, shape, weight, bias=node.input(2) is not None)
    return [(dtype, spec.output_shape(seen))]
