"""What attributes may be that tell what a node writes and costs."""

from onnx import AttributeProto, NodeProto

_NAMES = {
    AttributeProto.INT: """
allowzero axis batch_dims bits blocksize ceil_mode channels channels_last dim dtype group k K
keepdims kv_num_heads layout N noop_with_empty_axes Nkv Nq num_heads num_outputs onesided
output_dtype output_height output_width q_num_heads size spatial stash_type start end
gather_axis step transA transB transBatchA transBatchB
""",
    AttributeProto.INTS: """
axes dilations ends kernel_shape output_padding output_shape pads paddings perm qkv_hidden_sizes
shape split starts strides
""",
    AttributeProto.FLOAT: "height_scale width_scale",
    AttributeProto.FLOATS: "scales coefficients",
    AttributeProto.STRING: """
auto_pad coordinate_transformation_mode direction equation keep_aspect_ratio_policy update_rule
""",
}

_KINDS = {name: kind for kind, names in _NAMES.items() for name in names.split()}


SWITCHES = frozenset(
    """
    allowzero ceil_mode channels_last keepdims layout noop_with_empty_axes transA transB transBatchA
    transBatchB
    """.split()
)
"""Attributes that are 0 or 1; of other numbers runtimes make one or the other, each in its way."""


def wrong_attribute(proto: NodeProto) -> str:
    """Return what is wrong with an attribute of a node: its type, or a switch that is neither."""
    for one in proto.attribute:
        kind = _KINDS.get(one.name, one.type)
        if one.type != kind:
            found, wanted = (AttributeProto.AttributeType.Name(each) for each in (one.type, kind))
            return f"its {one.name} is {found}, not {wanted}"
        if one.name in SWITCHES and one.i not in (0, 1):
            return f"its {one.name} is {one.i}, not 0 or 1"
    return ""
