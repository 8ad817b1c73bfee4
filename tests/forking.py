"""Processes forked from the tests' own: what only a process has they have, and torch is loaded already.

A start takes two seconds where a model's code needs torch, a fork some hundredths of one. Whatever
is about the start itself (what is imported, the first signals) is a case for `program.start`.
"""

import atexit
import os
import signal
import subprocess
import sys
import threading
import time
import traceback
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryFile
from types import SimpleNamespace
from typing import IO, Any, NoReturn
from unittest import mock

from program import Ran, told_warnings

import dscost.cli
from dscost.analysis import workers


def forked(*arguments: str, cwd: Path | None = None, env: Mapping[str, str] | None = None) -> Ran:
    """Run a command line in a process of its own, from the call of `main` to the end."""

    def command() -> None:
        os.environ.update(env or {})
        os.chdir(cwd or ".")
        dscost.cli.main(arguments)

    with open(os.devnull) as nothing, TemporaryFile() as out, TemporaryFile() as err:  # noqa: PTH123
        pid = fork(command, nothing.fileno(), out.fileno(), err.fileno())
        _, status = os.waitpid(pid, 0)
        said = []
        for stream in (out, err):
            stream.seek(0)
            said.append(stream.read().decode())
    return subprocess.CompletedProcess(arguments, os.waitstatus_to_exitcode(status), *said)


@contextmanager
def forked_workers() -> Iterator[None]:
    """Fork the workers that count models, as long as nothing but their start is another."""
    stand_in = SimpleNamespace(Popen=ForkedPython, PIPE=subprocess.PIPE)
    with mock.patch.object(workers, "subprocess", stand_in):
        yield


class ForkedPython:
    """A Python that runs some code: as much of `subprocess.Popen` as a worker needs."""

    def __init__(self, command: Sequence[str], **_: Any) -> None:
        *_, code = command
        its_stdin, requests = os.pipe()
        answers, its_stdout = os.pipe()
        self.pid = fork(lambda: exec(code, {"__name__": "__main__"}), its_stdin, its_stdout)
        os.close(its_stdin)
        os.close(its_stdout)
        self.stdin: IO[bytes] = os.fdopen(requests, "wb")
        self.stdout: IO[bytes] = os.fdopen(answers, "rb")
        self._code: int | None = None

    def poll(self) -> int | None:
        """Return how it ended, or `None` as long as it runs."""
        return self._waited(os.WNOHANG)

    def wait(self) -> int | None:
        """Return how it ended, once it has."""
        return self._waited(0)

    def _waited(self, options: int) -> int | None:
        if self._code is None:
            pid, status = os.waitpid(self.pid, options)
            self._code = os.waitstatus_to_exitcode(status) if pid else None
        return self._code


def fork(work: Callable[[], object], *streams: int) -> int:
    """Start a process that works and ends as a program does, in a session of its own; return its number.

    Args:
        work: What it does; it may exit.
        streams: Its stdin, stdout and stderr, as far as they are not those of the tests.
    """
    for _ in range(3):
        with warnings.catch_warnings():
            warnings.simplefilter(
                "ignore", DeprecationWarning
            )  # no other thread here has a lock of dscost's
            pid = os.fork()
        if not pid:
            _become(work, streams)
        if _has_begun(pid):
            return pid
        # other threads, such as those of torch, may have had a lock: the child waits for it forever
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
    raise RuntimeError("three processes that were forked did not begin")


def _has_begun(pid: int) -> bool:
    """Whether a forked process has a session of its own, which whoever ends it ends; it has ten seconds."""
    end = time.monotonic() + 10
    while os.getsid(pid) != pid:
        if time.monotonic() > end:
            return False
        time.sleep(0.001)
    return True


def _become(work: Callable[[], object], streams: Sequence[int]) -> NoReturn:
    code: Any = 1
    try:
        os.setsid()
        for number, stream in enumerate(streams):
            os.dup2(stream, number)
        os.closerange(3, os.sysconf("SC_OPEN_MAX"))
        sys.stdin, sys.stdout, sys.stderr = (
            open(number, mode, closefd=False)  # noqa: SIM115
            for number, mode in enumerate(("r", "w", "w"))
        )
        sys.stderr.reconfigure(line_buffering=True, errors="backslashreplace")
        sys.__stdin__, sys.__stdout__, sys.__stderr__ = sys.stdin, sys.stdout, sys.stderr
        sys.unraisablehook, threading.excepthook = sys.__unraisablehook__, threading.__excepthook__
        atexit._clear()
        with told_warnings():
            work()
            code = 0
    except SystemExit as ended:
        code = ended.code
    except BaseException:  # noqa: BLE001 - told as Python tells it
        traceback.print_exc()
    finally:
        _end(code)


def _end(code: int) -> NoReturn:
    """End as the interpreter does: with the threads, what was registered, and what is still to be written."""
    with suppress(BaseException):
        threading._shutdown()
        atexit._run_exitfuncs()
        for stream in (sys.stdout, sys.__stdout__):
            with suppress(OSError, ValueError, AttributeError):
                stream.flush()
    os._exit(code)
