"""One line on a terminal that says what is being done, and moves; it is gone when that is done.

It is drawn by a thread of its own, so that it moves while a library is imported or a model traced.
While calls are timed nothing else may run: then it is drawn only when it is told something new,
which is between two blocks of calls.
"""

import os
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from importlib.abc import MetaPathFinder
from importlib.machinery import PathFinder
from shutil import get_terminal_size
from threading import Event, Lock, Thread
from time import monotonic
from typing import Any, TextIO, cast
from unicodedata import east_asian_width

from dscost.cli.colours import understands_codes
from dscost.encodable import encodable, lacking
from dscost.printable import printable_line
from dscost.timing import Progress, Timed

DELAY_S = 0.15
"""What is over sooner needs no line; with the start of the program that makes 0.3 s."""
TICK_S = 0.1
LARGE = ("torch", "torchvision", "timm", "transformers")
"""Libraries that take a while to import, each before those that import it."""
BAR_CELLS = 24
_FRAMES = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"
_PLAIN_FRAMES = "|/-\\"
_ERASE = "\r\x1b[K"
_CODES = re.compile(r"\x1b\[[\d;]*m")

_lines: "list[ProgressLine]" = []
"""The line that is on the terminal, if one is."""


class ProgressLine:
    """What is being done, on one line of a terminal.

    Args:
        write: Writes text to the terminal at once.
        width: Returns its characters per line.
        encoding: What it shows, or `None` for all characters.
        clock: Returns seconds.
    """

    def __init__(
        self,
        write: Callable[[str], object],
        width: Callable[[], int],
        encoding: str | None = None,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self._write, self._width, self._encoding, self._clock = write, width, encoding, clock
        self._share: float | None = None
        self._doing = "getting ready"
        self._is_still = False
        self._importing: str | None = None
        self._began = self._since = clock()
        self._drawn_at = -TICK_S
        self._is_drawn = False
        self._frame = 0
        self._turn = Lock()
        self.is_over = self.is_held = False

    def __call__(self, share: float | None, doing: str) -> None:
        """Be told what is being done, and which share of all is done, if anybody knows."""
        if doing != self._doing:
            self._since = self._clock()
        self._share, self._doing = share, doing
        self._is_still = isinstance(doing, Timed)
        self._importing = None
        self._draw()

    def tick(self) -> None:
        """Move, unless something is timed."""
        if not self._is_still:
            self._draw()

    def importing(self, library: str) -> None:
        """Be told that a library is about to be imported, which may keep every thread waiting."""
        self._importing, self._since = library, self._clock()
        self._draw(at_once=True)

    @contextmanager
    def aside(self) -> Iterator[None]:
        """Take the line away while something else is written; it comes back by itself."""
        with self._turn:
            if self._is_drawn and not self.is_over:
                self._write(_ERASE)
                self._is_drawn = False
            yield

    def end(self) -> None:
        """Take the line away for good."""
        with self.aside():
            self.is_over = True

    def forget(self) -> None:
        """Draw no more: this process was forked, and whoever has the turn is not in it."""
        self._turn, self.is_over = Lock(), True

    def _draw(self, *, at_once: bool = False) -> None:
        now = self._clock()
        is_early = now - self._began < DELAY_S or now - self._drawn_at < TICK_S / 2
        if self.is_held or (is_early and not at_once):
            return
        with self._turn:
            if self.is_over:
                return
            self._drawn_at, self._is_drawn = now, True
            self._frame += 1
            # back to its beginning: what a model's own code prints takes its place
            self._write(f"{_ERASE}{self._text(now)}\r")

    def _text(self, now: float) -> str:
        room = max(20, self._width() - 1)
        doing, share = self._doing, self._share
        if self._importing is not None and _is_importing(self._importing):
            doing, share = f"importing {self._importing}", None
        doing = encodable(printable_line(doing), self._encoding)
        frames = _FRAMES if self._encoding is None else _PLAIN_FRAMES
        before, after = f"{frames[self._frame % len(frames)]} ", ""
        if share is not None:
            before += f"{_bar(share, min(BAR_CELLS, room // 4), self._encoding)} "
        if not self._is_still and now - self._since >= 1:
            after = f", {now - self._since:.0f} s"
        room -= len(before) + len(after)
        return f"{before}{_ending(doing, room, self._encoding)}{after}"


def _bar(share: float, cells: int, encoding: str | None) -> str:
    share = max(0.0, min(1.0, share))
    full = round(cells * share)
    return f"{encodable('━' * full + '╌' * (cells - full), encoding)} {share:4.0%}"


def _ending(text: str, room: int, encoding: str | None) -> str:
    """Return the text without as much of its beginning as there is no room for."""
    if cells_of(text) <= room:
        return text
    mark = encodable("…", encoding)
    while text and cells_of(text) > room - len(mark):
        text = text[1:]
    return f"{mark}{text}"


def cells_of(text: str) -> int:
    """Return how many characters wide a text is, where those of East Asia are two."""
    return len(text) + sum(east_asian_width(one) in "WF" for one in text if not one.isascii())


def rows_of(line: str, width: int) -> int:
    """Return how many rows of a terminal a line takes, its colours aside."""
    return max(1, -(-cells_of(_CODES.sub("", line)) // max(1, width)))


def fitting(text: str, width: int, height: int) -> tuple[str, int]:
    """Return the lines of a text that fit on a terminal of that size, and the rows they take."""
    fit, rows = "", 0
    for line in text.splitlines():
        taken = rows + rows_of(line, width)
        if taken > height:
            break
        fit, rows = f"{fit}{line}\n", taken
    return fit, rows


def _is_importing(library: str) -> bool:
    """Whether a library is being imported; Python's own mark of that, or yes until it is there."""
    module = sys.modules.get(library)
    return module is None or bool(getattr(module.__spec__, "_initializing", False))


class _Noticing(MetaPathFinder):
    """Tells of the import of a large library before it begins, and finds nothing.

    Who only looks whether one is here, by `importlib.util`, imports nothing.
    """

    def __init__(self, told: Callable[[str], None]) -> None:
        self._told = told

    def find_spec(self, name: str, path: Sequence[str] | None, target: object = None) -> None:
        """Tell of it."""
        if path is not None or name not in LARGE:
            return
        asking = sys._getframe(2).f_globals.get("__name__")  # behind what asks all finders
        if asking != "importlib.util" and PathFinder.find_spec(name) is not None:
            self._told(name)


@contextmanager
def progress_line(stream: TextIO | None, *, quiet: bool) -> Iterator[Progress | None]:
    """Give what shows progress on a stream, or nothing where it would not be seen."""
    if quiet or stream is None or not is_live(stream):
        yield None
        return
    encoding = lacking(stream.encoding)
    line = ProgressLine(_writer(stream), lambda: get_terminal_size().columns, encoding)
    noticing, stop = _Noticing(line.importing), Event()
    ticker = Thread(target=_tick, args=(line, stop), name="dscost progress", daemon=True)
    sys.meta_path.insert(0, noticing)
    _lines.append(line)
    ticker.start()
    try:
        yield line
    finally:
        stop.set()
        ticker.join()
        line.end()
        sys.meta_path.remove(noticing)
        with suppress(ValueError):  # in a process that was forked meanwhile there are none
            _lines.remove(line)


def is_live(stream: TextIO | None) -> bool:
    """Whether what is drawn on a stream can be drawn over: a notebook keeps all that was drawn."""
    if stream is None or os.environ.get("JPY_PARENT_PID"):
        return False
    return stream.isatty() and understands_codes()


@contextmanager
def aside() -> Iterator[None]:
    """Take away the line that is on the terminal, if one is, while something else is written."""
    with ExitStack() as stack:
        for line in _lines:
            stack.enter_context(line.aside())
        yield


class Beside:
    """A stream of somebody else's, for which the line makes room: it stands below what is written.

    While a line of theirs is not ended, ours is away.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        """Write a text."""
        with aside():
            written = self._stream.write(text)
            self._stream.flush()
            for line in _lines:
                line.is_held = not text.endswith("\n")
        return written

    def writelines(self, texts: Iterable[str]) -> None:
        """Write several texts."""
        self.write("".join(texts))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def beside(stream: TextIO) -> TextIO:
    """Return a stream that a line, if one is on the terminal, makes room for."""
    return cast("TextIO", Beside(stream)) if _lines else stream


def _writer(stream: TextIO) -> Callable[[str], None]:
    """Return what writes past the stream's buffer, which the main thread may be writing to."""
    descriptor, encoding = stream.fileno(), stream.encoding

    def write(text: str) -> None:
        with suppress(OSError):  # nobody looks any more
            os.write(descriptor, text.encode(encoding, "replace"))

    return write


def _tick(line: ProgressLine, stop: Event) -> None:
    while not stop.wait(TICK_S):
        line.tick()


def _forget() -> None:
    for line in _lines:
        line.forget()
    _lines.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)
