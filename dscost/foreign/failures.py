"""What an error says of whose fault it is, where it was raised, and of missing values."""

import linecache
import sys
from collections.abc import Iterator
from enum import Enum
from opcode import opmap
from pathlib import Path
from types import FrameType, TracebackType
from typing import NamedTuple

from dscost.errors import DscostError
from dscost.printable import shortened

_WITHOUT_VALUES = (
    *("meta tensor", "meta device", "to meta", "on meta", "of meta", "on the meta"),
    *("device meta", "'meta'"),
    *("data-dependent", "data dependent", "fake tensor", "item()"),
    *("expected device", "local_scalar_dense", "expected all tensors to be on the same device"),
)
"""Words in the errors of code that looks at the values of tensors which have none."""

_OWN, _TORCH = "dscost", "torch"
_RAISES = opmap["RAISE_VARARGS"]
MOST_CODE = 80

_NOT_THEIRS = frozenset((_OWN, _TORCH, *sys.stdlib_module_names)) - {"__main__"}
"""Packages whose code is neither a model's nor a factory's."""
_MISTAKES = (AssertionError, AttributeError, KeyError, NameError)
"""What Python raises in our code only where that is wrong. Everything else it raises there may be
torch's word for what it was given, or say that a call of foreign code does not fit that code."""


class Whose(Enum):
    """Whose an error is."""

    OURS = "a mistake in dscost"
    THEIRS = "what a model, a factory or a library raised, or what dscost says of it"
    TORCHS = "what torch, or Python, says of what it was given"
    USERS = "a real Ctrl-C"


class Place(NamedTuple):
    """A line of code, counted from 1, in a file, named without its folder.

    Where the file cannot be read, the code itself is empty.
    """

    file: str
    line: int
    code: str

    def __str__(self) -> str:
        """Return it as it is told: ``net.py:12, `if x.sum() > 0:` ``."""
        return f"{self.file}:{self.line}" + (f", `{self.code}`" if self.code else "")


def whose(error: BaseException) -> Whose:
    """Return whose an error is, by the code that it came through; here alone that is decided.

    Who runs foreign code expects it to fail in any way, so that every handler is broad. It may tell
    the user of a fault of theirs, or try something else, only where the error is not `OURS`.
    """
    if is_interrupt(error):
        return Whose.USERS
    # what is no Exception, such as an exit or the outcome of a test, none of our code raises
    if isinstance(error, DscostError) or not isinstance(error, Exception):
        return Whose.THEIRS
    if frame_of_theirs(error) is not None:
        return Whose.THEIRS
    is_of_ours = module_of(error).partition(".")[0] == _OWN
    return Whose.OURS if is_of_ours and isinstance(error, _MISTAKES) else Whose.TORCHS


def must_pass(error: BaseException) -> bool:
    """Whether no handler may take an error for a fault of what it ran: Ctrl-C, or our mistake."""
    return whose(error) in (Whose.OURS, Whose.USERS)


def frame_of_theirs(error: BaseException) -> FrameType | None:
    """Return the innermost frame of foreign code that an error came through outside of ours."""
    found = None
    for step in steps_of(error):
        package = package_of(step.tb_frame)
        if package == _OWN:
            found = None
        elif package not in _NOT_THEIRS:
            found = step.tb_frame
    return found


def steps_of(error: BaseException) -> list[TracebackType]:
    """Return the steps that an error came through, innermost last."""
    steps = []
    step = error.__traceback__
    while step is not None:
        steps.append(step)
        step = step.tb_next
    return steps


def looks_at_values(error: BaseException) -> bool:
    """Whether an error says that a tensor had no values."""
    try:
        text = str(error).lower()
    except (Exception, SystemExit):  # noqa: BLE001
        # what an error says is foreign code, and may fail in any way
        return False
    return any(word in text for word in _WITHOUT_VALUES)


def may_want_values(error: BaseException) -> bool:
    """Whether code that failed on meta may do better with values: it says so, or torch does."""
    return any(looks_at_values(one) or _is_of_torch(one) for one in chain_of(error))


def chain_of(error: BaseException) -> Iterator[BaseException]:
    """Yield an error and those that it was raised from or during; each once, be it in a ring."""
    seen: set[int] = set()
    one: BaseException | None = error
    while one is not None and id(one) not in seen:
        seen.add(id(one))
        yield one
        one = one.__cause__ or one.__context__


def is_raised_by_hand(error: BaseException) -> bool:
    """Whether an error comes from a `raise` in Python; torch's own and a real Ctrl-C do not."""
    last = next(reversed(steps_of(error)), None)
    if last is None or package_of(last.tb_frame) == _OWN:
        return False
    return last.tb_frame.f_code.co_code[last.tb_lasti] == _RAISES


def is_interrupt(error: BaseException) -> bool:
    """Whether an error is a real Ctrl-C; code may raise `KeyboardInterrupt` as well."""
    return isinstance(error, KeyboardInterrupt) and not is_raised_by_hand(error)


def place_of(error: BaseException) -> Place | None:
    """Return the last line of user's code, or a library's but torch's, that an error passed."""
    for step in reversed(steps_of(error)):
        if _is_foreign(step.tb_frame):
            return _place(step.tb_frame, step.tb_lineno)
    return None


def module_of(error: BaseException) -> str:
    """Return the module whose code raised an error; empty where none did."""
    last = next(reversed(steps_of(error)), None)
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
    if module_of(error).partition(".")[0] == _TORCH:
        return True
    return isinstance(error, RuntimeError) and not is_raised_by_hand(error)


def _is_foreign(frame: FrameType) -> bool:
    is_frozen = frame.f_code.co_filename.startswith("<frozen")
    return not is_frozen and package_of(frame) not in (_OWN, _TORCH)


def _place(frame: FrameType, line: int) -> Place:
    file = frame.f_code.co_filename
    code = linecache.getline(file, line, frame.f_globals).strip()
    code = code if len(code) <= MOST_CODE else code[: MOST_CODE - 1] + "…"
    return Place(shortened(Path(file).name), line, shortened(code))
