"""The schema of what `dscost sweep --json` says."""

from collections.abc import Mapping
from typing import get_args

from dscost.notation.json_schema import Schema, field_descriptions, with_description
from dscost.reports.figures import FIGURES
from dscost.schemas.of_results import TEXT, document
from dscost.schemas.records import object_of, property_of, reference, schema_of
from dscost.sweeping.answers import Crossover, Outcome
from dscost.sweeping.grids import AXES
from dscost.sweeping.monotone import Order, Violation
from dscost.sweeping.records import Drift, Sum, Sweep
from dscost.sweeping.tables import COLUMNS, PLACE

VALUE: Schema = {"type": ["integer", "number", "string", "boolean", "null"]}
"""Of an axis: pairs are text, `5x3`."""
VALUES: Schema = {"type": "array", "items": VALUE}
TEXTS = ("dtype", "variant", "runtime", "clock", "device", "versions", "host", "verdict", "note")
COUNTS = ("calls", "threads", "visits", "params", "macs", "flops", "activations")


def schema() -> Schema:
    """Return the schema of the JSON document."""
    definitions: dict[str, Schema] = {}
    definitions |= {
        "Row": {"type": "object", "properties": {name: _column(name) for name in COLUMNS}},
        "Crossover": _crossover(),
        "Violation": _violation(definitions),
    }
    own = ("title", "size", "impossible", "unfinished", "journal", "spreads", "warnings")
    drift = schema_of(tuple[Drift, ...], definitions)
    sums = schema_of(tuple[Sum, ...], definitions)
    gap = "The sum over the whole, less 1: 0.03 for 3 % more."
    definitions["Sum"]["properties"]["gap"] = {"type": "number", "description": gap}
    properties: Mapping[str, Schema] = {
        **{key: property_of(Sweep, key, definitions) for key in own},
        "crossovers": _list_of("Crossover", "From where on each variant pays, all else equal."),
        "losses": _list_of("Row", "The rows that are slower, the worst first."),
        "order": _order(definitions),
        "rows": _list_of("Row", "The table, in the order of the grid."),
        "sums": with_description(sums, field_descriptions(Sweep).get("sums")),
        "drift": with_description(drift, field_descriptions(Sweep).get("drift")),
    }
    return document("What a sweep of dscost says", {"const": "sweep"}, properties, definitions)


def _column(name: str) -> Schema:
    """Return what a column of the table is: unknown where null."""
    if name in AXES:
        return VALUE
    if name in TEXTS:
        return {"type": ["string", "null"]}
    kind = "integer" if name in COUNTS or name.endswith("_bytes") else "number"
    meaning = FIGURES[name].meaning if name in FIGURES else None
    return with_description({"type": [kind, "null"]}, meaning)


def _crossover() -> Schema:
    """Return the keys of `Crossover.to_dict`."""
    told = field_descriptions(Crossover)
    lists = {
        "values": told["verdicts"],
        "before": "Values below that at which it pays all the same.",
        "unclear": "Values of which the clock cannot tell, some cells at least.",
        "slower": "Values at which some cell is slower.",
    }
    begins = "The value from which on every cell is faster; null where that of the largest is not."
    keys: dict[str, Schema] = {
        "variant": TEXT,
        "of": {"type": "object", "additionalProperties": VALUE, "description": told["of"]},
        "along": {**TEXT, "description": told["along"]},
        "outcome": {"enum": list(get_args(Outcome))},
        "begins": {**VALUE, "description": begins},
        **{name: {**VALUES, "description": text} for name, text in lists.items()},
    }
    return _with_place(keys)


def _violation(definitions: dict[str, Schema]) -> Schema:
    """Return the keys of `Violation.to_dict`."""
    told = field_descriptions(Violation)
    keys: dict[str, Schema] = {
        "variant": TEXT,
        "of": {"type": "object", "additionalProperties": VALUE},
        "along": {**TEXT, "description": told["along"]},
        "less": {**VALUE, "description": told["less"]},
        "more": {**VALUE, "description": told["more"]},
        "less_latency_s": {"type": "number"},
        "more_latency_s": {"type": "number"},
        **{key: property_of(Violation, key, definitions) for key in ("factor", "noise_floor")},
    }
    return _with_place(keys)


def _order(definitions: dict[str, Schema]) -> Schema:
    """Return the keys of `Order.to_dict`."""
    keys = {key: property_of(Order, key, definitions) for key in ("checked", "noise_floor")}
    found = _list_of("Violation", field_descriptions(Order)["violations"])
    return object_of({**keys, "violations": found})


def _with_place(keys: Mapping[str, Schema]) -> Schema:
    """Return an object that tells its place as well."""
    return object_of({**{name: _column(name) for name in (*PLACE, "dtype")}, **keys})


def _list_of(name: str, description: str) -> Schema:
    return {"type": "array", "items": reference(name), "description": description}
