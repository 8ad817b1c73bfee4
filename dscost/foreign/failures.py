"""What an error of foreign code tells: whether tensors had no values, where it was raised, by whom."""

import dis
import linecache
import sys
from collections.abc import Iterator
from pathlib import Path
from types import FrameType, TracebackType
from typing import NamedTuple

from dscost.errors import printable

_WITHOUT_VALUES = (
    *(
        "meta tensor",
        "meta device",
        "to meta",
        "on meta",
        "of meta",
        "on the meta",
        "device meta",
        "'meta'",
    ),
    *("data-dependent", "data dependent", "fake tensor", "item()"),
    *("expected device", "local_scalar_dense", "expected all tensors to be on the same device"),
)
"""Words in the errors of code that looks at the values of tensors which have none."""

_OWN, _TORCH = "dscost", "torch"
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
    return any(looks_at_values(one) or _is_of_torch(one) for one in chain_of(error))


def chain_of(error: BaseException) -> Iterator[BaseException]:
    """Yield an error and those that it was raised from, or while they were handled; each once, be it in a ring."""
    seen: set[int] = set()
    one: BaseException | None = error
    while one is not None and id(one) not in seen:
        seen.add(id(one))
        yield one
        one = one.__cause__ or one.__context__


def is_raised_by_hand(error: BaseException) -> bool:
    """Whether an error comes from a `raise` in Python: torch's own, and a real Ctrl-C, come from elsewhere."""
    last = _last(error.__traceback__)
    if last is None or package_of(last.tb_frame) == _OWN:
        return False
    return last.tb_frame.f_code.co_code[last.tb_lasti] == _RAISES


def is_interrupt(error: BaseException) -> bool:
    """Whether an error is a real Ctrl-C; code may raise a `KeyboardInterrupt` of its own as well."""
    return isinstance(error, KeyboardInterrupt) and not is_raised_by_hand(error)


def place_of(error: BaseException) -> Place | None:
    """Return the last line of the user's code, or of a library but torch, that an error went through."""
    place = None
    traceback = error.__traceback__
    while traceback is not None:
        if _is_foreign(traceback.tb_frame):
            place = _place(traceback.tb_frame, traceback.tb_lineno)
        traceback = traceback.tb_next
    return place


def module_of(error: BaseException) -> str:
    """Return the module whose code raised an error; empty where none did."""
    last = _last(error.__traceback__)
    return _module_of(last.tb_frame) if last is not None else ""


def place_of_caller() -> Place | None:
    """Return the innermost running line of the user's code, or of a library but torch."""
    for frame in callers():
        if _is_foreign(frame):
            return _place(frame, frame.f_lineno)
    return None


def callers() -> Iterator[FrameType]:
    """Yield the frames that are running, innermost first."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        yield frame
        frame = frame.f_back


def package_of(frame: FrameType) -> str:
    """Return the package whose code a frame runs; empty where the code is of no module.

    Not by the path of its file: a project of a user may lie in a folder called `torch`, or torch in
    one of theirs.
    """
    return _module_of(frame).partition(".")[0]


def _module_of(frame: FrameType) -> str:
    return str(frame.f_globals.get("__name__", ""))


def _is_of_torch(error: BaseException) -> bool:
    """Whether torch raised an error, in Python or below it, where no code says so by a `raise`."""
    last = _last(error.__traceback__)
    if last is not None and package_of(last.tb_frame) == _TORCH:
        return True
    return isinstance(error, RuntimeError) and not is_raised_by_hand(error)


def _is_foreign(frame: FrameType) -> bool:
    return not frame.f_code.co_filename.startswith("<frozen") and package_of(frame) not in (
        _OWN,
        _TORCH,
    )


def _place(frame: FrameType, line: int) -> Place:
    file = frame.f_code.co_filename
    code = linecache.getline(file, line, frame.f_globals).strip()
    code = code if len(code) <= MOST_CODE else code[: MOST_CODE - 1] + "…"
    return Place(printable(Path(file).name), line, printable(code))


def _last(traceback: TracebackType | None) -> TracebackType | None:
    while traceback is not None and traceback.tb_next is not None:
        traceback = traceback.tb_next
    return traceback
