"""Where gradients flow through a model in training, held against torch's own backward pass over real tensors.

The oracle counts convolutions that run, and of each gradient of a convolution what torch is asked for. What a
checkpoint computes a second time counts as nothing.
"""

import warnings
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.autograd import forward_ad
from torch.nn import functional as F  # noqa: N812
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.checkpoint import checkpoint
from torch.utils.flop_counter import FlopCounterMode

import dscost

aten = torch.ops.aten

IMAGE = (1, 3, 12, 12)
FIRST, SECOND, THIRD = 144 * 8 * 27, 144 * 8 * 72, 144 * 8 * 72
FORWARD = FIRST + SECOND + THIRD
WHOLE = 2 * FIRST + 3 * SECOND + 3 * THIRD
ONLY_LAST_TWO = FORWARD + SECOND + 2 * THIRD


class Convolutions(TorchDispatchMode):
    """Counts the MACs of convolutions and of their gradients, and not what a checkpoint runs again."""

    def __init__(self, *, again: bool) -> None:
        super().__init__()
        self.macs, self.is_backward, self.again = 0, False, again

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        if func in (torch.ops.aten.convolution.default, torch.ops.aten.conv2d.default) and (
            self.again or not self.is_backward
        ):
            self.macs += result.numel() * args[1][0].numel()
        if func is aten.convolution_backward.default:
            self.macs += args[0].numel() * args[2][0].numel() * sum(args[10][:2])
        return result


def really(model: nn.Module, given: Tensor, *, again: bool = False) -> int:
    """Return what torch computes when a model trains for real.

    Args:
        again: Whether convolutions of the backward pass count: those of a checkpoint, or of the gradient of a gradient.
    """
    with Convolutions(again=again) as seen:
        result = model.train()(given)
        outputs = result if isinstance(result, tuple | list) else [result]
        trained = [one for one in outputs if isinstance(one, Tensor) and one.requires_grad]
        seen.is_backward = True
        if trained:
            torch.stack([one.sum() for one in trained]).sum().backward()
    return seen.macs


class Net(nn.Module):
    """Three convolutions and a forward that is a function of them; before it the model looks at something."""

    def __init__(
        self, function: Callable[..., Any], look: Callable[..., Any] = lambda self, x: None
    ) -> None:
        super().__init__()
        self.function, self.look = function, look
        self.a, self.b, self.c = (nn.Conv2d(channels, 8, 3, padding=1) for channels in (3, 8, 8))
        self.own = nn.Parameter(torch.ones(1))
        self.register_buffer("kept", torch.zeros(1, 8, 12, 12))

    def forward(self, x: Tensor) -> Any:
        self.look(self, x)
        return self.function(self, x)


def _looks_at_something_made(self: Net, x: Tensor) -> None:
    if torch.arange(3).sum() > 100:
        raise AssertionError


def _looks_at_its_input(self: Net, x: Tensor) -> None:
    if torch.isnan(x).any():
        raise AssertionError


def _differentiates(self: Net, x: Tensor) -> None:
    torch.autograd.grad((self.own * 2).sum(), self.own)


WAYS = {
    "meta": lambda self, x: None,
    "values beside meta": _looks_at_something_made,
    "gradients": _differentiates,
    "for real": _looks_at_its_input,
}


# -- models that stop gradients


def _in_place(self: Net, x: Tensor) -> Tensor:
    y = self.a(x)
    y.detach_()
    return self.c(self.b(y))


def _in_place_after_a_view(self: Net, x: Tensor) -> tuple[Tensor, Tensor]:
    y = self.a(x) * 1
    kept = self.b(y.relu())
    y.detach_()
    return self.c(y), kept


def _inference(self: Net, x: Tensor) -> Tensor:
    with torch.inference_mode():
        y = self.a(x)
    return self.c(self.b(y.clone()))


def _switched_off(self: Net, x: Tensor) -> Tensor:
    torch.set_grad_enabled(False)
    y = self.a(x)
    torch.set_grad_enabled(True)
    return self.c(self.b(y))


@torch.no_grad()
def _decorated(layer: nn.Module, x: Tensor) -> Tensor:
    result: Tensor = layer(x)
    return result


def _switched_on_within(self: Net, x: Tensor) -> Tensor:
    with torch.no_grad():
        y = self.a(x)
        with torch.enable_grad():
            y = self.b(y)
    return self.c(y)


def _frozen(*names: str) -> Callable[[Net], Net]:
    def freeze(net: Net) -> Net:
        for name in names:
            getattr(net, name).requires_grad_(False)
        return net

    return freeze


def _frozen_while_it_runs(self: Net, x: Tensor) -> Tensor:
    self.b.weight.requires_grad_(False)
    return self.c(self.b(self.a(x)))


def _weights_detached(self: Net, x: Tensor) -> Tensor:
    y = nn.functional.conv2d(self.a(x), self.b.weight.detach(), self.b.bias, padding=1)
    return self.c(y)


def _weights_as_data(self: Net, x: Tensor) -> Tensor:
    return self.c(nn.functional.conv2d(self.a(x), self.b.weight.data, padding=1))


def _written_into(self: Net, x: Tensor) -> Tensor:
    y = torch.zeros(1, 8, 12, 12)
    y[:, :, :6] = self.a(x)[:, :, :6]
    y[:, :, 6:] = 1
    return self.c(self.b(y))


def _view_of_what_is_written(self: Net, x: Tensor) -> Tensor:
    y = torch.zeros(1, 8, 144)
    view = y.view(1, 8, 12, 12)
    y.add_(self.a(x).flatten(2))
    return self.c(self.b(view))


def _clamped_without_gradients(self: Net, x: Tensor) -> Tensor:
    y = self.a(x)
    with torch.no_grad():
        y.clamp_(-1, 1)
    return self.c(self.b(y))


def _into_a_buffer(self: Net, x: Tensor) -> Tensor:
    with torch.no_grad():
        self.kept.copy_(self.a(x))
    return self.c(self.b(self.kept.clone()))


def _as_leaf(self: Net, x: Tensor) -> Tensor:
    y = self.a(x).detach().requires_grad_()
    return self.c(self.b(y))


def _only_makes_the_like(self: Net, x: Tensor) -> Tensor:
    return self.c(self.b(torch.ones_like(self.a(x))))


def _used_twice(self: Net, x: Tensor) -> Tensor:
    y = self.a(x)
    return self.b(y) + self.c(y)


def _used_once_detached(self: Net, x: Tensor) -> Tensor:
    y = self.a(x)
    return self.b(y) + self.c(y.detach())


def _unused_branch(self: Net, x: Tensor) -> Tensor:
    y = self.a(x)
    self.b(y)
    return self.c(y)


def _auxiliary_head_of_integers(self: Net, x: Tensor) -> tuple[Tensor, Tensor]:
    y = self.a(x)
    return self.b(y), self.c(y).argmax(1)


def _same_memory_twice(self: Net, x: Tensor) -> tuple[Tensor, Tensor]:
    y = self.b(self.a(x))
    return y, y.detach()


def _shared(self: Net, x: Tensor) -> Tensor:
    return self.c(self.b(self.b(self.a(x))))


def _checkpointed(reentrant: bool, stop: Callable[[Tensor], Tensor]) -> Callable[..., Tensor]:
    def forward(self: Net, x: Tensor) -> Tensor:
        def block(y: Tensor) -> Tensor:
            return self.b(stop(y))  # type: ignore[no-any-return]

        result: Tensor = self.c(checkpoint(block, self.a(x), use_reentrant=reentrant))
        return result

    return forward


def _checkpointed_without_gradients(self: Net, x: Tensor) -> Tensor:
    def block(y: Tensor) -> Tensor:
        with torch.no_grad():
            z = self.b(y)
        return z + y  # type: ignore[no-any-return]

    result: Tensor = self.c(checkpoint(block, self.a(x), use_reentrant=True))
    return result


def _looks_at_its_graph(attribute: str) -> Callable[..., Tensor]:
    def forward(self: Net, x: Tensor) -> Tensor:
        y = self.a(x)
        return self.c(self.b(y) if getattr(y, attribute) else y)  # type: ignore[no-any-return]

    return forward


def _all_checkpointed(reentrant: bool) -> Callable[..., Tensor]:
    return lambda self, x: checkpoint(
        lambda x: self.c(self.b(self.a(x))), x, use_reentrant=reentrant
    )


def _plain(self: Net, x: Tensor) -> Tensor:
    result: Tensor = self.c(self.b(self.a(x)))
    return result


class Binary(torch.autograd.Function):
    """A sign by comparison, whose gradient goes straight through."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return (x > 0).to(x.dtype)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        return grad


def _same(net: Net) -> Net:
    return net


Case = tuple[Callable[..., Any], Callable[[Net], Net], int]
MODELS: dict[str, Case] = {
    "nothing stops": (_plain, _same, WHOLE),
    "detach": (lambda self, x: self.c(self.b(self.a(x).detach())), _same, ONLY_LAST_TWO),
    "detach of a view": (
        lambda self, x: self.c(self.b(self.a(x)[:].detach()[:])),
        _same,
        ONLY_LAST_TWO,
    ),
    "data": (lambda self, x: self.c(self.b(self.a(x).data)), _same, ONLY_LAST_TWO),
    "detach_": (_in_place, _same, ONLY_LAST_TWO),
    "detach_ after a use": (_in_place_after_a_view, _same, FORWARD + FIRST + 2 * SECOND + THIRD),
    "inference mode": (_inference, _same, ONLY_LAST_TWO),
    "set_grad_enabled": (_switched_off, _same, ONLY_LAST_TWO),
    "no_grad as a decorator": (
        lambda self, x: self.c(self.b(_decorated(self.a, x))),
        _same,
        ONLY_LAST_TWO,
    ),
    "enable_grad in no_grad": (_switched_on_within, _same, ONLY_LAST_TWO),
    "first frozen": (_plain, _frozen("a"), ONLY_LAST_TWO),
    "second frozen": (_plain, _frozen("b"), WHOLE - SECOND),
    "first two frozen": (_plain, _frozen("a", "b"), FORWARD + THIRD),
    "all frozen": (_plain, _frozen("a", "b", "c"), FORWARD),
    "frozen while it runs": (_frozen_while_it_runs, _same, WHOLE - SECOND),
    "detached weights": (_weights_detached, _same, WHOLE - SECOND),
    "weights as data": (_weights_as_data, _same, WHOLE - SECOND),
    "a slice is written": (_written_into, _same, WHOLE),
    "a view of what is written": (_view_of_what_is_written, _same, WHOLE),
    "written without gradients": (_clamped_without_gradients, _same, WHOLE),
    "through a buffer": (_into_a_buffer, _same, ONLY_LAST_TWO),
    "a new leaf": (_as_leaf, _same, ONLY_LAST_TWO + SECOND),
    "ones_like": (_only_makes_the_like, _same, ONLY_LAST_TWO),
    "used twice": (_used_twice, _same, WHOLE),
    "used once detached": (_used_once_detached, _same, WHOLE - THIRD),
    "an unused branch": (_unused_branch, _same, FORWARD + FIRST + 2 * THIRD),
    "a head of integers": (_auxiliary_head_of_integers, _same, FORWARD + FIRST + 2 * SECOND),
    "integers only": (lambda self, x: _plain(self, x).argmax(1), _same, FORWARD),
    "detached in the end": (lambda self, x: _plain(self, x).detach(), _same, FORWARD),
    "the same memory twice": (_same_memory_twice, _same, 2 * FIRST + 3 * SECOND),
    "shared": (_shared, _same, 2 * FIRST + 3 * (2 * SECOND + THIRD)),
    "checkpoint": (_checkpointed(False, lambda y: y), _same, WHOLE),
    "reentrant checkpoint": (_checkpointed(True, lambda y: y), _same, WHOLE),
    "detach in a checkpoint": (_checkpointed(False, Tensor.detach), _same, ONLY_LAST_TWO),
    "detach in a reentrant checkpoint": (_checkpointed(True, Tensor.detach), _same, ONLY_LAST_TWO),
    "no_grad in a reentrant checkpoint": (
        _checkpointed_without_gradients,
        _same,
        FORWARD + FIRST + 2 * THIRD,
    ),
    "a way by requires_grad": (_looks_at_its_graph("requires_grad"), _same, WHOLE),
    "a way by grad_fn": (_looks_at_its_graph("grad_fn"), _same, WHOLE),
    "a way by is_leaf": (_looks_at_its_graph("is_leaf"), _same, 2 * FIRST + 3 * THIRD),
    "all in a checkpoint": (_all_checkpointed(False), _same, WHOLE),
    "all in a reentrant checkpoint": (_all_checkpointed(True), _same, FORWARD),
    "a straight-through function": (
        lambda self, x: self.c(self.b(Binary.apply(self.a(x)))),
        _same,
        WHOLE,
    ),
    "a function of what needs no gradient": (
        lambda self, x: self.c(self.b(Binary.apply(self.a(x).detach()))),
        _same,
        ONLY_LAST_TWO,
    ),
}


@pytest.fixture(autouse=True)
def _gradients_stay_on() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch warns of a reentrant checkpoint that trains nothing
        yield
    assert torch.is_grad_enabled()


@pytest.mark.parametrize("name", MODELS)
def test_the_products_by_hand_are_those_of_torchs_own_backward_pass(name: str) -> None:
    function, prepare, macs = MODELS[name]
    assert really(prepare(Net(function)), torch.randn(IMAGE)) == macs


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", MODELS)
def test_a_gradient_is_counted_where_torch_computes_one(name: str, way: str) -> None:
    function, prepare, macs = MODELS[name]
    report = dscost.analyze(prepare(Net(function, WAYS[way])), input=IMAGE, train=True)
    assert report.totals.as_is.macs == macs
    assert any("no backward pass" in warning for warning in report.warnings) == (macs == FORWARD)
    assert any(doubt.kind == "value_dependent" for doubt in report.doubts) == (way == "for real")
    assert (report.peak_activation_bytes is None) == (way == "for real")


@pytest.mark.parametrize("way", WAYS)
def test_an_input_that_needs_a_gradient_gets_one_in_every_way(way: str) -> None:
    given = torch.randn(IMAGE, requires_grad=True)
    macs = really(Net(_plain), given)
    assert macs == WHOLE + FIRST
    assert dscost.analyze(Net(_plain, WAYS[way]), input=given, train=True).totals.as_is.macs == macs


# -- models that differentiate by themselves


def _gradient(create_graph: bool) -> Callable[..., Tensor]:
    def forward(self: Net, x: Tensor) -> Tensor:
        y = self.a(x)
        z = self.b(y)
        (grad,) = torch.autograd.grad(z.sum(), y, create_graph=create_graph, retain_graph=True)
        return self.c(grad + z)  # type: ignore[no-any-return]

    return forward


def _gradient_penalty(self: Net, x: Tensor) -> Tensor:
    x = x.detach().requires_grad_()
    z = self.c(torch.tanh(self.b(torch.tanh(self.a(x)))))
    (grad,) = torch.autograd.grad(z.sum(), x, create_graph=True)
    return grad.square().sum()


def _backward(self: Net, x: Tensor) -> Tensor:
    z = self.b(self.a(x).detach())
    z.sum().backward()
    return self.c(z.detach())  # type: ignore[no-any-return]


def _backward_by_function(self: Net, x: Tensor) -> Tensor:
    z = self.b(self.a(x).detach())
    torch.autograd.backward(z, torch.ones_like(z))
    return self.c(z.detach() * self.b.weight.grad.sum())  # type: ignore[no-any-return]


def _functional_gradient(self: Net, x: Tensor) -> Tensor:
    return self.c(torch.func.grad(lambda y: self.b(y).sum())(self.a(x)))  # type: ignore[no-any-return]


def _dual(self: Net, x: Tensor) -> Tensor:
    with forward_ad.dual_level():
        value, tangent = forward_ad.unpack_dual(
            _plain(self, forward_ad.make_dual(x, torch.ones_like(x)))
        )
    return value + tangent


def _dual_within(self: Net, x: Tensor) -> Tensor:
    y = self.a(x)
    with forward_ad.dual_level():
        value, tangent = forward_ad.unpack_dual(self.b(forward_ad.make_dual(y, torch.ones_like(y))))
    return self.c(value + tangent)  # type: ignore[no-any-return]


def _functional_jvp(self: Net, x: Tensor) -> Tensor:
    y = self.a(x)
    value, tangent = torch.func.jvp(self.b, (y,), (y,))
    return self.c(value + tangent)  # type: ignore[no-any-return]


FORWARD_MODE = {
    "make_dual": _dual,
    "make_dual of what was computed": _dual_within,
    "torch.func.jvp": _functional_jvp,
}
DIFFERENTIATING = FORWARD_MODE | {
    "gradient": _gradient(create_graph=False),
    "gradient with its graph": _gradient(create_graph=True),
    "gradient penalty": _gradient_penalty,
    "backward": _backward,
    "torch.autograd.backward": _backward_by_function,
    "torch.func.grad": _functional_gradient,
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", DIFFERENTIATING)
def test_what_a_model_differentiates_is_counted_and_so_is_the_gradient_of_that(
    name: str, way: str
) -> None:
    function = DIFFERENTIATING[name]
    report = dscost.analyze(Net(function, WAYS[way]), input=IMAGE, train=True)
    assert report.totals.as_is.macs == really(Net(function), torch.randn(IMAGE), again=True)


@pytest.mark.parametrize("way", [way for way in WAYS if way != "gradients"])
@pytest.mark.parametrize("name", FORWARD_MODE)
def test_derivatives_forward_are_counted_without_training_too(name: str, way: str) -> None:
    function = FORWARD_MODE[name]
    with Convolutions(again=True) as seen:
        Net(function)(torch.randn(IMAGE))
    assert seen.macs > FORWARD
    assert dscost.analyze(Net(function, WAYS[way]), input=IMAGE).totals.as_is.macs == seen.macs


def test_derivatives_forward_of_linear_layers_have_gradients() -> None:
    class Two(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b = nn.Linear(4, 5), nn.Linear(5, 8)

        def forward(self, x: Tensor) -> Tensor:
            y = self.a(x)
            with forward_ad.dual_level():
                return forward_ad.unpack_dual(
                    self.b(forward_ad.make_dual(y, torch.ones_like(y)))
                ).tangent

    model = Two()
    with FlopCounterMode(display=False) as counter:
        model(torch.randn(2, 4)).sum().backward()
    assert (
        dscost.analyze(model, input=(2, 4), train=True).totals.as_is.flops
        == counter.get_total_flops()
    )


# -- functions with a backward pass of their own


def _gradients_of(
    grad: Tensor, x: Tensor, w: Tensor, wanted: tuple[bool, bool, bool]
) -> tuple[Tensor, ...]:
    result: tuple[Tensor, ...] = aten.convolution_backward(
        grad, x, w, [8], [1, 1], [1, 1], [1, 1], False, [0, 0], 1, wanted
    )
    return result


class ByHand(torch.autograd.Function):
    """A convolution with its gradients written out."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, w: Tensor, b: Tensor) -> Tensor:
        ctx.save_for_backward(x, w)
        return F.conv2d(x, w, b, padding=1)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Any:
        return _gradients_of(grad, *ctx.saved_tensors, (True, True, True))


class OfTwoParts(torch.autograd.Function):
    """The same, its context set up apart."""

    @staticmethod
    def forward(x: Tensor, w: Tensor, b: Tensor) -> Tensor:
        return F.conv2d(x, w, b, padding=1)

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        ctx.save_for_backward(*inputs[:2])

    backward = ByHand.backward


class WithoutWeights(ByHand):
    """One that gives its weights no gradient."""

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Any:
        return _gradients_of(grad, *ctx.saved_tensors, (True, False, True))


class Detaching(ByHand):
    """One that switches gradients on inside, and hides what it returns."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, w: Tensor, b: Tensor) -> Tensor:
        with torch.enable_grad():
            y = F.conv2d(x.detach(), w, b, padding=1)
        ctx.save_for_backward(x, w)
        return y.detach()


class Differentiating(torch.autograd.Function):
    """One that has torch work out its gradient, of what it ran inside."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, w: Tensor, b: Tensor) -> Tensor:
        with torch.enable_grad():
            inside = x.detach().requires_grad_()
            ctx.result = F.conv2d(inside, w, b, padding=1)
        ctx.save_for_backward(inside, w, b)
        return ctx.result.detach()  # type: ignore[no-any-return]

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Any:
        with torch.enable_grad():
            return torch.autograd.grad(ctx.result, ctx.saved_tensors, grad)


class Recomputing(torch.autograd.Function):
    """One that runs a second time what it did."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, w: Tensor, b: Tensor) -> Tensor:
        ctx.save_for_backward(x, w, b)
        return F.conv2d(F.conv2d(x, w, b, padding=1).detach(), w, b, padding=1)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Any:
        x, w, b = ctx.saved_tensors
        inner = F.conv2d(x, w, b, padding=1)
        grad, *first = _gradients_of(grad, inner, w, (True, True, True))
        grad, *second = _gradients_of(grad, x, w, (True, True, True))
        return grad, first[0] + second[0], first[1] + second[1]


class Failing(ByHand):
    """One that asks for what is known in a loop of training only."""

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Any:
        raise RuntimeError("no loop of training")


FUNCTIONS = {
    kind.__name__: kind
    for kind in (ByHand, OfTwoParts, WithoutWeights, Detaching, Differentiating, Recomputing)
}


def _through(function: Any) -> Callable[..., Tensor]:
    return lambda self, x: self.c(function.apply(self.a(x), self.b.weight, self.b.bias))


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", FUNCTIONS)
def test_the_backward_pass_of_a_function_is_counted_as_it_is_written(name: str, way: str) -> None:
    forward = _through(FUNCTIONS[name])
    report = dscost.analyze(Net(forward, WAYS[way]), input=IMAGE, train=True)
    assert report.totals.as_is.macs == really(Net(forward), torch.randn(IMAGE), again=True)
    assert "unseen" not in [doubt.kind for doubt in report.doubts]


class Hoarding(ByHand):
    """One whose backward pass takes a hundred times the memory of its forward."""

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Any:
        grads = torch.stack([grad] * 100)
        return _gradients_of(grads[0], *ctx.saved_tensors, (True, True, True))


def test_memory_of_the_backward_pass_of_a_function_is_not_in_the_peak() -> None:
    peaks = [
        dscost.analyze(Net(_through(function)), input=IMAGE, train=True).peak_activation_bytes
        for function in (ByHand, Hoarding)
    ]
    assert peaks[0] == peaks[1]
    # at most the input of 3 channels and the three results of 8 at once
    assert peaks[1] is not None
    assert peaks[1] <= 4 * 144 * (3 + 3 * 8)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("reentrant", [True, False])
def test_a_checkpointed_function_has_one_backward_pass(reentrant: bool, way: str) -> None:
    def forward(self: Net, x: Tensor) -> Tensor:
        def block(y: Tensor) -> Tensor:
            return ByHand.apply(y, self.b.weight, self.b.bias)  # type: ignore[no-any-return]

        return self.c(checkpoint(block, self.a(x), use_reentrant=reentrant))  # type: ignore[no-any-return]

    assert (
        dscost.analyze(Net(forward, WAYS[way]), input=IMAGE, train=True).totals.as_is.macs == WHOLE
    )


def test_two_calls_of_a_function_have_two_backward_passes() -> None:
    def forward(self: Net, x: Tensor) -> Tensor:
        y = self.a(x)
        for _ in range(2):
            y = OfTwoParts.apply(
                ByHand.apply(y, self.b.weight, self.b.bias), self.c.weight, self.c.bias
            )
        return OfTwoParts.apply(
            OfTwoParts.apply(y, self.b.weight, self.b.bias), self.c.weight, self.c.bias
        )

    macs = really(Net(forward), torch.randn(IMAGE))
    assert macs == 2 * FIRST + 9 * SECOND + 9 * THIRD
    assert dscost.analyze(Net(forward), input=IMAGE, train=True).totals.as_is.macs == macs


@pytest.mark.parametrize("way", WAYS)
def test_a_backward_pass_that_cannot_be_run_is_a_doubt(way: str) -> None:
    report = dscost.analyze(Net(_through(Failing), WAYS[way]), input=IMAGE, train=True)
    assert report.totals.as_is.macs == WHOLE
    (text,) = [doubt.text for doubt in report.doubts if doubt.kind == "unseen"]
    assert text == (
        "The backward pass of Failing could not be run: counted as that of torch for what the forward computes."
    )


def test_tensors_of_a_model_on_meta_need_no_gradient_afterwards() -> None:
    def forward(self: Net, x: Tensor) -> Tensor:
        self.kept.add_(self.a(x))
        x.mul_(self.c.bias[0])
        return self.c(self.b(self.kept))

    with torch.device("meta"):
        net, given = Net(forward), torch.empty(IMAGE)
    assert dscost.analyze(net, input=given, train=True).totals.as_is.macs == WHOLE
    assert not net.kept.requires_grad
    assert not given.requires_grad
    assert all(parameter.requires_grad for parameter in net.parameters())
