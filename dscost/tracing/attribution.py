"""Which module is running: the forward of every module of a stand-in is wrapped. Hooks would be slower."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn


@contextmanager
def attributed(modules: Sequence[tuple[str, nn.Module]]) -> Iterator[tuple[list[str], dict[str, int]]]:
    """Wrap the forward of modules that are thrown away later.

    Args:
        modules: Every module once, with its path; a shared one has its first.

    Gives:
        The paths of the running modules, innermost last, beginning with the root's `""`; and how often each
        module was called. Both change while the modules run.
    """
    stack = [""]
    calls: dict[str, int] = {}

    def wrap(path: str, module: nn.Module) -> None:
        inner = module.forward

        def forward(*args: Any, **kwargs: Any) -> Any:
            calls[path] = calls.get(path, 0) + 1
            stack.append(path)
            try:
                return inner(*args, **kwargs)
            finally:
                stack.pop()

        module.__dict__["forward"] = forward

    wrapped = [(path, module) for path, module in modules if not isinstance(module, torch.jit.ScriptModule)]
    for path, module in wrapped:
        wrap(path, module)
    try:
        yield stack, calls
    finally:
        for _, module in wrapped:  # the wrapper holds its module, and the module its wrapper
            module.__dict__.pop("forward", None)
