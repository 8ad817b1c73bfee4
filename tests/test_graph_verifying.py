"""ONNX files counted twice: when both counts agree, what explains a difference, and what nobody could see."""

import json
import sys
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import onnx
import pytest
from onnx import TensorProto, helper
from onnx.reference import ReferenceEvaluator
from program import run

import dscost
from dscost.graphs import seeing
from dscost.graphs.recounting import is_recounted, recounted
from dscost.notation.inputs import parse_input
from dscost.traces.rules import FORMULAS, Rule


@pytest.fixture(autouse=True)
def _without_onnx_runtime(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where it is not installed; tests of it bring one of their own."""
    monkeypatch.setitem(sys.modules, "onnxruntime", None)


FLOAT, INT64, BOOL = TensorProto.FLOAT, TensorProto.INT64, TensorProto.BOOL


def values(name: str, *shape: int, dtype: int = FLOAT) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, dtype, shape)


def weights(name: str, *shape: int) -> TensorProto:
    return helper.make_tensor(
        name, FLOAT, shape, b"\1\0\0\0" * onnx.numpy_helper.np.prod(shape), raw=True
    )


def saved(
    path: Path, nodes: list[Any], inputs: list[Any], stored: list[TensorProto], *outputs: str
) -> str:
    made = [helper.make_tensor_value_info(name, FLOAT, None) for name in outputs]
    graph = helper.make_graph(nodes, "net", inputs, made, stored)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)]), path)
    return str(path)


@pytest.fixture
def net(tmp_path: Path) -> str:
    """A convolution, what looks at shapes, and a linear layer, of 6·6·8·27 and 2·288·5 MACs."""
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["c"], name="conv"),
        helper.make_node("Shape", ["c"], ["s"], name="shape", end=1),
        helper.make_node("Concat", ["s", "rest"], ["to"], name="to", axis=0),
        helper.make_node("Reshape", ["c", "to"], ["f"], name="flat"),
        helper.make_node("Gemm", ["f", "v"], ["y"], name="linear"),
    ]
    stored = [weights("w", 8, 3, 3, 3), weights("v", 288, 5)]
    stored.append(helper.make_tensor("rest", INT64, [1], [-1]))
    return saved(tmp_path / "net.onnx", nodes, [values("x", 2, 3, 8, 8)], stored, "y")


def test_both_agree_node_by_node(net: str) -> None:
    found = dscost.verify(net)
    assert (found.ours, found.theirs) == (2 * 6 * 6 * 8 * 27 + 2 * 288 * 5,) * 2
    assert found.agrees
    ran = run("verify", net)
    assert ran.returncode == 0
    assert "Both agree, node by node." in ran.stdout
    assert "onnx's reference evaluator" in ran.stderr
    counts = json.loads(run("verify", net, "--json").stdout)["macs"]
    assert counts == {"dscost": found.ours, "onnx_reference": found.ours}


def test_a_wrong_rule_shows(net: str, monkeypatch: pytest.MonkeyPatch) -> None:
    rule = FORMULAS["ai.onnx::Conv"]
    monkeypatch.setitem(FORMULAS, "ai.onnx::Conv", rule._replace(macs=lambda *_, **__: 7))
    ran = run("verify", net)
    assert ran.returncode == 1
    assert f"  conv (Conv): 7 against {2 * 6 * 6 * 8 * 27:,}: unknown\nThey differ." in ran.stdout


def test_a_large_model_is_seen_by_inference(net: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(seeing, "MOST_MACS_OF_REFERENCE", 1)
    found = dscost.verify(net)
    assert found.method.key == "onnx_shape_inference"
    assert found.agrees
    assert any("onnxruntime" in note for note in found.notes)


def test_what_would_take_much_memory_is_not_run(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Expand", ["x", "to"], ["large"], name="expand"),
        helper.make_node("MatMul", ["x", "w"], ["y"], name="product"),
        helper.make_node("ReduceSum", ["large"], ["z"], name="sum"),
    ]
    stored = [weights("w", 4, 4), helper.make_tensor("to", INT64, [3], [2**16, 2**12, 4])]
    found = dscost.verify(
        saved(tmp_path / "net.onnx", nodes, [values("x", 1, 4)], stored, "y", "z")
    )
    assert (found.method.key, found.agrees, found.ours) == ("onnx_shape_inference", True, 16)


def test_what_nobody_could_see_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(seeing, "MOST_MACS_OF_REFERENCE", 1)
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["c"], name="conv"),
        helper.make_node("Shape", ["c"], ["s"], name="shape"),
        # onnx's inference does not follow the absolute value of a size
        helper.make_node("Abs", ["s"], ["u"], name="abs"),
        helper.make_node("Reshape", ["c", "u"], ["r"], name="same"),
        helper.make_node("Conv", ["r", "v"], ["y"], name="hidden"),
    ]
    stored = [weights("w", 4, 2, 1, 1), weights("v", 4, 4, 1, 1)]
    path = saved(tmp_path / "net.onnx", nodes, [values("x", 1, 2, 3, 3)], stored, "y")
    ran = run("verify", path)
    assert ran.returncode == 2
    assert f"dscost {9 * 8 + 144} MACs, of which 72 are counted by onnx's" in ran.stdout
    assert "Both agree on these." in ran.stdout
    assert (
        "Not all of it was counted twice: 1 node of 144 MACs not by onnx's shape inference: hidden."
        in ran.stdout
    )


def branches(tmp_path: Path) -> str:
    stored = [weights("w", 4, 2, 1, 1), weights("v", 4, 2, 3, 3)]
    ways = []
    for name, weight, pads in (("small", "w", [0] * 4), ("large", "v", [1] * 4)):
        node = helper.make_node("Conv", ["x", weight], [f"{name}_out"], name=name, pads=pads)
        ways.append(helper.make_graph([node], name, [], [values(f"{name}_out", 1, 4, 3, 3)]))
    choice = helper.make_node(
        "If", ["is_small"], ["y"], name="if", then_branch=ways[0], else_branch=ways[1]
    )
    inputs = [values("x", 1, 2, 3, 3), values("is_small", dtype=BOOL)]
    return saved(tmp_path / "net.onnx", [choice], inputs, stored, "y")


def test_a_branch_that_does_not_run_explains_a_difference(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", runtime())
    ran = run("verify", branches(tmp_path))
    assert ran.returncode == 0, ran.stdout
    assert (
        f"dscost {9 * 8 + 9 * 72} MACs, by the shapes of ONNX Runtime {9 * 72} MACs" in ran.stdout
    )
    assert (
        "small (Conv): 72 against 0: its branch of an If, whose condition is not known, did not run"
        in ran.stdout
    )
    assert "They differ only where it is known why." in ran.stdout


def test_what_runs_several_times_is_counted_as_often(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    nodes = [helper.make_node("Conv", ["a", "k"], ["o"], name="conv", pads=[1, 1, 1, 1])]
    block = helper.make_function(
        "local", "Block", ["a", "k"], ["o"], nodes, [helper.make_opsetid("", 17)]
    )
    calls = [
        helper.make_node("Block", ["x", "w"], ["c"], name="first", domain="local"),
        helper.make_node("Block", ["c", "v"], ["y"], name="second", domain="local"),
    ]
    stored = [weights("w", 4, 3, 3, 3), weights("v", 4, 4, 3, 3)]
    path = saved(tmp_path / "net.onnx", calls, [values("x", 1, 3, 6, 6)], stored, "y")
    model = onnx.load(path)
    model.functions.append(block)
    model.opset_import.append(helper.make_opsetid("local", 1))
    onnx.save(model, path)
    for most in (10**9, 0):
        monkeypatch.setattr(seeing, "MOST_MACS_OF_REFERENCE", most)
        found = dscost.verify(path)
        assert (found.ours, found.theirs, found.agrees) == (36 * 4 * 27 + 36 * 4 * 36,) * 2 + (
            True,
        )


def test_a_loop_is_looked_into_unless_nothing_is_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    body = helper.make_graph(
        [
            helper.make_node("Conv", ["s", "v"], ["after"], name="inner", pads=[1, 1, 1, 1]),
            helper.make_node("Identity", ["go"], ["goes"], name="goes"),
        ],
        "body",
        [values("i", dtype=INT64), values("go", dtype=BOOL), values("s", 1, 4, 6, 6)],
        [values("goes", dtype=BOOL), values("after", 1, 4, 6, 6)],
    )
    nodes = [helper.make_node("Loop", ["n", "", "x"], ["y"], name="loop", body=body)]
    stored = [weights("v", 4, 4, 3, 3), helper.make_tensor("n", INT64, [], [3])]
    path = saved(tmp_path / "net.onnx", nodes, [values("x", 1, 4, 6, 6)], stored, "y")
    macs = 3 * 36 * 4 * 36
    found = dscost.verify(path)
    assert (found.ours, found.theirs, found.agrees) == (macs, macs, True)
    monkeypatch.setattr(seeing, "MOST_MACS_OF_REFERENCE", 1)
    found = dscost.verify(path)
    assert (found.ours, found.theirs, found.agrees) == (macs, 0, False)
    assert found.partial == (f"1 node of {macs:,} MACs not by onnx's shape inference: inner",)


@pytest.mark.parametrize("is_small", [True, False])
def test_a_branch_is_looked_into_by_onnx_as_well(tmp_path: Path, is_small: bool) -> None:
    given = [parse_input("x=1,2,3,3"), parse_input(f"is_small=():bool={is_small}")]
    found = dscost.verify(branches(tmp_path), given)
    macs = 9 * 8 if is_small else 9 * 72
    assert (found.ours, found.theirs, found.agrees) == (macs, macs, True)


def test_an_onnx_runtime_that_fails_is_said_and_done_without(
    net: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    fails = runtime()
    monkeypatch.setitem(sys.modules, "onnxruntime", fails)

    def refuse(*_: Any, **__: Any) -> None:
        raise RuntimeError("no such kernel")

    fails.InferenceSession = refuse  # type: ignore[attr-defined]
    found = dscost.verify(net)
    assert found.agrees
    assert "ONNX Runtime does not run it: RuntimeError: no such kernel." in found.notes


def test_weights_in_other_files_are_taken_for_zeros(net: str, tmp_path: Path) -> None:
    model = onnx.load(net)
    path = tmp_path / "apart.onnx"
    onnx.save(model, path, save_as_external_data=True, location="data.bin", size_threshold=0)
    size = (tmp_path / "data.bin").stat().st_size
    (tmp_path / "data.bin").write_bytes(b"\xff" * size)  # nobody reads them
    found = dscost.verify(str(path), (2, 3, 8, 8))
    assert found.ours == 2 * 6 * 6 * 8 * 27 + 2 * 288 * 5


def runtime() -> ModuleType:
    """ONNX Runtime as far as it is asked: onnx's evaluator runs the model, and the profile has the shapes of the
    branch that it takes, under the names that ONNX Runtime gives to nodes."""
    made = ModuleType("onnxruntime")
    made.__spec__ = ModuleSpec("onnxruntime", None)

    class Session:
        def __init__(self, content: bytes, options: Any, providers: list[str]) -> None:
            self.model, self.path = (
                onnx.load_from_string(content),
                options.profile_file_prefix + ".json",
            )
            self.events: list[Any] = []

        def run(self, _: None, given: dict[str, Any], how: Any) -> None:
            self.nodes(self.model.graph, ReferenceEvaluator(self.model), given, "")

        def nodes(
            self,
            graph: onnx.GraphProto,
            evaluator: ReferenceEvaluator,
            given: dict[str, Any],
            around: str,
        ) -> None:
            found = (
                dict(evaluator.run(None, given, intermediate=True)) if not around else dict(given)
            )
            found |= {
                one.name: onnx.numpy_helper.to_array(one) for one in self.model.graph.initializer
            }
            for node in graph.node:
                if node.op_type == "If":
                    way = "then_branch" if found[node.input[0]] else "else_branch"
                    inner = next(one.g for one in node.attribute if one.name == way)
                    body = helper.make_graph(
                        inner.node,
                        "body",
                        self.model.graph.input[:1],
                        inner.output,
                        self.model.graph.initializer,
                    )
                    model = helper.make_model(body, opset_imports=self.model.opset_import)
                    ran = ReferenceEvaluator(model).run(None, {"x": given["x"]}, intermediate=True)
                    self.nodes(inner, evaluator, {**given, **ran}, f"{node.name}_{way}__Inline_0__")
                types = [
                    [{"float": list(found[name].shape)} for name in side]
                    for side in (node.input, node.output)
                ]
                told = {
                    "op_name": node.op_type,
                    "input_type_shape": types[0],
                    "output_type_shape": types[1],
                }
                name = f"{around}{node.name}_kernel_time"
                self.events.append({"cat": "Node", "name": name, "args": told})

        def end_profiling(self) -> str:
            Path(self.path).write_text(
                json.dumps([{"cat": "Session", "name": "load"}, *self.events])
            )
            return self.path

    made.InferenceSession = Session  # type: ignore[attr-defined]
    made.SessionOptions = lambda: SimpleNamespace(add_session_config_entry=lambda *_: None)  # type: ignore[attr-defined]
    made.RunOptions = SimpleNamespace  # type: ignore[attr-defined]
    made.GraphOptimizationLevel = SimpleNamespace(ORT_DISABLE_ALL=0)  # type: ignore[attr-defined]
    made.set_default_logger_severity = lambda level: None  # type: ignore[attr-defined]
    made.__version__ = "1.0"  # type: ignore[attr-defined]
    return made


def test_onnx_runtime_tells_the_shapes_where_it_is_installed(
    net: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", runtime())
    found = dscost.verify(net)
    assert (found.agrees, found.method.key) == (True, "onnx_runtime")
    assert "ONNX Runtime 1.0 ran it to tell its shapes." in found.notes


@pytest.mark.parametrize(
    ("type", "read", "written", "attributes", "macs"),
    [
        ("Conv", [(2, 6, 8, 8), (4, 3, 5, 5)], [(2, 4, 4, 4)], {"group": 2}, 2 * 4 * 16 * 75),
        ("QLinearConv", [(1, 2, 3, 3), (), (), (4, 2, 1, 1)], [(1, 4, 3, 3)], {}, 9 * 8),
        ("ConvTranspose", [(1, 4, 3, 3), (4, 2, 2, 2)], [(1, 2, 6, 6)], {}, 9 * 4 * 8),
        ("Gemm", [(7, 3), (7, 5)], [(3, 5)], {"transA": 1}, 3 * 5 * 7),
        ("MatMul", [(2, 1, 3, 4), (5, 4, 6)], [(2, 5, 3, 6)], {}, 2 * 5 * 3 * 6 * 4),
        ("MatMul", [(4,), (4,)], [()], {}, 4),
        ("LSTM", [(5, 2, 3), (1, 16, 3), (1, 16, 4)], [(5, 1, 2, 4)], {}, 5 * 2 * (48 + 64)),
        ("Einsum", [(2, 3, 4), (2, 4, 5)], [(2, 3, 5)], {"equation": "b i j, b j k -> b i k"}, 2 * 3 * 4 * 5),
        ("Einsum", [(2, 1, 3, 4), (7, 4, 5)], [(2, 7, 3, 5)], {"equation": "...ij,...jk->...ik"}, 2 * 7 * 3 * 4 * 5),
        ("Einsum", [(3,), (5,)], [(3, 5)], {"equation": "i,j->ij"}, 0),
        ("Einsum", [(3,), (5,)], [(3, 5)], {"equation": "i,j"}, 0),
        ("Einsum", [(3, 4), (4, 5)], [(3, 5)], {"equation": "ij,jk"}, 3 * 4 * 5),
        # i is summed before: (4,) with (4, 5)
        ("Einsum", [(3, 4), (4, 5)], [(5,)], {"equation": "ij,jk->k"}, 4 * 5),
        ("Einsum", [(3, 1), (1, 5)], [(3, 5)], {"equation": "ij,jk->ik"}, 0),
        ("Einsum", [(3, 4)], [(4, 3)], {"equation": "ij->ji"}, 0),
        ("Einsum", [(2, 4), (4, 8), (8, 2)], [(2, 2)], {"equation": "ab,bc,cd->ad"}, None),
        ("FusedMatMul", [(7, 2, 3), (2, 7, 5)], [(2, 3, 5)], {"transA": 1, "transBatchA": 1}, 2 * 3 * 5 * 7),
        ("FusedMatMul", [(2, 7, 3), (2, 7, 5)], [(2, 3, 5)], {"transA": 1}, 2 * 3 * 5 * 7),
        ("DeformConv", [(1, 3, 5, 5), (4, 3, 3, 3), (1, 18, 3, 3)], [(1, 4, 3, 3)], {}, 9 * 4 * 27),
        ("Attention", [(1, 2, 5, 8), (1, 2, 6, 8), (1, 2, 6, 4)], [(1, 2, 5, 4)], {}, 2 * 5 * 6 * 12),
        ("Relu", [(3,)], [(3,)], {}, 0),
    ],
)  # fmt: skip
def test_the_second_count_by_hand(
    type: str, read: list[Any], written: list[Any], attributes: dict[str, Any], macs: int | None
) -> None:
    domain = "com.microsoft" if type.startswith("Fused") else "ai.onnx"
    assert recounted(f"{domain}::{type}", read, written, attributes) == macs


def test_a_kernel_that_keeps_its_weights_for_itself_is_not_counted_as_nothing() -> None:
    assert recounted("ai.onnx::Conv", [(2, 6, 8, 8)], [(2, 4, 4, 4)], {}) is None


def test_an_operator_of_the_same_name_from_elsewhere_is_another_one() -> None:
    packed = [(1, 5, 8), (8, 24), (24,)]  # queries, keys and values in one
    assert recounted("com.microsoft::Attention", packed, [(1, 5, 8)], {}) == 0
    assert not is_recounted("com.microsoft::Attention")


@pytest.mark.parametrize(
    ("equation", "shapes", "ours", "blind"),
    [
        # (2, 4) with (4, 8), and (2, 8) with (8, 2)
        ("ab,bc,cd->ad", [(2, 4), (4, 8), (8, 2)], 2 * 4 * 8 + 2 * 8 * 2, True),
        ("i,j->ij", [(3,), (5,)], 0, False),
        ("ij,jk->k", [(3, 4), (4, 5)], 4 * 5, False),
    ],
)
def test_einsum_is_counted_twice_or_said_to_be_seen_once(
    equation: str, shapes: list[tuple[int, ...]], ours: int, blind: bool, tmp_path: Path
) -> None:
    names = [f"x{at}" for at in range(len(shapes))]
    node = helper.make_node("Einsum", names, ["y"], name="product", equation=equation)
    inputs = [values(name, *shape) for name, shape in zip(names, shapes, strict=True)]
    found = dscost.verify(saved(tmp_path / "net.onnx", [node], inputs, [], "y"))
    assert (found.ours, found.differences) == (ours, ())
    told = f"1 node of {ours} MACs not by the shapes of onnx's reference evaluator: product"
    assert found.partial == ((told,) if blind else ())


@pytest.mark.parametrize("is_run", [True, False])
def test_a_node_that_the_second_count_has_no_rule_for_is_told_as_such(
    is_run: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(FORMULAS, "ai.onnx::Hardmax", Rule(lambda *_, **__: 7))
    if not is_run:
        monkeypatch.setattr(seeing, "MOST_MACS_OF_REFERENCE", 1)
    node = helper.make_node("Hardmax", ["x"], ["y"], name="first")
    found = dscost.verify(saved(tmp_path / "net.onnx", [node], [values("x", 1, 8)], [], "y"))
    (difference,) = found.differences
    assert (difference.ours, difference.theirs) == (7, 0)
    assert difference.reason == "the second count has no rule for ai.onnx::Hardmax"


def test_what_stops_another_program_is_one_clause() -> None:
    cause = TypeError("expected 2 values.")
    error = TypeError("Issues with types [<class 'numpy.ndarray'>] (operator 'LSTM_14').")
    error.__cause__ = cause
    assert seeing._why(error) == "it stops at LSTM: TypeError: expected 2 values"
