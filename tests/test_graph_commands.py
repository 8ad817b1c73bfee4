"""An ONNX file as a target of every command."""

import json
from collections.abc import Sequence
from pathlib import Path

import onnx
import pytest
from onnx import TensorProto, helper
from program import Ran, run

import dscost
from dscost.errors import InputError

FLOAT = TensorProto.FLOAT
STEM, HEAD = 8 * 8 * 16 * 27, 16 * 10
"""MACs of a 3×3 convolution 3 → 16 at 8×8, and of a linear layer 16 → 10."""

YAML = """
input: [3, 8, 8]
layers:
  - {conv: 3, out_channels: 16, norm: batch, act: relu}
  - {global_pool: 1}
  - flatten
  - {linear: 10}
"""


def stored(name: str, *shape: int) -> TensorProto:
    return helper.make_tensor(name, FLOAT, shape, [0.5] * onnx.numpy_helper.np.prod(shape))


def network(
    path: Path,
    *,
    names: Sequence[str] = (
        "/conv1/Conv",
        "/conv1_act/Relu",
        "/pool/Pool",
        "/flatten/Flatten",
        "/linear1/Gemm",
    ),
    axes: Sequence[int | str] = (1, 3, 8, 8),
    channels: int = 16,
    head: str = "Gemm",
    domain: str = "",
) -> str:
    """Write a small classifier as an exporter does: its normalisation is folded into the convolution."""
    conv, act, pool, flat, linear = names
    nodes = [
        helper.make_node("Conv", ["x", "w", "b"], ["c"], name=conv, pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["c"], ["r"], name=act),
        helper.make_node("GlobalAveragePool", ["r"], ["p"], name=pool),
        helper.make_node("Flatten", ["p"], ["f"], name=flat),
        helper.make_node(head, ["f", "v", "z"], ["y"], name=linear, domain=domain),
    ]
    weights = [
        stored("w", channels, 3, 3, 3),
        stored("b", channels),
        stored("v", channels, 10),
        stored("z", 10),
    ]
    inputs = [helper.make_tensor_value_info("x", FLOAT, axes)]
    outputs = [helper.make_tensor_value_info("y", FLOAT, None)]
    graph = helper.make_graph(nodes, "net", inputs, outputs, weights)
    opsets = [helper.make_opsetid("", 17)] + ([helper.make_opsetid(domain, 1)] if domain else [])
    onnx.save(helper.make_model(graph, opset_imports=opsets), path)
    return str(path)


@pytest.fixture
def net(tmp_path: Path) -> str:
    return network(tmp_path / "net.onnx")


@pytest.fixture
def yaml(tmp_path: Path) -> str:
    (tmp_path / "net.yaml").write_text(YAML, encoding="utf-8")
    return str(tmp_path / "net.yaml")


def one_line(ran: Ran) -> str:
    assert ran.returncode == 2
    assert ran.stderr.count("\n") == 1
    assert ran.stdout == ""
    return ran.stderr.removeprefix("dscost: ").rstrip("\n")


# -- compare


def test_an_export_is_held_against_its_model_by_the_modules_of_its_nodes(
    net: str, yaml: str
) -> None:
    found = dscost.compare(yaml, net)
    (versus,) = found.versus
    statuses = {pair.reference.name: pair.status for pair in versus.layers if pair.reference}
    assert statuses == {
        **dict.fromkeys(("conv1", "conv1_norm"), "folded"),
        **dict.fromkeys(("conv1_act", "global_pool1", "flatten1", "linear1"), "same"),
    }
    assert [pair.layer.name for pair in versus.layers if pair.is_renamed] == ["pool", "flatten"]
    assert versus.folded == 1
    # 16 scales and 16 shifts are gone, 16 biases have come
    assert versus.totals[0].change == 16 - 32
    assert "net.onnx has 1 normalisation less" in " ".join(found.notes)


def test_a_folded_normalisation_is_one_line_and_adds_up(net: str, yaml: str) -> None:
    printed = run("compare", yaml, net, "--layers").stdout
    (line,) = (line for line in printed.splitlines() if "folded into" in line)
    assert line.startswith("(1 normalisation folded into other layers)")
    assert "−16" in line
    data = json.loads(run("compare", yaml, net, "--json").stdout)["differences"][0]
    assert data["layer_counts"]["folded"] == 2
    changes = sum(layer["params"]["change"] for layer in data["layers"])
    assert changes == data["totals"]["params"]["change"]


def test_nodes_whose_names_tell_nothing_are_matched_by_what_they_are(
    tmp_path: Path, yaml: str
) -> None:
    path = network(tmp_path / "plain.onnx", names=("n0", "n1", "n2", "n3", "n4"))
    (versus,) = dscost.compare(yaml, path).versus
    pairs = {
        pair.reference.name: pair.layer.name
        for pair in versus.layers
        if pair.reference and pair.other
    }
    assert pairs["conv1"] == "n0"
    assert pairs["linear1"] == "n4"


def test_two_files_go_by_their_own_names(net: str, tmp_path: Path) -> None:
    wider = network(tmp_path / "wider.onnx", channels=32)
    (versus,) = dscost.compare(net, wider).versus
    assert [pair.layer.name for pair in versus.layers][:2] == ["/conv1/Conv", "/conv1_act/Relu"]
    assert versus.count_of("changed") == 5


def test_what_cannot_be_timed_is_said_once(net: str, tmp_path: Path) -> None:
    other = network(tmp_path / "other.onnx", channels=8)
    told = one_line(run("compare", net, other, "--time"))
    assert told == "there is nothing to time: an ONNX file is counted, not run"
    ran = run("model", net)
    assert ran.returncode == 0
    assert (ran.stdout + ran.stderr).count("Not timed: an ONNX file is counted, not run.") == 1
    with pytest.raises(
        InputError, match=r"net\.onnx cannot be timed: an ONNX file is counted, not run"
    ):
        dscost.analyze(net, time=True)
