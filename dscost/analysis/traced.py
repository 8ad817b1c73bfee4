"""A traced torch model → its report."""

import gc
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial

from torch import nn

from dscost.analysis.counting import CountedModel, first_names, without_partner
from dscost.analysis.traced_layers import costs_of, counting_swaps, layers_of, totals_of
from dscost.errors import InputError
from dscost.layers.convolution import Shape
from dscost.networks.swaps import Swap, alone, find_swaps
from dscost.reports.records import (
    Block,
    Coverage,
    Doubt,
    Input,
    Report,
    SharedWeights,
    Totals,
    unknown_operators,
)
from dscost.sources import ModuleSource
from dscost.timing import Setting
from dscost.tracing import Arguments, Event, Parameter, Trace, trace
from dscost.tracing.rules import gradient_macs


@contextmanager
def _collector_paused() -> Iterator[None]:
    """Keep Python from looking for garbage among the many objects of a trace: there is none."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


@_collector_paused()
def analyze_module(
    source: ModuleSource,
    arguments: Arguments,
    *,
    target: str,
    strict: bool = False,
    train: bool = False,
) -> CountedModel:
    """Return any torch model counted on the given arguments; `train` counts the backward pass too.

    Raises:
        InputError: The model cannot be run on them, or `strict` and an operator is of unknown cost.
    """
    try:
        with source.importing():
            traced = trace(source.module, arguments, training=train, make_real=source.make_real)
    except InputError as error:
        if source.stated is None:
            raise
        raise InputError(f"{error}; the input is {source.stated}, --input gives another") from error
    if strict and traced.unknown:
        raise InputError(f"{target}: operators of unknown cost: {', '.join(_unknown(traced))}")
    swaps = tuple(find_swaps(traced.events, traced.outputs))
    reporting = partial(report_of, target=target, source=source.kind)
    if not train:
        notes = [*source.notes, *_without_partner(traced, swaps)]
        report = reporting(traced, arguments, swaps, notes=notes)
        return CountedModel(report, swaps, TracedVersions(source, arguments, traced))
    traced = traced._replace(events=with_backward(traced))
    notes = [*source.notes, TRAINING_NOTE]
    if traced.trained is not None and not traced.trained:
        notes.append(UNTRAINED_NOTE)
    report = reporting(traced, arguments, (), notes=notes)
    layers = tuple(counting_swaps(report.layers, traced.events, swaps))
    return CountedModel(report._replace(layers=layers))


TRAINING_NOTE = (
    "Training: MACs are those of forward and backward; "
    "bytes and peak memory are of the forward pass."
)


UNTRAINED_NOTE = (
    "Nothing that the model returns needs a gradient, so there is no backward pass to count."
)


def with_backward(traced: Trace) -> list[Event]:
    """Return the events of a trace with the MACs of their gradients added.

    A product has one gradient per operand, each of as many MACs as the product itself. It is
    computed where something trainable lies behind the operand and nothing in between has switched
    gradients off. Attention is two products. A recurrent layer counts two gradients as soon as
    anything behind it is trainable.
    """
    events = list(traced.events)
    for at, is_reached in enumerate(_reached(traced)):
        event = events[at]
        if is_reached and event.differentiable:
            events[at] = event._replace(macs=event.macs + _backward_macs(event))
    return events


def _reached(traced: Trace) -> list[bool]:
    """Return for each event whether a gradient of what the model returns comes back to it."""
    if traced.trained is None:  # it returns nothing that is known; then everything may be wanted
        return [True] * len(traced.events)
    wanted = [at in traced.trained for at in range(len(traced.events))]
    for at in reversed(range(len(wanted))):
        if wanted[at]:
            for source in traced.events[at].gradients_to:
                wanted[source] = True
    return wanted


def _backward_macs(event: Event) -> int:
    if event.gradient_macs is not None:
        return event.gradient_macs
    return gradient_macs(event.operator, event.macs, event.needing)


class TracedVersions:
    """A traced model that can be written anew with some of its swaps done."""

    def __init__(self, source: ModuleSource, arguments: Arguments, traced: Trace) -> None:
        self._source, self._arguments, self.traced = source, arguments, traced
        self.importing = source.importing

    def layer_of(self, swap: Swap) -> tuple[str, Shape]:
        """Return the layer that a swap stands with, and the shape of its input."""
        first = self.traced.events[swap.positions[0]]
        return first.module, first.batched_input_shape

    def totals(self, swaps: Sequence[Swap]) -> Totals:
        """Return what the versions cost with these swaps and no others."""
        return totals_of(self.traced, costs_of(self.traced), self._arguments, swaps)

    def build(self, variant: str, swaps: Sequence[Swap]) -> tuple[nn.Module, Mapping[str, str]]:
        """Return a version of the model with values, and why layers had to be left, by name."""
        from dscost.modules.building import with_values
        from dscost.rewriting.versions import rewritten

        module = with_values(self._source.module, self._source.make_real)
        if variant == "as_is":
            return module, {}
        return rewritten(module, self.traced.events, swaps, variant)

    def arguments(self, setting: Setting) -> Arguments:
        """Return the arguments with values: of a mere shape random ones, or 0 for integers."""
        arguments = self._arguments
        if setting.batch is not None:
            arguments = arguments.with_batch(setting.batch)
        return arguments.with_values(**setting.place)


def report_of(
    traced: Trace,
    arguments: Arguments,
    swaps: Sequence[Swap],
    *,
    target: str,
    source: str,
    notes: Sequence[str] = (),
) -> Report:
    """Return the report of a trace."""
    events, costs = traced.events, costs_of(traced)
    counted = sum(event.macs > 0 or event.conv is not None for event in events)
    free = len(events) - counted - sum(traced.unknown.values())
    doubts = (*traced.doubts, *_unused(traced))
    return Report(
        target=target,
        source=source,
        inputs=tuple(
            Input(tuple(t.shape), str(t.dtype).removeprefix("torch.")) for t in arguments.tensors
        ),
        totals=totals_of(traced, costs, arguments, swaps),
        layers=tuple(layers_of(traced, costs, swaps)),
        coverage=Coverage(counted, free, _unknown(traced), _unknown_in(traced)),
        shared_weights=tuple(_shared(traced)),
        peak_activation_bytes=traced.peak_activation_bytes,
        warnings=(*notes, *traced.notes, *_partial(traced), *(doubt.text for doubt in doubts)),
        doubts=doubts,
        blocks=_blocks(traced),
    )


def _without_partner(traced: Trace, swaps: Sequence[Swap]) -> Iterator[str]:
    """Yield what to say of depthwise layers that are in no pair; one that runs twice is one."""
    events = [traced.events[at] for at in alone(traced.events, swaps)]
    return without_partner(
        [module for module, _ in dict.fromkeys((event.module, event.kernel) for event in events)]
    )


def _blocks(traced: Trace) -> dict[str, Block]:
    """Return the modules that hold others, each with the last result in it."""
    last = {event.module: at for at, event in enumerate(traced.events)}
    holding: dict[str, int] = {}
    for module, at in sorted(last.items(), key=lambda item: -item[1]):
        path = module.rpartition(".")[0]
        while path and path not in holding:  # what holds it has ended no earlier, and is known then
            holding[path] = max(at, last.get(path, 0))
            path = path.rpartition(".")[0]
    events, types = traced.events, traced.types
    return {
        path: Block(types[path], events[holding[path]].output_shape)
        for path in reversed(holding)
        if path in types
    }


def _unknown(traced: Trace) -> tuple[str, ...]:
    return unknown_operators(traced.unknown)


def _unknown_in(traced: Trace) -> Mapping[str, Mapping[str, int]]:
    """Return which layers ran operators of unknown cost; what left no event is the root's."""
    found = {}
    for name, times in sorted(traced.unknown.items()):
        layers = Counter(event.module for event in traced.events if event.operator == name)
        layers[""] += times - layers.total()
        found[name] = {layer: number for layer, number in layers.items() if number > 0}
    return found


def _shared(traced: Trace) -> Iterator[SharedWeights]:
    """Yield what several layers read, one entry for each order in which layers first read it."""
    readers: dict[str, dict[str, None]] = {}
    for event in traced.events:
        for name in event.weights:
            readers.setdefault(name, {})[event.module] = None
    together: dict[tuple[str, ...], list[Parameter]] = {}
    for parameter in traced.parameters:
        layers = tuple(readers.get(parameter.name, ()))
        if len(layers) > 1:
            together.setdefault(layers, []).append(parameter)
    for layers, shared in together.items():
        params = sum(one.numel for one in shared)
        yield SharedWeights(layers, params, sum(one.nbytes for one in shared))


def _partial(traced: Trace) -> Iterator[str]:
    if traced.unknown:
        yield f"The total is partial: operators of unknown cost: {', '.join(_unknown(traced))}."


def _unused(traced: Trace) -> Iterator[Doubt]:
    mentioned = traced.read | traced.unseen
    unread = [parameter for parameter in traced.parameters if parameter.name not in mentioned]
    if unread:
        shown = first_names(parameter.name.rpartition(".")[0] for parameter in unread)
        count = sum(parameter.numel for parameter in unread)
        yield Doubt("unused", f"Never used: {count:,} parameters of {shown}.")
