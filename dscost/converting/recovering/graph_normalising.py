"""Normalisations of a converted ONNX model given the statistics of what they see now. No torch."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from onnx import ModelProto

from dscost.converting.recovering.graph_layers import Layer, put
from dscost.converting.recovering.graph_running import Feeds, Fetching
from dscost.converting.recovering.moments import Moments
from dscost.graphs.changing import names_read_by
from dscost.graphs.nodes import MAIN, attributes_of, operator_of
from dscost.graphs.stored import Stored, Weights

NORM = f"{MAIN}::BatchNormalization"


class Norm(NamedTuple):
    """A normalisation.

    Args:
        seen: The tensor that it reads.
        mean: Where the mean of that is stored, for each channel.
        variance: Where its variance is.
    """

    seen: str
    mean: Stored
    variance: Stored


def norms_behind(model: ModelProto, layers: Sequence[Layer]) -> list[Norm]:
    """Return the normalisations that see what converted layers make, in the order they run.

    Those that share their statistics, compute them, or take those of the batch, are left out.
    """
    return list(_norms_behind(model, {layer.named.output for layer in layers}))


def _norms_behind(model: ModelProto, changed: set[str]) -> Iterator[Norm]:
    stored = Weights(model)
    for node in model.graph.node:
        if changed.isdisjoint(names_read_by(node)):
            continue
        changed.update(node.output)
        if operator_of(node) != NORM or attributes_of(node).get("training_mode"):
            continue
        found = [stored.find(name) for name in node.input[3:5]]
        mean, variance = (one if isinstance(one, Stored) else None for one in found)
        if mean and variance and all(stored.readers[one.name] == 1 for one in (mean, variance)):
            yield Norm(node.input[0], mean, variance)


def reestimate(model: ModelProto, norms: Sequence[Norm], batches: Sequence[Feeds]) -> int:
    """Give normalisations the mean and variance of what they see on all batches, one by one.

    Each sees what those before it make with theirs. Returns how many have new ones.
    """
    changed = 0
    for norm in norms:
        fetching, moments = Fetching(model, [norm.seen]), Moments()
        for batch in batches:
            (x,) = fetching.run(batch)
            moments.add(x.swapaxes(0, 1).reshape(x.shape[1], -1))
        if moments.count < 2:
            continue
        put(norm.mean.tensor, moments.mean)
        put(norm.variance.tensor, moments.variance)
        changed += 1
    return changed
