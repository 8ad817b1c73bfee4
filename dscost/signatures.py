"""Functions that users call: a misspelt keyword is told as well as any misspelt name."""

from collections.abc import Callable
from functools import wraps
from typing import ParamSpec, TypeVar

from dscost.errors import UnknownArgumentError

P = ParamSpec("P")
R = TypeVar("R")


def naming_arguments(function: Callable[P, R]) -> Callable[P, R]:
    """Return a function whose error of an unknown keyword names the nearest that it has.

    Editors and type checkers read the keywords off the signature, which stays as it is. At run time
    Python's own error would say only which keyword is wrong.

    >>> @naming_arguments
    ... def step(*, stride: int = 1) -> int:
    ...     return stride
    >>> step(strides=2)
    Traceback (most recent call last):
    dscost.errors.UnknownArgumentError: unknown argument 'strides' (did you mean 'stride'?)
    """
    code = function.__code__
    known = code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]

    @wraps(function)
    def called(*args: P.args, **kwargs: P.kwargs) -> R:
        for name in kwargs:
            if name not in known:
                raise UnknownArgumentError("argument", name, known)
        return function(*args, **kwargs)

    called.__module__ = "dscost"  # where it is found again: a function is pickled by its place
    return called
