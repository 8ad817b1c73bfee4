"""What moves on a terminal while something takes its time, and only there."""

import os
import re
import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch  # noqa: F401 - forked processes have it
from forking import forked_workers
from terminals import GATED, on_terminal

import dscost
from dscost.analysis import measure_layer
from dscost.cli.progress import DELAY_S, ProgressLine, _Noticing, fitting, rows_of
from dscost.timing import Timed, TimingOptions, part_of

pytestmark = pytest.mark.skipif(os.name != "posix", reason="this system has no pty")


class Line:
    """A line on a terminal of its own, on made-up time."""

    def __init__(self, width: int = 80, encoding: str | None = None) -> None:
        self.now_s, self.written = 0.0, list[str]()
        self.line = ProgressLine(
            self.written.append, lambda: width, encoding, clock=lambda: self.now_s
        )

    def after(self, seconds: float, act: Callable[[], object] | None = None) -> list[str]:
        """Let time pass, and return what was drawn by an action, or by the clock alone."""
        self.now_s += seconds
        self.written.clear()
        (act or self.line.tick)()
        return [text.replace("\r\x1b[K", "").removesuffix("\r") for text in self.written]


def test_what_is_over_at_once_needs_no_line() -> None:
    line = Line()
    assert line.after(0.01, lambda: line.line(None, "loading net")) == []
    assert line.after(DELAY_S / 2) == []
    line.line.end()
    assert line.written == []


def test_a_line_says_what_is_done_and_moves() -> None:
    line = Line()
    line.line(None, "tracing net")
    drawn = [line.after(0.2) for _ in range(3)]
    assert drawn == [["⠙ tracing net"], ["⠹ tracing net"], ["⠸ tracing net"]]
    assert line.after(2.0) == ["⠼ tracing net, 3 s"]
    assert line.after(0.2, lambda: line.line(None, "summing up")) == ["⠴ summing up"]


def test_a_bar_shows_the_share_that_is_done() -> None:
    line = Line()
    assert line.after(1, lambda: line.line(0.25, "counting net")) == [
        f"⠙ {'━' * 5}{'╌' * 14}  25% counting net"  # a quarter of 79 characters at most
    ]
    assert line.after(1) == [f"⠹ {'━' * 5}{'╌' * 14}  25% counting net, 1 s"]  # it moves, too
    (full,) = line.after(1, lambda: line.line(7.0, "counting net"))
    assert full.startswith("⠸ " + "━" * 19 + " 100%")


def test_nothing_is_drawn_while_something_is_timed() -> None:
    line = Line()
    assert line.after(1, lambda: line.line(0.5, Timed("timing stem"))) != []
    assert line.after(0.5) == line.after(9.0) == []
    assert line.after(0.1, lambda: line.line(0.6, Timed("timing head"))) != []
    assert line.after(0.1, lambda: line.line(0.6, "summing up")) != []
    assert line.after(0.2) != []  # now it moves again


def test_a_long_line_keeps_its_end_and_is_never_two() -> None:
    line = Line(width=40)
    (drawn,) = line.after(1, lambda: line.line(None, "tracing " + "a" * 40 + ".py:Net"))
    assert len(drawn) == 39
    assert re.fullmatch(r"⠙ …a+\.py:Net", drawn)
    (drawn,) = line.after(1, lambda: line.line(None, "tracing " + "\u5c64" * 40))
    assert rows_of(drawn, 40) == 1  # each of them is two characters wide


def test_a_line_is_drawn_in_what_the_terminal_has() -> None:
    line = Line(encoding="ascii")
    assert line.after(1, lambda: line.line(None, "tracing 3×3")) == ["/ tracing 3x3"]
    (bar,) = line.after(1, lambda: line.line(0.5, "tracing 3×3\x1b[2J"))
    assert bar.isascii()
    assert "\\x1b[2J" in bar  # what others have named draws nothing


def test_a_library_is_named_before_its_import_keeps_everybody_waiting(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "timm.py").write_text("drawn = list(__import__('sys').line.written)\n")
    line = Line()
    line.line(None, "loading net")
    monkeypatch.setattr(sys, "line", line, raising=False)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setitem(sys.modules, "timm", None)  # and whatever it is afterwards
    del sys.modules["timm"]
    monkeypatch.setattr(sys, "meta_path", [_Noticing(line.line.importing), *sys.meta_path])
    import timm

    assert timm.drawn == ["\r\x1b[K⠙ importing timm\r"]
    assert line.after(1) == ["⠹ loading net, 1 s"]


def test_a_library_that_is_only_looked_for_is_not_said_to_be_imported(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "timm.py").write_text("")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setitem(sys.modules, "timm", None)
    del sys.modules["timm"]
    told: list[str] = []
    monkeypatch.setattr(sys, "meta_path", [_Noticing(told.append), *sys.meta_path])
    assert find_spec("timm") is not None
    assert told == []
    import timm  # noqa: F401

    assert told == ["timm"]


def test_what_is_written_meanwhile_has_the_place_of_the_line() -> None:
    line = Line()
    line.after(1)
    line.written.clear()
    with line.line.aside():
        assert line.written == ["\r\x1b[K"]
    line.line.end()
    assert line.after(9.0) == []  # it is over


def test_what_a_model_prints_stands_above_the_line(tmp_path: Path) -> None:
    (tmp_path / "net.py").write_text(TALKS + GATED)
    with on_terminal(*f"model {NET} --no-time".split(), cwd=tmp_path) as terminal:
        terminal.until("again\n")
        terminal.until("Net\r\r\x1b[K")  # the line moves again
        (tmp_path / "gate").touch()
        drawn = terminal.to_the_end()
        assert terminal.code == 0
    before, _, after = drawn.partition("hello, ")
    assert before.endswith("\r\x1b[K")  # the line is gone before
    assert after.startswith("again\n")  # and does not come back in the middle


TALKS = """
import sys, time
time.sleep(0.4)
print("hello,", end=" ")
sys.stdout.flush()
time.sleep(0.4)
print("again", file=sys.stderr)
"""


def test_a_process_that_a_model_forks_draws_nothing() -> None:
    line = Line()
    with line.line.aside():  # the other thread draws, and is not there after the fork
        line.line.forget()
        assert line.after(9.0) == []
        assert line.after(9.0, lambda: line.line.importing("torch")) == []


def test_a_page_is_shown_as_far_as_it_fits() -> None:
    text = "a\n" + "b" * 25 + "\nc\nd\n"
    assert fitting(text, width=10, height=5) == ("a\n" + "b" * 25 + "\nc\n", 5)
    assert fitting(text, width=10, height=3) == ("a\n", 1)
    assert fitting(text, width=80, height=9) == (text, 4)
    assert rows_of("\x1b[1m" + "b" * 10 + "\x1b[0m", 10) == 1


def test_a_part_of_the_work_is_a_part_of_the_bar() -> None:
    told: list[tuple[float | None, str]] = []
    half = part_of(lambda share, doing: told.append((share, doing)), 0.5, 1.0)
    half(None, "loading")
    half(0.5, Timed("timing"))
    assert told == [(0.5, "loading"), (0.75, "timing")]
    assert isinstance(told[1][1], Timed)


def test_measuring_tells_what_is_timed_and_that_it_is() -> None:
    told: list[tuple[float | None, str]] = []
    report = dscost.layer(8, 8, 3)
    options = TimingOptions(budget_s=0.2)
    measure_layer(report, options, None)  # importing torch takes all of the time
    measure_layer(report, options, lambda share, doing: told.append((share, doing)))
    kinds = {doing.split()[0]: isinstance(doing, Timed) for _, doing in told}
    assert kinds.items() >= {"preparing": False, "timing": True, "summing": False}.items()
    assert any(re.fullmatch(r"timing cpu, up to 1 s left", doing) for _, doing in told)
    assert all(share is not None and 0 <= share <= 1 for share, _ in told)


# -- on a terminal

NET = "net.py:Net --input 1,32,8,8"
BUDGET = "version: 1\nmodels: [{target: 'net.py:Net', input: [1, 32, 8, 8], limits: {macs: 1G}}]\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "net.py").write_text(GATED)
    (tmp_path / "dscost.yaml").write_text(f"baseline: kept.json\n{BUDGET}")
    return tmp_path


@pytest.mark.parametrize(
    "command",
    [
        f"model {NET} --no-time",
        "compare net.py:Net resnet18 --input 1,32,8,8",
        f"convert {NET}",
        f"verify {NET}",
        "check --no-isolate",
        f"init {NET} -o new.yaml",
    ],
)
def test_something_moves_while_a_model_is_made(command: str, folder: Path) -> None:
    with on_terminal(*command.split(), cwd=folder) as terminal:
        drawn = terminal.until("net.py:Net\r")  # the model is not there yet: its gate is closed
        terminal.until(f"{drawn}\r\x1b[K")  # and once more
        (folder / "gate").touch()
        after = terminal.to_the_end().removeprefix(drawn)
        assert terminal.code in (0, 2)
    assert re.search(r"loading \S*net\.py:Net\r", drawn)
    lines = after.rpartition("\r\x1b[K")[2]  # it is gone before the result is there
    assert "⠙" not in lines
    assert "\r" not in lines


@pytest.mark.parametrize("command", ["check", "baseline save"])
def test_something_moves_while_a_model_is_made_in_a_process_of_its_own(
    command: str, folder: Path
) -> None:
    with on_terminal(
        *command.split(), cwd=folder, around=lambda: forked_workers().__enter__()
    ) as terminal:
        terminal.until("net.py:Net\r")
        (folder / "gate").touch()
        terminal.to_the_end()
        assert terminal.code == 0
    assert "NameError" not in terminal.drawn


@pytest.mark.parametrize(
    ("more", "env"),
    [("-q", {}), ("", {"TERM": "dumb"}), ("", {"JPY_PARENT_PID": "1"})],
    ids=["quiet", "dumb", "notebook"],
)
def test_nothing_moves_where_nobody_wants_it(more: str, env: dict[str, str], folder: Path) -> None:
    (folder / "net.py").write_text(GATED.replace("while", "time.sleep(0.5)\nwhile False and"))
    command = f"model {NET} --no-time --color never {more}"
    with on_terminal(*command.split(), cwd=folder, env=env) as terminal:
        drawn = terminal.to_the_end()
        assert terminal.code == 0
    assert "\x1b" not in drawn
    assert "\r" not in drawn


TIMED = "layer --cin 8 --cout 8 -k 3 --time-budget 0.2s"


def test_a_counted_table_is_replaced_by_the_measured_one(tmp_path: Path) -> None:
    with on_terminal(*TIMED.split(), cwd=tmp_path, size=(40, 140)) as terminal:
        pending = terminal.until("measuring …")
        assert "timing cpu" in terminal.until("timing cpu")
        drawn = terminal.to_the_end()
        assert terminal.code == 0
    rows = len(pending.partition("measuring …")[0].splitlines()) + 1  # and the line about FLOPs
    before, up, after = drawn.partition(f"\r\x1b[{rows}A\x1b[J")
    assert up
    assert "measuring …" not in after
    assert after.count("Conv2d 8") == before.count("Conv2d 8") == 1


def test_a_notebook_keeps_what_is_drawn_so_a_table_is_drawn_once(tmp_path: Path) -> None:
    with on_terminal(*TIMED.split(), cwd=tmp_path, env={"JPY_PARENT_PID": "1"}) as terminal:
        drawn = terminal.to_the_end()
        assert terminal.code == 0
    assert drawn.count("Conv2d 8") == 1
    assert "measuring" not in drawn
    assert not re.search(r"\x1b\[\d*[AJK]|\r", drawn)


@pytest.mark.parametrize(
    "command",
    ["layer --cin 64 --cout 64 -k 3 --time-budget 60s", "model net.yaml --time-budget 60s"],
)
def test_ctrl_c_keeps_what_was_counted(command: str, tmp_path: Path) -> None:
    (tmp_path / "net.yaml").write_text("input: [64, 32, 32]\nlayers: [{conv: 3, out_channels: 64}]")
    with on_terminal(*command.split(), cwd=tmp_path) as terminal:
        drawn = terminal.until("% timing") and terminal.drawn
        terminal.interrupt()
        after = terminal.to_the_end()[len(drawn) :]
        assert terminal.code == 130
    counted, told, end = after.rpartition("interrupted\n")
    assert told
    table = counted.rpartition("\x1b[K")[2]
    assert "7.89×" in table  # 1 / (1/64 + 1/9), which is what the MACs promise
    assert "…" not in table
    assert re.sub(r"\r|\x1b\[[\d;?]*[A-Za-z]", "", end) == ""


def test_ctrl_c_leaves_no_half_of_a_file(tmp_path: Path) -> None:
    command = "layer --cin 64 --cout 64 -k 3 --time-budget 60s -o report.json --export csv=r.csv"
    with on_terminal(*command.split(), cwd=tmp_path) as terminal:
        terminal.until("% timing")
        terminal.interrupt()
        terminal.to_the_end()
        assert terminal.code == 130
    assert list(tmp_path.iterdir()) == []
