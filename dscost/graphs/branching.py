"""Branches: one whose condition is known is the only one that runs. Else both count."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from dscost.errors import InputError
from dscost.graphs.causes import OF_BRANCHES, Root
from dscost.graphs.deciding import WHICH, how_to_decide
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
    decided = decided_by(evaluation, node.proto.input[:1], WHICH)
    if any(macs):
        books.note(
            f"Both branches of {node.name} are counted, though no run costs both: {costs}; the "
            f"dearer is {max(macs):,}.{decided}"
        )
    else:
        books.free_branches += 1
    if decided:
        books.deciding[decided.strip()] = None
    evaluation.open_branches += 1
    condition = node.input(0) or Value()
    merged = [_either(*pair, condition) for pair in zip(first, second, strict=True)]
    if any(value.shape is None and value.items is None for value in merged):
        books.met_unknown(node)
        if all(value.shape is not None or value.items is not None for value in (*first, *second)):
            books.roots[node.name] = Root(node.base, OF_BRANCHES)
        else:
            books.following.add(node.name)
        return books.record(node, merged, op="other")
    return merged


def decided_by(evaluation: "Evaluation", names: Sequence[str], what: str) -> str:
    """Return a sentence on the input that decides something, see `how_to_decide`."""
    return how_to_decide(evaluation.deciding, evaluation.inputs, names, what)


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
