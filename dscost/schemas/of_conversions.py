"""The schema of what `dscost convert --json` says, from `dscost.converting.results`."""

from dscost.converting.results import Converted, Outcome
from dscost.notation.json_schema import Schema
from dscost.schemas.of_reports import FIGURES, head
from dscost.schemas.records import object_of, property_of, schema_of


def schema() -> Schema:
    """Return the schema of the JSON document."""
    definitions: dict[str, Schema] = {}
    properties = {
        **head({"const": "convert"}),
        "environment": property_of(Converted, "environment", definitions),
        "conversion": schema_of(Outcome, definitions),
    }
    return {
        "title": "A conversion of dscost",
        "description": FIGURES,
        **object_of(properties),
        "definitions": dict(sorted(definitions.items())),
    }
