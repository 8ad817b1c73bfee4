"""Whatever a torch model does is seen, counted by hand here, and the model is as it was before."""

import copy
import gc
import math
import pickle
import random
import re
import signal
import sys
import textwrap
import threading
import types
import warnings
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from threading import Barrier
from typing import Any, NamedTuple

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence
from torch.utils.flop_counter import FlopCounterMode

import dscost
from dscost.errors import InputError
from dscost.foreign import randomness
from dscost.foreign.randomness import states_kept
from dscost.notation.inputs import parse_input
from dscost.reports.records import Layer, Report
from dscost.tracing import TensorSpec, arguments_of, running
from dscost.tracing.recorder import Recorder

Shape = tuple[int, ...]
Forward = Callable[..., Any]


class Calling(nn.Module):
    """A model whose forward is a function of its children."""

    def __init__(self, function: Forward, **children: Any) -> None:
        super().__init__()
        self.function = function
        for name, child in children.items():
            setattr(self, name, child)

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        return self.function(self, *args, **kwargs)


SEEN: list[Any] = []
"""What functions of models show: a trace copies what they close over, so that only a global one is written on."""


@pytest.fixture
def seen() -> list[Any]:
    SEEN.clear()
    return SEEN


def shown(value: Any) -> Any:
    SEEN.append(value)
    return value


def macs_of(model: nn.Module, given: Any) -> int:
    report = dscost.analyze(model, input=given, strict=True)
    assert not any("for real" in warning for warning in report.warnings)
    return report.totals.as_is.macs


def layer_called(report: Report, name: str) -> Layer:
    (found,) = [layer for layer in report.layers if layer.name == name]
    return found


def flop_counter_macs(make: Callable[[], nn.Module], given: Any) -> int:
    """What torch's own counter says on meta tensors."""
    with torch.device("meta"):
        model = make().eval()
    arguments = arguments_of(given).on("meta")
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        model.requires_grad_(False)(*arguments.args, **arguments.kwargs)
    flops: int = counter.get_total_flops()
    return flops // 2


class Case(NamedTuple):
    """A model, what it is given, and its MACs by hand; `gap` says why FlopCounterMode has another count."""

    make: Callable[[], nn.Module]
    given: Any
    expected: int
    gap: str = ""


def table(cases: Mapping[str, Case]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize(
        "case", [pytest.param(case, id=name) for name, case in cases.items()]
    )


# -- models that hook-based counters get wrong


class ForwardOfItsOwn(nn.Conv2d):
    """Standardises its weights, and convolves twice."""

    def forward(self, x: Tensor) -> Tensor:
        weight = self.weight - self.weight.mean((1, 2, 3), keepdim=True)
        x = F.conv2d(x, weight, self.bias, self.stride, self.padding, self.dilation, self.groups)
        return F.conv2d(x, weight, self.bias, self.stride, self.padding, self.dilation, self.groups)


class Functional(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.kernel = nn.Parameter(torch.zeros(4, 3, 3, 3))
        self.matrix = nn.Parameter(torch.zeros(5, 4))

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(F.conv2d(x, self.kernel, padding=1))
        return F.linear(F.adaptive_avg_pool2d(x, 1).flatten(1), self.matrix)


def weight_normed(module: nn.Module, *, old: bool = False) -> nn.Module:
    if not old:
        return nn.utils.parametrizations.weight_norm(module)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        return nn.utils.weight_norm(module)


def shared_conv() -> nn.Module:
    conv = nn.Conv2d(4, 4, 3, padding=1)
    return nn.Sequential(conv, nn.ReLU(), conv)


IMAGE = (2, 3, 9, 7)
MAP = (2, 4, 9, 7)

CONVOLUTIONS = {
    "functional operators": Case(Functional, IMAGE, 2 * (9 * 7 * 4 * 3 * 9 + 5 * 4)),
    "a convolution with a forward of its own": Case(
        lambda: ForwardOfItsOwn(4, 4, 3), MAP, 2 * (7 * 5 + 5 * 3) * 4 * 4 * 9
    ),
    "padding='same'": Case(lambda: nn.Conv2d(3, 4, 3, padding="same"), IMAGE, 2 * 9 * 7 * 4 * 3 * 9),
    "padding='same', dilated": Case(
        lambda: nn.Conv2d(3, 4, 3, padding="same", dilation=2), IMAGE, 2 * 9 * 7 * 4 * 3 * 9
    ),
    "padding='same', even kernel": Case(lambda: nn.Conv2d(3, 4, 4, padding="same"), IMAGE, 2 * 9 * 7 * 4 * 3 * 16),
    "padding='same', kernel even one way": Case(
        lambda: nn.Conv2d(3, 4, (2, 5), padding="same"), IMAGE, 2 * 9 * 7 * 4 * 3 * 10
    ),
    "padding='same', depthwise": Case(
        lambda: nn.Conv2d(4, 8, 3, padding="same", groups=4), MAP, 2 * 9 * 7 * 8 * 1 * 9
    ),
    "padding='same', 1-D": Case(lambda: nn.Conv1d(3, 4, 4, padding="same"), (2, 3, 9), 2 * 9 * 4 * 3 * 4),
    "padding='same', 3-D": Case(
        lambda: nn.Conv3d(3, 4, (3, 2, 1), padding="same"), (1, 3, 4, 5, 6), 4 * 5 * 6 * 4 * 3 * 6
    ),
    "padding='valid', dilated": Case(
        lambda: nn.Conv2d(3, 4, 3, padding="valid", dilation=2), IMAGE, 2 * 5 * 3 * 4 * 3 * 9
    ),
    "padding='valid'": Case(lambda: nn.Conv2d(3, 4, 3, padding="valid"), IMAGE, 2 * 7 * 5 * 4 * 3 * 9),
    "circular padding": Case(
        lambda: nn.Conv2d(3, 4, 3, padding=1, padding_mode="circular"), IMAGE, 2 * 9 * 7 * 4 * 3 * 9
    ),
    "reflected padding by name": Case(
        lambda: nn.Conv2d(3, 4, 3, padding="same", padding_mode="reflect"), IMAGE, 2 * 9 * 7 * 4 * 3 * 9
    ),
    "weight norm": Case(lambda: weight_normed(nn.Conv2d(3, 4, 3)), IMAGE, 2 * 7 * 5 * 4 * 3 * 9),
    "weight norm by hook": Case(lambda: weight_normed(nn.Conv2d(3, 4, 3), old=True), IMAGE, 2 * 7 * 5 * 4 * 3 * 9),
    "weight norm of a linear layer": Case(lambda: weight_normed(nn.Linear(7, 5)), (2, 7), 2 * 7 * 5),
    "a shared module": Case(shared_conv, MAP, 2 * (2 * 9 * 7 * 4 * 4 * 9)),
    "groups": Case(lambda: nn.Conv2d(4, 6, 3, groups=2), MAP, 2 * 7 * 5 * 6 * 2 * 9),
    "depthwise": Case(lambda: nn.Conv2d(4, 4, 3, groups=4), MAP, 2 * 7 * 5 * 4 * 9),
    "stride and dilation": Case(
        lambda: nn.Conv2d(3, 4, 3, stride=(2, 1), dilation=(1, 3)), IMAGE, 2 * 4 * 1 * 4 * 3 * 9
    ),
    "transposed": Case(lambda: nn.ConvTranspose2d(4, 6, 3), MAP, 2 * 9 * 7 * 4 * 6 * 9),
    "transposed with stride": Case(
        lambda: nn.ConvTranspose2d(4, 6, 3, stride=2, padding=1, output_padding=1), MAP, 2 * 9 * 7 * 4 * 6 * 9
    ),
    "transposed in groups": Case(
        lambda: nn.ConvTranspose2d(4, 6, 3, stride=2, groups=2),
        MAP,
        2 * 9 * 7 * 4 * 3 * 9,
    ),
    "transposed, depthwise": Case(
        lambda: nn.ConvTranspose2d(4, 4, 2, stride=2, groups=4), MAP, 2 * 9 * 7 * 4 * 1 * 4
    ),
    "transposed, output size given": Case(
        lambda: Calling(lambda self, x: self.up(x, output_size=(18, 14)), up=nn.ConvTranspose2d(4, 6, 2, stride=2)),
        MAP,
        2 * 9 * 7 * 4 * 6 * 4,
    ),
    "transposed, 1-D": Case(lambda: nn.ConvTranspose1d(4, 6, 5, stride=3), (2, 4, 9), 2 * 9 * 4 * 6 * 5),
    "transposed, 3-D": Case(
        lambda: nn.ConvTranspose3d(4, 6, 2, groups=2), (1, 4, 2, 3, 4), 2 * 3 * 4 * 4 * 3 * 8
    ),
    "transposed, functional": Case(
        lambda: Calling(lambda self, x: F.conv_transpose2d(x, self.w, stride=2), w=nn.Parameter(torch.zeros(4, 6, 3, 3))
        ),
        MAP,
        2 * 9 * 7 * 4 * 6 * 9,
    ),
    "1-D": Case(lambda: nn.Conv1d(4, 6, 5, stride=2, groups=2), (2, 4, 9), 2 * 3 * 6 * 2 * 5),
    "3-D": Case(lambda: nn.Conv3d(3, 4, (1, 3, 3), padding=(0, 1, 1)), (1, 3, 5, 6, 7), 5 * 6 * 7 * 4 * 3 * 9),
    "unbatched": Case(lambda: nn.Conv2d(3, 4, 3), IMAGE[1:], 7 * 5 * 4 * 3 * 9),
    "unbatched, 1-D": Case(lambda: nn.Conv1d(4, 6, 5), (4, 9), 5 * 6 * 4 * 5),
    "unbatched, 3-D": Case(lambda: nn.Conv3d(3, 4, 2), (3, 4, 5, 6), 3 * 4 * 5 * 4 * 3 * 8),
    "unbatched, padding='same'": Case(lambda: nn.Conv2d(3, 4, 3, padding="same"), IMAGE[1:], 9 * 7 * 4 * 3 * 9),
    "unbatched, transposed": Case(lambda: nn.ConvTranspose2d(3, 4, 3), IMAGE[1:], 9 * 7 * 3 * 4 * 9),
    "channels last": Case(
        lambda: nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 5, 1)).to(
            memory_format=torch.channels_last
        ),
        torch.empty(2, 3, 9, 7).to(memory_format=torch.channels_last),
        2 * 7 * 5 * (4 * 3 * 9 + 5 * 4),
    ),
    "half precision": Case(
        lambda: nn.Conv2d(3, 4, 3).half(), torch.empty(IMAGE, dtype=torch.float16), 2 * 7 * 5 * 4 * 3 * 9
    ),
    "an empty batch": Case(lambda: nn.Conv2d(3, 4, 3), (0, 3, 9, 7), 0),
    "weights that are computed": Case(
        lambda: Calling(
            lambda self, x: F.conv2d(x, self.make(x.mean((0, 2, 3))).view(4, 3, 3, 3)), make=nn.Linear(3, 4 * 3 * 9)
        ),
        IMAGE,
        3 * 4 * 3 * 9 + 2 * 7 * 5 * 4 * 3 * 9,
    ),
    "one convolution per input, by groups": Case(
        lambda: Calling(
            lambda self, x, w: F.conv2d(x.reshape(1, -1, 9, 7), w.reshape(-1, 3, 3, 3), groups=2),
        ),
        [IMAGE, (2, 4, 3, 3, 3)],
        7 * 5 * (2 * 4) * 3 * 9,
    ),
}  # fmt: skip

same_with_even_kernel = pytest.mark.filterwarnings(
    "ignore:Using padding='same' with even kernel:UserWarning"
)


@table(CONVOLUTIONS)
@same_with_even_kernel
def test_every_convolution_is_counted(case: Case) -> None:
    assert macs_of(case.make(), case.given) == case.expected


# -- attention


def attention_of(q: int, k: int, width: int, batch: int = 1) -> int:
    """MACs of both products."""
    return batch * q * k * (width + width)


def explicit_attention(self: Any, x: Tensor) -> Tensor:
    q, k, v = (t.unflatten(-1, (4, 4)).transpose(1, 2) for t in self.qkv(x).chunk(3, dim=-1))
    scores = (q @ k.transpose(-2, -1) / math.sqrt(4)).softmax(-1)
    return self.out((scores @ v).transpose(1, 2).flatten(2))


def fused_attention(self: Any, x: Tensor) -> Tensor:
    q, k, v = (t.unflatten(-1, (4, 4)).transpose(1, 2) for t in self.qkv(x).chunk(3, dim=-1))
    # a view that only the layout of the real kernel's result allows
    return self.out(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).view(x.shape))


def projected(function: Forward) -> Callable[[], nn.Module]:
    return lambda: Calling(function, qkv=nn.Linear(16, 48), out=nn.Linear(16, 16))


def multihead(**options: Any) -> Callable[[], nn.Module]:
    call = {
        key: options.pop(key) for key in ("need_weights", "average_attn_weights") if key in options
    }
    return lambda: Calling(
        lambda self, x: self.mha(x, x, x, **call)[0], mha=nn.MultiheadAttention(16, 4, **options)
    ).eval()


TOKENS = (2, 5, 16)  # batch, length, width; four heads of width 4
SELF_ATTENTION = 2 * (5 * 4 * 16 * 16 + attention_of(5, 5, 16))
FEED_FORWARD = 2 * (2 * 5 * 16 * 40)

ATTENTION = {
    "fused": Case(
        projected(fused_attention), TOKENS, SELF_ATTENTION, gap="its layout on meta is not that of the real result"
    ),
    "by matmul": Case(projected(explicit_attention), TOKENS, SELF_ATTENTION),
    "of different widths": Case(
        lambda: Calling(lambda self, q, k, v: F.scaled_dot_product_attention(q, k, v)),
        [(2, 3, 5, 16), (2, 3, 7, 16), (2, 3, 7, 10)],
        2 * 3 * 5 * 7 * (16 + 10),
    ),
    "without heads": Case(
        lambda: Calling(lambda self, q, k: F.scaled_dot_product_attention(q, k, k)),
        [(2, 5, 16), (2, 7, 16)],
        attention_of(5, 7, 16, batch=2),
        gap="FlopCounterMode counts it only with heads",
    ),
    "masked": Case(
        lambda: Calling(lambda self, q, m: F.scaled_dot_product_attention(q, q, q, attn_mask=m)),
        [(2, 3, 5, 16), TensorSpec((5, 5), "bool")],
        attention_of(5, 5, 16, batch=2 * 3),
    ),
    "causal, which saves nothing": Case(
        lambda: Calling(lambda self, q: F.scaled_dot_product_attention(q, q, q, is_causal=True)),
        (2, 3, 5, 16),
        attention_of(5, 5, 16, batch=2 * 3),
    ),
    "of grouped queries": Case(
        lambda: Calling(lambda self, q, k: F.scaled_dot_product_attention(q, k, k, enable_gqa=True)),
        [(2, 8, 5, 16), (2, 2, 7, 16)],
        attention_of(5, 7, 16, batch=2 * 8),
    ),
    "with keys that broadcast": Case(
        lambda: Calling(lambda self, q, k: F.scaled_dot_product_attention(q, k, k)),
        [(2, 8, 5, 16), (1, 1, 7, 16)],
        attention_of(5, 7, 16, batch=2 * 8),
        gap="FlopCounterMode takes the batch of the keys",
    ),
    "by a kernel's own operator": Case(
        lambda: Calling(lambda self, q: torch.ops.aten._scaled_dot_product_flash_attention_for_cpu(q, q, q)[0]),
        (2, 3, 5, 16),
        attention_of(5, 5, 16, batch=2 * 3),
        gap="FlopCounterMode has no formula for that of the CPU",
    ),
    "MultiheadAttention": Case(multihead(batch_first=True), TOKENS, SELF_ATTENTION),
    "MultiheadAttention, length first": Case(multihead(), (5, 2, 16), SELF_ATTENTION),
    "MultiheadAttention, fast path": Case(multihead(batch_first=True, need_weights=False), TOKENS, SELF_ATTENTION),
    "MultiheadAttention, weights of each head": Case(
        multihead(batch_first=True, need_weights=True, average_attn_weights=False), TOKENS, SELF_ATTENTION
    ),
    "MultiheadAttention, unbatched": Case(
        multihead(batch_first=True, need_weights=False), (5, 16), 5 * 4 * 16 * 16 + attention_of(5, 5, 16)
    ),
    "MultiheadAttention, across": Case(
        lambda: Calling(
            lambda self, q, k, v: self.mha(q, k, v)[0],
            mha=nn.MultiheadAttention(16, 4, kdim=10, vdim=6, batch_first=True),
        ).eval(),
        [(2, 5, 16), (2, 7, 10), (2, 7, 6)],
        2 * (5 * 16 * 16 + 7 * 10 * 16 + 7 * 6 * 16 + attention_of(5, 7, 16) + 5 * 16 * 16),
    ),
    "TransformerEncoderLayer": Case(
        lambda: nn.TransformerEncoderLayer(16, 4, 40, batch_first=True).eval(), TOKENS, SELF_ATTENTION + FEED_FORWARD
    ),
    "TransformerEncoderLayer, norm first": Case(
        lambda: nn.TransformerEncoderLayer(16, 4, 40, norm_first=True, activation="gelu", batch_first=True).eval(),
        TOKENS,
        SELF_ATTENTION + FEED_FORWARD,
    ),
    "TransformerEncoderLayer without gradients": Case(
        lambda: nn.TransformerEncoderLayer(16, 4, 40, batch_first=True).eval().requires_grad_(False),
        TOKENS,
        SELF_ATTENTION + FEED_FORWARD,
    ),
    "TransformerEncoder": Case(
        lambda: nn.TransformerEncoder(nn.TransformerEncoderLayer(16, 4, 40, batch_first=True), 3).eval(),
        TOKENS,
        3 * (SELF_ATTENTION + FEED_FORWARD),
    ),
    "TransformerDecoderLayer": Case(
        lambda: nn.TransformerDecoderLayer(16, 4, 40, batch_first=True).eval(),
        [TOKENS, (2, 7, 16)],
        SELF_ATTENTION
        + FEED_FORWARD
        + 2 * (5 * 16 * 16 + 2 * 7 * 16 * 16 + attention_of(5, 7, 16) + 5 * 16 * 16),
    ),
}  # fmt: skip


@table(ATTENTION)
def test_attention_is_counted_in_all_its_forms(case: Case) -> None:
    assert macs_of(case.make(), case.given) == case.expected


# -- products


PRODUCTS = {
    "einsum as a batched product": Case(
        lambda: Calling(lambda self, a, b: torch.einsum("bij,bjk->bik", a, b)), [(2, 3, 4), (2, 4, 5)], 2 * 3 * 4 * 5
    ),
    "einsum of heads": Case(
        lambda: Calling(lambda self, a, b: torch.einsum("bhqd,bhkd->bhqk", a, b)),
        [(2, 3, 5, 16), (2, 3, 7, 16)],
        2 * 3 * 5 * 7 * 16,
    ),
    "einsum of three": Case(
        lambda: Calling(lambda self, a, b, c: torch.einsum("ij,jk,kl->il", a, b, c)),
        [(2, 3), (3, 4), (4, 5)],
        2 * 3 * 4 + 2 * 4 * 5,
    ),
    "einsum that transposes": Case(
        lambda: Calling(lambda self, a, b: torch.einsum("nct,ncp->ntp", a, b)), [(2, 5, 3), (2, 5, 12)], 2 * 3 * 12 * 5
    ),
    "the @ of matrices": Case(lambda: Calling(lambda self, a, b: a @ b), [(6, 3, 4), (4, 5)], 6 * 3 * 4 * 5),
    "matmul that broadcasts": Case(
        lambda: Calling(lambda self, a, b: torch.matmul(a, b)), [(2, 1, 3, 4), (5, 4, 6)], 2 * 5 * 3 * 4 * 6
    ),
    "addmm": Case(lambda: Calling(lambda self, a, b, c: torch.addmm(a, b, c)), [(6,), (4, 5), (5, 6)], 4 * 5 * 6),
    "baddbmm": Case(
        lambda: Calling(lambda self, a, b, c: torch.baddbmm(a, b, c)), [(3, 4, 6), (3, 4, 5), (3, 5, 6)], 3 * 4 * 5 * 6
    ),
    "baddbmm in place": Case(
        lambda: Calling(lambda self, a, b, c: a.baddbmm_(b, c)), [(3, 4, 6), (3, 4, 5), (3, 5, 6)], 3 * 4 * 5 * 6,
        gap="FlopCounterMode has no formula",
    ),
    "matmul into a given tensor": Case(
        lambda: Calling(lambda self, a, b: torch.mm(a, b, out=a.new_empty(3, 5))), [(3, 4), (4, 5)], 3 * 4 * 5
    ),
    "matrix times vector": Case(
        lambda: Calling(lambda self, a, b: torch.mv(a, b)), [(3, 4), (4,)], 3 * 4, gap="FlopCounterMode has no formula"
    ),
    "a dot product": Case(
        lambda: Calling(lambda self, a, b: torch.dot(a, b)), [(7,), (7,)], 7, gap="FlopCounterMode has no formula"
    ),
    "inner": Case(lambda: Calling(lambda self, a, b: torch.inner(a, b)), [(2, 3, 4), (5, 4)], 2 * 3 * 5 * 4),
    "tensordot": Case(
        lambda: Calling(lambda self, a, b: torch.tensordot(a, b, dims=2)), [(2, 3, 4), (3, 4, 5)], 2 * 3 * 4 * 5
    ),
    "chained": Case(
        lambda: Calling(lambda self, a, b, c: torch.linalg.multi_dot([a, b, c])),
        [(2, 30), (30, 4), (4, 5)],
        2 * 30 * 4 + 2 * 4 * 5,
    ),
    "bilinear": Case(
        lambda: Calling(lambda self, a, b: self.layer(a, b), layer=nn.Bilinear(5, 3, 7)),
        [(4, 2, 5), (4, 2, 3)],
        4 * 2 * 7 * 5 * 3,
        gap="FlopCounterMode has no formula",
    ),
    "linear on a vector": Case(lambda: nn.Linear(16, 32), (16,), 16 * 32),
    "linear on rows of rows": Case(lambda: nn.Linear(3, 2, bias=False), (2, 5, 7, 3), 2 * 5 * 7 * 3 * 2),
}  # fmt: skip


@table(PRODUCTS)
def test_every_product_is_counted(case: Case) -> None:
    assert macs_of(case.make(), case.given) == case.expected


# -- recurrent layers


def gates(kind: str) -> int:
    return {"LSTM": 4, "GRU": 3, "RNN": 1}[kind]


RECURRENT_KINDS = ("LSTM", "GRU", "RNN")
recurrent = pytest.mark.parametrize("kind", RECURRENT_KINDS)


@recurrent
@pytest.mark.parametrize("shape", [(5, 3, 8), (5, 8)], ids=["batched", "unbatched"])
def test_a_recurrent_layer_is_counted_at_every_step(kind: str, shape: Shape) -> None:
    assert macs_of(getattr(nn, kind)(8, 16), shape) == math.prod(shape[:-1]) * gates(kind) * 16 * (
        8 + 16
    )


@recurrent
def test_a_deep_recurrent_layer_of_both_directions_is_counted(kind: str) -> None:
    model = getattr(nn, kind)(
        8, 16, num_layers=2, bidirectional=True, batch_first=True, dropout=0.1
    )
    expected = 2 * 10 * 2 * gates(kind) * 16 * ((8 + 16) + (2 * 16 + 16))
    assert macs_of(model, (2, 10, 8)) == expected


@pytest.mark.parametrize(
    ("axes", "shape", "word"),
    [
        ((2, 3), (2, 3, 4, 5), "global_pooling"),
        ((-1, -2), (2, 3, 4, 5), "global_pooling"),
        ((2, 3, 4), (2, 3, 4, 5, 6), "global_pooling"),
        ((1, 2), (2, 8, 8, 8), "other"),  # of channels too
        ((-1,), (2, 7, 8), "other"),  # as a normalisation of rows has it
    ],
)
@pytest.mark.parametrize("keeps", [True, False])
def test_a_mean_over_all_positions_is_global_pooling(
    axes: tuple[int, ...], shape: Shape, word: str, keeps: bool
) -> None:
    for model in (
        Calling(lambda _, x: x.mean(axes, keeps)),
        Calling(lambda _, x: x.mean(dim=axes, keepdim=keeps)),
        Calling(lambda _, x: x.mean(axes, keeps, dtype=torch.float32)),
    ):
        (layer,) = dscost.analyze(model, input=shape).layers
        assert layer.op == word


def test_the_projection_of_an_lstm_is_counted() -> None:
    expected = 5 * 2 * (4 * 16 * (8 + 4) + 16 * 4)
    assert macs_of(nn.LSTM(8, 16, proj_size=4), (5, 2, 8)) == expected


@recurrent
def test_a_recurrent_layer_is_one_layer_with_all_its_parameters(kind: str) -> None:
    model = getattr(nn, kind)(8, 16, num_layers=2, bidirectional=True)
    (layer,) = dscost.analyze(model, input=(5, 2, 8)).layers
    assert layer.cost.params == sum(parameter.numel() for parameter in model.parameters())
    assert layer.op == "recurrent"


@recurrent
def test_a_recurrent_cell_is_counted_each_time_it_is_called(kind: str) -> None:
    def forward(self: Any, x: Tensor) -> Any:
        state = None
        for row in x:
            state = self.cell(row, state)
        return state

    model = Calling(forward, cell=getattr(nn, f"{kind}Cell")(8, 16))
    report = dscost.analyze(model, input=(5, 3, 8))
    assert report.totals.as_is.macs == 5 * 3 * gates(kind) * 16 * (8 + 16)
    assert layer_called(report, "cell").calls == 5


@recurrent
def test_a_packed_sequence_is_counted_by_its_rows(kind: str) -> None:
    lengths = torch.tensor([5, 3, 1])

    def forward(self: Any, x: Tensor) -> PackedSequence:
        packed: PackedSequence = self.layer(pack_padded_sequence(x, lengths, batch_first=True))[0]
        return packed

    model = Calling(forward, layer=getattr(nn, kind)(8, 16, batch_first=True))
    report = dscost.analyze(model, input=(3, 5, 8), strict=True)
    assert report.totals.as_is.macs == (5 + 3 + 1) * gates(kind) * 16 * (8 + 16)


# -- a second opinion on all of it


ALL = {**CONVOLUTIONS, **ATTENTION, **PRODUCTS}


@table({name: case for name, case in ALL.items() if not case.gap})
@same_with_even_kernel
def test_torch_counts_the_same(case: Case) -> None:
    assert flop_counter_macs(case.make, case.given) == case.expected


# -- lazy modules


def lazy_net() -> nn.Module:
    return nn.Sequential(
        nn.LazyConv2d(4, 3),
        nn.LazyBatchNorm2d(),
        nn.ReLU(),
        nn.LazyConvTranspose2d(2, 2),
        nn.Flatten(),
        nn.LazyLinear(5),
    )


@pytest.mark.parametrize(
    ("make", "given", "expected", "params"),
    [
        pytest.param(lambda: nn.LazyLinear(5), (2, 7), 2 * 7 * 5, 7 * 5 + 5, id="linear"),
        pytest.param(
            lambda: nn.LazyConv2d(4, 3), IMAGE, 2 * 7 * 5 * 4 * 3 * 9, 4 * 3 * 9 + 4, id="conv"
        ),
        pytest.param(
            lambda: nn.Sequential(nn.LazyConv2d(4, 3), nn.LazyBatchNorm2d()),
            IMAGE,
            2 * 7 * 5 * 4 * 3 * 9,
            4 * 3 * 9 + 4 + 4 + 4,
            id="conv and batch norm",
        ),
        pytest.param(
            lazy_net,
            IMAGE,
            2 * (7 * 5 * 4 * 3 * 9 + 7 * 5 * 4 * 2 * 4 + 2 * 8 * 6 * 5),
            (4 * 3 * 9 + 4) + 8 + (4 * 2 * 4 + 2) + (2 * 8 * 6 * 5 + 5),
            id="a net",
        ),
    ],
)
def test_a_lazy_model_is_counted_and_stays_lazy(
    make: Callable[[], nn.Module], given: Shape, expected: int, params: int
) -> None:
    model = make()
    before = repr(model)
    for _ in range(2):
        report = dscost.analyze(model, input=given)
        assert (report.totals.as_is.macs, report.totals.as_is.params) == (expected, params)
        assert repr(model) == before
    assert all(nn.parameter.is_lazy(parameter) for parameter in model.parameters())
    model(torch.zeros(given))  # it still learns its shapes from the first real input
    assert sum(parameter.numel() for parameter in model.parameters()) == params


# -- shared modules, tied weights, unused parameters


def test_a_shared_module_has_its_parameters_once_its_macs_every_time_and_its_first_name() -> None:
    report = dscost.analyze(shared_conv(), input=MAP)
    assert [layer.name for layer in report.layers] == ["0", "1"]
    conv = layer_called(report, "0")
    assert conv.calls == 2
    assert conv.cost.macs == report.totals.as_is.macs == 2 * (2 * 9 * 7 * 4 * 4 * 9)
    assert conv.cost.params == report.totals.as_is.params == 4 * 4 * 9 + 4
    positions, weights = 2 * 9 * 7 * 4, 4 * 4 * 9 + 4
    assert conv.cost.traffic_bytes == 2 * 4 * (positions + weights + positions)


def test_tied_weights_are_counted_once() -> None:
    model = Calling(
        lambda self, ids: self.head(self.embedding(ids)),
        embedding=nn.Embedding(50, 8),
        head=nn.Linear(8, 50, bias=False),
    )
    model.head.weight = model.embedding.weight
    report = dscost.analyze(model, input={"ids": TensorSpec((2, 5), "int64")})
    assert report.totals.as_is.params == 50 * 8
    assert report.totals.as_is.weight_bytes == 4 * 50 * 8
    assert report.totals.as_is.macs == 2 * 5 * 8 * 50
    assert sum(layer.cost.params for layer in report.layers) == 50 * 8
    assert report.warnings == ()


@pytest.mark.parametrize(
    ("forward", "operators"),
    [
        pytest.param(lambda self, x: self.held(x), [], id="of a part"),
        pytest.param(lambda self, x: F.conv2d(x, self.held.weight), [], id="one"),
        pytest.param(
            lambda self, x: F.conv2d(F.conv2d(x, self.held.weight), self.held.weight), [], id="one, twice"
        ),
        pytest.param(
            lambda self, x: F.conv2d(F.conv2d(x, self.held.weight, padding=1), self.held.weight),
            [("convolution", 1, 2 * 81 * 4 * 4 * 9), ("convolution", 1, 2 * 49 * 4 * 4 * 9)],
            id="two",
        ),
        pytest.param(
            lambda self, x: F.conv2d(x, self.held.weight).flatten(1) @ torch.ones(4 * 49, 3),
            [("convolution", 1, 2 * 49 * 4 * 4 * 9), ("matmul", 1, 2 * 4 * 49 * 3)],
            id="two kinds",
        ),
    ],
)  # fmt: skip
def test_a_layer_lists_what_it_computes_where_that_is_more_than_one_thing(
    forward: Callable[..., Tensor], operators: list[tuple[str, int, int]]
) -> None:
    model = Calling(forward, held=nn.Conv2d(4, 4, 3, bias=False))
    for layer in dscost.analyze(model, input=(2, 4, 9, 9)).layers:
        found = [(one.op, one.calls, one.cost.macs) for one in layer.operators]
        assert found == (operators if layer.name == "" else [])


@pytest.mark.parametrize(
    ("conv", "channels"),
    [
        pytest.param(nn.Conv2d(1, 1, 3), 1, id="one channel"),
        pytest.param(nn.Conv2d(1, 4, 3, groups=1), 1, id="one channel in"),
        pytest.param(nn.Conv2d(4, 4, 1, groups=4), 4, id="one tap"),
        pytest.param(nn.Conv2d(4, 4, 3, groups=2), 4, id="two groups"),
        pytest.param(nn.Conv2d(4, 4, 3), 4, id="no groups"),
    ],
)
def test_what_is_depthwise_by_its_shape_alone_needs_no_partner(
    conv: nn.Conv2d, channels: int
) -> None:
    assert dscost.analyze(nn.Sequential(conv), input=(1, channels, 8, 8)).warnings == ()


def test_tied_weights_stand_with_the_layer_that_first_reads_them() -> None:
    model = Calling(
        lambda self, x: F.linear(self.a(self.z(x * 2)), self.z.bias.expand(8, 8)),
        a=nn.Linear(8, 8),
        idle=nn.Linear(8, 8),
        z=nn.Linear(8, 8),
    )
    model.z.weight = model.a.weight
    model.idle.bias = model.z.bias
    report = dscost.analyze(model, input=(2, 8))
    assert {layer.name: layer.cost.params for layer in report.layers} == {
        "": 0,
        "z": 64 + 8,
        "a": 8,
        "idle": 64,
    }
    assert report.totals.as_is.params == sum(layer.cost.params for layer in report.layers)
    assert [shared.layers for shared in report.shared_weights or ()] == [("z", "a"), ("z", "")]


def test_parameters_that_are_never_used_are_reported_and_counted() -> None:
    model = Calling(lambda self, x: self.used(x), used=nn.Linear(8, 4), spare=nn.Linear(8, 4))
    model.lonely = nn.Parameter(torch.zeros(1000))
    report = dscost.analyze(model, input=(2, 8))
    assert "Never used: 1,036 parameters of (root), spare." in report.warnings
    assert report.totals.as_is.params == 36 + 36 + 1000
    idle = layer_called(report, "spare")
    assert (idle.calls, idle.cost.params, idle.cost.macs, idle.cost.traffic_bytes) == (0, 36, 0, 0)
    assert sum(layer.cost.params for layer in report.layers) == report.totals.as_is.params


@pytest.mark.parametrize(
    ("modules", "named"),
    [
        (3, "spare.0, spare.1, spare.2"),
        (4, "spare.0, spare.1, spare.2 and 1 more"),
        (5, "spare.0, spare.1, spare.2 and 2 more"),
    ],
)
def test_many_modules_that_are_never_used_are_summed_up(modules: int, named: str) -> None:
    spare = nn.ModuleList(nn.Linear(2, 1, bias=False) for _ in range(modules))
    model = Calling(lambda self, x: self.used(x), used=nn.Linear(8, 4), spare=spare)
    report = dscost.analyze(model, input=(2, 8))
    assert report.warnings == (f"Never used: {2 * modules} parameters of {named}.",)


@pytest.mark.parametrize(
    ("layers", "named"),
    [
        (1, "1 depthwise layer has no pointwise partner, so the standard figure leaves it as it is: 0."),
        (3, "3 depthwise layers have no pointwise partner, so the standard figure leaves them as they are: 0, 2, 4."),
        (5, "5 depthwise layers have no pointwise partner, so the standard figure leaves them as they are: "
            "0, 2, 4 and 2 more."),
    ],
)  # fmt: skip
def test_many_depthwise_layers_without_a_partner_are_summed_up(layers: int, named: str) -> None:
    convs = [
        nn.Conv2d(4, 4, 3, padding=1, groups=4 if at % 2 == 0 else 1) for at in range(2 * layers)
    ]
    report = dscost.analyze(nn.Sequential(*convs), input=(1, 4, 8, 8))
    assert report.warnings == (named,)


def test_a_module_that_is_called_without_using_its_parameters_is_reported() -> None:
    class Skipping(nn.Linear):
        def forward(self, x: Tensor) -> Tensor:
            return x

    report = dscost.analyze(nn.Sequential(nn.Linear(8, 8), Skipping(8, 8)), input=(2, 8))
    assert report.warnings == ("Never used: 72 parameters of 1.",)


def test_a_bias_that_is_skipped_is_reported() -> None:
    model = Calling(lambda self, x: F.linear(x, self.layer.weight), layer=nn.Linear(8, 4))
    report = dscost.analyze(model, input=(2, 8))
    assert report.warnings == ("Never used: 4 parameters of layer.",)
    assert (
        report.totals.as_is.params == sum(layer.cost.params for layer in report.layers) == 8 * 4 + 4
    )


def test_a_model_that_uses_everything_has_no_remark() -> None:
    assert (
        dscost.analyze(nn.Sequential(nn.Linear(8, 8), nn.BatchNorm1d(8)), input=(2, 8)).warnings
        == ()
    )


def test_a_weight_that_is_read_through_a_view_counts_as_used() -> None:
    model = Calling(
        lambda self, x: F.linear(x, self.layer.weight.t().t()[:2]),
        layer=nn.Linear(8, 4, bias=False),
    )
    report = dscost.analyze(model, input=(2, 8))
    assert report.warnings == ()
    assert report.totals.as_is.macs == 2 * 8 * 2


def held_apart(hold: Callable[[nn.Conv2d], Any]) -> nn.Module:
    """Return a model that convolves with what it got of a layer's weights before it ran."""
    model = Calling(lambda self, x: F.conv2d(x, self.kept[0]), layer=nn.Conv2d(3, 4, 3, bias=False))
    model.kept = [hold(model.layer)]
    return model


@pytest.mark.parametrize(
    "hold",
    [
        pytest.param(lambda layer: layer.weight.detach(), id="detached"),
        pytest.param(
            lambda layer: layer.weight.data.view(-1).view(4, 3, 3, 3), id="a view of the data"
        ),
        pytest.param(lambda layer: nn.Parameter(layer.weight.data), id="another parameter"),
    ],
)
def test_weights_that_the_model_keeps_a_second_time_are_used(
    hold: Callable[[nn.Conv2d], Any],
) -> None:
    report = dscost.analyze(held_apart(hold), input=(1, 3, 8, 8))
    assert report.doubts == ()
    assert report.totals.as_is.params == 4 * 3 * 9
    assert [layer.cost.params for layer in report.layers if layer.cost.macs] == [4 * 3 * 9]


def test_what_a_model_has_cached_in_an_earlier_trace_hides_nothing() -> None:
    class Cached(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer, self.spare = nn.Linear(8, 4), nn.Linear(3, 3)

        def forward(self, x: Tensor) -> Tensor:
            found = _GRIDS.get(x.shape[-1])
            if found is None:
                found = _GRIDS[x.shape[-1]] = torch.arange(8, device=x.device).float()
            return self.layer(x * found)  # type: ignore[no-any-return]

    for _ in range(2):
        report = dscost.analyze(Cached(), input=(2, 8))
        (doubt,) = report.doubts
        assert doubt.kind == "unused"
        assert report.totals.as_is.macs == 2 * 8 * 4


_GRIDS: dict[int, Tensor] = {}
"""What a model may keep for its next run; functions that close over a dict are copied with it."""


def test_a_parameter_that_shares_the_storage_of_another_one_is_used_with_it() -> None:
    model = Calling(lambda self, x: self.z(x), a=nn.Linear(8, 8, bias=False), z=nn.Linear(8, 8))
    model.z.weight.data = model.a.weight.data
    assert dscost.analyze(model, input=(2, 8)).doubts == ()


def swapping(self: Any, x: Tensor) -> Tensor:
    self.a.weight.data = self.b.weight.data
    return self.a(x)


def test_a_parameter_whose_data_is_given_to_another_one_is_used() -> None:
    model = Calling(swapping, a=nn.Linear(8, 8, bias=False), b=nn.Linear(8, 8, bias=False))
    report = dscost.analyze(model, input=(2, 8))
    assert (report.doubts, report.totals.as_is.params) == ((), 2 * 64)


@pytest.mark.parametrize(
    "forward",
    [
        pytest.param(lambda self, x: x * self.scale.item(), id="a number"),
        pytest.param(lambda self, x: x * (2 if self.scale > 0 else 3), id="a decision"),
        pytest.param(
            lambda self, x: x if torch.equal(self.scale, torch.zeros(1)) else 2 * x,
            id="a comparison",
        ),
        pytest.param(lambda self, x: (x * 2, self.scale), id="returned"),
        pytest.param(lambda self, x: (x * 2, self.scale.expand(4)), id="a view, returned"),
    ],
)
def test_a_parameter_that_no_operator_makes_a_tensor_of_is_used_all_the_same(
    forward: Callable[..., Any],
) -> None:
    report = dscost.analyze(Calling(forward, scale=nn.Parameter(torch.ones(1))), input=(2, 8))
    assert "unused" not in [doubt.kind for doubt in report.doubts]


@pytest.mark.parametrize(
    "made",
    [
        pytest.param(lambda weight: weight.detach(), id="detached"),
        pytest.param(lambda weight: weight.data.view(-1).view(4, 8), id="a view of the data"),
        pytest.param(lambda weight: nn.Parameter(weight.detach().clone()), id="a copy"),
        pytest.param(copy.deepcopy, id="a deep copy"),
        pytest.param(lambda weight: torch.stack([weight, weight]).mean(0), id="stacked"),
        pytest.param(lambda weight: weight.to(torch.float64).to(torch.float32), id="cast"),
    ],
)
@pytest.mark.parametrize("train", [False, True])
def test_weights_that_are_used_in_another_shape_are_used(
    made: Callable[[Tensor], Tensor], train: bool
) -> None:
    model = Calling(
        lambda self, x: F.linear(x, made(self.layer.weight)), layer=nn.Linear(8, 4, bias=False)
    )
    assert dscost.analyze(model, input=(2, 8), train=train).doubts == ()


# -- both ways


@pytest.mark.parametrize(
    ("conv", "depthwise", "pointwise", "shape"),
    [
        pytest.param(
            nn.Conv2d(4, 6, 3),
            nn.Conv2d(4, 4, 3, groups=4, bias=False),
            nn.Conv2d(4, 6, 1),
            MAP,
            id="plain",
        ),
        pytest.param(
            nn.Conv2d(4, 6, (5, 3), stride=2, padding=1, dilation=(1, 2), bias=False),
            nn.Conv2d(4, 4, (5, 3), stride=2, padding=1, dilation=(1, 2), groups=4, bias=False),
            nn.Conv2d(4, 6, 1, bias=False),
            MAP,
            id="with everything",
        ),
        pytest.param(
            nn.Conv2d(4, 6, 3, padding="same"),
            nn.Conv2d(4, 4, 3, padding="same", groups=4, bias=False),
            nn.Conv2d(4, 6, 1),
            MAP,
            id="padding='same'",
        ),
        pytest.param(
            nn.Conv2d(4, 6, 4, padding="same"),
            nn.Conv2d(4, 4, 4, padding="same", groups=4, bias=False),
            nn.Conv2d(4, 6, 1),
            MAP,
            id="padding='same', even kernel",
        ),
        pytest.param(
            nn.Conv2d(4, 6, 3, padding="valid"),
            nn.Conv2d(4, 4, 3, groups=4, bias=False),
            nn.Conv2d(4, 6, 1),
            MAP,
            id="padding='valid'",
        ),
        pytest.param(
            nn.Conv2d(4, 6, 3, groups=2),
            nn.Conv2d(4, 4, 3, groups=4, bias=False),
            nn.Conv2d(4, 6, 1, groups=2),
            MAP,
            id="grouped",
        ),
        pytest.param(
            nn.Conv2d(4, 6, 3),
            nn.Conv2d(4, 4, 3, groups=4, bias=False),
            nn.Conv2d(4, 6, 1),
            MAP[1:],
            id="unbatched",
        ),
        pytest.param(
            nn.Conv1d(4, 6, 5),
            nn.Conv1d(4, 4, 5, groups=4, bias=False),
            nn.Conv1d(4, 6, 1),
            (2, 4, 9),
            id="1-D",
        ),
        pytest.param(
            nn.Conv3d(4, 6, (1, 2, 2)),
            nn.Conv3d(4, 4, (1, 2, 2), groups=4, bias=False),
            nn.Conv3d(4, 6, 1),
            (1, 4, 3, 4, 5),
            id="3-D",
        ),
    ],
)
@same_with_even_kernel
def test_a_convolution_and_its_separable_counterpart_stand_for_each_other(
    conv: nn.Module, depthwise: nn.Module, pointwise: nn.Module, shape: Shape
) -> None:
    dense = dscost.analyze(conv, input=shape).totals
    pair = dscost.analyze(nn.Sequential(depthwise, pointwise), input=shape).totals
    assert dense.depthwise_separable == pair.as_is == pair.depthwise_separable
    assert pair.standard == dense.as_is == dense.standard


@pytest.mark.parametrize(
    "conv",
    [
        pytest.param(nn.Conv2d(4, 6, 1), id="1×1"),
        pytest.param(nn.Conv2d(4, 4, 3, groups=4), id="depthwise alone"),
        pytest.param(nn.ConvTranspose2d(4, 6, 3), id="transposed"),
        pytest.param(nn.Linear(7, 6), id="linear"),
    ],
)
def test_what_has_no_counterpart_is_the_same_in_all_three_versions(conv: nn.Module) -> None:
    totals = dscost.analyze(conv, input=MAP).totals
    assert totals.as_is == totals.standard == totals.depthwise_separable


class SqueezeExcite(nn.Module):
    def __init__(self, channels: int, *, linear: bool, scale_by: str) -> None:
        super().__init__()
        layer = nn.Linear if linear else (lambda a, b: nn.Conv2d(a, b, 1))
        self.squeeze, self.expand = layer(channels, 2), layer(2, channels)
        self.linear, self.scale_by = linear, scale_by

    def forward(self, x: Tensor) -> Tensor:
        gate = x.mean((2, 3), keepdim=not self.linear)
        gate = torch.sigmoid(self.expand(F.relu(self.squeeze(gate))))
        if self.linear:
            gate = gate[:, :, None, None]
        return (
            x.mul_(gate)
            if self.scale_by == "in place"
            else (gate * x if self.scale_by == "gate" else x * gate)
        )


BETWEEN = {
    "nothing": list,
    "normalisation": lambda: [nn.BatchNorm2d(4)],
    "layer normalisation": lambda: [nn.GroupNorm(1, 4)],
    "activation": lambda: [nn.ReLU()],
    "activation in place": lambda: [nn.BatchNorm2d(4), nn.ReLU6(inplace=True)],
    "an activation of several operators": lambda: [Calling(lambda self, x: x * F.relu6(x + 3) / 6)],
    "dropout": lambda: [nn.BatchNorm2d(4), nn.SiLU(), nn.Dropout()],
    "a layout": lambda: [Calling(lambda self, x: x.contiguous(memory_format=torch.channels_last))],
    **{
        f"squeeze-and-excite, {kind}, {scale}": lambda kind=kind, scale=scale: [
            nn.BatchNorm2d(4),
            nn.Hardswish(),
            SqueezeExcite(4, linear=kind == "linear", scale_by=scale),
        ]
        for kind in ("linear", "1×1")
        for scale in ("x", "gate", "in place")
    },
}


@pytest.mark.parametrize("between", [pytest.param(make, id=name) for name, make in BETWEEN.items()])
def test_a_pair_is_found_through_what_lies_between(between: Callable[[], list[nn.Module]]) -> None:
    model = nn.Sequential(
        nn.Conv2d(4, 4, 3, padding=1, groups=4, bias=False),
        *between(),
        nn.Conv2d(4, 6, 1, bias=False),
        nn.BatchNorm2d(6),
    )
    standard = dscost.analyze(
        nn.Sequential(nn.Conv2d(4, 6, 3, padding=1, bias=False), nn.BatchNorm2d(6)), input=MAP
    ).totals.as_is
    report = dscost.analyze(model, input=MAP)
    assert report.totals.standard == standard
    assert report.totals.depthwise_separable == report.totals.as_is
    assert report.layers[0].variants["standard"].params == 4 * 6 * 9


@pytest.mark.parametrize(
    "between",
    [
        pytest.param(lambda self, x: self.pointwise(F.max_pool2d(self.depthwise(x), 2)), id="pooling"),
        pytest.param(lambda self, x: self.pointwise(self.depthwise(x) + x), id="a residual"),
        pytest.param(lambda self, x: self.pointwise(self.depthwise(x) * torch.sigmoid(x)), id="a gate from elsewhere"),
        pytest.param(lambda self, x: self.pointwise(torch.cat([self.depthwise(x)[:, :2], x[:, :2]], 1)), id="a branch"),
        pytest.param(lambda self, x: [self.pointwise(y := self.depthwise(x)), y + 1], id="another reader"),
        pytest.param(lambda self, x: self.pointwise(self.depthwise(self.depthwise(x)).mean(1, True)
                                                    .expand(-1, 4, -1, -1)), id="channels mixed"),
    ],
)  # fmt: skip
def test_no_pair_is_seen_where_there_is_none(between: Forward) -> None:
    depthwise, pointwise = nn.Conv2d(4, 4, 3, padding=1, groups=4), nn.Conv2d(4, 6, 1)
    totals = dscost.analyze(
        Calling(between, depthwise=depthwise, pointwise=pointwise), input=MAP
    ).totals
    assert totals.standard == totals.as_is


def test_a_shared_convolution_is_replaced_once_in_parameters_and_at_every_call_in_macs() -> None:
    totals = dscost.analyze(shared_conv(), input=MAP).totals
    positions = 2 * 9 * 7
    assert totals.depthwise_separable.params == 4 * 9 + 4 * 4 + 4
    assert totals.depthwise_separable.macs == 2 * positions * (4 * 9 + 4 * 4)


@pytest.mark.parametrize("looks", [False, True], ids=["on meta", "for real"])
def test_a_constant_where_a_result_was_is_not_made_by_what_made_that(looks: bool) -> None:
    class Scaled(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.depthwise = nn.Conv2d(8, 8, 3, padding=1, groups=8)
            self.pointwise = nn.Conv2d(8, 16, 1)

        def forward(self, x: Tensor) -> Tensor:
            if looks:
                float(x.sum())
            y = self.depthwise(x)
            gone = y.sum(1, keepdim=True) + 1
            del gone  # Python gives its memory to what is made next
            z: Tensor = self.pointwise(y * torch.tensor([2.0]))
            return z

    report = dscost.analyze(Scaled(), input=(1, 8, 9, 9))
    pairs = {layer.name: layer.pair for layer in report.layers}
    assert pairs["depthwise"] == pairs["pointwise"] == "depthwise"


# -- attribution


def nested() -> nn.Module:
    block = nn.Sequential(
        nn.Conv2d(4, 4, 3, padding=1), nn.Sequential(nn.BatchNorm2d(4), nn.ReLU())
    )
    return nn.Sequential(
        nn.Conv2d(3, 4, 1), nn.ModuleDict({"a": block})["a"], nn.Flatten(), nn.Linear(4 * 9 * 7, 5)
    )


def test_layers_are_named_as_in_named_modules_in_the_order_in_which_they_run() -> None:
    model = nested()
    report = dscost.analyze(model, input=IMAGE)
    assert [layer.name for layer in report.layers] == ["0", "1.0", "1.1.0", "1.1.1", "3"]
    for layer in report.layers:
        assert layer.type == type(model.get_submodule(layer.name)).__name__


def test_what_a_parent_computes_itself_is_its_own() -> None:
    model = Calling(lambda self, x: self.layer(x) @ x.T + 1, layer=nn.Linear(8, 8))
    report = dscost.analyze(model, input=(2, 8))
    assert {layer.name: layer.cost.macs for layer in report.layers} == {
        "layer": 2 * 8 * 8,
        "": 2 * 2 * 8,
    }


def test_a_child_whose_forward_is_called_directly_is_attributed_too() -> None:
    model = Calling(lambda self, x: self.layer.forward(x), layer=nn.Linear(8, 8))
    assert [layer.name for layer in dscost.analyze(model, input=(2, 8)).layers] == ["layer"]


def test_a_weight_that_a_parent_uses_belongs_to_the_parent() -> None:
    model = Calling(
        lambda self, x: F.linear(x, self.layer.weight), layer=nn.Linear(8, 4, bias=False)
    )
    report = dscost.analyze(model, input=(2, 8))
    assert [(layer.name, layer.cost.macs, layer.cost.params) for layer in report.layers] == [
        ("", 2 * 8 * 4, 8 * 4)
    ]


def test_calls_count_how_often_a_module_runs() -> None:
    model = Calling(
        lambda self, x: self.b(self.a(self.a(self.a(x)))), a=nn.Linear(8, 8), b=nn.Linear(8, 8)
    )
    report = dscost.analyze(model, input=(2, 8))
    assert {layer.name: layer.calls for layer in report.layers} == {"a": 3, "b": 1}


def test_a_layer_says_what_it_is_given_and_what_it_makes() -> None:
    report = dscost.analyze(
        nn.Sequential(nn.Conv2d(3, 4, 3, stride=2, groups=1), nn.ReLU()), input=IMAGE
    )
    conv, relu = report.layers
    assert (conv.op, conv.input_shape, conv.output_shape) == ("convolution", IMAGE, (2, 4, 4, 3))
    assert conv.conv is not None
    assert (conv.conv.in_channels, conv.conv.out_channels, conv.conv.stride, conv.conv.bias) == (
        3,
        4,
        (2, 2),
        True,
    )
    assert (relu.op, relu.input_shape, relu.output_shape) == (
        "activation",
        (2, 4, 4, 3),
        (2, 4, 4, 3),
    )
    assert conv.cost.input_bytes == 4 * math.prod(IMAGE)
    assert conv.cost.output_bytes == relu.cost.output_bytes == 4 * math.prod((2, 4, 4, 3))


@table(ALL)
@same_with_even_kernel
def test_totals_are_the_sum_of_the_layers(case: Case) -> None:
    model = case.make()
    report = dscost.analyze(model, input=case.given)
    for figure in ("params", "macs", "weight_bytes", "traffic_bytes"):
        assert sum(getattr(layer.cost, figure) for layer in report.layers) == getattr(
            report.totals.as_is, figure
        )
    assert report.totals.as_is.params == sum(parameter.numel() for parameter in model.parameters())
    assert len({layer.name for layer in report.layers}) == len(report.layers)


# -- bytes


VALUES = 2 * 4 * 6 * 6


def bytes_by_hand(*values: int, of: int = 4) -> int:
    return of * sum(values)


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        # what moves nothing
        pytest.param(lambda x: x.view(2, -1), 0, id="view"),
        pytest.param(lambda x: x.reshape(2, -1), 0, id="reshape that is a view"),
        pytest.param(lambda x: x.flatten(1), 0, id="flatten"),
        pytest.param(lambda x: x.transpose(1, 2), 0, id="transpose"),
        pytest.param(lambda x: x.permute(0, 2, 3, 1), 0, id="permute"),
        pytest.param(lambda x: x[:, :2, ::2], 0, id="slice"),
        pytest.param(lambda x: x[..., None].expand(2, 4, 6, 6, 5), 0, id="expand"),
        pytest.param(lambda x: x.chunk(2, dim=1)[1], 0, id="chunk"),
        pytest.param(lambda x: x.split([1, 3], dim=1)[0], 0, id="split"),
        pytest.param(lambda x: x.unbind(1)[0], 0, id="unbind"),
        pytest.param(lambda x: x.unfold(2, 3, 1), 0, id="sliding windows"),
        pytest.param(lambda x: x.squeeze().unsqueeze(0).movedim(0, 1), 0, id="dimensions of one"),
        pytest.param(lambda x: x.detach(), 0, id="detach"),
        pytest.param(lambda x: x.contiguous(), 0, id="contiguous already"),
        pytest.param(lambda x: x.to(torch.float32), 0, id="the dtype it has"),
        pytest.param(lambda x: x.float(), 0, id="float of a float"),
        pytest.param(lambda x: F.dropout(x, 0.5, training=False), 0, id="dropout at inference"),
        pytest.param(lambda x: nn.Identity()(x), 0, id="identity"),
        # what copies
        pytest.param(lambda x: x.transpose(1, 2).contiguous(), bytes_by_hand(VALUES, VALUES), id="contiguous"),
        pytest.param(lambda x: x.transpose(1, 2).reshape(2, -1), bytes_by_hand(VALUES, VALUES), id="reshape, copied"),
        pytest.param(lambda x: x.transpose(1, 2).flatten(1), bytes_by_hand(VALUES, VALUES), id="flatten, copied"),
        pytest.param(lambda x: x.clone(), bytes_by_hand(VALUES, VALUES), id="clone"),
        pytest.param(
            lambda x: x.to(memory_format=torch.channels_last), bytes_by_hand(VALUES, VALUES), id="channels last"
        ),
        pytest.param(lambda x: x.double(), bytes_by_hand(VALUES, 2 * VALUES), id="another dtype"),
        pytest.param(lambda x: x.half(), bytes_by_hand(VALUES) + bytes_by_hand(VALUES, of=2), id="half"),
        pytest.param(lambda x: x.roll(1, 2), bytes_by_hand(VALUES, VALUES), id="roll"),
        pytest.param(lambda x: F.pad(x, (1, 1)), bytes_by_hand(VALUES, 2 * 4 * 6 * 8), id="pad"),
        pytest.param(lambda x: torch.cat([x, x[:, :1]], 1), bytes_by_hand(VALUES, 2 * 5 * 6 * 6), id="cat with itself"),
        pytest.param(
            lambda x: torch.cat([x, torch.relu(x)], -1), bytes_by_hand(2 * VALUES, 2 * VALUES, 2 * VALUES), id="cat"
        ),
        # what computes
        pytest.param(lambda x: torch.relu(x), bytes_by_hand(VALUES, VALUES), id="relu"),
        pytest.param(lambda x: torch.relu_(x), bytes_by_hand(VALUES, VALUES), id="relu in place"),
        pytest.param(lambda x: F.relu(x, inplace=True), bytes_by_hand(VALUES, VALUES), id="relu in place by option"),
        pytest.param(lambda x: x.transpose(1, 2).relu(), bytes_by_hand(VALUES, VALUES), id="relu of a view"),
        pytest.param(lambda x: x[:, :2].relu(), bytes_by_hand(VALUES // 2, VALUES // 2), id="relu of a part"),
        pytest.param(lambda x: x + 1, bytes_by_hand(VALUES, VALUES), id="a number added"),
        pytest.param(lambda x: 1 - x, bytes_by_hand(VALUES, VALUES), id="a number minus it"),
        pytest.param(lambda x: x * x, bytes_by_hand(VALUES, VALUES), id="times itself"),
        pytest.param(lambda x: x.add_(1), bytes_by_hand(VALUES, VALUES), id="a number added in place"),
        pytest.param(lambda x: x.exp_(), bytes_by_hand(VALUES, VALUES), id="an exponential in place"),
        pytest.param(lambda x: x.relu().sub_(x), bytes_by_hand(*[VALUES] * 5), id="a difference in place"),
        pytest.param(lambda x: x.sigmoid().mul_(2), bytes_by_hand(*[VALUES] * 4), id="times a number in place"),
        pytest.param(lambda x: x / x.amax(), bytes_by_hand(VALUES, 1, VALUES, 1, VALUES), id="over its maximum"),
        pytest.param(
            lambda x: x * x.mean((2, 3), keepdim=True), bytes_by_hand(VALUES, 8, VALUES, 8, VALUES), id="broadcast"
        ),
        pytest.param(
            lambda x: x.mean((2, 3), keepdim=True) * x, bytes_by_hand(VALUES, 8, 8, VALUES, VALUES), id="gate first"
        ),
        pytest.param(lambda x: x.softmax(1), bytes_by_hand(VALUES, VALUES), id="softmax"),
        pytest.param(lambda x: F.max_pool2d(x, 2), bytes_by_hand(VALUES, VALUES // 4), id="max pooling"),
        pytest.param(lambda x: F.avg_pool2d(x, 3, 3), bytes_by_hand(VALUES, VALUES // 9), id="average pooling"),
        pytest.param(lambda x: F.adaptive_avg_pool2d(x, 1), bytes_by_hand(VALUES, 8), id="global pooling"),
        pytest.param(lambda x: F.adaptive_avg_pool2d(x, (3, None)), bytes_by_hand(VALUES, 8 * 18), id="to 3 rows"),
        pytest.param(lambda x: x.sum(), bytes_by_hand(VALUES, 1), id="sum"),
        pytest.param(lambda x: x.argmax(1), bytes_by_hand(VALUES) + bytes_by_hand(VALUES // 4, of=8), id="argmax"),
        pytest.param(lambda x: x > 0, bytes_by_hand(VALUES) + VALUES, id="comparison"),
        pytest.param(
            lambda x: F.interpolate(x, scale_factor=2), bytes_by_hand(VALUES, 4 * VALUES), id="nearest neighbours"
        ),
        pytest.param(
            lambda x: F.interpolate(x, size=(12, 12), mode="bilinear", align_corners=False),
            bytes_by_hand(VALUES, 4 * VALUES),
            id="bilinear interpolation",
        ),
        pytest.param(lambda x: F.glu(x, 1), bytes_by_hand(VALUES, VALUES // 2), id="gated linear unit"),
        pytest.param(lambda x: F.pixel_shuffle(x, 2), bytes_by_hand(VALUES, VALUES), id="pixel shuffle"),
        pytest.param(
            lambda x: x.flatten(2) @ x.flatten(2).mT,
            bytes_by_hand(VALUES, 2 * 4 * 4),
            id="matmul with itself",
        ),
    ],
)  # fmt: skip
def test_each_operand_is_read_once_and_each_result_written_once(
    function: Forward, expected: int
) -> None:
    report = dscost.analyze(Calling(lambda self, x: function(x)), input=(2, 4, 6, 6), strict=True)
    assert report.totals.as_is.traffic_bytes == expected


@pytest.mark.parametrize(
    ("module", "expected"),
    [
        pytest.param(
            nn.Conv2d(4, 5, 3), bytes_by_hand(VALUES, 5 * 4 * 9 + 5, 2 * 5 * 4 * 4), id="conv"
        ),
        pytest.param(
            nn.Conv2d(4, 8, 1, groups=2, bias=False),
            bytes_by_hand(VALUES, 8 * 2, 2 * VALUES),
            id="grouped",
        ),
        pytest.param(
            nn.ConvTranspose2d(4, 3, 2, stride=2),
            bytes_by_hand(VALUES, 4 * 3 * 4 + 3, 2 * 3 * 144),
            id="transposed",
        ),
        pytest.param(nn.Linear(6, 3), bytes_by_hand(VALUES, 6 * 3 + 3, VALUES // 2), id="linear"),
        pytest.param(
            nn.BatchNorm2d(4),
            bytes_by_hand(VALUES, 4 * 4, VALUES),
            id="batch norm with its statistics",
        ),
        pytest.param(
            nn.BatchNorm2d(4, affine=False),
            bytes_by_hand(VALUES, 2 * 4, VALUES),
            id="batch norm, plain",
        ),
        pytest.param(nn.LayerNorm(6), bytes_by_hand(VALUES, 2 * 6, VALUES), id="layer norm"),
        pytest.param(
            nn.LayerNorm(6, elementwise_affine=False),
            bytes_by_hand(VALUES, VALUES),
            id="layer norm, plain",
        ),
        pytest.param(nn.GroupNorm(2, 4), bytes_by_hand(VALUES, 2 * 4, VALUES), id="group norm"),
        pytest.param(nn.RMSNorm(6), bytes_by_hand(VALUES, 6, VALUES), id="rms norm"),
        pytest.param(nn.InstanceNorm2d(4), bytes_by_hand(VALUES, VALUES), id="instance norm"),
        pytest.param(nn.PReLU(4), bytes_by_hand(VALUES, 4, VALUES), id="prelu"),
        pytest.param(nn.Dropout(), 0, id="dropout"),
        pytest.param(nn.Dropout(inplace=True), 0, id="dropout in place"),
        pytest.param(nn.Dropout2d(), 0, id="dropout of channels"),
        pytest.param(nn.Dropout2d(inplace=True), 0, id="dropout of channels in place"),
        pytest.param(nn.AlphaDropout(), 0, id="alpha dropout"),
        pytest.param(nn.Hardswish(), bytes_by_hand(VALUES, VALUES), id="hard swish"),
        pytest.param(nn.ReLU6(inplace=True), bytes_by_hand(VALUES, VALUES), id="relu6 in place"),
        pytest.param(nn.SiLU(), bytes_by_hand(VALUES, VALUES), id="silu"),
        pytest.param(nn.GELU(approximate="tanh"), bytes_by_hand(VALUES, VALUES), id="gelu"),
        pytest.param(nn.MaxPool2d(3, 2, 1), bytes_by_hand(VALUES, VALUES // 4), id="max pooling"),
    ],
)
@pytest.mark.parametrize("layout", ["contiguous", "channels_last"])
def test_bytes_of_a_module_do_not_depend_on_the_layout(
    module: nn.Module, expected: int, layout: str
) -> None:
    x = torch.empty(2, 4, 6, 6)
    if layout == "channels_last":
        x = x.to(memory_format=torch.channels_last)
    cost = dscost.analyze(module, input=x).totals.as_is
    assert cost.traffic_bytes == expected
    assert (cost.input_bytes, cost.macs > 0) == (
        4 * VALUES,
        isinstance(module, nn.Linear | nn.Conv2d | nn.ConvTranspose2d),
    )


@pytest.mark.parametrize(("dtype", "size"), [("float16", 2), ("bfloat16", 2), ("float64", 8)])
def test_bytes_know_the_dtype(dtype: str, size: int) -> None:
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU()).to(getattr(torch, dtype))
    cost = dscost.analyze(model, input=IMAGE, dtype=dtype).totals.as_is
    image, result, weights = 2 * 3 * 9 * 7, 2 * 4 * 7 * 5, 4 * 3 * 9 + 4
    assert cost.weight_bytes == size * weights
    assert (cost.input_bytes, cost.output_bytes) == (size * image, size * result)
    assert cost.traffic_bytes == size * (image + weights + result + result + result)


def test_a_batch_norm_in_the_layout_of_channels_last_keeps_it(seen: list[Any]) -> None:
    model = Calling(lambda self, x: shown(self.norm(x).relu().stride()), norm=nn.BatchNorm2d(4))
    x = torch.empty(2, 4, 6, 6).to(memory_format=torch.channels_last)
    dscost.analyze(model.eval(), input=x)
    assert seen == [x.stride()]


# where torch's own kernels for meta tensors, not ours, give another layout than those of the CPU
OF_TORCH = {("batch norm", "transposed"), ("roll", "channels_last")}


# strides that a model may rely on; what the kernels of the CPU give is the truth
@pytest.mark.parametrize(
    "layout", ["contiguous", "channels_last", "transposed", "slice", "expanded"]
)
@pytest.mark.parametrize(
    "function",
    [
        *(torch.relu, torch.sigmoid, F.gelu, F.silu, F.hardswish, torch.tanh, F.relu6),
        pytest.param(lambda x: x + 1, id="plus 1"),
        pytest.param(lambda x: x + x, id="plus itself"),
        pytest.param(lambda x: x * x.mean((2, 3), keepdim=True), id="gate"),
        pytest.param(lambda x: x.mean((2, 3), keepdim=True) * x, id="gate first"),
        pytest.param(lambda x: x.mean((2, 3)), id="mean"),
        pytest.param(lambda x: x.mean(1, keepdim=True), id="mean of channels"),
        pytest.param(lambda x: F.batch_norm(x, x.mean((0, 2, 3)), x.mean((0, 2, 3))), id="batch norm"),
        pytest.param(lambda x: F.layer_norm(x, x.shape[-1:]), id="layer norm"),
        pytest.param(lambda x: F.conv2d(x, x.new_zeros(5, 4, 3, 3)), id="conv"),
        pytest.param(lambda x: F.conv2d(x, x.new_zeros(4, 1, 3, 3), groups=4), id="depthwise conv"),
        pytest.param(lambda x: F.linear(x, x.new_zeros(3, 6)), id="linear"),
        pytest.param(lambda x: torch.cat([x, x], 1), id="cat"),
        pytest.param(lambda x: torch.cat([x, x], -1), id="cat of columns"),
        pytest.param(lambda x: x.softmax(1), id="softmax"),
        pytest.param(lambda x: x.roll(1, 2), id="roll"),
        pytest.param(lambda x: F.adaptive_avg_pool2d(x, 1), id="global pooling"),
        pytest.param(lambda x: F.adaptive_avg_pool2d(x, 3), id="adaptive pooling"),
        pytest.param(lambda x: F.max_pool2d(x, 2), id="max pooling"),
        pytest.param(lambda x: F.avg_pool2d(x, 2), id="average pooling"),
        pytest.param(lambda x: x.clone(), id="clone"),
        pytest.param(lambda x: x.clone(memory_format=torch.contiguous_format), id="clone, contiguous"),
        pytest.param(lambda x: x.contiguous(), id="contiguous"),
        pytest.param(lambda x: x.reshape(2, -1), id="reshape"),
        pytest.param(lambda x: x.flatten(1), id="flatten"),
        pytest.param(lambda x: x.double(), id="double"),
        pytest.param(lambda x: torch.empty_like(x), id="empty like it"),
        pytest.param(lambda x: F.scaled_dot_product_attention(x, x, x), id="attention"),
        pytest.param(lambda x: F.dropout(x, training=False), id="dropout"),
        pytest.param(lambda x: x @ x.mT, id="matmul"),
        pytest.param(lambda x: F.pad(x, (1, 1)), id="pad"),
        pytest.param(lambda x: F.interpolate(x, scale_factor=2), id="interpolate"),
    ],
)  # fmt: skip
def test_results_have_the_shape_the_dtype_and_the_strides_of_the_real_ones(
    function: Forward, layout: str, request: pytest.FixtureRequest, seen: list[Any]
) -> None:
    x = torch.rand(2, 4, 6, 6)
    x = {
        "contiguous": lambda: x,
        "channels_last": lambda: x.to(memory_format=torch.channels_last),
        "transposed": lambda: x.transpose(2, 3),
        "slice": lambda: torch.rand(2, 8, 6, 6)[:, 2:6],
        "expanded": lambda: x[:, :1].expand(2, 4, 6, 6),
    }[layout]()
    with torch.inference_mode():
        real = function(x)
    dscost.analyze(Calling(lambda self, x: shown(function(x))), input=x)
    assert [(r.shape, r.dtype) for r in seen] == [(real.shape, real.dtype)]
    if (request.node.callspec.id.rpartition("-")[0], layout) not in OF_TORCH:
        assert [r.stride() for r in seen] == [real.stride()]


# -- peak memory: the input always, each result from its birth until nobody holds it


def small(*channels: int, act: Callable[[], nn.Module] | None = None) -> nn.Module:
    modules: list[nn.Module] = []
    for before, after in pairwise(channels):
        modules += [
            nn.Conv2d(before, after, 1),
            *([act()] if act and after != channels[-1] else []),
        ]
    return nn.Sequential(*modules)


class Residual(nn.Module):
    def __init__(self, channels: int, hidden: int) -> None:
        super().__init__()
        self.expand, self.project = nn.Conv2d(channels, hidden, 1), nn.Conv2d(hidden, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.project(torch.relu(self.expand(x)))


PIXELS = 4 * 16  # bytes of one channel of 4×4


@pytest.mark.parametrize(
    ("model", "peak"),
    [
        pytest.param(nn.Identity(), 2, id="nothing"),
        pytest.param(small(2, 4), 2 + 4, id="one layer"),
        pytest.param(small(2, 4, 8), 2 + 4 + 8, id="chain: input, what is read, what is written"),
        pytest.param(small(2, 8, 1, 9), 2 + 1 + 9, id="chain: what was read is gone"),
        pytest.param(small(2, 4, 1, act=nn.ReLU), 2 + 4 + 4, id="an activation has its own result"),
        pytest.param(
            small(2, 4, 1, act=lambda: nn.ReLU(inplace=True)),
            2 + 4 + 1,
            id="an activation in place has none",
        ),
        pytest.param(small(2, 4, 1, act=nn.Identity), 2 + 4 + 1, id="an identity has none"),
        pytest.param(small(2, 4, 1, act=nn.Dropout), 2 + 4 + 1, id="dropout at inference has none"),
        pytest.param(Residual(2, 8), 2 + 8 + 8, id="residual: the widest place"),
        pytest.param(
            nn.Sequential(nn.Conv2d(2, 6, 1), Residual(6, 6)),
            2 + 6 + 6 + 6,
            id="residual: what is added stays alive",
        ),
        pytest.param(
            Calling(lambda self, x: [x * number for number in range(5)]),
            2 + 5 * 2,
            id="all that is returned",
        ),
        pytest.param(
            Calling(lambda self, x: sum(x * number for number in range(5))),
            4 * 2,
            id="a running sum",
        ),
        pytest.param(Calling(lambda self, x: x[:, :1].relu()), 2 + 1, id="half of the input"),
        pytest.param(Calling(lambda self, x: torch.cat([x, x, x], 1)), 2 + 6, id="concatenation"),
        pytest.param(
            Calling(lambda self, x: (torch.cat([x] * 4, 1)[:, :1], None)[0].relu()),
            2 + 8 + 1,
            id="a view keeps the whole alive",
        ),
    ],
)
def test_peak_memory_is_what_is_alive_at_once(model: nn.Module, peak: int) -> None:
    assert dscost.analyze(model, input=(1, 2, 4, 4)).peak_activation_bytes == peak * PIXELS


def test_weights_and_statistics_are_no_activations() -> None:
    model = nn.Sequential(nn.Conv2d(2, 2, 1), nn.BatchNorm2d(2), nn.Linear(4, 4))
    model.register_buffer("large", torch.zeros(10_000))
    assert dscost.analyze(model, input=(1, 2, 4, 4)).peak_activation_bytes == (2 + 2 + 2) * PIXELS


def test_two_inputs_of_one_storage_are_held_once() -> None:
    x = torch.empty(1, 2, 4, 4)
    report = dscost.analyze(Calling(lambda self, a, b: a + b), input=[x, x])
    assert report.peak_activation_bytes in (4 * PIXELS, 6 * PIXELS)
    assert (
        dscost.analyze(
            Calling(lambda self, a, b: a + b), input=[(1, 2, 4, 4)] * 2
        ).peak_activation_bytes
        == 6 * PIXELS
    )


# -- control flow that looks at values


class Deciding(nn.Module):
    """Takes the wide way when the input is positive on average."""

    def __init__(self, scale: float = 1.0) -> None:
        super().__init__()
        self.wide, self.narrow = nn.Conv2d(3, 8, 1), nn.Conv2d(3, 2, 1)
        self.scale = nn.Parameter(torch.full((1,), scale))

    def forward(self, x: Tensor) -> Tensor:
        if (x.mean() * self.scale).item() > 0:
            return self.wide(x)
        return self.narrow(x)


REAL = re.compile(
    r"The model looks at values \(\S+\.py:\d+, `.+`\), so it ran once for real on the CPU,( on zeros,)? "
    r"with its own or random weights\."
)


def ran_for_real(report: dscost.Report) -> bool:
    return any(
        doubt.kind == "value_dependent" and REAL.fullmatch(doubt.text) for doubt in report.doubts
    )


@pytest.mark.parametrize(("value", "channels"), [(1.0, 8), (-1.0, 2)])
def test_a_model_that_looks_at_values_runs_for_real_with_the_values_it_is_given(
    value: float, channels: int
) -> None:
    report = dscost.analyze(Deciding(), input=torch.full((1, 3, 4, 4), value))
    assert report.totals.as_is.macs == 16 * 3 * channels
    assert ran_for_real(report)
    assert "zeros" not in report.doubts[0].text
    assert report.peak_activation_bytes is None


@pytest.mark.parametrize("seed", range(8))
def test_the_weights_of_a_real_run_are_the_same_every_time_unless_somebody_seeds_torch(
    seed: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "deciding.py"
    path.write_text(
        "import torch\n"
        "class Net(torch.nn.Module):\n"
        "    def __init__(self):\n"
        "        super().__init__()\n"
        "        self.narrow, self.wide = torch.nn.Linear(1, 1), torch.nn.Linear(1, 64)\n"
        "    def forward(self, x):\n"
        "        return self.wide(x) if self.narrow(x).sum() > 0 else self.narrow(x)\n",
        encoding="utf-8",
    )
    before = torch.get_rng_state()
    try:
        torch.manual_seed(seed)
        monkeypatch.setattr(
            randomness, "_UNSEEDED", seed
        )  # as if torch had begun with that by itself
        found = dscost.analyze(f"{path}:Net", input=(1, 1)).totals.as_is.macs
        monkeypatch.setattr(randomness, "_UNSEEDED", -1)
        torch.manual_seed(randomness.SEED)
        assert found == dscost.analyze(f"{path}:Net", input=(1, 1)).totals.as_is.macs
    finally:
        torch.set_rng_state(before)


@pytest.mark.parametrize(
    ("function", "is_doubted"),
    [
        pytest.param(
            lambda self, x: self.conv(x) if torch.rand(1).item() < 2 else x, True, id="item"
        ),
        pytest.param(
            lambda self, x: self.conv(x) if torch.rand(()) * 0.5 < 2 else x, True, id="compared"
        ),
        pytest.param(
            lambda self, x: x if torch.randperm(3)[0].eq(9) else self.conv(x), True, id="order"
        ),
        pytest.param(lambda self, x: self.conv(x) + torch.rand(1), False, id="added"),
        pytest.param(lambda self, x: self.conv(x)[:, torch.randperm(2)], False, id="index"),
        pytest.param(
            lambda self, x: self.conv(x) if torch.ones(1).item() > 0 else x, False, id="no chance"
        ),
    ],
)
def test_a_model_that_is_decided_by_chance_is_doubted(function: Forward, is_doubted: bool) -> None:
    report = dscost.analyze(Calling(function, conv=nn.Conv2d(3, 4, 1)), input=(1, 3, 4, 4))
    assert report.totals.as_is.macs == 16 * 3 * 4
    assert [
        doubt.text.partition(" (")[0] for doubt in report.doubts if doubt.kind == "value_dependent"
    ] == (["The model looks at random numbers"] if is_doubted else [])


def test_a_real_run_says_that_it_was_on_zeros_where_only_shapes_are_given() -> None:
    assert "on zeros, with its own" in dscost.analyze(Deciding(), input=(1, 3, 4, 4)).doubts[0].text

    def picky(self: nn.Module, x: Tensor) -> Tensor:
        if not x.max() > 0:
            raise ValueError("nothing there")
        return x

    with pytest.raises(
        InputError, match=r"cannot be run on zeros of \(1, 3\) float32: ValueError: nothing there"
    ):
        dscost.analyze(Calling(picky), input=(1, 3))
    with pytest.raises(
        InputError, match=r"cannot be run on \(1, 3\) float32: ValueError: nothing there"
    ):
        dscost.analyze(Calling(picky), input=torch.zeros(1, 3))


class Normalised(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm, self.head = nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.norm(self.conv(x)).mean((2, 3)))


class Looked(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.words, self.layer = nn.Embedding(9, 4), nn.Linear(4, 2)

    def forward(self, ids: Tensor, mask: Tensor) -> Tensor:
        batch, length = ids.shape
        return self.layer(self.words(ids)) * mask.view(batch, length, 1)


@pytest.mark.parametrize(
    ("model", "given", "told"),
    [
        (
            Normalised(),
            (3, 9, 9),
            "ValueError: expected 4D input (got 3D input) (the batch is missing: "
            "did you mean --input 1,3,9,9? in Python input=(1, 3, 9, 9))",
        ),
        (
            Looked(),
            {"ids": TensorSpec((7,), "int64"), "mask": (7,)},
            "(the batch is missing: did you mean --input ids=1,7:int64 --input mask=1,7? "
            "in Python shapes (1, 7), (1, 7))",
        ),
    ],
)
def test_a_batch_that_is_missing_is_offered(model: nn.Module, given: Any, told: str) -> None:
    with pytest.raises(InputError) as caught:
        dscost.analyze(model, input=given)
    assert str(caught.value).endswith(told)


@pytest.mark.parametrize("shape", [(4, 9, 9), (1, 4, 9, 9), (9, 9)])
def test_a_batch_is_offered_only_where_the_model_then_runs(shape: tuple[int, ...]) -> None:
    with pytest.raises(InputError) as caught:
        dscost.analyze(Normalised(), input=shape)
    assert "did you mean" not in str(caught.value)


def test_of_an_error_without_values_one_sentence_is_told() -> None:
    def fails(self: nn.Module, x: Tensor) -> Tensor:
        if x.is_meta:
            raise RuntimeError("no kernel for Meta. Ask somebody. Or nobody.")
        return x

    (doubt,) = dscost.analyze(Calling(fails), input=(1, 3)).doubts
    assert "RuntimeError: no kernel for Meta, so it ran once for real" in doubt.text


@pytest.mark.parametrize(("scale", "channels"), [(1.0, 8), (-1.0, 2)])
def test_a_model_that_looks_at_values_runs_with_its_own_weights(
    scale: float, channels: int
) -> None:
    report = dscost.analyze(Deciding(scale), input=torch.ones(1, 3, 4, 4))
    assert report.totals.as_is.macs == 16 * 3 * channels


@pytest.mark.parametrize(
    "function",
    [
        pytest.param(lambda self, x: self.conv(x if x.sum() > 1e9 else -x), id="if"),
        pytest.param(lambda self, x: self.conv(x) * x.max().item(), id="item"),
        pytest.param(lambda self, x: self.conv(x)[:, :, : int(x.sum()) + 1], id="int"),
        pytest.param(
            lambda self, x: self.conv(x)[x[:, :1].expand(1, 4, 4, 4) >= 0], id="boolean index"
        ),
        pytest.param(lambda self, x: (self.conv(x), x.nonzero()), id="nonzero"),
        pytest.param(lambda self, x: (self.conv(x), x.tolist()), id="tolist"),
        pytest.param(lambda self, x: (self.conv(x), x.numpy()), id="numpy"),
        pytest.param(lambda self, x: (self.conv(x), x.unique()), id="unique"),
        pytest.param(lambda self, x: (self.conv(x), x.float().allclose(x)), id="allclose"),
        pytest.param(lambda self, x: (self.conv(x), torch.equal(x, x)), id="equal"),
        pytest.param(lambda self, x: (self.conv(x), bool(x.isnan().any())), id="any"),
    ],
)
@pytest.mark.parametrize("device", ["cpu", "meta"])
def test_every_way_to_look_at_values_is_answered(function: Forward, device: str) -> None:
    model = Calling(function, conv=nn.Conv2d(3, 4, 1)).to(device)
    report = dscost.analyze(model, input=(1, 3, 4, 4))
    assert report.totals.as_is.macs == 16 * 3 * 4
    assert [layer.name for layer in report.layers if layer.cost.macs] == ["conv"]


def test_a_model_that_looks_at_values_is_left_where_it_was() -> None:
    model = Deciding().to("meta").train()
    before = snapshot(model)
    x = torch.ones(1, 3, 4, 4)
    state = torch.get_rng_state()
    report = dscost.analyze(model, input=x)
    assert ran_for_real(report)
    assert torch.equal(state, torch.get_rng_state())
    assert all(parameter.is_meta for parameter in model.parameters())
    assert snapshot(model) == before


@pytest.mark.parametrize("looks", [False, True], ids=["on meta", "for real"])
def test_the_given_input_is_not_overwritten(looks: bool) -> None:
    model = Calling(lambda self, x: x.neg_().add_(x.sum().item() if looks else 1.0))
    x = torch.ones(2, 3)
    dscost.analyze(model, input=x)
    assert torch.equal(x, torch.ones(2, 3))
    assert x._version == 0


def test_a_model_from_a_file_that_looks_at_values_runs_for_real(tmp_path: Path) -> None:
    path = tmp_path / "deciding.py"
    path.write_text(
        textwrap.dedent(
            """
            import torch
            from torch import nn

            class Net(nn.Module):
                def __init__(self, wide=8):
                    super().__init__()
                    self.wide, self.narrow = nn.Conv2d(3, wide, 1), nn.Conv2d(3, 2, 1)
                    self.bias = nn.Parameter(torch.full((1,), 5.0))

                def forward(self, x):
                    return self.wide(x) if x.mean() + self.bias > 4 else self.narrow(x)
            """
        ),
        encoding="utf-8",
    )
    report = dscost.analyze(f"{path}:Net", input=(1, 3, 4, 4), kwargs={"wide": 16})
    assert report.totals.as_is.macs == 16 * 3 * 16  # as its own initial values decide
    assert ran_for_real(report)


# -- what a model is given


def embedding_net() -> nn.Module:
    return Calling(
        lambda self, ids, mask=None: self.head(
            self.table(ids) * (1 if mask is None else mask[..., None])
        ),
        table=nn.Embedding(50, 8),
        head=nn.Linear(8, 3),
    )


@pytest.mark.parametrize(
    "given",
    [
        pytest.param([TensorSpec((2, 5), "int64")], id="a spec"),
        pytest.param(TensorSpec((2, 5), "int64"), id="a spec alone"),
        pytest.param([TensorSpec((2, 5), "int64", "ids")], id="a named spec"),
        pytest.param({"ids": TensorSpec((2, 5), "int64")}, id="a keyword"),
        pytest.param({"ids": torch.zeros(2, 5, dtype=torch.int64)}, id="a keyword tensor"),
        pytest.param(torch.zeros(2, 5, dtype=torch.int32), id="a tensor"),
        pytest.param((torch.zeros(2, 5, dtype=torch.int64), torch.ones(2, 5)), id="two tensors"),
        pytest.param(
            {"ids": torch.zeros(2, 5, dtype=torch.int64), "mask": (2, 5)}, id="a tensor and a shape"
        ),
        pytest.param(
            [TensorSpec((2, 5), "int64"), TensorSpec((2, 5), "float32", "mask")], id="one by name"
        ),
        pytest.param(
            {"ids": torch.zeros(2, 5, dtype=torch.int64), "mask": None}, id="a tensor and None"
        ),
    ],
)
def test_integer_and_keyword_inputs_are_taken(given: Any) -> None:
    assert dscost.analyze(embedding_net(), input=given).totals.as_is.macs == 2 * 5 * 8 * 3


class Pair(NamedTuple):
    image: Tensor
    scale: Tensor


@pytest.mark.parametrize(
    ("function", "given", "shapes"),
    [
        pytest.param(lambda self, x: self.layer(x["a"]), ({"a": (2, 8)},), [(2, 8)], id="a dict"),
        pytest.param(
            lambda self, x: self.layer(x["a"]["b"][1]),
            ({"a": {"b": [(3, 8), (2, 8)]}},),
            [(3, 8), (2, 8)],
            id="a dict of dicts of lists",
        ),
        pytest.param(
            lambda self, x: self.layer(x[0][0]), ([[(2, 8)]],), [(2, 8)], id="a list of lists"
        ),
        pytest.param(
            lambda self, xs: self.layer(torch.stack(xs)), ([(8,), (8,)],), [(8,), (8,)], id="a list"
        ),
        pytest.param(
            lambda self, a, b: self.layer(a + b),
            [(2, 8), (2, 8)],
            [(2, 8), (2, 8)],
            id="two shapes",
        ),
        pytest.param(
            lambda self, a, b: self.layer(a + b),
            ((2, 8), (2, 8)),
            [(2, 8), (2, 8)],
            id="a tuple of shapes",
        ),
        pytest.param(
            lambda self, x, n: self.layer(x * n), (torch.ones(2, 8), 3.5), [(2, 8)], id="a number"
        ),
        pytest.param(
            lambda self, x, name: self.layer(x), {"x": (2, 8), "name": None}, [(2, 8)], id="None"
        ),
        pytest.param(
            lambda self, x: self.layer(x), torch.Size([2, 8]), [(2, 8)], id="a torch.Size"
        ),
        pytest.param(lambda self, x: self.layer(x), [2, 8], [(2, 8)], id="a list of ints"),
        pytest.param(
            lambda self, p: self.layer(p.image * p.scale),
            (Pair(torch.ones(2, 8), torch.ones(1)),),
            [(2, 8), (1,)],
            id="a named tuple",
        ),
        pytest.param(
            lambda self, x: self.layer(x),
            nn.Parameter(torch.ones(2, 8)),
            [(2, 8)],
            id="a parameter",
        ),
        pytest.param(
            lambda self, x: self.layer(x),
            {"args": ((torch.ones(2, 8)),), "kwargs": {}},
            [(2, 8)],
            id="args and kwargs",
        ),
    ],
)
def test_nested_inputs_are_taken(function: Forward, given: Any, shapes: list[Shape]) -> None:
    report = dscost.analyze(Calling(function, layer=nn.Linear(8, 3)), input=given)
    assert report.totals.as_is.macs == 2 * 8 * 3
    assert [entry.shape for entry in report.inputs] == shapes


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("1,3", "an input is a shape, a tensor, or a tuple or dict of them, found '1,3'"),
        (5, "an input is a shape, a tensor, or a tuple or dict of them, found 5"),
        ((1, -3), "an input cannot have a negative size, found (1, -3)"),
        ({"x": TensorSpec((1, 3), "flaot16")}, "unknown dtype 'flaot16' (did you mean 'float16'?)"),
        ({"x": TensorSpec((1, 3), "Tensor")}, "unknown dtype 'Tensor' (known: "),
    ],
    ids=str,
)
def test_an_input_that_is_none_is_refused(given: Any, message: str) -> None:
    with pytest.raises(InputError) as caught:
        dscost.analyze(nn.Linear(3, 4), input=given)
    assert str(caught.value).startswith(message)


def test_the_name_of_an_input_of_a_module_is_one_of_python() -> None:
    with pytest.raises(
        InputError, match=r"^an argument of a forward has a name of Python, found 'x:0'$"
    ):
        dscost.analyze(nn.Conv2d(3, 4, 1), input=(parse_input("x:0=1,3,4,4"),))


def test_a_module_without_an_input_is_asked_for_one() -> None:
    with pytest.raises(
        InputError, match="Linear does not state its input: give it with --input 1,3 or"
    ):
        dscost.analyze(nn.Linear(3, 4))


def test_the_batch_of_every_input_can_be_replaced() -> None:
    model = Calling(lambda self, a, b: self.layer(a["x"] + b), layer=nn.Linear(8, 3))
    report = dscost.analyze(model, input=({"x": (2, 8)}, (2, 8)), batch=6)
    assert report.totals.as_is.macs == 6 * 8 * 3
    assert [entry.shape for entry in report.inputs] == [(6, 8), (6, 8)]


def test_results_may_be_anything() -> None:
    model = Calling(
        lambda self, x: {"out": (self.layer(x), [x]), "name": "net", "nothing": None},
        layer=nn.Linear(8, 3),
    )
    cost = dscost.analyze(model, input=(2, 8)).totals.as_is
    assert (cost.macs, cost.output_bytes) == (2 * 8 * 3, 4 * (2 * 3 + 2 * 8))


# -- errors


class Unexpected(Exception):
    """What a model's own code may raise."""


@pytest.mark.parametrize(
    "error",
    [
        *(
            ValueError("a mistake"),
            RuntimeError("a mistake"),
            KeyError("a mistake"),
            ZeroDivisionError("a mistake"),
        ),
        *(
            AssertionError("a mistake"),
            NotImplementedError("a mistake"),
            NameError("a mistake"),
            OSError("a mistake"),
        ),
        *(ImportError("a mistake"), Unexpected("a mistake")),
    ],
    ids=lambda error: type(error).__name__,
)
def test_a_model_that_fails_is_an_input_error_with_its_reason(error: Exception) -> None:
    def forward(self: Any, x: Tensor) -> Tensor:
        raise error

    with pytest.raises(InputError) as caught:
        dscost.analyze(Calling(forward), input=(2, 8))
    told = str(error)
    assert (
        str(caught.value)
        == f"Calling cannot be run on (2, 8) float32: {type(error).__name__}: {told}"
    )


@pytest.mark.parametrize(
    ("model", "given", "reason"),
    [
        pytest.param(
            nn.Linear(8, 3),
            (2, 7),
            r"RuntimeError: mat1 and mat2 shapes cannot be multiplied",
            id="linear",
        ),
        pytest.param(
            nn.Conv2d(3, 4, 3),
            (2, 4, 9, 9),
            r"expected input\[2, 4, 9, 9\] to have 3 channels",
            id="channels",
        ),
        pytest.param(
            nn.Conv2d(3, 4, 3),
            (2, 3, 2, 2),
            r"Kernel size can't be greater than actual input",
            id="kernel",
        ),
        pytest.param(
            nn.BatchNorm2d(3),
            (2, 4, 9, 9),
            r"running_mean should contain 4 elements not 3",
            id="batch norm",
        ),
        pytest.param(
            nn.LayerNorm(8),
            (2, 7),
            r"Given normalized_shape=\[8\], expected input with",
            id="layer norm",
        ),
        pytest.param(
            Calling(lambda self, a, b: a + b), [(2, 3), (2, 4)], r"RuntimeError", id="add"
        ),
        pytest.param(
            Calling(lambda self, a, b: a.add_(b)),
            [(2, 3), (2, 4)],
            r"RuntimeError",
            id="add in place",
        ),
        pytest.param(
            Calling(lambda self, a, b: a.add_(b)),
            [(1, 3), (2, 3)],
            r"",
            id="add in place, too large",
        ),
        pytest.param(
            Calling(lambda self, a, b: torch.cat([a, b])),
            [(2, 3), (2, 4)],
            r"Sizes of tensors must",
            id="cat",
        ),
        pytest.param(
            Calling(lambda self, a, b: F.scaled_dot_product_attention(a, b, b)),
            [(1, 2, 5, 8), (1, 2, 5, 7)],
            r"",
            id="attention",
        ),
        pytest.param(
            Calling(lambda self, a: a.view(7)), (2, 3), r"shape '\[7\]' is invalid", id="view"
        ),
        pytest.param(
            Calling(lambda self, a: a.mean(5)),
            (2, 3),
            r"IndexError: Dimension out of range",
            id="mean",
        ),
        pytest.param(
            Calling(lambda self, a: a.sum(5)),
            (2, 3),
            r"IndexError: Dimension out of range",
            id="sum",
        ),
        pytest.param(
            nn.Conv2d(3, 4, 3).half(), torch.empty(2, 3, 9, 9), r"type", id="dtype of a conv"
        ),
    ],
)
def test_what_torch_refuses_is_refused_with_its_words(
    model: nn.Module, given: Any, reason: str
) -> None:
    with pytest.raises(InputError, match=rf"cannot be run on .*{reason}"):
        dscost.analyze(model, input=given)
    arguments = arguments_of(given)
    with pytest.raises((RuntimeError, ValueError, IndexError)), torch.inference_mode():
        model(*(torch.zeros(t.shape, dtype=t.dtype) for t in arguments.tensors))


def test_ctrl_c_goes_through_and_leaves_the_model_as_it_was() -> None:
    def forward(self: Any, x: Tensor) -> Tensor:
        signal.raise_signal(signal.SIGINT)
        return x

    model = Calling(forward, layer=nn.Linear(2, 2))
    before = snapshot(model)
    with pytest.raises(KeyboardInterrupt):
        dscost.analyze(model, input=(2, 2))
    assert snapshot(model) == before


# -- untouched


def snapshot(model: nn.Module) -> Any:
    """Everything about a model that somebody could notice, by identity where it has one."""
    return [
        (
            name,
            id(module),
            type(module),
            {
                key: id(value)
                for key, value in module.__dict__.items()
                if not isinstance(value, bool)
            },
            module.training,
            {key: _state_of(tensor) for key, tensor in _tensors(module).items()},
            {key: id(child) for key, child in module._modules.items()},
            {
                key: list(map(id, value.values()))
                for key, value in vars(module).items()
                if key.endswith("_hooks")
            },
            {
                key: repr(value)
                for key, value in vars(module).items()
                if isinstance(value, list | set)
            },
        )
        for name, module in model.named_modules()
    ]


def _tensors(module: nn.Module) -> dict[str, Tensor]:
    named = {**module._parameters, **module._buffers, **vars(module)}
    return {key: tensor for key, tensor in named.items() if isinstance(tensor, Tensor)}


def _state_of(tensor: Tensor) -> Any:
    changes = None if tensor.is_meta or tensor.is_inference() else tensor._version
    address = None if nn.parameter.is_lazy(tensor) else tensor.data_ptr()
    return id(tensor), changes, tensor.requires_grad, tensor.device, address


def surroundings() -> Any:
    """Everything about torch that somebody could notice."""
    return (
        torch.get_rng_state().tolist(),
        random.getstate(),
        torch.get_default_dtype(),
        torch.get_default_device(),
        torch.is_grad_enabled(),
        torch.is_inference_mode_enabled(),
        torch._C._len_torch_dispatch_stack(),
        torch._C._len_torch_function_stack(),
        *(
            F.conv2d,
            F.relu,
            F.linear,
            F.scaled_dot_product_attention,
            torch.matmul,
            torch.empty,
            Tensor.__matmul__,
        ),
        *(nn.Module.__call__, nn.Conv2d.forward, nn.Module.__setattr__, nn.Module.__getattr__),
        list(nn.modules.module._global_forward_hooks),
        list(nn.modules.module._global_forward_pre_hooks),
        torch.get_num_threads(),
        torch.is_deterministic_algorithms_warn_only_enabled(),
    )


@contextmanager
def nothing_changes(model: nn.Module) -> Iterator[None]:
    values = {key: value.clone() for key, value in model.state_dict().items() if not value.is_meta}
    before, around = snapshot(model), surroundings()
    yield
    assert snapshot(model) == before
    assert surroundings() == around
    state = model.state_dict()
    assert all(torch.equal(state[key], value) for key, value in values.items())


def busy() -> nn.Module:
    """A model with one of everything that an analysis could disturb."""
    model = nn.Sequential(
        nn.Conv2d(3, 8, 3, padding="same"),
        nn.BatchNorm2d(8),
        nn.ReLU(inplace=True),
        nn.Dropout(),
        weight_normed(nn.Conv2d(8, 8, 3)),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(8, 4),
    )
    model[0].weight.requires_grad_(False)
    model[1].eval()
    model[0].register_forward_hook(lambda module, args, result: None)
    model[7].register_full_backward_hook(lambda module, grads, results: None)
    model[7].weight.register_hook(lambda grad: grad)
    model.cached = torch.ones(3)
    model.notes = ["a"]
    return model.train()


FAILING = nn.Sequential(nn.Linear(8, 8), nn.BatchNorm1d(9))


@pytest.mark.parametrize("train", [False, True], ids=["inference", "training"])
@pytest.mark.parametrize("device", ["cpu", "meta"])
def test_a_model_and_everything_around_it_is_as_it_was(device: str, train: bool) -> None:
    model = busy().to(device)
    with nothing_changes(model):
        dscost.analyze(model, input=(2, 3, 9, 9), train=train)


def test_a_model_is_as_it_was_after_it_failed() -> None:
    model = nn.Sequential(busy(), nn.Linear(5, 5)).train()
    with nothing_changes(model), pytest.raises(InputError):
        dscost.analyze(model, input=(2, 3, 9, 9))


def test_a_model_is_as_it_was_after_it_was_verified() -> None:
    model = busy()
    with nothing_changes(model):
        assert dscost.verify(model, input=(2, 3, 9, 9)).agrees


def test_a_model_that_looks_at_values_is_as_it_was() -> None:
    model = nn.Sequential(
        busy()[0], Calling(lambda self, x: x * (1 if x.sum() > 0 else 2)), nn.Dropout()
    ).train()
    with nothing_changes(model):
        assert ran_for_real(dscost.analyze(model, input=(2, 3, 9, 9)))


@pytest.mark.parametrize("looks", [False, True], ids=["on meta", "for real"])
def test_numbers_that_a_model_draws_move_no_random_state(looks: bool) -> None:
    def forward(self: Any, x: Tensor) -> Tensor:
        x = x + torch.rand_like(x) + torch.randn(8) * random.random()
        return self.layer(x * (1 + 0 * x.sum().item()) if looks else x)

    model = Calling(forward, layer=nn.Linear(8, 8))
    with nothing_changes(model):
        assert dscost.analyze(model, input=(2, 8)).totals.as_is.macs == 2 * 8 * 8


def test_gradients_that_were_there_are_still_there() -> None:
    model = nn.Linear(8, 3)
    model(torch.ones(2, 8)).sum().backward()
    before = [(id(parameter.grad), parameter.grad.clone()) for parameter in model.parameters()]
    dscost.analyze(model, input=(2, 8), train=True)
    for (address, grad), parameter in zip(before, model.parameters(), strict=True):
        assert id(parameter.grad) == address
        assert torch.equal(parameter.grad, grad)


def test_a_model_trains_as_before_after_it_was_analysed() -> None:
    torch.manual_seed(0)
    twins = [nn.Sequential(nn.Linear(8, 8), nn.BatchNorm1d(8), nn.Dropout(), nn.Linear(8, 1))] * 1
    twins.append(copy.deepcopy(twins[0]))
    dscost.analyze(twins[0], input=(4, 8))
    results = []
    for model in twins:
        torch.manual_seed(1)
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
        for _ in range(3):
            model(torch.ones(4, 8)).sum().backward()
            optimizer.step()
        results.append(
            torch.cat([value.flatten().float() for value in model.state_dict().values()])
        )
    assert torch.equal(*results)


def test_a_model_can_be_copied_saved_and_scripted_after_it_was_analysed() -> None:
    model = nn.Sequential(nn.Conv2d(3, 4, 1), nn.ReLU())
    dscost.analyze(model, input=IMAGE)
    x = torch.rand(IMAGE)
    for again in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        assert torch.equal(again(x), model(x))


class Storing(nn.Module):
    """Puts things on itself while it runs, in every way that there is."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 1)
        self.last: Tensor | None = None
        self.register_buffer("buffer", torch.ones(4))
        self.register_buffer("empty", None)
        self.results: list[Tensor] = []
        self.by_name: dict[str, Tensor] = {}

    def forward(self, x: Tensor, how: str) -> Tensor:
        y: Tensor = self.conv(x)
        match how:
            case "attribute":
                self.last = y
            case "new attribute":
                self.brand_new = y
            case "buffer":
                self.buffer = y
            case "empty buffer":
                self.empty = y
            case "buffer in place":
                self.buffer.add_(y.mean())
            case "new buffer":
                self.register_buffer("another", y)
            case "parameter":
                self.conv.bias = nn.Parameter(y.mean((0, 2, 3)))
            case "new parameter":
                self.grown = nn.Parameter(y)
            case "module":
                self.act = nn.ReLU()
                y = self.act(y)
            case "list":
                self.results.append(y)
            case "dict":
                self.by_name["y"] = y
            case "deleted":
                del self.last
            case "mode":
                self.conv.eval()
            case "hook":
                self.conv.register_forward_hook(lambda *_: None)
            case "forward":
                self.conv.forward = lambda x: x
        return y


@pytest.mark.parametrize("device", ["cpu", "meta"])
@pytest.mark.parametrize(
    "how",
    [
        *(
            "attribute",
            "new attribute",
            "buffer",
            "empty buffer",
            "buffer in place",
            "new buffer",
            "parameter",
        ),
        *("new parameter", "module", "list", "dict", "deleted", "mode", "hook", "forward"),
    ],
)
def test_what_a_forward_puts_on_its_model_is_taken_off_again(how: str, device: str) -> None:
    model = Storing().to(device)
    with nothing_changes(model):
        report = dscost.analyze(model, input=(torch.ones(IMAGE), _Text(how)))
        assert report.totals.as_is.macs == 2 * 9 * 7 * 3 * 4
    assert (model.results, model.by_name, "act" in dict(model.named_modules())) == ([], {}, False)


class _Text:
    """A word that is no input by itself, so that it passes for any other object."""

    def __init__(self, text: str) -> None:
        self.text = text

    def __eq__(self, other: object) -> bool:
        return self.text == other

    __hash__ = None  # type: ignore[assignment]


def test_a_forward_that_an_instance_was_given_is_used_and_kept() -> None:
    model = nn.Sequential(nn.Linear(8, 8), nn.Linear(8, 3))
    own = types.MethodType(
        lambda self, x: F.linear(F.linear(x, self.weight), self.weight), model[0]
    )
    model[0].forward = own
    report = dscost.analyze(model, input=(2, 8))
    assert report.totals.as_is.macs == 2 * (8 * 8 + 8 * 8 + 8 * 3)
    assert model[0].forward is own
    assert "forward" not in model[1].__dict__


def test_hooks_that_change_the_result_are_respected() -> None:
    model = nn.Sequential(nn.Linear(8, 8), nn.Linear(4, 3))
    model[0].register_forward_hook(lambda module, args, result: result[:, :4])
    assert macs_of(model, (2, 8)) == 2 * (8 * 8 + 4 * 3)


class Collecting(nn.Module):
    """Gathers what a child makes by a hook that is a method of its own."""

    def __init__(self, *, pre: bool = False) -> None:
        super().__init__()
        self.body, self.head = nn.Sequential(nn.Linear(8, 8), nn.ReLU()), nn.Linear(8, 3)
        self.features: list[Tensor] = []
        if pre:
            self.body[1].register_forward_pre_hook(self.keep_input)
        else:
            self.body[0].register_forward_hook(self.keep)

    def keep(self, module: nn.Module, args: Any, result: Tensor) -> None:
        self.features = [result]

    def keep_input(self, module: nn.Module, args: Any) -> None:
        self.features = list(args)

    def forward(self, x: Tensor) -> Tensor:
        self.body(x)
        return self.head(self.features[0])


class Helper:
    """No module, but holds one."""

    def __init__(self, module: nn.Module) -> None:
        self.module = module

    def __call__(self, x: Tensor) -> Tensor:
        return self.module(x)


def helped() -> nn.Module:
    model = Calling(
        lambda self, x: self.head(self.helper(x)), body=nn.Linear(8, 8), head=nn.Linear(8, 3)
    )
    model.helper = Helper(model.body)
    return model


def with_closure() -> nn.Module:
    body = nn.Linear(8, 8)
    return Calling(lambda self, x: self.head(body(x)), body=body, head=nn.Linear(8, 3))


def with_wrapped_forward() -> nn.Module:
    model = nn.Sequential(nn.Linear(8, 8), nn.Linear(8, 3))
    inner = model.forward
    model.forward = lambda x: inner(x * 2)  # type: ignore[method-assign]
    return model


def with_parent() -> nn.Module:
    model = Calling(
        lambda self, x: self.head(self.body(x)), body=Calling(None), head=nn.Linear(8, 3)
    )
    model.body.function = lambda self, x: self.parent[0].spare(x)
    model.body.parent = [model]  # in a list, so that it is not a child
    model.spare = nn.Linear(8, 8)
    return model


class Guarded(nn.Module):
    """Has its own ideas about attributes."""

    def __init__(self) -> None:
        super().__init__()
        self.body, self.head = nn.Linear(8, 8), nn.Linear(8, 3)
        self.closed = True

    def __setattr__(self, name: str, value: Any) -> None:
        if self.__dict__.get("closed"):
            raise AttributeError(f"{name} cannot be set any more")
        super().__setattr__(name, value)

    def __getattr__(self, name: str) -> Any:
        return super().__getattr__({"tail": "head"}.get(name, name))

    def forward(self, x: Tensor) -> Tensor:
        return self.tail(self.body(x))


@pytest.mark.parametrize("device", ["cpu", "meta"])
@pytest.mark.parametrize(
    "make",
    [
        pytest.param(Collecting, id="a hook that stores on its model"),
        pytest.param(lambda: Collecting(pre=True), id="a pre-hook that stores on its model"),
        pytest.param(helped, id="a helper that holds a module"),
        pytest.param(with_closure, id="a closure over a module"),
        pytest.param(with_wrapped_forward, id="a forward that wraps the one before"),
        pytest.param(with_parent, id="a child that knows its parent"),
        pytest.param(Guarded, id="attributes that cannot be set"),
        pytest.param(
            lambda: Calling(
                lambda self, x: self.parts[1](self.parts[0](x)),
                parts=[nn.Linear(8, 8), nn.Linear(8, 3)],
            ),
            id="modules in a plain list",
        ),
        pytest.param(
            lambda: Calling(
                lambda self, x: F.linear(F.linear(x, self.weights["a"]), self.weights["b"][0]),
                weights={"a": torch.ones(8, 8), "b": (torch.ones(3, 8),)},
            ),
            id="weights in a plain dict",
        ),
        pytest.param(
            lambda: Calling(
                lambda self, x: F.linear(F.linear(x, self.weights[0]), self.weights[1]),
                weights=nn.ParameterList([torch.ones(8, 8), torch.ones(3, 8)]),
            ),
            id="a list of parameters",
        ),
    ],
)
def test_unusual_models_are_counted_and_left_as_they_were(
    make: Callable[[], nn.Module], device: str
) -> None:
    model = make()
    if not isinstance(model, Guarded):
        model = model.to(device)
    with nothing_changes(model):
        report = dscost.analyze(model, input=(2, 8), strict=True)
    assert report.totals.as_is.macs == 2 * (8 * 8 + 8 * 3)
    assert report.totals.as_is.params == sum(parameter.numel() for parameter in model.parameters())


def test_functions_that_somebody_patched_stay_patched(monkeypatch: pytest.MonkeyPatch) -> None:
    original = F.conv2d

    def patched(*args: Any, **kwargs: Any) -> Tensor:
        return original(original(*args, **kwargs), *args[1:], **kwargs)

    monkeypatch.setattr(F, "conv2d", patched)
    assert macs_of(nn.Conv2d(3, 3, 1), IMAGE) == 2 * (2 * 9 * 7 * 3 * 3)
    assert F.conv2d is patched


def test_a_default_device_and_dtype_of_the_user_are_kept() -> None:
    torch.set_default_dtype(torch.float64)
    try:
        with torch.device("meta"):
            report = dscost.analyze(nn.Linear(8, 3), input=torch.empty(2, 8))
            assert torch.empty(1).is_meta
        assert torch.get_default_dtype() is torch.float64
        assert report.totals.as_is.weight_bytes == 8 * (8 * 3 + 3)
    finally:
        torch.set_default_dtype(torch.float32)


@pytest.mark.parametrize(
    "mode", [torch.no_grad, torch.inference_mode, torch.enable_grad], ids=lambda mode: mode.__name__
)
def test_an_analysis_works_under_every_grad_mode(mode: Callable[[], Any]) -> None:
    model = busy()
    with mode(), nothing_changes(model):
        assert dscost.analyze(model, input=(2, 3, 9, 9)).totals.as_is.macs == 2 * (
            81 * 8 * 3 * 9 + 49 * 8 * 8 * 9 + 8 * 4
        )


def test_inference_tensors_can_be_analysed() -> None:
    with torch.inference_mode():
        model = nn.Sequential(nn.Linear(8, 8), nn.ReLU(inplace=True))
        x = torch.ones(2, 8)
    assert dscost.analyze(model, input=x).totals.as_is.macs == 2 * 8 * 8


def test_nothing_of_a_model_is_kept_alive() -> None:
    import weakref

    model = busy()
    gone = [weakref.ref(model), weakref.ref(model[0].weight)]
    dscost.analyze(model, input=(2, 3, 9, 9))
    del model
    gc.collect()
    assert [reference() for reference in gone] == [None, None]


@pytest.mark.parametrize("train", [False, True], ids=["as it is", "training"])
def test_a_trace_leaves_nothing_to_the_collector(train: bool) -> None:
    """Which the command line has switched off: what waits for it stays to the end."""

    class Rare(nn.Conv2d):
        pass

    gc.collect()
    was_on = gc.isenabled()
    gc.disable()
    try:
        model = Rare(3, 4, 3)
        dscost.analyze(model, input=(1, 3, 8, 8), train=train)
        assert [one for one in gc.get_objects() if isinstance(one, Rare)] == [model]
    finally:
        if was_on:
            gc.enable()


def test_a_model_is_traced_in_evaluation_mode_whatever_mode_it_is_in() -> None:
    model = Calling(
        lambda self, x: self.layer(self.layer(x)) if self.training else self.layer(x),
        layer=nn.Linear(8, 8),
    )
    assert macs_of(model.train(), (2, 8)) == 2 * 8 * 8
    assert model.training


# -- several threads


def test_numbers_that_another_thread_has_drawn_are_not_put_back() -> None:
    drawn, done = threading.Event(), threading.Event()

    def draw() -> None:
        torch.rand(1)
        drawn.set()
        done.wait()

    torch.manual_seed(5)
    torch.rand(1)
    after_one = torch.get_rng_state()
    torch.manual_seed(5)
    other = threading.Thread(target=draw)
    with states_kept():
        other.start()
        drawn.wait()
    found = torch.get_rng_state()
    done.set()
    other.join()
    assert torch.equal(found, after_one)


def test_several_threads_can_analyse_one_model_at_once() -> None:
    model, threads = busy(), 6
    barrier = Barrier(threads)

    def analyse(_: int) -> Any:
        barrier.wait()
        return [dscost.analyze(model, input=(2, 3, 9, 9)) for _ in range(3)]

    with nothing_changes(model), ThreadPoolExecutor(threads) as pool:
        reports = [report for reports in pool.map(analyse, range(threads)) for report in reports]
    assert all(report == reports[0] for report in reports)


def test_several_threads_can_analyse_different_models_at_once() -> None:
    widths = range(1, 9)
    barrier = Barrier(len(widths))

    def analyse(width: int) -> int:
        barrier.wait()
        return macs_of(
            nn.Sequential(nn.Conv2d(3, width, 1), nn.BatchNorm2d(width), nn.ReLU()), IMAGE
        )

    with ThreadPoolExecutor(len(widths)) as pool:
        assert list(pool.map(analyse, widths)) == [2 * 9 * 7 * 3 * width for width in widths]


def test_other_threads_compute_as_usual_while_one_traces() -> None:
    other, x = nn.Sequential(nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 3)), torch.rand(4, 8)
    expected = other(x)
    barrier = Barrier(2)

    def in_the_middle(self: Any, x: Tensor) -> Tensor:
        barrier.wait(10)  # the other thread begins
        barrier.wait(10)  # and has ended
        return self.layer(x)

    def compute() -> Any:
        barrier.wait(10)
        result = other(x)
        result.sum().backward()
        made = torch.empty(2)
        barrier.wait(10)
        return result, made.device.type, torch.is_inference_mode_enabled()

    model = Calling(in_the_middle, layer=nn.Linear(8, 8))
    with ThreadPoolExecutor(1) as pool:
        future = pool.submit(compute)
        report = dscost.analyze(model, input=(2, 8))
        result, device, inference = future.result()
    assert torch.equal(result, expected)
    assert (device, inference) == ("cpu", False)
    assert all(
        parameter.grad is not None and not parameter.grad.is_meta
        for parameter in other.parameters()
    )
    assert report.totals.as_is.macs == 2 * 8 * 8
    assert [layer.name for layer in report.layers] == ["layer"]


def test_a_model_may_analyse_another_inside_its_forward(seen: list[Any]) -> None:
    def forward(self: Any, x: Tensor) -> Tensor:
        shown(dscost.analyze(nn.Linear(5, 7), input=(1, 5)).totals.as_is.macs)
        return self.layer(x)

    assert macs_of(Calling(forward, layer=nn.Linear(8, 8)), (2, 8)) == 2 * 8 * 8
    assert set(seen) == {5 * 7}


# -- nothing is allocated, nothing is computed

linux_only = pytest.mark.skipif(
    not sys.platform.startswith("linux"), reason="reads the peak memory of Linux"
)


def peak_resident_bytes() -> int:
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


@linux_only
def test_two_billion_parameters_take_no_memory() -> None:
    with torch.device("meta"):
        model = nn.Sequential(*(nn.Linear(16_384, 16_384, bias=False) for _ in range(8)))
    before = peak_resident_bytes()
    report = dscost.analyze(model, input=(64, 16_384))
    assert peak_resident_bytes() - before < 100 * 2**20
    assert report.totals.as_is.params == 8 * 16_384**2 > 2e9
    assert report.totals.as_is.macs == 64 * report.totals.as_is.params


@linux_only
def test_activations_of_terabytes_take_no_memory_and_no_time() -> None:
    model = nn.Sequential(
        nn.Conv2d(3, 64, 3, padding=1), nn.BatchNorm2d(64), nn.ReLU(), nn.MaxPool2d(2)
    )
    before = peak_resident_bytes()
    report = dscost.analyze(model, input=(64, 3, 20_000, 20_000))
    assert peak_resident_bytes() - before < 100 * 2**20
    assert report.totals.as_is.macs == 64 * 20_000**2 * 64 * 3 * 9
    assert report.peak_activation_bytes is not None
    assert report.peak_activation_bytes > 10**12


def test_no_real_kernel_runs(seen: list[Any]) -> None:
    """Weights that are not a number would show up in a value; a meta tensor has none."""
    model = Calling(lambda self, x: shown(self.layer(x)), layer=nn.Linear(8, 8))
    dscost.analyze(model, input=torch.ones(2, 8))
    assert [result.is_meta for result in seen] == [True]


# -- compiled and scripted models


def never(*_: Any) -> Any:
    raise RuntimeError("dscost asked torch to compile something")


def compiled_in_place(module: nn.Module) -> nn.Module:
    module.compile(backend=never)
    return module


@pytest.mark.parametrize(
    "make",
    [
        pytest.param(
            lambda conv: torch.compile(nn.Sequential(conv), backend=never), id="the model"
        ),
        pytest.param(
            lambda conv: nn.Sequential(torch.compile(conv, backend=never)), id="a part of it"
        ),
        pytest.param(lambda conv: compiled_in_place(nn.Sequential(conv)), id="the model in place"),
        pytest.param(
            lambda conv: nn.Sequential(compiled_in_place(conv)), id="a part of it in place"
        ),
        pytest.param(
            lambda conv: Calling(
                torch.compile(lambda self, x: self.conv(x), backend=never), conv=conv
            ),
            id="a function that it calls",
        ),
    ],
)
def test_a_compiled_model_is_counted_without_compiling(
    make: Callable[[nn.Module], nn.Module],
) -> None:
    model = make(nn.Conv2d(3, 4, 1))
    with nothing_changes(model):
        report = dscost.analyze(model, input=IMAGE)
    assert report.totals.as_is.macs == 2 * 9 * 7 * 3 * 4
    assert report.totals.as_is.params == 3 * 4 + 4
    assert report.warnings == ()
    assert report.peak_activation_bytes == 4 * 2 * 9 * 7 * (3 + 4)


@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")
@pytest.mark.filterwarnings("ignore:.*torch.jit:FutureWarning")
def test_a_scripted_part_is_counted_by_its_operators() -> None:
    part = torch.jit.script(nn.Sequential(nn.Conv2d(4, 8, 3, groups=4), nn.ReLU()))
    report = dscost.analyze(
        nn.Sequential(nn.Conv2d(3, 4, 1), part, nn.Conv2d(8, 2, 1)), input=IMAGE
    )
    expected = 2 * (9 * 7 * 3 * 4 + 7 * 5 * 8 * 9 + 7 * 5 * 8 * 2)
    assert report.totals.as_is.macs == sum(layer.cost.macs for layer in report.layers) == expected
    assert report.totals.as_is.params == (3 * 4 + 4) + (8 * 9 + 8) + (8 * 2 + 2)
    assert report.coverage.unknown == ()


def test_a_traced_graph_is_counted_like_the_model() -> None:
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 5, 1)).eval()
    graph = torch.fx.symbolic_trace(model)
    assert dscost.analyze(graph, input=IMAGE).totals == dscost.analyze(model, input=IMAGE).totals


# -- other things that models do


class Doubled(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor) -> Tensor:
        ctx.save_for_backward(x, weight)
        return 2 * (x @ weight)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Any:  # pragma: no cover
        return grad, grad


def with_autocast(self: Any, x: Tensor) -> Tensor:
    with torch.autocast("cpu", dtype=torch.bfloat16):
        return self.layer(x)


def with_checkpoint(self: Any, x: Tensor) -> Tensor:
    from torch.utils.checkpoint import checkpoint

    result: Tensor = checkpoint(self.layer, x, use_reentrant=False)
    return result


@pytest.mark.parametrize(
    "function",
    [
        pytest.param(
            lambda self, x: Doubled.apply(x, self.layer.weight.mT),
            id="a function with its own gradient",
        ),
        pytest.param(with_autocast, id="autocast"),
        pytest.param(with_checkpoint, id="checkpoint"),
        pytest.param(lambda self, x: torch.no_grad()(self.layer)(x), id="no grad"),
        pytest.param(
            lambda self, x: torch.func.functional_call(self.layer, {}, (x,)), id="functional call"
        ),
        pytest.param(lambda self, x: torch.vmap(lambda row: self.layer.weight @ row)(x), id="vmap"),
        pytest.param(
            lambda self, x: self.layer(x + torch.arange(8)), id="a constant made on the way"
        ),
        pytest.param(
            lambda self, x: self.layer(x + torch.rand(2, 8)), id="random numbers made on the way"
        ),
        pytest.param(lambda self, x: self.layer(x + torch.tensor([1.0] * 8)), id="a literal"),
        pytest.param(lambda self, x: self.layer(x.to("cpu") * 2), id="a move to the CPU"),
        pytest.param(
            lambda self, x: self.layer(x + torch.zeros(8, device=x.device)),
            id="a constant on its device",
        ),
        pytest.param(
            lambda self, x: self.layer(torch.cat([x, torch.zeros(0)])), id="cat with nothing"
        ),
        pytest.param(lambda self, x: self.layer(x)[[0, 1], [0, 1]], id="indices"),
        pytest.param(lambda self, x: self.layer(x).split((3, 5), -1), id="split"),
        pytest.param(
            lambda self, x: self.layer(torch.linalg.vector_norm(x, dim=-1, keepdim=True) * x),
            id="norm",
        ),
        pytest.param(lambda self, x: copy.deepcopy(self.layer)(x), id="a copy of a module"),
        pytest.param(lambda self, x: self.layer(x.requires_grad_()), id="requires grad"),
    ],
)
def test_every_other_way_to_run_a_linear_layer_is_counted(function: Forward) -> None:
    report = dscost.analyze(Calling(function, layer=nn.Linear(8, 8)), input=(2, 8), strict=True)
    assert report.totals.as_is.macs == 2 * 8 * 8


def test_dropout_in_training_costs_bytes_and_no_macs() -> None:
    model = nn.Sequential(nn.Linear(8, 8), nn.Dropout())
    report = dscost.analyze(model, input=(2, 8), train=True, strict=True)
    assert (
        report.totals.as_is.macs == (1 + 1) * 2 * 8 * 8
    )  # forward, and the gradient of the weights
    assert report.coverage.unknown == ()


def test_an_operator_without_a_formula_is_decomposed_where_torch_can() -> None:
    # torch writes it as linear layers, sigmoid and tanh
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        report = dscost.analyze(
            Calling(lambda self, x: torch.ops.aten.linalg_matrix_power(x, 3)),
            input=(4, 4),
            strict=True,
        )
    assert report.totals.as_is.macs == 2 * 4 * 4 * 4


def test_an_operator_that_nobody_knows_is_named() -> None:
    report = dscost.analyze(
        Calling(lambda self, x: torch.linalg.qr(self.layer(x))[0], layer=nn.Linear(4, 4)),
        input=(4, 4),
    )
    assert report.coverage.unknown == ("aten::linalg_qr (1×)",)
    assert report.totals.as_is.macs == 4 * 4 * 4


def test_coverage_counts_what_is_counted_and_what_is_free() -> None:
    report = dscost.analyze(
        nn.Sequential(
            nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 63, 2)
        ),
        input=IMAGE,
    )
    assert report.coverage == (2, 2, (), {})


def test_the_report_says_where_the_model_came_from_and_what_it_was_given() -> None:
    report = dscost.analyze(nn.Linear(8, 3), input=TensorSpec((2, 8), "float32"))
    assert (report.target, report.source) == ("Linear", "module")
    assert report.inputs == (((2, 8), "float32"),)


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("1:uint64=18446744073709551615", [2**64 - 1]),
        ("1:float64=100000000000000000000000", [1e23]),
        ("2,2:uint16=[65535,0]", [[2**16 - 1, 0], [2**16 - 1, 0]]),
        ("2:bool=0..1", [False, True]),
    ],
)
def test_a_tensor_holds_the_values_that_it_is_given(text: str, values: list[Any]) -> None:
    (tensor,) = arguments_of((parse_input(text),)).tensors
    assert tensor.tolist() == values


def test_values_must_fit_the_dtype_of_the_model_where_none_is_given() -> None:
    given = (parse_input("1=1e300"),)
    assert arguments_of(given, "float64").tensors[0].tolist() == [1e300]
    with pytest.raises(InputError, match=r"^1e\+300 does not fit float32$"):
        arguments_of(given, "float32")


def test_a_forward_that_is_of_no_module_is_not_taken_for_torch_s() -> None:
    graph: Any = torch.fx.symbolic_trace(nn.Sequential(nn.Linear(8, 4)))
    graph.register_parameter("spare", nn.Parameter(torch.zeros(3)))
    type(graph).forward.__module__ = None  # as where torch.fx has compiled it
    report = dscost.analyze(graph, input=(2, 8))
    assert report.totals.as_is.macs == 2 * 8 * 4
    assert [doubt.text for doubt in report.doubts] == ["Never used: 3 parameters of (root)."]


def test_a_mistake_of_ours_is_not_told_as_the_model_s(monkeypatch: pytest.MonkeyPatch) -> None:
    def mistaken(*_: Any) -> None:
        raise KeyError("ours")

    monkeypatch.setattr(running, "unseen", mistaken)
    with pytest.raises(KeyError, match="ours"):
        dscost.analyze(nn.Linear(8, 4), input=(2, 8))


def test_a_mistake_of_ours_in_the_midst_of_a_run_is_not_told_as_the_model_s(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    held: dict[str, Any] = {"__name__": "dscost.tracing.recorder"}
    exec("def mistaken(*_): return None.shape", held)
    monkeypatch.setattr(Recorder, "_record_product", held["mistaken"])
    with pytest.raises(AttributeError, match="'shape'"):
        dscost.analyze(nn.Conv1d(4, 4, 1), input=(2, 4, 8))


@pytest.mark.parametrize("batch_first", [True, False])
def test_the_row_of_a_module_with_several_results_has_the_shape_of_the_first(
    batch_first: bool,
) -> None:
    class Attends(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.mha = nn.MultiheadAttention(16, 4, batch_first=batch_first)

        def forward(self, x: Tensor) -> Tensor:
            return self.mha(x, x, x)[0]  # type: ignore[no-any-return]

    (row,) = dscost.analyze(Attends(), input=(2, 5, 16)).layers
    assert row.output_shape == (2, 5, 16)  # not that of the weights, two or five times 5 × 5


def test_a_result_that_another_module_made_says_nothing_of_the_row() -> None:
    class Hands(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = nn.Linear(8, 4)

        def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
            x = self.inner(x)
            return x, torch.relu(x).sum(1)

    rows = {row.name: row for row in dscost.analyze(Hands(), input=(2, 8)).layers}
    assert (rows["inner"].output_shape, rows[""].output_shape) == ((2, 4), (2,))
