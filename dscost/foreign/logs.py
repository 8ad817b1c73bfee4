"""What libraries log, print and warn of, kept from the terminal."""

import logging
import os
import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from io import StringIO


@contextmanager
def quietly(speakers: Sequence[str]) -> Iterator[list[BaseException]]:
    """Give the errors that a library logs instead of raising them, and keep it from printing.

    Args:
        speakers: How the names of its loggers begin.
    """
    begins = tuple(speakers)
    handler = _Reasons()
    known = logging.root.manager.loggerDict
    loggers = [logging.getLogger(name) for name in (*begins, *known) if name.startswith(begins)]
    before = [(logger, logger.handlers, logger.propagate) for logger in loggers]
    for logger in loggers:  # torch gives some of them handlers of their own
        logger.handlers, logger.propagate = [handler], False
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield handler.reasons
    finally:
        for logger, handlers, propagate in reversed(before):
            logger.handlers, logger.propagate = handlers, propagate


@contextmanager
def silent_output() -> Iterator[None]:
    """Send what is written to standard output and error nowhere, be it by C++ code.

    Those are of the whole process: what other threads print meanwhile is lost too.
    """
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:
            stream.flush()
    copies = [(number, os.dup(number)) for number in (1, 2) if _is_open(number)]
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        for number, _ in copies:
            os.dup2(nowhere, number)
        # a notebook, and a test, have other streams than those
        with redirect_stdout(StringIO()), redirect_stderr(StringIO()):
            yield
    finally:
        for number, copy in copies:
            os.dup2(copy, number)
            os.close(copy)
        os.close(nowhere)


def _is_open(number: int) -> bool:
    try:
        os.fstat(number)
    except OSError:
        return False
    return True


class _Reasons(logging.Handler):
    """Keeps the errors that are logged."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.reasons: list[BaseException] = []

    def emit(self, record: logging.LogRecord) -> None:
        error = record.exc_info[1] if isinstance(record.exc_info, tuple) else record.exc_info
        if isinstance(error, BaseException):
            self.reasons.append(error)
