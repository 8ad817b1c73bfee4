"""Quantised layers of ONNX files, in whole numbers or with scales around them: by hand."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
from onnx import NodeProto, TensorProto, helper, numpy_helper

import dscost
from dscost.graphs.costs import BLOCKED_NOTE
from dscost.reports.records import Report
from dscost.traces.notes import QUANTIZED_NOTE

C, N, SIZE = 4, 6, 5
WHERE = SIZE * SIZE
DENSE, PAIR = WHERE * C * N * 9, WHERE * C * 9 + WHERE * C * N

STORED = {
    "depthwise": np.ones((C, 1, 3, 3), np.int8),
    "pointwise": np.ones((N, C, 1, 1), np.int8),
    "dense": np.ones((N, C, 3, 3), np.int8),
    "other": np.zeros((N, C, 3, 3), np.int8),
    "blocks": np.ones((16, C, 3, 3), np.float32),
    "bias": np.ones(N, np.int32),
    "scale": np.array(0.1, np.float32),
    "scales": np.full(N, 0.1, np.float32),
    "zero": np.array(0, np.uint8),
    "signed_zero": np.array(0, np.int8),
}
PADS = {"pads": [1, 1, 1, 1]}


def counted(tmp_path: Path, nodes: Sequence[NodeProto], dtype: int = TensorProto.UINT8) -> Report:
    used = {name for node in nodes for name in node.input}
    graph = helper.make_graph(
        list(nodes),
        "net",
        [helper.make_tensor_value_info("x", dtype, (1, C, SIZE, SIZE))],
        [onnx.ValueInfoProto(name=nodes[-1].output[0])],
        [numpy_helper.from_array(value, name) for name, value in STORED.items() if name in used],
    )
    domains = {"com.microsoft", *(node.domain for node in nodes)} - {""}
    opsets = [helper.make_opsetid("", 13), *(helper.make_opsetid(one, 1) for one in domains)]
    onnx.save(helper.make_model(graph, opset_imports=opsets), tmp_path / "net.onnx")
    return dscost.analyze(tmp_path / "net.onnx")


def whole(x: str, weights: str, y: str, bias: str = "", **attributes: object) -> NodeProto:
    inputs = [x, "scale", "zero", weights, "scale", "signed_zero", "scale", "zero", bias]
    return helper.make_node("QLinearConv", inputs, [y], y, **attributes)


def scaled(
    weights: str, x: str, y: str, *, bias: bool = False, **attributes: object
) -> list[NodeProto]:
    """A convolution with weights that are stored as whole numbers and their scales."""
    nodes = [helper.make_node("DequantizeLinear", [weights, "scale"], [f"{y}_w"])]
    if bias:
        nodes.append(helper.make_node("DequantizeLinear", ["bias", "scale"], [f"{y}_b"]))
    inputs = [x, f"{y}_w", *([f"{y}_b"] if bias else [])]
    return [*nodes, helper.make_node("Conv", inputs, [y], y, **attributes)]


def test_a_pair_in_whole_numbers_stands_for_a_convolution_in_whole_numbers(tmp_path: Path) -> None:
    nodes = [
        whole("x", "depthwise", "d", group=C, **PADS),
        helper.make_node(
            "QLinearLeakyRelu",
            ["d", "scale", "zero", "scale", "zero"],
            ["r"],
            "r",
            domain="com.microsoft",
        ),
        whole("r", "pointwise", "y", "bias"),
    ]
    totals = counted(tmp_path, nodes).totals
    assert (totals.as_is.macs, totals.standard.macs) == (PAIR, DENSE)
    assert (totals.as_is.params, totals.standard.params) == (C * 9 + C * N + N, C * N * 9 + N)
    # a weight is a byte, a bias are four, a scale is one of four bytes and a zero point of one
    assert totals.as_is.weight_bytes == C * 9 + C * N + 4 * N + 4 + 1 + 1
    assert totals.standard.weight_bytes == C * N * 9 + 4 * N


def test_a_convolution_in_whole_numbers_could_be_separable(tmp_path: Path) -> None:
    report = counted(tmp_path, [whole("x", "dense", "y", "bias", strides=[2, 2], **PADS)])
    (layer,) = report.layers
    assert layer.op == "convolution"
    assert layer.conv is not None
    assert (layer.conv.kernel_size, layer.conv.stride, layer.conv.bias) == ((3, 3), (2, 2), True)
    stages = layer.variants["depthwise_separable"]
    assert stages.weight_bytes == C * 9 + C * N + 4 * N
    # bytes of the input, what is between and the output, each value one
    between, written = C * 9, N * 9
    assert stages.traffic_bytes == C * WHERE + 2 * between + written + stages.weight_bytes


def test_weights_that_are_scaled_are_those_that_are_stored(tmp_path: Path) -> None:
    nodes = [
        *scaled("depthwise", "x", "d", group=C, **PADS),
        helper.make_node("Relu", ["d"], ["r"], "r"),
        *scaled("pointwise", "r", "y", bias=True),
    ]
    totals = counted(tmp_path, nodes, TensorProto.FLOAT).totals
    assert (totals.as_is.macs, totals.standard.macs) == (PAIR, DENSE)
    assert totals.as_is.params == C * 9 + C * N + N
    assert totals.as_is.weight_bytes == C * 9 + C * N + 4 * N + 4
    assert totals.standard.weight_bytes == C * N * 9 + 4 * N


def test_layers_that_share_a_scale_share_no_weights(tmp_path: Path) -> None:
    nodes = [whole("x", "dense", "a", **PADS), whole("x", "other", "b", **PADS)]
    totals = counted(tmp_path, [*nodes, helper.make_node("Add", ["a", "b"], ["y"])]).totals
    assert totals.as_is.params == 2 * C * N * 9
    assert totals.depthwise_separable.params == 2 * (C * 9 + C * N)


def test_sums_in_whole_numbers_have_no_other_versions_and_it_is_said(tmp_path: Path) -> None:
    node = helper.make_node("ConvInteger", ["x", "dense", "zero"], ["y"], "y", **PADS)
    report = counted(tmp_path, [node])
    assert report.totals.as_is.macs == DENSE
    assert report.totals.as_is == report.totals.depthwise_separable
    assert QUANTIZED_NOTE in report.warnings
    conv = report.layers[0].conv
    assert conv is not None
    assert (conv.kernel_size, conv.out_channels) == ((3, 3), N)


def last(x: str, weights: str, y: str, **attributes: object) -> NodeProto:
    """The same in whole numbers with its channels last, as ONNX Runtime writes it."""
    node = whole(x, weights, y, channels_last=1, **attributes)
    node.domain = "com.microsoft"
    return node


def test_channels_that_are_last_make_the_same_pair(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Transpose", ["x"], ["t"], "t", perm=[0, 2, 3, 1]),
        last("t", "depthwise", "d", group=C, **PADS),
        last("d", "pointwise", "p"),
        helper.make_node("Transpose", ["p"], ["y"], "y", perm=[0, 3, 1, 2]),
    ]
    report = counted(tmp_path, nodes)
    totals = report.totals
    assert (totals.as_is.macs, totals.standard.macs) == (PAIR, DENSE)
    shapes = {layer.name: layer.output_shape for layer in report.layers}
    assert (shapes["d"], shapes["p"]) == ((1, C, SIZE, SIZE), (1, N, SIZE, SIZE))


def test_channels_in_blocks_count_as_they_are_in_the_file(tmp_path: Path) -> None:
    blocked = "com.microsoft.nchwc"
    nodes = [
        helper.make_node("Conv", ["x", "blocks"], ["b"], "b", domain=blocked, **PADS),
        helper.make_node("MaxPool", ["b"], ["m"], "m", domain=blocked, kernel_shape=[2, 2]),
        helper.make_node("ReorderOutput", ["m"], ["y"], "y", domain=blocked, channels=N),
    ]
    report = counted(tmp_path, nodes, TensorProto.FLOAT)
    assert report.totals.as_is.macs == WHERE * C * 16 * 9
    assert report.layers[-1].output_shape == (1, N, SIZE - 1, SIZE - 1)
    assert report.coverage.unknown == ()
    assert BLOCKED_NOTE in report.warnings


WORDS, WIDE, HEADS, SHARED, NEW, CACHED = 64, 32, 4, 2, 3, 5
EACH = WIDE // HEADS


def test_a_decoder_of_four_bits_counts_whole(tmp_path: Path) -> None:
    """Rows of weights, attention with a cache and a residual, as ONNX Runtime's own operators."""
    four_bits = {"bits": 4, "block_size": 16}
    both = (HEADS + 2 * SHARED) * EACH

    def own(operator: str, inputs: str, outputs: str, **attributes: object) -> NodeProto:
        names = [name.strip("-") for name in inputs.split()]
        written = outputs.split()
        return helper.make_node(
            operator, names, written, written[0], domain="com.microsoft", **attributes
        )

    nodes = [
        own("GatherBlockQuantized", "rows ids row_scales", "e", **four_bits),
        helper.make_node("SimplifiedLayerNormalization", ["e", "scale"], ["n"], "n"),
        own("MatMulNBits", "n qkv qkv_scales", "q", K=WIDE, N=both, **four_bits),
        own(
            "GroupQueryAttention",
            "q - - past past lengths total",
            "a keys values",
            num_heads=HEADS,
            kv_num_heads=SHARED,
        ),
        own("MatMulNBits", "a out out_scales", "o", K=WIDE, N=WIDE, **four_bits),
        own("SkipSimplifiedLayerNormalization", "o e scale", "y - - s"),
    ]
    nodes[-1].output[1] = nodes[-1].output[2] = ""
    values = {
        "rows": np.zeros((WORDS, WIDE // 2), np.uint8),
        "row_scales": np.zeros((WORDS, WIDE // 16), np.float32),
        "scale": np.ones(WIDE, np.float32),
        "qkv": np.zeros((both, WIDE // 16, 8), np.uint8),
        "qkv_scales": np.zeros(both * WIDE // 16, np.float32),
        "out": np.zeros((WIDE, WIDE // 16, 8), np.uint8),
        "out_scales": np.zeros(WIDE * WIDE // 16, np.float32),
    }
    inputs = [
        ("ids", TensorProto.INT64, (1, NEW)),
        ("past", TensorProto.FLOAT, (1, SHARED, CACHED, EACH)),
        ("lengths", TensorProto.INT32, (1,)),
        ("total", TensorProto.INT32, ()),
    ]
    graph = helper.make_graph(
        nodes,
        "decoder",
        [helper.make_tensor_value_info(*one) for one in inputs],
        [onnx.ValueInfoProto(name=name) for name in ("y", "keys", "values")],
        [numpy_helper.from_array(value, name) for name, value in values.items()],
    )
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("com.microsoft", 1)]
    onnx.save(helper.make_model(graph, opset_imports=opsets), tmp_path / "decoder.onnx")
    report = dscost.analyze(tmp_path / "decoder.onnx")
    assert report.coverage.unknown == ()
    attention = HEADS * NEW * (CACHED + NEW) * 2 * EACH
    assert report.totals.as_is.macs == NEW * WIDE * both + attention + NEW * WIDE * WIDE
    assert report.layers[0].output_shape == (1, NEW, WIDE)
    assert report.layers[0].op == "embedding"
    weights = WORDS * WIDE + WIDE * both + WIDE * WIDE
    assert report.totals.as_is.params == weights + WIDE  # both normalisations read the same scale
    # half a byte a weight, and four for the scale of 16
    assert report.totals.as_is.weight_bytes == weights // 2 + 4 * (weights // 16) + 4 * WIDE
