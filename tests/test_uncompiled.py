"""What does not compile leaves torch's compiler alone, which takes a second to import."""

import subprocess
import sys
from pathlib import Path

import torch
from torch._compile import _disable_dynamo

from dscost.foreign.uncompiled import compiler_unasked

NET = """
import torch
from torch import nn


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 64, 3)
        self.head = nn.Linear(64, 10)
        nn.init.kaiming_normal_(self.conv.weight)  # each runs on meta as Python of torch
        nn.init.trunc_normal_(self.head.weight)
        nn.init.orthogonal_(self.head.weight)

    def forward(self, x):
        x = torch.special.expit(self.conv(x)).mean((2, 3))
        return self.head(x * (x > 0.5).logical_or(x < 0.1))
"""
COMMANDS = (
    "model net.py:Net --input 1,3,8,8 --no-time",
    "model net.py:Net --input 1,3,8,8 --no-time --train",
    "model net.py:Net --input 1,3,8,8 --time-budget 0.2s",
    "verify net.py:Net --input 1,3,8,8",
    "convert net.py:Net --input 1,3,8,8",
    "verify resnet18",
)


def test_no_command_imports_the_compiler_where_nothing_compiles(tmp_path: Path) -> None:
    (tmp_path / "net.py").write_text(NET, encoding="utf-8")
    code = f"""
import sys
from dscost.cli import run
for command in {COMMANDS!r}:
    assert run(command.split()) == 0, command
    assert "torch._dynamo" not in sys.modules, command
"""
    ran = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stderr


def test_what_asks_the_compiler_asks_again_afterwards() -> None:
    code = """
import sys, torch
from dscost.foreign.uncompiled import compiler_unasked
with compiler_unasked():
    torch.empty(3, device="meta").normal_()
    assert "torch._dynamo" not in sys.modules
torch.empty(3, device="meta").normal_()
assert "torch._dynamo" in sys.modules
"""
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr


def test_a_function_that_was_exempted_before_stays_so() -> None:
    def plain() -> int:
        return 1

    asking = _disable_dynamo(plain)
    plain.__dynamo_disable = lambda: 2  # type: ignore[attr-defined]
    with compiler_unasked(asking):
        assert asking() == 2
    assert asking() == 2
    assert torch.empty(2, device="meta").normal_().is_meta
