"""Where things are built and timed under several settings, and what went wrong there."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from time import perf_counter
from typing import Any

import torch
from torch import nn

from dscost.devices.roofline import Ceilings
from dscost.errors import UnavailableError
from dscost.foreign.memory import available_bytes
from dscost.layers.others import Part
from dscost.modules.building import build_variant, placed, random_input
from dscost.notation.units import format_bytes, format_seconds
from dscost.reports.records import SAME_WITHIN, Ceiling, Environment, Noise, Speedup, Stage
from dscost.timing import Progress, Setting, TimingOptions
from dscost.timing.backends import backend_of
from dscost.timing.ceilings import Wanted, find_ceilings
from dscost.timing.counters import process_counters
from dscost.timing.cuda import LEAST_CLOCK, CudaTimer, Nvml, fixed_flags, replayed, why_no_cuda
from dscost.timing.engine import Call, Case, Timer, compare
from dscost.timing.machine import (
    Watch,
    cpu_name,
    default_threads,
    every_module_compiled,
    keep_freed_memory,
    load,
    quiet_torch,
    used_before,
)
from dscost.timing.samples import Measurement
from dscost.timing.statistics import noise_of, regime_spread, speedup_of
from dscost.tracing import Arguments

FASTEST_MACS_PER_S = {"cpu": 2e11, "cuda": 1e15}
"""More than one thread of a CPU, or a whole GPU, does; what would not fit in the time even so is
not built."""
LEAST_CALLS = 8
"""No comparison takes fewer calls of each side."""
MEMORY_SHARE = 0.8
"""Of the free memory that one thing may take."""

MOST_SWITCHED = 0.2
MOST_FAULTS = 10.0
MOST_REGIME_SPREAD = 3.0

AGAINST_ITSELF = "against itself"
"""The case that tells how noisy the machine is."""
LEAST_FLOOR_ROUNDS = 4
"""Fewer rounds of it tell nothing."""
UNKNOWN_FLOOR = 0.1
"""What is taken for the noise floor where the time did not suffice to find it."""


@dataclass(slots=True)
class Prepared:
    """Something that can be called, and what was found out while it was made.

    Args:
        call: Runs it once.
        backends: What torch computes each of its convolutions with, by name.
        compile_s: What `torch.compile` took.
    """

    call: Call
    backends: Mapping[str, str] = field(default_factory=dict)
    compile_s: float | None = None


@dataclass(slots=True)
class Bench:
    """A place to measure.

    Args:
        options: How.
        settings: Under which settings things will be measured.
        budget_s: Seconds for all of them.
    """

    options: TimingOptions
    settings: Sequence[Setting]
    budget_s: float
    warnings: list[str] = field(default_factory=list)
    noise: list[Noise] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)
    threads: int = 1
    allocator: str = "system"
    noise_floors: dict[str, float] = field(default_factory=dict)
    flags: Mapping[str, str] = field(default_factory=dict)
    _nvml: Nvml | None = None
    _no_cuda: str | None = None
    _loads: list[float | None] = field(default_factory=list)
    failed: set[str] = field(default_factory=set)
    _timers: dict[str, Timer] = field(default_factory=dict)
    _ceilings: dict[tuple[str, str], Ceilings | None] = field(default_factory=dict)

    @property
    def budget(self) -> str:
        """The time budget in words."""
        return f"{format_seconds(self.budget_s)} (--time-budget)"

    @contextmanager
    def open(self) -> Iterator[None]:
        """Prepare torch and the allocator, watch the machine, and put torch back afterwards.

        Raises:
            UnavailableError: All is to be measured on CUDA, and there is none.
        """
        self.threads = self.options.threads or default_threads()
        if self.options.allocator == "tuned":
            self.allocator = "tuned" if keep_freed_memory() else "system"
        watch = Watch()
        self._loads = [watch.load]
        with ExitStack() as stack:
            stack.enter_context(quiet_torch(self.threads, self.options.seed))
            if any(setting.device == "cuda" for setting in self.settings):
                self._no_cuda = why_no_cuda()
                if self._no_cuda and all(setting.device == "cuda" for setting in self.settings):
                    raise UnavailableError(f"--device cuda: {self._no_cuda}")
                if self._no_cuda is None:
                    self.flags = stack.enter_context(fixed_flags())
                    self._nvml = Nvml(
                        str(torch.cuda.get_device_properties(torch.cuda.current_device()).uuid)
                    )
                    if self._nvml.clock_share() is None:
                        self.unknown.append("gpu_clock")
            if any(setting.mode == "compile" for setting in self.settings):
                stack.enter_context(every_module_compiled())
            yield
        self._loads.append(load())
        for kind, (figure, most) in watch.figures().items():
            self._judge(kind, figure, most)

    def _judge(self, kind: str, figure: float | None, limit: float, where: str = "") -> None:
        if figure is None:
            if kind not in self.unknown:
                self.unknown.append(kind)
        elif figure > limit:
            self.noise.append(Noise(kind, figure, limit, where))

    def warn(self, text: str) -> None:
        """Keep a warning for the report, once."""
        if text not in self.warnings:
            self.warnings.append(text)

    # -- making things

    def stages(
        self, stages: Sequence[Stage], setting: Setting, parts: Sequence[Part] | None = None
    ) -> Prepared | None:
        """Return the stages of a variant as one call, or `None` with a warning.

        Args:
            stages: Its convolutions with their shapes and costs.
            setting: Where and how it runs.
            parts: What they compute, unless they are convolutions that run one after the other.
        """
        shape = stages[0].input_shape
        what = parts or tuple((stage.name, stage.conv) for stage in stages if stage.conv)
        return self.prepared(
            f"the {' + '.join(stage.name for stage in stages)} convolution",
            lambda: build_variant(what, shape),
            lambda: Arguments((random_input(shape, **setting.place),), {}),
            setting,
            macs=sum(stage.cost.macs for stage in stages),
            needed_bytes=sum(stage.cost.traffic_bytes for stage in stages),
        )

    def prepared(
        self,
        what: str,
        build: Callable[[], nn.Module],
        arguments: Callable[[], Arguments],
        setting: Setting,
        *,
        macs: int,
        needed_bytes: int,
    ) -> Prepared | None:
        """Return a module on its device, run once; `None` with a warning where it cannot be timed.

        Args:
            what: How warnings call it.
            build: Makes the module.
            arguments: Makes what it is called with.
            setting: Where and how it runs.
            macs: MACs of one call.
            needed_bytes: Memory that one call needs.
        """
        reason = self._why_not(what, setting, macs, needed_bytes)
        if reason:
            self.warn(f"Not timed: {reason}.")
            return None
        if setting.device == "cpu" and self.allocator == "system":
            used_before(needed_bytes)
        try:
            return self._running(placed(build(), **setting.place), arguments(), setting)
        # what torch cannot run, and whatever a model's own code raises
        except Exception as error:  # noqa: BLE001
            text = str(error).strip().splitlines() or [type(error).__name__]
            named = f"{what} in {setting.dtype} on {setting.device}"
            more = [part for part in setting.key.split(":")[1:] if part != setting.dtype]
            how = f" ({', '.join(more)})" if more else ""
            self.warn(f"Not timed: torch cannot run {named}{how}: {text[0]}")
            return None

    def _why_not(self, what: str, setting: Setting, macs: int, needed_bytes: int) -> str | None:
        if setting.device == "cuda" and self._no_cuda:
            return self._no_cuda
        fastest = FASTEST_MACS_PER_S[setting.device] * (
            self.threads if setting.device == "cpu" else 1
        )
        if LEAST_CALLS * macs / fastest > self.budget_s:
            return f"{what} is too large for {self.budget}"
        memory = available_bytes() if setting.device == "cpu" else _free_on_cuda()
        if memory is not None and needed_bytes > MEMORY_SHARE * memory:
            needed, free = format_bytes(needed_bytes), format_bytes(memory)
            return f"{what} needs {needed} of memory, {free} are free"
        if not getattr(torch, setting.dtype).is_floating_point:
            return f"torch runs no convolution in {setting.dtype} on {setting.device}"
        return None

    def _running(self, module: nn.Module, given: Arguments, setting: Setting) -> Prepared:
        args, kwargs = given
        module(*args, **kwargs)
        backends = _backends(module, *args) if len(args) == 1 and not kwargs else {}
        if setting.mode == "compile":
            compiled = torch.compile(module, dynamic=False)
            before = perf_counter()
            compiled(*args, **kwargs)
            return Prepared(lambda: compiled(*args, **kwargs), backends, perf_counter() - before)
        if kwargs:
            call: Call = lambda: module(*args, **kwargs)  # noqa: E731
        else:
            call = lambda: module(*args)  # noqa: E731
        return Prepared(replayed(call) if setting.mode == "graph" else call, backends)

    def timer(self, setting: Setting) -> Timer | None:
        """Return how calls under a setting are timed; `None` on the CPU, the engine's own way."""
        if setting.device == "cpu":
            return None
        if setting.key not in self._timers:
            share = self._nvml.clock_share if self._nvml else lambda: None
            self._timers[setting.key] = CudaTimer(cold=setting.mode == "cold", clock_share=share)
        return self._timers[setting.key]

    # -- measuring

    def compare(
        self, cases: Sequence[Case], budget_s: float, progress: Progress | None
    ) -> Mapping[str, Measurement]:
        """Return what was measured, by the name of the case; cases that did not fit are missing.

        The first call of the first case is timed against itself along with the others, once.
        """
        if not cases:
            return {}
        itself = {}
        for case in cases:
            device = _device(case)
            if device not in self.noise_floors and device not in itself:
                name = AGAINST_ITSELF if device == "cpu" else f"{AGAINST_ITSELF} on {device}"
                itself[device] = Case(name, case.first, case.first, case.timer)
        every = [*cases, *itself.values()]
        results = compare(
            every,
            budget_s=max(budget_s, 0.01),
            precision=self.options.precision,
            counters=process_counters(),
            random=self.options.random(),
            progress=progress,
            failed=self._failed,
        )
        found = {
            case.name: result for case, result in zip(every, results, strict=True) if result.rounds
        }
        for device, case in itself.items():
            aside = found.pop(case.name, None)
            if aside and len(aside.log_ratios) >= LEAST_FLOOR_ROUNDS:
                self.noise_floors[device] = noise_of(aside.log_ratios)
        for case in cases:
            if case.name in found:
                self._judge_comparison(case, found[case.name])
        return found

    def _failed(self, name: str, error: RuntimeError) -> None:
        self.failed.add(name)
        if not name.startswith(AGAINST_ITSELF):
            self.warn(f"Not timed: {name}: {(str(error).strip().splitlines() or ['it failed'])[0]}")

    def _judge_comparison(self, case: Case, result: Measurement) -> None:
        name = case.name
        if _device(case) == "cpu":
            self._judge("context_switches", result.switched_share, MOST_SWITCHED, name)
            faults = [count for count in result.faults_per_call if count is not None]
            self._judge("page_faults", max(faults, default=None), MOST_FAULTS, name)
        ratios = [[quartet.log_ratio for quartet in quartets] for quartets in result.kept]
        spread = regime_spread(ratios)
        if spread is not None:
            self._judge("regimes", spread, MOST_REGIME_SPREAD, name)
        throttled = sum(block.disturbed for block in result.blocks)
        if throttled:
            self.noise.append(Noise("throttled", throttled / len(result.blocks), LEAST_CLOCK, name))

    def speedup(self, result: Measurement, setting: Setting) -> Speedup:
        """Return the speedup of a comparison, judged by the noise floor of its device."""
        floor = self.noise_floors.get(setting.device, UNKNOWN_FLOOR)
        return speedup_of(result.log_ratios, max(SAME_WITHIN, floor))

    def ceilings(
        self, setting: Setting, memory_formats: Sequence[str], progress: Progress | None
    ) -> Ceilings | None:
        """Return what the device can do, measured if need be; `None` and a warning if it cannot."""
        key = (setting.device, setting.dtype)
        if key in self._ceilings or (setting.device == "cuda" and self._no_cuda):
            return self._ceilings.get(key)
        try:
            wanted = Wanted(setting.device, setting.dtype, self.threads, memory_formats)
            found: Ceilings | None = find_ceilings(wanted, progress=progress).ceilings
        except UnavailableError as error:
            self.warn(f"No roofline: {error}")
            found = None
        self._ceilings[key] = found
        return found

    def environment(self) -> Environment:
        """Return where and how things were measured."""
        devices = dict.fromkeys(setting.device for setting in self.settings)
        names = [cpu_name()] if "cpu" in devices else []
        if "cuda" in devices and not self._no_cuda:
            names.append(torch.cuda.get_device_name())
        return Environment(
            device=", ".join(names),
            threads=self.threads,
            dtype=", ".join(dict.fromkeys(setting.dtype for setting in self.settings)),
            memory_format=", ".join(
                dict.fromkeys(setting.memory_format for setting in self.settings)
            ),
            allocator=self.allocator,
            torch_version=torch.__version__,
            load_before=self._loads[0],
            load_after=self._loads[-1],
            noise_floor=max(self.noise_floors.values(), default=None),
            noise=tuple(self.noise),
            unknown=tuple(self.unknown),
            flags=self.flags,
            seed=self.options.seed,
            ceilings={
                f"{found.device}:{found.dtype}": Ceiling(found.flops_per_s, found.bytes_per_s)
                for found in self._ceilings.values()
                if found is not None
            },
        )


def _free_on_cuda() -> int:
    """Return what the driver has and what torch keeps without using it."""
    return (
        torch.cuda.mem_get_info()[0] + torch.cuda.memory_reserved() - torch.cuda.memory_allocated()
    )


def _device(case: Case) -> str:
    return "cpu" if case.timer is None else "cuda"


def _backends(module: nn.Module, x: Any) -> dict[str, str]:
    """Return the backends of a convolution, or of a chain of them by name; else none."""
    chain = dict(module.named_children()) if type(module) is nn.Sequential else {"": module}
    found: dict[str, str] = {}
    for name, conv in chain.items():
        backend = backend_of(conv, x)
        if backend is None:
            return found
        found[name] = backend
        x = conv(x)
    return found
