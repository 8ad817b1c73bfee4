"""How much memory results take while a model runs, without any of them taking it."""

from collections.abc import Iterable, Sequence
from typing import Any
from weakref import WeakValueDictionary, ref

import torch
from torch import Tensor

from dscost.tracing.sparse import address_of, parts


class _Life(ref):  # type: ignore[type-arg]
    """A weak reference to a storage that knows its place and its size."""

    __slots__ = ("address", "nbytes")
    address: int
    nbytes: int


_SURVIVORS: WeakValueDictionary[int, torch.UntypedStorage] = WeakValueDictionary()
"""Storages that were made in a trace and outlived it, by address, of all traces of this process: a
model may keep a cache, which its next trace reads though nothing in that made it."""


def is_survivor(address: int) -> bool:
    """Whether a storage was made in an earlier trace."""
    return address in _SURVIVORS


class LiveMemory:
    """Follows storages from birth to death; Python frees them when a real run would.

    Inputs are alive from the beginning; `peak_bytes` is the most that was ever alive at once. What
    is `known` of a storage by its address is forgotten with it: the next one may have that address,
    also one whose birth nobody sees.
    """

    def __init__(self, inputs: Iterable[Tensor], known: Sequence[dict[int, Any]]) -> None:
        sizes = {
            address_of(part): part.untyped_storage().nbytes() for x in inputs for part in parts(x)
        }
        self._known = known
        self._lives: dict[int, _Life] = {}
        self._live_bytes = self.peak_bytes = sum(sizes.values())

    def born(self, storage: torch.UntypedStorage, address: int) -> None:
        """Count a new storage until it dies."""
        life = _Life(storage, self._died)
        life.address, life.nbytes = address, storage.nbytes()
        size = life.nbytes
        self._lives[id(life)] = life
        self._live_bytes += size
        if self._live_bytes > self.peak_bytes:
            self.peak_bytes = self._live_bytes

    def _died(self, life: _Life) -> None:
        if self._lives.pop(id(life), None) is not None:
            self._live_bytes -= life.nbytes
            for facts in self._known:
                facts.pop(life.address, None)

    def remember_survivors(self) -> None:
        """Keep in mind what is left of this run."""
        for life in self._lives.values():
            storage = life()
            if storage is not None:
                _SURVIVORS[storage._cdata] = storage
