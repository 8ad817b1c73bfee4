"""A layer in words: what it is, its shapes, and what was assumed of it."""

from collections.abc import Mapping

from dscost.notation.units import format_extent, format_shape
from dscost.pages.page import Toned
from dscost.reports.records import Layer, Report


def layer_heading(report: Report) -> str:
    """Return the layer, its shapes, and every value that was given for it."""
    (layer,) = report.layers
    conv = layer.conv
    assert conv is not None
    given = [text for key, text in _layer_words(report).items() if key not in report.assumed]
    name = f"{layer.type} {conv.in_channels} → {conv.out_channels}"
    parts = [name, f"kernel {format_shape(conv.kernel_size)}", *given]
    shapes = f"{format_shape(layer.input_shape)} → {format_shape(layer.output_shape)}"
    return f"{', '.join(parts)}: {shapes}"


def assumed_line(report: Report) -> str:
    """Return every value that was assumed."""
    words = _layer_words(report)
    assumed = f"assumed: {', '.join(words.get(key, key) for key in report.assumed)}"
    return Toned(assumed, "method")


def _size_word(layer: Layer) -> str:
    """Return what becomes of the size of the input, where that is simple."""
    factors = {
        out / size for out, size in zip(layer.output_shape[2:], layer.input_shape[2:], strict=True)
    }
    if factors == {1}:
        return " (keeps the size)"
    (factor, *others) = factors
    return f" ({factor:g}× the size)" if not others and factor in range(2, 100) else ""


def _layer_words(report: Report) -> Mapping[str, str]:
    """Return what shapes a layer besides channels and kernel, in words, by name of option."""
    (layer,) = report.layers
    conv = layer.conv
    assert conv is not None
    sides = {}
    if conv.transposed:
        sides["output_padding"] = f"output padding {format_extent(conv.output_padding)}"
    return {
        "stride": f"stride {format_extent(conv.stride)}",
        "padding": f"padding {format_extent(conv.padding)}{_size_word(layer)}",
        **sides,
        "dilation": f"dilation {format_extent(conv.dilation)}",
        "groups": f"groups {conv.groups}",
        "bias": "bias" if conv.bias else "no bias",
        "input_size": f"size {format_extent(layer.input_shape[2:])}",
        "batch": f"batch {layer.input_shape[0]}",
        "depth_multiplier": f"depth multiplier {report.settings['depth_multiplier']}",
        "dtype": report.inputs[0].dtype,
    }
