"""What torch's operators cost: one rule for each, in the file of its family."""

from dscost.traces.rules import attention, convolutions, products, recurrent  # noqa: F401
from dscost.traces.rules.free import FOURIER, MEAN, all_positions
from dscost.traces.rules.table import (
    ELEMENTWISE,
    FORMULAS,
    FREE,
    Rule,
    gradient_macs,
    named,
    register_formula,
    word_of,
    writes_activations,
)

__all__ = [
    "ELEMENTWISE",
    "FORMULAS",
    "FOURIER",
    "FREE",
    "MEAN",
    "Rule",
    "all_positions",
    "gradient_macs",
    "named",
    "register_formula",
    "replaced",
    "word_of",
    "writes_activations",
]

_OURS = dict(FORMULAS)


def replaced() -> set[str]:
    """Return the operators whose formula a user has given."""
    return {operator for operator, rule in FORMULAS.items() if _OURS.get(operator) is not rule}
