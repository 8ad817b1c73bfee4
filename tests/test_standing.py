"""What others count of ONNX files and exported programs: the peers' own figures where nothing is lost, else by hand."""

import contextlib
import io
import logging
import warnings
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("onnx", reason="onnx is not installed")

import onnx
import onnx.parser

import dscost
from dscost.analysis.graphs import STANDING_NOTE
from dscost.reports.records import Report

NAMES = ("fvcore", "ptflops")
FVCORE, PTFLOPS = "fvcore-0.1.5", "ptflops-0.7.5"


def _stored(name: str, *shape: int, value: float = 0.5) -> str:
    count = 1
    for size in shape:
        count *= size
    numbers = ", ".join([str(value)] * count)
    return f"float[{','.join(map(str, shape))}] {name} = {{{numbers}}}"


def _counted(folder: Path, stored: list[str], body: str, x: str = "1,3,8,8") -> Report:
    held = ", ".join(stored)
    text = f"""<ir_version: 10, opset_import: ["" : 17]>
    net (float[{x}] x) => (float[?] y) <{held}> {{ {body} }}"""
    model = onnx.parser.parse_model(text)
    del model.graph.output[0].type.tensor_type.shape.dim[:]
    onnx.save(model, folder / "net.onnx")
    return dscost.analyze(folder / "net.onnx", convention=NAMES)


def _totals(report: Report) -> tuple[int, int]:
    return report.by_convention[FVCORE]["as_is"], report.by_convention[PTFLOPS]["as_is"]


CONV = 4 * 6 * 6 * 27
MAP = 4 * 6 * 6
"""What a convolution of four filters multiplies, and the elements that it writes."""


def test_each_node_stands_for_the_module_that_comes_to_it(tmp_path: Path) -> None:
    stored = [
        _stored("w", 4, 3, 3, 3),
        *(_stored(name, 4) for name in ("gamma", "beta", "mean", "variance")),
        *(_stored("m", 4, 5), _stored("b", 5), "float low = {0.0}", "float high = {6.0}"),
    ]
    report = _counted(
        tmp_path,
        stored,
        """c = Conv(x, w)
        n = BatchNormalization(c, gamma, beta, mean, variance)
        r = Clip(n, low, high)
        s = Sigmoid(r)
        a = Mul(r, s)
        p = GlobalAveragePool(a)
        f = Flatten(p)
        l = MatMul(f, m)
        y = Add(l, b)""",
    )
    # fvcore: two per element of the normalisation, one of what is averaged, no bias
    # ptflops: one each for ReLU6 and SiLU, pooling as a module and as a function, bias
    assert _totals(report) == (
        CONV + 2 * MAP + MAP + 20,
        CONV + 2 * MAP + MAP + MAP + 2 * MAP + 20 + 5,
    )
    assert STANDING_NOTE in report.warnings or STANDING_NOTE in report.notes
    by_layer = {layer.name: layer.by_convention[PTFLOPS] for layer in report.layers}
    assert by_layer["l"] == 25
    assert by_layer["r"] == MAP


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ("y = Relu(x)", (0, 2 * 192)),
        ("y = LeakyRelu(x)", (0, 192)),
        ("y = Clip(x, zero, one)", (0, 0)),
        ("y = Add(x, x)", (0, 0)),
        ("y = MaxPool <kernel_shape = [2, 2], strides = [2, 2]> (x)", (0, 2 * 192)),
        ("s = Sigmoid(x) y = Mul(s, s)", (0, 0)),
        ("y = ReduceMean <axes = [2, 3]> (x)", (0, 0)),
        ('y = Resize <mode = "nearest"> (x, , scales)', (768, None)),
        ('y = Resize <mode = "linear"> (x, , scales)', (4 * 768, None)),
        ("y = InstanceNormalization(x, three, three)", (5 * 192, 2 * 192)),
    ],
)  # fmt: skip
def test_a_node_alone(tmp_path: Path, body: str, expected: tuple[int, int | None]) -> None:
    stored = ["float zero = {0.0}", "float one = {1.0}", "float[4] scales = {1, 1, 2, 2}"]
    found = _totals(_counted(tmp_path, [*stored, _stored("three", 3)], body))
    assert [one for one, wanted in zip(found, expected, strict=True) if wanted is not None] == [
        wanted for wanted in expected if wanted is not None
    ]


def test_versions_differ_from_each_other_by_their_macs(tmp_path: Path) -> None:
    stored = [_stored("w", 64, 32, 3, 3)]
    report = _counted(tmp_path, stored, "y = Conv(x, w)", x="1,32,10,10")
    assert report.by_convention[FVCORE] == {
        "as_is": 64 * 32 * 9 * 64,
        "standard": 64 * 32 * 9 * 64,
        "depthwise_separable": 64 * 32 * 9 + 64 * 32 * 64,
    }


def test_a_loop_counts_as_often_as_it_runs(tmp_path: Path) -> None:
    body = """
        y = Loop(times, always, x) <body = step
            (int64 i, bool going, float[1,3,8,8] state) => (bool on, float[1,3,8,8] next)
            { on = Identity(going) next = Relu(state) }>
    """
    stored = ["int64 times = {5}", "bool always = {1}"]
    try:
        report = _counted(tmp_path, stored, body)
    except onnx.parser.ParseError:
        pytest.skip("this onnx writes loops otherwise")
    assert _totals(report) == (0, 5 * 2 * 192)


# -- written by torch: what the peers say of the modules

PEERS = {
    "resnet18": (1_819_065_856, 1_825_313_768),
    "mobilenet_v2": (314_193_216, 320_300_008),
}
"""Of fvcore 0.1.5 and ptflops 0.7.5, at 224 × 224."""
AS_MODULE = {"resnet18": 0, "mobilenet_v2": 1280 * 49}
"""What ptflops counts less than a file: our MobileNetV2 has a module that calls a function to pool."""
FOLDED = {
    # multiply-accumulates and the average pool; what is folded is 2 per element to both, and the
    # bias that comes of it one per element to ptflops
    "resnet18": (1_814_073_344 + 512 * 49, 1_825_313_768 - 2_483_712),
}


@contextlib.contextmanager
def _quietly() -> Iterator[None]:
    logging.disable(logging.WARNING)
    try:
        with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(logging.NOTSET)


@cache
def _module(name: str) -> Any:
    pytest.importorskip("torch")
    from dscost.analysis.targets import module_source
    from dscost.tracing.real_copies import real_copy

    source, arguments, _ = module_source(name)
    return real_copy(source.module).eval(), arguments.on("cpu").args


@pytest.mark.parametrize(
    ("name", "folds"), [("resnet18", False), ("resnet18", True), ("mobilenet_v2", False)]
)
def test_an_onnx_file_of_torch_counts_as_its_module(
    tmp_path: Path, name: str, *, folds: bool
) -> None:
    model, arguments = _module(name)
    import torch

    how: dict[str, Any] = {} if folds else {"training": torch.onnx.TrainingMode.PRESERVE}
    path = tmp_path / "net.onnx"
    with _quietly():
        torch.onnx.export(model, arguments, path, dynamo=False, do_constant_folding=folds, **how)
    report = dscost.analyze(path, convention=NAMES)
    fvcore, ptflops = (FOLDED if folds else PEERS)[name]
    assert _totals(report) == (fvcore, ptflops + AS_MODULE[name])


def test_an_exported_program_counts_as_its_module(tmp_path: Path) -> None:
    model, arguments = _module("resnet18")
    import torch

    path = tmp_path / "net.pt2"
    with _quietly():
        torch.export.save(torch.export.export(model, arguments), path)
    assert _totals(dscost.analyze(path, convention=NAMES)) == PEERS["resnet18"]
