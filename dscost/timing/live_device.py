"""A device of this machine, ready to be measured."""

from collections.abc import Mapping
from math import ceil, sqrt
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from dscost.errors import UnavailableError
from dscost.foreign.memory import available_bytes
from dscost.foreign.processor import cpu_name
from dscost.layers.convolution import ConvSpec, Shape, conv2d
from dscost.modules.building import placed, random_input
from dscost.modules.convs import torch_conv
from dscost.networks.network import cost_of
from dscost.notation.units import dtype_bytes
from dscost.reports.figures import Cost
from dscost.timing.cuda import CudaTimer, l2_bytes, why_no_cuda
from dscost.timing.engine import Call, Clock, CpuTimer, Timer

LLC_BYTES = 32 << 20
"""Of the last-level cache, where the system does not tell."""
LEAST_ARRAY_BYTES, MOST_ARRAY_BYTES = 8 << 20, 256 << 20
OF_FREE = 1 / 16
"""Each of the three arrays takes no more of the memory that can still be had."""

CUDA_BATCH, CUDA_SIDE = 32, 8192
"""A device with thousands of lanes is not busy with one input or a small matrix."""


class Conv(NamedTuple):
    """A convolution that keeps the size of its square input: channels in and out, two sides."""

    channels: tuple[int, int]
    kernel: int
    size: int
    depthwise: bool = False

    @property
    def spec(self) -> ConvSpec:
        """The convolution as data."""
        groups = self.channels[0] if self.depthwise else 1
        return conv2d(*self.channels, self.kernel, padding=self.kernel // 2, groups=groups)


class LiveDevice(NamedTuple):
    """A device of this machine, ready to be measured.

    Args:
        device: `cpu` or `cuda`.
        place: Where its tensors live: the device itself, but for tests.
        name: As people call it.
        dtype: Data type of weights and activations.
        threads: How many torch computes with; `None` on CUDA.
        timer: Times blocks of calls on it.
        clock: Returns seconds, to keep within the time.
        cache_bytes: Size of its last-level cache.
        free_bytes: Memory that can still be had, where that is known.
        batch: Inputs of a convolution.
        side: Side of the matrices of the large product.
        versions: Of what it is measured with.
    """

    device: str
    place: str
    name: str
    dtype: str
    threads: int | None
    timer: Timer
    clock: Clock
    cache_bytes: int
    free_bytes: int | None
    batch: int
    side: int
    versions: Mapping[str, str]

    @property
    def array_bytes(self) -> int:
        """Of each of the three arrays of the triad: four times the cache, within reason."""
        free_bytes = MOST_ARRAY_BYTES if self.free_bytes is None else int(self.free_bytes * OF_FREE)
        return max(LEAST_ARRAY_BYTES, min(4 * self.cache_bytes, free_bytes, MOST_ARRAY_BYTES))

    @property
    def torch_dtype(self) -> torch.dtype:
        """Its dtype as torch knows it."""
        dtype: torch.dtype = getattr(torch, self.dtype)
        return dtype

    def random(self, *shape: int) -> Tensor:
        """Return normally distributed values."""
        return torch.randn(*shape, device=self.place).to(self.torch_dtype)

    def block_s(self, call: Call, count: int = 1) -> float:
        """Return the time of one call, from a block of so many."""
        return self.timer([(call, count)])[0].seconds

    def conv(self, conv: Conv, memory_format: str) -> Call:
        """Return what runs a convolution; as a module, since that is how layers are called."""
        place = {"device": self.place, "dtype": self.dtype, "memory_format": memory_format}
        module = placed(torch_conv(conv.spec), **place)
        x = random_input(self.shape(conv), **place)
        return lambda: module(x)

    def cost(self, conv: Conv) -> Cost:
        """Return what a convolution costs on paper."""
        shape = self.shape(conv)
        return cost_of(conv.spec, (shape,), conv.spec.output_shape(shape), dtype_bytes(self.dtype))

    def shape(self, conv: Conv) -> Shape:
        """Return the shape of its input."""
        return (self.batch, conv.channels[0], conv.size, conv.size)


def live_device(device: str, dtype: str, threads: int, clock: Clock) -> LiveDevice:
    """Return a device of this machine, ready to be measured.

    Raises:
        UnavailableError: There is no such device.
    """
    dtype_bytes(dtype)
    versions = {"torch": str(torch.__version__)}
    if device == "cpu":
        return LiveDevice(
            device=device,
            place=device,
            name=cpu_name(),
            dtype=dtype,
            threads=threads,
            timer=CpuTimer(clock),
            clock=clock,
            cache_bytes=last_level_cache_bytes(threads),
            free_bytes=available_bytes(),
            batch=1,
            side=512 * ceil(sqrt(threads)),
            versions=versions,
        )
    missing = why_no_cuda()
    if missing:
        raise UnavailableError(missing)
    cudnn: object = torch.backends.cudnn.version()  # type: ignore[no-untyped-call]
    return LiveDevice(
        device=device,
        place=device,
        name=torch.cuda.get_device_name(),
        dtype=dtype,
        threads=None,
        timer=CudaTimer(),
        clock=clock,
        cache_bytes=l2_bytes(),
        free_bytes=torch.cuda.mem_get_info()[0],
        batch=CUDA_BATCH,
        side=CUDA_SIDE,
        versions={**versions, "cuda": str(torch.version.cuda), "cudnn": str(cudnn)},
    )


def last_level_cache_bytes(threads: int, folder: Path = Path("/sys/devices/system/cpu")) -> int:
    """Return the size of the largest caches that so many threads may use together."""
    sizes: dict[str, int] = {}
    for index in folder.glob("cpu[0-9]*/cache/index[0-9]*"):
        try:
            owners, size = (
                (index / name).read_text(encoding="ascii").strip()
                for name in ("shared_cpu_list", "size")
            )
            sizes[owners] = max(sizes.get(owners, 0), _size(size))
        except (OSError, ValueError):
            continue
    largest = max(sizes.values(), default=0)
    return largest * min(threads, sum(size == largest for size in sizes.values())) or LLC_BYTES


def _size(text: str) -> int:
    units = {"K": 1 << 10, "M": 1 << 20, "G": 1 << 30}
    return int(text[:-1]) * units[text[-1]] if text[-1:] in units else int(text)
