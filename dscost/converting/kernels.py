"""What a convolution module really applies: its kernel, its bias, and how it pads; or why it cannot be told.

Weights may be computed from others (weight norm, spectral norm, pruning, standardised weights), and a subclass may pad
its input in a way of its own. Such a module is copied and run by itself on small inputs, and what reaches torch's
operator is what it applies.
"""

from collections.abc import Sequence
from dataclasses import replace
from types import MethodType
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd
from torch.nn.parameter import is_lazy
from torch.utils._python_dispatch import TorchDispatchMode

from dscost.convolutions import (
    CONVOLUTIONS,
    OF_WEIGHTS,
    FixedPadding,
    SamePadding,
    is_plain,
    on_both_sides,
    padding_of_operator,
    tensor_of,
)
from dscost.copying import copied
from dscost.errors import InputError, SpecError
from dscost.specs import ConvSpec
from dscost.tracing.standins import real_copy
from dscost.variants import why_not_separable

PROBES = 3
"""Sizes of input that a padding is told from."""


class Kernel(NamedTuple):
    """What a convolution applies.

    Args:
        conv: With the padding that torch's convolution can do.
        weight: `(N, M/G, Kh, Kw)`: the parameter itself, or what is computed in its place.
        bias: `(N,)`, likewise.
        before: Pads the input first, where torch's convolution cannot.
        trains_weight: Whether gradients reach what the weights are made of.
        trains_bias: Likewise.
    """

    conv: ConvSpec
    weight: Tensor
    bias: Tensor | None
    before: nn.Module | None
    trains_weight: bool
    trains_bias: bool

    def padded(self, x: Tensor) -> Tensor:
        """Return an input `(B, M, H, W)` with everything around it that the kernel passes over."""
        if self.before is not None:
            x = self.before(x)
        mode = "constant" if self.conv.padding_mode == "zeros" else self.conv.padding_mode
        return nn.functional.pad(x, on_both_sides(self.conv.padding_total), mode=mode)


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
    if any(map(is_lazy, module.parameters())):
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
    """Return what a convolution applies, or why that cannot be told; the module is left as it is."""
    conv = spec_of(module)
    assert conv is not None
    if not is_plain(module) or not {"weight", "bias"} <= module._parameters.keys():
        return _probed(module, conv)
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
    """Keeps every convolution that runs."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.calls: list[_Call] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        if func is torch.ops.aten.convolution.default:
            given, weight, bias, stride, padding, dilation, transposed, _, groups = args
            if transposed:
                raise NotImplementedError("a transposed convolution")
            self.calls.append(_Call(given, weight, bias, stride, padding, dilation, groups, result))
        return result


def _probed(module: _ConvNd, conv: ConvSpec) -> Kernel | str:
    try:
        alone = _alone(module)
        runs = [_run(alone, x) for x in _inputs(conv, tensor_of(alone))]
    except (RuntimeError, TypeError, ValueError, AttributeError, NotImplementedError, InputError):
        return "its forward cannot be run by itself"
    calls = [call for _, call in runs if call is not None]
    if len(calls) < len(runs):
        return "its forward does more than the convolution, or something else"
    first = calls[0]
    if any(not torch.equal(call.weight, first.weight) for call in calls) and first.weight.isfinite().all():
        return "its weights differ from call to call"
    padded = _with_padding(module, first, [x for x, _ in runs], calls)
    if padded is None:
        return "it pads or changes its input in a way of its own"
    conv, before = padded
    reason = _why_weight_stays(first.weight) or why_not_separable(conv)
    if reason:
        return reason
    trains_weight = any(p.requires_grad for name, p in module.named_parameters() if "bias" not in name)
    trains_bias = any(p.requires_grad for name, p in module.named_parameters() if "bias" in name)
    weight, bias = first.weight, first.bias
    if tensor_of(module).is_meta:
        weight, bias = weight.to("meta"), None if bias is None else bias.to("meta")
    own = module._parameters.get("bias")
    if bias is not None and own is not None and not own.is_meta and torch.equal(bias, own):
        bias = own  # itself, which others may share
    return Kernel(conv, weight, bias, before, trains_weight, trains_bias)


def _alone(module: _ConvNd) -> Any:
    """Return a copy for inference, with values, of whose hooks only those are left that compute weights."""
    bare: _ConvNd = object.__new__(type(module))
    for name, value in module.__dict__.items():
        if name.endswith("_hooks") and isinstance(value, dict):
            value = type(value)((key, hook) for key, hook in value.items() if isinstance(hook, OF_WEIGHTS))
        elif isinstance(value, MethodType) and value.__self__ is module:
            value = MethodType(value.__func__, bare)
        bare.__dict__[name] = value
    alone: Any = copied(bare, {})[0]
    if tensor_of(alone).is_meta:
        alone = real_copy(alone)
    alone.eval()
    return alone


def _inputs(conv: ConvSpec, like: Tensor) -> list[Tensor]:
    """Return inputs of several sizes, nowhere zero, so that what is put around them shows."""
    totals = zip(conv.kernel_size, conv.dilation, conv.padding_total, conv.stride, strict=True)
    least = [d * (k - 1) + 2 + max(p, s) for k, d, p, s in totals]
    made = torch.Generator().manual_seed(0)
    inputs = []
    for more in range(PROBES):
        sizes = [size + more * (1 + at) for at, size in enumerate(least)]
        x = 0.5 + torch.rand(1, conv.in_channels, *sizes, generator=made, dtype=torch.float64, device="cpu")
        inputs.append(x.to(like.device, like.dtype))
    return inputs


def _run(alone: nn.Module, x: Tensor) -> tuple[Tensor, _Call | None]:
    """Return an input, and the convolution that a module makes of it if that is all that it does."""
    with torch.no_grad(), torch.autocast(x.device.type, enabled=False), _Watching() as watching:
        result = alone(x.clone())
    calls = watching.calls
    # a kernel with a NaN makes results that equal nothing; it is refused later, by name
    if len(calls) != 1 or not isinstance(result, Tensor):
        return x, None
    whole = torch.equal(result.nan_to_num(), calls[0].result.nan_to_num())
    return x, calls[0] if whole else None


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
        if _same([Kernel(own, call.weight, None, None, False, False).padded(x) for x in inputs], given):
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
