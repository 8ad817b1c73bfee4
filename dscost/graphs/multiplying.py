"""What a node multiplies in: floating-point numbers, or the whole ones that they stand for."""

from dscost.graphs.nodes import MAIN, MICROSOFT, Node
from dscost.graphs.values import BITS, Value
from dscost.traces.rules import FORMULAS

_QUANTIZING = frozenset(
    f"{MICROSOFT}::{name}" for name in ("DynamicQuantizeMatMul", "DynamicQuantizeLSTM")
)
"""Operators that make whole numbers of what they read before they multiply."""

_ACCURACY = {2: "float16", 3: "bfloat16", 4: "int8"}
"""What a runtime may compute in by the `accuracy_level` of products with packed weights."""

_PACKED = frozenset(
    f"{MICROSOFT}::{name}" for name in ("MatMulNBits", "MatMulNBitsMlp", "MatMulNBitsQkv")
)

_DEQUANTIZING = frozenset((f"{MAIN}::DequantizeLinear", f"{MICROSOFT}::DequantizeLinear"))

_KEEPING = frozenset(
    f"{MAIN}::{name}"
    for name in """
Identity Dropout Transpose Reshape Flatten Squeeze Unsqueeze Cast CastLike Slice Split Gather
Expand Tile Pad DepthToSpace SpaceToDepth MaxPool GlobalMaxPool Relu Clip Resize Upsample
""".split()
)
"""What a runtime may as well do with whole numbers, before they are scaled."""


def dtype_of_products(node: Node) -> str:
    """Return the dtype of what a node multiplies, empty where nobody knows.

    A runtime may multiply the whole numbers themselves where both factors are dequantised from
    such; where only the weights are, the other factor is floating-point and so is the product.
    """
    if node.operator in _QUANTIZING:
        return "int8"
    told = node.attributes.get("accuracy_level") if node.operator in _PACKED else None
    if told in _ACCURACY:
        return _ACCURACY[told]
    rule = FORMULAS.get(node.operator)
    read = map(node.input, rule.factors if rule is not None else ())
    factors = [value for value in read if value is not None and value.dtype in BITS]
    if all(map(_stored_whole, factors)):
        wholes = [_stored_whole(value) for value in factors]
        return _plain(max(wholes, key=BITS.__getitem__, default=""))
    floats = [value.dtype for value in factors if value.is_floating]
    return min(floats, key=BITS.__getitem__)


def whole_of(node: Node) -> str:
    """Return the dtype of the numbers that stand behind what a node writes, if it is such."""
    first = node.input(0)
    if first is None:
        return ""
    if node.operator in _DEQUANTIZING:
        return first.dtype
    if node.operator in _KEEPING:
        return first.whole
    if node.operator == f"{MAIN}::Concat":
        joined = [value.whole if value is not None else "" for value in node.inputs]
        return max(joined, key=BITS.__getitem__) if all(one in BITS for one in joined) else ""
    return ""


def _stored_whole(value: Value) -> str:
    """Return the dtype of the numbers that a factor is made of, where they may be multiplied."""
    return value.whole if value.is_floating and value.whole in BITS else _unscaled(value)


def _unscaled(value: Value) -> str:
    is_small = not value.is_floating or BITS[value.dtype] <= 8
    return value.dtype if is_small else ""


def _plain(dtype: str) -> str:
    """Return a dtype without the difference of a sign, which no peak depends on."""
    return dtype.removeprefix("u")
