"""Depthwise-separable pairs of ONNX files: what may stand between their stages, and what may not."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import NodeProto, TensorProto, helper, numpy_helper

import dscost
from dscost.reports.records import Report

M, N, SIDE = 8, 16, 6
"""Channels in and out, and the sides of the map."""
DENSE = N * M * 9 * SIDE * SIDE
PAIR = (9 * M + M * N) * SIDE * SIDE

STORED = {
    "deep": np.ones((M, 1, 3, 3), "float32"),
    "point": np.ones((N, M, 1, 1), "float32"),
    "matrix": np.ones((M, N), "float32"),
    "turned": np.ones((N, M), "float32"),
    "squeeze": np.ones((2, M, 1, 1), "float32"),
    "excite": np.ones((M, 2, 1, 1), "float32"),
    "in": np.ones((M, 2), "float32"),
    "out": np.ones((2, M), "float32"),
    "kernel": np.ones((M, N, 1, 1), "float32"),
    "four": np.array([1, 1, 1, 1], "float32"),
    "c": np.ones(M, "float32"),
    "n": np.ones(N, "float32"),
    "planes": np.ones((M, 1, 1), "float32"),
    "two": np.array(2, "float32"),
    "half": np.array(0.5, "float32"),
    "shift": np.array(0, "int8"),
    "groups": np.array([1, 2, M // 2, SIDE, SIDE]),
    "whole": np.array([1, M, SIDE, SIDE]),
    "rows": np.array([SIDE * SIDE, M]),
    "flat": np.array([1, M, SIDE * SIDE]),
    "gates": np.array([1, M, 1, 1]),
    "places": np.array([2, 3]),
    "third": np.array([2]),
    "none": np.zeros(8, "int64"),
    "shifted": np.array([0, 0, 1, 0, 0, 0, -1, 0]),
    "start": np.array([-1]),
    "end": np.array([-100]),
    "back": np.array([-1]),
    "forth": np.array([1]),
    "zero": np.array([0]),
    "far": np.array([100]),
}


def node(op: str, inputs: str, result: str, **attributes: Any) -> NodeProto:
    return helper.make_node(op, inputs.split(), [result], result, **attributes)


def counted(tmp_path: Path, nodes: Sequence[NodeProto], opset: int = 17) -> Report:
    """Return the report of nodes that read `d`, the depthwise stage, and write `y`."""
    first = node("Conv", "x deep", "d", group=M, pads=[1] * 4)
    graph = helper.make_graph(
        [first, *nodes],
        "net",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, (1, M, SIDE, SIDE))],
        [helper.make_tensor_value_info("y", TensorProto.UNDEFINED, None)],
        [numpy_helper.from_array(array, name) for name, array in STORED.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)])
    onnx.save(model, tmp_path / "net.onnx")
    return dscost.analyze(tmp_path / "net.onnx")


def pointwise(read: str) -> NodeProto:
    return node("Conv", f"{read} point", "y")


SQUEEZED = [
    node("GlobalAveragePool", "d", "pooled"),
    node("Conv", "pooled squeeze", "less"),
    node("Relu", "less", "some"),
    node("Conv", "some excite", "more"),
    node("HardSigmoid", "more", "gate"),
]

KEEPING = {
    "nothing": [pointwise("d")],
    "relu6": [node("Clip", "d half two", "a"), pointwise("a")],
    "hard swish": [node("HardSwish", "d", "a"), pointwise("a")],
    "silu": [node("Sigmoid", "d", "s"), node("Mul", "d s", "a"), pointwise("a")],
    "gelu": [
        node("Div", "d two", "e"),
        node("Erf", "e", "f"),
        node("Add", "f half", "g"),
        node("Mul", "d g", "h"),
        node("Mul", "h half", "a"),
        pointwise("a"),
    ],
    "slope": [node("PRelu", "d planes", "a"), pointwise("a")],
    "batch norm": [node("BatchNormalization", "d c c c c", "a"), pointwise("a")],
    "scale and shift": [node("Mul", "d planes", "s"), node("Add", "s planes", "a"), pointwise("a")],
    "identities": [
        node("Identity", "d", "i"),
        node("Dropout", "i", "j"),
        node("Cast", "j", "a", to=TensorProto.FLOAT),
        pointwise("a"),
    ],
    "quantised and back": [
        node("QuantizeLinear", "d half shift", "q"),
        node("DequantizeLinear", "q half shift", "a"),
        pointwise("a"),
    ],
    "pad of nothing": [node("Pad", "d none", "a"), pointwise("a")],
    "slice of all": [node("Slice", "d zero far third forth", "a"), pointwise("a")],
    "concat of one": [node("Concat", "d", "a", axis=1), pointwise("a")],
    "softmax of channels": [node("Softmax", "d", "a", axis=1), pointwise("a")],
    "shuffled channels": [
        node("Reshape", "d groups", "g"),
        node("Transpose", "g", "t", perm=[0, 2, 1, 3, 4]),
        node("Reshape", "t whole", "a"),
        pointwise("a"),
    ],
    "channels last": [
        node("Transpose", "d", "t", perm=[0, 2, 3, 1]),
        node("LayerNormalization", "t c c", "l"),
        node("MatMul", "l matrix", "m"),
        node("Add", "m n", "y"),
    ],
    "rows": [
        node("Transpose", "d", "t", perm=[0, 2, 3, 1]),
        node("Reshape", "t rows", "r"),
        node("Gemm", "r turned n", "y", transB=1),
    ],
    "columns": [node("Reshape", "d flat", "f"), node("MatMul", "turned f", "y")],
    "squeeze and excite": [*SQUEEZED, node("Mul", "d gate", "a"), pointwise("a")],
    "squeeze and excite, by means": [
        node("ReduceMean", "d", "mean", axes=[2, 3], keepdims=0),
        node("Gemm", "mean in", "less"),
        node("Relu", "less", "some"),
        node("MatMul", "some out", "more"),
        node("Sigmoid", "more", "gates1"),
        node("Reshape", "gates1 gates", "gate"),
        node("Expand", "gate whole", "wide"),
        node("Mul", "wide d", "a"),
        pointwise("a"),
    ],
    "a deconvolution of one position": [
        node("Relu", "d", "a"),
        node("ConvTranspose", "a kernel", "y"),
    ],
}

BREAKING = {
    "another branch": [node("Relu", "x", "r"), node("Add", "d r", "a"), pointwise("a")],
    "softmax of positions": [node("Softmax", "d", "a", axis=3), pointwise("a")],
    "shifted": [node("Pad", "d shifted", "a"), pointwise("a")],
    "backwards": [node("Slice", "d start end third back", "a"), pointwise("a")],
    "pooled": [
        node("MaxPool", "d", "a", kernel_shape=[3, 3], pads=[1] * 4),
        pointwise("a"),
    ],
    "gated and not": [
        *SQUEEZED,
        node("Mul", "d gate", "e"),
        node("Add", "d e", "a"),
        pointwise("a"),
    ],
    "resized": [
        helper.make_node("Resize", ["d", "", "four"], ["a"], "a", mode="nearest"),
        pointwise("a"),
    ],
}


@pytest.mark.parametrize("nodes", KEEPING.values(), ids=KEEPING)
def test_a_pair_is_found_through_what_keeps_positions_and_channels_apart(
    tmp_path: Path, nodes: Sequence[NodeProto]
) -> None:
    totals = counted(tmp_path, nodes).totals
    assert totals.standard.macs == DENSE
    assert totals.depthwise_separable == totals.as_is
    assert totals.standard.params in (9 * M * N, 9 * M * N + N)


@pytest.mark.parametrize("nodes", BREAKING.values(), ids=BREAKING)
def test_what_mixes_positions_or_branches_is_in_no_pair(
    tmp_path: Path, nodes: Sequence[NodeProto]
) -> None:
    report = counted(tmp_path, nodes)
    assert report.totals.standard == report.totals.as_is
    assert not any(layer.separable_pairs for layer in report.layers)


def test_before_opset_13_a_softmax_is_over_all_axes_that_follow(tmp_path: Path) -> None:
    nodes = [node("Softmax", "d", "a", axis=1), pointwise("a")]
    assert counted(tmp_path, nodes, opset=11).totals.standard.macs == PAIR
    assert counted(tmp_path, nodes, opset=13).totals.standard.macs == DENSE


def test_a_result_that_the_network_returns_is_inside_of_no_pair(tmp_path: Path) -> None:
    report = counted(tmp_path, [node("Relu", "d", "y")])
    assert report.totals.standard.macs == 9 * M * SIDE * SIDE
    assert report.warnings != ()


def test_the_bias_of_a_gemm_is_that_of_its_pair(tmp_path: Path) -> None:
    rows, columns = KEEPING["rows"], KEEPING["columns"]
    assert counted(tmp_path, rows).totals.standard.params == 9 * M * N + N
    assert counted(tmp_path, columns).totals.standard.params == 9 * M * N
