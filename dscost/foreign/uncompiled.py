"""torch's compiler takes a second to import: what does not compile goes on without it."""

import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import cache
from types import FunctionType
from typing import Any

from torch._compile import _disable_dynamo

_EXEMPTION = "__dynamo_disable"
"""Where `torch._compile` keeps what it calls in place of a function that is not to be compiled."""


@contextmanager
def compiler_unasked(*functions: Any) -> Iterator[None]:
    """Keep torch's own Python code from importing the compiler, only to be left alone by it.

    On meta many operators run as Python, each of which asks the compiler at its first call not to
    compile it. Where nobody has imported that, there is none to be asked.

    Args:
        functions: More of torch that ask it.
    """
    asking: Iterable[Any] = ()
    if "torch._dynamo" not in sys.modules:
        asking = (*_of_operators(), *_asking(functions))
    exempted = [one for one in asking if not hasattr(one, _EXEMPTION)]
    for function in exempted:
        setattr(function, _EXEMPTION, function)
    try:
        yield
    finally:
        for function in exempted:
            if getattr(function, _EXEMPTION, None) is function:
                delattr(function, _EXEMPTION)


@cache
def _of_operators() -> frozenset[Any]:
    """Return the functions that ask among those by which operators run on meta."""
    from torch._decomp import global_decomposition_table

    return _asking(one for table in global_decomposition_table.values() for one in table.values())


def _asking(functions: Iterable[Any]) -> frozenset[Any]:
    """Return what asks among functions and all that they wrap."""
    asks = _disable_dynamo(lambda: None).__code__
    waiting, seen, found = list(functions), set(), set()
    while waiting:
        function = waiting.pop()
        if isinstance(function, FunctionType) and function not in seen:
            seen.add(function)
            code, cells = function.__code__, function.__closure__ or ()
            inside = dict(zip(code.co_freevars, cells, strict=True)).get("fn")
            wrapped = [getattr(function, "__wrapped__", None), inside and inside.cell_contents]
            if code is asks:
                found.add(wrapped[-1])
            waiting += wrapped
    return frozenset(found)
