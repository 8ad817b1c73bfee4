"""A network as a list of operations in running order, each naming where its inputs come from."""

from collections.abc import Callable, Mapping, Sequence
from math import prod
from typing import TYPE_CHECKING, NamedTuple, Protocol, TypeVar, TypeVarTuple

from dscost.errors import SpecError, UnknownNameError
from dscost.layers.convolution import ConvSpec, Shape, not_within, require
from dscost.layers.operations import LAYERS
from dscost.reports.figures import Cost, chain_cost
from dscost.reports.records import Stage

if TYPE_CHECKING:
    from dscost.layers.others import Part, Spec
    from dscost.networks.axes import Map

Value = TypeVar("Value")
Rest = TypeVarTuple("Rest")
Shapes = tuple[Shape, ...]

NETWORK_INPUT = -1
"""The source of an operation that reads what the network is given."""
INPUT = "input"
"""How a stage of a variant calls that."""


class Mixing(NamedTuple):
    """A pointwise convolution, in whatever way it is written: what it mixes along which axis."""

    axis: int
    in_channels: int
    out_channels: int
    groups: int
    bias: bool


class Operation(NamedTuple):
    """One layer at work: a `Step`, whose name is a dotted path, unique in the network.

    Sources are positions in the list of operations, or `NETWORK_INPUT`; each has its input shape.
    """

    name: str
    spec: "Spec"
    sources: tuple[int, ...]
    input_shapes: tuple[Shape, ...]
    output_shape: Shape

    @property
    def op(self) -> str:
        """See `Step`, as for what follows."""
        return self.spec.op

    @property
    def conv(self) -> ConvSpec | None:
        """The convolution that it is, if it is one."""
        return self.spec if isinstance(self.spec, ConvSpec) else None

    @property
    def result(self) -> "Map":
        """Its output as a feature map."""
        from dscost.networks.axes import feature_map

        return feature_map(self.output_shape, len(self.output_shape) - 2)

    def reads(self, known: "Mapping[int, Map]") -> "list[Map | None]":
        """Return what is known of each of its sources, see `Step`."""
        return [known.get(source) for source in self.sources]

    def carried(self, read: "Sequence[Map | None]", name: str) -> "Map | None":
        """Return what becomes of a feature map in it, see `Step`."""
        from dscost.networks.axes import joined, mixed, reduced, reshaped, shuffled

        given = read[0]
        if given is None or len(set(self.sources)) < len(self.sources):
            return None
        match self.op:
            case "normalization" | "activation" | "identity":
                return given
            case "view":
                return reshaped(given, self.output_shape)
            case "other" if self.spec.type == "ChannelShuffle":
                return shuffled(given, name)
            case "multiply":
                return joined(tuple(one for one in read if one), self.output_shape)
            case "global_pooling":
                return reduced(given, tuple(range(2, len(given.shape))), self.output_shape)
            case "convolution" | "linear":
                return mixed(given, self.output_shape)
        return None

    def mixing(self, read: "Sequence[Map | None]") -> Mixing | None:
        """Return how it mixes the channels of a feature map, see `Step`."""
        if self.conv is not None:
            return mixing_of(self.conv, len(self.output_shape))
        if self.op == "linear":
            given, made = self.input_shapes[0][-1], self.output_shape[-1]
            is_biased = self.spec.params > given * made
            return Mixing(len(self.output_shape) - 1, given, made, groups=1, bias=is_biased)
        return None


class Step(Protocol):
    """What following tensors through a network needs to know of each operation, built or traced."""

    @property
    def op(self) -> str:
        """What it computes, in the words of a report."""

    @property
    def conv(self) -> ConvSpec | None:
        """The convolution that it is, if it is one."""

    @property
    def sources(self) -> tuple[int, ...]:
        """Positions whose results it reads, or `NETWORK_INPUT`."""

    @property
    def output_shape(self) -> Shape:
        """Of its result."""

    @property
    def result(self) -> "Map":
        """What a convolution writes, as a feature map."""

    def reads(self, known: "Mapping[int, Map]") -> "list[Map | None] | None":
        """Return what it reads of known results, by source; `None` if only a part of one."""

    def carried(self, read: "Sequence[Map | None]", name: str) -> "Map | None":
        """Return what becomes of what it reads; `None` where it mixes different positions or maps.

        In what `reads` returned `None` stands for a constant. The name tells it from other steps.
        """

    def mixing(self, read: "Sequence[Map | None]") -> Mixing | None:
        """Return how it mixes what lies on one axis of what it reads, if it does no more."""


def mixing_of(conv: ConvSpec, dimensions: int) -> Mixing | None:
    """Return how a convolution mixes its channels, if it is pointwise and reads every position."""
    if not conv.is_pointwise or conv.is_depthwise or set(conv.stride) != {1}:
        return None
    axis = dimensions - len(conv.kernel_size) - 1
    return Mixing(axis, conv.in_channels, conv.out_channels, conv.groups, conv.bias)


def cost_of(spec: "Spec", input_shapes: Shapes, output_shape: Shape, element_bytes: int) -> Cost:
    """Return what one layer costs.

    Traffic reads every input and parameter once and writes the output once; batch normalisation
    also reads its running statistics; a view moves nothing.
    """
    input_bytes = sum(map(prod, input_shapes)) * element_bytes
    output_bytes = prod(output_shape) * element_bytes
    weight_bytes = spec.params * element_bytes
    moved_bytes = input_bytes + weight_bytes + spec.buffers * element_bytes + output_bytes
    return Cost(
        params=spec.params,
        macs=spec.macs(input_shapes, output_shape),
        weight_bytes=weight_bytes,
        input_bytes=input_bytes,
        output_bytes=output_bytes,
        traffic_bytes=moved_bytes if spec.moves_data else 0,
        activations=prod(output_shape) if spec.op in LAYERS else 0,
    )


def operation_cost(operation: Operation, element_bytes: int) -> Cost:
    """Return what one operation costs."""
    return cost_of(operation.spec, operation.input_shapes, operation.output_shape, element_bytes)


def once(compute: "Callable[[Spec, *Rest], Value]") -> "Callable[[Spec, *Rest], Value]":
    """Return a function that computes once what depends on a layer and on shapes alone.

    A network repeats blocks, of which an architecture that was unrolled has the very same layers.
    """
    known: dict[object, tuple[Spec, Value]] = {}

    def known_or_computed(spec: "Spec", *rest: *Rest) -> Value:
        key = id(spec), rest
        if key not in known:
            known[key] = spec, compute(spec, *rest)  # with the layer, so that its id stays its own
        return known[key][1]

    return known_or_computed


def network_cost(operations: Sequence[Operation], element_bytes: int) -> Cost:
    """Return what the whole network costs: its own input and output, everything else summed."""
    cost = once(cost_of)
    return chain_cost(
        [cost(spec, read, made, element_bytes) for _, spec, _, read, made in operations]
    )


def network_macs(operations: Sequence[Operation]) -> int:
    """Return the multiply-accumulates of the whole network."""
    macs = once(_macs)
    return sum(macs(spec, read, made) for _, spec, _, read, made in operations)


def _macs(spec: "Spec", shapes: Sequence[Shape], output: Shape) -> int:
    return spec.macs(shapes, output)


def with_batch(operations: Sequence[Operation], batch: int) -> tuple[Operation, ...]:
    """Return a network on so many inputs at once."""
    return tuple(
        one._replace(
            input_shapes=tuple((batch, *shape[1:]) for shape in one.input_shapes),
            output_shape=(batch, *one.output_shape[1:]),
        )
        for one in operations
    )


def on_input(operations: Sequence[Operation], shape: Shape) -> tuple[Operation, ...]:
    """Return a network on an input of another shape.

    Raises:
        SpecError: A layer does not fit what it reads then: one made for images of one size, say.
    """
    written = once(written_shape)
    found: list[Operation] = []
    for name, spec, sources, _, _ in operations:
        shapes = tuple([shape if at == NETWORK_INPUT else found[at][-1] for at in sources])
        found.append(Operation(name, spec, sources, shapes, written(spec, shapes)))
    return tuple(found)


def macs_on_input(operations: Sequence[Operation], shape: Shape) -> int:
    """Return the multiply-accumulates of a network on an input of another shape.

    Raises:
        SpecError: See `on_input`.
    """
    written = once(_written_macs)
    outputs: list[Shape] = []
    total = 0
    for _, spec, sources, _, _ in operations:
        read = tuple([shape if at == NETWORK_INPUT else outputs[at] for at in sources])
        output, macs = written(spec, read)
        outputs.append(output)
        total += macs
    return total


def _written_macs(spec: "Spec", shapes: Shapes) -> tuple[Shape, int]:
    output = written_shape(spec, shapes)
    return output, spec.macs(shapes, output)


def written_shape(spec: "Spec", shapes: Shapes) -> Shape:
    """Return the shape of what a layer writes.

    Raises:
        SpecError: It does not fit what it reads, or writes more or less than can be.
    """
    output = spec.output_shape(*shapes)
    require(not_within("output size", *output[2:]))
    return output


def stage_operations(parts: "Sequence[Part]", input_shape: Shape) -> tuple[Operation, ...]:
    """Return the stages of a variant as a network on `input_shape`; the last one makes its output.

    Raises:
        SpecError: A stage does not fit what it reads, reads what there is not, or has a name that
            is taken.
    """
    operations: list[Operation] = []
    positions = {INPUT: NETWORK_INPUT}
    for name, spec, *reads in parts:
        if name in positions:
            raise SpecError(f"two stages are called '{name}'")
        sources: tuple[int, ...] = (len(operations) - 1,)
        if reads:
            for read in reads[0]:
                if read not in positions:
                    raise UnknownNameError("stage", read, positions, f", read by '{name}'")
            sources = tuple(positions[read] for read in reads[0])
        shapes = tuple(
            input_shape if at == NETWORK_INPUT else operations[at].output_shape for at in sources
        )
        positions[name] = len(operations)
        operations.append(Operation(name, spec, sources, shapes, spec.output_shape(*shapes)))
    return tuple(operations)


def stage_costs(
    parts: "Sequence[Part]", input_shape: Shape, element_bytes: int
) -> tuple[Stage, ...]:
    """Return the stages of a variant on `input_shape` with their costs; see `stage_operations`."""
    stages = []
    for one in stage_operations(parts, input_shape):
        cost = operation_cost(one, element_bytes)
        stages.append(Stage(one.name, one.conv, one.input_shapes[0], one.output_shape, cost))
    return tuple(stages)


def overwrites(
    operations: Sequence[Operation], readers: Sequence[Sequence[int]], operation: Operation
) -> bool:
    """Whether an activation writes over its input, a computed result that it alone reads."""
    source = operation.sources[0]
    return (
        operation.spec.can_overwrite
        and source != NETWORK_INPUT
        and len(readers[source]) == 1
        and operations[source].spec.moves_data
    )


def consumers(operations: Sequence[Step]) -> list[list[int]]:
    """Return, for each operation, the positions of those that read its output."""
    readers: list[list[int]] = [[] for _ in operations]
    for position, operation in enumerate(operations):
        for source in operation.sources:
            if source != NETWORK_INPUT:
                readers[source].append(position)
    return readers
