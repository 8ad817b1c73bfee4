"""What ONNX's operators cost, by hand; that each has an answer; formulas that users add."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import onnx
import pytest
from onnx import NodeProto, TensorProto, defs, helper

import dscost
from dscost.graphs import rules  # noqa: F401 - they register themselves
from dscost.graphs.control import CONTROL
from dscost.graphs.rules.unknown import UNKNOWN
from dscost.graphs.shapes.table import SHAPED
from dscost.layers.operations import OPERATIONS
from dscost.reports.records import Report
from dscost.traces.notes import FOURIER_NOTE
from dscost.traces.rules import FORMULAS, FREE, Rule

Shape = tuple[int, ...]


class Case(NamedTuple):
    """An operator, shapes of what it reads and first writes, its MACs, and its attributes."""

    operator: str
    inputs: Sequence[Shape | None]
    out: Shape
    expected: int
    attributes: Mapping[str, Any] = {}


def table(*cases: Case) -> pytest.MarkDecorator:
    names = [f"{at} {case.operator}" for at, case in enumerate(cases)]
    return pytest.mark.parametrize("case", cases, ids=names)


def macs(case: Case) -> int:
    name = case.operator if "::" in case.operator else f"ai.onnx::{case.operator}"
    return FORMULAS[name].macs(*case.inputs, out=case.out, **case.attributes)


def operators() -> list[str]:
    schemas = defs.get_all_schemas_with_history()
    return sorted({f"{one.domain or 'ai.onnx'}::{one.name}" for one in schemas})


def test_every_operator_of_onnx_has_one_answer() -> None:
    answers = [set(FORMULAS), set(FREE), UNKNOWN, set(CONTROL)]
    found = {name: sum(name in one for one in answers) for name in operators()}
    assert [name for name, number in found.items() if number != 1] == []


def test_answers_are_told_in_the_words_of_reports() -> None:
    words = [rule.op for rule in FORMULAS.values()] + [word for word in FREE.values() if word]
    assert set(words) - set(OPERATIONS) - {"mean"} == set()


def test_what_every_operator_of_a_runtime_writes_is_worked_out() -> None:
    """onnx knows nothing of them: without a function they would never have a size."""
    own = {name for name in (*FORMULAS, *FREE) if name.startswith("com.microsoft")}
    assert own - set(SHAPED) == set()
    known = {*FORMULAS, *FREE, *UNKNOWN}
    assert set(SHAPED) - known == set()
    there = {*operators(), *own, "ai.onnx::SimplifiedLayerNormalization"}
    answered = {name for name in (*FORMULAS, *FREE) if name.startswith("ai.onnx")}
    assert answered - there == set()


SMALL, SCALAR = (2,), ()
MS = "com.microsoft::"


# -- convolutions: every output value is a dot product over M/G channels and the taps


@table(
    Case("Conv", [(2, 6, 20), (8, 6, 5), (8,)], (2, 8, 16), 2 * 16 * 8 * 6 * 5),
    Case("Conv", [(1, 8, 6, 6), (12, 2, 3, 3)], (1, 12, 4, 4), 4 * 4 * 12 * 2 * 9, {"group": 4}),
    Case("Conv", [(1, 8, 6, 6), (8, 1, 3, 3)], (1, 8, 4, 4), 4 * 4 * 8 * 9, {"group": 8}),
    Case("Conv", [(1, 3, 4, 4, 4), (5, 3, 2, 2, 2)], (1, 5, 3, 3, 3), 27 * 5 * 3 * 8),
    Case("ConvInteger", [(1, 3, 5, 5), (4, 3, 3, 3), (), ()], (1, 4, 3, 3), 9 * 4 * 3 * 9),
    Case(
        "QLinearConv",
        [(1, 3, 5, 5), (), (), (4, 3, 3, 3), (4,), (4,), (), (), (4,)],
        (1, 4, 3, 3),
        9 * 4 * 3 * 9,
    ),
    Case(
        MS + "QLinearConv",  # with its channels last
        [(1, 5, 5, 3), (), (), (4, 3, 3, 3), (), (), (), ()],
        (1, 3, 3, 4),
        9 * 4 * 3 * 9,
        {"channels_last": 1},
    ),
    Case(MS + "FusedConv", [(1, 3, 5, 5), (4, 3, 3, 3), (4,), (1, 4, 3, 3)], (1, 4, 3, 3), 972),
    Case(MS + "NhwcConv", [(1, 5, 5, 3), (4, 3, 3, 3)], (1, 3, 3, 4), 9 * 4 * 3 * 9),
    # every input value meets every tap and every output channel of its group; weight is (M, N/G, *K)
    Case("ConvTranspose", [(2, 6, 5, 7), (6, 4, 3, 2)], (2, 4, 7, 8), 2 * 5 * 7 * 6 * 4 * 6),
    Case(
        "ConvTranspose",
        [(1, 6, 5, 5), (6, 2, 3, 3)],
        (1, 6, 15, 15),
        5 * 5 * 6 * 2 * 9,
        {"group": 3, "strides": (3, 3)},
    ),
    Case("ConvTranspose", [(1, 4, 6), (4, 3, 2)], (1, 3, 12), 6 * 4 * 3 * 2, {"strides": (2,)}),
    Case("DeformConv", [(1, 3, 5, 5), (4, 3, 3, 3), (1, 18, 3, 3)], (1, 4, 3, 3), 9 * 4 * 3 * 9),
    Case("CausalConvWithState", [(2, 6, 7), (6, 1, 4)], (2, 6, 7), 2 * 6 * 7 * 4),
)
def test_convolutions(case: Case) -> None:
    assert macs(case) == case.expected


# -- products


@table(
    Case("MatMul", [(2, 3), (3, 5)], (2, 5), 2 * 3 * 5),
    Case("MatMul", [(4, 1, 2, 3), (6, 3, 5)], (4, 6, 2, 5), 4 * 6 * 2 * 3 * 5),
    Case("MatMul", [(3,), (3, 5)], (5,), 3 * 5),
    Case("MatMul", [(2, 3), (3,)], (2,), 2 * 3),
    Case("MatMul", [(3,), (3,)], (), 3),
    Case("MatMulInteger", [(2, 3), (3, 5), (), ()], (2, 5), 2 * 3 * 5),
    Case("QLinearMatMul", [(2, 3), (), (), (3, 5), (), (), (), ()], (2, 5), 2 * 3 * 5),
    Case("Gemm", [(2, 3), (3, 5), (5,)], (2, 5), 2 * 3 * 5),
    Case("Gemm", [(2, 3), (5, 3)], (2, 5), 2 * 3 * 5, {"transB": 1}),
    Case("Gemm", [(3, 2), (3, 5)], (2, 5), 2 * 3 * 5, {"transA": 1}),
    Case("Gemm", [(3, 2), (5, 3)], (2, 5), 2 * 3 * 5, {"transA": 1, "transB": 1}),
    Case(MS + "FusedGemm", [(3, 2), (3, 5)], (2, 5), 2 * 3 * 5, {"transA": 1}),
    Case(MS + "FusedMatMul", [(7, 2, 3), (7, 3, 5)], (7, 2, 5), 7 * 2 * 3 * 5),
    Case(MS + "FusedMatMul", [(7, 3, 2), (7, 3, 5)], (7, 2, 5), 7 * 2 * 3 * 5, {"transA": 1}),
    Case(
        MS + "FusedMatMul",  # A is (M, batch, P)
        [(3, 7, 2), (7, 3, 5)],
        (7, 2, 5),
        7 * 2 * 3 * 5,
        {"transA": 1, "transBatchA": 1},
    ),
    Case(MS + "TransposeMatMul", [(2, 3), (5, 3)], (2, 5), 2 * 3 * 5, {"transB": 1}),
    Case(MS + "GemmFastGelu", [(7, 2, 3), (3, 5), (5,)], (7, 2, 5), 7 * 2 * 3 * 5),
    Case(MS + "QGemm", [(3, 2), (), (), (3, 5), (), ()], (2, 5), 2 * 3 * 5, {"transA": 1}),
    Case(MS + "MatMulIntegerToFloat", [(2, 3), (3, 5), (), ()], (2, 5), 2 * 3 * 5),
    Case(MS + "DynamicQuantizeMatMul", [(2, 3), (3, 5), ()], (2, 5), 2 * 3 * 5),
    # four bits an element, in blocks of 32: one row of 16 bytes for each of 5 columns and 3 blocks
    Case(
        MS + "MatMulNBits",
        [(7, 2, 96), (5, 3, 16), (15,)],
        (7, 2, 5),
        7 * 2 * 96 * 5,
        {"K": 96, "N": 5, "bits": 4, "block_size": 32},
    ),
    Case(MS + "MatMulBnb4", [(2, 64), (160,), (5,)], (2, 5), 2 * 64 * 5, {"K": 64, "N": 5}),
    Case(MS + "MatMulNBitsQkv", [(2, 8)], (2, 6), 2 * 8 * (6 + 2 * 3), {"Nq": 6, "Nkv": 3}),
    Case(MS + "MatMulNBitsMlp", [(2, 8)], (2, 6), 2 * 8 * 2 * 6),
    # each of 2·3 rows meets 2 of 4 experts: 8 → 16 → 8
    Case(
        MS + "MoE",
        [(2, 3, 8), (6, 4), (4, 16, 8), (4, 16), (4, 8, 16)],
        (2, 3, 8),
        6 * 2 * (16 * 8 + 8 * 16),
        {"k": 2},
    ),
    Case(MS + "CDist", [(4, 3), (5, 3)], (4, 5), 4 * 5 * 3),
    Case("ai.onnx.ml::LinearRegressor", [(4, 3)], (4, 2), 4 * 6, {"coefficients": (0.5,) * 6}),
)
def test_products(case: Case) -> None:
    assert macs(case) == case.expected


@pytest.mark.parametrize(
    ("equation", "shapes", "out", "expected"),
    [
        ("ij,jk->ik", [(2, 3), (3, 5)], (2, 5), 2 * 3 * 5),
        ("ij, jk", [(2, 3), (3, 5)], (2, 5), 2 * 3 * 5),
        ("bij,bkj->bik", [(7, 2, 3), (7, 5, 3)], (7, 2, 5), 7 * 2 * 3 * 5),
        ("...ij,...jk->...ik", [(4, 1, 2, 3), (6, 3, 5)], (4, 6, 2, 5), 4 * 6 * 2 * 3 * 5),
        ("...ij,jk", [(7, 2, 3), (3, 5)], (7, 2, 5), 7 * 2 * 3 * 5),
        # what one operand alone has is summed before
        ("ijl,jk->ik", [(2, 3, 9), (3, 5)], (2, 5), 2 * 3 * 5),
        # nothing is summed: elementwise
        ("i,j->ij", [(2,), (3,)], (2, 3), 0),
        ("ij,ij->ij", [(2, 3), (2, 3)], (2, 3), 0),
        ("ij->ji", [(2, 3)], (3, 2), 0),
        ("ii->i", [(3, 3)], (3,), 0),
        ("i,i->", [(3,), (3,)], (), 3),
        ("ij,jk->ik", [(2, 1), (1, 5)], (2, 5), 0),  # a sum of one
        # (2×3 · 3×5) · 5×7
        ("ij,jk,kl->il", [(2, 3), (3, 5), (5, 7)], (2, 7), 2 * 3 * 5 + 2 * 5 * 7),
    ],
)
def test_einsum(equation: str, shapes: list[Shape], out: Shape, expected: int) -> None:
    assert macs(Case("Einsum", shapes, out, 0, {"equation": equation})) == expected


# -- recurrent: T·B rows meet gates·H·(M + H) weights in each direction


@table(
    Case("LSTM", [(7, 2, 5), (1, 12, 5), (1, 12, 3)], (7, 1, 2, 3), 7 * 2 * 4 * 3 * (5 + 3)),
    Case(
        "LSTM",  # peepholes are elementwise
        [(7, 2, 5), (2, 12, 5), (2, 12, 3), (2, 24), None, None, None, (2, 9)],
        (7, 2, 2, 3),
        7 * 2 * 2 * 4 * 3 * (5 + 3),
        {"direction": "bidirectional"},
    ),
    Case("GRU", [(7, 2, 5), (1, 9, 5), (1, 9, 3)], (7, 1, 2, 3), 7 * 2 * 3 * 3 * (5 + 3)),
    Case("RNN", [(2, 7, 5), (1, 3, 5), (1, 3, 3)], (2, 7, 1, 3), 7 * 2 * 3 * 8, {"layout": 1}),
    Case(
        MS + "DynamicQuantizeLSTM",
        [(7, 2, 5), (1, 5, 12), (1, 3, 12)],
        (7, 1, 2, 3),
        7 * 2 * 4 * 3 * (5 + 3),
    ),
)
def test_recurrent_layers(case: Case) -> None:
    assert macs(case) == case.expected


# -- attention: L queries of E values meet S keys, S scores meet values of Ev; in each head


@table(
    Case("Attention", [(2, 4, 6, 8), (2, 4, 9, 8), (2, 4, 9, 5)], (2, 4, 6, 5), 2 * 4 * 6 * 9 * 13),
    Case(
        "Attention",
        [(2, 6, 32), (2, 9, 32), (2, 9, 20)],
        (2, 6, 20),
        2 * 4 * 6 * 9 * (8 + 5),
        {"q_num_heads": 4, "kv_num_heads": 4},
    ),
    # 4 heads of queries share 2 of keys, 3 of which the cache has
    Case(
        "Attention",
        [(1, 4, 6, 8), (1, 2, 6, 8), (1, 2, 6, 8), None, (1, 2, 3, 8), (1, 2, 3, 8)],
        (1, 4, 6, 8),
        4 * 6 * (6 + 3) * 16,
    ),
    # 6 rows of 10 values → queries and keys of 4·2, values of 4·3
    Case(
        MS + "Attention",
        [(2, 6, 10), (10, 28), (28,)],
        (2, 6, 12),
        2 * 6 * 10 * 28 + 2 * 4 * 6 * 6 * (2 + 3),
        {"num_heads": 4},
    ),
    Case(
        MS + "Attention",
        [(2, 1, 8), (8, 24), (24,), None, (2, 2, 4, 5, 2)],
        (2, 1, 8),
        2 * 8 * 24 + 2 * 4 * 1 * (5 + 1) * (2 + 2),
        {"num_heads": 4},
    ),
    Case(
        MS + "QAttention",
        [(2, 1, 8), (8, 24), (24,), (), (), None, (), (), (2, 2, 4, 5, 2)],
        (2, 1, 8),
        2 * 8 * 24 + 2 * 4 * 1 * (5 + 1) * (2 + 2),
        {"num_heads": 4},
    ),
    Case(
        MS + "MultiHeadAttention",
        [(2, 6, 8), (2, 9, 8), (2, 9, 12)],
        (2, 6, 12),
        2 * 4 * 6 * 9 * (2 + 3),
        {"num_heads": 4},
    ),
    Case(MS + "MultiHeadAttention", [(2, 6, 4, 3, 2)], (2, 6, 8), 2 * 4 * 6 * 6 * (2 + 2)),
    Case(
        MS + "MultiHeadAttention", [(2, 6, 8), (2, 9, 4, 2, 2)], (2, 6, 8), 2 * 4 * 6 * 9 * (2 + 2)
    ),
    Case(
        MS + "MultiHeadAttention",
        [(2, 6, 8), (2, 4, 9, 2), (2, 4, 9, 2)],
        (2, 6, 8),
        2 * 4 * 6 * 9 * (2 + 2),
    ),
    Case(
        MS + "MultiHeadAttention",
        [(2, 1, 8), (2, 1, 8), (2, 1, 8), None, None, None, (2, 4, 5, 2), (2, 4, 5, 2)],
        (2, 1, 8),
        2 * 4 * 6 * (2 + 2),
    ),
    # 4 heads of queries of 8 values, 2 of keys: packed, and with 5 keys in a cache
    Case(MS + "GroupQueryAttention", [(1, 3, (4 + 2 + 2) * 8)], (1, 3, 32), 4 * 3 * 3 * 16),
    Case(
        MS + "GroupQueryAttention",
        [(1, 3, 32), (1, 3, 16), (1, 3, 16), (1, 2, 5, 8), (1, 2, 5, 8)],
        (1, 3, 32),
        4 * 3 * (5 + 3) * 16,
    ),
    # for each row: 4 heads read a state of 3·5, 2 heads write it and by the delta rule read it first
    Case(
        "LinearAttention",
        [(1, 7, 12), (1, 7, 6), (1, 7, 10)],
        (1, 7, 20),
        7 * 3 * 5 * (4 + 2),
        {"q_num_heads": 4, "kv_num_heads": 2, "update_rule": "gated"},
    ),
    Case(
        "LinearAttention",
        [(1, 7, 12), (1, 7, 6), (1, 7, 10)],
        (1, 7, 20),
        7 * 3 * 5 * (4 + 2 + 2),
        {"q_num_heads": 4, "kv_num_heads": 2},
    ),
)
def test_attention(case: Case) -> None:
    assert macs(case) == case.expected


# -- what a user sees of it


def counted(
    tmp_path: Path, *nodes: NodeProto, shape: Shape, declared: Shape | None = None
) -> Report:
    graph = helper.make_graph(
        list(nodes),
        "net",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, declared)],
    )
    opsets = [helper.make_opsetid("", 20), helper.make_opsetid("com.acme", 1)]
    onnx.save(helper.make_model(graph, opset_imports=opsets), tmp_path / "net.onnx")
    return dscost.analyze(tmp_path / "net.onnx")


@pytest.fixture
def taught() -> Iterator[None]:
    dscost.register_formula("com.acme::Mix", op="matmul")(
        lambda x, *_, out, times=1, **__: times * x[-1] * out[-1]
    )
    yield
    del FORMULAS["com.acme::Mix"]


MIX = helper.make_node("Mix", ["x"], ["y"], "mix", domain="com.acme", times=2, out=5)


@pytest.mark.usefixtures("taught")
def test_a_formula_for_an_own_operator_takes_shapes_and_attributes(tmp_path: Path) -> None:
    report = counted(tmp_path, MIX, shape=(1, 3), declared=(1, 7))
    assert report.totals.as_is.macs == 2 * 3 * 7
    assert (report.layers[0].op, report.coverage.unknown) == ("matmul", ())


@pytest.mark.usefixtures("taught")
def test_what_an_own_operator_writes_must_be_declared_or_it_is_unknown(tmp_path: Path) -> None:
    report = counted(tmp_path, MIX, shape=(1, 3))
    assert report.totals.as_is.macs == 0
    assert report.coverage.unknown == ("com.acme::Mix (1×)",)


def test_an_operator_that_nobody_knows_is_named_and_the_rest_is_counted(tmp_path: Path) -> None:
    report = counted(tmp_path, MIX, shape=(1, 3), declared=(1, 7))
    assert report.coverage.unknown == ("com.acme::Mix (1×)",)
    assert "The total is partial: operators of unknown cost: com.acme::Mix (1×)." in report.warnings


def test_fourier_transforms_are_free_and_it_is_said(tmp_path: Path) -> None:
    report = counted(tmp_path, helper.make_node("DFT", ["x"], ["y"]), shape=(1, 16, 2))
    assert (report.totals.as_is.macs, report.coverage.unknown) == (0, ())
    assert FOURIER_NOTE in report.warnings


@pytest.mark.parametrize(
    ("shape", "out", "word"),
    [
        ((2, 3, 4, 5), (2, 3, 1, 1), "global_pooling"),
        ((2, 3, 4, 5), (2, 1, 4, 5), "other"),
        ((2, 8, 8, 8), (2, 1, 1, 8), "other"),  # of channels too
        ((2, 3, 4, 5, 6), (2, 3, 1, 1, 1), "global_pooling"),
        ((2, 3, 4, 5, 6), (2, 3, 4, 1, 1), "other"),
        ((2, 7, 8), (2, 7, 1), "other"),  # as a normalisation of rows has it
    ],
)
def test_a_mean_over_all_positions_is_global_pooling(
    tmp_path: Path, shape: Shape, out: Shape, word: str
) -> None:
    axes = [at for at, size in enumerate(out) if size == 1]
    value = helper.make_tensor("axes", TensorProto.INT64, (len(axes),), axes)
    nodes = [
        helper.make_node("Constant", [], ["axes"], value=value),
        helper.make_node("ReduceMean", ["x", "axes"], ["y"]),
    ]
    (layer,) = counted(tmp_path, *nodes, shape=shape).layers
    assert (layer.op, layer.output_shape) == (word, out)


@pytest.mark.usefixtures("odd_nodes")
def test_a_rule_that_fails_is_told_with_its_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any, **__: Any) -> int:
        raise KeyError("nobody knows")

    monkeypatch.setitem(FORMULAS, "ai.onnx::Hardmax", Rule(broken))
    body = [helper.make_node("Hardmax", ["x"], ["y"], name="first")]
    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, (1, 8)) for name in "xy"]
    graph = helper.make_graph(body, "net", values[:1], values[1:])
    onnx.save(helper.make_model(graph), tmp_path / "net.onnx")
    report = dscost.analyze(tmp_path / "net.onnx")
    told = (
        "The total is partial: Hardmax 'first', which does not fit what it reads: its rule fails, "
        "KeyError: 'nobody knows'."
    )
    assert report.coverage.unknown == ("ai.onnx::Hardmax (1×)",)
    assert told in report.warnings


def test_a_rule_that_fails_is_no_secret_to_other_tests(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As it would be if the node were of unknown cost here too."""
    monkeypatch.setitem(FORMULAS, "ai.onnx::Hardmax", Rule(lambda *_, **__: [][0]))
    body = [helper.make_node("Hardmax", ["x"], ["y"], name="first")]
    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, (1, 8)) for name in "xy"]
    graph = helper.make_graph(body, "net", values[:1], values[1:])
    onnx.save(helper.make_model(graph), tmp_path / "net.onnx")
    with pytest.raises(IndexError):
        dscost.analyze(tmp_path / "net.onnx")
