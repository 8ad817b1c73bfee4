"""Models of timm and torchvision from every family, counted as torch's own counter does, on meta tensors.

`benchmarks/coverage.py` does it for all of them.
"""

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any
from unittest import mock

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

import dscost
from dscost.errors import UnavailableError
from dscost.reports.records import Report
from dscost.sources import ModuleSource, find_source
from dscost.tracing import arguments_of

FAMILIES = {
    "residual": [
        "timm:resnet26d",
        "timm:resnext50_32x4d",
        "timm:legacy_seresnet18",
        "timm:hrnet_w18_small",
    ],
    "dense": ["timm:densenet121", "timm:dla34"],
    "inception": ["timm:inception_v3", "torchvision:googlenet"],
    "designed by search or rule": ["timm:regnety_002", "torchvision:mnasnet0_5"],
    "without normalisation": ["timm:eca_nfnet_l0"],
    "re-parametrised": ["timm:repvgg_a0", "timm:mobileone_s0"],
    "mobile": [
        *(
            "timm:mobilenetv3_small_050",
            "timm:mobilenetv4_conv_small",
            "timm:ghostnet_050",
            "timm:mixnet_s",
        ),
        *(
            "timm:tf_efficientnetv2_b0",
            "torchvision:shufflenet_v2_x0_5",
            "torchvision:squeezenet1_0",
        ),
    ],
    "convnext": ["timm:convnext_atto", "timm:edgenext_xx_small"],
    "vision transformer": [
        *(
            "timm:vit_tiny_patch16_224",
            "torchvision:vit_b_32",
            "timm:eva02_tiny_patch14_224",
            "timm:hiera_tiny_224",
        ),
        *(
            "timm:cait_xxs24_224",
            "timm:xcit_nano_12_p16_224",
            "timm:crossvit_tiny_240",
            "timm:pit_ti_224",
        ),
    ],
    "windows": [
        "timm:swin_tiny_patch4_window7_224",
        "torchvision:swin_v2_t",
        "timm:twins_svt_small",
        "timm:nest_tiny",
    ],
    "convolution and attention": [
        *(
            "timm:levit_128s",
            "timm:coat_lite_tiny",
            "timm:mobilevit_xxs",
            "timm:maxvit_nano_rw_256",
        ),
        *("timm:efficientformer_l1", "timm:efficientvit_b0", "timm:fastvit_t8", "timm:halonet26t"),
    ],
    "mixer": ["timm:mixer_s32_224", "timm:poolformer_s12"],
    "video": ["torchvision:r3d_18", "torchvision:mvit_v1_b"],
    "segmentation": ["torchvision:lraspp_mobilenet_v3_large"],
}
MODELS = [target for targets in FAMILIES.values() for target in targets]


pytestmark = pytest.mark.filterwarnings("ignore:The default weight initialization of:FutureWarning")


def source_of(target: str) -> ModuleSource:
    try:
        source = find_source(target)
    except UnavailableError as error:
        pytest.skip(str(error))
    assert isinstance(source, ModuleSource)
    return source


def report_of(target: str, **options: Any) -> Report:
    try:
        return dscost.analyze(target, **options)
    except UnavailableError as error:
        pytest.skip(str(error))


@contextmanager
def norms_give_what_they_get() -> Iterator[None]:
    """Spare norms, which count nothing: on meta torch works out each one by some twenty operators in Python."""

    def norm(input: torch.Tensor, *_: Any, **__: Any) -> torch.Tensor:
        return torch.empty_like(input)

    with (
        mock.patch.object(nn.functional, "batch_norm", norm),
        mock.patch.object(nn.functional, "layer_norm", norm),
    ):
        yield


def macs_by_flop_counter(model: nn.Module, given: Any, device: str) -> int:
    arguments = arguments_of(given).on(device)
    unchanged = nullcontext() if device != "meta" else norms_give_what_they_get()
    with torch.no_grad(), unchanged, FlopCounterMode(display=False) as counter:
        model.requires_grad_(False).to(device)(
            *arguments.args, **arguments.kwargs
        )  # small buffers have values
    flops: int = counter.get_total_flops()
    return flops // 2


def test_there_are_forty_models_and_none_twice() -> None:
    assert len(set(MODELS)) == len(MODELS) >= 40


@pytest.mark.parametrize("target", MODELS)
def test_a_model_of_the_zoo_is_counted_like_torch_counts_it(target: str) -> None:
    source = source_of(target)
    assert all(parameter.is_meta for parameter in source.module.parameters())
    report = dscost.analyze(source.module, input=source.input, strict=True)
    assert report.totals.as_is.macs == macs_by_flop_counter(source.module, source.input, "meta") > 0
    assert report.totals.as_is.params == sum(
        parameter.numel() for parameter in source.module.parameters()
    )
    assert sum(layer.cost.macs for layer in report.layers) == report.totals.as_is.macs
    assert sum(layer.cost.params for layer in report.layers) == report.totals.as_is.params
    names = {name for name, _ in source.module.named_modules()}
    assert {layer.name for layer in report.layers} <= names
    assert report.peak_activation_bytes is not None


@pytest.fixture
def one_thread() -> Iterator[None]:
    """Two threads on a busy machine take hundreds of times longer for small tensors."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.mark.usefixtures("one_thread")
def test_a_detector_runs_for_real_and_is_counted_like_torch_counts_it() -> None:
    source = source_of("torchvision:ssdlite320_mobilenet_v3_large")
    assert source.make_real is not None
    report = report_of("torchvision:ssdlite320_mobilenet_v3_large", strict=True)
    assert any("ran once for real" in warning for warning in report.warnings)
    assert report.totals.as_is.macs == macs_by_flop_counter(source.make_real(), source.input, "cpu")
    # as its weights state: 3,440,060 parameters and 0.583 GMACs
    assert (report.totals.as_is.params, f"{report.totals.as_is.macs / 1e9:.3f}") == (
        3_440_060,
        "0.583",
    )


@pytest.mark.parametrize(
    ("builtin", "target"),
    [
        ("mobilenet_v1", "timm:mobilenetv1_100"),
        ("mobilenet_v2", "timm:mobilenetv2_100"),
        ("mobilenet_v2", "torchvision:mobilenet_v2"),
        ("mobilenet_v3_small", "timm:mobilenetv3_small_100"),
        ("mobilenet_v3_small", "torchvision:mobilenet_v3_small"),
        ("mobilenet_v3_large", "timm:mobilenetv3_large_100"),
        ("mobilenet_v3_large", "torchvision:mobilenet_v3_large"),
        ("efficientnet_b0", "timm:efficientnet_b0"),
        ("efficientnet_b0", "torchvision:efficientnet_b0"),
        ("resnet50", "timm:resnet50"),
        ("resnet50", "torchvision:resnet50"),
        ("vgg16", "torchvision:vgg16"),
        ("xception", "timm:legacy_xception"),
    ],
)
def test_a_model_of_the_zoo_costs_the_same_as_the_builtin_in_all_three_versions(
    builtin: str, target: str
) -> None:
    ours = dscost.analyze(builtin)
    theirs = report_of(target, input=ours.inputs[0].shape)
    assert theirs.totals == ours.totals


@pytest.mark.parametrize(
    ("target", "shape"),
    [
        ("timm:inception_v3", (1, 3, 299, 299)),
        ("timm:maxvit_nano_rw_256", (1, 3, 256, 256)),
        ("timm:vit_tiny_patch16_384", (1, 3, 384, 384)),
        ("torchvision:inception_v3", (1, 3, 299, 299)),
        ("torchvision:efficientnet_v2_s", (1, 3, 384, 384)),
        ("torchvision:efficientnet_b3", (1, 3, 300, 300)),
        ("torchvision:r3d_18", (1, 3, 16, 112, 112)),
    ],
)
def test_the_input_comes_from_the_models_own_configuration(
    target: str, shape: tuple[int, ...]
) -> None:
    assert arguments_of(source_of(target).input).tensors[0].shape == shape


@pytest.mark.parametrize(
    ("target", "kwargs", "layer", "channels"),
    [
        ("timm:resnet18", {"num_classes": 7}, "fc", 7),
        ("torchvision:resnet18", {"num_classes": 7}, "fc", 7),
        ("torchvision:mobilenet_v2", {"width_mult": 0.5}, "features.0.0", 16),
    ],
)
def test_keyword_arguments_reach_the_factory_of_the_zoo(
    target: str, kwargs: dict[str, Any], layer: str, channels: int
) -> None:
    report = report_of(target, kwargs=kwargs)
    (found,) = [entry for entry in report.layers if entry.name == layer]
    assert found.output_shape[1] == channels


@pytest.mark.parametrize(
    ("name", "asked", "sides"),
    [
        ("vit_tiny_patch16_224", 64, (64, 64)),
        ("vit_tiny_patch16_224", (32, 64), (32, 64)),
        ("mixer_s32_224", 64, (64, 64)),
        ("vit_tiny_patch16_224", None, (224, 224)),
    ],
)
def test_a_model_of_timm_made_for_another_size_is_counted_at_that_size(
    name: str, asked: Any, sides: tuple[int, int]
) -> None:
    source_of(f"timm:{name}")
    options = {} if asked is None else {"img_size": asked}
    report = report_of(f"timm:{name}", kwargs=options)
    assert report.inputs == (((1, 3, *sides), "float32"),)
    import timm

    model, image = timm.create_model(name, **options), torch.empty(1, 3, *sides, device="meta")
    assert report.totals.as_is.macs == macs_by_flop_counter(model, image, "meta")


@pytest.mark.parametrize(
    ("target", "source"), [("densenet121", "torchvision"), ("regnety_002", "timm")]
)
def test_a_bare_name_is_looked_up_in_torchvision_then_in_timm(target: str, source: str) -> None:
    source_of("timm:resnet18")
    assert report_of(target).source == source


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("timm:resnet8", "unknown timm model 'resnet8' (did you mean '"),
        ("torchvision:resnet19", "unknown torchvision model 'resnet19' (did you mean 'resnet18'?)"),
    ],
)
def test_a_model_that_the_zoo_does_not_have_is_refused_with_the_nearest_spelling(
    target: str, message: str
) -> None:
    source_of(f"{target.partition(':')[0]}:resnet18")
    with pytest.raises(dscost.DscostError) as caught:
        dscost.analyze(target)
    assert str(caught.value).startswith(message)


def test_a_wrong_argument_for_a_model_of_the_zoo_is_told_as_torch_tells_it() -> None:
    source_of("torchvision:resnet18")
    with pytest.raises(
        dscost.DscostError, match=r"torchvision:resnet18 cannot be made: TypeError: .*'num_class'"
    ):
        dscost.analyze("torchvision:resnet18", kwargs={"num_class": 7})


def test_boxes_come_by_score_also_of_a_torchvision_whose_operators_are_stood_in_for() -> None:
    source_of("torchvision:resnet18")
    # far from one another, so that all are kept: "sorted in decreasing order of scores"
    boxes = torch.tensor([[0.0, 0, 1, 1], [5, 5, 6, 6], [9, 9, 10, 10]])
    kept = torch.ops.torchvision.nms(boxes, torch.tensor([0.3, 0.9, 0.6]), 0.5)
    assert kept.tolist() == [1, 2, 0]


def test_nothing_is_downloaded(monkeypatch: pytest.MonkeyPatch) -> None:
    import socket

    def refuse(*_: Any) -> None:
        raise AssertionError("the network was asked")

    source_of("torchvision:resnet18")
    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(torch.hub, "load_state_dict_from_url", refuse)
    for target in ("timm:resnet18", "torchvision:fcn_resnet50", "torchvision:resnet18"):
        assert all(parameter.is_meta for parameter in source_of(target).module.parameters())
