from typing import NamedTuple

import pytest

from dscost.layers.convolution import conv2d
from dscost.layers.others import (
    ActivationSpec,
    BatchNormSpec,
    DropoutSpec,
    GlobalPoolSpec,
    JoinSpec,
    PoolSpec,
    Spec,
)
from dscost.layers.variants import depthwise_separable
from dscost.networks.architectures import build, builtin_names, find_builtin
from dscost.networks.network import NETWORK_INPUT, Operation, network_cost
from dscost.networks.swaps import Swap, find_swaps, with_variant

VARIANTS = ("standard", "depthwise_separable")
INPUT = (2, 8, 12, 12)

RELU, NORM = ActivationSpec("relu"), BatchNormSpec(8)
DEPTHWISE = conv2d(8, 8, 3, padding=1, groups=8)
POINTWISE = conv2d(8, 16, 1)
SQUEEZE, EXPAND = conv2d(8, 2, 1, bias=True), conv2d(2, 8, 1, bias=True)


class Step(NamedTuple):
    """A layer and what it reads, by position; without that, the layer before it."""

    spec: Spec
    sources: tuple[int, ...]


def network(*layers: Spec | Step, shape: tuple[int, ...] = INPUT) -> list[Operation]:
    operations: list[Operation] = []
    for position, layer in enumerate(layers):
        spec, sources = layer if isinstance(layer, Step) else (layer, (position - 1,))
        inputs = tuple(
            shape if source == NETWORK_INPUT else operations[source].output_shape
            for source in sources
        )
        operations.append(
            Operation(f"layer{position}", spec, sources, inputs, spec.output_shape(*inputs))
        )
    return operations


def gate_on(start: int) -> tuple[Spec | Step, ...]:
    """Squeeze-and-excite on the output of the layer before, which stands at `start`."""
    last = start + 5
    return (
        GlobalPoolSpec(),
        SQUEEZE,
        RELU,
        EXPAND,
        ActivationSpec("sigmoid"),
        Step(JoinSpec("multiply"), (start, last)),
    )


def assert_valid(operations: list[Operation]) -> None:
    """Every source stands before its reader, and every shape is what its spec makes of what it reads."""
    assert len({operation.name for operation in operations}) == len(operations)
    for position, operation in enumerate(operations):
        for source, shape in zip(operation.sources, operation.input_shapes, strict=True):
            assert NETWORK_INPUT <= source < position
            assert source == NETWORK_INPUT or operations[source].output_shape == shape
        assert operation.spec.output_shape(*operation.input_shapes) == operation.output_shape


@pytest.mark.parametrize(
    "between",
    [
        pytest.param((), id="nothing"),
        pytest.param((NORM,), id="normalisation"),
        pytest.param((RELU,), id="activation"),
        pytest.param((NORM, RELU, DropoutSpec(0.1)), id="all three"),
        pytest.param(gate_on(0), id="squeeze-and-excite"),
        pytest.param((NORM, RELU, *gate_on(2)), id="normalisation, activation, squeeze-and-excite"),
        pytest.param((*gate_on(0), NORM, *gate_on(7)), id="two gates"),
    ],
)
def test_a_depthwise_convolution_whose_result_reaches_a_pointwise_one_is_a_pair(
    between: tuple[Spec | Step, ...],
) -> None:
    operations = network(DEPTHWISE, *between, POINTWISE, BatchNormSpec(16))
    whole = conv2d(8, 16, 3, padding=1)
    swaps = find_swaps(operations)
    stages = (("depthwise", DEPTHWISE), ("pointwise", POINTWISE))
    assert swaps == [
        Swap(tuple(range(len(between) + 2)), whole, depth_multiplier=1, is_pair=True, pair=stages)
    ]
    assert swaps[0].convs("standard") == (("standard", whole),)
    assert swaps[0].convs("depthwise_separable") == (
        ("depthwise", DEPTHWISE),
        ("pointwise", POINTWISE),
    )

    rewritten = with_variant(operations, swaps, "standard")
    assert_valid(rewritten)
    assert [(operation.name, operation.spec) for operation in rewritten] == [
        ("layer0", whole),
        (operations[-1].name, BatchNormSpec(16)),
    ]
    assert with_variant(operations, swaps, "depthwise_separable") == operations


@pytest.mark.parametrize(
    "layers",
    [
        pytest.param((DEPTHWISE,), id="it ends the network"),
        pytest.param((DEPTHWISE, RELU), id="nothing but an activation follows"),
        pytest.param((DEPTHWISE, conv2d(8, 16, 1, stride=2)), id="the 1x1 has a stride"),
        pytest.param((DEPTHWISE, conv2d(8, 16, 1, stride=(1, 2))), id="the 1x1 has a stride in width"),
        pytest.param((DEPTHWISE, conv2d(8, 16, 1, padding=1)), id="the 1x1 is padded"),
        pytest.param((DEPTHWISE, conv2d(8, 8, 1, groups=8)), id="the 1x1 is depthwise"),
        pytest.param((DEPTHWISE, DEPTHWISE), id="another depthwise follows"),
        pytest.param((DEPTHWISE, PoolSpec("max", (2, 2), (2, 2), (0, 0)), POINTWISE), id="pooling between"),
        pytest.param((DEPTHWISE, GlobalPoolSpec(), POINTWISE), id="global pooling between"),
        pytest.param((DEPTHWISE, POINTWISE, Step(POINTWISE, (0,)), Step(JoinSpec("add"), (1, 2))),
                     id="two 1x1 read the depthwise"),
        pytest.param((DEPTHWISE, NORM, POINTWISE, conv2d(16, 8, 1), Step(JoinSpec("add"), (3, 1))),
                     id="the normalised result is read elsewhere"),
        pytest.param((DEPTHWISE, Step(JoinSpec("add"), (0, NETWORK_INPUT)), POINTWISE), id="a sum between"),
        pytest.param((DEPTHWISE, Step(JoinSpec("multiply"), (0, 0)), POINTWISE), id="squared between"),
        pytest.param((DEPTHWISE, *gate_on(0), Step(JoinSpec("add"), (6, 0)), POINTWISE),
                     id="the ungated result is read elsewhere"),
        pytest.param((DEPTHWISE, GlobalPoolSpec((12, 12)), Step(conv2d(8, 8, 3, padding=1), (1,)),
                      Step(JoinSpec("multiply"), (0, 2)), conv2d(8, 8, 1, groups=8)), id="a gate with a 3x3"),
    ],
)  # fmt: skip
def test_what_else_reads_a_depthwise_convolution_makes_no_pair(
    layers: tuple[Spec | Step, ...],
) -> None:
    assert [swap for swap in find_swaps(network(*layers)) if swap.is_pair] == []


@pytest.mark.parametrize(
    ("channels", "depthwise", "pointwise"),
    [
        pytest.param(
            3,
            conv2d(3, 6, 3, groups=3),
            conv2d(6, 4, 1, groups=2),
            id="groups do not divide the input",
        ),
        pytest.param(
            3,
            conv2d(3, 6, 3, groups=3),
            conv2d(6, 6, 1, groups=3),
            id="as many groups as input channels",
        ),
        pytest.param(1, conv2d(1, 1, 3), conv2d(1, 1, 1), id="one channel throughout"),
    ],
)
def test_stages_that_stand_for_no_separable_convolution_are_no_pair(
    channels: int, depthwise: Spec, pointwise: Spec
) -> None:
    operations = network(depthwise, pointwise, shape=(1, channels, 8, 8))
    swaps = find_swaps(operations)
    assert swaps == []
    for variant in VARIANTS:
        assert with_variant(operations, swaps, variant) == operations


def test_of_one_input_channel_several_outputs_are_a_dense_convolution() -> None:
    dense = conv2d(1, 8, 3, padding=1)
    operations = network(dense, conv2d(8, 16, 1), shape=(1, 1, 8, 8))
    swaps = find_swaps(operations)
    assert swaps == [Swap((0,), dense, depth_multiplier=1, is_pair=False)]
    separable = with_variant(operations, swaps, "depthwise_separable")
    assert [operation.spec.params for operation in separable] == [9, 8, 8 * 16]
    # what it becomes is read as the pair that stands for it
    assert [(swap.standard, swap.is_pair) for swap in find_swaps(separable)] == [(dense, True)]


def test_the_standard_of_a_pair_has_the_bias_and_groups_of_the_pointwise_stage() -> None:
    depthwise = conv2d(8, 16, (3, 5), stride=2, padding=(1, 2), groups=8, bias=True)
    (swap,) = find_swaps(
        network(depthwise, BatchNormSpec(16), conv2d(16, 12, 1, groups=4, bias=True))
    )
    assert swap._replace(pair=()) == Swap(
        (0, 1, 2),
        conv2d(8, 12, (3, 5), stride=2, padding=(1, 2), groups=4, bias=True),
        depth_multiplier=2,
        is_pair=True,
    )


def test_a_standard_convolution_becomes_two_stages_named_after_it() -> None:
    conv = conv2d(8, 16, 3, stride=2, padding=1, bias=True)
    operations = network(conv, BatchNormSpec(16), Step(POINTWISE, (NETWORK_INPUT,)))
    swaps = find_swaps(operations)
    assert swaps == [Swap((0,), conv, depth_multiplier=1, is_pair=False)]
    rewritten = with_variant(operations, swaps, "depthwise_separable")
    assert_valid(rewritten)
    assert [operation.name for operation in rewritten] == [
        "layer0.depthwise",
        "layer0.pointwise",
        "layer1",
        "layer2",
    ]
    assert [operation.sources for operation in rewritten] == [
        (NETWORK_INPUT,),
        (0,),
        (1,),
        (NETWORK_INPUT,),
    ]
    assert tuple(
        (operation.name.split(".")[1], operation.spec) for operation in rewritten[:2]
    ) == depthwise_separable(conv)
    assert with_variant(operations, swaps, "standard") == operations


def test_a_convolution_within_a_residual_keeps_its_readers() -> None:
    conv = conv2d(8, 8, 3, padding=1)
    operations = network(conv, RELU, conv, Step(JoinSpec("add"), (2, 0)), DEPTHWISE, conv2d(8, 8, 1),
                         Step(JoinSpec("add"), (5, 3)))  # fmt: skip
    swaps = find_swaps(operations)
    assert [(swap.positions, swap.is_pair) for swap in swaps] == [
        ((0,), False),
        ((2,), False),
        ((4, 5), True),
    ]
    for variant, count in (("standard", 6), ("depthwise_separable", 9)):
        rewritten = with_variant(operations, swaps, variant)
        assert_valid(rewritten)
        assert len(rewritten) == count
        assert rewritten[-1].output_shape == INPUT


def test_only_chosen_swaps_are_written() -> None:
    conv = conv2d(8, 8, 3, padding=1)
    operations = network(conv, conv)
    rewritten = with_variant(operations, find_swaps(operations)[1:], "depthwise_separable")
    assert [operation.name for operation in rewritten] == [
        "layer0",
        "layer1.depthwise",
        "layer1.pointwise",
    ]


@pytest.mark.parametrize("name", builtin_names())
def test_every_builtin_can_be_written_both_ways(name: str) -> None:
    operations = list(build(find_builtin(name), overrides={}).operations)
    swaps = find_swaps(operations)
    assert_valid(operations)
    for variant in VARIANTS:
        rewritten = with_variant(operations, swaps, variant)
        assert_valid(rewritten)
        assert rewritten[-1].output_shape == operations[-1].output_shape
        left = {swap.is_pair for swap in find_swaps(rewritten)}
        assert left <= {variant == "depthwise_separable"}


def test_mobilenet_v1_made_of_standard_convolutions_costs_what_the_paper_prints() -> None:
    operations = list(build(find_builtin("mobilenet_v1"), overrides={}).operations)
    rewritten = with_variant(operations, find_swaps(operations), "standard")
    assert network_cost(operations, 4).macs == 568_740_352
    assert network_cost(rewritten, 4).macs == 4_867_293_184
    assert sum(op.spec.params for op in rewritten if op.spec.op != "normalization") == 29_282_120
