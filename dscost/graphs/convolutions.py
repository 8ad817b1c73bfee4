"""A node that convolves → where its weights are, the `ConvSpec` that it is, and what it writes."""

from collections.abc import Mapping
from functools import lru_cache
from operator import gt
from typing import Any, NamedTuple

from dscost.errors import SpecError
from dscost.graphs.nodes import MAIN, MICROSOFT, Node
from dscost.graphs.values import Shape, Value
from dscost.graphs.weights import is_held
from dscost.graphs.windows import Window, each, pads_of, window_of
from dscost.layers.convolution import ConvSpec
from dscost.notation.units import format_shape

BLOCKED = f"{MICROSOFT}.nchwc"
"""Operators on channels in blocks, which ONNX Runtime writes for the processor that it runs on."""


class Kind(NamedTuple):
    """How a convolution is written as an operator.

    Args:
        weight: Which input its weights are, `(N, M/G, *K)` or `(M, N/G, *K)` of a transposed one.
        bias: Which input its bias is, if it may have one.
        transposed: Whether it is spread over its taps.
        channels_last: Whether its input is `(B, *positions, M)`.
        quantized: Whether it multiplies whole numbers.
    """

    weight: int = 1
    bias: int | None = 2
    transposed: bool = False
    channels_last: bool = False
    quantized: bool = False


KINDS: Mapping[str, Kind] = {
    f"{MAIN}::Conv": Kind(),
    f"{MAIN}::ConvTranspose": Kind(transposed=True),
    f"{MAIN}::ConvInteger": Kind(bias=None, quantized=True),
    f"{MAIN}::QLinearConv": Kind(weight=3, bias=8, quantized=True),
    f"{MICROSOFT}::FusedConv": Kind(),
    f"{MICROSOFT}::NhwcConv": Kind(channels_last=True),
    f"{MICROSOFT}::NhwcFusedConv": Kind(channels_last=True),
    f"{MICROSOFT}::QLinearConv": Kind(weight=3, bias=8, quantized=True),
    f"{MICROSOFT}::ConvTransposeWithDynamicPads": Kind(bias=3, transposed=True),
    f"{BLOCKED}::Conv": Kind(),
}
"""Convolutions by operator."""

WITHOUT_VERSIONS = frozenset((f"{MAIN}::ConvInteger",))
"""Those whose sums stay whole numbers: between two stages they would have to be scaled."""


class Convolution(NamedTuple):
    """A convolution in a graph.

    Args:
        kind: How it is written.
        window: What slides over its input.
        channels: M of its input.
        out_channels: N of its output.
        groups: G.
        extents: The positions of its input.
        positions: Those of its output.
        batch: B.
        has_bias: Whether it has one.
    """

    kind: Kind
    window: Window
    channels: int
    out_channels: int
    groups: int
    extents: Shape
    positions: Shape
    batch: int
    has_bias: bool

    @property
    def output_shape(self) -> Shape:
        """What it writes, its channels where those of its input are."""
        if self.kind.channels_last:
            return (self.batch, *self.positions, self.out_channels)
        return (self.batch, self.out_channels, *self.positions)

    def spec(self) -> tuple[ConvSpec, Shape]:
        """Return the layer that it is, and the input that a symmetric padding is added to.

        Where its own padding is not symmetric, the input is larger by what is padded on one side
        more.

        Raises:
            SpecError: There is no such layer.
        """
        return _spec_of(self)


@lru_cache(maxsize=1024)
def _spec_of(convolution: Convolution) -> tuple[ConvSpec, Shape]:
    """Return the layer of a convolution; networks have few that differ."""
    window = convolution.window
    total = [sum(pair) for pair in zip(window.before, window.behind, strict=True)]
    padding: Any = tuple(one // 2 for one in total)
    extents = tuple(size + one % 2 for size, one in zip(convolution.extents, total, strict=True))
    is_same = tuple(total) == window.reach and set(window.stride) == {1}
    if is_same and extents != convolution.extents:
        padding, extents = "same", convolution.extents
    spec = ConvSpec(
        in_channels=convolution.channels,
        out_channels=convolution.out_channels,
        kernel_size=window.kernel,
        stride=window.stride,
        padding=padding,
        dilation=window.dilation,
        groups=convolution.groups,
        bias=convolution.has_bias,
    )
    seen = (convolution.batch, convolution.channels, *extents)
    spec.output_shape(seen)  # within the bounds of what a layer may be
    return spec, seen


def convolution_of(node: Node) -> Convolution | None:
    """Return the convolution that a node is, `None` if it is none.

    Raises:
        SpecError: Its weights do not fit its input.
    """
    kind = KINDS.get(node.operator)
    if kind is None:
        return None
    if node.attributes.get("channels_last"):
        kind = kind._replace(channels_last=True)
    shape, weight = node.shape(0), node.shape(kind.weight)
    if shape is None or weight is None:
        raise SpecError("it has no weights")
    kernel = weight[2:]
    if len(shape) != len(weight) or not kernel:
        raise SpecError(f"an input {shape} does not fit weights {weight}")
    told = tuple(node.attributes.get("kernel_shape") or kernel)
    if told != kernel:
        raise SpecError(f"kernel_shape is {told}, but its weights are {weight}")
    channels = shape[-1] if kind.channels_last else shape[1]
    extents = shape[1:-1] if kind.channels_last else shape[2:]
    groups: int = node.attributes.get("group", 1)
    wanted, out_channels = _channels(weight, groups, transposed=kind.transposed)
    if channels != wanted:
        last = " (they come first)" if shape[-1] == wanted else ""
        found = format_shape(shape)
        raise SpecError(f"in_channels={wanted}, but its input {found} has {channels}{last}")
    window = window_of(node.attributes, extents, kernel)
    if kind.transposed:
        window, positions = _spread(node, window, extents)
    else:
        positions = window.positions(extents)
    has_bias = kind.bias is not None and is_held(node, kind.bias)
    return Convolution(
        kind, window, channels, out_channels, groups, extents, positions, shape[0], has_bias
    )


def _channels(weight: Shape, groups: int, *, transposed: bool) -> tuple[int, int]:
    """Return M and N."""
    if groups < 1 or weight[0] % groups:
        raise SpecError(f"groups={groups} does not divide the weights {weight}")
    if transposed:
        return weight[0], weight[1] * groups
    return weight[1] * groups, weight[0]


def _spread(node: Node, window: Window, extents: Shape) -> tuple[Window, Shape]:
    """Return the window of a transposed convolution and how many positions it writes.

    Raises:
        SpecError: Its padding takes all of them.
    """
    read, dims = node.attributes, len(extents)
    window = window._replace(before=(0,) * dims, behind=(0,) * dims)
    more = each(read, "output_padding", dims, 0)
    way = read.get("auto_pad") or "NOTSET"
    whole = [
        (size - 1) * step + reach + 1 + end
        for size, step, reach, end in zip(extents, window.stride, window.reach, more, strict=True)
    ]
    told = tuple(read.get("output_shape") or ())
    if told:
        positions = told[-dims:]
        # one step further, the window of an input position more would fit in
        most = [
            n * step + k for n, step, k in zip(extents, window.stride, window.reach, strict=True)
        ]
        if len(positions) != dims or any(map(gt, positions, most)):
            raise SpecError(f"output_shape is {positions}, but it writes at most {tuple(most)}")
    elif way in ("SAME_UPPER", "SAME_LOWER"):
        wanted = [size * step for size, step in zip(extents, window.stride, strict=True)]
        positions = tuple(map(min, wanted, whole))  # a padding takes away, and adds nothing
    else:
        pads = pads_of(read, dims) if way == "NOTSET" else (0,) * 2 * dims
        positions = tuple(size - pads[at] - pads[at + dims] for at, size in enumerate(whole))
        window = window._replace(before=pads[:dims], behind=pads[dims:])
    if len(positions) != dims or min(positions) < 1 or min(more) < 0:
        raise SpecError(f"it would write {positions} positions")
    return window, positions


def layer_of(node: Node) -> tuple[ConvSpec, Shape] | tuple[None, None]:
    """Return the layer that a node is and the input that it sees.

    As of torch, a transposed one is none.
    """
    kind = KINDS.get(node.operator)
    if kind is None or kind.transposed:
        return None, None
    try:
        found = convolution_of(node)
        return (None, None) if found is None else found.spec()
    except SpecError:
        return None, None


def is_channels_last(node: Node) -> bool:
    """Whether a node is a convolution whose channels are the last axis."""
    kind = KINDS.get(node.operator)
    return kind is not None and (kind.channels_last or bool(node.attributes.get("channels_last")))


def multiplied_by(node: Node) -> tuple[Value | None, ...]:
    """Return the weights and the bias of a convolution; nothing of other nodes."""
    kind = KINDS.get(node.operator)
    if kind is None:
        return ()
    return node.input(kind.weight), None if kind.bias is None else node.input(kind.bias)


def stored_bits(node: Node) -> tuple[int, int] | None:
    """Return the bits of a weight and of a bias of a convolution as they are stored.

    `None` of other nodes, and where nobody knows. A bias that is not there takes those of one that
    would be: where weights are whole numbers, four bytes.
    """
    weight, bias = (*multiplied_by(node), None, None)[:2]
    bits = None if weight is None else _bits(weight)
    if bits is None:
        return None
    of_bias = None if bias is None else _bits(bias)
    return bits, of_bias or max(bits, 32 if bits < 16 else 0)


def _bits(value: Value) -> int | None:
    """Return the bits of an element of what is stored, scales and the like left out."""
    numbers = [one for one in value.stored if one.numel]
    elements = sum(one.numel for one in numbers)
    return 8 * sum(one.nbytes for one in numbers) // elements if elements else None
