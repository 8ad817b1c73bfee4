"""Tensors that a model takes out of torch while it runs for real: no operator sees them."""

from typing import Any

from torch import Tensor
from torch.overrides import TorchFunctionMode

from dscost.foreign.dispatch import Args
from dscost.foreign.failures import Place, place_of_caller
from dscost.modules.beside_meta import READING
from dscost.networks.network import NETWORK_INPUT
from dscost.reports.records import Doubt
from dscost.tracing.books import Books
from dscost.tracing.sparse import takes_gradients


class Conversions(TorchFunctionMode):
    """Sees tensors become arrays or lists, and tells the books which were read."""

    def __init__(self, books: Books) -> None:
        super().__init__()
        self._books = books
        self._first: Place | None = None
        self.are_any = False

    def __torch_function__(self, func: Any, types: Any, args: Args = (), kwargs: Any = None) -> Any:
        if func in READING and isinstance(args[0], Tensor):
            self._books.reads(args[:1])
            if func is not Tensor.tolist and not self.are_any and self._is_feature(args[0]):
                self.are_any, self._first = True, place_of_caller()
        return func(*args, **(kwargs or {}))

    def _is_feature(self, tensor: Tensor) -> bool:
        """Whether a tensor is more than a number, a length or a mask, and depends on the input."""
        is_large = tensor.numel() > 1 and takes_gradients(tensor)
        return is_large and self._books.producer_of(tensor) >= NETWORK_INPUT

    @property
    def doubts(self) -> tuple[Doubt, ...]:
        """What to say of work that is done with arrays."""
        place = f" ({self._first})" if self._first else ""
        text = (
            f"The model takes features out of torch{place}; "
            "what it computes of them in NumPy is left out."
        )
        return (Doubt("unseen", text),) if self.are_any else ()
