"""An ONNX model → the same of standard or of depthwise-separable convolutions, to be run.

What `dscost.networks.swaps` finds in the events of a trace is done here to nodes. New weights are
random, of such a size that results stay about as large as they were: they are there for what they
cost, not for what they compute.
"""

from collections.abc import Iterator, Mapping, Sequence
from math import prod, sqrt
from typing import NamedTuple

import numpy as np
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

from dscost.graphs.changing import (
    Names,
    copied,
    drop_unread,
    set_attributes,
    set_nodes,
    store,
)
from dscost.graphs.draft import FLOATS, raw_bytes
from dscost.graphs.nodes import operator_of
from dscost.graphs.replaceable import FUSED, PRODUCTS, Layout, Replaceable, layout_of
from dscost.layers.convolution import ConvSpec, Shape
from dscost.layers.variants import SEPARABLE
from dscost.networks.swaps import Swap
from dscost.traces import Event

BIAS = 0.1
"""Standard deviation of a new bias."""


class Rewritten(NamedTuple):
    """A version of a model.

    Args:
        model: With all weights in it.
        done: The swaps that were written.
        left: Why a layer could not be replaced, for each that stayed as it was, by its name.
    """

    model: ModelProto
    done: Sequence[Swap]
    left: Mapping[str, str]


def rewritten(
    model: ModelProto,
    events: Sequence[Event],
    places: Mapping[str, int],
    swaps: Sequence[Swap],
    variant: str,
    *,
    seed: int = 0,
) -> Rewritten:
    """Return a model with every swap written as `variant`, unless it is so already.

    A convolution becomes two. A pair becomes one convolution, from what its first node reads to
    what its last one writes; what stands between is taken out. What nobody reads then is taken out
    as well. New weights that two swaps share are stored once.

    Args:
        model: With its weights; it is changed.
        events: What happens in it.
        places: Where the nodes of its graph stand, by their names in the trace.
        swaps: What `find_swaps(events)` found.
        variant: `standard` or `depthwise_separable`.
        seed: Of the new weights.
    """
    due = [swap for swap in swaps if swap.is_pair != (variant == SEPARABLE)]
    reading = Replaceable(model, events, places)
    left: dict[str, str] = {}
    while refused := reading.refused(due):  # what stays may read what others would take out
        left |= {events[at].module: why for at, why in refused.items()}
        due = [swap for swap in due if swap.positions[0] not in refused]
    if due:
        _Writing(reading, variant, seed).write(due)
    return Rewritten(model, due, left)


# -- replacing it


class _Writing:
    """What writes swaps into a model."""

    def __init__(self, reading: Replaceable, variant: str, seed: int) -> None:
        self._reading, self._variant = reading, variant
        self._model = reading.model
        self._names = Names(self._model)
        self._random = np.random.default_rng(seed)
        self._stored: dict[tuple[object, ...], tuple[str, ...]] = {}

    def write(self, due: Sequence[Swap]) -> None:
        """Write swaps that can be done together."""
        reading, graph = self._reading, self._model.graph
        new: dict[int, list[NodeProto]] = {}
        for swap in due:
            places = [reading.place(at) for at in swap.positions]
            new |= {place: [] for place in places if place is not None}
            new[max(place for place in places if place is not None)] = self._written(swap)
        nodes = [one for at, node in enumerate(reading.nodes) for one in new.get(at, [node])]
        set_nodes(graph, nodes)
        drop_unread(graph)

    def _written(self, swap: Swap) -> list[NodeProto]:
        return self._standard(swap) if swap.is_pair else self._separable(swap)

    def _separable(self, swap: Swap) -> list[NodeProto]:
        """Return two convolutions in the place of one."""
        (at,) = swap.positions
        node, name = self._reading.node(at), self._reading.events[at].module
        (_, depthwise), (_, pointwise) = swap.convs(self._variant)
        gain = self._reading.gain(at, swap.standard.out_channels)
        first, last = self._weights(swap, gain=gain)
        between = self._names.unique(f"{node.output[0]}/depthwise")
        deep = self._conv(node, depthwise, [node.input[0], first], between)
        point = copied(node)
        del point.input[:], point.attribute[:]
        point.attribute.extend(one for one in node.attribute if one.name.startswith("activation"))
        ones = [1] * len(pointwise.kernel_size)
        set_attributes(point, kernel_shape=ones, group=pointwise.groups)
        point.input.extend([between, last, *node.input[2:]])
        for stage, made in (("depthwise", deep), ("pointwise", point)):
            made.name = self._names.unique(f"{name}/{stage}", of_node=True)
        return [deep, point]

    def _standard(self, swap: Swap) -> list[NodeProto]:
        """Return one convolution in the place of a pair, and what lays out its result."""
        reading = self._reading
        first, last = reading.node(swap.positions[0]), reading.node(swap.positions[-1])
        (weight,) = self._weights(swap, gain=self._gain_of(swap))
        inputs = [first.input[0], weight]
        layout = Layout(None, None)
        if operator_of(last) in PRODUCTS:
            found = layout_of(reading.events[swap.positions[-1]], reading.made(swap))
            layout = found or layout
            inputs += [self._bias(swap)] if swap.standard.bias else []
        else:
            inputs += last.input[2:]
        name = reading.events[swap.positions[0]].module
        conv = self._conv(first, swap.standard, inputs, last.output[0])
        if operator_of(last) == FUSED:
            conv.domain, conv.op_type = last.domain, last.op_type
            conv.attribute.extend(o for o in last.attribute if o.name.startswith("activation"))
        conv.name = self._names.unique(f"{name}/standard", of_node=True)
        return [conv, *self._laid_out(conv, layout)]

    def _conv(
        self, node: NodeProto, conv: ConvSpec, inputs: Sequence[str], output: str
    ) -> NodeProto:
        """Return a plain convolution with the strides and pads of a node."""
        made = copied(node)
        made.domain, made.op_type = "", "Conv"
        kept = [one for one in node.attribute if not one.name.startswith("activation")]
        del made.input[:], made.output[:], made.attribute[:]
        made.attribute.extend(kept)
        made.input.extend(inputs)
        made.output.append(output)
        set_attributes(made, kernel_shape=list(conv.kernel_size), group=conv.groups)
        return made

    def _laid_out(self, conv: NodeProto, layout: Layout) -> Iterator[NodeProto]:
        """Yield the nodes that give the result of a convolution the layout of a product's."""
        output, steps = conv.output[0], [*filter(None, (layout.perm, layout.shape))]
        if not steps:
            return
        conv.output[0] = read = self._names.unique(f"{conv.name}/output")
        for part, told in (("Transpose", layout.perm), ("Reshape", layout.shape)):
            if told is None:
                continue
            steps.pop()
            name = f"{conv.name}/{part.lower()}"
            writes = self._names.unique(f"{name}/output") if steps else output
            if part == "Transpose":
                yield helper.make_node(part, [read], [writes], name, perm=told)
            else:
                shape = self._names.unique(f"{name}/shape")
                numbers = np.array(told, np.int64)
                store(self._model, numpy_helper.from_array(numbers, shape))
                yield helper.make_node(part, [read, shape], [writes], name)
            read = writes

    # -- weights

    def _gain_of(self, swap: Swap) -> float:
        """Return the gain of a pair: of its last stage alone if what it reads is normalised."""
        gain, events = self._reading.gain, self._reading.events
        (_, depthwise), (_, pointwise) = swap.pair
        last = gain(swap.positions[-1], pointwise.out_channels)
        if any(events[at].op == "normalization" for at in swap.positions):
            return last
        return last * gain(swap.positions[0], depthwise.out_channels)

    def _weights(self, swap: Swap, *, gain: float) -> tuple[str, ...]:
        """Return the names of the weights of a swap's new convolutions, stored if they are new."""
        convs = [conv for _, conv in swap.convs(self._variant)]
        dtype = self._reading.dtype(swap.positions[0])
        roots = self._roots(swap)
        key = (*roots, *(_weight_shape(conv) for conv in convs), dtype)
        if key not in self._stored:
            names = []
            for at, (stage, conv) in enumerate(swap.convs(self._variant)):
                own = gain if at == len(convs) - 1 else 1.0
                shape = _weight_shape(conv)
                deviation = sqrt(own / prod(shape[1:]))
                names.append(self._drawn(f"{roots[0]}/{stage}", shape, deviation, dtype))
            self._stored[key] = tuple(names)
        return self._stored[key]

    def _roots(self, swap: Swap) -> tuple[str, ...]:
        """Return the names of the weights that a swap's convolutions have so far."""
        ends = dict.fromkeys((swap.positions[0], swap.positions[-1]))
        events, find = self._reading.events, self._reading.weights.root
        return tuple(
            kernel if isinstance(kernel := events[at].kernel, str) else find(names[1])
            for at in ends
            if len(names := self._reading.node(at).input) > 1
        )

    def _bias(self, swap: Swap) -> str:
        """Return the name of a new bias for what stands in the place of a pair."""
        key = ("bias", self._reading.node(swap.positions[-1]).output[0])
        if key not in self._stored:
            name = self._reading.events[swap.positions[0]].module
            dtype = self._reading.dtype(swap.positions[0])
            shape = (swap.standard.out_channels,)
            self._stored[key] = (self._drawn(f"{name}/bias", shape, BIAS, dtype),)
        return self._stored[key][0]

    def _drawn(self, name: str, shape: Shape, deviation: float, dtype: str) -> str:
        """Store random values and return what they are called."""
        unique = self._names.unique(name)
        values = self._random.standard_normal(shape, dtype=np.float32) * np.float32(deviation)
        tensor = TensorProto(name=unique, dims=shape, data_type=FLOATS[dtype])
        tensor.raw_data = raw_bytes(values, dtype)
        store(self._model, tensor)
        return unique


def _weight_shape(conv: ConvSpec) -> Shape:
    """Return `(N, M/G, *K)`."""
    return (conv.out_channels, conv.in_channels // conv.groups, *conv.kernel_size)
