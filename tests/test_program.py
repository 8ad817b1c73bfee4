"""A command line that runs in a test's process says what one in its own process says, and leaves nothing behind."""

import os
import sys
from pathlib import Path
from types import SimpleNamespace

import conftest
import pytest
import torch
from program import run, start

from dscost import cli

NET = """\
import warnings
import torch

def make():
    print("making")
    warnings.warn("it is old")
    return torch.nn.Conv2d(3, {channels}, 1, bias=False)
"""
LAYER = ("layer", "--cin", "8", "--cout", "8", "-k", "3", "--no-time")
FOREIGN = ("model", "net.py:make", "--input", "1,3,8,8", "--no-time")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "net.py").write_text(NET.format(channels=4))
    (tmp_path / "net.yaml").write_text("input: [3, 8, 8]\nlayers:\n  - {conv: 3}\n")
    return tmp_path


@pytest.mark.parametrize(
    ("arguments", "env"),
    [
        pytest.param((), {}, id="help"),
        pytest.param(LAYER, {}, id="a table"),
        pytest.param((*LAYER, "--json"), {}, id="JSON"),
        pytest.param(LAYER, {"FORCE_COLOR": "1", "COLUMNS": "60"}, id="colours"),
        pytest.param((*LAYER, "--strid", "2"), {}, id="a wrong option"),
        pytest.param(("model", "net.yaml"), {}, id="mistakes in a file"),
        pytest.param(FOREIGN, {}, id="code that prints and warns"),
        pytest.param((*FOREIGN, "--kwargs", "a=1"), {}, id="code that raises"),
    ],
)
def test_a_run_here_is_a_run_in_a_process(
    folder: Path, arguments: tuple[str, ...], env: dict[str, str]
) -> None:
    here, there = (one(*arguments, cwd=folder, env=env) for one in (run, start))
    assert (here.returncode, here.stdout) == (there.returncode, there.stdout)
    assert sorted(here.stderr.splitlines()) == sorted(there.stderr.splitlines())


def test_a_run_leaves_the_process_as_it_was(folder: Path) -> None:
    def state() -> list[object]:
        return [Path.cwd(), dict(os.environ), list(sys.path), sys.stdin, torch.get_num_threads()]

    (folder / "left.py").write_text(
        "import os, sys, torch\nos.environ['LEFT'] = 'x'\nsys.path.append('/nowhere')\nos.chdir('/')\n"
        "torch.set_num_threads(torch.get_num_threads() + 1)\ndef make(): return torch.nn.Conv2d(3, 4, 1)\n"
    )
    before = state()
    assert run("model", "left:make", "--input", "1,3,8,8", "--no-time", cwd=folder).returncode == 0
    assert state() == before
    assert "left" not in sys.modules


def test_modules_of_one_name_are_each_their_folders(tmp_path: Path) -> None:
    for channels in (4, 5):
        folder = tmp_path / str(channels)
        folder.mkdir()
        (folder / "net.py").write_text(NET.format(channels=channels))
        ran = run("model", "net:make", *FOREIGN[2:], "--json", cwd=folder)
        assert f'"macs": {8 * 8 * 3 * channels}' in ran.stdout


def test_quick_tests_are_there() -> None:
    tests = Path(__file__).parent
    assert [name for name in conftest.QUICK if not (tests / f"test_{name}.py").is_file()] == []


@pytest.mark.parametrize(
    ("raised", "said"),
    [
        (KeyboardInterrupt(), ""),  # of code of somebody's: no signal has come in
        (RuntimeError("no idea"), "no idea"),
        (SystemExit(1), ""),
        (MemoryError(), "MemoryError"),
    ],
)
def test_whatever_ends_the_program_is_no_violation_of_a_budget(
    raised: BaseException,
    said: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def fail(arguments: list[str]) -> int:
        raise raised

    codes: list[int] = []
    monkeypatch.setattr(cli, "_own", fail)
    monkeypatch.setattr(cli, "finish", codes.append)
    monkeypatch.setattr(cli.signals, "take_over", lambda: None)
    monkeypatch.setattr(cli, "gc", SimpleNamespace(freeze=lambda: None))
    with pytest.raises(SystemExit) as ended:
        cli.main([])
    assert (ended.value.code, codes) == (2, [2])
    assert said in capsys.readouterr().err
