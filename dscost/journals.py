"""Journals: files of JSON lines, added to as results come, whatever ends the process that does.

The first line says of what a journal is; one of something else is refused. Each of the others is
there whole or not at all: it is written at once and is on the disk before work goes on. A line that
was not finished when its process ended is dropped. Several processes may add to the same file.
"""

import json
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from typing import Any, NamedTuple

from dscost.errors import InputError, OutputError
from dscost.files import alone_with, reason_of, write_whole

VERSION = 1
ENDING = ".jsonl"


class Line(NamedTuple):
    """A line that is whole.

    Args:
        number: From 1; the first says of what the journal is.
        raw: As it stands there, its end left out.
    """

    number: int
    raw: bytes


class JournalFile:
    """The file of a journal; there may be none yet.

    Args:
        path: Where it is.
        of: What it is of, as JSON has it.
        what: What it has a line for, as errors call it: `scores`.
    """

    def __init__(self, path: Path, of: Mapping[str, Any], what: str) -> None:
        self.path, self._what = path, what
        self._file = path.absolute()  # code may go to another folder
        self._of = {"journal": VERSION, "of": dict(of)}

    # -- reading

    def lines(self) -> Iterator[Line]:
        """Yield the lines behind the first one; what is no whole line is cut off.

        Raises:
            InputError: The file cannot be read, is no journal, or is one of something else.
            OutputError: What was not finished cannot be cut off.
        """
        if not self._file.exists():
            return
        if not (self._file.is_file() or self._file.is_dir()):  # a folder says so where it is read
            raise InputError(f"{self.path} is no regular file: name another one for the journal")
        content = self._content()
        if content and not content.endswith(b"\n"):
            # somebody else may be writing this very line
            with alone_with(self._file):
                content = self._whole(self._content())
        yield from self._lines(content)

    def _lines(self, content: bytes) -> Iterator[Line]:
        """Yield the lines behind the first one, which is read, of a journal without a torn one."""
        if not content:
            return
        first, *others = content.split(b"\n")[:-1]
        self._require_same(first)
        for number, raw in enumerate(others, start=2):
            if raw != first:  # two processes began it
                yield Line(number, raw)

    def refused(self, line: Line) -> InputError:
        """Return the error of a line that says nothing of what the journal is of."""
        return InputError(
            f"{self.path}:{line.number}: no line of a journal of {self._what}: "
            "delete it, or the file"
        )

    def _content(self) -> bytes:
        try:
            return self._file.read_bytes()
        except OSError as error:
            raise InputError(f"cannot read {self.path}: {reason_of(error)}") from error

    def _whole(self, content: bytes) -> bytes:
        """Return the whole lines of a journal; what is behind them goes.

        Nothing is touched but a journal of the same.
        """
        whole, ended, rest = content.rpartition(b"\n")
        if ended:
            self._require_same(whole.partition(b"\n")[0])
        elif not _written(self._of).startswith(rest):
            self._require_same(rest)
        if rest:
            try:
                os.truncate(self._file, len(content) - len(rest))
            except OSError as error:
                raise self._unwritable(error) from error
        return whole + ended

    def _require_same(self, first: bytes) -> None:
        try:
            found = json.loads(first)
            is_journal = found["journal"] == VERSION
            theirs = dict(found["of"])
        except (ValueError, KeyError, TypeError):
            is_journal, theirs = False, {}
        if not is_journal:
            raise InputError(f"{self.path} is no journal of {self._what}: name another file")
        ours = json.loads(json.dumps(self._of["of"]))
        other = [name for name in {**ours, **theirs} if ours.get(name) != theirs.get(name)]
        if other:
            raise InputError(
                f"{self.path} is a journal of something else: other {' and '.join(other)}; "
                "name another file, or delete it"
            )

    # -- writing

    def append(self, line: Mapping[str, Any]) -> None:
        """Add a line; it is in the file when this returns, and if it raises, nothing of it is.

        Raises:
            OutputError: The file cannot be written.
        """
        try:
            self._file.parent.mkdir(parents=True, exist_ok=True)
            with alone_with(self._file):
                self._append(line)
        except OSError as error:
            raise self._unwritable(error) from error

    def drop(self, unwanted: Callable[[Line], bool]) -> None:
        """Leave out the lines that are not wanted any more.

        Raises:
            InputError: As `lines`, and what the function raises.
            OutputError: The file cannot be written; nothing of it is lost then.
        """
        with alone_with(self._file):
            lines = self._lines(self._whole(self._content()))
            kept = [line.raw + b"\n" for line in lines if not unwanted(line)]
            write_whole(self._file, b"".join([_written(self._of), *kept]))

    def _append(self, line: Mapping[str, Any]) -> None:
        """Write a line, behind the first one where nobody has begun the file."""
        flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | getattr(os, "O_BINARY", 0)
        handle = os.open(self._file, flags, 0o666)
        try:
            size = _whole_size(handle)
            _write_or_cut(handle, _written(line) if size else _written(self._of, line), size)
        finally:
            os.close(handle)

    def _unwritable(self, error: OSError) -> OutputError:
        return OutputError(f"cannot write {self.path}: {reason_of(error)}")


def _written(*lines: Mapping[str, Any]) -> bytes:
    return "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines).encode()


def _whole_size(handle: int) -> int:
    """Return how many bytes of a file are whole lines; what is behind them goes."""
    size = os.lseek(handle, 0, os.SEEK_END)
    if not size:
        return 0
    os.lseek(handle, size - 1, os.SEEK_SET)
    if os.read(handle, 1) == b"\n":
        return size
    os.lseek(handle, 0, os.SEEK_SET)
    with os.fdopen(os.dup(handle), "rb") as stream:
        whole, ended, _ = stream.read().rpartition(b"\n")
    os.ftruncate(handle, len(whole) + len(ended))  # somebody's process ended while it wrote
    return len(whole) + len(ended)


def _write_or_cut(handle: int, content: bytes, size: int) -> None:
    """Write at the end of a file of that size; where that fails, it is as long as before.

    Who is interrupted once all is written leaves it there.
    """
    try:
        left = memoryview(content)
        while left:  # a disk that is nearly full takes a part
            left = left[os.write(handle, left) :]
        os.fsync(handle)
    except BaseException as error:
        with suppress(OSError):  # whoever reads it next cuts what is not whole
            if isinstance(error, OSError) or os.fstat(handle).st_size < size + len(content):
                os.ftruncate(handle, size)
        raise


def can_be_written(path: Path) -> bool:
    """Whether a file can be added to, or made with the folders above it."""
    if path.exists():
        return os.access(path, os.W_OK)
    above = next((one for one in path.absolute().parents if one.exists()), None)
    return above is not None and above.is_dir() and os.access(above, os.W_OK | os.X_OK)


def path_in(folder: Path | None, of: Mapping[str, Any]) -> Path | None:
    """Return where in a folder a journal is, by what it is of; nowhere if that is not written."""
    if folder is None:
        return None
    name = sha256(json.dumps(dict(of), sort_keys=True).encode()).hexdigest()[:16]
    path = folder / f"{name}{ENDING}"
    return path if can_be_written(path) else None
