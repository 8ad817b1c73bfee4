"""JSON Schema (draft-07) of what dscost reads and writes, made from what reads and writes it.

| name | of |
| --- | --- |
| `budget` | `dscost.yaml` |
| `report` | the JSON of every command that analyses something |
| `comparison` | the JSON of `dscost compare` |
| `conversion` | the JSON of `dscost convert` |
| `architecture` | a network as YAML |
| `device` | a device as YAML |
| `plan` | the plan of a conversion as YAML |
"""

from collections.abc import Mapping
from importlib import import_module
from typing import Any

from dscost.errors import UnknownNameError

__all__ = ["SCHEMAS", "schema"]

SCHEMAS: Mapping[str, str] = {
    "budget": "dscost.schemas.of_files:budget",
    "report": "dscost.schemas.of_reports:schema",
    "comparison": "dscost.schemas.of_comparisons:schema",
    "conversion": "dscost.schemas.of_conversions:schema",
    "architecture": "dscost.schemas.of_files:architecture",
    "device": "dscost.schemas.of_files:device",
    "plan": "dscost.schemas.of_files:plan",
}
"""The module and the function that make each."""

DRAFT = "http://json-schema.org/draft-07/schema#"


def schema(name: str) -> dict[str, Any]:
    """Return a schema as plain JSON values.

    Raises:
        UnknownNameError: There is none of that name.

    >>> schema("budget")["required"]
    ['version', 'models']
    """
    if name not in SCHEMAS:
        raise UnknownNameError("schema", name, SCHEMAS)
    module, _, function = SCHEMAS[name].partition(":")
    found: dict[str, Any] = getattr(import_module(module), function)()
    return {"$schema": DRAFT, **found}
