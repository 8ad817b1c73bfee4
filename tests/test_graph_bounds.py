"""What a layer of an ONNX file multiplies in, and that its bound is by the peak of that."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import NodeProto, TensorProto, helper, numpy_helper

import dscost
from dscost.analysis import predicted
from dscost.devices.peaks import Peaks, fastest
from dscost.devices.sheets import find_device
from dscost.rendering import View, render
from dscost.reports.records import Report
from dscost.reports.report_file import parse_reports

M, SIZE = 512, 64
CONV_MACS = M * M * SIZE * SIZE
MICROSOFT = "com.microsoft"


def report_of(
    folder: Path,
    nodes: Sequence[NodeProto],
    stored: dict[str, np.ndarray[Any, Any]],
    shape: tuple[int, ...] = (1, M, SIZE, SIZE),
    kind: int = TensorProto.FLOAT,
) -> Report:
    """Return the report of nodes that read `x` and write `y`, batch and channels first."""
    last = helper.make_tensor_value_info("y", TensorProto.UNDEFINED, None)
    first = helper.make_tensor_value_info("x", kind, shape)
    tensors = [numpy_helper.from_array(value, name) for name, value in stored.items()]
    graph = helper.make_graph(nodes, "g", [first], [last], tensors)
    opsets = [helper.make_opsetid("", 21), helper.make_opsetid(MICROSOFT, 1)]
    path = folder / "net.onnx"
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=10), str(path))
    return dscost.analyze(str(path))


def node(operator: str, reads: str, writes: str, **attributes: Any) -> NodeProto:
    return helper.make_node(operator, reads.split(), writes.split(), **attributes)


W8 = np.ones((M, M, 1, 1), np.int8)
W = W8.astype(np.float32)
SCALE = {"s": np.float32(0.1), "z": np.int8(0), "zu": np.uint8(0)}
QDQ = [node("QuantizeLinear", "x s z", "q"), node("DequantizeLinear", "q s z", "d")]
DEQUANTIZED = node("DequantizeLinear", "w s z", "wd")

CONVS = {
    "floating": ([node("Conv", "x w", "y")], W, "float32"),
    "whole numbers": (
        [
            node("DynamicQuantizeLinear", "x", "q qs qz"),
            node("ConvInteger", "q w qz", "y"),
        ],
        W8,
        "int8",
    ),
    "whole numbers that are scaled": (
        [node("QuantizeLinear", "x s z", "q"), node("QLinearConv", "q s z w s z s z", "y")],
        W8,
        "int8",
    ),
    "both dequantised": ([*QDQ, DEQUANTIZED, node("Conv", "d wd", "y")], W8, "int8"),
    "only the weights dequantised": ([DEQUANTIZED, node("Conv", "x wd", "y")], W8, "float32"),
    "only the input dequantised": ([*QDQ, node("Conv", "d w", "y")], W, "float32"),
    "weights quantised in the file": (
        [
            *QDQ,
            node("QuantizeLinear", "w s z", "wq"),
            node("DequantizeLinear", "wq s z", "wd"),
            node("Conv", "d wd", "y"),
        ],
        W,
        "int8",
    ),
    "dequantised and moved": (
        [
            *QDQ,
            node("Relu", "d", "r"),
            node("MaxPool", "r", "p", kernel_shape=[1, 1]),
            DEQUANTIZED,
            node("Conv", "p wd", "y"),
        ],
        W8,
        "int8",
    ),
    "dequantised and computed with": (
        [*QDQ, node("Sigmoid", "d", "r"), DEQUANTIZED, node("Conv", "r wd", "y")],
        W8,
        "float32",
    ),
    "cast to halves": (
        [node("Cast", "x", "h", to=TensorProto.FLOAT16), node("Conv", "h w", "y")],
        W.astype(np.float16),
        "float16",
    ),
}


@pytest.mark.parametrize(("nodes", "weight", "dtype"), CONVS.values(), ids=CONVS)
def test_a_convolution_is_bounded_by_the_peak_of_what_it_multiplies_in(
    tmp_path: Path, nodes: list[NodeProto], weight: np.ndarray[Any, Any], dtype: str
) -> None:
    report = predicted(report_of(tmp_path, nodes, {**SCALE, "w": weight}), ["pixel_6"])
    (layer,) = [layer for layer in report.layers if layer.cost.macs]
    assert layer.dtype == dtype
    assert layer.cost.macs == CONV_MACS
    # the data sheet: 89.6 GFLOP/s in float32, 179.2 in float16, 358.4 in int8
    peak = {"float32": 89.6e9, "float16": 179.2e9, "int8": 358.4e9}[dtype]
    bound = layer.predictions["pixel_6"]["as_is"]
    assert (bound.bound, bound.roofline_s) == ("compute", pytest.approx(2 * CONV_MACS / peak))
    others_s = sum(
        one.predictions["pixel_6"]["as_is"].roofline_s for one in report.layers if one != layer
    )
    whole = report.predictions["pixel_6"]["as_is"]
    assert whole.roofline_s == pytest.approx(2 * CONV_MACS / peak + others_s)
    text = render([report], "table", View())
    moves_more = any(one.type == "DequantizeLinear" for one in report.layers)
    assert ("no run can be faster" in text) is not moves_more
    assert ("a runtime that multiplies whole numbers without dequantising" in text) is moves_more


PACKED = {"b": np.zeros((8, 2, 16), np.uint8), "bs": np.ones(16, np.float32)}
BITS = {"K": 64, "N": 8, "bits": 4, "block_size": 32, "domain": MICROSOFT}
QUANTIZED = {"b": np.ones((64, 8), np.int8), "bs": np.ones(1, np.float32)}

PRODUCTS: dict[str, tuple[NodeProto, dict[str, np.ndarray[Any, Any]], str]] = {
    "packed weights": (node("MatMulNBits", "x b bs", "y", **BITS), PACKED, "float32"),
    "packed, in float32": (
        node("MatMulNBits", "x b bs", "y", accuracy_level=1, **BITS),
        PACKED,
        "float32",
    ),
    "packed, in bfloat16 if faster": (
        node("MatMulNBits", "x b bs", "y", accuracy_level=3, **BITS),
        PACKED,
        "bfloat16",
    ),
    "packed, in int8 if faster": (
        node("MatMulNBits", "x b bs", "y", accuracy_level=4, **BITS),
        PACKED,
        "int8",
    ),
    "quantised as it runs": (
        node("DynamicQuantizeMatMul", "x b bs", "y", domain=MICROSOFT),
        QUANTIZED,
        "int8",
    ),
}


@pytest.mark.parametrize(("product", "stored", "dtype"), PRODUCTS.values(), ids=PRODUCTS)
def test_products_are_in_what_their_operator_makes_of_its_factors(
    tmp_path: Path, product: NodeProto, stored: dict[str, np.ndarray[Any, Any]], dtype: str
) -> None:
    (layer,) = report_of(tmp_path, [product], stored, (1, 4, 64)).layers
    assert (layer.cost.macs, layer.dtype) == (4 * 64 * 8, dtype)


def test_where_no_peak_is_known_the_largest_is_taken_and_that_runs_may_be_faster_said(
    tmp_path: Path,
) -> None:
    nodes, weight, _ = CONVS["whole numbers that are scaled"]
    report = report_of(tmp_path, nodes, {**SCALE, "w": weight})
    alone = predicted(report, ["v100"])
    bound = alone.predictions["v100"]["as_is"]
    assert bound.without_peak == "int8"  # its data sheet: 125 TFLOP/s in float16 and no int8
    assert bound.roofline_s >= 2 * CONV_MACS / 125e12
    text = render([alone], "table", View())
    assert "No peak is known of v100 in int8" in text
    assert "no run can be faster" not in text
    both = render([predicted(report, ["v100", "t4"])], "table", View())
    assert "No peak is known of v100 in int8" in both
    assert "except as follows, no run can be faster" in both


def test_what_a_layer_multiplies_in_is_saved_and_old_reports_do_without(tmp_path: Path) -> None:
    nodes, weight, _ = CONVS["both dequantised"]
    report = predicted(report_of(tmp_path, nodes, {**SCALE, "w": weight}), ["v100"])
    text = render([report], "json", View())
    (read,) = parse_reports(text, "r.json")
    assert [layer.dtype for layer in read.layers] == [layer.dtype for layer in report.layers]
    assert read.predictions == report.predictions
    old = text.replace('"dtype": "int8"', '"later": 1').replace('"without_peak"', '"later"')
    (read,) = parse_reports(old, "r.json")
    assert {layer.dtype for layer in read.layers} == {None}
    # then all is in float32, as the input is: 15.7 TFLOP/s
    assert predicted(read, ["v100"]).predictions["v100"]["as_is"].roofline_s > (
        2 * CONV_MACS / 15.7e12
    )


def test_a_peak_is_the_largest_of_what_holds_the_values() -> None:
    odd = Peaks(find_device("t4", "float32"), {"float32": 9.0, "float16": 4.0, "int8": 2.0})
    assert [odd.of(dtype).flops_per_s for dtype in ("float16", "int8", "int16")] == [9, 9, 9]
    assert [odd.has(dtype) for dtype in ("float16", "int16", "bfloat16")] == [True, True, False]
    usual = Peaks(odd.own, {"float32": 1.0, "float16": 2.0, "int8": 4.0})
    dtypes = ("float32", "float16", "int8", "int16", "bfloat16", "float8e4m3fn", None)
    assert [usual.of(dtype).flops_per_s for dtype in dtypes] == [1, 2, 4, 4, 4, 4, 8.1e12]
    assert fastest({"float8e4m3fn", "int8"}) == "float8e4m3fn"  # nobody knows how fast it is
