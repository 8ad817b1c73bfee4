"""The schema of a budget file, from the tables that `dscost.budgets.language` reads it by.

What no draft-07 schema can say is left to `dscost check`: that no two models have one name, that `min` is not above
`max`, that an entry of `entries` chooses something, and that targets and patterns mean something.
"""

from collections.abc import Mapping
from typing import Any

from dscost.budgets.language import (
    BOUNDS,
    DEFAULT_KEYS,
    ENTRY_KEYS,
    EXCLUSION_KEYS,
    LEVELS,
    LIMIT_KEYS,
    MODEL_KEYS,
    POLICIES,
    RULE_KEYS,
    RUN_KEYS,
    TOP_KEYS,
    VERSION,
    Budget,
    Entry,
    LayerRule,
    Limit,
)
from dscost.budgets.metrics import METRICS, Metric
from dscost.budgets.selectors import EXAMPLE, FIELDS
from dscost.quantities import MAX_QUANTITY, QUANTITIES, quantity_pattern
from dscost.rendering.metrics import METRICS as MEANINGS
from dscost.results import CONVENTIONS
from dscost.schemas.wording import Schema, closed, said_of_fields, with_description
from dscost.units import DTYPE_BYTES

TEXT: Schema = {"type": "string", "pattern": r"\S"}
VALUES: Schema = {"type": "object"}
POSITIVE: Schema = {"type": "integer", "minimum": 1}

_CONDITION = rf"\s*(?:{'|'.join(FIELDS)})\s*(?:!=|<=|>=|=|<|>)\s*(?:true|false|[0-9]+)\s*"
_BY = r"(?:type|op|name):"
_SELECTOR = rf"^(?!{_BY}(?:\[|$))(?:{_BY})?[^\[\]]+(?:\[{_CONDITION}(?:,{_CONDITION})*\])?$"

_OF_ENTRY, _OF_LIMIT, _OF_RULE = (said_of_fields(described) for described in (Entry, Limit, LayerRule))
SAID: Mapping[str, str] = {
    **_OF_ENTRY,
    **_OF_RULE,
    **_OF_LIMIT,
    "version": f"Of the language: {VERSION}.",
    "baseline": said_of_fields(Budget).get("baseline", ""),
    "policy": said_of_fields(Budget).get("policy", ""),
    "description": "For people.",
    "defaults": "What holds for every model that does not say otherwise.",
    "models": "What to check.",
    "limits": "What the figures may be; a figure alone is the most that passes.",
    "layers": _OF_ENTRY.get("layers", ""),
    "matrix": "Lists of values by setting, or of input, batch and dtype: every combination is an entry of its own.",
    "set": "Settings of an architecture, such as width.",
    "entries": "Other limits for some entries of the matrix.",
    "match": f"Which layers, such as {EXAMPLE}.",
    "reason": "Why they do not count.",
    "max": "At most so much passes.",
    "min": "At least so much passes.",
    "max_increase": "How much more than in the baseline passes.",
    "max_decrease": "How much less than in the baseline passes.",
}
"""What each key is for; from the docstrings where they say it."""

POLICIES_SAID: Mapping[str, str] = {
    "on_missing_baseline": "A model has limits on growth, and the baseline does not have it, or of something else.",
    "on_stale_baseline": "The baseline has a model that the budget does not have any more.",
    "on_unmatched_rule": "A rule or an exclusion matches no layer.",
    "on_unknown_cost": "A model has operators of unknown cost, so its figures are partial.",
    "on_unloadable_model": "A model cannot be loaded or counted.",
    "on_improvement": "A model costs less than in the baseline.",
}


def schema() -> Schema:
    """Return the schema of a budget file."""
    kinds = sorted({(metric.kind, metric.measured) for metric in METRICS.values()})
    return {
        "title": "A budget of dscost",
        **_keyed(TOP_KEYS, _TOP, required=["version", "models"]),
        "definitions": {
            **{f"limit_{kind}": _limit(kind, measured=measured) for kind, measured in kinds},
            "limits": _limits(METRICS),
            "layer_limits": _limits({name: metric for name, metric in METRICS.items() if metric.of_layers}),
            "model": _keyed(MODEL_KEYS, _MODEL, required=["target"], dependencies={"entries": ["matrix"]}),
        },
    }


def _keyed(keys: tuple[str, ...], schemas: Mapping[str, Schema], **more: Any) -> Schema:
    """Return the mapping of these keys; a key that has no schema yet is a bug, not a hole."""
    return closed({key: with_description(schemas[key], SAID.get(key)) for key in keys}, **more)


# -- quantities and limits


def quantity(kind: str) -> Schema:
    """Return the schema of a quantity; a plain number where it needs no unit."""
    units, example = QUANTITIES[kind]
    text = {"type": "string", "pattern": quantity_pattern(kind), "maxLength": MAX_QUANTITY}
    number: list[Schema] = [{"type": "number", "minimum": 0}] if "" in units else []
    return {"description": f"Such as {example}.", "anyOf": [*number, text]}


def _limit(kind: str, *, measured: bool) -> Schema:
    bounds = [bound for bound in BOUNDS if not (measured and bound in _CHANGES)]
    schemas = {
        **{bound: quantity(kind) for bound in ("max", "min")},
        **{bound: {"anyOf": [quantity("share"), quantity(kind)]} for bound in _CHANGES},
        "ignore_below": quantity(kind),
        "tolerance": quantity("share"),
        "level": {"enum": list(LEVELS), "default": "warn" if measured else "error"},
        "message": TEXT,
    }
    without = {*_CHANGES, "ignore_below"} if measured else {"tolerance"}
    keyed = _keyed(
        tuple(key for key in LIMIT_KEYS if key not in without), schemas, anyOf=[{"required": [one]} for one in bounds]
    )
    if not measured:
        keyed["dependencies"] = {"ignore_below": {"anyOf": [{"required": [one]} for one in _CHANGES]}}
    return {"anyOf": [quantity(kind), keyed]}


_CHANGES = tuple(bound for bound in BOUNDS if bound not in ("max", "min"))


def _limits(metrics: Mapping[str, Metric]) -> Schema:
    return closed(
        {
            name: with_description({"$ref": f"#/definitions/limit_{metric.kind}"}, _meaning(name))
            for name, metric in metrics.items()
        }
    )


def _meaning(metric: str) -> str:
    if metric in MEANINGS:
        return MEANINGS[metric].meaning
    return CONVENTIONS[metric.removesuffix("_s") if METRICS[metric].measured else metric]


# -- the parts of a file

_SHAPE: Schema = {
    "anyOf": [
        {"type": "array", "items": POSITIVE, "minItems": 1},
        {"type": "string", "pattern": r"^\s*0*[1-9][0-9]*\s*(?:,\s*0*[1-9][0-9]*\s*)*$"},
    ]
}
_RUN: Mapping[str, Schema] = {"input": _SHAPE, "batch": POSITIVE, "dtype": {"enum": list(DTYPE_BYTES)}}
_LIMITS: Schema = {"$ref": "#/definitions/limits"}
_LAYER_LIMITS: Schema = {"$ref": "#/definitions/layer_limits"}
_MATCH: Schema = {"type": "string", "pattern": _SELECTOR}


def _list_of(items: Schema) -> Schema:
    return {"type": "array", "items": items, "minItems": 1}


_ENTRY: Mapping[str, Schema] = {"match": {"type": "object", "minProperties": 1}, "limits": _LIMITS}
_RULE: Mapping[str, Schema] = {"match": _MATCH, "each": _LAYER_LIMITS, "total": _LAYER_LIMITS}
_EXCLUSION: Mapping[str, Schema] = {"match": _MATCH, "reason": TEXT}
_MODEL: Mapping[str, Schema] = {
    "name": TEXT,
    "target": TEXT,
    **_RUN,
    "set": VALUES,
    "kwargs": VALUES,
    "matrix": {
        "type": "object",
        "properties": {key: _list_of(_RUN[key]) for key in RUN_KEYS},
        "additionalProperties": _list_of({}),
        "minProperties": 1,
    },
    "limits": _LIMITS,
    "entries": _list_of(
        closed({key: _ENTRY[key] for key in ENTRY_KEYS}, required=list(ENTRY_KEYS)),
    ),
    "layers": _list_of(
        _keyed(RULE_KEYS, _RULE, required=["match"], anyOf=[{"required": ["each"]}, {"required": ["total"]}])
    ),
    "exclude": _list_of(_keyed(EXCLUSION_KEYS, _EXCLUSION, required=list(EXCLUSION_KEYS))),
}
_TOP: Mapping[str, Schema] = {
    "version": {"const": VERSION},
    "baseline": TEXT,
    "defaults": _keyed(DEFAULT_KEYS, {**_RUN, "limits": _LIMITS}),
    "policy": closed(
        {
            name: {"description": POLICIES_SAID[name], "enum": list(words), "default": default}
            for name, (words, default) in POLICIES.items()
        }
    ),
    "models": _list_of({"$ref": "#/definitions/model"}),
    "description": {},
}
