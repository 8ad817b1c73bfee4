"""What a node computes and costs, by the table of rules and the shapes that it reads and writes."""

from collections.abc import Sequence

from dscost.graphs.carrying import axes_of
from dscost.graphs.convolutions import BLOCKED, KINDS, WITHOUT_VERSIONS, multiplied_by
from dscost.graphs.nodes import MAIN, MICROSOFT, Node
from dscost.graphs.rules.free import FOURIER
from dscost.graphs.values import Shape, Value
from dscost.traces.notes import FOURIER_NOTE, QUANTIZED_NOTE
from dscost.traces.rules import FORMULAS, all_positions, word_of

BLOCKED_NOTE = (
    "ONNX Runtime has written the file for one kind of processor, with channels added to make "
    "whole blocks: they count as what they are in it."
)

MEANS = frozenset((f"{MAIN}::ReduceMean", f"{MICROSOFT}::QLinearReduceMean"))


def has_rule(operator: str) -> bool:
    """Whether an operator is known to cost something, or nothing."""
    return operator in FORMULAS or bool(word_of(operator))


def macs_of(node: Node, out: Shape) -> int:
    """Return the multiply-accumulates of a node that writes a result of some shape first."""
    rule = FORMULAS.get(node.operator)
    if rule is None:
        return 0
    shapes = [None if value is None else value.shape for value in node.inputs]
    # nothing says that a file may not call an attribute as the formula calls the result
    attributes = {name: value for name, value in node.attributes.items() if name != "out"}
    return rule.macs(*shapes, out=out, **attributes)


def word_for(node: Node, written: Sequence[Value], *, reads_weights: bool) -> str:
    """Return what a node computes, in the words of a report.

    A product with weights is a linear layer, rows of weights are an embedding, and a mean over all
    positions is global pooling.
    """
    op = word_of(node.operator)
    if reads_weights and op == "matmul":
        return "linear"
    if reads_weights and node.operator == f"{MAIN}::Gather":
        return "embedding"
    if node.operator in MEANS and all_positions(axes_of(node), len(node.shape(0) or ())):
        return "global_pooling"
    return op


def notes_of(node: Node) -> tuple[str, ...]:
    """Return by which convention a node was counted, where there is one to tell."""
    if node.operator in FOURIER:
        return (FOURIER_NOTE,)
    if node.operator == f"{BLOCKED}::Conv":
        return (BLOCKED_NOTE,)
    return (QUANTIZED_NOTE,) if node.operator in WITHOUT_VERSIONS else ()


def operands_of(node: Node) -> list[Value]:
    """Return what a node multiplies and adds, what is multiplied first; scales are left out."""
    rule = FORMULAS.get(node.operator)
    if node.operator in KINDS:
        found = (node.input(0), *multiplied_by(node))
    elif rule is not None and rule.factors[:2] != (0, 1):
        found = tuple(map(node.input, rule.factors))
    else:
        found = node.inputs
    return [one for one in found if one is not None]
