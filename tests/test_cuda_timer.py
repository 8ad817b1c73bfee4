"""The timer of CUDA on a made-up device, which works off what was enqueued when somebody waits for it."""

import ctypes
import gc
import subprocess
import sys
import weakref
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from dscost.timing import cuda
from dscost.timing.cuda import CudaTimer, Nvml, fixed_flags, replayed, why_no_cuda
from dscost.timing.engine import Case, compare


class FakeDevice:
    """A stream: calls and events are noted down in order, and take place at the next synchronisation."""

    def __init__(self) -> None:
        self.now_s = 0.0
        self.waiting: list[Callable[[], None]] = []
        self.log: list[str] = []

    def enqueue(self, name: str, seconds: float = 0.0) -> None:
        def work() -> None:
            self.now_s += seconds

        self.log.append(name)
        self.waiting.append(work)

    def synchronize(self) -> None:
        self.log.append("synchronize")
        for work in self.waiting:
            work()
        self.waiting.clear()

    def taking(self, name: str, seconds: float) -> Callable[[], None]:
        return lambda: self.enqueue(name, seconds)

    def event(self, *, enable_timing: bool = False) -> "FakeEvent":
        assert enable_timing
        return FakeEvent(self)


class FakeEvent:
    def __init__(self, device: FakeDevice) -> None:
        self.device = device
        self.at_s: float | None = None

    def record(self) -> None:
        def work() -> None:
            self.at_s = self.device.now_s

        self.device.log.append("|")
        self.device.waiting.append(work)

    def elapsed_time(self, end: "FakeEvent") -> float:
        if self.at_s is None or end.at_s is None:
            raise RuntimeError("Both events must be completed before calculating elapsed time.")
        return (end.at_s - self.at_s) * 1e3  # torch tells milliseconds


class FakeBuffer:
    def __init__(self, device: FakeDevice) -> None:
        self.device = device

    def zero_(self) -> "FakeBuffer":
        self.device.enqueue("flush", 1.0)
        return self


@pytest.fixture
def device(monkeypatch: pytest.MonkeyPatch) -> FakeDevice:
    fake = FakeDevice()
    monkeypatch.setattr(torch.cuda, "Event", fake.event)
    monkeypatch.setattr(torch.cuda, "synchronize", fake.synchronize)
    return fake


@pytest.fixture
def made(device: FakeDevice, monkeypatch: pytest.MonkeyPatch) -> list[tuple[Any, ...]]:
    """Let a buffer be made on the device; returns the arguments of every one that was."""
    found: list[tuple[Any, ...]] = []

    def empty(*shape: int, dtype: torch.dtype, device: str) -> FakeBuffer:
        found.append((*shape, dtype, device))
        return FakeBuffer(fake)

    fake = device
    monkeypatch.setattr(torch, "empty", empty)
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 0)
    monkeypatch.setattr(
        torch.cuda, "get_device_properties", lambda at: SimpleNamespace(L2_cache_size=6 << 20)
    )
    return found


def test_events_of_a_block_give_seconds_per_call(device: FakeDevice) -> None:
    a, b = device.taking("a", 3e-4), device.taking("b", 5e-5)
    blocks = CudaTimer()([(a, 4), (b, 20), (b, 20), (a, 4)])
    assert [block.seconds for block in blocks] == pytest.approx([3e-4, 5e-5, 5e-5, 3e-4])
    assert [(block.switches, block.faults, block.disturbed) for block in blocks] == [
        (None, None, False)
    ] * 4


def test_a_whole_quartet_is_enqueued_before_anybody_waits_for_it(device: FakeDevice) -> None:
    a, b = device.taking("a", 1e-3), device.taking("b", 1e-3)
    timer = CudaTimer()
    for _ in range(3):
        timer([(a, 2), (b, 1), (b, 1), (a, 2)])
    # an untimed call before every block; the events stand around the timed ones
    assert "".join(device.log) == "a|aa|b|b|b|b|a|aa|synchronize" * 3


def test_a_cold_timer_flushes_the_cache_before_every_timed_call_and_does_not_time_it(
    device: FakeDevice, made: list[tuple[Any, ...]]
) -> None:
    a, b = device.taking("a", 2e-3), device.taking("b", 1e-3)
    blocks = CudaTimer(cold=True)([(a, 3), (b, 1)])
    assert "".join(device.log) == "a" + "flush|a|" * 3 + "b" + "flush|b|" + "synchronize"
    assert [block.seconds for block in blocks] == pytest.approx([2e-3, 1e-3])


def test_a_cold_block_has_few_calls(device: FakeDevice, made: list[tuple[Any, ...]]) -> None:
    assert CudaTimer(cold=True).most_calls == cuda.MOST_COLD_CALLS == 8
    assert CudaTimer().most_calls is None

    # 150 calls of 10 µs would make a block, 3 of 0.5 ms do
    timer, runs = CudaTimer(cold=True), []

    def counted(blocks: Any) -> Any:
        runs.append([count for _, count in blocks])
        return timer(blocks)

    counted.most_calls = timer.most_calls  # type: ignore[attr-defined]
    a, b = device.taking("a", 1e-5), device.taking("b", 5e-4)
    (result,) = compare([Case("x", a, b, counted)], budget_s=60, clock=lambda: 0.0)  # type: ignore[arg-type]
    assert {tuple(sorted(counts)) for counts in runs[2:]} == {(3, 3, 8, 8)}
    assert result.first_s == pytest.approx([1e-5] * len(result.first_s))


@pytest.mark.parametrize(
    ("properties", "size"),
    [
        ({"L2_cache_size": 50 << 20}, 50 << 20),
        ({"L2_cache_size": 0}, cuda.L2_BYTES),
        ({}, cuda.L2_BYTES),
    ],
    ids=["told", "told to be nothing", "not told"],
)
def test_a_flush_writes_exactly_the_size_of_the_cache(
    properties: dict[str, int],
    size: int,
    device: FakeDevice,
    made: list[tuple[Any, ...]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(
        torch.cuda, "get_device_properties", lambda at: SimpleNamespace(**properties)
    )
    CudaTimer(cold=True)
    assert made == [(size, torch.uint8, "cuda")]


@pytest.mark.parametrize(
    ("share", "disturbed"),
    [(1.0, False), (0.75, False), (0.74, True), (0.2, True), (None, False)],
    ids=["full", "just enough", "just too slow", "slow", "unknown"],
)
def test_a_clock_under_three_quarters_marks_every_block_of_the_quartet(
    share: float | None, disturbed: bool, device: FakeDevice
) -> None:
    a = device.taking("a", 1e-3)
    blocks = CudaTimer(clock_share=lambda: share)([(a, 1)] * 4)
    assert [block.disturbed for block in blocks] == [disturbed] * 4


def test_the_clock_is_read_once_the_device_has_worked(device: FakeDevice) -> None:
    a = device.taking("a", 1e-3)

    def share() -> float:
        device.log.append("clock")
        return 1.0

    CudaTimer(clock_share=share)([(a, 1), (a, 1)])
    assert device.log[-2:] == ["synchronize", "clock"]


def test_a_call_too_short_to_be_seen_does_not_take_no_time(device: FakeDevice) -> None:
    (block,) = CudaTimer()([(device.taking("a", 0.0), 5)])
    assert 0 < block.seconds < 1e-9


def test_the_result_of_a_call_is_dropped_before_the_next_one(device: FakeDevice) -> None:
    # so that the next call writes where this one did, as in a program that goes on; results kept alive
    # need memory for a whole block of them, and every call gets fresh memory
    class Result:
        pass

    alive: list[weakref.ref[Result]] = []
    most = 0

    def call() -> Result:
        nonlocal most
        most = max(most, sum(one() is not None for one in alive))
        result = Result()
        alive.append(weakref.ref(result))
        return result

    gc.collect()
    CudaTimer()([(call, 50)])
    assert most <= 1


# -- graphs


@pytest.fixture
def graphs(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Let streams and graphs only note down what happens to them."""
    log: list[str] = []

    class Stream:
        def __init__(self, name: str = "own") -> None:
            self.name = name

        def wait_stream(self, other: "Stream") -> None:
            log.append(f"{self.name} waits for {other.name}")

    class Inside:
        def __init__(self, name: str) -> None:
            self.name = name

        def __enter__(self) -> None:
            log.append(f"in {self.name}")

        def __exit__(self, *_: object) -> None:
            log.append("out")

    class Graph:
        def replay(self) -> None:
            log.append("replay")

    main = Stream("main")
    monkeypatch.setattr(torch.cuda, "Stream", Stream)
    monkeypatch.setattr(torch.cuda, "current_stream", lambda: main)
    monkeypatch.setattr(torch.cuda, "stream", lambda stream: Inside(stream.name))
    monkeypatch.setattr(torch.cuda, "CUDAGraph", Graph)
    monkeypatch.setattr(torch.cuda, "graph", lambda graph: Inside("graph"))
    return log


def test_a_call_is_warmed_on_a_stream_of_its_own_and_captured_once(graphs: list[str]) -> None:
    replay = replayed(lambda: graphs.append("call"))
    assert graphs == [
        "own waits for main",
        *("in own", "call", "call", "call", "out"),
        "main waits for own",
        *("in graph", "call", "out"),
    ]
    replay()
    assert graphs[-1] == "replay"


def test_a_graph_keeps_alive_what_it_reads_and_writes(graphs: list[str]) -> None:
    # it keeps addresses only: freed memory would be given to the next thing that is built
    class Tensor:
        pass

    given, results = Tensor(), []

    def call(x: Tensor = given) -> Tensor:
        result = Tensor()
        results.append(weakref.ref(result))
        return result

    read, replay = weakref.ref(given), replayed(call)
    del given, call
    gc.collect()
    assert read() is not None
    assert [result() is not None for result in results] == [
        False,
        False,
        False,
        True,
    ]  # that of the capture
    replay()
    assert graphs[-1] == "replay"
    assert len(results) == 4
    del replay
    gc.collect()
    assert read() is None
    assert results[-1]() is None


# -- flags


@pytest.mark.parametrize(
    "before", [(True, True, False), (False, False, True)], ids=["torch's own", "ours"]
)
@pytest.mark.parametrize("fails", [False, True], ids=["ends", "fails"])
def test_flags_that_speed_depends_on_are_fixed_told_and_put_back(
    before: tuple[bool, bool, bool], fails: bool
) -> None:
    matmul, cudnn = torch.backends.cuda.matmul, torch.backends.cudnn
    own = matmul.allow_tf32, cudnn.allow_tf32, cudnn.benchmark
    matmul.allow_tf32, cudnn.allow_tf32, cudnn.benchmark = before
    try:
        try:
            with fixed_flags() as told:
                assert (matmul.allow_tf32, cudnn.allow_tf32, cudnn.benchmark) == (
                    False,
                    False,
                    True,
                )
                assert (told["tf32"], told["cudnn.benchmark"]) == ("off", "on")
                assert "cudnn" in told
                if fails:
                    raise KeyboardInterrupt
        except KeyboardInterrupt:
            assert fails
        assert (matmul.allow_tf32, cudnn.allow_tf32, cudnn.benchmark) == before
    finally:
        matmul.allow_tf32, cudnn.allow_tf32, cudnn.benchmark = own


@pytest.mark.parametrize("refused", range(3))
def test_flags_are_put_back_where_one_of_them_cannot_be_set(
    refused: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Owner:
        def __init__(self, at: int) -> None:
            self.__dict__.update(flag="before", at=at)

        def __setattr__(self, name: str, value: str) -> None:
            if value == "ours" and self.at == refused:
                raise RuntimeError("this device has no such thing")
            self.__dict__[name] = value

    cudnn = torch.backends.cudnn
    owners = [Owner(at) for at in range(3)]
    own = cudnn.benchmark
    monkeypatch.setattr(cuda, "_tf32_flags", lambda: [(owner, "flag", "ours") for owner in owners])
    with pytest.raises(RuntimeError, match="no such thing"), fixed_flags():
        raise AssertionError("never begins")
    assert [owner.flag for owner in owners] == ["before"] * 3
    assert cudnn.benchmark == own


@pytest.mark.skipif(
    not hasattr(torch.backends.cuda.matmul, "fp32_precision"), reason="this torch has one way only"
)
def test_flags_set_in_the_newer_way_are_put_back_as_well() -> None:
    # each in a process of its own, and none of them ours: torch cannot be brought back from that way
    code = (
        "import os, torch\n"
        "from dscost.timing.cuda import fixed_flags\n"
        "b = torch.backends\n"
        "read = lambda: ['tf32' in (b.cuda.matmul.fp32_precision, b.fp32_precision), b.cudnn.conv.fp32_precision]\n"
        "for owner in (b, b.cuda.matmul, b.cudnn.conv):\n"
        "    if os.fork():\n"
        "        _, status = os.wait()\n"
        "        assert status == 0, owner\n"
        "        continue\n"
        "    owner.fp32_precision = 'tf32'\n"
        "    before = read()\n"
        "    with fixed_flags():\n"
        "        assert b.cuda.matmul.fp32_precision != 'tf32'\n"
        "        assert b.cudnn.conv.fp32_precision != 'tf32'\n"
        "    assert read() == before, read()\n"
        "    os._exit(0)\n"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr


# -- whether there is one


@pytest.mark.parametrize(
    ("built", "available", "reason"),
    [
        (True, True, None),
        (True, False, "torch finds no CUDA device"),
        (False, False, f"torch {torch.__version__} is built without CUDA"),
    ],
    ids=["there", "no device", "not built"],
)
def test_it_is_said_why_there_is_no_cuda(
    built: bool, available: bool, reason: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.backends.cuda, "is_built", lambda: built)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: available)
    assert why_no_cuda() == reason


def test_a_reason_is_given_exactly_where_torch_has_no_cuda() -> None:
    assert (why_no_cuda() is None) is torch.cuda.is_available()


# -- the clock


class FakeNvml:
    """A driver library: functions that return 0 when they succeed, and write where they are told to."""

    def __init__(
        self, *, init: int = 0, handle: int = 0, clock: int = 0, now: int = 1500, most: int = 2000
    ) -> None:
        self.nvmlInit_v2 = lambda: init
        self.nvmlDeviceGetHandleByIndex_v2 = lambda index, pointer: self._found(index, handle)
        self.nvmlDeviceGetHandleByUUID = lambda uuid, pointer: self._found(uuid, handle)
        self.nvmlDeviceGetClockInfo = self._writes(now, clock)
        self.nvmlDeviceGetMaxClockInfo = self._writes(most, clock)
        self.asked: list[int] = []
        self.devices: list[int | bytes] = []

    def _found(self, device: int | bytes, code: int) -> int:
        self.devices.append(device)
        return code

    def _writes(self, value: int, code: int) -> Callable[[Any, int, Any], int]:
        def function(handle: Any, kind: int, pointer: Any) -> int:
            self.asked.append(kind)
            pointer._obj.value = value
            return code

        return function


def test_without_the_library_of_the_driver_the_clock_is_unknown() -> None:
    assert Nvml(library="libdscost-has-no-such-library.so.1").clock_share() is None


@pytest.mark.parametrize(
    ("library", "share"),
    [
        (FakeNvml(), 0.75),
        (FakeNvml(now=0), 0.0),
        (FakeNvml(most=0), None),
        (FakeNvml(init=9), None),
        (FakeNvml(handle=6), None),
        (FakeNvml(clock=3), None),
    ],
    ids=["told", "asleep", "no largest", "driver not loaded", "no such device", "not supported"],
)
def test_the_clock_is_a_share_of_its_largest(
    library: FakeNvml, share: float | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ctypes, "CDLL", lambda name: library)
    for uuid in (None, "9d6f-1"):
        assert Nvml(uuid).clock_share() == share
    assert set(library.asked) <= {1}  # NVML_CLOCK_SM


@pytest.mark.parametrize(
    ("uuid", "device"), [(None, 0), ("9d6f1a2b-77", b"GPU-9d6f1a2b-77")], ids=["none", "given"]
)
def test_the_clock_is_that_of_the_device_with_the_name_that_torch_tells(
    uuid: str | None, device: int | bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    library = FakeNvml()
    monkeypatch.setattr(ctypes, "CDLL", lambda name: library)
    assert Nvml(uuid).clock_share() == 0.75
    assert library.devices == [device]
