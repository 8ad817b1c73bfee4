"""Copies of a module that take turns, so that none finds its weights in the caches."""

from collections.abc import Sequence

from torch import Tensor, nn


class InTurns(nn.Module):
    """Modules of which each call runs the next, all on one input.

    Args:
        modules: At least one, which compute the same.
    """

    def __init__(self, modules: Sequence[nn.Module]) -> None:
        super().__init__()
        self.copies = nn.ModuleList(modules)
        self._turns = list(modules)
        self._next = 0

    def forward(self, x: Tensor) -> Tensor:
        """Return what the next module makes of the input."""
        at = self._next
        self._next = at + 1 if at + 1 < len(self._turns) else 0
        made: Tensor = self._turns[at](x)
        return made
