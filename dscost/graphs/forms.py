"""How a node of an operator is written: how many inputs it has, and which attributes of what type.

onnx knows it of every operator, but takes as long to look up the first as to count a small network;
so what most networks are made of stands here.
"""

from collections.abc import Iterator, Mapping
from functools import cache, lru_cache
from typing import Any, NamedTuple

from onnx import AttributeProto, defs

from dscost.graphs.nodes import MAIN


class Form(NamedTuple):
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


FIRST, LAST = 11, 26
"""The versions of ONNX's operators that stand here."""

_ANY = 2**31 - 1
_TYPES = AttributeProto.AttributeType.Value
_COMMON = """
Add 11 2 2 1
Mul 11 2 2 1
Sub 11 2 2 1
Div 11 2 2 1
Pow 11 2 2 1
Sqrt 11 1 1 1
Erf 11 1 1 1
Equal 11 2 2 1
Where 11 3 3 1
Conv 11 2 3 1 auto_pad:STRING dilations:INTS group:INT kernel_shape:INTS pads:INTS strides:INTS
ConvTranspose 11 2 3 1 auto_pad:STRING dilations:INTS group:INT kernel_shape:INTS
    output_padding:INTS output_shape:INTS pads:INTS strides:INTS
Relu 11 1 1 1
LeakyRelu 11 1 1 1 alpha:FLOAT
Sigmoid 11 1 1 1
Clip 11 1 3 1
HardSwish 14 1 1 1
HardSigmoid 11 1 1 1 alpha:FLOAT beta:FLOAT
Tanh 11 1 1 1
Softmax 11 1 1 1 axis:INT
Gelu 20 1 1 1 approximate:STRING
Gemm 11 2 3 1 alpha:FLOAT beta:FLOAT transA:INT transB:INT
MatMul 11 2 2 1
Flatten 11 1 1 1 axis:INT
Reshape 11 2 2 1
Reshape 14 2 2 1 allowzero:INT
Transpose 11 1 1 1 perm:INTS
Squeeze 11 1 1 1 axes:INTS
Squeeze 13 1 2 1
Unsqueeze 11 1 1 1 axes!:INTS
Unsqueeze 13 2 2 1
Slice 11 3 5 1
Split 11 1 1 * axis:INT split:INTS
Split 13 1 2 * axis:INT
Split 18 1 2 * axis:INT num_outputs:INT
Gather 11 2 2 1 axis:INT
Expand 11 2 2 1
Concat 11 1 * 1 axis!:INT
Identity 11 1 1 1
Constant 11 0 0 1 sparse_value:SPARSE_TENSOR value:TENSOR
Constant 12 0 0 1 sparse_value:SPARSE_TENSOR value:TENSOR value_float:FLOAT value_floats:FLOATS
    value_int:INT value_ints:INTS value_string:STRING value_strings:STRINGS
ConstantOfShape 11 1 1 1 value:TENSOR
Shape 11 1 1 1
Shape 15 1 1 1 end:INT start:INT
Cast 11 1 1 1 to!:INT
Cast 19 1 1 1 saturate:INT to!:INT
Cast 24 1 1 1 round_mode:STRING saturate:INT to!:INT
Pad 11 2 3 1 mode:STRING
Pad 18 2 4 1 mode:STRING
Resize 11 3 4 1 coordinate_transformation_mode:STRING cubic_coeff_a:FLOAT exclude_outside:INT
    extrapolation_value:FLOAT mode:STRING nearest_mode:STRING
Resize 13 1 4 1 coordinate_transformation_mode:STRING cubic_coeff_a:FLOAT exclude_outside:INT
    extrapolation_value:FLOAT mode:STRING nearest_mode:STRING
Resize 18 1 4 1 antialias:INT axes:INTS coordinate_transformation_mode:STRING cubic_coeff_a:FLOAT
    exclude_outside:INT extrapolation_value:FLOAT keep_aspect_ratio_policy:STRING mode:STRING
    nearest_mode:STRING
MaxPool 11 1 1 2 auto_pad:STRING ceil_mode:INT dilations:INTS kernel_shape!:INTS pads:INTS
    storage_order:INT strides:INTS
AveragePool 11 1 1 1 auto_pad:STRING ceil_mode:INT count_include_pad:INT kernel_shape!:INTS
    pads:INTS strides:INTS
AveragePool 19 1 1 1 auto_pad:STRING ceil_mode:INT count_include_pad:INT dilations:INTS
    kernel_shape!:INTS pads:INTS strides:INTS
GlobalAveragePool 11 1 1 1
ReduceMean 11 1 1 1 axes:INTS keepdims:INT
ReduceMean 18 1 2 1 keepdims:INT noop_with_empty_axes:INT
ReduceSum 11 1 1 1 axes:INTS keepdims:INT
ReduceSum 13 1 2 1 keepdims:INT noop_with_empty_axes:INT
BatchNormalization 11 5 5 5 epsilon:FLOAT momentum:FLOAT
BatchNormalization 14 5 5 3 epsilon:FLOAT momentum:FLOAT training_mode:INT
LayerNormalization 17 2 3 3 axis:INT epsilon:FLOAT stash_type:INT
Dropout 11 1 1 2 ratio:FLOAT
Dropout 12 1 3 2 seed:INT
Mod 11 2 2 1 fmod:INT
ScatterND 11 3 3 1
ScatterND 16 3 3 1 reduction:STRING
QuantizeLinear 11 2 3 1
QuantizeLinear 13 2 3 1 axis:INT
QuantizeLinear 19 2 3 1 axis:INT saturate:INT
QuantizeLinear 21 2 3 1 axis:INT block_size:INT output_dtype:INT saturate:INT
QuantizeLinear 23 2 3 1 axis:INT block_size:INT output_dtype:INT precision:INT saturate:INT
DequantizeLinear 11 2 3 1
DequantizeLinear 13 2 3 1 axis:INT
DequantizeLinear 21 2 3 1 axis:INT block_size:INT
DequantizeLinear 23 2 3 1 axis:INT block_size:INT output_dtype:INT
"""
"""An operator, the version from which on it is written so, the least and the most of its inputs,
the most of its outputs, its attributes. `*` is any number, `!` marks what must be there."""


@lru_cache(maxsize=1024)
def form_of(domain: str, base: str, opset: int) -> Form | None:
    """Return how a node is written; `None` of an operator that ONNX does not know."""
    if domain in ("", MAIN) and FIRST <= opset <= LAST:
        found = [form for since, form in _common().get(base, ()) if since <= opset]
        if found:
            return found[-1]
    return form_by_onnx("" if domain == MAIN else domain, base, opset)


def form_by_onnx(domain: str, base: str, opset: int) -> Form | None:
    """Return how a node is written, by the schemas of onnx."""
    try:
        schema: Any = defs.get_schema(base, opset, domain)
    except defs.SchemaError:
        return None
    single = defs.OpSchema.FormalParameterOption.Single
    return Form(
        schema.min_input,
        schema.max_input,
        schema.max_output,
        tuple(at for at, one in enumerate(schema.inputs) if one.option == single),
        {name: int(one.type.value) for name, one in schema.attributes.items()},
        frozenset(name for name, one in schema.attributes.items() if one.required),
    )


@cache
def _common() -> Mapping[str, list[tuple[int, Form]]]:
    forms: dict[str, list[tuple[int, Form]]] = {}
    for words in _rows():
        name, since, least, *most = words[:5]
        inputs, outputs = (_ANY if one == "*" else int(one) for one in most)
        named = [one.partition(":") for one in words[5:]]
        form = Form(
            int(least),
            inputs,
            outputs,
            () if inputs == _ANY else tuple(range(int(least))),
            {
                one.removesuffix("!"): AttributeProto.AttributeType.Value(kind)
                for one, _, kind in named
            },
            frozenset(one[:-1] for one, *_ in named if one.endswith("!")),
        )
        forms.setdefault(name, []).append((int(since), form))
    return forms


def _rows() -> Iterator[list[str]]:
    """Yield the words of every row; one that goes on is indented."""
    rows = _COMMON.strip().replace("\n    ", " ")
    yield from (row.split() for row in rows.splitlines())
