"""Networks written as ONNX: what is in the file is what was counted, and it computes what torch computes."""

from collections.abc import Sequence
from math import sqrt
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import numpy_helper
from onnx.reference import ReferenceEvaluator

import dscost
from dscost.errors import InputError
from dscost.graphs.draft import Draft
from dscost.graphs.writing import content_of, written
from dscost.layers.choosing import Chosen, chosen, parse_variants
from dscost.layers.convolution import ConvSpec, Shape, conv2d
from dscost.layers.making import conv
from dscost.layers.others import (
    ACTIVATIONS,
    ActivationSpec,
    BatchNormSpec,
    ConcatSpec,
    DropoutSpec,
    FlattenSpec,
    GlobalPoolSpec,
    JoinSpec,
    LinearSpec,
    Part,
    PoolSpec,
    ShuffleSpec,
    Spec,
)
from dscost.layers.variants import VARIANTS
from dscost.networks.architectures import build, find_builtin
from dscost.networks.network import Operation, network_cost, operation_cost, stage_operations

NETWORKS = ("resnet18", "mobilenet_v1", "mobilenet_v2", "mobilenet_v3_small", "xception")
"""Built-ins that have, together, every kind of layer that an architecture file can name."""
LAYER = conv2d(16, 32, 3, padding=1, bias=True)


def with_weights(cost: Any) -> tuple[int, int]:
    return cost.params, cost.macs


def counted(content: bytes, path: Path) -> dscost.Report:
    path.write_bytes(content)
    return dscost.analyze(path)


def layers_of(report: dscost.Report) -> dict[str, tuple[int, int]]:
    found = {one.name: with_weights(one.cost) for one in report.layers}
    return {name: figures for name, figures in found.items() if any(figures)}


def require_counted_as(operations: Sequence[Operation], path: Path) -> None:
    """Count what is written: it is what the operations are said to cost, each by its name."""
    report = counted(content_of(written(operations)), path)
    said = {one.name: with_weights(operation_cost(one, 4)) for one in operations}
    assert layers_of(report) == {name: figures for name, figures in said.items() if any(figures)}
    assert with_weights(report.totals.as_is) == with_weights(network_cost(operations, 4))
    assert report.coverage.unknown == ()


# -- counted as said


@pytest.mark.parametrize("name", NETWORKS)
def test_a_built_in_that_is_written_counts_as_it_did(name: str, tmp_path: Path) -> None:
    shape = (1, 3, 64, 64)
    operations = build(find_builtin(name), overrides={}, shape=shape).operations
    require_counted_as(operations, tmp_path / "net.onnx")
    said, found = dscost.analyze(name, shape), dscost.analyze(tmp_path / "net.onnx")
    assert found.totals == said.totals  # all three versions, their bytes as well
    assert found.peak_activation_bytes == said.peak_activation_bytes


def test_an_activation_of_two_nodes_stands_within_a_pair(tmp_path: Path) -> None:
    shape = (1, 3, 64, 64)
    operations = build(find_builtin("efficientnet_b0"), overrides={}, shape=shape).operations
    said = dscost.analyze("efficientnet_b0", shape).totals
    found = counted(content_of(written(operations)), tmp_path / "net.onnx").totals
    assert list(map(with_weights, found)) == list(map(with_weights, said))


@pytest.mark.parametrize("name", sorted(VARIANTS))
def test_every_variant_that_is_written_counts_as_it_did(name: str, tmp_path: Path) -> None:
    (asked,) = parse_variants([name])
    found = chosen(asked, LAYER)
    assert isinstance(found, Chosen)
    require_counted_as(stage_operations(found.parts, (1, 16, 12, 12)), tmp_path / "net.onnx")


def test_resnet18_has_the_published_params_and_macs(tmp_path: Path) -> None:
    operations = build(find_builtin("resnet18"), overrides={}).operations
    report = counted(content_of(written(operations)), tmp_path / "net.onnx")
    assert with_weights(report.totals.as_is) == (11_689_512, 1_814_073_344)
    assert [(one.shape, one.dtype) for one in report.inputs] == [((1, 3, 224, 224), "float32")]


# -- names and types


def test_nodes_and_weights_are_called_as_in_torch() -> None:
    parts: list[Part] = [
        ("stem.conv", conv2d(3, 4, 3)),
        ("stem.norm", BatchNormSpec(4)),
        ("act", ActivationSpec("silu")),
        ("flat", FlattenSpec()),
        ("head", LinearSpec(4 * 6 * 6, 2)),
    ]
    graph = written(stage_operations(parts, (1, 3, 8, 8))).graph
    assert [(node.name, node.op_type) for node in graph.node] == [
        ("stem.conv", "Conv"),
        ("stem.norm", "BatchNormalization"),
        ("act/sigmoid", "Sigmoid"),
        ("act", "Mul"),
        ("flat", "Flatten"),
        ("head", "Gemm"),
    ]
    norm = [f"stem.norm.{key}" for key in ("weight", "bias", "running_mean", "running_var")]
    names = [one.name for one in graph.initializer]
    assert names == ["stem.conv.weight", *norm, "head.weight", "head.bias"]
    assert [one.name for one in (*graph.input, *graph.output)] == ["input", "output"]


@pytest.mark.parametrize(
    ("dtype", "number", "element_bytes", "opset"),
    [
        ("float16", onnx.TensorProto.FLOAT16, 2, 17),
        ("bfloat16", onnx.TensorProto.BFLOAT16, 2, 22),
        ("float32", onnx.TensorProto.FLOAT, 4, 17),
        ("float64", onnx.TensorProto.DOUBLE, 8, 17),
    ],
)
def test_a_dtype_is_that_of_inputs_weights_and_outputs(
    dtype: str, number: int, element_bytes: int, opset: int, tmp_path: Path
) -> None:
    model = written(stage_operations([("conv", LAYER)], (2, 16, 5, 5)), dtype=dtype)
    typed = [one.type.tensor_type.elem_type for one in (*model.graph.input, *model.graph.output)]
    assert {*typed, *(one.data_type for one in model.graph.initializer)} == {number}
    assert model.opset_import[0].version == opset  # the first whose convolutions have the dtype
    report = counted(content_of(model), tmp_path / "net.onnx")
    assert report.totals.as_is.weight_bytes == (32 * 16 * 9 + 32) * element_bytes


def test_bfloat16_is_the_nearest_to_what_float32_has() -> None:
    operations = stage_operations([("conv", LAYER)], (1, 16, 5, 5))
    exact, rounded = (
        numpy_helper.to_array(written(operations, dtype=dtype).graph.initializer[0])
        for dtype in ("float32", "bfloat16")
    )
    error = np.abs(rounded.astype(np.float32) - exact) / np.abs(exact)
    assert 2**-10 < error.max() <= 2**-8  # eight bits: half of the last at most


def test_what_lies_between_two_numbers_of_bfloat16_becomes_the_even_one() -> None:
    draft = Draft("bfloat16", seed=0)
    draft.store("x", np.array([1 + 2**-8, 1 + 3 * 2**-8], np.float32))
    (stored,) = draft.graph.initializer
    assert numpy_helper.to_array(stored).astype(np.float32).tolist() == [1, 1 + 2**-6]


def test_the_opset_is_a_later_one_only_where_an_operator_needs_it() -> None:
    opsets = {
        kind: written(stage_operations([("act", ActivationSpec(kind))], (1, 2, 2, 2)))
        .opset_import[0]
        .version
        for kind in ACTIVATIONS
    }
    assert opsets.pop("gelu") == 20
    assert set(opsets.values()) == {17}


def test_weights_are_those_of_their_seed() -> None:
    operations = stage_operations([("conv", LAYER)], (1, 16, 5, 5))
    first, again, other = (written(operations, seed=seed) for seed in (0, 0, 1))
    assert first == again
    assert first != other


@pytest.mark.parametrize(
    ("spec", "dtype", "told"),
    [
        (LAYER, "int8", "unknown dtype of an ONNX file 'int8' (known: float16, bfloat16, float32"),
        (LAYER, "float", "unknown dtype 'float' (did you mean 'float64'?)"),
        (
            conv2d(100_000, 100_000, 1),
            "float32",
            "an ONNX file holds at most 2 GiB, the weights are 37.25 GiB",
        ),
        (
            conv2d(16, 4, 7, padding=6, padding_mode="reflect"),
            "float32",
            "conv: padding_mode 'reflect' cannot pad 5×5 by 6",
        ),
    ],
)
def test_what_cannot_be_written_is_refused(spec: ConvSpec, dtype: str, told: str) -> None:
    shape = (1, spec.in_channels, 5, 5)
    with pytest.raises(InputError) as refused:
        written(stage_operations([("conv", spec)], shape), dtype=dtype)
    assert str(refused.value).startswith(told)


# -- the values


def test_values_keep_their_scale_through_a_deep_network() -> None:
    parts: list[Part] = []
    for at in range(60):
        before = parts[-1][0] if parts else "input"
        parts += [
            (f"{at}.conv", conv2d(8, 8, 3, padding=1, bias=True), (before,)),
            (f"{at}.act", ActivationSpec("relu")),
            (f"{at}.add", JoinSpec("add"), (f"{at}.act", before)),
        ]
    model = written(stage_operations(parts, (1, 8, 6, 6)))
    image = np.random.default_rng(1).standard_normal((1, 8, 6, 6), dtype=np.float32)
    (found,) = ReferenceEvaluator(model).run(None, {"input": image})
    # some 60 if all that is added had one sign; He's scale alone would double it 30 times
    assert 1 < sqrt((found**2).mean()) < 60


CONVS: dict[str, tuple[ConvSpec, Shape]] = {
    "strided": (conv2d(4, 6, 3, stride=2, padding=1), (2, 4, 9, 8)),
    "dilated": (conv2d(4, 6, 3, dilation=2, padding=2, bias=True), (1, 4, 9, 8)),
    "grouped": (conv2d(4, 6, (3, 1), groups=2), (1, 4, 9, 8)),
    "depthwise": (conv2d(4, 8, 5, groups=4, padding=2, stride=(1, 2)), (1, 4, 9, 8)),
    "same, even": (conv2d(4, 6, (2, 4), padding="same"), (1, 4, 9, 8)),
    "reflect": (conv2d(4, 6, 5, padding=(2, 1), padding_mode="reflect"), (1, 4, 9, 8)),
    "replicate": (conv2d(4, 6, 5, padding=2, padding_mode="replicate"), (1, 4, 9, 8)),
    "circular": (conv2d(4, 6, 3, padding=(2, 0), padding_mode="circular"), (1, 4, 9, 8)),
    "circular, same": (conv2d(4, 6, (2, 3), padding="same", padding_mode="circular"), (1, 4, 9, 8)),
    "1-D": (conv(4, 6, 3, dims=1, padding=1, bias=True), (2, 4, 9)),
    "3-D": (conv(4, 6, 3, dims=3, padding=1, stride=2, groups=2), (1, 4, 5, 6, 7)),
    "transposed": (
        conv(4, 6, 3, dims=2, transposed=True, stride=2, padding=1, output_padding=1, bias=True),
        (1, 4, 5, 6),
    ),
    "transposed, 1-D": (
        conv(4, 6, 4, dims=1, transposed=True, stride=3, padding=1, dilation=2),
        (2, 4, 5),
    ),
    "transposed, with more output padding than stride": (
        conv(4, 6, 3, dims=2, transposed=True, padding=2, dilation=2, output_padding=1),
        (1, 4, 5, 6),
    ),
    "transposed, 3-D": (conv(2, 3, 2, dims=3, transposed=True, stride=2), (1, 2, 3, 2, 4)),
}
OTHERS: dict[str, tuple[Spec, Shape]] = {
    "linear": (LinearSpec(6, 5), (3, 6)),
    "linear over the last axis": (LinearSpec(6, 5, bias=False), (2, 3, 4, 6)),
    "batch norm": (BatchNormSpec(4), (2, 4, 3, 5)),
    "max pooling": (PoolSpec("max", (3, 2), (2, 2), (1, 0)), (1, 3, 8, 7)),
    "max pooling, ceil": (PoolSpec("max", (3, 3), (2, 2), (0, 1), ceil_mode=True), (1, 3, 8, 7)),
    "average pooling": (PoolSpec("avg", (3, 3), (2, 2), (1, 1)), (1, 3, 8, 7)),
    "average pooling, ceil": (
        PoolSpec("avg", (3, 3), (2, 2), (1, 1), ceil_mode=True),
        (1, 3, 8, 6),
    ),
    "global pooling": (GlobalPoolSpec(), (2, 3, 5, 4)),
    "pooling to a size": (GlobalPoolSpec((2, 3)), (1, 3, 6, 6)),
    "pooling to an uneven size": (GlobalPoolSpec((4, 3)), (1, 3, 7, 5)),
    "pooling to a larger size": (GlobalPoolSpec((7, 7)), (1, 3, 3, 2)),
    "flatten": (FlattenSpec(), (2, 3, 4, 5)),
    "dropout": (DropoutSpec(0.3), (2, 3)),
    "shuffle": (ShuffleSpec(3), (2, 6, 4, 5)),
    "shuffle, 1-D": (ShuffleSpec(2), (2, 6, 4)),
    **{kind: (ActivationSpec(kind), (2, 6, 4, 5)) for kind in ACTIVATIONS},
}
BRANCHED: list[Part] = [
    ("conv", conv2d(4, 6, 3, padding=1)),
    ("act", ActivationSpec("relu")),
    ("pool", GlobalPoolSpec()),
    ("squeeze", conv2d(6, 6, 1, bias=True)),
    ("gate", ActivationSpec("hard_sigmoid")),
    ("scaled", JoinSpec("multiply"), ("act", "gate")),
    ("both", ConcatSpec(), ("scaled", "input", "scaled")),
    ("sum", JoinSpec("add"), ("both", "both")),
]
CASES: dict[str, tuple[list[Part], Shape]] = {
    **{name: ([("layer", spec)], shape) for name, (spec, shape) in {**CONVS, **OTHERS}.items()},
    "branches": (BRANCHED, (2, 4, 5, 7)),
}


@pytest.mark.torch
@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel:UserWarning")
@pytest.mark.parametrize("case", CASES)
def test_what_is_written_computes_what_torch_does(case: str) -> None:
    import torch

    from dscost.modules.building import Network

    parts, shape = CASES[case]
    operations = stage_operations(parts, shape)
    model = written(operations, dtype="float64")
    content_of(model)
    module = Network(operations).double().eval()
    state = {
        one.name: torch.from_numpy(numpy_helper.to_array(one).copy())
        for one in model.graph.initializer
        if "/" not in one.name
    }
    missing, unexpected = module.load_state_dict(state, strict=False)
    assert not unexpected
    assert all(name.endswith("num_batches_tracked") for name in missing)
    image = np.random.default_rng(1).standard_normal(shape) * 3
    with torch.inference_mode():
        expected = module(torch.from_numpy(image)).numpy()
    (found,) = ReferenceEvaluator(model).run(None, {"input": image})
    assert found.shape == operations[-1].output_shape
    np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-6)
