"""A model while it is changed: names that nothing has, other attributes, what nobody reads now."""

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from onnx import AttributeProto, GraphProto, ModelProto, NodeProto, TensorProto, helper

from dscost.graphs.checking import graphs_in, graphs_of

INITIALIZERS_ARE_INPUTS = 4
"""Before this version of the format every initializer is listed as an input too."""


class Names:
    """The names that a model has; nodes have names of their own, apart from those of values."""

    def __init__(self, model: ModelProto) -> None:
        self._taken = set(_names(model))

    def unique(self, name: str, *, of_node: bool = False) -> str:
        """Return a name that nothing has, and take it."""
        found, number, kind = name, 2, "node:" if of_node else ""
        while kind + found in self._taken:
            found, number = f"{name}#{number}", number + 1
        self._taken.add(kind + found)
        return found


def _names(model: ModelProto) -> Iterator[str]:
    """Yield all names of values, and those of nodes behind `node:`."""
    for graph in graphs_in(model.graph):
        for one in (*graph.input, *graph.output, *graph.initializer, *graph.value_info):
            yield one.name
        for node in graph.node:
            yield f"node:{node.name}"
            yield from (*node.input, *node.output)


def copied(node: NodeProto) -> NodeProto:
    """Return a node that may be changed."""
    copy = NodeProto()
    copy.CopyFrom(node)
    return copy


def set_attributes(node: NodeProto, **values: Any) -> None:
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


def set_nodes(graph: GraphProto, nodes: Iterable[NodeProto]) -> None:
    """Give a graph other nodes, some of which it may have."""
    kept = [copied(node) for node in nodes]
    del graph.node[:]
    graph.node.extend(kept)


def store(model: ModelProto, tensor: TensorProto) -> None:
    """Store a tensor in the graph of a model."""
    model.graph.initializer.append(tensor)
    if model.ir_version < INITIALIZERS_ARE_INPUTS:
        made = helper.make_tensor_value_info(tensor.name, tensor.data_type, tensor.dims)
        model.graph.input.append(made)


# -- what nobody reads any more


def names_alive(graph: GraphProto) -> frozenset[str]:
    """Return the names of what a graph puts out and of all that is read to make it."""
    makers = {name: node for node in graph.node for name in node.output if name}
    alive: set[str] = set()
    waiting = [one.name for one in graph.output]
    while waiting:
        name = waiting.pop()
        if not name or name in alive:
            continue
        alive.add(name)
        maker = makers.get(name)
        if maker is not None:
            waiting += names_read_by(maker)
    return frozenset(alive)


def names_read_by(node: NodeProto) -> Iterator[str]:
    """Yield what a node reads, by the graphs inside of it too."""
    yield from (name for name in node.input if name)
    for graph in graphs_of(node):
        for one in graph.node:
            yield from (name for name in one.input if name)
        yield from (output.name for output in graph.output)


def drop_unread(graph: GraphProto, was_alive: frozenset[str] | None = None) -> None:
    """Take out of a graph what is not alive; of inputs only those that it stores.

    Args:
        graph: It is changed.
        was_alive: What was alive before: nothing else is taken out. By default everything may be.
    """
    alive = names_alive(graph)

    def is_gone(name: str) -> bool:
        return name not in alive and (was_alive is None or name in was_alive)

    nodes = [node for node in graph.node if not all(map(is_gone, filter(None, node.output)))]
    if len(nodes) < len(graph.node):
        set_nodes(graph, nodes)
    stored = {one.name for one in graph.initializer}
    stored |= {one.values.name for one in graph.sparse_initializer}
    _drop(graph.initializer, lambda one: is_gone(one.name))
    _drop(graph.sparse_initializer, lambda one: is_gone(one.values.name))
    _drop(graph.input, lambda one: one.name in stored and is_gone(one.name))
    _drop(graph.value_info, lambda one: is_gone(one.name))
    _drop(graph.quantization_annotation, lambda one: is_gone(one.tensor_name))


def _drop(field: Any, is_gone: Callable[[Any], bool]) -> None:
    """Take out of a field of a graph what is gone."""
    for at in reversed(range(len(field))):
        if is_gone(field[at]):
            del field[at]
