"""The kinds of layers: their keys, and what each key takes.

A `Kind` returns a value as the layer takes it, and raises `InputError` where it is no such value.
"""

from collections.abc import Callable, Mapping
from typing import Any

from dscost.errors import InputError, UnknownNameError
from dscost.layers.convolution import MAX_EXTENT, Shape, not_within, require
from dscost.layers.others import ACTIVATIONS, DropoutSpec
from dscost.networks.expressions import MAX_NUMBER

Kind = Callable[[Any], Any]

WORDS: Mapping[str, Any] = {
    **{name: name for name in ACTIVATIONS},
    "none": None,
    "batch": "batch",
    "same": "same",
}
"""Words that stand for themselves in an expression."""


def whole(name: str, least: int = 1, most: int = MAX_EXTENT) -> Kind:
    """Return the kind of a whole number within bounds."""

    def check(value: Any) -> int:
        number = _whole(value)
        require(not_within(name, number, least=least, most=most))
        return number

    return check


def extent(name: str, least: int = 1) -> Kind:
    """Return the kind of height and width; one number is both."""

    def check(value: Any) -> Shape:
        if not isinstance(value, list | tuple):
            value = (value,)
        elif len(value) != 2:
            raise InputError(f"expected a whole number or a pair of them, found {excerpt(value)}")
        numbers = tuple(map(_whole, value))
        require(not_within(name, *numbers, least=least))
        return numbers if len(numbers) == 2 else numbers * 2

    return check


def flag(name: str) -> Kind:
    """Return the kind of true or false."""

    def check(value: Any) -> bool:
        if not isinstance(value, bool):
            raise InputError(f"{name} must be true or false, found {excerpt(value)}")
        return value

    return check


def padding(value: Any) -> Any:
    """Return height and width, or `same`."""
    return value if value == "same" else extent("padding", least=0)(value)


def norm(value: Any) -> str | None:
    """Return `batch`, or `None` for none."""
    if value not in (None, "batch"):
        raise UnknownNameError("norm", str(value), ("batch", "none"))
    return value  # type: ignore[no-any-return]


def activation(value: Any) -> str | None:
    """Return the name of an activation, or `None` for none."""
    if value is not None and not (isinstance(value, str) and value in ACTIVATIONS):
        raise UnknownNameError("activation", str(value), (*ACTIVATIONS, "none"))
    return value


def present(name: str, kind: Kind) -> Kind:
    """Return the same kind, but not none."""

    def check(value: Any) -> Any:
        if value is None:
            raise InputError(f"{name} cannot be none where it is a layer of its own")
        return kind(value)

    return check


def probability(value: Any) -> float:
    """Return a probability that a dropout may have."""
    if type(value) not in (int, float):
        raise InputError(f"dropout must be a number, found {excerpt(value)}")
    return DropoutSpec(float(value)).probability


def nothing(value: Any) -> None:
    """Return nothing, which `{flatten: true}` says as well."""
    if value is not None and value is not True:
        raise InputError(f"flatten takes no value, found {excerpt(value)}")


def anything(value: Any) -> Any:
    """Return the value of a column, of which only the block knows what it is for."""
    return value


def excerpt(value: Any) -> str:
    """Return a value as an error shows it."""
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(excerpt, value))}]"
    return "nothing" if value is None else repr(value)


def _whole(value: Any) -> int:
    if type(value) not in (int, float) or value != value // 1 or abs(value) > MAX_NUMBER:
        raise InputError(f"expected a whole number, found {excerpt(value)}")
    return int(value)


_KERNEL = extent("kernel_size")
_STRIDE = extent("stride")
_CONVOLUTION: Mapping[str, Kind] = {
    "stride": _STRIDE,
    "padding": padding,
    "dilation": extent("dilation"),
    "bias": flag("bias"),
    "norm": norm,
    "act": activation,
}
_POOLING: Mapping[str, Kind] = {
    "stride": _STRIDE,
    "padding": extent("padding", least=0),
    "ceil_mode": flag("ceil_mode"),
}

LAYERS: Mapping[str, Mapping[str, Kind]] = {
    "conv": {
        "conv": _KERNEL,
        "out_channels": whole("out_channels"),
        "groups": whole("groups"),
        **_CONVOLUTION,
    },
    "depthwise": {
        "depthwise": _KERNEL,
        "depth_multiplier": whole("depth_multiplier"),
        **_CONVOLUTION,
    },
    "linear": {"linear": whole("out_features"), "bias": flag("bias"), "act": activation},
    "max_pool": {"max_pool": _KERNEL, **_POOLING},
    "avg_pool": {"avg_pool": _KERNEL, **_POOLING},
    "global_pool": {"global_pool": extent("output_size"), "functional": flag("functional")},
    "norm": {"norm": present("norm", norm)},
    "act": {"act": present("act", activation)},
    "dropout": {"dropout": probability},
    "flatten": {"flatten": nothing},
    "residual": {"skip_when": flag("skip_when"), "act": activation},
    "squeeze_excite": {
        "squeeze_excite": whole("squeeze_excite"),
        "act": activation,
        "gate": activation,
    },
    "block": {},
}
"""By the key that a layer is called by; lists of layers, and the columns and rows of a block, come
on top."""

REQUIRED: Mapping[str, tuple[str, ...]] = {"conv": ("out_channels",)}
DEFAULTS: Mapping[str, Kind] = {"act": activation, "norm": norm}
"""Of convolutions that do not say."""
EXISTS = flag("when")
REPEAT = whole("repeat", least=0, most=int(MAX_NUMBER))
INPUT = (whole("channels"), whole("height"), whole("width"))
