"""The forms of an architecture file: the keys of its mappings, and what a schema says of them.

What stands under a key is read by `dscost.networks.language`, which knows the names that
expressions may use. An expression may stand wherever a value may, and what it gives is only known
when the network is computed; so may the columns of a block. `dscost model FILE --no-time` judges
both.
"""

from collections.abc import Mapping
from functools import cache
from typing import Any

from dscost.errors import InputError
from dscost.networks.keys import (
    DEFAULTS,
    EXISTS,
    INPUT,
    LAYERS,
    REPEAT,
    REQUIRED,
    WORDS,
    Kind,
    nothing,
)
from dscost.networks.parts import ArchitectureFile
from dscost.notation import forms
from dscost.notation.forms import Form, Keyed
from dscost.notation.json_schema import Definitions, Schema

LISTS: Mapping[str, tuple[str, ...]] = {"residual": ("residual", "shortcut")}
"""By kind of layer, its keys that hold lists of layers."""

_EXPRESSION: Schema = {
    "type": "string",
    "description": "An expression, such as round8(c * width).",
}
_NAME: Schema = {
    "type": "string",
    "pattern": "^[A-Za-z_][A-Za-z0-9_]*$",
    "description": "What the layer is called in reports.",
}
_LAYERS = forms.anything(forms.array({"$ref": "#/definitions/layer"}))


def _value(kind: Kind) -> Form:
    return forms.anything(lambda _: value_schema(kind))


def _input_schema(definitions: Definitions) -> Schema:
    sizes = [value_schema(kind) for kind in INPUT]
    return {"type": "array", "items": sizes, "minItems": len(sizes), "maxItems": len(sizes)}


def _by_name(entry: Form) -> Keyed:
    return Keyed({}, others=entry, expected="a mapping")


_TEXT = forms.text(may_be_blank=True)
_COLUMNS = forms.anything({"type": "array", "items": _NAME, "uniqueItems": True})
_SETTINGS = _by_name(forms.anything({"not": {"type": ["object", "null"]}}))

# keys in the order of the alphabet, as errors list them
DEFAULT_FORM = Keyed({key: _value(kind) for key, kind in DEFAULTS.items()}, expected="a mapping")
BLOCK = Keyed(
    {
        "columns": _COLUMNS.described("Its parameters."),
        "layers": _LAYERS,
        "repeat": _value(REPEAT).described("How often it runs."),
    },
    required=("layers",),
    expected="a mapping",
)
FILE = Keyed(
    {
        "blocks": _by_name(forms.anything(BLOCK.schema)).described("Groups of layers, by name."),
        "defaults": forms.anything(DEFAULT_FORM.schema).described(
            "Of convolutions that do not say."
        ),
        "description": _TEXT,
        "input": forms.anything(_input_schema).described("Channels, height and width."),
        "layers": _LAYERS,
        "models": _by_name(_SETTINGS),
        "settings": _SETTINGS.described("Names and defaults of what --set may change."),
        "source": _TEXT,
    },
    required=("layers",),
    expected="a mapping",
    of=ArchitectureFile,
)


@cache
def layer_form(kind: str) -> Keyed:
    """Return the form of a layer of any kind but a block."""
    values = {
        **{key: _value(one) for key, one in LAYERS[kind].items()},
        **dict.fromkeys(LISTS.get(kind, ()), _LAYERS),
        "name": forms.anything(_NAME),
        "when": _value(EXISTS),
    }
    in_order = {key: values[key] for key in sorted(values)}
    return Keyed(in_order, required=(kind, *REQUIRED.get(kind, ())))


def block_form(columns: set[str]) -> Keyed:
    """Return the form of a layer that is a block, or may be one of several."""
    keys = sorted({*columns, "block", "rows", "name", "when"})
    return Keyed(dict.fromkeys(keys, forms.anything({})))


def layer_schema() -> Schema:
    """Return what a layer may be; of a block, which columns it has is left to the reading."""
    rows = {
        "type": "array",
        "items": {"type": "array"},
        "description": "Of each row its columns, in their order.",
    }
    block = {
        "type": "object",
        "properties": {
            "block": {"type": "string"},
            "rows": rows,
            "name": _NAME,
            "when": value_schema(EXISTS),
        },
        "required": ["block"],
    }
    layers = [block if kind == "block" else layer_form(kind).schema({}) for kind in LAYERS]
    alone = [name for name, kinds in LAYERS.items() if kinds.get(name) is nothing]
    return {"anyOf": [*layers, {"enum": alone}]}


def value_schema(kind: Kind) -> Schema:
    """Return what a kind takes: it is asked.

    The words that stand for themselves come first, an expression last.
    """
    number: Schema = {"type": "integer", "minimum": 0 if _takes(kind, 0) else 1}
    pair = {"anyOf": [number, _EXPRESSION]}
    words = [word for word, meaning in WORDS.items() if _takes(kind, meaning)]
    found: list[Schema] = []
    if words and kind is not nothing:
        found.append({"enum": words})
    if _takes(kind, True):
        found.append({"type": "boolean"})
    if _takes(kind, 0.5):
        found.append({"type": "number", "minimum": 0})
    elif _takes(kind, 1):
        found.append(number)
        if _takes(kind, (1, 1)):
            found.append({"type": "array", "items": pair, "minItems": 2, "maxItems": 2})
    if kind is nothing:
        found.append({"type": "null"})
    return {"anyOf": [*found, _EXPRESSION]}


def _takes(kind: Kind, given: Any) -> bool:
    try:
        kind(given)
    except InputError:
        return False
    return True
