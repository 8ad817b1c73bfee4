"""Measuring for real, but things so small that any machine has them done in a moment.

The ceilings of the device are made up; where a figure is to be known, so is the time that calls take.
"""

import contextlib
import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import dscost
from dscost.analysis import (
    Request,
    bench,
    count,
    measure_layer,
    measure_model,
    torch_running,
    whole_timing,
)
from dscost.analysis.bench import AGAINST_ITSELF
from dscost.analysis.running import Prepared, work_of
from dscost.devices.roofline import Ceilings, Rate
from dscost.errors import UnavailableError, UnknownNameError
from dscost.modules.building import with_values
from dscost.notation.units import format_count, format_seconds
from dscost.pages.layer_table import layer_rows
from dscost.rendering import View, render
from dscost.reports.records import Report, Untimed
from dscost.runtimes import RUNTIMES, How, Running, Runtime
from dscost.runtimes.programs import Program
from dscost.timing import Setting, TimingOptions, cuda
from dscost.timing import ceilings as timing_ceilings
from dscost.timing.ceilings import Found, Wanted
from dscost.timing.engine import Case
from dscost.timing.samples import Block, Measurement, Quartet, Round
from dscost.tracing import TensorSpec
from dscost.tracing.inputs import arguments_of

pytestmark = pytest.mark.usefixtures("own_time")

LAYER = {"in_channels": 8, "out_channels": 8, "kernel_size": 3, "input_size": 6}
SHORT = {"threads": 1, "time_budget_s": 0.3}


def made_up_ceilings(wanted: Wanted, progress: object = None) -> Found:
    device, dtype = wanted.device, wanted.dtype
    if not getattr(torch, dtype).is_floating_point:
        raise UnavailableError(f"torch cannot convolve {dtype} on {device}")
    rates = {
        f"{kind}:{layout}": Rate(1e-7)
        for kind in ("dense", "pointwise", "depthwise")
        for layout in wanted.memory_formats
    }
    return found(Ceilings(device, "made up", dtype, wanted.threads, 1e15, 1e14, rates=rates))


def found(ceilings: Ceilings) -> Found:
    return Found(ceilings, from_cache=True, path=None)


@pytest.fixture(autouse=True)
def _no_ceilings_are_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timing_ceilings, "find_ceilings", made_up_ceilings)


@dataclass
class FakeEngine:
    """An engine that tells made-up times: standard 2 ms and separable 1 ms, unless a case is said to differ."""

    times: dict[str, tuple[float, float]] = field(default_factory=dict)
    switches: dict[str, int] = field(default_factory=dict)
    missing: Callable[[str], bool] = lambda name: False
    itself_rounds: int = 8
    rounds: list[list[str]] = field(default_factory=list)
    budgets: list[float] = field(default_factory=list)

    def compare(
        self, cases: Sequence[Case], *, budget_s: float, **given: object
    ) -> list[Measurement]:
        self.rounds.append([case.name for case in cases])
        self.budgets.append(budget_s)
        results = []
        for case in cases:
            for call in (case.first, case.second):
                call()
            first_s, second_s = self.times.get(case.name, (2e-3, 1e-3))
            is_itself = case.name.startswith(AGAINST_ITSELF) and case.name not in self.times
            second_s = first_s if is_itself or case.name == AGAINST_ITSELF else second_s
            block = partial(Block, switches=self.switches.get(case.name, 0), faults=0.0)
            quartet = Quartet((block(first_s),) * 2, (block(second_s),) * 2)
            rounds = self.itself_rounds if case.name == AGAINST_ITSELF else 8
            rounds = [] if self.missing(case.name) else [Round.of([quartet] * 4)] * rounds
            results.append(Measurement(rounds))
        return results


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch) -> FakeEngine:
    fake = FakeEngine()
    monkeypatch.setattr(bench, "compare", fake.compare)
    return fake


def time_layer(**given: Any) -> Report:
    return dscost.layer(**{**LAYER, **SHORT, **given}, time=True)


def time_model(module: nn.Module, input: Any = (1, 8, 6, 6), **given: Any) -> Report:
    return dscost.analyze(
        module, input=input, time=True, **{"threads": 1, "time_budget_s": 1.0, **given}
    )


def conv(in_channels: int = 8, out_channels: int = 8) -> nn.Conv2d:
    return nn.Conv2d(in_channels, out_channels, 3, padding=1, bias=False)


def small() -> nn.Sequential:
    return nn.Sequential(conv(), nn.BatchNorm2d(8), nn.ReLU(), conv(8, 16))


# -- one layer


def test_a_layer_is_timed_in_both_layouts_with_its_stages_and_their_gap() -> None:
    report = time_layer()
    (layer,) = report.layers
    assert list(layer.latency) == ["cpu", "cpu:channels_last"]
    assert layer.latency == report.latency
    for timing in layer.latency.values():
        standard, separable = timing.standard, timing.depthwise_separable
        assert standard is not None
        assert separable is not None
        assert timing.as_is == standard
        assert list(timing.stages) == ["depthwise", "pointwise"]
        parts = [latency.median_s for latency in timing.stages.values()]
        assert timing.gap_s == pytest.approx(separable.median_s - sum(parts))
        for latency in (standard, separable, *timing.stages.values()):
            assert 0 < latency.min_s <= latency.median_s <= latency.p95_s <= latency.p99_s
            assert latency.samples >= 4
        assert timing.speedup is not None
        assert timing.speedup.ci95[0] <= timing.speedup.median <= timing.speedup.ci95[1]
    first = layer.latency["cpu"].speedup
    assert first is not None
    assert layer.verdict == first.verdict


def test_backends_are_told_where_this_torch_tells_them() -> None:
    backends = time_layer(memory_format="contiguous").latency["cpu"].backends
    if hasattr(torch._C, "_select_conv_backend"):
        assert list(backends) == ["standard", "depthwise", "pointwise"]
        assert all(name.isidentifier() for name in backends.values())
    else:
        assert backends == {}


def test_backends_are_told_of_convolutions_with_a_norm_behind_them_too() -> None:
    own = time_layer(memory_format="contiguous").latency["cpu"].backends
    report = time_layer(memory_format="contiguous", timing={"with_norm": True})
    assert report.latency["cpu"].backends == own


def test_the_roofline_stands_beside_every_measured_time(engine: FakeEngine) -> None:
    timing = time_layer(memory_format="contiguous").latency["cpu"]
    one, weights = (
        8 * 6 * 6 * 4,
        {"standard": 8 * 8 * 9 * 4, "depthwise": 8 * 9 * 4, "pointwise": 8 * 8 * 4},
    )
    bound_s = {
        name: (2 * one + size) / 1e14 for name, size in weights.items()
    }  # memory-bound, with these ceilings
    assert timing.standard is not None
    assert timing.depthwise_separable is not None
    for latency, expected_s in (
        (timing.standard, bound_s["standard"]),
        (timing.stages["depthwise"], bound_s["depthwise"]),
        (timing.stages["pointwise"], bound_s["pointwise"]),
        (timing.depthwise_separable, bound_s["depthwise"] + bound_s["pointwise"]),
    ):
        assert latency.roofline_s == pytest.approx(expected_s)
        assert latency.bound == "memory"
        assert latency.roofline_fraction == pytest.approx(expected_s / latency.median_s)
    assert timing.standard.predicted_s == pytest.approx(1e-7)
    assert timing.depthwise_separable.predicted_s == pytest.approx(2e-7)
    assert timing.as_is == timing.standard


def test_the_environment_says_how_it_was_measured(engine: FakeEngine) -> None:
    environment = time_layer(
        timing={"dtypes": ("float32", "bfloat16"), "allocator": "system"}
    ).environment
    assert environment is not None
    assert environment.device
    assert environment.threads == 1
    assert environment.dtype == "float32, bfloat16"
    assert environment.memory_format == "contiguous, channels_last"
    assert environment.allocator == "system"
    assert environment.torch_version == torch.__version__
    assert environment.noise_floor == pytest.approx(0.0, abs=1e-12)
    assert environment.flags == {}  # those are of CUDA


def test_every_setting_is_timed_under_its_key() -> None:
    report = time_layer(
        timing={"dtypes": ("float32", "bfloat16"), "batches": (1, 4)}, time_budget_s=0.5
    )
    assert list(report.latency) == [
        *("cpu", "cpu:channels_last", "cpu:batch4", "cpu:channels_last:batch4"),
        *("cpu:bfloat16", "cpu:bfloat16:channels_last"),
        *("cpu:bfloat16:batch4", "cpu:bfloat16:channels_last:batch4"),
    ]


def test_every_setting_runs_on_tensors_of_its_own_kind(
    engine: FakeEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []

    def forward(self: nn.Conv2d, x: Tensor) -> Tensor:
        layout = (
            "channels_last" if x.is_contiguous(memory_format=torch.channels_last) else "contiguous"
        )
        seen.append(
            (
                self.in_channels,
                self.groups,
                x.shape[0],
                str(x.dtype),
                str(self.weight.dtype),
                layout,
            )
        )
        return self._conv_forward(x, self.weight, self.bias)

    monkeypatch.setattr(nn.Conv2d, "forward", forward)
    time_layer(timing={"dtypes": ("float64",), "batches": (3,)})
    kinds = {entry[2:] for entry in seen}
    assert kinds == {
        (3, "torch.float64", "torch.float64", "contiguous"),
        (3, "torch.float64", "torch.float64", "channels_last"),
    }


def test_a_layer_without_a_variant_is_timed_alone() -> None:
    timing = time_layer(kernel_size=1).latency["cpu"]
    assert timing.standard is not None
    assert timing.as_is == timing.standard
    assert timing.depthwise_separable is None
    assert timing.speedup is None
    assert timing.stages == {}
    assert timing.gap_s is None


def test_a_layer_that_does_not_fit_in_the_time_is_counted_and_said() -> None:
    report = time_layer(time_budget_s=1e-6)
    assert report.latency == {}
    assert report.environment is None
    assert report.totals == dscost.layer(**LAYER).totals
    assert report.warnings == (
        "Not timed: cpu: enough calls do not fit in 1.00 µs (--time-budget).",
        "Not timed: cpu:channels_last: enough calls do not fit in 1.00 µs (--time-budget).",
    )


def test_a_setting_that_does_not_fit_in_the_time_is_named_and_leaves_the_others(
    engine: FakeEngine,
) -> None:
    engine.missing = lambda name: name == "cpu:channels_last"
    report = time_layer()
    assert list(report.latency) == ["cpu"]
    assert report.warnings == (
        "Not timed: cpu:channels_last: enough calls do not fit in 300 ms (--time-budget).",
    )


def test_a_setting_that_fails_while_it_is_timed_leaves_the_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    calls = 0

    def forward(self: nn.Conv2d, x: Tensor) -> Tensor:
        nonlocal calls
        calls += not x.is_contiguous()
        if calls > 20 and not x.is_contiguous():
            raise RuntimeError("out of memory\nand much more text")
        return self._conv_forward(x, self.weight, self.bias)

    monkeypatch.setattr(nn.Conv2d, "forward", forward)
    report = time_layer(
        time_budget_s=10.0, timing={"precision": 1.0}
    )  # which is reached long before
    assert list(report.latency) == ["cpu"]
    assert report.environment is not None
    assert "Not timed: cpu:channels_last: out of memory" in report.warnings


def test_a_layer_of_a_model_that_fails_while_it_is_timed_leaves_the_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    calls = 0

    def forward(self: nn.Conv2d, x: Tensor) -> Tensor:
        nonlocal calls
        calls += self.out_channels == 16
        if calls > 20 and self.out_channels == 16:
            raise RuntimeError("out of memory")
        return self._conv_forward(x, self.weight, self.bias)

    module = small()
    counted = dscost.analyze(module, input=(1, 8, 6, 6))
    monkeypatch.setattr(whole_timing.Whole, "measure", lambda *given, **more: None)
    monkeypatch.setattr(nn.Conv2d, "forward", forward)
    report = time_model(module, time_budget_s=10.0, timing={"precision": 1.0})
    assert [layer.name for layer in report.layers if layer.latency] == ["0"]
    assert "Not timed: 3: out of memory" in report.warnings
    assert report.totals == counted.totals


def test_a_layer_that_takes_more_than_the_time_is_not_built() -> None:
    # 8 calls of 512 · 512 · 9 · 4096² MACs at the most that one thread may do, 2e11 a second
    report = time_layer(in_channels=512, out_channels=512, input_size=4096, time_budget_s=100.0)
    assert report.latency == {}
    assert any(
        "convolution is too large for 100 s (--time-budget)" in warning
        for warning in report.warnings
    )


def test_a_layer_that_does_not_fit_in_memory_is_counted_and_said(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(bench, "available_bytes", lambda: 5000)
    report = time_layer()
    assert report.latency == {}
    assert report.totals == dscost.layer(**LAYER).totals
    standard = (2 * 8 * 6 * 6 + 8 * 8 * 9) * 4
    assert (
        f"Not timed: the standard convolution needs {standard / 1024:.3f} KiB of memory, 4.883 KiB are free."
        in (report.warnings)
    )


def test_what_is_unknown_of_the_memory_is_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench, "available_bytes", lambda: None)
    assert time_layer().latency


def test_one_setting_that_cannot_run_leaves_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    report = time_layer(timing={"dtypes": ("int8", "float32")})
    assert list(report.latency) == ["cpu", "cpu:channels_last"]
    assert report.warnings == (
        "Not timed: torch runs no convolution in int8 on cpu; --runtime onnxruntime does.",
    )


@pytest.mark.parametrize(
    "first", [{"device": ("cuda", "cpu")}, {"timing": {"dtypes": ("int8", "float32")}}]
)
def test_a_layer_is_explained_though_its_first_setting_could_not_run(
    first: dict[str, Any], engine: FakeEngine
) -> None:
    if torch.cuda.is_available():
        pytest.skip("there is a CUDA device")

    # 2 ms against 1 ms where 4.24 times fewer MACs promise more; the stages take 2 ms and 1 ms
    plain, mixed = time_layer(), time_layer(**first)
    assert [cause.kind for cause in plain.layers[0].causes] == ["depthwise_kernel"]
    assert [cause.kind for cause in mixed.layers[0].causes] == ["depthwise_kernel"]


def test_causes_speak_of_the_batch_that_was_timed(
    engine: FakeEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    # moving the bytes of 100 stems takes a third of 2 ms, moving those of one 0.3 %; 8 of 11 maps are the output
    stem = {"in_channels": 3, "out_channels": 8, "kernel_size": 3, "input_size": 32}
    traffic = 4 * (3 * 32 * 32 + 8 * 32 * 32)
    slow = Ceilings(
        "cpu", "made up", "float32", 1, flops_per_s=1e15, bytes_per_s=100 * traffic / (2e-3 / 3)
    )
    monkeypatch.setattr(timing_ceilings, "find_ceilings", lambda wanted, **_: found(slow))
    report = time_layer(**stem, timing={"batches": (100,)}, memory_format="contiguous")
    assert list(report.latency) == ["cpu:batch100"]
    assert "few_channels" in [cause.kind for cause in report.layers[0].causes]


def test_too_many_context_switches_are_noted_where_they_were(engine: FakeEngine) -> None:
    engine.switches = {"cpu:channels_last": 5}
    environment = time_layer().environment
    assert environment is not None
    (noise,) = [noise for noise in environment.noise if noise.kind == "context_switches"]
    assert (noise.figure, noise.limit, noise.where) == (1.0, 0.2, "cpu:channels_last")


def test_a_speedup_that_arithmetic_cannot_explain_is_noted(engine: FakeEngine) -> None:
    engine.times = {"cpu": (6e-3, 1e-3), "cpu:channels_last": (4e-3, 1e-3)}
    report = time_layer()
    assert report.environment is not None
    (noise,) = [noise for noise in report.environment.noise if noise.kind == "more_than_macs"]
    assert noise.figure == pytest.approx(6.0)
    assert noise.limit == pytest.approx(1 / (1 / 8 + 1 / 9))
    assert noise.where == "cpu"


def test_a_time_under_the_roofline_is_noted(
    engine: FakeEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow = Ceilings(
        "cpu",
        "made up",
        "float32",
        1,
        flops_per_s=1e15,
        bytes_per_s=(2 * 8 * 36 + 576) * 4 / 2.2e-3,
    )
    monkeypatch.setattr(timing_ceilings, "find_ceilings", lambda wanted, **_: found(slow))
    report = time_layer(memory_format="contiguous")
    assert report.environment is not None
    noises = {
        noise.where: noise.figure
        for noise in report.environment.noise
        if noise.kind == "over_roofline"
    }
    assert noises["cpu, standard"] == pytest.approx(1.1)


def test_the_noise_floor_judges_every_verdict(
    engine: FakeEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bench, "noise_of", lambda rounds: 0.08)
    engine.times = {"cpu": (1.06e-3, 1e-3), "cpu:channels_last": (1.1e-3, 1e-3)}
    report = time_layer()
    verdicts = [timing.speedup.verdict for timing in report.latency.values() if timing.speedup]
    assert verdicts == ["same", "faster"]
    assert report.environment is not None
    assert report.environment.noise_floor == 0.08


@pytest.mark.parametrize(
    ("rounds", "floor", "least"),
    [(4, 0.0, 0.03), (3, None, 0.1)],
    ids=["known of four rounds", "unknown of three"],
)
def test_a_noise_floor_that_the_time_did_not_suffice_for_is_taken_for_ten_percent(
    rounds: int, floor: float | None, least: float, engine: FakeEngine
) -> None:
    engine.itself_rounds = rounds
    engine.times = {"cpu": (1.08e-3, 1e-3), "cpu:channels_last": (1.11e-3, 1e-3)}
    report = time_layer()
    assert report.environment is not None
    assert report.environment.noise_floor == (
        floor if floor is None else pytest.approx(floor, abs=1e-12)
    )
    speedups = [timing.speedup for timing in report.latency.values() if timing.speedup]
    assert [speedup.noise_floor for speedup in speedups] == [pytest.approx(least)] * 2
    assert [speedup.verdict for speedup in speedups] == [
        "same" if floor is None else "faster",
        "faster",
    ]
    said = f"differences under {100 * bench.UNKNOWN_FLOOR:.0f} % are taken for noise"
    assert (said in render([report], "table", View())) is (floor is None)


def test_each_device_has_a_noise_floor_of_its_own(engine: FakeEngine) -> None:
    on_cuda = f"{AGAINST_ITSELF} on cuda"
    engine.times = {on_cuda: (1.06e-3, 1e-3), "a": (2e-3, 1e-3), "b": (2e-3, 1e-3)}
    place = bench.Bench(TimingOptions(threads=1), (Setting(),), 1.0)
    timer: Any = object()
    cases = [
        Case("a", int, int),
        *(Case(name, int, int, timer, "cuda") for name in "bc"),
    ]
    with place.open():
        compared = place.compare(cases, 1.0)
        assert list(compared) == ["a", "b", "c"]
        assert place.speedup(compared["a"], Setting()).noise_floor == 0.03
        assert place.speedup(compared["b"], Setting("cuda")).noise_floor == pytest.approx(0.06)
        place.compare(cases[1:], 1.0)
    assert engine.rounds == [["a", "b", "c", AGAINST_ITSELF, on_cuda], ["b", "c"]]  # found out once
    assert place.environment().noise_floor == pytest.approx(0.06)  # the worst


def test_a_noise_floor_that_is_unknown_is_tried_again_and_others_are_not(
    engine: FakeEngine,
) -> None:
    engine.itself_rounds = 3
    place = bench.Bench(TimingOptions(threads=1), (Setting(),), 1.0)
    timer: Any = object()
    cases = [Case("a", int, int), Case("b", int, int, timer, "cuda")]
    with place.open():
        for _ in range(2):
            compared = place.compare(cases, 1.0)
            assert place.speedup(compared["a"], Setting()).noise_floor == 0.1
    assert engine.rounds == [
        ["a", "b", AGAINST_ITSELF, f"{AGAINST_ITSELF} on cuda"],
        ["a", "b", AGAINST_ITSELF],
    ]


def test_what_may_be_lost_is_made_again_before_it_is_called() -> None:
    """An export in between, as for ExecuTorch, makes torch drop compiled code."""
    made: list[str] = []
    compiled = [Prepared(int, again=partial(made.append, name)) for name in ("dense", "separable")]
    place = bench.Bench(TimingOptions(threads=1), (Setting(),), 1.0)
    case = place.case("compiled", Setting(), *compiled)
    assert not made
    with place.open():
        assert list(place.compare([case], 0.05)) == ["compiled"]
        assert made == ["dense", "separable"]
        assert place.call_s("dense", compiled[0], Setting()) is not None
    assert made == ["dense", "separable", "dense"]


def test_every_program_of_a_runtime_that_loses_them_is_made_again_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made: list[str] = []

    def load(program: Program, how: How) -> Running:
        form = program.torch_form
        outputs = [form.module(*form.args).numpy(force=True)]
        again = partial(made.append, program.name)
        return Running(int, lambda: outputs, "hand", again=again)

    runtime = Runtime("made-up", "Made Up", "", {}, "torch", ("float32",), load)
    monkeypatch.setitem(RUNTIMES._entries, "made-up", runtime)
    report = dscost.layer(
        8, 8, 3, input_size=6, time=True, threads=1, time_budget_s=0.2, runtime="made-up"
    )
    assert report.untimed == ()
    names = ["standard", "depthwise + pointwise", "depthwise", "pointwise"]
    assert set(made) >= {f"the {name} convolution" for name in names}
    assert len(set(made)) == len(made)


def test_code_of_the_mode_compile_is_made_again_too(monkeypatch: pytest.MonkeyPatch) -> None:
    called: list[Any] = []
    monkeypatch.setattr(torch, "compile", lambda module, dynamic: called.append)
    stages = dscost.layer(8, 8, 3, input_size=6).layers[0].stages["standard"]
    made = torch_running.prepared_by_torch(work_of(stages, Setting(mode="compile")))
    before = len(called)
    made.again()
    assert len(called) == before + 1


def test_what_cannot_be_made_again_is_told() -> None:
    def fails() -> None:
        raise RuntimeError("no code")

    place = bench.Bench(TimingOptions(threads=1), (Setting(),), 1.0)
    with place.open():
        both = Prepared(int), Prepared(int, again=fails)
        assert place.compare([place.case("compiled", Setting(), *both)], 0.05) == {}
    assert [one.text for one in place.untimed] == ["Not timed: compiled: no code"]


def test_a_timer_is_made_once_for_all_that_is_measured_under_a_setting(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made = []

    def timer(*, cold: bool, clock_share: object) -> object:
        made.append(cold)
        return object()

    monkeypatch.setattr(cuda, "CudaTimer", timer)
    place = bench.Bench(TimingOptions(threads=1), (Setting(),), 1.0)
    warm, cold = Setting("cuda"), Setting("cuda", mode="cold")
    assert place.timer(Setting()) is None
    assert place.timer(warm) is place.timer(warm) is not place.timer(cold)
    assert place.timer(cold) is place.timer(cold)
    assert made == [False, True]


def test_the_environment_has_the_seed_and_the_ceilings(engine: FakeEngine) -> None:
    report = time_layer(timing={"seed": 7, "dtypes": ("float32", "bfloat16", "int8")})
    assert report.environment is not None
    assert report.environment.seed == 7
    assert report.environment.ceilings == {
        "cpu:float32": (1e15, 1e14),
        "cpu:bfloat16": (1e15, 1e14),
    }
    text = render([report], "table", View())
    for dtype in ("float32", "bfloat16"):
        assert (
            f"roofline of cpu {dtype} 1,000,000 GFLOP/s, 100,000.0 GB/s, ridge at 10.0 FLOP/byte"
            in text
        )


def test_ceilings_are_asked_for_once_also_where_there_are_none(
    engine: FakeEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def find_ceilings(wanted: Wanted, **_: object) -> Found:
        asked.append(wanted.dtype)
        if wanted.dtype == "bfloat16":
            raise UnavailableError("no time")
        return made_up_ceilings(wanted)

    monkeypatch.setattr(timing_ceilings, "find_ceilings", find_ceilings)
    report = time_model(small(), timing={"dtypes": ("float32", "bfloat16")}, time_budget_s=100.0)
    assert asked == ["float32", "bfloat16"]
    assert report.environment is not None
    assert list(report.environment.ceilings) == ["cpu:float32"]
    assert report.warnings == ("No roofline: no time",)
    bounded = {key: timing.standard for key, timing in report.layers[0].latency.items()}
    assert {key: bool(latency and latency.roofline_s) for key, latency in bounded.items()} == {
        "cpu": True,
        "cpu:bfloat16": False,
    }


@pytest.mark.parametrize(
    ("from_ridge", "balanced"),
    [(0.49, False), (0.51, True), (1.0, True), (1.99, True), (2.01, False)],
    ids=lambda value: f"{value:.0%} of the ridge" if isinstance(value, float) else None,
)
def test_a_time_that_arithmetic_and_memory_bound_alike_is_balanced(
    from_ridge: float, balanced: bool, engine: FakeEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    intensity = 2 * 8 * 8 * 9 * 36 / (4 * (2 * 8 * 36 + 8 * 8 * 9))
    ceilings = Ceilings(
        "cpu", "made up", "float32", 1, flops_per_s=1e14 * intensity / from_ridge, bytes_per_s=1e14
    )
    monkeypatch.setattr(timing_ceilings, "find_ceilings", lambda wanted, **_: found(ceilings))
    report = time_layer(memory_format="contiguous")
    standard = report.latency["cpu"].standard
    assert standard is not None
    assert standard.balanced is balanced
    assert standard.predicted_s is None
    assert standard.usual_error is None


def test_what_is_predicted_says_how_far_off_it_usually_is_and_is_eager(
    engine: FakeEngine, compiled: list[Sequence[Sequence[int]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    def find_ceilings(wanted: Wanted, **_: object) -> Found:
        return found(made_up_ceilings(wanted).ceilings._replace(usual_error=1.4))

    monkeypatch.setattr(timing_ceilings, "find_ceilings", find_ceilings)
    given: dict[str, Any] = {
        "memory_format": "contiguous",
        "timing": {"modes": ("eager", "compile")},
    }
    layer, model = (
        time_layer(**given, time_budget_s=100.0),
        time_model(small(), **given, time_budget_s=1000.0),
    )
    for report in (layer, model):
        timings = report.layers[0].latency
        assert list(timings) == ["cpu", "cpu:compile"]
        for key, timing in timings.items():
            for latency in (timing.standard, timing.depthwise_separable, *timing.stages.values()):
                assert latency is not None
                assert latency.roofline_s is not None
                assert latency.balanced is not None
                is_eager = key == "cpu"
                assert (latency.predicted_s is not None) is is_eager
                assert latency.usual_error == (1.4 if is_eager else None)


# -- variants of a layer that were asked for

VARIANTS = ("ghost", "shuffle", "bottleneck", "inverted_residual:2", "grouped")


def test_every_variant_is_timed_against_the_standard_layer() -> None:
    report = time_layer(
        in_channels=32, out_channels=32, variants=VARIANTS, memory_format="contiguous"
    )
    (layer,) = report.layers
    timing = layer.latency["cpu"]
    assert tuple(timing.speedups) == VARIANTS
    assert timing.standard is not None
    assert timing.as_is == timing.standard
    assert (timing.depthwise_separable, timing.speedup, layer.verdict, layer.causes) == (
        None,
        None,
        None,
        (),
    )
    for name, speedup in timing.speedups.items():
        assert timing.latencies[name].median_s > 0
        assert timing.latencies[name].roofline_s is not None
        assert speedup.ci95[0] <= speedup.median <= speedup.ci95[1]
    if hasattr(torch._C, "_select_conv_backend"):
        stages = {f"bottleneck.{name}" for name in ("reduce", "spatial", "expand")}
        joined = {"ghost.cheap"}  # what reads several is told of like what stands in a row
        assert {"standard", "grouped", *stages, *joined} <= set(timing.backends)
    assert "bottleneck:4" in render([report], "table", View(explain=True))


def test_what_is_told_of_a_variant_is_what_was_compared(engine: FakeEngine) -> None:
    engine.times = {"cpu, ghost": (4e-3, 1e-3), "cpu, grouped:2": (5e-3, 10e-3)}
    report = time_layer(variants=("ghost", "grouped:2"), memory_format="contiguous")
    assert engine.rounds == [["cpu, ghost", "cpu, grouped:2", AGAINST_ITSELF]]
    timing = report.layers[0].latency["cpu"]
    assert timing.standard is not None
    assert timing.standard.median_s == 4e-3  # as beside the first
    assert {name: timing.latencies[name].median_s for name in timing.speedups} == {
        "ghost": 1e-3,
        "grouped:2": pytest.approx(8e-3),  # twice as long, as beside its own pairs
    }
    assert {name: one.median for name, one in timing.speedups.items()} == pytest.approx(
        {"ghost": 4.0, "grouped:2": 0.5}
    )
    assert [timing.speedups[name].verdict for name in ("ghost", "grouped:2")] == [
        "faster",
        "slower",
    ]


def test_more_than_the_macs_explain_is_told_of_every_variant(engine: FakeEngine) -> None:
    engine.times = {"cpu, ghost": (9e-3, 1e-3), "cpu, grouped:2": (3e-3, 2e-3)}
    report = time_layer(variants=("ghost", "grouped:2"), memory_format="contiguous")
    assert report.environment is not None
    found = {
        noise.where: noise.limit
        for noise in report.environment.noise
        if noise.kind == "more_than_macs"
    }
    assert found == {"cpu, ghost": pytest.approx(8 * 8 * 9 / (4 * 8 * 9 + 4 * 9))}


def test_faster_than_the_roofline_is_told_of_every_variant(
    engine: FakeEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow = made_up_ceilings(Wanted("cpu", "float32", 1)).ceilings._replace(
        flops_per_s=1e6, bytes_per_s=1e15
    )
    monkeypatch.setattr(timing_ceilings, "find_ceilings", lambda wanted, **_: found(slow))
    report = time_layer(variants=("ghost",), memory_format="contiguous")
    assert report.environment is not None
    places = [noise.where for noise in report.environment.noise if noise.kind == "over_roofline"]
    assert places == ["cpu, standard", "cpu, ghost"]


def test_beside_others_the_depthwise_separable_one_is_timed_with_its_stages(
    engine: FakeEngine,
) -> None:
    report = time_layer(
        variants=("depthwise_separable", "inverted_residual:2"), memory_format="contiguous"
    )
    assert engine.rounds == [["cpu", "cpu, inverted_residual:2", "cpu, stages", AGAINST_ITSELF]]
    timing = report.layers[0].latency["cpu"]
    assert set(timing.stages) == {"depthwise", "pointwise"}
    assert timing.speedup is not None
    assert report.layers[0].verdict == timing.speedup.verdict == "faster"
    assert list(timing.speedups) == ["inverted_residual:2"]
    # the depthwise stage of the inverted residual was not timed alone
    assert timing.part("inverted_residual:2", "depthwise") is None
    assert timing.part("depthwise_separable", "depthwise") == timing.stages["depthwise"]


def test_a_variant_that_did_not_fit_is_said_and_the_others_told(engine: FakeEngine) -> None:
    engine.missing = lambda name: name == "cpu, ghost"
    report = time_layer(variants=("ghost", "grouped:2"), memory_format="contiguous")
    assert list(report.layers[0].latency["cpu"].speedups) == ["grouped:2"]
    assert report.warnings == (
        "Not timed: cpu, ghost: enough calls do not fit in 300 ms (--time-budget).",
    )
    text = render([report], "table", View())
    assert "grouped:2 is the fastest" in text or "it is also the fastest" in text


def test_a_layer_that_has_none_of_them_is_timed_against_itself(engine: FakeEngine) -> None:
    report = time_layer(
        variants=("grouped:1", "spatially_separable"), kernel_size=1, memory_format="contiguous"
    )
    assert engine.rounds == [["cpu, grouped:1", AGAINST_ITSELF]]
    engine.rounds.clear()
    report = time_layer(variants="spatially_separable", kernel_size=1, memory_format="contiguous")
    assert engine.rounds == [["cpu", AGAINST_ITSELF]]
    assert report.layers[0].latency["cpu"].standard is not None


def test_a_variant_is_timed_with_other_batches_and_dtypes(engine: FakeEngine) -> None:
    given = {"batches": (1, 2), "dtypes": ("float32", "bfloat16")}
    report = time_layer(variants="ghost", memory_format="contiguous", timing=given)
    assert set(report.latency) == {"cpu", "cpu:batch2", "cpu:bfloat16", "cpu:bfloat16:batch2"}
    assert all("ghost" in timing.speedups for timing in report.latency.values())


# -- whole models


def test_a_model_is_timed_in_one_layout_whole_and_layer_by_layer() -> None:
    report = time_model(small(), time_budget_s=0.7)
    assert list(report.latency) == ["cpu"]
    whole = report.latency["cpu"]
    assert whole.as_is == whole.standard
    assert whole.depthwise_separable is not None
    assert whole.speedup is not None
    assert {layer.name for layer in report.layers if layer.latency} == {"0", "3"}
    assert report.warnings == ()


def test_a_model_as_it_is_has_the_ratio_of_its_own_pairs_to_the_separable_one(
    engine: FakeEngine,
) -> None:
    # a pair and a convolution, so that all three versions differ; the machine is three times as
    # slow while the model runs as it is
    engine.times = {"whole model": (4e-3, 1e-3), "as it is": (6e-3, 3e-3)}
    depthwise = nn.Conv2d(8, 8, 3, padding=1, groups=8, bias=False)
    model = nn.Sequential(depthwise, nn.Conv2d(8, 8, 1, bias=False), conv(8, 8))
    timing = time_model(model).latency["cpu"]
    assert timing.as_is is not None
    assert timing.depthwise_separable is not None
    assert timing.depthwise_separable.median_s == pytest.approx(1e-3)
    assert timing.as_is.median_s == pytest.approx(2e-3)  # twice the separable one, as in its pairs


def test_the_layers_add_up_over_all_of_their_calls(engine: FakeEngine) -> None:
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.shared, self.twin, self.other = conv(), conv(), conv(8, 16)

        def forward(self, x: Tensor) -> Tensor:
            x = self.shared(self.shared(self.shared(x)))
            result: Tensor = self.other(self.twin(x))
            return result

    # four calls of equal convolutions are one case, the other one is another; the heavier one comes first
    engine.times = {"shared": (3e-3, 1e-3), "other": (7e-3, 5e-3)}
    report = time_model(Twice(), time_budget_s=100.0)
    assert engine.rounds == [["whole model"], ["shared", "other", AGAINST_ITSELF]]
    timing = report.latency["cpu"]
    assert timing.layers_s["standard"] == pytest.approx(4 * 3e-3 + 7e-3)
    assert timing.layers_s["depthwise_separable"] == pytest.approx(4 * 1e-3 + 5e-3)
    medians = {
        layer.name: layer.latency["cpu"].standard for layer in report.layers if layer.latency
    }
    assert {name: latency.median_s for name, latency in medians.items() if latency} == {
        "shared": 3e-3,
        "twin": 3e-3,
        "other": 7e-3,
    }


def test_a_pair_has_the_time_of_its_calls(engine: FakeEngine) -> None:
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.depthwise = nn.Conv2d(8, 8, 3, padding=1, groups=8, bias=False)
            self.pointwise = nn.Conv2d(8, 8, 1, bias=False)

        def forward(self, x: Tensor) -> Tensor:
            x = self.pointwise(self.depthwise(x))
            result: Tensor = self.pointwise(self.depthwise(x))
            return result

    engine.times = {"depthwise": (4e-3, 1e-3)}
    (pair,) = [layer for layer in time_model(Twice()).layers if layer.latency]
    assert (pair.name, pair.pair) == ("depthwise", "depthwise")
    assert pair.latency["cpu"].layers_s == pytest.approx(
        {"standard": 2 * 4e-3, "depthwise_separable": 2 * 1e-3}
    )


def test_layers_that_were_not_timed_leave_no_sum(engine: FakeEngine) -> None:
    engine.missing = lambda name: name == "0"
    report = time_model(small())
    assert report.latency["cpu"].layers_s == {}
    assert report.warnings == (
        "1 of 2 distinct layers were not timed within 1.00 s (--time-budget).",
    )


@pytest.fixture
def call_s(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Let single calls of versions of a model take these seconds, one after the other."""
    seconds: list[float] = []
    monkeypatch.setattr(bench, "warm", lambda *given, **more: seconds.pop(0))
    return seconds


def test_a_model_that_does_not_fit_in_the_time_says_what_it_needs(
    engine: FakeEngine, call_s: list[float]
) -> None:
    needed_s = 12 * (0.0625 + 0.03125)
    call_s += [0.0625, 0.03125] * 2
    report = time_model(small())
    told = (
        f"The whole model was not timed: that takes at least {format_seconds(needed_s)}, "
        "and of 1.00 s (--time-budget) 1.00 s were left."
    )
    assert report.warnings == (told,)
    assert report.untimed == (Untimed("the whole model", told),)
    assert report.latency == {}
    # the layers then have all of the time
    assert engine.budgets == [pytest.approx(1.0, abs=0.1)]
    assert {layer.name for layer in report.layers if layer.latency} == {"0", "3"}
    assert time_model(small(), time_budget_s=needed_s * 1.001).warnings == ()


def test_a_version_that_does_not_fit_in_the_time_spares_the_others(
    engine: FakeEngine, call_s: list[float]
) -> None:
    call_s += [0.1]
    report = time_model(small())
    assert report.latency == {}
    assert call_s == []
    assert report.warnings[0].startswith(
        "The whole model was not timed: that takes at least 1.20 s"
    )


def test_which_of_several_settings_the_whole_model_does_not_fit_in_the_time_of_is_told(
    engine: FakeEngine, call_s: list[float]
) -> None:
    call_s += [0.1, 0.001, 0.001]  # the first setting ends with its first version
    report = time_model(small(), timing={"batches": (1, 2)})
    (told,) = report.untimed
    assert told.text.startswith("The whole model was not timed under cpu: that takes at")


def test_a_model_whose_first_call_takes_all_of_the_time_is_not_called_again(
    engine: FakeEngine, call_s: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    ticks = itertools.count(0, 5)
    monkeypatch.setattr(torch_running, "perf_counter", lambda: float(next(ticks)))
    report = time_model(small())
    assert report.warnings[0].startswith(
        "The whole model was not timed: that takes at least 60.0 s"
    )


def test_the_whole_model_is_timed_before_its_layers(engine: FakeEngine) -> None:
    report = time_model(small())
    assert engine.rounds == [["whole model"], ["3", "0", AGAINST_ITSELF]]
    assert engine.budgets[0] == pytest.approx(0.4)
    assert report.untimed == ()
    # the noise floor that its layers told judges it
    speedup = report.latency["cpu"].speedup
    assert speedup is not None
    assert speedup.noise_floor < bench.UNKNOWN_FLOOR


def test_a_whole_model_that_needs_more_than_its_share_takes_it_of_the_layers(
    engine: FakeEngine, call_s: list[float]
) -> None:
    call_s += [0.03, 0.02]
    assert time_model(small()).latency
    assert engine.budgets[0] == pytest.approx(1.5 * 12 * (0.03 + 0.02))


def test_with_several_settings_each_whole_model_comes_before_all_layers(engine: FakeEngine) -> None:
    report = time_model(small(), memory_format=("contiguous", "channels_last"))
    assert [names[0] for names in engine.rounds] == ["whole model", "whole model", "3", "3"]
    assert engine.budgets[:2] == [pytest.approx(0.2)] * 2
    assert list(report.latency) == ["cpu", "cpu:channels_last"]


def test_a_model_whose_layers_did_not_fit_has_the_time_of_the_whole(engine: FakeEngine) -> None:
    engine.missing = lambda name: name in ("0", "3")
    report = time_model(small())
    told = "2 of 2 distinct layers were not timed within 1.00 s (--time-budget)."
    assert report.warnings == (told,)
    assert report.untimed == (Untimed("layers", told),)
    assert report.latency["cpu"].speedup is not None


def test_layers_come_first_where_what_loses_is_to_be_left_out(
    engine: FakeEngine, call_s: list[float]
) -> None:
    call_s += [0.03, 0.02]
    report = time_model(small(), timing={"skip_losing": True})
    assert engine.rounds == [["3", "0", AGAINST_ITSELF], ["whole model"]]
    assert report.latency
    # what is kept for the whole model is there whatever the layers took
    assert engine.budgets[1] >= 0.4


def test_a_whole_model_that_takes_longer_than_expected_is_said(engine: FakeEngine) -> None:
    engine.missing = lambda name: name == "whole model"
    report = time_model(small())
    assert report.warnings == ("The whole model was not timed within 1.00 s (--time-budget).",)
    assert {layer.name for layer in report.layers if layer.latency} == {"0", "3"}


def test_a_model_keeps_everything_it_had() -> None:
    module = small().train()
    module[0].weight.requires_grad_(False)
    module[1].running_mean.fill_(3.0)
    before = {name: tensor.clone() for name, tensor in module.state_dict().items()}
    flags = [(parameter.requires_grad, parameter.data_ptr()) for parameter in module.parameters()]
    kind: dict[str, Any] = {"memory_format": "channels_last", "timing": {"dtypes": ("bfloat16",)}}
    time_model(module, device="cpu", **kind, **SHORT)
    after = module.state_dict()
    assert list(after) == list(before)
    assert all(torch.equal(after[name], before[name]) for name in before)
    assert all(tensor.dtype == before[name].dtype for name, tensor in after.items())
    assert [
        (parameter.requires_grad, parameter.data_ptr()) for parameter in module.parameters()
    ] == flags
    assert all(layer.training for layer in module.modules())
    assert all(parameter.grad is None for parameter in module.parameters())


def test_a_given_tensor_is_not_written_on() -> None:
    class Writes(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = conv()

        def forward(self, x: Tensor) -> Tensor:
            result: Tensor = self.conv(x.mul_(0.5))
            return result

    x = torch.ones(1, 8, 6, 6)
    assert time_model(Writes(), input=x, **SHORT).latency
    assert torch.equal(x, torch.ones(1, 8, 6, 6))


def test_a_model_that_a_file_makes_is_timed(tmp_path: Path) -> None:
    (tmp_path / "net.py").write_text(
        "from torch import nn\n"
        "def make(channels=8):\n"
        "    return nn.Sequential(\n"
        "        nn.Conv2d(3, channels, 3, padding=1), nn.BatchNorm2d(channels), nn.Hardswish(),\n"
        "        nn.Conv2d(channels, channels, 3, padding=1, groups=channels), nn.Conv2d(channels, 16, 1),\n"
        "        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, 4))\n"
    )
    target = f"{tmp_path / 'net.py'}:make"
    report = dscost.analyze(target, input=(1, 3, 8, 8), time=True, threads=1, time_budget_s=0.7)
    whole = report.latency["cpu"]
    for name in ("as_is", "standard", "depthwise_separable"):
        latency = whole.of(name)
        assert latency is not None
        assert latency.median_s > 0
    assert whole.as_is not in (whole.standard, whole.depthwise_separable)
    assert {layer.name for layer in report.layers if layer.latency} == {"0", "3"}
    assert report.warnings == ()


class Words(nn.Module):
    """Indices in, so that a model of words is timed as well."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(10, 8)
        self.conv = nn.Conv1d(8, 8, 3, padding=1)

    def forward(self, words: Tensor) -> Tensor:
        result: Tensor = self.conv(self.embedding(words).transpose(1, 2))
        return result


@pytest.mark.parametrize(
    "words",
    [TensorSpec((1, 12), "int64"), torch.randint(0, 10, (1, 12))],
    ids=["by shape", "given"],
)
def test_a_model_with_integer_inputs_is_timed(words: object) -> None:
    report = time_model(Words(), input=words, **SHORT)
    assert list(report.latency) == ["cpu"]
    assert report.latency["cpu"].speedup is not None
    assert report.warnings == ()


def test_keyword_arguments_are_passed_on() -> None:
    class Scaled(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = conv()

        def forward(self, *, x: Tensor, scale: float) -> Tensor:
            result: Tensor = self.conv(x) * scale
            return result

    report = time_model(Scaled(), input={"x": (1, 8, 6, 6), "scale": 2.0}, **SHORT)
    assert report.latency["cpu"].speedup is not None


def test_a_model_without_inputs_is_timed() -> None:
    class Constant(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.randn(4, 4))

        def forward(self) -> Tensor:
            return self.weight @ self.weight

    report = time_model(Constant(), input=(), **SHORT)
    assert report.latency["cpu"].as_is is not None


def test_a_model_without_layers_that_trade_is_timed_and_says_where() -> None:
    report = time_model(nn.Sequential(nn.Linear(8, 8), nn.ReLU()), input=(1, 8), **SHORT)
    timing = report.latency["cpu"]
    assert timing.as_is is not None
    assert timing.speedup is None
    assert report.environment is not None
    assert "Measured on" in render([report], "table", View())


def test_batches_of_a_model_are_timed_side_by_side() -> None:
    report = time_model(small(), timing={"batches": (1, 4)}, time_budget_s=0.7)
    assert list(report.latency) == ["cpu", "cpu:batch4"]
    assert {key for layer in report.layers for key in layer.latency} == {"cpu", "cpu:batch4"}


@pytest.mark.parametrize(
    ("given", "least", "most"),
    [(torch.full((1, 12), 3), 0, 9), (torch.full((1, 12), 0.5), -10.0, 10.0)],
    ids=["indices", "floats"],
)
def test_another_batch_of_given_tensors_has_sensible_values(
    given: Tensor, least: float, most: float
) -> None:
    with _uninitialized_memory_shows():
        (values,) = (
            arguments_of(given)
            .with_batch(64)
            .with_values(device="cpu", dtype="float32", memory_format="contiguous")
            .args
        )
    assert values.shape == (64, 12)
    assert least <= values.min()
    assert values.max() <= most


@contextlib.contextmanager
def _uninitialized_memory_shows() -> Iterator[None]:
    torch.use_deterministic_algorithms(
        True
    )  # torch fills what was not with the largest integer, or with NaN
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(False)


@pytest.mark.parametrize(
    "error",
    [
        AssertionError("one input at a time"),
        IndexError("out of range"),
        KeyError("x"),
        OSError("no file"),
    ],
)
def test_whatever_a_model_raises_when_it_runs_is_a_warning(error: Exception) -> None:
    class Fails(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = conv()

        def forward(self, x: Tensor) -> Tensor:
            if not x.is_meta:
                raise error
            result: Tensor = self.conv(x)
            return result

    report = time_model(Fails(), **SHORT)
    assert report.latency == {}
    (warning,) = report.warnings
    assert warning.startswith("Not timed: torch cannot run the whole model in float32 on cpu")
    assert str(error.args[0]) in warning
    assert [layer.name for layer in report.layers if layer.latency] == ["conv"]


def test_a_model_too_large_for_the_memory_says_so_and_the_counts_stand(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(bench, "available_bytes", lambda: 1000)
    report = dscost.analyze("resnet18", time=True, **SHORT)
    counted = dscost.analyze("resnet18")
    assert report.latency == {}
    assert report.totals == counted.totals
    assert report.environment is None
    assert any(" of memory, 1000 B are free." in warning for warning in report.warnings)
    assert not any(
        "--time-budget" in warning for warning in report.warnings
    )  # time is not the reason


def test_the_whole_model_alone_may_be_too_large(
    engine: FakeEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    # one layer of ResNet-18 is read and written in under 20 MiB, the model has 45 MiB of weights
    monkeypatch.setattr(bench, "available_bytes", lambda: 50 << 20)
    report = dscost.analyze("resnet18", time=True, threads=1)
    assert report.latency == {}
    assert sum(bool(layer.latency) for layer in report.layers) == 17
    (warning,) = report.warnings
    assert warning.startswith("Not timed: the whole model needs ")


def test_a_model_without_time_is_counted_and_said() -> None:
    report = dscost.analyze("resnet18", time=True, threads=1, time_budget_s=1e-4)
    assert report.latency == {}
    assert report.totals == dscost.analyze("resnet18").totals
    assert any("100 µs (--time-budget)" in warning for warning in report.warnings)
    assert not any("inf" in warning for warning in report.warnings)


@pytest.mark.parametrize(
    "more", [{"device": "cuda"}, {"device": ("cpu", "cuda"), "timing": {"modes": ("graph",)}}]
)
def test_where_all_is_for_a_cuda_that_is_missing_it_is_an_error(more: dict[str, Any]) -> None:
    if torch.cuda.is_available():
        pytest.skip("there is a CUDA device")
    with pytest.raises(UnavailableError, match=r"--device cuda: torch .*CUDA"):
        time_model(small(), **more)


def test_without_cuda_a_model_is_timed_elsewhere_and_says_once_why_not_there(
    engine: FakeEngine,
) -> None:
    if torch.cuda.is_available():
        pytest.skip("there is a CUDA device")
    report = time_model(small(), device=("cuda", "cpu"))
    assert list(report.latency) == ["cpu"]
    (warning,) = [one for one in report.warnings if "CUDA" in one]
    assert warning.startswith("Not timed: torch ")


def test_a_model_in_a_dtype_that_torch_cannot_run_says_so() -> None:
    report = time_model(small(), timing={"dtypes": ("int8",)})
    assert report.latency == {}
    assert (
        "Not timed: torch runs no convolution in int8 on cpu; --runtime onnxruntime does."
        in report.warnings
    )


def test_three_dimensions_have_no_channels_last_and_it_is_said(engine: FakeEngine) -> None:
    report = time_model(
        nn.Conv3d(8, 8, 3),
        input=(1, 8, 6, 6, 6),
        memory_format=("contiguous", "channels_last"),
        time_budget_s=1.0,
    )
    assert list(report.latency) == ["cpu"]
    assert any("channels_last" in warning for warning in report.warnings)


@pytest.mark.parametrize(("share", "noted"), [(1.04, True), (1.02, False)])
def test_a_layer_of_a_model_under_its_roofline_is_noted(
    share: float, noted: bool, engine: FakeEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    # layer `3` moves most bytes, so that it alone is too fast: 2 ms, and 1 ms with two stages
    one = 36 * 4
    standard = 8 * one + 16 * one + 8 * 16 * 9 * 4
    slow = Ceilings(
        "cpu", "made up", "float32", 1, flops_per_s=1e15, bytes_per_s=standard / (share * 2e-3)
    )
    monkeypatch.setattr(timing_ceilings, "find_ceilings", lambda wanted, **_: found(slow))
    engine.times = {"3": (2e-3, 9e-3), "0": (9e-3, 9e-3), "whole model": (1.0, 1.0)}
    report = time_model(small(), time_budget_s=100.0)
    assert report.environment is not None
    noises = {
        noise.where: noise.figure
        for noise in report.environment.noise
        if noise.kind == "over_roofline"
    }
    assert noises == ({"3, standard": pytest.approx(share)} if noted else {})


def test_a_layer_of_a_model_that_gains_more_than_its_macs_is_noted(engine: FakeEngine) -> None:
    # 8 → 8 has 1 / (1/8 + 1/9) = 4.24 times fewer MACs, 8 → 16 has 5.76
    engine.times = {"0": (5e-3, 1e-3), "3": (5e-3, 1e-3)}
    report = time_model(small(), time_budget_s=100.0)
    assert report.environment is not None
    (noise,) = [noise for noise in report.environment.noise if noise.kind == "more_than_macs"]
    assert noise.where == "0"
    assert noise.figure == pytest.approx(5.0)
    assert noise.limit == pytest.approx(1 / (1 / 8 + 1 / 9))


# -- layers that lose


@pytest.fixture
def losing(engine: FakeEngine) -> Report:
    """Two layers, of which the heavier one gains and the other one loses."""
    engine.times = {"1": (9e-3, 3e-3), "0": (1e-3, 4e-3)}
    return time_model(nn.Sequential(conv(8, 8), conv(8, 32)), timing={"skip_losing": True})


def test_layers_that_lose_are_left_standard(losing: Report) -> None:
    gains, loses = 8 * 32 * 9, 8 * 8 * 9  # weights
    assert losing.skipped == ("0",)
    assert {layer.name: layer.verdict for layer in losing.layers} == {"0": "slower", "1": "faster"}
    assert losing.totals.standard.params == gains + loses
    assert losing.totals.depthwise_separable.params == loses + 8 * 9 + 8 * 32
    assert losing.totals.depthwise_separable.macs == 36 * (loses + 8 * 9 + 8 * 32)


def test_a_layer_that_is_left_is_not_counted_among_those_that_could_be_swapped(
    losing: Report,
) -> None:
    text = render([losing], "table", View())
    assert (
        "2 convolutions could be depthwise-separable, 1 of them measured slower and is kept: "
        "that takes "
    ) in text
    assert text.count("Kept as they are, since they measured slower when swapped: 0;") == 1
    assert "The swap makes" not in text


def test_a_layer_that_is_left_has_no_separable_macs_and_columns_still_add_up(
    losing: Report,
) -> None:
    gains, loses, variant = 8 * 32 * 9 * 36, 8 * 8 * 9 * 36, 8 * (9 + 32) * 36
    rows = {row.cells["layer"]: row.cells for row in layer_rows(losing, View())}
    assert rows["1"]["standard_macs"] == format_count(gains)
    assert rows["1"]["separable_macs"] == format_count(variant)
    assert {"standard_macs", "separable_macs", "reduction"}.isdisjoint(rows["0"])
    assert (rows["0"]["macs"], rows["0"]["verdict"]) == (format_count(loses), "slower")
    (rest,) = layer_rows(losing, View(top=1, sort="layer"))[1:]
    assert rest.cells["macs"] == format_count(gains)
    assert rest.cells["separable_macs"] == format_count(variant)
    # summed up in one line the layer that is left counts the same on both sides
    nested = losing._replace(
        layers=tuple(one._replace(name=f"a.{one.name}") for one in losing.layers)
    )
    (both,) = layer_rows(nested._replace(skipped=("a.0",)), View(depth=1))
    assert both.cells["standard_macs"] == format_count(gains + loses)
    assert both.cells["separable_macs"] == format_count(variant + loses)


def test_a_layer_that_loses_and_is_kept_is_named_once(engine: FakeEngine) -> None:
    engine.times = {"1": (9e-3, 3e-3), "0": (1e-3, 4e-3)}
    text = render([time_model(nn.Sequential(conv(8, 8), conv(8, 32)))], "table", View())
    assert "2 convolutions could be depthwise-separable" in text
    assert "The swap makes 1 layer slower: 0 (4.0×)." in text
    assert "Kept as they are" not in text


def test_a_layer_that_is_left_counts_as_standard_in_the_sum_of_the_layers(losing: Report) -> None:
    # what stands in the depthwise-separable model: the heavier layer separable, the other one standard
    assert losing.latency["cpu"].layers_s == {
        "standard": pytest.approx(9e-3 + 1e-3),
        "depthwise_separable": pytest.approx(3e-3 + 1e-3),
    }


def test_a_layer_that_is_left_is_standard_in_the_model_that_runs(
    engine: FakeEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    built = []
    own = torch_running.placed

    def placed(module: nn.Module, **place: str) -> nn.Module:
        built.append([tuple(p.shape) for p in module.parameters()])
        return own(module, **place)

    monkeypatch.setattr(torch_running, "placed", placed)
    engine.times = {"1": (9e-3, 3e-3), "0": (1e-3, 4e-3)}
    time_model(nn.Sequential(conv(8, 8), conv(8, 32)), timing={"skip_losing": True})
    assert built[-2:] == [
        [(8, 8, 3, 3), (32, 8, 3, 3)],
        [(8, 8, 3, 3), (8, 1, 3, 3), (32, 8, 1, 1)],
    ]


def test_where_every_layer_loses_the_model_stays_as_it_is(engine: FakeEngine) -> None:
    engine.times = {"0": (1e-3, 3e-3), "1": (1e-3, 4e-3)}
    report = time_model(nn.Sequential(conv(8, 8), conv(8, 32)), timing={"skip_losing": True})
    assert sorted(report.skipped) == ["0", "1"]
    assert report.totals.depthwise_separable == report.totals.as_is
    assert report.latency["cpu"].as_is is not None
    assert report.latency["cpu"].speedup is None


def test_layers_that_lose_are_kept_unless_asked(engine: FakeEngine) -> None:
    engine.times = {"1": (9e-3, 3e-3), "0": (1e-3, 4e-3)}
    report = time_model(nn.Sequential(conv(8, 8), conv(8, 32)))
    assert report.skipped == ()
    assert report.totals.depthwise_separable.params == 8 * 9 + 8 * 8 + 8 * 9 + 8 * 32


# -- what noise is told of


def test_noise_is_told_by_the_name_of_its_layer_under_every_setting(engine: FakeEngine) -> None:
    # the layers of a Sequential are called by numbers, and the heavier one, `1`, is measured first
    engine.switches = {"1": 5}
    module = nn.Sequential(conv(8, 8), conv(8, 32))
    report = time_model(module, memory_format=("contiguous", "channels_last"))
    assert report.environment is not None
    where = [noise.where for noise in report.environment.noise if noise.kind == "context_switches"]
    assert where == ["1", "1"]


# -- compiled


@pytest.fixture
def compiled(monkeypatch: pytest.MonkeyPatch) -> list[Sequence[Sequence[int]]]:
    """Let `torch.compile` do nothing but note down the weights and inputs of every graph that it was given."""
    shapes: list[Sequence[Sequence[int]]] = []

    def backend(graph: Any, inputs: Sequence[Tensor]) -> Any:
        shapes.append(
            [tuple(tensor.shape) for tensor in inputs if isinstance(tensor, nn.Parameter)]
        )
        return graph.forward

    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend=backend))
    torch._dynamo.reset()
    return shapes


def test_every_distinct_layer_is_compiled_however_many_there_are(
    engine: FakeEngine, compiled: list[Sequence[Sequence[int]]]
) -> None:
    # torch itself gives up after 8 recompilations
    layers = [conv(4 + n, 5 + n) for n in range(10)]
    report = time_model(
        nn.Sequential(*layers),
        input=(1, 4, 6, 6),
        timing={"modes": ("compile",)},
        time_budget_s=1000.0,
    )
    assert sum(bool(layer.latency) for layer in report.layers) == 10
    standard = {
        shape for graph in compiled for shape in graph if len(shape) == 4 and shape[2:] == (3, 3)
    }
    assert {(5 + n, 4 + n, 3, 3) for n in range(10)} <= standard
    assert {(4 + n, 1, 3, 3) for n in range(10)} <= standard


def test_what_compiling_took_is_told_for_every_version_of_a_model(
    engine: FakeEngine, compiled: list[Sequence[Sequence[int]]]
) -> None:
    module = nn.Sequential(conv(), conv(8, 16))
    timing = time_model(module, timing={"modes": ("compile",)}, time_budget_s=1000.0).latency[
        "cpu:compile"
    ]
    for name in ("as_is", "standard", "depthwise_separable"):
        latency = timing.of(name)
        assert latency is not None
        assert latency.compile_s is not None
        assert latency.compile_s > 0


# -- torch afterwards


def _state_of_torch() -> Mapping[str, Any]:
    matmul, cudnn = torch.backends.cuda.matmul, torch.backends.cudnn
    return {
        "threads": torch.get_num_threads(),
        "dtype": torch.get_default_dtype(),
        "device": torch.get_default_device(),
        "random": torch.get_rng_state().tolist(),
        "grad": torch.is_grad_enabled(),
        "inference": torch.is_inference_mode_enabled(),
        "autocast": (torch.is_autocast_enabled("cpu"), torch.is_autocast_enabled("cuda")),
        "tf32": (matmul.allow_tf32, cudnn.allow_tf32),
        "cudnn": (cudnn.benchmark, cudnn.deterministic, cudnn.enabled),
        "deterministic": torch.are_deterministic_algorithms_enabled(),
    }


@pytest.fixture
def unusual() -> Iterator[None]:
    """Let torch be in no state that it would fall back to by itself."""
    threads, dtype, state = (
        torch.get_num_threads(),
        torch.get_default_dtype(),
        torch.get_rng_state(),
    )
    torch.set_num_threads(2)
    torch.set_default_dtype(torch.float64)
    torch.manual_seed(987)
    with torch.no_grad():
        yield
    torch.set_num_threads(threads)
    torch.set_default_dtype(dtype)
    torch.set_rng_state(state)


@pytest.mark.usefixtures("unusual")
@pytest.mark.parametrize("target", ["layer", "model", "architecture"])
def test_torch_is_left_as_it_was(target: str, engine: FakeEngine) -> None:
    module = small().float()
    before = _state_of_torch()
    if target == "layer":
        time_layer()
    elif target == "model":
        time_model(module)
    else:
        dscost.analyze("resnet18", time=True, threads=1)
    assert _state_of_torch() == before


@pytest.mark.usefixtures("unusual")
def test_torch_is_left_as_it_was_when_measuring_is_interrupted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def interrupted(share: float, name: str) -> None:
        raise KeyboardInterrupt

    counted = count(small().float(), Request((1, 8, 6, 6)))
    before = _state_of_torch()
    options = TimingOptions(threads=1, budget_s=0.3)
    with pytest.raises(KeyboardInterrupt):
        measure_layer(dscost.layer(**LAYER), options, interrupted)
    assert _state_of_torch() == before
    with pytest.raises(KeyboardInterrupt):
        measure_model(counted, options, interrupted)
    assert _state_of_torch() == before


def test_an_autocast_around_it_does_not_change_what_is_timed(
    engine: FakeEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = set()

    def forward(self: nn.Conv2d, x: Tensor) -> Tensor:
        result: Tensor = self._conv_forward(x, self.weight, self.bias)
        if not x.is_meta:
            seen.add(result.dtype)
        return result

    module = small()
    monkeypatch.setattr(nn.Conv2d, "forward", forward)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        time_layer()
        time_model(module)
        assert torch.is_autocast_enabled("cpu")
    assert seen == {torch.float32}


def test_the_seed_makes_weights_and_inputs_the_same(
    engine: FakeEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[float] = []

    def forward(self: nn.Conv2d, x: Tensor) -> Tensor:
        result: Tensor = self._conv_forward(x, self.weight, self.bias)
        seen.append(float(result.double().sum()))
        return result

    monkeypatch.setattr(nn.Conv2d, "forward", forward)
    runs = []
    for seed in (1, 1, 2):
        seen.clear()
        time_layer(timing={"seed": seed})
        runs.append(tuple(seen))
    assert runs[0] == runs[1] != runs[2]


def test_progress_is_told_by_the_names_of_the_layers() -> None:
    told: list[str] = []
    measure_model(
        count(small(), Request((1, 8, 6, 6))),
        TimingOptions(threads=1, budget_s=0.7),
        lambda share, name: told.append(name),
    )
    timed = {text.removeprefix("timing ").partition(",")[0] for text in told if "timing" in text}
    assert {"0", "3", "whole model", "the noise of this machine"} == timed


def test_a_counted_training_step_is_not_timed_and_says_so() -> None:
    report = dscost.analyze(small(), input=(1, 8, 6, 6), train=True, time=True, **SHORT)
    assert report.latency == {}
    assert "Not timed: what is timed is the forward pass, without --train." in report.warnings


# -- devices that one does not have


T4 = {
    "flops_per_s": 8.1e12,
    "bytes_per_s": 320e9,
}  # NVIDIA T4 datasheet: 8.1 TFLOPS in float32, 320 GB/s
ONE = 256 * 14 * 14 * 4  # bytes of one activation of 256 channels at 14×14


def t4_s(macs: int, traffic_bytes: int) -> float:
    return max(2 * macs / T4["flops_per_s"], traffic_bytes / T4["bytes_per_s"])


def test_a_named_device_bounds_every_variant_of_a_layer() -> None:
    report = dscost.layer(in_channels=256, out_channels=256, kernel_size=3, on="t4")
    (layer,) = report.layers
    standard_s = t4_s(256 * 256 * 9 * 196, 2 * ONE + 256 * 256 * 9 * 4)
    depthwise_s = t4_s(256 * 9 * 196, 2 * ONE + 256 * 9 * 4)
    pointwise_s = t4_s(256 * 256 * 196, 2 * ONE + 256 * 256 * 4)
    for found in (layer.predictions["t4"], report.predictions["t4"]):
        assert found["as_is"] == found["standard"]
        assert found["standard"].roofline_s == pytest.approx(standard_s)
        assert found["standard"].bound == "compute"
        assert found["depthwise_separable"].roofline_s == pytest.approx(depthwise_s + pointwise_s)
        assert found["depthwise_separable"].bound == "compute"  # of its pointwise stage
    assert report.latency == {}


def test_a_named_device_bounds_the_versions_of_a_model_by_the_sums_of_their_layers() -> None:
    module = nn.Sequential(
        nn.Conv2d(256, 256, 3, padding=1, bias=False),
        nn.Conv2d(256, 256, 3, padding=1, groups=256, bias=False),
        nn.Conv2d(256, 256, 1, bias=False),
    )
    report = dscost.analyze(module, input=(1, 256, 14, 14), on=("t4", "v100"))
    assert list(report.predictions) == ["t4", "v100"]
    found = {name: bound.roofline_s for name, bound in report.predictions["t4"].items()}
    standard_s = t4_s(256 * 256 * 9 * 196, 2 * ONE + 256 * 256 * 9 * 4)
    pair_s = t4_s(256 * 9 * 196, 2 * ONE + 256 * 9 * 4) + t4_s(
        256 * 256 * 196, 2 * ONE + 256 * 256 * 4
    )
    assert found["as_is"] == pytest.approx(standard_s + pair_s)
    assert found["standard"] == pytest.approx(
        2 * standard_s
    )  # the pair stands for such a convolution as well
    assert found["depthwise_separable"] == pytest.approx(2 * pair_s)
    assert "speedup of the bounds" in render([report], "table", View())


def test_a_layer_that_runs_twice_is_bounded_twice() -> None:
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(256, 256, 3, padding=1, bias=False)

        def forward(self, x: Tensor) -> Tensor:
            result: Tensor = self.conv(self.conv(x))
            return result

    report = dscost.analyze(Twice(), input=(1, 256, 14, 14), on="t4")
    found = {name: bound.roofline_s for name, bound in report.predictions["t4"].items()}
    once_s = t4_s(256 * 256 * 9 * 196, 2 * ONE + 256 * 256 * 9 * 4)
    pair_s = t4_s(256 * 9 * 196, 2 * ONE + 256 * 9 * 4) + t4_s(
        256 * 256 * 196, 2 * ONE + 256 * 256 * 4
    )
    # all three versions are held to the same measure: each convolution reads its weights whenever it runs
    assert found["as_is"] == pytest.approx(2 * once_s)
    assert found["standard"] == pytest.approx(2 * once_s)
    assert found["depthwise_separable"] == pytest.approx(2 * pair_s)
    # as is the layer that is the whole of it
    (layer,) = report.layers
    assert layer.calls == 2
    assert {
        name: bound.roofline_s for name, bound in layer.predictions["t4"].items()
    } == pytest.approx(found)


def test_predictions_of_a_timed_model_leave_standard_what_the_model_does(
    engine: FakeEngine,
) -> None:
    engine.times = {"1": (9e-3, 3e-3), "0": (1e-3, 4e-3)}
    module = nn.Sequential(conv(8, 8), conv(8, 32))
    kept, left = (
        time_model(module, timing={"skip_losing": skip}, on="t4") for skip in (False, True)
    )
    found, other = (
        report.predictions["t4"]["depthwise_separable"].roofline_s for report in (kept, left)
    )
    first = kept.layers[0].predictions["t4"]
    assert other - found == pytest.approx(
        first["standard"].roofline_s - first["depthwise_separable"].roofline_s
    )


def test_predictions_and_times_stand_beside_each_other(engine: FakeEngine) -> None:
    report = time_layer(on="t4")
    assert list(report.latency) == ["cpu", "cpu:channels_last"]
    assert list(report.predictions) == ["t4"]


def test_a_device_that_nobody_knows_is_answered_with_the_nearest() -> None:
    with pytest.raises(UnknownNameError, match="unknown device 'v10'"):
        dscost.layer(**LAYER, on="v10")


# -- models with values


def test_a_real_model_keeps_its_own_values_and_the_given_one_is_another() -> None:
    module = small()
    module[1].running_var.fill_(7.0)
    copy = with_values(module)
    assert copy is not module
    for (name, own), new in zip(
        module.state_dict().items(), copy.state_dict().values(), strict=True
    ):
        assert torch.equal(own, new), name
        assert own.data_ptr() != new.data_ptr()


@pytest.mark.parametrize("how", ["alone", "with its maker"])
def test_a_model_without_values_gets_some_that_keep_the_signal_alive(how: str) -> None:
    def make() -> nn.Sequential:
        blocks = [nn.Sequential(conv(16, 16), nn.BatchNorm2d(16), nn.ReLU()) for _ in range(30)]
        return nn.Sequential(
            *blocks, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, 16), nn.LayerNorm(16)
        )

    with torch.device("meta"):
        module = make()
    torch.manual_seed(0)
    copy = with_values(module, make if how == "with its maker" else None).eval()
    assert all(parameter.is_meta for parameter in module.parameters())  # as it was
    assert not any(tensor.is_meta for tensor in (*copy.parameters(), *copy.buffers()))
    assert all(tensor.isfinite().all() for tensor in copy.state_dict().values())
    assert torch.equal(copy[0][1].running_var, torch.ones(16))
    sizes = []
    hook = lambda layer, inputs, output: sizes.append(output.abs().mean().item())  # noqa: E731
    for layer in copy.modules():
        if isinstance(layer, nn.Conv2d | nn.ReLU | nn.Linear):
            layer.register_forward_hook(hook)
    with torch.no_grad():
        copy(torch.randn(1, 16, 8, 8))
    assert len(sizes) == 61
    assert all(1e-6 < size < 1e6 for size in sizes)


@pytest.mark.parametrize(
    ("make", "shape"),
    [
        pytest.param(lambda: nn.Linear(64, 64, bias=False), (64,), id="linear layers"),
        pytest.param(lambda: nn.Conv1d(64, 64, 1, bias=False), (64, 4), id="one dimension"),
        pytest.param(lambda: nn.Conv2d(64, 64, 1, bias=False), (64, 2, 2), id="two dimensions"),
        pytest.param(
            lambda: nn.Conv3d(64, 64, 1, bias=False), (64, 2, 2, 1), id="three dimensions"
        ),
    ],
)
def test_random_weights_keep_the_scale_through_forty_layers(
    make: Callable[[], nn.Module], shape: tuple[int, ...]
) -> None:
    with torch.device("meta"):
        module = nn.Sequential(*(nn.Sequential(make(), nn.ReLU()) for _ in range(40)))
    torch.manual_seed(0)
    with torch.no_grad():
        # torch's own weights would make each layer's variance a sixth
        assert 1e-3 < float(with_values(module)(torch.randn(16, *shape)).std()) < 1e3


def test_parameters_that_no_layer_can_reset_are_finite_and_no_denormals() -> None:
    class Scaled(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.scale = nn.Parameter(torch.ones(8))
            self.register_buffer("shift", torch.ones(8))
            self.register_buffer("order", torch.arange(8))
            self.register_buffer("mask", torch.ones(8, dtype=torch.bool))

    with torch.device("meta"):
        module = Scaled()
    copy = with_values(module)
    for tensor in (copy.scale, copy.shift):
        assert tensor.isfinite().all()
        assert (tensor.abs() > 1e-6).all()
    assert copy.order.dtype == torch.int64
    assert (copy.order >= 0).all()  # it indexes anything
    assert (copy.order < 8).all()
    assert isinstance(copy.scale, nn.Parameter)


def test_buffers_of_a_made_model_have_the_values_that_its_maker_gives_them() -> None:
    class Indexed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = conv()
            self.register_buffer("order", torch.arange(7, -1, -1))

    with torch.device("meta"):
        module = Indexed()
    assert with_values(module, Indexed).order.tolist() == [7, 6, 5, 4, 3, 2, 1, 0]


def test_values_that_are_there_stay_beside_those_that_are_made() -> None:
    class Half(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(8, 8, 3, device="meta")
            self.scale = nn.Parameter(torch.full((8,), 3.0))
            self.register_buffer("order", torch.arange(8))

    copy = with_values(Half())
    assert copy.order.tolist() == list(range(8))
    assert copy.scale.tolist() == [3.0] * 8


@pytest.mark.parametrize("layout", ["contiguous", "channels_last"])
def test_arguments_get_values_of_their_kind(layout: str) -> None:
    given = {
        "image": TensorSpec((2, 3, 4, 5)),
        "words": TensorSpec((2, 7), "int64"),
        "mask": TensorSpec((2, 7), "bool"),
        "nested": [torch.full((2, 3), 4.0), (torch.tensor([5, 6]), 0.25)],
        "names": SimpleNamespace(kept=True),
    }
    values = (
        arguments_of(given).with_values(device="cpu", dtype="bfloat16", memory_format=layout).kwargs
    )
    image = values["image"]
    assert (image.shape, image.dtype) == ((2, 3, 4, 5), torch.bfloat16)
    assert image.is_contiguous(
        memory_format=getattr(torch, f"{layout}_format" if layout == "contiguous" else layout)
    )
    assert image.isfinite().all()
    assert 0.3 < image.float().std() < 3
    assert torch.equal(values["words"], torch.zeros(2, 7, dtype=torch.int64))
    assert values["mask"].all()
    assert values["mask"].dtype == torch.bool
    first, (second, number) = values["nested"]
    assert torch.equal(first, torch.full((2, 3), 4.0, dtype=torch.bfloat16))
    assert torch.equal(second, torch.tensor([5, 6]))
    assert number == 0.25
    assert values["names"].kept
    assert given["nested"][0].dtype == torch.float32  # as it was
