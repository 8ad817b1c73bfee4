"""ONNX files converted by a score: what ONNX Runtime computes, beside onnx's own evaluator and numpy's SVD."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import ModelProto, TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator
from program import run

import dscost
from dscost.errors import InputError, UnavailableError

pytest.importorskip("onnxruntime")

FLOAT = TensorProto.FLOAT
CHANNELS, SIZE = 16, 6
AS_IT_IS = CHANNELS * CHANNELS * 9 * SIZE * SIZE
AT_RANK_1 = (CHANNELS * 9 + CHANNELS * CHANNELS) * SIZE * SIZE
IMAGES = np.random.default_rng(1).standard_normal((10, 3, SIZE, SIZE)).astype(np.float32)


def stored(name: str, *shape: int) -> TensorProto:
    random = np.random.default_rng(sum(map(ord, name)))
    scale = np.sqrt(2 / np.prod(shape[1:]))
    return numpy_helper.from_array((scale * random.standard_normal(shape)).astype(np.float32), name)


def network(*axes: Any) -> ModelProto:
    """Return a network of a 1×1 and two 3×3 convolutions, which takes inputs of these sizes."""
    nodes = [
        helper.make_node("Conv", ["x", "stem.w"], ["a"], name="stem"),
        helper.make_node("Conv", ["a", "first.w"], ["b"], name="first", pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["b"], ["c"], name="act"),
        helper.make_node("Conv", ["c", "last.w"], ["y"], name="last", pads=[1, 1, 1, 1]),
    ]
    weights = [
        stored("stem.w", CHANNELS, 3, 1, 1),
        *(stored(f"{name}.w", CHANNELS, CHANNELS, 3, 3) for name in ("first", "last")),
    ]
    graph = helper.make_graph(
        nodes,
        "net",
        [helper.make_tensor_value_info("x", FLOAT, axes or (1, 3, SIZE, SIZE))],
        [helper.make_tensor_value_info("y", FLOAT, [None] * 4)],
        weights,
    )
    return helper.make_model(graph, ir_version=8, opset_imports=[helper.make_opsetid("", 17)])


def outputs(model: ModelProto, images: np.ndarray = IMAGES) -> np.ndarray:
    """Return what onnx's evaluator makes of images, one at a time."""
    evaluator = ReferenceEvaluator(model)
    return np.concatenate([np.asarray(evaluator.run(None, {"x": one[None]})[0]) for one in images])


EXPECTED = outputs(network())


def likeness(session: Any) -> np.ndarray:
    """Return how near the outputs for each image are to those of the file as it is."""
    found = np.concatenate([session.run(None, {"x": one[None]})[0] for one in IMAGES])
    return -np.square(found.astype(np.float64) - EXPECTED).mean((1, 2, 3))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    onnx.save(network(), tmp_path / "net.onnx")
    return tmp_path / "net.onnx"


def with_svd(model: ModelProto, name: str, rank: int, order: str) -> ModelProto:
    """Return a model with the kernel of one layer cut to a rank by numpy's SVD."""
    copied = ModelProto.FromString(model.SerializeToString())
    for tensor in copied.graph.initializer:
        if tensor.name == f"{name}.w":
            kernel = numpy_helper.to_array(tensor).astype(np.float64)
            n, m, kh, kw = kernel.shape
            flat = kernel.reshape(n, m, kh * kw)
            flat = flat.swapaxes(0, 1) if order == "depthwise-first" else flat
            u, s, vh = np.linalg.svd(flat, full_matrices=False)
            flat = (u[..., :rank] * s[:, None, :rank]) @ vh[:, :rank]
            flat = flat.swapaxes(0, 1) if order == "depthwise-first" else flat
            cut = flat.reshape(n, m, kh, kw).astype(np.float32)
            tensor.CopyFrom(numpy_helper.from_array(cut, tensor.name))
    return copied


# -- from Python


def test_a_loss_is_that_of_the_layer_alone_by_numpys_own_svd(path: Path) -> None:
    before = path.read_bytes()
    found = dscost.sensitivity(str(path), likeness, score_budget=20)
    assert path.read_bytes() == before
    assert abs(found.score) < 1e-9
    assert {(one.name, one.rank) for one in found.layers} == {
        (name, rank) for name in ("first", "last") for rank in (1, 2, 4)
    }
    for one in found.layers:
        changed = outputs(with_svd(network(), one.name, one.rank, one.order))
        lost = np.square(changed.astype(np.float64) - EXPECTED).mean()
        assert one.loss == pytest.approx(lost, rel=1e-3)
        assert (one.macs_before, one.macs_after) == (AS_IT_IS, one.rank * AT_RANK_1)


def test_the_function_is_given_a_session_of_onnx_runtime(path: Path) -> None:
    import onnxruntime

    kinds = set()

    def score(session: Any) -> np.ndarray:
        kinds.add(type(session))
        assert [one.name for one in session.get_inputs()] == ["x"]
        return likeness(session)

    dscost.sensitivity(str(path), score, score_budget=4)
    assert kinds == {onnxruntime.InferenceSession}


def test_a_plan_by_a_score_meets_its_goal(path: Path) -> None:
    plan = dscost.plan(str(path), "macs=0.5x", score=likeness, score_budget=24)
    after = dscost.convert(str(path), plan=plan)
    onnx.save(after, path.with_name("after.onnx"))
    counted = [
        dscost.analyze(str(one)).totals.as_is.macs for one in (path, path.with_name("after.onnx"))
    ]
    assert 2 * counted[1] <= counted[0]
    lost = np.square(outputs(after) - EXPECTED).mean()
    # by hand: of both layers at rank 1 or 2 what has as many MACs at most
    ranks = [(1, 1), (1, 2), (2, 1)]
    orders = ("depthwise-first", "pointwise-first")
    for first, last in ranks:
        if 2 * (CHANNELS * 3 * SIZE * SIZE + (first + last) * AT_RANK_1) > counted[0]:
            continue
        for one in orders:
            for other in orders:
                model = with_svd(with_svd(network(), "first", first, one), "last", last, other)
                assert lost <= 1.02 * np.square(outputs(model) - EXPECTED).mean()


def test_the_model_set_to_zero_is_asked_for_where_nothing_is_lost(path: Path) -> None:
    seen = []

    def score(session: Any) -> float:
        (found,) = session.run(None, {"x": IMAGES[:1]})
        seen.append(float(np.abs(found).max()))
        return float(seen[-1] > 0)

    found = dscost.sensitivity(str(path), score, score_budget=16)
    assert found.safe == ("first", "last")
    assert seen.count(0.0) == 1


def test_a_constant_score_is_refused(path: Path) -> None:
    with pytest.raises(
        InputError, match=r"<lambda> returned 0\.5 for the model as it is, and the same with all"
    ):
        dscost.sensitivity(str(path), lambda session: 0.5)


# -- sizes that the file leaves open


@pytest.mark.parametrize(
    "axes", [("n", 3, "h", "w"), (None, 3, SIZE, SIZE)], ids=["named", "unnamed"]
)
def test_sizes_that_are_open_are_seen_from_the_score(tmp_path: Path, axes: Any) -> None:
    onnx.save(network(*axes), tmp_path / "open.onnx")
    found = dscost.sensitivity(str(tmp_path / "open.onnx"), likeness, score_budget=6)
    assert {one.macs_before for one in found.layers} == {AS_IT_IS}


def test_sizes_that_are_open_are_those_of_the_score_of_one_sample(tmp_path: Path) -> None:
    onnx.save(network("n", 3, "h", "w"), tmp_path / "open.onnx")

    def score(session: Any) -> np.ndarray:
        (found,) = session.run(["y"], {"x": IMAGES})
        return -np.square(found - EXPECTED).mean((1, 2, 3))

    found = dscost.sensitivity(str(tmp_path / "open.onnx"), score, score_budget=6)
    assert {one.macs_before for one in found.layers} == {AS_IT_IS}
    stated = dscost.sensitivity(
        str(tmp_path / "open.onnx"), score, input=(1, 3, SIZE, SIZE), score_budget=6
    )
    assert {one.macs_before for one in stated.layers} == {AS_IT_IS}
    assert [one.loss for one in stated.layers] == [one.loss for one in found.layers]


@pytest.mark.parametrize(
    ("score", "line"),
    [
        (
            lambda session: 1 / 0,
            "<lambda> failed for the model as it is: ZeroDivisionError: division by zero",
        ),
        (lambda session: 0.5, "<lambda> does not run it, which would tell"),
    ],
    ids=["raises", "runs_nothing"],
)
def test_a_score_that_runs_no_session_tells_no_sizes(
    tmp_path: Path, score: Callable[[Any], float], line: str
) -> None:
    onnx.save(network("n", 3, "h", "w"), tmp_path / "open.onnx")
    with pytest.raises(InputError) as found:
        dscost.sensitivity(str(tmp_path / "open.onnx"), score)
    assert line in str(found.value)
    assert "\n" not in str(found.value)


# -- from the command line


EVAL = """
import numpy as np

images = np.random.default_rng(1).standard_normal((10, 3, 6, 6)).astype(np.float32)
expected = np.load("expected.npy")

def likeness(session):
    found = np.concatenate([session.run(None, {"x": one[None]})[0] for one in images])
    return -np.square(found - expected).mean((1, 2, 3))

def failing(session):
    return session.run(None, {"y": images})
"""


@pytest.fixture
def here(path: Path) -> Path:
    (path.parent / "eval.py").write_text(EVAL)
    np.save(path.parent / "expected.npy", EXPECTED)
    return path.parent


def test_onnx_in_onnx_out_by_a_score(here: Path) -> None:
    given = ["convert", "net.onnx", "--goal", "macs=0.5x", "--score", "eval.py:likeness"]
    options = ["--score-budget", "16", "--journal", "j.jsonl", "--save", "after.onnx", "--json"]
    ran = run(*given, *options, cwd=here)
    assert (
        ran.returncode,
        [line for line in ran.stderr.splitlines() if line.startswith("dscost")],
    ) == (0, [])
    found = json.loads(ran.stdout)["conversion"]
    after = onnx.load(here / "after.onnx")
    onnx.checker.check_model(after)
    lost = np.square(outputs(after) - EXPECTED).mean()
    assert found["scored"]["after"] == pytest.approx(-lost, rel=1e-3)
    assert 2 * found["after"]["macs"] <= found["before"]["macs"]
    again = run(*given, *options, cwd=here)
    assert (
        json.loads(again.stdout)["conversion"]["scored"]["from_journal"]
        == found["scored"]["evaluations"]
    )
    onnx.save(with_svd(network(), "first", 4, "depthwise-first"), here / "net.onnx")
    other = run(*given, *options, cwd=here)
    assert other.returncode == 2
    assert other.stderr.startswith(
        "dscost: j.jsonl is a journal of something else: other weights; "
    )


def test_a_score_is_kept_by_the_file_that_is_written(here: Path) -> None:
    given = ["convert", "net.onnx", "--goal", "score=-0.5", "--score", "eval.py:likeness"]
    ran = run(
        *given, "--score-budget", "24", "--journal", "j", "--save", "after.onnx", "--json", cwd=here
    )
    assert ran.returncode == 0
    found = json.loads(ran.stdout)["conversion"]
    assert found["is_met"] is True
    assert found["after"]["macs"] < found["before"]["macs"]
    assert -np.square(outputs(onnx.load(here / "after.onnx")) - EXPECTED).mean() >= -0.5


def test_what_the_session_refuses_is_told_in_a_line(here: Path) -> None:
    given = [
        "convert",
        "net.onnx",
        "--goal",
        "macs=0.5x",
        "--score",
        "eval.py:failing",
        "--journal",
        "j",
    ]
    ran = run(*given, cwd=here)
    assert (ran.returncode, ran.stdout, len(ran.stderr.splitlines())) == (2, "", 1)
    assert ran.stderr.startswith("dscost: eval.py:failing failed for the model as it is: ")


def test_without_onnx_runtime_one_line_says_how_to_have_it(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "onnxruntime", None)
    with pytest.raises(
        UnavailableError, match=r"a score of an ONNX file: .*pip install .dscost\[onnxruntime\]"
    ):
        dscost.sensitivity(str(path), likeness)
