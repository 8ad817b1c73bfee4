"""What of a file's stored tensors is a parameter: by hand."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from graph_nodes import made
from onnx import NodeProto, TensorProto, helper, numpy_helper

import dscost
from dscost.graphs import rules  # noqa: F401 - they register themselves
from dscost.graphs.values import Value
from dscost.graphs.weights import weights_read
from dscost.reports.records import Report
from dscost.traces import Parameter
from dscost.traces.rules import FORMULAS, FREE

Stored = dict[str, np.ndarray]


def ones(*shape: int, dtype: str = "float32") -> np.ndarray:
    return np.ones(shape, dtype)


def counted(
    tmp_path: Path,
    nodes: Sequence[NodeProto],
    stored: Stored,
    shape: Sequence[int] = (1, 4, 6, 6),
    dtype: int = TensorProto.FLOAT,
) -> Report:
    """Return the report of nodes that read `x` and write `y`."""
    graph = helper.make_graph(
        list(nodes),
        "net",
        [helper.make_tensor_value_info("x", dtype, shape)],
        [helper.make_tensor_value_info("y", TensorProto.UNDEFINED, None)],
        [numpy_helper.from_array(array, name) for name, array in stored.items()],
    )
    opsets = [helper.make_opsetid("", 21), helper.make_opsetid("com.microsoft", 1)]
    onnx.save(helper.make_model(graph, opset_imports=opsets), tmp_path / "net.onnx")
    return dscost.analyze(tmp_path / "net.onnx")


def node(op: str, *inputs: str, to: str = "y", domain: str = "", **attributes: Any) -> NodeProto:
    return helper.make_node(op, inputs, [to], f"{op}_{to}", domain=domain, **attributes)


@pytest.mark.parametrize(
    ("one", "stored", "params"),
    [
        (node("Conv", "x", "w", "b"), {"w": ones(8, 4, 3, 3), "b": ones(8)}, 8 * 4 * 9 + 8),
        (node("Conv", "x", "w", "b"), {"w": ones(1, 4, 1, 1), "b": ones(1)}, 4 + 1),
        (node("PRelu", "x", "s"), {"s": ones(1)}, 1),
        (node("PRelu", "x", "s"), {"s": ones(4, 1, 1)}, 4),
        (node("Add", "x", "c"), {"c": ones(4, 1, 1)}, 4),
        (node("Mul", "x", "c"), {"c": ones(1)}, 0),
        (node("Mul", "x", "c"), {"c": np.float32(0.5)[None][0]}, 0),
        (node("MatMul", "x", "w"), {"w": ones(6, 5)}, 6 * 5),
        (node("Clip", "x", "l", "h"), {"l": np.array(0, "f"), "h": np.array(6, "f")}, 0),
        (node("Reshape", "x", "to"), {"to": np.array([4, 36])}, 0),
        (node("Resize", "x", "", "s"), {"s": np.array([1, 1, 2, 2], "f")}, 0),
        (node("Pad", "x", "by"), {"by": np.array([0, 0, 1, 1, 0, 0, 1, 1])}, 0),
        (
            node("BatchNormalization", "x", "g", "b", "m", "v"),
            {name: ones(4) for name in "gbmv"},
            4 + 4,
        ),
        (node("LayerNormalization", "x", "g", "b"), {"g": ones(6), "b": ones(6)}, 6 + 6),
    ],
    ids=lambda value: value.op_type if isinstance(value, NodeProto) else "",
)
def test_what_is_read_as_weights_counts(
    tmp_path: Path, one: NodeProto, stored: Stored, params: int
) -> None:
    cost = counted(tmp_path, [one], stored).totals.as_is
    assert (cost.params, cost.weight_bytes) == (params, 4 * params)


def test_a_table_that_is_looked_up_counts(tmp_path: Path) -> None:
    report = counted(
        tmp_path, [node("Gather", "t", "x")], {"t": ones(50, 8)}, (1, 7), TensorProto.INT64
    )
    assert report.totals.as_is.params == 50 * 8


@pytest.mark.parametrize(("dtype", "params"), [("uint8", 50 * 8), ("int16", 50 * 8), ("int64", 0)])
def test_a_table_of_narrow_whole_numbers_is_an_embedding(
    tmp_path: Path, dtype: str, params: int
) -> None:
    """Stored as it is; a table of wide ones is one of places. Scales and zero points are bytes."""
    stored = {"t": ones(50, 8, dtype=dtype), "s": np.float32(0.5), "z": np.array(3, dtype)}
    nodes = [node("Gather", "t", "x", to="rows")]
    if params:
        nodes.append(node("DequantizeLinear", "rows", "s", "z"))
    else:
        nodes.append(node("Identity", "rows"))
    report = counted(tmp_path, nodes, stored, (1, 7), TensorProto.INT64)
    assert report.totals.as_is.params == params
    assert report.layers[0].op == ("embedding" if params else "copy")
    if params:
        size = np.dtype(dtype).itemsize
        assert report.layers[0].cost.weight_bytes == size * params


def test_a_row_of_narrow_whole_numbers_is_no_embedding(tmp_path: Path) -> None:
    stored = {"t": ones(50, dtype="uint8")}
    report = counted(tmp_path, [node("Gather", "t", "x")], stored, (1, 7), TensorProto.INT64)
    assert report.totals.as_is.params == 0


def test_a_table_that_is_scaled_before_it_is_looked_up_counts(tmp_path: Path) -> None:
    nodes = [node("DequantizeLinear", "t", "s", to="wide"), node("Gather", "wide", "x")]
    stored = {"t": ones(50, 8, dtype="uint8"), "s": np.float32(0.5)}
    report = counted(tmp_path, nodes, stored, (1, 7), TensorProto.INT64)
    assert (report.layers[0].op, report.layers[0].cost.params) == ("embedding", 50 * 8)


MS = "com.microsoft"
HELD = {
    f"{MS}::{name}": at
    for names, at in (
        ("Attention QAttention FusedConv NhwcConv NhwcFusedConv FusedGemm GemmFloat8", 1),
        ("GemmFastGelu MatMulInteger16 MatMulIntegerToFloat DynamicQuantizeMatMul", 1),
        ("MatMulFpQ4 MatMulNBits MatMulBnb4 MatMulPacked ConvTransposeWithDynamicPads", 1),
        ("DynamicQuantizeLSTM", 2),
        ("QLinearConv QGemm", 3),
        ("QOrderedMatMul MoE EmbedLayerNormalization QEmbedLayerNormalization", 2),
        ("MatMulNBitsMlp", 6),
        ("MatMulNBitsQkv", 9),
        ("TorchEmbedding GatherBlockQuantized", 0),
    )
    for name in names.split()
}
WITHOUT = """CDist FusedMatMul FusedMatMulActivation TransposeMatMul MultiHeadAttention
GroupQueryAttention LinearAttention"""
"""Those whose factors are computed, or floating-point numbers."""


def test_what_every_product_of_a_runtime_reads_as_weights_is_told() -> None:
    embeddings = {name for name, word in FREE.items() if word == "embedding"}
    own = {name for name in {*FORMULAS, *embeddings} if name.startswith(f"{MS}::")}
    assert own == {*HELD, *(f"{MS}::{name}" for name in WITHOUT.split())}


@pytest.mark.parametrize("operator", HELD)
def test_whole_numbers_in_the_place_of_weights_are_weights(operator: str) -> None:
    stored = (Parameter("w", 32, 32),)
    computed = Value("float32", (2, 3), source=0)
    inputs: list[Any] = [computed] * 10
    inputs[HELD[operator]] = Value("uint8", (4, 8), stored=stored, name="w")
    if operator.endswith("MatMulFpQ4"):
        inputs[2] = np.array([8, 8])
    one = made(operator, inputs, 1, N=8, K=8, bits=4)
    packed = ("FpQ4", "NBits", "Bnb4", "Packed", "Mlp", "Qkv", "BlockQuantized")
    assert [weight.numel for weight in weights_read(one)] == [
        64 if operator.endswith(packed) else 32
    ]


def test_states_that_a_recurrent_layer_starts_from_are_no_parameters(tmp_path: Path) -> None:
    stored = {"w": ones(1, 20, 3), "r": ones(1, 20, 5), "b": ones(1, 40), "h": ones(1, 2, 5)}
    one = helper.make_node("LSTM", ["x", "w", "r", "b", "", "h", "h"], ["y"], "lstm", hidden_size=5)
    report = counted(tmp_path, [one], stored, (7, 2, 3))
    assert report.totals.as_is.params == 20 * 3 + 20 * 5 + 40


def test_weights_stay_themselves_on_their_way(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Cast", ["w"], ["wide"], "cast", to=TensorProto.FLOAT),
        node("Transpose", "wide", to="turned", perm=[1, 0]),
        node("Identity", "turned", to="same"),
        node("MatMul", "x", "same", to="first"),
        node("MatMul", "first", "wide", to="y"),
    ]
    report = counted(tmp_path, nodes, {"w": ones(5, 6, dtype="float16")})
    assert (report.totals.as_is.params, report.totals.as_is.weight_bytes) == (30, 60)
    (shared,) = report.shared_weights or ()
    assert (shared.layers, shared.params) == (("MatMul_first", "MatMul_y"), 30)


def test_quantised_weights_are_of_the_size_they_are_stored_in(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("DequantizeLinear", ["w", "s", "z"], ["wide"], "back", axis=0),
        node("Conv", "x", "wide", "b"),
    ]
    stored = {
        "w": ones(8, 4, 3, 3, dtype="int8"),
        "s": ones(8),
        "z": ones(8, dtype="int8"),
        "b": ones(8),
    }
    cost = counted(tmp_path, nodes, stored).totals.as_is
    assert cost.params == 8 * 4 * 9 + 8
    assert cost.weight_bytes == 8 * 4 * 9 + 8 * 4 + 8 + 8 * 4  # weights, scales, zero points, bias


def test_what_makes_a_mask_is_no_parameter(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("ConstantOfShape", ["size"], ["zeros"], "zeros"),
        node("ScatterND", "zeros", "at", "what", to="mask"),
        helper.make_node("Cast", ["places"], ["floats"], "cast", to=TensorProto.FLOAT),
        node("Mul", "mask", "floats", to="scaled"),
        node("Add", "x", "scaled"),
    ]
    stored = {
        "size": np.array([6, 6]),
        "at": np.array([[0], [1]]),
        "what": ones(2, 6),
        "places": np.arange(6),
    }
    assert counted(tmp_path, nodes, stored).totals.as_is.params == 0


def test_weights_of_four_bits_count_one_by_one(tmp_path: Path) -> None:
    one = node(
        "MatMulNBits", "x", "w", "s", domain="com.microsoft", N=8, K=32, bits=4, block_size=32
    )
    stored = {"w": ones(8, 1, 16, dtype="uint8"), "s": ones(8)}
    cost = counted(tmp_path, [one], stored, (1, 3, 32)).totals.as_is
    assert (cost.params, cost.weight_bytes) == (8 * 32, 8 * 16 + 4 * 8)


def test_weights_of_an_unknown_operator_are_parameters_that_something_reads(tmp_path: Path) -> None:
    one = node("Twist", "x", "w", "n", domain="example")
    graph = helper.make_graph(
        [one],
        "net",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, (1, 4))],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, (1, 4))],
        [numpy_helper.from_array(ones(4, 4), "w"), numpy_helper.from_array(np.arange(4), "n")],
    )
    onnx.save(helper.make_model(graph), tmp_path / "net.onnx")
    report = dscost.analyze(tmp_path / "net.onnx")
    assert report.totals.as_is.params == 4 * 4
    assert report.doubts == ()


def test_a_bias_of_zeros_made_on_the_way_is_none(tmp_path: Path) -> None:
    nodes = [
        node("CastLike", "zero", "x", to="like"),
        node("Expand", "like", "size", to="zeros"),
        node("Conv", "x", "w", "zeros"),
    ]
    stored = {"zero": np.zeros((), "float32"), "size": np.array([8]), "w": ones(8, 4, 3, 3)}
    (layer,) = counted(tmp_path, nodes, stored).layers
    assert layer.conv is not None
    assert not layer.conv.bias
    assert layer.cost.params == 8 * 4 * 9


@pytest.mark.parametrize(
    ("names", "params"),
    [
        (("/1/Constant_output_0", "/1/Constant_1_output_0"), 0),
        (("val_8", "val_11"), 0),
        (("1.weight", "1.bias"), 4 + 4),
        (("onnx::Norm_8", "onnx::Norm_9"), 4 + 4),
    ],
)
def test_ones_and_zeros_of_an_exporter_are_no_parameters(
    tmp_path: Path, names: tuple[str, str], params: int
) -> None:
    stored = {names[0]: ones(4), names[1]: np.zeros(4, "float32")}
    report = counted(tmp_path, [node("InstanceNormalization", "x", *names)], stored)
    assert report.totals.as_is.params == params


def test_what_is_neither_ones_nor_zeros_is_a_parameter_whatever_it_is_called(
    tmp_path: Path,
) -> None:
    stored = {"val_1": np.arange(4, dtype="float32"), "val_2": 2 * ones(4)}
    report = counted(tmp_path, [node("InstanceNormalization", "x", *stored)], stored)
    assert report.totals.as_is.params == 4 + 4


def test_what_is_computed_of_constants_alone_is_told_and_not_counted(tmp_path: Path) -> None:
    nodes = [node("MatMul", "a", "b", to="low"), node("MatMul", "x", "low")]
    report = counted(tmp_path, nodes, {"a": ones(6, 2), "b": ones(2, 5)})
    cost = report.totals.as_is
    assert (cost.macs, cost.params) == (4 * 6 * 6 * 5, 6 * 2 + 2 * 5)
    assert report.warnings == (
        "MatMul_low computes with constants alone: its 60 MACs do not count.",
    )
