"""A torch model while it runs on calibration inputs: a copy of it, in the mode of inference."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from dscost.errors import InputError, first_line
from dscost.foreign.failures import must_pass
from dscost.foreign.parts import device_of, set_training
from dscost.modules.copying import by_path, copied_to_run
from dscost.tracing import Arguments
from dscost.tracing.object_contents import tensors_held_by

Look = Callable[[nn.Module, Any, Any], None]
"""Sees a module, the first of its arguments, and what it returned."""


class _Enough(BaseException):
    """All was seen for which a model ran; nothing that its code catches."""


class Running:
    """A copy of a model, its modules by their paths in the model."""

    def __init__(self, root: nn.Module) -> None:
        self.root = copied_to_run(root, {})
        self.parts = by_path(self.root)
        self._name = type(root).__name__

    def run(
        self,
        batch: Arguments,
        looks: Mapping[nn.Module, Look] | None = None,
        calls: Mapping[nn.Module, int] | None = None,
    ) -> Any:
        """Return what the model returns, in the mode of inference.

        Args:
            batch: What it is given.
            looks: What sees the calls of modules, before hooks of theirs change anything.
            calls: How many calls of modules are waited for: it stops after the last of them, and
                returns nothing.

        Raises:
            InputError: It cannot be run.
        """
        left = dict(calls or {})

        def hook(
            module: nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any], result: Any
        ) -> None:
            if looks and module in looks:
                looks[module](module, next(iter((*args, *kwargs.values())), None), result)
            if module in left:
                left[module] -= 1
                if not any(left.values()):
                    raise _Enough

        watched = {**(looks or {}), **(calls or {})}
        handles = [
            module.register_forward_hook(hook, prepend=True, with_kwargs=True) for module in watched
        ]
        try:
            with torch.no_grad():
                given = batch.on(device_of(self.root))
                return self.root(*given.args, **given.kwargs)
        except _Enough:
            return None
        except (Exception, SystemExit) as error:
            if must_pass(error):
                raise
            told = f"{self._name} cannot be run to calibrate it: {first_line(error)}"
            raise InputError(told) from error
        finally:
            for handle in handles:
                handle.remove()

    @contextmanager
    def inferring(self) -> Iterator[None]:
        """Put the model in the mode of inference."""
        set_training(self.root, False)
        try:
            yield
        finally:
            set_training(self.root, False)


def numbers_in(result: Any) -> list[np.ndarray]:
    """Return the tensors of a result that hold floating-point numbers, in order, as arrays."""
    found = (one for one in tensors_held_by(result) if one.is_floating_point())
    return [np.array(_as_array(one.detach().cpu())) for one in found]


def _as_array(tensor: Tensor) -> np.ndarray:
    """Return a tensor on the CPU as an array; of a dtype that numpy has not as float32."""
    known = (torch.float16, torch.float32, torch.float64)
    values: np.ndarray = (tensor if tensor.dtype in known else tensor.float()).numpy()
    return values
