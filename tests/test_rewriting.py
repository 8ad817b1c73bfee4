"""A rewritten model costs what the what-if column promised, runs, and leaves the given one as it was."""

import copy
import warnings
from collections.abc import Callable, Iterator
from types import MethodType
from typing import Any, NamedTuple

import pytest
import torch
from hypothesis import given
from properties import dear_law
from test_trace_laws import SHAPE as MODULE_SHAPE
from test_trace_laws import modules, networks, torch_module
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812
from torch.nn.utils import parametrizations, prune

import dscost
from dscost.errors import InputError, UnavailableError
from dscost.layers.convolution import conv2d
from dscost.modules.building import Network
from dscost.networks.architectures import build, find_builtin
from dscost.networks.network import Operation
from dscost.networks.swaps import find_swaps
from dscost.reports.figures import Cost
from dscost.rewriting.convolutions import FixedPadding, SamePadding
from dscost.rewriting.probing import why_weight_stays
from dscost.rewriting.versions import PassedThrough, rewritten
from dscost.sources import ModuleSource, find_source
from dscost.tracing import arguments_of, trace

SEPARABLE = "depthwise_separable"
VARIANTS = ("standard", SEPARABLE)
FIGURES = ("params", "macs", "weight_bytes", "input_bytes", "output_bytes", "traffic_bytes")
Forward = Callable[..., Any]

same_with_even_kernel = pytest.mark.filterwarnings(
    "ignore:Using padding='same' with even kernel:UserWarning"
)
either_variant = pytest.mark.parametrize("variant", VARIANTS)


class Calling(nn.Module):
    """A model whose forward is a function of its children."""

    def __init__(self, function: Forward, **children: Any) -> None:
        super().__init__()
        self.function = function
        for name, child in children.items():
            setattr(self, name, child)

    def forward(self, *args: Any) -> Any:
        return self.function(self, *args)


def figures(cost: Cost) -> dict[str, int]:
    return {name: getattr(cost, name) for name in FIGURES}


class Rewritten(NamedTuple):
    """A model in another form, what stayed and why, and the names of what did not."""

    module: Any
    left: tuple[tuple[str, str], ...]
    replaced: tuple[str, ...]


def rewrite(module: nn.Module, shape: Any, variant: str) -> Rewritten:
    events = trace(module, arguments_of(shape)).events
    new, left = rewritten(module, events, find_swaps(events), variant)
    found = dict(new.named_modules(remove_duplicate=False))
    replaced: list[str] = []
    for path, old in module.named_modules():
        within = any(not one or path.startswith(f"{one}.") for one in replaced)
        if path in found and not within and is_another(old, found[path]):
            replaced.append(path)
    return Rewritten(new, tuple(left.items()), tuple(replaced))


def is_another(old: nn.Module, new: nn.Module) -> bool:
    """Whether a module is of another kind than the old one; every graph of torch.fx has its own."""
    groups = [getattr(one, "groups", None) for one in (old, new)]
    kinds = [f"{type(one).__module__}.{type(one).__qualname__}" for one in (old, new)]
    return kinds[0] != kinds[1] or groups[0] != groups[1]


def assert_law(module: nn.Module, shape: Any, variant: str) -> Rewritten:
    """The rewritten model costs, to the last byte, what was promised."""
    promised = getattr(dscost.analyze(module, input=shape).totals, variant)
    result = rewrite(module, shape, variant)
    assert result.left == ()
    assert figures(dscost.analyze(result.module, input=shape).totals.as_is) == figures(promised)
    return result


def values_of(output: Any) -> list[Tensor]:
    if isinstance(output, Tensor):
        return [output]
    return [
        value
        for part in (output.values() if isinstance(output, dict) else output)
        for value in values_of(part)
    ]


@torch.no_grad()
def assert_runs_alike(module: nn.Module, other: nn.Module, *inputs: Tensor) -> None:
    """Both give finite values of the same shapes."""
    expected, found = values_of(module(*inputs)), values_of(other(*inputs))
    assert [value.shape for value in found] == [value.shape for value in expected]
    assert all(value.isfinite().all() for value in found)


# -- every kind of convolution, made depthwise-separable


class Standardised(nn.Conv2d):
    def forward(self, x: Tensor) -> Tensor:
        weight = self.weight - self.weight.mean((1, 2, 3), keepdim=True)
        return F.conv2d(x, weight, self.bias, self.stride, self.padding, self.dilation, self.groups)


class SameConv(nn.Conv2d):
    """Pads as TensorFlow does, before the operator."""

    def forward(self, x: Tensor) -> Tensor:
        total = [
            max(0, (-(-n // s) - 1) * s + k - n)
            for n, k, s in zip(x.shape[-2:], self.kernel_size, self.stride, strict=True)
        ]
        sides = [side for t in reversed(total) for side in (t // 2, t - t // 2)]
        return F.conv2d(
            F.pad(x, sides), self.weight, self.bias, self.stride, 0, self.dilation, self.groups
        )


class PadsAround(nn.Conv2d):
    """Pads alike on both sides, before the operator, which pads once more."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(F.pad(x, (2, 2, 1, 1)))


class PadsAtTheTop(nn.Conv2d):
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.pad = nn.ZeroPad2d((0, 0, 2, 0))

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(self.pad(x))


class StandardisedInACircle(nn.Conv2d):
    def forward(self, x: Tensor) -> Tensor:
        return self._conv_forward(x, self.weight - self.weight.mean(), self.bias)


def twice(conv: nn.Module) -> nn.Module:
    return nn.Sequential(conv, nn.ReLU(), conv)


def under_two_parents() -> nn.Module:
    conv = nn.Conv2d(4, 4, 3, padding=1)
    return nn.Sequential(
        nn.Sequential(conv, nn.ReLU()),
        nn.ModuleDict({"again": conv})["again"],
        Calling(run, body=conv),
    )


def run(self: Any, x: Tensor) -> Tensor:
    return self.body(x)


def old_weight_norm(conv: nn.Module) -> nn.Module:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        return nn.utils.weight_norm(conv)


def tied(*, bias: bool) -> nn.Module:
    first, second = (
        nn.Conv2d(4, 4, 3, padding=1, bias=bias),
        nn.Conv2d(4, 4, 3, padding=2, dilation=2, bias=bias),
    )
    second.weight, second.bias = first.weight, first.bias
    return nn.Sequential(first, nn.ReLU(), second)


IMAGE, MAP = (2, 3, 9, 8), (2, 4, 9, 8)
CONV = {"stride": 2, "padding": 1}

CONVOLUTIONS: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    "the root": (lambda: nn.Conv2d(3, 8, 3, **CONV), IMAGE),
    "a chain": (
        lambda: nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 4, 5)),
        IMAGE,
    ),
    "without bias, in groups": (
        lambda: nn.Sequential(nn.Conv2d(4, 6, 3, groups=2, bias=False)),
        MAP,
    ),
    "padding='same'": (lambda: nn.Conv2d(3, 8, 3, padding="same", dilation=2), IMAGE),
    "padding='same', even kernel": (lambda: nn.Conv2d(3, 8, (4, 3), padding="same"), IMAGE),
    "padding='valid'": (lambda: nn.Conv2d(3, 8, 3, padding="valid"), IMAGE),
    "circular padding": (
        lambda: nn.Conv2d(3, 8, 3, padding=(1, 2), padding_mode="circular"),
        IMAGE,
    ),
    "reflected padding by name": (
        lambda: nn.Conv2d(3, 8, (3, 5), padding="same", padding_mode="reflect"),
        IMAGE,
    ),
    "replicated padding 'valid'": (
        lambda: nn.Conv2d(3, 8, 3, padding="valid", padding_mode="replicate"),
        IMAGE,
    ),
    "1-D": (lambda: nn.Conv1d(4, 6, 5, stride=2, padding=2), (2, 4, 11)),
    "3-D": (lambda: nn.Sequential(nn.Conv3d(3, 4, (1, 3, 3), padding=(0, 1, 1))), (1, 3, 4, 6, 5)),
    "unbatched": (lambda: nn.Conv2d(3, 8, 3), IMAGE[1:]),
    "standardised weights": (lambda: nn.Sequential(Standardised(3, 8, 3, **CONV)), IMAGE),
    "standardised weights, circular padding": (
        lambda: StandardisedInACircle(3, 8, 3, padding=1, padding_mode="circular"),
        IMAGE,
    ),
    "padding of its own": (
        lambda: nn.Sequential(SameConv(3, 8, 3, 2), SameConv(8, 4, 3, 2)),
        IMAGE,
    ),
    "padding of its own, alike on both sides": (lambda: PadsAround(3, 8, 3, padding=1), IMAGE),
    "padding of its own, none for this size": (lambda: SameConv(3, 8, 2, 2), (1, 3, 8, 8)),
    "padding of its own, called twice": (lambda: twice(SameConv(4, 4, 3, 2)), MAP),
    "padding of its own, uneven": (lambda: nn.Sequential(PadsAtTheTop(3, 8, 3)), IMAGE),
    "padding of its own and the operator's": (lambda: PadsAtTheTop(3, 8, 3, padding=(0, 1)), IMAGE),
    "padding by the parent": (
        lambda: Calling(lambda self, x: self.conv(F.pad(x, (0, 1, 1, 0))), conv=nn.Conv2d(3, 8, 3)),
        IMAGE,
    ),
    "weight norm": (lambda: nn.Sequential(parametrizations.weight_norm(nn.Conv2d(3, 8, 3))), IMAGE),
    "weight norm by hook": (lambda: nn.Sequential(old_weight_norm(nn.Conv2d(3, 8, 3))), IMAGE),
    "weight norm by hook of what stays": (
        lambda: nn.Sequential(nn.Conv2d(3, 8, 3), old_weight_norm(nn.Conv2d(8, 4, 1))),
        IMAGE,
    ),
    "spectral norm": (lambda: parametrizations.spectral_norm(nn.Conv2d(3, 8, 3)).eval(), IMAGE),
    "pruned": (lambda: prune.identity(nn.Conv2d(3, 8, 3), "weight"), IMAGE),
    "shared": (lambda: twice(nn.Conv2d(4, 4, 3, padding=1)), MAP),
    "shared by two parents": (under_two_parents, MAP),
    "tied weights": (lambda: tied(bias=False), MAP),
    "tied weights and biases": (lambda: tied(bias=True), MAP),
    "in a plain list and a child": (
        lambda: Calling(
            lambda self, x: self.parts[0](x), conv=(conv := nn.Conv2d(3, 8, 3)), parts=[conv]
        ),
        IMAGE,
    ),
    "a residual branch": (
        lambda: Calling(
            lambda self, x: x + self.body(x).relu(),
            body=nn.Sequential(nn.Conv2d(4, 4, 3, padding=1)),
        ),
        MAP,
    ),
    "read for its shape": (
        lambda: Calling(
            lambda self, x: self.conv(x).view(
                -1, self.conv.out_channels, 9 // self.conv.stride[0], 8
            ),
            conv=nn.Conv2d(3, 8, 3, padding=1),
        ),
        IMAGE,
    ),
    "a graph of torch.fx": (
        lambda: torch.fx.symbolic_trace(
            nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Conv2d(8, 4, 3))
        ),
        IMAGE,
    ),
    "compiled": (lambda: torch.compile(nn.Sequential(nn.Conv2d(3, 8, 3)), backend="eager"), IMAGE),
    "of a compiled part": (
        lambda: nn.Sequential(torch.compile(nn.Sequential(nn.Conv2d(3, 8, 3)), backend="eager")),
        IMAGE,
    ),
    "a compiled part itself": (
        lambda: nn.Sequential(torch.compile(nn.Conv2d(3, 8, 3), backend="eager")),
        IMAGE,
    ),
    "lazy": (lambda: nn.Sequential(nn.LazyConv2d(8, 3), nn.ReLU(), nn.LazyConv2d(4, 1)), IMAGE),
}


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Two threads on a busy machine take hundreds of times longer for small tensors."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@same_with_even_kernel
@pytest.mark.parametrize(("make", "shape"), CONVOLUTIONS.values(), ids=CONVOLUTIONS)
def test_every_kind_of_convolution_becomes_depthwise_separable(
    make: Callable[[], nn.Module], shape: tuple[int, ...]
) -> None:
    module = make().eval()
    with torch.compiler.set_stance("force_eager"):
        result = assert_law(module, shape, SEPARABLE)
        assert result.replaced
        names = dict(result.module.named_modules())
        stages = [name for name in names if name.rpartition(".")[2] == "depthwise"]
        assert len(stages) == len(result.replaced)
        assert_runs_alike(module, result.module, torch.randn(shape))
        # there is nothing left to do
        assert rewrite(result.module, shape, SEPARABLE).replaced == ()


@pytest.mark.parametrize("size", [8, 9], ids=["none", "one"])
@pytest.mark.parametrize("calls", [1, 2])
def test_a_padding_that_depends_on_the_size_still_does(calls: int, size: int) -> None:
    """Also where the size that was traced needed none."""
    module = nn.Sequential(*[SameConv(4, 4, 2, 2)] * calls)
    result = rewrite(module, (1, 4, size, size), SEPARABLE)
    assert result.left == ()
    assert_runs_alike(module, result.module, torch.randn(1, 4, 11, 16))


def test_an_odd_padding_is_larger_at_the_end() -> None:
    conv = conv2d(1, 1, (3, 5), stride=2)
    padded = SamePadding(conv)(torch.ones(1, 1, 2, 4))
    assert padded[0, 0].tolist() == [[0, 1, 1, 1, 1, 0, 0]] * 2 + [[0] * 7]
    assert torch.equal(FixedPadding((1, 2, 0, 1))(torch.ones(1, 1, 2, 4)), padded)


def test_a_new_convolution_tells_the_shape_of_the_one_that_it_replaces() -> None:
    old = nn.Conv2d(4, 6, (3, 5), stride=(2, 1), padding=(1, 2), dilation=(1, 2), groups=2)
    new = rewrite(nn.Sequential(old), (1, 4, 20, 20), SEPARABLE).module[0]
    for name in (
        "in_channels",
        "out_channels",
        "kernel_size",
        "stride",
        "padding",
        "dilation",
        "groups",
    ):
        assert getattr(new, name) == getattr(old, name)


@pytest.mark.parametrize(
    ("make", "shape", "variant"),
    [
        pytest.param(lambda: nn.Conv2d(4, 8, 3), (1, 4, 9, 9), SEPARABLE, id="2-D"),
        pytest.param(lambda: nn.Conv3d(4, 8, 3), (1, 4, 9, 9, 9), SEPARABLE, id="3-D"),
        pytest.param(
            lambda: nn.Sequential(*separable(4, 6)),
            (1, 4, 9, 9),
            "standard",
            id="of one channel per group",
        ),
    ],
)
@pytest.mark.parametrize("last", [True, False], ids=["channels last", "channels first"])
def test_the_layout_is_kept(
    make: Callable[[], nn.Module], shape: tuple[int, ...], variant: str, last: bool
) -> None:
    layout = torch.channels_last if len(shape) == 4 else torch.channels_last_3d
    module = make()
    if last:
        module.to(memory_format=layout)
    kernels = [
        tensor for tensor in rewrite(module, shape, variant).module.parameters() if tensor.dim() > 1
    ]
    assert kernels
    for kernel in kernels:
        wanted = torch.empty(
            kernel.shape, memory_format=layout if last else torch.contiguous_format
        )
        assert kernel.stride() == wanted.stride()


@either_variant
@pytest.mark.parametrize("device", ["cpu", "meta"])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64], ids=str)
def test_device_dtype_mode_and_need_of_gradients_are_kept(
    variant: str, device: str, dtype: torch.dtype
) -> None:
    module = nn.Sequential(nn.Conv2d(3, 8, 3), *separable(8, 4)).to(device, dtype)
    module[0].eval().requires_grad_(False)
    result = rewrite(module, torch.empty(IMAGE, dtype=dtype), variant).module
    assert {(t.device.type, t.dtype) for t in result.parameters()} == {(device, dtype)}
    assert not any(part.training for part in result[0].modules())
    assert all(part.training for child in result[1:] for part in child.modules())
    assert not any(parameter.requires_grad for parameter in result[0].parameters())
    assert all(parameter.requires_grad for parameter in result[1:].parameters())


# -- pairs, made standard


def separable(
    in_channels: int, out_channels: int, *between: nn.Module, **options: Any
) -> list[nn.Module]:
    middle = in_channels * options.pop("times", 1)
    depthwise = nn.Conv2d(
        in_channels, middle, 3, **{"padding": 1, "groups": in_channels, **options}
    )
    return [depthwise, *between, nn.Conv2d(middle, out_channels, 1)]


class Gate(nn.Module):
    """A squeeze-and-excite as torchvision and timm write it, its product a function."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.squeeze, self.excite = nn.Conv2d(channels, 2, 1), nn.Conv2d(2, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        return x * self.excite(self.squeeze(x.mean((2, 3), keepdim=True)).relu()).sigmoid()


class NormWithActivation(nn.BatchNorm2d):
    """As timm has it."""

    def __init__(self, channels: int) -> None:
        super().__init__(channels)
        self.act = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        return self.act(super().forward(x))


class HandWritten(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x * F.relu6(x + 3) / 6


class Tail(nn.Module):
    """Holds the end of a pair, and shapes its result."""

    def __init__(self) -> None:
        super().__init__()
        self.pointwise = nn.Conv2d(4, 6, 1)

    def forward(self, x: Tensor) -> Tensor:
        return self.pointwise(x.relu()).flatten(2)


class Product(nn.Module):
    def forward(self, first: Tensor, second: Tensor) -> Tensor:
        return first * second


def gate_by_its_parts(self: Any, x: Tensor) -> Tensor:
    x = self.depthwise(x)
    return self.pointwise(
        self.product(x, second=self.sigmoid(self.excite(self.pool(x)))) if self.excite else x
    )


def functional_between(self: Any, x: Tensor) -> Tensor:
    x = self.depthwise(x)
    return self.pointwise(F.dropout(F.relu6(x) * torch.sigmoid(x), training=False))


def shared_depthwise_and_pointwise() -> nn.Module:
    pair = nn.Sequential(*separable(4, 4, nn.BatchNorm2d(4)))
    return nn.Sequential(pair, nn.ReLU(), pair)


def two_depthwise_one_pointwise() -> nn.Module:
    (first, _), (second, pointwise) = separable(4, 4), separable(4, 4, padding=2, dilation=2)
    return nn.Sequential(first, pointwise, nn.ReLU(), second, pointwise)


def shared_activation() -> nn.Module:
    """It runs between stages and elsewhere, so it must stay."""
    act = nn.ReLU(inplace=True)
    first, second = separable(4, 6)
    return nn.Sequential(nn.Conv2d(4, 4, 1), act, first, act, second, act)


def tied_pairs() -> nn.Module:
    (first, pointwise), (second, other) = separable(4, 4), separable(4, 4)
    second.weight, other.weight, other.bias = first.weight, pointwise.weight, pointwise.bias
    return nn.Sequential(first, pointwise, nn.ReLU(), second, other)


def linear_between(self: Any, x: Tensor) -> Tensor:
    return self.linear(self.norm(self.dw(x).permute(0, 2, 3, 1))).permute(0, 3, 1, 2)


def linear_over_tokens(self: Any, x: Tensor) -> Tensor:
    return self.linear(self.act(self.dw(x).flatten(2).transpose(1, 2)))


def one_depthwise_two_linear(self: Any, x: Tensor) -> Tensor:
    return self.first(self.dw(x).mT).mT + self.second(self.dw(x).mT).mT


PAIRS: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    "nothing between": (lambda: nn.Sequential(*separable(4, 6)), MAP),
    "stride, bias, multiplier": (
        lambda: nn.Sequential(
            *separable(4, 6, nn.BatchNorm2d(8), nn.ReLU6(), times=2, stride=2, bias=False)
        ),
        MAP,
    ),
    "a norm with its activation": (
        lambda: nn.Sequential(*separable(4, 6, NormWithActivation(4))),
        MAP,
    ),
    "a norm without weights": (
        lambda: nn.Sequential(*separable(4, 6, nn.BatchNorm2d(4, affine=False))),
        MAP,
    ),
    "a norm of groups": (lambda: nn.Sequential(*separable(4, 6, nn.GroupNorm(2, 4))), MAP),
    "an activation with weights": (
        lambda: nn.Sequential(*separable(4, 6, nn.PReLU(4), nn.Dropout())),
        MAP,
    ),
    "an activation by hand": (lambda: nn.Sequential(*separable(4, 6, HandWritten())), MAP),
    "squeeze and excite": (
        lambda: nn.Sequential(*separable(4, 6, nn.BatchNorm2d(4), nn.SiLU(), Gate(4))),
        MAP,
    ),
    "squeeze and excite at one position": (
        lambda: nn.Sequential(*separable(4, 6, Gate(4))),
        (2, 4, 1, 1),
    ),
    "squeeze and excite by its parts": (
        lambda: Calling(
            gate_by_its_parts,
            **dict(
                zip(
                    ("depthwise", "excite", "pointwise"),
                    separable(4, 6, nn.Conv2d(4, 4, 1)),
                    strict=True,
                )
            ),
            pool=nn.AdaptiveAvgPool2d(1),
            sigmoid=nn.Sigmoid(),
            product=Product(),
        ),
        MAP,
    ),
    "functions of any number of channels": (
        lambda: Calling(
            functional_between,
            **dict(zip(("depthwise", "pointwise"), separable(4, 6), strict=True)),
        ),
        MAP,
    ),
    "circular padding": (lambda: nn.Sequential(*separable(4, 6, padding_mode="circular")), MAP),
    "padding of its own": (
        lambda: nn.Sequential(SameConv(4, 4, 3, 2, groups=4), nn.Conv2d(4, 6, 1)),
        MAP,
    ),
    "standardised weights": (
        lambda: nn.Sequential(Standardised(4, 4, 3, groups=4), nn.Conv2d(4, 6, 1)),
        MAP,
    ),
    "weight norm": (
        lambda: nn.Sequential(
            parametrizations.weight_norm(nn.Conv2d(4, 4, 3, groups=4)), nn.Conv2d(4, 6, 1)
        ),
        MAP,
    ),
    "pointwise in groups": (
        lambda: nn.Sequential(
            nn.Conv2d(4, 4, 3, groups=4), nn.Conv2d(4, 6, 1, groups=2, bias=False)
        ),
        MAP,
    ),
    "linear over channels last": (
        lambda: Calling(
            linear_between,
            dw=nn.Conv2d(4, 4, 3, groups=4),
            norm=nn.LayerNorm(4),
            linear=nn.Linear(4, 6),
        ),
        MAP,
    ),
    "linear over tokens": (
        lambda: Calling(
            linear_over_tokens,
            dw=nn.Conv2d(4, 4, 3, groups=4),
            act=nn.GELU(),
            linear=nn.Linear(4, 6),
        ),
        MAP,
    ),
    "1-D": (
        lambda: nn.Sequential(nn.Conv1d(4, 4, 5, groups=4), nn.BatchNorm1d(4), nn.Conv1d(4, 6, 1)),
        (2, 4, 11),
    ),
    "3-D": (
        lambda: nn.Sequential(nn.Conv3d(4, 8, 3, groups=4), nn.Conv3d(8, 6, 1)),
        (1, 4, 5, 6, 5),
    ),
    "a pointwise convolution whose result is flattened": (
        lambda: nn.Sequential(
            separable(4, 6)[0], nn.Sequential(nn.ReLU(), nn.Conv2d(4, 6, 1), nn.Flatten(2))
        ),
        MAP,
    ),
    "a pointwise convolution in a module that flattens": (
        lambda: nn.Sequential(separable(4, 6)[0], Tail()),
        MAP,
    ),
    "a block that runs twice": (shared_depthwise_and_pointwise, MAP),
    "one pointwise convolution in two pairs": (two_depthwise_one_pointwise, MAP),
    "tied weights in two pairs": (tied_pairs, MAP),
    "a graph of torch.fx": (
        lambda: torch.fx.symbolic_trace(nn.Sequential(*separable(4, 6, nn.ReLU()))),
        MAP,
    ),
}


@pytest.mark.parametrize(("make", "shape"), PAIRS.values(), ids=PAIRS)
def test_every_kind_of_pair_becomes_a_standard_convolution(
    make: Callable[[], nn.Module], shape: tuple[int, ...]
) -> None:
    module = make().eval()
    assert find_swaps(trace(module, arguments_of(shape)).events)
    result = rewrite(module, shape, "standard")
    assert result.left == ()
    promised = dscost.analyze(module, input=shape).totals.standard
    report = dscost.analyze(result.module, input=shape)
    names = ("params", "macs", "weight_bytes")
    assert [getattr(report.totals.as_is, name) for name in names] == [
        getattr(promised, name) for name in names
    ]
    assert not any(layer.conv.is_depthwise for layer in report.layers if layer.conv)
    assert_runs_alike(module, result.module, torch.randn(shape))


def test_what_lies_between_the_stages_of_a_pair_is_gone() -> None:
    between = nn.Sequential(nn.BatchNorm2d(4), nn.SiLU(), Gate(4))
    module = nn.Sequential(nn.Conv2d(3, 4, 1), *separable(4, 6, between), nn.BatchNorm2d(6))
    result = rewrite(module, IMAGE, "standard")
    assert [type(part).__name__ for part in result.module] == [
        *("Conv2d", "Conv2d", "Sequential", "PassedThrough", "BatchNorm2d")
    ]
    assert [type(part).__name__ for part in result.module[2]] == ["PassedThrough"] * 3
    assert result.replaced == ("1", "2.0", "2.1", "2.2", "3")
    x = torch.randn(IMAGE)
    assert torch.equal(result.module[:4](x), result.module[:2](x))


def test_a_gate_at_one_position_is_gone_too() -> None:
    """Its product alone would suit any number of channels."""
    gate = Calling(
        lambda self, x: x * self.excite(self.pool(x)),
        pool=nn.AdaptiveAvgPool2d(1),
        excite=nn.Conv2d(4, 4, 1),
    )
    assert rewrite(nn.Sequential(*separable(4, 6, gate)), (2, 4, 1, 1), "standard").replaced == (
        "0",
        "1",
        "2",
    )


@either_variant
def test_every_part_is_in_the_mode_of_the_model(variant: str) -> None:
    module = nn.Sequential(nn.Conv2d(3, 4, 3), *separable(4, 6, nn.BatchNorm2d(4))).eval()
    assert not any(part.training for part in rewrite(module, IMAGE, variant).module.modules())


def test_what_passes_on_returns_the_first_of_its_arguments() -> None:
    assert [PassedThrough()(1, 2), PassedThrough()(1, gate=2), PassedThrough()(x=1, gate=2)] == [
        1,
        1,
        1,
    ]


def test_modules_that_run_outside_of_the_pair_too_stay() -> None:
    module = shared_activation()
    result = rewrite(module, MAP, "standard")
    assert result.left == ()
    assert result.replaced == ("2", "4")
    assert isinstance(result.module[1], nn.ReLU)
    assert result.module[1] is result.module[3] is result.module[5]
    assert_runs_alike(module, result.module, torch.randn(MAP))


# -- one module in many places


def test_a_shared_convolution_is_replaced_once_under_all_of_its_names() -> None:
    module = under_two_parents()
    result = rewrite(module, MAP, SEPARABLE)
    assert result.replaced == ("0.0",)
    new = result.module
    assert isinstance(new[0][0], nn.Sequential)
    assert new[0][0] is new[1] is new[2].body


def test_tied_weights_stay_tied() -> None:
    new = rewrite(tied(bias=True), MAP, SEPARABLE).module
    assert new[0].depthwise.weight is new[2].depthwise.weight
    assert new[0].pointwise.weight is new[2].pointwise.weight
    assert new[0].pointwise.bias is new[2].pointwise.bias
    assert (new[0].depthwise.dilation, new[2].depthwise.dilation) == ((1, 1), (2, 2))


def test_biases_of_their_own_stay_so_where_kernels_are_tied() -> None:
    module = tied(bias=True)
    module[2].bias = nn.Parameter(torch.zeros(4))
    new = rewrite(module, MAP, SEPARABLE).module
    assert new[0].pointwise.weight is new[2].pointwise.weight
    assert new[0].pointwise.bias is not new[2].pointwise.bias


def test_a_module_that_stays_is_shared_in_the_copy_as_in_the_model() -> None:
    norm = nn.BatchNorm2d(4)
    module = nn.Sequential(norm, nn.Conv2d(4, 4, 3), norm)
    new = rewrite(module, MAP, SEPARABLE).module
    assert new[0] is new[2]
    assert new[0] is not norm


# -- what is left as it is


class Functional(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.kernel = nn.Parameter(torch.randn(4, 3, 3, 3))
        self.conv = nn.Conv2d(4, 5, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(F.conv2d(x, self.kernel))


class WithNorm(nn.Conv2d):
    """A convolution that brings its norm along, as detectron2 has it."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.norm = nn.BatchNorm2d(self.out_channels)

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(super().forward(x))


def with_forward(conv: nn.Conv2d) -> nn.Module:
    def doubled(self: nn.Conv2d, x: Tensor) -> Tensor:
        return nn.Conv2d.forward(self, x) * 2

    conv.forward = MethodType(doubled, conv)  # type: ignore[method-assign]
    return nn.Sequential(conv)


class Twice(nn.Conv2d):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(super().forward(x))


class Masked(nn.Conv2d):
    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        return super().forward(x) * mask


class WithItsInput(nn.Conv2d):
    def forward(self, x: Tensor) -> Any:
        return super().forward(x), x


class PadsOnceMore(nn.Conv2d):
    """Pads as it is told for inputs of one size."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(F.pad(x, (1, 0)) if x.shape[-1] == 8 else x)


def shared_depthwise_two_pointwise() -> nn.Module:
    depthwise, first = separable(4, 4)
    return nn.Sequential(depthwise, first, nn.ReLU(), depthwise, nn.Conv2d(4, 4, 1))


def pointwise_elsewhere_too() -> nn.Module:
    depthwise, pointwise = separable(4, 4)
    return nn.Sequential(pointwise, nn.Conv2d(4, 4, 1), depthwise, pointwise)


def depthwise_elsewhere_too() -> nn.Module:
    depthwise, pointwise = separable(4, 4)
    return nn.Sequential(depthwise, nn.ReLU(), nn.MaxPool2d(2), depthwise, pointwise)


def functional_norm(self: Any, x: Tensor) -> Tensor:
    return self.pair[1](F.batch_norm(self.pair[0](x), self.mean, self.variance))


def functional_gate(self: Any, x: Tensor) -> Tensor:
    x = self.pair[0](x)
    return self.pair[1](x * F.adaptive_avg_pool2d(x, 1).sigmoid())


def half_functional_gate(self: Any, x: Tensor) -> Tensor:
    x = self.pair[0](x)
    return self.pair[1](x * self.pool(x))


def functional_shuffle(self: Any, x: Tensor) -> Tensor:
    x = self.pair[0](x)
    return self.pair[1](x.unflatten(1, (2, 2)).transpose(1, 2).reshape(x.shape))


def functional_slope(self: Any, x: Tensor) -> Tensor:
    return self.pair[1](F.prelu(self.pair[0](x), self.slope))


def functional_shift(self: Any, x: Tensor) -> Tensor:
    return self.pair[1](self.pair[0](x) * self.mean.view(1, -1, 1, 1))


def functional_pointwise(self: Any, x: Tensor) -> Tensor:
    return F.conv2d(self.pair[0](x), self.pair[1].weight)


def calling_a_pair(function: Forward) -> nn.Module:
    module = Calling(function, pair=nn.ModuleList(separable(4, 6)))
    module.pool = nn.AdaptiveAvgPool2d(1)
    module.slope = nn.Parameter(torch.ones(1))
    module.register_buffer("mean", torch.zeros(4))
    module.register_buffer("variance", torch.ones(4))
    return module


BY_A_FUNCTION = "the convolution is computed by a function, not by a Conv2d"
MORE = "its forward does more than the convolution: "

LEFT: dict[str, tuple[Callable[[], nn.Module], Any, str, dict[str, str]]] = {
    "a functional convolution": (Functional, IMAGE, SEPARABLE, {"": BY_A_FUNCTION}),
    "a convolution with its norm": (
        lambda: nn.Sequential(WithNorm(3, 4, 3), nn.Conv2d(4, 5, 3)),
        IMAGE,
        SEPARABLE,
        {"0": MORE + "aten::batch_norm"},
    ),
    "a convolution whose forward was changed": (
        lambda: with_forward(nn.Conv2d(3, 4, 3)), IMAGE, SEPARABLE, {"0": MORE + "aten::mul"}
    ),
    "a convolution that runs twice in itself": (
        lambda: Twice(4, 4, 3), MAP, SEPARABLE, {"": MORE + "a second convolution"}
    ),
    "a convolution of two inputs": (
        lambda: Calling(lambda self, x: self.conv(x, x[:, :1, :7, :6]), conv=Masked(3, 4, 3)),
        IMAGE,
        SEPARABLE,
        {"conv": "its forward cannot be run by itself"},
    ),
    "a convolution that returns its input too": (
        lambda: Calling(lambda self, x: self.conv(x)[0], conv=WithItsInput(3, 4, 3)),
        IMAGE,
        SEPARABLE,
        {"conv": MORE + "it returns something else"},
    ),
    "a convolution with changing padding": (
        lambda: twice(PadsOnceMore(4, 4, 3)), MAP, SEPARABLE, {"0": "it pads its inputs differently from call to call"}
    ),
    "a depthwise convolution of two pairs": (
        shared_depthwise_two_pointwise, MAP, "standard", {"0": "its calls stand for different convolutions"}
    ),
    "a depthwise convolution of two linear layers": (
        lambda: Calling(one_depthwise_two_linear, dw=nn.Conv1d(4, 4, 3, groups=4), first=nn.Linear(4, 6),
                        second=nn.Linear(4, 6)),
        (2, 4, 9),
        "standard",
        {"dw": "its calls stand for different convolutions"},
    ),
    "a functional linear layer": (
        lambda: Calling(lambda self, x: F.linear(self.dw(x).mT, self.held.weight), dw=nn.Conv1d(4, 4, 3, groups=4),
                        held=nn.Linear(4, 6)),
        (2, 4, 9),
        "standard",
        {"dw": "aten::linear, which the model itself runs after it, cannot be taken out"},
    ),
    "a depthwise convolution that stands alone too": (
        depthwise_elsewhere_too, MAP, "standard", {"0": "it also runs where it cannot be replaced"}
    ),
    "a pointwise convolution that stands alone too": (
        pointwise_elsewhere_too, MAP, "standard", {"2": "aten::conv2d, which '0' runs after it, cannot be taken out"}
    ),
    "a functional norm": (
        lambda: calling_a_pair(functional_norm), MAP, "standard",
        {"pair.0": "aten::batch_norm, which the model itself runs after it, cannot be taken out"},
    ),
    "a functional gate": (
        lambda: calling_a_pair(functional_gate), MAP, "standard",
        {"pair.0": "aten::adaptive_avg_pool2d, which the model itself runs after it, cannot be taken out"},
    ),
    "a gate of which a part is functional": (
        lambda: calling_a_pair(half_functional_gate), MAP, "standard",
        {"pair.0": "aten::mul, which the model itself runs after it, cannot be taken out"},
    ),
    "a functional shuffle of channels": (
        lambda: calling_a_pair(functional_shuffle), MAP, "standard",
        {"pair.0": "aten::reshape, which the model itself runs after it, cannot be taken out"},
    ),
    "a functional activation with a parameter": (
        lambda: calling_a_pair(functional_slope), MAP, "standard",
        {"pair.0": "aten::prelu, which the model itself runs after it, cannot be taken out"},
    ),
    "a product with a vector": (
        lambda: calling_a_pair(functional_shift), MAP, "standard",
        {"pair.0": "aten::mul, which the model itself runs after it, cannot be taken out"},
    ),
    "a functional pointwise convolution": (
        lambda: calling_a_pair(functional_pointwise), MAP, "standard",
        {"pair.0": "aten::conv2d, which the model itself runs after it, cannot be taken out"},
    ),
}  # fmt: skip


@pytest.mark.parametrize(("make", "shape", "variant", "reasons"), LEFT.values(), ids=LEFT)
def test_what_cannot_be_replaced_is_left_and_named(
    make: Callable[[], nn.Module], shape: Any, variant: str, reasons: dict[str, str]
) -> None:
    module = make().eval()
    result = rewrite(module, shape, variant)
    assert dict(result.left) == reasons
    assert_runs_alike(module, result.module, torch.randn(shape))
    for name in reasons:
        kept = dict(result.module.named_modules())[name]
        assert type(kept) is type(dict(module.named_modules())[name])


def test_what_stays_keeps_those_that_share_a_part_with_it() -> None:
    """The pointwise convolution is of two pairs, one of which cannot be replaced."""
    (first, pointwise), second = separable(4, 4), nn.Parameter(torch.randn(4, 1, 3, 3))
    module = Calling(
        lambda self, x: self.pointwise(
            F.conv2d(self.pointwise(self.first(x)), self.second, groups=4)
        ),
        first=first,
        pointwise=pointwise,
        second=second,
    )
    result = rewrite(module, MAP, "standard")
    assert dict(result.left) == {
        "": BY_A_FUNCTION,
        "first": "aten::conv2d, which 'pointwise' runs after it, cannot be taken out",
    }
    assert result.replaced == ()
    assert_runs_alike(module, result.module, torch.randn(MAP))


def test_a_layer_that_is_left_costs_as_is_and_the_others_are_replaced() -> None:
    result = rewrite(Functional(), IMAGE, SEPARABLE)
    assert result.replaced == ("conv",)
    assert dscost.analyze(result.module, input=IMAGE).totals.as_is.macs == 2 * (
        7 * 6 * 4 * 3 * 9 + 5 * 4 * (4 * 9 + 5 * 4)
    )


@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")
@pytest.mark.filterwarnings("ignore:.*torch.jit:FutureWarning")
@pytest.mark.parametrize("whole", [True, False], ids=["the model", "a part of it"])
def test_scripted_code_is_left(whole: bool) -> None:
    scripted = torch.jit.script(nn.Sequential(nn.Conv2d(3, 4, 3)))
    module = scripted if whole else nn.Sequential(scripted, nn.Conv2d(4, 5, 3))
    result = rewrite(module, IMAGE, SEPARABLE)
    assert dict(result.left) == {"": "the convolution is in scripted code"}
    assert result.replaced == (() if whole else ("1",))
    assert_runs_alike(module, result.module, torch.randn(IMAGE))


@pytest.mark.filterwarnings(
    "ignore:.*LeafSpec:FutureWarning"
)  # torch warns of itself when it is copied
def test_an_exported_program_is_left() -> None:
    program = torch.export.export(
        nn.Sequential(nn.Conv2d(3, 4, 3)).eval(), (torch.randn(IMAGE),)
    ).module()
    result = rewrite(program, IMAGE, SEPARABLE)
    assert dict(result.left) == {"": BY_A_FUNCTION}
    assert_runs_alike(program, result.module, torch.randn(IMAGE))


def test_a_model_that_cannot_be_copied_is_refused() -> None:
    import threading

    module = nn.Sequential(nn.Conv2d(3, 4, 3))
    module.lock = threading.Lock()  # type: ignore[assignment]
    with pytest.raises(
        InputError, match=r"^Sequential cannot be copied: TypeError: cannot pickle '_thread.lock'"
    ):
        rewrite(module, IMAGE, SEPARABLE)


# -- nothing else changes


@either_variant
def test_a_form_that_a_model_has_already_stays(variant: str) -> None:
    module = nn.Conv2d(3, 8, 3) if variant == "standard" else nn.Sequential(*separable(4, 6))
    shape = IMAGE if variant == "standard" else MAP
    result = rewrite(module, shape, variant)
    assert (result.left, result.replaced) == ((), ())
    assert result.module is not module
    x = torch.randn(shape)
    assert torch.equal(result.module(x), module(x))


@either_variant
def test_the_given_model_is_untouched(variant: str) -> None:
    module = nn.Sequential(
        old_weight_norm(nn.Conv2d(4, 4, 3)), *separable(4, 6, nn.BatchNorm2d(4), Gate(4))
    )
    x = torch.randn(MAP)
    module.eval()
    before, parts, state = module(x), list(module.modules()), copy.deepcopy(module.state_dict())
    result = rewrite(module, MAP, variant)
    result.module(x)
    assert all(a is b for a, b in zip(module.modules(), parts, strict=True))
    assert module.state_dict().keys() == state.keys()
    assert all(torch.equal(tensor, state[name]) for name, tensor in module.state_dict().items())
    assert torch.equal(module(x), before)
    ours = {tensor.data_ptr() for tensor in module.parameters()}
    assert ours.isdisjoint(tensor.data_ptr() for tensor in result.module.parameters())


def test_what_is_not_replaced_keeps_its_weights() -> None:
    module = nn.Sequential(nn.Conv2d(3, 4, 1), nn.Conv2d(4, 4, 3), nn.Linear(6, 5))
    new = rewrite(module, IMAGE, SEPARABLE).module
    for name in ("0.weight", "0.bias", "2.weight", "2.bias"):
        assert torch.equal(new.get_parameter(name), module.get_parameter(name))


def test_hooks_stay_on_what_replaces_a_convolution() -> None:
    seen: list[str] = []
    module = nn.Sequential(nn.Conv2d(3, 4, 3))
    module[0].register_forward_pre_hook(lambda conv, args: (F.pad(args[0], (1, 1, 1, 1)),))
    module[0].register_forward_hook(
        lambda conv, args, result: seen.append(type(conv).__name__) or -result.abs()
    )
    new = rewrite(module, IMAGE, SEPARABLE).module
    seen.clear()
    result = new(torch.randn(IMAGE))
    assert result.shape == (2, 4, 9, 8)
    assert result.max() <= 0
    assert seen == ["Sequential"]


# -- random networks


@same_with_even_kernel
@dear_law
@given(networks())
def test_any_network_costs_what_was_promised_and_runs(operations: list[Operation]) -> None:
    module, shape = Network(operations).eval(), operations[0].input_shapes[0]
    for variant in VARIANTS:
        result = assert_law(module, shape, variant)
        assert_runs_alike(module, result.module, torch.randn(shape))


@dear_law
@given(modules())
def test_any_module_costs_what_was_promised(module: nn.Module) -> None:
    for variant in VARIANTS:
        promised = getattr(dscost.analyze(module, input=MODULE_SHAPE).totals, variant)
        result = rewrite(module, MODULE_SHAPE, variant)
        assert result.left == ()
        found = dscost.analyze(result.module, input=MODULE_SHAPE).totals.as_is
        assert (variant, found.params, found.macs) == (variant, promised.params, promised.macs)


@pytest.mark.parametrize(
    "name", ["resnet18", "mobilenet_v1", "mobilenet_v2", "mobilenet_v3_small", "xception", "vgg16"]
)
@either_variant
def test_a_builtin_costs_what_was_promised(name: str, variant: str) -> None:
    counted = dscost.analyze(name)
    operations = list(build(find_builtin(name), overrides={}).operations)
    result = assert_law(torch_module(operations), counted.inputs[0].shape, variant)
    found = dscost.analyze(result.module, input=counted.inputs[0].shape).totals.as_is
    assert figures(found) == figures(getattr(counted.totals, variant))


# -- the zoo

ZOO = [
    *(
        f"torchvision:{name}"
        for name in ("mobilenet_v2", "mobilenet_v3_small", "efficientnet_b0", "resnet18")
    ),
    *(
        f"torchvision:{name}"
        for name in ("regnet_y_400mf", "densenet121", "convnext_tiny", "shufflenet_v2_x1_0")
    ),
    *(
        f"timm:{name}"
        for name in ("mobilenetv3_large_100", "tf_efficientnet_lite0", "resnetv2_50", "repvgg_a0")
    ),
]


def source_of(target: str) -> ModuleSource:
    try:
        source = find_source(target)
    except UnavailableError as error:
        pytest.skip(str(error))
    assert isinstance(source, ModuleSource)
    return source


@either_variant
@pytest.mark.parametrize("target", ZOO)
def test_a_model_of_the_zoo_costs_what_was_promised(target: str, variant: str) -> None:
    source = source_of(target)
    assert_law(source.module, source.input, variant)


@either_variant
@pytest.mark.parametrize(
    "target", ["torchvision:mobilenet_v3_small", "timm:tf_efficientnet_lite0", "timm:resnetv2_50"]
)
def test_a_model_of_the_zoo_runs(target: str, variant: str) -> None:
    source = source_of(target)
    assert source.make_real is not None
    module = source.make_real()
    result = rewrite(module, (1, 3, 64, 64), variant)
    assert result.left == ()
    # another size than the one that it was traced with, odd to have the padding of SAME change its sides
    assert_runs_alike(module, result.module, torch.randn(2, 3, 75, 97))


WEIGHTS: dict[str, tuple[Callable[[], Tensor], str | None]] = {
    "floating-point": (lambda: torch.ones(2, 2, 3, 3), None),
    "of a parameter": (lambda: nn.Parameter(torch.ones(2, 2, 3, 3)), None),
    "half": (lambda: torch.ones(2, 2, 3, 3, dtype=torch.float16), None),
    "complex": (lambda: torch.ones(2, 2, 3, 3, dtype=torch.complex64), "its weights are complex"),
    "sparse": (lambda: torch.ones(2, 2, 3, 3).to_sparse(), "its weights are sparse"),
    "whole": (lambda: torch.ones(2, 2, 3, 3, dtype=torch.int8), "its weights are quantised"),
    "true or false": (lambda: torch.ones(2, 2, 3, 3, dtype=torch.bool), "its weights are quantised"),
    "quantised": (
        lambda: torch.quantize_per_tensor(torch.ones(2, 2, 3, 3), 0.1, 0, torch.qint8), "its weights are quantised"
    ),
    "none": (lambda: torch.ones(2, 0, 3, 3), "it has no weights"),
}  # fmt: skip


@pytest.mark.filterwarnings("ignore:torch.quantize_per_tensor:UserWarning")
@pytest.mark.parametrize(("make", "reason"), WEIGHTS.values(), ids=WEIGHTS)
def test_weights_of_what_kind_can_be_decomposed(
    make: Callable[[], Tensor], reason: str | None
) -> None:
    assert why_weight_stays(make()) == reason
