"""The modules of dscost.nn: what the papers' formulas say by hand is what the tracer finds, and what they compute."""

import copy
from collections.abc import Callable
from functools import partial
from math import ceil, prod
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

import dscost
from dscost.errors import InputError, SpecError
from dscost.nn import (
    BlueprintSeparableConv1d,
    BlueprintSeparableConv2d,
    BlueprintSeparableConv3d,
    DepthwiseSeparableConv1d,
    DepthwiseSeparableConv2d,
    DepthwiseSeparableConv3d,
    EfficientChannelAttention,
    FusedInvertedResidual,
    GhostConv2d,
    InvertedResidual,
    SqueezeExcite,
)
from dscost.reports.records import Totals

SIZE = 12
AREA = SIZE * SIZE


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.manual_seed(0)


def cost_of(module: nn.Module, channels: int, *extents: int, batch: int = 1) -> tuple[int, int]:
    """Return params and MACs as traced."""
    extents = extents or (SIZE, SIZE)
    report = dscost.analyze(module, input=(batch, channels, *extents))
    assert report.coverage.unknown == ()
    return report.totals.as_is.params, report.totals.as_is.macs


# -- costs, by the formulas of the papers

channels = st.integers(1, 24)
kernels = st.sampled_from([1, 3, 5])
strides = st.integers(1, 3)


def positions(size: int, kernel: int, stride: int) -> int:
    """Return the positions of a window padded by half its kernel, per dimension."""
    return (size + 2 * (kernel // 2) - kernel) // stride + 1


@settings(max_examples=25, deadline=None)
@given(
    m=channels,
    n=channels,
    k=kernels,
    s=strides,
    t=st.integers(1, 3),
    g=st.integers(1, 3),
    bias=st.booleans(),
)
def test_a_depthwise_separable_convolution_costs_m_k2_plus_m_n_times_its_multiplier(
    m: int, n: int, k: int, s: int, t: int, g: int, bias: bool
) -> None:
    module = DepthwiseSeparableConv2d(m * g, n * g, k, s, k // 2, 1, g, bias, depth_multiplier=t)
    weights = t * m * g * k * k + n * g * t * m
    assert cost_of(module, m * g, batch=2) == (
        weights + n * g * bias,
        2 * positions(SIZE, k, s) ** 2 * weights,
    )


@pytest.mark.parametrize(
    ("module", "extents"),
    [
        (DepthwiseSeparableConv1d(8, 20, 5, padding=2, groups=2, bias=False), (9,)),
        (DepthwiseSeparableConv2d(8, 20, 5, padding=2, groups=2, bias=False), (9, 7)),
        (DepthwiseSeparableConv3d(8, 20, 5, padding=2, groups=2, bias=False), (9, 7, 6)),
    ],
    ids=["1-D", "2-D", "3-D"],
)
def test_it_costs_the_same_per_position_over_any_number_of_dimensions(
    module: nn.Module, extents: tuple[int, ...]
) -> None:
    weights = 8 * 5 ** len(extents) + 20 * 8 // 2
    assert cost_of(module, 8, *extents) == (weights, prod(extents) * weights)


def test_the_saving_is_the_one_of_mobilenets_equation_five() -> None:
    # 256 → 256, 3×3 at 14×14: 589,824 and 115,605,504 as a standard convolution
    module = DepthwiseSeparableConv2d(256, 256, 3, padding=1, bias=False)
    assert cost_of(module, 256, 14, 14) == (67_840, 13_296_640)


@settings(max_examples=25, deadline=None)
@given(m=channels, n=channels, k=kernels, s=strides, bias=st.booleans())
def test_a_blueprint_convolution_has_its_pointwise_stage_at_the_size_of_the_input(
    m: int, n: int, k: int, s: int, bias: bool
) -> None:
    module = BlueprintSeparableConv2d(m, n, k, s, k // 2, bias=bias)
    macs = AREA * m * n + positions(SIZE, k, s) ** 2 * n * k * k
    assert cost_of(module, m) == (m * n + n * k * k + n * bias, macs)


@settings(max_examples=25, deadline=None)
@given(
    m=st.integers(1, 5),
    n=st.integers(1, 5),
    groups=st.integers(1, 3),
    t=st.integers(1, 4),
    s=strides,
    dims=st.integers(1, 3),
)
def test_a_blueprint_convolution_has_t_blueprints_for_each_output(
    m: int, n: int, groups: int, t: int, s: int, dims: int
) -> None:
    """Weights N·T·M/G at every position of the input, and N·T·K^d at every position of the output."""
    make = (BlueprintSeparableConv1d, BlueprintSeparableConv2d, BlueprintSeparableConv3d)[dims - 1]
    m, n = m * groups, n * groups
    module = make(m, n, 3, s, 1, groups=groups, depth_multiplier=t, bias=False)
    mixing, blueprints = n * t * m // groups, n * t * 3**dims
    macs = 6**dims * mixing + positions(6, 3, s) ** dims * blueprints
    assert cost_of(module, m, *[6] * dims) == (mixing + blueprints, macs)


@pytest.mark.parametrize(
    ("m", "bottleneck", "p"),
    [(64, 0.25, 16), (10, 0.25, 4), (3, 0.25, 3), (18, 0.25, 5), (8, 1, 8)],
    ids=["a quarter", "at least four", "at most all", "rounded up", "all"],
)
def test_the_bottleneck_of_bsconv_s_splits_the_pointwise_stage(
    m: int, bottleneck: float, p: int
) -> None:
    module = BlueprintSeparableConv2d(m, 20, 3, padding=1, bias=False, bottleneck=bottleneck)
    weights = m * p + p * 20 + 20 * 9
    assert cost_of(module, m) == (weights, AREA * weights)


@settings(max_examples=25, deadline=None)
@given(m=channels, n=channels, k=kernels, s=strides, ratio=st.integers(2, 4), d=kernels)
def test_a_ghost_convolution_computes_an_sth_of_its_channels_and_makes_the_rest_cheaply(
    m: int, n: int, k: int, s: int, ratio: int, d: int
) -> None:
    module = GhostConv2d(m, n, k, s, k // 2, bias=False, ratio=ratio, cheap_kernel_size=d)
    few = ceil(n / ratio)
    weights = few * m * k * k + few * (ratio - 1) * d * d
    assert cost_of(module, m) == (weights, positions(SIZE, k, s) ** 2 * weights)
    assert module(torch.zeros(2, m, SIZE, SIZE)).shape[1] == n


@pytest.mark.parametrize(
    ("channels", "kernel"),
    [(1, 1), (8, 3), (16, 3), (32, 3), (64, 3), (128, 5), (256, 5), (512, 5), (2048, 7)],
)
def test_efficient_channel_attention_adds_k_weights_and_nothing_else(
    channels: int, kernel: int
) -> None:
    # k: the odd number nearest to (log2(C) + 1) / 2; 4 for 128 channels is as near to 3, the authors' code takes 5
    module = EfficientChannelAttention(channels)
    assert {name: tuple(p.shape) for name, p in module.named_parameters()} == {
        "conv.weight": (1, 1, kernel)
    }
    assert not list(module.buffers())
    assert cost_of(module, channels, batch=3) == (kernel, 3 * kernel * channels)


def test_a_network_with_efficient_channel_attention_has_k_weights_more() -> None:
    plain, attending = (
        InvertedResidual(16, 24),
        InvertedResidual(16, 24, attention=EfficientChannelAttention),
    )
    (params, macs), (more_params, more_macs) = cost_of(plain, 16), cost_of(attending, 16)
    assert (more_params - params, more_macs - macs) == (3, 3 * 96)


@settings(max_examples=15, deadline=None)
@given(c=channels, squeezed=st.integers(1, 8), batch=st.integers(1, 3))
def test_squeeze_and_excite_costs_two_matrices_whatever_the_map(
    c: int, squeezed: int, batch: int
) -> None:
    assert cost_of(SqueezeExcite(c, squeezed), c, batch=batch) == (
        2 * c * squeezed + squeezed + c,
        batch * 2 * c * squeezed,
    )


@pytest.mark.parametrize(("channels", "squeezed"), [(256, 16), (20, 1), (8, 1)])
def test_squeeze_and_excite_squeezes_to_a_sixteenth_as_in_the_paper(
    channels: int, squeezed: int
) -> None:
    assert SqueezeExcite(channels).squeeze_channels == squeezed


@settings(max_examples=25, deadline=None)
@given(m=channels, n=channels, k=kernels, s=strides, t=st.integers(1, 6))
def test_an_inverted_residual_costs_its_three_convolutions(
    m: int, n: int, k: int, s: int, t: int
) -> None:
    e, out = m * t, positions(SIZE, k, s) ** 2
    expand = m * e if t > 1 else 0
    norms = 2 * (e * (t > 1) + e + n)
    block = InvertedResidual(m, n, k, s, expansion=t)
    assert cost_of(block, m) == (
        expand + e * k * k + e * n + norms,
        AREA * expand + out * (e * k * k + e * n),
    )
    assert ("expand" in dict(block.named_children())) is (t > 1)


@settings(max_examples=25, deadline=None)
@given(m=channels, n=channels, k=kernels, s=strides, t=st.integers(1, 6))
def test_a_fused_inverted_residual_costs_a_dense_convolution_and_a_projection(
    m: int, n: int, k: int, s: int, t: int
) -> None:
    e, out = m * t, positions(SIZE, k, s) ** 2
    weights, norms = (m * e * k * k + e * n, 2 * (e + n)) if t > 1 else (m * n * k * k, 2 * n)
    assert cost_of(FusedInvertedResidual(m, n, k, s, expansion=t), m) == (
        weights + norms,
        out * weights,
    )


# -- whole networks made of the blocks


def round8(value: float) -> int:
    """Return the multiple of 8 that MobileNets round to."""
    rounded = max(8, int(value + 4) // 8 * 8)
    return rounded + 8 if rounded < 0.9 * value else rounded


def conv_norm(
    m: int, n: int, kernel: int, stride: int, activation: type[nn.Module]
) -> list[nn.Module]:
    conv = nn.Conv2d(m, n, kernel, stride, kernel // 2, bias=False)
    return [conv, nn.BatchNorm2d(n), activation()]


def mobilenet_v2() -> nn.Module:
    """Return table 2 of MobileNetV2 made of inverted residuals."""
    layers, m = conv_norm(3, 32, 3, 2, nn.ReLU6), 32
    for t, c, n, s in (
        *((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2)),
        *((6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1)),
    ):
        for stride in (s, *[1] * (n - 1)):
            layers.append(InvertedResidual(m, c, stride=stride, expansion=t))
            m = c
    layers += conv_norm(320, 1280, 1, 1, nn.ReLU6)
    return nn.Sequential(
        *layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(0.2), nn.Linear(1280, 1000)
    )


def mobilenet_v3_large() -> nn.Module:
    """Return table 1 of MobileNetV3 made of inverted residuals."""
    layers, m = conv_norm(3, 16, 3, 2, nn.Hardswish), 16
    for kernel, hidden, c, attends, activation, stride in (
        (3, 16, 16, False, "relu", 1),
        (3, 64, 24, False, "relu", 2),
        (3, 72, 24, False, "relu", 1),
        (5, 72, 40, True, "relu", 2),
        *[(5, 120, 40, True, "relu", 1)] * 2,
        (3, 240, 80, False, "hard_swish", 2),
        (3, 200, 80, False, "hard_swish", 1),
        *[(3, 184, 80, False, "hard_swish", 1)] * 2,
        (3, 480, 112, True, "hard_swish", 1),
        (3, 672, 112, True, "hard_swish", 1),
        (5, 672, 160, True, "hard_swish", 2),
        *[(5, 960, 160, True, "hard_swish", 1)] * 2,
    ):
        excite = partial(SqueezeExcite, squeeze_channels=round8(hidden // 4), gate="hard_sigmoid")
        block = InvertedResidual(
            m,
            c,
            kernel,
            stride,
            hidden_channels=hidden,
            attention=excite if attends else None,
            activation=activation,
        )
        layers.append(block)
        m = c
    head = [
        nn.Flatten(),
        nn.Linear(960, 1280),
        nn.Hardswish(),
        nn.Dropout(0.2),
        nn.Linear(1280, 1000),
    ]
    return nn.Sequential(
        *layers, *conv_norm(160, 960, 1, 1, nn.Hardswish), nn.AdaptiveAvgPool2d(1), *head
    )


def efficientnet_v2_s() -> nn.Module:
    """Return table 4 of EfficientNetV2 made of fused and unfused inverted residuals."""
    layers, m = conv_norm(3, 24, 3, 2, nn.SiLU), 24
    for fused, t, c, n, s in (
        *((True, 1, 24, 2, 1), (True, 4, 48, 4, 2), (True, 4, 64, 4, 2)),
        *((False, 4, 128, 6, 2), (False, 6, 160, 9, 1), (False, 6, 256, 15, 2)),
    ):
        for stride in (s, *[1] * (n - 1)):
            excite = partial(SqueezeExcite, squeeze_channels=m // 4, activation="silu")
            block: nn.Module = (
                FusedInvertedResidual(m, c, stride=stride, expansion=t)
                if fused
                else InvertedResidual(
                    m, c, stride=stride, expansion=t, attention=excite, activation="silu"
                )
            )
            layers.append(block)
            m = c
    layers += conv_norm(256, 1280, 1, 1, nn.SiLU)
    return nn.Sequential(
        *layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(0.2), nn.Linear(1280, 1000)
    )


def totals_of(make: Callable[[], nn.Module], size: int = 224) -> Totals:
    with torch.device("meta"):
        module = make()
    return dscost.analyze(module, input=(1, 3, size, size)).totals


def test_inverted_residuals_make_mobilenet_v2() -> None:
    as_is = totals_of(mobilenet_v2).as_is
    assert (as_is.params, as_is.macs) == (3_504_872, 300_774_272)


def test_inverted_residuals_with_squeeze_and_excite_make_mobilenet_v3_large() -> None:
    as_is = totals_of(mobilenet_v3_large).as_is
    # params and GMACs as torchvision's weights state them
    assert (as_is.params, f"{as_is.macs / 1e9:.3f}") == (5_483_032, "0.217")


def test_fused_inverted_residuals_make_efficientnet_v2_s() -> None:
    as_is = totals_of(efficientnet_v2_s, 384).as_is
    # params and GMACs as torchvision's weights state them, at 384
    assert (as_is.params, f"{as_is.macs / 1e9:.3f}") == (21_458_488, "8.366")


@pytest.mark.parametrize("make", [mobilenet_v2, mobilenet_v3_large], ids=lambda make: make.__name__)
def test_the_blocks_cost_what_the_builtin_costs_as_is_standard_and_separable(
    make: Callable[[], nn.Module],
) -> None:
    assert totals_of(make) == dscost.analyze(make.__name__).totals


# -- what they compute


@pytest.mark.parametrize("groups", [1, 2, 4], ids="{} groups".format)
@pytest.mark.parametrize("t", [1, 3], ids="multiplier {}".format)
def test_a_depthwise_separable_convolution_is_the_standard_one_of_low_rank_kernels(
    t: int, groups: int
) -> None:
    module = DepthwiseSeparableConv2d(
        4, 8, (3, 5), (2, 1), (1, 2), 2, groups, depth_multiplier=t, dtype=torch.float64
    )
    # depthwise output m·T + t belongs to input channel m, so W[n, m] = Σ_t P[n, m·T + t] · D[m·T + t]
    filters = module.depthwise.weight.reshape(groups, 4 // groups, t, 3, 5)
    mixing = module.pointwise.weight.reshape(groups, 8 // groups, 4 // groups, t)
    kernel = torch.einsum("gnmt,gmtij->gnmij", mixing, filters).reshape(8, 4 // groups, 3, 5)
    x = torch.randn(2, 4, 11, 12, dtype=torch.float64)
    expected = F.conv2d(x, kernel, module.pointwise.bias, (2, 1), (1, 2), 2, groups)
    torch.testing.assert_close(module(x), expected)


@pytest.mark.parametrize("mode", ["zeros", "reflect", "replicate", "circular"])
def test_the_depthwise_stage_takes_the_padding_mode(mode: Any) -> None:
    module = DepthwiseSeparableConv2d(4, 6, 3, padding=2, padding_mode=mode)
    assert (module.depthwise.padding_mode, module.pointwise.padding_mode) == (mode, "zeros")
    x = torch.randn(1, 4, 7, 7)
    padded = F.pad(x, (2, 2, 2, 2), mode="constant" if mode == "zeros" else mode)
    inside = F.conv2d(padded, module.depthwise.weight, groups=4)
    torch.testing.assert_close(
        module(x), F.conv2d(inside, module.pointwise.weight, module.pointwise.bias)
    )


def test_a_blueprint_convolution_is_the_standard_one_of_scaled_blueprints() -> None:
    module = BlueprintSeparableConv2d(4, 6, 3, 2, 1, dtype=torch.float64)
    (mixing,) = module.pointwise.parameters()
    # W[n, m] = w[n, m] · B[n], equation 3 of the paper
    kernel = mixing * module.depthwise.weight
    x = torch.randn(2, 4, 9, 9, dtype=torch.float64)
    torch.testing.assert_close(module(x), F.conv2d(x, kernel, module.depthwise.bias, 2, 1))


@pytest.mark.parametrize("groups", [1, 2, 4], ids="{} groups".format)
@pytest.mark.parametrize("t", [1, 3], ids="multiplier {}".format)
@pytest.mark.parametrize("mode", ["zeros", "reflect", "replicate", "circular"])
def test_a_blueprint_convolution_is_the_standard_one_of_low_rank_kernels(
    t: int, groups: int, mode: Any
) -> None:
    module = BlueprintSeparableConv2d(
        4, 8, (3, 5), (2, 1), (1, 2), 2, True, mode,
        groups=groups, depth_multiplier=t, dtype=torch.float64,
    )  # fmt: skip
    # what the 1×1 makes at n·T + t is of output channel n, so W[n, m] = Σ_t P[n·T + t, m] · D[n, t]
    mixing = module.pointwise.conv.weight.reshape(8, t, 4 // groups)
    kernel = torch.einsum("ntm,ntij->nmij", mixing, module.depthwise.weight)
    torch.testing.assert_close(module.weight, kernel)
    x = torch.randn(2, 4, 11, 12, dtype=torch.float64)
    padded = F.pad(x, (2, 2, 1, 1), mode="constant" if mode == "zeros" else mode)
    expected = F.conv2d(padded, kernel, module.bias, (2, 1), 0, 2, groups)
    torch.testing.assert_close(module(x), expected)
    torch.testing.assert_close(module(input=x[0]), expected[0])


@pytest.mark.parametrize(
    ("make", "shape"),
    [
        (partial(BlueprintSeparableConv1d, 4, 6, 3, 2, 1, groups=2, depth_multiplier=2), (4, 9)),
        (partial(BlueprintSeparableConv2d, 8, 6, 3, bottleneck=0.5, bias=False), (8, 9, 8)),
        (partial(BlueprintSeparableConv3d, 4, 6, (1, 3, 2), depth_multiplier=3), (4, 3, 5, 6)),
        (partial(DepthwiseSeparableConv2d, 4, 6, 3, 2, 1, groups=2, depth_multiplier=2), (4, 9, 8)),
    ],
    ids=["1-D", "bottleneck", "3-D", "depthwise-first"],
)
def test_the_weight_of_a_module_is_that_of_the_convolution_it_stands_for(
    make: Callable[..., Any], shape: tuple[int, ...]
) -> None:
    module = make(dtype=torch.float64)
    x = torch.randn(shape, dtype=torch.float64)
    convolve = (F.conv1d, F.conv2d, F.conv3d)[len(shape) - 2]
    expected = convolve(
        x, module.weight, module.bias, module.stride, module.padding, groups=module.groups
    )
    torch.testing.assert_close(module(x), expected)


def test_the_stages_stand_in_the_order_in_which_they_run() -> None:
    first, last = DepthwiseSeparableConv2d(4, 6, 3).stages
    assert (first.kernel_size, last.kernel_size) == ((3, 3), (1, 1))
    first, last = BlueprintSeparableConv2d(4, 6, 3, norm="batch", bottleneck=0.5).stages
    assert (first.kernel_size, last.kernel_size) == ((1, 1), (3, 3))
    assert (first.in_channels, first.out_channels) == (4, 6)


def test_the_channels_of_a_ghost_convolution_are_the_primary_ones_then_their_ghosts_then_cut_off() -> (
    None
):
    module = GhostConv2d(5, 7, 3, padding=1, ratio=3, norm="batch", activation="relu").eval()
    x = torch.randn(2, 5, 6, 6)
    few = F.relu(F.batch_norm(module.primary.conv(x), torch.zeros(3), torch.ones(3)))
    ghosts = F.relu(F.batch_norm(module.cheap.conv(few), torch.zeros(6), torch.ones(6)))
    assert (few.shape[1], ghosts.shape[1]) == (3, 6)
    torch.testing.assert_close(module(x), torch.cat([few, ghosts], 1)[:, :7])


def test_efficient_channel_attention_looks_at_neighbouring_channels() -> None:
    module = EfficientChannelAttention(6, 3)
    with torch.no_grad():
        module.conv.weight[:] = torch.tensor([1.0, 2.0, 4.0])
    means = torch.tensor([0.1, -0.2, 0.3, 0.4, -0.5, 0.6])
    x = torch.randn(1, 6, 4, 5)
    x = x - x.mean((2, 3), keepdim=True) + means.reshape(1, 6, 1, 1)
    left, right = F.pad(means, (1, 0))[:-1], F.pad(means, (0, 1))[1:]
    gate = torch.sigmoid(left + 2 * means + 4 * right)
    torch.testing.assert_close(module(x), x * gate.reshape(1, 6, 1, 1))


@pytest.mark.parametrize(
    ("gate", "function"),
    [("sigmoid", torch.sigmoid), ("hard_sigmoid", F.hardsigmoid)],
    ids=["sigmoid", "hard"],
)
def test_squeeze_and_excite_scales_each_channel_by_its_gate(
    gate: str, function: Callable[[Tensor], Tensor]
) -> None:
    module = SqueezeExcite(8, 3, activation="silu", gate=gate)
    x = torch.randn(2, 8, 5, 5)
    hidden = F.silu(F.linear(x.mean((2, 3)), module.reduce.weight.flatten(1), module.reduce.bias))
    expected = function(F.linear(hidden, module.expand.weight.flatten(1), module.expand.bias))
    torch.testing.assert_close(module(x), x * expected[:, :, None, None])


@pytest.mark.parametrize("block", [InvertedResidual, FusedInvertedResidual])
@pytest.mark.parametrize(
    ("m", "n", "stride", "skips"),
    [(8, 8, 1, True), (8, 8, 2, False), (8, 12, 1, False), (8, 8, (1, 2), False)],
    ids=["same shape", "strided", "other channels", "strided one way"],
)
@pytest.mark.parametrize("expansion", [1, 4])
def test_the_input_is_added_only_where_the_shape_stays(
    block: type[Any], m: int, n: int, stride: Any, skips: bool, expansion: float
) -> None:
    module = block(m, n, stride=stride, expansion=expansion, norm=None)
    for parameter in module.parameters():
        nn.init.zeros_(parameter)
    x = torch.randn(2, m, 9, 9)
    # without weights nothing is left but the skip
    out = module(x)
    assert out.shape == nn.Conv2d(m, n, 3, stride, 1)(x).shape
    torch.testing.assert_close(out, x if skips else torch.zeros_like(out))


@pytest.mark.parametrize("block", [InvertedResidual, FusedInvertedResidual])
@pytest.mark.parametrize(
    ("m", "expansion", "hidden"),
    [
        (10, 1.29, 13),  # 12.9
        (10, 1.21, 12),  # 12.1
        (100, 1.1, 110),  # 110.00000000000001
        (100, 0.29, 29),  # 28.999999999999996
        (2, 0.1, 1),  # 0.2: one channel at least
    ],
)
def test_the_expanded_channels_are_the_nearest_whole_number(
    block: type[Any], m: int, expansion: float, hidden: int
) -> None:
    made = block(m, 7, expansion=expansion)
    assert made.hidden_channels == hidden
    (filters,) = (
        one for one in made.modules() if isinstance(one, nn.Conv2d) and one.kernel_size == (3, 3)
    )
    assert filters.out_channels == hidden


@pytest.mark.parametrize("block", [InvertedResidual, FusedInvertedResidual])
@pytest.mark.parametrize("kernel", [3, (5, 1)], ids=str)
@pytest.mark.parametrize("dilation", [1, 3, (1, 2)], ids=str)
def test_a_block_keeps_the_size_at_stride_one(block: type[Any], kernel: Any, dilation: Any) -> None:
    assert block(4, 6, kernel, dilation=dilation)(torch.randn(2, 4, 7, 11)).shape == (2, 6, 7, 11)


def test_the_projection_of_an_inverted_residual_is_linear() -> None:
    block = InvertedResidual(8, 12, activation="relu")
    assert [type(layer).__name__ for layer in block.project.children()] == ["Conv2d", "BatchNorm2d"]
    stages = [block.expand, block.depthwise]
    assert all(
        isinstance(list(stage.children())[-1], nn.ReLU) for stage in stages if stage is not None
    )


WITH_NORM = ("Conv2d", "BatchNorm2d")
ACTIVE = (*WITH_NORM, "ReLU")
ATTENTION = ("AdaptiveAvgPool2d", "Conv2d", "SiLU", "Conv2d", "Hardsigmoid")
relu_after_batch = {"norm": "batch", "activation": "relu"}
squeezing = partial(SqueezeExcite, activation="silu", gate="hard_sigmoid")
LAYOUTS: dict[str, tuple[nn.Module, tuple[str, ...]]] = {
    "inverted": (
        InvertedResidual(8, 12, attention=squeezing, **relu_after_batch),
        (*ACTIVE, *ACTIVE, *ATTENTION, *WITH_NORM),
    ),
    "inverted without expansion": (
        InvertedResidual(8, 12, expansion=1, **relu_after_batch), (*ACTIVE, *WITH_NORM)
    ),
    "fused": (
        FusedInvertedResidual(8, 12, attention=squeezing, **relu_after_batch),
        (*ACTIVE, *ATTENTION, *WITH_NORM),
    ),
    "fused without expansion": (FusedInvertedResidual(8, 12, expansion=1, **relu_after_batch), ACTIVE),
    "depthwise separable": (DepthwiseSeparableConv2d(8, 12, 3, **relu_after_batch), (*ACTIVE, "Conv2d")),
    "blueprint": (BlueprintSeparableConv2d(8, 12, 3, norm="batch"), (*WITH_NORM, "Conv2d")),
    "bottlenecked blueprint": (
        BlueprintSeparableConv2d(8, 12, 3, bottleneck=0.5, norm="batch"), (*WITH_NORM, *WITH_NORM, "Conv2d")
    ),
    "ghost": (GhostConv2d(8, 12, 3, **relu_after_batch), (*ACTIVE, *ACTIVE)),
}  # fmt: skip


@pytest.mark.parametrize(("module", "layers"), LAYOUTS.values(), ids=LAYOUTS)
def test_norm_and_activation_come_after_the_stages_that_the_paper_gives_them(
    module: nn.Module, layers: tuple[str, ...]
) -> None:
    ran: list[str] = []
    for part in module.modules():
        if not list(part.children()):
            part.register_forward_hook(lambda part, args, result: ran.append(type(part).__name__))
    module(torch.randn(2, 8, 9, 9))
    assert tuple(ran) == layers


def test_attention_comes_between_the_depthwise_stage_and_the_projection() -> None:
    block = InvertedResidual(8, 12, attention=partial(SqueezeExcite, squeeze_channels=2)).eval()
    assert block.expand is not None
    assert block.attention is not None
    x = torch.randn(1, 8, 6, 6)
    torch.testing.assert_close(
        block(x), block.project(block.attention(block.depthwise(block.expand(x))))
    )


# -- what every one of them can do

MODULES: dict[str, Callable[..., nn.Module]] = {
    "depthwise separable": partial(
        DepthwiseSeparableConv2d, 8, 12, 3, 2, 1, norm="batch", activation="relu6"
    ),
    "plain depthwise separable": partial(
        DepthwiseSeparableConv2d, 8, 12, 3, padding="same", depth_multiplier=2
    ),
    "blueprint": partial(BlueprintSeparableConv2d, 8, 12, 3, 2, 1),
    "blueprints in groups": partial(
        BlueprintSeparableConv2d, 8, 12, 3, 2, 1, groups=2, depth_multiplier=3
    ),
    "bottlenecked blueprint": partial(
        BlueprintSeparableConv2d, 8, 12, 3, bottleneck=0.5, norm="batch"
    ),
    "ghost": partial(GhostConv2d, 8, 13, 3, padding=1, norm="batch", activation="relu"),
    "plain ghost": partial(GhostConv2d, 8, 12, ratio=3),
    "inverted": partial(InvertedResidual, 8, 8, attention=SqueezeExcite, activation="hard_swish"),
    "inverted without expansion": partial(InvertedResidual, 8, 12, expansion=1, norm=None),
    "fused": partial(FusedInvertedResidual, 8, 8, attention=EfficientChannelAttention),
    "fused without expansion": partial(FusedInvertedResidual, 8, 8, expansion=1, norm=None),
    "squeeze and excite": partial(SqueezeExcite, 8, 2),
    "efficient channel attention": partial(EfficientChannelAttention, 8),
}
every_module = pytest.mark.parametrize("make", MODULES.values(), ids=MODULES)


@every_module
def test_a_copy_computes_the_same_and_shares_nothing(make: Callable[..., nn.Module]) -> None:
    module = make().eval()
    twin = copy.deepcopy(module)
    x = torch.randn(2, 8, 9, 9)
    torch.testing.assert_close(twin(x), module(x), rtol=0, atol=0)
    assert not {p.data_ptr() for p in twin.parameters()} & {
        p.data_ptr() for p in module.parameters()
    }
    other = make().eval()
    other.load_state_dict(module.state_dict())
    torch.testing.assert_close(other(x), module(x), rtol=0, atol=0)


@every_module
def test_one_map_without_a_batch_is_computed_as_a_batch_of_one(
    make: Callable[..., nn.Module],
) -> None:
    module = make().eval()
    x = torch.randn(8, 9, 9)
    if any(isinstance(layer, nn.BatchNorm2d) for layer in module.modules()):
        with pytest.raises(
            ValueError, match="expected 4D input"
        ):  # torch's own normalisation takes no single map
            module(x)
    else:
        torch.testing.assert_close(module(x), module(x[None])[0])


@every_module
def test_it_can_be_exported_as_it_is(make: Callable[..., nn.Module]) -> None:
    module, x = make().eval(), torch.randn(2, 8, 9, 9)
    torch.testing.assert_close(torch.export.export(module, (x,)).module()(x), module(x))


@every_module
@pytest.mark.filterwarnings("ignore:.*torch.jit.*is deprecated:DeprecationWarning")
def test_it_can_be_scripted_as_it_is(make: Callable[..., nn.Module]) -> None:
    module, x = make().eval(), torch.randn(2, 8, 9, 9)
    torch.testing.assert_close(torch.jit.script(module)(x), module(x))


@every_module
def test_it_is_made_on_the_device_and_of_the_dtype_asked_for(
    make: Callable[..., nn.Module],
) -> None:
    tensors = [*make(device="meta", dtype=torch.float64).state_dict().values()]
    assert {t.device.type for t in tensors} == {"meta"}
    assert {t.dtype for t in tensors if t.is_floating_point()} == {torch.float64}


@every_module
def test_it_learns_in_every_weight(make: Callable[..., nn.Module]) -> None:
    module = make()
    module(torch.randn(4, 8, 9, 9)).square().sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in module.parameters())


@pytest.mark.parametrize("conv", [DepthwiseSeparableConv2d, BlueprintSeparableConv2d, GhostConv2d])
@pytest.mark.parametrize(
    "options",
    [
        {"kernel_size": 3},
        {"kernel_size": (5, 3), "stride": (2, 1), "padding": (0, 2)},
        {"kernel_size": 4, "padding": "same"},
        {"kernel_size": 3, "padding": "valid", "dilation": (2, 3), "padding_mode": "reflect"},
        {"kernel_size": 3, "padding": 1, "bias": False, "padding_mode": "circular"},
    ],
    ids=str,
)
@pytest.mark.filterwarnings("ignore:Using padding='same':UserWarning")
def test_it_takes_the_place_of_a_convolution_of_the_same_arguments(
    conv: type[Any], options: dict[str, Any]
) -> None:
    ours, theirs = conv(8, 12, **options), nn.Conv2d(8, 12, **options)
    x = torch.randn(2, 8, 11, 13)
    assert ours(x).shape == theirs(x).shape
    for name in (
        "in_channels",
        "out_channels",
        "kernel_size",
        "stride",
        "dilation",
        "padding_mode",
    ):
        assert getattr(ours, name) == getattr(theirs, name)
    if options.get("padding") != "valid":
        assert ours.padding == theirs.padding


def test_normalisation_and_activation_are_named_or_made() -> None:
    made = DepthwiseSeparableConv2d(
        4, 8, 3, norm=partial(nn.GroupNorm, 2), activation=nn.GELU, depth_multiplier=2
    )
    assert repr(made.norm) == repr(nn.GroupNorm(2, 8))
    assert repr(made.activation) == repr(nn.GELU())
    named = DepthwiseSeparableConv3d(4, 8, 3, norm="batch", activation="hard_swish")
    assert (type(named.norm), type(named.activation)) == (nn.BatchNorm3d, nn.Hardswish)
    assert [name for name, _ in named.named_children()] == [
        "depthwise",
        "norm",
        "activation",
        "pointwise",
    ]


def test_a_softmax_is_taken_over_the_channels_with_and_without_a_batch() -> None:
    module = DepthwiseSeparableConv2d(4, 8, 3, activation="softmax")
    x = torch.randn(2, 4, 5, 6)
    torch.testing.assert_close(module(x)[1], module(x[1]))
    expected = module.pointwise(module.depthwise(x).softmax(dim=1))
    torch.testing.assert_close(module(x), expected)


# -- how they show themselves and refuse


@pytest.mark.parametrize(
    ("module", "text"),
    [
        (DepthwiseSeparableConv2d(4, 8, 3), "4, 8, kernel_size=(3, 3), stride=(1, 1)"),
        (
            DepthwiseSeparableConv2d(4, 8, 3, 2, 1, 2, 2, False, "reflect", depth_multiplier=3),
            "4, 8, kernel_size=(3, 3), stride=(2, 2), padding=(1, 1), dilation=(2, 2), groups=2, "
            "padding_mode='reflect', bias=False, depth_multiplier=3",
        ),
        (
            BlueprintSeparableConv2d(4, 8, 3, bias=False),
            "4, 8, kernel_size=(3, 3), stride=(1, 1), bias=False",
        ),
        (
            BlueprintSeparableConv2d(4, 8, 3, groups=2, depth_multiplier=3),
            "4, 8, kernel_size=(3, 3), stride=(1, 1), groups=2, depth_multiplier=3",
        ),
        (
            GhostConv2d(4, 8),
            "4, 8, kernel_size=(1, 1), stride=(1, 1), ratio=2, cheap_kernel_size=3",
        ),
        (
            InvertedResidual(4, 8, 5, 2),
            "4, 8, kernel_size=(5, 5), stride=(2, 2), hidden_channels=24",
        ),
        (
            FusedInvertedResidual(4, 8, dilation=2),
            "4, 8, kernel_size=(3, 3), stride=(1, 1), dilation=(2, 2), hidden_channels=16",
        ),
        (SqueezeExcite(32), "32, 2"),
        (EfficientChannelAttention(32), "32, kernel_size=3"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, nn.Module) else "",
)
def test_a_module_shows_what_it_was_made_of(module: nn.Module, text: str) -> None:
    assert module.extra_repr() == text


NOT_MADE = "must be a class or function that makes a module, found the module"


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: DepthwiseSeparableConv2d(0, 8, 3), "in_channels must be at least 1, found 0"),
        (
            lambda: DepthwiseSeparableConv2d(4, 8, (3, 3, 3)),
            "kernel_size must be a whole number or 2 of them, found (3, 3, 3)",
        ),
        (
            lambda: DepthwiseSeparableConv1d(4, 8, (3, 3)),
            "kernel_size must be a whole number or 1 of them, found (3, 3)",
        ),
        (
            lambda: DepthwiseSeparableConv2d(4, 8, 3, groups=3),
            "groups=3 does not divide in_channels=4; groups=3 does not divide out_channels=8",
        ),
        (
            lambda: DepthwiseSeparableConv2d(4, 8, 3, 2, "same"),
            "padding 'same' needs stride 1, found stride 2×2",
        ),
        (
            lambda: DepthwiseSeparableConv2d(4, 8, 3, padding="full"),
            "padding must be whole numbers or 'same', found 'full'",
        ),
        (
            lambda: DepthwiseSeparableConv2d(4, 8, 3, padding_mode="reflct"),
            "unknown padding_mode 'reflct' (did you mean 'reflect'?)",
        ),
        (
            lambda: DepthwiseSeparableConv2d(4, 8, 3, depth_multiplier=0),
            "depth_multiplier must be at least 1, found 0",
        ),
        (
            lambda: DepthwiseSeparableConv2d(4, 8, 3, norm="bach"),
            "unknown norm 'bach' (did you mean 'batch'?)",
        ),
        (
            lambda: DepthwiseSeparableConv2d(4, 8, 3, norm=nn.BatchNorm2d(4)),
            f"norm {NOT_MADE} BatchNorm2d(...)",
        ),
        (
            lambda: DepthwiseSeparableConv2d(4, 8, 3, activation="rely"),
            "unknown activation 'rely' (did you mean 'relu'?)",
        ),
        (
            lambda: DepthwiseSeparableConv2d(4, 8, 3, activation=nn.ReLU()),
            f"activation {NOT_MADE} ReLU(...)",
        ),
        (lambda: InvertedResidual(4, 8, attention=lambda channels: None), "returned None"),
        (
            lambda: InvertedResidual(4, 8, attention=3),
            "attention must be a class or function that makes a module, found 3",
        ),
        (lambda: InvertedResidual(4, 8, 4), "kernel_size must be odd to keep the size, found 4"),
        (
            lambda: InvertedResidual(4, 8, expansion=0),
            "expansion must be a number above 0, found 0",
        ),
        (
            lambda: InvertedResidual(4, 8, expansion=float("nan")),
            "expansion must be a number above 0, found nan",
        ),
        (
            lambda: InvertedResidual(4, 8, hidden_channels=0),
            "hidden_channels must be at least 1, found 0",
        ),
        (lambda: FusedInvertedResidual(4, 8, stride=0), "stride must be at least 1, found 0×0"),
        (
            lambda: BlueprintSeparableConv2d(4, 8, 3, bottleneck=1.5),
            "bottleneck must be above 0 and at most 1, found 1.5",
        ),
        (
            lambda: BlueprintSeparableConv2d(4, 8, 3, bottleneck=0.5, groups=2),
            "bottleneck is for groups=1, found groups=2",
        ),
        (
            lambda: BlueprintSeparableConv2d(4, 8, 3, bottleneck=0.5, depth_multiplier=2),
            "bottleneck is for depth_multiplier=1, found depth_multiplier=2",
        ),
        (
            lambda: BlueprintSeparableConv2d(4, 8, 3, depth_multiplier=0),
            "depth_multiplier must be at least 1, found 0",
        ),
        (
            lambda: BlueprintSeparableConv2d(4, 8, 3, groups=3),
            "groups=3 does not divide in_channels=4",
        ),
        (lambda: GhostConv2d(4, 8, ratio=1), "ratio must be at least 2, found 1"),
        (lambda: GhostConv2d(4, 8, cheap_kernel_size=2), "cheap_kernel_size must be odd, found 2"),
        (lambda: SqueezeExcite(8, 0), "squeeze_channels must be at least 1, found 0"),
        (lambda: EfficientChannelAttention(8, 4), "kernel_size must be odd, found 4"),
        (lambda: EfficientChannelAttention(8, gamma=0), "gamma must not be 0"),
    ],
)
def test_what_cannot_be_made_is_refused_in_one_line(make: Callable[[], Any], message: str) -> None:
    with pytest.raises(InputError) as caught:
        make()
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_convolution_that_cannot_exist_is_a_spec_error() -> None:
    with pytest.raises(SpecError):
        GhostConv2d(4, 8, 3, groups=3)
