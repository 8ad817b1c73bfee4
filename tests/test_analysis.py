"""Reports of `dscost.layer` and `dscost.analyze`: their structure, and that their parts agree with each other."""

import inspect
import json
import subprocess
import sys
from collections.abc import Callable
from fractions import Fraction
from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import dscost
from dscost.errors import InputError, SpecError, UnknownNameError
from dscost.layers.convolution import ConvSpec
from dscost.networks.architectures import builtin_names
from dscost.reports.figures import COST_FIGURES, SUMMED, Cost
from dscost.reports.records import Layer, Report, document

WriteFile = Callable[..., str]

COST_KEYS = {
    *(
        "params",
        "macs",
        "flops",
        "weight_bytes",
        "input_bytes",
        "output_bytes",
        "traffic_bytes",
        "flops_per_byte",
        "activations",
    ),
    *COST_FIGURES,  # and whatever the table has more
}
SUBJECT_KEYS = {"target", "source", "inputs", "totals", "layers", "latency", "coverage", "warnings"}
LAYER_KEYS = {
    *("name", "type", "op", "calls", "conv", "input_shape", "output_shape", "cost", "variants"),
    *("formula_ratio", "latency", "verdict"),
}
ADDING_UP_BY_HAND = ("params", "macs", "flops", "weight_bytes", "traffic_bytes", "activations")
ADDING_UP = {*ADDING_UP_BY_HAND, *SUMMED}


def is_by_hand(found: Cost, by_hand: Cost) -> bool:
    """Whether a cost is one that was counted by hand, which lacks what the table has got since."""
    return all(expected in (None, value) for value, expected in zip(found, by_hand, strict=True))


def small_layer() -> Report:
    return dscost.layer(in_channels=8, out_channels=16, kernel_size=3)


def small_model() -> Report:
    return dscost.analyze("mobilenet_v3_small")


both_kinds = pytest.mark.parametrize("make", [small_layer, small_model], ids=["a layer", "a model"])
some_builtins = pytest.mark.parametrize(
    "name",
    [
        "resnet18",
        "resnet50",
        "vgg16",
        "mobilenet_v1",
        "mobilenet_v2",
        "mobilenet_v3_large",
        "xception",
    ],
)


def in_torch(conv: ConvSpec) -> str:
    """Return the convolution as torch prints its own."""
    return repr(torch.nn.Conv2d(**conv.given, device="meta"))


def layer_called(report: Report, name: str) -> Layer:
    (found,) = [layer for layer in report.layers if layer.name == name]
    return found


# -- structure


@both_kinds
def test_a_subject_has_the_keys_of_the_design(make: Callable[[], Report]) -> None:
    subject = make().to_dict()
    assert set(subject) >= SUBJECT_KEYS
    assert set(subject["totals"]) == {"as_is", "standard", "depthwise_separable", "reduction"}
    assert set(subject["totals"]["reduction"]) == {"params", "macs", "traffic_bytes"}
    assert set(subject["coverage"]) >= {"counted", "free", "unknown"}
    assert all(set(entry) >= {"shape", "dtype"} for entry in subject["inputs"])


@both_kinds
def test_every_layer_has_the_keys_of_the_design(make: Callable[[], Report]) -> None:
    for layer in make().to_dict()["layers"]:
        assert set(layer) >= LAYER_KEYS
        assert set(layer["cost"]) == COST_KEYS
        assert set(layer["variants"]) <= {"standard", "depthwise_separable"}


@both_kinds
def test_every_cost_has_the_keys_of_the_design(make: Callable[[], Report]) -> None:
    subject = make().to_dict()
    costs = [subject["totals"][name] for name in ("as_is", "standard", "depthwise_separable")]
    costs += [cost for layer in subject["layers"] for cost in layer["variants"].values()]
    assert all(set(cost) == COST_KEYS for cost in costs)


@both_kinds
def test_a_convolution_is_described_in_the_words_of_torch(make: Callable[[], Report]) -> None:
    words = set(inspect.signature(torch.nn.Conv2d.__init__).parameters) - {
        "self",
        "device",
        "dtype",
    }
    convs = [layer["conv"] for layer in make().to_dict()["layers"] if layer["op"] == "convolution"]
    assert convs
    for conv in convs:
        assert set(conv) == words | {"transposed", "output_padding"}  # of _ConvNd
        torch.nn.Conv2d(**{word: conv[word] for word in words}, device="meta")


@both_kinds
def test_a_document_has_the_keys_of_the_design(make: Callable[[], Report]) -> None:
    report = make()
    whole = document([report, report], command="model")
    assert set(whole) >= {
        "schema_version",
        "tool",
        "command",
        "conventions",
        "environment",
        "subjects",
    }
    assert whole["schema_version"] == 1
    assert whole["tool"] == {"name": "dscost", "version": dscost.__version__}
    assert whole["command"] == "model"
    assert whole["environment"] is None
    assert whole["subjects"] == [report.to_dict()] * 2
    assert whole["conventions"]["flops"] == "2 * macs"


@pytest.mark.parametrize("name", [*builtin_names(), None], ids=str)
def test_a_document_is_json_without_loss(name: str | None) -> None:
    report = dscost.analyze(name) if name else small_layer()
    whole = document([report], command="model")
    assert json.loads(json.dumps(whole, allow_nan=False)) == whole


@both_kinds
def test_nothing_is_claimed_about_time_that_was_not_measured(make: Callable[[], Report]) -> None:
    report = make()
    assert (report.environment, dict(report.latency)) == (None, {})
    assert all((dict(layer.latency), layer.verdict) == ({}, None) for layer in report.layers)


def test_a_model_report_says_what_it_is_of() -> None:
    report = dscost.analyze("mobilenet_v2", batch=4, settings={"width": 0.5}, dtype="float16")
    assert (report.target, report.source) == ("mobilenet_v2", "builtin")
    assert report.inputs == (((4, 3, 224, 224), "float16"),)
    assert dict(report.settings) == {"width": 0.5, "resolution": 224, "classes": 1000}


def test_a_layer_report_says_what_it_is_of() -> None:
    report = dscost.layer(
        in_channels=3, out_channels=4, kernel_size=(5, 3), input_size=(31, 40), batch=2
    )
    (layer,) = report.layers
    assert report.source == "layer"
    assert report.inputs == (((2, 3, 31, 40), "float32"),)
    assert (layer.type, layer.op, layer.calls) == ("Conv2d", "convolution", 1)
    assert (layer.input_shape, layer.output_shape) == ((2, 3, 31, 40), (2, 4, 31, 40))
    assert layer.conv is not None
    assert layer.conv.kernel_size == (5, 3)


# -- a layer


def test_every_figure_of_a_layer_agrees_with_a_count_by_hand() -> None:
    report = dscost.layer(
        in_channels=48, out_channels=96, kernel_size=(5, 3), stride=(2, 1), padding=(2, 1), bias=True,
        input_size=(31, 40), batch=2,
    )  # fmt: skip
    height, width = (31 + 4 - 5) // 2 + 1, (40 + 2 - 3) // 1 + 1
    positions = 2 * height * width
    image, result = 4 * 2 * 48 * 31 * 40, 4 * positions * 96

    params = 48 * 96 * 15 + 96
    macs = positions * 48 * 96 * 15
    moved = image + 4 * params + result
    by_hand = Cost(params, macs, 4 * params, image, result, moved, positions * 96)
    assert is_by_hand(report.totals.standard, by_hand)

    params = 48 * 15 + 48 * 96 + 96
    macs = positions * (48 * 15 + 48 * 96)
    between = 4 * positions * 48
    traffic = image + 4 * params + 2 * between + result
    by_hand = Cost(params, macs, 4 * params, image, result, traffic, positions * (48 + 96))
    assert is_by_hand(report.totals.depthwise_separable, by_hand)
    assert (
        report.totals.standard.flops_per_byte
        == report.totals.standard.flops / report.totals.standard.traffic_bytes
    )


def test_stride_padding_and_dilation_go_to_the_depthwise_stage_and_the_bias_to_the_pointwise() -> (
    None
):
    report = dscost.layer(
        in_channels=8, out_channels=12, kernel_size=5, stride=2, padding=3, dilation=2, groups=4, bias=True,
        depth_multiplier=3,
    )  # fmt: skip
    depthwise, pointwise = report.layers[0].stages["depthwise_separable"]
    assert (depthwise.name, pointwise.name) == ("depthwise", "pointwise")
    assert (
        depthwise.conv.output_shape((1, 8, 14, 14))
        == depthwise.output_shape
        == pointwise.input_shape
    )
    assert in_torch(depthwise.conv) == repr(
        torch.nn.Conv2d(8, 24, 5, stride=2, padding=3, dilation=2, groups=8, bias=False)
    )
    assert in_torch(pointwise.conv) == repr(torch.nn.Conv2d(24, 12, 1, groups=4, bias=True))


sizes = st.integers(1, 12)


@settings(deadline=None, derandomize=True)
@given(sizes, sizes, sizes, st.integers(1, 3), st.integers(1, 7), st.integers(2, 7))
def test_without_bias_and_stride_the_reduction_is_what_the_formula_says(
    in_unit: int, out_unit: int, groups: int, depth_multiplier: int, height: int, width: int
) -> None:
    in_channels, out_channels = (in_unit + 1) * groups, out_unit * groups
    report = dscost.layer(
        in_channels=in_channels, out_channels=out_channels, kernel_size=(height, width), groups=groups,
        depth_multiplier=depth_multiplier,
    )  # fmt: skip
    standard, separable = report.totals.standard, report.totals.depthwise_separable
    formula = depth_multiplier * (Fraction(groups, out_channels) + Fraction(1, height * width))
    assert Fraction(separable.params, standard.params) == formula
    assert Fraction(separable.macs, standard.macs) == formula
    assert report.layers[0].formula_ratio == pytest.approx(float(formula))
    assert report.totals.reduction.macs == pytest.approx(1 / float(formula))


def test_what_nobody_said_of_a_layer_is_listed_as_assumed() -> None:
    everything = {
        *(
            "stride",
            "padding",
            "dilation",
            "groups",
            "bias",
            "input_size",
            "batch",
            "depth_multiplier",
            "dtype",
        ),
    }
    given_none = dscost.layer(in_channels=8, out_channels=8, kernel_size=3)
    assert set(given_none.assumed) == everything
    given_some = dscost.layer(
        in_channels=8, out_channels=8, kernel_size=3, stride=1, bias=False, batch=None
    )
    assert set(given_some.assumed) == everything - {"stride", "bias"}
    assert given_some.totals == given_none.totals


@pytest.mark.parametrize(
    ("kernel", "dilation", "size"),
    [(1, 1, 9), (2, 1, 9), (3, 1, 9), (4, 3, 9), ((5, 2), (1, 4), (6, 9))],
)
def test_padding_that_nobody_said_keeps_the_size(
    kernel: object, dilation: object, size: object
) -> None:
    report = dscost.layer(
        in_channels=4, out_channels=4, kernel_size=kernel, dilation=dilation, input_size=size
    )
    assert report.layers[0].output_shape == report.layers[0].input_shape


@pytest.mark.parametrize(
    ("layer", "reason"),
    [
        pytest.param(
            {"kernel_size": 3, "groups": 8},
            "no depthwise-separable variant: it is depthwise already (groups = in_channels = 8)",
            id="depthwise",
        ),
        pytest.param(
            {"kernel_size": 1},
            "no depthwise-separable variant: a 1×1 kernel has no spatial part to separate",
            id="1x1",
        ),
    ],
)
def test_a_layer_that_cannot_be_separable_has_no_variant_and_says_why(
    layer: dict[str, int], reason: str
) -> None:
    report = dscost.layer(in_channels=8, out_channels=8, **layer)
    (only,) = report.layers
    assert only.note == reason
    assert set(only.variants) == {"standard"}
    assert only.formula_ratio is None
    assert report.totals.depthwise_separable == report.totals.standard == only.cost
    assert set(report.totals.reduction) == {1.0}


@pytest.mark.parametrize("kernel", [(1, 3), (3, 1)], ids=str)
def test_a_kernel_larger_than_1_in_one_direction_has_a_variant(kernel: tuple[int, int]) -> None:
    (layer,) = dscost.layer(in_channels=8, out_channels=8, kernel_size=kernel).layers
    assert layer.note is None
    assert layer.variants["depthwise_separable"].params == 8 * 3 + 8 * 8


@pytest.mark.parametrize(
    ("layer", "message"),
    [
        (
            {"groups": 3},
            "groups=3 does not divide in_channels=8; groups=3 does not divide out_channels=16",
        ),
        (
            {"in_channels": 0, "stride": -1},
            "in_channels must be at least 1, found 0; stride must be at least 1, ",
        ),
        ({"batch": 0}, "batch must be at least 1, found 0"),
        ({"batch": 1.5}, "batch must be whole numbers, found 1.5"),
        ({"depth_multiplier": 0}, "depth_multiplier must be at least 1, found 0"),
        ({"padding": 0, "input_size": 2}, "kernel 3×3 is larger than the padded input 2×2"),
        ({"padding": "same", "stride": 2}, "padding 'same' needs stride 1, found stride 2×2"),
        ({"padding": "valid"}, "padding must be whole numbers or 'same', found 'valid'"),
        ({"stride": (1, 2, 3, 4)}, "stride 1×2×3×4 has 4 sizes: expected 1, 2 or 3"),
    ],
    ids=str,
)
def test_a_layer_that_cannot_exist_is_refused_with_the_reasons(
    layer: dict[str, object], message: str
) -> None:
    with pytest.raises(SpecError) as caught:
        dscost.layer(**{"in_channels": 8, "out_channels": 16, "kernel_size": 3, **layer})
    assert str(caught.value).startswith(message)


@pytest.mark.parametrize(
    "layer",
    [{"input_size": ()}, {"input_size": (1, 2, 3, 4)}, {"input_size": "14"}, {"kernel_size": 2.5}],
    ids=str,
)
def test_a_value_of_the_wrong_kind_is_refused_as_an_input_error(layer: dict[str, object]) -> None:
    with pytest.raises(InputError):
        dscost.layer(**{"in_channels": 8, "out_channels": 16, "kernel_size": 3, **layer})


def test_a_bias_is_one_parameter_per_output_channel_whatever_is_true_of_it() -> None:
    with_bias = dscost.layer(in_channels=8, out_channels=16, kernel_size=3, bias=True).totals
    assert with_bias.standard.params == 8 * 16 * 9 + 16
    try:
        truthy = dscost.layer(in_channels=8, out_channels=16, kernel_size=3, bias=2).totals
    except InputError:
        return
    assert truthy.standard.params == with_bias.standard.params


@pytest.mark.parametrize("typing_error", ["paddding", "inputsize", "kernel"])
def test_an_argument_that_does_not_exist_is_refused_and_not_ignored(typing_error: str) -> None:
    with pytest.raises((TypeError, InputError), match=typing_error):
        dscost.layer(in_channels=8, out_channels=16, kernel_size=3, **{typing_error: 0})


def test_the_padding_mode_is_taken_or_refused_but_not_ignored() -> None:
    try:
        (layer,) = dscost.layer(
            in_channels=8, out_channels=16, kernel_size=3, padding_mode="reflect"
        ).layers
    except (TypeError, InputError):
        return
    assert layer.conv is not None
    assert layer.conv.padding_mode == "reflect"


# -- totals


@pytest.mark.parametrize("name", builtin_names())
def test_the_totals_of_a_model_are_the_sums_of_its_layers(name: str) -> None:
    report = dscost.analyze(name)
    for figure in ADDING_UP:
        assert getattr(report.totals.as_is, figure) == sum(
            getattr(layer.cost, figure) for layer in report.layers
        )
    assert (
        report.totals.as_is.input_bytes
        == 4 * 3 * report.inputs[0].shape[2] * report.inputs[0].shape[3]
    )
    assert report.totals.as_is.output_bytes == 4 * 1000


@pytest.mark.parametrize("name", builtin_names())
def test_the_totals_of_a_rewritten_model_follow_from_the_variants_of_its_layers(name: str) -> None:
    report = dscost.analyze(name)
    pairs = {layer.pair for layer in report.layers if layer.pair}
    for figure in ADDING_UP:
        as_is, standard, separable = (
            getattr(cost, figure)
            for cost in (
                report.totals.as_is,
                report.totals.standard,
                report.totals.depthwise_separable,
            )
        )
        inside_pairs = sum(getattr(layer.cost, figure) for layer in report.layers if layer.pair)
        instead = sum(
            getattr(layer.variants["standard"], figure)
            for layer in report.layers
            if layer.name in pairs
        )
        assert standard == as_is - inside_pairs + instead
        swapped = [layer for layer in report.layers if layer.variants and not layer.pair]
        assert separable == as_is + sum(
            getattr(layer.variants["depthwise_separable"], figure) - getattr(layer.cost, figure)
            for layer in swapped
        )


@pytest.mark.parametrize("name", builtin_names())
def test_the_layers_of_a_model_fit_together(name: str) -> None:
    report = dscost.analyze(name)
    assert report.layers[0].input_shape == report.inputs[0].shape
    for layer in report.layers:
        for parts in layer.stages.values():
            assert parts[0].input_shape == layer.input_shape
            assert all(one.output_shape == other.input_shape for one, other in pairwise(parts))
        if layer.variants and not layer.pair:
            assert layer.variants["standard"] == layer.cost
            assert layer.stages["depthwise_separable"][-1].output_shape == layer.output_shape


@pytest.mark.parametrize("name", builtin_names())
def test_flops_are_twice_the_macs_and_bytes_are_four_per_value(name: str) -> None:
    for layer in dscost.analyze(name).layers:
        assert layer.cost.flops == 2 * layer.cost.macs
        assert layer.cost.weight_bytes == 4 * layer.cost.params


def test_reductions_are_standard_over_separable() -> None:
    totals = dscost.analyze("resnet18").totals
    for figure in ("params", "macs", "traffic_bytes"):
        expected = getattr(totals.standard, figure) / getattr(totals.depthwise_separable, figure)
        assert getattr(totals.reduction, figure) == expected
    assert totals.as_is == totals.standard


SMALL = """
input: [3, 16, 16]
layers:
  - {conv: 3, out_channels: 8, stride: 2, norm: batch, act: relu}
  - {depthwise: 3, norm: batch, act: relu}
  - {conv: 1, out_channels: 4, norm: batch}
  - {max_pool: 2}
  - flatten
  - {dropout: 0.5}
  - {linear: 10}
"""


def test_every_figure_of_a_small_model_agrees_with_a_count_by_hand(network_file: WriteFile) -> None:
    report = dscost.analyze(network_file(SMALL))
    costs = {layer.name: layer.cost for layer in report.layers}
    image, maps, narrow, pooled = 3 * 16 * 16, 8 * 8 * 8, 4 * 8 * 8, 4 * 4 * 4

    def cost(params: int, macs: int, read: int, written: int, *, moved: int | None = None) -> Cost:
        values = read + params + written if moved is None else moved
        activations = written if macs else 0
        return Cost(params, macs, 4 * params, 4 * read, 4 * written, 4 * values, activations)

    # batch normalisation reads its running mean and variance too; views move nothing
    by_hand = {
        "conv1": cost(3 * 8 * 9, 64 * 3 * 8 * 9, image, maps),
        "conv1_norm": cost(2 * 8, 0, maps, maps, moved=2 * maps + 4 * 8),
        "conv1_act": cost(0, 0, maps, maps),
        "depthwise1": cost(8 * 9, 64 * 8 * 9, maps, maps),
        "depthwise1_norm": cost(2 * 8, 0, maps, maps, moved=2 * maps + 4 * 8),
        "depthwise1_act": cost(0, 0, maps, maps),
        "conv2": cost(8 * 4, 64 * 8 * 4, maps, narrow),
        "conv2_norm": cost(2 * 4, 0, narrow, narrow, moved=2 * narrow + 4 * 4),
        "max_pool1": cost(0, 0, narrow, pooled),
        "flatten1": cost(0, 0, pooled, pooled, moved=0),
        "dropout1": cost(0, 0, pooled, pooled, moved=0),
        "linear1": cost(pooled * 10 + 10, pooled * 10, pooled, 10),
    }
    assert list(costs) == list(by_hand)
    for name in costs:
        assert is_by_hand(costs[name], by_hand[name]), name
    assert costs["flatten1"].flops_per_byte is None

    # as standard convolutions: one 3×3 from 8 to 4 channels instead of the pair and what lies between
    pair = ("depthwise1", "depthwise1_norm", "depthwise1_act", "conv2")
    standard = cost(8 * 4 * 9, 64 * 8 * 4 * 9, maps, narrow)
    assert is_by_hand(layer_called(report, "depthwise1").variants["standard"], standard)
    for figure in ADDING_UP_BY_HAND:
        outside = sum(getattr(by_hand[name], figure) for name in by_hand if name not in pair)
        assert getattr(report.totals.standard, figure) == outside + getattr(standard, figure)

    # as separable ones: the first convolution in two stages; the pair stays as it is
    stages = (cost(3 * 9, 64 * 3 * 9, image, 3 * 64), cost(3 * 8, 64 * 3 * 8, 3 * 64, maps))
    for figure in ADDING_UP_BY_HAND:
        outside = sum(getattr(by_hand[name], figure) for name in by_hand if name != "conv1")
        separable = outside + sum(getattr(stage, figure) for stage in stages)
        assert getattr(report.totals.depthwise_separable, figure) == separable


# -- coverage


@pytest.mark.parametrize(
    ("name", "counted", "free"),
    [
        pytest.param(
            "resnet18",
            20 + 1,
            20 + 17 + 2 + 8 + 1,
            id="resnet18: norms, relus, poolings, sums, flatten",
        ),
        pytest.param(
            "vgg16", 13 + 3, 13 + 2 + 6 + 1 + 2, id="vgg16: relus, poolings, flatten, dropouts"
        ),
        pytest.param(
            "mobilenet_v1",
            27 + 1,
            27 + 27 + 2,
            id="mobilenet_v1: norms, relus, pooling and flatten",
        ),
        pytest.param(
            "xception",
            2 + 2 * 34 + 4 + 1,
            40 + 35 + 5 + 12 + 1,
            id="xception: norms, relus, poolings, sums, flatten",
        ),
    ],
)
def test_every_layer_is_counted_or_known_to_be_free(name: str, counted: int, free: int) -> None:
    report = dscost.analyze(name)
    assert report.coverage == (counted, free, (), {})
    assert counted + free == len(report.layers)


@pytest.mark.parametrize("name", builtin_names())
def test_counted_layers_have_macs_and_free_ones_have_none(name: str) -> None:
    report = dscost.analyze(name)
    with_macs = [layer for layer in report.layers if layer.cost.macs]
    assert len(with_macs) == report.coverage.counted
    assert {layer.op for layer in with_macs} <= {"convolution", "linear"}
    assert report.coverage.unknown == ()


# -- pairs


@pytest.mark.parametrize(
    ("name", "pairs"),
    [
        *(
            ("mobilenet_v1", 13),
            ("mobilenet_v2", 17),
            ("mobilenet_v3_large", 15),
            ("mobilenet_v3_small", 11),
        ),
        *(("efficientnet_b0", 16), ("xception", 34), ("resnet18", 0), ("vgg16", 0)),
    ],
)
def test_every_depthwise_convolution_of_a_builtin_begins_a_pair(name: str, pairs: int) -> None:
    report = dscost.analyze(name)
    depthwise = [layer for layer in report.layers if layer.conv and layer.conv.is_depthwise]
    assert [layer.pair for layer in depthwise] == [layer.name for layer in depthwise]
    assert len(depthwise) == pairs


def test_a_pair_of_mobilenet_v1_knows_both_of_its_sides() -> None:
    report = dscost.analyze("mobilenet_v1")
    depthwise = layer_called(report, "separable1.0.depthwise")
    pointwise = layer_called(report, "separable1.0.pointwise")
    assert depthwise.pair == pointwise.pair == depthwise.name
    # 32 → 64 channels, 3×3 at 112×112
    assert depthwise.variants["standard"].macs == 112 * 112 * 32 * 64 * 9
    assert (
        depthwise.variants["depthwise_separable"].macs == depthwise.cost.macs + pointwise.cost.macs
    )
    assert depthwise.formula_ratio == pytest.approx(1 / 64 + 1 / 9)
    assert not pointwise.variants
    between = [layer.name for layer in report.layers if layer.pair == depthwise.name]
    assert between == [
        f"separable1.0.{part}"
        for part in ("depthwise", "depthwise_norm", "depthwise_act", "pointwise")
    ]


def test_the_squeeze_and_excite_of_a_pair_belongs_to_it() -> None:
    report = dscost.analyze("mobilenet_v3_small")
    inside = [layer for layer in report.layers if layer.pair == "bneck1.depthwise1"]
    assert [layer.type for layer in inside] == [
        *("Conv2d", "BatchNorm2d", "ReLU"),
        *("AdaptiveAvgPool2d", "Conv2d", "ReLU", "Conv2d", "Hardsigmoid", "Multiply"),
        "Conv2d",
    ]
    # 16 → 16 channels, 3×3 with stride 2 at 112×112
    assert inside[0].variants["standard"].macs == 56 * 56 * 16 * 16 * 9


@some_builtins
def test_the_separable_side_of_a_pair_is_its_two_convolutions(name: str) -> None:
    report = dscost.analyze(name)
    for depthwise in (layer for layer in report.layers if layer.pair == layer.name):
        *_, pointwise = (layer for layer in report.layers if layer.pair == depthwise.name)
        separable = depthwise.variants["depthwise_separable"]
        for figure in ("params", "macs"):
            both = getattr(depthwise.cost, figure) + getattr(pointwise.cost, figure)
            assert getattr(separable, figure) == both


def pair_report(network_file: WriteFile, layers: str) -> Report:
    return dscost.analyze(network_file(f"layers:{layers}"), input=(1, 6, 12, 12))


def test_the_separable_side_of_a_pair_has_the_bias_of_its_depthwise_stage(
    network_file: WriteFile,
) -> None:
    report = pair_report(
        network_file, "\n  - {depthwise: 3, bias: true}\n  - {conv: 1, out_channels: 8}"
    )
    depthwise, pointwise = report.layers
    assert report.totals.depthwise_separable == report.totals.as_is
    assert (
        depthwise.variants["depthwise_separable"].params
        == depthwise.cost.params + pointwise.cost.params
    )


@pytest.mark.parametrize(
    "between",
    [
        "",
        "{norm: batch}",
        "{act: relu}",
        "{dropout: 0.1}",
        "{squeeze_excite: 2}",
        "{squeeze_excite: 2, act: silu}",
    ],
    ids=lambda layer: layer or "nothing",
)
def test_a_pair_is_seen_through_what_may_lie_between(network_file: WriteFile, between: str) -> None:
    middle = f"\n  - {between}" if between else ""
    report = pair_report(
        network_file,
        f"\n  - {{depthwise: 5}}{middle}\n  - {{conv: 1, out_channels: 8, bias: false}}",
    )
    assert {layer.pair for layer in report.layers} == {"depthwise1"}
    assert report.totals.standard.params == 6 * 8 * 25
    assert report.totals.standard.macs == 144 * 6 * 8 * 25


@pytest.mark.parametrize(
    "after",
    [
        pytest.param("{max_pool: 2}\n  - {conv: 1, out_channels: 8}", id="pooling between"),
        pytest.param("{conv: 3, out_channels: 8, groups: 2}", id="no 1x1"),
        pytest.param("{conv: 1, out_channels: 8, stride: 2}", id="1x1 with a stride"),
        pytest.param("{conv: 1, out_channels: 8, padding: 1}", id="1x1 with padding"),
        pytest.param("flatten\n  - {linear: 8}", id="linear"),
        pytest.param("residual: [{conv: 1, out_channels: 6}]", id="read twice"),
        pytest.param(
            "residual: [{squeeze_excite: 2}, {conv: 1, out_channels: 6}]",
            id="gated, but read elsewhere too",
        ),
        pytest.param("{act: relu}", id="end of the network"),
    ],
)
def test_a_depthwise_convolution_that_reaches_no_1x1_alone_is_no_pair(
    network_file: WriteFile, after: str
) -> None:
    report = pair_report(network_file, f"\n  - {{depthwise: 3}}\n  - {after}")
    depthwise = report.layers[0]
    assert depthwise.conv is not None
    assert depthwise.conv.is_depthwise
    assert (depthwise.pair, dict(depthwise.variants), depthwise.formula_ratio) == (None, {}, None)
    assert report.totals.standard == report.totals.as_is


def test_a_pair_keeps_depth_multiplier_groups_stride_and_dilation(network_file: WriteFile) -> None:
    report = pair_report(
        network_file,
        """
  - {depthwise: 5x3, depth_multiplier: 2, stride: 2, padding: [4, 2], dilation: 2, bias: false}
  - {conv: 1, out_channels: 9, groups: 3, bias: true}""",
    )
    depthwise = report.layers[0]
    (standard,) = depthwise.stages["standard"]
    assert in_torch(standard.conv) == repr(
        torch.nn.Conv2d(6, 9, (5, 3), stride=2, padding=(4, 2), dilation=2, groups=3, bias=True)
    )
    assert depthwise.formula_ratio == pytest.approx(2 * (3 / 9 + 1 / 15))
    assert depthwise.variants["depthwise_separable"].params == 12 * 15 + 9 * 4 + 9
    assert report.totals.depthwise_separable == report.totals.as_is


def test_a_grouped_1x1_that_mixes_parts_of_a_channel_stands_for_no_convolution(
    network_file: WriteFile,
) -> None:
    # 6 channels become 24; in 8 groups of 3 they would need 8 groups of the 6
    layers = "\n  - {depthwise: 3, depth_multiplier: 4, bias: false}\n  - {conv: 1, out_channels: 8, groups: 8, bias: false}"
    report = pair_report(network_file, layers)
    assert report.totals.as_is.params == 24 * 9 + 24
    assert report.totals.standard == report.totals.depthwise_separable == report.totals.as_is
    assert report.layers[0].pair is None


def test_layers_of_a_model_that_are_1x1_or_linear_have_no_variant() -> None:
    report = dscost.analyze("resnet50")
    for layer in report.layers:
        separable = layer.conv is not None and layer.conv.kernel_area > 1
        assert set(layer.variants) == ({"standard", "depthwise_separable"} if separable else set())


@some_builtins
def test_the_formula_ratio_of_a_layer_is_its_reduction_of_weights(name: str) -> None:
    for layer in dscost.analyze(name).layers:
        if layer.formula_ratio is None:
            assert not layer.variants
            continue
        (standard,), stages = layer.stages["standard"], layer.stages["depthwise_separable"]
        biases = standard.conv.out_channels * standard.conv.bias
        weights = sum(stage.cost.params for stage in stages) - biases
        assert layer.formula_ratio == pytest.approx(weights / (standard.cost.params - biases))


# -- dtype


@pytest.mark.parametrize(
    ("dtype", "element_bytes"), [("float64", 8), ("float16", 2), ("bfloat16", 2), ("int8", 1)]
)
def test_the_dtype_changes_bytes_and_nothing_else(dtype: str, element_bytes: int) -> None:
    usual, other = small_model(), dscost.analyze("mobilenet_v3_small", dtype=dtype)
    assert other.inputs[0].dtype == dtype
    pairs = [
        (layer.cost, twin.cost) for layer, twin in zip(usual.layers, other.layers, strict=True)
    ]
    pairs += zip(usual.totals, other.totals, strict=True)
    for cost, twin in pairs:
        assert (twin.params, twin.macs, twin.flops) == (cost.params, cost.macs, cost.flops)
        for figure in ("weight_bytes", "input_bytes", "output_bytes", "traffic_bytes"):
            assert getattr(twin, figure) * 4 == getattr(cost, figure) * element_bytes


@pytest.mark.parametrize("analyze", [lambda **given: dscost.analyze("resnet18", **given), lambda **given: dscost.layer(
    in_channels=3, out_channels=4, kernel_size=3, **given)], ids=["a model", "a layer"])  # fmt: skip
def test_an_unknown_dtype_is_answered_with_the_nearest_spelling(
    analyze: Callable[..., Report],
) -> None:
    with pytest.raises(
        UnknownNameError, match=r"unknown dtype 'flaot16' \(did you mean 'float16'\?\)"
    ):
        analyze(dtype="flaot16")


# -- an answer at once


def test_counting_imports_neither_torch_nor_numpy() -> None:
    program = """
import sys, dscost
from dscost.reports.records import document
reports = [dscost.analyze("efficientnet_b0"), dscost.layer(in_channels=8, out_channels=8, kernel_size=3)]
document(reports, command="model")
print(sorted({"torch", "numpy"} & set(sys.modules)))
"""
    result = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert result.stdout.strip() == "[]"
