"""Arrays of numbers as calibration inputs: read, and held against what a model takes. No torch."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple
from zipfile import BadZipFile

import numpy as np

from dscost.errors import InputError, UnknownNameError, first_line
from dscost.notation.units import counted, format_shape

MOST_INPUTS = 256
"""Inputs that are calibrated on. Each has many positions, of which `fitting.PER_UNKNOWN` are drawn
over all inputs: more inputs take longer to run and tell hardly more."""
MOST_BYTES = 2**30
"""Of those, as float32: they are held in memory all at once. 256 of 3×512×512 are less."""
AT_ONCE = 16
"""Inputs in a batch, where that is open: as fast as larger ones on a CPU, in little memory."""
ARRAYS = (".npy", ".npz")


class Wanted(NamedTuple):
    """An input of a model.

    Args:
        name: What it is called.
        shape: As it was counted.
        dtype: Such as `float32`.
        open_axes: Which axes may be of other sizes.
        is_needed: Whether it has no value of its own.
        is_batched: Whether its first axis, if it has several, counts inputs.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str
    open_axes: frozenset[int] = frozenset()
    is_needed: bool = True
    is_batched: bool = True

    @property
    def kind(self) -> str:
        """Of its numbers: fractions, whole numbers or truth values."""
        return kind_of(self.dtype)

    def takes(self, shape: Sequence[int]) -> bool:
        """Whether it can be of a shape."""
        return len(shape) == len(self.shape) and all(
            own == size or at in self.open_axes
            for at, (own, size) in enumerate(zip(self.shape, shape, strict=True))
        )

    @property
    def at_once(self) -> int | None:
        """How many inputs are in a batch, if that is fixed."""
        is_open = 0 in self.open_axes or not self.shape or not self.is_batched
        return None if is_open else self.shape[0]


class Arrays(NamedTuple):
    """Inputs one after the other along the first axis of arrays.

    Args:
        values: By the names of the inputs of the model.
        is_batched: Whether the first axis is the model's own; else each entry is one input.
        there: How many there were, of which these are some.
    """

    values: Mapping[str, np.ndarray]
    is_batched: bool = True
    there: int = 0

    def __len__(self) -> int:
        return min(map(len, self.values.values()))

    def batches(self, at_once: int) -> Iterator[dict[str, np.ndarray]]:
        """Yield batches of so many, the last one of what is left."""
        if not self.is_batched:
            for at in range(len(self)):
                yield {name: array[at] for name, array in self.values.items()}
            return
        for at in range(0, len(self), at_once):
            yield {name: array[at : at + at_once] for name, array in self.values.items()}


def kind_of(dtype: str) -> str:
    """Return what numbers of a dtype are.

    >>> kind_of("bfloat16"), kind_of("uint8"), kind_of("bool")
    ('fractions', 'whole numbers', 'truth values')
    """
    if "float" in dtype:
        return "fractions"
    return "whole numbers" if "int" in dtype else "truth values" if dtype == "bool" else dtype


def read_arrays(path: Path, wanted: Sequence[Wanted], what: str) -> Arrays:
    """Return the arrays of a `.npy` or `.npz` file.

    Args:
        path: The file.
        wanted: The inputs of the model.
        what: What it was given as, for errors.

    Raises:
        InputError: It cannot be read, or has not what the model takes.
    """
    try:
        with np.errstate(all="ignore"):
            read: Any = np.load(path, allow_pickle=False, mmap_mode=_mapped(path))
    except (OSError, EOFError, BadZipFile, ValueError) as error:
        raise InputError(f"{what}: {_unreadable(error)}") from error
    if isinstance(read, np.ndarray):
        return arrays_of({"": read}, wanted, what)
    with read:
        try:
            found = {name: read[name] for name in read.files}
        except (OSError, EOFError, BadZipFile, ValueError) as error:
            raise InputError(f"{what}: {_unreadable(error)}") from error
    return arrays_of(found if len(found) != 1 else {"": next(iter(found.values()))}, wanted, what)


def _mapped(path: Path) -> Any:
    return "r" if path.suffix == ".npy" else None


def _unreadable(error: Exception) -> str:
    if isinstance(error, ValueError) and any(one in str(error) for one in ("pickle", "object")):
        return "no array of numbers; pickled objects are not read: write it by numpy.save"
    return f"cannot be read as an array: {first_line(error)}"


def arrays_of(found: Mapping[str, Any], wanted: Sequence[Wanted], what: str) -> Arrays:
    """Return arrays as inputs; one without a name is that of the only input.

    Raises:
        InputError: They are not what the model takes.
    """
    needed = [one for one in wanted if one.is_needed]
    named = dict(found)
    if "" in named:
        if len(needed) != 1:
            names = ", ".join(one.name for one in needed)
            raise InputError(
                f"{what}: one array, the model takes {counted(len(needed), 'input')}, {names}: "
                "give an .npz with an array of each name, or file.py:batches"
            )
        named = {needed[0].name: named[""]}
    by_name = {one.name: one for one in wanted}
    for name in named:
        if name not in by_name:
            raise UnknownNameError("input", name, by_name, f" in {what}")
    missing = [one.name for one in needed if one.name not in named]
    if missing:
        raise InputError(f"{what}: no array '{missing[0]}', which the model takes")
    if all(one.shape == by_name[name].shape for name, one in named.items()):
        named = {
            name: one if by_name[name].is_batched else one[None] for name, one in named.items()
        }
    lengths = {name: len(array) if array.ndim else 0 for name, array in named.items()}
    if len(set(lengths.values())) > 1:
        told = ", ".join(f"{length} of '{name}'" for name, length in lengths.items())
        raise InputError(f"{what}: as many of each input are needed, found {told}")
    if not all(lengths.values()):
        raise InputError(f"{what}: there are no inputs in it")
    there = len(next(iter(named.values())))
    some = spaced(there, sum(_bytes_of_one(one) for one in named.values()))
    is_batched = all(
        by_name[name].takes(_as_batch(by_name[name], array.shape)) and by_name[name].is_batched
        for name, array in named.items()
    )
    checked = {}
    for name, array in named.items():
        one = by_name[name]
        chosen = np.asarray(array[some])
        is_one_each = chosen.shape[1:] == one.shape
        if not is_batched and not is_one_each:
            raise InputError(f"{what}: {_shape_told(one, array.shape)}")
        checked[name] = checked_values(chosen, one, what)
    return Arrays(checked, is_batched, there)


def _as_batch(one: Wanted, shape: tuple[int, ...]) -> tuple[int, ...]:
    """Return a shape with the batch that an input has."""
    return (*one.shape[:1], *shape[1:]) if shape else shape


def _shape_told(one: Wanted, shape: tuple[int, ...]) -> str:
    sizes = [str(size) for size in one.shape]
    if not one.is_batched:
        sizes = ["COUNT", *sizes]
    elif one.shape:
        sizes[0] = "COUNT"
    wanted = "×".join(
        "ANY" if at in one.open_axes and at else size for at, size in enumerate(sizes)
    )
    last = ""
    if len(shape) == len(one.shape) == 4 and shape[-1] == one.shape[1] != shape[1]:
        last = "; its channels come last: array.transpose(0, 3, 1, 2) puts them where it has them"
    name = f" of '{one.name}'" if one.name else ""
    return f"an array {format_shape(shape)}{name}, expected {wanted}{last}"


def _bytes_of_one(array: np.ndarray) -> int:
    return 4 * (array[:1].size or 1)


def spaced(number: int, bytes_each: int) -> np.ndarray:
    """Return which of so many inputs are calibrated on, evenly spaced."""
    most = max(1, min(MOST_INPUTS, MOST_BYTES // max(bytes_each, 1)))
    if number <= most:
        return np.arange(number)
    return np.linspace(0, number - 1, most).round().astype(int)


def checked_values(array: np.ndarray, one: Wanted, what: str) -> np.ndarray:
    """Return numbers that an input can have; fractions of any dtype are those of another.

    Raises:
        InputError: They are of another kind, or not finite.
    """
    kind = kind_of(array.dtype.name)
    if kind != one.kind:
        hint = ""
        if (kind, one.kind) == ("whole numbers", "fractions"):
            hint = ": give what the model was trained on, such as pixels / 255"
        raise InputError(f"{what}: {array.dtype.name} where the model takes {one.dtype}{hint}")
    if kind == "fractions":
        wrong = int(array.size - np.isfinite(array).sum())
        if wrong:
            raise InputError(f"{what}: {wrong:,} of {array.size:,} values are NaN or infinite")
    try:
        return array.astype(one.dtype, copy=False)
    except TypeError:  # a dtype that numpy has not
        return array.astype(np.float32, copy=False)
