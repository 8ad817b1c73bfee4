"""`train=True`: forward and backward, by formula. A product has one gradient per operand that needs one.

The gradient of a convolution, transposed or grouped, of its input or of its weights, has as many MACs as itself.
"""

import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812
from torch.utils.flop_counter import FlopCounterMode

import dscost
from dscost.modules.building import Network
from dscost.networks.architectures import build, find_builtin
from dscost.tracing import TensorSpec, arguments_of

Shape = tuple[int, ...]


def forward_macs(model: nn.Module, given: Any) -> int:
    return dscost.analyze(model, input=given).totals.as_is.macs


def training_macs(model: nn.Module, given: Any) -> int:
    return dscost.analyze(model, input=given, train=True, strict=True).totals.as_is.macs


def with_gradient(*shape: int) -> Tensor:
    return torch.empty(shape, device="meta", requires_grad=True)


class Calling(nn.Module):
    """A model whose forward is a function of its children."""

    def __init__(self, function: Callable[..., Any], **children: Any) -> None:
        super().__init__()
        self.function = function
        for name, child in children.items():
            setattr(self, name, child)

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        return self.function(self, *args, **kwargs)


ONE_LAYER = [
    pytest.param(nn.Conv2d(4, 6, 3), (2, 4, 9, 7), 2 * 7 * 5 * 6 * 4 * 9, id="conv"),
    pytest.param(
        nn.Conv2d(4, 6, 3, bias=False), (2, 4, 9, 7), 2 * 7 * 5 * 6 * 4 * 9, id="conv without bias"
    ),
    pytest.param(
        nn.Conv2d(4, 6, 3, stride=2, padding=1, dilation=2),
        (2, 4, 9, 7),
        2 * 4 * 3 * 6 * 4 * 9,
        id="conv with stride",
    ),
    pytest.param(
        nn.Conv2d(4, 6, 3, padding="same"),
        (2, 4, 9, 7),
        2 * 9 * 7 * 6 * 4 * 9,
        id="conv, same padding",
    ),
    pytest.param(nn.Conv2d(4, 6, 3, groups=2), (2, 4, 9, 7), 2 * 7 * 5 * 6 * 2 * 9, id="grouped"),
    pytest.param(
        nn.Conv2d(16, 16, 3, padding=1, groups=16), (1, 16, 8, 8), 8 * 8 * 16 * 9, id="depthwise"
    ),
    pytest.param(
        nn.Conv2d(4, 12, 3, groups=4),
        (2, 4, 9, 7),
        2 * 7 * 5 * 12 * 9,
        id="depthwise, three times as many",
    ),
    pytest.param(nn.Conv2d(3, 4, 3), (3, 9, 7), 7 * 5 * 4 * 3 * 9, id="unbatched"),
    pytest.param(nn.Conv1d(4, 6, 5, groups=2), (2, 4, 9), 2 * 5 * 6 * 2 * 5, id="1-D"),
    pytest.param(nn.Conv3d(4, 6, 2), (1, 4, 3, 4, 5), 2 * 3 * 4 * 6 * 4 * 8, id="3-D"),
    pytest.param(nn.ConvTranspose2d(4, 6, 3), (2, 4, 9, 7), 2 * 9 * 7 * 4 * 6 * 9, id="transposed"),
    pytest.param(
        nn.ConvTranspose2d(4, 6, 3, stride=2, groups=2),
        (2, 4, 9, 7),
        2 * 9 * 7 * 4 * 3 * 9,
        id="transposed, grouped",
    ),
    pytest.param(
        nn.ConvTranspose1d(4, 6, 5, stride=3), (2, 4, 9), 2 * 9 * 4 * 6 * 5, id="transposed, 1-D"
    ),
    pytest.param(nn.Linear(16, 32), (4, 16), 4 * 16 * 32, id="linear"),
    pytest.param(nn.Linear(16, 32), (2, 3, 16), 2 * 3 * 16 * 32, id="linear on rows of rows"),
    pytest.param(nn.LSTM(8, 16), (5, 3, 8), 5 * 3 * 4 * 16 * (8 + 16), id="LSTM"),
]
one_layer = pytest.mark.parametrize(("layer", "shape", "macs"), ONE_LAYER)


def without_recurrent() -> pytest.MarkDecorator:
    return pytest.mark.parametrize(
        ("layer", "shape", "macs"), [case for case in ONE_LAYER if case.id != "LSTM"]
    )


@one_layer
def test_an_input_that_needs_a_gradient_makes_it_three_times_the_forward_pass(
    layer: nn.Module, shape: Shape, macs: int
) -> None:
    assert training_macs(layer, with_gradient(*shape)) == macs + 2 * macs


@without_recurrent()
def test_the_first_layer_has_no_gradient_of_its_input(
    layer: nn.Module, shape: Shape, macs: int
) -> None:
    assert training_macs(layer, shape) == macs + macs


@without_recurrent()
def test_frozen_weights_have_no_gradient(layer: nn.Module, shape: Shape, macs: int) -> None:
    flags = [parameter.requires_grad for parameter in layer.parameters()]
    layer.requires_grad_(False)
    try:
        assert training_macs(layer, with_gradient(*shape)) == macs + macs
        assert training_macs(layer, shape) == macs
    finally:
        for parameter, flag in zip(layer.parameters(), flags, strict=True):
            parameter.requires_grad_(flag)


@without_recurrent()
def test_a_gradient_flows_through_frozen_weights_to_what_lies_before(
    layer: nn.Module, shape: Shape, macs: int
) -> None:
    scale = nn.Parameter(torch.ones(1))
    model = Calling(lambda self, x: self.frozen(x * self.scale), frozen=layer, scale=scale)
    for parameter in layer.parameters():
        parameter.requires_grad_(False)
    try:
        assert training_macs(model, shape) == macs + macs
    finally:
        layer.requires_grad_(True)


@without_recurrent()
def test_a_trainable_bias_beside_frozen_weights_costs_no_product(
    layer: nn.Module, shape: Shape, macs: int
) -> None:
    layer.weight.requires_grad_(False)
    try:
        assert training_macs(layer, shape) == macs
    finally:
        layer.weight.requires_grad_(True)


# -- products of activations


@pytest.mark.parametrize(
    ("first", "second", "gradients"),
    [(False, False, 0), (True, False, 1), (False, True, 1), (True, True, 2)],
)
def test_a_product_has_one_gradient_per_operand_that_needs_one(
    first: bool, second: bool, gradients: int
) -> None:
    a = torch.empty(6, 3, 4, requires_grad=first)
    b = torch.empty(6, 4, 5, requires_grad=second)
    macs = 6 * 3 * 4 * 5
    assert training_macs(Calling(lambda self, a, b: a @ b), (a, b)) == macs * (1 + gradients)


def test_a_product_with_itself_has_two_gradients() -> None:
    assert training_macs(Calling(lambda self, a: a @ a.T), (with_gradient(4, 5),)) == 3 * 4 * 5 * 4


def test_a_product_of_two_parameters_has_two_gradients() -> None:
    model = Calling(
        lambda self, x: x @ (self.down @ self.up),
        down=nn.Parameter(torch.zeros(16, 2)),
        up=nn.Parameter(torch.zeros(2, 16)),
    )
    made, used = 16 * 2 * 16, 5 * 16 * 16
    assert training_macs(model, (5, 16)) == 3 * made + 2 * used


def test_low_rank_adapters_beside_frozen_weights_cost_their_own_gradients() -> None:
    model = Calling(
        lambda self, x: self.frozen(x) + self.up(self.down(x)),
        frozen=nn.Linear(16, 16).requires_grad_(False),
        down=nn.Linear(16, 2, bias=False),
        up=nn.Linear(2, 16, bias=False),
    )
    frozen, down, up = 5 * 16 * 16, 5 * 16 * 2, 5 * 2 * 16
    assert training_macs(model, (5, 16)) == frozen + 2 * down + 3 * up


def test_what_is_added_to_a_product_costs_no_product() -> None:
    model = Calling(
        lambda self, x, y: torch.addmm(self.bias, x, y), bias=nn.Parameter(torch.zeros(6))
    )
    assert training_macs(model, [(4, 5), (5, 6)]) == 4 * 5 * 6


def test_attention_is_two_products_with_two_gradients_each() -> None:
    model = Calling(lambda self, q, k, v: F.scaled_dot_product_attention(q, k, v))
    given = tuple(with_gradient(2, 3, length, 16) for length in (5, 7, 7))
    assert training_macs(model, given) == 3 * (2 * 3 * 5 * 7 * (16 + 16))


def test_attention_to_something_fixed_has_no_gradient_of_it() -> None:
    model = Calling(lambda self, q, k, v: F.scaled_dot_product_attention(q, k, v))
    given = (with_gradient(2, 3, 5, 16), torch.empty(2, 3, 7, 16), torch.empty(2, 3, 7, 16))
    product = 2 * 3 * 5 * 7 * 16
    # forward: scores and result; backward: of the scores, by the values, and of the queries, by the keys
    assert training_macs(model, given) == 2 * product + 2 * product


def test_a_bilinear_layer_is_a_product_of_three() -> None:
    model = Calling(lambda self, a, b: self.layer(a, b), layer=nn.Bilinear(5, 3, 7))
    given = (with_gradient(4, 5), with_gradient(4, 3))
    assert training_macs(model, given) == (1 + 3) * 4 * 7 * 5 * 3


def test_weights_that_are_computed_pass_their_gradient_on() -> None:
    plain = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Conv2d(4, 4, 3))
    normed = nn.Sequential(
        *(nn.utils.parametrizations.weight_norm(nn.Conv2d(c, 4, 3)) for c in (3, 4))
    )
    first, second = 7 * 7 * 4 * 3 * 9, 5 * 5 * 4 * 4 * 9
    assert training_macs(plain, (1, 3, 9, 9)) == 2 * first + 3 * second
    assert training_macs(normed, (1, 3, 9, 9)) == 2 * first + 3 * second


# -- whole networks


def test_a_chain_is_three_times_forward_but_for_the_gradient_of_the_input() -> None:
    model = nn.Sequential(
        nn.Conv2d(3, 4, 3),
        nn.BatchNorm2d(4),
        nn.ReLU(),
        nn.MaxPool2d(7),
        nn.Flatten(),
        nn.Linear(4, 5),
    )
    conv, linear = 2 * 7 * 7 * 4 * 3 * 9, 2 * 4 * 5
    assert training_macs(model, (2, 3, 9, 9)) == 2 * conv + 3 * linear


def test_a_frozen_backbone_has_no_gradients_at_all() -> None:
    model = nn.Sequential(
        nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)).requires_grad_(False),
        nn.Flatten(),
        nn.Linear(4 * 49, 5),
    )
    conv, linear = 7 * 7 * 4 * 3 * 9, 4 * 49 * 5
    assert training_macs(model, (1, 3, 9, 9)) == conv + 2 * linear


@pytest.mark.parametrize(
    "stop",
    [
        pytest.param(lambda self, x: self.head(self.body(x).detach()), id="detach"),
        pytest.param(lambda self, x: self.head(torch.no_grad()(self.body)(x)), id="no grad"),
        pytest.param(
            lambda self, x: self.head(self.body(x).argmax(1)[:, None].expand(-1, 4).float()),
            id="argmax",
        ),
    ],
)
def test_no_gradient_flows_where_the_model_stops_it(stop: Callable[..., Tensor]) -> None:
    body, head = nn.Sequential(nn.Linear(8, 6), nn.ReLU(), nn.Linear(6, 4)), nn.Linear(4, 3)
    model = Calling(stop, body=body, head=head)
    assert training_macs(model, (2, 8)) == 2 * (8 * 6 + 6 * 4) + 2 * (2 * 4 * 3)


def test_an_embedding_that_trains_makes_what_follows_need_a_gradient() -> None:
    model = Calling(
        lambda self, ids: self.head(self.table(ids)),
        table=nn.Embedding(50, 8),
        head=nn.Linear(8, 3),
    )
    ids = TensorSpec((2, 5), "int64")
    assert training_macs(model, ids) == 3 * 2 * 5 * 8 * 3
    model.table.requires_grad_(False)
    assert training_macs(model, ids) == 2 * 2 * 5 * 8 * 3


def test_a_shared_module_is_counted_at_every_call() -> None:
    layer = nn.Linear(8, 8)
    assert training_macs(nn.Sequential(layer, nn.ReLU(), layer), (2, 8)) == (2 + 3) * 2 * 8 * 8


def test_layers_add_up_and_the_report_says_what_is_counted() -> None:
    report = dscost.analyze(
        nn.Sequential(nn.Conv2d(3, 4, 3), nn.Conv2d(4, 4, 3)), input=(1, 3, 9, 9), train=True
    )
    assert [layer.cost.macs for layer in report.layers] == [2 * 49 * 4 * 3 * 9, 3 * 25 * 4 * 4 * 9]
    assert report.totals.as_is.macs == sum(layer.cost.macs for layer in report.layers)
    assert any(
        warning.startswith("Training: MACs are those of forward and backward")
        for warning in report.warnings
    )


def test_the_forward_pass_alone_is_not_changed_by_gradients() -> None:
    model = nn.Conv2d(3, 4, 3)
    assert (
        forward_macs(model, with_gradient(1, 3, 9, 9))
        == forward_macs(model, (1, 3, 9, 9))
        == 49 * 4 * 3 * 9
    )


# -- torch counts its own backward pass; where its formula is right, it is the same


def counted_by_torch(model: nn.Module, given: Any) -> int:
    tensors = [
        t.detach().to("meta").requires_grad_(t.requires_grad)
        if t.is_floating_point()
        else t.to("meta")
        for t in arguments_of(given).tensors
    ]
    with FlopCounterMode(display=False) as counter:
        result = model.to("meta")(*tensors)
        result.sum().backward()
    flops: int = counter.get_total_flops()
    return flops // 2


@pytest.mark.parametrize(
    ("make", "given"),
    [
        pytest.param(lambda: nn.Conv2d(4, 6, 3, stride=2), with_gradient(2, 4, 9, 7), id="conv"),
        pytest.param(lambda: nn.Conv2d(4, 6, 3, stride=2), (2, 4, 9, 7), id="conv, first"),
        pytest.param(
            lambda: nn.ConvTranspose2d(4, 6, 3, stride=2),
            with_gradient(2, 4, 9, 7),
            id="transposed",
        ),
        pytest.param(lambda: nn.Conv3d(4, 6, 2), with_gradient(1, 4, 3, 4, 5), id="3-D"),
        pytest.param(lambda: nn.Linear(16, 32), with_gradient(4, 16), id="linear"),
        pytest.param(
            lambda: nn.Sequential(
                nn.Linear(16, 8), nn.ReLU(), nn.Linear(8, 8).requires_grad_(False), nn.Linear(8, 2)
            ),
            (4, 16),
            id="a frozen layer in the middle",
        ),
        pytest.param(
            lambda: Calling(
                lambda self, x: self.last(self.first(x) @ self.first(x).mT),
                first=nn.Linear(8, 4),
                last=nn.Linear(5, 3),
            ),
            (2, 5, 8),
            id="a matmul of activations",
        ),
        pytest.param(
            lambda: nn.Sequential(
                *(
                    nn.Conv2d(3, 8, 3),
                    nn.BatchNorm2d(8),
                    nn.ReLU(),
                    nn.Conv2d(8, 8, 1),
                    nn.AdaptiveAvgPool2d(1),
                ),
                *(nn.Flatten(), nn.Linear(8, 4)),
            ),
            (2, 3, 9, 9),
            id="a small CNN",
        ),
    ],
)
def test_torch_counts_the_same_backward_pass(make: Callable[[], nn.Module], given: Any) -> None:
    assert training_macs(make(), given) == counted_by_torch(make(), given)


# -- published


def published(op: str) -> int:
    path = Path(__file__).parent / "data" / "layer_level_expectations.csv"
    with path.open(newline="", encoding="utf-8") as file:
        (row,) = [row for row in csv.DictReader(file) if row["op"] == op]
    return int(row["expected"])


def resnet18() -> nn.Module:
    with torch.device("meta"):
        return Network(build(find_builtin("resnet18"), overrides={}).operations)


@pytest.mark.parametrize("target", ["resnet18", pytest.param(resnet18(), id="its torch module")])
def test_resnet18_trains_at_the_published_cost(target: Any) -> None:
    report = dscost.analyze(target, input=with_gradient(1, 3, 224, 224), train=True)
    assert (
        report.totals.as_is.flops
        == published("resnet18 fwd+bwd")
        == 10_884_440_064
        == 6 * 1_814_073_344
    )


def test_resnet18_without_a_gradient_of_its_image_saves_that_of_the_stem() -> None:
    stem = 112 * 112 * 64 * 3 * 49
    assert dscost.analyze("resnet18", train=True).totals.as_is.macs == 3 * 1_814_073_344 - stem


def test_the_first_stage_of_resnet18_trains_at_the_published_cost() -> None:
    report = dscost.analyze("resnet18", train=True)
    convs = [
        layer
        for layer in report.layers
        if layer.name.startswith("layer1.") and layer.op == "convolution"
    ]
    both = published("resnet18 layer1 conv fwd") + published("resnet18 layer1 conv bwd")
    assert sum(layer.cost.flops for layer in convs) == both
