"""What a model is given: shapes, tensors, or nestings of them, as arguments of its forward."""

import copy
import inspect
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import fields, is_dataclass
from itertools import zip_longest
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from dscost.errors import InputError, UnknownNameError, did_you_mean, first_line
from dscost.notation.inputs import INPUT_DTYPES, TensorSpec, check_fill, fill_shape, is_shape
from dscost.tracing.sparse import is_sparse

Change = Callable[[str, Tensor], Tensor]
"""From the innermost name of a tensor, and the tensor, to what stands in its place."""


class Arguments(NamedTuple):
    """Positional and keyword arguments of a forward."""

    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]

    def on(self, device: str) -> "Arguments":
        """Return the arguments with every tensor on a device; on meta nothing is copied."""
        return self.changed(lambda _, tensor: moved(tensor, device))

    def needing_gradients_as(self, others: "Arguments") -> "Arguments":
        """Return the arguments, needing gradients where the same arguments elsewhere do."""
        for tensor, other in zip(self.tensors, others.tensors, strict=True):
            if other.requires_grad and not tensor.requires_grad:
                tensor.requires_grad_(True)
        return self

    def with_values(self, *, device: str, dtype: str, memory_format: str) -> "Arguments":
        """Return the arguments to run with: for shapes random numbers, or zeros of integers.

        Floating-point tensors take the dtype; those of four dimensions the memory format.
        """
        place = (device, getattr(torch, dtype), getattr(torch, _FORMATS[memory_format]))
        return self.changed(lambda _, tensor: _with_values(tensor, *place))

    def with_batch(self, batch: int) -> "Arguments":
        """Return the arguments with another batch: in every tensor that shares the first one's.

        Raises:
            InputError: The batch is below 1, or there are no rows to repeat.
        """
        if batch < 1:
            raise InputError(f"batch must be at least 1, found {batch}")
        sizes = [tensor.shape[0] for tensor in self.tensors if tensor.dim()]
        if not sizes:
            return self
        if not sizes[0]:
            raise InputError("an input of batch 0 cannot be given another batch")
        return self.changed(lambda _, tensor: _batched(tensor, sizes[0], batch))

    @property
    def tensors(self) -> list[Tensor]:
        """Every tensor in them, in order."""
        return list(_tensors((self.args, dict(self.kwargs))))

    @property
    def have_values(self) -> bool:
        """Whether there are tensors, none of them a mere shape."""
        tensors = self.tensors
        return bool(tensors) and not any(tensor.is_meta for tensor in tensors)

    def changed(self, change: Change, names: Sequence[str] = ()) -> "Arguments":
        """Return the arguments with tensors changed by name; `names` are those of positions."""
        named = zip_longest(names[: len(self.args)], self.args, fillvalue="")
        return Arguments(
            tuple(changed_by_name(name, value, change) for name, value in named),
            {name: changed_by_name(name, value, change) for name, value in self.kwargs.items()},
        )


def arguments_of(given: Any, dtype: str = "float32") -> Arguments:
    """Return the arguments that an `input=` stands for.

    Args:
        given: A shape such as `(1, 3, 224, 224)`; a tensor; a `TensorSpec`; a tuple or list of any
            of these for several positional arguments; or a dict of them for keyword arguments.
            Whatever else stands beside tensors, such as text or numbers, is passed on.
        dtype: Of a tensor whose own is not given.

    Raises:
        InputError: It is none of these.
    """
    if isinstance(given, Arguments):
        return given
    if isinstance(given, str | bytes | int | float):
        raise InputError(_no_input(given))
    if isinstance(given, Mapping) and set(given) == {"args", "kwargs"}:
        return Arguments(tuple(given["args"]), dict(given["kwargs"]))
    if isinstance(given, Mapping):
        made = Arguments((), {str(name): _made(value, dtype) for name, value in given.items()})
    else:
        is_one = isinstance(given, TensorSpec) or not isinstance(given, Sequence)
        if is_one or is_shape(given):
            given = (given,)
        positional = [one for one in given if not (isinstance(one, TensorSpec) and one.name)]
        named = {
            one.name: _made(one, dtype) for one in given if isinstance(one, TensorSpec) and one.name
        }
        for name in named:
            if not name.isidentifier():
                raise InputError(f"an argument of a forward has a name of Python, found '{name}'")
        made = Arguments(tuple(_made(one, dtype) for one in positional), named)
    if not made.tensors:
        for leaf in _leaves((made.args, dict(made.kwargs))):
            # a shape written as text, more likely than a model of texts
            if isinstance(leaf, str | bytes):
                raise InputError(_no_input(leaf))
    return made


def with_dtype(given: Any, dtype: str) -> Any:
    """Return an `input=`, or arguments of one, with its floating-point tensors in another dtype.

    Raises:
        UnknownNameError: There is none of that name.
    """
    kind = _torch_dtype(dtype)

    def changed(_: str, tensor: Tensor) -> Tensor:
        return tensor.to(kind) if tensor.is_floating_point() else tensor

    return changed_by_name("", given, changed)


def _no_input(found: object) -> str:
    return f"an input is a shape, a tensor, or a tuple or dict of them, found {found!r:.60}"


def _made(value: Any, dtype: str, *, in_sample: bool = False) -> Any:
    """Return a value with tensors in place of shapes.

    In a collection that holds a tensor, such as a batch of a loader, whole numbers are what they
    are: a size, say.
    """
    if isinstance(value, TensorSpec) and value.fill is not None:
        return _filled(value, dtype)
    if isinstance(value, TensorSpec):
        return _empty(value.shape, value.dtype or dtype)
    if is_shape(value):
        return value if in_sample else _empty(tuple(value), dtype)
    if value is Ellipsis:
        raise InputError(_no_input(value))
    if isinstance(value, Mapping):
        inside = in_sample or any(isinstance(entry, Tensor) for entry in value.values())
        made = {key: _made(entry, dtype, in_sample=inside) for key, entry in value.items()}
        return _like(value, made)
    if isinstance(value, list | tuple) and value and not hasattr(value, "_fields"):
        inside = in_sample or any(isinstance(entry, Tensor) for entry in value)
        return type(value)(_made(entry, dtype, in_sample=inside) for entry in value)
    return value


def _empty(shape: tuple[int, ...], dtype: str) -> Tensor:
    if any(size < 0 for size in shape):
        raise InputError(f"an input cannot have a negative size, found {shape}")
    return torch.empty(shape, dtype=_torch_dtype(dtype), device="meta")


def _filled(spec: TensorSpec, dtype: str) -> Tensor:
    """Return a tensor with the values that it is to have."""
    kind = spec.dtype or dtype
    empty = _empty(spec.shape, kind)
    check_fill(spec._replace(dtype=kind))
    fill = list(spec.fill) if isinstance(spec.fill, range) else spec.fill
    values = torch.tensor(fill, dtype=empty.dtype, device="cpu")
    own = fill_shape(spec.fill)
    same_number = own and values.numel() == empty.numel()
    return values.reshape(spec.shape) if same_number else values.expand(spec.shape).clone()


def _torch_dtype(name: str) -> torch.dtype:
    found = getattr(torch, name, None) if isinstance(name, str) else None
    if not isinstance(found, torch.dtype):
        raise UnknownNameError("dtype", str(name), INPUT_DTYPES)
    return found


# -- collections of tensors


def changed_by_name(name: str, value: Any, change: Change) -> Any:
    """Return a value with every tensor in it changed; collections keep their kind.

    The name is that of the value, and of what is in it and has none of its own.
    """
    if isinstance(value, Tensor):
        return change(name, value)
    if isinstance(value, Mapping):
        new = {key: changed_by_name(str(key), entry, change) for key, entry in value.items()}
        return _like(value, new)
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        named = zip(value._fields, value, strict=True)
        return type(value)(*(changed_by_name(field, entry, change) for field, entry in named))
    if isinstance(value, tuple | list):
        return type(value)(changed_by_name(name, entry, change) for entry in value)
    if _is_record(value) and any(True for _ in _tensors(value)):
        new = copy.copy(value)
        for field in fields(value):
            made = changed_by_name(field.name, getattr(value, field.name), change)
            object.__setattr__(new, field.name, made)  # a frozen one too: the copy is ours
        return new
    return value


def _is_record(value: Any) -> bool:
    return is_dataclass(value) and not isinstance(value, type)


def _like(value: Mapping[Any, Any], entries: dict[Any, Any]) -> Mapping[Any, Any]:
    """Return entries in a mapping like another, as far as that can be copied and written to."""
    if type(value) is dict:
        return entries
    try:
        new: Any = copy.copy(value)
        for key, entry in entries.items():
            new[key] = entry
    except Exception:  # noqa: BLE001
        # a foreign class may refuse to be copied or written to in any way
        return entries
    return new  # type: ignore[no-any-return]


def _leaves(value: Any) -> Iterator[Any]:
    entries: Iterable[Any]
    if isinstance(value, Mapping):
        entries = value.values()
    elif isinstance(value, tuple | list):
        entries = value
    elif _is_record(value):
        entries = (getattr(value, field.name, None) for field in fields(value))
    else:
        yield value
        return
    for entry in entries:
        yield from _leaves(entry)


def _tensors(value: Any) -> Iterator[Tensor]:
    return (leaf for leaf in _leaves(value) if isinstance(leaf, Tensor))


# -- single tensors


def moved(tensor: Tensor, device: str) -> Tensor:
    """Return a tensor on a device, where from meta it is all zeros, or all true."""
    if device != "meta" and not tensor.is_meta:
        return tensor.to(device, copy=True)  # a forward may write on what it is given
    if device == "meta" and (tensor.is_meta or is_sparse(tensor)):
        return tensor  # what a sparse tensor stores makes its cost
    if device == "meta":
        return torch.empty_strided(tensor.shape, tensor.stride(), dtype=tensor.dtype, device="meta")
    make = torch.ones if tensor.dtype is torch.bool else torch.zeros
    return make(tensor.shape, dtype=tensor.dtype, device=device)


_FORMATS = {"contiguous": "contiguous_format", "channels_last": "channels_last"}


def _with_values(
    tensor: Tensor, device: str, dtype: torch.dtype, layout: torch.memory_format
) -> Tensor:
    if not tensor.is_floating_point():
        return moved(tensor, device)
    real = torch.randn(tensor.shape) if tensor.is_meta else tensor.detach().clone()
    real = real.to(device, dtype)
    return real.to(memory_format=layout) if real.dim() == 4 else real


def _batched(tensor: Tensor, old: int, new: int) -> Tensor:
    if not tensor.dim() or tensor.shape[0] != old:
        return tensor
    rows = torch.arange(new, device=tensor.device) % old
    return tensor.detach().index_select(0, rows).requires_grad_(tensor.requires_grad)


# -- what to say


ALL_TRUE = "Truth values that were not given are true, as a mask that hides nothing."


def notes_on(arguments: Arguments) -> tuple[str, ...]:
    """Return what the reader of the figures must know of the values of what went in."""
    unsaid = any(tensor.is_meta and tensor.dtype is torch.bool for tensor in arguments.tensors)
    return (ALL_TRUE,) if unsaid else ()


_WANTS_INTEGERS = re.compile(
    r"\bind(?:ex|ices)\b.*\b(?:int|int32|int64|long\w*)\b|\b(?:int64|long)\b.*\bind(?:ex|ices)\b",
    re.IGNORECASE,
)


def hint_for(error: BaseException, model: nn.Module, arguments: Arguments) -> str:
    """Return what to give instead where a forward knows no such name, or torch wants integers."""
    told = _hint_at_names(model, arguments) if isinstance(error, TypeError) else ""
    return told or _hint_at_integers(error, arguments)


def batched(arguments: Arguments) -> Arguments | None:
    """Return the arguments with a batch of one in front, where they may have been meant so."""
    ranks = [tensor.dim() for tensor in arguments.tensors]
    if not ranks or not all(1 <= rank < MOST_RANK for rank in ranks):
        return None
    if any(is_sparse(tensor) for tensor in arguments.tensors):
        return None
    return arguments.changed(lambda _, tensor: tensor.unsqueeze(0))


MOST_RANK = 5
"""Of a batch of inputs: volumes with channels."""


def hint_at_batch(arguments: Arguments) -> str:
    """Return what to give instead of an input that has no batch, which these arguments have."""
    shapes = [tuple(tensor.shape) for tensor in arguments.tensors]
    names = ["" for _ in arguments.args] + [f"{name}=" for name in arguments.kwargs]
    if len(names) != len(shapes):  # tensors in lists and mappings have no options
        return f" (the batch is missing: did you mean {', '.join(map(str, shapes))}?)"
    kinds = [
        "" if one.is_floating_point() else f":{one.dtype}".replace("torch.", "")
        for one in arguments.tensors
    ]
    options = " ".join(
        f"--input {name}{','.join(map(str, shape))}{kind}"
        for name, shape, kind in zip(names, shapes, kinds, strict=True)
    )
    if arguments.kwargs or any(kinds):
        in_python = f"shapes {', '.join(map(str, shapes))}"
    else:
        in_python = f"input={shapes[0] if len(shapes) == 1 else tuple(shapes)}"
    return f" (the batch is missing: did you mean {options}? in Python {in_python})"


def _hint_at_names(model: nn.Module, arguments: Arguments) -> str:
    try:
        parameters = inspect.signature(model.forward).parameters
    except (TypeError, ValueError):  # it has none that can be looked at
        return ""
    if any(one.kind is inspect.Parameter.VAR_KEYWORD for one in parameters.values()):
        return ""
    for name in arguments.kwargs:
        if name not in parameters:
            return did_you_mean(name, parameters) or f" (its inputs are {', '.join(parameters)})"
    return ""


def _hint_at_integers(error: BaseException, arguments: Arguments) -> str:
    floats = [tensor for tensor in arguments.tensors if tensor.is_floating_point()]
    if not floats or not _WANTS_INTEGERS.search(first_line(error)):
        return ""
    if len(floats) > 1:
        return " (integers are given with :int64 behind their shape)"
    names = {id(value): f"{name}=" for name, value in arguments.kwargs.items()}
    shape = ",".join(map(str, floats[0].shape)) or "()"
    return f" (integers are given as --input {names.get(id(floats[0]), '')}{shape}:int64)"
