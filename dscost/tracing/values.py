"""A recorder in which small tensors keep their values, so that masks need no real run.

Those are tensors that are no parameters: buffers, plain attributes, what the model makes from
nothing, and integers that it is given.
"""

from typing import Any

from torch import Tensor

from dscost.foreign.dispatch import Args, Kwargs
from dscost.modules.beside_meta import Values
from dscost.tracing.autocasting import autocast_arguments
from dscost.tracing.operators import VIEWS
from dscost.tracing.threads import FollowingRecorder


class ValueRecorder(FollowingRecorder):  # type: ignore[no-untyped-call]
    """Computes what is small and known for real, and all else on meta; autocast is in force."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.values = Values()

    def __torch_dispatch__(self, func: Any, types: Any, args: Args = (), kwargs: Any = None) -> Any:
        with self._turn:
            if func in VIEWS:
                return self._passed_on(func, args, kwargs, self.compute(func, args, kwargs or {}))
            if self.autocasts or not (args and isinstance(args[0], Tensor) and args[0].is_meta):
                # a short cut knows neither values nor casts
                return self._generic(func, args, kwargs or {})
            return super().__torch_dispatch__(func, types, args, kwargs)

    def compute(self, func: Any, args: Args, kwargs: Kwargs) -> Any:
        """Return what an operator gives, with values where all that it reads has some."""
        if self.autocasts:
            args, kwargs = autocast_arguments(func, args, kwargs)
        return self.values.compute(func, args, kwargs, super().compute)
