"""A torch model → the same model made of standard convolutions, or made depthwise-separable, to be run.

What `dscost.networks.swaps` finds in the events of a trace is done here to modules. The new
convolutions have random weights: they are there for what they cost, not for what they compute.
"""

from collections import OrderedDict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import torch
from torch import nn
from torch.nn.modules.conv import _ConvNd

from dscost.foreign.parts import children_of, unwrapped
from dscost.layers.convolution import Shape
from dscost.layers.variants import SEPARABLE, Convs
from dscost.modules.building import build_stages
from dscost.modules.copying import by_path, copied, deep_copied
from dscost.networks.swaps import Swap, reading_input
from dscost.rewriting.convolutions import (
    CONVOLUTIONS,
    FixedPadding,
    Kernel,
    SamePadding,
    carry_hooks,
    describe,
    is_plain,
    layout_of,
    on_both_sides,
    padding_of_operator,
    same_padding,
    tensor_of,
)
from dscost.rewriting.kernels import has_hooks, kernel_of
from dscost.tracing import Event


class Rewritten(NamedTuple):
    """A model in another form.

    Args:
        module: A new module; the given one is untouched.
        left: Name of a layer and why it could not be replaced, for each that stayed as it was.
        replaced: Names of the modules that were: convolutions, and what lay between the stages of a
            pair.
    """

    module: nn.Module
    left: tuple[tuple[str, str], ...]
    replaced: tuple[str, ...]


def rewritten(
    module: nn.Module, events: Sequence[Event], swaps: Sequence[Swap], variant: str
) -> Rewritten:
    """Return a copy of a model with every swap written as `variant`; those that are so already stay as they are.

    A convolution becomes two stages. Of a pair the depthwise convolution becomes the standard one,
    and what follows up to the pointwise convolution passes its input on. A module that runs several
    times is replaced once, under all of its names; weights that several modules share stay shared.
    A new convolution has the device, dtype, layout, mode and hooks of the one that it replaces, and
    the attributes of `torch.nn.Conv2d` that tell its shape.

    As with `copy.deepcopy`, what a function has closed over is not copied.

    Args:
        module: With values or on meta. Of torch.compile's wrapper, what it wraps is rewritten.
        events: Of `dscost.tracing.trace(module, …)`.
        swaps: Of `find_swaps(events)`.
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
    new |= {path: PassedThrough().train(run.modules[path].training) for path in gone}
    replaced = tuple(path for path in run.modules if path in new and gone.isdisjoint(_above(path)))
    return Rewritten(
        _copy(module, {run.modules[path]: new[path] for path in new}), tuple(left.items()), replaced
    )


class PassedThrough(nn.Identity):
    """Returns the first of its arguments, in the place of a module that may take several."""

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Return the first argument."""
        return next(iter((*args, *kwargs.values())))


# -- what may be replaced


class _Run:
    """A model and what happened when it ran.

    Args:
        root: The model.
        events: The operators, in order.
    """

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
        """Return what tells the weights of a swap apart: names of kernels, or the modules that compute them."""
        events = [self._events[at] for at in swap.positions]
        weighty = [
            event for event in events if event.conv or event is events[-1]
        ]  # a linear layer may end a pair
        return tuple(
            event.kernel if isinstance(event.kernel, str) else (event.module,) for event in weighty
        )

    def refused(self, due: Sequence[Swap]) -> dict[int, str]:
        """Return why some swaps cannot be done together with the others, by their first position."""
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
        return (
            None
            if self._padding(module, calls)
            else "it pads its inputs differently from call to call"
        )

    def _first_of_call(self, at: int) -> Event:
        """Return what a convolution's module does first to its input: the convolution itself, or its padding."""
        event = self._events[at]
        path = event.module
        while event.sources and event.sources[0] >= 0:
            before = self._events[event.sources[0]]
            if before.conv or path not in before.stack:  # an earlier call, or another module
                break
            event = before
        return event

    def _padding(self, module: _ConvNd, calls: Sequence[int]) -> "_Padding | None":
        """Return how a convolution pads its input before the operator does; `None` if no rule holds for all calls."""
        own = _own_padding(module)
        if is_plain(module):
            return own
        convs, firsts = (
            [self._events[call] for call in calls],
            [self._first_of_call(call) for call in calls],
        )
        if firsts == convs:
            return _Padding()
        given = [first.input_shape for first in firsts]
        dims = len(module.kernel_size)
        totals = [
            _differences(shape, conv.input_shape, dims)
            for shape, conv in zip(given, convs, strict=True)
        ]
        if own.mode != "zeros" and set(totals) == {
            _both_together(module._reversed_padding_repeated_twice)
        }:
            return own
        conv = convs[0].conv
        assert conv is not None
        if totals == [same_padding(shape, conv) for shape in given]:
            return _Padding(before=SamePadding(conv))
        return (
            _Padding(before=FixedPadding(on_both_sides(totals[0])))
            if len(set(totals)) == 1
            else None
        )

    def replacement(self, swap: Swap, variant: str) -> nn.Module:
        """Return what takes the place of the first convolution of a swap."""
        path = self._events[swap.positions[0]].module
        old = self.modules[path]
        assert isinstance(old, _ConvNd)
        padding = self._padding(old, [at for at in self._within[path] if self._events[at].conv])
        assert padding is not None
        (name, first), *others = swap.convs(variant)
        if padding.mode != "zeros":
            first = replace(first, padding=padding.by_the_convolution, padding_mode=padding.mode)
        new = _built_like(old, ((name, first), *others), padding.before)
        if not isinstance(new, _ConvNd):
            describe(new, swap.standard, old.padding)
        return new

    # -- what lies between the stages of a pair

    def passed_through(self, due: Sequence[Swap]) -> set[str]:
        """Return the paths of the modules that do nothing but what a standard convolution makes superfluous."""
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
        """Whether an operator does the same for any number of channels, and reads nothing but what it is given."""
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


def _above(path: str) -> list[str]:
    """Return the paths of the modules that hold the one at `path`, the root left out."""
    names = path.split(".")
    return [".".join(names[:end]) for end in range(1, len(names))]


# -- how a convolution pads


class _Padding(NamedTuple):
    """What a module adds to its input before the operator of the convolution runs.

    Args:
        before: A module that does it, if the convolution that replaces it cannot.
        by_the_convolution: `padding` of the convolution where its `mode` is not zeros.
        mode: `padding_mode` of the convolution.
    """

    before: nn.Module | None = None
    by_the_convolution: Any = None
    mode: str = "zeros"


def _own_padding(module: _ConvNd) -> _Padding:
    return _Padding(by_the_convolution=padding_of_operator(module), mode=module.padding_mode)


def _differences(before: Shape, after: Shape, dims: int) -> Shape:
    return tuple(b - a for a, b in zip(before[-dims:], after[-dims:], strict=True))


def _both_together(sides: Sequence[int]) -> Shape:
    """Return the sums per dimension of what `pad` takes: both sides, last dimension first."""
    return tuple(sides[at] + sides[at + 1] for at in range(len(sides) - 2, -1, -2))


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
    """Give the convolutions of `new` the weights of those of `first`, where they are of one shape."""
    for a, b in zip(_convs_in(first), _convs_in(new), strict=True):
        if a is not b and a.weight.shape == b.weight.shape:
            b.weight = a.weight
            if bias:
                b.bias = a.bias


def _convs_in(module: nn.Module) -> list[_ConvNd]:
    return [part for part in module.modules() if isinstance(part, _ConvNd)]


def _copy(root: nn.Module, new: Mapping[nn.Module, nn.Module]) -> nn.Module:
    """Return a copy with some modules replaced; a new convolution has the hooks of the old one.

    Raises:
        InputError: It cannot be copied.
    """
    copy, memo = copied(root, new)
    convs = {
        old: made
        for old, made in new.items()
        if isinstance(old, _ConvNd) and not isinstance(made, PassedThrough)
    }
    carry_hooks(convs, lambda hooks: deep_copied(hooks, memo, of=root))
    return copy
