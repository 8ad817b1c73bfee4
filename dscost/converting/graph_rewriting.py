"""A model of ONNX → the same with depthwise-separable convolutions; all else is as it was.

A `Conv` becomes two: the first has its strides, pads and dilations, the second its bias and its
output. What nobody reads any more is taken out, new weights are stored as the old ones were.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from onnx import (
    AttributeProto,
    ModelProto,
    NodeProto,
    TensorProto,
    helper,
    numpy_helper,
)

from dscost.converting.decomposing import Factors
from dscost.converting.graph_weights import names_read
from dscost.converting.sites import Key, Site
from dscost.graphs.checking import graphs_in

STAGES = ("depthwise", "pointwise")
INITIALIZERS_ARE_INPUTS = 4
"""Before this version of the format every initializer is listed as an input too."""


class Stage(NamedTuple):
    """The name of a stage's weights, and the weights."""

    name: str
    tensor: TensorProto


def rewritten(
    model: ModelProto, sites: Sequence[Site], factors: Mapping[Key, Factors]
) -> ModelProto:
    """Return a copy of a model with two convolutions for each of some.

    Args:
        model: Left as it is.
        sites: Those that are converted; they have a rank.
        factors: Their new weights.
    """
    copy = ModelProto()
    copy.CopyFrom(model)
    return _Rewriting(copy, sites, factors).done()


class _Rewriting:
    def __init__(
        self, copy: ModelProto, sites: Sequence[Site], factors: Mapping[Key, Factors]
    ) -> None:
        self._model, self._graph = copy, copy.graph
        self._taken = set(_names(copy))
        self._sites = {site.module.output[0]: site for site in sites}
        self._stages: dict[Key, tuple[Stage, Stage]] = {}
        self._stored: dict[str, list[Stage]] = {}
        for site in sites:
            if site.key not in self._stages:
                stages = self._made(site, factors[site.key])
                self._stages[site.key] = stages
                self._stored.setdefault(site.kernel.stored.name, []).extend(stages)

    def done(self) -> ModelProto:
        """Return the model, with other nodes and weights."""
        graph = self._graph
        nodes: list[NodeProto] = []
        for node in graph.node:
            site = self._sites.get(node.output[0]) if node.output else None
            if site is not None:
                nodes += self._written(node, site)
                continue
            nodes.append(node)
            if node.op_type == "Constant" and node.output[0] in self._stored:
                nodes += [
                    helper.make_node("Constant", [], [name], value=tensor)
                    for name, tensor in self._stored.pop(node.output[0])
                ]
        nodes = [_copied(node) for node in nodes]
        del graph.node[:]
        graph.node.extend(nodes)
        for stages in self._stored.values():  # those of constants are among the nodes
            for name, tensor in stages:
                graph.initializer.append(tensor)
                if self._model.ir_version < INITIALIZERS_ARE_INPUTS:
                    made = helper.make_tensor_value_info(name, tensor.data_type, tensor.dims)
                    graph.input.append(made)
        readers = Counter(_all_read(self._model))
        for name in dict.fromkeys(site.module.input[1] for site in self._sites.values()):
            self._drop(name, readers)
        return self._model

    def _made(self, site: Site, factors: Factors) -> tuple[Stage, Stage]:
        """Return the weights of both stages, in the dtype of the old ones."""
        base, dtype = site.kernel.stored.name, site.kernel.weight.dtype
        arrays = factors.rounded(dtype)[:2]
        names = [self._unique(f"{base}/{stage}") for stage in STAGES]
        tensors = [
            numpy_helper.from_array(np.ascontiguousarray(array), name)
            for name, array in zip(names, arrays, strict=True)
        ]
        first, last = (Stage(*both) for both in zip(names, tensors, strict=True))
        return first, last

    def _written(self, node: NodeProto, site: Site) -> Iterator[NodeProto]:
        """Yield the two nodes in the place of one."""
        conv = site.kernel.conv
        first, last = self._stages[site.key]
        between = self._unique(f"{site.name}/{STAGES[0]}")
        depthwise = _copied(node)
        del depthwise.input[:], depthwise.output[:]
        depthwise.name, pointwise_name = self._node_names(site.name)
        depthwise.input.extend([node.input[0], first.name])
        depthwise.output.append(between)
        _set(depthwise, group=conv.in_channels)
        yield depthwise
        pointwise = _copied(node)
        del pointwise.input[:], pointwise.attribute[:]
        pointwise.name = pointwise_name
        pointwise.input.extend([between, last.name, *node.input[2:3]])
        _set(pointwise, kernel_shape=[1] * len(conv.kernel_size), group=conv.groups)
        yield pointwise

    def _node_names(self, name: str) -> tuple[str, str]:
        first, last = (self._unique(f"{name}/{stage}", of_node=True) for stage in STAGES)
        return first, last

    def _unique(self, name: str, *, of_node: bool = False) -> str:
        """Return a name that nothing has; nodes have names of their own."""
        found, number, kind = name, 2, "node:" if of_node else ""
        while kind + found in self._taken:
            found, number = f"{name}#{number}", number + 1
        self._taken.add(kind + found)
        return found

    def _drop(self, name: str, readers: Counter[str]) -> None:
        """Take out what makes a value, if nobody reads it any more, and what that alone reads."""
        graph = self._graph
        while name and not readers[name]:
            before = ""
            for at, node in enumerate(graph.node):
                if list(node.output) == [name]:
                    before = node.input[0] if node.op_type == "Identity" else ""
                    del graph.node[at]
                    break
            for field in (graph.initializer, graph.input, graph.value_info):
                for at, one in enumerate(field):
                    if one.name == name:
                        del field[at]
                        break
            readers[before] -= 1
            name = before


def _all_read(model: ModelProto) -> Iterator[str]:
    yield from names_read(model.graph)
    yield from (
        name for node in model.graph.node if node.op_type == "Identity" for name in node.input
    )


def _copied(node: NodeProto) -> NodeProto:
    copy = NodeProto()
    copy.CopyFrom(node)
    return copy


def _set(node: NodeProto, **values: int | list[int]) -> None:
    """Give attributes of a node other values."""
    kept = [one for one in node.attribute if one.name not in values]
    new = [helper.make_attribute(name, value) for name, value in values.items()]
    kept = [*map(_attribute_copied, kept), *new]
    del node.attribute[:]
    node.attribute.extend(kept)


def _attribute_copied(attribute: AttributeProto) -> AttributeProto:
    copy = AttributeProto()
    copy.CopyFrom(attribute)
    return copy


def _names(model: ModelProto) -> Iterator[str]:
    """Yield all names of values, and those of nodes behind `node:`."""
    for graph in graphs_in(model.graph):
        for one in (*graph.input, *graph.output, *graph.initializer, *graph.value_info):
            yield one.name
        for node in graph.node:
            yield f"node:{node.name}"
            yield from (*node.input, *node.output)
