"""Sheets of times: settings side by side, stages against the roofline, sums of layers."""

from collections.abc import Iterator, Mapping, Sequence
from fractions import Fraction
from math import isclose, prod
from types import MappingProxyType

from dscost.layers.variants import SEPARABLE, STANDARD
from dscost.notation.units import (
    ARROW,
    DTYPE_BYTES,
    UNKNOWN,
    arrow,
    format_bytes,
    format_factor,
    format_intensity,
    format_rate,
    format_seconds,
)
from dscost.pages.between_calls import BETWEEN_CALLS, above_floor, between_calls_s, floor_of
from dscost.pages.clocks import cpu_cells, cpu_column
from dscost.pages.page import Column, Row, Sheet, filled_sheet, without_interval, words
from dscost.pages.runs import run_by
from dscost.pages.wording import (
    LATENCY,
    SHORT_TITLES,
    SPEEDUP,
    format_latency,
    format_speedup,
)
from dscost.reports.figures import FIGURES, Cost
from dscost.reports.records import Bound, Environment, Latency, Layer, Report, Timing
from dscost.runtimes import TORCH
from dscost.timing import batch_of, dtype_of, runtime_of


def layer_sheets(
    layer: Layer,
    titles: Mapping[str, str],
    *,
    explain: bool,
    where: Environment | None = None,
    dtype: str = "float32",
) -> list[Sheet]:
    """Return what there is to say of one layer's times besides those that stand with its costs.

    Args:
        layer: With times.
        titles: Of its variants.
        explain: Whether to tell what the times could be.
        where: They were taken.
        dtype: That the costs of the layer are counted in.
    """
    usual = layer.variants.keys() <= SHORT_TITLES.keys()
    sheets = []
    if len(layer.latency) > 1:
        own = layer.input_shape[0]
        sheets.append(
            settings_sheet(layer.latency, own, where, _bytes_of(layer))
            if usual
            else variants_sheet(layer, titles, where)
        )
    if explain and layer.latency:
        sheets.append(explanation_sheet(layer, SHORT_TITLES if usual else titles, dtype))
    if layer.predictions:
        sheets.append(devices_sheet(layer.predictions) if usual else bounds_sheet(layer, titles))
    return sheets


def model_sheets(report: Report) -> list[Sheet]:
    """Return what there is to say of a model's times besides those that stand with its costs."""
    sheets = []
    if report.timing and report.timing.layers_s:
        sheets.append(sums_sheet(report.timing))
    if len(report.latency) > 1:
        sheets.append(settings_sheet(report.latency, report.batch, report.environment))
    if report.predictions:
        sheets.append(devices_sheet(report.predictions))
    return sheets


# -- settings


def settings_sheet(
    timings: Mapping[str, Timing],
    own_batch: int,
    where: Environment | None = None,
    nbytes: Mapping[str, Mapping[str, str]] = MappingProxyType({}),
) -> Sheet:
    """Return one row per setting, and which is best for which variant: the least time per input.

    Bytes, by setting and column, are those of settings whose data types differ.

    The noise floor is that of the machine, for settings that have no speedup with its own.
    """
    noise_floor = where.noise_floor if where else None
    columns = [
        words("setting"),
        Column("standard", "standard", 1),
        Column("separable", "separable", 1),
        Column("speedup", SPEEDUP, 0, narrow=without_interval),
        cpu_column(1),
        Column("throughput", "separable inputs/s", 4),
        Column("weights", "weights", 4),
        Column("traffic", "traffic", 4),
        Column("compiled", "compile", 5),
        words("best", 3, "best for"),
        words("engine", 4, "run by"),
    ]
    sizes = {key: batch_of(key, own_batch) for key in timings}
    # several, where the clock sees no difference
    floors = {key: floor_of(timing, noise_floor) for key, timing in timings.items()}
    best = {name: _best(timings, sizes, floors, name) for name in SHORT_TITLES}
    of_batches = len(set(sizes.values())) > 1
    rows = []
    for key, timing in timings.items():
        cells = {"setting": key, "speedup": format_speedup(timing.speedup), **cpu_cells(timing)}
        cells |= nbytes.get(key, {})
        compiled = []
        for name, short in SHORT_TITLES.items():
            latency = timing.of(name)
            cells[short] = format_seconds(latency.median_s) if latency else UNKNOWN
            if latency and latency.compile_s:
                compiled.append(format_seconds(latency.compile_s))
        cells["compiled"] = " + ".join(compiled)
        if of_batches and timing.depthwise_separable:
            cells["throughput"] = format_rate(sizes[key] / timing.depthwise_separable.median_s)
        cells["best"] = ", ".join(
            short for name, short in SHORT_TITLES.items() if key in best[name]
        )
        rows.append(Row(cells))
    return filled_sheet(columns, _with_engines(rows, timings, where))


def _bytes_of(layer: Layer) -> Mapping[str, Mapping[str, str]]:
    """Return weights and traffic of both variants by setting, where data types differ.

    Traffic is that of the batch that was counted.
    """
    dtypes = {key: dtype_of(key) for key in layer.latency}
    both = [layer.variants[name] for name in SHORT_TITLES if name in layer.variants]
    if len(set(dtypes.values())) < 2 or len(both) < len(SHORT_TITLES):
        return {}
    values, own_batch = prod(layer.input_shape), layer.input_shape[0]
    found = {}
    for key, dtype in dtypes.items():
        size = DTYPE_BYTES[dtype]
        scaled = [one.input_bytes and Fraction(size * values, one.input_bytes) for one in both]
        pairs = {"weights": [one.weight_bytes for one in both]}
        if batch_of(key, own_batch) == own_batch:
            pairs["traffic"] = [one.traffic_bytes for one in both]
        found[key] = {
            name: ARROW.join(
                format_bytes(int(each * ratio)) for each, ratio in zip(pair, scaled, strict=True)
            )
            for name, pair in pairs.items()
        }
    return found


def _with_engines(
    rows: Sequence[Row], timings: Mapping[str, Timing], where: Environment | None
) -> Sequence[Row]:
    """Return rows of settings with what ran each, where that is not torch alone."""
    if where is None or all(runtime_of(key) == TORCH for key in timings):
        return rows
    engines = {key: run_by(key, timing, where) for key, timing in timings.items()}
    return [Row({**row.cells, "engine": engines[row.cells["setting"]]}, row.style) for row in rows]


def variants_sheet(
    layer: Layer, titles: Mapping[str, str], where: Environment | None = None
) -> Sheet:
    """Return one row per setting and variant of a layer, where they are not just the usual two."""
    columns = [
        words("setting"),
        words("variant"),
        Column("latency", LATENCY, 1, narrow=without_interval),
        Column("speedup", SPEEDUP, 0, narrow=without_interval),
        cpu_column(1),
        Column("compiled", "compile", 5),
        words("engine", 4, "run by"),
    ]
    rows = []
    for key, timing in layer.latency.items():
        for name in layer.variants:
            latency, ratio = timing.of(name), timing.speedup_of(name)
            compile_s = latency.compile_s if latency else None
            cells = {
                "setting": key,
                "variant": titles[name],
                "latency": format_latency(latency),
                "speedup": "" if name == STANDARD else format_speedup(ratio),
                **cpu_cells(timing, name),
                "compiled": format_seconds(compile_s) if compile_s else "",
            }
            rows.append(Row(cells))
    return filled_sheet(columns, _with_engines(rows, layer.latency, where))


def _best(
    timings: Mapping[str, Timing],
    sizes: Mapping[str, int],
    floors: Mapping[str, float],
    variant: str,
) -> set[str]:
    measured = {
        key: found.median_s / sizes[key]
        for key, timing in timings.items()
        if (found := timing.of(variant))
    }
    if not measured:
        return set()
    fastest = min(measured, key=lambda key: measured[key])
    return {
        key
        for key, seconds in measured.items()
        if seconds <= (1 + max(floors[key], floors[fastest])) * measured[fastest]
    }


# -- why


def explanation_sheet(
    layer: Layer, titles: Mapping[str, str] = SHORT_TITLES, dtype: str = "float32"
) -> Sheet:
    """Return what each variant and stage could, should and does take, setting by setting.

    The layer is counted in one dtype and batch; what moves under a setting is of its own.
    """
    columns = [
        words("setting", 4),
        words("part"),
        Column("flops_per_byte", FIGURES["flops_per_byte"].title, 5),
        words("bound", 1),
        Column("roofline", "roofline", 1),
        Column("predicted", "predicted", 2),
        Column("measured", "measured", 0),
        Column("fraction", "of roofline", 2),
        words("backend", 3),
    ]
    rows = [
        row
        for key, timing in layer.latency.items()
        for row in _parts(layer, titles, key, timing, dtype)
    ]
    if len(layer.latency) == 1:
        columns = columns[1:]
    return filled_sheet(columns, rows)


def _parts(
    layer: Layer, titles: Mapping[str, str], key: str, timing: Timing, dtype: str
) -> Iterator[Row]:
    setting = {"setting": key}
    size_ratio = DTYPE_BYTES[dtype_of(key)] / DTYPE_BYTES.get(dtype, DTYPE_BYTES["float32"])
    own = max(1, layer.input_shape[0])
    batch_ratio = batch_of(key, own) / own

    def intensity_of(cost: Cost) -> float | None:
        per_batch_bytes = batch_ratio * (cost.traffic_bytes - cost.weight_bytes)
        moved_bytes = size_ratio * (cost.weight_bytes + per_batch_bytes)
        return batch_ratio * cost.flops / moved_bytes if moved_bytes else None

    for name in layer.stages:
        latency = timing.of(name)
        if latency is None:
            continue
        intensity = intensity_of(layer.variants[name])
        cells = _bounded(latency, intensity, timing.backends.get(name, ""))
        yield Row({**setting, "part": titles[name], **cells}, "strong")
        for stage in layer.parts_of(name):
            part, intensity = timing.part(name, stage.name), intensity_of(stage.cost)
            head = {**setting, "part": f"  {stage.name}"}
            if part:
                cells = _bounded(part, intensity, timing.backends.get(stage.name, ""))
                yield Row({**head, **cells}, "faint")
            elif backend := timing.backends.get(f"{name}.{stage.name}"):
                cells = {"flops_per_byte": format_intensity(intensity), "backend": backend}
                yield Row({**head, **cells}, "faint")
    between_s = between_calls_s(timing)
    if between_s is not None:
        gap = {"part": f"  {BETWEEN_CALLS}", "measured": format_seconds(between_s)}
        yield Row({**setting, **gap}, "faint")


def _bounded(latency: Latency, flops_per_byte: float | None, backend: str) -> dict[str, str]:
    cells = {
        "flops_per_byte": format_intensity(flops_per_byte),
        "bound": f"{latency.bound or ''}{', balanced' if latency.balanced else ''}",
        "measured": format_seconds(latency.median_s),
        "backend": backend,
    }
    if latency.roofline_s is not None:
        cells["roofline"] = format_seconds(latency.roofline_s)
    if latency.predicted_s is not None:
        cells["predicted"] = format_seconds(latency.predicted_s)
    if latency.roofline_fraction is not None:
        cells["fraction"] = f"{latency.roofline_fraction:.0%}"
    return cells


# -- whole models


def sums_sheet(timing: Timing) -> Sheet:
    """Return the sums of the swappable layers beside the model end to end, and the rest."""
    columns = [
        words("version"),
        Column("whole", "end to end", 0),
        Column("layers", "swappable layers, one by one", 0),
        Column("rest", "everything else", 1),
    ]
    rows = []
    for name, short in SHORT_TITLES.items():
        whole, layers_s = timing.of(name), timing.layers_s.get(name)
        if whole and layers_s is not None:
            cells = {
                "version": short,
                "whole": format_seconds(whole.median_s),
                "layers": format_seconds(layers_s),
            }
            rest_s = above_floor(whole.median_s - layers_s, whole.median_s, timing)
            if rest_s is not None:
                cells["rest"] = format_seconds(rest_s)
            rows.append(Row(cells))
    return filled_sheet(columns, rows)


# -- devices that one does not have


def _differ(one: Bound | None, other: Bound | None) -> bool:
    return one is not None and (
        other is None or not isclose(one.roofline_s, other.roofline_s, rel_tol=1e-9)
    )


def bounds_sheet(layer: Layer, titles: Mapping[str, str]) -> Sheet:
    """Return the bounds of named devices, a row per device and variant, beyond the usual two."""
    columns = [
        words("device", header="on"),
        words("variant"),
        Column("least", "at least", 0),
        words("bound", 2),
        Column("speedup", "speedup of the bounds", 1),
    ]
    rows = []
    for device, found in layer.predictions.items():
        standard = found.get(STANDARD)
        for name in layer.variants:
            if name not in found:  # a saved report may lack some
                continue
            bound, speedup = found[name], ""
            if name != STANDARD and standard and standard.roofline_s and bound.roofline_s:
                speedup = format_factor(standard.roofline_s / bound.roofline_s)
            cells = {"device": device, "variant": titles[name], "bound": bound.bound}
            cells |= {"least": format_seconds(bound.roofline_s), "speedup": speedup}
            rows.append(Row(cells))
    return Sheet(columns, rows)


def devices_sheet(predictions: Mapping[str, Mapping[str, Bound]]) -> Sheet:
    """Return what the rooflines of named devices say: a bound, which no run can beat."""
    columns = [
        words("device", header="on"),
        Column("as_is", "as it is at least", 3),
        Column("standard", "standard at least", 0),
        Column("separable", "separable at least", 0),
        words("bound", 2),
        Column("speedup", "speedup of the bounds", 1),
    ]
    own = any(_differ(found.get("as_is"), found.get(STANDARD)) for found in predictions.values())
    rows = []
    for device, found in predictions.items():
        standard, separable = found.get(STANDARD), found.get(SEPARABLE)
        cells = {"device": device}
        as_is = found.get("as_is") if own or standard is None else None
        for key, bound in (("as_is", as_is), ("standard", standard), ("separable", separable)):
            cells[key] = format_seconds(bound.roofline_s) if bound else ""
        cells["bound"] = arrow(bound.bound for bound in (standard, separable) if bound)
        if standard and separable and separable.roofline_s:
            cells["speedup"] = format_factor(standard.roofline_s / separable.roofline_s)
        rows.append(Row(cells))
    return filled_sheet(columns, rows)
