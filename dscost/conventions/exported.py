"""What is seen of a program of `torch.export` → what counters would have seen of its model.

Such a program has the classes and parameters of its modules, but neither their settings nor the
functions that they called: operators, and what they were given, tell those as far as they do.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from math import prod
from typing import Any

from dscost.conventions.standing import FUNCTIONS
from dscost.layers.convolution import Shape
from dscost.traces.calls import Call

EXPORT_NOTE = (
    "An exported program has the classes of its modules, but of functions the operators alone that "
    "they called: by conventions of others each counts as the function that usually calls it."
)
_UPSAMPLING = ("aten::upsample_", "aten::_upsample_")


def with_functions(seen: Iterable[Call]) -> Iterator[Call]:
    """Yield what was seen, modules with their settings, and the functions that came to operators.

    Each operator stands for the function of `torch.nn.functional` that usually calls it.
    """
    ran: dict[str, list[Call]] = {}
    for call in seen:
        if call.kind == "modules":
            own = ran.pop(call.path, [])
            yield _settled(call, own)
            if call.name == "MultiheadAttention":  # there they are functions for sure
                yield from _products(own)
            continue
        yield call
        if call.kind == "operators":
            ran.setdefault(call.path, []).append(call)
            name = call.name.removesuffix("_")
            if name.startswith(_UPSAMPLING):
                yield _interpolation(call)
            elif name in FUNCTIONS:
                yield call._replace(kind="functions", name=FUNCTIONS[name], parameters={})


def _products(ran: Iterable[Call]) -> Iterator[Call]:
    for call in ran:
        if call.name in ("aten::bmm", "aten::baddbmm"):
            name = f"torch.{call.name.removeprefix('aten::')}"
            yield call._replace(kind="functions", name=name, parameters={})


def _interpolation(call: Call) -> Call:
    """Return the function that came to an upsampling, told what the operator is told."""
    told: dict[str, Any] = {}
    scales = call.attributes.get("scale_factors")
    if scales:
        told["scale_factor"] = scales[0] if len(set(scales)) == 1 else scales
    elif call.attributes.get("output_size"):
        told["size"] = call.attributes["output_size"]
    name = "torch.nn.functional.interpolate"
    return call._replace(kind="functions", name=name, parameters={}, attributes=told)


def _settled(call: Call, ran: Sequence[Call]) -> Call:
    """Return a module with the settings that what ran in it tells; its own go before them."""
    reader = _READERS.get(call.name)
    found = reader(call, ran) if reader is not None else None
    if found is None:
        return call
    return found._replace(attributes={**found.attributes, **call.attributes})


_Reader = Callable[[Call, Sequence[Call]], Call | None]


def _one(ran: Sequence[Call], *begins: str) -> Call | None:
    """Return the operator whose name begins so, if there is one alone."""
    found = [one for one in ran if one.name.startswith(begins)]
    return found[0] if len(found) == 1 else None


def _with(call: Call, **settings: Any) -> Call:
    return call._replace(attributes=settings)


def _convolution(call: Call, ran: Sequence[Call]) -> Call | None:
    operator = _one(ran, "aten::conv")
    weight = None if operator is None else operator.parameters.get("weight")
    if operator is None or weight is None:
        return None
    groups = operator.attributes.get("groups", 1)
    is_transposed = call.name.startswith("ConvTranspose")
    first, second = weight[0], weight[1] * groups
    return _with(
        call,
        in_channels=first if is_transposed else second,
        out_channels=second if is_transposed else first,
        kernel_size=weight[2:],
        groups=groups,
    )


def _softmax(call: Call, ran: Sequence[Call]) -> Call | None:
    operator = _one(ran, "aten::softmax", "aten::log_softmax", "aten::_softmax")
    if operator is None or "dim" not in operator.attributes:
        return None
    return _with(call, dim=operator.attributes["dim"])


def _upsampling(call: Call, ran: Sequence[Call]) -> Call | None:
    operator = _one(ran, *_UPSAMPLING)
    if operator is None:
        return None
    mode = operator.name.partition("upsample_")[2].rstrip("_")[:-2]  # without `2d`
    return _with(call, mode=mode.replace("_", "-"))


_GATES: Mapping[str, int] = {"RNN": 1, "GRU": 3, "LSTM": 4}


def _recurrent(call: Call, ran: Sequence[Call]) -> Call | None:
    family = call.name.removesuffix("Cell")
    ending = "" if call.name.endswith("Cell") else "_l0"
    operator = _one(ran, f"aten::{family.lower()}")
    first, second = (call.parameters.get(f"weight_{way}{ending}") for way in ("ih", "hh"))
    if operator is None or first is None or second is None:
        return None
    told = operator.attributes
    return _with(
        call,
        input_size=first[1],
        hidden_size=second[0] // _GATES[family],
        num_layers=told.get("num_layers", 1),
        bidirectional=told.get("bidirectional", False),
        bias=f"bias_ih{ending}" in call.parameters,
    )


def _attention(call: Call, ran: Sequence[Call]) -> Call | None:
    """Return attention with its heads, given query, key and value one by one, batch first.

    A program is given once what its module was given several times.
    """
    weight = call.parameters.get("in_proj_weight", call.parameters.get("q_proj_weight"))
    factors = _factors(ran)
    # what is put beside keys is no part of what the module was given
    if weight is None or factors is None or any(one.name == "aten::cat" for one in ran):
        return None
    (*batch, queries, each), keys = factors
    wide = weight[1]
    if not each or wide % each:
        return None
    heads = wide // each
    samples = prod(batch) // heads
    others = (call.parameters.get(f"{name}_proj_weight", (0, wide))[1] for name in "kv")
    shapes = ((samples, queries, wide), *((samples, keys, one) for one in others))
    return _with(call, num_heads=heads, batch_first=True)._replace(inputs=shapes)


def _attention_of_timm(call: Call, ran: Sequence[Call]) -> Call | None:
    factors = _factors(ran)
    if factors is None or len(factors[0]) != 4:
        return None
    return _with(call, num_heads=factors[0][1], head_dim=factors[0][3])


def _factors(ran: Sequence[Call]) -> tuple[Shape, int] | None:
    """Return the shape of the queries in attention, and how many keys there are."""
    for call in ran:
        match call.name, call.inputs:
            case "aten::scaled_dot_product_attention", (queries, keys, *_):
                return queries, keys[-2]
            case (("aten::bmm" | "aten::matmul"), (queries, keys)):
                return queries, keys[-1]
            case "aten::baddbmm", (_, queries, keys):
                return queries, keys[-1]
    return None


_READERS: Mapping[str, _Reader] = {
    **{f"Conv{dims}d": _convolution for dims in (1, 2, 3)},
    **{f"ConvTranspose{dims}d": _convolution for dims in (1, 2, 3)},
    **dict.fromkeys(("Softmax", "LogSoftmax"), _softmax),
    **dict.fromkeys(("Upsample", "UpsamplingBilinear2d", "UpsamplingNearest2d"), _upsampling),
    **{f"{family}{ending}": _recurrent for family in _GATES for ending in ("", "Cell")},
    "MultiheadAttention": _attention,
    "timm.layers.attention.Attention": _attention_of_timm,
    "timm.models.vision_transformer.Attention": _attention_of_timm,
}
"""By the class of a module."""
