"""A converted ONNX model recovered: layer by layer, then its normalisations. No torch."""

from collections.abc import Callable, Sequence

from onnx import ModelProto, TensorProto

from dscost.converting.recovering.graph_layers import GraphLayer, Layer, layers_in
from dscost.converting.recovering.graph_normalising import norms_behind, reestimate
from dscost.converting.recovering.graph_refitting import Refitting
from dscost.converting.recovering.graph_running import (
    Feeds,
    Fetching,
    numbers_in,
    require_runtime,
)
from dscost.converting.recovering.outputs import Outputs, Run
from dscost.converting.recovering.records import NORMALISED, REFITTED, Recovered
from dscost.converting.recovering.stepping import Judge, Standing, Steps
from dscost.timing import Progress


def recovered(
    original: ModelProto,
    converted: ModelProto,
    layers: Sequence[GraphLayer],
    batches: Sequence[Feeds],
    *,
    judge: Judge | None = None,
    tolerance: float = 0.0,
    progress: Progress | None = None,
) -> Recovered:
    """Return a converted model whose layers are refitted to what the original returns.

    Args:
        original: What was converted, left as it is.
        converted: What came of it; it is changed, and returned.
        layers: Those that were converted.
        batches: Inputs, by name.
        judge: How good a model is, higher is better; it is given `converted`.
        tolerance: By how much two of its scores may differ that are as good as equal.
        progress: Told what is done.

    Raises:
        InputError: A model cannot be run on the inputs, or a layer sees what is not finite.
        UnavailableError: ONNX Runtime is not installed.
    """
    require_runtime()
    say = progress or (lambda share, doing: None)
    outputs = Outputs(_run(original, batches), len(batches))

    def error() -> float | None:
        say(None, "running the model on the calibration inputs")
        return outputs.error(_run(converted, batches))

    def score() -> float:
        assert judge is not None
        return judge(converted)

    by_score = None if judge is None else score
    steps = Steps(error, by_score, Standing(error(), score() if judge else None), tolerance)
    found = layers_in(converted, layers)
    with steps.step(REFITTED, _undoing(_weights(found))) as doing:
        images = _images(original, found, batches)
        Refitting(original, converted, batches, images).refit(found, doing, say)
    norms = norms_behind(converted, found)
    if norms:
        statistics = [one.tensor for norm in norms for one in (norm.mean, norm.variance)]
        with steps.step(NORMALISED, _undoing(statistics)) as doing:
            say(None, "re-estimating the statistics of BatchNormalization")
            doing.changed = reestimate(converted, norms, batches)
    return Recovered(converted, tuple(steps.done))


def _run(model: ModelProto, batches: Sequence[Feeds]) -> Run:
    fetching = Fetching(model)
    return lambda at: numbers_in(fetching.run(batches[at]))


def _images(model: ModelProto, layers: Sequence[Layer], batches: Sequence[Feeds]) -> dict[str, int]:
    """Return how many images each layer sees on all batches."""
    fetching = Fetching(model, [layer.named.output for layer in layers])
    found = dict.fromkeys((layer.name for layer in layers), 0)
    for batch in batches:
        for layer, y in zip(layers, fetching.run(batch), strict=True):
            found[layer.name] += len(y)
    return found


def _weights(layers: Sequence[Layer]) -> list[TensorProto]:
    """Return all that refitting may change."""
    biases = [layer.bias.tensor for layer in layers if layer.bias is not None]
    return [*(layer.mixing.tensor for layer in layers), *biases]


def _undoing(tensors: Sequence[TensorProto]) -> Callable[[], None]:
    """Return what stores again what is stored now."""
    kept = [one.SerializeToString() for one in tensors]

    def undo() -> None:
        for tensor, content in zip(tensors, kept, strict=True):
            tensor.ParseFromString(content)

    return undo
