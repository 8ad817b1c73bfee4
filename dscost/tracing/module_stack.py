"""Which module is running: the forward of every module of a stand-in is wrapped.

Hooks would be slower.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from threading import get_ident
from typing import Any

import torch
from torch import Tensor, nn

from dscost.layers.convolution import Shape


class RunningModules:
    """What runs, and what ran; it changes while the modules run.

    Attributes:
        stack: Paths of the running modules, innermost last, beginning with the root's `""`.
        calls: How often each module was called, by path.
        failed: Paths of the modules whose forward raised an error, which the model may have caught.
        elsewhere: Paths of the modules that another thread called, where nothing is seen by itself.
        returned: For modules that returned several results, the shape of the first and the event
            that made it, by path.
        follow: Puts another thread, in which a module begins, into torch's state of this one; gives
            the stack of that thread, and may record there.
        producer_of: Gives the event that made a tensor, or a negative number.
    """

    def __init__(self) -> None:
        self.stack = [""]
        self.calls: dict[str, int] = {}
        self.failed: set[str] = set()
        self.elsewhere: set[str] = set()
        self.returned: dict[str, tuple[Shape, int]] = {}
        self.producer_of: Callable[[Tensor], int]
        self.follow: Callable[[str], AbstractContextManager[list[str]]]
        self.let_go()

    def let_go(self) -> None:
        """Forget who records: it knows the model, and this, so that all three would stay alive."""
        self.producer_of = lambda tensor: -1
        self.follow = lambda path: nullcontext([])

    def run_elsewhere(self, path: str, inner: Callable[..., Any], args: Any, kwargs: Any) -> Any:
        """Run a module in a thread that is not the tracer's."""
        self.elsewhere.add(path)
        with self.follow(path) as stack:
            stack.append(path)
            try:
                return inner(*args, **kwargs)
            finally:
                stack.pop()

    def returns(self, path: str, result: tuple[Any, ...]) -> None:
        """Learn what a module returned that returns several values."""
        if result and isinstance(result[0], Tensor):
            self.returned[path] = tuple(result[0].shape), self.producer_of(result[0])


@contextmanager
def watched(modules: Sequence[tuple[str, nn.Module]]) -> Iterator[RunningModules]:
    """Wrap the forward of modules that are thrown away later, given once each with their paths."""
    running = RunningModules()
    stack, calls, own_thread = running.stack, running.calls, get_ident()

    def wrap(path: str, module: nn.Module) -> None:
        inner = module.forward

        def forward(*args: Any, **kwargs: Any) -> Any:
            calls[path] = calls.get(path, 0) + 1
            try:
                if get_ident() != own_thread:
                    return running.run_elsewhere(path, inner, args, kwargs)
                stack.append(path)
                try:
                    result = inner(*args, **kwargs)
                finally:
                    stack.pop()
                if type(result) is tuple:
                    running.returns(path, result)
                return result
            except BaseException:
                running.failed.add(path)
                raise

        module.__dict__["forward"] = forward

    compiled = torch.jit.ScriptModule  # compiled code cannot be wrapped
    wrapped = [(path, module) for path, module in modules if not isinstance(module, compiled)]
    for path, module in wrapped:
        wrap(path, module)
    try:
        yield running
    finally:
        for _, module in wrapped:  # the wrapper holds its module, and the module its wrapper
            module.__dict__.pop("forward", None)
        running.let_go()
