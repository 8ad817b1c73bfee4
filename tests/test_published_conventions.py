"""Figures that others published, reproduced by the conventions that they were counted by."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

import dscost
from dscost.configs import config_folder
from dscost.conventions import find_convention, tally
from dscost.conventions.operations import calls_of
from dscost.errors import InputError, UnavailableError
from dscost.networks.architectures import build, read_architecture

TENSORFLOW = find_convention("tensorflow-profiler")


def flops_of(path: Path, variation: str | None = None, batch: int = 1) -> int:
    """Return what TensorFlow's profiler counts of an architecture."""
    network = build(read_architecture(path), overrides={}, batch=batch)
    convention = TENSORFLOW.varied(variation) if variation else TENSORFLOW
    return tally(convention, calls_of(network.operations), batch=batch).total


def with_softmax(name: str, folder: Path) -> Path:
    """Return the file of a built-in network that ends as Keras has it."""
    text = (config_folder("architectures") / f"{name}.yaml").read_text()
    path = folder / "keras.yaml"
    path.write_text(f"{text}  - {{act: softmax}}\n")
    return path


@pytest.mark.parametrize(
    ("name", "flops"), [("vgg", 30_960_211_824), ("mobilenet_v2", 601_833_648)]
)
def test_models_of_keras_count_as_their_profiler_was_published(
    name: str, flops: int, tmp_path: Path
) -> None:
    """By gist.github.com/hav4ik/b05b5ef9c0bf2fe47da74e04dc1d91e1."""
    assert flops_of(with_softmax(name, tmp_path)) == flops


def test_vgg19_counts_as_was_published(tmp_path: Path) -> None:
    """One more convolution in each of the last three stages; by the same gist."""
    stages = [(64, 2), (128, 2), (256, 4), (512, 4), (512, 4)]
    convolutions = "\n".join(
        "".join(f"  - {{conv: 3, out_channels: {c}, act: relu}}\n" for _ in range(n))
        + "  - {max_pool: 2}"
        for c, n in stages
    )
    path = tmp_path / "vgg19.yaml"
    path.write_text(
        f"input: [3, 224, 224]\nlayers:\n{convolutions}\n  - flatten\n"
        "  - {linear: 4096, act: relu}\n  - {linear: 4096, act: relu}\n"
        "  - {linear: 1000, act: softmax}\n"
    )
    assert flops_of(path) == 39_285_112_688


def test_xception_counts_as_was_published_by_a_release_that_knew_no_sums(tmp_path: Path) -> None:
    """150 × 150 pixels, without its top, halved; by keras-team/tf-keras#6."""
    text = (config_folder("architectures") / "xception.yaml").read_text()
    path = tmp_path / "features.yaml"
    path.write_text(
        text[: text.index("  - {global_pool: 1}")].replace("resolution: 299", "resolution: 150")
    )
    assert flops_of(path, "sums not counted") // 2 == 1_925_897_756
    assert flops_of(path) // 2 > 1_925_897_756


def test_the_example_of_keras_flops_counts_by_hand(tmp_path: Path) -> None:
    """0.0338 G by pypi.org/project/keras-flops."""
    path = tmp_path / "example.yaml"
    path.write_text("""\
input: [3, 32, 32]
layers:
  - {conv: 3, out_channels: 32, padding: 0, act: relu}
  - {conv: 3, out_channels: 64, padding: 0, act: relu}
  - {max_pool: 2}
  - {dropout: 0.25}
  - flatten
  - {linear: 128, act: relu}
  - {dropout: 0.5}
  - {linear: 10, act: softmax}
""")
    conv = 30 * 30 * 32 * (2 * 9 * 3 + 1) + 28 * 28 * 64 * (2 * 9 * 32 + 1)
    pooling = 14 * 14 * 64 * 2 * 2
    linear = 128 * (2 * 14 * 14 * 64 + 1) + 10 * (2 * 128 + 1)
    assert flops_of(path) == conv + pooling + linear + 5 * 10
    assert f"{flops_of(path) / 10**9:.03}" == "0.0338"
    assert flops_of(path, batch=2) == 2 * flops_of(path)


OPS = {
    "efficientnet_b0": "0.386",
    "efficientnet_b1": "0.687",
    "efficientnet_b3": "1.827",
    "efficientnet_b4": "4.394",
    "efficientnet_b5": "10.266",
    "efficientnet_b6": "19.068",
    "efficientnet_b7": "37.746",
    "mobilenet_v2": "0.301",
    "mobilenet_v3_large": "0.217",
    "mobilenet_v3_small": "0.057",
    "resnet101": "7.801",
    "resnet152": "11.514",
    "resnet18": "1.814",
    "resnet34": "3.664",
    "resnet50": "4.089",
    "vgg16": "15.470",
}
"""Thousand millions, as `_ops` of torchvision's weights has them."""


@pytest.mark.parametrize("name", OPS)
def test_built_ins_count_what_the_weights_of_torchvision_state(name: str) -> None:
    report = dscost.analyze(name, convention="torchvision")
    assert f"{report.by_convention['torchvision']['as_is'] / 1e9:.3f}" == OPS[name]


@pytest.mark.parametrize(
    ("name", "size", "ops"),
    [
        ("vit_b_32", 224, "4.409"),
        ("swin_t", 224, "4.491"),
        ("regnet_y_400mf", 224, "0.402"),
        ("squeezenet1_1", 224, "0.349"),
        ("shufflenet_v2_x0_5", 224, "0.040"),
        ("lraspp_mobilenet_v3_large", 520, "2.086"),
    ],
)
def test_models_of_torchvision_count_what_their_weights_state(
    name: str, size: int, ops: str
) -> None:
    shape = (1, 3, size, size)
    try:
        report = dscost.analyze(f"torchvision:{name}", input=shape, convention="torchvision")
    except UnavailableError as error:
        pytest.skip(str(error))
    assert f"{report.by_convention['torchvision']['as_is'] / 1e9:.3f}" == ops


@pytest.mark.parametrize(
    ("pool", "taps"),
    [
        (lambda x: functional.max_pool2d(x, 3, 2, 1), 4 * 4 * 3 * 3),
        (lambda x: functional.avg_pool2d(x, (2, 4)), 4 * 2 * 2 * 4),
        (lambda x: functional.max_pool1d(x[0], 2), 8 * 4 * 2),
        (lambda x: functional.adaptive_avg_pool2d(x, 1), 8 * 8),
        (lambda x: functional.adaptive_avg_pool2d(x, 2), 0),
        (lambda x: x.mean((2, 3)), 8 * 8),
        (lambda x: x + x, 8 * 8),
        (lambda x: x.mul_(2), 8 * 8),
        (lambda x: torch.softmax(x, 1), 8 * 8 * 5),
        (lambda x: torch.relu(x), 0),
    ],
)
def test_functions_count_as_the_profiler_of_tensorflow_has_their_operators(
    pool: Callable[[Tensor], Tensor], taps: int
) -> None:
    class Model(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return pool(x)

    report = dscost.analyze(Model(), input=(1, 3, 8, 8), convention="tensorflow-profiler")
    assert report.by_convention["tensorflow-profiler"]["as_is"] == 3 * taps


def test_windows_of_what_has_none_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(
        "title: Mine\ncounts: FLOPs\nmeans: Windows.\nsource: me\n"
        "rules: [{operators: aten::relu, counts: {windows: 1}}]\n"
    )
    with pytest.raises(InputError, match=r"aten::relu has no kernel_size, which a rule for it"):
        dscost.analyze("resnet18", convention=str(path))
