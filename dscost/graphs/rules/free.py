"""Operators without multiply-accumulates in the sense of the conventions, and their words."""

from dscost.traces.rules import FREE, named


def _free(names: str, *, op: str = "other", domain: str = "ai.onnx") -> None:
    FREE.update(dict.fromkeys(named(domain, names), op))


_free(
    "Relu Sigmoid Tanh Clip LeakyRelu Elu Selu Gelu HardSigmoid HardSwish Softmax LogSoftmax "
    "Softplus PRelu Celu Mish",
    op="activation",
)
_free("Add Sum", op="add")
_free("Mul", op="multiply")
_free("Sub Div Max Min Mean Pow Sqrt Exp Log Erf Neg Abs Reciprocal Floor Ceil", op="elementwise")
_free(
    "BatchNormalization InstanceNormalization LayerNormalization LRN GroupNormalization",
    op="normalization",
)
_free("MaxPool AveragePool LpPool", op="pooling")
_free("GlobalAveragePool GlobalMaxPool GlobalLpPool", op="global_pooling")
_free("Concat", op="concatenation")
_free("Reshape Flatten Squeeze Unsqueeze", op="view")
_free("Identity Dropout", op="identity")
_free("Transpose Pad Slice Split Gather Tile Expand Cast DepthToSpace SpaceToDepth", op="copy")
_free("ReduceMean ReduceSum ReduceMax ReduceMin ReduceL2 ArgMax TopK Resize Where", op="other")

VIEWS = frozenset(named("ai.onnx", "Reshape Flatten Squeeze Unsqueeze Identity Dropout"))
"""Those that move nothing: what they write is what they read, seen otherwise."""
