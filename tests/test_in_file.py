"""Which models a file of Python has, and which of them is meant by the file alone; nothing is run."""

import ast
from pathlib import Path

import pytest

from dscost.errors import InputError
from dscost.sources import named
from dscost.sources.in_file import models_in

IMPORTS = """
import torch, timm, torchvision
import torch.nn as nn
import torchvision.models as models
from torch import nn as layers
from torch.nn import Module, Sequential
from torch.utils.data import Dataset
from pytorch_lightning import LightningModule
from .blocks import Base
"""
FORWARD = "    def forward(self, x): return x"


def names(code: str) -> list[str]:
    return list(models_in(ast.parse(IMPORTS + code)))


@pytest.mark.parametrize(
    "code",
    [
        "class Net(nn.Module): pass",
        "class Net(torch.nn.Module): pass",
        "class Net(layers.Module): pass",
        "class Net(Module): pass",
        "class Net(Sequential): pass",
        "class Net(nn.Conv2d): pass",
        "class Net(LightningModule): pass",
        f"class Net(Base):\n{FORWARD}",
        "if torch.cuda.is_available():\n    class Net(nn.Module): pass",
        "try:\n    import fast\nexcept ImportError:\n    class Net(nn.Module): pass",
        "def Net(): return nn.Sequential(nn.ReLU())",
        "def Net(): return models.resnet18()",
        "def Net(): return torchvision.models.resnet18(weights=None).eval()",
        "def Net(): return timm.create_model('resnet18')",
        "def Net() -> nn.Module:\n    return build()",
        "def Net() -> 'nn.Module':\n    return build()",
        "def Net(x=1):\n    net = nn.Sequential()\n    if x:\n        return net.eval()\n    return None",
        "Net = nn.Sequential(nn.ReLU())",
        "Net: nn.Module = nn.Sequential(nn.ReLU())",
    ],
)
def test_what_is_a_model_or_makes_one_is_seen(code: str) -> None:
    assert names(code) == ["Net"]


@pytest.mark.parametrize(
    "code",
    [
        "class Net: pass",
        f"class Net:\n{FORWARD}",
        "class Net(Base): pass",
        "class Net(Dataset): pass",
        f"class Net(torch.autograd.Function):\n{FORWARD}",
        "class _Net(nn.Module): pass",
        "def Net(): return 3",
        "def Net() -> int:\n    return nn.ReLU()",
        "def Net():\n    def inner(): return nn.ReLU()\n    return inner",
        "Net = nn.Parameter(torch.zeros(3))",
        "Net = nn.functional.relu",
        "Net = torch.zeros(3)",
        "if __name__ == '__main__':\n    Net = nn.ReLU()",
    ],
)
def test_what_is_none_is_not(code: str) -> None:
    assert names(code) == []


def test_the_order_is_that_of_the_file_and_a_base_may_stand_behind() -> None:
    code = "def make(): return Net()\nclass Net(Late): pass\nclass Late(nn.Module): pass"
    assert names(code) == ["make", "Net", "Late"]


PART = "class Part(nn.Module):\n    def __init__(self, width): pass\n"


@pytest.mark.parametrize(
    ("code", "kwargs", "taken"),
    [
        ("class Net(nn.Module): pass", (), "Net"),
        (f"{PART}class Net(nn.Module):\n    def __init__(self): self.part = Part(8)", (), "Net"),
        (f"{PART}class Net(nn.Module):\n    part = Part", (), "Net"),
        # a factory that makes it is the whole
        (f"{PART}def make(): return Part(8)", (), "make"),
        (f"{PART}net = Part(8)", (), "net"),
        # alone, whatever it needs: what is missing is told when it is made
        (PART, (), "Part"),
        # of several, the one that the arguments make
        (f"{PART}class Net(nn.Module): pass", (), "Net"),
        (f"{PART}class Net(nn.Module):\n    def __init__(self): pass", ("width",), "Part"),
        (f"{PART}class Net(Part): pass\nclass Other(nn.Module): pass", (), "Other"),
        (
            "def small(*, width): return nn.ReLU()\ndef large(**kwargs): return nn.ReLU()",
            (),
            "large",
        ),
    ],
)
def test_the_model_that_a_file_alone_means(
    code: str, kwargs: tuple[str, ...], taken: str, tmp_path: Path
) -> None:
    path = tmp_path / "net.py"
    path.write_text(IMPORTS + code)
    assert named(path, kwargs) == f"{path}:{taken}"
    assert named("net.py", kwargs, tmp_path) == f"net.py:{taken}"


@pytest.mark.parametrize(
    ("code", "told"),
    [
        (
            "class Small(nn.Module): pass\nclass Large(nn.Module): pass",
            "net.py has 2 models, Small, Large: name one, such as net.py:Small",
        ),
        (
            f"{PART}def small(): return Part(1)\ndef large(): return Part(2)",
            "net.py has 2 models, small, large (parts of these: Part): name one, such as net.py:small",
        ),
        (
            "\n".join(f"class Net{number}(nn.Module): pass" for number in range(10)),
            "net.py has 10 models, Net0, Net1, Net2, Net3, Net4, Net5, Net6, Net7 and 2 more: "
            "name one, such as net.py:Net0",
        ),
        (
            "x = 3",
            "net.py: no model is seen in it: expected a class that derives from nn.Module, "
            "or a function that returns one; any other is given as net.py:NAME",
        ),
        (
            "class Net(",
            "net.py cannot be read as Python: SyntaxError: '(' was never closed",
        ),
    ],
)
def test_several_models_are_named_and_none_is_told(code: str, told: str, tmp_path: Path) -> None:
    (tmp_path / "net.py").write_text(IMPORTS + code)
    with pytest.raises(InputError) as caught:
        named("net.py", folder=tmp_path)
    assert str(caught.value).partition(" (net.py, line ")[0] == told


def test_a_file_that_is_not_there_is_told_and_other_targets_are_left() -> None:
    with pytest.raises(InputError, match=r"^cannot read no/such\.py: no such file$"):
        named("no/such.py")
    for target in ("resnet18", "net.py:Net", "net.yaml", "timm:resnet18"):
        assert named(target) == target
