"""The trace of a network → its report. No torch."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from dscost.analysis.counting import first_names, without_partner
from dscost.analysis.traced_layers import costs_of, layers_of, totals_of
from dscost.networks.swaps import Swap, alone
from dscost.reports.records import (
    Block,
    Coverage,
    Doubt,
    Input,
    Report,
    SharedWeights,
    unknown_operators,
)
from dscost.traces import Parameter, Trace


class Given(NamedTuple):
    """What a network was traced on.

    Args:
        inputs: Its inputs, in order.
        nbytes: Size of all of them.
    """

    inputs: tuple[Input, ...]
    nbytes: int


def report_of(
    traced: Trace,
    *,
    given: Given,
    swaps: Sequence[Swap],
    target: str,
    source: str,
    notes: Sequence[str] = (),
) -> Report:
    """Return the report of a trace."""
    events, costs = traced.events, costs_of(traced)
    counted = sum(event.times for event in events if event.macs > 0 or event.conv is not None)
    free = sum(event.times for event in events) - counted - sum(traced.unknown.values())
    doubts = (*traced.doubts, *_unused(traced))
    return Report(
        target=target,
        source=source,
        inputs=given.inputs,
        totals=totals_of(traced, costs, given.nbytes, swaps),
        layers=tuple(layers_of(traced, costs, swaps)),
        coverage=Coverage(counted, free, unknown_operators(traced.unknown), _unknown_in(traced)),
        shared_weights=tuple(_shared(traced)),
        peak_activation_bytes=traced.peak_activation_bytes,
        warnings=(*notes, *traced.notes, *_partial(traced), *(doubt.text for doubt in doubts)),
        doubts=doubts,
        blocks=_blocks(traced),
    )


def without_pair(traced: Trace, swaps: Sequence[Swap]) -> Iterator[str]:
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


def unknown_in_words(traced: Trace) -> str:
    """Return which operators are of unknown cost, each with how often it ran, or why."""
    return (
        traced.why_partial
        or f"operators of unknown cost: {', '.join(unknown_operators(traced.unknown))}"
    )


def _unknown_in(traced: Trace) -> Mapping[str, Mapping[str, int]]:
    """Return which layers ran operators of unknown cost; what left no event is the root's."""
    found = {}
    for name, times in sorted(traced.unknown.items()):
        layers = Counter[str]()
        for event in traced.events:
            if event.operator == name:
                layers[event.module] += event.times
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
        yield f"The total is partial: {unknown_in_words(traced)}."


def _unused(traced: Trace) -> Iterator[Doubt]:
    mentioned = traced.read | traced.unseen
    unread = [parameter for parameter in traced.parameters if parameter.name not in mentioned]
    if unread:
        shown = first_names(parameter.name.rpartition(".")[0] for parameter in unread)
        count = sum(parameter.numel for parameter in unread)
        yield Doubt("unused", f"Never used: {count:,} parameters of {shown}.")
