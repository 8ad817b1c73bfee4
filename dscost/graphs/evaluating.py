"""A graph, node by node: types and small values go in, a trace comes out. Nothing is computed."""

from collections.abc import Mapping, Sequence

from onnx import GraphProto, ModelProto, NodeProto

from dscost.errors import InputError, SpecError
from dscost.graphs import carrying, rules  # noqa: F401 - rules register themselves
from dscost.graphs.books import Books
from dscost.graphs.constants import known_results
from dscost.graphs.convolutions import conv_of
from dscost.graphs.costs import has_rule, macs_of, notes_of, word_for
from dscost.graphs.nodes import MAIN, Node, attributes_of, operator_of
from dscost.graphs.reading import stored_value
from dscost.graphs.rules.free import VIEWS
from dscost.graphs.shapes import types_of
from dscost.graphs.values import Value
from dscost.graphs.weights import stored_in, weights_read
from dscost.layers.convolution import ConvSpec, Shape
from dscost.traces import Trace

Scope = dict[str, Value]
"""Values by name; those of a graph inside of a node come before those around it."""


def traced(
    model: ModelProto, inputs: Mapping[str, Value], nodes: dict[str, NodeProto] | None = None
) -> Trace:
    """Return what a model does, given the types of its inputs.

    Args:
        model: The model.
        inputs: Its inputs by name.
        nodes: Where every node is put by its name in the trace, if anybody asks.
    """
    evaluation = _Evaluation(model, inputs)
    found = evaluation.run()
    if nodes is not None:
        nodes.update(evaluation.nodes)
    return found


class _Evaluation:
    """One pass through a model."""

    def __init__(self, model: ModelProto, inputs: Mapping[str, Value]) -> None:
        self._graph, self._inputs = model.graph, inputs
        self._opsets = {one.domain or MAIN: one.version for one in model.opset_import}
        self.books = Books(inputs.values())
        self.nodes: dict[str, NodeProto] = {}

    def run(self) -> Trace:
        """Return the trace of the whole."""
        scope = dict(self._inputs)
        outputs = self.evaluate(self._graph, scope)
        return self.books.trace([value for value in outputs if value is not None])

    def evaluate(self, graph: GraphProto, scope: Scope) -> list[Value | None]:
        """Run the nodes of a graph in a scope, which is changed; return what it puts out."""
        for tensor in graph.initializer:
            scope[tensor.name] = stored_value(tensor, tensor.name)
        for proto in graph.node:
            for name, value in zip(proto.output, self._results(proto, scope), strict=True):
                if name:
                    scope[name] = value
        return [scope.get(one.name) for one in graph.output]

    def _results(self, proto: NodeProto, scope: Scope) -> Sequence[Value]:
        """Return what a node writes, one value for each of its outputs."""
        node = self._node(proto, scope)
        if proto.op_type == "Constant" and not proto.input:
            return [self._constant(node)]
        if node.operator == f"{MAIN}::If":
            return self._if(node, scope)
        types = [Value(dtype, shape) for dtype, shape in types_of(node)]
        known = known_results(node, types)
        stored = stored_in(node)
        if known is not None:
            return [value._replace(stored=stored) for value in known]
        if any(value.shape is None for value in types if value is not types[-1] or len(types) < 2):
            return self._unknown(node, types)
        if all(value is None or value.is_constant for value in node.inputs):
            return [value._replace(stored=stored) for value in types]
        return self._recorded(node, types)

    def _node(self, proto: NodeProto, scope: Scope) -> Node:
        operator = operator_of(proto)
        inputs: list[Value | None] = []
        for name in proto.input:
            if name and name not in scope:
                raise InputError(f"node '{proto.name}' reads '{name}', which nothing before makes")
            inputs.append(scope[name] if name else None)
        opset = self._opsets.get(operator.partition("::")[0], 1)
        return Node(
            self._unique(proto), operator, attributes_of(proto), tuple(inputs), proto, opset
        )

    def _unique(self, proto: NodeProto) -> str:
        """Return the name of a node, or of what it writes; no two have the same."""
        first = next((name for name in proto.output if name), proto.op_type)
        name = next((one for one in (proto.name, first) if one and one not in self.nodes), None)
        number = 2
        while name is None or name in self.nodes:
            name, number = f"{first}#{number}", number + 1
        self.nodes[name] = proto
        return name

    def _constant(self, node: Node) -> Value:
        name = node.proto.output[0]
        tensor = node.attributes.get("value")
        if tensor is not None:
            return stored_value(tensor, name)
        known = known_results(node, [])
        return known[0] if known else Value()

    def _if(self, node: Node, scope: Scope) -> Sequence[Value]:
        condition = node.input(0)
        names = ("then_branch", "else_branch")
        if condition is not None and condition.content is not None:
            taken = names[0] if bool(condition.content.reshape(-1)[0]) else names[1]
            found = self.evaluate(node.attributes[taken], dict(scope))
            return [value or Value() for value in found]
        both = [self.evaluate(node.attributes[name], dict(scope)) for name in names]
        self.books.notes[f"Both branches of {node.name} are counted."] = None
        return [value or Value() for value in both[0]]

    def _unknown(self, node: Node, types: Sequence[Value]) -> Sequence[Value]:
        self.books.met_unknown(node)
        return types

    def _recorded(self, node: Node, types: list[Value]) -> Sequence[Value]:
        """Keep a node that computes with what the network is given."""
        if not has_rule(node.operator):
            return self._unknown(node, types)
        self.books.notes.update(dict.fromkeys(notes_of(node)))
        conv, seen = self._conv(node)
        weights = weights_read(node)
        return self.books.record(
            node,
            types,
            op=word_for(node, types, reads_weights=bool(weights)),
            macs=macs_of(node, types[0].shape or ()),
            conv=conv,
            seen=seen,
            axes=carrying.axes_of(node),
            is_view=node.operator in VIEWS,
            weights=weights,
        )

    def _conv(self, node: Node) -> tuple[ConvSpec | None, Shape | None]:
        shape, weight = node.shape(0), node.shape(1)
        if node.base != "Conv" or shape is None or weight is None:
            return None, None
        try:
            return conv_of(node, shape, weight, bias=node.input(2) is not None)
        except SpecError:
            return None, None
