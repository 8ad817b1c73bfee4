"""A user's function, called: whatever it does and returns, one line says what was wrong, and it ends in time."""

import os
import random
import re
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import suppress
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dscost.converting.scoring.asking import USUAL, Scorer, scorer_of
from dscost.converting.scoring.calling import (
    FIRST_LIMIT_S,
    LEAST_LIMIT_S,
    Score,
    Stopped,
    called,
    interrupted_after,
    next_limit_s,
    score_of,
    seeded,
    watched,
)
from dscost.converting.scoring.evaluating import Budget, parse_budget
from dscost.converting.scoring.losses import Evaluation
from dscost.errors import InputError

MODEL = "the model itself"
OF = "conv1 alone at rank 1"


def said(function: Callable[[Any], Any], limit_s: float = 60) -> Evaluation:
    return called(Score("accuracy", function), MODEL, limit_s, OF)


def told(function: Callable[[Any], Any], limit_s: float = 60) -> str:
    with pytest.raises(InputError) as found:
        said(function, limit_s)
    assert "\n" not in str(found.value)
    return str(found.value)


# -- what it returns


@pytest.mark.parametrize(
    ("answer", "score"),
    [
        (0.5, 0.5),
        (3, 3.0),
        (-2.5, -2.5),
        (0, 0.0),
        (True, 1.0),
        (Fraction(1, 4), 0.25),
        (Decimal("0.125"), 0.125),
        (np.float32(0.5), 0.5),
        (np.float16(0.5), 0.5),
        (np.int64(7), 7.0),
        (np.array(0.5), 0.5),
    ],
    ids=repr,
)
def test_a_number_of_any_kind_is_a_score(answer: Any, score: float) -> None:
    assert said(lambda model: answer) == Evaluation(score)


@pytest.mark.parametrize(
    "answer",
    [
        [1.0, 0.0, 1.0, 0.0],
        (1, 0, 1, 0),
        [True, False, True, False],
        deque([1, 0, 1, 0]),
        np.array([1.0, 0.0, 1.0, 0.0]),
        np.array([True, False, True, False]),
        [np.float32(1), np.float64(0), 1, False],
    ],
    ids=repr,
)
def test_a_number_per_sample_has_its_mean_for_a_score(answer: Any) -> None:
    assert said(lambda model: answer) == Evaluation(0.5, (1.0, 0.0, 1.0, 0.0))


@pytest.mark.torch
def test_tensors_are_numbers_and_lists_of_them() -> None:
    import torch

    assert said(lambda model: torch.tensor(0.25)) == Evaluation(0.25)
    assert said(lambda model: torch.tensor([[0.5]])[0]) == Evaluation(0.5, (0.5,))
    weight = torch.ones(3, requires_grad=True)
    assert said(lambda model: weight * 2) == Evaluation(2.0, (2.0,) * 3)
    assert said(lambda model: torch.tensor([True, False])) == Evaluation(0.5, (1.0, 0.0))
    assert said(lambda model: torch.ones(2, dtype=torch.bfloat16)) == Evaluation(1.0, (1.0, 1.0))
    assert told(lambda model: torch.ones(2, 2)) == (
        f"accuracy returned [1.0, 1.0] for sample 1 for {OF}: expected a number"
    )
    assert told(lambda model: torch.ones(2, device="meta")).startswith(
        f"accuracy returned Tensor for {OF}, no number can be made of it: NotImplementedError: "
    )


A_NUMBER = "expected a number, higher being better, or one per sample"


class Wordy:
    def __repr__(self) -> str:
        return "a\nb\x1b[2J" + "c" * 100


class Broken:
    def __float__(self) -> float:
        raise ValueError("no\nfloat")


class Unsaid:
    def __repr__(self) -> str:
        raise ValueError("no words")


@pytest.mark.parametrize(
    ("answer", "line"),
    [
        (None, f"accuracy returned nothing for {OF}: {A_NUMBER}"),
        ("0.9", f"accuracy returned '0.9' for {OF}: {A_NUMBER}"),
        (b"1", f"accuracy returned b'1' for {OF}: {A_NUMBER}"),
        (1j, f"accuracy returned 1j for {OF}: {A_NUMBER}"),
        ({"top1": 0.9}, f"accuracy returned {{'top1': 0.9}} for {OF}: {A_NUMBER}"),
        (float("nan"), f"accuracy returned nan for {OF}: expected a finite number"),
        (float("inf"), f"accuracy returned inf for {OF}: expected a finite number"),
        (-np.float32("inf"), f"accuracy returned -inf for {OF}: expected a finite number"),
        ([], f"accuracy returned no values for {OF}: expected a number, or one per sample"),
        (
            np.zeros(0),
            f"accuracy returned no values for {OF}: expected a number, or one per sample",
        ),
        (
            [1.0, float("nan")],
            f"accuracy returned nan for sample 2 for {OF}: expected a finite number",
        ),
        (
            [float("inf"), float("-inf")],
            f"accuracy returned inf for sample 1 for {OF}: expected a finite number",
        ),
        ([0.5, "a"], f"accuracy returned 'a' for sample 2 for {OF}: expected a number"),
        ([0.5, None], f"accuracy returned nothing for sample 2 for {OF}: expected a number"),
        ([[1.0]], f"accuracy returned [1.0] for sample 1 for {OF}: expected a number"),
        (
            10**400,
            f"accuracy returned int for {OF}, no number can be made of it: "
            "OverflowError: int too large to convert to float",
        ),
        (Wordy(), f"accuracy returned a\\nb\\x1b[2J{'c' * 53} for {OF}: {A_NUMBER}"),
    ],
    ids=ascii,
)
def test_what_is_no_score_is_told_in_a_line(answer: Any, line: str) -> None:
    assert told(lambda model: answer) == line


@pytest.mark.parametrize(
    "answer",
    [Broken(), [Broken()], Unsaid(), [Unsaid()]],
    ids=["float", "floats", "repr", "reprs"],
)
def test_an_answer_that_fails_itself_is_told_in_a_line(answer: Any) -> None:
    line = told(lambda model: answer)
    assert line.startswith(f"accuracy returned {type(answer).__name__} for {OF}, no number can be")


# -- what it raises


def test_what_is_raised_is_told_with_its_place() -> None:
    def accuracy(model: Any) -> float:
        raise ValueError(f"no {model}\nand more")

    line = told(accuracy)
    assert re.fullmatch(
        rf"accuracy failed for {OF}: ValueError: no the model itself "
        r"\(test_scoring_calling\.py:\d+, `raise ValueError\(.*\)`\)",
        line,
    )


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (SystemExit(3), "SystemExit: 3"),
        (SystemExit(), "SystemExit"),
        (AssertionError(), "AssertionError"),
        (KeyError("top1"), "KeyError: 'top1'"),
        (AttributeError("no such thing"), "AttributeError: no such thing"),
        (ImportError("No module named 'x'"), "ImportError: No module named 'x'"),
        (MemoryError(), "MemoryError"),
        (StopIteration(), "StopIteration"),
        (OSError(2, "No such file", "val.npz"), "OSError: [Errno 2] No such file: 'val.npz'"),
    ],
    ids=repr,
)
def test_any_error_of_its_own_is_its_own(error: BaseException, text: str) -> None:
    def accuracy(model: Any) -> float:
        raise error

    text = text.replace("OSError", type(error).__name__) if isinstance(error, OSError) else text
    assert told(accuracy).startswith(f"accuracy failed for {OF}: {text} (test_scoring_calling.py:")


def test_endless_recursion_is_told() -> None:
    def accuracy(model: Any) -> Any:
        return accuracy(model)

    assert told(accuracy).startswith(f"accuracy failed for {OF}: RecursionError: ")


def test_a_call_that_does_not_fit_it_is_told() -> None:
    line = told(lambda: 0.5)  # type: ignore[misc,arg-type]
    assert "takes 0 positional arguments but 1 was given" in line


def test_ctrl_c_passes() -> None:
    def accuracy(model: Any) -> float:
        signal.raise_signal(signal.SIGINT)
        time.sleep(10)
        return 0.5

    with pytest.raises(KeyboardInterrupt):
        said(accuracy)


# -- how long it takes


def sleeping(model: Any) -> float:
    time.sleep(60)
    return 0.5


def busy(model: Any) -> float:
    while True:
        pass


def stubborn(model: Any) -> float:
    while True:
        with suppress(Exception):
            time.sleep(0.01)


def tidy(model: Any) -> float:
    try:
        time.sleep(60)
    finally:
        raise RuntimeError("while it was tidied up")


def forgiving(model: Any) -> float:
    with suppress(BaseException):
        time.sleep(60)
    return 0.5


SLEPT: list[int] = []
"""Who was not interrupted."""


def forgiving_twice(model: Any) -> float:
    for turn in range(2):
        with suppress(BaseException):
            time.sleep(20)
            SLEPT.append(turn)
    return 0.5


ENDLESS = [busy, stubborn, tidy, forgiving, forgiving_twice]
TOO_LONG = (
    f"accuracy did not return within 50.0 ms for {OF} "
    "(--score-timeout 2h, or score_timeout_s, gives it longer)"
)


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="no alarms")
@pytest.mark.parametrize("function", [sleeping, *ENDLESS])
def test_what_takes_for_ever_is_interrupted(function: Callable[[Any], float]) -> None:
    before = signal.getsignal(signal.SIGALRM)
    assert told(function, 0.05) == TOO_LONG
    assert SLEPT == []
    assert signal.getsignal(signal.SIGALRM) is before
    assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)


def in_another_thread(work: Callable[[], Any]) -> Any:
    """Return what work comes to in a thread that is not the main one."""
    found: list[Any] = []

    def run() -> None:
        found.append(work())
        for _ in range(1000):  # what was left pending would be raised here
            time.sleep(0)
        found.append("ended")

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert found[1:] == ["ended"]
    return found[0]


def polling(model: Any) -> float:
    while True:
        time.sleep(0.005)


def forgiving_in_turns(model: Any) -> float:
    for _ in range(2):
        with suppress(BaseException):
            polling(model)
    return 0.5


@pytest.mark.parametrize("function", [busy, stubborn, polling, forgiving_in_turns])
def test_it_is_interrupted_in_any_thread(function: Callable[[Any], float]) -> None:
    assert in_another_thread(lambda: told(function, 0.05)) == TOO_LONG


def test_what_returns_in_time_is_not_interrupted_afterwards() -> None:
    assert in_another_thread(lambda: said(lambda model: 0.5, 0.2)) == Evaluation(0.5)
    assert said(lambda model: 0.5, 0.2) == Evaluation(0.5)
    time.sleep(0.3)


@pytest.mark.parametrize("limit_s", [1e9, 1e20, 1e100, float("inf")])
def test_no_limit_is_too_long_for_a_clock(limit_s: float) -> None:
    assert said(lambda model: 0.5, limit_s) == Evaluation(0.5)
    assert in_another_thread(lambda: said(lambda model: 0.5, limit_s)) == Evaluation(0.5)


def test_an_error_in_time_is_its_own() -> None:
    with pytest.raises(ZeroDivisionError), interrupted_after(60):
        _ = 1 / 0


def test_the_first_call_has_ten_minutes_and_others_ten_times_the_slowest() -> None:
    assert next_limit_s(None, None) == FIRST_LIMIT_S == 600
    assert next_limit_s(None, 30.0) == 300
    assert next_limit_s(None, 0.1) == LEAST_LIMIT_S == 60
    assert next_limit_s(5.0, None) == next_limit_s(5.0, 100.0) == 5


# -- in its world


def test_random_numbers_are_the_same_every_time_and_those_outside_go_on() -> None:
    random.seed(7)
    np.random.seed(7)
    expected = random.random(), float(np.random.rand())
    random.seed(7)
    np.random.seed(7)
    found = []
    for _ in range(2):
        with seeded():
            found.append((random.random(), float(np.random.rand())))
    assert found[0] == found[1] != expected
    assert (random.random(), float(np.random.rand())) == expected


# -- seen with its model


def stopping(model: Any) -> None:
    raise Stopped


def stopping_and_failing(model: Any) -> None:
    try:
        raise Stopped
    except BaseException as error:
        raise ValueError("odd") from error


def test_what_a_watched_function_returns_is_not_looked_at() -> None:
    for function in (stopping, lambda model: None):
        watched(Score("accuracy", function), MODEL, None)


def test_a_watched_function_that_fails_says_why() -> None:
    with pytest.raises(
        InputError, match=r"^accuracy failed for the model as it is: ValueError: odd"
    ):
        watched(Score("accuracy", stopping_and_failing), MODEL, None)
    with pytest.raises(InputError, match=r"^accuracy did not return within 50\.0 ms for the model"):
        watched(Score("accuracy", busy), MODEL, 0.05)


# -- which function


EVAL = """
import beside
TABLE = [1, 2]
class Accuracy:
    def __call__(self, model):
        return beside.SCORE
    def method(self, model):
        import late
        return late.SCORE
one = Accuracy()
def accuracy(model):
    return 0.25
"""


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    (tmp_path / "eval.py").write_text(EVAL)
    (tmp_path / "beside.py").write_text("SCORE = 0.5\n")
    (tmp_path / "late.py").write_text("SCORE = 0.75\n")
    monkeypatch.chdir(tmp_path)
    before = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - before:
        del sys.modules[name]


@pytest.mark.parametrize(
    ("name", "score"),
    [("eval.py:accuracy", 0.25), ("eval.py:one", 0.5), ("eval.py:one.method", 0.75)],
)
def test_a_function_in_a_file_finds_what_lies_beside_it(
    here: Path, name: str, score: float
) -> None:
    found = score_of(name)
    assert found.name == name
    assert called(found, MODEL, 60, OF) == Evaluation(score)


def test_a_file_that_was_changed_is_another_score(here: Path) -> None:
    before = score_of("eval.py:accuracy").made_of
    assert score_of(here / "eval.py:accuracy").made_of == before
    (here / "eval.py").write_text(EVAL + "\n")
    assert score_of("eval.py:accuracy").made_of != before


@pytest.mark.parametrize(
    ("target", "line"),
    [
        (
            "accuracy",
            "--score: expected a function in a file, such as eval.py:accuracy, found 'accuracy'",
        ),
        (
            "eval.accuracy",
            "--score: expected a function in a file, such as eval.py:accuracy, found 'eval.accuracy'",
        ),
        ("no.py:accuracy", "--score no.py:accuracy: no such file: no.py"),
        ("eval.py:TABLE", "--score eval.py:TABLE: expected a function of a model, found list"),
        (
            "eval.py:acuracy",
            "--score eval.py:acuracy: there is no 'acuracy' in eval.py (did you mean 'accuracy'?)",
        ),
        ("eval.py", "--score eval.py: name what is meant of it, as eval.py:NAME, one of "),
    ],
)
def test_a_function_that_is_not_there_is_told_in_a_line(here: Path, target: str, line: str) -> None:
    with pytest.raises(InputError) as found:
        score_of(target)
    assert str(found.value).startswith(line)


def test_a_function_of_python_has_its_name(here: Path) -> None:
    assert score_of(sleeping).name == "sleeping"
    assert score_of(lambda model: 0.5).name.endswith("<lambda>")
    assert score_of(deque).name == "deque"
    with pytest.raises(
        InputError, match=r"^score is a function of a model, or file\.py:NAME, found 3$"
    ):
        score_of(3)  # type: ignore[arg-type]


# -- how it is asked


def test_what_is_asked_of_a_score_is_checked() -> None:
    score = score_of(sleeping)
    assert scorer_of(None) is None
    assert scorer_of(score) == Scorer(score)
    assert scorer_of(score, 50, "90s", "kept.jsonl") == Scorer(
        score, Budget(50), 90.0, Path("kept.jsonl")
    )
    assert scorer_of(score, timeout=2, journal=USUAL) == Scorer(score, Budget(), 2.0, USUAL)


@pytest.mark.parametrize("name", ["budget", "timeout", "journal"])
def test_without_a_score_nothing_is_asked_of_it(name: str) -> None:
    with pytest.raises(InputError) as found:
        scorer_of(None, **{name: "10"})
    assert str(found.value) == f"a score's {name} has no meaning without a score: give --score"


@pytest.mark.parametrize(
    ("given", "budget"),
    [
        (None, Budget(100)),
        ("2", Budget(2)),
        (" 1k ", Budget(1000)),
        (250, Budget(250)),
        (60.0, Budget(60)),
        ("90s", Budget(None, 90)),
        ("10min", Budget(None, 600)),
        ("1.5h", Budget(None, 5400)),
        ("500ms", Budget(None, 0.5)),
        (Budget(3, None), Budget(3)),
    ],
    ids=str,
)
def test_a_budget_is_evaluations_or_a_time(given: Any, budget: Budget) -> None:
    assert parse_budget(given) == budget


@pytest.mark.parametrize(
    "given",
    [
        "",
        "0",
        "1",
        "-5",
        "2.5",
        "0s",
        "-3s",
        "5%",
        "ten",
        "10 minutes",
        "nan",
        "inf",
        "3 MB",
        True,
        "9" * 99,
    ],
)
def test_a_budget_that_is_none_is_told_in_a_line(given: Any) -> None:
    with pytest.raises(InputError) as found:
        parse_budget(given)
    assert str(found.value).startswith(
        "score budget: expected evaluations such as 100, or a time such as 10min, found '"
    )
    assert len(str(found.value)) < 200


@pytest.mark.parametrize("given", ["0s", "90", "-1s", "soon", "", 0, -1.0, float("nan")], ids=str)
def test_a_timeout_that_is_none_is_told_in_a_line(given: Any) -> None:
    with pytest.raises(InputError, match=r"^score timeout: expected a ") as found:
        scorer_of(sleeping, timeout=given)
    assert "\n" not in str(found.value)


# -- beside others


def test_somebody_elses_alarm_is_as_it_was_but_for_the_time_that_went_by() -> None:
    rung: list[int] = []
    before = signal.signal(signal.SIGALRM, lambda number, _: rung.append(number))
    signal.setitimer(signal.ITIMER_REAL, 60, 5)
    try:
        called(Score("score", lambda model: 1.0), None, 30, "it")
        left_s, every_s = signal.getitimer(signal.ITIMER_REAL)
        assert (50 < left_s <= 60, every_s, rung) == (True, 5, [])
        assert signal.getsignal(signal.SIGALRM) not in (signal.SIG_DFL, signal.SIG_IGN)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def test_ctrl_c_while_a_call_that_took_too_long_cleans_up_is_ctrl_c() -> None:
    def score(model: object) -> float:
        try:
            while True:
                pass
        finally:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        called(Score("score", score), None, 0.05, "it")


def made_by(factor: float) -> Any:
    return lambda model: factor


@pytest.mark.parametrize(
    ("one", "other", "is_same"),
    [
        (lambda model: 1.0, lambda model: 2.0, False),
        (lambda model: len(model), lambda model: sum(model), False),
        (made_by(1.0), made_by(2.0), False),
        (made_by(1.0), made_by(1.0), True),
    ],
    ids=["constants", "names", "closures", "the same"],
)
def test_functions_of_python_are_told_apart_by_their_code(
    one: Any, other: Any, is_same: bool
) -> None:
    first, second = score_of(one).made_of, score_of(other).made_of
    assert first is not None
    assert (first == second) == is_same


def test_what_a_file_imports_from_beside_it_tells_it_from_others(tmp_path: Path) -> None:
    (tmp_path / "eval_here.py").write_text(
        "import helping\ndef score(model): return helping.VALUE\n"
    )
    (tmp_path / "helping.py").write_text("VALUE = 1.0\n")
    first = score_of(str(tmp_path / "eval_here.py:score")).made_of
    (tmp_path / "unrelated.py").write_text("VALUE = 5.0\n")
    assert score_of(str(tmp_path / "eval_here.py:score")).made_of == first
    (tmp_path / "helping.py").write_text("VALUE = 2.0\n")
    assert score_of(str(tmp_path / "eval_here.py:score")).made_of != first


def test_what_is_too_large_to_compute_with_is_no_number() -> None:
    line = told(lambda model: [1e308] * 3)
    assert line == f"accuracy returned 1e+308 for sample 1 for {OF}: expected a finite number"


def test_a_score_that_goes_to_another_folder_comes_back(tmp_path: Path) -> None:
    before = Path.cwd()

    def score(model: object) -> float:
        os.chdir(tmp_path)
        return 1.0

    called(Score("score", score), None, 30, "it")
    assert Path.cwd() == before


def test_a_function_that_counts_its_calls_stays_the_same() -> None:
    calls = 0

    def score(model: object) -> float:
        nonlocal calls
        calls += 1
        return 1.0

    before = score_of(score).made_of
    score(None)
    assert (calls, score_of(score).made_of) == (1, before)


SAME_EVERYWHERE = """
import dscost.converting.scoring.identity as identity

def score(model, held=object(), names=("a", "b")):
    return float(model in {"one", "two", "three", "four"})

print(identity.hash_of_function(score))
"""


def test_a_function_of_python_is_the_same_in_every_process() -> None:
    said = {
        subprocess.run(
            [sys.executable, "-c", SAME_EVERYWHERE],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2", "3")
    }
    assert len(said) == 1
    assert len(said.pop().strip()) == 64


def test_an_environment_beside_a_score_is_no_part_of_it(tmp_path: Path) -> None:
    installed = tmp_path / ".venv" / "lib" / "site-packages"
    installed.mkdir(parents=True)
    (installed / "library_here.py").write_text("VALUE = 1.0\n")
    (tmp_path / "eval_there.py").write_text(
        f"import sys\nsys.path.append({str(installed)!r})\nimport library_here\n"
        "def score(model): return library_here.VALUE\n"
    )
    first = score_of(str(tmp_path / "eval_there.py:score")).made_of
    (installed / "library_here.py").write_text("VALUE = 2.0\n")
    assert score_of(str(tmp_path / "eval_there.py:score")).made_of == first
