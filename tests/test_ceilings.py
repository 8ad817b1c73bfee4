import json
from collections.abc import Iterator, Sequence
from datetime import date
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from dscost.devices.roofline import Ceilings, Rate
from dscost.errors import UnavailableError, UnknownNameError
from dscost.reports.figures import Cost
from dscost.reports.records import Noise
from dscost.timing import ceilings as kept_ceilings
from dscost.timing import live_device as live_device_module
from dscost.timing import machine
from dscost.timing.calibration import (
    PEAK_EVERY,
    PEAKS,
    POINTS,
    TURNS,
    Sample,
    Triad,
    in_turns,
    measured,
    rate_of,
)
from dscost.timing.ceilings import METHOD, Found, Wanted, cache_folder, find_ceilings, is_fresh
from dscost.timing.cuda import CudaTimer
from dscost.timing.engine import Call
from dscost.timing.live_device import (
    LEAST_ARRAY_BYTES,
    LLC_BYTES,
    MOST_ARRAY_BYTES,
    LiveDevice,
    last_level_cache_bytes,
    live_device,
)
from dscost.timing.samples import Block

TODAY = date(2026, 11, 20)
MIB = 1 << 20


class FakeTimer:
    """Every call takes a millisecond; nothing is run."""

    def __init__(self) -> None:
        self.counts: list[int] = []

    def __call__(self, blocks: Sequence[tuple[Call, int]]) -> list[Block]:
        self.counts += [count for _, count in blocks]
        return [Block(1e-3) for _ in blocks]


def ticking(step_s: float) -> Iterator[float]:
    now = 0.0
    while True:
        yield now
        now += step_s


def made_up_device(step_s: float = 0.0, **changes: object) -> LiveDevice:
    times = ticking(step_s)
    live = LiveDevice(
        device="cpu",
        place="meta",
        name="a processor",
        dtype="float32",
        threads=1,
        timer=FakeTimer(),
        clock=lambda: next(times),
        cache_bytes=4 * MIB,
        free_bytes=None,
        batch=1,
        side=512,
        versions={"torch": "2.13"},
    )
    return live._replace(**changes)  # type: ignore[arg-type]


# -- measuring


def test_peak_and_bandwidth_are_the_best_that_was_seen() -> None:
    found = measured(made_up_device(), ["contiguous"], today=TODAY)
    # of all that is timed the 3×3 convolution of 256 channels at 40×40 does most, and here all take a millisecond
    assert found.flops_per_s == pytest.approx(2 * 40 * 40 * 256 * 256 * 9 / 1e-3)
    assert found.bytes_per_s == pytest.approx(3 * 16 * MIB / 1e-3)  # arrays of four times the cache
    assert found.measured_on == "2026-11-20"
    assert (found.device, found.name, found.threads) == ("cpu", "a processor", 1)
    assert found.versions == {"torch": "2.13"}
    assert found.curve == ()
    assert found.usual_error == 1.1
    assert set(found.rates) == {"dense:contiguous", "pointwise:contiguous", "depthwise:contiguous"}
    assert all(rate.t0_s == 1e-3 for rate in found.rates.values())


@pytest.mark.parametrize(
    ("of_memory", "bandwidth"),
    [(8e10, 8e10), (1e10, 3 * 16 * MIB / 1e-3)],
    ids=["faster by size of the working set", "slower"],
)
def test_the_bandwidth_is_the_best_of_memory_and_not_that_of_a_cache(
    of_memory: float, bandwidth: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    curve = ((96 * 1024, 9e13), (4 * MIB, 2e11), (3 * 16 * MIB, of_memory))
    monkeypatch.setattr(Triad, "curve", lambda self, say: curve)
    found = measured(made_up_device(), ["contiguous"], curve=True)
    assert found.bytes_per_s == pytest.approx(bandwidth)
    assert found.curve == curve


def test_every_layout_has_its_own_rates() -> None:
    found = measured(made_up_device(), ["contiguous", "channels_last"])
    assert set(found.rates) == {
        f"{kind}:{layout}" for kind in POINTS for layout in ("contiguous", "channels_last")
    }


def test_the_curve_begins_where_a_call_is_no_longer_its_fixed_time() -> None:
    class Linear(FakeTimer):
        """A microsecond per call and 1 GB/s."""

        def __call__(self, blocks: Sequence[tuple[Call, int]]) -> list[Block]:
            results = [call() for call, _ in blocks]
            return [
                Block(1e-6 + 12 * one.numel() / 1e9)
                for one in results
                if isinstance(one, torch.Tensor)
            ]

    triad = Triad(made_up_device(timer=Linear(), cache_bytes=2 * MIB))
    curve = triad.curve(lambda done: None)
    assert [size for size, _ in curve] == [96 * 1024 << shift for shift in range(9)]
    assert curve[-1][0] == triad.moved_bytes == 3 * 8 * MIB
    # the call on one element takes 12 ns more than nothing
    assert [speed for _, speed in curve] == pytest.approx([1e9] * 9, rel=1e-3)


def test_a_smaller_working_set_than_a_call_can_show_is_left_out() -> None:
    assert Triad(made_up_device()).curve(lambda done: None) == ()  # everything takes a millisecond


def test_progress_rises_to_the_end() -> None:
    seen: list[float] = []
    measured(
        made_up_device(), ["contiguous"], curve=True, progress=lambda done, doing: seen.append(done)
    )
    assert seen == sorted(seen)
    assert seen[0] == 0.0
    assert 0.8 <= seen[-1] < 1.0


def test_blocks_last_about_as_long_as_those_of_the_engine() -> None:
    class Quick(FakeTimer):
        def __call__(self, blocks: Sequence[tuple[Call, int]]) -> list[Block]:
            super().__call__(blocks)
            return [Block(1e-5) for _ in blocks]

    timer = Quick()
    in_turns(made_up_device(timer=timer), {"one": lambda: None}, lambda done: None)
    assert timer.counts == [1] + [150] * TURNS  # 1.5 ms


def test_what_may_reach_a_ceiling_is_left_out_of_turns_between() -> None:
    times = in_turns(
        made_up_device(),
        {"peak": lambda: None, "point": lambda: None},
        lambda done: None,
        now_and_then=["peak"],
    )
    assert len(times["point"]) == TURNS
    assert len(times["peak"]) == len(range(0, TURNS, PEAK_EVERY)) >= 3


def test_something_else_runs_before_each_block() -> None:
    order: list[str] = []

    class Running(FakeTimer):
        def __call__(self, blocks: Sequence[tuple[Call, int]]) -> list[Block]:
            for call, _ in blocks:
                call()
            return super().__call__(blocks)

    in_turns(
        made_up_device(timer=Running()),
        {"peak": lambda: order.append("peak"), "point": lambda: order.append("point")},
        lambda done: None,
        now_and_then=["peak"],
        before=lambda: order.append("before"),
    )
    assert order[:5] == ["peak", "point", "peak", "before", "point"]
    assert order.count("before") == TURNS


def test_a_slow_device_has_one_turn() -> None:
    times = in_turns(made_up_device(step_s=10.0), {"one": lambda: None}, lambda done: None)
    assert len(times["one"]) == 1


def test_whole_numbers_are_unavailable() -> None:
    with pytest.raises(
        UnavailableError, match=r"^torch cannot convolve int8: only floating-point numbers$"
    ):
        measured(made_up_device(dtype="int8"), ["contiguous"])


def test_what_torch_says_of_a_dtype_is_told_in_one_line() -> None:
    class Failing(FakeTimer):
        def __call__(self, blocks: Sequence[tuple[Call, int]]) -> list[Block]:
            raise RuntimeError("not implemented for 'Half'\nException raised from somewhere")

    with pytest.raises(
        UnavailableError,
        match=r"^torch cannot convolve float16 on cpu: not implemented for 'Half'$",
    ):
        measured(made_up_device(dtype="float16", timer=Failing()), ["contiguous"])


def test_real_calls_are_timed_by_the_clock_that_is_given() -> None:
    times = ticking(0.1)
    live = live_device("cpu", "float32", 1, lambda: next(times))._replace(cache_bytes=0, side=8)
    with torch.inference_mode():
        found = measured(live, ["channels_last"])
    # the clock is read before and after each block; calls that slow have blocks of one, and there is one turn
    assert found.flops_per_s == pytest.approx(2 * 40 * 40 * 256 * 256 * 9 / 0.1)
    assert found.bytes_per_s == pytest.approx(3 * LEAST_ARRAY_BYTES / 0.1)
    assert found.rates["depthwise:channels_last"].t0_s == pytest.approx(0.1)


@pytest.mark.parametrize(
    ("cache", "free", "size"),
    [
        (8 * MIB, None, 32 * MIB),
        (8 * MIB, 320 * MIB, 20 * MIB),  # a sixteenth of what is free
        (1024 * MIB, None, MOST_ARRAY_BYTES),
        (1024 * MIB, 10**15, MOST_ARRAY_BYTES),
        (0, None, LEAST_ARRAY_BYTES),
        (8 * MIB, 1, LEAST_ARRAY_BYTES),
    ],
)
def test_arrays_are_four_caches_long_within_reason(cache: int, free: int | None, size: int) -> None:
    assert made_up_device(cache_bytes=cache, free_bytes=free).array_bytes == size


# -- rates


def cost(flops: int, activation_bytes: int, weight_bytes: int) -> Cost:
    return Cost(0, flops // 2, weight_bytes, activation_bytes, 0, activation_bytes + weight_bytes)


SAMPLED = {name: made_up_device().cost(conv) for name, conv in POINTS["dense"].items()}
FREE = Rate(0.0)

per_s = st.floats(min_value=1e9, max_value=1e12)


@given(
    t0_s=st.floats(min_value=0.0, max_value=1e-4),
    flops_per_s=per_s,
    activations=st.floats(min_value=5e9, max_value=1e11),
    weights=st.floats(min_value=1e9, max_value=5e10),
)
def test_a_rate_explains_the_samples_that_it_was_made_of(
    t0_s: float, flops_per_s: float, activations: float, weights: float
) -> None:
    truth = Rate(t0_s, flops_per_s, activations, weights)
    samples = {name: Sample(truth.seconds(one, 128), one) for name, one in SAMPLED.items()}
    samples["t0"] = Sample(t0_s, SAMPLED["t0"])
    found = rate_of(samples)
    assert found.t0_s == t0_s
    for name, one in SAMPLED.items():
        if name != "t0":
            assert found.seconds(one, 128) == pytest.approx(truth.seconds(one, 128), rel=0.01)


def test_the_terms_are_told_apart() -> None:
    truth = Rate(10e-6, flops_per_s=100e9, activation_bytes_per_s=10e9, weight_bytes_per_s=4e9)
    samples = {name: Sample(truth.seconds(one, 128), one) for name, one in SAMPLED.items()}
    samples["t0"] = Sample(10e-6, SAMPLED["t0"])
    found = rate_of(samples)
    assert found.flops_per_s == pytest.approx(100e9, rel=1e-3)
    assert found.activation_bytes_per_s == pytest.approx(10e9, rel=1e-3)
    assert found.weight_bytes_per_s == pytest.approx(4e9, rel=1e-3)


def test_a_term_that_nothing_is_left_for_is_too_fast_to_be_seen() -> None:
    samples = {
        "t0": Sample(1e-5, cost(0, 0, 0)),
        "flops": Sample(1e-3, cost(10**8, 10**3, 0)),
        "activations": Sample(1e-5, cost(10**4, 10**6, 0)),
    }
    found = rate_of(samples)
    assert found.flops_per_s == pytest.approx(10**8 / (1e-3 - 1e-5))
    assert (found.activation_bytes_per_s, found.weight_bytes_per_s, found.least_channels) == (
        None,
        None,
        1.0,
    )


@pytest.mark.parametrize(("slower", "channels"), [(5.0, 15.0), (1.0, 3.0), (0.1, 1.0)])
def test_few_channels_tell_how_many_lanes_stay_empty(slower: float, channels: float) -> None:
    samples = {
        "t0": Sample(1e-5, cost(0, 0, 0)),
        "flops": Sample(1e-5 + 1e-3, cost(10**8, 0, 0)),
        "few": Sample(1e-5 + slower * 1e-4, cost(10**7, 0, 0)),
    }
    assert rate_of(samples, few_channels=3).least_channels == pytest.approx(channels)


def test_every_term_is_what_its_convolution_is_there_for() -> None:
    live = made_up_device()
    for points in POINTS.values():
        costs = {term: live.cost(conv) for term, conv in points.items()}
        assert max(costs, key=lambda term: costs[term].flops / costs[term].traffic_bytes) in (
            "flops",
            "weights",
        )
        assert costs["t0"].flops < 0.02 * min(
            cost.flops for term, cost in costs.items() if term != "t0"
        )
        if "weights" in costs:
            assert costs["weights"].weight_bytes == max(
                cost.weight_bytes for cost in costs.values()
            )
    assert len(PEAKS) == 2


# -- the machine


def write_cache(folder: Path, cpu: int, index: int, size: str, owners: str) -> None:
    place = folder / f"cpu{cpu}" / "cache" / f"index{index}"
    place.mkdir(parents=True)
    (place / "size").write_text(f"{size}\n")
    (place / "shared_cpu_list").write_text(f"{owners}\n")


def test_the_last_level_cache_is_the_largest(tmp_path: Path) -> None:
    for cpu in (0, 1):
        write_cache(tmp_path, cpu, 0, "32K", str(cpu))
        write_cache(tmp_path, cpu, 2, "1024K", str(cpu))
        write_cache(tmp_path, cpu, 3, "32768K", "0-1")
    assert last_level_cache_bytes(1, tmp_path) == 32 * MIB
    assert last_level_cache_bytes(2, tmp_path) == 32 * MIB


def test_threads_on_several_chiplets_have_several_caches(tmp_path: Path) -> None:
    for cpu in range(4):
        write_cache(tmp_path, cpu, 3, "16M", str(cpu))
    assert [last_level_cache_bytes(threads, tmp_path) for threads in (1, 3, 8)] == [
        16 * MIB,
        48 * MIB,
        64 * MIB,
    ]


def test_a_system_that_tells_nothing_of_its_caches_gets_a_sane_size(tmp_path: Path) -> None:
    assert last_level_cache_bytes(1, tmp_path) == LLC_BYTES
    write_cache(tmp_path, 0, 3, "much", "0")
    (tmp_path / "cpu0" / "cache" / "index4").mkdir()
    assert last_level_cache_bytes(1, tmp_path) == LLC_BYTES


def test_without_cuda_the_reason_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live_device_module, "why_no_cuda", lambda: "torch finds no CUDA device")
    with pytest.raises(UnavailableError, match=r"^torch finds no CUDA device$"):
        live_device("cuda", "float32", 1, lambda: 0.0)


def test_a_cuda_device_is_measured_on_itself_by_events(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live_device_module, "why_no_cuda", lambda: None)
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 0)
    monkeypatch.setattr(
        torch.cuda, "get_device_properties", lambda index: SimpleNamespace(L2_cache_size=50 * MIB)
    )
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "a GPU")
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda: (8 << 30, 16 << 30))
    live = live_device("cuda", "float16", 3, lambda: 0.0)
    assert (live.place, live.name, live.threads, live.cache_bytes) == (
        "cuda",
        "a GPU",
        None,
        50 * MIB,
    )
    assert live.array_bytes == 200 * MIB
    assert isinstance(live.timer, CudaTimer)
    found = measured(live._replace(place="meta", timer=FakeTimer()), ["channels_last"])
    assert found.flops_per_s == pytest.approx(2 * 8192**3 / 1e-3)
    assert (found.device, found.threads, found.dtype) == ("cuda", None, "float16")
    assert found.usual_error is None  # nobody has measured it there


def test_an_unknown_dtype_is_named() -> None:
    with pytest.raises(UnknownNameError, match="did you mean 'float32'"):
        live_device("cpu", "flaot32", 1, lambda: 0.0)


# -- what is kept


@pytest.fixture
def runs(monkeypatch: pytest.MonkeyPatch) -> list[Sequence[str]]:
    """Make measuring instant, and return the layouts of every run."""
    layouts: list[Sequence[str]] = []

    def fake(
        live: LiveDevice, memory_formats: Sequence[str], *, curve: bool = False, **_: object
    ) -> Ceilings:
        layouts.append(memory_formats)
        return Ceilings(
            device=live.device,
            name=live.name,
            dtype=live.dtype,
            threads=live.threads,
            flops_per_s=1e11,
            bytes_per_s=2e10,
            curve=((1024, 5e10),) if curve else (),
            rates={f"{kind}:{layout}": Rate(1e-6) for kind in POINTS for layout in memory_formats},
            measured_on=TODAY.isoformat(),
            versions=live.versions,
        )

    monkeypatch.setattr(kept_ceilings, "measured", fake)
    return layouts


@pytest.fixture(autouse=True)
def _the_machine_is_quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine.Watch, "noise", lambda self: ())


def test_what_was_measured_on_a_busy_machine_is_told_and_not_kept(
    tmp_path: Path, runs: list[Sequence[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = find(tmp_path)
    busy = (Noise("load", 4.0, 2.0),)
    monkeypatch.setattr(machine.Watch, "noise", lambda self: busy)
    found = find(tmp_path, refresh=True)
    assert (found.path, found.problem, found.noise, len(runs)) == (
        None,
        "the machine was busy",
        busy,
        2,
    )
    again = find(tmp_path)
    assert (again.from_cache, again.noise, again.path) == (True, (), kept.path)


def find(folder: Path, **changes: Any) -> Found:
    how: dict[str, Any] = {"today": TODAY, "folder": folder}
    how |= {name: changes.pop(name) for name in ("today", "refresh") if name in changes}
    return find_ceilings(Wanted("cpu", "float32", 1)._replace(**changes), **how)


def test_what_was_measured_is_kept_and_found_again(
    tmp_path: Path, runs: list[Sequence[str]]
) -> None:
    first, second = find(tmp_path / "below" / "this"), find(tmp_path / "below" / "this")
    assert (first.from_cache, second.from_cache) == (False, True)
    assert second.ceilings == first.ceilings
    assert first.path == second.path == tmp_path / "below" / "this" / "cpu-float32-1.json"
    assert len(runs) == 1


@pytest.mark.parametrize(
    ("changes", "measured_again"),
    [
        ({"today": date(2026, 12, 20)}, False),  # 30 days
        ({"today": date(2026, 12, 21)}, True),
        ({"today": date(2026, 11, 19)}, True),  # kept on a day to come
        ({"refresh": True}, True),
        ({"memory_formats": ("contiguous",)}, False),
        ({"curve": True}, True),
        ({"threads": 2}, True),
        ({"dtype": "bfloat16"}, True),
    ],
    ids=str,
)
def test_what_is_kept_is_taken_while_it_is_fresh_and_enough(
    tmp_path: Path, runs: list[Sequence[str]], changes: dict[str, object], measured_again: bool
) -> None:
    find(tmp_path)
    assert find(tmp_path, **changes).from_cache is not measured_again
    assert len(runs) == 1 + measured_again


def test_a_layout_that_is_missing_is_measured_with_those_that_are_kept(
    tmp_path: Path, runs: list[Sequence[str]]
) -> None:
    find(tmp_path, memory_formats=("contiguous",))
    both = find(tmp_path, memory_formats=("channels_last",))
    assert not both.from_cache
    assert set(runs[1]) == {"contiguous", "channels_last"}
    assert find(tmp_path).from_cache


def test_a_kept_curve_is_not_lost_when_something_else_is_missing(
    tmp_path: Path, runs: list[Sequence[str]]
) -> None:
    find(tmp_path, memory_formats=("contiguous",), curve=True)
    assert find(tmp_path, memory_formats=("channels_last",)).ceilings.curve == ((1024, 5e10),)


@pytest.mark.parametrize(
    "change",
    [
        {"name": "another processor"},
        {"versions": {"torch": "2.14"}},
        {"threads": 2},
        {"dtype": "float64"},
        {"device": "cuda"},
        {"measured_on": None},
        {"measured_on": "yesterday"},
    ],
    ids=str,
)
def test_another_machine_or_torch_is_not_this_one(change: dict[str, object]) -> None:
    live = made_up_device()
    own = measured(live, [], today=TODAY)
    assert is_fresh(own, live, TODAY)
    assert not is_fresh(own._replace(**change), live, TODAY)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b"\xff\xfe",
        b'{"method": 1}',
        b'{"method": 1, "ceilings": {"device": "cpu"}}',
        b"[" * 100_000,
    ],
    ids=["empty", "cut", "list", "null", "not text", "no ceilings", "half", "deep"],
)
def test_a_broken_file_is_measured_over(
    tmp_path: Path, runs: list[Sequence[str]], content: bytes
) -> None:
    path = tmp_path / "cpu-float32-1.json"
    path.write_bytes(content)
    assert not find(tmp_path).from_cache
    assert find(tmp_path).from_cache


def test_what_an_older_method_measured_is_not_taken(
    tmp_path: Path, runs: list[Sequence[str]]
) -> None:
    path = find(tmp_path).path
    assert path is not None
    document = json.loads(path.read_text())
    assert document["method"] == METHOD
    path.write_text(json.dumps({**document, "method": METHOD - 1}))
    assert not find(tmp_path).from_cache


def test_a_folder_that_cannot_be_written_is_no_error(
    tmp_path: Path, runs: list[Sequence[str]]
) -> None:
    (tmp_path / "file").write_text("in the way")
    found = find(tmp_path / "file" / "below")
    assert (found.from_cache, found.path) == (False, None)
    assert found.ceilings.flops_per_s == 1e11
    assert found.problem is not None
    assert found.problem.startswith("cannot make the folder")


def test_a_file_that_cannot_be_written_is_no_error(
    tmp_path: Path, runs: list[Sequence[str]]
) -> None:
    (tmp_path / "cpu-float32-1.json").symlink_to(tmp_path / "no" / "such" / "folder")
    found = find(tmp_path)
    assert found.path is None
    assert found.problem is not None
    assert found.problem.startswith("cannot write")


def test_a_system_without_a_home_keeps_nothing(
    tmp_path: Path, runs: list[Sequence[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kept_ceilings, "cache_folder", lambda: None)
    found = find_ceilings(Wanted("cpu", "float32", 1))
    assert (found.path, found.problem) == (None, "this system names no folder for caches")


HOME = Path("/home/ada")


@pytest.mark.parametrize(
    ("platform", "environment", "folder"),
    [
        ("linux", {}, HOME / ".cache"),
        ("linux", {"XDG_CACHE_HOME": "/var/cache/ada"}, Path("/var/cache/ada")),
        ("linux", {"XDG_CACHE_HOME": ""}, HOME / ".cache"),
        ("linux", {"XDG_CACHE_HOME": "relative/path"}, HOME / ".cache"),
        ("freebsd14", {}, HOME / ".cache"),
        ("darwin", {"XDG_CACHE_HOME": "/elsewhere"}, HOME / "Library" / "Caches"),
        ("win32", {"LOCALAPPDATA": "/Users/ada/Local"}, Path("/Users/ada/Local")),
        ("win32", {}, HOME / "AppData" / "Local"),
    ],
    ids=str,
)
def test_every_system_has_its_cache_folder(
    platform: str, environment: dict[str, str], folder: Path
) -> None:
    assert cache_folder(platform, environment, HOME) == folder / "dscost" / "ceilings"


def test_no_home_is_no_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    def homeless() -> Path:
        raise RuntimeError("no home")

    monkeypatch.setattr(Path, "home", homeless)
    assert cache_folder("linux", {}) is None
