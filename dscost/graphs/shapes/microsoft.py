"""Operators of ONNX Runtime itself, `com.microsoft`, which onnx knows nothing of.

Source:
    ContribOperators.md of ONNX Runtime.
"""

from collections.abc import Callable, Sequence
from functools import partial
from math import prod

from dscost.errors import SpecError
from dscost.graphs.nodes import MICROSOFT, Node
from dscost.graphs.shapes.moving import joined, with_padding
from dscost.graphs.shapes.products import gemm, product
from dscost.graphs.shapes.reducing import without
from dscost.graphs.shapes.table import (
    Read,
    Type,
    Typing,
    Unknowable,
    axes_of,
    axis_of,
    broadcast,
    feature_map,
    has,
    numbers,
    read,
    shaped,
)
from dscost.graphs.shapes.windows import pooled_positions
from dscost.graphs.tensors import DTYPES
from dscost.graphs.values import Shape

_of: Callable[[str], Callable[[Typing], Typing]] = partial(shaped, domain=MICROSOFT)


@_of(
    """
Gelu FastGelu QuickGelu BiasGelu BiasSoftmax ScaledSiLU BiasAdd QLinearLeakyRelu QLinearSigmoid
QLinearSoftmax QOrderedGelu QOrderedLayerNormalization GroupNorm GatedRMSNorm RotaryEmbedding
MRotaryEmbedding Trilu Inverse GatedAdd
"""
)
def _same(node: Node) -> Sequence[Type]:
    return [read(node)]


@_of("MoE")
def _mixed(node: Node) -> Sequence[Type]:
    first, experts = read(node), [read(node, at).shape for at in (2, 4)]
    best = node.attributes.get("k", 1)
    if not first.shape or best < 1 or any(len(one) != 3 or one[0] < best for one in experts):
        raise SpecError(f"an input {first.shape} does not fit experts {experts}")
    return [first]


@_of("SkipGroupNorm")
def _same_twice(node: Node) -> Sequence[Type]:
    return [read(node)] * 2


@_of("NGramRepeatBlock")
def _second(node: Node) -> Sequence[Type]:
    return [read(node, 1)]


@_of("BiasDropout")
def _dropped(node: Node) -> Sequence[Type]:
    return [read(node), ("bool", read(node).shape)]


@_of("BitmaskDropout BitmaskBiasDropout")
def _dropped_by_bits(node: Node) -> Sequence[Type]:
    return [read(node), ("uint32", (-(-prod(read(node).shape) // 32),))]


@_of("GemmaRotaryEmbedding")
def _rotated(node: Node) -> Sequence[Type]:
    return [read(node, 1), read(node, 3)]


@_of("IsAllFinite")
def _asked(node: Node) -> Sequence[Type]:
    return [("bool", ())]


@_of("MurmurHash3")
def _hashed(node: Node) -> Sequence[Type]:
    return [("uint32" if node.attributes.get("positive", 1) else "int32", read(node).shape)]


@_of("ComplexMul ComplexMulConj")
def _broadcast(node: Node) -> Sequence[Type]:
    return [(read(node).dtype, broadcast([read(node).shape, read(node, 1).shape]))]


@_of("QLinearAdd QLinearMul")
def _quantized_binary(node: Node) -> Sequence[Type]:
    return [(read(node).dtype, broadcast([read(node).shape, read(node, 3).shape]))]


@_of("QLinearWhere")
def _quantized_where(node: Node) -> Sequence[Type]:
    return [(read(node, 1).dtype, broadcast([read(node, at).shape for at in (0, 1, 4)]))]


@_of("MulInteger")
def _whole_product(node: Node) -> Sequence[Type]:
    return [("int32", broadcast([read(node).shape, read(node, 2).shape]))]


@_of("QuantizeLinear")
def _quantized(node: Node) -> Sequence[Type]:
    return [(read(node, 2).dtype if has(node, 2) else "uint8", read(node).shape)]


@_of("DequantizeLinear")
def _dequantized(node: Node) -> Sequence[Type]:
    return [(read(node, 1).dtype, read(node).shape)]


@_of("QuantizeWithOrder")
def _quantized_in_order(node: Node) -> Sequence[Type]:
    return [("int8", read(node).shape)]


@_of("DequantizeWithOrder")
def _dequantized_in_order(node: Node) -> Sequence[Type]:
    return [(DTYPES.get(node.attributes.get("to", 1), ""), read(node).shape)]


@_of("DequantizeBFP")
def _dequantized_blocks(node: Node) -> Sequence[Type]:
    return [(DTYPES.get(node.attributes.get("dtype", 1), ""), numbers(node, 1) or ())]


@_of("BiasSplitGelu SwiGLU")
def _gated(node: Node) -> Sequence[Type]:
    dtype, shape = read(node)
    if node.base == "SwiGLU" and has(node, 1):
        return [read(node)]
    if not shape or shape[-1] % 2:
        raise SpecError(f"{shape} has no two halves")
    return [(dtype, (*shape[:-1], shape[-1] // 2))]


@_of("SkipLayerNormalization SkipSimplifiedLayerNormalization")
def _normalised(node: Node) -> Sequence[Type]:
    dtype, shape = read(node)
    broadcast([shape, read(node, 1).shape])
    means = ("float32", (*shape[:-1], 1))
    return [(dtype, shape), means, means, (dtype, shape)]


@_of("EmbedLayerNormalization")
def _embedded(node: Node) -> Sequence[Type]:
    return _of_rows(node, read(node, 2).dtype)


@_of("QEmbedLayerNormalization")
def _quantized_embedded(node: Node) -> Sequence[Type]:
    return _of_rows(node, read(node, 8).dtype)


def _of_rows(node: Node, dtype: str) -> Sequence[Type]:
    ids, rows = read(node).shape, read(node, 2).shape
    if len(ids) != 2 or len(rows) != 2:
        raise SpecError(f"{ids} are no numbers of rows of {rows}")
    found = (dtype, (*ids, rows[1]))
    return [found, ("int32", ids[:1]), found]


@_of("TorchEmbedding")
def _looked_up(node: Node) -> Sequence[Type]:
    (dtype, rows), (_, indices) = read(node), read(node, 1)
    return [(dtype, indices + rows[1:])]


@_of("GatherBlockQuantized")
def _looked_up_packed(node: Node) -> Sequence[Type]:
    (kind, rows), (_, indices), (dtype, _) = read(node), read(node, 1), read(node, 2)
    axis = axis_of(node.attributes.get("gather_axis", 0), len(rows))
    found = [*rows[:axis], *indices, *rows[axis + 1 :]]
    if len(rows) < 2:
        raise SpecError(f"{rows} are no rows")
    if kind == "uint8":  # several in a byte, along the last axis
        found[-1] *= 8 // max(1, node.attributes.get("bits", 4))
    return [(dtype, tuple(found))]


# -- moved


@_of("Pad")
def _padded(node: Node) -> Sequence[Type]:
    dtype, shape = read(node)
    return [(dtype, with_padding(shape, numbers(node, 1) or ()))]


@_of("ExpandDims")
def _expanded(node: Node) -> Sequence[Type]:
    dtype, shape = read(node)
    axis = axis_of((numbers(node, 1) or (0,))[0], len(shape) + 1)
    return [(dtype, (*shape[:axis], 1, *shape[axis:]))]


@_of("QLinearConcat")
def _joined(node: Node) -> Sequence[Type]:
    parts = [read(node, at) for at in range(2, len(node.inputs), 3)]
    if not parts:
        raise SpecError("it joins nothing")
    return [(parts[0].dtype, joined([one.shape for one in parts], node.attributes.get("axis", 1)))]


@_of("UnfoldTensor")
def _unfolded(node: Node) -> Sequence[Type]:
    dtype, shape = read(node)
    axis = axis_of(node.attributes.get("dim", -1), len(shape))
    size, step = node.attributes.get("size", 1), max(1, node.attributes.get("step", 1))
    if not 0 < size <= shape[axis]:
        raise SpecError(f"there are no {size} of {shape[axis]}")
    count = (shape[axis] - size) // step + 1
    return [(dtype, (*shape[:axis], count, *shape[axis + 1 :], size))]


@_of("RestorePadding")
def _restored(node: Node) -> Sequence[Type]:
    (dtype, shape), (_, places) = read(node), read(node, 1)
    return [(dtype, (*places, *shape[1:]))]


@_of("QuantizeBFP RemovePadding Unique Range Tokenizer CropAndResize GatherND")
def _unknowable(node: Node) -> Sequence[Type]:
    raise Unknowable("how many there are depends on values")


# -- positions brought together


@_of("NhwcMaxPool MaxpoolWithMask QLinearAveragePool")
def _pooled(node: Node) -> Sequence[Type]:
    dtype, shape = feature_map(node)
    if node.base == "NhwcMaxPool" or node.attributes.get("channels_last"):
        return [(dtype, (shape[0], *pooled_positions(node, shape[1:-1]), shape[-1]))]
    return [(dtype, (*shape[:2], *pooled_positions(node, shape[2:])))]


@_of("QLinearGlobalAveragePool")
def _pooled_whole(node: Node) -> Sequence[Type]:
    dtype, shape = feature_map(node)
    ones = (1,) * (len(shape) - 2)
    is_last = bool(node.attributes.get("channels_last"))
    return [(dtype, (shape[0], *ones, shape[-1]) if is_last else (*shape[:2], *ones))]


@_of("QLinearReduceMean ReduceSumInteger")
def _reduced(node: Node) -> Sequence[Type]:
    dtype, shape = read(node)
    axes = axes_of(node.attributes.get("axes") or range(len(shape)), len(shape))
    keeps = bool(node.attributes.get("keepdims", 1))
    dtype = "int32" if node.base == "ReduceSumInteger" else dtype
    return [(dtype, without(shape, axes, keep=keeps))]


@_of("Rfft")
def _transformed(node: Node) -> Sequence[Type]:
    dtype, shape = read(node)
    if not shape:
        raise SpecError("a number has no frequencies")
    size = shape[-1] // 2 + 1 if node.attributes.get("onesided", 1) else shape[-1]
    return [(dtype, (*shape[:-1], size, 2))]


@_of("Irfft")
def _transformed_back(node: Node) -> Sequence[Type]:
    dtype, shape = read(node)
    if len(shape) < 2 or shape[-1] != 2:
        raise SpecError(f"{shape} are no complex numbers")
    size = 2 * (shape[-2] - 1) if node.attributes.get("onesided", 1) else shape[-2]
    return [(dtype, (*shape[:-2], size))]


@_of("GridSample")
def _sampled(node: Node) -> Sequence[Type]:
    (dtype, shape), (_, grid) = read(node), read(node, 1)
    if len(shape) != 4 or len(grid) != 4:
        raise SpecError(f"a grid {grid} does not fit an input {shape}")
    return [(dtype, (*shape[:2], *grid[1:3]))]


# -- products


@_of("FusedMatMul FusedMatMulActivation TransposeMatMul")
def _fused_product(node: Node) -> Sequence[Type]:
    a, b = (_turned(node, at, side) for at, side in enumerate("AB"))
    return [(read(node).dtype, product(a, b))]


def _turned(node: Node, at: int, side: str) -> Shape:
    """Return what is multiplied, `(…, rows, columns)`, however it is stored."""
    shape = read(node, at).shape
    if len(shape) > 2 and node.attributes.get(f"transBatch{side}"):
        shape = (*shape[1:-1], shape[0], shape[-1])
    if len(shape) > 1 and node.attributes.get(f"trans{side}"):
        shape = (*shape[:-2], shape[-1], shape[-2])
    return shape


@_of("FusedGemm GemmFloat8")
def _fused_gemm(node: Node) -> Sequence[Type]:
    dtype = read(node).dtype
    if node.base == "GemmFloat8":
        dtype = DTYPES.get(node.attributes.get("dtype", 1), "")
    return [(dtype, gemm(node, read(node).shape, read(node, 1).shape))]


@_of("QGemm")
def _quantized_gemm(node: Node) -> Sequence[Type]:
    dtype = read(node, 8).dtype if has(node, 8) else "float32"
    return [(dtype, gemm(node, read(node).shape, read(node, 3).shape))]


@_of("GemmFastGelu MatMulInteger16 MatMulIntegerToFloat DynamicQuantizeMatMul")
def _plain_product(node: Node) -> Sequence[Type]:
    dtype = read(node).dtype
    if node.base == "MatMulInteger16":
        dtype = "int32"
    elif node.base == "MatMulIntegerToFloat":
        dtype = read(node, 2).dtype
    return [(dtype, product(read(node).shape, read(node, 1).shape))]


@_of("QOrderedMatMul")
def _ordered_product(node: Node) -> Sequence[Type]:
    return [(read(node).dtype, product(read(node).shape, read(node, 2).shape))]


@_of("MatMulFpQ4")
def _packed_product(node: Node) -> Sequence[Type]:
    return [(read(node).dtype, product(read(node).shape, numbers(node, 2) or ()))]


@_of("MatMulNBits MatMulBnb4 MatMulPacked MatMulNBitsMlp")
def _packed(node: Node) -> Sequence[Type]:
    first, wide = _of_columns(node), node.attributes.get("N", 0)
    return [(first.dtype, (*first.shape[:-1], wide)), first]


@_of("MatMulNBitsQkv")
def _packed_projections(node: Node) -> Sequence[Type]:
    first = _of_columns(node)
    wide = [node.attributes.get(name, 0) for name in ("Nq", "Nkv", "Nkv")]
    return [*((first.dtype, (*first.shape[:-1], one)) for one in wide), first]


def _of_columns(node: Node) -> Read:
    first, wanted = read(node), node.attributes.get("K", 0)
    if not first.shape or first.shape[-1] != wanted:
        raise SpecError(f"K={wanted}, but its input is {first.shape}")
    return first


@_of("CDist")
def _distances(node: Node) -> Sequence[Type]:
    (dtype, a), (_, b) = read(node), read(node, 1)
    if len(a) != 2 or len(b) != 2 or a[1] != b[1]:
        raise SpecError(f"{a} and {b} have no distances")
    return [(dtype, (a[0], b[0]))]
