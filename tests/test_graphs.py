"""ONNX files counted: by hand."""

from pathlib import Path

import onnx
from onnx import TensorProto, helper

import dscost


def test_a_convolution_counts_as_the_formula_says(tmp_path: Path) -> None:
    weights = helper.make_tensor("w", TensorProto.FLOAT, (8, 3, 3, 3), [0.0] * 216)
    graph = helper.make_graph(
        [helper.make_node("Conv", ["x", "w"], ["y"], name="conv", pads=[1, 1, 1, 1])],
        "net",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, (1, 3, 6, 5))],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [weights],
    )
    onnx.save(helper.make_model(graph), tmp_path / "net.onnx")
    report = dscost.analyze(tmp_path / "net.onnx")
    (layer,) = report.layers
    assert (layer.name, layer.cost.params, layer.cost.macs) == ("conv", 216, 6 * 5 * 216)
    assert report.totals.as_is.weight_bytes == 864
