"""What a convolution module really applies: its kernel, its bias, and how it pads; or why it cannot be told.

Weights may be computed from others (weight norm, spectral norm, pruning, standardised weights), and
a subclass may pad its input in a way of its own. Such a module is copied and run by itself on small
inputs, and what reaches torch's operator is what it applies. Whatever else it does to its input or
its result is seen twice: as an operator that reads them, and as values that are no longer those of
the input, which is of both signs, very small and very large.

Here alone is decided whether a module may be replaced by another convolution; `rewriting` and
`converting` both ask.
"""

import copy
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from math import log10
from typing import Any, NamedTuple, cast

import torch
from torch import Tensor, nn
from torch.nn.modules import module as torchs_module
from torch.nn.modules.conv import _ConvNd
from torch.nn.parameter import is_lazy
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from dscost.errors import SpecError, some_of
from dscost.foreign.parts import each_parameter, each_part
from dscost.foreign.randomness import own_random_numbers
from dscost.layers.convolution import ConvSpec
from dscost.layers.variants import why_not_separable
from dscost.modules.copying import isolated, memo_for
from dscost.rewriting.convolutions import (
    CONVOLUTIONS,
    OF_WEIGHTS,
    FixedPadding,
    Kernel,
    SamePadding,
    carry_hooks,
    in_place_of,
    is_plain,
    own_hooks,
    padding_of_operator,
    tensor_of,
)
from dscost.tracing.standins import real_copy

SIZES = 3
"""Sizes of input that a padding is told from."""

SHOWN = 3
"""Operators that a reason names."""

BANDS = ((-6.0, 6.0), (-0.3, 0.3), (-6.0, -2.0), (2.0, 6.0))
"""Magnitudes of the values that a module is tried on, as powers of ten: all, ordinary, small and
large ones."""


def spec_of(module: nn.Module) -> ConvSpec | None:
    """Return the convolution that the attributes of a module tell, `None` where they tell none."""
    if not isinstance(module, CONVOLUTIONS):
        return None
    try:
        return ConvSpec(
            in_channels=module.in_channels,
            out_channels=module.out_channels,
            kernel_size=tuple(module.kernel_size),
            stride=tuple(module.stride),
            padding=padding_of_operator(module),
            dilation=tuple(module.dilation),
            groups=module.groups,
            bias=module.__dict__.get("bias", module._parameters.get("bias", True)) is not None,
            padding_mode=module.padding_mode,
        )
    except SpecError:
        return None


def why_stays(module: nn.Module) -> str | None:
    """Return why a convolution cannot be made depthwise-separable as far as a look at it tells, or `None`."""
    if isinstance(module, torch.jit.ScriptModule):
        return "it is scripted code"
    if getattr(module, "transposed", False):
        return "it is a transposed convolution"
    if not isinstance(module, CONVOLUTIONS):
        return "it is quantised"
    if any(map(is_lazy, each_parameter(module))):
        return "it is lazy: its weights have no shape before the model runs once"
    # a computed weight is not asked for: computing it may change the module, as spectral norm does
    held = module._parameters.get("weight")
    reason = _why_weight_stays(held) if held is not None else None
    conv = spec_of(module)
    return reason or ("it has no weights" if conv is None else why_not_separable(conv))


def _why_weight_stays(weight: Tensor) -> str | None:
    if weight.is_complex():
        return "its weights are complex"
    if weight.layout != torch.strided:
        return "its weights are sparse"
    if not weight.is_floating_point() or weight.is_quantized:
        return "its weights are quantised"
    if type(weight) is not Tensor and not issubclass(type(weight), nn.Parameter):
        return f"its weights are of a kind of their own, {type(weight).__name__}"
    return None if weight.numel() else "it has no weights"


def kernel_of(module: _ConvNd) -> Kernel | str:
    """Return what a convolution applies besides its hooks, or why it is more than that; it is left as it is.

    What takes its place has to have its hooks (`copying.carry_hooks`).
    """
    conv = spec_of(module)
    if conv is None:
        return "it has no weights"
    is_told = is_plain(module) and {"weight", "bias"} <= module._parameters.keys()
    if is_told and not has_hooks(module):
        return _as_it_says(module, conv)
    with own_random_numbers():
        kernel = _as_it_says(module, conv) if is_told else _probed(module, conv)
        if isinstance(kernel, str) or not has_hooks(module):
            return kernel
        if kernel.weight.is_meta:  # hooks are tried on values
            tangible = kernel_of(cast(_ConvNd, real_copy(module)))
            return tangible if isinstance(tangible, str) else kernel
        # weights that are not finite are refused by name, later
        return (
            _why_hooks_stay(module, kernel) if kernel.weight.isfinite().all() else None
        ) or kernel


def _as_it_says(module: _ConvNd, conv: ConvSpec) -> Kernel:
    trains_bias = module.bias is not None and module.bias.requires_grad
    return Kernel(conv, module.weight, module.bias, None, module.weight.requires_grad, trains_bias)


# -- modules that compute their weights, or pad by themselves


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
        """Likewise, after it."""
        self._of_input = {_storage(x)}
        self._alive: list[Any] = [
            x
        ]  # an address is that of one tensor only as long as the tensor is there

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        results = [value for value in tree_leaves(result) if isinstance(value, Tensor)]
        self._alive.append(results)
        if func is torch.ops.aten.convolution.default:
            given, weight, bias, stride, padding, dilation, transposed, _, groups = args
            if transposed:
                raise NotImplementedError("a transposed convolution")
            self.calls.append(_Call(given, weight, bias, stride, padding, dilation, groups, result))
            if self._reads_input((weight, bias)):
                self._others.append("weights of the input")
            self._of_input.update(map(_storage, results))
        elif func._schema.name not in _ONLY_SHAPES and self._reads_input((args, kwargs)):
            if not _only_moves(func, args, results):
                self._others.append(_told(func._schema.name))
            self._of_input.update(map(_storage, results))
        return result

    @property
    def _others(self) -> list[str]:
        return self.after if self.calls else self.before

    def _reads_input(self, values: Any) -> bool:
        return any(
            isinstance(value, Tensor) and _storage(value) in self._of_input
            for value in tree_leaves(values)
        )


def _storage(tensor: Tensor) -> int:
    address: int = tensor.untyped_storage()._cdata
    return address


def _only_moves(func: Any, args: Sequence[Any], results: Sequence[Tensor]) -> bool:
    """Whether an operator puts values elsewhere, constants beside them perhaps, but makes no other values of them."""
    if func._schema.name == "aten::_to_copy":
        return bool(results[0].dtype == args[0].dtype)
    return bool(func.is_view) or func._schema.name in _MOVES


_MOVES = {
    *(f"aten::{kind}_pad{dims}d" for kind in ("reflection", "replication") for dims in (1, 2, 3)),
    *(
        f"aten::{name}"
        for name in (
            "pad",
            "constant_pad_nd",
            "cat",
            "stack",
            "copy_",
            "clone",
            "contiguous",
            "flip",
        )
    ),
    *(
        f"aten::{name}"
        for name in ("roll", "repeat", "index", "index_select", "_unsafe_view", "_reshape_copy")
    ),
    *(
        f"aten::{name}"
        for name in ("fill_", "zero_", "lift_fresh", "squeeze_", "unsqueeze_", "transpose_", "t_")
    ),
}
"""Operators whose results hold values of their arguments, whatever these are; which ones, values
tell."""

_ONLY_SHAPES = {
    f"aten::{name}"
    for name in (
        *(
            "zeros_like",
            "ones_like",
            "empty_like",
            "full_like",
            "rand_like",
            "randn_like",
            "randint_like",
        ),
        *("new_zeros", "new_ones", "new_empty", "new_full", "new_empty_strided"),
    )
}
"""Operators that read no values."""


def _told(operator: str) -> str:
    """Return an operator's name as a user writes it."""
    inner = re.sub(r"^aten::_?(native_)?(\w+?)(_legit\w*|_no_training)?$", r"aten::\2", operator)
    return "a change of dtype" if operator == "aten::_to_copy" else inner


class _Try(NamedTuple):
    """One run of a module: its input, the operator of the convolution, and what is wrong with taking it for all."""

    given: Tensor
    call: _Call | None
    fault: str | None


CHANGED = "it pads or changes its input in a way of its own"
MORE = "its forward does more than the convolution"


def _probed(module: _ConvNd, conv: ConvSpec) -> Kernel | str:
    try:
        alone = _alone(module)
        inputs = list(_inputs(conv, tensor_of(alone)))
        tries = [_run(alone, x) for x in inputs]
        in_training = _run(_in_mode(alone, training=True), inputs[0])
    except Exception:  # noqa: BLE001 - a module's own code may raise anything
        return "its forward cannot be run by itself"
    for one in (*tries, in_training):
        if one.fault:
            return f"in training {one.fault}" if one is in_training else one.fault
    calls = [one.call for one in tries if one.call is not None]
    first = calls[0]
    if (
        any(not torch.equal(call.weight, first.weight) for call in calls)
        and first.weight.isfinite().all()
    ):
        return "its weights differ from call to call"
    padded = _with_padding(module, first, inputs, calls)
    if padded is None:
        return CHANGED
    if in_training.call is None or not _alike(in_training.call, first):
        return f"in training {CHANGED}"
    conv, before = padded
    reason = _why_weight_stays(first.weight)
    if reason:
        return reason
    if _casts(alone, inputs[0]):
        return f"{CHANGED}: a change of dtype"
    trains_weight = any(
        p.requires_grad for name, p in nn.Module.named_parameters(module) if "bias" not in name
    )
    trains_bias = any(
        p.requires_grad for name, p in nn.Module.named_parameters(module) if "bias" in name
    )
    weight, bias = first.weight, first.bias
    if tensor_of(module).is_meta:
        weight, bias = weight.to("meta"), None if bias is None else bias.to("meta")
    own = module._parameters.get("bias")
    if bias is not None and own is not None and not own.is_meta and torch.equal(bias, own):
        bias = own  # itself, which others may share
    return Kernel(conv, weight, bias, before, trains_weight, trains_bias)


def _alone(module: _ConvNd, *, hooks: bool = False) -> Any:
    """Return a copy for inference, with values; of hooks without those that do not compute weights, or with all.

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
    return _in_mode(alone, training=False)


def _in_mode(module: Any, *, training: bool) -> Any:
    """Return a module in a mode; its own `train` may mean something else."""
    for part in each_part(module):
        part.training = training
    return module


def _inputs(conv: ConvSpec, like: Tensor) -> Iterator[Tensor]:
    """Yield inputs of several batches, sizes and magnitudes, nowhere zero, so that what is done to them shows."""
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
    """Return numbers of both signs, of every magnitude in a band alike, as far as the dtype goes."""
    low, high = band
    if like.dtype.is_floating_point:
        high = min(high, log10(torch.finfo(like.dtype).max) - 1)
    exponents = low + (high - low) * torch.rand(
        *shape, generator=made, dtype=torch.float64, device="cpu"
    )
    signs = 1 - 2 * torch.randint(0, 2, tuple(shape), generator=made, device="cpu")
    return (signs * 10**exponents).to(like.device, like.dtype)


@contextmanager
def _by_itself(x: Tensor) -> Iterator[None]:
    with torch.no_grad(), torch.autocast(x.device.type, enabled=False):
        yield


def _run(alone: nn.Module, x: Tensor) -> _Try:
    """Return what a module does to an input."""
    given = x.clone()
    with _by_itself(x), _Watching(given) as watching:
        result = alone(given)
    calls = watching.calls
    if watching.before:
        return _Try(x, None, f"{CHANGED}: {some_of(list(dict.fromkeys(watching.before)), SHOWN)}")
    more = [*watching.after, *["a second convolution"][: len(calls) - 1]]
    # a kernel with a NaN makes results that equal nothing; it is refused later, by name
    if (
        len(calls) != 1
        or more
        or not isinstance(result, Tensor)
        or not _equal(result, calls[0].result)
    ):
        told = more or (["no convolution"] if not calls else ["it returns something else"])
        return _Try(x, None, f"{MORE}: {some_of(list(dict.fromkeys(told)), SHOWN)}")
    return _Try(x, calls[0], None if _equal(x, given) else CHANGED)


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
    """Whether a module takes an input of another dtype than its weights', which a convolution refuses."""
    try:
        with _by_itself(x):
            alone(x.to(torch.float32 if x.dtype == torch.float64 else torch.float64))
    except Exception:  # noqa: BLE001 - a module's own code may raise anything
        return False
    return True


def _with_padding(
    module: _ConvNd, call: _Call, inputs: Sequence[Tensor], calls: Sequence[_Call]
) -> tuple[ConvSpec, nn.Module | None] | None:
    """Return the convolution with its padding, and the module that pads before it if it has to; or `None`."""
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
    """Return how many zeros are put around an input, as `pad` takes them; `None` if it is nowhere inside."""
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


# -- hooks


def has_hooks(module: _ConvNd) -> bool:
    """Whether something else than the module itself sees, and may change, what it is given or returns."""
    everywhere = (torchs_module._global_forward_hooks, torchs_module._global_forward_pre_hooks)
    return bool(own_hooks(module)) or any(everywhere)


def _why_hooks_stay(module: _ConvNd, kernel: Kernel) -> str | None:
    """Return why hooks would not do to another convolution what they do to this one, or `None` if they would."""
    try:
        alone = _alone(module, hooks=True)
        inputs = list(_inputs(kernel.conv, kernel.weight))
        if not _do_the_same(alone, alone, inputs[0]):
            return "a hook of it does something else from call to call"
        instead = _instead(module, kernel)
        same = all(_do_the_same(alone, instead, x) for x in inputs)
    except Exception:  # noqa: BLE001 - a hook may raise anything
        return "a hook of it looks into the convolution, or cannot be run by itself"
    return None if same else "a hook of it would do something else to what takes its place"


def _do_the_same(alone: nn.Module, instead: nn.Module, x: Tensor) -> bool:
    results = []
    for module in (alone, instead):
        torch.manual_seed(0)
        with _by_itself(x):
            given = x.clone()
            results.append([*tree_leaves(module(given)), given])
    a, b = results
    return len(a) == len(b) and all(map(are_close, a, b))


TOLERANCES = {torch.float64: 1e-9, torch.float32: 1e-4, torch.float16: 1e-2, torch.bfloat16: 5e-2}
"""How far results may be apart, relative to the largest value, to be the same but for rounding."""


def are_close(a: Any, b: Any) -> bool:
    """Whether two results are the same but for rounding; what is neither a tensor nor a number is not looked at."""
    if not isinstance(a, Tensor) or not isinstance(b, Tensor):
        return isinstance(a, Tensor) == isinstance(b, Tensor) and (
            not isinstance(a, int | float) or a == b or a != a
        )
    if (a.shape, a.dtype, a.device, a.layout) != (b.shape, b.dtype, b.device, b.layout):
        return False
    if a.is_meta or not a.numel() or a.layout != torch.strided:
        return True
    if not a.dtype.is_floating_point:
        return bool(torch.equal(a, b))
    tolerance = TOLERANCES.get(a.dtype, 0.25)  # of the dtypes of one byte
    a, b = a.detach().to(torch.float64), b.detach().to(torch.float64)
    finite = a[a.isfinite()]
    scale = float(finite.abs().max()) if finite.numel() else 0.0
    return torch.allclose(b, a, rtol=0, atol=tolerance * scale, equal_nan=True)


def _instead(module: _ConvNd, kernel: Kernel) -> nn.Module:
    """Return a depthwise-separable convolution that applies a kernel, with the hooks of a module.

    Its filters are unit impulses, one for each tap, which its mixing weights put together: exact,
    whatever the kernel.
    """
    conv, weight, dims = kernel.conv, kernel.weight.detach(), len(kernel.conv.kernel_size)
    new, separable = in_place_of(module, kernel, conv.kernel_area)
    impulses = torch.eye(conv.kernel_area, dtype=weight.dtype, device=weight.device)
    filters = impulses.reshape(-1, 1, *conv.kernel_size)
    ones = [1] * dims
    with torch.no_grad():
        separable.depthwise.weight.copy_(filters.repeat(conv.in_channels, 1, *ones))
        separable.pointwise.weight.copy_(weight.reshape(conv.out_channels, -1, *ones))
        if kernel.bias is not None:
            separable.pointwise.bias.copy_(kernel.bias)
    new.__class__ = type("Separable", (_NoWeights, type(new)), {})
    known = {id(module): new}
    carry_hooks(
        {module: new}, lambda hooks: {key: isolated(hook, known) for key, hook in hooks.items()}
    )
    _in_mode(new, training=False)
    return new


class _NoWeights:
    """What takes the place of a convolution, as far as a hook may count on it: its shape, not its weights."""

    @property
    def weight(self) -> Tensor:
        raise AttributeError

    @property
    def bias(self) -> Tensor:
        raise AttributeError
