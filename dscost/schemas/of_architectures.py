"""The schema of a file that may have one of two forms."""

from dscost.networks.forms import FILE, layer_schema
from dscost.notation.json_schema import Schema


def schema() -> Schema:
    """Return the schema of a network; a bare list is a file of layers alone."""
    return {
        "title": "An architecture of dscost",
        "if": {"type": "array"},
        "then": FILE.forms["layers"].schema({}),
        "else": FILE.schema({}),
        "definitions": {"layer": layer_schema()},
    }
