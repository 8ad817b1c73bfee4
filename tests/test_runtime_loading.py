"""ncnn, ExecuTorch and torch.compile say what they made of a network, or in one line why they make nothing of it."""

import gc
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper
from torch import nn

from dscost.errors import UnavailableError
from dscost.foreign.logs import silent_output
from dscost.layers.convolution import conv2d
from dscost.layers.others import ActivationSpec, BatchNormSpec, Part
from dscost.networks.network import stage_operations
from dscost.runtimes import RUNTIMES, How
from dscost.runtimes.checking import Checked, checked
from dscost.runtimes.of_torch_compile import code_of_its_own
from dscost.runtimes.programs import GraphProgram, ModuleProgram, OperationsProgram

SHAPE = (1, 8, 6, 6)


def values(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).standard_normal(shape, dtype=np.float32)


def separable(batch: int = 1) -> OperationsProgram:
    parts: list[Part] = [
        ("depthwise", conv2d(8, 8, 3, padding=1, groups=8)),
        *(("norm1", BatchNormSpec(8)), ("act1", ActivationSpec("relu"))),
        ("pointwise", conv2d(8, 16, 1)),
        *(("norm2", BatchNormSpec(16)), ("act2", ActivationSpec("relu"))),
    ]
    return OperationsProgram("separable", stage_operations(parts, (batch, *SHAPE[1:])))


def run(name: str, program: Any, threads: int = 1) -> Checked:
    for module in RUNTIMES[name].packages.values():
        pytest.importorskip(module)
    return checked(RUNTIMES[name], program, How(threads))


def of_nodes(*nodes: onnx.NodeProto, x: np.ndarray, **stored: np.ndarray) -> GraphProgram:
    """Return a graph that reads `x` and writes `y`."""
    graph = helper.make_graph(
        nodes,
        "graph",
        [helper.make_tensor_value_info("x", helper.np_dtype_to_tensor_dtype(x.dtype), x.shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [onnx.numpy_helper.from_array(each, name) for name, each in stored.items()],
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    return GraphProgram("a graph", made.SerializeToString(), {"x": x}, 1000)


# -- ncnn


def test_ncnn_says_what_it_folded_and_fused() -> None:
    found = run("ncnn", separable())
    assert found.running.way_in == "ONNX, by pnnx"
    assert found.running.fused == (
        "BatchNormalization folded into Conv ×2",
        "ConvolutionDepthWise + ReLU",
        "Convolution + ReLU",
    )


def test_ncnn_keeps_what_it_reads_when_nobody_else_does() -> None:
    program = separable()
    found = run("ncnn", program)
    expected = [one.copy() for one in program.reference.outputs]
    del program
    gc.collect()
    _ = [values(*SHAPE) + one for one in range(1000)]  # where the input lay, were it free
    for _ in range(3):
        found.running.call()
    assert np.abs(found.running.outputs()[0] - expected[0]).max() < 1e-5


def test_ncnn_leaves_nothing_beside_the_file_that_it_reads(tmp_path: Path) -> None:
    path = tmp_path / "net.onnx"
    path.write_bytes(separable().graph)
    program = GraphProgram("net.onnx", path, separable().inputs, 1000)
    assert run("ncnn", program).error < 1e-5
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    ("program", "text"),
    [
        (lambda: separable(batch=2), "ncnn runs a batch of 1, input 'input' has one of 2"),
        (
            lambda: of_nodes(
                helper.make_node("Gather", ["w", "x"], ["y"]),
                x=np.zeros((1, 3), "i8"),
                w=values(8, 4),
            ),
            "ncnn is given float32 alone, input 'x' is int64",
        ),
        (
            lambda: of_nodes(helper.make_node("Det", ["x"], ["y"]), x=values(1, 4, 4)),
            "ncnn has no layer for Det",
        ),
        (
            lambda: GraphProgram("a text", b"no graph", {"x": values(1, 4)}, 1000),
            "pnnx cannot convert it: read_proto_from_binary failed",
        ),
    ],
    ids=["batch", "whole numbers", "operator", "no graph"],
)
def test_what_ncnn_has_not_is_told(program: Callable[[], GraphProgram], text: str) -> None:
    with pytest.raises(UnavailableError) as raised:
        run("ncnn", program())
    assert str(raised.value) == text


def test_pnnx_is_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("ncnn")
    from dscost.runtimes import of_ncnn

    monkeypatch.setattr(of_ncnn, "MOST_SECONDS", 0.001)
    with pytest.raises(UnavailableError, match=r"^pnnx was stopped after 0.001 s$"):
        run("ncnn", separable())


# -- ExecuTorch


def test_executorch_says_what_xnnpack_runs_and_what_it_leaves() -> None:
    module = nn.Sequential(
        nn.Conv2d(8, 8, 3, bias=False), nn.BatchNorm2d(8), nn.ReLU(), nn.Softsign()
    )
    module.requires_grad_(False).train(False)
    program = ModuleProgram("net", module, (torch.from_numpy(values(*SHAPE)),), {}, 1000)
    fused = run("executorch", program).running.fused
    assert "Conv2d + clamp" in fused
    assert not any("norm" in one.lower() for one in fused)
    assert any(one.startswith("not in XNNPACK: ") for one in fused)


def test_executorch_says_nothing_by_itself(capfd: pytest.CaptureFixture[str]) -> None:
    found = run("executorch", separable())
    found.running.call()
    assert capfd.readouterr() == ("", "")


def test_executorch_computes_with_as_many_threads_as_asked_for() -> None:
    portable_lib = pytest.importorskip("executorch.extension.pybindings.portable_lib")
    for threads in (2, 1):
        run("executorch", separable(), threads)
        assert portable_lib._threadpool_get_thread_count() == threads


# -- torch.compile


def test_every_module_is_compiled_however_many_have_its_class() -> None:
    compiled = []

    def counting(graph: torch.fx.GraphModule, _: object) -> Callable[..., Any]:
        compiled.append(graph)
        return graph.forward

    torch.compiler.reset()
    for many in range(1, 13):  # after eight of a class torch.compile stops, and says nothing
        module = nn.Sequential(nn.Linear(many, 2), nn.ReLU())
        run_it = torch.compile(code_of_its_own(module), backend=counting, dynamic=False)
        run_it(torch.ones(1, many))
    assert len(compiled) == 12


def test_a_compiler_that_is_missing_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    from torch._inductor import config

    monkeypatch.setattr(config.cpp, "cxx", ("no-such-compiler",))
    with pytest.raises(UnavailableError) as raised:
        run("torch-compile", separable())
    assert str(raised.value) == (
        "torch.compile cannot run it: there is no C++ compiler: install g++ or clang++, "
        "or name one in CXX"
    )
    assert not config.freezing


# -- what keeps them silent


def test_what_is_written_below_python_is_not_seen(capfd: pytest.CaptureFixture[str]) -> None:
    with silent_output():
        os.write(1, b"C++ to its output")
        os.write(2, b"C++ to its errors")
        print("Python")
    os.write(1, b"after")
    assert capfd.readouterr() == ("after", "")
