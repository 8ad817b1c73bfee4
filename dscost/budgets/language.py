"""The language of budget files: the form of every key, and the entries that their values make.

What no JSON Schema can say is left to the reading: that no two models or inputs have one name, that
`min` is not above `max`, that a count in quotes is whole, that 1.0 is no size, that an entry of
`entries` chooses something, and that targets and patterns mean something.
"""

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from fractions import Fraction
from typing import Any

from dscost.budgets import records
from dscost.budgets.metrics import OF_LAYERS
from dscost.budgets.ratio_language import ratio_limit
from dscost.budgets.records import (
    BOUNDS,
    CHANGES,
    POLICIES,
    WHOLE,
    Exclusion,
    LayerRule,
    Limit,
    Pairing,
)
from dscost.budgets.selectors import EXAMPLE, parse_selector, selector_pattern
from dscost.errors import InputError, UnknownNameError
from dscost.files import REPORT_ENDING
from dscost.notation import forms, inputs
from dscost.notation.forms import TEXT, Form, Given, Keyed
from dscost.notation.inputs import TensorSpec
from dscost.notation.json_schema import Definitions, Schema
from dscost.notation.literals import read_node, with_parts
from dscost.notation.marked_yaml import Node, Problems
from dscost.notation.quantities import MAX_QUANTITY, QUANTITIES, kind_of, parse_quantity
from dscost.notation.units import DTYPE_BYTES
from dscost.reports.figures import FIGURES

VERSION = 1
MEASURED_TOLERANCE = Fraction(1, 10)
"""Of a measured limit, where none is given."""


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

_Limit = tuple[Sequence[Limit], Mapping[str, Any]]
"""The bounds that a limit has, and what stands beside them."""
Limits = Mapping[str, _Limit]
"""By metric."""


def _limits(*, of_layers: bool) -> Form:
    """Return the form of limits by metric."""
    by_metric = {
        name: _limit(name, of_layers=of_layers).described(figure.meaning)
        for name, figure in FIGURES.items()
        if figure.is_of_layers or not of_layers
    }
    if not of_layers:
        return forms.named("limits", Keyed(by_metric, what="metric"))
    empty = "expected a limit by metric, such as {macs: 40M}, found nothing"
    return forms.named("layer_limits", Keyed(by_metric, what="metric", empty=empty))


def _limit(metric: str, *, of_layers: bool) -> Form:
    """Return the form of a limit: the most that passes, or bounds and what stands beside them."""
    if FIGURES[metric].is_ratio:
        return ratio_limit(metric)
    kind, measured = FIGURES[metric].kind, FIGURES[metric].is_measured
    # a schema lists only what may stand there; reading takes all, to say why something may not
    grows = not measured and (metric in OF_LAYERS or not of_layers)  # that a baseline keeps
    refused = [] if grows else [*CHANGES, "ignore_below"]
    keyed = Keyed(
        {
            **{bound: _bound(metric, bound).described(text) for bound, text in BOUNDS.items()},
            "ignore_below": forms.quantity(kind),
            "tolerance": forms.quantity("share"),
            "level": forms.word("level", records.LEVELS, default="warn" if measured else "error"),
            "message": TEXT,
        },
        any_of=(BOUNDS, f"a limit has one of {', '.join(BOUNDS)}"),
        needs={"ignore_below": (CHANGES, f"ignore_below is for {' and '.join(CHANGES)}")},
        refused=refused if measured else [*refused, "tolerance"],
        of=Limit,
    )

    def read(node: Node, problems: Problems) -> _Limit:
        if not isinstance(node.value, dict):
            most = keyed.forms["max"].read(node, problems)
            return [most] if most else [], {}
        given = keyed.read(node, problems)
        if "tolerance" in given and not measured:
            wrong = f"{metric} has no noise: a tolerance is for measured figures"
            problems.at_key(node.value["tolerance"], wrong)
        if not grows and not node.value.keys().isdisjoint(CHANGES):
            kept = "no times" if measured else f"only {', '.join(OF_LAYERS)} of layers"
            problems.at(node, f"a baseline keeps {kept}, so {metric} has max or min")
        if "max" in given and "min" in given and given["min"].value > given["max"].value:
            problems.at(node.value["min"], "min is above max: nothing passes")
        bounds = [given[bound] for bound in BOUNDS if bound in given]
        return bounds, {key: value for key, value in given.items() if key not in BOUNDS}

    def schema(definitions: Definitions) -> Schema:
        alone = forms.quantity(kind, is_whole=kind in WHOLE)
        return {"anyOf": [alone.schema(definitions), keyed.schema(definitions)]}

    without = "_without_growth" if of_layers and not grows else ""
    return forms.named(f"limit_{kind}{without}", Form(read, schema))


def _bound(metric: str, bound: str) -> Form:
    """Return the form of the figure that a bound has."""
    kind = FIGURES[metric].kind
    usual: dict[str, Any] = {}
    if FIGURES[metric].is_measured:
        usual = {"level": "warn", "tolerance": MEASURED_TOLERANCE}

    def parse(node: Node) -> Limit:
        written = node.value if isinstance(node.value, str) else ""
        is_share = bound in CHANGES and written.strip().endswith("%")
        instead = None if is_share else _instead(metric, bound, written)
        if instead:
            found = f"found '{written:.{MAX_QUANTITY}}': {instead}"
            raise InputError(f"expected a quantity such as {QUANTITIES[kind][1]}, {found}")
        value = parse_quantity(node.plain, "share" if is_share else kind)
        has_unit = kind_of(str(node.value)) is not None
        if value.denominator > 1 and kind in WHOLE and not has_unit:
            is_meant_as_share = bound in CHANGES and value < 1
            share = f"; did you mean '{100 * float(value):g}%'?" if is_meant_as_share else ""
            raise InputError(f"{metric} are whole numbers, found {node.plain!r}{share}")
        limit = Limit(metric, bound, value, is_share, place=node.key_place, **usual)
        return replace(limit, written_at=node.place)

    of_kind = forms.quantity(kind, is_whole=kind in WHOLE).schema({})
    share = forms.quantity("share").schema({})
    return forms.parsed(parse, {"anyOf": [share, of_kind]} if bound in CHANGES else of_kind)


def _instead(metric: str, bound: str, written: str) -> str | None:
    """Return what to write instead of a quantity of another kind."""
    wanted, found = FIGURES[metric].kind, kind_of(written)
    number = written.strip().removeprefix("+").rstrip("iB").rstrip()
    is_share = found == "share" and wanted != "share" and not FIGURES[metric].is_measured
    if is_share and bound in _CHANGE_OF:
        return f"a percentage is of the baseline, write {_CHANGE_OF[bound]}: {number}"
    if wanted != "count":
        return None
    if re.fullmatch(r"[^a-zA-Z\s]+B", written.strip()):
        instead = f"{metric} is a count, write {number}G for billions"
    elif found == "bytes":
        unit = "" if number[-1] not in "kKMGT" else number[-1]
        instead = f"{metric} is a count, write {number[: -len(unit) or None].rstrip()}{unit}"
    else:
        return None
    return f"{instead}; for bytes use weight_bytes" if metric == "params" else instead


_CHANGE_OF: Mapping[str, str] = {"max": "max_increase", "min": "max_decrease"}


def resolved(limits: Limits, *before: Limits) -> tuple[Limit, ...]:
    """Return limits with what applies to each.

    `before` are those of other places, whose keys beside the bounds hold where these have none; of
    several the last.
    """
    found: list[Limit] = []
    for metric, (bounds, _) in limits.items():
        beside: dict[str, Any] = {}
        for place in (*before, limits):
            if metric in place:
                beside |= place[metric][1]
        if FIGURES[metric].is_ratio:
            own = {key: beside.pop(key) for key in Pairing._fields if key in beside}
            beside["pairing"] = Pairing(**own)
        # a bound on the figure itself is no change that could be ignored
        of_figure = {**beside, "ignore_below": Fraction(0)}
        found += [replace(one, **(beside if one.bound in CHANGES else of_figure)) for one in bounds]
    return tuple(found)


def replaced(limits: Sequence[Limit], own: Sequence[Limit]) -> tuple[Limit, ...]:
    """Return limits, those of a metric and bound that has one of its own replaced."""
    replaced = {(limit.metric, limit.bound) for limit in own}
    return (*(limit for limit in limits if (limit.metric, limit.bound) not in replaced), *own)


_LIMITS = _limits(of_layers=False)
_LAYER_LIMITS = _limits(of_layers=True)
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
