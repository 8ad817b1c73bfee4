"""Where parts of a layer, or layers of a model, stand against rooflines; nothing is timed."""

from collections.abc import Iterator, Mapping

from dscost.layers.variants import BOTH_WAYS
from dscost.notation.units import arrow, format_intensity, format_seconds
from dscost.pages.page import Column, Row, Sheet, filled_sheet, words
from dscost.reports.figures import FIGURES
from dscost.reports.records import Bound, Layer, Report

RIDGE_NOTE = (
    "A stage of fewer FLOP/byte than the ridge of a device waits for its memory, one of more for "
    "its arithmetic; several are bound by what takes most of their time."
)
WITHOUT_DEVICES = (
    "FLOP/byte is the arithmetic intensity: where it is below the ridge of a device, memory is the "
    "bound. --on NAME has the bounds of a device (dscost list devices), and this machine's are "
    "told once dscost device has measured it while it was idle."
)


def bounds_notes(report: Report) -> Iterator[str]:
    """Yield what bounds are, and where they may not hold for want of a peak."""
    missing: dict[str, dict[str, None]] = {}
    devices: dict[str, None] = {}
    for predictions in (report.predictions, *(layer.predictions for layer in report.layers)):
        for device, bounds in predictions.items():
            devices[device] = None
            for bound in bounds.values():
                if bound.without_peak is not None:
                    missing.setdefault(bound.without_peak, {})[device] = None
    without = {device for found in missing.values() for device in found}
    measured = (
        ", by what was measured for this machine's cpu" if "cpu" in report.predictions else ""
    )
    told = f"Times “at least” are bounds by the datasheet of a device{measured}"
    if any(layer.type == "DequantizeLinear" for layer in report.layers):
        yield (
            f"{told}, layer by layer: a runtime that multiplies whole numbers without dequantising "
            "them first moves fewer bytes than are counted, and may be faster."
        )
    elif not missing:
        yield f"{told}: no run can be faster, real ones are slower."
    elif len(without) < len(devices):
        yield f"{told}: except as follows, no run can be faster, real ones are slower."
    for dtype, found in missing.items():
        yield (
            f"No peak is known of {', '.join(found)} in {dtype}, which part of this multiplies in: "
            "the largest that is known is taken for it, and a run may be faster."
        )


def parts_sheet(layer: Layer, titles: Mapping[str, str]) -> Sheet:
    """Return the intensity of every variant and stage, and its bound on every device.

    Args:
        layer: With bounds of its stages, if there are any.
        titles: How the variants are called.
    """
    columns = [
        words("device", header="on"),
        words("part"),
        Column("flops_per_byte", FIGURES["flops_per_byte"].title, 0),
        Column("ridge", "ridge", 2),
        words("bound", 0),
        Column("least", "at least", 1),
    ]
    rows = [
        row
        for device, bounds in (layer.predictions or {"": {}}).items()
        for row in _parts(layer, titles, device, bounds)
    ]
    return filled_sheet(columns, rows)


def _parts(
    layer: Layer, titles: Mapping[str, str], device: str, bounds: Mapping[str, Bound]
) -> Iterator[Row]:
    for name in layer.stages:
        cells = {"device": device, "part": titles.get(name, name)}
        intensity = layer.variants[name].flops_per_byte
        yield Row({**cells, **_bound_cells(intensity, bounds.get(name))}, "strong")
        for stage in layer.parts_of(name):
            cells = {"device": device, "part": f"  {stage.name}"}
            bound = bounds.get(f"{name}.{stage.name}")
            yield Row({**cells, **_bound_cells(stage.cost.flops_per_byte, bound)}, "faint")


def _bound_cells(intensity: float | None, bound: Bound | None) -> dict[str, str]:
    cells = {"flops_per_byte": format_intensity(intensity)}
    if bound:
        ridge = bound.ridge_flops_per_byte
        cells |= {"bound": bound.bound, "least": format_seconds(bound.roofline_s)}
        cells["ridge"] = "" if ridge is None else format_intensity(ridge)
    return cells


def layers_sheet(report: Report) -> list[Sheet]:
    """Return a table per device of the layers that can be swapped, standard → separable.

    Without a device it has the intensities alone; where no layer can be swapped there is none.
    """
    swappable = [layer for layer in report.layers if layer.variants]
    devices = dict.fromkeys(device for layer in swappable for device in layer.predictions)
    sheets = [_layers_on(device, swappable) for device in devices or ("",)]
    return sheets if swappable else []


def _layers_on(device: str, layers: list[Layer]) -> Sheet:
    columns = [
        words("layer", header=f"layer on {device}" if device else "layer"),
        Column("flops_per_byte", FIGURES["flops_per_byte"].title, 1),
        Column("ridge", "ridge", 3),
        words("bound", 1),
        Column("least", "at least", 0),
    ]
    rows = []
    for layer in layers:
        costs = [layer.variants[name] for name in BOTH_WAYS]
        found = layer.predictions.get(device, {})
        bounds = [found[name] for name in BOTH_WAYS if name in found]
        ridges = {one.ridge_flops_per_byte for one in bounds} - {None}
        cells = {
            "layer": layer.name,
            "flops_per_byte": arrow(format_intensity(cost.flops_per_byte) for cost in costs),
            "ridge": arrow(map(format_intensity, ridges)),
            "bound": arrow(one.bound for one in bounds),
            "least": arrow(format_seconds(one.roofline_s) for one in bounds),
        }
        rows.append(Row(cells))
    return filled_sheet(columns, rows)
