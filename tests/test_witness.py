"""Whoever asks how others count gets the same report as before, and torch as it was."""

import contextlib
import json
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

import dscost
from dscost.cli import run
from dscost.errors import InputError
from dscost.reports.records import Report

NAMES = ("fvcore", "ptflops")
"""One that looks at operators, one that hangs on modules and replaces functions."""


class Runs(nn.Module):
    """A function of a layer and its input as a model."""

    def __init__(self, function: Callable[..., Any], layer: nn.Module | None = None) -> None:
        super().__init__()
        self.layer, self.function = layer or nn.Conv2d(3, 4, 3), function

    def forward(self, *tensors: Tensor, **named: Tensor) -> Any:
        return self.function(self.layer, *tensors, **named)


class Keywords(nn.Module):
    """Takes nothing by place, and calls its layers by name alone."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.act = nn.Conv2d(3, 4, 3), nn.ReLU()

    def forward(self, *, image: Tensor) -> Tensor:
        found: Tensor = self.act(input=self.conv(input=image))
        return found


class Recursive(nn.Module):
    """Calls itself, and holds itself."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 3, 1)
        self.__dict__["_modules"]["itself"] = self

    def forward(self, x: Tensor, depth: int = 2) -> Tensor:
        x = self.conv(x)
        return self(x, depth - 1) if depth else x


class Without(nn.Module):
    """A part that says to be nothing, as an empty list of modules does, or cannot say."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 3, 1)

    def __len__(self) -> int:
        raise RuntimeError("how long is a module")

    def forward(self, x: Tensor) -> Tensor:
        found: Tensor = self.conv(x)
        return found


class Settings(nn.Module):
    """Has attributes that no rule can want."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 3, 1)
        self.several: list[Any] = [1, [2, 3], torch.zeros(2), None]
        self.many = list(range(10**5))
        self.several.append(self.several)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("odd"):
            raise RuntimeError(name)
        return super().__getattr__(name)

    def forward(self, x: Tensor) -> Tensor:
        found: Tensor = self.conv(x)
        return found


class Same(Tensor):
    """A tensor of another class, which looks functions up by what they are."""

    @classmethod
    def __torch_function__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        func = KNOWN.get(func, func)
        return super().__torch_function__(func, types, args, kwargs or {})


def _relu_by_a_convolution(x: Tensor, inplace: bool = False) -> Tensor:
    return functional.conv2d(x, torch.ones(4, 4, 1, 1, device=x.device))


KNOWN: dict[Any, Any] = {functional.relu: _relu_by_a_convolution}


def _tied() -> nn.Module:
    first, second = nn.Conv2d(3, 3, 3, padding=1), nn.Conv2d(3, 3, 3, padding=1)
    second.weight = first.weight
    return nn.Sequential(first, nn.ReLU(), second, first, nn.Sequential(first, second))


def _hooked() -> nn.Module:
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 4, 3))
    model[0].register_forward_pre_hook(lambda module, args: (args[0] * 2,))
    model[1].register_forward_hook(lambda module, args, result: functional.relu(result))
    model[2].register_forward_hook(lambda *_: None, always_call=True)
    return model


def _caught(layer: nn.Module, x: Tensor) -> Tensor:
    with contextlib.suppress(RuntimeError):
        layer(x.flatten())
    result: Tensor = layer(x)
    return result


def _raises_in_a_function(layer: nn.Module, x: Tensor) -> Tensor:
    with contextlib.suppress(RuntimeError):
        functional.avg_pool2d(functional.relu(layer(x)), 99)
    return functional.relu(layer(x))


def _in_a_thread(layer: nn.Module, x: Tensor) -> Tensor:
    found: list[Tensor] = []
    threads = [threading.Thread(target=lambda: found.append(layer(x))) for _ in range(2)]
    for thread in threads:
        thread.start()
    found.append(layer(x))
    for thread in threads:
        thread.join()
    return functional.relu(found[-1])


def _differentiates(layer: nn.Module, x: Tensor) -> Tensor:
    with torch.enable_grad():
        x = x.requires_grad_()
        return torch.autograd.grad(functional.relu(layer(x)).sum(), x)[0]


def _switches(layer: nn.Module, x: Tensor) -> Tensor:
    layer.train()
    found: Tensor = layer(x) if x.mean() > 10 else functional.relu(layer(layer(x)[:, :3]))
    layer.eval()
    return found


def _compiles(layer: nn.Module, x: Tensor) -> Tensor:
    found: Tensor = torch.compile(lambda y: functional.relu(layer(y)), backend="eager")(x)
    return found


def _mapped(layer: nn.Module, x: Tensor) -> Any:
    return torch.func.vmap(lambda one: functional.relu(layer(one[None])[0]))(x)


def _functional_call(layer: nn.Module, x: Tensor) -> Any:
    values = {name: value * 2 for name, value in layer.named_parameters()}
    return torch.func.functional_call(layer, values, (x,))


def _checkpointed(layer: nn.Module, x: Tensor) -> Any:
    from torch.utils.checkpoint import checkpoint

    return checkpoint(layer, x, use_reentrant=False)


def _condition(layer: nn.Module, x: Tensor) -> Any:
    return torch.cond(x.sum() > 0, lambda y: layer(y), lambda y: functional.relu(layer(y)), (x,))


def _writes_in_place(layer: nn.Module, x: Tensor) -> Any:
    return functional.relu_(layer(x)).add_(1).mul_(2)


def _subclass(layer: nn.Module, x: Tensor) -> Any:
    return functional.relu(layer(x).as_subclass(Same))


def _analyses_another(layer: nn.Module, x: Tensor) -> Any:
    dscost.analyze(nn.Conv2d(3, 4, 3), (1, 3, 8, 8), convention=NAMES)
    return functional.relu(layer(x))


def _replaces_a_function(layer: nn.Module, x: Tensor) -> Any:
    before, functional.relu = functional.relu, functional.gelu  # type: ignore[assignment]
    try:
        return functional.relu(layer(x))
    finally:
        functional.relu = before


def _calls_forward(layer: nn.Module, x: Tensor) -> Any:
    return layer.forward(x)


def _looks(layer: nn.Module, x: Tensor) -> Any:
    found = layer(x)
    return found if found.sum().item() < 1e9 else found + 1


def _autocasts(layer: nn.Module, x: Tensor) -> Any:
    with torch.autocast("cpu", torch.bfloat16):
        return functional.relu(layer(x))


def _scripted() -> nn.Module:
    return torch.jit.script(nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU()))


def _partly_scripted() -> nn.Module:
    return nn.Sequential(_scripted(), nn.ReLU())


IMAGE = (2, 3, 8, 8)
ODD: dict[str, tuple[Callable[[], nn.Module], Any]] = {
    "keywords alone": (Keywords, {"image": IMAGE}),
    "recursive": (Recursive, IMAGE),
    "no length": (Without, IMAGE),
    "a part without length": (lambda: nn.Sequential(Without(), nn.Sequential()), IMAGE),
    "odd settings": (Settings, IMAGE),
    "tied": (_tied, IMAGE),
    "hooked": (_hooked, IMAGE),
    "an error is caught": (lambda: Runs(_caught), IMAGE),
    "an error within functions is caught": (lambda: Runs(_raises_in_a_function), IMAGE),
    "threads": (lambda: Runs(_in_a_thread), IMAGE),
    "gradients": (lambda: Runs(_differentiates), IMAGE),
    "switches by values": (lambda: Runs(_switches), IMAGE),
    "compiles": (lambda: Runs(_compiles), IMAGE),
    "vmap": (lambda: Runs(_mapped), IMAGE),
    "functional call": (lambda: Runs(_functional_call), IMAGE),
    "checkpoint": (lambda: Runs(_checkpointed), IMAGE),
    "condition": (lambda: Runs(_condition), IMAGE),
    "in place": (lambda: Runs(_writes_in_place), IMAGE),
    "a tensor of another class": (lambda: Runs(_subclass), IMAGE),
    "analyses another": (lambda: Runs(_analyses_another), IMAGE),
    "replaces a function": (lambda: Runs(_replaces_a_function), IMAGE),
    "calls a forward": (lambda: Runs(_calls_forward), IMAGE),
    "autocast": (lambda: Runs(_autocasts), IMAGE),
    "scripted": (_scripted, IMAGE),
    "partly scripted": (_partly_scripted, IMAGE),
    "a list of modules": (lambda: Runs(lambda layers, x: layers[0](x), nn.ModuleList([nn.ReLU()])), IMAGE),
    "lazy": (lambda: nn.Sequential(nn.LazyConv2d(4, 3), nn.LazyBatchNorm2d(), nn.ReLU()), IMAGE),
    "data parallel": (lambda: nn.DataParallel(nn.Conv2d(3, 4, 3)), IMAGE),
    "compiled": (lambda: torch.compile(nn.Conv2d(3, 4, 3), backend="eager"), IMAGE),
    "weight norm": (lambda: nn.utils.parametrizations.weight_norm(nn.Conv2d(3, 4, 3)), IMAGE),
    "spectral norm": (lambda: nn.utils.spectral_norm(nn.Conv2d(3, 4, 3)), IMAGE),
    "LSTM": (lambda: nn.LSTM(8, 8), (3, 2, 8)),
    "attention": (lambda: nn.TransformerEncoderLayer(8, 2, 16, batch_first=True), (2, 3, 8)),
    "attention for real": (
        lambda: Runs(_looks, nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)),
        (2, 3, 8),
    ),
    "quantised": (
        lambda: torch.ao.quantization.quantize_dynamic(
            nn.Sequential(nn.Linear(8, 8)), {nn.Linear}, dtype=torch.qint8
        ),
        (2, 8),
    ),
    "without layers": (lambda: Runs(lambda _, x: x), IMAGE),
}  # fmt: skip


def _without_conventions(report: Report) -> Report:
    layers = tuple(layer._replace(by_convention={}) for layer in report.layers)
    return report._replace(layers=layers, by_convention={}, conventions={})


def _of_torch() -> list[Any]:
    """Return what a witness changes of torch, while it watches."""
    from torch.nn.modules import module

    found = [vars(functional)[name] for name in ("relu", "avg_pool2d", "linear", "gelu")]
    hooks = [
        value
        for name, value in vars(module).items()
        if name.startswith("_global") and isinstance(value, dict)
    ]
    own = sorted(name for name in vars(torch.Tensor))
    return [*found, *map(dict, hooks), own, torch.backends.mha.get_fastpath_enabled()]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("make", "input"), ODD.values(), ids=ODD)
def test_conventions_change_nothing_of_a_report(make: Callable[[], nn.Module], input: Any) -> None:
    before = _of_torch()
    plain = dscost.analyze(make(), input)
    asked = dscost.analyze(make(), input, convention=NAMES)
    assert _without_conventions(asked)._replace(warnings=plain.warnings) == plain
    further = asked.warnings[len(plain.warnings) :]
    assert asked.warnings == (*plain.warnings, *further)
    told = ("Parts of the model ran in threads", "Other counters see little of TorchScript")
    assert all(one.startswith(told) for one in further)
    assert set(asked.by_convention) == {"fvcore-0.1.5", "ptflops-0.7.5"}
    assert _of_torch() == before


@pytest.mark.parametrize("target", ["mobilenet_v2", "resnet18"])
def test_conventions_change_nothing_of_a_built_in(target: str) -> None:
    plain = dscost.analyze(target, (1, 3, 32, 32))
    asked = dscost.analyze(target, (1, 3, 32, 32), convention=NAMES)
    assert _without_conventions(asked) == plain


def _fails(layer: nn.Module, x: Tensor) -> Tensor:
    functional.relu(layer(x))
    raise ValueError("no such thing")


def test_torch_is_as_before_after_a_model_has_failed() -> None:
    before = _of_torch()
    with pytest.raises(InputError, match="no such thing"):
        dscost.analyze(Runs(_fails), IMAGE, convention=NAMES)
    assert _of_torch() == before


@pytest.mark.parametrize("name", ["torch.device", "torch.nn", "torch.Tensor.grad", "torch.nope"])
def test_what_is_no_function_is_left_as_it_is(name: str, tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(
        "title: Mine\ncounts: FLOPs\nmeans: ReLU.\nsource: me\nrules:\n"
        f"  - {{functions: [{name}, torch.nn.functional.relu], counts: {{inputs: 1}}}}\n"
    )

    def forward(layer: nn.Module, x: Tensor) -> Tensor:
        assert isinstance(x.device, torch.device)
        return torch.nn.functional.relu(layer(x))

    report = dscost.analyze(Runs(forward), input=(1, 3, 5, 5), convention=str(path))
    assert report.by_convention["mine"]["as_is"] == 4 * 3 * 3


def test_what_others_count_is_the_same_in_a_process_of_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    code = "from torch import nn\ndef make():\n    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU())\n"
    (tmp_path / "net.py").write_text(code)
    monkeypatch.chdir(tmp_path)
    words = ["net.py:make", "--input", "1,3,6,6", "--no-time", "--convention", "ptflops", "--json"]
    assert run(["model", *words, "--isolate"]) == 0
    data = json.loads(capsys.readouterr().out)
    # the convolution with its bias, and a ReLU as a module and as a function
    assert (
        data["subjects"][0]["by_convention"]["ptflops-0.7.5"]["as_is"] == 16 * 4 * 27 + 64 + 2 * 64
    )
