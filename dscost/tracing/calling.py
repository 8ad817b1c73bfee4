"""How a model is called while somebody watches: one at a time, by its forward, nothing compiled."""

import os
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from threading import RLock
from typing import Any

import torch
from torch import nn

from dscost.foreign.uncompiled import compiler_unasked
from dscost.tracing.inputs import Arguments

_turn = RLock()


def one_at_a_time() -> AbstractContextManager[object]:
    """Return what is entered to trace: dispatch modes keep process-wide flags; threads wait."""
    return _turn


def _free_the_turn() -> None:
    """Let a process trace that was forked while its parent did: nobody here ends that turn."""
    global _turn
    _turn = RLock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_free_the_turn)


def called(model: nn.Module, arguments: Arguments) -> Any:
    """Return what the forward of a model and its hooks give.

    Whatever else its class means by being called.
    """
    if isinstance(model, torch.jit.ScriptModule):
        return model(*arguments.args, **arguments.kwargs)
    return nn.Module.__call__(model, *arguments.args, **arguments.kwargs)


@contextmanager
def nothing_compiles() -> Iterator[None]:
    """Run compiled functions as they were written.

    The compiler takes a second to import: where nothing has, it is told once a model compiles.
    """
    with ExitStack() as stack:
        if "torch._dynamo" in sys.modules:
            stack.enter_context(torch.compiler.set_stance("force_eager"))
            yield
            return
        compile_function = torch.compile

        def compile_eagerly(*args: Any, **kwargs: Any) -> Any:
            torch.compile = compile_function
            stack.enter_context(torch.compiler.set_stance("force_eager"))
            return torch.compile(*args, **kwargs)

        stack.enter_context(compiler_unasked())
        torch.compile = compile_eagerly
        try:
            yield
        finally:
            torch.compile = compile_function
