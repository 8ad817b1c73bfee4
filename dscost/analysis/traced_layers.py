"""A trace → its layers and totals, with what swapping in both directions would cost."""

from collections.abc import Collection, Iterable, Iterator, Sequence
from functools import lru_cache
from math import prod

from dscost.analysis.counting import stages_cost
from dscost.devices.peaks import fastest
from dscost.layers.convolution import Shape
from dscost.layers.variants import BOTH_WAYS, SEPARABLE, Convs, formula_ratio
from dscost.networks.network import stage_costs
from dscost.networks.swaps import Swap, reading_input
from dscost.reports.figures import (
    Cost,
    chain_cost,
    cost_of_calls,
    made_of,
    summed,
    weights_cost,
)
from dscost.reports.records import Layer, Operator, Stage, Totals
from dscost.traces import Event, Parameter, Trace
from dscost.traces.rules import writes_activations

# -- operators


def costs_of(traced: Trace) -> list[Cost]:
    """Return what each operator costs, with those weights that it is the first to read.

    First in time, not by layers: a layer may run before and after others that share its weights.
    """
    return [
        _cost_of(event, weights)
        for event, weights in zip(traced.events, _first_read(traced), strict=True)
    ]


def _first_read(traced: Trace) -> Iterator[list[Parameter]]:
    """Yield for each operator the weights that it is the first to read."""
    left = {parameter.name: parameter for parameter in traced.parameters}
    for event in traced.events:
        yield [left.pop(name) for name in event.weights if name in left]


def _frozen(parameters: Iterable[Parameter]) -> int:
    return sum(one.numel for one in parameters if not one.trainable)


def _cost_of(event: Event, weights: Sequence[Parameter]) -> Cost:
    is_layer = event.macs and writes_activations(event.operator, event.op)
    return Cost(
        params=sum(one.numel for one in weights) if weights else 0,
        macs=event.macs * event.times,
        weight_bytes=sum(one.nbytes for one in weights) if weights else 0,
        input_bytes=event.input_bytes,
        output_bytes=event.output_bytes,
        traffic_bytes=event.traffic_bytes * event.times,
        activations=prod(event.output_shape) * event.times if is_layer else 0,
    )


def _weights_cost(parameters: Collection[Parameter]) -> Cost:
    return weights_cost(sum(one.numel for one in parameters), sum(one.nbytes for one in parameters))


# -- totals


def totals_of(
    traced: Trace, costs: Sequence[Cost], input_bytes: int, swaps: Sequence[Swap]
) -> Totals:
    """Return what a model costs as it is and with swaps written both ways, by its `costs_of`."""
    events = summed(costs)
    as_is = made_of(calls=events, weights=_weights_cost(traced.parameters), ends=events)._replace(
        input_bytes=input_bytes, output_bytes=traced.output_bytes
    )
    standard, separable = (_version(traced, costs, as_is, swaps, name) for name in BOTH_WAYS)
    return Totals(as_is, standard, separable)


def _version(
    traced: Trace, costs: Sequence[Cost], as_is: Cost, swaps: Sequence[Swap], variant: str
) -> Cost:
    """Return the cost with every swap written as `variant`: what goes off, and what comes on."""
    due = [swap for swap in swaps if swap.is_pair != (variant == SEPARABLE)]
    if not due:
        return as_is
    # Counting the difference, not the whole anew: what no swap touches is known by its trace alone.
    events = traced.events
    gone = with_computed_weights(events, due)
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
    """Return what swaps cost when written as `variant`; weights that they share count once."""
    calls = [swap for swap in swaps for _ in range(events[swap.positions[0]].times)]
    costs = [stages_cost(_stages_of(events, swap, variant)) for swap in calls]
    return cost_of_calls(costs, [_weights_of(events, swap) for swap in calls])


def with_computed_weights(events: Sequence[Event], swaps: Sequence[Swap]) -> set[int]:
    """Return the positions of swaps and of what computes their weights, as weight norm does."""
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
    """Return what tells the weights of a swap apart: their names, or who computes them."""
    kernels: list[object] = []
    for at in swap.positions:
        event = events[at]
        if (event.conv or at == swap.positions[-1]) and len(event.operands) > 1:
            if isinstance(event.kernel, str):
                kernels.append(event.kernel)
            else:  # computed, by the module that runs it, or in the root by what makes it
                kernels.append((event.module, None if event.module else event.kernel))
    return tuple(kernels)


def _stages_of(events: Sequence[Event], swap: Swap, variant: str) -> tuple[Stage, ...]:
    first = events[swap.positions[0]]
    is_complex = first.unusual == "complex"
    stages = _stages(
        swap.convs(variant), first.batched_input_shape, first.element_bytes, is_complex
    )
    if first.stored_bits is None:
        return stages
    return tuple(_as_stored(stage, *first.stored_bits) for stage in stages)


@lru_cache(maxsize=8192)
def _stages(convs: Convs, shape: Shape, element_bytes: int, is_complex: bool) -> tuple[Stage, ...]:
    stages = stage_costs(convs, shape, element_bytes)
    return tuple(map(_of_complex_products, stages)) if is_complex else stages


def _as_stored(stage: Stage, bits: int, bias_bits: int) -> Stage:
    """Return a stage whose weights and bias take so many bits an element."""
    conv, cost = stage.conv, stage.cost
    biases = conv.out_channels if conv is not None and conv.bias else 0
    nbytes = -(-(cost.params - biases) * bits // 8) + biases * bias_bits // 8
    more = nbytes - cost.weight_bytes
    return stage._replace(
        cost=cost._replace(weight_bytes=nbytes, traffic_bytes=cost.traffic_bytes + more)
    )


def _of_complex_products(stage: Stage) -> Stage:
    """Return a stage whose multiply-accumulates are complex: four real ones each."""
    return stage._replace(cost=stage.cost._replace(macs=4 * stage.cost.macs))


# -- layers


def layers_of(traced: Trace, costs: Sequence[Cost], swaps: Sequence[Swap]) -> Iterable[Layer]:
    """Yield a layer for every module that ran an operator or owns a parameter, in running order."""
    by_module: dict[str, list[int]] = {}
    for position, event in enumerate(traced.events):
        by_module.setdefault(event.module, []).append(position)
    beginning = _beginning(traced.events, swaps)
    frozen = list(map(_frozen, _first_read(traced)))
    # a pair spans several modules, and is listed at the first
    pair_of = {at: swap.positions for swap in swaps if swap.is_pair for at in swap.positions}
    ends = {swap.positions[-1] for swap in swaps if swap.is_pair}
    for module, positions in by_module.items():
        events = [traced.events[at] for at in positions]
        of_events = [costs[at] for at in positions]
        own_frozen = sum(frozen[at] for at in positions)
        layer = _layer(traced, module, events, of_events, own_frozen)
        if len(events) > 1:
            layer = layer._replace(operators=_operators(events, of_events))
        if pair_of:
            # a convolution that pads its input by itself belongs to its pair: what counts is what
            # multiplies
            deciding = [at for at in positions if traced.events[at].macs] or positions
            if all(at in pair_of for at in deciding):
                pair = traced.events[pair_of[deciding[0]][0]].module
                layer = layer._replace(pair=pair, ends_pair=not ends.isdisjoint(positions))
        own_swaps = beginning.get(module)
        yield layer if own_swaps is None else _with_variants(layer, traced.events, own_swaps)
    # what no operator read has a size all the same: its modules follow, as layers that did not run
    read = {name for event in traced.events for name in event.weights}
    unread: dict[str, list[Parameter]] = {}
    for parameter in traced.parameters:
        if parameter.name not in read:
            unread.setdefault(parameter.name.rpartition(".")[0], []).append(parameter)
    for module, own in unread.items():
        kind, calls = traced.types.get(module, ""), traced.calls.get(module, 0)
        layer = Layer(module, kind, "idle", calls, None, (), (), _weights_cost(own))
        yield layer._replace(frozen_params=_frozen(own))


def _beginning(events: Sequence[Event], swaps: Sequence[Swap]) -> dict[str, list[Swap]]:
    """Return the swaps that begin in each module."""
    beginning: dict[str, list[Swap]] = {}
    for swap in swaps:
        beginning.setdefault(events[swap.positions[0]].module, []).append(swap)
    return beginning


def _operators(events: Sequence[Event], costs: Sequence[Cost]) -> tuple[Operator, ...]:
    """Return what a layer's events compute, in the order of first runs; nothing if one thing."""
    together: dict[object, list[int]] = {}
    for at, event in enumerate(events):
        if event.macs or event.conv is not None:
            together.setdefault((event.op, event.conv), []).append(at)
    if len(together) < 2:
        return ()
    operators = []
    for group in together.values():
        first, cost = events[group[0]], chain_cost([costs[at] for at in group])
        calls = sum(events[at].times for at in group)
        operators.append(Operator(first.op, first.conv, calls, cost))
    return tuple(operators)


def _layer(
    traced: Trace,
    module: str,
    events: Sequence[Event],
    costs: Sequence[Cost],
    frozen_params: int,
) -> Layer:
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
        frozen_params=frozen_params,
        origin=traced.origins.get(module),
        dtype=_dtype_of(events),
    )


def _dtype_of(events: Sequence[Event]) -> str | None:
    """Return what a layer multiplies in; of several what may be the fastest."""
    dtypes = {event.dtype for event in events if event.macs and event.dtype}
    return fastest(dtypes) if dtypes else None


def _first_result(traced: Trace, module: str, last: Event) -> tuple[Event, Shape]:
    """Return what made the first result that a module returns, and the shape of that.

    Of a module that returns one tensor, or what another module made, its last event tells.
    """
    shape, at = traced.returned.get(module, ((), -1))
    if 0 <= at < len(traced.events) and traced.events[at].module == module:
        return traced.events[at], shape
    return last, last.output_shape


def _with_variants(layer: Layer, events: Sequence[Event], swaps: Sequence[Swap]) -> Layer:
    """Return the layer with the costs of the swaps it begins, written both ways, over all calls."""
    first = swaps[0]
    return _with_numbers(layer, events, swaps)._replace(
        variants={name: _cost_of_swaps(events, swaps, name) for name in BOTH_WAYS},
        stages={name: _stages_of(events, first, name) for name in BOTH_WAYS},
        formula_ratio=formula_ratio(first.standard, first.depth_multiplier),
    )


def _with_numbers(layer: Layer, events: Sequence[Event], swaps: Sequence[Swap]) -> Layer:
    """Return the layer with how many pairs and others it begins; one that runs twice is one."""
    distinct = {_weights_of(events, swap): swap for swap in swaps}
    pairs = sum(swap.is_pair for swap in distinct.values())
    return layer._replace(separable_pairs=pairs, could_be_separable=len(distinct) - pairs)


def counting_swaps(
    layers: Iterable[Layer], events: Sequence[Event], swaps: Sequence[Swap]
) -> Iterator[Layer]:
    """Yield layers with the numbers of the swaps they begin, without what those would cost."""
    beginning = _beginning(events, swaps)
    for layer in layers:
        yield _with_numbers(layer, events, beginning.get(layer.name, []))
