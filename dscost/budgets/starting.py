"""A first budget: what models cost now, with headroom."""

import os
from collections.abc import Iterator, Mapping, Sequence
from fractions import Fraction
from math import ceil
from pathlib import Path
from typing import Any

from dscost.analysis import AS_STATED, Request, count
from dscost.analysis.sharing_inputs import is_by_name, requests_for
from dscost.budgets.judging import OF_DOUBTS
from dscost.budgets.metrics import model_figure
from dscost.errors import DscostError, FileProblems, InputError
from dscost.notation.inputs import Inputs, TensorSpec
from dscost.notation.literals import Reference, written
from dscost.notation.marked_yaml import escaped, flow, quoted
from dscost.reports.figures import FIGURES
from dscost.reports.records import Report
from dscost.sources import is_saved, split_file
from dscost.timing import Progress

SCHEMA_FILE = "dscost.schema.json"
LIMITED = tuple(name for name, figure in FIGURES.items() if figure.is_limited_first)

_UNITS = {
    "count": (1000, ("", "k", "M", "G", "T")),
    "bytes": (1024, (" B", " KiB", " MiB", " GiB", " TiB")),
}


def starter_budget(
    targets: Sequence[str],
    path: Path,
    headroom: Fraction,
    request: Request = AS_STATED,
    progress: Progress | None = None,
) -> str:
    """Return the text of a budget that these models keep.

    Files are as seen from the working directory; the budget will be at `path`. Its limits are above
    what was counted by a share, the headroom. Progress is told what is being done.

    Raises:
        InputError: Models cannot be counted; the text has a line for each.
    """
    reports: dict[str, Report] = {}
    problems = []
    all_saved = all(map(is_saved, targets))
    names = list(dict.fromkeys(targets))
    asked = dict(zip(names, requests_for(names, request), strict=True))
    for target in names:
        try:
            own = request if all_saved else _request_of(target, asked[target])
            reports[target] = count(target, own, progress=progress).report
        except FileProblems as error:
            problems.append(str(error))
        except DscostError as error:
            problems.append(str(error) if target in str(error) else f"{target}: {error}")
    if problems:
        raise InputError("\n".join(problems))
    shared = request
    if is_by_name(names, request):  # which the next model may not have: each says its own
        shared = request._replace(input=None)
    else:
        asked = {target: own._replace(input=None) for target, own in asked.items()}
    models = _models(path, reports, headroom, asked)
    return "\n".join([*_head(path, shared), *_policy(reports), *models, ""])


def _request_of(target: str, request: Request) -> Request:
    """Return how a target is counted; a saved report is so already."""
    return AS_STATED if is_saved(target) else request


def _head(path: Path, request: Request) -> list[str]:
    given = request.input and _input(request.input)
    run = {"input": given, "batch": request.batch, "dtype": request.dtype}
    return [
        f"# yaml-language-server: $schema={SCHEMA_FILE}",
        f"# dscost schema budget -o {SCHEMA_FILE}, run beside this file, writes that; "
        "editors then complete and check.",
        "# What these models may cost. dscost check exits 1 where one costs more.",
        "version: 1",
        "# What they cost when you last agreed to it: dscost baseline save writes it. "
        "Commit it with this file.",
        f"baseline: {quoted(f'{path.stem}-baseline.json')}",
        "defaults: # for every model that does not say otherwise",
        *(f"  {key}: {flow(value)}" for key, value in run.items() if value is not None),
        "  limits: # growth since the baseline that passes: "
        "edit to what needs no word with anybody",
        "    params: {max_increase: 0%}",
        "    macs: {max_increase: 1%, ignore_below: 100k}",
        "    # ratios of times in one run hold on other machines too; they are timed, and warn:",
        "    # speedup: {min: 3x, runtime: onnxruntime}",
        "    # latency_ratio: {max_increase: 5%, against: main}",
    ]


STRICT = {
    "on_missing_baseline": "a model that is not in the baseline, or another one now, "
    "is not let off",
    "on_stale_baseline": "nor one that has lost its name there",
}
"""What a first budget is stricter about than what holds where nothing is said, and why."""


def _policy(reports: Mapping[str, Report]) -> list[str]:
    """Return what is done about what cannot be judged: strictly, but for what all models have."""
    lines = ["policy:", *(f"  {name}: error # {why}" for name, why in STRICT.items())]
    reasons: dict[str, list[str]] = {}
    for target, report in reports.items():
        if report.coverage.unknown:
            why = f"{target}: {', '.join(report.coverage.unknown)}"
            reasons.setdefault("on_unknown_cost", [_PARTIAL]).append(why)
    for target, report in reports.items():
        for doubt in report.doubts:
            if doubt.kind in OF_DOUBTS:
                _, policy = OF_DOUBTS[doubt.kind]
                reasons.setdefault(policy, []).append(f"{target}: {doubt.text}")
    for policy, comments in reasons.items():
        lines += [*(f"  # {_comment(text)}" for text in comments), f"  {policy}: warn"]
    return lines


_PARTIAL = (
    "their figures are partial: dscost.register_formula teaches an operator; then remove this"
)


def _comment(text: str) -> str:
    """Return a text as one line of a comment."""
    return flow(" ".join(text.split()))[1:-1]


def _input(given: Inputs) -> list[int | str]:
    """Return an input as a budget writes it: sizes, or a text for each of several."""
    return [str(one) if isinstance(one, TensorSpec) else one for one in given]


def _models(
    path: Path, reports: Mapping[str, Report], headroom: Fraction, asked: Mapping[str, Request]
) -> list[str]:
    more = f"what was counted and {float(headroom * 100):g} % more, rounded up"
    more = more if headroom else "exactly what was counted"
    lines = [f"models: # limits are {more}: edit them to what you can afford"]
    names = _names(list(reports))
    for target, report in reports.items():
        lines += [
            f"  - name: {quoted(names[target])}",
            f"    target: {quoted(_seen_from(target, path.parent))}",
        ]
        own = _request_of(target, asked[target])
        lines += [f"    input: {flow(_input(own.input))}"] if own.input else []
        lines += [f"    set: {flow(own.settings)}"] if own.settings else []
        lines += _argument("kwargs", own.kwargs, "    ") if own.kwargs else []
        lines.append("    limits:")
        for metric in LIMITED:
            value = model_figure(report, report.totals.as_is, metric)
            if value is not None:
                limit = at_least(value * (1 + headroom), FIGURES[metric].kind, exactly=not headroom)
                lines.append(f"      {metric}: {limit} # {int(value):,}")
    return lines


def _is_of_python(value: Any) -> bool:
    if isinstance(value, Mapping):
        return any(map(_is_of_python, value.values()))
    return isinstance(value, tuple) or (isinstance(value, list) and any(map(_is_of_python, value)))


def _argument(name: str, value: Any, indent: str) -> Iterator[str]:
    """Yield the lines of an argument; values that only Python has are bare words to YAML."""
    if isinstance(value, Reference):
        yield f"{indent}{name}: {value}"
        for part, entry in value.parts.items():
            yield from _argument(f"{name}.{part}", entry, indent)
    elif isinstance(value, Mapping) and _is_of_python(value):
        yield f"{indent}{name}:"
        for key, entry in value.items():
            yield from _argument(quoted(str(key)), entry, f"{indent}  ")
    elif isinstance(value, list) and _is_of_python(value):
        yield f"{indent}{name}:"
        yield from (f"{indent}  - {_word(entry)}" for entry in value)
    else:
        yield f"{indent}{name}: {_word(value)}"


def _word(value: Any) -> str:
    return escaped(written(value)) if _is_of_python(value) else flow(value)


def at_least(value: Fraction, kind: str, *, exactly: bool = False) -> str:
    """Return the least quantity of three digits that a value does not exceed; a small one whole.

    >>> at_least(Fraction(1_814_073_344), "count"), at_least(Fraction(7), "bytes")
    ('1.82G', '7 B')
    >>> at_least(Fraction(999_001), "count")
    '1M'
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


def _names(targets: Sequence[str]) -> dict[str, str]:
    """Return a short name for each target, or the target itself where two would be called alike."""
    short = {target: _short_name(target) for target in targets}
    taken = list(short.values())
    return {target: name if taken.count(name) == 1 else target for target, name in short.items()}


def _short_name(target: str) -> str:
    path, rest = split_file(target) or (None, target)
    return rest.rpartition(":")[2] or Path(path or "").stem


def _seen_from(target: str, folder: Path) -> str:
    """Return a target whose file, if it is one, is named from the folder of the budget."""
    path, rest = split_file(target) or (None, "")
    if path is None or Path(path).is_absolute():
        return target
    return f"{Path(os.path.relpath(path, folder)).as_posix()}{rest}"
