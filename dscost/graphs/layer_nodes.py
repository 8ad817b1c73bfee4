"""Layers as data → the nodes that compute them, exactly as torch's modules do."""

from math import prod, sqrt
from typing import Any

from dscost.errors import SpecError
from dscost.graphs.draft import Pen
from dscost.layers.convolution import ConvSpec, Shape
from dscost.layers.others import (
    ActivationSpec,
    BatchNormSpec,
    ConcatSpec,
    DropoutSpec,
    FlattenSpec,
    GlobalPoolSpec,
    JoinSpec,
    LinearSpec,
    PoolSpec,
    ShuffleSpec,
)
from dscost.notation.units import format_shape

GELU_SINCE = 20
"""The first opset with the operator."""
EPSILON = 1e-5
"""Of torch's batch normalisation."""
CHANNELS = 1
"""The axis that they lie on."""


def write(pen: Pen) -> None:
    """Write an operation.

    Raises:
        SpecError: torch has no such padding of such a small input either.
    """
    match pen.operation.spec:
        case ConvSpec() as spec:
            _conv(pen, spec)
        case LinearSpec() as spec:
            _linear(pen, spec)
        case BatchNormSpec() as spec:
            _batch_norm(pen, spec)
        case ActivationSpec() as spec:
            _activation(pen, spec.kind)
        case PoolSpec() as spec:
            _pool(pen, spec)
        case GlobalPoolSpec():
            _adaptive_pool(pen)
        case FlattenSpec():
            pen.node("Flatten", axis=1)
        case DropoutSpec() as spec:
            pen.node("Dropout", [*pen.reads, pen.number("ratio", spec.probability)])
        case JoinSpec() as spec:
            pen.node("Add" if spec.kind == "add" else "Mul")
        case ConcatSpec():
            pen.node("Concat", axis=CHANNELS)
        case ShuffleSpec() as spec:
            _shuffle(pen, spec.groups)


# -- what has weights


def _conv(pen: Pen, spec: ConvSpec) -> None:
    per_group = spec.in_channels // spec.groups
    channels = (spec.out_channels, per_group)
    taps: float = spec.kernel_area
    if spec.transposed:
        channels = (spec.in_channels, spec.out_channels // spec.groups)
        taps = max(1.0, spec.kernel_area / prod(spec.stride))  # of them meet in one position
    deviation = _keeping_scale(per_group * taps, pen.square)
    weights = [pen.weight("weight", (*channels, *spec.kernel_size), deviation)]
    if spec.bias:
        weights.append(pen.weight("bias", (spec.out_channels,), _BIAS))
    before, after = _sides(spec)
    read = pen.reads[0]
    if spec.padding_mode != "zeros" and any((*before, *after)):
        read = _padded(pen, spec.padding_mode, before, after)
        before = after = (0,) * len(before)
    after, more = _more_output(spec, after)
    pen.node(
        "ConvTranspose" if spec.transposed else "Conv",
        [read, *weights],
        kernel_shape=spec.kernel_size,
        strides=spec.stride,
        pads=(*before, *after),
        dilations=spec.dilation,
        group=spec.groups,
        output_padding=more or None,
    )


_BIAS = 0.1
"""Standard deviation of biases, where what they are added to has about 1."""


def _keeping_scale(terms: float, square: float) -> float:
    """Return the standard deviation of weights whose sums have a mean square of 1.

    Behind a ReLU that is `sqrt(2 / terms)`.

    Source:
        He et al. 2015, Delving deep into rectifiers, eq. 10 (arXiv:1502.01852).
    """
    return 1 / sqrt(max(1.0, terms) * square)


def _sides(spec: ConvSpec) -> tuple[Shape, Shape]:
    """Return the padding before and after; of an odd one the larger half is after, as in torch."""
    before = tuple(total // 2 for total in spec.padding_total)
    after = tuple(total - one for total, one in zip(spec.padding_total, before, strict=True))
    return before, after


def _more_output(spec: ConvSpec, after: Shape) -> tuple[Shape, Shape]:
    """Return the padding after, and the output padding, of a transposed convolution.

    ONNX Runtime has none that is as large as the stride, though torch has where there is dilation;
    it is the same as less of the padding.
    """
    more = spec.output_padding
    is_large = any(one >= step for one, step in zip(more, spec.stride, strict=False))
    if not is_large or any(one > own for one, own in zip(more, after, strict=True)):
        return after, more
    return tuple(own - one for own, one in zip(after, more, strict=True)), ()


_PAD_MODES = {"reflect": "reflect", "replicate": "edge"}


def _padded(pen: Pen, mode: str, before: Shape, after: Shape) -> str:
    """Pad with what the input has, and return the result.

    No runtime but a few pads in circles, so that is made of slices.
    """
    most = 0 if mode == "reflect" else 1
    extents = pen.shape[2:]
    for extent, *sides in zip(extents, before, after, strict=True):
        if mode != "replicate" and max(sides) > extent - 1 + most:
            raise SpecError(
                f"{pen.operation.name}: padding_mode '{mode}' cannot pad {format_shape(extents)} "
                f"by {max(sides)}"
            )
    if mode != "circular":
        pads = pen.whole("pads", [0, 0, *before, 0, 0, *after])
        return pen.node("Pad", [pen.reads[0], pads], "pad", mode=_PAD_MODES[mode])
    read = pen.reads[0]
    for at, (extent, first, last) in enumerate(zip(extents, before, after, strict=True)):
        pieces = [read]
        if first:
            pieces.insert(0, _slice(pen, read, f"before_{at}", at + 2, extent - first, extent))
        if last:
            pieces.append(_slice(pen, read, f"after_{at}", at + 2, 0, last))
        if len(pieces) > 1:
            read = pen.node("Concat", pieces, f"pad_{at}", axis=at + 2)
    return read


def _slice(pen: Pen, read: str, part: str, axis: int, start: int, end: int) -> str:
    """Return what lies between two positions of an axis."""
    bounds = [
        pen.whole(f"{part}/{name}", [value])
        for name, value in (("start", start), ("end", end), ("axis", axis))
    ]
    return pen.node("Slice", [read, *bounds], part)


def _linear(pen: Pen, spec: LinearSpec) -> None:
    deviation = _keeping_scale(spec.in_features, pen.square)
    sizes = (spec.out_features, spec.in_features)
    weights = [pen.weight("weight", sizes, deviation)]
    if spec.bias:
        weights.append(pen.weight("bias", (spec.out_features,), _BIAS))
    if len(pen.shape) == 2:
        pen.node("Gemm", [*pen.reads, *weights], transB=1)
        return
    rows = pen.whole("rows/shape", [-1, spec.in_features])
    read = pen.node("Reshape", [*pen.reads, rows], "rows")
    made = pen.node("Gemm", [read, *weights], is_last=False, transB=1)
    shape = pen.whole("shape", pen.operation.output_shape)
    pen.node("Reshape", [made, shape], "unrows", is_last=True)


def _batch_norm(pen: Pen, spec: BatchNormSpec) -> None:
    shape = (spec.channels,)
    weights = [
        pen.weight("weight", shape, _BIAS, around=1.0),
        pen.weight("bias", shape, _BIAS),
        pen.weight("running_mean", shape, _BIAS * sqrt(pen.square)),
        pen.weight("running_var", shape, _BIAS * pen.square, around=pen.square),
    ]
    pen.node("BatchNormalization", [*pen.reads, *weights], epsilon=EPSILON)


# -- activations

_ACTIVATIONS = {
    "relu": "Relu",
    "hard_swish": "HardSwish",
    "sigmoid": "Sigmoid",
    "tanh": "Tanh",
}


def _activation(pen: Pen, kind: str) -> None:
    match kind:
        case "relu6":
            pen.node("Clip", [*pen.reads, pen.number("min", 0), pen.number("max", 6)])
        case "silu":
            gate = pen.node("Sigmoid", part="sigmoid")
            pen.node("Mul", [*pen.reads, gate])
        case "hard_sigmoid":
            pen.node("HardSigmoid", alpha=1 / 6, beta=0.5)
        case "gelu":
            pen.draft.opset = max(pen.draft.opset, GELU_SINCE)
            pen.node("Gelu")
        case "softmax":
            pen.node("Softmax", axis=CHANNELS)
        case _:
            pen.node(_ACTIVATIONS[kind])


# -- pooling


def _pool(pen: Pen, spec: PoolSpec) -> None:
    """Write a pooling; a last window that is cut off is one over more padding, in every version."""
    needed = tuple(
        (out - 1) * step + size - given - padding
        for out, step, size, given, padding in zip(
            pen.operation.output_shape[2:],
            spec.stride,
            spec.kernel_size,
            pen.shape[2:],
            spec.padding,
            strict=True,
        )
    )
    after = tuple(map(max, needed, spec.padding))
    window: dict[str, Any] = {"kernel_shape": spec.kernel_size, "strides": spec.stride}
    if spec.kind == "max":
        pen.node("MaxPool", pads=(*spec.padding, *after), **window)
    elif after == spec.padding:
        pen.node("AveragePool", pads=spec.padding * 2, count_include_pad=1, **window)
    else:
        # zeros of the padding are counted in a mean, what lies beyond them is not
        pads = pen.whole("pads", [0, 0, *spec.padding, 0, 0, *spec.padding])
        read = pen.node("Pad", [*pen.reads, pads], "pad")
        rest = tuple(end - own for end, own in zip(after, spec.padding, strict=True))
        pen.node("AveragePool", [read], pads=(*(0 for _ in rest), *rest), **window)


def _adaptive_pool(pen: Pen) -> None:
    """Write the mean over windows that share the input out, as evenly as can be."""
    extents, sizes = pen.shape[2:], pen.operation.output_shape[2:]
    if prod(sizes) == 1:
        pen.node("GlobalAveragePool")
    elif not any(extent % size for extent, size in zip(extents, sizes, strict=True)):
        window = tuple(extent // size for extent, size in zip(extents, sizes, strict=True))
        pen.node("AveragePool", kernel_shape=window, strides=window)
    else:
        read = _means(pen, pen.reads[0], 0, part="rows")
        _means(pen, read, 1, part="")


def _means(pen: Pen, read: str, at: int, part: str) -> str:
    """Return the means of windows along one axis, each sliced out; windows of others are next."""
    extent, size = pen.shape[at + 2], pen.operation.output_shape[at + 2]
    means = []
    for one in range(size):
        start, end = one * extent // size, -(-(one + 1) * extent // size)
        window = [1, 1]
        window[at] = end - start
        piece = _slice(pen, read, f"window_{at}_{one}", at + 2, start, end)
        means.append(pen.node("AveragePool", [piece], f"mean_{at}_{one}", kernel_shape=window))
    return pen.node("Concat", means, part, axis=at + 2)


def _shuffle(pen: Pen, groups: int) -> None:
    batch, channels, *extents = pen.shape
    parts = pen.whole("groups/shape", [batch, groups, channels // groups, *extents])
    read = pen.node("Reshape", [*pen.reads, parts], "groups")
    order = [0, 2, 1, *range(3, len(extents) + 3)]
    dealt = pen.node("Transpose", [read], is_last=False, perm=order)
    shape = pen.whole("shape", pen.shape)
    pen.node("Reshape", [dealt, shape], "join", is_last=True)
