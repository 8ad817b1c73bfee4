"""Ctrl-C and SIGTERM at every moment: 130 with one line, or killed as ever; nobody is left behind."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from dscost.cli.signals import ECHO_S, Signals

DSCOST = str(Path(sys.executable).parent / "dscost")

pytestmark = pytest.mark.skipif(os.name != "posix", reason="this system has no such signals")

SLOW = "import time\ndef make():\n    print('begun', flush=True)\n    time.sleep(60)\n"


def start(*arguments: str, folder: Path | None = None) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [DSCOST, *arguments],
        cwd=folder,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def test_ctrl_c_while_modules_load_is_one_line_and_130() -> None:
    """Before typer and the rest are there; the interpreter itself takes its time before it asks us."""
    code = (
        "import os, signal, sys\n"
        "class Interrupts:\n"  # in the middle of the first heavy import
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name == 'typer': os.kill(os.getpid(), signal.SIGINT)\n"
        "sys.meta_path.insert(0, Interrupts())\n"
        "from dscost.cli import main\n"
        "main(['list'])\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "interrupted\n")


@pytest.mark.parametrize("command", ["model", "check"])
def test_ctrl_c_in_a_models_code_ends_all_of_it(command: str, tmp_path: Path) -> None:
    with started_slow(command, tmp_path) as process:
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=20)
    assert (process.returncode, out) == (130, "")
    assert err.splitlines()[-1:] == ["interrupted"]
    assert "Traceback" not in err
    assert not still_running(tmp_path)


@pytest.mark.parametrize("command", ["model", "check"])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_killed_command_leaves_nobody_behind(number: int, command: str, tmp_path: Path) -> None:
    with started_slow(command, tmp_path) as process:
        process.send_signal(number)
        process.wait(timeout=20)
    assert process.returncode == -number
    for _ in range(100):
        if not still_running(tmp_path):
            break
        time.sleep(0.05)
    assert not still_running(tmp_path)


def started_slow(command: str, folder: Path) -> subprocess.Popen[str]:
    """Start a command that hangs in a model's code, and return when it does."""
    (folder / "slow.py").write_text(SLOW)
    (folder / "slow.yaml").write_text(
        "version: 1\nmodels: [{target: 'slow.py:make', input: [1, 3], limits: {macs: 1}}]\n"
    )
    given = (
        ["check", "slow.yaml"]
        if command == "check"
        else ["model", "slow.py:make", "--input", "1,3", "--no-time"]
    )
    process = start(*given, folder=folder)
    assert process.stderr is not None
    assert process.stderr.readline() == "begun\n"
    return process


def still_running(folder: Path) -> list[str]:
    """Return the processes that work in a folder."""
    found = []
    for place in Path("/proc").glob("[0-9]*/cwd") if sys.platform == "linux" else ():
        try:
            if (
                place.resolve() == folder.resolve()
                and "Z" not in (place.parent / "stat").read_text().split()[2]
            ):
                found.append(place.parent.name)
        except OSError:  # it has ended meanwhile
            continue
    return found


def test_a_second_ctrl_c_ends_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    ended = []
    monkeypatch.setattr("os._exit", ended.append)
    monkeypatch.setattr("os.write", lambda number, text: ended.append(text))
    signals = Signals()
    with signals.unwinding():
        with pytest.raises(KeyboardInterrupt):
            signals._receive(signal.SIGINT, None)
        signals._receive(signal.SIGINT, None)  # the same press, passed on by the process that waits
        assert ended == []
        time.sleep(ECHO_S)
        signals._receive(signal.SIGINT, None)
    assert ended == [b"interrupted\n", 130]


def test_ctrl_c_that_somebody_swallows_exits_130_all_the_same() -> None:
    code = (
        "import os, signal, dscost.cli.layer as layer\n"
        "def swallows(**_):\n"
        "    try: os.kill(os.getpid(), signal.SIGINT)\n"
        "    except KeyboardInterrupt: raise ValueError('what interrupt?')\n"
        "layer.count_layer = swallows\n"
        "from dscost.cli import main\n"
        "main(['layer', '--cin', '8', '--cout', '8', '-k', '3', '--no-time'])\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 130
    assert done.stderr.splitlines()[-1] == "interrupted"
