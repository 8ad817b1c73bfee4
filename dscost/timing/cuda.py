"""Timing on a CUDA device, which works on its own: events mark the blocks on its stream."""

import ctypes
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch

from dscost.timing.engine import Call
from dscost.timing.samples import Block

LEAST_CLOCK = 0.75
"""Samples under this share of the largest clock are left out."""

L2_BYTES = 64 << 20
"""Of the cache, where the device does not tell."""

MOST_COLD_CALLS = 8
"""A flush takes longer than many a layer, so a cold block has few calls."""

WARM_CALLS = 3
"""Before a graph is captured, as torch advises."""


class CudaTimer:
    """Times blocks by events; a quartet is enqueued whole and waited for once.

    Args:
        cold: Whether the second-level cache is flushed before every call.
        clock_share: As `Nvml.clock_share`.
    """

    def __init__(
        self, *, cold: bool = False, clock_share: Callable[[], float | None] = lambda: None
    ) -> None:
        self._flush = _flusher() if cold else None
        self._clock_share = clock_share
        self.most_calls = MOST_COLD_CALLS if cold else None

    def __call__(self, blocks: Sequence[tuple[Call, int]]) -> list[Block]:
        """Run the blocks in order."""
        marks = [self._enqueue(call, count) for call, count in blocks]
        torch.cuda.synchronize()
        share = self._clock_share()
        throttled = share is not None and share < LEAST_CLOCK
        timed = []
        for pairs, (_, count) in zip(marks, blocks, strict=True):
            seconds = sum(start.elapsed_time(end) for start, end in pairs) / 1e3
            timed.append(Block(max(seconds, 1e-9) / count, disturbed=throttled))
        return timed

    def _enqueue(self, call: Call, count: int) -> list[tuple[Any, Any]]:
        call()
        if self._flush is None:
            return [_marked(lambda: _repeat(call, count))]
        pairs = []
        for _ in range(count):
            self._flush()
            pairs.append(_marked(call))
        return pairs


def _repeat(call: Call, count: int) -> None:
    for _ in range(count):  # each result is dropped before the next call
        call()


def _marked(call: Call) -> tuple[Any, Any]:
    event: Any = torch.cuda.Event
    start, end = event(enable_timing=True), event(enable_timing=True)
    start.record()
    call()
    end.record()
    return start, end


def _flusher() -> Call:
    """Return a call that fills the second-level cache with something else, exactly its size."""
    return torch.empty(l2_bytes(), dtype=torch.uint8, device="cuda").zero_


def l2_bytes() -> int:
    """Return the size of the second-level cache."""
    properties = torch.cuda.get_device_properties(torch.cuda.current_device())
    return int(getattr(properties, "L2_cache_size", 0)) or L2_BYTES


def replayed(call: Call) -> Call:
    """Return a call that replays the kernels of another one as a CUDA graph.

    Raises:
        RuntimeError: It does something that cannot be captured.
    """
    stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(WARM_CALLS):
            call()
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        result = call()

    # a graph keeps none of the memory that it reads
    def replay(_kept: tuple[Any, ...] = (call, result)) -> None:
        graph.replay()

    return replay


@contextmanager
def fixed_flags() -> Iterator[Mapping[str, str]]:
    """Fix what speed depends on, yield it in words, and put it back: no TF32, cuDNN's benchmark."""
    cudnn = torch.backends.cudnn
    flags: list[tuple[Any, str, Any]] = [*_tf32_flags(), (cudnn, "benchmark", True)]
    before = [getattr(owner, name) for owner, name, _ in flags]
    try:
        for owner, name, value in flags:
            setattr(owner, name, value)
        version: Any = cudnn.version
        yield {"tf32": "off", "cudnn.benchmark": "on", "cudnn": str(version())}
    finally:
        for (owner, name, _), value in zip(flags, before, strict=True):
            setattr(owner, name, value)


def _tf32_flags() -> list[tuple[Any, str, Any]]:
    """Return the flags of TF32 and their values without it; torch lets nobody mix its two ways."""
    matmul: Any = torch.backends.cuda.matmul
    cudnn: Any = torch.backends.cudnn
    try:
        _ = matmul.allow_tf32, cudnn.allow_tf32
    except RuntimeError:  # the newer way is in use
        return [(owner, "fp32_precision", "ieee") for owner in (matmul, cudnn.conv)]
    return [(matmul, "allow_tf32", False), (cudnn, "allow_tf32", False)]


def why_no_cuda() -> str | None:
    """Return why nothing can be measured on CUDA, or `None` where it can."""
    if torch.backends.cuda.is_built():  # type: ignore[no-untyped-call]
        return None if torch.cuda.is_available() else "torch finds no CUDA device"
    return f"torch {torch.__version__} is built without CUDA"


_NVML_SM_CLOCK = 1


class Nvml:
    """The clock of a device by the driver's own library; `None` where that is missing."""

    def __init__(self, uuid: str | None = None, library: str = "libnvidia-ml.so.1") -> None:
        self._nvml: Any = None
        self._handle = ctypes.c_void_p()
        try:
            nvml = ctypes.CDLL(library)
        except OSError:
            return
        if nvml.nvmlInit_v2() != 0:
            return
        # the driver counts all devices, torch those that it may see: only their name is sure
        found = ctypes.byref(self._handle)
        if uuid is None:
            failed = nvml.nvmlDeviceGetHandleByIndex_v2(0, found)
        else:
            failed = nvml.nvmlDeviceGetHandleByUUID(f"GPU-{uuid}".encode(), found)
        if not failed:
            self._nvml = nvml

    def clock_share(self) -> float | None:
        """Return the clock of the multiprocessors as a share of its largest."""
        now, most = self._read("nvmlDeviceGetClockInfo"), self._read("nvmlDeviceGetMaxClockInfo")
        return now / most if now is not None and most else None

    def _read(self, function: str) -> int | None:
        if self._nvml is None:
            return None
        value = ctypes.c_uint()
        failed = getattr(self._nvml, function)(self._handle, _NVML_SM_CLOCK, ctypes.byref(value))
        return None if failed else value.value
