"""Where work is timed under several settings: what was measured there, and what went wrong.

torch is imported only where it takes part.
"""

import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from math import ceil
from time import perf_counter
from typing import TYPE_CHECKING

from dscost.analysis.making import Making
from dscost.analysis.places import free_on_cuda, message_of, runs_no, versions_of, why_not_run
from dscost.analysis.running import Prepared, Work, prepared
from dscost.devices.roofline import Ceilings
from dscost.errors import UnavailableError
from dscost.foreign.memory import available_bytes
from dscost.foreign.processor import cpu_name
from dscost.notation.units import format_bytes, format_seconds
from dscost.reports.records import (
    SAME_WITHIN,
    UNKNOWN_FLOOR,
    Ceiling,
    Environment,
    Noise,
    Speedup,
    Untimed,
)
from dscost.runtimes import RUNTIMES, TORCH
from dscost.timing import Progress, Setting, Timed, TimingOptions
from dscost.timing.ceilings_file import known_ceilings
from dscost.timing.clocks import processor_clock
from dscost.timing.counters import process_counters
from dscost.timing.engine import Case, Clock, Timer, compare, warm
from dscost.timing.machine import Watch, default_threads, keep_freed_memory, load
from dscost.timing.samples import Measurement
from dscost.timing.statistics import noise_of, regime_spread, speedup_of

if TYPE_CHECKING:
    from dscost.timing.cuda import Nvml

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


@dataclass(slots=True)
class Bench:
    """A place to measure.

    Args:
        options: How.
        settings: Under which settings work will be measured.
        budget_s: Seconds for all of them.
        progress: Told the share of the time that is spent, and what is made or timed.
        clock: Returns seconds.
        budget_option: Which option the budget is of; nothing where it follows from what is timed.
    """

    options: TimingOptions
    settings: Sequence[Setting]
    budget_s: float
    progress: Progress | None = None
    clock: Clock = perf_counter
    budget_option: str = " (--time-budget)"
    warnings: list[str] = field(default_factory=list)
    untimed: list[Untimed] = field(default_factory=list)
    noise: list[Noise] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)
    threads: int = 1
    allocator: str = "system"
    noise_floors: dict[str, float] = field(default_factory=dict)
    cpu_floors: dict[str, float] = field(default_factory=dict)
    flags: Mapping[str, str] = field(default_factory=dict)
    failed: set[str] = field(default_factory=set)
    making: Making = field(default_factory=Making)
    _began: float = 0.0
    _cpu_clock: Clock | None = None
    _nvml: "Nvml | None" = None
    _no_cuda: str | None = None
    _loads: list[float | None] = field(default_factory=list)
    _timers: dict[str, Timer] = field(default_factory=dict)
    _ceilings: dict[tuple[str, str], Ceilings | None] = field(default_factory=dict)

    @property
    def budget(self) -> str:
        """The time budget in words."""
        return f"{format_seconds(self.budget_s)}{self.budget_option}"

    @property
    def has_torch(self) -> bool:
        """Whether torch takes part: it runs something, or has made what is to be run."""
        runs = any(RUNTIMES[setting.runtime].takes == "torch" for setting in self.settings)
        return runs or "torch" in sys.modules

    @contextmanager
    def open(self) -> Iterator[None]:
        """Prepare torch and the allocator, watch the machine, and put torch back afterwards.

        Raises:
            UnavailableError: All is to be measured on CUDA, and there is none; or the processor
                time of this system is too coarse for what is to be timed by it.
        """
        by_cpu = self.options.clock == "cpu"
        self._cpu_clock = processor_clock() if by_cpu else None
        self.threads = self.options.threads or (1 if by_cpu else default_threads())
        if self.options.allocator == "tuned" and keep_freed_memory():
            self.allocator = "tuned"
        self._began = self.clock()
        watch = Watch()
        self._loads = [watch.load]
        with ExitStack() as stack:
            if self.has_torch:
                from dscost.timing.quiet_torch import every_module_compiled, quiet_torch

                stack.enter_context(quiet_torch(self.threads, self.options.seed))
            self._open_cuda(stack)
            if any(setting.mode == "compile" for setting in self.settings):
                stack.enter_context(every_module_compiled())
            yield
        self._loads.append(load())
        for told in self.making.over(self.budget_s, self.budget):
            self.warn(told)
        for kind, (figure, most) in watch.figures().items():
            self._judge(kind, figure, most)

    def _open_cuda(self, stack: ExitStack) -> None:
        on_cuda = [setting.device == "cuda" for setting in self.settings]
        if not any(on_cuda):
            return
        from dscost.timing.cuda import Nvml, fixed_flags, why_no_cuda

        self._no_cuda = why_no_cuda()
        if self._no_cuda is None:
            self.flags = stack.enter_context(fixed_flags())
            import torch

            properties = torch.cuda.get_device_properties(torch.cuda.current_device())
            self._nvml = Nvml(str(properties.uuid))
            if self._nvml.clock_share() is None:
                self.unknown.append("gpu_clock")
        elif all(on_cuda):
            raise UnavailableError(f"--device cuda: {self._no_cuda}")

    # -- making

    def prepared(self, work: Work) -> Prepared | None:
        """Return work ready to be called; `None` with a warning where it cannot be timed."""
        reason = self._why_not(work)
        if reason:
            self.lack(work.name, f"Not timed: {reason}.")
            return None
        setting, options = work.setting, self.options
        if setting.runtime == TORCH and setting.device == "cpu" and self.allocator == "system":
            from dscost.timing.quiet_torch import used_before

            used_before(work.needed_bytes)
        self.tell(f"preparing {work.name}")
        try:
            return prepared(work, self.making, threads=self.threads, seed=options.program_seed)
        # what a runtime cannot run, and whatever a model's own code raises
        except Exception as error:  # noqa: BLE001
            self.lack(work.name, why_not_run(work, error))
            return None

    def _why_not(self, work: Work) -> str | None:
        is_cpu, dtype = work.setting.device == "cpu", work.setting.dtype
        if not is_cpu and self._no_cuda:
            return self._no_cuda
        fastest = FASTEST_MACS_PER_S[work.setting.device] * (self.threads if is_cpu else 1)
        if LEAST_CALLS * work.macs / fastest > self.budget_s:
            return f"{work.name} is too large for {self.budget}"
        memory = self.free_bytes(work.setting)
        if memory is not None and work.needed_bytes > MEMORY_SHARE * memory:
            needed, free = format_bytes(work.needed_bytes), format_bytes(memory)
            return f"{work.name} needs {needed} of memory, {free} are free"
        if dtype not in RUNTIMES[work.setting.runtime].dtypes:
            return runs_no(work.setting)
        return None

    def free_bytes(self, setting: Setting) -> int | None:
        """Return the memory that is left where a setting runs; `None` where nothing tells."""
        if setting.device == "cpu":
            return available_bytes()
        return None if self._no_cuda else free_on_cuda()

    def timer(self, setting: Setting) -> Timer | None:
        """Return how calls under a setting are timed; `None` on the CPU, the engine's own way."""
        if setting.device == "cpu":
            return None
        if setting.key not in self._timers:
            from dscost.timing.cuda import CudaTimer

            share = self._nvml.clock_share if self._nvml else lambda: None
            self._timers[setting.key] = CudaTimer(cold=setting.mode == "cold", clock_share=share)
        return self._timers[setting.key]

    def case(self, name: str, setting: Setting, first: Prepared, second: Prepared) -> Case:
        """Return what is to be compared under a setting."""
        again = first.again, second.again
        return Case(name, first.call, second.call, self.timer(setting), setting.where, again)

    # -- measuring

    def compare(
        self, cases: Sequence[Case], budget_s: float, *, against_itself: bool = True
    ) -> Mapping[str, Measurement]:
        """Return what was measured, by the name of the case; cases that did not fit are missing.

        The first call of the first case is timed against itself along with the others, once; not
        where something that takes less time will be.
        """
        if not cases:
            return {}
        itself: dict[str, Case] = {}
        for case in cases if against_itself else ():
            place = case.place
            if place not in self.noise_floors and place not in itself:
                name = AGAINST_ITSELF if place == "cpu" else f"{AGAINST_ITSELF} on {place}"
                itself[place] = Case(name, case.first, case.first, case.timer, place)
        every = [*cases, *itself.values()]
        results = compare(
            every,
            budget_s=max(budget_s, 0.01),
            precision=self.options.precision,
            counters=process_counters(),
            cpu_clock=self._cpu_clock,
            random=self.options.random(),
            progress=self._timing if self.progress else None,
            failed=self._failed,
        )
        self.tell("summing up")
        pairs = zip(every, results, strict=True)
        found = {case.name: result for case, result in pairs if result.rounds}
        for place, case in itself.items():
            aside = found.pop(case.name, None)
            by_cpu = aside and aside.by_cpu
            for floors, one in ((self.noise_floors, aside), (self.cpu_floors, by_cpu)):
                if one and len(one.log_ratios) >= LEAST_FLOOR_ROUNDS:
                    floors[place] = noise_of(one.log_ratios)
        for case in cases:
            if case.name in found:
                self._judge_comparison(case, found[case.name])
        return found

    def tell(self, doing: str) -> None:
        """Tell whoever shows progress what is being done, and how much of the time is spent."""
        if self.progress:
            spent_s = self.clock() - self._began
            self.progress(min(1.0, spent_s / self.budget_s), doing)

    def _timing(self, _: float | None, case: str) -> None:
        what = "the noise of this machine" if case.startswith(AGAINST_ITSELF) else case
        left_s = self._began + self.budget_s - self.clock()
        left = f", up to {ceil(left_s)} s left" if left_s > 0 else ""
        self.tell(Timed(f"timing {what}{left}"))

    def _failed(self, name: str, error: RuntimeError) -> None:
        self.failed.add(name)
        if not name.startswith(AGAINST_ITSELF):
            self.lack(name, f"Not timed: {name}: {message_of(error, 'it failed')}")

    def call_s(self, name: str, prepared: Prepared, setting: Setting) -> float | None:
        """Return about what a call takes, by a single one; `None` where it failed."""
        try:
            prepared.again()
            return warm(prepared.call, perf_counter, most_s=0.0, timer=self.timer(setting))
        except RuntimeError as error:
            self._failed(name, error)
            return None

    def is_late(self, case: str, compared: Mapping[str, Measurement]) -> bool:
        """Whether a comparison did not fit in the time."""
        return case not in compared and case not in self.failed

    def speedup(self, result: Measurement, setting: Setting) -> Speedup:
        """Return the speedup of a comparison, judged by the noise floor of its place."""
        floor = self.noise_floors.get(setting.where, UNKNOWN_FLOOR)
        return speedup_of(result.log_ratios, max(SAME_WITHIN, floor))

    def cpu_speedup(self, by_cpu: Measurement, setting: Setting) -> Speedup:
        """Return the ratio of processor times of what a comparison is by them, judged likewise."""
        floor = self.cpu_floors.get(setting.where, UNKNOWN_FLOOR)
        return speedup_of(by_cpu.log_ratios, max(SAME_WITHIN, floor))

    def ceilings(self, setting: Setting) -> Ceilings | None:
        """Return what the device can do in the setting's dtype, in all layouts that are measured.

        It is measured if need be, by torch; where it cannot be, it is `None`, with a warning.
        """
        key = (setting.device, setting.dtype)
        if key in self._ceilings or (setting.device == "cuda" and self._no_cuda):
            return self._ceilings.get(key)
        if setting.dtype not in RUNTIMES[TORCH].dtypes:
            return None  # what torch cannot compute it cannot measure
        if not self.has_torch:
            self._ceilings[key] = known_ceilings(setting.dtype, threads=self.threads)
            return self._ceilings[key]
        from dscost.timing.ceilings import Wanted, find_ceilings

        layouts = tuple(dict.fromkeys(one.memory_format for one in self.settings))
        wanted, found = Wanted(*key, self.threads, layouts), None
        self.tell("looking what this machine can do")
        try:
            found = find_ceilings(wanted, progress=self.progress).ceilings
        except UnavailableError as error:
            self.warn(f"No roofline: {error}")
        self.tell("summing up")
        self._ceilings[key] = found
        return found

    # -- what is said of it

    def warn(self, text: str) -> None:
        """Keep a warning for the report, once."""
        if text not in self.warnings:
            self.warnings.append(text)

    def lack(self, what: str, text: str) -> None:
        """Keep a warning that something was not timed, and what."""
        self.warn(text)
        lacking = Untimed(what, text)
        if lacking not in self.untimed:
            self.untimed.append(lacking)

    def _judge(self, kind: str, figure: float | None, limit: float, where: str = "") -> None:
        if figure is None:
            if kind not in self.unknown:
                self.unknown.append(kind)
        elif figure > limit:
            self.noise.append(Noise(kind, figure, limit, where))

    def _judge_comparison(self, case: Case, result: Measurement) -> None:
        name = case.name
        if case.timer is None:
            self._judge("context_switches", result.switched_share, MOST_SWITCHED, name)
            faults = [count for count in result.faults_per_call if count is not None]
            self._judge("page_faults", max(faults, default=None), MOST_FAULTS, name)
        ratios = [[quartet.log_ratio for quartet in quartets] for quartets in result.kept]
        spread = regime_spread(ratios)
        if spread is not None:
            self._judge("regimes", spread, MOST_REGIME_SPREAD, name)
        throttled = sum(block.disturbed for block in result.blocks)
        if throttled:
            from dscost.timing.cuda import LEAST_CLOCK

            self.noise.append(Noise("throttled", throttled / len(result.blocks), LEAST_CLOCK, name))

    def environment(self) -> Environment:
        """Return where and how things were measured."""
        devices, dtypes, layouts = (
            dict.fromkeys(getattr(setting, name) for setting in self.settings)
            for name in ("device", "dtype", "memory_format")
        )
        names = [cpu_name()] if "cpu" in devices else []
        if "cuda" in devices and not self._no_cuda:
            import torch

            names.append(torch.cuda.get_device_name())
        versions = versions_of(self.settings)
        return Environment(
            device=", ".join(names),
            threads=self.threads,
            dtype=", ".join(dtypes),
            memory_format=", ".join(layouts),
            allocator=self.allocator,
            torch_version=versions.pop(TORCH, ""),
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
            runtimes=versions,
            clock=self.options.clock,
            with_norm=self.options.with_norm,
            noise_floors=dict(self.noise_floors),
            cpu_noise_floors=dict(self.cpu_floors),
        )
