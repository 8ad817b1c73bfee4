"""The metric `activations`: what convolutions and linear layers write, by hand and by pycls."""

import csv
import io
import json
import re
from collections.abc import Callable
from math import prod
from pathlib import Path

import pytest
import torch
from program import run
from pycls_networks import STEM_POOL, network
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

import dscost
from dscost.analysis import count
from dscost.reports.figures import Cost
from dscost.traces.rules import word_of, writes_activations

with (Path(__file__).parent / "data" / "pycls_complexity.csv").open(encoding="utf-8") as file:
    PYCLS = list(csv.DictReader(file))
"""`dev/model_complexity.json` of facebookresearch/pycls at 4449e4a, which its tests hold it to."""

EFFICIENTNET_EXTENTS = {"B0": 224, "B1": 240, "B2": 260, "B3": 300, "B4": 380, "B5": 456}
OF_OURS = [row for row in PYCLS if "EN-B" in row["config"]]


def expected_of(row: dict[str, str]) -> int:
    """Return the activations without those of the stem's pool, which pycls counts as well."""
    pools = re.search("imagenet|dds_baselines/resne", row["config"])
    return int(row["acts"]) - (STEM_POOL if pools else 0)


def test_all_figures_of_pycls_are_there() -> None:
    assert len(PYCLS) == 65
    assert len({row["config"] for row in PYCLS}) == 65


@pytest.mark.parametrize(
    "row", [row for row in PYCLS if row not in OF_OURS], ids=lambda row: row["config"]
)
def test_a_network_of_pycls_has_the_activations_that_pycls_counts(row: dict[str, str]) -> None:
    module, extent = network(row["config"])
    total = dscost.analyze(module, input=(1, 3, extent, extent)).totals.as_is
    biases = sum(
        one.bias.numel()
        for one in module.modules()
        if isinstance(one, nn.Conv2d | nn.Linear) and one.bias is not None
    )
    # pycls adds each bias once to the multiply-adds that it calls FLOPs
    assert (total.params, total.macs + biases) == (int(row["params"]), int(row["flops"]))
    assert total.activations == expected_of(row)


@pytest.mark.parametrize("row", OF_OURS, ids=lambda row: row["config"])
def test_an_efficientnet_has_the_activations_that_pycls_counts(row: dict[str, str]) -> None:
    size = row["config"].partition("EN-")[2][:2]
    extent = EFFICIENTNET_EXTENTS[size]
    total = dscost.analyze(
        f"efficientnet_{size.lower()}", input=(1, 3, extent, extent)
    ).totals.as_is
    assert (total.params, total.activations) == (int(row["params"]), expected_of(row))


@pytest.mark.parametrize(
    ("name", "config"),
    [
        ("resnet50", "dds_baselines/resnet/R-50-1x64d_dds_8gpu"),
        ("resnet101", "dds_baselines/resnet/R-101-1x64d_dds_8gpu"),
        ("resnet152", "dds_baselines/resnet/R-152-1x64d_dds_8gpu"),
    ],
)
def test_a_builtin_resnet_has_the_activations_that_pycls_counts(name: str, config: str) -> None:
    (row,) = (row for row in PYCLS if row["config"] == config)
    assert dscost.analyze(name).totals.as_is.activations == expected_of(row)


class Applies(nn.Module):
    """One function of its input and of weights of some shape."""

    def __init__(self, function: Callable[..., Tensor], *weights: tuple[int, ...]) -> None:
        super().__init__()
        self.function = function
        self.weights = nn.ParameterList(torch.zeros(shape) for shape in weights)

    def forward(self, x: Tensor) -> Tensor:
        return self.function(x, *self.weights)


class GradientOfConv(nn.Module):
    """A convolution, and what its input would have to change."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(4, 6, 3)

    def forward(self, x: Tensor) -> Tensor:
        with torch.enable_grad():
            x = x.clone().requires_grad_()
            (found,) = torch.autograd.grad(self.conv(x).sum(), x)
        return found


class Attends(nn.Module):
    """Four linear layers, and products of attention between them."""

    def __init__(self) -> None:
        super().__init__()
        self.qkv, self.out = nn.Linear(8, 24), nn.Linear(8, 8)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = self.qkv(x).unflatten(-1, (3, 2, 4)).permute(2, 0, 3, 1, 4).unbind(0)
        mixed = nn.functional.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)
        found: Tensor = self.out(mixed)
        return found


@pytest.mark.parametrize(
    ("module", "shape", "written"),
    [
        pytest.param(nn.Conv1d(4, 6, 3), (2, 4, 10), 2 * 6 * 8, id="conv1d, batch 2"),
        pytest.param(nn.Conv2d(4, 6, 3, stride=2, padding=1), (4, 8, 8), 6 * 4 * 4, id="no batch"),
        pytest.param(nn.Conv2d(4, 8, 3, groups=4), (1, 4, 6, 6), 8 * 4 * 4, id="depthwise"),
        pytest.param(nn.Conv3d(2, 3, 2), (1, 2, 4, 4, 4), 3 * 3 * 3 * 3, id="conv3d"),
        pytest.param(nn.ConvTranspose2d(4, 6, 2, stride=2), (1, 4, 5, 5), 6 * 100, id="transposed"),
        pytest.param(nn.Linear(4, 6), (3, 7, 4), 3 * 7 * 6, id="linear"),
        pytest.param(Attends(), (1, 5, 8), 5 * (24 + 8), id="projections of attention"),
        pytest.param(
            Applies(lambda x, w: F.bilinear(x, x, w), (6, 4, 4)), (3, 4), 3 * 6, id="bilinear layer"
        ),
        pytest.param(Applies(torch.conv_tbc, (3, 4, 6), (6,)), (10, 2, 4), 8 * 2 * 6, id="tbc"),
        pytest.param(GradientOfConv(), (1, 4, 6, 6), 6 * 4 * 4, id="a gradient is none"),
        pytest.param(nn.LSTM(4, 6), (5, 1, 4), 0, id="recurrent"),
        pytest.param(nn.BatchNorm2d(4), (1, 4, 5, 5), 0, id="normalization"),
        pytest.param(nn.MaxPool2d(2), (1, 4, 6, 6), 0, id="pooling"),
        pytest.param(nn.Upsample(scale_factor=2, mode="bilinear"), (1, 4, 6, 6), 0, id="bilinear"),
        pytest.param(nn.Upsample(scale_factor=2, mode="linear"), (1, 4, 6), 0, id="interpolation"),
        pytest.param(
            nn.Sequential(nn.Conv2d(4, 4, 3, padding=1), nn.Conv2d(4, 2, 1)),
            (1, 4, 6, 6),
            (4 + 2) * 36,
            id="two",
        ),
    ],
)
def test_what_an_operator_writes_counts_where_it_is_a_convolution_or_a_linear_layer(
    module: nn.Module, shape: tuple[int, ...], written: int
) -> None:
    report = dscost.analyze(module, input=shape)
    assert report.totals.as_is.activations == written
    assert sum(layer.cost.activations or 0 for layer in report.layers) == written


@pytest.mark.parametrize(
    ("operators", "are_layers"),
    [
        pytest.param("torchvision::deform_conv2d quantized::conv2d_relu", True, id="convolutions"),
        pytest.param("aten::conv_transpose1d aten::_weight_int8pack_mm", True, id="other names"),
        pytest.param("aten::convolution_backward aten::linear_backward", False, id="gradients"),
        pytest.param("aten::mm aten::lstm aten::relu aten::upsample_linear1d", False, id="others"),
    ],
)
def test_the_table_of_operators_knows_which_are_layers(operators: str, are_layers: bool) -> None:
    for operator in operators.split():
        assert writes_activations(operator, word_of(operator)) is are_layers


def test_a_module_that_runs_twice_writes_twice() -> None:
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(8, 8, 3, padding=1)

        def forward(self, x: Tensor) -> Tensor:
            y: Tensor = self.conv(self.conv(x))
            return y

    report = dscost.analyze(Twice(), input=(1, 8, 6, 6))
    (layer,) = report.layers
    assert layer.cost.activations == layer.variants["standard"].activations == 2 * 8 * 36
    assert layer.variants["depthwise_separable"].activations == 2 * (8 + 8) * 36
    assert report.totals.depthwise_separable.activations == 2 * (8 + 8) * 36


def test_a_layer_and_its_variants_have_those_of_all_stages() -> None:
    layer = {"in_channels": 256, "out_channels": 128, "kernel_size": 3, "input_size": 14}
    totals = dscost.layer(**layer).totals
    assert totals.standard.activations == 128 * 14 * 14
    assert totals.depthwise_separable.activations == (256 + 128) * 14 * 14
    (written,) = dscost.layer(**layer, variants=["grouped:4", "low_rank:32"]).layers
    assert written.variants["grouped:4"].activations == 128 * 14 * 14
    assert written.variants["low_rank:32"].activations == (32 + 128) * 14 * 14


def test_both_versions_of_a_network_have_those_of_their_convolutions() -> None:
    counted = count("resnet18").report
    layers = {layer.name: layer for layer in counted.layers}
    written = sum(
        prod(stage.output_shape)
        for layer in layers.values()
        for stage in layer.stages.get("depthwise_separable", ())
    )
    kept = sum(layer.cost.activations or 0 for layer in layers.values() if not layer.variants)
    assert counted.totals.depthwise_separable.activations == written + kept
    assert (
        counted.totals.standard.activations == counted.totals.as_is.activations == 2_483_712 + 1000
    )


# -- a report of before there were activations


@pytest.fixture
def older(tmp_path: Path) -> Path:
    """A saved report as an earlier version wrote it."""
    document = json.loads(run("model", "resnet18", "--no-time", "--json").stdout)

    def without(value: object) -> object:
        if isinstance(value, dict):
            return {key: without(one) for key, one in value.items() if key != "activations"}
        return [without(one) for one in value] if isinstance(value, list) else value

    path = tmp_path / "older.json"
    path.write_text(json.dumps(without(document)))
    return path


def test_an_older_report_says_that_they_are_unknown_and_not_zero(older: Path) -> None:
    shown = run("model", str(older), "--wide")
    assert shown.returncode == 0, shown.stderr
    lines = shown.stdout.splitlines()
    head = next(line for line in lines if line.startswith("layer "))
    assert "activations" in head
    (row,) = (line for line in lines if line.startswith("conv1 "))
    at = head.index("activations") + len("activations")
    assert row[:at].endswith("–")
    (subject,) = json.loads(run("model", str(older), "--json").stdout)["subjects"]
    assert subject["totals"]["as_is"]["activations"] is None
    assert subject["layers"][0]["cost"]["activations"] is None
    rows = csv.DictReader(io.StringIO(run("model", str(older), "--format", "csv").stdout))
    assert {row["activations"] for row in rows} == {""}
    ran = run("model", str(older), "--sort", "activations")
    assert (ran.returncode, ran.stderr) == (
        2,
        "dscost: cannot sort by activations: no layer has it\n",
    )


def test_a_limit_on_what_an_older_report_does_not_have_is_never_met_in_silence(older: Path) -> None:
    (older.parent / "dscost.yaml").write_text(
        "version: 1\nmodels:\n  - target: older.json\n"
        "    limits: {activations: 1G}\n"
        "    layers: [{match: layer1.*, each: {activations: 1G}, total: {activations: 1G}}]\n"
    )
    ran = run("check", "--json", cwd=older.parent)
    findings = json.loads(ran.stdout)["findings"]
    assert ran.returncode == 1
    assert {(one["kind"], one["metric"]) for one in findings} == {("unknown_figure", "activations")}


def test_layers_of_an_older_report_are_the_same_layers(older: Path) -> None:
    ran = run("compare", str(older), "resnet18", "--json")
    assert ran.returncode == 0, ran.stderr
    (found,) = json.loads(ran.stdout)["differences"]
    assert found["layers"] == []
    assert found["layer_counts"]["same"] == len(dscost.analyze("resnet18").layers)
    assert found["totals"]["activations"] == {
        "reference": None,
        "value": dscost.analyze("resnet18").totals.as_is.activations,
        "change": None,
        "percent": None,
    }
    (back,) = json.loads(run("compare", "resnet18", str(older), "--json").stdout)["differences"]
    assert back["layer_counts"] == found["layer_counts"]
    wide = run("compare", str(older), "resnet18", "--wide").stdout
    assert any(line.split()[:2] == ["activations", "–"] for line in wide.splitlines())


def test_whoever_counts_all_but_them_says_unknown() -> None:
    assert Cost(1, 2, 3, 4, 5, 6).activations is None
    assert (Cost(1, 2, 3, 4, 5, 6) + Cost(1, 2, 3, 4, 5, 6, 7)).activations is None


# -- where they are shown


def test_the_tables_of_today_have_them_on_request_only() -> None:
    for command in (("model", "resnet18", "--no-time"), ("compare", "resnet18", "resnet34")):
        assert "activations  " not in run(*command).stdout.replace("peak activations", "")
        assert "activations" in run(*command, "--wide").stdout.replace("peak activations", "")
        assert "activations" in run(*command, "--columns", "activations").stdout
    layer = ("layer", "--cin", "8", "--cout", "8", "-k", "3", "--no-time")
    assert "activations" not in run(*layer).stdout
    assert "activations" in run(*layer, "--columns", "activations").stdout


def test_a_conversion_tells_them_before_and_after() -> None:
    command = ("convert", "resnet18", "--rank", "1")
    found = json.loads(run(*command, "--json").stdout)["conversion"]
    of_layer = {one["name"]: one for one in found["layers"]}
    first = of_layer["layer1.0.conv1"]
    positions = 56 * 56
    assert first["before"]["activations"] == 64 * positions
    assert first["after"]["activations"] == (64 + 64) * positions
    changes = [
        one["after"]["activations"] - one["before"]["activations"] for one in of_layer.values()
    ]
    before, after = found["before"]["activations"], found["after"]["activations"]
    assert before == dscost.analyze("resnet18").totals.as_is.activations
    assert after - before == sum(changes) > 0
    assert "activations" in run(*command, "--wide").stdout
    assert "activations" not in run(*command).stdout


def test_meta_tensors_and_values_write_the_same() -> None:
    with torch.device("meta"):
        on_meta = nn.Sequential(nn.Conv2d(3, 8, 3), nn.Flatten(), nn.Linear(8 * 16, 5))
    assert dscost.analyze(on_meta, input=(2, 3, 6, 6)).totals.as_is.activations == 2 * (
        8 * 4 * 4 + 5
    )
