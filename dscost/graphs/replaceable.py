"""Which swaps of an ONNX model can be done to its nodes, and why others cannot."""

from collections.abc import Iterator, Mapping, Sequence
from math import isfinite, prod
from typing import NamedTuple

import numpy as np
from onnx import ModelProto, NodeProto

from dscost.graphs.changing import names_read_by
from dscost.graphs.convolutions import KINDS
from dscost.graphs.draft import FLOATS
from dscost.graphs.nodes import MAIN, MICROSOFT, operator_of
from dscost.graphs.stored import Stored, Weights
from dscost.graphs.tensors import DTYPES
from dscost.layers.convolution import Shape
from dscost.networks.swaps import Swap
from dscost.traces import Event

CONV, FUSED = f"{MAIN}::Conv", f"{MICROSOFT}::FusedConv"
CONVOLUTIONS = (CONV, FUSED)
"""What is written anew; what a fused one does to its sums is left to the last stage."""
_POINTWISE = (*CONVOLUTIONS, f"{MAIN}::ConvTranspose")
PRODUCTS = (f"{MAIN}::MatMul", f"{MAIN}::Gemm")
"""What may be the pointwise stage of a pair besides a convolution."""
ELSEWHERE = "it is in a branch, a loop or a function"
CHANNELS = 1
"""The axis that they lie on."""


class Replaceable:
    """A model, and what happens in it.

    Args:
        model: With its weights.
        events: What happens in it.
        places: Where the nodes of its graph stand, by their names in the trace.
    """

    def __init__(
        self, model: ModelProto, events: Sequence[Event], places: Mapping[str, int]
    ) -> None:
        self.model, self.events, self._places = model, events, places
        self.weights = Weights(model)
        self.nodes: list[NodeProto] = list(model.graph.node)
        self._makers = {name: at for at, node in enumerate(self.nodes) for name in node.output}

    def place(self, at: int) -> int | None:
        """Return where the node of an event stands in the graph, if it is one of its own."""
        return self._places.get(self.events[at].module)

    def node(self, at: int) -> NodeProto:
        """Return the node of an event, which is one of the graph's own."""
        return self.nodes[self._places[self.events[at].module]]

    def refused(self, due: Sequence[Swap]) -> dict[int, str]:
        """Return why swaps cannot be done together with the others, by their first position."""
        found = {swap.positions[0]: self._why_stays(swap) for swap in due}
        reasons = {at: why for at, why in found.items() if why}
        return reasons or dict(self._still_read(due))

    def _why_stays(self, swap: Swap) -> str:
        if any(self.place(at) is None for at in swap.positions):
            return ELSEWHERE
        first, last = self.node(swap.positions[0]), self.node(swap.positions[-1])
        why = _other(operator_of(first))
        if why:
            return why
        if self._dtype(swap.positions[0]) is None:
            return self._why_no_dtype(first)
        if not swap.is_pair:
            return ""
        if operator_of(last) in PRODUCTS:
            is_laid_out = layout_of(self.events[swap.positions[-1]], self.made(swap)) is not None
            return "" if is_laid_out else "its pointwise stage is on an axis of its own"
        if operator_of(last) not in _POINTWISE:
            return f"its pointwise stage is computed by {last.op_type}"
        is_alike = self.events[swap.positions[-1]].output_shape == self.made(swap)
        return "" if is_alike else "what stands between its stages changes the shape"

    def made(self, swap: Swap) -> Shape:
        """Return the shape of what a standard convolution makes in the place of a pair."""
        return swap.standard.output_shape(self.events[swap.positions[0]].batched_input_shape)

    def _why_no_dtype(self, node: NodeProto) -> str:
        found = self.weights.find(node.input[1])
        return found if isinstance(found, str) else "its weights are of no floating-point dtype"

    def _dtype(self, at: int) -> str | None:
        """Return what a convolution multiplies in, if those are floating-point numbers as such."""
        node = self.node(at)
        found = self.weights.find(node.input[1])
        if not isinstance(found, str):
            name: str = DTYPES[found.tensor.data_type]
            return name
        maker = self._makers.get(self.weights.root(node.input[1]))
        is_quantised = maker is not None and self.nodes[maker].op_type == "DequantizeLinear"
        dtype = self.events[at].dtype
        return dtype if dtype in FLOATS and not is_quantised else None

    def dtype(self, at: int) -> str:
        """Return the dtype of new weights in the place of an event's."""
        return self._dtype(at) or "float32"

    def _still_read(self, due: Sequence[Swap]) -> Iterator[tuple[int, str]]:
        """Yield swaps within which something is made that others read, or do themselves."""
        owners: dict[int, int] = {}
        for swap in due:
            for at in swap.positions:
                if (
                    owners.setdefault(self._places[self.events[at].module], swap.positions[0])
                    != (swap.positions[0])
                ):
                    yield swap.positions[0], "it lies within another pair"
                    return
        alive = self._alive_without(owners, due)
        for swap in due:
            inside = {name for at in swap.positions[:-1] for name in self.node(at).output if name}
            reader = next((self.nodes[at] for at in alive if self._reads(at, inside)), None)
            if reader is not None:
                yield swap.positions[0], f"{reader.op_type} reads what stands between its stages"

    def _reads(self, at: int, names: set[str]) -> bool:
        return not names.isdisjoint(names_read_by(self.nodes[at]))

    def _alive_without(self, gone: Mapping[int, int], due: Sequence[Swap]) -> list[int]:
        """Return where nodes stand that are still read when swaps are done, but those of these."""
        waiting = [one.name for one in self.model.graph.output]
        for swap in due:
            first, last = self.node(swap.positions[0]), self.node(swap.positions[-1])
            waiting += [first.input[0], *last.input[2:]]
        alive: set[int] = set()
        seen: set[str] = set()
        while waiting:
            name = waiting.pop()
            if name in seen:
                continue
            seen.add(name)
            at = self._makers.get(name)
            if name and at is not None and at not in gone and at not in alive:
                alive.add(at)
                waiting += names_read_by(self.nodes[at])
        return sorted(alive)

    def gain(self, at: int, outputs: int) -> float:
        """Return the mean square of what weights make of values whose own is 1; 1 if unknown.

        Args:
            at: The event that multiplies by them.
            outputs: How many channels it makes.
        """
        stored = [found for name in self.node(at).input[:2] if (found := self._stored(name))]
        if not stored:
            return 1.0
        weights = self.weights.array(stored[-1]).astype(np.float64)
        with np.errstate(all="ignore"):
            gain = float(np.sum(weights**2)) / outputs
        return gain if isfinite(gain) and gain > 0 else 1.0

    def _stored(self, name: str) -> Stored | None:
        found = self.weights.find(name)
        return None if isinstance(found, str) else found


def _other(operator: str) -> str:
    """Return why a convolution of another operator stays; nothing of a plain one."""
    if operator in CONVOLUTIONS:
        return ""
    kind = KINDS.get(operator)
    if kind is None:
        return f"its depthwise stage is computed by {operator.rpartition('::')[2]}"
    if kind.quantized:
        return "it is quantised"
    return "its channels come last" if kind.channels_last else f"it is written as {operator}"


class Layout(NamedTuple):
    """How `(B, N, *positions)` become what a product writes.

    Args:
        perm: Of the axes, if they are in another order.
        shape: Of the result, if it is another one; -1 for the axis that the batch is part of.
    """

    perm: Shape | None
    shape: Shape | None


def layout_of(last: Event, made: Shape) -> Layout | None:
    """Return how to lay out a feature map as the product at the end of a pair writes it."""
    wanted = last.output_shape
    if prod(wanted) != prod(made) or not wanted or wanted[0] % made[0]:
        return None
    is_left = last.operator == f"{MAIN}::MatMul" and type(last.operands[0]) is not int
    open_batch = (-1, *wanted[1:])
    if is_left:
        fits = wanted[: CHANNELS + 1] == made[: CHANNELS + 1]
        return Layout(None, None if wanted == made else open_batch) if fits else None
    last_axis = (0, *range(2, len(made)), CHANNELS)
    turned = tuple(made[axis] for axis in last_axis)
    if wanted[-1] != made[CHANNELS]:
        return None
    return Layout(last_axis, None if wanted == turned else open_batch)
