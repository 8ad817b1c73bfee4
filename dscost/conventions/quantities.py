"""What a rule may count of a call: its elements, its multiply-accumulates, and named exceptions.

A quantity is a function of a `Call`. The first four make up nearly all rules that there are; the
others are what some tool does that no sum of those four tells.
"""

from collections.abc import Callable, Mapping
from fractions import Fraction
from math import prod

from dscost.traces.calls import Call

Quantity = Callable[[Call], int | Fraction]


def inputs(call: Call) -> int:
    """Return the elements of the first tensor that it is given."""
    return prod(call.input)


def outputs(call: Call) -> int:
    """Return the elements of its first result."""
    return prod(call.output)


def macs(call: Call) -> int:
    """Return the multiply-accumulates of what ran within."""
    return call.macs


def bias(call: Call) -> int:
    """Return the elements of its result if a bias is added to them."""
    return prod(call.output) if "bias" in call.parameters else 0


def scaled(call: Call) -> int:
    """Return the elements of the first tensor if a normalisation scales and shifts them."""
    return prod(call.input) if "weight" in call.parameters else 0


QUANTITIES: Mapping[str, Quantity] = {
    one.__name__: one for one in (inputs, outputs, macs, bias, scaled)
}
"""By the name that files use."""
