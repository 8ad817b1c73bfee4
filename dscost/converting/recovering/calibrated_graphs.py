"""A conversion of an ONNX file calibrated: from what was given to what recovering gained."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from onnx import ModelProto

from dscost.converting.graph_loading import GraphSubject
from dscost.converting.recovering.graph_inputs import Feeds, batches_of, wanted_by
from dscost.converting.recovering.graph_layers import GraphLayer
from dscost.converting.recovering.graph_running import require_runtime
from dscost.converting.recovering.inputs import Given, read_inputs
from dscost.converting.recovering.of_graphs import recovered
from dscost.converting.recovering.records import Recovery
from dscost.converting.recovering.stepping import Judge
from dscost.converting.recovering.telling import nothing_converted
from dscost.converting.results import LayerOutcome
from dscost.notation.units import counted
from dscost.timing import Progress


class Calibration(NamedTuple):
    """A file to be converted, and inputs to recover it by.

    Args:
        subject: The file.
        given: The inputs.
        batches: The same as it takes them.
    """

    subject: GraphSubject
    given: Given
    batches: Sequence[Feeds]

    def recovery(
        self,
        converted: ModelProto,
        layers: Sequence[LayerOutcome],
        *,
        judge: Judge | None = None,
        progress: Progress | None = None,
    ) -> Recovery:
        """Recover a converted model, which is changed; return what that gained.

        Raises:
            InputError: A model cannot be run on the inputs.
        """
        named = [
            GraphLayer(layer.name, self.subject.nodes[layer.name].output[0], layer.order)
            for layer in layers
            if layer.order is not None
        ]
        if not named:
            return nothing_converted(self.given)
        model = self.subject.model
        found = recovered(model, converted, named, self.batches, judge=judge, progress=progress)
        inputs = sum(self._inputs_in(batch) for batch in self.batches)
        notes = list(self.given.notes)
        there = 0 if self.given.arrays is None else len(self.given.arrays)
        if inputs < there:
            size = self._inputs_in(self.batches[0])
            left = counted(there - inputs, "input")
            notes.append(f"The last {left} left out: the model takes {size} at once.")
        return Recovery(self.given.source, inputs, found.steps, tuple(notes))

    def _inputs_in(self, batch: Feeds) -> int:
        first = next(batch[name] for name, value in self.subject.given.items() if name in batch)
        return first.shape[0] if first.ndim > 1 else 1


def calibration_for(calibrate: Any, subject: GraphSubject) -> Calibration | None:
    """Return what a file is recovered by, if anything was given.

    Raises:
        InputError: It is none, or not what the model takes.
        UnavailableError: What reads it, or ONNX Runtime, is not installed.
    """
    if calibrate is None:
        return None
    require_runtime()
    wanted = wanted_by(subject.model.graph, subject.given)
    given = read_inputs(calibrate, wanted)
    return Calibration(subject, given, batches_of(wanted, given, subject.given))
