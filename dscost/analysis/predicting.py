"""A report → the same with what the roofline of a named device says of it. No torch."""

from dscost.devices.peaks import Peaks
from dscost.devices.roofline import bound_of, predict
from dscost.layers.variants import BOTH_WAYS, SEPARABLE
from dscost.reports.figures import Cost
from dscost.reports.records import Bound, Layer, Report


def with_bounds(report: Report, peaks: Peaks, *, of_stages: bool = False) -> Report:
    """Return the report with a device's roofline applied to every layer and to the whole.

    Each layer is bounded by the peak of the dtype that it multiplies in. If asked for, there is
    that of the stages of each variant too, as `depthwise_separable.pointwise`.
    """
    layers = tuple(_bounded(layer, peaks, of_stages=of_stages) for layer in report.layers)
    variants: tuple[str, ...] = BOTH_WAYS  # a model always has both pure versions
    if report.source == "layer":  # a layer those that exist and were asked for
        variants = tuple(report.layers[0].stages)
    whole = {name: whole_bound(report, name, peaks) for name in ("as_is", *variants)}
    predictions = {**report.predictions, peaks.own.device: whole}
    return report._replace(layers=layers, predictions=predictions)


def dtype_of(report: Report) -> str:
    """Return the dtype that a model computes in: of its first float input, else float32."""
    dtypes = [entry.dtype for entry in report.inputs]
    floats = [dtype for dtype in dtypes if not dtype.startswith(("int", "uint", "bool"))]
    if floats:
        return floats[0]
    return "int8" if "int8" in dtypes else "float32"


def _bounded(layer: Layer, peaks: Peaks, *, of_stages: bool) -> Layer:
    ceilings = peaks.of(layer.dtype)
    itself = bound_of(layer.cost, ceilings)
    found = {"as_is": Bound(itself.roofline_s, itself.bound)}
    for name, stages in layer.stages.items():
        one = predict(stages, ceilings)
        calls = _calls_of(layer, name)
        found[name] = Bound(one.roofline_s * calls, one.bound)
        for stage in layer.parts_of(name) if of_stages else ():
            part = bound_of(stage.cost, ceilings)
            found[f"{name}.{stage.name}"] = Bound(part.roofline_s * calls, part.bound)
    if of_stages:
        ridge = ceilings.ridge_flops_per_byte
        found = {name: bound._replace(ridge_flops_per_byte=ridge) for name, bound in found.items()}
    missing = _without_peak(layer, peaks)
    if missing:
        found = {name: bound._replace(without_peak=missing) for name, bound in found.items()}
    return layer._replace(predictions={**layer.predictions, ceilings.device: found})


def whole_bound(report: Report, version: str, peaks: Peaks) -> Bound:
    """Return the sum of the rooflines of the layers as they are or written as a variant."""
    times = {"compute": 0.0, "memory": 0.0}
    missing = None
    for layer in report.layers:
        ceilings = peaks.of(layer.dtype)
        missing = missing or _without_peak(layer, peaks)
        calls, costs = _costs_in(layer, version, report)
        for cost in costs:
            part = bound_of(cost, ceilings)
            times[part.bound] += calls * part.roofline_s
    bound = "compute" if times["compute"] > times["memory"] else "memory"
    return Bound(sum(times.values()), bound, without_peak=missing)


def _without_peak(layer: Layer, peaks: Peaks) -> str | None:
    """Return the dtype that a layer multiplies in where no peak of it is known."""
    return layer.dtype if layer.cost.macs and not peaks.has(layer.dtype) else None


def _costs_in(layer: Layer, version: str, report: Report) -> tuple[float, list[Cost]]:
    """Return the costs of what a version has in place of a layer, and how often they are due."""
    if version == "as_is" or layer.name in report.skipped:
        return 1.0, [layer.cost]
    if layer.pair is not None and (version == SEPARABLE or not layer.variants):
        return 1.0, [layer.cost] if version == SEPARABLE else []
    if not layer.variants:
        return 1.0, [layer.cost]
    return _calls_of(layer, version), [stage.cost for stage in layer.stages[version]]


def _calls_of(layer: Layer, variant: str) -> float:
    """Return how often the stages of a variant run: they are of one call, its cost is of all."""
    macs = sum(stage.cost.macs for stage in layer.stages[variant])
    return layer.variants[variant].macs / macs if macs else 1.0
