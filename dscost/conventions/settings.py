"""The settings of what was called, as named exceptions of conventions need them."""

from typing import Any

from dscost.errors import InputError
from dscost.layers.convolution import Shape
from dscost.traces.calls import Call


def number(call: Call, name: str) -> int:
    """Return a setting that is a whole number.

    Raises:
        InputError: It has none of that name, so the rule was meant for something else.
    """
    return int(_setting(call, name))


def word(call: Call, name: str) -> str:
    """Return a setting that is a word.

    Raises:
        InputError: It has none of that name, so the rule was meant for something else.
    """
    return str(_setting(call, name))


def sizes(call: Call, name: str) -> Shape:
    """Return a setting that is one whole number per axis.

    Raises:
        InputError: It has none of that name, so the rule was meant for something else.
    """
    value = _setting(call, name)
    return tuple(value) if isinstance(value, tuple) else (value,)


def given(call: Call, at: int) -> Shape:
    """Return the shape of one of the tensors that it was given.

    Raises:
        InputError: It was given less, so the rule was meant for something else.
    """
    if at >= len(call.inputs):
        raise InputError(f"{call.name} was given {len(call.inputs)} tensors, a rule wants {at + 1}")
    return call.inputs[at]


def _setting(call: Call, name: str) -> Any:
    if name not in call.attributes:
        raise InputError(f"{call.name} has no {name}, which a rule for it counts by")
    return call.attributes[name]
