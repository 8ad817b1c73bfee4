"""What an error of foreign code tells: whether tensors had no values, where it was raised, by whom."""

import dis
import linecache
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from types import CodeType, FrameType, TracebackType
from typing import NamedTuple

from dscost.errors import printable

_WITHOUT_VALUES = (
    *("meta tensor", "meta device", "to meta", "on meta", "of meta", "on the meta", "device meta", "'meta'"),
    *("data-dependent", "data dependent", "fake tensor", "item()"),
    *("expected device", "local_scalar_dense", "expected all tensors to be on the same device"),
)
"""Words in the errors of code that looks at the values of tensors which have none."""

_OWN = f"{Path(__file__).parent}{os.sep}"
_RAISES = dis.opmap["RAISE_VARARGS"]
MOST_CODE = 80


class Place(NamedTuple):
    """A line of code.

    Args:
        file: Its name, without the folder.
        line: Counted from 1.
        code: The line itself; empty where the file cannot be read.
    """

    file: str
    line: int
    code: str

    def __str__(self) -> str:
        """Return it as it is told: ``net.py:12, `if x.sum() > 0:` ``."""
        return f"{self.file}:{self.line}" + (f", `{self.code}`" if self.code else "")


def looks_at_values(error: BaseException) -> bool:
    """Whether an error says that a tensor had no values."""
    try:
        text = str(error).lower()
    except (Exception, SystemExit):  # noqa: BLE001 - what an error says is foreign code, and may fail in any way
        return False
    return any(word in text for word in _WITHOUT_VALUES)


def may_want_values(error: BaseException) -> bool:
    """Whether code that failed on meta may do better with values: it says so, or the error is torch's own."""
    seen: BaseException | None = error
    while seen is not None:
        is_torchs = f"{os.sep}torch{os.sep}" in file_of(seen)
        if looks_at_values(seen) or is_torchs or (isinstance(seen, RuntimeError) and not is_raised_by_hand(seen)):
            return True
        seen = seen.__cause__ or seen.__context__
    return False


def is_raised_by_hand(error: BaseException) -> bool:
    """Whether an error comes from a `raise` in Python: torch's own, and a real Ctrl-C, come from elsewhere."""
    last = _last(error.__traceback__)
    return last is not None and last.tb_frame.f_code.co_code[last.tb_lasti] == _RAISES and not _is_own(last.tb_frame)


def is_interrupt(error: BaseException) -> bool:
    """Whether an error is a real Ctrl-C; code may raise a `KeyboardInterrupt` of its own as well."""
    return isinstance(error, KeyboardInterrupt) and not is_raised_by_hand(error)


def place_of(error: BaseException) -> Place | None:
    """Return the last line of the user's code, or of a library but torch, that an error went through."""
    place = None
    traceback = error.__traceback__
    while traceback is not None:
        if _is_foreign(traceback.tb_frame.f_code):
            place = _place(traceback.tb_frame, traceback.tb_lineno)
        traceback = traceback.tb_next
    return place


def file_of(error: BaseException) -> str:
    """Return the file whose code raised an error; empty where none did."""
    last = _last(error.__traceback__)
    return last.tb_frame.f_code.co_filename if last is not None else ""


def place_of_caller() -> Place | None:
    """Return the innermost running line of the user's code, or of a library but torch."""
    for frame in callers():
        if _is_foreign(frame.f_code):
            return _place(frame, frame.f_lineno)
    return None


def callers() -> Iterator[FrameType]:
    """Yield the frames that are running, innermost first."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        yield frame
        frame = frame.f_back


def _is_foreign(code: CodeType) -> bool:
    file = code.co_filename
    return not (file.startswith(("<frozen", _OWN)) or f"{os.sep}torch{os.sep}" in file)


def _is_own(frame: FrameType) -> bool:
    return frame.f_code.co_filename.startswith(_OWN)


def _place(frame: FrameType, line: int) -> Place:
    file = frame.f_code.co_filename
    code = linecache.getline(file, line, frame.f_globals).strip()
    code = code if len(code) <= MOST_CODE else code[: MOST_CODE - 1] + "…"
    return Place(printable(Path(file).name), line, printable(code))


def _last(traceback: TracebackType | None) -> TracebackType | None:
    while traceback is not None and traceback.tb_next is not None:
        traceback = traceback.tb_next
    return traceback
