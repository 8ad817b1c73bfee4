"""How many inputs a batch has, however it is given. No torch."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from dscost.converting.recovering.arrays import Wanted


class Batching(NamedTuple):
    """Which input of a model has a first axis that counts inputs.

    Args:
        name: What it is called; of what has no names it is the first that it may be.
        dims: How many axes it has, if that is known.
        is_batched: Whether there is such an input; else whatever is given at once is one.
    """

    name: str = ""
    dims: int | None = None
    is_batched: bool = True

    def inputs_in(self, batch: Any) -> int:
        """Return how many inputs a batch has: an array, several, or a mapping, labels or none.

        >>> import numpy as np
        >>> Batching("x", 4).inputs_in((np.zeros(1, int), np.zeros((8, 3, 4, 4))))
        8
        >>> Batching("x", 4).inputs_in(np.zeros((3, 4, 4))), Batching("x", 3, False).inputs_in(7)
        (1, 1)
        """
        if not self.is_batched:
            return 1
        named = batch.get(self.name) if isinstance(batch, Mapping) else None
        shape = _shape(named) if _shape(named) else self._shape_of_several(batch)
        is_one = len(shape) < 2 or (self.dims is not None and len(shape) == self.dims - 1)
        return 1 if is_one else int(shape[0])

    def first(self, batch: Any, most: int) -> Any:
        """Return the first inputs of a batch, with their labels, if it has more than so many."""
        size = self.inputs_in(batch)
        return batch if size <= most else _cut(batch, size, most)

    def _shape_of_several(self, batch: Any) -> tuple[int, ...]:
        """Return the shape of the array that it is: with its axes, of fractions, the first one."""

        def unlikeness(one: Any) -> tuple[bool, bool, bool]:
            axes = len(one.shape)
            is_whole = axes == self.dims if self.dims else axes > 1
            return axes < 2, not is_whole, "float" not in str(one.dtype)

        found = min(_arrays_in(batch), key=unlikeness, default=None)
        return _shape(found)


def batching_of(wanted: Sequence[Wanted]) -> Batching:
    """Return which input of a model is batched.

    Of several it is the first one of fractions whose batch is open, so far as there are any: a
    number of steps beside images, though it be of one axis, counts nothing.
    """
    able = [one for one in wanted if one.is_batched and len(one.shape) > 1]
    needed = [one for one in able if one.is_needed] or able
    found = min(
        needed, key=lambda one: (0 not in one.open_axes, one.kind != "fractions"), default=None
    )
    if found is None:
        return Batching(is_batched=False)
    return Batching(found.name, len(found.shape))


def _shape(array: Any) -> tuple[int, ...]:
    return tuple(getattr(array, "shape", ()))


def _arrays_in(batch: Any) -> Iterator[Any]:
    if isinstance(batch, Mapping):
        batch = list(batch.values())
    if isinstance(batch, list | tuple):
        for one in batch:
            yield from _arrays_in(one)
    elif hasattr(batch, "shape"):
        yield batch


def _cut(batch: Any, size: int, most: int) -> Any:
    if isinstance(batch, Mapping):
        return {name: _cut(one, size, most) for name, one in batch.items()}
    if type(batch) in (list, tuple):
        return type(batch)(_cut(one, size, most) for one in batch)
    return batch[:most] if _shape(batch)[:1] == (size,) else batch
