"""`dscost convert --score`: from a file with a function to plans, files and lines, through any number of kills."""

import json
import os
import random
import signal
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from forking import fork
from jsonschema import Draft7Validator
from program import Ran, run
from torch import nn

import dscost.cli
from dscost.converting.plan_file import read_plan
from dscost.schemas import schema

NET = """
import torch
from torch import nn

def make():
    torch.manual_seed(5)
    return nn.Sequential(
        nn.Conv2d(3, 16, 3, padding=1), nn.ReLU(),
        nn.Conv2d(16, 16, 3, padding=1), nn.ReLU(),
        nn.Conv2d(16, 32, 3, padding=1), nn.ReLU(),
        nn.Flatten(), nn.Linear(2048, 10),
    )

def linear():
    return nn.Linear(4, 4)
"""
EVAL = """
import time
import torch
from net import make

images = torch.randn(40, 3, 8, 8, generator=torch.Generator().manual_seed(1))
expected = make().eval()(images).detach()
labels = expected.argmax(1)

def accuracy(model):
    return (model(images).argmax(1) == labels).float().mean()

def likeness(model):
    return -(model(images) - expected).square().mean(1)

def noisy(model):
    return accuracy(model) + 0.001 * (time.perf_counter_ns() % 997)

def failing(model):
    raise FileNotFoundError("no images\\nin here")

def failing_later(model):
    if model[4].__class__.__name__ != "Conv2d":
        raise ValueError("not like that")
    return accuracy(model)

def nan(model):
    return float("nan")

def nothing(model):
    accuracy(model)

def constant(model):
    accuracy(model)
    return 0.5

def endless(model):
    accuracy(model)
    while True:
        try:
            time.sleep(0.01)
        except Exception:
            pass

def leaving(model):
    raise SystemExit("bye")

TABLE = [1]
"""
# 8·8 positions; by hand
STEM, FIRST, LAST, HEAD = 16 * 3 * 9 * 64, 16 * 16 * 9 * 64, 32 * 16 * 9 * 64, 2048 * 10
WHOLE = STEM + FIRST + LAST + HEAD
INPUT = ["--input", "1,3,8,8"]
SCORE = ["--score", "eval.py:accuracy", "--score-budget", "16"]


@pytest.fixture
def here(tmp_path: Path) -> Path:
    (tmp_path / "net.py").write_text(NET)
    (tmp_path / "eval.py").write_text(EVAL)
    return tmp_path


def convert(here: Path, *arguments: str) -> Ran:
    """Run `dscost convert net.py:make`, with a cache folder of its own."""
    given = ["convert", "net.py:make", *arguments]
    return run(*given, cwd=here, env={"XDG_CACHE_HOME": str(here / "cache")})


def converted(here: Path, *arguments: str, code: int = 0) -> dict[str, Any]:
    ran = convert(here, *arguments, "--json")
    assert (ran.returncode, ran.stderr.partition("dscost:")[1]) == (code, "")
    document = json.loads(ran.stdout)
    Draft7Validator(schema("conversion")).validate(document)
    found: dict[str, Any] = document["conversion"]
    return found


def network(plan: dict[str, Any]) -> nn.Module:
    """Return the network converted by a plan, without a score."""
    torch.manual_seed(5)
    before = nn.Sequential(
        *(nn.Conv2d(3, 16, 3, padding=1), nn.ReLU()),
        *(nn.Conv2d(16, 16, 3, padding=1), nn.ReLU()),
        *(nn.Conv2d(16, 32, 3, padding=1), nn.ReLU()),
        *(nn.Flatten(), nn.Linear(2048, 10)),
    )
    return before if not plan else dscost.convert(before, plan=plan)


def accuracy_of(plan: dict[str, Any]) -> float:
    """Return what eval.py has to say of a plan, worked out beside it."""
    images = torch.randn(40, 3, 8, 8, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        answers = [network(one)(images).argmax(1) for one in ({}, plan)]
    return float((answers[0] == answers[1]).sum()) / 40


# -- goals


def test_a_goal_of_macs_is_met_by_the_plan_whose_score_is_told(here: Path) -> None:
    found = converted(here, *SCORE, "--goal", "macs=0.5x", "--save-plan", "plan.yaml")
    assert found["before"]["macs"] == WHOLE
    assert 2 * found["after"]["macs"] <= WHOLE
    assert found["is_met"] is True
    scored = found["scored"]
    assert (scored["name"], scored["before"], scored["target"]) == ("eval.py:accuracy", 1.0, None)
    assert scored["after"] == pytest.approx(accuracy_of(found["plan"]))
    assert scored["lost"]["loss"] == pytest.approx(1 - scored["after"])
    assert scored["lost"]["low"] < scored["lost"]["loss"] < scored["lost"]["high"]
    assert "40 samples" in scored["noise"]
    assert scored["evaluations"] <= 16
    (mark,) = (point for point in scored["curve"] if point["is_chosen"])
    assert (mark["cost"], mark["score"]) == (found["after"]["macs"], scored["after"])
    for layer in scored["layers"]:
        decision = (
            layer["rank"]
            if layer["order"] == "depthwise-first"
            else f"{layer['rank']} pointwise-first"
        )
        assert layer["loss"] == pytest.approx(1 - accuracy_of({layer["name"]: decision}))
    plan = read_plan(here / "plan.yaml")
    assert (dict(plan.layers), plan.goal) == (found["plan"], "macs=0.5x")
    again = converted(here, "--plan", "plan.yaml")
    assert again["after"] == found["after"]
    assert again["scored"] is None


@pytest.mark.parametrize("goal", ["score=0.5x", "score=50%", "score=0.5"])
def test_a_goal_of_a_score_keeps_it(here: Path, goal: str) -> None:
    found = converted(here, *SCORE, "--goal", goal)
    assert found["is_met"] is True
    scored = found["scored"]
    assert scored["target"] == pytest.approx(0.5)
    assert scored["after"] == pytest.approx(accuracy_of(found["plan"]))
    assert scored["after"] >= 0.5 - 1e-6
    assert found["after"]["macs"] < WHOLE


def test_a_goal_of_a_score_below_zero_is_a_number(here: Path) -> None:
    given = ["--score", "eval.py:likeness", "--score-budget", "16", *INPUT]
    found = converted(here, *given, "--goal", "score=-0.001")
    assert (found["is_met"], found["scored"]["target"]) == (True, -0.001)
    assert found["scored"]["after"] >= -0.001
    assert found["scored"]["noise"] is None
    assert found["after"]["macs"] < WHOLE


def test_a_goal_that_is_missed_is_told_and_the_exit_code_says_so(here: Path) -> None:
    least = STEM + (16 * 9 + 16 * 16 + 16 * 9 + 16 * 32) * 64 + HEAD
    ran = convert(here, *SCORE, "--goal", "macs=0.05x")
    assert ran.returncode == 1
    assert ran.stdout.startswith(f"MISSED: macs=0.05x, nearest {least / WHOLE:.3f}"[:-1])
    assert "accuracy: 1 as it is" in ran.stdout
    ran = convert(here, *SCORE, "--goal", "score=1.5")
    assert ran.returncode == 1
    assert ran.stdout.startswith("MISSED: score=1.5, nearest 1, the model as it is\n")


# -- what was decided otherwise


@pytest.mark.parametrize(
    "way",
    [
        ["--rank", "1", "--min-channels", "16"],
        ["--rank", "3", "--order", "best", "--min-channels", "16"],
        ["--plan", "plan.yaml"],
    ],
)
def test_what_a_rank_or_a_plan_makes_is_scored(here: Path, way: list[str]) -> None:
    (here / "plan.yaml").write_text("version: 1\nlayers: {'4': 2 pointwise-first}\n")
    found = converted(here, *SCORE, *way)
    scored = found["scored"]
    assert scored["after"] == pytest.approx(accuracy_of(found["plan"]))
    assert scored["evaluations"] == 3  # the model as it is twice
    assert (scored["layers"], [point["cost"] for point in scored["curve"]]) == (
        [],
        [WHOLE, found["after"]["macs"]],
    )
    assert (found["goal"], found["is_met"]) == (None, None)


def test_what_was_recovered_is_scored_once_more(here: Path) -> None:
    (here / "data.py").write_text(
        "import torch\nbatches = [torch.randn(16, 3, 8, 8, generator=torch.Generator().manual_seed(9))]\n"
    )
    given = ["--rank", "1", "--calibrate", "data.py:batches", "--score", "eval.py:likeness"]
    found = converted(here, *given, "--score-budget", "8", "--min-channels", "16", *INPUT)
    scored = found["scored"]
    assert found["recovery"] is not None
    assert scored["recovered"] is None or scored["recovered"] > scored["after"]
    kept = [one["score_after"] for one in found["recovery"]["steps"] if one["kept"]]
    assert kept
    assert scored["recovered"] == kept[-1]


# -- what is told


def test_the_tables_say_what_layers_lose_and_what_costs_buy(here: Path) -> None:
    ran = convert(here, *SCORE, "--goal", "macs=0.5x", "--journal", "j.jsonl")
    assert (ran.returncode, ran.stderr) == (0, "")
    lines = ran.stdout.splitlines()
    assert lines[1].startswith("Score by eval.py:accuracy: 1 as it is, 0.")
    assert "Goal macs=0.5x, the plan of the best score of those that were scored." in lines
    assert any(line.split()[:2] == ["alone", "loss"] for line in lines)
    assert any(line.split()[:5] == ["MACs", "of", "as", "it", "is"] for line in lines)
    assert sum("← chosen" in line for line in lines) == 1
    told = "it is taken for a share of 40 samples, as its values are multiples of 1/40"
    assert f"eval.py:accuracy: {told}; intervals are of 95 %." in lines
    assert any(line.endswith(" evaluations; kept in j.jsonl.") for line in lines)


@pytest.mark.parametrize("format_name", ["markdown", "csv", "json"])
def test_every_format_tells_it(here: Path, format_name: str) -> None:
    ran = convert(here, *SCORE, "--goal", "macs=0.5x", "--format", format_name)
    assert (ran.returncode, ran.stderr) == (0, "")
    assert ran.stdout


def test_a_noisy_score_is_told_with_its_noise(here: Path) -> None:
    given = ["--score", "eval.py:noisy", "--score-budget", "24", "--goal", "macs=0.5x"]
    found = converted(here, *given)
    assert "between 5 calls with one model" in found["scored"]["noise"]
    assert found["scored"]["is_final"] is True
    assert found["scored"]["evaluations"] <= 24


# -- what is kept


def test_by_default_a_journal_is_kept_in_the_cache_folder_and_nothing_is_asked_again(
    here: Path,
) -> None:
    first = converted(here, *SCORE, "--goal", "macs=0.5x")["scored"]
    (journal,) = (here / "cache" / "dscost" / "scores").iterdir()
    assert first["journal"] == str(journal)
    assert len(journal.read_text(encoding="utf-8").splitlines()) == 1 + first["evaluations"]
    again = converted(here, *SCORE, "--goal", "macs=0.5x")["scored"]
    assert again == {**first, "from_journal": first["evaluations"]}
    other = converted(here, *SCORE, "--goal", "macs=0.6x")["scored"]
    assert other["from_journal"] >= 8  # layers alone lose the same, whatever the goal
    (here / "eval.py").write_text(f"{EVAL}\n# another\n")
    assert converted(here, *SCORE, "--goal", "macs=0.5x")["scored"]["from_journal"] == 0
    assert len(list(journal.parent.iterdir())) == 2


def test_a_journal_that_is_named_is_the_one(here: Path) -> None:
    given = [*SCORE, "--goal", "macs=0.5x", "--journal", "kept/j.jsonl"]
    assert converted(here, *given)["scored"]["journal"] == "kept/j.jsonl"
    assert not (here / "cache").exists()
    header = json.loads((here / "kept" / "j.jsonl").read_text(encoding="utf-8").splitlines()[0])
    assert header["of"]["target"] == "net.py:make"
    assert header["of"]["score"] == "eval.py:accuracy"


# -- errors


ERRORS: dict[str, tuple[list[str], str]] = {
    "raises": (
        ["--score", "eval.py:failing"],
        "eval.py:failing failed for the model as it is: FileNotFoundError: no images "
        '(eval.py:20, `raise FileNotFoundError("no images\\nin here")`)',
    ),
    "exits": (
        ["--score", "eval.py:leaving"],
        "eval.py:leaving failed for the model as it is: SystemExit: bye (eval.py:",
    ),
    "nan": (
        ["--score", "eval.py:nan", *INPUT],
        "eval.py:nan returned nan for the model as it is: expected a finite number",
    ),
    "nothing": (
        ["--score", "eval.py:nothing"],
        "eval.py:nothing returned nothing for the model as it is: expected a number, higher being better, or one per "
        "sample",
    ),
    "constant": (
        ["--score", "eval.py:constant"],
        "eval.py:constant returned 0.5 for the model as it is, and the same with all of its 2 convolutions set to zero: "
        "it does not depend on the model it is given, or what the model answers does not depend on them; ",
    ),
    "endless": (
        ["--score", "eval.py:endless", "--score-timeout", "200ms"],
        "eval.py:endless did not return within 200 ms for the model as it is (--score-timeout 2h, or score_timeout_s, "
        "gives it longer)",
    ),
    "later": (
        ["--score", "eval.py:failing_later", "--journal", "j.jsonl"],
        "eval.py:failing_later failed for '4' alone at rank 1: ValueError: not like that (eval.py:24, `raise "
        'ValueError("not like that")`); 2 evaluations kept in j.jsonl',
    ),
    "no_function": (
        ["--score", "eval.py:acuracy"],
        "--score eval.py:acuracy: there is no 'acuracy' in eval.py (did you mean 'accuracy'?)",
    ),
    "no_callable": (
        ["--score", "eval.py:TABLE"],
        "--score eval.py:TABLE: expected a function of a model, found list",
    ),
    "no_file": (["--score", "no.py:accuracy"], "--score no.py:accuracy: no such file: no.py"),
    "no_name": (
        ["--score", "eval.py"],
        "--score eval.py: name what is meant of it, as eval.py:NAME, one of ",
    ),
    "no_path": (
        ["--score", "accuracy"],
        "--score: expected a function in a file, such as eval.py:accuracy, found",
    ),
    "budget": (
        [*SCORE[:2], "--score-budget", "1"],
        "score budget: expected evaluations such as 100, or a time such as 10min, found '1': the model as it is",
    ),
    "budget_text": (
        [*SCORE[:2], "--score-budget", "many"],
        "score budget: expected evaluations such as 100, or a time such as 10min, found 'many'",
    ),
    "timeout": (
        [*SCORE, "--score-timeout", "90"],
        "score timeout: expected a quantity such as 12 ms, found '90'",
    ),
    "timeout_zero": (
        [*SCORE, "--score-timeout", "0s"],
        "score timeout: expected a time above zero such as 90s",
    ),
    "journal_of_code": (
        [*SCORE, "--journal", "net.py"],
        "net.py is no journal of scores: name another file",
    ),
    "journal_folder": ([*SCORE, "--journal", "."], "cannot read .: Is a directory"),
    "journal_nowhere": ([*SCORE, "--journal", "net.py/j"], "cannot write net.py/j: "),
    "budget_alone": (
        ["--score-budget", "9"],
        "a score's budget has no meaning without a score: give --score",
    ),
    "timeout_alone": (
        ["--score-timeout", "9s"],
        "a score's timeout has no meaning without a score: give --score",
    ),
    "journal_alone": (
        ["--journal", "j"],
        "a score's journal has no meaning without a score: give --score",
    ),
}


@pytest.mark.parametrize(("given", "line"), ERRORS.values(), ids=ERRORS)
def test_what_is_wrong_is_one_line_and_exit_code_2(here: Path, given: list[str], line: str) -> None:
    ran = convert(here, "--goal", "macs=0.5x", *given)
    assert (ran.returncode, ran.stdout) == (2, "")
    assert len(ran.stderr.splitlines()) == 1
    assert ran.stderr.startswith(f"dscost: {line}")
    assert (here / "net.py").read_text(encoding="utf-8") == NET


@pytest.mark.parametrize(
    ("given", "line"),
    [
        (
            SCORE,
            "--score needs to know what for: give --goal macs=0.5x or --goal score=0.98x, or --rank or --plan",
        ),
        (
            [*SCORE, "--fastest"],
            "--score has no meaning with --fastest, which measures times alone",
        ),
        (
            [*SCORE, "--goal", "error=0.3"],
            "goal error=0.3 bounds errors of kernels: with a score, bound that, by",
        ),
        (
            ["--goal", "score=0.98x"],
            "goal score=0.98x needs a score: give --score eval.py:accuracy",
        ),
        (
            [*SCORE, "--goal", "score=high"],
            "goal score: expected a quantity such as 2.5, found 'high'",
        ),
        (
            [*SCORE[:1], "eval.py:likeness", "--goal", "score=-0.9x"],
            "goal score: expected a quantity such as 2.5, found '-0.9x'",
        ),
        (
            [*SCORE[:1], "eval.py:likeness", "--goal", "score=0.9x"],
            "goal score=0.9x is a share of the score as it is, which is 0: give a number, such as score=-1.5",
        ),
        (
            [*SCORE, "--goal", "macs=0.5x", "-o", "eval.py"],
            "eval.py is read as --score, a result would be written",
        ),
        (
            [*SCORE, "--goal", "macs=0.5x", "--journal", "j.json", "-o", "j.json"],
            "j.json is read as --journal, a result would be written over it",
        ),
    ],
    ids=[
        "alone",
        "fastest",
        "error",
        "without",
        "words",
        "negative_share",
        "share_of_none",
        "over_score",
        "over_journal",
    ],
)
def test_what_makes_no_sense_with_a_score_or_without_is_refused(
    here: Path, given: list[str], line: str
) -> None:
    ran = convert(here, *given)
    assert (ran.returncode, ran.stdout) == (2, "")
    assert len(ran.stderr.splitlines()) == 1
    assert ran.stderr.startswith(f"dscost: {line}")


def test_a_model_without_convolutions_loses_nothing(here: Path) -> None:
    ran = run(
        *("convert", "net.py:linear", "--input", "1,4", "--goal", "macs=0.5x", "--json"),
        *("--score", "eval.py:score", "--journal", "j"),
        cwd=here,
    )
    assert ran.returncode == 2
    (here / "eval.py").write_text(
        "import torch\ndef score(model):\n    return float(model(torch.ones(1, 4)).sum())\n"
    )
    ran = run(
        *("convert", "net.py:linear", "--input", "1,4", "--goal", "macs=0.5x"),
        *("--score", "eval.py:score", "--journal", "j"),
        cwd=here,
    )
    assert (ran.returncode, ran.stderr) == (1, "")
    assert "MISSED: macs=0.5x" in ran.stdout


# -- killed and started again


LOGGED = """
import hashlib, os, time
import torch
from net import make

images = torch.randn(40, 3, 8, 8, generator=torch.Generator().manual_seed(1))
expected = make().eval()(images).detach()

def accuracy(model):
    found = hashlib.sha256()
    for tensor in model.state_dict().values():
        found.update(tensor.numpy().tobytes())
    log = os.open("log.txt", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.write(log, (found.hexdigest() + "\\n").encode())
    os.close(log)
    time.sleep(0.005)
    return -(model(images) - expected).square().mean(1)
"""
KILLS, EVALUATIONS = 6, 26
OF_KILLED = [
    *("convert", "net.py:make", "--score", "eval.py:accuracy", "--score-budget", str(EVALUATIONS)),
    *("--goal", "macs=0.5x", "--journal", "j.jsonl", "--json", "-o", "out.json", *INPUT),
]


def lines_of(path: Path) -> list[bytes]:
    """Return the whole lines of a file, if it is there."""
    content = path.read_bytes() if path.exists() else b""
    return content.split(b"\n")[:-1]


def started(here: Path) -> int:
    def command() -> None:
        os.chdir(here)
        torch.set_num_threads(1)  # those of the process that was forked are not there
        dscost.cli.main(OF_KILLED)

    return fork(command)


def killed_once(here: Path, lines: int, pause_s: float) -> bool:
    """Start the command and kill it as soon as its journal has so many lines; whether it was killed."""
    pid = started(here)
    end = time.monotonic() + 60
    while len(lines_of(here / "j.jsonl")) < lines:
        assert time.monotonic() < end
        assert os.waitpid(pid, os.WNOHANG)[0] == 0
        time.sleep(0.0005)
    time.sleep(pause_s)
    os.killpg(pid, signal.SIGKILL)
    _, status = os.waitpid(pid, 0)
    return os.waitstatus_to_exitcode(status) == -signal.SIGKILL


def finished(here: Path) -> dict[str, Any]:
    """Let the command run to its end; return what it wrote."""
    pid, end, done = started(here), time.monotonic() + 60, 0
    while not done and time.monotonic() < end:
        done, status = os.waitpid(pid, os.WNOHANG)
        time.sleep(0.005)
    if not done:
        os.killpg(pid, signal.SIGKILL)
    assert done
    assert os.waitstatus_to_exitcode(status) == 0
    document: dict[str, Any] = json.loads((here / "out.json").read_text(encoding="utf-8"))
    return document


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no processes that are forked")
def test_it_may_be_killed_at_any_moment_and_goes_on_where_it_was(tmp_path: Path) -> None:
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    for folder in (whole, killed):
        folder.mkdir()
        (folder / "net.py").write_text(NET)
        (folder / "eval.py").write_text(LOGGED)
    expected = finished(whole)
    plans = lines_of(whole / "log.txt")
    assert len(plans) == EVALUATIONS == expected["conversion"]["scored"]["evaluations"]
    moments = random.Random(4)
    after = sorted(moments.sample(range(1, EVALUATIONS - 3), KILLS))
    kept, logged, in_flight = 0, 0, 0
    for lines in after:
        assert killed_once(
            killed, lines + 1, moments.uniform(0, 0.008)
        )  # the first is no evaluation
        now = len(lines_of(killed / "j.jsonl")) - 1, len(lines_of(killed / "log.txt"))
        unkept = (now[1] - logged) - (now[0] - kept)
        assert unkept in (0, 1)  # all that was evaluated is kept, but for one that was not over
        in_flight += unkept
        kept, logged = now
    found = finished(killed)
    for document in (expected, found):
        del document["conversion"]["scored"]["from_journal"]
    assert found == expected
    log = lines_of(killed / "log.txt")
    assert len(log) == len(plans) + in_flight
    assert list(dict.fromkeys(log)) == list(dict.fromkeys(plans))
    told = [json.loads(line) for line in lines_of(killed / "j.jsonl")[1:]]
    tried = [(json.dumps(one["plan"]), one.get("repetition", 0)) for one in told]
    assert len(tried) == len(set(tried)) == EVALUATIONS
    uninterrupted = [json.loads(line) for line in lines_of(whole / "j.jsonl")[1:]]
    assert [(one["plan"], one["score"]) for one in told] == [
        (one["plan"], one["score"]) for one in uninterrupted
    ]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no processes that are forked")
def test_ctrl_c_ends_it_with_a_line_and_keeps_what_was_found(here: Path) -> None:
    (here / "eval.py").write_text(LOGGED.replace("0.005", "0.05"))
    pid = started(here)
    while len(lines_of(here / "j.jsonl")) < 4:
        time.sleep(0.001)
    os.kill(pid, signal.SIGINT)
    _, status = os.waitpid(pid, 0)
    assert os.waitstatus_to_exitcode(status) == 130
    kept = len(lines_of(here / "j.jsonl")) - 1
    assert kept >= 3
    assert finished(here)["conversion"]["scored"]["from_journal"] == kept
