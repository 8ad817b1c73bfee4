"""Single nodes of ONNX graphs for tests: made of shapes and small values, and drawn at random."""

from collections.abc import Callable, Sequence
from random import Random
from typing import Any

import numpy as np
from onnx import helper

from dscost.graphs.nodes import MAIN, Node, attributes_of
from dscost.graphs.values import Value

Shape = tuple[int, ...]


def made(
    operator: str,
    inputs: Sequence[Any],
    opset: int = 17,
    outputs: int = 1,
    **attributes: Any,
) -> Node:
    """Return a node.

    Args:
        operator: Its type, with a domain before `::` where it has another.
        inputs: What it reads: the shape of a float32 tensor, a `Value`, values, or `None`.
        opset: Of its domain.
        outputs: How many it has.
        attributes: Of the node.
    """
    domain, _, base = operator.rpartition("::")
    names = [f"i{at}" if one is not None else "" for at, one in enumerate(inputs)]
    written = [f"o{at}" for at in range(outputs)]
    proto = helper.make_node(base, names, written, "node", domain=domain, **attributes)
    values = tuple(None if one is None else _value(one) for one in inputs)
    return Node("node", f"{domain or MAIN}::{base}", attributes_of(proto), values, proto, opset)


def _value(one: Any) -> Value:
    if isinstance(one, Value):
        return one
    if isinstance(one, np.ndarray):
        return Value(str(one.dtype), one.shape, one)
    return Value("float32", tuple(one))


def ints(*values: int) -> Any:
    return np.array(values, np.int64)


def typed_as(dtype: str, *shape: int) -> Value:
    return Value(dtype, shape)


# -- drawn: all of them fit


def some(draw: Random, least: int = 1, most: int = 4, *, sizes: tuple[int, int] = (1, 6)) -> Shape:
    return tuple(draw.randint(*sizes) for _ in range(draw.randint(least, most)))


def windows(draw: Random, dims: int) -> dict[str, Any]:
    drawn: dict[str, Any] = {}
    if draw.random() < 0.6:
        drawn["strides"] = [draw.randint(1, 3) for _ in range(dims)]
    if draw.random() < 0.4:
        drawn["dilations"] = [draw.randint(1, 2) for _ in range(dims)]
    way = draw.random()
    if way < 0.4:
        drawn["pads"] = [draw.randint(0, 1) for _ in range(2 * dims)]
    elif way < 0.8:
        drawn["auto_pad"] = draw.choice(["SAME_UPPER", "SAME_LOWER", "VALID", "NOTSET"])
    return drawn


def conv(draw: Random) -> Node:
    dims, groups = draw.randint(1, 3), draw.choice([1, 1, 2, 3])
    channels, filters = groups * draw.randint(1, 2), groups * draw.randint(1, 3)
    kernel = some(draw, dims, dims, sizes=(1, 3))
    x = (draw.randint(1, 2), channels, *some(draw, dims, dims, sizes=(5, 9)))
    weights = (filters, channels // groups, *kernel)
    opset = draw.choice([1, 11, 22])
    return made("Conv", [x, weights], opset, group=groups, **windows(draw, dims))


def integer_conv(draw: Random) -> Node:
    x, w = typed_as("uint8", 1, 2, 5, 6), typed_as("uint8", 3, 2, *some(draw, 2, 2, sizes=(1, 3)))
    return made("ConvInteger", [x, w], 10, **windows(draw, 2))


def quantized_conv(draw: Random) -> Node:
    x, w = typed_as("uint8", 1, 2, 5, 6), typed_as("int8", 3, 2, *some(draw, 2, 2, sizes=(1, 3)))
    zero, weight_zero = typed_as("uint8"), typed_as("int8")
    return made("QLinearConv", [x, (), zero, w, (), weight_zero, (), zero], 10, **windows(draw, 2))


def transposed_conv(draw: Random) -> Node:
    dims, groups = draw.randint(1, 3), draw.choice([1, 2])
    channels = groups * draw.randint(1, 2)
    x = (2, channels, *some(draw, dims, dims, sizes=(3, 9)))
    weights = (channels, draw.randint(1, 3), *some(draw, dims, dims, sizes=(1, 3)))
    drawn = windows(draw, dims)
    if draw.random() < 0.3 and "auto_pad" not in drawn:
        drawn["output_padding"] = [draw.randint(0, 1) for _ in range(dims)]
    return made("ConvTranspose", [x, weights], draw.choice([1, 11, 22]), group=groups, **drawn)


def pooling(draw: Random) -> Node:
    dims = draw.randint(1, 3)
    operator, opset = draw.choice(
        [*(("MaxPool", at) for at in (8, 10, 12, 22)), *(("AveragePool", at) for at in (7, 19, 22))]
    )
    drawn = windows(draw, dims)
    if opset < 10:
        drawn.pop("dilations", None)
    if opset == 22:  # what it says before is not what runs: the last window may begin in padding
        drawn["ceil_mode"] = draw.randint(0, 1)
    kernel = [draw.randint(2, 3) for _ in range(dims)]
    x = (2, 3, *some(draw, dims, dims, sizes=(5, 9)))
    outputs = 2 if operator == "MaxPool" else 1
    return made(operator, [x], opset, outputs, kernel_shape=kernel, **drawn)


def reducing(draw: Random) -> Node:
    operator = draw.choice(["ReduceMean", "ReduceSum", "ReduceMax", "ReduceL2", "ReduceProd"])
    x, opset = some(draw), draw.choice([11, 13, 18])
    rank = len(x)
    axes = [
        at - rank * draw.randint(0, 1) for at in draw.sample(range(rank), draw.randint(1, rank))
    ]
    drawn: dict[str, Any] = {"keepdims": draw.randint(0, 1)} if draw.random() < 0.7 else {}
    if opset >= 18 or (operator == "ReduceSum" and opset == 13):
        if draw.random() < 0.6:
            drawn["noop_with_empty_axes"] = draw.randint(0, 1)
        told = [ints(*axes)] if draw.random() < 0.5 else []
        return made(operator, [x, *told], opset, **drawn)
    return made(operator, [x], opset, **({"axes": axes} if draw.random() < 0.7 else {}), **drawn)


def finding(draw: Random) -> Node:
    x = some(draw)
    axis = draw.randint(-len(x), len(x) - 1)
    if draw.random() < 0.5:
        keeps = {"keepdims": draw.randint(0, 1)} if draw.random() < 0.7 else {}
        return made(draw.choice(["ArgMax", "ArgMin"]), [x], 13, axis=axis, **keeps)
    count = draw.randint(1, x[axis])
    if draw.random() < 0.3:
        return made("TopK", [x], 1, 2, axis=axis % len(x), k=count)
    return made("TopK", [x, ints(count)], 11, 2, axis=axis)


def reshaping(draw: Random) -> Node:
    x = some(draw)
    wanted = list(x)
    draw.shuffle(wanted)
    if draw.random() < 0.3:
        wanted = [x[0] * x[1], *x[2:]] if len(x) > 1 else [1, *x]
    if draw.random() < 0.5:
        wanted[draw.randrange(len(wanted))] = -1
    elif draw.random() < 0.5:
        wanted = list(x)
        wanted[draw.randrange(len(wanted))] = 0
    return made("Reshape", [x, ints(*wanted)], draw.choice([5, 13, 14]))


def squeezing(draw: Random) -> Node:
    x = tuple(draw.choice([1, 1, 2, 3]) for _ in range(draw.randint(1, 4)))
    single = [at for at, size in enumerate(x) if size == 1]
    way = draw.randint(0, 4)
    if way == 0 or (way < 3 and not single):
        return made("Squeeze", [x], draw.choice([1, 11, 13]))
    if way < 3:
        axes = draw.sample(single, draw.randint(1, len(single)))
        if way == 1:
            return made("Squeeze", [x], 11, axes=axes)
        return made("Squeeze", [x, ints(*axes)], 13)
    new = draw.randint(1, 2)
    axes = draw.sample(range(len(x) + new), new)
    if way == 3:
        return made("Unsqueeze", [x], 11, axes=axes)
    return made("Unsqueeze", [x, ints(*axes)], 13)


def slicing(draw: Random) -> Node:
    x = some(draw)
    axes = draw.sample(range(len(x)), draw.randint(1, len(x)))
    starts = [draw.randint(-8, 8) for _ in axes]
    ends = [draw.choice([draw.randint(-8, 8), 1000]) for _ in axes]
    if draw.random() < 0.3:
        ends = [draw.choice([1, 1000]) for _ in axes]
        return made("Slice", [x], 1, starts=[0 for _ in axes], ends=ends, axes=sorted(axes))
    steps = [draw.choice([1, 1, 2, -1, -2, 3]) for _ in axes]
    inputs = [x, ints(*starts), ints(*ends), ints(*axes), ints(*steps)]
    return made("Slice", inputs, draw.choice([10, 11, 13]))


def padding(draw: Random) -> Node:
    x = some(draw, sizes=(3, 6))
    pads = [draw.randint(-1, 3) for _ in range(2 * len(x))]
    way = draw.random()
    if way < 0.3:
        return made("Pad", [x], 2, pads=pads)
    if way < 0.6:
        return made("Pad", [x, ints(*pads)], draw.choice([11, 13]))
    axes = draw.sample(range(len(x)), draw.randint(1, len(x)))
    inputs = [x, ints(*pads[: 2 * len(axes)]), None, ints(*axes)]
    return made("Pad", inputs, draw.choice([18, 21]))


def splitting(draw: Random) -> Node:
    x = some(draw, sizes=(4, 8))
    axis, count, way = draw.randint(-len(x), len(x) - 1), draw.randint(1, 3), draw.randint(0, 3)
    if way == 0:
        x = tuple(6 for _ in x)
        return made("Split", [x], draw.choice([2, 11, 13]), count, axis=axis)
    if way == 1:
        return made("Split", [x], 18, count, axis=axis, num_outputs=count)
    parts = [draw.randint(0, 1) for _ in range(count - 1)]
    parts.append(x[axis] - sum(parts))
    if way == 2:
        return made("Split", [x, ints(*parts)], draw.choice([13, 18]), count, axis=axis)
    return made("Split", [x], 11, count, axis=axis, split=parts)


def moving(draw: Random) -> Node:
    x = some(draw)
    way = draw.randint(0, 5)
    if way == 0:
        order = list(range(len(x)))
        draw.shuffle(order)
        return made("Transpose", [x], 13, **({"perm": order} if draw.random() < 0.8 else {}))
    if way == 1:
        return made("Flatten", [x], draw.choice([1, 9, 13]), axis=draw.randint(0, len(x)))
    if way == 2:
        return made("Tile", [x, ints(*(draw.randint(0, 3) for _ in x))], draw.choice([6, 13]))
    if way == 3:
        wanted = (*[draw.randint(1, 3)] * draw.randint(0, 2), *(draw.choice([n, 1]) for n in x))
        return made("Expand", [x, ints(*wanted)], draw.choice([8, 13]))
    size = draw.randint(1, 3)
    if way == 4:
        return made("DepthToSpace", [(1, 2 * size**2, 4, 5)], 13, blocksize=size)
    return made("SpaceToDepth", [(1, 2, 2 * size, 3 * size)], 13, blocksize=size)


def joining(draw: Random) -> Node:
    x = some(draw)
    axis = draw.randint(-len(x), len(x) - 1)
    parts = []
    for _ in range(draw.randint(1, 3)):
        part = list(x)
        part[axis] = draw.randint(1, 4)
        parts.append(tuple(part))
    return made("Concat", parts, draw.choice([11, 13]), axis=axis)


def looking_up(draw: Random) -> Node:
    x = some(draw)
    axis, way = draw.randint(-len(x), len(x) - 1), draw.randint(0, 2)
    if way == 0:
        return made("Gather", [x, typed_as("int64", *some(draw, 0, 2))], 13, axis=axis)
    if way == 1:
        indices = typed_as("int64", *some(draw, len(x), len(x)))
        return made("GatherElements", [x, indices], 13, axis=axis)
    batch = draw.randint(0, len(x) - 1)
    last = draw.randint(1, len(x) - batch)
    indices = typed_as("int64", *x[:batch], 4, last)
    return made("GatherND", [x, indices], 12, batch_dims=batch)


def resizing(draw: Random) -> Node:
    x = (1, 2, *some(draw, 1, 3, sizes=(1, 9)))
    scales = np.array([draw.choice([0.5, 1, 1.5, 2, 2.3, 0.7, 1 / 3]) for _ in x], np.float32)
    larger, sizes = np.maximum(scales, 1), [draw.randint(1, 9) for _ in x]
    way, opset = draw.randint(0, 6), draw.choice([13, 18, 19])
    if way == 0:
        return made("Resize", [x, scales], 10)
    if way == 1:
        return made("Upsample", [x], 7, scales=larger.tolist())
    if way == 2:
        return made("Upsample", [x, larger], 9)
    if way == 3:
        return made("Resize", [x, None, scales], opset)
    if way == 4:
        return made("Resize", [x, None, None, ints(*sizes)], opset)
    axes = draw.sample(range(len(x)), draw.randint(1, len(x)))
    if way == 5:
        return made("Resize", [x, None, scales[: len(axes)]], 19, axes=axes)
    policy = draw.choice(["stretch", "not_larger", "not_smaller"])
    inputs = [x, None, None, ints(*(draw.randint(9, 12) for _ in axes))]
    return made("Resize", inputs, 19, axes=axes, keep_aspect_ratio_policy=policy)


def multiplying(draw: Random) -> Node:
    rows, inner, columns = some(draw, 3, 3, sizes=(1, 4))
    batch = some(draw, 0, 2, sizes=(1, 3))
    other = tuple(draw.choice([size, 1]) for size in batch)[draw.randint(0, len(batch)) :]
    a = (*batch, rows, inner) if draw.random() < 0.8 else (inner,)
    b = (*other, inner, columns) if draw.random() < 0.8 else (inner,)
    way = draw.randint(0, 3)
    if way == 0:
        left, right = draw.randint(0, 1), draw.randint(0, 1)
        a = (inner, rows) if left else (rows, inner)
        b = (columns, inner) if right else (inner, columns)
        return made("Gemm", [a, b], 13, transA=left, transB=right)
    if way == 1:
        return made("MatMul", [a, b], draw.choice([1, 9, 13]))
    whole, zero = (typed_as("uint8", *a), typed_as("uint8", *b)), typed_as("uint8")
    if way == 2:
        return made("MatMulInteger", whole, 10)
    inputs = [whole[0], (), zero, whole[1], (), zero, (), zero]
    return made("QLinearMatMul", inputs, draw.choice([10, 21]))


def summing(draw: Random) -> Node:
    sizes = {"i": 2, "j": 3, "k": 4}
    rest = draw.random() < 0.4
    terms = [
        ("..." if rest else "") + "".join(draw.sample("ijk", draw.randint(1, 3)))
        for _ in range(draw.randint(1, 3))
    ]
    shapes = [
        ((5, 6) if rest else ()) + tuple(sizes[label] for label in term.strip("."))
        for term in terms
    ]
    equation = ",".join(terms)
    if draw.random() < 0.7:
        used = sorted(set(equation) & set(sizes))
        kept = "".join(draw.sample(used, draw.randint(0, len(used))))
        equation += "->" + ("..." if rest else "") + kept
    return made("Einsum", shapes, 12, equation=equation)


def recurring(draw: Random) -> Node:
    operator, gates = draw.choice([("LSTM", 4), ("GRU", 3), ("RNN", 1)])
    hidden, width = draw.randint(1, 3), draw.randint(1, 3)
    way = draw.choice(["forward", "reverse", "bidirectional"])
    both = 2 if way == "bidirectional" else 1
    opset = draw.choice([7, 14, 22])
    layout = {"layout": draw.randint(0, 1)} if opset > 7 else {}
    weights = [(both, gates * hidden, width), (both, gates * hidden, hidden)]
    outputs = 3 if operator == "LSTM" else 2
    return made(
        operator,
        [(5, 2, width), *weights],
        opset,
        outputs,
        hidden_size=hidden,
        direction=way,
        **layout,
    )


def attending(draw: Random) -> Node:
    heads, shared = 4, draw.choice([1, 2, 4])
    length, keys, past, size = some(draw, 4, 4, sizes=(1, 4))
    cache = [None, (2, shared, past, 3), (2, shared, past, size)] if draw.random() < 0.5 else []
    outputs, opset = (3 if cache else 1), draw.choice([23, 24])
    if draw.random() < 0.5:
        inputs = [(2, heads, length, 3), (2, shared, keys, 3), (2, shared, keys, size), *cache]
        return made("Attention", inputs, opset, outputs)
    inputs = [(2, length, heads * 3), (2, keys, shared * 3), (2, keys, shared * size), *cache]
    return made("Attention", inputs, opset, outputs, q_num_heads=heads, kv_num_heads=shared)


def broadcasting(draw: Random) -> Node:
    x = some(draw, sizes=(1, 3))
    y = tuple(draw.choice([size, 1]) for size in x)[draw.randint(0, len(x)) :]
    both = (x, y) if draw.random() < 0.5 else (y, x)
    operator = draw.choice(["Add", "Mul", "Pow", "Equal", "Less", "Max", "Where"])
    if operator == "Where":
        return made(operator, [typed_as("bool", *both[0]), both[1], (1,)], 16)
    return made(operator, both, draw.choice([13, 14]))


def keeping(draw: Random) -> Node:
    x = some(draw)
    feature_map = (2, 3, *x)
    axis = draw.randint(-len(x), len(x) - 1)
    return draw.choice(
        [
            made("Relu", [x], 13),
            made("Softmax", [x], 13),
            made("Cast", [x], 13, to=draw.choice([1, 6, 7, 9, 10, 11])),
            made("Dropout", [x], draw.choice([10, 12, 13]), 2),
            made("LayerNormalization", [x, x[axis:]], 17, 3, axis=axis),
            made("BatchNormalization", [feature_map, *[(3,)] * 4], draw.choice([9, 14, 15])),
            made("InstanceNormalization", [feature_map, (3,), (3,)], 6),
            made("GlobalAveragePool", [feature_map], 1),
            made("PRelu", [x, x[-1:]], 16),
            made("QuantizeLinear", [x, ()], 13),
            made("QuantizeLinear", [x, (), typed_as("int8")], 13),
            made("DequantizeLinear", [typed_as("int8", *x), ()], 13),
            made("DynamicQuantizeLinear", [x], 11, 3),
            made("Trilu", [feature_map], 14),
            made("Shape", [x], 13),
            made("Size", [x], 13),
            made("ConstantOfShape", [ints(*x)], 9),
            made("OneHot", [typed_as("int64", *x), np.array(4), (2,)], 11, axis=axis),
            made("GridSample", [(2, 3, 4, 5), (2, 6, 7, 2)], 16),
            made("CausalConvWithState", [(2, 6, 7), (6, 1, 4)], 27, 2),
            made(
                "LinearAttention",
                [(1, 7, 12), (1, 7, 6), (1, 7, 10)],
                27,
                2,
                q_num_heads=4,
                kv_num_heads=2,
                update_rule="linear",
            ),
            made("RoiAlign", [(2, 3, 9, 9), (7, 4), typed_as("int64", 7)], 16, output_height=2),
        ]
    )


DRAWN: dict[str, Callable[[Random], Node]] = {
    one.__name__: one
    for one in (
        *(conv, integer_conv, quantized_conv, transposed_conv, pooling, reducing, finding),
        *(reshaping, squeezing, slicing, padding, splitting, moving, joining, looking_up),
        *(resizing, multiplying, summing, recurring, attending, broadcasting, keeping),
    )
}
"""Families of operators, by name."""
