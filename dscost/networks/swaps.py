"""What a whole network can swap: convolutions made separable, pairs made standard."""

from collections.abc import Collection, Iterable, Sequence
from functools import cached_property, lru_cache
from typing import NamedTuple

from dscost.layers.convolution import ConvSpec
from dscost.layers.variants import (
    SEPARABLE,
    STANDARD,
    Convs,
    depth_multiplier_of,
    depthwise_separable,
    pointwise_like,
    standard,
    standard_of_pair,
    why_not_separable,
)
from dscost.networks.axes import MOST_KEPT, Map
from dscost.networks.network import NETWORK_INPUT, Mixing, Operation, Step, consumers


class Swap(NamedTuple):
    """Operations that one convolution or one separable pair consists of, and both ways to write it.

    Args:
        positions: Where they stand in the network, in order; the first reads the input, the last
            writes the output. What lies between the two stages of a pair (normalisation,
            activation, squeeze-and-excite) belongs to the pair.
        standard: The convolution it is, or stands for.
        depth_multiplier: T of the depthwise stage.
        is_pair: Whether the network has the separable form.
        pair: Both convolutions of a pair as the network has them, a bias of the depthwise one
            included.
    """

    positions: tuple[int, ...]
    standard: ConvSpec
    depth_multiplier: int
    is_pair: bool
    pair: Convs = ()

    def convs(self, variant: str) -> Convs:
        """Return the convolutions of `standard` or `depthwise_separable`."""
        if variant == SEPARABLE and self.pair:
            return self.pair
        if variant == STANDARD:
            return standard(self.standard)
        return depthwise_separable(self.standard, self.depth_multiplier)


def find_swaps(steps: Sequence[Step], kept: Collection[int] = ()) -> list[Swap]:
    """Return every convolution that could be separable and every pair that is, in running order.

    Kept are results that are read by somebody outside, as what a model returns is.
    """
    network: _Network | None = None
    swaps = []
    for position, step in enumerate(steps):
        conv = step.conv
        if conv is None or conv.kernel_area == 1:
            continue
        if why_not_separable(conv) is None:
            swaps.append(Swap((position,), conv, depth_multiplier=1, is_pair=False))
        else:
            network = network or _Network(steps, frozenset(kept))
            pair = network.pair_from(position)
            if pair:
                swaps.append(pair)
    return swaps


def alone(steps: Sequence[Step], swaps: Iterable[Swap]) -> list[int]:
    """Return the positions of the depthwise convolutions in no pair; one channel counts as none."""
    paired = {swap.positions[0] for swap in swaps if swap.is_pair}
    return [
        position
        for position, step in enumerate(steps)
        if step.conv
        and step.conv.is_depthwise
        and 1 not in (step.conv.kernel_area, step.conv.in_channels)
        if position not in paired
    ]


def with_variant(
    operations: Sequence[Operation], swaps: Iterable[Swap], variant: str
) -> list[Operation]:
    """Return the network with the swaps written as `variant`; those that are so already stay."""
    already = variant == SEPARABLE
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


def reading_input(steps: Sequence[Step]) -> list[bool]:
    """Return for each step whether it depends on the network's input; weights do not."""
    reading: list[bool] = []
    for step in steps:
        reading.append(any(source == NETWORK_INPUT or reading[source] for source in step.sources))
    return reading


class _Network:
    """Steps, who reads them, and which results are `kept` for somebody outside of the network."""

    def __init__(self, steps: Sequence[Step], kept: frozenset[int]) -> None:
        self.steps, self._kept = steps, kept
        self._readers = consumers(steps)

    @cached_property
    def _reads_input(self) -> list[bool]:
        return reading_input(self.steps)

    def pair_from(self, start: int) -> Swap | None:
        """Return the pair that a depthwise convolution begins, or `None`.

        The operations that its result reaches are taken in one after the other, as long as they
        read nothing else but constants and keep every position apart, until a pointwise one is all
        that is left to read them.
        """
        whole = self.steps[start].result
        inside = {start: whole}
        waiting = set(self._readers[start])
        while waiting and self._kept.isdisjoint(inside):
            position = min(waiting)
            waiting.remove(position)
            step = self.steps[position]
            outside = [source for source in step.sources if source not in inside]
            if any(map(self._depends_on_input, outside)):
                return None
            read = step.reads(inside)
            if read is None:
                return None
            mixing = None if waiting else _mixes_channels(step, read, whole)
            if mixing:
                return self._pair((*sorted(inside), position), mixing)
            carried = step.carried(read, str(position))
            if carried is None:
                return None
            inside[position] = carried
            waiting.update(self._readers[position])
        return None

    def _depends_on_input(self, source: int) -> bool:
        return source == NETWORK_INPUT or self._reads_input[source]

    def _pair(self, positions: tuple[int, ...], mixing: Mixing) -> Swap | None:
        depthwise = self.steps[positions[0]].conv
        assert depthwise is not None
        written = _both_ways(depthwise, mixing)
        if written is None:
            return None
        replaced, pointwise = written
        convs = (("depthwise", depthwise), ("pointwise", pointwise))
        return Swap(positions, replaced, depth_multiplier_of(depthwise), is_pair=True, pair=convs)


@lru_cache(maxsize=MOST_KEPT)
def _both_ways(depthwise: ConvSpec, mixing: Mixing) -> tuple[ConvSpec, ConvSpec] | None:
    """Return the convolution that a pair stands for, and its pointwise stage, or `None`."""
    if depthwise.in_channels % mixing.groups:
        return None
    pointwise = pointwise_like(
        depthwise, mixing.in_channels, mixing.out_channels, bias=mixing.bias, groups=mixing.groups
    )
    replaced = standard_of_pair(depthwise, pointwise)
    return None if why_not_separable(replaced) else (replaced, pointwise)


def _mixes_channels(step: Step, read: Sequence[Map | None], whole: Map) -> Mixing | None:
    """Return how a step mixes the channels of a whole feature map at every position, if it does."""
    maps = [one for one in read if one is not None]
    mixing = step.mixing(read) if len(maps) == 1 else None
    if mixing and maps[0].is_whole(mixing.axis, mixing.in_channels, whole.values):
        return mixing
    return None
