"""What `dscost convert --save-code` writes, run in a process that cannot import dscost."""

import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from program import Ran, run
from torch import nn

from dscost.analysis import Request
from dscost.converting.convert import convert_target
from dscost.converting.reporting import ConvertedModel
from dscost.converting.saving import code_text, saved
from dscost.notation.literals import Reference

NETS = '''
import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.utils import parametrizations

def conv(**kwargs):
    return nn.Conv2d(32, 32, 3, padding=1, **kwargs)

def net(*layers):
    return nn.Sequential(*layers)

class EndPadded(nn.Conv2d):
    """Pads at the end, as torch cannot."""
    def forward(self, x):
        return F.conv2d(F.pad(x, (0, 1, 0, 1)), self.weight, self.bias, self.stride, 0)

class Same(nn.Conv2d):
    """Pads by the size of the input, as TensorFlow does."""
    def forward(self, x):
        sides = []
        for size, k, s in zip(x.shape[2:], self.kernel_size, self.stride):
            total = max(0, (-(-size // s) - 1) * s + k - size)
            sides = [total // 2, total - total // 2, *sides]
        return F.conv2d(F.pad(x, sides), self.weight, self.bias, self.stride)

class Standardised(nn.Conv2d):
    def forward(self, x):
        weight = self.weight - self.weight.mean((1, 2, 3), keepdim=True)
        return F.conv2d(x, weight, self.bias, self.stride, self.padding)

def end_padded(): return net(EndPadded(32, 32, 2), nn.ReLU(), conv(bias=False))
def same(): return net(Same(32, 32, 3, stride=2), conv())
def standardised(): return net(Standardised(32, 32, 3, padding=1), conv())
def parametrized(): return net(parametrizations.weight_norm(conv()), parametrizations.spectral_norm(conv()))
def grouped(): return net(nn.Conv2d(32, 64, (3, 1), groups=2, padding="same", padding_mode="reflect"))
def wide(): return net(nn.Conv3d(32, 32, (3, 1, 3), padding=(1, 0, 1)), nn.Conv3d(32, 64, 2, stride=2))
def long(): return net(nn.Conv1d(32, 64, 5, dilation=2))
def channels_last(): return net(conv(), nn.Conv2d(32, 7, 1)).to(memory_format=torch.channels_last)
def double(): return net(conv(), nn.BatchNorm2d(32)).double()
def frozen(): return net(conv().requires_grad_(False), conv())
def alone(): return conv()
def make(width, act=nn.ReLU): return net(nn.Conv2d(32, width, 3), act())

def hooked():
    model = net(conv(), conv())
    model[0].register_forward_hook(lambda module, args, result: 2 * result)
    return model

def shared():
    layer = conv()
    return net(layer, nn.ReLU(), layer)

def tied():
    first, norm, second = conv(), nn.BatchNorm2d(32), conv()
    second.weight, norm.bias = first.weight, first.bias
    return net(first, norm, second)

class Listed(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = [conv(), conv()]
        self.named = {"norm": nn.BatchNorm2d(32), "conv": conv()}
        self.held = nn.ModuleList([*self.layers, *self.named.values()])
    def forward(self, x):
        for layer in self.layers:
            x = layer(x)
        return self.named["conv"](self.named["norm"](x))

class Bound(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = conv()
        self.run = self.conv.forward
    def forward(self, x):
        return self.run(x)

class Made:
    @staticmethod
    def here(): return net(conv())

one = net(conv(), nn.ReLU())
'''
YAML = (
    "input: [3, 16, 16]\n"
    "layers: [{conv: 3, out_channels: 32}, {name: a, conv: 3, out_channels: 32}]\n"
)
IMAGE = (2, 32, 9, 9)
CASES: Mapping[str, tuple[str, tuple[int, ...], dict[str, Any]]] = {
    **{
        name: (f"nets.py:{name}", IMAGE, {})
        for name in (
            *("end_padded", "same", "standardised", "parametrized", "grouped", "channels_last"),
            *("double", "frozen", "alone", "hooked", "shared", "tied", "Made.here", "one"),
        )
    },
    "Listed": ("nets.py:Listed", IMAGE, {}),
    "wide": ("nets.py:wide", (2, 32, 4, 4, 4), {}),
    "long": ("nets.py:long", (2, 32, 20), {}),
    "arguments": ("nets.py:make", IMAGE, {"width": 40, "act": Reference("torch.nn", "SiLU")}),
    "package": ("pkg/sub/net.py:make", IMAGE, {}),
    "dotted": ("pkg.sub.net:make", IMAGE, {}),
    "source": ("inner.net:tied", IMAGE, {}),
    "hyphen": ("my-folder/my-net.py:shared", IMAGE, {}),
    "architecture": ("net.yaml", (2, 3, 16, 16), {}),
    "resnet18": ("resnet18", (1, 3, 64, 64), {}),
    "mobilenet": ("mobilenet_v3_small", (1, 3, 64, 64), {}),
}
MIRRORED = {
    f"{name}_mirrored": CASES[name]
    for name in (
        *("end_padded", "same", "grouped", "channels_last", "double", "frozen", "tied"),
        *("wide", "long", "architecture"),
    )
}
"""Pointwise-first, of rank 2."""
CASES = {**CASES, **MIRRORED}
RUNS = """
import importlib.util, json, sys
sys.modules["dscost"] = None
import torch
for name in json.loads(sys.argv[1]):
    spec = importlib.util.spec_from_file_location(f"code_{name}", f"out/{name}_code.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    model = module.make()
    model.load_state_dict(torch.load(f"out/{name}.pt"))
    with torch.no_grad():
        torch.save(model.eval()(torch.load(f"out/{name}.input")), f"out/{name}.result")
"""


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    return _filled(tmp_path, monkeypatch)


def _filled(folder: Path, patch: pytest.MonkeyPatch) -> Path:
    patch.chdir(folder)
    for path, text in {
        "nets.py": NETS,
        "my-folder/my-net.py": NETS,
        "net.yaml": YAML,
        "src/inner/net.py": NETS,
        "pkg/__init__.py": "",
        "pkg/sub/__init__.py": "",
        "pkg/layers.py": "from torch import nn\n\ndef conv(n):\n    return nn.Conv2d(n, 64, 3)\n",
        "pkg/sub/net.py": "from torch import nn\nfrom ..layers import conv\n\ndef make():\n    return nn.Sequential(conv(32))\n",
        "out/x": "",
    }.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text)
    return folder


def convert(name: str) -> ConvertedModel:
    target, shape, kwargs = CASES[name]
    dtype = {"input": torch.zeros(shape, dtype=torch.float64)} if "double" in name else {}
    request = Request(dtype.get("input", shape), kwargs=kwargs)
    how: dict[str, Any] = {"rank": 2, "order": "pointwise-first"} if name in MIRRORED else {}
    return convert_target(target, request, min_channels=8, **how)


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Any]:
    """Return for each case what the converted model returns, and what the code's model does without dscost."""
    found: dict[str, Any] = {}
    with pytest.MonkeyPatch.context() as patch:
        folder = _filled(tmp_path_factory.mktemp("code"), patch)
        for name in CASES:
            made = convert(name)
            (folder / f"out/{name}.pt").write_bytes(saved(made, Path("x.pt")).content)
            path = Path(f"out/{name}_code.py")
            text = code_text(made, path, f"{name}.pt")
            path.write_text(text)
            torch.manual_seed(1)
            x = torch.randn(CASES[name][1], dtype=torch.float64 if "double" in name else None)
            torch.save(x, f"out/{name}.input")
            with torch.no_grad():
                found[name] = text, made.module.eval()(x)
        subprocess.run(
            [sys.executable, "-c", RUNS, json.dumps(list(CASES))],
            check=True,
            cwd=folder,
            timeout=120,
        )
        return {
            name: (text, expected, torch.load(folder / f"out/{name}.result"))
            for name, (text, expected) in found.items()
        }


@pytest.mark.parametrize("name", CASES)
def test_code_makes_the_converted_model_where_there_is_no_dscost(
    results: Mapping[str, Any], name: str
) -> None:
    text, expected, found = results[name]
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4 * float(expected.abs().max()))
    assert "import dscost" not in text
    assert "from dscost" not in text
    assert "type: ignore" not in text


def test_code_reads_like_what_somebody_would_write(results: Mapping[str, Any]) -> None:
    text, _, _ = results["tied"]
    assert text.startswith("# Made by dscost convert 0.1.0; it will write over changes.\n")
    assert 'model.load_state_dict(torch.load("tied.pt"))' in text
    assert "Needs torch and nets.py, not dscost." in text
    assert text.endswith(
        "def make() -> nn.Module:\n"
        '    """Return the model with its cheaper convolutions and initial weights."""\n'
        "    model = tied()\n"
        '    put(model, "0", SeparableConv(32, 32, 3, padding=1))\n'
        '    put(model, "2", SeparableConv(32, 32, 3, padding=1))\n'
        '    tie(model, "2.depthwise.weight", "0.depthwise.weight")\n'
        '    tie(model, "2.pointwise.weight", "0.pointwise.weight")\n'
        '    tie(model, "1.bias", "0.pointwise.bias")\n'
        "    return model\n"
    )
    text, _, _ = results["architecture"]
    assert "Needs torch, not dscost." in text
    assert '("a", SeparableConv(32, 32, 3, padding=1), "conv1"),' in text
    text, _, _ = results["tied_mirrored"]
    assert text.endswith(
        '    put(model, "0", BlueprintConv(32, 32, 3, padding=1, depth_multiplier=2))\n'
        '    put(model, "2", BlueprintConv(32, 32, 3, padding=1, depth_multiplier=2))\n'
        '    tie(model, "2.pointwise.conv.weight", "0.pointwise.conv.weight")\n'
        '    tie(model, "2.depthwise.weight", "0.depthwise.weight")\n'
        '    tie(model, "1.bias", "0.depthwise.bias")\n'
        "    return model\n"
    )
    assert "class SeparableConv" not in text
    text, _, _ = results["source"]
    assert '(Path(__file__).resolve().parent / "../src").resolve()))  # finds inner.net' in text
    text, _, _ = results["arguments"]
    assert "from nets import make as make_of_nets" in text
    assert "model = make_of_nets(width=40, act=torch.nn.SiLU)" in text


def command(*arguments: str, cwd: Path) -> Ran:
    return run("convert", *arguments, "--input", "2,32,9,9", "-q", cwd=cwd)


def test_the_command_writes_code_over_its_own_and_over_nothing_else(here: Path) -> None:
    given = ["nets.py:shared", "--save-code", "cheap.py"]
    assert command(*given, "--save", "w.safetensors", cwd=here).returncode == 0
    assert 'safetensors.torch.load_file("w.safetensors")' in (here / "cheap.py").read_text()
    assert command(*given, cwd=here).returncode == 0
    assert 'torch.load("cheaper.pt")' in (here / "cheap.py").read_text()
    (here / "cheap.py").write_text("mine = 1\n")
    ran = command(*given, cwd=here)
    assert ran.returncode == 2
    told = "dscost: cannot write cheap.py: it is a program, which no result replaces\n"
    assert ran.stderr == told
    assert (here / "cheap.py").read_text() == "mine = 1\n"
    for file, why in {
        "nets.py": "nets.py is read as the target, a result would be written over it",
        "x.txt": "--save-code: code is written as .py, found 'x.txt'",
    }.items():
        ran = command("nets.py:shared", "--save-code", file, cwd=here)
        assert (ran.returncode, ran.stderr) == (2, f"dscost: {why}\n")
    assert (here / "nets.py").read_text() == NETS


def test_what_no_code_makes_is_refused_in_a_line_and_all_else_is_written(here: Path) -> None:
    instead = "; --save cheaper.pt2 saves all of it\n"
    ran = command("nets.py:Bound", "--save-code", "c.py", "--save", "c.pt", cwd=here)
    assert ran.returncode == 2
    assert ran.stderr == (
        "dscost: cannot write c.py: code with these layers does not make this model: "
        f"it returns something else{instead}"
    )
    assert "made depthwise-separable" in ran.stdout
    assert (here / "c.pt").exists()
    assert not (here / "c.py").exists()
    (here / "a.b.py").write_text(NETS)
    ran = command("a.b.py:shared", "--save-code", "c.py", cwd=here)
    assert "a.b.py:shared cannot be made by code: nothing can import it" in ran.stderr
    ran = command("nets.py:shared", "--save-code", "out/nets.py", cwd=here)
    assert "it would import itself for 'nets': give it another name" in ran.stderr


def test_a_program_has_no_code(here: Path) -> None:
    torch.export.save(
        torch.export.export(nn.Conv2d(32, 32, 3), (torch.zeros(2, 32, 9, 9),)), "p.pt2"
    )
    ran = command("p.pt2", "--save-code", "c.py", cwd=here)
    assert ran.returncode == 2
    assert len(ran.stderr.splitlines()) == 1
