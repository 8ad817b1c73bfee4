"""Both directions of the trade over a whole network: convolutions made separable, pairs made standard."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from dscost.operations import NETWORK_INPUT, Operation, Step, consumers
from dscost.specs import ConvSpec, Shape
from dscost.variants import (
    Convs,
    depth_multiplier_of,
    depthwise_separable,
    standard,
    standard_of_pair,
    why_not_separable,
)


class Swap(NamedTuple):
    """Operations that one convolution or one separable pair consists of, and both ways to write it.

    Args:
        positions: Where they stand in the network, in order; the first reads the input, the last
            writes the output. What lies between the two stages of a pair (normalisation,
            activation, squeeze-and-excite) belongs to the pair.
        standard: The convolution it is, or stands for.
        depth_multiplier: T of the depthwise stage.
        is_pair: Whether the network has the separable form.
        pair: Both convolutions of a pair as the network has them, a bias of the depthwise one included.
    """

    positions: tuple[int, ...]
    standard: ConvSpec
    depth_multiplier: int
    is_pair: bool
    pair: Convs = ()

    def convs(self, variant: str) -> Convs:
        """Return the convolutions of `standard` or `depthwise_separable`."""
        if variant == "depthwise_separable" and self.pair:
            return self.pair
        if variant == "standard":
            return standard(self.standard)
        return depthwise_separable(self.standard, self.depth_multiplier)


def find_swaps(steps: Sequence[Step]) -> list[Swap]:
    """Return every convolution that could be separable and every pair that is, in order of the network."""
    readers = consumers(steps)
    swaps = []
    for position, step in enumerate(steps):
        conv = step.conv
        if conv is None or conv.kernel_area == 1:
            continue
        if why_not_separable(conv) is None:
            swaps.append(Swap((position,), conv, depth_multiplier=1, is_pair=False))
        else:
            pair = _pair_from(steps, readers, position)
            if pair:
                swaps.append(pair)
    return swaps


def with_variant(operations: Sequence[Operation], swaps: Iterable[Swap], variant: str) -> list[Operation]:
    """Return the network with the swaps written as `variant`; those that are so already stay as they are."""
    already = variant == "depthwise_separable"
    by_last = {swap.positions[-1]: swap for swap in swaps if swap.is_pair != already}
    inside = {position for swap in by_last.values() for position in swap.positions}
    written: list[Operation] = []
    new_position = {NETWORK_INPUT: NETWORK_INPUT}

    for position, operation in enumerate(operations):
        if position in by_last:
            swap = by_last[position]
            first = operations[swap.positions[0]]
            source, shape = new_position[first.sources[0]], first.input_shapes[0]
            convs = swap.convs(variant)
            for stage, conv in convs:
                name = first.name if len(convs) == 1 else f"{first.name}.{stage}"
                output = conv.output_shape(shape)
                written.append(Operation(name, conv, (source,), (shape,), output))
                source, shape = len(written) - 1, output
        elif position not in inside:
            sources = tuple(new_position[source] for source in operation.sources)
            written.append(operation._replace(sources=sources))
        else:
            continue
        new_position[position] = len(written) - 1
    return written


_BETWEEN = {"normalization", "activation", "identity", "view", "copy", "elementwise", "multiply", "global_pooling"}
"""What may lie between the stages of a pair: normalisation, activation, and the gate of a squeeze-and-excite."""


def _pair_from(steps: Sequence[Step], readers: Sequence[Sequence[int]], start: int) -> Swap | None:
    """Return the pair that a depthwise convolution begins, or `None`.

    The operations that its result reaches are taken in one after the other, as long as they read nothing else,
    until a pointwise convolution is all that is left to read them.
    """
    depthwise = steps[start].conv
    assert depthwise is not None
    inside = {start}
    waiting = set(readers[start])
    while waiting:
        position = min(waiting)
        waiting.remove(position)
        step = steps[position]
        if not inside.issuperset(step.sources):
            return None
        if _ends_pair(step, steps[start].output_shape) and not waiting:
            return _pair(steps, (*sorted(inside), position), depthwise)
        if not _lies_between(step):
            return None
        inside.add(position)
        waiting.update(readers[position])
    return None


def _ends_pair(step: Step, depthwise_shape: Shape) -> bool:
    conv = step.conv
    return (
        conv is not None
        and conv.is_pointwise
        and not conv.is_depthwise
        and set(conv.stride) == {1}
        and step.output_shape[2:] == depthwise_shape[2:]
    )


def _lies_between(step: Step) -> bool:
    if step.conv is not None or step.op == "linear":
        # the gate of a squeeze-and-excite mixes channels, but at one position
        return (step.conv is None or step.conv.is_pointwise) and set(step.output_shape[2:]) <= {1}
    distinct = len(set(step.sources))
    if step.op == "add":  # a constant may be added, as hand-written activations do; a second branch may not
        return distinct == len(step.sources) == 1
    return step.op in _BETWEEN and distinct == len(step.sources)


def _pair(steps: Sequence[Step], positions: tuple[int, ...], depthwise: ConvSpec) -> Swap | None:
    pointwise = steps[positions[-1]].conv
    assert pointwise is not None
    if depthwise.out_channels != pointwise.in_channels or depthwise.in_channels % pointwise.groups:
        return None
    replaced = standard_of_pair(depthwise, pointwise)
    if why_not_separable(replaced):
        return None
    convs = (("depthwise", depthwise), ("pointwise", pointwise))
    return Swap(positions, replaced, depth_multiplier_of(depthwise), is_pair=True, pair=convs)
