"""stdout belongs to the result: everybody else's descriptor 1 is stderr.

A model's own code may print, and so may a C library, a child process, a thread, or what runs at the
exit: none of that goes through `sys.stdout`, all of it through descriptor 1. So the process keeps
duplicates of what it was started with for itself, and writes the result to those.
"""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from typing import TextIO

from dscost.cli.progress import beside
from dscost.cli.signals import signals
from dscost.encodable import ERRORS, lacking
from dscost.errors import InputError

_result: TextIO | None = None
"""Where our result goes, in a process of our own: what a model finds as `sys.stdout` is stderr."""
_owner: int | None = None
"""The process whose result it is; a model may have forked another."""


def keep_to_ourselves() -> None:
    """Take stdout and stderr over for this process: descriptor 1 is stderr from now on.

    A stream that is closed is the null device, or absent for stdout, which can then not be written.
    """
    global _result
    own_result()
    _open_closed()
    original = sys.stdout
    result = None if original is None else os.dup(1)
    os.dup2(2, 1)
    sys.stderr = _stream(2 if sys.stderr is None else os.dup(2), sys.stderr, line_buffering=True)
    if result is not None:
        sys.stdout = _result = _stream(result, original, line_buffering=os.isatty(result))


def result_stream() -> TextIO | None:
    """Return where the result goes, or `None` where stdout is closed."""
    return sys.stdout if _owner is None else _result


def result_encoding() -> str | None:
    """Return what the result is written in, or `None` where that has every character."""
    return lacking(getattr(result_stream(), "encoding", None))


def own_result() -> None:
    """Make this process the one whose result it is."""
    global _owner
    _owner = os.getpid()


def is_owner() -> bool:
    """Whether this process is the one that was started, and not one that a model forked."""
    return _owner in (None, os.getpid())


@contextmanager
def foreign_code(*targets: str) -> Iterator[None]:
    """Let a model's own code run: what it prints goes to stderr, what it raises is told as its."""
    from dscost.foreign.containing import contained

    what = " or ".join(targets)
    with _their_streams(), contained(what):
        try:
            yield
        except KeyboardInterrupt as error:
            if signals.are_ours and signals.received is None:  # nobody has pressed Ctrl-C
                raise InputError(f"{what}: its code raised KeyboardInterrupt") from error
            raise


@contextmanager
def _their_streams() -> Iterator[None]:
    """Let code print, close and replace streams as it likes."""
    if _owner is None:  # within somebody else's process, such as a test's
        with redirect_stdout(sys.stderr):
            yield
        return
    ours = sys.stderr
    sys.stdout, sys.stderr = beside(sys.__stdout__ or ours), beside(sys.__stderr__ or ours)
    try:
        yield
    finally:
        if not is_owner():  # both have come back from a fork: one result is enough
            os._exit(0)
        # a thread of theirs, or what they want done at the exit, prints for as long as the process
        # lives
        sys.stdout, sys.stderr = sys.__stdout__ or ours, ours


def _open_closed() -> None:
    """Open the null device for standard descriptors that are closed, lest files take them."""
    for number in (0, 1, 2):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest free number, which is this one


def _stream(descriptor: int, like: TextIO | None, *, line_buffering: bool) -> TextIO:
    encoding = (like.encoding if like is not None else None) or "utf-8"
    # as long as we live
    stream = open(descriptor, "w", encoding=encoding, errors=ERRORS, closefd=False)  # noqa: SIM115
    stream.reconfigure(line_buffering=line_buffering)
    return stream
