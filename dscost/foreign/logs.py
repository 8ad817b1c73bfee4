"""What libraries log and warn of, kept from the terminal."""

import logging
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager


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


class _Reasons(logging.Handler):
    """Keeps the errors that are logged."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.reasons: list[BaseException] = []

    def emit(self, record: logging.LogRecord) -> None:
        error = record.exc_info[1] if isinstance(record.exc_info, tuple) else record.exc_info
        if isinstance(error, BaseException):
            self.reasons.append(error)
