"""What becomes of a feature map in ONNX's operators, see `dscost.traces.carrying`.

What is elementwise, a normalisation or a layer is known there by its word in a report. Here stands
what those words do not tell, and along which axes an operator works.
"""

from collections.abc import Callable, Sequence

from dscost.graphs.nodes import MAIN, MICROSOFT, Node
from dscost.networks.axes import Map, reduced, viewed
from dscost.networks.network import Mixing
from dscost.traces import Event
from dscost.traces.carrying import (
    CARRIES,
    MIXES,
    SUMS,
    elementwise,
    pooled,
    product,
    reshaping,
    softmax,
    transposed,
    unchanged,
)
from dscost.traces.rules import named

_REDUCING = named(
    MAIN,
    "ReduceMean ReduceSum ReduceMax ReduceMin ReduceProd ReduceL1 ReduceL2 ReduceSumSquare "
    "ReduceLogSum ReduceLogSumExp",
)
_SOFTMAX = named(MAIN, "Softmax LogSoftmax Hardmax")

# -- along which axes


def axes_of(node: Node) -> tuple[int, ...]:
    """Return along which axes a node works, if it is one of those of which that counts."""
    axes = _AXES.get(node.operator)
    return axes(node) if axes else ()


def _rank(node: Node) -> int:
    return len(node.shape(0) or ())


def _permuted(node: Node) -> tuple[int, ...]:
    """Return for each axis of the result which one of what is read it is."""
    perm: tuple[int, ...] | None = node.attributes.get("perm")
    return tuple(reversed(range(_rank(node)))) if perm is None else perm


def _summed(node: Node) -> tuple[int, ...]:
    given = node.attributes.get("axes")
    if given is None:
        given = _numbers(node, 1)
    if given or node.attributes.get("noop_with_empty_axes"):
        return tuple(given or ())
    return tuple(range(_rank(node)))


def _averaged(node: Node) -> tuple[int, ...]:
    """Return the axes of a mean of whole numbers, whose other inputs are scales."""
    return node.attributes.get("axes") or tuple(range(_rank(node)))


def _normalised(node: Node) -> tuple[int, ...]:
    """Return the axes of a softmax: before opset 13 all that follow one."""
    if node.opset < 13:
        return tuple(range(node.attributes.get("axis", 1) % max(1, _rank(node)), _rank(node)))
    return (node.attributes.get("axis", -1),)


def _padded(node: Node) -> tuple[int, ...]:
    """Return the axes that are padded or cut, all where that is not known."""
    pads = node.attributes.get("pads") or _numbers(node, 1)
    chosen = _numbers(node, 3) if node.input(3) is not None else range(_rank(node))
    if pads is None or chosen is None or len(pads) != 2 * len(chosen):
        return tuple(range(_rank(node)))
    before, after = pads[: len(chosen)], pads[len(chosen) :]
    sides = zip(chosen, before, after, strict=True)
    return tuple(axis for axis, one, other in sides if one or other)


def _turned(node: Node) -> tuple[int, ...]:
    """Return all axes if a slice may run backwards along one, else none."""
    steps = _numbers(node, 4) if node.input(4) is not None else ()
    return () if steps is not None and min(steps, default=1) > 0 else tuple(range(_rank(node)))


def _numbers(node: Node, at: int) -> tuple[int, ...] | None:
    value = node.input(at)
    if value is None or value.content is None:
        return None
    return tuple(int(one) for one in value.content.reshape(-1))


_AXES: dict[str, Callable[[Node], tuple[int, ...]]] = {
    f"{MAIN}::Transpose": _permuted,
    f"{MAIN}::Pad": _padded,
    f"{MAIN}::Slice": _turned,
    **dict.fromkeys(_SOFTMAX, _normalised),
    **dict.fromkeys(_REDUCING, _summed),
    f"{MICROSOFT}::QLinearReduceMean": _averaged,
}

# -- what is carried


def _permuting(event: Event, maps: Sequence[Map], _: str) -> Map | None:
    given = maps[0]
    return viewed(given, event.output_shape, tuple(given.strides[axis] for axis in event.axes))


def _reducing(event: Event, maps: Sequence[Map], _: str) -> Map | None:
    return reduced(maps[0], event.axes, event.output_shape) if event.axes else maps[0]


def _whole(event: Event, maps: Sequence[Map], name: str) -> Map | None:
    """Return the same map where nothing is added to it, cut off or turned round."""
    return None if event.axes else unchanged(event, maps, name)


def _nothing(*_: object) -> None:
    """Return that nothing is known: its word says more than it does."""


SUMS.update(named(MAIN, "Add Sub Sum"))
CARRIES[f"{MAIN}::Transpose"] = _permuting
CARRIES.update(dict.fromkeys(_REDUCING, _reducing))
CARRIES.update(dict.fromkeys(_SOFTMAX, softmax))
CARRIES.update(dict.fromkeys(named(MAIN, "Reshape Flatten Squeeze Unsqueeze"), reshaping))
CARRIES.update(dict.fromkeys(named(MAIN, "Identity Dropout Cast CastLike"), elementwise))
CARRIES.update(dict.fromkeys(named(MAIN, "Expand Tile"), elementwise))
CARRIES.update(dict.fromkeys(named(MAIN, "Pad Slice"), _whole))
CARRIES.update(
    dict.fromkeys(
        named(
            MAIN,
            "GlobalAveragePool GlobalMaxPool GlobalLpPool AveragePool MaxPool LpPool",
        ),
        pooled,
    )
)
CARRIES.update(
    dict.fromkeys(
        (
            *named(MAIN, "RotaryEmbedding SwiGLU DynamicQuantizeLinear MeanVarianceNormalization"),
            *named(MICROSOFT, "RotaryEmbedding MRotaryEmbedding GemmaRotaryEmbedding SwiGLU"),
            *named(MICROSOFT, "BiasSplitGelu BiasSoftmax QLinearSoftmax"),
        ),
        _nothing,
    )
)

# -- what mixes channels


def _matmul(event: Event, given: Map) -> Mixing | None:
    """Return how a product with a matrix of weights mixes, which may stand on either side."""
    computed = (at for at, one in enumerate(event.operands) if type(one) is int)
    at = next((at for at in computed if event.operands[at] in event.sources), None)
    if at is None or len(event.sources) != 1 or len(given.shape) < 2:
        return None
    return product(event, given, -2 if at else -1, bias=False)


def _gemm(event: Event, given: Map) -> Mixing | None:
    """Return how rows, or with `transA` columns, are multiplied by weights."""
    if not event.operands or type(event.operands[0]) is not int or len(event.sources) != 1:
        return None
    return product(event, given, event.axes[0], bias=len(event.operands) > 2)


def _deconvolution(event: Event, given: Map) -> Mixing | None:
    return transposed(event, given, 1)


_AXES[f"{MAIN}::Gemm"] = lambda node: (-2 if node.attributes.get("transA") else -1,)
MIXES[f"{MAIN}::MatMul"] = _matmul
MIXES[f"{MAIN}::Gemm"] = _gemm
MIXES[f"{MAIN}::ConvTranspose"] = _deconvolution
