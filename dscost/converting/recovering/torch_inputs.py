"""Calibration inputs as arguments of a torch model's forward."""

from collections.abc import Iterator, Mapping, Sequence
from inspect import signature
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from dscost.converting.applying import undisturbed
from dscost.converting.loading import without_labels
from dscost.converting.recovering.arrays import AT_ONCE, Arrays, Wanted, kind_of
from dscost.converting.recovering.counting import Batching, batching_of
from dscost.converting.recovering.inputs import Given
from dscost.converting.recovering.running import Look, Running
from dscost.errors import InputError
from dscost.foreign.parts import dtype_name, each_parameter, each_part
from dscost.tracing import Arguments, arguments_of

CONVS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)


def wanted_by(root: nn.Module, arguments: Arguments) -> list[Wanted]:
    """Return the inputs of a model by what it was counted on; the batch may be another."""
    found: list[Wanted] = []

    def note(name: str, tensor: Tensor) -> Tensor:
        has_values = not tensor.is_meta and not tensor.is_floating_point()
        dtype = dtype_name(tensor.dtype)
        open_axes = frozenset((0,) if tensor.dim() > 1 else ())
        found.append(Wanted(name, tuple(tensor.shape), dtype, open_axes, not has_values))
        return tensor

    arguments.changed(note, _names(root))
    return found


def wanted_in(root: nn.Module, arguments: Arguments) -> list[Wanted]:
    """Return the inputs of a model as `wanted_by`, and whether their first axis counts any.

    It does not where each convolution that runs sees a single image of an input that has more
    along that axis: those are its channels.
    """
    wanted = wanted_by(root, arguments)
    batching = batching_of(wanted)
    size = batching.inputs_in(arguments.tensors)
    convs = [part for part in each_part(root) if isinstance(part, CONVS)]
    if not any(batching.dims == len(conv.kernel_size) + 1 for conv in convs):
        return wanted  # its axes are no channels and positions
    if size > 1 and _see_single(root, arguments):
        return [one._replace(is_batched=False, open_axes=frozenset()) for one in wanted]
    return wanted


def _see_single(root: nn.Module, arguments: Arguments) -> bool:
    """Whether each convolution that runs sees a single image; of what cannot be run none does."""
    running = Running(root)
    seen: list[bool] = []

    def look(module: Any, x: Any, _: Any) -> None:
        seen.append(x.dim() == len(module.kernel_size) + 1 or x.shape[0] == 1)

    looks: dict[nn.Module, Look] = {
        part: look for part in each_part(running.root) if isinstance(part, CONVS)
    }
    dtype = next((one.dtype for one in each_parameter(root) if one.is_floating_point()), None)
    given = arguments.with_values(
        device="cpu", dtype=dtype_name(dtype or torch.float32), memory_format="contiguous"
    )
    try:
        with undisturbed(), running.inferring():
            running.run(given, looks)
    except InputError:
        return False
    return bool(seen) and all(seen)


def _names(root: nn.Module) -> list[str]:
    """Return the names of a forward's arguments by position."""
    try:
        parameters = signature(root.forward).parameters.values()
    except (TypeError, ValueError):
        return []
    positional = [
        one for one in parameters if one.kind in (one.POSITIONAL_ONLY, one.POSITIONAL_OR_KEYWORD)
    ]
    return [one.name for one in positional]


def batches_of(
    root: nn.Module, given: Given, arguments: Arguments | None, at_once: int
) -> list[Arguments]:
    """Return what a model is run on.

    Args:
        root: The model.
        given: Inputs as they were given.
        arguments: What it was counted on, if anything.
        at_once: How many inputs are in a batch, where that can be chosen.

    Raises:
        InputError: They are none that the model takes.
    """
    if given.arrays is not None:
        assert arguments is not None
        return list(_of_arrays(root, given.arrays, arguments, at_once))
    floats = next((one.dtype for one in each_parameter(root) if one.is_floating_point()), None)
    shapes = [] if arguments is None else arguments.tensors
    return [
        _checked(_batch(root, one, shapes), shapes, floats, f"{given.source}: batch {number}")
        for number, one in enumerate(given.batches, 1)
    ]


def batching_seen(root: nn.Module, batch: Any) -> Batching:
    """Return how the inputs of a batch are counted of a model that was counted on none."""
    return batching_of(wanted_in(root, _batch(root, batch, ())))


def at_once_for(arguments: Arguments | None) -> list[int]:
    """Return how many inputs a batch may have, the best first; the last is what was counted."""
    sizes = [one.shape[0] for one in (arguments.tensors if arguments else []) if one.dim() > 1]
    stated = sizes[0] if sizes else 1
    return list(dict.fromkeys((max(AT_ONCE, stated), max(stated, 1))))


def _of_arrays(
    root: nn.Module, arrays: Arrays, arguments: Arguments, at_once: int
) -> Iterator[Arguments]:
    names = _names(root)
    for batch in arrays.batches(at_once):
        number = len(next(iter(batch.values())))
        known = arguments.with_batch(number) if arrays.is_batched else arguments

        def tensor(name: str, old: Tensor, batch: Mapping[str, np.ndarray] = batch) -> Tensor:
            if name not in batch:
                return old
            return torch.from_numpy(np.array(batch[name])).to(old.dtype)

        yield known.changed(tensor, names)


def _batch(root: nn.Module, batch: Any, shapes: Sequence[Tensor]) -> Arguments:
    """Return a batch as arguments, labels behind it left out."""
    batch = without_labels(root, _as_tensors(batch))
    if isinstance(batch, Tensor) and len(shapes) == 1 and batch.dim() == shapes[0].dim() - 1:
        batch = batch.unsqueeze(0)  # one image
    return arguments_of(batch)


def _as_tensors(value: Any) -> Any:
    if isinstance(value, np.ndarray) and value.dtype.kind in "fiub":
        return torch.from_numpy(np.array(value))
    if isinstance(value, Mapping):
        return {name: _as_tensors(one) for name, one in value.items()}
    if type(value) in (list, tuple):
        return type(value)(map(_as_tensors, value))
    return value


def _checked(
    batch: Arguments, shapes: Sequence[Tensor], floats: torch.dtype | None, what: str
) -> Arguments:
    """Return a batch with its fractions in the dtype of the model.

    Raises:
        InputError: It has no values, or some that are not finite or of another kind.
    """
    if not batch.have_values:
        raise InputError(f"{what} has no values to calibrate on")
    for one, known in zip(batch.tensors, shapes, strict=False):
        kinds = [kind_of(dtype_name(tensor.dtype)) for tensor in (one, known)]
        if kinds == ["whole numbers", "fractions"]:
            raise InputError(
                f"{what} is {dtype_name(one.dtype)} where the model takes "
                f"{dtype_name(known.dtype)}: give what it was trained on, such as pixels / 255"
            )
    for one in batch.tensors:
        wrong = int((~one.isfinite()).sum()) if one.is_floating_point() else 0
        if wrong:
            raise InputError(f"{what}: {wrong:,} of {one.numel():,} values are NaN or infinite")

    def cast(_: str, tensor: Tensor) -> Tensor:
        return tensor.to(floats) if floats and tensor.is_floating_point() else tensor

    return batch.changed(cast)
