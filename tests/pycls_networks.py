"""The networks of pycls as torch modules, from its configurations and the paper.

Radosavovic et al. 2020, Designing Network Design Spaces (arXiv:2003.13678).
"""

import re
from functools import cache
from typing import NamedTuple

from torch import Tensor, nn


class RegNet(NamedTuple):
    """What a RegNet is generated from: eq. 2 to 4 of the paper."""

    depth: int
    first_width: int
    slope: float
    multiplier: float
    group_width: int


REGNETS = {
    "RegNetX-200MF": RegNet(13, 24, 36.44, 2.49, 8),
    "RegNetX-400MF": RegNet(22, 24, 24.48, 2.54, 16),
    "RegNetX-600MF": RegNet(16, 48, 36.97, 2.24, 24),
    "RegNetX-800MF": RegNet(16, 56, 35.73, 2.28, 16),
    "RegNetX-1.6GF": RegNet(18, 80, 34.01, 2.25, 24),
    "RegNetX-3.2GF": RegNet(25, 88, 26.31, 2.25, 48),
    "RegNetX-4.0GF": RegNet(23, 96, 38.65, 2.43, 40),
    "RegNetX-6.4GF": RegNet(17, 184, 60.83, 2.07, 56),
    "RegNetX-8.0GF": RegNet(23, 80, 49.56, 2.88, 120),
    "RegNetX-12GF": RegNet(19, 168, 73.36, 2.37, 112),
    "RegNetX-16GF": RegNet(22, 216, 55.59, 2.1, 128),
    "RegNetX-32GF": RegNet(23, 320, 69.86, 2.0, 168),
    "RegNetY-200MF": RegNet(13, 24, 36.44, 2.49, 8),
    "RegNetY-400MF": RegNet(16, 48, 27.89, 2.09, 8),
    "RegNetY-600MF": RegNet(15, 48, 32.54, 2.32, 16),
    "RegNetY-800MF": RegNet(14, 56, 38.84, 2.4, 16),
    "RegNetY-1.6GF": RegNet(27, 48, 20.71, 2.65, 24),
    "RegNetY-3.2GF": RegNet(21, 80, 42.63, 2.66, 24),
    "RegNetY-4.0GF": RegNet(22, 96, 31.41, 2.24, 64),
    "RegNetY-6.4GF": RegNet(25, 112, 33.22, 2.27, 72),
    "RegNetY-8.0GF": RegNet(17, 192, 76.82, 2.19, 56),
    "RegNetY-12GF": RegNet(19, 168, 73.36, 2.37, 112),
    "RegNetY-16GF": RegNet(18, 200, 106.23, 2.48, 112),
    "RegNetY-32GF": RegNet(20, 232, 115.89, 2.53, 232),
}
STEM_POOL = 64 * 56 * 56
"""What the pool in the stem of a ResNet writes on 224 by 224."""
RESNET_DEPTHS = {"50": (3, 4, 6, 3), "101": (3, 4, 23, 3), "152": (3, 8, 36, 3)}


class Stage(NamedTuple):
    """Blocks of one width."""

    depth: int
    width: int
    stride: int
    inner: int
    groups: int


def conv(inputs: int, outputs: int, kernel: int, stride: int = 1, groups: int = 1) -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False),
        nn.BatchNorm2d(outputs),
    )


class Gated(nn.Module):
    """Squeeze-and-excite."""

    def __init__(self, channels: int, squeezed: int) -> None:
        super().__init__()
        self.gate = nn.Sequential(
            nn.AdaptiveAvgPool2d(1),
            nn.Conv2d(channels, squeezed, 1),
            nn.ReLU(),
            nn.Conv2d(squeezed, channels, 1),
            nn.Sigmoid(),
        )

    def forward(self, x: Tensor) -> Tensor:
        gated: Tensor = x * self.gate(x)
        return gated


class Residual(nn.Module):
    """A block with its shortcut, projected where the shapes differ."""

    def __init__(self, body: nn.Module, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.body = body
        changes = inputs != outputs or stride != 1
        self.shortcut = conv(inputs, outputs, 1, stride) if changes else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        summed: Tensor = self.body(x) + self.shortcut(x)
        return summed


def bottleneck(inputs: int, stage: Stage, stride: int, *, gated: bool) -> nn.Module:
    inner = stage.inner
    gate = [Gated(inner, round(inputs / 4))] if gated else []
    return nn.Sequential(
        conv(inputs, inner, 1),
        nn.ReLU(),
        conv(inner, inner, 3, stride, stage.groups),
        nn.ReLU(),
        *gate,
        conv(inner, stage.width, 1),
    )


def plain(inputs: int, stage: Stage, stride: int) -> nn.Module:
    return nn.Sequential(
        conv(inputs, stage.width, 3, stride), nn.ReLU(), conv(stage.width, stage.width, 3)
    )


def regnet_stages(one: RegNet) -> list[Stage]:
    """Return the stages that the widths `u_j = w_0 + w_a j`, quantized, come to."""
    from math import log

    widths = []
    for block in range(one.depth):
        width = one.first_width + one.slope * block
        power = round(log(width / one.first_width) / log(one.multiplier))
        widths.append(round(one.first_width * one.multiplier**power / 8) * 8)
    stages = []
    for width in sorted(set(widths)):
        group = min(one.group_width, width)
        fitting = round(width / group) * group
        stages.append(Stage(widths.count(width), fitting, 2, fitting, fitting // group))
    return stages


def imagenet_stages(name: str) -> list[Stage]:
    """Return the stages of a ResNet `R-50`, or of a ResNeXt `X-50` with 32 groups."""
    kind, depth = name.split("-")
    is_next = kind == "X"
    return [
        Stage(
            blocks,
            256 << at,
            1 if at == 0 else 2,
            (128 if is_next else 64) << at,
            32 if is_next else 1,
        )
        for at, blocks in enumerate(RESNET_DEPTHS[depth])
    ]


def any_net(
    stem: nn.Module, stem_width: int, stages: list[Stage], make: str, classes: int
) -> nn.Module:
    blocks: list[nn.Module] = []
    inputs = stem_width
    for stage in stages:
        for block in range(stage.depth):
            stride = stage.stride if block == 0 else 1
            if make in ("basic", "vanilla"):
                body = plain(inputs, stage, stride)
            else:
                body = bottleneck(inputs, stage, stride, gated=make == "gated")
            shortcut = make != "vanilla"
            blocks.append(Residual(body, inputs, stage.width, stride) if shortcut else body)
            blocks.append(nn.ReLU())
            inputs = stage.width
    head = (nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(inputs, classes))
    return nn.Sequential(stem, nn.ReLU(), *blocks, *head)


@cache
def network(config: str) -> tuple[nn.Module, int]:
    """Return the network of a configuration on `meta`, and the extent of its input."""
    import torch

    with torch.device("meta"):
        return _network(config)


def _network(config: str) -> tuple[nn.Module, int]:
    name = re.split("_|-1x64d|-32x4d", config.rpartition("/")[2])[0]
    if name in REGNETS:
        make = "gated" if "RegNetY" in name else "bottleneck"
        return any_net(conv(3, 32, 3, 2), 32, regnet_stages(REGNETS[name]), make, 1000), 224
    if "cifar" in config:
        depth = (int(name.split("-")[1]) - 2) // 6
        stages = [Stage(depth, 16 << at, 1 if at == 0 else 2, 0, 1) for at in range(3)]
        make = "vanilla" if name.startswith("V") else "basic"
        return any_net(conv(3, 16, 3), 16, stages, make, 10), 32
    stem = nn.Sequential(conv(3, 64, 7, 2), nn.ReLU(), nn.MaxPool2d(3, 2, 1))
    return any_net(stem, 64, imagenet_stages(name), "bottleneck", 1000), 224
