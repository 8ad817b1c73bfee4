"""Layers refitted to what the original returns: by numpy's lstsq on the design matrix, torch's own statistics, by law."""

import copy
from collections.abc import Callable, Iterator
from itertools import count
from typing import Any

import numpy as np
import pytest
import torch
from test_rewriting import SameConv, tied, twice
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

import dscost
from dscost.converting.recovering import fitting, groups, least_squares
from dscost.converting.recovering.of_modules import recovered
from dscost.converting.recovering.records import NORMALISED, REFITTED, Recovered, Recovery
from dscost.converting.recovering.stepping import Standing
from dscost.errors import InputError
from dscost.pages.recovery_words import recovery_lines, recovery_notes
from dscost.tracing import arguments_of

DOUBLE = torch.float64


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Two threads on a busy machine take hundreds of times longer for small tensors."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def smooth(*shape: int, seed: int = 0) -> Tensor:
    """Images whose pixels are like their neighbours and whose channels are like each other."""
    made = torch.Generator().manual_seed(seed)
    x = torch.randn(shape, generator=made, dtype=DOUBLE)
    for axis in range(2, len(shape)):
        x = x.cumsum(axis)
    mix = torch.randn(shape[1], shape[1], generator=made, dtype=DOUBLE)
    x = torch.einsum("mn,bn...->bm...", mix, x)
    return x / x.std(dim=tuple(range(1, len(shape))), keepdim=True)


@torch.no_grad()
def output_error(original: nn.Module, other: nn.Module, x: Tensor) -> float:
    expected = original.eval()(x)
    return float((other.eval()(x) - expected).norm() / expected.norm())


def converted(module: nn.Module, **options: Any) -> tuple[nn.Module, list[str]]:
    """By SVD alone: no values are given."""
    found = dscost.conversion(module.eval(), **{"min_channels": 1, **options})
    return found.module, [layer.name for layer in found.layers if layer.converted]


def recover(module: nn.Module, x: Any, *, parts: int = 2, **options: Any) -> Recovered:
    other, names = converted(module, **options)
    given = x.split(parts) if isinstance(x, Tensor) else x
    return recovered(module, other, names, [arguments_of(one) for one in given])


def without_ridge(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        fitting, "best_choice", lambda pairs, shifts: least_squares.Choice(1e-12, shifts)
    )


# -- by numpy's lstsq, the design matrix laid out


class PointwiseFirst(nn.Module):
    """Channels are mixed, then filtered: the order of a blueprint-separable convolution."""

    def __init__(self, conv: Any, rank: int) -> None:
        super().__init__()
        kinds = {1: nn.Conv1d, 2: nn.Conv2d, 3: nn.Conv3d}
        make: Any = kinds[len(conv.kernel_size)]
        self.out_channels, middle = conv.out_channels, conv.out_channels * rank
        self.pointwise = make(conv.in_channels, middle, 1, groups=conv.groups, bias=False)
        window = {
            name: getattr(conv, name) for name in ("stride", "padding", "dilation", "padding_mode")
        }
        size, bias = conv.kernel_size, conv.bias is not None
        self.depthwise = make(
            middle, conv.out_channels, size, groups=conv.out_channels, bias=bias, **window
        )

    def forward(self, x: Tensor) -> Any:
        return self.depthwise(self.pointwise(x))


CONVS: dict[str, tuple[Callable[[], Any], tuple[int, ...]]] = {
    "plain": (lambda: nn.Conv2d(5, 6, 3, padding=1), (6, 5, 12, 11)),
    "no bias": (lambda: nn.Conv2d(5, 6, 3, bias=False), (6, 5, 12, 11)),
    "strided, dilated": (
        lambda: nn.Conv2d(5, 6, (3, 2), stride=(2, 1), padding=(2, 0), dilation=(2, 1)), (6, 5, 16, 11)
    ),
    "grouped": (lambda: nn.Conv2d(6, 8, 3, groups=2, stride=2), (8, 6, 15, 14)),
    "reflect": (lambda: nn.Conv2d(5, 6, 3, padding=2, padding_mode="reflect"), (6, 5, 12, 11)),
    "same": (lambda: nn.Conv2d(5, 6, (3, 5), padding="same"), (6, 5, 12, 11)),
    "1-D": (lambda: nn.Conv1d(5, 6, 5, stride=2, padding=1), (8, 5, 60)),
    "3-D": (lambda: nn.Conv3d(3, 4, (2, 1, 3), padding=(1, 0, 1)), (4, 3, 5, 6, 7)),
}  # fmt: skip


def in_groups(x: Tensor, groups: int) -> Tensor:
    return x.unflatten(1, (groups, -1)).movedim(1, 0)


@torch.no_grad()
def best(layer: Any, conv: Any, x: Tensor) -> Tensor:
    """What the layer returns with the weights and bias of least squares, output by output."""
    expected, filters, window = conv(x), layer.depthwise.weight, layer.depthwise
    has_bias = conv.bias is not None
    given, channels_last = conv.padding_mode, []
    for n in range(conv.out_channels):
        group = n * conv.groups // conv.out_channels
        own = in_groups(x, conv.groups)[group]
        if isinstance(layer, PointwiseFirst):
            rank = layer.depthwise.in_channels // layer.out_channels
            own_filters = filters[n].unsqueeze(1)  # (T, 1, ...): each channel under all of them
            weight = own_filters.repeat(own.shape[1], *[1] * (filters.dim() - 1))
        else:
            rank = len(filters) // conv.in_channels
            weight = filters.unflatten(0, (conv.groups, -1))[group]
        one = type(conv)(
            own.shape[1], own.shape[1] * rank, conv.kernel_size, window.stride, window.padding,
            window.dilation, own.shape[1], False, given,
        ).double()  # fmt: skip
        one.weight.copy_(weight)
        z = one(own).movedim(1, -1).flatten(0, -2)
        design = torch.cat([z, torch.ones(len(z), 1)], 1) if has_bias else z
        aim = expected[:, n].flatten()
        found = np.linalg.lstsq(design.numpy(), aim.numpy(), rcond=None)[0]
        channels_last.append(torch.from_numpy(design.numpy() @ found).reshape(expected[:, n].shape))
    return torch.stack(channels_last, 1)


@pytest.mark.parametrize(("make", "shape"), CONVS.values(), ids=CONVS)
@pytest.mark.parametrize("order", ["depthwise-first", "pointwise-first"])
@pytest.mark.parametrize("rank", [1, 2])
def test_refitted_weights_are_those_of_least_squares(
    make: Any, shape: Any, order: str, rank: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    without_ridge(monkeypatch)
    torch.manual_seed(0)
    conv, x = make().double(), smooth(*shape) + 0.3 * torch.randn(shape, dtype=DOUBLE)
    if order == "depthwise-first":
        layer, _ = converted(conv, rank=rank)
    else:
        layer = PointwiseFirst(conv, rank).double()
    expected = best(layer, conv, x)
    given = [arguments_of(one) for one in x.split(2)]
    with torch.no_grad():
        y = conv(x)
        before, least = (y - layer(x)).square().sum(), (y - expected).square().sum()
        found = recovered(conv, layer, [""], given).model
        left = (y - found(x)).square().sum()
    assert least < 0.98 * before
    assert least <= left * (1 + 1e-9)
    assert left - least < 1e-6 * (before - least)


def test_a_bias_that_another_layer_has_too_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    without_ridge(monkeypatch)
    torch.manual_seed(0)
    module = nn.Sequential(nn.Conv2d(4, 4, 3, padding=1), nn.ReLU(), nn.Conv2d(4, 4, 3)).double()
    module[2].bias = module[0].bias
    x = smooth(4, 4, 10, 10)
    found = recover(module, x).model
    for at in (0, 2):
        assert torch.equal(found[at].pointwise.bias, module[0].bias)
    assert found[0].pointwise.bias is found[2].pointwise.bias
    with torch.no_grad():  # of least squares without a constant
        z = found[0].depthwise(x).movedim(1, -1).flatten(0, -2)
        aim = F.conv2d(x, module[0].weight, padding=1).movedim(1, -1).flatten(0, -2)
    best = torch.linalg.lstsq(z, aim).solution.T
    assert torch.allclose(found[0].pointwise.weight.flatten(1), best, atol=1e-6)


# -- in a network


def network(seed: int = 0) -> nn.Sequential:
    torch.manual_seed(seed)
    return nn.Sequential(
        nn.Conv2d(3, 12, 3, padding=1), nn.ReLU(), nn.Conv2d(12, 12, 3), nn.ReLU(), nn.Conv2d(12, 5, 3)
    ).double().eval()  # fmt: skip


def test_a_layer_makes_good_what_those_before_it_did_wrong() -> None:
    """The same layers fitted to what they see in the original model leave more of the output's error."""
    module, x = network(), smooth(16, 3, 16, 16)
    found = recover(module, x).model
    apart, _ = converted(module)
    seen = x
    for at in (0, 2, 4):  # each alone, on the inputs that it has in the original
        with torch.no_grad():
            alone = recovered(module[at], copy.deepcopy(apart[at]), [""], [arguments_of(seen)])
            apart[at] = alone.model
            seen = module[at : at + 2](seen) if at < 4 else seen
    together, alone_error = output_error(module, found, x), output_error(module, apart, x)
    assert together < 0.95 * alone_error
    held = smooth(16, 3, 16, 16, seed=1)
    assert output_error(module, found, held) < output_error(module, apart, held)


@pytest.mark.parametrize("images", [1, 2, 24])
def test_inputs_that_were_not_calibrated_on_gain_too(images: int) -> None:
    """Fewer positions than unknowns do no harm: 24 × 9 + 1 unknowns, and 36 positions of an image."""
    torch.manual_seed(0)
    module = nn.Sequential(nn.Conv2d(24, 24, 3), nn.ReLU(), nn.Conv2d(24, 24, 3)).double()
    x, held = smooth(images, 24, 8, 8), smooth(24, 24, 8, 8, seed=1)
    other, names = converted(module, rank=2)
    before = output_error(module, other, held)
    found = recovered(module, other, names, [arguments_of(one) for one in x.split(4)])
    assert output_error(module, found.model, held) < (1.02 if images == 1 else 0.95) * before


def test_each_step_says_what_it_gained() -> None:
    module, x = network(), smooth(8, 3, 16, 16)
    plain, _ = converted(module)
    found = recover(module, x)
    (step,) = found.steps
    assert (step.name, step.kept, step.score_before) == (REFITTED, True, None)
    assert step.error_before == pytest.approx(output_error(module, plain, x), rel=1e-9)
    assert step.error_after == pytest.approx(output_error(module, found.model, x), rel=1e-9)
    assert step.error_after < step.error_before


def test_weights_of_full_rank_stay_as_good_as_they_are() -> None:
    module, x = network(), smooth(8, 3, 16, 16)
    found = recover(module, x, rank=9)
    assert output_error(module, found.model, x) < 1e-9


def test_neither_model_is_changed_but_for_what_is_recovered() -> None:
    torch.manual_seed(0)
    norm = nn.BatchNorm2d(8, momentum=0.3)
    module = nn.Sequential(nn.Conv2d(3, 8, 3), norm, nn.Dropout(), nn.Conv2d(8, 4, 1)).double()
    before = copy.deepcopy(module.state_dict())
    other, names = converted(module)
    module.train(), other.train()
    other[1].running_mean = norm.running_mean  # as models that nobody else trains share them
    kept = other[3].weight
    given = [arguments_of(smooth(4, 3, 9, 9))]
    found = recovered(module, other, names, given, judge=rising())
    assert [step.kept for step in found.steps] == [True, True]
    assert not torch.equal(other[1].running_mean, before["1.running_mean"])
    for name, tensor in module.state_dict().items():
        assert torch.equal(tensor, before[name]), name
    assert all(part.training for part in (*module.modules(), *other.modules()))
    assert other[3].weight is kept
    assert (norm.momentum, int(norm.num_batches_tracked)) == (0.3, 0)
    assert (other[1].momentum, int(other[1].num_batches_tracked)) == (0.3, 0)


def test_layers_that_share_weights_share_them_still_and_are_fitted_over_all_calls() -> None:
    torch.manual_seed(0)
    shared, x = twice(nn.Conv2d(4, 4, 3)).double(), smooth(6, 4, 12, 12)
    found = recover(shared, x)
    assert found.model[0] is found.model[2]
    assert found.steps[0].error_after < found.steps[0].error_before
    module = tied(bias=False).double()
    found = recover(module, x)
    assert found.model[0].pointwise.weight is found.model[2].pointwise.weight


def test_weights_that_two_layers_share_are_of_least_squares_over_what_both_see(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Side by side, so that what they see does not depend on them."""
    without_ridge(monkeypatch)
    torch.manual_seed(0)

    class Beside(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b = nn.Conv2d(4, 5, 3, bias=False), nn.Conv2d(4, 5, 3, bias=False)
            self.b.weight = self.a.weight

        def forward(self, x: Tensor) -> Any:
            return self.a(x), self.b(x.flip(1) ** 2)

    module, x = Beside().double(), smooth(4, 4, 10, 10)
    found = recover(module, x).model
    with torch.no_grad():
        both = torch.cat([x, x.flip(1) ** 2])
        z = found.a.depthwise(both).movedim(1, -1).flatten(0, -2)
        best = torch.linalg.lstsq(z, module.a(both).movedim(1, -1).flatten(0, -2)).solution.T
    assert torch.allclose(found.a.pointwise.weight.flatten(1), best, atol=1e-6)
    assert found.b.pointwise.weight is found.a.pointwise.weight


def test_a_padding_of_its_own_is_part_of_what_a_layer_sees() -> None:
    torch.manual_seed(0)
    module, x = nn.Sequential(SameConv(4, 6, 3, 2)).double(), smooth(6, 4, 13, 12)
    found = recover(module, x)
    assert type(found.model[0]).__name__ == "PaddedFirst"
    assert found.steps[0].error_after < 0.95 * found.steps[0].error_before


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_weights_keep_their_dtype(dtype: torch.dtype) -> None:
    module, x = network().to(dtype), smooth(8, 3, 16, 16).to(dtype)
    found = recover(module, x)
    assert {one.dtype for one in found.model.parameters()} == {dtype}
    assert found.steps[0].error_after < found.steps[0].error_before


@pytest.mark.parametrize(
    "kind", ["a dead channel", "equal channels", "constant", "tiny", "huge", "zeros"]
)
def test_data_that_leaves_directions_out_is_no_trouble(kind: str) -> None:
    module, x = network(), smooth(4, 3, 12, 12)
    match kind:
        case "a dead channel":
            x[:, 2] = 0
        case "equal channels":
            x[:, 1:] = x[:, :1]
        case "constant":
            x[:] = 1
        case "tiny":
            x *= 1e-12
        case "huge":
            x *= 1e12
        case "zeros":
            x[:] = 0
    found = recover(module, x)
    assert all(parameter.isfinite().all() for parameter in found.model.parameters())
    (step,) = found.steps
    assert step.error_after <= step.error_before


def test_positions_are_drawn_where_there_are_many(monkeypatch: pytest.MonkeyPatch) -> None:
    module, x = network(), smooth(8, 3, 40, 40)
    whole = recover(module, x).steps[0]
    monkeypatch.setattr(fitting, "LEAST_POSITIONS", 400)
    monkeypatch.setattr(fitting, "PER_UNKNOWN", 20)
    seen: list[int] = []
    real = fitting.Fitting.add
    monkeypatch.setattr(
        fitting.Fitting,
        "add",
        lambda self, z, *rest: (seen.append(z.shape[1]), real(self, z, *rest)),
    )
    some = recover(module, x).steps[0]
    assert set(seen) == {400 // 8}  # of an image: 13 × 20 positions for 13 unknowns are fewer
    assert some.error_after == pytest.approx(whole.error_after, rel=0.1)
    assert recover(module, x).steps[0] == some  # drawn of a seed


def test_an_output_that_would_do_worse_keeps_its_weights() -> None:
    """As its weights are stored: of two, the rounding of the second one makes nonsense."""
    random = np.random.default_rng(0)
    mixing = random.standard_normal((2, 3))
    stages = fitting.Stages(np.zeros((3, 9)), mixing, 1, 2, is_depthwise_first=True)
    looked_at = fitting.Fitting(stages, shifts=False, inputs=2)
    for at in (0, 1):
        z = random.standard_normal((3, 50))
        looked_at.add(z, (mixing + 1) @ z, None, at)
    found = looked_at.result(lambda values: values * [[1], [100]], None)
    assert found.mixing[0] == pytest.approx(mixing[0] + 1)
    assert (found.mixing[1] == mixing[1]).all()
    assert found.after < found.before


def test_models_run_no_further_than_what_is_looked_at() -> None:
    class Tail(nn.Module):
        calls = 0

        def forward(self, x: Tensor) -> Tensor:
            Tail.calls += 1
            return x

    module = nn.Sequential(*network(), Tail())
    other, names = converted(module)
    Tail.calls = 0
    recovered(module, other, names, [arguments_of(x) for x in smooth(4, 3, 12, 12).split(2)])
    assert Tail.calls == 2 * (1 + 2)  # of two batches: what is to come out, and the error twice


def test_targets_that_are_not_kept_at_a_time_are_made_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    module, x = network(), smooth(4, 3, 16, 16)
    whole = recover(module, x).steps
    monkeypatch.setattr(groups, "MOST_TARGET_BYTES", 1)
    assert recover(module, x).steps[0].error_after == pytest.approx(whole[0].error_after, rel=1e-6)


def test_a_layer_that_sees_too_much_is_left_and_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fitting, "MOST_BYTES", 2 * 3**2 * 8)
    module, x = network(), smooth(4, 3, 16, 16)
    plain, _ = converted(module)
    found = recover(module, x)
    # 3 channels have 2 · 3² products of 8 bytes, 12 have 2 · 12²
    assert found.steps[0].notes == (
        "2 of 3 layers as before ('2', '4'): what they see has second moments of more than 144 B.",
    )
    assert torch.equal(found.model[2].pointwise.weight, plain[2].pointwise.weight)
    assert not torch.equal(found.model[0].pointwise.weight, plain[0].pointwise.weight)


# -- normalisations


def rising() -> Callable[[Any], float]:
    """A judge to whom every step is a gain."""
    scores = count()
    return lambda model: float(next(scores))


def normalised() -> Any:
    """A network that was trained a little."""
    torch.manual_seed(0)
    module = nn.Sequential(
        nn.BatchNorm2d(3), nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 8, 3),
        nn.BatchNorm2d(8, momentum=0.5),
    ).double()  # fmt: skip
    with torch.no_grad():
        for seed in range(8):
            module.train()(3 + 2 * smooth(8, 3, 12, 12, seed=seed))
    return module


def test_statistics_are_those_of_what_normalisations_see_and_that_torch_has() -> None:
    """Torch's own are of one batch, and of the first normalisation: in training others see something else."""
    module, x = normalised(), 3 + 2 * smooth(8, 3, 12, 12, seed=9)
    plain, names = converted(module)
    found = recovered(module, plain, names, [arguments_of(x)], judge=rising())
    step = found.steps[1]
    assert (step.name, step.kept, step.changed) == (NORMALISED, True, 2)
    new = found.model.eval()
    with torch.no_grad():
        for at in (2, 5):
            seen = new[:at](x).transpose(0, 1).flatten(1)
            assert torch.allclose(new[at].running_mean, seen.mean(1))
            assert torch.allclose(new[at].running_var, seen.var(1))  # over one value fewer
        theirs = nn.BatchNorm2d(8, momentum=None).double()
        theirs(new[:2](x))
    assert torch.allclose(new[2].running_mean, theirs.running_mean)
    assert torch.allclose(new[2].running_var, theirs.running_var)
    assert torch.equal(new[0].running_mean, module[0].running_mean)  # no layer is before it


@pytest.mark.parametrize("sizes", [[1] * 8, [7, 1], [3, 5]], ids=str)
def test_statistics_do_not_depend_on_which_inputs_are_in_a_batch(sizes: list[int]) -> None:
    x = 3 + 2 * smooth(8, 3, 12, 12, seed=9)
    x += torch.arange(8.0).reshape(-1, 1, 1, 1)  # no input is like another

    def statistics(parts: tuple[Tensor, ...]) -> list[Tensor]:
        module = normalised()
        plain, names = converted(module)
        given = [arguments_of(one) for one in parts]
        scores = iter([1.0, 0.0, 2.0])  # nothing stays refitted: the same layers make what is seen
        model = recovered(module, plain, names, given, judge=lambda _: next(scores)).model
        return [
            getattr(model[at], name) for at in (2, 5) for name in ("running_mean", "running_var")
        ]

    for one, other in zip(statistics(x.split(sizes)), statistics((x,)), strict=True):
        assert torch.allclose(one, other, rtol=1e-9)


def test_a_normalisation_that_sees_one_value_at_a_time_has_its_statistics() -> None:
    torch.manual_seed(0)
    pooled = [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.BatchNorm1d(8)]
    module = nn.Sequential(nn.Conv2d(3, 8, 3), *pooled).double()
    plain, names = converted(module)
    x = smooth(6, 3, 9, 9)
    given = [arguments_of(one) for one in x.split(1)]
    found = recovered(module, plain, names, given, judge=rising()).model
    with torch.no_grad():
        assert torch.allclose(found[3].running_var, found[:3](x).var(0))


def test_a_normalisation_that_counts_no_batches_has_its_statistics() -> None:
    module = normalised()
    module[2].num_batches_tracked = module[5].num_batches_tracked = None
    plain, names = converted(module)
    found = recovered(module, plain, names, [arguments_of(smooth(4, 3, 12, 12))], judge=rising())
    assert found.steps[1].kept
    assert found.model[2].num_batches_tracked is None


def test_what_a_judge_calls_worse_is_undone() -> None:
    torch.manual_seed(0)
    module = nn.Sequential(
        nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 4, 3)
    ).double()
    other, names = converted(module)
    before = copy.deepcopy(other.state_dict())
    scores, judged = iter([0.5, 0.4, 0.6]), []

    def judge(model: nn.Module) -> float:
        judged.append((model, model.training))
        return next(scores)

    given = [arguments_of(smooth(4, 3, 9, 9, seed=seed)) for seed in (0, 1)]
    found = recovered(module, other, names, given, judge=judge)
    refitted, normalised = found.steps
    assert (refitted.score_before, refitted.score_after, refitted.kept) == (0.5, 0.4, False)
    assert (normalised.score_before, normalised.score_after, normalised.kept) == (0.5, 0.6, True)
    assert normalised.error_before == refitted.error_before  # as if nothing had been done
    changed = {
        name for name, one in found.model.state_dict().items() if not torch.equal(one, before[name])
    }
    assert changed == {"1.running_mean", "1.running_var"}
    assert not any(is_training for _, is_training in judged)
    assert all(model is not other for model, _ in judged)


@pytest.mark.parametrize(
    ("scores", "error_after", "tolerance", "is_kept"),
    [
        ((0.9, 0.8995), 0.1, 0.001, True),  # less than it can tell, and the error falls
        ((0.9, 0.8995), 0.1, 0.0, False),
        ((0.9, 0.8985), 0.1, 0.001, False),
        ((0.9, 0.9005), 0.6, 0.001, False),  # as good as equal, and the error rises
        ((0.9, 0.902), 0.6, 0.001, True),
        ((0.9, 0.9), 0.6, 0.0, False),
        ((0.9, 0.9), 0.4, 0.0, True),
        ((0.9, float("nan")), 0.1, 0.001, False),
        ((None, None), 0.6, 0.001, False),
    ],
)
def test_a_step_is_undone_by_no_less_than_the_score_can_tell(
    scores: Any, error_after: float, tolerance: float, is_kept: bool
) -> None:
    before, after = Standing(0.5, scores[0]), Standing(error_after, scores[1])
    assert after.loses_to(before, tolerance) is not is_kept


def test_what_a_judge_cannot_tell_is_told_by_the_error() -> None:
    """One sample of a thousand."""
    module, x = network(), smooth(8, 3, 16, 16)
    for tolerance, is_kept in ((0.001, True), (0.0, False)):
        other, names = converted(module)
        judge = falling(0.9, 0.8993)
        given = [arguments_of(one) for one in x.split(2)]
        found = recovered(module, other, names, given, judge=judge, tolerance=tolerance)
        assert found.steps[0].kept is is_kept


def falling(*scores: float) -> Callable[[Any], float]:
    left = iter(scores)
    return lambda model: next(left)


def test_where_no_layer_is_refitted_that_is_what_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fitting, "best_choice", lambda pairs, shifts: None)
    module, x = network(), smooth(4, 3, 16, 16)
    other, names = converted(module)
    given = [arguments_of(one) for one in x.split(2)]
    judge = falling(0.5)  # asked once: the model is what it was
    found = recovered(module, other, names, given, judge=judge)
    (step,) = found.steps
    assert (step.kept, step.changed, step.score_after) == (False, 0, 0.5)
    assert step.error_after == step.error_before
    why = "refitted weights do no better on the half of the inputs that they have not seen"
    assert step.notes == (f"3 of 3 layers as before ('0', '2', '4'): {why}.",)
    said = Recovery("x.npy", 4, found.steps)
    error = f"{step.error_before:.3g}"
    assert list(recovery_lines(said)) == [
        f"No layer was refitted on 4 inputs of x.npy: output error {error} as it was."
    ]
    assert recovery_notes(said) == list(step.notes)  # nothing of errors of layers


def test_without_a_judge_a_step_that_loses_by_the_error_is_undone() -> None:
    """Statistics of other inputs than the model was trained on."""
    torch.manual_seed(0)
    module = nn.Sequential(
        nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 4, 3)
    ).double()
    found = recover(module, 30 + smooth(8, 3, 9, 9))
    step = found.steps[1]
    assert (step.name, step.kept) == (NORMALISED, False)
    assert step.error_after > step.error_before
    assert torch.equal(found.model[1].running_mean, torch.zeros(8).double())


# -- what cannot be


def test_a_model_that_cannot_be_run_is_told_in_a_line() -> None:
    message = r"^Sequential cannot be run to calibrate it: RuntimeError: .*3 channels"
    with pytest.raises(InputError, match=message):
        recover(network(), [torch.ones(1, 4, 16, 16, dtype=DOUBLE)])


@pytest.mark.parametrize("wrong", [float("nan"), float("inf"), 1e200])
def test_what_no_layer_can_be_fitted_to_is_refused(wrong: float) -> None:
    x = smooth(2, 3, 16, 16)
    x[0, 2, 4, 4] = wrong
    message = r"^'0' sees values on the calibration inputs that are NaN, infinite or too large to calibrate on$"
    with pytest.raises(InputError, match=message):
        recover(network(), x)


def test_a_model_whose_outputs_have_no_numbers_is_refitted_all_the_same() -> None:
    class Deciding(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net = network()

        def forward(self, x: Tensor) -> Any:
            return self.net(x).argmax(1)

    found = recover(Deciding(), smooth(4, 3, 16, 16))
    (step,) = found.steps
    assert (step.error_before, step.error_after, step.kept) == (None, None, True)
