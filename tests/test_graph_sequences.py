"""Sequences and optional values in ONNX files. A row through `w` costs 2 · 2 MACs, by hand."""

from pathlib import Path

import pytest

from tests.graph_texts import SQUARE, counted, macs

ROW = 2 * 2
STORED = f"{SQUARE}, int64 zero = {{0}}, int64 one = {{1}}, int64 two = {{2}}"


@pytest.mark.parametrize(
    ("nodes", "rows"),
    [
        ("s = SequenceConstruct(x, u) t = SequenceAt(s, one)", 3),
        ("e = SequenceEmpty() s = SequenceInsert(e, x) q = SequenceInsert(s, u, zero) "
         "t = SequenceAt(q, zero)", 3),
        ("s = SequenceConstruct(x, u) q = SequenceErase(s, zero) t = SequenceAt(q, zero)", 3),
        ("s = SequenceConstruct(x, u) t = ConcatFromSequence<axis = 0>(s)", 5 + 3),
        ("s = SequenceConstruct(x, x) p = ConcatFromSequence<axis = 1, new_axis = 1>(s) "
         "t = Flatten<axis = 2>(p)", 10),
        ("s = SplitToSequence<axis = 0>(x, two) t = SequenceAt(s, two)", 1),
        ("s = SplitToSequence<axis = 0>(x) n = SequenceLength(s) m = Sub(n, one) "
         "t = SequenceAt(s, m)", 1),
        ("s = SplitToSequence<axis = 0>(x) t = SequenceAt(s, k)", 1),
        ("s = SequenceConstruct(x, u) q = SequenceMap <body = m (float a) => (float b) "
         "{ b = Concat<axis = 0>(a, a) }>(s) t = SequenceAt(q, zero)", 10),
        ("o = Optional(x) t = OptionalGetElement(o)", 5),
    ],
    ids=str,
)  # fmt: skip
def test_a_sequence_is_followed(tmp_path: Path, nodes: str, rows: int) -> None:
    graph = f"""(float[5,2] x, float[3,2] u, int64 k) => (y) <{STORED}> {{
        {nodes} [mm] y = MatMul(t, w) }}"""
    report = counted(tmp_path, graph)
    assert macs(report) == rows * ROW
    assert not report.coverage.unknown


@pytest.mark.parametrize(
    ("nodes", "unknown"),
    [
        ("s = SequenceConstruct(x, u) t = SequenceAt(s, k)", "SequenceAt"),
        ("s = SequenceConstruct(x, u) t = SequenceAt(s, two)", "SequenceAt"),
        ("s = SplitToSequence<axis = 0>(x, k) t = SequenceAt(s, zero)", "SplitToSequence"),
        ("s = SequenceConstruct(x, v) t = ConcatFromSequence<axis = 0>(s)", "ConcatFromSequence"),
    ],
    ids=str,
)
def test_what_is_in_a_sequence_may_be_unknown(tmp_path: Path, nodes: str, unknown: str) -> None:
    graph = f"""(float[5,2] x, float[3,2] u, float[5,3] v, int64 k) => (y) <{STORED}> {{
        {nodes} [mm] y = MatMul(t, w) }}"""
    report = counted(tmp_path, graph)
    assert f"ai.onnx::{unknown} (1×)" in report.coverage.unknown
    assert "ai.onnx::MatMul (1×)" in report.coverage.unknown
    assert macs(report) == 0


def test_what_is_in_a_sequence_keeps_where_it_came_from(tmp_path: Path) -> None:
    """A sequence moves nothing: parts are written once, and joined once."""
    report = counted(
        tmp_path,
        "(float[4,2] x) => (y) { s = SplitToSequence<axis = 0>(x) "
        "[joined] y = ConcatFromSequence<axis = 0>(s) }",
    )
    assert [(layer.type, layer.op) for layer in report.layers] == [
        ("SplitToSequence", "copy"),
        ("ConcatFromSequence", "concatenation"),
    ]
    assert report.totals.as_is.traffic_bytes == 4 * (4 * 2 * 4)
    assert report.peak_activation_bytes == 3 * (4 * 2 * 4)


def test_a_sequence_that_a_loop_fills_has_as_many_as_it_turns(tmp_path: Path) -> None:
    report = counted(
        tmp_path,
        f"""(float[5,2] x) => (y) <{STORED}, int64 M = {{6}}> {{
        e = SequenceEmpty()
        s = Loop(M, , e) <body = turn (int64 i, bool on, seq(float) a) => (bool go, seq(float) b) {{
            [mm] c = MatMul(x, w) b = SequenceInsert(a, c) go = Identity(on) }}>
        t = ConcatFromSequence<axis = 0>(s) [after] y = MatMul(t, w)
        }}""",
    )
    assert macs(report) == 6 * 5 * ROW + 30 * ROW
    assert not report.coverage.unknown
