"""Exact values that the test suites of other counters hold, and the bytes of VGG-16; the tables lie in `tests/data`.

Every row is computed, or listed with the reason why its convention is not ours.
"""

import csv
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

import dscost
from dscost.modules.building import Network
from dscost.networks.architectures import build, find_builtin
from dscost.reports.figures import Cost
from dscost.reports.records import Layer, Report

Row = dict[str, str]
GIB = 2**30


def rows_of(table: str) -> list[Row]:
    with (Path(__file__).parent / "data" / f"{table}.csv").open(
        newline="", encoding="utf-8"
    ) as file:
        return list(csv.DictReader(file))


class Calling(nn.Module):
    """A model whose forward is a function of its children."""

    def __init__(self, function: Callable[..., Any], **children: nn.Module) -> None:
        super().__init__()
        self.function = function
        for name, child in children.items():
            setattr(self, name, child)

    def forward(self, *args: Any) -> Any:
        return self.function(self, *args)


def cost(model: nn.Module | Callable[..., Any] | str, *given: Any, train: bool = False) -> Cost:
    """Return what a module, a function of tensors or a target costs on shapes or tensors."""
    if not isinstance(model, nn.Module | str):
        function = model
        model = Calling(lambda _, *tensors: function(*tensors))
    return dscost.analyze(model, input=given or None, strict=True, train=train).totals.as_is


def with_gradient(*shape: int) -> Tensor:
    return torch.empty(shape, device="meta", requires_grad=True)


def macs(*arguments: Any, **options: Any) -> int:
    return cost(*arguments, **options).macs


def flops(*arguments: Any, **options: Any) -> int:
    return cost(*arguments, **options).flops


# -- what the rows say in words


def conv_from(
    config: str, dimensions: int = 2, *, transposed: bool = False
) -> tuple[nn.Module, tuple[int, ...]]:
    """`batch=5 in=10 out=3 spatial=15 k=3 pad=1 stride=1 groups=1` as a module and its input."""
    given = {key: int(value) for key, value in (part.split("=") for part in config.split())}
    kind = getattr(nn, f"Conv{'Transpose' if transposed else ''}{dimensions}d")
    module = kind(
        given["in"], given["out"], given["k"], given["stride"], given["pad"], groups=given["groups"]
    )
    return module, (given["batch"], given["in"], *[given["spatial"]] * dimensions)


def chainer_conv(config: str, *, transposed: bool) -> Cost:
    """`cin=3 h=10 cout=12 hout=10 k=3 g=1 bias=True`; three taps over ten rows make ten or twenty-one."""
    given = dict(part.split("=") for part in config.split())
    kind = nn.ConvTranspose2d if transposed else nn.Conv2d
    options = {"stride": 2} if transposed else {"padding": 1}
    module = kind(
        *(int(given[key]) for key in ("cin", "cout", "k")),
        groups=int(given["g"]),
        bias=given["bias"] == "True",
        **options,
    )
    size = int(given["h"])
    report = dscost.analyze(module, input=(1, int(given["cin"]), size, size))
    assert report.layers[0].output_shape[-1] == int(given["hout"])
    return report.totals.as_is


def elements_read(cost: Cost) -> int:
    return (cost.traffic_bytes - cost.output_bytes) // 4


def elements_written(cost: Cost) -> int:
    return cost.output_bytes // 4


def mixture() -> nn.Module:
    def forward(self: Any, *t: Tensor) -> None:
        torch.mm(t[0], t[1])
        torch.addmm(t[2], t[0], t[1], beta=0.5, alpha=0.5)
        torch.matmul(t[1], t[3])
        torch.einsum("ab,bc->ac", t[3].new_empty(6, 7), t[4])
        self.linear(t[5])

    return Calling(forward, linear=nn.Linear(9, 10))


def mm_expand_bmm(a: Tensor, b: Tensor, c: Tensor) -> Tensor:
    return torch.bmm(torch.mm(a, b).unsqueeze(0).expand(7, 4, 6), c)


def lenet5() -> nn.Module:
    return nn.Sequential(
        *(
            nn.Conv2d(1, 6, 5),
            nn.Tanh(),
            nn.AvgPool2d(2),
            nn.Conv2d(6, 16, 5),
            nn.Tanh(),
            nn.AvgPool2d(2),
        ),
        *(
            nn.Conv2d(16, 120, 5),
            nn.Tanh(),
            nn.Flatten(),
            nn.Linear(120, 84),
            nn.Tanh(),
            nn.Linear(84, 10),
        ),
    )


def attention(q: Tensor, k: Tensor) -> Tensor:
    return F.scaled_dot_product_attention(q, k, k)


def attention_of_three(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    return F.scaled_dot_product_attention(q, k, v)


def first_stage(*, train: bool) -> int:
    report = dscost.analyze("resnet18", train=train)
    return sum(
        x.cost.flops
        for x in report.layers
        if x.name.startswith("layer1.") and x.op == "convolution"
    )


def zoo(target: str) -> Cost:
    """Return the cost of a model of torchvision, or skip."""
    from dscost.errors import UnavailableError

    try:
        return cost(target)
    except UnavailableError as error:
        pytest.skip(str(error))


def published_example(name: str) -> Report:
    model = {
        "conv": nn.Conv2d(3, 2, 3),
        "transposed": nn.ConvTranspose2d(3, 2, 3, stride=2),
        "linear": nn.Linear(3, 2),
    }[name]
    return dscost.analyze(model, input=(1, 3) if name == "linear" else (1, 3, 224, 224))


def with_bias_adds(name: str) -> int:
    """MACs, and one for each output value that a bias is added to."""
    report = published_example(name)
    return report.totals.as_is.macs + math.prod(report.layers[0].output_shape)


def conv_and_silu() -> int:
    report = dscost.analyze(
        nn.Sequential(nn.Conv2d(3, 64, 3, padding=1), nn.SiLU()), input=(1, 3, 224, 224)
    )
    return report.totals.as_is.macs + math.prod(report.layers[1].output_shape)


class Ours(NamedTuple):
    """How we come to a published figure, and how far from it we may be."""

    compute: Callable[[], float]
    tolerance: float = 0


TORCHPROFILE = "torchprofile tests/test_ops.py"
TORCH = "pytorch test/test_flop_counter.py @067f1d9"
FVCORE = "fvcore tests/test_flop_count.py"
PTFLOPS = "ptflops tests/common_test.py"
CHAINER = "chainer_computational_cost tests/test_connection.py (fma_1flop=True cases)"

Key = tuple[str, ...]  # op, config, quantity

BY_SOURCE: dict[str, Mapping[Key, Ours]] = {
    TORCHPROFILE: {
        ("linear", "in=16 out=32 bias x=(1,16)", "macs"): Ours(
            lambda: macs(nn.Linear(16, 32), (1, 16))
        ),
        ("linear", "in=16 out=32 bias x=(4,16)", "macs"): Ours(
            lambda: macs(nn.Linear(16, 32), (4, 16))
        ),
        ("matmul", "(3,4)@(4)", "macs"): Ours(lambda: macs(torch.matmul, (3, 4), (4,))),
        ("matmul", "(3,4)@(4,5)", "macs"): Ours(lambda: macs(torch.matmul, (3, 4), (4, 5))),
        ("bmm", "(2,3,4)x(2,4,5)", "macs"): Ours(lambda: macs(torch.bmm, (2, 3, 4), (2, 4, 5))),
        ("conv1d", "3->16 k3 no bias x=(1,3,32)", "macs"): Ours(
            lambda: macs(nn.Conv1d(3, 16, 3), (1, 3, 32))
        ),
        ("conv2d", "3->16 k3 p1 no bias x=(1,3,8,8)", "macs"): Ours(
            lambda: macs(nn.Conv2d(3, 16, 3, padding=1, bias=False), (1, 3, 8, 8))
        ),
        ("depthwise_conv2d", "16->16 k3 p1 g16 no bias x=(1,16,8,8)", "macs"): Ours(
            lambda: macs(nn.Conv2d(16, 16, 3, padding=1, groups=16, bias=False), (1, 16, 8, 8))
        ),
        ("lstm", "in16 hid32 1 layer x=(5,1,16)", "macs"): Ours(
            lambda: macs(nn.LSTM(16, 32), (5, 1, 16))
        ),
        ("lstm", "in32 hid64 2 layer bidir batch_first x=(1,10,32)", "macs"): Ours(
            lambda: macs(nn.LSTM(32, 64, 2, bidirectional=True, batch_first=True), (1, 10, 32))
        ),
        ("einsum", "bij,bjk->bik (2,3,4)(2,4,5)", "macs"): Ours(
            lambda: macs(lambda a, b: torch.einsum("bij,bjk->bik", a, b), (2, 3, 4), (2, 4, 5))
        ),
        ("einsum", "bhqd,bhkd->bhqk (1,8,16,64)x2", "macs"): Ours(
            lambda: macs(
                lambda a, b: torch.einsum("bhqd,bhkd->bhqk", a, b), (1, 8, 16, 64), (1, 8, 16, 64)
            )
        ),
        # two zeros on which the conventions meet
        ("relu", "x=(1,16,8,8)", "macs"): Ours(lambda: macs(nn.ReLU(), (1, 16, 8, 8))),
        ("grid_sample", "nearest same", "macs"): Ours(
            lambda: macs(
                lambda x, grid: F.grid_sample(x, grid, mode="nearest", align_corners=False),
                (1, 3, 8, 8),
                (1, 4, 4, 2),
            )
        ),
    },
    # elementwise operators come on top there; the tolerance is that of its own tests
    "torchprofile tests/test_models.py": {
        ("model", "torchvision resnet18 224", "gmacs"): Ours(lambda: macs("resnet18") / 1e9, 0.01),
        ("model", "torchvision mobilenet_v2 224", "gmacs"): Ours(
            lambda: macs("mobilenet_v2") / 1e9, 0.01
        ),
        ("model", "torchvision vit_b_16 224", "gmacs"): Ours(
            lambda: zoo("torchvision:vit_b_16").macs / 1e9, 0.1
        ),
    },
    TORCH: {
        ("mm", "(4,5)(5,6)", "flops"): Ours(lambda: flops(torch.mm, (4, 5), (5, 6))),
        ("bmm", "(3,4,5)(3,5,6)", "flops"): Ours(lambda: flops(torch.bmm, (3, 4, 5), (3, 5, 6))),
        ("addmm x3", "(4,5)(5,6)", "flops"): Ours(
            lambda: sum(flops(torch.addmm, added, (4, 5), (5, 6)) for added in [(4, 6), (6,), (1,)])
        ),
        ("baddbmm", "(3,4,5)(3,5,6)", "flops"): Ours(
            lambda: flops(torch.baddbmm, (3, 4, 6), (3, 4, 5), (3, 5, 6))
        ),
        ("conv2d", "x=(2,3,6,6) w=(6,3,4,4) p1", "flops"): Ours(
            lambda: flops(nn.Conv2d(3, 6, 4, padding=1), (2, 3, 6, 6))
        ),
        ("conv1d", "x=(2,3,6) w=(6,3,4) p1", "flops"): Ours(
            lambda: flops(nn.Conv1d(3, 6, 4, padding=1), (2, 3, 6))
        ),
        (
            "mix mm+addmm+matmul+einsum+Linear(9,10) x(8,9)",
            "see test_flop_counter_variety",
            "flops",
        ): Ours(lambda: flops(mixture(), (4, 5), (5, 6), (4, 6), (6, 7), (7, 8), (8, 9))),
        ("mm+expand+bmm fwd+bwd", "test_backward", "flops"): Ours(
            lambda: flops(mm_expand_bmm, with_gradient(4, 5), (5, 6), (7, 6, 7), train=True)
        ),
        ("a.mm(a.t()) fwd+bwd x2", "test_backward_reset a=(4,5)", "flops"): Ours(
            lambda: 2 * flops(lambda a: a.mm(a.t()), with_gradient(4, 5), train=True)
        ),
        ("conv_transpose2d forward", "x=(1,1,2,2) w=(1,1,2,2)", "flops"): Ours(
            lambda: flops(nn.ConvTranspose2d(1, 1, 2), (1, 1, 2, 2))
        ),
        ("conv2d 1x1 forward", "x=(1,1,2,2)", "flops"): Ours(
            lambda: flops(nn.Conv2d(1, 1, 1), (1, 1, 2, 2))
        ),
        ("resnet18 fwd+bwd", "x=(1,3,224,224) requires_grad", "flops"): Ours(
            lambda: flops(torch_module("resnet18"), with_gradient(1, 3, 224, 224), train=True)
        ),
        ("resnet18 layer1 conv fwd", "", "flops"): Ours(lambda: first_stage(train=False)),
        ("resnet18 layer1 conv bwd", "", "flops"): Ours(
            lambda: first_stage(train=True) - first_stage(train=False)
        ),
        (
            "ConvTranspose2d(4,8,(2,2),s2) x=(1,4,30,2) 50x fwd+bwd(weight only)",
            "test_conv_transpose_loop",
            "flops",
        ): Ours(
            lambda: (
                50 * flops(nn.ConvTranspose2d(4, 8, (2, 2), stride=2), (1, 4, 30, 2), train=True)
            )
        ),
        ("sdpa fwd", "b4 h8 q128 k128 d64", "flops"): Ours(
            lambda: flops(attention, (4, 8, 128, 64), (4, 8, 128, 64))
        ),
        ("sdpa fwd nonuniform", "b4 h8 q128 k256 d64", "flops"): Ours(
            lambda: flops(attention, (4, 8, 128, 64), (4, 8, 256, 64))
        ),
        ("sdpa fwd+bwd math nonuniform", "", "flops"): Ours(
            lambda: flops(
                attention_of_three,
                *(with_gradient(4, 8, length, 64) for length in (128, 256, 256)),
                train=True,
            )
        ),
    },
    FVCORE: {
        **{
            (op, config, "macs"): Ours(
                lambda op=op, config=config, dimensions=dimensions: macs(
                    *conv_from(config, dimensions, transposed=op == "conv_transpose2d")
                )
            )
            for op, dimensions, config in [
                ("conv2d", 2, "batch=5 in=10 out=3 spatial=15 k=3 pad=1 stride=1 groups=1"),
                ("conv2d", 2, "batch=2 in=10 out=6 spatial=20 k=3 pad=1 stride=2 groups=1"),
                ("conv2d", 2, "batch=5 in=16 out=8 spatial=15 k=5 pad=2 stride=1 groups=4"),
                ("conv2d", 2, "batch=5 in=16 out=8 spatial=15 k=3 pad=1 stride=1 groups=8"),
                ("conv1d", 1, "batch=5 in=10 out=3 spatial=15 k=3 pad=1 stride=1 groups=1"),
                ("conv3d", 3, "batch=5 in=10 out=3 spatial=15 k=3 pad=1 stride=1 groups=1"),
                (
                    "conv_transpose2d",
                    2,
                    "batch=5 in=10 out=3 spatial=15 k=3 pad=1 stride=1 groups=1",
                ),
                (
                    "conv_transpose2d",
                    2,
                    "batch=5 in=10 out=3 spatial=15 k=3 pad=1 stride=2 groups=1",
                ),
                (
                    "conv_transpose2d",
                    2,
                    "batch=5 in=10 out=3 spatial=15 k=3 pad=1 stride=3 groups=1",
                ),
            ]
        },
        ("linear", "b5 10->20", "macs/elementwise"): Ours(lambda: macs(nn.Linear(10, 20), (5, 10))),
        ("linear", "(5,5,10)->20", "macs/elementwise"): Ours(
            lambda: macs(nn.Linear(10, 20), (5, 5, 10))
        ),
        ("matmul", "(20,10)(10,100)", "macs/elementwise"): Ours(
            lambda: macs(torch.matmul, (20, 10), (10, 100))
        ),
        ("matmul", "(2,2,20,10)(2,2,10,100)", "macs/elementwise"): Ours(
            lambda: macs(torch.matmul, (2, 2, 20, 10), (2, 2, 10, 100))
        ),
        ("bmm", "(2,5,2)(2,2,12)", "macs/elementwise"): Ours(
            lambda: macs(torch.bmm, (2, 5, 2), (2, 2, 12))
        ),
        ("einsum", "nct,ncp->ntp (1,5,2)(1,5,12)", "macs/elementwise"): Ours(
            lambda: macs(lambda a, b: torch.einsum("nct,ncp->ntp", a, b), (1, 5, 2), (1, 5, 12))
        ),
        ("einsum", "ntg,ncg->nct (1,2,6)(1,5,6)", "macs/elementwise"): Ours(
            lambda: macs(lambda a, b: torch.einsum("ntg,ncg->nct", a, b), (1, 2, 6), (1, 5, 6))
        ),
    },
    # a bias there is one operation per output value, which is added here by hand
    PTFLOPS: {
        ("conv2d", "3->2 k3 bias x=(1,3,224,224)", "macs"): Ours(lambda: with_bias_adds("conv")),
        ("conv_transpose2d", "3->2 k3 s2 bias x=(1,3,224,224)", "macs"): Ours(
            lambda: with_bias_adds("transposed")
        ),
        ("linear", "3->2 bias x=(1,3)", "macs"): Ours(lambda: with_bias_adds("linear")),
        ("linear", "3->2 nobias x=(1,4,5,3)", "macs"): Ours(
            lambda: macs(nn.Linear(3, 2, bias=False), (1, 4, 5, 3)),
        ),
    },
    CHAINER: {
        **{
            (op, config, quantity): Ours(
                lambda op=op, config=config, figure=figure: figure(
                    chainer_conv(config, transposed=op.startswith("deconv"))
                )
            )
            for op, config in [
                ("conv2d bias", "cin=3 h=10 cout=12 hout=10 k=3 g=1 bias=True"),
                ("conv2d nobias", "cin=3 h=10 cout=12 hout=10 k=3 g=1 bias=False"),
                ("conv2d grouped g2 bias", "cin=8 h=10 cout=12 hout=10 k=3 g=2 bias=True"),
                ("deconv2d s2 bias", "cin=3 h=10 cout=12 hout=21 k=3 g=1 bias=True"),
                ("deconv2d s2 nobias", "cin=3 h=10 cout=12 hout=21 k=3 g=1 bias=False"),
                ("deconv2d g2 s2 bias", "cin=8 h=10 cout=12 hout=21 k=3 g=2 bias=True"),
            ]
            for quantity, figure in [
                ("macs", lambda cost: cost.macs),
                ("elements_read", elements_read),
                ("elements_written", elements_written),
            ]
        },
        **{
            (f"linear 10->20 {'bias' if bias else 'nobias'}", "x=(1,10)", quantity): Ours(
                lambda bias=bias, figure=figure: figure(
                    cost(nn.Linear(10, 20, bias=bias), (1, 10)), bias
                )
            )
            for bias in (False, True)
            for quantity, figure in [
                ("macs", lambda cost, bias: cost.macs + 20 * bias),  # a bias is an operation there
                ("elements_read", lambda cost, bias: elements_read(cost)),
                ("elements_written", lambda cost, bias: elements_written(cost)),
            ]
        },
    },
    "DeepSpeed tests/unit/profiling/flops_profiler/test_flops_profiler.py": {
        ("LeNet5 inference", "batch 1024 (see test)", "flops"): Ours(
            lambda: flops(lenet5(), (1024, 1, 32, 32)), 0.05 * 866_076_672
        ),
        ("LeNet5 inference", "", "macs"): Ours(lambda: macs(lenet5(), (1024, 1, 32, 32))),
        ("LeNet5", "", "params"): Ours(lambda: cost(lenet5(), (1024, 1, 32, 32)).params),
    },
    "Lightning model_summary.py doctest": {
        ("Linear(256,512)+BN1d", "x=(10,256)", "flops"): Ours(
            lambda: flops(nn.Sequential(nn.Linear(256, 512), nn.BatchNorm1d(512)), (10, 256))
        ),
        ("Linear(256,512)+BN1d", "", "params"): Ours(
            lambda: cost(nn.Sequential(nn.Linear(256, 512), nn.BatchNorm1d(512)), (10, 256)).params
        ),
    },
    "ultralytics-thop README": {
        ("resnet50", "", "params"): Ours(lambda: cost("resnet50").params),
        # its SiLU is one per element
        ("Conv2d(3,64,3,p1)+SiLU(custom 1/elem)", "(1,3,224,224)", "macs"): Ours(conv_and_silu),
    },
}

ELEMENTWISE = (
    "counts elementwise operators, normalisation, pooling or interpolation, which are no MACs"
)
TRANSFORMERS = "needs the transformers library, and counts elementwise operators"

NOT_OURS: Mapping[tuple[str, Key], str] = {
    **{
        (TORCHPROFILE, key): ELEMENTWISE
        for key in [
            ("batch_norm", "16ch x=(1,16,8,8)", "macs"),
            ("layer_norm", "64 x=(1,10,64)", "macs"),
            ("group_norm", "4 groups 16ch x=(1,16,8,8)", "macs"),
            ("adaptive_avg_pool2d", "to 1 x=(1,16,8,8)", "macs"),
            ("avg_pool2d", "k2 x=(1,16,8,8)", "macs"),
            ("grid_sample", "bilinear in=(1,3,8,8) grid=(1,4,4,2)", "macs"),
            ("leaky_relu", "x=(1,16,8,8)", "macs"),
        ]
    },
    **{
        ("torchprofile tests/test_models.py", ("model", config, "gmacs")): TRANSFORMERS
        for config in (
            "transformers GPT2Model(GPT2Config()) ids (1,128)",
            "transformers BertModel(BertConfig()) ids (1,128)",
            "LlamaModel hidden512 inter1024 L4 heads8 kv4 ids (1,64)",
        )
    },
    (TORCH, ("sdpa fwd+bwd mem_efficient nonuniform", "", "flops")): (
        "that kernel computes the scores once more in its backward pass; ours is the arithmetic, as by the math kernel"
    ),
    **{
        (FVCORE, key): ELEMENTWISE
        for key in [
            ("batch_norm1d eval no affine", "(10,10)", "macs/elementwise"),
            ("batch_norm2d train no affine", "(10,10,5,5)", "macs/elementwise"),
            ("adaptive_avg_pool2d", "(4,5,10,10)->1 counts input numel", "macs/elementwise"),
        ]
    },
    (PTFLOPS, ("interpolate bilinear", "(1,3,10,10)->20x20", "macs")): ELEMENTWISE,
    ("ultralytics-thop README", ("resnet50", "(1,3,224,224)", "macs")): ELEMENTWISE,
}

ROWS = rows_of("layer_level_expectations")


def key_of(row: Row) -> tuple[str, Key]:
    return row["source"], (row["op"], row["config"], row["quantity"])


def id_of(row: Row) -> str:
    return " ".join([row["source"].split()[0], row["op"], row["config"], row["quantity"]])


def torch_module(name: str) -> nn.Module:
    with torch.device("meta"):
        return Network(build(find_builtin(name), overrides={}).operations)


OURS = {
    (source, key): ours for source, entries in BY_SOURCE.items() for key, ours in entries.items()
}


def test_every_row_is_either_computed_or_listed_as_not_ours_with_the_reason() -> None:
    keys = [key_of(row) for row in ROWS]
    assert len(set(keys)) == len(keys)
    assert set(OURS) | set(NOT_OURS) == set(keys)
    assert set(OURS) & set(NOT_OURS) == set()
    assert all(NOT_OURS.values())


@pytest.mark.parametrize("row", [row for row in ROWS if key_of(row) in OURS], ids=id_of)
def test_a_published_figure_is_what_we_count(row: Row) -> None:
    ours = OURS[key_of(row)]
    assert abs(ours.compute() - float(row["expected"])) <= ours.tolerance


@pytest.mark.parametrize("row", [row for row in ROWS if key_of(row) in NOT_OURS], ids=id_of)
def test_what_is_called_another_convention_names_one(row: Row) -> None:
    says = f"{row['convention']} {row['op']}"
    assert any(
        word in says for word in ("elementwise", "fvcore", "bias adds", "BN", "mem_efficient")
    )


@pytest.mark.parametrize(
    ("name", "op", "config"),
    [
        ("conv", "conv2d", "3->2 k3 bias x=(1,3,224,224)"),
        ("transposed", "conv_transpose2d", "3->2 k3 s2 bias x=(1,3,224,224)"),
        ("linear", "linear", "3->2 bias x=(1,3)"),
    ],
)
def test_parameters_in_a_note_are_ours(name: str, op: str, config: str) -> None:
    (row,) = [
        row
        for row in ROWS
        if (row["op"], row["config"]) == (op, config) and row["source"] == PTFLOPS
    ]
    assert row["note"] == f"params={published_example(name).totals.as_is.params}"


# -- VGG-16, bytes per layer


VGG = rows_of("chainer_vgg16_memory_traffic")
OPS = {
    "Convolution2DFunction": "convolution",
    "ReLU": "activation",
    "MaxPooling2D": "pooling",
    "LinearFunction": "linear",
    "Reshape": "view",
    "Softmax": "softmax",
}


def vgg16(way: str) -> Report:
    """Return VGG-16 counted from its YAML, traced from the module made of it, or from torchvision."""
    if way == "built-in":
        return dscost.analyze("vgg16")
    if way == "traced":
        return dscost.analyze(torch_module("vgg16"), input=(1, 3, 224, 224))
    from dscost.errors import UnavailableError

    try:
        return dscost.analyze("torchvision:vgg16")
    except UnavailableError as error:
        pytest.skip(str(error))


three_ways = pytest.mark.parametrize("way", ["built-in", "traced", "torchvision"])


def gib_of(cost: Cost) -> tuple[float, float, float]:
    """Return what is read, written, and both."""
    moved = cost.traffic_bytes
    written = cost.output_bytes if moved else 0
    return (moved - written) / GIB, written / GIB, moved / GIB


def of_row(row: Row) -> tuple[float, float, float]:
    return tuple(float(row[f"mem_{name}_gib"]) for name in ("read", "write", "rw"))  # type: ignore[return-value]


def layers_by_op(report: Report) -> dict[str, list[Layer]]:
    found: dict[str, list[Layer]] = {}
    for layer in report.layers:
        if (
            layer.type != "AdaptiveAvgPool2d"
        ):  # to 7×7, which changes nothing at this size and Chainer has not
            found.setdefault(layer.op, []).append(layer)
    return found


@three_ways
def test_the_bytes_of_every_layer_of_vgg16_are_the_published_ones(way: str) -> None:
    ours = layers_by_op(vgg16(way))
    compared = 0
    for row in VGG:
        kind, _, number = row["layer"].partition("-")
        if row["table"] != "per_layer" or kind == "total":
            continue
        if OPS[kind] in (
            "view",
            "softmax",
        ):  # a view moves nothing; our model ends before the softmax
            assert of_row(row) == (0, 0, 0)
            continue
        layer = ours[OPS[kind]][int(number) - 1]
        assert gib_of(layer.cost) == pytest.approx(of_row(row), abs=0.001), layer.name
        compared += 1
    assert compared == 13 + 15 + 5 + 3


@three_ways
def test_the_bytes_of_vgg16_by_kind_and_in_total_are_the_published_ones(way: str) -> None:
    report = vgg16(way)
    for row in VGG:
        if row["table"] == "per_type" and row["layer"] != "total":
            layers = layers_by_op(report).get(OPS[row["layer"]], [])
            sums = [
                sum(parts) for parts in zip(*(gib_of(layer.cost) for layer in layers), strict=True)
            ]
            assert (sums or [0, 0, 0]) == pytest.approx(of_row(row), abs=0.001)
            if OPS[row["layer"]] in ("convolution", "linear", "activation", "pooling"):
                assert len(layers) == int(row["count"])
        elif row["layer"] == "total":
            assert report.totals.as_is.traffic_bytes / GIB == pytest.approx(
                float(row["mem_rw_gib"]), abs=0.001
            )


@three_ways
def test_the_macs_of_the_convolutions_and_linear_layers_of_vgg16_are_the_published_ones(
    way: str,
) -> None:
    ours = layers_by_op(vgg16(way))
    for row in VGG:
        kind, _, number = row["layer"].partition("-")
        if row["table"] == "per_layer" and kind in ("Convolution2DFunction", "LinearFunction"):
            layer = ours[OPS[kind]][int(number) - 1]
            assert layer.cost.macs / 1e9 == pytest.approx(float(row["gmacs_fma1"]), abs=0.0006)
