"""A conversion of an ONNX file calibrated: from what was given to what recovering gained."""

from collections.abc import Iterator, Sequence
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
        named = [
            GraphLayer(layer.name, self.subject.nodes[layer.name].output[0], layer.order)
            for layer in layers
            if layer.order is not None
        ]
        if not named:
            return nothing_converted(self.given)
        found = recovered(
            self.subject.model,
            converted,
            named,
            self.batches,
            judge=judge,
            tolerance=tolerance,
            progress=progress,
        )
        inputs = sum(map(self.given.batching.inputs_in, self.batches))
        notes = (*self.given.notes, *self._left_out(inputs))
        return Recovery(self.given.source, inputs, found.steps, notes)

    def _left_out(self, inputs: int) -> Iterator[str]:
        """Yield how many inputs fill no batch."""
        given, batching = self.given, self.given.batching
        there = sum(map(batching.inputs_in, given.batches))
        there = there if given.arrays is None else len(given.arrays)
        if inputs < there:
            size = batching.inputs_in(self.batches[0])
            left = counted(there - inputs, "input")
            yield f"{left} left out, too few for a batch: the model takes {size} at once."


def calibration_for(calibrate: Any, subject: GraphSubject) -> Calibration | None:
    """Return what a file is recovered by, if anything was given.

    Raises:
        InputError: It is none, or not what the model takes.
        UnavailableError: What reads it, or ONNX Runtime, is not installed.
    """
    if calibrate is None:
        return None
    require_runtime()
    wanted = wanted_by(subject.model.graph, subject.given, _images_seen(subject))
    given = read_inputs(calibrate, wanted)
    return Calibration(subject, given, batches_of(wanted, given, subject.given))


def _images_seen(subject: GraphSubject) -> int | None:
    """Return how many images its convolutions see at most, if it has any."""
    convs = [one for one in subject.traced.events if one.op == "convolution"]
    return max((one.input_shape[0] for one in convs if one.input_shape), default=None)
