"""A torch model → the same model of standard or of depthwise-separable convolutions, to run.

What `dscost.networks.swaps` finds in the events of a trace is done here to modules. The new
convolutions have random weights: they are there for what they cost, not for what they compute.
"""

from collections import OrderedDict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import nn
from torch.nn.modules.conv import _ConvNd

from dscost.foreign.parts import children_of, unwrapped
from dscost.layers.variants import SEPARABLE, Convs
from dscost.modules.building import build_stages
from dscost.modules.copying import by_path
from dscost.networks.swaps import Swap, reading_input
from dscost.rewriting.convolutions import (
    CONVOLUTIONS,
    FixedPadding,
    Kernel,
    is_plain,
    layout_of,
    on_both_sides,
    padding_of_operator,
    tensor_of,
)
from dscost.rewriting.kernels import has_hooks, kernel_of
from dscost.rewriting.replacing import describe, with_others
from dscost.tracing import Event


def rewritten(
    module: nn.Module, events: Sequence[Event], swaps: Sequence[Swap], variant: str
) -> tuple[nn.Module, dict[str, str]]:
    """Return a copy of a model with every swap written as `variant`, unless it is so already.

    Beside it, why a layer could not be replaced, for each that stayed as it was, by its name.

    A convolution becomes two stages. Of a pair the depthwise convolution becomes the standard one,
    and what follows up to the pointwise convolution passes its input on. A module that runs several
    times is replaced once, under all of its names; weights that several modules share stay shared.
    A new convolution has the device, dtype, layout, mode and hooks of the one that it replaces, and
    the attributes of `torch.nn.Conv2d` that tell its shape.

    As with `copy.deepcopy`, what a function has closed over is not copied.

    Args:
        module: With values or on meta. Of torch.compile's wrapper, what it wraps is rewritten.
        events: What `dscost.tracing.trace(module, …)` recorded.
        swaps: What `find_swaps(events)` found.
        variant: `standard` or `depthwise_separable`.

    Raises:
        InputError: The model cannot be copied; the text has the reason.
    """
    module = unwrapped(module)
    run = _Run(module, events)
    due = [swap for swap in swaps if swap.is_pair != (variant == SEPARABLE)]
    left: dict[str, str] = {}
    while refused := run.refused(due):  # what stays may keep others from being replaced
        for at, reason in refused.items():
            left.setdefault(events[at].module, reason)
        due = [swap for swap in due if swap.positions[0] not in refused]

    new: dict[str, nn.Module] = {}
    first_with: dict[object, Swap] = {}
    for swap in due:
        path = events[swap.positions[0]].module
        if path not in new:
            new[path] = run.replacement(swap, variant)
            twin = first_with.setdefault(run.kernels(swap), swap)
            same_bias = events[twin.positions[-1]].weights == events[swap.positions[-1]].weights
            _share_weights(new[events[twin.positions[0]].module], new[path], bias=same_bias)
    gone = run.passed_through(due)
    convs = {run.modules[path]: one for path, one in new.items() if path not in gone}
    others = {run.modules[path]: PassedThrough().train(run.modules[path].training) for path in gone}
    copy, _ = with_others(module, convs, others)
    return copy, left


class PassedThrough(nn.Identity):
    """Returns the first of its arguments, in the place of a module that may take several."""

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Return the first argument."""
        return next(iter((*args, *kwargs.values())))


# -- what may be replaced


class _Run:
    """A model and what happened when it ran."""

    def __init__(self, root: nn.Module, events: Sequence[Event]) -> None:
        self.modules = by_path(root)
        self._events = events
        self._reads_input = reading_input(events)
        self._applied: dict[str, Kernel | str] = {}
        self._within: dict[str, list[int]] = {}
        for at, event in enumerate(events):
            for path in dict.fromkeys(event.stack):
                self._within.setdefault(path, []).append(at)

    def kernels(self, swap: Swap) -> tuple[object, ...]:
        """Return what tells the weights of a swap apart: names of kernels, or who computes them."""
        events = [self._events[at] for at in swap.positions]
        # a linear layer may end a pair
        weighty = [event for event in events if event.conv or event is events[-1]]
        return tuple(
            event.kernel if isinstance(event.kernel, str) else (event.module,) for event in weighty
        )

    def refused(self, due: Sequence[Swap]) -> dict[int, str]:
        """Return why swaps cannot be done together with the others, by their first position."""
        heads = {swap.positions[0]: swap for swap in due}
        gone = self.passed_through(due)
        reasons = {
            at: self._why_stays(at, heads) or self._why_between_stays(heads[at], gone)
            for at in heads
        }
        return {at: reason for at, reason in reasons.items() if reason}

    # -- the first convolution

    def _why_stays(self, at: int, heads: Mapping[int, Swap]) -> str | None:
        path = self._events[at].module
        module = self.modules.get(path)
        if module is not None and any(
            isinstance(m, torch.jit.ScriptModule) for m in (module, *children_of(module).values())
        ):
            return "the convolution is in scripted code"
        if not isinstance(module, CONVOLUTIONS):
            return "the convolution is computed by a function, not by a Conv2d"
        # one module is replaced for all of its calls, so they must agree on by what
        calls = [call for call in self._within[path] if self._events[call].op == "convolution"]
        if not all(call in heads for call in calls):
            return "it also runs where it cannot be replaced"
        if len({(heads[call].standard, self.kernels(heads[call])) for call in calls}) > 1:
            return "its calls stand for different convolutions"
        if is_plain(module) and not has_hooks(module):
            return None
        if path not in self._applied:
            self._applied[path] = kernel_of(module)
        applied = self._applied[path]
        if isinstance(applied, str):
            return applied
        if not is_plain(module) and self._pads_otherwise(applied, calls):
            return "it pads its inputs differently from call to call"
        return None

    def _first_of_call(self, at: int) -> Event:
        """Return what a module does first to its input: the convolution itself, or its padding."""
        event = self._events[at]
        path = event.module
        while event.sources and event.sources[0] >= 0:
            before = self._events[event.sources[0]]
            if before.conv or path not in before.stack:  # an earlier call, or another module
                break
            event = before
        return event

    def _pads_otherwise(self, kernel: Kernel, calls: Sequence[int]) -> bool:
        """Whether a call of a module pads otherwise than it did when it was tried alone."""
        for call in calls:
            event, given = self._events[call], self._first_of_call(call).input_shape
            assert event.conv is not None
            totals = event.conv.padding_total
            sizes = zip(event.input_shape[-len(totals) :], totals, strict=True)
            passed_over = tuple(size + total for size, total in sizes)
            expected = kernel.padded(torch.empty(given, device="meta")).shape
            if expected[-len(totals) :] != passed_over:
                return True
        return False

    def replacement(self, swap: Swap, variant: str) -> nn.Module:
        """Return what takes the place of the first convolution of a swap."""
        at = swap.positions[0]
        path = self._events[at].module
        old = self.modules[path]
        assert isinstance(old, _ConvNd)
        (name, first), *others = swap.convs(variant)
        before: nn.Module | None = None
        mode: str = old.padding_mode
        if not is_plain(old):
            kernel = self._applied[path]
            assert isinstance(kernel, Kernel)
            before, mode = self._padding_before(kernel, at), kernel.conv.padding_mode
        if mode != "zeros":
            first = replace(first, padding=padding_of_operator(old), padding_mode=mode)
        new = _built_like(old, ((name, first), *others), before)
        if not isinstance(new, _ConvNd):
            describe(new, swap.standard, old.padding)
        return new

    def _padding_before(self, kernel: Kernel, at: int) -> nn.Module | None:
        """Return what puts zeros around an input before the operator of a convolution does.

        It stays a step of its own, though the operator might do it, since the model pays for it.
        """
        event = self._events[at]
        assert event.conv is not None
        if kernel.conv.padding_mode != "zeros" or self._first_of_call(at) is event:
            return None
        both = zip(kernel.conv.padding_total, event.conv.padding_total, strict=True)
        return kernel.before or FixedPadding(on_both_sides([all_ - own for all_, own in both]))

    # -- what lies between the stages of a pair

    def passed_through(self, due: Sequence[Swap]) -> set[str]:
        """Return the paths of modules that a standard convolution makes superfluous."""
        superfluous = {at for swap in due for at in swap.positions[1:]}
        owners = {self._events[at].module for at in superfluous}
        return {
            path
            for path in owners
            if path in self.modules and self._is_superfluous(path, superfluous)
        }

    def _is_superfluous(self, path: str, superfluous: Collection[int]) -> bool:
        within = self._within[path]
        if any(self._reads_input[at] and at not in superfluous for at in within):
            return False
        # one that only calls others, an activation perhaps by itself, stays: it may also view a
        # result in another shape
        own = [self._events[at] for at in within if self._events[at].module == path]
        only_calls = all(
            self._suits_any_channels(event) and len(event.sources) == 1 for event in own
        )
        return not (self.modules[path]._modules and only_calls)

    def _why_between_stays(self, swap: Swap, gone: Collection[str]) -> str | None:
        for at in swap.positions[1:]:
            event = self._events[at]
            if not (set(event.stack) & set(gone) or self._suits_any_channels(event)):
                where = f"'{event.module}'" if event.module else "the model itself"
                return f"{event.operator}, which {where} runs after it, cannot be taken out"
        return None

    def _suits_any_channels(self, event: Event) -> bool:
        """Whether an operator does the same for any channels, and reads only what it is given."""
        held_bytes = event.traffic_bytes - event.input_bytes - event.output_bytes
        return (
            event.op in _FOR_ANY_CHANNELS
            and not event.weights
            and held_bytes <= event.element_bytes  # a number may be held, a vector has its length
            and all(
                s >= 0 and self._events[s].output_shape == event.output_shape for s in event.sources
            )
        )


_FOR_ANY_CHANNELS = {"activation", "elementwise", "multiply", "add"}
"""What may stay between stages that are gone; a copy comes of a view that may count channels, as a
shuffle does."""


# -- making it


def _built_like(old: _ConvNd, convs: Convs, before: nn.Module | None) -> nn.Module:
    """Return new convolutions with random weights, where and how those of `old` are."""
    tensor = tensor_of(old)
    with torch.device(tensor.device):
        new = build_stages(convs)
    if before is not None:
        new = nn.Sequential(OrderedDict(pad=before, convolution=new))
    new.to(tensor.dtype)
    layout = layout_of(old)
    if layout is not None:
        new.to(memory_format=layout)  # type: ignore[call-overload]
    return new.train(old.training).requires_grad_(tensor.requires_grad)


def _share_weights(first: nn.Module, new: nn.Module, *, bias: bool) -> None:
    """Give the convolutions of `new` the weights of those of `first`, if of one shape."""
    for a, b in zip(_convs_in(first), _convs_in(new), strict=True):
        if a is not b and a.weight.shape == b.weight.shape:
            b.weight = a.weight
            if bias:
                b.bias = a.bias


def _convs_in(module: nn.Module) -> list[_ConvNd]:
    return [part for part in module.modules() if isinstance(part, _ConvNd)]
