"""Measuring: an engine that compares callables, statistics of its samples, and the machine."""

from collections.abc import Callable, Sequence
from itertools import product
from random import Random
from typing import Any, NamedTuple

from dscost.errors import InputError, UnknownNameError
from dscost.layers.variants import MIN_CHANNELS
from dscost.notation.units import DTYPE_BYTES
from dscost.runtimes import TORCH

__all__ = [
    "ALLOCATORS",
    "CLOCKS",
    "CUDA_MODES",
    "DEVICES",
    "MAX_SETTINGS",
    "MEMORY_FORMATS",
    "MODES",
    "Progress",
    "Setting",
    "Timed",
    "TimingOptions",
    "batch_of",
    "dtype_of",
    "part_of",
    "place_of",
    "runtime_of",
]

Progress = Callable[[float | None, str], None]
"""Called with the share that is done, from 0 to 1 or `None` where nobody knows, and what is being
done."""


class Timed(str):
    """What is being timed: until told of the next thing, whoever shows progress disturbs it."""


def part_of(progress: Progress, begin: float, end: float) -> Progress:
    """Return what is told of a part of the work, from one share of it to another."""
    return lambda share, doing: progress(begin + (end - begin) * (share or 0.0), doing)


DEVICES = ("cpu", "cuda")
MEMORY_FORMATS = ("contiguous", "channels_last")
CLOCKS = ("wall", "cpu")
"""What passes on the wall, and the time that the processor spends on this process alone."""
MODES = ("eager", "compile", "graph", "cold")
"""As torch runs it; compiled by `torch.compile`; and on CUDA replayed as a graph, or with a cold
cache."""
CUDA_MODES = ("graph", "cold")
ALLOCATORS = ("tuned", "system")
MAX_THREADS = 4096
MAX_SETTINGS = 64


class Setting(NamedTuple):
    """One way to run a layer or a model; the batch is `None` where it is that of the report."""

    device: str = "cpu"
    dtype: str = "float32"
    memory_format: str = "contiguous"
    batch: int | None = None
    mode: str = "eager"
    runtime: str = TORCH

    @property
    def key(self) -> str:
        """The key of its measurements in a report: the device, then what differs from the defaults.

        >>> Setting("cuda", "float16", "channels_last").key
        'cuda:float16:channels_last'
        >>> Setting(dtype="int8", runtime="onnxruntime").key
        'cpu:onnxruntime:int8'
        """
        parts = [
            self.device,
            "" if self.runtime == TORCH else self.runtime,
            "" if self.dtype == "float32" else self.dtype,
            "" if self.memory_format == "contiguous" else self.memory_format,
            "" if self.batch is None else f"batch{self.batch}",
            "" if self.mode == "eager" else self.mode,
        ]
        return ":".join(filter(None, parts))

    @property
    def where(self) -> str:
        """The device, and the runtime where that is not torch."""
        return self.device if self.runtime == TORCH else f"{self.device}:{self.runtime}"

    @property
    def place(self) -> dict[str, str]:
        """Where weights and inputs lie, and how."""
        return {"device": self.device, "dtype": self.dtype, "memory_format": self.memory_format}


def batch_of(key: str, own: int) -> int:
    """Return how many inputs at once were measured under a key; `own` where it does not tell.

    >>> batch_of("cuda:batch8:graph", 1), batch_of("cpu", 2)
    (8, 2)
    """
    sizes = [int(part.removeprefix("batch")) for part in key.split(":") if part.startswith("batch")]
    return sizes[0] if sizes else own


def dtype_of(key: str) -> str:
    """Return the data type that was measured in under a key.

    >>> dtype_of("cpu:onnxruntime:int8"), dtype_of("cuda:float16:batch8"), dtype_of("cpu")
    ('int8', 'float16', 'float32')
    """
    return next((part for part in key.split(":") if part in DTYPE_BYTES), "float32")


def runtime_of(key: str) -> str:
    """Return what ran what was measured under a key.

    >>> runtime_of("cpu:onnxruntime:int8"), runtime_of("cuda:float16:batch8"), runtime_of("cpu")
    ('onnxruntime', 'torch', 'torch')
    """
    _, *others = key.split(":")
    first = others[0] if others else ""
    of_torch = ("", *DTYPE_BYTES, *MEMORY_FORMATS, *MODES)
    is_torch = first in of_torch or first.startswith("batch")
    return TORCH if is_torch else first


def place_of(key: str) -> str:
    """Return the device, and the runtime where that is not torch, of a key, as `Setting.where`.

    >>> place_of("cpu:onnxruntime:int8"), place_of("cuda:float16")
    ('cpu:onnxruntime', 'cuda')
    """
    device, runtime = key.partition(":")[0], runtime_of(key)
    return device if runtime == TORCH else f"{device}:{runtime}"


class _Options(NamedTuple):
    devices: tuple[str, ...] = ("cpu",)
    memory_formats: tuple[str, ...] = ()
    dtypes: tuple[str, ...] = ()
    batches: tuple[int, ...] = ()
    modes: tuple[str, ...] = ()
    runtimes: tuple[str, ...] = (TORCH,)
    clock: str = "wall"
    threads: int | None = None
    allocator: str = "tuned"
    budget_s: float | None = None
    precision: float = 0.02
    seed: int = 0
    skip_losing: bool = False
    min_channels: int = MIN_CHANNELS
    with_norm: bool = False
    profile: bool = False


class TimingOptions(_Options):
    """How to measure. Several values of one kind give every combination.

    Args:
        devices: Where to measure, of `DEVICES`.
        memory_formats: Layouts, of `MEMORY_FORMATS`; by default both for a layer, contiguous for a
            model.
        dtypes: Data types of weights and activations; by default that of the report.
        batches: Inputs at once; by default that of the report.
        modes: How torch runs it, of `MODES`; by default eager, on CUDA with a cold cache and as a
            graph as well.
        runtimes: What runs it, of `dscost list runtimes`; memory formats and modes are of torch
            alone, and all others run on the CPU.
        clock: `wall`, or `cpu` to time by the processor time of this process as well, which a busy
            machine disturbs less; that is of one thread on the CPU.
        threads: How many a runtime computes with; by default one less than the physical cores, and
            one by the clock `cpu`.
        allocator: `tuned` keeps freed memory, `system` leaves the allocator as it is.
        budget_s: Seconds that measuring may take; by default what suits a layer or a model.
        precision: Half-width of the interval of a speedup at which measuring stops, 0.02 for 2 %,
            by its rounds alone: what copies of a network differ by, 1 %, is part of every interval.
        seed: Seed of weights, inputs and the order of blocks.
        skip_losing: Whether the depthwise-separable model leaves layers standard that the swap
            makes slower.
        min_channels: A convolution of a model with fewer channels in or out is not advised to be
            swapped.
        with_norm: Whether the convolutions of a layer are timed with a batch normalisation and a
            ReLU after each, as networks have them.
        profile: Whether runtimes that have a profile of their own are asked for it.

    Raises:
        UnavailableError: A runtime is not installed.
        InputError: There is no such device, format, runtime or mode, or a number is out of range.
    """

    __slots__ = ()

    def __new__(cls, **given: Any) -> "TimingOptions":
        """Return options that hold."""
        options = super().__new__(cls, **given)
        options._check()
        return options

    def __getnewargs_ex__(self) -> tuple[tuple[()], dict[str, Any]]:
        """Return what a copy is made of, as in another process."""
        return (), self._asdict()

    @property
    def program_seed(self) -> int:
        """The seed as NumPy takes it, which knows no negative one."""
        return self.seed % 2**64

    @property
    def is_by_another(self) -> bool:
        """Whether a runtime other than torch takes part."""
        return any(name != TORCH for name in self.runtimes)

    def _check(self) -> None:
        for kind, given, known in (
            ("device", self.devices, DEVICES),
            ("memory format", self.memory_formats, MEMORY_FORMATS),
            ("dtype", self.dtypes, tuple(DTYPE_BYTES)),
            ("mode", self.modes, MODES),
            ("clock", (self.clock,), CLOCKS),
            ("allocator", (self.allocator,), ALLOCATORS),
        ):
            for name in given:
                if name not in known:
                    raise UnknownNameError(kind, name, known)
        if not self.devices:
            raise InputError(f"expected a device: {' or '.join(DEVICES)}")
        if not self.runtimes:
            raise InputError("expected a runtime, see dscost list runtimes")
        if self.is_by_another:
            self._check_runtimes()
        if self.clock == "cpu":
            self._check_clock()
        for mode in CUDA_MODES:
            if mode in self.modes and "cuda" not in self.devices:
                raise InputError(f"mode {mode} needs --device cuda")
        self._check_numbers()

    def _check_numbers(self) -> None:
        if self.budget_s is not None and not 0 < self.budget_s < 86_400:
            raise InputError(
                f"the time budget must be above 0 s and under a day, found {self.budget_s}"
            )
        if not 0 < self.precision <= 1:
            found = f"{100 * self.precision:g} %"
            raise InputError(f"the precision must be above 0 % and at most 100 %, found {found}")
        if self.threads is not None and not 1 <= self.threads <= MAX_THREADS:
            raise InputError(f"threads must be between 1 and {MAX_THREADS}, found {self.threads}")
        if not -(2**63) <= self.seed < 2**63:
            raise InputError(f"the seed must fit 64 bits, found {self.seed}")
        if self.min_channels < 1:
            raise InputError(f"min_channels must be at least 1, found {self.min_channels}")
        for batch in self.batches:
            if batch < 1:
                raise InputError(f"batch must be at least 1, found {batch}")

    def _check_runtimes(self) -> None:
        """Refuse runtimes that are not here, and what is asked of none that can do it."""
        from dscost.runtimes import find_runtimes

        dtypes = () if TORCH in self.runtimes else self.dtypes
        others = find_runtimes(self.runtimes, dtypes)
        if TORCH in self.runtimes:
            if "cpu" not in self.devices:
                told = f"--runtime {others[0].name} runs on the CPU"
                raise InputError(f"{told}, found --device cuda alone: add --device cpu")
            return
        of_torch = {
            "--device cuda": "cuda" in self.devices,
            "--memory-format": bool(self.memory_formats),
            "--mode": bool(self.modes),
        }
        for option, is_given in of_torch.items():
            if is_given:
                raise InputError(f"{option} is of --runtime torch, which is not asked for")

    def _check_clock(self) -> None:
        """Refuse processor time where it says nothing of latency."""
        if (self.threads or 1) > 1:
            raise InputError(
                f"--clock cpu is of one thread: with {self.threads} it is the time of all together"
            )
        if set(self.devices) != {"cpu"}:
            raise InputError("--clock cpu tells nothing of a device other than the CPU")

    def settings(self, *, dtype: str, batch: int, memory_formats: Sequence[str]) -> list[Setting]:
        """Return every setting to measure under, the simplest first.

        Args:
            dtype: Data type that the report was counted in.
            batch: Inputs at once in the report.
            memory_formats: Where none is asked for.

        Raises:
            InputError: There are too many.
        """
        dtypes, batches = self.dtypes or (dtype,), self.batches or (batch,)
        if len(self.runtimes) > 1:  # one row for each
            memory_formats = memory_formats[:1]
        found: dict[Setting, None] = {}
        several = product(self.devices, self.runtimes, dtypes, batches)
        for device, runtime, kind, size in several:
            if runtime != TORCH:
                if device == "cpu":
                    other = None if size == batch else size
                    found[Setting(dtype=kind, batch=other, runtime=runtime)] = None
                continue
            modes = self.modes or (("eager", *CUDA_MODES) if device == "cuda" else ("eager",))
            other = None if size == batch else size
            for mode, layout in product(modes, self.memory_formats or memory_formats):
                if device == "cuda" or mode not in CUDA_MODES:
                    found[Setting(device, kind, layout, other, mode)] = None
        if len(found) > MAX_SETTINGS:
            raise InputError(
                f"{len(found)} settings are too many to measure at once; at most {MAX_SETTINGS}"
            )
        return list(found)

    def random(self) -> Random:
        """Return the source of random order."""
        return Random(self.seed)
