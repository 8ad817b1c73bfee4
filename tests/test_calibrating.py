"""Weights fitted to data are never worse on it than the plain ones, and of least squares given their filters."""

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from test_rewriting import Calling, SameConv, tied, twice
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

import dscost
from dscost.converting.results import Conversion
from dscost.errors import InputError

DOUBLE = torch.float64


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Two threads on a busy machine take hundreds of times longer for small tensors."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def conversion(module: nn.Module, given: Any = None, **options: Any) -> Conversion:
    return dscost.conversion(module, input=given, **{"min_channels": 1, **options})


def smooth(*shape: int, seed: int = 0) -> Tensor:
    """Images whose pixels are like their neighbours and whose channels are like each other."""
    made = torch.Generator().manual_seed(seed)
    x = torch.randn(shape, generator=made, dtype=DOUBLE).cumsum(-1).cumsum(-2)
    mix = torch.randn(shape[1], shape[1], generator=made, dtype=DOUBLE)
    return torch.einsum("mn,bn...->bm...", mix, x) / 10


@torch.no_grad()
def output_error(
    module: nn.Module, other: nn.Module, x: Tensor, *, but_bias: bool = False
) -> float:
    """Of the output, relative to what of it is not bias."""
    expected = module(x)
    part = expected - module(torch.zeros_like(x)) if but_bias else expected
    return float((other(x) - expected).norm() / part.norm())


CONVS = {
    "plain": (lambda: nn.Conv2d(6, 10, 3, padding=1), (3, 6, 12, 11)),
    "rectangular, strided, dilated": (
        lambda: nn.Conv2d(6, 10, (3, 2), stride=(1, 2), padding=(2, 0), dilation=(2, 1)), (3, 6, 12, 11)
    ),
    "grouped": (lambda: nn.Conv2d(6, 10, 3, groups=2), (3, 6, 12, 11)),
    "reflect": (lambda: nn.Conv2d(6, 10, 3, padding=2, padding_mode="reflect"), (3, 6, 12, 11)),
    "same": (lambda: nn.Conv2d(6, 10, (3, 5), padding="same"), (3, 6, 12, 11)),
    "padding of its own": (lambda: SameConv(6, 10, 3, 2), (3, 6, 12, 11)),
    "1-D": (lambda: nn.Conv1d(6, 10, 5, stride=2, padding=1), (3, 6, 40)),
    "3-D": (lambda: nn.Conv3d(4, 10, (2, 1, 3)), (2, 4, 5, 6, 7)),
    "unbatched": (lambda: nn.Conv2d(6, 10, 3), (6, 12, 11)),
}  # fmt: skip


@pytest.mark.parametrize(("make", "shape"), CONVS.values(), ids=CONVS)
@pytest.mark.parametrize("rank", [1, 2])
def test_the_error_is_that_of_the_output_and_no_worse_than_without_data(
    make: Any, shape: Any, rank: int
) -> None:
    torch.manual_seed(0)
    conv = make().double()
    x = smooth(*shape) if shape[0] < 6 else smooth(1, *shape)[0]
    plain, fitted = conversion(conv, rank=rank), conversion(conv, x, rank=rank)
    (layer,) = fitted.layers
    assert (layer.error_of, plain.layers[0].error_of) == ("output", "kernel")
    found = output_error(conv, fitted.module, x, but_bias=True)
    assert found == pytest.approx(layer.error, rel=1e-6)
    assert found < 0.9 * output_error(conv, plain.module, x, but_bias=True)


def test_mixing_weights_are_those_of_least_squares() -> None:
    """torch solves the same problem, the patches laid out in full."""
    torch.manual_seed(0)
    conv, x = nn.Conv2d(5, 7, 3).double(), smooth(4, 5, 10, 9)
    new = conversion(conv, x).module
    with torch.no_grad():
        z = F.conv2d(x, new.depthwise.weight, groups=5).transpose(0, 1).flatten(1)
        y = F.conv2d(x, conv.weight).transpose(0, 1).flatten(1)
    best = torch.linalg.lstsq(z.T, y.T).solution.T
    assert torch.allclose(new.pointwise.weight.flatten(1), best, atol=1e-5)


def test_filters_of_channels_that_see_independent_things_are_the_best_there_are() -> None:
    """Channels that are never there together: the error is that of the singular values of what each contributes."""
    torch.manual_seed(0)
    conv, images = nn.Conv2d(3, 8, 3, bias=False).double(), smooth(3, 3, 14, 14)
    alone = torch.stack(
        [image * torch.eye(3, dtype=DOUBLE)[at, :, None, None] for at, image in enumerate(images)]
    )
    outputs = F.conv2d(alone, conv.weight.detach()).flatten(2)
    squares = torch.linalg.svdvals(outputs) ** 2  # of an image each, which is a channel
    expected = float((squares[:, 1:].sum() / squares.sum()).sqrt())
    assert conversion(conv, alone).layers[0].error == pytest.approx(expected, rel=1e-4)


def test_white_input_changes_little() -> None:
    torch.manual_seed(0)
    conv = nn.Conv2d(8, 12, 3, bias=False).double()
    plain, fitted = conversion(conv), conversion(conv, torch.randn(8, 8, 40, 40, dtype=DOUBLE))
    assert fitted.layers[0].error == pytest.approx(plain.layers[0].error, rel=0.02)


@pytest.mark.parametrize("rank", [1, 2])
@pytest.mark.parametrize(
    "kind", ["a dead channel", "equal channels", "one position", "constant", "tiny", "huge"]
)
def test_data_that_leaves_directions_out_is_no_trouble(kind: str, rank: int) -> None:
    torch.manual_seed(0)
    conv, x = nn.Conv2d(6, 10, 3, padding=1).double(), smooth(2, 6, 9, 9)
    match kind:
        case "a dead channel":
            x[:, 2] = 0
        case "equal channels":
            x[:, 1:] = x[:, :1]
        case "one position":
            x = smooth(1, 6, 1, 1)
        case "constant":
            x[:] = 1
        case "tiny":
            x *= 1e-12
        case "huge":
            x *= 1e12
    fitted = conversion(conv, x, rank=rank)
    assert all(parameter.isfinite().all() for parameter in fitted.module.parameters())
    found = output_error(conv, fitted.module, x)
    assert found <= output_error(conv, conversion(conv, rank=rank).module, x) + 1e-9


def test_a_layer_that_sees_nothing_has_its_plain_weights() -> None:
    conv = nn.Conv2d(6, 10, 3)
    fitted, plain = conversion(conv, torch.zeros(1, 6, 9, 9)), conversion(conv)
    assert fitted.layers[0].error_of == "kernel"
    assert torch.equal(fitted.module.pointwise.weight, plain.module.pointwise.weight)


def test_full_rank_needs_no_data() -> None:
    conv, x = nn.Conv2d(6, 10, 3).double(), smooth(2, 6, 9, 9)
    fitted = conversion(conv, x, rank=9)
    assert (fitted.layers[0].error, fitted.layers[0].error_of) == (0, "kernel")
    assert output_error(conv, fitted.module, x) < 1e-12


def test_inputs_one_after_the_other_are_as_good_as_all_at_once() -> None:
    torch.manual_seed(0)
    module, x = (
        nn.Sequential(nn.Conv2d(6, 10, 3), nn.ReLU(), nn.Conv2d(10, 6, 3)).double(),
        smooth(6, 6, 12, 12),
    )
    whole = conversion(module, x)
    for given in (
        iter(x.split(2)),
        (part for part in x.split(1)),
        torch.utils.data.DataLoader(x, batch_size=4),
    ):
        parts = conversion(module, given)
        errors = [[layer.error for layer in result.layers] for result in (parts, whole)]
        assert errors[0] == pytest.approx(errors[1], rel=1e-6)


class Images(torch.utils.data.Dataset[Any]):
    def __init__(self, images: Tensor, label: Any) -> None:
        self.images, self.label = images, label

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, at: int) -> tuple[Tensor, Any]:
        return self.images[at], self.label


@pytest.mark.parametrize(
    "label", [3, "a cat", {"boxes": torch.zeros(4)}], ids=["class", "text", "boxes"]
)
def test_labels_behind_images_are_left_out(label: Any) -> None:
    torch.manual_seed(0)
    conv, x = nn.Conv2d(6, 10, 3).double(), smooth(4, 6, 12, 12)
    expected = conversion(conv, x).layers[0].error
    loader = torch.utils.data.DataLoader(Images(x, label), batch_size=2)
    for given in (loader, ((images, label) for images in x.split(2)), iter([[x, label]])):
        assert conversion(conv, given).layers[0].error == pytest.approx(expected, rel=1e-6)


def test_what_a_forward_takes_is_no_label() -> None:
    torch.manual_seed(0)
    module = Calling(lambda self, x, mask: self.conv(x * mask), conv=nn.Conv2d(6, 8, 3)).double()
    x, mask = smooth(2, 6, 12, 12), torch.rand(2, 1, 12, 12, dtype=DOUBLE)
    masked = conversion(module.conv, x * mask).layers[0].error
    assert conversion(module, iter([(x, mask)])).layers[0].error == pytest.approx(masked, rel=1e-9)
    optional = Optional().double()
    optional.conv = module.conv
    assert conversion(optional, iter([(x, mask)])).layers[0].error == pytest.approx(
        masked, rel=1e-9
    )


class Optional(nn.Module):
    """A forward that can do without its second input."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(6, 8, 3)

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Any:
        return self.conv(x if mask is None else x * mask)


@pytest.mark.parametrize("kind", [list, tuple])
def test_a_list_of_batches_is_refused_and_says_what_to_give(kind: Any) -> None:
    message = (
        rf"^Conv2d does not take 3 inputs: a {kind.__name__} is several arguments of one call; for several batches "
        r"give a generator: \(x for x in batches\)$"
    )
    batches = kind(torch.ones(3, 1, 6, 9, 9))
    with pytest.raises(InputError, match=message):
        conversion(nn.Conv2d(6, 8, 3), batches)
    assert conversion(nn.Conv2d(6, 8, 3), (x for x in batches)).layers[0].error_of == "output"


def test_each_layer_is_fitted_to_what_it_sees_in_the_model() -> None:
    """Behind a layer that is off itself: inputs are those of the model as given."""
    torch.manual_seed(0)
    first, second, x = (
        nn.Conv2d(6, 8, 3).double(),
        nn.Conv2d(8, 6, 3).double(),
        smooth(2, 6, 12, 12),
    )
    together = conversion(nn.Sequential(first, nn.ReLU(), second), x)
    alone = conversion(second, first(x).detach().relu())
    assert together.layers[1].error == pytest.approx(alone.layers[0].error, rel=1e-9)
    assert torch.allclose(together.module[2].pointwise.weight, alone.module.pointwise.weight)


def test_a_normalisation_is_in_the_mode_of_inference_meanwhile() -> None:
    module = nn.Sequential(nn.BatchNorm2d(6), nn.Conv2d(6, 8, 3), nn.Dropout()).double()
    x = 5 + smooth(2, 6, 12, 12)
    expected = conversion(module[1], module.eval()[0](x).detach()).layers[0].error
    assert conversion(module.train(), x).layers[0].error == pytest.approx(expected, rel=1e-9)
    assert module[0].num_batches_tracked == 0


def test_all_calls_of_a_module_and_all_users_of_a_kernel_are_fitted_at_once() -> None:
    torch.manual_seed(0)
    x = smooth(2, 4, 12, 12)
    shared = twice(nn.Conv2d(4, 4, 3)).double()
    (layer,) = conversion(shared, x).layers
    first = shared[0](x).detach()
    both = conversion(shared[0], iter([x, first.relu()])).layers[0]
    assert layer.error == pytest.approx(both.error, rel=1e-9)
    module = tied(bias=False).double()
    new = conversion(module, x)
    assert new.module[0].pointwise.weight is new.module[2].pointwise.weight
    assert new.layers[0].error == new.layers[1].error


def test_half_precision_and_named_inputs() -> None:
    torch.manual_seed(0)
    module = Calling(
        lambda self, x, scale: self.conv(x) * scale, conv=nn.Conv2d(6, 8, 3)
    ).bfloat16()
    x = smooth(2, 6, 12, 12).bfloat16()
    result = conversion(module, (x, torch.ones(1).bfloat16()))
    assert result.layers[0].error_of == "output"
    assert result.module.conv.depthwise.weight.dtype == torch.bfloat16


def test_shapes_alone_do_not_calibrate_and_neither_does_random() -> None:
    conv = nn.Conv2d(6, 8, 3)
    assert conversion(conv, (1, 6, 9, 9)).layers[0].error_of == "kernel"
    assert conversion(conv, torch.ones(1, 6, 9, 9), method="random").layers[0].error_of is None


def test_a_model_that_does_not_run_on_a_later_input_is_refused() -> None:
    conv = nn.Conv2d(6, 8, 3)
    message = r"^Conv2d cannot be run to calibrate it: RuntimeError: .*6 channels"
    with pytest.raises(InputError, match=message):
        conversion(conv, iter([torch.ones(1, 6, 9, 9), torch.ones(1, 5, 9, 9)]))


@pytest.mark.parametrize("error", [AssertionError, ZeroDivisionError, StopIteration, OSError])
def test_whatever_a_model_raises_on_its_values_is_told_in_a_line(error: type[Exception]) -> None:
    def forward(self: Any, x: Tensor) -> Any:
        if not x.is_meta and float(x.max()) > 5:
            raise error("too bright\nby far")
        return self.conv(x)

    module = Calling(forward, conv=nn.Conv2d(6, 8, 3))
    with pytest.raises(
        InputError, match=rf"^Calling cannot be run to calibrate it: {error.__name__}: too bright$"
    ):
        conversion(module, iter([torch.ones(1, 6, 9, 9), torch.full((1, 6, 9, 9), 6.0)]))


@pytest.mark.parametrize("wrong", [float("nan"), float("inf"), 1e200])
def test_inputs_that_nothing_can_be_fitted_to_are_refused(wrong: float) -> None:
    x = smooth(1, 6, 9, 9)
    x[0, 2, 4, 4] = wrong
    module = nn.Sequential(nn.Identity(), nn.Conv2d(6, 8, 3)).double()
    message = r"^'1' sees values on the inputs that are NaN, infinite or too large to calibrate on$"
    with pytest.raises(InputError, match=message):
        conversion(module, x)


def test_inputs_with_values_and_without_are_not_mixed() -> None:
    with pytest.raises(
        InputError, match=r"^input 2 of 3 has no values to calibrate on, others have$"
    ):
        conversion(nn.Conv2d(6, 8, 3), iter([torch.ones(1, 6, 9, 9), (1, 6, 9, 9), (1, 6, 9, 9)]))


@pytest.mark.parametrize("groups", [1, 2])
def test_large_inputs_are_looked_at_in_pieces(groups: int, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    conv, x = (
        nn.Conv2d(6, 10, 3, stride=(1, 2), dilation=(2, 1), groups=groups).double(),
        smooth(2, 6, 12, 11),
    )
    whole = conversion(conv, x, rank=2)
    monkeypatch.setattr("dscost.converting.calibrating.CHUNK", 4 * 9 * 40)
    pieces = conversion(conv, x, rank=2)
    assert pieces.layers[0].error == pytest.approx(whole.layers[0].error, rel=1e-9)
    assert output_error(whole.module, pieces.module, x) < 1e-9


def test_a_whole_network_is_nearer_to_itself_on_its_data() -> None:
    torch.manual_seed(0)
    convs = nn.Conv2d(3, 16, 3, stride=2), nn.Conv2d(16, 16, 3), nn.Conv2d(16, 8, 3)
    module, x = (
        nn.Sequential(convs[0], nn.ReLU(), convs[1], nn.ReLU(), convs[2]).double(),
        smooth(4, 3, 32, 32),
    )
    plain, fitted = conversion(module).module, conversion(module, x).module
    assert output_error(module, fitted, x) < output_error(module, plain, x)
