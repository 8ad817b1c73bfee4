"""Whether a node is written as its operator wants it, where ONNX knows the operator."""

from collections.abc import Mapping
from functools import lru_cache
from typing import Any, NamedTuple

from onnx import NodeProto, defs

from dscost.graphs.nodes import MAIN


class _Form(NamedTuple):
    """How a node of an operator is written.

    Args:
        least: How many inputs it has at least.
        most: How many inputs it has at most.
        outputs: How many outputs it has at most.
        given: At which places an input must have a name.
        types: Of its attributes, by name.
        needed: The attributes that it must have.
    """

    least: int
    most: int
    outputs: int
    given: tuple[int, ...]
    types: Mapping[str, int]
    needed: frozenset[str]


@lru_cache(maxsize=1024)
def _form_of(domain: str, base: str, opset: int) -> _Form | None:
    try:
        schema: Any = defs.get_schema(base, opset, domain)
    except defs.SchemaError:
        return None
    single = defs.OpSchema.FormalParameterOption.Single
    types = {name: int(one.type.value) for name, one in schema.attributes.items()}
    return _Form(
        schema.min_input,
        schema.max_input,
        schema.max_output,
        tuple(at for at, one in enumerate(schema.inputs) if one.option == single),
        types,
        frozenset(name for name, one in schema.attributes.items() if one.required),
    )


def fits(proto: NodeProto, opset: int) -> bool:
    """Whether a node has as many inputs and outputs as it may have, and its attributes' types.

    Attributes that nobody knows do not matter. Of an operator that ONNX does not know all fits.
    """
    domain = "" if proto.domain == MAIN else proto.domain
    form = _form_of(domain, proto.op_type, opset)
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
