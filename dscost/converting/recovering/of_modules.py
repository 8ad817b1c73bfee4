"""A converted model of torch recovered: layer by layer, then its normalisations."""

from collections.abc import Callable, Sequence
from typing import Any

from torch import Tensor, nn

from dscost.converting.applying import undisturbed
from dscost.converting.recovering.normalising import STATISTICS, behind, norms_in, reestimate
from dscost.converting.recovering.outputs import Outputs
from dscost.converting.recovering.records import NORMALISED, REFITTED, Recovered
from dscost.converting.recovering.refitting import Refitting
from dscost.converting.recovering.running import Running, numbers_in
from dscost.converting.recovering.seen import Survey
from dscost.converting.recovering.stepping import Judge, Standing, Steps
from dscost.converting.recovering.torch_layers import Layer, layers_at, stages_of
from dscost.modules.copying import by_path
from dscost.timing import Progress
from dscost.tracing import Arguments


@undisturbed()
def recovered(
    original: nn.Module,
    converted: nn.Module,
    names: Sequence[str],
    batches: Sequence[Arguments],
    *,
    judge: Judge | None = None,
    tolerance: float = 0.0,
    progress: Progress | None = None,
) -> Recovered:
    """Return a converted model whose layers are refitted to what the original returns.

    Copies of both models run on the inputs, in the mode of inference. What is kept in the end is
    put into `converted` itself, which is returned, as parameters and statistics of its own: those
    that it shares with the original stay what they are.

    Args:
        original: What was converted, left as it is.
        converted: What came of it, with the same modules at the same paths but for the layers.
        names: Paths of the layers that were converted.
        batches: Inputs, with values.
        judge: How good a model is, higher is better; it is given a copy of the converted one.
        tolerance: By how much two of its scores may differ that are as good as equal.
        progress: Told what is done.

    Raises:
        InputError: A model cannot be run on the inputs, or a layer sees what is not finite.
    """
    say = progress or (lambda share, doing: None)
    say(None, "running the model on the calibration inputs")
    before, after = Running(original), Running(converted)
    layers = layers_at(before, after, names)
    norms = norms_in(after.root)
    survey = Survey([*(layer.last for layer in layers), *norms])
    outputs = Outputs(lambda at: numbers_in(before.run(batches[at])), len(batches))
    with before.inferring(), after.inferring():
        found = outputs.error(lambda at: numbers_in(after.run(batches[at], survey.looks(at))))
        standing = Standing(found, None if judge is None else judge(after.root))

    def error() -> float | None:
        say(None, "running the model on the calibration inputs")
        with before.inferring(), after.inferring():
            return outputs.error(lambda at: numbers_in(after.run(batches[at])))

    def score() -> float:
        with after.inferring():
            assert judge is not None
            return judge(after.root)

    steps = Steps(error, None if judge is None else score, standing, tolerance)
    due = behind(survey, norms, [layer.last for layer in layers])
    undo = _undoing(_weights(layers))
    with steps.step(REFITTED, undo) as doing, before.inferring(), after.inferring():
        Refitting(before, after, batches, survey).refit(layers, doing, say)
    if due:
        undo = _undoing(_statistics(due))
        with steps.step(NORMALISED, undo) as doing, after.inferring():
            say(None, "re-estimating the statistics of BatchNorm")
            doing.changed = reestimate(after, due, batches, survey)
    _put(after, converted, layers, due)
    return Recovered(converted, tuple(steps.done))


def _weights(layers: Sequence[Layer]) -> list[Tensor]:
    """Return all that refitting may change."""
    biases = [layer.last.bias for layer in layers if layer.last.bias is not None]
    return [*(layer.pointwise.weight for layer in layers), *biases]


def _statistics(norms: Sequence[Any]) -> list[Tensor]:
    return [getattr(norm, name) for norm in norms for name in STATISTICS]


def _undoing(tensors: Sequence[Tensor]) -> Callable[[], None]:
    """Return what gives tensors of the running copy the values that they have now."""
    kept = [one.detach().clone() for one in tensors]

    def undo() -> None:
        for tensor, values in zip(tensors, kept, strict=True):
            tensor.detach().copy_(values)

    return undo


def _put(running: Running, converted: nn.Module, layers: Sequence[Layer], norms: Any) -> None:
    """Give a model what came of its running copy."""
    places = by_path(converted)
    paths = {id(module): path for path, module in running.parts.items()}
    new: dict[int, nn.Parameter] = {}

    def parameter(made: nn.Parameter) -> nn.Parameter:
        found = nn.Parameter(made.detach().clone(), made.requires_grad)
        return new.setdefault(id(made), found)  # what layers share they share again

    for layer in layers:
        pointwise, depthwise = stages_of(places[layer.name])
        pointwise.weight = parameter(layer.pointwise.weight)
        if layer.has_own_bias:
            last = pointwise if layer.stages.is_depthwise_first else depthwise
            last.bias = parameter(layer.last.bias)
    for norm in norms:
        place: Any = places[paths[id(norm)]]
        for name in STATISTICS:
            place._buffers[name] = getattr(norm, name).clone()
