"""Saved reports: the JSON of `dscost layer` and `dscost model` → the reports that it is of.

What a key may hold is read off the types of `dscost.reports.records`, so that writing and reading
cannot drift apart. Keys are only ever added within a `schema_version`: one that is not known is
passed over, one that came later may be missing.
"""

from collections.abc import Mapping, Sequence
from os import PathLike
from pathlib import Path
from types import NoneType
from typing import Any

from dscost.errors import InputError, UnknownNameError, some_of
from dscost.files import read_text, split_report_name
from dscost.layers.variants import BOTH_WAYS, SEPARABLE, STANDARD, VERSIONS
from dscost.notation.strict_json import parse_json
from dscost.notation.typed_json import Misfit, Readers, below, excerpt, within
from dscost.reports.figures import SUMMED, Cost, summed
from dscost.reports.records import (
    SCHEMA_VERSION,
    Bound,
    Ceiling,
    Environment,
    Latency,
    Layer,
    Ran,
    Report,
    RunNode,
    Speedup,
    Timing,
)

MAX_BYTES = 200_000_000
"""No report of a model is that large."""
MOST_DIGITS = 9
"""Of the number of a report: Python reads no number of thousands."""


def read_saved(target: str | PathLike[str]) -> Report:
    """Return the report that `report.json`, `report.json:NAME` or `report.json:INDEX` stands for.

    The first has the index 0.

    Raises:
        InputError: The file cannot be read, is no saved report, or does not hold just one that is
            meant.
    """
    path, name = split_report_name(str(target)) or (str(target), None)
    reports = parse_reports(read_text(Path(path), MAX_BYTES), path)
    if name is None:
        if len(reports) == 1:
            return reports[0]
        raise InputError(
            f"{path}: holds {len(reports)} reports, ask for one as {path}:NAME "
            f"({_contents(reports)})"
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


def parse_reports(text: str, origin: str) -> tuple[Report, ...]:
    """Return the reports of a document as `dscost.reports.records.document` makes it.

    Raises:
        InputError: It is none, or of another `schema_version`; the text says what is wrong and
            where in `origin`.
    """
    document = parse_json(text, origin)
    if isinstance(document, dict) and document.get("command") == "convert":
        raise InputError(
            f"{origin}: a conversion, not a saved report: "
            "expected what dscost model … --json writes; "
            "of a converted model, give the factory that returns dscost.convert(make(), plan=…), "
            "as path/file.py:factory"
        )
    if not isinstance(document, dict) or not {"schema_version", "subjects"} <= document.keys():
        raise InputError(
            f"{origin}: not a saved report: expected 'schema_version' and 'subjects', "
            "as dscost model … --json writes"
        )
    if document["schema_version"] != SCHEMA_VERSION:
        found = excerpt(document["schema_version"])
        raise InputError(f"{origin}: expected schema_version {SCHEMA_VERSION}, found {found}")
    try:
        with below("environment"):
            environment = _READERS.of(Environment | None)(document.get("environment"))
        with below("conventions"):
            _READERS.of(Mapping[str, str])(document.get("conventions", {}))
        with below("subjects"):
            reports: tuple[Report, ...] = _READERS.of(tuple[Report, ...])(document["subjects"])
        for at, report in enumerate(reports):
            with below("subjects", at):
                _require_whole(report)
    except Misfit as misfit:
        raise InputError(f"{origin}: {misfit}") from None
    if not reports:
        raise InputError(f"{origin}: holds no report")
    # it stands in the document once, for whatever was measured
    return tuple(_measured_in(environment, report) for report in reports)


def _measured_in(environment: Environment | None, report: Report) -> Report:
    if report.latency or any(layer.latency for layer in report.layers):
        return report._replace(environment=environment)
    return report


# -- what types do not say


def _require_whole(report: Report) -> None:
    """Refuse a report in which one part needs another that is not there."""
    is_layer = report.source == "layer"
    if is_layer:
        _require_of_layer(report)
    _require_sums(report)
    _require_conventions(report)
    needed = (STANDARD,) if is_layer else BOTH_WAYS
    further = report.settings.get("variants", {}) if is_layer else {}
    if not isinstance(further, dict) or any(
        type(value) not in (int, NoneType) for value in further.values()
    ):
        expected = "expected whole numbers or null by the names of variants"
        raise Misfit(expected, "settings", "variants")
    for at, layer in enumerate(report.layers):
        if is_layer or layer.variants:
            with below("layers", at):
                _require_variants(layer, needed, (*BOTH_WAYS, *further))


def _require_of_layer(report: Report) -> None:
    """Refuse what `dscost layer` never writes and its page could not show."""
    if len(report.layers) != 1 or report.layers[0].conv is None:
        raise Misfit("expected one convolution, as of every layer", "layers")
    if not report.inputs:
        raise Misfit("expected one input, found none", "inputs")
    layer = report.layers[0]
    with below("layers", 0):
        assert layer.conv is not None
        dims = len(layer.conv.kernel_size)
        if len(layer.input_shape) != dims + 2 or min(layer.input_shape) < 1:
            expected = "height and width" if dims == 2 else f"as many sizes as its kernel, {dims}"
            raise Misfit(f"expected batch, channels, {expected}", "input_shape")
        if layer.formula_ratio == 0:
            raise Misfit("expected a number above 0, found 0", "formula_ratio")
        for name, ratio in layer.formula_ratios.items():
            if name != SEPARABLE and ratio == 0:
                raise Misfit("expected a number above 0, found 0", "formula_ratios", name)
    if "depth_multiplier" not in report.settings:
        raise Misfit("missing key 'depth_multiplier'", "settings")


def _require_sums(report: Report) -> None:
    """Refuse totals that are not those of the layers: whoever judges one is misled of the other."""
    if not report.layers:
        raise Misfit("expected at least one layer, found none", "layers")
    of_layers = summed(layer.cost for layer in report.layers)
    for figure in SUMMED:  # those that never run included
        total, found = getattr(report.totals.as_is, figure), getattr(of_layers, figure)
        if None not in (total, found) and total != found:
            told = f"found {total:,}, but its layers have {found:,}"
            raise Misfit(told, "totals", "as_is", figure)


def _require_conventions(report: Report) -> None:
    """Refuse figures of conventions that no convention tells of, or that do not add up."""
    versions: Sequence[str] = VERSIONS
    if report.source == "layer":
        versions = ("as_is", *report.layers[0].variants)
    for name, amounts in report.by_convention.items():
        if name not in report.conventions:
            raise Misfit(f"missing key '{name}', which is in 'by_convention'", "conventions")
        with below("by_convention", name):
            _require_keys(amounts, versions)
        total = amounts["as_is"]
        of_layers = sum(layer.by_convention.get(name, 0) for layer in report.layers)
        if of_layers > total:  # what belongs to no layer may be more
            told = f"found {total:,}, but its layers have {of_layers:,}"
            raise Misfit(told, "by_convention", name, "as_is")
        shares = sum(report.conventions[name].shares.values())
        if shares != total:
            told = f"expected what adds up to {total:,}, found {shares:,}"
            raise Misfit(told, "conventions", name, "shares")

    for at, layer in enumerate(report.layers):
        with below("layers", at, "by_convention"):
            _require_keys(layer.by_convention, tuple(report.by_convention))


def _require_keys(found: Mapping[str, Any], expected: Sequence[str]) -> None:
    """Refuse what lacks one of some keys, or has others."""
    for key in expected:
        if key not in found:
            raise Misfit(f"missing key '{key}'")
    for key in found:
        if key not in expected:
            raise Misfit(f"expected {' or '.join(expected) or 'none'}, found {excerpt(key)}")


def _require_variants(layer: Layer, needed: Sequence[str], known: Sequence[str]) -> None:
    """Refuse a layer whose variants, stages and formulas do not belong together."""
    for name in needed:
        if name not in layer.variants:
            raise Misfit(f"missing key '{name}'", "variants")
    for name in layer.variants:
        if name not in known:
            raise Misfit(f"expected {' or '.join(known)}, found '{name}'", "variants")
        if not layer.stages.get(name):
            raise Misfit(f"missing key '{name}', which is in 'variants'", "stages")
        # a bandwidth and a ratio of bytes would have nothing to stand on
        if layer.variants[name].traffic_bytes == 0:
            expected = "expected the bytes of inputs, outputs and weights, found 0"
            raise Misfit(expected, "variants", name)
    for key, names in (("stages", layer.stages), ("formula_ratios", layer.formula_ratios)):
        for name in names:
            if name not in layer.variants:
                raise Misfit(f"found '{name}', which is not in 'variants'", key)


# -- reading


def _checked_cost(found: Cost, value: Mapping[str, Any]) -> Cost:
    flops = value.get("flops", found.flops)
    if flops != found.flops:
        raise Misfit(f"expected twice the macs, {found.flops:,}, found {excerpt(flops)}", "flops")
    return found


def _whole_timing(timing: Timing, value: Mapping[str, Any]) -> Timing:
    """Return a timing with what was measured; further variants are those that `speedups` names."""
    latency, speedup = _READERS.of(Latency | None), _READERS.of(Speedup | None)
    speedups = _READERS.of(Mapping[str, Speedup])
    latencies = {name: within(name, latency, value.get(name)) for name in VERSIONS}
    ratios = {SEPARABLE: within("speedup", speedup, value.get("speedup"))}
    for name, one in within("speedups", speedups, value.get("speedups", {})).items():
        if name not in value:
            raise Misfit(f"missing key '{name}', which is in 'speedups'")
        latencies[name] = within(name, _READERS.of(Latency), value[name])
        ratios[name] = one
    return timing._replace(latencies=_measured(latencies), ratios=_measured(ratios))


def _measured(found: Mapping[str, Any]) -> dict[str, Any]:
    return {name: one for name, one in found.items() if one is not None}


_TIMES = ("median_s", "ci95_s", "iqr_s", "p95_s", "p99_s", "min_s", "compile_s")
_PREDICTED = ("roofline_s", "predicted_s", "roofline_fraction", "usual_error")
_READERS = Readers(
    never_negative={
        Latency: (*_TIMES, *_PREDICTED),
        Speedup: ("noise_floor",),
        Environment: ("noise_floor", "load_before", "load_after"),
        Bound: ("roofline_s",),
        Ran: ("error",),
        RunNode: ("seconds",),
    },
    above_zero={Speedup: ("median", "ci95"), Ceiling: ("flops_per_s", "bytes_per_s")},
    elsewhere={Report: ("environment",), Timing: ("latencies", "ratios")},
    finish={Cost: _checked_cost, Timing: _whole_timing},
)
