"""Copies of a model in which some modules are others, wherever the model holds them."""

import copy
from collections.abc import Mapping
from types import MethodType
from typing import Any

import torch
from torch import Tensor, nn

from dscost.errors import InputError, first_line
from dscost.parts import children_of, each_part, unwrapped


def by_path(root: nn.Module) -> dict[str, nn.Module]:
    """Return every module under the path by which a trace names it; torch.compile's wrappers have none."""
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
    """Return a copy of a model with some modules and parameters replaced, and the memo of `copy.deepcopy`.

    They are replaced wherever the model holds them: as children, in lists, by their methods.

    Raises:
        InputError: It cannot be copied.
    """
    memo: dict[int, Any] = {id(old): replacement for old, replacement in new.items()}
    for part in each_part(root):
        for value in vars(part).values():
            if isinstance(value, Tensor) and not value.is_leaf:  # a computed weight, which torch refuses to copy
                memo[id(value)] = value.detach().clone()
            elif isinstance(value, MethodType):  # copied, it would be a method of the old class
                method = getattr(memo.get(id(value.__self__)), getattr(value, "__name__", ""), None)
                memo.update({} if method is None else {id(value): method})
        for parameter in part._parameters.values():
            if parameter is not None and parameter.layout != torch.strided:  # likewise
                memo.setdefault(id(parameter), nn.Parameter(parameter.detach().clone(), parameter.requires_grad))
    return deep_copied(root, memo, of=root), memo


def deep_copied(value: Any, memo: dict[int, Any], *, of: nn.Module) -> Any:
    """Return `copy.deepcopy` of something.

    Args:
        value: What to copy.
        memo: As of `copy.deepcopy`.
        of: The model that errors name.

    Raises:
        InputError: It cannot be copied.
    """
    try:
        return copy.deepcopy(value, memo)
    except (RuntimeError, TypeError, ValueError) as error:
        raise InputError(f"{type(of).__name__} cannot be copied: {first_line(error)}") from error
