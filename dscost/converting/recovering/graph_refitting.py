"""The converted layers of an ONNX model refitted, one after the other as they run. No torch."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from onnx import ModelProto

from dscost.converting.recovering.fitting import Fitting, drawn, quota
from dscost.converting.recovering.graph_layers import Layer, by_weights, chosen
from dscost.converting.recovering.graph_running import Feeds, Fetching
from dscost.converting.recovering.groups import Left, Say, refit_groups
from dscost.converting.recovering.stepping import Doing
from dscost.converting.recovering.telling import refuse_infinite

Group = list[Layer]
"""Layers that share their weights."""


class Target(NamedTuple):
    """What the original returned of an image where a layer is: positions, and `(N, positions)`."""

    at: np.ndarray
    values: np.ndarray


Targets = Mapping[str, list[list[Target]]]
"""By the name of a layer, batch and image."""


class Refitting(NamedTuple):
    """Both models, and what they are given.

    Args:
        original: The model that was converted.
        converted: What came of it; its weights are changed.
        batches: What both are given.
        images: How many each layer sees, which reshaping before it may make more or fewer than
            there are inputs.
    """

    original: ModelProto
    converted: ModelProto
    batches: Sequence[Feeds]
    images: Mapping[str, int]

    def refit(self, layers: Sequence[Layer], doing: Doing, say: Say) -> None:
        """Refit layers; tell what was done."""
        known = [layer for layer in layers if layer.is_known]
        unknown = [layer.name for layer in layers if not layer.is_known]
        refit_groups(
            list(by_weights(known).values()),
            Left(len(layers), unknown=unknown),
            doing,
            say,
            target_bytes=self._target_bytes,
            targets_of=self._targets,
            is_refitted=self._is_refitted,
        )

    def _target_bytes(self, same: Group) -> int:
        stages, looks = same[0].stages, self._looks(same)
        return 8 * stages.outputs * quota(stages, looks) * looks

    def _looks(self, same: Group) -> int:
        """Return how many images layers that share their weights see together."""
        return sum(self.images[layer.name] for layer in same)

    def _targets(self, groups: Sequence[Group]) -> Targets:
        """Return what the original returns where the layers are, by name, batch and image."""
        layers = [(layer, self._looks(same)) for same in groups for layer in same]
        fetching = Fetching(self.original, [layer.named.output for layer, _ in layers])
        found: dict[str, list[list[Target]]] = {layer.name: [] for layer, _ in layers}
        for number, batch in enumerate(self.batches):
            for at, ((layer, looks), y) in enumerate(zip(layers, fetching.run(batch), strict=True)):
                seeds = [(image, at, number) for image in range(len(y))]
                places = [drawn(y.shape[2:], layer.stages, looks, seed) for seed in seeds]
                found[layer.name].append(
                    [Target(one, chosen(image, one)) for one, image in zip(places, y, strict=True)]
                )
        return found

    def _is_refitted(self, same: Group, targets: Targets) -> bool:
        """Refit layers that share their weights; return whether they do better."""
        first = same[0]
        shifts = len(same) == 1 and first.bias is not None
        fitting = Fitting(first.stages, shifts=shifts, inputs=self._looks(same))
        fetching = Fetching(self.converted, [layer.seen for layer in same])
        for number, batch in enumerate(self.batches):
            for layer, x in zip(same, fetching.run(batch), strict=True):
                for image, (at, values) in enumerate(targets[layer.name][number]):
                    features = layer.features(x[image], at)
                    # the same image is always in the same half
                    fitting.add(features, values, layer.constant, number + image)
        refuse_infinite(first.name, fitting)
        fitted = fitting.result(first.rounded, first.constant)
        if fitted.is_changed:
            first.take(fitted.mixing, fitted.shift)
        return fitted.is_changed
