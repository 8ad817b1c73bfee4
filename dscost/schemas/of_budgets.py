"""The schema of a budget file, from the tables that `dscost.budgets.language` reads it by.

What no draft-07 schema can say is left to `dscost check`: that no two models or inputs have one
name, that `min` is not above `max`, that a count in quotes is whole, that 1.0 is no size, that an
entry of `entries` chooses something, and that targets and patterns mean something.
"""

import re
from collections.abc import Iterable, Mapping
from typing import Any

from dscost.budgets.language import (
    BOUNDS,
    CHANGES,
    DEFAULT_KEYS,
    ENTRY_KEYS,
    EXCLUSION_KEYS,
    LEVELS,
    LIMIT_KEYS,
    MODEL_KEYS,
    NOT_OF_SAVED,
    OF_MODELS,
    POLICIES,
    RULE_KEYS,
    RUN_KEYS,
    TOP_KEYS,
    VERSION,
    WHOLE,
    Budget,
    Entry,
    LayerRule,
    Limit,
    has_growth,
)
from dscost.budgets.selectors import EXAMPLE, FIELDS
from dscost.files import REPORT_ENDING
from dscost.notation.inputs import NAME_PATTERN, input_pattern
from dscost.notation.quantities import MAX_QUANTITY, QUANTITIES, quantity_pattern
from dscost.notation.units import DTYPE_BYTES
from dscost.reports.figures import FIGURES, Figure
from dscost.schemas.wording import Schema, closed, said_of_fields, with_description

TEXT: Schema = {"type": "string", "pattern": r"\S"}
VALUES: Schema = {"type": "object"}
POSITIVE: Schema = {"type": "integer", "minimum": 1}

_CONDITION = rf"\s*(?:{'|'.join(FIELDS)})\s*(?:!=|<=|>=|=|<|>)\s*(?:true|false|[0-9]+)\s*"
_CONDITIONS = rf"(?:\[{_CONDITION}(?:,{_CONDITION})*\])?"
_SELECTOR = (  # a name may be anything where one says that it is a name
    rf"^(?:name:(?!\s)[^\[\]]*[^\[\]\s]|(?:(?:type|op):)?(?!\s)[^\[\]:,^$\\|+(){{}}]*[^\[\]:,^$\\|+(){{}}\s]){_CONDITIONS}$"
)

_OF_ENTRY, _OF_LIMIT, _OF_RULE = (
    said_of_fields(described) for described in (Entry, Limit, LayerRule)
)
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
    "limits": "What the figures may be; a figure alone is the most that passes. "
    "Beside a bound that a model writes, keys that it leaves out are those of the defaults.",
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
    "on_unseen_work": "Part of a model ran, or may have run, where no operator is seen, so its cost is not counted.",
    "on_value_dependent": "A model looks at values, so that other inputs may cost more.",
    "on_unused_weights": "Modules of a model never ran, so that their cost is not counted.",
    "on_unloadable_model": "A model cannot be loaded or counted.",
    "on_improvement": "A model costs less than in the baseline.",
}


def schema() -> Schema:
    """Return the schema of a budget file."""
    of_layers = {name: metric for name, metric in FIGURES.items() if metric.is_of_layers}
    return {
        "title": "A budget of dscost",
        **_keyed(TOP_KEYS, _TOP, required=["version", "models"]),
        "definitions": {
            **_limit_definitions(FIGURES, of_layers=False),
            **_limit_definitions(of_layers, of_layers=True),
            "limits": _limits(FIGURES, of_layers=False),
            "layer_limits": {**_limits(of_layers, of_layers=True), "minProperties": 1},
            "input": _INPUT,
            "model": _keyed(
                MODEL_KEYS,
                _MODEL,
                required=["target"],
                dependencies={"entries": ["matrix"]},
                **{"if": _SAVED, "then": {"properties": dict.fromkeys(NOT_OF_SAVED, False)}},
            ),
        },
    }


def _keyed(keys: tuple[str, ...], schemas: Mapping[str, Schema], **more: Any) -> Schema:
    """Return the mapping of these keys; a key that has no schema yet is a bug, not a hole."""
    return closed({key: with_description(schemas[key], SAID.get(key)) for key in keys}, **more)


# -- quantities and limits


def quantity(kind: str, *, whole: bool = False) -> Schema:
    """Return the schema of a quantity; a plain number where it needs no unit."""
    units, example = QUANTITIES[kind]
    text = {"type": "string", "pattern": quantity_pattern(kind), "maxLength": MAX_QUANTITY}
    number: list[Schema] = (
        [{"type": "integer" if whole else "number", "minimum": 0}] if "" in units else []
    )
    return {"description": f"Such as {example}.", "anyOf": [*number, text]}


def _limit_definitions(metrics: Mapping[str, Figure], *, of_layers: bool) -> dict[str, Schema]:
    """Return what the limits of these metrics may be, by `_definition`."""
    return {
        _definition(name, of_layers=of_layers): _limit(
            metric.kind, measured=metric.is_measured, grows=has_growth(name, of_layers=of_layers)
        )
        for name, metric in metrics.items()
    }


def _definition(metric: str, *, of_layers: bool) -> str:
    kind = FIGURES[metric].kind
    is_fixed = of_layers and not has_growth(metric, of_layers=True)
    return f"limit_{kind}_without_growth" if is_fixed else f"limit_{kind}"


def _limit(kind: str, *, measured: bool, grows: bool) -> Schema:
    bounds = [bound for bound in BOUNDS if grows or bound not in CHANGES]
    whole = quantity(kind, whole=kind in WHOLE)
    schemas = {
        **dict.fromkeys(("max", "min"), whole),
        **{bound: {"anyOf": [quantity("share"), whole]} for bound in CHANGES},
        "ignore_below": quantity(kind),
        "tolerance": quantity("share"),
        "level": {"enum": list(LEVELS), "default": "warn" if measured else "error"},
        "message": TEXT,
    }
    without = {
        *(() if grows else (*CHANGES, "ignore_below")),
        *(() if measured else ("tolerance",)),
    }
    keyed = _keyed(
        tuple(key for key in LIMIT_KEYS if key not in without),
        schemas,
        anyOf=[{"required": [one]} for one in bounds],
    )
    if grows:
        keyed["dependencies"] = {
            "ignore_below": {"anyOf": [{"required": [one]} for one in CHANGES]}
        }
    return {"anyOf": [whole, keyed]}


def _limits(metrics: Mapping[str, Figure], *, of_layers: bool) -> Schema:
    return closed(
        {
            name: with_description(
                {"$ref": f"#/definitions/{_definition(name, of_layers=of_layers)}"},
                metric.meaning,
            )
            for name, metric in metrics.items()
        }
    )


# -- the parts of a file

_SIZES: Schema = {"type": "array", "items": POSITIVE, "minItems": 1}
_TENSOR: Schema = {"anyOf": [_SIZES, {"type": "string", "pattern": input_pattern()}]}
_UNNAMED: Schema = {"anyOf": [_SIZES, {"type": "string", "pattern": input_pattern(named=False)}]}
_INPUT: Schema = {
    "anyOf": [
        *_TENSOR["anyOf"],
        {"type": "array", "items": _TENSOR, "minItems": 1},
        {
            "type": "object",
            "patternProperties": {f"^{NAME_PATTERN}$": _UNNAMED},
            "minProperties": 1,
            "additionalProperties": False,
        },
    ]
}
_SAVED: Schema = {
    "properties": {"target": {"type": "string", "pattern": rf"{re.escape(REPORT_ENDING)}(?::|$)"}},
    "required": ["target"],
}
_RUN: Mapping[str, Schema] = {
    "input": {"$ref": "#/definitions/input"},
    "batch": POSITIVE,
    "dtype": {"enum": list(DTYPE_BYTES)},
}
_LIMITS: Schema = {"$ref": "#/definitions/limits"}
_LAYER_LIMITS: Schema = {"$ref": "#/definitions/layer_limits"}
_MATCH: Schema = {"type": "string", "pattern": _SELECTOR}


def _list_of(items: Schema) -> Schema:
    return {"type": "array", "items": items, "minItems": 1}


def _policies(names: Iterable[str]) -> Schema:
    return closed(
        {
            name: {
                "description": POLICIES_SAID[name],
                "enum": list(POLICIES[name][0]),
                "default": POLICIES[name][1],
            }
            for name in names
        }
    )


_ENTRY: Mapping[str, Schema] = {"match": {"type": "object", "minProperties": 1}, "limits": _LIMITS}
_RULE: Mapping[str, Schema] = {
    "match": _MATCH,
    "each": _LAYER_LIMITS,
    "total": _LAYER_LIMITS,
    "allow_empty": {"type": "boolean", "default": False},
}
_EXCLUSION: Mapping[str, Schema] = {"match": _MATCH, "reason": TEXT}
_MODEL: Mapping[str, Schema] = {
    "name": TEXT,
    "target": TEXT,
    "trust": {"type": "boolean", "default": False},
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
        _keyed(
            RULE_KEYS,
            _RULE,
            required=["match"],
            anyOf=[{"required": ["each"]}, {"required": ["total"]}],
        )
    ),
    "exclude": _list_of(_keyed(EXCLUSION_KEYS, _EXCLUSION, required=list(EXCLUSION_KEYS))),
    "policy": _policies(OF_MODELS),
}
_TOP: Mapping[str, Schema] = {
    "version": {"const": VERSION},
    "baseline": TEXT,
    "defaults": _keyed(DEFAULT_KEYS, {**_RUN, "limits": _LIMITS}),
    "policy": _policies(POLICIES),
    "models": _list_of({"$ref": "#/definitions/model"}),
    "description": TEXT,
}
