"""Converting deletes no computation: what a convolution's module does besides padding and convolving is seen.

`EXAMPLES=50` in the environment tries 2,000 random modules.
"""

import functools
from collections.abc import Callable, Iterator
from types import MethodType, SimpleNamespace
from typing import Any, NamedTuple

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from properties import dear_law
from test_failures import code_of
from test_rewriting import SEPARABLE, Calling, old_weight_norm, rewrite
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812
from torch.nn.utils import parametrizations, parametrize, prune

import dscost
from dscost.analysis import Request
from dscost.converting.convert import convert_target
from dscost.converting.results import LayerOutcome
from dscost.errors import InputError
from dscost.layers.orders import ORDERS, Order

FULL = 99
Function = Callable[[Tensor], Tensor]

CONVS = {1: nn.Conv1d, 2: nn.Conv2d, 3: nn.Conv3d}
TRANSPOSED = {1: nn.ConvTranspose1d, 2: nn.ConvTranspose2d, 3: nn.ConvTranspose3d}


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Two threads on a busy machine take hundreds of times longer for small tensors."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


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
    "quantised": lambda: (
        lambda x: torch.fake_quantize_per_tensor_affine(x.float(), 0.1, 0, -128, 127).to(x.dtype)
    ),
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
        "Mine",
        (type(conv),),
        {"__call__": lambda self, x: after(super(type(self), self).__call__(before(x)))},
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

    conv.forward = functools.update_wrapper(
        functools.partial(forward, conv, conv.forward), conv.forward
    )
    return conv


def hooked(conv: Any, before: Function, after: Function) -> Any:
    conv.register_forward_pre_hook(lambda module, args: (before(args[0]),))
    conv.register_forward_hook(lambda module, args, result: after(result))
    return conv


def hooked_by_name(conv: Any, before: Function, after: Function) -> Any:
    conv.register_forward_pre_hook(
        lambda module, args, kwargs: ((before(args[0]), *args[1:]), kwargs), with_kwargs=True
    )
    conv.register_forward_hook(
        lambda module, args, kwargs, result: after(result), with_kwargs=True, always_call=True
    )
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
    conv.__class__ = type(
        "Mine", (type(conv),), {"ahead": lambda self, module, args: before(args[0])}
    )
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
    kernel = tuple(
        draw(st.lists(st.integers(1, 3), min_size=dims, max_size=dims).filter(lambda k: max(k) > 1))
    )
    groups = draw(st.sampled_from([1, 1, 2]))
    channels, filters = groups * draw(st.integers(1, 3)), groups * draw(st.integers(2, 4))
    if groups == channels > 1:
        channels *= 2
    torch.manual_seed(draw(st.integers(0, 9)))
    is_transposed = draw(st.integers(0, 15)) == 0
    mode = (
        draw(st.sampled_from(["zeros", "zeros", "reflect", "replicate", "circular"]))
        if not is_transposed
        else "zeros"
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


@dear_law
@given(
    case=st.composite(case_of)(),
    given_input=st.sampled_from([None, "shape", "values"]),
    order=st.sampled_from(ORDERS),
)
def any_module(case: Case, given_input: str | None, order: Order) -> None:
    x = torch.randn(case.shape, dtype=torch.float64)
    options = {
        "shape": {"input": torch.empty(case.shape, dtype=torch.float64, device="meta")},
        "values": {"input": x},
    }
    result = dscost.conversion(
        case.module, rank=FULL, order=order, min_channels=1, **options.get(given_input or "", {})
    )
    (layer,) = result.layers
    TALLY["converted" if layer.converted else "kept"] += 1
    assert layer.converted or not case.is_plain, (case.told, layer.reason)
    assert layer.converted or layer.reason, case.told
    if not layer.converted and "stateful" in case.told:
        return  # what it closes over is not copied, so both count together
    larger = torch.randn(
        [size + (at > 1) for at, size in enumerate(case.shape)], dtype=torch.float64
    )
    for given_x in (x, 1e-5 * x, 1e3 * x, x.abs(), (10 * x).round(), larger, torch.zeros_like(x)):
        with torch.no_grad():
            expected, found = case.module(given_x.clone()), result.module(given_x.clone())
        scale = float(expected.abs().max())
        assert float((expected - found).abs().max()) <= 1e-5 * max(scale, 1e-12), (case.told, layer)


@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel:UserWarning")
def test_a_converted_module_computes_what_it_did_or_is_kept() -> None:
    TALLY.update(converted=0, kept=0)
    any_module()
    assert TALLY["converted"] > dear_law.max_examples / 4
    assert TALLY["kept"] > dear_law.max_examples / 4


# -- what a class, a hook or a patched forward does besides


def sequential(conv: nn.Module) -> nn.Module:
    return nn.Sequential(conv).eval()


def with_function(before: Function, channels: int = 8) -> nn.Module:
    return sequential(of_a_class(nn.Conv2d(channels, channels, 3), before, lambda x: x))


def layers_of(module: nn.Module, **options: Any) -> dict[str, LayerOutcome]:
    return {
        layer.name: layer
        for layer in dscost.conversion(module, **{"min_channels": 1, **options}).layers
    }


@torch.no_grad()
def off(module: nn.Module, other: nn.Module, *inputs: Tensor) -> float:
    expected = module(*inputs)
    return float((other(*inputs) - expected).abs().max() / expected.abs().max())


CHANGED = "it pads or changes its input in a way of its own: "
MORE = "its forward does more than the convolution: "


@pytest.mark.parametrize(
    "given_input", [None, (2, 8, 9, 9), torch.randn(2, 8, 9, 9)], ids=["no", "shape", "values"]
)
@pytest.mark.parametrize(
    ("function", "operator"),
    [
        (F.relu, "relu"),
        (torch.abs, "abs"),
        (F.relu6, "hardtanh"),
        (lambda x: x.clamp(-8, 8), "clamp"),
        (lambda x: x.clamp(-100, 100), "clamp"),
        (lambda x: torch.where(x > 0, x, 0), "gt, aten::where"),
        (lambda x: x * 1.0, "mul"),
    ],
    ids=["relu", "abs", "relu6", "clamp at 8", "clamp at 100", "where", "times one"],
)
def test_a_function_before_the_convolution_keeps_it(
    function: Function, operator: str, given_input: Any
) -> None:
    module = with_function(function)
    layer = layers_of(module, rank=9, input=given_input)["0"]
    assert (layer.converted, layer.error, layer.reason) == (
        False,
        None,
        f"{CHANGED}aten::{operator}",
    )
    assert (
        off(module, dscost.convert(module, rank=9, input=given_input), torch.randn(2, 8, 9, 9)) == 0
    )


@pytest.mark.parametrize("without", ["through numpy", "without dispatch"])
def test_a_function_that_no_operator_shows_is_seen_by_its_values(without: str) -> None:
    reason = layers_of(with_function(FUNCTIONS[without](), 4))["0"].reason
    assert reason is not None
    assert reason.startswith((CHANGED[:-2], MORE[:-2]))


class Dropping(nn.Conv2d):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(F.dropout(x, 0.5, self.training))


class DroppingLater(nn.Conv2d):
    def forward(self, x: Tensor) -> Tensor:
        return F.dropout(super().forward(x), 0.5, self.training)


class Noisy(nn.Conv2d):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x + torch.randn_like(x) if self.training else x)


class PaddingInTraining(nn.Conv2d):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(F.pad(x, (1, 1, 1, 1)) if self.training else x)


class Casting(nn.Conv2d):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.to(self.weight.dtype))


class Dynamic(nn.Conv2d):
    def forward(self, x: Tensor) -> Tensor:
        return self._conv_forward(x, self.weight * x.mean(), self.bias)


class OnOne(nn.Conv1d):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x).relu()


class OnThree(nn.Conv3d):
    def _conv_forward(self, x: Tensor, *rest: Any) -> Tensor:
        return super()._conv_forward(x.clamp(max=1e3), *rest)


class WithALaterHook(nn.Conv2d):
    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.register_forward_hook(self.shrink)

    def shrink(self, module: nn.Module, args: Any, result: Tensor) -> Tensor:
        return result * self.weight.mean()


class Stateful:
    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, module: nn.Module, args: Any, result: Tensor) -> Tensor:
        self.calls += 1
        return result * self.calls


def with_hook(hook: Any, conv: Any = None) -> Any:
    conv = conv or nn.Conv2d(4, 8, 3)
    conv.register_forward_hook(hook)
    return conv


def clamps_its_weights(module: Any, args: Any) -> None:
    module.weight.data.clamp_(-0.01, 0.01)


def empties(args: tuple[Tensor, ...]) -> None:
    args[0].zero_()


def with_pre_hook(hook: Any) -> Any:
    conv = nn.Conv2d(4, 8, 3)
    conv.register_forward_pre_hook(hook)
    return conv


TRAINED = "in training " + CHANGED
LOOKS = "a hook of it looks into the convolution, or cannot be run by itself"

ODD: dict[str, tuple[Callable[[], nn.Module], str]] = {
    "dropout before": (lambda: Dropping(4, 8, 3), TRAINED + "aten::mul"),
    "dropout after": (lambda: DroppingLater(4, 8, 3), "in training " + MORE + "aten::mul"),
    "noise in training": (lambda: Noisy(4, 8, 3), TRAINED + "aten::add"),
    "padding in training": (lambda: PaddingInTraining(4, 8, 3), TRAINED.removesuffix(": ")),
    "a cast": (lambda: Casting(4, 8, 3), CHANGED + "a change of dtype"),
    "weights of the input": (lambda: Dynamic(4, 8, 3), CHANGED + "aten::mean, aten::mul"),
    "a call of its own": (lambda: of_a_call(nn.Conv2d(4, 8, 3), F.relu, torch.abs), CHANGED + "aten::relu"),
    "its private method": (
        lambda: of_a_private_method_on_it(nn.Conv2d(4, 8, 3), lambda x: x, F.relu), MORE + "aten::relu"
    ),
    "a hook that looks at weights": (
        lambda: with_hook(lambda module, args, result: result * module.weight.mean()), LOOKS
    ),
    "a hook that sets weights": (lambda: with_pre_hook(clamps_its_weights), LOOKS),
    "a hook of its own class": (lambda: WithALaterHook(4, 8, 3), LOOKS),
    "a hook that counts": (lambda: with_hook(Stateful()), "a hook of it does something else from call to call"),
    "a hook that asks for the class": (
        lambda: with_hook(lambda module, args, result: result.relu() if isinstance(module, nn.Conv2d) else None),
        "a hook of it would do something else to what takes its place",
    ),
    "a hook that asks for the class before": (
        lambda: with_pre_hook(lambda module, args: (args[0].relu(),) if isinstance(module, nn.Conv2d) else None),
        "a hook of it would do something else to what takes its place",
    ),
    "a hook that writes on what a convolution was given": (
        lambda: with_hook(lambda module, args, result: empties(args) if isinstance(module, nn.Conv2d) else None),
        "a hook of it would do something else to what takes its place",
    ),
    "a hook that returns more of a convolution": (
        lambda: with_hook(lambda module, args, result: (result, args[0]) if isinstance(module, nn.Conv2d) else None),
        "a hook of it would do something else to what takes its place",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("make", "reason"), ODD.values(), ids=ODD)
def test_converting_and_rewriting_decide_alike(make: Callable[[], nn.Module], reason: str) -> None:
    module, x = sequential(make()), torch.randn(2, 4, 9, 9)
    for given_input in (None, (2, 4, 9, 9), x):
        assert layers_of(module, input=given_input)["0"].reason == reason
    assert dict(rewrite(module, (2, 4, 9, 9), SEPARABLE).left) == {"0": reason}


@pytest.mark.parametrize(
    ("conv", "shape", "reason"),
    [
        (OnOne(4, 8, 3), (2, 4, 9), MORE + "aten::relu"),
        (OnThree(4, 8, 2), (1, 4, 5, 5, 5), CHANGED + "aten::clamp"),
    ],
    ids=["1-D", "3-D"],
)
def test_so_they_do_over_other_dimensions(conv: nn.Module, shape: Any, reason: str) -> None:
    assert layers_of(sequential(conv))["0"].reason == reason
    assert dict(rewrite(sequential(conv), shape, SEPARABLE).left) == {"0": reason}


def test_a_class_of_torch_that_was_patched_keeps_its_layers(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    torchs = nn.Conv2d.forward
    monkeypatch.setattr(nn.Conv2d, "forward", lambda self, x: torchs(self, x.relu()))
    assert layers_of(sequential(nn.Conv2d(4, 8, 3)))["0"].reason == CHANGED + "aten::relu"


def test_a_hook_for_every_module_keeps_layers_if_it_would_reach_their_stages() -> None:
    module = sequential(nn.Conv2d(4, 8, 3))
    everywhere = torch.nn.modules.module
    with everywhere.register_module_forward_hook(lambda part, args, result: None):
        assert layers_of(module)["0"].converted
    with everywhere.register_module_forward_hook(
        lambda part, args, result: result.relu() if isinstance(part, nn.Conv2d) else None
    ):
        assert (
            layers_of(module)["0"].reason
            == "a hook of it would do something else to what takes its place"
        )


@pytest.mark.parametrize("given_input", [None, (2, 4, 15, 13)], ids=["no input", "a shape"])
def test_a_hook_that_pads_goes_on_padding(given_input: Any) -> None:
    """Otherwise the output shrinks from 15×13 to 13×11."""
    conv = nn.Conv2d(4, 8, 3)
    conv.register_forward_pre_hook(lambda module, args: (F.pad(args[0], (1, 1, 1, 1)),))
    conv.register_forward_hook(
        lambda module, args, kwargs, result: result.clamp(-1, 1), with_kwargs=True
    )
    module = sequential(conv)
    result = dscost.conversion(module, rank=FULL, min_channels=1, input=given_input)
    assert result.layers[0].converted
    x = torch.randn(2, 4, 15, 13)
    assert result.module(x).shape == (2, 8, 15, 13)
    assert off(module, result.module, x) < 1e-5
    assert rewrite(module, (2, 4, 15, 13), SEPARABLE).module(x).shape == (2, 8, 15, 13)


def test_trying_hooks_and_forwards_leaves_no_trace() -> None:
    seen: list[Tensor] = []
    state = {"calls": 0}

    def hook(module: nn.Module, args: Any, result: Tensor) -> None:
        state["calls"] += 1
        seen.append(result)

    class MaxNorm(nn.Conv2d):
        def __init__(self, *given: int) -> None:
            super().__init__(*given)
            self.seen: list[Any] = []
            self.kept = SimpleNamespace(calls=0, sizes={})

        def forward(self, x: Tensor) -> Tensor:
            self.weight.data = torch.renorm(self.weight.data, 2, 0, 0.1)
            self.seen.append(x)
            self.kept.calls += 1
            self.kept.sizes[x.shape] = True
            return super().forward(x)

    module = sequential(with_hook(hook, MaxNorm(4, 8, 3)))
    before = module[0].weight.detach().clone()
    random_state = torch.get_rng_state()
    assert layers_of(module)["0"].converted
    assert (seen, state) == ([], {"calls": 0})
    assert (module[0].seen, vars(module[0].kept)) == ([], {"calls": 0, "sizes": {}})
    assert torch.equal(module[0].weight, before)
    assert torch.equal(torch.get_rng_state(), random_state)


@pytest.mark.parametrize(
    "ours",
    [
        "dscost.rewriting.probing._equal",
        "dscost.rewriting.kernels._do_the_same",
        "dscost.converting.rehearsing._leaves",
    ],
)
def test_a_mistake_of_ours_is_not_told_as_the_models(
    ours: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    conv = of_a_call(nn.Conv2d(4, 8, 3), lambda x: x, lambda x: x)
    conv.register_forward_hook(lambda module, args, result: result.relu())
    assert layers_of(sequential(conv), input=(2, 4, 9, 9))["0"].converted
    home, _, _ = ours.rpartition(".")
    monkeypatch.setattr(ours, code_of(home, "ours.py", "def run(*given): return unheard_of"))
    with pytest.raises(NameError, match="unheard_of"):
        layers_of(sequential(conv), input=(2, 4, 9, 9))


# -- what a model does with its convolutions besides calling them

X = torch.randn(2, 4, 9, 9)
GIVEN = pytest.mark.parametrize(
    "given_input", [None, (2, 4, 9, 9), X], ids=["no input", "a shape", "values"]
)


class WithGain(nn.Conv2d):
    gain = 3.0


class Remembering(nn.Conv2d):
    def forward(self, x: Tensor) -> Tensor:
        self.last = x
        return super().forward(x)


NEEDED: dict[str, tuple[Callable[..., Any], Callable[..., nn.Module], str]] = {
    "its dtype": (lambda self, x: self.conv(x.to(self.conv.weight.dtype)), nn.Conv2d, "the model reads its weight"),
    "a function of its weights": (
        lambda self, x: F.conv2d(x, self.conv.weight, self.conv.bias), nn.Conv2d, "the model reads its weight, bias"
    ),
    "a private method": (
        lambda self, x: self.conv._conv_forward(x, torch.ones(8, 4, 3, 3, device=x.device), None),
        nn.Conv2d,
        "the model reads its _conv_forward",
    ),
    "whether it has something": (
        lambda self, x: self.conv(x) * (2 if hasattr(self.conv, "output_padding") else 1),
        nn.Conv2d,
        "the model reads its output_padding",
    ),
    "an attribute of its class": (lambda self, x: self.conv(x) * self.conv.gain, WithGain, "the model reads its gain"),
    "what a call leaves": (
        lambda self, x: self.conv(x) + self.conv.last.mean(), Remembering, "the model reads its last"
    ),
    "its class": (
        lambda self, x: F.relu(self.conv(x)) if isinstance(self.conv, nn.Conv2d) else self.conv(x),
        nn.Conv2d,
        "the model asks for its class",
    ),
}  # fmt: skip


@GIVEN
@pytest.mark.parametrize(("forward", "kind", "reason"), NEEDED.values(), ids=NEEDED)
def test_a_model_that_looks_into_a_convolution_keeps_it(
    forward: Any, kind: type[nn.Conv2d], reason: str, given_input: Any
) -> None:
    """And only it: the other one is converted."""
    module = Calling(forward, conv=kind(4, 8, 3))
    whole = nn.Sequential(module, nn.Conv2d(8, 8, 3)).eval()
    result = dscost.conversion(whole, rank=FULL, min_channels=1, input=given_input)
    layers = {layer.name: layer for layer in result.layers if layer.name}
    assert (layers["0.conv"].converted, layers["0.conv"].reason) == (False, reason)
    assert layers["1"].converted
    assert off(whole, result.module, X) < 1e-5


@pytest.mark.parametrize(
    "forward",
    [
        lambda self, x: self.conv(input=x),
        lambda self, x: self.conv(x) * (1 if isinstance(self.conv, nn.Conv1d) else 2),
        lambda self, x: self.conv(x) * self.conv.out_channels * self.conv.stride[0],
    ],
    ids=["by name", "a class that does not matter", "its shape"],
)
@GIVEN
def test_what_its_replacement_has_too_is_no_reason_to_keep_it(
    forward: Any, given_input: Any
) -> None:
    module = Calling(forward, conv=nn.Conv2d(4, 8, 3))
    result = dscost.conversion(module, rank=FULL, min_channels=1, input=given_input)
    assert result.layers[0].converted
    assert off(module, result.module, X) < 1e-5


@GIVEN
@pytest.mark.parametrize("nested", [False, True], ids=["a tensor", "nested"])
def test_a_model_that_would_compute_something_else_is_refused(
    nested: bool, given_input: Any
) -> None:
    def forward(self: Any, x: Tensor) -> Any:
        y = self.other(self.conv(x))
        y = y.relu() if type(self.conv) is nn.Conv2d else y
        return {"a": [torch.zeros(1, device=x.device), (y,)]} if nested else y

    module = Calling(forward, conv=nn.Conv2d(4, 8, 3), other=nn.Conv2d(8, 8, 3))
    message = (
        r"^Calling computes something else once 'conv' is converted, whatever the rank: it does more there than a "
        r"convolution \(keep that layer, by where or a plan\)$"
    )
    with pytest.raises(InputError, match=message):
        dscost.convert(module, min_channels=1, input=given_input)
    assert layers_of(module, where="other", input=given_input)["other"].converted


def test_a_model_that_is_never_twice_the_same_is_not_refused() -> None:
    module = Calling(
        lambda self, x: self.conv(x) + torch.empty_like(x[:, :, 2:, 2:]).uniform_()[:, :1],
        conv=nn.Conv2d(4, 8, 3),
    )
    assert layers_of(module, input=X)["conv"].converted


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64], ids=str)
def test_a_model_of_another_dtype_is_held_against_itself(dtype: torch.dtype) -> None:
    module = Calling(
        lambda self, x: self.b(F.relu(self.a(x))), a=nn.Conv2d(4, 8, 3), b=nn.Conv2d(8, 8, 3)
    ).to(dtype)
    for given_input in (None, X.to(dtype)):
        assert all(
            layer.converted for layer in layers_of(module, input=given_input, rank=FULL).values()
        )


def test_weights_too_large_for_factors_of_their_dtype_are_refused() -> None:
    """Factors of norm `sqrt(9 · 64) · 6e4` are infinite in float16, while the error, of float64, would be 0."""
    conv = nn.Conv2d(4, 64, 3, bias=False).half()
    nn.init.constant_(conv.weight, 6e4)
    message = r"^the weights of '0' are too large or too small for two factors in float16: convert the model in float32$"
    with pytest.raises(InputError, match=message):
        dscost.convert(nn.Sequential(conv), rank=FULL, min_channels=1)


def test_a_replacement_tells_the_kernel_that_it_applies() -> None:
    conv = nn.Conv2d(6, 8, (3, 2), groups=2).double()
    new: Any = dscost.convert(conv, rank=FULL, min_channels=1)
    assert torch.allclose(new.weight, conv.weight)
    assert torch.equal(new.bias, conv.bias)
    assert new.state_dict().keys() == {"depthwise.weight", "pointwise.weight", "pointwise.bias"}


# -- models that cannot be converted as a whole


def test_fake_weights_are_refused() -> None:
    from torch._subclasses.fake_tensor import FakeTensorMode

    with FakeTensorMode():
        module = nn.Sequential(nn.Conv2d(32, 32, 3))
    for given_input in (None, (1, 32, 9, 9)):
        with pytest.raises(
            InputError,
            match=r"^Sequential cannot be converted: its weights are fake, without values",
        ):
            dscost.convert(module, input=given_input)


@pytest.mark.filterwarnings("ignore")
def test_sharded_weights_are_refused() -> None:
    import torch.distributed as dist
    from torch.distributed.fsdp import fully_shard

    dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)
    try:
        module = nn.Sequential(nn.Conv2d(32, 32, 3), nn.ReLU())
        fully_shard(module)
        message = r"^FSDPSequential cannot be converted: its weights are spread over processes: convert it before fully"
        for given_input in (None, (1, 32, 9, 9)):
            with pytest.raises(InputError, match=message):
                dscost.convert(module, input=given_input)
    finally:
        dist.destroy_process_group()


def test_a_model_that_refuses_to_be_copied_is_told() -> None:
    class Single(nn.Sequential):
        def __deepcopy__(self, memo: Any) -> Any:
            raise AssertionError("there can be only one")

    with pytest.raises(
        InputError, match=r"^Single cannot be copied: AssertionError: there can be only one$"
    ):
        dscost.convert(Single(nn.Conv2d(32, 32, 3)))


# -- one channel


def test_a_stem_of_one_channel_can_be_converted() -> None:
    """Of 16 · 9 weights it takes 9 + 16."""
    module = nn.Sequential(nn.Conv2d(1, 16, 3, bias=False))
    layer = layers_of(module, input=(1, 1, 28, 28))["0"]
    assert (layer.params_before, layer.params_after) == (16 * 9, 9 + 16)
    assert layer.before is not None
    assert layer.after is not None
    assert (layer.before.macs, layer.after.macs) == (26 * 26 * 16 * 9, 26 * 26 * (9 + 16))
    x = torch.randn(2, 1, 28, 28)
    assert off(module, dscost.convert(module, rank=9, min_channels=1), x) < 1e-5
    assert (
        layers_of(module, min_channels=32)["0"].reason
        == "1 input channel is fewer than min_channels=32 (--min-channels 1 takes it)"
    )
    one = layers_of(nn.Sequential(nn.Conv2d(1, 1, 3)))["0"]
    assert one.reason == "it is depthwise already (groups = in_channels = 1)"


def test_a_name_that_is_no_text_is_told_where_it_would_be_written() -> None:
    module = nn.Sequential()
    module._modules["b\udc80"] = nn.Conv2d(32, 32, 3)
    result = convert_target(module, Request((1, 32, 9, 9)))
    assert result.converted.outcome.converted == 1
    message = (
        r"^no file can hold the name 'b\\udc80' of a layer: half of a surrogate pair is no text$"
    )
    with pytest.raises(InputError, match=message):
        result.plan_text()


def test_a_convolution_of_what_no_operator_made_costs_what_it_costs() -> None:
    """Its weights are computed, its input comes out of numpy: the input is still the input."""
    module = sequential(
        computed(
            of_a_class(nn.Conv2d(4, 4, 3, groups=2), through_numpy, lambda x: x), lambda w: 2 * w
        )
    )
    layer = layers_of(module, input=(2, 4, 9, 9))["0"]
    assert layer.before is not None
    assert layer.before.macs == 2 * 7 * 7 * 4 * 2 * 9


def test_a_weight_norm_by_hook_runs_for_real() -> None:
    """torch refuses to copy the weights that it computes."""
    module = Calling(
        lambda self, x: self.conv(x) * (2 if x.sum() > 0 else 1),
        conv=old_weight_norm(nn.Conv2d(4, 8, 3)),
    )
    assert layers_of(module.eval(), input=X)["conv"].converted


class Unready(nn.Sequential):
    """A model that can be asked neither for its input nor for the names of its modules."""

    @property
    def example_input_array(self) -> Any:
        raise RuntimeError("not built yet")

    def named_modules(self, *args: Any, **named: Any) -> Any:
        raise ValueError("no names")


def test_a_model_that_cannot_be_asked_for_its_input_is_converted_all_the_same() -> None:
    converted = dscost.convert(Unready(nn.Conv2d(64, 64, 3)))
    assert type(converted._modules["0"]) is dscost.nn.DepthwiseSeparableConv2d
