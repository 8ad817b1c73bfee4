"""From the annotations of records to the schema of their JSON."""

from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from dscost.converting.results import LAYER_KEYS, LayerOutcome
from dscost.layers.variants import TIMING_KEYS
from dscost.notation.json_schema import Schema, field_descriptions, first_line, with_description
from dscost.reports.figures import COST_FIGURES, Cost
from dscost.reports.records import (
    REPORT_KEYS,
    TOTALS_KEYS,
    Report,
    Speedup,
    Timing,
    Totals,
)

_KEYS: Mapping[type, tuple[str, ...]] = {
    Cost: COST_FIGURES,
    Speedup: (*Speedup._fields, "verdict"),
    Timing: TIMING_KEYS,
    Totals: TOTALS_KEYS,
    Report: REPORT_KEYS,
    LayerOutcome: LAYER_KEYS,
}
"""The keys of the records whose JSON is not their fields alone: those that have a `to_dict`."""

_SCALARS: Mapping[Any, Schema] = {
    Any: {},
    bool: {"type": "boolean"},
    int: {"type": "integer"},
    float: {"type": "number"},
    str: {"type": "string"},
    NoneType: {"type": "null"},
}


def object_of(properties: Mapping[str, Schema]) -> Schema:
    """Return the schema of an object that has these keys and maybe more."""
    return {"type": "object", "properties": dict(properties), "required": list(properties)}


def schema_of(hint: Any, definitions: dict[str, Schema]) -> Schema:
    """Return what a value of that annotation is in JSON; records are added to the definitions."""
    if hint in _SCALARS:
        return dict(_SCALARS[hint])
    origin, arguments = get_origin(hint), get_args(hint)
    if origin in (Union, UnionType):
        return _union([schema_of(one, definitions) for one in arguments])
    if origin is Literal:
        return {"enum": list(arguments)}
    if origin is tuple and arguments[-1] is Ellipsis:
        return {"type": "array", "items": schema_of(arguments[0], definitions)}
    if origin is tuple:
        items = [schema_of(one, definitions) for one in arguments]
        return {"type": "array", "items": items, "minItems": len(items), "maxItems": len(items)}
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return {"type": "object", "additionalProperties": schema_of(arguments[1], definitions)}
    return _record(hint, definitions)


def _union(schemas: list[Schema]) -> Schema:
    """Return one of several; scalars as a list of their types."""
    if all(list(one) == ["type"] for one in schemas):
        return {"type": [one["type"] for one in schemas]}
    return {"anyOf": schemas}


def _record(record: type, definitions: dict[str, Schema]) -> Schema:
    """Return a reference to the definition of a record, made on first use."""
    if record.__name__ not in definitions:
        definitions[record.__name__] = {}  # a record may hold itself
        properties = {key: property_of(record, key, definitions) for key in _keys(record)}
        definitions[record.__name__] = with_description(object_of(properties), first_line(record))
    return {"$ref": f"#/definitions/{record.__name__}"}


def property_of(record: type, key: str, definitions: dict[str, Schema]) -> Schema:
    """Return what a field or property of a record is in JSON, with what its docstring says."""
    description = field_descriptions(record).get(key) or _property_description(record, key)
    return with_description(schema_of(_hint(record, key), definitions), description)


def _keys(record: Any) -> tuple[str, ...]:
    if hasattr(record, "to_dict"):
        return _KEYS[record]
    if is_dataclass(record):
        return tuple(field.name for field in fields(record))
    names: tuple[str, ...] = record._fields
    return names


def _hint(record: type, key: str) -> Any:
    hints = get_type_hints(record)
    return hints[key] if key in hints else get_type_hints(getattr(record, key).fget)["return"]


def _property_description(record: type, key: str) -> str | None:
    found = getattr(record, key)
    return first_line(found) if isinstance(found, property) else None
