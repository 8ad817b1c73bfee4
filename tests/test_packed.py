"""Models that torch.ao has quantised: their weights are packed, and count like those that they were made from."""

import warnings
from collections.abc import Callable, Iterator

import pytest
import torch
from torch import Tensor, nn

import dscost
from dscost.pages.wording import model_sentences
from dscost.tracing.operators import shapes_of

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from torch.ao import quantization as ao
    from torch.ao.nn import quantized as nnq
    from torch.ao.nn.quantized import dynamic as nnqd
    from torch.ao.quantization import quantize_fx

PER_TENSOR = ao.QConfig(activation=ao.default_observer, weight=ao.default_weight_observer)


@pytest.fixture(autouse=True)
def engine() -> Iterator[None]:
    """The quantisation engine of this processor."""
    before = torch.backends.quantized.engine
    supported = torch.backends.quantized.supported_engines
    torch.backends.quantized.engine = "x86" if "x86" in supported else "qnnpack"
    yield
    torch.backends.quantized.engine = before


def statically_quantised(model: nn.Module, x: Tensor) -> nn.Module:
    model = nn.Sequential(ao.QuantStub(), model, ao.DeQuantStub()).eval()
    model.qconfig = PER_TENSOR
    prepared = ao.prepare(model)
    prepared(x)
    return ao.convert(prepared)


def network() -> nn.Sequential:
    """A convolution, a depthwise one without bias, and a linear layer."""
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(8, 8, 3, groups=8, bias=False),
        nn.Flatten(),
        nn.Linear(8 * 36, 10),
    ).eval()


IMAGE = torch.randn(1, 3, 8, 8)
MACS = 64 * 8 * 27 + 36 * 8 * 9 + 8 * 36 * 10
WEIGHTS, BIASES = 8 * 27 + 8 * 9 + 8 * 36 * 10, 8 + 10


def by_hooks(x: Tensor) -> nn.Module:
    return statically_quantised(network(), x)


def fused(x: Tensor) -> nn.Module:
    return statically_quantised(ao.fuse_modules(network(), [["0", "1"]]), x)


def by_graph(x: Tensor) -> nn.Module:
    return quantize_fx.convert_fx(
        quantize_fx.prepare_fx(network(), ao.get_default_qconfig_mapping(), (x,))
    )


@pytest.mark.parametrize("quantised", [by_hooks, fused, by_graph])
def test_a_quantised_network_costs_what_it_was_made_from_with_weights_of_one_byte(
    quantised: Callable[[Tensor], nn.Module],
) -> None:
    report = dscost.analyze(quantised(IMAGE), input=IMAGE)
    cost = report.totals.as_is
    assert (cost.macs, cost.params) == (MACS, WEIGHTS + BIASES)
    assert cost.weight_bytes == WEIGHTS + 4 * BIASES
    assert report.coverage.unknown == ()
    counted = [(layer.op, layer.cost.params) for layer in report.layers if layer.cost.macs]
    assert counted == [
        ("convolution", 8 * 27 + 8),
        ("convolution", 8 * 9),
        ("linear", 8 * 36 * 10 + 10),
    ]
    assert any(
        text.startswith("Quantised layers are counted as they are") for text in report.warnings
    )
    assert not any(
        sentence.startswith("No convolution here") for sentence in model_sentences(report)
    )


@pytest.mark.parametrize(
    ("layer", "shape", "macs"),
    [
        pytest.param(nn.Conv1d(3, 8, 3), (2, 3, 10), 2 * 8 * 8 * 9, id="1-D"),
        pytest.param(
            nn.Conv2d(4, 6, 3, groups=2, stride=2), (1, 4, 9, 9), 16 * 6 * 2 * 9, id="2-D"
        ),
        pytest.param(nn.Conv3d(3, 4, 3), (1, 3, 5, 5, 5), 27 * 4 * 81, id="3-D"),
        pytest.param(nn.ConvTranspose1d(4, 6, 3), (1, 4, 5), 5 * 4 * 6 * 3, id="transposed 1-D"),
        pytest.param(
            nn.ConvTranspose2d(4, 6, 3), (1, 4, 5, 5), 25 * 4 * 6 * 9, id="transposed 2-D"
        ),
        pytest.param(nn.Linear(16, 4, bias=False), (5, 16), 5 * 16 * 4, id="linear"),
    ],
)
def test_every_statically_quantised_layer_has_macs_and_params(
    layer: nn.Module, shape: tuple[int, ...], macs: int
) -> None:
    x = torch.randn(shape)
    params = sum(parameter.numel() for parameter in layer.parameters())
    cost = dscost.analyze(statically_quantised(layer, x), input=x).totals.as_is
    assert (cost.macs, cost.params) == (macs, params)


class First(nn.Module):
    """A recurrent layer of which the first result is returned."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, x: Tensor) -> Tensor:
        result = self.layer(x)
        return result[0] if isinstance(result, tuple) else result


RECURRENT = 2 * 7 * (5 + 7) + 2 * 7 * (14 + 7)
"""Weights of two layers in both directions, per gate."""


@pytest.mark.parametrize(
    ("layer", "shape", "macs"),
    [
        pytest.param(nn.Linear(16, 32), (2, 16), 2 * 16 * 32, id="linear"),
        pytest.param(nn.LSTM(5, 7, 2, bidirectional=True), (3, 2, 5), 6 * 4 * RECURRENT, id="lstm"),
        pytest.param(nn.GRU(5, 7, 2, bidirectional=True), (3, 2, 5), 6 * 3 * RECURRENT, id="gru"),
        pytest.param(nn.LSTMCell(5, 7), (2, 5), 2 * 4 * 7 * 12, id="lstm cell"),
        pytest.param(nn.GRUCell(5, 7), (2, 5), 2 * 3 * 7 * 12, id="gru cell"),
        pytest.param(nn.RNNCell(5, 7), (2, 5), 2 * 7 * 12, id="rnn cell"),
    ],
)
@pytest.mark.parametrize(
    ("dtype", "weight_bytes"), [(torch.qint8, 1), (torch.float16, 2)], ids=["int8", "float16"]
)
def test_every_dynamically_quantised_layer_has_macs_params_and_bytes(
    layer: nn.Module, shape: tuple[int, ...], macs: int, dtype: torch.dtype, weight_bytes: int
) -> None:
    sizes = [parameter.numel() for parameter in layer.parameters() if parameter.dim() > 1]
    biases = sum(parameter.numel() for parameter in layer.parameters() if parameter.dim() == 1)
    quantised = ao.quantize_dynamic(First(layer).eval(), {type(layer)}, dtype=dtype)
    cost = dscost.analyze(quantised, input=shape).totals.as_is
    assert (cost.macs, cost.params) == (macs, sum(sizes) + biases)
    assert cost.weight_bytes == weight_bytes * sum(sizes) + 4 * biases


def test_a_dynamically_quantised_convolution_costs_what_it_computes() -> None:
    cost = dscost.analyze(nnqd.Conv2d(3, 8, 3), input=(1, 3, 8, 8)).totals.as_is
    assert (cost.macs, cost.params, cost.weight_bytes) == (36 * 8 * 27, 8 * 27 + 8, 8 * 27 + 4 * 8)


@pytest.mark.parametrize(
    ("config", "nbytes"),
    [
        pytest.param(ao.float_qparams_weight_only_qconfig, 10 * 16, id="8 bits"),
        pytest.param(ao.float_qparams_weight_only_qconfig_4bit, 10 * 16 // 2, id="4 bits"),
    ],
)
def test_a_quantised_embedding_has_params_without_macs(config: ao.QConfig, nbytes: int) -> None:
    bag = nn.EmbeddingBag(10, 16, mode="sum", include_last_offset=True)
    bag.qconfig = config
    report = dscost.analyze(
        nnq.EmbeddingBag.from_float(bag), input=(torch.tensor([1, 2, 3]), torch.tensor([0, 3]))
    )
    cost = report.totals.as_is
    assert (cost.macs, cost.params, cost.weight_bytes) == (0, 10 * 16, nbytes)
    assert report.coverage.unknown == ()


def test_packed_weights_that_nothing_reads_are_params_too() -> None:
    class Half(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.used, self.idle = nnqd.Linear(4, 5), nnqd.Linear(4, 6)

        def forward(self, x: Tensor) -> Tensor:
            return self.used(x)

    report = dscost.analyze(Half(), input=(2, 4))
    assert report.totals.as_is.params == 4 * 5 + 5 + 4 * 6 + 6
    assert any(
        text.startswith(f"Never used: {4 * 6 + 6} parameters of idle") for text in report.warnings
    )


def test_arithmetic_of_quantised_activations_is_free() -> None:
    class Residual(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.ops = nn.Conv2d(3, 3, 1), nnq.FloatFunctional()

        def forward(self, x: Tensor) -> Tensor:
            return self.ops.cat([self.ops.add(self.conv(x), x), self.ops.mul(x, x)], 1)

    report = dscost.analyze(statically_quantised(Residual(), IMAGE), input=IMAGE, strict=True)
    assert report.totals.as_is.macs == 64 * 3 * 3


def test_quantisation_aware_training_leaves_the_total_whole() -> None:
    model = nn.Sequential(
        ao.QuantStub(), nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), ao.DeQuantStub()
    ).train()
    model.qconfig = ao.get_default_qat_qconfig()
    prepared = ao.prepare_qat(model)
    report = dscost.analyze(prepared, input=(1, 3, 8, 8), strict=True)
    assert report.totals.as_is.macs == 36 * 8 * 27
    assert (
        dscost.analyze(prepared, input=(1, 3, 8, 8), train=True, strict=True).totals.as_is.macs
        == 2 * 36 * 8 * 27
    )


def test_observers_before_quantisation_leave_the_total_whole() -> None:
    model = nn.Sequential(ao.QuantStub(), nn.Conv2d(3, 8, 3), ao.DeQuantStub()).eval()
    model.qconfig = ao.get_default_qconfig()
    report = dscost.analyze(ao.prepare(model), input=(1, 3, 8, 8), strict=True)
    assert report.totals.as_is.macs == 36 * 8 * 27


def test_what_is_not_packed_reaches_a_formula_as_it_is() -> None:
    class Transposed(nn.Module):
        def forward(self, x: Tensor, weight: Tensor) -> Tensor:
            return torch.convolution(x, weight, None, [2, 2], [0, 0], [1, 1], True, [0, 0], 1)

    assert shapes_of((True, 3, None, "none", torch.zeros(2, 3))) == [True, 3, None, "none", (2, 3)]
    # each of the 25 positions of 3 channels meets 8 kernels of 3×3
    report = dscost.analyze(Transposed(), input=[(1, 3, 5, 5), (3, 8, 3, 3)])
    assert report.totals.as_is.macs == 25 * 3 * 8 * 9
