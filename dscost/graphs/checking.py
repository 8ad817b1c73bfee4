"""What is wrong with a graph before any node of it is looked at in earnest.

The format asks for nodes in order: each reads what stands before it, and no two write one name.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from graphlib import CycleError, TopologicalSorter
from itertools import chain

import onnx
from onnx import (
    AttributeProto,
    FunctionProto,
    GraphProto,
    ModelProto,
    NodeProto,
    OperatorSetIdProto,
    TensorProto,
)

from dscost.errors import InputError
from dscost.graphs.nodes import MAIN
from dscost.graphs.tensors import check_stored

MOST_NODES = 100_000
"""Of all graphs of a model together."""
MOST_EDGES = 500_000
"""What all nodes read and write."""
MOST_TENSORS = 100_000
MOST_INPUTS = 10_000
MOST_VERSION = 2**31 - 1
"""Of a set of operators: what onnx can look for."""

_Key = tuple[str, str, str]
"""Domain, name and overload of a function."""
_Around = tuple[set[str], ...]
"""The names that are known around a graph."""


def check_model(model: ModelProto) -> list[TensorProto]:
    """Return every tensor that a model stores, in its nodes too; refuse a model that cannot be.

    Raises:
        InputError: It is of another version than onnx knows, or its graph, a tensor or a function
            is impossible.
    """
    _check_versions(model)
    if not model.graph.node:
        raise InputError("the graph has no nodes")
    if not model.graph.output:
        raise InputError("the graph has no outputs")
    _check_functions(model.functions)
    checked = _Checked()
    checked.graph(model.graph, ())
    for function in model.functions:
        checked.nodes(function.node, set(function.input), (), function.output)
    if len(checked.tensors) > MOST_TENSORS:
        raise InputError(f"more than {MOST_TENSORS:,} tensors are not counted")
    for tensor in checked.tensors:
        check_stored(tensor)
    return checked.tensors


def _check_versions(model: ModelProto) -> None:
    if not 1 <= model.ir_version <= onnx.IR_VERSION:
        raise InputError(
            f"IR version {model.ir_version}, onnx {onnx.__version__} knows 1 to {onnx.IR_VERSION}"
        )
    opsets: dict[str, int] = {}
    for one in model.opset_import:
        domain = one.domain or MAIN
        _require_version(one)
        if opsets.setdefault(domain, one.version) != one.version:
            raise InputError(f"two versions of the operators {domain} are asked for")
    version = opsets.get(MAIN)
    if version is None and model.ir_version >= 3 and any(not n.domain for n in model.graph.node):
        raise InputError("no version is stated of the operators that it is made of (opset_import)")
    newest = onnx.defs.onnx_opset_version()
    if version is not None and not 1 <= version <= newest:
        raise InputError(f"opset {version}, onnx {onnx.__version__} knows 1 to {newest}")


def _require_version(one: OperatorSetIdProto) -> None:
    if not 0 <= one.version <= MOST_VERSION:
        raise InputError(f"there is no version {one.version} of the operators {one.domain or MAIN}")


def _check_functions(functions: Sequence[FunctionProto]) -> None:
    """Refuse two functions of one name, and those that come to themselves again."""
    calls: dict[_Key, set[_Key]] = {}
    for one in functions:
        for version in one.opset_import:
            _require_version(version)
        key = (one.domain, one.name, one.overload)
        if key in calls:
            raise InputError(f"two functions are called '{one.name}'")
        inside = (graph.node for node in one.node for graph in graphs_of(node))
        calls[key] = {
            (node.domain, node.op_type, node.overload) for node in chain(one.node, *inside)
        }
    try:
        TopologicalSorter(calls).prepare()
    except CycleError as error:
        raise InputError(f"function '{error.args[1][0][1]}' calls itself") from error


class _Checked:
    """What was looked at, of all graphs together.

    Attributes:
        tensors: All that are stored.
    """

    def __init__(self) -> None:
        self.tensors: list[TensorProto] = []
        self._nodes = self._edges = 0

    def graph(self, graph: GraphProto, around: _Around) -> None:
        """Refuse a graph whose nodes are not in order; `around` are the names outside of it."""
        sparse = [one.values for one in graph.sparse_initializer]
        stored = [one.name for one in (*graph.initializer, *sparse)]
        given = [one.name for one in graph.input]
        _require_text(stored, given)
        if len(given) > MOST_INPUTS + len(stored) or len(graph.output) > MOST_INPUTS:
            raise InputError(f"more than {MOST_INPUTS:,} inputs or outputs are not counted")
        for names, what in ((stored, "stored tensors"), (given, "inputs")):
            twice = next((name for name, times in Counter(names).items() if times > 1), None)
            if twice is not None:
                raise InputError(f"two {what} are called '{twice}'")
        self.tensors += graph.initializer
        self.tensors += sparse
        self.tensors += (one.indices for one in graph.sparse_initializer)
        outputs = [one.name for one in graph.output]
        self.nodes(graph.node, {*stored, *given}, around, outputs)

    def nodes(
        self, nodes: Sequence[NodeProto], known: set[str], around: _Around, outputs: Iterable[str]
    ) -> None:
        """Refuse nodes that read what is not there yet, or write what is there already."""
        self._nodes += len(nodes)
        if self._nodes > MOST_NODES:
            raise InputError(f"more than {MOST_NODES:,} nodes are not counted")
        scopes = (*around, known)
        for node in nodes:
            named = (node.name, node.op_type, node.domain, node.overload)
            _require_text(named, node.output, [one.name for one in node.attribute])
            self._edges += len(node.input) + len(node.output)
            if self._edges > MOST_EDGES:
                raise InputError(f"more than {MOST_EDGES:,} inputs of nodes are not counted")
            for name in node.input:
                if name and name not in known and not any(name in scope for scope in around):
                    raise InputError(f"{called(node)} reads '{name}', {_why(name, node, nodes)}")
            for attribute in node.attribute:
                if attribute.type in _HOLDING:
                    self._attribute(attribute, scopes)
            for name in node.output:
                if name in known:
                    raise InputError(f"{called(node)} writes '{name}', which is there already")
                if name:
                    known.add(name)
        for name in outputs:
            if name not in known and not any(name in scope for scope in around):
                raise InputError(f"output '{name}' is written by no node")

    def _attribute(self, attribute: AttributeProto, scopes: _Around) -> None:
        if attribute.HasField("t"):
            self.tensors.append(attribute.t)
        self.tensors += attribute.tensors
        for sparse in (attribute.sparse_tensor, *attribute.sparse_tensors):
            if sparse.HasField("values"):
                self.tensors += (sparse.values, sparse.indices)
        for graph in _held(attribute):
            self.graph(graph, scopes)


_HOLDING = {
    *(AttributeProto.TENSOR, AttributeProto.GRAPH, AttributeProto.SPARSE_TENSOR),
    *(AttributeProto.TENSORS, AttributeProto.GRAPHS, AttributeProto.SPARSE_TENSORS),
}
"""The types of attributes that hold tensors; what stands in others is never looked at."""


def _require_text(*names: Iterable[object]) -> None:
    """Refuse names whose bytes are no UTF-8, which protobuf leaves as they are."""
    for name in chain(*names):
        if not isinstance(name, str):
            raise InputError(f"the name {name!r:.60} is no text")


def called(node: NodeProto) -> str:
    """Return how a node is called in a sentence."""
    first = next((name for name in node.output if name), "")
    return f"node '{node.name or first}' ({node.op_type})"


def _why(name: str, node: NodeProto, nodes: Sequence[NodeProto]) -> str:
    """Return why a value is not there where a node reads it."""
    writer = next((one for one in nodes if name in one.output), None)
    if writer is None:
        return "which nothing writes"
    if writer is node:
        return "which it writes itself"
    return f"which {called(writer)} writes after it: nodes stand in order, without cycles"


def _held(attribute: AttributeProto) -> Sequence[GraphProto]:
    held: Sequence[GraphProto] = attribute.graphs
    return (attribute.g, *held) if attribute.HasField("g") else held


def graphs_in(graph: GraphProto) -> Iterator[GraphProto]:
    """Yield a graph and all graphs inside of its nodes."""
    yield graph
    for node in graph.node:
        yield from graphs_of(node)


def graphs_of(node: NodeProto) -> Iterator[GraphProto]:
    """Yield all graphs inside of a node."""
    for attribute in node.attribute:
        for graph in _held(attribute):
            yield from graphs_in(graph)


def all_read(model: ModelProto) -> frozenset[str]:
    """Return the names of all that a node reads or a graph puts out, somewhere in the file."""
    names: set[str] = set()
    for graph in graphs_in(model.graph):
        names.update(one.name for one in graph.output)
        names.update(name for node in graph.node for name in node.input)
    for function in model.functions:
        names.update(function.output)
        for node in function.node:
            names.update(node.input)
            for inner in graphs_of(node):
                names.update(one.name for one in inner.output)
                names.update(name for one in inner.node for name in one.input)
    return frozenset(names)
