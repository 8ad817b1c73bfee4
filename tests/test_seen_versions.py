"""Versions by the conventions of others against what these say of a model that was converted so."""

from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

import dscost
from dscost.errors import InputError

PEERS = ("fvcore", "ptflops", "thop", "torchinfo", "torchvision")


def counted(model: nn.Module, given: object, *conventions: str) -> dict[str, dict[str, int]]:
    report = dscost.analyze(model, given, convention=conventions or PEERS)
    return {name: dict(versions) for name, versions in report.by_convention.items()}


def conv(channels: int = 64, out_channels: int = 64, **more: object) -> nn.Conv2d:
    return nn.Conv2d(channels, out_channels, 3, **{"padding": 1, **more})  # type: ignore[arg-type]


def shared() -> nn.Module:
    one = conv()
    return nn.Sequential(nn.Sequential(one, nn.ReLU()), nn.Sequential(one, nn.BatchNorm2d(64)))


def in_blocks() -> nn.Module:
    inner = nn.Sequential(conv(stride=2), nn.BatchNorm2d(64), nn.ReLU6())
    return nn.Sequential(inner, nn.Sequential(nn.Sequential(conv(), nn.Sigmoid()), nn.MaxPool2d(2)))


class Residual(nn.Module):
    """A block as timm writes them, with an inverted bottleneck beside a whole convolution."""

    def __init__(self) -> None:
        super().__init__()
        self.conv_dw = conv(groups=64, bias=False)
        self.bn = nn.BatchNorm2d(64)
        self.conv_pw = nn.Conv2d(64, 64, 1, bias=False)
        self.whole = nn.Sequential(OrderedDict(conv=conv(64, 96, bias=False), act=nn.SiLU()))

    def forward(self, x: Tensor) -> Tensor:
        x = x + functional.relu(self.bn(self.conv_pw(self.conv_dw(x))))
        return functional.adaptive_avg_pool2d(self.whole(x), 1)


MODELS: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    "shared by two blocks": (shared, (1, 64, 16, 16)),
    "shared by two blocks, four images": (shared, (4, 64, 16, 16)),
    "in blocks": (in_blocks, (4, 64, 16, 16)),
    "as timm writes": (Residual, (2, 64, 8, 8)),
    "padded around": (lambda: nn.Sequential(conv(padding_mode="circular"), nn.ReLU()), (2, 64, 8, 8)),
    "no batch": (lambda: nn.Sequential(conv(), nn.ReLU(), conv(64, 96)), (64, 8, 8)),
    "along one axis": (lambda: nn.Sequential(nn.Conv1d(64, 64, 5), nn.ReLU()), (2, 64, 30)),
}  # fmt: skip


@pytest.mark.parametrize(("make", "shape"), MODELS.values(), ids=MODELS)
def test_a_version_counts_as_the_model_that_was_converted_so(
    make: Callable[[], nn.Module], shape: tuple[int, ...]
) -> None:
    model = make()
    converted = dscost.convert(model, shape)
    assert not any(
        type(one) in (nn.Conv1d, nn.Conv2d) and one.groups == 1 and max(one.kernel_size) > 1
        for one in converted.modules()
    )
    found = counted(model, shape)
    of_converted = counted(converted, shape)
    for name, versions in found.items():
        assert versions["depthwise_separable"] == of_converted[name]["as_is"], name


def test_a_module_that_stands_in_two_blocks_does_so_in_a_version_too() -> None:
    found = counted(shared(), (1, 64, 16, 16), "thop")["thop-0.1.1"]
    # as often as the whole is: hooked at three places, run twice, summed at two
    per_run = 16 * 16 * 64 * (9 + 64)
    norm = 4 * 16 * 16 * 64
    whole = 16 * 16 * 64 * 64 * 9
    assert (found["as_is"] - norm) // (2 * whole) == (found["depthwise_separable"] - norm) // (
        2 * per_run
    )


class Own(nn.Conv2d):
    """A class of its own."""


def normed() -> nn.Module:
    found: nn.Module = nn.utils.parametrizations.weight_norm(conv())
    return found


BLIND: dict[str, tuple[Callable[[], nn.Module], str]] = {
    "a word for padding": (lambda: nn.Sequential(conv(padding="same")), "fvcore"),
    "another class": (lambda: nn.Sequential(Own(64, 64, 3)), "thop"),
    "another class, by ptflops": (lambda: nn.Sequential(Own(64, 64, 3)), "ptflops"),
    "weight norm": (lambda: nn.Sequential(normed()), "thop"),
    "scripted": (lambda: torch.jit.script(nn.Sequential(conv())), "thop"),
}  # fmt: skip


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("make", "convention"), BLIND.values(), ids=BLIND)
def test_what_is_blind_to_a_convolution_is_blind_to_its_version(
    make: Callable[[], nn.Module], convention: str
) -> None:
    (found,) = counted(make(), (1, 64, 8, 8), convention).values()
    assert (found["as_is"], found["depthwise_separable"]) == (0, 0)


@pytest.mark.parametrize("nested", ["hidden", "all"])
def test_a_rule_for_what_holds_a_convolution_counts_its_version(
    tmp_path: Path, nested: str
) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(
        f"title: Mine\ncounts: MACs\nmeans: Sequences.\nsource: me\nnested: {nested}\nrules:\n"
        "  - {modules: Sequential, counts: {macs: 1}}\n  - {modules: Conv2d, counts: {macs: 1}}\n"
    )
    model = nn.Sequential(conv(bias=False), nn.ReLU(), nn.Conv2d(64, 8, 1))
    found = counted(model, (1, 64, 8, 8), str(path))["mine"]
    times = 1 if nested == "hidden" else 2
    assert found["as_is"] == times * 64 * 64 * (64 * 9 + 8)
    assert found["depthwise_separable"] == times * 64 * 64 * (9 + 64 + 8)


def test_a_pair_is_seen_as_the_convolution_that_it_stands_for() -> None:
    pair = nn.Sequential(
        conv(groups=64, bias=False), nn.BatchNorm2d(64), nn.ReLU(), nn.Conv2d(64, 96, 1)
    )
    model = nn.Sequential(pair, nn.ReLU())
    for name, versions in counted(model, (2, 64, 8, 8)).items():
        whole = nn.Sequential(nn.Sequential(conv(64, 96)), nn.ReLU())
        assert versions["standard"] == counted(whole, (2, 64, 8, 8))[name]["as_is"], name


class InThreads(nn.Module):
    """Runs its layers in threads."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = conv(), conv()

    def forward(self, x: Tensor) -> list[Tensor]:
        with ThreadPoolExecutor(2) as pool:
            return list(pool.map(lambda layer: layer(x), [self.a, self.b]))


def test_hooks_see_what_runs_in_threads_and_who_looks_at_operators_does_not() -> None:
    report = dscost.analyze(InThreads(), (1, 64, 8, 8), convention=("fvcore", "thop", "ptflops"))
    whole, separable = 2 * 64 * 64 * 64 * 9, 2 * 64 * 64 * (9 + 64)
    bias = 2 * 64 * 64
    for name, figures in {
        "thop-0.1.1": (whole, separable),
        "ptflops-0.7.5": (whole + bias, separable + bias),
        "fvcore-0.1.5": (0, 0),
    }.items():
        found = report.by_convention[name]
        assert (found["as_is"], found["depthwise_separable"]) == figures
    said = "Parts of the model ran in threads of its own: counters that look at operators see nothing of them."
    assert report.warnings.count(said) == 1
    assert not any("instead of" in one for one in report.warnings)
    assert said not in dscost.analyze(InThreads(), (1, 64, 8, 8), convention="thop").warnings


class AsksForFunction(nn.Module):
    """Does something else where a function of torch is another."""

    def __init__(self, *, fails: bool) -> None:
        super().__init__()
        self.conv, self.other, self.fails = conv(), conv(64, 32), fails
        self.act = functional.relu

    def forward(self, x: Tensor) -> Tensor:
        if self.act is functional.relu:
            return self.conv(x)  # type: ignore[no-any-return]
        if self.fails:
            raise ValueError("relu is another")
        return self.other(x)  # type: ignore[no-any-return]


def test_our_own_figures_stay_where_a_model_notices_who_watches() -> None:
    plain = dscost.analyze(AsksForFunction(fails=False), (1, 64, 8, 8))
    asked = dscost.analyze(AsksForFunction(fails=False), (1, 64, 8, 8), convention="ptflops")
    assert asked.totals == plain.totals
    assert asked.totals.as_is.macs == 64 * 64 * 64 * 9
    # with its bias
    assert asked.by_convention["ptflops-0.7.5"]["as_is"] == 64 * 32 * (64 * 9 + 1)
    *_, said = asked.warnings
    assert said == (
        "The model does something else where functions of torch are replaced, as other counters replace them: "
        "what they would count is of other layers, with 1,179,648 MACs instead of 2,359,296."
    )


def test_a_model_that_fails_where_it_is_watched_has_no_figure_of_others() -> None:
    asked = dscost.analyze(AsksForFunction(fails=True), (1, 64, 8, 8), convention="ptflops")
    assert asked.totals.as_is.macs == 64 * 64 * 64 * 9
    assert not asked.by_convention
    assert asked.warnings[-1] == (
        "Not counted by ptflops 0.7.5: the model fails where functions of torch are replaced: "
        "ValueError: relu is another."
    )


def test_a_model_that_fails_where_it_is_watched_has_no_figure_to_find() -> None:
    with pytest.raises(InputError, match="others cannot count it: the model fails where functions"):
        dscost.which(AsksForFunction(fails=True), "2.36M", input=(1, 64, 8, 8))


class Named(nn.Module):
    """Takes an image."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.act = nn.Conv2d(3, 4, 3), nn.ReLU()

    def forward(self, image: Tensor) -> Tensor:
        found: Tensor = self.act(self.conv(image))
        return found


@pytest.mark.parametrize(
    ("given", "expected"),
    # of the peer itself: 17,280; by place, modules by image and functions for all of them
    [({"image": (4, 3, 8, 8)}, 17_280), ((4, 3, 8, 8), 36 * 4 * (27 + 1) + 36 * 4 + 4 * 36 * 4)],
    ids=["by name", "by place"],
)
def test_inputs_that_are_named_are_one_to_ptflops(given: object, expected: int) -> None:
    assert counted(Named(), given, "ptflops")["ptflops-0.7.5"]["as_is"] == expected


@pytest.mark.parametrize(
    ("second", "fvcore", "ptflops"),
    # fvcore fails at a vector; of ptflops and of a matrix the figures are those of the peers themselves
    [((64,), 32 * 64, 131_072), ((64, 8), 32 * 64 * 8, 32 * 64 * 8)],
    ids=["a vector", "a matrix"],
)
def test_a_product_with_a_vector(second: tuple[int, ...], fvcore: int, ptflops: int) -> None:
    class Product(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.second = nn.Parameter(torch.zeros(second))

        def forward(self, x: Tensor) -> Tensor:
            return torch.matmul(x, self.second)

    found = counted(Product(), (1, 32, 64), "fvcore", "ptflops")
    assert [one["as_is"] for one in found.values()] == [fvcore, ptflops]
