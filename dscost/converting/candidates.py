"""What could be done to each convolution of a model, at which cost and with which error: what planning chooses from."""

from typing import Any, NamedTuple

from torch import nn

from dscost.converting.decomposing import channel_matrices, relative_errors
from dscost.converting.sites import (
    MIN_CHANNELS,
    Site,
    Where,
    arguments_for,
    require_finite,
    survey,
)
from dscost.layers.convolution import ConvSpec, Shape
from dscost.reports.figures import Cost


class Candidate(NamedTuple):
    """A convolution, and what becomes of it at every rank; the fields of ranks are empty where it must stay.

    Args:
        name: Of the layer.
        reason: Why it must stay as it is; `None` if it can be converted.
        conv: What it computes; unknown of transposed, lazy and scripted convolutions.
        calls: How often it runs; unknown without an input.
        input_shapes: Of each call, as torch's operator gets it; a padding that a module adds is
            part of it.
        dtype: Of its weights; unknown where a function computes it.
        params: Weights and bias as they are.
        cost: Of all calls as they are; unknown without an input.
        ranks: 1, 2, … up to the rank at which it is reproduced.
        errors: Of its kernel, relative, per rank; empty on meta, where there are no values.
        rank_params: Weights and bias per rank.
        rank_costs: Of all calls per rank; empty without an input.
        norm_squared: Sum of its squared weights; unknown on meta.
    """

    name: str
    reason: str | None
    conv: ConvSpec | None
    calls: int | None
    input_shapes: tuple[Shape, ...]
    dtype: str | None
    params: int | None
    cost: Cost | None
    ranks: tuple[int, ...] = ()
    errors: tuple[float, ...] = ()
    rank_params: tuple[int, ...] = ()
    rank_costs: tuple[Cost, ...] = ()
    norm_squared: float | None = None


def candidates(
    module: nn.Module, *, where: Where = None, min_channels: int = MIN_CHANNELS, input: Any = None
) -> tuple[Candidate, ...]:
    """Return what could be done to each convolution of a model, those that must stay included.

    Args:
        module: Left as it is.
        where: As of `dscost.convert`.
        min_channels: As of `dscost.convert`.
        input: As of `dscost.convert`; without it only params are known, with values it does not
            calibrate.

    Raises:
        InputError: The input or `where` is wrong, or weights are not finite.
    """
    arguments, _ = arguments_for(module, input)
    sites = survey(module, where=where, min_channels=min_channels, arguments=arguments)
    return tuple(_candidate(site) for site in sites)


def _candidate(site: Site) -> Candidate:
    shapes = tuple(run.batched_input_shape for run in site.runs)
    kept = Candidate(
        site.name, site.reason, site.conv, site.calls, shapes, site.dtype, site.params, site.cost()
    )
    if site.kernel is None:
        return kept
    ranks = tuple(range(1, site.max_rank + 1))
    costs = [site.cost_at(rank) for rank in ranks]
    kept = kept._replace(
        ranks=ranks,
        rank_params=tuple(site.params_at(rank) for rank in ranks),
        rank_costs=tuple(cost for cost in costs if cost is not None),
    )
    weight = site.kernel.weight
    if weight.is_meta:
        return kept
    require_finite(site.name, weight)
    groups = site.kernel.conv.groups
    energy = float(channel_matrices(weight, groups).square().sum())
    return kept._replace(errors=relative_errors(weight, groups), norm_squared=energy)
