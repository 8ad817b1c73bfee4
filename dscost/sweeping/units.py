"""A layer of a grid → what a row of a table is about: the layer itself, and each of its variants.

Every number may be a column of numbers as well, see `dscost.sweeping.columns`: what counts one
layer counts all.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from dscost.errors import SpecError
from dscost.layers.choosing import Asked, chosen
from dscost.layers.convolution import ConvSpec, Shape
from dscost.layers.making import conv, extent
from dscost.layers.others import GlobalPoolSpec, LinearSpec, Part
from dscost.layers.variants import STANDARD
from dscost.networks.network import stage_costs
from dscost.reports.figures import Cost, chain_cost
from dscost.reports.records import Stage
from dscost.sweeping.grids import Operation


class Unit(NamedTuple):
    """What is counted and timed as one: stages that run one after the other on one input.

    Args:
        label: `standard`, a variant such as `inverted_residual:6`, or an operation.
        parts: Its stages.
        shape: Of its input.
        between_elements: How many weights and activations are used between two calls of it: what it
            finds of its weights in the caches depends on that. By default none is, so that it finds
            all of them.
    """

    label: str
    parts: tuple[Part, ...]
    shape: Shape
    between_elements: int = 0

    def stages(self, element_bytes: int) -> tuple[Stage, ...]:
        """Return its stages with their costs."""
        return stage_costs(self.parts, self.shape, element_bytes)

    def cost(self, element_bytes: int) -> Cost:
        """Return what its stages cost together."""
        return chain_cost([stage.cost for stage in self.stages(element_bytes)])


class Lacking(NamedTuple):
    """A variant that a layer does not have, and why."""

    label: str
    why: str


def units_of(
    values: Mapping[str, Any],
    variants: Sequence[Asked] = (),
    *,
    operation: Operation = "convolution",
    dims: int = 2,
) -> Iterator[Unit | Lacking]:
    """Yield a layer as it is, then its variants.

    Args:
        values: By the name of the axis.
        variants: Of a convolution.
        operation: What the layer computes.
        dims: Spatial dimensions.

    Raises:
        SpecError: The layer cannot exist.
    """
    if operation == "linear":
        yield linear_of(values)
    elif operation == "global_pooling":
        shape = _shape_of(values, dims)
        yield Unit(operation, ((operation, GlobalPoolSpec((1,) * dims)),), shape)
    else:
        yield from convolutions_of(conv_of(values, dims), _shape_of(values, dims), variants)


def linear_of(values: Mapping[str, Any]) -> Unit:
    """Return a fully connected layer on `(B, M)`."""
    features = values["in_channels"]
    spec = LinearSpec(features, values["out_channels"], bias=values.get("bias", True))
    return Unit("linear", (("linear", spec),), (values["batch"], features))


def conv_of(values: Mapping[str, Any], dims: int) -> ConvSpec:
    """Return the convolution."""
    return conv(
        values["in_channels"],
        values["out_channels"],
        values["kernel_size"],
        dims=dims,
        stride=values.get("stride", 1),
        padding=values.get("padding"),
        dilation=values.get("dilation", 1),
        groups=values.get("groups", 1),
        bias=values.get("bias", False),
    )


def convolutions_of(
    spec: ConvSpec, shape: Shape, variants: Sequence[Asked] = ()
) -> Iterator[Unit | Lacking]:
    """Yield a convolution on an input as it is, then its variants."""
    spec.output_shape(shape)
    yield Unit(STANDARD, ((STANDARD, spec),), shape)
    for asked in variants:
        if asked.label == STANDARD:
            continue
        try:
            found = chosen(asked, spec)
        except SpecError as error:  # a value that other layers of the grid can have
            found = str(error)
        if isinstance(found, str):
            yield Lacking(asked.label, found)
        else:
            yield Unit(asked.label, tuple(found.parts), shape)


def _shape_of(values: Mapping[str, Any], dims: int) -> Shape:
    sizes = extent("input_size", values["input_size"], dims)
    return (values["batch"], values["in_channels"], *sizes)
