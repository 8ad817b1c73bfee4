"""A model of ONNX → the same with depthwise-separable convolutions; all else is as it was.

A `Conv` becomes two: the one with the kernel has its strides, pads and dilations, the one that runs
last its bias and its output. What nobody reads any more is taken out, new weights are stored as the
old ones were.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

from dscost.converting.decomposing import Factors
from dscost.converting.sites import Key, Site
from dscost.graphs.changing import (
    Names,
    copied,
    drop_unread,
    names_alive,
    set_attributes,
    set_nodes,
    store,
)
from dscost.layers.orders import DEPTHWISE_FIRST

DEPTHWISE, POINTWISE = STAGES = ("depthwise", "pointwise")


class Stage(NamedTuple):
    """The name of a stage's weights, and the weights."""

    name: str
    tensor: TensorProto


def _stages_of(site: Site) -> tuple[str, str]:
    """Return the names of both stages as they run."""
    assert site.form is not None
    return STAGES if site.form.order == DEPTHWISE_FIRST else (POINTWISE, DEPTHWISE)


def rewritten(
    model: ModelProto, sites: Sequence[Site], factors: Mapping[Key, Factors]
) -> ModelProto:
    """Return a copy of a model with two convolutions for each of some.

    Args:
        model: Left as it is.
        sites: Those that are converted; they have a form.
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
        self._names = Names(copy)
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
        were_alive = names_alive(graph)
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
        set_nodes(graph, nodes)
        for stages in self._stored.values():  # those of constants are among the nodes
            for _, tensor in stages:
                store(self._model, tensor)
        drop_unread(graph, were_alive)
        return self._model

    def _made(self, site: Site, factors: Factors) -> tuple[Stage, Stage]:
        """Return the weights of both stages, in the dtype of the old ones."""
        base, dtype = site.kernel.stored.name, site.kernel.weight.dtype
        arrays = factors.rounded(dtype).in_order
        names = [self._names.unique(f"{base}/{stage}") for stage in _stages_of(site)]
        tensors = [
            numpy_helper.from_array(np.ascontiguousarray(array), name)
            for name, array in zip(names, arrays, strict=True)
        ]
        first, last = (Stage(*both) for both in zip(names, tensors, strict=True))
        return first, last

    def _written(self, node: NodeProto, site: Site) -> Iterator[NodeProto]:
        """Yield the two nodes in the place of one."""
        first, last = self._stages[site.key]
        stages = _stages_of(site)
        between = self._names.unique(f"{site.name}/{stages[0]}")
        read = [node.input[0], first.name], [between, last.name, *node.input[2:3]]
        written = [between], list(node.output)
        named = [self._names.unique(f"{site.name}/{stage}", of_node=True) for stage in stages]
        for stage, name, inputs, outputs in zip(stages, named, read, written, strict=True):
            one = copied(node)
            del one.input[:], one.output[:]
            one.name = name
            one.input.extend(inputs)
            one.output.extend(outputs)
            _set_stage(one, stage, site)
            yield one


def _set_stage(node: NodeProto, stage: str, site: Site) -> None:
    """Make a copy of a convolution one of its stages: with its window, or 1×1."""
    conv = site.kernel.conv
    if stage == POINTWISE:
        del node.attribute[:]
        set_attributes(node, kernel_shape=[1] * len(conv.kernel_size), group=conv.groups)
        return
    assert site.form is not None
    is_first = site.form.order == DEPTHWISE_FIRST
    set_attributes(node, group=conv.in_channels if is_first else conv.out_channels)
