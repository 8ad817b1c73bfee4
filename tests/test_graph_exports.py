"""Torch models written by both of torch's exporters, held against the models: module by module."""

import contextlib
import io
import logging
import warnings
from collections import Counter
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.fusion import fuse_conv_bn_eval

import dscost
from dscost.reports.records import Report

EXPORTERS = ("torchscript", "dynamo")
SIDE = 16


class Squeeze(nn.Module):
    """A squeeze-and-excite."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.less = nn.Conv2d(channels, 4, 1)
        self.more = nn.Conv2d(4, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        gate = self.more(functional.relu(self.less(x.mean((2, 3), keepdim=True))))
        return x * torch.sigmoid(gate)


class Next(nn.Module):
    """A block of ConvNeXt: its pointwise stages are linear layers on channels that come last."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.deep = nn.Conv2d(channels, channels, 7, padding=3, groups=channels)
        self.norm = nn.LayerNorm(channels)
        self.wide = nn.Linear(channels, 2 * channels)
        self.back = nn.Linear(2 * channels, channels)
        self.scale = nn.Parameter(torch.ones(channels, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        y = self.norm(self.deep(x).permute(0, 2, 3, 1))
        y = self.back(functional.gelu(self.wide(y))).permute(0, 3, 1, 2)
        return x + self.scale * y


class Attention(nn.Module):
    """Attention with a table of relative positions, looked up as Swin does."""

    index: Tensor

    def __init__(self, channels: int, side: int, heads: int) -> None:
        super().__init__()
        self.side, self.heads = side, heads
        self.qkv = nn.Linear(channels, 3 * channels)
        self.out = nn.Linear(channels, channels)
        self.table = nn.Parameter(torch.zeros((2 * side - 1) ** 2, heads))
        at = torch.stack(torch.meshgrid(torch.arange(side), torch.arange(side), indexing="ij"))
        apart = (at.flatten(1)[:, :, None] - at.flatten(1)[:, None, :]) + side - 1
        self.register_buffer("index", (apart[0] * (2 * side - 1) + apart[1]).flatten())

    def forward(self, x: Tensor) -> Tensor:
        batch, tokens, channels = x.shape
        parts = self.qkv(x).reshape(batch, tokens, 3, self.heads, channels // self.heads)
        q, k, v = parts.permute(2, 0, 3, 1, 4).unbind(0)
        places = self.table[self.index].view(tokens, tokens, -1).permute(2, 0, 1)
        weights = torch.softmax(q @ k.transpose(-2, -1) * 0.5 + places, -1)
        result: Tensor = self.out((weights @ v).transpose(1, 2).reshape(batch, tokens, channels))
        return result


class Net(nn.Module):
    """A little of everything that image networks have."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            nn.Conv2d(3, 8, 3, stride=2, padding=1, bias=False), nn.BatchNorm2d(8), nn.ReLU6()
        )
        self.block = nn.Sequential(
            nn.Conv2d(8, 8, 3, padding=1, groups=8, bias=False),
            nn.BatchNorm2d(8),
            nn.SiLU(),
            Squeeze(8),
            nn.Conv2d(8, 16, 1, bias=False),
            nn.BatchNorm2d(16),
        )
        self.shuffled = nn.Conv2d(16, 16, 3, padding=1, groups=16)
        self.point = nn.Conv2d(16, 16, 1, groups=2)
        self.groups = nn.GroupNorm(4, 16)
        self.next = Next(16)
        self.act = nn.Hardswish()
        self.attention = Attention(16, SIDE // 4, 2)
        self.up = nn.ConvTranspose2d(16, 8, 2, stride=2)
        self.slope = nn.PReLU(8)
        self.head = nn.Linear(8, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.act(self.block(self.stem(x)))
        x = self.shuffled(x)
        x = x.view(x.shape[0], 2, 8, *x.shape[2:]).transpose(1, 2).flatten(1, 2)
        x = self.act(self.groups(self.point(x)))
        x = functional.max_pool2d(self.next(x), 2)
        x = self.attention(x.flatten(2).transpose(1, 2)).transpose(1, 2).reshape(x.shape)
        x = self.slope(self.up(functional.pad(x, (0, 1, 0, 1))))
        result: Tensor = self.head(functional.adaptive_avg_pool2d(x, 1).flatten(1))
        return result


class Texts(nn.Module):
    """Tables that are looked up, layers that run again, and a recurrent one."""

    def __init__(self) -> None:
        super().__init__()
        self.words = nn.Embedding(50, 12)
        self.reader = nn.LSTM(12, 6, bidirectional=True, batch_first=True)
        self.same = nn.Linear(12, 12)
        self.norm = nn.LayerNorm(12)
        self.heads = nn.Linear(12, 50, bias=False)
        self.heads.weight = self.words.weight

    def forward(self, ids: Tensor) -> Tensor:
        x, _ = self.reader(self.words(ids))
        result: Tensor = self.heads(self.norm(self.same(functional.relu(self.same(x)))))
        return result


def trained(model: nn.Module) -> nn.Module:
    """Return a model no two tensors of which are alike: exporters store equal ones once."""
    torch.manual_seed(0)
    model.eval().requires_grad_(requires_grad=False)
    for tensor in (*model.parameters(), *model.buffers()):
        if tensor.is_floating_point():
            tensor.uniform_(0.5, 1.5)
    return model


def given(model: nn.Module) -> Tensor:
    return (
        torch.ones(2, 7, dtype=torch.int64)
        if isinstance(model, Texts)
        else torch.ones(2, 3, SIDE, SIDE)
    )


@contextlib.contextmanager
def quietly() -> Iterator[None]:
    logging.disable(logging.WARNING)
    try:
        with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(logging.NOTSET)


def exported(model: nn.Module, exporter: str, path: Path, *, folds: bool = True) -> Report:
    """Return the report of a model that was written to a file by one of torch's exporters."""
    with quietly():
        if exporter == "dynamo":
            pytest.importorskip("onnxscript")
            torch.onnx.export(
                model,
                (given(model),),
                path,
                dynamo=True,
                optimize=folds,
                external_data=False,
                verbose=False,
            )
        else:
            how = {} if folds else {"training": torch.onnx.TrainingMode.PRESERVE}
            torch.onnx.export(
                model,
                (given(model),),
                path,
                dynamo=False,
                opset_version=17,
                do_constant_folding=folds,
                **how,
            )
    return dscost.analyze(path)


def by_module(report: Report, figure: str) -> dict[str, int]:
    """Return a figure of every module that multiplies, wherever the file says that it came from."""
    sums: Counter[str] = Counter()
    multiplies = set()
    for layer in report.layers:
        module = layer.name if layer.origin is None else layer.origin
        sums[module] += getattr(layer.cost, figure) or 0
        if layer.cost.macs:
            multiplies.add(module)
    return {name: number for name, number in sums.items() if name in multiplies}


def pairs_in(report: Report) -> int:
    return sum(layer.separable_pairs for layer in report.layers)


@cache
def net() -> tuple[nn.Module, Report, Report]:
    """Return a network, its report, and that of the same with its normalisations folded by torch."""
    model = trained(Net())
    report = dscost.analyze(model, input=(2, 3, SIDE, SIDE))
    folded = trained(Net())
    for part, conv, norm in ((folded.stem, 0, 1), (folded.block, 0, 1), (folded.block, 4, 5)):
        assert isinstance(part, nn.Sequential)
        part[conv] = fuse_conv_bn_eval(part[conv], part[norm])
        part[norm] = nn.Identity()
    return model, report, dscost.analyze(folded, input=(2, 3, SIDE, SIDE))


@pytest.mark.parametrize("exporter", EXPORTERS)
@pytest.mark.parametrize("folds", [True, False], ids=["folded", "as it is"])
def test_an_exported_network_is_that_of_torch(
    tmp_path: Path, exporter: str, *, folds: bool
) -> None:
    model, plain, folded = net()
    wanted = folded if folds else plain
    found = exported(model, exporter, tmp_path / "net.onnx", folds=folds)
    assert found.coverage.unknown == ()
    for version in ("as_is", "standard", "depthwise_separable"):
        ours, theirs = getattr(found.totals, version), getattr(wanted.totals, version)
        figures = [(one.params, one.macs, one.activations) for one in (ours, theirs)]
        assert figures[0] == figures[1], version
    assert pairs_in(found) == pairs_in(wanted) == 3
    assert by_module(found, "macs") == by_module(wanted, "macs")
    assert by_module(found, "params") == by_module(wanted, "params")


@pytest.mark.parametrize("exporter", EXPORTERS)
def test_what_is_shared_counts_once_after_exporting(tmp_path: Path, exporter: str) -> None:
    model = trained(Texts())
    wanted = dscost.analyze(model, input=given(model)).totals.as_is
    found = exported(model, exporter, tmp_path / "net.onnx", folds=False)
    assert found.totals.as_is.macs == wanted.macs
    assert found.totals.as_is.params == wanted.params
    assert sum(one.params for one in found.shared_weights or ()) == 50 * 12 + 12 * 12 + 12
    folded = exported(model, exporter, tmp_path / "net.onnx")
    assert folded.totals.as_is.macs == wanted.macs
    # the table is stored a second time, turned round
    assert folded.totals.as_is.params == (wanted.params or 0) + 50 * 12


def test_only_what_is_done_in_place_is_alive_for_shorter_in_torch(tmp_path: Path) -> None:
    class Chain(nn.Module):
        def __init__(self, *, inplace: bool) -> None:
            super().__init__()
            self.first = nn.Conv2d(3, 4, 1)
            self.act = nn.ReLU(inplace=inplace)
            self.second = nn.Conv2d(4, 2, 1)

        def forward(self, x: Tensor) -> Tensor:
            result: Tensor = self.second(self.act(self.first(x)))
            return result

    positions = 2 * SIDE * SIDE * 4
    for inplace, alive in ((False, 3 + 4 + 4), (True, 3 + 4 + 2)):
        model = trained(Chain(inplace=inplace))
        assert (
            dscost.analyze(model, input=(2, 3, SIDE, SIDE)).peak_activation_bytes
            == alive * positions
        )
        found = exported(model, "torchscript", tmp_path / "net.onnx")
        assert found.peak_activation_bytes == (3 + 4 + 4) * positions
