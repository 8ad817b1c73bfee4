"""Versions of an ONNX file: written anew with other convolutions, counted and run again."""

from collections import Counter
from collections.abc import Mapping, Sequence
from math import prod
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import onnx
import pytest
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator
from test_graph_pairs import KEEPING, SIDE, STORED, M, N, node, pointwise

import dscost
from dscost.analysis.graphs import count_graph
from dscost.analysis.targets import Request
from dscost.errors import InputError
from dscost.graphs import writing
from dscost.runtimes.programs import GraphProgram, Program
from dscost.sources import GraphSource, Opening, find_source
from dscost.timing import Setting

FLOAT = TensorProto.FLOAT
SEPARABLE = "depthwise_separable"


class Written(NamedTuple):
    """A version of a file, what was counted of it before, and what had to be left."""

    program: Program
    cost: Any
    left: Mapping[str, str]

    @property
    def model(self) -> ModelProto:
        graph = self.program.graph
        assert isinstance(graph, bytes)
        return onnx.load_model_from_string(graph)

    @property
    def operators(self) -> list[str]:
        return [one.op_type for one in self.model.graph.node]

    def counted_again(self, tmp_path: Path) -> Any:
        """Return what the version costs when it is counted as a file of its own."""
        graph, path = self.program.graph, tmp_path / "again.onnx"
        if isinstance(graph, Path):
            path = graph
        else:
            path.write_bytes(graph)
        return dscost.analyze(path, input=dict(self.program.inputs)).totals.as_is

    def outputs(self) -> Sequence[Any]:
        return list(ReferenceEvaluator(self.model).run(None, dict(self.program.inputs)))


def saved(
    path: Path,
    nodes: Sequence[NodeProto],
    stored: Mapping[str, Any] = STORED,
    axes: Sequence[int | str] = (1, M, SIDE, SIDE),
    outputs: Sequence[str] = ("y",),
    **model: Any,
) -> Path:
    graph = helper.make_graph(
        nodes,
        "net",
        [helper.make_tensor_value_info("x", FLOAT, axes)],
        [helper.make_tensor_value_info(name, FLOAT, None) for name in outputs],
        [numpy_helper.from_array(np.asarray(array), name) for name, array in stored.items()],
    )
    opsets = model.pop("opset_imports", [helper.make_opsetid("", 17)])
    onnx.save(helper.make_model(graph, opset_imports=opsets, **model), path)
    return path


def version(
    path: Path, variant: str, request: Request | None = None, setting: Setting | None = None
) -> Written:
    source = find_source(str(path), Opening({}))
    assert isinstance(source, GraphSource)
    counted = count_graph(source, request or Request(), target=str(path))
    made: Any = counted.versions
    program, left = made.program(variant, counted.swaps, setting or Setting())
    return Written(program, getattr(counted.report.totals, variant), left)


def random(*shape: int, scale: float = 1.0) -> Any:
    drawn = np.random.default_rng(0).standard_normal(shape)
    return (drawn * scale / np.sqrt(prod(shape[1:]))).astype("float32")


def deep(read: str = "x", result: str = "d") -> NodeProto:
    return node("Conv", f"{read} deep", result, group=M, pads=[1] * 4)


# -- it is what was counted


@pytest.mark.parametrize("nodes", KEEPING.values(), ids=KEEPING)
def test_a_pair_becomes_a_convolution_whatever_stands_between(
    tmp_path: Path, nodes: Sequence[NodeProto]
) -> None:
    # onnx runs quantised numbers of later versions only
    opset = 19 if any("Quantize" in one.op_type for one in nodes) else 17
    opsets = [helper.make_opsetid("", opset)]
    path = saved(tmp_path / "net.onnx", [deep(), *nodes], opset_imports=opsets)
    made = version(path, "standard")
    assert made.left == {}
    again = made.counted_again(tmp_path)
    assert (again.macs, again.params) == (made.cost.macs, made.cost.params)
    assert made.program.macs == made.cost.macs
    (before,) = ReferenceEvaluator(str(path)).run(None, dict(made.program.inputs))
    (after,) = made.outputs()
    assert after.shape == before.shape
    stays = {"Transpose", "Reshape", "Add"}  # what lays a result out as a product of rows has it
    assert made.operators[0] == "Conv"
    assert set(made.operators[1:]) <= stays
    assert not {"deep", "point", "matrix"} & {one.name for one in made.model.graph.initializer}


CONVS: Mapping[str, tuple[Sequence[int], Sequence[int], Mapping[str, Any]]] = {
    "3×3": ((1, M, 6, 6), (N, M, 3, 3), {"pads": [1] * 4}),
    "stride, uneven pads": ((1, M, 9, 7), (N, M, 3, 3), {"strides": [2, 1], "pads": [0, 1, 2, 1]}),
    "dilated": ((2, M, 9, 9), (N, M, 3, 3), {"dilations": [2, 2], "pads": [2] * 4}),
    "auto_pad": ((1, M, 7, 7), (N, M, 5, 5), {"auto_pad": "SAME_UPPER", "strides": [2, 2]}),
    "groups": ((1, M, 6, 6), (N, M // 2, 3, 3), {"group": 2}),
    "rectangular": ((1, M, 6, 6), (N, M, 1, 5), {"pads": [0, 2, 0, 2], "kernel_shape": [1, 5]}),
    "1-D": ((1, M, 12), (N, M, 3), {"pads": [1, 1]}),
    "3-D": ((1, M, 4, 5, 6), (N, M, 3, 3, 3), {"pads": [1] * 6}),
}


@pytest.mark.parametrize("bias", [False, True], ids=["", "bias"])
@pytest.mark.parametrize(("axes", "weight", "attributes"), CONVS.values(), ids=CONVS)
def test_a_convolution_becomes_two(
    tmp_path: Path,
    axes: Sequence[int],
    weight: Sequence[int],
    attributes: Mapping[str, Any],
    bias: bool,
) -> None:
    stored = {"w": random(*weight, scale=5), **({"b": random(N)} if bias else {})}
    conv = node("Conv", " ".join(["x", *stored]), "c", **attributes)
    path = saved(tmp_path / "net.onnx", [conv, node("Relu", "c", "y")], stored, axes)
    made = version(path, SEPARABLE)
    assert made.operators == ["Conv", "Conv", "Relu"]
    first, last, _ = made.model.graph.node
    assert (first.name, last.name) == ("c/depthwise", "c/pointwise")
    assert ("b" in last.input) is bias
    again = made.counted_again(tmp_path)
    assert (again.macs, again.params) == (made.cost.macs, made.cost.params)
    (before,) = ReferenceEvaluator(str(path)).run(None, dict(made.program.inputs))
    (after,) = made.outputs()
    assert after.shape == before.shape
    assert 1 / 3 < after.std() / before.std() < 3  # results stay about as large as they were


def test_a_pair_keeps_the_strides_of_its_first_and_the_bias_of_its_last_stage(
    tmp_path: Path,
) -> None:
    nodes = [
        node("Conv", "x deep c", "d", group=M, strides=[2, 2], pads=[1] * 4, dilations=[1, 1]),
        node("BatchNormalization", "d c c c c", "e"),
        node("Relu", "e", "a"),
        node("Conv", "a point n", "y"),
    ]
    (conv,) = version(saved(tmp_path / "net.onnx", nodes), "standard").model.graph.node
    told = {one.name: helper.get_attribute_value(one) for one in conv.attribute}
    assert told["strides"] == [2, 2]
    assert told["group"] == 1
    assert told["kernel_shape"] == [3, 3]
    assert conv.input[0] == "x"
    assert conv.input[2] == "n"


@pytest.mark.parametrize("variant", ["as_is", "standard"])
def test_what_has_nothing_to_be_written_anew_is_the_file_itself(
    tmp_path: Path, variant: str
) -> None:
    nodes = [node("Conv", "x w", "y", pads=[1] * 4)]
    path = saved(tmp_path / "net.onnx", nodes, {"w": random(N, M, 3, 3)})
    assert version(path, variant).program.graph == path


def test_what_is_there_already_stays_beside_what_is_replaced(tmp_path: Path) -> None:
    stored = {**STORED, "w": random(M, N, 3, 3)}
    nodes = [deep(), pointwise("d"), node("Conv", "y w", "z", pads=[1] * 4)]
    path = saved(tmp_path / "net.onnx", nodes, stored, outputs=["z"])
    separable, standard = version(path, SEPARABLE), version(path, "standard")
    assert [one.name for one in separable.model.graph.node[:2]] == ["d", "y"]
    assert separable.operators == ["Conv"] * 4
    assert standard.operators == ["Conv"] * 2
    for made in (separable, standard):
        assert made.counted_again(tmp_path).macs == made.cost.macs


def test_shared_weights_stay_shared(tmp_path: Path) -> None:
    nodes = [
        node("Conv", "x w", "c", pads=[1] * 4),
        node("Identity", "w", "same"),
        node("Conv", "c same", "y", pads=[1] * 4),
    ]
    path = saved(tmp_path / "net.onnx", nodes, {"w": random(M, M, 3, 3)})
    made = version(path, SEPARABLE)
    assert made.operators == ["Conv"] * 4
    assert len(made.model.graph.initializer) == 2
    assert made.counted_again(tmp_path).params == made.cost.params == 9 * M + M * M


def test_what_computes_the_old_weights_is_taken_out(tmp_path: Path) -> None:
    nodes = [node("Mul", "v g", "w"), node("Conv", "x w", "y", pads=[1] * 4)]
    stored = {"v": random(N, M, 3, 3), "g": random(N, 1, 1, 1)}
    made = version(saved(tmp_path / "net.onnx", nodes, stored), SEPARABLE)
    assert made.operators == ["Conv", "Conv"]
    assert made.counted_again(tmp_path).macs == made.cost.macs


def test_weights_of_16_bits_are_replaced_by_such(tmp_path: Path) -> None:
    nodes = [
        node("Cast", "x", "h", to=TensorProto.FLOAT16),
        node("Conv", "h w", "c", pads=[1] * 4),
        node("Cast", "c", "y", to=FLOAT),
    ]
    path = saved(tmp_path / "net.onnx", nodes, {"w": random(N, M, 3, 3).astype("float16")})
    made = version(path, SEPARABLE)
    assert {one.data_type for one in made.model.graph.initializer} == {TensorProto.FLOAT16}
    assert made.counted_again(tmp_path).weight_bytes == made.cost.weight_bytes


def test_what_is_fused_with_a_convolution_is_left_to_its_last_stage(tmp_path: Path) -> None:
    fused = node("FusedConv", "x w b", "c", pads=[1] * 4, activation="Relu", domain="com.microsoft")
    pair = [
        node("FusedConv", "c deep", "d", group=M, activation="Relu", domain="com.microsoft"),
        node("FusedConv", "d point n", "y", activation="Tanh", domain="com.microsoft"),
    ]
    stored = {
        "deep": STORED["deep"],
        "point": STORED["point"],
        "n": STORED["n"],
        "w": random(M, M, 3, 3),
    }
    stored["b"] = random(M)
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("com.microsoft", 1)]
    path = saved(tmp_path / "net.onnx", [fused, *pair], stored, opset_imports=opsets)
    first, last, *_ = version(path, SEPARABLE).model.graph.node
    assert (first.op_type, first.domain, last.op_type) == ("Conv", "", "FusedConv")
    assert not any(one.name == "activation" for one in first.attribute)
    made = version(path, "standard")
    assert made.operators == ["FusedConv", "FusedConv"]
    told = {one.name: one.s for one in made.model.graph.node[-1].attribute if one.s}
    assert told == {"activation": b"Tanh"}
    assert made.counted_again(tmp_path).macs == made.cost.macs


# -- what has to be left


def test_what_is_quantised_or_elsewhere_or_read_by_others_is_left(tmp_path: Path) -> None:
    weights = random(M, M, 3, 3)
    branch = helper.make_graph(
        [node("Conv", "x w", "in_branch", pads=[1] * 4)],
        "then",
        [],
        [helper.make_tensor_value_info("in_branch", FLOAT, None)],
    )
    nodes = [
        helper.make_node("If", ["yes"], ["i"], "if", then_branch=branch, else_branch=branch),
        node("DequantizeLinear", "whole_w scale", "dequantised"),
        node("Conv", "i dequantised", "q", pads=[1] * 4),
        node("Conv", "q deep", "d", group=M, pads=[1] * 4),
        node("Conv", "d own", "p"),
        node("Shape", "d", "s"),
        node("Cast", "s", "t", to=FLOAT),
        node("ReduceSum", "t", "u", keepdims=0),
        node("Add", "p u", "y"),
    ]
    stored = {
        "yes": np.array(True),
        "w": weights,
        "whole_w": (weights * 9).astype("int8"),
        "scale": np.array(0.1, "float32"),
        "deep": random(M, 1, 3, 3),
        "own": random(M, M, 1, 1),
    }
    path = saved(tmp_path / "net.onnx", nodes, stored)
    separable, standard = version(path, SEPARABLE), version(path, "standard")
    assert set(separable.left.values()) == {
        "it is in a branch, a loop or a function",
        "its weights are quantised",
    }
    assert standard.left == {"d": "Shape reads what stands between its stages"}
    assert standard.program.macs == version(path, "as_is").program.macs


def test_a_version_that_is_too_large_for_memory_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    nodes = [node("Conv", "x w", "y", pads=[1] * 4)]
    path = saved(tmp_path / "net.onnx", nodes, {"w": random(N, M, 3, 3)})
    monkeypatch.setattr(writing, "MOST_BYTES", 100)
    with pytest.raises(
        InputError, match="with depthwise-separable convolutions its weights are 800 B"
    ):
        version(path, SEPARABLE)


# -- what it is given


def test_weights_beside_the_file_are_read_when_they_are_needed(tmp_path: Path) -> None:
    nodes = [node("Conv", "x w", "y", pads=[1] * 4)]
    path = saved(tmp_path / "net.onnx", nodes, {"w": random(N, M, 3, 3)})
    model = onnx.load(path)
    onnx.save(model, path, save_as_external_data=True, location="net.data", size_threshold=0)
    assert version(path, SEPARABLE).operators == ["Conv", "Conv"]
    source = find_source(str(path), Opening({}))
    assert isinstance(source, GraphSource)
    counted = count_graph(source, Request(), target="net.onnx")
    (tmp_path / "net.data").unlink()
    made: Any = counted.versions
    program, _ = made.program("as_is", counted.swaps, Setting())
    assert isinstance(program, GraphProgram)
    assert program.graph == path
    with pytest.raises(InputError, match=r"net\.data' of tensor 'w' are missing"):
        made.program(SEPARABLE, counted.swaps, Setting())


def test_an_open_batch_is_that_of_the_setting_and_a_fixed_one_stays(tmp_path: Path) -> None:
    nodes, stored = [node("Conv", "x w", "y", pads=[1] * 4)], {"w": random(N, M, 3, 3)}
    path = saved(tmp_path / "net.onnx", nodes, stored, axes=("batch", M, SIDE, SIDE))
    request = Request(batch=2)
    made = version(path, SEPARABLE, request, Setting(batch=6))
    assert made.program.inputs["x"].shape == (6, M, SIDE, SIDE)
    assert made.program.macs == 3 * made.cost.macs
    assert made.outputs()[0].shape == (6, N, SIDE, SIDE)
    fixed = saved(tmp_path / "fixed.onnx", nodes, stored)
    with pytest.raises(InputError, match="its batch was fixed"):
        version(fixed, SEPARABLE, setting=Setting(batch=6))


def test_rows_of_a_pair_are_of_any_batch(tmp_path: Path) -> None:
    nodes = [
        deep(),
        node("Reshape", "d open", "f"),
        node("MatMul", "turned f", "y"),
    ]
    stored = {**STORED, "open": np.array([-1, M, SIDE * SIDE])}
    path = saved(tmp_path / "net.onnx", nodes, stored, axes=("batch", M, SIDE, SIDE))
    made = version(path, "standard", Request(batch=2), Setting(batch=3))
    assert Counter(made.operators) == {"Conv": 1, "Reshape": 1}
    assert made.outputs()[0].shape == (3, N, SIDE * SIDE)
