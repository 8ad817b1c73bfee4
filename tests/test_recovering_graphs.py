"""ONNX models recovered without torch: as torch's are, and by numpy's lstsq on what ONNX Runtime computes."""

import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import ModelProto, TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator
from test_graph_converting import conv, model, net, stored_in, weights

import dscost
from dscost.converting.recovering import fitting, groups, least_squares
from dscost.converting.recovering.graph_layers import GraphLayer
from dscost.converting.recovering.of_graphs import recovered
from dscost.converting.recovering.records import NORMALISED, REFITTED, Recovered
from dscost.errors import InputError
from dscost.layers.orders import DEPTHWISE_FIRST, ORDERS, Order

pytest.importorskip("onnxruntime")


def smooth(*shape: int, seed: int = 0, dtype: Any = np.float32) -> np.ndarray:
    """Images whose pixels are like their neighbours and whose channels are like each other."""
    random = np.random.default_rng(seed)
    x = random.standard_normal(shape).cumsum(-1).cumsum(-2)
    mix = random.standard_normal((shape[1], shape[1]))
    x = np.einsum("mn,bnhw->bmhw", mix, x)
    return (x / x.std((1, 2, 3), keepdims=True)).astype(dtype)


def converted(
    before: ModelProto, path: Path, order: Order = DEPTHWISE_FIRST, rank: int = 1
) -> tuple[ModelProto, list[GraphLayer]]:
    onnx.save(before, path / "net.onnx")
    sizes = [axis.dim_value or 1 for axis in before.graph.input[0].type.tensor_type.shape.dim]
    found = dscost.conversion(path / "net.onnx", sizes, min_channels=1, rank=rank, order=order)
    written = {node.name: node.output[0] for node in before.graph.node}
    names = [layer.name for layer in found.layers if layer.converted]
    return found.module, [GraphLayer(name, written[name], order) for name in names]


def feeds(*batches: np.ndarray) -> list[Mapping[str, np.ndarray]]:
    return [{"x": one} for one in batches]


def outputs(one: ModelProto, given: Sequence[Mapping[str, np.ndarray]]) -> np.ndarray:
    """By onnx's own evaluator."""
    found = [ReferenceEvaluator(one).run(None, dict(batch))[0] for batch in given]
    return np.concatenate([np.asarray(y, np.float64) for y in found])


def error(one: ModelProto, other: ModelProto, given: Sequence[Mapping[str, np.ndarray]]) -> float:
    expected = outputs(one, given)
    return float(np.linalg.norm(outputs(other, given) - expected) / np.linalg.norm(expected))


def opened(one: ModelProto) -> ModelProto:
    """With an open batch."""
    one.graph.input[0].type.tensor_type.shape.dim[0].dim_param = "batch"
    return one


def recover(before: ModelProto, path: Path, given: Any, **options: Any) -> Recovered:
    other, layers = converted(before, path, **options)
    return recovered(before, other, layers, given)


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("rank", [1, 2])
def test_the_outputs_are_nearer_on_the_inputs_and_on_others(
    order: Order, rank: int, tmp_path: Path
) -> None:
    before = net()
    other, layers = converted(before, tmp_path, order, rank)
    given = feeds(*smooth(24, 4, 9, 8)[:, None])
    held = feeds(*smooth(24, 4, 9, 8, seed=1)[:, None])
    plain = [error(before, other, one) for one in (given, held)]
    was = before.SerializeToString()
    found = recovered(before, other, layers, given)
    step = found.steps[0]
    assert (step.name, step.kept) == (REFITTED, True)
    assert step.error_before == pytest.approx(plain[0], rel=1e-4)
    assert step.error_after < 0.9 * step.error_before
    assert error(before, found.model, held) < 0.9 * plain[1]
    kept = [one for one in found.steps if one.kept][-1]
    assert kept.error_after == pytest.approx(error(before, found.model, given), rel=1e-4)
    assert before.SerializeToString() == was
    onnx.checker.check_model(found.model)


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize(
    "attributes",
    [
        {"pads": [1, 0, 2, 1], "strides": [2, 1]},
        {"auto_pad": "SAME_LOWER", "strides": [2, 2]},
        {"auto_pad": "SAME_UPPER"},
        {"pads": [0, 2, 0, 1], "dilations": [1, 2]},
        {"group": 2},
    ],
    ids=["pads", "same lower", "same upper", "dilated", "groups"],
)
@pytest.mark.parametrize("has_bias", [True, False])
def test_weights_are_those_of_least_squares(
    attributes: Any, order: Order, has_bias: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The design matrix of each output is what ONNX's evaluator makes of the filters."""
    monkeypatch.setattr(
        fitting, "best_choice", lambda pairs, shifts: least_squares.Choice(1e-12, shifts)
    )
    groups = attributes.get("group", 1)
    stored = [weights("w", 6, 4 // groups, 3, 3), weights("b", 6)]
    read = ["x", "w", *(["b"] if has_bias else [])]
    before = model([conv("c", *read, **attributes)], stored[: len(read) - 1])
    opened(before)
    other, layers = converted(before, tmp_path, order)
    given = feeds(*np.split(smooth(8, 4, 9, 8), 4))
    found = recovered(before, other, layers, given).model
    x, y = np.concatenate([one["x"] for one in given]), outputs(before, given)
    filters = stored_in(found)["w/depthwise"]
    left = least = 0.0
    made = outputs(found, given)
    for n in range(6):
        own = x[:, (n * groups // 6) * (4 // groups) :][:, : 4 // groups]
        channels = own.shape[1]
        if order == DEPTHWISE_FIRST:
            start = (n * groups // 6) * channels
            kernel = filters[start : start + channels]
        else:
            kernel = np.repeat(filters[n : n + 1], channels, 0)
        window = {**attributes, "group": channels}
        alone = model(
            [conv("z", "x", "k", **window)], [numpy_helper.from_array(kernel, "k")],
            shape=own.shape,
        )  # fmt: skip
        z = outputs(alone, [{"x": own}]).swapaxes(0, 1).reshape(channels, -1)
        design = np.vstack([z, np.ones_like(z[:1])]).T if has_bias else z.T
        aim = y[:, n].ravel()
        least += float(np.square(aim - design @ np.linalg.lstsq(design, aim, rcond=None)[0]).sum())
        left += float(np.square(aim - made[:, n].ravel()).sum())
    assert left == pytest.approx(least, rel=1e-4)


def named_weights(module: Any, at: int, name: str) -> list[TensorProto]:
    state = module.state_dict()
    return [
        numpy_helper.from_array(state[f"{at}.{kind}"].numpy(), f"{name}.{kind}")
        for kind in ("weight", "bias", "running_mean", "running_var")
        if f"{at}.{kind}" in state
    ]


@pytest.mark.torch
def test_a_file_is_recovered_as_its_module_of_torch_is(tmp_path: Path) -> None:
    import torch
    from torch import nn

    from dscost.converting.recovering import of_modules
    from dscost.tracing import arguments_of

    torch.manual_seed(0)
    module = nn.Sequential(
        nn.Conv2d(4, 6, 3, padding=1), nn.BatchNorm2d(6), nn.ReLU(), nn.Conv2d(6, 8, 3, stride=2),
        nn.ReLU(), nn.Conv2d(8, 5, 3, bias=False), nn.BatchNorm2d(5),
    )  # fmt: skip
    x = smooth(16, 4, 16, 16)
    with torch.no_grad():
        for _ in range(60):
            module(torch.from_numpy(x))
    module.eval()
    parts = {0: "first", 1: "norm", 3: "second", 5: "third", 6: "last"}
    nodes = [
        conv("0", "x", "first.weight", "first.bias", out="a", pads=[1, 1, 1, 1]),
        helper.make_node("BatchNormalization", ["a", *_of("norm")], ["n"], name="1"),
        helper.make_node("Relu", ["n"], ["r"], name="2"),
        conv("3", "r", "second.weight", "second.bias", out="b", strides=[2, 2]),
        helper.make_node("Relu", ["b"], ["s"], name="4"),
        conv("5", "s", "third.weight", out="c"),
        helper.make_node("BatchNormalization", ["c", *_of("last")], ["y"], name="6"),
    ]
    stored = [one for at, name in parts.items() for one in named_weights(module, at, name)]
    file = opened(model(nodes, stored, shape=(1, 4, 16, 16)))
    for order in ORDERS:
        found = dscost.conversion(module, min_channels=1, order=order)
        names = [layer.name for layer in found.layers if layer.converted]
        given = [arguments_of(torch.from_numpy(x))]
        theirs = of_modules.recovered(
            module, found.module, names, given, judge=_judge([1.0, 2.0, 3.0])
        )
        other, layers = converted(file, tmp_path, order)
        ours = recovered(file, other, layers, feeds(x), judge=_judge([1.0, 2.0, 3.0]))
        assert [one.name for one in ours.steps] == [REFITTED, NORMALISED]
        for mine, one in zip(ours.steps, theirs.steps, strict=True):
            assert mine.error_before == pytest.approx(one.error_before, rel=1e-3)
            assert mine.error_after == pytest.approx(one.error_after, rel=1e-3)
        held = smooth(4, 4, 16, 16, seed=3)
        with torch.no_grad():
            wanted = theirs.model(torch.from_numpy(held)).numpy()
        made = outputs(ours.model, feeds(held))
        assert np.abs(made - wanted).max() <= 2e-3 * np.abs(wanted).max()


def _of(name: str) -> list[str]:
    return [f"{name}.{kind}" for kind in ("weight", "bias", "running_mean", "running_var")]


def test_statistics_are_of_what_a_normalisation_sees_after_what_was_done_before_it(
    tmp_path: Path,
) -> None:
    before = opened(net())
    given = feeds(*np.split(smooth(12, 4, 9, 8), 3))
    other, layers = converted(before, tmp_path)
    found = recovered(before, other, layers, given, judge=_judge([1.0, 2.0, 3.0])).model
    seen = ModelProto()
    seen.CopyFrom(found)
    del seen.graph.output[:]
    seen.graph.output.append(helper.make_tensor_value_info("c", TensorProto.FLOAT, None))
    values = outputs(seen, given).swapaxes(0, 1).reshape(8, -1)
    stored = stored_in(found)
    assert stored["m"] == pytest.approx(values.mean(1), rel=1e-4, abs=1e-5)
    assert stored["v"] == pytest.approx(values.var(1, ddof=1), rel=1e-4)


@pytest.mark.parametrize("sizes", [[1] * 8, [7, 1]], ids=str)
def test_statistics_do_not_depend_on_which_inputs_are_in_a_batch(
    sizes: list[int], tmp_path: Path
) -> None:
    x = smooth(8, 4, 9, 8) + np.arange(8, dtype=np.float32).reshape(-1, 1, 1, 1)

    def statistics(parts: list[np.ndarray]) -> list[np.ndarray]:
        before = opened(net())
        other, layers = converted(before, tmp_path)
        judge = _judge([1.0, 0.0, 2.0])  # nothing stays refitted
        stored = stored_in(recovered(before, other, layers, feeds(*parts), judge=judge).model)
        return [stored["m"], stored["v"]]

    parts = np.split(x, np.cumsum(sizes)[:-1])
    for one, other in zip(statistics(parts), statistics([x]), strict=True):
        assert one == pytest.approx(other, rel=1e-5)


def test_what_a_judge_cannot_tell_is_told_by_the_error(tmp_path: Path) -> None:
    before = net()
    other, layers = converted(before, tmp_path)
    given = feeds(*smooth(24, 4, 9, 8)[:, None])
    judge = _judge([0.9, 0.8995, 0.9])
    found = recovered(before, other, layers, given, judge=judge, tolerance=0.001)
    assert found.steps[0].kept


def test_layers_see_as_many_images_as_they_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever stands before them: a step, and three frames of each input."""
    seen = []
    real = fitting.Fitting.__init__

    def noted(self: Any, stages: Any, *, shifts: bool, inputs: int) -> None:
        seen.append(inputs)
        real(self, stages, shifts=shifts, inputs=inputs)

    monkeypatch.setattr(fitting.Fitting, "__init__", noted)
    sizes = numpy_helper.from_array(np.array([-1, 4, 9, 8]), "sizes")
    nodes = [helper.make_node("Reshape", ["x", "sizes"], ["r"]), conv("c", "r", "w")]
    before = model(nodes, [weights("w", 6, 4, 3, 3), sizes], shape=(1, 3, 4, 9, 8))
    before.graph.input.insert(0, helper.make_tensor_value_info("k", TensorProto.INT64, [1]))
    before.graph.input[1].type.tensor_type.shape.dim[0].dim_param = "batch"
    onnx.save(before, tmp_path / "net.onnx")
    x = smooth(32 * 3, 4, 9, 8).reshape(32, 3, 4, 9, 8)
    given = [{"k": np.zeros(1, np.int64), "x": one} for one in np.split(x, 2)]
    shapes = {"k": (1,), "x": (1, 3, 4, 9, 8)}
    found = dscost.conversion(tmp_path / "net.onnx", shapes, min_channels=1, calibrate=given)
    assert found.recovery is not None
    assert (found.recovery.inputs, seen) == (32, [96])


def test_statistics_that_two_share_stay(tmp_path: Path) -> None:
    one = net()
    one.graph.node[3].input[4] = "m"  # its variance is its mean
    found = recover(one, tmp_path, feeds(*smooth(4, 4, 9, 8)[:, None]))
    assert [step.name for step in found.steps] == [REFITTED]
    assert (stored_in(found.model)["m"] == stored_in(one)["m"]).all()


@pytest.mark.parametrize("order", ORDERS)
def test_weights_are_stored_as_they_were(order: Order, tmp_path: Path) -> None:
    dtype = np.float16
    nodes = [conv("c", "x", "w", "b", out="a"), conv("d", "a", "w2", out="y")]
    stored = [
        weights("w", 6, 4, 3, 3, dtype=dtype), weights("b", 6, dtype=dtype), weights("w2", 5, 6, 3, 3, dtype=dtype)
    ]  # fmt: skip
    before = model(nodes, stored, dtype=helper.np_dtype_to_tensor_dtype(np.dtype(dtype)))
    found = recover(
        before, tmp_path, feeds(*smooth(16, 4, 9, 8, dtype=dtype)[:, None]), order=order
    )
    assert found.steps[0].error_after < 0.95 * found.steps[0].error_before
    assert {one.dtype for one in stored_in(found.model).values()} == {np.dtype(dtype)}


def test_weights_in_constants_are_refitted_there(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Constant", [], ["w"], value=weights("w", 6, 4, 3, 3)),
        helper.make_node("Constant", [], ["b"], value=weights("b", 6)),
        conv("c", "x", "w", "b"),
    ]
    given = feeds(*smooth(12, 4, 9, 8)[:, None])
    found = recover(model(nodes), tmp_path, given)
    same = recover(model(nodes[2:], [weights("w", 6, 4, 3, 3), weights("b", 6)]), tmp_path, given)
    assert found.steps == same.steps
    assert not found.model.graph.initializer
    assert found.steps[0].error_after < 0.95 * found.steps[0].error_before


def test_a_kernel_that_two_nodes_read_stays_one(tmp_path: Path) -> None:
    nodes = [conv("c", "x", "w", out="a"), conv("d", "a", "w")]
    found = recover(
        model(nodes, [weights("w", 4, 4, 3, 3)]), tmp_path, feeds(*smooth(12, 4, 9, 8)[:, None])
    )
    assert set(stored_in(found.model)) == {"w/depthwise", "w/pointwise"}
    assert [step.name for step in found.steps] == [REFITTED]


def test_a_bias_that_two_nodes_read_or_that_is_computed_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        fitting, "best_choice", lambda pairs, shifts: least_squares.Choice(1e-12, shifts)
    )
    nodes = [
        helper.make_node("Neg", ["b"], ["minus"]),
        conv("c", "x", "w", "b", out="a"),
        conv("d", "a", "w2", "minus"),
    ]
    stored = [weights("w", 4, 4, 3, 3), weights("w2", 4, 4, 3, 3), weights("b", 4)]
    other, layers = converted(model(nodes, stored), tmp_path)
    given = feeds(*smooth(12, 4, 9, 8)[:, None])
    found = recovered(model(nodes, stored), other, layers, given, judge=lambda model: 1.0)
    assert (stored_in(found.model)["b"] == stored_in(model(nodes, stored))["b"]).all()
    assert found.steps[0].notes == ("1 of 2 layers as before ('d'): their bias is computed.",)


def test_what_a_judge_calls_worse_is_undone(tmp_path: Path) -> None:
    before = net()
    other, layers = converted(before, tmp_path)
    was = other.SerializeToString()
    found = recovered(
        before, other, layers, feeds(smooth(1, 4, 9, 8)), judge=_judge([3.0, 2.0, 1.0])
    )
    assert [step.kept for step in found.steps] == [False, False]
    assert found.model.SerializeToString() == was


def _judge(scores: list[float]) -> Any:
    left = iter(scores)
    return lambda model: next(left)


def test_targets_that_are_not_kept_at_a_time_are_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = feeds(*smooth(8, 4, 9, 8)[:, None])
    whole = recover(net(), tmp_path, given).steps
    monkeypatch.setattr(groups, "MOST_TARGET_BYTES", 1)
    assert recover(net(), tmp_path, given).steps == whole


def test_what_onnx_runtime_refuses_is_told_in_a_line(tmp_path: Path) -> None:
    message = r"^the model cannot be run to calibrate it: InvalidArgument: .*invalid dimensions for input: x"
    with pytest.raises(InputError, match=message):
        recover(net(), tmp_path, feeds(smooth(1, 5, 9, 8)))


def test_a_dtype_that_onnx_runtime_does_not_convolve_is_told(tmp_path: Path) -> None:
    before = model(
        [conv("c", "x", "w")],
        [weights("w", 6, 4, 3, 3, dtype=np.float64)],
        dtype=TensorProto.DOUBLE,
    )
    message = r"^ONNX Runtime does not run the model to calibrate it: NotImplemented: "
    with pytest.raises(InputError, match=message):
        recover(before, tmp_path, feeds(smooth(1, 4, 9, 8, dtype=np.float64)))


def test_no_torch_is_imported(tmp_path: Path) -> None:
    converted(net(), tmp_path)
    code = (
        "import sys, numpy as np, dscost; from dscost.converting.recovering import of_graphs\n"
        "import onnx; before = onnx.load('net.onnx')\n"
        "other = dscost.convert('net.onnx', min_channels=1)\n"
        "layers = [of_graphs.GraphLayer('stem', 'a', 'depthwise-first')]\n"
        "found = of_graphs.recovered(before, other, layers, [{'x': np.ones((1, 4, 9, 8), np.float32)}])\n"
        "print(len(found.steps), 'torch' in sys.modules)"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=tmp_path
    )
    assert ran.stdout == "2 False\n"
