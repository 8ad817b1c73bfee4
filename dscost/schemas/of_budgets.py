"""The schema of a budget file, which is that of its language."""

from dscost.budgets.language import BUDGET
from dscost.notation.json_schema import Definitions, Schema


def schema() -> Schema:
    """Return the schema of a budget file."""
    definitions: Definitions = {}
    return {
        "title": "A budget of dscost",
        **BUDGET.schema(definitions),
        "definitions": definitions,
    }
