"""Which module is running: the forward of every module of a stand-in is wrapped. Hooks would be slower."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from threading import get_ident
from typing import Any

import torch
from torch import nn


class Attribution:
    """What runs, and what ran; it changes while the modules run.

    Attributes: stack: Paths of the running modules, innermost last, beginning with the root's `""`.
        calls: How often each module was called, by path. failed: Paths of the modules whose forward
        raised an error, which the model may have caught. elsewhere: Paths of the modules that
        another thread called, where nothing is seen by itself. follow: Puts another thread into
        torch's state of this one and gives its own stack; it may record there.
    """

    def __init__(self) -> None:
        self.stack = [""]
        self.calls: dict[str, int] = {}
        self.failed: set[str] = set()
        self.elsewhere: set[str] = set()
        self.follow: Callable[[], AbstractContextManager[list[str]]] = lambda: nullcontext([])

    def run_elsewhere(self, path: str, inner: Callable[..., Any], args: Any, kwargs: Any) -> Any:
        """Run a module in a thread that is not the tracer's."""
        self.elsewhere.add(path)
        with self.follow() as stack:
            stack.append(path)
            try:
                return inner(*args, **kwargs)
            finally:
                stack.pop()


@contextmanager
def attributed(modules: Sequence[tuple[str, nn.Module]]) -> Iterator[Attribution]:
    """Wrap the forward of modules that are thrown away later.

    Args:
        modules: Every module once, with its path; a shared one has its first.
    """
    attribution = Attribution()
    stack, calls, own_thread = attribution.stack, attribution.calls, get_ident()

    def wrap(path: str, module: nn.Module) -> None:
        inner = module.forward

        def forward(*args: Any, **kwargs: Any) -> Any:
            calls[path] = calls.get(path, 0) + 1
            try:
                if get_ident() != own_thread:
                    return attribution.run_elsewhere(path, inner, args, kwargs)
                stack.append(path)
                try:
                    return inner(*args, **kwargs)
                finally:
                    stack.pop()
            except BaseException:
                attribution.failed.add(path)
                raise

        module.__dict__["forward"] = forward

    wrapped = [
        (path, module) for path, module in modules if not isinstance(module, torch.jit.ScriptModule)
    ]
    for path, module in wrapped:
        wrap(path, module)
    try:
        yield attribution
    finally:
        for _, module in wrapped:  # the wrapper holds its module, and the module its wrapper
            module.__dict__.pop("forward", None)
