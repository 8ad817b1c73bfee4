"""Networks exported to ONNX against the torch models they were: params, MACs, layer by layer, both ways.

Method: 12 networks of torchvision and 9 of timm are made with random weights, no two of which are alike (both exporters
store equal tensors once), and written by both exporters, TorchScript and dynamo, each in two ways: as they write by
default, batch normalisation folded into the convolution before it, and as near to the model as they can, nothing
folded. What `dscost` counts in the file is held against what it counts in the torch model: of the first kind in a copy
with torch's own `fuse_conv_bn_eval` done wherever a batch normalisation alone reads a convolution, of the second in the
model itself. A layer of a file belongs to the module that it says it was exported from.

Held to be equal: params, MACs and activations as it is, made standard and made depthwise-separable, the number of
pairs, and the MACs and params of every module that multiplies. Peak activations are shown, and differ: see the results.

Run: `python benchmarks/onnx_exports.py [NAME …]`. Prints Markdown, exits 1 where something differs.
"""

import argparse
import contextlib
import io
import logging
import platform
import sys
import tempfile
import warnings
from collections import Counter
from collections.abc import Iterable, Iterator
from copy import deepcopy
from datetime import date
from pathlib import Path
from typing import Any, NamedTuple

import onnx
import torch
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

import dscost
from dscost.reports.records import Layer, Report
from dscost.tracing import arguments_of, trace

TORCHVISION = (
    "squeezenet1_1 shufflenet_v2_x1_0 mobilenet_v2 mobilenet_v3_large regnet_y_400mf googlenet resnet18 "
    "efficientnet_b0 densenet121 convnext_tiny swin_t vit_b_16"
).split()
TIMM = (
    "mobilenetv2_100 mobilenetv3_large_100 efficientnet_lite0 mnasnet_small ghostnet_100 mobileone_s0 fastvit_t8 "
    "convnextv2_atto deit_tiny_patch16_224"
).split()
OPTIONS: dict[str, dict[str, Any]] = {"googlenet": {"aux_logits": False, "init_weights": False}}
SHAPE = (1, 3, 224, 224)
WAYS = ("TorchScript", "dynamo", "TorchScript, unfolded", "dynamo, unfolded")


class Row(NamedTuple):
    """What came of one file."""

    name: str
    way: str
    params: int | None
    macs: int | None
    layers: int
    pairs: int
    peak_bytes: int | None
    torch_peak_bytes: int | None
    wrong: tuple[str, ...]

    @property
    def cells(self) -> list[str]:
        """The row of the table."""
        return [
            self.name,
            self.way,
            f"{self.params:,}",
            f"{self.macs:,}",
            str(self.layers),
            str(self.pairs),
            f"{(self.peak_bytes or 0) / 2**20:.1f} ({(self.torch_peak_bytes or 0) / 2**20:.1f})",
            "; ".join(self.wrong) or "equal",
        ]


# -- models


def made(name: str) -> nn.Module:
    """Return a network with random weights, no two tensors of which are alike."""
    torch.manual_seed(0)
    import timm
    import torchvision

    model: nn.Module
    if name in torchvision.models.list_models():
        model = torchvision.models.get_model(name, weights=None, **OPTIONS.get(name, {}))
    else:
        model = timm.create_model(name, pretrained=False)
    model.eval().requires_grad_(requires_grad=False)
    for key, tensor in (*model.named_parameters(), *model.named_buffers()):
        if (
            tensor.is_floating_point()
            and tensor.numel() > 1
            and (tensor == tensor.flatten()[0]).all()
        ):
            if key.endswith("running_var"):
                tensor.uniform_(0.8, 1.2)
            else:
                tensor.add_(torch.randn_like(tensor) * 0.02)
    return model


def folded(model: nn.Module) -> nn.Module:
    """Return a copy with each batch normalisation in the convolution whose only reader it is."""
    events = trace(model, arguments_of(torch.empty(SHAPE, device="meta"))).events
    readers = Counter(source for event in events for source in set(event.sources))
    copied = deepcopy(model)
    for event in events:
        norm = model.get_submodule(event.module)
        if not isinstance(norm, nn.BatchNorm2d) or event.op != "normalization":
            continue
        (source,) = event.sources
        if source < 0 or events[source].conv is None or readers[source] > 1:
            continue
        path = events[source].module
        conv = model.get_submodule(path)
        assert isinstance(conv, nn.Conv2d)
        copied.set_submodule(path, fuse_conv_bn_eval(conv, norm))
        # timm's holds its activation
        rest = [part for part in norm.children() if not isinstance(part, nn.Identity)]
        copied.set_submodule(event.module, nn.Sequential(*rest) if rest else nn.Identity())
    return copied


def export(model: nn.Module, path: Path, way: str) -> None:
    """Write a file in one of `WAYS`."""
    exporter, _, unfolded = way.partition(", ")
    how: dict[str, Any] = {"dynamo": False, "opset_version": 17}
    if exporter == "dynamo":
        how = {"dynamo": True, "external_data": False, "verbose": False, "optimize": not unfolded}
    elif unfolded:
        how |= {"training": torch.onnx.TrainingMode.PRESERVE, "do_constant_folding": False}
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        torch.onnx.export(model, (torch.zeros(SHAPE),), path, input_names=["x"], **how)


# -- what they must agree in


def differing(ours: Report, theirs: Report) -> Iterator[str]:
    """Yield what differs between a file and its torch model."""
    for version in ("as_is", "standard", "depthwise_separable"):
        one, other = getattr(ours.totals, version), getattr(theirs.totals, version)
        if one.macs != other.macs:
            yield f"{version}: {one.macs - other.macs:+,} MACs"
        if one.params != other.params:
            yield f"{version}: {one.params - other.params:+,} params"
        if one.activations != other.activations:
            yield f"{version}: {one.activations - other.activations:+,} activations"
    if pairs_in(ours) != pairs_in(theirs):
        yield f"{pairs_in(ours)} pairs for {pairs_in(theirs)}"
    if ours.coverage.unknown:
        yield f"unknown: {', '.join(ours.coverage.unknown)}"
    mine, wanted = by_module(ours), by_module(theirs)
    wrong = [name for name in mine.keys() | wanted.keys() if mine.get(name) != wanted.get(name)]
    if wrong:
        yield f"{len(wrong)} layers, such as {min(wrong)}"


def pairs_in(report: Report) -> int:
    """Return how many depthwise-separable pairs there are."""
    return sum(layer.separable_pairs for layer in report.layers)


def by_module(report: Report) -> dict[str, tuple[int, int]]:
    """Return the MACs and params of every module that has MACs."""
    macs: Counter[str] = Counter()
    params: Counter[str] = Counter()
    for layer in report.layers:
        macs[module_of(layer)] += layer.cost.macs or 0
        params[module_of(layer)] += layer.cost.params or 0
    return {name: (number, params[name]) for name, number in macs.items() if number}


def module_of(layer: Layer) -> str:
    """Return the torch module that a layer is, or was exported from; one without is told by name."""
    return layer.name if layer.origin is None else layer.origin


def rows_of(name: str, folder: Path) -> Iterator[Row]:
    """Yield what came of a network's files."""
    model = made(name)
    plain = dscost.analyze(model, SHAPE)
    fused = dscost.analyze(folded(model), SHAPE)
    for way in WAYS:
        path = folder / f"{name}.onnx"
        export(model, path, way)
        theirs = plain if "unfolded" in way else fused
        ours = dscost.analyze(path)
        path.unlink()
        yield Row(
            name,
            way,
            ours.totals.as_is.params,
            ours.totals.as_is.macs,
            len(by_module(theirs)),
            pairs_in(ours),
            ours.peak_activation_bytes,
            theirs.peak_activation_bytes,
            tuple(differing(ours, theirs)),
        )


def lines(names: Iterable[str], folder: Path) -> Iterator[tuple[str, bool]]:
    """Yield the lines of the table, each with whether all is well."""
    heads = (
        "network",
        "exporter",
        "params",
        "MACs",
        "layers",
        "pairs",
        "peak MiB (torch)",
        "",
    )
    yield f"| {' | '.join(heads)} |", True
    yield f"| {' | '.join(':--' if at in (0, 1, 7) else '--:' for at in range(len(heads)))} |", True
    for name in names:
        for row in rows_of(name, folder):
            yield f"| {' | '.join(row.cells)} |", not row.wrong


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("names", nargs="*", default=[*TORCHVISION, *TIMM])
    names = parser.parse_args().names
    warnings.filterwarnings("ignore")
    logging.disable(logging.WARNING)
    torch.set_num_threads(1)
    torch.backends.mha.set_fastpath_enabled(False)  # the older exporter does not know it
    operators = torch.library.Library(
        "torchvision", "DEF"
    )  # PyPI's torchvision does not fit a CPU build of torch
    for operator in ("nms", "qnms"):
        with contextlib.suppress(RuntimeError):
            operators.define(
                f"{operator}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"
            )
    import timm
    import torchvision

    print(
        f"{date.today()}, torch {torch.__version__}, torchvision {torchvision.__version__}, timm {timm.__version__}, "
        f"onnx {onnx.__version__}, Python {platform.python_version()}\n"
    )
    all_well = True
    with tempfile.TemporaryDirectory() as folder:
        for line, is_well in lines(names, Path(folder)):
            print(line, flush=True)
            all_well = all_well and is_well
    sys.exit(not all_well)


if __name__ == "__main__":
    main()
