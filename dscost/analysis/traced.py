"""A traced torch model → its report."""

import gc
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import lru_cache
from math import prod
from typing import Any

from torch import nn

from dscost.analysis.counting import NAMES_SHOWN, CountedModel, without_partner
from dscost.errors import InputError
from dscost.layers.convolution import Shape
from dscost.layers.variants import BOTH_WAYS, SEPARABLE, Convs, formula_ratio
from dscost.networks.network import stage_costs
from dscost.networks.swaps import Swap, alone, find_swaps, reading_input
from dscost.reports.figures import (
    Cost,
    chain_cost,
    cost_of_calls,
    made_of,
    summed,
    weights_cost,
)
from dscost.reports.records import (
    Block,
    Coverage,
    Doubt,
    Input,
    Layer,
    Operator,
    Report,
    SharedWeights,
    Stage,
    Totals,
    unknown_operators,
)
from dscost.sources import ModuleSource
from dscost.timing import Setting
from dscost.tracing import Arguments, Event, Parameter, Trace, trace
from dscost.tracing.rules import gradient_macs
from dscost.tracing.sparse import nbytes_of


def analyze_module(
    source: ModuleSource,
    arguments: Arguments,
    *,
    target: str,
    strict: bool = False,
    train: bool = False,
) -> CountedModel:
    """Return any torch model counted on the given arguments; with `train`, its MACs include the backward pass.

    Raises:
        InputError: The model cannot be run on them, or `strict` and an operator is of unknown cost.
    """
    with _collector_paused():
        return _analyzed(source, arguments, target=target, strict=strict, train=train)


@contextmanager
def _collector_paused() -> Iterator[None]:
    """Keep Python from looking for garbage among the many objects of a trace, all of which are soon gone or kept."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def _analyzed(
    source: ModuleSource, arguments: Arguments, *, target: str, strict: bool, train: bool
) -> CountedModel:
    try:
        with source.importing():
            traced = trace(source.module, arguments, training=train, make_real=source.make_real)
    except InputError as error:
        if source.stated is None:
            raise
        raise InputError(f"{error}; the input is {source.stated}, --input gives another") from error
    named: dict[str, Any] = {"target": target, "source": source.kind}
    if strict and traced.unknown:
        raise InputError(f"{target}: operators of unknown cost: {', '.join(_unknown(traced))}")
    swaps = tuple(find_swaps(traced.events, traced.outputs))
    if not train:
        notes = (*source.notes, *_without_partner(traced, swaps))
        report = report_of(traced, arguments, swaps, notes=notes, **named)
        return CountedModel(report, swaps, TracedVersions(source, arguments, traced))
    traced = traced._replace(events=with_backward(traced))
    notes = (
        *source.notes,
        TRAINING_NOTE,
        *(() if traced.trained is None or traced.trained else (UNTRAINED_NOTE,)),
    )
    report = report_of(traced, arguments, (), notes=notes, **named)
    return CountedModel(
        report._replace(layers=tuple(_counting_swaps(report.layers, traced.events, swaps)))
    )


TRAINING_NOTE = "Training: MACs are those of forward and backward; bytes and peak memory are of the forward pass."


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
    wanted = _reached(traced)
    return [
        event._replace(macs=event.macs + _backward_macs(event))
        if wanted[at] and event.differentiable
        else event
        for at, event in enumerate(traced.events)
    ]


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
        return _totals(self.traced, _costs(self.traced), self._arguments, swaps)

    def build(self, variant: str, swaps: Sequence[Swap]) -> tuple[nn.Module, tuple[str, ...]]:
        """Return the model with values as `as_is`, `standard` or `depthwise_separable`, and the layers left."""
        from dscost.modules.building import with_values
        from dscost.rewriting.versions import rewritten

        module = with_values(self._source.module, self._source.make_real)
        if variant == "as_is":
            return module, ()
        new = rewritten(module, self.traced.events, swaps, variant)
        return new.module, tuple(f"{name}: {reason}" for name, reason in new.left)

    def arguments(self, setting: Setting) -> Arguments:
        """Return the arguments with values: random numbers where only a shape was given, zeros for integers."""
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
    events, costs = traced.events, _costs(traced)
    counted = sum(event.macs > 0 or event.conv is not None for event in events)
    doubts = (*traced.doubts, *_unused(traced))
    return Report(
        target=target,
        source=source,
        inputs=tuple(
            Input(tuple(t.shape), str(t.dtype).removeprefix("torch.")) for t in arguments.tensors
        ),
        totals=_totals(traced, costs, arguments, swaps),
        layers=tuple(_layers(traced, costs, swaps)),
        coverage=Coverage(
            counted,
            len(events) - counted - sum(traced.unknown.values()),
            _unknown(traced),
            _unknown_in(traced),
        ),
        shared_weights=tuple(_shared(traced)),
        peak_activation_bytes=traced.peak_activation_bytes,
        warnings=(*notes, *traced.notes, *_partial(traced), *(doubt.text for doubt in doubts)),
        doubts=doubts,
        blocks=_blocks(traced),
    )


def _without_partner(traced: Trace, swaps: Sequence[Swap]) -> Iterator[str]:
    """Yield what to say of depthwise convolutions that are stages of no pair; one that runs twice is one."""
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
        yield SharedWeights(
            layers, sum(one.numel for one in shared), sum(one.nbytes for one in shared)
        )


def _partial(traced: Trace) -> Iterator[str]:
    if traced.unknown:
        yield f"The total is partial: operators of unknown cost: {', '.join(_unknown(traced))}."


def _unused(traced: Trace) -> Iterator[Doubt]:
    mentioned = traced.read | traced.unseen
    unread = [parameter for parameter in traced.parameters if parameter.name not in mentioned]
    if unread:
        modules = list(dict.fromkeys(parameter.name.rpartition(".")[0] for parameter in unread))
        shown = ", ".join(name or "(root)" for name in modules[:NAMES_SHOWN])
        more = f" and {len(modules) - NAMES_SHOWN} more" if len(modules) > NAMES_SHOWN else ""
        count = sum(parameter.numel for parameter in unread)
        yield Doubt("unused", f"Never used: {count:,} parameters of {shown}{more}.")


# -- totals


def _costs(traced: Trace) -> list[Cost]:
    """Return what each operator costs, with those weights that it is the first to read."""
    left = {parameter.name: parameter for parameter in traced.parameters}
    return [
        _cost_of(event, [left.pop(name) for name in event.weights if name in left])
        for event in traced.events
    ]


def _cost_of(event: Event, weights: Sequence[Parameter]) -> Cost:
    is_layer = event.macs and ("conv" in event.operator or "linear" in event.operator)
    return Cost(
        params=sum(one.numel for one in weights) if weights else 0,
        macs=event.macs,
        weight_bytes=sum(one.nbytes for one in weights) if weights else 0,
        input_bytes=event.input_bytes,
        output_bytes=event.output_bytes,
        traffic_bytes=event.traffic_bytes,
        activations=prod(event.output_shape) if is_layer else 0,
    )


def _weights_cost(parameters: Collection[Parameter]) -> Cost:
    return weights_cost(sum(one.numel for one in parameters), sum(one.nbytes for one in parameters))


def _totals(
    traced: Trace, costs: Sequence[Cost], arguments: Arguments, swaps: Sequence[Swap]
) -> Totals:
    events = summed(costs)
    as_is = made_of(calls=events, weights=_weights_cost(traced.parameters), ends=events)._replace(
        input_bytes=sum(map(nbytes_of, arguments.tensors)), output_bytes=traced.output_bytes
    )
    standard, separable = (_version(traced, costs, as_is, swaps, name) for name in BOTH_WAYS)
    return Totals(as_is, standard, separable)


def _version(
    traced: Trace, costs: Sequence[Cost], as_is: Cost, swaps: Sequence[Swap], variant: str
) -> Cost:
    """Return the cost with every swap written as `variant`: what goes is taken off, what comes is added."""
    due = [swap for swap in swaps if swap.is_pair != (variant == SEPARABLE)]
    if not due:
        return as_is
    events = traced.events
    gone = _with_computed_weights(events, due)
    kept = {name for at, event in enumerate(events) if at not in gone for name in event.weights}
    lost = {name for at in gone for name in events[at].weights} - kept
    new = _cost_of_swaps(events, due, variant)
    gone_weights = _weights_cost([one for one in traced.parameters if one.name in lost])
    return made_of(
        calls=as_is - summed(costs[at] for at in gone) + new,
        weights=as_is - gone_weights + new,
        ends=as_is,
    )


def _cost_of_swaps(events: Sequence[Event], swaps: Sequence[Swap], variant: str) -> Cost:
    """Return what swaps cost when written as `variant`; those of the same weights have them once."""
    costs = [
        chain_cost([stage.cost for stage in _stages_of(events, swap, variant)]) for swap in swaps
    ]
    return cost_of_calls(costs, [_weights_of(events, swap) for swap in swaps])


def _with_computed_weights(events: Sequence[Event], swaps: Sequence[Swap]) -> set[int]:
    """Return the positions of swaps and of what computes their weights from parameters, as weight norm does."""
    gone = {at for swap in swaps for at in swap.positions}
    firsts = {swap.positions[0] for swap in swaps}
    # the first that a swap reads is its input
    waiting = [
        source for at in gone for source in events[at].sources[at in firsts :] if source not in gone
    ]
    reads_input = reading_input(events) if waiting else []
    while waiting:
        at = waiting.pop()
        if at >= 0 and at not in gone and not reads_input[at]:
            gone.add(at)
            waiting += events[at].sources
    return gone


def _weights_of(events: Sequence[Event], swap: Swap) -> tuple[object, ...]:
    """Return what tells the weights of a swap apart: those of its convolutions, or who computes them."""
    kernels: list[object] = []
    for at in swap.positions:
        event = events[at]
        if (event.conv or at == swap.positions[-1]) and len(event.operands) > 1:
            kernel = event.kernel
            kernels.append(
                kernel
                if isinstance(kernel, str)
                else (event.module, kernel if not event.module else None)
            )
    return tuple(kernels)


def _stages_of(events: Sequence[Event], swap: Swap, variant: str) -> tuple[Stage, ...]:
    first = events[swap.positions[0]]
    is_complex = first.unusual == "complex"
    return _stages(swap.convs(variant), first.batched_input_shape, first.element_bytes, is_complex)


@lru_cache(maxsize=8192)
def _stages(convs: Convs, shape: Shape, element_bytes: int, is_complex: bool) -> tuple[Stage, ...]:
    stages = stage_costs(convs, shape, element_bytes)
    return tuple(map(_of_complex_products, stages)) if is_complex else stages


def _of_complex_products(stage: Stage) -> Stage:
    """Return a stage whose multiply-accumulates are complex: four real ones each."""
    return stage._replace(cost=stage.cost._replace(macs=4 * stage.cost.macs))


# -- layers


def _layers(traced: Trace, costs: Sequence[Cost], swaps: Sequence[Swap]) -> Iterable[Layer]:
    """Yield a layer for every module that ran an operator or owns a parameter, in the order in which they ran."""
    by_module: dict[str, list[int]] = {}
    for position, event in enumerate(traced.events):
        by_module.setdefault(event.module, []).append(position)
    first_of: dict[str, list[Swap]] = {}
    pair_of: dict[int, str] = {}
    ends: set[int] = set()
    for swap in swaps:
        name = traced.events[swap.positions[0]].module
        first_of.setdefault(name, []).append(swap)
        if swap.is_pair:
            pair_of |= dict.fromkeys(swap.positions, name)
            ends.add(swap.positions[-1])
    for module, positions in by_module.items():
        events = [traced.events[at] for at in positions]
        of_events = [costs[at] for at in positions]
        layer = _layer(traced, module, events, of_events)
        if len(events) > 1:
            layer = layer._replace(operators=_operators(events, of_events))
        if pair_of:
            # a convolution that pads its input by itself belongs to its pair: what counts is what
            # multiplies
            deciding = [at for at in positions if traced.events[at].macs] or positions
            if all(at in pair_of for at in deciding):
                layer = layer._replace(
                    pair=pair_of[deciding[0]], ends_pair=any(at in ends for at in positions)
                )
        trades = first_of.get(module)
        yield layer if trades is None else _with_trade(layer, traced.events, trades)
    unread: dict[str, list[Parameter]] = {}
    read = {name for event in traced.events for name in event.weights}
    for parameter in traced.parameters:
        if parameter.name in read:
            continue
        unread.setdefault(parameter.name.rpartition(".")[0], []).append(parameter)
    for module, own in unread.items():
        yield _idle_layer(traced, module, _weights_cost(own))


def _operators(events: Sequence[Event], costs: Sequence[Cost]) -> tuple[Operator, ...]:
    """Return what the events of a layer compute, in the order of first runs; nothing where that is one thing."""
    together: dict[object, list[int]] = {}
    for at, event in enumerate(events):
        if event.macs or event.conv is not None:
            together.setdefault((event.op, event.conv), []).append(at)
    if len(together) < 2:
        return ()
    return tuple(
        _operator([events[at] for at in group], [costs[at] for at in group])
        for group in together.values()
    )


def _operator(events: Sequence[Event], costs: Sequence[Cost]) -> Operator:
    return Operator(events[0].op, events[0].conv, len(events), chain_cost(costs))


def _layer(traced: Trace, module: str, events: Sequence[Event], costs: Sequence[Cost]) -> Layer:
    heaviest = first = events[0]
    conv, cost, output_shape = first.conv, chain_cost(costs), first.output_shape
    if len(events) > 1:
        heaviest = max(events, key=lambda event: event.macs)
        convs = {event.conv for event in events if event.conv is not None}
        conv = convs.pop() if len(convs) == 1 else None
        last, output_shape = _first_result(traced, module, events[-1])
        cost = cost._replace(output_bytes=last.output_bytes)
    return Layer(
        module,
        traced.types[module],
        heaviest.op,
        traced.calls.get(module, 1),
        conv,
        first.input_shape,
        output_shape,
        cost,
    )


def _first_result(traced: Trace, module: str, last: Event) -> tuple[Event, Shape]:
    """Return what made the first result that a module returns, and the shape of that.

    Of a module that returns one tensor, or what another module made, its last event tells.
    """
    shape, at = traced.returned.get(module, ((), -1))
    if 0 <= at < len(traced.events) and traced.events[at].module == module:
        return traced.events[at], shape
    return last, last.output_shape


def _idle_layer(traced: Trace, module: str, cost: Cost) -> Layer:
    calls = traced.calls.get(module, 0)
    return Layer(module, traced.types.get(module, ""), "idle", calls, None, (), (), cost)


def _with_trade(layer: Layer, events: Sequence[Event], swaps: Sequence[Swap]) -> Layer:
    """Return the layer with the costs of both variants of the swaps it begins; all its calls are added up."""
    weights = [_weights_of(events, swap) for swap in swaps]
    first = swaps[0]
    pairs, others = _numbers(swaps, weights)
    return layer._replace(
        variants={name: _cost_of_swaps(events, swaps, name) for name in BOTH_WAYS},
        stages={name: _stages_of(events, first, name) for name in BOTH_WAYS},
        formula_ratio=formula_ratio(first.standard, first.depth_multiplier),
        separable_pairs=pairs,
        could_be_separable=others,
    )


def _numbers(swaps: Sequence[Swap], weights: Sequence[object]) -> tuple[int, int]:
    """Return how many pairs and how many other swaps there are; one that runs twice with the same weights is one."""
    distinct = dict(zip(weights, swaps, strict=True)).values()
    pairs = sum(swap.is_pair for swap in distinct)
    return pairs, len(distinct) - pairs


def _counting_swaps(
    layers: Iterable[Layer], events: Sequence[Event], swaps: Sequence[Swap]
) -> Iterator[Layer]:
    """Yield layers with the numbers of the swaps they begin, without what those would cost."""
    beginning: dict[str, list[Swap]] = {}
    for swap in swaps:
        beginning.setdefault(events[swap.positions[0]].module, []).append(swap)
    for layer in layers:
        own = beginning.get(layer.name, [])
        pairs, others = _numbers(own, [_weights_of(events, swap) for swap in own])
        yield layer._replace(separable_pairs=pairs, could_be_separable=others)
