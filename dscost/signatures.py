"""Functions that users call: a mistake in their arguments is told as well as any other.

So is a torch that what they ask for needs and that is not there.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from functools import wraps
from types import UnionType
from typing import Any, ParamSpec, TypeVar, Union, get_args, get_origin

from dscost.errors import InputError, UnknownArgumentError, needing_torch

P = ParamSpec("P")
R = TypeVar("R")

_MODULE = re.compile(r"(?:[a-z_]+\.)+")
"""What Python writes before the name of a type, which nobody needs to read."""


def naming_arguments(function: Callable[P, R]) -> Callable[P, R]:
    """Return a function whose errors name the argument that is misspelt or of the wrong kind.

    Editors and type checkers read the keywords off the signature, which stays as it is. At run time
    Python's own error would say only which keyword is wrong, or where a value was of no use.

    >>> @naming_arguments
    ... def step(*, stride: int = 1) -> int:
    ...     return stride + 1
    >>> step(strides=2)
    Traceback (most recent call last):
    dscost.errors.UnknownArgumentError: unknown argument 'strides' (did you mean 'stride'?)
    >>> step(stride="2")
    Traceback (most recent call last):
    dscost.errors.InputError: stride: expected int, found '2'
    """
    code = function.__code__
    known = code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]

    @wraps(function)
    def called(*args: P.args, **kwargs: P.kwargs) -> R:
        for name in kwargs:
            if name not in known:
                given = {*known[: len(args)], *kwargs}
                left = [one for one in known if one not in given]
                raise UnknownArgumentError("argument", name, left)
        try:
            with needing_torch():
                return function(*args, **kwargs)
        except (AttributeError, TypeError) as error:
            for name, value in {**dict(zip(known, args, strict=False)), **kwargs}.items():
                kind = function.__annotations__.get(name, Any)
                if not _is_of(value, kind):
                    wanted = kind.__name__ if isinstance(kind, type) else _MODULE.sub("", str(kind))
                    raise InputError(f"{name}: expected {wanted}, found {value!r:.60}") from error
            raise

    called.__module__ = "dscost"  # where it is found again: a function is pickled by its place
    return called


def _is_of(value: Any, kind: Any) -> bool:
    """Whether a value is what an annotation says; one in quotes may say anything."""
    origin, parts = get_origin(kind), get_args(kind)
    if origin in (Union, UnionType):
        return any(_is_of(value, one) for one in parts)
    wanted = origin or kind
    if kind is Any or not isinstance(wanted, type):
        return True
    if not isinstance(value, (int, float) if kind is float else wanted):
        return False
    entries: Any = value if wanted in (Mapping, Sequence, tuple) else ()
    return all(_is_of(one, parts[0]) for one in entries)
