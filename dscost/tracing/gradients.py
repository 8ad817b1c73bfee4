"""What a model does with gradients while it runs: which tensors need one, where torch and the model switch them off.

Whether a tensor needs a gradient is kept where torch keeps it, in its `requires_grad`: so it is told apart from other
tensors over the same memory, and the model reads and changes it as usual. Where operators arrive below torch's
autograd, what torch would pass on is passed on here.
"""

from collections.abc import Sequence
from types import FrameType
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from dscost.failures import callers
from dscost.tracing.sparse import parts


class Apart:
    """What is shared by a tensor that was detached and the views of it, though others have the same memory.

    Attributes:
        trained: The event that last wrote on it and passes a gradient on.
        is_written: Whether there is one.
    """

    trained: int | None = None
    is_written = False

    @staticmethod
    def of(tensor: Tensor) -> "Apart | None":
        """Return what a tensor is a part of, if it was detached."""
        found: Apart | None = tensor.__dict__.get(_APART)
        return found


_APART = "_dscost_apart"


class GradientSwitch(TorchFunctionMode):
    """Knows whether the model has gradients on, and passes on which tensors need one.

    Inside the forward of an `autograd.Function` torch itself has them off: what the function returns is differentiable
    all the same. What the model switches in there is no concern of what is outside.

    Args:
        records: Whether torch itself passes on which tensors need a gradient.
    """

    def __init__(self, *, records: bool) -> None:
        super().__init__()
        self.is_on = torch.is_grad_enabled()
        self.switched_on_again = False
        self._records = records
        self._written: set[int] = set()
        self._any_apart = False

    def __torch_function__(self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None) -> Any:
        if func is torch._C._set_grad_enabled and _running_function() is None:
            wanted = bool(args[0])
            self.switched_on_again |= wanted and self.is_on
            self.is_on = wanted
        elif func in _DIFFERENTIATING and not self._records:
            raise RuntimeError("what the model computes does not require grad here: torch records nothing")
        return func(*args, **(kwargs or {}))

    def function_inputs(self) -> list[Tensor] | None:
        """Return what needs a gradient of what the `autograd.Function` is given whose forward is running, if one is."""
        if torch.is_grad_enabled() or not self.is_on or torch.is_inference_mode_enabled():
            return None
        frame = _running_function()
        if frame is None:  # the model has them off in a way of its own
            return None
        return [given for given in frame.f_locals["args"] if isinstance(given, Tensor) and self.needs(given)]

    @property
    def is_flowing(self) -> bool:
        """Whether a gradient could flow through what runs."""
        return torch.is_grad_enabled() or bool(self.function_inputs())

    def needs(self, tensor: Tensor) -> bool:
        """Whether a tensor needs a gradient, also after another view of the same memory was written on."""
        if tensor.requires_grad or self._records or not (self._written or self._any_apart):
            return tensor.requires_grad
        apart = Apart.of(tensor)
        is_written = apart.is_written if apart is not None else _address(tensor) in self._written
        if is_written and _takes_gradients(tensor):
            tensor.requires_grad_(True)
        return tensor.requires_grad

    def born(self, address: int) -> None:
        """Forget what was written at an address: something new is there."""
        self._written.discard(address)

    def pass_on(self, func: Any, operands: Sequence[Tensor], results: Sequence[Tensor]) -> None:
        """Let what an operator has written need a gradient where torch does not do so itself."""
        if func is aten.detach_.default:
            self._set_apart(operands[0], Apart())
            if not self._records:
                operands[0].requires_grad_(False)
            return
        if func is aten.detach.default:
            self._set_apart(results[0], Apart())
            return
        is_mutable = func._schema.is_mutable
        if func.is_view and not is_mutable and not self.is_flowing:
            for result in results:
                self._set_apart(result, Apart())
            return
        if self._any_apart and not is_mutable:
            self._keep_apart(operands, results)
        if (self._records and torch.is_grad_enabled()) or func._schema.name in _CONSTANT:
            return
        if not any(map(self.needs, operands)) or not self.is_flowing:
            return
        for result in filter(_takes_gradients, results):
            if not result.requires_grad:
                result.requires_grad_(True)
            if is_mutable:
                apart = Apart.of(result)
                if apart is not None:
                    apart.is_written = True
                else:
                    self._written.add(_address(result))

    def _set_apart(self, tensor: Tensor, apart: Apart) -> None:
        self._any_apart = True
        tensor.__dict__[_APART] = apart

    def _keep_apart(self, operands: Sequence[Tensor], results: Sequence[Tensor]) -> None:
        """Let views of what was detached be parts of the same."""
        known = {_address(one): apart for one in operands if (apart := Apart.of(one)) is not None}
        for result in results if known else ():
            apart = known.get(_address(result))
            if apart is not None:
                self._set_apart(result, apart)


def _takes_gradients(tensor: Tensor) -> bool:
    return tensor.is_floating_point() or tensor.is_complex()


def _address(tensor: Tensor) -> int:
    return int(parts(tensor)[0].untyped_storage()._cdata)


aten = torch.ops.aten

_DIFFERENTIATING = frozenset((torch.autograd.grad, torch.autograd.backward, Tensor.backward))
_APPLY: Any = torch.autograd.Function.apply.__func__.__code__  # type: ignore[attr-defined]
_CONSTANT = frozenset(
    f"aten::{name}{like}"
    for name, likes in {
        **dict.fromkeys(("zeros", "ones", "full", "empty", "rand", "randn", "randint"), ("_like",)),
        **dict.fromkeys(("new_zeros", "new_ones", "new_full", "new_empty", "new_empty_strided"), ("",)),
        **dict.fromkeys(("bernoulli", "heaviside", "nextafter", "one_hot", "histc", "bincount"), ("",)),
    }.items()
    for like in likes
)
"""Operators whose results have no gradient though they are no integers."""


def _running_function() -> FrameType | None:
    """Return where the outermost `autograd.Function` whose forward is running was applied."""
    found = None
    for frame in callers():
        if frame.f_code is _APPLY:
            found = frame
    return found
