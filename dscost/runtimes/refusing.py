"""Why a runtime does not run a program: its own words, in one line."""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from dscost.errors import DscostError, UnavailableError, first_line
from dscost.foreign.failures import must_pass

_WHERE = re.compile(r"^\[ONNXRuntimeError\] : \d+ : \w+ : (/\S+:\d+ .*?\) (?=[A-Z]))?")
"""What stands before the reason in an error of ONNX Runtime."""


@contextmanager
def refusing(
    title: str, reason: Callable[[Exception], str] = first_line, *, doing: str = "run"
) -> Iterator[None]:
    """Say of what a runtime raises that it cannot run the program.

    Args:
        title: Of the runtime.
        reason: What of an error tells why, in one line.
        doing: What it cannot do.

    Raises:
        UnavailableError: The runtime raised something.
    """
    try:
        yield
    except DscostError:
        raise
    except Exception as error:  # foreign code may raise anything
        if must_pass(error):
            raise
        raise UnavailableError(f"{title} cannot {doing} it: {reason(error)}") from error


def reason_of_onnxruntime(error: Exception) -> str:
    """Return why ONNX Runtime refuses a model, without where in it that was noticed.

    >>> reason_of_onnxruntime(RuntimeError("[ONNXRuntimeError] : 1 : FAIL : Op (Conv) is wrong"))
    'Op (Conv) is wrong'
    """
    first = next(iter(str(error).strip().splitlines()), type(error).__name__)
    return _WHERE.sub("", first)
