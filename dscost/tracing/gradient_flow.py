"""Where gradients flow in training: which event gets the gradient of a tensor, and at what cost."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from dscost.tracing.events import Event
from dscost.tracing.gradients import Apart, FunctionCall, Functions, GradientSwitch, runs_again
from dscost.tracing.sparse import address_of


class Flow(NamedTuple):
    """What flows through an operator, as the fields of its event.

    Args:
        differentiable: Whether it passes a gradient on.
        needing: Which of its operands need one, if it multiplies.
        gradients_to: The events whose results those are.
    """

    differentiable: bool
    needing: tuple[bool, ...]
    gradients_to: tuple[int, ...]


NO_FLOW = Flow(False, (), ())


class GradientFlow:
    """Follows which event last wrote on a tensor and passes its gradient on.

    Args:
        switch: Knows where the model has gradients on.
        events: All that ran; the list grows.
        producer_of: Gives the event that last wrote a tensor, or a negative number.
    """

    def __init__(
        self,
        switch: GradientSwitch,
        events: list[Event],
        producer_of: Callable[[Tensor], int],
    ) -> None:
        self._switch, self._events, self._producer_of = switch, events, producer_of
        self._functions = Functions()
        self._trained: dict[int, int] = {}
        self._macs_again: int | None = None

    def through(self, operands: Sequence[Tensor], results: Sequence[Tensor], macs: int) -> Flow:
        """Return what flows through an operator that ran just now."""
        # what a checkpoint runs again is counted the first time
        if self._macs_again is not None and runs_again():
            self._macs_again += macs
        inside = self._switch.function()
        if inside is None and not torch.is_grad_enabled():
            return NO_FLOW
        if not any(result.is_floating_point() or result.is_complex() for result in results):
            return NO_FLOW
        needing = tuple(map(self._switch.needs, operands))
        # whatever happens inside of a function, its gradient goes to what it is given
        needed = [operand for operand, needs in zip(operands, needing, strict=True) if needs]
        to = self.trained_by(needed)
        if inside is not None:
            to |= self.trained_by(inside.inputs)
            to |= self._functions.ran(inside, self._events)
        if inside is None and not needed:
            return NO_FLOW
        return Flow(True, needing if macs else (), tuple(to))

    def born(self, address: int) -> None:
        """Forget what was at an address: something new is there."""
        self._trained.pop(address, None)
        self._switch.born(address)

    def written(self, tensor: Tensor, at: int) -> None:
        """Learn that an event writes on a tensor and passes its gradient on."""
        apart = Apart.of(tensor)
        if apart is None:
            self._trained[address_of(tensor)] = at
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
        at = self._trained.get(address_of(tensor))
        if at is not None:
            if self._functions.calls and not tensor.is_leaf:
                self._functions.made(tensor, at)
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

    def differentiate_functions(self, books: "Books") -> Iterator[str]:
        """Count what backward passes of functions multiply; yield the names of those that fail."""
        for call in self._functions.calls:
            products = call.products(self._events)
            if not products:
                continue
            macs = self._macs_of_backward(call, books)
            if macs is None:
                yield call.kind.__name__
                continue
            for at, own in zip(products, (macs, *[0] * len(products)), strict=False):
                self._events[at] = self._events[at]._replace(gradient_macs=own)

    def _macs_of_backward(self, call: FunctionCall, books: "Books") -> int | None:
        """Return the MACs of the backward pass of a function; nothing else is kept of it."""
        self._macs_again, start, unknown = 0, len(self._events), dict(books.unknown)
        try:
            with books.aside():
                call.differentiate()
                if books.unknown != unknown:
                    return None
                return sum(event.macs for event in self._events[start:]) - self._macs_again
        except Exception:  # noqa: BLE001 - it is foreign code, and run alone
            books.wants_gradients = True
            return None
        finally:
            self._macs_again = None


class Books(Protocol):
    """What is asked of the recorder that owns the events."""

    unknown: dict[str, int]
    wants_gradients: bool

    def aside(self) -> AbstractContextManager[None]:
        """Return what is entered to record for a while, and to forget it."""
