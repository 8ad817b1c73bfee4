"""Networks that compute the same, written in two ways, cost the same in all three versions and have the same pairs.

Bytes moved may differ: a view is free and a copy is not, and one way of writing makes copies where the other does not.
"""

import copy
from collections.abc import Callable
from itertools import pairwise

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

import dscost
from dscost.reports.records import Report

Forward = Callable[["Net", Tensor], Tensor]
C, N = 8, 12
"""Channels of the depthwise stage and outputs of the pointwise one."""


class Net(nn.Module):
    """Parts that every way of writing has, with the same weights, and a forward of its own."""

    def __init__(self, forward: Forward, parts: dict[str, nn.Module]) -> None:
        super().__init__()
        for name, part in parts.items():
            self.add_module(name, part)
        self._forward = forward

    def forward(self, x: Tensor) -> Tensor:
        return self._forward(self, x)


def linear_of(conv: nn.Module) -> nn.Linear:
    """A linear layer with the weights of a 1×1 convolution."""
    linear = nn.Linear(conv.in_channels, conv.out_channels, bias=conv.bias is not None)
    linear.weight.data = conv.weight.data.flatten(1)
    if conv.bias is not None:
        linear.bias.data = conv.bias.data
    return linear


class Numbers(nn.Module):
    """Parameters of their own."""

    def __init__(self, **sizes: int) -> None:
        super().__init__()
        for name, size in sizes.items():
            self.register_parameter(name, nn.Parameter(torch.rand(size) + 0.5))


def parts_2d(bias: bool = True) -> dict[str, nn.Module]:
    """A stem that could be separable, and a separable pair with whatever may stand between its stages."""
    torch.manual_seed(0)
    norm = nn.BatchNorm2d(C)
    norm.running_mean, norm.running_var = torch.randn(C), torch.rand(C) + 0.5
    nn.init.uniform_(norm.weight), nn.init.uniform_(norm.bias)
    return {
        "stem": nn.Conv2d(3, C, 3, padding=1),
        "dw": nn.Conv2d(C, C, 3, padding=1, groups=C, bias=bias),
        "norm": norm,
        "layer_norm": nn.LayerNorm(C),
        "squeeze": nn.Conv2d(C, 2, 1),
        "expand": nn.Conv2d(2, C, 1),
        "held": Numbers(scale=C, shift=C),
        "pw": nn.Conv2d(C, N, 1, bias=bias),
    }


def as_linear(*names: str) -> Callable[[dict[str, nn.Module]], None]:
    def change(parts: dict[str, nn.Module]) -> None:
        for name in names:
            parts[name] = linear_of(parts[name])

    return change


def replacing(**new: Callable[[nn.Module], nn.Module]) -> Callable[[dict[str, nn.Module]], None]:
    def change(parts: dict[str, nn.Module]) -> None:
        for name, make in new.items():
            parts[name] = make(parts[name])

    return change


def with_weights_of(old: nn.Module, new: nn.Module) -> nn.Module:
    for (_, a), (_, b) in zip(new.named_parameters(), old.named_parameters(), strict=True):
        a.data = b.data.reshape(a.shape)
    return new


class PadsFirst(nn.Conv2d):
    """As TF's "same" convolutions: the padding is in the forward."""

    def forward(self, x: Tensor) -> Tensor:
        return F.conv2d(
            F.pad(x, (1, 1, 1, 1)),
            self.weight,
            self.bias,
            self.stride,
            0,
            self.dilation,
            self.groups,
        )


class PadsNothingFirst(nn.Conv2d):
    def forward(self, x: Tensor) -> Tensor:
        return self._conv_forward(F.pad(x, (0, 0, 0, 0)), self.weight, self.bias)


def first(self: Net, x: Tensor) -> Tensor:
    return self.dw(F.relu(self.stem(x)))


def plain(self: Net, x: Tensor) -> Tensor:
    return self.pw(first(self, x))


def between(change: Callable[[Net, Tensor], Tensor]) -> Forward:
    return lambda self, x: self.pw(change(self, first(self, x)))


def last(change: Callable[[Net, Tensor], Tensor]) -> Forward:
    return lambda self, x: change(self, first(self, x))


def rows(x: Tensor) -> Tensor:
    return x.permute(0, 2, 3, 1)


def maps(x: Tensor) -> Tensor:
    return x.permute(0, 3, 1, 2)


def kernel(self: Net) -> Tensor:
    return self.pw.weight.flatten(1)


def plus_bias(self: Net, x: Tensor) -> Tensor:
    return x + self.pw.bias[:, None, None]


def gate(self: Net, x: Tensor) -> Tensor:
    return torch.sigmoid(self.expand(F.relu(self.squeeze(x))))


def shuffled_by_hand(self: Net, y: Tensor) -> Tensor:
    b, c, h, w = y.shape
    return y.view(b, 2, c // 2, h, w).transpose(1, 2).reshape(b, c, h, w)


def group_norm_by_hand(self: Net, y: Tensor) -> Tensor:
    grouped = y.unflatten(1, (2, C // 2))
    centred = grouped - grouped.mean((2, 3, 4), keepdim=True)
    variance = centred.square().mean((2, 3, 4), keepdim=True)
    return (centred * torch.rsqrt(variance + 1e-5)).flatten(1, 2)


def norm_by_hand(self: Net, y: Tensor) -> Tensor:
    n = self.norm
    scale = n.weight / torch.sqrt(n.running_var + n.eps)
    return (y - n.running_mean[:, None, None]) * scale[:, None, None] + n.bias[:, None, None]


def layer_norm_by_hand(self: Net, y: Tensor) -> Tensor:
    mean = y.mean(1, keepdim=True)
    variance = (y - mean).pow(2).mean(1, keepdim=True)
    n = self.layer_norm
    return (
        n.weight[:, None, None] * ((y - mean) / torch.sqrt(variance + n.eps))
        + n.bias[:, None, None]
    )


def response_norm(axes: tuple[int, int], channels: int) -> Callable[[Net, Tensor], Tensor]:
    """Global response normalisation (Woo et al. 2023, arXiv:2301.00808), with the residual that it has inside."""

    def forward(self: Net, y: Tensor) -> Tensor:
        size = y.norm(p=2, dim=axes, keepdim=True)
        relative = size / (size.mean(channels, keepdim=True) + 1e-6)
        scale, shift = (
            v if channels == -1 else v[:, None, None] for v in (self.held.scale, self.held.shift)
        )
        return scale * (y * relative) + shift + y

    return forward


def gelu_by_hand(self: Net, y: Tensor) -> Tensor:
    return 0.5 * y * (1 + torch.tanh((2 / torch.pi) ** 0.5 * (y + 0.044715 * y * y * y)))


def tokens(self: Net, x: Tensor) -> Tensor:
    """As Segformer's MixFFN: tokens become a map for the depthwise convolution alone."""
    b, _, h, w = x.shape
    held = F.relu(self.stem(x)).flatten(2).transpose(1, 2)
    y = self.dw(held.transpose(1, 2).view(b, C, h, w)).flatten(2).transpose(1, 2)
    return self.pw(F.gelu(y)).transpose(1, 2).reshape(b, N, h, w)


def gate_by_expand(self: Net, y: Tensor) -> Tensor:
    held = gate(self, F.adaptive_avg_pool2d(y, 1))
    return torch.mul(y, held.expand_as(y))


def gate_by_linear(self: Net, y: Tensor) -> Tensor:
    b, c, _, _ = y.shape
    return y * gate(self, y.mean([2, 3])).view(b, c, 1, 1)


def gate_by_einsum(self: Net, y: Tensor) -> Tensor:
    return torch.einsum("bchw,bc->bchw", y, gate(self, y.flatten(2).mean(-1)))


def gate_by_max_and_mean(
    pool: Callable[[Tensor], Tensor], largest: Callable[[Tensor], Tensor]
) -> Forward:
    """The channel attention of CBAM: one set of layers on two poolings."""
    return between(
        lambda self, y: (
            y * torch.sigmoid(sum(self.expand(F.relu(self.squeeze(p(y)))) for p in (pool, largest)))
        )
    )


def in_place(self: Net, y: Tensor) -> Tensor:
    F.relu(y, inplace=True)
    return y


SEVERAL = {  # name: (one way, another way, what changes of the parts for that)
    "1×1 as linear over channels last": (plain, last(lambda self, y: maps(self.pw(rows(y)))), as_linear("pw")),
    "1×1 as linear over contiguous rows": (
        plain, last(lambda self, y: maps(self.pw(rows(y).contiguous()))), as_linear("pw")
    ),
    "1×1 as linear over flattened positions": (
        plain, last(lambda self, y: self.pw(y.flatten(2).mT).mT.unflatten(2, y.shape[2:])), as_linear("pw")
    ),
    "1×1 as linear over the rows of all images": (
        plain, last(lambda self, y: maps(self.pw(rows(y).reshape(-1, C)).view(*rows(y).shape[:3], N))), as_linear("pw")
    ),
    "1×1 as a function": (plain, last(lambda self, y: F.conv2d(y, self.pw.weight, self.pw.bias)), None),
    "1×1 as linear, a function": (
        plain, last(lambda self, y: maps(F.linear(rows(y), kernel(self), self.pw.bias))), None
    ),
    "1×1 as a product from the left": (
        plain, last(lambda self, y: plus_bias(self, (kernel(self) @ y.flatten(2)).unflatten(2, y.shape[2:]))), None
    ),
    "1×1 as a product from the right": (
        plain, last(lambda self, y: maps(rows(y) @ kernel(self).T + self.pw.bias)), None
    ),
    "1×1 as einsum": (
        plain, last(lambda self, y: plus_bias(self, torch.einsum("bchw,oc->bohw", y, kernel(self)))), None
    ),
    "1×1 as einsum over channels last": (
        plain, last(lambda self, y: maps(torch.einsum("bhwc,oc->bhwo", rows(y), kernel(self)) + self.pw.bias)), None
    ),
    "1×1 as bmm": (
        plain,
        last(lambda self, y: plus_bias(
            self, torch.bmm(kernel(self).expand(len(y), N, C), y.flatten(2)).view(-1, N, *y.shape[2:]))),
        None,
    ),
    "1×1 as addmm": (
        plain,
        last(lambda self, y: maps(torch.addmm(self.pw.bias, rows(y).reshape(-1, C), kernel(self).T)
                                  .view(*rows(y).shape[:3], N))),
        None,
    ),
    "1×1 as tensordot": (
        plain, last(lambda self, y: maps(torch.tensordot(y, kernel(self), ([1], [1])) + self.pw.bias)), None
    ),
    "1×1 as inner": (plain, last(lambda self, y: maps(torch.inner(rows(y), kernel(self)) + self.pw.bias)), None),
    "1×1 as inner from the left": (
        plain, last(lambda self, y: plus_bias(self, torch.inner(kernel(self), rows(y)).transpose(0, 1))), None
    ),
    "1×1 as baddbmm": (
        plain,
        last(lambda self, y: torch.baddbmm(self.pw.bias.view(1, N, 1), kernel(self).expand(len(y), N, C), y.flatten(2))
             .view(-1, N, *y.shape[2:])),
        None,
    ),
    "1×1 as a 1-D convolution": (
        plain,
        last(lambda self, y: self.pw(y.flatten(2)).view(len(y), N, *y.shape[2:])),
        replacing(pw=lambda old: with_weights_of(old, nn.Conv1d(C, N, 1))),
    ),
    "1×1 as a 3-D convolution": (
        plain,
        last(lambda self, y: self.pw(y.unsqueeze(2)).squeeze(2)),
        replacing(pw=lambda old: with_weights_of(old, nn.Conv3d(C, N, 1))),
    ),
    "1×1 as a transposed convolution": (
        plain,
        last(lambda self, y: F.conv_transpose2d(y, self.pw.weight.transpose(0, 1), self.pw.bias)),
        None,
    ),
    "depthwise as a function": (
        plain,
        lambda self, x: self.pw(F.conv2d(F.relu(self.stem(x)), self.dw.weight, self.dw.bias, padding=1, groups=C)),
        None,
    ),
    "tokens": (
        between(lambda self, y: F.gelu(y)), tokens, as_linear("pw")
    ),
    "padding outside": (
        plain,
        lambda self, x: self.pw(self.dw(F.pad(F.relu(self.stem(x)), (1, 1, 1, 1)))),
        replacing(dw=lambda old: with_weights_of(old, nn.Conv2d(C, C, 3, groups=C))),
    ),
    "padding inside a subclass": (
        plain, plain, replacing(dw=lambda old: with_weights_of(old, PadsFirst(C, C, 3, groups=C)))
    ),
    "padding of nothing inside a subclass": (
        plain, plain, replacing(pw=lambda old: with_weights_of(old, PadsNothingFirst(C, N, 1)))
    ),
    "written into a buffer": (plain, between(lambda self, y: y.new_empty(y.shape).copy_(y)), None),
    "added to a buffer": (between(lambda self, y: y + 0), between(lambda self, y: torch.zeros(y.shape).add_(y)), None),
    "an activation in place": (between(lambda self, y: F.relu(y)), between(lambda self, y: y.relu_()), None),
    "an activation in place, its result unread": (between(lambda self, y: F.relu(y)), between(in_place), None),
    "padding of nothing by a function": (plain, between(lambda self, y: F.pad(y, (0, 0, 0, 0))), None),
    "padding of nothing by a module": (plain, between(lambda self, y: nn.ZeroPad2d(0)(y)), None),
    "padding of nothing by reflection": (plain, between(lambda self, y: F.pad(y, (0, 0, 0, 0), mode="reflect")), None),
    "identities": (
        plain,
        between(lambda self, y: F.dropout(nn.Identity()(y.clone()), training=False).to(y.dtype).detach().contiguous()),
        None,
    ),
    "another layout and back": (
        plain,
        between(lambda self, y: y.contiguous(memory_format=torch.channels_last).contiguous()),
        None,
    ),
    "permuted there and back": (plain, between(lambda self, y: maps(rows(y).contiguous()).contiguous()), None),
    "flattened and back": (plain, between(lambda self, y: y.flatten(2).clone().unflatten(2, y.shape[2:])), None),
    "viewed in its own shape": (plain, between(lambda self, y: y.view_as(y).reshape(y.shape)[:]), None),
    "a shuffle by hand": (between(lambda self, y: nn.ChannelShuffle(2)(y)), between(shuffled_by_hand), None),
    "a shuffle by views of positions too": (
        between(shuffled_by_hand),
        between(lambda self, y: y.view(len(y), 2, C // 2, -1).transpose(1, 2).contiguous().view(y.shape)),
        None,
    ),
    "normalisation as a function": (
        between(lambda self, y: self.norm(y)),
        between(lambda self, y: F.batch_norm(y, self.norm.running_mean, self.norm.running_var, self.norm.weight,
                                             self.norm.bias)),
        None,
    ),
    "normalisation by hand": (between(lambda self, y: self.norm(y)), between(norm_by_hand), None),
    "normalisation of groups by hand": (between(lambda self, y: F.group_norm(y, 2)), between(group_norm_by_hand), None),
    "layer normalisation by hand": (
        between(lambda self, y: maps(self.layer_norm(rows(y)))), between(layer_norm_by_hand), None
    ),
    "layer normalisation, then linear": (
        between(lambda self, y: maps(self.layer_norm(rows(y)))),
        last(lambda self, y: maps(self.pw(self.layer_norm(rows(y))))),
        as_linear("pw"),
    ),
    "layer normalisation in another dtype": (
        between(lambda self, y: maps(F.layer_norm(rows(y), (C,)))),
        between(lambda self, y: maps(F.layer_norm(rows(y).double(), (C,)).float())),
        None,
    ),
    "response normalisation": (
        between(response_norm((2, 3), 1)),
        last(lambda self, y: maps(self.pw(response_norm((1, 2), -1)(self, rows(y))))),
        as_linear("pw"),
    ),
    "a scale per channel": (
        between(lambda self, y: y * self.held.scale[:, None, None]),
        last(lambda self, y: maps(self.pw(self.held.scale * rows(y)))),
        as_linear("pw"),
    ),
    "swish by hand": (between(lambda self, y: F.silu(y)), between(lambda self, y: y * torch.sigmoid(y)), None),
    "hard swish by hand": (
        between(lambda self, y: F.hardswish(y)), between(lambda self, y: y * (y + 3).clamp(0, 6) / 6), None
    ),
    "relu by hand": (between(lambda self, y: F.relu(y)), between(lambda self, y: y.clamp(min=0)), None),
    "leaky relu by hand": (
        between(lambda self, y: F.leaky_relu(y, 0.1)), between(lambda self, y: torch.where(y > 0, y, 0.1 * y)), None
    ),
    "gelu by hand": (between(lambda self, y: F.gelu(y, approximate="tanh")), between(gelu_by_hand), None),
    "mish by hand": (between(lambda self, y: F.mish(y)), between(lambda self, y: y * F.softplus(y).tanh()), None),
    "log sigmoid by hand": (
        between(lambda self, y: F.logsigmoid(y)), between(lambda self, y: -F.softplus(-y)), None
    ),
    "relu against zeros": (
        between(lambda self, y: F.relu(y)), between(lambda self, y: torch.maximum(y, torch.zeros_like(y))), None
    ),
    "square by hand": (between(lambda self, y: y.pow(2)), between(lambda self, y: y * y), None),
    "relu in place": (between(lambda self, y: F.relu(y)), between(lambda self, y: y.relu_()), None),
    "a gate by linear layers": (
        between(lambda self, y: y * gate(self, y.mean((2, 3), keepdim=True))),
        between(gate_by_linear),
        as_linear("squeeze", "expand"),
    ),
    "a gate that is expanded": (
        between(lambda self, y: gate(self, nn.AdaptiveAvgPool2d(1)(y)) * y), between(gate_by_expand), None
    ),
    "a gate by average pooling of everything": (
        between(lambda self, y: y * gate(self, y.mean((2, 3), keepdim=True))),
        between(lambda self, y: y.mul(gate(self, F.avg_pool2d(y, y.shape[2:])))),
        None,
    ),
    "a gate by einsum": (
        between(lambda self, y: y * gate(self, y.mean((2, 3), keepdim=True))),
        between(gate_by_einsum),
        as_linear("squeeze", "expand"),
    ),
    "a gate by two means": (
        between(lambda self, y: y * gate(self, y.mean((2, 3), keepdim=True))),
        between(lambda self, y: y * gate(self, y.mean(3, keepdim=True).mean(2, keepdim=True))),
        None,
    ),
    "a gate by a sum": (
        between(lambda self, y: y * gate(self, y.mean((2, 3), keepdim=True))),
        between(lambda self, y: y * gate(self, y.flatten(2).sum(2)[..., None, None] / y[0, 0].numel())),
        None,
    ),
    "a gate over channels last": (
        between(lambda self, y: y * gate(self, y.mean((2, 3), keepdim=True))),
        last(lambda self, y: maps(self.pw(rows(y) * gate(self, rows(y).mean((1, 2), keepdim=True))))),
        as_linear("squeeze", "expand", "pw"),
    ),
    "a gate on two poolings": (
        gate_by_max_and_mean(lambda y: y.mean((2, 3), keepdim=True), lambda y: y.amax((2, 3), keepdim=True)),
        gate_by_max_and_mean(nn.AdaptiveAvgPool2d(1), nn.AdaptiveMaxPool2d(1)),
        None,
    ),
}  # fmt: skip


def pairs_and_others(report: Report) -> tuple[int, int]:
    return (
        sum(layer.separable_pairs for layer in report.layers),
        sum(layer.could_be_separable for layer in report.layers),
    )


def assert_cost_the_same(
    one: nn.Module, other: nn.Module, shape: tuple[int, ...], pairs: int, others: int
) -> None:
    x = torch.randn(shape)
    with torch.no_grad():
        torch.testing.assert_close(one(x), other(x), rtol=1e-4, atol=1e-5)
    reports = [dscost.analyze(way, input=shape, strict=True) for way in (one, other)]
    for report in reports:
        assert pairs_and_others(report) == (pairs, others)
        assert not [text for text in report.warnings if "no pointwise partner" in text]
    for version in ("as_is", "standard", "depthwise_separable"):
        figures = [
            (version, cost.params, cost.macs, cost.weight_bytes)
            for cost in (getattr(report.totals, version) for report in reports)
        ]
        assert figures[0] == figures[1]


@pytest.mark.parametrize(("one", "other", "change"), SEVERAL.values(), ids=SEVERAL)
def test_two_ways_to_write_a_network_cost_the_same(
    one: Forward, other: Forward, change: Callable[[dict[str, nn.Module]], None] | None
) -> None:
    parts = parts_2d()
    changed = copy.deepcopy(parts)
    if change:
        change(changed)
    ways = Net(one, parts).eval(), Net(other, changed).eval()
    assert_cost_the_same(*ways, (2, 3, 6, 5), pairs=1, others=1)
    # the pair as one 3×3 convolution from C to N, beside the stem; between them the pair had norms and gates, gone
    standard = dscost.analyze(ways[1], input=(2, 3, 6, 5)).totals.standard
    assert standard.macs == 2 * 6 * 5 * 9 * (3 * C + C * N)


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
@pytest.mark.parametrize(
    "name",
    ["layer normalisation, then linear", "a gate by linear layers"],
)
def test_so_do_their_exported_programs_in_basic_operators(name: str) -> None:
    one, other, change = SEVERAL[name]
    parts = parts_2d()
    changed = copy.deepcopy(parts)
    if change:
        change(changed)
    x = torch.randn(2, 3, 6, 5)
    for way in (Net(one, parts).eval(), Net(other, changed).eval()):
        program = torch.export.export(way, (x,)).run_decompositions()
        report = dscost.analyze(program.module(), input=tuple(x.shape))
        assert pairs_and_others(report) == (1, 1)
        assert report.totals.standard.macs == 2 * 6 * 5 * 9 * (3 * C + C * N)


@pytest.mark.parametrize("dimensions", [1, 3])
def test_so_do_those_of_other_dimensions(dimensions: int) -> None:
    torch.manual_seed(0)
    conv = {1: nn.Conv1d, 3: nn.Conv3d}[dimensions]
    dw, pw = conv(C, 2 * C, 3, padding=1, stride=2, groups=C, bias=False), conv(2 * C, N, 1)
    channels_last = (0, *range(2, dimensions + 2), 1)
    channels_first = (0, dimensions + 1, *range(1, dimensions + 1))
    one = nn.Sequential(dw, nn.SiLU(), pw)
    other = Net(
        lambda self, x: self.pw(F.silu(self.dw(x)).permute(channels_last)).permute(channels_first),
        {"dw": copy.deepcopy(dw), "pw": linear_of(pw)},
    )
    assert_cost_the_same(one, other, (2, C, *(7, 6, 5)[:dimensions]), pairs=1, others=0)


def test_so_does_a_map_without_a_batch() -> None:
    torch.manual_seed(0)
    dw, pw = nn.Conv2d(C, C, 3, groups=C), nn.Conv2d(C, N, 1)
    other = Net(
        lambda self, x: self.pw(self.dw(x).permute(1, 2, 0)).permute(2, 0, 1),
        {"dw": copy.deepcopy(dw), "pw": linear_of(pw)},
    )
    assert_cost_the_same(nn.Sequential(dw, pw), other, (C, 7, 6), pairs=1, others=0)


def test_extents_of_one_size_do_not_confuse_the_axes() -> None:
    """Channels, height and width are as many as the images."""
    torch.manual_seed(0)
    dw, pw = nn.Conv2d(4, 4, 3, padding=1, groups=4), nn.Conv2d(4, 4, 1)
    parts = {"dw": copy.deepcopy(dw), "pw": linear_of(pw)}
    other = Net(lambda self, x: maps(self.pw(rows(self.dw(x)))), parts)
    assert_cost_the_same(nn.Sequential(dw, pw), other, (4, 4, 4, 4), pairs=1, others=0)
    over_width = Net(lambda self, x: self.pw(self.dw(x)), copy.deepcopy(parts))
    assert pairs_and_others(dscost.analyze(over_width, input=(4, 4, 4, 4))) == (0, 0)


class ConvNeXtBlock(nn.Module):
    """Liu et al. 2022 (arXiv:2201.03545), with the two ways in which its authors write the same block."""

    def __init__(self, channels: int, *, linear: bool) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.dw = nn.Conv2d(channels, channels, 7, padding=3, groups=channels)
        self.norm = nn.LayerNorm(channels)
        up, down = nn.Conv2d(channels, 4 * channels, 1), nn.Conv2d(4 * channels, channels, 1)
        self.gamma = nn.Parameter(torch.rand(channels))
        self.up, self.down = (linear_of(up), linear_of(down)) if linear else (up, down)
        self.linear = linear

    def forward(self, x: Tensor) -> Tensor:
        y = self.norm(rows(self.dw(x)))
        y = y if self.linear else maps(y)
        y = self.down(F.gelu(self.up(y)))
        y = y if self.linear else rows(y)
        return x + maps(self.gamma * y)


def test_a_convnext_has_one_standard_figure_however_it_is_written() -> None:
    blocks = [
        nn.Sequential(*(ConvNeXtBlock(8, linear=linear) for _ in range(3)))
        for linear in (False, True)
    ]
    assert_cost_the_same(*blocks, (1, 8, 9, 7), pairs=3, others=0)
    totals = dscost.analyze(blocks[1], input=(1, 8, 9, 7)).totals
    assert totals.as_is.macs == 3 * 63 * (8 * 49 + 2 * 8 * 32)
    assert totals.standard.macs == 3 * 63 * (8 * 32 * 49 + 32 * 8)


class PadsAsTensorFlow(nn.Module):
    """A MobileNetV1 (Howard et al. 2017) as transformers writes it: every convolution is padded before, a 1×1 by 0."""

    def __init__(self, *, pads_before: bool) -> None:
        super().__init__()
        widths = [32, 64, 128, 128, 256, 256, *[512] * 6, 1024, 1024]
        convs = [nn.Conv2d(3, 32, 3, 2, bias=False)]
        for at, (width, out) in enumerate(pairwise(widths)):
            convs.append(
                nn.Conv2d(
                    width, width, 3, 2 if at in (1, 3, 5, 11) else 1, groups=width, bias=False
                )
            )
            convs.append(nn.Conv2d(width, out, 1, bias=False))
        if not pads_before:
            for conv in convs:
                conv.padding = tuple(k // 2 for k in conv.kernel_size)
        self.convs = nn.ModuleList(convs)
        self.norms = nn.ModuleList(nn.BatchNorm2d(conv.out_channels) for conv in convs)
        self.pads_before = pads_before

    def forward(self, x: Tensor) -> Tensor:
        for conv, norm in zip(self.convs, self.norms, strict=True):
            if self.pads_before:
                total = [max(k - (s if size % s == 0 else size % s), 0)
                         for size, k, s in zip(x.shape[2:], conv.kernel_size, conv.stride, strict=True)]  # fmt: skip
                x = F.pad(
                    x,
                    (
                        total[1] // 2,
                        total[1] - total[1] // 2,
                        total[0] // 2,
                        total[0] - total[0] // 2,
                    ),
                )
            x = F.relu6(norm(conv(x)))
        return x


@pytest.mark.parametrize("pads_before", [False, True])
def test_a_mobilenet_that_pads_as_tensorflow_does_has_the_figure_of_the_paper(
    pads_before: bool,
) -> None:
    report = dscost.analyze(
        PadsAsTensorFlow(pads_before=pads_before).eval(), input=(1, 3, 224, 224)
    )
    assert pairs_and_others(report) == (13, 1)
    # the paper's 4866 M and 568 M without the 1,024,000 of the classifier
    assert report.totals.as_is.macs == 568_740_352 - 1_024_000
    assert report.totals.standard.macs == 4_866_269_184


# -- what looks alike and is no pair

NO_PAIR: dict[str, tuple[Forward, Callable[[dict[str, nn.Module]], None] | None]] = {
    "a residual around the depthwise stage": (lambda self, x: self.pw((y := F.relu(self.stem(x))) + self.dw(y)), None),
    "a gate from elsewhere": (
        lambda self, x: self.pw(self.dw(y := F.relu(self.stem(x))) * torch.sigmoid(y.mean((2, 3), keepdim=True))), None
    ),
    "a product with the input": (lambda self, x: self.pw(self.dw(y := self.stem(x)) * y), None),
    "the gated beside the ungated": (
        between(lambda self, y: y * gate(self, y.mean((2, 3), keepdim=True)) + y), None
    ),
    "max pooling": (between(lambda self, y: F.max_pool2d(y, 2)), None),
    "pooling that keeps the size": (between(lambda self, y: F.avg_pool2d(y, 3, 1, 1)), None),
    "pooling along one axis that keeps the size": (between(lambda self, y: F.max_pool2d(y, (3, 1), 1, (1, 0))), None),
    "pooling to some positions": (between(lambda self, y: F.adaptive_avg_pool2d(y, 2)), None),
    "pooling to one position": (between(lambda self, y: F.adaptive_avg_pool2d(y, 1)), None),
    "every other position": (between(lambda self, y: y[..., ::2, ::2]), None),
    "a part of the positions": (between(lambda self, y: y[..., 1:, :]), None),
    "a part of the channels, twice": (between(lambda self, y: torch.cat([y[:, : C // 2]] * 2, 1)), None),
    "a larger map": (between(lambda self, y: F.interpolate(y, scale_factor=2)), None),
    "a padded map": (between(lambda self, y: F.pad(y, (1, 0, 0, 0))), None),
    "a map moved by a pad": (between(lambda self, y: F.pad(y, (1, -1, 0, 0))), None),
    "a map moved by a roll": (between(lambda self, y: y.roll(1, 3)), None),
    "a mirrored map": (between(lambda self, y: y.flip(3)), None),
    "a map turned on its side, added": (between(lambda self, y: y + y.transpose(2, 3)), None),
    "two orders of the channels, added": (between(lambda self, y: y + shuffled_by_hand(self, y)), None),
    "two orders of the channels, one by a module, added": (between(lambda self, y: y * nn.ChannelShuffle(2)(y)), None),
    "positions in place of channels": (between(lambda self, y: y.permute(0, 2, 1, 3).reshape(y.shape)), None),
    "positions folded into channels": (
        last(lambda self, y: self.pw(F.pixel_unshuffle(y, 2)[:, :C])), None
    ),
    "channels mixed": (between(lambda self, y: y.mean(1, keepdim=True).expand(-1, C, -1, -1)), None),
    "channels that compete at all positions": (between(lambda self, y: y.flatten(2).softmax(-1).view(y.shape)), None),
    "a running sum": (between(lambda self, y: y.cumsum(3)), None),
    "attention of positions": (
        between(lambda self, y: F.scaled_dot_product_attention(*[y.flatten(2).mT] * 3).mT.reshape(y.shape)), None
    ),
    "attention by products": (
        between(lambda self, y: (y.flatten(2) @ (y.flatten(2).mT @ y.flatten(2)).softmax(-1)).view(y.shape)), None
    ),
    "weights that depend on the input": (
        last(lambda self, y: torch.einsum("bchw,boc->bohw", y, y.mean((2, 3))[:, None].expand(-1, N, -1))), None
    ),
    "a strided 1×1": (plain, replacing(pw=lambda _: nn.Conv2d(C, N, 1, stride=2))),
    "a padded 1×1": (plain, replacing(pw=lambda _: nn.Conv2d(C, N, 1, padding=1))),
    "a 1×1 that mixes nothing": (plain, replacing(pw=lambda _: nn.Conv2d(C, C, 1, groups=C))),
    "a gate of 3×3": (
        between(lambda self, y: y * torch.sigmoid(self.squeeze(y))),
        replacing(squeeze=lambda _: nn.Conv2d(C, C, 3, padding=1, groups=2)),
    ),
    "a gate at every position": (
        between(lambda self, y: y * torch.sigmoid(self.squeeze(y))), replacing(squeeze=lambda _: nn.Conv2d(C, 1, 1))
    ),
    "a transposed convolution larger than 1×1": (
        plain, replacing(pw=lambda _: nn.ConvTranspose2d(C, N, 3, padding=1))
    ),
    "a gate per row": (
        between(lambda self, y: y * gate(self, y.mean(3, keepdim=True))), None
    ),
    "linear over the width": (last(lambda self, y: self.pw(y)), replacing(pw=lambda _: nn.Linear(8, N))),
    "linear over the height": (last(lambda self, y: self.pw(y.mT)), replacing(pw=lambda _: nn.Linear(8, N))),
    "linear over everything": (
        last(lambda self, y: self.pw(y.flatten(1))), replacing(pw=lambda _: nn.Linear(C * 64, N))
    ),
    "linear over channels of rows": (
        last(lambda self, y: self.pw(y.permute(0, 3, 1, 2).flatten(2))), replacing(pw=lambda _: nn.Linear(C * 8, N))
    ),
    "linear over the positions of tokens": (
        last(lambda self, y: self.pw(y.flatten(2))), replacing(pw=lambda _: nn.Linear(64, N))
    ),
    "linear over pooled channels": (
        last(lambda self, y: self.pw(y.mean((2, 3)))), replacing(pw=lambda _: nn.Linear(C, N))
    ),
    "a product over the positions": (last(lambda self, y: y.flatten(2) @ torch.ones(64, N)), None),
    "a sum over the batch": (between(lambda self, y: y - y.mean(0, keepdim=True)), None),
    "two readers": (last(lambda self, y: self.pw(y) + self.squeeze(y).mean()), None),
    "two 1×1": (
        last(lambda self, y: self.pw(y) + self.squeeze(y)), replacing(squeeze=lambda _: nn.Conv2d(C, N, 1))
    ),
    "a result of the model": (last(lambda self, y: (self.pw(y), y)), None),
    "a result of the model on the way": (last(lambda self, y: (self.pw(z := F.relu(y)), z)), None),
    "nothing behind": (last(lambda self, y: F.relu(y)), None),
}  # fmt: skip


@pytest.mark.parametrize(("forward", "change"), NO_PAIR.values(), ids=NO_PAIR)
def test_what_mixes_positions_or_is_read_elsewhere_is_no_pair(
    forward: Forward, change: Callable[[dict[str, nn.Module]], None] | None
) -> None:
    parts = parts_2d()
    if change:
        change(parts)
    model = Net(forward, parts).eval()
    with torch.no_grad():
        model(torch.randn(2, 3, 8, 8))  # every extent is C
    report = dscost.analyze(model, input=(2, 3, 8, 8))
    assert sum(layer.separable_pairs for layer in report.layers) == 0
    assert {layer.pair for layer in report.layers} == {None}
    assert report.totals.standard.macs == report.totals.as_is.macs
    assert (
        "1 depthwise layer has no pointwise partner, so the standard figure leaves it as it is: dw."
        in report.warnings
    )
