"""What the code is made of that `dscost convert --save-code` writes: copied there, source and all.

So each of these stands by itself: it knows of nothing but torch and what is imported here.
"""

from collections import OrderedDict
from typing import Any

from torch import Tensor, nn


class SeparableConv(nn.Sequential):
    """A depthwise convolution, then a pointwise one, in place of a convolution of torch."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Any,
        stride: Any = 1,
        padding: Any = 0,
        dilation: Any = 1,
        groups: int = 1,
        bias: bool = True,
        padding_mode: str = "zeros",
        depth_multiplier: int = 1,
        conv: Any = nn.Conv2d,
    ) -> None:
        super().__init__()
        middle, window = in_channels * depth_multiplier, (kernel_size, stride, padding, dilation)
        self.depthwise = conv(in_channels, middle, *window, in_channels, False, padding_mode)
        self.pointwise = conv(middle, out_channels, 1, groups=groups, bias=bias)
        # what a model may ask a convolution for
        self.in_channels, self.out_channels, self.groups = in_channels, out_channels, groups
        for name in ("kernel_size", "stride", "padding", "dilation", "padding_mode"):
            setattr(self, name, getattr(self.depthwise, name))


class BlueprintConv(nn.Sequential):
    """A pointwise convolution, then blueprints for each output, in place of one of torch."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Any,
        stride: Any = 1,
        padding: Any = 0,
        dilation: Any = 1,
        groups: int = 1,
        bias: bool = True,
        padding_mode: str = "zeros",
        depth_multiplier: int = 1,
        conv: Any = nn.Conv2d,
    ) -> None:
        super().__init__()
        middle, window = out_channels * depth_multiplier, (kernel_size, stride, padding, dilation)
        mixing = conv(in_channels, middle, 1, groups=groups, bias=False)
        self.pointwise = nn.Sequential(OrderedDict(conv=mixing))
        self.depthwise = conv(middle, out_channels, *window, out_channels, bias, padding_mode)
        # what a model may ask a convolution for
        self.in_channels, self.out_channels, self.groups = in_channels, out_channels, groups
        for name in ("kernel_size", "stride", "padding", "dilation", "padding_mode"):
            setattr(self, name, getattr(self.depthwise, name))


class PaddedFirst(nn.Sequential):
    """A padding that torch's convolutions cannot do, then what takes the place of one."""

    def __init__(self, pad: nn.Module, convolution: nn.Module, padding: Any) -> None:
        super().__init__(OrderedDict(pad=pad, convolution=convolution))
        for name in ("in_channels", "out_channels", "kernel_size", "stride", "dilation", "groups"):
            setattr(self, name, getattr(convolution, name))
        self.padding = padding


class SamePadding(nn.Module):
    """Zeros around an input, so that a window takes `ceil(size / stride)` positions."""

    def __init__(self, kernel_size: Any, stride: Any, dilation: Any) -> None:
        super().__init__()
        self.windows = tuple(zip(kernel_size, stride, dilation, strict=True))

    def forward(self, x: Tensor) -> Tensor:
        """Return `x`, `(B, C, H, W)`, padded; of an uneven number one more at the end."""
        sides: list[int] = []
        for size, (kernel, stride, dilation) in zip(
            x.shape[-len(self.windows) :], self.windows, strict=True
        ):
            covered = (-(-size // stride) - 1) * stride + dilation * (kernel - 1) + 1
            total = max(0, covered - size)
            sides = [total // 2, total - total // 2, *sides]
        return nn.functional.pad(x, sides)


class Network(nn.Module):
    """Layers that read the results of others, each hung under its dotted name.

    A step is a name, a layer, and the names of those that it reads; `INPUT` is what the network is
    given.
    """

    INPUT = ""

    def __init__(self, *steps: Any) -> None:
        super().__init__()
        self.steps = steps
        last = {name: at for at, (_, _, *reads) in enumerate(steps) for name in reads}
        self.done = [[name for name in last if last[name] == at] for at in range(len(steps))]
        for name, layer, *_ in steps:
            *folders, leaf = name.split(".")
            parent: nn.Module = self
            for folder in folders:
                parent = parent._modules.setdefault(folder, nn.Module())  # type: ignore[assignment]
            parent._modules[leaf] = layer

    def forward(self, x: Tensor) -> Tensor:
        """Return the result of the last layer for an input `(B, C, H, W)`."""
        results = {self.INPUT: x}
        for (name, layer, *reads), done in zip(self.steps, self.done, strict=True):
            results[name] = layer(*(results[one] for one in reads))
            for one in done:
                del results[one]
        return results[name]


def put(model: nn.Module, name: str, new: nn.Module) -> None:
    """Put a layer in the place of another, wherever a model holds that."""
    old = model.get_submodule(name)
    for part in list(model.modules()):
        for held in (part._modules, *vars(part).values()):
            places = enumerate(held) if isinstance(held, list) else ()
            for key, value in held.items() if isinstance(held, dict) else places:
                if value is old:
                    held[key] = new
    new.train(old.training)


def put_with_hooks(model: nn.Module, name: str, new: nn.Module) -> None:
    """Put a layer in the place of another, with the hooks that see its input and its result."""
    old = model.get_submodule(name)
    for hooks in ("_forward_pre_hooks", "_forward_hooks"):
        for kind in (hooks, f"{hooks}_with_kwargs", f"{hooks}_always_called"):
            if hasattr(new, kind):
                getattr(new, kind).update(getattr(old, kind))
    put(model, name, new)


def tie(model: nn.Module, name: str, other: str) -> None:
    """Let a parameter of a model be another one."""
    owner, _, leaf = name.rpartition(".")
    setattr(model.get_submodule(owner), leaf, model.get_parameter(other))
