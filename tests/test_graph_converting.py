"""ONNX files converted: by hand, by numpy's SVD, by onnx's own evaluator, and beside the same module of torch."""

import json
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator
from program import run

import dscost
from dscost.converting import graph_checking, graph_rewriting, saving
from dscost.converting.plan_file import KEEP
from dscost.errors import InputError
from dscost.layers.orders import ORDERS, Order

FLOAT = TensorProto.FLOAT


def weights(name: str, *shape: int, dtype: Any = np.float32, seed: int = 0) -> TensorProto:
    random = np.random.default_rng(seed + sum(map(ord, name)))
    return numpy_helper.from_array(random.standard_normal(shape).astype(dtype), name)


def model(
    nodes: Sequence[NodeProto],
    stored: Sequence[TensorProto] = (),
    *,
    shape: Sequence[int] = (1, 4, 9, 8),
    dtype: int = FLOAT,
    opset: int = 17,
    ir_version: int = 8,
) -> ModelProto:
    graph = helper.make_graph(
        nodes,
        "net",
        [helper.make_tensor_value_info("x", dtype, shape)],
        [helper.make_tensor_value_info("y", dtype, [None] * len(shape))],
        stored,
    )
    opsets = [helper.make_opsetid("", opset), helper.make_opsetid("com.microsoft", 1)]
    return helper.make_model(graph, ir_version=ir_version, opset_imports=opsets)


def conv(name: str, *given: str, out: str = "y", **attributes: Any) -> NodeProto:
    return helper.make_node("Conv", given, [out], name=name, **attributes)


@pytest.fixture
def saved(tmp_path: Path) -> Callable[[ModelProto], Path]:
    def write(one: ModelProto) -> Path:
        onnx.save(one, tmp_path / "net.onnx")
        return tmp_path / "net.onnx"

    return write


Saved = Callable[[ModelProto], Path]


def outputs(one: ModelProto, shape: Sequence[int], dtype: Any = np.float32) -> np.ndarray:
    x = np.random.default_rng(7).standard_normal(shape).astype(dtype)
    (y,) = ReferenceEvaluator(one).run(None, {"x": x})
    return np.asarray(y)


def stored_in(one: ModelProto) -> dict[str, np.ndarray]:
    return {tensor.name: numpy_helper.to_array(tensor) for tensor in one.graph.initializer}


NET = [
    conv("stem", "x", "stem.w", "stem.b", out="a", pads=[1, 1, 1, 1]),
    helper.make_node("Relu", ["a"], ["b"], name="act"),
    conv("body", "b", "body.w", "body.b", out="c", pads=[1, 1, 1, 1], strides=[2, 1]),
    helper.make_node("BatchNormalization", ["c", "s", "o", "m", "v"], ["d"], name="norm"),
    conv("head", "d", "head.w", out="y"),
]
"""4 → 6 → 8 → 5 channels: two 3×3 convolutions, and a 1×1."""
STORED = [
    *(weights("stem.w", 6, 4, 3, 3), weights("stem.b", 6)),
    *(weights("body.w", 8, 6, 3, 3), weights("body.b", 8)),
    *(weights("s", 8), weights("o", 8), weights("m", 8)),
    numpy_helper.from_array(np.full(8, 2, np.float32), "v"),
    weights("head.w", 5, 8, 1, 1),
]


def net() -> ModelProto:
    one = model(NET, STORED)
    one.graph.value_info.append(helper.make_tensor_value_info("a", FLOAT, (1, 6, 9, 8)))
    one.graph.value_info.append(helper.make_tensor_value_info("body.w", FLOAT, (8, 6, 3, 3)))
    one.metadata_props.add(key="made", value="by hand")
    return one


# -- what becomes of the file


def test_a_convolution_becomes_two_and_all_else_stays_byte_for_byte(saved: Saved) -> None:
    before = net()
    after = dscost.convert(saved(before), min_channels=5)
    names = [node.name for node in after.graph.node]
    assert names == ["stem", "act", "body/depthwise", "body/pointwise", "norm", "head"]
    first, last = after.graph.node[2:4]
    read = {one.name: helper.get_attribute_value(one) for one in first.attribute}
    assert read == {"pads": [1, 1, 1, 1], "strides": [2, 1], "group": 6}
    read = {one.name: helper.get_attribute_value(one) for one in last.attribute}
    assert read == {"kernel_shape": [1, 1], "group": 1}
    assert (list(first.input), list(first.output)) == (
        ["b", "body.w/depthwise"],
        ["body/depthwise"],
    )
    assert (list(last.input), list(last.output)) == (
        ["body/depthwise", "body.w/pointwise", "body.b"],
        ["c"],
    )
    shapes = {name: one.shape for name, one in stored_in(after).items()}
    new = {"body.w/depthwise": (6, 1, 3, 3), "body.w/pointwise": (8, 6, 1, 1)}
    assert {name: shapes[name] for name in new} == new
    kept = [one.SerializeToString() for one in STORED if one.name != "body.w"]
    assert [
        one.SerializeToString() for one in after.graph.initializer if one.name not in new
    ] == kept
    others = [node.SerializeToString() for node in NET if node.name != "body"]
    assert [
        node.SerializeToString() for node in after.graph.node if "body" not in node.name
    ] == others
    assert [one.name for one in after.graph.value_info] == ["a"]
    del before.graph.node[:], before.graph.initializer[:], before.graph.value_info[:]
    del after.graph.node[:], after.graph.initializer[:], after.graph.value_info[:]
    assert after.SerializeToString() == before.SerializeToString()


def test_pointwise_first_the_kernel_keeps_the_window_and_the_bias(saved: Saved) -> None:
    before = net()
    after = dscost.convert(saved(before), min_channels=5, order="pointwise-first", rank=2)
    names = [node.name for node in after.graph.node]
    assert names == ["stem", "act", "body/pointwise", "body/depthwise", "norm", "head"]
    first, last = after.graph.node[2:4]
    read = {one.name: helper.get_attribute_value(one) for one in first.attribute}
    assert read == {"kernel_shape": [1, 1], "group": 1}
    read = {one.name: helper.get_attribute_value(one) for one in last.attribute}
    assert read == {"pads": [1, 1, 1, 1], "strides": [2, 1], "group": 8}
    assert (list(first.input), list(first.output)) == (
        ["b", "body.w/pointwise"],
        ["body/pointwise"],
    )
    assert (list(last.input), list(last.output)) == (
        ["body/pointwise", "body.w/depthwise", "body.b"],
        ["c"],
    )
    shapes = {name: one.shape for name, one in stored_in(after).items() if "body.w" in name}
    assert shapes == {"body.w/depthwise": (8, 2, 3, 3), "body.w/pointwise": (16, 6, 1, 1)}
    kernel = numpy_helper.to_array(STORED[2]).astype(np.float64).reshape(8, 6, 9)
    stored = stored_in(after)
    filters, mixing = (stored[f"body.w/{stage}"] for stage in ("depthwise", "pointwise"))
    for channel in range(8):
        u, s, v = np.linalg.svd(kernel[channel])
        best = (u[:, :2] * s[:2]) @ v[:2]
        mixes = mixing.reshape(8, 2, 6)[channel]
        assert np.allclose(mixes.T @ filters[channel].reshape(2, 9), best, atol=1e-6)


def test_its_weights_are_those_of_the_singular_value_decomposition(saved: Saved) -> None:
    after = stored_in(dscost.convert(saved(net()), rank=2, min_channels=5))
    kernel = numpy_helper.to_array(STORED[2]).astype(np.float64).reshape(8, 6, 9)
    filters = after["body.w/depthwise"].reshape(6, 2, 9)
    mixing = after["body.w/pointwise"].reshape(8, 6, 2)
    left = total = 0.0
    for channel in range(6):
        u, s, v = np.linalg.svd(kernel[:, channel])
        best = (u[:, :2] * s[:2]) @ v[:2]
        assert np.allclose(mixing[:, channel] @ filters[channel], best, atol=1e-6)
        left, total = left + float((s[2:] ** 2).sum()), total + float((s**2).sum())
    found = dscost.conversion(saved(net()), rank=2, min_channels=5)
    (body,) = [layer for layer in found.layers if layer.converted]
    assert (body.name, body.rank) == ("body", 2)
    assert body.error == pytest.approx((left / total) ** 0.5, abs=1e-12)


KINDS: dict[str, tuple[Sequence[int], Sequence[int], dict[str, Any]]] = {
    "1-D": ((2, 4, 11), (6, 4, 3), {"pads": [0, 2]}),
    "3-D": ((1, 4, 4, 5, 6), (6, 4, 2, 3, 2), {}),
    "grouped": ((1, 4, 9, 8), (6, 2, 3, 3), {"group": 2}),
    "strided and dilated": ((1, 4, 9, 8), (6, 4, 3, 2), {"strides": [2, 1], "dilations": [1, 2]}),
    "uneven padding": ((1, 4, 9, 8), (6, 4, 3, 3), {"pads": [0, 1, 2, 0], "kernel_shape": [3, 3]}),
    "auto_pad": ((1, 4, 9, 8), (6, 4, 4, 4), {"auto_pad": "SAME_UPPER", "strides": [2, 2]}),
}


@pytest.mark.parametrize(("shape", "kernel", "attributes"), KINDS.values(), ids=KINDS)
@pytest.mark.parametrize("has_bias", [True, False], ids=["bias", "no bias"])
@pytest.mark.parametrize("order", ORDERS)
def test_full_rank_returns_what_it_did(
    shape: Sequence[int],
    kernel: Sequence[int],
    attributes: Any,
    has_bias: bool,
    order: Order,
    saved: Saved,
) -> None:
    stored = [weights("w", *kernel), *([weights("b", kernel[0])] if has_bias else [])]
    before = model(
        [conv("", "x", *(one.name for one in stored), **attributes)], stored, shape=shape
    )
    found = dscost.conversion(saved(before), rank=99, min_channels=1, order=order)
    after, (layer,) = found.module, found.layers
    stages = ["y/depthwise", "y/pointwise"]
    assert [node.name for node in after.graph.node] == (
        stages if order == "depthwise-first" else stages[::-1]
    )
    counted = dscost.analyze(saved(after)).totals.as_is
    assert (counted.params, counted.macs) == (layer.params_after, layer.after.macs)
    wanted, found = outputs(before, shape), outputs(after, shape)
    assert np.abs(found - wanted).max() <= 1e-5 * np.abs(wanted).max()
    onnx.checker.check_model(after)


@pytest.mark.parametrize("dtype", [np.float64, np.float16], ids=str)
def test_weights_keep_their_dtype(dtype: Any, saved: Saved) -> None:
    number = helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
    before = model([conv("c", "x", "w")], [weights("w", 6, 4, 3, 3, dtype=dtype)], dtype=number)
    after = dscost.convert(saved(before), rank=99, min_channels=1)
    assert {one.dtype for one in stored_in(after).values()} == {np.dtype(dtype)}
    wanted, found = (outputs(one, (1, 4, 9, 8), dtype) for one in (before, after))
    assert (
        np.abs(found - wanted).max()
        <= (1e-12 if dtype is np.float64 else 1e-2) * np.abs(wanted).max()
    )


def test_weights_in_constants_are_constants_again(saved: Saved) -> None:
    constant = helper.make_node("Constant", [], ["w"], value=weights("", 6, 4, 3, 3))
    passed = helper.make_node("Identity", ["w"], ["same"])
    before = model([constant, passed, conv("c", "x", "same")])
    after = dscost.convert(saved(before), rank=99, min_channels=1)
    assert [(node.op_type, *node.output) for node in after.graph.node] == [
        ("Constant", "w/depthwise"),
        ("Constant", "w/pointwise"),
        ("Conv", "c/depthwise"),
        ("Conv", "y"),
    ]
    wanted, found = outputs(before, (1, 4, 9, 8)), outputs(after, (1, 4, 9, 8))
    assert np.abs(found - wanted).max() <= 1e-5 * np.abs(wanted).max()


def test_before_version_4_of_the_format_stored_tensors_are_inputs_as_well(saved: Saved) -> None:
    before = model([conv("c", "x", "w")], [weights("w", 6, 4, 3, 3)], opset=8, ir_version=3)
    before.graph.input.append(helper.make_tensor_value_info("w", FLOAT, (6, 4, 3, 3)))
    after = dscost.convert(saved(before), min_channels=1)
    assert [one.name for one in after.graph.input] == ["x", "w/depthwise", "w/pointwise"]
    onnx.checker.check_model(after)


def test_weights_in_another_file_are_in_the_one_that_is_written(tmp_path: Path) -> None:
    path = tmp_path / "net.onnx"
    onnx.save(net(), path, save_as_external_data=True, location="net.bin", size_threshold=0)
    after = dscost.convert(path, min_channels=5)
    assert not any(one.HasField("data_location") for one in after.graph.initializer)
    assert np.array_equal(stored_in(after)["head.w"], numpy_helper.to_array(STORED[-1]))
    (tmp_path / "net.bin").unlink()
    with pytest.raises(InputError, match=r"net\.bin"):
        dscost.convert(path)


def test_names_that_are_taken_are_not_given_again(saved: Saved) -> None:
    relu = helper.make_node("Relu", ["x"], ["w/depthwise"], name="c/pointwise")
    before = model([relu, conv("c", "w/depthwise", "w")], [weights("w", 6, 4, 3, 3)])
    after = dscost.convert(saved(before), rank=99, min_channels=1)
    names = [node.name for node in after.graph.node]
    assert names == ["c/pointwise", "c/depthwise", "c/pointwise#2"]
    wanted, found = outputs(before, (1, 4, 9, 8)), outputs(after, (1, 4, 9, 8))
    assert np.abs(found - wanted).max() <= 1e-5 * np.abs(wanted).max()


# -- weights that are shared


TWICE = [
    conv("one", "x", "w", out="a", pads=[1, 1, 1, 1]),
    conv("two", "a", "w", out="y", pads=[1, 1, 1, 1]),
]


def test_weights_that_two_nodes_share_are_shared_again(saved: Saved) -> None:
    path = saved(model(TWICE, [weights("w", 4, 4, 3, 3)]))
    after = dscost.convert(path, rank=2, min_channels=1)
    assert sorted(stored_in(after)) == ["w/depthwise", "w/pointwise"]
    apart = dscost.convert(path, plan={"one": 1, "two": 3})
    assert sorted(one.shape for one in stored_in(apart).values()) == [
        *((4, 1, 3, 3), (4, 4, 1, 1), (4, 12, 1, 1), (12, 1, 3, 3)),
    ]
    assert dscost.plan(path, "params=0.5x", min_channels=1).layers == {"one": 1, "two": 1}


def test_old_weights_stay_where_others_read_them(saved: Saved) -> None:
    path = saved(model(TWICE, [weights("w", 4, 4, 3, 3)]))
    after = dscost.convert(path, plan={"one": 1, "two": KEEP})
    assert sorted(stored_in(after)) == ["w", "w/depthwise", "w/pointwise"]
    cost = dscost.analyze(path).totals.as_is
    assert cost.params == 4 * 4 * 9
    onnx.save(after, path)
    assert dscost.analyze(path).totals.as_is.params == 4 * 4 * 9 + 4 * 9 + 4 * 4


# -- what stays as it is


def reason(one: ModelProto, saved: Saved, **given: Any) -> str | None:
    found = dscost.conversion(saved(one), **{"min_channels": 1, **given})
    (layer,) = found.layers
    assert not layer.converted
    assert found.module.SerializeToString() == one.SerializeToString()
    return layer.reason


def test_what_cannot_be_converted_stays_and_says_why(saved: Saved) -> None:
    kernel = weights("w", 4, 4, 3, 3)

    def of(*nodes: NodeProto, stored: Sequence[TensorProto] = (kernel,)) -> str | None:
        return reason(model(nodes, stored), saved)

    transposed = helper.make_node("ConvTranspose", ["x", "w"], ["y"], name="up")
    assert of(transposed) == "it is a transposed convolution"
    doubled = helper.make_node("Add", ["w", "w"], ["double"])
    assert of(doubled, conv("c", "x", "double")) == "its weights are computed, by Add"
    assert of(conv("c", "x", "w", group=4), stored=[weights("w", 8, 1, 3, 3)]) == (
        "it is depthwise already (groups = in_channels = 4)"
    )
    assert of(conv("c", "x", "w"), stored=[weights("w", 4, 4, 1, 1)]) == (
        "a 1×1 kernel has no spatial part to separate"
    )
    fused = helper.make_node(
        "FusedConv", ["x", "w"], ["y"], domain="com.microsoft", activation="Relu"
    )
    assert of(fused) == "it is fused with what follows it"
    small = numpy_helper.from_array(np.ones((4, 4, 3, 3), np.int8), "q")
    scale = numpy_helper.from_array(np.float32(0.1), "scale")
    restored = helper.make_node("DequantizeLinear", ["q", "scale"], ["w"])
    found = of(restored, conv("c", "x", "w"), stored=[small, scale])
    assert found == "its weights are quantised"
    zero = numpy_helper.from_array(np.int8(0), "zero")
    scales = ["scale", "zero"]
    of_bytes = [
        helper.make_node("QuantizeLinear", ["x", *scales], ["xq"]),
        helper.make_node("QLinearConv", ["xq", *scales, "q", *scales, *scales], ["yq"]),
        helper.make_node("DequantizeLinear", ["yq", *scales], ["y"]),
    ]
    assert of(*of_bytes, stored=[small, scale, zero]) == "it is quantised"


def test_weights_that_are_given_stay(saved: Saved) -> None:
    one = model([conv("c", "x", "w")])
    one.graph.input.append(helper.make_tensor_value_info("w", FLOAT, (4, 4, 3, 3)))
    assert reason(one, saved) == "its weights are an input of the network"


def test_a_convolution_in_a_branch_stays(saved: Saved) -> None:
    branches = [
        helper.make_graph(
            [conv(way, "x", "w", out=way)],
            way,
            [],
            [helper.make_tensor_value_info(way, FLOAT, None)],
        )
        for way in ("yes", "no")
    ]
    one = model(
        [
            helper.make_node(
                "If", ["which"], ["y"], then_branch=branches[0], else_branch=branches[1]
            )
        ],
        [weights("w", 4, 4, 3, 3)],
    )
    one.graph.input.append(helper.make_tensor_value_info("which", TensorProto.BOOL, ()))
    found = dscost.conversion(saved(one), min_channels=1)
    assert {layer.reason for layer in found.layers} == {"it is in a branch, a loop or a function"}
    assert found.module.SerializeToString() == one.SerializeToString()


def test_few_channels_and_other_names_stay(saved: Saved) -> None:
    found = {one.name: one.reason for one in dscost.conversion(saved(net())).layers}
    assert found["body"] == (
        "6 input channels are fewer than min_channels=32 (--min-channels 1 takes it)"
    )
    asked = dscost.conversion(saved(net()), where="st*", min_channels=1)
    assert [one.name for one in asked.layers if one.converted] == ["stem"]
    with pytest.raises(InputError, match="unknown convolution 'neck'"):
        dscost.convert(saved(net()), where="neck")


def test_weights_that_are_not_finite_are_refused(saved: Saved) -> None:
    one = net()
    broken = numpy_helper.from_array(np.full((8, 6, 3, 3), np.nan, np.float32), "body.w")
    one.graph.initializer[2].CopyFrom(broken)
    with pytest.raises(InputError, match=r"'body' are not finite: 432 of 432"):
        dscost.convert(saved(one), min_channels=5)


# -- plans and goals


def test_a_goal_is_met_with_the_least_error_that_any_ranks_have(saved: Saved) -> None:
    path = saved(net())
    found = dscost.conversion(path, rank=1, min_channels=1)
    costs = {one.name: one.before.macs for one in found.layers if one.before}
    plan = dscost.plan(path, "macs=0.7x", min_channels=1)
    best = (9.0, ())
    kernels = {"stem": (4, 6, 72), "body": (6, 8, 40)}  # channels in and out, positions
    errors = {
        name: [0.0, *(error_of(numpy_helper.to_array(STORED[at]), rank) for rank in range(1, 10))]
        for name, at in (("stem", 0), ("body", 2))
    }
    whole = sum(costs.values())
    for stem in range(7):
        for body in range(9):
            ranks = {"stem": stem, "body": body}
            macs = costs["head"]
            for name, (m, n, positions) in kernels.items():
                rank = ranks[name]
                macs += positions * rank * m * (9 + n) if rank else costs[name]
            error = sum(errors[name][rank] ** 2 for name, rank in ranks.items())
            if macs <= 0.7 * whole:
                best = min(best, (error, (stem, body)))
    assert tuple(0 if one == KEEP else one for one in plan.layers.values()) == best[1]


def error_of(kernel: np.ndarray, rank: int) -> float:
    values = np.linalg.svd(
        kernel.astype(np.float64).reshape(*kernel.shape[:2], -1).swapaxes(0, 1), compute_uv=False
    )
    return float(np.sqrt((values[:, rank:] ** 2).sum() / (values**2).sum()))


def test_a_plan_does_what_a_goal_did(
    saved: Saved, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    saved(net())
    monkeypatch.chdir(tmp_path)
    goal = ["--goal", "macs=0.7x", "--min-channels", "1", "--save-plan", "plan.yaml"]
    assert run("convert", "net.onnx", *goal, "--save", "one.onnx").returncode == 0
    ran = run("convert", "net.onnx", "--plan", "plan.yaml", "--save", "two.onnx")
    assert ran.returncode == 0
    assert Path("one.onnx").read_bytes() == Path("two.onnx").read_bytes()
    assert "input: 1,4,9,8" in Path("plan.yaml").read_text()
    wrong = Path("plan.yaml").read_text().replace("1,4,9,8", "1,5,9,8")
    Path("other.yaml").write_text(wrong)
    told = run("convert", "net.onnx", "--plan", "other.yaml").stderr
    assert "(its input is that of other.yaml:" in told
    Path("wrong.yaml").write_text("version: 1\nlayers: {act: 1, bdy: 1, head: 2}\n")
    told = run("convert", "net.onnx", "--plan", "wrong.yaml").stderr
    assert "wrong.yaml:2:10: 'act' is no convolution (class Relu)" in told
    assert "unknown layer 'bdy' (did you mean 'body'?)" in told
    assert "'head' cannot be converted: a 1×1 kernel has no spatial part to separate" in told


@pytest.mark.torch
def test_a_file_is_converted_as_its_module_of_torch_is(saved: Saved) -> None:
    import torch
    from torch import nn

    module = nn.Sequential(
        nn.Conv2d(4, 6, 3, padding=1), nn.ReLU(), nn.Conv2d(6, 8, 3), nn.Conv2d(8, 5, 1)
    ).eval()
    held = {
        name: numpy_helper.from_array(one.numpy(), name)
        for name, one in module.state_dict().items()
    }
    before = model(
        [
            conv("0", "x", "0.weight", "0.bias", out="a", pads=[1, 1, 1, 1]),
            helper.make_node("Relu", ["a"], ["b"], name="1"),
            conv("2", "b", "2.weight", "2.bias", out="c"),
            conv("3", "c", "3.weight", "3.bias"),
        ],
        list(held.values()),
    )
    path, shape = saved(before), (1, 4, 9, 8)
    for goal in ("macs=0.8x", "params=0.6x", "error=0.5"):
        theirs = dscost.plan(module, goal, input=shape, min_channels=1)
        ours = dscost.plan(path, goal, min_channels=1)
        assert ours.layers == theirs.layers
    made = dscost.conversion(path, rank=2, min_channels=1)
    same = dscost.conversion(module, shape, rank=2, min_channels=1)
    for ours, theirs in zip(made.layers, same.layers, strict=True):
        assert ours.error == pytest.approx(theirs.error, abs=1e-12)
        assert ours._replace(error=None) == theirs._replace(error=None)
    x = np.random.default_rng(7).standard_normal(shape).astype(np.float32)
    wanted = same.module(torch.from_numpy(x)).detach().numpy()
    assert np.abs(outputs(made.module, shape) - wanted).max() <= 1e-5 * np.abs(wanted).max()


# -- what is said, and written


def test_the_written_file_costs_what_was_said(
    saved: Saved, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    saved(net())
    monkeypatch.chdir(tmp_path)
    ran = run("convert", "net.onnx", "--min-channels", "5", "--save", "cheap.onnx", "--json")
    assert ran.returncode == 0, ran.stderr
    conversion = json.loads(ran.stdout)["conversion"]
    again = dscost.analyze("cheap.onnx").totals.as_is
    before = dscost.analyze("net.onnx").totals.as_is
    for cost, told in ((before, conversion["before"]), (again, conversion["after"])):
        assert (cost.params, cost.macs, cost.weight_bytes) == (
            told["params"],
            told["macs"],
            told["weight_bytes"],
        )
    # 8 filters over 6 channels: 432 weights, of rank 1 54 and 48, at 5 × 8 positions
    assert before.params - again.params == 432 - 102
    assert before.macs - again.macs == 40 * (432 - 102)
    (note,) = [one for one in conversion["notes"] if one.startswith("At full rank")]
    assert "the layer alone returns what it did, to " in note
    assert ", and the whole to " in note


def test_people_are_told_what_was_seen_and_what_tells_of_its_speed(saved: Saved) -> None:
    ran = run("convert", str(saved(net())), "--min-channels", "5", "--rank", "2")
    assert "1 of 2 convolutions made depthwise-separable" in ran.stdout
    told = "(--goal latency_s=0.8x --runtime onnxruntime does)"
    assert f"Whether it is faster was not measured {told}; it moves " in ran.stdout


REFUSED = {
    "--goal latency_s=0.5x": "--runtime torch does not run it, onnxruntime does",
    "--fastest": "--runtime torch does not run it, onnxruntime does",
    "--weights w.safetensors": "its weights are in it: --weights has no meaning",
    "--save-code net.py": "no model that code makes",
    "--save net.pt": "--save: an ONNX file is no model of torch: it is written as .onnx",
    "--save net.pt2": "--save: an ONNX file is no model of torch: it is written as .onnx",
    "--save net.onnx": "net.onnx is read as the target, a result would be written over it",
    "--set width=1": "--set has no meaning for it",
}


@pytest.mark.parametrize(("given", "why"), REFUSED.items(), ids=REFUSED)
def test_what_makes_no_sense_of_an_onnx_file_is_refused_in_a_line(
    given: str, why: str, saved: Saved, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = saved(net()).read_bytes()
    monkeypatch.chdir(tmp_path)
    ran = run("convert", "net.onnx", *given.split())
    assert (ran.returncode, ran.stdout) == (2, "")
    assert why in ran.stderr
    assert len(ran.stderr.splitlines()) == 1
    assert [one.name for one in tmp_path.iterdir()] == ["net.onnx"]
    assert (tmp_path / "net.onnx").read_bytes() == before


def test_a_result_that_no_file_can_hold_is_not_written(
    saved: Saved, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    saved(net())
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(saving, "MOST_BYTES", 1000)
    ran = run("convert", "net.onnx", "--min-channels", "5", "--save", "cheap.onnx")
    assert ran.returncode == 2
    assert "cannot write cheap.onnx: 2.2" in ran.stderr
    assert "an ONNX file has less than 2 GiB" in ran.stderr
    assert not Path("cheap.onnx").exists()


def test_initial_weights_are_not_for_a_file_that_has_its_own(saved: Saved) -> None:
    with pytest.raises(InputError, match="whose weights it keeps"):
        dscost.convert(saved(net()), method="random")


# -- whether it does the same


def test_what_does_something_else_at_full_rank_is_not_written(
    saved: Saved, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, real = saved(net()), graph_rewriting.copied

    def without_strides(node: NodeProto) -> NodeProto:
        copy = real(node)
        kept = [one for one in node.attribute if one.name != "strides"]
        del copy.attribute[:]
        copy.attribute.extend(kept)
        return copy

    monkeypatch.setattr(graph_rewriting, "copied", without_strides)
    with pytest.raises(InputError, match="'body' returns something else converted at full rank"):
        dscost.convert(path, min_channels=5)


def test_a_whole_that_does_something_else_is_not_written_either(
    saved: Saved, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, real = saved(net()), graph_rewriting.set_attributes

    def padded_less(node: NodeProto, **values: Any) -> None:
        real(node, **values, **({"pads": [0, 0, 2, 2]} if node.name == "body/depthwise" else {}))

    monkeypatch.setattr(graph_rewriting, "set_attributes", padded_less)
    monkeypatch.setattr(graph_checking, "_alone", lambda *_: graph_checking.Off(0.0, "nobody"))
    with pytest.raises(
        InputError, match=r"net\.onnx returns something else converted at full rank"
    ):
        dscost.convert(path, min_channels=5)


def test_what_onnx_refuses_is_not_written_unless_it_did_before(
    saved: Saved, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = net()
    one.graph.output[0].type.tensor_type.ClearField("shape")
    ran = run("convert", str(saved(one)), "--min-channels", "5")
    assert ran.returncode == 0
    assert "onnx's checker refuses the file as it was: ValidationError: " in ran.stdout
    path = saved(net())
    monkeypatch.setattr(graph_rewriting.Names, "unique", lambda self, name, **_: "a")
    with pytest.raises(
        InputError, match=r"net\.onnx: onnx refuses it converted: ValidationError: "
    ):
        dscost.convert(path, min_channels=5)


def test_a_whole_model_that_would_take_long_is_not_run(
    saved: Saved, monkeypatch: pytest.MonkeyPatch
) -> None:
    ways = [way._replace(most_macs=10) for way in graph_checking.runners()]
    monkeypatch.setattr(graph_checking, "runners", lambda: ways)
    ran = run("convert", str(saved(net())), "--min-channels", "5")
    assert ran.returncode == 0
    assert "the whole was not run: its 34.43k MACs would take " in ran.stdout


def test_a_model_with_an_unknown_operator_is_checked_layer_by_layer(saved: Saved) -> None:
    nodes = [conv("c", "x", "w", out="a"), helper.make_node("Own", ["a"], ["y"], domain="mine")]
    one = model(nodes, [weights("w", 4, 4, 3, 3)])
    one.opset_import.append(helper.make_opsetid("mine", 1))
    ran = run("convert", str(saved(one)), "--min-channels", "1")
    assert ran.returncode == 0, ran.stderr
    told = "the whole was not run: nobody knows what mine::Own would cost"
    assert told in " ".join(ran.stdout.split())


@pytest.mark.parametrize("name", ["x", "y", "bias", "weight", "net/depthwise"])
def test_a_layer_is_run_alone_whatever_its_weights_are_called(name: str, saved: Saved) -> None:
    nodes = [
        helper.make_node("Relu", ["given"], ["a"]),
        conv("net", "a", name, "b", out="made"),
        helper.make_node("Relu", ["made"], ["end"]),
    ]
    one = model(nodes, [weights(name, 4, 4, 3, 3), weights("b", 4)])
    one.graph.input[0].name, one.graph.output[0].name = "given", "end"
    ran = run("convert", str(saved(one)), "--min-channels", "1")
    assert ran.returncode == 0, ran.stderr
    assert "At full rank the layer alone returns what it did, to " in ran.stdout


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_a_change_of_the_inputs_is_one_that_their_dtype_holds(dtype: Any) -> None:
    feed = np.random.default_rng(0).standard_normal(1000).astype(dtype)
    nudge = graph_checking._nudge(feed)
    changed = graph_checking._nudged(feed, nudge)
    assert changed.dtype == dtype
    assert (changed != feed).all()
    # half of what lies between 1 and the next number at least; no more than that is
    assert nudge == 1e-6 or np.finfo(dtype).eps / 2 < nudge < 2 * np.finfo(dtype).eps


def test_outputs_that_rounding_moves_much_are_held_to_that(saved: Saved) -> None:
    """Of what is nearly the same the difference has few digits that mean anything."""
    kernel = numpy_helper.to_array(weights("w", 4, 4, 3, 3))
    stored = [
        numpy_helper.from_array(one.astype(np.float32), name)
        for name, one in (("w", kernel), ("v", kernel * (1 + 1e-4)))
    ]
    nodes = [
        conv("one", "x", "w", out="a"),
        conv("two", "x", "v", out="b"),
        helper.make_node("Sub", ["a", "b"], ["y"]),
    ]
    ran = run("convert", str(saved(model(nodes, stored))), "--min-channels", "1")
    assert ran.returncode == 0, ran.stderr
    assert "where a change of its input by 1e-06 of it makes " in " ".join(ran.stdout.split())


def test_converting_an_onnx_file_imports_no_torch(saved: Saved) -> None:
    code = (
        "import sys; from dscost.cli import main\n"
        f"sys.argv = ['dscost', 'convert', {str(saved(net()))!r}, '--min-channels', '5',"
        f" '--save', {str(saved(net()).with_name('out.onnx'))!r}]\n"
        "try: main()\n"
        "except SystemExit as ended: print(ended.code, file=sys.stderr)\n"
        "print('torch' in sys.modules, file=sys.stderr)"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stderr.splitlines()[-2:] == ["0", "False"], ran.stderr
