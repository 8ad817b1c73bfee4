"""Convolutions over one, two and three dimensions, transposed ones too, against torch's own."""

from typing import Any

import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from properties import law
from torch.utils.flop_counter import FlopCounterMode

import dscost
from dscost.errors import InputError, SpecError
from dscost.layers.choosing import chosen, parse_variants
from dscost.layers.convolution import ConvSpec
from dscost.layers.making import conv, dims_of
from dscost.layers.variants import VARIANTS
from dscost.modules.building import build_variant
from dscost.modules.convs import CONVS, TRANSPOSED, torch_conv
from dscost.networks.network import stage_costs
from dscost.reports.records import document
from dscost.reports.report_file import parse_reports

SIZES = {1: (9,), 2: (9, 7), 3: (5, 7, 6)}


@st.composite
def convolutions(draw: st.DrawFn) -> dict[str, Any]:
    dims = draw(st.sampled_from((1, 2, 3)))
    per_side = lambda low, high: st.tuples(*[st.integers(low, high)] * dims)  # noqa: E731
    groups = draw(st.sampled_from((1, 1, 2, 3)))
    given_: dict[str, Any] = {
        "in_channels": groups * draw(st.integers(1, 3)),
        "out_channels": groups * draw(st.integers(1, 3)),
        "kernel_size": draw(st.one_of(st.integers(1, 4), per_side(1, 4))),
        "stride": draw(st.one_of(st.integers(1, 3), per_side(1, 3))),
        "padding": draw(st.one_of(st.integers(0, 2), per_side(0, 2))),
        "dilation": draw(st.one_of(st.integers(1, 2), per_side(1, 2))),
        "groups": groups,
        "bias": draw(st.booleans()),
        "dims": dims,
        "transposed": draw(st.booleans()),
    }
    if given_["transposed"]:
        given_["output_padding"] = draw(st.one_of(st.integers(0, 1), per_side(0, 2)))
    return given_


def torch_s_own(given_: dict[str, Any]) -> torch.nn.Module:
    kinds: Any = TRANSPOSED if given_["transposed"] else CONVS
    arguments = {k: v for k, v in given_.items() if k not in ("dims", "transposed")}
    return kinds[given_["dims"]](**arguments)


def shape_of(module: torch.nn.Module, channels: int, dims: int) -> tuple[int, ...]:
    return tuple(module(torch.empty(2, channels, *SIZES[dims])).shape)


@law
@given(convolutions())
def test_params_and_output_are_those_of_torch_and_so_is_what_is_refused(
    given_: dict[str, Any],
) -> None:
    channels, dims = given_["in_channels"], given_["dims"]
    module = torch_s_own(given_)
    try:
        expected = shape_of(module, channels, dims)
    except RuntimeError:
        with pytest.raises(SpecError):
            conv(**given_).output_shape((2, channels, *SIZES[dims]))
        return
    spec = conv(**given_)
    assert spec.params == sum(parameter.numel() for parameter in module.parameters())
    assert spec.output_shape((2, channels, *SIZES[dims])) == expected
    assert spec.type == type(module).__name__
    built = torch_conv(spec)
    assert (str(built), type(built)) == (str(module), type(module))


@law
@given(convolutions())
def test_macs_are_the_weights_at_each_position_of_the_smaller_side(given_: dict[str, Any]) -> None:
    shape = (2, given_["in_channels"], *SIZES[given_["dims"]])
    try:
        spec = conv(**given_)
        output = spec.output_shape(shape)
    except SpecError:
        assume(False)
    batch, _, *places = shape if spec.transposed else output
    positions = batch
    for extent in places:
        positions *= extent
    assert spec.macs([shape], output) == (spec.params - spec.bias * spec.out_channels) * positions


def separable(given_: dict[str, Any]) -> None:
    layer = dscost.layer(**given_).layers[0]
    standard, stages = layer.variants["standard"], layer.stages["depthwise_separable"]
    ratio = sum(stage.cost.params for stage in stages) / standard.params
    assert layer.formula_ratio == pytest.approx(ratio)
    assert stages[-1].output_shape == layer.output_shape


@pytest.mark.parametrize(
    ("given_", "params", "macs", "output"),
    [
        # 1-D: K = 3, 14 positions
        ({"dims": 1}, 256 * 256 * 3, 256 * 256 * 3 * 14, (1, 256, 14)),
        ({"kernel_size": (3,)}, 256 * 256 * 3, 256 * 256 * 3 * 14, (1, 256, 14)),
        # 3-D: K³ = 27
        ({"dims": 3}, 256 * 256 * 27, 256 * 256 * 27 * 14**3, (1, 256, 14, 14, 14)),
        (
            {"input_size": (2, 3, 4), "stride": (1, 1, 2)},
            256 * 256 * 27,
            256 * 256 * 27 * 2 * 3 * 2,
            (1, 256, 2, 3, 2),
        ),
        # transposed: applied at the 14·14 positions of its input
        (
            {"transposed": True, "stride": 2},
            256 * 256 * 9,
            256 * 256 * 9 * 14 * 14,
            (1, 256, 28, 28),
        ),
    ],
)
def test_a_layer_of_any_dimensions_is_counted(
    given_: dict[str, Any], params: int, macs: int, output: tuple[int, ...]
) -> None:
    whole = {"in_channels": 256, "out_channels": 256, "kernel_size": 3, **given_}
    (layer,) = dscost.layer(**whole).layers
    assert (layer.cost.params, layer.cost.macs, layer.output_shape) == (params, macs, output)
    separable(whole)


@pytest.mark.parametrize(
    ("given_", "formula"),
    [
        ({"dims": 1}, 1 / 64 + 1 / 3),
        ({"dims": 3}, 1 / 64 + 1 / 27),
        ({"kernel_size": (3, 5, 5)}, 1 / 64 + 1 / 75),
        ({"dims": 1, "groups": 4, "depth_multiplier": 2}, 2 * (4 / 64 + 1 / 3)),
        ({"transposed": True, "stride": 2}, 1 / 64 + 1 / 9),
    ],
)
def test_the_formula_is_that_of_the_kernel_in_all_its_dimensions(
    given_: dict[str, Any], formula: float
) -> None:
    whole = {"in_channels": 32, "out_channels": 64, "kernel_size": 3, **given_}
    (layer,) = dscost.layer(**whole).layers
    assert layer.formula_ratio == pytest.approx(formula)
    separable(whole)


@pytest.mark.parametrize("dims", [1, 2, 3])
@pytest.mark.parametrize("transposed", [False, True])
def test_a_layer_has_the_figures_of_a_model_that_is_one(dims: int, transposed: bool) -> None:
    kinds: Any = TRANSPOSED if transposed else CONVS
    module = kinds[dims](6, 4, 3, stride=2, padding=1, groups=2)
    traced = dscost.analyze(module, (2, 6, *SIZES[dims])).totals.as_is
    given_ = {"groups": 2, "stride": 2, "padding": 1, "batch": 2, "transposed": transposed}
    counted = dscost.layer(6, 4, 3, **given_, bias=True, input_size=SIZES[dims]).totals.as_is
    assert counted == traced
    with FlopCounterMode(display=False) as counter:
        module(torch.zeros(2, 6, *SIZES[dims]))
    assert counter.get_total_flops() == counted.flops


def test_a_transposed_layer_has_its_pointwise_stage_at_the_positions_that_it_writes() -> None:
    (layer,) = dscost.layer(64, 32, 4, transposed=True, stride=2).layers
    depthwise, pointwise = layer.stages["depthwise_separable"]
    assert depthwise.cost.macs == 64 * 16 * 14 * 14
    assert pointwise.cost.macs == 64 * 32 * 28 * 28
    assert (layer.type, layer.op) == ("ConvTranspose2d", "transposed_convolution")


@law
@given(
    st.integers(1, 6), st.integers(1, 4), st.integers(1, 3), st.integers(1, 3), st.integers(1, 9)
)
def test_the_default_padding_of_a_transposed_one_makes_its_stride_times_the_size(
    kernel: int, stride: int, dilation: int, dims: int, size: int
) -> None:
    spec = conv(
        1, 1, kernel, dims=dims, stride=stride, dilation=dilation, padding=None, transposed=True
    )
    _, _, *made = spec.output_shape((1, 1, *[size] * dims)) if size * stride > 1 else (1, 1, 1)
    # torch's output padding is too small where neither stride nor dilation leaves it room
    exact = (dilation * (kernel - 1) + 1 - stride) % 2 == 0 or max(stride, dilation) > 1
    assert set(made) <= ({stride * size} if exact else {stride * size - 1, 1})


@pytest.mark.parametrize("name", list(VARIANTS))
@pytest.mark.parametrize("dims", [1, 2, 3])
@pytest.mark.parametrize("transposed", [False, True])
def test_every_variant_of_a_layer_makes_what_the_layer_makes(
    name: str, dims: int, transposed: bool
) -> None:
    spec = conv(16, 16, 3, dims=dims, stride=2, padding=None, transposed=transposed)
    shape = (2, 16, *SIZES[dims])
    found = chosen(parse_variants([name])[0], spec)
    if isinstance(found, str):
        assert name == "spatially_separable"
        assert dims != 2
        return
    stages = stage_costs(found.parts, shape, 4)
    made = build_variant(found.parts, shape)(torch.zeros(shape)).shape
    assert tuple(made) == stages[-1].output_shape == spec.output_shape(shape)
    params = sum(stage.cost.params for stage in stages)
    assert params == sum(p.numel() for p in build_variant(found.parts, shape).parameters())


@pytest.mark.parametrize(
    ("given_", "told"),
    [
        ({"dims": 4}, "dims must be 1, 2 or 3, found 4"),
        ({"dims": 0}, "dims must be 1, 2 or 3, found 0"),
        ({"dims": 1, "kernel_size": (3, 3)}, "kernel_size 3×3 has 2 sizes, but dims is 1"),
        (
            {"kernel_size": (3, 3), "input_size": (4, 5, 6)},
            "input_size 4×5×6 has 3 sizes, but kernel_size 3×3 has 2 sizes",
        ),
        ({"stride": (1, 2, 3, 4)}, "stride 1×2×3×4 has 4 sizes: expected 1, 2 or 3"),
        ({"output_padding": 1}, "output_padding is for transposed convolutions"),
        (
            {"transposed": True, "padding": "same"},
            "a transposed convolution has no padding 'same'",
        ),
        (
            {"transposed": True, "stride": 2, "output_padding": 2},
            "output_padding 2×2 must be smaller than stride or dilation",
        ),
        (
            {"transposed": True, "output_padding": -1},
            "output_padding must be at least 0, found -1×-1",
        ),
        (
            {"transposed": True, "padding": 30},
            "padding 30 leaves nothing of the output of ConvTranspose2d",
        ),
        ({"kernel_size": "3"}, "kernel_size must be a whole number or 2 of them, found '3'"),
    ],
)
def test_what_no_convolution_has_is_refused(given_: dict[str, Any], told: str) -> None:
    with pytest.raises(InputError) as caught:
        dscost.layer(**{"in_channels": 8, "out_channels": 8, "kernel_size": 3, **given_})
    assert str(caught.value) == told


def test_dimensions_are_two_unless_something_says_otherwise() -> None:
    assert dims_of(None, kernel_size=3, padding="same") == 2
    assert dims_of(None, kernel_size=3, padding=None, stride=[1, 2, 1]) == 3
    assert dims_of(1, kernel_size=3, stride=(2,)) == 1


@pytest.mark.parametrize(
    "given_",
    [{"dims": 1}, {"dims": 3, "input_size": 4}, {"transposed": True, "stride": 2}],
)
def test_a_saved_layer_of_any_kind_is_read_as_it_was_written(given_: dict[str, Any]) -> None:
    import json

    report = dscost.layer(8, 8, 3, **given_)
    text = json.dumps(document([report], command="layer"))
    (read,) = parse_reports(text, "x.json")
    assert read == report._replace(inputs=read.inputs, settings=read.settings)
    conv_keys = json.loads(text)["subjects"][0]["layers"][0]["conv"].keys()
    assert {"transposed", "output_padding"} <= conv_keys


def test_an_old_spec_without_the_new_fields_is_a_plain_convolution() -> None:
    spec = ConvSpec(3, 4, (3, 3), (1, 1), (0, 0), (1, 1))
    assert (spec.transposed, spec.output_padding, spec.type) == (False, (), "Conv2d")
