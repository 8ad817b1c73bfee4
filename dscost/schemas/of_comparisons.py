"""The schema of what `dscost compare --json` says, from what `dscost.comparing` compares.

Keys are only ever added within a `schema_version`, so a comparison may have keys that an older
schema does not know.
"""

from collections.abc import Mapping

from dscost.comparing.differences import (
    LAYER_METRICS,
    METRICS,
    STATUSES,
    Comparison,
    Contender,
    Difference,
    LayerPair,
)
from dscost.notation.json_schema import Schema, field_descriptions, with_description
from dscost.reports import figures
from dscost.reports.records import Report
from dscost.schemas.of_reports import FIGURES, TEXT, head
from dscost.schemas.records import object_of, property_of

COUNT: Schema = {"type": "integer", "minimum": 0}
NAME: Schema = {"type": ["string", "null"]}


def schema() -> Schema:
    """Return the schema of the JSON document."""
    definitions: dict[str, Schema] = {}
    contender = {
        **{key: property_of(Contender, key, definitions) for key in ("label", "saved")},
        **{
            key: property_of(Report, key, definitions)
            for key in ("target", "source", "inputs", "settings")
        },
        "environment": property_of(Report, "environment", definitions),
    }
    difference = {
        key: property_of(Difference, key, definitions)
        for key in ("reference", "value", "change", "percent")
    }
    separate = {
        "const": False,
        "description": "Times of separate runs: no speedup follows from them.",
    }
    definitions |= {
        "Contender": object_of(contender),
        "Difference": object_of(difference),
        "LatencyDifference": object_of({**difference, "side_by_side": separate}),
        "Layer": object_of(_layer()),
        "Versus": object_of(_versus()),
    }
    descriptions = field_descriptions(Comparison)
    properties = {
        **head({"const": "compare"}),
        "reference": {**TEXT, "description": "What the others are held against, by its label."},
        "compared": with_description(_list_of("Contender"), descriptions.get("contenders")),
        "differences": with_description(_list_of("Versus"), descriptions.get("versus")),
        "notes": with_description({"type": "array", "items": TEXT}, descriptions.get("notes")),
    }
    return {
        "title": "A comparison of dscost",
        "description": FIGURES,
        **object_of(properties),
        "definitions": dict(sorted(definitions.items())),
    }


def _versus() -> Mapping[str, Schema]:
    """Return the keys of `Versus.to_dict`."""
    return {
        "label": TEXT,
        "totals": object_of(_differences(METRICS)),
        "latency_s": {"type": "object", "additionalProperties": _ref("LatencyDifference")},
        "layer_counts": object_of(dict.fromkeys((*STATUSES, "renamed"), COUNT)),
        "reordered": {
            "type": "boolean",
            "description": "Whether layers that both have run in another order.",
        },
        "layers": {
            **_list_of("Layer"),
            "description": "Those that differ; with --all those that are the same as well.",
        },
    }


def _layer() -> Mapping[str, Schema]:
    """Return the keys of `LayerPair.to_dict`."""
    return {
        "name": {**NAME, "description": "In the model; null where only the reference has it."},
        "reference_name": {
            **NAME,
            "description": "In the reference; null where only the model has it.",
        },
        "status": with_description(
            {"enum": list(STATUSES)}, field_descriptions(LayerPair).get("status")
        ),
        "type": TEXT,
        **_differences(LAYER_METRICS),
    }


def _differences(metrics: tuple[str, ...]) -> Mapping[str, Schema]:
    return {
        metric: with_description(_ref("Difference"), figures.FIGURES[metric].meaning)
        for metric in metrics
    }


def _ref(name: str) -> Schema:
    return {"$ref": f"#/definitions/{name}"}


def _list_of(name: str) -> Schema:
    return {"type": "array", "items": _ref(name)}
