"""What is said of ONNX files: names as tables have them, and options that cannot be heeded."""

import zipfile
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from program import run

import dscost
from dscost.pages.layer_table import LAYER_COLUMNS
from dscost.rendering.terminal import _fitting


def saved(path: Path, nodes: list[onnx.NodeProto], *stored: TensorProto) -> str:
    given = [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 64, 8, 8])]
    put_out = [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)]
    graph = helper.make_graph(nodes, "net", given, put_out, stored)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)]), path)
    return str(path)


def weights(name: str, *shape: int) -> TensorProto:
    return onnx.numpy_helper.from_array(np.ones(shape, np.float32), name)


@pytest.fixture
def net(tmp_path: Path) -> str:
    """Two convolutions, named as tf2onnx and as torch's exporter name them."""
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["a"], name="/m/conv;/m/conv", pads=[1, 1, 1, 1]),
        helper.make_node("Conv", ["a", "v"], ["b"], name="/m/last/Conv"),
        helper.make_node("Relu", ["b"], ["y"], name="/m/relu;/n/relu"),
    ]
    return saved(
        tmp_path / "net.onnx", nodes, weights("w", 64, 64, 3, 3), weights("v", 8, 64, 1, 1)
    )


def test_of_names_that_are_the_same_one_is_shown_and_data_has_all(net: str) -> None:
    ran = run("model", net, "--no-time")
    assert "/m/conv   " in ran.stdout
    assert ";" not in ran.stdout
    assert dscost.analyze(net).layers[0].name == "/m/conv;/m/conv"
    assert "/m/conv;/m/conv," in run("model", net, "--no-time", "--format", "csv").stdout


def test_a_group_is_spelt_as_its_layers_are(net: str) -> None:
    lines = run("model", net, "--no-time", "--depth", "1").stdout.splitlines()
    assert any(line.split()[:3] == ["/m", "3", "layers"] for line in lines)


def test_a_tree_takes_one_of_several_names_for_the_place(net: str) -> None:
    tree = run("model", net, "--no-time", "--tree").stdout
    assert "├─ conv   " in tree
    assert "└─ relu   " in tree
    assert "├─ n " not in tree


def test_long_names_give_way_before_figures_do() -> None:
    columns = [one for one in LAYER_COLUMNS if one.key in ("layer", "output", "params", "macs")]
    widths = {one.key: 80 if one.key == "layer" else 8 for one in columns}
    assert [one.key for one in _fitting(columns, widths, 100)] == [one.key for one in columns]


def test_what_no_node_reads_in_a_branch_is_of_a_kind() -> None:
    from dscost.pages.layer_table import kind_of
    from dscost.reports.figures import NOTHING
    from dscost.reports.records import Layer

    assert kind_of(Layer("m", "", "idle", 0, None, (), (), NOTHING)) == "idle"


@pytest.mark.parametrize(
    "option",
    ["--device cuda", "--mode compile", "--time-budget 5s", "--skip-losing", "--threads 2"],
)
def test_what_is_said_of_a_measurement_is_refused_where_there_is_none(
    net: str, option: str
) -> None:
    ran = run("model", net, *option.split())
    assert (ran.returncode, ran.stdout) == (2, "")
    name = option.split()[0]
    assert f"{name} cannot be heeded. Not timed: torch runs no ONNX file: give " in ran.stderr
    assert run("model", net).returncode == 0


def test_files_that_are_none_are_told_as_what_they_are(tmp_path: Path) -> None:
    (tmp_path / "NET.ONNX").write_bytes(b"")
    (tmp_path / "pkl.onnx").write_bytes(b"")
    with zipfile.ZipFile(tmp_path / "saved.onnx", "w") as archive:
        archive.writestr("archive/data.pkl", b"")
    said = {
        "NET.ONNX": "a file is known by its ending in small letters: let its name end in .onnx",
        "saved.onnx": "no ONNX file: a zip archive, as torch.save writes: export the model",
        ".": ".: a folder, expected",
        "save.onnx": "no such file (did you mean 'saved.onnx'?)",
    }
    for name, told in said.items():
        ran = run("model", name, "--no-time", cwd=tmp_path)
        assert (ran.returncode, told in ran.stderr) == (2, True), ran.stderr
    assert "did you mean" not in run("model", "nofile.onnx", "--no-time", cwd=tmp_path).stderr


@pytest.fixture
def open_nets(tmp_path: Path) -> tuple[str, str]:
    """Two files that leave the batch of their inputs open, which have different names."""
    made = []
    for name in ("x", "ids"):
        given = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", 4])]
        put_out = [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)]
        node = helper.make_node("MatMul", [name, "w"], ["y"], name="m")
        graph = helper.make_graph([node], "net", given, put_out, [weights("w", 4, 8)])
        made.append(str(tmp_path / f"of_{name}.onnx"))
        onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)]), made[-1])
    return made[0], made[1]


def test_an_input_by_name_is_for_the_files_that_have_it(
    open_nets: tuple[str, str], tmp_path: Path
) -> None:
    given = ("--input", "x=2,4", "--input", "ids=3,4")
    ran = run("init", *open_nets, *given, "-o", "both.yaml", cwd=tmp_path)
    assert ran.returncode == 0, ran.stderr
    text = (tmp_path / "both.yaml").read_text(encoding="utf-8")
    assert text.count("input: ") == 2
    assert text.index("models:") < text.index("x=2,4") < text.index("ids=3,4")
    assert run("baseline", "save", "both.yaml", cwd=tmp_path).returncode == 0
    ran = run("check", "both.yaml", cwd=tmp_path)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    found = dscost.compare(*open_nets, input={"x": (2, 4), "ids": (3, 4)})
    assert [one.report.totals.as_is.macs for one in found.contenders] == [2 * 32, 3 * 32]
    ran = run("compare", *open_nets, *given, "--input", "z=1,4")
    assert (ran.returncode, "unknown input 'z'" in ran.stderr) == (2, True), ran.stderr


def test_a_shape_without_a_name_is_for_all(open_nets: tuple[str, str], tmp_path: Path) -> None:
    ran = run("init", *open_nets, "--input", "2,4", "-o", "both.yaml", cwd=tmp_path)
    assert ran.returncode == 0, ran.stderr
    text = (tmp_path / "both.yaml").read_text(encoding="utf-8")
    assert text.index("input: [2, 4]") < text.index("models:")


def test_what_convert_leaves_is_told_where_it_is_advertised(tmp_path: Path) -> None:
    nodes = [helper.make_node("Conv", ["x", "w"], ["y"], name="one", kernel_shape=[3, 3])]
    path = saved(tmp_path / "one.onnx", nodes, weights("w", 8, 64, 3, 3))
    assert (
        "in all; dscost convert leaves it, of fewer than 32 channels."
        in run("model", path, "--no-time").stdout
    )
