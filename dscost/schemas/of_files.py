"""The schemas of the YAML files that people write, which are those of their forms."""

from dscost.notation.forms import Form
from dscost.notation.json_schema import Definitions, Schema


def budget() -> Schema:
    """Return the schema of `dscost.yaml`."""
    from dscost.budgets.language import BUDGET

    return _of_form("A budget of dscost", BUDGET)


def device() -> Schema:
    """Return the schema of a device, such as those of `configs/devices`."""
    from dscost.devices.sheets import DEVICE

    return _of_form("A device of dscost", DEVICE)


def plan() -> Schema:
    """Return the schema of the plan of a conversion."""
    from dscost.converting.plan_file import PLAN

    return _of_form("A plan of dscost", PLAN)


def architecture() -> Schema:
    """Return the schema of a network; a bare list is a file of layers alone."""
    from dscost.networks.forms import FILE, layer_schema

    return {
        "title": "An architecture of dscost",
        "if": {"type": "array"},
        "then": FILE.forms["layers"].schema({}),
        "else": FILE.schema({}),
        "definitions": {"layer": layer_schema()},
    }


def _of_form(title: str, form: Form) -> Schema:
    definitions: Definitions = {}
    return {"title": title, **form.schema(definitions), "definitions": definitions}
