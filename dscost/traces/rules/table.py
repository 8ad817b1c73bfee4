"""The table of operators: what each costs, its word in a report, how its gradients count.

A formula takes the operator's own arguments with every tensor replaced by its shape, and the shape
of the (first) output as `out`. It sees nothing else, so it is tested without a tensor. Padding
positions count like others, a bias is not a MAC, masking and causality save nothing.
"""

from collections.abc import Callable, Sequence
from functools import cache
from typing import NamedTuple

from dscost.errors import InputError, UnknownNameError
from dscost.layers.operations import LAYERS, OPERATIONS

Shape = tuple[int, ...]

Formula = Callable[..., int]
"""From shapes and the other arguments of an operator to multiply-accumulates."""

Gradients = Callable[[int, Sequence[bool]], int]
"""From the MACs of an operator, and which of its operands need a gradient, to the MACs of those."""


class Rule(NamedTuple):
    """What is known of an operator that multiplies.

    Args:
        macs: Its formula.
        op: What it computes, in the words of a report.
        factors: Which of its operands are multiplied. The gradient of each costs what the operator
            itself does.
        gradients: What its gradients cost where they are not one product for each factor.
        is_layer: Whether it is a convolution or a linear layer, where its word does not say so.
    """

    macs: Formula
    op: str = "other"
    factors: tuple[int, ...] = (0, 1)
    gradients: Gradients | None = None
    is_layer: bool = False


FORMULAS: dict[str, Rule] = {}
"""Operators with a formula, by `namespace::name` without the overload; of ONNX by their domain, as
`ai.onnx::Conv`."""

FREE: dict[str, str] = {}
"""Operators without MACs, by name, and their words in a report; empty where they have none."""

ELEMENTWISE: dict[str, str] = {}
"""Operators that torch itself tags as elementwise, by name, and their words in a report."""


def register_formula(
    *operators: str,
    op: str | None = None,
    factors: tuple[int, ...] | None = None,
    gradients: Gradients | None = None,
    is_layer: bool = False,
) -> Callable[[Formula], Formula]:
    """Return a decorator that makes a function the MAC formula of some operators.

    Args:
        operators: Names such as `aten::mm` or `mylib::fused_attention`, without overload; of ONNX
            the domain and the type, as `com.acme::Attention`.
        op: What they compute, in the words of a report, such as `matmul`. By default that of the
            formula before, if there was one, or `other`.
        factors: Positions of the operands that are multiplied, by default the first two. In
            training the gradient of each costs as much as the operator itself.
        gradients: In training the MACs of all gradients, where that is not so: called with the MACs
            of the operator and, for each operand, whether it needs a gradient.
        is_layer: Whether what it writes counts as `activations`, as that of a convolution or linear
            layer always does.

    Raises:
        InputError: A name is not of that form, or there is no such word.

    >>> @register_formula("example::dot", op="matmul")
    ... def dot_macs(a, b, *, out):
    ...     return a[0]
    >>> from dscost.traces.rules import FORMULAS
    >>> FORMULAS.pop("example::dot").macs((5,), (5,), out=())
    5
    """
    for operator in operators:
        if operator.count("::") != 1 or "." in operator.partition("::")[2]:
            raise InputError(f"an operator is named like 'aten::mm', found '{operator}'")
    if op is not None and op not in OPERATIONS:
        raise UnknownNameError("operation", op, OPERATIONS)

    def add(formula: Formula) -> Formula:
        for operator in operators:
            known = FORMULAS.get(operator, Rule(formula, word_of(operator) or "other"))
            FORMULAS[operator] = Rule(
                formula,
                op or known.op,
                factors or known.factors,
                gradients or known.gradients,
                is_layer or known.is_layer,
            )
        return formula

    return add


def named(namespace: str, names: str) -> list[str]:
    """Return operators of one namespace as the table has them.

    >>> named("aten", "mm bmm")
    ['aten::mm', 'aten::bmm']
    """
    return [f"{namespace}::{name}" for name in names.split()]


def word_of(operator: str) -> str:
    """Return what an operator computes in the words of a report; empty where nobody has said.

    In place it computes the same.
    """
    rule = FORMULAS.get(operator)
    return _word_of_free(operator) if rule is None else rule.op


@cache
def _word_of_free(operator: str) -> str:
    base = operator.removesuffix("_")
    return FREE.get(operator) or FREE.get(base) or ELEMENTWISE.get(base, "")


def writes_activations(operator: str, op: str) -> bool:
    """Whether an operator that computed `op` is a convolution or a linear layer."""
    rule = FORMULAS.get(operator)
    return op in LAYERS or (rule is not None and rule.is_layer)


def gradient_macs(operator: str, macs: int, needing: Sequence[bool]) -> int:
    """Return the MACs of the gradients of an operator: of those operands that need one."""
    if not any(needing):
        return 0
    rule = FORMULAS.get(operator)
    if rule is not None and rule.gradients is not None:
        return rule.gradients(macs, needing)
    factors = Rule._field_defaults["factors"] if rule is None else rule.factors
    return macs * sum(needing[at] for at in factors if at < len(needing))


def twice(macs: int, needing: Sequence[bool]) -> int:
    """Return two gradients, whichever operands need one, as fused backward passes compute them."""
    return 2 * macs
