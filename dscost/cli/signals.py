"""Ctrl-C and SIGTERM, from before the first heavy import to after the last line.

While a command runs, the first one unwinds it, so that no file is left half-written, and a second
ends at once. Before and after there is nothing to unwind. Ctrl-C always exits 130 with one line;
SIGTERM kills as it always does.
"""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from time import monotonic
from types import FrameType
from typing import NoReturn

INTERRUPTED = 130
ECHO_S = 0.2
"""A terminal interrupts the process that waits and the one that works; the former passes it on all
the same."""
CLEAN_LINE = b"\r\x1b[K"


class Signals:
    """What came in, and what is to be done about it.

    Args:
        are_ours: Whether `take_over` was called: in a process of somebody else's nothing is
            touched.
        received: The last signal, if any came.
        told: Whether the user knows.
    """

    are_ours = False
    received: int | None = None
    told = False
    _unwinds = False
    _received_s = -ECHO_S

    def take_over(self) -> None:
        """Handle both signals from now on, unless they were switched off, as by nohup."""
        self.are_ours = True
        for number in (signal.SIGINT, signal.SIGTERM):
            if signal.getsignal(number) is not signal.SIG_IGN:
                signal.signal(number, self._receive)

    @contextmanager
    def unwinding(self) -> Iterator[None]:
        """Let the first signal raise `KeyboardInterrupt` within."""
        self._unwinds = True
        try:
            yield
        finally:
            self._unwinds = False

    def end(self) -> NoReturn:
        """End the process at once, as the signal that came in says."""
        number = self.received or signal.SIGINT
        with suppress(OSError):
            if os.isatty(2):
                os.write(2, CLEAN_LINE)
            if number == signal.SIGINT and not self.told:
                os.write(2, b"interrupted\n")
        if number != signal.SIGINT:
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)
        os._exit(INTERRUPTED)

    def _receive(self, number: int, frame: FrameType | None) -> None:
        now = monotonic()
        is_first, is_echo = self.received is None, now - self._received_s < ECHO_S
        self.received, self._received_s = number, now
        if is_first and self._unwinds:
            raise KeyboardInterrupt
        if not is_echo:
            self.end()


signals = Signals()
"""Of this process."""
