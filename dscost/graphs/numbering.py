"""The nodes of a model, each by a number that stays its name whoever runs the model."""

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import onnx
from onnx import ModelProto, NodeProto

from dscost.graphs.nodes import attributes_of, operator_of

_NUMBER = re.compile(r"dscost_(\d+)_node")


class Place(NamedTuple):
    """A node of a file.

    Args:
        name: Its own, or that of what it writes first.
        operator: `domain::type`.
        attributes: Its attributes as plain values.
        around: The operators of the nodes that hold it, the outermost first; `function` is the body
            of one.
    """

    name: str
    operator: str
    attributes: Mapping[str, Any]
    around: tuple[str, ...]

    @property
    def type(self) -> str:
        """Its type without the domain."""
        return self.operator.rpartition("::")[2]


def read_numbered(path: Path) -> tuple[ModelProto, list[Place]]:
    """Return the model of a file that can be read, with the weights in it, and its nodes.

    Each node is named by its place among them, also those inside of others.
    """
    model = onnx.load(path, load_external_data=False)
    places: list[Place] = []
    everything = [(model.graph.node, ())]
    bodies = [(one.node, ("function",)) for one in model.functions]
    for nodes, around in (*everything, *bodies):
        for node, within in _nodes(nodes, around):
            name = node.name or next((name for name in node.output if name), node.op_type)
            places.append(Place(name, operator_of(node), attributes_of(node), within))
            node.name = f"dscost_{len(places) - 1}_node"
    return model, places


def number_in(name: str) -> int:
    """Return the number of a node by its name, to which others may have added theirs; -1 of none.

    >>> number_in("If_0_then_branch__Inline_0__dscost_12_node_kernel_time"), number_in("Cast_7")
    (12, -1)
    """
    found = _NUMBER.findall(name)
    return int(found[-1]) if found else -1


def with_names(text: str, places: Sequence[Place]) -> str:
    """Return a sentence about nodes with numbers with the names that they had."""
    return _NUMBER.sub(lambda found: places[int(found[1])].name, text)


def _nodes(
    nodes: Sequence[NodeProto], around: tuple[str, ...]
) -> Iterator[tuple[NodeProto, tuple[str, ...]]]:
    for node in nodes:
        yield node, around
        for attribute in node.attribute:
            graphs = [attribute.g] if attribute.HasField("g") else []
            for graph in (*graphs, *attribute.graphs):
                yield from _nodes(graph.node, (*around, operator_of(node)))
