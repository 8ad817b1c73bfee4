"""Operators without multiply-accumulates in the sense of the conventions, and their words."""

from dscost.graphs.convolutions import BLOCKED
from dscost.graphs.nodes import MICROSOFT
from dscost.traces.rules import FREE, named


def _free(names: str, *, op: str = "other", domain: str = "ai.onnx") -> None:
    FREE.update(dict.fromkeys(named(domain, names), op))


_free(
    """
Relu Sigmoid Tanh Clip LeakyRelu Elu Selu Gelu HardSigmoid HardSwish Softmax LogSoftmax Softplus
PRelu Celu Mish Swish SwiGLU Softsign Shrink ThresholdedRelu Hardmax
""",
    op="activation",
)
_free("Add Sum", op="add")
_free("Mul", op="multiply")
_free(
    """
Sub Div Max Min Mean Pow Sqrt Exp Log Erf Neg Abs Reciprocal Floor Ceil Round Sign Mod
Acos Acosh Asin Asinh Atan Atanh Cos Cosh Sin Sinh Tan And Or Xor Not BitShift BitwiseAnd
BitwiseNot BitwiseOr BitwiseXor Equal Greater GreaterOrEqual Less LessOrEqual IsInf IsNaN Where
DequantizeLinear QuantizeLinear DynamicQuantizeLinear RotaryEmbedding
""",
    op="elementwise",
)
_free(
    """
BatchNormalization InstanceNormalization LayerNormalization LRN GroupNormalization RMSNormalization
LpNormalization MeanVarianceNormalization
""",
    op="normalization",
)
_free("MaxPool AveragePool LpPool", op="pooling")
_free("GlobalAveragePool GlobalMaxPool GlobalLpPool", op="global_pooling")
_free("Concat", op="concatenation")
_free("Reshape Flatten Squeeze Unsqueeze BitCast", op="view")
_free("Identity Dropout", op="identity")
_free(
    """
Transpose Pad Slice Split Gather GatherElements GatherND Tile Expand Cast CastLike DepthToSpace
SpaceToDepth CenterCropPad ReverseSequence Compress Trilu TensorScatter
""",
    op="copy",
)

# -- what has no word

_free(
    """
ReduceMean ReduceSum ReduceMax ReduceMin ReduceProd ReduceL1 ReduceL2 ReduceSumSquare ReduceLogSum
ReduceLogSumExp ArgMax ArgMin TopK CumSum CumProd Unique NonZero NonMaxSuppression
"""
)
# resampling: what is interpolated has no weights
_free("Resize Upsample GridSample AffineGrid RoiAlign MaxRoiPool MaxUnpool Col2Im")
_free("Scatter ScatterElements ScatterND OneHot")
_free("Shape Size Constant ConstantOfShape EyeLike Range")
_free("RandomNormal RandomNormalLike RandomUniform RandomUniformLike Multinomial Bernoulli")
_free("BlackmanWindow HammingWindow HannWindow MelWeightMatrix")
_free("NegativeLogLikelihoodLoss SoftmaxCrossEntropyLoss")
_free("StringConcat StringNormalizer StringSplit RegexFullMatch TfIdfVectorizer ImageDecoder")
# sequences and what may be missing
_free(
    """
SequenceAt SequenceConstruct SequenceEmpty SequenceErase SequenceInsert SequenceLength
ConcatFromSequence SplitToSequence Optional OptionalGetElement OptionalHasElement
"""
)

# trees compare; the others look up, scale or choose
_free(
    """
ArrayFeatureExtractor Binarizer CastMap CategoryMapper DictVectorizer FeatureVectorizer Imputer
LabelEncoder Normalizer OneHotEncoder Scaler TreeEnsemble TreeEnsembleClassifier
TreeEnsembleRegressor ZipMap
""",
    domain="ai.onnx.ml",
)
_free("Adagrad Adam Momentum", domain="ai.onnx.preview.training")

FOURIER = frozenset(("ai.onnx::DFT", "ai.onnx::STFT", *named(MICROSOFT, "Rfft Irfft")))
"""Fourier transforms: free by convention, see `dscost.traces.rules.FOURIER`."""

FREE.update(dict.fromkeys(FOURIER, "other"))

# -- ONNX Runtime's own


def _microsoft(names: str, *, op: str = "other") -> None:
    _free(names, op=op, domain=MICROSOFT)


_microsoft(
    """
Gelu FastGelu QuickGelu BiasGelu BiasSplitGelu BiasSoftmax ScaledSiLU SwiGLU QLinearLeakyRelu
QLinearSigmoid QLinearSoftmax QOrderedGelu
""",
    op="activation",
)
_microsoft("BiasAdd QLinearAdd", op="add")
_microsoft("QLinearMul MulInteger", op="multiply")
_microsoft(
    """
ComplexMul ComplexMulConj QLinearWhere GatedAdd DequantizeLinear QuantizeLinear DequantizeBFP
QuantizeBFP DequantizeWithOrder QuantizeWithOrder RotaryEmbedding MRotaryEmbedding
GemmaRotaryEmbedding
""",
    op="elementwise",
)
_microsoft(
    """
GroupNorm SkipGroupNorm SkipLayerNormalization SkipSimplifiedLayerNormalization GatedRMSNorm
QOrderedLayerNormalization
""",
    op="normalization",
)
_microsoft(
    "EmbedLayerNormalization QEmbedLayerNormalization TorchEmbedding GatherBlockQuantized",
    op="embedding",
)
_microsoft("GatherND Pad Trilu UnfoldTensor", op="copy")
_microsoft("RemovePadding RestorePadding", op="copy")
_microsoft("NhwcMaxPool MaxpoolWithMask QLinearAveragePool", op="pooling")
_microsoft("QLinearGlobalAveragePool", op="global_pooling")
_microsoft("QLinearConcat", op="concatenation")
_microsoft("ExpandDims", op="view")
_microsoft("BiasDropout BitmaskBiasDropout BitmaskDropout", op="identity")
_microsoft("QLinearReduceMean ReduceSumInteger Unique Range IsAllFinite NGramRepeatBlock")
_microsoft("GridSample CropAndResize MurmurHash3 Tokenizer")

# on channels in blocks
_free("MaxPool AveragePool", op="pooling", domain=BLOCKED)
_free("GlobalAveragePool GlobalMaxPool", op="global_pooling", domain=BLOCKED)
_free("ReorderInput ReorderOutput", op="copy", domain=BLOCKED)
_free("Upsample", domain=BLOCKED)

# normalisations of opsets that ONNX Runtime writes under the plain domain
_free("SimplifiedLayerNormalization", op="normalization")

VIEWS = frozenset(
    (
        *named("ai.onnx", "Reshape Flatten Squeeze Unsqueeze Identity Dropout BitCast"),
        f"{MICROSOFT}::ExpandDims",
    )
)
"""Those that move nothing: what they write is what they read, seen otherwise."""
