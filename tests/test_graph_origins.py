"""Which torch module the node of an exported file comes from."""

import pytest
from onnx import NodeProto, helper

from dscost.graphs.origins import module_path, one_for_all_calls


def scoped(scopes: str, *inputs: str, rule: str = "") -> NodeProto:
    node = helper.make_node("Conv", inputs, ["y"], name="node_Conv_1")
    node.metadata_props.add(key="pkg.torch.onnx.name_scopes", value=scopes)
    node.metadata_props.add(key="pkg.onnxscript.rewriter.rule_name", value=rule)
    return node


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("/conv1/Conv", "conv1"),
        ("/layer1/layer1.0/conv1/Conv", "layer1.0.conv1"),
        ("/features/features.1/conv/conv.0/conv.0.0/Conv", "features.1.conv.0.0"),
        ("/stage/stage.0/stage/stage.1/Conv", "stage.0.stage.1"),
        ("/Add_3", ""),
    ],
)
def test_a_name_of_the_older_exporter_leads_to_its_module(name: str, path: str) -> None:
    assert module_path(NodeProto(op_type="Conv", name=name, input=["x", "other.weight"])) == path


def test_scopes_lead_to_the_module_that_ran() -> None:
    node = scoped("['', 'layer1', 'layer1.0', 'layer1.0.relu', 'relu_1']", "x")
    assert module_path(node) == "layer1.0.relu"
    assert module_path(scoped("['', 'add']", "x", "y")) == ""


def test_what_is_no_text_tells_nothing() -> None:
    content = scoped("['', 'body', 'relu']", "x", rule="BatchNorm").SerializeToString()
    for text in (b"'body'", b"BatchNorm"):
        assert text in content
        content = content.replace(text, b"\xff" * len(text))
    assert module_path(NodeProto.FromString(content)) is None


def test_a_convolution_with_a_normalisation_in_it_is_where_its_weights_are() -> None:
    rule = "FuseBatchNormIntoConv, RemoveOptionalBiasFromConv"
    node = scoped("['', 'bn1', 'batch_norm']", "x", "conv1.weight", "conv1.weight_bias", rule=rule)
    assert module_path(node) == "conv1"


def test_weights_tell_where_nothing_else_does() -> None:
    assert module_path(helper.make_node("Conv", ["x", "body.0.weight"], ["y"])) == "body.0"
    assert module_path(helper.make_node("Conv", ["x", "onnx::Conv_193"], ["y"], "Conv_0")) is None
    assert module_path(helper.make_node("Conv", ["x", ".weight"], ["y"])) is None


def test_a_module_that_runs_again_is_the_same_module() -> None:
    paths = {"a": "block.relu", "b": "block.relu_1", "c": "block.conv_1"}
    found = one_for_all_calls(paths)
    assert found == {"a": "block.relu", "b": "block.relu", "c": "block.conv_1"}
