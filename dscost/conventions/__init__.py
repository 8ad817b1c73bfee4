"""How others count: their rules as data, applied to what they would have seen of a model.

A convention is a file of `configs/conventions`: for operators, classes of modules and functions
how much each counts. It never replaces our own MACs; it stands beside them.
"""

from dscost.conventions.known import (
    CONVENTIONS,
    convention_names,
    find_convention,
    register_convention,
)
from dscost.conventions.records import Convention, Rule, Tally
from dscost.conventions.tallying import Grouped, alike_among, functions_of, tally

__all__ = [
    "CONVENTIONS",
    "Convention",
    "Grouped",
    "Rule",
    "Tally",
    "alike_among",
    "convention_names",
    "find_convention",
    "functions_of",
    "register_convention",
    "tally",
]
