"""Saved reports: the JSON of `dscost layer` and `dscost model` → the reports that it was written from.

What a key may hold is read off the types of `dscost.reports.records`, so that writing and reading
cannot drift apart. Keys are only ever added within a `schema_version`: one that is not known is
passed over, one that came later may be missing.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from os import PathLike
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from dscost.errors import InputError, SpecError, UnknownNameError, some_of
from dscost.files import read_text, split_report_name
from dscost.layers.variants import BOTH_WAYS, SEPARABLE, STANDARD, VERSIONS
from dscost.notation.strict_json import parse_json
from dscost.reports.figures import SUMMED, Cost, summed
from dscost.reports.records import (
    SCHEMA_VERSION,
    Bound,
    Ceiling,
    Environment,
    Latency,
    Layer,
    Report,
    Speedup,
    Timing,
)

MAX_BYTES = 200_000_000
"""No report of a model is that large."""
MOST_DIGITS = 9
"""Of the number of a report: Python reads no number of thousands."""


def read_saved(target: str | PathLike[str]) -> Report:
    """Return the report that `report.json`, `report.json:NAME` or `report.json:INDEX` stands for, the first being 0.

    Raises:
        InputError: The file cannot be read, is no saved report, or does not hold just one that is
            meant.
    """
    path, name = split_report_name(str(target)) or (str(target), None)
    reports = read_reports(path)
    if name is None:
        if len(reports) == 1:
            return reports[0]
        raise InputError(
            f"{path}: holds {len(reports)} reports, ask for one as {path}:NAME ({_contents(reports)})"
        )
    named = [report for report in reports if report.target == name]
    if len(named) == 1:
        return named[0]
    if named:
        raise InputError(
            f"{path}: {len(named)} reports are called '{name}', ask by index ({_contents(reports)})"
        )
    if name.isdecimal() and len(name) <= MOST_DIGITS and int(name) < len(reports):
        return reports[int(name)]
    if name.isdecimal():
        raise InputError(f"{path}: there is no report {name:.{MOST_DIGITS}} ({_contents(reports)})")
    raise UnknownNameError("report", name, [report.target for report in reports], f" in {path}")


def _contents(reports: Sequence[Report]) -> str:
    return some_of(f"{at}: {report.target}" for at, report in enumerate(reports))


def read_reports(path: str | PathLike[str]) -> tuple[Report, ...]:
    """Return every report of a file.

    Raises:
        InputError: It cannot be read or holds no reports; the text says what is wrong and where.
    """
    return parse_reports(read_text(Path(path), MAX_BYTES), str(path))


def parse_reports(text: str, origin: str) -> tuple[Report, ...]:
    """Return the reports that a JSON document holds.

    Args:
        text: The document.
        origin: What errors call it.

    Raises:
        InputError: It is none, or of another `schema_version`.
    """
    return reports_of(parse_json(text, origin), origin)


def reports_of(document: Any, origin: str) -> tuple[Report, ...]:
    """Return the reports of a document as `dscost.reports.records.document` makes it.

    Raises:
        InputError: It is none; the text says what is wrong and where.
    """
    if isinstance(document, dict) and document.get("command") == "convert":
        raise InputError(
            f"{origin}: a conversion, not a saved report: expected what dscost model … --json writes; of a converted "
            "model, give the factory that returns dscost.convert(make(), plan=…), as path/file.py:factory"
        )
    if (
        not isinstance(document, dict)
        or "schema_version" not in document
        or "subjects" not in document
    ):
        raise InputError(
            f"{origin}: not a saved report: expected 'schema_version' and 'subjects', as dscost model … --json writes"
        )
    if document["schema_version"] != SCHEMA_VERSION:
        found = _shown(document["schema_version"])
        raise InputError(f"{origin}: expected schema_version {SCHEMA_VERSION}, found {found}")
    try:
        environment = _within(
            "environment", _reader(Environment | None), document.get("environment")
        )
        reports: tuple[Report, ...] = _within(
            "subjects", _reader(tuple[Report, ...]), document["subjects"]
        )
        for at, report in enumerate(reports):
            _require_whole(report, "subjects", at)
    except _Misfit as misfit:
        raise InputError(f"{origin}: {misfit}") from None
    if not reports:
        raise InputError(f"{origin}: holds no report")
    # it stands in the document once, for whatever was measured
    return tuple(
        report._replace(environment=environment if _is_measured(report) else None)
        for report in reports
    )


def _is_measured(report: Report) -> bool:
    return bool(report.latency) or any(layer.latency for layer in report.layers)


# -- what types do not say


def _require_whole(report: Report, *place: str | int) -> None:
    """Refuse a report in which one part needs another that is not there."""
    is_layer = report.source == "layer"
    if is_layer and (len(report.layers) != 1 or report.layers[0].conv is None):
        raise _Misfit("expected one convolution, as of every layer", *place, "layers")
    if is_layer and not report.inputs:
        raise _Misfit("expected one input, found none", *place, "inputs")
    if is_layer:
        _require_of_layer(report.layers[0], *place, "layers", 0)
    if is_layer and "depth_multiplier" not in report.settings:
        raise _Misfit("missing key 'depth_multiplier'", *place, "settings")
    _require_sums(report, *place)
    needed = (STANDARD,) if is_layer else BOTH_WAYS
    further = report.settings.get("variants", {}) if is_layer else {}
    if not isinstance(further, dict) or any(
        type(value) not in (int, NoneType) for value in further.values()
    ):
        raise _Misfit(
            "expected whole numbers or null by the names of variants",
            *place,
            "settings",
            "variants",
        )
    for at, layer in enumerate(report.layers):
        if is_layer or layer.variants:
            _require_trade(layer, needed, (*BOTH_WAYS, *further), *place, "layers", at)


def _require_of_layer(layer: Layer, *place: str | int) -> None:
    """Refuse what `dscost layer` never writes and its page could not show."""
    if len(layer.input_shape) != 4 or min(layer.input_shape) < 1:
        raise _Misfit("expected batch, channels, height and width", *place, "input_shape")
    ratios: dict[tuple[str, ...], float | None] = {("formula_ratio",): layer.formula_ratio}
    ratios |= {
        ("formula_ratios", name): ratio
        for name, ratio in layer.formula_ratios.items()
        if name != SEPARABLE
    }
    for key, ratio in ratios.items():
        if ratio == 0:
            raise _Misfit("expected a number above 0, found 0", *place, *key)


def _require_sums(report: Report, *place: str | int) -> None:
    """Refuse totals that are not those of the layers: whoever judges the one would be misled about the other."""
    if not report.layers:
        raise _Misfit("expected at least one layer, found none", *place, "layers")
    of_layers = summed(layer.cost for layer in report.layers)
    for figure in SUMMED:  # those that never run included
        total, found = getattr(report.totals.as_is, figure), getattr(of_layers, figure)
        if None not in (total, found) and total != found:
            raise _Misfit(
                f"found {total:,}, but its layers have {found:,}",
                *place,
                "totals",
                "as_is",
                figure,
            )


def _require_trade(
    layer: Layer, needed: Sequence[str], known: Sequence[str], *place: str | int
) -> None:
    for name in needed:
        if name not in layer.variants:
            raise _Misfit(f"missing key '{name}'", *place, "variants")
    for name in layer.variants:
        if name not in known:
            raise _Misfit(f"expected {' or '.join(known)}, found '{name}'", *place, "variants")
        if not layer.stages.get(name):
            raise _Misfit(f"missing key '{name}', which is in 'variants'", *place, "stages")
        if layer.variants[name].traffic_bytes == 0:
            raise _Misfit(
                "expected the bytes of inputs, outputs and weights, found 0",
                *place,
                "variants",
                name,
            )
    for name in layer.stages:
        if name not in layer.variants:
            raise _Misfit(f"found '{name}', which is not in 'variants'", *place, "stages")
    for name in layer.formula_ratios:
        if name not in layer.variants:
            raise _Misfit(f"found '{name}', which is not in 'variants'", *place, "formula_ratios")


# -- readers, one per type


class _Misfit(Exception):
    """A value that does not fit its type, and the keys that lead to it, outermost first."""

    def __init__(self, message: str, *path: str | int) -> None:
        super().__init__(message)
        self.path = list(path)

    def __str__(self) -> str:
        place = "".join(
            f"[{key}]" if isinstance(key, int) else f".{key}" for key in self.path
        ).removeprefix(".")
        return f"{place}: {self.args[0]}" if place else str(self.args[0])


_Reader = Callable[[Any], Any]


def _within(key: str | int, reader: _Reader, value: Any) -> Any:
    """Read what stands under a key."""
    try:
        return reader(value)
    except _Misfit as misfit:
        misfit.path.insert(0, key)
        raise


_SCALARS: Mapping[type, tuple[tuple[type, ...], str]] = {
    bool: ((bool,), "true or false"),
    int: ((int,), "a whole number"),
    float: ((int, float), "a number"),
    str: ((str,), "text"),
    NoneType: ((NoneType,), "null"),
}
"""What JSON may hold for a type, and how that is called; true is no number."""


@cache
def _reader(kind: Any) -> _Reader:
    """Return what reads JSON values of a type."""
    origin, arguments = get_origin(kind), get_args(kind)
    if kind is Any:
        return lambda value: value
    if kind in _SCALARS:
        return _scalar_reader(kind)
    if origin in (Union, UnionType):
        return _choice_reader(arguments)
    if origin is Literal:
        return _literal_reader(arguments)
    if origin is tuple:
        return _tuple_reader(arguments)
    if origin is Mapping:
        return _mapping_reader(arguments[1])
    return _timing_reader() if kind is Timing else _record_reader(kind)


def _scalar_reader(kind: type) -> _Reader:
    types, words = _SCALARS[kind]

    def read(value: Any) -> Any:
        if type(value) not in types:
            raise _Misfit(f"expected {words}, found {_shown(value)}")
        if kind is int and value < 0:
            raise _Misfit(f"expected {words} of at least 0, found {_shown(value)}")
        return value

    return read


def _choice_reader(kinds: Sequence[Any]) -> _Reader:
    optional = NoneType in kinds
    readers = [_reader(kind) for kind in kinds if kind is not NoneType]

    def read(value: Any) -> Any:
        if value is None and optional:
            return None
        for reader in readers[:-1]:
            try:
                return reader(value)
            except _Misfit:
                continue
        return readers[-1](value)

    return read


def _literal_reader(allowed: Sequence[Any]) -> _Reader:
    def read(value: Any) -> Any:
        if value not in allowed:
            raise _Misfit(f"expected {' or '.join(map(_shown, allowed))}, found {_shown(value)}")
        return value

    return read


def _tuple_reader(kinds: Sequence[Any]) -> _Reader:
    reader, length = _reader(kinds[0]), None if kinds[-1] is Ellipsis else len(kinds)

    def read(value: Any) -> Any:
        if not isinstance(value, list):
            raise _Misfit(f"expected a list, found {_shown(value)}")
        if length is not None and len(value) != length:
            raise _Misfit(f"expected {length} entries, found {len(value)}")
        return tuple(_within(at, reader, entry) for at, entry in enumerate(value))

    return read


def _mapping_reader(kind: Any) -> _Reader:
    reader = _reader(kind)

    def read(value: Any) -> Any:
        if not isinstance(value, dict):
            raise _Misfit(f"expected an object, found {_shown(value)}")
        return {key: _within(key, reader, entry) for key, entry in value.items()}

    return read


def _record_reader(kind: Any) -> _Reader:
    """Return what reads a named tuple or a dataclass, from an object with its fields as keys."""
    hints = get_type_hints(kind)
    if hasattr(kind, "_fields"):
        fields, defaults = kind._fields, kind._field_defaults
    else:
        fields = kind.__slots__
        defaults = ()  # specs are written with every field
    readers = {name: _reader(hints[name]) for name in fields if (kind, name) not in _ELSEWHERE}
    readers.update(
        {name: _within_bounds(readers[name], 0) for name in _NEVER_NEGATIVE.get(kind, ())}
    )
    readers.update(
        {name: _within_bounds(readers[name], None) for name in _ABOVE_ZERO.get(kind, ())}
    )

    def read(value: Any) -> Any:
        if not isinstance(value, dict):
            raise _Misfit(f"expected an object, found {_shown(value)}")
        for name in readers:
            if name not in value and name not in defaults:
                raise _Misfit(f"missing key '{name}'")
        given = {
            name: _within(name, reader, value[name])
            for name, reader in readers.items()
            if name in value
        }
        try:
            found = kind(**given)
        except SpecError as error:
            raise _Misfit(str(error)) from None
        if kind is Cost and value.get("flops", found.flops) != found.flops:
            raise _Misfit(
                f"expected twice the macs, {found.flops:,}, found {_shown(value['flops'])}", "flops"
            )
        return found

    return read


def _within_bounds(reader: _Reader, least: int | None) -> _Reader:
    """Return a reader that refuses numbers below `least`; without one, those that are not above 0."""

    def read(value: Any) -> Any:
        found = reader(value)
        for number in found if isinstance(found, tuple) else (found,):
            if isinstance(number, int | float) and (
                number <= 0 if least is None else number < least
            ):
                expected = "above 0" if least is None else f"of at least {least}"
                raise _Misfit(f"expected a number {expected}, found {_shown(number)}")
        return found

    return read


_TIMES = (
    "median_s",
    "ci95_s",
    "iqr_s",
    "p95_s",
    "p99_s",
    "min_s",
    "roofline_s",
    "predicted_s",
    "roofline_fraction",
)
_NEVER_NEGATIVE: Mapping[type, tuple[str, ...]] = {
    Latency: (*_TIMES, "usual_error", "compile_s"),
    Speedup: ("noise_floor",),
    Environment: ("noise_floor", "load_before", "load_after"),
    Bound: ("roofline_s",),
}
_ABOVE_ZERO: Mapping[type, tuple[str, ...]] = {
    Speedup: ("median", "ci95"),
    Ceiling: ("flops_per_s", "bytes_per_s"),
}
_ELSEWHERE = ((Report, "environment"), (Timing, "latencies"), (Timing, "ratios"))
"""Fields that do not stand in the JSON of their record under their own name."""


def _timing_reader() -> _Reader:
    """Return what reads a timing, in which the further variants are those that `speedups` names."""
    usual, latency, optional_latency = (
        _record_reader(Timing),
        _reader(Latency),
        _reader(Latency | None),
    )
    speedup, speedups = _reader(Speedup | None), _reader(Mapping[str, Speedup])

    def read(value: Any) -> Timing:
        timing: Timing = usual(value)
        latencies = {name: _within(name, optional_latency, value.get(name)) for name in VERSIONS}
        ratios = {SEPARABLE: _within("speedup", speedup, value.get("speedup"))}
        for name, one in _within("speedups", speedups, value.get("speedups", {})).items():
            if name not in value:
                raise _Misfit(f"missing key '{name}', which is in 'speedups'")
            latencies[name] = _within(name, latency, value[name])
            ratios[name] = one
        return timing._replace(latencies=_measured(latencies), ratios=_measured(ratios))

    return read


def _measured(found: Mapping[str, Any]) -> dict[str, Any]:
    return {name: one for name, one in found.items() if one is not None}


def _shown(value: Any) -> str:
    """Return a JSON value as an error shows it, containers by name alone."""
    if isinstance(value, dict | list):
        return "an object" if isinstance(value, dict) else "a list"
    import json

    return f"{json.dumps(value, ensure_ascii=False):.40}"
