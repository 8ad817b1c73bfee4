"""A model's code that ends or crashes the process is one line and exit code 2, not silence and 0.

A command that runs such code does so in a child, and the process that was started waits for it: it
knows whether the command came to its end, passes signals on, and ends with the same code. Where
there is no fork there is no such guard.
"""

import os
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import suppress
from itertools import pairwise
from types import FrameType
from typing import NoReturn

from dscost.cli.signals import INTERRUPTED, signals

COMMANDS = ("model", "compare", "sweep", "convert", "verify", "which", "init")
_DIE_WITH_PARENT = 1
"""PR_SET_PDEATHSIG of Linux' prctl."""

_report: int | None = None
"""Where a supervised process tells its exit code."""


def foreign_targets(arguments: Sequence[str]) -> list[str]:
    """Return the arguments that look like code: `pkg.mod:factory`, `file.py`, `timm:NAME`.

    >>> foreign_targets(["model", "net.py:make", "--input", "x=1,3,8,8:int64"])
    ['net.py:make']
    >>> foreign_targets(["list", "a:b"]), foreign_targets(["sweep", "--cin", "8:64"])
    ([], [])
    """
    if not arguments or arguments[0] not in COMMANDS or "--isolate" in arguments:
        return []
    if arguments[0] == "sweep":  # of grids, whose ranges look like code
        arguments = ["", *_values_of("--model", arguments)]
    words = [word for word in arguments[1:] if not word.startswith("-") and "=" not in word]
    files = (".pt2", ".py")
    return [word for word in words if word.endswith(files) or (":" in word and not _is_data(word))]


def _values_of(option: str, arguments: Sequence[str]) -> Iterator[str]:
    """Yield the values of an option that may be given several times."""
    for before, word in pairwise(arguments):
        if before == option:
            yield word
    for word in arguments:
        if word.startswith(f"{option}="):
            yield word.removeprefix(f"{option}=")


def _is_data(word: str) -> bool:
    return any(f"{ending}:" in word for ending in (".yaml", ".yml", ".json"))


def supervise(target: str) -> None:
    """Go on in a child process, and wait for it here; returns in the child only."""
    global _report
    if not hasattr(os, "fork"):
        return
    reading, writing = os.pipe()
    parent = os.getpid()
    child = os.fork()
    if child:
        os.close(writing)
        _wait(child, reading, target)
    os.close(reading)
    _report = writing
    _die_with(parent)


def finish(code: int) -> None:
    """Tell the process that waits, if one does, that the command came to its end."""
    global _report
    if _report is not None:
        with suppress(OSError):  # somebody's code has closed it
            os.write(_report, bytes([code]))
        _report = None


def _wait(child: int, reading: int, target: str) -> NoReturn:
    from dscost.cli.printing import tell

    def pass_on(number: int, frame: FrameType | None) -> None:
        again, signals.received = signals.received is not None, number
        with suppress(ProcessLookupError):
            os.kill(child, signal.SIGKILL if again else number)

    for number in (signal.SIGINT, signal.SIGTERM):
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, pass_on)
    _, status = os.waitpid(child, 0)
    os.set_blocking(reading, False)
    code = None
    # nothing was told, and a process that the model left keeps the pipe open
    with suppress(BlockingIOError):
        code = next(iter(os.read(reading, 1)), None)
    if signals.received is not None:
        signals.told = code == INTERRUPTED
        signals.end()
    if code is None:
        from dscost.analysis.isolated import how_it_ended

        ending = how_it_ended(os.waitstatus_to_exitcode(status))
        tell(f"dscost: {target}: its code ended the process ({ending})", "bad")
        code = 2
    os._exit(code)


def _die_with(parent: int) -> None:
    """See to it that no child stays behind where its parent is killed, on systems that can."""
    if sys.platform != "linux":
        return
    import ctypes

    ctypes.CDLL(None).prctl(_DIE_WITH_PARENT, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(INTERRUPTED)
