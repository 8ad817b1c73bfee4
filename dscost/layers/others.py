"""The layers of a network besides convolutions, as plain data; `Spec` is any layer.

Shapes are `(B, C, H, W)`, or `(B, features)` after flattening; pairs are height then width.
Parameter names are those of `torch.nn`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import ClassVar, Literal

from dscost.errors import SpecError, UnknownNameError
from dscost.layers.convolution import (
    MAX_EXTENT,
    ConvSpec,
    LayerSpec,
    Shape,
    not_alike,
    not_within,
    require,
    window_positions,
)
from dscost.layers.formulas import linear_macs
from dscost.notation.units import format_shape

ACTIVATIONS = {
    "relu": "ReLU",
    "relu6": "ReLU6",
    "silu": "SiLU",
    "hard_swish": "Hardswish",
    "hard_sigmoid": "Hardsigmoid",
    "sigmoid": "Sigmoid",
    "gelu": "GELU",
    "tanh": "Tanh",
    "softmax": "Softmax",
}
"""Activations by their name in an architecture file, with their class in `torch.nn`."""


@dataclass(frozen=True, slots=True)
class LinearSpec(LayerSpec):
    """A fully connected layer over the last dimension."""

    type: ClassVar[str] = "Linear"
    op: ClassVar[str] = "linear"

    in_features: int
    out_features: int
    bias: bool = True

    def __post_init__(self) -> None:
        require(
            not_within("in_features", self.in_features, most=MAX_EXTENT**2)
            + not_within("out_features", self.out_features)
        )

    @property
    def params(self) -> int:  # type: ignore[override]
        """Weights and, where there is one, the bias."""
        return self.out_features * (self.in_features + self.bias)

    def output_shape(self, *inputs: Shape) -> Shape:
        """Return the input shape with its last dimension replaced."""
        (shape,) = inputs
        if shape[-1] != self.in_features:
            raise SpecError(
                f"in_features={self.in_features}, but the input is {format_shape(shape)}"
            )
        return (*shape[:-1], self.out_features)

    def macs(self, inputs: Sequence[Shape], output: Shape) -> int:
        """Return its weights times the rows of the output."""
        return linear_macs(self.in_features, self.out_features, rows=prod(output[:-1]))


@dataclass(frozen=True, slots=True)
class BatchNormSpec(LayerSpec):
    """Batch normalisation: scale and shift per channel, and two running statistics beside them."""

    type: ClassVar[str] = "BatchNorm2d"
    op: ClassVar[str] = "normalization"

    channels: int
    dims: int = 2

    @property
    def params(self) -> int:  # type: ignore[override]
        """Scale and shift; running statistics are buffers."""
        return 2 * self.channels

    @property
    def buffers(self) -> int:  # type: ignore[override]
        """Running mean and variance."""
        return 2 * self.channels

    def output_shape(self, *inputs: Shape) -> Shape:
        """Return the shape of the input `(B, channels, H, W)`."""
        shape = _feature_map(inputs[0], self.type)
        if shape[1] != self.channels:
            raise SpecError(
                f"{self.channels} channels are normalised, but the input is {format_shape(shape)}"
            )
        return shape


@dataclass(frozen=True, slots=True)
class ActivationSpec(LayerSpec):
    """An activation of `ACTIVATIONS`."""

    op: ClassVar[str] = "activation"

    kind: str

    def __post_init__(self) -> None:
        if self.kind not in ACTIVATIONS:
            raise UnknownNameError("activation", self.kind, ACTIVATIONS)

    @property
    def can_overwrite(self) -> bool:  # type: ignore[override]
        """Whether torch has it in place, as the reference implementations use it."""
        return self.kind in ("relu", "relu6", "silu", "hard_swish", "hard_sigmoid")

    @property
    def type(self) -> str:
        """Class name in `torch.nn`."""
        return ACTIVATIONS[self.kind]


@dataclass(frozen=True, slots=True)
class PoolSpec(LayerSpec):
    """Max or average pooling over a window."""

    op: ClassVar[str] = "pooling"

    kind: Literal["max", "avg"]
    kernel_size: Shape
    stride: Shape
    padding: Shape
    ceil_mode: bool = False

    def __post_init__(self) -> None:
        require(
            not_within("kernel_size", *self.kernel_size)
            + not_within("stride", *self.stride)
            + not_within("padding", *self.padding, least=0)
            + not_alike(self.kernel_size, stride=self.stride, padding=self.padding)
        )
        if any(2 * p > k for p, k in zip(self.padding, self.kernel_size, strict=True)):
            raise SpecError(
                f"padding {format_shape(self.padding)} is more than half of "
                f"the pooling window {format_shape(self.kernel_size)}"
            )

    @property
    def type(self) -> str:
        """Class name in `torch.nn`."""
        return "MaxPool2d" if self.kind == "max" else "AvgPool2d"

    def output_shape(self, *inputs: Shape) -> Shape:
        """Return `(B, C, H', W')`."""
        batch, channels, *extents = _feature_map(inputs[0], self.type)
        padding = tuple(2 * p for p in self.padding)
        undilated = (1,) * len(self.kernel_size)
        positions = window_positions(
            extents, self.kernel_size, self.stride, padding, undilated, ceil=self.ceil_mode
        )
        return (batch, channels, *positions)


@dataclass(frozen=True, slots=True)
class GlobalPoolSpec(LayerSpec):
    """Average pooling to a fixed output size.

    Where it is `functional`, the reference implementation calls the function of torch and has no
    module for it. Nothing is another for that, but what counters of modules see.
    """

    type: ClassVar[str] = "AdaptiveAvgPool2d"

    output_size: Shape = (1, 1)
    functional: bool = False

    def __post_init__(self) -> None:
        require(not_within("output_size", *self.output_size))

    @property
    def op(self) -> str:  # type: ignore[override]
        """`global_pooling` to one position, else `pooling`."""
        return "global_pooling" if prod(self.output_size) == 1 else "pooling"

    def output_shape(self, *inputs: Shape) -> Shape:
        """Return `(B, C, *output_size)`."""
        batch, channels, *_ = _feature_map(inputs[0], self.type)
        return (batch, channels, *self.output_size)


@dataclass(frozen=True, slots=True)
class FlattenSpec(LayerSpec):
    """Everything but the batch becomes one dimension; no byte moves."""

    type: ClassVar[str] = "Flatten"
    op: ClassVar[str] = "view"
    moves_data: ClassVar[bool] = False

    def output_shape(self, *inputs: Shape) -> Shape:
        """Return `(B, C·H·W)`."""
        return (inputs[0][0], prod(inputs[0][1:]))


@dataclass(frozen=True, slots=True)
class DropoutSpec(LayerSpec):
    """Dropout, which does nothing at inference; no byte moves."""

    type: ClassVar[str] = "Dropout"
    op: ClassVar[str] = "identity"
    moves_data: ClassVar[bool] = False

    probability: float = 0.5

    def __post_init__(self) -> None:
        if not 0 <= self.probability < 1:
            raise SpecError(f"dropout must be at least 0 and below 1, found {self.probability}")


@dataclass(frozen=True, slots=True)
class JoinSpec(LayerSpec):
    """Elementwise sum of equal shapes, or product where the second may be one per channel."""

    kind: Literal["add", "multiply"]

    @property
    def op(self) -> str:  # type: ignore[override]
        """`add` or `multiply`."""
        return self.kind

    @property
    def type(self) -> str:
        """`Add` or `Multiply`."""
        return self.kind.capitalize()

    def output_shape(self, *inputs: Shape) -> Shape:
        """Return the shape of the first input."""
        first, second = inputs
        broadcast = self.kind == "multiply" and second == (*first[:2], *(1 for _ in first[2:]))
        if first != second and not broadcast:
            raise SpecError(f"cannot {self.kind} {format_shape(first)} and {format_shape(second)}")
        return first


@dataclass(frozen=True, slots=True)
class ConcatSpec(LayerSpec):
    """Feature maps of one size, one behind the other along their channels."""

    type: ClassVar[str] = "Concat"
    op: ClassVar[str] = "concatenation"

    def output_shape(self, *inputs: Shape) -> Shape:
        """Return `(B, C1 + C2 + …, H, W)`."""
        batch, _, *extents = inputs[0]
        if any((shape[0], *shape[2:]) != (batch, *extents) for shape in inputs):
            raise SpecError(f"cannot concatenate {' and '.join(map(format_shape, inputs))}")
        return (batch, sum(shape[1] for shape in inputs), *extents)


@dataclass(frozen=True, slots=True)
class ShuffleSpec(LayerSpec):
    """Channels dealt out so that each new group has some of every old one; every byte moves.

    Source:
        Zhang et al. 2017, ShuffleNet, section 3.1 (arXiv:1707.01083).
    """

    type: ClassVar[str] = "ChannelShuffle"
    op: ClassVar[str] = "other"

    groups: int

    def __post_init__(self) -> None:
        require(not_within("groups", self.groups))

    def output_shape(self, *inputs: Shape) -> Shape:
        """Return the shape of the input `(B, C, H, W)`, whose channels the groups divide."""
        if inputs[0][1] % self.groups:
            raise SpecError(
                f"groups={self.groups} does not divide the channels of {format_shape(inputs[0])}"
            )
        return inputs[0]


Spec = (
    ConvSpec
    | LinearSpec
    | BatchNormSpec
    | ActivationSpec
    | PoolSpec
    | GlobalPoolSpec
    | FlattenSpec
    | DropoutSpec
    | JoinSpec
    | ConcatSpec
    | ShuffleSpec
)

Part = tuple[str, Spec] | tuple[str, Spec, tuple[str, ...]]
"""A stage of a variant: its name, what it computes, and the names of the stages that it reads.

Without the last it reads the stage before it, the first one the layer's input; `"input"` is that
input.
"""


def _feature_map(shape: Shape, layer: str) -> Shape:
    if len(shape) != 4:
        raise SpecError(
            f"{layer} needs an input of batch, channels, height and width, "
            f"found {format_shape(shape)}"
        )
    return shape
