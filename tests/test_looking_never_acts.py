"""Counting and converting leave no trace in what a model's code writes on: copies alone run."""

import collections
import functools
import random
import types
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import dscost
from dscost.errors import InputError

SHAPE = (2, 4, 9, 9)


class Writing(nn.Module):
    """Writes on something that it holds whenever it runs."""

    def __init__(self, state: Any, write: Callable[[Any], object]) -> None:
        super().__init__()
        self.conv = nn.Conv2d(4, 8, 3)
        self.state = state
        self.write = write

    def forward(self, x: Tensor) -> Tensor:
        self.write(self.state)
        return self.conv(x)


class Notebook:
    def __init__(self) -> None:
        self.calls = 0
        self.seen: list[int] = []

    def note(self, *_: Any) -> None:
        self.calls += 1
        self.seen.append(1)


class Slotted:
    __slots__ = ("__dict__", "seen")

    def __init__(self) -> None:
        self.seen: list[int] = []
        self.scale = torch.ones(1)


class OwnDict(dict[str, int]):
    pass


def raised(state: Any) -> None:
    state["calls"] = state.get("calls", 0) + 1


def added(state: Any) -> None:
    state += 1


HELD: dict[str, tuple[Callable[[], Any], Callable[[Any], object], Callable[[Any], object]]] = {
    "a list": (list, lambda s: s.append(1), repr),
    "a dict": (dict, raised, repr),
    "a counter": (collections.Counter, raised, repr),
    "a defaultdict": (lambda: collections.defaultdict(list), lambda s: s["a"].append(1), repr),
    "a deque": (collections.deque, lambda s: s.append(1), repr),
    "a dict of a class of its own": (OwnDict, raised, repr),
    "an object": (Notebook, Notebook.note, lambda s: (s.calls, s.seen)),
    "an object with slots": (Slotted, lambda s: s.seen.append(1), lambda s: s.seen),
    "a namespace": (lambda: types.SimpleNamespace(seen=[]), lambda s: s.seen.append(1), repr),
    "random numbers": (lambda: random.Random(0), lambda s: s.random(), lambda s: s.getstate()),
    "random numbers of torch": (
        torch.Generator,
        lambda s: torch.rand(1, generator=s),
        lambda s: s.get_state().tolist(),
    ),
    "an array": (lambda: np.zeros(2), added, lambda s: s.tolist()),
    "bytes": (bytearray, lambda s: s.append(1), bytes),
}


def looked_at(module: nn.Module) -> None:
    dscost.analyze(module, input=SHAPE)
    (layer,) = dscost.conversion(module, rank=1, min_channels=1, input=SHAPE).layers
    assert layer.converted


@pytest.mark.parametrize(("make", "write", "look"), HELD.values(), ids=HELD)
def test_what_a_model_holds_is_left(make: Any, write: Any, look: Any) -> None:
    module = Writing(make(), write)
    before = look(make())
    looked_at(module)
    assert look(module.state) == before
    module(torch.zeros(SHAPE))
    assert look(module.state) != before


def closure(seen: list[Any]) -> Any:
    return lambda *_: seen.append(1)


def default(seen: list[Any]) -> Any:
    def hook(*_: Any, seen: list[Any] = seen) -> None:
        seen.append(1)

    return hook


def keyword(seen: list[Any]) -> Any:
    return functools.partial(lambda *_, seen: seen.append(1), seen=seen)


def of_a_closure(seen: list[Any]) -> Any:
    append = seen.append

    def inner() -> None:
        append(1)

    return lambda *_: inner()


@pytest.mark.parametrize("make", [closure, default, keyword, of_a_closure])
@pytest.mark.parametrize("of", ["conv", "model"])
def test_what_a_hook_reaches_is_left(make: Any, of: str) -> None:
    seen: list[Any] = []
    module = nn.Sequential(nn.Conv2d(4, 8, 3))
    (module[0] if of == "conv" else module).register_forward_hook(make(seen))
    looked_at(module)
    assert seen == []
    module(torch.zeros(SHAPE))
    assert seen == [1]


def test_a_variable_that_functions_share_is_left_and_stays_shared() -> None:
    """The two hooks are pushed on one another, which fails where each has a variable of its own."""
    calls = 0

    def before(*_: Any) -> None:
        nonlocal calls
        calls += 1

    def after(module: nn.Module, args: Any, result: Tensor) -> Tensor | None:
        assert calls > 0
        return None

    module = nn.Sequential(nn.Conv2d(4, 8, 3))
    module.register_forward_pre_hook(before)
    module.register_forward_hook(after)
    looked_at(module)
    assert calls == 0


def test_a_list_that_a_hook_fills_is_the_one_that_the_model_reads() -> None:
    features: list[Tensor] = []

    class Reading(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.head = nn.Conv2d(4, 8, 3), nn.Linear(8, 2)
            self.features = features
            self.conv.register_forward_hook(lambda module, args, result: features.append(result))

        def forward(self, x: Tensor) -> Any:
            self.conv(x)
            return self.head(self.features.pop().mean((2, 3)))

    module = Reading()
    report = dscost.analyze(module, input=SHAPE)
    assert report.totals.as_is.macs == 2 * 7 * 7 * 8 * 4 * 9 + 2 * 8 * 2
    assert not report.warnings
    # a copy, as `copy.deepcopy` makes it, has a list of its own and the hook the old one: converted it would fail
    (layer,) = dscost.conversion(module, rank=1, min_channels=1, input=SHAPE).layers
    assert layer.reason == f"{FAILS}IndexError: pop from empty list"
    assert features == []


def test_a_copy_closes_nothing() -> None:
    closed = []

    class File:
        def __init__(self) -> None:
            self.path = "x"

        def __del__(self) -> None:
            closed.append(self.path)

    module = Writing(File(), lambda state: state.path)
    dscost.analyze(module, input=SHAPE)
    assert closed == []


# -- what a model does with a convolution besides calling it keeps that one, and only that


class Doing(nn.Module):
    def __init__(self, forward: Any, **more: Any) -> None:
        super().__init__()
        self.conv, self.other = nn.Conv2d(4, 4, 3), nn.Conv2d(4, 4, 3)
        self.more = {name: make(self.conv) for name, make in more.items()}
        self.does = forward

    def forward(self, x: Tensor) -> Any:
        return self.other(self.does(self, x))


def in_a_closure(conv: nn.Conv2d) -> Any:
    weight = conv.weight
    return lambda x: nn.functional.conv2d(x, weight)


ELSEWHERE = "the model holds its parameters elsewhere too"
FAILS = "the model does more with it than call it: "
KEPT: dict[str, tuple[Any, dict[str, Any], str]] = {
    "by the state": (
        lambda m, x: m.conv(x) * m.state_dict()["conv.weight"].norm(),
        {},
        FAILS + "KeyError: 'conv.weight'",
    ),
    "among parameters": (
        lambda m, x: m.conv(x) * m.conv._parameters["weight"].norm(),
        {},
        FAILS + "KeyError: 'weight'",
    ),
    "in a closure": (
        lambda m, x: m.more["run"](m.conv(m.more["pad"](x))),
        {"run": in_a_closure, "pad": lambda c: nn.ZeroPad2d(2)},
        ELSEWHERE,
    ),
    "in a partial": (
        lambda m, x: m.more["run"](x),
        {"run": lambda c: functools.partial(nn.functional.conv2d, weight=c.weight)},
        ELSEWHERE,
    ),
    "in a list": (
        lambda m, x: nn.functional.conv2d(x, *m.more["held"]),
        {"held": lambda c: [c.weight, c.bias]},
        ELSEWHERE,
    ),
}


@pytest.mark.parametrize(("forward", "more", "reason"), KEPT.values(), ids=KEPT)
@pytest.mark.parametrize("given", [SHAPE, torch.randn(SHAPE)], ids=["shape", "values"])
def test_weights_that_are_used_besides_keep_their_convolution(
    forward: Any, more: Any, reason: str, given: Any
) -> None:
    result = dscost.conversion(Doing(forward, **more), rank=99, min_channels=1, input=given)
    layers = {layer.name: layer for layer in result.layers}
    assert (layers["conv"].converted, layers["conv"].reason) == (False, reason)
    assert layers["other"].converted


@pytest.mark.parametrize("size", [1, 2, 3])
def test_a_function_of_one_size_of_batch_is_seen(size: int) -> None:
    class Choosing(nn.Conv2d):
        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x.relu() if x.shape[0] == size else x)

    (layer,) = dscost.conversion(nn.Sequential(Choosing(4, 8, 3)), rank=99, min_channels=1).layers
    assert not layer.converted


# -- from Python as on the command line


def test_a_forward_that_imports_what_lies_beside_it_is_converted(tmp_path: Any) -> None:
    (tmp_path / "beside_it.py").write_text("def double(x): return 2 * x\n", encoding="utf-8")
    (tmp_path / "net.py").write_text(
        "from torch import nn\n"
        "class Net(nn.Module):\n"
        "    def __init__(self):\n"
        "        super().__init__(); self.conv = nn.Conv2d(64, 64, 3)\n"
        "    def forward(self, x):\n"
        "        from beside_it import double\n"
        "        return double(self.conv(x))\n",
        encoding="utf-8",
    )
    target, shape = f"{tmp_path}/net.py:Net", (1, 64, 8, 8)
    assert dscost.conversion(target, input=shape).layers[0].converted
    assert dscost.plan(target, "macs=0.5x", input=shape).layers["conv"] == 3


def test_a_program_with_code_of_its_own_is_converted_only_on_trust(tmp_path: Any) -> None:
    path = tmp_path / "net.pt2"
    torch.export.save(
        torch.export.export(nn.Sequential(nn.Conv2d(64, 64, 3)), (torch.zeros(1, 64, 8, 8),)), path
    )
    with pytest.raises(TypeError, match="distrust"):
        dscost.convert(path, distrust=True)  # type: ignore[call-arg]
    assert isinstance(dscost.convert(path, trust=True), nn.Module)


def test_a_closure_that_holds_a_convolution_is_refused_by_name() -> None:
    module = Doing(lambda m, x: m.more["run"](x), run=lambda conv: lambda x: conv(x))
    with pytest.raises(InputError, match=r"^Doing runs 'conv' as before once converted"):
        dscost.convert(module, min_channels=1, input=SHAPE)
