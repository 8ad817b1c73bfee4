"""What a model does with gradients: which tensors need one, where they are switched off.

Whether a tensor needs a gradient is kept where torch keeps it, in its `requires_grad`: so it is
told apart from other tensors over the same memory, and the model reads and changes it as usual.
Where operators arrive below torch's autograd, what torch would pass on is passed on here.
"""

from collections.abc import Sequence
from types import FrameType
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import FunctionCtx
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import _disable_current_modes
from torch.utils.checkpoint import CheckpointFunction

from dscost.foreign.dispatch import Args
from dscost.foreign.failures import callers
from dscost.traces.rules import named
from dscost.tracing.sparse import address_of, takes_gradients


class Apart:
    """What a detached tensor and its views share, though others have the same memory.

    The event that last wrote on it and passes a gradient on is `trained`, if there is one.
    """

    trained: int | None = None
    is_written = False

    @staticmethod
    def of(tensor: Tensor) -> "Apart | None":
        """Return what a tensor is a part of, if it was detached."""
        found: Apart | None = tensor.__dict__.get(_APART)
        return found


_APART = "_dscost_apart"


class FunctionCall:
    """One call of an `autograd.Function`, with the events that ran in it and pass gradients on.

    Its number tells it from others where its forward is given no context.
    """

    def __init__(self, kind: Any, context: Any, number: int) -> None:
        self.kind, self.context, self.number = kind, context, number
        self.events: list[int] = []

    def is_same(self, other: "FunctionCall") -> bool:
        """Whether another one is this call."""
        if other.context is not None:
            return self.context is other.context
        return self.kind is other.kind and self.number == other.number

    def products(self, events: Sequence[Any]) -> list[int]:
        """Return which of its events multiply."""
        return [at for at in self.events if at < len(events) and events[at].macs]

    def differentiate(self) -> None:
        """Run its backward pass, which may raise anything; nobody can without its context."""
        if self.context is None:
            raise LookupError("a function that is given no context")
        made = self.context._input_metadata
        with _disable_current_modes():
            # on the device of the results, whatever small tensors are on
            gradients = [
                torch.zeros(tuple(one.shape), dtype=one.dtype, device=one.device) for one in made
            ]
        with torch.no_grad():
            self.kind.backward(self.context, *gradients)


class GradientSwitch(TorchFunctionMode):
    """Knows whether the model has gradients on, and passes on which tensors need one.

    Inside the forward of an `autograd.Function` torch itself has them off: what the function
    returns is differentiable all the same. What the model switches in there is no concern of what
    is outside.

    Args:
        records: Whether torch itself passes on which tensors need a gradient.

    Attributes:
        written: Addresses of storages on which something was written that needs a gradient.
    """

    def __init__(self, *, records: bool) -> None:
        super().__init__()
        self.is_on = torch.is_grad_enabled()
        self.switched_on_again = False
        self._records = records
        self.written: dict[int, None] = {}
        self._any_apart = self._is_on_within = False

    def __torch_function__(self, func: Any, types: Any, args: Args = (), kwargs: Any = None) -> Any:
        if func is torch._C._set_grad_enabled:
            checkpointed = _switching_checkpoint()
            if checkpointed is not None:
                # what is inside trains like any other, only later: torch has them off before, and
                # on again behind it
                return func(not torch.is_grad_enabled() and any(map(self.needs, checkpointed)))
            wanted = bool(args[0])
            if _running_function() is not None:
                self._is_on_within |= wanted
                return func(*args)
            self.switched_on_again |= wanted and self.is_on
            self.is_on = wanted
        elif func in _DIFFERENTIATING and not self._records:
            raise RuntimeError(
                "what the model computes does not require grad here: torch records nothing"
            )
        elif func in _ASKING and args[0].requires_grad and not self._records:
            self.switched_on_again = True  # torch would tell, had it recorded anything
        return func(*args, **(kwargs or {}))

    def function(self) -> tuple[FunctionCall, list[Tensor]] | None:
        """Return the running `autograd.Function` and what it is given that needs a gradient.

        `None` where no gradient flows to anything that it is given.
        """
        if (
            not self.is_on
            or torch.is_inference_mode_enabled()
            or (torch.is_grad_enabled() and not self._is_on_within)
        ):
            return None
        frame = _running_function()
        if frame is None:  # the model has them off in a way of its own
            return None
        given = (one for one in frame.f_locals["args"] if isinstance(one, Tensor))
        needing = [one for one in given if self.needs(one)]
        number = torch._C._autograd._get_sequence_nr()
        call = FunctionCall(frame.f_locals["cls"], _context_of(frame), number)
        return (call, needing) if needing else None

    @property
    def is_flowing(self) -> bool:
        """Whether a gradient could flow through what runs."""
        return torch.is_grad_enabled() or self.function() is not None

    def needs(self, tensor: Tensor) -> bool:
        """Whether a tensor needs a gradient, also after a view of its memory was written on."""
        if tensor.requires_grad or self._records or not (self.written or self._any_apart):
            return tensor.requires_grad
        apart = Apart.of(tensor)
        is_written = apart.is_written if apart is not None else address_of(tensor) in self.written
        if is_written and takes_gradients(tensor):
            tensor.requires_grad_(True)
        return tensor.requires_grad

    def pass_on(self, func: Any, operands: Sequence[Tensor], results: Sequence[Tensor]) -> None:
        """Let what an operator has written need a gradient where torch does not do so itself."""
        if func is aten.detach_.default:
            self._set_apart(operands[0], Apart())
            if not self._records:
                operands[0].requires_grad_(False)
            return
        is_mutable = func._schema.is_mutable
        is_unfollowed = func.is_view and not is_mutable and not self.is_flowing
        if is_unfollowed or func is aten.detach.default:
            # what is in a function of its own belongs together, whatever its backward pass does
            for result in results if self.function() is None else ():
                self._set_apart(result, Apart())
            return
        if self._any_apart and not is_mutable:
            self._keep_apart(operands, results)
        # where torch records, it has passed on by itself; and constants pass on nothing
        if (self._records and torch.is_grad_enabled()) or func._schema.name in _CONSTANT:
            return
        if not any(map(self.needs, operands)) or not self.is_flowing:
            return
        for result in filter(takes_gradients, results):
            if not result.requires_grad:
                result.requires_grad_(True)
            if is_mutable:
                apart = Apart.of(result)
                if apart is not None:
                    apart.is_written = True
                else:
                    self.written[address_of(result)] = None

    def _set_apart(self, tensor: Tensor, apart: Apart) -> None:
        self._any_apart = True
        tensor.__dict__[_APART] = apart

    def _keep_apart(self, operands: Sequence[Tensor], results: Sequence[Tensor]) -> None:
        """Let views of what was detached be parts of the same."""
        known = {address_of(one): apart for one in operands if (apart := Apart.of(one)) is not None}
        for result in results if known else ():
            apart = known.get(address_of(result))
            if apart is not None:
                self._set_apart(result, apart)


aten = torch.ops.aten

_DIFFERENTIATING = frozenset((torch.autograd.grad, torch.autograd.backward, Tensor.backward))
_ASKING = frozenset(vars(torch._C.TensorBase)[name].__get__ for name in ("grad_fn", "is_leaf"))
_SWITCHING = frozenset((__file__, torch.autograd.grad_mode.__file__))
# newer versions of torch apply functions in C++, of which no frame tells
_APPLY: Any = getattr(getattr(torch.autograd.Function.apply, "__func__", None), "__code__", None)
_CONSTANT = {
    *named("aten", "zeros_like ones_like full_like empty_like rand_like randn_like randint_like"),
    *named("aten", "new_zeros new_ones new_full new_empty new_empty_strided"),
    *named("aten", "bernoulli heaviside nextafter one_hot histc bincount"),
}
"""Operators whose results have no gradient though they are no integers."""


def _running_function() -> FrameType | None:
    """Return where the outermost running `autograd.Function` was applied; a checkpoint is none."""
    found = None
    for frame in callers():
        if frame.f_code is _APPLY and frame.f_locals["cls"] is not CheckpointFunction:
            found = frame
    return found


def _switching_checkpoint() -> list[Tensor] | None:
    """Return the tensors that an older checkpoint is given, if it is what switches gradients."""
    for frame in callers():
        if frame.f_code is CheckpointFunction.forward.__code__:
            return [given for given in frame.f_locals["args"] if isinstance(given, Tensor)]
        if (
            frame.f_code.co_filename not in _SWITCHING
            and frame.f_code.co_name != "__torch_function__"
        ):
            return None
    return None


def runs_again() -> bool:
    """Whether a checkpoint is running what it ran before."""
    return any(frame.f_code.co_filename == torch.utils.checkpoint.__file__ for frame in callers())


def _context_of(applied: FrameType) -> FunctionCtx | None:
    """Return the context that the forward of a function is given first."""
    for frame in callers():
        if frame.f_back is applied:
            names = frame.f_code.co_varnames
            first = frame.f_locals.get(names[0]) if names else None
            return first if isinstance(first, FunctionCtx) else None
    return None
