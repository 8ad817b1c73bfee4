from math import prod
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from properties import law

from dscost.layers.convolution import conv2d
from dscost.layers.others import (
    ActivationSpec,
    BatchNormSpec,
    DropoutSpec,
    FlattenSpec,
    GlobalPoolSpec,
    JoinSpec,
    LinearSpec,
    PoolSpec,
    Spec,
)
from dscost.networks.network import (
    NETWORK_INPUT,
    Operation,
    consumers,
    cost_of,
    network_cost,
    operation_cost,
    stage_costs,
)
from dscost.reports.figures import Cost, chain_cost

MAP, MAP_VALUES = (2, 16, 8, 8), 2 * 16 * 8 * 8


@pytest.mark.parametrize(
    ("spec", "inputs", "weights", "traffic"),
    [
        pytest.param(conv2d(16, 32, 3, padding=1, bias=True), [MAP], 32 * 16 * 9 + 32,
                     MAP_VALUES + (32 * 16 * 9 + 32) + 2 * MAP_VALUES, id="convolution"),
        pytest.param(conv2d(16, 16, 3, padding=1, groups=16), [MAP], 16 * 9,
                     MAP_VALUES + 16 * 9 + MAP_VALUES, id="depthwise convolution"),
        pytest.param(LinearSpec(8, 4), [MAP], 4 * 8 + 4,
                     MAP_VALUES + (4 * 8 + 4) + MAP_VALUES // 2, id="linear"),
        pytest.param(BatchNormSpec(16), [MAP], 2 * 16,
                     MAP_VALUES + 4 * 16 + MAP_VALUES, id="batch norm reads its running statistics too"),
        pytest.param(ActivationSpec("relu"), [MAP], 0, 2 * MAP_VALUES, id="activation"),
        pytest.param(PoolSpec("max", (2, 2), (2, 2), (0, 0)), [MAP], 0, MAP_VALUES + MAP_VALUES // 4, id="pooling"),
        pytest.param(GlobalPoolSpec(), [MAP], 0, MAP_VALUES + 2 * 16, id="global pooling"),
        pytest.param(JoinSpec("add"), [MAP, MAP], 0, 3 * MAP_VALUES, id="sum reads both"),
        pytest.param(JoinSpec("multiply"), [MAP, (2, 16, 1, 1)], 0, 2 * MAP_VALUES + 2 * 16, id="product with a gate"),
        pytest.param(FlattenSpec(), [MAP], 0, 0, id="flatten moves nothing"),
        pytest.param(DropoutSpec(), [MAP], 0, 0, id="dropout moves nothing"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("element_bytes", [1, 4])
def test_bytes_are_counted_by_hand(
    spec: Spec, inputs: list[Any], weights: int, traffic: int, element_bytes: int
) -> None:
    output = spec.output_shape(*inputs)
    cost = cost_of(spec, inputs, output, element_bytes)
    assert (cost.params, cost.weight_bytes) == (weights, weights * element_bytes)
    assert cost.input_bytes == sum(prod(shape) for shape in inputs) * element_bytes
    assert cost.output_bytes == prod(output) * element_bytes
    assert cost.traffic_bytes == traffic * element_bytes
    assert (
        operation_cost(
            Operation("it", spec, (NETWORK_INPUT,), tuple(inputs), output), element_bytes
        )
        == cost
    )


def test_intensity_is_flops_per_byte_and_unknown_where_nothing_moves() -> None:
    cost = cost_of(conv2d(16, 32, 1), [MAP], (2, 32, 8, 8), 4)
    assert cost.flops == 2 * (2 * 8 * 8 * 32 * 16)
    assert cost.flops_per_byte == cost.flops / (4 * (MAP_VALUES + 32 * 16 + 2 * MAP_VALUES))
    assert cost_of(FlattenSpec(), [MAP], (2, 1024), 4).flops_per_byte is None


def test_stages_read_what_the_stage_before_wrote() -> None:
    depthwise, pointwise = conv2d(16, 16, 3, stride=2, padding=1, groups=16), conv2d(16, 32, 1)
    first, second = stage_costs([("depthwise", depthwise), ("pointwise", pointwise)], MAP, 4)
    assert (first.name, first.input_shape, first.output_shape) == ("depthwise", MAP, (2, 16, 4, 4))
    assert (second.name, second.input_shape, second.output_shape) == (
        "pointwise",
        (2, 16, 4, 4),
        (2, 32, 4, 4),
    )
    chain = chain_cost([first.cost, second.cost])
    assert chain.macs == 2 * 4 * 4 * 16 * 9 + 2 * 4 * 4 * 32 * 16
    assert (chain.input_bytes, chain.output_bytes) == (4 * MAP_VALUES, 4 * 2 * 32 * 4 * 4)
    middle = 2 * 16 * 4 * 4
    assert chain.traffic_bytes == 4 * (
        (MAP_VALUES + 16 * 9 + middle) + (middle + 32 * 16 + 2 * 32 * 4 * 4)
    )


counts = st.integers(0, 10**12)
costs = st.builds(Cost, counts, counts, counts, counts, counts, counts)


@law
@given(st.lists(costs, min_size=1, max_size=8), st.data())
def test_costs_add_up_however_a_chain_is_cut(stages: list[Cost], data: st.DataObject) -> None:
    whole = chain_cost(stages)
    assert whole.macs == sum(stage.macs for stage in stages)
    assert (whole.input_bytes, whole.output_bytes) == (
        stages[0].input_bytes,
        stages[-1].output_bytes,
    )
    cut = data.draw(st.integers(0, len(stages)))
    parts = [chain_cost(part) for part in (stages[:cut], stages[cut:]) if part]
    assert chain_cost(parts) == whole


def branching() -> list[Operation]:
    conv = conv2d(16, 16, 3, padding=1)
    return [
        Operation("stem", conv, (NETWORK_INPUT,), (MAP,), MAP),
        Operation("body", conv, (0,), (MAP,), MAP),
        Operation("add", JoinSpec("add"), (1, 0), (MAP, MAP), MAP),
        Operation("twice", JoinSpec("add"), (2, 2), (MAP, MAP), MAP),
        Operation("outer", JoinSpec("add"), (3, NETWORK_INPUT), (MAP, MAP), MAP),
    ]


def test_readers_of_every_result_are_known() -> None:
    assert consumers(branching()) == [[1, 2], [2], [3, 3], [4], []]


def test_a_network_costs_the_sum_of_its_layers() -> None:
    cost = network_cost(branching(), 4)
    assert cost.params == 2 * 16 * 16 * 9
    assert cost.macs == 2 * (2 * 8 * 8 * 16 * 16 * 9)
    assert cost.traffic_bytes == 4 * (2 * (2 * MAP_VALUES + 16 * 16 * 9) + 3 * (3 * MAP_VALUES))
    assert (cost.input_bytes, cost.output_bytes) == (4 * MAP_VALUES, 4 * MAP_VALUES)
