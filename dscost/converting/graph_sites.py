"""The convolutions of an ONNX file: which may become depthwise-separable, and why others stay."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from onnx import ModelProto, NodeProto

from dscost.analysis.traced_layers import costs_of
from dscost.converting.sites import Site, Where, decompositions_of, wanted_by
from dscost.graphs.convolutions import KINDS
from dscost.graphs.nodes import MAIN, operator_of
from dscost.graphs.stored import Stored, Weights
from dscost.graphs.tensors import DTYPES
from dscost.layers.convolution import ConvSpec, not_within, require
from dscost.layers.variants import (
    MIN_CHANNELS,
    too_few_channels,
    why_not_cheaper,
    why_not_separable,
)
from dscost.reports.figures import Cost, summed
from dscost.traces import Event, Trace

CONV = f"{MAIN}::Conv"
DEFORMED = f"{MAIN}::DeformConv"


class GraphKernel(NamedTuple):
    """What a node convolves with.

    Args:
        conv: The convolution.
        weight: `(N, M/G, Kh, Kw)`, the same array where it is shared.
        stored: Where it is.
    """

    conv: ConvSpec
    weight: np.ndarray
    stored: Stored

    @property
    def dtype(self) -> str:
        """Of its weights."""
        name: str = DTYPES[self.stored.tensor.data_type]
        return name


def survey_graph(
    model: ModelProto,
    traced: Trace,
    nodes: Mapping[str, NodeProto],
    weights: Weights,
    *,
    where: Where = None,
    min_channels: int = MIN_CHANNELS,
) -> tuple[Site, ...]:
    """Return every convolution that runs, in the order in which they do.

    Args:
        model: The model, with its weights.
        traced: What happens in it.
        nodes: Its nodes, by their names in the trace.
        weights: Its stored tensors.
        where: Which of them may be converted, by name and node.
        min_channels: The fewest channels of those.

    Raises:
        InputError: A glob matches no convolution, or weights cannot be read.
    """
    require(not_within("min_channels", min_channels))
    every = (*KINDS, DEFORMED)
    found = {name: node for name, node in nodes.items() if operator_of(node) in every}
    wanted = wanted_by(where, found)
    own = list(model.graph.node)  # a node is the same object as long as somebody holds it
    top = {id(node) for node in own}
    runs: dict[str, list[tuple[Event, Cost]]] = {}
    for event, cost in zip(traced.events, costs_of(traced), strict=True):
        if event.module in found:
            runs.setdefault(event.module, []).append((event, cost))
    sites = []
    for name, node in found.items():
        site = _site(name, node, runs.get(name, []), weights)
        reason = site.reason
        if reason is None and id(node) not in top:
            reason = "it is in a branch, a loop or a function"
        if reason is None and not wanted[name]:
            reason = "where does not ask for it"
        if reason is None and site.conv is not None:
            reason = why_not_cheaper(site.conv) or too_few_channels(site.conv, min_channels)
        # what stays costs what it was counted as, in the bytes in which it is stored
        sites.append(site if reason is None else site._replace(reason=reason, runs=()))
    return tuple(sites)


def _site(name: str, node: NodeProto, runs: list[tuple[Event, Cost]], weights: Weights) -> Site:
    """Return a convolution, and why it stays if that is not for its place or its name."""
    events = tuple(event for event, _ in runs)
    whole = summed(cost for _, cost in runs) if runs else None
    conv = events[0].conv if events else None
    reason = _other(operator_of(node)) or ("it is of unknown cost" if conv is None else None)
    site = Site(name, node, conv, reason, runs=events, calls=len(runs), whole=whole)
    if conv is None or reason is not None:
        return site
    reason, stored = why_not_separable(conv), weights.find(node.input[1])
    if reason is not None:
        return site._replace(reason=reason)
    if isinstance(stored, str):
        return site._replace(reason=stored)
    array = weights.array(stored)
    kernel = GraphKernel(conv, array, stored)
    decompositions = decompositions_of(array, conv.groups)
    return site._replace(applied=kernel, decompositions=decompositions, stored=stored.name)


def _other(operator: str) -> str | None:
    """Return why a convolution of another operator stays; nothing of a plain one."""
    if operator == CONV:
        return None
    if operator == DEFORMED:
        return "it is a deformable convolution"
    kind = KINDS[operator]
    if kind.transposed:
        return "it is a transposed convolution"
    if kind.quantized:
        return "it is quantised"
    return "its channels come last" if kind.channels_last else "it is fused with what follows it"
