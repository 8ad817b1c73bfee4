"""What counters of others would see of a version of a model, its swaps done. No torch."""

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from dscost.analysis.traced_layers import with_computed_weights
from dscost.conventions.operations import calls_of
from dscost.layers.convolution import Shape
from dscost.layers.variants import SEPARABLE, Convs
from dscost.networks.network import stage_operations
from dscost.networks.swaps import Swap
from dscost.traces import Event
from dscost.traces.calls import Call


def seen_of(
    events: Sequence[Event], seen: Iterable[Call], variant: str, swaps: Sequence[Swap]
) -> Iterator[Call]:
    """Yield what counters of others would see of a version of a model.

    What comes in place of a convolution is seen as that was: as a module of its class, in as many
    places, or as a function or an operator alone. So a counter that is blind to the one is blind to
    the other, and a version is never more than the model just because it is better seen.

    Args:
        events: Of the model as it is.
        seen: What they would see of that.
        variant: The version.
        swaps: Which are done in it.
    """
    due = [swap for swap in swaps if swap.is_pair != (variant == SEPARABLE)]
    if variant == "as_is" or not due:
        yield from seen
        return
    swapped = _Swapped(events, due, variant)
    for call in seen:
        yield from swapped.instead_of(call)


class _Swapped:
    """Events of which some are swapped."""

    def __init__(self, events: Sequence[Event], due: Sequence[Swap], variant: str) -> None:
        self._events, self._variant = events, variant
        self._gone = with_computed_weights(events, due)
        self._heads = {swap.positions[0]: swap for swap in due}
        self._stages: dict[int, tuple[_Stage, ...]] = {}

    def instead_of(self, call: Call) -> Iterator[Call]:
        """Yield what is seen where something was: the same, less of it, something else, nothing."""
        gone = [at for at in range(*call.events) if at in self._gone]
        if not gone:
            yield call
            return
        heads = [at for at in gone if at in self._heads]
        if len(heads) == 1 and self._is_a_convolution(call, gone):
            yield from self._stages_as(call, heads[0])
        elif not heads and self._is_a_convolution(call, gone):
            return  # the second of a pair, which may have padded its input
        elif len(gone) < len(range(*call.events)) or (heads and call.kind == "modules"):
            yield call._replace(macs=self._changed(call.macs, gone, heads))

    def _is_a_convolution(self, call: Call, gone: Sequence[int]) -> bool:
        """Whether a call is that of a convolution which goes, not of what holds it."""
        convs = [self._events[at].conv for at in gone if self._events[at].module == call.path]
        types = [conv.type for conv in convs if conv is not None]
        if not types or call.macs != self._macs(gone):
            return False
        return call.kind != "modules" or "kernel_size" in call.attributes or call.name in types

    def _stages_as(self, call: Call, head: int) -> Iterator[Call]:
        """Yield the stages that come in place of a convolution, seen as it was."""
        event = self._events[head]
        times = call.macs // event.macs if event.macs else 1
        # what runs in a loop may be seen as one batch
        is_one_batch = event.times > 1 and call.output != event.output_shape
        samples = event.times if is_one_batch else 1
        for stage in self._stages_of(head):
            parameters = stage.seen.parameters
            if call.kind == "modules" and "weight" not in call.parameters:  # computed, not owned
                parameters = {name: one for name, one in parameters.items() if name != "weight"}
            yield call._replace(
                inputs=tuple(_often(shape, samples) for shape in stage.seen.inputs),
                output=_often(stage.seen.output, samples),
                macs=stage.macs * times,
                parameters=parameters,
                attributes=stage.seen.attributes,
            )

    def _changed(self, macs: int, gone: Sequence[int], heads: Sequence[int]) -> int:
        new = sum(
            stage.macs * self._events[at].times for at in heads for stage in self._stages_of(at)
        )
        return macs - self._macs(gone) + new

    def _macs(self, positions: Sequence[int]) -> int:
        return sum(self._events[at].macs * self._events[at].times for at in positions)

    def _stages_of(self, head: int) -> "tuple[_Stage, ...]":
        if head not in self._stages:
            convs = self._heads[head].convs(self._variant)
            self._stages[head] = tuple(_stages(self._events[head], convs))
        return self._stages[head]


class _Stage(NamedTuple):
    """A convolution that a swap brings.

    Args:
        seen: It as an operator, of the shapes that it has there.
        macs: Its multiply-accumulates each time that it runs.
    """

    seen: Call
    macs: int


def _stages(event: Event, convs: Convs) -> Iterator[_Stage]:
    without_batch = len(event.batched_input_shape) - len(event.input_shape)
    products = 4 if event.unusual == "complex" else 1
    for call in calls_of(stage_operations(convs, event.batched_input_shape)):
        if call.kind == "operators":
            inputs = tuple(shape[without_batch:] for shape in call.inputs)
            seen = call._replace(inputs=inputs, output=call.output[without_batch:])
            yield _Stage(seen, call.macs * products)


def _often(shape: Shape, samples: int) -> Shape:
    return (*[size * samples for size in shape[:1]], *shape[1:])
