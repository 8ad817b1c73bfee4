"""The language of limits on ratios of latencies: their bounds, and what they are taken between."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from dscost.budgets import records
from dscost.budgets.records import BOUNDS, CHANGES, Limit, Pairing
from dscost.errors import InputError
from dscost.notation import forms
from dscost.notation.forms import TEXT, Form, Keyed
from dscost.notation.json_schema import Definitions, Schema
from dscost.notation.marked_yaml import Node, Problems
from dscost.notation.quantities import parse_quantity
from dscost.runtimes import RUNTIMES, TORCH
from dscost.timing import CLOCKS

RATIO_BOUNDS: Mapping[str, Sequence[str]] = {
    "speedup": ("min",),
    "latency_ratio": ("max", "max_increase"),
}
"""The bounds that each ratio may have; the first is what a figure alone means."""
_WHY: Mapping[str, str] = {
    "speedup": "of a speedup more is better, so it has min",
    "latency_ratio": "of a latency ratio less is better, so it has max or max_increase",
}


def ratio_limit(metric: str) -> Form:
    """Return the form of a limit on a ratio: a figure alone, or a bound and what stands beside."""
    bounds = RATIO_BOUNDS[metric]
    keyed = Keyed(
        {
            **{bound: _bound(metric, bound).described(BOUNDS[bound]) for bound in bounds},
            "against": TEXT,
            "runtime": forms.parsed(_runtime, {"type": "string", "default": TORCH}),
            "clock": forms.word("clock", CLOCKS, default="wall"),
            "threads": forms.POSITIVE,
            "time_budget": forms.quantity("seconds"),
            "level": forms.word("level", records.LEVELS, default="warn"),
            "message": TEXT,
        },
        any_of=(bounds, f"a limit on {metric} has {' or '.join(bounds)}"),
        of=(Limit, Pairing),
    )
    usual = keyed.forms[bounds[0]]

    def read(node: Node, problems: Problems) -> tuple[Sequence[Limit], Mapping[str, Any]]:
        if not isinstance(node.value, dict):
            alone = usual.read(node, problems)
            return [alone] if alone else [], {}
        children, wrong = dict(node.value), False
        for key in (*(one for one in BOUNDS if one not in bounds), *_NOT_OF_RATIOS):
            if key in children:
                problems.at_key(children.pop(key), _NOT_OF_RATIOS.get(key) or _WHY[metric])
                wrong = True
        if wrong and children.keys().isdisjoint(bounds):
            return [], {}
        given = keyed.read(replace(node, value=children), problems)
        if given.get("clock") == "cpu" and given.get("threads", 1) > 1:
            problems.at_key(children["threads"], "the clock cpu is of one thread")
        limits = [given[bound] for bound in bounds if bound in given]
        return limits, {key: value for key, value in given.items() if key not in bounds}

    def schema(definitions: Definitions) -> Schema:
        alone = forms.quantity("factor").schema(definitions)
        return {"anyOf": [alone, keyed.schema(definitions)]}

    return forms.named(f"limit_{metric}", Form(read, schema))


_NOT_OF_RATIOS: Mapping[str, str] = {
    "tolerance": "a ratio is judged by its whole interval, so it has no tolerance",
    "ignore_below": "ignore_below is for figures that a baseline keeps",
}
"""Keys that limits on other figures have."""


def _bound(metric: str, bound: str) -> Form:
    """Return the form of the figure of a bound: growth in percent, else so many times."""
    kind = "share" if bound in CHANGES else "factor"

    def parse(node: Node) -> Limit:
        value = parse_quantity(node.plain, kind)
        limit = Limit(metric, bound, value, kind == "share", level="warn", place=node.key_place)
        return replace(limit, written_at=node.place, pairing=Pairing())

    return forms.parsed(parse, forms.quantity(kind).schema({}))


def _runtime(node: Node) -> str:
    if not isinstance(node.value, str):
        raise InputError(f"expected a runtime such as onnxruntime, found {node.plain!r:.60}")
    return RUNTIMES[node.value].name
