"""Run command lines in this process, and judge what came of them: for tests that try many, right, wrong and hostile.

What is wrong with an outcome (`fault`): something escapes, a traceback, an "internal error", more than `LIMIT_S` of
processor time, an exit code that means nothing, a failure without a word, a result beside a failure, an escape
sequence or an endless line on stderr, a file that was half-written, and anything executed that nobody asked for: code
planted in a file betrays itself by making the file `TRIPWIRE` in the working folder.

A test draws its cases from `random.Random(SEED)`, `N` of them; both are read from the environment, so that the same
test is the long run: `SEED=3 N=2500 pytest tests/test_fuzzing_commands.py`.
"""

import io
import os
import re
import signal
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout, suppress
from pathlib import Path
from tempfile import TemporaryFile
from types import FrameType
from typing import IO, NamedTuple

from dscost.cli import run

SEED = int(os.environ.get("SEED", "1"))
LIMIT_S = 5.0
"""Of processor time: a machine that others use as well makes the clock lie."""
HANGS_S = 30
"""After so many seconds a command is broken off."""
LONGEST_LINE = 20_000
MAY_EXIT_1 = ("check", "baseline", "verify", "which")
MAY_FAIL_WITH_A_RESULT = ("check",)
TRIPWIRE = "executed"


def cases(usual: int) -> int:
    """Return how many cases to try: `N` of the environment, or as many as a test has time for."""
    return int(os.environ.get("N", usual))


class Outcome(NamedTuple):
    """What one command line did; `escaped` is the exception that came out of it, which none may."""

    arguments: Sequence[str]
    code: int | None
    out: str
    err: str
    cpu_s: float
    escaped: str | None = None

    @property
    def command(self) -> str:
        """The first word that is no option."""
        return next((word for word in self.arguments if not word.startswith("-")), "")


class _Hang(BaseException):
    """Not an `Exception`, so that nothing takes it for an error of its own."""


def outcome_of(arguments: Sequence[str]) -> Outcome:
    """Run a command line in this process, with streams of its own."""
    out, err = _stream(), _stream()
    code, escaped = None, None
    started = time.process_time()
    try:
        with _broken_off(), redirect_stdout(out), redirect_stderr(err):
            code = run(list(arguments))
    except _Hang:
        escaped = f"hangs for {HANGS_S} s"
    except BaseException as error:  # noqa: BLE001 - that nothing at all escapes is what is tested
        escaped = f"{type(error).__name__}: {error}"
    return Outcome(arguments, code, _text(out), _text(err), time.process_time() - started, escaped)


def _stream() -> IO[str]:
    """Return a stream with a file descriptor, as stdout and stderr have one."""
    return io.TextIOWrapper(
        TemporaryFile(), encoding="utf-8", errors="replace", newline="", write_through=True
    )


def _text(stream: IO[str]) -> str:
    with stream, suppress(OSError, ValueError):  # it was abandoned, or closed by somebody's code
        stream.seek(0)
        return stream.read()
    return ""


@contextmanager
def _broken_off() -> Iterator[None]:
    """Break a command off that hangs, where the system can."""
    if not hasattr(signal, "SIGALRM"):
        yield
        return

    def ring(number: int, frame: FrameType | None) -> None:
        raise _Hang

    before = signal.signal(signal.SIGALRM, ring)
    signal.alarm(HANGS_S)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def fault(outcome: Outcome) -> str | None:
    """Return what is wrong with an outcome, or `None` where all is as it must be."""
    said = f"{outcome.err[-600:]!r}"
    for is_wrong, what in _verdicts(outcome):
        if is_wrong:
            return f"{what}; stderr {said}"
    return None


def _verdicts(outcome: Outcome) -> Iterator[tuple[bool, str]]:
    code, out, err, command = outcome.code, outcome.out, outcome.err, outcome.command
    failed = code == 2
    yield outcome.escaped is not None, f"escaped: {outcome.escaped}"
    yield "Traceback (most recent call last)" in out + err, "a traceback"
    yield "internal error" in err, "an internal error"
    yield outcome.cpu_s > LIMIT_S, f"{outcome.cpu_s:.1f} s of processor time"
    yield code not in (0, 1, 2, 130), f"exit code {code}"
    yield code == 1 and command not in MAY_EXIT_1, "exit 1, which means over budget"
    yield (
        failed and not err.strip() and not (command == "check" and out.strip()),
        "failed without a word",
    )
    yield (
        failed and bool(out.strip()) and command not in MAY_FAIL_WITH_A_RESULT,
        f"failed with a result: {out[:200]!r}",
    )
    yield bool(re.search(r"(?m)^\S*\.py:\d+: \w*Warning", err)), "a Python warning"
    wants_colour = "always" in outcome.arguments
    shown = re.sub(r"\x1b\[[0-9;]*m", "", err) if wants_colour else err
    yield bool(re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]", shown)), "a control character on stderr"
    yield any(len(line) > LONGEST_LINE for line in err.splitlines()), "an endless line on stderr"


def fault_of_files(
    folder: Path, before: dict[str, bytes], written: Iterable[str] = ()
) -> str | None:
    """Return what is wrong with the files of a folder after a command, or `None`.

    Args:
        folder: Where the command ran.
        before: What `contents` said before.
        written: Names of the files that the command was asked to write.
    """
    after = contents(folder)
    if TRIPWIRE in after:
        return "code was executed that nobody asked for"
    left = [name for name in after if name.startswith(".dscost-")]
    if left:
        return f"left behind: {left}"
    changed = [name for name in before if after.get(name) != before[name] and name not in written]
    return f"changed: {changed}" if changed else None


def contents(folder: Path) -> dict[str, bytes]:
    """Return what the files of a folder hold, those in folders below it not."""
    return {
        one.name: one.read_bytes()
        for one in folder.iterdir()
        if one.is_file() and os.access(one, os.R_OK)
    }


def faults(
    lines: Iterable[Sequence[str]], judge: Callable[[Outcome], str | None] = fault
) -> dict[str, str]:
    """Run command lines and return the first of each kind of fault, as it would be typed, by what is wrong."""
    found: dict[str, str] = {}
    for line in lines:
        wrong = judge(outcome_of(line))
        if wrong:
            found.setdefault(re.sub(r"\d+", "#", wrong), f"{list(line)!r:.600}: {wrong}")
    return found
