"""A report measured under several settings → the same with the layers' times of one of them."""

from collections.abc import Sequence

from dscost.reports.records import Layer, Report


def setting_of_layers(report: Report, layers: Sequence[Layer] | None = None) -> str | None:
    """Return the first setting asked for under which layers were timed; `None` where none were.

    Args:
        report: Of a model or a layer.
        layers: Those of its layers that count; by default all.
    """
    layers = report.layers if layers is None else layers
    # the layer timed under most settings tells their order best
    ordered = sorted(layers, key=lambda layer: -len(layer.latency))
    timed = dict.fromkeys(key for layer in ordered for key in layer.latency)
    first = next((key for key in report.latency if key in timed), None)
    return first or next(iter(timed), None)


def under_setting(report: Report, setting: str | None) -> Report:
    """Return a report whose layers have their times and verdicts under one setting alone."""
    if all(layer.latency.keys() <= {setting} for layer in report.layers):
        return report
    return report._replace(layers=tuple(_under(layer, setting) for layer in report.layers))


def _under(layer: Layer, setting: str | None) -> Layer:
    if layer.latency.keys() <= {setting}:
        return layer
    timing = layer.latency.get(setting or "")
    if setting is None or timing is None:
        return layer._replace(latency={}, verdict=None)
    is_first = setting == next(iter(layer.latency))
    own = timing.speedup.verdict if timing.speedup else None
    return layer._replace(latency={setting: timing}, verdict=layer.verdict if is_first else own)
