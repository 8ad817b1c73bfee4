"""Small ONNX files of many operators, each changed somewhere: `graph_mutations` says what may come of it.

`SEED=3 N=5000 pytest tests/test_graph_fuzzing.py` tries more; `benchmarks/onnx_fuzz.py` does it with real files.
"""

import random
from pathlib import Path

import numpy as np
import onnx
import pytest
from fuzzing import SEED, cases
from graph_mutations import Outcome, examine, mutated

HEAD = '<ir_version: 8, opset_import: ["" : 17, "com.microsoft" : 1, "own" : 1]>\n'
NETS = {
    "images": """images (float[n,3,16,16] x) => (float[n,10] y)
        <float[8,3,3,3] w, float[8] b, float[8] s, float[8] m, float[16,8] v, float[8,1,3,3] d, float[10,16] f, float[10] g>
    {
        c = Conv <pads = [1,1,1,1], strides = [2,2], kernel_shape = [3,3]> (x, w, b)
        n1 = BatchNormalization (c, s, b, m, s)
        r = Relu (n1)
        dw = Conv <group = 8, auto_pad = "SAME_UPPER", dilations = [2,2]> (r, d)
        p = MaxPool <kernel_shape = [2,2], strides = [2,2], ceil_mode = 1> (dw)
        a = AveragePool <kernel_shape = [2,2], strides = [2,2]> (r)
        j = Concat <axis = 1> (p, a)
        q = GlobalAveragePool (j)
        h = Flatten (q)
        y = Gemm <transB = 1> (h, f, g)
    }""",
    "shapes": """shapes (float[n,4,6] x) => (float[n,24] y, float[m] z)
        <int64[1] zero = {0}, int64[1] one = {1}, int64[1] last = {-1}, int64[2] pads = {0,1}, float[2] scales = {1.0,2.0}>
    {
        size = Shape (x)
        batch = Gather <axis = 0> (size, zero)
        rest = Slice (size, one, last)
        target = Concat <axis = 0> (batch, last)
        flat = Reshape (x, target)
        count = ReduceProd <keepdims = 1> (rest)
        filled = ConstantOfShape (size)
        wide = Expand (flat, batch)
        y = Add (wide, flat)
        twice = Tile (batch, one)
        squeezed = Squeeze (twice, zero)
        steps = Range (squeezed, squeezed, squeezed)
        casted = Cast <to = 1> (steps)
        z = Where (steps, casted, casted)
    }""",
    "heads": """heads (float[b,t,16] x) => (float[b,t,16] y)
        <float[16,16] wq, float[16,16] wk, float[16] s, int64[4] split = {0,0,4,4}, int64[3] join = {0,0,16}>
    {
        n1 = LayerNormalization <axis = -1> (x, s, s)
        q = MatMul (n1, wq)
        k = MatMul (n1, wk)
        q4 = Reshape (q, split)
        k4 = Reshape (k, split)
        qt = Transpose <perm = [0,2,1,3]> (q4)
        kt = Transpose <perm = [0,2,3,1]> (k4)
        scores = MatMul (qt, kt)
        weights = Softmax <axis = -1> (scores)
        e = Einsum <equation = "bhts,bhds->bhtd"> (weights, kt)
        back = Transpose <perm = [0,2,1,3]> (e)
        flat = Reshape (back, join)
        y = Add (flat, x)
    }""",
    "recurrent": """recurrent (float[t,b,8] x) => (float[t,1,b,4] y, float[t,2,b,4] z, float[1,b,4] h)
        <float[1,16,8] w, float[1,16,4] r, float[1,32] b, float[2,12,8] gw, float[2,12,4] gr, float[1,4,8] nw, float[1,4,4] nr>
    {
        y, h, c = LSTM <hidden_size = 4> (x, w, r, b)
        z = GRU <hidden_size = 4, direction = "bidirectional", linear_before_reset = 1> (x, gw, gr)
        n1, n2 = RNN <hidden_size = 4> (x, nw, nr)
    }""",
    "quantised": """quantised (float[1,3,8,8] x) => (float[1,8,6,6] y, float[1,8,6,6] z, int32[1,8,6,6] i)
        <float s = {0.5}, uint8 zero = {0}, int8[8,3,3,3] w, int8 wz = {0}, uint8[8,3,3,3] u>
    {
        q = QuantizeLinear (x, s, zero)
        c = QLinearConv (q, s, zero, w, s, wz, s, zero)
        y = DequantizeLinear (c, s, zero)
        dw = DequantizeLinear (w, s, wz)
        z = Conv (x, dw)
        d, ds, dz = DynamicQuantizeLinear (x)
        i = ConvInteger (d, u, dz)
    }""",
    "control": """control (float[2,4] x, bool flag) => (float[n,m] y, float[p,q] z, float[r,s] last)
        <float[4,4] w, int64 trips = {3}, bool yes = {1}>
    {
        y = If (flag) <
            then_branch = one () => (float[2,4] a) { a = MatMul (x, w) },
            else_branch = two () => (float[2,4] o) { o = Relu (x) }
        >
        last, z = Loop (trips, yes, x) <
            body = turn (int64 i, bool going, float[2,4] state) => (bool more, float[2,4] next, float[2,4] out) {
                more = Identity (going)
                next = MatMul (state, w)
                out = Relu (next)
            }
        >
    }""",
    "mixed": """mixed (float[1,4,8,8] x) => (float[a,b,c,d] y, float[e,f,g,h] z, float[i,j] k)
        <float[4,2,2,2] w, float[4] s, float[4] scales = {1.0,1.0,2.0,2.0}, int64[8] pads = {0,0,1,1,0,0,1,1}, int64[1] two = {2},
         int64[2] axes = {2,3}>
    {
        t = ConvTranspose <group = 2, strides = [2,2], output_padding = [1,1]> (x, w)
        r = Resize <mode = "linear"> (x, , scales)
        p = Pad (r, pads)
        a, b = Split <axis = 1> (p)
        m = Mul (a, b)
        d = DepthToSpace <blocksize = 2> (x)
        o = SpaceToDepth <blocksize = 2> (d)
        y = Clip (m)
        n1 = InstanceNormalization (o, s, s)
        l = LRN <size = 3> (n1)
        z = PRelu (l, x)
        mean = ReduceMean <axes = [2,3], keepdims = 0> (z)
        v, ix = TopK <axis = 1> (mean, two)
        g = GatherElements <axis = 1> (mean, ix)
        k = ArgMax <axis = 1> (g)
    }""",
    "others": """others (float[2,6,8] x) => (float[a,b,c] y, float[d,e,f] z, float[g,h,i] k)
        <float[8,8] w, float[8] s, int64[1] at = {1}, int64 first = {0}, int64[2] split = {4,4}>
    {
        f = own.twice (x)
        m = com.microsoft.FusedMatMul <transB = 1, alpha = 0.5> (f, w)
        n1, a1, a2, sum = com.microsoft.SkipLayerNormalization (m, x, s, s)
        parts = SplitToSequence <axis = 2> (n1, split)
        y = SequenceAt (parts, first)
        z = ConcatFromSequence <axis = 2> (parts)
        k = somebody.Else <size = 3> (n1)
    }""",
}
FUNCTION = """
    <domain: "own", opset_import: ["" : 17]>
    twice (a) => (b) { c = Add (a, a) b = Relu (c) }
"""


def _content(name: str) -> bytes:
    text = HEAD + NETS[name] + (FUNCTION if "own." in NETS[name] else "")
    model = onnx.parser.parse_model(text)
    for one in (
        model.graph.value_info
    ):  # what stands without values among those that have some are weights
        kind = onnx.helper.tensor_dtype_to_np_dtype(one.type.tensor_type.elem_type)
        shape = [axis.dim_value for axis in one.type.tensor_type.shape.dim]
        model.graph.initializer.append(
            onnx.numpy_helper.from_array(np.zeros(shape, kind), one.name)
        )
    del model.graph.value_info[:]
    return model.SerializeToString()


@pytest.fixture(scope="module")
def contents() -> dict[str, bytes]:
    return {name: _content(name) for name in NETS}


@pytest.mark.parametrize("name", NETS)
def test_what_is_changed_is_counted_unchanged(
    name: str, contents: dict[str, bytes], tmp_path: Path
) -> None:
    path = tmp_path / "net.onnx"
    path.write_bytes(contents[name])
    found = examine(path)
    assert (found.how, found.fault) == ("partial" if name == "others" else "counted", None), (
        found.told
    )


@pytest.mark.parametrize("name", NETS)
def test_a_file_that_went_wrong_is_refused_or_counted_and_never_made_up(
    name: str, contents: dict[str, bytes], tmp_path: Path
) -> None:
    path, kept = tmp_path / "net.onnx", tmp_path / "wrong"
    faults: list[tuple[int, str, Outcome]] = []
    seen = set()
    for at in range(cases(60)):
        how, content = mutated(contents[name], random.Random(f"{SEED} {name} {at}"))
        path.write_bytes(content)
        found = examine(path)
        seen.add(found.how)
        if found.fault:
            kept.mkdir(exist_ok=True)
            (kept / f"{at}.onnx").write_bytes(content)
            faults.append((at, how, found))
    assert faults == [], f"kept in {kept}"
    assert {"refused", "counted"} <= seen | {"counted" if name == "others" else ""}
