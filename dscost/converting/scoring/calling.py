"""A user's function that scores models, called: in time, and with an answer that can be used.

No torch. A call that takes too long is interrupted, where Python lets that be done: by an alarm in
the main thread, elsewhere by an exception that waits for the code to come back to Python.
"""

import ctypes
import random
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from os import PathLike, chdir, fspath
from pathlib import Path
from statistics import fmean
from time import monotonic
from typing import Any, NamedTuple

from dscost.converting.scoring.identity import hash_of_file, hash_of_function
from dscost.converting.scoring.losses import Evaluation
from dscost.errors import InputError, first_line
from dscost.foreign.failures import must_pass, place_of
from dscost.notation.units import format_seconds
from dscost.printable import shortened
from dscost.sources.code_files import is_in_file, named_in_file

FIRST_LIMIT_S = 600.0
"""Seconds that the first call may take unless more are asked for: of the others none takes much
longer."""
LIMIT_SHARE = 10.0
"""How many times as long as the slowest call so far another one may take."""
LEAST_LIMIT_S = 60.0
LEAST_ALARM_S = 1e-3
AGAIN_S = 1.0
"""Seconds after which a call that goes on in spite of all is interrupted once more."""

MOST = 1e100
"""Scores as large are no numbers to compute with: their squares are not."""

Scoring = Callable[[Any], Any]
"""Takes a module, or an `onnxruntime.InferenceSession`; returns a number, or one per sample."""


class Score(NamedTuple):
    """A function that scores models.

    Args:
        name: What the user calls it.
        function: Itself.
        made_of: What tells it from another one, as far as that can be told: a hash of its file.
        importing: A context for while it runs, in which imports find the files beside it.
    """

    name: str
    function: Scoring
    made_of: str | None = None
    importing: Callable[[], AbstractContextManager[None]] = nullcontext


def score_of(given: "Scoring | Score | str | PathLike[str]", option: str = "--score") -> Score:
    """Return the function that a caller has, or that `eval.py:accuracy` names.

    Raises:
        InputError: There is no such file or function.
    """
    if isinstance(given, Score):
        return given
    if isinstance(given, str | PathLike):
        target = fspath(given)
        if not is_in_file(target):
            raise InputError(
                f"{option}: expected a function in a file, such as eval.py:accuracy, "
                f"found '{target}'"
            )
        with _staying():
            named = named_in_file(target, option=option)
        if not callable(named.value):
            kind = type(named.value).__name__
            raise InputError(f"{option} {target}: expected a function of a model, found {kind}")
        return Score(target, named.value, hash_of_file(named), named.importing)
    if not callable(given):
        raise InputError(f"score is a function of a model, or file.py:NAME, found {given!r:.60}")
    name = getattr(given, "__qualname__", None) or type(given).__name__
    return Score(str(name).replace("<locals>.", ""), given, hash_of_function(given))


def called(score: Score, model: Any, limit_s: float, of: str) -> Evaluation:
    """Return what a score says of a model.

    Args:
        score: The function.
        model: What it is given.
        limit_s: Seconds that it may take.
        of: What the model is, for errors: `the model as it is`.

    Raises:
        InputError: It raises, takes longer, or does not return a number or one per sample.
    """
    answer, returned = _answer(score, model, limit_s, of), f"{score.name} returned"
    try:
        return _evaluation(answer, returned, f"for {of}")
    except InputError:
        raise
    except Exception as error:  # what a number or an array says of itself is foreign code
        if must_pass(error):
            raise
        kind = type(answer).__name__
        raise InputError(
            f"{returned} {kind} for {of}, no number can be made of it: {_failure(error)}"
        ) from error


def _answer(score: Score, model: Any, limit_s: float, of: str) -> Any:
    try:
        with score.importing(), _staying(), interrupted_after(limit_s):
            return score.function(model)
    except _TooLongError:
        raise InputError(
            f"{score.name} did not return within {format_seconds(limit_s)} for {of} "
            "(--score-timeout 2h, or score_timeout_s, gives it longer)"
        ) from None
    except (Exception, SystemExit) as error:
        if must_pass(error):
            raise
        hint = ""
        if isinstance(error, TypeError) and type(model).__name__ == "InferenceSession":
            hint = "; of an ONNX file it is given a session: session.run(None, {name: array})"
        raise InputError(f"{score.name} failed for {of}: {_failure(error)}{hint}") from error


class Stopped(BaseException):
    """What a watched model raises once it has seen what it is given."""


def watched(score: Score, model: Any, limit_s: float | None) -> None:
    """Call a score with a model that raises `Stopped` as soon as it is called.

    Raises:
        InputError: It fails or takes too long before that.
    """
    with suppress(Stopped):
        _answer(score, model, next_limit_s(limit_s, None), "the model as it is")


def next_limit_s(asked_s: float | None, slowest_s: float | None) -> float:
    """Return how long a call may take, after others."""
    if asked_s is not None:
        return asked_s
    if slowest_s is None:
        return FIRST_LIMIT_S
    return max(LEAST_LIMIT_S, LIMIT_SHARE * slowest_s)


def _failure(error: BaseException) -> str:
    where = place_of(error)
    return first_line(error) if where is None else f"{first_line(error)} ({where})"


# -- what it returns


def _evaluation(answer: Any, returned: str, of: str) -> Evaluation:
    """Return an answer as numbers."""
    plain = _plain(answer)
    if isinstance(plain, Sequence) and not isinstance(plain, str | bytes):
        values = [_number(one) for one in plain]
        if not values:
            raise InputError(f"{returned} no values {of}: expected a number, or one per sample")
        wrong = next((at for at, one in enumerate(values) if one is None), None)
        if wrong is not None:
            found = _told(plain[wrong])
            raise InputError(f"{returned} {found} for sample {wrong + 1} {of}: expected a number")
        for sample, one in enumerate(values, start=1):
            _finite(one or 0.0, returned, f"for sample {sample} {of}")
        known = [one for one in values if one is not None]
        return Evaluation(_finite(fmean(known), returned, of), tuple(known))
    number = _number(plain)
    if number is None:
        raise InputError(
            f"{returned} {_told(answer)} {of}: expected a number, higher being better, "
            "or one per sample"
        )
    return Evaluation(_finite(number, returned, of))


def _plain(answer: Any) -> Any:
    """Return an array or a tensor as numbers or lists of them."""
    if hasattr(answer, "detach"):
        answer = answer.detach().cpu()
    return answer.tolist() if hasattr(answer, "tolist") else answer


def _number(value: Any) -> float | None:
    if isinstance(value, str | bytes | complex) or not hasattr(value, "__float__"):
        return None
    return float(value)


def _finite(number: float, returned: str, of: str) -> float:
    if not abs(number) < MOST:
        raise InputError(f"{returned} {number} {of}: expected a finite number")
    return number


def _told(answer: Any) -> str:
    return "nothing" if answer is None else shortened(f"{answer!r:.60}")


# -- in its world


@contextmanager
def _staying() -> Iterator[None]:
    """Be in the same folder afterwards: where files are written depends on it."""
    before = Path.cwd()
    try:
        yield
    finally:
        chdir(before)


@contextmanager
def seeded() -> Iterator[None]:
    """Let Python's and numpy's random numbers be the same every time, and put them back."""
    numpy = sys.modules.get("numpy")
    python_state, numpy_state = random.getstate(), numpy and numpy.random.get_state()
    random.seed(0)
    if numpy is not None:
        numpy.random.seed(0)
    try:
        yield
    finally:
        random.setstate(python_state)
        if numpy is not None:
            numpy.random.set_state(numpy_state)


# -- in time


class _TooLongError(BaseException):
    """It took too long; no `except Exception` of the user's catches it."""


@contextmanager
def interrupted_after(limit_s: float) -> Iterator[None]:
    """Raise within what takes longer than so many seconds, or at its end, if it went on."""
    is_main = threading.current_thread() is threading.main_thread()
    ringing = _alarm if is_main and hasattr(signal, "setitimer") else _timer
    bell = _Bell()
    try:
        with ringing(bell, min(limit_s, threading.TIMEOUT_MAX)):
            yield
    except Exception:
        if bell.has_rung:  # what code has caught, it cannot have been done in time
            raise _TooLongError from None
        raise
    if bell.has_rung:
        raise _TooLongError


class _Bell:
    """Whether a time is over, and whoever was to hear of it still runs."""

    is_open = True
    has_rung = False

    def ring(self) -> bool:
        self.has_rung = self.has_rung or self.is_open
        return self.is_open


@contextmanager
def _alarm(bell: _Bell, limit_s: float) -> Iterator[None]:
    """Let a signal interrupt the main thread."""

    def interrupt(*_: object) -> None:
        if bell.ring():
            raise _TooLongError

    before, began = signal.signal(signal.SIGALRM, interrupt), monotonic()
    left_s, every_s = signal.setitimer(signal.ITIMER_REAL, limit_s, AGAIN_S)
    try:
        try:
            yield
        finally:
            bell.is_open = False
    finally:  # also where it rang just then
        bell.is_open = False
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
        if left_s:  # somebody else's alarm, which may be due
            rest_s = max(left_s - (monotonic() - began), LEAST_ALARM_S)
            signal.setitimer(signal.ITIMER_REAL, rest_s, every_s)


@contextmanager
def _timer(bell: _Bell, limit_s: float) -> Iterator[None]:
    """Let another thread interrupt this one."""
    thread, ended = ctypes.c_ulong(threading.get_ident()), threading.Event()
    raised_in = ctypes.pythonapi.PyThreadState_SetAsyncExc

    def wait() -> None:
        pause_s = limit_s
        while not ended.wait(pause_s) and bell.ring():
            raised_in(thread, ctypes.py_object(_TooLongError))
            pause_s = AGAIN_S

    waiting = threading.Thread(target=wait, daemon=True)
    waiting.start()
    try:
        yield
    finally:
        bell.is_open = False
        ended.set()
        waiting.join()
        raised_in(thread, None)  # what has not been raised yet would be anywhere
