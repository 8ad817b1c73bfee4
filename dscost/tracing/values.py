"""A recorder in which small tensors keep their values, so that strides and masks can be read without a real run.

Tensors that are no parameters and hold at most `MOST_VALUES` numbers stay on the CPU: buffers, plain attributes, what
the model makes from nothing, integers that it is given. An operator on such alone is computed; one that meets a tensor
without values is worked out on meta, and what it writes has no values from then on.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from dscost.tracing.autocasting import autocast_arguments
from dscost.tracing.operators import leaves
from dscost.tracing.standins import MOST_VALUES
from dscost.tracing.threads import FollowingRecorder

aten = torch.ops.aten


class ValueRecorder(FollowingRecorder):
    """Computes what is small and known for real, and everything else on meta.

    Args:
        args: As of `Recorder`.
        most_values: Numbers that a tensor with values may have; none has any where it is 0.
        kwargs: As of `Recorder`.
    """

    def __init__(self, *args: Any, most_values: int = MOST_VALUES, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._most_values = most_values
        self._overwritten: dict[int, Tensor] = {}

    def is_known(self, tensor: Tensor) -> bool:
        """Whether the values of a tensor are those that it would have in a real run."""
        return not tensor.is_meta and tensor.untyped_storage()._cdata not in self._overwritten

    def compute(self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Return what an operator gives, with values where all that it reads has some."""
        if self.autocasts:
            args, kwargs = autocast_arguments(func, args, kwargs)
        tensors = [leaf for leaf in leaves((args, kwargs)) if isinstance(leaf, Tensor)]
        if func.is_view and tensors and not tensors[0].is_meta:
            return super().compute(func, args, kwargs)
        if all(map(self.is_known, tensors)) and not self._is_large(func, args, kwargs, tensors):
            return super().compute(func, *_mapped((args, kwargs), _on_cpu))
        return self._on_meta(func, args, kwargs)

    def _is_large(self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any], tensors: list[Tensor]) -> bool:
        """Whether the result has too many numbers to be computed by the way; torch tells on meta, where it can."""
        if func._schema.is_mutable:  # no larger than what it writes on
            return False
        meta_args, meta_kwargs = _mapped((args, kwargs), _Twins().twin)
        if not tensors and _makes_something(func):
            meta_kwargs["device"] = torch.device("meta")
        try:
            result = func(*meta_args, **meta_kwargs)
        except Exception:  # noqa: BLE001 - it needs values, which it has, or it fails for real as well
            return False
        return any(leaf.numel() > self._most_values for leaf in leaves(result))

    def _on_meta(self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if func in _INDEXING:
            args = (args[0], self._numbered(args[1]), *args[2:])
        self._lose_values(func, args, kwargs)
        twins = _Twins()
        meta_args, meta_kwargs = _mapped((args, kwargs), twins.twin)
        if not any(isinstance(leaf, Tensor) for leaf in leaves((args, kwargs))) and _makes_something(func):
            meta_kwargs["device"] = torch.device("meta")
        result = super().compute(func, meta_args, meta_kwargs)
        return _mapped(result, twins.original)

    def _numbered(self, indices: Any) -> Any:
        """Return indices with positions in place of truth values that are known: then the result has a known shape."""
        new: list[Any] = []
        for index in indices:
            if index is not None and index.dtype is torch.bool and self.is_known(index):
                new += index.nonzero().unbind(1)
            else:
                new.append(index)
        return new

    def _lose_values(self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        if not func._schema.is_mutable:
            return
        arguments = func._schema.arguments
        given = {argument.name: value for argument, value in zip(arguments, args, strict=False)} | kwargs
        for tensor in leaves([given.get(argument.name) for argument in arguments if argument.is_write]):
            if not tensor.is_meta:
                self._overwritten[tensor.untyped_storage()._cdata] = tensor  # alive, so that its address stays


class ReadingGuard(TorchFunctionMode):
    """Stops code that reads the memory of a tensor whose values are not known."""

    def __init__(self, recorder: ValueRecorder) -> None:
        super().__init__()
        self._recorder = recorder

    def __torch_function__(self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None) -> Any:
        if func in _READING and isinstance(args[0], Tensor) and not self._recorder.is_known(args[0]):
            raise self._recorder.missed(NotImplementedError("Cannot copy out of meta tensor; no data!"))
        return func(*args, **(kwargs or {}))


_READING = {Tensor.tolist, Tensor.numpy, Tensor.__array__}
_INDEXING = {aten.index.Tensor, aten.index_put.default, aten.index_put_.default, aten._index_put_impl_.default}


class _Twins:
    """Tensors on meta in place of tensors with values, for one operator."""

    def __init__(self) -> None:
        self._twins: dict[int, Tensor] = {}
        self._originals: dict[int, Tensor] = {}

    def twin(self, value: Any) -> Any:
        if isinstance(value, torch.device):
            return torch.device("meta")
        if not isinstance(value, Tensor) or value.is_meta:
            return value
        known = self._twins.get(id(value))
        if known is None:
            known = torch.empty_strided(value.shape, value.stride(), dtype=value.dtype, device="meta")
            self._twins[id(value)], self._originals[id(known)] = known, value
        return known

    def original(self, value: Any) -> Any:
        return self._originals.get(id(value), value)


def _on_cpu(value: Any) -> Any:
    return torch.device("cpu") if isinstance(value, torch.device) else value


def _makes_something(func: Any) -> bool:
    return any(argument.name == "device" for argument in func._schema.arguments)


def _mapped(value: Any, change: Callable[[Any], Any]) -> Any:
    if isinstance(value, list | tuple):
        return type(value)(_mapped(entry, change) for entry in value)
    if isinstance(value, dict):
        return {key: _mapped(entry, change) for key, entry in value.items()}
    return change(value)
