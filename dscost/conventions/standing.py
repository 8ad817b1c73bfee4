"""Operators of a graph → what counters would see of the modules that each of them stands for.

No counter reads such a graph, and it does not say what was a module of torch and what a function.
So each operator stands for the module that usually comes to it: a `Conv` for a `Conv2d`, a `Clip`
from 0 to 6 for a `ReLU6`. Sums, products and matrices that are multiplied stand for operators of
Python. What becomes of one module in several steps, such as a `SiLU`, is put together again.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple

from dscost.conventions.node_settings import (
    RECURRENT,
    Settings,
    dims_of,
    flattened,
    in_torch,
    linear,
    matrices,
    recurrent,
    recurrent_output,
    transposed,
    upsampling_mode,
)
from dscost.conventions.operations import parameters_of, settings_of
from dscost.layers.convolution import Shape
from dscost.traces.calls import Call
from dscost.traces.events import Event, Trace


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
_TRANSPOSED = _Stands("ConvTranspose{d}d", f"{_F}conv_transpose{{d}}d", "aten::conv_transpose{d}d")
_SILU = _Stands("SiLU", f"{_F}silu", "aten::silu")
_GROUP_NORM = _BY_NAME["GroupNormalization"]
_PRODUCT = _BY_NAME["MatMul"]
_OTHERWISE = ("com.microsoft::Attention", "com.microsoft::LinearAttention")
"""What is called as a node that stands for something, and does more."""


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
    steps = _steps(events)
    swallowed = {at for further in steps.values() for at in further}
    holders = {above for path in traced.origins.values() for above in _above(path)}
    for at, event in enumerate(events):
        if at in swallowed:
            continue
        further = steps.get(at, ())
        ran = [event, *(events[one] for one in further)]
        where = (at, (further or (at,))[-1] + 1)
        is_function = traced.origins.get(event.module) in holders and not event.weights
        for call in _calls(ran, where, sizes, settings(event.module)):
            if call.kind != "modules" or not is_function:
                yield call


def without_meaning(traced: Trace) -> list[str]:
    """Return the operators that multiply and stand for nothing that other counters know."""
    found = (one for one in traced.events if one.macs and _stands_for([one], {}) is None)
    return sorted({one.operator for one in found})


def _above(path: str) -> Iterator[str]:
    """Yield the paths of the modules that hold one."""
    while path:
        path = path.rpartition(".")[0]
        yield path


def _steps(events: Sequence[Event]) -> dict[int, tuple[int, ...]]:
    """Return by its first step the further ones of what is one module and several nodes.

    A matrix of weights whose product is given a bias is a `Linear`; what is multiplied by its own
    sigmoid is a `SiLU`; a `GroupNorm` is an instance norm of groups between two changes of shape;
    products of whole numbers are scaled before they are given a bias.
    """
    readers: dict[int, list[int]] = {}
    for at, event in enumerate(events):
        for source in set(event.sources):
            readers.setdefault(source, []).append(at)
    found = {}
    for at in range(len(events)):
        way = list(_way(events, readers, at))
        names = [_base(events[one]) for one in way]
        then = [events[one] for one in way]
        size = _size(at, names, then, events)
        if size:
            found[at] = tuple(way[:size])
    return found


def _way(events: Sequence[Event], readers: Mapping[int, list[int]], at: int) -> Iterator[int]:
    """Yield the next few steps, as long as each has one reader alone."""
    for _ in range(_MOST_STEPS):
        following = readers.get(at, ())
        if len(following) != 1:
            return
        (at,) = following
        yield at


_MOST_STEPS = 3


def _size(at: int, names: Sequence[str], then: Sequence[Event], events: Sequence[Event]) -> int:
    """Return how many of the steps that follow are of the same module."""
    event = events[at]
    name = _base(event)
    match name, names:
        case "MatMul", ["Add", *_] if event.op == "linear":
            return int(bool(then[0].weights) and then[0].output_shape == event.output_shape)
        case "Sigmoid", ["Mul", *_]:
            return int(set(then[0].sources) == {at, *event.sources})
        case (("MatMulInteger" | "ConvInteger"), ["Cast", "Mul", "Add"]) if event.weights:
            return 3 if then[2].weights else 0
        case "InstanceNormalization", ["Reshape", *after] if _regroups(event, then[0], events):
            is_scaled = after == ["Mul", "Add"] and all(one.weights for one in then[1:])
            return 3 if is_scaled else 1
    return 0


def _regroups(event: Event, after: Event, events: Sequence[Event]) -> bool:
    """Whether a norm is of channels put in groups, and taken out of them after it."""
    before = next((events[one] for one in event.sources if one >= 0), None)
    if before is None or _base(before) != "Reshape":
        return False
    return before.input_shape == after.output_shape != event.output_shape


def _calls(
    ran: Sequence[Event], where: tuple[int, int], sizes: Mapping[str, int], settings: Settings
) -> Iterator[Call]:
    event, last = ran[0], ran[-1]
    stands = _stands_for(ran, settings)
    if stands is None:
        return
    dims = str(dims_of(event))
    seen = Call(
        "operators",
        stands.operator.replace("{d}", dims),
        event.module,
        (event.input_shape, *event.given[1:]),
        event.output_shape,
        event.macs * event.times,
        where,
        _parameters(ran, sizes),
        in_torch(settings),
    )
    seen = _told(seen, event, last, settings)
    first, *others = seen.inputs
    seen = seen._replace(
        inputs=(_often(first, event.times), *others), output=_often(seen.output, event.times)
    )
    yield seen
    if stands.function:
        yield seen._replace(kind="functions", name=stands.function.replace("{d}", dims))
    if stands.module:
        yield seen._replace(kind="modules", name=stands.module.replace("{d}", dims))


def _told(seen: Call, event: Event, last: Event, settings: Settings) -> Call:
    """Return a call with what its node has otherwise than torch."""
    name = _base(event)
    if event.conv is not None:
        parameters = dict(parameters_of(event.conv))
        if last is not event:
            parameters["bias"] = (event.conv.out_channels,)
        return seen._replace(parameters=parameters, attributes=settings_of(event.conv))
    if event.op == "transposed_convolution":
        held, told = transposed(event, settings)
        return seen._replace(parameters=held, attributes=told)
    if name in RECURRENT:
        held, told = recurrent(event, name)
        return seen._replace(parameters=held, attributes=told, output=recurrent_output(event))
    if event.op == "matmul" and seen.name == _PRODUCT.operator:
        return seen._replace(inputs=matrices(event, name, settings))
    if name in ("Softmax", "LogSoftmax"):
        shape, axis = flattened(event, settings)
        return seen._replace(inputs=(shape,), attributes={"dim": axis})
    if name in ("Resize", "Upsample"):
        return seen._replace(attributes={"mode": upsampling_mode(event, settings)})
    if name == "InstanceNormalization" and last is not event:
        return seen._replace(inputs=(last.output_shape,), output=last.output_shape)
    return seen


def _stands_for(ran: Sequence[Event], settings: Settings) -> _Stands | None:
    event, name = ran[0], _base(ran[0])
    if event.conv is not None:
        word = f"conv{len(event.conv.kernel_size)}d"
        return _Stands(event.conv.type, f"{_F}{word}", f"aten::{word}")
    if event.op == "transposed_convolution":
        return _TRANSPOSED if len(event.given) > 1 and dims_of(event) <= 3 else None
    if event.op == "linear":
        return _LINEAR
    if event.operator in _OTHERWISE:
        return None
    if event.op == "matmul" and name not in _BY_NAME:
        return _PRODUCT
    if name in RECURRENT and len(event.output_shape) == 4:
        return _Stands(name, None, f"aten::{name.lower()}")
    if name == "Sigmoid" and len(ran) > 1:
        return _SILU
    if name == "InstanceNormalization" and len(ran) > 1:
        return _GROUP_NORM
    if name == "Clip" and (settings.get("min"), settings.get("max")) == (0, 6):
        return _RELU6
    if name in ("Resize", "Upsample"):
        mode = upsampling_mode(event, settings)
        operator = f"aten::upsample_{mode}{{d}}d"
        return None if mode is None else _Stands("Upsample", f"{_F}interpolate", operator)
    return _BY_NAME.get(name)


def _parameters(ran: Sequence[Event], sizes: Mapping[str, int]) -> dict[str, Shape]:
    """Return the parameters that the module of an operator would own."""
    event, *further = ran
    added = [name for one in further for name in one.weights[:1] if name in sizes]
    if event.op == "linear":
        return linear(event, _base(event), added, sizes)
    if _base(event) == "InstanceNormalization" and further:
        held = zip(("weight", "bias"), added, strict=False)
    else:
        names = (*event.weights, *added)
        held = zip(("weight", "bias"), (one for one in names if one in sizes), strict=False)
    return {key: (sizes[name],) for key, name in held}


def _often(shape: Shape, times: int) -> Shape:
    """Return the shape of what runs so often in a loop, as if it were a batch."""
    return (shape[0] * times, *shape[1:]) if shape and times > 1 else shape


def _base(event: Event) -> str:
    return event.operator.rpartition("::")[2]


FUNCTIONS: Mapping[str, str] = {
    one.operator.replace("{d}", str(dims)): one.function.replace("{d}", str(dims))
    for one in (*_BY_NAME.values(), _RELU6, _SILU)
    for dims in (1, 2, 3)
    if one.function is not None
}
"""Functions of torch by the operators that they come to."""
