"""The convolutions of a model: where they are and run, and which may become depthwise-separable."""

from collections.abc import Callable, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import NamedTuple

import torch
from torch import nn
from torch.nn.modules.conv import _ConvNd

from dscost.analysis.traced_layers import costs_of
from dscost.converting.decomposing import Decomposition, Factors, max_rank
from dscost.converting.plan_file import KEEP, Decision
from dscost.errors import InputError, UnknownNameError
from dscost.foreign.parts import each_parameter, each_part
from dscost.layers.convolution import ConvSpec, not_within, require
from dscost.layers.variants import (
    MIN_CHANNELS,
    Convs,
    depthwise_separable,
    standard,
    too_few_channels,
    why_not_separable,
)
from dscost.modules.copying import by_path
from dscost.networks.network import stage_costs
from dscost.notation.units import format_layer
from dscost.reports.figures import Cost, chain_cost, cost_of_calls, summed
from dscost.rewriting.convolutions import Kernel, spec_of
from dscost.rewriting.kernels import kernel_of, why_stays
from dscost.tracing import Arguments, Event, Trace, trace

Where = str | Sequence[str] | Callable[[str, nn.Module], bool] | None
"""Globs on names of layers, or a function of name and module; all layers when none."""

Key = tuple[int, int, int]
"""What layers have in common that share their new weights: identity of the kernel, groups, rank."""


class Site(NamedTuple):
    """A convolution of the model, whether it may be converted, and whether it will be.

    Args:
        name: Path of the module, the first of several.
        module: In the given model; nothing where a function computes the convolution.
        conv: As its attributes tell, or as it ran; unknown of transposed, lazy and scripted ones.
        reason: Why it stays as it is; `None` if it can be converted, and is to be.
        applied: What it applies, where it can be converted.
        decomposition: Of what it applies; at every rank, worked out when first asked for.
        runs: The operators that it ran, where they are convolutions that `conv` can describe.
        calls: How often it ran; unknown without an input.
        whole: What all calls cost as it is, where `conv` is unknown and it ran.
        rank: T that it is to have, once that is decided.
    """

    name: str
    module: nn.Module | None
    conv: ConvSpec | None
    reason: str | None
    applied: Kernel | None = None
    decomposition: Decomposition | None = None
    runs: tuple[Event, ...] = ()
    calls: int | None = None
    rank: int | None = None
    whole: Cost | None = None

    @property
    def kernel(self) -> Kernel:
        """What it applies; it can be converted."""
        assert self.applied is not None
        return self.applied

    @property
    def key(self) -> Key:
        """The same for sites that share their weights and are to share them still."""
        assert self.rank is not None
        return id(self.kernel.weight), self.kernel.conv.groups, self.rank

    @property
    def max_rank(self) -> int:
        """The rank at which it is reproduced."""
        return max_rank(self.kernel.weight.shape, self.kernel.conv.groups)

    @property
    def ranks(self) -> range:
        """The ranks that it could have."""
        return range(1, self.max_rank + 1)

    @property
    def errors(self) -> tuple[float, ...]:
        """Of its kernel, relative, by rank."""
        assert self.decomposition is not None
        return self.decomposition.errors

    def factors(self, decomposition: Decomposition | None = None) -> Factors:
        """Return weights of its rank, of its own decomposition or another one."""
        decomposition = decomposition or self.decomposition
        assert decomposition is not None
        assert self.rank is not None
        return decomposition.at(self.rank)

    @property
    def swappable(self) -> int:
        """How many convolutions it is that could be depthwise-separable, whatever keeps them.

        As a report counts them: not those that never run, those of a function by their weights.
        """
        if self.module is None:
            kernels = {run.kernel: run.conv for run in self.runs}
            return sum(
                conv is not None and not why_not_separable(conv) for conv in kernels.values()
            )
        can_be = self.conv is not None and why_not_separable(self.conv) is None
        return int(can_be and self.calls != 0)

    # -- what it costs: as it is, or at a rank

    def params(self, rank: int | None = None) -> int | None:
        """Return weights and bias; unknown where `conv` is."""
        if self.conv is None:
            return None if self.whole is None else self.whole.params
        return sum(one.params for _, one in _written(self.conv, rank))

    def cost(self, rank: int | None = None) -> Cost | None:
        """Return what all calls cost; unknown where none is known."""
        if not self.runs:
            return self.whole
        costs = []
        for run in self.runs:
            assert run.conv is not None
            convs = _written(run.conv, rank)
            stages = stage_costs(convs, run.batched_input_shape, run.element_bytes)
            costs.append(chain_cost([stage.cost for stage in stages]))
        return cost_of_calls(costs, [self.name] * len(costs))

    def macs(self, rank: int | None = None) -> int:
        """Return the MACs of all calls, none where it never runs."""
        cost = self.cost(rank)
        return cost.macs if cost else 0

    # -- what is done to it

    def decided(self, decisions: Mapping[str, Decision]) -> "Site":
        """Return what is done to it; a rank above the largest means that one."""
        decision = decisions.get(self.name)
        if self.reason is not None:
            return self
        if decision is None or decision == KEEP:
            reason = "the plan does not name it" if decision is None else "the plan keeps it"
            return self._replace(reason=reason)
        return self._replace(rank=min(decision, self.max_rank))

    def require_values(self, otherwise: str = "") -> None:
        """Refuse weights that nothing can be computed of; `otherwise` says what does without them.

        Raises:
            InputError: There are none, or some are infinite or no numbers.
        """
        values = self.kernel.weight.detach()
        if values.is_meta:
            named = format_layer(self.name)
            raise InputError(f"{named} is on meta, without weights to decompose{otherwise}")
        # quick: a sum of anything else is not; one of numbers may not be, where they are large
        if values.sum().isfinite():
            return
        wrong = int((~values.isfinite()).sum())
        if wrong:
            raise InputError(
                f"the weights of '{self.name}' are not finite: {wrong:,} of {values.numel():,} "
                "are NaN or infinite"
            )


def _written(conv: ConvSpec, rank: int | None) -> Convs:
    return standard(conv) if rank is None else depthwise_separable(conv, rank)


def survey(
    root: nn.Module,
    *,
    where: Where = None,
    min_channels: int = MIN_CHANNELS,
    traced: Trace | None = None,
) -> tuple[Site, ...]:
    """Return every convolution of a model, in the order of its modules; those of functions last.

    Without a trace costs are unknown, and functions unseen. What the model does with them besides
    calling them is not looked at: see `rehearsing`.

    Raises:
        InputError: Its weights are not here, or a glob matches no convolution.
    """
    require(not_within("min_channels", min_channels))
    _require_values_here(root)
    runs: dict[str, list[Event]] = {}
    for event in traced.events if traced else ():
        if event.conv is not None:
            runs.setdefault(event.module, []).append(event)
    found = {name: module for name, module in by_path(root).items() if _is_convolution(module)}
    wanted = _wanted(found, where)
    sites = []
    for name, module in found.items():
        site = _site(name, module, wanted=wanted[name], min_channels=min_channels)
        calls = None if traced is None else traced.calls.get(name, 0)
        whole = _whole_cost(name, traced) if traced and calls and site.conv is None else None
        sites.append(site._replace(runs=tuple(runs.pop(name, ())), calls=calls, whole=whole))
    for name, events in runs.items():
        reason = "it is computed by a function, not by a Conv2d"
        conv = events[0].conv
        sites.append(Site(name, None, conv, reason, runs=tuple(events), calls=len(events)))
    return tuple(sites)


def _whole_cost(name: str, traced: Trace) -> Cost:
    """Return what a convolution costs that only its operators tell of, such as a transposed one."""
    both = zip(traced.events, costs_of(traced), strict=True)
    return summed(cost for event, cost in both if event.module == name)


def traced_on(root: nn.Module, arguments: Arguments) -> Trace:
    """Return what a model does; of an input of another dtype than its weights an error says so."""
    try:
        return trace(root, arguments)
    except InputError as error:
        weights = {one.dtype for one in each_parameter(root) if one.is_floating_point()}
        given = {tensor.dtype for tensor in arguments.tensors}
        if len(weights) != 1 or not given or weights & given or "type" not in str(error.__cause__):
            raise
        (dtype,) = weights
        raise InputError(f"{error} (the weights are {dtype}: give input.to({dtype}))") from error


def _is_convolution(module: nn.Module) -> bool:
    if isinstance(module, torch.jit.ScriptModule):
        return any("Conv" in getattr(part, "original_name", "") for part in each_part(module))
    home = type(module).__module__
    return isinstance(module, _ConvNd) or ("quantized" in home and hasattr(module, "transposed"))


def _site(name: str, module: nn.Module, *, wanted: bool, min_channels: int) -> Site:
    conv = spec_of(module)
    reason = why_stays(module)
    if reason is None and not wanted:
        reason = "where does not ask for it"
    if reason is None and conv is not None:
        reason = too_few_channels(conv, min_channels)
    if reason is not None:
        return Site(name, module, conv, reason)
    assert isinstance(module, _ConvNd)
    kernel = kernel_of(module)
    if isinstance(kernel, str):
        return Site(name, module, conv, kernel)
    reason = why_not_separable(kernel.conv)
    if reason is not None:
        return Site(name, module, kernel.conv, reason)
    decomposition = Decomposition(kernel.weight, kernel.conv.groups)
    return Site(name, module, kernel.conv, None, kernel, decomposition)


_ELSEWHERE = {
    "FakeTensor": "are fake, without values: make it outside of FakeTensorMode",
    "DTensor": "are spread over processes: convert it before fully_shard or parallelize_module",
}
"""Kinds of tensor that a model cannot be converted with, and what to do."""


def _require_values_here(root: nn.Module) -> None:
    """Refuse a model whose weights are nowhere, or elsewhere in part."""
    for parameter in each_parameter(root):
        for kind in (*type(parameter).__mro__, *type(parameter.data).__mro__):
            if kind.__name__ in _ELSEWHERE:
                why = _ELSEWHERE[kind.__name__]
                raise InputError(f"{type(root).__name__} cannot be converted: its weights {why}")


def _wanted(found: Mapping[str, nn.Module], where: Where) -> dict[str, bool]:
    """Return for each convolution whether `where` asks for it; a glob has to match some."""
    if where is None:
        return dict.fromkeys(found, True)
    if callable(where):
        return {name: bool(where(name, module)) for name, module in found.items()}
    globs = (where,) if isinstance(where, str) or not isinstance(where, Sequence) else tuple(where)
    for glob in globs:
        if not isinstance(glob, str):
            raise InputError(
                f"where is a glob on layer names, a list of them, or a function, found {glob!r:.60}"
            )
        if not found:
            raise InputError(f"where asks for '{glob}', but the model has no convolution")
        if not any(fnmatchcase(name, glob) for name in found):
            raise UnknownNameError("convolution", glob, found)
    return {name: any(fnmatchcase(name, glob) for glob in globs) for name in found}
