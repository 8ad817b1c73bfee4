"""What the system tells about disturbances; `None` wherever it does not tell."""

from collections.abc import Callable
from pathlib import Path

Counters = Callable[[], tuple[int | None, int | None]]
"""Returns involuntary context switches and page faults of this process so far."""


def no_counters() -> tuple[int | None, int | None]:
    """Know nothing."""
    return None, None


def process_counters() -> Counters:
    """Return the counters of this system: POSIX has them, Windows does not."""
    try:
        from resource import RUSAGE_SELF, getrusage
    except ImportError:
        return no_counters

    def read() -> tuple[int | None, int | None]:
        usage = getrusage(RUSAGE_SELF)
        return usage.ru_nivcsw, usage.ru_minflt + usage.ru_majflt

    return read


def cpu_pressure(path: Path = Path("/proc/pressure/cpu")) -> float | None:
    """Return the percentage of the last 10 s in which something waited for a processor."""
    try:
        lines = path.read_text(encoding="ascii").splitlines()
    except (OSError, UnicodeDecodeError):
        return None
    for line in lines:
        kind, _, rest = line.partition(" ")
        values = dict(part.partition("=")[::2] for part in rest.split())
        if kind == "some":
            try:
                return float(values["avg10"])
            except (KeyError, ValueError):
                return None
    return None


def processor_ticks(path: Path = Path("/proc/stat")) -> tuple[int, int] | None:
    """Return how many ticks of all processors other guests of the host stole, and all ticks."""
    try:
        line = path.read_text(encoding="ascii").splitlines()[0]
        name, *fields = line.split()
        ticks = [int(field) for field in fields[:8]]
    except (OSError, UnicodeDecodeError, ValueError, IndexError):
        return None
    return (ticks[7], sum(ticks)) if name == "cpu" and len(ticks) == 8 else None


def stolen_share(before: tuple[int, int] | None, after: tuple[int, int] | None) -> float | None:
    """Return the share of the time between two readings that other guests had."""
    if before is None or after is None or after[1] <= before[1]:
        return None
    return (after[0] - before[0]) / (after[1] - before[1])
