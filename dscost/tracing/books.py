"""What a recorder keeps of a forward pass: its operators, what they read, what nothing made."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from copy import copy
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from dscost.foreign.failures import Place, place_of_caller
from dscost.layers.convolution import ConvSpec, Shape
from dscost.networks.network import NETWORK_INPUT
from dscost.traces.events import INPUT, Event
from dscost.traces.rules import word_of
from dscost.tracing.drawn import Drawn
from dscost.tracing.gradient_flow import NO_FLOW, Flow, GradientFlow
from dscost.tracing.gradients import FunctionCall, GradientSwitch
from dscost.tracing.live_memory import LiveMemory, is_survivor
from dscost.tracing.parameters import Held, HeldTensors
from dscost.tracing.sparse import address_of, parts

NO_PRODUCER = -2
"""The source of parameters, buffers and constants."""

_OF_THE_FORWARD = "unknown notes read failure failed_at wants_gradients dropped _orphans".split()
"""What a recorder keeps of a forward pass, beside its events and its memory."""


class Books(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Keeps an `Event` for every operator that is recorded; its subclass decides what is recorded.

    Args:
        held: Parameters and buffers of the model.
        inputs: The tensors that the network is given.
        stack: Paths of the modules that are running, innermost last.
        switch: In training, what knows where the model has gradients on.
        standin_of: Gives the stand-in of a tensor of the original, should a part of that run.

    Attributes:
        unknown: Operators of unknown cost and how often they ran.
        notes: Sentences that the reader must know.
        dropped: Operators that ran and do not count.
        read: Names of the parameters and buffers that some operator read.
        escaping: The events that write on what the model holds or is given.
        failure: The first error of an operator, which the model may have caught.
        failed_at: Where that was.
        wants_gradients: Whether the model differentiates in its forward.
        flow: In training, where gradients flow.
    """

    def __init__(
        self,
        held: HeldTensors,
        inputs: Sequence[Tensor],
        stack: Sequence[str],
        switch: GradientSwitch | None,
        standin_of: Callable[[Tensor], Tensor | None],
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._holds, self._standin_of, self._switch = held, standin_of, switch
        self._drawn = Drawn()
        self._by_tensor, self._by_storage = held.by_tensor, held.by_storage
        self.stack = stack
        self.events: list[Event] = []
        self.unknown: dict[str, int] = {}
        self.notes: dict[str, None] = {}
        self.dropped: list[Event] = []
        self.read: set[str] = set()
        self.escaping: set[int] = set()
        self.failure: BaseException | None = None
        self.failed_at: Place | None = None
        self.wants_gradients = False
        self._orphans: dict[int, Tensor] = {}
        self._follows = False
        self._inputs = {
            address_of(part): f"{INPUT}{at}" for at, x in enumerate(inputs) for part in parts(x)
        }
        self._producer = dict.fromkeys(self._inputs, NETWORK_INPUT)
        known: list[dict[int, Any]] = [self._producer]
        self.flow: GradientFlow | None = None
        if switch is not None:
            self.flow = GradientFlow(switch, self.events, self.producer_of)
            known += [self.flow.trained, switch.written]
        self.memory = LiveMemory(inputs, known)

    def let_go(self) -> None:
        """Forget the flow, which asks these books: each keeps the other, and the model, alive."""
        self.flow = None

    # -- one operator

    def record(
        self,
        operator: str,
        operands: Sequence[Tensor],
        results: Sequence[Tensor],
        macs: int = 0,
        *,
        op: str = "",
        conv: ConvSpec | None = None,
        axes: tuple[int, ...] = (),
    ) -> None:
        """Keep one operator; results whose storage is new are born now.

        Args:
            operands: What it reads; the input of a convolution comes first.
            op: What it computes, where its shapes tell more than its name does.
            axes: Those that it works along.
        """
        # only what may come after a depthwise convolution is asked for its layout: that takes time
        if conv is not None and (conv.groups > 1 or conv.in_channels == 1):
            self._follows = True
        sources, layouts, weights, factors, first, sizes, seen = self._read_by(operands)
        read_bytes, activation_bytes = sizes
        flow = self._flow_through(operands, results, macs)
        written = self._written_by(results, seen, passes_gradients=flow.differentiable)
        start = first if conv is None else operands[0]  # whatever computes its weights
        output = results[0] if results else None
        self.events.append(
            Event(
                self.stack[-1],
                op or word_of(operator) or "other",
                operator,
                tuple(sources),
                tuple(weights),
                () if start is None else tuple(start.shape),
                () if output is None else tuple(output.shape),
                macs,
                activation_bytes,
                written,
                read_bytes + written,
                conv,
                1 if output is None else output.element_size(),
                tuple(factors) if macs else (),
                tuple(self.stack),
                tuple(layouts),
                output.stride() if self._follows and output is not None else (),
                axes,
                *flow,
            )
        )

    def _flow_through(
        self, operands: Sequence[Tensor], results: Sequence[Tensor], macs: int
    ) -> Flow:
        """Return the gradients that flow through the operator that is being recorded."""
        if self.flow is not None:
            return self.flow.through(operands, results, macs)
        if torch.is_grad_enabled():
            self.wants_gradients = True
        return NO_FLOW

    def _read_by(self, operands: Sequence[Tensor]) -> Any:
        """Return what the operator that is being recorded reads, see what its event has of that."""
        producer, by_tensor, follows = self._producer, self._by_tensor, self._follows
        sources: list[int] = []
        layouts: list[tuple[Shape, Shape]] = []
        weights: list[str] = []
        factors: list[int | str | None] = []
        first: Tensor | None = None
        read_bytes = activation_bytes = 0
        seen: dict[int, tuple[Tensor, int]] = {}
        for operand in operands:
            known = by_tensor.get(id(operand))
            if known is not None:
                address, size, available = known.address, known.nbytes, known.storage_nbytes
            else:
                storage = operand.untyped_storage()
                address, size, available = storage._cdata, operand.nbytes, storage.nbytes()
                known = self._held_at(address, operand)
            if size > available:  # an expanded tensor shows the same bytes several times
                size = available
            before = seen.get(address)
            if before is None:
                seen[address] = (operand, size)
            else:  # another view of what is read already: the rest of it, if it is a part
                size = 0 if before[0] is operand else min(size, available - before[1])
                seen[address] = (before[0], before[1] + size)
            read_bytes += size
            source = producer.get(address)
            if source is None and known is not None:  # nobody wrote it, the model holds it
                factors.append(known.name)
                self.read.add(known.name)
                if known.is_parameter and before is None:
                    weights.append(known.name)
                continue
            activation_bytes += size
            if source is None:
                if operand.is_meta:
                    self._orphans[address] = operand
                factors.append(None)
                continue
            factors.append(self._inputs[address] if source == NETWORK_INPUT else source)
            if source != NO_PRODUCER:
                sources.append(source)
                if first is None:
                    first = operand
                if follows:
                    layouts.append((operand.shape, operand.stride()))
        if first is None and operands:
            first = operands[0]
        return sources, layouts, weights, factors, first, (read_bytes, activation_bytes), seen

    def _held_at(self, address: int, tensor: Tensor) -> Held | None:
        """Return the parameter or buffer that a tensor is a view of, or stands for."""
        known = self._by_storage.get(address)
        if known is not None or tensor.is_meta:
            return known
        return self._by_tensor.get(id(self._standin_of(tensor)))

    def _written_by(
        self, results: Sequence[Tensor], seen: dict[int, Any], *, passes_gradients: bool
    ) -> int:
        """Take results for written by the operator that is being recorded; return their bytes."""
        here, written = len(self.events), 0
        for result in results:
            written += result.nbytes
            storage = result.untyped_storage()
            address = storage._cdata
            if address not in seen:
                self._born(storage, address)
            if address in self._inputs or address in self._by_storage:
                self.escaping.add(here)
            self._producer[address] = here
            if passes_gradients and self.flow is not None:
                self.flow.written(result, here)
        return written

    def _born(self, storage: torch.UntypedStorage, address: int) -> None:
        if self.flow is not None:
            self.flow.born(address)
        self.memory.born(storage, address)

    # -- what else is kept

    def met_unknown(self, operator: str) -> None:
        """Take an operator for one of unknown cost."""
        self.unknown[operator] = self.unknown.get(operator, 0) + 1

    def note(self, text: str) -> None:
        """Keep a sentence that the reader must know; once, however often it is said."""
        self.notes[text] = None

    def missed(self, error: BaseException) -> BaseException:
        """Keep the first error of an operator, and where it was: a model may catch it and go on."""
        if self.failure is None:
            self.failure, self.failed_at = error, place_of_caller()
        return error

    def amend(self, **fields: Any) -> None:
        """Change what is known of the last operator."""
        self.events[-1] = self.events[-1]._replace(**fields)

    # -- functions with a backward pass of their own

    def differentiate_functions(self, flow: GradientFlow) -> Iterator[str]:
        """Count what backward passes of functions multiply; yield the names of those that fail."""
        for call in flow.calls:
            products = call.products(self.events)
            if not products:
                continue
            macs = self._macs_of_backward(flow, call)
            if macs is None:
                yield call.kind.__name__
                continue
            for at, own in zip(products, (macs, *[0] * len(products)), strict=False):
                self.events[at] = self.events[at]._replace(gradient_macs=own)

    def _macs_of_backward(self, flow: GradientFlow, call: FunctionCall) -> int | None:
        """Return the MACs of the backward pass of a function; nothing else is kept of it."""
        flow.macs_again, start, unknown = 0, len(self.events), dict(self.unknown)
        try:
            with self._aside():
                call.differentiate()
                if self.unknown != unknown:
                    return None
                return sum(event.macs for event in self.events[start:]) - flow.macs_again
        except Exception:  # noqa: BLE001 - it is foreign code, and run alone
            self.wants_gradients = True
            return None
        finally:
            flow.macs_again = None

    @contextmanager
    def _aside(self) -> Iterator[None]:
        """Record for a while, and forget it."""
        start, peak_bytes = len(self.events), self.memory.peak_bytes
        kept = {name: _copied(getattr(self, name)) for name in _OF_THE_FORWARD}
        try:
            yield
        finally:
            del self.events[start:]
            self.memory.peak_bytes = peak_bytes
            self.__dict__.update(kept)

    # -- where tensors come from

    def constant(self, tensor: Tensor) -> None:
        """Take a tensor for one that nothing computed."""
        self._producer[address_of(tensor)] = NO_PRODUCER

    def producer_of(self, tensor: Tensor) -> int:
        """Return the event that last wrote a tensor, or a negative number."""
        return self._producer.get(address_of(tensor), NO_PRODUCER)

    def reads(self, tensors: Iterable[Tensor]) -> None:
        """Take what the model holds of these tensors for read, where no operator shows it."""
        for part in (part for tensor in tensors for part in parts(tensor)):
            known = self._by_tensor.get(id(part)) or self._held_at(address_of(part), part)
            if known is not None:
                self.read.add(known.name)

    def is_orphan(self, tensor: Tensor) -> bool:
        """Whether nothing that was seen made a tensor, and the model does not hold it."""
        address = address_of(tensor)
        return address not in self._producer and address not in self._by_storage

    def from_outside(self, held: Iterable[Tensor], results: Iterable[Tensor]) -> list[Tensor]:
        """Return what was read or returned though nothing seen made it, now or in an earlier trace.

        Nor does the model hold it, as a parameter, a buffer, or one of the tensors in `held`.
        """
        unmade = {address_of(t): t for one in results for t in parts(one) if self.is_orphan(t)}
        orphans = self._orphans | unmade
        if not orphans:
            return []
        known = {address_of(part) for tensor in held for part in parts(tensor)}
        unknown = (at for at in orphans if at not in known and not is_survivor(at))
        return [orphans[at] for at in unknown]


def _copied(value: Any) -> Any:
    return copy(value) if isinstance(value, dict | set | list) else value
