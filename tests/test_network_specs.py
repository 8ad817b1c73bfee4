from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from properties import law
from torch import nn

from dscost.errors import DscostError, SpecError, UnknownNameError
from dscost.layers.others import (
    ACTIVATIONS,
    ActivationSpec,
    BatchNormSpec,
    DropoutSpec,
    FlattenSpec,
    GlobalPoolSpec,
    JoinSpec,
    LinearSpec,
    PoolSpec,
    Spec,
)

MAP = (2, 6, 8, 5)
TORCH_POOLS: dict[str, Any] = {"max": nn.MaxPool2d, "avg": nn.AvgPool2d}


@st.composite
def pools(draw: st.DrawFn) -> PoolSpec:
    pair = st.tuples(st.integers(1, 5), st.integers(1, 5))
    kernel = draw(pair)
    padding = tuple(draw(st.integers(0, k // 2)) for k in kernel)
    return PoolSpec(
        draw(st.sampled_from(["max", "avg"])), kernel, draw(pair), padding, draw(st.booleans())
    )


def shape_or_refusal(compute: Any) -> tuple[int, ...] | str:
    try:
        return tuple(compute())
    except (SpecError, RuntimeError):
        return "refused"


@law
@given(pools(), st.integers(1, 14), st.integers(1, 14))
def test_any_pooling_has_the_shape_that_torch_gives_it_or_is_refused_by_both(
    pool: PoolSpec, height: int, width: int
) -> None:
    module = TORCH_POOLS[pool.kind](
        pool.kernel_size, pool.stride, pool.padding, ceil_mode=pool.ceil_mode
    )
    expected = shape_or_refusal(
        lambda: module(torch.empty(2, 3, height, width, device="meta")).shape
    )
    assert shape_or_refusal(lambda: pool.output_shape((2, 3, height, width))) == expected


@pytest.mark.parametrize(
    ("pool", "size", "out"),
    [
        pytest.param(
            PoolSpec("max", (3, 3), (2, 2), (1, 1)), 112, 56, id="after the stem of ResNet"
        ),
        pytest.param(PoolSpec("max", (2, 2), (2, 2), (0, 0)), 224, 112, id="VGG"),
        pytest.param(
            PoolSpec("max", (3, 3), (2, 2), (0, 0), True),
            54,
            27,
            id="SqueezeNet, cut off at the end",
        ),
        pytest.param(
            PoolSpec("max", (3, 3), (2, 2), (0, 0)), 54, 26, id="the same without ceil_mode"
        ),
        pytest.param(
            PoolSpec("avg", (2, 2), (2, 2), (1, 1), True),
            5,
            3,
            id="no window begins in the last padding",
        ),
        pytest.param(
            PoolSpec("max", (3, 3), (2, 2), (0, 0), True), 2, 1, id="only a cut-off window"
        ),
    ],
)
def test_a_pooling_has_the_shape_known_of_it(pool: PoolSpec, size: int, out: int) -> None:
    assert pool.output_shape((1, 64, size, size)) == (1, 64, out, out)


@pytest.mark.parametrize(
    ("spec", "module"),
    [
        pytest.param(LinearSpec(5, 7), nn.Linear(5, 7), id="linear over the last dimension"),
        pytest.param(LinearSpec(5, 7, bias=False), nn.Linear(5, 7, bias=False), id="linear without bias"),
        pytest.param(BatchNormSpec(6), nn.BatchNorm2d(6), id="batch norm"),
        pytest.param(GlobalPoolSpec(), nn.AdaptiveAvgPool2d(1), id="global pooling"),
        pytest.param(GlobalPoolSpec((7, 3)), nn.AdaptiveAvgPool2d((7, 3)), id="pooling to a size"),
        pytest.param(FlattenSpec(), nn.Flatten(), id="flatten"),
        pytest.param(DropoutSpec(0.2), nn.Dropout(0.2), id="dropout"),
        pytest.param(PoolSpec("max", (3, 3), (2, 2), (1, 1)), nn.MaxPool2d(3, 2, 1), id="max pooling"),
        pytest.param(PoolSpec("avg", (2, 2), (2, 2), (0, 0)), nn.AvgPool2d(2), id="average pooling"),
        *(pytest.param(ActivationSpec(kind), getattr(nn, name)(), id=kind)
          for kind, name in ACTIVATIONS.items() if kind != "softmax"),
        pytest.param(ActivationSpec("softmax"), nn.Softmax(dim=1), id="softmax"),
    ],
)  # fmt: skip
def test_a_layer_has_the_name_shape_params_and_buffers_of_its_torch_module(
    spec: Spec, module: nn.Module
) -> None:
    module = module.to("meta")
    assert spec.type == type(module).__name__
    assert spec.output_shape(MAP) == tuple(module(torch.empty(MAP, device="meta")).shape)
    assert spec.params == sum(parameter.numel() for parameter in module.parameters())
    assert spec.buffers == sum(buffer.numel() for buffer in module.buffers() if buffer.dim())


def test_a_linear_layer_has_a_mac_per_weight_and_vector() -> None:
    assert LinearSpec(512, 1_000).macs([(4, 512)], (4, 1_000)) == 4 * 512 * 1_000
    assert LinearSpec(5, 7).macs([MAP], (2, 6, 8, 7)) == (2 * 6 * 8) * 5 * 7


@pytest.mark.parametrize(
    "spec",
    [BatchNormSpec(6), ActivationSpec("relu"), GlobalPoolSpec(), FlattenSpec(), DropoutSpec(), JoinSpec("add"),
     PoolSpec("avg", (2, 2), (2, 2), (0, 0))],
    ids=lambda spec: spec.type,
)  # fmt: skip
def test_everything_else_is_free_of_macs(spec: Spec) -> None:
    inputs = [MAP, MAP] if isinstance(spec, JoinSpec) else [MAP]
    assert spec.macs(inputs, spec.output_shape(*inputs)) == 0


@pytest.mark.parametrize(
    ("kind", "second"),
    [
        pytest.param("add", MAP, id="sum of equals"),
        pytest.param("multiply", MAP, id="product of equals"),
        pytest.param("multiply", (2, 6, 1, 1), id="a gate per channel"),
    ],
)
def test_a_join_keeps_the_shape_of_its_first_input_as_torch_does(
    kind: Any, second: tuple[int, ...]
) -> None:
    join = {"add": torch.add, "multiply": torch.mul}[kind]
    assert JoinSpec(kind).type == kind.capitalize()
    expected = join(torch.empty(MAP, device="meta"), torch.empty(second, device="meta")).shape
    assert JoinSpec(kind).output_shape(MAP, second) == tuple(expected)


# -- what cannot be


@pytest.mark.parametrize(
    ("kind", "shapes", "message"),
    [
        ("add", (MAP, (2, 6, 8, 6)), "cannot add 2×6×8×5 and 2×6×8×6"),
        ("add", (MAP, (2, 6, 1, 1)), "cannot add 2×6×8×5 and 2×6×1×1"),
        ("add", (MAP, (2, 240)), "cannot add 2×6×8×5 and 2×240"),
        ("multiply", ((2, 6, 1, 1), MAP), "cannot multiply 2×6×1×1 and 2×6×8×5"),
        ("multiply", (MAP, (2, 3, 1, 1)), "cannot multiply 2×6×8×5 and 2×3×1×1"),
        ("multiply", (MAP, (2, 6)), "cannot multiply 2×6×8×5 and 2×6"),
    ],
)
def test_shapes_that_do_not_fit_together_are_refused(kind: Any, shapes: Any, message: str) -> None:
    with pytest.raises(SpecError) as caught:
        JoinSpec(kind).output_shape(*shapes)
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("spec", "shape", "message"),
    [
        (LinearSpec(512, 10), (1, 256), "in_features=512, but the input is 1×256"),
        (GlobalPoolSpec(), (1, 256),
         "AdaptiveAvgPool2d needs an input of batch, channels, height and width, found 1×256"),
        (PoolSpec("max", (2, 2), (2, 2), (0, 0)), (1, 6, 9),
         "MaxPool2d needs an input of batch, channels, height and width, found 1×6×9"),
        (PoolSpec("avg", (3, 3), (1, 1), (1, 0)), (1, 6, 1, 2), "kernel 3×3 is larger than the padded input 3×2"),
    ],
    ids=["features", "pooling what is flat", "pooling without batch", "window too large"],
)  # fmt: skip
def test_an_input_that_does_not_fit_is_refused_with_the_reason(
    spec: Spec, shape: Any, message: str
) -> None:
    with pytest.raises(SpecError) as caught:
        spec.output_shape(shape)
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("make", "given", "message"),
    [
        (LinearSpec, (0, 10), "in_features must be at least 1, found 0"),
        (LinearSpec, (10, 10**7), "out_features must be at most 1,000,000, found 10000000"),
        (LinearSpec, (10**12 + 1, 1), "in_features must be at most 1,000,000,000,000, found 1000000000001"),
        (LinearSpec, (0, 2.5),
         "in_features must be at least 1, found 0; out_features must be whole numbers, found 2.5"),
        (PoolSpec, ("max", (0, 2), (2, 0), (0, 0)),
         "kernel_size must be at least 1, found 0×2; stride must be at least 1, found 2×0"),
        (PoolSpec, ("max", (0, 0), (0, 0), (-1, 0)), "kernel_size must be at least 1, found 0×0; "
         "stride must be at least 1, found 0×0; padding must be at least 0, found -1×0"),
        (PoolSpec, ("avg", (3, 3), (1, 1), (1, 2)), "padding 1×2 is more than half of the pooling window 3×3"),
        (GlobalPoolSpec, ((7, 0),), "output_size must be at least 1, found 7×0"),
        (DropoutSpec, (1.0,), "dropout must be at least 0 and below 1, found 1.0"),
        (DropoutSpec, (-0.1,), "dropout must be at least 0 and below 1, found -0.1"),
        (DropoutSpec, (float("nan"),), "dropout must be at least 0 and below 1, found nan"),
        (ActivationSpec, ("rleu",), "unknown activation 'rleu' (did you mean 'relu'?)"),
        (ActivationSpec, ("ReLU6",), "unknown activation 'ReLU6' (did you mean 'relu6'?)"),
    ],
)  # fmt: skip
def test_an_impossible_layer_is_refused_with_every_reason(
    make: Any, given: Any, message: str
) -> None:
    with pytest.raises(DscostError) as caught:
        make(*given)
    assert str(caught.value) == message
    assert isinstance(caught.value, SpecError | UnknownNameError)


@pytest.mark.parametrize(
    ("stride", "padding"), [((2,), (0, 0)), ((2, 2), (0,))], ids=["stride", "padding"]
)
def test_a_pooling_whose_parts_differ_in_dimensions_is_refused_at_birth(
    stride: Any, padding: Any
) -> None:
    with pytest.raises(SpecError):
        PoolSpec("max", (2, 2), stride, padding)
