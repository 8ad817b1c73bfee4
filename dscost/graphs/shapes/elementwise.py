"""Operators that keep a shape, or broadcast several."""

from collections.abc import Sequence

from dscost.errors import SpecError
from dscost.graphs.nodes import Node
from dscost.graphs.shapes.table import Type, axis_of, broadcast, has, read, shaped
from dscost.graphs.tensors import DTYPES

_BROADCASTING_SINCE = 7
"""The opset from which shapes broadcast by themselves; before, the second was told where to go."""


@shaped(
    """
Relu Sigmoid Tanh Clip LeakyRelu Elu Selu Gelu HardSigmoid HardSwish Softmax LogSoftmax Softplus
Celu Mish Swish Softsign Shrink ThresholdedRelu Hardmax PRelu Identity Neg Abs Sqrt Exp Log Erf
Reciprocal Floor Ceil Round Sign Acos Acosh Asin Asinh Atan Atanh Cos Cosh Sin Sinh Tan
InstanceNormalization GroupNormalization RMSNormalization LRN LpNormalization
MeanVarianceNormalization CumSum CumProd Trilu Not BitwiseNot ReverseSequence RotaryEmbedding
"""
)
def same(node: Node) -> Sequence[Type]:
    """Return what it reads first."""
    first = read(node)
    axis = node.attributes.get("axis")
    if axis is not None:
        axis_of(axis, len(first.shape))
    return [first]


@shaped("SwiGLU")
def _alike(node: Node) -> Sequence[Type]:
    return [_all_alike(node, len(node.inputs))]


def _all_alike(node: Node, count: int) -> Type:
    first = read(node)
    for at in range(1, count):
        if read(node, at).shape != first.shape:
            raise SpecError(f"shapes {first.shape} and {read(node, at).shape} are not the same")
    return first


@shaped("Add Sub Mul Div Pow Mod And Or Xor BitShift BitwiseAnd BitwiseOr BitwiseXor")
def _binary(node: Node) -> Sequence[Type]:
    first = read(node)
    if node.opset < _BROADCASTING_SINCE:
        return [first]
    return [(first.dtype, broadcast([first.shape, read(node, 1).shape]))]


@shaped("Equal Greater GreaterOrEqual Less LessOrEqual")
def _compared(node: Node) -> Sequence[Type]:
    return [("bool", shape) for _, shape in _binary(node)]


@shaped("Max Min Sum Mean")
def _variadic(node: Node) -> Sequence[Type]:
    reads = [read(node, at) for at in range(len(node.inputs))]
    return [(read(node).dtype, broadcast([one.shape for one in reads]))]


@shaped("Where")
def _where(node: Node) -> Sequence[Type]:
    return [(read(node, 1).dtype, broadcast([read(node, at).shape for at in range(3)]))]


@shaped("IsInf IsNaN")
def _asked(node: Node) -> Sequence[Type]:
    return [("bool", read(node).shape)]


@shaped("Cast")
def _cast(node: Node) -> Sequence[Type]:
    to = node.attributes.get("to", 0)
    dtype = DTYPES.get(to, "") if isinstance(to, int) else ""
    if isinstance(to, str):
        dtype = _OLD_DTYPES.get(to, to.lower())
    return [(dtype, read(node).shape)]


_OLD_DTYPES = {"FLOAT": "float32", "DOUBLE": "float64"}
"""Names of dtypes before opset 6 that are not those of now in capitals."""


@shaped("CastLike")
def _cast_like(node: Node) -> Sequence[Type]:
    return [(read(node, 1).dtype, read(node).shape)]


@shaped("Dropout")
def _dropout(node: Node) -> Sequence[Type]:
    dtype, shape = read(node)
    return [(dtype, shape), ("bool" if node.opset >= 10 else dtype, shape)]


@shaped("BatchNormalization")
def _batch_normalization(node: Node) -> Sequence[Type]:
    first, scale = read(node), read(node, 1)
    channels = first.shape[1] if len(first.shape) > 1 else 1
    # before opset 9 there may be scales for each value
    wanted = (channels,) if node.attributes.get("spatial", 1) else scale.shape
    for at, what in enumerate(("scales", "biases", "means", "variances"), start=1):
        if read(node, at).shape != wanted:
            found = f"it has {what} {read(node, at).shape}"
            raise SpecError(f"{found}, but its input has {channels} channels")
    return [first, *[(read(node, 3).dtype, scale.shape)] * 4]


@shaped("LayerNormalization SimplifiedLayerNormalization")
def _layer_normalization(node: Node) -> Sequence[Type]:
    first = read(node)
    axis = axis_of(node.attributes.get("axis", -1), len(first.shape))
    left = first.shape[:axis] + (1,) * (len(first.shape) - axis)
    dtype = DTYPES.get(node.attributes.get("stash_type", 1), "float32")
    return [first, (dtype, left), (dtype, left)]  # means, if there are any, and deviations


@shaped("QuantizeLinear")
def _quantized(node: Node) -> Sequence[Type]:
    dtype = DTYPES.get(node.attributes.get("output_dtype", 0), "uint8")
    return [(read(node, 2).dtype if has(node, 2) else dtype, read(node).shape)]


@shaped("DequantizeLinear")
def _dequantized(node: Node) -> Sequence[Type]:
    given = DTYPES.get(node.attributes.get("output_dtype", 0))
    return [(given or read(node, 1).dtype, read(node).shape)]


@shaped("DynamicQuantizeLinear")
def _quantizing(node: Node) -> Sequence[Type]:
    return [("uint8", read(node).shape), ("float32", ()), ("uint8", ())]
