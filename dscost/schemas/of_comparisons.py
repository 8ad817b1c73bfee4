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
from dscost.reports.records import Latency, Report, Timing, Totals
from dscost.schemas.of_results import TEXT, document
from dscost.schemas.records import object_of, property_of, reference

COUNT: Schema = {"type": "integer", "minimum": 0}
NAME: Schema = {"type": ["string", "null"]}


def schema() -> Schema:
    """Return the schema of the JSON document."""
    definitions: dict[str, Schema] = {}
    own = ("label", "saved", "timed")
    contender = {key: property_of(Contender, key, definitions) for key in own}
    for key in CONTENDER_KEYS:
        contender[key] = property_of(Report, key, definitions)
    contender["cost"] = with_description(property_of(Totals, "as_is", definitions), "As it is.")
    contender["latency"] = {
        "type": "object",
        "additionalProperties": _latency(definitions),
        "description": "Time of one pass, by setting such as `cpu`.",
    }
    difference = {key: property_of(Difference, key, definitions) for key in DIFFERENCE_KEYS}
    beside: dict[str, Schema] = {
        "side_by_side": {
            "type": "boolean",
            "description": "Whether both took turns in one run; else no speedup follows.",
        },
        "speedup": with_description(
            property_of(Timing, "speedup", definitions),
            "Latency of the reference over that of the model, where they took turns.",
        ),
        "cpu_speedup": with_description(
            property_of(Timing, "speedup", definitions),
            "The same of their processor times, where these were read.",
        ),
    }
    definitions |= {
        "Contender": object_of(contender),
        "Difference": object_of(difference),
        "LatencyDifference": object_of({**difference, **beside}),
        "Layer": object_of(_layer()),
        "Versus": object_of(_versus()),
    }
    descriptions = field_descriptions(Comparison)
    properties = {
        "reference": {**TEXT, "description": "What the others are held against, by its label."},
        "environment": property_of(Comparison, "environment", definitions),
        "related": {
            "type": "boolean",
            "description": "Whether each two of the models share a fifth of their layers or more.",
        },
        "compared": with_description(_list_of("Contender"), descriptions.get("contenders")),
        "differences": with_description(_list_of("Versus"), descriptions.get("versus")),
        "notes": with_description({"type": "array", "items": TEXT}, descriptions.get("notes")),
    }
    return document("A comparison of dscost", {"const": "compare"}, properties, definitions)


def _latency(definitions: dict[str, Schema]) -> Schema:
    """Return the schema of a latency of a whole model."""
    keys = {key: property_of(Latency, key, definitions) for key in Latency._fields}
    per_s: Schema = {"type": "number", "description": "Inputs per second, given the batch."}
    return object_of({**keys, "throughput_per_s": per_s})


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
