"""What a model does with gradients while it runs: where it wants them, and where torch switched them off by itself."""

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import FunctionCtx
from torch.overrides import TorchFunctionMode

from dscost.failures import callers


class GradientSwitch(TorchFunctionMode):
    """Knows whether the model has gradients on.

    Inside the forward of an `autograd.Function` torch itself has them off: what the function returns is differentiable
    all the same. This is what torch switches, less what the model switches.
    """

    def __init__(self) -> None:
        super().__init__()
        self.is_on = torch.is_grad_enabled()
        self.switched_on_again = False

    def __torch_function__(self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None) -> Any:
        if func is torch._C._set_grad_enabled and torch.is_grad_enabled() == self.is_on:
            wanted = bool(args[0])
            self.switched_on_again |= wanted and self.is_on
            self.is_on = wanted
        return func(*args, **(kwargs or {}))

    @property
    def is_in_function(self) -> bool:
        """Whether the forward of an `autograd.Function` is running, to which gradients flow."""
        if torch.is_grad_enabled():
            self.is_on = True
        return self.is_on and not torch.is_grad_enabled()


_APPLY: Any = torch.autograd.Function.apply.__func__.__code__  # type: ignore[attr-defined]


def watch_marks(marked: list[Tensor]) -> None:
    """Keep what the `autograd.Function` whose forward is running will say to be not differentiable.

    torch forgets it as soon as the forward is over. A function whose context is set up apart from its forward is taken
    to be differentiable in everything.
    """
    context: Any = _running_context()
    if context is None or "mark_non_differentiable" in context.__dict__:
        return

    def mark(*tensors: Tensor) -> None:
        marked.extend(tensors)
        context.non_differentiable = tensors

    context.mark_non_differentiable = mark


def _running_context() -> FunctionCtx | None:
    """Return the context of the `autograd.Function` whose forward is running, where it is given one."""
    for frame in callers():
        if frame.f_back is not None and frame.f_back.f_code is _APPLY:
            first = frame.f_locals.get(frame.f_code.co_varnames[0]) if frame.f_code.co_varnames else None
            return first if isinstance(first, FunctionCtx) else None
    return None
