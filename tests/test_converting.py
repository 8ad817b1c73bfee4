"""A converted model computes what it did, as near as its rank allows, and the given one is as it was."""

import copy
import functools
import json
import random
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from types import MethodType
from typing import Any

import pytest
import torch
from properties import operations_of
from safetensors.torch import load_file
from test_rewriting import (
    CONVOLUTIONS,
    Calling,
    Masked,
    PadsAtTheTop,
    SameConv,
    Standardised,
    Twice,
    WithItsInput,
    WithNorm,
    old_weight_norm,
    source_of,
    tied,
    twice,
    under_two_parents,
    with_forward,
)
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.nn import functional as F  # noqa: N812
from torch.nn.utils import parametrizations, parametrize, prune

import dscost
from dscost.analysis import Request, count, traced
from dscost.cli import run
from dscost.converting import of_modules, rehearsing, surveying
from dscost.converting.convert import convert_target
from dscost.converting.decomposing import Decomposition
from dscost.converting.options import able_sites
from dscost.converting.plan_file import Plan, plan_text
from dscost.converting.results import LayerOutcome
from dscost.converting.surveying import survey
from dscost.errors import InputError
from dscost.layers.convolution import ConvSpec, conv2d
from dscost.layers.orders import ORDERS, Form, Order
from dscost.modules.building import Network
from dscost.nn import DepthwiseSeparableConv1d, DepthwiseSeparableConv2d, DepthwiseSeparableConv3d
from dscost.notation.inputs import TensorSpec
from dscost.rewriting.versions import PassedThrough
from dscost.sources import ModuleSource, Opening, find_source
from dscost.tracing import arguments_of, trace

FULL = 99
same_with_even_kernel = pytest.mark.filterwarnings(
    "ignore:Using padding='same' with even kernel:UserWarning"
)


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Two threads on a busy machine take hundreds of times longer for small tensors."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def values(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def convert_all(module: nn.Module, **options: Any) -> nn.Module:
    return dscost.convert(module, min_channels=1, **options)


def layers_of(module: nn.Module, **options: Any) -> dict[str, LayerOutcome]:
    return {
        layer.name: layer
        for layer in dscost.conversion(module, **{"min_channels": 1, **options}).layers
    }


@torch.no_grad()
def off(module: nn.Module, other: nn.Module, *inputs: Tensor) -> float:
    """How far the outputs of two modules are apart, relative to those of the first."""
    expected = module(*inputs)
    return float((other(*inputs) - expected).norm() / expected.norm())


# -- full rank reproduces the model


class ScalesItsBias(nn.Conv2d):
    def forward(self, x: Tensor) -> Tensor:
        return self._conv_forward(x, self.weight, 2 * self.bias)


CONVS: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    "plain": (lambda: nn.Conv2d(8, 12, 3, padding=1), (2, 8, 9, 9)),
    "strided": (lambda: nn.Conv2d(8, 12, 3, stride=(2, 3), padding=1, bias=False), (2, 8, 13, 11)),
    "rectangular": (lambda: nn.Conv2d(8, 12, (5, 3), padding=(2, 1)), (2, 8, 13, 11)),
    "1×K": (lambda: nn.Conv2d(8, 12, (1, 7), padding=(0, 3)), (2, 8, 13, 11)),
    "dilated": (lambda: nn.Conv2d(8, 12, 3, padding=2, dilation=(2, 1)), (1, 8, 15, 15)),
    "grouped": (lambda: nn.Conv2d(8, 12, 3, groups=4, padding=1), (1, 8, 9, 9)),
    "grouped, fewer filters than taps": (lambda: nn.Conv2d(8, 4, 3, groups=2), (1, 8, 9, 9)),
    "same": (lambda: nn.Conv2d(8, 12, (3, 5), padding="same", dilation=2), (1, 8, 11, 11)),
    "same, even kernel": (lambda: nn.Conv2d(8, 12, (4, 3), padding="same"), (1, 8, 11, 11)),
    "valid": (lambda: nn.Conv2d(8, 12, 3, padding="valid"), (1, 8, 9, 9)),
    **{
        f"{mode}, padding {padding}": (
            lambda mode=mode, padding=padding: nn.Conv2d(
                8, 12, (3, 5), padding=padding, padding_mode=mode
            ),
            (1, 8, 9, 9),
        )
        for mode in ("reflect", "replicate", "circular")
        for padding in ((1, 2), "same", "valid")
    },
    "1-D": (lambda: nn.Conv1d(8, 12, 5, stride=2, padding=2), (2, 8, 21)),
    "3-D": (lambda: nn.Conv3d(4, 12, (1, 3, 2), padding=(0, 1, 1)), (1, 4, 4, 6, 5)),
    "unbatched": (lambda: nn.Conv2d(8, 12, 3), (8, 9, 9)),
    "a subclass that adds nothing": (
        lambda: type("Mine", (nn.Conv2d,), {})(8, 12, 3),
        (1, 8, 9, 9),
    ),
    "standardised weights": (lambda: Standardised(8, 12, 3, stride=2, padding=1), (2, 8, 9, 9)),
    "bias scaled": (lambda: ScalesItsBias(8, 12, 3), (2, 8, 9, 9)),
    "padding of its own": (lambda: SameConv(8, 12, 3, 2), (2, 8, 9, 8)),
    "padding of its own, even kernel": (lambda: SameConv(8, 12, 2, 2), (2, 8, 9, 8)),
    "padding of its own and the operator's": (
        lambda: PadsAtTheTop(8, 12, 3, padding=(0, 1)),
        (1, 8, 9, 9),
    ),
    "weight norm": (lambda: parametrizations.weight_norm(nn.Conv2d(8, 12, 3)), (1, 8, 9, 9)),
    "weight norm by hook": (lambda: old_weight_norm(nn.Conv2d(8, 12, 3)), (1, 8, 9, 9)),
    "spectral norm": (lambda: parametrizations.spectral_norm(nn.Conv2d(8, 12, 3)), (1, 8, 9, 9)),
    "spectral norm by hook": (lambda: nn.utils.spectral_norm(nn.Conv2d(8, 12, 3)), (1, 8, 9, 9)),
    "pruned": (
        lambda: prune.l1_unstructured(nn.Conv2d(8, 12, 3), "weight", amount=0.5),
        (1, 8, 9, 9),
    ),
    "pruned bias": (
        lambda: prune.random_unstructured(nn.Conv2d(8, 12, 3), "bias", amount=0.5),
        (1, 8, 9, 9),
    ),
}


@same_with_even_kernel
@pytest.mark.parametrize(("make", "shape"), CONVS.values(), ids=CONVS)
@pytest.mark.parametrize("as_root", [True, False], ids=["the root", "a part"])
@pytest.mark.parametrize("order", ORDERS)
def test_full_rank_reproduces_a_convolution(
    make: Callable[[], nn.Module], shape: tuple[int, ...], as_root: bool, order: Order
) -> None:
    conv = make().double().eval()
    module = conv if as_root else nn.Sequential(conv, nn.Tanh()).eval()
    result = dscost.conversion(module, rank=FULL, min_channels=1, order=order)
    assert [layer.order for layer in result.layers] == [order]
    x = values(*shape)
    assert off(module, result.module, x) < 1e-10
    # at another size as well, on which a padding may depend
    larger = values(
        *shape[: -len(conv.kernel_size)], *(size + 1 for size in shape[-len(conv.kernel_size) :])
    )
    assert off(module, result.module, larger) < 1e-10


@pytest.mark.parametrize(("make", "shape"), CONVS.values(), ids=CONVS)
@same_with_even_kernel
def test_rank_one_has_the_cost_and_the_shape_that_were_promised(
    make: Callable[[], nn.Module], shape: tuple[int, ...]
) -> None:
    conv = make().eval()
    new = convert_all(conv)
    promised = dscost.analyze(conv, input=shape).totals.depthwise_separable
    found = dscost.analyze(new, input=shape).totals.as_is
    assert (found.params, found.macs, found.traffic_bytes) == (
        promised.params,
        promised.macs,
        promised.traffic_bytes,
    )
    with torch.no_grad():
        assert new(torch.zeros(shape)).shape == conv(torch.zeros(shape)).shape


@pytest.mark.parametrize(
    "normed", [parametrizations.spectral_norm, nn.utils.spectral_norm], ids=["new", "by hook"]
)
def test_computed_weights_are_those_of_inference(normed: Callable[[nn.Module], nn.Module]) -> None:
    """In training every call of a spectral norm changes its weights."""
    conv = normed(nn.Conv2d(8, 12, 3)).double()
    new = convert_all(conv, rank=FULL)
    assert off(conv.eval(), new, values(1, 8, 9, 9)) < 1e-10


def resnet18() -> nn.Module:
    """Of the built-in, with batch normalisations that have seen something."""
    torch.manual_seed(0)
    network = Network(operations_of(count("resnet18")))
    for part in network.modules():
        if isinstance(part, nn.BatchNorm2d):
            nn.init.uniform_(part.running_mean, -0.5, 0.5)
            nn.init.uniform_(part.running_var, 0.5, 2)
    return network.double().eval()


def test_full_rank_reproduces_resnet18() -> None:
    network = resnet18()
    result = dscost.conversion(network, rank=9, min_channels=4)
    layers = {layer.name: layer for layer in result.layers}
    assert sum(layer.converted for layer in layers.values()) == 16
    assert (
        layers["conv1"].reason
        == "3 input channels are fewer than min_channels=4 (--min-channels 1 takes it)"
    )
    assert {layer.rank for layer in layers.values() if layer.converted} == {9}
    assert off(network, result.module, values(1, 3, 64, 64)) < 1e-10
    assert off(network, dscost.convert(network), values(1, 3, 64, 64)) > 0.1


def test_a_model_of_torchvision_is_reproduced() -> None:
    source = source_of("torchvision:resnet18")
    assert source.make_real is not None
    network = source.make_real().double().eval()
    assert off(network, convert_all(network, rank=FULL), values(1, 3, 64, 64)) < 1e-10


@pytest.mark.parametrize(
    ("target", "kwargs"),
    [
        ("timm:tf_efficientnetv2_b0", {}),
        ("timm:nf_regnet_b0", {}),
        ("timm:resnetv2_50x1_bit", {"channels": (128, 256, 384, 512)}),  # of up to 2048
    ],
)
def test_subclasses_of_timm_are_reproduced(target: str, kwargs: dict[str, Any]) -> None:
    """Padding of TensorFlow, scaled standardised weights, standardised weights."""
    source_of(target)
    source = find_source(target, Opening(kwargs=kwargs))
    assert isinstance(source, ModuleSource)
    assert source.make_real is not None
    network = source.make_real().double().eval()
    torch.manual_seed(0)
    for part in network.modules():
        if isinstance(part, nn.Conv2d):
            nn.init.normal_(part.weight, std=0.1)
    result = dscost.conversion(network, rank=FULL, min_channels=1)
    assert any(layer.converted for layer in result.layers)
    assert {layer.reason for layer in result.layers if layer.reason} <= {
        "a 1×1 kernel has no spatial part to separate",
        *(
            layer.reason
            for layer in result.layers
            if layer.reason and layer.reason.startswith("it is depthwise")
        ),
    }
    assert off(network, result.module, values(1, 3, 75, 97)) < 1e-8


# -- ranks and errors


def test_the_error_is_that_of_the_kernel_and_of_the_output_for_white_input() -> None:
    conv = nn.Conv2d(16, 24, 3, bias=False).double()
    layer = layers_of(conv, rank=2)[""]
    assert layer.error == pytest.approx(Decomposition(conv.weight, 1).errors[1])
    assert layer.error_of == "kernel"
    assert off(conv, convert_all(conv, rank=2), values(4, 16, 60, 60)) == pytest.approx(
        layer.error, rel=0.05
    )


@pytest.mark.parametrize(("groups", "most"), [(1, 6), (2, 3), (3, 2)])
def test_a_rank_above_the_largest_means_that(groups: int, most: int) -> None:
    conv = nn.Conv2d(12, 6, 3, groups=groups)
    for rank in (most, most + 1, FULL):
        layer = layers_of(conv, rank=rank)[""]
        assert (layer.rank, layer.error) == (most, 0)
        assert layer.params_after == 12 * most * 9 + 6 * most * 12 // groups + 6


def test_the_replacement_is_a_module_of_the_library_with_the_shape_of_the_old_one() -> None:
    old = nn.Conv2d(
        4,
        6,
        (3, 5),
        stride=(2, 1),
        padding=(1, 2),
        dilation=(1, 2),
        groups=2,
        padding_mode="reflect",
    )
    new = convert_all(old, rank=2)
    assert isinstance(new, DepthwiseSeparableConv2d)
    assert isinstance(convert_all(nn.Conv1d(4, 6, 3)), DepthwiseSeparableConv1d)
    assert isinstance(convert_all(nn.Conv3d(4, 6, 3)), DepthwiseSeparableConv3d)
    names = (
        "in_channels",
        "out_channels",
        "kernel_size",
        "stride",
        "padding",
        "dilation",
        "groups",
        "padding_mode",
    )
    assert [getattr(new, name) for name in names] == [getattr(old, name) for name in names]
    assert (new.depth_multiplier, new.depthwise.groups, new.pointwise.groups) == (2, 4, 2)
    assert new.depthwise.bias is None
    assert torch.equal(new.pointwise.bias, old.bias)


@pytest.mark.parametrize("pad", [SameConv, PadsAtTheTop])
def test_a_replacement_that_pads_first_has_the_shape_of_the_old_one(pad: type[nn.Conv2d]) -> None:
    old = pad(4, 6, 3, 2)
    new = convert_all(old)
    names = (
        "in_channels",
        "out_channels",
        "kernel_size",
        "stride",
        "padding",
        "dilation",
        "groups",
    )
    assert [getattr(new, name) for name in names] == [getattr(old, name) for name in names]


# -- where and how weights lie


@pytest.mark.parametrize("method", ["svd", "random"])
@pytest.mark.parametrize(
    "dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64], ids=str
)
@pytest.mark.parametrize("last", [True, False], ids=["channels last", "channels first"])
def test_dtype_layout_mode_and_need_of_gradients_are_kept(
    method: str, dtype: torch.dtype, last: bool
) -> None:
    layout = torch.channels_last if last else torch.contiguous_format
    module = (
        nn.Sequential(nn.Conv2d(6, 8, 3), nn.Conv2d(8, 4, 3)).to(dtype).to(memory_format=layout)
    )
    module[0].eval()
    module[0].weight.requires_grad_(False)
    module[1].bias.requires_grad_(False)
    new = convert_all(module, method=method)
    assert {parameter.dtype for parameter in new.parameters()} == {dtype}
    for kernel in (
        new[0].depthwise.weight,
        new[0].pointwise.weight,
        new[1].depthwise.weight,
        new[1].pointwise.weight,
    ):
        assert kernel.stride() == torch.empty(kernel.shape, memory_format=layout).stride()
        assert kernel.is_leaf
    assert not any(part.training for part in new[0].modules())
    assert all(part.training for part in new[1].modules())
    grads = {name: parameter.requires_grad for name, parameter in new.named_parameters()}
    assert grads == {
        "0.depthwise.weight": False, "0.pointwise.weight": False, "0.pointwise.bias": True,
        "1.depthwise.weight": True, "1.pointwise.weight": True, "1.pointwise.bias": False,
    }  # fmt: skip


def test_half_precision_is_decomposed_before_it_is_rounded() -> None:
    conv = nn.Conv2d(8, 12, 3, bias=False).bfloat16()
    new = convert_all(conv, rank=FULL).double()
    assert off(conv.double(), new, values(1, 8, 9, 9)) < 1e-2


def test_computed_weights_need_gradients_as_what_they_are_made_of() -> None:
    conv = parametrizations.weight_norm(nn.Conv2d(4, 6, 3))
    assert all(parameter.requires_grad for parameter in convert_all(conv).parameters())
    conv.parametrizations.weight.requires_grad_(False)
    new = convert_all(conv)
    assert [
        parameter.requires_grad for parameter in (new.depthwise.weight, new.pointwise.bias)
    ] == [False, True]


def test_a_model_on_meta_keeps_its_structure() -> None:
    with torch.device("meta"):
        module = nn.Sequential(nn.Conv2d(4, 6, 3), SameConv(6, 8, 3, 2))
    new = convert_all(module, method="random", rank=2)
    assert all(parameter.is_meta for parameter in new.parameters())
    assert new(torch.empty(1, 4, 12, 12, device="meta")).shape == (1, 8, 5, 5)
    message = r"^'0' is on meta, without weights to decompose: method='random' needs none$"
    with pytest.raises(InputError, match=message):
        convert_all(module)


@pytest.mark.parametrize(
    "contexts",
    [(lambda: torch.autocast("cpu"), lambda: torch.device("meta")), (FakeTensorMode,)],
    ids=["autocast and meta", "fake tensors"],
)
def test_a_context_of_the_caller_changes_nothing(contexts: tuple[Callable[[], Any], ...]) -> None:
    module = Standardised(4, 6, 3)
    expected = convert_all(module)
    with ExitStack() as stack:
        for context in contexts:
            stack.enter_context(context())
        found = convert_all(module)
        assert dscost.analyze(module, input=(1, 4, 8, 8)).totals.as_is.macs == 6 * 6 * 6 * 4 * 9
    assert all(
        torch.equal(a, b) for a, b in zip(found.parameters(), expected.parameters(), strict=True)
    )


def test_a_converted_model_learns() -> None:
    with torch.inference_mode():
        module = convert_all(nn.Sequential(nn.Conv2d(4, 6, 3, bias=False)))
    module(torch.randn(1, 4, 9, 9)).sum().backward()
    assert all(
        parameter.grad is not None and parameter.grad.any() for parameter in module.parameters()
    )


# -- modules and weights in many places


def test_a_shared_convolution_is_converted_once_under_all_of_its_names() -> None:
    result = dscost.conversion(under_two_parents(), min_channels=1)
    assert [layer.name for layer in result.layers] == ["0.0"]
    new = result.module
    assert isinstance(new[0][0], DepthwiseSeparableConv2d)
    assert new[0][0] is new[1] is new[2].body


def test_a_convolution_in_a_plain_list_is_replaced_there_too() -> None:
    conv = nn.Conv2d(4, 4, 3)
    module = Calling(lambda self, x: self.parts[0](x), conv=conv, parts=[conv])
    new = convert_all(module)
    assert new.parts[0] is new.conv
    assert isinstance(new.conv, DepthwiseSeparableConv2d)


def test_a_method_of_a_convolution_is_that_of_its_replacement() -> None:
    conv = nn.Conv2d(4, 4, 3).double()
    module = Calling(lambda self, x: self.bound(x), conv=conv, bound=conv.forward)
    new = convert_all(module, rank=FULL)
    assert new.bound.__self__ is new.conv
    assert off(module, new, values(1, 4, 8, 8)) < 1e-10


def test_tied_weights_stay_tied() -> None:
    new = convert_all(tied(bias=True))
    assert new[0].depthwise.weight is new[2].depthwise.weight
    assert new[0].pointwise.weight is new[2].pointwise.weight
    assert new[0].pointwise.bias is new[2].pointwise.bias
    assert (new[0].depthwise.dilation, new[2].depthwise.dilation) == ((1, 1), (2, 2))


def test_a_bias_tied_to_a_layer_that_stays_is_still_tied() -> None:
    module = nn.Sequential(nn.Conv2d(4, 6, 3), nn.Conv2d(6, 6, 1))
    module[1].bias = module[0].bias
    new = convert_all(module)
    assert new[0].pointwise.bias is new[1].bias
    assert new[1].bias is not module[1].bias


def test_tied_kernels_of_different_ranks_are_converted_apart() -> None:
    new = convert_all(tied(bias=False), plan={"0": 1, "2": 2})
    assert [new[0].depth_multiplier, new[2].depth_multiplier] == [1, 2]


def test_a_compiled_model_is_converted_inside() -> None:
    module = torch.compile(nn.Sequential(nn.Conv2d(4, 6, 3)), backend="eager")
    assert isinstance(convert_all(module)[0], DepthwiseSeparableConv2d)
    part = nn.Sequential(torch.compile(nn.Sequential(nn.Conv2d(4, 6, 3)), backend="eager"))
    result = dscost.conversion(part, min_channels=1)
    assert [(layer.name, layer.converted) for layer in result.layers] == [("0.0", True)]
    with torch.compiler.set_stance("force_eager"):
        assert result.module(torch.randn(1, 4, 9, 9)).shape == (1, 6, 7, 7)


def test_a_graph_of_torch_fx_is_converted() -> None:
    module = torch.fx.symbolic_trace(
        nn.Sequential(nn.Conv2d(4, 6, 3), nn.ReLU(), nn.Conv2d(6, 4, 3))
    ).double()
    assert off(module, convert_all(module, rank=FULL), values(1, 4, 9, 9)) < 1e-10


# -- what stays, and why


class ScalesItsInput(nn.Conv2d):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(2 * x)


class NoisyWeights(nn.Conv2d):
    def forward(self, x: Tensor) -> Tensor:
        return self._conv_forward(x, self.weight + torch.rand_like(self.weight), self.bias)


class Linear1x1(nn.Conv2d):
    """A subclass that turns out to be pointwise."""

    def forward(self, x: Tensor) -> Tensor:
        return F.conv2d(x, self.weight.sum((2, 3), keepdim=True), self.bias)


class Upwards(nn.Conv2d):
    """A subclass that turns out to be transposed."""

    def forward(self, x: Tensor) -> Tensor:
        return F.conv_transpose2d(x, self.weight.transpose(0, 1), self.bias)


MORE = "its forward does more than the convolution: "
ALONE = "its forward cannot be run by itself"


def with_weight(conv: nn.Conv2d, weight: Tensor) -> nn.Conv2d:
    conv.weight = nn.Parameter(weight, requires_grad=False)
    return conv


KEPT: dict[str, tuple[Callable[[], nn.Module], str]] = {
    "transposed": (lambda: nn.ConvTranspose2d(4, 6, 3), "it is a transposed convolution"),
    "pointwise": (lambda: nn.Conv2d(4, 6, 1), "a 1×1 kernel has no spatial part to separate"),
    "depthwise": (lambda: nn.Conv2d(4, 8, 3, groups=4), "it is depthwise already (groups = in_channels = 4)"),
    "lazy": (lambda: nn.LazyConv2d(8, 3), "it is lazy: its weights have no shape before the model runs once"),
    "complex": (lambda: nn.Conv2d(4, 6, 3, dtype=torch.complex64), "its weights are complex"),
    "sparse": (
        lambda: with_weight(nn.Conv2d(4, 6, 3), torch.randn(6, 4, 3, 3).to_sparse()), "its weights are sparse"
    ),
    "whole numbers": (
        lambda: with_weight(nn.Conv2d(4, 6, 3), torch.ones(6, 4, 3, 3, dtype=torch.int8)), "its weights are quantised"
    ),
    "empty": (lambda: with_weight(nn.Conv2d(4, 6, 3), torch.empty(0, 4, 3, 3)), "it has no weights"),
    "with a norm": (lambda: WithNorm(4, 6, 3), MORE + "aten::batch_norm"),
    "twice": (lambda: Twice(4, 4, 3), MORE + "a second convolution"),
    "returns its input": (lambda: WithItsInput(4, 6, 3), MORE + "it returns something else"),
    "two inputs": (lambda: Masked(4, 6, 3), ALONE),
    "transposed in the end": (lambda: Upwards(4, 6, 3), ALONE),
    "scaled input": (
        lambda: ScalesItsInput(4, 6, 3), "it pads or changes its input in a way of its own: aten::mul"
    ),
    "noisy weights": (lambda: NoisyWeights(4, 6, 3), "its weights differ from call to call"),
    "pointwise in the end": (lambda: Linear1x1(4, 6, 3), "a 1×1 kernel has no spatial part to separate"),
}  # fmt: skip


@pytest.mark.parametrize("besides", [float("nan"), float("inf"), 3, 2.5, True, None, "text"])
def test_what_a_model_returns_besides_keeps_no_layer(besides: object) -> None:
    module = Calling(lambda self, x: (self.conv(x), [besides]), conv=nn.Conv2d(4, 6, 3))
    x = torch.randn(1, 4, 9, 9)
    assert layers_of(module, input=x)["conv"].converted
    # nor does it hide what a conversion would change
    asking = Calling(
        lambda self, x: (self.conv(x) * (2 if type(self.conv) is nn.Conv2d else 1), [besides]),
        conv=nn.Conv2d(4, 6, 3),
    )
    with pytest.raises(InputError, match="computes something else once 'conv' is converted"):
        layers_of(asking, input=x)


class Halved(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x / 2


def computed(name: str) -> nn.Conv2d:
    conv = nn.Conv2d(4, 6, 3)
    parametrize.register_parametrization(conv, name, Halved())
    return conv


SHAPES: dict[str, tuple[Callable[[], nn.Module], ConvSpec]] = {
    "plain": (lambda: nn.Conv2d(4, 6, 3), conv2d(4, 6, 3, bias=True)),
    "without bias": (lambda: nn.Conv2d(4, 6, 3, bias=False), conv2d(4, 6, 3, bias=False)),
    "a computed weight": (lambda: computed("weight"), conv2d(4, 6, 3, bias=True)),
    "a computed bias": (lambda: computed("bias"), conv2d(4, 6, 3, bias=True)),
    "uneven": (
        lambda: nn.Conv2d(4, 6, (3, 5), (1, 2), (4, 0), (2, 3), 2),
        conv2d(4, 6, (3, 5), stride=(1, 2), padding=(4, 0), dilation=(2, 3), groups=2, bias=True),
    ),
    "same": (lambda: nn.Conv2d(4, 6, 4, padding="same"), conv2d(4, 6, 4, padding="same", bias=True)),
    "valid": (lambda: nn.Conv2d(4, 6, 4, padding="valid"), conv2d(4, 6, 4, bias=True)),
    "reflecting": (
        lambda: nn.Conv2d(4, 6, 3, padding=1, padding_mode="reflect"),
        conv2d(4, 6, 3, padding=1, padding_mode="reflect", bias=True),
    ),
}  # fmt: skip


@pytest.mark.parametrize(("make", "conv"), SHAPES.values(), ids=SHAPES)
def test_the_shape_of_a_layer_is_told_whether_it_stays_or_not(
    make: Callable[[], nn.Module], conv: ConvSpec
) -> None:
    for where in ("0", "1"):
        layer = layers_of(nn.Sequential(make(), nn.Conv2d(6, 8, 3)), where=where)["0"]
        assert (layer.converted, layer.conv) == (where == "0", conv)


@pytest.mark.parametrize(("make", "reason"), KEPT.values(), ids=KEPT)
def test_what_cannot_be_converted_stays_and_says_why(
    make: Callable[[], nn.Module], reason: str
) -> None:
    torch.manual_seed(0)
    module = nn.Sequential(make(), nn.Conv2d(6, 8, 3))
    layers = layers_of(module)
    assert (layers["0"].converted, layers["0"].reason) == (False, reason)
    assert (layers["0"].rank, layers["0"].error, layers["0"].error_of) == (None, None, None)
    assert layers["1"].converted
    assert type(convert_all(module)[0]) is type(module[0])


def test_a_changed_forward_of_one_module_is_noticed() -> None:
    assert layers_of(with_forward(nn.Conv2d(4, 6, 3)))["0"].reason == MORE + "aten::mul"


def test_a_forward_bound_to_one_module_is_followed() -> None:
    conv = nn.Conv2d(4, 6, 3).double()
    conv.forward = MethodType(
        lambda self, x: self._conv_forward(x, self.weight.tanh(), self.bias), conv
    )
    assert off(conv, convert_all(conv, rank=FULL), values(1, 4, 9, 9)) < 1e-10


@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")
@pytest.mark.filterwarnings("ignore:.*torch.jit:FutureWarning")
def test_scripted_code_stays() -> None:
    scripted = torch.jit.script(nn.Sequential(nn.Conv2d(4, 6, 3)))
    layers = layers_of(nn.Sequential(scripted, nn.Conv2d(6, 8, 3)))
    assert layers["0"].reason == "it is scripted code"
    assert layers["1"].converted


@pytest.mark.filterwarnings("ignore:torch.quantize_per_tensor:UserWarning")
def test_a_quantised_convolution_stays() -> None:
    from torch.ao.nn.quantized import Conv2d

    layers = layers_of(nn.Sequential(Conv2d(4, 6, 3), nn.Conv2d(6, 8, 3)))
    assert layers["0"].reason == "it is quantised"
    assert layers["1"].converted


def test_a_convolution_of_few_channels_stays() -> None:
    module = nn.Sequential(nn.Conv2d(3, 40, 3), nn.Conv2d(40, 32, 3), nn.Conv2d(32, 31, 3))
    layers = layers_of(module, min_channels=32)
    assert [layer.reason for layer in layers.values()] == [
        "3 input channels are fewer than min_channels=32 (--min-channels 1 takes it)",
        None,
        "31 output channels are fewer than min_channels=32 (--min-channels 1 takes it)",
    ]


def test_a_convolution_of_a_function_is_listed_where_an_input_is_given() -> None:
    weight = nn.Parameter(torch.ones(4, 4, 1, 1))
    module = Calling(
        lambda self, x: F.conv2d(self.conv(x), self.weight), conv=nn.Conv2d(4, 4, 3), weight=weight
    )
    assert list(layers_of(module)) == ["conv"]
    layer = layers_of(module, input=(1, 4, 9, 9))[""]
    assert layer.reason == "it is computed by a function, not by a Conv2d"
    assert layer.before is not None
    assert layer.before.macs == 7 * 7 * 4 * 4


@pytest.mark.parametrize("wrong", [float("nan"), float("inf")])
@pytest.mark.parametrize("make", [nn.Conv2d, Standardised], ids=["plain", "computed"])
def test_weights_that_are_not_finite_are_refused_by_name(
    wrong: float, make: type[nn.Conv2d]
) -> None:
    module = nn.Sequential(nn.ReLU(), make(4, 6, 3))
    with torch.no_grad():
        module[1].weight[:] = wrong
    message = r"^the weights of '1' are not finite: 216 of 216 are NaN or infinite$"
    with pytest.raises(InputError, match=message):
        convert_all(module)
    with pytest.raises(InputError, match=message):
        able_sites(survey(module, min_channels=1))
    assert (
        layers_of(module, where=lambda name, part: False)["1"].reason == "where does not ask for it"
    )


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_weights_whose_sum_alone_is_not_finite_are_converted(dtype: torch.dtype) -> None:
    module = nn.Conv2d(4, 6, 3).to(dtype)
    nn.init.constant_(module.weight, torch.finfo(dtype).max / 100)
    assert not module.weight.sum().isfinite()
    assert layers_of(module)[""].converted


# -- which layers


def chain() -> nn.Module:
    return nn.ModuleDict(
        {name: nn.Sequential(nn.Conv2d(4, 4, 3), nn.Conv2d(4, 4, 3)) for name in ("stem", "body")}
    )


@pytest.mark.parametrize(
    ("where", "converted"),
    [
        (None, ["stem.0", "stem.1", "body.0", "body.1"]),
        ("body.*", ["body.0", "body.1"]),
        (["body.0", "*.1"], ["stem.1", "body.0", "body.1"]),
        (
            lambda name, part: name.endswith("0") and isinstance(part, nn.Conv2d),
            ["stem.0", "body.0"],
        ),
    ],
)
def test_where_says_which(where: Any, converted: list[str]) -> None:
    layers = layers_of(chain(), where=where)
    assert [name for name, layer in layers.items() if layer.converted] == converted
    assert {layer.reason for layer in layers.values() if not layer.converted} <= {
        "where does not ask for it"
    }


@pytest.mark.parametrize(
    ("where", "message"),
    [
        ("bodi.0", r"^unknown convolution 'bodi\.0' \(did you mean 'body\.0'\?\)$"),
        (["stem.*", "head.*"], r"^unknown convolution 'head\.\*'"),
        (3, r"^where is a glob on layer names, a list of them, or a function, found 3$"),
    ],
)
def test_a_glob_that_matches_nothing_is_refused(where: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        convert_all(chain(), where=where)


def test_a_glob_for_a_model_without_convolutions_is_refused() -> None:
    with pytest.raises(
        InputError, match=r"^where asks for 'a\*', but the model has no convolution$"
    ):
        dscost.convert(nn.Linear(3, 3), where="a*")


def test_a_plan_says_which_and_how() -> None:
    module = nn.Sequential(
        nn.Conv2d(3, 8, 3), nn.Conv2d(8, 8, 3), nn.Conv2d(8, 8, 3), nn.Conv2d(8, 4, 1)
    )
    layers = layers_of(module, plan={"0": 2, "1": "keep"}, min_channels=32)
    assert [(layer.rank, layer.reason) for layer in layers.values()] == [
        (2, None),
        (None, "the plan keeps it"),
        (None, "the plan does not name it"),
        (None, "a 1×1 kernel has no spatial part to separate"),
    ]
    assert layers_of(module, plan=Plan({"0": FULL}))["0"].rank == 8


def test_a_plan_may_be_a_file_and_gives_the_same_weights_again(tmp_path: Path) -> None:
    module = nn.Sequential(nn.Conv2d(6, 8, 3), nn.Conv2d(8, 8, 3))
    path = tmp_path / "plan.yaml"
    path.write_text(plan_text(Plan({"1": 3})))
    for plan in (path, str(path)):
        new = dscost.convert(module, plan=plan)
        other = dscost.convert(copy.deepcopy(module).apply(_emptied), plan=plan)
        other.load_state_dict(new.state_dict())
        x = torch.randn(1, 6, 9, 9)
        assert torch.equal(new(x), other(x))


def _emptied(part: nn.Module) -> None:
    for parameter in part.parameters(recurse=False):
        nn.init.ones_(parameter)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"plan": {"2": 1, "nope": 1, "1": 2}},
            "^plan: unknown layer '2' .*\nplan: unknown layer 'nope' .*\n"
            "plan: '1' cannot be converted: a 1×1 kernel has no spatial part to separate$",
        ),
        (
            {"plan": {"0": 0}},
            r"^plan: '0': expected a rank such as 2 or '2 pointwise-first', or keep, found 0$",
        ),
        (
            {"plan": {}, "rank": 2},
            "^a plan says which layers and ranks, so rank cannot be given with it$",
        ),
        ({"plan": {}, "rank": 2, "where": "0"}, "so rank and where cannot be given with it$"),
        ({"plan": 3}, "^a plan is a Plan, ranks by layer, or the path of a plan file, found 3$"),
        ({"rank": 0}, "^rank must be at least 1, found 0$"),
        ({"rank": 1.5}, r"^rank must be whole numbers, found 1\.5$"),
        ({"min_channels": 0}, "^min_channels must be at least 1, found 0$"),
        ({"method": "svg"}, r"^unknown method 'svg' \(did you mean 'svd'\?\)$"),
        ({"input": "large"}, "^an input is a shape, a tensor"),
        ({"input": (1, 3, 9, 9)}, "cannot be run on"),
        ({"input": iter(())}, "^input gives nothing: expected at least one input$"),
    ],
)
def test_arguments_that_cannot_be_meant_are_refused(options: dict[str, Any], message: str) -> None:
    module = nn.Sequential(nn.Conv2d(4, 8, 3), nn.Conv2d(8, 8, 1))
    with pytest.raises(InputError, match=message):
        dscost.convert(module, **options)


@pytest.mark.parametrize(
    "given", [{"input": (1, 4, 9, 9)}, {"input": torch.ones(1, 4, 9, 9)}], ids=["shape", "values"]
)
def test_a_model_that_runs_a_convolution_as_before_is_refused_where_it_can_be_run(
    given: dict[str, Any],
) -> None:
    """A copy of a function is the function itself, and what it closes over is what it was."""
    conv = nn.Conv2d(4, 8, 3)
    module = Calling(
        lambda self, x: self.other(self.run(x)),
        conv=conv,
        other=nn.Conv2d(8, 8, 3),
        run=lambda x: conv(x),
    )
    message = (
        r"^Calling runs 'conv' as before once converted: something that is not copied with a model, such as a closure, "
        r"holds what was to be replaced \(keep that layer, by where or a plan\)$"
    )
    with pytest.raises(InputError, match=message):
        convert_all(module, **given)
    new = convert_all(module, where="other", **given)
    assert isinstance(new.other, DepthwiseSeparableConv2d)


def test_an_input_of_another_dtype_than_the_weights_is_refused_and_says_what_to_give() -> None:
    message = (
        r"^Conv2d cannot be run on \(1, 4, 9, 9\) float32: RuntimeError: .* "
        r"\(the weights are torch\.float64: give input\.to\(torch\.float64\)\)$"
    )
    with pytest.raises(InputError, match=message):
        convert_all(nn.Conv2d(4, 8, 3).double(), input=torch.ones(1, 4, 9, 9))


def test_what_is_neither_a_module_nor_a_target_is_refused() -> None:
    message = r"^what is converted is an nn\.Module, or the name or path of a model, found 3$"
    with pytest.raises(InputError, match=message):
        dscost.convert(3)  # type: ignore[arg-type]
    with pytest.raises(InputError, match=r"^unknown model 'resnet_18'"):
        dscost.convert("resnet_18")


# -- targets of the command line

ARCHITECTURE = """
input: [3, 16, 16]
layers:
  - {conv: 3, out_channels: 32}
  - {conv: 3, out_channels: 32, stride: 2}
  - {conv: 3, out_channels: 48}
"""


@pytest.fixture
def architecture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    path = Path("net.yaml")
    path.write_text(ARCHITECTURE)
    return path


@pytest.mark.parametrize("kind", [str, Path])
def test_what_the_command_wrote_of_a_target_is_made_again_from_its_name(
    architecture: Path, kind: Any
) -> None:
    files = ["--save", "out.safetensors", "--save-plan", "plan.yaml"]
    assert (
        run(["convert", "net.yaml", "--goal", "macs=0.6x", "--input", "2,3,20,20", *files, "-q"])
        == 0
    )
    result = dscost.conversion(kind(architecture), plan="plan.yaml")
    assert any(layer.converted for layer in result.layers)
    x = torch.randn(2, 3, 20, 20)
    before = result.module.eval()(x)
    saved = load_file("out.safetensors")
    for name, value in result.module.state_dict().items():  # of the same initial weights
        assert torch.equal(value, saved[name]), name
    for parameter in result.module.parameters():
        nn.init.ones_(parameter)
    result.module.load_state_dict(saved)
    assert torch.equal(result.module(x), before)


def test_a_target_has_the_costs_of_the_input_that_it_the_plan_or_the_caller_states(
    architecture: Path,
) -> None:
    def macs(**options: Any) -> int:
        cost = dscost.conversion(architecture, **options).layers[1].before
        assert cost is not None
        return cost.macs

    per_position = 32 * 32 * 9
    assert macs() == 8 * 8 * per_position
    plan = Plan({}, inputs=(TensorSpec((2, 3, 20, 20)),))
    assert macs(plan=plan) == 2 * 10 * 10 * per_position
    assert macs(plan=plan, input=(1, 3, 4, 4)) == 2 * 2 * per_position


def test_a_target_is_calibrated_on_values(architecture: Path) -> None:
    x = torch.randn(2, 3, 16, 16)
    whole = dscost.conversion(architecture, input=x).layers[1]
    parts = dscost.conversion(architecture, input=iter(x.split(1))).layers[1]
    assert (whole.error_of, parts.error_of) == ("output", "output")
    assert whole.error == pytest.approx(parts.error, rel=1e-5)


def test_a_model_that_cannot_be_copied_is_refused() -> None:
    import threading

    module = nn.Sequential(nn.Conv2d(4, 8, 3))
    module.lock = threading.Lock()  # type: ignore[assignment]
    with pytest.raises(
        InputError, match=r"^Sequential cannot be copied: TypeError: cannot pickle '_thread.lock'"
    ):
        convert_all(module)


# -- nothing else changes


def well_equipped() -> nn.Module:
    shared = nn.Conv2d(4, 4, 3, padding=1)
    module = nn.Sequential(
        shared,
        nn.BatchNorm2d(4),
        old_weight_norm(nn.Conv2d(4, 4, 3)),
        parametrizations.spectral_norm(nn.Conv2d(4, 4, 3)),
        NoisyWeights(4, 4, 3),
        shared,
        nn.Dropout(),
    )
    module[1].eval()
    return module


def state_of(module: nn.Module) -> list[Any]:
    parts = list(module.modules())
    return [
        parts,
        [
            (part.training, dict(part._forward_hooks), dict(part._forward_pre_hooks))
            for part in parts
        ],
        [
            (name, parameter, parameter.requires_grad)
            for name, parameter in module.named_parameters()
        ],
    ]


def broken(module: nn.Module) -> nn.Module:
    with torch.no_grad():
        module[-2].weight[0, 0, 0, 0] = float("nan")
    return module


@pytest.mark.parametrize("fails", [False, True], ids=["and it works", "and it fails"])
@pytest.mark.parametrize(
    "options",
    [{}, {"method": "random"}, {"input": (2, 4, 12, 12)}, {"input": torch.ones(2, 4, 12, 12)}],
    ids=["svd", "random", "a shape", "calibrated"],
)
def test_the_given_model_is_untouched(options: dict[str, Any], fails: bool) -> None:
    module = well_equipped()
    called: list[str] = []
    module[0].register_forward_hook(lambda *_: called.append("hook"))
    if fails:
        broken(module)
        options = {**options, "method": "svd"}
    before, tensors = state_of(module), copy.deepcopy(module.state_dict())
    random_states = torch.get_rng_state(), random.getstate()
    if fails:
        with pytest.raises(InputError, match="not finite"):
            convert_all(module, **options)
    else:
        new = convert_all(module, **options)
        ours = {tensor.data_ptr() for tensor in (*module.parameters(), *module.buffers())}
        assert ours.isdisjoint(tensor.data_ptr() for tensor in (*new.parameters(), *new.buffers()))
    assert torch.equal(torch.get_rng_state(), random_states[0])
    assert random.getstate() == random_states[1]
    for now, then in zip(state_of(module), before, strict=True):
        assert str(now) == str(then)
    assert all(a is b for a, b in zip(module.modules(), before[0], strict=True))
    assert all(
        torch.equal(value.nan_to_num(), tensors[name].nan_to_num())
        for name, value in module.state_dict().items()
    )


class MadeAnewByCopying(nn.Conv2d):
    """A convolution whose copies begin with weights of their own."""

    def __deepcopy__(self, memo: dict[int, Any]) -> "MadeAnewByCopying":
        new = type(self)(self.in_channels, self.out_channels, self.kernel_size)  # type: ignore[arg-type]
        new.__dict__.update(copy.deepcopy(self.__dict__, memo))
        nn.init.zeros_(new.weight)
        return new


@pytest.mark.parametrize("input", [None, (1, 4, 9, 9)], ids=["without an input", "a shape"])
def test_a_class_that_writes_to_its_copies_writes_to_no_given_weights(input: Any) -> None:
    module = nn.Sequential(nn.Conv2d(4, 4, 3), MadeAnewByCopying(4, 4, 1))
    weights = copy.deepcopy([*module.state_dict().values()])
    assert not dict(convert_all(module, input=input).named_parameters())["1.weight"].any()
    assert all(map(torch.equal, module.state_dict().values(), weights))


def test_the_weights_of_a_large_model_are_copied_to_be_run_and_to_be_kept_only(
    monkeypatch: Any,
) -> None:
    module = nn.Sequential(nn.Conv2d(4, 4, 3), nn.Flatten(), nn.Linear(4, 2))
    copies: list[nn.Module] = []
    original = nn.Parameter.__deepcopy__

    def counted(self: nn.Parameter, memo: dict[int, Any]) -> Any:
        copies.extend([self] * (self is module[2].weight and id(self) not in memo))
        return original(self, memo)

    monkeypatch.setattr(nn.Parameter, "__deepcopy__", counted)
    convert_all(module, input=(1, 4, 3, 3))
    assert len(copies) == 1  # for the converted model
    copies.clear()
    module[1].register_forward_hook(lambda *_: None)  # it might write to weights
    convert_all(module, input=(1, 4, 3, 3))
    assert len(copies) == 3  # and to be run as it is, and with stand-ins


def adding_to_weights(part: Any, *args: Any) -> None:
    part.weight.data.add_(1)


class AddingToWeights(nn.Linear):
    def forward(self, x: Tensor) -> Tensor:
        adding_to_weights(self)
        return super().forward(x)


def with_changed_forward(module: nn.Linear) -> nn.Linear:
    module.forward = MethodType(lambda self, x: adding_to_weights(self) or x, module)  # type: ignore[method-assign]
    return module


def with_hook(module: nn.Linear) -> nn.Linear:
    module.register_forward_pre_hook(adding_to_weights)
    return module


@pytest.mark.parametrize(
    "last",
    [AddingToWeights(6, 6), with_changed_forward(nn.Linear(6, 6)), with_hook(nn.Linear(6, 6))],
    ids=["class", "forward", "hook"],
)
def test_a_model_that_writes_to_weights_when_it_runs_writes_to_no_given_ones(
    last: nn.Module,
) -> None:
    module = nn.Sequential(nn.Conv2d(4, 4, 3), last)
    weights = copy.deepcopy(module.state_dict())
    convert_all(module, input=(1, 4, 8, 8))
    assert all(torch.equal(value, weights[name]) for name, value in module.state_dict().items())


def test_a_converted_model_shares_no_memory_with_the_module_that_it_was_made_of() -> None:
    module = nn.Sequential(nn.Conv2d(4, 4, 3), nn.Conv2d(4, 2, 1))
    new = convert_target(module, Request((1, 4, 9, 9)), min_channels=1).module
    ours = {tensor.data_ptr() for tensor in module.parameters()}
    assert ours.isdisjoint(tensor.data_ptr() for tensor in new.parameters())


class Meanwhile(nn.Module):
    """A model during whose runs a thread that was there before runs one of its convolutions, as training would."""

    def __init__(self, pool: ThreadPoolExecutor) -> None:
        super().__init__()
        self.conv = nn.Conv2d(4, 4, 3)
        conv = self.conv
        meanwhile = functools.partial(
            pool.submit, lambda: conv(torch.zeros(1, 4, 5, 5)).sum().item()
        )
        MEANWHILE[id(conv)] = meanwhile
        self.key = id(conv)

    def forward(self, x: Tensor) -> Tensor:
        MEANWHILE[self.key]().result()
        result: Tensor = self.conv(x)
        return result


MEANWHILE: dict[int, Callable[[], Any]] = {}


def test_a_model_that_another_thread_runs_meanwhile_is_converted() -> None:
    with ThreadPoolExecutor(1) as pool:
        pool.submit(int).result()
        assert layers_of(Meanwhile(pool), input=(1, 4, 9, 9))["conv"].converted


def test_hooks_are_kept() -> None:
    seen: list[str] = []
    module = nn.Sequential(nn.Conv2d(4, 6, 3), nn.ReLU())
    for part in module:
        part.register_forward_hook(lambda part, args, result: seen.append(type(part).__name__))
    new = convert_all(module)
    assert seen == []  # hooks are tried on copies of what they close over
    new(torch.randn(1, 4, 9, 9))
    assert seen == ["DepthwiseSeparableConv2d", "ReLU"]


def test_what_is_not_converted_keeps_its_weights() -> None:
    module = nn.Sequential(
        nn.Conv2d(3, 4, 1), nn.Conv2d(4, 4, 3), nn.Linear(6, 5), nn.BatchNorm2d(4)
    )
    new = convert_all(module)
    for name, value in module.state_dict().items():
        if not name.startswith("1."):
            assert torch.equal(new.state_dict()[name], value)


def test_random_weights_follow_the_random_state_and_keep_the_scale() -> None:
    module = nn.Conv2d(64, 64, 3, padding=1, bias=False)
    torch.manual_seed(1)
    first, again = convert_all(module, method="random"), convert_all(module, method="random")
    torch.manual_seed(2)
    other = convert_all(module, method="random")
    assert torch.equal(first.depthwise.weight, again.depthwise.weight)
    assert not torch.equal(first.depthwise.weight, other.depthwise.weight)
    with torch.no_grad():
        spread = first(torch.randn(4, 64, 30, 30)).relu().square().mean()
    assert float(spread) == pytest.approx(1, rel=0.2)  # of what follows a ReLU, as of what comes in
    assert layers_of(module, method="random")[""].error is None


# -- the report


def test_the_report_has_costs_by_hand() -> None:
    module = twice(nn.Conv2d(8, 8, 3, padding=1))
    layer = layers_of(module, input=(2, 8, 5, 5), rank=2)["0"]
    assert layer.before is not None
    assert layer.after is not None
    assert layer.calls == 2
    assert layer.before.macs == 2 * 2 * 25 * 8 * 8 * 9
    assert layer.after.macs == 2 * 2 * 25 * 2 * (8 * 9 + 8 * 8)
    assert (layer.before.params, layer.after.params) == (8 * 8 * 9 + 8, 2 * (8 * 9 + 8 * 8) + 8)
    assert (layer.params_before, layer.params_after) == (layer.before.params, layer.after.params)


def test_without_an_input_only_params_are_known() -> None:
    layer = layers_of(nn.Conv2d(8, 8, 3))[""]
    assert (layer.calls, layer.before, layer.after) == (None, None, None)
    assert (layer.params_before, layer.params_after) == (8 * 8 * 9 + 8, 8 * 9 + 8 * 8 + 8)


def test_the_sum_over_layers_is_what_the_model_gains() -> None:
    module = nn.Sequential(
        nn.Conv2d(8, 8, 3), nn.ReLU(), nn.Conv2d(8, 12, 3, stride=2), nn.Conv2d(12, 3, 1)
    )
    shape = (2, 8, 16, 16)
    result = dscost.conversion(module, input=shape, min_channels=1)
    gained = sum(
        layer.before.macs - layer.after.macs
        for layer in result.layers
        if layer.before and layer.after
    )
    before, after = (
        dscost.analyze(one, input=shape).totals.as_is.macs for one in (module, result.module)
    )
    assert gained == before - after > 0


def test_the_report_is_json() -> None:
    module = nn.Sequential(nn.Conv2d(4, 8, 3), nn.ConvTranspose2d(8, 4, 3))
    found = dscost.conversion(module, min_channels=1, input=(1, 4, 9, 9)).to_dict()
    assert json.loads(json.dumps(found)) == found
    first, second = found["layers"]
    assert found["method"] == "svd"
    assert (first["name"], first["converted"], first["rank"], first["error_of"]) == (
        "0",
        True,
        1,
        "kernel",
    )
    assert first["before"]["macs"] == 49 * 8 * 4 * 9
    assert first["conv"]["kernel_size"] == [3, 3]
    assert (second["reason"], second["conv"]) == ("it is a transposed convolution", None)
    # every input value meets every weight that it has channels for
    assert second["before"]["macs"] == 49 * 8 * 4 * 9
    assert second["before"] == second["after"]
    assert second["params_before"] == second["params_after"] == 8 * 4 * 9 + 4
    assert second["calls"] == 1


def test_sites_tell_what_every_rank_would_be() -> None:
    module = nn.Sequential(nn.Conv2d(8, 6, 3, bias=False), nn.Conv2d(6, 6, 1), nn.Conv2d(6, 6, 3))
    traced = trace(module, arguments_of((1, 8, 9, 9)))
    first, second, third = survey(module, traced=traced, min_channels=1, where=["0", "1"])
    (run,) = first.runs
    assert run.batched_input_shape == (1, 8, 9, 9)
    ranks, forms = range(1, 7), first.forms("depthwise-first")
    assert (forms, first.calls) == ([Form(rank) for rank in ranks], 1)
    assert tuple(map(first.error, forms)) == Decomposition(module[0].weight, 1).errors
    assert [first.params(form) for form in forms] == [rank * (8 * 9 + 8 * 6) for rank in ranks]
    assert [first.macs(form) for form in forms] == [49 * rank * (8 * 9 + 8 * 6) for rank in ranks]
    ranks, forms = range(1, 9), first.forms("pointwise-first")
    assert forms == [Form(rank, "pointwise-first") for rank in ranks]
    mirror = Decomposition(module[0].weight, 1, order="pointwise-first")
    assert tuple(map(first.error, forms)) == mirror.errors
    assert [first.params(form) for form in forms] == [rank * (6 * 8 + 6 * 9) for rank in ranks]
    assert [first.macs(form) for form in forms] == [
        rank * (81 * 6 * 8 + 49 * 6 * 9) for rank in ranks
    ]
    assert (first.params(), first.macs()) == (6 * 8 * 9, 49 * 6 * 8 * 9)
    assert (second.applied, second.reason) == (None, "a 1×1 kernel has no spatial part to separate")
    assert (third.applied, third.reason) == (None, "where does not ask for it")


def test_a_site_on_meta_without_an_input_has_neither_values_nor_costs() -> None:
    with torch.device("meta"):
        module = nn.Conv2d(8, 6, 3)
    (found,) = survey(module, min_channels=1)
    assert (found.cost(), found.cost(Form(1)), found.calls) == (None, None, None)
    assert found.params(Form(1)) == 8 * 9 + 8 * 6 + 6
    with pytest.raises(InputError, match=r"is on meta, without weights to decompose"):
        found.require_values()


class OfItsOwn(nn.Sequential):
    """Has code, so that it is tried on a guess where no input is given."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x)


@pytest.fixture
def times(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How often each part of the work is done from here on."""
    counted: Counter[str] = Counter()

    def counting(home: Any, name: str) -> None:
        real = getattr(home, name)

        def count_and_call(*args: Any, **kwargs: Any) -> Any:
            counted[name] += 1
            return real(*args, **kwargs)

        monkeypatch.setattr(home, name, count_and_call)

    for home in (traced, surveying, rehearsing):
        counting(home, "trace")
    counting(torch.linalg, "svd")
    counting(surveying, "kernel_of")
    counting(of_modules, "survey")
    return counted


@pytest.mark.parametrize(
    "how", [{"rank": 2}, {"goal": "macs=0.6x"}, {"plan": {"0": 1, "2": 3}}], ids=str
)
def test_a_target_is_surveyed_and_decomposed_once(how: Any, times: Counter[str]) -> None:
    module = nn.Sequential(nn.Conv2d(64, 64, 3), nn.ReLU(), nn.Conv2d(64, 64, 3))
    convert_target(module, Request((1, 64, 9, 9)), **how)
    # the model itself, with stand-ins before and after it is decided what is done, and converted
    assert times == {"trace": 4, "svd": 2, "kernel_of": 2, "survey": 1}


def test_only_what_was_promised_for_a_goal_is_held_against_what_came_of_it() -> None:
    # the promise takes off the weights that are computed, and leaves their 32 magnitudes
    module = nn.Sequential(parametrizations.weight_norm(nn.Conv2d(32, 32, 3)))
    cases: list[tuple[Any, int]] = [({"goal": "macs=0.9x"}, 1), ({"rank": 1}, 0)]
    for how, times_told in cases:
        notes = convert_target(module, Request((1, 32, 8, 8)), **how).converted.outcome.notes
        assert sum("The plan expected" in note for note in notes) == times_told


def test_arguments_are_guessed_once(times: Counter[str]) -> None:
    dscost.convert(OfItsOwn(nn.Conv2d(64, 64, 3), nn.Conv2d(64, 64, 3)))
    assert times == {"trace": 3, "svd": 2, "kernel_of": 2, "survey": 1}


def test_layers_that_share_their_weights_are_decomposed_once(times: Counter[str]) -> None:
    module = nn.Sequential(nn.Conv2d(64, 64, 3), nn.Conv2d(64, 64, 3))
    module[1].weight = module[0].weight
    convert_target(module, Request((1, 64, 9, 9)), goal="macs=0.6x")
    assert times["svd"] == 1


@same_with_even_kernel
@pytest.mark.parametrize(("make", "shape"), CONVOLUTIONS.values(), ids=CONVOLUTIONS)
def test_every_model_that_can_be_rewritten_can_be_converted(
    make: Callable[[], nn.Module], shape: tuple[int, ...]
) -> None:
    """At full rank to the same outputs; nothing else of the model changes."""
    module = make().eval()
    if any(map(torch.nn.parameter.is_lazy, module.parameters())):
        module(torch.zeros(shape))
    with torch.compiler.set_stance("force_eager"):
        module = module.double()
        result = dscost.conversion(module, rank=FULL, min_channels=1, input=values(*shape))
        assert any(layer.converted for layer in result.layers)
        assert off(module, result.module, values(*shape)) < 1e-10


def test_what_passes_on_is_no_convolution() -> None:
    assert layers_of(nn.Sequential(PassedThrough(), nn.Conv2d(4, 6, 3))).keys() == {"1"}
