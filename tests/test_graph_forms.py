"""How nodes are written, held against what onnx says of every version of their operators."""

from onnx import defs

from dscost.graphs.forms import FIRST, LAST, _common, form_by_onnx, form_of


def test_what_stands_here_is_what_onnx_says() -> None:
    newest = min(LAST, defs.onnx_opset_version())
    for name in _common():
        for opset in range(FIRST, newest + 1):
            assert form_of("", name, opset) == form_by_onnx("", name, opset), (name, opset)


def test_what_does_not_stand_here_is_asked_of_onnx() -> None:
    assert form_of("", "Add", 6) == form_by_onnx("", "Add", 6) != form_of("", "Add", 13)
    assert form_of("ai.onnx", "LSTM", 14) == form_by_onnx("", "LSTM", 14)
    assert form_of("com.acme", "Add", 13) is None
