"""What is kept of a graph while its nodes are evaluated: its events, its weights, what is alive."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from copy import copy
from typing import Any

from dscost.graphs.causes import Root, causes_in_words
from dscost.graphs.convolutions import is_channels_last, stored_bits
from dscost.graphs.costs import operands_of
from dscost.graphs.multiplying import dtype_of_products, whole_of
from dscost.graphs.nodes import Node
from dscost.graphs.origins import module_path, one_for_all_calls
from dscost.graphs.values import CONSTANT, Shape, Value, made_of
from dscost.graphs.weights import constant_bytes, weights_read
from dscost.layers.convolution import ConvSpec
from dscost.networks.axes import row_major
from dscost.networks.network import NETWORK_INPUT
from dscost.printable import shortened
from dscost.traces import Event, Parameter, Trace

MOST_MISFITS = 3
"""Of how many nodes that do not fit a report says why."""

_LASTING = ("events", "unseen")
"""What is not copied to come back to it."""


class Books:
    """Keeps an `Event` for every node that computes with what the network is given.

    Attributes:
        events: The operators, in order.
        parameters: What is stored, by name, once something has read it as weights.
        unknown: Operators of unknown cost and how often they ran.
        notes: Sentences that the reader must know.
        misfits: Which nodes do not fit what they read and why, and whether they surely run.
        roots: Nodes that are the first to write something of unknown size.
        following: Names of those that read such a thing.
        plain: Operators of unknown cost that read nothing of the kind.
        free_branches: How many nodes had both branches counted, which have no MACs.
        deciding: Which input decides what runs.
        unseen: Names of parameters whose readers do not run, or not as often as is known.
    """

    def __init__(self, inputs: Iterable[Value]) -> None:
        self.events: list[Event] = []
        self.parameters: dict[str, Parameter] = {}
        self.unknown: dict[str, int] = {}
        self.notes: dict[str, None] = {}
        self.misfits: dict[str, bool] = {}
        self.roots: dict[str, Root] = {}
        self.following: set[str] = set()
        self.plain: set[str] = set()
        self.free_branches = 0
        self.deciding: dict[str, None] = {}
        self.unseen: set[str] = set()
        self.calls: dict[str, int] = {}
        self.types: dict[str, str] = {}
        self._paths: dict[str, str] = {}
        self._sizes = {value.home: value.nbytes for value in inputs}
        self._born = dict.fromkeys(self._sizes, -1)
        self._last: dict[int, int] = {}
        self._is_sized = True

    def record(
        self,
        node: Node,
        written: Sequence[Value],
        *,
        op: str,
        macs: int = 0,
        conv: ConvSpec | None = None,
        seen: Shape | None = None,
        axes: tuple[int, ...] = (),
        is_view: bool = False,
        weights: Sequence[Parameter] = (),
    ) -> list[Value]:
        """Keep one node; return what it writes with where it comes from.

        Args:
            written: What it writes, by type.
            op: What it computes, in the words of a report.
            conv: The convolution that it is, if it is one.
            seen: The shape of its input, where that is not what it reads.
            axes: Along which it works.
            is_view: Whether it moves nothing.
            weights: What is stored and that it reads as its weights.
        """
        here = len(self.events)
        read = [value for value in node.inputs if value is not None]
        active = [value for value in read if not value.is_constant]
        results = self._written(node, written, active, is_view=is_view)
        for value in active:
            self._last[value.home] = here
        input_bytes = sum({value.home: value.nbytes for value in active}.values())
        output_bytes = sum(map(_written_bytes, _is_there(node, results), results))
        (shape, strides), *layouts = _layouts(node, [*(results[:1] or [Value()]), *active])
        self._called(node)
        self.keep(weights)
        self.events.append(
            Event(
                module=node.name,
                op=op,
                operator=node.operator,
                sources=tuple(value.source for value in active),
                weights=tuple(one.name for one in weights),
                input_shape=seen or next((one.shape for one in (*active, *read)), None) or (),
                output_shape=shape,
                macs=macs,
                input_bytes=input_bytes,
                output_bytes=output_bytes,
                traffic_bytes=0 if is_view else input_bytes + constant_bytes(node) + output_bytes,
                conv=conv,
                element_bytes=_element_bytes(results),
                operands=tuple(map(_operand, operands_of(node))) if macs else (),
                stack=(),
                layouts=tuple(layouts),
                strides=strides,
                axes=axes,
                stored_bits=None if conv is None else stored_bits(node),
                dtype=dtype_of_products(node) if macs else "",
                given=_shapes(node),
            )
        )
        return results

    def _called(self, node: Node) -> None:
        self.calls[node.name] = self.calls.get(node.name, 0) + 1
        self.types[node.name] = node.base
        path = module_path(node.proto)
        if path is not None:
            self._paths[node.name] = path

    def _written(
        self, node: Node, written: Sequence[Value], active: Sequence[Value], *, is_view: bool
    ) -> list[Value]:
        """Return what the node that is being recorded writes, each in storage of its own.

        A view is in that of what it shows. What has no name is not written.
        """
        here = len(self.events)
        written = made_of((), written, whole=whole_of(node))
        if is_view and active:
            return [value._replace(source=here, home=active[0].home) for value in written]
        return [
            self._placed(value, here, is_there=one)
            for value, one in zip(written, _is_there(node, written), strict=True)
        ]

    def _placed(self, value: Value, here: int, *, is_there: bool = True) -> Value:
        """Return a value with a storage of its own, that some event has filled."""
        home = len(self._sizes)
        self._sizes[home] = value.nbytes if is_there else 0
        self._born[home] = self._last[home] = here
        if is_there and value.shape is None and value.items is None:
            self._is_sized = False
        return value._replace(source=here, home=home)

    def keep(self, weights: Iterable[Parameter]) -> None:
        """Take what is stored for parameters of the network."""
        for one in weights:
            if one.numel or one.name not in self.parameters:  # to some it may be a scale
                self.parameters[one.name] = one

    def met_misfit(self, node: Node, why: str, *, is_certain: bool) -> None:
        """Keep in mind that a node does not fit what it reads."""
        text = f"{node.base} '{node.name}' does not fit what it reads: {shortened(why)}"
        self.misfits[text] = self.misfits.get(text, False) or is_certain

    def met_unknown(self, node: Node) -> None:
        """Take a node for one of unknown cost; its weights are parameters all the same."""
        self.unknown[node.operator] = self.unknown.get(node.operator, 0) + 1
        self.keep(weights := weights_read(node))
        self.unseen.update(one.name for one in weights)

    def note(self, text: str) -> None:
        """Keep a sentence that the reader must know; once, however often it is said."""
        self.notes[text] = None

    def held(self, value: Value) -> Value:
        """Return a value with a storage of its own, that what made it last has filled."""
        return self._placed(value, max(0, len(self.events) - 1))

    def kept(self) -> Mapping[str, Any]:
        """Return what there is by now, to come back to."""
        now = {name: copy(value) for name, value in vars(self).items() if name not in _LASTING}
        return {**now, "events": len(self.events)}

    def restore(self, kept: Mapping[str, Any]) -> None:
        """Forget what was kept since then."""
        del self.events[kept["events"] :]
        vars(self).update({name: value for name, value in kept.items() if name != "events"})

    def repeat(self, start: int, kept: Mapping[str, Any], times: int) -> None:
        """Take what was recorded from an event on, and since then, for run so many times."""
        for at in range(start, len(self.events)):
            event = self.events[at]
            self.events[at] = event._replace(times=event.times * times)
        for counts, before in ((self.calls, kept["calls"]), (self.unknown, kept["unknown"])):
            for name, number in counts.items():
                then = before.get(name, 0)
                counts[name] = then + (number - then) * times

    def trace(self, outputs: Sequence[Value]) -> Trace:
        """Return all that was kept."""
        end = len(self.events)
        for value in outputs:
            self._last[value.home] = end
        read = {name for event in self.events for name in event.weights}
        return Trace(
            events=self.events,
            calls=self.calls,
            types=self.types,
            parameters=list(self.parameters.values()),
            read=frozenset(read),
            unknown=self.unknown,
            peak_activation_bytes=self._peak_bytes() if self._is_sized else None,
            outputs=frozenset(v.source for v in outputs if v.source >= 0),
            output_bytes=sum(value.nbytes for value in outputs),
            doubts=(),
            unseen=frozenset(self.unseen),
            notes=(*self.notes, *self._free_branches(), *_told(self.misfits)),
            why_partial=causes_in_words(
                self.roots, len(self.following), self.unknown, frozenset(self.plain)
            ),
            deciding=tuple(self.deciding),
            origins=one_for_all_calls(self._paths),
        )

    def _free_branches(self) -> Iterator[str]:
        if self.free_branches:
            ifs = "one If" if self.free_branches == 1 else f"{self.free_branches:,} Ifs"
            yield f"Both branches of {ifs} without MACs are counted."

    def _peak_bytes(self) -> int:
        """Return the most bytes alive at once: inputs always, a result until its last reader."""
        changes = [0] * (len(self.events) + 2)
        always = 0
        for home, size in self._sizes.items():
            if self._born[home] < 0:
                always += size
                continue
            changes[self._born[home]] += size
            changes[self._last[home] + 1] -= size
        live = peak = 0
        for change in changes:
            live += change
            peak = max(peak, live)
        return always + peak


def _written_bytes(is_there: bool, value: Value) -> int:
    return value.nbytes if is_there else 0


def _is_there(node: Node, written: Sequence[Value]) -> list[bool]:
    """Return what of all that a node may write has a name; more than it has are in a sequence."""
    names = node.proto.output
    return [at >= len(names) or bool(names[at]) for at in range(len(written))]


def _element_bytes(results: Sequence[Value]) -> int:
    first = results[0] if results else Value()
    return max(1, first.nbytes // first.elements) if first.elements else 1


def _shapes(node: Node) -> tuple[Shape, ...]:
    """Return the shapes of what a node reads, each at its place; what is not there has none."""
    return tuple((one and one.shape) or () for one in node.inputs)


def _operand(value: Value) -> int | str | None:
    if value.source in (NETWORK_INPUT, CONSTANT):
        return value.name or (value.stored[0].name if value.stored else None)
    return value.source


def _layouts(node: Node, values: Sequence[Value]) -> list[tuple[Shape, Shape]]:
    """Return shape and strides of what a node writes and reads, the feature maps before all else.

    What has its channels last is seen as torch has it in `channels_last`.
    """
    found = [(value.shape or (), row_major(value.shape or ())) for value in values]
    if is_channels_last(node):
        found[:2] = [_channels_first(*one) for one in found[:2]]
    return found


def _channels_first(shape: Shape, strides: Shape) -> tuple[Shape, Shape]:
    """Return the same values with the last axis for the second."""
    return (*shape[:1], *shape[-1:], *shape[1:-1]), (*strides[:1], *strides[-1:], *strides[1:-1])


def _told(misfits: Iterable[str]) -> Iterator[str]:
    """Yield what to say of nodes that do not fit: the others mostly follow from the first."""
    texts = list(misfits)[1:]  # the first is why the total is partial
    yield from (f"{text}." for text in texts[:MOST_MISFITS])
    if len(texts) > MOST_MISFITS:
        yield f"Nor do {len(texts) - MOST_MISFITS} other nodes fit what they read."
