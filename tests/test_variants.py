from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from properties import law

from dscost.errors import SpecError, UnknownNameError
from dscost.layers.convolution import ConvSpec, conv2d
from dscost.layers.variants import (
    VARIANTS,
    depth_multiplier_of,
    depthwise_separable,
    formula_ratio,
    standard,
    standard_of_pair,
    why_not_separable,
)
from dscost.networks.network import stage_costs
from dscost.reports.figures import chain_cost


@st.composite
def separable_convs(draw: st.DrawFn) -> ConvSpec:
    groups, per_group = draw(st.integers(1, 4)), draw(st.integers(2, 8))
    padding: Any = draw(st.one_of(st.just("same"), st.tuples(st.integers(0, 3), st.integers(0, 3))))
    return conv2d(
        groups * per_group,
        groups * draw(st.integers(1, 40)),
        draw(st.tuples(st.integers(1, 7), st.integers(2, 7))),
        stride=1 if padding == "same" else draw(st.tuples(st.integers(1, 3), st.integers(1, 3))),
        padding=padding,
        dilation=draw(st.integers(1, 3)),
        groups=groups,
        bias=draw(st.booleans()),
        padding_mode=draw(st.sampled_from(["zeros", "reflect"])),
    )


@law
@given(separable_convs(), st.integers(1, 4), st.integers(1, 2))
def test_the_stages_keep_the_shape_and_cost_what_the_formula_promises(
    spec: ConvSpec, t: int, batch: int
) -> None:
    shape = (batch, spec.in_channels, 24, 21)
    (whole,) = stage_costs(standard(spec), shape, 4)
    depthwise, pointwise = stage_costs(depthwise_separable(spec, t), shape, 4)
    assert pointwise.output_shape == whole.output_shape
    chain, taps = chain_cost([depthwise.cost, pointwise.cost]), spec.kernel_area
    m, n, g = spec.in_channels, spec.out_channels, spec.groups
    biases = n * spec.bias
    # T·(G/N + 1/(Kh·Kw)), multiplied out so that ints are compared
    assert (chain.params - biases) * n * taps == t * (g * taps + n) * (whole.cost.params - biases)
    assert chain.macs * n * taps == t * (g * taps + n) * whole.cost.macs
    assert chain.params - biases == t * m * taps + n * t * m // g
    assert formula_ratio(spec, t) == pytest.approx(
        (chain.params - biases) / (whole.cost.params - biases)
    )


@law
@given(separable_convs(), st.integers(1, 4))
def test_a_pair_stands_for_the_convolution_that_it_was_made_from(spec: ConvSpec, t: int) -> None:
    (_, depthwise), (_, pointwise) = depthwise_separable(spec, t)
    assert depthwise.is_depthwise
    assert pointwise.is_pointwise
    assert depth_multiplier_of(depthwise) == t
    assert standard_of_pair(depthwise, pointwise) == spec


def test_each_stage_takes_its_part() -> None:
    spec = conv2d(
        8,
        16,
        (3, 5),
        stride=2,
        padding=(1, 2),
        dilation=3,
        groups=2,
        bias=True,
        padding_mode="circular",
    )
    (first, depthwise), (second, pointwise) = depthwise_separable(spec, 3)
    assert (first, second) == ("depthwise", "pointwise")
    assert depthwise == conv2d(
        8,
        24,
        (3, 5),
        stride=2,
        padding=(1, 2),
        dilation=3,
        groups=8,
        bias=False,
        padding_mode="circular",
    )
    assert pointwise == conv2d(24, 16, 1, groups=2, bias=True)


def test_a_pair_stands_for_a_convolution_with_the_groups_and_bias_of_its_pointwise_stage() -> None:
    depthwise = conv2d(8, 16, 3, stride=2, padding=1, groups=8, bias=True)
    pointwise = conv2d(16, 32, 1, groups=4)
    assert standard_of_pair(depthwise, pointwise) == conv2d(
        8, 32, 3, stride=2, padding=1, groups=4, bias=False
    )


def test_other_dimensions_than_two_are_separated_too() -> None:
    spec = ConvSpec(4, 6, (3, 3, 3), (1, 1, 1), (1, 1, 1), (1, 1, 1), bias=True)
    (_, depthwise), (_, pointwise) = depthwise_separable(spec)
    assert (depthwise.params, pointwise.params) == (4 * 27, 6 * 4 + 6)
    assert pointwise.output_shape(depthwise.output_shape((1, 4, 5, 5, 5))) == (1, 6, 5, 5, 5)


@pytest.mark.parametrize(
    ("spec", "reason"),
    [
        pytest.param(
            conv2d(8, 16, 1), "a 1×1 kernel has no spatial part to separate", id="pointwise"
        ),
        pytest.param(
            conv2d(8, 8, 1, groups=8),
            "a 1×1 kernel has no spatial part to separate",
            id="depthwise 1x1",
        ),
        pytest.param(
            conv2d(8, 8, 3, groups=8),
            "it is depthwise already (groups = in_channels = 8)",
            id="depthwise",
        ),
        pytest.param(
            conv2d(8, 24, 3, groups=8),
            "it is depthwise already (groups = in_channels = 8)",
            id="multiplier",
        ),
        pytest.param(conv2d(8, 16, 3), None, id="dense"),
        pytest.param(conv2d(8, 16, 3, groups=4), None, id="grouped"),
        pytest.param(conv2d(8, 16, (1, 3)), None, id="row kernel"),
    ],
)
def test_what_cannot_be_separated_says_why(spec: ConvSpec, reason: str | None) -> None:
    assert why_not_separable(spec) == reason
    assert standard(spec) == (("standard", spec),)
    if reason:
        with pytest.raises(SpecError) as caught:
            depthwise_separable(spec)
        assert str(caught.value) == reason


@pytest.mark.parametrize(
    ("multiplier", "message"),
    [
        (0, "depth_multiplier must be at least 1, found 0"),
        (-1, "depth_multiplier must be at least 1, found -1"),
        (10**6, "out_channels must be at most 1,000,000, found 8000000"),
    ],
)
def test_an_impossible_depth_multiplier_is_refused(multiplier: int, message: str) -> None:
    with pytest.raises(SpecError) as caught:
        depthwise_separable(conv2d(8, 16, 3), multiplier)
    assert str(caught.value) == message


def test_the_variants_are_registered_with_their_formula_and_source() -> None:
    assert {"standard", "depthwise_separable"} <= set(VARIANTS)
    for name in ("standard", "depthwise_separable"):
        variant = VARIANTS[name]
        assert all((variant.summary, variant.formula, variant.source))
        assert [stage for stage, _ in variant.rewrite(conv2d(8, 16, 3), 1)]
    with pytest.raises(
        UnknownNameError,
        match=r"unknown variant 'depthwise' \(did you mean 'depthwise_separable'\?\)",
    ):
        VARIANTS["depthwise"]
