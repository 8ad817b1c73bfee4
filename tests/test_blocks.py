"""The building blocks as variants: their stages by hand, their formulas, and what torch makes of them."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from properties import dear_law, law
from torch import nn
from torch.nn import functional as F  # noqa: N812

import dscost
import dscost.nn as dscost_nn
from dscost.errors import SpecError
from dscost.layers.choosing import Chosen, chosen, parse_variants
from dscost.layers.convolution import ConvSpec, Shape, conv2d
from dscost.layers.others import ConcatSpec, JoinSpec, ShuffleSpec
from dscost.layers.variants import VARIANTS, why_not_separable
from dscost.modules.building import build_variant
from dscost.networks.network import stage_costs
from dscost.reports.figures import chain_cost

SIZE = (15, 13)

# by hand: weights of each convolution and whether it computes at the positions of the input (0) or the output (1);
# v is the parameter, a the kernel area, and x whether the variant keeps the shape, so that the input can be added
Stages = list[tuple[int, int]]
BY_HAND: Mapping[str, Callable[[int, int, int, int, int, int, int], Stages]] = {
    "standard": lambda m, n, g, kh, kw, a, v: [(n * m // g * a, 1)],
    "depthwise_separable": lambda m, n, g, kh, kw, a, v: [(m * v * a, 1), (n * m * v // g, 1)],
    "grouped": lambda m, n, g, kh, kw, a, v: [(n * m * a // (g * v), 1)],
    "bottleneck": lambda m, n, g, kh, kw, a, v: [
        (m * (n // v) // g, 0),
        ((n // v) * (n // v) // g * a, 1),
        ((n // v) * n // g, 1),
    ],
    "inverted_residual": lambda m, n, g, kh, kw, a, v: [
        *([(m * m * v // g, 0)] if v > 1 else []),
        (m * v * a, 1),
        (m * v * n // g, 1),
    ],
    "fused_inverted_residual": lambda m, n, g, kh, kw, a, v: (
        [(m * m * v // g * a, 1), (m * v * n // g, 1)] if v > 1 else [(m * n // g * a, 1)]
    ),
    "blueprint_separable": lambda m, n, g, kh, kw, a, v: [(m * n * v // g, 0), (n * v * a, 1)],
    "ghost": lambda m, n, g, kh, kw, a, v: [
        (m * (n // v) // g * a, 1),
        *([((n - n // v) * 9, 1)] if v > 1 else []),
    ],
    "shuffle": lambda m, n, g, kh, kw, a, v: [
        (m * (n // 4) // (g * v), 0),
        (n // 4 * a, 1),
        (n // 4 * n // (g * v), 1),
    ],
    "low_rank": lambda m, n, g, kh, kw, a, v: [(m * v // g * a, 1), (v * n // g, 1)],
    "dilated": lambda m, n, g, kh, kw, a, v: [
        (m * n // g * ((kh - 1) // v + 1) * ((kw - 1) // v + 1), 1)
    ],
}
WITHOUT_PARAMETER = {"standard", "spatially_separable"}
NAMES = [*BY_HAND, "spatially_separable"]


def test_every_variant_of_ours_is_tested_here() -> None:
    import dscost.layers.blocks as blocks

    ours = {
        name
        for name in VARIANTS
        if VARIANTS[name].rewrite.__module__ in (blocks.__name__, "dscost.layers.variants")
    }
    assert set(NAMES) == ours


@st.composite
def cases(draw: st.DrawFn, name: str) -> tuple[ConvSpec, int | None]:
    """Return a convolution and a parameter with which it has the variant."""
    value, groups = draw(st.integers(1, 4)), draw(st.integers(1, 3))
    extents = (
        st.integers(0, 2).map(lambda i: value * i + 1) if name == "dilated" else st.integers(1, 5)
    )
    kernel = draw(st.tuples(extents, extents))
    assume(kernel != (1, 1) and (name != "spatially_separable" or 1 not in kernel))
    padding: Any = draw(st.one_of(st.just("same"), st.tuples(st.integers(0, 2), st.integers(0, 2))))
    channels = groups * value * draw(st.integers(2, 4))
    spec = conv2d(
        channels,
        4 * groups * value * draw(st.integers(1, 3))
        if draw(st.booleans()) or name == "shuffle"
        else channels,
        kernel,
        stride=1 if padding == "same" else draw(st.tuples(st.integers(1, 2), st.integers(1, 2))),
        padding=padding,
        dilation=1 if name == "dilated" else draw(st.integers(1, 2)),
        groups=groups,
        bias=draw(st.booleans()),
    )
    assume(not spec.is_depthwise)
    if name in ("bottleneck", "ghost"):
        assume(spec.out_channels % (value * groups) == 0)
    if name == "low_rank":
        value *= groups
    return spec, None if name in WITHOUT_PARAMETER else value


def input_of(spec: ConvSpec, batch: int = 2) -> Shape:
    return (batch, spec.in_channels, *SIZE)


def stages_of(name: str, spec: ConvSpec, value: int | None = None) -> Any:
    return VARIANTS[name].stages(spec, value)


@pytest.mark.parametrize("name", BY_HAND)
def test_weights_and_macs_are_those_by_hand(name: str) -> None:
    @dear_law
    @given(cases(name))
    def check(case: tuple[ConvSpec, int | None]) -> None:
        spec, value = case
        stages = stage_costs(stages_of(name, spec, value), input_of(spec), 4)
        whole = spec.output_shape(input_of(spec))
        positions = (2 * SIZE[0] * SIZE[1], 2 * whole[2] * whole[3])
        m, n, g, (kh, kw) = spec.in_channels, spec.out_channels, spec.groups, spec.kernel_size
        expected = BY_HAND[name](m, n, g, kh, kw, kh * kw, value or 0)
        convs = [stage for stage in stages if stage.conv]
        weights = [
            stage.cost.params - stage.conv.bias * stage.conv.out_channels
            for stage in convs
            if stage.conv
        ]
        assert weights == [weight for weight, _ in expected]
        assert [stage.cost.macs for stage in convs] == [
            weight * positions[at] for weight, at in expected
        ]
        assert sum(stage.cost.params for stage in stages) == sum(weights) + n * spec.bias
        assert not any(
            stage.cost.macs or stage.cost.params for stage in stages if stage.conv is None
        )

    check()


@law
@given(cases("spatially_separable"))
def test_a_spatially_separable_pair_passes_over_rows_and_columns_in_turn(
    case: tuple[ConvSpec, None],
) -> None:
    spec, _ = case
    vertical, horizontal = stage_costs(stages_of("spatially_separable", spec), input_of(spec), 4)
    (kh, kw), m, n, g = spec.kernel_size, spec.in_channels, spec.out_channels, spec.groups
    height, width = spec.output_shape(input_of(spec))[2:]
    assert vertical.output_shape == (2, n, height, SIZE[1])
    assert vertical.cost.macs == 2 * height * SIZE[1] * n * m // g * kh
    assert horizontal.cost.macs == 2 * height * width * n * n // g * kw
    assert (
        vertical.cost.params + horizontal.cost.params
        == n * m // g * kh + n * n // g * kw + n * spec.bias
    )


@pytest.mark.parametrize("name", NAMES)
def test_a_variant_makes_what_the_convolution_makes_and_its_formula_holds_for_weights(
    name: str,
) -> None:
    @dear_law
    @given(cases(name))
    def check(case: tuple[ConvSpec, int | None]) -> None:
        spec, value = case
        unbiased = replace(spec, bias=False)
        stages = stage_costs(stages_of(name, unbiased, value), input_of(spec), 4)
        assert stages[-1].output_shape == spec.output_shape(input_of(spec))
        ratio = sum(stage.cost.params for stage in stages) / unbiased.params
        assert VARIANTS[name].ratio_for(spec, value) == pytest.approx(ratio)

    check()


@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel lengths:UserWarning")
@pytest.mark.parametrize("name", NAMES)
def test_the_built_module_makes_the_shape_and_traces_to_the_counted_cost(name: str) -> None:
    @dear_law
    @given(cases(name))
    def check(case: tuple[ConvSpec, int | None]) -> None:
        spec, value = case
        parts, shape = stages_of(name, spec, value), input_of(spec)
        with torch.device("meta"):
            module = build_variant(parts, shape)
            made = module(torch.empty(shape))
        assert tuple(made.shape) == spec.output_shape(shape)
        report = dscost.analyze(module, input=shape)
        assert report.totals.as_is == chain_cost(
            [stage.cost for stage in stage_costs(parts, shape, 4)]
        )
        assert report.coverage.unknown == ()

    check()


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("mode", ["reflect", "replicate", "circular"])
def test_other_padding_modes_go_with_the_kernel(name: str, mode: str) -> None:
    spec = conv2d(16, 16, 3, padding=1, padding_mode=mode, bias=True)
    variant = chosen(parse_variants([name])[0], spec)
    assert isinstance(variant, Chosen)
    modes = [
        (part[1].kernel_area > 1, part[1].padding_mode)
        for part in variant.parts
        if isinstance(part[1], ConvSpec)
    ]
    cheap = 1 if name == "ghost" else 0  # its second kernel sees the results of the first
    assert modes.count((True, mode)) == sum(wide for wide, _ in modes) - cheap
    assert build_variant(variant.parts, (2, 16, 9, 9))(torch.randn(2, 16, 9, 9)).shape == (
        2,
        16,
        9,
        9,
    )


@pytest.mark.parametrize("dims", [1, 3])
@pytest.mark.parametrize("name", [name for name in NAMES if name != "spatially_separable"])
def test_other_dimensions_than_two_have_the_variants_too(name: str, dims: int) -> None:
    ones = (1,) * dims
    spec = ConvSpec(16, 16, (3,) * dims, ones, ones, ones, bias=True)
    variant = chosen(parse_variants([name])[0], spec)
    assert isinstance(variant, Chosen)
    shape = (2, 16, *(5,) * dims)
    assert build_variant(variant.parts, shape)(torch.randn(shape)).shape == shape
    params = sum(part[1].params for part in variant.parts)
    assert variant.ratio == pytest.approx((params - 16) / (spec.params - 16))


# -- what the blocks compute


def weights_of(module: nn.Module) -> Mapping[str, torch.Tensor]:
    return module.state_dict()


def test_ghost_puts_the_cheap_features_behind_those_they_are_made_of() -> None:
    spec, x = conv2d(4, 6, 3, padding=1, bias=True), torch.randn(2, 4, 5, 5)
    module = build_variant(stages_of("ghost", spec, 3), x.shape)
    w = weights_of(module)
    primary = F.conv2d(x, w["primary.weight"], w["primary.bias"], padding=1)
    cheap = F.conv2d(primary, w["cheap.weight"], w["cheap.bias"], padding=1, groups=2)
    torch.testing.assert_close(module(x), torch.cat([primary, cheap], 1))


def test_shuffle_deals_the_channels_of_each_group_to_all_groups() -> None:
    module = build_variant([("shuffle", ShuffleSpec(2))], (1, 6, 1, 1))
    x = torch.arange(6.0).reshape(1, 6, 1, 1)
    assert module(x).flatten().tolist() == [0, 3, 1, 4, 2, 5]


@pytest.mark.parametrize("name", ["inverted_residual", "fused_inverted_residual"])
@pytest.mark.parametrize("value", [1, 2])
def test_the_input_is_added_where_the_shapes_agree(name: str, value: int) -> None:
    x = torch.randn(2, 4, 5, 5)
    parts = stages_of(name, conv2d(4, 4, 3, padding=1, bias=True), value)
    assert parts[-1] == ("add", JoinSpec("add"), (parts[-2][0], "input"))
    module = build_variant(parts, x.shape)
    body = x
    for stage, *_ in parts[:-1]:
        body = module.get_submodule(stage)(body)
    torch.testing.assert_close(module(x), x + body)


@pytest.mark.parametrize(
    "spec",
    [
        pytest.param(conv2d(4, 8, 3, padding=1), id="more channels"),
        pytest.param(conv2d(4, 4, 3, padding=1, stride=2), id="stride"),
        pytest.param(conv2d(4, 4, 3), id="no padding"),
        pytest.param(conv2d(4, 4, 3, padding=1, dilation=2), id="too little padding"),
    ],
)
@pytest.mark.parametrize("name", ["inverted_residual", "fused_inverted_residual"])
def test_nothing_is_added_where_they_do_not(name: str, spec: ConvSpec) -> None:
    assert [part for part in stages_of(name, spec, 2) if not isinstance(part[1], ConvSpec)] == []


def test_a_dilated_kernel_sees_the_same_extent() -> None:
    ((_, found),) = stages_of("dilated", conv2d(4, 8, (5, 1), padding=(2, 0), dilation=(3, 1)), 2)
    assert found == conv2d(4, 8, (3, 1), padding=(2, 0), dilation=(6, 1))
    extent = [d * (k - 1) + 1 for d, k in zip(found.dilation, found.kernel_size, strict=True)]
    assert extent == [13, 1]


def test_the_stages_have_names() -> None:
    spec = conv2d(32, 32, 3, padding=1)
    names = {
        name: [part[0] for part in chosen(parse_variants([name])[0], spec).parts] for name in NAMES
    }  # type: ignore[union-attr]
    assert names["bottleneck"] == ["reduce", "spatial", "expand"]
    assert names["inverted_residual"] == ["expand", "depthwise", "project", "add"]
    assert names["fused_inverted_residual"] == ["expand", "project", "add"]
    assert names["spatially_separable"] == ["vertical", "horizontal"]
    assert names["blueprint_separable"] == ["pointwise", "depthwise"]
    assert names["ghost"] == ["primary", "cheap", "concat"]
    assert names["shuffle"] == ["reduce", "shuffle", "depthwise", "expand"]
    assert names["low_rank"] == ["filters", "mixture"]


def test_channels_that_stay_in_their_places_are_not_shuffled() -> None:
    few, one_group = (
        stages_of("shuffle", conv2d(n, n, 3, padding=1), g) for n, g in ((16, 4), (64, 1))
    )
    assert (
        [part[0] for part in few]
        == [part[0] for part in one_group]
        == ["reduce", "depthwise", "expand"]
    )


# -- published numbers


def test_the_bottleneck_of_resnet_50_is_the_variant_of_the_paper() -> None:
    """He et al., figure 5: 256-d through 64 channels: 256·64 + 64·64·9 + 64·256 weights."""
    parts = stages_of("bottleneck", conv2d(256, 256, 3, padding=1), 4)
    assert sum(part[1].params for part in parts) == 256 * 64 + 64 * 64 * 9 + 64 * 256 == 69_632


def test_a_shufflenet_unit_costs_what_the_paper_says() -> None:
    """Zhang et al., section 3.2: hw(2cm/g + 9m) for c channels, m bottleneck channels, g groups."""
    c, m, g, h, w = 240, 60, 3, 28, 28
    stages = stage_costs(stages_of("shuffle", conv2d(c, c, 3, padding=1), g), (1, c, h, w), 4)
    assert sum(stage.cost.macs for stage in stages) == h * w * (2 * c * m // g + 9 * m)


def test_a_mobilenet_v2_block_costs_what_the_paper_says() -> None:
    """Sandler et al., section 4: h·w·d'·t(d' + k² + d'') multiply-adds."""
    d, t, k, h, w = 64, 6, 3, 14, 14
    stages = stage_costs(
        stages_of("inverted_residual", conv2d(d, d, k, padding=1), t), (1, d, h, w), 4
    )
    assert sum(stage.cost.macs for stage in stages) == h * w * d * t * (d + k * k + d)


def test_two_asymmetric_convolutions_save_a_third_of_a_3x3() -> None:
    """Szegedy et al., section 3.2: 33 % cheaper for the same number of output filters."""
    assert VARIANTS["spatially_separable"].ratio_for(conv2d(64, 64, 3), None) == pytest.approx(
        2 / 3
    )


# -- what does not exist

DEPTHWISE = "it is depthwise already (groups = in_channels = 8)"
POINTWISE = "a 1×1 kernel has no spatial part to separate"


@pytest.mark.parametrize(
    ("name", "spec", "reason"),
    [
        *((name, conv2d(8, 8, 3, groups=8), DEPTHWISE)
          for name in ("grouped", "bottleneck", "inverted_residual", "fused_inverted_residual", "blueprint_separable",
                       "ghost", "shuffle", "low_rank", "depthwise_separable")),
        *((name, conv2d(8, 8, 1), POINTWISE)
          for name in ("bottleneck", "inverted_residual", "fused_inverted_residual", "blueprint_separable", "shuffle")),
        ("spatially_separable", conv2d(8, 8, (3, 1)), "a 3×1 kernel has no height and width to take apart"),
        ("spatially_separable", ConvSpec(8, 8, (3,), (1,), (0,), (1,)), "a 3 kernel has no height and width to take"),
        ("dilated", conv2d(8, 8, 1), "a 1×1 kernel sees one position only"),
        ("dilated", conv2d(8, 8, 4), "d=2 does not divide K - 1 = 3 of the 4×4 kernel (another d: dilated:VALUE)"),
        ("ghost", conv2d(8, 9, 3), "s=2 does not divide out_channels=9 (another s: ghost:VALUE)"),
        ("bottleneck", conv2d(8, 9, 3), "r=4 does not divide out_channels=9 (another r: bottleneck:VALUE)"),
        ("grouped", conv2d(6, 8, 3), "groups=4 does not divide in_channels=6 (another g: grouped:VALUE)"),
        ("shuffle", conv2d(8, 9, 3), "4 does not divide out_channels=9 (another g: shuffle:VALUE)"),
    ],
)  # fmt: skip
def test_a_variant_that_a_convolution_does_not_have_has_a_reason(
    name: str, spec: ConvSpec, reason: str
) -> None:
    (asked,) = parse_variants([name])
    found = chosen(asked, spec)
    assert isinstance(found, str)
    assert found.startswith(reason)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "grouped:3",
            "variant grouped:3: groups=3 does not divide in_channels=16; groups=3 does not divide out_chan",
        ),
        ("ghost:5", "variant ghost:5: s=5 does not divide out_channels=16"),
        ("low_rank:17", "variant low_rank:17: r=17 is above out_channels=16, the largest rank"),
        ("dilated:3", "variant dilated:3: d=3 does not divide K - 1 = 2 of the 3×3 kernel"),
        ("shuffle:0", "variant shuffle:0: g must be at least 1, found 0"),
        (
            "inverted_residual:99999",
            "variant inverted_residual:99999: out_channels must be at most 1,000,000, found",
        ),
    ],
)
def test_an_impossible_value_is_refused(text: str, message: str) -> None:
    with pytest.raises(SpecError) as caught:
        chosen(parse_variants([text])[0], conv2d(16, 16, 3))
    assert str(caught.value).startswith(message)


@pytest.mark.parametrize(
    "text", ["grouped:16", "ghost:16", "low_rank:16", "dilated:2", "shuffle:4"]
)
def test_the_largest_value_that_fits_is_allowed(text: str) -> None:
    assert isinstance(chosen(parse_variants([text])[0], conv2d(16, 16, 3)), Chosen)


def test_kernels_of_one_position_in_a_direction_have_neither_stride_nor_spacing_there() -> None:
    spec = conv2d(4, 8, (3, 5), stride=(2, 3), padding=(2, 4), dilation=(2, 3))
    variant = chosen(parse_variants(["spatially_separable"])[0], spec)
    assert isinstance(variant, Chosen)
    vertical, horizontal = (part[1] for part in variant.parts)
    assert isinstance(vertical, ConvSpec)
    assert isinstance(horizontal, ConvSpec)
    assert (vertical.kernel_size, vertical.stride) == ((3, 1), (2, 1))
    assert (vertical.padding, vertical.dilation) == ((2, 0), (2, 1))
    assert (horizontal.kernel_size, horizontal.stride) == ((1, 5), (1, 3))
    assert (horizontal.padding, horizontal.dilation) == ((0, 4), (1, 3))


def test_a_quarter_of_the_filters_is_the_default_rank() -> None:
    ranks = {n: VARIANTS["low_rank"].value_for(conv2d(6, n, 3, groups=3)) for n in (3, 12, 27, 48)}
    assert ranks == {3: 3, 12: 3, 27: 6, 48: 12}


def test_a_concatenation_needs_maps_of_one_size() -> None:
    assert ConcatSpec().output_shape((1, 2, 5, 5), (1, 3, 5, 5), (1, 1, 5, 5)) == (1, 6, 5, 5)
    with pytest.raises(SpecError, match=r"^cannot concatenate 1×2×5×5 and 1×2×5×4$"):
        ConcatSpec().output_shape((1, 2, 5, 5), (1, 2, 5, 4))


def test_a_shuffle_needs_groups_that_divide() -> None:
    assert ShuffleSpec(3).output_shape((1, 6, 5, 5)) == (1, 6, 5, 5)
    with pytest.raises(SpecError, match=r"^groups=4 does not divide the channels of 1×6×5×5$"):
        ShuffleSpec(4).output_shape((1, 6, 5, 5))
    with pytest.raises(SpecError, match="groups must be at least 1, found 0"):
        ShuffleSpec(0)


def test_only_what_has_a_window_and_mixes_channels_is_made_separable() -> None:
    assert why_not_separable(conv2d(8, 8, 3)) is None


@pytest.mark.parametrize(
    ("name", "module"),
    [
        ("depthwise_separable", lambda: dscost_nn.DepthwiseSeparableConv2d(32, 32, 3, padding=1)),
        ("ghost", lambda: dscost_nn.GhostConv2d(32, 32, 3, padding=1)),
        ("blueprint_separable", lambda: dscost_nn.BlueprintSeparableConv2d(32, 32, 3, padding=1)),
        (
            "depthwise_separable:3",
            lambda: dscost_nn.DepthwiseSeparableConv2d(32, 32, 3, padding=1, depth_multiplier=3),
        ),
        (
            "blueprint_separable:3",
            lambda: dscost_nn.BlueprintSeparableConv2d(32, 32, 3, padding=1, depth_multiplier=3),
        ),
    ],
)
def test_the_layers_of_dscost_nn_cost_what_the_variants_do(
    name: str, module: Callable[[], nn.Module]
) -> None:
    spec = conv2d(32, 32, 3, padding=1, bias=True)
    variant = chosen(parse_variants([name])[0], spec)
    assert isinstance(variant, Chosen)
    expected = chain_cost([stage.cost for stage in stage_costs(variant.parts, (1, 32, 14, 14), 4)])
    assert dscost.analyze(module(), input=(1, 32, 14, 14)).totals.as_is == expected
