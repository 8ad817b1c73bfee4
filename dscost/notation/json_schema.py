"""Pieces of JSON Schema (draft-07), and what docstrings say of what they describe."""

import re
from collections.abc import Mapping
from typing import Any

Schema = dict[str, Any]
Definitions = dict[str, Schema]
"""What a schema refers to by name."""

_ARGUMENT = re.compile(r"^    (\w+): (.+(?:\n {8}.+)*)", re.MULTILINE)


def field_descriptions(described: Any) -> Mapping[str, str]:
    """Return what the docstring of a class says of its fields, on a line each."""
    from inspect import cleandoc  # too slow to import for who only reads

    arguments = cleandoc(described.__doc__ or "").partition("Args:\n")[2]
    return {name: re.sub(r"\s+", " ", text) for name, text in _ARGUMENT.findall(arguments)}


def first_line(described: Any) -> str:
    """Return the first line of a docstring."""
    return (described.__doc__ or "").strip().partition("\n")[0]


def with_description(schema: Schema, text: str | None) -> Schema:
    """Return a schema that says what it is for; beside a `$ref` draft-07 would not read it."""
    if not text:
        return schema
    if "$ref" in schema:
        schema = {"allOf": [schema]}
    return {**schema, "description": " ".join(filter(None, (text, schema.get("description"))))}
