"""Where the names of a graph stand for values, and what else holds for its nodes."""

from collections.abc import Mapping
from typing import NamedTuple

from onnx import AttributeProto, GraphProto, ValueInfoProto

from dscost.graphs.nodes import Node
from dscost.graphs.values import Value


class Place(NamedTuple):
    """A graph, or the body of a function, in a network.

    Args:
        path: Unique to it.
        opsets: The version of each domain that its nodes are of.
        prefix: What the names of its nodes begin with, in a function that of the node that calls.
        attributes: In a function, those of the call, which attributes of its nodes may refer to.
        calls: The functions that it is in, the outermost first.
        depth: How many graphs and functions are around it.
        declared: What the file says of its values and those around it; the last holds.
        is_fixed: Whether the network and no graph in it, and no input of it leaves an axis open.
        sizes: Of axes that have names in the file, those that the inputs of the network have.
        home: Unique to where it stands in the file, which is one place for all calls of a function.
        origins: Where in the file the attributes stand, each unique.
    """

    path: str
    opsets: Mapping[str, int]
    prefix: str = ""
    attributes: Mapping[str, AttributeProto] | None = None
    calls: tuple[str, ...] = ()
    depth: int = 0
    declared: tuple[ValueInfoProto, ...] = ()
    is_fixed: bool = False
    sizes: Mapping[str, int] = {}
    home: str = ""
    origins: Mapping[str, str] = {}

    def origin(self, node: Node, name: str) -> str:
        """Return what an attribute of a node that is here is told by from all others in the file.

        What a node first writes tells it from those around it; its name may not.
        """
        return f"{self.home}{next((one for one in node.proto.output if one), node.name)}.{name}"

    def inside(self, path: str, graph: GraphProto, home: str) -> "Place":
        """Return the place of a graph that one of the nodes here holds.

        Args:
            path: What tells it from the others in this place.
            graph: The graph.
            home: Its own one.
        """
        return self._replace(
            path=f"{self.path}/{path}",
            home=home,
            depth=self.depth + 1,
            is_fixed=False,
            declared=(*self.declared, *declared_in(graph)),
        )


def declared_in(graph: GraphProto) -> tuple[ValueInfoProto, ...]:
    """Return what a file says of the values of a graph."""
    return (*graph.input, *graph.value_info, *graph.output)


class Scope(dict[str, Value | None]):
    """Values by name; what a graph in a node does not know itself is looked up around it."""

    def __init__(self, place: Place, around: "Scope | None" = None) -> None:
        super().__init__()
        self.place, self._around = place, around

    def __missing__(self, name: str) -> Value | None:
        if self._around is None:
            raise KeyError(name)
        return self._around[name]
