"""However a model runs, everything that it computes is seen, or said to be missing; expected counts are by hand."""

import asyncio
import functools
import os
import signal
import sys
import threading
import types
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812
from torch.utils.checkpoint import checkpoint
from torch.utils.flop_counter import FlopCounterMode

import dscost
from dscost.analysis.verifying import verify
from dscost.errors import InputError, first_line
from dscost.foreign import memory
from dscost.reports.records import Report
from dscost.tracing import TensorSpec, arguments_of, real_copies, trace
from dscost.tracing.flopcounter import flop_counter_macs
from dscost.tracing.known_values import with_masks

IMAGE = (1, 3, 12, 12)
CHAIN_FORWARD = 100 * 8 * 27 + 64 * 8 * 72 + 36 * 8 * 72
CHAIN_TRAINING = 2 * 100 * 8 * 27 + 3 * (64 * 8 * 72 + 36 * 8 * 72)


class Calling(nn.Module):
    """A model whose forward is a function of its children."""

    def __init__(self, function: Callable[..., Any], **children: Any) -> None:
        super().__init__()
        self.function = function
        for name, child in children.items():
            setattr(self, name, child)

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        return self.function(self, *args, **kwargs)


def macs_of(model: nn.Module, given: Any, **options: Any) -> int:
    return dscost.analyze(model, input=given, **options).totals.as_is.macs


def kinds_of(report: Report) -> list[str]:
    return [doubt.kind for doubt in report.doubts]


def ran_on_meta(report: Report) -> bool:
    return report.peak_activation_bytes is not None


# -- training through autograd.Function


class Swish(torch.autograd.Function):
    """Swish that keeps its input only, as EfficientNets have it."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return x * torch.sigmoid(x)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        (x,) = ctx.saved_tensors
        s = torch.sigmoid(x)
        return grad * (s * (1 + x * (1 - s)))


class SwishOfTwoParts(torch.autograd.Function):
    """The same, its context set up apart."""

    @staticmethod
    def forward(x: Tensor) -> Tensor:
        return x * torch.sigmoid(x)

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        ctx.save_for_backward(*inputs)

    backward = Swish.backward


class Sign(torch.autograd.Function):
    """A sign with a gradient that goes straight through."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        with torch.no_grad():
            return x.sign()

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        return grad


class Rounded(torch.autograd.Function):
    """Something that says itself that it has no gradient."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        y = x.round()
        ctx.mark_non_differentiable(y)
        return y

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> None:
        return None


def chain(between: Callable[[Tensor], Tensor]) -> nn.Module:
    def act() -> nn.Module:
        return Calling(lambda self, x: between(x))

    return nn.Sequential(nn.Conv2d(3, 8, 3), act(), nn.Conv2d(8, 8, 3), act(), nn.Conv2d(8, 8, 3))


ONLY_THE_LAST = CHAIN_FORWARD + 36 * 8 * 72


@pytest.mark.parametrize(
    ("between", "macs"),
    [
        pytest.param(F.silu, CHAIN_TRAINING, id="torch's own"),
        pytest.param(Swish.apply, CHAIN_TRAINING, id="swish"),
        pytest.param(SwishOfTwoParts.apply, CHAIN_TRAINING, id="swish of two parts"),
        pytest.param(Sign.apply, CHAIN_TRAINING, id="sign"),
        pytest.param(lambda x: x + (x.round() - x).detach(), CHAIN_TRAINING, id="straight through"),
        pytest.param(Rounded.apply, ONLY_THE_LAST, id="marked as not differentiable"),
        pytest.param(torch.no_grad()(F.silu), ONLY_THE_LAST, id="gradients off"),
    ],
)
def test_gradients_flow_through_functions_with_a_backward_of_their_own(
    between: Callable[[Tensor], Tensor], macs: int
) -> None:
    model = chain(between)
    assert macs_of(model, IMAGE, train=True) == macs
    with FlopCounterMode(display=False) as counter:
        model(torch.randn(IMAGE)).sum().backward()
    assert counter.get_total_flops() == 2 * macs


def test_gradients_are_as_before_after_a_function_that_switches_them_on() -> None:
    class Inner(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Tensor) -> Tensor:
            with torch.enable_grad():
                return x.detach() * 2

        @staticmethod
        def backward(ctx: Any, grad: Tensor) -> Tensor:
            return grad

    def forward(self: Any, x: Tensor) -> Tensor:
        y = self.second(self.first(Inner.apply(x)))
        with torch.no_grad():
            y = self.third(y)
        return self.fourth(y)

    model = Calling(
        forward, **{name: nn.Linear(8, 8) for name in ("first", "second", "third", "fourth")}
    )
    # the gradient stops at the third, so only the last has one, that of its weights
    assert macs_of(model, (2, 8), train=True) == 4 * 128 + 128


@pytest.mark.parametrize("reentrant", [True, False])
@pytest.mark.parametrize("needs_gradient", [True, False])
def test_checkpointed_blocks_train_at_the_cost_of_the_same_without(
    reentrant: bool, needs_gradient: bool
) -> None:
    blocks = chain(F.silu)

    def forward(self: Any, x: Tensor) -> Tensor:
        for block in self.blocks:
            x = checkpoint(block, x, use_reentrant=reentrant)
        return x

    image = torch.empty(IMAGE, requires_grad=needs_gradient)
    of_the_image = 100 * 8 * 27 if needs_gradient else 0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch warns where no input of a block needs a gradient
        report = dscost.analyze(Calling(forward, blocks=blocks), input=image, train=True)
    # of the older kind torch gives no gradient to what is inside where nothing that goes in needs one
    trains = needs_gradient or not reentrant
    assert report.totals.as_is.macs == (CHAIN_TRAINING + of_the_image if trains else CHAIN_FORWARD)
    assert any("no backward pass to count" in warning for warning in report.warnings) != trains
    assert ran_on_meta(report)


# -- forwards that were replaced


class Held:
    """No module, but calls something."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self.function = function

    def __call__(self, *args: Any) -> Any:
        return self.function(*args)


class HeldInSlots:
    """The same, with nothing that can be looked into."""

    __slots__ = ("function",)

    def __init__(self, function: Callable[..., Any]) -> None:
        self.function = function

    def __call__(self, *args: Any) -> Any:
        return self.function(*args)


def _as_accelerate_does(model: nn.Module, old: Callable[..., Any]) -> Callable[..., Any]:
    model._old_forward = old  # type: ignore[assignment]
    return functools.update_wrapper(
        functools.partial(lambda module, x: module._old_forward(x), model), old
    )


def _wrapped(model: nn.Module, old: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(old)
    def forward(*args: Any, **kwargs: Any) -> Any:
        return old(*args, **kwargs)

    return forward


def _closure_over_itself(model: nn.Module, old: Callable[..., Any]) -> Callable[..., Any]:
    def forward(x: Tensor, again: bool = True) -> Tensor:
        return forward(x, again=False) if again else old(x)

    return forward


PATCHES: dict[str, Callable[[nn.Module, Callable[..., Any]], Any]] = {
    "method": lambda model, old: types.MethodType(lambda self, x: old(x), model),
    "partial": lambda model, old: functools.partial(
        lambda self, x, inner: inner(x), model, inner=old
    ),
    "lambda": lambda model, old: lambda x: old(x),
    "default": lambda model, old: lambda x, inner=old: inner(x),
    "keyword default": lambda model, old: lambda x, *, inner=old: inner(x),
    "children of a closure": lambda model, old: lambda x: model[3](model[2](model[1](model[0](x)))),
    "wrapped": _wrapped,
    "accelerate": _as_accelerate_does,
    "object": lambda model, old: Held(old),
    "method of an object": lambda model, old: Held(old).__call__,
    "object that cannot be looked into": lambda model, old: HeldInSlots(old),
    "closure over itself": _closure_over_itself,
    "compiled": lambda model, old: torch.compile(old, backend="eager"),
}


@pytest.mark.parametrize("patch", PATCHES)
def test_a_replaced_forward_trains_and_uses_all_its_weights(patch: str) -> None:
    model = nn.Sequential(
        *(
            nn.Conv2d(4, 8, 3, bias=False),
            nn.BatchNorm2d(8),
            nn.ReLU(),
            nn.Conv2d(8, 8, 3, bias=False),
        )
    )
    model.forward = PATCHES[patch](model, model.forward)  # type: ignore[method-assign]
    statistics = [buffer.clone() for buffer in model.buffers()]
    report = dscost.analyze(model, input=(2, 4, 8, 8), train=True)
    first, second = 2 * 36 * 8 * 36, 2 * 16 * 8 * 72
    assert report.totals.as_is.macs == 2 * first + 3 * second == 96_768
    assert report.doubts == ()
    assert all(map(torch.equal, statistics, model.buffers()))


def test_rows_stay_where_a_forward_was_replaced() -> None:
    model = nn.Sequential(nn.Linear(8, 8), nn.Linear(8, 3))
    model.forward = functools.partial(lambda inner, x: inner(x), model.forward)  # type: ignore[method-assign]
    report = dscost.analyze(model, input=(2, 8))
    assert [(layer.name, layer.cost.macs) for layer in report.layers] == [("0", 128), ("1", 48)]


# -- models that differentiate while they run

# two layers, 3 → 16 → 1, on five rows
FORWARD = 5 * 3 * 16 + 5 * 16


def _energy(self: Any, x: Tensor) -> Tensor:
    return self.b(torch.tanh(self.a(x))).sum()


def _forces(self: Any, x: Tensor) -> Any:
    with torch.enable_grad():
        x = x.detach().requires_grad_(True)
        energy = _energy(self, x)
        return energy.detach(), -torch.autograd.grad(energy, x)[0]


def _forces_by_flag(self: Any, x: Tensor) -> Any:
    with torch.set_grad_enabled(True):
        x = x.clone().requires_grad_()
        return torch.autograd.grad(_energy(self, x), x)[0]


def _twice(self: Any, x: Tensor) -> Any:
    with torch.enable_grad():
        x = x.detach().requires_grad_(True)
        (force,) = torch.autograd.grad(_energy(self, x), x, create_graph=True)
        return torch.autograd.grad(force.pow(2).sum(), x)[0]


def counted_for_real(model: nn.Module, x: Tensor) -> int:
    """Return the MACs of matrix products in a real run; `FlopCounterMode` itself fails on jacobians."""
    from torch.utils._python_dispatch import TorchDispatchMode
    from torch.utils.flop_counter import flop_registry

    class Counter(TorchDispatchMode):
        flops = 0

        def __torch_dispatch__(
            self, func: Any, types: Any, args: Any = (), kwargs: Any = None
        ) -> Any:
            result = func(*args, **(kwargs or {}))
            formula = flop_registry.get(func._overloadpacket)
            self.flops += formula(*args, **(kwargs or {}), out_val=result) if formula else 0
            return result

    with Counter() as counter:
        model(x)
    return counter.flops // 2


@pytest.mark.parametrize(
    ("forward", "macs"),
    [
        pytest.param(_forces, 2 * FORWARD, id="forces"),
        pytest.param(_forces_by_flag, 2 * FORWARD, id="forces, gradients switched on by a flag"),
        pytest.param(_twice, None, id="a gradient of a gradient"),
        pytest.param(
            lambda self, x: torch.autograd.functional.jacobian(
                lambda v: self.b(torch.tanh(self.a(v))), x
            ),
            FORWARD + 5 * FORWARD,
            id="jacobian",
        ),
        pytest.param(
            lambda self, x: torch.autograd.functional.hessian(lambda v: _energy(self, v), x),
            None,
            id="hessian",
        ),
        pytest.param(
            lambda self, x: torch.autograd.functional.vjp(lambda v: _energy(self, v), x),
            2 * FORWARD,
            id="vjp",
        ),
    ],
)
def test_what_a_model_differentiates_is_counted(
    forward: Callable[..., Any], macs: int | None
) -> None:
    model = Calling(forward, a=nn.Linear(3, 16), b=nn.Linear(16, 1))
    report = dscost.analyze(model, input=(5, 3))
    assert report.totals.as_is.macs == counted_for_real(model, torch.randn(5, 3))
    assert macs in (None, report.totals.as_is.macs)
    assert ran_on_meta(report)
    assert all(parameter.grad is None for parameter in model.parameters())


def test_a_model_that_calls_backward_leaves_no_gradient_behind() -> None:
    def forward(self: Any, x: Tensor) -> Tensor | None:
        with torch.enable_grad():
            x = x.detach().requires_grad_()
            _energy(self, x).backward()
            return x.grad

    model = Calling(forward, a=nn.Linear(3, 16), b=nn.Linear(16, 1))
    assert macs_of(model, (5, 3)) == 3 * FORWARD  # the weights have gradients too
    assert all(parameter.grad is None for parameter in model.parameters())


def test_gradients_that_are_switched_on_and_not_used_change_nothing() -> None:
    def forward(self: Any, x: Tensor) -> Tensor:
        with torch.enable_grad():
            return self.b(self.a(x))

    report = dscost.analyze(Calling(forward, a=nn.Linear(3, 16), b=nn.Linear(16, 1)), input=(5, 3))
    assert [(layer.name, layer.op, layer.cost.macs) for layer in report.layers] == [
        ("a", "linear", 5 * 3 * 16),
        ("b", "linear", 5 * 16),
    ]


def test_a_sharded_model_is_counted_whole() -> None:
    distributed = pytest.importorskip("torch.distributed")
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard

    os.environ.setdefault("MASTER_ADDR", "localhost")
    distributed.init_process_group("gloo", rank=0, world_size=1, store=distributed.HashStore())
    try:
        model = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 4))
        mesh = init_device_mesh("cpu", (1,))
        for layer in (model[0], model[2], model):
            fully_shard(layer, mesh=mesh)
        report = dscost.analyze(model, input=(2, 8))
        assert (report.totals.as_is.macs, report.totals.as_is.params) == (
            2 * (128 + 64),
            8 * 16 + 16 + 16 * 4 + 4,
        )
        assert ran_on_meta(report)
        assert report.doubts == ()
    finally:
        distributed.destroy_process_group()


def test_a_hook_that_a_forward_registers_is_no_reason_to_run_for_real() -> None:
    def forward(self: Any, x: Tensor) -> Any:
        seen: list[Tensor] = []
        handle = self.body.register_forward_hook(lambda module, args, result: seen.append(result))
        self.body(x)
        handle.remove()
        return self.head(seen[0])

    model = Calling(forward, body=nn.Linear(8, 8), head=nn.Linear(8, 3))
    report = dscost.analyze(model, input=(2, 8))
    assert (report.totals.as_is.macs, ran_on_meta(report), report.doubts) == (
        2 * (64 + 24),
        True,
        (),
    )
    assert not model.body._forward_hooks


# -- values that are known on meta


class Detecting(nn.Module):
    """Reads its strides, as detectors do."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 1)
        self.stride = torch.tensor([8.0, 16.0, 32.0])
        self.register_buffer("sizes", torch.tensor([2, 3]))

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv(x)
        points = [y.new_full((4, 1), stride) for stride in self.stride]  # type: ignore[arg-type]
        grid = torch.arange(int(self.sizes.sum()), device=x.device)
        if (
            grid.max() > 3
            and torch.tensor([1.0], device=x.device).item() == 1
            and x.new_tensor([2]).sum() > 1
        ):
            y = self.conv(x) + y
        return y.mean() + torch.cat(points).sum()


def of_kinds(self: Any, x: Tensor) -> Tensor:
    """Apply a layer for each kind of numbers that is as it was asked for."""
    made = (
        (x.new_tensor([2.5]), 2.5),
        (x.new_tensor([2.5], dtype=torch.int64), 2),
        (torch.tensor([2.5], dtype=torch.int64, device=x.device), 2),
    )
    for tensor, value in made:
        if tensor.item() == value:
            x = self.a(x)
    return x


KNOWN = [
    pytest.param(
        Calling(of_kinds, a=nn.Linear(8, 8)), (2, 8), 3 * 2 * 8 * 8, id="numbers of another kind"
    ),
    pytest.param(Detecting(), IMAGE, 2 * 144 * 12, id="strides"),
    pytest.param(
        Detecting().to("cpu"),
        torch.ones(IMAGE),
        2 * 144 * 12,
        id="strides, of an input with values",
    ),
    pytest.param(
        Calling(
            lambda self, x: self.a(x)[torch.ones(2, 1, dtype=torch.bool).expand(2, 3)],
            a=nn.Linear(8, 4),
        ),
        (2, 3, 8),
        2 * 3 * 8 * 4,
        id="an index of known truth values",
    ),
    pytest.param(
        Calling(
            lambda self, ids, mask: self.a(self.table(ids)) if mask.all() else self.table(ids),
            table=nn.Embedding(10, 8),
            a=nn.Linear(8, 4),
        ),
        (torch.zeros(1, 5, dtype=torch.int64), torch.ones(1, 5, dtype=torch.int64)),
        5 * 8 * 4,
        id="a mask that is given",
    ),
    pytest.param(
        Calling(
            lambda self, x: [
                self.a(part) for part in x.split(torch.tensor([1, 2], device=x.device).tolist())
            ],
            a=nn.Linear(8, 4),
        ),
        (3, 8),
        3 * 8 * 4,
        id="lengths",
    ),
]


@pytest.mark.parametrize(("model", "given", "macs"), KNOWN)
def test_small_constants_keep_their_values_beside_meta(
    model: nn.Module, given: Any, macs: int
) -> None:
    report = dscost.analyze(model, input=given)
    assert (report.totals.as_is.macs, ran_on_meta(report), report.doubts) == (macs, True, ())


def test_what_is_written_with_features_has_no_values_any_more() -> None:
    def forward(self: Any, x: Tensor) -> Tensor:
        cache = torch.zeros(4, device=x.device)
        cache[:2] = self.a(x).flatten()[:2]
        return self.b(x) if max(cache.tolist()) >= 0 else x

    model = Calling(forward, a=nn.Linear(8, 4), b=nn.Linear(8, 6))
    report = dscost.analyze(model, input=(2, 8))
    assert (report.totals.as_is.macs, kinds_of(report)) == (2 * 8 * (4 + 6), ["value_dependent"])


def test_a_models_own_constants_are_not_written_on() -> None:
    model = Calling(lambda self, x: self.a(x) * self.count.add_(1).item(), a=nn.Linear(8, 4))
    model.register_buffer("count", torch.zeros(1))
    assert ran_on_meta(dscost.analyze(model, input=(2, 8)))
    assert model.count.item() == 0


@pytest.mark.parametrize(
    ("names", "value"),
    [(("x", "attention_mask"), 1), (("x", "mask"), 1), (("x", "key_padding_mask"), 0)],
)
def test_a_mask_of_which_only_the_shape_is_given_hides_nothing(
    names: tuple[str, str], value: int
) -> None:
    given = [TensorSpec((2, 8)), TensorSpec((2, 5), "int64", names[1])]
    made, notes = with_masks(nn.Identity(), arguments_of(given))
    assert torch.equal(made.kwargs[names[1]], torch.full((2, 5), value))
    assert notes == (f"No values were given for {names[1]}: taken as hiding nothing.",)


def test_the_note_on_masks_is_in_the_report_where_they_are_looked_at() -> None:
    class Masked(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a = nn.Linear(8, 4)

        def forward(self, x: Tensor, attention_mask: Tensor) -> Tensor:
            return self.a(x) if attention_mask.all() else x

    report = dscost.analyze(Masked(), input=[(2, 8), TensorSpec((2, 5), "bool")])
    assert report.totals.as_is.macs == 2 * 8 * 4
    assert report.warnings == ("No values were given for attention_mask: taken as hiding nothing.",)


# -- autocast


@pytest.mark.parametrize("device", ["cpu", "cuda"])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_activations_under_autocast_have_its_bytes(device: str, dtype: torch.dtype) -> None:
    layers = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Conv2d(8, 8, 3))

    def forward(self: Any, x: Tensor) -> Tensor:
        with torch.autocast(device, dtype=dtype):
            return self.layers(x)

    cost = dscost.analyze(Calling(forward, layers=layers), input=IMAGE).totals.as_is
    assert cost.macs == 100 * 8 * 27 + 64 * 8 * 72
    assert cost.output_bytes == 2 * 8 * 64
    image, weights = 4 * 3 * 144, 4 * (8 * 27 + 8 + 8 * 72 + 8)
    first = relu = 2 * 8 * 100
    assert cost.traffic_bytes == image + weights + first + 2 * relu + first + 2 * 8 * 64


def test_autocast_of_the_device_of_a_tensor_is_counted_on_meta() -> None:
    def forward(self: Any, x: Tensor) -> Tensor:
        with torch.autocast(x.device.type, enabled=False):
            return self.a(x.float())

    init, enter = torch.autocast.__init__, torch.autocast.__enter__
    report = dscost.analyze(Calling(forward, a=nn.Linear(8, 4)), input=(2, 8))
    assert (report.totals.as_is.macs, report.totals.as_is.output_bytes) == (64, 32)
    assert ran_on_meta(report)
    assert (torch.autocast.__init__, torch.autocast.__enter__) == (init, enter)


# -- the real run


def test_a_real_run_names_the_place() -> None:
    model = Calling(lambda self, x: self.a(x) if x.sum() > 0 else x, a=nn.Linear(8, 4))
    (doubt,) = dscost.analyze(model, input=torch.ones(2, 8)).doubts
    assert doubt.text.startswith("The model looks at values (test_ways.py:")
    assert "`model = Calling(lambda self, x: self.a(x) if x.sum() > 0 else x" in doubt.text


def test_a_model_that_fails_on_meta_for_any_reason_runs_for_real() -> None:
    def forward(self: Any, x: Tensor) -> Tensor:
        if x.device.type != "cpu":
            raise ValueError("only on the CPU")
        return self.a(x)

    report = dscost.analyze(Calling(forward, a=nn.Linear(8, 4)), input=(2, 8))
    assert report.totals.as_is.macs == 2 * 8 * 4
    assert kinds_of(report) == ["value_dependent"]
    assert "fails without values (test_ways.py:" in report.doubts[0].text
    assert "ValueError: only on the CPU" in report.doubts[0].text


def test_the_error_of_the_real_run_is_told() -> None:
    def forward(self: Any, x: Tensor) -> Tensor:
        raise ValueError("on the CPU" if x.device.type == "cpu" else "elsewhere")

    with pytest.raises(InputError, match=r"ValueError: on the CPU$"):
        dscost.analyze(Calling(forward), input=(2, 8))


def test_an_error_that_any_run_would_end_in_is_told_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def real() -> nn.Module:
        raise AssertionError("made for real")

    with pytest.raises(InputError, match="mat1 and mat2 shapes cannot be multiplied"):
        trace(nn.Linear(8, 3), arguments_of((2, 7)), make_real=real)
    with pytest.raises(InputError, match="missing 1 required positional argument"):
        trace(nn.Bilinear(8, 3, 2), arguments_of((2, 8)), make_real=real)


def test_a_model_whose_weights_do_not_fit_is_not_run_for_real(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(real_copies, "free_bytes", lambda: 12_000_000_000)
    with torch.device("meta"):
        model = Calling(
            lambda self, x: self.a(x) if x.sum() > 0 else x,
            a=nn.Linear(65_000, 100_000, bias=False),
        )
    with pytest.raises(InputError, match=r"its weights need 26 GB, 12 GB are free"):
        dscost.analyze(model, input=(2, 65_000))


def test_memory_that_a_process_may_ask_for_is_known(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    resource = pytest.importorskip("resource")
    status = tmp_path / "status"
    status.write_text("Name: python\nVmSize:\t 1000 kB\n")
    monkeypatch.setattr(resource, "getrlimit", lambda which: (5_000 * 1024, resource.RLIM_INFINITY))
    assert memory.addressable_bytes(status) == 4_000 * 1024
    monkeypatch.setattr(
        resource, "getrlimit", lambda which: (resource.RLIM_INFINITY, resource.RLIM_INFINITY)
    )
    assert memory.addressable_bytes(status) is None


def test_a_model_that_catches_the_lack_of_values_is_not_counted_by_its_way_out() -> None:
    def forward(self: Any, x: Tensor) -> Tensor:
        try:
            is_large = bool((x.abs().sum() >= 0).item())
        except Exception:  # noqa: BLE001 - as models do
            is_large = False
        return self.wide(x) if is_large else self.narrow(x)

    model = Calling(forward, wide=nn.Linear(8, 64), narrow=nn.Linear(8, 2))
    report = dscost.analyze(model, input=(2, 8))
    assert report.totals.as_is.macs == 2 * 8 * 64
    assert kinds_of(report) == ["value_dependent", "unused"]


def test_the_way_out_is_said_where_the_model_cannot_run_for_real(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(real_copies, "free_bytes", lambda: 10)
    monkeypatch.setattr(real_copies, "SPARE_BYTES", 10)

    def forward(self: Any, x: Tensor) -> Tensor:
        try:
            return self.wide(x) if x.sum().item() >= 0 else x
        except RuntimeError:
            return self.narrow(x)

    report = dscost.analyze(
        Calling(forward, wide=nn.Linear(8, 64), narrow=nn.Linear(8, 2)), input=(2, 8)
    )
    assert report.totals.as_is.macs == 2 * 8 * 2
    assert "went on without them; it cannot run for real" in report.doubts[0].text


# -- what runs outside of the trace


def in_a_thread(function: Callable[..., Any], *args: Any) -> Any:
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(function, *args).result()


def in_a_plain_thread(function: Callable[..., Any], *args: Any) -> Any:
    results: list[Any] = []
    thread = threading.Thread(target=lambda: results.append(function(*args)))
    thread.start()
    thread.join()
    return results[0]


@pytest.mark.parametrize("run", [in_a_thread, in_a_plain_thread])
@pytest.mark.parametrize("train", [False, True])
def test_modules_that_run_in_a_thread_of_their_own_are_seen(
    run: Callable[..., Any], train: bool
) -> None:
    model = Calling(lambda self, x: run(self.c, x), c=nn.Sequential(nn.Conv2d(3, 64, 5), nn.ReLU()))
    report = dscost.analyze(model, input=(1, 3, 16, 16), train=train)
    assert report.totals.as_is.macs == 691_200 * (2 if train else 1)
    assert report.doubts == ()
    assert [layer.name for layer in report.layers] == ["c.0", "c.1"]


def test_branches_in_several_threads_are_all_seen() -> None:
    def forward(self: Any, x: Tensor) -> Tensor:
        with ThreadPoolExecutor(4) as pool:
            return self.head(torch.cat(list(pool.map(lambda branch: branch(x), self.branches)), 1))

    branches = nn.ModuleList(nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU()) for _ in range(4))
    model = Calling(forward, branches=branches, head=nn.Conv2d(32, 4, 1))
    assert macs_of(model, (1, 3, 16, 16)) == 4 * 14 * 14 * 8 * 27 + 14 * 14 * 4 * 32


def without_dispatch(function: Callable[..., Any], *args: Any) -> Any:
    with torch._C._DisableTorchDispatch():
        return function(*args)


DID = "The figures leave out c: its forward began, but no operator of it was seen."
MAY = "The figures may leave out c: nothing was seen to read 4,864 parameters, but part of the model ran"
OFF, THREAD = "where torch shows no operators.", "in a thread, out of sight."


@pytest.mark.parametrize(
    ("forward", "text"),
    [
        pytest.param(lambda self, x: without_dispatch(self.c, x), DID, id="dispatch off"),
        pytest.param(
            lambda self, x: self.d(without_dispatch(self.c, x).relu()),
            DID,
            id="dispatch off, in part",
        ),
        pytest.param(
            lambda self, x: in_a_thread(lambda: F.conv2d(x, self.c.weight)),
            f"{MAY} {THREAD}",
            id="a function in a thread",
        ),
        pytest.param(
            lambda self, x: self.d(in_a_plain_thread(lambda: F.conv2d(x, self.c.weight.detach()))),
            f"{MAY} {THREAD}",
            id="a function in a plain thread",
        ),
        pytest.param(
            lambda self, x: without_dispatch(F.conv2d, x, self.c.weight),
            f"{MAY} {OFF}",
            id="a function, dispatch off",
        ),
        pytest.param(
            lambda self, x: x * in_a_thread(lambda: 1),
            f"{MAY} {THREAD}",
            id="a thread that may have done anything",
        ),
    ],
)
def test_what_is_not_seen_is_said(forward: Callable[..., Any], text: str) -> None:
    model = Calling(forward, c=nn.Conv2d(3, 64, 5))
    model.d = nn.Conv2d(64, 8, 1) if "d" in forward.__code__.co_names else None
    report = dscost.analyze(model, input=(1, 3, 16, 16))
    assert kinds_of(report) == ["unseen"]  # and not that the same weights were never used
    assert report.warnings == (text,)
    assert not verify(model, input=(1, 3, 16, 16)).agrees


def test_a_module_that_failed_is_not_said_to_have_run_unseen() -> None:
    def forward(self: Any, x: Tensor) -> Tensor:
        try:
            return self.a(x)
        except RuntimeError:
            return self.b(x)

    report = dscost.analyze(Calling(forward, a=nn.Linear(9, 9), b=nn.Linear(8, 8)), input=(2, 8))
    assert report.warnings == ("Never used: 90 parameters of a.",)


def test_a_module_that_failed_in_a_thread_is_not_said_to_be_left_out_for_certain() -> None:
    def forward(self: Any, x: Tensor) -> Tensor:
        with ThreadPoolExecutor(1) as pool:
            failed = pool.submit(self.a, x).exception()
        return self.b(x) if failed else x

    report = dscost.analyze(Calling(forward, a=nn.Linear(9, 9), b=nn.Linear(8, 8)), input=(2, 8))
    may = "The figures may leave out a: nothing was seen to read 90 parameters, but part of the model ran"
    assert report.warnings == (f"{may} in a thread, out of sight.",)


def test_what_began_and_what_may_have_run_are_told_apart() -> None:
    model = Calling(
        lambda self, x: without_dispatch(self.c, x), c=nn.Conv2d(3, 64, 5), spare=nn.Linear(8, 8)
    )
    model.lonely = nn.Parameter(torch.zeros(2))
    may = "The figures may leave out (root), spare: nothing was seen to read 74 parameters, but part of the model ran"
    assert dscost.analyze(model, input=(1, 3, 16, 16)).warnings == (DID, f"{may} {OFF}")


def test_several_modules_that_began_are_said_in_one_sentence() -> None:
    model = Calling(
        lambda self, x: without_dispatch(self.c, x),
        c=nn.Sequential(*(nn.Linear(8, 8) for _ in range(2))),
    )
    text = "The figures leave out c.0, c.1: they began, but no operator of them was seen."
    assert dscost.analyze(model, input=(2, 8)).warnings == (text,)


def test_a_module_of_a_users_that_began_out_of_sight_may_be_left_out() -> None:
    inner = Calling(lambda self, x: F.conv2d(x, self.w), w=nn.Parameter(torch.zeros(64, 3, 5, 5)))
    model = Calling(lambda self, x: without_dispatch(self.c, x), c=inner)
    report = dscost.analyze(model, input=(1, 3, 16, 16))
    assert report.warnings == (f"{MAY.replace('4,864', '4,800')} {OFF}",)


@pytest.mark.parametrize(
    ("forward", "where"),
    [
        pytest.param(lambda self, x: without_dispatch(torch.matmul, x, x), OFF, id="dispatch off"),
        pytest.param(
            lambda self, x: x + without_dispatch(torch.matmul, x, self.table),
            OFF,
            id="with a plain tensor",
        ),
        pytest.param(
            lambda self, x: self.c(without_dispatch(self.c, self.c(x))),
            OFF,
            id="weights that are read too",
        ),
        pytest.param(
            lambda self, x: self.c(in_a_plain_thread(torch.matmul, x, x)), THREAD, id="in a thread"
        ),
    ],
)
def test_work_out_of_sight_without_weights_of_its_own_is_said(
    forward: Callable[..., Any], where: str
) -> None:
    model = Calling(forward, table=torch.ones(8, 8))
    model.c = nn.Linear(8, 8) if "c" in forward.__code__.co_names else None
    report = dscost.analyze(model, input=(8, 8))
    assert report.warnings == (f"The figures leave out some work: part of the model ran {where}",)
    assert kinds_of(report) == ["unseen"]


@cache
def table(size: int, device: torch.device) -> Tensor:
    return torch.ones(size, device=device).cumsum(0)


@pytest.mark.parametrize("way", ["fast", "with values"])
def test_what_an_earlier_trace_left_in_a_cache_is_not_out_of_sight(way: str) -> None:
    def forward(self: Any, x: Tensor) -> Tensor:
        if way == "with values":
            self.stride.item()
        return x * table(8, x.device)

    table.cache_clear()
    for _ in range(2):
        assert dscost.analyze(Calling(forward, stride=torch.ones(1)), input=(2, 8)).doubts == ()
    table.cache_clear()
    table(8, torch.device("meta"))  # nor what was made before any trace
    assert dscost.analyze(Calling(forward, stride=torch.ones(1)), input=(2, 8)).doubts == ()


def test_pythons_threads_are_as_before() -> None:
    methods = threading.Thread.start, ThreadPoolExecutor.submit
    dscost.analyze(nn.Linear(8, 8), input=(2, 8))
    with pytest.raises(InputError):
        dscost.analyze(nn.Linear(8, 8), input=(2, 7))
    assert (threading.Thread.start, ThreadPoolExecutor.submit) == methods


@pytest.mark.parametrize(
    "model",
    [
        pytest.param(
            Calling(lambda self, x: x.relu(), spare=nn.Linear(8, 8)), id="nothing of it is used"
        ),
        pytest.param(
            Calling(lambda self, x: self.a(x), a=nn.Linear(8, 8), spare=nn.Conv2d(3, 4, 3)),
            id="a spare",
        ),
        pytest.param(
            Calling(lambda self, x: x * self.scale, scale=torch.ones(8), spare=nn.Linear(8, 8)),
            id="scale",
        ),
        pytest.param(
            Calling(
                lambda self, x: x * torch.from_numpy(torch.ones(8).numpy()), spare=nn.Linear(8, 8)
            ),
            id="numpy",
        ),
    ],
)
def test_what_is_not_used_is_not_said_to_have_run(model: nn.Module) -> None:
    assert kinds_of(dscost.analyze(model, input=(2, 8))) == ["unused"]


def through_numpy(self: Any, x: Tensor) -> Tensor:
    array = self.c(x).detach().numpy()
    return torch.from_numpy(array @ array.T)


@pytest.mark.parametrize(
    "forward",
    [
        pytest.param(through_numpy, id="numpy"),
        pytest.param(
            lambda self, x: torch.tensor(np.asarray(self.c(x).detach())),
            id="as an argument of numpy",
        ),
        pytest.param(lambda self, x: self.c(torch.from_numpy(np.asarray(x) * 2)), id="the input"),
    ],
)
def test_what_is_computed_in_numpy_is_said_to_be_left_out(forward: Callable[..., Any]) -> None:
    model = Calling(forward, c=nn.Linear(8, 8), spare=nn.Linear(8, 8))
    report = dscost.analyze(model, input=(2, 8))
    assert kinds_of(report) == ["value_dependent", "unseen", "unused"]
    assert report.doubts[1].text.startswith("The model takes features out of torch (test_ways.py:")
    assert report.doubts[1].text.endswith("`); what it computes of them in NumPy is left out.")
    assert not verify(model, input=(2, 8)).agrees


@pytest.mark.parametrize(
    ("forward", "doubts"),
    [
        pytest.param(
            lambda self, x: self.c(x) * float(x.sum().numpy()), ["value_dependent"], id="a number"
        ),
        pytest.param(
            lambda self, x: self.c(x)[: len((x > 9).numpy())], ["value_dependent"], id="a mask"
        ),
        pytest.param(lambda self, x: self.c(x) * len(x.tolist()), ["value_dependent"], id="a list"),
        pytest.param(
            lambda self, x: self.c(x) * torch.from_numpy(torch.ones(8).numpy()), [], id="a constant"
        ),
        pytest.param(
            lambda self, x: F.linear(
                x, torch.from_numpy(self.c.weight.detach().numpy()), self.c.bias
            ),
            ["value_dependent"],
            id="weights",
        ),
        pytest.param(
            lambda self, x: F.linear(x, torch.tensor(self.c.weight.tolist()), self.c.bias),
            ["value_dependent"],
            id="weights as a list",
        ),
    ],
)
def test_what_is_no_feature_may_leave_torch(forward: Callable[..., Any], doubts: list[str]) -> None:
    assert kinds_of(dscost.analyze(Calling(forward, c=nn.Linear(8, 8)), input=(2, 8))) == doubts


# -- no method is called but the forward


class Meaning(nn.Module):
    """Gives every name another meaning."""

    def __init__(self) -> None:
        super().__init__()
        self.model, self.stride = nn.Conv2d(3, 8, 3), torch.ones(1)

    def forward(self, x: Tensor) -> Tensor:
        return self.model(x) * self.stride.item()


class MeaningForReal(Meaning):
    """The same, and it looks at values."""

    def forward(self, x: Tensor) -> Tensor:
        return self.model(x) * x.sum().item()


NAMES = (
    *(
        "train",
        "eval",
        "to",
        "half",
        "float",
        "cpu",
        "cuda",
        "modules",
        "named_modules",
        "children",
        "named_children",
    ),
    *(
        "parameters",
        "named_parameters",
        "buffers",
        "named_buffers",
        "state_dict",
        "load_state_dict",
        "zero_grad",
    ),
    *(
        "requires_grad_",
        "_apply",
        "apply",
        "to_empty",
        "__len__",
        "__bool__",
        "__iter__",
        "__call__",
        "__eq__",
    ),
    *("__contains__", "__repr__", "__dir__"),
)


def acting(base: type[nn.Module], called: list[str]) -> nn.Module:
    """Return a model whose every method but its forward acts, and says so."""

    def method(name: str) -> Callable[..., Any]:
        def act(*args: Any, **kwargs: Any) -> Any:
            called.append(name)
            raise SystemError(f"{name} acts")

        return act

    model = base()
    model.__class__ = type(
        "Acting", (base,), {**{name: method(name) for name in NAMES}, "__hash__": None}
    )
    return model


@pytest.mark.parametrize("base", [Meaning, MeaningForReal])
@pytest.mark.parametrize("options", [{}, {"train": True}], ids=["inference", "training"])
def test_no_method_of_a_model_is_called_but_its_forward(
    base: type[nn.Module], options: dict[str, Any]
) -> None:
    called: list[str] = []
    model = acting(base, called)
    report = dscost.analyze(model, input=(1, 3, 32, 32), **options)
    assert report.totals.as_is.macs == 30 * 30 * 8 * 27 * (2 if options else 1)
    assert called == []


def test_a_factory_may_make_a_model_of_methods_that_act(tmp_path: Path) -> None:
    path = tmp_path / "acting.py"
    path.write_text(
        "import torch\nfrom torch import nn\n"
        "class Net(nn.Module):\n"
        "    def __init__(self):\n        super().__init__(); self.a = nn.Linear(8, 4)\n"
        "    def train(self, trainer=None): raise SystemError('a training run')\n"
        "    def eval(self): raise SystemError('an evaluation')\n"
        "    def to(self, *where): raise SystemError('a journey')\n"
        "    def parameters(self): raise SystemError('a list')\n"
        "    def forward(self, x): return self.a(x) if x.sum() >= 0 else x\n"
    )
    report = dscost.analyze(f"{path}:Net", input=(2, 8), dtype="float64")
    assert (report.totals.as_is.macs, report.totals.as_is.weight_bytes) == (64, 36 * 8)


class Backbone(nn.Module):
    """Freezes its statistics whatever mode it is put in, and returns nothing, as backbones do."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.bn = nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)

    def train(self, mode: bool = True) -> None:  # type: ignore[override]
        super().train(mode)
        self.bn.eval()

    def forward(self, x: Tensor) -> Tensor:
        return self.bn(self.conv(x)) * (x.sum().item() >= 0)


def test_a_model_whose_train_returns_nothing_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(
        sys.modules, "backbones_for_a_test", types.SimpleNamespace(Backbone=Backbone)
    )  # type: ignore[arg-type]
    for target in ("backbones_for_a_test:Backbone", Backbone()):
        assert dscost.analyze(target, input=IMAGE).totals.as_is.macs == 100 * 4 * 27


class Predicting(nn.Module):
    """A workflow around a network, as ultralytics.YOLO."""

    def __init__(self) -> None:
        super().__init__()
        self.model = nn.Sequential(nn.Conv2d(3, 8, 3))

    def __call__(self, source: Any = None, **options: Any) -> Any:
        return self.predict(source, **options)

    def predict(self, source: Any = None, **options: Any) -> Any:
        raise SystemError("a prediction on files")

    def train(self, trainer: Any = None, **options: Any) -> Any:  # type: ignore[override]
        raise SystemError("a training run")

    def __getattr__(self, name: str) -> Any:
        return self._modules["model"] if name == "model" else getattr(self.model, name)


class PredictingForward(Predicting):
    """The same, with a forward that predicts."""

    __call__ = nn.Module.__call__

    def forward(self, source: Any) -> Any:
        return self.predict(source)


@pytest.mark.parametrize("kind", [Predicting, PredictingForward])
def test_a_module_that_predicts_on_files_is_taken_for_its_network(kind: type[nn.Module]) -> None:
    report = dscost.analyze(kind(), input=(1, 3, 32, 32))
    assert report.totals.as_is.macs == 30 * 30 * 8 * 27
    assert report.warnings == (
        f"{kind.__name__} predicts on files: what is counted is its .model, a Sequential.",
    )
    with pytest.raises(InputError, match=r"predicts on files: give its \.model, a Sequential$"):
        trace(kind(), arguments_of((1, 3, 32, 32)))


# -- random numbers


@pytest.mark.parametrize("looks", [False, True], ids=["on meta", "for real"])
def test_numbers_that_other_threads_draw_do_not_come_twice(looks: bool) -> None:
    def forward(self: Any, x: Tensor) -> Tensor:
        x = x + torch.rand_like(x) + torch.randn(8) + torch.empty(8).normal_()
        return self.a(x) * (x.sum().item() if looks else 1)

    drawn: list[int] = []
    over = threading.Event()

    def draw() -> None:
        while not over.is_set():
            drawn.append(int(torch.randint(2**60, (1,)).item()))

    model = Calling(forward, a=nn.Linear(8, 4))
    thread = threading.Thread(target=draw)
    thread.start()
    try:
        for _ in range(10):
            dscost.analyze(model, input=(2, 8))
    finally:
        over.set()
        thread.join()
    assert len(drawn) == len(set(drawn))


@pytest.mark.parametrize("looks", [False, True], ids=["on meta", "for real"])
def test_a_seed_that_a_forward_sets_is_taken_back(looks: bool) -> None:
    def forward(self: Any, x: Tensor) -> Tensor:
        torch.manual_seed(7)
        return self.a(x + torch.rand(8)) * (x.sum().item() if looks else 1)

    model = Calling(forward, a=nn.Linear(8, 4))
    torch.manual_seed(3)
    state = torch.get_rng_state()
    dscost.analyze(model, input=(2, 8))
    assert torch.initial_seed() == 3
    assert torch.equal(state, torch.get_rng_state())


# -- processes, factories, errors


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_child_that_was_forked_during_a_trace_can_trace_and_count_a_second_time() -> None:
    inside, over = threading.Event(), threading.Event()

    def forward(self: Any, x: Tensor) -> Tensor:
        inside.set()
        over.wait(20)
        return self.a(x)

    thread = threading.Thread(target=lambda: macs_of(Calling(forward, a=nn.Linear(8, 4)), (2, 8)))
    thread.start()
    inside.wait(20)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # newer Pythons warn of a fork beside threads
        child = os.fork()
    if not child:
        signal.alarm(10)
        second = flop_counter_macs(nn.Linear(8, 4), arguments_of((2, 8))).macs[""]
        os._exit(0 if macs_of(nn.Linear(8, 4), (2, 8)) == second == 2 * 8 * 4 else 1)
    _, status = os.waitpid(child, 0)
    over.set()
    thread.join()
    assert os.waitstatus_to_exitcode(status) == 0


FACTORY = """
import torch
from torch import nn

def make():
    with open({log!r}, "a") as file:
        file.write("called\\n")
    {body}
    return nn.Linear(8, 4)
"""


@pytest.mark.parametrize(
    ("body", "calls"),
    [
        ("raise ValueError('no')", 1),
        ("raise RuntimeError('no')", 1),
        ("{}['missing']", 1),
        ("torch.ones(10**4).sum().item()", 2),
        ("torch.linspace(0, 0.1, 12).tolist()", 1),
    ],
    ids=["an error", "a runtime error", "a key", "values that are large", "values that are small"],
)
def test_a_factory_is_called_again_only_where_values_may_help(
    body: str, calls: int, tmp_path: Path
) -> None:
    log, path = tmp_path / "log", tmp_path / "factory.py"
    path.write_text(FACTORY.format(log=str(log), body=body))
    try:
        dscost.analyze(f"{path}:make", input=(2, 8))
    except InputError as error:
        assert "cannot be made" in str(error)  # noqa: PT017 - some of them can
    assert log.read_text().count("called") == calls


class Silent(Exception):
    """An error that fails when it is asked."""

    def __str__(self) -> str:
        raise ValueError("not telling")


class Wordless(Exception):
    """An error whose text is none."""

    def __str__(self) -> str:
        return None  # type: ignore[return-value]


class Own(BaseException):
    """What a model should not raise."""


@pytest.mark.parametrize(
    "error",
    [
        *(
            Silent(),
            Wordless(),
            Own("mine"),
            GeneratorExit("over"),
            asyncio.CancelledError("off"),
            SystemExit(3),
        ),
        *(KeyboardInterrupt(), ValueError("a" * 10**6), ValueError("\x1b[2J\x9b\u202e\x00")),
    ],
    ids=lambda error: type(error).__name__,
)
def test_whatever_a_model_raises_is_told_in_one_short_line(error: BaseException) -> None:
    def forward(self: Any, x: Tensor) -> Tensor:
        raise error

    with pytest.raises(InputError) as caught:
        dscost.analyze(Calling(forward), input=(2, 8))
    told = str(caught.value)
    assert type(error).__name__ in told
    assert told.isprintable()
    assert len(told) < 400


def test_the_first_line_of_an_error_is_shortened_and_printable() -> None:
    assert first_line(ValueError("one\ntwo")) == "ValueError: one"
    assert first_line(ValueError()) == "ValueError"
    assert first_line(ValueError("\x1b[2J\tx\x9b")) == r"ValueError: \x1b[2J x\x9b"
    assert len(first_line(ValueError("x" * 10**6))) == 301
    assert first_line(ValueError("\ud800")) == r"ValueError: \ud800"


@pytest.fixture
def interruptible() -> Iterator[None]:
    """Let SIGINT interrupt, which a process in the background was started without."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("interruptible")
def test_a_real_interrupt_goes_through_however_deep() -> None:
    def forward(self: Any, x: Tensor) -> Tensor:
        signal.raise_signal(signal.SIGINT)
        return x

    with pytest.raises(KeyboardInterrupt):
        dscost.analyze(nn.Sequential(Calling(forward)), input=(2, 8))
