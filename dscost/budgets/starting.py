"""A first budget: what models cost now, with headroom."""

import json
import os
import re
from collections.abc import Mapping, Sequence
from fractions import Fraction
from math import ceil
from pathlib import Path
from typing import Any, NamedTuple

from dscost.analysis import count
from dscost.budgets.metrics import METRICS, model_figure
from dscost.errors import DscostError, FileProblems, InputError
from dscost.marked_yaml import parse_yaml
from dscost.results import Report

SCHEMA_FILE = "dscost.schema.json"
LIMITED = ("params", "macs", "peak_activation_bytes")
"""The figures that a first budget limits; `weight_bytes` would follow from `params`."""
FILE_ENDINGS = (".yaml", ".yml", ".py", ".pt2", ".json")

_UNITS = {"count": (1000, ("", "k", "M", "G", "T")), "bytes": (1024, (" B", " KiB", " MiB", " GiB", " TiB"))}


class Choice(NamedTuple):
    """How every model is to be counted; `None` leaves it to the model.

    Args:
        input: Shape.
        batch: Replaces the batch of the input.
        dtype: Of weights and activations.
        settings: Of architectures.
        kwargs: Of factories.
    """

    input: tuple[int, ...] | None = None
    batch: int | None = None
    dtype: str | None = None
    settings: Mapping[str, Any] = {}
    kwargs: Mapping[str, Any] = {}


def starter_budget(targets: Sequence[str], path: Path, headroom: Fraction, choice: Choice | None = None) -> str:
    """Return the text of a budget that these models keep.

    Args:
        targets: As on the command line; files as seen from the working directory.
        path: Where the budget will be.
        headroom: Share by which a limit is above what was counted; with none, limits are exact.
        choice: How to count.

    Raises:
        InputError: Models cannot be counted; the text has a line for each.
    """
    choice = choice or Choice()
    reports: dict[str, Report] = {}
    problems = []
    for target in dict.fromkeys(targets):
        try:
            reports[target] = _counted(target, choice)
        except FileProblems as error:
            problems.append(str(error))
        except DscostError as error:
            problems.append(str(error) if target in str(error) else f"{target}: {error}")
    if problems:
        raise InputError("\n".join(problems))
    return "\n".join([*_head(path, reports, choice), *_models(path, reports, headroom, choice), ""])


def _counted(target: str, choice: Choice) -> Report:
    return count(
        target,
        input=choice.input,
        batch=choice.batch,
        dtype=choice.dtype,
        settings=dict(choice.settings) or None,
        kwargs=dict(choice.kwargs) or None,
    ).report


def _head(path: Path, reports: Mapping[str, Report], choice: Choice) -> list[str]:
    run = {"input": choice.input and list(choice.input), "batch": choice.batch, "dtype": choice.dtype}
    lines = [
        f"# yaml-language-server: $schema={SCHEMA_FILE}",
        f"# dscost schema budget -o {SCHEMA_FILE}, run beside this file, writes that; editors then complete and check.",
        "# What these models may cost. dscost check exits 1 where one costs more.",
        "version: 1",
        "# What they cost when you last agreed to it: dscost baseline save writes it. Commit it with this file.",
        f"baseline: {_text(f'{path.stem}-baseline.json')}",
        "defaults: # for every model that does not say otherwise",
        *(f"  {key}: {json.dumps(value)}" for key, value in run.items() if value is not None),
        "  limits: # growth since the baseline that passes: edit to what needs no word with anybody",
        "    params: {max_increase: 0%}",
        "    macs: {max_increase: 1%, ignore_below: 100k}",
    ]
    partial = {target: report.coverage.unknown for target, report in reports.items() if report.coverage.unknown}
    if partial:
        lines += [
            "policy:",
            "  # their figures are partial: dscost.register_formula teaches an operator; then remove this",
            *(f"  # {target}: {', '.join(unknown)}" for target, unknown in partial.items()),
            "  on_unknown_cost: warn",
        ]
    return lines


def _models(path: Path, reports: Mapping[str, Report], headroom: Fraction, choice: Choice) -> list[str]:
    more = f"what was counted and {_percent(headroom)} more, rounded up" if headroom else "exactly what was counted"
    lines = [f"models: # limits are {more}: edit them to what you can afford"]
    names = _names(list(reports))
    for target, report in reports.items():
        lines += [f"  - name: {_text(names[target])}", f"    target: {_text(_seen_from(target, path.parent))}"]
        for key, values in (("set", choice.settings), ("kwargs", choice.kwargs)):
            lines += [f"    {key}: {json.dumps(values, ensure_ascii=False)}"] if values else []
        lines.append("    limits:")
        for metric in LIMITED:
            value = model_figure(report, report.totals.as_is, metric)
            if value is not None:
                limit = at_least(value * (1 + headroom), METRICS[metric].kind, exactly=not headroom)
                lines.append(f"      {metric}: {limit} # {int(value):,}")
    return lines


def at_least(value: Fraction, kind: str, *, exactly: bool = False) -> str:
    """Return the least quantity of three digits that a value does not exceed; below a thousand, a whole number.

    Args:
        value: In counts or bytes.
        kind: `count` or `bytes`.
        exactly: Whether to keep every digit.

    >>> at_least(Fraction(1_814_073_344), "count"), at_least(Fraction(999_001), "count"), at_least(Fraction(7), "bytes")
    ('1.82G', '1M', '7 B')
    """
    base, units = _UNITS[kind]
    if exactly or value <= base - 1:
        return f"{ceil(value):_}{units[0]}"
    for unit in units:
        rounded = _three_digits(value)
        if rounded < base or unit == units[-1]:
            return f"{float(rounded):.2f}".rstrip("0").rstrip(".") + unit
        value /= base
    raise AssertionError("the last unit takes everything")


def _three_digits(value: Fraction) -> Fraction:
    """Return the value rounded up to three digits, and to a whole number where it has more."""
    steps = 100 if value <= 10 else 10 if value <= 100 else 1
    return Fraction(ceil(value * steps), steps)


def _percent(share: Fraction) -> str:
    return f"{float(share * 100):g} %"


def _names(targets: Sequence[str]) -> dict[str, str]:
    """Return a short name for each target, or the target itself where two would be called alike."""
    short = {target: _short_name(target) for target in targets}
    taken = list(short.values())
    return {target: name if taken.count(name) == 1 else target for target, name in short.items()}


def _short_name(target: str) -> str:
    path, _, name = target.rpartition(":")
    return name if path else Path(name).stem if name.endswith(FILE_ENDINGS) else name


def _seen_from(target: str, folder: Path) -> str:
    """Return a target whose file, if it is one, is named from the folder of the budget."""
    path, colon, name = target.partition(":")
    if Path(path).suffix not in FILE_ENDINGS or Path(path).is_absolute():
        return target
    return f"{Path(os.path.relpath(path, folder)).as_posix()}{colon}{name}"


def _text(text: str) -> str:
    """Return a text as YAML writes it, in quotes where it would be read as something else."""
    if re.fullmatch(r"[\w./:@+ -]+", text):
        try:
            if parse_yaml(f"- {text}", "text").plain == [text]:
                return text
        except FileProblems:
            pass
    return json.dumps(text, ensure_ascii=False)
