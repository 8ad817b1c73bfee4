"""Operators of a graph → what counters would see of the modules that each of them stands for.

No counter reads such a graph, and it does not say what was a module of torch and what a function.
So each operator stands for the module that usually comes to it: a `Conv` for a `Conv2d`, a `Clip`
from 0 to 6 for a `ReLU6`. Sums, products and matrices that are multiplied stand for operators of
Python. What becomes of one module in several steps, such as a `SiLU`, is put together again.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from math import prod
from typing import Any, NamedTuple

from dscost.conventions.operations import parameters_of, settings_of
from dscost.layers.convolution import Shape
from dscost.traces.calls import Call
from dscost.traces.events import Event, Trace

Settings = Mapping[str, Any]


class _Stands(NamedTuple):
    """What an operator stands for: a module, the function that calls, the operator of torch."""

    module: str | None
    function: str | None
    operator: str


_F = "torch.nn.functional."
_BY_NAME: Mapping[str, _Stands] = {
    "Relu": _Stands("ReLU", f"{_F}relu", "aten::relu"),
    "LeakyRelu": _Stands("LeakyReLU", f"{_F}leaky_relu", "aten::leaky_relu"),
    "PRelu": _Stands("PReLU", f"{_F}prelu", "aten::prelu"),
    "Elu": _Stands("ELU", f"{_F}elu", "aten::elu"),
    "Selu": _Stands("SELU", f"{_F}selu", "aten::selu"),
    "Gelu": _Stands("GELU", f"{_F}gelu", "aten::gelu"),
    "Erf": _Stands("GELU", f"{_F}gelu", "aten::gelu"),  # only there is an error function met
    "Swish": _Stands("SiLU", f"{_F}silu", "aten::silu"),
    "Mish": _Stands("Mish", f"{_F}mish", "aten::mish"),
    "Sigmoid": _Stands("Sigmoid", None, "aten::sigmoid"),
    "Tanh": _Stands("Tanh", None, "aten::tanh"),
    "HardSigmoid": _Stands("Hardsigmoid", f"{_F}hardsigmoid", "aten::hardsigmoid"),
    "HardSwish": _Stands("Hardswish", f"{_F}hardswish", "aten::hardswish"),
    "Softmax": _Stands("Softmax", f"{_F}softmax", "aten::softmax"),
    "LogSoftmax": _Stands("LogSoftmax", f"{_F}log_softmax", "aten::log_softmax"),
    "BatchNormalization": _Stands("BatchNorm{d}d", f"{_F}batch_norm", "aten::batch_norm"),
    "InstanceNormalization": _Stands(
        "InstanceNorm{d}d", f"{_F}instance_norm", "aten::instance_norm"
    ),
    "GroupNormalization": _Stands("GroupNorm", f"{_F}group_norm", "aten::group_norm"),
    "LayerNormalization": _Stands("LayerNorm", f"{_F}layer_norm", "aten::layer_norm"),
    "MaxPool": _Stands("MaxPool{d}d", f"{_F}max_pool{{d}}d", "aten::max_pool{d}d"),
    "AveragePool": _Stands("AvgPool{d}d", f"{_F}avg_pool{{d}}d", "aten::avg_pool{d}d"),
    "GlobalAveragePool": _Stands(
        "AdaptiveAvgPool{d}d", f"{_F}adaptive_avg_pool{{d}}d", "aten::adaptive_avg_pool{d}d"
    ),
    "GlobalMaxPool": _Stands(
        "AdaptiveMaxPool{d}d", f"{_F}adaptive_max_pool{{d}}d", "aten::adaptive_max_pool{d}d"
    ),
    "Clip": _Stands(None, None, "aten::clamp"),
    "Add": _Stands(None, None, "aten::add"),
    "Sub": _Stands(None, None, "aten::sub"),
    "Mul": _Stands(None, None, "aten::mul"),
    "Div": _Stands(None, None, "aten::div"),
    "MatMul": _Stands(None, None, "aten::matmul"),
    "Gemm": _Stands(None, None, "aten::addmm"),
    "Einsum": _Stands(None, None, "aten::einsum"),
    "ReduceMean": _Stands(None, None, "aten::mean"),
    "Attention": _Stands(
        None, f"{_F}scaled_dot_product_attention", "aten::scaled_dot_product_attention"
    ),
    "GridSample": _Stands(None, f"{_F}grid_sample", "aten::grid_sampler"),
}
"""By the type of a node of ONNX."""
_RELU6 = _Stands("ReLU6", f"{_F}hardtanh", "aten::hardtanh")
_LINEAR = _Stands("Linear", f"{_F}linear", "aten::linear")
_SILU = _Stands("SiLU", f"{_F}silu", "aten::silu")
_UPSAMPLING: Mapping[str, str] = {"nearest": "nearest", "linear": "bilinear", "cubic": "bicubic"}
_OF_LINES: Mapping[int, str] = {1: "linear", 2: "bilinear", 3: "trilinear"}
"""What a linear interpolation is called along so many axes."""


def standing(traced: Trace, settings: Callable[[str], Settings]) -> Iterator[Call]:
    """Yield what counters would see of the operators of a graph, written in torch as usual.

    What has no weights and is known to be of a module that holds others is a function that this
    calls, and no module.

    Args:
        traced: What happens in the graph.
        settings: Gives the settings of a node by its name: of a `Clip` its bounds, of a `Resize`
            its mode.
    """
    events = traced.events
    sizes = {one.name: one.numel for one in traced.parameters}
    last = _last_steps(events)
    swallowed = set(last.values())
    holders = {above for path in traced.origins.values() for above in _above(path)}
    for at, event in enumerate(events):
        if at in swallowed:
            continue
        end = last.get(at, at)
        is_function = traced.origins.get(event.module) in holders and not event.weights
        for call in _calls(event, events[end], (at, end + 1), sizes, settings(event.module)):
            if call.kind != "modules" or not is_function:
                yield call


def _above(path: str) -> Iterator[str]:
    """Yield the paths of the modules that hold one."""
    while path:
        path = path.rpartition(".")[0]
        yield path


def _last_steps(events: Sequence[Event]) -> dict[int, int]:
    """Return by its first step the last of what is one module and two nodes.

    A matrix of weights whose product is given a bias is a `Linear`; what is multiplied by its own
    sigmoid is a `SiLU`.
    """
    readers: dict[int, list[int]] = {}
    for at, event in enumerate(events):
        for source in set(event.sources):
            readers.setdefault(source, []).append(at)
    found = {}
    for at, event in enumerate(events):
        first, *others = readers.get(at, [None])
        if first is None or others:
            continue
        then, name = events[first], _base(event)
        if name == "MatMul" and event.op == "linear" and _base(then) == "Add":
            is_one = bool(then.weights) and then.output_shape == event.output_shape
        else:
            is_product = name == "Sigmoid" and _base(then) == "Mul"
            is_one = is_product and set(then.sources) == {at, *event.sources}
        if is_one:
            found[at] = first
    return found


def _calls(
    event: Event,
    last: Event,
    where: tuple[int, int],
    sizes: Mapping[str, int],
    settings: Settings,
) -> Iterator[Call]:
    stands = _stands_for(event, last, settings)
    if stands is None:
        return
    dims = str(max(1, len(event.input_shape) - 2))
    if event.conv is not None:
        parameters: Mapping[str, Shape] = parameters_of(event.conv)
        settings = settings_of(event.conv)
    else:
        parameters = _parameters(event, last, sizes)
    seen = Call(
        "operators",
        stands.operator.replace("{d}", dims),
        event.module,
        (_often(event.input_shape, event.times),),
        _often(event.output_shape, event.times),
        event.macs * event.times,
        where,
        parameters,
        settings,
    )
    yield seen
    if stands.function:
        yield seen._replace(kind="functions", name=stands.function.replace("{d}", dims))
    if stands.module:
        yield seen._replace(kind="modules", name=stands.module.replace("{d}", dims))


def _stands_for(event: Event, last: Event, settings: Settings) -> _Stands | None:
    if event.conv is not None:
        word = "conv_transpose" if event.conv.transposed else "conv"
        name = f"{word}{len(event.conv.kernel_size)}d"
        return _Stands(event.conv.type, f"{_F}{name}", f"aten::{name}")
    if event.op == "linear":
        return _LINEAR
    name = _base(event)
    if name == "Sigmoid" and last is not event:
        return _SILU
    if name == "Clip" and (settings.get("min"), settings.get("max")) == (0, 6):
        return _RELU6
    if name in ("Resize", "Upsample"):
        return _upsampling(event, settings)
    return _BY_NAME.get(name)


def _upsampling(event: Event, settings: Settings) -> _Stands:
    dims = max(1, len(event.input_shape) - 2)
    mode = _UPSAMPLING.get(str(settings.get("mode", "nearest")), "nearest")
    mode = _OF_LINES.get(dims, mode) if mode == "bilinear" else mode
    return _Stands("Upsample", f"{_F}interpolate", f"aten::upsample_{mode}{dims}d")


def _parameters(event: Event, last: Event, sizes: Mapping[str, int]) -> dict[str, Shape]:
    """Return the parameters that the module of an operator would own."""
    further = () if last is event else last.weights[:1]
    names = [name for name in (*event.weights, *further) if name in sizes]
    if not names:
        return {}
    if event.op == "linear":
        features = event.output_shape[-1:]
        weight = (*features, sizes[names[0]] // max(1, prod(features)))
        return {"weight": weight, **({"bias": features} if names[1:] else {})}
    held = zip(("weight", "bias"), names, strict=False)
    return {key: (sizes[name],) for key, name in held}


def _often(shape: Shape, times: int) -> Shape:
    """Return the shape of what runs so often in a loop, as if it were a batch."""
    return (shape[0] * times, *shape[1:]) if shape and times > 1 else shape


def with_functions(seen: Iterable[Call]) -> Iterator[Call]:
    """Yield what was seen of a program of `torch.export`, and the functions that came to it.

    Such a program has the classes of its modules, but of functions the operators alone that they
    called: each stands for the function of `torch.nn.functional` that usually does.
    """
    for call in seen:
        yield call
        if call.kind == "operators":
            function = _FUNCTIONS.get(call.name.removesuffix("_"))
            if function is not None:
                yield call._replace(kind="functions", name=function, parameters={})


_FUNCTIONS: Mapping[str, str] = {
    one.operator.replace("{d}", str(dims)): one.function.replace("{d}", str(dims))
    for one in (*_BY_NAME.values(), _RELU6, _SILU)
    for dims in (1, 2, 3)
    if one.function is not None
}
"""By the operator that they call."""


def _base(event: Event) -> str:
    return event.operator.rpartition("::")[2]
