"""Sizes that a graph might be given are tried before they are told as an example."""

from collections.abc import Mapping
from time import monotonic

from onnx import ModelProto

from dscost.errors import InputError
from dscost.graphs.deciding import Deciding
from dscost.graphs.evaluating import Evaluation
from dscost.graphs.values import Value

MOST_S = 0.8
"""Seconds for all that is tried."""


class Trial:
    """Tries what a model might be given.

    Args:
        model: The model.
    """

    def __init__(self, model: ModelProto) -> None:
        self._model, self._ends_s = model, monotonic() + MOST_S

    @property
    def is_over(self) -> bool:
        """Whether there is no time left."""
        return monotonic() > self._ends_s

    def number_for(self, name: str) -> int | None:
        """Return a value by which an input decides what runs, if there is one."""
        return next(iter(Deciding(self._model).numbers_of(name)), None)

    def fits(self, inputs: Mapping[str, Value]) -> bool:
        """Whether every node fits what it reads, given these."""
        evaluation = Evaluation(self._model, inputs, max(0.05, self._ends_s - monotonic()))
        try:
            evaluation.run()
        except InputError:
            return False
        return not evaluation.books.misfits
