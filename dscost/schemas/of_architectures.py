"""The schema of an architecture file, from the tables of layers: each kind of value is asked what it takes.

An expression may stand wherever a value may, and what it gives is only known when the network is
computed; so may the columns of a block. `dscost model FILE --no-time` judges both.
"""

from collections.abc import Mapping
from typing import Any

from dscost.errors import InputError
from dscost.networks.keys import (
    EXISTS,
    INPUT,
    LAYERS,
    REPEAT,
    REQUIRED,
    WORDS,
    Kind,
    activation,
    norm,
    nothing,
)
from dscost.networks.language import BLOCK_KEYS, LISTS, TOP_KEYS
from dscost.schemas.wording import Schema, closed

EXPRESSION: Schema = {"type": "string", "description": "An expression, such as round8(c * width)."}
LIST: Schema = {"type": "array", "items": {"$ref": "#/definitions/layer"}, "minItems": 1}
NAME: Schema = {
    "type": "string",
    "pattern": "^[A-Za-z_][A-Za-z0-9_]*$",
    "description": "What the layer is called in reports.",
}
TEXT: Schema = {"type": "string"}
SETTING: Schema = {"not": {"type": ["object", "null"]}}

_BLOCK: Mapping[str, Schema] = {
    "columns": {
        "description": "Its parameters.",
        "type": "array",
        "items": NAME,
        "uniqueItems": True,
    },
    "repeat": {"description": "How often it runs."},
    "layers": LIST,
}


def schema() -> Schema:
    """Return the schema of an architecture file."""
    named = {"type": "object", "additionalProperties": SETTING}
    defaults = closed({"norm": value(norm), "act": value(activation)})
    block = closed(
        {key: {**_BLOCK[key], **(value(REPEAT) if key == "repeat" else {})} for key in BLOCK_KEYS},
        required=["layers"],
    )
    top: Mapping[str, Schema] = {
        "description": {**TEXT, "description": "What it is, in a line."},
        "source": {**TEXT, "description": "The paper or implementation that it follows."},
        "input": {
            "description": "Channels, height and width.",
            "type": "array",
            "items": [value(kind) for kind in INPUT],
            "minItems": len(INPUT),
            "maxItems": len(INPUT),
        },
        "settings": {"description": "Names and defaults of what --set may change.", **named},
        "models": {
            "description": "Names that it defines, each with its values for some settings.",
            "type": "object",
            "additionalProperties": named,
        },
        "defaults": {"description": "Of convolutions that do not say.", **defaults},
        "blocks": {
            "description": "Groups of layers, by name.",
            "type": "object",
            "additionalProperties": block,
        },
        "layers": LIST,
    }
    return {
        "title": "An architecture of dscost",
        "if": {"type": "array"},
        "then": LIST,
        "else": closed({key: top[key] for key in TOP_KEYS}, required=["layers"]),
        "definitions": {"layer": {"anyOf": [*map(_layer, LAYERS), {"enum": _without_value()}]}},
    }


def value(kind: Kind) -> Schema:
    """Return what a kind takes; the words that stand for themselves come first, an expression last."""
    forms: list[Schema] = []
    words = [word for word, meaning in WORDS.items() if _takes(kind, meaning)]
    if words and kind is not nothing:
        forms.append({"enum": words})
    if _takes(kind, True):
        forms.append({"type": "boolean"})
    if _takes(kind, 0.5):
        forms.append({"type": "number", "minimum": 0})
    elif _takes(kind, 1):
        number = {"type": "integer", "minimum": 0 if _takes(kind, 0) else 1}
        forms.append(number)
        if _takes(kind, (1, 1)):
            pair = {"anyOf": [number, EXPRESSION]}
            forms.append({"type": "array", "items": pair, "minItems": 2, "maxItems": 2})
    if kind is nothing:
        forms.append({"type": "null"})
    return {"anyOf": [*forms, EXPRESSION]}


def _takes(kind: Kind, given: Any) -> bool:
    try:
        kind(given)
    except InputError:
        return False
    return True


def _without_value() -> list[str]:
    """Return the layers that may stand as a word alone."""
    return [name for name, kinds in LAYERS.items() if kinds.get(name) is nothing]


def _layer(kind: str) -> Schema:
    if kind == "block":
        rows = {
            "type": "array",
            "items": {"type": "array"},
            "description": "Of each row its columns, in their order.",
        }
        properties = {"block": TEXT, "rows": rows, "name": NAME, "when": value(EXISTS)}
        return {"type": "object", "properties": properties, "required": ["block"]}
    values = {key: value(one) for key, one in LAYERS[kind].items()}
    lists = dict.fromkeys(LISTS.get(kind, ()), LIST)
    required = [kind, *REQUIRED.get(kind, ())]
    return closed({**lists, **values, "name": NAME, "when": value(EXISTS)}, required=required)
