"""Converting deletes no computation: what a convolution's module does besides padding and convolving is seen.

`CONVERSION_EXAMPLES=2000` in the environment tries as many random modules.
"""

import functools
import os
from collections.abc import Callable
from types import MethodType
from typing import Any, NamedTuple

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from properties import law
from test_rewriting import old_weight_norm
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812
from torch.nn.utils import parametrizations, parametrize, prune

import dscost

FULL = 99
EXAMPLES = int(os.environ.get("CONVERSION_EXAMPLES", "100"))
Function = Callable[[Tensor], Tensor]

CONVS = {1: nn.Conv1d, 2: nn.Conv2d, 3: nn.Conv3d}
TRANSPOSED = {1: nn.ConvTranspose1d, 2: nn.ConvTranspose2d, 3: nn.ConvTranspose3d}


# -- random modules


class Scaled:
    """Counts its calls, and scales by their number."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, x: Tensor) -> Tensor:
        self.calls += 1
        return x * self.calls


def through_numpy(x: Tensor) -> Tensor:
    return torch.from_numpy(x.detach().numpy().clip(-50, 50))


def in_place(x: Tensor) -> Tensor:
    x.data.clamp_(-30, 30)
    return x


def by_position(x: Tensor) -> Tensor:
    return x * torch.linspace(1, 2, x.shape[-1], dtype=x.dtype)


def last_column_zero(x: Tensor) -> Tensor:
    y = x.clone()
    y[..., -1] = 0
    return y


def where_large(x: Tensor) -> Tensor:
    return x if float(x.abs().max()) < 50 else x / 2


def without_dispatch(x: Tensor) -> Tensor:
    with torch._C._DisableTorchDispatch():
        return x.clamp(-70, 70)


class Swish(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return x * x.sigmoid()


FUNCTIONS: dict[str, Callable[[], Function]] = {
    "nothing": lambda: lambda x: x,
    "relu": lambda: F.relu,
    "relu in place": lambda: lambda x: F.relu(x, inplace=True),
    "relu6": lambda: F.relu6,
    "abs": lambda: torch.abs,
    "sign": lambda: lambda x: x.abs().sqrt() * x.sign(),
    "clamp at 8": lambda: lambda x: x.clamp(-8, 8),
    "clamp at 100": lambda: lambda x: x.clamp(-100, 100),
    "clamp at 10,000": lambda: lambda x: x.clamp(max=1e4),
    "identity on [-1, 1]": lambda: F.hardtanh,
    "identity but near 0": lambda: lambda x: F.hardshrink(x, 1e-4),
    "identity on positives": lambda: lambda x: torch.where(x > 0, x, 0.1 * x),
    "identity on negatives": lambda: lambda x: torch.where(x < 0, x, 0.5 * x),
    "identity on whole numbers": lambda: torch.round,
    "identity on finite numbers": lambda: torch.nan_to_num,
    "identity": lambda: lambda x: x * 1.0,
    "twice": lambda: lambda x: 2 * x,
    "shifted": lambda: lambda x: x + 1e-3,
    "tanh": lambda: torch.tanh,
    "quantised": lambda: lambda x: torch.fake_quantize_per_tensor_affine(x.float(), 0.1, 0, -128, 127).to(x.dtype),
    "quantised, wide": lambda: lambda x: (x * 1024).round() / 1024,
    "rounded to float32": lambda: lambda x: x.float().double(),
    "normalised": lambda: lambda x: x - x.mean(),
    "normalised by standard deviation": lambda: lambda x: F.layer_norm(x, x.shape[1:]),
    "by position": lambda: by_position,
    "last column zero": lambda: last_column_zero,
    "flipped": lambda: lambda x: x.flip(-1),
    "rolled": lambda: lambda x: x.roll(1, -1),
    "channels rolled": lambda: lambda x: x.roll(1, 1),
    "stateful": Scaled,
    "by a branch": lambda: where_large,
    "through numpy": lambda: through_numpy,
    "on its data": lambda: in_place,
    "without dispatch": lambda: without_dispatch,
    "a function of autograd": lambda: Swish.apply,
    "copied": lambda: lambda x: x.clone(),
    "twice the batch": lambda: lambda x: x - x.flip(0) * 0.5,
}

WEIGHTS: dict[str, Callable[[nn.Module], nn.Module]] = {
    "plain": lambda conv: conv,
    "weight norm": parametrizations.weight_norm,
    "weight norm by hook": old_weight_norm,
    "spectral norm": parametrizations.spectral_norm,
    "pruned": lambda conv: prune.l1_unstructured(conv, "weight", amount=0.3),
    "standardised": lambda conv: computed(conv, lambda w: (w - w.mean()) / (w.std() + 1e-5)),
    "of an equalised rate": lambda conv: computed(conv, lambda w: 0.7 * w),
    "masked": lambda conv: computed(conv, lambda w: w * (torch.arange(w.shape[-1]) < 2)),
}


def computed(conv: nn.Module, function: Function) -> nn.Module:
    class Computing(nn.Module):
        def forward(self, weight: Tensor) -> Tensor:
            return function(weight)

    return parametrize.register_parametrization(conv, "weight", Computing())


def of_a_class(conv: Any, before: Function, after: Function) -> Any:
    def forward(self: Any, x: Tensor) -> Tensor:
        return after(super(kind, self).forward(before(x)))

    kind = type("Mine", (type(conv),), {"forward": forward})
    conv.__class__ = kind
    return conv


def of_a_private_method(conv: Any, before: Function, after: Function) -> Any:
    def inner(self: Any, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        return after(super(kind, self)._conv_forward(before(x), weight, bias))

    kind = type("Mine", (type(conv),), {"_conv_forward": inner})
    conv.__class__ = kind
    return conv


def of_a_private_method_on_it(conv: Any, before: Function, after: Function) -> Any:
    inner = conv._conv_forward
    conv._conv_forward = lambda x, weight, bias: after(inner(before(x), weight, bias))
    return conv


def of_a_call(conv: Any, before: Function, after: Function) -> Any:
    conv.__class__ = type(
        "Mine", (type(conv),), {"__call__": lambda self, x: after(super(type(self), self).__call__(before(x)))}
    )
    return conv


def patched_by_a_method(conv: Any, before: Function, after: Function) -> Any:
    torchs = type(conv).forward
    conv.forward = MethodType(lambda self, x: after(torchs(self, before(x))), conv)
    return conv


def patched_by_a_closure(conv: Any, before: Function, after: Function) -> Any:
    inner = conv.forward
    conv.forward = lambda x: after(inner(before(x)))
    return conv


def patched_by_a_partial(conv: Any, before: Function, after: Function) -> Any:
    def forward(module: Any, inner: Any, x: Tensor) -> Tensor:
        return after(inner(before(x)))

    conv.forward = functools.update_wrapper(functools.partial(forward, conv, conv.forward), conv.forward)
    return conv


def hooked(conv: Any, before: Function, after: Function) -> Any:
    conv.register_forward_pre_hook(lambda module, args: (before(args[0]),))
    conv.register_forward_hook(lambda module, args, result: after(result))
    return conv


def hooked_by_name(conv: Any, before: Function, after: Function) -> Any:
    conv.register_forward_pre_hook(
        lambda module, args, kwargs: ((before(args[0]), *args[1:]), kwargs), with_kwargs=True
    )
    conv.register_forward_hook(lambda module, args, kwargs, result: after(result), with_kwargs=True, always_call=True)
    return conv


class Hook:
    def __init__(self, function: Function) -> None:
        self.function = function

    def before(self, module: nn.Module, args: Any) -> Any:
        return self.function(args[0])

    def after(self, module: nn.Module, args: Any, result: Tensor) -> Tensor:
        return self.function(result)


def hooked_by_objects(conv: Any, before: Function, after: Function) -> Any:
    conv.register_forward_pre_hook(Hook(before).before)
    conv.register_forward_hook(Hook(after).after)
    return conv


def hooked_by_its_class(conv: Any, before: Function, after: Function) -> Any:
    conv.__class__ = type("Mine", (type(conv),), {"ahead": lambda self, module, args: before(args[0])})
    conv.register_forward_pre_hook(conv.ahead)
    conv.register_forward_hook(lambda module, args, result: after(result))
    return conv


def hooked_in_place(conv: Any, before: Function, after: Function) -> Any:
    def ahead(module: nn.Module, args: Any) -> None:
        args[0].copy_(before(args[0].clone()))

    def behind(module: nn.Module, args: Any, result: Tensor) -> None:
        result.copy_(after(result.clone()))

    conv.register_forward_pre_hook(ahead)
    conv.register_forward_hook(behind)
    return conv


PLACES = (
    of_a_class, of_a_private_method, of_a_private_method_on_it, of_a_call, patched_by_a_method, patched_by_a_closure,
    patched_by_a_partial, hooked, hooked_by_name, hooked_by_objects, hooked_by_its_class, hooked_in_place,
)  # fmt: skip


class Case(NamedTuple):
    """A module, an input, and whether it is nothing but a convolution."""

    module: nn.Module
    shape: tuple[int, ...]
    is_plain: bool
    told: str


def case_of(draw: Any) -> Case:
    dims = draw(st.integers(1, 3))
    kernel = tuple(draw(st.lists(st.integers(1, 3), min_size=dims, max_size=dims).filter(lambda k: max(k) > 1)))
    groups = draw(st.sampled_from([1, 1, 2]))
    channels, filters = groups * draw(st.integers(1, 3)), groups * draw(st.integers(2, 4))
    if groups == channels > 1:
        channels *= 2
    torch.manual_seed(draw(st.integers(0, 9)))
    is_transposed = draw(st.integers(0, 15)) == 0
    mode = (
        draw(st.sampled_from(["zeros", "zeros", "reflect", "replicate", "circular"])) if not is_transposed else "zeros"
    )
    padding = draw(st.sampled_from([0, 1, *([] if is_transposed else ["same"])]))
    conv: Any = (TRANSPOSED if is_transposed else CONVS)[dims](
        channels, filters, kernel,
        stride=1 if padding == "same" else draw(st.integers(1, 2)),
        padding=padding, groups=groups, bias=draw(st.booleans()), padding_mode=mode,
    )  # fmt: skip
    weights = draw(st.sampled_from(sorted(WEIGHTS)))
    place = draw(st.sampled_from(PLACES))
    before, after = (draw(st.sampled_from(["nothing", *FUNCTIONS])) for _ in range(2))
    side = draw(st.sampled_from(["before", "after", "both", "neither"]))
    before = before if side in ("before", "both") else "nothing"
    after = after if side in ("after", "both") else "nothing"
    conv = WEIGHTS[weights](conv.double().eval())
    for _ in range(3):  # a spectral norm finds its vector
        conv.train()(torch.randn(1, channels, *[6] * dims, dtype=torch.float64))
    conv = place(conv.eval(), FUNCTIONS[before](), FUNCTIONS[after]())
    told = f"{type(conv).__mro__[1].__name__} {weights}, {place.__name__}: {before}, {after}"
    is_plain = before == after == "nothing" and not is_transposed
    return Case(nn.Sequential(conv), (2, channels, *[7] * dims), is_plain, told)


TALLY = {"converted": 0, "kept": 0}


@settings(parent=law, max_examples=EXAMPLES)
@given(case=st.composite(case_of)(), given_input=st.sampled_from([None, "shape", "values"]))
def any_module(case: Case, given_input: str | None) -> None:
    x = torch.randn(case.shape, dtype=torch.float64)
    options = {"shape": {"input": torch.empty(case.shape, dtype=torch.float64, device="meta")}, "values": {"input": x}}
    result = dscost.conversion(case.module, rank=FULL, min_channels=1, **options.get(given_input or "", {}))
    (layer,) = result.layers
    TALLY["converted" if layer.converted else "kept"] += 1
    assert layer.converted or not case.is_plain, (case.told, layer.reason)
    assert layer.converted or layer.reason, case.told
    if not layer.converted and "stateful" in case.told:
        return  # what it closes over is not copied, so both count together
    larger = torch.randn([size + (at > 1) for at, size in enumerate(case.shape)], dtype=torch.float64)
    for given_x in (x, 1e-5 * x, 1e3 * x, x.abs(), (10 * x).round(), larger, torch.zeros_like(x)):
        with torch.no_grad():
            expected, found = case.module(given_x.clone()), result.module(given_x.clone())
        scale = float(expected.abs().max())
        assert float((expected - found).abs().max()) <= 1e-5 * max(scale, 1e-12), (case.told, layer)


@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel:UserWarning")
def test_a_converted_module_computes_what_it_did_or_is_kept() -> None:
    TALLY.update(converted=0, kept=0)
    any_module()
    assert TALLY["converted"] > EXAMPLES / 4
    assert TALLY["kept"] > EXAMPLES / 4
