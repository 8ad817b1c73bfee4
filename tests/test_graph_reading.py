"""ONNX files read without their weights; what is no such file, or none that can be."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import AttributeProto, ModelProto, TensorProto, helper, numpy_helper

import dscost
from dscost.errors import InputError, NoFileError
from dscost.graphs import checking, evaluating, skimming
from dscost.graphs.reading import read_model
from dscost.graphs.skimming import LARGE

FLOAT = TensorProto.FLOAT


def model_of(
    *nodes: Any, weights: Any = (), outputs: tuple[str, ...] = ("y",), **kwargs: Any
) -> ModelProto:
    graph = helper.make_graph(
        nodes,
        "net",
        [helper.make_tensor_value_info("x", FLOAT, (1, 3, 8, 8))],
        [helper.make_tensor_value_info(name, FLOAT, None) for name in outputs],
        list(weights),
    )
    return helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", 17)], **{"ir_version": 10, **kwargs}
    )


def conv(channels: int = 8, name: str = "w") -> ModelProto:
    weights = numpy_helper.from_array(np.ones((channels, 3, 3, 3), np.float32), name)
    return model_of(helper.make_node("Conv", ["x", name], ["y"], name="conv"), weights=[weights])


@pytest.fixture
def saved(tmp_path: Path) -> Callable[[ModelProto | bytes], Path]:
    def save(model: ModelProto | bytes) -> Path:
        path = tmp_path / "net.onnx"
        path.write_bytes(model if isinstance(model, bytes) else model.SerializeToString())
        return path

    return save


def refusal(path: Path) -> str:
    with pytest.raises(InputError) as caught:
        read_model(path)
    (line,) = str(caught.value).splitlines()
    assert len(line) < 400
    return line.replace(f"{path.parent}/", "")


# -- without weights


def test_large_weights_are_left_out_wherever_they_are_and_nothing_else(saved: Any) -> None:
    large = numpy_helper.from_array(np.ones(LARGE // 4 + 1, np.float32), "large")
    edge = numpy_helper.from_array(np.ones(LARGE // 4, np.float32), "edge")
    floats = helper.make_tensor("floats", FLOAT, (LARGE,), [0.5] * LARGE)
    branch = helper.make_graph(
        [helper.make_node("Constant", [], ["deep"], value=large)],
        "branch",
        [],
        [helper.make_tensor_value_info("deep", FLOAT, None)],
    )
    model = model_of(
        helper.make_node("Constant", [], ["c"], value=large),
        helper.make_node("If", ["x"], ["y"], then_branch=branch, else_branch=branch),
        weights=[large, edge, floats],
    )
    function = helper.make_function(
        "own",
        "F",
        ["a"],
        ["b"],
        [helper.make_node("Constant", [], ["b"], value=large)],
        [helper.make_opsetid("", 17)],
    )
    model.functions.append(function)
    read = read_model(saved(model))
    for tensor in (
        model.graph.initializer[0],
        model.graph.node[0].attribute[0].t,
        *(one.g.node[0].attribute[0].t for one in model.graph.node[1].attribute),
        model.functions[0].node[0].attribute[0].t,
    ):
        assert len(tensor.raw_data) > LARGE
        tensor.ClearField("raw_data")
    model.graph.initializer[2].ClearField("float_data")
    assert read == model


def test_the_weights_of_a_file_are_not_read(saved: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    weights = numpy_helper.from_array(np.ones((64, 64, 64, 64), np.float32), "w")
    path = saved(model_of(helper.make_node("Conv", ["x", "w"], ["y"]), weights=[weights]))
    read: list[int] = []
    original = skimming._Skimming._read

    def noted(self: Any, start: int, end: int) -> bytes:
        read.append(end - start)
        return original(self, start, end)

    monkeypatch.setattr(skimming._Skimming, "_read", noted)
    assert list(read_model(path).graph.initializer[0].dims) == [64] * 4
    assert 0 < sum(read) < 1000 < 64**4 < path.stat().st_size


def test_how_a_model_was_trained_is_left_out(saved: Any) -> None:
    model = conv()
    model.training_info.add().algorithm.doc_string = "x" * (LARGE + 1)
    assert len(read_model(saved(model)).SerializeToString()) < LARGE


def test_a_tensor_is_as_long_as_its_shape_says(saved: Any) -> None:
    for channels in (8, 4000):
        model = conv(channels)
        model.graph.initializer[0].dims[0] += 1
        wrong, stored = (channels + 1) * 3 * 9 * 4, channels * 3 * 9 * 4
        assert refusal(saved(model)) == (
            f"net.onnx: tensor 'w' of {channels + 1} × 3 × 3 × 3 float32 takes {wrong:,} bytes, "
            f"but {stored:,} are stored"
        )


# -- what is no ONNX file


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "no ONNX file: an empty file"),
        (b"version https://git-lfs.github.com/spec/v1\n", "no ONNX file: a Git LFS pointer"),
        (b"PK\x03\x04" + bytes(30), "no ONNX file: a zip archive"),
        (b"\x20\0\0\0ORTM" + bytes(30), "no ONNX file: a model in the ORT format"),
        (b"\x20\0\0\0TFL3" + bytes(30), "no ONNX file: a model of TensorFlow Lite"),
        (b"<!doctype html>", "no ONNX file: a web page"),
        (b'{"irVersion": 8}', "no ONNX file: JSON"),
        (b"<\n ir_version: 8\n>", "no ONNX file: text that begins"),
        (b"\x08\x0a", "not an ONNX file, or a part of one"),
        (b"\0\xff" * 40, "not an ONNX file, or a part of one"),
        (b"\x3a\x80\x80\x80\x80\x08", "not an ONNX file, or a part of one"),  # a graph of 2 GB
    ],
    ids=lambda value: value[:12] if isinstance(value, bytes) else "",
)
def test_other_files_are_told_by_what_they_are(saved: Any, content: bytes, told: str) -> None:
    assert refusal(saved(content)).startswith(f"net.onnx: {told}")


def test_a_part_of_a_file_is_none_wherever_it_ends(saved: Any) -> None:
    whole = conv(1).SerializeToString()
    for end in range(len(whole)):
        refusal(saved(whole[:end]))
    assert read_model(saved(whole))


def test_what_cannot_be_opened_is_told(tmp_path: Path, saved: Any) -> None:
    saved(conv())
    with pytest.raises(NoFileError) as caught:
        read_model(tmp_path / "nett.onnx")
    assert (
        str(caught.value)
        == f"cannot read {tmp_path}/nett.onnx: no such file (did you mean 'net.onnx'?)"
    )
    (tmp_path / "folder.onnx").mkdir()
    assert refusal(tmp_path / "folder.onnx") == "cannot read folder.onnx: Is a directory"
    os.mkfifo(tmp_path / "pipe.onnx")
    assert refusal(tmp_path / "pipe.onnx") == "cannot read pipe.onnx: not a regular file"


# -- graphs that cannot be


def changed(change: Callable[[ModelProto], object]) -> ModelProto:
    model = model_of(
        helper.make_node("Relu", ["x"], ["a"], name="first"),
        helper.make_node("Relu", ["a"], ["y"], name="second"),
        weights=[numpy_helper.from_array(np.ones(3, np.float32), "w")],
    )
    change(model)
    return model


def _swap(model: ModelProto) -> None:
    first = model.graph.node.pop(0)
    model.graph.node.append(first)


def _function_of_itself(model: ModelProto) -> None:
    for name, other in (("F", "G"), ("G", "F")):
        body = [helper.make_node(other, ["a"], ["b"], domain="own")]
        model.functions.append(helper.make_function("own", name, ["a"], ["b"], body, []))


def _set(path: str, value: Any) -> Callable[[ModelProto], None]:
    def change(model: ModelProto) -> None:
        *way, last = path.split(".")
        at: Any = model
        for step in way:
            at = at[int(step)] if step.isdigit() else getattr(at, step)
        if last.isdigit():
            at[int(last)] = value
        else:
            setattr(at, last, value)

    return change


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (_swap, "node 'second' (Relu) reads 'a', which node 'first' (Relu) writes after it"),
        (_set("graph.node.0.input.0", "y"), "node 'first' (Relu) reads 'y', which node 'second'"),
        (
            _set("graph.node.0.input.0", "a"),
            "node 'first' (Relu) reads 'a', which it writes itself",
        ),
        (_set("graph.node.0.input.0", "b"), "node 'first' (Relu) reads 'b', which nothing writes"),
        (
            _set("graph.node.1.output.0", "a"),
            "node 'second' (Relu) writes 'a', which is there already",
        ),
        (
            _set("graph.node.0.output.0", "x"),
            "node 'first' (Relu) writes 'x', which is there already",
        ),
        (_set("graph.output.0.name", "z"), "output 'z' is written by no node"),
        (lambda m: m.graph.ClearField("output"), "the graph has no outputs"),
        (lambda m: m.graph.ClearField("node"), "the graph has no nodes"),
        (lambda m: m.graph.input.append(m.graph.input[0]), "two inputs are called 'x'"),
        (
            lambda m: m.graph.initializer.append(m.graph.initializer[0]),
            "two stored tensors are called 'w'",
        ),
        (lambda m: m.ClearField("opset_import"), "no version is stated of the operators"),
        (_set("opset_import.0.version", 99), f"opset 99, onnx {onnx.__version__} knows 1 to "),
        (_set("opset_import.0.version", 0), "opset 0, onnx"),
        (_set("opset_import.0.version", -1), "there is no version -1 of the operators ai.onnx"),
        (
            lambda m: m.opset_import.append(helper.make_opsetid("own", 2**40)),
            f"there is no version {2**40} of the operators own",
        ),
        (
            lambda m: m.opset_import.append(helper.make_opsetid("ai.onnx", 3)),
            "two versions of the operators ai.onnx",
        ),
        (_set("ir_version", 2**40), f"IR version {2**40}, onnx {onnx.__version__} knows 1 to"),
        (lambda m: m.ClearField("ir_version"), "IR version 0, onnx"),
        (_set("graph.initializer.0.dims.0", -1), "tensor 'w' has the impossible shape -1"),
        (_set("graph.initializer.0.dims.0", 2**62), f"tensor 'w' has the impossible shape {2**62}"),
        (
            _set("graph.initializer.0.data_type", 77),
            "tensor 'w' is of dtype 77, which does not exist",
        ),
        (
            _set("graph.initializer.0.data_type", TensorProto.STRING),
            "tensor 'w' is of texts, and has 12 raw bytes",
        ),
        (
            _set("graph.initializer.0.data_type", TensorProto.INT8),
            "tensor 'w' of 3 int8 takes 3 bytes, but 12 are",
        ),
        (_function_of_itself, "function 'F' calls itself"),
    ],
    ids=range(25),
)
def test_a_graph_that_cannot_be_is_refused_in_a_line(
    saved: Any, change: Callable[[ModelProto], object], told: str
) -> None:
    assert read_model(saved(changed(lambda model: None)))
    assert refusal(saved(changed(change))).startswith(f"net.onnx: {told}")


def test_a_branch_reads_what_is_around_it_and_keeps_its_own(saved: Any) -> None:
    def branch(reads: str) -> onnx.GraphProto:
        out = helper.make_tensor_value_info("inner", FLOAT, None)
        return helper.make_graph([helper.make_node("Relu", [reads], ["inner"])], "b", [], [out])

    def model(reads: str, then: str = "x") -> ModelProto:
        choice = helper.make_node(
            "If", ["x"], ["c"], then_branch=branch(then), else_branch=branch("x")
        )
        return model_of(choice, helper.make_node("Relu", [reads], ["y"]))

    assert read_model(saved(model("c")))
    assert "reads 'inner', which nothing writes" in refusal(saved(model("inner")))
    assert "reads 'y', which nothing writes" in refusal(saved(model("c", then="y")))


def test_graphs_too_deep_or_too_large_are_refused(
    saved: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    body = b""
    for _ in range(10_000):  # a graph in an attribute of a node of a graph in …
        for number in (6, 5, 1):
            body = skimming._written(number << 3 | 2) + skimming._written(len(body)) + body
    told = refusal(saved(skimming._written(7 << 3 | 2) + skimming._written(len(body)) + body))
    assert told == "net.onnx: more than 100 messages lie in each other"
    monkeypatch.setattr(checking, "MOST_NODES", 1)
    assert (
        refusal(saved(changed(lambda model: None))) == "net.onnx: more than 1 nodes are not counted"
    )
    monkeypatch.setattr(skimming, "MOST_PARTS", 3)
    assert refusal(saved(conv(4000))) == "net.onnx: more than 3 nodes and tensors are not read"
    monkeypatch.setattr(skimming, "MOST_KEPT", 30)
    monkeypatch.setattr(skimming, "MOST_PARTS", 100)
    assert refusal(saved(conv())) == "net.onnx: more than 30 bytes beside its weights are not read"


# -- external data


def external(location: str = "net.bin", **more: str) -> ModelProto:
    model = conv()
    tensor = model.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    for key, value in {"location": location, **more}.items():
        tensor.external_data.add(key=key, value=value)
    return model


def test_external_data_are_looked_up_and_not_read(
    saved: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "net.bin").write_bytes(bytes(864))
    (tmp_path / "link.bin").symlink_to("sub/net.bin")
    path = saved(external())
    opened: list[str] = []
    original = os.open
    monkeypatch.setattr(
        os, "open", lambda name, *rest: opened.append(str(name)) or original(name, *rest)
    )
    for location in ("sub/net.bin", "./sub/net.bin", "link.bin"):
        path.write_bytes(external(location).SerializeToString())
        opened.clear()
        assert list(read_model(path).graph.initializer[0].dims) == [8, 3, 3, 3]
        assert opened == [str(path)]


@pytest.mark.parametrize(
    ("location", "told"),
    [
        ("net.bin", "external data 'net.bin' of tensor 'w' are missing: "),
        ("", "external data '' of tensor 'w' are not in the folder of the file: refused"),
        ("/etc/passwd", "external data '/etc/passwd' of tensor 'w' are not in the folder"),
        ("../net.bin", "external data '../net.bin' of tensor 'w' are not in the folder"),
        ("sub/../../net.bin", "external data 'sub/../../net.bin' of tensor 'w' are not in"),
        ("..\\net.bin", "external data '..\\net.bin' of tensor 'w' are not in the folder"),
        ("C:\\net.bin", "external data 'C:\\net.bin' of tensor 'w' are not in the folder"),
        ("outward", "external data 'outward' of tensor 'w' are a link out of the folder"),
        ("rooted", "external data 'rooted' of tensor 'w' are a link out of the folder"),
        ("folder/net.bin", "external data 'folder/net.bin' of tensor 'w' are a link out of"),
        ("round", "external data 'round' of tensor 'w' are a link out of the folder"),
        ("sub", "external data 'sub' of tensor 'w' are no file"),
        ("sub/short", "tensor 'w' ends at byte 864 of its external data short, which has 3"),
    ],
)
def test_external_data_are_inside_of_the_folder(tmp_path: Path, location: str, told: str) -> None:
    home = tmp_path / "home"
    (home / "sub").mkdir(parents=True)
    (tmp_path / "net.bin").write_bytes(bytes(864))
    (home / "sub" / "short").write_bytes(b"abc")
    (home / "outward").symlink_to("../net.bin")
    (home / "rooted").symlink_to(tmp_path / "net.bin")
    (home / "folder").symlink_to("sub/../..")
    (home / "round").symlink_to("round")
    path = home / "net.onnx"
    path.write_bytes(external(location).SerializeToString())
    assert refusal(path).startswith(f"net.onnx: {told}")


@pytest.mark.parametrize(
    ("more", "told"),
    [
        (
            {"offset": "1"},
            "tensor 'w' ends at byte 865 of its external data net.bin, which has 864",
        ),
        ({"offset": "-1"}, "tensor 'w' has external data at no place: ['-1', '864']"),
        ({"length": "860"}, "tensor 'w' takes 864 bytes by its shape, but 860 of external data"),
        ({"length": "٨٦٤"}, "tensor 'w' has external data at no place"),
    ],
    ids=str,
)
def test_external_data_are_where_they_are_said_to_be(
    saved: Any, tmp_path: Path, more: dict[str, str], told: str
) -> None:
    (tmp_path / "net.bin").write_bytes(bytes(864))
    assert read_model(saved(external()))
    assert refusal(saved(external(**more))).startswith(f"net.onnx: {told}")


def test_small_external_tensors_are_read_since_shapes_depend_on_them(
    saved: Any, tmp_path: Path
) -> None:
    (tmp_path / "net.bin").write_bytes(bytes(8) + np.array([1, 192], np.int64).tobytes())
    shape = TensorProto(
        name="shape", dims=[2], data_type=TensorProto.INT64, data_location=TensorProto.EXTERNAL
    )
    for key, value in (("location", "net.bin"), ("offset", "8"), ("length", "16")):
        shape.external_data.add(key=key, value=value)
    model = model_of(helper.make_node("Reshape", ["x", "shape"], ["y"]), weights=[shape])
    found = read_model(saved(model)).graph.initializer[0]
    assert numpy_helper.to_array(found).tolist() == [1, 192]


def test_attributes_are_looked_into_by_their_type(saved: Any) -> None:
    node = helper.make_node(
        "Constant", [], ["y"], value=numpy_helper.from_array(np.ones(2, np.float32), "c")
    )
    node.attribute[0].t.dims[0] = -2
    assert "impossible shape -2" in refusal(saved(model_of(node)))
    node.attribute[0].type = AttributeProto.INT
    assert read_model(saved(model_of(node)))


@pytest.mark.parametrize("name", [b"conv", b"Conv", b"w", b"y"])
def test_names_are_text(name: bytes, saved: Any) -> None:
    """Protobuf leaves bytes that are no UTF-8 as they are; nothing could tell them from others."""
    content = conv().SerializeToString()
    wrong = b"\xff" + name[1:]
    assert (
        refusal(saved(content.replace(name, wrong))) == f"net.onnx: the name {wrong!r} is no text"
    )


def test_what_is_left_unseen_is_looked_into_where_it_is_much(
    saved: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = conv()
    model.graph.value_info.add(name="a")
    model.metadata_props.add(key="k", value="v" * 500)
    path = saved(model)
    whole = read_model(path)
    monkeypatch.setattr(skimming, "MOST_UNSEEN", 100)
    assert read_model(path) == whole == model
    model.graph.value_info.extend([model.graph.value_info[0]] * 50)
    assert refusal(saved(model)) == "net.onnx: more than 100 bytes of types are not read"
    model.graph.ClearField("value_info")
    for _ in range(50):
        model.graph.node[0].attribute.add()
    monkeypatch.setattr(skimming, "MOST_PARTS", 60)
    assert refusal(saved(model)) == "net.onnx: more than 60 nodes and tensors are not read"


@pytest.mark.parametrize(
    ("limit", "told"),
    [
        ("MOST_EDGES", "more than 0 inputs of nodes are not counted"),
        ("MOST_TENSORS", "more than 0 tensors are not counted"),
        ("MOST_INPUTS", "more than 0 inputs or outputs are not counted"),
    ],
)
def test_what_is_beyond_any_network_is_refused(
    saved: Any, monkeypatch: pytest.MonkeyPatch, limit: str, told: str
) -> None:
    monkeypatch.setattr(checking, limit, 0)
    assert refusal(saved(conv())) == f"net.onnx: {told}"


def test_a_graph_that_takes_too_long_is_given_up(
    saved: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = saved(conv())
    monkeypatch.setattr(evaluating, "MOST_S", -1.0)
    with pytest.raises(InputError, match=r": its nodes take more than -1.0 s to go through$"):
        dscost.analyze(path)
