"""The machine as the measurement needs it: threads, allocator, what else is going on. No torch."""

import ctypes
import os
from collections.abc import Mapping
from math import ceil
from pathlib import Path

from dscost.foreign.memory import CGROUP, lines_of
from dscost.reports.records import Noise
from dscost.timing.counters import cpu_pressure, processor_ticks, stolen_share

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
_KEPT_BYTES = 1 << 30


def default_threads(cpuinfo: Path = Path("/proc/cpuinfo")) -> int:
    """Return one less than the physical cores this process may use, at least 1; others need one."""
    usable = usable_cores()
    return max(1, min(usable, physical_cores(cpuinfo) or usable) - 1)


def usable_cores() -> int:
    """Return how many logical cores this process may use."""
    has_affinity = hasattr(os, "sched_getaffinity")
    cores = len(os.sched_getaffinity(0)) if has_affinity else os.cpu_count() or 1
    return max(1, min(cores, ceil(_granted_cores(CGROUP) or cores)))


def _granted_cores(folder: Path) -> float | None:
    """Return the processor time that a container has per second; `None` where nothing limits it."""
    quota, period, *_ = [*" ".join(lines_of(folder / "cpu.max")).split(), "", ""]
    is_limited = quota.isdecimal() and period.isdecimal() and int(period)
    return int(quota) / int(period) if is_limited else None


def physical_cores(cpuinfo: Path) -> int | None:
    """Return the number of physical cores, or `None` where the system does not tell."""
    cores = set()
    fields: dict[str, str] = {}
    for line in [*lines_of(cpuinfo), ""]:
        name, _, value = line.partition(":")
        if name.strip():
            fields[name.strip()] = value.strip()
        elif "core id" in fields:
            cores.add((fields.get("physical id"), fields["core id"]))
            fields = {}
    return len(cores) or None


def load() -> float | None:
    """Return the load average of the last minute, or `None` where the system does not tell."""
    try:
        return os.getloadavg()[0]
    except (OSError, AttributeError):
        return None


MOST_PRESSURE = 10.0
MOST_STOLEN = 0.02


class Watch:
    """Watches what else the machine does from now on; `load` and `pressure` are those of before."""

    def __init__(self) -> None:
        self.load, self.pressure, self._ticks = load(), cpu_pressure(), processor_ticks()

    def figures(self) -> Mapping[str, tuple[float | None, float]]:
        """Return by kind of `Noise` what was found, `None` if unknown, and what is in order."""
        return {
            "load": (self.load, usable_cores()),
            "cpu_pressure": (self.pressure, MOST_PRESSURE),
            "steal": (stolen_share(self._ticks, processor_ticks()), MOST_STOLEN),
        }

    def noise(self) -> tuple[Noise, ...]:
        """Return what was not in order."""
        return tuple(
            Noise(kind, figure, most)
            for kind, (figure, most) in self.figures().items()
            if figure and figure > most
        )


def keep_freed_memory() -> bool:
    """Make glibc keep large freed blocks instead of returning them to the system; whether it could.

    Otherwise every call of a layer with a large output asks the system for fresh pages, and the
    time of their first touch is measured along.
    """
    try:
        mallopt = ctypes.CDLL("libc.so.6").mallopt
    except (OSError, AttributeError):
        return False
    # some glibc take no threshold above half of a heap
    kept = any(mallopt(_M_MMAP_THRESHOLD, size) for size in (_KEPT_BYTES, MOST_HEAP_BLOCK))
    return bool(mallopt(_M_TRIM_THRESHOLD, _KEPT_BYTES)) and kept


MOST_HEAP_BLOCK = 32 << 20
"""glibc maps larger blocks whatever was freed before."""
