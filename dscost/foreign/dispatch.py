"""Operators on the way to their kernels: who runs them, and which tensors they are given."""

from collections.abc import Callable
from typing import Any

from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

Args = tuple[Any, ...]
Kwargs = dict[str, Any]
"""Arguments of an operator: by position, and by name."""

Run = Callable[[Any, Args, Kwargs], Any]
"""Runs an operator on its arguments."""


class EachOperator(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Has every operator run by a function."""

    def __init__(self, run: Run) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._run = run

    def __torch_dispatch__(self, func: Any, types: Any, args: Args = (), kwargs: Any = None) -> Any:
        return self._run(func, args, kwargs or {})

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """Spare operators the wrapper that hides a mode from torch.compile: nothing is compiled."""
        return False


def tensors_in(value: Any) -> list[Tensor]:
    """Return every tensor in nested arguments, in order."""
    if isinstance(value, Tensor):
        return [value]
    if isinstance(value, dict):
        value = value.values()
    elif not isinstance(value, tuple | list):
        return []
    return [tensor for entry in value for tensor in tensors_in(entry)]


def mapped(value: Any, change: Callable[[Any], Any]) -> Any:
    """Return nested arguments with whatever is in their collections changed."""
    if isinstance(value, list | tuple):
        return type(value)(mapped(entry, change) for entry in value)
    if isinstance(value, dict):
        return {name: mapped(entry, change) for name, entry in value.items()}
    return change(value)


def written_by(func: Any, args: Args, kwargs: Kwargs) -> list[Tensor]:
    """Return the tensors among its arguments that an operator writes on."""
    arguments = func._schema.arguments
    given = {argument.name: value for argument, value in zip(arguments, args, strict=False)}
    given |= kwargs
    return tensors_in([given.get(argument.name) for argument in arguments if argument.is_write])
