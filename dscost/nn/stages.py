"""What the modules here share: checked arguments, and a convolution with what follows it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import nn

from dscost.errors import InputError, SpecError, UnknownNameError
from dscost.layers.convolution import ConvSpec, Shape
from dscost.layers.others import ActivationSpec
from dscost.modules.convs import torch_activation, torch_conv
from dscost.notation.units import format_extent

Norm = str | Callable[[int], nn.Module] | None
"""A normalisation: `"batch"`, a class or function that makes one for so many channels, or none."""

Activation = str | Callable[[], nn.Module] | None
"""An activation: a name of `ACTIVATIONS`, a class or function that makes one, or none."""

Device = torch.device | str | int | None

NORMS: Mapping[str, Mapping[int, Callable[..., nn.Module]]] = {
    "batch": {1: nn.BatchNorm1d, 2: nn.BatchNorm2d, 3: nn.BatchNorm3d}
}


def checked_conv(
    in_channels: int,
    out_channels: int,
    kernel_size: int | Sequence[int],
    stride: int | Sequence[int] = 1,
    padding: int | Sequence[int] | str = 0,
    dilation: int | Sequence[int] = 1,
    groups: int = 1,
    bias: bool = False,
    padding_mode: str = "zeros",
    *,
    dims: int = 2,
) -> ConvSpec:
    """Return a convolution over `dims` dimensions from arguments as `torch.nn.Conv2d` takes them.

    Raises:
        SpecError: No such convolution exists; the text names the reasons.
    """
    spread = 0 if padding == "valid" else padding
    extent_or_text: Any = spread if isinstance(spread, str) else extent("padding", spread, dims)
    return ConvSpec(
        in_channels=in_channels,
        out_channels=out_channels,
        kernel_size=extent("kernel_size", kernel_size, dims),
        stride=extent("stride", stride, dims),
        # any other string is refused by ConvSpec itself
        padding=extent_or_text,
        dilation=extent("dilation", dilation, dims),
        groups=groups,
        bias=bias,
        padding_mode=padding_mode,
    )


def extent(name: str, value: int | Sequence[int], dims: int) -> Shape:
    """Return one number per spatial dimension.

    Raises:
        SpecError: It is neither a number nor `dims` of them.
    """
    if isinstance(value, int):
        return (value,) * dims
    if not isinstance(value, Sequence) or isinstance(value, str) or len(value) != dims:
        raise SpecError(f"{name} must be a whole number or {dims} of them, found {value!r}")
    return tuple(value)


def same_size_conv(
    in_channels: int, out_channels: int, kernel_size: int | Sequence[int], **options: Any
) -> ConvSpec:
    """Return a 2-D `checked_conv` that is padded so that it keeps the size at stride 1.

    Raises:
        SpecError: No such convolution exists, or the kernel is even and has no middle.
    """
    spec = checked_conv(in_channels, out_channels, kernel_size, **options)
    if any(k % 2 == 0 for k in spec.kernel_size):
        raise SpecError(
            f"kernel_size must be odd to keep the size, found {format_extent(spec.kernel_size)}"
        )
    spread = zip(spec.dilation, spec.kernel_size, strict=True)
    return replace(spec, padding=tuple(d * (k // 2) for d, k in spread))


def norm_of(
    norm: Norm, channels: int, dims: int, factory_kwargs: Mapping[str, Any]
) -> nn.Module | None:
    """Return the normalisation of so many channels over so many spatial dimensions, or none.

    Raises:
        UnknownNameError: No normalisation has that name.
        InputError: It is nothing that makes a module.
    """
    if norm is None:
        return None
    if isinstance(norm, str):
        if norm not in NORMS:
            raise UnknownNameError("norm", norm, NORMS)
        return NORMS[norm][dims](channels, **factory_kwargs)
    return made("norm", norm, channels, factory_kwargs=factory_kwargs)


def activation_of(
    activation: Activation, dims: int, factory_kwargs: Mapping[str, Any]
) -> nn.Module | None:
    """Return the activation, in place where torch has it so, or none.

    Raises:
        UnknownNameError: No activation has that name.
        InputError: It is nothing that makes a module.
    """
    if activation is None:
        return None
    if isinstance(activation, str):
        return torch_activation(ActivationSpec(activation), channels=-dims - 1, inplace=True)
    return made("activation", activation, factory_kwargs=factory_kwargs)


def made(kind: str, make: Any, *arguments: int, factory_kwargs: Mapping[str, Any]) -> nn.Module:
    """Return the module that a class or function makes, where it is wanted.

    Raises:
        InputError: It is no class or function, such as a module, or makes something else.
    """
    if isinstance(make, nn.Module) or not callable(make):
        is_made = isinstance(make, nn.Module)
        found = f"the module {type(make).__name__}(...)" if is_made else repr(make)
        raise InputError(f"{kind} must be a class or function that makes a module, found {found}")
    module = make(*arguments)
    if not isinstance(module, nn.Module):
        raise InputError(f"{kind} must make a module, but {make!r} returned {module!r}")
    return module.to(**factory_kwargs)


def conv_stage(
    spec: ConvSpec, norm: Norm, activation: Activation, factory_kwargs: Mapping[str, Any]
) -> nn.Sequential:
    """Return a convolution with its normalisation and activation: `conv`, `norm`, `activation`."""
    dims = len(spec.kernel_size)
    stage = nn.Sequential()
    stage.add_module("conv", torch_conv(spec, **factory_kwargs))
    for name, module in (
        ("norm", norm_of(norm, spec.out_channels, dims, factory_kwargs)),
        ("activation", activation_of(activation, dims, factory_kwargs)),
    ):
        if module is not None:
            stage.add_module(name, module)
    return stage
