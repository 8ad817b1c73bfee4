"""What a report says of pairs, of what could be one, and of depthwise layers without a partner."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

import dscost
from dscost.pages.wording import model_sentences
from dscost.rendering import View, render
from dscost.reports.records import Layer, Report
from dscost.reports.report_file import read_saved

NO_CONVOLUTION = "This model has no convolution larger than 1×1."


class Functional(nn.Module):
    """Weights in one module that runs every convolution itself."""

    def __init__(self, *weights: tuple[int, ...]) -> None:
        super().__init__()
        self.weights = nn.ParameterList(torch.randn(shape) for shape in weights)

    def forward(self, x: Tensor) -> Tensor:
        for weight in self.weights:
            extents = [size // 2 for size in weight.shape[2:]]
            x = F.conv2d(x, weight, padding=extents, groups=x.shape[1] // weight.shape[1])
        return x


class SamePad(nn.Conv2d):
    """As TF's "same" at stride 2, which pads in its own forward."""

    def forward(self, x: Tensor) -> Tensor:
        return self._conv_forward(F.pad(x, (0, 1, 0, 1)), self.weight, self.bias)


def numbers(report: Report) -> tuple[int, int]:
    return (
        sum(layer.separable_pairs for layer in report.layers),
        sum(layer.could_be_separable for layer in report.layers),
    )


def partners(report: Report) -> list[str]:
    return [text for text in report.warnings if "no pointwise partner" in text]


def sentences_of(model: nn.Module, shape: tuple[int, ...], **options: bool) -> str:
    return " ".join(model_sentences(dscost.analyze(model, input=shape, **options)))


DENSE, DEPTHWISE, POINTWISE = (8, 3, 3, 3), (8, 1, 3, 3), (16, 8, 1, 1)


@pytest.mark.parametrize(
    ("weights", "pairs", "others"),
    [
        pytest.param((DENSE, DEPTHWISE, POINTWISE), 1, 1, id="one of each"),
        pytest.param((DENSE, DEPTHWISE, (8, 8, 1, 1), DEPTHWISE, POINTWISE), 2, 1, id="two pairs"),
        pytest.param((DENSE, (8, 8, 5, 5), (4, 8, 3, 3)), 0, 3, id="three that could be"),
        pytest.param((DENSE, POINTWISE), 0, 1, id="one that could be"),
    ],
)
def test_a_module_that_runs_several_convolutions_is_counted_as_what_it_runs(
    weights: tuple[tuple[int, ...], ...], pairs: int, others: int
) -> None:
    model, shape = Functional(*weights), (1, 3, 9, 9)
    assert numbers(dscost.analyze(model, input=shape)) == (pairs, others)
    text = sentences_of(model, shape)
    assert ("depthwise-separable pair" in text) is (pairs > 0)
    if pairs:
        assert text.startswith(f"{pairs} depthwise-separable pair{'' if pairs == 1 else 's'}: ")
    assert (
        f"{others} convolution{'' if others == 1 else 's'} could be depthwise-separable: " in text
    )
    assert NO_CONVOLUTION not in text
    assert NO_CONVOLUTION not in sentences_of(model, shape, train=True)


def test_a_pair_in_one_module_is_none_of_those_that_could_be() -> None:
    text = sentences_of(Functional(DEPTHWISE, POINTWISE), (1, 8, 9, 9))
    assert text.startswith("1 depthwise-separable pair: ")
    assert "could be" not in text


@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")
@pytest.mark.filterwarnings("ignore:.*torch.jit:FutureWarning")
@pytest.mark.parametrize(
    "one_row",
    [
        pytest.param(torch.jit.script, id="scripted"),
        pytest.param(lambda model: torch.jit.trace(model, torch.randn(1, 3, 9, 9)), id="traced"),
        pytest.param(
            lambda model: torch.export.export(model, (torch.randn(1, 3, 9, 9),)).module(),
            id="exported",
        ),
        pytest.param(torch.fx.symbolic_trace, id="a graph"),
    ],
)
def test_programs_say_the_same_as_the_module_that_they_were_made_of(
    one_row: Callable[[nn.Module], nn.Module],
) -> None:
    parts = [
        nn.Conv2d(3, 8, 3),
        nn.ReLU(),
        nn.Conv2d(8, 8, 3, groups=8),
        nn.ReLU(),
        nn.Conv2d(8, 16, 1),
    ]
    model = nn.Sequential(*parts, nn.Conv2d(16, 16, 3)).eval()
    told = expected = sentences_of(model, (1, 3, 9, 9))
    assert "1 depthwise-separable pair: " in expected
    assert "2 convolutions could be depthwise-separable: " in expected
    # of several in one row nothing tells how many channels each has
    expected, left, rest = expected.partition("; dscost convert leaves ")
    assert left
    expected += rest[rest.index(".") :]
    assert sentences_of(one_row(model), (1, 3, 9, 9)) in (expected, told)


def test_only_without_any_spatial_convolution_there_is_none() -> None:
    assert (
        sentences_of(nn.Sequential(nn.Conv2d(3, 8, 1), nn.Conv2d(8, 8, 1)), (1, 3, 4, 4))
        == NO_CONVOLUTION
    )
    # of one that runs several, or a quantised one, the report does not know the kernels: nothing is said
    assert sentences_of(Functional((8, 3, 1, 1), (8, 8, 1, 1)), (1, 3, 4, 4)) == ""


def test_a_depthwise_layer_that_pads_by_itself_belongs_to_its_pair() -> None:
    model = nn.Sequential(
        SamePad(8, 8, 3, 2, groups=8), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 16, 1)
    ).eval()
    report = dscost.analyze(model, input=(1, 8, 8, 8))
    assert [layer.pair for layer in report.layers] == ["0"] * 4
    assert [layer.ends_pair for layer in report.layers] == [False, False, False, True]
    assert numbers(report) == (1, 0)
    assert "could be" not in " ".join(model_sentences(report))
    # the stage without its padding reads 9×9 and writes 4×4
    assert report.totals.standard.macs == 16 * 16 * 8 * 9


class Gated(nn.Module):
    """A depthwise-separable pair with a squeeze-and-excite gate between."""

    def __init__(self) -> None:
        super().__init__()
        self.depthwise = nn.Conv2d(2, 2, 3, padding=1, groups=2, bias=False)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.reduce, self.expand = nn.Conv2d(2, 1, 1), nn.Conv2d(1, 2, 1)
        self.pointwise = nn.Conv2d(2, 4, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        y = self.depthwise(x)
        gate = self.expand(self.reduce(self.pool(y)).relu()).sigmoid()
        return self.pointwise(y * gate)  # type: ignore[no-any-return]


def test_a_gate_in_a_pair_goes_only_where_the_pair_is_made_standard() -> None:
    report = dscost.analyze(nn.Sequential(Gated()).eval(), input=(1, 2, 3, 3))
    view = View(depth=1, columns=("standard_macs", "separable_macs"))
    # dense: 9 positions, 2 channels in, 4 out, 3×3; as it is: 3×3 of 2 channels, 2 to 4, and the
    # gate from 2 to 1 and back
    dense, as_it_is = 9 * 2 * 4 * 9, 9 * 2 * 9 + 9 * 2 * 4 + 2 * (2 * 1)
    assert f"\n| `0` | {dense} | {as_it_is} |\n" in render([report], "markdown", view)


def test_what_runs_twice_with_the_same_weights_is_one() -> None:
    dense = nn.Conv2d(4, 4, 3, padding=1)
    assert numbers(dscost.analyze(nn.Sequential(dense, nn.ReLU(), dense), input=(1, 4, 9, 9))) == (
        0,
        1,
    )


def test_a_saved_report_of_an_earlier_version_tells_as_much_as_it_knows(tmp_path: Path) -> None:
    report = dscost.analyze("mobilenet_v1")
    document = json.loads(render([report], "json", View(command="model")))
    for subject in document["subjects"]:
        del subject["blocks"]
        for layer in subject["layers"]:
            del layer["separable_pairs"], layer["could_be_separable"]
    path = tmp_path / "report.json"
    path.write_text(json.dumps(document), encoding="utf-8")
    assert model_sentences(read_saved(path)) == model_sentences(report)
    assert numbers(report) == (13, 1)


# -- depthwise layers without a partner


def depthwise(channels: int) -> nn.Conv2d:
    return nn.Conv2d(channels, channels, 3, padding=1, groups=channels)


@pytest.mark.parametrize(
    ("model", "said"),
    [
        pytest.param(
            nn.Sequential(depthwise(4)),
            "1 depthwise layer has no pointwise partner, so the standard figure leaves it as it is: 0.",
            id="one",
        ),
        pytest.param(
            nn.Sequential(*(depthwise(4) for _ in range(3))),
            "3 depthwise layers have no pointwise partner, so the standard figure leaves them as they are: 0, 1, 2.",
            id="three",
        ),
        pytest.param(
            nn.Sequential(*(depthwise(4) for _ in range(5)), nn.Conv2d(4, 8, 1)),
            "4 depthwise layers have no pointwise partner, so the standard figure leaves them as they are: 0, 1, 2 and "
            "1 more.",
            id="four, and one with a partner",
        ),
        pytest.param(
            Functional((4, 1, 3, 3), (4, 1, 5, 5)),
            "2 depthwise layers have no pointwise partner, so the standard figure leaves them as they are: (root).",
            id="two in one module",
        ),
        pytest.param(nn.Sequential(*[depthwise(4)] * 2),
                     "1 depthwise layer has no pointwise partner, so the standard figure leaves it as it is: 0.",
                     id="one that runs twice"),
    ],
)  # fmt: skip
def test_depthwise_layers_without_a_partner_are_said(model: nn.Module, said: str) -> None:
    assert partners(dscost.analyze(model, input=(1, 4, 9, 9))) == [said]


def test_those_of_an_architecture_too(network_file: Callable[[str], Path]) -> None:
    text = "input: [4, 9, 9]\nlayers:\n  - {depthwise: 3}\n  - {max_pool: 2}\n  - {conv: 1, out_channels: 8}\n"
    report = dscost.analyze(network_file(text))
    said = "1 depthwise layer has no pointwise partner, so the standard figure leaves it as it is: depthwise1."
    assert partners(report) == [said]
    assert said in render([report], "table", View())


@pytest.mark.parametrize(
    "model", [nn.Conv2d(1, 1, 3), nn.Conv2d(4, 4, 1, groups=4), nn.Conv1d(1, 1, 3)], ids=str
)
def test_of_one_channel_and_of_one_position_nothing_is_said(model: nn.Module) -> None:
    shape = (1, model.in_channels, *[9] * len(model.kernel_size))
    assert partners(dscost.analyze(model, input=shape)) == []


# -- one input channel


def test_of_one_input_channel_the_question_is_that_of_a_dense_layer() -> None:
    report = dscost.layer(in_channels=1, out_channels=16, kernel_size=3)
    (layer,) = report.layers
    assert (layer.variants["standard"].params, layer.variants["depthwise_separable"].params) == (
        16 * 9,
        9 + 16,
    )
    assert layer.formula_ratio == pytest.approx(1 / 16 + 1 / 9)
    assert layer.reduction == pytest.approx(144 / 25)
    text = render([report], "table", View())
    assert "5.76× fewer MACs" in text
    assert "depthwise already" not in text


def test_of_one_channel_throughout_there_is_nothing_to_separate() -> None:
    (layer,) = dscost.layer(in_channels=1, out_channels=1, kernel_size=3).layers
    assert (
        layer.note
        == "no depthwise-separable variant: it is depthwise already (groups = in_channels = 1)"
    )


@pytest.mark.parametrize("dimensions", [1, 2, 3])
def test_a_stem_of_one_channel_could_be_separable_and_can_be_converted(dimensions: int) -> None:
    conv = {1: nn.Conv1d, 2: nn.Conv2d, 3: nn.Conv3d}[dimensions]
    model, shape = nn.Sequential(conv(1, 16, 3, bias=False)).eval(), (1, 1, *[7] * dimensions)
    report = dscost.analyze(model, input=shape)
    assert numbers(report) == (0, 1)
    assert report.totals.depthwise_separable.params == 3**dimensions + 16
    converted = dscost.analyze(dscost.convert(model, rank=1, min_channels=1), input=shape)
    assert converted.totals.as_is.params == 3**dimensions + 16
    # and what it has become is read as a pair that stands for what it was
    assert numbers(converted) == (1, 0)
    assert converted.totals.standard.macs == report.totals.as_is.macs


# -- collapsed rows


class Block(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.branch = nn.Sequential(nn.Conv2d(channels, 2 * channels, 3, padding=1), nn.ReLU())
        self.pool = nn.MaxPool2d(2)

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([self.pool(self.branch(x)), self.pool(x)], 1)


def cells(report: Report, depth: int) -> dict[str, tuple[str, str]]:
    text = render([report], "markdown", View(depth=depth, columns=("layer", "kind", "output")))
    rows = [
        [cell.strip(" `") for cell in line.strip("|").split("|")]
        for line in text.splitlines()
        if line.startswith("|")
    ]
    return {name: (kind, output) for name, kind, output in (row for row in rows if len(row) == 3)}


def test_a_collapsed_row_has_the_class_of_its_module_and_what_comes_out_of_it() -> None:
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ModuleDict({"a": Block(4)})["a"], nn.Flatten())
    report = dscost.analyze(model, input=(1, 3, 10, 10))
    found = cells(report, depth=1)
    assert found["1"] == ("Block, 4 layers", "12×4×4")
    assert found["0"] == ("conv 3×3", "4×8×8")
    assert cells(report, depth=2)["1.branch"] == ("Sequential, 2 layers", "8×8×8")
    assert report.to_dict()["blocks"] == {
        "1": {"type": "Block", "output_shape": [1, 12, 4, 4]},
        "1.branch": {"type": "Sequential", "output_shape": [1, 8, 8, 8]},
    }


def test_of_an_architecture_the_last_layer_tells_what_comes_out() -> None:
    assert cells(dscost.analyze("resnet18"), depth=1)["layer2"] == ("16 layers", "128×28×28")


def test_the_layer_fields_are_in_the_report() -> None:
    found = dscost.analyze(nn.Conv2d(3, 8, 3), input=(1, 3, 9, 9)).to_dict()["layers"][0]
    assert (found["separable_pairs"], found["could_be_separable"]) == (0, 1)
    assert {"separable_pairs", "could_be_separable"} <= set(Layer._fields)
