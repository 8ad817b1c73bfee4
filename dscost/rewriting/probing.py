"""A convolution's module run by itself, to see what it applies and what else it does.

Weights may be computed from others (weight norm, spectral norm, pruning, standardised weights), and
a subclass may pad its input in a way of its own. Such a module is copied and run by itself on small
inputs, and what reaches torch's operator is what it applies. Whatever else it does to its input or
its result is seen twice: as an operator that reads them, and as values that are no longer those of
the input, which is of both signs, very small and very large.
"""

import copy
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from math import log10
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd
from torch.utils._python_dispatch import TorchDispatchMode

from dscost.errors import some_of
from dscost.foreign.dispatch import Args, tensors_in
from dscost.foreign.failures import must_pass
from dscost.foreign.parts import each_part
from dscost.layers.convolution import ConvSpec
from dscost.modules.copying import isolated, memo_for
from dscost.rewriting.convolutions import (
    OF_WEIGHTS,
    FixedPadding,
    Kernel,
    SamePadding,
    padding_of_operator,
    tensor_of,
)
from dscost.tracing.real_copies import real_copy
from dscost.tracing.sparse import address_of

SIZES = 3
"""Sizes of input that a padding is told from."""

SHOWN = 3
"""Operators that a reason names."""

BANDS = ((-6.0, 6.0), (-0.3, 0.3), (-6.0, -2.0), (2.0, 6.0))
"""Magnitudes of the values that a module is tried on, as powers of ten: all, ordinary, small and
large ones."""

CHANGED = "it pads or changes its input in a way of its own"
MORE = "its forward does more than the convolution"


def probed(module: _ConvNd, conv: ConvSpec) -> Kernel | str:
    """Return what a module applies when it runs, or why it is more than its attributes tell."""
    try:
        alone = alone_of(module)
        inputs = list(inputs_for(conv, tensor_of(alone)))
        ran = [_ran(alone, x) for x in inputs]
        in_training = _ran(in_mode(alone, training=True), inputs[0])
    except Exception as error:
        if must_pass(error):
            raise
        return "its forward cannot be run by itself"
    calls = []
    for call in ran:
        if isinstance(call, str):
            return call
        calls.append(call)
    if isinstance(in_training, str):
        return f"in training {in_training}"
    first = calls[0]
    differ = any(not torch.equal(call.weight, first.weight) for call in calls)
    # weights that are not a number are never equal, even to themselves
    if differ and first.weight.isfinite().all():
        return "its weights differ from call to call"
    padded = _with_padding(module, first, inputs, calls)
    if padded is None:
        return CHANGED
    if not _alike(in_training, first):
        return f"in training {CHANGED}"
    reason = why_weight_stays(first.weight)
    if reason:
        return reason
    if _casts(alone, inputs[0]):
        return f"{CHANGED}: a change of dtype"
    return _kernel(module, first, *padded)


def _kernel(module: _ConvNd, call: "_Call", conv: ConvSpec, before: nn.Module | None) -> Kernel:
    named = list(nn.Module.named_parameters(module))
    trains_weight = any(one.requires_grad for name, one in named if "bias" not in name)
    trains_bias = any(one.requires_grad for name, one in named if "bias" in name)
    weight, bias = call.weight, call.bias
    if tensor_of(module).is_meta:
        weight, bias = weight.to("meta"), None if bias is None else bias.to("meta")
    own = module._parameters.get("bias")
    if bias is not None and own is not None and not own.is_meta and torch.equal(bias, own):
        bias = own  # itself, which others may share
    return Kernel(conv, weight, bias, before, trains_weight, trains_bias)


def why_weight_stays(weight: Tensor) -> str | None:
    """Return why weights of their kind cannot be decomposed, or `None` if they can be."""
    if weight.is_complex():
        return "its weights are complex"
    if weight.layout != torch.strided:
        return "its weights are sparse"
    if not weight.is_floating_point() or weight.is_quantized:
        return "its weights are quantised"
    if type(weight) is not Tensor and not issubclass(type(weight), nn.Parameter):
        return f"its weights are of a kind of their own, {type(weight).__name__}"
    return None if weight.numel() else "it has no weights"


# -- what is tried


def alone_of(module: _ConvNd, *, hooks: bool = False) -> Any:
    """Return a copy for inference, with values; of its hooks those of weights, or all.

    Methods that were put on the module, and functions around them, are those of the copy.
    """
    alone: Any = object.__new__(type(module))
    known = memo_for(module, {module: alone})
    held = {
        name: copy.deepcopy(module.__dict__[name], known)
        for name in ("_parameters", "_buffers", "_modules")
    }
    for name, value in module.__dict__.items():
        if name in held:
            value = held[name]
        elif name.endswith("_hooks") and isinstance(value, dict):
            kept = {
                key: hook for key, hook in value.items() if hooks or isinstance(hook, OF_WEIGHTS)
            }
            value = type(value)((key, isolated(hook, known)) for key, hook in kept.items())
        else:
            value = isolated(value, known) if callable(value) else copy.deepcopy(value, known)
        alone.__dict__[name] = value
    if tensor_of(alone).is_meta:
        alone = real_copy(alone)
    return in_mode(alone, training=False)


def in_mode(module: Any, *, training: bool) -> Any:
    """Return a module in a mode; its own `train` may mean something else."""
    for part in each_part(module):
        part.training = training
    return module


def inputs_for(conv: ConvSpec, like: Tensor) -> Iterator[Tensor]:
    """Yield inputs of several batches, sizes and magnitudes, nowhere zero, so that all shows."""
    totals = zip(conv.kernel_size, conv.dilation, conv.padding_total, conv.stride, strict=True)
    least = [d * (k - 1) + 2 + max(p, s) for k, d, p, s in totals]
    made = torch.Generator().manual_seed(0)
    for band in BANDS:
        yield _values((2, conv.in_channels, *least), band, like, made)
    yield 0.5 + _values((2, conv.in_channels, *least), BANDS[1], like, made).abs()
    for more in range(1, SIZES):
        sizes = [size + more * (1 + at) for at, size in enumerate(least)]
        yield _values((1 + 2 * (more % 2), conv.in_channels, *sizes), BANDS[0], like, made)


def _values(
    shape: Sequence[int], band: tuple[float, float], like: Tensor, made: torch.Generator
) -> Tensor:
    """Return numbers of both signs, of all magnitudes in a band, as far as the dtype goes."""
    low, high = band
    if like.dtype.is_floating_point:
        high = min(high, log10(torch.finfo(like.dtype).max) - 1)
    exponents = low + (high - low) * torch.rand(
        *shape, generator=made, dtype=torch.float64, device="cpu"
    )
    signs = 1 - 2 * torch.randint(0, 2, tuple(shape), generator=made, device="cpu")
    return (signs * 10**exponents).to(like.device, like.dtype)


@contextmanager
def by_itself(x: Tensor) -> Iterator[None]:
    """Run something on an input as it is: no gradients, no autocasting."""
    with torch.no_grad(), torch.autocast(x.device.type, enabled=False):
        yield


# -- what happens


class _Call(NamedTuple):
    """One run of torch's operator: its arguments and its result."""

    given: Tensor
    weight: Tensor
    bias: Tensor | None
    stride: Sequence[int]
    padding: Sequence[int]
    dilation: Sequence[int]
    groups: int
    result: Tensor


class _Watching(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Keeps every convolution that runs, and what else is done to what comes of an input.

    Args:
        x: The input.
    """

    def __init__(self, x: Tensor) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.calls: list[_Call] = []
        self.before: list[str] = []
        """Operators that read the input, or what comes of it, and change values, before the first
        convolution."""
        self.after: list[str] = []
        """Operators that do so after it."""
        self._of_input = {address_of(x)}
        # an address is that of one tensor only as long as the tensor is there
        self._alive: list[Any] = [x]

    def __torch_dispatch__(self, func: Any, types: Any, args: Args = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        results = tensors_in(result)
        self._alive.append(results)
        if func is torch.ops.aten.convolution.default:
            given, weight, bias, stride, padding, dilation, transposed, _, groups = args
            if transposed:
                raise NotImplementedError("a transposed convolution")
            self.calls.append(_Call(given, weight, bias, stride, padding, dilation, groups, result))
            if self._reads_input((weight, bias)):
                self._others.append("weights of the input")
            self._of_input.update(map(address_of, results))
        elif func._schema.name not in _ONLY_SHAPES and self._reads_input((args, kwargs)):
            if not _only_moves(func, args, results):
                self._others.append(_as_written(func._schema.name))
            self._of_input.update(map(address_of, results))
        return result

    @property
    def _others(self) -> list[str]:
        return self.after if self.calls else self.before

    def _reads_input(self, values: Any) -> bool:
        return not self._of_input.isdisjoint(map(address_of, tensors_in(values)))


def _only_moves(func: Any, args: Sequence[Any], results: Sequence[Tensor]) -> bool:
    """Whether an operator puts values elsewhere, constants beside them perhaps, but keeps them."""
    if func._schema.name == "aten::_to_copy":
        return bool(results[0].dtype == args[0].dtype)
    return bool(func.is_view) or func._schema.name in _MOVES


_PADS = [f"{kind}_pad{dims}d" for kind in ("reflection", "replication") for dims in (1, 2, 3)]
_MOVES = {
    f"aten::{name}"
    for name in (
        *(*_PADS, "pad", "constant_pad_nd", "cat", "stack", "copy_", "clone", "contiguous"),
        *("flip", "roll", "repeat", "index", "index_select", "_unsafe_view", "_reshape_copy"),
        *("fill_", "zero_", "lift_fresh", "squeeze_", "unsqueeze_", "transpose_", "t_"),
    )
}
"""Operators whose results hold values of their arguments; which of them, values tell."""

_ONLY_SHAPES = {
    *(f"aten::{name}_like" for name in ("zeros", "ones", "empty", "full")),
    *(f"aten::{name}_like" for name in ("rand", "randn", "randint")),
    *(f"aten::new_{name}" for name in ("zeros", "ones", "empty", "full", "empty_strided")),
}
"""Operators that read no values."""


def _as_written(operator: str) -> str:
    """Return an operator's name as a user writes it."""
    inner = re.sub(r"^aten::_?(native_)?(\w+?)(_legit\w*|_no_training)?$", r"aten::\2", operator)
    return "a change of dtype" if operator == "aten::_to_copy" else inner


def _ran(alone: nn.Module, x: Tensor) -> _Call | str:
    """Return the one convolution that a module does to an input, or what else it does."""
    given = x.clone()
    with by_itself(x), _Watching(given) as watching:
        result = alone(given)
    calls = watching.calls
    if watching.before:
        return f"{CHANGED}: {some_of(list(dict.fromkeys(watching.before)), SHOWN)}"
    more = [*watching.after, *["a second convolution"][: len(calls) - 1]]
    if not (more or calls):
        more = ["no convolution"]
    # a kernel with a NaN makes results that equal nothing; it is refused later, by name
    elif not (more or (isinstance(result, Tensor) and _equal(result, calls[0].result))):
        more = ["it returns something else"]
    if more:
        return f"{MORE}: {some_of(list(dict.fromkeys(more)), SHOWN)}"
    return calls[0] if _equal(x, given) else CHANGED


def _equal(a: Tensor, b: Tensor) -> bool:
    return a.dtype == b.dtype and torch.equal(a.nan_to_num(), b.nan_to_num())


def _alike(call: _Call, other: _Call) -> bool:
    """Whether two calls do the same to one input, but for the values of the weights."""
    same = all(
        getattr(call, name) == getattr(other, name)
        for name in ("stride", "padding", "dilation", "groups")
    )
    return same and call.weight.shape == other.weight.shape and _equal(call.given, other.given)


def _casts(alone: nn.Module, x: Tensor) -> bool:
    """Whether a module takes an input of another dtype, which a convolution refuses."""
    try:
        with by_itself(x):
            alone(x.to(torch.float32 if x.dtype == torch.float64 else torch.float64))
    except Exception as error:
        if must_pass(error):
            raise
        return False
    return True


def _with_padding(
    module: _ConvNd, call: _Call, inputs: Sequence[Tensor], calls: Sequence[_Call]
) -> tuple[ConvSpec, nn.Module | None] | None:
    """Return the convolution with its padding, and what pads before it if need be; or `None`."""
    conv = ConvSpec(
        in_channels=call.weight.shape[1] * call.groups,
        out_channels=call.weight.shape[0],
        kernel_size=tuple(call.weight.shape[2:]),
        stride=tuple(call.stride),
        padding=tuple(call.padding),
        dilation=tuple(call.dilation),
        groups=call.groups,
        bias=call.bias is not None,
    )
    given = [one.given for one in calls]
    if module.padding_mode != "zeros" and not any(call.padding):
        own = replace(conv, padding=padding_of_operator(module), padding_mode=module.padding_mode)
        if _same(
            [Kernel(own, call.weight, None, None, False, False).padded(x) for x in inputs], given
        ):
            return own, None
    sides = _sides(inputs[0], given[0])
    if sides is not None and _same([FixedPadding(sides)(x) for x in inputs], given):
        if sides[::2] != sides[1::2]:
            return conv, FixedPadding(sides)
        both = zip(call.padding, reversed(sides[::2]), strict=True)
        return replace(conv, padding=tuple(p + q for p, q in both)), None
    same = SamePadding(replace(conv, padding=(0,) * len(conv.kernel_size)))
    return (conv, same) if _same([same(x) for x in inputs], given) else None


def _same(found: Sequence[Tensor], expected: Sequence[Tensor]) -> bool:
    return all(torch.equal(a, b) for a, b in zip(found, expected, strict=True))


def _sides(x: Tensor, padded: Tensor) -> list[int] | None:
    """Return how many zeros are put around an input, as `pad` takes them; `None` if none fits."""
    sides: list[int] = []
    if padded.dim() != x.dim():
        return None
    for dim in reversed(range(2, x.dim())):
        others = tuple(d for d in range(x.dim()) if d != dim)
        filled = (padded != 0).sum(others).nonzero()
        if not len(filled):
            return None
        start = int(filled[0])
        sides += [start, padded.shape[dim] - x.shape[dim] - start]
    return sides if min(sides) >= 0 else None
