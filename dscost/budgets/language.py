"""The language of budget files: the form of every key, and the entries that their values make.

What no JSON Schema can say is left to the reading: that no two models or inputs have one name, that
`min` is not above `max`, that a count in quotes is whole, that 1.0 is no size, that an entry of
`entries` chooses something, and that targets, patterns and conventions mean something.
"""

import re
from collections.abc import Collection, Mapping

from dscost.budgets import records
from dscost.budgets.limit_language import limits, resolved
from dscost.budgets.records import POLICIES, Exclusion, LayerRule
from dscost.budgets.selectors import EXAMPLE, parse_selector, selector_pattern
from dscost.errors import InputError, UnknownNameError
from dscost.files import REPORT_ENDING
from dscost.notation import forms, inputs
from dscost.notation.forms import TEXT, Form, Given, Keyed
from dscost.notation.inputs import TensorSpec
from dscost.notation.json_schema import Definitions, Schema
from dscost.notation.literals import read_node, with_parts
from dscost.notation.marked_yaml import Node, Problems
from dscost.notation.units import DTYPE_BYTES

VERSION = 1


# -- how a model is run


def _inputs(node: Node, problems: Problems) -> inputs.Inputs | None:
    """Return a shape, or several tensors in a list or by name."""
    children: list[tuple[Node, str | None]] = []
    if isinstance(node.value, dict):
        children = [(child, name) for name, child in node.value.items()]
    elif isinstance(node.value, list):
        are_tensors = all(isinstance(child.value, str | list) for child in node.value)
        children = [(child, None) for child in node.value if are_tensors]
    children = children or [(node, None)]
    given = [_tensor(child, name, problems) for child, name in children]
    specs = [one for one in given if one is not None]
    return problems.kept(node, inputs.inputs_of, specs) if len(specs) == len(given) else None


def _tensor(node: Node, name: str | None, problems: Problems) -> TensorSpec | None:
    found = problems.kept(node, _shape_or_text, node, name is None)
    if found is None or name is None:
        return found
    if not re.fullmatch(inputs.INPUT_NAME_PATTERN, name):
        problems.at_key(node, f"expected the name of an input, found '{name}'")
        return None
    return found._replace(name=name)


def _shape_or_text(node: Node, may_be_named: bool) -> TensorSpec:
    found = None
    if isinstance(node.value, list) and all(type(one.value) is int for one in node.value):
        found = TensorSpec(tuple(one.value for one in node.value)) if node.value else None
    elif isinstance(node.value, str):
        try:
            found = inputs.parse_input(node.value)
        except InputError as error:
            # what is no input at all is told below, with the shapes that YAML can write as well
            if not str(error).startswith("expected"):
                raise
    is_named = found is not None and bool(found.name)
    if found is None or min(found.shape, default=1) < 1 or (is_named and not may_be_named):
        expected = "expected a shape such as [1, 3, 224, 224] or ids=1,128:int64"
        raise InputError(f"{expected}, found {node.plain!r:.60}")
    if found.dtype is not None and found.dtype not in inputs.INPUT_DTYPES:
        raise UnknownNameError("dtype", found.dtype, inputs.INPUT_DTYPES)
    return found


def _inputs_schema(definitions: Definitions) -> Schema:
    sizes = forms.array(forms.POSITIVE.schema(definitions))
    tensor = [sizes, {"type": "string", "pattern": inputs.input_pattern()}]
    unnamed = [sizes, {"type": "string", "pattern": inputs.input_pattern(named=False)}]
    by_name = {
        "type": "object",
        "patternProperties": {f"^{inputs.INPUT_NAME_PATTERN}$": {"anyOf": unnamed}},
        "minProperties": 1,
        "additionalProperties": False,
    }
    return {"anyOf": [*tensor, forms.array({"anyOf": tensor}), by_name]}


RUN: Mapping[str, Form] = {
    "input": forms.named("input", Form(_inputs, _inputs_schema)),
    "batch": forms.POSITIVE,
    "dtype": forms.word("dtype", DTYPE_BYTES),
}
"""How a model is run."""


# -- limits

_LIMITS = limits(of_layers=False)
_LAYER_LIMITS = limits(of_layers=True)
_ABOUT_LIMITS = (
    "What the figures may be; a figure alone is the most that passes. "
    "Beside a bound that a model writes, keys that it leaves out are those of the defaults."
)


# -- what a budget says of a model


def _layer_rule(given: Given) -> LayerRule:
    each, total = (resolved(given.get(key, {})) for key in ("each", "total"))
    allow_empty = given.get("allow_empty", False)
    return LayerRule(given["match"], each, total, given.node.place, allow_empty)


def _exclusion(given: Given) -> Exclusion:
    return Exclusion(given["match"], given["reason"], given.node.place)


_SELECTOR: Schema = {"type": "string", "pattern": selector_pattern()}
_MATCH = forms.parsed(lambda node: parse_selector(node.value), _SELECTOR).described(
    f"Which layers, such as {EXAMPLE}."
)
_RULE = Keyed(
    {"match": _MATCH, "each": _LAYER_LIMITS, "total": _LAYER_LIMITS, "allow_empty": forms.BOOLEAN},
    required=("match",),
    any_of=(("each", "total"), "a rule on layers has 'each' or 'total', or both"),
    of=LayerRule,
)
_EXCLUSION = Keyed(
    {"match": _MATCH, "reason": TEXT.described("Why they do not count.")},
    required=("match", "reason"),
)


def _policies(names: Collection[str]) -> Form:
    words = {
        name: forms.word("policy", words, default=usual).described(text)
        for name, (words, usual, text) in POLICIES.items()
        if name in names
    }
    return Keyed(words).described("What is done about what cannot be judged.")


argument = forms.parsed(read_node, {})
"""A value that Python code takes: bare words mean what they mean to `--kwargs`."""


def _names_with(values: Form) -> Keyed:
    return Keyed({}, others=values, expected="names with values, such as {width: 0.5}")


def _values(value: Form) -> Form:
    """Return the form of values of the matrix, each with its node."""
    return forms.list_of(forms.placed(value), "values such as [0.5, 1.0]")


_MATRIX = Keyed(
    {key: _values(form) for key, form in RUN.items()},
    others=_values(forms.anything({})),
    expected="lists of values by setting, such as {width: [0.5, 1.0]}",
    empty="the matrix is empty",
)
_OTHER_LIMITS = Keyed(
    {"match": forms.anything({"type": "object", "minProperties": 1}), "limits": _LIMITS},
    required=("match", "limits"),
)
NOT_OF_SAVED = (*RUN, "trust", "set", "kwargs", "matrix")
"""The keys of a model that cannot change a saved report."""
_IS_SAVED: Schema = {
    "properties": {"target": {"type": "string", "pattern": rf"{re.escape(REPORT_ENDING)}(?::|$)"}},
    "required": ["target"],
}

MODEL = Keyed(
    {
        "name": TEXT,
        "target": TEXT,
        **RUN,
        "set": _names_with(forms.anything({})).described(
            "Settings of an architecture, such as width."
        ),
        "kwargs": _names_with(argument).into(lambda given: with_parts(given.items())),
        "trust": forms.BOOLEAN,
        "matrix": _MATRIX.described(
            "Lists of values by setting, or of input, batch and dtype: "
            "every combination is an entry of its own."
        ),
        "limits": _LIMITS.described(_ABOUT_LIMITS),
        "entries": forms.list_of(_OTHER_LIMITS, "entries").described(
            "Other limits for some entries of the matrix."
        ),
        "layers": forms.list_of(_RULE.into(_layer_rule), "layers"),
        "exclude": forms.list_of(_EXCLUSION.into(_exclusion), "exclude"),
        "policy": _policies(POLICIES.keys() - {"on_stale_baseline"}),
    },
    required=("target",),
    needs={"entries": (("matrix",), "entries need a matrix to choose from")},
    of=records.Entry,
    rules={"if": _IS_SAVED, "then": {"properties": dict.fromkeys(NOT_OF_SAVED, False)}},
)
"""One of `models`."""

_DEFAULTS = Keyed({**RUN, "limits": _LIMITS.described(_ABOUT_LIMITS)}, of=records.Entry)

BUDGET = Keyed(
    {
        "version": forms.version(VERSION),
        "baseline": TEXT,
        "defaults": _DEFAULTS.described("What holds for every model that does not say otherwise."),
        "policy": _policies(POLICIES.keys()),
        "models": forms.list_of(forms.named("model", MODEL), "models").described("What to check."),
        "description": TEXT.described("For people."),
    },
    required=("version", "models"),
    of=records.Budget,
)
"""A whole file."""
