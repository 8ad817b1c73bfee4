"""A module counts in a file as it does itself, by every convention: what it counts itself the peers count as well."""

import contextlib
import io
import logging
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("onnx", reason="onnx is not installed")
pytest.importorskip("torch", reason="torch is not installed")

import onnx
import onnx.parser
import torch
from torch import nn

import dscost
from dscost.analysis.graphs import STANDING_NOTE
from dscost.conventions import convention_names
from dscost.conventions.exported import EXPORT_NOTE
from dscost.errors import InputError
from dscost.reports.records import Report

MAP, WORDS, ROWS, SPACE = (1, 4, 16, 16), (2, 10, 32), (2, 32), (1, 2, 4, 4, 4)


class First(nn.Module):
    """Returns the first of what a module does, which is given its input so often."""

    def __init__(self, inner: Any, times: int = 1, **told: Any) -> None:
        super().__init__()
        self.inner, self.times, self.told = inner, times, told

    def forward(self, x: Any) -> Any:
        found = self.inner(*[x] * self.times, **self.told)
        return found[0] if isinstance(found, tuple) else found


class Crossing(nn.Module):
    """Attends from a sequence to a shorter one, with keys and values of other widths."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.MultiheadAttention(32, 4, kdim=24, vdim=16, batch_first=True)

    def forward(self, x: Any) -> Any:
        return self.inner(x, x[:, :7, :24], x[:, :7, :16])[0]


class Product(nn.Module):
    """Multiplies two activations."""

    def forward(self, x: Any) -> Any:
        return x @ x.transpose(-1, -2)


class Interpolating(nn.Module):
    """Calls the function, not the module."""

    def forward(self, x: Any) -> Any:
        return nn.functional.interpolate(x, scale_factor=2)


BOTH: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    "max pool": (lambda: nn.Sequential(nn.Conv2d(4, 8, 3), nn.MaxPool2d(3, 2, 1)), MAP),
    "average pool": (lambda: nn.Sequential(nn.Conv2d(4, 8, 3), nn.AvgPool2d(2)), MAP),
    "max pool 1d": (lambda: First(nn.MaxPool1d(2)), WORDS),
    "average pool 3d": (lambda: First(nn.AvgPool3d(2)), SPACE),
    "product of activations": (Product, WORDS),
    "softmax over an axis": (lambda: First(nn.Softmax(1)), WORDS),
    "softmax over the last axis": (lambda: First(nn.Softmax(-1)), WORDS),
    "nearest": (lambda: First(nn.Upsample(scale_factor=2)), MAP),
    "bilinear": (lambda: First(nn.Upsample(scale_factor=2, mode="bilinear")), MAP),
    "bilinear to a size": (lambda: First(nn.Upsample(size=(20, 24), mode="bilinear")), MAP),
    "bicubic": (lambda: First(nn.Upsample(scale_factor=2, mode="bicubic")), MAP),
    "linear": (lambda: First(nn.Upsample(scale_factor=2, mode="linear")), WORDS),
    "trilinear": (lambda: First(nn.Upsample(scale_factor=2, mode="trilinear")), SPACE),
    "transposed": (lambda: First(nn.ConvTranspose2d(4, 6, 3, stride=2)), MAP),
    "transposed in groups": (
        lambda: First(nn.ConvTranspose2d(4, 6, 3, 2, 1, 1, groups=2, bias=False)),
        MAP,
    ),
    "transposed 1d": (lambda: First(nn.ConvTranspose1d(10, 6, 3)), WORDS),
    "transposed 3d": (lambda: First(nn.ConvTranspose3d(2, 6, 3, 2)), SPACE),
    "layer norm": (lambda: First(nn.LayerNorm(32)), WORDS),
    "group norm": (lambda: First(nn.GroupNorm(2, 4)), MAP),
    "group norm of one group": (lambda: First(nn.GroupNorm(1, 4)), MAP),
    "instance norm": (lambda: First(nn.InstanceNorm2d(4, affine=True)), MAP),
    "LSTM": (lambda: First(nn.LSTM(32, 24, batch_first=True)), WORDS),
    "LSTM of two layers both ways": (lambda: First(nn.LSTM(32, 24, 2, bidirectional=True)), WORDS),
    "GRU without bias": (lambda: First(nn.GRU(32, 24, 2, bias=False)), WORDS),
    "RNN": (lambda: First(nn.RNN(32, 24)), WORDS),
    "PReLU": (lambda: First(nn.PReLU(4)), MAP),
    "linear layer": (lambda: First(nn.Linear(32, 8)), WORDS),
}  # fmt: skip
"""What a node of ONNX tells as much of as a program does."""
PROGRAMS: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    **BOTH,
    "interpolation": (Interpolating, MAP),
    "nearest by a fraction": (lambda: First(nn.Upsample(scale_factor=1.7)), MAP),
    "nearest, two scales": (lambda: First(nn.Upsample(scale_factor=(2, 3))), MAP),
    "adaptive pool": (lambda: First(nn.AdaptiveAvgPool2d(2)), MAP),
    "attention": (lambda: First(nn.MultiheadAttention(32, 4), 3), WORDS),
    "attention, batch first": (
        lambda: First(nn.MultiheadAttention(32, 4, batch_first=True), 3, need_weights=False),
        WORDS,
    ),
    "attention without bias": (
        lambda: First(nn.MultiheadAttention(32, 4, bias=False), 3, need_weights=False),
        WORDS,
    ),
    "attention to others": (Crossing, WORDS),
    "LSTM cell": (lambda: First(nn.LSTMCell(32, 24)), ROWS),
    "GRU cell": (lambda: First(nn.GRUCell(32, 24)), ROWS),
    "RNN cell": (lambda: First(nn.RNNCell(32, 24, bias=False)), ROWS),
    "LSTM with projections": (lambda: First(nn.LSTM(32, 24, proj_size=8)), WORDS),
}  # fmt: skip


@contextlib.contextmanager
def _quietly() -> Iterator[None]:
    logging.disable(logging.WARNING)
    try:
        with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(logging.NOTSET)


def _counted(target: Any, shape: tuple[int, ...] | None = None) -> dict[str, int]:
    report = dscost.analyze(target, shape, convention=tuple(convention_names()))
    return {name: found["as_is"] for name, found in report.by_convention.items()}


def _as_program(module: nn.Module, shape: tuple[int, ...], path: Path) -> Path:
    with _quietly():
        torch.export.save(torch.export.export(module.eval(), (torch.zeros(shape),)), path)
    return path


@pytest.mark.parametrize("name", BOTH)
def test_an_onnx_file_counts_as_its_module_by_every_convention(tmp_path: Path, name: str) -> None:
    make, shape = BOTH[name]
    module, path = make().eval(), tmp_path / "net.onnx"
    with _quietly():
        torch.onnx.export(module, (torch.zeros(shape),), path, dynamo=False)
    assert _counted(path) == _counted(module, shape)


@pytest.mark.parametrize("name", PROGRAMS)
def test_a_program_counts_as_its_module_by_every_convention(tmp_path: Path, name: str) -> None:
    make, shape = PROGRAMS[name]
    module = make().eval()
    path = _as_program(module, shape, tmp_path / "net.pt2")
    assert _counted(path) == _counted(module, shape)


def test_a_program_says_what_its_functions_are_taken_from(tmp_path: Path) -> None:
    path = _as_program(Interpolating(), MAP, tmp_path / "net.pt2")
    assert EXPORT_NOTE in dscost.analyze(path, convention="ptflops").warnings
    assert EXPORT_NOTE not in dscost.analyze(path).warnings
    assert EXPORT_NOTE in dscost.which(path, 16384).limits


# -- what does not fit


def test_which_leaves_out_what_a_program_does_not_tell(tmp_path: Path) -> None:
    attention = First(nn.MultiheadAttention(32, 4, add_zero_attn=True), 3)
    path = _as_program(attention, WORDS, tmp_path / "net.pt2")
    macs = dscost.analyze(path).totals.as_is.macs
    found = dscost.which(path, macs)
    assert found.candidates[0].key == "macs"
    assert "Not counted by ptflops: MultiheadAttention has no num_heads" in found.limits
    for ask in (dscost.which, lambda path, _, **told: dscost.analyze(path, **told)):
        with pytest.raises(InputError, match="MultiheadAttention has no num_heads"):
            ask(path, macs, convention="ptflops")


@pytest.mark.parametrize(("make", "why"), [
    (lambda: First(nn.Softmax()), "Softmax has no dim"),
])  # fmt: skip
def test_an_axis_that_torch_chooses_has_no_figure(make: Any, why: str) -> None:
    with _quietly(), pytest.raises(InputError, match=why):
        dscost.analyze(make(), WORDS, convention="thop")


# -- of files of ONNX alone


def _file(folder: Path, text: str, opset: str = '"" : 17') -> Path:
    model = onnx.parser.parse_model(f"<ir_version: 10, opset_import: [{opset}]> {text}")
    onnx.save(model, folder / "net.onnx")
    return folder / "net.onnx"


def _report(path: Path) -> Report:
    return dscost.analyze(path, convention=tuple(convention_names()))


def test_a_product_of_whole_numbers_is_a_linear_layer_with_the_bias_after_it(
    tmp_path: Path,
) -> None:
    weights = ", ".join(["1"] * 12)
    text = f"""net (float[2,4] x) => (float[2,3] y)
    <int8[4,3] w = {{{weights}}}, int8 zero = {{0}}, float scale = {{1.0}}, float[3] b = {{1, 2, 3}}>
    {{
        q, s, z = DynamicQuantizeLinear(x)
        i = MatMulInteger(q, w, z, zero)
        f = Cast <to = 1> (i)
        m = Mul(s, scale)
        o = Mul(f, m)
        y = Add(o, b)
    }}"""
    layer = nn.Linear(4, 3)
    expected = _counted(layer, (2, 4))
    found = _counted(_file(tmp_path, text))
    del expected["tensorflow-profiler"], found["tensorflow-profiler"]  # the scaling is counted too
    assert found == expected


def test_a_softmax_of_old_is_over_all_axes_from_its_own_on(tmp_path: Path) -> None:
    text = "net (float[2,10,32] x) => (float[2,10,32] y) { y = Softmax(x) }"
    found = _counted(_file(tmp_path, text, '"" : 11'))
    assert found == _counted(First(nn.Softmax(1)), (2, 320))


UNKNOWN = """net (float[2,10,32] x) => (float[2,10,32] y)
    { y = com.microsoft.MultiHeadAttention <num_heads = 4> (x, x, x) }"""


def test_what_stands_for_nothing_is_named_and_no_convention_tried(tmp_path: Path) -> None:
    path = _file(tmp_path, UNKNOWN, '"" : 17, "com.microsoft" : 1')
    report = _report(path)
    said = "com.microsoft::MultiHeadAttention is of unknown cost to other counters"
    assert any(one.startswith(said) for one in report.warnings)
    macs = report.totals.as_is.macs
    assert macs == 2 * 2 * 10 * 10 * 32
    found = dscost.which(path, macs)
    assert {one.key for one in found.candidates} == {"macs"}
    assert f"No convention of others was tried: {said}" in found.limits
    assert STANDING_NOTE not in found.limits
