"""Copies of a module that take turns, so that none finds what it uses in the caches."""

from collections.abc import Sequence

from torch import Tensor, nn


class InTurns(nn.Module):
    """Modules of which each call runs the next, on the next input.

    What a module returned is kept until its next turn, so that its memory is not that of the
    result before it.

    Args:
        modules: At least one, which compute the same.
    """

    def __init__(self, modules: Sequence[nn.Module]) -> None:
        super().__init__()
        self.copies = nn.ModuleList(modules)
        self._turns = list(modules)
        self._next = 0
        self._kept: list[Tensor | None] = [None] * len(modules)

    def forward(self, *inputs: Tensor) -> Tensor:
        """Return what the next module makes of the next of the inputs, one for each."""
        at = self._next
        self._next = at + 1 if at + 1 < len(self._turns) else 0
        self._kept[at] = None
        made: Tensor = self._turns[at](inputs[at])
        self._kept[at] = made
        return made
