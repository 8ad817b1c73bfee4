"""Runtimes run what they are given, say what they made of it, and are refused where they compute something else."""

import gc
import logging
import platform
import re
from collections.abc import Callable, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from dscost.errors import UnavailableError
from dscost.graphs import running as graph_running
from dscost.layers.convolution import conv2d
from dscost.layers.others import ActivationSpec, BatchNormSpec, Part
from dscost.networks.network import stage_operations
from dscost.runtimes import RUNTIMES, How, Running, Runtime, programs, quantising
from dscost.runtimes.checking import Checked, WrongOutputError, checked, largest_error, noise_of
from dscost.runtimes.fusing import Kernel, folded_away, nodes_of, told
from dscost.runtimes.programs import GraphProgram, OperationsProgram, Program
from dscost.runtimes.quantising import has_vnni, in_dtype

ONNX_RUNTIMES = [
    pytest.param(
        name, marks=pytest.mark.skipif(find_spec(name) is None, reason=f"{name} is not installed")
    )
    for name in ("onnxruntime", "openvino")
]
WITH_RUNTIME = pytest.mark.skipif(
    find_spec("onnxruntime") is None, reason="onnxruntime is not installed"
)
SHAPE = (1, 8, 6, 6)
FLOAT, INT8 = How(1), How(1, "int8")


def with_norm(name: str, spec: Any) -> list[Part]:
    norm = (f"{name}_norm", BatchNormSpec(spec.out_channels))
    return [(name, spec), norm, (f"{name}_act", ActivationSpec("relu"))]


def separable() -> OperationsProgram:
    parts = [
        *with_norm("depthwise", conv2d(8, 8, 3, padding=1, groups=8)),
        *with_norm("pointwise", conv2d(8, 16, 1)),
    ]
    return OperationsProgram("separable", stage_operations(parts, SHAPE))


def model(
    nodes: Sequence[onnx.NodeProto],
    inputs: Mapping[str, tuple[int, Sequence[Any]]],
    outputs: Sequence[str],
    stored: dict[str, Any] | None = None,
    opset: int = 17,
) -> onnx.ModelProto:
    graph = helper.make_graph(
        nodes,
        "graph",
        [helper.make_tensor_value_info(name, *each) for name, each in inputs.items()],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs],
        [numpy_helper.from_array(each, name) for name, each in (stored or {}).items()],
    )
    opsets = [helper.make_opsetid("", opset), helper.make_opsetid("of.others", 1)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=8)


def values(*shape: int) -> Any:
    return np.random.default_rng(0).standard_normal(shape, dtype=np.float32)


def conv_model(size: Any = 6, opset: int = 17) -> onnx.ModelProto:
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["between"], "conv"),
        helper.make_node("Relu", ["between"], ["y"], "act"),
    ]
    x = (TensorProto.FLOAT, (1, 8, size, size))
    return model(nodes, {"x": x}, ["y"], {"w": values(16, 8, 3, 3)}, opset)


def program(made: onnx.ModelProto, **inputs: Any) -> GraphProgram:
    return GraphProgram("net", made.SerializeToString(), inputs, 1000)


def run(name: str, what: Program, how: How = FLOAT) -> Checked:
    return checked(RUNTIMES[name], what, how)


# -- what is refused


def runtime_that(returns: Callable[[Sequence[Any], int], Sequence[Any]]) -> Runtime:
    """Return a runtime whose outputs are made from the right ones and the number of the call."""

    def load(given: Program, how: How) -> Running:
        calls: list[None] = []
        right = given.reference.outputs
        return Running(lambda: calls.append(None), lambda: returns(right, len(calls)), "ONNX")

    return Runtime("broken", "Broken", "", {}, "onnx", ("float32", "int8"), load)


BROKEN = {
    "too large": (lambda right, _: [1.5 * right[0]], "off by 0.5 of the largest value"),
    "not a number": (lambda right, _: [np.nan * right[0]], "off by nan"),
    "second call": (lambda right, call: [right[0] * (call < 2)], "off by 1 of the largest value"),
    "turned round": (lambda right, _: [right[0].swapaxes(1, 2)], "returns .*, onnx's evaluator"),
    "one more": (lambda right, _: [*right, right[0]], "returns .* and .*, onnx's evaluator"),
    "none": (lambda right, _: [], "returns nothing, onnx's evaluator"),
}


@pytest.mark.parametrize(("returns", "text"), BROKEN.values(), ids=BROKEN)
def test_what_computes_something_else_is_refused(returns: Any, text: str) -> None:
    with pytest.raises(WrongOutputError, match=f"^Broken .*{text}"):
        checked(runtime_that(returns), separable(), FLOAT)


@pytest.mark.parametrize("measure", [largest_error, noise_of])
def test_one_output_that_is_not_a_number_is_enough(measure: Any) -> None:
    right = [np.ones(3), np.ones(3)]
    for at in (0, 1):
        found = [np.full(3, 1.1), np.full(3, 1.1)]
        found[at][1] = np.nan
        assert np.isnan(measure(found, right))


@pytest.mark.parametrize("measure", [largest_error, noise_of])
def test_infinities_differ_where_they_are_not_the_same(measure: Any) -> None:
    right = np.array([1.0, -np.inf, 2.0])
    assert measure([right.copy()], [right]) == 0
    with np.errstate(invalid="ignore"):
        for other in (1.0, np.inf, np.nan):
            assert not measure([np.array([1.0, other, 2.0])], [right]) < 1e9


def test_what_is_off_by_rounding_is_timed() -> None:
    found = checked(runtime_that(lambda right, _: [right[0] * (1 + 1e-5)]), separable(), FLOAT)
    assert found.error == pytest.approx(1e-5, rel=0.01)
    assert found.reference.startswith("onnx's evaluator")


def test_int8_is_held_to_its_noise() -> None:
    off = runtime_that(lambda right, _: [0.96 * right[0]])
    assert checked(off, separable(), INT8).error == pytest.approx(0.04)
    # two convolutions: 0.05 × √2
    told = "off by 0.4 of its output by root mean square, at most 0.0707"
    with pytest.raises(WrongOutputError, match=told):
        checked(runtime_that(lambda right, _: [0.6 * right[0]]), separable(), INT8)


@WITH_RUNTIME
@pytest.mark.parametrize(
    ("pairs", "by"), [(2, "ONNX Runtime .* without optimisations"), (3, "torch ")]
)
def test_a_large_layer_does_not_load_torch_and_a_large_network_does(
    monkeypatch: pytest.MonkeyPatch, pairs: int, by: str
) -> None:
    pytest.importorskip("torch")
    monkeypatch.setattr(graph_running, "MOST_MACS_OF_REFERENCE", 1)
    monkeypatch.setattr(programs, "sys", SimpleNamespace(modules={}))
    parts = [
        part for at in range(pairs) for part in with_norm(f"c{at}", conv2d(8, 8, 3, padding=1))
    ]
    assert re.match(by, OperationsProgram("net", stage_operations(parts, SHAPE)).reference.by)


def test_the_dtype_of_others_is_held_to_the_error_of_float32() -> None:
    off = runtime_that(lambda right, _: [right[0] * 1.01])
    with pytest.raises(WrongOutputError, match=r"off by 0\.01 of the largest value"):
        checked(off, separable(), How(1, "float64"))


# -- what they run


@pytest.mark.parametrize("name", ONNX_RUNTIMES)
def test_a_layer_is_fused_and_that_is_said(name: str) -> None:
    found = run(name, separable())
    assert found.error < 1e-6
    assert found.running.way_in == "ONNX"
    fused = [
        text.replace(" (NCHWc)", "").replace("Convolution", "Conv") for text in found.running.fused
    ]
    assert fused[0] == "BatchNormalization folded into Conv ×2"
    assert "Conv + Relu ×2" in fused


@pytest.mark.parametrize("name", ONNX_RUNTIMES)
def test_a_sum_is_fused_into_the_convolution_before_it(name: str) -> None:
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["a"], "conv", pads=[1, 1, 1, 1]),
        helper.make_node("Add", ["a", "x"], ["b"], "sum"),
        helper.make_node("Relu", ["b"], ["y"], "act"),
    ]
    made = model(nodes, {"x": (TensorProto.FLOAT, SHAPE)}, ["y"], {"w": values(8, 8, 3, 3)})
    fused = run(name, program(made, x=values(*SHAPE))).running.fused
    # of a sum that nothing else could be taken for: the runtime may also leave it alone
    assert sum(text.count("Add") for text in fused) == 1
    assert not any("folded" in text for text in fused)


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("name", ONNX_RUNTIMES)
def test_what_is_called_again_reads_what_it_was_given(name: str, order: Any) -> None:
    """Memory that was freed would be read as fast."""
    given = np.array(values(1, 8, 48, 48), order=order)
    what = program(conv_model(48), x=given)
    running, expected = RUNTIMES[name].load(what, FLOAT), what.reference.outputs[0]
    call, outputs = running.call, running.outputs
    del given, what, running
    gc.collect()
    taken = [np.full((1, 8, 48, 48), np.nan, np.float32) for _ in range(200)]
    call()
    assert len(taken) == 200
    assert np.abs(outputs()[0] - expected).max() < 1e-4


@pytest.mark.parametrize("name", ONNX_RUNTIMES)
def test_the_profile_has_the_kernels(name: str) -> None:
    nodes = run(name, separable()).running.nodes
    assert nodes is not None
    found = list(nodes())
    assert sum("Conv" in one.op for one in found) == 2
    assert all(one.seconds >= 0 for one in found)
    assert sum(one.seconds for one in found) > 0
    # as the runtime calls what it chose; ONNX Runtime tells of a layout, where it changed that
    kernels = {one.kernel for one in found if "Conv" in one.op}
    assert kernels <= {"NCHWc", None} if name == "onnxruntime" else all(kernels)


@pytest.mark.parametrize("name", ONNX_RUNTIMES)
def test_weights_beside_the_file_are_read(name: str, tmp_path: Path) -> None:
    path = tmp_path / "net.onnx"
    onnx.save_model(
        conv_model(), path, save_as_external_data=True, location="weights", size_threshold=0
    )
    assert (tmp_path / "weights").stat().st_size >= 16 * 8 * 9 * 4
    given = GraphProgram("net", path, {"x": values(*SHAPE)}, 1000)
    assert run(name, given).error < 1e-5
    assert run(name, given, INT8).error < 0.1


@pytest.mark.parametrize("how", [FLOAT, INT8], ids=["float32", "int8"])
@pytest.mark.parametrize("name", ONNX_RUNTIMES)
def test_whole_numbers_go_in_and_several_outputs_come_out(name: str, how: How) -> None:
    nodes = [
        helper.make_node("Gather", ["table", "words"], ["a"], "look"),
        helper.make_node("MatMul", ["a", "w"], ["b"], "product"),
        helper.make_node("Mul", ["b", "factor"], ["c"], "scale"),
        helper.make_node("Split", ["c"], ["y", "z"], "split", axis=1),
    ]
    stored = {"table": values(10, 16), "w": values(16, 16)}
    inputs = {"words": (TensorProto.INT64, (4,)), "factor": (TensorProto.FLOAT, ())}
    given = {"words": np.array([1, 3, 5, 9]), "factor": np.array(2, np.float32)}
    found = run(name, program(model(nodes, inputs, ["y", "z"], stored), **given), how)
    assert [one.shape for one in found.running.outputs()] == [(4, 8), (4, 8)]


@pytest.mark.parametrize("name", ONNX_RUNTIMES)
def test_open_axes_are_as_large_as_the_input(name: str) -> None:
    found = run(name, program(conv_model("size"), x=values(1, 8, 12, 12)))
    assert [one.shape for one in found.running.outputs()] == [(1, 16, 10, 10)]


def test_openvino_compiles_for_the_sizes_of_the_input() -> None:
    pytest.importorskip("openvino")
    from dscost.runtimes import of_openvino

    content = conv_model("size").SerializeToString()
    (given,) = of_openvino._compiled(content, {"x": values(1, 8, 12, 12)}, FLOAT).inputs
    assert list(given.shape) == [1, 8, 12, 12]  # OpenVINO raises here of axes that are open


@pytest.mark.parametrize("opset", [7, 11, 21])
@pytest.mark.parametrize("name", ONNX_RUNTIMES)
def test_files_of_other_years_are_run(name: str, opset: int) -> None:
    given = program(conv_model(opset=opset), x=values(*SHAPE))
    assert run(name, given).error < 1e-5
    assert run(name, given, INT8).error < 0.1


@pytest.mark.parametrize("name", ONNX_RUNTIMES)
def test_what_a_runtime_has_no_kernel_for_is_told_in_its_words(name: str) -> None:
    made = model(
        [helper.make_node("Fold", ["x"], ["y"], domain="of.others")],
        {"x": (TensorProto.FLOAT, SHAPE)},
        ["y"],
    )
    with pytest.raises(UnavailableError) as raised:
        run(name, program(made, x=values(*SHAPE)))
    text = str(raised.value)
    assert text.startswith(f"{RUNTIMES[name].title} cannot run it: ")
    assert "Fold" in text
    assert "\n" not in text


@pytest.mark.parametrize("how", [FLOAT, INT8], ids=["float32", "int8"])
@pytest.mark.parametrize("name", ONNX_RUNTIMES)
def test_a_file_that_is_int8_is_run_as_it_is(name: str, how: How) -> None:
    pytest.importorskip("onnxruntime")
    content = in_dtype(separable(), INT8)
    given = GraphProgram("net", content, separable().inputs, 1000)
    assert given.precision == "int8"
    assert in_dtype(given, how) == content
    # a number that is rounded the other way is off by one in 255, which float32 is not allowed
    assert run(name, given, how).error < 0.02


@pytest.mark.parametrize("name", ONNX_RUNTIMES)
def test_a_file_of_float16_is_held_to_that(name: str) -> None:
    made = model(
        [
            helper.make_node("Cast", ["x"], ["a"], to=TensorProto.FLOAT16),
            helper.make_node("Conv", ["a", "w"], ["b"]),
            helper.make_node("Cast", ["b"], ["y"], to=TensorProto.FLOAT),
        ],
        {"x": (TensorProto.FLOAT, SHAPE)},
        ["y"],
        {"w": values(16, 8, 3, 3).astype(np.float16)},
    )
    assert 1e-5 < run(name, program(made, x=values(*SHAPE))).error < 1e-2


def test_outputs_that_are_no_tensors_are_refused() -> None:
    nodes = [helper.make_node("SequenceConstruct", ["x", "x"], ["y"])]
    made = model(nodes, {"x": (TensorProto.FLOAT, SHAPE)}, [])
    made.graph.output.append(helper.make_tensor_sequence_value_info("y", TensorProto.FLOAT, None))
    with pytest.raises(UnavailableError, match="more than tensors"):
        checked(runtime_that(lambda right, _: right), program(made, x=values(*SHAPE)), FLOAT)


# -- ONNX Runtime


@WITH_RUNTIME
def test_operators_that_onnx_cannot_evaluate_are_held_against_the_nodes_as_written() -> None:
    nodes = [helper.make_node("QuickGelu", ["x"], ["y"], domain="com.microsoft")]
    made = model(nodes, {"x": (TensorProto.FLOAT, SHAPE)}, ["y"])
    made.opset_import.add(domain="com.microsoft", version=1)
    found = run("onnxruntime", program(made, x=values(*SHAPE)))
    assert found.reference.endswith("without optimisations")
    assert found.error < 1e-6


@WITH_RUNTIME
@pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="of Linux")
def test_a_session_has_as_many_threads_as_asked_for() -> None:
    def threads() -> int:
        return len(list(Path("/proc/self/task").iterdir()))

    kept = [run("onnxruntime", separable(), How(1))]  # the library starts one of its own
    before = threads()
    kept.append(run("onnxruntime", separable(), How(1)))
    assert threads() == before  # one computes where it is called
    kept.append(run("onnxruntime", separable(), How(4)))
    assert threads() == before + 3  # and three more, of the session that is kept
    assert len(kept) == 3


@WITH_RUNTIME
def test_outputs_stay_where_they_are() -> None:
    from dscost.runtimes import of_onnxruntime

    given = separable()
    session = of_onnxruntime._session(given.graph, of_onnxruntime._options(FLOAT))
    binding = of_onnxruntime._bound(session, given.inputs)
    (kept,) = binding.get_outputs()
    session.run_with_iobinding(binding)
    assert binding.get_outputs()[0].data_ptr() == kept.data_ptr()


# -- int8


@pytest.mark.parametrize("name", ONNX_RUNTIMES)
def test_int8_is_int8(name: str) -> None:
    found = run(name, separable(), INT8)
    assert 1e-4 < found.error < 0.05  # not float32, and not much else
    products = [text for text in found.running.fused if text.startswith("int8 ")]
    assert [text.rpartition(" ×")[2] for text in products] == ["2"]
    assert "BatchNormalization folded into Conv ×2" in found.running.fused
    assert not any(text.startswith("float32 ") for text in found.running.fused)


@pytest.mark.parametrize("name", ONNX_RUNTIMES)
def test_a_network_without_products_has_no_int8(name: str) -> None:
    x = (TensorProto.FLOAT, SHAPE)
    made = model([helper.make_node("Relu", ["x"], ["y"])], {"x": x}, ["y"])
    with pytest.raises(UnavailableError, match="computes none of it in int8"):
        run(name, program(made, x=values(*SHAPE)), INT8)


@WITH_RUNTIME
def test_what_cannot_be_quantized_is_told_in_a_line() -> None:
    made = conv_model()
    made.graph.node[0].op_type = "Unheard"
    with pytest.raises(UnavailableError, match=r"^ONNX Runtime cannot quantize it: .*Unheard"):
        in_dtype(program(made, x=values(*SHAPE)), INT8)


@WITH_RUNTIME
@pytest.mark.parametrize(("is_full", "most"), [(True, 127), (False, 64)])
def test_weights_are_symmetric_with_a_scale_for_each_channel(
    is_full: bool, most: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(quantising, "has_vnni", lambda: is_full)
    monkeypatch.setattr(quantising, "_MADE", {})
    content = in_dtype(program(conv_model(), x=values(*SHAPE)), INT8)
    assert isinstance(content, bytes)
    graph = onnx.load_model_from_string(content).graph
    stored = {one.name: numpy_helper.to_array(one) for one in graph.initializer}
    (weights,) = (name for name, each in stored.items() if each.shape == (16, 8, 3, 3))
    reader = next(node for node in graph.node if weights in node.input)
    assert reader.op_type == "DequantizeLinear"
    _, scale, zero = (stored[name] for name in reader.input)
    assert scale.shape == (16,)
    assert not zero.any()
    assert stored[weights].dtype == np.int8
    assert np.abs(stored[weights].astype(int)).max() == most
    # a channel's largest weight is its largest number
    largest = np.abs(values(16, 8, 3, 3)).max(axis=(1, 2, 3))
    assert scale * most == pytest.approx(largest, rel=0.01)


@WITH_RUNTIME
def test_a_model_is_quantized_once_for_all_runtimes(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[bytes] = []

    def quantized(graph: bytes, inputs: Any, seed: int) -> bytes:
        made.append(graph)
        return f"{seed}".encode()

    monkeypatch.setattr(quantising, "_MADE", {})
    monkeypatch.setattr(quantising, "_quantized", quantized)
    first = in_dtype(separable(), INT8)
    assert in_dtype(separable(), INT8) == first
    assert len(made) == 1
    in_dtype(separable(), How(1, "int8", seed=1))
    assert len(made) == 2
    for seed in range(20):
        in_dtype(separable(), How(1, "int8", seed=seed))
    assert len(quantising._MADE) == quantising.MOST_KEPT


@WITH_RUNTIME
def test_a_quantizer_says_nothing(
    capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    before = list(logging.root.handlers)
    in_dtype(program(conv_model(7), x=values(1, 8, 7, 7)), INT8)
    assert logging.root.handlers == before
    assert caplog.records == []
    assert capfd.readouterr() == ("", "")


def test_int8_needs_the_quantizer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quantising, "find_spec", lambda name: None)
    with pytest.raises(UnavailableError, match=r"pip install 'dscost\[onnxruntime\]'"):
        in_dtype(separable(), INT8)
    with pytest.raises(UnavailableError, match="no program of float16"):
        in_dtype(separable(), How(1, "float16"))


@pytest.mark.parametrize(
    ("machine", "flags", "has"),
    [
        ("x86_64", "fma avx2", False),
        ("AMD64", "avx2 avx_vnni", True),
        ("x86_64", "avx512f avx512_vnni", True),
        ("aarch64", "asimd", True),
    ],
)
def test_what_the_processor_can_is_read(
    machine: str, flags: str, has: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(platform, "machine", lambda: machine)
    path = tmp_path / "cpuinfo"
    path.write_text(f"processor\t: 0\nflags\t\t: fpu {flags}\nbugs\t\t: none\n")
    assert has_vnni(path) is has


def test_where_nothing_tells_of_vnni_there_is_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(platform, "machine", lambda: "x86_64")
    assert not has_vnni(tmp_path / "nothing")


# -- what is said of what was fused


def test_what_is_gone_is_folded_into_what_stood_before_it() -> None:
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["a"]),
        helper.make_node("BatchNormalization", ["a", "s", "b", "m", "v"], ["c"]),
        helper.make_node("Relu", ["c"], ["d"]),
        helper.make_node("BatchNormalization", ["d", "s", "b", "m", "v"], ["e"]),
        helper.make_node("MaxPool", ["e"], ["f"], kernel_shape=[2, 2]),
        helper.make_node("Relu", ["f"], ["y"]),
    ]
    stored = [numpy_helper.from_array(values(1), name) for name in "sbmvw"]
    graph = helper.make_graph(nodes, "graph", [], [], stored)
    alone = [Kernel("BatchNormalization"), Kernel("MaxPool"), Kernel("Relu")]
    assert folded_away(graph, [Kernel("Conv", ("Relu",)), *alone]) == [
        "BatchNormalization folded into Conv"
    ]
    assert folded_away(graph, [Kernel("QLinearConv", dtype="int8"), *alone]) == [
        "BatchNormalization folded into Conv",
        "Relu folded into Conv",
    ]
    assert folded_away(graph, [Kernel(node.op_type) for node in nodes]) == []


def test_a_sum_in_int8_is_not_gone() -> None:
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["a"]),
        helper.make_node("Add", ["a", "x"], ["y"]),
    ]
    graph = helper.make_graph(nodes, "graph", [], [])
    assert folded_away(graph, [Kernel("QLinearConv"), Kernel("QLinearAdd")]) == []


def test_a_product_of_two_results_is_in_no_weights() -> None:
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["a"]),
        helper.make_node("Sigmoid", ["a"], ["b"]),
        helper.make_node("Mul", ["a", "b"], ["c"], "gated"),
        helper.make_node("Mul", ["c", "k"], ["y"], "scaled"),
    ]
    graph = helper.make_graph(nodes, "graph", [], [], [numpy_helper.from_array(values(1), "k")])
    assert folded_away(graph, [Kernel("Conv"), Kernel("QuickGelu")]) == []
    assert nodes_of(graph)["gated"] == nodes_of(graph)["c"] == "SiLU"
    assert nodes_of(graph)["scaled"] == "Mul"


def test_kernels_that_are_alike_are_told_once() -> None:
    kernels = [
        Kernel("Conv", ("Add", "Relu"), dtype="float32"),
        Kernel("Conv", layout="NCHWc"),
        Kernel("Conv", layout="NCHWc"),
    ]
    assert told(kernels, ["Mul folded into Conv"] * 3) == (
        "Mul folded into Conv ×3",
        "float32 Conv + Add + Relu",
        "Conv (NCHWc) ×2",
    )
