"""A dispatch mode that sees every operator of a forward pass on meta tensors and keeps what it costs.

Under inference mode operators arrive whole: `conv2d`, `linear`, `scaled_dot_product_attention`, not
their parts. For those that make up most networks the result is worked out by a short cut; torch's
own meta kernels are ten times slower.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from copy import copy
from typing import Any, NamedTuple
from weakref import WeakValueDictionary, ref

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from dscost.foreign.failures import Place, place_of_caller
from dscost.foreign.randomness import SEED, OwnNumbers, draws
from dscost.layers.convolution import ConvSpec, Shape
from dscost.networks.axes import Map, feature_map, viewed
from dscost.networks.network import NETWORK_INPUT, Mixing
from dscost.tracing.carrying import ALONG_AXES, carried, mixing
from dscost.tracing.free import FOURIER
from dscost.tracing.gradients import Apart, FunctionCall, Functions, GradientSwitch, runs_again
from dscost.tracing.higher_order import run_higher_order
from dscost.tracing.holdings import Held, Holdings
from dscost.tracing.operators import (
    MEAN,
    OPS,
    PADDING,
    VIEWS,
    answer_of,
    axes_along,
    conv_of,
    factors_of,
    is_global_mean,
    leaves,
    operator_name,
    pads_nowhere,
    real_products,
    shapes_of,
    takes_packed,
    written_by,
)
from dscost.tracing.packed import packed_in
from dscost.tracing.rules import FORMULAS
from dscost.tracing.shortcuts import ALWAYS, shortcuts_in_force
from dscost.tracing.sparse import (
    FACTORS,
    SPARSE,
    any_sparse,
    dense_macs,
    dense_parts,
    is_sparse,
    parts,
    product_without_values,
    sparse_macs,
    sparse_view,
)

INPUT = "input:"
"""What begins the name of an input among the operands of an event; its number follows."""

COMPLEX_NOTE = "Complex multiply-accumulates count as four real ones."

FOURIER_NOTE = "Fourier transforms count no MACs, by convention."
QUANTIZED_NOTE = "Quantised layers are counted as they are; standard or depthwise-separable versions of them are not worked out."
SPARSE_NOTE = "Products with sparse tensors count by the entries that are stored."

LOOKING = frozenset(
    f"aten::{name}"
    for name in (
        "_local_scalar_dense",
        "item",
        "is_nonzero",
        "equal",
        "allclose",
        "_assert_async",
        "_is_all_true",
    )
)
"""Operators that read values and return no tensor."""

NO_PRODUCER = -2
"""The source of parameters, buffers and constants."""


class Event(NamedTuple):
    """One operator as it ran.

    Args:
        module: Path of the module that ran it.
        op: What it computes, in the words of a report.
        operator: `namespace::name` of torch.
        sources: Events whose results it reads, or `NETWORK_INPUT`.
        weights: Names of the parameters that it reads.
        input_shape: Of its first activation.
        output_shape: Of its first result.
        macs: Multiply-accumulates.
        input_bytes: Of the activations that it reads.
        output_bytes: Of what it writes.
        traffic_bytes: Everything it reads and writes.
        conv: The convolution that it is, if it is one.
        element_bytes: Of its first result.
        operands: Where each tensor that it multiplies or adds comes from: an event, an input
            (`input:0`), the name of a parameter or buffer, or nothing known. Empty where there are
            no MACs.
        stack: Paths of all modules that were running.
        differentiable: In training, whether a gradient flows through it: gradients on, floating
            point, and something that it reads needs one.
        layouts: Shape and strides of what it reads, one entry per source, where it may follow a
            depthwise convolution.
        strides: Of its first result, likewise.
        axes: Along which it works, of a sum or softmax.
        needing: In training, which of `operands` needed a gradient.
        gradients_to: In training, the events whose results get a gradient from it.
        unusual: What a counter of plain operators does not know: `complex` or `sparse` factors, or
            that it ran inside of a higher-order operator, whose name this is then. Empty for most.
        plain_macs: What it would be if it knew none of that.
        gradient_macs: Multiply-accumulates of its gradients, where it has a backward pass of its
            own.
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
    differentiable: bool
    layouts: tuple[tuple[Shape, Shape], ...] = ()
    strides: Shape = ()
    axes: tuple[int, ...] = ()
    needing: tuple[bool, ...] = ()
    gradients_to: tuple[int, ...] = ()
    unusual: str = ""
    plain_macs: int = 0
    gradient_macs: int | None = None

    @property
    def batched_input_shape(self) -> Shape:
        """The input of a convolution with its batch, which torch allows to be left out."""
        assert self.conv is not None
        missing = len(self.conv.kernel_size) + 2 - len(self.input_shape)
        return (1,) * missing + self.input_shape

    @property
    def kernel(self) -> int | str | None:
        """Where the weights that it multiplies come from, see `operands`; of a product the first that are no result."""
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
        """Return what it reads of the results that are known, see `dscost.networks.network.Step`."""
        read: list[Map | None] = []
        for source, (shape, strides) in zip(self.sources, self.layouts, strict=True):
            given = known.get(source)
            if given is None or (
                shape == given.shape and strides == given.strides
            ):  # nearly always: spares a look-up
                read.append(given)
                continue
            seen = viewed(given, shape, strides)
            if seen is None:
                return None
            read.append(seen)
        return read

    def carried(self, read: Sequence[Map | None], name: str) -> Map | None:
        """Return what becomes of a feature map in it, see `dscost.networks.network.Step`."""
        return carried(self, read, name)

    def mixing(self, read: Sequence[Map | None]) -> Mixing | None:
        """Return how it mixes the channels of a feature map, see `dscost.networks.network.Step`."""
        return mixing(self, read)


_OF_THE_FORWARD = (
    "unknown",
    "notes",
    "read",
    "failure",
    "failed_at",
    "wants_gradients",
    "peak_bytes",
    "dropped",
    "_orphans",
)
"""What a recorder keeps of a forward pass, beside its events."""


def _kept(value: Any) -> Any:
    return copy(value) if isinstance(value, dict | set | list) else value


class _Life(ref):  # type: ignore[type-arg]
    """A weak reference to a storage that knows its size."""

    __slots__ = ("nbytes",)
    nbytes: int


_SURVIVORS: WeakValueDictionary[int, torch.UntypedStorage] = WeakValueDictionary()
"""Storages that were made in a trace and outlived it, by address."""


class Recorder(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Keeps an `Event` for every operator that computes or moves something.

    Args:
        holdings: Parameters and buffers of the model.
        inputs: The tensors that the network is given.
        stack: Paths of the modules that are running, innermost last.
        shortcuts: Whether the results of common operators are worked out without torch.
        switch: In training, what knows where the model has gradients on.
        standin_of: Gives the stand-in of a tensor of the original model, should a part of that run
            itself.
    """

    supports_higher_order_operators = True

    def __init__(
        self,
        holdings: Holdings,
        inputs: Sequence[Tensor],
        stack: Sequence[str],
        *,
        shortcuts: bool = True,
        switch: GradientSwitch | None = None,
        standin_of: Callable[[Tensor], Tensor | None] = lambda tensor: None,
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._holdings = holdings
        self._by_tensor, self._by_storage = holdings.by_tensor, holdings.by_storage
        self._switch, self._standin_of = switch, standin_of
        self._numbers = OwnNumbers(SEED)
        self._drawn: WeakValueDictionary[int, torch.UntypedStorage] = WeakValueDictionary()
        self.looked_at_drawn: Place | None = None
        self.failure: BaseException | None = None
        self.failed_at: Place | None = None
        self.wants_gradients = self.autocasts = False
        self._orphans: dict[int, Tensor] = {}
        self.stack = stack
        self.events: list[Event] = []
        self._follows = False
        self.unknown: dict[str, int] = {}
        self.notes: dict[str, None] = {}
        self.dropped: list[Event] = []
        self.read: set[str] = set()
        self._handlers = shortcuts_in_force() if shortcuts else ALWAYS
        if holdings.any_sparse or any(map(is_sparse, inputs)):
            self._handlers = ALWAYS  # short cuts are for dense tensors
        self._inputs = {
            _address(part): f"{INPUT}{at}" for at, x in enumerate(inputs) for part in parts(x)
        }
        self._producer = dict.fromkeys(self._inputs, NETWORK_INPUT)
        self._trained: dict[int, int] = {}
        self.functions = Functions()
        self._again: int | None = None
        self._lives: dict[int, _Life] = {}
        self._live_bytes = self.peak_bytes = sum(
            {
                _address(part): part.untyped_storage().nbytes() for x in inputs for part in parts(x)
            }.values()
        )

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        handler = self._handlers.get(func)
        if handler is not None:
            result = handler(self, func, args, kwargs)
            if result is not None:
                return (
                    result if self._switch is None else self._passed_on(func, args, kwargs, result)
                )
        elif func in VIEWS:
            if args[0].layout in SPARSE:
                result = sparse_view(func, args, kwargs or {})
            else:
                result = func(*args, **kwargs) if kwargs else func(*args)
            return result if self._switch is None else self._passed_on(func, args, kwargs, result)
        return self._generic(func, args, kwargs or {})

    def _passed_on(self, func: Any, args: Any, kwargs: Any, result: Any) -> Any:
        """Return the result of an operator, which in training needs a gradient where torch says so."""
        if self._switch is not None:
            self._switch.pass_on(
                func, leaves((args, kwargs)), leaves(result) or written_by(func, args, kwargs)
            )
        return result

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """Spare every operator the wrapper that hides a mode from torch.compile; nothing is compiled here."""
        return False

    # -- operators without a short cut

    def _generic(self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        answer = answer_of(func)
        operator = operator_name(func)
        if operator in FACTORS and any_sparse(args):
            return self._sparse_product(func, args, kwargs)
        if answer == "composite":
            with self:
                result = func.decompose(*args, **kwargs)
            if result is not NotImplemented:
                return result
        elif answer == "higher_order":
            return run_higher_order(self, func, args, kwargs)
        elif answer == "unknown":
            decomposition = torch._decomp.decomposition_table.get(func)
            if decomposition is not None:
                with self:
                    return decomposition(*args, **kwargs)
        try:
            result = self.compute(func, args, kwargs)
        except Exception as error:
            self.missed(error)
            raise
        self._passed_on(func, args, kwargs, result)
        formula = FORMULAS.get(operator)
        results, operands = (
            dense_parts(leaves(result)),
            dense_parts(leaves((factors_of(func, args), kwargs))),
        )
        if formula is not None:
            named = {name: value for name, value in kwargs.items() if name != "out"}
            first = tuple(results[0].shape) if results else ()
            macs = formula(*shapes_of(args), **shapes_of(named), out=first)
            conv = conv_of(operator, args, kwargs) if results and results[0].numel() else None
            self.record(OPS.get(operator, "other"), operator, operands, results, macs, conv)
            if results and results[0].is_complex():
                self._count_complex(operator, operands)
            if takes_packed(func):
                self._read_packed(args)
                self.note(QUANTIZED_NOTE)
            return result
        if answer == "unknown":
            self.met_unknown(operator)
            if takes_packed(func):
                self.note(f"What {operator} holds in an object of its own is not among the params.")
        if operator in FOURIER:
            self.note(FOURIER_NOTE)
        recorded = len(self.events)
        self._record_moving(func, operator, operands, results, args, kwargs)
        if len(self.events) > recorded and takes_packed(func):
            self._read_packed(args)
        return result

    def compute(self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Return what an operator gives; random numbers are nobody else's."""
        if func in VIEWS and any_sparse(args):
            return sparse_view(func, args, kwargs)
        if not draws(func):
            return func(*args, **kwargs)
        result = self._numbers.draw(func, args, kwargs)
        self._keep_drawn(dense_parts(leaves(result)))
        return result

    def _keep_drawn(self, tensors: Iterable[Tensor]) -> None:
        """Keep in mind which tensors hold random numbers, those on meta hold none."""
        for tensor in tensors:
            if not tensor.is_meta:
                storage = tensor.untyped_storage()
                self._drawn[storage._cdata] = storage

    def enters_autocast(self) -> None:
        """Keep in mind that the model uses autocast."""
        self.autocasts = True

    def missed(self, error: BaseException) -> BaseException:
        """Keep the first error of an operator, and where it was: a model may catch it and do something else."""
        if self.failure is None:
            self.failure, self.failed_at = error, place_of_caller()
        return error

    def _count_complex(self, operator: str, operands: Sequence[Tensor]) -> None:
        """Let the last operator count in real multiply-accumulates."""
        macs = self.events[-1].macs
        self.note(COMPLEX_NOTE)
        self.amend(
            macs=macs * real_products(operator, operands), unusual="complex", plain_macs=macs
        )

    def _sparse_product(self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        operator = operator_name(func)
        result = product_without_values(func, operator, args, kwargs)
        macs = sparse_macs(operator, args)
        if macs is None:
            self.met_unknown(operator)
        self.note(SPARSE_NOTE)
        self._passed_on(func, args, kwargs, result)
        operands, results = dense_parts(leaves((args, kwargs))), dense_parts(leaves(result))
        self.record(OPS.get(operator, "matmul"), operator, operands, results, macs or 0)
        self.amend(unusual="sparse", plain_macs=dense_macs(operator, args))
        return result

    def _read_packed(self, args: tuple[Any, ...]) -> None:
        """Let the last operator have read the packed weights among its arguments."""
        event = self.events[-1]
        held = [self._holdings.packed_as(value, event.module) for value in packed_in(args)]
        names = tuple(one.name for one in held)
        self.read.update(names)
        size = sum(one.nbytes for one in held)
        self.amend(weights=event.weights + names, traffic_bytes=event.traffic_bytes + size)

    def _record_moving(
        self,
        func: Any,
        operator: str,
        operands: list[Tensor],
        results: list[Tensor],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
    ) -> None:
        """Record an operator without MACs: nothing if it is a view, no producer if it makes a constant."""
        before = {_address(a) for a in operands}
        fresh = [r for r in results if _address(r) not in before]
        if self._drawn and not before.isdisjoint(self._drawn.keys()):
            self._keep_drawn(fresh)
            if operator in LOOKING and self.looked_at_drawn is None:
                self.looked_at_drawn = place_of_caller()
        if not operands:
            for constant in fresh:
                self._born(constant)
                self.constant(constant)
        elif fresh or (func._schema.is_mutable and func not in VIEWS):
            op = OPS.get(operator) or (
                "elementwise" if torch.Tag.pointwise in func.tags else "other"
            )
            if op == MEAN:
                op = "global_pooling" if is_global_mean(operands[0], results) else "other"
            elif operator in PADDING and pads_nowhere(args, kwargs):
                op = "copy"
            axes = axes_along(func, args, kwargs) if operator in ALONG_AXES else ()
            self.record(op, operator, operands, fresh or results, 0, axes=axes)
        elif operator in LOOKING:
            self.reads(operands)

    # -- what is kept

    def met_unknown(self, operator: str) -> None:
        """Take an operator for one of unknown cost."""
        self.unknown[operator] = self.unknown.get(operator, 0) + 1

    def note(self, text: str) -> None:
        """Keep a sentence that the reader must know; once, however often it is said."""
        self.notes[text] = None

    def amend(self, **fields: Any) -> None:
        """Change what is known of the last operator."""
        self.events[-1] = self.events[-1]._replace(**fields)

    def mark_unusual(self, start: int, by: str) -> None:
        """Keep of the operators since `start` that a counter of plain operators does not see them."""
        self.events[start:] = [
            event._replace(unusual=by, plain_macs=0) for event in self.events[start:]
        ]

    def dearer(self, ways: Sequence[Callable[[], Any]]) -> Any:
        """Run all ways, keep the operators of the one with the most MACs, and return its result.

        What any of them reads is read, and what is of unknown cost in any of them makes the total
        partial.
        """
        start, unknown = len(self.events), dict(self.unknown)
        kept: tuple[tuple[int, int], list[Event], Any] | None = None
        most = dict(unknown)
        for way in ways:
            self.unknown = dict(unknown)
            with self:
                result = way()
            for operator, times in self.unknown.items():
                most[operator] = max(most.get(operator, 0), times)
            events = self.events[start:]
            del self.events[start:]
            cost = (
                sum(event.macs for event in events),
                sum(event.traffic_bytes for event in events),
            )
            if kept is None or cost > kept[0]:
                self.dropped += kept[1] if kept else []
                kept = cost, events, result
            else:
                self.dropped += events
        assert kept is not None
        self.unknown = most
        self.events += kept[1]
        return kept[2]

    def record(
        self,
        op: str,
        operator: str,
        operands: Sequence[Tensor],
        results: Sequence[Tensor],
        macs: int,
        conv: ConvSpec | None = None,
        axes: tuple[int, ...] = (),
    ) -> None:
        """Keep one operator; results whose storage is new are born now."""
        producer, by_tensor = self._producer, self._by_tensor
        sources: list[int] = []
        layouts: list[tuple[Shape, Shape]] = []
        # only what may come after a depthwise convolution is asked for its layout: asking takes
        # time
        follows = self._follows = self._follows or (
            conv is not None and (conv.groups > 1 or conv.in_channels == 1)
        )
        first: Tensor | None = None
        weights: list[str] = []
        factors: list[int | str | None] = []
        read_bytes = activation_bytes = 0
        seen: dict[int, tuple[Tensor, int]] = {}
        for operand in operands:
            known = by_tensor.get(id(operand))
            if known is not None:
                address, size, available = known.address, known.nbytes, known.storage_nbytes
            else:
                storage = operand.untyped_storage()
                address, size, available = storage._cdata, operand.nbytes, storage.nbytes()
                known = self._by_storage.get(address)
                if known is None and not operand.is_meta:
                    known = by_tensor.get(id(self._standin_of(operand)))
            if size > available:
                size = available
            before = seen.get(address)
            if before is None:
                seen[address] = (operand, size)
            else:  # another view of what is read already: the rest of it, if it is a part
                size = 0 if before[0] is operand else min(size, available - before[1])
                seen[address] = (before[0], before[1] + size)
            read_bytes += size
            source = producer.get(address)
            if source is not None:
                factors.append(self._inputs[address] if source == NETWORK_INPUT else source)
                if source != NO_PRODUCER:
                    sources.append(source)
                    if first is None:
                        first = operand
                    if follows:
                        layouts.append((operand.shape, operand.stride()))
                activation_bytes += size
            elif known is not None:
                factors.append(known.name)
                self.read.add(known.name)
                if known.is_parameter and before is None:
                    weights.append(known.name)
            else:
                if operand.is_meta:
                    self._orphans[address] = operand
                factors.append(None)
                activation_bytes += size
        here = len(self.events)
        if self._again is not None and runs_again():
            self._again += macs
        flow = None
        if self._switch is not None:
            flow = self._flow(self._switch, operands, results)
        elif torch.is_grad_enabled():
            self.wants_gradients = True
        written = 0
        for result in results:
            written += result.nbytes
            address = result.untyped_storage()._cdata
            if address not in seen:
                self._born(result)
            producer[address] = here
            if flow is not None:
                self._train(result, here)
        output = results[0] if results else None
        # the input of a convolution comes first, whatever computes its weights
        start = first if first is not None and conv is None else (operands[0] if operands else None)
        self.events.append(
            Event(
                self.stack[-1],
                op,
                operator,
                tuple(sources),
                tuple(weights),
                tuple(start.shape) if start is not None else (),
                tuple(output.shape) if output is not None else (),
                macs,
                activation_bytes,
                written,
                read_bytes + written,
                conv,
                output.element_size() if output is not None else 1,
                tuple(factors) if macs else (),
                tuple(self.stack),
                flow is not None,
                tuple(layouts),
                output.stride() if follows and output is not None else (),
                axes,
                flow[0] if macs and flow is not None else (),
                flow[1] if flow is not None else (),
            )
        )

    def _flow(
        self, switch: GradientSwitch, operands: Sequence[Tensor], results: Sequence[Tensor]
    ) -> tuple[tuple[bool, ...], tuple[int, ...]] | None:
        """Return which operands need a gradient and whose results they are, if one flows through what runs."""
        inside = switch.function()
        if inside is None and not torch.is_grad_enabled():
            return None
        if not any(result.is_floating_point() or result.is_complex() for result in results):
            return None
        needing = tuple(map(switch.needs, operands))
        # whatever happens inside of a function, its gradient goes to what it is given
        to = self.trained_by(
            [operand for operand, needs in zip(operands, needing, strict=True) if needs]
        )
        if inside is not None:
            to |= self.trained_by(inside.inputs)
            to |= self.functions.ran(inside, self.events)
        return (needing, tuple(to)) if inside is not None or any(needing) else None

    def trained_by(self, tensors: Iterable[Tensor]) -> dict[int, None]:
        """Return the events that get the gradients of tensors."""
        found = [at for tensor in tensors if tensor.requires_grad for at in self._trainers(tensor)]
        return {at: None for at in found if at < len(self.events)}

    def differentiate_functions(self) -> Iterator[str]:
        """Count what the backward passes of functions compute that multiply; yield the names of those that fail."""
        for call in self.functions.calls:
            products = call.products(self.events)
            if not products:
                continue
            macs = self._macs_of_backward(call)
            if macs is None:
                yield call.kind.__name__
                continue
            for at, own in zip(products, (macs, *[0] * len(products)), strict=False):
                self.events[at] = self.events[at]._replace(gradient_macs=own)

    def _macs_of_backward(self, call: FunctionCall) -> int | None:
        """Return the MACs of the backward pass of a function; nothing else is kept of it."""
        self._again, start, kept = (
            0,
            len(self.events),
            {name: _kept(getattr(self, name)) for name in _OF_THE_FORWARD},
        )
        try:
            call.differentiate()
            return (
                None if self.unknown != kept["unknown"] else self._macs_since(start) - self._again
            )
        except Exception:  # noqa: BLE001 - it is foreign code, and run alone
            kept["wants_gradients"] = True
            return None
        finally:
            self._again = None
            del self.events[start:]
            self.__dict__.update(kept)

    def _macs_since(self, start: int) -> int:
        return sum(event.macs for event in self.events[start:])

    def _trainers(self, tensor: Tensor) -> Iterable[int]:
        apart = Apart.of(tensor)
        if apart is not None and (apart.trained is not None or tensor.is_leaf):
            return () if apart.trained is None else (apart.trained,)
        # what torch keeps for a backward pass is detached, and belongs to its maker again when
        # torch takes it out
        at = self._trained.get(_address(tensor))
        if at is not None:
            if self.functions.calls and not tensor.is_leaf:
                self.functions.made(tensor, at)
            return (at,)
        if tensor.is_leaf:
            return ()
        return self._nearest_trained(
            self.producer_of(tensor)
        )  # torch has it from there, in a way of its own

    def _nearest_trained(self, start: int) -> Iterable[int]:
        """Return the closest events before one that pass gradients on, itself included."""
        found, seen, waiting = [], set(), [start]
        while waiting:
            at = waiting.pop()
            if at < 0 or at in seen or at >= len(self.events):
                continue
            seen.add(at)
            if self.events[at].differentiable:
                found.append(at)
            else:
                waiting += self.events[at].sources
        return found

    def _train(self, tensor: Tensor, at: int) -> None:
        apart = Apart.of(tensor)
        if apart is None:
            self._trained[_address(tensor)] = at
        else:
            apart.trained = at

    def constant(self, tensor: Tensor) -> None:
        """Take a tensor for one that nothing computed."""
        self._producer[_address(tensor)] = NO_PRODUCER

    def reads(self, tensors: Iterable[Tensor]) -> None:
        """Take what the model holds of these tensors for read, where no operator shows it."""
        found = (self._held(part) for tensor in tensors for part in parts(tensor))
        self.read.update(held.name for held in found if held is not None)

    def _held(self, tensor: Tensor) -> Held | None:
        """Return the parameter or buffer that a tensor is, or is a view of."""
        known = self._by_tensor.get(id(tensor)) or self._by_storage.get(_address(tensor))
        return (
            known
            if known is not None or tensor.is_meta
            else self._by_tensor.get(id(self._standin_of(tensor)))
        )

    def is_orphan(self, tensor: Tensor) -> bool:
        """Whether nothing that was seen made a tensor, and the model does not hold it."""
        address = _address(tensor)
        return address not in self._producer and address not in self._by_storage

    def from_outside(self, held: Iterable[Tensor], results: Iterable[Tensor]) -> list[Tensor]:
        """Return what was read or returned though nothing that was seen made it, now or in an earlier trace.

        Args:
            held: Tensors that the model holds, beside parameters and buffers.
            results: What the model returns.
        """
        orphans = self._orphans | {
            _address(t): t for one in results for t in parts(one) if self.is_orphan(t)
        }
        if not orphans:
            return []
        known = {_address(part) for tensor in held for part in parts(tensor)}
        return [
            one
            for address, one in orphans.items()
            if address not in known and address not in _SURVIVORS
        ]

    def remember_survivors(self) -> None:
        """Keep in mind what is left of this run: a cache of the model's gives it to the next one."""
        for life in self._lives.values():
            storage = life()
            if storage is not None:
                _SURVIVORS[storage._cdata] = storage

    def producer_of(self, tensor: Tensor) -> int:
        """Return the event that last wrote a tensor, or a negative number."""
        return self._producer.get(_address(tensor), NO_PRODUCER)

    def _born(self, tensor: Tensor) -> None:
        storage = tensor.untyped_storage()
        size = storage.nbytes()
        if self._switch is not None:
            self._trained.pop(storage._cdata, None)
            self._switch.born(storage._cdata)
        life = _Life(storage, self._died)
        life.nbytes = size
        self._lives[id(life)] = life
        self._live_bytes += size
        if self._live_bytes > self.peak_bytes:
            self.peak_bytes = self._live_bytes

    def _died(self, life: _Life) -> None:
        if self._lives.pop(id(life), None) is not None:
            self._live_bytes -= life.nbytes


def _address(tensor: Tensor) -> int:
    if tensor.layout in SPARSE:
        tensor = parts(tensor)[0]
    address: int = tensor.untyped_storage()._cdata
    return address
