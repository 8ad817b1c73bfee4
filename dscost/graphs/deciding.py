"""Which input decides what runs, and by which of its values."""

from collections.abc import Iterator, Mapping, Sequence
from shlex import quote

import numpy as np
from onnx import ModelProto, NodeProto

from dscost.graphs.checking import graphs_in
from dscost.graphs.constants import constant_of, known_results
from dscost.graphs.nodes import MAIN, Node, attributes_of, operator_of
from dscost.graphs.tensors import stored_value
from dscost.graphs.values import Value, truth

_COMPARING = frozenset("Equal Greater GreaterOrEqual Less LessOrEqual".split())
_BY_SHAPE = frozenset({"Shape", "Size"})
WHICH = "which of them runs"
"""What is decided of branches."""

MOST_STEPS = 60
"""How many nodes are between an input and what it decides, at most."""


class Deciding:
    """What the values of a model are made of.

    Args:
        model: The model.
    """

    def __init__(self, model: ModelProto) -> None:
        graphs = list(graphs_in(model.graph))
        self._graph = model.graph
        self._makers = {name: one for graph in graphs for one in graph.node for name in one.output}
        self._stored = {one.name: one for graph in graphs for one in graph.initializer}
        self._opsets = {one.domain or MAIN: one.version for one in model.opset_import}
        own = {one.name for one in model.graph.initializer}
        self._inputs = {one.name for one in model.graph.input} - own

    def inputs(self, names: Sequence[str]) -> list[str]:
        """Return the inputs that values are computed from, not from their shapes alone."""
        return sorted(name for name in self._behind(names) if name in self._inputs)

    def numbers(self, names: Sequence[str]) -> list[int]:
        """Return the whole numbers that are compared with others on the way to some values."""
        found: dict[int, None] = {}
        for name in self._behind(names):
            maker = self._makers.get(name)
            if maker is None or maker.op_type not in _COMPARING:
                continue
            for read in maker.input:
                value = self.value(read, {})
                content = None if value is None else value.content
                if content is not None and content.size == 1 and content.dtype.kind in "iu":
                    found[int(content.reshape(()).item())] = None
        return list(found)

    def numbers_of(self, name: str) -> list[int]:
        """Return the numbers that an input is compared with to decide which branches run."""
        found: dict[int, None] = {}
        for node in self._graph.node:
            if node.op_type == "If" and self.inputs(node.input[:1]) == [name]:
                found.update(dict.fromkeys(self.numbers(node.input[:1])))
        return list(found)

    def value(self, name: str, given: Mapping[str, Value]) -> Value | None:
        """Return what a value is if some inputs are known; `None` where that cannot be told."""
        return self._value(name, dict(given), MOST_STEPS)

    def _value(self, name: str, known: dict[str, Value | None], steps: int) -> Value | None:
        if name not in known:
            known[name] = None
            if name in self._stored:
                known[name] = stored_value(self._stored[name], name)
            elif name in self._makers and steps:
                known[name] = self._made(name, self._makers[name], known, steps)
        return known[name]

    def _made(
        self, name: str, maker: NodeProto, known: dict[str, Value | None], steps: int
    ) -> Value | None:
        read = tuple([self._value(one, known, steps - 1) for one in maker.input])
        if any(one is None for one in read):
            return None
        opset = self._opsets.get(maker.domain or MAIN, 1)
        node = Node(name, operator_of(maker), attributes_of(maker), read, maker, opset)
        found = [constant_of(node, name)] if maker.op_type == "Constant" else known_results(node)
        at = list(maker.output).index(name)
        return found[at] if found and at < len(found) else None

    def _behind(self, names: Sequence[str]) -> Iterator[str]:
        """Yield values, and all that they are computed from."""
        waiting, seen = [*names], set[str]()
        while waiting:
            name = waiting.pop()
            if name in seen:
                continue
            seen.add(name)
            yield name
            maker = self._makers.get(name)
            if maker is not None and maker.op_type not in _BY_SHAPE:
                waiting += maker.input


def how_to_decide(
    deciding: Deciding, inputs: Mapping[str, Value], names: Sequence[str], what: str
) -> str:
    """Return a sentence on the input that decides something, if that can be told.

    Args:
        deciding: Of the model that it is about.
        inputs: What the model is given.
        names: Values that it depends on; the first is the condition of branches.
        what: What is decided.
    """
    found = deciding.inputs(names)
    if len(found) != 1:
        return ""
    (name,) = found
    value, how = inputs.get(name), ""
    if value is not None and value.shape == () and not value.is_floating:
        numbers = [True] if value.dtype == "bool" else [*deciding.numbers(names), 1]
        text = str(numbers[0]).lower()
        given = value._replace(content=np.array(numbers[0], value.dtype))
        condition = deciding.value(names[0], {name: given}) if what == WHICH else None
        taken = truth(condition)
        how = f": give its value, as in --input {quote(f'{name}=():{value.dtype}={text}')}"
        if taken is not None:
            how += f" ({text} takes its {'then_branch' if taken else 'else_branch'})"
    return f" The input '{name}' decides {what}{how}."
