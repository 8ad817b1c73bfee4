"""How much memory there is still to be had."""

from pathlib import Path

CGROUP = Path("/sys/fs/cgroup")
"""Where a container's limits stand."""


def available_bytes(meminfo: Path = Path("/proc/meminfo"), cgroup: Path = CGROUP) -> int | None:
    """Return how much memory can still be had, or `None` where the system does not tell."""
    limit, used = (
        "".join(lines_of(cgroup / name)).strip() for name in ("memory.max", "memory.current")
    )
    found = [1024 * size for size in _numbers(meminfo, "MemAvailable:")]
    if limit.isdecimal() and used.isdecimal():
        # what was read from files and not used since can be taken back
        idle = sum(_numbers(cgroup / "memory.stat", "inactive_file"))
        found.append(max(0, int(limit) - int(used) + idle))
    return min(found, default=None)


def addressable_bytes(status: Path = Path("/proc/self/status")) -> int | None:
    """Return how much more memory this process may ask for under `ulimit -v`, or `None`."""
    try:
        import resource
    except ImportError:  # Windows has no such limits
        return None
    limit, _ = resource.getrlimit(resource.RLIMIT_AS)
    used = _numbers(status, "VmSize:")
    return max(0, limit - 1024 * used[0]) if limit != resource.RLIM_INFINITY and used else None


def free_bytes() -> int | None:
    """Return how much memory this process can still have, `None` if the system hides it."""
    known = [found for found in (available_bytes(), addressable_bytes()) if found is not None]
    return min(known, default=None)


def _numbers(path: Path, name: str) -> list[int]:
    """Return the number that a file has behind a name; none where it does not have that."""
    return [int(words[1]) for words in map(str.split, lines_of(path)) if words[:1] == [name]]


def lines_of(path: Path) -> list[str]:
    """Return the lines of a file by which the system tells something; none where it does not."""
    try:
        return path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return []
