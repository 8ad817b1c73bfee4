"""An architecture as data → its analytic report, and what writes it in versions. No torch."""

from collections.abc import Iterator, Mapping, Sequence
from math import prod
from typing import TYPE_CHECKING

from dscost.analysis.counting import CountedModel, stages_cost, without_partner
from dscost.layers.convolution import Shape
from dscost.layers.variants import BOTH_WAYS, VERSIONS, formula_ratio
from dscost.networks.network import (
    NETWORK_INPUT,
    Operation,
    consumers,
    network_cost,
    operation_cost,
    overwrites,
    stage_costs,
)
from dscost.notation.units import dtype_bytes
from dscost.reports.records import Coverage, Input, Layer, Report, Totals

if TYPE_CHECKING:
    from torch import nn

    from dscost.analysis.targets import Request
    from dscost.networks.swaps import Swap
    from dscost.runtimes.programs import Program
    from dscost.sources import ArchitectureSource
    from dscost.timing import Setting
    from dscost.traces.calls import Call
    from dscost.tracing import Arguments


def count_architecture(
    source: "ArchitectureSource", request: "Request", shape: Shape | None, *, target: str
) -> CountedModel:
    """Return the analytic report of an architecture, with what it takes to time it.

    Its input `(B, C, H, W)` is by default of the model's own size. An `InputError` says that it, or
    a setting, is wrong.
    """
    from dscost.networks.architectures import build
    from dscost.networks.swaps import alone, find_swaps

    dtype = request.dtype or "float32"
    element_bytes = dtype_bytes(dtype)
    overrides = request.settings or {}
    network = build(source.architecture, overrides=overrides, shape=shape, batch=request.batch)
    operations = network.operations
    swaps = tuple(find_swaps(operations))
    versions = ArchitectureVersions(operations, network.input_shape, element_bytes)
    free = sum(operation.op not in ("convolution", "linear") for operation in operations)
    report = Report(
        target=target,
        source=source.kind,
        inputs=(Input(network.input_shape, dtype),),
        totals=versions.totals(swaps),
        layers=tuple(_layers(operations, swaps, element_bytes)),
        coverage=Coverage(counted=len(operations) - free, free=free),
        shared_weights=(),
        settings=network.settings,
        peak_activation_bytes=peak_elements(operations) * element_bytes,
        warnings=tuple(without_partner([operations[at].name for at in alone(operations, swaps)])),
    )
    return CountedModel(report, swaps, versions)


class ArchitectureVersions:
    """An architecture that can be written anew with some of its swaps done."""

    def __init__(
        self, operations: tuple[Operation, ...], input_shape: Shape, element_bytes: int
    ) -> None:
        self.operations = operations
        self._input_shape, self._element_bytes = input_shape, element_bytes

    def layer_of(self, swap: "Swap") -> tuple[str, Shape]:
        """Return the layer that a swap stands with, and the shape of its input."""
        first = self.operations[swap.positions[0]]
        return first.name, first.input_shapes[0]

    def totals(self, swaps: "Sequence[Swap]") -> Totals:
        """Return what the versions cost with these swaps and no others."""
        written = [self.written(name, swaps) for name in VERSIONS]
        return Totals(*(network_cost(one, self._element_bytes) for one in written))

    def build(self, variant: str, swaps: "Sequence[Swap]") -> "tuple[nn.Module, Mapping[str, str]]":
        """Return a version of the model by its name; no layer has to be left."""
        from dscost.modules.building import Network

        return Network(self.written(variant, swaps)), {}

    def arguments(self, setting: "Setting") -> "Arguments":
        """Return a random input."""
        from dscost.modules.building import random_input
        from dscost.tracing import Arguments

        shape = (setting.batch or self._input_shape[0], *self._input_shape[1:])
        return Arguments((random_input(shape, **setting.place),), {})

    def program(
        self, variant: str, swaps: "Sequence[Swap]", setting: "Setting", *, seed: int = 0
    ) -> "tuple[Program, Mapping[str, str]]":
        """Return a version as data, which takes no torch; no layer has to be left."""
        from dscost.networks.network import with_batch
        from dscost.runtimes.programs import OperationsProgram

        operations = self.written(variant, swaps)
        if setting.batch is not None:
            operations = with_batch(operations, setting.batch)
        return OperationsProgram("the whole model", operations, seed), {}

    def calls(self, variant: str, swaps: "Sequence[Swap]") -> "Iterator[Call]":
        """Return what counters of others would see of a version, were it written in torch."""
        from dscost.conventions.operations import calls_of

        return calls_of(self.written(variant, swaps))

    def written(self, variant: str, swaps: "Sequence[Swap]") -> Sequence[Operation]:
        """Return the operations of a version of the model by its name."""
        from dscost.networks.swaps import with_variant

        if variant == "as_is":
            return self.operations
        return with_variant(self.operations, swaps, variant)


def peak_elements(operations: Sequence[Operation]) -> int:
    """Return the most values alive at once: the input always, a result until its last reader.

    An activation that alone reads a computed result overwrites it; a view or an identity has its
    source's values.
    """
    readers = consumers(operations)
    home: dict[int, int] = {NETWORK_INPUT: NETWORK_INPUT}
    last_use: dict[int, int] = {}
    for position, operation in enumerate(operations):
        source = operation.sources[0]
        shares = not operation.spec.moves_data or overwrites(operations, readers, operation)
        home[position] = home[source] if shares else position
        for place in (*operation.sources, position):
            last_use[home[place]] = position
    live = peak = prod(operations[0].input_shapes[0])
    for position, operation in enumerate(operations):
        if home[position] == position:
            live += prod(operation.output_shape)
            peak = max(peak, live)
        for storage in {home[place] for place in (*operation.sources, position)} - {NETWORK_INPUT}:
            if last_use[storage] == position < len(operations) - 1:
                live -= prod(operations[storage].output_shape)
    return peak


def _layers(
    operations: Sequence[Operation], swaps: Sequence["Swap"], element_bytes: int
) -> Iterator[Layer]:
    first_of = {swap.positions[0]: swap for swap in swaps}
    pair_of = {at: swap.positions for swap in swaps if swap.is_pair for at in swap.positions}
    for position, operation in enumerate(operations):
        swap, pair = first_of.get(position), pair_of.get(position)
        layer = Layer(
            name=operation.name,
            type=operation.spec.type,
            op=operation.op,
            calls=1,
            conv=operation.conv,
            input_shape=operation.input_shapes[0],
            output_shape=operation.output_shape,
            cost=operation_cost(operation, element_bytes),
            pair=operations[pair[0]].name if pair else None,
            ends_pair=pair is not None and position == pair[-1],
        )
        if swap:
            shape, ways = layer.input_shape, {way: swap.convs(way) for way in BOTH_WAYS}
            stages = {way: stage_costs(ways[way], shape, element_bytes) for way in BOTH_WAYS}
            layer = layer._replace(
                stages=stages,
                variants={way: stages_cost(parts) for way, parts in stages.items()},
                formula_ratio=formula_ratio(swap.standard, swap.depth_multiplier),
                separable_pairs=int(swap.is_pair),
                could_be_separable=int(not swap.is_pair),
            )
        yield layer
