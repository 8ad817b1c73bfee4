"""Torch modules as ONNX models for a runtime: whatever they take and return."""

import sys
from collections import namedtuple
from collections.abc import Mapping, Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnx.reference import ReferenceEvaluator
from torch import Tensor, nn

from dscost.errors import InputError, UnavailableError
from dscost.graphs import writing
from dscost.runtimes import exporting
from dscost.runtimes.programs import ModuleProgram

IMAGE = (1, 3, 8, 8)


class Made(nn.Module):
    """A module that does what a function does."""

    def __init__(self, does: Any) -> None:
        super().__init__()
        self.does = does

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        return self.does(*args, **kwargs)


class Several(nn.Module):
    """Takes whole numbers, what nothing reads, text and nested tensors; returns them nested."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 3)
        self.table = nn.Embedding(10, 8)

    def forward(
        self, x: Tensor, ids: Tensor, unread: Tensor, mode: str, *, scale: Tensor, more: Any
    ) -> Mapping[str, Any]:
        y = self.conv(x) * scale
        if mode == "embedding":
            y = y + self.table(ids).sum(0)[None, :, None, None]
        return {"y": y, "others": [y.mean(), more["one"] + 1], "steps": 3, "none": None}


def program(module: nn.Module, *args: Any, **kwargs: Any) -> ModuleProgram:
    return ModuleProgram("a model", module.eval(), args, kwargs, 1)


def run(made: ModuleProgram) -> Sequence[Any]:
    """Return what onnx's own evaluator makes of the ONNX form."""
    return list(
        ReferenceEvaluator(onnx.load_model_from_string(made.graph)).run(None, {**made.inputs})
    )


def require_same(made: ModuleProgram) -> None:
    found, expected = run(made), made.reference.outputs
    assert [one.shape for one in found] == [one.shape for one in expected]
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5)


def test_what_it_takes_and_returns_may_be_nested_and_need_be_no_tensor() -> None:
    made = program(
        Several(),
        torch.randn(IMAGE),
        torch.tensor([1, 2]),
        torch.zeros(4),
        "embedding",
        scale=torch.tensor(2.0),
        more={"one": torch.ones(2)},
    )
    shapes = {name: (one.shape, str(one.dtype)) for name, one in made.inputs.items()}
    assert shapes == {
        "input_0": (IMAGE, "float32"),
        "input_1": ((2,), "int64"),
        "input_3": ((), "float32"),
        "input_4": ((2,), "float32"),
    }
    names = [one.name for one in onnx.load_model_from_string(made.graph).graph.input]
    assert names == list(made.inputs)
    require_same(made)
    assert len(made.reference.outputs) == 3


Pair = namedtuple("Pair", "first second")

MODELS: Mapping[str, tuple[Any, Sequence[Any]]] = {
    "a dict": (lambda given: given["b"] - given["a"], [{"b": torch.ones(3), "a": torch.ones(3)}]),
    "a named tuple": (lambda x: Pair(x + 1, x * 2), [torch.ones(2)]),
    "what it is given": (lambda x: (x, x + 1), [torch.ones(2)]),
    "the same twice": (lambda x: [x + 1] * 2, [torch.ones(2)]),
    "constants": (lambda x: (x + 1, torch.ones(3) * 2), [torch.ones(2)]),
    "truth values": (lambda x: x > 0, [torch.tensor([1.0, -1.0])]),
    "written to": (lambda x: x.add_(1) * 2, [torch.ones(2)]),
    "an operator of a later opset": (nn.Fold((4, 5), (2, 2)), [torch.ones(1, 12, 12)]),
}


@pytest.mark.parametrize(("does", "args"), MODELS.values(), ids=MODELS)
def test_whatever_is_returned_is_returned(does: Any, args: Sequence[Any]) -> None:
    require_same(program(Made(does), *args))


def test_a_normalisation_is_folded_and_parts_keep_their_names() -> None:
    body = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU())
    made = program(nn.Sequential(body), torch.randn(IMAGE))
    nodes = onnx.load_model_from_string(made.graph).graph.node
    assert [one.op_type for one in nodes] == ["Conv", "Relu"]
    assert nodes[0].name == "/0/0.0/Conv"
    assert list(made.inputs) == ["input"]
    require_same(made)


def test_an_input_may_be_called_as_a_weight_is() -> None:
    class Named(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.input = nn.Parameter(torch.ones(3))

        def forward(self, x: Tensor) -> Tensor:
            return x * self.input

    require_same(program(Named(), torch.randn(2, 3)))


def test_what_tracing_cannot_do_is_left_to_the_other_exporter(
    capfd: pytest.CaptureFixture[str],
) -> None:
    made = program(Made(lambda x: torch.fft.rfft(x).abs()), torch.randn(2, 8))
    require_same(made)
    assert capfd.readouterr() == ("", "")


def test_a_reason_has_one_line_and_names_both_exporters(monkeypatch: pytest.MonkeyPatch) -> None:
    def export(*_: Any, **__: Any) -> None:
        try:
            raise ValueError("no function for it\nat all")
        except ValueError as error:
            raise RuntimeError("\x1b[96mThis is step 3/3") from error

    monkeypatch.setattr(exporting, "newer_exporter", lambda: SimpleNamespace(export=export))
    made = program(Made(lambda x: torch.linalg.eigvals(x).abs()), torch.randn(3, 3))
    with pytest.raises(InputError) as caught:
        _ = made.graph
    assert str(caught.value) == (
        "torch.onnx cannot export it: ValueError: no function for it (by tracing: UnsupportedOperatorError: "
        "Exporting the operator 'aten::linalg_eigvals' to ONNX opset version 17 is not supported)"
    )


def test_without_onnxscript_its_pip_command_is_told_where_only_that_could_help(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    require_same(program(nn.Conv2d(3, 4, 3), torch.randn(IMAGE)))
    made = program(Made(lambda x: torch.linalg.eigvals(x).abs()), torch.randn(3, 3))
    with pytest.raises(UnavailableError, match=r"pip install 'dscost\[onnx-export\]'$") as caught:
        _ = made.graph
    assert "aten::linalg_eigvals" in str(caught.value)


def test_too_many_weights_are_told_before_any_work(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writing, "MOST_BYTES", 100)
    made = program(nn.Conv2d(3, 8, 3, bias=False), torch.randn(IMAGE))
    with pytest.raises(InputError, match=r"its weights are 864 B, and an ONNX model holds at most"):
        _ = made.graph


def test_what_returns_no_tensor_is_told() -> None:
    with pytest.raises(UnavailableError, match="it returns no tensor"):
        _ = program(Made(lambda x: 3), torch.ones(2)).graph
