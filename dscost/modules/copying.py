"""Copies of a model in which some modules are others, wherever the model holds them."""

import copy
from collections import OrderedDict, deque
from collections.abc import Callable, Mapping
from functools import partial
from types import BuiltinMethodType, CellType, FunctionType, MethodType, ModuleType
from typing import Any

import torch
from torch import Tensor, nn

from dscost.errors import InputError, first_line
from dscost.foreign.parts import children_of, each_part, each_tensor, own_tensors, unwrapped


def by_path(root: nn.Module) -> dict[str, nn.Module]:
    """Return every module under its path in a trace; torch.compile's wrappers have none."""
    found: dict[str, nn.Module] = {}
    seen: set[int] = set()

    def visit(path: str, module: nn.Module) -> None:
        module = unwrapped(module)
        if id(module) in seen:
            return
        seen.add(id(module))
        found[path] = module
        if not isinstance(module, torch.jit.ScriptModule):
            for name, child in children_of(module).items():
                if child is not None:
                    visit(f"{path}.{name}" if path else name, child)

    visit("", root)
    return found


def copied(root: nn.Module, new: Mapping[Any, Any]) -> tuple[nn.Module, dict[int, Any]]:
    """Return a copy of a model with some modules and parameters replaced, and its memo.

    They are replaced wherever the model holds them: as children, in lists, by their methods.

    Raises:
        InputError: It cannot be copied.
    """
    memo = memo_for(root, new)
    return deep_copied(root, memo, of=root), memo


def shared_tensors(root: nn.Module) -> dict[Tensor, Tensor]:
    """Return the parameters and buffers of a model, for `copied` to keep the very same ones.

    Nothing where a class of the model says itself how it is copied, and might write to what it
    takes for a copy's own.
    """
    if not all(map(_is_copied_by_torch, each_part(root))):
        return {}
    plain = [one for one in each_tensor(root) if type(one) in (nn.Parameter, Tensor)]
    return {one: one for one in plain if one.layout == torch.strided}


_COPYING = ("__deepcopy__", "__reduce__", "__reduce_ex__", "__getstate__", "__setstate__")


def _is_copied_by_torch(part: nn.Module) -> bool:
    """Whether copying a module runs no code but that of Python and torch."""
    owners = [
        next((one for one in type(part).__mro__ if name in vars(one)), object) for name in _COPYING
    ]
    return "__deepcopy__" not in vars(part) and all(
        owner is object or owner.__module__.partition(".")[0] == "torch" for owner in owners
    )


def memo_for(root: nn.Module, new: Mapping[Any, Any]) -> dict[int, Any]:
    """Return the memo for `copy.deepcopy` of a model, some modules and parameters replaced."""
    memo: dict[int, Any] = {id(old): replacement for old, replacement in new.items()}
    for part in each_part(root):
        for value in vars(part).values():
            # a computed weight, which torch refuses to copy
            if isinstance(value, Tensor) and not value.is_leaf:
                memo[id(value)] = value.detach().clone()
            elif type(value) in (OrderedDict, set) and not value:  # a dozen of each module: hooks
                memo.setdefault(id(value), type(value)())
            elif isinstance(value, MethodType):  # copied, it would be a method of the old class
                method = getattr(memo.get(id(value.__self__)), getattr(value, "__name__", ""), None)
                memo.update({} if method is None else {id(value): method})
        for parameter in part._parameters.values():
            # torch refuses to copy a sparse one, too
            if parameter is not None and parameter.layout != torch.strided:
                new_one = nn.Parameter(parameter.detach().clone(), parameter.requires_grad)
                memo.setdefault(id(parameter), new_one)
    return memo


def deep_copied(value: Any, memo: dict[int, Any], *, of: nn.Module) -> Any:
    """Return `copy.deepcopy` of something that is part `of` a model.

    Raises:
        InputError: It cannot be copied; the text names the model.
    """
    try:
        return copy.deepcopy(value, memo)
    except Exception as error:  # a model says itself how it is copied, or that it is not
        raise InputError(f"{type(of).__name__} cannot be copied: {first_line(error)}") from error


# -- copies to run code on


def copied_to_run(root: nn.Module, new: Mapping[Any, Any]) -> nn.Module:
    """Return a copy that leaves no trace in what the functions and hooks of a model close over.

    Raises:
        InputError: It cannot be copied.
    """
    running, memo = copied(root, new)
    set_apart(running, memo)
    return running


def set_apart(running: nn.Module, memo: dict[int, Any]) -> None:
    """Give a copy of a model functions of its own, with copies of what they close over.

    `copy.deepcopy` has it share them with the original. The memo that it was made with grows.
    """
    parts = [part for part in each_part(running) if not isinstance(part, torch.jit.ScriptModule)]
    for part in parts:
        memo[id(part)] = part
        for tensors in own_tensors(part):
            memo.update((id(one), one) for one in tensors.values() if one is not None)
    for part in parts:
        for name, value in list(part.__dict__.items()):
            if name in _HELD or not isinstance(value, _HOLD_CODE):
                continue
            if name.endswith("_hooks") and isinstance(value, dict):  # handles know the dict itself
                value.update((key, isolated(hook, memo)) for key, hook in list(value.items()))
            else:
                part.__dict__[name] = isolated(value, memo)


DEEPEST = 4
"""How far from a value `isolated` looks for what it has to copy."""
LARGE = 1 << 20
"""Elements from which on a tensor is shared with the original."""


def isolated(value: Any, known: dict[int, Any], depth: int = 0) -> Any:
    """Return a copy of what code keeps state in, so that running it leaves the original alone.

    Unlike `copy.deepcopy` it copies functions with what they have closed over; and of another
    module it copies what it holds as plain attributes only. Known are copies by the identity of the
    original, as in the memo of `copy.deepcopy`; it grows.
    """
    if id(value) in known or depth > DEEPEST:
        return known.get(id(value), value)
    inner = partial(isolated, known=known, depth=depth + 1)
    new = value
    if isinstance(value, MethodType):
        new = MethodType(value.__func__, inner(value.__self__))
    elif isinstance(value, BuiltinMethodType) and isinstance(value.__self__, _CONTAINERS):
        new = getattr(inner(value.__self__), value.__name__)
    elif isinstance(value, partial):
        keywords = {name: inner(one) for name, one in value.keywords.items()}
        new = partial(inner(value.func), *map(inner, value.args), **keywords)
    elif isinstance(value, FunctionType):
        if not (value.__closure__ or value.__defaults__ or value.__kwdefaults__ or value.__dict__):
            return value  # known by its identity perhaps, as are those of torch
        new = _isolated_function(value, inner)
    elif isinstance(value, CellType):  # one for all functions that close over a variable
        new = CellType(isolated(value.cell_contents, known, depth))
    elif isinstance(value, Tensor):
        if value.numel() < LARGE and value.layout == torch.strided:
            new = value.detach().clone()
    elif isinstance(value, dict):
        new = copy.copy(value)
        new.update((key, inner(one)) for key, one in value.items())
    elif isinstance(value, list | tuple | set | deque) and type(value) in _CONTAINERS:
        new = type(value)(map(inner, value))
    elif hasattr(value, "__dict__") and not isinstance(value, type | ModuleType | BaseException):
        new = copy.copy(value)
        known[id(value)] = new  # before what it holds, which may lead back to it
        for name, one in vars(value).items():
            is_held = isinstance(value, nn.Module) and name in _HELD
            vars(new)[name] = dict(one) if is_held else inner(one)
    known[id(value)] = new
    return new


_HELD = ("_parameters", "_buffers", "_modules")
_CONTAINERS = (dict, list, tuple, set, deque)
_HOLD_CODE = (FunctionType, MethodType, BuiltinMethodType, partial, *_CONTAINERS)


def _isolated_function(function: FunctionType, inner: Callable[[Any], Any]) -> FunctionType:
    cells = [inner(cell) if _is_filled(cell) else cell for cell in function.__closure__ or ()]
    closure, defaults = tuple(cells) or None, function.__defaults__ and inner(function.__defaults__)
    new = FunctionType(
        function.__code__, function.__globals__, function.__name__, defaults, closure
    )
    new.__kwdefaults__ = inner(function.__kwdefaults__)
    new.__dict__.update(function.__dict__)
    return new


def _is_filled(cell: CellType) -> bool:
    try:
        return cell.cell_contents is not None
    except ValueError:
        return False
