"""The schema of an architecture file, which is that of its forms."""

from dscost.networks.forms import FILE, layer_schema
from dscost.notation.json_schema import Schema


def schema() -> Schema:
    """Return the schema of an architecture file."""
    return {
        "title": "An architecture of dscost",
        "if": {"type": "array"},
        "then": FILE.forms["layers"].schema({}),
        "else": FILE.schema({}),
        "definitions": {"layer": layer_schema()},
    }
