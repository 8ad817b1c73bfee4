"""What a trace is made of: the operators that ran, each with what it read, cost and wrote."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from dscost.layers.convolution import ConvSpec, Shape
from dscost.networks.axes import Map, feature_map, viewed
from dscost.networks.network import Mixing
from dscost.reports.records import Doubt
from dscost.traces.calls import Call
from dscost.traces.carrying import carried, mixing
from dscost.traces.parameters import Parameter

INPUT = "input:"
"""What begins the name of an input among the operands of an event; its number follows."""


class Event(NamedTuple):
    """One operator as it ran.

    Args:
        module: Path of the module that ran it.
        op: What it computes, in the words of a report.
        operator: `namespace::name` of torch.
        sources: Events whose results it reads, or `NETWORK_INPUT`.
        weights: Names of the parameters that it reads.
        input_shape: Shape of the first activation that it reads.
        output_shape: Shape of its first result.
        input_bytes: Size of the activations that it reads.
        output_bytes: Size of what it writes.
        traffic_bytes: Everything it reads and writes.
        conv: The convolution that it is, if it is one.
        element_bytes: Size of one element of its first result.
        operands: Where each tensor that it multiplies or adds comes from: an event, an input
            (`input:0`), the name of a parameter or buffer, or nothing known. Empty where there are
            no MACs.
        stack: Paths of all modules that were running.
        layouts: Shape and strides of what it reads, one entry per source, where it may follow a
            depthwise convolution.
        strides: Of its first result, in the same case.
        axes: Along which it works, of a sum or softmax.
        differentiable: In training, whether a gradient flows through it: gradients on, floating
            point, and something that it reads needs one.
        needing: In training, which of `operands` needed a gradient.
        gradients_to: In training, the events whose results get a gradient from it.
        unusual: What a counter of plain operators does not know: `complex` or `sparse` factors, or
            that it ran inside of a higher-order operator, whose name this is then. Empty for most.
        plain_macs: What it would be if it knew none of that.
        gradient_macs: Multiply-accumulates of its gradients, where it has a backward pass of its
            own.
        times: How often it ran, each time with the same shapes: in a loop, which is not unrolled.
            MACs and bytes are those of one time.
        stored_bits: Of a weight and of a bias of a convolution as they are stored, where they are
            not those of an element of its result.
        dtype: What it multiplies in, see `Layer`; empty where only the inputs of the model tell.
        given: Of a node of a graph the shapes of all that it reads, weights too, each at its place.
    """

    module: str
    op: str
    operator: str
    sources: tuple[int, ...]
    weights: tuple[str, ...]
    input_shape: Shape
    output_shape: Shape
    macs: int
    input_bytes: int
    output_bytes: int
    traffic_bytes: int
    conv: ConvSpec | None
    element_bytes: int
    operands: tuple[int | str | None, ...]
    stack: tuple[str, ...]
    layouts: tuple[tuple[Shape, Shape], ...] = ()
    strides: Shape = ()
    axes: tuple[int, ...] = ()
    differentiable: bool = False
    needing: tuple[bool, ...] = ()
    gradients_to: tuple[int, ...] = ()
    unusual: str = ""
    plain_macs: int = 0
    gradient_macs: int | None = None
    times: int = 1
    stored_bits: tuple[int, int] | None = None
    dtype: str = ""
    given: tuple[Shape, ...] = ()

    @property
    def batched_input_shape(self) -> Shape:
        """The input of a convolution with its batch, which torch allows to be left out."""
        assert self.conv is not None
        missing = len(self.conv.kernel_size) + 2 - len(self.input_shape)
        return (1,) * missing + self.input_shape

    @property
    def kernel(self) -> int | str | None:
        """Where the weights that it multiplies come from, see `operands`.

        Of a product the first that are no result.
        """
        if len(self.operands) < 2:
            return None
        if self.op != "matmul":
            return self.operands[1]
        factors = self.operands[-2:]  # what is added comes before them
        held = (one for one in factors if isinstance(one, str) and not one.startswith(INPUT))
        return next(held, factors[1])

    # -- what finding pairs asks of a step

    @property
    def result(self) -> Map:
        """What a convolution writes, as a feature map."""
        assert self.conv is not None
        return feature_map(self.output_shape, len(self.conv.kernel_size), self.strides)

    def reads(self, known: Mapping[int, Map]) -> list[Map | None] | None:
        """Return what it reads of known results, see `dscost.networks.network.Step`."""
        read: list[Map | None] = []
        for source, (shape, strides) in zip(self.sources, self.layouts, strict=True):
            given = known.get(source)
            is_whole = given is None or (shape == given.shape and strides == given.strides)
            seen = given if is_whole else viewed(given, shape, strides)
            if seen is None and given is not None:
                return None
            read.append(seen)
        return read

    def carried(self, read: Sequence[Map | None], name: str) -> Map | None:
        """Return what becomes of a feature map in it, see `dscost.networks.network.Step`."""
        return carried(self, read, name)

    def mixing(self, read: Sequence[Map | None]) -> Mixing | None:
        """Return how it mixes the channels of a feature map, see `dscost.networks.network.Step`."""
        return mixing(self, read)


class Trace(NamedTuple):
    """What one forward pass did.

    Args:
        events: The operators, in order.
        calls: How often each module ran, by path.
        types: Class name of each module, by path.
        parameters: All of the model, used or not.
        read: Names of the parameters and buffers that some operator read.
        unknown: Operators of unknown cost and how often they ran.
        peak_activation_bytes: Largest sum of live results, inputs included.
        outputs: Events whose results the model returns.
        output_bytes: Size of what the model returns.
        doubts: Why the figures may not be all that the model costs.
        unseen: Names of parameters that may have been read where nothing is seen.
        notes: By which convention something in it was counted.
        dropped: The operators of the cheaper ways of conditions, which do not count.
        trained: In training, the events that get a gradient from what the model returns; `None`
            where that is unknown.
        returned: For modules that return several tensors, the shape of the first and the event that
            made it, by path.
        elsewhere: Paths of the modules that ran in threads of the model's own.
        origins: Of what is no module itself, the torch module that it was exported from, by name,
            where that can be told.
        why_partial: Why the figures are partial, where that is more than `unknown` tells.
        deciding: Sentences on what decides which parts of it run.
        seen: What counters of other kinds would have seen, where that was asked for.
        otherwise: What happens while they watch, where that is something else: then `seen` is of
            this.
        why_unseen: Why it is not known what they would have seen.
    """

    events: Sequence[Event]
    calls: Mapping[str, int]
    types: Mapping[str, str]
    parameters: Sequence[Parameter]
    read: frozenset[str]
    unknown: Mapping[str, int]
    peak_activation_bytes: int | None
    outputs: frozenset[int]
    output_bytes: int
    doubts: tuple[Doubt, ...]
    unseen: frozenset[str] = frozenset()
    notes: tuple[str, ...] = ()
    dropped: Sequence[Event] = ()
    trained: frozenset[int] | None = None
    returned: Mapping[str, tuple[Shape, int]] = {}
    elsewhere: frozenset[str] = frozenset()
    origins: Mapping[str, str] = {}
    why_partial: str = ""
    deciding: tuple[str, ...] = ()
    seen: Sequence[Call] = ()
    otherwise: "Trace | None" = None
    why_unseen: str = ""

    def doubted(self, *doubts: Doubt) -> "Trace":
        """Return the same trace with doubts before those that it has."""
        return self._replace(doubts=(*doubts, *self.doubts))
