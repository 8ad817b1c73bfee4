"""Models of other people's packages, counted by dscost and by torch's FlopCounterMode.

Method: every model is made from its package's own configuration with random weights, nothing is downloaded. dscost
counts it as `dscost.analyze(model, input=…)` does, the model made on the meta device where its code allows. Torch's
counter runs the same model by itself: on the meta device, or on the CPU where the model looks at values; attention is
taken apart into its matrix products there (`SDPBackend.MATH`) and recurrent layers into theirs (without oneDNN), since
the fused operators of the CPU have no formula in torch. Where that counter is known to be wrong, what it leaves out is
added by hand, and the row says what that is made of. Times are wall times of single calls, after imports and after the
model is made.

Run: `python benchmarks/packages.py --install FOLDER` makes an environment in FOLDER with every package and measures
there; `python benchmarks/packages.py [PACKAGE …]` measures in this one. Prints a Markdown table and a summary; one
process a package, two at a time, about ten minutes on two cores.
"""

import argparse
import contextlib
import importlib.metadata
import io
import multiprocessing
import os
import platform
import signal
import subprocess
import sys
import time
import venv
import warnings
from collections.abc import Callable, Iterator, Mapping
from math import prod
from pathlib import Path
from typing import Any, NamedTuple

INSTALLED = (
    "torch==2.13.0",
    "torchvision==0.28.0",
    "diffusers==0.42.1",
    "efficientnet_pytorch==0.7.1",
    "monai==1.6.1",
    "open_clip_torch==3.3.0",
    "pytorchcv==0.0.74",
    "segmentation_models_pytorch==0.6.0",
    "timm==1.0.31",
    "torch_geometric==2.8.1",
    "transformers==5.24.0",
    "ultralytics==8.4.190",
    "vit-pytorch==1.26.14",
    "x-transformers==2.31.10",
)
"""What `--install` brings, beside dscost itself."""

LIMIT_S = 600
"""Of one model, both counters together."""

MOST_FOR_REAL = 12
"""How many models may have to run for real."""


class ByHand(NamedTuple):
    """MACs that torch's counter does not see or sees wrongly, added to what it says."""

    macs: int
    of_what: str


class Case(NamedTuple):
    """One configuration of one package.

    Args:
        name: Of the model, and what is special about it.
        make: Makes it with random weights.
        input: As in `dscost.analyze`.
        by_hand: What torch's counter leaves out.
    """

    name: str
    make: Callable[[], Any]
    input: Any
    by_hand: ByHand | None = None


class Row(NamedTuple):
    """What came out for one case; `None` where there is no answer."""

    package: str
    name: str
    macs: int | None = None
    reference: int | None = None
    by: str = ""
    params: int | None = None
    params_right: bool = False
    seconds: float | None = None
    reference_s: float | None = None
    for_real: bool = False
    unknown: str = ""
    error: str = ""

    @property
    def agrees(self) -> bool:
        """Whether both counts are there and the same, and nothing is unknown."""
        return self.macs is not None and self.macs == self.reference and not self.unknown


# -- the models


def tokens(batch: int, length: int) -> Any:
    """Return the input of a language model: the indices of words."""
    import torch

    return torch.zeros(batch, length, dtype=torch.int64)


def mask(batch: int, length: int) -> Any:
    """Return the mask that a tokeniser gives with them: nothing is padded."""
    import torch

    return torch.ones(batch, length, dtype=torch.int64)


def of_timm() -> Iterator[Case]:
    """Image classifiers: mobile, TensorFlow's padding, both ways of writing ConvNeXt, attention, mixers."""
    import timm

    names = (
        "mobilenetv3_small_100 tf_mobilenetv3_small_100 efficientnet_b0 tf_efficientnetv2_b0 convnext_tiny "
        "ghostnetv2_100 repvgg_a0 "
        "mobileone_s0 vit_tiny_patch16_224 swin_tiny_patch4_window7_224 mixer_s32_224 maxvit_pico_rw_256 "
        "resnetv2_50 nfnet_l0 fastvit_t8 edgenext_small"
    )
    for name in names.split():
        size = timm.models.get_pretrained_cfg(name).input_size
        yield Case(name, lambda name=name: timm.create_model(name), (1, *size))
    yield Case(
        "convnext_tiny, conv_mlp",
        lambda: timm.create_model("convnext_tiny", conv_mlp=True),
        (1, 3, 224, 224),
    )


def of_torchvision() -> Iterator[Case]:
    """Classifiers, segmentation, video, optical flow, detectors."""
    from torchvision import models

    def classifier(name: str, shape: tuple[int, ...] = (1, 3, 224, 224), **options: Any) -> Case:
        return Case(name, lambda: models.get_model(name, weights=None, **options), shape)

    for name in [
        "resnet50",
        "mobilenet_v2",
        "mobilenet_v3_large",
        "shufflenet_v2_x1_0",
        "efficientnet_v2_s",
    ]:
        yield classifier(name)
    for name in [
        "densenet121",
        "googlenet",
        "swin_v2_t",
        "maxvit_t",
        "vit_b_16",
        "convnext_small",
        "regnet_y_400mf",
    ]:
        yield classifier(name, **({"init_weights": False} if name == "googlenet" else {}))
    for name in ["deeplabv3_mobilenet_v3_large", "lraspp_mobilenet_v3_large", "fcn_resnet50"]:
        yield classifier(name, (1, 3, 256, 256), weights_backbone=None)
    yield classifier("r2plus1d_18", (1, 3, 8, 112, 112))
    yield classifier("mvit_v2_s", (1, 3, 16, 224, 224))
    yield Case(
        "raft_small", lambda: models.get_model("raft_small", weights=None), [(1, 3, 128, 128)] * 2
    )
    yield Case(
        "ssdlite320_mobilenet_v3_large",
        lambda: models.get_model(
            "ssdlite320_mobilenet_v3_large", weights=None, weights_backbone=None
        ),
        (1, 3, 320, 320),
    )


def of_transformers() -> Iterator[Case]:
    """Language with and without masks, vision, speech, mixtures of experts, state spaces."""
    import transformers

    def model(kind: str, name: str, given: Any, config: str | None = None, **options: Any) -> Case:
        made = getattr(transformers, config or f"{kind}Config")
        special = ", ".join(
            [*(f"{key}={value}" for key, value in options.items() if key in _TOLD), *_masked(given)]
        )
        return Case(
            f"{name}, {special}" if special else name,
            lambda: getattr(transformers, name)(made(**options)),
            given,
        )

    ids, both = (
        {"input_ids": tokens(1, 128)},
        {"input_ids": tokens(1, 128), "attention_mask": mask(1, 128)},
    )
    small = {
        "hidden_size": 256,
        "intermediate_size": 512,
        "num_hidden_layers": 4,
        "vocab_size": 1000,
    }
    heads = {"num_attention_heads": 8, "num_key_value_heads": 2, "pad_token_id": 0}
    for kind in (
        "Bert",
        "Roberta",
        "DistilBert",
        "Albert",
        "Electra",
        "FNet",
        "MobileBert",
        "BigBird",
    ):
        yield model(kind, f"{kind}Model", ids)
    for kind in ("Bert", "Roberta", "DistilBert", "Electra"):
        yield model(kind, f"{kind}Model", both)
    yield model("Bert", "BertModel", ids, output_hidden_states=True)
    yield model("Deberta", "DebertaModel", ids)
    yield model("GPT2", "GPT2LMHeadModel", ids)
    yield model("Llama", "LlamaForCausalLM", ids, **small, **heads)
    yield model("Llama", "LlamaForCausalLM", both, **small, **heads)
    for kind in ("Mistral", "Qwen2", "Gemma"):
        yield model(kind, f"{kind}ForCausalLM", ids, **small, **heads)
    experts = {"num_local_experts": 4, "num_experts_per_tok": 2}
    # every token passes the gate and the three matrices of two experts, in each of four layers
    grouped = ByHand(4 * 128 * 2 * 3 * 256 * 512, "experts: layers · tokens · 2 · 3 · M · N")
    yield model("Mixtral", "MixtralForCausalLM", ids, **small, **heads, **experts)._replace(
        by_hand=grouped
    )
    yield model("Mamba", "MambaModel", ids, num_hidden_layers=2, hidden_size=128)
    yield model("T5", "T5Model", {"input_ids": tokens(1, 64), "decoder_input_ids": tokens(1, 32)})
    yield model(
        "Bart", "BartModel", {"input_ids": tokens(1, 64), "decoder_input_ids": tokens(1, 32)}
    )
    pixels = {"pixel_values": (1, 3, 224, 224)}
    for kind in (
        "ViT",
        "Swin",
        "ConvNext",
        "ConvNextV2",
        "ResNet",
        "RegNet",
        "MobileNetV1",
        "MobileNetV2",
        "PoolFormer",
    ):
        yield model(kind, f"{kind}Model", pixels)
    yield model("MobileNetV1", "MobileNetV1Model", pixels, tf_padding=False)
    yield model("MobileViT", "MobileViTModel", {"pixel_values": (1, 3, 256, 256)})
    yield model("Segformer", "SegformerForSemanticSegmentation", pixels)
    yield model("DPT", "DPTForDepthEstimation", {"pixel_values": (1, 3, 384, 384)})
    yield model("Detr", "DetrForObjectDetection", {"pixel_values": (1, 3, 256, 256)}, use_timm_backbone=False,
                backbone_config=transformers.ResNetConfig(out_features=["stage4"]), backbone=None)  # fmt: skip
    yield model("Yolos", "YolosModel", {"pixel_values": (1, 3, 512, 864)}, num_hidden_layers=2)
    yield model("Wav2Vec2", "Wav2Vec2Model", {"input_values": (1, 16000)})
    yield model(
        "Whisper",
        "WhisperModel",
        {"input_features": (1, 80, 3000), "decoder_input_ids": tokens(1, 8)},
    )
    yield model(
        "CLIP",
        "CLIPModel",
        {
            "input_ids": tokens(1, 77),
            "pixel_values": (1, 3, 224, 224),
            "attention_mask": mask(1, 77),
        },
    )


_TOLD = ("output_hidden_states", "tf_padding")


def _masked(given: Mapping[str, Any]) -> list[str]:
    return ["attention_mask"] if "attention_mask" in given else []


def of_diffusers() -> Iterator[Case]:
    """Denoisers, an autoencoder, a transformer."""
    import diffusers
    import torch

    when = torch.ones(1, dtype=torch.int64)
    blocks = {"block_out_channels": (32, 64), "layers_per_block": 1, "norm_num_groups": 8}
    down, up = ("DownBlock2D", "AttnDownBlock2D"), ("AttnUpBlock2D", "UpBlock2D")
    yield Case(
        "UNet2DModel",
        lambda: diffusers.UNet2DModel(
            down_block_types=down, up_block_types=up, attention_head_dim=8, **blocks
        ),
        {"sample": (1, 3, 64, 64), "timestep": when},
    )
    crossed = {
        "down_block_types": ("CrossAttnDownBlock2D", "DownBlock2D"),
        "cross_attention_dim": 64,
    }
    crossed_up = {"up_block_types": ("UpBlock2D", "CrossAttnUpBlock2D"), "attention_head_dim": 8}
    yield Case(
        "UNet2DConditionModel",
        lambda: diffusers.UNet2DConditionModel(**crossed, **crossed_up, **blocks),
        {"sample": (1, 4, 32, 32), "timestep": when, "encoder_hidden_states": (1, 77, 64)},
    )
    coded = {
        "down_block_types": ("DownEncoderBlock2D",) * 2,
        "up_block_types": ("UpDecoderBlock2D",) * 2,
    }
    yield Case(
        "AutoencoderKL",
        lambda: diffusers.AutoencoderKL(**coded, **blocks),
        {"sample": (1, 3, 64, 64)},
    )
    yield Case("AutoencoderTiny", lambda: diffusers.AutoencoderTiny(), {"sample": (1, 3, 64, 64)})
    yield Case(
        "DiTTransformer2DModel",
        lambda: diffusers.DiTTransformer2DModel(
            num_layers=2, num_attention_heads=4, attention_head_dim=32, sample_size=16
        ),
        {"hidden_states": (1, 4, 16, 16), "timestep": when, "class_labels": when},
    )
    nearest = ByHand(32 * 32 * 256 * 3, "distances to the codes: positions · codes · M")
    yield Case(
        "VQModel", lambda: diffusers.VQModel(**coded, **blocks), {"sample": (1, 3, 64, 64)}, nearest
    )


def of_ultralytics() -> Iterator[Case]:
    """Detectors and their kin, by their own YAML files."""
    from ultralytics.nn.tasks import (
        ClassificationModel,
        DetectionModel,
        OBBModel,
        PoseModel,
        RTDETRDetectionModel,
        SegmentationModel,
    )

    def net(kind: Any, name: str, size: int = 640) -> Case:
        return Case(name, lambda: kind(f"{name}.yaml", verbose=False), (1, 3, size, size))

    for name in (
        "yolo11n",
        "yolo11s",
        "yolov8n",
        "yolov8m",
        "yolov5n",
        "yolov9t",
        "yolov10n",
        "yolo12n",
    ):
        yield net(DetectionModel, name)
    yield net(SegmentationModel, "yolo11n-seg")
    yield net(PoseModel, "yolo11n-pose")
    yield net(OBBModel, "yolo11n-obb")
    yield net(ClassificationModel, "yolo11n-cls", 224)
    yield net(RTDETRDetectionModel, "rtdetr-l")


def of_monai() -> Iterator[Case]:
    """Volumes: 3-D convolutions, transposed ones, attention over patches."""
    from monai.networks import nets

    volume = (1, 1, 64, 64, 64)
    stages = {"channels": (16, 32, 64), "strides": (2, 2)}
    both = {"spatial_dims": 3, "in_channels": 1, "out_channels": 2}
    yield Case("UNet 3-D", lambda: nets.UNet(**both, **stages, num_res_units=1), volume)
    yield Case("UNet 2-D", lambda: nets.UNet(2, 1, 2, **stages), (1, 1, 128, 128))
    yield Case("AttentionUnet", lambda: nets.AttentionUnet(**both, **stages), volume)
    yield Case("BasicUNet", lambda: nets.BasicUNet(**both), volume)
    yield Case("BasicUNetPlusPlus", lambda: nets.BasicUNetPlusPlus(2, 1, 2), (1, 1, 128, 128))
    yield Case("SegResNet", lambda: nets.SegResNet(**both), volume)
    yield Case("VNet", lambda: nets.VNet(**both), volume)
    yield Case(
        "UNETR",
        lambda: nets.UNETR(1, 2, img_size=(64, 64, 64), num_heads=4, hidden_size=128),
        volume,
    )
    yield Case(
        "SwinUNETR", lambda: nets.SwinUNETR(in_channels=1, out_channels=2, feature_size=12), volume
    )
    yield Case("DenseNet121", lambda: nets.DenseNet121(**both), volume)
    yield Case(
        "EfficientNetBN",
        lambda: nets.EfficientNetBN("efficientnet-b0", pretrained=False),
        (1, 3, 224, 224),
    )
    yield Case("HighResNet", lambda: nets.HighResNet(**both), (1, 1, 32, 32, 32))
    yield Case("MedNeXt", lambda: nets.MedNeXt(**both, init_filters=8), volume)


def of_segmentation_models() -> Iterator[Case]:
    """Decoders over one encoder."""
    import segmentation_models_pytorch as smp

    for name in (
        "Unet",
        "UnetPlusPlus",
        "MAnet",
        "Linknet",
        "FPN",
        "PSPNet",
        "PAN",
        "DeepLabV3Plus",
        "UPerNet",
        "Segformer",
    ):
        encoder = "mobilenet_v2" if name not in ("PAN", "UPerNet") else "resnet18"
        yield Case(
            f"{name}, {encoder}",
            lambda name=name, encoder=encoder: getattr(smp, name)(encoder, encoder_weights=None),
            (1, 3, 256, 256),
        )


def of_vit_pytorch() -> Iterator[Case]:
    """Vision transformers in one page each."""
    import vit_pytorch
    from vit_pytorch import cct, cvt, deepvit, levit, mobile_vit, nest, simple_vit, twins_svt

    image = (1, 3, 128, 128)
    common = {"image_size": 128, "num_classes": 10, "dim": 128, "heads": 4, "mlp_dim": 256}
    yield Case("ViT", lambda: vit_pytorch.ViT(patch_size=16, depth=2, **common), image)
    yield Case("SimpleViT", lambda: simple_vit.SimpleViT(patch_size=16, depth=2, **common), image)
    yield Case("DeepViT", lambda: deepvit.DeepViT(patch_size=16, depth=2, **common), image)
    yield Case("CvT", lambda: cvt.CvT(num_classes=10), image)
    yield Case("TwinsSVT", lambda: twins_svt.TwinsSVT(num_classes=10), (1, 3, 224, 224))
    yield Case(
        "CCT",
        lambda: cct.cct_2(img_size=128, n_conv_layers=1, kernel_size=7, num_classes=10),
        image,
    )
    widths, channels = [96, 120, 144], [16, 32, 48, 48, 64, 64, 80, 80, 96, 96, 384]
    yield Case(
        "MobileViT",
        lambda: mobile_vit.MobileViT((256, 256), widths, channels, 10),
        (1, 3, 256, 256),
    )
    yield Case(
        "LeViT",
        lambda: levit.LeViT(
            image_size=224,
            num_classes=10,
            stages=3,
            dim=(64, 96, 128),
            depth=2,
            heads=(2, 3, 4),
            mlp_mult=2,
        ),
        (1, 3, 224, 224),
    )
    yield Case(
        "NesT",
        lambda: nest.NesT(
            image_size=224,
            patch_size=4,
            dim=48,
            heads=3,
            num_hierarchies=3,
            block_repeats=(1, 1, 2),
            num_classes=10,
        ),
        (1, 3, 224, 224),
    )


def of_open_clip() -> Iterator[Case]:
    """Two towers, with attention of torch and with a convolutional trunk."""
    import open_clip

    for name in ("RN50", "ViT-B-32", "MobileCLIP-S1"):
        size = 256 if name.startswith("Mobile") else 224
        yield Case(
            name,
            lambda name=name: open_clip.create_model(name),
            [(1, 3, size, size), tokens(1, 77)],
        )


def of_efficientnet() -> Iterator[Case]:
    """Padding of TensorFlow in a subclass, a swish of its own gradient."""
    from efficientnet_pytorch import EfficientNet

    for name, size in (
        ("efficientnet-b0", 224),
        ("efficientnet-b2", 260),
        ("efficientnet-b4", 380),
    ):
        yield Case(name, lambda name=name: EfficientNet.from_name(name), (1, 3, size, size))


def of_pytorchcv() -> Iterator[Case]:
    """The same networks by another hand."""
    from pytorchcv.model_provider import get_model

    light = (
        "mobilenet_w1",
        "shufflenetv2_w1",
        "igcv3_w1",
        "condensenet74_c4_g4",
        "mnasnet_b1",
        "proxylessnas_mobile",
    )
    for name in (*light, "ghostnet", "menet108_8x1_g3", "peleenet", "seresnet50", "xception"):
        size = 299 if name == "xception" else 224
        yield Case(name, lambda name=name: get_model(name, pretrained=False), (1, 3, size, size))


def of_geometric() -> Iterator[Case]:
    """Graphs: products of nodes' features; messages are gathered and scattered, which multiplies nothing."""
    import torch
    from torch_geometric.nn.models import GAT, GCN, GIN, EdgeCNN, GraphSAGE

    edges = torch.stack([torch.arange(40) % 20, (torch.arange(40) * 7 + 3) % 20])
    for kind in (GCN, GraphSAGE, GIN, GAT, EdgeCNN):
        yield Case(
            kind.__name__,
            lambda kind=kind: kind(16, 32, 2, 4),
            {"x": (20, 16), "edge_index": edges},
        )


def of_x_transformers() -> Iterator[Case]:
    """Rotary positions under an autocast of their own, memory, gates."""
    from x_transformers import Decoder, Encoder, TransformerWrapper, ViTransformerWrapper

    def language(name: str, **options: Any) -> Case:
        def make() -> Any:
            return TransformerWrapper(
                num_tokens=500,
                max_seq_len=128,
                attn_layers=Decoder(dim=128, depth=2, heads=4, **options),
            )

        return Case(name, make, tokens(1, 64))

    yield language("decoder")
    yield language("decoder, rotary", rotary_pos_emb=True)
    yield language("decoder, flash", attn_flash=True)
    yield language("decoder, ALiBi", alibi_pos_bias=True)
    yield language("decoder, one head of keys, GLU", attn_kv_heads=1, ff_glu=True)
    yield Case(
        "image encoder",
        lambda: ViTransformerWrapper(
            image_size=64, patch_size=8, num_classes=10, attn_layers=Encoder(dim=128, depth=2)
        ),
        (1, 3, 64, 64),
    )


PACKAGES: Mapping[str, Callable[[], Iterator[Case]]] = {
    "timm": of_timm,
    "torchvision": of_torchvision,
    "transformers": of_transformers,
    "diffusers": of_diffusers,
    "ultralytics": of_ultralytics,
    "monai": of_monai,
    "segmentation_models_pytorch": of_segmentation_models,
    "vit-pytorch": of_vit_pytorch,
    "open_clip_torch": of_open_clip,
    "efficientnet_pytorch": of_efficientnet,
    "pytorchcv": of_pytorchcv,
    "torch_geometric": of_geometric,
    "x-transformers": of_x_transformers,
}


# -- the two counters


def examine(package: str) -> list[Row]:
    """Count every configuration of a package twice."""
    warnings.simplefilter("ignore")
    os.environ.setdefault("YOLO_VERBOSE", "false")
    sys.stdout.flush()
    with contextlib.redirect_stdout(io.StringIO()):
        import torch

        from dscost.sources import mending

        torch.set_num_threads(1)
        mending.import_torchvision()
        rows = []
        for case in PACKAGES[package]():
            signal.signal(signal.SIGALRM, _too_long)
            signal.alarm(LIMIT_S)
            try:
                rows.append(compared(package, case))
            except Exception as error:  # noqa: BLE001 - a package's own code may raise anything; the row says what
                rows.append(Row(package, case.name, error=f"{type(error).__name__}: {error}"[:120]))
            finally:
                signal.alarm(0)
            row = rows[-1]
            print(
                f"{package} {row.name}: {row.macs} {row.reference} {row.unknown} {row.error}",
                file=sys.stderr,
                flush=True,
            )
    return rows


def _too_long(_signal: int, _frame: Any) -> None:
    raise TimeoutError(f"more than {LIMIT_S} s")


def compared(package: str, case: Case) -> Row:
    """Count one configuration twice."""
    from dscost.analysis.traced import analyze_module
    from dscost.errors import DscostError
    from dscost.sources import ModuleSource
    from dscost.tracing import arguments_of

    arguments = arguments_of(case.input)
    before = time.perf_counter()
    reference, params, device = flop_counter_macs(case.make, arguments)
    row = Row(package, case.name, reference=reference, by=f"FlopCounterMode, {device}")
    row = row._replace(reference_s=time.perf_counter() - before)
    if case.by_hand is not None:
        total = reference + case.by_hand.macs
        row = row._replace(reference=total, by=f"{row.by} + {case.by_hand.of_what}")
    module = on_meta(case.make)
    source = ModuleSource("python", module, make_real=lambda: case.make())
    before = time.perf_counter()
    try:
        report = analyze_module(source, arguments, target=case.name).report
    except DscostError as error:
        return row._replace(error=str(error)[:160])
    return row._replace(
        seconds=time.perf_counter() - before,
        macs=report.totals.as_is.macs,
        params=report.totals.as_is.params,
        params_right=report.totals.as_is.params == params,
        for_real=any(doubt.kind == "value_dependent" for doubt in report.doubts),
        unknown=" ".join(report.coverage.unknown),
    )


def on_meta(make: Callable[[], Any]) -> Any:
    """Return the model made on the meta device, or with values where its code needs them."""
    import torch

    try:
        with torch.device("meta"):
            return in_evaluation(make())
    except (RuntimeError, NotImplementedError, TypeError, ValueError):
        return in_evaluation(make())


def in_evaluation(model: Any) -> Any:
    """Set the flag of every module without calling a method that a package may have given another meaning."""
    import torch

    for module in torch.nn.Module.modules(model):
        module.training = False
    return model


def flop_counter_macs(make: Callable[[], Any], arguments: Any) -> tuple[int, int, str]:
    """Return what torch's counter says, the parameters, and the device that the model ran on."""
    import torch
    from torch.nn.attention import SDPBackend, sdpa_kernel
    from torch.utils.flop_counter import FlopCounterMode

    for device in ("meta", "cpu"):
        try:
            torch.manual_seed(0)
            with (
                torch.device(device),
                sdpa_kernel(SDPBackend.MATH),
                torch.backends.mkldnn.flags(enabled=False),
            ):
                model = in_evaluation(make()).requires_grad_(False).to(device)
                given = arguments.on(device)
                with torch.no_grad(), FlopCounterMode(display=False) as counter:
                    model(*given.args, **given.kwargs)
            params = sum(prod(parameter.shape) for parameter in model.parameters())
            return counter.get_total_flops() // 2, params, device
        except Exception:
            if device == "cpu":
                raise
    raise AssertionError("unreachable")


# -- the table


def main() -> int:
    """Measure, print, and return 1 where a count is wrong or too many models ran for real."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument(
        "packages",
        nargs="*",
        metavar="PACKAGE",
        help=f"one of {', '.join(PACKAGES)}; all by default",
    )
    parser.add_argument(
        "--install",
        metavar="FOLDER",
        type=Path,
        help="make an environment there first, and measure in it",
    )
    options = parser.parse_args()
    if options.install:
        return in_environment(options.install, options.packages)
    packages = options.packages or list(PACKAGES)
    context = multiprocessing.get_context("spawn")
    with context.Pool(2, maxtasksperchild=1) as pool:
        rows = [row for found in pool.imap(examine, packages, chunksize=1) for row in found]
    print("\n".join(table(rows)))
    return (
        0
        if all(row.agrees for row in rows) and sum(row.for_real for row in rows) <= MOST_FOR_REAL
        else 1
    )


def in_environment(folder: Path, packages: list[str]) -> int:
    """Make an environment with every package and run this file in it."""
    python = folder / "bin" / "python"
    if not python.exists():
        venv.create(folder, with_pip=True)
    here = Path(__file__).resolve()
    subprocess.run(
        [python, "-m", "pip", "install", "-q", *INSTALLED, str(here.parent.parent)], check=True
    )
    return subprocess.run([python, here, *packages], check=False).returncode


def table(rows: list[Row]) -> Iterator[str]:
    """Yield the lines of the report."""
    versions = ", ".join(f"{name} {importlib.metadata.version(name)}" for name in PACKAGES)
    agreeing = sum(row.agrees for row in rows)
    yield f"# Models of {len(PACKAGES)} packages, {time.strftime('%Y-%m-%d')}"
    yield ""
    yield (
        f"{len(rows)} configurations: {agreeing} agree to the last digit, {sum(row.params_right for row in rows)} have "
        f"the right parameters, {sum(row.for_real for row in rows)} ran for real."
    )
    yield (
        f"torch {importlib.metadata.version('torch')} on {platform.machine()}, one thread a process, two processes. "
        f"{versions}."
    )
    yield ""
    yield "| package | configuration | MACs | reference | by | params | ran for real | dscost | reference |"
    yield "| --- | --- | --: | --: | --- | --: | --- | --: | --: |"
    for row in rows:
        verdict = (
            "equal"
            if row.agrees
            else (_number(row.reference) + (f", unknown {row.unknown}" if row.unknown else ""))
        )
        cells = (
            row.package,
            row.name,
            _number(row.macs) if not row.error else row.error,
            verdict,
            row.by,
        )
        times = (_seconds(row.seconds), _seconds(row.reference_s))
        params = _number(row.params) + ("" if row.params_right else " (wrong)")
        yield "| " + " | ".join((*cells, params, "yes" if row.for_real else "", *times)) + " |"


def _number(value: int | None) -> str:
    return "–" if value is None else f"{value:,}"


def _seconds(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f} s"


if __name__ == "__main__":
    sys.exit(main())
