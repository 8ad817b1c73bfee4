"""The language of limits: figures by metric, their bounds, and what stands beside those."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from fractions import Fraction
from functools import partial
from typing import Any

from dscost.budgets import records
from dscost.budgets.convention_language import Counted, with_conventions
from dscost.budgets.metrics import OF_LAYERS, is_kept_of_layers
from dscost.budgets.ratio_language import ratio_limit
from dscost.budgets.records import BOUNDS, CHANGES, WHOLE, Limit, Pairing
from dscost.errors import InputError
from dscost.notation import forms
from dscost.notation.forms import TEXT, Form, Keyed
from dscost.notation.json_schema import Definitions, Schema
from dscost.notation.marked_yaml import Node, Problems
from dscost.notation.quantities import MAX_QUANTITY, QUANTITIES, kind_of, parse_quantity
from dscost.reports.figures import FIGURES, figure_of

MEASURED_TOLERANCE = Fraction(1, 10)
"""Of a measured limit, where none is given."""

_Limit = tuple[Sequence[Limit], Mapping[str, Any]]
"""The bounds that a limit has, and what stands beside them."""
Limits = Mapping[str, _Limit]
"""By metric."""


def limits(*, of_layers: bool) -> Form:
    """Return the form of limits by metric."""
    by_metric = {
        name: _limit(Counted(name), of_layers=of_layers).described(figure.meaning)
        for name, figure in FIGURES.items()
        if figure.is_of_layers or not of_layers
    }
    limit_on = partial(_limit, of_layers=of_layers)
    if not of_layers:
        return forms.named("limits", with_conventions(Keyed(by_metric, what="metric"), limit_on))
    empty = "expected a limit by metric, such as {macs: 40M}, found nothing"
    keyed = Keyed(by_metric, what="metric", empty=empty)
    return forms.named("layer_limits", with_conventions(keyed, limit_on))


def _limit(counted: Counted, *, of_layers: bool) -> Form:
    """Return the form of a limit: the most that passes, or bounds and what stands beside them."""
    metric, figure = counted.metric, figure_of(counted.metric)
    if figure.is_ratio:
        return ratio_limit(metric)
    kind, measured = figure.kind, figure.is_measured
    # a schema lists only what may stand there; reading takes all, to say why something may not
    grows = not measured and (is_kept_of_layers(metric) or not of_layers)  # that a baseline keeps
    refused = [] if grows else [*CHANGES, "ignore_below"]
    keyed = Keyed(
        {
            **{bound: _bound(counted, bound).described(text) for bound, text in BOUNDS.items()},
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


def _bound(counted: Counted, bound: str) -> Form:
    """Return the form of the figure that a bound has."""
    metric = counted.metric
    kind = figure_of(metric).kind
    usual: dict[str, Any] = {"convention": counted.convention}
    if figure_of(metric).is_measured:
        usual |= {"level": "warn", "tolerance": MEASURED_TOLERANCE}

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
    wanted, found = figure_of(metric).kind, kind_of(written)
    number = written.strip().removeprefix("+").rstrip("iB").rstrip()
    is_share = found == "share" and wanted != "share" and not figure_of(metric).is_measured
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
        if figure_of(metric).is_ratio:
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
