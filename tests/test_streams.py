"""stdout belongs to the result, whatever is closed, full, or written by somebody else, in every locale."""

import io
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest
from forking import forked
from program import start

from dscost.cli.streams import _open_closed

DSCOST = str(Path(sys.executable).parent / "dscost")
LAYER = ["layer", "--cin", "8", "--cout", "8", "-k", "3", "--no-time"]
NET = "input: [3, 8, 8]\nlayers: [{conv: 3, out_channels: 4}]\n"
BUDGET = "version: 1\nmodels: [{name: é, target: net.yaml, limits: {macs: 1}}]\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "net.yaml").write_text(NET)
    (tmp_path / "dscost.yaml").write_text(BUDGET, encoding="utf-8")
    return tmp_path


def shell(line: str, folder: Path, **variables: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        ["bash", "-c", line.replace("dscost ", f"'{DSCOST}' ", 1)],
        cwd=folder,
        env={**os.environ, **variables},
        capture_output=True,
        stdin=subprocess.DEVNULL,
        timeout=60,
        check=False,
    )


# -- encodings

ENCODINGS = ["cp1252", "cp1252:strict", "ascii", "ascii:strict", "latin-1", "utf-16"]


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_json_on_stdout_is_utf_8_whatever_the_locale(encoding: str, folder: Path) -> None:
    done = shell(f"dscost {' '.join(LAYER)} --json", folder, PYTHONIOENCODING=encoding)
    assert json.loads(done.stdout.decode("utf-8"))["subjects"][0]["target"] == "Conv2d 8 → 8, 3×3"


@pytest.mark.parametrize("format_name", ["json", "junit", "sarif", "gitlab", "github", "markdown"])
def test_every_format_for_programs_is_utf_8(format_name: str, folder: Path) -> None:
    done = shell(f"dscost check --format {format_name}", folder, PYTHONIOENCODING="cp1252")
    assert "é" in done.stdout.decode("utf-8")
    if format_name == "junit":
        ElementTree.fromstring(done.stdout)


def test_a_saved_report_can_be_read_back_where_the_locale_has_no_arrow(folder: Path) -> None:
    done = shell(
        f"dscost {' '.join(LAYER)} --json > r.json; '{DSCOST}' compare r.json r.json",
        folder,
        PYTHONIOENCODING="cp1252",
    )
    assert (done.returncode, done.stderr) == (0, b"")


@pytest.mark.parametrize("encoding", ["cp1252", "ascii"])
def test_a_table_stays_readable_where_the_stream_has_no_such_character(
    encoding: str, folder: Path
) -> None:
    text = shell(f"dscost {' '.join(LAYER)}", folder, PYTHONIOENCODING=encoding).stdout.decode(
        encoding
    )
    assert "?" not in text
    assert "Conv2d 8 -> 8" in text
    assert re.search(r"(?m)^-{60,}$", text)
    if encoding == "ascii":
        assert "1/N + 1/K^2 = 1/8 + 1/9" in text
        assert "4.24x" in text


# -- streams that are closed or full


@pytest.mark.parametrize(
    "command",
    ["model net.yaml --no-time", "compare net.yaml net.yaml", "check --exit-zero", "list"],
)
def test_a_closed_stderr_changes_nothing(command: str, folder: Path) -> None:
    plain = shell(f"dscost {command}", folder)
    closed = shell(f"dscost {command} 2>&-", folder)
    assert (closed.returncode, closed.stdout) == (plain.returncode, plain.stdout)


def test_notes_never_reach_stdout_instead_of_a_closed_stderr(folder: Path) -> None:
    done = shell("dscost model net.yaml --no-time --json --export csv=x 2>&-", folder)
    assert json.loads(done.stdout)["command"] == "model"
    assert shell("dscost model nope.yaml 2>&-", folder).returncode == 2


def test_a_file_is_written_where_stdout_is_closed(folder: Path) -> None:
    done = shell("dscost model net.yaml --no-time -o x.json >&-", folder)
    assert (done.returncode, done.stderr) == (0, b"wrote x.json\n")
    assert json.loads((folder / "x.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("command", ["list", "model net.yaml --no-time", "schema report", "check"])
def test_a_result_without_a_stdout_is_one_line_and_exit_2(command: str, folder: Path) -> None:
    done = shell(f"dscost {command} >&-", folder)
    assert (done.returncode, done.stderr) == (2, b"dscost: cannot write the result: no stdout\n")


def test_all_closed_is_no_trouble(folder: Path) -> None:
    assert shell("dscost model net.yaml --no-time -o x.json >&- 2>&- <&-", folder).returncode == 0
    assert json.loads((folder / "x.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("closed", [(), (0,), (1,), (2,), (0, 1, 2)], ids=str)
def test_the_null_device_stands_where_a_standard_stream_is_closed(
    closed: tuple[int, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked, opened = [], []

    def fstat(number: int) -> None:
        asked.append(number)
        if number in closed:
            raise OSError

    monkeypatch.setattr(os, "fstat", fstat)
    monkeypatch.setattr(os, "open", lambda *given: opened.append(given))
    _open_closed()
    monkeypatch.undo()
    assert asked == [0, 1, 2]
    assert opened == [(os.devnull, os.O_RDWR)] * len(closed)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no full device")
@pytest.mark.parametrize(
    "command",
    [
        "list",
        "list variants",
        "--help",
        "layer --help",
        "-V",
        "schema report",
        "check",
        "device t4",
    ],
)
def test_a_full_stdout_is_one_line_and_exit_2(command: str, folder: Path) -> None:
    done = shell(f"dscost {command} > /dev/full", folder)
    assert (done.returncode, done.stderr) == (
        2,
        b"dscost: cannot write the result: No space left on device\n",
    )


# -- what others write

PRINTS = """
import atexit, os, subprocess, sys, threading
from torch import nn
os.write(1, b"descriptor\\n")
subprocess.run(["echo", "child"])
print("original", file=sys.__stdout__)
print("plain")
atexit.register(print, "at exit")
threading.Thread(target=print, args=("thread",)).start()
class Net(nn.Conv2d):
    def __init__(self): super().__init__(3, 8, 3)
    def forward(self, x):
        os.write(1, b"forward\\n")
        return super().forward(x)
def closes():
    sys.stdout.close(); sys.stderr.close(); return Net()
def replaces():
    sys.stdout = sys.stderr = None; return Net()
def forks():
    os.fork(); return Net()
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@pytest.mark.parametrize("factory", ["Net", "closes", "replaces", "forks"])
def test_nothing_that_a_model_does_to_stdout_reaches_the_result(factory: str, folder: Path) -> None:
    (folder / "noisy.py").write_text(PRINTS)
    command = f"model noisy.py:{factory} --input 1,3,8,8 --no-time --json".split()
    done = (start if factory == "Net" else forked)(*command, cwd=folder)
    assert done.returncode == 0
    assert json.loads(done.stdout)["subjects"][0]["totals"]["as_is"]["macs"] == 6 * 6 * 8 * 3 * 9
    if factory != "closes":
        said = {"descriptor", "child", "original", "plain", "forward", "thread", "exit"}
        assert said <= set(done.stderr.split())


def test_a_stream_of_somebody_elses_gets_the_result_as_it_is(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from dscost.cli import run

    stream = io.StringIO()
    monkeypatch.setattr("sys.stdout", stream)
    assert run([*LAYER, "--json"]) == 0
    assert json.loads(stream.getvalue())


# -- what nobody can catch

UNCAUGHT = """
import threading
from torch import nn

class InDel(nn.Conv2d):
    def __init__(self): super().__init__(3, 4, 3)
    def __del__(self): raise SystemExit(3)

def in_thread():
    for _ in range(3):
        thread = threading.Thread(target=lambda: 1 / 0)
        thread.start()
        thread.join()
    return nn.Conv2d(3, 4, 3)
"""


@pytest.mark.parametrize(
    ("factory", "told"),
    [("InDel", "SystemExit: 3"), ("in_thread", "ZeroDivisionError: division by zero")],
)
def test_what_a_model_raises_where_nobody_can_catch_it_is_one_line(
    factory: str, told: str, folder: Path
) -> None:
    (folder / "raises.py").write_text(UNCAUGHT)
    command = f"model raises.py:{factory} --input 1,3,8,8 --no-time".split()
    done = (start if factory == "InDel" else forked)(*command, "--json", cwd=folder)
    assert (done.returncode, json.loads(done.stdout)["subjects"][0]["target"]) == (
        0,
        f"raises.py:{factory}",
    )
    line = f"dscost: ignored, since it was raised where nothing waits for it: {told}"
    assert [one for one in done.stderr.splitlines() if told in one] == [line]
    assert "Traceback" not in done.stderr
    done = forked(*command, "-q", cwd=folder, env={"DSCOST_DEBUG": "1"})
    assert "Traceback" in done.stderr


@pytest.mark.usefixtures("forked_workers")
def test_nor_is_it_more_where_a_budget_runs_the_model(folder: Path) -> None:
    (folder / "raises.py").write_text(UNCAUGHT)
    models = ", ".join(
        f"{{target: 'raises.py:{name}', input: [1, 3, 8, 8], limits: {{macs: 1G}}}}"
        for name in ("InDel", "in_thread")
    )
    (folder / "dscost.yaml").write_text(f"version: 1\nmodels: [{models}]\n")
    done = forked("check", cwd=folder)
    assert (done.returncode, "Traceback" in done.stderr) == (0, False)
    assert "nothing waits for it: ZeroDivisionError: division by zero\n" in done.stderr


@pytest.mark.parametrize(
    ("command", "code"),
    [
        ("list formats", 0),
        ("check", 1),
        ("model no.yaml", 2),
        ("model raises.py:in_thread --input 1,3,8,8 --no-time", 0),
    ],
)
def test_a_python_that_would_go_on_by_itself_ends_with_the_code_of_the_command(
    command: str, code: int, folder: Path
) -> None:
    (folder / "raises.py").write_text(UNCAUGHT)
    done = shell(f"dscost {command}", folder, PYTHONINSPECT="1")
    assert done.returncode == code
    assert b"Traceback" not in done.stderr
    assert done.stdout or code == 2
