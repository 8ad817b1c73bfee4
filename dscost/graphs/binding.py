"""The inputs of a graph, and what they are given as: every axis has a size before nodes run."""

from collections.abc import Mapping, Sequence
from math import prod
from shlex import quote
from typing import TYPE_CHECKING, Any, NamedTuple

from onnx import GraphProto, TypeProto, ValueInfoProto

from dscost.errors import InputError, UnknownNameError
from dscost.graphs.giving import Gift, gifts, written
from dscost.graphs.opening import Axes, Shapes, Sizes, Stated, is_bound, refuse_open
from dscost.graphs.sequences import NOTHING, sequence_of
from dscost.graphs.tensors import DTYPES, MOST_ELEMENTS
from dscost.graphs.values import Shape, Value
from dscost.networks.network import NETWORK_INPUT
from dscost.printable import printable_line
from dscost.traces import INPUT

if TYPE_CHECKING:
    from dscost.graphs.trying import Trial


class Bound(NamedTuple):
    """The inputs of a graph by name, and what is to be said of them."""

    values: dict[str, Value]
    notes: tuple[str, ...]


def inputs_of(graph: GraphProto) -> list[ValueInfoProto]:
    """Return what a graph has to be given: older files list what they store as well."""
    stored = _stored(graph)
    return [one for one in graph.input if one.name not in stored]


def bind(graph: GraphProto, given: Any, batch: int | None, trial: "Trial | None" = None) -> Bound:
    """Return the inputs of a graph, of the sizes that are given for them.

    Axes of one name have one size, whichever input it is given for.

    Args:
        given: As `gifts` takes it; nothing to leave it all to the file.
        batch: The size of the first axis of every input that leaves that open, and of all axes of
            that name.
        trial: Tries the sizes that are told as an example where some are missing.

    Raises:
        InputError: An axis is left open, has another size in the file or for another input; or
            there is no such input.
    """
    inputs = [_read(one) for one in inputs_of(graph)]
    found = _matched(inputs, gifts(given), _stored(graph))
    wrong = [told for one in inputs for told in _misfits(one, found.get(one.name))]
    if wrong:
        raise InputError("; ".join(wrong))
    by_batch = _by_batch(inputs, batch)
    sizes = _sizes(inputs, found, by_batch)
    shapes = {one.name: _shape(one, found.get(one.name), by_batch, sizes) for one in inputs}

    def values_of(shapes: Shapes, found: Mapping[str, Gift]) -> dict[str, Value]:
        return {
            one.name: _value(at, one, shapes[one.name], found.get(one.name))
            for at, one in enumerate(inputs)
        }

    refuse_open(graph, inputs, Sizes(shapes, found, batch or 1), trial, values_of)
    values = values_of(shapes, found)
    return Bound(values, tuple(_notes(inputs, values)))


def bound(graph: GraphProto, given: Any, batch: int | None) -> dict[str, Value]:
    """Return the inputs of a graph by name, as `bind` does."""
    return bind(graph, given, batch).values


# -- what the file says


def _stored(graph: GraphProto) -> set[str]:
    sparse = (one.values.name for one in graph.sparse_initializer)
    return {*(one.name for one in graph.initializer), *sparse}


def _read(one: ValueInfoProto) -> Stated:
    kind = one.type
    is_optional = kind.HasField("optional_type")
    if is_optional:
        kind = kind.optional_type.elem_type
    is_sequence = kind.HasField("sequence_type")
    if is_sequence:
        kind = kind.sequence_type.elem_type
    is_tensor = kind.HasField("tensor_type")
    tensor: TypeProto.Tensor = kind.tensor_type
    axes = tuple(map(_axis, tensor.shape.dim)) if tensor.HasField("shape") else None
    dtype = DTYPES.get(tensor.elem_type, "")
    empty = (one.HasField("dim_value") and not one.dim_value for one in tensor.shape.dim)
    places = tuple(at for at, is_empty in enumerate(empty) if is_empty)
    return Stated(one.name, dtype, axes, is_sequence, is_optional, is_tensor, places)


def _axis(axis: Any) -> int | str | None:
    """Return a size, the name of one, or neither; some files write -1, 0 or `?` for an open one."""
    if axis.HasField("dim_value"):
        return int(axis.dim_value) if axis.dim_value > 0 else None
    return None if axis.dim_param in ("", "?", "-1", "None") else str(axis.dim_param)


def _in_the_file(one: Stated) -> str:
    return f"input '{one.name}' is {written(one.axes or ())} in the file"


# -- what is given


def _matched(inputs: Sequence[Stated], given: Sequence[Gift], stored: set[str]) -> dict[str, Gift]:
    """Return what is given by the names of inputs; what has no name is for the next in order."""
    names = [one.name for one in inputs]
    named = {gift.name: gift for gift in given if gift.name}
    for name in named:
        if name not in names and name in stored:
            raise InputError(f"input '{name}' has its value in the file: leave it out")
        if name not in names:
            raise UnknownNameError("input", name, names)
    unnamed = [gift for gift in given if not gift.name]
    left = [name for name in names if name not in named]
    if len(unnamed) > len(left):
        there = f"the file has {len(names)}: {', '.join(names)}" if names else "the file has none"
        raise InputError(f"{len(given)} inputs are given, {there}")
    return named | dict(zip(left, unnamed, strict=False))


def _misfits(one: Stated, gift: Gift | None) -> list[str]:
    """Return what is wrong with what is given for an input."""
    if gift is None:
        return []
    found = []
    for item in gift.items or (gift,):
        if min(item.shape, default=0) < 0 or prod(item.shape) > MOST_ELEMENTS:
            found.append(f"input '{one.name}' cannot be of {written(item.shape)}")
        elif one.axes == () and item.shape:
            found += _no_number(one, item)
        elif one.axes is not None and not _fits(one.axes, item.shape):
            told = f"{_in_the_file(one)}, found {written(item.shape)}"
            found.append(f"{told}{_hint(one.axes, item.shape)}")
        if item.dtype is not None and one.dtype and item.dtype != one.dtype:
            found.append(f"input '{one.name}' is of {one.dtype} in the file, found {item.dtype}")
    if gift.items is not None and not one.is_sequence:
        found.append(f"input '{one.name}' is one tensor, found {len(gift.items)}")
    return found


def _no_number(one: Stated, gift: Gift) -> list[str]:
    """Return what is wrong with a shape that is given for a single number.

    One value in any shape is taken for it, as runtimes do.
    """
    is_told = gift.fill is not None or gift.dtype is not None
    if prod(gift.shape) == 1 and is_told:
        return []
    size = str(gift.shape[0]) if len(gift.shape) == 1 and not is_told else "1"
    value = "true" if one.dtype == "bool" else size
    written_so = quote(f"{one.name}=():{one.dtype}={value}")
    return [f"input '{one.name}' is a single number in the file: write --input {written_so}"]


def _fits(axes: Axes, shape: Shape) -> bool:
    return len(axes) == len(shape) and all(
        not isinstance(axis, int) or axis == size for axis, size in zip(axes, shape, strict=True)
    )


def _hint(axes: Axes, shape: Shape) -> str:
    """Return what may have been meant by a shape that does not fit."""
    channels_first = (*shape[:1], *shape[-1:], *shape[1:-1])
    channels_last = (*shape[:1], *shape[2:], *shape[1:2])
    guesses = (channels_first, channels_last, (1, *shape))
    meant = next((one for one in guesses if one != shape and _fits(axes, one)), None)
    if meant is not None:
        return f" (did you mean {','.join(map(str, meant))}?)"
    if len(axes) > 1 and axes[0] == 1 and shape and _fits(axes[1:], shape[1:]):
        return f": {_FIXED}"
    return ""


_FIXED = "its batch was fixed when it was exported, and others need an export with an open batch"


# -- sizes of what is open


def _by_batch(inputs: Sequence[Stated], batch: int | None) -> dict[str, int]:
    """Return the sizes that a batch gives, by the name of the axis or else of the input.

    Raises:
        InputError: No input leaves its first axis open, and the first is of another size.
    """
    if batch is None:
        return {}
    firsts = [(one, one.axes[0]) for one in inputs if one.axes]
    found = {axis or f"{one.name}[0]": batch for one, axis in firsts if not isinstance(axis, int)}
    if not found and firsts and firsts[0][1] != batch:
        raise InputError(
            f"{_in_the_file(firsts[0][0])}, --batch {batch} cannot change it: {_FIXED}"
        )
    return found


def _sizes(
    inputs: Sequence[Stated], found: Mapping[str, Gift], by_batch: Mapping[str, int]
) -> dict[str, int]:
    """Return the sizes of the axes that have names.

    Raises:
        InputError: Two inputs are given with different sizes for one.
    """
    sizes: dict[str, tuple[int, str]] = {}
    wrong = []
    for one in inputs:
        gift = found.get(one.name)
        if gift is None or not one.axes:
            continue
        for axis, size in zip(one.axes, gift.shape, strict=True):
            if not isinstance(axis, str) or axis in by_batch:
                continue
            before, name = sizes.setdefault(axis, (size, one.name))
            if before != size:
                wrong.append(f"axis '{axis}' is {before} in '{name}' and {size} in '{one.name}'")
    if wrong:
        raise InputError("; ".join(wrong))
    return {axis: size for axis, (size, _) in sizes.items()} | dict(by_batch)


def _shape(
    one: Stated, gift: Gift | None, by_batch: Mapping[str, int], sizes: Mapping[str, int]
) -> Axes | None:
    """Return the axes of an input with the sizes that are known."""
    if one.axes is None:
        return gift.shape if gift else None
    shape: list[int | str | None] = []
    for at, axis in enumerate(one.axes):
        size: int | str | None = axis
        if isinstance(axis, str):
            size = sizes.get(axis, axis)
        elif axis is None:
            size = gift.shape[at] if gift else None
            size = by_batch.get(f"{one.name}[0]", size) if at == 0 else size
        shape.append(size)
    return tuple(shape)


# -- what comes of it


def _value(at: int, one: Stated, shape: Axes | None, gift: Gift | None) -> Value:
    if not one.is_tensor or (one.is_optional and (shape is None or not is_bound(shape))):
        return NOTHING if one.is_optional else Value(source=NETWORK_INPUT)
    sizes: Shape = tuple(size for size in shape or () if isinstance(size, int))
    content = gift.content(one.dtype) if gift and not gift.items else None
    if content is not None and one.axes == ():
        content = content.reshape(())
    if content is not None and content.shape != sizes:  # of another batch than it was given with
        content = None
    value = Value(one.dtype, sizes, content, NETWORK_INPUT, f"{INPUT}{at}", (), -1 - at)
    if not one.is_sequence:
        return value
    items = gift.items if gift and gift.items else (None,)
    return sequence_of([value._replace(shape=item.shape) if item else value for item in items])


def _notes(inputs: Sequence[Stated], values: Mapping[str, Value]) -> list[str]:
    """Return which sizes the file leaves open, and what they are."""
    sizes: dict[str, int] = {}
    notes = []
    for one in inputs:
        value = values[one.name]
        shape = value.items[0].shape if value.items else value.shape
        if one.axes and shape:
            for at, (axis, size) in enumerate(zip(one.axes, shape, strict=True)):
                if not isinstance(axis, int):
                    sizes[axis or f"{one.name}[{at}]"] = size
        if one.is_sequence:
            many = len(value.items or ())
            notes.append(f"The sequence {one.name} is taken with {many} tensor{'s'[: many != 1]}.")
        if value is NOTHING:
            notes.append(f"The input {one.name} is left out.")
    if sizes:
        told = ", ".join(f"{axis} = {size}" for axis, size in sizes.items())
        notes.insert(0, f"Sizes that the file leaves open: {printable_line(told)}.")
    return notes
