"""An ONNX file is counted with little: without torch, without onnx's evaluator; what stands for that does the same."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

import dscost
from dscost.graphs.constants import known_results
from dscost.graphs.nodes import MAIN, Node, attributes_of
from dscost.graphs.tensors import stored_value
from dscost.graphs.values import Value

HEAVY = "{'torch', 'onnxscript', 'onnx.reference', 'pandas', 'pydantic'}"


def reshaping(path: Path) -> None:
    """Write a network that works out a shape as TorchScript's exports do, and is shifted as Swin is."""

    def ints(name: str, *values: int) -> onnx.TensorProto:
        return numpy_helper.from_array(np.array(values, np.int64), name)

    nodes = [
        helper.make_node("Conv", ["x", "w"], ["y"], pads=[1, 1, 1, 1]),
        helper.make_node("Shape", ["y"], ["shape"]),
        helper.make_node("Gather", ["shape", "0"], ["batch"]),
        helper.make_node("Concat", ["batch", "-1"], ["flat"], axis=0),
        helper.make_node("ScatterND", ["flat", "[[1]]", "-1"], ["scattered"]),
        helper.make_node("Reshape", ["y", "scattered"], ["z"]),
        helper.make_node("Gemm", ["z", "v"], ["out"]),
    ]
    stored = [
        numpy_helper.from_array(np.zeros((8, 3, 3, 3), np.float32), "w"),
        numpy_helper.from_array(np.zeros((8 * 16, 10), np.float32), "v"),
        ints("0", 0),
        ints("-1", -1),
        numpy_helper.from_array(np.array([[1]], np.int64), "[[1]]"),
    ]
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, [2, 3, 4, 4])
    out = helper.make_tensor_value_info("out", TensorProto.FLOAT, None)
    onnx.save(helper.make_model(helper.make_graph(nodes, "net", [x], [out], stored)), path)


@pytest.mark.parametrize("command", [["model"], ["compare", "resnet18"]], ids=" ".join)
def test_counting_an_onnx_file_imports_nothing_heavy(command: list[str], tmp_path: Path) -> None:
    reshaping(tmp_path / "net.onnx")
    code = (
        "import sys\n"
        f"sys.argv = ['dscost', *{command!r}, 'net.onnx', '--format', 'csv']\n"
        "from dscost.cli import main\n"
        "try:\n    main()\n"
        f"except SystemExit as stop:\n    print(stop.code, {HEAVY} & set(sys.modules), file=sys.stderr)\n"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert ran.stderr.splitlines()[-1] == "0 set()"
    if command == ["model"]:
        macs = [f",{2 * 16 * 8 * 27},", f",{2 * 8 * 16 * 10},"]
        assert all(one in ran.stdout for one in macs), ran.stdout


def test_what_is_no_onnx_file_does_without_onnx() -> None:
    code = (
        "import sys\n"
        "sys.argv = ['dscost', 'model', 'resnet18', '--no-time']\n"
        "from dscost.cli import main\n"
        "try:\n    main()\n"
        "except SystemExit as stop:\n    print(stop.code, 'onnx' in sys.modules, file=sys.stderr)\n"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stderr.splitlines()[-1] == "0 False"


SCATTERED = {
    "rows": ((5, 3), [[4], [-1], [0]], (3, 3)),
    "elements": ((3, 4), [[[0, 1], [2, 3]], [[1, 1], [0, 0]]], (2, 2)),
    "twice the same": ((4,), [[2], [2], [1]], (3,)),
}


@pytest.mark.parametrize("reduction", ["none", "add", "mul", "max", "min"])
@pytest.mark.parametrize(("shape", "at", "given"), SCATTERED.values(), ids=SCATTERED)
def test_scattering_is_that_of_onnx(
    shape: tuple[int, ...], at: list[list[int]], given: tuple[int, ...], reduction: str
) -> None:
    if reduction == "none" and at == [[2], [2], [1]]:
        at = [[2], [0], [1]]  # which of two values stays is not defined
    draw = np.random.default_rng(0)
    arrays = [draw.integers(-9, 9, shape), np.array(at), draw.integers(-9, 9, given)]
    proto = helper.make_node("ScatterND", ["a", "at", "given"], ["out"], reduction=reduction)
    infos = [
        helper.make_tensor_value_info(name, TensorProto.INT64, array.shape)
        for name, array in zip(proto.input, arrays, strict=True)
    ]
    out = helper.make_tensor_value_info("out", TensorProto.INT64, shape)
    model = helper.make_model(
        helper.make_graph([proto], "one", infos, [out]), opset_imports=[helper.make_opsetid("", 18)]
    )
    (expected,) = ReferenceEvaluator(model).run(None, dict(zip(proto.input, arrays, strict=True)))
    values = tuple(Value("int64", array.shape, array) for array in arrays)
    node = Node("one", f"{MAIN}::ScatterND", attributes_of(proto), values, proto, 18)
    found = known_results(node)
    assert found is not None
    np.testing.assert_array_equal(found[0].content, expected)


def test_scattering_what_does_not_fit_is_unknown() -> None:
    proto = helper.make_node("ScatterND", ["a", "at", "given"], ["out"])
    arrays = [np.zeros((2, 3), np.int64), np.array([[0], [1]]), np.zeros((2, 1), np.int64)]
    values = tuple(Value("int64", array.shape, array) for array in arrays)
    node = Node("one", f"{MAIN}::ScatterND", {}, values, proto, 18)
    assert known_results(node) is None


@pytest.mark.parametrize("dtype", ["int64", "int32", "float32", "bool", "float16", "int8", "uint8"])
def test_what_is_stored_is_read_as_onnx_reads_it(dtype: str) -> None:
    array = np.arange(12).reshape(3, 4).astype(dtype)
    for tensor in (
        numpy_helper.from_array(array, "t"),
        helper.make_tensor("t", helper.np_dtype_to_tensor_dtype(array.dtype), (3, 4), array),
    ):
        content = stored_value(tensor, "t").content
        assert content is not None
        assert content.dtype == array.dtype
        np.testing.assert_array_equal(content, numpy_helper.to_array(tensor))


def test_of_too_few_bytes_nothing_is_known_but_the_type() -> None:
    tensor = numpy_helper.from_array(np.arange(12), "t")
    tensor.raw_data = tensor.raw_data[:-8]
    value = stored_value(tensor, "t")
    assert (value.dtype, value.shape, value.content) == ("int64", (12,), None)


@pytest.mark.parametrize("domain", ["", "ai.onnx", "net.example"])
def test_a_constant_is_what_it_holds_wherever_it_stands(domain: str, tmp_path: Path) -> None:
    held = numpy_helper.from_array(np.zeros((8, 3, 1, 1), np.float32))
    nodes = [
        helper.make_node("Constant", [], ["w"], value=held, domain=domain, name="twice"),
        helper.make_node("Conv", ["x", "w"], ["y"], name="twice"),
    ]
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3, 4, 4])
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, None)
    opsets = [helper.make_opsetid("", 18)]
    model = helper.make_model(helper.make_graph(nodes, "net", [x], [y]), opset_imports=opsets)
    onnx.save(model, tmp_path / "net.onnx")
    report = dscost.analyze(tmp_path / "net.onnx")
    if domain == "net.example":
        assert "net.example::Constant" in " ".join(report.coverage.unknown)
        return
    (conv,) = report.layers
    cost = report.totals.as_is
    assert (conv.name, cost.params, cost.macs) == ("y", 8 * 3, 8 * 3 * 16)
