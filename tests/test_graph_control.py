"""Branches and loops of ONNX files. A product of a row with `w` costs 2 · 2 MACs, by hand."""

from pathlib import Path

import pytest

from dscost.errors import InputError
from dscost.graphs import evaluating
from dscost.notation.inputs import TensorSpec
from tests.graph_texts import SQUARE, counted, macs

ROW = 2 * 2


def looped(inputs: str, body: str, *, given: str = "float[1,2] x", stored: str = "") -> str:
    """Return a network that is a loop, which carries `x` on as `a`."""
    return f"""({given}) => (y) <{SQUARE}{stored}> {{
        y = Loop({inputs}) <body = turn (int64 i, bool on, float a) => (bool go, float b) {{{body}}}>
    }}"""


GOES_ON = "go = Identity(on)"


# -- branches

BRANCHED = f"""(bool c, float[3,2] x) => (y) <{SQUARE}> {{
    y = If(c) <
        then_branch = one () => (a) {{ [first] b = MatMul(x, w) [second] a = MatMul(b, w) }},
        else_branch = other () => (d) {{ [third] d = MatMul(x, w) }}>
}}"""


def test_both_branches_count_where_nobody_knows_which_runs(tmp_path: Path) -> None:
    report = counted(tmp_path, BRANCHED)
    assert macs(report) == 3 * ROW * 2 + 3 * ROW
    (note,) = (one for one in report.warnings if "branches" in one)
    assert note == (
        "Both branches of y are counted, though no run costs both: then_branch 24 MACs, else_branch 12 MACs; "
        "the dearer is 24. "
        "The input 'c' decides which of them runs: give its value, as in --input 'c=():bool=true' "
        "(true takes its then_branch)."
    )
    assert not report.coverage.unknown


@pytest.mark.parametrize(("fill", "rows"), [(True, 2), (False, 1)], ids=str)
def test_a_known_condition_takes_its_branch(tmp_path: Path, fill: bool, rows: int) -> None:
    given = (TensorSpec((), "bool", "c", fill), TensorSpec((3, 2), name="x"))
    report = counted(tmp_path, BRANCHED, input=given)
    assert macs(report) == 3 * ROW * rows
    assert not any("branches" in one for one in report.warnings)


def test_what_a_branch_that_does_not_run_holds_is_told_and_not_doubted(tmp_path: Path) -> None:
    report = counted(
        tmp_path,
        """(float[3,2] x) => (y) <bool c = {0}> {
        y = If(c) <
            then_branch = one () => (a) <float[2,5] more = {1,2,3,4,5,6,7,8,9,10}> { a = MatMul(x, more) },
            else_branch = other () => (d) <float[2,3] own = {1,2,3,4,5,6}> { d = MatMul(x, own) }>
        }""",
    )
    assert (macs(report), report.totals.as_is.params) == (3 * 2 * 3, 10 + 6)
    assert (
        "y takes its else_branch: 10 params of its then_branch are in the file all the same."
        in (report.warnings)
    )
    assert not report.doubts


def test_branches_of_two_shapes_leave_what_follows_unknown(tmp_path: Path) -> None:
    report = counted(
        tmp_path,
        f"""(bool c, float[3,2] x) => (y) <{SQUARE}> {{
        e = If(c) <
            then_branch = one () => (a) {{ a = Concat<axis = 0>(x, x) }},
            else_branch = other () => (d) {{ d = MatMul(x, w) }}>
        y = MatMul(e, w)
        }}""",
    )
    assert set(report.coverage.unknown) == {"ai.onnx::If (1×)", "ai.onnx::MatMul (1×)"}
    assert macs(report) == 3 * ROW
    assert report.peak_activation_bytes is None


def test_a_name_inside_comes_before_the_same_name_around(tmp_path: Path) -> None:
    report = counted(
        tmp_path,
        f"""(bool c, float[3,2] x) => (y) <{SQUARE}> {{
        y = If(c) <
            then_branch = one () => (a) {{ [in] a = MatMul(x, w) }},
            else_branch = other () => (a) <float[2,2] w = {{5, 6, 7, 8}}> {{ [in] a = MatMul(x, w) }}>
        }}""",
    )
    assert macs(report) == 2 * 3 * ROW
    assert [layer.name for layer in report.layers] == ["in", "a"]


# -- loops


def test_iterations_that_are_alike_are_not_unrolled(tmp_path: Path) -> None:
    body = f"[mm] b = MatMul(a, w) {GOES_ON}"
    report = counted(tmp_path, looped("M, , x", body, stored=", int64 M = {1000000}"))
    (layer,) = report.layers
    assert (layer.name, layer.calls, layer.cost.macs) == ("mm", 1_000_000, 1_000_000 * ROW)
    assert (macs(report), report.totals.as_is.params) == (1_000_000 * ROW, 4)
    assert layer.cost.traffic_bytes == 1_000_000 * (2 + 4 + 2) * 4


def test_a_loop_in_a_loop(tmp_path: Path) -> None:
    inner = f"""b = Loop(M, , a) <body = in (int64 j, bool o, float p) => (bool q, float r) {{
        [mm] r = MatMul(p, w) q = Identity(o) }}> {GOES_ON}"""
    report = counted(tmp_path, looped("M, , x", inner, stored=", int64 M = {300}"))
    assert macs(report) == 300 * 300 * ROW


def test_iterations_that_grow_are_counted_one_by_one(tmp_path: Path) -> None:
    body = f"b = Concat<axis = 0>(a, x) [mm] r = MatMul(b, w) {GOES_ON}"
    report = counted(tmp_path, looped("M, , x", body, stored=", int64 M = {4}"))
    assert macs(report) == (2 + 3 + 4 + 5) * ROW
    assert report.layers[-1].calls == 4


def test_what_depends_on_the_number_of_an_iteration_is_evaluated(tmp_path: Path) -> None:
    body = f"""p = Unsqueeze(i, zero) e = Add(p, one) s = Slice(x, zero, e, zero)
        [mm] r = MatMul(s, w) b = Identity(a) {GOES_ON}"""
    stored = ", int64 M = {3}, int64[1] zero = {0}, int64[1] one = {1}"
    graph = looped("M, , x", body, given="float[3,2] x", stored=stored)
    report = counted(tmp_path, graph)
    assert macs(report) == (1 + 2 + 3) * ROW
    assert not report.warnings


def test_a_condition_that_is_worked_out_ends_a_loop(tmp_path: Path) -> None:
    body = "[mm] b = MatMul(a, w) n = Add(i, one) go = Less(n, most)"
    stored = ", bool yes = {1}, int64 one = {1}, int64 most = {7}"
    assert macs(counted(tmp_path, looped(", yes, x", body, stored=stored))) == 7 * ROW


def test_the_condition_ends_a_loop_before_its_most_iterations(tmp_path: Path) -> None:
    body = "[mm] b = MatMul(a, w) n = Add(i, one) go = Less(n, most)"
    stored = ", int64 M = {50}, int64 one = {1}, int64 most = {7}"
    assert macs(counted(tmp_path, looped("M, , x", body, stored=stored))) == 7 * ROW


def test_a_loop_that_never_runs_costs_nothing_and_holds_its_weights(tmp_path: Path) -> None:
    graph = looped("M, , x", f"b = MatMul(a, w) {GOES_ON}", stored=", int64 M = {0}")
    report = counted(tmp_path, graph)
    assert (macs(report), report.totals.as_is.params) == (0, 4)
    assert not report.coverage.unknown
    assert not report.doubts


@pytest.mark.parametrize(
    ("inputs", "given", "going", "decides"),
    [
        ("M, , x", "float[1,2] x, int64 M", GOES_ON, "'M=():int64=1'"),
        (", c, x", "float[1,2] x, bool c", GOES_ON, "'c=():bool=true'"),
        (", yes, x", "float[1,2] x", "s = ReduceSum<keepdims = 0>(b) go = Cast<to = 9>(s)", ""),
    ],
    ids=["number given when it runs", "condition given when it runs", "computed condition"],
)
def test_a_loop_that_runs_nobody_knows_how_often_is_unknown(
    tmp_path: Path, inputs: str, given: str, going: str, decides: str
) -> None:
    body = f"[mm] b = MatMul(a, w) {going}"
    graph = looped(inputs, body, given=given, stored=", bool yes = {1}")
    report = counted(tmp_path, graph)
    assert report.coverage.unknown == ("ai.onnx::Loop (1×)",)
    assert (macs(report), report.totals.as_is.params) == (ROW, 4)
    (note,) = (one for one in report.warnings if one.startswith("How often y runs is not known: "))
    assert "one iteration of it is counted." in note
    assert note.endswith(f"as in --input {decides}." if decides else "counted.")


def test_what_a_loop_keeps_of_each_iteration_has_their_number_first(tmp_path: Path) -> None:
    report = counted(
        tmp_path,
        f"""(float[1,2] x) => (z) <{SQUARE}, int64 M = {{6}}> {{
        last, kept = Loop(M, , x) <body = turn (int64 i, bool on, float a)
            => (bool go, float b, float c) {{ b = MatMul(a, w) c = Identity(b) {GOES_ON} }}>
        [after] z = MatMul(kept, w)
        }}""",
    )
    assert report.layers[-1].output_shape == (6, 1, 2)
    assert macs(report) == 6 * ROW + 6 * ROW


def test_a_loop_without_end_is_unknown_before_long(tmp_path: Path) -> None:
    body = f"b = MatMul(a, w) {GOES_ON}"
    report = counted(tmp_path, looped(", yes, x", body, stored=", bool yes = {1}"))
    assert report.coverage.unknown == ("ai.onnx::Loop (1×)",)


def test_an_unknown_operator_in_a_loop_is_as_often_unknown(tmp_path: Path) -> None:
    graph = f"""(float[1,2] x) => (y) <{SQUARE}, int64 M = {{9}}> {{
        y = Loop(M, , x) <body = turn (int64 i, bool on, float a) => (bool go, float b) {{
            [odd] c = my.Odd(a) b = MatMul(a, w) {GOES_ON} }}>
    }}"""
    report = counted(tmp_path, graph)
    assert report.coverage.unknown == ("my::Odd (9×)",)
    assert (macs(report), report.coverage.counted) == (9 * ROW, 9)


def test_a_scan_runs_along_its_axis_and_keeps_along_another(tmp_path: Path) -> None:
    report = counted(
        tmp_path,
        f"""(float[2] h, float[2,5] x) => (y, z) <{SQUARE}> {{
        y, all = Scan<num_scan_inputs = 1, scan_input_axes = [1], scan_output_axes = [-1],
            body = turn (float[2] a, float[2] e) => (float[2] b, float[2] c) {{
                d = Add(a, e) [mm] b = MatMul(d, w) c = Identity(b) }}>(h, x)
        [after] z = MatMul(w, all)
        }}""",
    )
    assert macs(report) == 5 * ROW + 2 * 2 * 5
    assert report.layers[-1].output_shape == (2, 5)


def test_a_scan_over_axes_of_two_sizes_is_unknown(tmp_path: Path) -> None:
    report = counted(
        tmp_path,
        """(float[3,2] x, float[4,2] u) => (y) {
        y = Scan<num_scan_inputs = 2, body = turn (float[2] a, float[2] e) => (float[2] c) {
            c = Add(a, e) }>(x, u)
        }""",
    )
    assert report.coverage.unknown == ("ai.onnx::Scan (1×)",)


def test_a_body_of_other_inputs_is_refused(tmp_path: Path) -> None:
    graph = looped("M, , x, x", f"b = MatMul(a, w) {GOES_ON}", stored=", int64 M = {3}")
    with pytest.raises(InputError, match="the body of node 'y' has 3 inputs, Loop gives it 4"):
        counted(tmp_path, graph)


def test_a_convolution_in_a_loop_is_made_separable_as_often_as_it_runs(tmp_path: Path) -> None:
    weights = ", ".join(["0"] * 4 * 4 * 9)
    report = counted(
        tmp_path,
        f"""(float[1,4,5,5] x) => (y) <float[4,4,3,3] k = {{{weights}}}, int64 M = {{8}}> {{
        y = Loop(M, , x) <body = turn (int64 i, bool on, float a) => (bool go, float b) {{
            [conv] b = Conv<pads = [1, 1, 1, 1]>(a, k) {GOES_ON} }}>
        }}""",
    )
    dense, separable = 25 * 4 * 4 * 9, 25 * (4 * 9 + 4 * 4)
    assert macs(report) == 8 * dense
    assert report.totals.depthwise_separable.macs == 8 * separable
    assert report.totals.depthwise_separable.params == 4 * 9 + 4 * 4


def test_what_is_carried_may_begin_as_a_constant(tmp_path: Path) -> None:
    """No iteration is worked out beforehand, not the first either, whatever it begins with."""
    report = counted(
        tmp_path,
        f"""(float[6,2] x) => (y) <{SQUARE}, float[2] h = {{0, 0}}> {{
        y = Scan<num_scan_inputs = 1, body = turn (float[2] a, float[2] e) => (float[2] b) {{
            [mm] d = MatMul(a, w) b = Add(d, e) }}>(h, x)
        }}""",
    )
    assert macs(report) == 6 * ROW
    assert report.layers[0].calls == 6


def test_weights_that_a_loop_carries_are_weights(tmp_path: Path) -> None:
    report = counted(
        tmp_path,
        f"""(float[1,2] x) => (y) <{SQUARE}, int64 M = {{5}}> {{
        y, v = Loop(M, , x, w) <body = turn (int64 i, bool on, float a, float k)
            => (bool go, float b, float l) {{ [mm] b = MatMul(a, k) l = Identity(k) {GOES_ON} }}>
        }}""",
    )
    (layer,) = report.layers
    assert (layer.cost.macs, layer.cost.params, layer.op) == (5 * ROW, 4, "linear")


def test_too_many_iterations_of_which_each_is_another_are_unknown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(evaluating, "MOST_S", float("inf"))  # however slow the machine
    body = f"b = Concat<axis = 0>(a, x) [mm] r = MatMul(b, w) {GOES_ON}"
    report = counted(tmp_path, looped("M, , x", body, stored=", int64 M = {100000}"))
    assert report.coverage.unknown == ("ai.onnx::Loop (1×)",)
    told = "y may run 100,000 times, each in another way: 2,000 iterations of it are counted."
    assert told in report.warnings


def test_weights_of_one_name_in_two_branches_are_two(tmp_path: Path) -> None:
    report = counted(
        tmp_path,
        """(bool c, float[3,2] x) => (y) {
        [if] y = If(c) <
            then_branch = one () => (a) <float[2,2] w = {1, 2, 3, 4}> {
                b = Constant <value = float[2] {1, 2}> () d = MatMul(x, w) a = Add(d, b) },
            else_branch = other () => (a) <float[2,3] w = {5, 6, 7, 8, 9, 10}> {
                b = Constant <value = float[3,2] {1, 2, 3, 4, 5, 6}> ()
                d = MatMul(x, w) a = MatMul(d, b) }>
        }""",
    )
    assert report.totals.as_is.params == 4 + 2 + 6 + 6
    assert not report.shared_weights


def test_weights_of_one_name_in_nodes_of_one_name_are_as_many(tmp_path: Path) -> None:
    """Four matrices: both branches of two nodes hold one, and all are called the same."""
    chosen = """[if] {0} = If(c) <
        then_branch = one () => (a) <float[2,2] w = {{1, 2, 3, 4}}> {{ a = MatMul({1}, w) }},
        else_branch = other () => (a) <float[2,2] w = {{5, 6, 7, 8}}> {{ a = MatMul({1}, w) }}>"""
    both = f"{chosen.format('t', 'x')} {chosen.format('y', 't')}"
    report = counted(tmp_path, f"(bool c, float[3,2] x) => (y) {{ {both} }}")
    assert report.totals.as_is.params == 4 * 4
    called = """<domain: "my", opset_import: ["" : 17]>"""
    report = counted(
        tmp_path,
        f"(bool c, float[3,2] x) => (y) {{ s = my.F(c, x) y = my.F(c, s) }} {called} "
        f"F (c, x) => (y) {{ {both} }}",
    )
    assert report.totals.as_is.params == 4 * 4
    assert [one.params for one in report.shared_weights or ()] == [4] * 4


def test_a_loop_that_may_not_start_says_what_decides(tmp_path: Path) -> None:
    body = f"[mm] b = MatMul(a, w) {GOES_ON}"
    report = counted(
        tmp_path,
        looped("M, c, x", body, given="bool c, float[1,2] x", stored=", int64 M = {10}"),
    )
    assert (macs(report), report.coverage.unknown) == (ROW, ("ai.onnx::Loop (1×)",))
    assert (
        "Whether y starts is not known: one iteration of it is counted. The input 'c' decides that: "
        "give its value, as in --input 'c=():bool=true'."
    ) in report.warnings


def test_a_loop_that_may_end_early_says_so(tmp_path: Path) -> None:
    body = "[mm] b = MatMul(a, w) s = ReduceSum<keepdims = 0>(b) go = Greater(s, zero)"
    report = counted(tmp_path, looped("M, , x", body, stored=", int64 M = {10}, float zero = {0}"))
    assert (macs(report), report.coverage.unknown) == (ROW, ("ai.onnx::Loop (1×)",))
    assert "y may end before 10 iterations: one iteration of it is counted." in report.warnings


def test_weights_in_a_loop_are_stored_once(tmp_path: Path) -> None:
    body = f"k = Constant <value = float[2,2] {{1, 2, 3, 4}}> () b = MatMul(a, k) {GOES_ON}"
    report = counted(tmp_path, looped("M, , x", body, stored=", int64 M = {3}"))
    assert (macs(report), report.totals.as_is.params) == (3 * ROW, 4)


def test_what_does_not_fit_is_an_error_where_it_surely_runs(tmp_path: Path) -> None:
    graph = f"""(bool c, float[1,3] x) => (y) <{SQUARE}> {{
        y = If(c) <
            then_branch = a () => (t) {{ t = MatMul(x, w) }},
            else_branch = b () => (e) {{ e = Relu(x) }}
        >
    }}"""
    assert counted(tmp_path, graph).coverage.unknown
    false, true = (TensorSpec((), "bool", "c", value) for value in (False, True))
    assert not counted(tmp_path, graph, input=(false,)).coverage.unknown
    with pytest.raises(InputError) as error:
        counted(tmp_path, graph, input=(true,))
    assert str(error.value).partition(": ")[2] == (
        "given c = True, x = 1×3, MatMul 't' does not fit what it reads: (1, 3) has 3 columns, but "
        "(2, 2) has 2 rows"
    )
    added = "(bool c, float[3] x) => (y) <float[2] w = {1, 2}> { y = Add(x, w) }"
    with pytest.raises(InputError, match=r"given c = \(\), x = 3, Add"):
        counted(tmp_path, added, input=(TensorSpec((3,), None, "x"),))


RATES = f"""(int64 rate, bool on, float[2,2] x) => (y, z) <{SQUARE}, int64 wide = {{16000}}> {{
    c = Equal(rate, wide)
    n = Not(c)
    y = If(n) <
        then_branch = a () => (t) {{ t = MatMul(x, w) }},
        else_branch = b () => (e) {{ e = Relu(x) }}
    >
    z = If(on) <
        then_branch = d () => (r) {{ r = Relu(y) }},
        else_branch = f () => (s) {{ s = Sigmoid(y) }}
    >
}}"""


def test_the_value_that_decides_is_one_that_the_graph_compares_with(tmp_path: Path) -> None:
    assert counted(tmp_path, RATES).warnings == (
        "Both branches of y are counted, though no run costs both: then_branch 8 MACs, else_branch 0 "
        "MACs; the dearer is 8. The input 'rate' decides which of them runs: give its value, as in "
        "--input 'rate=():int64=16000' (16000 takes its else_branch).",
        "Both branches of one If without MACs are counted.",
    )


def test_strict_says_which_input_decides(tmp_path: Path) -> None:
    unknown = RATES.replace("Sigmoid(y)", "my.Odd(y)")
    with pytest.raises(InputError, match=r"my::Odd.*'rate' decides which.*16000.*'on' decides"):
        counted(tmp_path, unknown, strict=True)


def test_what_is_partial_tells_where_sizes_end_and_what_has_no_rule(tmp_path: Path) -> None:
    graph = f"""(bool c, float[1,3] x) => (y) <{SQUARE}> {{
        y = If(c) <
            then_branch = a () => (t) {{ p = MatMul(x, w) q = Relu(p) t = Sigmoid(q) }},
            else_branch = b () => (e) {{ e = Identity(x) }}
        >
    }}"""
    report = counted(tmp_path, graph)
    assert report.warnings[-1] == (
        "The total is partial: 3 nodes have no known size behind MatMul 'p', which does not fit what "
        "it reads: (1, 3) has 3 columns, but (2, 2) has 2 rows."
    )
    assert "ai.onnx::Relu (1×)" in report.coverage.unknown
    behind = counted(tmp_path, "(float[2] x) => (y) { z = my.Odd(x) y = Relu(z) }").warnings[-1]
    assert behind == (
        "The total is partial: 1 node has no known size behind Odd 'z', which no rule is known for; "
        "operators of unknown cost: my::Odd (1×)."
    )


@pytest.mark.parametrize(
    ("graph", "told"),
    [
        (
            "(float[n,m] x, float[600,2] v) => (y) { y = MatMul(x, v) }",
            "for example, as a guess, --input x=1,128",
        ),
        (
            "(float[n,m] x, float[576,2] v) => (y) { y = MatMul(x, v) }",
            "such as --input x=1,576",
        ),
        (
            "(float[n,3,h,m] x, float[1,1,48,1] v) => (y) { y = Add(x, v) }",
            "such as --input x=1,3,48,320",
        ),
        (
            "(float[n,m] x, float[2,k,8] s) => (y) { y = Relu(x) }",
            "such as --input x=1,128 --input s=2,1,8",
        ),
        (
            RATES.replace("float[2,2] x", "float[n,2] x"),
            "such as --input x=1,2 --input 'rate=():int64=16000'",
        ),
    ],
    ids=range(5),
)
def test_an_example_is_tried_before_it_is_told(tmp_path: Path, graph: str, told: str) -> None:
    with pytest.raises(InputError) as error:
        counted(tmp_path, graph)
    assert str(error.value).endswith(f"give sizes, {told}")
