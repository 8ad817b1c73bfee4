"""Whether a node is written as its operator wants it, where ONNX knows the operator."""

from onnx import NodeProto

from dscost.graphs.forms import form_of


def fits(proto: NodeProto, opset: int) -> bool:
    """Whether a node has as many inputs and outputs as it may have, and its attributes' types.

    Attributes that nobody knows do not matter. Of an operator that ONNX does not know all fits.
    """
    form = form_of(proto.domain, proto.op_type, opset)
    if form is None:
        return True
    names = proto.input
    if not form.least <= len(names) <= form.most or len(proto.output) > form.outputs:
        return False
    if "" in names and any(not names[at] for at in form.given if at < len(names)):
        return False
    if form.needed and not form.needed <= {one.name for one in proto.attribute}:
        return False
    for one in proto.attribute:
        kind = one.type
        if form.types.get(one.name, kind) != kind:
            return False
    return True
