"""A conversion of a torch model calibrated: from what was given to what recovering gained."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from torch import nn

from dscost.converting.recovering.inputs import Given, read_inputs
from dscost.converting.recovering.of_modules import recovered
from dscost.converting.recovering.records import Recovery
from dscost.converting.recovering.running import Running
from dscost.converting.recovering.stepping import Judge
from dscost.converting.recovering.telling import nothing_converted
from dscost.converting.recovering.torch_inputs import at_once_for, batches_of, wanted_by
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
        progress: Progress | None = None,
    ) -> Recovery:
        """Recover a converted model, which is changed; return what that gained.

        Raises:
            InputError: A model cannot be run on the inputs.
        """
        names = [layer.name for layer in layers if layer.converted]
        if not names:
            return nothing_converted(self.given)
        batches = self._batches()
        found = recovered(self.root, converted, names, batches, judge=judge, progress=progress)
        firsts = [batch.tensors[0] for batch in batches]
        inputs = sum(one.shape[0] if one.dim() > 1 else 1 for one in firsts)
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
    wanted = None if arguments is None else wanted_by(root, arguments)
    return Calibration(root, arguments, read_inputs(calibrate, wanted))
