"""Small values of ONNX files: against onnx's own evaluator, and by hand where that is not enough."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper
from onnx.reference import ReferenceEvaluator

import dscost
from dscost.graphs.arithmetic import KNOWN
from dscost.graphs.constants import known_results
from dscost.graphs.nodes import Node, attributes_of
from dscost.graphs.values import MOST_KNOWN, Value
from dscost.notation.inputs import parse_input
from tests.graph_texts import counted, macs

F, B = np.float32, np.bool_


def whole(*numbers: int) -> np.ndarray:
    return np.array(numbers, np.int64)


CUBE = np.arange(24).reshape(2, 3, 4)
ROW, FEW = whole(7, -7, 5), whole(2, -2, 1)
HALVES = np.array([0.5, 1.5, -2.5, 9.0], F)
ONE = np.array(1)

Case = tuple[str, Sequence[np.ndarray | None], dict[str, Any], int]

CASES: list[Case] = [
    *((op, [ROW, FEW], {}, 17) for op in "Add Sub Mul Div Equal Less Greater".split()),
    *((op, [ROW, FEW], {}, 17) for op in "LessOrEqual GreaterOrEqual Max Min".split()),
    *((op, [CUBE, whole(1, 2, 3, 4)], {}, 17) for op in "Add Mul Div Mod Max".split()),
    ("Div", [HALVES, np.array([2.0], F)], {}, 17),
    ("Div", [ROW.astype(np.int32), FEW.astype(np.int32)], {}, 17),
    ("Mod", [ROW, whole(3, 3, -3)], {}, 17),
    ("Mod", [ROW, whole(3, 3, -3)], {"fmod": 1}, 17),
    ("Pow", [whole(2, 3), np.array([2.0, 3.0], F)], {}, 17),
    ("Pow", [np.array([2.0], F), whole(3)], {}, 17),
    ("Sum", [ROW.astype(F), FEW.astype(F), ROW.astype(F)], {}, 17),
    *((op, [HALVES], {}, 17) for op in "Neg Abs Floor Ceil Round Sign Reciprocal Identity".split()),
    ("Sqrt", [np.array([4.0, 2.0], F)], {}, 17),
    *(
        (op, [np.array([1, 0, 1], B), np.array([1, 1, 0], B)], {}, 17)
        for op in ("And", "Or", "Xor")
    ),
    ("Not", [np.array([1, 0], B)], {}, 17),
    ("Where", [np.array([1, 0, 1], B), ROW, ONE], {}, 17),
    ("Clip", [ROW, np.array(-1), np.array(6)], {}, 17),
    ("Clip", [ROW, None, np.array(6)], {}, 17),
    ("Clip", [HALVES], {"min": 0.0, "max": 1.0}, 9),
    *(("Cast", [HALVES], {"to": to}, 17) for to in (1, 6, 7, 9, 11)),
    ("Cast", [ROW], {"to": 9}, 17),
    ("Unsqueeze", [ROW, whole(0, -1)], {}, 17),
    ("Unsqueeze", [ROW], {"axes": [0, 2]}, 11),
    ("Squeeze", [ROW.reshape(1, 3, 1), whole(-1)], {}, 17),
    ("Squeeze", [ROW.reshape(1, 3, 1)], {}, 17),
    ("Squeeze", [ROW.reshape(1, 3, 1)], {"axes": [0]}, 11),
    ("Concat", [CUBE, CUBE[:, :1]], {"axis": -2}, 17),
    ("Gather", [CUBE, whole(-1, 0)], {"axis": 1}, 17),
    ("Gather", [ROW, np.array(-2)], {}, 17),
    ("Gather", [CUBE, whole(0, 1).reshape(1, 2)], {"axis": -1}, 17),
    ("Slice", [ROW, whole(0), whole(2)], {}, 17),
    ("Slice", [ROW, whole(-2), whole(2**63 - 1)], {}, 17),
    ("Slice", [ROW, whole(-1), whole(-(2**63) + 1), whole(0), whole(-1)], {}, 17),
    ("Slice", [CUBE, whole(1, 0), whole(9, 3), whole(-1, -2), whole(2, 1)], {}, 17),
    ("Slice", [CUBE, whole(3), whole(0), whole(2), whole(-2)], {}, 17),
    ("Slice", [CUBE, whole(5), whole(9), whole(2)], {}, 17),
    ("Slice", [CUBE], {"starts": [0, 1], "ends": [1, -1], "axes": [0, 2]}, 9),
    ("Split", [np.arange(6), whole(1, 5)], {}, 17),
    ("Split", [CUBE, whole(1, 3)], {"axis": -1}, 17),
    ("Split", [np.arange(7)], {"num_outputs": 2}, 18),
    ("Split", [np.arange(6)], {"split": [4, 2]}, 11),
    ("Reshape", [CUBE, whole(0, -1)], {}, 17),
    ("Reshape", [np.zeros((0, 3), np.int64), whole(0, 3)], {"allowzero": 1}, 17),
    ("Flatten", [CUBE], {}, 17),
    ("Flatten", [CUBE], {"axis": -1}, 17),
    ("Transpose", [CUBE], {}, 17),
    ("Transpose", [CUBE], {"perm": [1, 2, 0]}, 17),
    ("Expand", [whole(1, 2).reshape(2, 1), whole(3, 1, 4)], {}, 17),
    ("Tile", [ROW, whole(2)], {}, 17),
    ("ConstantOfShape", [whole(2, 3)], {}, 17),
    ("ConstantOfShape", [whole(2)], {"value": numpy_helper.from_array(whole(5))}, 17),
    ("Range", [np.array(1), np.array(9), np.array(3)], {}, 17),
    ("Range", [np.array(9), np.array(1), np.array(-3)], {}, 17),
    ("Range", [np.array(0, F), np.array(2, F), np.array(0.5, F)], {}, 17),
    ("Range", [np.array(5), np.array(1), np.array(1)], {}, 17),
    ("NonZero", [CUBE % 3], {}, 17),
    *((op, [CUBE, whole(1)], {}, 18) for op in ("ReduceProd", "ReduceSum", "ReduceMax")),
    ("ReduceMin", [CUBE, whole(0, -1)], {"keepdims": 0}, 18),
    ("ReduceMean", [CUBE.astype(F)], {"axes": [1]}, 13),
    ("ReduceSum", [ROW], {"keepdims": 0}, 17),
    ("ReduceSum", [ROW, whole()], {"noop_with_empty_axes": 1}, 17),
    ("ArgMax", [ROW], {}, 17),
    ("CumSum", [ROW, np.array(0)], {}, 17),
    ("ScatterND", [np.arange(4), whole(1).reshape(1, 1), whole(9)], {}, 17),
    ("TopK", [ROW.astype(F), whole(2)], {}, 17),
    ("OneHot", [whole(0, 2), np.array(3), whole(0, 1)], {}, 17),
    ("Trilu", [CUBE[0]], {}, 17),
    ("GatherElements", [CUBE[0], np.zeros((1, 4), np.int64)], {}, 17),
    ("Pad", [ROW, whole(1, 2)], {}, 17),
]


def of(op: str, given: Sequence[np.ndarray | None], attributes: Any, opset: int) -> Node:
    outputs = {"Split": ["a", "b"], "TopK": ["a", "b"]}.get(op, ["a"])
    names = ["" if one is None else f"i{at}" for at, one in enumerate(given)]
    proto = helper.make_node(op, names, outputs, **attributes)
    values = tuple(None if one is None else Value(str(one.dtype), one.shape, one) for one in given)
    return Node(op, f"ai.onnx::{op}", attributes_of(proto), values, proto, opset)


@pytest.mark.parametrize(
    ("op", "given", "attributes", "opset"),
    CASES,
    ids=[f"{at}-{case[0]}" for at, case in enumerate(CASES)],
)
def test_a_small_value_is_that_of_the_evaluator(
    op: str, given: Sequence[np.ndarray | None], attributes: dict[str, Any], opset: int
) -> None:
    node = of(op, given, attributes, opset)
    graph = helper.make_graph(
        [node.proto],
        "one",
        [helper.make_tensor_value_info(name, 0, None) for name in node.proto.input if name],
        [helper.make_tensor_value_info(name, 0, None) for name in node.proto.output],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)])
    read = {f"i{at}": one for at, one in enumerate(given) if one is not None}
    wanted = ReferenceEvaluator(model).run(None, read)
    found = known_results(node)
    assert found is not None
    for one, other in zip(found, wanted, strict=True):
        other = np.asarray(other)
        assert one.content is not None
        assert (one.dtype, one.shape) == (str(other.dtype), other.shape)
        np.testing.assert_array_equal(one.content, other)


def test_every_operator_has_a_case() -> None:
    assert {case[0] for case in CASES} >= set(KNOWN)


# by hand where the evaluator takes numpy's word: ONNX cuts whole quotients off towards zero
@pytest.mark.parametrize(
    ("a", "b", "quotient"),
    [(7, 2, 3), (-7, 2, -3), (7, -2, -3), (-7, -2, 3), (2**62, 3, 2**62 // 3)],
)
def test_whole_numbers_are_divided_towards_zero(a: int, b: int, quotient: int) -> None:
    (found,) = known_results(of("Div", [np.array(a), np.array(b)], {}, 17)) or [Value()]
    assert found.content is not None
    assert found.content == quotient


def test_a_squeeze_of_no_axes_is_of_all() -> None:
    """As ONNX Runtime has it; onnx's evaluator takes none."""
    (found,) = known_results(of("Squeeze", [ROW.reshape(1, 3, 1), whole()], {}, 17)) or [Value()]
    assert found.shape == (3,)


@pytest.mark.parametrize(
    ("op", "given", "attributes"),
    [
        ("Div", [ROW, np.array(0)], {}),
        ("Gather", [ROW, np.array(3)], {}),
        ("Reshape", [ROW, whole(2, 2)], {}),
        ("Reshape", [ROW, whole(-2)], {}),
        ("Concat", [CUBE, ROW], {"axis": 0}),
        ("Squeeze", [ROW, whole(0)], {}),
        ("Unsqueeze", [ROW, whole(0, 0)], {}),
        ("Split", [np.arange(7), whole(3, 3)], {}),
        ("Split", [np.arange(7)], {}),
        ("ConstantOfShape", [whole(-1)], {}),
        ("ConstantOfShape", [whole(2**40, 2**40)], {}),
        ("Expand", [ROW, whole(2**40, 1)], {}),
        ("Tile", [ROW, whole(2**40)], {}),
        ("Range", [np.array(0), np.array(2**62), np.array(1)], {}),
        ("Range", [np.array(0), np.array(1), np.array(0)], {}),
        ("Mul", [np.ones((MOST_KNOWN, 1)), np.ones((1, MOST_KNOWN))], {}),
        ("Gather", [np.ones((2, 2048)), np.zeros(4096, np.int64)], {}),
        ("Pow", [ROW, whole(-1)], {}),
        ("Cast", [ROW], {"to": 8}),
        ("Cast", [ROW], {"to": 999}),
        ("Transpose", [CUBE], {"perm": [0, 0, 1]}),
        ("OneHot", [whole(0, 2), np.array(2**40), whole(0, 1)], {}),
        ("Pad", [ROW, whole(2**40, 2**40)], {}),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_does_not_fit_or_comes_out_large_is_not_known(
    op: str, given: Sequence[np.ndarray], attributes: dict[str, Any]
) -> None:
    assert known_results(of(op, given, attributes, 17)) is None


# -- in networks


def reached(folder: Path, nodes: str, given: str = "float[2,3,8,8] x") -> tuple[int, ...]:
    """Return the shape of `r`, which nodes make of `x` by way of sizes."""
    stored = (
        "int64[1] zero = {0}, int64[1] one = {1}, int64[1] two = {2}, int64[1] any = {-1}, "
        "int64[4] ones = {1, 1, 1, 1}, int64 start = {0}, int64 step = {1}"
    )
    report = counted(folder, f"({given}) => (y) <{stored}> {{ {nodes} [last] y = Relu(r) }}")
    assert not report.coverage.unknown
    return report.layers[-1].output_shape


@pytest.mark.parametrize(
    ("nodes", "shape"),
    [
        ("s = Shape(x) n = Gather(s, zero) t = Concat<axis = 0>(n, any) r = Reshape(x, t)", (2, 192)),
        ("s = Shape<start = 1, end = -1>(x) p = ReduceProd(s) t = Concat<axis = 0>(any, p) "
         "r = Reshape(x, t)", (16, 24)),
        ("n = Size(x) o = Unsqueeze(n, zero) h = Div(o, two) t = Concat<axis = 0>(two, h) "
         "r = Reshape(x, t)", (2, 192)),
        ("s = Shape(x) k = Shape(s) z = ConstantOfShape <value = int64[1] {1}>(k) e = Equal(z, s) "
         "t = Where(e, z, s) c = ConstantOfShape(t) r = Concat<axis = 1>(x, c)", (2, 6, 8, 8)),
        ("s = Shape(x) n = Gather(s, two) m = Squeeze(n) q = Range(start, m, step) "
         "f = Cast<to = 1>(q) r = Add(x, f)", (2, 3, 8, 8)),
        ("s = Shape(x) h, w = Split<axis = 0>(s) f = Cast<to = 1>(w) g = Floor(f) "
         "i = Cast<to = 7>(g) t = Concat<axis = 0>(any, i) r = Reshape(x, t)", (6, 8, 8)),
    ],
    ids=str,
)  # fmt: skip
def test_sizes_are_followed(tmp_path: Path, nodes: str, shape: tuple[int, ...]) -> None:
    assert reached(tmp_path, nodes) == shape


@pytest.mark.parametrize(
    ("constant", "shape"),
    [
        ("<value = int64[2] {6, -1}>", (6, 64)),
        ("<value_ints = [6, -1]>", (6, 64)),
    ],
)
def test_a_constant_is_written_in_several_ways(
    tmp_path: Path, constant: str, shape: tuple[int, ...]
) -> None:
    assert reached(tmp_path, f"t = Constant {constant} () r = Reshape(x, t)") == shape


@pytest.mark.parametrize(
    ("constant", "params"),
    [
        ("<value_floats = [1.0, 2.0, 3.0]>", 3),
        ("<value_float = 2.0>", 0),
        ("<value = float[3,3] {1,2,3,4,5,6,7,8,9}>", 9),
    ],
)
def test_what_a_constant_node_holds_are_parameters(
    tmp_path: Path, constant: str, params: int
) -> None:
    report = counted(
        tmp_path, f"(float[3,3] x) => (y) {{ w = Constant {constant} () y = Mul(x, w) }}"
    )
    assert report.totals.as_is.params == params


def test_weights_that_are_mostly_zero_have_the_shape_of_all(tmp_path: Path) -> None:
    values = numpy_helper.from_array(np.array([1.0, 2.0], F), "w")
    places = numpy_helper.from_array(whole(0, 5))
    sparse = helper.make_sparse_tensor(values, places, [3, 4])
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["y"])],
        "net",
        [helper.make_tensor_value_info("x", 1, (5, 3))],
        [helper.make_tensor_value_info("y", 1, None)],
        sparse_initializer=[sparse],
    )
    onnx.save(helper.make_model(graph), tmp_path / "net.onnx")
    report = dscost.analyze(tmp_path / "net.onnx")
    assert macs(report) == 5 * 3 * 4


def test_what_an_input_is_filled_with_is_followed(tmp_path: Path) -> None:
    report = counted(
        tmp_path,
        """(float[2,6] x, int64[2] s) => (y) <float[4,3] w = {1,2,3,4,5,6,7,8,9,10,11,12}> {
        r = Reshape(x, s) y = MatMul(r, w) }""",
        input=(parse_input("x=2,6"), parse_input("s=2:int64=[3, -1]")),
    )
    assert macs(report) == 3 * 4 * 3


def test_what_an_input_is_not_filled_with_is_unknown(tmp_path: Path) -> None:
    report = counted(
        tmp_path,
        """(float[2,6] x, int64[2] s) => (y) <float[4,3] w = {1,2,3,4,5,6,7,8,9,10,11,12}> {
        r = Reshape(x, s) y = MatMul(r, w) }""",
    )
    assert report.coverage.unknown == ("ai.onnx::MatMul (1×)", "ai.onnx::Reshape (1×)")


def test_of_a_file_without_its_weights_the_layers_have_theirs(tmp_path: Path) -> None:
    report = counted(
        tmp_path,
        """(float[1,2,4,4] x) => (y) <int64[4] s = {8, 2, 3, 3}, int64[1] n = {8}> {
        w = ConstantOfShape(s) b = ConstantOfShape(n) y = Conv(x, w, b) }""",
    )
    assert report.totals.as_is.params == 8 * 2 * 9 + 8
    assert macs(report) == 8 * 2 * 9 * 2 * 2


# -- sizes of which some are known


@pytest.mark.parametrize(
    ("nodes", "shape"),
    [
        ("t = Concat<axis = 0>(k, three) r = Reshape(x, t)", (4, 3)),
        ("t = Concat<axis = 0>(three, k) r = Reshape(x, t)", (3, 4)),
        ("t = Concat<axis = 0>(k, k) r = Reshape(x, t)", None),
        ("t = Concat<axis = 0>(k, any) r = Reshape(x, t)", None),
        ("t = Concat<axis = 0>(k, five) r = Reshape(x, t)", None),
        ("t = Concat<axis = 0>(zero, k) r = Reshape(x, t)", (2, 6)),
        ("m = Mul(k, three) t = Concat<axis = 0>(m, three) r = Reshape(x, t)", (4, 3)),
        ("c = Concat<axis = 0>(k, three) m = Mul(c, two) i = Slice(m, one, two) "
         "t = Concat<axis = 0>(any, i) r = Reshape(x, t)", (2, 6)),
        ("c = Concat<axis = 0>(k, three) g = Gather(c, one) "
         "t = Concat<axis = 0>(any, g) r = Reshape(x, t)", (4, 3)),
        ("c = Concat<axis = 0>(one, k, k) r = Expand(x, c)", (1, 2, 6)),
        ("c = Concat<axis = 0>(k, one, k) r = Expand(x, c)", None),
    ],
    ids=str,
)  # fmt: skip
def test_some_sizes_tell_the_others(
    tmp_path: Path, nodes: str, shape: tuple[int, ...] | None
) -> None:
    """`k` is a number that is given when the network runs; `x` has 12 elements."""
    stored = ", ".join(
        f"int64[1] {name} = {{{number}}}"
        for name, number in {
            "zero": 0,
            "one": 1,
            "two": 2,
            "three": 3,
            "five": 5,
            "any": -1,
        }.items()
    )
    report = counted(
        tmp_path,
        f"(float[2,6] x, int64[1] k) => (y) <{stored}> {{ {nodes} [last] y = Relu(r) }}",
    )
    if shape is None:
        assert "ai.onnx::Relu (1×)" in report.coverage.unknown
    else:
        assert not report.coverage.unknown
        assert report.layers[-1].output_shape == shape


def test_what_comes_before_boxes_are_chosen_is_counted(tmp_path: Path) -> None:
    """How many boxes are left depends on their scores: what reads them is unknown, by name."""
    report = counted(
        tmp_path,
        """(float[1,3,8,8] x) => (y) <float[4,3,1,1] k = {1,2,3,4,5,6,7,8,9,10,11,12},
            float[1,3,1,1] c = {1,2,3}, int64[3] b = {1, 64, 4}, int64[3] s = {1, 1, 64},
            int64[1] most = {100}, int64[1] last = {2}, float[3,2] w = {1,2,3,4,5,6}> {
        [boxes] f = Conv(x, k) g = Transpose<perm = [0, 2, 3, 1]>(f) bs = Reshape(g, b)
        [scores] h = Conv(x, c) sc = Reshape(h, s)
        [nms] z = NonMaxSuppression(bs, sc, most)
        q = Cast<to = 1>(z) [after] y = MatMul(q, w)
        }""",
    )
    assert macs(report) == 64 * 3 * 4 + 64 * 3
    assert set(report.coverage.unknown) == {
        "ai.onnx::Cast (1×)",
        "ai.onnx::MatMul (1×)",
        "ai.onnx::NonMaxSuppression (1×)",
    }
    assert (
        "The total is partial: 2 nodes have no known size behind NonMaxSuppression 'nms', whose size "
        "depends on values."
    ) in report.warnings
