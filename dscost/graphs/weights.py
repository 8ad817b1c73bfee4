"""Which of what is stored in a file are parameters of the network, and which of those a node reads.

A parameter is what is stored and read as weights. It stays that, of the size that is stored, on its
way through nodes that compute with nothing else: transposed, cast, or made of whole numbers and
scales. What is no parameter: sizes, axes, positions and the like, which are whole numbers; single
numbers that something is multiplied by or clipped to; running statistics, first states and masks,
which torch calls buffers. The scales and zero points of quantised weights have bytes, and count as
no parameters.
"""

from collections.abc import Iterator

from dscost.graphs.nodes import MAIN, MICROSOFT, Node
from dscost.graphs.values import Value
from dscost.traces import Parameter

WEIGHT, TABLE, SCALE, BUFFER, SETTING = "weight", "table", "scale", "buffer", "setting"
"""What an operator takes one of its inputs for, where its numbers alone do not tell. A table is one
of weights unless its numbers are such as sizes are. A setting, such as a size or an axis, is no
tensor in torch, and not counted as read."""

_TAKEN: dict[str, dict[int, str]] = {}


def _takes(
    names: str,
    weights: str = "",
    *,
    tables: str = "",
    scales: str = "",
    buffers: str = "",
    settings: str = "",
    domain: str = MAIN,
) -> None:
    """Say of operators at which places of their inputs stands what."""
    places = {WEIGHT: weights, TABLE: tables, SCALE: scales, BUFFER: buffers, SETTING: settings}
    taken = {int(at): kind for kind, text in places.items() for at in text.split()}
    _TAKEN.update((f"{domain}::{name}", taken) for name in names.split())


_takes("Conv ConvTranspose Gemm LayerNormalization GroupNormalization", "1 2")
_takes("InstanceNormalization", "1 2")
_takes("BatchNormalization", "1 2", buffers="3 4")
_takes("RMSNormalization SimplifiedLayerNormalization PRelu", "1")
_takes("DeformConv", "1 3")
_takes("LSTM", "1 2 3 7", buffers="4 5 6")
_takes("GRU RNN", "1 2 3", buffers="4 5")
_takes("ConvInteger", "1", scales="2 3")
_takes("MatMulInteger", "0 1", scales="2 3")
_takes("QLinearConv", "3 8", scales="1 2 4 5 6 7")
_takes("QLinearMatMul", "0 3", scales="1 2 4 5 6 7")
_takes("DequantizeLinear", "0", scales="1 2")
_takes("QuantizeLinear", scales="1 2")
_takes("Attention", buffers="3")
_takes("RotaryEmbedding STFT", buffers="1 2 3")
_takes("Gather", tables="0")
_takes("ScatterND ScatterElements", buffers="1 2")
_takes(
    """
Clip OneHot Pad Range Resize Upsample Reshape Expand Tile Slice Squeeze Unsqueeze Split TopK CumSum
CenterCropPad NonMaxSuppression ReduceMean ReduceSum ReduceMax ReduceMin ReduceProd ReduceL1
ReduceL2 ReduceSumSquare ReduceLogSum ReduceLogSumExp Dropout Col2Im DFT Trilu MaxUnpool
""",
    settings="1 2 3 4",
)

_takes("Conv", "1 2", domain=f"{MICROSOFT}.nchwc")
_takes("FusedConv NhwcConv NhwcFusedConv FusedGemm GroupNorm", "1 2", domain=MICROSOFT)
_takes("SkipGroupNorm", "1 2 4", domain=MICROSOFT)
_takes("ConvTransposeWithDynamicPads", "1 3", settings="2", domain=MICROSOFT)
_takes("Attention GemmFastGelu", "1 2", domain=MICROSOFT)
_takes("MultiHeadAttention", "3", domain=MICROSOFT)
_takes("GroupQueryAttention", buffers="7 8", domain=MICROSOFT)
_takes("BiasGelu FastGelu BiasAdd BiasSplitGelu BiasDropout", "1", domain=MICROSOFT)
_takes("BitmaskBiasDropout GatedRMSNorm", "1", domain=MICROSOFT)
_takes("SkipSimplifiedLayerNormalization", "2 3", domain=MICROSOFT)
_takes("SkipLayerNormalization", "2 3 4", domain=MICROSOFT)
_takes("GatedAdd", "3", domain=MICROSOFT)
_takes("MoE", "2 3 4 5 6 7", domain=MICROSOFT)
_takes("EmbedLayerNormalization", "2 3 4 5 6", domain=MICROSOFT)
_takes(
    "QEmbedLayerNormalization", "2 3 4 5 6", scales="8 9 10 11 12 13 14 15 16 17", domain=MICROSOFT
)
_takes("TorchEmbedding", "0", domain=MICROSOFT)
_takes("RotaryEmbedding MRotaryEmbedding", buffers="2 3", domain=MICROSOFT)
_takes("QAttention", "1 2", scales="3 4 6 7", domain=MICROSOFT)
_takes("QLinearConv", "3 8", scales="1 2 4 5 6 7", domain=MICROSOFT)
_takes("QLinearAdd QLinearMul", "0 3", scales="1 2 4 5 6 7", domain=MICROSOFT)
_takes("QLinearWhere", "1 4", scales="2 3 5 6 7 8", domain=MICROSOFT)
_takes("MulInteger", "0 2", scales="1 3", domain=MICROSOFT)
_takes("QGemm", "3 6", scales="1 2 4 5 7 8", domain=MICROSOFT)
_takes("GemmFloat8", "0 1 2", scales="3 4 5", domain=MICROSOFT)
_takes("MatMulInteger16", "0 1", domain=MICROSOFT)
_takes("DynamicQuantizeMatMul", "1 4", scales="2 3", domain=MICROSOFT)
_takes("MatMulIntegerToFloat", "0 1 6", scales="2 3 4 5", domain=MICROSOFT)
_takes("QOrderedMatMul", "0 2 5 6", scales="1 3 4 7", domain=MICROSOFT)
_takes("QOrderedLayerNormalization", "2 3", scales="1 4", domain=MICROSOFT)
_takes("QOrderedGelu", scales="1 2", domain=MICROSOFT)
_takes("DynamicQuantizeLSTM", "1 2 3 7", scales="8 9 10 11", buffers="4 5 6", domain=MICROSOFT)
_takes("MatMulNBits MatMulBnb4", "1 5", scales="2 3", buffers="4", domain=MICROSOFT)
_takes("MatMulPacked", "1", scales="2", domain=MICROSOFT)
_takes("MatMulFpQ4", "1", settings="2", domain=MICROSOFT)
_takes("MatMulNBitsMlp", "2 3 5 6 8", scales="4 7", domain=MICROSOFT)
_takes("MatMulNBitsQkv", "2 3 5 6 8 9 11", scales="4 7 10", domain=MICROSOFT)
_takes("GatherBlockQuantized", "0", scales="2 3", domain=MICROSOFT)
_takes("QuantizeLinear", scales="1 2", domain=MICROSOFT)
_takes("DequantizeLinear", "0", scales="1 2", domain=MICROSOFT)
_takes("QuantizeWithOrder", scales="1", domain=MICROSOFT)
_takes("DequantizeWithOrder", "0", scales="1", domain=MICROSOFT)
_takes("DequantizeBFP", "0", settings="1 2", domain=MICROSOFT)

_MOVING = frozenset(
    f"{MAIN}::{name}"
    for name in (
        "Identity Transpose Reshape Flatten Squeeze Unsqueeze Cast CastLike Slice Gather Split "
        "Concat Expand Dropout"
    ).split()
)
"""What makes of small whole numbers no more than the same numbers elsewhere."""

_SMALL = ("int16", "int8", "uint8", "int4", "uint4", "int2", "uint2")
"""Whole numbers that may be weights."""


def weights_read(node: Node) -> list[Parameter]:
    """Return what a node reads as its weights, each once; scales with a size and no number."""
    found: dict[str, Parameter] = {}
    for at, value in enumerate(node.inputs):
        if value is None or not value.is_constant:
            continue
        for one in _counting(node, at, value):
            found.setdefault(one.name, one)
    return list(found.values())


def is_held(node: Node, at: int) -> bool:
    """Whether an input of a node is there: computed, or parameters and no zeros made on the way."""
    value = node.input(at)
    return value is not None and (not value.is_constant or any(_counting(node, at, value)))


def constant_bytes(node: Node) -> int:
    """Return the bytes of what a node reads of constants, each once and as it is stored.

    What was made larger on its way is read as it was; of what was cut, the part that is left.
    """
    sizes: dict[object, int] = {}
    for at, value in enumerate(node.inputs):
        if value is None or not value.is_constant or _taken(node, at) == SETTING:
            continue
        if value.elements == 1 and not any(_counting(node, at, value)):  # as `x / 2` has it
            continue
        stored = sum(one.nbytes for one in value.stored)
        key = tuple(one.name for one in value.stored) or id(value)
        sizes[key] = min(stored, value.nbytes) if stored else value.nbytes
    return sum(sizes.values())


def stored_in(node: Node) -> tuple[Parameter, ...]:
    """Return of which parameters the result of a node is made that reads nothing but constants."""
    found: dict[str, Parameter] = {}
    for at, value in enumerate(node.inputs):
        if value is None or not value.stored:
            continue
        moves = node.operator in _MOVING and (at == 0 or node.base == "Concat")
        if moves and not (value.is_floating or value.dtype in _SMALL):
            continue
        for one in value.stored if moves else _counting(node, at, value):
            found.setdefault(one.name, one)
    return tuple(found.values())


def _counting(node: Node, at: int, value: Value) -> Iterator[Parameter]:
    """Yield of what an input is made, as far as it is a parameter or a scale."""
    taken = _taken(node, at)
    if taken in (BUFFER, SETTING):
        return
    if taken == TABLE and value.dtype in _SMALL and len(value.shape or ()) > 1:
        taken = WEIGHT
    if taken == WEIGHT and not value.stored and not value.name and node.proto.input[at]:
        # made of sizes alone, as files without their weights have it
        yield Parameter(node.proto.input[at], value.elements, value.nbytes)
    for one in value.stored:
        if taken == SCALE:
            yield one._replace(numel=0)
        elif taken == WEIGHT:
            if one.numel != 1 or value.elements == 1:  # one number for all is none of them
                yield _unpacked(node, one)
        elif value.is_floating and one.numel != 1:
            yield one


def _taken(node: Node, at: int) -> str | None:
    return _TAKEN.get(node.operator, {}).get(at)


def _unpacked(node: Node, stored: Parameter) -> Parameter:
    """Return weights of which several lie in one byte by their own number."""
    read = node.attributes
    if node.base in ("MatMulNBits", "MatMulBnb4", "MatMulPacked") and stored.name == _name_at(
        node, 1
    ):
        return stored._replace(numel=read.get("N", 0) * read.get("K", 0))
    if node.base in _SIZED and stored.name == _name_at(node, _SIZED[node.base][0]):
        sizes = node.input(_SIZED[node.base][1])
        if sizes is None or sizes.content is None:
            return stored
        return stored._replace(numel=int(sizes.content.prod()))
    packed = _PACKED.get(node.base, ())
    if stored.name in [_name_at(node, at) for at in packed] and stored.numel == stored.nbytes:
        return stored._replace(numel=stored.nbytes * 8 // max(1, read.get("bits", 4)))
    return stored


_PACKED = {"MatMulNBitsMlp": (3, 6), "MatMulNBitsQkv": (3, 6, 9), "GatherBlockQuantized": (0,)}
"""Which inputs hold weights of fewer bits than a byte has."""

_SIZED = {"MatMulFpQ4": (1, 2), "DequantizeBFP": (0, 1)}
"""Which input holds blocks of weights and their scales, and which the shape of the weights."""


def _name_at(node: Node, at: int) -> str:
    value = node.input(at)
    return value.stored[0].name if value is not None and value.stored else ""
