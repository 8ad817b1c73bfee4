"""Which layers a rule is about: by name, `layer1.*`, or by what they are, `type:Conv2d[groups=1,kernel>1]`."""

import operator
import re
from collections.abc import Callable, Mapping
from fnmatch import fnmatchcase
from typing import Any, NamedTuple

from dscost.errors import InputError, UnknownNameError
from dscost.results import Layer

_SELECTOR = re.compile(r"(?:(?P<by>type|op|name):)?(?P<pattern>[^\[\]]*)(?:\[(?P<conditions>[^\[\]]*)\])?")
_CONDITION = re.compile(r"\s*(?P<field>\w+)\s*(?P<sign>!=|<=|>=|=|<|>)\s*(?P<value>\w+)\s*")

_SIGNS: Mapping[str, Callable[[Any, Any], bool]] = {
    "=": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}

FIELDS: Mapping[str, str] = {
    "in_channels": "in_channels",
    "out_channels": "out_channels",
    "kernel": "kernel_size",
    "stride": "stride",
    "dilation": "dilation",
    "groups": "groups",
    "bias": "bias",
}
"""What a condition may ask of a convolution, and the field of its spec."""

EXAMPLE = "layer1.*, type:Conv2d or type:Conv2d[groups=1,kernel>1]"


class Condition(NamedTuple):
    """One thing asked of a convolution; of a kernel's sides the largest is compared."""

    field: str
    sign: str
    value: int

    def holds(self, layer: Layer) -> bool:
        """Whether the layer is a convolution of which it is true."""
        if layer.conv is None:
            return False
        found = getattr(layer.conv, FIELDS[self.field])
        largest = max(found) if isinstance(found, tuple) else int(found)
        return _SIGNS[self.sign](largest, self.value)


class Selector(NamedTuple):
    """A pattern over layers; `*` stands for any characters, dots too."""

    text: str
    by: str
    pattern: str
    conditions: tuple[Condition, ...]

    def matches(self, layer: Layer) -> bool:
        """Whether a layer is meant."""
        subject = {"name": layer.name, "type": layer.type, "op": layer.op}[self.by]
        return fnmatchcase(subject, self.pattern) and all(condition.holds(layer) for condition in self.conditions)

    def matches_name(self, name: str) -> bool:
        """Whether a layer of which nothing but the name is known is meant."""
        return self.by == "name" and not self.conditions and fnmatchcase(name, self.pattern)


def parse_selector(text: object) -> Selector:
    """Return the selector that a text stands for.

    Raises:
        InputError: It is none; the text says why and gives an example.

    >>> parse_selector("type:Conv2d[groups=1,kernel>1]").conditions
    (Condition(field='groups', sign='=', value=1), Condition(field='kernel', sign='>', value=1))
    """
    found = _SELECTOR.fullmatch(text) if isinstance(text, str) else None
    if found is None or not found["pattern"]:
        raise InputError(f"expected a pattern such as {EXAMPLE}, found {text!r}")
    conditions = found["conditions"]
    parts = [] if conditions is None else conditions.split(",")
    return Selector(str(text), found["by"] or "name", found["pattern"], tuple(_condition(part) for part in parts))


def _condition(text: str) -> Condition:
    found = _CONDITION.fullmatch(text)
    if found is None:
        raise InputError(f"expected a condition such as groups=1 or kernel>1, found '{text}'")
    if found["field"] not in FIELDS:
        raise UnknownNameError("field of a convolution", found["field"], FIELDS)
    value = {"true": "1", "false": "0"}.get(found["value"], found["value"])
    if not value.isdecimal():
        raise InputError(f"expected a whole number in '{text.strip()}'")
    return Condition(found["field"], found["sign"], int(value))
