"""Whether a module is only a convolution, and what it applies; or why that cannot be told.

Here alone that is decided; `versions` and `dscost.converting` both ask.
"""

from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn.modules import module as torchs_module
from torch.nn.modules.conv import _ConvNd
from torch.nn.parameter import is_lazy
from torch.utils._pytree import tree_leaves

from dscost.foreign.failures import must_pass
from dscost.foreign.parts import each_parameter
from dscost.foreign.randomness import own_random_numbers
from dscost.layers.convolution import ConvSpec
from dscost.layers.orders import Form
from dscost.layers.variants import why_not_separable
from dscost.modules.copying import isolated
from dscost.rewriting.convolutions import CONVOLUTIONS, Kernel, is_plain, spec_of
from dscost.rewriting.probing import (
    alone_of,
    by_itself,
    in_mode,
    inputs_for,
    probed,
    why_weight_stays,
)
from dscost.rewriting.replacing import carry_hooks, in_place_of, own_hooks
from dscost.tracing.real_copies import real_copy


def why_stays(module: nn.Module) -> str | None:
    """Return why a convolution cannot be made depthwise-separable, as far as a look at it tells."""
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
    reason = why_weight_stays(held) if held is not None else None
    conv = spec_of(module)
    return reason or ("it has no weights" if conv is None else why_not_separable(conv))


def kernel_of(module: _ConvNd) -> Kernel | str:
    """Return what a convolution applies besides its hooks, or why it is more than that.

    It is left as it is. What takes its place has to have its hooks (`carry_hooks`).
    """
    conv = spec_of(module)
    if conv is None:
        return "it has no weights"
    is_told = is_plain(module) and {"weight", "bias"} <= module._parameters.keys()
    if is_told and not has_hooks(module):
        return _as_it_says(module, conv)
    with own_random_numbers():
        kernel = _as_it_says(module, conv) if is_told else probed(module, conv)
        if isinstance(kernel, str) or not has_hooks(module):
            return kernel
        if kernel.weight.is_meta:  # hooks are tried on values
            tangible = kernel_of(cast(_ConvNd, real_copy(module)))
            return tangible if isinstance(tangible, str) else kernel
        if not kernel.weight.isfinite().all():  # refused by name, later
            return kernel
        return _why_hooks_stay(module, kernel) or kernel


def _as_it_says(module: _ConvNd, conv: ConvSpec) -> Kernel:
    trains_bias = module.bias is not None and module.bias.requires_grad
    return Kernel(conv, module.weight, module.bias, None, module.weight.requires_grad, trains_bias)


# -- hooks


def has_hooks(module: _ConvNd) -> bool:
    """Whether something else than a module sees, and may change, what it is given or returns."""
    everywhere = (torchs_module._global_forward_hooks, torchs_module._global_forward_pre_hooks)
    return bool(own_hooks(module)) or any(everywhere)


def _why_hooks_stay(module: _ConvNd, kernel: Kernel) -> str | None:
    """Return why hooks would not do to another convolution what they do to this one."""
    try:
        alone = alone_of(module, hooks=True)
        inputs = list(inputs_for(kernel.conv, kernel.weight))
        if not _do_the_same(alone, alone, inputs[0]):
            return "a hook of it does something else from call to call"
        instead = _instead(module, kernel)
        same = all(_do_the_same(alone, instead, x) for x in inputs)
    except Exception as error:
        if must_pass(error):
            raise
        return "a hook of it looks into the convolution, or cannot be run by itself"
    return None if same else "a hook of it would do something else to what takes its place"


def _do_the_same(alone: nn.Module, instead: nn.Module, x: Tensor) -> bool:
    results = []
    for module in (alone, instead):
        torch.manual_seed(0)
        with by_itself(x):
            given = x.clone()
            results.append([*tree_leaves(module(given)), given])
    a, b = results
    return len(a) == len(b) and all(map(are_close, a, b))


TOLERANCES = {torch.float64: 1e-9, torch.float32: 1e-4, torch.float16: 1e-2, torch.bfloat16: 5e-2}
"""How far results may be apart, relative to the largest value, to be the same but for rounding."""


def are_close(a: Any, b: Any) -> bool:
    """Whether two results are the same but for rounding; nothing but tensors and numbers counts."""
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
    conv, weight = kernel.conv, kernel.weight.detach()
    new, separable = in_place_of(module, kernel, Form(conv.kernel_area))
    impulses = torch.eye(conv.kernel_area, dtype=weight.dtype, device=weight.device)
    filters = impulses.reshape(-1, 1, *conv.kernel_size)
    ones = [1] * len(conv.kernel_size)
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
    in_mode(new, training=False)
    return new


class _NoWeights:
    """What a hook may count on in the place of a convolution: its shape, not its weights."""

    @property
    def weight(self) -> Tensor:
        raise AttributeError

    @property
    def bias(self) -> Tensor:
        raise AttributeError
