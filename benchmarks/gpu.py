"""The CUDA path in one command: what dscost measures on a GPU, held against torch.utils.benchmark.

Method: for each layer `dscost.layer(..., device="cuda")` in float32 and float16, both memory formats: events round
blocks of calls in interleaved quartets, hot; with the second-level cache flushed before every call (cold); and replayed
as a CUDA graph. TF32 is off, cuDNN picks its fastest kernel. Beside the hot eager time of the standard layer stands
`torch.utils.benchmark.Timer.blocked_autorange` on the same convolution. Then FasterNet's ten-layer case and the
ceilings. Writes a Markdown table to stdout, or to the file that is given. Where there is no CUDA device it says so.
Run: `python benchmarks/gpu.py [FILE]`.
"""

import sys
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import fasternet
import torch
from torch import nn
from torch.utils.benchmark import Timer

import dscost
from dscost.timing.cuda import fixed_flags, why_no_cuda

LAYERS = [
    (3, 32, 3, 224, 2),
    (64, 64, 3, 56, 1),
    (128, 128, 3, 28, 1),
    (256, 256, 3, 14, 1),
    (512, 512, 3, 7, 1),
    (128, 128, 5, 28, 1),
]
"""In channels, out channels, kernel, size, stride."""
BATCH = 32


def rows() -> Iterator[str]:
    """Yield the lines of the report."""
    yield f"# The CUDA path, {date.today()}"
    yield ""
    yield f"{torch.cuda.get_device_name()}, torch {torch.__version__}, CUDA {torch.version.cuda}, batch {BATCH}."
    yield ""
    yield "| layer | setting | standard | separable | speedup [95 %] | verdict | torch's Timer | ours / theirs |"
    yield "| :-- | :-- | --: | --: | --: | :-- | --: | --: |"
    for in_channels, out_channels, kernel, size, stride in LAYERS:
        for dtype in ("float32", "float16"):
            report = dscost.layer(
                in_channels=in_channels,
                out_channels=out_channels,
                kernel_size=kernel,
                stride=stride,
                input_size=size,
                batch=BATCH,
                dtype=dtype,
                time=True,
                device="cuda",
            )
            name = f"{in_channels}→{out_channels}, {kernel}×{kernel}/{stride}, {size}²"
            for key, timing in report.latency.items():
                standard, separable, speedup = (
                    timing.standard,
                    timing.depthwise_separable,
                    timing.speedup,
                )
                if not (standard and separable and speedup):
                    continue
                theirs = ""
                ratio = ""
                if not {"cold", "graph"} & set(key.split(":")):
                    their_s = _their_median_s(
                        in_channels,
                        out_channels,
                        kernel,
                        stride,
                        size,
                        dtype,
                        "channels_last" in key,
                    )
                    theirs, ratio = f"{their_s * 1e6:.1f} µs", f"{standard.median_s / their_s:.2f}"
                low, high = speedup.ci95
                yield (
                    f"| {name} | {key} | {standard.median_s * 1e6:.1f} µs | {separable.median_s * 1e6:.1f} µs | "
                    f"{speedup.median:.2f} [{low:.2f}, {high:.2f}] | {speedup.verdict} | {theirs} | {ratio} |"
                )
            for warning in report.warnings:
                yield f"| {name} | {warning} | | | | | | |"
    yield ""
    yield from _ten_layers()


def _their_median_s(
    in_channels: int,
    out_channels: int,
    kernel: int,
    stride: int,
    size: int,
    dtype: str,
    channels_last: bool,
) -> float:
    layout = torch.channels_last if channels_last else torch.contiguous_format
    place = {"device": "cuda", "dtype": getattr(torch, dtype)}
    conv = nn.Conv2d(
        in_channels, out_channels, kernel, stride, kernel // 2, bias=False, **place
    ).eval()
    conv = conv.to(memory_format=layout)
    x = torch.randn(BATCH, in_channels, size, size, **place).to(memory_format=layout)
    with torch.inference_mode(), fixed_flags():
        return float(
            Timer("f(x)", globals={"f": conv, "x": x}).blocked_autorange(min_run_time=0.5).median
        )


def _ten_layers() -> Iterator[str]:
    with torch.inference_mode(), fixed_flags():
        yield from fasternet.lines("cuda", BATCH)


def main() -> None:
    """Write the report."""
    reason = why_no_cuda()
    if reason:
        print(f"Nothing measured: {reason}.")
        return
    text = "\n".join(rows()) + "\n"
    if len(sys.argv) > 1:
        Path(sys.argv[1]).write_text(text, encoding="utf-8")
    print(text, end="")


if __name__ == "__main__":
    main()
