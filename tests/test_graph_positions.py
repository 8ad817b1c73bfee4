"""Tables of relative positions that an exporter wrote out: by hand, and looked up as torch does."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

import dscost
from dscost.graphs.positions import params_in


def looked_up(side: int, heads: int) -> np.ndarray:
    """Return a table of relative positions for all pairs of a window: `(pairs, heads)`."""
    table = np.random.default_rng(0).normal(size=((2 * side - 1) ** 2, heads)).astype("float32")
    places = [(y, x) for y in range(side) for x in range(side)]
    index = [
        (y - v + side - 1) * (2 * side - 1) + (x - u + side - 1)
        for y, x in places
        for v, u in places
    ]
    return table[index]


def stored(array: np.ndarray) -> TensorProto:
    return numpy_helper.from_array(array.astype("float32"), "table")


@pytest.mark.parametrize(("side", "heads"), [(2, 1), (3, 5), (7, 3)])
def test_of_what_is_looked_up_the_table_is_counted(side: int, heads: int) -> None:
    rows = looked_up(side, heads)
    squares = rows.T.reshape(1, heads, side**2, side**2)
    assert params_in(stored(rows)) == (2 * side - 1) ** 2 * heads
    assert params_in(stored(squares)) == (2 * side - 1) ** 2 * heads
    assert params_in(stored(squares[0])) == (2 * side - 1) ** 2 * heads


def test_other_numbers_of_that_shape_all_count() -> None:
    rows = looked_up(3, 4)
    rows[17, 2] += 1
    assert params_in(stored(rows)) == 81 * 4
    assert params_in(stored(np.ones((81, 4)))) == 81 * 4
    assert params_in(stored(np.ones((8, 4, 9, 9)))) == 8 * 4 * 81
    outside = TensorProto(name="far", dims=(1, 4, 9, 9), data_type=TensorProto.FLOAT)
    assert params_in(outside) == 4 * 81


@pytest.mark.parametrize("heads", [3, 16, 32], ids=["small", "larger", "largest"])
@pytest.mark.parametrize("where", ["", "net.data"], ids=["inside", "outside"])
def test_a_file_says_what_it_stores_of_how_many_parameters(
    tmp_path: Path, heads: int, where: str
) -> None:
    squares = looked_up(7, heads).T.reshape(1, heads, 49, 49)
    graph = helper.make_graph(
        [helper.make_node("Add", ["x", "table"], ["y"], "add")],
        "net",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, (2, heads, 49, 49))],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [stored(squares)],
    )
    model = helper.make_model(graph)
    if where:
        onnx.save(
            model,
            tmp_path / "net.onnx",
            save_as_external_data=True,
            location=where,
            size_threshold=0,
        )
    else:
        onnx.save(model, tmp_path / "net.onnx")
    report = dscost.analyze(tmp_path / "net.onnx")
    cost = report.totals.as_is
    assert (cost.params, cost.weight_bytes) == (13 * 13 * heads, 4 * 2401 * heads)
    told = f"{2401 * heads:,} numbers, {169 * heads:,} of them parameters."
    assert report.warnings == (f"Tables of relative positions are written out in the file: {told}",)


@pytest.mark.parametrize("least", [-100.0, -np.inf, np.finfo("float32").min])
@pytest.mark.parametrize("shape", [(4, 49, 49), (1, 64, 1, 49, 49), (1, 1, 20, 20)], ids=str)
def test_a_mask_is_no_parameter(tmp_path: Path, least: float, shape: tuple[int, ...]) -> None:
    mask = np.where(np.random.default_rng(0).random(shape) < 0.5, 0, least)
    assert added(tmp_path, mask) == (0, 0)
    assert added(tmp_path, np.where(mask == 0, 0.5, least)) == (mask.size, 4 * mask.size)


def added(tmp_path: Path, array: np.ndarray) -> tuple[int | None, int | None]:
    """Return the params and the bytes of weights of a network that adds an array."""
    graph = helper.make_graph(
        [helper.make_node("Add", ["x", "table"], ["y"], "add")],
        "net",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, array.shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [stored(array)],
    )
    onnx.save(helper.make_model(graph), tmp_path / "net.onnx")
    cost = dscost.analyze(tmp_path / "net.onnx").totals.as_is
    return cost.params, cost.weight_bytes


def test_weights_that_are_not_read_leave_room_for_what_is(tmp_path: Path) -> None:
    large = numpy_helper.from_array(np.ones((1, 2**22), "float32"), "large")
    shape = numpy_helper.from_array(np.array([1, 2**22]), "shape")
    graph = helper.make_graph(
        [
            helper.make_node("Reshape", ["x", "shape"], ["row"], "row"),
            helper.make_node("Add", ["row", "large"], ["y"], "add"),
        ],
        "net",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, (2, 2**21))],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [large, shape],
    )
    path = tmp_path / "net.onnx"
    onnx.save(
        helper.make_model(graph), path, save_as_external_data=True, location="d", size_threshold=0
    )
    assert dscost.analyze(path).layers[-1].output_shape == (1, 2**22)
