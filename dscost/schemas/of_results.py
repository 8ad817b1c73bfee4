"""The schemas of what commands say as JSON, from the annotations of the records that they come to.

Keys are only ever added within a `schema_version`, so a document may have keys that an older schema
does not know.
"""

from collections.abc import Mapping

from dscost.converting.results import Converted, Outcome
from dscost.notation.json_schema import Schema
from dscost.reports.figures import CONVENTIONS
from dscost.reports.records import SCHEMA_VERSION, Environment, Report
from dscost.schemas.records import object_of, property_of, schema_of

TEXT: Schema = {"type": "string"}
FIGURES = "Counts are exact, times seconds, sizes bytes; what is unknown is null, never 0."


def report() -> Schema:
    """Return the schema of the JSON of every command that analyses something."""
    definitions: dict[str, Schema] = {}
    properties = {
        "environment": schema_of(Environment | None, definitions),
        "subjects": schema_of(tuple[Report, ...], definitions),
    }
    entry = {**TEXT, "description": "The entry of the budget, in what dscost check says."}
    definitions[Report.__name__]["properties"]["entry"] = entry
    command = {**TEXT, "description": "The command that made the report."}
    return document("A report of dscost", command, properties, definitions)


def conversion() -> Schema:
    """Return the schema of the JSON of `dscost convert`."""
    definitions: dict[str, Schema] = {}
    properties = {
        "environment": property_of(Converted, "environment", definitions),
        "conversion": schema_of(Outcome, definitions),
    }
    return document("A conversion of dscost", {"const": "convert"}, properties, definitions)


def document(
    title: str, command: Schema, properties: Mapping[str, Schema], definitions: Mapping[str, Schema]
) -> Schema:
    """Return the schema of a whole document, whose first keys are those of every one."""
    conventions = {name: {**TEXT, "const": text} for name, text in CONVENTIONS.items()}
    head: dict[str, Schema] = {
        "schema_version": {"const": SCHEMA_VERSION},
        "tool": object_of({"name": {"const": "dscost"}, "version": TEXT}),
        "command": command,
        "conventions": {**object_of(conventions), "description": "What the numbers mean."},
    }
    return {
        "title": title,
        "description": FIGURES,
        **object_of({**head, **properties}),
        "definitions": dict(sorted(definitions.items())),
    }
