"""What the system tells about disturbances; `None` wherever it does not tell."""

import re
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
    found = re.search(r"^some .*\bavg10=(\d+\.?\d*)\b", _text(path), re.MULTILINE)
    return float(found[1]) if found else None


def processor_ticks(path: Path = Path("/proc/stat")) -> tuple[int, int] | None:
    """Return how many ticks of all processors other guests of the host stole, and all ticks."""
    found = re.match(r"cpu((?: +\d+){8})\b", _text(path))
    ticks = [int(field) for field in found[1].split()] if found else []
    return (ticks[7], sum(ticks)) if ticks else None


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii")
    except (OSError, UnicodeDecodeError):
        return ""


def stolen_share(before: tuple[int, int] | None, after: tuple[int, int] | None) -> float | None:
    """Return the share of the time between two readings that other guests had."""
    if before is None or after is None or after[1] <= before[1]:
        return None
    return (after[0] - before[0]) / (after[1] - before[1])
