"""From the annotations of records to the schema of their JSON."""

from collections.abc import Mapping
from typing import Any, get_type_hints

from dscost.converting.results import LAYER_KEYS, LayerOutcome
from dscost.layers.variants import TIMING_KEYS
from dscost.notation.json_schema import Schema, field_descriptions, first_line, with_description
from dscost.notation.typed_json import SCALARS, fields_of, form_of
from dscost.reports.figures import COST_FIGURES, Cost
from dscost.reports.records import REPORT_KEYS, TOTALS_KEYS, Report, Speedup, Timing, Totals

_KEYS: Mapping[type, tuple[str, ...]] = {
    Cost: COST_FIGURES,
    Speedup: (*Speedup._fields, "verdict"),
    Timing: TIMING_KEYS,
    Totals: TOTALS_KEYS,
    Report: REPORT_KEYS,
    LayerOutcome: LAYER_KEYS,
}
"""The keys of the records whose JSON is not their fields alone: those that have a `to_dict`."""


def object_of(properties: Mapping[str, Schema]) -> Schema:
    """Return the schema of an object that has these keys and maybe more."""
    return {"type": "object", "properties": dict(properties), "required": list(properties)}


def reference(name: str) -> Schema:
    """Return what stands for a definition."""
    return {"$ref": f"#/definitions/{name}"}


def schema_of(hint: Any, definitions: dict[str, Schema]) -> Schema:
    """Return what a value of that annotation is in JSON; records are added to the definitions."""
    form, inner = form_of(hint)
    if form == "scalar":
        return {} if hint is Any else {"type": SCALARS[hint][2]}
    if form == "literal":
        return {"enum": list(inner)}
    if form == "record":
        return _record(hint, definitions)
    parts = [schema_of(one, definitions) for one in inner]
    if form == "choice":
        return _union(parts)
    if form == "tuple":
        return {"type": "array", "items": parts, "minItems": len(parts), "maxItems": len(parts)}
    if form == "list":
        return {"type": "array", "items": parts[0]}
    return {"type": "object", "additionalProperties": parts[0]}


def _union(schemas: list[Schema]) -> Schema:
    """Return one of several; scalars as a list of their types."""
    if all(list(one) == ["type"] for one in schemas):
        return {"type": [one["type"] for one in schemas]}
    return {"anyOf": schemas}


def _record(record: Any, definitions: dict[str, Schema]) -> Schema:
    """Return a reference to the definition of a record, made on first use."""
    name = record.__name__
    if name not in definitions:
        definitions[name] = {}  # a record may hold itself
        keys = _KEYS[record] if hasattr(record, "to_dict") else fields_of(record)
        properties = {key: property_of(record, key, definitions) for key in keys}
        definitions[name] = with_description(object_of(properties), first_line(record))
    return reference(name)


def property_of(record: Any, key: str, definitions: dict[str, Schema]) -> Schema:
    """Return what a field or property of a record is in JSON, with what its docstring says."""
    hints, description = get_type_hints(record), field_descriptions(record).get(key)
    if key not in hints:
        found = getattr(record, key)
        hints = {key: get_type_hints(found.fget)["return"]}
        description = description or first_line(found)
    return with_description(schema_of(hints[key], definitions), description)
