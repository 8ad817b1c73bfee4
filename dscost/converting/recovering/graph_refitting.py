"""The converted layers of an ONNX model refitted, one after the other as they run. No torch."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from onnx import ModelProto

from dscost.converting.recovering.fitting import Fitting, drawn, quota
from dscost.converting.recovering.graph_layers import Layer, by_weights, chosen
from dscost.converting.recovering.graph_running import Feeds, Fetching
from dscost.converting.recovering.telling import refitted_notes, refuse_infinite

MOST_TARGET_BYTES = 2**29
"""Of what the original returns, over the layers whose targets are kept at a time."""

Say = Callable[[float | None, str], None]
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
        images: How many inputs that are.
    """

    original: ModelProto
    converted: ModelProto
    batches: Sequence[Feeds]
    images: int

    def refit(self, layers: Sequence[Layer], say: Say) -> list[str]:
        """Refit layers, those that share their weights at once; return what is to be told."""
        known = [layer for layer in layers if layer.is_known]
        due: list[Group] = []
        large: list[str] = []
        for same in by_weights(known).values():
            if Fitting.is_possible(same[0].stages):
                due.append(same)
            else:
                large += [layer.name for layer in same]
        kept: list[str] = []
        done = 0
        for some in self._in_parts(due):
            targets = self._targets(some)
            for same in some:
                say(done / len(due), f"refitting {same[0].name}")
                done += 1
                if not self._is_refitted(same, targets):
                    kept += [layer.name for layer in same]
        unknown = [layer.name for layer in layers if not layer.is_known]
        return refitted_notes(len(layers), kept=kept, large=large, unknown=unknown)

    def _in_parts(self, groups: Sequence[Group]) -> Iterator[list[Group]]:
        """Yield groups whose targets are kept at a time."""
        part: list[Group] = []
        size = 0
        for same in groups:
            stages, looks = same[0].stages, len(same) * self.images
            own = 8 * stages.outputs * quota(stages, looks) * looks
            if part and size + own > MOST_TARGET_BYTES:
                yield part
                part, size = [], 0
            part.append(same)
            size += own
        if part:
            yield part

    def _targets(self, groups: Sequence[Group]) -> Targets:
        """Return what the original returns where the layers are, by name, batch and image."""
        layers = [(layer, len(same)) for same in groups for layer in same]
        fetching = Fetching(self.original, [layer.named.output for layer, _ in layers])
        found: dict[str, list[list[Target]]] = {layer.name: [] for layer, _ in layers}
        for number, batch in enumerate(self.batches):
            for at, ((layer, sharing), y) in enumerate(
                zip(layers, fetching.run(batch), strict=True)
            ):
                seeds = [(image, at, number) for image in range(len(y))]
                looks = sharing * self.images
                places = [drawn(y.shape[2:], layer.stages, looks, seed) for seed in seeds]
                found[layer.name].append(
                    [Target(one, chosen(image, one)) for one, image in zip(places, y, strict=True)]
                )
        return found

    def _is_refitted(self, same: Group, targets: Targets) -> bool:
        """Refit layers that share their weights; return whether they do better."""
        first = same[0]
        shifts = len(same) == 1 and first.bias is not None
        fitting = Fitting(first.stages, shifts=shifts, inputs=len(same) * self.images)
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
