"""Our counts against what papers and model repositories published; the tables lie in `tests/data`."""

import csv
import re
from pathlib import Path

import pytest
from properties import operations_of

import dscost
from dscost.analysis import CountedModel, Request
from dscost.analysis import count as count_model
from dscost.networks.architectures import builtin_names
from dscost.networks.network import Operation
from dscost.networks.swaps import with_variant
from dscost.reports.records import Report

Row = dict[str, str]


def rows_of(table: str) -> list[Row]:
    with (Path(__file__).parent / "data" / f"{table}.csv").open(
        newline="", encoding="utf-8"
    ) as file:
        return list(csv.DictReader(file))


def name_of(row: Row) -> str:
    parts = (
        row.get(key, "") for key in ("model", "variant", "width", "resolution", "weights", "source")
    )
    return "-".join(part for part in parts if part and "/" not in part)


def paper_id(row: Row) -> str:
    table = re.search(r"Table \d", row["source"])
    return f"{table[0] if table else 'Keras'} {row['variant']} {row['resolution']}"


def rounded_like(figure: str, count: float) -> str:
    """Return the count with as many decimals as the published figure has."""
    return f"{count:.{len(figure.partition('.')[2])}f}"


def last_digit(figure: str) -> float:
    """Return what one step of the last digit of a published figure is worth."""
    return 10.0 ** -len(figure.partition(".")[2])


def params_without_batch_norm(operations: tuple[Operation, ...] | list[Operation]) -> int:
    return sum(
        operation.spec.params for operation in operations if operation.spec.op != "normalization"
    )


# -- the truths of the design


@pytest.mark.parametrize(
    ("layer", "standard_params", "separable_params", "standard_macs", "separable_macs"),
    [
        pytest.param(
            {"in_channels": 256, "out_channels": 256, "kernel_size": 3, "input_size": 14},
            *(589_824, 67_840),
            *(115_605_504, 13_296_640),
            id="256 to 256, 3x3 at 14x14",
        ),
        pytest.param(
            {"in_channels": 3, "out_channels": 4, "kernel_size": 3, "input_size": 6, "padding": 0},
            *(3 * 4 * 9, 3 * 9 + 3 * 4),
            *(1_728, 624),
            id="6x6x3 image, four 3x3 filters, no padding",
        ),
        pytest.param(
            {"in_channels": 3, "out_channels": 32, "kernel_size": 3, "input_size": 224},
            *(3 * 32 * 9, 3 * 9 + 3 * 32),
            *(224 * 224 * 3 * 32 * 9, 224 * 224 * (3 * 9 + 3 * 32)),
            id="3 to 32 stem at 224x224",
        ),
    ],
)
def test_a_layer_costs_what_is_known_of_it(
    layer: dict[str, int],
    standard_params: int,
    separable_params: int,
    standard_macs: int,
    separable_macs: int,
) -> None:
    totals = dscost.layer(**layer).totals
    assert (totals.standard.params, totals.standard.macs) == (standard_params, standard_macs)
    assert (totals.depthwise_separable.params, totals.depthwise_separable.macs) == (
        separable_params,
        separable_macs,
    )
    assert totals.as_is == totals.standard


@pytest.mark.parametrize(
    ("layer", "promised"),
    [
        pytest.param(
            {"in_channels": 256, "out_channels": 256, "kernel_size": 3}, "8.7", id="256 to 256"
        ),
        pytest.param(
            {"in_channels": 3, "out_channels": 32, "kernel_size": 3, "input_size": 224},
            "7.0",
            id="stem",
        ),
    ],
)
def test_the_formula_promises_what_the_design_says_it_promises(
    layer: dict[str, int], promised: str
) -> None:
    report = dscost.layer(**layer)
    ratio = report.layers[0].formula_ratio
    assert ratio is not None
    assert f"{1 / ratio:.1f}" == promised
    assert report.totals.reduction.macs == pytest.approx(1 / ratio)


@pytest.mark.parametrize(
    ("model", "params", "macs"),
    [("mobilenet_v1", 4_231_976, 568_740_352), ("resnet18", 11_689_512, 1_814_073_344)],
)
def test_a_model_at_224_costs_what_is_known_of_it(model: str, params: int, macs: int) -> None:
    as_is = dscost.analyze(model).totals.as_is
    assert (as_is.params, as_is.macs, as_is.flops) == (params, macs, 2 * macs)


def test_mobilenet_v1_made_of_standard_convolutions_costs_what_is_known_of_it() -> None:
    model = count_model("mobilenet_v1")
    standard = model.report.totals.standard
    assert (standard.params, standard.macs) == (29_294_088, 4_867_293_184)
    conv_and_fc = params_without_batch_norm(
        with_variant(operations_of(model), model.swaps, "standard")
    )
    assert conv_and_fc == 29_282_120


# -- torchvision

BUILTINS = frozenset(builtin_names())
TORCHVISION = [row for row in rows_of("torchvision_weights_meta") if row["model"] in BUILTINS]


def test_every_builtin_that_torchvision_has_is_held_against_it() -> None:
    assert {
        *("resnet18", "resnet34", "resnet50", "resnet101", "resnet152", "vgg16"),
        *("mobilenet_v2", "mobilenet_v3_large", "mobilenet_v3_small"),
        *(f"efficientnet_b{size}" for size in range(8)),
    } <= {row["model"] for row in TORCHVISION}


@pytest.mark.parametrize("row", TORCHVISION, ids=name_of)
def test_a_builtin_has_the_params_and_operations_that_torchvision_publishes(row: Row) -> None:
    crop = int(row["crop_size"])
    as_is = dscost.analyze(row["model"], input=(1, 3, crop, crop)).totals.as_is
    assert as_is.params == int(row["num_params"])
    assert f"{as_is.macs / 1e9:.3f}" == f"{float(row['gflops_ops']):.3f}"


# -- TensorFlow's MobileNets


def analyzed(row: Row) -> CountedModel:
    settings = {"width": float(row["width"]), "resolution": int(row["resolution"])}
    return count_model(row["model"], Request(settings=settings))


MOBILENETS = rows_of("mobilenet_tables")
EARLIER_ARCHITECTURE = "mobilenet_v3_small"


@pytest.mark.parametrize(
    "row", [row for row in MOBILENETS if row["model"] != EARLIER_ARCHITECTURE], ids=name_of
)
def test_a_mobilenet_costs_what_tensorflow_publishes(row: Row) -> None:
    model = analyzed(row)
    assert model.report.totals.as_is.macs == pytest.approx(float(row["macs_m"]) * 1e6, rel=0.015)
    # TensorFlow leaves BatchNorm out
    params = params_without_batch_norm(operations_of(model))
    assert params == pytest.approx(float(row["params_m"]) * 1e6, rel=0.015)


def test_mobilenet_v3_small_is_the_later_architecture() -> None:
    (row,) = [row for row in MOBILENETS if row["model"] == EARLIER_ARCHITECTURE]
    as_is = analyzed(row).report.totals.as_is
    # 66 M MACs and 2.9 M params are those of the network before its last revision; the final paper's table 2, and
    # with it torchvision and dscost, have 56.5 M and 2.54 M: the row is out of reach
    assert (float(row["macs_m"]), float(row["params_m"])) == (66, 2.9)
    assert f"{as_is.macs / 1e6:.1f}" == "56.5"
    assert as_is.params == 2_542_856


# -- papers

PAPERS = rows_of("papers")
MOBILENET_V1 = [row for row in PAPERS if row["model"] == "MobileNetV1"]
SINGLE_LAYERS = [row for row in PAPERS if row["model"].startswith("layer")]
EFFICIENTNETS = [row for row in PAPERS if row["model"] == "EfficientNet"]
XCEPTIONS = [row for row in PAPERS if row["model"] == "Xception"]
CLASSIFIER_MACS = 1024 * 1000


def test_every_row_of_the_papers_is_held_against_us() -> None:
    tested = [MOBILENET_V1, SINGLE_LAYERS, EFFICIENTNETS, XCEPTIONS]
    assert [len(rows) for rows in tested] == [13, 4, 8, 1]
    assert sum(map(len, tested)) == len(PAPERS)


def exact_recounts(note: str) -> tuple[str, str | None]:
    """Return the recounts of a note, in millions: MACs and, where it has them, params."""
    macs = re.search(r"exact (?:recount )?([\d.]+)M", note)
    params = re.search(r" / ([\d.]+)M|params ([\d.]+)M", note)
    assert macs
    return macs[1], (params[1] or params[2]) if params else None


def as_in_the_paper(row: Row) -> tuple[int, int, int]:
    """Return MACs, params, and params without BatchNorm of a row of the MobileNets paper."""
    settings = {"resolution": int(row["resolution"])}
    if row["variant"].startswith("Conv"):
        model = count_model("mobilenet_v1", Request(settings=settings))
        operations = with_variant(operations_of(model), model.swaps, "standard")
        cost = model.report.totals.standard
        return cost.macs, cost.params, params_without_batch_norm(operations)
    shallow = row["variant"].startswith("shallow")
    own = {"depth": 0} if shallow else {"width": float(row["variant"])}
    model = count_model("mobilenet_v1", Request(settings=settings | own))
    cost = model.report.totals.as_is
    return cost.macs, cost.params, params_without_batch_norm(operations_of(model))


@pytest.mark.parametrize("row", MOBILENET_V1, ids=paper_id)
def test_mobilenet_v1_has_the_exact_counts_of_the_recount(row: Row) -> None:
    macs, params, _ = as_in_the_paper(row)
    exact_macs, exact_params = exact_recounts(row["note"])
    assert rounded_like(exact_macs, macs / 1e6) == exact_macs
    if exact_params:
        assert rounded_like(exact_params, params / 1e6) == exact_params


@pytest.mark.parametrize("row", MOBILENET_V1, ids=paper_id)
def test_mobilenet_v1_costs_what_the_paper_prints(row: Row) -> None:
    macs, _, params = as_in_the_paper(row)
    if row["variant"].startswith("Conv"):
        macs -= CLASSIFIER_MACS  # this figure alone leaves the classifier out
    # 290 of 290.68 and 76 of 76.52 are cut, the others rounded
    assert macs / 1e6 == pytest.approx(
        float(row["macs_millions"]), abs=last_digit(row["macs_millions"])
    )
    # the paper leaves BatchNorm out, which shows in the 1.32 M of table 8
    assert rounded_like(row["params_millions"], params / 1e6) == row["params_millions"]


def test_the_full_convolutions_of_table_4_are_counted_without_the_classifier() -> None:
    report = dscost.analyze("mobilenet_v1")
    (classifier,) = [layer for layer in report.layers if layer.type == "Linear"]
    assert classifier.cost.macs == CLASSIFIER_MACS
    assert report.totals.standard.macs - classifier.cost.macs == 4_866_269_184


def single_layer(row: Row) -> Report:
    channels = 384 if "alpha=0.75" in row["variant"] else 512
    size = int(row["resolution"])
    return dscost.layer(in_channels=channels, out_channels=channels, kernel_size=3, input_size=size)


@pytest.mark.parametrize("row", SINGLE_LAYERS, ids=paper_id)
def test_a_layer_of_mobilenet_v1_costs_what_the_paper_prints(row: Row) -> None:
    totals = single_layer(row).totals
    cost = totals.standard if row["variant"].startswith("standard") else totals.depthwise_separable
    exact_macs, exact_params = exact_recounts(row["note"])
    assert rounded_like(exact_macs, cost.macs / 1e6) == exact_macs
    assert rounded_like(row["macs_millions"], cost.macs / 1e6) == row["macs_millions"]
    if exact_params:
        assert rounded_like(exact_params, cost.params / 1e6) == exact_params
    assert rounded_like(row["params_millions"], cost.params / 1e6) == row["params_millions"]


@pytest.mark.parametrize("row", EFFICIENTNETS, ids=paper_id)
def test_an_efficientnet_costs_what_the_paper_prints(row: Row) -> None:
    size = int(row["resolution"])
    as_is = dscost.analyze(
        f"efficientnet_{row['variant'].lower()}", input=(1, 3, size, size)
    ).totals.as_is
    # the paper prints two digits; b4 is the furthest off, 4.2B in print and 4.39 G in its released code
    assert as_is.macs == pytest.approx(float(row["macs_millions"]) * 1e6, rel=0.05)
    assert as_is.params == pytest.approx(float(row["params_millions"]) * 1e6, rel=0.05)


@pytest.mark.parametrize("row", XCEPTIONS, ids=paper_id)
def test_xception_has_the_params_of_keras(row: Row) -> None:
    report = dscost.analyze("xception")
    assert report.inputs[0].shape == (1, 3, 299, 299)
    assert report.totals.as_is.params == round(float(row["params_millions"]) * 1e6) == 22_855_952
