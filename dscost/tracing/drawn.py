"""Random numbers that a model draws while it is traced: the tracer's own, and followed."""

from collections.abc import Iterable, Set
from typing import Any
from weakref import WeakValueDictionary

import torch
from torch import Tensor

from dscost.foreign.dispatch import Args, Kwargs, tensors_in
from dscost.foreign.randomness import SEED, OwnNumbers, draws
from dscost.tracing.sparse import dense_parts


class Drawn:
    """Draws random numbers, and knows which tensors hold some or were made of some."""

    def __init__(self) -> None:
        self._numbers = OwnNumbers(SEED)
        self._storages: WeakValueDictionary[int, torch.UntypedStorage] = WeakValueDictionary()

    def compute(self, func: Any, args: Args, kwargs: Kwargs) -> Any:
        """Return what an operator gives; one that draws leaves the numbers of others alone."""
        if not draws(func):
            return func(*args, **kwargs)
        result = self._numbers.draw(func, args, kwargs)
        self._keep(dense_parts(tensors_in(result)))
        return result

    def spread(self, read: Set[int], made: Iterable[Tensor]) -> bool:
        """Return whether an operator reads random numbers; then what it makes depends on them.

        What it reads is given by the addresses of the storages.
        """
        if not self._storages or read.isdisjoint(self._storages.keys()):
            return False
        self._keep(made)
        return True

    def _keep(self, tensors: Iterable[Tensor]) -> None:
        for tensor in tensors:
            if not tensor.is_meta:  # those on meta hold none
                storage = tensor.untyped_storage()
                self._storages[storage._cdata] = storage
