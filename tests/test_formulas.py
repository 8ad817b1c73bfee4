from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st
from properties import law

from dscost.layers.formulas import (
    conv_macs,
    conv_out_size,
    conv_weights,
    formula_value,
    linear_macs,
    separable_ratio,
)

counts = st.integers(1, 2_000)
groups_of = st.integers(1, 12)


@pytest.mark.parametrize(
    ("size", "kernel", "stride", "padding", "dilation", "out"),
    [
        pytest.param(224, 7, 2, 6, 1, 112, id="stem of ResNet"),
        pytest.param(299, 3, 2, 0, 1, 149, id="stem of Xception"),
        pytest.param(14, 3, 1, 2, 1, 14, id="size kept"),
        pytest.param(6, 3, 1, 0, 1, 4, id="no padding"),
        pytest.param(5, 3, 1, 0, 2, 1, id="dilated, just fits"),
        pytest.param(4, 3, 1, 0, 2, 0, id="dilated, does not fit"),
        pytest.param(1, 7, 2, 0, 1, -2, id="far too large"),
        pytest.param(5, 1, 7, 0, 1, 1, id="stride beyond the input"),
    ],
)
def test_an_output_extent_is_known(
    size: int, kernel: int, stride: int, padding: int, dilation: int, out: int
) -> None:
    assert conv_out_size(size, kernel, stride, padding, dilation) == out


@law
@given(
    st.integers(1, 60), st.integers(1, 9), st.integers(1, 9), st.integers(0, 9), st.integers(1, 4)
)
def test_an_output_extent_is_the_number_of_places_a_window_can_stand(
    size: int, kernel: int, stride: int, padding: int, dilation: int
) -> None:
    places = range(0, size + padding - dilation * (kernel - 1), stride)
    assert max(0, conv_out_size(size, kernel, stride, padding, dilation)) == len(places)


@pytest.mark.parametrize(
    ("in_channels", "out_channels", "kernel_area", "groups", "weights"),
    [
        pytest.param(256, 256, 9, 1, 256 * 256 * 9, id="dense"),
        pytest.param(512, 512, 9, 1, 2_359_296, id="MobileNets, table 3"),
        pytest.param(3, 64, 49, 1, 9_408, id="conv1 of torchvision's ResNet"),
        pytest.param(128, 128, 9, 32, 128 * 4 * 9, id="ResNeXt, 32 groups"),
        pytest.param(32, 64, 9, 32, 64 * 1 * 9, id="depthwise, multiplier 2"),
        pytest.param(64, 128, 1, 1, 64 * 128, id="pointwise"),
    ],
)
def test_weights_are_filters_times_taps(
    in_channels: int, out_channels: int, kernel_area: int, groups: int, weights: int
) -> None:
    assert conv_weights(in_channels, out_channels, kernel_area, groups) == weights
    outputs = 2 * 14 * 14 * out_channels
    assert conv_macs(outputs, in_channels // groups, kernel_area) == weights * 2 * 14 * 14


def test_stages_cost_what_table_3_of_mobilenets_prints() -> None:
    standard = conv_macs(14 * 14 * 512, 512, 9)
    depthwise = conv_macs(14 * 14 * 512, 1, 9)
    separable = depthwise + conv_macs(14 * 14 * 512, 512, 1)
    assert (round(standard / 1e6), round(separable / 1e6, 1)) == (462, 52.3)


@law
@given(counts, groups_of, st.integers(1, 49), st.integers(1, 10_000))
def test_depthwise_is_a_convolution_of_as_many_groups_as_channels(
    channels: int, multiplier: int, area: int, positions: int
) -> None:
    grouped = positions * conv_weights(channels, channels * multiplier, area, channels)
    assert grouped == conv_macs(positions * channels * multiplier, 1, area)
    assert grouped == positions * multiplier * channels * area  # MobileNets, eq. 4


@law
@given(counts, counts, groups_of, st.integers(1, 10_000))
def test_pointwise_is_a_convolution_with_one_tap_and_linear_is_one_position(
    per_group: int, out_per_group: int, groups: int, positions: int
) -> None:
    channels, out_channels = per_group * groups, out_per_group * groups
    pointwise = positions * conv_weights(channels, out_channels, 1, groups)
    assert pointwise == conv_macs(positions * out_channels, per_group, 1)
    assert pointwise == positions * out_channels * per_group  # MobileNets, eq. 5
    outputs = positions * out_channels
    assert linear_macs(channels, out_channels, positions) == conv_macs(outputs, channels, 1)


@law
@given(counts, counts, groups_of, st.integers(1, 49))
def test_groups_divide_the_cost(per_group: int, out_channels: int, groups: int, area: int) -> None:
    channels = per_group * groups
    assert conv_weights(channels, out_channels, area, 1) == groups * conv_weights(
        channels, out_channels, area, groups
    )


@law
@given(counts, counts, st.integers(1, 49), groups_of, groups_of, st.integers(1, 10_000))
def test_the_ratio_is_the_exact_quotient_of_the_costs(
    per_group: int, out_per_group: int, area: int, groups: int, multiplier: int, positions: int
) -> None:
    channels, out_channels = per_group * groups, out_per_group * groups
    middle = channels * multiplier
    depthwise = conv_macs(positions * middle, 1, area)
    stages = depthwise + conv_macs(positions * out_channels, middle // groups, 1)
    standard = conv_macs(positions * out_channels, channels // groups, area)
    exact = Fraction(stages, standard)
    assert separable_ratio(out_channels, area, groups, multiplier) == float(exact)


@pytest.mark.parametrize(
    ("out_channels", "area", "ratio"),
    [
        pytest.param(256, 9, 1 / 256 + 1 / 9, id="3x3 to 256"),
        pytest.param(32, 25, 1 / 32 + 1 / 25, id="5x5 to 32"),
        pytest.param(4, 9, 624 / 1_728, id="the textbook's 6x6x3 image"),
    ],
)
def test_the_ratio_is_what_the_paper_promises(out_channels: int, area: int, ratio: float) -> None:
    assert separable_ratio(out_channels, area) == pytest.approx(ratio, rel=1e-15)


@pytest.mark.parametrize(
    ("formula", "value"),
    [
        ("1", 1.0),
        ("G/N + 1/(g·K²)", 2 / 64 + 1 / (4 * 15)),
        ("1/Kw + N/(M·Kh), which is 2/K for M = N", 1 / 5 + 64 / (32 * 3)),
        ("1/(r·K²) + N/(r²·M)", None),
        ("(1 − 1/g)·g²", 12.0),
        ("a third of them", None),
        ("half", None),
        ("1/(g − 4)", None),
        ("", None),
        ("__import__('os').getpid()", None),
    ],
)
def test_a_formula_is_worth_what_stands_before_its_first_comma(
    formula: str, value: float | None
) -> None:
    letters = {"M": 32, "N": 64, "G": 2, "Kh": 3, "Kw": 5, "K²": 15, "g": 4}
    found = formula_value(formula, letters)
    assert found is None if value is None else found == pytest.approx(value)
