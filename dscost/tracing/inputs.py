"""What a model is given: shapes, tensors, or nested collections of them, as arguments of its forward."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from dscost.errors import InputError, UnknownNameError
from dscost.inputs import INPUT_DTYPES, TensorSpec
from dscost.tracing.sparse import is_sparse


class Arguments(NamedTuple):
    """Positional and keyword arguments of a forward."""

    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]

    def on(self, device: str) -> "Arguments":
        """Return the arguments with every tensor on a device; on meta nothing is copied."""
        return Arguments(tuple(_moved(arg, device) for arg in self.args), _moved(dict(self.kwargs), device))

    def with_values(self, *, device: str, dtype: str, memory_format: str) -> "Arguments":
        """Return the arguments to run with: random numbers for floating-point shapes, zeros for integers.

        Floating-point tensors take the dtype; those of four dimensions the memory format.
        """
        place = (device, getattr(torch, dtype), getattr(torch, _FORMATS[memory_format]))
        return Arguments(
            tuple(_with_values(arg, *place) for arg in self.args),
            {name: _with_values(value, *place) for name, value in self.kwargs.items()},
        )

    def with_batch(self, batch: int) -> "Arguments":
        """Return the arguments with another batch: the first size of every tensor that shares the first one's.

        Raises:
            InputError: The batch is below 1.
        """
        if batch < 1:
            raise InputError(f"batch must be at least 1, found {batch}")
        sizes = [tensor.shape[0] for tensor in self.tensors if tensor.dim()]
        if not sizes:
            return self
        return Arguments(_batched(self.args, sizes[0], batch), _batched(dict(self.kwargs), sizes[0], batch))

    @property
    def tensors(self) -> list[Tensor]:
        """Every tensor in them, in order."""
        return [leaf for leaf in _leaves((self.args, dict(self.kwargs))) if isinstance(leaf, Tensor)]


def arguments_of(given: Any, dtype: str = "float32") -> Arguments:
    """Return the arguments that an `input=` stands for.

    Args:
        given: A shape such as `(1, 3, 224, 224)`; a tensor; a `TensorSpec`; a tuple or list of any of
            these for several positional arguments; or a dict of them for keyword arguments.
        dtype: Of a tensor whose own is not given.

    Raises:
        InputError: It is none of these.
    """
    if isinstance(given, Arguments):
        return given
    if isinstance(given, str | bytes):
        raise InputError(f"an input is a shape, a tensor, or a tuple or dict of them, found {given!r}")
    if isinstance(given, Mapping) and set(given) == {"args", "kwargs"}:
        return Arguments(tuple(given["args"]), dict(given["kwargs"]))
    if isinstance(given, Mapping):
        return Arguments((), {str(name): _made(value, dtype) for name, value in given.items()})
    if _is_shape(given) or isinstance(given, Tensor | TensorSpec) or not isinstance(given, Sequence):
        given = (given,)
    positional = [one for one in given if not (isinstance(one, TensorSpec) and one.name)]
    named = {one.name: _made(one, dtype) for one in given if isinstance(one, TensorSpec) and one.name}
    return Arguments(tuple(_made(one, dtype) for one in positional), named)


def _made(value: Any, dtype: str) -> Any:
    if isinstance(value, TensorSpec):
        return _empty(value.shape, value.dtype or dtype)
    if _is_shape(value):
        return _empty(tuple(value), dtype)
    if isinstance(value, list | tuple) and value and not hasattr(value, "_fields"):
        return type(value)(_made(entry, dtype) for entry in value)
    if isinstance(value, Mapping):
        return {key: _made(entry, dtype) for key, entry in value.items()}
    if isinstance(value, str) or value is Ellipsis:
        raise InputError(f"an input is a shape, a tensor, or a tuple or dict of them, found {value!r}")
    return value


def _empty(shape: tuple[int, ...], dtype: str) -> Tensor:
    if any(size < 0 for size in shape):
        raise InputError(f"an input cannot have a negative size, found {shape}")
    torch_dtype = getattr(torch, dtype, None)
    if not isinstance(torch_dtype, torch.dtype):
        raise UnknownNameError("dtype", dtype, INPUT_DTYPES)
    return torch.empty(shape, dtype=torch_dtype, device="meta")


def _is_shape(value: Any) -> bool:
    return isinstance(value, tuple | list | torch.Size) and bool(value) and all(type(size) is int for size in value)


def _moved(value: Any, device: str) -> Any:
    if isinstance(value, Tensor):
        if device != "meta" and not value.is_meta:
            return value.to(device, copy=True)  # a forward may write on what it is given
        if device == "meta" and (value.is_meta or is_sparse(value)):
            return value  # what a sparse tensor stores makes its cost
        if device == "meta":
            return torch.empty_strided(value.shape, value.stride(), dtype=value.dtype, device="meta")
        return torch.zeros(value.shape, dtype=value.dtype, device=device)
    if isinstance(value, Mapping):
        return {key: _moved(entry, device) for key, entry in value.items()}
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return type(value)(*(_moved(entry, device) for entry in value))
    if isinstance(value, tuple | list):
        return type(value)(_moved(entry, device) for entry in value)
    return value


_FORMATS = {"contiguous": "contiguous_format", "channels_last": "channels_last"}


def _with_values(value: Any, device: str, dtype: torch.dtype, layout: torch.memory_format) -> Any:
    if isinstance(value, Tensor):
        if not value.is_floating_point():
            return _moved(value, device)
        real = torch.randn(value.shape) if value.is_meta else value.detach().clone()
        real = real.to(device, dtype)
        return real.to(memory_format=layout) if real.dim() == 4 else real
    if isinstance(value, Mapping):
        return {key: _with_values(entry, device, dtype, layout) for key, entry in value.items()}
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return type(value)(*(_with_values(entry, device, dtype, layout) for entry in value))
    if isinstance(value, tuple | list):
        return type(value)(_with_values(entry, device, dtype, layout) for entry in value)
    return value


def _batched(value: Any, old: int, new: int) -> Any:
    if isinstance(value, Tensor) and value.dim() and value.shape[0] == old:
        rows = torch.arange(new, device=value.device) % max(1, old)
        return value.detach().index_select(0, rows).requires_grad_(value.requires_grad)
    if isinstance(value, Mapping):
        return {key: _batched(entry, old, new) for key, entry in value.items()}
    if isinstance(value, tuple | list):
        return type(value)(_batched(entry, old, new) for entry in value)
    return value


def _leaves(value: Any) -> list[Any]:
    if isinstance(value, Mapping):
        return [leaf for entry in value.values() for leaf in _leaves(entry)]
    if isinstance(value, tuple | list):
        return [leaf for entry in value for leaf in _leaves(entry)]
    return [value]
