"""Whether the dense kernel of another runtime explains what a swap gains, by times that are made up."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pytest

import dscost
from dscost.analysis import bench
from dscost.analysis.making import Making
from dscost.reports.records import Report
from dscost.runtimes import RUNTIMES, How, Running
from dscost.runtimes.programs import Program
from dscost.timing.engine import Case
from dscost.timing.samples import Block, Measurement, Quartet, Round

pytest.importorskip("onnxruntime")

KEY = "cpu:onnxruntime"
BESIDE = f"{KEY}, 1×1 of equal MACs"
LAYER = {"in_channels": 8, "out_channels": 8, "kernel_size": 3, "input_size": 6}
HOW = {"time": True, "runtime": "onnxruntime", "threads": 1, "time_budget_s": 20.0}
# 8 → 8, 3×3 has 1 / (1/8 + 1/9) = 4.24 times fewer MACs
SLOW, EQUAL, FAST = (3e-3, 1e-3), (1e-3, 1e-3), (1e-3, 3e-3)

Told = Callable[[Mapping[str, tuple[float, float]]], list[str]]


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> Told:
    """Take the times of each case from a mapping, 2 ms and 1 ms where it has none."""
    names: list[str] = []

    def tell(times: Mapping[str, tuple[float, float]]) -> list[str]:
        def compare(cases: Sequence[Case], **_: Any) -> list[Measurement]:
            names.extend(case.name for case in cases)
            return [measured(*times.get(case.name, (2e-3, 1e-3))) for case in cases]

        monkeypatch.setattr(bench, "compare", compare)
        return names

    return tell


def measured(first_s: float, second_s: float) -> Measurement:
    quartet = Quartet((Block(first_s),) * 2, (Block(second_s),) * 2)
    return Measurement([Round.of([quartet] * 4)] * 8)


def kinds(report: Report, layer: int = 0) -> list[str]:
    return [cause.kind for cause in report.layers[layer].causes]


def noises(report: Report) -> list[str]:
    assert report.environment is not None
    return [noise.kind for noise in report.environment.noise if noise.kind == "more_than_macs"]


@pytest.mark.parametrize("variant", ["depthwise_separable", "ghost"])
@pytest.mark.parametrize(("beside", "cause"), [(SLOW, ["slow_dense"]), (EQUAL, [])])
def test_a_slow_dense_kernel_explains_every_variant(
    variant: str, beside: tuple[float, float], cause: list[str], told: Told
) -> None:
    case = KEY if variant == "depthwise_separable" else f"{KEY}, {variant}"
    told({case: (9e-3, 1e-3), BESIDE: beside})
    report = dscost.layer(**LAYER, **HOW, variants=(variant,))
    assert kinds(report) == cause
    assert noises(report) == ([] if cause else ["more_than_macs"])


def test_a_fast_dense_kernel_explains_a_variant_other_than_separable(told: Told) -> None:
    told({f"{KEY}, ghost": EQUAL, BESIDE: FAST})
    assert kinds(dscost.layer(**LAYER, **HOW, variants=("ghost",))) == ["fast_dense"]


def test_nothing_is_called_impossible_where_no_1x1_tells(told: Told) -> None:
    names = told({KEY: (20e-3, 1e-3)})
    report = dscost.layer(**LAYER, **HOW, transposed=True, stride=2)
    assert report.latency[KEY].speedup.median == pytest.approx(20)
    assert BESIDE not in names
    assert noises(report) == []


def test_a_1x1_has_a_norm_behind_it_as_the_dense_convolution_has(
    told: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    from dscost.runtimes import programs

    made: list[list[str]] = []
    own = programs.OperationsProgram.__init__

    def kept(self: Any, name: str, operations: Sequence[Any], seed: int = 0) -> None:
        made.append([operation.name for operation in operations])
        own(self, name, operations, seed)

    monkeypatch.setattr(programs.OperationsProgram, "__init__", kept)
    told({})
    dscost.layer(**LAYER, **HOW, timing={"with_norm": True})
    pointwise = "1×1 of equal MACs"
    assert [pointwise, f"{pointwise}_norm", f"{pointwise}_relu"] in made


NET = """\
input: [8, 6, 6]
layers:
  - {conv: 3, out_channels: 8}
  - {conv: 3, out_channels: 16}
"""


@pytest.mark.parametrize(
    ("times", "cause"),
    [((8e-3, 1e-3), "slow_dense"), ((1e-3, 1e-3), "fast_dense"), ((4e-3, 1e-3), None)],
)
def test_layers_of_a_model_are_held_against_a_1x1_beyond_and_below_their_macs(
    times: tuple[float, float], cause: str | None, told: Told, tmp_path: Path
) -> None:
    file = tmp_path / "net.yaml"
    file.write_text(NET)
    first = dscost.analyze(file).layers[0].name
    names = told(
        {first: times, f"{first}, 1×1 of equal MACs": SLOW if cause == "slow_dense" else FAST}
    )
    report = dscost.analyze(file, **HOW)
    assert (f"{first}, 1×1 of equal MACs" in names) == (cause is not None)
    assert [one for one in kinds(report) if one.endswith("_dense")] == ([cause] if cause else [])
    assert noises(report) == []
    # how the runtime ran a layer is kept, which its error is part of
    ran = report.layers[0].latency[KEY].ran
    assert set(ran) == {"standard", "depthwise_separable"}
    assert all(one.error < 1e-4 for one in ran.values())


def test_making_that_takes_longer_than_the_budget_is_told() -> None:
    making = Making({"torch": 99.0, "executorch": 52.0})
    (said,) = making.over(10.0, "10 s (--time-budget)")
    assert said == "Making programs for ExecuTorch took 52.0 s, more than 10 s (--time-budget)."
    assert not list(making.over(60.0, "60 s"))


def test_what_only_explains_is_made_as_long_as_making_leaves_time_for_it() -> None:
    making = Making({"torch": 99.0, "executorch": 52.0, "onnxruntime": 3.9})
    assert [making.leaves_time("executorch", budget_s) for budget_s in (103.0, 105.0)] == [
        False,
        True,
    ]
    assert making.leaves_time("onnxruntime", 2.0)  # which is loaded in that time
    assert making.leaves_time("torch", 2.0)


def test_the_stages_and_the_1x1_are_left_out_where_making_took_long(
    told: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = told({})
    dscost.layer(**LAYER, **HOW)
    assert {f"{KEY}, stages", BESIDE} <= set(names)
    names.clear()
    monkeypatch.setattr(Making, "leaves_time", lambda *_: False)
    assert KEY in dscost.layer(**LAYER, **HOW).latency
    assert not {f"{KEY}, stages", BESIDE} & set(names)


def test_a_1x1_beside_a_layer_of_a_model_is_made_again_as_the_dense_one_is(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    made: list[str] = []
    own = RUNTIMES["onnxruntime"]

    def load(program: Program, how: How) -> Running:
        return own.load(program, how)._replace(again=partial(made.append, program.name))

    def compare(cases: Sequence[Case], **_: Any) -> list[Measurement]:
        for case in cases:
            if case.name.endswith("1×1 of equal MACs"):
                for again in case.again:
                    again()
        return [measured(2e-3, 1e-3) for _ in cases]

    monkeypatch.setitem(RUNTIMES._entries, "onnxruntime", own._replace(load=load))
    monkeypatch.setattr(bench, "compare", compare)
    (tmp_path / "net.yaml").write_text(NET)
    dscost.analyze(tmp_path / "net.yaml", **HOW)
    both = {"the standard convolution", "the 1×1 of equal MACs convolution"}
    assert set(made) - {"the whole model"} == both
