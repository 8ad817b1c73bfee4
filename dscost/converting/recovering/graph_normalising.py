"""Normalisations of a converted ONNX model given the statistics of what they see now. No torch."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from onnx import ModelProto

from dscost.converting.recovering.graph_layers import Layer, put
from dscost.converting.recovering.graph_running import Feeds, Fetching
from dscost.graphs.changing import names_read_by
from dscost.graphs.nodes import MAIN, attributes_of, operator_of
from dscost.graphs.stored import Stored, Weights

NORM = f"{MAIN}::BatchNormalization"


class Norm(NamedTuple):
    """A normalisation.

    Args:
        name: Of its node.
        seen: The tensor that it reads.
        mean: Where the mean of that is stored, for each channel.
        variance: Where its variance is.
    """

    name: str
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
            yield Norm(node.name or node.output[0], node.input[0], mean, variance)


def reestimate(model: ModelProto, norms: Sequence[Norm], batches: Sequence[Feeds]) -> None:
    """Give normalisations the mean and variance of what they see on all batches, one by one."""
    for norm in norms:
        fetching = Fetching(model, [norm.seen])
        number, total, squares = 0, np.zeros(()), np.zeros(())
        middle = np.zeros(())
        for batch in batches:
            (x,) = fetching.run(batch)
            values = x.swapaxes(0, 1).reshape(x.shape[1], -1).astype(np.float64)
            if not number:
                middle = values.mean(1)  # about it little is lost
            values = values - middle[:, None]
            number += values.shape[1]
            total = total + values.sum(1)
            squares = squares + np.square(values).sum(1)
        if number < 2:
            continue
        mean = total / number
        put(norm.mean.tensor, middle + mean)
        variance = (squares - number * np.square(mean)) / (number - 1)  # as torch has it
        put(norm.variance.tensor, np.maximum(variance, 0.0))
