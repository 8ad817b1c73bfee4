"""Layers of an architecture → what counters would see if it were written in torch as usual.

A layer is a module of `torch.nn`, and runs the function and the operator of its kind; sums and
products are written as operators of Python. Global pooling may be a function alone.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from dscost.conventions.records import Kind
from dscost.layers.convolution import ConvSpec, Shape
from dscost.layers.others import (
    ActivationSpec,
    BatchNormSpec,
    GlobalPoolSpec,
    JoinSpec,
    LinearSpec,
    PoolSpec,
    Spec,
)
from dscost.networks.network import Operation, Shapes, once
from dscost.traces.calls import Alike, Call, Repeating


class _Written(NamedTuple):
    """How a layer is written in torch: its module, the function that calls, and the operator."""

    module: str | None
    function: str | None
    operator: str


_F = "torch.nn.functional."
_ACTIVATIONS: Mapping[str, _Written] = {
    "relu": _Written("ReLU", f"{_F}relu", "aten::relu"),
    "relu6": _Written("ReLU6", f"{_F}hardtanh", "aten::hardtanh"),
    "silu": _Written("SiLU", f"{_F}silu", "aten::silu"),
    "hard_swish": _Written("Hardswish", f"{_F}hardswish", "aten::hardswish"),
    "hard_sigmoid": _Written("Hardsigmoid", f"{_F}hardsigmoid", "aten::hardsigmoid"),
    "sigmoid": _Written("Sigmoid", None, "aten::sigmoid"),
    "gelu": _Written("GELU", f"{_F}gelu", "aten::gelu"),
    "tanh": _Written("Tanh", None, "aten::tanh"),
    "softmax": _Written("Softmax", f"{_F}softmax", "aten::softmax"),
}


def calls_of(operations: Iterable[Operation]) -> Iterator[Call]:
    """Yield what counters would see of operations, the position of each being its event."""
    seen = once(_seen)
    for at, operation in enumerate(operations):
        path, spec, _, read, written = operation
        events = at, at + 1
        for call in seen(spec, read, written):
            kind, name, _, inputs, output, macs, _, parameters, attributes = call[:9]
            yield Call(kind, name, path, inputs, output, macs, events, parameters, attributes)


def repeating_calls(operations: Sequence[Operation]) -> Repeating:
    """Return what counters would see of operations, made where it is asked for."""
    return Repeating(lambda: _alike(operations), lambda: calls_of(operations))


def _alike(operations: Iterable[Operation]) -> Iterator[Alike]:
    paths: dict[object, list[str]] = {}
    first: list[tuple[Operation, list[str]]] = []
    for operation in operations:
        name, spec, _, read, written = operation
        key = id(spec), read, written
        if key not in paths:
            paths[key] = []
            first.append((operation, paths[key]))
        paths[key].append(name)
    for (_, spec, _, read, written), of in first:
        for call in _seen(spec, read, written):
            yield call, of


def _seen(spec: Spec, inputs: Shapes, output: Shape) -> Sequence[Call]:
    """Return what would be seen of a layer, wherever it stands."""
    written, macs = _written(spec), spec.macs(inputs, output)
    held = parameters_of(spec), settings_of(spec)
    kinds: Mapping[Kind, str | None] = {
        "operators": written.operator,
        "functions": written.function,
        "modules": written.module,
    }
    return [
        Call(kind, name, "", inputs, output, macs, (0, 1), *held)
        for kind, name in kinds.items()
        if name
    ]


def _written(spec: Spec) -> _Written:
    match spec:
        case ConvSpec():
            dims, word = len(spec.kernel_size), "conv_transpose" if spec.transposed else "conv"
            as_word = ".padding" if spec.padding == "same" else ""
            return _Written(spec.type, f"{_F}{word}{dims}d", f"aten::{word}{dims}d{as_word}")
        case LinearSpec():
            return _Written("Linear", f"{_F}linear", "aten::linear")
        case BatchNormSpec():
            return _Written(f"BatchNorm{spec.dims}d", f"{_F}batch_norm", "aten::batch_norm")
        case ActivationSpec():
            return _ACTIVATIONS[spec.kind]
        case PoolSpec():
            name = f"{spec.kind}_pool2d"
            return _Written(spec.type, f"{_F}{name}", f"aten::{name}")
        case GlobalPoolSpec():
            name = "adaptive_avg_pool2d"
            module = None if spec.functional else spec.type
            return _Written(module, f"{_F}{name}", f"aten::{name}")
        case JoinSpec():
            return _Written(spec.type, None, "aten::add" if spec.kind == "add" else "aten::mul")
    return _Written(spec.type, None, f"aten::{spec.op}")


def parameters_of(spec: Spec) -> dict[str, Shape]:
    """Return the shapes of the parameters that the module of a layer owns."""
    match spec:
        case ConvSpec():
            first, second = spec.out_channels, spec.in_channels
            if spec.transposed:
                first, second = second, first
            weight = (first, second // spec.groups, *spec.kernel_size)
            return _weighted(weight, spec.out_channels if spec.bias else 0)
        case LinearSpec():
            features = spec.out_features
            return _weighted((features, spec.in_features), features if spec.bias else 0)
        case BatchNormSpec():
            return _weighted((spec.channels,), spec.channels)
    return {}


def _weighted(weight: Shape, biases: int) -> dict[str, Shape]:
    return {"weight": weight, "bias": (biases,)} if biases else {"weight": weight}


def settings_of(spec: Spec) -> dict[str, Any]:
    """Return the settings that the module of a layer has."""
    return {name: getattr(spec, name) for name in type(spec).__dataclass_fields__}
