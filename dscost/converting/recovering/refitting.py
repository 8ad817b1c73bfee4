"""The converted layers of a torch model refitted, one after the other as they run.

The target of a layer is what the original returns, on positions that are drawn once. As many
targets as fit are kept, so that the original seldom runs; the converted model runs for each layer
as far as that, with all that was refitted before it.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from torch import Tensor, nn

from dscost.converting.recovering.fitting import Fitting, drawn
from dscost.converting.recovering.groups import Left, Say, refit_groups
from dscost.converting.recovering.running import Look, Running
from dscost.converting.recovering.seen import Call, Survey
from dscost.converting.recovering.stepping import Doing
from dscost.converting.recovering.telling import refuse_infinite
from dscost.converting.recovering.torch_layers import Layer, chosen
from dscost.tracing import Arguments

Group = list[Layer]
"""Layers that share their weights."""


class Target(NamedTuple):
    """What the original returned in a call.

    Args:
        call: Its batch and shape.
        at: For each image which positions are looked at.
        values: For each image what it was there, `(N, positions)`.
    """

    call: Call
    at: list[np.ndarray]
    values: list[np.ndarray]


class Refitting(NamedTuple):
    """Both models, and what is known of them.

    Args:
        original: The model that was converted.
        converted: What came of it; its weights are changed.
        batches: What both are given.
        survey: The calls of the last stages of the layers in the converted model.
    """

    original: Running
    converted: Running
    batches: Sequence[Arguments]
    survey: Survey

    def refit(self, layers: Sequence[Layer], doing: Doing, say: Say) -> None:
        """Refit layers; tell what was done."""
        sharing: dict[int, Group] = {}
        ran = [layer for layer in layers if layer.last in self.survey.calls]
        for layer in sorted(ran, key=lambda layer: self.survey.order(layer.last)):
            sharing.setdefault(id(layer.pointwise.weight), []).append(layer)
        unseen = [layer.name for layer in layers if layer.last not in self.survey.calls]
        refit_groups(
            list(sharing.values()),
            Left(len(layers), unseen=unseen),
            doing,
            say,
            target_bytes=lambda same: sum(map(self._target_bytes, same)),
            targets_of=lambda some: self._targets([layer for same in some for layer in same]),
            is_refitted=self._is_refitted,
        )

    def _target_bytes(self, layer: Layer) -> int:
        drawn_at = self._drawn(layer, self.survey.calls[layer.last][0], 0, ())
        return 8 * layer.stages.outputs * len(drawn_at) * self._looks(layer)

    def _drawn(self, layer: Layer, call: Call, image: int, seed: tuple[int, ...]) -> np.ndarray:
        extent = call.shape[-layer.dims :]
        return drawn(extent, layer.stages, self._looks(layer), (image, *seed))

    def _looks(self, layer: Layer) -> int:
        """Return how many images a layer sees, each as often as it is called."""
        return sum(layer.batch_of(call.shape) for call in self.survey.calls[layer.last])

    # -- what the layers are to return

    def _targets(self, layers: Sequence[Layer]) -> dict[str, list[Target]]:
        """Return what the original returns where the layers are, by name and call."""
        found: dict[str, list[Target]] = {layer.name: [] for layer in layers}
        numbers = {layer.name: at for at, layer in enumerate(layers)}

        def look_at(layer: Layer, batch: int) -> Look:
            def look(_: nn.Module, x: Any, result: Tensor) -> None:
                calls = found[layer.name]
                call = Call(batch, tuple(result.shape))
                images = layer.images(result.detach())
                seed = numbers[layer.name], len(calls)
                at = [self._drawn(layer, call, one, seed) for one in range(len(images))]
                values = [chosen(one, where) for one, where in zip(images, at, strict=True)]
                calls.append(Target(call, at, values))

            return look

        for number, batch in enumerate(self.batches):
            calls = {layer.original: self._calls(layer, number) for layer in layers}
            calls = {module: times for module, times in calls.items() if times}
            looks = {layer.original: look_at(layer, number) for layer in layers}
            if calls:
                self.original.run(batch, looks, calls)
        return found

    def _calls(self, layer: Layer, batch: int) -> int:
        return self.survey.numbers(layer.last, batch)

    # -- what they see

    def _is_refitted(self, same: Group, targets: Mapping[str, list[Target]]) -> bool:
        """Refit layers that share their weights; return whether they do better."""
        for layer in same:
            known = [target.call for target in targets[layer.name]]
            if known != self.survey.calls[layer.last]:
                return False  # the models do not do the same: their code looks at values
        first, alone = same[0], len(same) == 1
        looks = sum(self._looks(layer) for layer in same)
        fitting = Fitting(first.stages, shifts=alone and first.has_own_bias, inputs=looks)
        left = {layer.name: iter(targets[layer.name]) for layer in same}

        def look_at(layer: Layer) -> Look:
            def look(_: nn.Module, x: Tensor, result: Any) -> None:
                target = next(left[layer.name])
                for image, (at, values) in enumerate(zip(target.at, target.values, strict=True)):
                    features = layer.features(x, image, at)
                    # the same image is always in the same half
                    fitting.add(features, values, layer.bias, target.call.batch + image)

            return look

        for number, batch in enumerate(self.batches):
            calls = {layer.pointwise: self._calls(layer, number) for layer in same}
            calls = {module: times for module, times in calls.items() if times}
            if calls:
                looks_at = {layer.pointwise: look_at(layer) for layer in same}
                self.converted.run(batch, looks_at, calls)
        refuse_infinite(first.name, fitting)
        fitted = fitting.result(first.rounded, first.bias)
        if fitted.is_changed:
            first.take(fitted.mixing, fitted.shift)
        return fitted.is_changed
