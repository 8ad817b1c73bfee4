"""Commands on a terminal: a pty of some size, what is drawn on it, and a key pressed when something is there."""

import fcntl
import os
import pty
import select
import signal
import struct
import termios
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from forking import fork

import dscost.cli

PATIENCE_S = 60.0
"""A command that says nothing for so long hangs."""


class Terminal:
    """A command that runs on a terminal.

    Args:
        pid: Its process.
        keyboard: The other end of the terminal.
    """

    def __init__(self, pid: int, keyboard: int) -> None:
        self.pid, self._keyboard = pid, keyboard
        self.drawn = ""
        self._code: int | None = None
        self._bytes = b""

    def until(self, text: str) -> str:
        """Wait until a text is drawn, and return all that was; nothing else ends the wait."""
        while text not in self.drawn:
            assert self._read(), f"{text!r} was never drawn, but {self.drawn!r}"
        return self.drawn

    def to_the_end(self) -> str:
        """Wait until the command is over, and return all that it has drawn."""
        while self._read():
            pass
        return self.drawn

    @property
    def code(self) -> int:
        """How it ended."""
        if self._code is None:
            self._code = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])
        return self._code

    def interrupt(self) -> None:
        """Press Ctrl-C."""
        os.kill(self.pid, signal.SIGINT)

    def _read(self) -> bool:
        ready, _, _ = select.select([self._keyboard], [], [], PATIENCE_S)
        assert ready, f"nothing more was drawn than {self.drawn!r}"
        try:
            found = os.read(self._keyboard, 65536)
        except OSError:  # what Linux says where nobody has the other end any more
            return False
        self._bytes += found
        self.drawn = self._bytes.decode(errors="ignore").replace("\r\n", "\n")
        return bool(found)


@contextmanager
def on_terminal(
    *arguments: str,
    cwd: Path,
    env: Mapping[str, str] | None = None,
    size: tuple[int, int] = (40, 100),
    around: Callable[[], object] = lambda: None,
) -> Iterator[Terminal]:
    """Run a command line on a terminal of some lines and columns, forked from the tests' process.

    Args:
        arguments: The command line.
        cwd: Where it runs.
        env: What is different in its environment.
        size: Lines and columns.
        around: What is done before, in its process.
    """
    keyboard, screen = pty.openpty()
    fcntl.ioctl(keyboard, termios.TIOCSWINSZ, struct.pack("HHHH", *size, 0, 0))

    def command() -> None:
        for name in ("JPY_PARENT_PID", "COLUMNS", "LINES", "NO_COLOR", "FORCE_COLOR"):
            os.environ.pop(name, None)
        os.environ.update({"TERM": "xterm", **(env or {})})
        os.chdir(cwd)
        around()
        dscost.cli.main(arguments)

    terminal = Terminal(fork(command, screen, screen, screen), keyboard)
    os.close(screen)
    try:
        yield terminal
    finally:
        with suppress(ProcessLookupError):
            if terminal._code is None:
                os.killpg(terminal.pid, signal.SIGKILL)
                terminal.code  # noqa: B018 - it is waited for
        os.close(keyboard)


GATED = """
import time
from pathlib import Path
from torch import nn

while not Path("gate").exists():
    time.sleep(0.01)


class Net(nn.Sequential):
    def __init__(self):
        super().__init__(nn.Conv2d(32, 32, 3, padding=1))
"""
"""A model that is not there before somebody opens its gate."""
