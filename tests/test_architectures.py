"""Architectures against torch: the module built from a network's operations must have its shapes, params and MACs."""

from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import NamedTuple

import pytest
import torch
import yaml
from hypothesis import assume, given
from hypothesis import strategies as st
from properties import BETWEEN, dear_law, law, operations_of
from torch.utils.flop_counter import FlopCounterMode

import dscost
from dscost.analysis import CountedModel, Request
from dscost.analysis import count as count_model
from dscost.errors import FileProblems, InputError, SpecError, UnknownNameError
from dscost.layers.convolution import Shape, conv2d
from dscost.layers.others import (
    ActivationSpec,
    BatchNormSpec,
    FlattenSpec,
    GlobalPoolSpec,
    JoinSpec,
    LinearSpec,
    PoolSpec,
    Spec,
)
from dscost.modules.building import Network
from dscost.networks.architectures import (
    build,
    builtin_names,
    builtins,
    find_builtin,
    read_architecture,
)
from dscost.networks.network import NETWORK_INPUT, Operation, network_cost, operation_cost
from dscost.networks.swaps import find_swaps, with_variant

WriteFile = Callable[..., str]
VARIANTS = ("standard", "depthwise_separable")


class Traced(NamedTuple):
    """What torch says of a network: MACs, params, output shape and type by layer, and of the whole."""

    macs: dict[str, int]
    params: dict[str, int]
    shapes: dict[str, Shape]
    types: dict[str, str]
    total_macs: int
    total_params: int
    output_shape: Shape


def traced(operations: Sequence[Operation], input_shape: Shape) -> Traced:
    """Run the torch module on the meta device, where shapes are computed and nothing else."""
    with torch.device("meta"):
        network = Network(operations).eval()
        x = torch.empty(input_shape)
    modules = {operation.name: network.get_submodule(operation.name) for operation in operations}
    shapes: dict[str, Shape] = {}
    for name, module in modules.items():
        module.register_forward_hook(
            lambda _, __, output, name=name: shapes.update({name: tuple(output.shape)})
        )
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        output = network(x)
    flops = counter.get_flop_counts()
    return Traced(
        macs={name: sum(flops.get(f"Network.{name}", {}).values()) // 2 for name in modules},
        params={
            name: sum(p.numel() for p in module.parameters()) for name, module in modules.items()
        },
        shapes=shapes,
        types={name: type(module).__name__ for name, module in modules.items()},
        total_macs=counter.get_total_flops() // 2,
        total_params=sum(p.numel() for p in network.parameters()),
        output_shape=tuple(output.shape),
    )


@cache
def counted(name: str) -> CountedModel:
    return count_model(name)


@cache
def traced_builtin(name: str) -> Traced:
    model = counted(name)
    return traced(operations_of(model), model.report.inputs[0].shape)


every_builtin = pytest.mark.parametrize("name", builtin_names())


# -- built-ins against torch


@every_builtin
def test_every_layer_of_a_builtin_has_the_macs_that_torch_counts(name: str) -> None:
    ours = {layer.name: layer.cost.macs for layer in counted(name).report.layers}
    assert ours == traced_builtin(name).macs
    assert counted(name).report.totals.as_is.macs == traced_builtin(name).total_macs


@every_builtin
def test_every_layer_of_a_builtin_has_the_params_of_its_torch_module(name: str) -> None:
    ours = {layer.name: layer.cost.params for layer in counted(name).report.layers}
    assert ours == traced_builtin(name).params
    assert counted(name).report.totals.as_is.params == traced_builtin(name).total_params


@every_builtin
def test_every_layer_of_a_builtin_has_the_output_shape_of_its_torch_module(name: str) -> None:
    ours = {layer.name: layer.output_shape for layer in counted(name).report.layers}
    assert ours == traced_builtin(name).shapes
    assert (
        counted(name).report.layers[-1].output_shape
        == traced_builtin(name).output_shape
        == (1, 1000)
    )


@every_builtin
def test_every_layer_of_a_builtin_has_the_type_of_its_torch_module(name: str) -> None:
    ours = {layer.name: layer.type for layer in counted(name).report.layers}
    assert ours == traced_builtin(name).types


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("name", sorted(set(builtin_names()) - BETWEEN))
def test_a_rewritten_builtin_costs_what_torch_counts(name: str, variant: str) -> None:
    model = counted(name)
    operations = with_variant(operations_of(model), model.swaps, variant)
    network = traced(operations, model.report.inputs[0].shape)
    cost = getattr(model.report.totals, variant)
    assert (cost.macs, cost.params) == (network.total_macs, network.total_params)
    assert network.output_shape == (1, 1000)
    assert {op.name: op.output_shape for op in operations} == network.shapes
    assert cost.weight_bytes == 4 * network.total_params


@pytest.mark.parametrize(
    "input_shape", [(3, 3, 97, 131), (2, 1, 64, 64)], ids=["3 images 97x131", "2 grey 64x64"]
)
@pytest.mark.parametrize("name", ["mobilenet_v3_small", "resnet18", "vgg16", "xception"])
def test_a_builtin_on_another_input_costs_what_torch_counts(name: str, input_shape: Shape) -> None:
    model = count_model(name, Request(input_shape))
    network = traced(operations_of(model), input_shape)
    assert {layer.name: layer.cost.macs for layer in model.report.layers} == network.macs
    assert {layer.name: layer.output_shape for layer in model.report.layers} == network.shapes
    assert model.report.totals.as_is.params == network.total_params


# -- random networks against torch


def appended(
    operations: list[Operation], spec: Spec, sources: tuple[int, ...], input_shape: Shape
) -> Shape:
    shapes = tuple(
        input_shape if source == NETWORK_INPUT else operations[source].output_shape
        for source in sources
    )
    output = spec.output_shape(*shapes)
    operations.append(Operation(f"layer{len(operations)}", spec, sources, shapes, output))
    return output


pairs = st.tuples(st.integers(1, 3), st.integers(1, 3))
torch_pads_even_kernels_aloud = pytest.mark.filterwarnings(
    "ignore:Using padding='same' with even kernel:UserWarning"
)


def divisors(number: int) -> list[int]:
    return [d for d in range(1, number + 1) if number % d == 0]


@st.composite
def networks(draw: st.DrawFn) -> tuple[list[Operation], Shape]:
    """A chain of layers on a small input, some of them joined with a gate or with their own input."""
    shape: Shape = draw(
        st.tuples(st.integers(1, 3), st.integers(1, 6), st.integers(1, 13), st.integers(1, 13))
    )
    input_shape, operations = shape, list[Operation]()
    kinds = ["conv", "conv", "separable", "pool", "norm", "act", "gate", "add"]
    for kind in draw(st.lists(st.sampled_from(kinds), max_size=7)):
        source, channels = len(operations) - 1, shape[1]
        try:
            match kind:
                case "conv":
                    groups = draw(st.sampled_from(divisors(channels)))
                    conv = conv2d(
                        channels,
                        groups * draw(st.integers(1, 4)),
                        draw(pairs),
                        stride=draw(pairs),
                        padding=draw(st.one_of(st.none(), pairs, st.just("same"))),
                        dilation=draw(pairs),
                        groups=groups,
                        bias=draw(st.booleans()),
                    )
                    shape = appended(operations, conv, (source,), input_shape)
                case "separable":
                    middle = channels * draw(st.integers(1, 3))
                    depthwise = conv2d(channels, middle, draw(pairs), padding=None, groups=channels)
                    appended(operations, depthwise, (source,), input_shape)
                    if draw(st.booleans()):
                        appended(
                            operations, BatchNormSpec(middle), (len(operations) - 1,), input_shape
                        )
                    groups = draw(st.sampled_from(divisors(middle)))
                    pointwise = conv2d(
                        middle, 2 * groups, 1, groups=groups, bias=draw(st.booleans())
                    )
                    shape = appended(operations, pointwise, (len(operations) - 1,), input_shape)
                case "pool":
                    window, stride = draw(pairs), draw(pairs)
                    pool = PoolSpec(
                        draw(st.sampled_from(["max", "avg"])),
                        window,
                        stride,
                        (0, 0),
                        draw(st.booleans()),
                    )
                    shape = appended(operations, pool, (source,), input_shape)
                case "norm":
                    appended(operations, BatchNormSpec(channels), (source,), input_shape)
                case "act":
                    appended(operations, ActivationSpec("silu"), (source,), input_shape)
                case "gate":
                    appended(operations, GlobalPoolSpec(), (source,), input_shape)
                    appended(operations, JoinSpec("multiply"), (source, source + 1), input_shape)
                case "add":
                    appended(
                        operations, conv2d(channels, channels, 3, padding=1), (source,), input_shape
                    )
                    appended(operations, JoinSpec("add"), (source + 1, source), input_shape)
        except SpecError:
            continue  # does not fit: the network goes on without it
    appended(operations, FlattenSpec(), (len(operations) - 1,), input_shape)
    features = operations[-1].output_shape[-1]
    appended(
        operations,
        LinearSpec(features, 5, draw(st.booleans())),
        (len(operations) - 1,),
        input_shape,
    )
    return operations, input_shape


@torch_pads_even_kernels_aloud
@dear_law
@given(networks())
def test_any_network_costs_what_torch_counts(drawn: tuple[list[Operation], Shape]) -> None:
    operations, input_shape = drawn
    network = traced(operations, input_shape)
    costs = {operation.name: operation_cost(operation, element_bytes=4) for operation in operations}
    assert {operation.name: operation.output_shape for operation in operations} == network.shapes
    assert {name: cost.macs for name, cost in costs.items()} == network.macs
    assert {name: cost.params for name, cost in costs.items()} == network.params


@torch_pads_even_kernels_aloud
@dear_law
@given(networks())
def test_any_network_can_be_rewritten_both_ways(drawn: tuple[list[Operation], Shape]) -> None:
    operations, input_shape = drawn
    swaps = find_swaps(operations)
    assume(swaps)
    for variant in VARIANTS:
        written = with_variant(operations, swaps, variant)
        network, cost = traced(written, input_shape), network_cost(written, element_bytes=4)
        assert (cost.macs, cost.params) == (network.total_macs, network.total_params)
        assert network.output_shape == operations[-1].output_shape


# -- names


@every_builtin
def test_layer_names_are_unique(name: str) -> None:
    names = [layer.name for layer in counted(name).report.layers]
    assert len(names) == len(set(names))


def test_the_builtins_are_those_that_the_files_name() -> None:
    named = []
    for path in (Path(__file__).parents[1] / "configs" / "architectures").glob("*.yaml"):
        models = yaml.safe_load(path.read_text(encoding="utf-8"))["models"]
        assert all(name.startswith(path.stem) for name in models)
        named += models
    assert sorted(builtin_names()) == sorted(named)
    assert len(named) == len(set(named))
    assert {
        *("resnet18", "resnet34", "resnet50", "resnet101", "resnet152"),
        *("mobilenet_v1", "mobilenet_v2", "mobilenet_v3_large", "mobilenet_v3_small"),
        *(f"efficientnet_b{size}" for size in range(8)),
        *("vgg16", "xception"),
    } <= set(named)


@every_builtin
def test_a_builtin_is_found_by_its_name(name: str) -> None:
    found = find_builtin(name)
    assert found.name == name
    assert name in found.file.models


@pytest.mark.parametrize("architecture", builtins(), ids=lambda architecture: architecture.name)
def test_a_builtin_says_what_it_is_and_which_paper_it_follows(
    architecture: dscost.networks.architectures.Architecture,
) -> None:
    assert architecture.file.description
    assert "arXiv:" in (architecture.file.source or "")


@pytest.mark.parametrize(
    ("typed", "nearest"),
    [
        ("resnet19", "resnet18"),
        ("ResNet50", "resnet50"),
        ("mobilenetv2", "mobilenet_v2"),
        ("mobilenet_v3_smal", "mobilenet_v3_small"),
        ("eficientnet_b3", "efficientnet_b3"),
        ("exception", "xception"),
    ],
)
def test_an_unknown_model_is_answered_with_the_nearest_spelling(typed: str, nearest: str) -> None:
    with pytest.raises(UnknownNameError) as caught:
        find_builtin(typed)
    assert str(caught.value) == f"unknown model '{typed}' (did you mean '{nearest}'?)"


def test_a_model_like_no_other_is_answered_with_the_known_ones() -> None:
    first = min(builtin_names())
    with pytest.raises(UnknownNameError, match=rf"unknown model 'qqq' \(known: {first}, .* more\)"):
        dscost.analyze("qqq")


# -- settings


@pytest.mark.parametrize(
    ("model", "chosen", "same_as"),
    [
        ("resnet18", {"repeats": [3, 4, 6, 3]}, "resnet34"),
        ("resnet34", {"unit": "bottleneck"}, "resnet50"),
        ("resnet50", {"repeats": [3, 4, 23, 3]}, "resnet101"),
        ("efficientnet_b0", {"width": 1.1, "depth": 1.2, "resolution": 260}, "efficientnet_b2"),
        ("mobilenet_v1", {"width": 1, "resolution": 224.0}, "mobilenet_v1"),
    ],
    ids=lambda value: str(value),
)
def test_settings_turn_one_model_into_another(
    model: str, chosen: dict[str, object], same_as: str
) -> None:
    assert (
        dscost.analyze(model, settings=chosen).totals.as_is == dscost.analyze(same_as).totals.as_is
    )


def test_classes_change_the_classifier_alone() -> None:
    few, many = dscost.analyze("resnet18", settings={"classes": 10}), dscost.analyze("resnet18")
    assert few.layers[:-1] == many.layers[:-1]
    assert few.layers[-1].cost.params == 512 * 10 + 10
    assert few.totals.as_is.params == many.totals.as_is.params - (512 + 1) * 990


def test_the_resolution_setting_is_the_input_size() -> None:
    report = dscost.analyze("mobilenet_v2", settings={"resolution": 96})
    assert report.inputs[0].shape == (1, 3, 96, 96)
    assert report.settings["resolution"] == 96
    same = dscost.analyze("mobilenet_v2", input=(1, 3, 96, 96))
    assert (same.totals, same.layers) == (report.totals, report.layers)


def test_the_settings_of_a_report_never_contradict_its_input() -> None:
    assert dscost.analyze("resnet18", input=(1, 3, 96, 96)).settings.get("resolution") in (None, 96)


@pytest.mark.parametrize(
    ("chosen", "message"),
    [
        ({"widht": 0.5}, "unknown setting 'widht' (did you mean 'width'?)"),
        ({"width": "half"}, "setting 'width' must be a number like 1.0, found 'half'"),
        ({"width": True}, "setting 'width' must be a number like 1.0, found 'True'"),
        ({"classes": [10]}, "setting 'classes' must be a number like 1000, found '[10]'"),
    ],
    ids=lambda value: str(value),
)
def test_a_setting_that_does_not_exist_or_fit_is_refused(
    chosen: dict[str, object], message: str
) -> None:
    with pytest.raises(InputError) as caught:
        dscost.analyze("mobilenet_v2", settings=chosen)
    assert str(caught.value) == message


@pytest.mark.parametrize(
    "chosen",
    [
        {"classes": 0},
        {"classes": 2.5},
        {"resolution": 0},
        {"resolution": -5},
        {"resolution": float("nan")},
    ],
    ids=lambda value: str(value),
)
def test_a_setting_that_makes_no_network_is_refused(chosen: dict[str, object]) -> None:
    with pytest.raises(InputError):
        dscost.analyze("mobilenet_v2", settings=chosen)


def test_an_analysis_leaves_no_setting_behind() -> None:
    dscost.analyze("mobilenet_v1", settings={"width": 0.25})
    assert dscost.analyze("mobilenet_v1").totals.as_is.params == 4_231_976


# -- input and batch


@pytest.mark.parametrize("batch", [2, 7, 32])
@pytest.mark.parametrize("name", ["mobilenet_v3_small", "resnet18", "vgg16"])
def test_the_batch_scales_macs_and_activations_and_nothing_else(name: str, batch: int) -> None:
    one, many = counted(name).report, dscost.analyze(name, batch=batch)
    assert many.inputs[0].shape == (batch, *one.inputs[0].shape[1:])
    for cost in ("as_is", *VARIANTS):
        single, scaled = getattr(one.totals, cost), getattr(many.totals, cost)
        assert scaled.macs == batch * single.macs
        assert (scaled.input_bytes, scaled.output_bytes) == (
            batch * single.input_bytes,
            batch * single.output_bytes,
        )
        assert (scaled.params, scaled.weight_bytes) == (single.params, single.weight_bytes)
    assert [layer.cost.macs for layer in many.layers] == [
        batch * layer.cost.macs for layer in one.layers
    ]


def test_batch_replaces_the_batch_of_the_input() -> None:
    report = dscost.analyze("resnet18", input=(2, 3, 64, 64), batch=5)
    assert report.inputs[0].shape == (5, 3, 64, 64)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"input": (3, 224, 224)},
            "input must be batch, channels, height and width, found 3×224×224 "
            "(did you mean --input 1,3,224,224? in Python input=(1, 3, 224, 224))",
        ),
        (
            {"input": (1, 3, 224)},
            "input must be batch, channels, height and width, found 1×3×224",
        ),
        ({"input": (0, 3, 64, 64)}, "batch must be at least 1, found 0"),
        ({"input": (1, 0, 64, 64)}, "channels must be at least 1, found 0"),
        ({"input": (1, 3, 64, -1)}, "input size must be at least 1, found 64×-1"),
        ({"input": (1, 3, 64.0, 64)}, "input size must be whole numbers, found 64.0×64"),
        ({"batch": 0}, "batch must be at least 1, found 0"),
        ({"batch": 1.5}, "batch must be whole numbers, found 1.5"),
    ],
    ids=lambda value: str(value),
)
def test_an_impossible_input_is_refused(options: dict[str, object], message: str) -> None:
    with pytest.raises(InputError) as caught:
        dscost.analyze("resnet18", **options)
    assert str(caught.value) == message


def test_an_input_too_small_for_the_network_is_refused_with_the_layer_that_cannot_run() -> None:
    with pytest.raises(
        FileProblems, match=r"vgg\.yaml:\d+:\d+: .*larger than the padded input 1×1"
    ):
        dscost.analyze("vgg16", input=(1, 3, 16, 16))


# -- files

SEVERAL = """
input: [3, 16, 16]
settings: {channels: 8}
models:
  large: {channels: 32}
  small: {channels: 4}
layers:
  - {conv: 3, out_channels: channels}
"""


@pytest.mark.parametrize(("model", "channels"), [("", 32), (":large", 32), (":small", 4)])
def test_a_file_of_several_models_has_them_all(
    network_file: WriteFile, model: str, channels: int
) -> None:
    report = dscost.analyze(network_file(SEVERAL) + model)
    assert report.source == "yaml"
    assert report.settings == {"channels": channels}
    assert report.totals.as_is.params == 3 * channels * 9 + channels


def test_a_setting_overrides_the_model_of_a_file(network_file: WriteFile) -> None:
    report = dscost.analyze(f"{network_file(SEVERAL)}:small", settings={"channels": 5})
    assert report.totals.as_is.params == 3 * 5 * 9 + 5


def test_an_unknown_model_of_a_file_is_answered_with_the_nearest_spelling(
    network_file: WriteFile,
) -> None:
    with pytest.raises(UnknownNameError, match=r"unknown model 'smal' \(did you mean 'small'\?\)"):
        dscost.analyze(f"{network_file(SEVERAL)}:smal")


def test_a_file_without_models_is_one_model_named_like_the_file(network_file: WriteFile) -> None:
    path = network_file("layers: [{conv: 3, out_channels: 8}]", "tiny.yaml")
    assert read_architecture(Path(path)).name == "tiny"


def test_a_bare_list_of_layers_takes_its_input_from_the_caller(network_file: WriteFile) -> None:
    path = network_file("[{conv: 3, out_channels: 8, bias: false}]")
    assert dscost.analyze(path, input=(1, 5, 9, 9)).totals.as_is.params == 5 * 8 * 9
    with pytest.raises(InputError, match="does not state its input"):
        dscost.analyze(path)


def test_a_builtin_copied_to_a_file_costs_the_same(network_file: WriteFile) -> None:
    text = Path(find_builtin("xception").file.path).read_text(encoding="utf-8")
    copied = dscost.analyze(network_file(text))
    assert (copied.totals, copied.layers) == (
        counted("xception").report.totals,
        counted("xception").report.layers,
    )


def test_blocks_are_unrolled_by_hand(network_file: WriteFile) -> None:
    path = network_file("""
input: [3, 16, 16]
defaults: {norm: batch, act: relu}
blocks:
  unit:
    columns: [c, n, s]
    repeat: n
    layers:
      - {conv: 3, out_channels: c + index, stride: s if first else 1}
layers:
  - block: unit
    rows:
      - [8, 2, 2]
      - [4, 1, 1]
""")
    operations = build(read_architecture(Path(path)), overrides={}).operations
    convs = {op.name: op.output_shape for op in operations if op.spec.op == "convolution"}
    assert convs == {
        "unit1.0.conv1": (1, 8, 8, 8),
        "unit1.1.conv1": (1, 9, 8, 8),
        "unit2.0.conv1": (1, 4, 8, 8),
    }
    assert [op.name for op in operations[:3]] == [
        "unit1.0.conv1",
        "unit1.0.conv1_norm",
        "unit1.0.conv1_act",
    ]


@pytest.mark.parametrize(
    "layers",
    [
        pytest.param(
            """
  - residual: [{conv: 3, out_channels: 8}]
    shortcut: [{conv: 1, out_channels: 8}]
  - residual: [{conv: 3, out_channels: 16}]
    shortcut: [{conv: 1, out_channels: 16}]
""",
            id="shortcuts",
        ),
        pytest.param(
            """
  - residual: [{conv: 3, out_channels: 4}]
    act: relu
  - residual: [{conv: 3, out_channels: 4}]
    act: relu
""",
            id="activations",
        ),
        pytest.param(
            """
  - residual:
      - residual: [{conv: 3, out_channels: 4}]
        act: relu
      - {conv: 3, out_channels: 4}
    act: relu
""",
            id="one in the other",
        ),
    ],
)
def test_two_residuals_may_stand_in_one_list(network_file: WriteFile, layers: str) -> None:
    report = dscost.analyze(network_file(f"input: [4, 8, 8]\nlayers:{layers}"))
    names = [layer.name for layer in report.layers]
    assert len(names) == len(set(names))
    assert sum(layer.type == "Add" for layer in report.layers) == 2


def test_two_layers_given_the_same_name_are_refused(network_file: WriteFile) -> None:
    path = network_file("""
input: [3, 8, 8]
layers:
  - {conv: 3, out_channels: 8, name: stem}
  - {conv: 3, out_channels: 8, name: stem}
""")
    with pytest.raises(FileProblems, match=r"net\.yaml:5:5: two layers are called 'stem'"):
        dscost.analyze(path)


# -- pooling windows that are cut off


def pooled_by_torch(spec: PoolSpec, shape: Shape) -> Shape | None:
    pool = torch.nn.MaxPool2d if spec.kind == "max" else torch.nn.AvgPool2d
    module = pool(spec.kernel_size, spec.stride, spec.padding, ceil_mode=spec.ceil_mode)
    try:
        return tuple(module(torch.empty(shape, device="meta")).shape)
    except RuntimeError:
        return None


def pooled_by_us(spec: PoolSpec, shape: Shape) -> Shape | None:
    try:
        return spec.output_shape(shape)
    except SpecError:
        return None


@law
@given(
    st.sampled_from(["max", "avg"]),
    st.tuples(st.integers(1, 5), st.integers(1, 5)),
    st.tuples(st.integers(1, 6), st.integers(1, 6)),
    st.booleans(),
    st.booleans(),
    st.tuples(st.just(1), st.just(2), st.integers(1, 9), st.integers(1, 9)),
)
def test_a_pooling_takes_as_many_windows_as_in_torch(
    kind: str, kernel_size: Shape, stride: Shape, padded: bool, ceil_mode: bool, shape: Shape
) -> None:
    padding = tuple(extent // 2 if padded else 0 for extent in kernel_size)
    spec = PoolSpec(kind, kernel_size, stride, padding, ceil_mode)
    assert pooled_by_us(spec, shape) == pooled_by_torch(spec, shape)
