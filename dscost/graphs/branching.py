"""Branches: one whose condition is known is the only one that runs. Else both count."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from onnx import ModelProto

from dscost.errors import InputError
from dscost.graphs.checking import graphs_in
from dscost.graphs.nodes import Node
from dscost.graphs.scopes import Scope
from dscost.graphs.values import Value, same_content, truth

if TYPE_CHECKING:
    from dscost.graphs.evaluating import Evaluation

BRANCHES = ("then_branch", "else_branch")


def branched(evaluation: "Evaluation", node: Node, scope: Scope) -> Sequence[Value]:
    """Return what an `If` writes."""
    condition = truth(node.input(0))
    if condition is None:
        return _both(evaluation, node, scope)
    taken, other = BRANCHES if condition else BRANCHES[::-1]
    found = evaluation.inner(node, taken, scope)
    params = _params_aside(evaluation, node, other, scope)
    if params:
        evaluation.books.note(
            f"{node.name} takes its {taken}: {params:,} params of its {other} are in the file all "
            f"the same."
        )
    return found


def _params_aside(evaluation: "Evaluation", node: Node, name: str, scope: Scope) -> int:
    """Take what a graph that does not run reads as weights for parameters; return how many."""
    books = evaluation.books
    before, kept = set(books.parameters), books.kept()
    with evaluation.perhaps():
        evaluation.inner(node, name, scope)
    added = {name: one for name, one in books.parameters.items() if name not in before}
    books.restore(kept)
    books.parameters.update(added)
    books.unseen.update(added)
    return sum(one.numel for one in added.values())


def _both(evaluation: "Evaluation", node: Node, scope: Scope) -> Sequence[Value]:
    books, found, macs = evaluation.books, [], []
    for name in BRANCHES:
        start = len(books.events)
        with evaluation.perhaps():
            found.append(evaluation.inner(node, name, scope))
        macs.append(sum(event.macs * event.times for event in books.events[start:]))
    first, second = found
    if len(first) != len(second):
        raise InputError(f"the branches of node '{node.name}' put out different numbers of values")
    costs = ", ".join(f"{name} {own:,} MACs" for name, own in zip(BRANCHES, macs, strict=True))
    decided = decided_by(evaluation, node.proto.input[:1], "which of them runs")
    books.note(f"Both branches of {node.name} are counted: {costs}.{decided}")
    evaluation.open_branches += 1
    condition = node.input(0) or Value()
    merged = [_either(*pair, condition) for pair in zip(first, second, strict=True)]
    if any(value.shape is None and value.items is None for value in merged):
        books.met_unknown(node)
        return books.record(node, merged, op="other")
    return merged


def decided_by(evaluation: "Evaluation", names: Sequence[str], what: str) -> str:
    """Return a sentence on the input that decides something, if that can be told.

    Args:
        evaluation: The model that it is about.
        names: Values that it depends on.
        what: What is decided.
    """
    deciding = _deciding_inputs(evaluation.model, names)
    if len(deciding) != 1:
        return ""
    (name,) = deciding
    value = evaluation.inputs.get(name)
    how = ""
    if value is not None and value.shape == () and not value.is_floating:
        example = "true" if value.dtype == "bool" else "1"
        how = f": give its value, as in --input '{name}=():{value.dtype}={example}'"
    return f" The input '{name}' decides {what}{how}."


def _either(one: Value, other: Value, condition: Value) -> Value:
    """Return what is known of a value that is one of two."""
    if same_content(one, other) and one.dtype == other.dtype:
        return one
    items = None
    if one.items is not None and other.items is not None and len(one.items) == len(other.items):
        items = tuple(
            _either(*pair, condition) for pair in zip(one.items, other.items, strict=True)
        )
    merged = one.unread(one.shape if one.shape == other.shape else None)
    merged = merged._replace(dtype=one.dtype if one.dtype == other.dtype else "", items=items)
    if not merged.is_constant:
        return merged
    source = condition if other.is_constant else other
    return merged._replace(source=source.source, home=source.home, stored=(), name=source.name)


def _deciding_inputs(model: ModelProto, names: Sequence[str]) -> list[str]:
    """Return the inputs of a model that some values are computed from, not from shapes alone."""
    makers = {
        name: one for graph in graphs_in(model.graph) for one in graph.node for name in one.output
    }
    stored = {one.name for one in model.graph.initializer}
    inputs = {one.name for one in model.graph.input} - stored
    waiting, seen, found = [*names], set[str](), []
    while waiting:
        name = waiting.pop()
        if name in seen:
            continue
        seen.add(name)
        if name in inputs:
            found.append(name)
        maker = makers.get(name)
        if maker is not None and maker.op_type not in ("Shape", "Size"):
            waiting += maker.input
    return sorted(found)
