"""What takes the place of a convolution in a copy of its model, and what it inherits."""

from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Any

from torch import Tensor, nn
from torch.nn.modules.lazy import LazyModuleMixin

from dscost.layers.convolution import Shape
from dscost.layers.orders import DEPTHWISE_FIRST, Form
from dscost.modules.copying import copied, deep_copied
from dscost.nn.separable import BLUEPRINT_CONVS, SEPARABLE_CONVS
from dscost.rewriting.convolutions import OF_WEIGHTS, Kernel


def in_place_of(
    old: nn.Module, kernel: Kernel, form: Form, *, device: Any = None
) -> tuple[nn.Module, Any]:
    """Return a depthwise-separable convolution for the place of another, padded first if need be.

    It has the mode and shape of `old`, and lies where the kernel does that `old` applies, whose
    weights it does not have yet, or on another device. Beside what takes its place comes the
    depthwise-separable convolution in it.
    """
    conv, weight = kernel.conv, kernel.weight
    place: Any = {"device": device or weight.device, "dtype": weight.dtype}
    convs = SEPARABLE_CONVS if form.order == DEPTHWISE_FIRST else BLUEPRINT_CONVS
    make: Any = convs[len(conv.kernel_size)]
    separable = make(**conv.given, depth_multiplier=form.rank, **place)
    new: nn.Module = separable
    if kernel.before is not None:
        new = PaddedFirst(OrderedDict(pad=kernel.before, convolution=separable))
        describe(new, separable, getattr(old, "padding", conv.padding))
    return new.train(old.training), separable


class PaddedFirst(nn.Sequential):
    """A padding that torch's convolution cannot do, then what takes the place of a convolution."""

    @property
    def weight(self) -> Tensor:
        """Of the convolution."""
        weight: Tensor = self._modules["convolution"].weight  # type: ignore[assignment]
        return weight

    @property
    def bias(self) -> Tensor | None:
        """Of the convolution."""
        bias: Tensor | None = self._modules["convolution"].bias  # type: ignore[assignment]
        return bias


def with_others(
    root: nn.Module, new: Mapping[Any, nn.Module], kept: Mapping[Any, Any]
) -> tuple[nn.Module, dict[int, Any]]:
    """Return a copy of a model with other convolutions in place of some, and the copy's memo.

    The new ones get the hooks of the forward of the old; what is `kept` stands for other things of
    the model in the copy. An `InputError` says that it cannot be copied.
    """
    copy, memo = copied(root, {**kept, **new})
    carry_hooks(new, lambda hooks: deep_copied(hooks, memo, of=root))
    return copy, memo


def describe(module: nn.Module, conv: Any, padding: Shape | str) -> None:
    """Give a module in place of a convolution the attributes that tell its shape."""
    for name in ("in_channels", "out_channels", "kernel_size", "stride", "dilation", "groups"):
        setattr(module, name, getattr(conv, name))
    module.padding = padding  # type: ignore[assignment]


# -- hooks


def own_hooks(module: nn.Module) -> list[Any]:
    """Return what sees the input or the result of a module, but for hooks that compute weights."""
    return [
        hook
        for name in ("_forward_pre_hooks", "_forward_hooks")
        for hook in _kept_hooks(module, name).values()
    ]


def carry_hooks(new: Mapping[Any, nn.Module], copied_by: Callable[[Any], Any]) -> None:
    """Give what replaces modules the hooks of their forward, copied, but not those of weights."""
    for old, replacement in new.items():
        for name in _FORWARD_HOOKS:
            getattr(replacement, name).update(copied_by(_kept_hooks(old, name)))


def _kept_hooks(old: nn.Module, name: str) -> dict[Any, Any]:
    """Return hooks of a forward, without those that make weights, or shapes of a lazy module."""
    return {
        key: hook
        for key, hook in getattr(old, name).items()
        if not isinstance(hook, OF_WEIGHTS)
        and getattr(hook, "__func__", None) is not LazyModuleMixin._infer_parameters
    }


_FORWARD_HOOKS = tuple(name for name in vars(nn.Module()) if name.startswith("_forward_"))
