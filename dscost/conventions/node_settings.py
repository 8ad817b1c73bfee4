"""Nodes of a graph → settings, shapes and parameters of the modules that they stand for."""

from collections.abc import Iterator, Mapping, Sequence
from math import prod
from typing import Any

from dscost.layers.convolution import Shape
from dscost.traces.events import Event

Settings = Mapping[str, Any]

RECURRENT: Mapping[str, int] = {"RNN": 1, "GRU": 3, "LSTM": 4}
"""Recurrent nodes, which are called as their modules, and their gates."""
_IN_TORCH: Mapping[str, str] = {
    "kernel_shape": "kernel_size",
    "strides": "stride",
    "dilations": "dilation",
    "group": "groups",
    "axis": "dim",
}
"""What torch calls the settings of nodes."""


def in_torch(settings: Settings) -> dict[str, Any]:
    """Return settings of a node as torch calls them.

    >>> in_torch({"kernel_shape": (3, 3), "alpha": 0.1})
    {'kernel_size': (3, 3), 'alpha': 0.1}
    """
    return {_IN_TORCH.get(name, name): value for name, value in settings.items()}


def dims_of(event: Event) -> int:
    """Return along how many axes a node slides, pools or normalises."""
    return max(1, len(event.input_shape) - 2)


# -- upsampling

_MODES: Mapping[tuple[str, int], str] = {
    ("linear", 1): "linear",
    ("linear", 2): "bilinear",
    ("linear", 3): "trilinear",
    ("cubic", 2): "bicubic",
}


def upsampling_mode(event: Event, settings: Settings) -> str | None:
    """Return what torch calls the mode of a `Resize`, if it has that."""
    mode, dims = str(settings.get("mode", "nearest")), dims_of(event)
    if mode == "nearest":
        return mode if dims <= 3 else None
    return _MODES.get((mode, dims))


# -- what has weights


def transposed(event: Event, settings: Settings) -> tuple[dict[str, Shape], dict[str, Any]]:
    """Return the parameters and settings of a transposed convolution."""
    weight = event.given[1]
    groups = settings.get("group", 1)
    parameters = {"weight": weight}
    if any(event.given[2:3]):
        parameters["bias"] = event.given[2]
    told = {"in_channels": weight[0], "out_channels": weight[1] * groups, "groups": groups}
    return parameters, {**in_torch(settings), **told, "kernel_size": weight[2:]}


def recurrent(event: Event, name: str) -> tuple[dict[str, Shape], dict[str, Any]]:
    """Return the parameters and settings of a recurrent module of one layer, as the node is."""
    weight, hidden = event.given[1:3]
    directions, height, wide = weight
    parameters: dict[str, Shape] = {}
    for ending in ("_l0", "_l0_reverse")[:directions]:
        parameters[f"weight_ih{ending}"] = height, wide
        parameters[f"weight_hh{ending}"] = height, hidden[-1]
        if any(event.given[3:4]):
            parameters[f"bias_ih{ending}"] = parameters[f"bias_hh{ending}"] = (height,)
    return parameters, {
        "input_size": wide,
        "hidden_size": height // RECURRENT[name],
        "num_layers": 1,
        "bidirectional": directions == 2,
        "bias": any(event.given[3:4]),
    }


def recurrent_output(event: Event) -> Shape:
    """Return what a recurrent module writes: its directions side by side.

    A node puts them before the batch, `(T, directions, B, H)`.
    """
    steps, directions, batch, hidden = event.output_shape
    return steps, batch, directions * hidden


_BIAS_AT: Mapping[str, int | None] = {
    "Gemm": 2,
    "FusedGemm": 2,
    "QGemm": 6,
    "MatMulNBits": 5,
    "DynamicQuantizeMatMul": 4,
    "MatMulIntegerToFloat": 6,
    "MatMulInteger": None,
    "QLinearMatMul": None,
}
"""At which place these have a bias, where others of their weights are zero points or scales."""


def linear(
    event: Event, name: str, further: Sequence[str], sizes: Mapping[str, int]
) -> dict[str, Shape]:
    """Return the parameters of a linear layer, given the weights that are added after it."""
    features = event.output_shape[-1:]
    held = [one for one in event.weights if one in sizes]
    at = _BIAS_AT.get(name, -1)
    if at == -1:
        has_bias = len(held) > 1
    else:
        has_bias = at is not None and any(event.given[at : at + 1])
    size = sizes[held[0]] if held else prod(features) * event.input_shape[-1]
    weight = (*features, size // max(1, prod(features)))
    return {"weight": weight, **({"bias": features} if has_bias or further else {})}


def matrices(event: Event, name: str, settings: Settings) -> tuple[Shape, ...]:
    """Return the shapes of two factors as they are multiplied."""
    places = {"QLinearMatMul": (0, 3), "Gemm": (0, 1)}.get(name, (0, 1))
    return tuple(_factors(event, places, settings))


def _factors(event: Event, places: tuple[int, int], settings: Settings) -> Iterator[Shape]:
    for at, turned in zip(places, ("transA", "transB"), strict=True):
        shape = event.given[at]
        yield (*shape[:-2], *shape[:-3:-1]) if settings.get(turned) else shape


# -- normalisation


def flattened(event: Event, settings: Settings) -> tuple[Shape, int]:
    """Return the input of a softmax and its axis; one of old is over all axes from there on."""
    shape, axis = event.input_shape, int(settings["axis"])
    if not settings.get("flattens"):
        return shape, axis
    axis %= max(1, len(shape))
    return (prod(shape[:axis]), prod(shape[axis:])), 1
