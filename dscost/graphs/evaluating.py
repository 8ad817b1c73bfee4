"""A graph, node by node: types and small values go in, a trace comes out. Nothing is computed."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from math import inf
from time import thread_time

from onnx import GraphProto, ModelProto, NodeProto

from dscost.errors import InputError, first_line
from dscost.graphs import carrying, rules  # noqa: F401 - rules register themselves
from dscost.graphs.books import Books
from dscost.graphs.causes import BY_VALUES, WITHOUT_RULE, Root, misfit
from dscost.graphs.checking import all_read, graphs_in
from dscost.graphs.constants import constant_of, known_results, tensor_of
from dscost.graphs.control import CONTROL
from dscost.graphs.convolutions import layer_of
from dscost.graphs.costs import has_rule, macs_of, notes_of, word_for
from dscost.graphs.deciding import Deciding
from dscost.graphs.declaring import declared_types, is_fixed, named_sizes
from dscost.graphs.fitting import fits
from dscost.graphs.functions import Body, Functions, of_schema
from dscost.graphs.multiplying import whole_of
from dscost.graphs.nodes import (
    MAIN,
    Node,
    attributes_of,
    operator_of,
    padded,
    resolved,
    without_missing,
)
from dscost.graphs.partial import PARTLY, partly_known, shape_by_parts
from dscost.graphs.rules.free import VIEWS
from dscost.graphs.scopes import Place, Scope, declared_in
from dscost.graphs.sequences import SEQUENCES
from dscost.graphs.shapes import typed
from dscost.graphs.tensors import sparse_value, stored_value
from dscost.graphs.values import Value, made_of
from dscost.graphs.weights import stored_in, weights_read
from dscost.notation.units import format_shape
from dscost.traces import Trace

_CONSTANT = f"{MAIN}::Constant"

MOST_STEPS = 15_000
"""How many nodes are evaluated beyond those in the file: loops and functions may ask for more."""

MOST_S, MOST_NODE_S = 2.5, 25e-6
"""Seconds of computing that a graph may take, and as many more for each of its nodes; the largest
networks there are take one."""

ODD = (ArithmeticError, AttributeError, LookupError, TypeError, ValueError)
"""What rules raise at nodes that are none of their operator, as with text for a number. At all
others it is a fault of the rule: tests let it pass there."""

MOST_DEEP = 60
"""How many graphs and functions may be inside of each other."""


def traced(
    model: ModelProto,
    inputs: Mapping[str, Value],
    nodes: dict[str, NodeProto] | None = None,
    *,
    is_given: bool = False,
) -> Trace:
    """Return what a model does, given the types of its inputs.

    Args:
        model: The model.
        inputs: Its inputs by name.
        nodes: Where every node is put by its name in the trace, if anybody asks.
        is_given: Whether the inputs are asked for: what does not fit may be due to them.

    Raises:
        InputError: A node reads what nothing has made, or one that surely runs does not fit what
            it reads; or functions go in circles or too far.
    """
    evaluation = Evaluation(model, inputs)
    found = evaluation.run()
    wrong = next((text for text, certain in evaluation.books.misfits.items() if certain), "")
    if wrong:
        given = ", ".join(f"{name} = {_in_words(value)}" for name, value in inputs.items())
        raise InputError(f"given {given}, {wrong}" if is_given and given else wrong)
    if nodes is not None:
        nodes.update(evaluation.nodes)
    return found


_DECIDING = {f"{MAIN}::CastLike": 1, f"{MAIN}::EyeLike": 0}
"""How many inputs tell what a node writes, where of the others only the type counts."""


class Evaluation:
    """One pass through a model.

    Attributes:
        model: The model.
        inputs: What it is given, by name.
        books: What is kept of it.
        nodes: The nodes that were met, by their names in the trace.
        steps: How many nodes may still be evaluated.
        open_branches: How often both branches of a node were run, for nobody knew which runs.
        is_sure: Whether what is evaluated runs whatever the values are.
    """

    def __init__(self, model: ModelProto, inputs: Mapping[str, Value], most_s: float = inf) -> None:
        self.model, self.inputs = model, inputs
        self.books = Books(inputs.values())
        self.nodes: dict[str, NodeProto] = {}
        self._twice: Counter[str] = Counter()
        self.open_branches = 0
        self.is_sure = True
        self._least = sum(len(graph.node) for graph in graphs_in(model.graph))
        self.steps = MOST_STEPS + self._least
        self.functions = Functions(model)
        self._known: dict[tuple[str, int], Node] = {}
        self._stored: dict[tuple[str, int], Value] = {}
        self._owners: dict[str, str] = {}
        self._read: frozenset[str] | None = None
        self._may_take_s = min(most_s, MOST_S + MOST_NODE_S * len(model.graph.node))
        self._ends_s = thread_time() + self._may_take_s

    @cached_property
    def deciding(self) -> Deciding:
        """What the values of the model are made of."""
        return Deciding(self.model)

    def run(self) -> Trace:
        """Return the trace of the whole."""
        graph = self.model.graph
        opsets = {one.domain or MAIN: one.version for one in self.model.opset_import}
        sizes, fixed = named_sizes(graph, self.inputs), is_fixed(graph)
        place = Place("", opsets, declared=declared_in(graph), sizes=sizes, is_fixed=fixed)
        scope = Scope(place)
        scope.update(self.inputs)
        outputs = self.evaluate(graph, scope)
        return self.books.trace([one for value in outputs for one in value.all])

    def evaluate(self, graph: GraphProto, scope: Scope) -> list[Value]:
        """Run the nodes of a graph in a scope, which is changed; return what it puts out.

        Raises:
            InputError: It reads or puts out what nothing has made.
        """
        for tensor in graph.initializer:
            name = self._stored_as(tensor.name, scope.place.home)
            scope[tensor.name] = stored_value(tensor, name)
        for sparse in graph.sparse_initializer:
            name = self._stored_as(sparse.values.name, scope.place.home)
            scope[sparse.values.name] = sparse_value(sparse, name)
        self.run_nodes(graph.node, scope)
        return [self._output(scope, one.name) for one in graph.output]

    def inner(
        self, node: Node, name: str, scope: Scope, given: Sequence[Value | None] = ()
    ) -> list[Value]:
        """Run the graph that is an attribute of a node, on what its inputs are given.

        Raises:
            InputError: There is no such graph, or it takes another number of inputs.
        """
        graph = node.attributes.get(name)
        if not isinstance(graph, GraphProto):
            raise InputError(f"node '{node.name}' ({node.base}) has no graph as its {name}")
        place = scope.place
        home = place.origins.get(node.refers.get(name, ""), place.origin(node, name))
        inner = Scope(place.inside(f"{node.name}.{name}", graph, f"{home}."), scope)
        if inner.place.depth > MOST_DEEP:
            raise InputError(f"node '{node.name}' is inside of more than {MOST_DEEP} graphs")
        if len(graph.input) != len(given):
            raise InputError(
                f"the {name} of node '{node.name}' has {len(graph.input)} inputs, "
                f"{node.base} gives it {len(given)}"
            )
        inner.update(zip((one.name for one in graph.input), given, strict=True))
        return self.evaluate(graph, inner)

    def _stored_as(self, name: str, home: str) -> str:
        """Return the name of what is stored at home: another graph may have one of it too."""
        owner = self._owners.setdefault(name, home)
        return name if owner == home else f"{home}{name}"

    def run_nodes(self, protos: Sequence[NodeProto], scope: Scope) -> None:
        """Run nodes in a scope, which is changed."""
        runs_once = not scope.place.path
        for at, proto in enumerate(protos):
            self.steps -= 1
            if self.steps < 0:
                raise InputError(f"functions in each other come to over {MOST_STEPS:,} nodes")
            tensor = tensor_of(proto) if runs_once else None
            if tensor is not None:
                self._unique(proto, "")
                (name,) = proto.output
                scope[name] = stored_value(tensor, self._stored_as(name, scope.place.home))
                continue
            if thread_time() > self._ends_s:
                raise InputError(f"its nodes take more than {self._may_take_s:.1f} s to go through")
            node = self._node(proto, scope, at)
            results = padded(self._results(node, scope), node)
            for name, value in zip(node.proto.output, results, strict=True):
                if name:
                    scope[name] = value

    @contextmanager
    def perhaps(self) -> Iterator[None]:
        """Evaluate what may never run."""
        before, self.is_sure = self.is_sure, False
        yield
        self.is_sure = before

    def may_run(self, steps: int) -> bool:
        """Whether as many nodes can be evaluated once more, and all of the file after that."""
        return self.steps - steps > self._least

    def _output(self, scope: Scope, name: str) -> Value:
        try:
            return scope[name] or Value()
        except KeyError:
            raise InputError(f"the graph puts out '{name}', which nothing makes") from None

    # -- nodes

    def _node(self, proto: NodeProto, scope: Scope, at: int) -> Node:
        """Return a node with what it reads; all else of it is the same whenever it runs."""
        place = scope.place
        key = (place.path, at)
        known = self._known.get(key)
        try:
            inputs = tuple([scope[name] if name else None for name in proto.input])
        except KeyError as error:
            name = known.name if known is not None else self._unique(proto, place.prefix)
            raise InputError(
                f"node '{name}' reads '{error.args[0]}', which nothing before makes"
            ) from None
        if known is None:
            operator = operator_of(proto)
            refers = {}
            if place.attributes is not None:
                refers = {
                    one.name: one.ref_attr_name for one in proto.attribute if one.ref_attr_name
                }
                proto = resolved(proto, place.attributes)
            name = self._unique(proto, place.prefix)
            opset = place.opsets.get(proto.domain or MAIN, 1)
            is_right = fits(proto, opset)
            known = Node(
                name, operator, attributes_of(proto), inputs, proto, opset, is_right, refers
            )
            self._known[key] = known
        else:
            known = known._replace(inputs=inputs)
        if place.attributes is not None:
            return known._replace(proto=without_missing(known.proto, inputs))
        return known

    def _unique(self, proto: NodeProto, prefix: str) -> str:
        """Return the name of a node, or of what it writes; no two have the same."""
        name = prefix + proto.name
        if not proto.name or name in self.nodes:
            first = prefix + next((one for one in proto.output if one), proto.op_type)
            name = first
            while name in self.nodes:
                self._twice[first] += 1
                name = f"{first}#{self._twice[first] + 1}"
        self.nodes[name] = proto
        return name

    def _results(self, node: Node, scope: Scope) -> Sequence[Value]:
        """Return what a node writes, one value for each of its outputs.

        What is written as no such operator is, is of unknown cost.
        """
        plain = node._replace(attributes={})
        if not node.fits:
            return self.unknown(plain, padded([], node))
        runs = CONTROL.get(node.operator)
        if runs is not None:
            return padded(runs(self, node, scope), node)
        try:
            found = self._by_rule(node, scope)
        except ODD as error:
            why = f"its rule fails, {first_line(error)}"
            self.books.met_misfit(node, why, is_certain=False)
            return self.unknown(plain, padded([], node), misfit(why))
        if isinstance(found, Body):
            return padded(self.functions.run(self, node, found, scope), node)
        return padded(found, node)

    def _by_rule(self, node: Node, scope: Scope) -> Sequence[Value] | Body:
        """Return what a node writes, or the function that it calls; no other node is run."""
        if node.operator == _CONSTANT:
            name, home = node.proto.output[0], scope.place.home
            for one in node.refers.values():  # it stands where the function is called
                name = home = scope.place.origins.get(one, home)
            return [constant_of(node, self._stored_as(name, home))]
        special = SEQUENCES.get(node.operator)
        if special is not None:
            return special(self, node, scope)
        known = known_results(node)
        if known is not None:
            return made_of(stored_in(node), known, whole=whole_of(node))
        body = self.functions.body_of(node, is_known=has_rule(node.operator))
        if body is not None:
            return body
        found = typed(node)
        types = [Value(dtype, shape) for dtype, shape in found.types]
        if found.misfit:
            self.books.met_misfit(node, found.misfit, is_certain=self.is_sure)
            return self.unknown(node, types, misfit(found.misfit))
        if self._has_unknown(node, types):
            body = of_schema(node)
            if body is not None:
                return body
            shape = shape_by_parts(node) if len(types) == 1 else None
            if shape is not None and node.inputs[0] is not None:
                types = [Value(node.inputs[0].dtype, shape)]
            types = declared_types(node, types, scope)
            if self._has_unknown(node, types):
                return self.unknown(node, types)
        decide = node.inputs[: _DECIDING.get(node.operator)]
        if not node.draws and all(value is None or value.is_constant for value in decide):
            return self._from_constants(node, types)
        if node.operator in PARTLY:
            types = [types[0]._replace(parts=partly_known(node))]
        return self._recorded(node, types)

    def _has_unknown(self, node: Node, types: Sequence[Value]) -> bool:
        """Whether the shape of something that a node writes is unknown and anybody reads it."""
        missing = [
            name
            for name, value in zip(node.proto.output, types, strict=True)
            if name and value.shape is None
        ]
        if not missing or len(missing) == len(types):
            return bool(missing)
        if self._read is None:
            self._read = all_read(self.model)
        return not self._read.isdisjoint(missing)

    def unknown(self, node: Node, types: Sequence[Value], why: str = "") -> Sequence[Value]:
        """Take a node for one of unknown cost; return what it writes, as far as that is known."""
        books = self.books
        books.met_unknown(node)
        knows = has_rule(node.operator) and node.fits
        if not all(map(_is_sized, types)):
            if all(value is None or _is_sized(value) for value in node.inputs):
                why = why or (BY_VALUES if knows else WITHOUT_RULE)
                books.roots[node.name] = Root(node.base, why)
            else:
                books.following.add(node.name)
        elif knows:
            books.following.add(node.name)
        if not knows:
            books.plain.add(node.operator)
        weights = weights_read(node)
        op = word_for(node, types, reads_weights=bool(weights)) or "other"
        return self.books.record(node, types, op=op, weights=weights)

    def _from_constants(self, node: Node, types: Sequence[Value]) -> list[Value]:
        """Return what a node writes that a runtime computes once, before it is given anything."""
        macs = macs_of(node, types[0].shape or ()) if types else 0
        if macs:
            self.books.note(
                f"{node.name} computes with constants alone: its {macs:,} MACs do not count."
            )
        return made_of(stored_in(node), types, whole=whole_of(node))

    def _recorded(self, node: Node, types: list[Value]) -> Sequence[Value]:
        """Keep a node that computes with what the network is given."""
        if not has_rule(node.operator):
            return self.unknown(node, types)
        self.books.notes.update(dict.fromkeys(notes_of(node)))
        conv, seen = layer_of(node)
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


def _in_words(value: Value) -> str:
    """Return what an input is: its shape, or the number that it is."""
    if value.shape:
        return format_shape(value.shape)
    return "()" if value.content is None else str(value.content.item())


def _is_sized(value: Value) -> bool:
    return value.shape is not None or value.items is not None
