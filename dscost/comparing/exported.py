"""What an export to ONNX makes of a torch model: nodes of modules, normalisations folded away."""

from collections.abc import Mapping, Sequence, Set
from dataclasses import replace
from typing import Any

from dscost.layers.operations import LAYERS
from dscost.reports.figures import chain_cost
from dscost.reports.records import Layer, Report

ONNX = "onnx"
"""The source of a report of an ONNX file."""


def held_as(report: Report, other: Report) -> Sequence[Layer]:
    """Return the layers of a model as they can be held against those of another.

    Where only the first is an ONNX file, its nodes stand together by the torch module that they
    were exported from, as far as the file tells.
    """
    if report.source != ONNX or other.source == ONNX:
        return report.layers
    together: dict[object, list[Layer]] = {}
    for layer in report.layers:
        key = (layer.name,) if layer.origin is None else layer.origin
        together.setdefault(key, []).append(layer)
    return [_joined(group) for group in together.values()]


def goes_by_modules(report: Report, other: Report) -> bool:
    """Whether `held_as` gives nodes under the names of modules."""
    is_exported = report.source == ONNX != other.source
    return is_exported and any(layer.origin is not None for layer in report.layers)


def _joined(nodes: Sequence[Layer]) -> Layer:
    first = nodes[0]
    if first.origin is None:
        return first
    heaviest = max(nodes, key=lambda node: node.cost.macs)
    convs = {node.conv for node in nodes if node.conv is not None}
    return heaviest._replace(
        name=first.origin,
        conv=convs.pop() if len(convs) == 1 else None,
        input_shape=first.input_shape,
        output_shape=nodes[-1].output_shape,
        cost=chain_cost([node.cost for node in nodes]),
        by_convention={
            name: sum(node.by_convention.get(name, 0) for node in nodes)
            for name in first.by_convention
        },
    )


def essence(layer: Layer) -> tuple[Any, ...]:
    """Return what a layer is in every framework: not its class, nor whether it adds a bias."""
    conv = layer.conv and replace(layer.conv, bias=False)
    return layer.op, conv, layer.output_shape, layer.cost.macs


def is_kept(layer: Layer, other: Layer) -> bool:
    """Whether an export has kept a layer: what it computes, and its weights.

    Of what multiplies nothing the weights tell. A bias may have come, gone, or be one that several
    layers share.
    """
    multiplies = layer.cost.macs or other.cost.macs
    is_same = essence(layer) == essence(other) if multiplies else True
    return is_same and not _counts(layer).isdisjoint(_counts(other))


def _counts(layer: Layer) -> set[int]:
    bias = layer.output_shape[-1] if layer.op == "linear" and layer.output_shape else 0
    if layer.conv:
        bias = layer.conv.out_channels if layer.conv.bias else 0
    return {layer.cost.params, layer.cost.params - bias}


def folded(
    ours: Sequence[Layer], theirs: Sequence[Layer], partner: Mapping[int, int]
) -> tuple[Set[int], Set[int]]:
    """Return normalisations that the other model lacks since the layer before has taken them in.

    By position, of ours and of theirs; `partner` has those of theirs by ours.
    """
    back = {at: our for our, at in partner.items()}
    return _folded(ours, theirs, partner), _folded(theirs, ours, back)


def _folded(
    layers: Sequence[Layer], others: Sequence[Layer], partner: Mapping[int, int]
) -> Set[int]:
    found = set()
    for at, layer in enumerate(layers):
        if layer.op != "normalization" or at in partner or at - 1 not in partner:
            continue
        before, other = layers[at - 1], others[partner[at - 1]]
        if before.op in LAYERS and essence(before) == essence(other):
            found.add(at)
    return found
