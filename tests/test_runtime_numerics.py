"""What every runtime computes of a layer is what torch computes of it, or the layer is refused.

What torch.compile computes is seen to where it is asked for: `COMPILED=1 pytest tests/test_runtime_numerics.py`.
"""

import os
import sys
from collections.abc import Callable, Mapping
from typing import NamedTuple
from unittest import mock

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from dscost.errors import UnavailableError
from dscost.graphs.running import loaded, stored_arrays
from dscost.layers.convolution import ConvSpec
from dscost.layers.others import ActivationSpec, BatchNormSpec, Part
from dscost.networks.network import stage_operations
from dscost.runtimes import RUNTIMES, How, Runtime
from dscost.runtimes.checking import checked
from dscost.runtimes.programs import ModuleProgram, OperationsProgram

pytest.importorskip("onnx")

MOST = 1e-4
"""Of the largest value of an output."""
Weights = Mapping[str, Tensor]


class Layer(NamedTuple):
    """A layer as data, and by torch's own functions."""

    parts: list[Part]
    shape: tuple[int, ...]
    by_hand: Callable[[Tensor, Weights], Tensor]


def conv(channels: int, out: int, kernel: tuple[int, ...], **more: object) -> ConvSpec:
    """Return a convolution that pads by half of its kernel where nothing else is said."""
    ones = (1,) * len(kernel)
    padding = tuple(each // 2 for each in kernel)
    told = {"stride": ones, "padding": padding, "dilation": ones} | more
    return ConvSpec(channels, out, kernel, **told)


def one(spec: ConvSpec, *extents: int, **by_hand: object) -> Layer:
    """Return a layer of one convolution, which torch computes with the arguments given."""
    function = (functional.conv1d, functional.conv2d, functional.conv3d)[len(extents) - 1]
    return Layer(
        [("conv", spec)],
        (1, spec.in_channels, *extents),
        lambda x, w: function(x, w["conv.weight"], w.get("conv.bias"), **by_hand),
    )


def normalised(x: Tensor, w: Weights, name: str) -> Tensor:
    """Return what a batch normalisation and a ReLU make of a map."""
    stored = [w[f"{name}.{each}"] for each in ("running_mean", "running_var", "weight", "bias")]
    return functional.relu(functional.batch_norm(x, *stored))


def separable(x: Tensor, w: Weights) -> Tensor:
    """Return a depthwise 3×3 and a 1×1 convolution, each with a normalisation and a ReLU."""
    x = normalised(functional.conv2d(x, w["depthwise.weight"], padding=1, groups=16), w, "norm1")
    return normalised(functional.conv2d(x, w["pointwise.weight"]), w, "norm2")


TRANSPOSED = {"stride": (2, 2), "padding": (1, 1), "transposed": True, "output_padding": (0, 0)}
LAYERS = {
    "3x3": one(conv(16, 24, (3, 3)), 14, 14, padding=1),
    "strided": one(conv(16, 24, (3, 3), stride=(2, 2)), 15, 15, padding=1, stride=2),
    "dilated": one(
        conv(8, 16, (3, 3), padding=(2, 2), dilation=(2, 2)), 14, 14, padding=2, dilation=2
    ),
    "grouped": one(conv(16, 32, (3, 3), groups=4), 14, 14, padding=1, groups=4),
    "5x5": one(conv(8, 16, (5, 5)), 14, 14, padding=2),
    "rectangular": one(conv(8, 16, (1, 5)), 14, 10, padding=(0, 2)),
    "bias": one(conv(8, 16, (3, 3), bias=True), 14, 14, padding=1),
    "depth multiplier 2": one(conv(16, 32, (3, 3), groups=16), 14, 14, padding=1, groups=16),
    "depthwise strided": one(
        conv(24, 24, (3, 3), groups=24, stride=(2, 2)), 14, 14, padding=1, groups=24, stride=2
    ),
    "pointwise": one(conv(16, 40, (1, 1)), 14, 14),
    "7x7 stem": one(conv(3, 32, (7, 7), stride=(2, 2)), 32, 32, padding=3, stride=2),
    "1-D": one(conv(8, 16, (3,)), 40, padding=1),
    "3-D": one(conv(4, 8, (3, 3, 3)), 6, 8, 8, padding=1),
    "3-D depthwise": one(conv(8, 8, (3, 3, 3), groups=8), 6, 8, 8, padding=1, groups=8),
    "transposed": Layer(
        [("conv", conv(16, 8, (4, 4), **TRANSPOSED))],
        (1, 16, 7, 7),
        lambda x, w: functional.conv_transpose2d(x, w["conv.weight"], stride=2, padding=1),
    ),
    "separable": Layer(
        [
            ("depthwise", conv(16, 16, (3, 3), groups=16)),
            *(("norm1", BatchNormSpec(16)), ("relu1", ActivationSpec("relu"))),
            ("pointwise", conv(16, 32, (1, 1))),
            *(("norm2", BatchNormSpec(32)), ("relu2", ActivationSpec("relu"))),
        ],
        (1, 16, 14, 14),
        separable,
    ),
}

REFUSED: Mapping[tuple[str, str], str] = {
    ("executorch", "3-D"): "ExecuTorch cannot run it: ",
    ("executorch", "3-D depthwise"): "ExecuTorch cannot run it: ",
}
"""What a runtime has not, with words of its reason."""


def here(name: str) -> Runtime:
    """Return a runtime, or skip where it is not installed."""
    runtime = RUNTIMES[name]
    if runtime.missing:
        pytest.skip(f"{runtime.missing[0]} is not installed")
    return runtime


@pytest.fixture(scope="module", params=sorted(set(RUNTIMES) - {"torch-compile"}))
def runtime(request: pytest.FixtureRequest) -> Runtime:
    """Return each of the runtimes that are known, but the one that takes seconds for a layer."""
    return here(request.param)


@pytest.mark.parametrize("name", LAYERS)
def test_a_layer_is_what_torch_makes_of_it_or_is_refused(runtime: Runtime, name: str) -> None:
    layer = LAYERS[name]
    program = OperationsProgram(name, stage_operations(layer.parts, layer.shape))
    reason = REFUSED.get((runtime.name, name))
    if reason is not None:
        with pytest.raises(UnavailableError, match=reason):
            checked(runtime, program, How(1))
        return
    found = checked(runtime, program, How(1))
    (made,) = found.running.outputs()
    assert found.error <= MOST
    assert (found.running.nodes is not None) == runtime.has_profile
    assert is_right(made, layer, program)


def is_right(made: np.ndarray, layer: Layer, program: OperationsProgram) -> bool:
    """Return whether an output is what torch's own functions make of the same weights."""
    stored = stored_arrays(loaded(program.graph))
    weights = {key: torch.from_numpy(each.copy()) for key, each in stored.items()}
    (given,) = program.inputs.values()
    expected = layer.by_hand(torch.from_numpy(given), weights).numpy()
    most = MOST * np.abs(expected).max()
    return made.shape == expected.shape and bool(np.abs(made - expected).max() <= most)


@pytest.mark.skipif("COMPILED" not in os.environ, reason="takes a minute, and a C++ compiler")
def test_layers_side_by_side_are_what_torch_makes_of_them_when_compiled() -> None:
    programs = [
        OperationsProgram(name, stage_operations(layer.parts, layer.shape))
        for name, layer in LAYERS.items()
    ]
    forms = [program.torch_form for program in programs]
    side_by_side = SideBySide([form.module for form in forms]).train(False)
    inputs = tuple(form.args[0] for form in forms)
    whole = ModuleProgram("layers", side_by_side, inputs, {}, sum(one.macs for one in programs))
    found = checked(RUNTIMES["torch-compile"], whole, How(1))
    outputs = found.running.outputs()
    for made, layer, program in zip(outputs, LAYERS.values(), programs, strict=True):
        assert is_right(made, layer, program)
    told = [text for text in found.running.fused if text.startswith("mkldnn._convolution")]
    assert "mkldnn._convolution_pointwise + relu ×2" in told  # the separable one's
    assert not any("norm" in text for text in found.running.fused)


@pytest.mark.skipif("COMPILED" not in os.environ, reason="takes a while, and a C++ compiler")
def test_code_that_torch_drops_is_made_again_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever is exported resets what torch.compile keeps; the second code has frozen weights too."""
    layer = LAYERS["separable"]
    program = OperationsProgram("separable", stage_operations(layer.parts, layer.shape))
    running = checked(RUNTIMES["torch-compile"], program, How(1)).running
    torch.compiler.reset()
    froze = mock.Mock(wraps=sys.modules["torch._inductor.freezing"].freeze)
    monkeypatch.setattr("torch._inductor.freezing.freeze", froze)
    assert running.again is not None
    running.again()
    assert froze.call_count == 1
    running.again()  # nothing is lost
    assert froze.call_count == 1
    (made,) = running.outputs()
    assert is_right(made, layer, program)


class SideBySide(nn.Module):
    """Layers that have nothing to do with each other: compiling one takes as long as all of them."""

    def __init__(self, layers: list[nn.Module]) -> None:
        super().__init__()
        self.layers = nn.ModuleList(layers)

    def forward(self, *inputs: Tensor) -> list[Tensor]:
        return [layer(given) for layer, given in zip(self.layers, inputs, strict=True)]
