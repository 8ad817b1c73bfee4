"""How much memory there is still to be had."""

from pathlib import Path

CGROUP = Path("/sys/fs/cgroup")
"""Where a container's limits stand."""


def available_bytes(meminfo: Path = Path("/proc/meminfo"), cgroup: Path = CGROUP) -> int | None:
    """Return how much memory can still be had, or `None` where the system does not tell."""
    limit, used = (
        "".join(lines_of(cgroup / name)).strip() for name in ("memory.max", "memory.current")
    )
    # what was read from files and not used since can be taken back
    idle = sum(
        int(line.split()[1])
        for line in lines_of(cgroup / "memory.stat")
        if line.startswith("inactive_file ")
    )
    found = (
        [max(0, int(limit) - int(used) + idle)] if limit.isdecimal() and used.isdecimal() else []
    )
    found += [
        int(line.split()[1]) * 1024
        for line in lines_of(meminfo)
        if line.startswith("MemAvailable:")
    ]
    return min(found, default=None)


def addressable_bytes(status: Path = Path("/proc/self/status")) -> int | None:
    """Return how much more memory this process may ask for under `ulimit -v`, or `None`."""
    try:
        import resource
    except ImportError:  # Windows has no such limits
        return None
    limit, _ = resource.getrlimit(resource.RLIMIT_AS)
    used = [int(line.split()[1]) * 1024 for line in lines_of(status) if line.startswith("VmSize:")]
    return max(0, limit - used[0]) if limit != resource.RLIM_INFINITY and used else None


def free_bytes() -> int | None:
    """Return how much memory this process can still have, `None` if the system hides it."""
    known = [found for found in (available_bytes(), addressable_bytes()) if found is not None]
    return min(known, default=None)


def lines_of(path: Path) -> list[str]:
    """Return the lines of a file by which the system tells something; none where it does not."""
    try:
        return path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return []
