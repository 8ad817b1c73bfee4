"""What nodes of ONNX files move, and what is alive while they run: by hand, in bytes."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import NodeProto, TensorProto, helper, numpy_helper

import dscost
from dscost.reports.records import Layer, Report

FLOAT = 4
"""Bytes of a float32."""

STORED = {
    "w": np.ones((8, 3), "float32"),
    "row": np.ones((1, 8), "float32"),
    "wide": np.array([4, 8]),
    "flat": np.array([32]),
    "two": np.array(2, "float32"),
    "table": np.ones((100, 8), "float32"),
    "cut": np.array([2]),
    "from": np.array([0]),
    "to": np.array([4]),
    "rows": np.array([0]),
    "m": np.ones((1, 20, 8), "float32"),
    "r": np.ones((1, 20, 5), "float32"),
}


def node(op: str, inputs: str, results: str, **attributes: Any) -> NodeProto:
    return helper.make_node(op, inputs.split(), results.split(","), results, **attributes)


def counted(
    tmp_path: Path, *nodes: NodeProto, returns: str = "y", shape: Sequence[int] = (4, 8)
) -> Report:
    """Return the report of nodes that read `x`, 4 rows of 8 numbers."""
    graph = helper.make_graph(
        list(nodes),
        "net",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info(name, 0, None) for name in returns.split()],
        [numpy_helper.from_array(array, name) for name, array in STORED.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)])
    onnx.save(model, tmp_path / "net.onnx")
    return dscost.analyze(tmp_path / "net.onnx")


def moved(report: Report) -> list[int | None]:
    return [layer.cost.traffic_bytes for layer in report.layers]


MAP = 4 * 8 * FLOAT
"""Bytes of what all of these networks read."""


@pytest.mark.parametrize(
    ("one", "bytes_moved"),
    [
        (node("Relu", "x", "y"), MAP + MAP),
        (node("Add", "x x", "y"), MAP + MAP),
        (node("Mul", "x two", "y"), MAP + MAP),
        (node("Add", "x row", "y"), MAP + 8 * FLOAT + MAP),
        (node("MatMul", "x w", "y"), MAP + 8 * 3 * FLOAT + 4 * 3 * FLOAT),
        (node("Reshape", "x flat", "y"), 0),
        (node("Identity", "x", "y"), 0),
        (node("Transpose", "x", "y"), MAP + MAP),
        (node("Slice", "x from cut rows", "y"), MAP + 2 * 8 * FLOAT),
        (node("Cast", "x", "y", to=TensorProto.BOOL), MAP + 4 * 8),
        (node("Cast", "x", "y", to=TensorProto.FLOAT16), MAP + 4 * 8 * 2),
        (node("Cast", "x", "y", to=TensorProto.INT4), MAP + 4 * 8 // 2),
        (node("Cast", "x", "y", to=TensorProto.STRING), MAP),  # text has no size
    ],
    ids=lambda value: value.op_type if isinstance(value, NodeProto) else "",
)
def test_each_operand_is_read_once_and_each_result_written_once(
    tmp_path: Path, one: NodeProto, bytes_moved: int
) -> None:
    assert moved(counted(tmp_path, one)) == [bytes_moved]


def test_what_is_expanded_is_read_as_it_is_stored(tmp_path: Path) -> None:
    nodes = node("Expand", "row wide", "e"), node("Add", "x e", "y")
    assert moved(counted(tmp_path, *nodes)) == [MAP + 8 * FLOAT + MAP]


def test_of_what_is_cut_the_part_that_is_left_is_read(tmp_path: Path) -> None:
    nodes = node("Slice", "table from to", "rows4"), node("Add", "x rows4", "y")
    report = counted(tmp_path, *nodes)
    assert moved(report) == [MAP + MAP + MAP]
    assert report.totals.as_is.params == 100 * 8


def test_what_is_not_asked_for_is_not_written(tmp_path: Path) -> None:
    one = helper.make_node("LSTM", ["x", "m", "r"], ["", "y"], "lstm", hidden_size=5)
    (layer,) = counted(tmp_path, one, shape=(7, 2, 8)).layers
    assert isinstance(layer, Layer)
    assert layer.cost.output_bytes == 2 * 5 * FLOAT
    assert layer.cost.traffic_bytes == (7 * 2 * 8 + 20 * 8 + 20 * 5 + 2 * 5) * FLOAT


def peak(tmp_path: Path, *nodes: NodeProto, returns: str = "y") -> int | None:
    return counted(tmp_path, *nodes, returns=returns).peak_activation_bytes


def test_a_result_lives_until_its_last_reader_and_an_input_always(tmp_path: Path) -> None:
    chain = node("Relu", "x", "a"), node("Relu", "a", "b"), node("Relu", "b", "y")
    assert peak(tmp_path, *chain) == MAP + 2 * MAP
    residual = node("Relu", "x", "a"), node("Relu", "a", "b"), node("Add", "a b", "y")
    assert peak(tmp_path, *residual) == MAP + 3 * MAP


def test_a_view_keeps_what_it_shows_and_takes_nothing(tmp_path: Path) -> None:
    nodes = [node("Relu", "x", "a"), node("Reshape", "a flat", "v"), node("Relu", "a", "b")]
    assert peak(tmp_path, *nodes, node("Relu", "b", "c"), node("Relu", "c", "y")) == 3 * MAP
    kept = [node("Relu", "b", "c"), node("Reshape", "c flat", "d"), node("Add", "v d", "y")]
    assert peak(tmp_path, *nodes, *kept) == 4 * MAP


def test_what_the_network_returns_lives_to_the_end(tmp_path: Path) -> None:
    chain = node("Relu", "x", "a"), node("Relu", "a", "b"), node("Relu", "b", "c")
    end = node("Relu", "c", "y")
    assert peak(tmp_path, *chain, end) == 3 * MAP
    assert peak(tmp_path, *chain, end, returns="a y") == 4 * MAP


def test_parts_of_a_split_are_let_go_one_by_one(tmp_path: Path) -> None:
    split = node("Split", "x", "a,b", num_outputs=2)
    double = node("Concat", "a a a a", "c", axis=0)  # twice the map; a ends here
    end = node("Concat", "c c", "d", axis=0), node("Add", "b b", "y")
    # x, b, c, d while d is made: b is read later
    assert peak(tmp_path, split, double, *end) == MAP + MAP // 2 + 2 * MAP + 4 * MAP


def test_what_nobody_reads_is_let_go_at_once(tmp_path: Path) -> None:
    nodes = node("Relu", "x", "unread"), node("Relu", "x", "a"), node("Relu", "a", "y")
    assert peak(tmp_path, *nodes) == 3 * MAP
