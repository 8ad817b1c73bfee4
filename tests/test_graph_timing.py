"""ONNX files that are timed, by a runtime that takes them."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from program import run

import dscost
from dscost.reports.records import Report

pytest.importorskip("onnxruntime")

KEY = "cpu:onnxruntime"
SOON = 1.0
"""Seconds for a network of microseconds."""


def network(path: Path, channels: int = 16) -> str:
    """Write a convolution and a pair."""
    random = np.random.default_rng(0)

    def weight(name: str, *shape: int) -> TensorProto:
        return numpy_helper.from_array(random.standard_normal(shape).astype("float32") / 9, name)

    nodes = [
        helper.make_node("Conv", ["x", "w"], ["a"], "stem", pads=[1] * 4),
        helper.make_node("Relu", ["a"], ["b"], "act"),
        helper.make_node("Conv", ["b", "v"], ["c"], "deep", pads=[1] * 4, group=channels),
        helper.make_node("Relu", ["c"], ["d"], "act2"),
        helper.make_node("Conv", ["d", "u"], ["y"], "point"),
    ]
    graph = helper.make_graph(
        nodes,
        "net",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ("n", 3, 12, 12))],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [
            weight("w", channels, 3, 3, 3),
            weight("v", channels, 1, 3, 3),
            weight("u", 8, channels, 1, 1),
        ],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)]), path)
    return str(path)


@pytest.fixture
def net(tmp_path: Path) -> str:
    return network(tmp_path / "net.onnx")


def timed(net: str, **given: object) -> Report:
    return dscost.analyze(net, batch=1, time=True, time_budget_s=SOON, threads=1, **given)


def test_a_file_is_timed_as_it_is_and_in_both_versions(net: str) -> None:
    report = timed(net, runtime="onnxruntime")
    whole = report.latency[KEY]
    assert set(whole.latencies) == {"as_is", "standard", "depthwise_separable"}
    for ran in whole.ran.values():
        assert ran.way_in == "ONNX"
        assert ran.error is not None
        assert ran.error < 1e-5
    assert whole.speedup is not None
    stem, deep = (one for one in report.layers if one.name in ("stem", "deep"))
    assert stem.latency[KEY].latencies.keys() >= {"standard", "depthwise_separable"}
    assert deep.latency[KEY].latencies.keys() == {"standard", "depthwise_separable"}
    assert report.environment is not None
    assert "onnxruntime" in report.environment.runtimes


def test_of_several_runtimes_those_time_it_that_take_it(net: str) -> None:
    report = timed(net, runtime=["torch", "onnxruntime"])
    assert set(report.latency) == {KEY}
    assert [one.text for one in report.untimed] == ["Not timed: torch runs no ONNX file."]


def test_files_are_timed_beside_each_other(net: str, tmp_path: Path) -> None:
    other = network(tmp_path / "other.onnx", channels=64)
    found = dscost.compare(net, other, batch=1, time=True, runtime="onnxruntime", time_budget_s=2.0)
    assert found.untimed == ()
    assert [set(one.report.latency) for one in found.contenders] == [{KEY}, {KEY}]
    (versus,) = found.versus
    assert versus.speedups[KEY].median < 1  # it has sixteen times the MACs in its pair


def test_a_runtime_that_takes_modules_is_refused_with_one_that_takes_files(net: str) -> None:
    ran = run("model", net, "--batch", "1", "--mode", "compile")
    assert ran.returncode == 2
    assert (
        "--mode cannot be heeded. Not timed: torch runs no ONNX file: give --runtime" in ran.stderr
    )


def test_a_file_is_counted_as_it_is_where_a_runtime_makes_int8_of_it(net: str) -> None:
    own = dscost.analyze(net, batch=1)
    report = timed(net, runtime="onnxruntime", dtype="int8")
    assert report.totals == own.totals
    assert any("int8" in warning for warning in report.warnings)
    ran = report.latency[f"{KEY}:int8"].ran["as_is"]
    assert any(part.startswith("int8 QLinearConv") for part in ran.fused)
    both = timed(net, runtime="onnxruntime", timing={"dtypes": ("float32", "int8")})
    assert list(both.latency) == [KEY, f"{KEY}:int8"]


def test_a_file_has_no_other_dtype_where_nothing_makes_one(net: str) -> None:
    refused = run("model", net, "--batch", "1", "--dtype", "int8", "--no-time")
    assert refused.returncode == 2
    assert "--runtime onnxruntime times it in int8" in refused.stderr
