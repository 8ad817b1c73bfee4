"""Tensors with values beside tensors on meta: what is small is computed, the rest is on meta.

An operator that gets none but tensors with values is computed, unless its result is large. One that
meets a tensor on meta is worked out there, and what it writes has no values from then on. So masks
and strides can be read though no weight has a value, and no large tensor takes memory.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from dscost.foreign.dispatch import Args, EachOperator, Kwargs, Run, mapped, tensors_in, written_by

aten = torch.ops.aten

MOST_VALUES = 2**21
"""Numbers in a tensor that keeps its values beside a model on meta: masks and strides have fewer,
features more."""

MOST_MADE_VALUES = 2**12
"""Numbers in a tensor that has values while a model is made on meta: fewer, for there are as many
as weights."""


class Values:
    """Which tensors have values, and how operators run on them.

    Args:
        most: Numbers that a tensor with values may have.
    """

    def __init__(self, most: int = MOST_VALUES) -> None:
        self._most = most
        self._overwritten: dict[int, Tensor] = {}

    def is_known(self, tensor: Tensor) -> bool:
        """Whether the values of a tensor are those that it would have in a real run."""
        is_dense = tensor.layout is torch.strided and not tensor.is_meta
        return is_dense and tensor.untyped_storage()._cdata not in self._overwritten

    def compute(self, func: Any, args: Args, kwargs: Kwargs, run: Run) -> Any:
        """Return what an operator gives, with values where all that it reads has some."""
        tensors = tensors_in((args, kwargs))
        if func.is_view and tensors and not tensors[0].is_meta:
            return run(func, *mapped((args, kwargs), _on_cpu))
        if all(map(self.is_known, tensors)) and not self._is_large(func, args, kwargs, tensors):
            return run(func, *mapped((args, kwargs), _on_cpu))
        return self._on_meta(func, args, kwargs, run)

    def _is_large(self, func: Any, args: Args, kwargs: Kwargs, tensors: list[Tensor]) -> bool:
        """Whether the result has too many numbers to be computed, as far as meta tells."""
        if func._schema.is_mutable:  # no larger than what it writes on
            return False
        meta_args, meta_kwargs = mapped((args, kwargs), _Twins().twin)
        if not tensors and _makes_something(func):
            meta_kwargs["device"] = torch.device("meta")
        try:
            result = func(*meta_args, **meta_kwargs)
        except Exception:  # noqa: BLE001
            return False  # it needs values, which it has, or it fails for real as well
        return any(leaf.numel() > self._most for leaf in tensors_in(result))

    def _on_meta(self, func: Any, args: Args, kwargs: Kwargs, run: Run) -> Any:
        if func in _INDEXING:
            args = (args[0], self._numbered(args[1]), *args[2:])
        self._lose_values(func, args, kwargs)
        twins = _Twins()
        meta_args, meta_kwargs = mapped((args, kwargs), twins.twin)
        if not tensors_in((args, kwargs)) and _makes_something(func):
            meta_kwargs["device"] = torch.device("meta")
        result = run(func, meta_args, meta_kwargs)
        return mapped(result, twins.original)

    def _numbered(self, indices: Any) -> Any:
        """Return indices with positions for truth values that are known: shapes are then known."""
        new: list[Any] = []
        for index in indices:
            if index is not None and index.dtype is torch.bool and self.is_known(index):
                new += index.nonzero().unbind(1)
            else:
                new.append(index)
        return new

    def _lose_values(self, func: Any, args: Args, kwargs: Kwargs) -> None:
        if not func._schema.is_mutable:
            return
        for tensor in written_by(func, args, kwargs):
            if not tensor.is_meta and tensor.layout is torch.strided:
                # alive, so that its address stays
                self._overwritten[tensor.untyped_storage()._cdata] = tensor


class DirectAccess(TorchFunctionMode):
    """Looks after functions that read or make values without an operator.

    Values that are not known cannot be read, and what is made of numbers in Python keeps them, also
    on meta.

    Args:
        values: Which tensors have values.
        missed: Is told of the error where one has none, and returns it.
    """

    def __init__(self, values: Values, missed: Callable[[BaseException], BaseException]) -> None:
        super().__init__()
        self._values, self._missed = values, missed

    def __torch_function__(self, func: Any, types: Any, args: Args = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func in READING and isinstance(args[0], Tensor) and not self._values.is_known(args[0]):
            raise self._missed(NotImplementedError("Cannot copy out of meta tensor; no data!"))
        if (
            func in _MADE_OF_NUMBERS
            and not tensors_in((args, kwargs))
            and _is_meta(kwargs.get("device"))
        ):
            kwargs = {**kwargs, "device": "cpu"}
        elif func is Tensor.new_tensor and args[0].is_meta and not tensors_in((args[1:], kwargs)):
            func, kwargs = torch.tensor, {"dtype": args[0].dtype, **kwargs, "device": "cpu"}
            args = args[1:]
        return func(*args, **kwargs)


@contextmanager
def values_kept(most: int = MOST_VALUES) -> Iterator[None]:
    """Let code on meta read what is small: strides that it computes, rates that it takes apart.

    A tensor with values may have so many numbers at `most`.
    """
    values = Values(most)
    run = partial(values.compute, run=_Writes().run)
    with EachOperator(run), DirectAccess(values, lambda error: error):
        yield


class _Writes:
    """Runs operators, but none that writes numbers on meta as one did before: it changes nothing.

    Initial weights are most of what runs while a model is made, and each operator on meta goes
    through torch's decompositions in Python. Whether numbers are refused depends on the kind only.
    """

    def __init__(self) -> None:
        self._done: set[tuple[Any, ...]] = set()

    def run(self, func: Any, args: Args, kwargs: Kwargs) -> Any:
        if func not in _WRITING or kwargs or not _is_plain(*args):
            return func(*args, **kwargs)
        written, *numbers = args
        kind = (func, written.dtype, *numbers)
        if kind not in self._done:
            func(*args)
            self._done.add(kind)
        return written


def _is_plain(written: Tensor, *numbers: Any) -> bool:
    """Whether a tensor is on meta and dense, and the others are numbers."""
    return (
        written.is_meta
        and written.is_contiguous()
        and all(type(number) in (int, float) for number in numbers)
    )


_WRITING = {
    *(aten.zero_.default, aten.fill_.Scalar, aten.normal_.default, aten.uniform_.default),
    *(aten.erfinv_.default, aten.mul_.Tensor, aten.add_.Tensor, aten.clamp_.default),
}
_MADE_OF_NUMBERS = {torch.tensor, torch.as_tensor, torch.asarray}
READING = {Tensor.tolist, Tensor.numpy, Tensor.__array__}
"""What gives values to Python and NumPy without an operator."""
_INDEXING = {
    aten.index.Tensor,
    aten.index_put.default,
    aten.index_put_.default,
    aten._index_put_impl_.default,
}


class _Twins:
    """Tensors on meta in place of tensors with values, for one operator."""

    def __init__(self) -> None:
        self._twins: dict[int, Tensor] = {}
        self._originals: dict[int, Tensor] = {}

    def twin(self, value: Any) -> Any:
        if isinstance(value, torch.device):
            return torch.device("meta")
        if not isinstance(value, Tensor) or value.is_meta or value.layout is not torch.strided:
            return value
        known = self._twins.get(id(value))
        if known is None:
            known = torch.empty_strided(
                value.shape, value.stride(), dtype=value.dtype, device="meta"
            )
            self._twins[id(value)], self._originals[id(known)] = known, value
        return known

    def original(self, value: Any) -> Any:
        return self._originals.get(id(value), value)


def _is_meta(device: Any) -> bool:
    """Whether a device is meta, by name or as the default that is in force."""
    return device is None or torch.device(device).type == "meta"


def _on_cpu(value: Any) -> Any:
    return torch.device("cpu") if isinstance(value, torch.device) else value


def _makes_something(func: Any) -> bool:
    return any(argument.name == "device" for argument in func._schema.arguments)
