"""Laws that tracing obeys on any network: it agrees with torch's own counter, with itself, and with counting."""

import random
from collections.abc import Callable
from itertools import count as counting

import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from properties import BETWEEN, dear_law
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

import dscost
from dscost.analysis.architectures import peak_elements
from dscost.layers.convolution import Shape, conv2d
from dscost.layers.others import (
    ACTIVATIONS,
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
from dscost.modules.building import Network
from dscost.networks.architectures import build, builtin_names, find_builtin
from dscost.networks.network import NETWORK_INPUT, Operation, network_cost
from dscost.networks.swaps import find_swaps, with_variant
from dscost.reports.figures import SUMMED, Cost, summed
from dscost.reports.records import Report

VARIANTS = ("standard", "depthwise_separable")


def figures(cost: Cost) -> dict[str, float]:
    """Return every figure of a cost, none of which a network may leave unknown."""
    found = cost.to_dict()
    unknown = {name for name, value in found.items() if value is None}
    assert unknown <= ({"flops_per_byte"} if not cost.traffic_bytes else set())
    return found


def flop_counter_macs(model: nn.Module, *shapes: Shape) -> int:
    inputs = [torch.empty(shape, device="meta") for shape in shapes]
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        model.to("meta").eval().requires_grad_(False)(*inputs)
    flops: int = counter.get_total_flops()
    return flops // 2


def torch_module(operations: list[Operation]) -> nn.Module:
    with torch.device("meta"):
        return Network(operations)


# -- random networks of our own operations


class Builder:
    """A list of operations under construction; every result is read, except the last."""

    def __init__(self, shape: Shape) -> None:
        self.shape, self.operations = shape, list[Operation]()
        self._numbers = counting()

    @property
    def last(self) -> int:
        return len(self.operations) - 1

    def shape_of(self, position: int) -> Shape:
        return self.shape if position == NETWORK_INPUT else self.operations[position].output_shape

    def add(self, spec: Spec, *sources: int) -> int:
        sources = sources or (self.last,)
        shapes = tuple(self.shape_of(source) for source in sources)
        name = f"op{next(self._numbers)}"
        self.operations.append(Operation(name, spec, sources, shapes, spec.output_shape(*shapes)))
        return self.last


def divisors(*numbers: int) -> list[int]:
    return [d for d in range(1, min(numbers) + 1) if all(number % d == 0 for number in numbers)]


def add_conv(builder: Builder, choose: random.Random) -> None:
    _, channels, height, width = builder.shape_of(builder.last)
    kernel = (choose.choice([1, 1, 2, 3, 3, 4]), choose.choice([1, 1, 2, 3, 3, 5]))
    dilation = (choose.choice([1, 1, 2]), choose.choice([1, 1, 2]))
    if choose.random() < 0.2:
        stride, padding = (1, 1), "same"
    else:
        stride = (choose.choice([1, 1, 2]), choose.choice([1, 1, 3]))
        padding = tuple(choose.randint(0, 2) for _ in kernel)
        for size, k, p, d in zip((height, width), kernel, padding, dilation, strict=True):
            if size + 2 * p < d * (k - 1) + 1:
                return
    kind = choose.choice(["depthwise", "pointwise", "any"])
    if kind == "depthwise":
        groups, out_channels = channels, channels * choose.choice([1, 1, 2])
    else:
        out_channels = choose.choice([1, 2, 3, 4, 6, 8])
        groups = choose.choice(divisors(channels, out_channels))
    if kind == "pointwise":
        kernel, stride, padding, dilation, groups = (
            (1, 1),
            (1, 1),
            (0, 0),
            (1, 1),
            choose.choice([1, groups]),
        )
    builder.add(
        conv2d(
            channels, out_channels, kernel, stride=stride, padding=padding, dilation=dilation, groups=groups,
            bias=choose.random() < 0.4,
        )
    )  # fmt: skip


def add_pool(builder: Builder, choose: random.Random) -> None:
    shape = builder.shape_of(builder.last)
    kernel = tuple(min(choose.randint(1, 3), size) for size in shape[2:])
    stride = tuple(choose.randint(1, 2) for _ in kernel)
    builder.add(
        PoolSpec(choose.choice(["max", "avg"]), kernel, stride, tuple(k // 2 for k in kernel))
    )


def add_gate(builder: Builder, choose: random.Random) -> None:
    start = builder.last
    channels = builder.shape_of(start)[1]
    squeezed = max(1, channels // 2)
    builder.add(GlobalPoolSpec(), start)
    builder.add(conv2d(channels, squeezed, 1, bias=True))
    builder.add(ActivationSpec(choose.choice(["relu", "silu"])))
    builder.add(conv2d(squeezed, channels, 1, bias=True))
    builder.add(ActivationSpec(choose.choice(["sigmoid", "hard_sigmoid"])))
    builder.add(JoinSpec("multiply"), start, builder.last)


def add_residual(builder: Builder, choose: random.Random) -> None:
    start = builder.last
    channels = builder.shape_of(start)[1]
    hidden = channels * choose.choice([1, 2])
    builder.add(conv2d(channels, hidden, 1))
    builder.add(BatchNormSpec(hidden))
    builder.add(ActivationSpec("relu6"))
    builder.add(conv2d(hidden, hidden, 3, padding=1, groups=choose.choice([1, hidden])))
    if choose.random() < 0.5:
        add_gate(builder, choose)
    builder.add(ActivationSpec("hard_swish"))
    builder.add(conv2d(hidden, channels, 1))
    builder.add(JoinSpec("add"), *choose.sample([start, builder.last], 2))


def add_separable(builder: Builder, choose: random.Random) -> None:
    """A depthwise convolution, some of what may lie between, and a pointwise one."""
    channels, times = builder.shape_of(builder.last)[1], choose.choice([1, 1, 2])
    stride, kernel = choose.randint(1, 2), choose.choice([3, 5])
    builder.add(
        conv2d(channels, channels * times, kernel, stride=stride, padding=kernel // 2, groups=channels,
               bias=choose.random() < 0.3)
    )  # fmt: skip
    between = [
        BatchNormSpec(channels * times),
        ActivationSpec(choose.choice(sorted(ACTIVATIONS))),
        DropoutSpec(0.2),
    ]
    for spec in choose.sample(between, choose.randint(0, 3)):
        builder.add(spec)
    if choose.random() < 0.4:
        add_gate(builder, choose)
    out_channels = choose.choice([2, 4, 6])
    builder.add(
        conv2d(
            channels * times,
            out_channels,
            1,
            groups=choose.choice(divisors(channels, out_channels)),
        )
    )


def add_simple(builder: Builder, choose: random.Random) -> None:
    shape = builder.shape_of(builder.last)
    builder.add(
        choose.choice(
            [
                BatchNormSpec(shape[1]),
                ActivationSpec(choose.choice(sorted(ACTIVATIONS))),
                DropoutSpec(0.1),
                GlobalPoolSpec(shape[2:]),
            ]
        )
    )


def add_head(builder: Builder, choose: random.Random) -> None:
    builder.add(GlobalPoolSpec(choose.choice([(1, 1), (2, 1)])))
    builder.add(FlattenSpec())
    builder.add(LinearSpec(builder.shape_of(builder.last)[1], 5, bias=choose.random() < 0.5))
    builder.add(ActivationSpec("softmax"))


PARTS: list[Callable[[Builder, random.Random], None]] = [
    *(
        add_conv,
        add_conv,
        add_separable,
        add_separable,
        add_simple,
        add_simple,
        add_pool,
        add_gate,
        add_residual,
    ),
]


@st.composite
def networks(draw: st.DrawFn) -> list[Operation]:
    choose = draw(st.randoms(use_true_random=False))
    builder = Builder(
        (
            choose.randint(1, 2),
            choose.choice([1, 2, 3, 4, 8]),
            choose.randint(1, 9),
            choose.randint(1, 9),
        )
    )
    for _ in range(choose.randint(1, 6)):
        choose.choice(PARTS)(builder, choose)
    if choose.random() < 0.3:
        add_head(builder, choose)
    assume(builder.operations)
    return builder.operations


def traced(operations: list[Operation]) -> Report:
    return dscost.analyze(
        torch_module(operations), input=operations[0].input_shapes[0], strict=True
    )


same_with_even_kernel = pytest.mark.filterwarnings(
    "ignore:Using padding='same' with even kernel:UserWarning"
)


@same_with_even_kernel
@dear_law
@given(networks())
def test_a_traced_network_costs_what_its_operations_cost(operations: list[Operation]) -> None:
    assert figures(traced(operations).totals.as_is) == figures(network_cost(operations, 4))


@same_with_even_kernel
@dear_law
@given(networks())
def test_a_traced_network_has_the_peak_memory_of_its_operations(
    operations: list[Operation],
) -> None:
    assert traced(operations).peak_activation_bytes == 4 * peak_elements(operations)


@same_with_even_kernel
@dear_law
@given(networks())
def test_a_traced_network_counts_what_torch_counts(operations: list[Operation]) -> None:
    shape = operations[0].input_shapes[0]
    assert traced(operations).totals.as_is.macs == flop_counter_macs(
        torch_module(operations), shape
    )


@same_with_even_kernel
@dear_law
@given(networks())
def test_totals_of_a_traced_network_are_the_sum_of_its_layers(operations: list[Operation]) -> None:
    report = traced(operations)
    total = summed(layer.cost for layer in report.layers)
    for figure in SUMMED:
        assert getattr(total, figure) == getattr(report.totals.as_is, figure)


@same_with_even_kernel
@dear_law
@given(networks())
def test_layers_of_a_traced_network_are_its_operations(operations: list[Operation]) -> None:
    moving = [operation for operation in operations if operation.spec.moves_data]
    layers = traced(operations).layers
    assert [(x.name, x.type, x.op) for x in layers] == [
        (x.name, x.spec.type, x.spec.op) for x in moving
    ]
    assert [x.output_shape for x in layers] == [x.output_shape for x in moving]
    assert [x.conv for x in layers] == [x.conv for x in moving]


@same_with_even_kernel
@dear_law
@given(networks())
def test_both_variants_of_a_traced_network_cost_what_those_of_its_operations_cost(
    operations: list[Operation],
) -> None:
    totals, swaps = traced(operations).totals, find_swaps(operations)
    for variant in VARIANTS:
        expected = network_cost(with_variant(operations, swaps, variant), 4)
        assert (variant, figures(getattr(totals, variant))) == (variant, figures(expected))


@same_with_even_kernel
@dear_law
@given(networks())
def test_a_converted_network_traces_to_what_was_promised(operations: list[Operation]) -> None:
    promised, swaps = traced(operations).totals, find_swaps(operations)
    for variant in VARIANTS:
        converted = traced(with_variant(operations, swaps, variant)).totals.as_is
        assert (variant, figures(converted)) == (variant, figures(getattr(promised, variant)))


@same_with_even_kernel
@dear_law
@given(networks(), st.integers(2, 5))
def test_macs_and_activations_grow_with_the_batch_and_parameters_do_not(
    operations: list[Operation], times: int
) -> None:
    model, shape = torch_module(operations), operations[0].input_shapes[0]
    one = dscost.analyze(model, input=shape)
    more = dscost.analyze(model, input=shape, batch=shape[0] * times)
    assert more.totals.as_is.macs == times * one.totals.as_is.macs
    assert more.totals.as_is.params == one.totals.as_is.params
    assert one.peak_activation_bytes is not None
    assert more.peak_activation_bytes == times * one.peak_activation_bytes


# -- random modules of torch, of every kind


class Residual(nn.Module):
    def __init__(self, *body: nn.Module) -> None:
        super().__init__()
        self.body = nn.Sequential(*body)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.body(x)


class Dense(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.grow, self.shrink = (
            nn.Conv2d(channels, 2, 3, padding=1),
            nn.Conv2d(channels + 2, channels, 1),
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.shrink(torch.cat([x, self.grow(x).relu_()], 1))


class Tokens(nn.Module):
    """Applies something to the positions of a feature map as a sequence."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, x: Tensor) -> Tensor:
        result = self.inner(x.flatten(2).transpose(1, 2))
        result = result[0] if isinstance(result, tuple) else result
        return result.transpose(1, 2).reshape(x.shape)


class Attention(nn.Module):
    def __init__(self, channels: int, *, fused: bool) -> None:
        super().__init__()
        self.qkv, self.out, self.fused = (
            nn.Linear(channels, 3 * channels),
            nn.Linear(channels, channels),
            fused,
        )

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = self.qkv(x).unflatten(-1, (3, 2, -1)).permute(2, 0, 3, 1, 4).unbind(0)
        if self.fused:
            x = nn.functional.scaled_dot_product_attention(q, k, v)
        else:
            x = torch.einsum("bhqk,bhkd->bhqd", (q @ k.mT).softmax(-1), v)
        return self.out(x.transpose(1, 2).flatten(2))


CHANNELS = 4

BLOCKS: list[Callable[[random.Random], nn.Module]] = [
    lambda choose: nn.Conv2d(
        CHANNELS, CHANNELS, 3, padding="same", groups=choose.choice([1, 2, 4])
    ),
    lambda choose: nn.ConvTranspose2d(
        CHANNELS, CHANNELS, 3, padding=1, groups=choose.choice([1, 2, 4])
    ),
    lambda choose: nn.Sequential(nn.BatchNorm2d(CHANNELS), nn.ReLU(inplace=choose.random() < 0.5)),
    lambda choose: nn.Sequential(
        nn.Conv2d(CHANNELS, CHANNELS, 2, stride=2),
        nn.Upsample(scale_factor=2),
        nn.GroupNorm(2, CHANNELS),
    ),
    lambda choose: nn.Sequential(
        nn.PixelUnshuffle(2), nn.Conv2d(4 * CHANNELS, 4 * CHANNELS, 1), nn.PixelShuffle(2)
    ),
    lambda choose: Residual(
        nn.Conv2d(CHANNELS, 6, 1), nn.GELU(), nn.Conv2d(6, CHANNELS, 5, padding=2, groups=2)
    ),
    lambda choose: Dense(CHANNELS),
    lambda choose: Tokens(nn.LSTM(CHANNELS, CHANNELS // 2, batch_first=True, bidirectional=True)),
    lambda choose: Tokens(nn.GRU(CHANNELS, CHANNELS, num_layers=2, batch_first=True)),
    lambda choose: Tokens(
        nn.Sequential(nn.LayerNorm(CHANNELS), Attention(CHANNELS, fused=choose.random() < 0.5))
    ),
    lambda choose: Tokens(nn.TransformerEncoderLayer(CHANNELS, 2, 6, batch_first=True)),
    lambda choose: Tokens(
        nn.Sequential(nn.Linear(CHANNELS, 8), nn.SiLU(), nn.Dropout(), nn.Linear(8, CHANNELS))
    ),
    lambda choose: Tokens(nn.Conv1d(16, 16, 3, padding=1, groups=choose.choice([1, 4]))),
]

SHAPE = (2, CHANNELS, 4, 4)


@st.composite
def modules(draw: st.DrawFn) -> nn.Module:
    choose = draw(st.randoms(use_true_random=False))
    with torch.device("meta"):
        blocks = [choose.choice(BLOCKS)(choose) for _ in range(choose.randint(1, 4))]
    if choose.random() < 0.4:
        blocks.append(choose.choice(blocks))  # shared
    return nn.Sequential(*blocks)


def macs_of(model: nn.Module) -> int:
    return dscost.analyze(model, input=SHAPE, strict=True).totals.as_is.macs


@dear_law
@given(modules())
def test_any_module_counts_what_torch_counts(model: nn.Module) -> None:
    assert macs_of(model) == flop_counter_macs(model, SHAPE)


@dear_law
@given(modules())
def test_totals_of_any_module_are_the_sum_of_its_layers(model: nn.Module) -> None:
    report = dscost.analyze(model, input=SHAPE)
    total = summed(layer.cost for layer in report.layers)
    for figure in SUMMED:
        assert getattr(total, figure) == getattr(report.totals.as_is, figure)
    assert report.totals.as_is.params == sum(parameter.numel() for parameter in model.parameters())
    assert {layer.name for layer in report.layers} <= {name for name, _ in model.named_modules()}


@dear_law
@given(modules(), modules())
def test_a_chain_costs_what_its_parts_cost(first: nn.Module, second: nn.Module) -> None:
    whole, one, two = (
        dscost.analyze(model, input=SHAPE).totals.as_is
        for model in (nn.Sequential(first, second), first, second)
    )
    assert (whole.macs, whole.traffic_bytes) == (
        one.macs + two.macs,
        one.traffic_bytes + two.traffic_bytes,
    )
    assert whole.params == one.params + two.params


@dear_law
@given(modules())
def test_running_twice_costs_twice_and_weighs_once(model: nn.Module) -> None:
    once, twice = (
        dscost.analyze(model, input=SHAPE),
        dscost.analyze(nn.Sequential(model, model), input=SHAPE),
    )
    assert twice.totals.as_is.macs == 2 * once.totals.as_is.macs
    assert twice.totals.as_is.traffic_bytes == 2 * once.totals.as_is.traffic_bytes
    assert twice.totals.as_is.params == once.totals.as_is.params
    assert [layer.calls for layer in twice.layers] == [2 * layer.calls for layer in once.layers]


@dear_law
@given(modules())
def test_both_methods_of_verify_agree(model: nn.Module) -> None:
    verified = dscost.verify(model, input=SHAPE)
    assert verified.agrees, verified.differences


@dear_law
@given(modules())
def test_training_costs_at_least_twice_and_at_most_three_times(model: nn.Module) -> None:
    forward = macs_of(model)
    training = dscost.analyze(model, input=SHAPE, train=True, strict=True).totals.as_is.macs
    assert 2 * forward <= training <= 3 * forward


class LooksAtValues(nn.Module):
    """Forces a run for real."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, x: Tensor) -> Tensor:
        return self.inner(x if x.sum().item() < float("inf") else -x)


@dear_law
@given(modules())
def test_a_run_for_real_counts_what_meta_tensors_promised(model: nn.Module) -> None:
    """The shapes and layouts that the tracer works out are those that the kernels make."""
    on_meta, real = (
        dscost.analyze(model, input=SHAPE),
        dscost.analyze(LooksAtValues(model), input=SHAPE),
    )
    assert any("for real" in warning for warning in real.warnings)
    assert real.totals.as_is.macs == on_meta.totals.as_is.macs
    if any(isinstance(module, nn.TransformerEncoderLayer) for module in model.modules()):
        return  # a single fused operator on the CPU
    inside = {layer.name.removeprefix("inner."): layer for layer in real.layers if layer.name}
    for layer in on_meta.layers:
        same = inside[layer.name]
        assert (same.cost, same.calls, same.output_shape) == (
            layer.cost,
            layer.calls,
            layer.output_shape,
        )


# -- built-ins


@pytest.mark.parametrize("name", sorted(set(builtin_names()) - BETWEEN))
def test_a_builtin_traced_from_its_torch_module_costs_the_same_in_all_three_versions(
    name: str,
) -> None:
    counted = dscost.analyze(name)
    network = torch_module(list(build(find_builtin(name), overrides={}).operations))
    report = dscost.analyze(network, input=counted.inputs[0].shape)
    for version in ("as_is", *VARIANTS):
        assert (version, figures(getattr(report.totals, version))) == (
            version,
            figures(getattr(counted.totals, version)),
        )
    assert report.peak_activation_bytes == counted.peak_activation_bytes


@pytest.mark.parametrize(
    "name", ["mobilenet_v1", "mobilenet_v2", "mobilenet_v3_small", "mobilenet_v3_large"]
)
def test_the_pairs_of_a_traced_mobilenet_are_those_of_the_builtin(name: str) -> None:
    counted = dscost.analyze(name)
    network = torch_module(list(build(find_builtin(name), overrides={}).operations))
    report = dscost.analyze(network, input=counted.inputs[0].shape)
    begun = {layer.name: dict(layer.variants) for layer in counted.layers if layer.variants}
    assert begun
    assert {layer.name: dict(layer.variants) for layer in report.layers if layer.variants} == begun
    assert {x.name: x.pair for x in report.layers if x.pair and x.op == "convolution"} == {
        x.name: x.pair for x in counted.layers if x.pair and x.op == "convolution"
    }


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize(
    "name", ["resnet18", "mobilenet_v2", "mobilenet_v3_small", "efficientnet_b0", "xception"]
)
def test_a_converted_builtin_traces_to_what_the_what_if_column_promised(
    name: str, variant: str
) -> None:
    counted = dscost.analyze(name)
    operations = list(build(find_builtin(name), overrides={}).operations)
    converted = torch_module(with_variant(operations, find_swaps(operations), variant))
    report = dscost.analyze(converted, input=counted.inputs[0].shape)
    assert figures(report.totals.as_is) == figures(getattr(counted.totals, variant))
