"""What functions, containers and objects of a user hold: tensors, modules, state."""

import sys
from collections import OrderedDict, deque
from collections.abc import Iterable, Iterator
from functools import partial
from random import Random
from types import CellType, FunctionType, MethodType, SimpleNamespace
from typing import Any

import torch
from torch import Tensor, nn

PLAIN = frozenset((bool, int, float, str, type(None)))
"""Types of values that hold nothing."""
FUNCTIONS = (MethodType, FunctionType, partial)
BARE = (dict, OrderedDict, list, set)
"""Containers that are made empty by being called."""
CONTAINERS = (dict, list, set, deque)
"""Containers that can be written on."""


def is_written_on(value: Any) -> bool:
    """Whether running a user's function or object may change it, and a copy does no harm."""
    kind = type(value)
    if kind is partial:
        return True
    if kind is FunctionType:
        defaults = (*(value.__defaults__ or ()), *(value.__kwdefaults__ or {}).values())
        is_plain = not value.__closure__ and PLAIN.issuperset(map(type, defaults))
        return bool(value.__dict__ or not is_plain) and _is_of_a_user(value.__module__)
    # a copy with a finaliser would close what both hold; one that holds nothing may be known by its
    # identity
    return bool(value.__dict__ or slots(kind)) and not hasattr(kind, "__del__")


def slots(kind: type) -> list[str]:
    """Return the names of the slots of a class and its bases."""
    slots = [one.__dict__.get("__slots__", ()) for one in kind.__mro__]
    names = [name for one in slots for name in ((one,) if isinstance(one, str) else one)]
    return [name for name in names if not name.startswith("__")]


def _is_of_a_user(module: str | None) -> bool:
    """Whether a name is that of a module by neither Python's authors nor torch's."""
    top = (module or "").partition(".")[0]
    return top != "torch" and top not in sys.stdlib_module_names


MOST_COPIED_BYTES = 2**26
"""Of an array of NumPy; a larger one is shared."""


def has_state(value: Any) -> bool:
    """Whether an object of no user's class goes on from where it was, or is written into."""
    if isinstance(value, torch.Generator | Random | bytearray):
        return True
    if type(value).__module__.partition(".")[0] != "numpy":
        return False
    return (
        type(value).__name__ in ("Generator", "RandomState")
        or 0 < getattr(value, "nbytes", 0) <= MOST_COPIED_BYTES
    )


def contents_of(cell: CellType) -> list[Any]:
    """Return what a cell holds, or nothing where it is empty yet."""
    try:
        return [cell.cell_contents]
    except ValueError:  # nothing in it yet
        return []


def reaches_tensors(value: Any) -> bool:
    """Whether a module or a tensor can be come by from a function or an object of the user's."""
    return any(True for _ in _modules_and_tensors(value))


def tensors_held_by(value: Any) -> Iterator[Tensor]:
    """Return the tensors in containers, functions and objects; not what modules hold."""
    return (one for one in _modules_and_tensors(value) if isinstance(one, Tensor))


def _modules_and_tensors(value: Any) -> Iterator[nn.Module | Tensor]:
    seen: set[int] = set()
    waiting = [value]
    while waiting:
        one = waiting.pop()
        if isinstance(one, nn.Module | Tensor):
            yield one
        elif type(one) not in PLAIN and id(one) not in seen:
            seen.add(id(one))
            waiting += _held_by(one)


def _held_by(value: Any) -> Iterable[Any]:
    match value:
        case tuple() | list() | set():
            return value
        case dict():
            return list(value.values())
        case MethodType():
            return (value.__self__, value.__func__)
        case partial():
            return (value.func, value.args, value.keywords, value.__dict__)
        case FunctionType():
            closed = [content for cell in value.__closure__ or () for content in contents_of(cell)]
            return (*closed, value.__defaults__, value.__kwdefaults__, value.__dict__)
    return (value.__dict__,) if hasattr(value, "__dict__") and is_plain_object(value) else ()


def is_plain_object(value: Any) -> bool:
    """Whether a value is of a class written in Python by others than Python's and torch's."""
    kind = type(value)
    if kind is SimpleNamespace:
        return True
    has_own_new = kind.__new__ is not object.__new__  # type: ignore[comparison-overlap]
    if has_own_new or isinstance(value, type):
        return False
    return _is_of_a_user(kind.__module__)
