"""The converted model costs exactly what the what-if column promised: every built-in, forty models of timm."""

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from properties import BETWEEN, operations_of
from test_rewriting import source_of
from torch import nn

import dscost
from dscost.analysis import count
from dscost.analysis.traced_layers import costs_of, totals_of
from dscost.layers.convolution import Shape
from dscost.modules.building import Network
from dscost.networks.architectures import builtin_names
from dscost.networks.swaps import find_swaps
from dscost.reports.figures import Cost
from dscost.tracing import arguments_of, trace

TIMM = {
    "residual": "resnet10t resnet26d resnext50_32x4d legacy_seresnet18 skresnet18 res2net50_26w_4s resnest14d",
    "residual, of another kind": "resnetv2_18 eca_nfnet_l0 nf_regnet_b0 regnety_002 gernet_s tresnet_m hrnet_w18_small",
    "a plain chain": "vgg11 repvgg_a0 selecsls42b",
    "dense": "densenet121 dla34 dpn48b darknet17 cspresnet50 ese_vovnet19b_dw",
    "inception": "inception_v3 xception41",
    "mobile": "mobilenetv3_small_050 mobilenetv4_conv_small ghostnet_050 mixnet_s tf_efficientnetv2_b0",
    "convnext": "convnext_atto convnextv2_atto",
    "vision transformer": "vit_tiny_patch16_224 swin_tiny_patch4_window7_224 twins_svt_small pit_ti_224",
    "convolution and attention": "mobilevit_xxs levit_128s efficientformer_l1 halonet26t",
}
MODELS = [f"timm:{name}" for names in TIMM.values() for name in names.split()]

pytestmark = pytest.mark.filterwarnings("ignore:The default weight initialization of:FutureWarning")


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Two threads on a busy machine take hundreds of times longer for small tensors."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def costs(module: nn.Module, given: Any) -> tuple[Cost, Cost, Shape]:
    """Return the cost as it is, that of the what-if column, and the shape of the output."""
    arguments = arguments_of(given)
    traced = trace(module, arguments)
    input_bytes = sum(tensor.nbytes for tensor in arguments.tensors)
    totals = totals_of(traced, costs_of(traced), input_bytes, find_swaps(traced.events))
    return totals.as_is, totals.depthwise_separable, traced.events[max(traced.outputs)].output_shape


def assert_promise_is_kept(module: nn.Module, given: Any) -> nn.Module:
    """Return the converted module, which costs what was promised of the one that was given."""
    before, promised, shape = costs(module, given)
    converted = dscost.convert(module, method="random", min_channels=1, input=given)
    after, again, new_shape = costs(converted, given)
    assert after == promised == again
    assert after.macs < before.macs
    assert new_shape == shape
    return converted


def test_there_are_forty_models_and_none_twice() -> None:
    assert len(set(MODELS)) == len(MODELS) >= 40


@pytest.mark.parametrize("target", MODELS)
def test_a_model_of_timm_costs_what_was_promised(target: str) -> None:
    source = source_of(target)
    assert_promise_is_kept(source.module, source.input)


@pytest.mark.parametrize("name", sorted(set(builtin_names()) - BETWEEN))
def test_a_builtin_costs_what_was_promised(name: str) -> None:
    model = count(name)
    with torch.device("meta"):
        network = Network(operations_of(model)).eval()
    converted = assert_promise_is_kept(network, model.report.inputs[0].shape)
    found = dscost.analyze(converted, input=model.report.inputs[0].shape).totals.as_is
    assert found == model.report.totals.depthwise_separable
