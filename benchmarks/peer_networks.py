"""The networks that `benchmarks/peers.py` has counted, and how many MACs each has, by hand.

The figures are sums of products written down from the papers' tables, of convolutions, linear layers, recurrent cells and
the two products of attention, on one image of 224×224. `tests/test_peer_networks.py` holds them against what torchvision
publishes of its weights, to the last digit that is published. Nothing here is counted by dscost or by a peer. Loads
nothing but the standard library until a network is made.
"""

import sys
from collections.abc import Callable
from typing import Any, NamedTuple


class Network(NamedTuple):
    """A network that is counted.

    Args:
        target: `torchvision:NAME`, `timm:NAME`, or the name of a function of this file.
        shape: Of its input, batch first.
        macs: What it multiplies and adds, by hand.
        params: How many it has: torchvision's published count, or by hand.
        source: Where the figures come from.
        built_in: What dscost calls it, where it has it built in.
    """

    target: str
    shape: tuple[int, ...]
    macs: int
    params: int
    source: str
    built_in: str = ""


# -- by hand


def conv(side: int, cin: int, cout: int, kernel: int = 1, groups: int = 1) -> int:
    """Return the MACs of a square convolution that writes `side × side` positions."""
    return side * side * cout * (cin // groups) * kernel * kernel


def resnet(counts: tuple[int, ...], *, bottleneck: bool) -> int:
    """He et al. 2015, table 1; of bottlenecks the 3×3 convolution takes the stride, as in torchvision."""
    total, cin = conv(112, 3, 64, 7), 64
    for stage, count in enumerate(counts):
        side, width = 56 >> stage, 64 << stage
        cout = 4 * width if bottleneck else width
        for block in range(count):
            before = 2 * side if stage and not block else side
            if bottleneck:
                total += conv(before, cin, width) + conv(side, width, width, 3)
                total += conv(side, width, cout)
            else:
                total += conv(side, cin, width, 3) + conv(side, width, width, 3)
            if cin != cout:
                total += conv(side, cin, cout)
            cin = cout
    return total + cin * 1000


def vgg16() -> int:
    """Simonyan and Zisserman 2014, table 1, column D."""
    total, cin, side = 0, 3, 224
    for width, count in ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3)):
        for _ in range(count):
            total, cin = total + conv(side, cin, width, 3), width
        side //= 2
    return total + 7 * 7 * 512 * 4096 + 4096 * 4096 + 4096 * 1000


def inverted(
    before: int, after: int, channels: tuple[int, int, int], kernel: int, squeeze: int
) -> int:
    """An inverted residual: widened, depthwise, squeeze-and-excite, narrowed; sides before and after."""
    cin, wide, cout = channels
    widened = conv(before, cin, wide) if wide != cin else 0
    depthwise = conv(after, wide, wide, kernel, groups=wide)
    return widened + depthwise + 2 * wide * squeeze + conv(after, wide, cout)


def mobilenet_v2() -> int:
    """Sandler et al. 2018, table 2: expansion, channels, repeats, stride."""
    total, cin, side = conv(112, 3, 32, 3), 32, 112
    table = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1))
    for expansion, cout, count, stride in (*table, (6, 160, 3, 2), (6, 320, 1, 1)):
        for block in range(count):
            after = side if block else side // stride
            total += inverted(side, after, (cin, expansion * cin, cout), 3, 0)
            cin, side = cout, after
    return total + conv(7, 320, 1280) + 1280 * 1000


def mobilenet_v3_small() -> int:
    """Howard et al. 2019, table 2: kernel, width, channels, squeezed to, stride."""
    total, cin, side = conv(112, 3, 16, 3), 16, 112
    table = (
        *((3, 16, 16, 8, 2), (3, 72, 24, 0, 2), (3, 88, 24, 0, 1), (5, 96, 40, 24, 2)),
        *((5, 240, 40, 64, 1), (5, 240, 40, 64, 1), (5, 120, 48, 32, 1), (5, 144, 48, 40, 1)),
        *((5, 288, 96, 72, 2), (5, 576, 96, 144, 1), (5, 576, 96, 144, 1)),
    )
    for kernel, wide, cout, squeeze, stride in table:
        total += inverted(side, side // stride, (cin, wide, cout), kernel, squeeze)
        cin, side = cout, side // stride
    return total + conv(7, 96, 576) + 576 * 1024 + 1024 * 1000


def efficientnet_b0() -> int:
    """Tan and Le 2019, table 1: expansion, kernel, channels, repeats, stride; squeezed to a quarter of the input."""
    total, cin, side = conv(112, 3, 32, 3), 32, 112
    table = ((1, 3, 16, 1, 1), (6, 3, 24, 2, 2), (6, 5, 40, 2, 2), (6, 3, 80, 3, 2))
    for expansion, kernel, cout, count, stride in (
        *table,
        *((6, 5, 112, 3, 1), (6, 5, 192, 4, 2), (6, 3, 320, 1, 1)),
    ):
        for block in range(count):
            after = side if block else side // stride
            total += inverted(side, after, (cin, expansion * cin, cout), kernel, cin // 4)
            cin, side = cout, after
    return total + conv(7, 320, 1280) + 1280 * 1000


def transformer_layer(tokens: int, width: int, seen: int) -> int:
    """Four projections and a perceptron four times as wide; each token is multiplied with those seen, twice."""
    return tokens * (4 * width * width + 2 * seen * width + 2 * width * 4 * width)


def vit_b_16() -> int:
    """Dosovitskiy et al. 2020, table 1: 196 patches and the class token."""
    return conv(14, 3, 768, 16) + 12 * transformer_layer(197, 768, 197) + 768 * 1000


def swin_t() -> int:
    """Liu et al. 2021, table 7: windows of 7×7; four neighbours are merged into twice the width."""
    total = conv(56, 3, 96, 4)
    for stage, count in enumerate((2, 2, 6, 2)):
        side, width = 56 >> stage, 96 << stage
        if stage:
            total += conv(side, 2 * width, width)  # of 4 × width / 2 channels
        total += count * transformer_layer(side * side, width, 49)
    return total + 768 * 1000


def convnext_tiny() -> int:
    """Liu et al. 2022, table 9: depthwise 7×7, then a perceptron four times as wide at each position."""
    total = conv(56, 3, 96, 4)
    for stage, count in enumerate((3, 3, 9, 3)):
        side, width = 56 >> stage, 96 << stage
        if stage:
            total += conv(side, width // 2, width, 2)
        total += count * (conv(side, width, width, 7, width) + 2 * conv(side, width, 4 * width))
    return total + 768 * 1000


# -- made here


def recurrent() -> Any:
    """Make two layers of LSTM, to and fro, and a linear layer at each of 50 steps."""
    from torch import nn

    class Recurrent(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.cells = nn.LSTM(64, 128, num_layers=2, bidirectional=True, batch_first=True)
            self.head = nn.Linear(256, 10)

        def forward(self, x: Any) -> Any:
            return self.head(self.cells(x)[0])

    return Recurrent()


def recurrent_macs() -> int:
    """Four gates of each cell read the input and the state: 64, then 2 × 128 wide."""
    return 50 * (2 * 4 * 128 * (64 + 128) + 2 * 4 * 128 * (256 + 128) + 256 * 10)


def recurrent_params() -> int:
    """As many, and two biases per gate, as torch has them."""
    return 2 * 4 * 128 * (64 + 128 + 2) + 2 * 4 * 128 * (256 + 128 + 2) + 257 * 10


def sound() -> Any:
    """Make a 1-D network: grouped with padding "same", strided, and transposed in groups."""
    from torch import nn

    return nn.Sequential(
        nn.Conv1d(64, 64, 9, padding="same", groups=8),
        nn.ReLU(),
        nn.Conv1d(64, 128, 4, stride=4),
        nn.ReLU(),
        nn.ConvTranspose1d(128, 64, 4, stride=4, groups=4),
    )


def sound_macs() -> int:
    """1,024 positions, then 256 that are written, then 256 that are read."""
    return 1024 * 64 * (64 // 8) * 9 + 256 * 128 * 64 * 4 + 256 * 128 * (64 // 4) * 4


def sound_params() -> int:
    return 64 * (64 // 8) * 9 + 64 + 128 * 64 * 4 + 128 + 128 * (64 // 4) * 4 + 64


IMAGE = (1, 3, 224, 224)
PUBLISHED = "by hand; torchvision publishes {} GMACs"


def _of_torchvision(
    name: str, macs: int, params: int, published: str, *, built_in: bool
) -> Network:
    source = PUBLISHED.format(published)
    return Network(f"torchvision:{name}", IMAGE, macs, params, source, name if built_in else "")


NETWORKS: dict[str, Network] = {
    "resnet18": _of_torchvision(
        "resnet18", resnet((2, 2, 2, 2), bottleneck=False), 11_689_512, "1.814", built_in=True
    ),
    "resnet50": _of_torchvision(
        "resnet50", resnet((3, 4, 6, 3), bottleneck=True), 25_557_032, "4.089", built_in=True
    ),
    "vgg16": _of_torchvision("vgg16", vgg16(), 138_357_544, "15.47", built_in=True),
    "mobilenet_v2": _of_torchvision(
        "mobilenet_v2", mobilenet_v2(), 3_504_872, "0.301", built_in=True
    ),
    "mobilenet_v3_small": _of_torchvision(
        "mobilenet_v3_small", mobilenet_v3_small(), 2_542_856, "0.057", built_in=True
    ),
    "efficientnet_b0": _of_torchvision(
        "efficientnet_b0", efficientnet_b0(), 5_288_548, "0.386", built_in=True
    ),
    "convnext_tiny": Network(
        "timm:convnext_tiny",
        IMAGE,
        convnext_tiny(),
        28_589_128,
        PUBLISHED.format("4.456") + " of the same network",
    ),
    "vit_b_16": _of_torchvision("vit_b_16", vit_b_16(), 86_567_656, "17.564", built_in=False),
    "swin_t": _of_torchvision("swin_t", swin_t(), 28_288_354, "4.491", built_in=False),
    "recurrent": Network("recurrent", (1, 50, 64), recurrent_macs(), recurrent_params(), "by hand"),
    "sound": Network("sound", (1, 64, 1024), sound_macs(), sound_params(), "by hand"),
}
"""By the names in the tables. Published: torchvision's `_ops` and `num_params` of its weights."""


# -- what is made


def mend() -> None:
    """Define two operators that PyPI's torchvision does not find beside a CPU build of torch."""
    import torch

    operators = torch.library.Library("torchvision", "DEF")
    for name in ("nms", "qnms"):
        operators.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    _kept.append(operators)


_kept: list[Any] = []


def made(name: str) -> Callable[[], Any]:
    """Import what a network needs, and return what makes it, with random weights, in evaluation."""
    kind, _, model = NETWORKS[name].target.partition(":")
    if kind == "torchvision":
        import torchvision

        return lambda: torchvision.models.get_model(model, weights=None).eval()
    if kind == "timm":
        import timm

        return lambda: timm.create_model(model).eval()
    return lambda: getattr(sys.modules[__name__], kind)().eval()
