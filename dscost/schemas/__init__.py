"""JSON Schema (draft-07) of what dscost reads and writes, made from the types and tables that read and write it.

| name | of |
| --- | --- |
| `budget` | `dscost.yaml` |
| `report` | the JSON of every command that analyses something |
| `comparison` | the JSON of `dscost compare` |
| `conversion` | the JSON of `dscost convert` |
| `architecture` | a network as YAML |
"""

from collections.abc import Mapping
from importlib import import_module
from typing import Any

from dscost.errors import UnknownNameError

__all__ = ["SCHEMAS", "schema"]

SCHEMAS: Mapping[str, str] = {
    "budget": "dscost.schemas.of_budgets",
    "report": "dscost.schemas.of_reports",
    "comparison": "dscost.schemas.of_comparisons",
    "conversion": "dscost.schemas.of_conversions",
    "architecture": "dscost.schemas.of_architectures",
}
"""The module whose `schema()` makes each."""

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
    found: dict[str, Any] = import_module(SCHEMAS[name]).schema()
    return {"$schema": DRAFT, **found}
