"""The schema of a report in JSON, from the annotations of the records in `dscost.reports.records`.

Keys are only ever added within a `schema_version`, so a report may have keys that an older schema
does not know.
"""

from collections.abc import Mapping

from dscost.notation.json_schema import Schema
from dscost.reports.figures import CONVENTIONS
from dscost.reports.records import SCHEMA_VERSION, Environment, Report
from dscost.schemas.records import object_of, schema_of

TEXT: Schema = {"type": "string"}
FIGURES = "Counts are exact, times seconds, sizes bytes; what is unknown is null, never 0."


def schema() -> Schema:
    """Return the schema of the JSON document."""
    definitions: dict[str, Schema] = {}
    properties = {
        **head({**TEXT, "description": "The command that made the report."}),
        "environment": schema_of(Environment | None, definitions),
        "subjects": schema_of(tuple[Report, ...], definitions),
    }
    entry = {**TEXT, "description": "The entry of the budget, in what dscost check says."}
    definitions[Report.__name__]["properties"]["entry"] = entry
    return {
        "title": "A report of dscost",
        "description": FIGURES,
        **object_of(properties),
        "definitions": dict(sorted(definitions.items())),
    }


def head(command: Schema) -> Mapping[str, Schema]:
    """Return what every JSON document of dscost begins with."""
    return {
        "schema_version": {"const": SCHEMA_VERSION},
        "tool": object_of({"name": {"const": "dscost"}, "version": TEXT}),
        "command": command,
        "conventions": {
            **object_of({name: {**TEXT, "const": text} for name, text in CONVENTIONS.items()}),
            "description": "What the numbers mean.",
        },
    }
