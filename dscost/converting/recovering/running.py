"""A torch model while it runs on calibration inputs: a copy of it, in the mode of inference."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from dscost.errors import InputError, first_line
from dscost.foreign.failures import must_pass
from dscost.foreign.parts import device_of, set_training
from dscost.modules.copying import by_path, copied_to_run
from dscost.tracing import Arguments
from dscost.tracing.object_contents import tensors_held_by

MOST_KEPT_BYTES = 2**28
"""Of outputs of the original model; more are computed anew where they are needed."""

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
        """Return what the model returns, in the mode of inference but for what is told to train.

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
    def inferring(self, training: Sequence[nn.Module] = ()) -> Iterator[None]:
        """Put the model in the mode of inference, but for some modules."""
        set_training(self.root, False)
        for module in training:
            module.__dict__["training"] = True
        try:
            yield
        finally:
            set_training(self.root, False)


class Outputs:
    """What the original model returns on each batch, kept where that is little."""

    def __init__(self, original: Running, batches: Sequence[Arguments]) -> None:
        self._original, self._batches = original, batches
        self._kept: dict[int, list[Tensor]] = {}
        self._bytes = 0

    def error(
        self, converted: Running, looks: Callable[[int], Mapping[nn.Module, Look]] | None = None
    ) -> float | None:
        """Return how far another model's outputs are from these, relative to their norm.

        Args:
            converted: The other model.
            looks: What sees its modules meanwhile, by the number of the batch.
        """
        off = whole = 0.0
        is_alike = True
        for at, batch in enumerate(self._batches):
            expected = self._of(at)
            found = numbers_in(converted.run(batch, looks(at) if looks else None))
            is_alike &= [one.shape for one in found] == [one.shape for one in expected]
            if not is_alike:
                continue
            for one, other in zip(expected, found, strict=True):
                off += float((other.double() - one.double()).square().sum())
                whole += float(one.double().square().sum())
        error = (off / whole) ** 0.5 if whole else float("nan")
        return error if is_alike and error < float("inf") else None

    def _of(self, at: int) -> list[Tensor]:
        if at in self._kept:
            return self._kept[at]
        found = numbers_in(self._original.run(self._batches[at]))
        size = sum(one.nbytes for one in found)
        if self._bytes + size <= MOST_KEPT_BYTES:
            self._kept[at] = found
            self._bytes += size
        return found


def numbers_in(result: Any) -> list[Tensor]:
    """Return the tensors of a result that hold floating-point numbers, in order, on the CPU."""
    found = (one for one in tensors_held_by(result) if one.is_floating_point())
    return [one.detach().to("cpu", copy=True) for one in found]
