"""Small modules for the rules that conventions have, whatever models exercise them.

What other counters say of each stands in `tests/data/conventions.csv`, which `benchmarks/conventions.py` has written.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

F: Any = nn.functional

Shape = tuple[int, ...]


class Case(NamedTuple):
    """A module, and the shapes of its inputs."""

    make: Callable[[], nn.Module]
    shapes: tuple[Shape, ...]


class Calls(nn.Module):
    """A module that calls a function, of its inputs and a parameter or two."""

    def __init__(self, run: Callable[..., Any], *weights: Shape) -> None:
        super().__init__()
        self.run = run
        self.weights = nn.ParameterList([nn.Parameter(torch.zeros(shape)) for shape in weights])

    def forward(self, *inputs: Tensor) -> Any:
        return self.run(*inputs, *self.weights)


class Attends(nn.Module):
    """Attention of one input to itself, or to another one."""

    def __init__(self, needs_weights: bool, **settings: Any) -> None:
        super().__init__()
        self.needs_weights = needs_weights
        self.attention = nn.MultiheadAttention(16, 4, **settings)

    def forward(self, x: Tensor, other: Tensor | None = None) -> Tensor:
        other = x if other is None else other
        result, _ = self.attention(x, other, other, need_weights=self.needs_weights)
        return result


class AttentionByParts(nn.Module):
    """Attention with its products written as operators of Python or as functions."""

    def __init__(self, by_function: bool) -> None:
        super().__init__()
        self.by_function = by_function
        self.qkv, self.out = nn.Linear(16, 48), nn.Linear(16, 16)

    def forward(self, x: Tensor) -> Tensor:
        parts = self.qkv(x).unflatten(-1, (3, 4, 4)).permute(2, 0, 3, 1, 4)
        q, k, v = parts.unbind(0)
        if self.by_function:
            scores = F.softmax(torch.matmul(q, k.mT), dim=-1)
            heads = torch.matmul(scores, v)
        else:
            heads = (q @ k.mT).softmax(dim=-1) @ v
        return self.out(heads.transpose(1, 2).flatten(2))


class Twice(nn.Module):
    """One module that is called twice, under one name or under two."""

    def __init__(self, names: int) -> None:
        super().__init__()
        self.one = nn.Conv2d(8, 8, 3, padding=1)
        self.also = self.one if names == 2 else nn.Identity()
        self.act = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        return self.act(self.one(self.act(self.one(x))))


def shared() -> nn.Module:
    """Return two blocks that hold the same convolution."""
    one = nn.Conv2d(8, 8, 3, padding=1)
    return nn.Sequential(nn.Sequential(one, nn.ReLU()), nn.Sequential(one, nn.PReLU()))


class Sub(nn.Conv2d):
    """A subclass that changes nothing, and has "Conv" nowhere in its name."""


class SubConv(nn.Conv2d):
    """A subclass that changes nothing, and has "Conv" in its name."""


class ConvolutionByName(nn.Linear):
    """No convolution, but "Conv" stands in its name."""


class HoldsAnEmptyList(nn.Module):
    """A module with a weight of its own, and a list without anything in it."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(8, 8))
        self.more = nn.ModuleList()

    def forward(self, x: Tensor) -> Tensor:
        return x @ self.weight


class PositionBias(nn.Module):
    """A module without children whose parameters have weight and bias within their names."""

    def __init__(self) -> None:
        super().__init__()
        self.in_weight = nn.Parameter(torch.zeros(8, 8))
        self.bias_table = nn.Parameter(torch.zeros(5, 8))
        self.scale = nn.Parameter(torch.zeros(8))

    def forward(self, x: Tensor) -> Tensor:
        return x @ self.in_weight + self.bias_table * self.scale


def weight_norm() -> nn.Module:
    return nn.utils.parametrizations.weight_norm(nn.Conv2d(8, 16, 3))


def old_weight_norm() -> nn.Module:
    return nn.utils.weight_norm(nn.Conv2d(8, 16, 3))


def spectral_norm() -> nn.Module:
    return nn.utils.spectral_norm(nn.Conv2d(8, 16, 3))


def within(module: nn.Module) -> nn.Module:
    return nn.Sequential(module)


IMAGE: Shape = (1, 8, 14, 12)
LINE: Shape = (1, 8, 14)
VOLUME: Shape = (1, 8, 6, 5, 4)
WORDS: Shape = (1, 10, 16)
ROWS: Shape = (1, 16)


def module(kind: Callable[..., nn.Module], *settings: Any, on: Shape = IMAGE, **named: Any) -> Case:
    return Case(lambda: within(kind(*settings, **named)), (on,))


def function(run: Callable[..., Any], *weights: Shape, on: tuple[Shape, ...] = (IMAGE,)) -> Case:
    return Case(lambda: Calls(run, *weights), on)


CONVOLUTIONS = {
    "conv 1d": module(nn.Conv1d, 8, 16, 3, on=LINE),
    "conv 2d": module(nn.Conv2d, 8, 16, (3, 5), stride=2),
    "conv 2d without bias": module(nn.Conv2d, 8, 16, 3, bias=False),
    "conv 2d in groups": module(nn.Conv2d, 8, 16, 3, groups=4, dilation=2),
    "conv 2d depthwise": module(nn.Conv2d, 8, 24, 3, groups=8, padding=1),
    "conv 3d": module(nn.Conv3d, 8, 4, 3, on=VOLUME),
    "conv 2d, padding same": module(nn.Conv2d, 8, 16, 3, padding="same"),
    "conv 2d, reflecting": module(nn.Conv2d, 8, 16, 3, padding=1, padding_mode="reflect"),
    "conv 2d without a batch": module(nn.Conv2d, 8, 16, 3, on=IMAGE[1:]),
    "conv 2d, four inputs": module(nn.Conv2d, 8, 16, 3, on=(4, *IMAGE[1:])),
    "conv 2d alone": Case(lambda: nn.Conv2d(8, 16, 3), (IMAGE,)),
    "transposed 1d": module(nn.ConvTranspose1d, 8, 4, 3, stride=2, on=LINE),
    "transposed 2d": module(nn.ConvTranspose2d, 8, 4, 3, stride=2),
    "transposed 2d in groups": module(nn.ConvTranspose2d, 8, 4, 4, groups=4, bias=False),
    "transposed 3d": module(nn.ConvTranspose3d, 8, 4, 2, stride=2, on=VOLUME),
    "conv called as a function": function(F.conv2d, (16, 8, 3, 3)),
    "subclass": module(Sub, 8, 16, 3),
    "subclass with Conv in its name": module(SubConv, 8, 16, 3),
    "weight norm": Case(lambda: within(weight_norm()), (IMAGE,)),
    "weight norm of old": Case(lambda: within(old_weight_norm()), (IMAGE,)),
    "spectral norm of old": Case(lambda: within(spectral_norm()), (IMAGE,)),
    "called twice": Case(lambda: Twice(1), (IMAGE,)),
    "shared by two blocks": Case(shared, (IMAGE,)),
    "called twice, named twice": Case(lambda: Twice(2), (IMAGE,)),
}

NORMS = {
    "batch norm 1d": module(nn.BatchNorm1d, 8, on=LINE),
    "batch norm 2d": module(nn.BatchNorm2d, 8),
    "batch norm 2d, not affine": module(nn.BatchNorm2d, 8, affine=False),
    "batch norm 3d": module(nn.BatchNorm3d, 8, on=VOLUME),
    "batch norm, four inputs": module(nn.BatchNorm2d, 8, on=(4, *IMAGE[1:])),
    "sync batch norm": module(nn.SyncBatchNorm, 8),
    "layer norm": module(nn.LayerNorm, 16, on=WORDS),
    "layer norm without bias": module(nn.LayerNorm, 16, bias=False, on=WORDS),
    "layer norm, not affine": module(nn.LayerNorm, 16, elementwise_affine=False, on=WORDS),
    "layer norm called as a function": function(lambda x: F.layer_norm(x, (12,))),
    "group norm": module(nn.GroupNorm, 4, 8),
    "group norm, not affine": module(nn.GroupNorm, 4, 8, affine=False),
    "instance norm 1d": module(nn.InstanceNorm1d, 8, on=LINE),
    "instance norm 2d": module(nn.InstanceNorm2d, 8),
    "instance norm 2d, affine": module(nn.InstanceNorm2d, 8, affine=True),
    "instance norm 3d, affine": module(nn.InstanceNorm3d, 8, affine=True, on=VOLUME),
    "weights standardised in evaluation": function(
        lambda x, w, scale: F.conv2d(
            x, F.batch_norm(w.reshape(1, 16, -1), None, None, scale, training=True).view_as(w)
        ),
        (16, 8, 3, 3),
        (16,),
    ),
    "rms norm": module(nn.RMSNorm, 16, on=WORDS),
    "local response norm": module(nn.LocalResponseNorm, 3),
}

ACTIVATIONS = {
    **{
        kind.__name__: module(kind)
        for kind in (
            *(nn.ReLU, nn.ReLU6, nn.PReLU, nn.ELU, nn.LeakyReLU, nn.GELU, nn.SiLU, nn.Mish),
            *(nn.Hardswish, nn.Hardsigmoid, nn.Sigmoid, nn.Tanh, nn.SELU, nn.Softplus, nn.GLU),
        )
    },
    "PReLU per channel": module(nn.PReLU, 8),
    "ReLU, four inputs": module(nn.ReLU, on=(4, *IMAGE[1:])),
    **{
        f"{run.__name__} called as a function": function(run)
        for run in (F.relu, F.relu6, F.elu, F.leaky_relu, F.gelu, F.silu, F.hardswish, F.relu_)
    },
    "prelu called as a function": function(lambda x, w: F.prelu(x, w), (8,)),
    "relu called late": function(lambda x: F.relu(x)),
    "relu called late, four inputs": function(lambda x: F.relu(x), on=((4, *IMAGE[1:]),)),
    "silu called late": function(lambda x: F.silu(x)),
    "gelu called late": function(lambda x: F.gelu(x)),
    "relu6 called late": function(lambda x: F.relu6(x)),
    "elu called late": function(lambda x: F.elu(x)),
    "relu of torch": function(lambda x: torch.relu(x)),
    "relu as a method": function(lambda x: x.relu()),
    "softmax": module(nn.Softmax, dim=-1),
    "softmax over channels": module(nn.Softmax, dim=1),
    "softmax 2d": module(nn.Softmax2d),
    "log softmax": module(nn.LogSoftmax, dim=1),
    "softmax called as a function": function(lambda x: F.softmax(x, dim=1)),
    "softmax as a method": function(lambda x: x.softmax(1)),
    "dropout": module(nn.Dropout),
}

POOLING = {
    "max pool 1d": module(nn.MaxPool1d, 2, on=LINE),
    "max pool 2d": module(nn.MaxPool2d, 3, 2),
    "max pool 3d": module(nn.MaxPool3d, 2, on=VOLUME),
    "average pool 1d": module(nn.AvgPool1d, 2, on=LINE),
    "average pool 2d": module(nn.AvgPool2d, 3, 2),
    "average pool 3d": module(nn.AvgPool3d, 2, on=VOLUME),
    "adaptive average 1d to 5": module(nn.AdaptiveAvgPool1d, 5, on=LINE),
    "adaptive average 2d to 1": module(nn.AdaptiveAvgPool2d, 1),
    "adaptive average 2d to 5 by 3": module(nn.AdaptiveAvgPool2d, (5, 3)),
    "adaptive average 2d to 7": module(nn.AdaptiveAvgPool2d, 7, on=(1, 8, 17, 23)),
    "adaptive average 2d, four inputs": module(nn.AdaptiveAvgPool2d, 5, on=(4, 8, 13, 11)),
    "adaptive average 3d": module(nn.AdaptiveAvgPool3d, (5, 3, 3), on=VOLUME),
    "adaptive average without a batch": module(nn.AdaptiveAvgPool2d, 3, on=IMAGE[1:]),
    "adaptive maximum 1d": module(nn.AdaptiveMaxPool1d, 5, on=LINE),
    "adaptive maximum 2d": module(nn.AdaptiveMaxPool2d, 5),
    "adaptive maximum 3d": module(nn.AdaptiveMaxPool3d, 3, on=VOLUME),
    "average called as a function": function(lambda x: F.avg_pool2d(x, 2)),
    "maximum called as a function": function(lambda x: F.max_pool2d(x, 2)),
    "adaptive average called as a function": function(lambda x: F.adaptive_avg_pool2d(x, 1)),
    "mean as a method": function(lambda x: x.mean((2, 3))),
    "fractional maximum": module(nn.FractionalMaxPool2d, 2, output_size=5),
    "lp pool": module(nn.LPPool2d, 2, 2),
}

UPSAMPLING = {
    "upsample nearest": module(nn.Upsample, scale_factor=2),
    "upsample nearest 1d": module(nn.Upsample, scale_factor=2, on=LINE),
    "upsample linear": module(nn.Upsample, scale_factor=3, mode="linear", on=LINE),
    "upsample bilinear": module(nn.Upsample, scale_factor=1.5, mode="bilinear"),
    "upsample bilinear to a size": module(nn.Upsample, size=(20, 30), mode="bilinear"),
    "upsample bicubic": module(nn.Upsample, scale_factor=(2.5, 1.5), mode="bicubic"),
    "upsample trilinear": module(nn.Upsample, size=9, mode="trilinear", on=VOLUME),
    "upsample, four inputs": module(nn.Upsample, scale_factor=2, on=(4, *IMAGE[1:])),
    "upsampling nearest 2d": module(nn.UpsamplingNearest2d, scale_factor=2),
    "upsampling bilinear 2d": module(nn.UpsamplingBilinear2d, size=20),
    "interpolate by a factor": function(lambda x: F.interpolate(x, scale_factor=2)),
    "interpolate by a fraction": function(lambda x: F.interpolate(x, scale_factor=1.3)),
    "interpolate to a size": function(lambda x: F.interpolate(x, (9, 7), mode="bilinear")),
    "interpolate to one size": function(lambda x: F.interpolate(x, size=9, mode="bicubic")),
    "interpolate smoothly": function(
        lambda x: F.interpolate(x, 9, mode="bilinear", antialias=True)
    ),
    "upsample called as a function": function(lambda x: F.upsample(x, scale_factor=2)),
    "grid sample": function(
        lambda x, grid: F.grid_sample(x, grid, align_corners=False), on=(IMAGE, (1, 7, 5, 2))
    ),
    "pixel shuffle": module(nn.PixelShuffle, 2),
}

PRODUCTS = {
    "linear": module(nn.Linear, 16, 24, on=ROWS),
    "linear of words": module(nn.Linear, 16, 24, on=WORDS),
    "linear without bias": module(nn.Linear, 16, 24, bias=False, on=WORDS),
    "linear, four inputs": module(nn.Linear, 16, 24, on=(4, 10, 16)),
    "linear without a batch": module(nn.Linear, 16, 24, on=(16,)),
    "linear with Conv in its name": module(ConvolutionByName, 16, 24, on=WORDS),
    "linear called as a function": function(lambda x, w: F.linear(x, w), (24, 16), on=(WORDS,)),
    "bilinear": Case(lambda: nn.Bilinear(16, 16, 4), (ROWS, ROWS)),
    "operator @": function(lambda x, w: x @ w, (16, 24), on=(WORDS,)),
    "torch.matmul": function(lambda x, w: torch.matmul(x, w), (16, 24), on=(WORDS,)),
    "matmul as a method": function(lambda x, w: x.matmul(w), (16, 24), on=(WORDS,)),
    "torch.mm": function(lambda x, w: torch.mm(x, w), (16, 24), on=(ROWS,)),
    "mm as a method": function(lambda x, w: x.mm(w), (16, 24), on=(ROWS,)),
    "torch.bmm": function(lambda x, w: torch.bmm(x, w), (1, 16, 24), on=(WORDS,)),
    "bmm as a method": function(lambda x, w: x.bmm(w), (1, 16, 24), on=(WORDS,)),
    "torch.addmm": function(lambda x, b, w: torch.addmm(b, x, w), (24,), (16, 24), on=(ROWS,)),
    "torch.addmm without the sum": function(
        lambda x, b, w: torch.addmm(b, x, w, beta=0), (24,), (16, 24), on=(ROWS,)
    ),
    "addmm as a method": function(lambda x, b, w: b.addmm(x, w), (1, 24), (16, 24), on=(ROWS,)),
    "torch.baddbmm": function(
        lambda x, b, w: torch.baddbmm(b, x, w), (1, 10, 24), (1, 16, 24), on=(WORDS,)
    ),
    "baddbmm as a method": function(
        lambda x, b, w: b.baddbmm(x, w), (1, 10, 24), (1, 16, 24), on=(WORDS,)
    ),
    "matmul by many matrices": function(lambda x, w: torch.matmul(x, w), (6, 16, 24), on=(WORDS,)),
    "einsum": function(lambda x, w: torch.einsum("bnd,de->bne", x, w), (16, 24), on=(WORDS,)),
    "einsum of a known kind": function(
        lambda x, y: torch.einsum("bnd,bne->bde", x, y), on=((3, 37, 41), (3, 37, 53))
    ),
    "einsum, large": function(
        lambda x, y: torch.einsum("BGHID,BGHJD->BGHIJ", x, y),
        on=((1, 7, 3, 49, 31), (1, 7, 3, 49, 31)),
    ),
    "tensordot": function(lambda x, w: torch.tensordot(x, w, 1), (16, 24), on=(WORDS,)),
    "outer": function(lambda x, w: torch.outer(x[0], w), (24,), on=(ROWS,)),
}

SUMS = {
    "operator +": function(lambda x: x + x),
    "torch.add": function(lambda x: torch.add(x, x)),
    "add as a method": function(lambda x: x.add(x)),
    "add_ as a method": function(lambda x: x.clone().add_(x)),
    "torch.add of a number": function(lambda x: torch.add(x, 2)),
    "operator *": function(lambda x: x * x),
    "torch.mul": function(lambda x: torch.mul(x, x)),
    "mul as a method": function(lambda x: x.mul(x)),
    "mul by a number": function(lambda x: x.mul(0.5)),
    "torch.mul by channels": function(lambda x, w: torch.mul(x, w), (1, 8, 1, 1)),
    "torch.mul by fewer axes": function(lambda x, w: torch.mul(x, w), (8, 1, 1)),
    "torch.mul to more axes": function(lambda x, w: torch.mul(x, w), (14, 1), on=((12,),)),
    "torch.sub": function(lambda x: torch.sub(x, x)),
}

ATTENTION = {
    "attention": Case(lambda: Attends(True, batch_first=True), (WORDS,)),
    "attention without weights": Case(lambda: Attends(False, batch_first=True), (WORDS,)),
    "attention, sequence first": Case(lambda: Attends(True), ((10, 1, 16),)),
    "attention without bias": Case(lambda: Attends(True, bias=False, batch_first=True), (WORDS,)),
    "attention to others": Case(lambda: Attends(False, batch_first=True), (WORDS, (1, 7, 16))),
    "attention to wider ones": Case(
        lambda: Attends(False, kdim=24, vdim=24, batch_first=True), (WORDS, (1, 7, 24))
    ),
    "attention, four inputs": Case(lambda: Attends(True, batch_first=True), ((4, 10, 16),)),
    "attention by operators": Case(lambda: AttentionByParts(by_function=False), (WORDS,)),
    "attention by functions": Case(lambda: AttentionByParts(by_function=True), (WORDS,)),
    "fused attention": function(
        lambda q, k: F.scaled_dot_product_attention(q, k, k), on=((1, 2, 10, 8), (1, 2, 7, 8))
    ),
    "encoder layer": module(nn.TransformerEncoderLayer, 16, 4, 32, batch_first=True, on=WORDS),
    "encoder layer, GELU": module(
        nn.TransformerEncoderLayer, 16, 4, 32, activation="gelu", norm_first=True, on=WORDS
    ),
    "decoder layer": Case(
        lambda: nn.TransformerDecoderLayer(16, 4, 32, batch_first=True), (WORDS, (1, 7, 16))
    ),
}

RECURRENT = {
    "LSTM": module(nn.LSTM, 16, 12, on=WORDS),
    "LSTM, batch first": module(nn.LSTM, 16, 12, batch_first=True, on=(3, 10, 16)),
    "LSTM, two layers, both ways": module(
        nn.LSTM, 16, 12, num_layers=2, bidirectional=True, on=WORDS
    ),
    "LSTM without bias": module(nn.LSTM, 16, 12, bias=False, on=WORDS),
    "LSTM, projected": module(nn.LSTM, 16, 12, proj_size=5, on=WORDS),
    "GRU": module(nn.GRU, 16, 12, on=WORDS),
    "GRU, three layers, both ways": module(
        nn.GRU, 16, 12, num_layers=3, bidirectional=True, batch_first=True, on=WORDS
    ),
    "RNN": module(nn.RNN, 16, 12, on=WORDS),
    "RNN, two layers": module(nn.RNN, 16, 12, num_layers=2, nonlinearity="relu", on=WORDS),
    "LSTM cell": module(nn.LSTMCell, 16, 12, on=(3, 16)),
    "GRU cell": module(nn.GRUCell, 16, 12, on=(3, 16)),
    "RNN cell": module(nn.RNNCell, 16, 12, on=(3, 16)),
    "RNN cell without bias": module(nn.RNNCell, 16, 12, bias=False, on=(3, 16)),
}

OTHERS = {
    "an empty list within": Case(HoldsAnEmptyList, ((1, 10, 8),)),
    "weight and bias within names": Case(PositionBias, ((1, 5, 8),)),
    "several layers": Case(
        lambda: nn.Sequential(
            nn.Conv2d(8, 16, 3),
            nn.BatchNorm2d(16),
            nn.ReLU(),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
            nn.Linear(16, 10),
        ),
        ((2, 8, 14, 12),),
    ),
}

CASES: dict[str, Case] = {
    **CONVOLUTIONS,
    **NORMS,
    **ACTIVATIONS,
    **POOLING,
    **UPSAMPLING,
    **PRODUCTS,
    **SUMS,
    **ATTENTION,
    **RECURRENT,
    **OTHERS,
}
