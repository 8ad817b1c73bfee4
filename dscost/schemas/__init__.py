"""JSON Schema (draft-07) of what dscost reads and writes, made from what reads and writes it.

| name | of |
| --- | --- |
| `budget` | `dscost.yaml` |
| `report` | the JSON of every command that analyses something |
| `comparison` | the JSON of `dscost compare` |
| `conversion` | the JSON of `dscost convert` |
| `architecture` | a network as YAML |
| `device` | a device as YAML |
| `convention` | how somebody counts as YAML |
| `plan` | the plan of a conversion as YAML |
| `sweep` | grids of layers as YAML |
| `swept` | the JSON of `dscost sweep` |
"""

from collections.abc import Mapping
from importlib import import_module
from typing import Any

from dscost.errors import UnknownNameError

__all__ = ["SCHEMAS", "schema"]

SCHEMAS: Mapping[str, str] = {
    "budget": "dscost.budgets.language:BUDGET",
    "report": "dscost.schemas.of_results:report",
    "comparison": "dscost.schemas.of_comparisons:schema",
    "conversion": "dscost.schemas.of_results:conversion",
    "architecture": "dscost.schemas.of_architectures:schema",
    "device": "dscost.devices.sheets:DEVICE",
    "convention": "dscost.conventions.files:CONVENTION",
    "plan": "dscost.converting.plan_file:PLAN",
    "sweep": "dscost.sweeping.grid_files:FILE",
    "swept": "dscost.schemas.of_sweeps:schema",
}
"""The module that has each, and the form that reads such a file or a function that returns it."""

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
    module, _, of = SCHEMAS[name].partition(":")
    found = getattr(import_module(module), of)
    if callable(found):
        return {"$schema": DRAFT, **found()}
    definitions: dict[str, Any] = {}
    title = {"$schema": DRAFT, "title": f"A {name} of dscost"}
    return {**title, **found.schema(definitions), "definitions": definitions}
