"""The schema of what `dscost compare --json` says, from what `dscost.comparing` compares."""

from collections.abc import Mapping

from dscost.comparing.differences import (
    CONTENDER_KEYS,
    DIFFERENCE_KEYS,
    LAYER_METRICS,
    METRICS,
    STATUSES,
    Comparison,
    Contender,
    Difference,
    LayerPair,
)
from dscost.notation.json_schema import Schema, field_descriptions, with_description
from dscost.reports.figures import FIGURES
from dscost.reports.records import Report
from dscost.schemas.of_results import TEXT, document
from dscost.schemas.records import object_of, property_of, reference

COUNT: Schema = {"type": "integer", "minimum": 0}
NAME: Schema = {"type": ["string", "null"]}


def schema() -> Schema:
    """Return the schema of the JSON document."""
    definitions: dict[str, Schema] = {}
    contender = {key: property_of(Contender, key, definitions) for key in ("label", "saved")}
    for key in CONTENDER_KEYS:
        contender[key] = property_of(Report, key, definitions)
    difference = {key: property_of(Difference, key, definitions) for key in DIFFERENCE_KEYS}
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
        "reference": {**TEXT, "description": "What the others are held against, by its label."},
        "compared": with_description(_list_of("Contender"), descriptions.get("contenders")),
        "differences": with_description(_list_of("Versus"), descriptions.get("versus")),
        "notes": with_description({"type": "array", "items": TEXT}, descriptions.get("notes")),
    }
    return document("A comparison of dscost", {"const": "compare"}, properties, definitions)


def _versus() -> Mapping[str, Schema]:
    """Return the keys of `Versus.to_dict`."""
    latencies = {"type": "object", "additionalProperties": reference("LatencyDifference")}
    reordered = "Whether layers that both have run in another order."
    layers = "Those that differ; with --all those that are the same as well."
    return {
        "label": TEXT,
        "totals": object_of(_differences(METRICS)),
        "latency_s": latencies,
        "layer_counts": object_of(dict.fromkeys((*STATUSES, "renamed"), COUNT)),
        "reordered": {"type": "boolean", "description": reordered},
        "layers": {**_list_of("Layer"), "description": layers},
    }


def _layer() -> Mapping[str, Schema]:
    """Return the keys of `LayerPair.to_dict`."""
    status = field_descriptions(LayerPair).get("status")
    in_model = "In the model; null where only the reference has it."
    in_reference = "In the reference; null where only the model has it."
    return {
        "name": {**NAME, "description": in_model},
        "reference_name": {**NAME, "description": in_reference},
        "status": with_description({"enum": list(STATUSES)}, status),
        "type": TEXT,
        **_differences(LAYER_METRICS),
    }


def _differences(metrics: tuple[str, ...]) -> Mapping[str, Schema]:
    return {
        metric: with_description(reference("Difference"), FIGURES[metric].meaning)
        for metric in metrics
    }


def _list_of(name: str) -> Schema:
    return {"type": "array", "items": reference(name)}
