"""Torch modules made from specs and operations: the right class, the right params, the right values."""

import weakref
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from dscost.errors import InputError
from dscost.layers.convolution import ConvSpec, Shape, conv2d
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
from dscost.layers.variants import depthwise_separable, standard
from dscost.modules.building import (
    Network,
    build_conv,
    build_module,
    build_stages,
    placed,
    random_input,
)
from dscost.networks.architectures import build, find_builtin, read_architecture

WriteFile = Callable[..., str]


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.manual_seed(0)


def network_of(path: str, shape: Shape | None = None) -> Network:
    operations = build(read_architecture(Path(path)), overrides={}, shape=shape).operations
    return Network(operations).eval().requires_grad_(False)


# -- single modules


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        pytest.param(conv2d(3, 8, 3), nn.Conv2d(3, 8, 3, bias=False), id="conv"),
        pytest.param(
            conv2d(8, 12, (5, 3), stride=(2, 1), padding=(4, 2), dilation=2, groups=4, bias=True),
            nn.Conv2d(8, 12, (5, 3), stride=(2, 1), padding=(4, 2), dilation=2, groups=4, bias=True),
            id="conv with everything",
        ),
        pytest.param(
            conv2d(4, 4, 3, padding=1, padding_mode="reflect"),
            nn.Conv2d(4, 4, 3, padding=1, padding_mode="reflect", bias=False),
            id="conv with reflected padding",
        ),
        pytest.param(
            conv2d(4, 4, 4, padding=None), nn.Conv2d(4, 4, 4, padding="same", bias=False), id="conv with same padding"
        ),
        pytest.param(
            ConvSpec(4, 6, (3,), (2,), (1,), (1,)), nn.Conv1d(4, 6, 3, stride=2, padding=1, bias=False), id="1-D conv"
        ),
        pytest.param(
            ConvSpec(4, 6, (3, 1, 2), (1, 1, 2), (1, 0, 0), (1, 1, 1), groups=2, bias=True),
            nn.Conv3d(4, 6, (3, 1, 2), stride=(1, 1, 2), padding=(1, 0, 0), groups=2),
            id="3-D conv",
        ),
        pytest.param(LinearSpec(12, 5), nn.Linear(12, 5), id="linear"),
        pytest.param(LinearSpec(12, 5, bias=False), nn.Linear(12, 5, bias=False), id="linear without bias"),
        pytest.param(BatchNormSpec(7), nn.BatchNorm2d(7), id="batch norm"),
        pytest.param(PoolSpec("max", (3, 2), (2, 1), (1, 0)), nn.MaxPool2d((3, 2), (2, 1), (1, 0)), id="max pool"),
        pytest.param(
            PoolSpec("max", (3, 3), (2, 2), (0, 0), ceil_mode=True),
            nn.MaxPool2d((3, 3), (2, 2), (0, 0), ceil_mode=True),
            id="max pool rounded up",
        ),
        pytest.param(PoolSpec("avg", (3, 2), (2, 1), (1, 0)), nn.AvgPool2d((3, 2), (2, 1), (1, 0)), id="average pool"),
        pytest.param(
            GlobalPoolSpec((2, 3)), nn.AdaptiveAvgPool2d((2, 3)), id="global pool"
        ),
        pytest.param(FlattenSpec(), nn.Flatten(), id="flatten"),
        pytest.param(DropoutSpec(0.25), nn.Dropout(0.25), id="dropout"),
    ],
)  # fmt: skip
def test_a_spec_becomes_the_module_that_torch_users_would_write(
    spec: Spec, expected: nn.Module
) -> None:
    module = build_module(spec)
    assert repr(module) == repr(expected)
    assert sum(p.numel() for p in module.parameters()) == spec.params
    assert [p.shape for p in module.parameters()] == [p.shape for p in expected.parameters()]
    assert type(module).__name__ == spec.type or len(getattr(spec, "kernel_size", (0, 0))) != 2


def test_the_running_statistics_of_a_batch_norm_are_its_buffers() -> None:
    module = build_module(BatchNormSpec(7))
    assert (
        sum(b.numel() for name, b in module.named_buffers() if name.startswith("running"))
        == BatchNormSpec(7).buffers
    )


REFERENCES: dict[str, Callable[[Tensor], Tensor]] = {
    "relu": F.relu,
    "relu6": F.relu6,
    "silu": F.silu,
    "hard_swish": F.hardswish,
    "hard_sigmoid": F.hardsigmoid,
    "sigmoid": torch.sigmoid,
    "gelu": F.gelu,
    "tanh": torch.tanh,
    "softmax": lambda x: torch.softmax(x, dim=1),
}


def test_every_activation_has_a_reference() -> None:
    assert set(REFERENCES) == set(ACTIVATIONS)


@pytest.mark.parametrize("shape", [(2, 6), (2, 6, 3, 4)], ids=["features", "maps"])
@pytest.mark.parametrize("kind", ACTIVATIONS)
def test_an_activation_computes_what_its_name_says(kind: str, shape: Shape) -> None:
    x = torch.randn(shape) * 4
    expected = REFERENCES[kind](x.clone())
    module = build_module(ActivationSpec(kind))
    assert type(module).__name__ == ActivationSpec(kind).type
    torch.testing.assert_close(module(x.clone()), expected)


@pytest.mark.parametrize(
    ("kind", "second", "expected"),
    [
        pytest.param("add", (2, 3, 4, 4), torch.add, id="sum"),
        pytest.param("multiply", (2, 3, 4, 4), torch.mul, id="product"),
        pytest.param("multiply", (2, 3, 1, 1), torch.mul, id="product with a gate"),
    ],
)
def test_a_join_is_the_elementwise_sum_or_product(
    kind: str, second: Shape, expected: Callable[[Tensor, Tensor], Tensor]
) -> None:
    module = build_module(JoinSpec(kind))
    assert type(module).__name__ == kind.capitalize()
    a, b = torch.randn(2, 3, 4, 4), torch.randn(second)
    assert torch.equal(module(a, b), expected(a, b))
    assert JoinSpec(kind).output_shape(a.shape, b.shape) == tuple(module(a, b).shape)


def test_a_variant_of_one_convolution_is_that_convolution() -> None:
    spec = conv2d(4, 6, 3, padding=1, bias=True)
    assert repr(build_stages(standard(spec))) == repr(nn.Conv2d(4, 6, 3, padding=1))


def test_a_variant_of_two_convolutions_runs_one_after_the_other() -> None:
    spec = conv2d(4, 6, 3, stride=2, padding=1, bias=True)
    stages = build_stages(depthwise_separable(spec, depth_multiplier=2))
    assert [name for name, _ in stages.named_children()] == ["depthwise", "pointwise"]
    x = torch.randn(2, 4, 9, 9)
    between = F.conv2d(x, stages.depthwise.weight, stride=2, padding=1, groups=4)
    expected = F.conv2d(between, stages.pointwise.weight, stages.pointwise.bias)
    torch.testing.assert_close(stages(x), expected)
    assert tuple(expected.shape) == spec.output_shape((2, 4, 9, 9))


def test_weights_keep_the_scale_of_the_signal_through_a_deep_network() -> None:
    with torch.no_grad():
        x = torch.randn(1, 32, 16, 16)
        for _ in range(40):
            x = F.relu(build_conv(conv2d(32, 32, 3, padding=1))(x))
    assert 1e-3 < x.std() < 1e3


# -- where and how


@pytest.mark.parametrize("memory_format", ["contiguous", "channels_last"])
@pytest.mark.parametrize("dtype", ["float32", "float64", "bfloat16"])
def test_dtype_and_memory_format_are_applied(dtype: str, memory_format: str) -> None:
    module = nn.Sequential(build_conv(conv2d(4, 8, 3, bias=True)), nn.BatchNorm2d(8), nn.Dropout())
    where = {"device": "cpu", "dtype": dtype, "memory_format": memory_format}
    same = placed(module, **where)
    x = random_input((2, 4, 6, 5), **where)
    kind = {"contiguous": torch.contiguous_format, "channels_last": torch.channels_last}[
        memory_format
    ]
    for tensor in (x, module[0].weight, same(x)):
        assert tensor.dtype == getattr(torch, dtype)
        assert tensor.is_contiguous(memory_format=kind)
    assert module[1].running_mean.dtype == getattr(torch, dtype)
    assert tuple(x.shape) == (2, 4, 6, 5)


def test_a_placed_module_is_for_inference() -> None:
    module = placed(
        build_module(LinearSpec(4, 2)), device="cpu", dtype="float32", memory_format="contiguous"
    )
    assert not module.training
    assert not any(p.requires_grad for p in module.parameters())


def test_complex_weights_of_a_placed_module_stay_complex() -> None:
    module = nn.Module()
    module.spectral = nn.Parameter(torch.tensor([1 + 2j]))
    same = placed(module, device="cpu", dtype="float32", memory_format="contiguous")
    assert same.spectral.dtype == torch.complex64
    assert same.spectral.item() == 1 + 2j


@pytest.mark.parametrize("shape", [(3, 5), (2, 3, 8)], ids=str)
def test_an_input_without_height_and_width_has_no_channels_last(shape: Shape) -> None:
    x = random_input(shape, device="cpu", dtype="float32", memory_format="channels_last")
    assert tuple(x.shape) == shape
    assert x.is_contiguous()


def test_random_inputs_are_normally_distributed() -> None:
    x = random_input((64, 64), device="cpu", dtype="float32", memory_format="contiguous")
    assert abs(x.mean()) < 0.1
    assert abs(x.std() - 1) < 0.1


# -- networks

RESIDUAL = """
input: [3, 12, 12]
defaults: {norm: batch, act: relu}
layers:
  - {conv: 3, out_channels: 8, stride: 2, name: stem}
  - residual:
      - {depthwise: 3, name: depthwise}
      - {squeeze_excite: 4, name: gate, gate: hard_sigmoid}
      - {conv: 1, out_channels: 16, act: none, name: pointwise}
    shortcut:
      - {conv: 1, out_channels: 16, act: none, name: project}
    act: hard_swish
  - {avg_pool: 2, name: pool}
  - {global_pool: 1}
  - flatten
  - {dropout: 0.5}
  - {linear: 5, name: classifier}
"""


def test_a_network_computes_what_a_hand_written_forward_computes(network_file: WriteFile) -> None:
    network = network_of(network_file(RESIDUAL))
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):  # so that it does something
            for statistic in (module.running_mean, module.weight, module.bias):
                statistic.data.normal_()
            module.running_var.uniform_(0.5, 2)
    weights = network.state_dict()

    def conv(name: str, x: Tensor, **options: int) -> Tensor:
        x = F.conv2d(x, weights[f"{name}.weight"], **options)
        norm = [
            weights[f"{name}_norm.{part}"]
            for part in ("running_mean", "running_var", "weight", "bias")
        ]
        return F.batch_norm(x, *norm)

    def forward(x: Tensor) -> Tensor:
        stem = F.relu(conv("stem", x, stride=2, padding=1))
        body = F.relu(conv("depthwise", stem, padding=1, groups=8))
        gate = F.conv2d(
            body.mean((2, 3), keepdim=True),
            weights["gate.reduce.weight"],
            weights["gate.reduce.bias"],
        )
        gate = F.conv2d(F.relu(gate), weights["gate.expand.weight"], weights["gate.expand.bias"])
        body = conv("pointwise", body * F.hardsigmoid(gate))
        x = F.hardswish(body + conv("shortcut1.project", stem))
        x = F.avg_pool2d(x, 2).mean((2, 3))
        return F.linear(x, weights["classifier.weight"], weights["classifier.bias"])

    x = torch.randn(2, 3, 12, 12)
    torch.testing.assert_close(network(x), forward(x))


def test_the_activation_that_begins_a_branch_leaves_the_other_branch_alone(
    network_file: WriteFile,
) -> None:
    network = network_of(
        network_file("layers: [{residual: [{act: relu}, {conv: 3, out_channels: 4}]}]"),
        (2, 4, 6, 6),
    )
    x = torch.randn(2, 4, 6, 6)
    expected = x + F.conv2d(F.relu(x), network.conv1.weight, network.conv1.bias, padding=1)
    torch.testing.assert_close(network(x.clone()), expected)


def test_the_activation_that_begins_a_shortcut_leaves_the_body_alone(
    network_file: WriteFile,
) -> None:
    text = """
layers:
  - {conv: 1, out_channels: 4}
  - residual: [{residual: [{act: relu}], shortcut: [{act: silu}]}]
"""
    network = network_of(network_file(text), (2, 4, 6, 6))
    x = torch.randn(2, 4, 6, 6)
    y = F.conv2d(x, network.conv1.weight, network.conv1.bias)
    torch.testing.assert_close(network(x), y + F.relu(y) + F.silu(y))


@pytest.mark.parametrize(
    "layers", ["[{act: relu}]", "[flatten, {act: silu}]", "[{dropout: 0.5}, {act: hard_swish}]"]
)
def test_a_network_leaves_its_input_as_it_was(network_file: WriteFile, layers: str) -> None:
    network = network_of(network_file(f"layers: {layers}"), (2, 4, 6, 6))
    x = torch.randn(2, 4, 6, 6)
    before = x.clone()
    network(x)
    assert torch.equal(x, before)


def test_a_network_is_the_same_function_every_time() -> None:
    network = Network(
        build(find_builtin("mobilenet_v3_small"), overrides={}, shape=(1, 3, 32, 32)).operations
    )
    network = network.eval().requires_grad_(False)
    x = torch.randn(1, 3, 32, 32)
    first = network(x)
    assert torch.isfinite(first).all()
    assert torch.equal(network(x), first)


def test_the_children_of_a_network_carry_the_names_of_its_operations(
    network_file: WriteFile,
) -> None:
    operations = build(read_architecture(Path(network_file(RESIDUAL))), overrides={}).operations
    network = Network(operations)
    leaves = [name for name, module in network.named_modules() if not list(module.children())]
    assert sorted(leaves) == sorted(operation.name for operation in operations)
    assert network.shortcut1.project.weight.shape == (16, 8, 1, 1)


def test_intermediate_results_are_dropped_after_their_last_reader(network_file: WriteFile) -> None:
    # nothing in place, so that every layer makes a tensor of its own
    text = """
layers:
  - {conv: 1, out_channels: 4, name: a}
  - {conv: 1, out_channels: 4, name: b}
  - {conv: 1, out_channels: 4, name: c}
  - residual:
      - {conv: 1, out_channels: 4, name: d}
      - {conv: 1, out_channels: 4, name: e}
    name: sum
  - {conv: 1, out_channels: 4, name: f}
  - {squeeze_excite: 2, name: gate, act: tanh}
  - {conv: 1, out_channels: 4, name: g}
"""
    network = network_of(network_file(text), (1, 4, 6, 6))
    made: dict[str, weakref.ref[Tensor]] = {}
    alive: dict[str, set[str]] = {}

    def watch(name: str, module: nn.Module) -> None:
        def before(*_: object) -> None:
            alive[name] = {other for other, tensor in made.items() if tensor() is not None}

        def after(_: nn.Module, __: object, output: Tensor) -> None:
            made[name] = weakref.ref(output)

        module.register_forward_pre_hook(before)
        module.register_forward_hook(after)

    for name, module in network.named_modules():
        if not list(module.children()):
            watch(name, module)
    with torch.inference_mode():
        network(torch.randn(1, 4, 6, 6))

    assert alive == {
        "a": set(),
        "b": {"a"},
        "c": {"b"},
        "d": {"c"},
        "e": {"c", "d"},
        "sum": {"c", "e"},
        "f": {"sum"},
        "gate.pool": {"f"},
        "gate.reduce": {"f", "gate.pool"},
        "gate.reduce_act": {"f", "gate.reduce"},
        "gate.expand": {"f", "gate.reduce_act"},
        "gate.gate": {"f", "gate.expand"},
        "gate.multiply": {"f", "gate.gate"},
        "g": {"gate.multiply"},
    }


@pytest.mark.parametrize(
    "layers",
    [
        pytest.param("[flatten, {linear: 5}, {norm: batch}]", id="batch norm of features"),
        pytest.param("[flatten, {linear: 5, act: softmax}]", id="softmax of features"),
        pytest.param(
            "[{linear: 5}, {conv: 3, out_channels: 2}]", id="linear over the last dimension of maps"
        ),
        pytest.param("[{conv: 3, out_channels: 2, name: forward}]", id="a layer called forward"),
        pytest.param("[{conv: 3, out_channels: 2, name: training}]", id="a layer called training"),
        pytest.param("[{conv: 3, out_channels: 2, name: half}]", id="a layer called half"),
        pytest.param(
            "[{residual: [{conv: 3, out_channels: 4, when: 1 > 2}]}]", id="a residual of nothing"
        ),
        pytest.param("[{global_pool: 9}]", id="a global pool that enlarges"),
    ],
)
def test_a_file_that_is_counted_can_be_built_and_run(network_file: WriteFile, layers: str) -> None:
    path, shape = network_file(f"layers: {layers}"), (2, 4, 6, 6)
    try:
        operations = build(read_architecture(Path(path)), overrides={}, shape=shape).operations
    except InputError:
        return  # refusing it with a reason is fine too
    output = Network(operations).eval()(torch.randn(shape))
    assert tuple(output.shape) == operations[-1].output_shape


@pytest.mark.parametrize("functional", [True, False])
def test_only_a_functional_pool_is_no_module_of_torch(functional: bool) -> None:
    module = build_module(GlobalPoolSpec(functional=functional))
    assert isinstance(module, nn.AdaptiveAvgPool2d)
    assert (type(module) is nn.AdaptiveAvgPool2d) is not functional
    assert type(module).__name__ == GlobalPoolSpec().type
    assert module(torch.ones(1, 2, 3, 3)).shape == (1, 2, 1, 1)
