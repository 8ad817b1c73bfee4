"""Normalisations of a converted torch model given the statistics of what they see now."""

from collections import Counter
from collections.abc import Iterable, Sequence
from math import prod
from typing import Any

from torch import nn

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
    """Return the normalisations that first run after one of some layers.

    Those that see a single value of a channel in a call have no statistics: they are left out.
    """
    ran = [survey.order(layer) for layer in layers if layer in survey.calls]
    if not ran:
        return []
    return [
        norm
        for norm in norms
        if norm in survey.calls
        and survey.order(norm) > min(ran)
        and all(prod(call.shape) > norm.num_features for call in survey.calls[norm])
    ]


def reestimate(running: Running, norms: Sequence[Any], batches: Sequence[Arguments]) -> None:
    """Give normalisations the means of the statistics of batches, as torch's `update_bn` does.

    They alone are in the mode of training meanwhile.
    """
    before = [(norm.momentum, norm.num_batches_tracked) for norm in norms]
    for norm, (_, tracked) in zip(norms, before, strict=True):
        norm.num_batches_tracked = None if tracked is None else tracked.clone()
        norm.reset_running_stats()
        norm.momentum = None  # the mean over all batches
    try:
        with running.inferring(training=norms):
            for batch in batches:
                running.run(batch)
    finally:
        for norm, (momentum, tracked) in zip(norms, before, strict=True):
            norm.momentum, norm.num_batches_tracked = momentum, tracked
