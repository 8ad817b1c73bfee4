"""Where gradients flow in training: which event gets the gradient of a tensor, and at what cost."""

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import BackwardCFunction

from dscost.traces.events import Event
from dscost.tracing.gradients import Apart, FunctionCall, GradientSwitch, runs_again
from dscost.tracing.sparse import address_of, takes_gradients


class Flow(NamedTuple):
    """What flows through an operator, as the fields of its event that have these names."""

    differentiable: bool
    needing: tuple[bool, ...]
    gradients_to: tuple[int, ...]


NO_FLOW = Flow(False, (), ())


class GradientFlow:
    """Follows which event, of a list that grows, last wrote on a tensor and passes gradients on.

    Attributes:
        calls: Those of functions with a backward pass of their own.
        macs_again: While one of those runs, the MACs of what a checkpoint computes again.
        trained: The event that last wrote on a storage and passes a gradient on, by address.
    """

    def __init__(
        self,
        switch: GradientSwitch,
        events: list[Event],
        producer_of: Callable[[Tensor], int],
    ) -> None:
        self._switch, self._events, self._producer_of = switch, events, producer_of
        self.calls: list[FunctionCall] = []
        self.macs_again: int | None = None
        self.trained: dict[int, int] = {}

    def through(self, operands: Sequence[Tensor], results: Sequence[Tensor], macs: int) -> Flow:
        """Return what flows through an operator that ran just now."""
        # what a checkpoint runs again is counted the first time
        if self.macs_again is not None and runs_again():
            self.macs_again += macs
        inside = self._switch.function()
        if inside is None and not torch.is_grad_enabled():
            return NO_FLOW
        if not any(map(takes_gradients, results)):
            return NO_FLOW
        needing = tuple(map(self._switch.needs, operands))
        # whatever happens inside of a function, its gradient goes to what it is given
        needed = [operand for operand, needs in zip(operands, needing, strict=True) if needs]
        to = self.trained_by(needed)
        if inside is not None:
            call, given = inside
            to |= self.trained_by(given)
            to |= self._ran(call)
        elif not needed:
            return NO_FLOW
        return Flow(True, needing if macs else (), tuple(to))

    def born(self, address: int) -> None:
        """Forget what was at an address, if nobody saw that die."""
        self.trained.pop(address, None)
        self._switch.written.pop(address, None)

    def written(self, tensor: Tensor, at: int) -> None:
        """Learn that an event writes on a tensor and passes its gradient on."""
        apart = Apart.of(tensor)
        if apart is None:
            self.trained[address_of(tensor)] = at
        else:
            apart.trained = at

    # -- who gets a gradient

    def trained_by(self, tensors: Iterable[Tensor]) -> dict[int, None]:
        """Return the events that get the gradients of tensors."""
        needing = [tensor for tensor in tensors if tensor.requires_grad]
        found = [at for tensor in needing for at in self._trainers(tensor)]
        return {at: None for at in found if at < len(self._events)}

    def _trainers(self, tensor: Tensor) -> Iterable[int]:
        apart = Apart.of(tensor)
        if apart is not None and (apart.trained is not None or tensor.is_leaf):
            return () if apart.trained is None else (apart.trained,)
        # what torch keeps for a backward pass is detached, and belongs to its maker again when
        # torch takes it out
        at = self.trained.get(address_of(tensor))
        if at is not None:
            if self.calls and not tensor.is_leaf:
                self._made(tensor, at)
            return (at,)
        if tensor.is_leaf:
            return ()
        # torch has it from there, in a way of its own
        return self._nearest_trained(self._producer_of(tensor))

    def _nearest_trained(self, start: int) -> Iterable[int]:
        """Return the closest events before one that pass gradients on, itself included."""
        found, seen, waiting = [], set(), [start]
        while waiting:
            at = waiting.pop()
            if at < 0 or at in seen or at >= len(self._events):
                continue
            seen.add(at)
            if self._events[at].differentiable:
                found.append(at)
            else:
                waiting += self._events[at].sources
        return found

    # -- functions with a backward pass of their own

    def _ran(self, call: FunctionCall) -> dict[int, None]:
        """Keep that the next event belongs to a call, and return the one before it in that."""
        last = self.calls[-1] if self.calls else None
        if last is None or not last.is_same(call):
            if last is not None and not last.products(self._events):
                self.calls.pop()  # what its context keeps takes memory
            last = call
            self.calls.append(last)
        before = last.events[-1:]
        last.events.append(len(self._events))
        return dict.fromkeys(before)

    def _made(self, tensor: Tensor, by: int) -> None:
        """Learn the context of a call from what it returned, where its forward is given none."""
        context = tensor.grad_fn
        if isinstance(context, BackwardCFunction):
            for call in self.calls:
                if call.context is None and by in call.events and context._forward_cls is call.kind:
                    call.context = context
