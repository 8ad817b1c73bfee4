"""What nodes of ONNX graphs write: as onnx infers it, by hand where it does not, and what does not fit."""

from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import onnx
import pytest
from graph_nodes import DRAWN, ints, made, typed_as
from onnx import NodeProto, TensorProto, helper

import dscost
from dscost.errors import InputError
from dscost.graphs.convolutions import layer_of
from dscost.graphs.costs import macs_of
from dscost.graphs.nodes import attributes_of
from dscost.graphs.shapes import typed
from dscost.graphs.shapes.inferred import inferred
from dscost.graphs.shapes.table import SHAPED
from dscost.graphs.values import Value

MS = "com.microsoft::"


@pytest.mark.parametrize("family", DRAWN)
def test_types_are_those_that_onnx_infers(family: str) -> None:
    draw = Random(family)
    for _ in range(120):
        node = DRAWN[family](draw)
        found = typed(node)
        assert node.operator in SHAPED
        assert found.misfit == ""
        told = (node.base, node.opset, [v and v.shape for v in node.inputs], node.attributes)
        assert [tuple(one) for one in found.types] == inferred(node), told


# -- by hand, where onnx says nothing or something else than what runs

U8 = "uint8"


BY_HAND = [
    # the last window would begin behind the input: that is no window, as in torch
    (made("MaxPool", [(1, 1, 4)], 10, kernel_shape=[1], strides=[3], ceil_mode=1), [(1, 1, 2)]),
    (made("MaxPool", [(1, 1, 5)], 10, kernel_shape=[2], strides=[2], ceil_mode=1), [(1, 1, 3)]),
    (
        made("ConvTranspose", [(1, 4, 5, 5), (4, 2, 3, 3)], 11, output_shape=[7, 6]),
        [(1, 2, 7, 6)],
    ),
    # at a stride of 2 the last position may be out of reach, as ONNX Runtime has it
    (
        made("ConvTranspose", [(1, 4, 5), (4, 2, 3)], 11, output_shape=[12], strides=[2]),
        [(1, 2, 12)],
    ),
    (made("Squeeze", [(1, 3, 1), ints()], 13), [(3,)]),  # as ONNX Runtime has it
    # a slice that runs backwards begins at the first at the least: numpy takes none of it
    (made("Slice", [(3,), ints(-5), ints(-9), ints(0), ints(-1)], 13), [(1,)]),
    (made("Add", [(2, 3, 4), (3,)], 6, broadcast=1, axis=1), [(2, 3, 4)]),
    (
        made("BatchNormalization", [(2, 3, 4), *[(3, 4)] * 4], 7, spatial=0),
        [(2, 3, 4)],
    ),
    (made("Pad", [(2, 3)], 1, paddings=[1, 0, 0, 2]), [(3, 5)]),
    (made("Upsample", [(1, 2, 3, 4)], 1, height_scale=2.0, width_scale=1.5), [(1, 2, 6, 6)]),
    (made("Tile", [(2, 3), ints(4), ints(1)], 1), [(2, 12)]),
    (made(MS + "FusedConv", [(1, 3, 8, 8), (4, 3, 3, 3)], 1), [(1, 4, 6, 6)]),
    (made(MS + "NhwcConv", [(1, 8, 9, 3), (4, 3, 3, 3)], 1), [(1, 6, 7, 4)]),
    (made(MS + "BitmaskDropout", [(5, 7)], 1, 2), [(5, 7), (2,)]),
    (made(MS + "BitmaskBiasDropout", [(5, 7), (7,), (5, 7)], 1, 2), [(5, 7), (2,)]),
    (
        made(
            MS + "GemmaRotaryEmbedding", [(1, 6, 4), *[(1, 2, 6, 4)] * 2, *[(1, 1, 6, 4)] * 2], 1, 2
        ),
        [(1, 2, 6, 4), (1, 1, 6, 4)],
    ),
    (made(MS + "IsAllFinite", [(5, 7), (3,)], 1), [()]),
    (made(MS + "MurmurHash3", [(5, 7)], 1), [(5, 7)]),
    (made(MS + "QuantizeWithOrder", [(5, 7), ()], 1), [(5, 7)]),
    (made(MS + "DequantizeWithOrder", [typed_as("int8", 5, 7), ()], 1, to=10), [(5, 7)]),
    (made(MS + "DequantizeBFP", [typed_as(U8, 99), ints(5, 7), ints(7, 1)], 1, dtype=1), [(5, 7)]),
    (made(MS + "GemmFloat8", [(2, 3), (5, 3)], 1, transB=1, dtype=1), [(2, 5)]),
    (made(MS + "NhwcMaxPool", [(1, 8, 9, 3)], 1, kernel_shape=[2, 3]), [(1, 7, 7, 3)]),
    (
        made(
            MS + "QLinearConv",
            [typed_as(U8, 1, 8, 9, 3), (), None, typed_as(U8, 4, 3, 3, 3), *[()] * 4],
            1,
            channels_last=1,
        ),
        [(1, 6, 7, 4)],
    ),
    (
        made(MS + "FusedMatMul", [(7, 3, 2), (7, 3, 5)], 1, transA=1),
        [(7, 2, 5)],
    ),
    (
        made(MS + "FusedMatMul", [(3, 7, 2), (7, 3, 5)], 1, transA=1, transBatchA=1),
        [(7, 2, 5)],
    ),
    (made(MS + "FusedGemm", [(3, 2), (5, 3)], 1, transA=1, transB=1), [(2, 5)]),
    (made(MS + "MatMulNBits", [(2, 7, 96), (5, 3, 16), (15,)], 1, K=96, N=5), [(2, 7, 5)]),
    (
        made(MS + "MatMulNBitsQkv", [(2, 8)], 1, 4, K=8, Nq=6, Nkv=3),
        [(2, 6), (2, 3), (2, 3), (2, 8)],
    ),
    (made(MS + "DynamicQuantizeMatMul", [(2, 3), (3, 5), ()], 1), [(2, 5)]),
    (made(MS + "QLinearAdd", [(2, 3), (), (), (3,), (), (), (), ()], 1), [(2, 3)]),
    (made(MS + "QLinearConcat", [(), (), (2, 3), (), (), (2, 4), (), ()], 1, axis=1), [(2, 7)]),
    (
        made(MS + "QLinearGlobalAveragePool", [(1, 3, 5, 6), *[()] * 4], 1),
        [(1, 3, 1, 1)],
    ),
    (
        made(MS + "SkipLayerNormalization", [(2, 5, 8), (2, 5, 8), (8,)], 1, 4),
        [(2, 5, 8), (2, 5, 1), (2, 5, 1), (2, 5, 8)],
    ),
    (
        made(MS + "EmbedLayerNormalization", [(2, 5), None, (99, 8), (9, 8), None, (8,)], 1, 3),
        [(2, 5, 8), (2,), (2, 5, 8)],
    ),
    (
        made(
            MS + "Attention",
            [(2, 6, 10), (10, 28), (28,), None, (2, 2, 4, 3, 2)],
            1,
            2,
            num_heads=4,
            qkv_hidden_sizes=[8, 8, 12],
        ),
        [(2, 6, 12), (2, 2, 4, 9, 2)],
    ),
    (
        made(MS + "MultiHeadAttention", [(2, 6, 4, 3, 2)], 1, 3, num_heads=4),
        [(2, 6, 8), (2, 4, 6, 2), (2, 4, 6, 2)],
    ),
    (
        made(MS + "MultiHeadAttention", [(2, 6, 8), (2, 9, 8), (2, 9, 12)], 1, num_heads=4),
        [(2, 6, 12)],
    ),
    (
        made(
            MS + "GroupQueryAttention",
            [(1, 3, 32), (1, 3, 16), (1, 3, 16), (1, 2, 5, 8), (1, 2, 5, 8)],
            1,
            3,
            num_heads=4,
            kv_num_heads=2,
        ),
        [(1, 3, 32), (1, 2, 8, 8), (1, 2, 8, 8)],
    ),
    (
        made(MS + "GroupQueryAttention", [(1, 3, 64)], 1, num_heads=4, kv_num_heads=2),
        [(1, 3, 32)],
    ),
    (
        made(MS + "DynamicQuantizeLSTM", [(7, 2, 5), (1, 5, 12), (1, 3, 12)], 1, 3),
        [(7, 1, 2, 3), (1, 2, 3), (1, 2, 3)],
    ),
    (
        made(MS + "GatherBlockQuantized", [typed_as(U8, 99, 16), (2, 5), (99, 1)], 1, bits=4),
        [(2, 5, 32)],
    ),
    (made("SimplifiedLayerNormalization", [(2, 5, 8), (8,)], 1, 2), [(2, 5, 8), (2, 5, 1)]),
    (made(MS + "Rfft", [(3, 16)], 1), [(3, 9, 2)]),
    (made(MS + "Irfft", [(3, 9, 2)], 1), [(3, 16)]),
    (made(MS + "BiasSplitGelu", [(2, 3, 8), (8,)], 1), [(2, 3, 4)]),
    (made(MS + "CDist", [(4, 3), (5, 3)], 1), [(4, 5)]),
]


@pytest.mark.parametrize(
    ("node", "shapes"), BY_HAND, ids=[f"{at} {node.base}" for at, (node, _) in enumerate(BY_HAND)]
)
def test_shapes_by_hand(node: Any, shapes: list[tuple[int, ...]]) -> None:
    assert [shape for _, shape in typed(node).types] == shapes


@pytest.mark.parametrize(
    ("node", "why"),
    [
        (
            made("Conv", [(1, 224, 224, 3), (8, 3, 3, 3)]),
            "in_channels=3, but its input 1×224×224×3 has 224 (they come first)",
        ),
        (made("Conv", [(1, 4, 8, 8), (8, 3, 3, 3)]), "in_channels=3, but its input 1×4×8×8 has 4"),
        (
            made("Conv", [(1, 3, 2, 8), (8, 3, 3, 3)]),
            "a kernel that reaches over 3 does not fit in 2 positions",
        ),
        (
            made("Conv", [(1, 3, 8, 8), (8, 1, 3, 3)], group=3),
            "groups=3 does not divide the weights (8, 1, 3, 3)",
        ),
        (
            made("Conv", [(1, 3, 8, 8), (8, 3, 3, 3)], kernel_shape=[5, 5]),
            "kernel_shape is (5, 5), but its weights are (8, 3, 3, 3)",
        ),
        (
            made("Conv", [(1, 3, 8, 8), (8, 3, 3, 3)], pads=[-1, 0, 0, 0]),
            "pads are at least 0, found (-1, 0, 0, 0)",
        ),
        (
            made("Conv", [(1, 3, 8, 8), (8, 3, 3, 3)], strides=[0, 1]),
            "kernels, strides and dilations are at least 1",
        ),
        (
            made("ConvTranspose", [(1, 3, 1, 1), (3, 8, 1, 1)], pads=[1, 1, 1, 1]),
            "it would write (-1, -1) positions",
        ),
        (
            made("ConvTranspose", [(1, 2, 5, 5), (2, 3, 3, 3)], output_shape=[8, 7]),
            "output_shape is (8, 7), but it writes at most (7, 7)",
        ),
        (made("Gemm", [(2, 8, 1, 1), (8, 5)]), "(2, 8, 1, 1) and (8, 5) are not two matrices"),
        (made("MatMul", [(2, 3), (4, 5)]), "(2, 3) has 3 columns, but (4, 5) has 4 rows"),
        (made("Gemm", [(2, 3), (3, 5)], transB=1), "(2, 3) has 3 columns, but (5, 3) has 5 rows"),
        (made("Add", [(2, 3), (2,)]), "shapes (2, 3) and (2,) do not broadcast"),
        (made("Reshape", [(2, 3), ints(4, -1)]), "(2, 3) has 6 values, (4, -1) has other ones"),
        (
            made("Concat", [(2, 3), (3, 3)], axis=1),
            "shapes (2, 3) and (3, 3) cannot be joined along axis 1",
        ),
        (
            made("BatchNormalization", [(1, 4, 8, 8), *[(3,)] * 4]),
            "it has scales (3,), but its input has 4 channels",
        ),
        (made("Split", [(5,), ints(3, 3)], 13, 2), "axis 0 of (5,) has no parts of (3, 3)"),
        (made("Squeeze", [(2, 3), ints(0)]), "axes (0,) of (2, 3) are not all 1"),
        (made("Transpose", [(2, 3)], perm=[0, 0]), "perm (0, 0) is no order of the axes of (2, 3)"),
        (made("Flatten", [(2, 3)], axis=5), "there is no axis 5 of 2"),
        (
            made("Einsum", [(2, 3), (4, 5)], equation="ij,jk"),
            "equation 'ij,jk' has two sizes for j",
        ),
        (made("Pad", [(1, 1), ints(-1, 0, -1, 0)]), "pads (-1, 0, -1, 0) leave nothing of (1, 1)"),
        (
            made("LSTM", [(7, 2, 5), (1, 12, 6), (1, 12, 3)]),
            "an input (7, 2, 5) does not fit 12×6 weights of 3",
        ),
        (
            made("Attention", [(1, 3, 5, 8), (1, 2, 5, 8), (1, 2, 5, 8)], 23),
            "queries (1, 3, 5, 8), keys (1, 2, 5, 8) and values (1, 2, 5, 8) do not fit",
        ),
        (made("Conv", [(1, 3, 8, 8), (8, 3, 3, 3)], strides=2), "its strides is INT, not INTS"),
        (
            made("Conv", [(1, 3, 8, 8), (8, 3, 3, 3)], auto_pad=[1.5]),
            "its auto_pad is FLOATS, not STRING",
        ),
        (
            made("Reshape", [(2, 3), np.array([6.0])]),
            "its input 2 is float64, no whole numbers",
        ),
        (
            made("Upsample", [(1, 1, 2, 2)], 7, scales=[1.0, 1.0, float("inf"), 1.0]),
            "scales (1.0, 1.0, inf, 1.0) are not those of (1, 1, 2, 2)",
        ),
        (made(MS + "MatMulNBits", [(2, 5)], 1, K=6, N=3), "K=6, but its input is (2, 5)"),
    ],
    ids=lambda one: getattr(one, "base", ""),
)
def test_what_does_not_fit_is_unknown_and_says_why(node: Any, why: str) -> None:
    found = typed(node)
    assert found.types[0] == ("", None)
    assert found.misfit == why


def test_what_depends_on_values_is_unknown_and_no_misfit() -> None:
    for node in (
        made("Reshape", [(2, 3), typed_as("int64", 2)]),
        made("NonZero", [(2, 3)]),
        made("Slice", [(5,), ints(0), typed_as("int64", 1)]),
        made(MS + "Range", [(), ()]),
    ):
        assert typed(node) == ([("", None)], "")


def test_nothing_that_stands_in_a_file_makes_a_negative_number() -> None:
    """Attributes of other values and types, axes of other sizes, inputs that are not there."""
    draw = Random(0)
    strange = [
        -(2**63),
        -7,
        -1,
        0,
        1,
        5,
        2**31,
        2**63 - 1,
        1.5,
        float("inf"),
        "x",
        [1, 2],
        [0.5],
    ]
    for at in range(8000):
        node = draw.choice(BY_HAND)[0] if at % 2 else DRAWN[draw.choice(list(DRAWN))](draw)
        proto = NodeProto()
        proto.CopyFrom(node.proto)
        for attribute in proto.attribute:
            if draw.random() < 0.5:
                attribute.CopyFrom(helper.make_attribute(attribute.name, draw.choice(strange)))
        inputs = tuple(altered(draw, one) for one in node.inputs)[: draw.choice([9, 9, 9, 1])]
        del proto.input[len(inputs) :]
        node = node._replace(attributes=attributes_of(proto), inputs=inputs, proto=proto)
        types = typed(node).types
        for _, shape in types:
            assert shape is None or min(shape, default=0) >= 0
        if all(shape is not None for _, shape in types):
            assert macs_of(node, types[0][1] or ()) >= 0
            layer_of(node)


def altered(draw: Random, value: Value | None) -> Value | None:
    if value is None or value.shape is None or draw.random() < 0.05:
        return None
    if value.content is not None:
        return value._replace(
            content=draw.choice([value.content, value.content.reshape(-1)[:1], None])
        )
    shape = tuple(draw.choice([0, 1, 3, size, size, size]) for size in value.shape)
    return value._replace(shape=shape[: draw.choice([9, 9, 9, 2, 1, 0])])


# -- what a user sees of it


def network(tmp_path: Path, *nodes: Any, shape: tuple[int | str, ...]) -> Path:
    weights = helper.make_tensor("w", TensorProto.FLOAT, (8, 3, 3, 3), [0.0] * 216)
    graph = helper.make_graph(
        list(nodes),
        "net",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [weights],
    )
    onnx.save(helper.make_model(graph), tmp_path / "net.onnx")
    return tmp_path / "net.onnx"


CONV = helper.make_node("Conv", ["x", "w"], ["y"], "conv1")


def test_the_wrong_layout_is_one_line(tmp_path: Path) -> None:
    path = network(tmp_path, CONV, shape=("b", "c", "h", "w"))
    with pytest.raises(InputError) as error:
        dscost.analyze(path, input=(1, 224, 224, 3))
    assert str(error.value) == (
        f"{path}: given x = 1×224×224×3, Conv 'conv1' does not fit what it reads: in_channels=3, "
        "but its input 1×224×224×3 has 224 (they come first)"
    )


def test_a_file_that_is_wrong_by_itself_says_which_node_does_not_fit(tmp_path: Path) -> None:
    path = network(tmp_path, CONV, shape=(1, 4, 8, 8))
    with pytest.raises(InputError) as error:
        dscost.analyze(path)
    assert str(error.value) == (
        f"{path}: Conv 'conv1' does not fit what it reads: in_channels=3, but its input 1×4×8×8 has 4"
    )


@pytest.mark.parametrize(
    ("inputs", "layout", "told"),
    [
        ([(4,), (1, 1, 3), (1, 1, 3)], 0, "its sequence_lens is 4, not 2"),
        ([None, (1, 1, 3), (1, 2, 3)], 0, "its initial_h is 1×1×3, not 1×2×3"),
        ([None, (1, 2, 3), (1, 2, 4)], 0, "its initial_c is 1×2×4, not 1×2×3"),
        ([None, (7, 1, 3), (1, 7, 3)], 1, "its initial_c is 1×7×3, not 7×1×3"),
        ([(2,), (1, 2, 3), (1, 2, 3)], 0, ""),
    ],
    ids=range(5),
)
def test_a_recurrent_layer_begins_with_states_of_its_batch(
    inputs: list[Any], layout: int, told: str
) -> None:
    reads = [(7, 2, 5), (1, 12, 5), (1, 12, 3), None, *inputs]
    assert typed(made("LSTM", reads, outputs=3, layout=layout)).misfit == told


@pytest.mark.parametrize(
    ("base", "shapes", "switch"),
    [
        ("Gemm", [(2, 3), (3, 4)], "transB"),
        ("ReduceL2", [(2, 3)], "keepdims"),
        ("MaxPool", [(1, 2, 4, 4)], "ceil_mode"),
    ],
)
@pytest.mark.parametrize("number", [-1, 2, 2**40])
def test_a_switch_is_on_or_off(
    base: str, shapes: list[tuple[int, ...]], switch: str, number: int
) -> None:
    found = typed(made(base, shapes, **{switch: number}))
    assert found.misfit == f"its {switch} is {number}, not 0 or 1"
    assert found.types == [("", None)]


@pytest.mark.parametrize(
    ("places", "fits"),
    [([0, 2], True), ([-3], True), ([3], False), ([-4], False), ([2**52], False)],
)
def test_what_is_gathered_is_there(places: list[int], fits: bool) -> None:
    found = typed(made("Gather", [(4, 3), np.array(places)], axis=1))
    assert found.types == [("float32", (4, len(places)))] if fits else found.types == [("", None)]
    assert bool(found.misfit) is not fits
