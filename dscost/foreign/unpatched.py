"""Functions of torch as they were, whatever somebody has put in their place meanwhile."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch.nn import functional


@contextmanager
def functions_kept() -> Iterator[None]:
    """Put functions of torch, and methods of its tensors, back when it is over.

    Some counters replace them, and leave them so where they are interrupted.
    """
    owners: tuple[Any, ...] = (torch, functional, torch.Tensor)
    before = [(owner, dict(vars(owner))) for owner in owners]
    try:
        yield
    finally:
        for owner, names in before:
            for name, value in list(vars(owner).items()):
                if name in names:
                    if value is not names[name] and callable(value):
                        setattr(owner, name, names[name])
                elif owner is torch.Tensor:  # it hides a method of the class below
                    delattr(owner, name)
