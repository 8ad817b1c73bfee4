"""Which modules of a torch model run on calibration inputs: in what order, how often, on what."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from torch import Tensor, nn

from dscost.converting.recovering.running import Look


class Call(NamedTuple):
    """A call of a module.

    Args:
        batch: On which batch of inputs.
        shape: Of what it returned.
    """

    batch: int
    shape: tuple[int, ...]


class Survey:
    """The calls of some modules, in the order in which each is called first."""

    def __init__(self, modules: Sequence[nn.Module]) -> None:
        self._modules = modules
        self.calls: dict[nn.Module, list[Call]] = {}

    def looks(self, batch: int) -> Mapping[nn.Module, Look]:
        """Return what notes down the calls on a batch."""

        def look(module: nn.Module, x: Any, result: Any) -> None:
            if isinstance(result, Tensor):
                found = self.calls.setdefault(module, [])
                found.append(Call(batch, tuple(result.shape)))

        return dict.fromkeys(self._modules, look)

    def numbers(self, module: nn.Module, batch: int) -> int:
        """Return how often a module is called on a batch."""
        return sum(call.batch == batch for call in self.calls.get(module, ()))

    def order(self, module: nn.Module) -> int:
        """Return which of all the modules is called first: a number that grows."""
        return list(self.calls).index(module)
