"""What a model's own code does to its process is contained: one model that cannot be counted, and the others judged."""

import json
import os
import subprocess
from importlib.metadata import version
from pathlib import Path

import pytest
from forking import forked
from program import start

import dscost
from dscost.analysis import Request, count, workers
from dscost.analysis.isolated import Died, Worker
from dscost.analysis.workers import Process
from dscost.cli import run
from dscost.cli.supervising import foreign_targets
from dscost.errors import InputError
from dscost.foreign.containing import contained
from dscost.sources import runs_code

INPUT = (1, 3, 8, 8)
MACS = 6 * 6 * 64 * 3 * 9 + 4 * 4 * 64 * 64 * 9
NETS = """
import ctypes, os, subprocess, time
import torch
from torch import nn
def good(): return nn.Sequential(nn.Conv2d(3, 64, 3), nn.ReLU(), nn.Conv2d(64, 64, 3))
def exits(): os._exit(0)
def crashes(): ctypes.string_at(0)
def hangs(): time.sleep(60)
def interrupts(): raise KeyboardInterrupt
def is_base(): raise BaseException("base")
def forks():
    os.fork()
    return good()
def prints():
    os.write(1, b"printed\\n")
    return good()
def spoils():
    torch.set_default_dtype(torch.float64)
    return good()
def leaves():
    os.chdir("/")
    return good()
class Unnamed(nn.Conv2d):
    def __init__(self): super().__init__(3, 8, 3)
    def named_modules(self, *a, **k): raise ValueError("no names")
class Dies(nn.Conv2d):
    def __init__(self): super().__init__(3, 8, 3)
    def forward(self, x): os._exit(3)
"""

pytestmark = [
    pytest.mark.skipif(os.name != "posix", reason="this system has no signals and no fork"),
    pytest.mark.usefixtures("forked_workers"),
]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "nets.py").write_text(NETS)
    return tmp_path


@pytest.fixture
def started(forked_workers: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Start the workers of a test as it is done outside of tests."""
    monkeypatch.setattr(workers, "subprocess", subprocess)


def budget(folder: Path, *names: str, limit: str = "1M") -> None:
    entries = "".join(f"  - {{name: {name}, target: 'nets.py:{name}'}}\n" for name in names)
    head = f"version: 1\ndefaults: {{input: [1, 3, 8, 8], limits: {{macs: {limit}}}}}\nmodels:\n"
    (folder / "dscost.yaml").write_text(head + entries)


def test_models_that_die_are_failed_models_and_the_others_are_judged(folder: Path) -> None:
    budget(folder, "prints", "exits", "good", "Dies", "forks", "interrupts", "is_base", "Unnamed")
    result = dscost.check("dscost.yaml", isolate=True)
    assert {one.entry: one.value for one in result.passed} == {
        **dict.fromkeys(("prints", "good", "forks"), MACS),
        "Unnamed": 6 * 6 * 8 * 3 * 9,  # nobody asks it for the names of its modules
    }
    said = {finding.entry: finding.detail for finding in result.findings}
    assert said == {
        "exits": "nets.py:exits: its code ended the process (exit code 0)",
        "Dies": "nets.py:Dies: its code ended the process (exit code 3)",
        "interrupts": "nets.py:interrupts cannot be made: KeyboardInterrupt",
        "is_base": "nets.py:is_base cannot be made: BaseException: base",
    }
    assert result.exit_code == 2


def test_a_crash_names_its_signal(folder: Path) -> None:
    with (
        Worker() as worker,
        pytest.raises(InputError, match=r"ended the process \(signal 11, SIGSEGV\)"),
    ):
        worker.count("nets.py:crashes", Request(INPUT))


def test_a_model_that_hangs_is_ended_and_names_its_limit(folder: Path) -> None:
    process = Process()
    process.ask(
        "good", ("count", "nets.py:good", {"request": Request(INPUT)}), 60
    )  # torch is loaded by then
    with pytest.raises(
        InputError, match=r"^hangs: not done after 0\.2 s, stopped \(--load-timeout"
    ):
        process.ask("hangs", ("count", "nets.py:hangs", {"request": Request(INPUT)}), 0.2)
    assert not process.is_alive


@pytest.mark.usefixtures("started")
def test_a_worker_goes_on_anew_after_one_that_took_too_long(folder: Path) -> None:
    with Worker(limit_s=0.01) as worker:
        for target in ("nets.py:hangs", "nets.py:good"):  # no process is ready so soon
            with pytest.raises(InputError, match=rf"^{target}: not done after 0\.01 s"):
                worker.count(target, Request(INPUT))


def test_a_process_is_ended_once(monkeypatch: pytest.MonkeyPatch) -> None:
    process, ended = Process(), []
    kill = os.killpg
    monkeypatch.setattr(
        os, "killpg", lambda number, sent: (ended.append(number), kill(number, sent))
    )
    process.end()
    process.end()  # its number may be that of another process by now
    assert len(ended) == 1
    with pytest.raises(Died, match=r"^net: its code ended the process \(signal 9, SIGKILL"):
        process.ask("net", ("count", "nets.py:good", {}), 60)


def test_swaps_that_help_are_found_though_the_process_has_died_of_another_model(
    folder: Path,
) -> None:
    budget(folder, "good", "exits", limit="600k")  # swaps that would help are asked for at the end
    isolated = dscost.check("dscost.yaml", isolate=True)
    assert [(one.entry, one.kind) for one in isolated.findings] == [
        ("good", "over_max"),
        ("exits", "unloadable_model"),
    ]
    alone = dscost.check("dscost.yaml", only=["good"])
    assert isolated.findings[0] == alone.findings[0]
    assert alone.findings[0].suggested_fix is not None


def test_a_model_that_dies_when_it_is_counted_again_is_judged_without_a_fix(folder: Path) -> None:
    once = (
        "def once():\n    from pathlib import Path\n    if Path('seen').exists(): os._exit(5)\n"
        "    Path('seen').touch()\n    return good()\n"
    )
    (folder / "nets.py").write_text(NETS + once)
    budget(folder, "once", "exits", limit="600k")
    result = dscost.check("dscost.yaml", isolate=True)
    assert [(one.entry, one.kind, one.suggested_fix) for one in result.findings] == [
        ("once", "over_max", None),
        ("exits", "unloadable_model", None),
    ]


def test_what_one_model_changes_does_not_change_the_next(folder: Path) -> None:
    with Worker() as worker:
        worker.count("nets.py:spoils", Request(INPUT))
        after = worker.count("nets.py:good", Request(INPUT))
    assert after.report.totals.as_is.weight_bytes == 4 * (64 * 3 * 9 + 64 + 64 * 64 * 9 + 64)


@pytest.mark.usefixtures("started")
def test_a_report_from_elsewhere_is_the_report_from_here(folder: Path) -> None:
    here = count("nets.py:good", Request(INPUT))
    with Worker() as worker:
        there = worker.count("nets.py:good", Request(INPUT))
        assert there.report.to_dict() == here.report.to_dict()
        assert there.versions is not None
        assert here.versions is not None
        assert there.versions.totals(there.swaps) == here.versions.totals(here.swaps)
        assert there.versions.totals(()) == here.versions.totals(())


def test_a_way_out_is_found_in_the_process_of_the_model(folder: Path) -> None:
    budget(folder, "good", limit="600k")
    found = [dscost.check("dscost.yaml", isolate=isolate).findings for isolate in (True, False)]
    assert found[0] == found[1]
    assert found[0][0].suggested_fix is not None


def test_what_is_no_code_starts_no_process(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subprocess, "Popen", None)
    (folder / "net.yaml").write_text("input: [3, 8, 8]\nlayers: [{conv: 3, out_channels: 4}]\n")
    assert run(["model", "net.yaml", "--no-time", "--json", "-q", "-o", "saved.json"]) == 0
    (folder / "dscost.yaml").write_text(
        "version: 1\nmodels:\n  - {target: resnet18, limits: {macs: 2G}}\n  - {target: net.yaml, limits: {macs: 1G}}\n"
        "  - {target: saved.json, limits: {macs: 1G}}\n"
    )
    assert run(["check"]) == 0


@pytest.mark.parametrize(
    ("target", "is_code"),
    [
        ("resnet18", False),
        ("net.yaml", False),
        ("net.yaml:small", False),
        ("a.json", False),
        ("a.json:timm:x", False),
        ("net.py:make", True),
        ("pkg.mod:make", True),
        ("timm:resnet18", True),
        ("net.pt2", True),
        ("nothing_of_that_name", True),
    ],
)
def test_which_targets_are_code(target: str, is_code: bool) -> None:
    assert runs_code(target) is is_code


@pytest.mark.parametrize(
    ("arguments", "targets"),
    [
        ("model net.py:make --input x=1,3:int64", ["net.py:make"]),
        ("model net.yaml:small", []),
        ("compare a.json:b net.pt2", ["net.pt2"]),
        ("check a:b", []),
        ("sweep --cin 8:64:8 --cout 8 -k 3", []),
        ("sweep --model net.py:make --model=timm:x --input 1,3,8,8", ["net.py:make", "timm:x"]),
        ("model a:b --isolate", []),
        ("", []),
    ],
)
def test_which_commands_are_watched(arguments: str, targets: list[str]) -> None:
    assert foreign_targets(arguments.split()) == targets


def test_a_command_that_a_model_ends_is_one_line_and_exit_2(folder: Path) -> None:
    for name, how in (("exits", "exit code 0"), ("crashes", "signal 11, SIGSEGV")):
        run_it = start if name == "exits" else forked
        done = run_it("model", f"nets.py:{name}", "--input", "1,3,8,8", "--no-time", "--json")
        assert (done.returncode, done.stdout) == (2, "")
        assert done.stderr == f"dscost: nets.py:{name}: its code ended the process ({how})\n"


def test_model_isolates_when_asked_to(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["model", "nets.py:good", "--input", "1,3,8,8", "--no-time", "--json"]
    assert run([*command, "--isolate", "--load-timeout", "60s"]) == 0
    isolated = json.loads(capsys.readouterr().out)
    assert run(command) == 0
    assert json.loads(capsys.readouterr().out) == isolated
    assert run([*command, "--load-timeout", "60s"]) == 2
    assert "--load-timeout needs --isolate" in capsys.readouterr().err
    assert run([*command, "--isolate", "--load-timeout", "soon"]) == 2
    assert "--load-timeout: expected a duration" in capsys.readouterr().err


def test_a_model_is_timed_where_it_is_isolated(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["model", "nets.py:good", "--input", "1,3,8,8", "--time-budget", "100ms", "-q"]
    assert run([*command, "--isolate", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    # whatever there was time for, what was asked for is told
    (subject,) = found["subjects"]
    assert subject["latency"] or subject["untimed"]
    if found["environment"]:
        assert found["environment"]["torch_version"] == version("torch")


# -- whose error it is


def test_our_own_mistakes_stay_ours() -> None:
    ours: dict[str, object] = {"__name__": "dscost.rendering"}
    exec(compile("def wrong(): raise AttributeError('a bug')", "wrong.py", "exec"), ours)
    with pytest.raises(AttributeError), contained("net.py:make"):
        ours["wrong"]()  # type: ignore[operator]


def test_our_own_mistakes_stay_ours_also_where_an_error_of_theirs_is_handled() -> None:
    theirs: dict[str, object] = {"__name__": "theirs"}
    exec(compile("def make(): raise ValueError('theirs')", "net.py", "exec"), theirs)
    ours = {"__name__": "dscost.sources", "make": theirs["make"]}
    text = "def wrong():\n    try: make()\n    except ValueError: {}['a bug']"
    exec(compile(text, "wrong.py", "exec"), ours)
    with pytest.raises(KeyError, match="a bug"), contained("net.py:make"):
        ours["wrong"]()  # type: ignore[operator]


def test_an_error_of_theirs_has_its_place() -> None:
    theirs: dict[str, object] = {"__name__": "theirs"}
    exec(compile("def make(): raise ValueError('what was wrong')", "folder/net.py", "exec"), theirs)
    message = r"^net: its code raised ValueError: what was wrong \(net\.py, in make\)$"
    with pytest.raises(InputError, match=message), contained("net"):
        theirs["make"]()  # type: ignore[operator]


@pytest.mark.parametrize("error", [GeneratorExit(), SystemExit(3), BaseException("base")], ids=repr)
def test_whatever_is_raised_is_an_input_error(error: BaseException) -> None:
    with (
        pytest.raises(InputError, match=f"^net: its code raised {type(error).__name__}"),
        contained("net"),
    ):
        raise error
