"""The converted layers of an ONNX model: their stages as numbers, what they see. No torch."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from onnx import ModelProto, NodeProto, TensorProto, numpy_helper

from dscost.converting.decomposing import as_array
from dscost.converting.recovering.fitting import Stages, patches_at
from dscost.graphs.nodes import attributes_of
from dscost.graphs.stored import Stored, Weights
from dscost.graphs.windows import window_of
from dscost.layers.orders import DEPTHWISE_FIRST, Order


class GraphLayer(NamedTuple):
    """A layer that was converted, as it is named in both models.

    Args:
        name: Of the node that was converted.
        output: The tensor that it wrote, and that the last of the two stages writes.
        order: Which of them comes first.
    """

    name: str
    output: str
    order: Order


class Layer(NamedTuple):
    """A converted layer.

    Args:
        named: How it is called.
        pointwise: The node that mixes channels.
        depthwise: The one that filters them.
        stages: The weights of both.
        mixing: Where the weights of the first are stored.
        bias: Where its bias is stored, if it has one of its own.
        constant: The bias, be it its own or not, in float64.
        kernel: Taps of the stage that filters.
        is_known: Whether the bias, if there is one, is stored and not computed.
    """

    named: GraphLayer
    pointwise: NodeProto
    depthwise: NodeProto
    stages: Stages
    mixing: Stored
    bias: Stored | None
    constant: np.ndarray | None
    kernel: tuple[int, ...]
    is_known: bool = True

    @property
    def name(self) -> str:
        """Of the node that was converted."""
        return self.named.name

    @property
    def seen(self) -> str:
        """The tensor that the pointwise stage reads."""
        seen: str = self.pointwise.input[0]
        return seen

    def features(self, x: np.ndarray, at: np.ndarray) -> np.ndarray:
        """Return what the pointwise stage can make the output of, `(features, positions)`.

        Args:
            x: An image that it reads, `(C, H, W)`.
            at: Positions of the layer's output.
        """
        if self.stages.is_depthwise_first:
            return chosen(x, at)
        window = window_of(attributes_of(self.depthwise), x.shape[1:], self.kernel)
        sides = [(0, 0), *zip(window.before, window.behind, strict=True)]
        padded = np.pad(x, sides).astype(np.float64)
        return patches_at(padded, self.kernel, window.stride, window.dilation, at)

    def rounded(self, values: np.ndarray) -> np.ndarray:
        """Return numbers as its weights hold them."""
        dtype = numpy_helper.to_array(self.mixing.tensor).dtype
        return values.astype(dtype).astype(np.float64)

    def take(self, mixing: np.ndarray, shift: np.ndarray) -> None:
        """Have other weights, and a bias that is shifted."""
        put(self.mixing.tensor, mixing)
        if self.bias is not None and self.constant is not None and shift.any():
            put(self.bias.tensor, self.constant + shift)


def put(tensor: TensorProto, values: np.ndarray) -> None:
    """Store other numbers in a tensor, of its shape and dtype."""
    dtype = numpy_helper.to_array(tensor).dtype
    made = np.ascontiguousarray(values.astype(dtype).reshape(tuple(tensor.dims)))
    tensor.CopyFrom(numpy_helper.from_array(made, tensor.name))


def chosen(image: np.ndarray, at: np.ndarray) -> np.ndarray:
    """Return a few positions of an image `(C, H, W)` as `(C, positions)`, in float64."""
    return image.reshape(len(image), -1)[:, at].astype(np.float64)


def layers_in(model: ModelProto, named: Sequence[GraphLayer]) -> list[Layer]:
    """Return converted layers of a model, in the order in which they run."""
    stored = Weights(model)
    makers = {name: node for node in model.graph.node for name in node.output if name}
    order = {id(node): at for at, node in enumerate(model.graph.node)}
    found = []
    for one in named:
        last = makers[one.output]
        first = makers[last.input[0]]
        found.append((order[id(first)], _layer(one, first, last, stored)))
    return [layer for _, layer in sorted(found, key=lambda pair: pair[0])]


def _layer(named: GraphLayer, first: NodeProto, last: NodeProto, stored: Weights) -> Layer:
    is_depthwise_first = named.order == DEPTHWISE_FIRST
    pointwise, depthwise = (last, first) if is_depthwise_first else (first, last)
    mixing, filters = (stored.find(one.input[1]) for one in (pointwise, depthwise))
    assert isinstance(mixing, Stored)
    assert isinstance(filters, Stored)
    kernel = as_array(stored.array(filters))
    stages = Stages(
        filters=kernel.reshape(-1, int(np.prod(kernel.shape[2:]))),
        mixing=as_array(stored.array(mixing)).reshape(mixing.tensor.dims[0], -1),
        groups=attributes_of(pointwise).get("group", 1),
        outputs=(mixing if is_depthwise_first else filters).tensor.dims[0],
        is_depthwise_first=is_depthwise_first,
    )
    layer = Layer(named, pointwise, depthwise, stages, mixing, None, None, kernel.shape[2:])
    name = last.input[2] if len(last.input) > 2 else ""
    if not name:
        return layer
    bias = stored.find(name)
    if isinstance(bias, str):
        return layer._replace(is_known=False)
    is_own = stored.readers[bias.name] == 1
    constant = as_array(stored.array(bias)).reshape(-1)
    return layer._replace(bias=bias if is_own else None, constant=constant)


def by_weights(layers: Sequence[Layer]) -> Mapping[str, list[Layer]]:
    """Return layers by where their pointwise weights are stored."""
    found: dict[str, list[Layer]] = {}
    for layer in layers:
        found.setdefault(layer.mixing.name, []).append(layer)
    return found
