"""What ONNX's operators cost: one rule for each, in the file of its family.

An operator has one of three answers: a formula, that it is free, or that it is unknown.
"""

from dscost.graphs.rules import (  # noqa: F401
    attention,
    convolutions,
    free,
    products,
    recurrent,
    unknown,
)
