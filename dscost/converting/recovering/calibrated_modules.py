"""A conversion of a torch model calibrated: from what was given to what recovering gained."""

from collections.abc import Sequence
from functools import partial
from typing import Any, NamedTuple

from torch import nn

from dscost.converting.recovering.inputs import Given, read_inputs
from dscost.converting.recovering.of_modules import recovered
from dscost.converting.recovering.records import Recovery
from dscost.converting.recovering.running import Running
from dscost.converting.recovering.stepping import Judge
from dscost.converting.recovering.telling import nothing_converted
from dscost.converting.recovering.torch_inputs import (
    at_once_for,
    batches_of,
    batching_seen,
    wanted_in,
)
from dscost.converting.results import LayerOutcome
from dscost.errors import InputError
from dscost.timing import Progress
from dscost.tracing import Arguments


class Calibration(NamedTuple):
    """A model to be converted, and inputs to recover it by.

    Args:
        root: The model, left as it is.
        arguments: What it was counted on, if anything.
        given: The inputs.
    """

    root: nn.Module
    arguments: Arguments | None
    given: Given

    def recovery(
        self,
        converted: nn.Module,
        layers: Sequence[LayerOutcome],
        *,
        judge: Judge | None = None,
        tolerance: float = 0.0,
        progress: Progress | None = None,
    ) -> Recovery:
        """Recover a converted model, which is changed; return what that gained.

        Args:
            converted: The model.
            layers: What became of its convolutions.
            judge: How good a model is, higher is better.
            tolerance: By how much two of its scores may differ that are as good as equal.
            progress: Told what is done.

        Raises:
            InputError: A model cannot be run on the inputs.
        """
        names = [layer.name for layer in layers if layer.converted]
        if not names:
            return nothing_converted(self.given)
        batches = self._batches()
        found = recovered(
            self.root,
            converted,
            names,
            batches,
            judge=judge,
            tolerance=tolerance,
            progress=progress,
        )
        inputs = sum(self.given.batching.inputs_in(batch.tensors) for batch in batches)
        return Recovery(self.given.source, inputs, found.steps, self.given.notes)

    def _batches(self) -> list[Arguments]:
        """Return the inputs in batches as large as the model takes them."""
        *larger, stated = at_once_for(self.arguments)
        for at_once in larger if self.given.arrays is not None else ():
            batches = batches_of(self.root, self.given, self.arguments, at_once)
            running = Running(self.root)
            try:
                with running.inferring():
                    running.run(batches[0])
            except InputError:  # it may take no other batch than it was counted on
                continue
            return batches
        return batches_of(self.root, self.given, self.arguments, stated)


def calibration_for(
    calibrate: Any, root: nn.Module, arguments: Arguments | None
) -> Calibration | None:
    """Return what a model is recovered by, if anything was given.

    Raises:
        InputError: It is none, or not what the model takes.
        UnavailableError: What reads it is not installed.
    """
    if calibrate is None:
        return None
    wanted = None if arguments is None else wanted_in(root, arguments)
    given = read_inputs(calibrate, wanted, partial(batching_seen, root))
    return Calibration(root, arguments, given)
