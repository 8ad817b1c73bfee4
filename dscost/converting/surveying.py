"""The convolutions of a torch model: where they are and run, and which may be converted."""

import torch
from torch import nn
from torch.nn.modules.conv import _ConvNd

from dscost.analysis.traced_layers import costs_of
from dscost.converting.sites import Site, Where, decompositions_of, wanted_by
from dscost.errors import InputError
from dscost.foreign.parts import each_parameter, each_part
from dscost.layers.convolution import not_within, require
from dscost.layers.variants import (
    MIN_CHANNELS,
    too_few_channels,
    why_not_cheaper,
    why_not_separable,
)
from dscost.modules.copying import by_path
from dscost.reports.figures import Cost, summed
from dscost.rewriting.convolutions import spec_of
from dscost.rewriting.kernels import kernel_of, why_stays
from dscost.tracing import Arguments, Event, Trace, trace


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
    wanted = wanted_by(where, found)
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
        reason = why_not_cheaper(conv) or too_few_channels(conv, min_channels)
    if reason is not None:
        return Site(name, module, conv, reason)
    assert isinstance(module, _ConvNd)
    kernel = kernel_of(module)
    if isinstance(kernel, str):
        return Site(name, module, conv, kernel)
    reason = why_not_separable(kernel.conv)
    if reason is not None:
        return Site(name, module, kernel.conv, reason)
    decompositions = decompositions_of(kernel.weight, kernel.conv.groups)
    held = module._parameters.get("weight")
    stored = None if held is None else id(held)
    return Site(name, module, kernel.conv, None, kernel, decompositions, stored=stored)


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
