"""How fast a torch model is traced, against torch's FlopCounterMode, and what a huge one takes.

Method: one process; each model made once on the meta device by timm, with gradients off; whole calls of
`dscost.analyze` and of a forward pass under `FlopCounterMode(display=False)` alternate, medians of 15 each after
two of warming up. The last line traces a decoder of 7 billion parameters and reads the resident memory before and
after, in a process that has imported everything. Run: `python benchmarks/tracing.py` (needs `dscost[zoo]`).
"""

import math
import platform
import resource
import statistics
import time
import warnings
from datetime import date
from pathlib import Path

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

import dscost

MODELS = {
    "CNN": ["resnet50", "mobilenetv2_100", "efficientnet_b0", "densenet121", "regnety_032"],
    "transformer": ["vit_base_patch16_224", "swin_tiny_patch4_window7_224", "convnext_tiny"],
}
ROUNDS, WARM = 15, 2


class Block(nn.Module):
    """A decoder block of 4096 channels and 32 heads."""

    def __init__(self, width: int = 4096, heads: int = 32) -> None:
        super().__init__()
        self.heads = heads
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.up, self.down = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the input plus attention plus a feed-forward network."""
        b, length, width = x.shape
        q, k, v = self.qkv(self.norm1(x)).view(b, length, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        attended = nn.functional.scaled_dot_product_attention(q, k, v)
        x = x + self.out(attended.transpose(1, 2).reshape(b, length, width))
        return x + self.down(nn.functional.gelu(self.up(self.norm2(x))))


def resident_mib() -> float:
    """Return the resident memory of this process."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 2**20


def compare(name: str) -> tuple[float, float]:
    """Return the median seconds of FlopCounterMode and of dscost on one model."""
    import timm

    with torch.device("meta"):
        model = timm.create_model(name).eval().requires_grad_(False)
    x = torch.empty(1, 3, 224, 224, device="meta")
    times: dict[str, list[float]] = {"theirs": [], "ours": []}
    for _ in range(ROUNDS + WARM):
        before = time.perf_counter()
        with torch.no_grad(), FlopCounterMode(display=False) as counter:
            model(x)
        times["theirs"].append(time.perf_counter() - before)
        before = time.perf_counter()
        report = dscost.analyze(model, input=x)
        times["ours"].append(time.perf_counter() - before)
        assert report.totals.as_is.flops == counter.get_total_flops()
    return statistics.median(times["theirs"][WARM:]), statistics.median(times["ours"][WARM:])


def main() -> None:
    """Print the table."""
    warnings.simplefilter("ignore")
    dscost.analyze("timm:resnet18")  # imports everything
    print(f"{date.today()}, torch {torch.__version__}, Python {platform.python_version()}\n")
    print("| model | FlopCounterMode | dscost | times faster |\n| :-- | --: | --: | --: |")
    for kind, names in MODELS.items():
        ratios = []
        for name in names:
            theirs, ours = compare(name)
            ratios.append(theirs / ours)
            print(f"| {name} | {theirs * 1e3:.1f} ms | {ours * 1e3:.1f} ms | {theirs / ours:.1f} |")
        mean = math.exp(statistics.fmean(map(math.log, ratios)))
        print(f"| {kind}, geometric mean | | | {mean:.1f} |")
    with torch.device("meta"):
        huge = nn.Sequential(
            nn.Embedding(32000, 4096), *(Block() for _ in range(34)), nn.Linear(4096, 32000)
        )
    before_mib, before = resident_mib(), time.perf_counter()
    report = dscost.analyze(huge, input=torch.empty(1, 2048, dtype=torch.int64, device="meta"))
    took, grew = time.perf_counter() - before, resident_mib() - before_mib
    billions = report.totals.as_is.params / 1e9
    print(f"\n{billions:.2f} billion parameters: {took:.2f} s, {grew:.0f} MiB more resident memory")


if __name__ == "__main__":
    main()
