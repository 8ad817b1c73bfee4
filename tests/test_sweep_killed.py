"""A timed sweep that is killed at random moments: nothing is lost but the case in flight, nothing is timed twice."""

import csv
import json
import os
import random
import signal
import time
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from forking import fork

import dscost.cli
from dscost.analysis import beside_reference

CASES, KILLS = 60, 6
GRID, SMALL = ("--cin", "2:24:2", "--cout", "4,8,12,16,20"), ("--cin", "2:8:2", "--cout", "4,8")
TIMED = (
    *("-k", "1", "--size", "4", "--variant", "standard"),
    *("--time", "--threads", "1", "--quiet", "-o", "lut.csv"),
)

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="no processes that are forked")


@pytest.fixture(autouse=True)
def _comparisons_are_short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(beside_reference, "COMPARISON_S", 0.03)
    monkeypatch.setattr(beside_reference, "SLOW_CALLS", 1)


def started(here: Path, grid: Sequence[str]) -> int:
    def command() -> None:
        os.chdir(here)
        torch.set_num_threads(1)  # those of the process that was forked are not there
        dscost.cli.main(("sweep", *grid, *TIMED))

    return fork(command)


def keys_in(here: Path) -> list[str]:
    """Return the keys of the whole lines of the journal, in their order."""
    path = here / "lut.csv.journal"
    content = path.read_bytes() if path.exists() else b""
    lines = content[: content.rfind(b"\n") + 1].splitlines()
    return [json.loads(line)["key"] for line in lines[1:]]


def stopped_at(
    here: Path, cases: int, pause_s: float, number: int, grid: Sequence[str] = GRID
) -> int:
    """Start the command and send it a signal when so many cases are journalled; return its exit code."""
    pid, end = started(here, grid), time.monotonic() + 60
    while len(keys_in(here)) < cases:
        assert time.monotonic() < end
        assert os.waitpid(pid, os.WNOHANG)[0] == 0
        time.sleep(0.001)
    time.sleep(pause_s)
    (os.killpg if number == signal.SIGKILL else os.kill)(pid, number)
    _, status = os.waitpid(pid, 0)
    return os.waitstatus_to_exitcode(status)


def finished(here: Path, grid: Sequence[str] = GRID) -> list[dict[str, str]]:
    """Let the command run to its end; return the table."""
    pid, end, done = started(here, grid), time.monotonic() + 100, 0
    while not done and time.monotonic() < end:
        done, status = os.waitpid(pid, os.WNOHANG)
        time.sleep(0.005)
    if not done:
        os.killpg(pid, signal.SIGKILL)
    assert done
    assert os.waitstatus_to_exitcode(status) == 0
    with (here / "lut.csv").open(newline="") as stream:
        return list(csv.DictReader(stream))


def cells_of(rows: Sequence[dict[str, str]]) -> list[tuple[str, str]]:
    return [(row["in_channels"], row["out_channels"]) for row in rows]


EVERY = [(str(cin), str(cout)) for cin in range(2, 25, 2) for cout in range(4, 21, 4)]


def test_it_may_be_killed_at_any_moment_and_goes_on_where_it_was(tmp_path: Path) -> None:
    moments = random.Random(15)
    before: list[str] = []
    for cases in sorted(moments.sample(range(1, CASES - 3), KILLS)):
        code = stopped_at(tmp_path, cases, moments.uniform(0, 0.05), signal.SIGKILL)
        assert code == -signal.SIGKILL
        assert not (tmp_path / "lut.csv").exists()
        now = keys_in(tmp_path)
        assert now[: len(before)] == before  # nothing that was journalled is lost
        before = now
    rows = finished(tmp_path)
    keys = keys_in(tmp_path)
    assert keys[: len(before)] == before
    assert len(set(keys)) == len(set(keys[:CASES])) == CASES  # none was timed twice before all were
    assert cells_of(rows) == EVERY
    assert all(float(row["latency_s"]) > 0 for row in rows)
    assert sum(int(row["visits"]) for row in rows) == len(keys)


def test_once_all_is_journalled_nothing_is_timed_and_the_table_is_the_same(tmp_path: Path) -> None:
    rows = finished(tmp_path, SMALL)
    journal = (tmp_path / "lut.csv.journal").read_bytes()
    (tmp_path / "lut.csv").unlink()
    assert finished(tmp_path, SMALL) == rows
    assert (tmp_path / "lut.csv.journal").read_bytes() == journal
    assert len(set(keys_in(tmp_path))) == len(rows) == 8


def test_ctrl_c_keeps_what_is_finished_and_says_how_to_go_on(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert stopped_at(tmp_path, 3, 0.01, signal.SIGINT, SMALL) == 130
    kept = len(keys_in(tmp_path))
    assert kept >= 3
    where = "lut.csv.journal: the same goes on from there"
    assert f"interrupted: {kept} of 8 cases are in {where}" in capfd.readouterr().err
    rows = finished(tmp_path, SMALL)
    assert len(set(cells_of(rows))) == len(rows) == 8


@pytest.mark.parametrize("room", [0, 300], ids=str)
def test_a_disk_that_is_full_loses_nothing_and_the_sweep_goes_on_later(
    tmp_path: Path, room: int, capfd: pytest.CaptureFixture[str]
) -> None:
    import resource

    stopped_at(tmp_path, 3, 0.0, signal.SIGKILL, SMALL)
    kept, size = keys_in(tmp_path), (tmp_path / "lut.csv.journal").stat().st_size

    def command() -> None:
        os.chdir(tmp_path)
        torch.set_num_threads(1)
        resource.setrlimit(resource.RLIMIT_FSIZE, (size + room, resource.RLIM_INFINITY))
        dscost.cli.main(("sweep", *SMALL, *TIMED))

    _, status = os.waitpid(fork(command), 0)
    assert os.waitstatus_to_exitcode(status) == 2
    told = capfd.readouterr().err.splitlines()
    assert told[-1] == "dscost: cannot write lut.csv.journal: File too large"
    assert keys_in(tmp_path) == kept
    assert (tmp_path / "lut.csv.journal").read_bytes().endswith(b"}\n")
    assert cells_of(finished(tmp_path, SMALL)) == [
        (str(cin), str(cout)) for cin in (2, 4, 6, 8) for cout in (4, 8)
    ]
