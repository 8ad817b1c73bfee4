"""Normalisations of a converted torch model given the statistics of what they see now."""

from collections import Counter
from collections.abc import Iterable, Sequence
from math import prod
from typing import Any

import torch
from torch import Tensor, nn

from dscost.converting.recovering.moments import Moments
from dscost.converting.recovering.running import Running
from dscost.converting.recovering.seen import Survey
from dscost.foreign.parts import each_part, own_tensors
from dscost.tracing import Arguments

NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)
STATISTICS = ("running_mean", "running_var")


def norms_in(root: nn.Module) -> list[Any]:
    """Return the normalisations of a model that have statistics, which no other module has."""
    parts = list(each_part(root))
    buffers = (own_tensors(part)[1].values() for part in parts)
    holders = Counter(id(one) for held in buffers for one in held if one is not None)

    def has_own(part: Any) -> bool:
        own = [getattr(part, name) for name in STATISTICS]
        return all(one is not None and holders[id(one)] == 1 for one in own)

    return [part for part in parts if isinstance(part, NORMS) and has_own(part)]


def behind(survey: Survey, norms: Iterable[Any], layers: Iterable[nn.Module]) -> list[Any]:
    """Return the normalisations that first run after one of some layers, in the order they run.

    Those that see a single value of a channel have no variance: they are left out.
    """
    ran = [survey.order(layer) for layer in layers if layer in survey.calls]
    if not ran:
        return []
    found = [
        norm
        for norm in norms
        if norm in survey.calls
        and survey.order(norm) > min(ran)
        and sum(prod(call.shape) for call in survey.calls[norm]) > norm.num_features
    ]
    return sorted(found, key=survey.order)


def reestimate(
    running: Running, norms: Sequence[Any], batches: Sequence[Arguments], survey: Survey
) -> int:
    """Give normalisations the mean and variance of what they see on all batches, one by one.

    Each sees what those before it make with theirs, in the mode of inference: in that of training
    it would depend on which inputs are in a batch together. Returns how many have new ones.
    """
    for norm in norms:
        moments = Moments()

        def look(_: nn.Module, x: Tensor, result: Any, moments: Moments = moments) -> None:
            moments.add(x.detach().transpose(0, 1).flatten(1).cpu().double().numpy())

        for number, batch in enumerate(batches):
            if calls := survey.numbers(norm, number):
                running.run(batch, {norm: look}, {norm: calls})
        for own, new in zip(STATISTICS, (moments.mean, moments.variance), strict=True):
            getattr(norm, own).copy_(torch.from_numpy(new))
    return len(norms)
