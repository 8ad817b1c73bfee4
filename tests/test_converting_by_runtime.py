"""Models converted by the times of the runtime that they are deployed with, and checked as a whole under it."""

import json
import shlex
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from time import process_time
from typing import Any

import numpy as np
import pytest
import torch
from jsonschema import Draft7Validator
from program import PROGRAM, Ran, run, start
from test_measuring import FakeEngine
from test_timing_sheets import ENVIRONMENT
from torch import nn

import dscost
from dscost.analysis import Request, bench
from dscost.converting import fastest
from dscost.converting.convert import convert_target
from dscost.converting.plan_file import KEEP, read_plan
from dscost.converting.results import Converted, Outcome
from dscost.errors import InputError, UnavailableError
from dscost.rendering import View, render
from dscost.reports.records import Report
from dscost.runtimes import RUNTIMES, How, Running, Runtime
from dscost.runtimes.programs import Program
from dscost.schemas import schema
from dscost.timing import TimingOptions

NET = """
import torch
from torch import nn

def make():
    torch.manual_seed(5)
    return nn.Sequential(
        nn.Conv2d(32, 32, 3, padding=1), nn.ReLU(),
        nn.Conv2d(32, 64, 3, padding=1), nn.BatchNorm2d(64), nn.ReLU(), nn.Conv2d(64, 10, 1),
    )
"""
INPUT = (1, 32, 16, 16)
GIVEN = ("--input", "1,32,16,16", "--threads", "1", "--time-budget", "1200ms")
GOAL = ("--goal", "latency_s=0.7x")
SECONDS_PER_MAC = 1e-10


def module() -> nn.Module:
    made: dict[str, Any] = {}
    exec(NET, made)
    return made["make"]()  # type: ignore[no-any-return]


@pytest.fixture
def here(tmp_path: Path) -> Path:
    (tmp_path / "net.py").write_text(NET, encoding="utf-8")
    return tmp_path


def macs_of(root: nn.Module) -> int:
    """Return the MACs of the convolutions, each at 16·16 positions."""
    weights = [part.weight for part in root.modules() if isinstance(part, nn.Conv2d)]
    return 256 * sum(weight.numel() for weight in weights)


def has_pair(root: nn.Module) -> bool:
    return any(name.endswith("depthwise") for name, _ in root.named_modules())


def spinning(program: Program, how: How, off: Callable[[nn.Module], float]) -> Running:
    """Return a program that takes as long as its MACs say, and whose output is off by a share of its largest value."""
    root = program.torch_form.module
    outputs = [one + off(root) * np.abs(one).max() for one in program.reference.outputs]
    lasts_s = SECONDS_PER_MAC * macs_of(root)

    def call() -> None:
        until = process_time() + lasts_s
        while process_time() < until:
            pass

    assert (how.threads, how.dtype) == (1, "float32")
    return Running(call, lambda: outputs, "hand")


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch, own_time: None) -> Callable[..., None]:
    """Return what registers a runtime called `made-up`."""

    def register(off: Callable[[nn.Module], float] = lambda root: 0.0) -> None:
        load = partial(spinning, off=off)
        runtime = Runtime("made-up", "Made Up", "", {}, "torch", ("float32",), load)
        monkeypatch.setitem(RUNTIMES._entries, "made-up", runtime)

    return register


def outcome_of(goal: str | None, **how: Any) -> Outcome:
    timing = TimingOptions(runtimes=("made-up",), threads=1, budget_s=1.2)
    result = convert_target(module(), Request(INPUT), goal=goal, timing=timing, **how)
    return result.converted.outcome


def test_layers_and_the_whole_are_timed_by_the_runtime_that_was_asked_for(
    engine: Callable[..., None],
) -> None:
    engine()
    outcome = outcome_of("latency_s=0.7x")
    assert outcome.runtime == "made-up"
    before, after = outcome.before.macs, outcome.after.macs
    assert after <= 0.72 * before  # its times are MACs
    assert outcome.latency is not None
    assert not outcome.latency.is_predicted
    assert outcome.latency.before_s == pytest.approx(SECONDS_PER_MAC * before, rel=0.3)
    assert outcome.latency.ratio == pytest.approx(after / before, rel=0.1)
    told = " ".join(outcome.notes)
    assert "Timed by turns under Made Up, the whole model takes " in told
    assert f"Converted, Made Up (by hand) returns what torch {torch.__version__} does, to " in told


def test_a_converted_model_that_the_runtime_computes_wrongly_is_not_called_met(
    engine: Callable[..., None],
) -> None:
    engine(lambda root: 0.25 * (has_pair(root) and len(list(root.children())) > 2))
    outcome = outcome_of("latency_s=0.7x")
    assert outcome.is_met is None
    assert outcome.converted > 0
    (told,) = [one for one in outcome.notes if one.startswith("Converted it was not timed")]
    assert "the converted model under Made Up in float32: Made Up computes something else" in told
    assert "its output is off by 0.25 of the largest value" in told


def test_a_model_that_a_runtime_cannot_run_is_refused_in_a_line(
    engine: Callable[..., None], here: Path
) -> None:
    def refuse(root: nn.Module) -> float:
        raise NotImplementedError("no kernel for\nthat")

    engine(refuse)
    ran = run("convert", "net.py:make", *GIVEN, *GOAL, "--runtime", "made-up", cwd=here)
    assert (ran.returncode, ran.stdout) == (2, "")
    assert ran.stderr == (
        "dscost: a goal of latency needs the time of the model as it is. Not timed: the whole "
        "model under Made Up in float32: NotImplementedError: no kernel for\n"
    )


def test_what_pays_under_a_runtime_is_converted_and_timed_as_it_comes_out(
    engine: Callable[..., None],
) -> None:
    engine()
    outcome = outcome_of(None, fastest=True)
    assert (outcome.runtime, outcome.proof) == ("made-up", "measured")
    assert outcome.plan == {"0": 1, "2": 1}
    assert outcome.advice is not None
    assert outcome.advice.setting == "cpu:made-up"
    assert outcome.latency is not None
    assert not outcome.latency.is_predicted
    assert outcome.latency.ratio == pytest.approx(outcome.after.macs / outcome.before.macs, rel=0.2)
    told = " ".join(outcome.notes)
    assert "Timed by turns under Made Up, the whole model takes " in told
    assert "times as long; with other weights it was " in told
    assert "Converted, Made Up (by hand) returns what torch " in told


def test_the_runtime_that_python_names_is_what_measures_which_swaps_pay(
    engine: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    engine()
    asked: list[TimingOptions] = []

    def measured(_: object, options: TimingOptions, *__: object) -> Report:
        asked.append(options)
        raise UnavailableError("not now")

    monkeypatch.setattr(fastest, "measure_model", measured)
    with pytest.raises(UnavailableError, match="not now"):
        dscost.convert(module(), INPUT, fastest=True, runtime="made-up")
    (options,) = asked
    assert options.runtimes == ("made-up",)


def test_a_plan_says_by_whose_times_it_was_made(engine: Callable[..., None], here: Path) -> None:
    engine()
    asked = [*GIVEN, *GOAL, "--runtime", "made-up", "--save-plan", "plan.yaml", "--json"]
    ran = run("convert", "net.py:make", *asked, cwd=here)
    assert ran.returncode in (0, 1), ran.stderr
    found = converted(ran)
    assert found["runtime"] == "made-up"
    assert "\nruntime: made-up\n" in (here / "plan.yaml").read_text(encoding="utf-8")
    plan = read_plan(here / "plan.yaml")
    assert (plan.runtime, dict(plan.layers)) == ("made-up", found["plan"])
    again = run("convert", "net.py:make", "--plan", "plan.yaml", cwd=here)
    assert "The plan was made to reach latency_s=0.7x, by times under made-up." in again.stdout


def test_a_plan_from_python_is_by_the_times_of_a_runtime(engine: Callable[..., None]) -> None:
    engine()
    plan = dscost.plan(
        module(), "latency_s=0.7x", input=INPUT, runtime="made-up", time_budget_s=1.2
    )
    assert plan.runtime == "made-up"
    assert plan.ranks
    assert set(plan.layers) == {"0", "2"}


def test_a_runtime_that_is_asked_for_where_nothing_is_measured_is_refused(here: Path) -> None:
    with pytest.raises(InputError, match=r"^runtime is for a goal of latency_s: nothing else"):
        dscost.plan(module(), "macs=0.5x", input=INPUT, runtime="onnxruntime")
    with pytest.raises(InputError, match=r"^runtime is for fastest=True: nothing else is"):
        dscost.convert(module(), INPUT, runtime="onnxruntime")
    ran = run("convert", "net.py:make", "--rank", "1", "--runtime", "onnxruntime", cwd=here)
    assert (ran.returncode, ran.stdout) == (2, "")
    assert ran.stderr.startswith("dscost: --runtime is for --goal latency_s=… and --fastest: ")


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("gone", "--runtime gone: no-such-engine is not installed: pip install 'dscost[ncnn]'"),
        ("onnxrun", "unknown runtime 'onnxrun' (did you mean 'onnxruntime'?)"),
        (
            "onnxruntime,ncnn",
            "--runtime: a model is converted for one at a time, found onnxruntime and ncnn",
        ),
    ],
)
def test_a_runtime_that_is_not_here_is_told_before_any_work(
    name: str, told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    needs = {"no-such-engine": "no_such_engine"}
    gone = Runtime("gone", "Gone", "", needs, "onnx", ("float32",), spinning, "ncnn")  # type: ignore[arg-type]
    monkeypatch.setitem(RUNTIMES._entries, "gone", gone)
    ran = run("convert", "nothing.py:make", *GOAL, "--runtime", name, cwd=tmp_path)
    assert (ran.returncode, ran.stdout) == (2, "")
    assert ran.stderr.startswith(f"dscost: {told}")
    assert len(ran.stderr.splitlines()) == 1


def test_what_is_of_torch_alone_is_refused_of_another_runtime(here: Path) -> None:
    pytest.importorskip("onnxruntime")
    more = ["--runtime", "onnxruntime", "--memory-format", "channels_last"]
    ran = run("convert", "net.py:make", *GIVEN, *GOAL, *more, cwd=here)
    assert ran.stderr == "dscost: --memory-format is of --runtime torch, which is not asked for\n"


# -- by ONNX Runtime, in processes of their own


def converted(ran: Ran) -> dict[str, Any]:
    document = json.loads(ran.stdout)
    Draft7Validator(schema("conversion")).validate(document)
    return document["conversion"]  # type: ignore[no-any-return]


def test_a_model_is_converted_by_the_times_of_onnx_runtime(here: Path) -> None:
    onnxruntime = pytest.importorskip("onnxruntime")
    asked = [*GIVEN, *GOAL, "--runtime", "onnxruntime", "--save", "cheaper.pt", "--json"]
    ran = start("convert", "net.py:make", *asked, cwd=here)
    assert ran.returncode in (0, 1), ran.stderr
    found = converted(ran)
    assert found["runtime"] == "onnxruntime"
    environment = json.loads(ran.stdout)["environment"]
    assert environment["runtimes"]["onnxruntime"] == onnxruntime.__version__
    assert environment["threads"] == 1
    assert [rank for rank in found["plan"].values() if rank != KEEP]
    assert found["latency"]["is_predicted"] is False
    told = " ".join(found["notes"])
    assert "Timed by turns under ONNX Runtime, the whole model takes " in told
    assert "Converted, ONNX Runtime (by ONNX) returns what torch " in told
    assert (here / "cheaper.pt").exists()


def test_an_onnx_file_is_converted_by_the_times_of_onnx_runtime_without_torch(here: Path) -> None:
    pytest.importorskip("onnxruntime")
    onnx = pytest.importorskip("onnx")
    model = graph_of_two(onnx)
    onnx.save(model, here / "net.onnx")
    asked = ["convert", "net.onnx", *GIVEN[2:], *GOAL, "--runtime", "onnxruntime", "--json"]
    code = (
        f"import sys; from dscost.cli import main; sys.argv = {[PROGRAM, *asked]!r}\n"
        "try: main()\n"
        "except SystemExit as ended: print(ended.code, 'torch' in sys.modules, file=sys.stderr)"
    )
    process = [sys.executable, "-c", code]
    ran = subprocess.run(process, capture_output=True, text=True, check=True, cwd=here)
    assert ran.stderr.splitlines()[-1] in ("0 False", "1 False"), ran.stderr
    found = converted(ran)
    assert (found["source"], found["runtime"]) == ("onnx", "onnxruntime")
    assert found["latency"]["is_predicted"] is False
    told = " ".join(found["notes"])
    assert "Timed by turns under ONNX Runtime, the whole model takes " in told
    assert "Converted, ONNX Runtime (by ONNX) returns what onnx's evaluator " in told


def test_what_pays_of_an_onnx_file_is_converted_now_or_by_a_report(here: Path) -> None:
    pytest.importorskip("onnxruntime")
    onnx = pytest.importorskip("onnx")
    onnx.save(graph_of_two(onnx), here / "net.onnx")
    asked = [*GIVEN[2:], "--runtime", "onnxruntime", "--json"]
    now = converted(run("convert", "net.onnx", "--fastest", *asked, cwd=here))
    assert (now["proof"], now["runtime"]) == ("measured", "onnxruntime")
    if now["plan"]:  # on a busy machine the clock may tell nothing
        assert "Timed by turns under ONNX Runtime, " in " ".join(now["notes"])
    assert run("model", "net.onnx", *asked, "-o", "r.json", cwd=here).returncode == 0
    again = converted(
        run("convert", "net.onnx", "--fastest", "--from", "r.json", "--json", cwd=here)
    )
    assert (again["proof"], again["runtime"]) == ("r.json", "onnxruntime")
    report = json.loads((here / "r.json").read_text(encoding="utf-8"))
    assert list(again["plan"]) == report["subjects"][0]["advice"]["swaps"]


@pytest.mark.parametrize("is_saved", [False, True], ids=["at once", "from a report"])
def test_the_command_that_is_advised_of_an_onnx_file_writes_one(
    here: Path, monkeypatch: pytest.MonkeyPatch, is_saved: bool
) -> None:
    pytest.importorskip("onnxruntime")
    onnx = pytest.importorskip("onnx")
    onnx.save(graph_of_two(onnx), here / "net.onnx")
    monkeypatch.setattr(bench, "compare", FakeEngine().compare)
    asked = ["net.onnx", *GIVEN[2:], "--runtime", "onnxruntime"]
    exported = ["--export", "json=r.json"] if is_saved else []
    told = run("model", *asked, *exported, cwd=here).stdout.splitlines()[-1]
    line = shlex.split(told.removeprefix("Get it:"))
    assert line[-2:] == ["--save", "cheaper.onnx"]
    ran = run(*line[1:], cwd=here)
    assert ran.returncode == 0, ran.stderr
    products = [one for one in onnx.load(here / "cheaper.onnx").graph.node if one.op_type == "Conv"]
    assert len(products) == 4


def graph_of_two(onnx: Any) -> Any:
    """Return two convolutions of 3×3 with a ReLU between, and weights of an even spectrum."""
    helper, numpy_helper = onnx.helper, onnx.numpy_helper
    random = np.random.default_rng(3)
    sizes = {"v": (32, 32, 3, 3), "w": (64, 32, 3, 3)}
    stored = [
        numpy_helper.from_array(0.1 * random.standard_normal(size).astype(np.float32), name)
        for name, size in sizes.items()
    ]
    pads = {"pads": [1, 1, 1, 1]}
    nodes = [
        helper.make_node("Conv", ["x", "v"], ["a"], name="first", **pads),
        helper.make_node("Relu", ["a"], ["b"], name="act"),
        helper.make_node("Conv", ["b", "w"], ["y"], name="second", **pads),
    ]
    number = onnx.TensorProto.FLOAT
    told = [
        [helper.make_tensor_value_info(name, number, size)]
        for name, size in (("x", INPUT), ("y", (1, 64, 16, 16)))
    ]
    graph = helper.make_graph(nodes, "net", *told, stored)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def test_a_plan_of_an_onnx_file_needs_a_runtime_that_takes_it(here: Path) -> None:
    onnx = pytest.importorskip("onnx")
    onnx.save(graph_of_two(onnx), here / "net.onnx")
    with pytest.raises(InputError, match=r"--runtime torch does not run it, onnxruntime does$"):
        dscost.plan(here / "net.onnx", "latency_s=0.5x")


@pytest.mark.parametrize(
    ("runtime", "said"),
    [
        ("onnxruntime", "1 thread, ONNX Runtime 1.32.0, float32: random"),
        (None, "1 thread, channels_last, torch 2.13.0, float32: random"),
    ],
)
def test_a_conversion_tells_what_its_times_are_of(runtime: str | None, said: str) -> None:
    layout = "contiguous" if runtime else "channels_last"
    where = ENVIRONMENT._replace(memory_format=layout, runtimes={"onnxruntime": "1.32.0"})
    model = nn.Sequential(nn.Conv2d(32, 32, 3))
    found = convert_target(model, Request((1, 32, 8, 8))).converted
    found = Converted(found.outcome._replace(runtime=runtime), where, every_layer=False)
    assert said in " ".join(render(found, "table", View()).split())
