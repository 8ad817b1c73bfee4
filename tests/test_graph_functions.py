"""Functions in ONNX files, operators that ONNX defines by others, and what a file declares."""

from pathlib import Path

import onnx
import pytest
from onnx import TensorProto, helper

import dscost
from dscost.errors import InputError
from dscost.graphs import evaluating
from dscost.graphs.costs import has_rule
from tests.graph_texts import HEAD, SQUARE, counted, macs

ROW = 2 * 2
TWICE = """
<domain: "my", opset_import: ["" : 17]>
Twice (a, b) => (d) { [mm] c = MatMul(a, b) [relu] e = Relu(c) d = MatMul(e, b) }"""


def test_a_function_is_inlined_under_the_name_of_each_call(tmp_path: Path) -> None:
    report = counted(
        tmp_path,
        f"""(float[3,2] x) => (y) <{SQUARE}> {{
        [one] t = my.Twice(x, w) [two] y = my.Twice(t, w)
        }}{TWICE}""",
    )
    assert macs(report) == 2 * 2 * 3 * ROW
    names = ["one.mm", "one.relu", "one.d", "two.mm", "two.relu", "two.d"]
    assert [layer.name for layer in report.layers] == names
    assert report.totals.as_is.params == 4
    assert {path: block.type for path, block in report.blocks.items()} == {
        "one": "Twice",
        "two": "Twice",
    }


def test_functions_call_functions_and_have_operators_of_their_own_version(tmp_path: Path) -> None:
    report = counted(
        tmp_path,
        f"""(float[3,2] x) => (y) <{SQUARE}> {{ [call] y = my.Outer(x, w) }}
        <domain: "my", opset_import: ["" : 11, "my" : 1]>
        Outer (a, b) => (f) {{
            [inner] c = my.Twice(a, b) d = Unsqueeze<axes = [0]>(c) f = MatMul(d, b)
        }}{TWICE}""",
    )
    assert macs(report) == 3 * 3 * ROW
    assert (report.layers[0].name, report.layers[-1].output_shape) == ("call.inner.mm", (1, 3, 2))


def test_attributes_of_a_call_reach_the_nodes_that_refer_to_them(tmp_path: Path) -> None:
    flatten = helper.make_node("Flatten", ["a"], ["f"])
    flatten.attribute.append(
        onnx.AttributeProto(name="axis", ref_attr_name="at", type=onnx.AttributeProto.INT)
    )
    transpose = helper.make_node("Transpose", ["f"], ["t"], perm=[1, 0])
    product = helper.make_node("MatMul", ["f", "t"], ["d"], name="mm")
    function = helper.make_function(
        "my",
        "F",
        ["a"],
        ["d"],
        [flatten, transpose, product],
        [helper.make_opsetid("", 17)],
        attribute_protos=[helper.make_attribute("at", 1)],
    )
    graph = helper.make_graph(
        [
            helper.make_node("F", ["x"], ["y"], domain="my", name="stated", at=2),
            helper.make_node("F", ["x"], ["z"], domain="my", name="default"),
        ],
        "net",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, (2, 3, 4))],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in "yz"],
    )
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("my", 1)]
    model = helper.make_model(graph, opset_imports=opsets, functions=[function])
    onnx.save(model, tmp_path / "net.onnx")
    costs = {layer.name: layer.cost.macs for layer in dscost.analyze(tmp_path / "net.onnx").layers}
    assert costs["stated.mm"] == 6 * 4 * 6
    assert costs["default.mm"] == 2 * 12 * 2


def test_an_input_that_a_call_leaves_out_is_left_out_inside(tmp_path: Path) -> None:
    report = counted(
        tmp_path,
        """(float[3,2] x) => (y) <float[4,2] k = {1,2,3,4,5,6,7,8}> { [call] y = my.F(x, k) }
        <domain: "my", opset_import: ["" : 17]>
        F (a, b, c) => (d) { [gemm] d = Gemm<transB = 1>(a, b, c) }""",
    )
    (layer,) = report.layers
    assert (layer.cost.macs, layer.cost.params) == (3 * 2 * 4, 8)


def test_functions_that_multiply_without_end_are_refused(tmp_path: Path) -> None:
    calls = " ".join(f"t{at + 1} = my.F{{next}}(t{at})" for at in range(12))
    functions = "".join(
        f'\n<domain: "my", opset_import: ["my" : 1]>\nF{n} (t0) => (t12) {{{calls}}}'.replace(
            "{next}", str(n + 1)
        )
        for n in range(6)
    )
    last = '\n<domain: "my", opset_import: ["" : 17]>\nF6 (t0) => (t12) { t12 = Relu(t0) }'
    graph = "(float[1] x) => (y) { y = my.F0(x) }" + functions + last
    with pytest.raises(InputError, match="functions in each other come to over 15,000 nodes"):
        counted(tmp_path, graph)


# -- operators that ONNX defines by others


@pytest.mark.parametrize(
    ("call", "opset", "types"),
    [
        ("MeanVarianceNormalization(x)", 17, {"ReduceMean", "Sub", "Div"}),
        ("Swish<alpha = 2.0>(x)", 24, {"Mul", "Sigmoid"}),
        ("LayerNormalization(x, s)", 17, {"ReduceMean", "Flatten", "Reshape"}),
    ],
)
def test_an_operator_without_a_rule_is_what_onnx_defines_it_by(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str, opset: int, types: set[str]
) -> None:
    operator = f"ai.onnx::{call.partition('(')[0].partition('<')[0]}"
    monkeypatch.setattr(evaluating, "has_rule", lambda one: one != operator and has_rule(one))
    report = counted(
        tmp_path,
        f"(float[1,8,4,4] x) => (y) <float[4] s = {{1,2,3,4}}> {{ [call] y = {call} }}",
        head=HEAD.replace("17", str(opset)),
    )
    assert not report.coverage.unknown
    assert {layer.type for layer in report.layers} >= types
    assert all(layer.name.startswith("call.") for layer in report.layers)
    assert (1, 8, 4, 4) in {layer.output_shape for layer in report.layers}


# -- what a file declares


@pytest.mark.parametrize(
    ("reads", "sizes", "rows"),
    [
        ("float[3,2] x", "float[5,2] t", 5),
        ("float[3,2] x", "float[n,2] t", None),
        ("float[N,2] x", "float[N,2] t", 3),
        ("float[N,2] x", "float[n,2] t", None),
        ("float[N,2] x", "float[1,2] t", None),  # the size of one example
        ("float[N,2] x", "float[?,2] r, float[1,2] t", None),
        ("float[N,2] x", "float[3,2] r, float[5,2] t", 5),
        ("float[N,2] x", "float[N,2] r, float[N,2] t", 3),
    ],
)
def test_declared_sizes_help_behind_an_operator_that_nobody_knows(
    tmp_path: Path, reads: str, sizes: str, rows: int | None
) -> None:
    graph = f"""({reads}) => (y) <{SQUARE}, {sizes}> {{
        r = Relu(x) [odd] t = my.Odd({"r" if " r" in sizes else "x"}) [mm] y = MatMul(t, w) }}"""
    report = counted(tmp_path, graph, batch=3)
    wanted = ("my::Odd (1×)",) if rows else ("ai.onnx::MatMul (1×)", "my::Odd (1×)")
    assert report.coverage.unknown == wanted
    assert macs(report) == (rows or 0) * ROW


def test_declared_sizes_that_contradict_what_is_read_are_not_believed(tmp_path: Path) -> None:
    report = counted(
        tmp_path,
        f"""(float[N,2] x) => (y) <{SQUARE}, float[1,2] r, float[1,2] t> {{
        r = Relu(x) [odd] t = my.Odd(r) [mm] y = MatMul(t, w)
        }}""",
        batch=3,
    )
    assert report.coverage.unknown == ("ai.onnx::MatMul (1×)", "my::Odd (1×)")


def test_what_depends_on_data_has_no_size_whatever_is_declared(tmp_path: Path) -> None:
    report = counted(
        tmp_path,
        """(float[4,6] x) => (y) <int64[2,7] t, int64[2,2] w = {1,2,3,4}> {
        q = Transpose(x) [before] p = MatMul(x, q) t = NonZero(p) y = MatMul(w, t)
        }""",
    )
    assert report.coverage.unknown == ("ai.onnx::MatMul (1×)", "ai.onnx::NonZero (1×)")
    assert macs(report) == 4 * 6 * 4


def test_weights_that_a_call_gives_as_an_attribute_are_those_of_the_call(tmp_path: Path) -> None:
    """Two calls of F with matrices of their own, two of G that each make one with its matrix."""
    report = counted(
        tmp_path,
        """(float[3,2] x) => (y) {
        a = my.F<W = float[2,2] {1, 2, 3, 4}>(x) b = my.F<W = float[2,2] {5, 6, 7, 8}>(a)
        c = my.G(b) d = my.G(c) y = my.H<V = float[2,2] {1, 2, 3, 5}>(d) }
        <domain: "my", opset_import: ["" : 17]>
        F <W> (a) => (d) { k = Constant <value : tensor = @W> () d = MatMul(a, k) }
        <domain: "my", opset_import: ["" : 17, "my" : 1]>
        G (a) => (d) { d = my.F<W = float[2,2] {9, 8, 7, 6}>(a) }
        <domain: "my", opset_import: ["" : 17, "my" : 1]>
        H <V> (a) => (d) { b = my.F<W : tensor = @V>(a) d = my.F<W : tensor = @V>(b) }""",
    )
    assert (macs(report), report.totals.as_is.params) == (6 * 3 * ROW, 4 * 4)


def test_weights_in_a_function_are_stored_once_however_often_it_is_called(tmp_path: Path) -> None:
    report = counted(
        tmp_path,
        """(float[3,2] x) => (y) {
        k = Constant <value = float[2] {5, 6}> () s = Add(x, k) t = my.F(s) y = my.F(t) }
        <domain: "my", opset_import: ["" : 17]>
        F (a) => (d) { k = Constant <value = float[2,2] {1, 2, 3, 4}> () d = MatMul(a, k) }""",
    )
    assert (macs(report), report.totals.as_is.params) == (2 * 3 * ROW, 2 + 4)
