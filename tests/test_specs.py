from dataclasses import FrozenInstanceError, replace
from math import prod
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from properties import law
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from dscost.errors import SpecError
from dscost.layers.convolution import (
    MAX_EXTENT,
    PADDING_MODES,
    ConvSpec,
    check_extents,
    conv2d,
    not_within,
    window_positions,
)

Drawn = tuple[ConvSpec, tuple[int, ...]]


@st.composite
def convs_with_inputs(draw: st.DrawFn) -> Drawn:
    """A valid convolution and an input that it fits."""
    groups = draw(st.integers(1, 4))
    pair = st.tuples(st.integers(1, 4), st.integers(1, 4))
    kernel, dilation = draw(pair), draw(pair)
    padding: Any = draw(st.one_of(st.just("same"), st.tuples(st.integers(0, 5), st.integers(0, 5))))
    conv = conv2d(
        groups * draw(st.integers(1, 6)),
        groups * draw(st.integers(1, 6)),
        kernel,
        stride=1 if padding == "same" else draw(pair),
        padding=padding,
        dilation=dilation,
        groups=groups,
        bias=draw(st.booleans()),
    )
    spans = (d * (k - 1) + 1 for d, k in zip(dilation, kernel, strict=True))
    least = (max(1, span - padded) for span, padded in zip(spans, conv.padding_total, strict=True))
    return conv, (
        draw(st.integers(1, 3)),
        conv.in_channels,
        *(low + draw(st.integers(0, 12)) for low in least),
    )


def in_torch(spec: ConvSpec, kind: Any = nn.Conv2d) -> nn.Module:
    names = (
        "in_channels",
        "out_channels",
        "kernel_size",
        "stride",
        "padding",
        "dilation",
        "groups",
        "bias",
    )
    chosen = {name: getattr(spec, name) for name in names}
    module: nn.Module = kind(**chosen, padding_mode=spec.padding_mode, device="meta")
    return module


@law
@given(convs_with_inputs())
@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel lengths")
def test_any_convolution_has_the_shape_params_and_macs_that_torch_counts(drawn: Drawn) -> None:
    spec, shape = drawn
    module = in_torch(spec)
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        expected = tuple(module(torch.empty(shape, device="meta")).shape)
    output = spec.output_shape(shape)
    assert output == expected
    assert spec.params == sum(parameter.numel() for parameter in module.parameters())
    assert 2 * spec.macs([shape], output) == counter.get_total_flops()


@law
@given(convs_with_inputs())
def test_one_group_costs_at_least_as_much_as_several_and_a_batch_costs_its_images(
    drawn: Drawn,
) -> None:
    spec, (batch, *rest) = drawn
    output = spec.output_shape((batch, *rest))
    one_image = spec.output_shape((1, *rest))
    assert spec.macs([(batch, *rest)], output) == batch * spec.macs([(1, *rest)], one_image)
    dense = replace(spec, groups=1)
    assert dense.params - dense.out_channels * dense.bias == spec.groups * (
        spec.params - spec.out_channels * spec.bias
    )


@pytest.mark.parametrize("mode", PADDING_MODES)
def test_a_padding_mode_changes_no_shape(mode: str) -> None:
    spec = conv2d(4, 8, 5, padding=2, padding_mode=mode)
    assert spec.output_shape((2, 4, 9, 7)) == tuple(
        in_torch(spec)(torch.empty(2, 4, 9, 7, device="meta")).shape
    )


@pytest.mark.parametrize(
    ("kind", "dimensions"),
    [pytest.param(nn.Conv1d, 1, id="one"), pytest.param(nn.Conv3d, 3, id="three")],
)
def test_other_dimensions_than_two_agree_with_torch(kind: Any, dimensions: int) -> None:
    def each(value: int) -> tuple[int, ...]:
        return (value,) * dimensions

    spec = ConvSpec(6, 9, each(3), each(2), each(1), each(2), groups=3, bias=True)
    module, shape = in_torch(spec, kind), (2, 6, *each(11))
    assert spec.output_shape(shape) == tuple(module(torch.empty(shape, device="meta")).shape)
    assert (
        spec.params
        == sum(parameter.numel() for parameter in module.parameters())
        == 9 * 2 * 3**dimensions + 9
    )


# -- what cannot be


@pytest.mark.parametrize(
    ("given", "message"),
    [
        pytest.param({"in_channels": 0}, "in_channels must be at least 1, found 0", id="no channels"),
        pytest.param({"out_channels": -4}, "out_channels must be at least 1, found -4", id="negative channels"),
        pytest.param({"groups": 0}, "groups must be at least 1, found 0", id="no groups"),
        pytest.param({"groups": 3}, "groups=3 does not divide in_channels=8; groups=3 does not divide out_channels=16",
                     id="groups divide neither"),
        pytest.param({"in_channels": 12, "groups": 3}, "groups=3 does not divide out_channels=16",
                     id="groups divide the input only"),
        pytest.param({"kernel_size": (0, 3)}, "kernel_size must be at least 1, found 0×3", id="flat kernel"),
        pytest.param({"stride": 0}, "stride must be at least 1, found 0×0", id="standing still"),
        pytest.param({"dilation": (1, -2)}, "dilation must be at least 1, found 1×-2", id="negative dilation"),
        pytest.param({"padding": -1}, "padding must be at least 0, found -1×-1", id="negative padding"),
        pytest.param({"padding": "same", "stride": (1, 2)}, "padding 'same' needs stride 1, found stride 1×2",
                     id="same with a stride"),
        pytest.param({"padding": "sama"}, "padding must be whole numbers or 'same', found 'sama'", id="other word"),
        pytest.param({"padding_mode": "reflcet"}, "unknown padding_mode 'reflcet' (did you mean 'reflect'?)",
                     id="misspelt mode"),
        pytest.param({"in_channels": 8.0}, "in_channels must be whole numbers, found 8.0", id="a float"),
        pytest.param({"out_channels": True}, "out_channels must be whole numbers, found True", id="a truth value"),
        pytest.param({"kernel_size": (3, "3")}, "kernel_size must be whole numbers, found 3×3", id="text"),
        pytest.param({"out_channels": MAX_EXTENT + 1}, "out_channels must be at most 1,000,000, found 1000001",
                     id="absurdly large"),
        pytest.param({"padding": 10**30}, f"padding must be at most 1,000,000, found {10**30}×{10**30}",
                     id="absurd padding"),
    ],
)  # fmt: skip
def test_an_impossible_convolution_is_refused_with_the_reason(
    given: dict[str, Any], message: str
) -> None:
    with pytest.raises(SpecError) as caught:
        conv2d(**{"in_channels": 8, "out_channels": 16, "kernel_size": 3, **given})
    assert str(caught.value) == message


def test_everything_wrong_with_a_convolution_is_said_at_once() -> None:
    with pytest.raises(SpecError) as caught:
        conv2d(0, -1, (0, 3), stride=0, padding=-2, dilation=0, groups=0, padding_mode="zero")
    assert str(caught.value).split("; ") == [
        "in_channels must be at least 1, found 0",
        "out_channels must be at least 1, found -1",
        "groups must be at least 1, found 0",
        "kernel_size must be at least 1, found 0×3",
        "stride must be at least 1, found 0×0",
        "dilation must be at least 1, found 0×0",
        "padding must be at least 0, found -2×-2",
        "unknown padding_mode 'zero' (did you mean 'zeros'?)",
    ]


@pytest.mark.parametrize("kernel_size", [None, 3.0, "3", "33", (), (3, 3, 3)], ids=repr)
@pytest.mark.parametrize("padding", [0, None], ids=["padded by hand", "padded to keep the size"])
def test_what_is_no_kernel_size_is_refused(kernel_size: Any, padding: int | None) -> None:
    with pytest.raises(SpecError, match=r"kernel_size|expected a .*pair.*, found"):
        conv2d(8, 16, kernel_size, padding=padding)


@pytest.mark.parametrize("name", ["stride", "padding", "dilation"])
def test_a_spec_whose_parts_differ_in_dimensions_is_refused_at_birth(name: str) -> None:
    parts: dict[str, Any] = {
        "kernel_size": (3, 3),
        "stride": (1, 1),
        "padding": (0, 0),
        "dilation": (1, 1),
    }
    with pytest.raises(SpecError, match=name):
        ConvSpec(8, 16, **{**parts, name: (1,)})


@pytest.mark.parametrize(
    ("conv", "shape", "message"),
    [
        pytest.param({}, (1, 9, 8, 8), "in_channels=8, but the input has 9 channels", id="other channels"),
        pytest.param({}, (1, 8, 8), "a convolution needs 4 dimensions, found 1×8×8", id="a dimension short"),
        pytest.param({}, (1, 8, 2, 9), "kernel 3×3 is larger than the padded input 2×9", id="too low"),
        pytest.param({"padding": 1, "dilation": 3}, (1, 8, 9, 4),
                     "kernel 3×3 (dilated to 7) is larger than the padded input 11×6", id="dilated too wide"),
        pytest.param({}, (0, 8, 8, -1), "batch must be at least 1, found 0; input size must be at least 1, found 8×-1",
                     id="nothing to convolve"),
        pytest.param({}, (1, 8, 8, MAX_EXTENT + 1), "input size must be at most 1,000,000, found 8×1000001",
                     id="absurdly wide"),
    ],
)  # fmt: skip
def test_an_input_that_does_not_fit_is_refused_with_the_reason(
    conv: dict[str, Any], shape: tuple[int, ...], message: str
) -> None:
    with pytest.raises(SpecError) as caught:
        conv2d(8, 16, 3, **conv).output_shape(shape)
    assert str(caught.value) == message


def test_the_largest_extents_are_counted_exactly() -> None:
    spec = conv2d(MAX_EXTENT, MAX_EXTENT, 1)
    shape = (MAX_EXTENT, MAX_EXTENT, MAX_EXTENT, MAX_EXTENT)
    assert spec.macs([shape], spec.output_shape(shape)) == 10**30


def test_a_spec_is_a_value() -> None:
    assert conv2d(3, 8, 3) == conv2d(3, 8, (3, 3), stride=(1, 1), dilation=1)
    assert len({conv2d(3, 8, 3), conv2d(3, 8, (3, 3)), conv2d(3, 8, 5)}) == 2
    with pytest.raises(FrozenInstanceError):
        conv2d(3, 8, 3).groups = 3  # type: ignore[misc]


# -- the parts


@pytest.mark.parametrize(
    ("kernel", "options", "padding"),
    [
        pytest.param(1, {}, (0, 0), id="1x1"),
        pytest.param(3, {}, (1, 1), id="3x3"),
        pytest.param((5, 3), {}, (2, 1), id="rectangular"),
        pytest.param(3, {"dilation": 2}, (2, 2), id="dilated"),
        pytest.param(2, {}, "same", id="even"),
        pytest.param((2, 3), {}, "same", id="even and odd"),
        pytest.param(2, {"dilation": 2}, (1, 1), id="even, dilated to odd"),
        pytest.param(3, {"stride": 2}, (1, 1), id="stride"),
        pytest.param(4, {"stride": 4}, (1, 1), id="even with a stride"),
    ],
)
def test_padding_that_is_not_given_is_half_the_kernel(
    kernel: Any, options: dict[str, Any], padding: Any
) -> None:
    assert conv2d(8, 8, kernel, padding=None, **options).padding == padding


@law
@given(
    st.tuples(st.integers(1, 9), st.integers(1, 9)),
    st.integers(1, 4),
    st.integers(1, 30),
    st.integers(1, 30),
)
def test_padding_that_is_not_given_keeps_the_size_at_stride_1(
    kernel: tuple[int, int], dilation: int, height: int, width: int
) -> None:
    spec = conv2d(4, 4, kernel, padding=None, dilation=dilation)
    assert spec.output_shape((1, 4, height, width)) == (1, 4, height, width)


@pytest.mark.parametrize(
    ("spec", "is_depthwise", "is_pointwise"),
    [
        pytest.param(conv2d(8, 8, 3, groups=8), True, False, id="depthwise"),
        pytest.param(conv2d(8, 24, 3, groups=8), True, False, id="depthwise, multiplier 3"),
        pytest.param(conv2d(8, 8, 3, groups=4), False, False, id="grouped"),
        pytest.param(conv2d(8, 16, 1), False, True, id="pointwise"),
        pytest.param(conv2d(8, 16, 1, groups=2), False, True, id="grouped pointwise"),
        pytest.param(conv2d(8, 16, 1, padding=1), False, False, id="padded 1x1"),
        pytest.param(conv2d(8, 16, 1, padding="same"), False, True, id="1x1, padding same"),
        pytest.param(conv2d(8, 16, (1, 3)), False, False, id="row kernel"),
    ],
)
def test_depthwise_and_pointwise_are_told_apart(
    spec: ConvSpec, is_depthwise: bool, is_pointwise: bool
) -> None:
    assert (spec.is_depthwise, spec.is_pointwise) == (is_depthwise, is_pointwise)
    assert spec.kernel_area == prod(spec.kernel_size)


def test_a_list_of_extents_passes_or_is_refused_as_a_whole() -> None:
    assert not_within("padding", 0, 3, least=0) == []
    assert not_within("stride", 1, MAX_EXTENT) == []
    assert not_within("stride", -1, MAX_EXTENT + 1) == [
        "stride must be at least 1, found -1×1000001"
    ]


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((1, 0, 5, 5), "channels must be at least 1, found 0"),
        ((1.0, 3, 5, 5), "batch must be whole numbers, found 1.0"),
        ((0, 0, 0, 0), "batch must be at least 1, found 0; channels must be at least 1, found 0; "
                       "input size must be at least 1, found 0×0"),
    ],
)  # fmt: skip
def test_a_shape_that_cannot_be_is_refused(shape: Any, message: str) -> None:
    with pytest.raises(SpecError) as caught:
        check_extents(shape)
    assert str(caught.value) == message


def test_a_window_counts_its_positions_per_dimension() -> None:
    assert window_positions([7, 6], (3, 2), (2, 3), (2, 0), (1, 2)) == (
        (7 + 2 - 3) // 2 + 1,
        (6 - 3) // 3 + 1,
    )
