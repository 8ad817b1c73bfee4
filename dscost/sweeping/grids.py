"""A grid: the values of every axis, and from them layers by their number. No numpy, no torch.

The first axis varies slowest, as in nested loops; what is tied to others follows from them.
"""

from collections.abc import Mapping
from math import prod
from typing import Any, Literal, NamedTuple

from dscost.errors import InputError, SpecError
from dscost.layers.choosing import Asked
from dscost.networks.expressions import Expression

Operation = Literal["convolution", "linear", "global_pooling"]
"""What the layers of a grid compute."""

Value = int | tuple[int, ...] | str | bool | None
"""Of an axis: a number, one for each dimension, `same`; no padding keeps the size at stride 1."""

AXES = (
    *("in_channels", "out_channels", "kernel_size", "stride", "padding", "dilation", "groups"),
    *("bias", "input_size", "batch"),
)
"""What may vary, in the order of the columns of a table; each is a parameter of `dscost.layer`."""

SHORT = {"in_channels": "cin", "out_channels": "cout", "kernel_size": "k", "input_size": "size"}
"""How command lines and expressions call an axis, where that is not its name."""


class Axis(NamedTuple):
    """What varies: its name, of `AXES`, and at least one value, each once."""

    name: str
    values: tuple[Value, ...]


class Tie(NamedTuple):
    """What follows from the axes: `2 * cin`, in the expressions of architecture files."""

    name: str
    expression: Expression


class Grid(NamedTuple):
    """Every combination of the values of some axes, each as it is and in variants.

    Args:
        axes: In running order, the first varies slowest; each of `AXES` that the operation has is
            an axis or a tie.
        ties: What follows from axes.
        variants: What a convolution is compared with, beside itself.
        operation: What its layers compute.
        dims: Spatial dimensions.
        dtype: Of weights and activations.
        name: How errors and tables call it, where there are several.
    """

    axes: tuple[Axis, ...]
    ties: tuple[Tie, ...] = ()
    variants: tuple[Asked, ...] = ()
    operation: Operation = "convolution"
    dims: int = 2
    dtype: str = "float32"
    name: str = ""

    @property
    def size(self) -> int:
        """How many layers there are, impossible ones among them."""
        return prod(len(axis.values) for axis in self.axes)

    @property
    def names(self) -> list[str]:
        """What its layers have, in the order of the columns of a table."""
        has = {*(axis.name for axis in self.axes), *(tie.name for tie in self.ties)}
        return [name for name in AXES if name in has]

    def values(self, number: int) -> dict[str, Value]:
        """Return what a layer has of every axis, by its number from 0.

        Raises:
            SpecError: What is tied has no whole number there.
        """
        found = self.untied(number)
        return {**found, **self.tied(found)}

    def untied(self, number: int) -> dict[str, Value]:
        """Return what a layer has of the axes alone, by its number from 0."""
        found: dict[str, Value] = {}
        for axis in reversed(self.axes):
            number, at = divmod(number, len(axis.values))
            found[axis.name] = axis.values[at]
        return dict(reversed(found.items()))

    def tied(self, values: Mapping[str, Any]) -> dict[str, Value]:
        """Return what follows from the values of the axes.

        Raises:
            SpecError: It is no whole number, or cannot be computed of these.
        """
        scope = {SHORT.get(name, name): value for name, value in values.items()}
        found: dict[str, Value] = {}
        for name, expression in self.ties:
            try:
                value = expression(scope)
            except InputError as error:  # divided by zero here, and perhaps nowhere else
                raise SpecError(f"{SHORT.get(name, name)}: {error}") from error
            if isinstance(value, float) and value.is_integer():
                value = int(value)
            if type(value) is not int:
                raise SpecError(f"{SHORT.get(name, name)} = {expression.text} is {value}")
            found[name] = scope[SHORT.get(name, name)] = value
        return found
